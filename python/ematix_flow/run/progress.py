"""How far a run has come, for whoever watches: one line that moves, and is gone when the run ends.

On a terminal it is drawn on standard error; in a notebook it is one output that changes. Elsewhere, and with
`EMATIX_FLOW_NO_PROGRESS=1`, there is none. It has no colours, so there are none for `NO_COLOR` to take away.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from .._core import Run

# How often the line is drawn, and after which time there is one at all, in seconds.
_TICK = 0.1
_PATIENCE = 0.15
# How long a cancelled run may take to roll back, in seconds.
ROLLBACK_PATIENCE = 10.0

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_WIPE = "\r\x1b[2K"
# Two lines at once would draw over each other: of several threads the first has it.
_line = threading.Lock()


class Display(Protocol):
    """Where the line is drawn."""

    def draw(self, text: str, turn: int) -> None:
        """Replaces what stood there."""

    def clear(self) -> None:
        """Leaves nothing."""


def wait(running: Run, name: str) -> str:
    """The report of a run as JSON, when it has ended; until then the line moves where somebody watches.

    Raises:
        KeyboardInterrupt: Ctrl-C; the run is cancelled on the server, and has rolled back. A second one does not wait
            for that. What the handler of another signal raises does the same.
    """
    display = _display()
    if display is None or not _line.acquire(blocking=False):
        return running.result()
    try:
        return _watched(running, Said(name), display)
    finally:
        _line.release()


def _watched(running: Run, said: Said, display: Display) -> str:
    began = time.monotonic()
    turn = 0
    try:
        while (text := running.poll(_TICK)) is None:
            line = said.line(json.loads(running.progress()), time.monotonic())
            if time.monotonic() - began >= _PATIENCE:
                display.draw(line, turn)
                turn += 1
        return text
    except BaseException:
        # A signal, or what a function of the user's raised: then the run is over, and this returns at once.
        running.cancel()
        until = time.monotonic() + ROLLBACK_PATIENCE
        while running.poll(_TICK) is None and time.monotonic() < until:
            pass
        raise
    finally:
        display.clear()


class Said:
    """What the line says: rows, megabytes and rows a second while rows stream, else the step."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._step: tuple[str, str] | None = None
        # The rows that had passed when the step began; and the first look at which there were more.
        self._before = 0
        self._first: tuple[float, int] | None = None

    def line(self, progress: dict[str, Any], now: float) -> str:
        """The line for what the core tells at an instant.

        >>> said = Said("customers")
        >>> told = {"kind": "stage", "purpose": "copy the source", "seconds": 0.4, "rows": 0, "bytes": 0}
        >>> said.line(told, 10.0)
        'customers  stage  copy the source'
        >>> said.line(told | {"seconds": 1.4, "rows": 5000, "bytes": 1_100_000}, 11.0)
        'customers  source  5,000 rows  1.1 MB  1 s'
        >>> said.line(told | {"seconds": 3.4, "rows": 45000, "bytes": 9_900_000}, 13.0)
        'customers  source  45,000 rows  9.9 MB  20,000 rows/s  3 s'
        """
        if progress.get("waiting"):
            return f"{self._name}  waiting: another run holds the target"
        if progress.get("kind") is None:
            return f"{self._name}  connecting"
        rows, step = int(progress["rows"]), (str(progress["kind"]), str(progress["purpose"]))
        if step != self._step:
            self._before = 0 if self._step is None else rows
            self._step, self._first = step, None
        parts = [self._name, *step]
        if rows > self._before:
            self._first = self._first or (now, rows)
            parts = [self._name, "source", f"{rows:,} row{'' if rows == 1 else 's'}", size(int(progress["bytes"]))]
            since, first = self._first
            # The first moments say little.
            if now - since >= 0.5:
                rate = round((rows - first) / (now - since))
                parts.append(f"{rate // 1000 * 1000 if rate >= 10_000 else rate:,} rows/s")
        return "  ".join([*parts, *_elapsed(int(progress["seconds"]))])


def size(count: int) -> str:
    """A number of bytes for people, as the command line says it.

    >>> size(900), size(1_100_000), size(999_600), size(145_000_000)
    ('900 bytes', '1.1 MB', '1.0 MB', '145 MB')
    """
    if count < 1000:
        return f"{count} bytes"
    amount, units = count / 1000, ["kB", "MB", "GB", "TB", "PB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{amount:.{1 if amount < 9.95 else 0}f} {units[0]}"


def _elapsed(seconds: int) -> list[str]:
    if seconds < 1:
        return []
    return [f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02} s"]


# --- where it is drawn -------------------------------------------------------------------------------------------


def _display() -> Display | None:
    if os.environ.get("EMATIX_FLOW_NO_PROGRESS", "") not in ("", "0"):
        return None
    # Only where it is running already: importing it takes longer than most runs.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if getattr(shell, "kernel", None) is not None:
        return Notebook()
    stream: TextIO = sys.stderr
    try:
        watched = stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):
        # There is none (pythonw), or it is closed.
        return None
    return Terminal(stream) if watched else None


class Terminal:
    """The last line of a terminal. It ends where its text ends: Ctrl-C is echoed behind it, and wiped away with it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = False
        self._frames = _FRAMES if _can_show(stream, _FRAMES) else _PLAIN_FRAMES

    def draw(self, text: str, turn: int) -> None:
        """Replaces the line, cut to the terminal's width."""
        line = f"  {self._frames[turn % len(self._frames)]} {text}"
        self._write(_WIPE + cut(line, self._width() - 1))
        self._drawn = True

    def clear(self) -> None:
        """Takes the line away."""
        if self._drawn:
            self._write(_WIPE)

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody is left to see it, which is no reason to end a run.
            pass


class Notebook:
    """One output of a cell, which changes, and is empty in the end: what the cell printed besides stays."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, text: str, turn: int) -> None:
        """Replaces the output."""
        self._show(_printable(text))

    def clear(self) -> None:
        """Empties the output."""
        if self._handle is not None:
            self._show("")

    def _show(self, text: str) -> None:
        # Only in a notebook.
        from html import escape

        said = {"text/plain": text, "text/html": f"<code>{escape(text)}</code>" if text else ""}
        if self._handle is None:
            from importlib import import_module

            self._handle = import_module("IPython.display").display(said, raw=True, display_id=True)
        else:
            self._handle.update(said, raw=True)


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def cut(text: str, width: int) -> str:
    """A line of so many columns at most, without what would move the cursor.

    >>> cut("a long\\x1b[2Jline", 8), cut("表" * 5, 6), cut("short", 8)
    ('a long�…', '表表…', 'short')
    """
    text = _printable(text)
    columns = [0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text]
    if sum(columns) <= width:
        return text
    used = 0
    for at, letter_columns in enumerate(columns):
        used += letter_columns
        if used > width - 1:
            return text[:at] + "…"
    return text


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "�" for letter in text)
