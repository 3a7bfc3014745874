"""Draws the pictures of the site and of README.md: a history, and what was measured.

    python3 docs/pictures.py            writes them
    python3 docs/pictures.py --check    ends with 1 if a picture is not what would be drawn

A picture is drawn twice, for light and for dark pages, since a page chooses and an image cannot. What was measured stands in
measured.json, with where it comes from. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PICTURES = DOCS / "pictures"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Look:
    """The colours of a page."""

    name: str
    ground: str
    text: str
    faint: str
    line: str
    past: str
    past_text: str
    now: str
    now_text: str
    mark: str


LIGHT = Look("light", "#ffffff", "#1f2937", "#4b5563", "#d1d5db", "#dbe7f5", "#1e3a5f", "#0f5f6b", "#ffffff", "#b45309")
DARK = Look("dark", "#14181f", "#e5e7eb", "#b0b8c4", "#3b4452", "#26364a", "#d6e4f5", "#5ec4d0", "#08262b", "#f5b04c")


class Drawing:
    """The elements of an SVG, in their order."""

    def __init__(self, width: int, height: int, look: Look, title: str) -> None:
        self.look = look
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="{FONT}" font-size="15">'
        )
        self.lines = [
            opening,
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{look.ground}"/>',
        ]

    def text(self, x: float, y: float, words: str, fill: str, anchor: str = "start", extra: str = "") -> None:
        self.lines.append(
            f'<text x="{x:g}" y="{y:g}" fill="{fill}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'
        )

    def path(self, way: str, extra: str) -> None:
        self.lines.append(f'<path d="{way}" {extra}/>')

    def done(self) -> str:
        return "\n".join([*self.lines, "</svg>"]) + "\n"


# --- a history ------------------------------------------------------------------------------------------------------

# The customer of `flow demo`: from where to where, and what was true.
VERSIONS = [(0.0, 1.0, "London · silver"), (1.0, 1.9, "Suez · silver"), (1.9, 2.75, "Suez · gold")]
CURRENT = (2.75, "Bombay · gold")
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday"]
LEFT, DAY, TOP, ROW = 24, 118, 76, 42
ASKED = 1.45


def history(look: Look) -> str:
    """Four versions of one key, each from its beginning to the next one's, and a question about a moment."""
    drawing = Drawing(
        540,
        340,
        look,
        "The history of one customer: four versions, each ending at the instant at which the next begins; the last is current",
    )
    right, bottom = LEFT + DAY * 4 + 16, TOP + ROW * 4 + 12
    drawing.text(LEFT, 34, "customer_id = 17", look.text, extra=' font-weight="600"')
    drawing.text(right, 34, "analytics.dim_customers", look.faint, "end")
    for number, day in enumerate(DAYS):
        x = LEFT + DAY * number
        drawing.path(f"M{x} 56V{bottom}", f'stroke="{look.line}"')
        drawing.text(x + 6, 66, day, look.faint, extra=' font-size="13"')
    for number, (begins, ends, words) in enumerate(VERSIONS):
        x, y, width = LEFT + DAY * begins, TOP + ROW * number, DAY * (ends - begins)
        drawing.lines.append(
            f'<rect x="{x:g}" y="{y}" width="{width:g}" height="32" rx="4" fill="{look.past}" stroke="{look.line}"/>'
        )
        label_fits = width > 110
        drawing.text(
            x + 8 if label_fits else x + width + 8,
            y + 21,
            words,
            look.past_text if label_fits else look.text,
            extra=' font-size="14"',
        )
    begins, words = CURRENT
    x, y = LEFT + DAY * begins, TOP + ROW * 3
    drawing.path(f"M{x:g} {y}H{right - 14}L{right} {y + 16}L{right - 14} {y + 32}H{x:g}Z", f'fill="{look.now}"')
    drawing.text(x + 10, y + 21, words, look.now_text, extra=' font-weight="600"')
    drawing.text(x - 10, y + 21, "is_current", look.faint, "end")
    x = LEFT + DAY * ASKED
    drawing.path(f"M{x:g} 74V{bottom + 18}", f'stroke="{look.mark}" stroke-width="2" stroke-dasharray="5 4"')
    drawing.lines.append(f'<circle cx="{x:g}" cy="{TOP + ROW + 16}" r="5" fill="{look.mark}"/>')
    drawing.text(LEFT, bottom + 38, "What was true on Tuesday at 11 o’clock?", look.text, extra=' font-weight="600"')
    drawing.text(LEFT, bottom + 60, "Suez, silver: one row, half-open, no gap and no overlap.", look.faint)
    return drawing.done()


# --- what was measured ----------------------------------------------------------------------------------------------

BAR_LEFT, BAR_RIGHT, BAR_ROW = 176, 482, 34


def bars(chart: dict[str, Any], look: Look) -> str:
    """Horizontal bars of one chart, ours in colour, and the line of what they are measured by."""
    rows: list[dict[str, Any]] = chart["rows"]
    height = 44 + BAR_ROW * len(rows)
    told = "; ".join(f"{row['who']} {row['value']:g}" for row in rows)
    drawing = Drawing(540, height, look, f"{chart['title']}: {told}")
    scale = (BAR_RIGHT - BAR_LEFT) / max(row["value"] for row in rows)
    drawing.text(20, 26, chart["axis"], look.faint, extra=' font-size="13"')
    for number, row in enumerate(rows):
        y = 40 + BAR_ROW * number
        fill = look.now if row.get("ours") else look.past
        drawing.text(BAR_LEFT - 10, y + 18, row["who"], look.text, "end")
        width = max(row["value"] * scale, 2)
        drawing.lines.append(
            f'<rect x="{BAR_LEFT}" y="{y}" width="{width:.1f}" height="24" rx="3" fill="{fill}" stroke="{look.line}"/>'
        )
        beside = max(width, chart.get("floor", 0) * scale) + 8
        drawing.text(
            BAR_LEFT + beside,
            y + 18,
            f"{row['value']:g}",
            look.text,
            extra=' font-weight="600"' * bool(row.get("ours")),
        )
    if chart.get("floor"):
        x = BAR_LEFT + chart["floor"] * scale
        drawing.path(f"M{x:.1f} 34V{height - 8}", f'stroke="{look.mark}" stroke-width="2" stroke-dasharray="4 3"')
    return drawing.done()


# --- the icon -------------------------------------------------------------------------------------------------------


def logo(bars_of: str, current: str) -> str:
    """Two closed versions and one that goes on."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
        f'<path d="M2 3h9v5H2zM8 9.5h8v5H8z" fill="{bars_of}"/>'
        f'<path d="M12 16h7l3.5 2.75L19 21.5h-7z" fill="{current}"/></svg>\n'
    )


def pictures() -> Iterator[tuple[str, str]]:
    """Every file and its text."""
    charts = json.loads((DOCS / "measured.json").read_text(encoding="utf-8"))["charts"]
    for look in (LIGHT, DARK):
        yield f"history-{look.name}.svg", history(look)
        for name, chart in charts.items():
            yield f"{name}-{look.name}.svg", bars(chart, look)
    yield "logo.svg", logo("#ffffff", "#9fe3ea")
    yield "icon.svg", logo("#0f5f6b", "#b45309")


def main() -> int:
    parser = argparse.ArgumentParser(description="Draws the pictures of the site.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a picture would change")
    check: bool = parser.parse_args().check
    stale = []
    for name, text in pictures():
        path = PICTURES / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            PICTURES.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and check:
        print(f"not up to date: {', '.join(stale)}; run `python3 docs/pictures.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
