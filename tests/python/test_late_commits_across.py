"""Incremental loading from another database: what commits late or stands at a tie is neither lost nor doubled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from across import Across, connect
from customers import wait_until
from database import Database
from flow_binary import Flow
from project import counts
from test_paths import Cluster, catch_up, cluster  # noqa: F401

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.events (id bigint PRIMARY KEY, name text, at timestamptz NOT NULL DEFAULT now());
"""
MODES = ["append", "merge", "scd2"]


def project(mode: str, **options: Any) -> Across:
    made = Across()
    made.table("t", {"id": "bigint", "name": "text?", "at": "timestamptz"}, schema="dw")
    keys = {"keys": "id"} if mode in ("merge", "scd2") else {}
    made.pipeline("p", "app.events", "t", mode, incremental_column="at", **keys, **options)
    return made


def insert(database: Any, *ids: int, at: str = "now()") -> None:
    for key in ids:
        database.execute(f"INSERT INTO app.events VALUES ({key}, 'event {key}', {at})")


def loaded(target: Database) -> list[int]:
    return [key for (key,) in target.rows("SELECT id FROM dw.t ORDER BY id")]


@pytest.fixture
def source(database: Database, new_database: Callable[[], Database], flow: Flow) -> Database:
    source = new_database()
    connect(flow, source, database)
    source.execute(SOURCE)
    return source


@pytest.mark.parametrize("mode", MODES)
def test_a_row_that_commits_after_newer_ones_were_read_is_loaded(
    mode: str, source: Database, database: Database, flow: Flow
) -> None:
    """The source's own transactions count, not the target's."""
    made = project(mode)
    insert(source, 1, 2)
    made.run(flow)
    with source.connect(autocommit=False) as late, source.connect(autocommit=False) as idle:
        insert(late, 3)
        idle.execute("SELECT 1")
        insert(source, 4)
        for _ in range(2):
            report = made.run(flow)["p"]
            assert report["path"] == "staging"
            assert loaded(database) == [1, 2, 4]
        late.commit()
        assert made.run(flow)["p"]["rows_inserted"] == 1
        insert(idle, 5)
        insert(source, 6)
        made.run(flow)
        idle.commit()
    assert made.run(flow)["p"]["rows_inserted"] == 1
    assert made.run(flow)["p"]["rows_inserted"] == 0
    assert loaded(database) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("mode", MODES)
def test_a_row_that_commits_while_the_source_is_read_is_loaded_by_the_next_run(
    mode: str, source: Database, database: Database, flow: Flow
) -> None:
    """The cap is asked before the snapshot of the reading: asked after it, this row would be passed over."""
    made = project(mode, late_commits="cap")
    insert(source, 1)
    made.run(flow)
    made.pipelines["p"]["source"] = {
        "connection": "crm",
        "query": "SELECT e.* FROM app.events AS e CROSS JOIN (SELECT pg_advisory_xact_lock_shared(7)) AS held",
    }
    flow.project(made.text())
    with source.connect() as holder, source.connect(autocommit=False) as late:
        insert(late, 2)
        insert(source, 3)
        holder.execute("SELECT pg_advisory_lock(7)")
        running = flow.start("run", "p")
        wait_until(
            lambda: source.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
            ),
            "the source is read",
        )
        late.commit()
        insert(source, 4)
        holder.execute("SELECT pg_advisory_unlock(7)")
        running.finish()
    assert loaded(database) == [1, 3]
    made.run(flow)
    assert loaded(database) == [1, 2, 3, 4]


@pytest.mark.parametrize("mode", MODES)
def test_ties_are_neither_lost_nor_doubled(mode: str, source: Database, database: Database, flow: Flow) -> None:
    made = project(mode)
    at = "'2026-03-29 01:30:00.123457+00'"
    insert(source, 1, 2, at=at)
    assert made.run(flow)["p"]["watermark_after"] == "2026-03-29T01:30:00.123457Z"
    insert(source, 3, at=at)
    assert made.run(flow)["p"]["rows_inserted"] == 1
    assert made.run(flow)["p"]["rows_inserted"] == 0
    assert loaded(database) == [1, 2, 3]


TYPES = {
    "id": "bigint",
    "a": "text?",
    "n": "numeric?",
    "j": "jsonb?",
    "f": "double?",
    "c": "char(3)?",
    "k": "json?",
    "l": "integer[]?",
    "m": "interval?",
    "b": "bytes?",
    "s": "bigint?",
    "at": "timestamptz",
}


@pytest.mark.parametrize("first", ["same_db", "staging"])
@pytest.mark.parametrize("cast", [False, True], ids=["same types", "cast types"])
def test_the_ledger_knows_a_row_by_either_path(cast: bool, first: str, database: Database, flow: Flow) -> None:
    """The identity of a row is made in SQL on one path and from the passing bytes on the other."""
    database.execute("""
        CREATE SCHEMA app;
        CREATE TABLE app.events (id bigint, a text, n numeric, j jsonb, f float8, c char(3), k json, l int[], m interval,
            b bytea, s smallint, extra text, at timestamptz NOT NULL);
        INSERT INTO app.events SELECT n, 'é' || n, 1.10 + n, '{"a": 1.0}', '-0', 'x', '{"a":  1}', '{1,NULL}', '24:00',
            '\\x00ff', n, 'left out', '2026-01-01' FROM generate_series(1, 5) AS n;
        INSERT INTO app.events (id, n, f, at) VALUES (6, 'NaN', 'NaN', '2026-01-01'), (6, 'NaN', 'NaN', '2026-01-01');
    """)
    connect(flow, database, database)
    made = Across()
    declared = {**TYPES, "n": "numeric(8,2)?", "c": "text?", "s": "text?"} if cast else TYPES
    made.table("t", declared, schema="dw")
    made.pipeline("p", "SELECT * FROM app.events", "t", "append", incremental_column="at", lookback="1d")
    other = {"same_db": "staging", "staging": "same_db"}[first]
    made.pipelines["p"]["force_path"] = first
    assert counts(made.run(flow)["p"]) == {"in": 7, "inserted": 7}
    for each in (other, first, other):
        made.pipelines["p"]["force_path"] = each
        report = made.run(flow)["p"]
        assert (report["path"], counts(report)) == (each, {"in": 7, "skipped": 7})


@pytest.mark.long
def test_a_standby_relies_on_lookback_and_says_why(cluster: Cluster, database: Database, flow: Flow) -> None:  # noqa: F811
    """It does not see who writes on its primary."""
    primary = cluster.database
    primary.execute("CREATE TABLE app.events (id bigint PRIMARY KEY, name text, at timestamptz NOT NULL DEFAULT now())")
    standby = cluster.copy(standby=True)
    connect(flow, standby, database)
    insert(primary, 1)
    catch_up(standby, primary)
    made = project("append", lookback="1h")
    report = made.run(flow)["p"]
    said = [each for each in report["warnings"] if "lookback" in each]
    assert said and "a standby does not see the transactions of its primary" in said[0]
    with primary.connect(autocommit=False) as late:
        insert(late, 2)
        insert(primary, 3)
        catch_up(standby, primary)
        made.run(flow)
        assert loaded(database) == [1, 3]
        late.commit()
    catch_up(standby, primary)
    made.run(flow)
    assert loaded(database) == [1, 2, 3]
    standby.close()
