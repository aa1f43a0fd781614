"""The peers that figures stand beside: HAProxy, as good at following a writer as its own means allow, and as a plain relay."""
import pathlib
import subprocess
import threading
import time

# The question of the role check, asked with the database's own client. It fails when the server says that it is read-only.
CHECKS = {
    "mariadb": """#!/bin/sh
# Called by HAProxy: proxy's address and port, server's address and port.
answer=$(mariadb --defaults-extra-file={secret} --connect-timeout=1 -h "$3" -P "$4" -NBe 'SELECT @@global.read_only') || exit 1
[ "$answer" = 0 ]
""",
    "postgresql": """#!/bin/sh
# Called by HAProxy: proxy's address and port, server's address and port.
export PGPASSFILE={secret}
answer=$(psql "host=$3 port=$4 user={user} dbname=postgres connect_timeout=2" -XAtc 'SELECT pg_is_in_recovery()') || exit 1
[ "$answer" = f ]
""",
}

GLOBAL = """global
    log stdout format raw local0 info
    maxconn 4000
    stats socket {socket} mode 600 level admin
"""

DEFAULTS = """defaults
    mode tcp
    log global
    timeout connect 1s
    timeout client 1h
    timeout server 1h
"""

# Of what can be chosen: one failed check marks down, one good one marks up, and a refused connect is told to the client at
# once in place of a second's wait before HAProxy's own next try.
FOLLOWING = GLOBAL + """    external-check
    insecure-fork-wanted
""" + DEFAULTS + """    timeout check 1s
    retries 0

listen db
    bind {listen}
    option external-check
    external-check path /usr/bin:/bin
    external-check command {command}
    default-server check inter 1s fall 1 rise 1 on-marked-down shutdown-sessions
"""

RELAYING = GLOBAL + DEFAULTS + """
listen relay
    bind {listen}
    server target {target}
"""

# An external balancer whose backend somebody else keeps right.
TARGET_GROUP = GLOBAL + DEFAULTS + """
frontend front
    bind {listen}
    default_backend targets
backend targets
    balance leastconn
"""


def version() -> str:
    """"HAProxy 2.6"; without the number where there is none."""
    try:
        done = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "HAProxy"
    return "HAProxy " + ".".join(done.stdout.split()[2].split(".")[:2])


def write_secret(out: pathlib.Path, engine: str, user: str, password: str) -> pathlib.Path:
    """The file from which the database's own client takes the password: command lines are public."""
    secret = out / f"{engine}-{user}.secret"
    secret.touch(mode=0o600)
    secret.write_text(f"[client]\nuser={user}\npassword={password}\n" if engine == "mariadb" else f"*:*:*:{user}:{password}\n")
    return secret


def write_check(out: pathlib.Path, engine: str, user: str, password: str) -> pathlib.Path:
    command = out / f"haproxy-{engine}-check"
    command.write_text(CHECKS[engine].format(secret=write_secret(out, engine, user, password), user=user))
    command.chmod(0o755)
    return command


def following(out: pathlib.Path, engine: str, listen: str, members: list[dict], user: str, password: str) -> str:
    """The text of a configuration that follows the writer of these members."""
    command = write_check(out, engine, user, password)
    text = FOLLOWING.format(socket=out / "haproxy-following.sock", listen=listen, command=command)
    return text + "".join(f"    server {m['id']} {m['address']}:{m['port']}\n" for m in members)


class HAProxy:
    """One HAProxy whose log is read as it is written. `prefix`: what runs a command where it shall run."""

    def __init__(self, out: pathlib.Path, name: str, text: str, prefix: list[str]):
        file = out / f"haproxy-{name}.cfg"
        file.write_text(text)
        self.lines: list[tuple[float, str]] = []
        self.child = subprocess.Popen([*prefix, "haproxy", "-db", "-f", str(file)], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, cwd=out)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.child.stdout:
            self.lines.append((time.time(), line.rstrip()))

    def marked_down(self, server: str, after: float) -> float | None:
        """When it first marked the server down after that moment."""
        wanted = f"Server db/{server} is DOWN"
        return next((at for at, line in list(self.lines) if at >= after and wanted in line), None)

    def running(self) -> bool:
        return self.child.poll() is None

    def words(self) -> str:
        return "\n".join(line for _, line in self.lines[-10:])

    def close(self) -> None:
        if self.running():
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.reader.join(5)
