"""A Python application: python_client.py MODULE HOST PORT PASSWORD basics|failover TABLE. Prints one JSON object."""
import importlib
import json
import os
import sys
import tempfile
import time

module_name, host, port, password, mode, table = sys.argv[1:]
driver = importlib.import_module(module_name)
LARGE_ROWS = 50_000
WRITES_S = 8


def connect():
    options = dict(host=host, port=int(port), user="app", password=password, database="orders")
    if module_name == "pymysql":
        return driver.connect(**options, local_infile=True, connect_timeout=20, read_timeout=20, write_timeout=20)
    return driver.connect(**options, allow_local_infile=True, connection_timeout=20, use_pure=True, ssl_disabled=True)


def execute(connection, sql, values=()):
    cursor = connection.cursor()
    cursor.execute(sql, values)
    rows = cursor.fetchall() if cursor.description else []
    cursor.close()
    return rows


def basics():
    connection = connect()
    execute(connection, f"CREATE OR REPLACE TABLE {table} (id INT PRIMARY KEY, text VARCHAR(200))")
    if module_name == "mysql.connector":
        cursor = connection.cursor(prepared=True)
        cursor.execute("SELECT ? * 7", (6,))
        prepared = cursor.fetchall()[0][0]
        cursor.close()
    else:
        execute(connection, "PREPARE p FROM 'SELECT ? * 7'")
        execute(connection, "SET @six = 6")
        prepared = execute(connection, "EXECUTE p USING @six")[0][0]
    large = execute(connection, f"SELECT seq, REPEAT('y', 100) FROM seq_1_to_{LARGE_ROWS}")
    with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as file:
        file.write("10,a\n11,b\n12,c\n")
    execute(connection, f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE {table} FIELDS TERMINATED BY ','")
    connection.commit()
    os.unlink(file.name)
    loaded = execute(connection, f"SELECT COUNT(*) FROM {table}")[0][0]
    execute(connection, f"DELETE FROM {table}")
    execute(connection, f"INSERT INTO {table} VALUES (1, 'one'), (2, 'two')")
    connection.commit()
    execute(connection, f"INSERT INTO {table} VALUES (3, 'three')")
    connection.rollback()
    transaction = [row[0] for row in execute(connection, f"SELECT id FROM {table} ORDER BY id")]
    print(json.dumps({"prepared": int(prepared), "rows": len(large), "loaded": loaded, "transaction": transaction}))


def failover():
    connection = connect()
    execute(connection, f"CREATE OR REPLACE TABLE {table} (id INT PRIMARY KEY, server INT)")
    acknowledged, reconnects, number = [], 0, 0
    deadline = time.monotonic() + WRITES_S
    while time.monotonic() < deadline:
        number += 1
        try:
            execute(connection, f"INSERT INTO {table} VALUES (%s, @@server_id)", (number,))
            connection.commit()
            acknowledged.append(number)
            time.sleep(0.005)
        except Exception:  # noqa: BLE001  whatever the driver calls a lost connection: the next number goes to a new one
            reconnects += 1
            try:
                connection = connect()
            except Exception:  # noqa: BLE001
                time.sleep(0.05)
    found = execute(connection, f"SELECT id, server FROM {table}")
    print(json.dumps({"acknowledged": acknowledged, "found": [row[0] for row in found], "reconnects": reconnects,
                      "servers": sorted({row[1] for row in found})}))


basics() if mode == "basics" else failover()
