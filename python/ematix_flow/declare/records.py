"""Rows of Python, dicts and objects with fields, as pages of JSON that the core reads by the declared types."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from itertools import chain, islice
from typing import Any
from uuid import UUID

from ..ground.errors import SpecError
from ..ground.names import a

# Enough rows for their columns to be known, few enough to be little memory.
PAGE_ROWS = 5_000


class RowPages:
    """Pages of rows, each made when it is asked for."""

    def __init__(self, rows: Iterable[Any], words: str) -> None:
        self._rows = iter(rows)
        self._words = words
        self._types: dict[str, str] = {}
        self._number = 0

    def page(self) -> bytes | None:
        """The next rows as JSON, an object a line; None where there are none."""
        texts = [self._text(row) for row in islice(self._rows, PAGE_ROWS)]
        return "\n".join(texts).encode() if texts else None

    def types(self) -> list[tuple[str, str]]:
        """The columns of the rows so far that JSON does not tell the type of, each with its type."""
        return list(self._types.items())

    def _text(self, row: Any) -> str:
        self._number += 1
        fields = {name: self._value(name, value) for name, value in self._fields(row).items()}
        return json.dumps(fields, ensure_ascii=False, default=_nested)

    def _fields(self, row: Any) -> Mapping[Any, Any]:
        fields = fields_of(row)
        if fields is None:
            raise self._wrong(f"row {self._number} is {a(type(row))}", "give dicts, dataclasses or pydantic models")
        for name in fields:
            if not isinstance(name, str):
                raise self._wrong(f"row {self._number} has the key {name!r}, which is no text", "write str(key)")
        return fields

    def _value(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, (bool, str)) and not isinstance(value, Enum):
            return value
        if isinstance(value, int) and not isinstance(value, Enum):
            if not -(2**63) <= value < 2**63:
                self._note(name, "numeric", value)
            return value
        for kind, data_type, text in _KINDS:
            if isinstance(value, kind):
                self._note(name, data_type(value), value)
                return text(value)
        if isinstance(value, (Mapping, list, tuple)):
            return value
        if isinstance(value, Enum):
            return self._value(name, value.value)
        # Of numpy, and NULL as pandas has it.
        if hasattr(value, "item") and callable(value.item):
            return self._value(name, value.item())
        if type(value).__name__ in ("NaTType", "NAType"):
            return None
        raise self._wrong(
            f"row {self._number}, column `{name}`: {a(type(value))} is no value of a column", "make it text or a number"
        )

    def _note(self, name: str, data_type: str, value: Any) -> None:
        known = self._types.setdefault(name, data_type)
        if known == data_type or {known, data_type} <= {"numeric", "double precision"}:
            return
        if {known, data_type} == {"date", "timestamp"}:
            self._types[name] = "timestamp"
            return
        raise self._wrong(
            f"row {self._number}, column `{name}`: {value!r} is {data_type}, and the rows before have {known}",
            "give the column values of one type",
        )

    def _wrong(self, message: str, hint: str) -> SpecError:
        return SpecError(f"{self._words}: {message}", code="invalid_value", hint=hint)


def fields_of(row: Any) -> Mapping[Any, Any] | None:
    """The columns of a row; None of what is none.

    >>> fields_of({"id": 1}), fields_of("id")
    ({'id': 1}, None)
    """
    if isinstance(row, Mapping):
        return row
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    dump = getattr(row, "model_dump", None)
    if callable(dump) and not isinstance(row, type):
        found = dump()
        return found if isinstance(found, Mapping) else None
    named = getattr(row, "_asdict", None)
    found = named() if callable(named) else None
    return found if isinstance(found, Mapping) else None


def rows_or_items(items: Iterator[Any]) -> tuple[bool, Iterator[Any]]:
    """Whether an iterator makes rows, or lists of rows, and not frames; and all that it makes."""
    first = list(islice(items, 1))
    are_lists = bool(first) and isinstance(first[0], (list, tuple)) and fields_of(first[0]) is None

    def again() -> Iterator[Any]:
        yield from first
        first.clear()
        yield from items

    if are_lists:
        return True, chain.from_iterable(again())
    return bool(first) and fields_of(first[0]) is not None, again()


def _float(value: float) -> Any:
    return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")


def _interval(value: dt.timedelta) -> str:
    # Python's days are negative where the rest is not.
    microseconds = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    sign, rest = ("-" if microseconds < 0 else ""), abs(microseconds)
    return f"{sign}{rest // 1_000_000}.{rest % 1_000_000:06d} seconds"


def _decimal(value: Decimal) -> str:
    if value.is_finite():
        return format(value, "f")
    return "NaN" if value.is_nan() else f"{'-' if value < 0 else ''}Infinity"


def _moment(value: dt.datetime) -> str:
    return "timestamp" if value.tzinfo is None else "timestamptz"


def _always(data_type: str) -> Callable[[Any], str]:
    return lambda _value: data_type


# A datetime is a date, too: the narrower first.
_KINDS: tuple[tuple[Any, Callable[[Any], str], Callable[[Any], Any]], ...] = (
    (float, _always("double precision"), _float),
    (Decimal, _always("numeric"), _decimal),
    (dt.datetime, _moment, dt.datetime.isoformat),
    (dt.date, _always("date"), dt.date.isoformat),
    (dt.time, _always("time"), dt.time.isoformat),
    (dt.timedelta, _always("interval"), _interval),
    (UUID, _always("uuid"), str),
    (bytes, _always("bytea"), lambda value: "\\x" + value.hex()),
)


def _nested(value: Any) -> Any:
    """A value within a list or an object, which becomes JSON."""
    for kind, _data_type, text in _KINDS:
        if isinstance(value, kind):
            return text(value)
    if isinstance(value, Enum):
        return value.value
    fields = fields_of(value)
    if fields is not None:
        return fields
    raise TypeError(f"{a(type(value))} is no value of JSON")
