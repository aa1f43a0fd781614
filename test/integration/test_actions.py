"""Pausing a job as a user does it: by command, against runs on this host."""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SIGNALBOX = os.environ.get("SIGNALBOX_BIN", str(ROOT / "build/release/signalbox"))

CONFIG = """
store: state.db
provider: {host: {}}
connections: [{name: here, subnet: host, security_groups: [default]}]
jobs: [{name: load, connections: [here], workers: 1, command: [/bin/true]}]
"""


@pytest.fixture
def job(tmp_path):
    (tmp_path / "signalbox.yaml").write_text(CONFIG)

    def run(*words, expect=0):
        done = subprocess.run([SIGNALBOX, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def test_a_paused_job_takes_no_run_and_says_who_and_why_until_it_is_resumed(job):
    pause = json.loads(job("job", "pause", "load", "--reason", "the target disk is full", "--output", "json").stdout)
    assert pause["job"] == "load" and pause["by"].startswith("user ")
    refused = job("job", "run", "load", "--wait", expect=1)
    assert "job 'load' is paused since" in refused.stderr and "the target disk is full" in refused.stderr
    assert "signalbox job resume load" in refused.stderr
    assert json.loads(job("job", "runs", "--output", "json").stdout)["items"] == []
    refused = job("job", "run", "load", "--wait", "--idempotency-key", "monday", expect=1)
    assert "is paused since" in refused.stderr
    job("job", "run", "load", "--wait", "--force")
    assert "paused already" in job("job", "pause", "load", "--reason", "again", expect=1).stderr
    assert "takes runs again" in job("job", "resume", "load").stdout
    job("job", "run", "load", "--wait")
    assert "is not paused" in job("job", "resume", "load", expect=1).stderr
    entries = {e["kind"]: e for e in map(json.loads, job("journal", "--output", "json").stdout.splitlines())}
    assert entries["job-paused"]["data"]["reason"] == "the target disk is full"
    assert entries["job-resumed"]["subject"] == "load"


def test_a_run_that_its_key_has_made_is_found_while_the_job_is_paused(job):
    first = json.loads(job("job", "run", "load", "--wait", "--idempotency-key", "monday", "--output", "json").stdout)
    job("job", "pause", "load", "--reason", "why")
    again = json.loads(job("job", "run", "load", "--wait", "--idempotency-key", "monday", "--output", "json").stdout)
    assert again["id"] == first["id"]


def test_a_pause_needs_a_reason_and_a_job(job):
    job("job", "pause", "load", expect=2)
    assert "there is no job 'other'" in job("job", "pause", "other", "--reason", "x", expect=1).stderr
    job("job", "resume", "load", expect=1)
