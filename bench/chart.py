"""Draws results: a picture of every cell with its steps, as SVG and PNG, and charts in the form of docs/measured.json.

The colours, and how bars of the site are drawn, are those of docs/pictures.py.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from databases import HERE
from installed import Environment, NotInstalled
from race import Result

WIDTH, LEFT, RIGHT, BAR, STEP_GAP = 760, 190, 690, 20, 26
# A peer that takes longer is drawn at this and told by its figure: else all that is near the floor would look alike.
LONGEST_RATIO = 8.0
# A machine may have no font at all; Roboto is one of those that the pictures ask for.
PNG = """
import pathlib, sys, font_roboto, resvg_py
svg, png = sys.argv[1:]
fonts = str(pathlib.Path(font_roboto.__file__).parent / "files")
data = resvg_py.svg_to_bytes(svg_path=svg, zoom=2, font_dirs=[fonts], sans_serif_family="Roboto")
pathlib.Path(png).write_bytes(bytes(data))
"""


def pictures() -> ModuleType:
    """docs/pictures.py, which is no package."""
    specification = importlib.util.spec_from_file_location("pictures", HERE.parent / "docs" / "pictures.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    # dataclasses look their module up.
    sys.modules["pictures"] = module
    specification.loader.exec_module(module)
    return module


def by_step(results: Sequence[Result]) -> dict[tuple[str, int], dict[str, list[Result]]]:
    """Results by cell and step, in their order."""
    grouped: dict[tuple[str, int], dict[str, list[Result]]] = {}
    for result in results:
        cell = (result.cell.title, result.cell.rows)
        grouped.setdefault(cell, {}).setdefault(result.step, []).append(result)
    return grouped


def svg(results: Sequence[Result], rounds: int) -> str:
    """Bars of the ratio to the floor, a group a step, a panel a cell."""
    drawn = pictures()
    look = drawn.LIGHT
    grouped = by_step(results)
    bars = sum(len(told) - 1 for steps in grouped.values() for told in steps.values())
    height = 70 + BAR * bars + sum(34 + STEP_GAP * len(steps) for steps in grouped.values())
    drawing = drawn.Drawing(WIDTH, height, look, f"Seconds as a multiple of SQL by hand, medians of {rounds}")
    drawing.text(20, 30, f"Times the best SQL by hand, medians of {rounds}; less is better", look.faint)
    longest = max([min(each.ratio, LONGEST_RATIO) for each in results if each.ratio] + [1.0])
    scale = (RIGHT - LEFT) / longest
    y = 46
    for (title, rows), steps in grouped.items():
        y += 30
        drawing.text(20, y, f"{title}, {rows:,} rows", look.text, extra=' font-weight="600"')
        for step, told in steps.items():
            y += STEP_GAP
            floor = told[0].cost
            seconds = f": {floor.seconds:.2f} s by hand" if floor else ""
            drawing.text(LEFT, y - 4, f"{step}{seconds}", look.faint, extra=' font-size="13"')
            for each in told[1:]:
                draw_bar(drawing, look, each, y, scale)
                y += BAR
        y += 4
    drawing.path(f"M{LEFT + scale:.1f} 46V{height - 10}", f'stroke="{look.mark}" stroke-dasharray="4 3"')
    return drawing.done()


def draw_bar(drawing: Any, look: Any, result: Result, y: float, scale: float) -> None:
    drawing.text(LEFT - 10, y + 14, result.contender, look.text, "end")
    if result.ratio is None:
        drawing.text(LEFT, y + 14, f"not measured: {(result.failed or '')[:70]}", look.faint, extra=' font-size="12"')
        return
    width = max(min(result.ratio, LONGEST_RATIO) * scale, 2)
    fill = look.now if result.contender == "flow" else look.past
    drawing.lines.append(
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}" rx="3" fill="{fill}" stroke="{look.line}"/>'
    )
    drawing.text(LEFT + width + 6, y + 14, f"{result.ratio:.2f}", look.text, extra=' font-size="13"')


def write(path: Path, results: Sequence[Result], rounds: int) -> str | None:
    """Writes PATH.svg and PATH.png; why there is no PNG, where there is none."""
    path.with_suffix(".svg").write_text(svg(results, rounds), encoding="utf-8")
    try:
        python = Environment("chart").python()
    except NotInstalled as reason:
        return f"no PNG: {reason}"
    words = [str(python), "-c", PNG, str(path.with_suffix(".svg")), str(path.with_suffix(".png"))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"no PNG: {done.stderr.strip().splitlines()[-1]}" if done.returncode else None


def site_charts(results: Sequence[Result], rounds: int) -> dict[str, Any]:
    """A chart of the site for each strategy: who took how many times the floor with 1 % changed."""
    charts: dict[str, Any] = {}
    for result in results:
        cell = result.cell
        if not cell.plain or result.share != 1 or result.contender == "floor" or cell.source == "across_staged":
            continue
        if result.ratio is None:
            continue
        rows = f"{cell.rows / 1e6:g} M" if cell.rows >= 1_000_000 else f"{cell.rows:,}"
        chart = charts.setdefault(
            f"measured-{cell.strategy}",
            {
                "title": f"{cell.strategy} of {rows} rows with 1 % changed, as a multiple of SQL by hand",
                "axis": f"{cell.strategy}, {rows} rows, 1 % changed: times the best SQL by hand",
                "from": f"./do bench --only {cell.strategy}, medians of {rounds}, each from the start of its process to its end",
                "floor": 1,
                "rows": [],
            },
        )
        where = {"table": "one database", "query": "a query", "across": "two databases"}[cell.source]
        bar = {"who": f"{result.contender}, {where}", "value": round(result.ratio, 2)}
        chart["rows"].append(bar | ({"ours": True} if result.contender == "flow" else {}))
    for chart in charts.values():
        chart["rows"].sort(key=lambda row: row["value"])
    return charts


def enter(path: Path, results: Sequence[Result], rounds: int) -> list[str]:
    """Puts the charts into a file as docs/measured.json, in the place of those of the same name; their names."""
    said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"about": "", "charts": {}}
    charts = site_charts(results, rounds)
    said["charts"].update(charts)
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return list(charts)
