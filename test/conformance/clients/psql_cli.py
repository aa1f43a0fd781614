"""A shell user's work with psql: psql_cli.py features|writes …"""
import signal
import subprocess
import time

from common import LARGE_ROWS, SLEEP_S, arguments, print_features, sum_of, write_on

_, action, place = arguments()
LARGE = f"SELECT repeat(encode(sha256(i::text::bytea), 'hex'), 16) FROM generate_series(1, {LARGE_ROWS}) AS i"
PLAIN = "sslmode=disable"


def command(options=PLAIN, port=place.port):
    where = f"host={place.host} port={port} user=app dbname=orders connect_timeout=20 {options}"
    return ["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", where]


def sql(*statements, options=PLAIN, port=place.port):
    words = [word for statement in statements for word in ("-c", statement)]
    done = subprocess.run([*command(options, port), *words], capture_output=True, text=True, timeout=90)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.splitlines()


def verified(authority):
    return f"sslmode=verify-ca sslrootcert={place.file(authority)}"


class Session:
    """One psql that reads statements from a pipe."""

    def __init__(self):
        self.child = subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, text):
        self.child.stdin.write(text + ";\n")
        line = self.child.stdout.readline().strip()
        if not line:
            raise ConnectionError(f"psql ended with {self.child.wait()}")
        return line


def make_table():
    return f"DROP TABLE IF EXISTS {place.table}; CREATE TABLE {place.table} (id int PRIMARY KEY, text varchar(200))"


def loaded(_):
    return int(sql("SET client_min_messages = error", make_table(), f"\\copy {place.table} FROM '{place.file('load.tsv')}'",
                   f"SELECT count(*) FROM {place.table} WHERE text = encode(sha256(id::text::bytea), 'hex')")[0])


def copied_out(_):
    file = place.file(place.name + ".out")
    sql(f"\\copy (SELECT * FROM {place.table} ORDER BY id) TO '{file}'")
    with open(file) as got, open(place.file("load.tsv")) as expected:
        text = got.read()
        return len(text.splitlines()) if text == expected.read() else "other rows"


def transaction(_):
    rows = sql("SET client_min_messages = error", make_table(), "BEGIN", f"INSERT INTO {place.table} VALUES (1, 'one'), (2, 'two')", "COMMIT",
               "BEGIN", f"INSERT INTO {place.table} VALUES (3, 'three')", "ROLLBACK", f"SELECT id FROM {place.table} ORDER BY id")
    return [int(row) for row in rows]


def cancelled(options):
    """Ctrl-C: a cancel request on a connection of its own."""
    began = time.monotonic()
    child = subprocess.Popen([*command(options), "-c", f"SELECT pg_sleep({SLEEP_S}), '{place.name}'"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=60)
    soon = time.monotonic() - began < SLEEP_S / 2
    return True if "canceling statement due to user request" in errors and soon else f"{out} {errors}"


def other_authority(_):
    try:
        sql("SELECT 1", options=verified("other-ca.pem"))
    except RuntimeError as error:
        return "refused" if "certificate verify failed" in str(error) else str(error)
    return "accepted"


def idle(_):
    session = Session()
    who = "SELECT inet_server_addr() || ' ' || pg_backend_pid()"
    before = session.ask(who)
    return lambda: session.ask(who) == before


def writes():
    session = Session()

    def insert(number):
        text = f"INSERT INTO writes VALUES ('{place.name}', {number}, host(inet_server_addr())) RETURNING number"
        if session.ask(text) != str(number):
            raise ConnectionError("not acknowledged")

    def reconnect():
        nonlocal session
        session.child.kill()
        session.child.wait()
        session = Session()
        session.ask("SELECT 1")

    write_on(place, insert, reconnect)
    session.child.kill()


if action == "features":
    print_features(place, {
        "prepared": lambda _: [int(row) for row in sql("PREPARE p AS SELECT 6 * 7 + $1::int", *(f"EXECUTE p({n})" for n in range(3)))],
        "large": lambda _: sum_of(sql(LARGE)),
        "loaded": loaded,
        "copied_out": copied_out,
        "transaction": transaction,
        "cancelled": lambda _: cancelled(PLAIN),
        "tls": lambda _: sql("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl",
                             options=verified("ca.pem"))[0].startswith("TLS"),
        "tls_large": lambda _: sum_of(sql(LARGE, options=verified("ca.pem"))),
        "tls_cancelled": lambda _: cancelled(verified("ca.pem")),
        "tls_other_authority": other_authority,
        "reader": lambda _: sql("SELECT pg_is_in_recovery()", port=place.reader_port) == ["t"],
    }, idle)
else:
    writes()
