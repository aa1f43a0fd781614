"""The Prometheus page as a real Prometheus sees it: every expression of the dashboard finds data, and the example rules fire."""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DRIVER = os.environ.get("SINKS_DRIVER_BIN", str(ROOT / "build/release/test/sinks_driver"))
DASHBOARD = ROOT / "examples/grafana/signalbox-tables.json"
PROMETHEUS = shutil.which("prometheus", path="/usr/bin:/usr/local/bin")


def die_with_parent():
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)


@contextlib.contextmanager
def process(words, **how):
    child = subprocess.Popen(words, preexec_fn=die_with_parent, **how)
    try:
        yield child
    finally:
        child.kill()
        child.wait(10)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if found := what():
                return found
        time.sleep(0.2)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Prometheus that scrapes the driver's page each second and has seen it a few times. Its URL."""
    assert PROMETHEUS, "prometheus is not installed: tools/install-packages"
    folder = tmp_path_factory.mktemp("prometheus")
    with process([DRIVER, "page"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as page:
        address = page.stdout.readline().strip()
        shutil.copy(ROOT / "examples/prometheus/signalbox-rules.yml", folder)
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [signalbox-rules.yml]\nscrape_configs:\n"
            f"  - {{job_name: signalbox, static_configs: [{{targets: ['{address}']}}]}}\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = open(folder / "log", "w")
        with log, process([PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                           f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log):
            url = f"http://127.0.0.1:{port}"
            until(lambda: len(query(url, "signalbox_table_commits_total[1m]")[0]["values"]) >= 4)
            yield url


def query(url, expression):
    answer = get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


def dashboard():
    return json.loads(DASHBOARD.read_text())


def expressions():
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_of_the_dashboard_finds_data(server, expression):
    assert query(server, expression.replace("$table", ".*")), expression
    assert query(server, expression.replace("$table", "db[.]orders")), expression


def test_every_family_of_the_page_has_a_type_and_no_warning_of_the_linter(server):
    targets = get(f"{server}/api/v1/targets")["data"]["activeTargets"]
    assert [target["health"] for target in targets] == ["up"]
    with urllib.request.urlopen(targets[0]["scrapeUrl"], timeout=10) as page:
        text = page.read()
    linted = subprocess.run(["/usr/bin/promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert linted.returncode == 0, linted.stdout.decode() + linted.stderr.decode()
    assert text.count(b"signalbox_table_partition_records{") == 11, "ten partitions and the rest"


def test_the_example_rules_are_valid_and_tell_of_an_alarm(server):
    checked = subprocess.run(["/usr/bin/promtool", "check", "config", "--syntax-only", ROOT / "examples/prometheus/prometheus.yml"],
                             capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    alerts = until(lambda: [a for a in get(f"{server}/api/v1/alerts")["data"]["alerts"] if a["labels"]["alertname"] == "SignalboxAlarm"])
    assert [a["labels"]["alarm"] for a in alerts] == ["volume"]


def test_the_dashboard_is_one_that_grafana_can_import():
    board = dashboard()
    assert board["uid"] and board["title"] and board["schemaVersion"] >= 36
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert {"type", "title", "datasource", "gridPos", "targets", "fieldConfig"} <= panel.keys(), panel["title"]
        assert {"x", "y", "w", "h"} == panel["gridPos"].keys() and panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    cells = set()
    for panel in panels:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not mine & cells, f"{panel['title']} lies over another"
        cells |= mine
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "table"}
