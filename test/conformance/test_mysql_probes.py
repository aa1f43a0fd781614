"""Probes and killers against a real MySQL 9 server, which Debian 12 does not have: logins, evidence, rights."""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test" / "integration"))
from engine_servers import MYSQL_ROOT, MySql, Tool, ask, make_certificates  # noqa: E402  (the path comes first)
from lab_fixture import wait_for  # noqa: E402

RIGHTS = "REPLICATION CLIENT, REPLICATION SLAVE, PROCESS, CONNECTION_ADMIN"


@pytest.fixture(scope="module")
def certificates():
    with tempfile.TemporaryDirectory(prefix="engine-", dir="/dev/shm") as folder:
        os.chmod(folder, 0o755)
        make_certificates(folder)
        yield folder


@pytest.fixture(scope="module")
def mysql(certificates):
    subprocess.run([str(ROOT / "tools/mysql-root"), MYSQL_ROOT], check=True)
    with MySql(1, f"--ssl-ca={certificates}/ca.pem", f"--ssl-cert={certificates}/server.pem", f"--ssl-key={certificates}/server.key") as server:
        server.sql(f"CREATE USER probe@'%' IDENTIFIED BY 'pw'; GRANT {RIGHTS} ON *.* TO probe@'%';"
                   "CREATE USER repl@'%' IDENTIFIED BY 'pw'; GRANT REPLICATION SLAVE ON *.* TO repl@'%';"
                   "CREATE USER app@'%' IDENTIFIED BY 'pw'; CREATE DATABASE work; CREATE TABLE work.t (n int PRIMARY KEY);"
                   "INSERT INTO work.t VALUES (1); GRANT ALL ON work.* TO app@'%'")
        yield server


def target(server, **changes):
    return dict({"engine": "mysql", "address": server.address, "user": "probe", "password": "pw"}, **changes)


@pytest.mark.parametrize("tls", [False, True])
def test_caching_sha2_password_in_full_and_from_the_cache(mysql, certificates, tls):
    # Changing the password empties the server's cache: without TLS the full exchange is done with its RSA key.
    mysql.sql("ALTER USER probe@'%' IDENTIFIED WITH caching_sha2_password BY 'pw'")
    encryption = {"tls": "verify-full", "tls_ca_file": f"{certificates}/ca.pem"} if tls else {}
    for _ in ("full", "cached"):
        assert ask(**target(mysql, **encryption)).get("writer")
    assert ask(**target(mysql, password="wrong", **encryption))["failure"] == "login-denied"
    if tls:
        wrong = ask(**target(mysql, tls="verify-full", tls_ca_file=f"{certificates}/other-ca.pem"))
        assert wrong["failure"] == "server-error" and "certificate" in wrong["text"], wrong


def test_a_mysql_is_no_mariadb(mysql):
    seen = ask(**target(mysql, engine="mariadb"))
    assert seen["failure"] == "server-error" and "configured as mariadb: set engine: mysql" in seen["text"], seen


def test_a_writer_and_its_reader(mysql):
    with MySql(2) as reader, Tool(**target(reader)) as probe:
        reader.sql("RESET BINARY LOGS AND GTIDS;"
                   f"CHANGE REPLICATION SOURCE TO SOURCE_CONNECT_RETRY=1, SOURCE_HOST='127.0.0.1', SOURCE_PORT={mysql.port}, SOURCE_USER='repl',"
                   "SOURCE_PASSWORD='pw', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA;"
                   "SET GLOBAL super_read_only=1")
        wait_for(lambda: probe.ask().get("lag_ms") == 0, 30, "the reader has what the writer has")
        writer, seen = ask(**target(mysql, discover=True)), probe.ask()
        assert writer["writer"] and not writer["waits_for_replica"] and writer["replicas"], writer
        assert seen["read_only"] and not seen["writer"] and seen["position"] == writer["position"], seen
        assert seen["sources"] == [{"channel": "", "address": mysql.address, "io": True, "sql": True, "received": seen["position"]}]
        reader.sql("SET GLOBAL super_read_only=0")
        assert probe.ask()["read_only"], "read_only alone"


def test_semi_synchronous_replication_is_told(mysql):
    mysql.sql("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'; SET GLOBAL rpl_semi_sync_source_enabled=1")
    assert ask(**target(mysql))["waits_for_replica"]
    mysql.sql("SET GLOBAL rpl_semi_sync_source_enabled=0")
    assert not ask(**target(mysql))["waits_for_replica"]
    mysql.sql("UNINSTALL PLUGIN rpl_semi_sync_source")
    assert not ask(**target(mysql))["waits_for_replica"]


@pytest.mark.parametrize("by", ["id", "client"])
def test_sessions_are_ended(mysql, by):
    def running():
        rows = mysql.sql("SELECT id, host FROM information_schema.processlist WHERE user = 'app' AND info LIKE '%FOR UPDATE%'")
        return [{"id": int(row[0]), "client": row[1]} for row in rows]
    command = ["mariadb", "--no-defaults", "--unbuffered", "-N"]
    holder = subprocess.Popen([*command, "-S", mysql.socket, "-uroot"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdin.write("BEGIN; SELECT * FROM work.t FOR UPDATE;\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "1\n"
    clients = [subprocess.Popen([*command, "--skip-ssl", "-h", "127.0.0.1", "-P", str(mysql.port), "-uapp", "-e",
                                 "SELECT * FROM work.t FOR UPDATE"], env=dict(os.environ, MYSQL_PWD="pw"), stderr=subprocess.DEVNULL)
               for _ in range(4)]
    try:
        wait_for(lambda: len(running()) == 4, 15, "four busy sessions")
        with Tool(**target(mysql)) as tool:
            done = tool.do("kill", sessions=[{by: each[by]} for each in running()[:3]], deadline_ms=5000)
            assert (done["killed"], done["failed"], done["text"]) == (3, 0, ""), done
            assert len(running()) == 1
    finally:
        for process in (holder, *clients):
            process.kill()
            process.wait()
