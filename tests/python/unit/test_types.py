"""The column types: spelling, equality, and their way through annotations."""

from __future__ import annotations

import datetime as dt
import decimal
import pickle
import uuid
from typing import Annotated, Any, Optional, get_type_hints

import pytest

from ematix_flow import SpecError, types
from ematix_flow.types import (
    JSON,
    JSONB,
    UUID,
    Array,
    BigInt,
    Boolean,
    Bytes,
    Date,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    Numeric,
    PgType,
    SmallInt,
    String,
    Text,
    Time,
    Timestamp,
    TimestampTZ,
)

CATALOGUE: list[tuple[Any, str, str, type]] = [
    (SmallInt, "smallint", "smallint", int),
    (Integer, "integer", "integer", int),
    (BigInt, "bigint", "bigint", int),
    (Float, "real", "float", float),
    (Double, "double precision", "double", float),
    (Numeric, "numeric", "numeric", decimal.Decimal),
    (Numeric[10], "numeric(10)", "numeric(10)", decimal.Decimal),
    (Numeric[10, 2], "numeric(10,2)", "numeric(10,2)", decimal.Decimal),
    (String, "varchar", "string", str),
    (String[256], "varchar(256)", "string(256)", str),
    (Text, "text", "text", str),
    (Boolean, "boolean", "boolean", bool),
    (Date, "date", "date", dt.date),
    (Time, "time", "time", dt.time),
    (Time[3], "time(3)", "time(3)", dt.time),
    (Timestamp, "timestamp", "timestamp", dt.datetime),
    (Timestamp[0], "timestamp(0)", "timestamp(0)", dt.datetime),
    (TimestampTZ, "timestamptz", "timestamptz", dt.datetime),
    (TimestampTZ[3], "timestamptz(3)", "timestamptz(3)", dt.datetime),
    (Interval, "interval", "interval", dt.timedelta),
    (JSON, "json", "json", object),
    (JSONB, "jsonb", "jsonb", object),
    (UUID, "uuid", "uuid", uuid.UUID),
    (Bytes, "bytea", "bytes", bytes),
    (Array[Text], "text[]", "text[]", list),
    (Array[Numeric[10, 2]], "numeric(10,2)[]", "numeric(10,2)[]", list),
    (Array[Double], "double precision[]", "double precision[]", list),
    (Enum["status", "on", "off"], '"status"', '"status"', str),
    (Enum["App.status"], '"App"."status"', '"App"."status"', str),
    (PgType("citext"), "citext", "citext", object),
]


@pytest.mark.parametrize(("kind", "sql", "toml", "python"), CATALOGUE, ids=lambda value: str(value))
def test_a_type_knows_its_spellings_and_its_python_type(kind: Any, sql: str, toml: str, python: type) -> None:
    assert (kind.sql, kind().sql, kind().toml, kind.python_type, kind().python_type) == (sql, sql, toml, python, python)


def test_every_type_is_in_the_catalogue() -> None:
    tested = {kind._kind for kind, *_ in CATALOGUE}
    assert tested == {name for name in types.__all__ if name != "ColumnType"}


@pytest.mark.parametrize("kind", [kind for kind, *_ in CATALOGUE], ids=str)
def test_class_and_instance_are_one_and_the_same(kind: Any) -> None:
    assert kind == kind() and kind() == kind
    assert hash(kind) == hash(kind())
    assert len({kind, kind()}) == 1
    assert repr(kind) == repr(kind())
    assert pickle.loads(pickle.dumps(kind())) == kind()


def test_arguments_make_another_type() -> None:
    assert String[256] is String[256]
    assert String[256] == String(256)
    assert String[256] != String[255] != String
    assert Numeric[10, 2] != Numeric[10]
    assert BigInt != Integer
    assert repr(Numeric[10, 2]) == "Numeric[10, 2]"


@pytest.mark.parametrize("kind", [Text, Text(), String[8], String(8), PgType("citext")], ids=repr)
def test_a_type_may_be_null_in_every_spelling(kind: Any) -> None:
    class Row:
        one: kind | None  # type: ignore[valid-type]
        two: None | kind  # type: ignore[valid-type]
        three: Optional[kind]  # type: ignore[valid-type]  # noqa: UP045
        four: Annotated[kind | None, "x"]  # type: ignore[valid-type]

    for hint in get_type_hints(Row, localns={"kind": kind}).values():
        assert kind in hint.__args__ and type(None) in hint.__args__


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: String[0],
        lambda: String["8"],
        lambda: String[True],
        lambda: Numeric[10, 11],
        lambda: Numeric[0],
        lambda: Numeric(scale=2),
        lambda: Timestamp[7],
        lambda: Enum(),
        lambda: Enum["a", 3],
        lambda: PgType(""),
        lambda: Array(),
        lambda: Array[int],
    ],
)
def test_arguments_that_no_type_takes_are_refused(wrong: Any) -> None:
    with pytest.raises(SpecError) as caught:
        wrong()
    assert caught.value.code in ("invalid_value", "unknown_type")
    assert caught.value.hint
