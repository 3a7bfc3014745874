"""Runs of one target from another database take turns, also where they share a few sessions of a pooler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from across import Across, connect
from customers import left_behind, statuses, wait_until_nothing_is_left
from database import Database
from flow_binary import Flow
from pooler import Pooler

SOURCE = """
CREATE SCHEMA app;
CREATE TYPE public.mood AS ENUM ('sad', 'glad');
CREATE TABLE app.customers (id bigint PRIMARY KEY, mood mood, revision bigint NOT NULL);
INSERT INTO app.customers SELECT n, 'glad', 0 FROM generate_series(1, 10) AS n;
"""


def project(path: str, **options: Any) -> str:
    made = Across()
    made.table("t", {"id": "bigint", "mood": "public.mood?", "revision": "bigint"}, schema="dw")
    forced = {"force_path": path} if path == "staging" else {}
    made.pipeline("p", "app.customers", "t", "scd2", keys="id", handle_deletes="soft", **forced, **options)
    return made.text()


def take_turns(source: Database, target: Database, flow: Flow, path: str) -> None:
    config = flow.project(project(path))
    for turn in range(5):
        racing = [flow.start("run", "p", "--output", "json", config=config) for _ in range(7)]
        source.execute(f"""
            UPDATE app.customers SET revision = revision + 1 WHERE id % 3 = {turn % 3};
            DELETE FROM app.customers WHERE id = 20; INSERT INTO app.customers VALUES (20, 'sad', {turn});
        """)
        reports = [each.finish(None) for each in racing]
        assert [each.code for each in reports] == [0] * 7, reports
        if turn:
            assert {each.json()["path"] for each in reports} == {path}
    flow("run", "p", config=config)
    query = "SELECT id, mood::text, revision FROM {} ORDER BY id"
    assert target.rows(query.format("dw.t WHERE is_current")) == source.rows(query.format("app.customers"))
    assert set(statuses(target)) == {"success"}
    gone_back = target.rows(
        "SELECT FROM (SELECT revision, lead(revision) OVER w AS next, valid_to, lead(valid_from) OVER w AS begin"
        " FROM dw.t WHERE id <> 20 WINDOW w AS (PARTITION BY id ORDER BY valid_from)) AS v"
        " WHERE next <= revision OR begin <> valid_to"
    )
    assert gone_back == []
    assert flow("check", "p", "--output", "json", config=config).json()["violations"] == []


@pytest.mark.parametrize("path", ["staging", "client_diff"])
def test_seven_runs_at_once(path: str, database: Database, new_database: Callable[[], Database], flow: Flow) -> None:
    source = new_database()
    for each in (source, database):
        each.execute("SELECT 1")
    database.execute("CREATE TYPE public.mood AS ENUM ('sad', 'glad')")
    source.execute(SOURCE)
    connect(flow, source, database)
    take_turns(source, database, flow, path)
    wait_until_nothing_is_left(database)


@pytest.mark.parametrize("path", ["staging", "client_diff"])
def test_seven_runs_at_once_on_a_pool_of_four(
    path: str,
    database: Database,
    new_database: Callable[[], Database],
    flow: Flow,
    pooler: Pooler,
) -> None:
    """The driver names the statement of a COPY and of a type: none may stay for whoever gets the session next."""
    source = new_database()
    database.execute("CREATE TYPE public.mood AS ENUM ('sad', 'glad')")
    source.execute(SOURCE)
    connect(flow, pooler.dsn.replace(database.name, source.name), pooler.dsn)
    take_turns(source, database, flow, path)
    assert "already exists" not in pooler.log() and "does not exist" not in pooler.log()
    left = left_behind(database)
    assert (left["tables"], left["locks"]) == ([], [])


@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
def test_a_query_that_reads_its_own_target_is_not_waited_for(mode: str, database: Database, flow: Flow) -> None:
    """Staged within one database: the source's session has locked the target for reading."""
    database.execute(SOURCE)
    connect(flow, database, database)
    made = Across()
    made.table("t", {"id": "bigint", "revision": "bigint"}, schema="dw")
    keys = {"keys": "id"} if mode in ("merge", "scd2") else {}
    made.pipeline("p", "SELECT id, revision FROM app.customers", "t", mode, force_path="staging", **keys)
    made.run(flow)
    made.pipelines["p"]["source"]["query"] = (
        "SELECT c.id, c.revision + (SELECT count(*) FROM dw.t) AS revision FROM app.customers AS c"
    )
    made.pipelines["p"]["lock_timeout"] = "3s"
    report = made.run(flow)["p"]
    assert report["rows_in"] == 10
    assert database.value("SELECT count(*) FROM dw.t WHERE revision = 10") == 10
