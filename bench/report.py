#!/usr/bin/python3
"""Renders the figures of out/bench/*.json as the tables of out/bench/report.md; with --into FILE also between its markers
`<!-- figures: AREA -->` and `<!-- end of figures -->`, so that nobody copies a number by hand."""
import argparse
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True
from results import OUT, ROOT, say  # noqa: E402  (no byte code beside the sources)

MARKED = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
SIGNS = {"<=": "≤", ">=": "≥"}


def number(value: float | None) -> str:
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def goal_of(row: dict) -> str:
    *what, operator, bound = row["goal"].split()
    unit = " ×" if what else ("" if row["unit"] in ("rows", "errors", "entries") else f" {row['unit']}")
    return f"{SIGNS.get(operator, operator)} {bound}{unit}"


def beside(row: dict) -> str:
    parts = []
    if peer := row.get("peer"):
        censored = row.get("peer_not_within_the_wait")
        parts.append(f"{peer['name']}: {number(peer['value'])}"
                     + (f" ({censored} of {row['n']} not within {row['peer_wait_s']:g} s)" if censored else ""))
    elif "peer" in row:
        parts.append(row.get("note", "the peer could not start"))
    if "ratio_interval" in row:
        low, high = row["ratio_interval"]
        parts.append(f"**{row['ratio']:.2f} ×** [{low:.2f}–{high:.2f}], {row['pairs']} pairs")
    parts += [f"{other['name']}: {number(other['value'])}" for other in row.get("others", [])]
    for key, text in (("direct", "direct: {}"), ("cpu_busy", "cores busy: {:.0%}"), ("minutes", "{} minutes"),
                      ("connections", "{:,} connections"), ("operations", "{:,} operations"), ("unknown", "{} unknown outcomes"),
                      ("rolled_back", "{} rows seen and rolled back")):
        if key in row:
            parts.append(text.format(row[key]))
    return "; ".join(parts)


def table(document: dict) -> str:
    machine = document["machine"]
    lines = [f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
             f"commit {document['commit']}.", "", "| id | value | n | min–max | goal | met | beside it, in the same run |",
             "|---|---|---|---|---|---|---|"]
    for row in document["results"]:
        spread = "" if row["n"] < 2 else f"{number(row['min'])}–{number(row['max'])}"
        lines.append(f"| `{row['id']}` | {number(row['value'])} {row['unit']} | {row['n']} | {spread} | {goal_of(row)} | "
                     f"{'yes' if row['met'] else '**no**'} | {beside(row)} |")
    return "\n".join(lines) + "\n"


def tables() -> dict[str, str]:
    return {file.stem: table(json.loads(file.read_text())) for file in sorted(OUT.glob("*.json"))}


def write_report() -> None:
    parts = [f"## {area}\n\n{text}\n![{area}]({area}.svg)\n" for area, text in tables().items()]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "report.md").write_text("# Figures\n\n" + "\n".join(parts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", help="a Markdown file whose marked tables are replaced")
    arguments = parser.parse_args()
    write_report()
    say(f"written: {(OUT / 'report.md').relative_to(ROOT)}")
    if arguments.into:
        file, found = pathlib.Path(arguments.into), tables()
        text = MARKED.sub(lambda m: m[1] + found[m[2]] + m[3] if m[2] in found else m[0], file.read_text())
        file.write_text(text)
        say(f"written: {arguments.into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
