"""Other people's clients, unmodified, with PostgreSQL through each mode; then all of them at once through a failover."""
import re

import pytest
from conftest import EXPECTED, HOST, MODES, check_failover, programs

ENGINES = ["postgresql"]
ALL = {"prepared", "large", "loaded", "copied_out", "transaction", "cancelled", "tls", "tls_large", "tls_cancelled",
       "tls_other_authority", "idle", "reader"}
CLIENTS = ["psql", "psycopg", "pg", "pgjdbc"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", CLIENTS)
def test_everything_that_the_client_can(world, client, mode):
    got = world.features(mode, programs()[client], f"{client}-{mode}")
    for feature in sorted(ALL):
        assert got.pop(feature) == EXPECTED[feature], feature
    assert not got


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("protocol", ["simple", "prepared"])
def test_pgbench(world, mode, tls, protocol):
    environment = {"PGSSLMODE": "verify-ca", "PGSSLROOTCERT": str(world.folder / "ca.pem")} if tls else {"PGSSLMODE": "disable"}
    base = ["pgbench", "-h", HOST, "-p", str(world.ports[mode][0]), "-U", "app"]
    world.on_client(*base, "-q", "-i", "-s", "1", "orders", **environment)
    # With -C each transaction has a connection of its own.
    for options in (["-c", "4", "-T", "2"], ["-c", "2", "-T", "2", "-C"]):
        out = world.on_client(*base, "-M", protocol, *options, "orders", **environment)
        assert int(re.search(r"actually processed: (\d+)", out)[1]) > 20, out
        assert "number of failed transactions: 0 " in out, out


def test_each_client_writes_again_after_a_failover_with_nothing_acknowledged_lost(world):
    world.sql("CREATE TABLE writes (who text, number int, server text, PRIMARY KEY (who, number))")
    check_failover(world, {client: programs()[client] for client in [*CLIENTS, "pgbench"]})
