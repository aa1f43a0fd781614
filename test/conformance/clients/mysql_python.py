"""A Python application on PyMySQL or mysql-connector-python: mysql_python.py MODULE features|writes …"""
import importlib
import threading
import time

from common import LARGE_ROWS, SLEEP_S, arguments, password, print_features, refused, sum_of, write_on

(module_name,), action, place = arguments()
driver = importlib.import_module(module_name)
PYMYSQL = module_name == "pymysql"
# In the condition of a table's rows MySQL tells an interrupted SLEEP as an error, as MariaDB always does.
LONG = f"SELECT seq FROM seq_1_to_{LARGE_ROWS} WHERE SLEEP({SLEEP_S})"
LARGE = f"SELECT seq, REPEAT(SHA2(seq, 256), 16) FROM seq_1_to_{LARGE_ROWS}"


def connect(port=place.port, ca=None, compress=False):
    options = dict(host=place.host, port=port, user="app", password=password(), database="orders", autocommit=True)
    if PYMYSQL:
        tls = {"ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": False} if ca else {"ssl_disabled": True}
        return driver.connect(**options, local_infile=True, connect_timeout=20, read_timeout=60, write_timeout=60, **tls)
    tls = {"ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": False} if ca else {"ssl_disabled": True}
    # With compression its C library: 9.1's Python code fails to decode large compressed results, whatever the mode of the endpoint.
    return driver.connect(**options, allow_local_infile=True, connection_timeout=60, use_pure=not compress, compress=compress, **tls)


def execute(connection, sql, values=()):
    cursor = connection.cursor()
    cursor.execute(sql, values)
    rows = cursor.fetchall() if cursor.description else []
    cursor.close()
    return rows


def status(connection, name):
    return execute(connection, f"SHOW SESSION STATUS LIKE '{name}'")[0][1]


def prepared(_):
    connection = connect()
    if PYMYSQL:  # knows no binary protocol: the statement's text does it
        execute(connection, "PREPARE p FROM 'SELECT 6 * 7 + ?'")
        results = []
        for more in range(3):
            execute(connection, "SET @more = %s", (more,))
            results.append(int(execute(connection, "EXECUTE p USING @more")[0][0]))
        return results
    cursor = connection.cursor(prepared=True)
    results = []
    for more in range(3):
        cursor.execute("SELECT 6 * 7 + ?", (more,))
        results.append(int(cursor.fetchall()[0][0]))
    return results


def large(connection):
    return sum_of(row[1] for row in execute(connection, LARGE))


def make_table(connection):
    execute(connection, f"DROP TABLE IF EXISTS {place.table}")
    execute(connection, f"CREATE TABLE {place.table} (id INT PRIMARY KEY, text VARCHAR(200))")


def loaded(_):
    connection = connect()
    make_table(connection)
    execute(connection, f"LOAD DATA LOCAL INFILE '{place.file('load.tsv')}' INTO TABLE {place.table}")
    return execute(connection, f"SELECT COUNT(*) FROM {place.table} WHERE text = SHA2(id, 256)")[0][0]


def transaction(_):
    connection = connect()
    make_table(connection)
    connection.begin() if PYMYSQL else connection.start_transaction()
    execute(connection, f"INSERT INTO {place.table} VALUES (1, 'one'), (2, 'two')")
    connection.commit()
    connection.begin() if PYMYSQL else connection.start_transaction()
    execute(connection, f"INSERT INTO {place.table} VALUES (3, 'three')")
    connection.rollback()
    return [row[0] for row in execute(connection, f"SELECT id FROM {place.table} ORDER BY id")]


def cancelled(_, ca=None):
    connection, other = connect(ca=ca), connect(ca=ca)
    running = connection.thread_id() if PYMYSQL else connection.connection_id
    threading.Timer(1, lambda: execute(other, f"KILL QUERY {running}")).start()
    began = time.monotonic()
    try:
        return f"not cancelled: {execute(connection, LONG)}"
    except driver.Error as error:
        # 1317: interrupted. The session itself must go on.
        return error.args[0] == 1317 and time.monotonic() - began < SLEEP_S / 2 and execute(connection, "SELECT 1")[0][0] == 1


def compressed(_):
    connection = connect(compress=True)
    return large(connection) if status(connection, "Compression") == "ON" else "not compressed"


def reader(_):
    return execute(connect(port=place.reader_port, ca=place.file("ca.pem")), "SELECT @@read_only")[0][0] == 1


def idle(_):
    connection = connect()
    before = execute(connection, "SELECT CONNECTION_ID(), @@server_id")
    return lambda: execute(connection, "SELECT CONNECTION_ID(), @@server_id") == before


def writes():
    # Without TLS mysql-connector-python logs in only where MySQL has this account's password in its cache.
    connection = connect(ca=None if PYMYSQL else place.file("ca.pem"))

    def reconnect():
        connection.ping(reconnect=True) if PYMYSQL else connection.reconnect()

    write_on(place, lambda number: execute(connection, "INSERT INTO writes VALUES (%s, %s, @@server_id)", (place.name, number)), reconnect)


FEATURES = {
    "prepared": prepared,
    "large": lambda _: large(connect()),
    "loaded": loaded,
    "transaction": transaction,
    "cancelled": cancelled,
    "tls": lambda _: status(connect(ca=place.file("ca.pem")), "Ssl_version").startswith("TLS"),
    "tls_large": lambda _: large(connect(ca=place.file("ca.pem"))),
    "tls_cancelled": lambda _: cancelled(_, place.file("ca.pem")),
    "tls_other_authority": lambda _: refused(lambda: connect(ca=place.file("other-ca.pem"))),
    "reader": reader,
}
if not PYMYSQL:  # which has no compression
    FEATURES["compressed"] = compressed

if action == "features":
    print_features(place, FEATURES, idle)
else:
    writes()
