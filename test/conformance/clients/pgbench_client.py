"""pgbench that writes: pgbench_client.py writes …. It never reconnects: a run that broke off is followed by the next."""
import re
import subprocess
import time

from common import arguments

_, action, place = arguments()
assert action == "writes", action
script = place.folder / f"{place.name}.sql"
script.write_text("\\set number :number + 1\n"
                  f"INSERT INTO writes VALUES ('{place.name}', :number, host(inet_server_addr()));\n")
base = 0
with open(place.folder / f"{place.name}.acknowledged", "w", buffering=1) as acknowledged:
    while not (place.folder / "stop").exists():
        done = subprocess.run(["pgbench", "-h", place.host, "-p", str(place.port), "-U", "app", "-n", "-M", "prepared", "-R", "25", "-t", "25",
                               "-f", str(script), "-D", f"number={base}", "orders"], capture_output=True, text=True, timeout=90)
        found = re.search(r"number of transactions actually processed: (\d+)", done.stdout)
        for number in range(base + 1, base + 1 + (int(found[1]) if found else 0)):
            acknowledged.write(f"{number}\n")
        if done.returncode != 0:
            print(done.stdout, done.stderr, flush=True)
            time.sleep(0.1)
        base += 1000  # what was under way has an unknown outcome: those numbers are never tried again
