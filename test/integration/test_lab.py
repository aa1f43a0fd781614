"""The lab itself: real networks, real servers, real failovers, and nothing left behind."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from lab_fixture import DEMO, LAB, Lab, read_ledgers, wait_for


@pytest.fixture(scope="module")
def lab():
    begin = time.monotonic()
    with Lab() as lab:
        assert time.monotonic() - begin < 30
        lab.sql("orders.cluster.lab", "create table ledger (writer int, sequence int, primary key (writer, sequence))")
        yield lab


@pytest.fixture(autouse=True)
def healthy(request):
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").wait_healthy()


def processes_of(directory):
    """Processes of this machine that belong to a lab, by what their command lines name."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if directory.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def network_namespaces():
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            pass
    return found


def new_writer(lab, old):
    return wait_for(lambda: lab.writer_name() not in (None, old) and lab.writer_name(), 15, f"a writer other than {old}")


def test_readers_hold_what_the_writer_took(lab):
    lab.sql("orders.cluster.lab", "create table copied (v int); insert into copied values (7)")
    for member in lab.members():
        wait_for(lambda: lab.sql(member, "select v from copied", check=False) == [["7"]], 5, f"the row on {member}")


def test_a_reader_refuses_writes(lab):
    reader = next(name for name, m in lab.members().items() if m["role"] == "reader")
    result = lab.exec("mariadb", "--no-defaults", "-h", reader + ".lab", "-u", "app", "orders", "-e", "create table x (v int)",
                      check=False, env=dict(os.environ, MYSQL_PWD="app-demo"))
    assert "1290" in result.stderr


def test_a_killed_writer_is_replaced_without_losing_an_acknowledged_row(lab, tmp_path):
    ledgers = [str(tmp_path / f"ledger-{i}") for i in range(8)]
    for i, ledger in enumerate(ledgers):
        lab.writer(i, ledger)
    wait_for(lambda: all(os.path.exists(f) and "ok 50" in open(f).read() for f in ledgers), 20, "50 rows of each writer")
    # Often, since a fault in the acknowledgement loses a row in about every second kill.
    for _ in range(4):
        old = lab.writer_name()
        address = lab.members()[old]["address"]
        lab.ctl("kill", old)
        new = new_writer(lab, old)
        assert lab.exec("dig", "+short", "CNAME", "orders.cluster.lab").stdout.strip() == new + ".lab."
        lab.wait_healthy()
        time.sleep(0.3)
    for process in lab._processes:
        process.kill()
    time.sleep(0.3)
    assert lab.members()[old]["role"] == "reader" and lab.members()[old]["address"] == address
    acknowledged, sent = read_ledgers(ledgers)
    query = "select writer, sequence from ledger"
    rows = {tuple(row) for row in lab.sql(new, query)}
    assert len(acknowledged) > 400
    assert not acknowledged - rows, "acknowledged rows are lost"
    assert rows <= sent
    for member in lab.members():
        wait_for(lambda: {tuple(row) for row in lab.sql(member, query)} == rows, 10, f"{member} holds the same rows")


def test_a_paused_writer_is_replaced(lab):
    old = lab.writer_name()
    lab.ctl("pause", old)
    new = new_writer(lab, old)
    lab.sql(new, "create or replace table after_pause (v int)")


def test_a_blackholed_writer_is_replaced_and_comes_back_as_a_reader_when_healed(lab):
    old = lab.writer_name()
    lab.ctl("blackhole", old)
    new = new_writer(lab, old)
    assert lab.sql(old, "select 1", check=False) is None
    lab.sql(new, "create or replace table after_blackhole (v int)")
    lab.ctl("heal", old)
    lab.wait_healthy()
    wait_for(lambda: lab.sql(old, "select count(*) from after_blackhole", check=False) == [["0"]], 10, "the table on the old writer")


def test_a_failed_zone_cuts_its_nodes_and_its_way_out(lab):
    lab.ctl("failover", "orders", "--to", "orders-1", check=lab.writer_name() != "orders-1")
    lab.wait_healthy()
    web = ["curl", "-sS", "-m", "2", "http://203.0.113.1/"]
    assert "internet" in lab.exec(*web, node="ops").stdout
    lab.ctl("fail", "a")
    assert lab.exec(*web, node="ops", check=False).returncode != 0
    assert "internet" in lab.exec(*web, node="client").stdout
    states = {zone["id"]: zone["state"] for zone in lab.items("/v1/zones")}
    assert states == {"a": "impaired", "b": "available"}
    routes = {table["id"]: {r["target"]: r["state"] for r in table["routes"]} for table in lab.items("/v1/route-tables")}
    assert routes["out-a"]["nat:nat-a"] == "blackhole" and routes["out-b"]["nat:nat-b"] == "active"
    assert new_writer(lab, "orders-1") == "orders-2"
    lab.sql("orders-2", "create or replace table after_zone (v int)", node="client")
    lab.ctl("heal", "a")
    assert "internet" in lab.exec(*web, node="ops").stdout
    lab.wait_healthy()


def test_a_planned_failover_goes_where_it_was_told(lab):
    target = next(name for name, m in lab.members().items() if m["role"] == "reader")
    seen = len(lab.items("/v1/events?after=0"))
    answer = json.loads(lab.ctl("failover", "orders", "--to", target, "--output", "json").stdout)
    assert answer["writer"] == target == lab.writer_name()
    kinds = [event["kind"] for event in lab.items("/v1/events?after=0")[seen:]]
    assert kinds == ["failover-started", "failover-completed"]
    again = lab.ctl("failover", "orders", "--to", target, check=False)
    assert again.returncode == 1 and "already the writer" in again.stderr


def test_a_last_member_goes_on_alone_and_a_reader_that_returns_gets_what_it_missed(lab):
    writer = lab.writer_name()
    readers = [name for name in lab.members() if name != writer]
    for reader in readers:
        lab.ctl("kill", reader, "--stay-down")
    lab.sql(writer, "create or replace table alone (v int); insert into alone values (1)", timeout=10)
    refused = lab.ctl("failover", "orders", check=False)
    assert refused.returncode == 1 and "nobody can take over" in refused.stderr
    # Nobody else holds what it acknowledged alone: the same member must be elected again.
    lab.ctl("kill", writer)
    wait_for(lambda: lab.writer_name() == writer, 15, "the same writer again")
    assert lab.sql(writer, "select v from alone") == [["1"]]
    for reader in readers:
        lab.ctl("start", reader)
    lab.wait_healthy()
    for reader in readers:
        wait_for(lambda: lab.sql(reader, "select v from alone", check=False) == [["1"]], 10, f"the row on {reader}")


def test_a_server_shows_a_certificate_of_the_labs_own_authority(lab):
    for host in ("orders-1.lab", "orders.cluster.lab", "10.0.1.5"):
        result = lab.exec("mariadb", "--no-defaults", "-N", "-h", host, "-u", "app", "orders", "--ssl-verify-server-cert",
                          f"--ssl-ca={lab.directory}/ca.pem", "-e", "show status like 'Ssl_version'",
                          env=dict(os.environ, MYSQL_PWD="app-demo"))
        assert "TLS" in result.stdout


def test_a_failover_over_the_api_is_accepted_at_once_and_done_later(lab):
    old = lab.writer_name()
    to = next(name for name in lab.members() if name != old)
    assert lab.api("POST", "/v1/clusters/orders/failover", {"to": to}) == (202, {"cluster": "orders", "state": "failing-over"})
    wait_for(lambda: lab.writer_name() == to, 10, f"{to} as the writer")
    lab.wait_healthy()
    for body, expected in (({"to": to}, 409), ({"to": "nobody"}, 404), ({"too": to}, 400), ({"to": 1}, 400)):
        assert lab.api("POST", "/v1/clusters/orders/failover", body)[0] == expected
    assert lab.api("POST", "/v1/clusters/nothing/failover", {})[0] == 404


def test_a_reader_that_claims_to_be_the_writer_takes_writes_until_it_is_healed(lab):
    writer = lab.writer_name()
    claimer = next(name for name in lab.members() if name != writer)
    lab.ctl("claim", claimer)
    lab.sql(claimer, "create table stray (v int)")
    assert lab.members()[claimer]["state"] == "claiming" and lab.writer_name() == writer
    lab.sql(writer, "create or replace table meanwhile (v int)")
    lab.ctl("heal", claimer)
    lab.wait_healthy()
    wait_for(lambda: lab.sql(claimer, "select * from meanwhile", check=False) == [], 10, "the claimer to follow")
    assert lab.sql(claimer, "show tables like 'stray'") == []


def test_the_resolver_knows_its_zone_and_nothing_else(lab):
    assert lab.exec("dig", "+short", "orders-2.lab").stdout.strip() == "10.0.2.6"
    assert lab.exec("dig", "+tcp", "+short", "ops.lab").stdout.strip() == "10.0.1.10"
    assert "NXDOMAIN" in lab.exec("dig", "nobody.lab").stdout
    assert "REFUSED" in lab.exec("dig", "example.org").stdout
    assert " 5\t" in lab.exec("dig", "orders.cluster.lab").stdout.replace("\tIN", " ").replace("  ", " ") or \
        "\t5\tIN\tCNAME" in lab.exec("dig", "orders.cluster.lab").stdout


def start(lab, token, subnet, *command, groups=("default",)):
    return lab.api("POST", "/v1/processes", {"token": token, "name": token, "subnet": subnet, "security_groups": list(groups),
                                             "command": list(command), "environment": {"GREETING": "hello"}, "directory": "/"})


def test_a_process_gets_a_node_of_its_own_and_gives_the_address_back(lab, tmp_path):
    free = {subnet["id"]: subnet["free_addresses"] for subnet in lab.items("/v1/subnets")}
    out = tmp_path / "out"
    status, process = start(lab, "t-1", "data-a", "sh", "-c", f"echo $GREETING > {out}; ip -4 -o addr show eth0 >> {out}; sleep 100")
    assert status == 201 and process["state"] == "running"
    assert process["zone"] == "a" and process["address"].startswith("10.0.1.")
    wait_for(lambda: out.exists() and len(out.read_text().splitlines()) == 2, 5, "the process's output")
    assert out.read_text().startswith("hello") and process["address"] + "/24" in out.read_text()
    status, again = start(lab, "t-1", "data-a", "sleep", "1")
    assert status == 200 and again["id"] == process["id"]
    assert {s["id"]: s["free_addresses"] for s in lab.items("/v1/subnets")}["data-a"] == free["data-a"] - 1
    begin = time.monotonic()
    status, ended = lab.api("DELETE", f"/v1/processes/{process['id']}?grace_ms=5000")
    assert status == 200 and ended["state"] == "exited" and ended["signal"] == signal.SIGTERM
    assert time.monotonic() - begin < 3
    assert {s["id"]: s["free_addresses"] for s in lab.items("/v1/subnets")} == free
    assert [p["state"] for p in lab.items("/v1/processes?token=t-1")] == ["exited"]


def test_a_process_that_ends_by_itself_is_remembered_with_its_exit_code(lab):
    _, process = start(lab, "t-2", "data-b", "sh", "-c", "exit 9")
    ended = wait_for(lambda: next((p for p in lab.items("/v1/processes?token=t-2") if p["state"] == "exited"), None), 5, "its end")
    assert ended["exit_code"] == 9 and ended["signal"] is None and ended["ended_at"] >= ended["started_at"]


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(lab):
    _, process = start(lab, "t-3", "data-a", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    time.sleep(0.3)
    status, ended = lab.api("DELETE", f"/v1/processes/{process['id']}?grace_ms=300")
    assert status == 200 and ended["signal"] == signal.SIGKILL


def test_faults_of_a_process_request_are_named(lab):
    status, body = start(lab, "t-4", "full-b", "true")
    assert status == 409 and body["error"]["kind"] == "unavailable"
    assert "11 addresses" in body["error"]["message"] and "tenants-of-full-b" in body["error"]["message"]
    status, body = start(lab, "t-5", "data-x", "true")
    assert status == 404 and "data-a" in body["error"]["message"]
    status, body = start(lab, "t-6", "data-a", "/no/such/program")
    assert status >= 400 and "/no/such/program" in body["error"]["message"]
    status, body = lab.api("POST", "/v1/processes", {"token": "t-7"})
    assert status == 400 and "'name'" in body["error"]["message"]


def test_routes_and_security_groups_are_real(lab, tmp_path):
    def run(token, subnet, script, groups=("default",)):
        out = tmp_path / token
        start(lab, token, subnet, "sh", "-c", f"{script} > {out} 2>&1; echo end >> {out}", groups=groups)
        return wait_for(lambda: out.exists() and "end" in out.read_text() and out.read_text(), 15, token)
    web = "curl -sS -m 2 http://203.0.113.1/"
    assert "internet" in run("r-1", "data-a", web)
    assert "internet" not in run("r-2", "isolated-a", web)
    # The isolated one still reaches its network; the group of the members lets 3306 in and nothing else.
    assert "open" in run("r-3", "isolated-a", "bash -c '</dev/tcp/orders-2.lab/3306' && echo open", groups=())
    listener = lab.popen("/usr/bin/python3", "-m", "http.server", "8000", node="ops", stderr=subprocess.DEVNULL)
    probe = "sleep 0.5; curl -sS -m 2 -o /dev/null http://10.0.1.10:8000/ && echo open"
    assert "open" in run("r-4", "data-b", probe)
    assert "open" not in run("r-5", "data-b", probe, groups=())
    listener.kill()


def test_exec_keeps_directory_exit_code_and_signals(lab, tmp_path):
    result = lab.exec("sh", "-c", "pwd; exit 7", check=False, cwd=tmp_path)
    assert result.returncode == 7 and result.stdout.strip() == str(tmp_path)
    mark = tmp_path / "mark"
    process = lab.popen("sh", "-c", f"trap 'echo caught > {mark}; exit 3' TERM; echo up; while :; do sleep 0.05; done", stdout=subprocess.PIPE)
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(5) == 3 and mark.read_text() == "caught\n"
    assert lab.exec("true", node="nowhere", check=False).returncode == 1


def test_what_exec_runs_dies_with_it(lab):
    process = lab.popen("sleep", "4711")
    wait_for(lambda: lab.exec("pgrep", "-f", "sleep 4711", check=False).stdout, 5, "the sleeper")
    process.kill()
    wait_for(lambda: not lab.exec("pgrep", "-xf", "sleep 4711", check=False).stdout, 5, "the sleeper's end")


def test_two_labs_live_side_by_side(lab):
    with Lab() as other:
        other.sql("orders.cluster.lab", "create table only_here (v int)")
        assert lab.sql("orders.cluster.lab", "show tables like 'only_here'") == []
        assert subprocess.run([LAB, "status"], capture_output=True).returncode == 2
    assert lab.writer_name()


def test_nothing_is_left_when_process_1_is_killed():
    before_links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    before = network_namespaces()
    with Lab() as lab:
        directory = lab.directory
        start(lab, "k-1", "data-a", "sleep", "1000")
        assert len(processes_of(directory)) >= 3
        assert len(network_namespaces() - before) >= 5
        pid = int(open(directory + "/lab.pid").read().split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not processes_of(directory + "/"), 10, "the end of its processes")
        wait_for(lambda: not network_namespaces() - before, 10, "the end of its namespaces")
        assert directory not in open("/proc/mounts").read()
        result = lab.ctl("status", check=False)
        assert result.returncode == 1 and "does not run" in result.stderr
        lab.up()  # clears up after the crash by itself
        assert lab.writer_name() == "orders-1"
        lab.ctl("down")
        lab.ctl("down")
        assert not os.path.exists(directory)
    assert subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout == before_links


def test_every_fault_of_a_lab_file_is_reported_at_once(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(DEMO.replace("zone: b, cidr: 10.0.2.0/24", "zone: c, cidr: 10.0.1.0/25")
                    .replace("target: \"nat:nat-b\"", "target: \"nat:nat-x\"")
                    .replace("name: orders-3, subnet: data-a", "name: orders-2, subnet: data-z")
                    + "colour: red\n")
    result = subprocess.run([LAB, "up", str(file), "--name", "bad"], capture_output=True, text=True)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert all(line.startswith(f"{file}:") for line in lines), lines
    for expected in ("no zone 'c'", "overlaps subnet 'data-a'", "no NAT gateway 'nat-x'", "orders-2", "no subnet 'data-z'", "colour"):
        assert any(expected in line for line in lines), (expected, lines)
    assert not os.path.exists("/run/signalbox-lab/bad")


def test_without_privileges_the_missing_capability_is_named(tmp_path):
    file = tmp_path / "lab.yaml"
    file.write_text(DEMO)
    result = subprocess.run(["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", LAB, "up", str(file), "--name", "weak"],
                            capture_output=True, text=True)
    assert result.returncode == 3
    assert "CAP_SYS_ADMIN" in result.stderr and "CAP_NET_ADMIN" not in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_lab_that_can_not_come_up_says_why_and_leaves_nothing():
    lab = Lab(DEMO.replace("ALL ON orders.*", "ALL ON orders.*.*"))
    result = subprocess.run([LAB, "up", lab.file, "--name", lab.name], capture_output=True, text=True)
    assert result.returncode == 3
    assert "user 'app'" in result.stderr and "grant" in result.stderr
    assert not os.path.exists(lab.directory) and not processes_of(lab.directory)
    lab.down()


PHASES = r"""
import socket, subprocess, sys, time
seen, begin = {}, time.monotonic()
def state(address):
    with socket.socket() as s:
        s.settimeout(0.3)
        try:
            s.connect((address, 3306))
            return "up" if s.recv(1) else "down"
        except OSError:
            return "down"
def alias(name):
    return subprocess.run(["dig", "+short", "CNAME", name], capture_output=True, text=True).stdout.strip()
while time.monotonic() - begin < 15.5:
    for key, value in (("orders-1", state("10.0.1.5")), ("orders-2", state("10.0.2.6")),
                       ("writer", alias("orders.cluster.lab")), ("reader", alias("orders.reader.lab"))):
        if seen.get(key) != value:
            seen[key] = value
            print(time.monotonic(), key, value, flush=True)
"""


def phases_of_a_stretched_failover(planned):
    """Plays one and returns what was seen of it, when it was wrong by more than half a second, or nothing."""
    with Lab(DEMO.replace("    users:", "    failover: {like: aurora}\n    users:", 1)) as lab:
        watch = lab.popen("/usr/bin/python3", "-c", PHASES, stdout=subprocess.PIPE)
        time.sleep(0.5)
        begin = time.monotonic()
        lab.ctl(*(["failover", "orders", "--to", "orders-2", "--like", "aurora"] if planned else ["kill", "orders-1"]))
        changes = [(float(at) - begin, key, value) for at, key, value in map(str.split, watch.communicate(timeout=30)[0].splitlines())]
        assert [event["kind"] for event in lab.items("/v1/events?after=0")] == ["failover-started"]
        lab.wait_healthy()
    published = {("orders-2", "down"): 0.0, ("orders-2", "up"): 5.5, ("orders-1", "down"): 4.8 if planned else 0.0,
                 ("orders-1", "up"): 9.3, ("writer", "orders-2.lab."): 14.0, ("reader", "orders-1.lab."): 13.5}
    seen = {change: next((at for at, k, v in changes if (k, v) == change and at > -0.1), None) for change in published}
    late = {change: at for change, at in seen.items() if at is None or abs(at - published[change]) >= 0.5}
    return late, changes


@pytest.mark.parametrize("planned", [True, False])
def test_a_failover_like_aurora_keeps_the_published_times(planned):
    # The lab keeps to the times whenever it gets its share of the processors: a machine that was busy gets a second chance.
    late, changes = phases_of_a_stretched_failover(planned)
    if late:
        late, changes = phases_of_a_stretched_failover(planned)
    assert not late, changes
