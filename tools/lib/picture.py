"""Small pictures without a plotting library: SVG that follows the reader's light or dark theme."""
from xml.sax.saxutils import escape

STYLE = """<style>
svg { --ink: #1b1f24; --faint: #8b949e; --line: #d0d7de; --good: #1a7f37; --bad: #cf222e; background: #ffffff; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --faint: #8b949e; --line: #30363d; --good: #3fb950; --bad: #f85149; background: #0d1117; } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); } .faint { fill: var(--faint); font-size: 11px; }
.axis { stroke: var(--line); } .goal { stroke: var(--faint); stroke-dasharray: 4 3; } .peer { fill: var(--faint); }
.good { fill: var(--good); } .bad { fill: var(--bad); } .median { stroke: var(--ink); stroke-width: 2; }
</style>"""


def strip_plot(title: str, rows: list[dict], samples: dict[str, list[float]]) -> str:
    """One strip per figure: every sample a dot, the value a bar, the goal a dashed line. Where the goal is a ratio to the peer
    ("ratio >= 1.2") the samples are the pairs' ratios, and so is the axis."""
    left, width, height = 340, 520, 64
    parts = []
    for index, row in enumerate(rows):
        top = 46 + index * height
        middle = top + height // 2
        *what, _, bound_text = row["goal"].split()
        bound = float(bound_text)
        values = samples[row["id"]]
        shown = row.get("ratio") if what == ["ratio"] and row.get("ratio") is not None else row["value"]
        peer = (row.get("peer") or {}).get("value")
        # A peer that is ten times slower must not squeeze our own dots into one: it is named beside the strip instead.
        low = min(0, *values, shown)
        scale = (max(*values, bound, shown) - low) * 1.15 or 1

        def x(value: float) -> float:
            return round(left + (value - low) / scale * width, 1)

        colour = "good" if row["met"] else "bad"
        ratio = f", ratio {row['ratio']:.2f}" if what and row.get("ratio") is not None else ""
        parts.append(f'<text x="16" y="{middle - 4}">{escape(row["id"])}</text>')
        parts.append(f'<text class="faint" x="16" y="{middle + 14}">{row["value"]} {escape(row["unit"])}{ratio}, n {row["n"]}'
                     + (f'; {escape(row["peer"]["name"][:24])}: {peer}' if peer is not None else "") + "</text>")
        parts.append(f'<line class="axis" x1="{left}" x2="{left + width}" y1="{middle + 16}" y2="{middle + 16}"/>')
        parts.append(f'<line class="goal" x1="{x(bound)}" x2="{x(bound)}" y1="{top + 10}" y2="{middle + 16}"/>')
        parts.append(f'<text class="faint" x="{x(bound) + 4}" y="{top + 16}">goal {escape(row["goal"])}</text>')
        for value in values:
            parts.append(f'<circle class="{colour}" fill-opacity="0.55" cx="{x(value)}" cy="{middle + 6}" r="4"><title>{value}</title></circle>')
        parts.append(f'<line class="median" x1="{x(shown)}" x2="{x(shown)}" y1="{middle - 6}" y2="{middle + 16}"/>')
    total = 60 + len(rows) * height
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {total}" role="img">{STYLE}'
            f'<title>{escape(title)}</title><text x="16" y="26" font-weight="600">{escape(title)}</text>{"".join(parts)}</svg>\n')
