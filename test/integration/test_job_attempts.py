"""Attempts, strategies and submissions in a real lab: retries into another zone, cut zones, keys, crashes, full disks."""

import json
import os
import random
import sqlite3
import subprocess
import time

import pytest

from lab_fixture import SIGNALBOX, Lab, wait_for

LAB = """
name: attempts
zones: [a, b, c]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets:
  - {name: data-a, zone: a, cidr: 10.0.1.0/24, route_table: out-a}
  - {name: data-b, zone: b, cidr: 10.0.2.0/24, route_table: out-b}
  - {name: data-c, zone: c, cidr: 10.0.3.0/24, route_table: out-c}
  - {name: small-b, zone: b, cidr: 10.0.4.0/28, route_table: out-b}
nat_gateways: [{name: nat-a, subnet: data-a}, {name: nat-b, subnet: data-b}, {name: nat-c, subnet: data-c}]
route_tables:
  - {name: out-a, routes: [{destination: 0.0.0.0/0, target: "nat:nat-a"}]}
  - {name: out-b, routes: [{destination: 0.0.0.0/0, target: "nat:nat-b"}]}
  - {name: out-c, routes: [{destination: 0.0.0.0/0, target: "nat:nat-c"}]}
security_groups:
  - {name: default, ingress: [{protocol: all, source: "sg:default"}]}
  - {name: service, ingress: [{protocol: all, source: "sg:default"}]}
hosts:
  - {name: ops, subnet: data-c, address: 10.0.3.100, security_groups: [service]}
"""

# What a job does that talks to a service: it fails by its own time-out when the service does not answer.
TALK = ("import socket,sys,time\n"
        "for _ in range(int(sys.argv[1])):\n"
        "    try: socket.create_connection(('10.0.3.100', 7000), 1.5).close()\n"
        "    except OSError as error: sys.exit(f'service 10.0.3.100:7000: {error}')\n"
        "    time.sleep(0.2)\n")

CONFIG = """
store: state.db
api: {{listen: 'unix:{folder}/api.sock'}}
provider: {{lab: {{socket: {socket}}}}}
connections:
  - {{name: via-a, subnet: data-a, security_groups: [default]}}
  - {{name: via-b, subnet: data-b, security_groups: [default]}}
  - {{name: via-c, subnet: data-c, security_groups: [default]}}
  - {{name: via-small, subnet: small-b, security_groups: [default]}}
jobs:
  - name: picky
    connections: [via-a, via-b]
    workers: 1
    retry: {{attempts: 3, backoff: 300ms, rules: [{{log: 'no route to host', class: zone}}]}}
    command: [/bin/sh, -c, "[ $SIGNALBOX_ZONE = a ] || exit 0; echo 'connect: No route to host'; exit 7"]
  - {{name: broken, connections: [via-a], workers: 1, retry: {{attempts: 3, backoff: 100ms}}, command: [/bin/sh, -c, "exit 78"]}}
  - {{name: hopeless, connections: [via-a], workers: 1, retry: {{attempts: 3, backoff: 100ms}}, command: [/bin/sh, -c, "exit 7"]}}
  - {{name: patient, connections: [via-a], workers: 1, retry: {{attempts: 3, backoff: 1h, backoff_max: 24h}}, command: [/bin/sh, -c, "exit 7"]}}
  - {{name: keyed, connections: [via-b], workers: 1, max_concurrent_runs: 50, command: [/bin/sh, -c, "echo $* >> {folder}/keyed"]}}
  - {{name: slow, connections: [via-b], workers: 1, max_concurrent_runs: 9, command: [/bin/sleep, "60"]}}
  - name: talker
    connections: [via-a, via-b]
    workers: 1
    max_concurrent_runs: 50
    retry: {{attempts: 3, backoff: 500ms}}
    command: [/usr/bin/python3, -c, {talk}, "25"]
  - {{name: marked, connections: [via-a, via-b], workers: 2, max_concurrent_runs: 50, retry: {{attempts: 2, backoff: 100ms}}, command: [/bin/sh, -c, "echo $SIGNALBOX_RUN_ID-$SIGNALBOX_RANK >> {folder}/marks; while [ $(grep -c ^$SIGNALBOX_RUN_ID- {folder}/marks) -lt 2 ]; do sleep 0.1; done"]}}
  - {{name: burst, connections: [via-small], workers: 2, max_concurrent_runs: 200, command: [/bin/sleep, "0.5"]}}
"""

PROGRAM = """
  - name: own
    connections: [via-a, via-b, via-c]
    workers: 1
    strategy: program
    program: {{command: {command}, deadline: 400ms}}
    command: [/bin/true]
"""


class Jobs:
    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder
        self.config = os.path.join(folder, "signalbox.yaml")
        text = CONFIG.format(socket=lab.api_socket, folder=folder, talk=json.dumps(TALK))
        with open(self.config, "w") as file:
            file.write(text)

    def argv(self, command, *arguments):
        return [SIGNALBOX, "job", command, "-c", self.config, *arguments]

    def call(self, command, *arguments, expect=0, timeout=90):
        done = subprocess.run(self.argv(command, *arguments), capture_output=True, text=True, timeout=timeout)
        assert done.returncode == expect, f"{command} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if expect in (0, 1) and done.stdout else done.stdout + done.stderr

    def json(self, command, *arguments, expect=0):
        return json.loads(self.call(command, *arguments, "--output", "json", expect=expect))

    def runs(self, job, limit=1000):
        return self.json("runs", job, "--limit", str(limit))["items"]

    def api(self, method, path, body=None):
        token = open(os.path.join(self.folder, "state.db.token")).read().strip()
        command = ["curl", "-sS", "--unix-socket", f"{self.folder}/api.sock", "-X", method, "-m", "20", "-w", "\n%{http_code}",
                   "-H", f"Authorization: Bearer {token}", "http://signalbox" + path]
        if body is not None:
            command += ["-d", json.dumps(body)]
        text, status = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rsplit("\n", 1)
        return int(status), json.loads(text)

    def api_run(self, run):
        return self.api("GET", f"/v1/runs/{run}")[1]


class Daemon:
    def __init__(self, jobs):
        self.jobs = jobs

    def __enter__(self):
        self.log = open(os.path.join(self.jobs.folder, "serve.log"), "w")
        self.process = subprocess.Popen([SIGNALBOX, "serve", "-c", self.jobs.config], stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert "ready" in self.process.stdout.readline()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(20) == 0


@pytest.fixture(scope="module")
def lab():
    with Lab(LAB) as running:
        yield running


@pytest.fixture
def jobs(lab, tmp_path):
    yield Jobs(lab, str(tmp_path))
    for process in lab.items("/v1/processes"):
        if process["state"] == "running":
            lab.api("DELETE", f"/v1/processes/{process['id']}?grace_ms=100")


def test_a_retry_goes_to_another_zone_and_its_end_is_the_runs_end(jobs):
    run = jobs.json("run", "picky", "--wait")
    assert (run["state"], run["attempt"], run["zone"]) == ("SUCCEEDED", 1, "b")
    assert run["id"].endswith("_attempt_1") and run["previous"] == run["id"][:-len("_attempt_1")]
    first = jobs.json("show", run["previous"])
    assert (first["state"], first["zone"], first["next"]) == ("FAILED", "a", run["id"])
    assert first["verdict"]["class"] == "zone"
    assert [one["state"] for one in first["attempts"]] == ["FAILED", "SUCCEEDED"]
    shown = jobs.call("show", run["id"][:12])
    assert "ATTEMPT" in shown and "2 (this)" in shown and run["previous"] in shown
    assert [r["attempt"] for r in jobs.runs("picky")] == [1, 0]
    assert "No route to host" in jobs.call("logs", run["previous"])


def test_what_can_not_succeed_is_not_tried_again_and_what_fails_everywhere_ends(jobs):
    broken = jobs.json("run", "broken", "--wait", expect=1)
    assert (broken["state"], broken["attempt"], broken["verdict"]["class"]) == ("FAILED", 0, "permanent")
    hopeless = jobs.json("run", "hopeless", "--wait", expect=1)
    assert (hopeless["state"], hopeless["attempt"], hopeless["exit_code"]) == ("FAILED", 2, 7)
    assert len(jobs.runs("hopeless")) == 3


def test_a_stop_ends_a_run_that_waits_for_its_retry(jobs):
    run = jobs.json("run", "patient")
    waiting = wait_for(lambda: next((r for r in jobs.runs("patient") if r["attempt"] == 1), None), 20, "the retry")
    assert waiting["state"] == "WAITING" and "attempt 2 of at most 3" in waiting["reason"]
    # By the first attempt's id, as the user knows it.
    stopped = jobs.json("stop", jobs.runs("patient")[-1]["id"])
    assert stopped["state"] == "STOPPED" and stopped["id"] == waiting["id"]
    assert [r["state"] for r in jobs.runs("patient")] == ["STOPPED", "FAILED"], run


def test_a_key_makes_one_run_however_often_it_is_asked_for(jobs):
    first = jobs.json("run", "keyed", "--wait", "--argument", "day=1", "--idempotency-key", "k1")
    again = jobs.json("run", "keyed", "--wait", "--argument", "day=1", "--idempotency-key", "k1")
    assert first["id"] == again["id"]
    assert "other arguments" in jobs.call("run", "keyed", "--argument", "day=2", "--idempotency-key", "k1", expect=1)
    both = [subprocess.Popen(jobs.argv("run", "keyed", "--wait", "--output", "json", "--idempotency-key", "k2"),
                             stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({json.loads(one.communicate(timeout=60)[0])["id"] for one in both}) == 1
    assert len(open(os.path.join(jobs.folder, "keyed")).readlines()) == 2
    assert len(jobs.runs("keyed")) == 2


def test_a_decision_is_taken_again_from_its_record_byte_for_byte(jobs):
    run = jobs.json("run", "picky", "--wait")
    first = jobs.json("show", run["previous"])
    for attempt in (first, run):
        at = attempt["starting_at"]
        assert jobs.call("explain", "picky", "--at", at, "--output", "json") == json.dumps(attempt["decision"], indent=2, ensure_ascii=False) + "\n" \
            or jobs.json("explain", "picky", "--at", at) == attempt["decision"]
        assert jobs.call("explain", "picky", "--at", at) == jobs.call("explain", "picky", "--at", at)
    assert "no decision of job 'picky'" in jobs.call("explain", "picky", "--at", "2020-01-01T00:00:00Z", expect=1)
    with sqlite3.connect(os.path.join(jobs.folder, "state.db")) as store:
        store.execute("update journal set data = replace(data, 'via-b', 'via-x') where kind = 'run-decision-input'")
    assert "comes out differently" in jobs.call("explain", "picky", "--at", run["starting_at"], expect=3)


@pytest.mark.parametrize("script, zone, word", [
    ("cat >/dev/null; echo via-c; echo via-b", "c", None),
    ("echo via-b; sleep 30", "a", "did not end within 400ms"),
    ("yes via-b", "a", "more than 65536 bytes"),
    ("echo via-b; kill -9 $$", "a", "signal 9"),
    ("echo via-b; exit 2", "a", "exit code 2"),
    ("echo via-nowhere", "a", "via-nowhere"),
])
def test_a_strategy_of_the_users_own_orders_or_falls_back_and_says_so(jobs, script, zone, word):
    with open(jobs.config, "a") as file:
        file.write(PROGRAM.format(command=json.dumps(["/bin/sh", "-c", script])))
    run = jobs.json("run", "own", "--wait")
    assert (run["state"], run["zone"]) == ("SUCCEEDED", zone)
    assert run["decision"]["strategy"] == ("ordered" if word else "program")
    assert (word or "") in run["decision"]["fallback"]
    if word:
        assert word in jobs.call("show", run["id"])


def test_a_strategy_program_gets_the_candidates_with_all_facts(jobs):
    script = f"import json,sys; json.dump(json.load(sys.stdin), open('{jobs.folder}/seen','w')); print('via-b')"
    with open(jobs.config, "a") as file:
        file.write(PROGRAM.format(command=json.dumps(["/usr/bin/python3", "-c", script])).replace("400ms", "10s"))
    assert jobs.json("run", "own", "--wait")["connection"]["name"] == "via-b"
    seen = json.load(open(f"{jobs.folder}/seen"))
    assert [c["connection"]["name"] for c in seen["candidates"]] == ["via-a", "via-b", "via-c"]
    assert all(c["free_addresses"] > 100 and c["zone"] for c in seen["candidates"])


def test_runs_are_started_followed_and_stopped_over_the_api(jobs):
    with Daemon(jobs):
        body = {"arguments": {"day": "1"}, "idempotency_key": "tuesday"}
        status, run = jobs.api("POST", "/v1/jobs/keyed/runs", body)
        assert status == 201
        assert jobs.api("POST", "/v1/jobs/keyed/runs", body) [0] == 200
        assert jobs.api("POST", "/v1/jobs/keyed/runs", body)[1]["id"] == run["id"]
        status, error = jobs.api("POST", "/v1/jobs/keyed/runs", {"arguments": {"day": "2"}, "idempotency_key": "tuesday"})
        assert status == 409 and "other arguments" in error["error"]["message"]
        wait_for(lambda: jobs.api_run(run["id"])["state"] == "SUCCEEDED", 20, "the run's end", every=0.2)
        assert [item["name"] for item in jobs.api("GET", "/v1/jobs")[1]["items"]][0] == "picky"
        assert [item["id"] for item in jobs.api("GET", "/v1/jobs/keyed/runs")[1]["items"]] == [run["id"]]
        _, slow = jobs.api("POST", "/v1/jobs/slow/runs")
        wait_for(lambda: jobs.api_run(slow["id"])["state"] == "RUNNING", 20, "a running run", every=0.2)
        assert jobs.api("POST", f"/v1/runs/{slow['id']}/stop")[0] == 202
        wait_for(lambda: jobs.api_run(slow["id"])["state"] == "STOPPED", 20, "the stopped run", every=0.2)
        assert jobs.api("POST", f"/v1/runs/{slow['id']}/stop")[0] == 409
        assert jobs.api("POST", "/v1/jobs/nobody/runs")[0] == 404


def test_a_zone_that_is_cut_under_running_runs_costs_each_of_them_one_attempt(jobs, lab):
    service = lab.popen("/usr/bin/python3", "-c",
                        "import socket\ns=socket.create_server(('',7000),backlog=200)\nwhile True: s.accept()[0].close()", node="ops")
    try:
        with Daemon(jobs):
            ids = [jobs.api("POST", "/v1/jobs/talker/runs")[1]["id"] for _ in range(6)]
            wait_for(lambda: all(jobs.api_run(run)["state"] == "RUNNING" for run in ids), 40, "six running runs", every=0.3)
            in_a = [run for run in ids if jobs.api_run(run)["zone"] == "a"]
            assert in_a, "nothing to cut"
            lab.ctl("fail", "a")

            def last(run):
                one = jobs.api_run(run)
                return jobs.api_run(one["next"]) if one["next"] else one
            wait_for(lambda: all(last(run)["state"] == "SUCCEEDED" for run in ids), 90, "six runs that succeeded", every=0.5)
            for run in in_a:
                assert (last(run)["attempt"], last(run)["zone"]) == (1, "b"), last(run)
    finally:
        lab.ctl("heal", "a")
        service.kill()


def test_a_command_that_is_killed_at_random_moments_starts_every_node_once(jobs):
    draw = random.Random(20)
    for _ in range(12):
        starting = subprocess.Popen(jobs.argv("run", "marked", "--wait"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0, 0.5))
        starting.kill()
        starting.wait()
    runs = wait_for(lambda: (lambda all_runs: all_runs if all(r["state"] == "SUCCEEDED" for r in all_runs) else None)(jobs.runs("marked")),
                    60, "the end of all runs", every=0.5)
    marks = sorted(open(os.path.join(jobs.folder, "marks")).read().split()) if runs else []
    assert marks == sorted(f"{run['id']}-{rank}" for run in runs for rank in range(2))


def test_a_burst_beyond_the_addresses_waits_and_nobody_fails(jobs):
    with Daemon(jobs):
        ids = [jobs.api("POST", "/v1/jobs/burst/runs")[1]["id"] for _ in range(24)]
        wait_for(lambda: all(jobs.api_run(run)["state"] in ("SUCCEEDED", "FAILED", "ERROR") for run in ids), 150, "all ends", every=0.5)
        runs = [jobs.api_run(run) for run in ids]
    assert [run["state"] for run in runs] == ["SUCCEEDED"] * 24, [run["reason"] for run in runs]
    assert all(not node["refusal"] for run in runs for node in run["nodes"]), "nobody was refused an address that he was promised"


def test_a_full_disk_starts_nothing_and_says_so(lab, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    try:
        # The store alone is on the small disk: nodes do not see what is mounted after the lab came up.
        os.symlink(disk / "state.db", tmp_path / "state.db")
        jobs = Jobs(lab, str(tmp_path))
        jobs.call("runs", "marked")
        subprocess.run(["dd", "if=/dev/zero", f"of={disk}/rest", "bs=4k"], capture_output=True)
        before = len(lab.items("/v1/processes"))
        text = jobs.call("run", "marked", expect=3)
        assert "full" in text and "state.db" in text, text
        time.sleep(1)
        assert len(lab.items("/v1/processes")) == before and not os.path.exists(tmp_path / "marks")
        os.unlink(disk / "rest")
        assert jobs.json("run", "marked", "--wait")["state"] == "SUCCEEDED"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
