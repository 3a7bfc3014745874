"""Frames as sources: each kind of frame by each load strategy, and what is refused of them."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import duckdb
import pandas
import polars
import pyarrow
import pytest
from database import Database
from python_package import Interpreter

from ematix_flow import (
    BigInt,
    Connection,
    DataError,
    FlowError,
    Numeric,
    Source,
    SourceError,
    SpecError,
    String,
    TimestampTZ,
    connect,
    ematix,
    expect,
    lower,
    parse_int,
    pipeline,
    pk,
)

UTC = dt.timezone.utc


@pytest.fixture
def db(database: Database) -> Iterator[Connection]:
    database.execute("CREATE SCHEMA shop")
    with connect(dsn=database.dsn) as connection:
        yield connection


ROWS = [
    {"id": 1, "plan": "free", "fee": decimal.Decimal("0.00")},
    {"id": 2, "plan": "team", "fee": decimal.Decimal("19.90")},
    {"id": 3, "plan": None, "fee": None},
]
SCHEMA = {"id": polars.Int64, "plan": polars.String, "fee": polars.Decimal(10, 2)}


def frame(rows: list[dict[str, Any]] = ROWS) -> polars.DataFrame:
    return polars.DataFrame(rows, schema=SCHEMA)


class OnlyArray:
    """A batch of a library that has no streams."""

    def __init__(self, batch: pyarrow.RecordBatch) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        return self._batch.__arrow_c_array__(requested_schema)


FRAMES = {
    "polars": frame,
    "polars lazy": lambda: frame().lazy(),
    "pandas": lambda: frame().to_pandas(use_pyarrow_extension_array=True),
    "pandas index": lambda: frame().to_pandas(use_pyarrow_extension_array=True).set_index("id"),
    "pyarrow table": lambda: frame().to_arrow(),
    "pyarrow batch": lambda: frame().to_arrow().to_batches()[0],
    "pyarrow reader": lambda: frame().to_arrow().to_reader(),
    "an array": lambda: OnlyArray(frame().to_arrow().to_batches()[0]),
    "duckdb": lambda: duckdb.from_arrow(frame().to_arrow()),
    "batches": lambda: iter(frame().to_arrow().to_batches(max_chunksize=1)),
    "frames": lambda: (frame(ROWS[at : at + 1]) for at in range(3)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_frame_is_loaded(kind: str, db: Connection) -> None:
    report = db.write_df(FRAMES[kind](), "shop.plans", mode="merge", keys="id")
    assert (report.status, report.path, report.rows_in, report.rows_inserted) == ("success", "staging", 3, 3)
    assert db.query("SELECT id, plan, fee FROM shop.plans ORDER BY id") == ROWS


CHANGED = [ROWS[0], {**ROWS[1], "plan": "firm"}, {"id": 4, "plan": "free", "fee": None}]


@pytest.mark.parametrize(
    ("mode", "options", "inserted", "updated", "count"),
    [
        ("append", {}, 3, 0, 6),
        ("truncate", {}, 3, 0, 3),
        ("merge", {"keys": "id"}, 1, 1, 4),
        ("scd1", {"keys": "id"}, 1, 1, 4),
        ("scd2", {"keys": "id"}, 2, 0, 5),
    ],
)
def test_every_load_strategy_takes_a_frame(
    mode: Any, options: dict[str, Any], inserted: int, updated: int, count: int, db: Connection
) -> None:
    db.write_df(frame(), "shop.plans", mode=mode, **options)
    report = db.write_df(frame(CHANGED), "shop.plans", mode=mode, **options)
    assert (report.rows_in, report.rows_inserted, report.rows_updated) == (3, inserted, updated)
    assert db.query("SELECT count(*) FROM shop.plans", rows="tuple") == [(count,)]


def test_a_table_is_made_of_the_types_that_the_frame_has(db: Connection) -> None:
    table = pyarrow.table(
        {
            "small": pyarrow.array([1], pyarrow.int8()),
            "unsigned": pyarrow.array([2**64 - 1], pyarrow.uint64()),
            "real": pyarrow.array([0.5], pyarrow.float32()),
            "amount": pyarrow.array([decimal.Decimal("1.250")], pyarrow.decimal128(12, 3)),
            "at": pyarrow.array([dt.datetime(2026, 1, 1, tzinfo=UTC)], pyarrow.timestamp("ns", "Europe/Berlin")),
            "local": pyarrow.array([dt.datetime(2026, 1, 1)], pyarrow.timestamp("ms")),
            "day": pyarrow.array([dt.date(2026, 1, 1)], pyarrow.date32()),
            "clock": pyarrow.array([dt.time(12, 30)], pyarrow.time64("us")),
            "took": pyarrow.array([dt.timedelta(hours=36)], pyarrow.duration("us")),
            "raw": pyarrow.array([b"\0\xff"], pyarrow.large_binary()),
            "tags": pyarrow.array([["a", None]], pyarrow.list_(pyarrow.string())),
            "word": pyarrow.array(["x"]).dictionary_encode(),
            "known": pyarrow.array([True]),
            "nothing": pyarrow.nulls(1),
            "key": pyarrow.array([uuid.UUID(int=7).bytes], pyarrow.uuid()),
        }
    )
    db.write_df(table, "shop.types", mode="append")
    types = db.query(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'shop.types'::regclass AND attnum > 0 AND attname NOT LIKE '\\_%' ORDER BY attnum",
        rows="tuple",
    )
    assert dict(types) == {
        "small": "smallint",
        "unsigned": "numeric(20,0)",
        "real": "real",
        "amount": "numeric(12,3)",
        "at": "timestamp with time zone",
        "local": "timestamp without time zone",
        "day": "date",
        "clock": "time without time zone",
        "took": "interval",
        "raw": "bytea",
        "tags": "text[]",
        "word": "text",
        "known": "boolean",
        "nothing": "text",
        "key": "uuid",
    }
    found = db.query("SELECT * FROM shop.types")[0]
    assert found["unsigned"] == 2**64 - 1
    assert (found["at"], found["took"]) == (dt.datetime(2026, 1, 1, tzinfo=UTC), dt.timedelta(hours=36))
    assert (found["raw"], found["tags"], found["nothing"]) == (b"\0\xff", ["a", None], None)
    assert found["key"] == uuid.UUID(int=7)


@ematix.table(schema="shop")
class Customers:
    id: Annotated[BigInt, pk()]
    email: Annotated[String[40], lower()]
    score: Annotated[BigInt, parse_int(on_failure="null")] | None
    credit: Numeric | None
    seen: TimestampTZ | None


def test_values_become_the_declared_types_and_markers_clean_them(db: Connection) -> None:
    given = polars.DataFrame(
        {
            "id": polars.Series([1, 2], dtype=polars.Int16),
            "email": ["Ann@X.org", "BOB@x.org"],
            "score": ["1200", "none"],
            "credit": polars.Series([decimal.Decimal("12345678901234567890.12"), None], dtype=polars.Decimal(38, 2)),
            "seen": polars.Series([dt.datetime(2026, 1, 1)] * 2).dt.replace_time_zone("UTC"),
            "note": ["left out", None],
        }
    )
    report = db.write_df(
        given, "shop.customers", mode="scd2", target=Customers, keys=["id"], expect=[expect.not_null("email")]
    )
    assert report.rows_inserted == 2
    found = db.query("SELECT id, email, score, credit FROM shop.customers ORDER BY id", rows="tuple")
    assert found == [
        (1, "ann@x.org", 1200, decimal.Decimal("12345678901234567890.12")),
        (2, "bob@x.org", None, None),
    ]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_column_of_polars_without_a_type_is_null(lazy: bool, db: Connection) -> None:
    db.write_df(frame(), "shop.plans", mode="merge", keys="id")
    untyped = frame().with_columns(plan=None)
    report = db.write_df(untyped.lazy() if lazy else untyped, "shop.plans", mode="merge", keys="id")
    assert report.rows_updated == 2
    assert db.query("SELECT DISTINCT plan FROM shop.plans") == [{"plan": None}]


def test_a_value_that_its_column_does_not_hold_is_named_by_row_and_column(db: Connection) -> None:
    db.execute("CREATE TABLE shop.small (id integer PRIMARY KEY)")
    numbers = polars.DataFrame({"id": [*range(5000), 2**31]})
    with pytest.raises(FlowError, match="row 5001") as raised:
        db.write_df(numbers, "shop.small", mode="merge", keys="id")
    assert "`id`" in str(raised.value)
    assert db.query("SELECT count(*) FROM shop.small", rows="tuple") == [(0,)]


def test_what_a_failure_leaves_is_what_was_there(db: Connection) -> None:
    db.write_df(frame(), "shop.plans", mode="truncate", keys="id")
    twice = frame([ROWS[0], ROWS[0]])
    with pytest.raises(DataError) as raised:
        db.write_df(twice, "shop.plans", mode="truncate", keys="id")
    assert raised.value.code == "duplicate_source_key"

    def breaks() -> Iterator[polars.DataFrame]:
        yield frame(CHANGED)
        raise RuntimeError("the API is away")

    with pytest.raises(RuntimeError, match="the API is away"):
        db.write_df(breaks(), "shop.plans", mode="truncate", keys="id")
    assert db.query("SELECT id, plan, fee FROM shop.plans ORDER BY id") == ROWS
    assert db.query("SELECT count(*) FROM pg_class WHERE relname LIKE '%ematix_reading%'", rows="tuple") == [(0,)]


def test_text_does_not_pass_for_a_number(db: Connection) -> None:
    db.execute("CREATE TABLE shop.numbers (id bigint PRIMARY KEY)")
    with pytest.raises(FlowError) as raised:
        db.write_df(polars.DataFrame({"id": ["1"]}), "shop.numbers", mode="merge", keys="id")
    assert raised.value.code == "cast_failed"
    assert "`id`" in str(raised.value)
    assert "bigint" in str(raised.value)
    assert "parse_int" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("given", "options", "code"),
    [
        (frame(), {"table": "plans"}, "unknown_table"),
        (frame(), {"if_exists": "replace"}, "invalid_value"),
        (frame(), {"target": Customers}, "conflicting_options"),
        (frame(), {"mode": "merge"}, "missing_keys"),
        (frame(), {"force_path": "same_db"}, "path_impossible"),
        (frame(), {"incremental": "files"}, "missing_option"),
        ("SELECT 1", {}, "invalid_value"),
        (polars.DataFrame({"id": [{"a": 1}]}), {}, "invalid_value"),
        (polars.DataFrame(), {}, "invalid_value"),
        (pyarrow.table([[1], [2]], names=["id", "id"]), {}, "duplicate_name"),
        (iter([]), {}, "invalid_value"),
        (pandas.DataFrame({1: [2]}), {}, "invalid_value"),
        (pandas.DataFrame({"a": [1, "x"]}), {}, "invalid_value"),
    ],
)
def test_what_cannot_be_written_is_refused(given: Any, options: dict[str, Any], code: str, db: Connection) -> None:
    options = {"table": "shop.plans", "mode": "append", **options}
    with pytest.raises(FlowError) as raised:
        db.write_df(given, options.pop("table"), options.pop("mode"), **options)
    assert raised.value.code == code


def test_a_table_that_exists_is_refused_where_that_is_asked(db: Connection) -> None:
    assert db.write_df(frame(), "shop.plans", mode="append", if_exists="error").rows_inserted == 3
    with pytest.raises(SpecError, match=r"shop\.plans exists already"):
        db.write_df(frame(), "shop.plans", mode="append", if_exists="error")


def test_a_dry_run_shows_and_writes_nothing(db: Connection) -> None:
    report = db.write_df(frame(), "shop.plans", mode="merge", keys="id", dry_run=True)
    assert (report.dry_run, report.rows_inserted) == (True, 3)
    assert db.query("SELECT to_regclass('shop.plans') IS NULL", rows="tuple") == [(True,)]


def test_an_iterator_gives_its_rows_once(db: Connection) -> None:
    source = iter([frame()])
    db.write_df(source, "shop.plans", mode="merge", keys="id")
    with pytest.raises(FlowError):
        db.write_df(source, "shop.plans", mode="merge", keys="id")


def test_batches_of_other_columns_are_refused(db: Connection) -> None:
    with pytest.raises(SourceError, match="item 2 has other columns than the first"):
        db.write_df(iter([frame(), frame().drop("fee")]), "shop.plans", mode="append")


def test_an_empty_frame_is_a_source_without_rows(db: Connection) -> None:
    db.write_df(frame(), "shop.plans", mode="merge", keys="id")
    assert db.write_df(frame([]), "shop.plans", mode="merge", keys="id").rows_unchanged == 0
    with pytest.raises(DataError) as raised:
        db.write_df(frame([]), "shop.plans", mode="merge", keys="id", handle_deletes="hard")
    assert raised.value.code == "empty_source"


def test_sync_and_declared_pipelines_read_frames(db: Connection) -> None:
    report = pipeline.sync(source=frame(), target="shop.plans", target_connection=db, mode="merge", keys="id")
    assert report.rows_inserted == 3
    with pytest.raises(SpecError):
        Source.postgres_query(db, "")


PROJECT = """
from typing import Annotated
import polars
from ematix_flow import BigInt, Pipelines, Text, ematix, pk

flows = Pipelines()

@ematix.table(schema="shop")
class Plans:
    id: Annotated[BigInt, pk()]
    plan: Text | None

@ematix.pipeline(target=Plans, target_connection="warehouse", mode="scd2")
def plans(conn):
    return polars.DataFrame({"id": [1, 2], "plan": ["free", "team"]})

@ematix.pipeline(target="shop.pages", target_connection="warehouse", mode="append")
def pages(conn):
    for page in range(3):
        yield polars.DataFrame({"page": [page], "rows": [10]})
"""


def test_a_pipeline_is_a_function_that_returns_a_frame_or_makes_batches(tmp_path: Path, database: Database) -> None:
    database.execute("CREATE SCHEMA shop")
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN_WAREHOUSE": database.dsn})
    python.write("flows.py", PROJECT)
    python.flow("--module", "flows", "run", "plans", "pages")
    assert database.rows("SELECT id, plan FROM shop.plans ORDER BY id") == [(1, "free"), (2, "team")]
    assert database.rows("SELECT page, rows FROM shop.pages ORDER BY 1") == [(0, 10), (1, 10), (2, 10)]
    planned = python.flow("--module", "flows", "plan", "plans", "--sql").stdout
    assert "a DataFrame of polars" in planned


MANY = """
import resource, polars
from ematix_flow import connect

def batches():
    for at in range(100):
        yield polars.DataFrame({"id": range(at * 10_000, (at + 1) * 10_000), "text": ["x" * 100] * 10_000})

with connect("warehouse") as warehouse:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = warehouse.write_df(batches(), "shop.many", mode="append")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print([report.rows_inserted, (after - before) // 1024])
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, database: Database) -> None:
    database.execute("CREATE SCHEMA shop")
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN_WAREHOUSE": database.dsn})
    rows, megabytes = python.run(MANY).json()
    assert rows == 1_000_000
    assert megabytes < 100
