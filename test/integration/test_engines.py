"""Probes and killers against real MariaDB and PostgreSQL servers: what is seen, what is refused, what is ended, how soon."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time

import pytest
from engine_servers import MariaDb, Postgres, Tool, ask, free_port, make_certificates
from lab_fixture import wait_for

PROBE_RIGHTS = "REPLICA MONITOR, REPLICATION MASTER ADMIN, PROCESS, CONNECTION ADMIN"


@pytest.fixture(scope="module")
def certificates():
    with tempfile.TemporaryDirectory(prefix="engine-", dir="/dev/shm") as folder:
        os.chmod(folder, 0o755)
        make_certificates(folder)
        yield folder


@pytest.fixture(scope="module")
def mariadb(certificates):
    with MariaDb(1, f"--ssl-ca={certificates}/ca.pem", f"--ssl-cert={certificates}/server.pem",
                 f"--ssl-key={certificates}/server.key") as server:
        server.sql(f"CREATE USER probe@'%' IDENTIFIED BY 'pw'; GRANT {PROBE_RIGHTS} ON *.* TO probe@'%';"
                   "CREATE USER repl@'%' IDENTIFIED BY 'pw'; GRANT REPLICATION SLAVE ON *.* TO repl@'%';"
                   "CREATE USER app@'%' IDENTIFIED BY 'pw'")
        yield server


@pytest.fixture(scope="module")
def postgres(certificates):
    with Postgres(settings=["ssl=on", f"ssl_ca_file={certificates}/ca.pem", f"ssl_cert_file={certificates}/server.pem",
                            f"ssl_key_file={certificates}/server.key", "max_connections=50"]) as server:
        server.sql("CREATE ROLE probe LOGIN REPLICATION PASSWORD 'pw'")
        server.sql("GRANT pg_monitor, pg_signal_backend TO probe")
        server.sql("CREATE ROLE replicator LOGIN REPLICATION")
        server.sql("CREATE ROLE app LOGIN PASSWORD 'pw'")
        yield server


def target(server, **changes):
    engine = "postgresql" if isinstance(server, Postgres) else "mariadb"
    return dict({"engine": engine, "address": server.address, "user": "probe", "password": "pw"}, **changes)


def servers(function):
    return pytest.mark.parametrize("kind", ["mariadb", "postgres"])(function)


@pytest.fixture
def server(kind, request):
    return request.getfixturevalue(kind)


# What is seen.

def test_a_mariadb_writer_and_its_reader(mariadb):
    with MariaDb(2, "--read-only=1") as reader, Tool(**target(reader)) as probe:
        reader.sql(f"SET GLOBAL gtid_slave_pos = ''; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={mariadb.port},"
                   "MASTER_USER='repl', MASTER_PASSWORD='pw', MASTER_USE_GTID=slave_pos, MASTER_SSL_VERIFY_SERVER_CERT=0;"
                   "START SLAVE")
        writer = ask(**target(mariadb))
        assert writer["writer"] and not writer["sources"] and writer["lag_ms"] is None, writer
        wait_for(lambda: probe.ask().get("applied") == writer["position"], 15, "the reader has what the writer has")
        seen = probe.ask()
        assert not seen["writer"] and seen["read_only"] and seen["lag_ms"] == 0, seen
        assert seen["sources"] == [{"channel": "", "address": mariadb.address, "io": True, "sql": True,
                                    "received": writer["position"]}]
        assert ask(**target(mariadb, discover=True))["replicas"] == [{"name": "127.0.0.1", "address": reader.address}]
        reader.sql("STOP SLAVE IO_THREAD")
        seen = probe.ask()
        assert seen["sources"][0]["io"] is False and seen["lag_ms"] is None, seen


def test_postgresql_timelines_through_a_promotion(postgres):
    with Postgres(copy_of=postgres) as reader, Tool(**target(reader)) as probe:
        wait_for(lambda: probe.ask().get("sources", [{}])[0].get("io"), 15, "the reader streams")
        postgres.sql("CREATE TABLE moves (n int)")
        writer = ask(**target(postgres, discover=True))
        assert writer["writer"] and writer["server_id"] == 1 and writer["position"].startswith("1@0/"), writer
        assert writer["replicas"] == [{"name": "walreceiver", "address": "127.0.0.1:0"}]
        wait_for(lambda: probe.ask()["applied"] == ask(**target(postgres))["position"], 15, "the reader has all")
        seen = probe.ask()
        assert not seen["writer"] and seen["lag_ms"] == 0 and seen["cluster_uid"] == writer["cluster_uid"], seen
        assert seen["sources"] == [{"channel": "", "address": postgres.address, "io": True, "sql": True,
                                    "received": seen["position"]}]
        left = seen["position"].split("@")[1]
        reader.promote()
        reader.sql("CREATE TABLE more (n int)")
        # Its history is read by the replication protocol, within the same probe.
        promoted = probe.ask()
        assert promoted["writer"] and promoted["server_id"] == 2, promoted
        assert promoted["position"].startswith(f"1@{left},2@0/"), (promoted, left)
        # A reader of the second timeline, and what it knows when nobody sends to it any more.
        with Postgres(copy_of=reader) as third, Tool(**target(third)) as probe_third:
            wait_for(lambda: probe_third.ask().get("sources", [{}])[0].get("io"), 15, "the third streams")
            reader.sql("CREATE TABLE and_more (n int)")
            end = probe.ask()["position"]
            wait_for(lambda: probe_third.ask()["position"] == end, 15, "the third has all")
            reader.stop("immediate")
            wait_for(lambda: not probe_third.ask()["sources"][0]["io"], 15, "the third notices")
            alone = probe_third.ask()
            assert alone["position"] == end and alone["sources"][0]["received"] == end, (alone, end)
            assert alone["sources"][0]["address"] == reader.address
            assert alone["lag_ms"] is None or alone["lag_ms"] > 0
            # Asked anew, it names a place that it has for certain, and no more.
            anew = ask(**target(third))
            assert anew["position"].startswith(f"1@{left},2@0/") and anew["position"] <= end, (anew, end)


def test_a_history_that_may_not_be_read_is_said_and_not_guessed(postgres):
    with Postgres(copy_of=postgres) as other:
        other.promote()
        other.sql("ALTER ROLE probe NOREPLICATION")
        seen = ask(**target(other))
        assert seen["failure"] == "incomplete" and "'probe' the right REPLICATION" in seen["text"], seen
        other.sql("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO probe")
        assert ask(**target(other))["position"].startswith("1@0/")


def test_rights_that_are_missing_are_named(postgres):
    with Postgres(copy_of=postgres) as reader:
        wait_for(lambda: ask(**target(reader)).get("sources", [{}])[0].get("io"), 15, "the reader streams")
        seen = ask(**target(reader, user="app"))
        assert seen["failure"] == "incomplete" and "GRANT pg_monitor" in seen["text"], seen


def test_postgresql_says_that_it_takes_no_writes(postgres):
    try:
        postgres.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        postgres.sql("SELECT pg_reload_conf()")
        wait_for(lambda: ask(**target(postgres))["read_only"], 10, "read only")
        assert not ask(**target(postgres))["writer"]
    finally:
        postgres.sql("ALTER SYSTEM RESET default_transaction_read_only")
        postgres.sql("SELECT pg_reload_conf()")
    wait_for(lambda: not ask(**target(postgres))["read_only"], 10, "writable")


@pytest.mark.parametrize("names, commit, waits", [("", "on", False), ("one", "on", True), ("one", "local", False), ("one", "off", False)])
def test_whether_postgresql_waits_for_a_replica(postgres, names, commit, waits):
    with contextlib.ExitStack() as stack:
        def reset():
            for name in ("synchronous_standby_names", "synchronous_commit"):
                postgres.sql(f"ALTER SYSTEM RESET {name}")
            postgres.sql("SELECT pg_reload_conf()")
        stack.callback(reset)
        postgres.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        postgres.sql(f"ALTER SYSTEM SET synchronous_commit = '{commit}'")
        postgres.sql("SELECT pg_reload_conf()")
        wait_for(lambda: ask(**target(postgres))["waits_for_replica"] == waits, 10, f"waits: {waits}")


def test_a_server_of_another_engine_is_told_apart(mariadb, postgres):
    seen = ask(**target(mariadb, engine="mysql"))
    assert seen["failure"] == "server-error"
    assert seen["text"].startswith("is MariaDB 10.") and "configured as mysql: set engine: mariadb" in seen["text"]
    # A PostgreSQL waits for the client to speak first, as a MariaDB's client does for the server.
    assert ask(**target(postgres, engine="mariadb"))["failure"] in ("timed-out", "server-error", "reset")
    seen = ask(**target(mariadb, engine="postgresql"))
    assert seen["failure"] in ("server-error", "reset"), seen


@servers
def test_failures_are_told_apart(server):
    assert ask(**target(server, address=f"127.0.0.1:{free_port()}"))["failure"] == "refused"
    denied = ask(**target(server, password="wrong"))
    assert denied["failure"] == "login-denied" and denied["code"] != 0 and "wrong" not in denied["text"], denied
    assert "\n" not in denied["text"]


# The topology that a database keeps of its members.

TOPOLOGIES = {
    "mariadb": ("CREATE DATABASE lab_aurora; CREATE TABLE lab_aurora.replica_host_status (server_id varchar(100), session_id varchar(100),"
                " last_update_timestamp datetime(6), replica_lag_in_milliseconds double);"
                "INSERT INTO lab_aurora.replica_host_status VALUES ('a', 'MASTER_SESSION_ID', '2026-01-02 03:04:05.678901', 0),"
                " ('b', '6f0a', '2026-01-02 03:04:05', 12.5); GRANT SELECT ON lab_aurora.* TO probe@'%'",
                "SELECT server_id AS name, session_id = 'MASTER_SESSION_ID' AS writer, last_update_timestamp AS updated,"
                " replica_lag_in_milliseconds AS lag_ms FROM lab_aurora.replica_host_status",
                "DROP DATABASE lab_aurora", "DELETE FROM lab_aurora.replica_host_status"),
    "postgres": ("CREATE TABLE aurora_rows (server_id text, session_id text, last_update_timestamp timestamptz, replica_lag_in_msec float8);"
                 "GRANT SELECT ON aurora_rows TO probe;"
                 "INSERT INTO aurora_rows VALUES ('a', 'MASTER_SESSION_ID', '2026-01-02 05:04:05.678901+02', 0),"
                 " ('b', '6f0a', '2026-01-02 03:04:05+00', 12.5);"
                 "CREATE FUNCTION aurora_replica_status() RETURNS SETOF aurora_rows LANGUAGE sql AS 'SELECT * FROM aurora_rows'",
                 "SELECT server_id AS name, session_id = 'MASTER_SESSION_ID' AS writer,"
                 " coalesce(last_update_timestamp, now()) AS updated, replica_lag_in_msec AS lag_ms FROM aurora_replica_status()",
                 "DROP FUNCTION aurora_replica_status; DROP TABLE aurora_rows", "DELETE FROM aurora_rows"),
}


@servers
def test_a_topology_is_part_of_the_answer_or_there_is_none(kind, server):
    create, query, drop, empty = TOPOLOGIES[kind]
    server.sql(create)
    with Tool(**target(server, topology_query=query)) as probe:
        seen = probe.ask()
        updated = 1767323045678901
        assert seen["topology"] == [
            {"name": "a", "writer": True, "updated_us": updated, "lag_ms": 0.0, "address": ":0"},
            {"name": "b", "writer": False, "updated_us": updated - 678901, "lag_ms": 12.5, "address": ":0"}], seen
        server.sql(empty)
        assert probe.ask()["failure"] == "incomplete"
        server.sql(drop)
        failed = probe.ask()
        assert failed["failure"] == "incomplete" and failed["text"].startswith("topology: "), failed


# Logins and encryption.

@servers
def test_certificates_are_verified(server, certificates):
    ca = f"{certificates}/ca.pem"
    for tls in ("verify-ca", "verify-full"):
        seen = ask(**target(server, tls=tls, tls_ca_file=ca))
        assert seen.get("writer"), seen
        wrong = ask(**target(server, tls=tls, tls_ca_file=f"{certificates}/other-ca.pem"))
        assert wrong["failure"] == "server-error", wrong
        assert "certificate" in wrong["text"].lower() and "\n" not in wrong["text"], wrong


def with_certificate(kind, certificates, name):
    if kind == "mariadb":
        return MariaDb(1, f"--ssl-ca={certificates}/ca.pem", f"--ssl-cert={certificates}/{name}.pem", f"--ssl-key={certificates}/{name}.key")
    return Postgres(settings=["ssl=on", f"ssl_cert_file={certificates}/{name}.pem", f"ssl_key_file={certificates}/{name}.key"])


@servers
def test_a_certificate_for_another_host(kind, certificates):
    with with_certificate(kind, certificates, "elsewhere") as server:
        if kind == "mariadb":
            server.sql(f"CREATE USER probe@'%' IDENTIFIED BY 'pw'; GRANT {PROBE_RIGHTS} ON *.* TO probe@'%'")
        else:
            server.sql("CREATE ROLE probe LOGIN PASSWORD 'pw'")
        seen = ask(**target(server, tls="verify-ca", tls_ca_file=f"{certificates}/ca.pem"))
        assert seen.get("writer"), seen
        wrong = ask(**target(server, tls="verify-full", tls_ca_file=f"{certificates}/ca.pem"))
        assert wrong["failure"] == "server-error" and "\n" not in wrong["text"], wrong
        assert "127.0.0.1" in wrong["text"], wrong


@pytest.mark.parametrize("tls", [False, True])
def test_mariadb_authentication(mariadb, certificates, tls):
    mariadb.sql("CREATE OR REPLACE USER auth@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('secret');"
                f"GRANT {PROBE_RIGHTS} ON *.* TO auth@'%'")
    encryption = {"tls": "verify-full", "tls_ca_file": f"{certificates}/ca.pem"} if tls else {}
    assert ask(**target(mariadb, user="auth", password="secret", **encryption)).get("writer")
    assert ask(**target(mariadb, user="auth", password="other", **encryption))["failure"] == "login-denied"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_postgresql_authentication(postgres, certificates, method, tls):
    postgres.sql("DROP ROLE IF EXISTS auth")
    postgres.sql(f"SET password_encryption = '{method}'; CREATE ROLE auth LOGIN PASSWORD 'secret'")
    # The server takes an md5 login where the password was stored so, whatever pg_hba.conf calls it but scram.
    with open(f"{postgres.data}/pg_hba.conf", "w") as file:
        file.write(f"host all auth 127.0.0.1/32 {method}\n" + postgres.hba)
    try:
        postgres.sql("SELECT pg_reload_conf()")
        encryption = {"tls": "verify-full", "tls_ca_file": f"{certificates}/ca.pem"} if tls else {}
        wait_for(lambda: ask(**target(postgres, user="auth", password="secret", **encryption)).get("writer"), 5, f"{method} works")
        denied = ask(**target(postgres, user="auth", password="other", **encryption))
        assert denied["failure"] == "login-denied" and "28P01" in denied["text"], denied
        nobody = ask(**target(postgres, user="nobody-of-that-name", **encryption))
        assert nobody["failure"] == "login-denied", nobody
    finally:
        postgres.write("pg_hba.conf", postgres.hba)
        postgres.sql("SELECT pg_reload_conf()")


# Ends and silences.

def observe(probe, what, timeout=5):
    """The first observation that `what` is true of."""
    seen = []

    def found():
        seen.extend(probe.do("watched")["observations"])
        return any(what(each) for each in seen)
    wait_for(found, timeout, "an observation")
    return next(each for each in seen if what(each))


def now_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def temporary(kind):
    server = MariaDb(1) if kind == "mariadb" else Postgres()
    if kind == "mariadb":
        server.sql(f"CREATE USER probe@'%' IDENTIFIED BY 'pw'; GRANT {PROBE_RIGHTS} ON *.* TO probe@'%'")
    else:
        server.sql("CREATE ROLE probe LOGIN PASSWORD 'pw'")
        server.sql("GRANT pg_monitor TO probe")
    return server


@servers
def test_the_end_of_a_connection_is_noticed_between_probes(kind):
    with temporary(kind) as server, Tool(**target(server)) as probe:
        probe.do("watch", calm_ms=60_000, deadline_ms=1000)
        observe(probe, lambda seen: seen.get("writer"))
        time.sleep(0.2)
        killed = now_us()
        server.kill()
        seen = observe(probe, lambda seen: seen.get("failure") in ("reset", "refused"))
        assert seen["completed_us"] - killed < 1_000_000, "without the watch over the socket it would be a minute"


@servers
def test_a_probe_whose_connection_is_ended_looks_again_before_it_speaks(kind, server):
    with Tool(**target(server)) as probe:
        probe.do("watch", calm_ms=60_000, deadline_ms=1000)
        first = observe(probe, lambda seen: seen.get("writer"))
        if kind == "mariadb":
            ids = [row[0] for row in server.sql("SELECT id FROM information_schema.processlist WHERE user = 'probe'")]
            server.sql(";".join(f"KILL {each}" for each in ids))
        else:
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe' AND backend_type = 'client backend'")
        again = observe(probe, lambda seen: seen["sequence"] > first["sequence"])
        assert again.get("writer"), again


@servers
def test_a_stopped_server_is_silent_and_a_stopped_prober_says_nothing(kind):
    with temporary(kind) as server, Tool(**target(server)) as probe:
        probe.do("watch", calm_ms=20, deadline_ms=250)
        observe(probe, lambda seen: seen.get("writer"))
        server.signal(signal.SIGSTOP)
        try:
            seen = observe(probe, lambda seen: "failure" in seen)
            assert seen["failure"] in ("timed-out", "own-delay"), seen
            # On a machine that has no processor to spare, most of the silence may be our own.
            observe(probe, lambda seen: seen.get("failure") == "timed-out", timeout=40)
        finally:
            server.signal(signal.SIGCONT)
        observe(probe, lambda seen: seen.get("writer"))
        probe.do("watched")
        os.kill(probe.process.pid, signal.SIGSTOP)
        server.signal(signal.SIGSTOP)
        time.sleep(0.6)
        os.kill(probe.process.pid, signal.SIGCONT)
        time.sleep(0.05)
        server.signal(signal.SIGCONT)
        time.sleep(0.2)
        failures = [seen["failure"] for seen in probe.do("watched")["observations"] if "failure" in seen]
        assert set(failures) <= {"own-delay"}, failures


def test_a_postgresql_that_shuts_down_or_starts_is_not_silent(postgres):
    with temporary("postgres") as server, Tool(**target(server)) as probe:
        probe.do("watch", calm_ms=5, deadline_ms=250)
        observe(probe, lambda seen: seen.get("writer"))
        server.stop("fast")
        seen = observe(probe, lambda seen: "failure" in seen)
        assert seen["failure"] in ("reset", "refused"), seen
        observe(probe, lambda seen: seen.get("failure") == "refused")
        server.start()
        observe(probe, lambda seen: seen.get("writer"), timeout=15)
        kinds = {each["failure"] for each in probe.do("watched")["observations"] if "failure" in each}
        assert kinds <= {"refused", "server-error", "reset"}, kinds


@servers
def test_a_calm_probe_is_cheap(server):
    with Tool(**target(server)) as probe:
        probe.ask()
        # The best of many: what a probe costs, not what else the machine does.
        assert min(probe.ask()["took_us"] for _ in range(300)) < 1000


# Killing.

class Client:
    """A session of the application, with a statement under way or idle."""

    def __init__(self, server, statement, user="app"):
        if isinstance(server, Postgres):
            environment = dict(os.environ, PGPASSWORD="pw")
            command = [f"{Postgres.BIN}/psql", "-X", "-h", "127.0.0.1", "-p", str(server.port), "-U", user, "-d", "postgres"]
        else:
            environment = dict(os.environ, MYSQL_PWD="pw")
            command = ["mariadb", "--no-defaults", "--skip-ssl", "--unbuffered", "-h", "127.0.0.1", "-P", str(server.port), "-u", user]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, text=True)
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()


# On MariaDB they wait for rows that somebody else has locked; not in SLEEP(): a KILL that meets two sleepers at once can
# hang in the server for two seconds.
WORK = {"mariadb": "SELECT * FROM work.rows FOR UPDATE;", "postgres": "SELECT pg_sleep(600);"}


@contextlib.contextmanager
def locked_rows(server):
    if isinstance(server, Postgres):
        yield
        return
    server.sql("CREATE DATABASE IF NOT EXISTS work; CREATE TABLE IF NOT EXISTS work.rows (n int PRIMARY KEY);"
               "REPLACE INTO work.rows VALUES (1); GRANT ALL ON work.* TO app@'%'")
    holder = subprocess.Popen(["mariadb", "--no-defaults", "-S", server.socket, "-uroot", "--unbuffered", "-N"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdin.write("BEGIN; SELECT * FROM work.rows FOR UPDATE;\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "1\n"
        yield
    finally:
        holder.kill()
        holder.wait()


def sessions(server, user="app"):
    if isinstance(server, Postgres):
        rows = server.sql("SELECT pid, host(client_addr) || ':' || client_port FROM pg_stat_activity WHERE query LIKE '%sleep(600)%'"
                          f" AND usename = '{user}' AND pid <> pg_backend_pid()")
    else:
        rows = server.sql(f"SELECT id, host FROM information_schema.processlist WHERE info LIKE '%FOR UPDATE%' AND user = '{user}'")
    return [{"id": int(row[0]), "client": row[1]} for row in rows]


@contextlib.contextmanager
def busy(kind, server, count, user="app"):
    with locked_rows(server):
        clients = [Client(server, WORK[kind], user) for _ in range(count)]
        try:
            wait_for(lambda: len(sessions(server, user)) == count, 15, f"{count} busy sessions")
            yield sessions(server, user)
        finally:
            for client in clients:
                client.close()
            # What the clients left behind runs on: that is what killing is for.
            for each in sessions(server, user):
                server.sql(f"SELECT pg_terminate_backend({each['id']})" if kind == "postgres" else f"KILL {each['id']}")
            wait_for(lambda: not sessions(server, user), 10, "no session is left")


@servers
@pytest.mark.parametrize("by", ["id", "client"])
def test_sessions_are_ended(kind, server, by):
    with Tool(**target(server)) as tool, busy(kind, server, 5) as running:
        tool.do("kill", sessions=[{by: 1 if by == "id" else "127.0.0.1:1"}])
        done = tool.do("kill", sessions=[{by: each[by]} for each in running[:4]])
        assert (done["killed"], done["failed"], done["text"]) == (4, 0, ""), done
        assert [each["id"] for each in sessions(server)] == [running[4]["id"]], "the others are left alone"
        again = tool.do("kill", sessions=[{by: each[by]} for each in running[:4]])
        assert (again["killed"], again["failed"]) == (4, 0), "gone counts as ended"
        print(f"{kind} by {by}: ended in {done['took_us']} µs, gone before in {again['took_us']} µs")
        assert done["took_us"] < 500_000


@servers
def test_a_session_that_nobody_can_name_is_not_ended(kind, server):
    with Tool(**target(server)) as tool:
        done = tool.do("kill", sessions=[{"client": ""}, {"client": "nonsense"}])
        assert (done["killed"], done["failed"]) == (0, 2) and done["text"], done


@servers
def test_a_user_without_the_rights_ends_nobody_and_says_which(kind, server):
    if kind == "mariadb":
        server.sql("CREATE OR REPLACE USER weak@'%' IDENTIFIED BY 'pw'; GRANT PROCESS ON *.* TO weak@'%'")
    else:
        server.sql("DROP ROLE IF EXISTS weak")
        server.sql("CREATE ROLE weak LOGIN PASSWORD 'pw'")
        server.sql("GRANT pg_monitor TO weak")
    with Tool(**target(server, user="weak")) as tool, busy(kind, server, 2) as running:
        done = tool.do("kill", sessions=[{"id": each["id"]} for each in running])
        assert (done["killed"], done["failed"]) == (0, 2) and "GRANT" in done["text"], done
        assert done["took_us"] < 1_000_000
    if kind == "mariadb":
        server.sql("CREATE OR REPLACE USER weak@'%' IDENTIFIED BY 'pw'; GRANT CONNECTION ADMIN ON *.* TO weak@'%'")
    else:
        server.sql("REVOKE pg_monitor FROM weak; GRANT pg_signal_backend TO weak")
    with Tool(**target(server, user="weak")) as tool, busy(kind, server, 2) as running:
        blind = tool.do("kill", sessions=[{"client": each["client"]} for each in running])
        assert (blind["killed"], blind["failed"]) == (0, 2) and "GRANT" in blind["text"], blind
        done = tool.do("kill", sessions=[{"id": each["id"]} for each in running] + [{"id": 999999}])
        assert (done["killed"], done["failed"]) == (3, 0), done


def test_a_superusers_session_is_beyond_us_and_the_others_are_ended(postgres):
    with Tool(**target(postgres)) as tool, busy("postgres", postgres, 1, "postgres") as supers, busy("postgres", postgres, 3) as others:
        done = tool.do("kill", sessions=[{"id": each["id"]} for each in supers + others])
        assert (done["killed"], done["failed"]) == (3, 1) and "superuser" in done["text"], done


@servers
def test_a_server_that_is_away_ends_nobody_in_time(kind):
    with temporary(kind) as server, Tool(**target(server)) as tool:
        tool.do("kill", sessions=[{"id": 1}])
        server.signal(signal.SIGSTOP)
        try:
            done = tool.do("kill", sessions=[{"id": 12345}], deadline_ms=300)
            assert (done["killed"], done["failed"]) == (0, 1) and done["text"], done
            assert 250_000 < done["took_us"] < 1_500_000, done
        finally:
            server.signal(signal.SIGCONT)
        server.kill()
        done = tool.do("kill", sessions=[{"id": 12345}], deadline_ms=300)
        assert (done["killed"], done["failed"]) == (0, 1) and done["text"], done
