"""Job runs in a real lab: the choice of a connection, nodes with addresses, crashes, stops, queues and logs."""

import ipaddress
import json
import os
import signal
import subprocess
import time

import pytest

from lab_fixture import SIGNALBOX, Lab, wait_for

LAB = """
name: jobs
zones: [a, b]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets:
  - {name: data-a, zone: a, cidr: 10.0.1.0/24, route_table: out-a}
  - {name: data-b, zone: b, cidr: 10.0.2.0/24, route_table: out-b}
  - {name: tight-b, zone: b, cidr: 10.0.5.0/28, route_table: out-b, taken: 7}
  - {name: isolated-a, zone: a, cidr: 10.0.3.0/24, route_table: isolated}
  - {name: full-b, zone: b, cidr: 10.0.4.0/28, route_table: out-b, taken: all}
nat_gateways: [{name: nat-a, subnet: data-a}, {name: nat-b, subnet: data-b}]
route_tables:
  - {name: out-a, routes: [{destination: 0.0.0.0/0, target: "nat:nat-a"}]}
  - {name: out-b, routes: [{destination: 0.0.0.0/0, target: "nat:nat-b"}]}
  - {name: isolated}
security_groups:
  - {name: default, ingress: [{protocol: all, source: "sg:default"}]}
"""

CONFIG = """
store: state.db
provider: {{lab: {{socket: {socket}}}}}
connections:
  - {{name: via-isolated, subnet: isolated-a, security_groups: [default]}}
  - {{name: via-full, subnet: full-b, security_groups: [nosuch]}}
  - {{name: via-b, subnet: data-b, security_groups: [default]}}
  - {{name: via-tight, subnet: tight-b, security_groups: [default]}}
jobs:
  - name: quick
    connections: [via-isolated, via-full, via-b]
    strategy: ordered
    workers: 3
    command: [/bin/sh, -c, "env | grep SIGNALBOX_ | sort; ip -4 -o addr show | grep -v ' lo '; echo $COLOUR; echo \\"args: $0 $*\\"; sleep 1"]
    environment: {{COLOUR: blue}}
  - name: slow
    connections: [via-b]
    workers: 2
    command: [/bin/sh, -c, "for i in $(seq 1 200); do echo tick $i; sleep 0.1; done"]
  - {{name: nested, connections: [via-b], workers: 1, command: [/bin/sh, -c, "setsid sleep 4711 & sleep 4711; true"]}}
  - {{name: failing, connections: [via-b], workers: 1, command: [/bin/sh, -c, "exit 7"]}}
  - {{name: missing, connections: [via-b], workers: 1, command: [/nonexistent/program]}}
  - {{name: late, connections: [via-b], workers: 1, timeout: 1s, command: [/bin/sleep, "60"]}}
  - {{name: stubborn, connections: [via-b], workers: 1, command: [/bin/sh, -c, "trap '' TERM; while :; do sleep 0.2; done"]}}
  - {{name: hopeless, connections: [via-isolated, via-full], strategy: ordered, workers: 2, command: [/bin/true]}}
  - {{name: tight, connections: [via-tight], strategy: ordered, workers: 50, command: [/bin/sh, -c, "echo $SIGNALBOX_SIZE"]}}
  - {{name: short, connections: [via-b], workers: 1, command: [/bin/sleep, "2"]}}
  - {{name: marked, connections: [via-b], workers: 3, command: [/bin/sh, -c, "echo $SIGNALBOX_RANK >> {marks}; while [ $(wc -l < {marks}) -lt 3 ]; do sleep 0.1; done; sleep 1"]}}
"""


class Jobs:
    def __init__(self, lab, folder):
        self.lab = lab
        self.folder = folder
        self.marks = os.path.join(folder, "marks")
        self.config = os.path.join(folder, "signalbox.yaml")
        with open(self.config, "w") as file:
            file.write(CONFIG.format(socket=lab.api_socket, marks=self.marks))

    def argv(self, command, *arguments):
        return [SIGNALBOX, "job", command, "-c", self.config, *arguments]

    def call(self, command, *arguments, expect=0, timeout=60):
        done = subprocess.run(self.argv(command, *arguments), capture_output=True, text=True, timeout=timeout)
        assert done.returncode == expect, f"{command} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, command, *arguments, expect=0):
        return json.loads(self.call(command, *arguments, "--output", "json", expect=expect))

    def free(self):
        return {subnet["id"]: subnet["free_addresses"] for subnet in self.lab.items("/v1/subnets")}

    def processes(self, run=None):
        items = self.lab.items("/v1/processes")
        return [item for item in items if run is None or item["token"].startswith(run)]


@pytest.fixture(scope="module")
def lab():
    with Lab(LAB) as running:
        yield running


@pytest.fixture
def jobs(lab, tmp_path):
    jobs = Jobs(lab, str(tmp_path))
    before = jobs.free()
    yield jobs
    for process in jobs.processes():
        if process["state"] == "running":
            lab.api("DELETE", f"/v1/processes/{process['id']}?grace_ms=100")
    wait_for(lambda: jobs.free() == before, 10, "every address was given back")


def test_every_connection_is_checked_every_fault_is_reported_and_the_first_usable_wins(jobs):
    before = jobs.free()
    text = jobs.call("run", "quick", "--wait")
    for word in ("SB-NET-011 no-way-out", "SB-NET-030 no-free-addresses", "SB-NET-041 security-group-missing",
                 "'via-b' is the first usable of 3 connections", "SUCCEEDED"):
        assert word in text, text
    assert jobs.free() == before
    decision = jobs.json("explain", "quick")
    assert decision["connection"] == "via-b"
    faults = {c["connection"]: [f["code"] for f in c["faults"]] for c in decision["candidates"]}
    assert faults == {"via-isolated": ["SB-NET-011"], "via-full": ["SB-NET-030", "SB-NET-041"], "via-b": []}


def test_driver_and_workers_have_addresses_of_the_subnet_and_know_where_they_are(jobs):
    run = jobs.json("run", "quick", "--wait", "--argument", "day=2026-01-02")
    assert run["state"] == "SUCCEEDED" and run["exit_code"] == 0
    assert [node["rank"] for node in run["nodes"]] == [0, 1, 2]
    addresses = [node["address"] for node in run["nodes"]]
    assert len(set(addresses)) == 3
    subnet = ipaddress.ip_network("10.0.2.0/24")
    for node in run["nodes"]:
        assert ipaddress.ip_address(node["address"]) in subnet
        log = jobs.call("logs", run["id"], "--rank", str(node["rank"]))
        for line in (f"SIGNALBOX_RUN_ID={run['id']}", "SIGNALBOX_ATTEMPT=0", f"SIGNALBOX_RANK={node['rank']}", "SIGNALBOX_SIZE=3",
                     f"SIGNALBOX_DRIVER_ADDRESS={addresses[0]}", f"SIGNALBOX_NODE_ADDRESS={node['address']}",
                     "SIGNALBOX_CONNECTION=via-b", "SIGNALBOX_SUBNET=data-b", "SIGNALBOX_ZONE=b", "blue", "args: --day 2026-01-02"):
            assert line in log.splitlines(), f"{line} is not in:\n{log}"
        assert f"inet {node['address']}/" in log, "the address is really its interface's"
    assert os.stat(run["directory"]).st_mode & 0o77 == 0


def test_no_usable_connection_starts_nothing_and_says_why(jobs):
    text = jobs.call("run", "hopeless", expect=1)
    assert "none of 2 connections is usable" in text and "SB-NET-011" in text and "SB-NET-030" in text
    assert jobs.json("runs", "hopeless")["items"][0]["state"] == "FAILED"
    jobs.call("explain", "hopeless", expect=1)


def test_ends_are_told_apart(jobs):
    failed = jobs.json("run", "failing", "--wait", expect=1)
    assert (failed["state"], failed["exit_code"]) == ("FAILED", 7)
    missing = jobs.json("run", "missing", "--wait", expect=3)
    assert missing["state"] == "ERROR" and "/nonexistent/program" in missing["reason"]
    assert "cannot execute '/nonexistent/program': No such file" in jobs.call("logs", missing["id"])
    late = jobs.json("run", "late", "--wait", expect=1)
    assert late["state"] == "TIMEOUT"


def test_a_tight_subnet_starts_the_run_under_capacity(jobs):
    text = jobs.call("run", "tight", "--wait")
    assert "SB-NET-031 under-capacity" in text
    run = jobs.json("runs", "tight")["items"][0]
    assert 2 <= len(run["nodes"]) < 10
    assert jobs.call("logs", run["id"]).strip() == str(len(run["nodes"]))


def started_run(jobs, job):
    return wait_for(lambda: next((r for r in jobs.json("runs", job)["items"] if r["state"] == "RUNNING"), None), 20,
                    f"a running {job}", every=0.2)


def test_a_crash_of_the_command_neither_kills_nor_forgets_the_run(jobs):
    before = jobs.free()
    waiting = subprocess.Popen(jobs.argv("run", "quick", "--wait"), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: len([p for p in jobs.processes() if p["state"] == "running"]) == 3, 20, "three nodes")
    waiting.kill()
    waiting.wait()
    time.sleep(2.5)
    run = jobs.json("runs", "quick")["items"][0]
    assert run["state"] == "SUCCEEDED", run
    assert "SUCCEEDED" in jobs.call("show", run["id"][:12])
    assert jobs.free() == before


@pytest.mark.parametrize("delay_ms", [15, 30, 45, 60, 80, 110, 150, 250])
def test_a_crash_at_any_moment_of_the_start_starts_every_node_once(jobs, delay_ms):
    starting = subprocess.Popen(jobs.argv("run", "marked", "--wait"), stdout=subprocess.DEVNULL)
    time.sleep(delay_ms / 1000)
    starting.kill()
    starting.wait()
    runs = jobs.json("runs", "marked")["items"]
    if not runs:
        # It died before the run was stored: nothing may have started, now or later.
        time.sleep(1)
        assert not os.path.exists(jobs.marks)
        return
    run = wait_for(lambda: next((r for r in jobs.json("runs", "marked")["items"] if r["state"] == "SUCCEEDED"), None), 30,
                   "the run's end", every=0.3)
    assert sorted(open(jobs.marks).read().split()) == ["0", "1", "2"], run
    assert len(jobs.processes(run["id"])) == 3


def test_a_stop_ends_every_node_and_is_no_success(jobs):
    before = jobs.free()
    waiting = subprocess.Popen(jobs.argv("run", "slow", "--wait"), stdout=subprocess.PIPE, text=True)
    run = started_run(jobs, "slow")
    jobs.call("stop", run["id"])
    assert jobs.free() == before
    output, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 1 and "STOPPED" in output
    assert "has ended already" in subprocess.run(jobs.argv("stop", run["id"]), capture_output=True, text=True).stderr


def test_a_command_that_ignores_the_signal_is_killed(jobs):
    run = jobs.json("run", "stubborn")
    assert jobs.json("stop", run["id"])["state"] == "STOPPED"
    assert not [p for p in jobs.processes(run["id"]) if p["state"] == "running"]


def test_logs_follow_the_run_to_its_end(jobs):
    run = jobs.json("run", "slow")
    follower = subprocess.Popen(jobs.argv("logs", run["id"], "-f"), stdout=subprocess.PIPE, text=True)
    assert follower.stdout.readline() == "tick 1\n"
    assert follower.stdout.readline() == "tick 2\n"
    jobs.call("stop", run["id"])
    follower.communicate(timeout=15)
    assert follower.returncode == 0


def test_further_runs_wait_in_a_queue_and_start_in_turn(jobs):
    first = subprocess.Popen(jobs.argv("run", "short", "--wait", "--output", "json"), stdout=subprocess.PIPE, text=True)
    started_run(jobs, "short")
    queued = jobs.json("run", "short")
    assert queued["state"] == "WAITING" and "queued: 1 of at most 1" in queued["reason"]
    second = subprocess.Popen(jobs.argv("run", "short", "--wait", "--output", "json"), stdout=subprocess.PIPE, text=True)
    states = [json.loads(process.communicate(timeout=40)[0])["state"] for process in (first, second)]
    assert states == ["SUCCEEDED", "SUCCEEDED"]
    runs = jobs.json("runs", "short")["items"][::-1]
    assert [run["state"] for run in runs] == ["SUCCEEDED"] * 3
    for earlier, later in zip(runs, runs[1:]):
        assert earlier["ended_at"] <= later["starting_at"]


def test_the_daemon_starts_queued_runs_by_itself(jobs):
    first, queued = jobs.json("run", "short"), jobs.json("run", "short")
    assert queued["state"] == "WAITING"
    with open(jobs.config, "a") as file:
        file.write(f"api: {{listen: 'unix:{jobs.folder}/api.sock'}}\n")
    daemon = subprocess.Popen([SIGNALBOX, "serve", "-c", jobs.config], stdout=subprocess.DEVNULL)
    try:
        # Asked at the provider: a command of ours would drive the run itself.
        wait_for(lambda: [p["state"] for p in jobs.processes(queued["id"])] == ["exited"], 20, "the queued run's end", every=0.2)
    finally:
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert {r["id"]: r["state"] for r in jobs.json("runs", "short")["items"]} == {first["id"]: "SUCCEEDED", queued["id"]: "SUCCEEDED"}


def test_a_killed_supervisor_is_a_failed_run_and_leaves_nothing(jobs):
    before = jobs.free()
    run = jobs.json("run", "nested")

    def sleepers():
        return subprocess.run(["pgrep", "-f", "sleep 4711"], capture_output=True, text=True).stdout.split()
    # The shell, its child, and one that has left the process group.
    wait_for(lambda: len(sleepers()) >= 3, 10, "the job's processes")
    pids = subprocess.run(["pgrep", "-f", f"supervise.*{run['id']}-0"], capture_output=True, text=True).stdout.split()
    assert pids
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    ended = wait_for(lambda: next((r for r in jobs.json("runs", "nested")["items"] if r["state"] == "FAILED"), None), 20, "FAILED")
    assert "signal 9" in ended["reason"]
    wait_for(lambda: jobs.free() == before, 10, "the address given back")
    assert sleepers() == [], "processes outlived their node"


def test_faults_of_the_configuration_are_told_at_once_with_their_lines(jobs):
    with open(jobs.config, "a") as file:
        file.write("  - {name: quick, connections: [via-x, via-b, via-b], strategy: best, wrokers: 2, command: []}\n")
    done = subprocess.run(jobs.argv("runs"), capture_output=True, text=True)
    assert done.returncode == 2
    for word in ("there is no connection 'via-x'", "'via-b' stands twice", "one of resilient, ordered", "did you mean: workers",
                 "the job 'quick' stands already", "expected a list: the program"):
        assert word in done.stderr, done.stderr


def test_a_provider_that_is_away_is_said_and_nothing_is_stored(jobs, tmp_path):
    text = open(jobs.config).read().replace(jobs.lab.api_socket, str(tmp_path / "nobody.sock"))
    jobs.config = str(tmp_path / "away.yaml")
    with open(jobs.config, "w") as file:
        file.write(text)
    done = subprocess.run(jobs.argv("run", "quick"), capture_output=True, text=True)
    assert done.returncode == 3 and "nobody.sock" in done.stderr
    assert jobs.json("runs")["items"] == []
