"""Iceberg's own REST catalog server, started for one test: rest/RestCatalog.java, with its jars as tools/conformance installs them.

    with RestCatalog(tmp_path, token=token_of("etl")) as catalog:
        ... catalog.uri, catalog.requests() ...

A client that shows the credential `etl:anything` to `catalog.uri`/v1/oauth/tokens gets that token; the server checks no secret. Without
`token` everybody is let in. The server ends with its input, which is a pipe that only this process holds: also when it is killed.

By hand: CONFORMANCE_REST_CATALOG="build/conformance/rest/classes:build/conformance/rest/*" python3 test/conformance/rest_catalog.py FOLDER
"""
import os
import pathlib
import subprocess
import sys
import time

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10


def token_of(client_id: str) -> str:
    """The token that the server gives to that client."""
    return f"client-credentials-token:sub={client_id}"


class RestCatalog:
    """Tables lie in `warehouse`; `prefix` is a path before /v1, as catalogs behind a gateway have it."""

    def __init__(self, folder: pathlib.Path, prefix: str = "", token: str = ""):
        self.folder = folder
        self.warehouse = folder / "warehouse"
        self.prefix = prefix
        self.token = token
        self.uri = ""
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "RestCatalog":
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", os.environ["CONFORMANCE_REST_CATALOG"], "RestCatalog",
                   str(self.folder), self.prefix, self.token]
        with open(self.folder / "requests.log", "wb") as log, open(self.folder / "errors.log", "wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=errors)
        try:
            self.uri = f"http://127.0.0.1:{self._port()}{self.prefix}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def _port(self) -> int:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            first, newline, _ = (self.folder / "requests.log").read_text().partition("\n")
            if newline:
                return int(first.removeprefix("port "))
            if self.process.poll() is not None:
                raise RuntimeError(f"the REST catalog ended with {self.process.returncode}: {self.errors()}")
            time.sleep(0.05)
        raise RuntimeError(f"the REST catalog did not start within {START_SECONDS_MAX} s: {self.errors()}")

    def errors(self) -> str:
        return (self.folder / "errors.log").read_text()[-3000:]

    def requests(self) -> list[tuple[str, str, int]]:
        """What was asked so far: (method, path and query, status), oldest first."""
        lines = (self.folder / "requests.log").read_text().split("\n")[1:-1]
        return [(method, path, int(status)) for method, path, status in (line.split(" ") for line in lines)]

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


if __name__ == "__main__":
    with RestCatalog(pathlib.Path(sys.argv[1])) as started:
        print(started.uri, flush=True)
        sys.stdin.read()
