"""Partitions: tasks fill one table, each attempt under a number of its own, and one load takes each partition once."""

from __future__ import annotations

import itertools
import pickle
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from multiprocessing import get_context
from typing import Annotated, Any

import pyarrow as pa
import pytest
from database import Database

from ematix_flow import BigInt, Connection, DriftError, SpecError, TargetError, Text, connect, ematix, pk
from ematix_flow.df import write_partitions
from ematix_flow.run.partitions import Numbered, Place, Receipt, Stage

TABLES = "SELECT relname FROM pg_class WHERE starts_with(relname, '_ematix_partitions_') AND relkind = 'r'"


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with connect(dsn=database.dsn) as conn:
        yield conn


def customers(first: int, count: int, plan: str = "free") -> pa.Table:
    ids = range(first, first + count)
    return pa.table({"id": pa.array(ids, pa.int64()), "plan": [plan] * count})


def parts() -> list[pa.Table]:
    return [customers(1, 3), customers(4, 0), customers(4, 2, "team")]


LOADED = [(1, "free"), (2, "free"), (3, "free"), (4, "team"), (5, "team")]


def rows(database: Database, table: str = "public.customers") -> list[tuple[Any, ...]]:
    return database.rows(f"SELECT id, plan FROM {table} ORDER BY id")


def test_partitions_are_loaded_by_one_run_and_nothing_stays_of_them(conn: Connection, database: Database) -> None:
    report = write_partitions(conn, parts(), "public.customers", "merge", keys="id")
    assert (report.status, report.rows_in, report.rows_inserted, report.path) == ("success", 5, 5, "same_db")
    again = write_partitions(conn, parts(), "public.customers", "merge", keys="id")
    assert (again.rows_in, again.rows_unchanged, again.rows_inserted) == (5, 5, 0)
    assert rows(database) == LOADED
    assert database.rows(TABLES) == []
    assert database.rows("SELECT status, rows_in FROM ematix_flow.run_history ORDER BY started_at") == [
        ("success", 5),
        ("success", 5),
    ]


def test_a_history_is_kept_of_partitions(conn: Connection, database: Database) -> None:
    write_partitions(conn, parts(), "public.customers", "scd2", keys="id")
    changed = [customers(1, 3), customers(4, 2, "free")]
    report = write_partitions(conn, changed, "public.customers", "scd2", keys="id")
    assert (report.rows_inserted, report.rows_closed_out, report.rows_unchanged) == (2, 2, 3)
    current = "SELECT id, plan FROM public.customers WHERE is_current ORDER BY id"
    assert database.rows(current) == [(number, "free") for number in range(1, 6)]


def test_functions_are_called_where_they_are_mapped(conn: Connection, database: Database) -> None:
    with ThreadPoolExecutor(3) as threads:
        functions = [partial(customers, 1, 3), partial(customers, 4, 2, "team")]
        report = write_partitions(conn, functions, "public.customers", "append", map=threads.map)
    assert (report.rows_inserted, rows(database)) == (5, LOADED)


def test_other_processes_write_partitions(conn: Connection, database: Database) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        report = write_partitions(conn, parts(), "public.customers", "append", map=processes.map)
    assert (report.rows_inserted, rows(database)) == (5, LOADED)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_dask_writes_partitions(conn: Connection, database: Database) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        report = write_partitions(
            conn,
            parts(),
            "public.customers",
            "merge",
            keys="id",
            map=lambda f, xs: client.gather(client.map(f, xs)),
        )
    assert (report.rows_inserted, rows(database)) == (5, LOADED)


# --- attempts -----------------------------------------------------------------------------------------------------


def twice(function: Callable[[Any], Receipt], things: Iterable[Any]) -> list[Receipt]:
    return [function(thing) for thing in things for _ in range(2)]


def test_a_partition_that_is_written_twice_counts_once(conn: Connection, database: Database) -> None:
    report = write_partitions(conn, parts(), "public.customers", "append", map=twice)
    assert (report.rows_in, rows(database)) == (5, LOADED)


def test_an_attempt_that_died_after_its_commit_counts_for_nothing(conn: Connection, database: Database) -> None:
    def dies_once(function: Callable[[Any], Receipt], things: Iterable[Any]) -> list[Receipt]:
        things = list(things)
        # Its rows are there, and nobody heard of it.
        function(things[0])
        return [function(thing) for thing in things]

    report = write_partitions(conn, parts(), "public.customers", "append", map=dies_once)
    assert (report.rows_in, rows(database)) == (5, LOADED)


def test_an_attempt_that_comes_after_the_load_changes_nothing(conn: Connection, database: Database) -> None:
    late: list[Callable[[], Receipt]] = []

    def mapping(function: Callable[[Any], Receipt], things: Iterable[Any]) -> list[Receipt]:
        things = list(things)
        late.append(partial(function, things[0]))
        return [function(thing) for thing in things]

    write_partitions(conn, parts(), "public.customers", "append", map=mapping)
    receipt = late[0]()
    with pytest.raises(TargetError) as gone:
        receipt.check()
    assert gone.value.message == "the load that the partition belongs to has ended"
    assert rows(database) == LOADED


def test_an_attempt_in_the_middle_of_its_rows_does_not_hold_up_the_load(conn: Connection, database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[pa.Table]:
        yield customers(1, 3)
        begun.set()
        go_on.wait(60)

    late: list[threading.Thread] = []

    def mapping(function: Callable[[Any], Receipt], things: Iterable[Any]) -> list[Receipt]:
        late.append(threading.Thread(target=function, args=((0, slow),)))
        late[0].start()
        assert begun.wait(30)
        return [function(thing) for thing in things]

    began = time.monotonic()
    report = write_partitions(conn, parts(), "public.customers", "append", map=mapping)
    assert (report.rows_in, rows(database)) == (5, LOADED)
    assert time.monotonic() - began < 30
    # It waited for what it could not drop; the next write drops it.
    assert len(database.rows(TABLES)) == 1
    go_on.set()
    late[0].join()
    write_partitions(conn, parts(), "public.customers", "truncate")
    assert (database.rows(TABLES), rows(database)) == ([], LOADED)


def test_tables_that_dead_writers_left_are_dropped_and_others_are_not(conn: Connection, database: Database) -> None:
    stages = [Stage.open(conn, [("id", "bigint")]) for _ in range(2)]
    old, young = (stage.table for stage in stages)
    database.execute(f"COMMENT ON TABLE ematix_flow.{old} IS '2026-01-01 00:00:00+00'")
    write_partitions(conn, parts(), "public.customers", "append")
    assert database.rows(TABLES) == [(young,)]


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_partition_without_an_answer_is_refused(conn: Connection, database: Database) -> None:
    def loses_one(function: Callable[[Any], Receipt], things: Iterable[Any]) -> list[Receipt]:
        return [function(thing) for thing in itertools.islice(things, 2)]

    with pytest.raises(SpecError, match="map gave no answer of partition 2") as refused:
        write_partitions(conn, parts(), "public.customers", "append", map=loses_one)
    assert refused.value.code == "invalid_value"
    assert (database.value("SELECT to_regclass('public.customers')"), database.rows(TABLES)) == (None, [])


def test_what_is_no_answer_is_refused(conn: Connection) -> None:
    with pytest.raises(SpecError, match="map gave a str, and no answer of a partition"):
        write_partitions(conn, parts(), "public.customers", "append", map=lambda function, things: ["done"])


def test_an_error_names_partition_row_and_column(conn: Connection, database: Database) -> None:
    database.execute("CREATE TABLE public.customers (id integer, plan text)")
    wrong = [customers(1, 3), customers(2**31 - 1, 2)]
    with pytest.raises(TargetError) as refused:
        write_partitions(conn, wrong, "public.customers", "append")
    error = refused.value
    assert (error.code, error.context["row"], error.context["column"], error.context["partition"]) == (
        "cast_failed",
        2,
        "id",
        1,
    )
    assert (rows(database), database.rows(TABLES)) == ([], [])


def test_a_value_that_the_server_refuses_is_told_with_its_column(conn: Connection, database: Database) -> None:
    database.execute("CREATE TABLE public.customers (id bigint, plan varchar(4))")
    wrong = [customers(1, 3), customers(4, 2, "enterprise")]
    calls: list[object] = []

    def counted(function: Callable[[Any], Receipt], things: Iterable[Any]) -> Iterator[Receipt]:
        for thing in things:
            calls.append(thing)
            yield function(thing)

    with pytest.raises(TargetError) as refused:
        write_partitions(conn, wrong, "public.customers", "append", map=counted)
    assert (refused.value.sqlstate, refused.value.context["partition"], len(calls)) == ("22001", 1, 2)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"id": [4]}, "it has no column `plan`"),
        ({"id": [4], "plan": ["team"], "n": [1]}, "it has a column `n`, which the others do not have"),
    ],
)
def test_partitions_of_other_columns_are_refused(conn: Connection, second: dict[str, Any], why: str) -> None:
    with pytest.raises(SpecError) as refused:
        write_partitions(conn, [customers(1, 3), pa.table(second)], "public.customers", "append")
    assert refused.value.message == f"partition 1, a Table of pyarrow do not go with the other partitions: {why}"


def test_columns_may_come_in_any_order(conn: Connection, database: Database) -> None:
    turned = pa.table({"plan": ["team", "team"], "id": pa.array([4, 5], pa.int64())})
    write_partitions(conn, [customers(1, 3), turned], "public.customers", "append")
    assert rows(database) == LOADED


def test_a_type_that_no_column_holds_is_refused_before_a_task_runs(conn: Connection) -> None:
    def never(function: Callable[[Any], Receipt], things: Iterable[Any]) -> list[Receipt]:
        raise AssertionError("a task ran")

    frame = pa.table({"id": [1], "address": pa.array([{"city": "Linz"}])})
    with pytest.raises(SpecError, match="the column `address` of a Table of pyarrow is of the type Struct"):
        write_partitions(conn, [frame], "public.customers", "append", map=never)


def test_drift_is_refused_before_a_task_runs(conn: Connection, database: Database) -> None:
    def never(function: Callable[[Any], Receipt], things: Iterable[Any]) -> list[Receipt]:
        raise AssertionError("a task ran")

    @ematix.table(schema="public", name="customers")
    class Customers:
        id: Annotated[BigInt, pk()]
        plan: Text

    database.execute("CREATE TABLE public.customers (id bigint PRIMARY KEY, plan varchar(4))")
    with pytest.raises(DriftError):
        write_partitions(conn, parts(), "public.customers", "merge", target=Customers, map=never)


def test_no_partition_needs_a_schema(conn: Connection, database: Database) -> None:
    with pytest.raises(SpecError, match="there is no partition"):
        write_partitions(conn, [], "public.customers", "append")
    schema = customers(1, 0).schema
    assert write_partitions(conn, [], "public.customers", "append", schema=schema).rows_in == 0
    assert rows(database) == []


def test_what_can_be_read_once_needs_a_schema(conn: Connection, database: Database) -> None:
    with pytest.raises(SpecError, match="the columns are not known"):
        write_partitions(conn, [iter(parts())], "public.customers", "append")
    schema = customers(1, 0).schema
    report = write_partitions(conn, [iter(parts()), iter([])], "public.customers", "append", schema=schema)
    assert (report.rows_in, rows(database)) == (5, LOADED)


def test_a_dry_run_loads_nothing(conn: Connection, database: Database) -> None:
    report = write_partitions(conn, parts(), "public.customers", "append", dry_run=True)
    assert (report.rows_inserted, report.committed) == (5, False)
    assert (database.value("SELECT to_regclass('public.customers')"), database.rows(TABLES)) == (None, [])


def test_the_types_of_the_target_hold(conn: Connection, database: Database) -> None:
    database.execute("CREATE TABLE public.prices (id integer PRIMARY KEY, price numeric(10,2), tags text[])")
    frame = pa.table({"id": [1], "price": pa.array([Decimal("1.50")], pa.decimal128(5, 2)), "tags": [["a", None]]})
    write_partitions(conn, [frame], "public.prices", "merge", keys="id")
    assert database.rows("SELECT id, price::text, tags FROM public.prices") == [(1, "1.50", ["a", None])]


# --- what travels -------------------------------------------------------------------------------------------------


def test_a_name_travels_as_a_name_and_a_dsn_with_its_password() -> None:
    named = pickle.dumps(Place.of(connect("warehouse")))
    assert pickle.loads(named).leads_to() == (None, "warehouse")
    dsn = "postgresql://me:secret@db/shop"
    task = Numbered(Stage(Place.of(connect(dsn=dsn)), "_ematix_partitions_1"))
    again = pickle.loads(pickle.dumps(task))
    assert again.stage.place.leads_to() == (dsn, None)
    assert repr(again.stage) == "<Stage _ematix_partitions_1 on <Place postgresql://me:****@db/shop>>"
