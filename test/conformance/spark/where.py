"""A PySpark job that says where it really ran: each task tells from inside which address its machine has.
where.py [--fail CODE | --wait]"""
import json
import socket
import sys
import time

from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("where").getOrCreate()
context = spark.sparkContext
if sys.argv[1:2] == ["--fail"]:
    sys.exit(int(sys.argv[2]))
driver = context.getConf().get("spark.driver.host")


def own_address(_):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((driver, 9))
        address = probe.getsockname()[0]
    # So long that one executor does not take the tasks of all.
    time.sleep(0.5)
    return address


tasks = context.parallelize(range(4), 4).map(own_address).collect()
rows = spark.range(1000).selectExpr("id % 7 as k", "id").groupBy("k").sum("id").collect()
known = context._jsc.sc().statusTracker().getExecutorInfos()
print("RESULT " + json.dumps({
    "tasks": sorted(set(tasks)),
    "executors": sorted({executor.host() for executor in known} - {driver}),
    "sum": sum(row[1] for row in rows),
    "driver": driver,
    "master": context.master,
    "executor_count": context._jsc.sc().getExecutorMemoryStatus().size() - 1,  # without the driver
    "ui": context.uiWebUrl,
    "arguments": sys.argv[1:],
}), flush=True)
if sys.argv[1:2] == ["--wait"]:
    context.parallelize(range(2), 2).foreach(lambda _: time.sleep(600))
spark.stop()
