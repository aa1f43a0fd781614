"""What every benchmark of this project shares: the results of one area in one form, and the arithmetic of its figures.

A figure that was not measured is left out, never filled in. A benchmark is no test: a goal that is missed fails nothing.
"""
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools" / "lib"))
sys.dont_write_bytecode = True
from picture import strip_plot  # noqa: E402  (the path comes first)

OUT = ROOT / "out" / "bench"
PAIRS_MIN = 7
# With fewer samples the largest stands in for the 99th percentile.
P99_SAMPLES_MIN = 100


def say(text: str) -> None:
    print(text, flush=True)


def machine() -> dict:
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory_kib = int(next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1])
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory_kib / 2**20, 1), "kernel": platform.release(),
            "date": time.strftime("%Y-%m-%d", time.gmtime())}


def commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() or "?"


def p99(samples: list[float]) -> float:
    if len(samples) < P99_SAMPLES_MIN:
        return max(samples)
    return statistics.quantiles(samples, n=100, method="inclusive")[98]


def median_interval(samples: list[float], confidence: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of order statistics, taken symmetrically, that holds the median with at least that confidence,
    whatever the distribution is; with fewer than six samples none does, and it is their range."""
    ordered = sorted(samples)
    n = len(ordered)
    best = (ordered[0], ordered[-1])
    for k in range(n // 2):
        outside = 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n
        if 1 - outside < confidence:
            break
        best = (ordered[k], ordered[n - 1 - k])
    return best


def fulfilled(goal: str, row: dict) -> bool:
    """Goals are "<= 50", "= 0", or "ratio >= 1.2", which is judged on the ratio to the peer."""
    *what, operator, bound = goal.split()
    value = row.get("ratio") if what == ["ratio"] else row["value"]
    if value is None:
        return False
    return {"<=": value <= float(bound), ">=": value >= float(bound), "=": value == float(bound)}[operator]


def rounded(value: float | None) -> float | None:
    """Enough digits for the small, none too many for the large."""
    return None if value is None else round(value, 2 if abs(value) < 1000 else 0)


class Results:
    """The results of one area. `keep`: rows of an earlier run stay until they are measured again, each with its own date."""

    def __init__(self, area: str, keep: bool = False):
        self.area = area
        self.rows: list[dict] = []
        self.samples: dict[str, list[float]] = {}
        file = OUT / f"{area}.json"
        if keep and file.exists():
            for row in json.loads(file.read_text())["results"]:
                self.rows.append(row)
                self.samples[row["id"]] = row.get("samples", [row["value"]])

    def add(self, id_: str, value: float, unit: str, goal: str, samples: list[float], peer: dict | None = None, **more) -> None:
        """`samples`: what the value was made of, or the pairs' ratios when the goal is one. `peer`: its name and value; a value of
        None says that it could not start, or never came to an end."""
        row = {"id": id_, "value": rounded(value), "unit": unit, "n": len(samples), "min": rounded(min(samples)),
               "max": rounded(max(samples)), "goal": goal}
        if peer and peer.get("value") is not None:
            row["peer"] = {**peer, "value": rounded(peer["value"])}
            row["ratio"] = round(value / peer["value"], 4) if peer["value"] else None
        elif peer:
            row["peer"] = None
            row["note"] = peer.get("why", f"{peer['name']} was not measured")
        row |= more
        # Judged before it is rounded: 0.7995 is not 0.80.
        row["met"] = more.get("met", fulfilled(goal, {**row, "value": value}))
        row |= {"measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": commit(),
                "samples": [round(sample, 4) for sample in samples]}
        self.rows = [other for other in self.rows if other["id"] != id_] + [row]
        self.samples[id_] = samples
        say("  " + self.line(row))

    def add_paired(self, id_: str, unit: str, goal: str, ours: list[float], theirs: list[float], peer: str, **more) -> None:
        """Ours and the peer's in alternation: the value is our median, the ratio the median of the pairs' ratios."""
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        low, high = median_interval(ratios)
        self.add(id_, statistics.median(ours), unit, goal, ratios, {"name": peer, "value": statistics.median(theirs)},
                 **{"ratio": round(statistics.median(ratios), 4), "ratio_interval": [round(low, 4), round(high, 4)],
                    "pairs": len(ratios), "min": rounded(min(ours)), "max": rounded(max(ours)), **more})

    @staticmethod
    def line(row: dict) -> str:
        peer = row.get("peer")
        beside = f"; {peer['name']}: {peer['value']}" if peer else ""
        ratio = f", ratio {row['ratio']} [{row['ratio_interval'][0]}–{row['ratio_interval'][1]}]" if "ratio_interval" in row else ""
        return (f"{'met    ' if row['met'] else 'NOT met'}  {row['id']:34} {row['value']} {row['unit']}{ratio} "
                f"(n {row['n']}, {row['min']}–{row['max']}; goal {row['goal']}{beside})")

    def write(self) -> None:
        if not self.rows:
            return
        OUT.mkdir(parents=True, exist_ok=True)
        document = {"machine": machine(), "commit": commit(), "results": self.rows}
        (OUT / f"{self.area}.json").write_text(json.dumps(document, indent=2) + "\n")
        (OUT / f"{self.area}.svg").write_text(strip_plot(self.area, self.rows, self.samples))
