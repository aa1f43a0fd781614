"""`job simulate` as a user calls it: on the committed scenarios, on wrong files, and on the history of runs that really ran."""

import json
import os
import pty
import subprocess

from lab_fixture import ROOT, SIGNALBOX, Lab

LAB = """
name: history
zones: [a, b]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets:
  - {name: data-a, zone: a, cidr: 10.0.1.0/24, route_table: out-a}
  - {name: data-b, zone: b, cidr: 10.0.2.0/24, route_table: out-b}
nat_gateways: [{name: nat-a, subnet: data-a}, {name: nat-b, subnet: data-b}]
route_tables:
  - {name: out-a, routes: [{destination: 0.0.0.0/0, target: "nat:nat-a"}]}
  - {name: out-b, routes: [{destination: 0.0.0.0/0, target: "nat:nat-b"}]}
security_groups:
  - {name: default, ingress: [{protocol: all, source: "sg:default"}]}
"""

CONFIG = """
store: state.db
provider: {{lab: {{socket: {socket}}}}}
connections:
  - {{name: via-a, subnet: data-a, security_groups: [default]}}
  - {{name: via-b, subnet: data-b, security_groups: [default]}}
jobs:
  - {{name: short, connections: [via-a, via-b], workers: 2, command: [/bin/sleep, "0.5"]}}
  - {{name: bad, connections: [via-a, via-b], workers: 1, command: [/bin/sh, -c, "exit 65"]}}
"""


def simulate(*arguments, expect=0, cwd=ROOT):
    done = subprocess.run([SIGNALBOX, "job", "simulate", *arguments], capture_output=True, text=True, timeout=120, cwd=cwd)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def test_a_committed_scenario_compares_ours_with_the_models_and_draws_it(tmp_path):
    picture = tmp_path / "gray.svg"
    done = simulate("examples/simulate/gray.yaml", "--seeds", "3", "--picture", str(picture))
    for word in ("resilient", "aws-ordered", "aws-random", "aws-capacity", "SUCCESS", "RETRIES/RUN", "seeds 1 to 3"):
        assert word in done.stdout, done.stdout
    assert done.stderr == "", "no progress where nobody looks"
    svg = picture.read_text()
    assert svg.startswith("<svg") and svg.endswith("</svg>\n") and "aws-capacity" in svg


def test_the_same_seed_gives_the_same_bytes_and_only_the_named_strategies():
    arguments = ["examples/simulate/announced.yaml", "--seeds", "2", "--seed", "9", "--output", "json",
                 "--strategy", "aws-random", "--strategy", "resilient"]
    once = simulate(*arguments).stdout
    assert once == simulate(*arguments).stdout
    result = json.loads(once)
    assert [one["name"] for one in result["strategies"]] == ["aws-random", "resilient"]
    assert result["strategies"][0]["runs"] == result["strategies"][1]["runs"] > 50
    other = [word if word != "9" else "10" for word in arguments]
    assert once != simulate(*other).stdout


def test_progress_is_shown_on_a_terminal():
    ours, theirs = pty.openpty()
    done = subprocess.run([SIGNALBOX, "job", "simulate", "examples/simulate/tight.yaml", "--seeds", "4"], stdout=subprocess.PIPE,
                          stderr=theirs, timeout=120, cwd=ROOT)
    os.close(theirs)
    assert done.returncode == 0
    assert b"worlds" in os.read(ours, 65536)
    os.close(ours)


def test_wrong_input_is_one_clear_error_and_draws_nothing(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    text = open(os.path.join(ROOT, "examples/simulate/gray.yaml")).read()
    wrong.write_text(text.replace("zone: az1\n    at", "zone: az9\n    at"))
    picture = tmp_path / "wrong.svg"
    done = simulate(str(wrong), "--picture", str(picture), expect=2)
    line = 1 + wrong.read_text()[: wrong.read_text().index("az9")].count("\n")
    assert f"{wrong}:{line}: outages[0].zone: there is no zone 'az9'" in done.stderr
    assert not picture.exists()
    assert "expected a scenario file or --from-journal" in simulate(expect=2).stderr
    assert "not both" in simulate(str(wrong), "--from-journal", expect=2).stderr
    assert "can't write" in simulate("examples/simulate/gray.yaml", "--picture", "/nonexistent/x.svg", expect=2).stderr
    small = tmp_path / "small.yaml"
    small.write_text(text + "events_max: 300\n")
    assert "needs more than 300 events" in simulate(str(small), expect=2).stderr


def test_the_stores_own_runs_become_a_scenario(tmp_path):
    with Lab(LAB) as lab:
        config = tmp_path / "signalbox.yaml"
        config.write_text(CONFIG.format(socket=lab.api_socket))
        arguments = ["--from-journal", "-c", str(config), "--seeds", "1"]
        assert "no history to simulate" in simulate(*arguments, expect=1).stderr
        assert not (tmp_path / "state.db").exists(), "asking makes no store"
        for name in ("short", "short", "bad", "short"):
            done = subprocess.run([SIGNALBOX, "job", "run", name, "-c", str(config), "--wait"], capture_output=True, text=True,
                                  timeout=60)
            assert done.returncode == (1 if name == "bad" else 0), done.stdout + done.stderr
        result = json.loads(simulate(*arguments, "--output", "json").stdout)
        assert result["scenario"] == "journal" and result["about"].startswith("4 runs from ")
        assert result["notes"], "what it can't know is said"
        for one in result["strategies"]:
            assert one["runs"] == 4
            assert one["success"] == 0.75, "three ended well, and the bad one would have failed anywhere"
        assert "note: " in simulate(*arguments).stdout
