#!/usr/bin/python3
"""Loads orders into a database through one endpoint, and survives a failover of it. Driver and workers write a share each.

Every order has an id that is made from the run's id and the order's number. A write whose answer was lost may have happened:
it is tried again with the same id, and the table's primary key keeps it from being written twice.

From the environment: SIGNALBOX_RUN_ID, SIGNALBOX_RANK, SIGNALBOX_SIZE (set by Signalbox); ORDERS_HOST, ORDERS_PORT, ORDERS_USER,
ORDERS_DATABASE and ORDERS_PASSWORD_FILE (set by the job's configuration).
"""

import argparse
import json
import os
import subprocess
import sys
import time

STATEMENT_S = 5.0    # one try; after it, its outcome is unknown
PAUSE_S = 0.1        # between tries
PATIENCE_S = 60.0    # for one statement with all its tries

# Client errors that come before the server could have seen the statement: surely not written.
NOT_SENT = ("ERROR 2002", "ERROR 2003", "ERROR 2005")


def query(sql, patience_s=PATIENCE_S):
    """Runs an idempotent statement until the server acknowledges it; the rows as text, how many tries failed and were unknown."""
    command = ["mariadb", "--no-defaults", "--batch", "--skip-column-names", "--connect-timeout=3",
               "-h", os.environ["ORDERS_HOST"], "-P", os.environ.get("ORDERS_PORT", "3306"), "-u", os.environ["ORDERS_USER"],
               os.environ.get("ORDERS_DATABASE", "orders"), "-e", sql]
    with open(os.environ["ORDERS_PASSWORD_FILE"], encoding="utf-8") as file:
        environment = dict(os.environ, MYSQL_PWD=file.read().strip())
    failed = unknown = 0
    deadline = time.monotonic() + patience_s
    while True:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=STATEMENT_S, check=False,
                                  env=environment)
            if done.returncode == 0:
                return done.stdout.splitlines(), failed, unknown
            reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"
        except subprocess.TimeoutExpired:
            reason = f"no answer within {STATEMENT_S} s"
        failed += 1
        unknown += not any(word in reason for word in NOT_SENT)
        if time.monotonic() >= deadline:
            sys.exit(f"gave up after {failed} tries in {patience_s} s: {reason}")
        print(f"try {failed} failed: {reason}", flush=True)
        time.sleep(PAUSE_S)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=200, help="orders of the whole run")
    parser.add_argument("--pace-ms", type=int, default=50, help="pause between two orders of one node")
    options = parser.parse_args()
    run = os.environ["SIGNALBOX_RUN_ID"]
    rank, size = int(os.environ["SIGNALBOX_RANK"]), int(os.environ["SIGNALBOX_SIZE"])
    print(f"node {rank} of {size} at {os.environ.get('SIGNALBOX_NODE_ADDRESS', '?')}, driver at "
          f"{os.environ.get('SIGNALBOX_DRIVER_ADDRESS', '?')}, connection {os.environ.get('SIGNALBOX_CONNECTION', '?')} "
          f"(subnet {os.environ.get('SIGNALBOX_SUBNET', '?')}, zone {os.environ.get('SIGNALBOX_ZONE', '?')})", flush=True)

    query("create table if not exists orders (id varchar(100) primary key, run varchar(80) not null, node int not null,"
          " number int not null, amount decimal(10,2) not null, written_at timestamp(3) not null default current_timestamp(3),"
          " key (run)) engine=innodb;"
          " create table if not exists shares (run varchar(80), node int, orders int, primary key (run, node)) engine=innodb")
    failed = unknown = 0
    share = range(rank, options.orders, size)
    for number in share:
        amount = (number * 7919 % 100000) / 100
        _, tries_failed, tries_unknown = query(
            f"insert ignore into orders (id, run, node, number, amount) values ('{run}/{number}', '{run}', {rank}, {number}, {amount})")
        failed += tries_failed
        unknown += tries_unknown
        if tries_failed:
            print(f"order {number} written after {tries_failed} failed tries ({tries_unknown} of unknown outcome)", flush=True)
        time.sleep(options.pace_ms / 1000)
    query(f"insert ignore into shares values ('{run}', {rank}, {len(share)})")
    print(json.dumps({"node": rank, "orders": len(share), "failed_tries": failed, "unknown_tries": unknown}), flush=True)
    if rank != 0:
        return

    # The driver ends the run, so it waits for every share and then counts what really is there.
    deadline = time.monotonic() + 120
    while True:
        rows, _, _ = query(f"select count(*), coalesce(sum(orders), 0) from shares where run = '{run}'")
        shares, promised = (int(float(word)) for word in rows[0].split("\t"))
        if shares == size:
            break
        if time.monotonic() >= deadline:
            sys.exit(f"only {shares} of {size} nodes finished their share")
        time.sleep(0.2)
    rows, _, _ = query(f"select count(*), count(distinct number) from orders where run = '{run}'")
    stored, distinct = (int(word) for word in rows[0].split("\t"))
    print(json.dumps({"run": run, "orders": options.orders, "stored": stored, "distinct": distinct, "shares": promised}), flush=True)
    if stored != options.orders or distinct != options.orders:
        sys.exit(f"expected {options.orders} orders, found {stored} rows of {distinct} orders")


if __name__ == "__main__":
    main()
