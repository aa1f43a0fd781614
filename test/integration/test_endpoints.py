"""The daemon's endpoints of every mode over one real cluster, a planned switchover, and events: through the programs' own commands."""

import json
import os
import subprocess
import time

import pytest

from lab_fixture import DEMO, SIGNALBOX, Lab, wait_for
from test_follow import ADDRESSES, Daemon

TEXT = DEMO + """
target_groups:
  - {name: orders-nlb, subnet: data-a, address: 10.0.1.30, port: 3306, health_check: 300ms}
"""

CONFIG = """
store: signalbox.db
api: {{listen: "unix:api.sock"}}
shards: 2
clusters:
  - name: orders
    user: signalbox
    password_file: password
    switchover: {{hook: [{hook}], drain: 1s, catch_up: 5s, promote: 20s}}
    members:
      - {{name: orders-1, address: 10.0.1.5:3306}}
      - {{name: orders-2, address: 10.0.2.6:3306}}
      - {{name: orders-3, address: 10.0.1.6:3306}}
endpoints:
  - {{name: w, cluster: orders, listen: 10.0.1.10:3306, hold: {{time: 30s, connections: 100}}}}
  - {{name: k, cluster: orders, mode: kernel, listen: 10.0.1.10:3307}}
  - {{name: r, cluster: orders, role: reader, listen: 10.0.1.10:3308, readers: {{slow_start: 0s}}}}
  - {{name: d, cluster: orders, mode: dns, listen: 10.0.1.10:53, dns: {{name: orders.db.internal}}}}
  - {{name: e, cluster: orders, mode: dns, role: reader, listen: 10.0.1.10:53, dns: {{name: orders-ro.db.internal}}}}
  - {{name: t, cluster: orders, mode: target-group, target_group: {{haproxy: {socket}, backend: targets}}}}
"""

HOOK = """#!/bin/sh
# Asks the lab, as a cloud, for the failover and waits until it says that it is done.
curl -sSf --unix-socket {socket} -X POST -H 'Content-Type: application/json' -d "{{\\"to\\": \\"$SIGNALBOX_TO\\"}}" \
    http://lab/v1/clusters/$SIGNALBOX_CLUSTER/failover && echo asked for $SIGNALBOX_TO instead of $SIGNALBOX_FROM
"""


@pytest.fixture(scope="module")
def lab():
    with Lab(TEXT) as one:
        # What an operator does for kernel endpoints: the daemon reads it and never changes it.
        one.exec("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One store for all: what a daemon leaves in the kernel belongs to the next one on its store."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def daemon(lab, folder):
    lab.wait_healthy(60)
    hook = folder / "promote"
    hook.write_text(HOOK.format(socket=lab.api_socket))
    hook.chmod(0o755)
    one = Daemon(lab, folder, CONFIG.format(hook=hook, socket=f"{lab.directory}/orders-nlb.sock"), wait=False)
    line = one.process.stdout.readline()
    assert line.startswith("ready:"), line + one.logged()
    one.wait_routed()
    yield one
    one.process.terminate()
    one.process.wait(20)


def server_at(lab, port, address="10.0.1.10", node="client", check=True):
    """Which member answers there, by its address; None if nobody does."""
    done = lab.exec("mariadb", "--no-defaults", "--connect-timeout=5", "-N", "-B", "-h", address, "-P", str(port), "-u", "app",
                    "orders", "-e", "SELECT @@hostname, @@server_id, @@read_only", node=node, check=check, timeout=30,
                    env=dict(os.environ, MYSQL_PWD="app-demo"))
    return done.stdout.split("\t") if done.returncode == 0 else None


def identity(lab, member):
    return lab.sql(ADDRESSES[member] + "", "SELECT @@server_id", node="client")[0][0]


def resolve(lab, name):
    done = lab.exec("dig", "+short", "+tries=1", "+time=2", "@10.0.1.10", name, "A", node="client", check=False)
    return done.stdout.split()


def all_lead_to(lab, writer):
    want = identity(lab, writer)
    for port, address in ((3306, "10.0.1.10"), (3307, "10.0.1.10"), (3306, "10.0.1.30")):
        found = wait_for(lambda: server_at(lab, port, address, check=False), 20, f"a server at {address}:{port}")
        assert found[1] == want, f"{address}:{port} leads to {found}, the writer is {writer} ({want})"
    assert resolve(lab, "orders.db.internal") == [ADDRESSES[writer]]


def command(daemon, *words, codes=(0,)):
    done = subprocess.run([SIGNALBOX, "cluster", *words, "-c", daemon.config], capture_output=True, text=True, timeout=120)
    assert done.returncode in codes, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}\n{daemon.logged()[-3000:]}"
    return done.stdout


def endpoint_of(daemon, name):
    return next(e for e in daemon.status()["endpoints"] if e["name"] == name)


def test_every_mode_leads_to_the_writer_before_and_after_a_failover(lab, daemon):
    writer = daemon.cluster()["writer"]
    all_lead_to(lab, writer)
    lab.ctl("kill", writer)
    after = daemon.wait_routed(other_than=writer)
    all_lead_to(lab, after)
    verified = [e for e in daemon.journal("--kind", "target-group-verified") if e["data"]["member"] == after]
    assert verified and verified[-1]["epoch"] == daemon.cluster()["epoch"]
    table = command(daemon, "failovers", "orders")
    assert writer in table and after in table
    assert "it alone passes every check" in command(daemon, "explain", "orders")


def test_readers_serve_readers_and_the_writer_does_not(lab, daemon):
    lab.wait_healthy(60)

    def readers():
        members = endpoint_of(daemon, "r")["members"]
        return members if len(members) == 2 else None
    members = wait_for(readers, 30, "two readers")
    writer = daemon.cluster()["writer"]
    assert writer not in members
    seen = {server_at(lab, 3308)[1] for _ in range(8)}
    assert seen == {identity(lab, member) for member in members}
    assert set(resolve(lab, "orders-ro.db.internal")) <= {ADDRESSES[member] for member in members}
    # A reader that is away is left out, and the other one goes on.
    lab.ctl("kill", members[0], "--stay-down")
    try:
        wait_for(lambda: endpoint_of(daemon, "r")["members"] == [members[1]], 20, "one reader")
        assert {server_at(lab, 3308)[1] for _ in range(4)} == {identity(lab, members[1])}
    finally:
        lab.ctl("start", members[0])


def test_a_planned_switchover_moves_everybody_and_says_how(lab, daemon):
    lab.wait_healthy(60)
    writer = daemon.wait_routed()
    # A target that did not answer a probe in time is refused: the machine may be that busy when all has just begun.
    wait_for(lambda: all(member["answers"] for member in daemon.cluster()["members"]), 30, "answers of all")
    target = next(name for name in ADDRESSES if name != writer)
    busy = lab.popen("mariadb", "--no-defaults", "-h", "10.0.1.10", "-u", "app", "orders", "-e", "SELECT SLEEP(60)", node="client",
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, MYSQL_PWD="app-demo"))
    wait_for(lambda: endpoint_of(daemon, "w")["sessions"] >= 1, 10, "a busy session")
    out = json.loads(command(daemon, "switchover", "orders", "--to", target, "--output", "json"))
    assert out["done"] and out["writer"] == target
    assert busy.wait(20) != 0
    all_lead_to(lab, target)
    record = daemon.journal("--kind", "failover")[-1]["data"]
    assert record["kind"] == "switchover" and record["from"] == writer and record["to"] == target
    assert record["sessions_closed"] >= 1
    steps = [e["data"]["step"] for e in daemon.journal("--kind", "switchover")]
    assert steps[0] == "asked" and "promoting" in steps and "done" in steps
    said = next(e["data"]["text"] for e in daemon.journal("--kind", "switchover") if e["data"]["step"] == "promoted")
    assert f"asked for {target} instead of {writer}" in said


def test_a_switchover_that_cannot_be_leaves_everything_where_it_was(lab, daemon):
    lab.wait_healthy(60)
    writer = daemon.wait_routed()
    epoch = daemon.cluster()["epoch"]
    done = subprocess.run([SIGNALBOX, "cluster", "switchover", "orders", "--to", writer, "-c", daemon.config], capture_output=True, text=True)
    assert done.returncode != 0 and "is the writer of cluster 'orders' already" in done.stderr
    done = subprocess.run([SIGNALBOX, "cluster", "switchover", "orders", "--to", "nobody", "-c", daemon.config], capture_output=True, text=True)
    assert done.returncode != 0 and "has no member 'nobody': its members are" in done.stderr
    # The hook's answer is no proof: it fails, nobody was promoted, and the former writer is proven again.
    with open(os.path.join(daemon.folder, "promote"), "w") as file:
        file.write("#!/bin/sh\necho no >&2\nexit 1\n")
    target = next(name for name in ADDRESSES if name != writer)
    out = command(daemon, "switchover", "orders", "--to", target, "--timeout", "60", codes=(1,))
    assert f"traffic goes to {writer}" in out
    # The fence was made, so the same member goes on in an epoch of its own.
    assert daemon.cluster()["epoch"] > epoch, json.dumps(daemon.journal("--kind", "switchover"), indent=1)
    all_lead_to(lab, writer)


def post(daemon, body):
    with open(os.path.join(daemon.folder, "signalbox.db.token")) as file:
        token = file.read().strip()
    done = subprocess.run(["curl", "-sS", "--unix-socket", os.path.join(daemon.folder, "api.sock"), "-X", "POST", "-H",
                           f"Authorization: Bearer {token}", "-d", body, "-w", "\n%{http_code}", "http://signalbox/v1/events"],
                          capture_output=True, text=True, check=True)
    return int(done.stdout.rsplit("\n", 1)[1])


def test_events_wake_probes_and_decide_nothing(lab, daemon):
    epoch = daemon.wait_routed() and daemon.cluster()["epoch"]
    lie = json.dumps({"cluster": "orders", "id": "7", "kind": "failover-completed", "text": "orders-3 is the writer now"})
    assert post(daemon, lie) == 202
    assert post(daemon, lie) == 202
    assert post(daemon, json.dumps({"cluster": "other", "kind": "x"})) == 404
    assert post(daemon, "{") == 400
    outcomes = wait_for(lambda: [e for e in daemon.journal("--kind", "event-outcome")] or None, 10, "what the event led to")
    assert "nothing changed" in json.dumps(outcomes[-1]["data"])
    assert len(daemon.journal("--kind", "event")) == 2
    assert daemon.cluster()["epoch"] == epoch


def test_watch_in_a_pipe_prints_a_line_for_each_change(lab, daemon):
    lab.wait_healthy(60)
    writer = daemon.wait_routed()
    watch = subprocess.Popen([SIGNALBOX, "cluster", "watch", "orders", "--interval", "0.1", "-c", daemon.config], stdout=subprocess.PIPE, text=True)
    try:
        assert f"-> {writer}" in watch.stdout.readline()
        lab.ctl("kill", writer)
        after = daemon.wait_routed(other_than=writer)
        end = time.monotonic() + 20
        lines = []
        while time.monotonic() < end and not (lines and f"-> {after}" in lines[-1]):
            lines.append(watch.stdout.readline())
        assert f"-> {after}" in lines[-1]
    finally:
        watch.terminate()
        assert watch.wait(10) == 0
