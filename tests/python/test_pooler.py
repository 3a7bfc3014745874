"""Behind PgBouncer in transaction mode: every statement may reach another session, and sessions are few."""

from __future__ import annotations

import time

import pytest
from customers import (
    NO_VIOLATIONS,
    SOURCE,
    current,
    left_behind,
    project,
    source,
    statuses,
    violations,
    wait_for_statement,
)
from database import Database
from flow_binary import Flow
from pooler import POOL_SIZE, Pooler


@pytest.fixture
def flow_there(flow: Flow, pooler: Pooler) -> Flow:
    flow.variables["EMATIX_FLOW_DSN"] = pooler.dsn
    return flow


def test_six_processes_on_a_pool_of_four_take_turns(database: Database, flow_there: Flow, pooler: Pooler) -> None:
    database.execute(SOURCE)
    config = flow_there.project(project(handle_deletes="soft"))
    for _ in range(8):
        began = time.monotonic()
        racing = [flow_there.start("run", "customers", config=config) for _ in range(6)]
        assert [each.finish(None).code for each in racing] == [0] * 6
        assert time.monotonic() - began < 10
        database.execute("UPDATE app.customers SET revision = revision + 1 WHERE customer_id % 2 = 0")
    flow_there("run", "customers", config=config)
    assert set(statuses(database)) == {"success"}
    assert current(database) == source(database)
    assert violations(database) == NO_VIOLATIONS
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert database.value(sessions) <= POOL_SIZE
    assert left_behind(database)["locks"] == []


def test_types_that_the_driver_does_not_know_leave_no_named_statement(
    database: Database, flow_there: Flow, pooler: Pooler
) -> None:
    database.execute(f"""
        {SOURCE}
        CREATE TYPE app.mood AS ENUM ('glad', 'sad');
        CREATE TYPE app.point3 AS (x int, y int, z int);
        ALTER TABLE app.customers ADD mood app.mood DEFAULT 'glad', ADD moods app.mood[], ADD at3 app.point3;
    """)
    text = project("merge").replace(
        'revision = "bigint"', 'revision = "bigint", mood = "app.mood?", moods = "app.mood[]?", at3 = "app.point3?"'
    )
    config = flow_there.project(text)
    for _ in range(5):
        racing = [flow_there.start("run", "customers", config=config) for _ in range(6)]
        assert [each.finish(None).code for each in racing] == [0] * 6
        for command in ("plan", "dry-run"):
            flow_there(command, "customers", config=config)
    assert "already exists" not in pooler.log()


def test_six_processes_over_two_connections_of_one_pool_take_turns(
    database: Database, flow_there: Flow, pooler: Pooler
) -> None:
    database.execute(SOURCE)
    text = project().replace('{ table = "app.customers" }', '{ connection = "crm", table = "app.customers" }')
    text += 'target_connection = "warehouse"\n'
    text += "".join(f'[connections.{name}]\ndsn = "{pooler.dsn}"\n' for name in ("crm", "warehouse"))
    config = flow_there.project(text)
    for _ in range(4):
        racing = [flow_there.start("run", "customers", config=config) for _ in range(6)]
        assert [each.finish(None).code for each in racing] == [0] * 6
    assert current(database) == source(database)


@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
def test_every_strategy_runs_behind_a_pooler(database: Database, flow_there: Flow, mode: str) -> None:
    database.execute(SOURCE)
    options = {"incremental_column": "revision"} if mode != "truncate" else {}
    config = flow_there.project(project(mode, **options))
    for _ in range(3):
        report = flow_there("run", "customers", "--output", "json", config=config).json()
        assert (report["status"], report["rows_in"]) == ("success", 10)


def test_ctrl_c_reaches_the_server_behind_a_pooler(database: Database, flow_there: Flow, pooler: Pooler) -> None:
    database.execute(SOURCE)
    query = "SELECT customer_id, name, revision FROM app.customers, pg_sleep(600)"
    config = flow_there.project(project("truncate", query=query))
    for _ in range(20):
        running = flow_there.start("run", "customers", config=config)
        sleeping = wait_for_statement(database, "pg_sleep", "wait_event = 'PgSleep'")
        began = time.monotonic()
        running.interrupt()
        running.finish(130)
        assert time.monotonic() - began < 2
        gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        assert database.value(gone, [sleeping]) == 0
    # PgBouncer 1.18 dies of a client that goes before its request was passed on.
    assert "FATAL" not in pooler.log()


def test_a_command_that_uses_its_sessions_again_takes_turns_with_others(database: Database, flow_there: Flow) -> None:
    many = "".join(
        f"[pipelines.p{n}]\nsource = {{ query = \"SELECT 'p{n}' AS name, {n} AS n\" }}\n"
        f'target = "public.to_{n % 2}_{n // 2}"\nmode = "{("append", "scd2")[n % 2]}"\n'
        + ('keys = "name"\n' if n % 2 else "")
        for n in range(10)
    )
    config = flow_there.project(many)
    beside = [flow_there.start("run", "--all", "--output", "ndjson", config=config) for _ in range(2)]
    assert [each.finish(None).code for each in beside] == [0, 0]
    for n in range(10):
        assert database.value(f"SELECT count(*) FROM public.to_{n % 2}_{n // 2}") == (1 if n % 2 else 2)
