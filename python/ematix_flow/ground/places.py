"""Where something was declared: the user's line, not ours."""

from __future__ import annotations

import os
import sys
from bisect import bisect_right
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A line of the user's, and the modules to whose declarations it counts."""

    file: str
    line: int
    modules: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def export(self) -> dict[str, Any]:
        """The place as the registry has it."""
        return {"file": self.file, "line": self.line}


def caller() -> FrameType | None:
    """The nearest frame that is not of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return frame


_PACKAGE = __name__.partition(".")[0]


def _is_ours(frame: FrameType) -> bool:
    return _is_of_the_package(frame.f_globals.get("__name__", ""))


@lru_cache
def _is_of_the_package(module: object) -> bool:
    name = str(module)
    return name == _PACKAGE or name.startswith(f"{_PACKAGE}.")


def entered_by(code: CodeType) -> None:
    """Says which code of this package the user's calls run first."""
    _entries[:] = [code]


_entries: list[CodeType] = []


def _before_the_entry(calls: int) -> FrameType | None:
    """The user's frame, where what the user called first is so many calls up; Python makes an object of each frame that is
    looked at, so that those between are not."""
    try:
        entry = sys._getframe(calls + 2)
    except ValueError:
        return None
    frame = entry.f_back if entry.f_code in _entries else None
    return None if frame is None or _is_ours(frame) else frame


def here(calls: int = 0) -> Place:
    """The user's line that is running now. `calls` says how many of this package lead from what the user called to whom
    asks, where that is always the same: it is found sooner.

    A function that declares counts to its own module and to the module whose import called it.
    """
    frame = (_before_the_entry(calls) if calls else None) or caller()
    if frame is None:
        return Place("<unknown>", 0, ())
    code, module, directory = frame.f_code, _module(frame), _directory()
    if code.co_name != "<module>":
        return _of_frame(frame, module, directory)
    # A loop declares at one line again and again.
    at = id(code), frame.f_lasti, module, directory
    known = _known.get(at)
    if known is None:
        if len(_known) == _MOST_KNOWN:
            _known.clear()
        known = _known[at] = code, _of_frame(frame, module, directory)
    return known[1]


# Lines at the top of modules, each with its code, whose id would be another's else.
_known: dict[tuple[int, int, str, str], tuple[CodeType, Place]] = {}
_MOST_KNOWN = 256


def _of_frame(frame: FrameType, module: str, directory: str) -> Place:
    modules: tuple[str, ...] = (module,)
    outer: FrameType | None = frame
    while outer is not None and outer.f_code.co_name != "<module>":
        outer = outer.f_back
    if outer is not None and outer is not frame and not _is_ours(outer) and _module(outer) not in modules:
        modules += (_module(outer),)
    return Place(_shown(frame.f_code.co_filename, directory), _line(frame), modules)


def of_function(function: Any) -> Place:
    """The line at which a decorated function begins. While a decorator runs, Python versions differ in the line."""
    place = here()
    code = getattr(function, "__code__", None)
    return place if code is None else place._replace(file=shown(code.co_filename), line=code.co_firstlineno)


def names_here() -> tuple[dict[str, Any], bool]:
    """The names that the user's line sees, and whether it stands in a function. They may be the module's own: to read."""
    frame = caller()
    if frame is None:
        return {}, False
    names = frame.f_locals
    if names is frame.f_globals:
        # Not copied: a module of thousands of classes has as many names, each time.
        return names, False
    return dict(names), frame.f_code.co_name != "<module>"


def is_being_replaced(first: Place, second: Place) -> bool:
    """Whether a second declaration of a name is the first one again: a notebook's cell, a reloaded module, or a
    script that is imported besides."""
    if _is_interactive(second):
        return True
    reloading = getattr(sys.modules.get("importlib"), "_RELOADING", {})
    if any(module in reloading for module in second.modules):
        return True
    return first[:2] == second[:2] and first.modules != second.modules


def _is_interactive(place: Place) -> bool:
    if "__main__" not in place.modules:
        return False
    return hasattr(sys, "ps1") or "get_ipython" in vars(sys.modules["builtins"])


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "__main__"))


def shown(path: str) -> str:
    """A file as messages name it: relative to the working directory where it lies below it."""
    return _shown(path, _directory())


def _directory() -> str:
    """The working directory; empty where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


@lru_cache
def _shown(path: str, directory: str) -> str:
    if path.startswith("<") or not directory:
        return path
    try:
        below = os.path.relpath(path, directory)
    except ValueError:
        return path
    return path if below.startswith(os.pardir) else below


# From how many bytes of line numbers on, a few hundred statements, a module's are looked up by a table of ours.
_LONG = 4096
_lines: dict[int, tuple[CodeType, list[int], list[int | None]]] = {}


def _line(frame: FrameType) -> int:
    """The line that a frame is at.

    Python finds it by counting from the beginning of the code: a module that declares thousands of things would count
    as often, each time further.
    """
    code = frame.f_code
    if len(code.co_linetable) < _LONG:
        return frame.f_lineno
    if id(code) not in _lines:
        ranges = list(code.co_lines())
        # The code is kept, or another one might come to have its id.
        _lines[id(code)] = (code, [start for start, _, _ in ranges], [line for _, _, line in ranges])
    _, starts, lines = _lines[id(code)]
    return lines[bisect_right(starts, frame.f_lasti) - 1] or frame.f_lineno
