"""Launchers: nodes in a real lab pass the conformance suite of the port, and jobs run as plain processes on this host."""

import json
import os
import signal
import subprocess
import time

import pytest

from lab_fixture import SIGNALBOX, Lab, wait_for

LAB = """
name: launchers
zones: [a]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets: [{name: data-a, zone: a, cidr: 10.0.1.0/24, route_table: out-a}]
nat_gateways: [{name: nat-a, subnet: data-a}]
route_tables: [{name: out-a, routes: [{destination: 0.0.0.0/0, target: "nat:nat-a"}]}]
security_groups: [{name: default, ingress: [{protocol: all, source: "sg:default"}]}]
"""

CONFIG = """
store: state.db
provider: {{host: {{}}}}
connections: [{{name: here, subnet: host, security_groups: [default], data_source: 127.0.0.1:3306}}]
jobs:
  - name: quick
    connections: [here]
    workers: 3
    command: [/bin/sh, -c, "env | sort; echo \\"args: $0 $*\\""]
    environment: {{COLOUR: blue}}
  - {{name: marked, connections: [here], workers: 3, command: [/bin/sh, -c, "echo $SIGNALBOX_RANK >> {marks}; while [ $(wc -l < {marks}) -lt 3 ]; do sleep 0.1; done; sleep 1"]}}
  - {{name: nested, connections: [here], workers: 1, command: [/bin/sh, -c, "setsid sleep {mark} & sleep {mark}; true"]}}
  - {{name: short, connections: [here], workers: 1, command: [/bin/sh, -c, "env; sleep 1.5"]}}
  - {{name: missing, connections: [here], workers: 1, command: [/nonexistent/program]}}
  - {{name: outer, connections: [here], workers: 1, command: [{signalbox}, job, run, marked, -c, {config}]}}
"""


class Jobs:
    def __init__(self, folder):
        self.folder = folder
        self.marks = os.path.join(folder, "marks")
        self.mark = f"4714{os.getpid()}"
        self.config = os.path.join(folder, "signalbox.yaml")
        with open(self.config, "w") as file:
            file.write(CONFIG.format(marks=self.marks, mark=self.mark, signalbox=SIGNALBOX, config=self.config))

    def argv(self, command, *arguments):
        return [SIGNALBOX, "job", command, "-c", self.config, *arguments]

    def call(self, command, *arguments, expect=0, timeout=60, **more):
        done = subprocess.run(self.argv(command, *arguments), capture_output=True, text=True, timeout=timeout, **more)
        assert done.returncode == expect, f"{command} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, command, *arguments, expect=0, **more):
        return json.loads(self.call(command, *arguments, "--output", "json", expect=expect, **more))

    def sleepers(self):
        return subprocess.run(["pgrep", "-f", f"sleep {self.mark}"], capture_output=True, text=True).stdout.split()

    def supervisors(self):
        return subprocess.run(["pgrep", "-f", f"supervise.*--directory {self.folder}/"], capture_output=True, text=True).stdout.split()


@pytest.fixture
def jobs(tmp_path):
    jobs = Jobs(str(tmp_path))
    yield jobs
    for run in jobs.json("runs")["items"]:
        if run["state"] in ("WAITING", "STARTING", "RUNNING"):
            jobs.call("stop", run["id"])
    assert jobs.supervisors() == [] and jobs.sleepers() == []


def test_nodes_in_a_lab_pass_the_conformance_suite_of_launchers():
    with Lab(LAB) as lab:
        environment = dict(os.environ, LAB_SOCKET=lab.api_socket, LAB_SUBNET="data-a", LAB_GROUP="default")
        done = subprocess.run([os.environ["LAUNCHER_CONFORMANCE_BIN"]], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert "[  PASSED  ]" in done.stdout
        free = {subnet["id"]: subnet["free_addresses"] for subnet in lab.items("/v1/subnets")}
        wait_for(lambda: not [p for p in lab.items("/v1/processes") if p["state"] == "running"], 10, "all nodes' end")
        assert free["data-a"] > 200


def test_a_job_runs_as_plain_processes_and_gets_nothing_of_the_callers_environment(jobs):
    run = jobs.json("run", "quick", "--wait", "--argument", "day=2026-01-02",
                    env=dict(os.environ, AWS_SECRET_ACCESS_KEY="hunter2", DATABASE_PASSWORD="hunter2"))
    assert run["state"] == "SUCCEEDED" and run["exit_code"] == 0 and run["zone"] == "host"
    for rank in range(3):
        log = jobs.call("logs", run["id"], "--rank", str(rank))
        assert "hunter2" not in log, log
        lines = log.splitlines()
        for line in (f"SIGNALBOX_RUN_ID={run['id']}", f"SIGNALBOX_RANK={rank}", "SIGNALBOX_SIZE=3", "SIGNALBOX_SUBNET=host",
                     "SIGNALBOX_NODE_ADDRESS=127.0.0.1", "SIGNALBOX_DRIVER_ADDRESS=127.0.0.1", "COLOUR=blue", "args: --day 2026-01-02"):
            assert line in lines, f"{line} is not in:\n{log}"
        names = {line.split("=")[0] for line in lines if "=" in line}
        assert {name for name in names if not name.startswith("SIGNALBOX_")} <= {"PATH", "LANG", "HOME", "USER", "COLOUR", "PWD", "_", "SHLVL", "OLDPWD"}
    assert jobs.json("explain", "quick")["connection"] == "here"


@pytest.mark.parametrize("delay_ms", [5, 15, 25, 35, 50, 70, 100, 150])
def test_a_crash_at_any_moment_of_the_start_starts_every_node_once(jobs, delay_ms):
    starting = subprocess.Popen(jobs.argv("run", "marked", "--wait"), stdout=subprocess.DEVNULL)
    time.sleep(delay_ms / 1000)
    starting.kill()
    starting.wait()
    if not jobs.json("runs", "marked")["items"]:
        time.sleep(1)
        assert not os.path.exists(jobs.marks)
        return
    wait_for(lambda: next((r for r in jobs.json("runs", "marked")["items"] if r["state"] == "SUCCEEDED"), None), 40, "the run's end", every=0.3)
    assert sorted(open(jobs.marks).read().split()) == ["0", "1", "2"]


def test_a_stop_ends_the_command_and_all_that_it_started(jobs):
    run = jobs.json("run", "nested")
    wait_for(lambda: len(jobs.sleepers()) >= 3, 10, "the job's processes")
    assert jobs.json("stop", run["id"])["state"] == "STOPPED"
    assert jobs.sleepers() == [] and jobs.supervisors() == []


def test_a_killed_supervisor_is_no_success_and_leaves_nothing(jobs):
    jobs.json("run", "nested")
    wait_for(lambda: len(jobs.sleepers()) >= 3, 10, "the job's processes")
    for pid in jobs.supervisors():
        os.kill(int(pid), signal.SIGKILL)
    ended = wait_for(lambda: next((r for r in jobs.json("runs", "nested")["items"] if r["state"] in ("ERROR", "FAILED")), None), 20, "ERROR", every=0.2)
    assert "left no exit status" in ended["reason"]
    assert jobs.sleepers() == []


def test_a_command_that_does_not_exist_is_said(jobs):
    run = jobs.json("run", "missing", "--wait", expect=3)
    assert run["state"] == "ERROR" and "/nonexistent/program" in run["reason"]


def test_the_daemon_starts_queued_runs_and_keeps_its_secrets(jobs):
    with open(jobs.config, "a") as file:
        file.write(f"api: {{listen: 'unix:{jobs.folder}/api.sock'}}\n")
    daemon = subprocess.Popen([SIGNALBOX, "serve", "-c", jobs.config], stdout=subprocess.DEVNULL, env=dict(os.environ, DAEMONS_SECRET="hunter2"))
    try:
        wait_for(lambda: os.path.exists(f"{jobs.folder}/api.sock"), 20, "the daemon")
        first, queued = jobs.json("run", "short"), jobs.json("run", "short")
        assert queued["state"] == "WAITING"
        log = f"{queued['directory']}/rank-0.log"
        wait_for(lambda: os.path.exists(f"{queued['directory']}/rank-0.status"), 30, "the queued run's end", every=0.2)
        assert "SIGNALBOX_RUN_ID=" + queued["id"] in open(log).read() and "hunter2" not in open(log).read()
    finally:
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert {r["id"]: r["state"] for r in jobs.json("runs", "short")["items"]} == {first["id"]: "SUCCEEDED", queued["id"]: "SUCCEEDED"}


def test_a_run_that_a_job_submits_outlives_that_job(jobs):
    outer = jobs.json("run", "outer", "--wait")
    assert outer["state"] == "SUCCEEDED"
    inner = wait_for(lambda: next((r for r in jobs.json("runs", "marked")["items"] if r["state"] == "SUCCEEDED"), None), 40, "the inner run's end", every=0.3)
    assert inner["exit_code"] == 0


FACTS = {
    "zones": [{"id": "a", "state": "available"}], "networks": [{"id": "main", "cidr": "10.0.0.0/16", "state": "available"}],
    "subnets": [{"id": name, "network": "main", "zone": "a", "cidr": f"10.0.{number}.0/24", "state": "available", "free_addresses": 20}
                for number, name in ((1, "open"), (2, "closed"))],
    "route_tables": [{"id": "out", "network": "main", "main": False, "subnets": ["open"],
                      "routes": [{"destination": "10.0.0.0/16", "target": "local", "state": "active"},
                                 {"destination": "0.0.0.0/0", "target": "nat:nat", "state": "active"}]},
                     {"id": "none", "network": "main", "main": True, "subnets": [],
                      "routes": [{"destination": "10.0.0.0/16", "target": "local", "state": "active"}]}],
    "nat_gateways": [{"id": "nat", "subnet": "open", "zone": "a", "state": "available"}],
    "security_groups": [{"id": "default", "network": "main", "ingress": [{"protocol": "all", "port_from": 0, "port_to": 65535, "source": "sg:default"}],
                         "egress": [{"protocol": "all", "port_from": 0, "port_to": 65535, "destination": "0.0.0.0/0"}]}],
    "endpoints": [], "peerings": [], "network_acls": [], "internet_gateways": [], "interfaces": [],
}


def test_with_a_file_of_facts_connections_are_judged_by_it_and_nodes_run_here(tmp_path):
    config = tmp_path / "signalbox.yaml"
    config.write_text("""
store: state.db
provider: {host: {facts: facts.json}}
connections:
  - {name: via-closed, subnet: closed, security_groups: [default]}
  - {name: via-open, subnet: open, security_groups: [default]}
jobs: [{name: job, connections: [via-closed, via-open], strategy: ordered, workers: 2, command: [/bin/sh, -c, "echo in $SIGNALBOX_SUBNET"]}]
""")

    def run(expect):
        done = subprocess.run([SIGNALBOX, "job", "run", "job", "--wait", "-c", str(config), "--output", "json"], capture_output=True, text=True, timeout=60)
        assert done.returncode == expect, done.stdout + done.stderr
        return done
    assert "facts.json" in run(3).stderr
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    finished = json.loads(run(0).stdout)
    assert finished["state"] == "SUCCEEDED" and finished["connection"]["name"] == "via-open"
    assert open(f"{finished['directory']}/rank-1.log").read() == "in open\n"
    faults = {c["connection"]: [f["code"] for f in c["faults"]] for c in finished["decision"]["candidates"]}
    assert faults == {"via-closed": ["SB-NET-011"], "via-open": []}


@pytest.mark.parametrize("text, word", [
    ("provider: {}", "'host: {}' for plain processes"),
    ("provider: {host: {}, lab: {socket: x.sock}}", "expected one provider"),
    ("provider: {host: {fact: x.json}}", "did you mean: facts"),
])
def test_a_provider_that_is_not_understood_is_said(tmp_path, text, word):
    config = tmp_path / "signalbox.yaml"
    config.write_text(f"store: state.db\n{text}\n")
    done = subprocess.run([SIGNALBOX, "job", "runs", "-c", str(config)], capture_output=True, text=True)
    assert done.returncode == 2 and word in done.stderr, done.stderr


@pytest.mark.parametrize("spark, word", [
    ("{application: a.py}", "expected one of 'home'"),
    ("{application: a.py, home: x, python: y}", "expected one of 'home'"),
    ("{home: x}", "'application' is missing"),
    ("{application: a.py, home: x, conf: {spark.master: y}}", "follows from the run's own nodes"),
    ("{application: a.py, home: x, conf: {master: y}}", "expected names like spark."),
    ("{application: a.py, home: x, worker_memory: 12}", "like 512m or 2g"),
    ("{application: a.py, home: x, worker_memory: 1m}", "like 512m or 2g"),
    ("{application: a.py, home: x}, command: [/bin/true]", "not both"),
])
def test_a_spark_application_that_is_not_understood_is_said(tmp_path, spark, word):
    config = tmp_path / "signalbox.yaml"
    config.write_text("store: state.db\nprovider: {host: {}}\nconnections: [{name: here, subnet: host, security_groups: [default]}]\n"
                      f"jobs: [{{name: job, connections: [here], spark: {spark}}}]\n")
    done = subprocess.run([SIGNALBOX, "job", "runs", "-c", str(config)], capture_output=True, text=True)
    assert done.returncode == 2 and word in done.stderr, done.stderr
