"""What stands beside a type in `Annotated[…]`: keys, names, and how a value is cleaned before it is loaded.

Markers that clean run in the database, from left to right, as layers around the source's query. They are exported under
their names in pipelines.toml; what this version of the core cannot do it refuses by name.

>>> from typing import Annotated
>>> from ematix_flow import Text, trim, lower, empty_to_null
>>> email = Annotated[Text | None, trim(), lower(), empty_to_null()]
"""

from __future__ import annotations

import builtins
import datetime as dt
import decimal
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from ..ground.errors import SpecError
from ..ground.values import plain
from ..types import ColumnType, as_type

Failure: TypeAlias = Literal["null", "default", "error"]
AnyType: TypeAlias = "ColumnType[Any, Any] | type[ColumnType[Any, Any]]"

_TEXT = frozenset(["text"])
_NUMBERS = frozenset(["integer", "numeric", "float"])
_TIMES = frozenset(["date", "timestamp", "timestamptz", "time"])
_FAMILIES = {
    "String": "text",
    "Text": "text",
    "Enum": "text",
    "SmallInt": "integer",
    "Integer": "integer",
    "BigInt": "integer",
    "Float": "float",
    "Double": "float",
    "Numeric": "numeric",
    "Boolean": "boolean",
    "Date": "date",
    "Timestamp": "timestamp",
    "TimestampTZ": "timestamptz",
    "Time": "time",
    "Interval": "interval",
    "JSON": "json",
    "JSONB": "json",
    "UUID": "uuid",
    "Bytes": "bytes",
    "Array": "array",
}


class Marker:
    """What stands beside a type in `Annotated[…]`; applied from left to right."""

    # What it takes and what it gives, as families of types; None where any will do.
    def __init__(
        self,
        name: str,
        arguments: Any = None,
        *,
        takes: frozenset[str] | None = None,
        gives: frozenset[str] | None = None,
    ) -> None:
        self.name = name
        self.arguments = arguments
        self._takes = takes
        self._gives = gives

    def export(self) -> Any:
        """The marker as pipelines.toml has it: `"trim"`, `{"default": "US"}`."""
        return self.name if self.arguments is None else {self.name: self.arguments}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return builtins.hash(self.name)

    def __repr__(self) -> str:
        return f"{self.name}({'' if self.arguments is None else repr(self.arguments)})"


class Key(Marker):
    """A marker that says what a column is: `pk()`, `natural_key()`, `unique()`."""


class Named(Marker):
    """What `column(…)` gives: a name in the database, a DEFAULT, or both."""


class Sql(Marker):
    """SQL text: a DDL default `sql("now()")`, a marker `sql("upper({col})")`, a post-load transform."""

    def __init__(self, text: str, transaction: bool, on_failure: str) -> None:
        super().__init__("sql", text)
        self.transaction = transaction
        self.on_failure = on_failure

    @property
    def text(self) -> str:
        """The text as it was given."""
        return str(self.arguments)

    def __repr__(self) -> str:
        return f"sql({self.text!r})"


def sql(text: str, *, transaction: bool = True, on_failure: Literal["stop", "continue"] = "stop") -> Sql:
    """SQL where a value or a name might stand. `transaction=False` is for statements like VACUUM.

    >>> sql("now()")
    sql('now()')
    """
    if not isinstance(text, str) or not text.strip():
        raise SpecError("sql() without text", code="invalid_value", hint='write sql("now()")')
    return Sql(text, transaction, _word("sql", "on_failure", on_failure, ("stop", "continue")))


def pk() -> Marker:
    """The column belongs to the primary key.

    >>> from typing import Annotated
    >>> from ematix_flow import BigInt
    >>> customer_id = Annotated[BigInt, pk()]
    """
    return Key("pk")


def natural_key() -> Marker:
    """The column belongs to the natural key, by which source and target rows are matched before the primary key."""
    return Key("natural_key")


def unique() -> Marker:
    """A UNIQUE constraint on the column alone. `expect.unique("email")` asks the rows of a run instead."""
    return Key("unique")


_ABSENT: Any = object()


def column(name: str | None = None, *, default: Any = _ABSENT) -> Marker:
    """The name in the database where it differs, and the column's own DEFAULT: a value or `sql("now()")`.

    >>> column("class", default="A")
    column({'name': 'class', 'default': 'A'})
    """
    found: dict[str, Any] = {} if name is None else {"name": name}
    if default is not _ABSENT:
        found["default"] = default
    if not found:
        raise SpecError(
            "column() says nothing", code="missing_option", hint='write column("name") or column(default=0)'
        )
    return Named("column", found)


# --- text --------------------------------------------------------------------------------------------------------


def _text(name: str, **arguments: Any) -> Marker:
    said = {key: value for key, value in arguments.items() if value is not None}
    return Marker(name, said or None, takes=_TEXT, gives=_TEXT)


def trim(characters: str | None = None) -> Marker:
    """Takes white space, or the characters given, off both ends."""
    return _text("trim", characters=characters)


def lower() -> Marker:
    """Lower case."""
    return _text("lower")


def upper() -> Marker:
    """Upper case."""
    return _text("upper")


def title() -> Marker:
    """Each word with a capital, the rest in lower case."""
    return _text("title")


def normalize_unicode() -> Marker:
    """Letters with marks as one character each where there is one (NFC), so that what looks alike is equal."""
    return _text("normalize_unicode")


def to_ascii() -> Marker:
    """Letters of Latin scripts without their marks: `ä` is `a`, `ß` is `ss`; other scripts stay as they are."""
    return _text("to_ascii")


def empty_to_null() -> Marker:
    """`''` becomes NULL."""
    return _text("empty_to_null")


def whitespace_to_null() -> Marker:
    """Text of white space alone, and `''`, become NULL."""
    return _text("whitespace_to_null")


def collapse_whitespace() -> Marker:
    """Every run of white space becomes one blank; none stays at the ends."""
    return _text("collapse_whitespace")


def replace(old: str, new: str) -> Marker:
    """Every `old` becomes `new`, letter by letter."""
    return _text("replace", old=old, new=new)


def regex_replace(pattern: str, replacement: str, flags: str = "g") -> Marker:
    """What matches Postgres' regular expression becomes the replacement; `flags` as in `regexp_replace`."""
    return _text("regex_replace", pattern=pattern, replacement=replacement, flags=None if flags == "g" else flags)


def truncate(length: int) -> Marker:
    """At most so many characters; the rest is cut off."""
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise SpecError(f"truncate: {length!r} is not a length", code="invalid_value", hint="write truncate(256)")
    return Marker("truncate", length, takes=_TEXT, gives=_TEXT)


def email_normalize() -> Marker:
    """An address in lower case without blanks; what cannot be an address becomes NULL."""
    return _text("email_normalize")


def phone_normalize(country: str | None = None) -> Marker:
    """A telephone number as `+4930123456`; numbers without a country's prefix belong to `country` ("DE").

    Without a country such numbers keep their digits alone. What has less than 4 digits or more than 15 becomes NULL.
    """
    return _text("phone_normalize", country=country)


def hash(*, key: str) -> Marker:
    """HMAC-SHA-256 of the value's text, as 64 hexadecimal digits: the same for the same value and key, everywhere.

    `key` says where the key is to be found, "${env:NAME}" or "${file:/path}"; the key itself stands in no file and no
    plan. Python's `hmac.new(key, value.encode(), "sha256").hexdigest()` gives the same.
    """
    return Marker("hash", {"key": key}, gives=_TEXT)


def mask(*, keep_last: int = 0, keep_first: int = 0, character: str = "*", length: int | None = None) -> Marker:
    """Every character becomes `character`, but for so many at the ends; all of them where that would be the whole value.

    With `length` there are always so many, so that not even the length of a value is told.
    """
    said = {
        "keep_last": keep_last or None,
        "keep_first": keep_first or None,
        "character": None if character == "*" else character,
        "length": length,
    }
    return _text("mask", **said)


# --- text that becomes something else ---------------------------------------------------------------------------


def _parse(
    name: str, gives: frozenset[str], on_failure: str, default: Any, defaults: Mapping[str, Any], **arguments: Any
) -> Marker:
    said = {key: value for key, value in arguments.items() if value != defaults.get(key)}
    _word(name, "on_failure", on_failure, ("null", "default", "error"))
    if on_failure == "default" and default is None:
        raise SpecError(
            f'{name}: on_failure="default" needs the value',
            code="missing_option",
            hint='add default=…, or write on_failure="null"',
        )
    if on_failure != "default" and default is not None:
        raise SpecError(
            f'{name}: default= has no meaning with on_failure="{on_failure}"',
            code="conflicting_options",
            hint='add on_failure="default"; NULL from the source is replaced by the marker default(…)',
        )
    if on_failure != "null":
        said["on_failure"] = on_failure
    if default is not None:
        said["default"] = plain(default)
    return Marker(name, said or None, takes=_TEXT, gives=gives)


def parse_timestamp(
    format: str | None = None,
    *,
    tz: str = "UTC",
    day_first: bool = True,
    on_failure: Failure = "null",
    default: dt.datetime | None = None,
) -> Marker:
    """Text to a time: by a format of Postgres' `to_timestamp`, or by a catalogue of the usual ones.

    `tz` is the zone of text that names none, `day_first` settles 01/02/2026. What cannot be read becomes NULL and is
    counted in `.parse_failures`, or `default`, or ends the run.
    """
    gives = frozenset(["timestamp", "timestamptz", "date"])
    usual = {"tz": "UTC", "day_first": True}
    return _parse("parse_timestamp", gives, on_failure, default, usual, format=format, tz=tz, day_first=day_first)


def parse_date(
    format: str | None = None,
    *,
    day_first: bool = True,
    on_failure: Failure = "null",
    default: dt.date | None = None,
) -> Marker:
    """Text to a date, as `parse_timestamp` reads it."""
    usual = {"day_first": True}
    return _parse("parse_date", frozenset(["date"]), on_failure, default, usual, format=format, day_first=day_first)


def parse_int(*, thousands: str | None = None, on_failure: Failure = "null", default: int | None = None) -> Marker:
    """Text to a whole number; `thousands` is the mark between groups of digits, if any.

    >>> parse_int(on_failure="default", default=0).export()
    {'parse_int': {'on_failure': 'default', 'default': 0}}
    """
    return _parse("parse_int", _NUMBERS, on_failure, default, {}, thousands=thousands)


def parse_numeric(
    *,
    decimal_separator: str = ".",
    thousands: str | None = None,
    on_failure: Failure = "null",
    default: decimal.Decimal | int | None = None,
) -> Marker:
    """Text to a number with a fraction."""
    usual, gives = {"decimal_separator": "."}, frozenset(["numeric", "float"])
    given = {"decimal_separator": decimal_separator, "thousands": thousands}
    return _parse("parse_numeric", gives, on_failure, default, usual, **given)


def parse_bool(*, on_failure: Failure = "null", default: bool | None = None) -> Marker:
    """Text to a truth value: yes/no, true/false, t/f, y/n, on/off, 1/0 in any case."""
    return _parse("parse_bool", frozenset(["boolean"]), on_failure, default, {})


def parse_json(*, on_failure: Failure = "null", default: Any = None) -> Marker:
    """Text to JSON."""
    return _parse("parse_json", frozenset(["json"]), on_failure, default, {})


# --- values of any type -----------------------------------------------------------------------------------------


def to_timezone(tz: str) -> Marker:
    """An instant as the clock on the wall of that zone shows it."""
    return Marker("to_timezone", tz, takes=frozenset(["timestamp", "timestamptz"]), gives=_TIMES)


def date_trunc(unit: str, tz: str = "UTC") -> Marker:
    """The beginning of the unit (`"day"`, `"month"` …) in that zone."""
    arguments = {"unit": unit, "tz": tz} if tz != "UTC" else unit
    return Marker("date_trunc", arguments, takes=_TIMES, gives=_TIMES)


def round(digits: int = 0) -> Marker:
    """A number with so many digits behind the point."""
    return Marker("round", digits or None, takes=_NUMBERS, gives=_NUMBERS)


def clamp(minimum: Any = None, maximum: Any = None) -> Marker:
    """What lies below the minimum or above the maximum becomes it."""
    if minimum is None and maximum is None:
        raise SpecError("clamp() without a bound", code="missing_option", hint="write clamp(0, 100)")
    said = {"minimum": plain(minimum), "maximum": plain(maximum)}
    both = _NUMBERS | _TIMES
    return Marker("clamp", {key: value for key, value in said.items() if value is not None}, takes=both, gives=both)


def default(value: Any) -> Marker:
    """NULL from the source becomes `value`, or what `sql("…")` gives (the column's own DEFAULT is `column(default=…)`)."""
    if value is None:
        raise SpecError("default(None) changes nothing", code="invalid_value", hint="give a value, or leave it out")
    return Marker("default", {"sql": value.text} if isinstance(value, Sql) else plain(value))


def nullif(value: Any) -> Marker:
    """`value` from the source becomes NULL."""
    return Marker("nullif", plain(value))


def map_values(values: Mapping[Any, Any], *, otherwise: Any = _ABSENT) -> Marker:
    """Each value becomes another; what is not listed stays as it is, or becomes `otherwise`.

    >>> map_values({"m": "male", "f": "female"}, otherwise=None).export()
    {'map_values': {'values': {'m': 'male', 'f': 'female'}, 'otherwise': None}}
    """
    if all(isinstance(key, str) for key in values):
        said: Any = {key: plain(value) for key, value in values.items()}
    else:
        # JSON and TOML have names alone for keys.
        said = [[plain(key), plain(value)] for key, value in values.items()]
    return Marker("map_values", {"values": said} | ({} if otherwise is _ABSENT else {"otherwise": plain(otherwise)}))


def cast(type: AnyType) -> Marker:
    """A cast on the way, where the next marker or the column needs another type."""
    return Marker("cast", as_type(type, "cast").toml)


def derive(expression: str) -> Marker:
    """The value comes from an SQL expression over the source's columns, not from a column of that name."""
    if not isinstance(expression, str) or not expression.strip():
        raise SpecError("derive() without an expression", code="invalid_value", hint="write derive(\"a || ' ' || b\")")
    return Marker("derive", expression)


def _word(owner: str, name: str, value: str, words: tuple[str, ...]) -> str:
    if value not in words:
        listed = ", ".join(f'"{word}"' for word in words)
        raise SpecError(f"{owner}: {name} is {value!r}", code="invalid_value", hint=f"{name} is one of {listed}")
    return value


def check_chain(markers: list[Marker], type: ColumnType[Any, Any], where: str) -> None:
    """Holds markers to the column's type, from the last back to the first.

    Raises:
        SpecError: `invalid_value` for a marker that gives something else than its column or the next marker takes.
    """
    family = _FAMILIES.get(type._kind)
    needed = frozenset([family]) if family else None
    taker = f"the column is {type.toml}"
    for marker in reversed(markers):
        if needed is not None and marker._gives is not None and not needed & marker._gives:
            raise SpecError(
                f"{where}: {marker.name}() gives {' or '.join(sorted(marker._gives))}, but {taker}",
                code="invalid_value",
                hint=_remedy(marker, needed),
                context={"marker": marker.name, "type": type.toml},
            )
        if marker._takes is not None or marker.name in ("derive", "cast", "sql"):
            needed = marker._takes
            taker = f"{marker.name}() takes {' or '.join(sorted(needed or ()))}"


def _remedy(marker: Marker, needed: frozenset[str]) -> str:
    parsers = {
        "integer": "parse_int",
        "numeric": "parse_numeric",
        "float": "parse_numeric",
        "boolean": "parse_bool",
        "json": "parse_json",
        "date": "parse_date",
        "timestamp": "parse_timestamp",
        "timestamptz": "parse_timestamp",
    }
    parser = next((parsers[family] for family in sorted(needed) if family in parsers), None)
    if marker._gives == _TEXT and parser:
        return f"put {parser}() behind it, or take it out"
    return "take it out, or change the column's type"
