"""What was measured, as lines of a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from race import Result

WIDTHS = (14, 9, 7, 12, 10, 10, 9, 9)
HEADINGS = ("", "seconds", "ratio", "rows/s", "WAL", "dead", "client", "server")


def heading() -> str:
    return line(HEADINGS)


def line(words: Sequence[str]) -> str:
    first, *others = zip(words, WIDTHS, strict=True)
    return f"  {first[0]:<{first[1]}}" + "".join(f"{word:>{width}}" for word, width in others)


def step(results: Sequence[Result]) -> str:
    """The lines of one step: its title, and a line a contender."""
    cell = results[0].cell
    lines = [f"{cell.title} {results[0].step}, {results[0].rows:,} rows"]
    for result in results:
        cost = result.cost
        if cost is None:
            lines.append(f"  {result.contender:<{WIDTHS[0]}}  not measured: {result.failed}")
            continue
        lines.append(
            line(
                (
                    result.contender,
                    f"{cost.seconds:.3f}",
                    f"{result.ratio:.2f}" if result.ratio else "-",
                    f"{result.rows_per_second:,.0f}",
                    size(cost.wal_bytes),
                    f"{cost.dead_tuples:,}",
                    size(cost.client_bytes),
                    size(cost.server_bytes),
                )
            )
        )
    return "\n".join(lines)


def size(count: int | None) -> str:
    """Bytes for people.

    >>> size(1_500_000), size(900), size(None)
    ('1.5 MB', '1 kB', '-')
    """
    if count is None:
        return "-"
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.0f} kB"


def document(
    results: Sequence[Result],
    rounds: int,
    versions: dict[str, str],
    settings: dict[str, str],
    fixed: list[dict[str, Any]],
) -> dict[str, Any]:
    """Everything, for machines: each round's figures and their medians, and what they were measured on."""
    return {
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rounds": rounds,
        "machine": {"system": platform.platform(), "processors": os.cpu_count(), "memory_bytes": memory()},
        "server": settings,
        "contenders": versions,
        "results": [entry(result) for result in results],
        "fixed_costs": fixed,
    }


def entry(result: Result) -> dict[str, Any]:
    cell = result.cell
    said: dict[str, Any] = {
        "strategy": cell.strategy,
        "source": cell.source,
        "table": cell.table.name,
        "columns": len(cell.table.columns) + 1,
        "rows": result.rows,
        "deletes": cell.deletes,
        "incremental": cell.incremental,
        "step": result.step,
        "share": result.share,
        "contender": result.contender,
    }
    if result.cost is None:
        return said | {"failed": result.failed}
    return said | {
        "ratio": round(result.ratio, 3) if result.ratio else None,
        "rows_per_second": round(result.rows_per_second or 0),
        "median": asdict(result.cost),
        "runs": [asdict(cost) for cost in result.costs],
    }


def memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def growth(results: Sequence[Result]) -> list[str]:
    """Seconds for a million rows at each size, and how far they lie apart: a line for each cell, step and contender."""
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for result in results:
        if result.cost and result.cell.grows:
            sizes = found.setdefault((result.cell.title, result.step, result.contender), {})
            sizes[result.cell.rows] = result.cost.seconds / result.cell.rows * 1e6
    lines = []
    for (title, step_title, contender), sizes in found.items():
        if len(sizes) > 1:
            told = ", ".join(f"{rows:,}: {seconds:.2f}" for rows, seconds in sorted(sizes.items()))
            apart = max(sizes.values()) / min(sizes.values())
            lines.append(
                f"{title} {step_title}: {contender}: seconds a million rows at {told}; {apart:.2f} times apart"
            )
    return lines


def write(path: Path, said: dict[str, Any]) -> None:
    path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
