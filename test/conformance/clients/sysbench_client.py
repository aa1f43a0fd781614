"""sysbench that writes: sysbench_client.py writes …. It ends at an error and is started again: with the client library of Debian
12 its own reconnect (--mysql-ignore-errors) ends in a segmentation fault."""
import pathlib
import signal
import subprocess
import time

from common import arguments, password

_, action, place = arguments()
assert action == "writes", action
stop = place.folder / "stop"
first = 1
while not stop.exists():
    child = subprocess.Popen([
        "sysbench", str(pathlib.Path(__file__).with_name("writes.lua")), "--db-driver=mysql", f"--mysql-host={place.host}",
        f"--mysql-port={place.port}", "--mysql-user=app", f"--mysql-password={password()}", "--mysql-db=orders", "--rate=25", "--threads=1",
        "--time=0", "--events=0", f"--name={place.name}", f"--folder={place.folder}", f"--first={first}", "run"])
    while child.poll() is None and not stop.exists():
        time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    child.wait(30)
    # What was under way has an unknown outcome: those numbers are never tried again.
    first += 100_000
