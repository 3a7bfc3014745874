"""What stands in many answers of the core: findings, and instants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any


class ErrorInfo:
    """One finding: what, why, and what to do next.

    >>> finding = ErrorInfo(code="missing_keys", message="no keys", hint="add pk()")
    >>> print(finding)
    no keys
    hint: add pk()
    """

    # Where users import it from; pickles name it so.
    __module__ = "ematix_flow.errors"

    code: str
    message: str
    hint: str | None
    sqlstate: str | None
    context: dict[str, Any]
    location: dict[str, Any] | None

    def __init__(
        self,
        *,
        code: str,
        message: str,
        hint: str | None = None,
        sqlstate: str | None = None,
        context: Mapping[str, Any] | None = None,
        location: Mapping[str, Any] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.sqlstate = sqlstate
        self.context = dict(context or {})
        self.location = dict(location) if location else None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | str) -> ErrorInfo:
        """Reads the core's JSON; a warning may be text alone."""
        if isinstance(data, str):
            return cls(code="warning", message=data)
        return cls(
            code=str(data.get("code", "")),
            message=str(data.get("message", "")),
            hint=data.get("hint"),
            sqlstate=data.get("sqlstate"),
            context=data.get("context"),
            location=data.get("location"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "sqlstate": self.sqlstate,
            "context": dict(self.context),
            "location": dict(self.location) if self.location else None,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ErrorInfo) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return told(self.message, self.hint)

    def __repr__(self) -> str:
        return f"ErrorInfo({self.code}: {self.message})"


def told(message: str, hint: str | None) -> str:
    """A message and its hint, as people read them."""
    return f"{message}\nhint: {hint}" if hint else message


def instant(text: str) -> dt.datetime:
    """An instant of the core's: RFC 3339, to the nanosecond at most.

    >>> instant("2026-01-02T03:04:05.1234567Z")
    datetime.datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=datetime.timezone.utc)
    """
    # Python 3.10 reads neither Z nor other than three or six digits of a second.
    text = text.strip()
    if text.endswith(("Z", "z")):
        text = text[:-1] + "+00:00"
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest[: next((at for at, letter in enumerate(rest) if not letter.isdigit()), len(rest))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"
    return dt.datetime.fromisoformat(text)
