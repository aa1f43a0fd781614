"""Kernel endpoints, in a real kernel with real TCP: a client, a router with the endpoints, two servers."""

import errno
import socket
import threading
import time

import pytest
from kernel_world import DRIVER, Server, Sniffer, World, wait_for

ENDPOINT = ("10.7.1.1", 3306)
READERS = ("10.7.1.1", 3307)
OPEN = "open w shop 10.7.1.1:3306 writer"
TO_A = "10.7.2.2:3306"
TO_B = "10.7.3.2:3306"
SOON = 2.0  # seconds; what takes milliseconds on a machine that does nothing else


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()


def greeted(client):
    name = b""
    while not name.endswith(b":"):
        data = client.recv(1)
        assert data, "the server closed the connection"
        name += data
    return name[:-1].decode()


def echo(client, data=b"hello"):
    client.sendall(data)
    got = b""
    while len(got) < len(data):
        part = client.recv(65536)
        assert part, "the server closed the connection"
        got += part
    assert got == data


def connected(host, to, address=ENDPOINT):
    client = host.connect(address)
    assert greeted(client) == to
    return client


def settled(host, to, address=ENDPOINT):
    """A connection to the server of that name, as soon as one is led there."""
    def attempt():
        client = None
        try:
            client = host.connect(address)
            if greeted(client) == to:
                return client
        except ConnectionError:
            pass
        if client:
            client.close()
        return None
    return wait_for(attempt, what=f"a route to {to}")


def refused(host, address=ENDPOINT):
    """Seconds until the refusal."""
    start = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        host.connect(address)
    return time.monotonic() - start


def is_reset(client, timeout=SOON):
    client.settimeout(timeout)
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return False


def is_reset_when_it_sends(client):
    try:
        client.sendall(b"late")
    except ConnectionResetError:
        return True
    return is_reset(client)


def routed(world, options=""):
    a, b = world.server(world.a), world.server(world.b)
    driver = world.driver()
    driver.say(f"{OPEN} {options}")
    driver.say(f"route shop 1 m-a {TO_A}")
    return driver, a, b


def test_a_flow_runs_through_the_kernel_and_is_counted(world):
    driver, a, _ = routed(world)
    client = settled(world.client, "a")
    echo(client, b"x" * 100_000)
    assert a.clients[-1].startswith("10.7.2.1:"), "the member sees our address"
    wait_for(lambda: driver.stats("w")["bytes_to_client"] > 100_000, what="the counts")
    stats = driver.stats("w")
    assert stats["address"] == "10.7.1.1:3306" and stats["accepted"] == 1 and stats["sessions"] == 1
    assert stats["bytes_to_server"] > 100_000 and stats["bytes_to_client"] > 100_000 and stats["note"] == ""
    assert driver.say("sessions shop") == "1"
    client.close()
    wait_for(lambda: driver.stats("w")["sessions"] == 0, what="no session")


def test_without_masquerade_the_member_sees_the_client(world):
    _, a, _ = routed(world, "nomasquerade")
    client = settled(world.client, "a")
    assert a.clients[-1] == "%s:%d" % client.getsockname()[:2]


def test_while_there_is_no_writer_connects_are_refused_at_once(world):
    driver = world.driver()
    driver.say(OPEN)
    assert refused(world.client) < SOON
    wait_for(lambda: driver.stats("w")["refused"] == 1, what="the count")
    a = world.server(world.a)
    driver.say(f"route shop 1 m-a {TO_A}")
    client = settled(world.client, "a")
    driver.say("hold shop 1")
    time.sleep(0.2)
    assert refused(world.client) < SOON
    echo(client)
    assert len(a.clients) == 1


def test_a_fence_ends_flows_and_the_former_writer_gets_no_byte_after_it(world):
    driver, a, b = routed(world)
    clients = [settled(world.client, "a") for _ in range(8)]
    seen_as = set(a.clients)
    failures = []

    def send(client):
        try:
            for _ in range(100_000):
                echo(client, b"y" * 200)
        except OSError as error:
            failures.append((time.monotonic(), error.errno))

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    before, acknowledged, result = driver.fence("shop", 2)
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive(), "a client hangs"
    assert [error for _, error in failures] == [errno.ECONNRESET] * 8
    assert max(at for at, _ in failures) - before < SOON
    assert result["closed"] == 8 and set(result["sessions"]["m-a"]) == seen_as
    wait_for(lambda: len(a.ended) == 8, what="the server's sessions' end")
    # What reached the server's socket before the acknowledgement may be read by its thread a moment later.
    assert a.bytes_after(acknowledged + 0.05) == 0
    assert refused(world.client) < SOON
    driver.say(f"route shop 2 m-b {TO_B}")
    echo(settled(world.client, "b"))
    wait_for(lambda: driver.stats("w")["fenced"] == 8, what="the count")
    assert b.bytes_after(0) == len(b"hello")


def test_silent_ends_learn_of_a_fence_at_once(world):
    driver, a, _ = routed(world)
    client = settled(world.client, "a")
    before, _, _ = driver.fence("shop", 2)
    assert is_reset(client), "a client that only waits is reset"
    wait_for(lambda: a.ended, what="the silent server session's end")
    assert a.ended[0][0] - before < SOON


def test_a_client_that_was_not_reached_is_reset_when_it_sends(world):
    driver, a, b = routed(world)
    client = settled(world.client, "a")
    # It hears nothing of the fence.
    world.client.run("ip", "link", "set", "eth0", "down")
    driver.fence("shop", 2)
    driver.say(f"route shop 2 m-b {TO_B}")
    world.client.run("ip", "link", "set", "eth0", "up")
    world.client.run("ip", "route", "replace", "default", "via", "10.7.1.1")
    assert is_reset_when_it_sends(client)
    assert a.bytes_after(0) == 0 and b.bytes_after(0) == 0 and not b.clients


def test_no_packet_in_mid_stream_reaches_the_new_writer(world):
    driver, _, b = routed(world)
    client = settled(world.client, "a")
    # A client that never learns: it does not hear resets, and goes on sending what it sent before.
    world.client.run("nft", "-f", "-", input="table ip deaf { chain in { type filter hook input priority 0; "
                                             "tcp flags & rst == rst drop; }; }")
    sniffer = world.add(Sniffer(world.b))
    driver.fence("shop", 2)
    driver.say(f"route shop 2 m-b {TO_B}")
    port = client.getsockname()[1]
    for _ in range(10):
        client.sendall(b"mid-stream")
        time.sleep(0.1)
    assert [packet for packet in sniffer.packets if packet[2] == port] == []
    assert not b.clients


def test_a_client_may_come_back_from_the_same_port_at_once(world):
    driver, _, _ = routed(world)
    settled(world.client, "a").close()

    def from_one_port():
        with world.client.inside():
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("10.7.1.2", 20_000))
            client.settimeout(3)
            client.connect(ENDPOINT)
        return client

    first = from_one_port()
    assert greeted(first) == "a"
    driver.fence("shop", 2)
    assert is_reset(first)
    first.close()
    driver.say(f"route shop 2 m-b {TO_B}")
    settled(world.client, "b").close()
    assert greeted(from_one_port()) == "b"


def test_a_syn_under_way_at_the_fence_goes_to_the_new_writer_or_nowhere(world):
    driver, a, b = routed(world)
    settled(world.client, "a")
    world.a.run("nft", "-f", "-", input="table ip slow { chain in { type filter hook input priority 0; "
                                        "tcp flags & (syn | ack) == syn drop; }; }")
    with world.client.inside():
        client = socket.socket()
        client.setblocking(False)
        assert client.connect_ex(ENDPOINT) == errno.EINPROGRESS
    time.sleep(0.2)
    driver.fence("shop", 2)
    driver.say(f"route shop 2 m-b {TO_B}")
    time.sleep(0.1)
    world.a.run("nft", "flush", "ruleset")
    client.settimeout(5)
    try:
        assert greeted(client) == "b"
    except ConnectionError:
        pass
    assert len(a.clients) == 1


def test_running_flows_outlive_a_killed_daemon_but_new_ones_are_refused_after_the_lease(world):
    driver, a, _ = routed(world, "lease=1s")
    client = settled(world.client, "a")
    driver.kill()
    killed = time.monotonic()
    echo(client)
    wait_for(lambda: _is_refused(world.client), timeout=5, what="the lease's end")
    assert time.monotonic() - killed < 1.0 + SOON
    echo(client)
    # The next process adopts the flow, serves the same epoch, and ends the flow with it.
    driver = world.driver()
    driver.say(f"{OPEN} lease=1s")
    driver.say("hold shop 0")
    echo(client)
    assert refused(world.client) < SOON
    driver.say(f"route shop 1 m-a {TO_A}")
    settled(world.client, "a").close()
    echo(client)
    wait_for(lambda: driver.stats("w")["sessions"] == 1, what="one session")
    seen_as = a.clients[0]
    _, acknowledged, result = driver.fence("shop", 2)
    assert seen_as in result["sessions"]["m-a"] and result["closed"] >= 1
    assert is_reset(client)
    assert a.bytes_after(acknowledged + 0.05) == 0


def _is_refused(host, address=ENDPOINT):
    try:
        host.connect(address).close()
        return False
    except ConnectionRefusedError:
        return True


def test_another_epoch_ends_what_a_killed_daemon_left(world):
    driver, _, _ = routed(world)
    client = settled(world.client, "a")
    driver.kill()
    driver = world.driver()
    driver.say(OPEN)
    echo(client)
    driver.say(f"route shop 2 m-b {TO_B}")
    settled(world.client, "b")
    assert is_reset(client)


def test_with_static_the_last_route_stays_without_a_daemon(world):
    driver, _, _ = routed(world, "lease=500ms static")
    settled(world.client, "a").close()
    driver.kill()
    time.sleep(1.5)
    echo(connected(world.client, "a"))


def test_a_normal_end_refuses_new_flows_at_once_and_keeps_running_ones(world):
    driver, _, _ = routed(world)
    client = settled(world.client, "a")
    driver.stop()
    assert refused(world.client) < SOON
    echo(client)


def test_what_is_not_opened_again_is_removed_with_its_flows(world):
    driver, _, _ = routed(world)
    client = settled(world.client, "a")
    driver.kill()
    driver = world.driver(options=["--adopt-within", "500ms"])
    driver.say("open other shop2 10.7.1.1:3399 writer")
    echo(client)
    assert is_reset(client, timeout=5)


def test_remove_clears_up_for_a_configuration_without_kernel_endpoints(world):
    driver, _, _ = routed(world)
    client = settled(world.client, "a")
    driver.kill()
    assert world.ops.run(DRIVER, "one", "--remove").stdout == "ok\n"
    assert is_reset(client)
    assert world.ops.run("nft", "list", "ruleset").stdout == ""


def test_a_closed_endpoint_ends_its_flows_and_leaves_nothing(world):
    driver, a, _ = routed(world)
    client = settled(world.client, "a")
    driver.say("close w")
    assert is_reset(client)
    wait_for(lambda: a.ended, what="the server session's end")
    assert refused(world.client) < SOON
    assert world.ops.run("nft", "list", "ruleset").stdout == ""


def test_readers_get_flows_by_weight(world):
    a, b = world.server(world.a), world.server(world.b)
    driver = world.driver()
    driver.say("open r shop 10.7.1.1:3307 reader")
    assert refused(world.client, READERS) < SOON
    driver.say(f"readers shop r m-a={TO_A}=25 m-b={TO_B}=75")
    wait_for(lambda: not _is_refused(world.client, READERS), what="readers")
    for _ in range(400):
        world.client.connect(READERS).close()
    wait_for(lambda: len(a.clients) + len(b.clients) == 401, what="all clients")
    # 401 draws at 1/4: 100 ± 5 standard deviations of 8.7.
    assert 56 < len(a.clients) < 144, len(a.clients)


def test_a_reader_that_leaves_loses_its_flows_and_a_draining_one_keeps_them(world):
    world.server(world.a), world.server(world.b)
    driver = world.driver()
    driver.say("open r shop 10.7.1.1:3307 reader")
    driver.say(f"readers shop r m-a={TO_A}=100")
    client = settled(world.client, "a", READERS)
    driver.say(f"readers shop r m-a={TO_A}=100=draining m-b={TO_B}=100")
    settled(world.client, "b", READERS).close()
    for _ in range(20):
        connected(world.client, "b", READERS).close()
    echo(client)
    driver.say(f"readers shop r m-b={TO_B}=100")
    assert is_reset(client)
    driver.say("readers shop r")
    wait_for(lambda: _is_refused(world.client, READERS), what="an empty set")


def test_a_fence_ends_reader_flows_on_the_former_writer_too(world):
    driver, _, _ = routed(world)
    driver.say("open r shop 10.7.1.1:3307 reader")
    driver.say(f"readers shop r m-a={TO_A}=1")
    on_writer = settled(world.client, "a", READERS)
    driver.say(f"readers shop r m-a={TO_A}=1 m-b={TO_B}=100")
    on_other = settled(world.client, "b", READERS)
    settled(world.client, "a").close()
    _, _, result = driver.fence("shop", 2)
    assert is_reset(on_writer)
    echo(on_other)
    assert "10.7.2.1:" in str(result["sessions"]["m-a"])
    driver.say(f"readers shop r m-a={TO_A}=1")
    settled(world.client, "a", READERS)


def test_clients_on_the_same_host_are_served_and_fenced(world):
    driver, a, _ = routed(world)
    client = settled(world.ops, "a")
    echo(client)
    _, _, result = driver.fence("shop", 2)
    assert result["sessions"]["m-a"] == a.clients
    assert is_reset(client)
    assert refused(world.ops) < SOON
    driver.say(f"route shop 2 m-b {TO_B}")
    echo(settled(world.ops, "b"))


def test_a_member_on_the_same_host_is_reached(world):
    world.add(Server(world.ops, ("10.7.1.1", 4000)))
    driver = world.driver()
    driver.say(OPEN)
    driver.say("route shop 1 m-ops 10.7.1.1:4000")
    remote, local = settled(world.client, "ops"), settled(world.ops, "ops")
    echo(remote)
    echo(local)
    driver.fence("shop", 2)
    assert is_reset(remote) and is_reset(local)


def test_ipv6_endpoints_work_and_families_do_not_mix(world):
    world.add(Server(world.a, ("fd07:2::2", 3306)))
    driver = world.driver()
    driver.say("open w shop [fd07:1::1]:3306 writer")
    driver.say(f"route shop 1 m-a {TO_A}")
    wait_for(lambda: "another address family" in driver.stats("w")["note"], what="the note")
    driver.say("route shop 1 m-a [fd07:2::2]:3306")
    client = settled(world.client, "a", ("fd07:1::1", 3306))
    echo(client)
    _, _, result = driver.fence("shop", 2)
    assert result["closed"] == 1 and result["sessions"]["m-a"][0].startswith("[fd07:2::1]:")
    assert is_reset_when_it_sends(client)


def test_two_daemons_on_one_host_do_not_disturb_each_other(world):
    first, _, _ = routed(world)
    second = world.driver("two")
    text = second.refused("open w shop 10.7.1.1:3306 writer")
    assert "10.7.1.1:3306" in text and "in use" in text
    second.say("open w shop 10.7.1.1:3310 writer")
    second.say(f"route shop 7 m-b {TO_B}")
    mine, other = settled(world.client, "a"), settled(world.client, "b", ("10.7.1.1", 3310))
    second.fence("shop", 8)
    assert is_reset(other)
    echo(mine)
    second.kill()
    echo(mine)
    first.fence("shop", 2)
    assert is_reset(mine)


def test_calls_of_an_older_epoch_are_ignored(world):
    driver, _, _ = routed(world)
    settled(world.client, "a").close()
    driver.fence("shop", 3)
    driver.say(f"route shop 2 m-a {TO_A}")
    time.sleep(0.3)
    assert refused(world.client) < SOON
    driver.say(f"route shop 3 m-b {TO_B}")
    settled(world.client, "b")
    driver.say("hold shop 2")
    time.sleep(0.3)
    connected(world.client, "b")


def test_a_fence_without_anything_open_is_acknowledged(world):
    driver = world.driver()
    _, _, result = driver.fence("shop", 5)
    assert result["closed"] == 0


def test_rules_that_somebody_flushed_come_back_and_flows_go_on(world):
    driver, _, _ = routed(world, "lease=1s")
    client = settled(world.client, "a")
    world.ops.run("nft", "flush", "ruleset")
    wait_for(lambda: not _is_refused(world.client), what="the rules")
    echo(client)
    assert any("written again" in problem for problem in driver.problems)
    world.ops.run("nft", "flush", "ruleset")
    driver.fence("shop", 2)
    assert is_reset(client)


def test_a_host_that_does_not_forward_refuses_remote_clients_and_says_why(world):
    driver, _, _ = routed(world)
    settled(world.client, "a").close()
    world.ops.sysctl("net.ipv4.ip_forward", 0)
    wait_for(lambda: "net.ipv4.ip_forward" in driver.stats("w")["note"], what="the note")
    assert refused(world.client) < SOON
    echo(connected(world.ops, "a"))
    world.ops.sysctl("net.ipv4.ip_forward", 1)
    settled(world.client, "a")


def test_more_flows_than_allowed_are_refused(world):
    _, _, _ = routed(world, "max=5")
    clients = [settled(world.client, "a") for _ in range(5)]
    assert refused(world.client) < SOON
    for client in clients:
        client.close()
    settled(world.client, "a")


def test_settings_change_while_flows_run(world):
    driver, a, _ = routed(world)
    client = settled(world.client, "a")
    driver.say("update w shop 10.7.1.1:3306 writer nomasquerade lease=2s")
    echo(client)
    second = connected(world.client, "a")
    assert a.clients[-1] == "%s:%d" % second.getsockname()[:2]


@pytest.mark.parametrize("address, text", [
    ("0.0.0.0:3306", "needs one address of this host"),
    ("db.example:3306", "is not an IP address"),
    ("10.9.9.9:3306", "is no address of this host"),
])
def test_an_address_that_cannot_be_served_is_one_clear_error(world, address, text):
    driver = world.driver()
    assert text in driver.refused(f"open w shop {address} writer")
    assert world.ops.run("nft", "list", "ruleset").stdout == ""


def test_an_address_that_somebody_listens_on_is_in_use(world):
    world.add(Server(world.ops, ENDPOINT))
    assert "in use" in world.driver().refused(OPEN)


def test_without_rights_the_missing_capability_is_named(world):
    driver = world.driver(prefix=["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"])
    text = driver.refused(OPEN)
    assert "endpoint 'w'" in text and "CAP_NET_ADMIN" in text and "\n" not in text


def test_without_raw_sockets_a_silent_client_is_reset_when_it_sends(world):
    a = world.server(world.a)
    driver = world.driver(prefix=["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"])
    driver.say(OPEN)
    assert any("CAP_NET_RAW" in problem for problem in driver.problems)
    driver.say(f"route shop 1 m-a {TO_A}")
    client = settled(world.client, "a")
    driver.fence("shop", 2)
    assert not is_reset(client, timeout=0.3)
    assert is_reset_when_it_sends(client)
    assert a.bytes_after(0) == 0


def test_a_thousand_flows_are_fenced_in_a_moment(world):
    driver, a, _ = routed(world)
    settled(world.client, "a").close()
    clients = [world.client.connect(ENDPOINT) for _ in range(1000)]
    wait_for(lambda: len(a.clients) == 1001, what="all clients")
    before, acknowledged, result = driver.fence("shop", 2)
    assert result["closed"] == 1000 and len(result["sessions"]["m-a"]) >= 1000
    assert acknowledged - before < SOON
    for client in clients:
        assert is_reset(client)


