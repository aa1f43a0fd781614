#!/usr/bin/python3
"""Scores our band on the Numenta Anomaly Benchmark (Lavin and Ahmad, 2015; 58 series) and writes lake.nab.* into
out/bench/lake.json. The data are not ours to ship: `--nab FOLDER` is a checkout with data/ and labels/combined_windows.json;
without it nothing is written.

The scoring is written from its publication: the first detection inside a labelled window earns up to 1, the earlier the
more (a scaled sigmoid over the window's width); later ones in the same window nothing; a detection outside costs more the
farther it is behind the last window; a missed window costs its weight. The first 15 % of a series (at most 750 points) do not
count. A detector is its scores per point; the threshold is one for all series, the best for the profile, as NAB
optimises it; the result is scaled so that no detection is 0 and all that can be had is 100.
"""
import argparse
import csv
import json
import math
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from results import ROOT, Results, say  # noqa: E402  (no byte code beside the sources)

# Weights of a true positive, a false positive and a false negative (NAB's config/profiles.json).
PROFILES = {"standard": (1.0, 0.11, 1.0), "low_fp": (1.0, 0.22, 1.0), "low_fn": (1.0, 0.11, 2.0)}
PROBATION, PROBATION_ROWS_MAX = 0.15, 5000
PEER = {"name": "random cut forest (published)", "value": 51.7}
GOAL = ">= 55"
# NAB counts a detector's score as in [0, 1]; ours is in standard deviations. An episode's further points are silent for so
# many points: one alarm per episode.
QUIET_POINTS_SHARE = 0.03


def scaled_sigmoid(position: float) -> float:
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def half_of(name: str, names: list[str]) -> str:
    """A fixed rule: sorted by name, every other series. Settings may be tuned on A only."""
    return "A" if sorted(names).index(name) % 2 == 0 else "B"


class Series:
    """One series' points, each worth something if it is a detection."""

    def __init__(self, times: list[str], scores: list[float], windows: list[tuple[str, str]]):
        self.scores = scores
        self.probation = math.floor(min(PROBATION * len(times), PROBATION * PROBATION_ROWS_MAX))
        index = {time: i for i, time in enumerate(times)}
        spans = [(index[a], index[b]) for a, b in windows]
        self.window: list[int | None] = [None] * len(times)
        self.worth = [0.0] * len(times)  # unweighted: positive in a window, negative outside
        best = scaled_sigmoid(-1)
        for number, (first, last) in enumerate(spans):
            for i in range(first, last + 1):
                self.window[i] = number
                self.worth[i] = scaled_sigmoid(-(last - i + 1) / (last - first + 1)) / best
        previous = None
        for i in range(len(times)):
            if self.window[i] is not None:
                previous = spans[self.window[i]]
            elif previous is None:
                self.worth[i] = -1.0
            else:
                self.worth[i] = scaled_sigmoid((i - previous[1]) / max(previous[1] - previous[0], 1))
        self.scored_windows = {w for i, w in enumerate(self.window) if w is not None and i >= self.probation}


def sweep(series: list[Series], weights: tuple[float, float, float]) -> list[tuple[float, float]]:
    """(threshold, raw score), from the highest threshold down: what a detection at every point of at least that score earns."""
    tp, fp, fn = weights
    points = sorted(((s.scores[i], n, i) for n, s in enumerate(series) for i in range(s.probation, len(s.scores)) if s.scores[i] > 0),
                    reverse=True)
    total = -fn * sum(len(s.scored_windows) for s in series)
    earned: dict[tuple[int, int], float] = {}
    out = [(math.inf, total)]
    for at, (score, n, i) in enumerate(points):
        window = series[n].window[i]
        if window is None:
            total += fp * series[n].worth[i]
        else:
            before = earned.get((n, window), -fn)
            now = max(before, tp * series[n].worth[i])
            total += now - before
            earned[(n, window)] = now
        if at + 1 == len(points) or points[at + 1][0] != score:
            out.append((score, total))
    return out


def score_at(series: list[Series], weights: tuple[float, float, float], threshold: float) -> float:
    """Scaled: 0 for no detection at all, 100 for every window at its first point and nothing else."""
    windows = sum(len(s.scored_windows) for s in series)
    null, perfect = -weights[2] * windows, weights[0] * windows
    raw = null
    for bound, total in sweep(series, weights):
        if bound < threshold:
            break
        raw = total
    return 100 * (raw - null) / (perfect - null)


def best_threshold(series: list[Series], weights: tuple[float, float, float]) -> float:
    return max(sweep(series, weights), key=lambda pair: pair[1])[0]


def one_per_episode(scores: list[float]) -> list[float]:
    """A score counts only where it is higher than all of the points just before it: the rest of its episode is no news."""
    quiet = max(1, round(QUIET_POINTS_SHARE * len(scores)))
    out, peak, until = [], 0.0, -1
    for i, score in enumerate(scores):
        if i > until:
            peak = 0.0
        if score > peak:
            out.append(score)
            peak, until = score, i + quiet
        else:
            out.append(0.0)
    return out


def load(folder: pathlib.Path, scored: pathlib.Path) -> dict[str, Series]:
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    series = {}
    for name, windows in labels.items():
        with open(folder / "data" / name, newline="") as file:
            times = [row["timestamp"] for row in csv.DictReader(file)]
        scores = [float(line.split(",")[1]) for line in (scored / name).read_text().splitlines()]
        if len(scores) != len(times):
            raise SystemExit(f"{name}: {len(scores)} scores for {len(times)} points")
        spans = [(a.split(".")[0], b.split(".")[0]) for a, b in windows]
        series[name] = Series(times, one_per_episode(scores), spans)
    return series


def figures(series: dict[str, Series]) -> dict[str, dict[str, float]]:
    """Half: the threshold of half A on half B. All: NAB's own way, the best threshold over all series."""
    halves: dict[str, list[Series]] = {"A": [], "B": []}
    for name, one in series.items():
        halves[half_of(name, list(series))].append(one)
    every = list(series.values())
    return {profile: {"half": score_at(halves["B"], weights, best_threshold(halves["A"], weights)),
                      "all": score_at(every, weights, best_threshold(every, weights))}
            for profile, weights in PROFILES.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nab", type=pathlib.Path, help="a folder with data/ and labels/combined_windows.json")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--print-only", action="store_true", help="write nothing: for data that are not NAB's")
    options = parser.parse_args()
    if options.nab is None:
        say("lake.nab.*: left out, no folder of NAB was given (--nab FOLDER)")
        return 0
    if not (options.nab / "labels" / "combined_windows.json").exists():
        print(f"{options.nab}: no labels/combined_windows.json in it", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="signalbox-nab-") as out:
        subprocess.run([options.build / "alarms_bench", "nab", options.nab, out], check=True)
        series = load(options.nab, pathlib.Path(out))
    scores = figures(series)
    results = Results("lake", keep=True)
    for part in ("half", "all"):
        for profile in PROFILES:
            value = scores[profile][part]
            if options.print_only:
                say(f"  {part}.{profile}: {value:.1f}")
                continue
            goal, peer = (GOAL, PEER) if profile == "standard" else (">= 0", None)
            results.add(f"lake.nab.{part}.{profile}", value, "score", goal, [value], peer, series=len(series))
    if not options.print_only:
        results.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
