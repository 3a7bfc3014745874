"""How long runs are remembered: what is old goes after a run, and what a run, a rewind or a look goes by stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from customers import SOURCE, statuses
from database import Database
from duckdb_file import DuckDbFile
from flow_binary import Flow
from warm_package import warm_package

PROJECT = """
[defaults]
history_keep = "90d"

[pipelines.sales]
source = { table = "app.sales" }
target = "dw.sales"
mode = "append"
incremental_column = "id"
"""


@pytest.fixture
def sales(database: Database) -> Database:
    database.execute("CREATE SCHEMA app; CREATE SCHEMA dw; CREATE TABLE app.sales (id bigint)")
    return database


def sell(database: Database) -> None:
    database.execute("INSERT INTO app.sales SELECT COALESCE(max(id), 0) + 1 FROM app.sales")


def age(database: Database, days: int, which: str = "true") -> None:
    """What is remembered of runs lies so many days further back."""
    database.execute(
        f"UPDATE ematix_flow.run_history SET started_at = started_at - interval '{days} d',"
        f" ended_at = ended_at - interval '{days} d', committed_at = committed_at - interval '{days} d' WHERE {which}"
    )


def numbers(database: Database) -> list[int]:
    return [number for (number,) in database.rows("SELECT run_number FROM ematix_flow.run_history ORDER BY run_number")]


def steps_without_a_run(database: Database) -> int:
    return database.value(
        "SELECT count(*) FROM ematix_flow.run_steps WHERE run_id NOT IN (SELECT run_id FROM ematix_flow.run_history)"
    )


def test_old_runs_are_forgotten_with_their_steps_and_nothing_is_loaded_twice(sales: Database, flow: Flow) -> None:
    flow.project(PROJECT)
    for _ in range(5):
        sell(sales)
        flow("run", "sales")
    age(sales, 100, "run_number <= 3")
    sell(sales)
    flow("run", "sales")
    # The first one has declared the table.
    assert numbers(sales) == [1, 4, 5, 6]
    assert steps_without_a_run(sales) == 0
    sell(sales)
    report = flow("run", "sales", "--output", "json").json()
    assert report["rows_inserted"] == 1
    assert sales.rows("SELECT id FROM dw.sales ORDER BY 1") == [(n,) for n in range(1, 8)]


def test_without_history_keep_all_is_remembered(sales: Database, flow: Flow) -> None:
    flow.project(PROJECT.replace('history_keep = "90d"', ""))
    for _ in range(3):
        flow("run", "sales")
    age(sales, 1000)
    flow("run", "sales")
    assert numbers(sales) == [1, 2, 3, 4]


def test_the_last_success_stays_however_old_and_failures_go(sales: Database, flow: Flow) -> None:
    flow.project(PROJECT)
    for _ in range(3):
        flow("run", "sales")
    broken = PROJECT.replace('{ table = "app.sales" }', '{ query = "SELECT id / 0 AS id FROM app.sales" }')
    sell(sales)
    flow.project(broken)
    for _ in range(3):
        flow("run", "sales", expect=1)
    age(sales, 100)
    flow("run", "sales", expect=1)
    assert statuses(sales) == ["success", "success", "failed"]
    assert [number for number in numbers(sales) if number] == [1, 3]
    (status,) = flow("status", "--output", "json").json()["pipelines"]
    assert status["last_success"] is not None


def test_many_go_over_several_runs(sales: Database, flow: Flow) -> None:
    flow.project(PROJECT)
    flow("run", "sales")
    sales.execute(
        "INSERT INTO ematix_flow.run_history (run_id, pipeline_name, started_at, status, target)"
        " SELECT gen_random_uuid(), 'sales', now() - interval '100 d', 'skipped', 'dw.sales'"
        " FROM generate_series(1, 3000)"
    )
    flow("run", "sales")
    assert sales.value("SELECT count(*) FROM ematix_flow.run_history WHERE status = 'skipped'") == 1000
    flow("run", "sales")
    assert statuses(sales) == ["success"] * 3


def test_what_cannot_be_forgotten_fails_no_run(sales: Database, flow: Flow) -> None:
    flow.project(PROJECT)
    flow("run", "sales")
    flow("run", "sales")
    flow("run", "sales")
    age(sales, 100)
    sales.execute("""
        CREATE FUNCTION app.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE TRIGGER no BEFORE DELETE ON ematix_flow.run_steps FOR EACH ROW EXECUTE FUNCTION app.no();
    """)
    flow("run", "sales")
    assert numbers(sales) == [1, 2, 3, 4]
    assert steps_without_a_run(sales) == 0


def test_slots_before_the_last_success_are_forgotten(sales: Database, flow: Flow) -> None:
    flow.project(PROJECT + 'every = "1h"\nfirst_run = "now"\n')
    flow("run-due")
    sales.execute("""
        INSERT INTO ematix_flow.slots (pipeline, slot, status)
        SELECT 'sales', now() - n * interval '100 d', status
          FROM unnest(ARRAY['success', 'skipped', 'failed', 'due']) WITH ORDINALITY AS s(status, n);
    """)
    flow("run", "sales")
    assert sales.rows("SELECT status FROM ematix_flow.slots ORDER BY slot") == [("due",), ("success",)]


def test_a_history_shorter_than_an_hour_is_refused(flow: Flow) -> None:
    flow.project(PROJECT.replace("90d", "5m"))
    assert 'history_keep = "5m" is shorter than an hour' in flow("validate", expect=2).stderr


def test_doctor_says_how_much_is_remembered(sales: Database, flow: Flow) -> None:
    flow.project(PROJECT.replace('history_keep = "90d"', ""))
    flow("run", "sales")
    flow("run", "sales")
    day = sales.value("SELECT (min(started_at) AT TIME ZONE 'UTC')::date::text FROM ematix_flow.run_history")
    assert f"2 runs since {day}" in flow("doctor").stdout
    sales.execute(
        "INSERT INTO ematix_flow.run_history (run_id, pipeline_name, started_at, status, target)"
        " SELECT gen_random_uuid(), 'sales', now(), 'skipped', 'dw.sales' FROM generate_series(1, 100000)"
    )
    warned = flow("doctor").stdout
    assert f"100002 runs since {day}, and none is ever forgotten" in warned
    assert "history_keep" in warned
    flow.project(PROJECT)
    assert "none is ever forgotten" not in flow("doctor").stdout


# --- rewind -----------------------------------------------------------------------------------------------------------

TWO = """
[pipelines.p]
source = { table = "app.customers" }
target = "dw.t"
mode = "scd2"
keys = "customer_id"
history_keep = "90d"

[pipelines.q]
source = { table = "app.customers" }
target = "dw.t"
mode = "scd2"
keys = "customer_id"
"""


def turn(database: Database, flow: Flow, name: str) -> None:
    database.execute("UPDATE app.customers SET revision = revision + 1")
    flow("run", name)


def test_a_rewind_goes_back_to_what_is_remembered_and_says_so_before_that(database: Database, flow: Flow) -> None:
    database.execute(SOURCE + "CREATE SCHEMA dw")
    flow.project(TWO)
    for _ in range(6):
        turn(database, flow, "p")
    age(database, 100, "run_number <= 4")
    turn(database, flow, "p")
    assert numbers(database) == [1, 5, 6, 7]
    refused = flow("rewind", "p", "--to", "1", "--yes", expect=4).stderr
    assert "the history has forgotten 3 runs since" in refused
    assert "history_keep" in refused
    flow("rewind", "p", "--to", "5", "--yes")
    assert database.rows("SELECT DISTINCT revision FROM dw.t WHERE is_current") == [(5,)]


def test_a_gap_that_another_pipeline_leaves_is_found(database: Database, flow: Flow) -> None:
    """Of one table, the runs of one pipeline are forgotten sooner than those of another."""
    database.execute(SOURCE + "CREATE SCHEMA dw")
    flow.project(TWO)
    for name in ("q", "p", "p", "q", "p"):
        turn(database, flow, name)
    age(database, 100, "run_number <= 3")
    turn(database, flow, "p")
    assert numbers(database) == [1, 4, 5, 6]
    assert "has forgotten 2 runs since" in flow("rewind", "q", "--to", "1", "--yes", expect=4).stderr
    flow("rewind", "q", "--to", "4", "--yes")


# --- DuckDB -----------------------------------------------------------------------------------------------------------


def test_runs_in_a_file_of_duckdb_are_forgotten(tmp_path: Path) -> None:
    file = DuckDbFile(tmp_path / "warehouse.duckdb")
    file.execute(
        "CREATE SCHEMA app; CREATE SCHEMA dw; CREATE TABLE app.sales (id bigint); INSERT INTO app.sales VALUES (1)"
    )
    project = PROJECT.replace("[pipelines.sales]", '[connections.default]\ndsn = "${env:PLACE}"\n\n[pipelines.sales]')
    with warm_package(tmp_path, PLACE=file.dsn) as flow:
        flow.project(project)
        for _ in range(4):
            flow("run", "sales")
        file.execute(
            "UPDATE ematix_flow.run_history SET started_at = started_at - INTERVAL '100 days' WHERE run_number <= 3"
        )
        flow("run", "sales")
    assert file.rows("SELECT run_number FROM ematix_flow.run_history ORDER BY 1") == [(1,), (4,), (5,)]
    assert file.rows(
        "SELECT count(*) FROM ematix_flow.run_steps WHERE run_id NOT IN (SELECT run_id FROM ematix_flow.run_history)"
    ) == [(0,)]


# --- growth -----------------------------------------------------------------------------------------------------------

TABLES = ("run_history", "run_steps", "slots", "targets", "watermarks", "schema_history", "append_seen")


def size(database: Database) -> int:
    """Of all metadata, after what a server does by itself."""
    for table in TABLES:
        database.execute(f"VACUUM ematix_flow.{table}")
    sizes = ", ".join(f"pg_total_relation_size('ematix_flow.{table}')" for table in TABLES)
    [sizes_found] = database.rows(f"SELECT {sizes}")
    return sum(sizes_found)


def grow(database: Database, flow: Flow, pipelines: int, days: int) -> None:
    """Every day each pipeline runs once, and four days are kept: from the eighth on nothing grows."""
    database.execute(SOURCE + "CREATE SCHEMA dw")
    modes = {
        "merge": 'keys = "customer_id"',
        "scd2": 'keys = "customer_id"',
        "truncate": "",
        "append": 'incremental_column = "revision"',
    }
    flow.project(
        '[defaults]\nhistory_keep = "4d"\n'
        + "".join(
            f'[pipelines.p{n}]\nsource = {{ table = "app.customers" }}\ntarget = "dw.t{n}"\nmode = "{mode}"\n{keys}\n'
            for n, (mode, keys) in enumerate(list(modes.items()) * (pipelines // 4))
        )
    )
    sizes = []
    for _ in range(days):
        database.execute("UPDATE app.customers SET revision = revision + 1")
        flow("run", *(f"p{n}" for n in range(pipelines)), "-q")
        sizes.append(size(database))
        age(database, 1)
    assert database.value("SELECT count(*) FROM ematix_flow.run_history") <= pipelines * 7
    assert steps_without_a_run(database) == 0
    settled = max(sizes[:8])
    assert max(sizes[8:]) < 1.25 * settled, sizes


def test_metadata_grow_no_more_once_the_first_runs_are_old(database: Database, flow: Flow) -> None:
    grow(database, flow, 4, 16)


@pytest.mark.slow
def test_a_thousand_runs_leave_metadata_as_large_as_a_few_hundred(database: Database, flow: Flow) -> None:
    grow(database, flow, 20, 50)
