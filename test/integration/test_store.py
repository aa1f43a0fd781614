"""A store that takes nothing: no epoch can be committed, so there is no switch; it says so, and goes on when it can."""

import os
import subprocess

import test_follow
from lab_fixture import SIGNALBOX, Lab, wait_for


def processes(config):
    done = subprocess.run(["pgrep", "-f", f"^{SIGNALBOX} serve -c {config}"], capture_output=True, text=True)
    return done.stdout.split()


def test_no_epoch_is_routed_that_could_not_be_stored(tmp_path, monkeypatch):
    # Writes beyond the limit fail as on a full disk; without the trap the first one would end the program.
    wrapper = tmp_path / "serve"
    wrapper.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {SIGNALBOX} \"$@\"\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr(test_follow, "SIGNALBOX", str(wrapper))
    with Lab() as lab:
        daemon = test_follow.Daemon(lab, tmp_path)
        monkeypatch.setattr(test_follow, "SIGNALBOX", SIGNALBOX)
        writer, epoch = daemon.cluster()["writer"], daemon.cluster()["epoch"]
        pids = processes(daemon.config)
        assert pids
        for pid in pids:
            subprocess.run(["prlimit", "--pid", pid, "--fsize=1:"], check=True)
        lab.ctl("kill", writer)

        def refused():
            alarms = [alarm for alarm in daemon.cluster().get("alarms", []) if alarm["kind"] == "store"]
            return alarms or None
        alarm = wait_for(refused, 20, "an alarm of the store")[0]
        assert "no epoch can be committed, so nothing is switched" in alarm["text"]
        wait_for(lambda: lab.writer_name() not in (None, writer), 20, "a new writer that nobody leads to")
        cluster = daemon.cluster()
        assert cluster["held"] and cluster["writer"] == "" and cluster["epoch"] == epoch
        for pid in pids:
            subprocess.run(["prlimit", "--pid", pid, "--fsize=unlimited:"], check=True)
        assert daemon.wait_routed(timeout=30) != writer
        assert daemon.cluster()["epoch"] > epoch
        assert not [alarm for alarm in daemon.cluster()["alarms"] if alarm["kind"] == "store"]
