"""A Python application on psycopg 3: psycopg_client.py features|writes …"""
import threading
import time

import psycopg
from common import LARGE_ROWS, SLEEP_S, arguments, password, print_features, refused, sum_of, write_on

_, action, place = arguments()
LARGE = f"SELECT repeat(encode(sha256(i::text::bytea), 'hex'), 16) FROM generate_series(1, {LARGE_ROWS}) AS i"


def connect(port=place.port, ca=None):
    tls = {"sslmode": "verify-ca", "sslrootcert": ca} if ca else {"sslmode": "disable"}
    return psycopg.connect(host=place.host, port=port, user="app", password=password(), dbname="orders", autocommit=True,
                           connect_timeout=20, **tls)


def one(connection, sql, values=None):
    return connection.execute(sql, values).fetchone()[0]


def make_table(connection):
    connection.execute(f"DROP TABLE IF EXISTS {place.table}")
    connection.execute(f"CREATE TABLE {place.table} (id int PRIMARY KEY, text varchar(200))")


def prepared(_):
    with connect() as connection:
        return [connection.execute("SELECT 6 * 7 + %s::int", (more,), prepare=True).fetchone()[0] for more in range(3)]


def large(ca=None):
    with connect(ca=ca) as connection:
        return sum_of(row[0] for row in connection.execute(LARGE))


def loaded(_):
    with connect() as connection:
        make_table(connection)
        with open(place.file("load.tsv"), "rb") as file, connection.cursor().copy(f"COPY {place.table} FROM STDIN") as copy:
            while block := file.read(65536):
                copy.write(block)
        return one(connection, f"SELECT count(*) FROM {place.table} WHERE text = encode(sha256(id::text::bytea), 'hex')")


def copied_out(_):
    with connect() as connection, connection.cursor().copy(f"COPY (SELECT * FROM {place.table} ORDER BY id) TO STDOUT") as copy:
        got = b"".join(bytes(block) for block in copy)
    with open(place.file("load.tsv"), "rb") as file:
        return got.count(b"\n") if got == file.read() else "other rows"


def transaction(_):
    with connect() as connection:
        make_table(connection)
        with connection.transaction():
            connection.execute(f"INSERT INTO {place.table} VALUES (1, 'one'), (2, 'two')")
        with connection.transaction():
            connection.execute(f"INSERT INTO {place.table} VALUES (3, 'three')")
            raise psycopg.Rollback
        return [row[0] for row in connection.execute(f"SELECT id FROM {place.table} ORDER BY id")]


def cancelled(ca=None):
    """cancel_safe() asks for it over TLS where the session has TLS; cancel() always in the clear."""
    with connect(ca=ca) as connection:
        for cancel in (connection.cancel_safe, connection.cancel):
            began = time.monotonic()
            threading.Timer(1, cancel).start()
            try:
                return f"not cancelled: {one(connection, f'SELECT pg_sleep({SLEEP_S})')}"
            except psycopg.errors.QueryCanceled:
                if time.monotonic() - began > SLEEP_S / 2 or one(connection, "SELECT 1") != 1:
                    return "cancelled late"
        return True


def idle(_):
    connection = connect()
    before = one(connection, "SELECT inet_server_addr() || ' ' || pg_backend_pid()")
    return lambda: one(connection, "SELECT inet_server_addr() || ' ' || pg_backend_pid()") == before


def writes():
    connection = connect()

    def insert(number):
        connection.execute("INSERT INTO writes VALUES (%s, %s, host(inet_server_addr()))", (place.name, number))

    def reconnect():
        nonlocal connection
        connection.close()
        connection = connect()

    write_on(place, insert, reconnect)


if action == "features":
    print_features(place, {
        "prepared": prepared,
        "large": lambda _: large(),
        "loaded": loaded,
        "copied_out": copied_out,
        "transaction": transaction,
        "cancelled": lambda _: cancelled(),
        "tls": lambda _: one(connect(ca=place.file("ca.pem")),
                             "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl").startswith("TLS"),
        "tls_large": lambda _: large(place.file("ca.pem")),
        "tls_cancelled": lambda _: cancelled(place.file("ca.pem")),
        "tls_other_authority": lambda _: refused(lambda: connect(ca=place.file("other-ca.pem"))),
        "reader": lambda _: one(connect(port=place.reader_port), "SELECT pg_is_in_recovery()"),
    }, idle)
else:
    writes()
