"""Databases that the first state with metadata has left: version 1 of them, migrated in one step, or not at all.

`tests/upgrade/version_1_*.sql` are dumps of what that program left after two days of `version_1.toml`: histories, a
ledger, slots, a refused run and, on Postgres, one whose process was killed. Nothing of them was written by the code of now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from customers import wait_until
from database import Database
from duckdb_file import DuckDbFile
from flow_binary import Flow
from project import adds_up, counts
from python_package import Interpreter
from warm_package import Begun, WarmPackage, warm_package
from wire import After, Fault, wire

UPGRADE = Path(__file__).parent.parent / "upgrade"
PROJECT = (UPGRADE / "version_1.toml").read_text(encoding="utf-8")
FIRST, NOW = 1, 5

# The third day, which the program of now loads.
CHANGES = """
UPDATE app.customers SET city = 'Arlington' WHERE id = 2;
INSERT INTO app.customers VALUES (4, 'Barbara', 'Boston');
UPDATE app.orders SET amount = 21 WHERE id = 2;
INSERT INTO app.events VALUES (5, 'seen', '2026-01-01 11:15:00+00'), (6, 'late', '2026-01-01 10:10:00+00');
UPDATE app.prices SET price = 2.00 WHERE sku = 'pen'
"""
VERSIONS = "SELECT id, city, valid_to IS NULL, is_current FROM analytics.customers ORDER BY id, valid_from"
CONTENTS = {
    "customers": VERSIONS,
    "orders": "SELECT id, CAST(amount AS text), status, is_deleted FROM analytics.orders ORDER BY id",
    "events": "SELECT id, kind FROM analytics.events ORDER BY id",
    "prices": "SELECT sku, CAST(price AS text) FROM analytics.prices ORDER BY sku",
}
# By PRD and contract, from the three days alone.
LOADED = {
    "customers": [
        (1, "London", False, False),
        (1, "Cambridge", True, True),
        (2, "New York", False, False),
        (2, "Arlington", True, True),
        (3, None, True, True),
        (4, "Boston", False, False),
        (4, "Boston", True, True),
        (5, "Manchester", True, True),
    ],
    "orders": [(1, "10.00", "paid", False), (2, "21.00", "open", False), (3, None, "paid", True)],
    "events": [(1, "seen"), (2, "bought"), (3, "late"), (4, "bought"), (5, "seen"), (6, "late")],
    "prices": [("ink", "3.00"), ("pen", "2.00")],
}
COUNTS = {
    "customers": {"in": 5, "inserted": 2, "unchanged": 3, "closed_out": 1},
    "orders": {"in": 2, "updated": 1, "unchanged": 1},
    # What lookback reads again is known by the ledger of version 1.
    "events": {"in": 5, "inserted": 2, "skipped": 3},
    "prices": {"in": 2, "inserted": 2},
}

SHAPE = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = to_regnamespace('ematix_flow') AND c.relkind = 'r'
 ORDER BY c.relname, a.attnum
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'ematix_flow' ORDER BY 1"
SHAPE_OF_DUCKDB = """
SELECT table_name, column_name, data_type, is_nullable, column_default
  FROM duckdb_columns() WHERE schema_name = 'ematix_flow' AND NOT internal ORDER BY table_name, column_index
"""
INDEXES_OF_DUCKDB = """
SELECT table_name, CAST(constraint_column_names AS VARCHAR), constraint_type
  FROM duckdb_constraints() WHERE schema_name = 'ematix_flow' ORDER BY ALL
"""


@dataclass(frozen=True)
class World:
    """A database with metadata of version 1, and the program of now."""

    database: Database | DuckDbFile
    flow: Flow | WarmPackage

    def version(self) -> int:
        found: int = self.database.value("SELECT version FROM ematix_flow.metadata")
        return found

    def shape(self) -> list[Any]:
        if isinstance(self.database, DuckDbFile):
            return [self.database.rows(SHAPE_OF_DUCKDB), self.database.rows(INDEXES_OF_DUCKDB)]
        return [self.database.rows(SHAPE), self.database.rows(INDEXES)]

    def contents(self) -> list[Any]:
        """Every row of the metadata and of the targets."""
        tables = sorted(
            {f"ematix_flow.{name}" for name, *_ in self.shape()[0]} | {f"analytics.{name}" for name in CONTENTS}
        )
        return [(table, self.database.rows(f"SELECT * FROM {table} AS t ORDER BY CAST(t AS text)")) for table in tables]

    def run(self, *names: str) -> dict[str, Any]:
        lines = self.flow("run", *names, "--output", "ndjson").stdout.splitlines()
        reports = [json.loads(line) for line in lines]
        for report in reports:
            adds_up(report)
        return {report["pipeline"]: report for report in reports}

    def history(self, name: str) -> list[tuple[str, str | None]]:
        """Status and code of each run, the oldest first."""
        runs = self.flow("history", name, "--output", "json").json()["runs"]
        return [(run["status"], run["error_code"]) for run in reversed(runs)]


def restored(database: Database | DuckDbFile) -> None:
    name = "duckdb" if isinstance(database, DuckDbFile) else "postgres"
    database.execute((UPGRADE / f"version_1_{name}.sql").read_text(encoding="utf-8"))


@pytest.fixture(params=["postgres", "duckdb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "postgres":
        made = World(request.getfixturevalue("database"), request.getfixturevalue("flow"))
        made.flow.project(PROJECT)
        restored(made.database)
        yield made
        return
    file = DuckDbFile(tmp_path / "warehouse.duckdb")
    restored(file)
    with warm_package(tmp_path, EMATIX_FLOW_DSN=file.dsn) as package:
        package.project(PROJECT)
        yield World(file, package)


def test_metadata_of_version_1_are_read_and_not_written(world: World) -> None:
    before = world.contents()
    states = world.flow("status", "--output", "json", expect=None).json()["pipelines"]
    said = {state["name"]: state["last_run"] and state["last_run"]["status"] for state in states}
    done = dict.fromkeys(["customers", "orders", "events", "hourly"], "success")
    assert {**said, "prices": None} == {**done, "broken": "refused", "prices": None}
    assert world.history("customers") == [("success", None)] * 2
    assert world.history("broken") == [("refused", "duplicate_source_key")]
    assert world.contents() == before
    assert world.version() == FIRST


def test_runs_go_on_where_version_1_ended(world: World) -> None:
    world.database.execute(CHANGES)
    reports = world.run("customers", "orders", "events", "prices")
    assert {name: counts(report) for name, report in reports.items()} == COUNTS
    assert {name: world.database.rows(query) for name, query in CONTENTS.items()} == LOADED
    assert world.version() == NOW
    assert world.history("customers") == [("success", None)] * 3
    # What was read and has not changed is known by the hashes of version 1.
    assert {name: counts(report) for name, report in world.run("customers", "orders").items()} == {
        "customers": {"in": 5, "unchanged": 5},
        "orders": {"in": 2, "unchanged": 2},
    }
    # The slot that version 1 has served is not served again.
    served = "SELECT count(*) FROM ematix_flow.slots WHERE pipeline = 'hourly'"
    assert world.database.value(served) == 1
    world.flow("run-due")
    assert world.database.value("SELECT count(*) FROM ematix_flow.run_history WHERE pipeline_name = 'hourly'") <= 2
    assert {status for status, _ in world.history("prices")} <= {"success", "lost"}


def test_migrated_metadata_are_as_new_ones(world: World, new_database: Callable[[], Database], tmp_path: Path) -> None:
    world.run("orders")
    migrated = world.shape()
    if isinstance(world.database, DuckDbFile):
        new: Database | DuckDbFile = DuckDbFile(tmp_path / "new.duckdb")
    else:
        new = new_database()
    new.execute("CREATE SCHEMA app; CREATE TABLE app.orders (id bigint, amount numeric(10,2), status text)")
    world.flow("run", "orders", "--on-empty-source", "ignore", env={"EMATIX_FLOW_DSN": new.dsn})
    assert World(new, world.flow).shape() == migrated


def test_processes_that_meet_metadata_of_version_1_migrate_them_once(world: World) -> None:
    world.database.execute(CHANGES)
    names = ["customers", "orders", "events", "prices"]
    if isinstance(world.flow, WarmPackage):
        # That one runs one command after the other.
        interpreter = Interpreter(world.flow.directory, world.flow.variables)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: interpreter.flow("run", name), names))
    else:
        for running in [world.flow.start("run", name) for name in names]:
            running.finish()
    assert world.version() == NOW
    assert {name: world.database.rows(query) for name, query in CONTENTS.items()} == LOADED
    assert world.database.value("SELECT count(*) FROM ematix_flow.metadata") == 1


def test_a_migration_that_is_killed_between_its_statements_did_not_begin(database: Database, flow: Flow) -> None:
    world = World(database, flow)
    restored(database)
    flow.project(PROJECT)
    before, contents = world.shape(), world.contents()
    with database.connect(autocommit=False) as holder:
        # Version 2 is made when version 3 comes to this table, and waits.
        holder.execute("LOCK TABLE ematix_flow.slots IN ACCESS SHARE MODE")
        running = flow.start("run", "orders")
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        wait_until(lambda: database.value(waits) == 1, "the migration waits")
        running.kill()
        running.finish(None)
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: database.value(others + " AND backend_type = 'client backend'") == 0, "nobody is left")
    assert (world.version(), world.shape(), world.contents()) == (FIRST, before, contents)
    assert counts(world.run("orders")["orders"]) == {"in": 2, "unchanged": 2}
    assert world.version() == NOW


def test_a_wire_that_is_cut_anywhere_migrates_whole_or_not_at_all(database: Database, flow: Flow) -> None:
    """Each turn begins with version 1; between the first byte and the last, at an even grid."""
    restored(database)
    flow.project(PROJECT)
    world = World(database, flow)
    first = world.shape()
    dump = (UPGRADE / "version_1_postgres.sql").read_text(encoding="utf-8")
    with wire(database) as through:
        env = {"EMATIX_FLOW_DSN": through.dsn()}

        def pause() -> None:
            flow("pause", "orders", env=env, expect=None, timeout=60)

        def again() -> None:
            through.mend()
            idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            wait_until(lambda: database.value(idle) == 0, "nobody is left")
            database.execute("DROP SCHEMA ematix_flow, analytics, app CASCADE")
            database.execute(dump)

        through.arm(None)
        pause()
        whole, now = through.passed, world.shape()
        assert world.version() == NOW
        seen = set()
        for turn in range(1, 24):
            again()
            through.arm(After(Fault.CUT, whole * turn // 24))
            pause()
            through.mend()
            seen.add(world.version())
            assert world.shape() == (now if world.version() == NOW else first), turn
            flow("pause", "orders", env={"EMATIX_FLOW_DSN": database.dsn}, expect=None)
            assert (world.version(), world.shape()) == (NOW, now)
        assert seen == {FIRST, NOW}


@pytest.mark.long
def test_a_file_whose_migration_is_killed_is_of_one_version_or_the_other(tmp_path: Path) -> None:
    turns = 12
    with warm_package(tmp_path) as package:

        def begin(turn: int) -> tuple[World, Begun]:
            directory = tmp_path / str(turn)
            directory.mkdir()
            file = DuckDbFile(directory / "warehouse.duckdb")
            restored(file)
            flow = replace(package, directory=directory, variables={"EMATIX_FLOW_DSN": file.dsn})
            flow.project(PROJECT)
            return World(file, flow), flow.start("run", "orders")

        world, running = begin(0)
        began = time.monotonic()
        running.finish()
        seconds, now = time.monotonic() - began, world.shape()
        first, seen = None, set()
        for turn in range(1, turns):
            world, running = begin(turn)
            time.sleep(seconds * turn / turns)
            running.kill()
            running.finish(None)
            seen.add(world.version())
            first = first or (world.shape() if world.version() == FIRST else None)
            assert world.shape() == (now if world.version() == NOW else first)
            world.flow("run", "orders")
            assert (world.version(), world.shape()) == (NOW, now)
        assert FIRST in seen


@pytest.mark.parametrize(
    "command",
    [["run", "orders"], ["run-due"], ["history", "orders"], ["status"], ["pause", "orders"], ["check", "customers"]],
    ids=lambda command: command[0],
)
def test_newer_metadata_are_refused_and_not_written(command: list[str], world: World) -> None:
    world.run("orders")
    world.database.execute("UPDATE ematix_flow.metadata SET version = 6")
    before = world.contents()
    refused = world.flow(*command, expect=None)
    said = "the metadata in the target are of version 6, and this program knows 5"
    assert refused.code != 0, refused
    assert said in refused.stderr + refused.stdout, refused
    assert "use the newer ematix-flow that wrote them" in refused.stderr + refused.stdout, refused
    assert world.contents() == before
