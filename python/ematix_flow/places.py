"""Where something was declared: the user's line, not ours."""

from __future__ import annotations

import os
import sys
from types import FrameType
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


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name == __package__ or name.startswith(f"{__package__}.")


def here() -> Place:
    """The user's line that is running now.

    A function that declares counts to its own module and to the module whose import called it.
    """
    frame = caller()
    if frame is None:
        return Place("<unknown>", 0, ())
    modules = [_module(frame)]
    outer: FrameType | None = frame
    while outer is not None and outer.f_code.co_name != "<module>":
        outer = outer.f_back
    if outer is not None and not _is_ours(outer) and _module(outer) not in modules:
        modules.append(_module(outer))
    return Place(_shown(frame.f_code.co_filename), frame.f_lineno, tuple(modules))


def function_locals() -> dict[str, Any] | None:
    """The names of the function in which the user declares; None at the top of a module.

    There the names of each class's own module are to be found first, which a mixin from elsewhere needs.
    """
    frame = caller()
    if frame is None or frame.f_locals is frame.f_globals or frame.f_code.co_name == "<module>":
        return None
    return dict(frame.f_locals)


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


def _shown(path: str) -> str:
    """Relative to the working directory where it lies below it."""
    if path.startswith("<"):
        return path
    try:
        below = os.path.relpath(path)
    except (OSError, ValueError):
        return path
    return path if below.startswith(os.pardir) else below
