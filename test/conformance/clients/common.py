"""What the Python programs of the conformance share: the command line, a result per feature, and the loop that writes."""
import dataclasses
import hashlib
import json
import os
import pathlib
import sys
import time
import traceback

LARGE_ROWS = 20_000
IDLE_S = 5.0
SLEEP_S = 30  # of the statement that is cancelled


@dataclasses.dataclass
class Place:
    """Where to connect to, and what for."""
    host: str
    port: int
    reader_port: int
    folder: pathlib.Path
    name: str

    @property
    def table(self) -> str:
        return "t_" + self.name.replace("-", "_")

    def file(self, name: str) -> str:
        return str(self.folder / name)


def password() -> str:
    return os.environ["DATABASE_PASSWORD"]


def sum_of(texts) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode())
    return whole.hexdigest()


def print_features(place: Place, features: dict, idle) -> None:
    """Does each feature; an error becomes its result. `idle` opens a connection that is used again at the end, and returns a
    function that tells whether it is still the same and works."""
    results = {}

    def note(name, function):
        try:
            results[name] = function(place)
        except Exception:  # noqa: BLE001  the test compares, and shows what came instead
            results[name] = traceback.format_exc(limit=-3)

    works = idle(place)
    since = time.monotonic()
    for name, function in features.items():
        note(name, function)
    time.sleep(max(0.0, IDLE_S - (time.monotonic() - since)))
    note("idle", lambda _: works())
    print(json.dumps(results))


def refused(connect) -> str:
    """That a connection is refused, as it must be when the server's certificate is of another authority."""
    try:
        connect()
    except Exception as error:  # noqa: BLE001
        return "refused" if "certificate" in str(error).lower() else f"another error: {error}"
    return "accepted"


def write_on(place: Place, insert, reconnect, pause_s: float = 0.04) -> None:
    """insert(number) returns when the number is acknowledged; after any error reconnect() is called until it works."""
    stop = place.folder / "stop"
    number = 0
    with open(place.folder / f"{place.name}.acknowledged", "w", buffering=1) as acknowledged:
        while not stop.exists():
            number += 1
            try:
                insert(number)
                acknowledged.write(f"{number}\n")
                time.sleep(pause_s)
            except Exception as error:  # noqa: BLE001  whatever the driver calls a lost connection
                print(f"{number}: {type(error).__name__}: {error}", flush=True)
                while not stop.exists():
                    try:
                        reconnect()
                        break
                    except Exception as again:  # noqa: BLE001
                        print(f"reconnect: {type(again).__name__}: {again}", flush=True)
                        time.sleep(0.1)


def arguments() -> tuple[list[str], str, Place]:
    """What stands before the action, the action, and the place."""
    *program, action, host, port, reader_port, folder, name = sys.argv[1:]
    return program, action, Place(host, int(port), int(reader_port), pathlib.Path(folder), name)
