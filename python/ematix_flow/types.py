"""The column types. Each knows its Postgres spelling, its spelling in pipelines.toml and its Python type.

The class and an instance mean the same: `BigInt` and `BigInt()`. Types with arguments take them in brackets, as
annotations need it, or in parentheses: `String[256]` is `String(256)`. `Text | None` is a column that may be NULL.

>>> String[256].sql, Numeric[10, 2].sql, Double.sql
('varchar(256)', 'numeric(10,2)', 'double precision')
>>> BigInt == BigInt(), String[256] == String(256), String[256] == String
(True, True, False)
"""

# Checkers read types.pyi instead: there a type is a descriptor, so that `row.customer_id` is an `int`.
from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Callable
from typing import Any

from .ground.errors import SpecError
from .ground.mistakes import told_at_the_line

__all__ = [
    "JSON",
    "JSONB",
    "UUID",
    "Array",
    "BigInt",
    "Boolean",
    "Bytes",
    "ColumnType",
    "Date",
    "Double",
    "Enum",
    "Float",
    "Integer",
    "Interval",
    "Numeric",
    "PgType",
    "SmallInt",
    "String",
    "Text",
    "Time",
    "Timestamp",
    "TimestampTZ",
]


class ColumnTypeMeta(type):
    """Makes a class equal to its instance, and `String[256]` a class of its own.

    A class, not an instance, because Python 3.10 accepts only classes in `Annotated[…]`, `… | None` and annotations.
    """

    _kind: str
    _arguments: tuple[Any, ...]

    @property
    def sql(cls) -> str:
        return str(cls().sql)

    @property
    def python_type(cls) -> type:
        return cls().python_type  # type: ignore[no-any-return]

    def __eq__(cls, other: object) -> bool:
        if cls is other:
            return True
        if isinstance(other, ColumnTypeMeta):
            return (cls._kind, cls._arguments) == (other._kind, other._arguments)
        return isinstance(other, ColumnType) and cls._kind == other._kind and cls._arguments == other._arguments

    def __hash__(cls) -> int:
        return hash((cls._kind, cls._arguments))

    def __repr__(cls) -> str:
        return _spelled(cls._kind, cls._arguments) if cls._kind else super().__repr__()


class ColumnType(metaclass=ColumnTypeMeta):
    """A column type. The class and an instance mean the same: `BigInt`, `BigInt()`."""

    _kind = ""
    _arguments: tuple[Any, ...] = ()
    _sql = ""
    _toml = ""
    _python: type = object

    @property
    def sql(self) -> str:
        """The Postgres spelling: `"varchar(256)"`."""
        return self._sql

    @property
    def toml(self) -> str:
        """The spelling in pipelines.toml: `"string(256)"`."""
        return self._toml

    @property
    def python_type(self) -> type[Any]:
        """The type of a value in Python: `str`."""
        return self._python

    def accepts(self, value: object) -> bool:
        """Whether a Python value may stand in such a column, as a DEFAULT does."""
        wanted = self.python_type
        if wanted is object:
            return True
        if isinstance(value, bool):
            return wanted is bool
        if isinstance(value, dt.datetime):
            return wanted is dt.datetime
        wider = {float: (float, int, decimal.Decimal), decimal.Decimal: (decimal.Decimal, int, float)}
        return isinstance(value, wider.get(wanted, (wanted,)))

    def __init_subclass__(cls) -> None:
        # A class that brackets made keeps the kind of the class before them.
        if "_arguments" not in cls.__dict__:
            cls._kind = cls.__name__

    # Python 3.10 accepts only what can be called in Annotated[…].
    def __call__(self) -> ColumnType:
        return self

    def __get__(self, instance: object, owner: Any) -> ColumnType:
        if instance is None:
            return self
        raise AttributeError("this row has no such column: the query did not return it")

    def __or__(self, other: Any) -> Any:
        return _class_of(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | _class_of(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ColumnTypeMeta):
            return other == self
        return isinstance(other, ColumnType) and (self._kind, self._arguments) == (other._kind, other._arguments)

    def __hash__(self) -> int:
        return hash((self._kind, self._arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        return _KINDS[self._kind], self._arguments

    def __repr__(self) -> str:
        return _spelled(self._kind, self._arguments)


def _spelled(kind: str, arguments: tuple[Any, ...]) -> str:
    return f"{kind}[{', '.join(map(repr, arguments))}]" if arguments else kind


_BRACKETED: dict[tuple[str, tuple[Any, ...]], ColumnTypeMeta] = {}


def _bracketed(cls: Any, arguments: tuple[Any, ...]) -> Any:
    """The class `String[256]`, one for each pair of class and arguments."""
    arguments = cls(*arguments)._arguments
    known = _BRACKETED.get((cls._kind, arguments))
    if known is None:
        namespace = {"_arguments": arguments, "__module__": __name__}
        known = ColumnTypeMeta(_spelled(cls._kind, arguments), (cls,), namespace)
        _BRACKETED[cls._kind, arguments] = known
    return known


def _class_of(instance: ColumnType) -> Any:
    return _bracketed(_KINDS[instance._kind], instance._arguments) if instance._arguments else type(instance)


@told_at_the_line
def _number(owner: ColumnType, value: object, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SpecError(
            f"{owner._kind}: {name} is {value!r}, but must be a whole number from {least} to {most}",
            code="invalid_value",
            hint=_HINTS.get(owner._kind, f"write {owner._kind}[3], or {owner._kind}"),
        )
    return value


_HINTS = {"String": "write String[256], or Text for any length", "Numeric": "write Numeric[10, 2], or Numeric for any"}


class SmallInt(ColumnType):
    """`smallint`: whole numbers of 16 bits; an `int`."""

    _sql = _toml = "smallint"
    _python = int


class Integer(ColumnType):
    """`integer`: whole numbers of 32 bits; an `int`."""

    _sql = _toml = "integer"
    _python = int


class BigInt(ColumnType):
    """`bigint`: whole numbers of 64 bits; an `int`."""

    _sql = _toml = "bigint"
    _python = int


class Float(ColumnType):
    """`real`: floating point of 32 bits; a `float`. Another database's `float` is mostly our `Double`."""

    _sql = "real"
    _toml = "float"
    _python = float


class Double(ColumnType):
    """`double precision`: floating point of 64 bits; a `float`."""

    _sql = "double precision"
    _toml = "double"
    _python = float


class Boolean(ColumnType):
    """`boolean`; a `bool`."""

    _sql = _toml = "boolean"
    _python = bool


class Text(ColumnType):
    """`text`: any length; a `str`."""

    _sql = _toml = "text"
    _python = str


class Date(ColumnType):
    """`date`; a `datetime.date`."""

    _sql = _toml = "date"
    _python = dt.date


class JSON(ColumnType):
    """`json`: the text as it came; whatever JSON holds."""

    _sql = _toml = "json"


class JSONB(ColumnType):
    """`jsonb`: decomposed, indexable; whatever JSON holds."""

    _sql = _toml = "jsonb"


class UUID(ColumnType):
    """`uuid`; a `uuid.UUID`."""

    _sql = _toml = "uuid"

    @property
    def python_type(self) -> type[Any]:
        """`uuid.UUID`."""
        # Imported here, since uuid asks the platform who it is, which takes its time.
        from uuid import UUID

        return UUID


class Bytes(ColumnType):
    """`bytea`; `bytes`."""

    _sql = "bytea"
    _toml = "bytes"
    _python = bytes


class Interval(ColumnType):
    """`interval`; a `datetime.timedelta`."""

    _sql = _toml = "interval"
    _python = dt.timedelta


class String(ColumnType):
    """`varchar(n)`; without a length `varchar`. A `str`.

    >>> String[8].sql, String.sql
    ('varchar(8)', 'varchar')
    """

    _python = str

    def __init__(self, length: int | None = None) -> None:
        if length is not None:
            self._arguments = (_number(self, length, "the length", 1, 10_485_760),)
        suffix = f"({self._arguments[0]})" if self._arguments else ""
        self._sql = f"varchar{suffix}"
        self._toml = f"string{suffix}"

    def __class_getitem__(cls, length: int) -> Any:
        return _bracketed(cls, (length,))


class Numeric(ColumnType):
    """`numeric(p, s)`: exact; without arguments any precision. A `decimal.Decimal`.

    >>> Numeric[10, 2].sql, Numeric[10].sql, Numeric.sql
    ('numeric(10,2)', 'numeric(10)', 'numeric')
    """

    _python = decimal.Decimal

    def __init__(self, precision: int | None = None, scale: int | None = None) -> None:
        if precision is not None:
            self._arguments = (_number(self, precision, "the precision", 1, 1000),)
            if scale is not None:
                self._arguments += (_number(self, scale, "the scale", 0, precision),)
        elif scale is not None:
            raise SpecError("Numeric has a scale but no precision", code="invalid_value", hint=_HINTS["Numeric"])
        suffix = f"({','.join(map(str, self._arguments))})" if self._arguments else ""
        self._sql = self._toml = f"numeric{suffix}"

    def __class_getitem__(cls, precision_scale: int | tuple[int, int]) -> Any:
        return _bracketed(cls, precision_scale if isinstance(precision_scale, tuple) else (precision_scale,))


class _WithDigits(ColumnType):
    """A time type: how many digits of a second it keeps, six unless said."""

    _word = ""

    def __init__(self, precision: int | None = None) -> None:
        if precision is not None:
            self._arguments = (_number(self, precision, "the number of digits", 0, 6),)
        suffix = f"({self._arguments[0]})" if self._arguments else ""
        self._sql = self._toml = f"{self._word}{suffix}"

    def __class_getitem__(cls, precision: int) -> Any:
        return _bracketed(cls, (precision,))


class Timestamp(_WithDigits):
    """`timestamp`: date and time without a zone; a `datetime.datetime`."""

    _word = "timestamp"
    _python = dt.datetime


class TimestampTZ(_WithDigits):
    """`timestamptz`: an instant; a `datetime.datetime` with a zone."""

    _word = "timestamptz"
    _python = dt.datetime


class Time(_WithDigits):
    """`time`: time of day without a zone; a `datetime.time`."""

    _word = "time"
    _python = dt.time


class Enum(ColumnType):
    """`Enum["status", "active", "inactive"]`: a Postgres enum of that name, which the database has already. A `str`.

    >>> Enum["status", "active", "inactive"].sql
    '"status"'
    """

    _python = str

    def __init__(self, name: str = "", *values: str) -> None:
        if name or values:
            self._arguments = (name, *values)
        arguments = self._arguments
        if not arguments or not all(isinstance(text, str) and text for text in arguments):
            raise SpecError(
                "an Enum needs the name of its type, and the values as text",
                code="invalid_value",
                hint='write Enum["status", "active", "inactive"]',
            )
        # In quotes, since the server reads any other name in lower case.
        parts = arguments[0].split(".")
        self._sql = self._toml = ".".join('"' + part.replace('"', '""') + '"' for part in parts)

    def __class_getitem__(cls, name_values: tuple[str, ...] | str) -> Any:
        return _bracketed(cls, name_values if isinstance(name_values, tuple) else (name_values,))

    @property
    def values(self) -> tuple[str, ...]:
        """What may stand in the column; empty where it was not said."""
        return self._arguments[1:]

    def accepts(self, value: object) -> bool:
        """Whether it is one of the values, where they are said."""
        return isinstance(value, str) and (not self.values or value in self.values)


class PgType(ColumnType):
    """Any type by its Postgres name: `PgType("citext")`. Its values are what the driver makes of them."""

    def __init__(self, name: str = "") -> None:
        if name:
            self._arguments = (name,)
        found = self._arguments[0] if self._arguments else ""
        if not isinstance(found, str) or not re.search(r"\w", found):
            raise SpecError(
                f"PgType: {found!r} is not the name of a type", code="unknown_type", hint='write PgType("citext")'
            )
        self._sql = self._toml = found

    def __class_getitem__(cls, name: str) -> Any:
        return _bracketed(cls, (name,))


class Array(ColumnType):
    """`Array[Text]`: an array of another type; a `list`.

    >>> Array[String[3]].sql
    'varchar(3)[]'
    """

    _python = list

    def __init__(self, item: Any = None) -> None:
        if item is not None:
            self._arguments = (as_type(item, "Array"),)
        if not self._arguments:
            raise SpecError("Array needs the type of its items", code="invalid_value", hint="write Array[Text]")
        # An array's elements have the server's name, in TOML too.
        self._sql = self._toml = f"{self._arguments[0].sql}[]"

    def __class_getitem__(cls, item: Any) -> Any:
        return _bracketed(cls, (item,))


_KINDS: dict[str, Callable[..., ColumnType]] = {
    cls.__name__: cls
    for cls in (SmallInt, Integer, BigInt, Float, Double, Boolean, Text, Date, JSON, JSONB, UUID, Bytes, Interval)
    + (String, Numeric, Timestamp, TimestampTZ, Time, Enum, PgType, Array)
}

_PYTHON_TYPES = {
    int: "Integer or BigInt",
    str: "Text or String[256]",
    float: "Double",
    bool: "Boolean",
    bytes: "Bytes",
    decimal.Decimal: "Numeric[10, 2]",
    dt.datetime: "TimestampTZ",
    dt.date: "Date",
    dt.time: "Time",
    dt.timedelta: "Interval",
    dict: "JSONB",
    list: "Array[Text] or JSONB",
}


@told_at_the_line
def as_type(value: Any, where: str) -> ColumnType:
    """The type as an instance, whether it came as a class or as an instance.

    Raises:
        SpecError: `unknown_type`, with the type that was probably meant.
    """
    if isinstance(value, ColumnType):
        return value
    if isinstance(value, ColumnTypeMeta) and value._kind:
        return value()  # type: ignore[no-any-return]
    spelled = value.__name__ if isinstance(value, type) else repr(value)
    near = _PYTHON_TYPES.get(value) if isinstance(value, type) else None
    if spelled == "UUID":
        near = "UUID of ematix_flow"
    raise SpecError(
        f"{where}: `{spelled}` is not a column type",
        code="unknown_type",
        hint=f"did you mean {near}?" if near else f'the types are {", ".join(_KINDS)}; PgType("name") is any other',
    )
