"""Behind PgBouncer in transaction mode: every statement may reach another session, and sessions are few."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import server
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
    wait_until,
)
from database import Database
from flow_binary import Flow

POOL_SIZE = 4
CONFIGURATION = """
[databases]
* = host={host} port={server_port} user=postgres
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
query_wait_timeout = 20
logfile = {directory}/log
"""


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer in front of the test's server."""

    directory: Path
    port: int
    database: Database

    @property
    def dsn(self) -> str:
        place = {"host": str(self.directory), "port": str(self.port), "dbname": self.database.name}
        return server.url({**place, "user": "postgres"})

    def log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture
def pooler(database: Database) -> Iterator[Pooler]:
    binary = shutil.which("pgbouncer", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if binary is None:
        pytest.fail("pgbouncer is not installed: apt-get install pgbouncer")
    account = server.server_account()
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    directory = server.new_directory()
    port = server.free_port()
    place = {"host": database.parameters["host"], "server_port": database.parameters["port"]}
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(**place, port=port, directory=directory, pool_size=POOL_SIZE), encoding="utf-8"
    )
    if account:
        os.chown(directory, account.uid, account.gid)
        os.chown(configuration, account.uid, account.gid)
    process = subprocess.Popen(
        [binary, "-q", configuration],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **identity,
    )
    try:
        wait_until((directory / f".s.PGSQL.{port}").exists, "pgbouncer listens")
        yield Pooler(directory, port, database)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


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
