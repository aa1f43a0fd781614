"""Probes log in to a real MariaDB server by ed25519, whose plugin Debian ships apart from the server."""

import os
import pathlib
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test" / "integration"))
from engine_servers import MariaDb, ask, make_certificates  # noqa: E402  (the path comes first)

PROBE_RIGHTS = "REPLICA MONITOR, REPLICATION MASTER ADMIN, PROCESS, CONNECTION ADMIN"


@pytest.mark.parametrize("tls", [False, True])
def test_ed25519(tls):
    with tempfile.TemporaryDirectory(prefix="engine-", dir="/dev/shm") as certificates:
        os.chmod(certificates, 0o755)
        make_certificates(certificates)
        with MariaDb(1, f"--ssl-ca={certificates}/ca.pem", f"--ssl-cert={certificates}/server.pem", f"--ssl-key={certificates}/server.key",
                     f"--plugin-dir={os.environ['CONFORMANCE_MARIADB_PLUGINS']}", "--plugin-load-add=auth_ed25519") as server:
            server.sql(f"CREATE USER auth@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret'); GRANT {PROBE_RIGHTS} ON *.* TO auth@'%'")
            target = {"engine": "mariadb", "address": server.address, "user": "auth", "password": "secret"}
            if tls:
                target |= {"tls": "verify-full", "tls_ca_file": f"{certificates}/ca.pem"}
            assert ask(**target).get("writer")
            assert ask(**(target | {"password": "other"}))["failure"] == "login-denied"
