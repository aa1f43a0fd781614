"""Other people's database clients, unmodified, through a stream endpoint: connect, prepared statements, large results, LOAD DATA,
and a failover in the middle of their work."""
import json
import os
import pathlib
import subprocess
import time

import pytest

HOST, PORT = "10.0.1.10", "3306"
PYTHON = os.environ["CONFORMANCE_PYTHON"]
CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
LARGE_ROWS = 50_000


def password(lab) -> str:
    return (lab.out / "app.password").read_text().strip()


def commands(lab) -> dict[str, list[str]]:
    """How each client program is started; all take: host, port, password, mode, table."""
    return {
        "pymysql": [PYTHON, str(CLIENTS / "python_client.py"), "pymysql"],
        "mysql-connector-python": [PYTHON, str(CLIENTS / "python_client.py"), "mysql.connector"],
        "node mysql2": ["node", str(CLIENTS / "node_client.js")],
    }


NAMES = ["pymysql", "mysql-connector-python", "node mysql2"]


@pytest.mark.parametrize("name", NAMES)
def test_a_client_connects_prepares_and_reads_a_large_result(lab, run_client, name):
    out = json.loads(run_client(*commands(lab)[name], HOST, PORT, password(lab), "basics", "basics_" + str(NAMES.index(name))))
    assert out == {"prepared": 42, "rows": LARGE_ROWS, "loaded": 3, "transaction": [1, 2]}


@pytest.mark.parametrize("name", NAMES)
def test_a_client_goes_on_after_a_failover_with_nothing_acknowledged_lost(lab, name):
    table = "failover_" + str(NAMES.index(name))
    child = subprocess.Popen(lab.on_node("client", *commands(lab)[name], HOST, PORT, password(lab), "failover", table),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    victim = lab.cluster()["writer"]
    lab.lab_do("kill", victim)
    out, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    result = json.loads(out)
    assert result["reconnects"] >= 1, "the client did not notice the failover, so this showed nothing"
    assert set(result["acknowledged"]) <= set(result["found"])
    assert len(result["servers"]) == 2, "the client wrote to one server only"
    lab.wait_until_whole()


def test_the_mariadb_command_line_client(lab, run_client):
    def sql(text: str) -> str:
        return run_client("env", "MYSQL_PWD=" + password(lab), "mariadb", "-h", HOST, "-P", PORT, "-u", "app", "-N", "-B", "orders",
                          "-e", text)

    assert sql("SELECT 6 * 7").strip() == "42"
    sql("CREATE OR REPLACE TABLE cli (a INT PRIMARY KEY, b LONGBLOB); INSERT INTO cli VALUES (1, REPEAT('x', 3000000))")
    assert sql("SELECT LENGTH(b), LENGTH(UNCOMPRESS(COMPRESS(b))) FROM cli").split() == ["3000000", "3000000"]
    assert len(sql("SELECT b FROM cli").strip()) == 3_000_000


def test_sysbench_runs_its_point_selects(lab, run_client):
    base = ["sysbench", "oltp_point_select", "--db-driver=mysql", f"--mysql-host={HOST}", f"--mysql-port={PORT}", "--mysql-user=app",
            f"--mysql-password={password(lab)}", "--mysql-db=orders", "--tables=1", "--table-size=1000", "--threads=4", "--time=3"]
    run_client(*base, "prepare")
    out = run_client(*base, "run")
    queries = int(next(line.split()[1] for line in out.splitlines() if line.strip().startswith("total:")))
    assert queries > 1000, out
    errors = next(line.split()[2] for line in out.splitlines() if "ignored errors" in line)
    assert errors == "0", out
    run_client(*base, "cleanup")
