"""Reports as a notebook shows them. Everything that came from outside is escaped; colours follow the notebook's own
text, so both light and dark ones are readable."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from .reports import (
    COUNTS,
    CheckReport,
    KeyHistory,
    Plan,
    Report,
    RunHistory,
    RunReport,
    Step,
    ValidationReport,
    instant,
)

_MARKS = {
    "success": "✓",
    "skipped": "–",
    "running": "…",
    "failed": "✗",
    "refused": "✗",
    "locked": "✗",
    "cancelled": "✗",
    "lost": "✗",
}
# Half transparent, so that whatever lies behind shows through.
_LINE = "border:1px solid rgba(128,128,128,.35);padding:2px 8px;text-align:left"


def html(report: Report) -> str:
    """A report as a piece of HTML."""
    if isinstance(report, RunReport):
        return _box(_run(report))
    if isinstance(report, Plan):
        return _box(_plan(report))
    if isinstance(report, KeyHistory):
        return _box(_history(report))
    if isinstance(report, RunHistory):
        return _box(_runs(report))
    if isinstance(report, Step):
        return _box([f"{report.number} {_text(report.kind)}: {_text(report.purpose)}", _sql(report.sql)])
    if isinstance(report, ValidationReport | CheckReport):
        findings = report.errors if isinstance(report, ValidationReport) else report.violations
        rows = [(item.code, item.message, item.hint or "") for item in findings]
        return _box([_heading(report.ok, type(report).__name__), _table(["code", "message", "hint"], rows)])
    return _box([f"<pre>{_text(repr(report))}</pre>"])


def _run(report: RunReport) -> list[str]:
    heading = f"{_MARKS.get(report.status, '')} {report.status}  {report.pipeline}"
    about = [
        ("mode", report.mode),
        ("path", f"{report.path} ({report.path_reason})" if report.path else "none"),
        ("target", report.target),
        ("took", f"{report.duration_ms:,} ms" + (", rolled back (dry run)" if report.dry_run else "")),
        ("watermark", f"{report.watermark_before} → {report.watermark_after}" if report.watermark_after else ""),
    ]
    counts = [(name.removeprefix("rows_").replace("_", " "), getattr(report, name)) for name in COUNTS]
    shown = [(name, f"{count:,}") for name, count in counts if count or name == "in"]
    parts = [f"<strong>{_text(heading)}</strong>", _table([], [(name, value) for name, value in about if value])]
    parts.append(_table([name for name, _ in shown], [[count for _, count in shown]]))
    parts += [f"<div>! {_text(warning.message)}</div>" for warning in report.warnings]
    if report.error is not None:
        parts.append(f"<pre>error[{_text(report.error.code)}]: {_text(str(report.error))}</pre>")
    return parts


def _plan(plan: Plan) -> list[str]:
    heading = f"{plan.pipeline}  {plan.mode} → {plan.target}"
    about = [("keys", f"{', '.join(plan.keys)} ({plan.keys_reason})" if plan.keys else "")]
    about.append(("path", f"{plan.path} ({plan.path_reason})"))
    parts = [f"<strong>{_text(heading)}</strong>", _table([], [(name, value) for name, value in about if value])]
    parts += [f"<div>{_text(change)}</div>" for change in plan.changes]
    parts.append(_table(["step", "kind", "purpose"], [(step.number, step.kind, step.purpose) for step in plan.steps]))
    parts += [f"<div>! {_text(warning.message)}</div>" for warning in plan.warnings]
    return [*parts, _sql(plan.sql())]


def _runs(report: RunHistory) -> list[str]:
    names = ["started_at", "status", "rows_in", "rows_inserted", "rows_updated", "rows_closed_out", "duration_ms"]
    rows = [["" if run.get(name) is None else run[name] for name in names] for run in report.runs]
    return [f"<strong>{len(rows)} runs</strong>", _table(names, rows)]


# --- a key's history ---------------------------------------------------------------------------------------------

_WIDTH, _ROW, _LEFT = 640, 26, 12


def _history(report: KeyHistory) -> list[str]:
    named = ", ".join(f"{name} = {value}" for name, value in report.key.items())
    values = [version.get("values") or {} for version in report.versions]
    names = list(dict.fromkeys(name for row in values for name in row))
    rows = [
        [version.get("valid_from"), version.get("valid_to") or "", *(row.get(name, "") for name in names)]
        for version, row in zip(report.versions, values, strict=True)
    ]
    count = "1 version" if len(rows) == 1 else f"{len(rows)} versions"
    return [
        f"<strong>{_text(named)}</strong>  {count}",
        _timeline(report.versions, names),
        _table(["valid_from", "valid_to", *names], rows),
    ]


def _timeline(versions: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """A bar a version, from where it begins to where it ends; the current one goes on to the right."""
    spans = [(_seconds(version.get("valid_from")), _seconds(version.get("valid_to"))) for version in versions]
    known = [end for span in spans for end in span if end is not None]
    if not known:
        return ""
    first, last = min(known), max(known)
    # Room at the left for a version without a beginning, and at the right for one without an end.
    scale = (_WIDTH - 2 * _LEFT) * 0.8 / ((last - first) or 1)
    drawn = []
    for number, (version, (begin, end)) in enumerate(zip(versions, spans, strict=True)):
        left = _LEFT if begin is None else _LEFT + 0.05 * _WIDTH + (begin - first) * scale
        right = _WIDTH - _LEFT if end is None else _LEFT + 0.05 * _WIDTH + (end - first) * scale
        drawn.append(_bar(number * _ROW, left, max(right, left + 3), version, names, open_end=end is None))
    height = len(versions) * _ROW
    label = f"{len(versions)} versions in the order of time"
    style = "max-width:100%;height:auto;font:12px sans-serif"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' style="{style}">{"".join(drawn)}</svg>'
    )


def _bar(
    top: float, left: float, right: float, version: dict[str, Any], names: Sequence[str], *, open_end: bool
) -> str:
    values = version.get("values") or {}
    title = f"{version.get('valid_from')} to {version.get('valid_to') or 'now'}: " + ", ".join(
        f"{name}={values[name]}" for name in names if name in values
    )
    label = ", ".join(str(values[name]) for name in names if values.get(name) is not None)[:60]
    strength = ".45" if version.get("is_current") else ".2"
    tip = f"L{right - 6:.1f} {top + 3} L{right:.1f} {top + 12} L{right - 6:.1f} {top + 21}"
    edge = tip if open_end else f"L{right:.1f} {top + 3} L{right:.1f} {top + 21}"
    # The label goes to the side on which there is room.
    at, anchor = (left + 6, "start") if left < _WIDTH / 2 else (right - 9, "end")
    return (
        f"<g><title>{_text(title)}</title>"
        f'<path d="M{left:.1f} {top + 3} {edge} L{left:.1f} {top + 21} Z" fill="currentColor"'
        f' fill-opacity="{strength}" stroke="currentColor" stroke-opacity=".6"/>'
        f'<text x="{at:.1f}" y="{top + 16}" text-anchor="{anchor}" fill="currentColor">{_text(label)}</text></g>'
    )


def _seconds(text: object) -> float | None:
    """Where on the axis; None for what has no place there: open, `infinity`, or beyond Python's years."""
    if not isinstance(text, str):
        return None
    try:
        found = instant(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.timezone.utc)).timestamp()


# --- pieces ------------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    return escape(str(value), quote=True)


def _box(parts: Iterable[str]) -> str:
    return f'<div class="ematix-flow">{"".join(part for part in parts if part)}</div>'


def _heading(ok: bool, name: str) -> str:
    return f"<strong>{'✓' if ok else '✗'} {_text(name)}: {'ok' if ok else 'not ok'}</strong>"


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col" style="{_LINE}">{_text(name)}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_LINE}">{_text(value)}</td>' for value in row) + "</tr>" for row in rows
    )
    style = "border-collapse:collapse;margin:4px 0"
    return f'<table style="{style}">{f"<thead><tr>{head}</tr></thead>" if head else ""}<tbody>{body}</tbody></table>'


def _sql(text: str | None) -> str:
    return f"<details><summary>SQL</summary><pre>{_text(text)}</pre></details>" if text else ""
