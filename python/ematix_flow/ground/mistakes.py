"""A mistake in a declaration is told at the line that made it: the traceback ends there, not in this package."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from . import places
from .errors import SpecError

F = TypeVar("F", bound=Callable[..., Any])


class WrongCall(Exception):
    """A call with an argument that the function does not have: a TypeError, once it is told at the line."""


def told_at_the_line(function: F) -> F:
    """For what declares: its SpecError has the user's line as `.location` and at the end of its traceback, and so has
    the TypeError of a wrong call.

    The frames between say nothing to who made the mistake. Any other exception is a bug, and keeps all of them.
    """

    return wraps(function)(telling_at_the_line(function))  # type: ignore[return-value]


def telling_at_the_line(function: F) -> F:
    """The same for a function that nobody looks at: what a decorator answers is made for each thing that is declared."""

    def declaring(*arguments: Any, **keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        except SpecError as mistake:
            if mistake.location is None:
                mistake.locate(places.here().export() | {"column": 1})
            raise mistake.with_traceback(_users_line()) from mistake.__cause__
        except WrongCall as wrong:
            raise TypeError(str(wrong)).with_traceback(_users_line()) from None
        except TypeError as wrong:
            # Without a frame below this one it was the call that did not fit.
            if wrong.__traceback__ is None or wrong.__traceback__.tb_next is not None:
                raise
            raise wrong.with_traceback(_users_line()) from None

    return declaring  # type: ignore[return-value]


places.entered_by(telling_at_the_line(lambda: None).__code__)


def _users_line() -> TracebackType | None:
    frame = places.caller()
    return None if frame is None else TracebackType(None, frame, frame.f_lasti, frame.f_lineno)


def refuse_bare(decorator: str, given: tuple[object, ...]) -> None:
    """Refuses `@ematix.table` without its parentheses."""
    if given:
        raise WrongCall(f"ematix.{decorator} takes keywords alone: write @ematix.{decorator}(…), with its parentheses")
