"""Hosts for the kernel plane's tests: network namespaces that only their holder processes keep, so that nothing is left
when the test dies, and real TCP servers and clients in them, with every byte's time."""

import contextlib
import ctypes
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.environ.get("KERNEL_DRIVER_BIN") or os.path.join(ROOT, "build/release/test/kernel_driver")
_libc = ctypes.CDLL("libc.so.6", use_errno=True)
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(condition, timeout=10.0, what="the condition", every=0.01):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout} s"
        time.sleep(every)


class Host:
    def __init__(self, name):
        self.name = name
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=_die_with_parent)
        own = os.readlink("/proc/self/ns/net")
        wait_for(lambda: self._namespace() not in (None, own), what="a namespace")
        self.run("ip", "link", "set", "lo", "up")

    def _namespace(self):
        try:
            return os.readlink(f"/proc/{self.holder.pid}/ns/net")
        except OSError:
            return None

    def command(self, *words):
        return ["nsenter", "-t", str(self.holder.pid), "--net", *words]

    def run(self, *words, check=True, **more):
        return subprocess.run(self.command(*words), check=check, capture_output=True, text=True, timeout=30, **more)

    def sysctl(self, name, value):
        self.run("sysctl", "-qw", f"{name}={value}")

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes within belong to the host."""
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.holder.pid}/ns/net") as there:
            assert _libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert _libc.setns(home.fileno(), CLONE_NEWNET) == 0

    def connect(self, address, timeout=3.0):
        with self.inside():
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            client = socket.socket(family, socket.SOCK_STREAM)
            client.settimeout(timeout)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                client.connect(address)
            except BaseException:
                client.close()
                raise
        client.settimeout(10)
        return client

    def close(self):
        self.holder.kill()
        self.holder.wait()


class Server:
    """Echoes what it reads, after its own name and a colon on each connection; keeps what came when."""

    def __init__(self, host, address):
        self.name = host.name
        self.received = []  # (monotonic time, bytes)
        self.clients = []   # peers, as this server sees them
        self.ended = []     # (monotonic time, peer, error or None)
        with host.inside():
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.listener = socket.socket(family, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(address)
            self.listener.listen(1000)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            self.clients.append(f"{peer[0]}:{peer[1]}")
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection, peer):
        error = None
        try:
            connection.sendall(self.name.encode() + b":")
            while data := connection.recv(65536):
                self.received.append((time.monotonic(), data))
                connection.sendall(data)
        except OSError as caught:
            error = caught
        self.ended.append((time.monotonic(), f"{peer[0]}:{peer[1]}", error))
        connection.close()

    def bytes_after(self, moment):
        return sum(len(data) for at, data in self.received if at > moment)

    def close(self):
        # shutdown() also wakes the thread that waits in accept().
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Sniffer:
    """TCP packets that arrive at a host: (flags, payload bytes, source port)."""

    def __init__(self, host):
        self.packets = []
        with host.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.settimeout(0.1)
        self.running = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.running:
            try:
                data, where = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            if where[2] == socket.PACKET_OUTGOING or data[9] != socket.IPPROTO_TCP:
                continue
            start = (data[0] & 15) * 4
            size = struct.unpack("!H", data[2:4])[0]
            self.packets.append((data[start + 13], size - start - (data[start + 12] >> 4) * 4,
                                 struct.unpack("!H", data[start:start + 2])[0]))

    def close(self):
        self.running = False
        self.thread.join()
        self.socket.close()


class Driver:
    """The kernel plane in a process of its own on a host."""

    def __init__(self, host, instance="one", options=(), prefix=()):
        self.process = subprocess.Popen(host.command(*prefix, DRIVER, instance, *options), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1, preexec_fn=_die_with_parent)
        self.answers = queue.Queue()
        self.barriers = queue.Queue()
        self.problems = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "barrier":
                self.barriers.put((time.monotonic(), json.loads(rest)))
            elif kind == "problem":
                self.problems.append(rest)
            else:
                self.answers.put((kind, rest))

    def say(self, command):
        self.process.stdin.write(command + "\n")
        kind, rest = self.answers.get(timeout=20)
        assert kind == "ok", f"{command}: {rest}"
        return rest

    def refused(self, command):
        self.process.stdin.write(command + "\n")
        kind, rest = self.answers.get(timeout=20)
        assert kind == "error", f"{command} did not fail: {rest}"
        return rest

    def stats(self, endpoint):
        return json.loads(self.say("stats"))[endpoint]

    def fence(self, cluster, epoch):
        """The moment before, the moment of the acknowledgement, what it said."""
        before = time.monotonic()
        self.say(f"fence {cluster} {epoch}")
        after, result = self.barriers.get(timeout=20)
        assert (result["cluster"], result["epoch"]) == (cluster, epoch)
        return before, after, result

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.write("exit\n")
            self.process.wait(timeout=20)


class World:
    """client — ops — a, b: ops is the router between them, and where the endpoints are."""

    def __init__(self):
        self.things = []
        self.ops = self.add(Host("ops"))
        self.client = self.add(Host("client"))
        self.a = self.add(Host("a"))
        self.b = self.add(Host("b"))
        self.ops.sysctl("net.ipv4.ip_forward", 1)
        self.ops.sysctl("net.ipv6.conf.all.forwarding", 1)
        for number, host in enumerate((self.client, self.a, self.b), 1):
            self._cable(host, number)

    def _cable(self, host, number):
        self.ops.run("ip", "link", "add", f"to-{host.name}", "type", "veth", "peer", "name", "eth0", "netns",
                     str(host.holder.pid))
        for where, device, end in ((self.ops, f"to-{host.name}", 1), (host, "eth0", 2)):
            where.run("ip", "address", "add", f"10.7.{number}.{end}/24", "dev", device)
            where.run("ip", "address", "add", f"fd07:{number}::{end}/64", "dev", device, "nodad")
            where.run("ip", "link", "set", device, "up")
        host.run("ip", "route", "add", "default", "via", f"10.7.{number}.1")
        host.run("ip", "-6", "route", "add", "default", "via", f"fd07:{number}::1")

    def add(self, thing):
        self.things.append(thing)
        return thing

    def server(self, host, address=None):
        number = {"client": 1, "a": 2, "b": 3}.get(host.name)
        return self.add(Server(host, address or (f"10.7.{number}.2", 3306)))

    def driver(self, *arguments, **more):
        driver = Driver(self.ops, *arguments, **more)
        self.things.append(driver)
        return driver

    def close(self):
        for thing in reversed(self.things):
            if isinstance(thing, Driver):
                thing.kill()
            else:
                thing.close()
