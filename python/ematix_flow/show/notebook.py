"""The pieces of which a report is put together for a notebook. Everything that came from outside is escaped; colours
follow the notebook's own text, so both light and dark ones are readable."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from unicodedata import east_asian_width

from .answers import ErrorInfo, instant

MARKS = {
    "success": "✓",
    "skipped": "–",
    "running": "…",
    "failed": "✗",
    "refused": "✗",
    "locked": "✗",
    "cancelled": "✗",
    "lost": "✗",
}
# Half transparent, so that whatever lies behind shows through. A long value breaks anywhere rather than push the
# others out of sight.
_LINE = "border:1px solid rgba(128,128,128,.35);padding:2px 8px;vertical-align:top"
_VALUE = f"{_LINE};text-align:left;max-width:60ch;overflow-wrap:anywhere;white-space:pre-wrap"
_WHOLE = f"{_LINE};text-align:left;white-space:pre"
_NUMBER = f"{_LINE};text-align:right;font-variant-numeric:tabular-nums"
_HEAD = f"{_LINE};text-align:left;white-space:nowrap"
# What would turn the text around it, or show nothing at all, is written as its escape.
_HIDDEN = {
    letter: f"\\u{letter:04x}"
    for letter in (
        *range(0x09),
        *range(0x0B, 0x20),
        0x7F,
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
}


# --- a key's history ---------------------------------------------------------------------------------------------

_WIDTH, _ROW, _LEFT = 640, 26, 12
# How wide a letter of the labels is, about.
_LETTER = 6.6


def timeline(versions: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
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
    label = f"{len(versions)} version{'' if len(versions) == 1 else 's'} in the order of time"
    style = "display:block;max-width:100%;height:auto;font:12px sans-serif"
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
    label = _visible(", ".join(str(values[name]) for name in names if values.get(name) is not None))
    strength = ".45" if version.get("is_current") else ".2"
    tip = f"L{right - 6:.1f} {top + 3} L{right:.1f} {top + 12} L{right - 6:.1f} {top + 21}"
    edge = tip if open_end else f"L{right:.1f} {top + 3} L{right:.1f} {top + 21}"
    at, anchor, room = _label_place(left, right, _columns(label) * _LETTER)
    return (
        f"<g><title>{text(title)}</title>"
        f'<path d="M{left:.1f} {top + 3} {edge} L{left:.1f} {top + 21} Z" fill="currentColor"'
        f' fill-opacity="{strength}" stroke="currentColor" stroke-opacity=".6"/>'
        f'<text x="{at:.1f}" y="{top + 16}" text-anchor="{anchor}" fill="currentColor">{escape(_fitting(label, room))}</text></g>'
    )


def _label_place(left: float, right: float, width: float) -> tuple[float, str, float]:
    """Where a label begins or ends, and how much room it has: in its bar, or on the side where there is more."""
    inside, after, before = right - left - 14, _WIDTH - right - 6, left - 6
    if width <= inside or inside >= max(after, before):
        return left + 6, "start", inside
    return (right + 5, "start", after) if after >= min(before, width) else (left - 5, "end", before)


def _fitting(label: str, room: float) -> str:
    """A label cut to its room; all of it stands in the table."""
    if _columns(label) * _LETTER <= room:
        return label
    while label and (_columns(label) + 1) * _LETTER > room:
        label = label[:-1]
    return f"{label}…" if label else ""


def _columns(said: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in said)


def _seconds(said: object) -> float | None:
    """Where on the axis; None for what has no place there: open, `infinity`, or beyond Python's years."""
    if not isinstance(said, str):
        return None
    try:
        found = instant(said)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.timezone.utc)).timestamp()


def place(location: dict[str, Any] | None) -> str:
    """A line of a file."""
    return ":".join(str(location[part]) for part in ("file", "line") if location.get(part)) if location else ""


def named(key: object) -> str:
    """A key with the names of its columns."""
    return ", ".join(f"{name} = {value}" for name, value in key.items()) if isinstance(key, dict) else str(key or "")


def warned(warnings: Iterable[ErrorInfo]) -> list[str]:
    """A line for each warning."""
    return [notice(f"! {warning.message}") for warning in warnings]


# --- pieces ------------------------------------------------------------------------------------------------------


def text(value: object) -> str:
    """A value as it may stand in HTML."""
    return escape(_visible(value), quote=True)


def title(said: str) -> str:
    """What a report is of."""
    # Isolated: a name in Hebrew or Arabic would pull what follows to its other side.
    return f"<strong><bdi>{text(said)}</bdi></strong>"


def _visible(value: object) -> str:
    return str(value).translate(_HIDDEN)


def box(parts: Iterable[str]) -> str:
    """All of a report; parts that say nothing are left out."""
    return f'<div class="ematix-flow" style="overflow-wrap:anywhere;overflow-x:auto">{"".join(part for part in parts if part)}</div>'


def heading(ok: bool, name: str) -> str:
    """Whether all is well."""
    return f"<strong>{'✓' if ok else '✗'} {text(name)}: {'ok' if ok else 'not ok'}</strong>"


def table(names: Sequence[str], rows: Sequence[Sequence[object]], *, empty: bool = True) -> str:
    """A table; without `empty` the columns in which no row has anything are left out."""
    if not rows:
        return ""
    filled = [at for at in range(len(rows[0])) if empty or any(row[at] != "" for row in rows)]
    head = "".join(f'<th scope="col" style="{_HEAD}">{text(names[at])}</th>' for at in filled if names)
    body = "".join("<tr>" + "".join(_cell(row[at]) for at in filled) + "</tr>" for row in rows)
    style = "border-collapse:collapse;margin:4px 0"
    return f'<table style="{style}">{f"<thead><tr>{head}</tr></thead>" if head else ""}<tbody>{body}</tbody></table>'


def _cell(value: object) -> str:
    if value is None:
        return f'<td style="{_VALUE};opacity:.6">NULL</td>'
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td style="{_NUMBER}">{value:,}</td>'
    # A date breaks at its hyphens otherwise.
    whole = len(str(value)) <= 32 and "\n" not in str(value)
    return f'<td style="{_WHOLE if whole else _VALUE}">{text(value)}</td>'


def notice(said: object) -> str:
    """A line of its own."""
    return f"<div>{text(said)}</div>"


def sql(statements: str | None) -> str:
    """SQL, folded away."""
    return f"<details><summary>SQL</summary>{pre(statements)}</details>" if statements else ""


def pre(said: str, *, wrap: bool = False) -> str:
    """Text as it stands: SQL keeps its lines and is scrolled, a message is wrapped."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere" if wrap else "overflow-x:auto"
    return f'<pre style="{style}">{text(said)}</pre>'
