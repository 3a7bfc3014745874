"""Values on their way to the core: what JSON cannot hold becomes the text that Postgres reads."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from .errors import SpecError

Duration: TypeAlias = str | dt.timedelta
"""`"90s"`, `"10m"`, `"2h"`, `"30d"` or a timedelta."""

Names: TypeAlias = str | Sequence[str]
"""One name, or several."""

_DURATION = re.compile(r"\s*(\d+(ms|s|m|h|d))+\s*")


def duration(value: object, where: str) -> str:
    """A length of time as the core reads it.

    >>> import datetime
    >>> duration(datetime.timedelta(minutes=5), "every"), duration("2h", "every")
    ('300s', '2h')

    Raises:
        SpecError: `invalid_value` for anything else.
    """
    if isinstance(value, dt.timedelta) and value >= dt.timedelta(0):
        milliseconds, rest = divmod(value, dt.timedelta(milliseconds=1))
        if not rest:
            return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return value.strip()
    raise SpecError(
        f"{where}: {value!r} is not a duration",
        code="invalid_value",
        hint='write "90s", "10m", "2h", "30d" or a timedelta of whole milliseconds',
    )


def names(value: object, where: str) -> list[str]:
    """One name or several, as a list without repetition.

    >>> names("customer_id", "keys")
    ['customer_id']

    Raises:
        SpecError: `invalid_value` for what is not a name, and for a name that comes twice.
    """
    if isinstance(value, str):
        found: list[Any] = [value]
    elif isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        found = list(value)
    else:
        found = [value]
    for name in found:
        if not isinstance(name, str) or not name:
            raise SpecError(
                f"{where}: {name!r} is not a name",
                code="invalid_value",
                hint='write "customer_id" or ["customer_id", "region"]',
            )
    for index, name in enumerate(found):
        if name in found[:index]:
            raise SpecError(f"{where}: `{name}` is named twice", code="invalid_value", hint="name it once")
    return found


def plain(value: Any) -> Any:
    """A value as JSON can hold it.

    >>> import decimal, datetime
    >>> plain([decimal.Decimal("1.50"), datetime.date(2026, 1, 2), True])
    ['1.50', '2026-01-02', True]
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON has neither NaN nor infinity.
        return value if value - value == 0 else str(value).replace("inf", "Infinity").replace("nan", "NaN")
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"
    # A UUID by its name: importing uuid takes its time.
    if isinstance(value, decimal.Decimal) or type(value).__name__ == "UUID":
        return str(value)
    if isinstance(value, bytes | bytearray):
        return "\\x" + value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    raise SpecError(
        f"{value!r} cannot be written down",
        code="invalid_value",
        hint="give a number, text, a date or time, a UUID, bytes, or lists and dicts of them",
    )


def text_of(value: object) -> str:
    """A value as the text that Postgres reads: a key on its way to `history`.

    >>> text_of(True), text_of(17)
    ('true', '17')
    """
    found = plain(value)
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found)
