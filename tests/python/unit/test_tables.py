"""Tables as declared by classes: what they export, and what is refused with which words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import sys
import types
import uuid
from typing import Annotated, Any, ClassVar, NamedTuple

import pytest

import ematix_flow
from ematix_flow import (
    JSONB,
    UUID,
    BigInt,
    Boolean,
    Bytes,
    Column,
    Date,
    Double,
    Integer,
    ManagedTable,
    Numeric,
    SpecError,
    String,
    Text,
    Timestamp,
    TimestampTZ,
    column,
    default,
    derive,
    ematix,
    empty_to_null,
    lower,
    natural_key,
    parse_int,
    parse_timestamp,
    pk,
    sql,
    trim,
    unique,
)
from ematix_flow.declare.table import table_of


def exported(cls: type) -> Any:
    table = table_of(cls)
    assert table is not None
    return table.export()


def refused(declare: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        declare()
    assert caught.value.hint, "an error says what to do next"
    return caught.value


def test_the_class_of_the_manual() -> None:
    class CustomerDim(ManagedTable):
        __tablename__ = "dim_customers"
        __schema__ = "analytics"
        customer_id = Column(Integer, primary_key=True)
        email = Column(String)
        status = Column(String)
        updated_at = Column(Timestamp)

    assert exported(CustomerDim) == {
        "schema": "analytics",
        "name": "dim_customers",
        "primary_key": ["customer_id"],
        "columns": {
            "customer_id": "integer",
            "email": "string?",
            "status": "string?",
            "updated_at": "timestamp?",
        },
    }


def test_the_decorated_class_of_the_manual() -> None:
    @ematix.table(schema="analytics")
    class CustomerDim:
        """What each customer looked like,
        and when.

        Not this.
        """

        customer_id: Annotated[BigInt, pk()]
        email: Annotated[String[256], natural_key()]
        name: Text | None
        updated_at: TimestampTZ

    assert exported(CustomerDim) == {
        "schema": "analytics",
        "name": "customer_dim",
        "description": "What each customer looked like, and when.",
        "primary_key": ["customer_id"],
        "natural_key": ["email"],
        "columns": {"customer_id": "bigint", "email": "string(256)", "name": "text?", "updated_at": "timestamptz"},
    }
    assert CustomerDim.email.sql == "varchar(256)"


def test_markers_that_clean_are_exported_from_left_to_right() -> None:
    @ematix.table()
    class Normalised:
        email: Annotated[String[256] | None, lower(), trim(), empty_to_null()]
        ts: Annotated[TimestampTZ | None, parse_timestamp()]
        score: Annotated[BigInt, parse_int(on_failure="default", default=0)]
        region: Annotated[String[8], default("US")]
        full_name: Annotated[Text, derive("first_name || ' ' || last_name"), trim()]

    assert exported(Normalised)["columns"] == {
        "email": {"type": "string(256)?", "normalize": ["lower", "trim", "empty_to_null"]},
        "ts": {"type": "timestamptz?", "normalize": ["parse_timestamp"]},
        "score": {"type": "bigint", "normalize": [{"parse_int": {"on_failure": "default", "default": 0}}]},
        "region": {"type": "string(8)", "normalize": [{"default": "US"}]},
        "full_name": {"type": "text", "normalize": [{"derive": "first_name || ' ' || last_name"}, "trim"]},
    }


def test_a_column_may_have_another_name_a_default_and_be_unique() -> None:
    @ematix.table(name="t")
    class T:
        class_: Annotated[Text, column("class", default="A"), unique()]
        at: Annotated[TimestampTZ, column(default=sql("now()"))]

    assert exported(T)["columns"] == {
        "class": {"type": "text", "default": "A", "unique": True},
        "at": {"type": "timestamptz", "default": {"sql": "now()"}},
    }


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Integer, 0, 0),
        (Double, 1, 1),
        (Double, float("nan"), "NaN"),
        (Double, float("-inf"), "-Infinity"),
        (Numeric[10, 2], decimal.Decimal("1.50"), "1.50"),
        (Boolean, False, False),
        (Text, "", ""),
        (Date, dt.date(2026, 1, 2), "2026-01-02"),
        (UUID, uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Bytes, b"\x00\xff", "\\x00ff"),
        (JSONB, {"a": [1]}, '{"a": [1]}'),
    ],
)
def test_a_default_becomes_the_text_that_postgres_reads(kind: Any, value: Any, text: Any) -> None:
    made: Any = Column(kind, default=value)
    assert made.export()["default"] == text


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Integer, "x"), (Integer, True), (Integer, 1.5), (Text, 1), (Date, dt.datetime(2026, 1, 1)), (Boolean, 1)],
)
def test_a_default_of_another_type_is_refused(kind: Any, value: Any) -> None:
    error = refused(lambda: Column(kind, default=value))
    assert error.code == "invalid_value" and repr(value) in error.message


def test_a_local_class_sees_local_names_under_postponed_annotations() -> None:
    Local = String[3]
    marks = [trim()]

    @ematix.table()
    class T:
        a: Annotated[Local, marks[0]]

    assert exported(T)["columns"] == {"a": {"type": "string(3)", "normalize": ["trim"]}}


def test_columns_of_mixins_come_first_and_keep_their_modules_names() -> None:
    module = types.ModuleType("audited")
    source = (
        "from __future__ import annotations\n"
        "from ematix_flow import ManagedTable, Column, TimestampTZ as Text, BigInt, pk\n"
        "from typing import Annotated\n"
        "class Audited:\n    loaded_at: Text\n"
        "class Keyed(ManagedTable):\n    __abstract__ = True\n    id = Column(BigInt, primary_key=True)\n"
    )
    sys.modules["audited"] = module
    try:
        exec(source, module.__dict__)

        class Customers(module.Audited, module.Keyed):  # type: ignore[name-defined,misc]
            name: Text | None

        @ematix.table()
        class Orders(module.Audited):  # type: ignore[name-defined,misc]
            id: Annotated[BigInt, pk()]

        assert table_of(module.Keyed) is None
        assert exported(Customers)["columns"] == {"id": "bigint", "loaded_at": "timestamptz", "name": "text?"}
        assert exported(Orders)["columns"] == {"loaded_at": "timestamptz", "id": "bigint"}
    finally:
        del sys.modules["audited"]


def test_class_variables_are_no_columns() -> None:
    @ematix.table()
    class T:
        a: Text
        note: ClassVar[int] = 3

    assert list(exported(T)["columns"]) == ["a"]


def test_a_row_without_the_column_says_so() -> None:
    @ematix.table()
    class T:
        a: Text

    class U(ManagedTable):
        a = Column(Text)

    for row in (T(), U()):
        with pytest.raises(AttributeError, match="the query did not return it"):
            _ = row.a  # type: ignore[attr-defined]


def test_snake_case_names_the_table() -> None:
    class HTTPLog2Day(ManagedTable):
        a = Column(Text)

    assert exported(HTTPLog2Day)["name"] == "http_log2_day"


def pydantic() -> type:
    return type("Model", (), {"__annotations__": {"a": Text}, "model_fields": {}})


def named_tuple() -> type:
    class Row(NamedTuple):
        a: int

    return Row


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: dataclasses.make_dataclass("Row", ["a"]), "is a dataclass"),
        (pydantic, "is a pydantic model"),
        (named_tuple, "is a NamedTuple"),
    ],
)
def test_classes_that_belong_to_others_are_refused(make: Any, words: str) -> None:
    error = refused(lambda: ematix.table()(make()))
    assert words in error.message


def declared(**annotations: Any) -> Any:
    return lambda: ematix.table()(type("T", (), {"__annotations__": annotations, "__module__": __name__}))


@pytest.mark.parametrize(
    ("declare", "code", "message", "hint"),
    [
        (declared(a=int), "unknown_type", "T.a: `int` is not a column type", "did you mean Integer or BigInt?"),
        (declared(a="Strin[3]"), "unknown_type", "T: an annotation names `Strin`", "import it at run time"),
        (declared(a=Annotated[Text | None, pk()]), "conflicting_options", "T.a is pk() and `| None`", "`| None` out"),
        (declared(a=Text | BigInt), "unknown_type", "T.a has several types", "one type"),
        (declared(a=Annotated[Text, trim]), "invalid_value", "T.a: trim is not called", "write trim()"),
        (declared(), "missing_option", "T declares no columns", "__abstract__"),
        (
            declared(a=Annotated[Text, column("x")], x=Text),
            "duplicate_name",
            "T: `a` and `x` are both the column `x`",
            "another name",
        ),
        (
            declared(a=Annotated[BigInt, trim()]),
            "invalid_value",
            "T.a: trim() gives text, but the column is bigint",
            "put parse_int() behind it",
        ),
        (
            declared(a=Annotated[Text, parse_int()]),
            "invalid_value",
            "T.a: parse_int() gives float or integer or numeric, but the column is text",
            "take it out",
        ),
        (
            declared(a=Annotated[BigInt, parse_int(), trim(), parse_int()]),
            "invalid_value",
            "T.a: parse_int() gives float or integer or numeric, but trim() takes text",
            "take it out",
        ),
        (
            declared(a=Annotated[Integer, column(default="x")]),
            "invalid_value",
            "T.a: the default 'x' does not fit the type integer",
            "give an int",
        ),
        (
            lambda: ematix.table()(type("T", (), {"__annotations__": {"a": Text}, "a": "new"})),
            "invalid_value",
            "T.a = 'new' is not a column",
            "column(default='new')",
        ),
        (lambda: ematix.table()(print), "invalid_value", "is not a class", "above `class"),
        (lambda: ematix.table(schema="")(type("T", (), {})), "invalid_value", "T: the schema is ''", "name"),
    ],
)
def test_a_wrong_declaration_names_class_attribute_and_remedy(declare: Any, code: str, message: str, hint: str) -> None:
    error = refused(declare)
    assert error.code == code
    assert message in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize("chain", [[trim(), parse_int()], [derive("a"), parse_int()], [parse_int()]])
def test_markers_may_turn_text_into_the_columns_type(chain: list[Any]) -> None:
    declared(a=Annotated[(BigInt, *chain)])()  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parse_int(on_failure="default"), 'on_failure="default" needs the value'),
        (lambda: parse_int(default=0), "default= has no meaning"),
        (lambda: parse_int(on_failure="nul"), "on_failure is 'nul'"),  # type: ignore[arg-type]
        (lambda: default(None), "changes nothing"),
        (lambda: ematix_flow.truncate(0), "is not a length"),
        (lambda: ematix_flow.clamp(), "without a bound"),
        (lambda: ematix_flow.column(), "says nothing"),
        (lambda: derive(" "), "without an expression"),
        (lambda: sql(""), "without text"),
        (lambda: ematix_flow.sample_pct(10), "fraction from 0 to 1"),
        (lambda: ematix_flow.limit(-1), "number of rows"),
    ],
)
def test_markers_and_helpers_hold_their_arguments_to_sense(make: Any, message: str) -> None:
    assert message in refused(make).message
