"""Target groups of the lab: a real balancer whose targets change while it runs, over the API and over its own socket."""

import os
import signal
import socket
import subprocess
import time

import pytest

from lab_fixture import Lab, wait_for

TEXT = """
zones: [a]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets: [{name: data-a, zone: a, cidr: 10.0.1.0/24}]
hosts:
  - {name: ops, subnet: data-a, address: 10.0.1.10}
  - {name: one, subnet: data-a, address: 10.0.1.11}
  - {name: two, subnet: data-a, address: 10.0.1.12}
target_groups:
  - {name: quick, subnet: data-a, address: 10.0.1.20, port: 80, health_check: 300ms}
  - {name: slow, subnet: data-a, port: 80, registration_delay: 1s, drain: 2s, health_check: 0}
"""

SERVER = """
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 9000)); s.listen(50)
import threading
def serve(c):
    while True:
        try:
            if not c.recv(100): return
            c.sendall(sys.argv[1].encode() + b"\\n")
        except OSError:
            return
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""
CLIENT = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 80), 2); s.settimeout(2)
for _ in range(int(sys.argv[2])):
    s.sendall(b"?")
    answer = s.recv(100)
    if not answer: print("end", flush=True); sys.exit()
    print(answer.decode().strip(), flush=True)
    time.sleep(0.05)
"""
ONE = {"address": "10.0.1.11", "port": 9000}
TWO = {"address": "10.0.1.12", "port": 9000}


@pytest.fixture(scope="module")
def lab():
    with Lab(TEXT) as lab:
        for name in ("one", "two"):
            lab.popen("/usr/bin/python3", "-c", SERVER, name, node=name)
        yield lab


def ask(lab, group, count=1):
    return lab.exec("/usr/bin/python3", "-c", CLIENT, f"{group}.lab", str(count), check=False).stdout.split()


def states(lab, group):
    return {item["address"]: item["state"] for item in lab.items(f"/v1/target-groups/{group}/targets")}


def change(lab, group, action, *targets):
    status, body = lab.api("POST", f"/v1/target-groups/{group}/{action}", {"targets": list(targets)})
    assert (status, body) == (202, {})


@pytest.fixture(autouse=True)
def empty(lab):
    for group in ("quick", "slow"):
        change(lab, group, "deregister", ONE, TWO)
        wait_for(lambda: states(lab, group) == {}, 10, f"an empty {group}")


def runtime(lab, line, group="quick"):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(next(g for g in lab.items("/v1/target-groups") if g["id"] == group)["runtime_socket"])
        s.sendall(line.encode() + b"\n")
        return b"".join(iter(lambda: s.recv(65536), b"")).decode().strip()


def test_a_group_says_what_it_is(lab):
    quick, slow = lab.items("/v1/target-groups")
    assert quick == {"id": "quick", "protocol": "tcp", "address": "10.0.1.20", "port": 80, "subnet": "data-a", "zone": "a", "state": "active",
                     "registration_delay_ms": 200, "drain_ms": 0, "runtime_socket": lab.directory + "/quick.sock", "backend": "targets"}
    assert slow["registration_delay_ms"] == 1000 and slow["drain_ms"] == 2000
    assert os.stat(quick["runtime_socket"]).st_mode & 0o777 == 0o600


def test_an_empty_group_accepts_and_closes(lab):
    assert ask(lab, "quick") in ([], ["end"])


def test_a_registered_target_is_initial_then_healthy_and_gets_traffic(lab):
    change(lab, "quick", "register", ONE)
    assert states(lab, "quick") == {"10.0.1.11": "initial"}
    wait_for(lambda: states(lab, "quick") == {"10.0.1.11": "healthy"}, 5, "a healthy target")
    assert ask(lab, "quick", 2) == ["one", "one"]
    change(lab, "quick", "register", ONE)  # the same again
    assert states(lab, "quick") == {"10.0.1.11": "healthy"}


def test_a_registration_takes_effect_after_its_delay(lab):
    begin = time.monotonic()
    change(lab, "slow", "register", ONE)
    wait_for(lambda: states(lab, "slow") == {"10.0.1.11": "healthy"}, 5, "a healthy target", every=0.01)
    assert time.monotonic() - begin >= 1


def test_a_deregistered_targets_sessions_end_at_once_without_a_drain(lab):
    change(lab, "quick", "register", ONE)
    wait_for(lambda: states(lab, "quick") == {"10.0.1.11": "healthy"}, 5, "a healthy target")
    client = lab.popen("/usr/bin/python3", "-c", CLIENT, "quick.lab", "200", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert client.stdout.readline() == "one\n"
    change(lab, "quick", "deregister", ONE)
    begin = time.monotonic()
    client.wait(5)
    assert time.monotonic() - begin < 2
    wait_for(lambda: states(lab, "quick") == {}, 5, "an empty group")


def test_a_drained_targets_sessions_may_go_on_for_a_while(lab):
    change(lab, "slow", "register", ONE, TWO)
    wait_for(lambda: set(states(lab, "slow").values()) == {"healthy"}, 5, "healthy targets")
    client = lab.popen("/usr/bin/python3", "-c", CLIENT, "slow.lab", "400", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    name = client.stdout.readline().strip()
    used, other = (ONE, "two") if name == "one" else (TWO, "one")
    begin = time.monotonic()
    change(lab, "slow", "deregister", used)
    assert states(lab, "slow")[used["address"]] == "draining"
    assert [ask(lab, "slow") for _ in range(3)] == [[other]] * 3
    client.wait(10)
    assert 1.5 < time.monotonic() - begin < 5
    wait_for(lambda: len(states(lab, "slow")) == 1, 5, "one target")


def test_a_target_that_does_not_answer_is_unhealthy_and_gets_nothing(lab):
    change(lab, "quick", "register", ONE, {"address": "10.0.1.12", "port": 9001})
    wait_for(lambda: states(lab, "quick") == {"10.0.1.11": "healthy", "10.0.1.12": "unhealthy"}, 5, "one of each")
    assert [ask(lab, "quick") for _ in range(4)] == [["one"]] * 4
    change(lab, "quick", "deregister", {"address": "10.0.1.12", "port": 9001})


def test_what_somebody_does_over_the_runtime_socket_is_seen(lab):
    assert "registered" in runtime(lab, "add server targets/mine 10.0.1.12:9000")
    assert states(lab, "quick") == {"10.0.1.12": "unused"}
    runtime(lab, "enable server targets/mine")
    assert states(lab, "quick") == {"10.0.1.12": "healthy"} and ask(lab, "quick") == ["two"]
    runtime(lab, "set server targets/mine state drain")
    assert states(lab, "quick") == {"10.0.1.12": "draining"}


def test_a_balancer_that_dies_comes_back_empty(lab):
    change(lab, "quick", "register", ONE)
    wait_for(lambda: states(lab, "quick") == {"10.0.1.11": "healthy"}, 5, "a healthy target")
    pids = lab.exec("pgrep", "-f", f"haproxy.*{lab.directory}/data/quick/").stdout.split()
    lab.exec("kill", "-9", *pids)
    wait_for(lambda: lab.api("GET", "/v1/target-groups/quick/targets") == (200, {"items": []}), 5, "an empty group")
    change(lab, "quick", "register", ONE)
    wait_for(lambda: states(lab, "quick") == {"10.0.1.11": "healthy"}, 5, "a healthy target")


def test_faults_of_a_call_are_named(lab):
    assert lab.api("POST", "/v1/target-groups/none/register", {"targets": []})[0] == 404
    for body in ({}, {"targets": [{"address": "one"}]}, {"targets": [{"address": "10.0.1.11", "port": 0}]}, {"targets": [ONE] * 101}):
        assert lab.api("POST", "/v1/target-groups/quick/register", body)[0] == 400
    assert lab.api("GET", "/v1/target-groups/quick/register")[0] == 404
