"""Real PySpark on the nodes of a run: in a lab, where each node has an address of its own, and as plain processes here."""
import ipaddress
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from lab_fixture import SIGNALBOX, Lab, wait_for  # noqa: E402  (the path comes first)

LAB = """
name: spark
zones: [a, b]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets:
  - {name: full-a, zone: a, cidr: 10.0.1.0/28, route_table: out-a, taken: all}
  - {name: data-b, zone: b, cidr: 10.0.2.0/24, route_table: out-b}
nat_gateways: [{name: nat-b, subnet: data-b}]
route_tables:
  - {name: out-a}
  - {name: out-b, routes: [{destination: 0.0.0.0/0, target: "nat:nat-b"}]}
security_groups: [{name: default, ingress: [{protocol: all, source: "sg:default"}]}]
"""

CONFIG = """
store: state.db
provider: {provider}
connections:
  - {{name: via-a, subnet: {first}, security_groups: [default]}}
  - {{name: via-b, subnet: {second}, security_groups: [default]}}
jobs:
  - {{name: three, connections: [via-a, via-b], workers: 3, spark: {spark}}}
  - {{name: pair, connections: [via-b], workers: 2, spark: {spark}}}
  - {{name: alone, connections: [via-b], workers: 1, spark: {spark}}}
  - {{name: failing, connections: [via-b], workers: 2, workers_min: 1, spark: {failing}}}
  - {{name: waiting, connections: [via-b], workers: 3, spark: {waiting}}}
  - {{name: nothing, connections: [via-b], workers: 1, spark: {nothing}}}
"""

# Small: a run of three nodes is a master, two workers, two executors and a driver.
JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
CONF = {"spark.driver.memory": "512m", "spark.driver.extraJavaOptions": JAVA, "spark.executor.extraJavaOptions": JAVA,
        "spark.sql.shuffle.partitions": "2", "spark.hadoop.example.secret.key": "hunter2 = \\ #"}
ENVIRONMENT = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": JAVA}


class Jobs:
    def __init__(self, folder: pathlib.Path, provider: dict, first: str, second: str):
        self.folder = folder

        def application(*arguments: str, path: pathlib.Path = HERE / "spark" / "where.py") -> str:
            return json.dumps({"application": str(path), "arguments": arguments, "python": os.environ["CONFORMANCE_PYTHON"], "conf": CONF,
                               "worker_cores": 1, "worker_memory": "512m"}) + f", environment: {json.dumps(ENVIRONMENT)}"
        self.config = folder / "signalbox.yaml"
        self.config.write_text(CONFIG.format(provider=json.dumps(provider), first=first, second=second, spark=application("$(touch oops) 'x' \"y\""),
                                             failing=application("--fail", "7"), waiting=application("--wait"),
                                             nothing=application(path=folder / "nothing.py")))

    def call(self, command: str, *arguments: str, expect=0, timeout=90) -> str:
        done = subprocess.run([SIGNALBOX, "job", command, "-c", str(self.config), *arguments], capture_output=True, text=True, timeout=timeout)
        assert done.returncode == expect, f"{command} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def json(self, command: str, *arguments: str, expect=0) -> dict:
        return json.loads(self.call(command, *arguments, "--output", "json", expect=expect))

    def logs(self) -> str:
        newest = max(self.folder.glob("runs/*"), key=os.path.getmtime, default=None)
        return "\n".join(f"{path.name}: {path.read_text()[-2500:]}" for path in sorted(newest.glob("*.log"))) if newest else ""

    def result(self, run: dict) -> dict:
        log = self.call("logs", run["id"])
        assert "RESULT " in log, log[-4000:]
        return json.loads(log.split("RESULT ")[1].splitlines()[0])

    def machines(self, run: dict) -> list[int]:
        """Process ids of the JVMs that any node of the run started."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                ours = f"SIGNALBOX_RUN_ID={run['id']}".encode() in (folder / "environ").read_bytes().split(b"\0")
                if ours and os.readlink(folder / "exe").endswith("/java"):
                    found.append(int(folder.name))
            except OSError:
                pass
        return found

    def secrets_on_disk(self, run: dict) -> list[str]:
        return [path.name for path in pathlib.Path(run["directory"]).iterdir() if path.name.startswith("spark-cluster") or ".conf" in path.name]


@pytest.fixture(scope="module")
def lab():
    with Lab(LAB) as running:
        yield running


@pytest.fixture
def in_lab(lab, tmp_path):
    def free():
        return {subnet["id"]: subnet["free_addresses"] for subnet in lab.items("/v1/subnets")}
    before = free()
    yield Jobs(tmp_path, {"lab": {"socket": lab.api_socket}}, "full-a", "data-b")
    wait_for(lambda: free() == before, 10, "every address was given back")


@pytest.fixture
def on_host(tmp_path):
    return Jobs(tmp_path, {"host": {}}, "nowhere", "host")


def test_a_job_runs_on_executors_in_the_chosen_subnet_and_a_failing_one_fails_with_its_exit_code(in_lab):
    began = time.monotonic()
    run = in_lab.json("run", "three", "--wait")
    print(f"three nodes: {time.monotonic() - began:.1f} s")
    assert run["state"] == "SUCCEEDED" and run["connection"]["subnet"] == "data-b"
    addresses = [node["address"] for node in run["nodes"]]
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network("10.0.2.0/24") for address in addresses)
    result = in_lab.result(run)
    assert result["tasks"] == sorted(addresses[1:]), "tasks really ran on the workers' nodes"
    assert result["executors"] == sorted(addresses[1:])
    assert result["driver"] == addresses[0] and result["master"].startswith(f"spark://{addresses[0]}:")
    assert result["sum"] == 499500 and result["executor_count"] == 2 and result["ui"] is None
    assert result["arguments"] == ["$(touch oops) 'x' \"y\""]
    assert [node["exit"]["how"] for node in run["nodes"]] == ["exited"] * 3, "workers end with the driver"
    assert [node["exit"]["code"] for node in run["nodes"]] == [0] * 3
    assert in_lab.machines(run) == [] and in_lab.secrets_on_disk(run) == []
    assert "hunter2" not in in_lab.call("show", run["id"], "--output", "json")

    failed = in_lab.json("run", "failing", "--wait", expect=1)
    assert (failed["state"], failed["exit_code"]) == ("FAILED", 7)
    assert in_lab.machines(failed) == []
    missing = in_lab.json("run", "nothing", "--wait", expect=1)
    assert missing["state"] == "FAILED" and "there is no application" in in_lab.call("logs", missing["id"])


def test_a_stop_ends_every_java_machine_and_gives_the_addresses_back(in_lab):
    run = in_lab.json("run", "waiting")
    wait_for(lambda: "RESULT " in in_lab.call("logs", run["id"]), 60, "the job's first words", every=0.3)
    running = in_lab.machines(run)
    assert len(running) >= 6, "a master, a driver, two workers and two executors"
    for pid in running:
        assert "hunter2" not in pathlib.Path(f"/proc/{pid}/cmdline").read_text(), "a secret can be read by everybody"
    assert in_lab.json("stop", run["id"])["state"] == "STOPPED"
    assert in_lab.machines(run) == []


def test_plain_processes_make_a_cluster_too_and_one_node_needs_none(on_host):
    run = on_host.json("run", "pair", "--wait")
    assert run["state"] == "SUCCEEDED"
    result = on_host.result(run)
    assert result["executors"] == [] and result["driver"] == "127.0.0.1" and result["master"].startswith("spark://127.0.0.1:")
    assert result["executor_count"] == 1
    alone = on_host.json("run", "alone", "--wait")
    assert alone["state"] == "SUCCEEDED" and on_host.result(alone)["master"] == "local[*]"
    assert on_host.machines(run) == on_host.machines(alone) == []
