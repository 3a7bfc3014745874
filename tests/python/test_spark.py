"""Spark, on a cluster of this machine: each partition counts once, whatever becomes of its tasks.

All cases share one cluster, which takes longer to start than all of them, so they are one test.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import spark_tasks
from database import Database
from spark_cluster import java_works, spark_session

import ematix_flow.spark
from ematix_flow import Connection, SpecError, TargetError, connect
from ematix_flow.spark import _spark_schema, read_df, write_df

# Of Spark's own: it does not know the pandas of today.
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)

TABLES = "SELECT relname FROM pg_class WHERE starts_with(relname, '_ematix_partitions_') AND relkind = 'r'"
NOTED = "SELECT part, attempt FROM noted WHERE word = %s ORDER BY part, attempt"


@dataclass
class World:
    """A session of Spark, and a database of the case's own."""

    spark: Any
    database: Database
    conn: Connection

    def numbers(self, count: int = 100, partitions: int = 4) -> Any:
        return self.spark.range(0, count, 1, partitions).selectExpr("id", "CONCAT('n', id) AS name")

    def loaded(self, table: str = "public.numbers") -> list[tuple[Any, ...]]:
        return self.database.rows(f"SELECT id, name FROM {table} ORDER BY id")


CASES: list[Callable[[World], None]] = []


def case(function: Callable[[World], None]) -> Callable[[World], None]:
    CASES.append(function)
    return function


def numbers(count: int = 100) -> list[tuple[int, str]]:
    return [(number, f"n{number}") for number in range(count)]


@contextmanager
def answering(function: Any, world: World) -> Iterator[None]:
    """Tasks answer by another function."""
    ematix_flow.spark._answer = spark_tasks.instead(function, world.database.dsn)
    try:
        yield
    finally:
        ematix_flow.spark._answer = spark_tasks.ANSWER


@pytest.mark.long
def test_spark(
    new_database: Callable[[], Database], tmp_path: Path, subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not java_works():
        pytest.skip("there is no Java: apt-get install openjdk-17-jre-headless")
    monkeypatch.delenv("SPARK_HOME", raising=False)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    with spark_session(tmp_path) as spark:
        for each in CASES:
            database = new_database()
            database.execute("CREATE TABLE noted (word text, part int, attempt int)")
            with subtests.test(each.__name__), connect(dsn=database.dsn) as conn:
                each(World(spark, database, conn))


@case
def partitions_are_loaded_by_one_run_and_nothing_stays_of_them(world: World) -> None:
    report = write_df(world.numbers(), world.conn, "public.numbers", "merge", keys="id")
    assert (report.status, report.path, report.rows_in, report.rows_inserted) == ("success", "same_db", 100, 100)
    again = write_df(world.numbers(102), world.conn, "public.numbers", "merge", keys="id")
    assert (again.rows_in, again.rows_unchanged, again.rows_inserted) == (102, 100, 2)
    assert (world.loaded(), world.database.rows(TABLES)) == (numbers(102), [])


@case
def a_task_that_fails_in_the_middle_of_its_rows_is_repeated_and_counts_once(world: World) -> None:
    world.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "10")
    failing = world.numbers().mapInArrow(spark_tasks.fails_once(world.database.dsn), "id long, name string")
    report = write_df(failing, world.conn, "public.numbers", "append")
    world.spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert (1, 1) in world.database.rows(NOTED, ("read",)), "Spark has repeated it"
    assert (report.rows_in, world.loaded()) == (100, numbers())


@case
def an_executor_that_dies_after_its_rows_were_committed_counts_once(world: World) -> None:
    with answering(spark_tasks.dies, world):
        report = write_df(world.numbers(), world.conn, "public.numbers", "append")
    assert {(1, 0), (1, 1)} <= set(world.database.rows(NOTED, ("committed",))), "both were committed"
    assert (report.rows_in, world.loaded()) == (100, numbers())


@case
def a_task_that_runs_twice_because_it_is_slow_counts_once(world: World) -> None:
    with answering(spark_tasks.dallies, world):
        report = write_df(world.numbers(), world.conn, "public.numbers", "append")
    assert {(3, 0), (3, 1)} <= set(world.database.rows(NOTED, ("committed",))), "both were committed"
    assert (report.rows_in, world.loaded()) == (100, numbers())


@case
def a_history_is_kept(world: World) -> None:
    write_df(world.numbers(), world.conn, "public.numbers", "scd2", keys="id")
    changed = world.spark.range(0, 100, 1, 3).selectExpr("id", "CONCAT(IF(id < 7, 'm', 'n'), id) AS name")
    report = write_df(changed, world.conn, "public.numbers", "scd2", keys="id")
    assert (report.rows_inserted, report.rows_closed_out, report.rows_unchanged) == (7, 7, 93)


@case
def a_dataframe_without_rows_loads_none(world: World) -> None:
    write_df(world.numbers(), world.conn, "public.numbers", "append")
    for empty in (world.numbers(0), world.numbers().where("id < 0")):
        assert write_df(empty, world.conn, "public.numbers", "append").rows_in == 0
    assert world.loaded() == numbers()


@case
def values_come_as_they_are(world: World) -> None:
    at = dt.datetime(2026, 3, 1, 12, 30, 15, 123456)
    value = {
        "id": 1,
        "small": 2,
        "price": Decimal("12345678901234567890.12"),
        "ratio": 0.1,
        "is_new": True,
        "day": dt.date(1969, 7, 20),
        "at": at.replace(tzinfo=dt.timezone.utc),
        "local": at,
        "raw": bytearray(b"\\x00\xff"),
        "tags": ["a", None, "ü"],
        "note": None,
        "took": dt.timedelta(days=1, microseconds=5),
    }
    schema = (
        "id long, small short, price decimal(38,2), ratio double, is_new boolean, day date, at timestamp,"
        " local timestamp_ntz, raw binary, tags array<string>, note string, took interval day to second"
    )
    write_df(world.spark.createDataFrame([value], schema), world.conn, "public.every", "append")
    [row] = world.conn.query(f"SELECT {', '.join(value)} FROM public.every")
    assert row == {**value, "raw": bytes(value["raw"])}
    types = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'public.every'::regclass AND attnum > 0 ORDER BY attnum"
    assert world.database.rows(types)[: len(value)] == [
        ("id", "bigint"),
        ("small", "smallint"),
        ("price", "numeric(38,2)"),
        ("ratio", "double precision"),
        ("is_new", "boolean"),
        ("day", "date"),
        ("at", "timestamp with time zone"),
        ("local", "timestamp without time zone"),
        ("raw", "bytea"),
        ("tags", "text[]"),
        ("note", "text"),
        ("took", "interval"),
    ]


@case
def a_struct_or_a_map_is_refused_with_its_column(world: World) -> None:
    kinds = {"named_struct('city', 'Linz')": "struct<city:string>", "map('a', id)": "map<string,bigint>"}
    for expression, kind in kinds.items():
        with pytest.raises(SpecError) as refused:
            write_df(world.spark.range(3).selectExpr("id", f"{expression} AS place"), world.conn, "public.places")
        assert refused.value.code == "invalid_value"
        assert refused.value.message == (
            f"write_df: the column `place` is of the type {kind}, which no type of Postgres holds"
        )


@case
def a_value_that_does_not_fit_is_told_with_its_column_and_not_tried_again(world: World) -> None:
    world.database.execute("CREATE TABLE public.numbers (id smallint, name text)")
    large = world.spark.range(0, 40000, 1, 2).selectExpr("id", "'x' AS name")
    with pytest.raises(TargetError) as refused, answering(spark_tasks.goes_on, world):
        write_df(large, world.conn, "public.numbers", "append")
    error = refused.value
    assert (error.code, error.context["column"], error.context["partition"]) == ("cast_failed", "id", 1)
    assert world.database.rows(NOTED, ("committed",)) == [(0, 0), (1, 0)]
    assert (world.loaded(), world.database.rows(TABLES)) == ([], [])


@case
def executors_look_up_where_a_name_leads(world: World) -> None:
    environment = world.spark.sparkContext.environment
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMATIX_FLOW_DSN_NUMBERS", world.database.dsn)
        with pytest.raises(SpecError, match="EMATIX_FLOW_DSN_NUMBERS") as unknown:
            write_df(world.numbers(), "numbers", "public.numbers", "append")
        assert unknown.value.code == "unknown_connection"
        patch.setitem(environment, "EMATIX_FLOW_DSN_NUMBERS", world.database.dsn)
        write_df(world.numbers(), "numbers", "public.numbers", "append")
    assert world.loaded() == numbers()


@case
def each_task_reads_a_part_of_a_query(world: World) -> None:
    world.database.execute(
        "CREATE TABLE app_orders AS SELECT n AS id, NULLIF(n % 50, 0) AS day, 'n' || n AS name FROM generate_series(1, 1000) AS n"
    )
    read = read_df(world.spark, world.conn, "public.app_orders", partition_on="day", partitions=4)
    assert read.rdd.glom().map(len).collect() == [240, 240, 240, 280]
    assert [tuple(row) for row in read.orderBy("id").collect()] == world.database.rows(
        "SELECT * FROM app_orders ORDER BY id"
    )
    query = "SELECT id FROM app_orders WHERE id > :low ORDER BY id"
    some = read_df(world.spark, world.conn, query, params={"low": 990})
    assert (some.rdd.getNumPartitions(), [row.id for row in some.collect()]) == (1, list(range(991, 1001)))
    none = read_df(world.spark, world.conn, f"{query} -- none", params={"low": 5000}, partition_on="id")
    assert none.collect() == []


@case
def what_was_read_can_be_written(world: World) -> None:
    world.database.execute("CREATE TYPE mood AS ENUM ('low', 'high')")
    world.database.execute(
        "CREATE TABLE every AS SELECT 1 AS id, 1.50::numeric(10,2) AS price, DATE '1969-07-20' AS day,"
        " TIMESTAMPTZ '2026-03-01 12:30:15.123456+00' AS at, TIMESTAMP '2026-03-01 12:30:15.123456' AS local,"
        " '\\x00ff'::bytea AS raw, ARRAY['a', NULL] AS tags, true AS is_new, 0.1::float8 AS ratio,"
        " 'high'::mood AS mood, TIME '12:30:15.5' AS clock, INTERVAL '1 day 5 minutes' AS took,"
        " '{\"a\": 1}'::jsonb AS document, '01890000-0000-7000-8000-000000000001'::uuid AS number"
    )
    world.database.execute("CREATE TABLE again (LIKE every)")
    read = read_df(world.spark, world.conn, "every")
    write_df(read.selectExpr("* EXCEPT (document, number)"), world.conn, "public.again", "append")
    columns = "id, price, day, at, local, raw, tags, is_new, ratio, mood, clock, took"
    assert world.conn.query(f"SELECT {columns} FROM again") == world.conn.query(f"SELECT {columns} FROM every")
    assert read.select("document", "number").first() == ('{"a": 1}', "01890000-0000-7000-8000-000000000001")


@case
def parts_without_a_column_are_refused(world: World) -> None:
    world.database.execute("CREATE TABLE t AS SELECT 1 AS id, 'a' AS name")
    with pytest.raises(SpecError, match="partitions without partition_on"):
        read_df(world.spark, world.conn, "t", partitions=4)
    with pytest.raises(SpecError, match="there is no middle between two values of text"):
        read_df(world.spark, world.conn, "t", partition_on="name", partitions=4)


def test_a_column_that_spark_has_no_type_for_is_refused_by_name() -> None:
    columns = pyarrow.schema([("id", pyarrow.int64()), ("took", pyarrow.month_day_nano_interval())])
    with pytest.raises(SpecError) as refused:
        _spark_schema(columns)
    assert (refused.value.message, refused.value.hint) == (
        "read_df: the column `took` comes as month_day_nano_interval, for which Spark has no type",
        "cast it in the query: took::text AS took",
    )


def test_without_spark_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(SpecError) as refused:
        write_df(None, "warehouse", "public.numbers")
    assert (refused.value.code, refused.value.hint) == ("import_failed", 'pip install "ematix-flow[spark]"')


def test_what_is_no_dataframe_of_spark_is_refused() -> None:
    with pytest.raises(SpecError, match="write_df: a list is no DataFrame of Spark"):
        write_df([], "warehouse", "public.numbers")
