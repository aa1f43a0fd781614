"""A shell user's work with a command-line client: mysql_cli.py mariadb|mysql [MYSQL_ROOT] features|writes …"""
import os
import signal
import subprocess
import time

from common import LARGE_ROWS, SLEEP_S, arguments, print_features, sum_of, write_on

(flavour, *roots), action, place = arguments()
if flavour == "mariadb":
    PROGRAM = ["mariadb", "--no-defaults"]
    PLAIN, COMPRESS, VERIFY = ["--skip-ssl"], ["--compress"], "--ssl-ca="
else:
    root = roots[0]  # another Debian's programs, run by their own loader
    PROGRAM = [f"{root}/lib64/ld-linux-x86-64.so.2", "--library-path", f"{root}/usr/lib/x86_64-linux-gnu", f"{root}/usr/bin/mysql",
               "--no-defaults", f"--plugin-dir={root}/usr/lib/mysql/plugin"]
    PLAIN, COMPRESS, VERIFY = ["--ssl-mode=DISABLED", "--get-server-public-key"], ["--compression-algorithms=zlib"], "--ssl-mode=VERIFY_CA --ssl-ca="
MAKE_TABLE = f"DROP TABLE IF EXISTS {place.table}; CREATE TABLE {place.table} (id INT PRIMARY KEY, text VARCHAR(200))"
# In the condition of a table's rows MySQL tells an interrupted SLEEP as an error, as MariaDB always does.
LONG = f"SELECT seq AS `{place.name}` FROM seq_1_to_{LARGE_ROWS} WHERE SLEEP({SLEEP_S})"
LARGE = f"SELECT REPEAT(SHA2(seq, 256), 16) FROM seq_1_to_{LARGE_ROWS}"


def command(*options, port=place.port):
    return [*PROGRAM, "-h", place.host, "-P", str(port), "-u", "app", "-N", "-B", "--local-infile=1", *options, "orders"]


def sql(text, *options, port=place.port):
    done = subprocess.run([*command(*(options or PLAIN), port=port), "-e", text], capture_output=True, text=True, timeout=90)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.splitlines()


def verified(authority):
    return (VERIFY + place.file(authority)).split()


class Session:
    """One client that reads statements from a pipe."""

    def __init__(self):
        self.child = subprocess.Popen(command(*PLAIN, "--unbuffered", "--connect-timeout=20"), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, text):
        self.child.stdin.write(text + ";\n")
        line = self.child.stdout.readline().strip()
        if not line:
            raise ConnectionError(f"the client ended with {self.child.wait()}")
        return line


def loaded(_):
    return int(sql(f"{MAKE_TABLE};"
                   f"LOAD DATA LOCAL INFILE '{place.file('load.tsv')}' INTO TABLE {place.table};"
                   f"SELECT COUNT(*) FROM {place.table} WHERE text = SHA2(id, 256)")[0])


def transaction(_):
    rows = sql(f"{MAKE_TABLE};"
               f"BEGIN; INSERT INTO {place.table} VALUES (1, 'one'), (2, 'two'); COMMIT;"
               f"BEGIN; INSERT INTO {place.table} VALUES (3, 'three'); ROLLBACK; SELECT id FROM {place.table} ORDER BY id")
    return [int(row) for row in rows]


def cancelled(*options):
    """Ctrl-C: the client opens a second connection and sends KILL QUERY there."""
    began = time.monotonic()
    child = subprocess.Popen([*command(*options), "-e", LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=60)
    interrupted = "interrupted" in errors or "1317" in errors
    left = [row for row in sql("SHOW PROCESSLIST") if "SLEEP(" in row and place.name in row]
    return True if interrupted and time.monotonic() - began < SLEEP_S / 2 and not left else f"{out} {errors}"


def compressed(_):
    name, value = sql("SHOW SESSION STATUS LIKE 'Compression'", *PLAIN, *COMPRESS)[0].split("\t")
    return sum_of(sql(LARGE, *PLAIN, *COMPRESS)) if value == "ON" else "not compressed"


def other_authority(_):
    try:
        sql("SELECT 1", *verified("other-ca.pem"))
    except RuntimeError as error:
        return "refused" if "cert" in str(error).lower() else str(error)
    return "accepted"


def idle(_):
    session = Session()
    before = session.ask("SELECT CONNECTION_ID(), @@server_id")
    return lambda: session.ask("SELECT CONNECTION_ID(), @@server_id") == before


def writes():
    session = Session()

    def insert(number):
        text = f"INSERT INTO writes VALUES ('{place.name}', {number}, @@server_id); SELECT {number}"
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


os.environ.setdefault("LC_ALL", "C.UTF-8")
if action == "features":
    print_features(place, {
        "prepared": lambda _: [int(row) for row in sql("PREPARE p FROM 'SELECT 6 * 7 + ?'; SET @a = 0; EXECUTE p USING @a; SET @a = 1;"
                                                       "EXECUTE p USING @a; SET @a = 2; EXECUTE p USING @a")],
        "large": lambda _: sum_of(sql(LARGE)),
        "loaded": loaded,
        "transaction": transaction,
        "cancelled": lambda _: cancelled(*PLAIN),
        "compressed": compressed,
        "tls": lambda _: sql("SHOW SESSION STATUS LIKE 'Ssl_version'", *verified("ca.pem"))[0].split("\t")[1].startswith("TLS"),
        "tls_large": lambda _: sum_of(sql(LARGE, *verified("ca.pem"))),
        "tls_cancelled": lambda _: cancelled(*verified("ca.pem")),
        "tls_other_authority": other_authority,
        "reader": lambda _: sql("SELECT @@read_only", *PLAIN, port=place.reader_port) == ["1"],
    }, idle)
else:
    writes()
