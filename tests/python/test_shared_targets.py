"""Several pipelines on one table: what a strategy keeps for one of them is no drift for the others."""

from __future__ import annotations

from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.people (id bigint PRIMARY KEY, name text);
INSERT INTO app.people SELECT n, 'name ' || n FROM generate_series(1, 5) AS n;
"""
# What one pipeline keeps in the table, and how another that does not loads it.
SHARED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "deleted flag": (
        {"mode": "merge", "keys": "id", "handle_deletes": "soft"},
        {"mode": "merge", "keys": "id"},
    ),
    "renamed deleted flag": (
        {"mode": "merge", "keys": "id", "handle_deletes": "soft", "deleted_flag": "Gone"},
        {"mode": "merge", "keys": "id"},
    ),
    "metadata of append": (
        {"mode": "append"},
        {"mode": "append", "loaded_at_column": False, "batch_id_column": False},
    ),
    "renamed metadata of append": (
        {"mode": "append", "loaded_at_column": "At", "batch_id_column": "Run"},
        {"mode": "truncate", "replace_method": "delete"},
    ),
}


def project(first: dict[str, Any], second: dict[str, Any], target: str) -> Across:
    made = Across()
    key = {"primary_key": "id"} if first["mode"] == "merge" else {}
    if target == "t":
        made.table("t", {"id": "bigint", "name": "text?"}, schema="mart", **key)
    made.pipeline("first", "app.people", target, **first)
    made.pipeline("second", "app.people", target, **second)
    return made


@pytest.mark.parametrize("path", ["same_db", "staging"])
@pytest.mark.parametrize("target", ["t", "mart.t"], ids=["declared", "named"])
@pytest.mark.parametrize(("first", "second"), SHARED.values(), ids=SHARED.keys())
def test_columns_that_a_strategy_keeps_for_one_pipeline_are_no_drift_for_another(
    first: dict[str, Any],
    second: dict[str, Any],
    target: str,
    path: str,
    flow: Flow,
    database: Database,
    new_database: Any,
) -> None:
    at = database if path == "same_db" else new_database()
    connect(flow, at, database)
    at.execute(SOURCE)
    made = project(first, second, target)
    made.run(flow, "first")
    for command in ("dry-run", "run", "run"):
        report = made.run(flow, "second", command=command)["second"]
        assert (report["status"], report["warnings"]) == ("success", [])
    [planned] = flow("plan", "second", "--output", "json").json()["pipelines"]
    assert planned["marks"] == []
    made.run(flow, "first")


@pytest.mark.parametrize("target", ["t", "mart.t"], ids=["declared", "named"])
def test_unsaid_names_are_known_without_metadata(target: str, flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    database.execute(SOURCE)
    made = project(*SHARED["deleted flag"], target)
    made.run(flow, "first")
    database.execute("DROP SCHEMA ematix_flow CASCADE")
    assert made.run(flow, "second")["second"]["warnings"] == []


@pytest.mark.parametrize("forget", [False, True], ids=["remembered", "forgotten"])
def test_a_history_is_drift_for_another_mode_and_nobody_offers_to_drop_its_columns(
    forget: bool, flow: Flow, database: Database
) -> None:
    connect(flow, database, database)
    database.execute(SOURCE)
    made = project({"mode": "scd2", "keys": "id"}, {"mode": "append"}, "t")
    made.run(flow, "first")
    if forget:
        database.execute("DROP SCHEMA ematix_flow CASCADE")
    error = made.run(flow, "second", expect=4)["second"]["error"]
    assert error["code"] == "drift"
    assert {"valid_from", "is_current", "row_hash"} <= set(error["context"]["columns"])
    assert "DROP" not in error["hint"]


def test_a_history_that_is_only_named_says_whose_columns_it_has(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    database.execute(SOURCE)
    made = project({"mode": "scd2", "keys": "id"}, {"mode": "append"}, "mart.t")
    made.run(flow, "first")
    error = made.run(flow, "second", expect=2)["second"]["error"]
    hint = "another load strategy keeps it for a pipeline on this table: take its mode, or another target"
    assert (error["code"], error["hint"]) == ("unknown_column", hint)


def test_a_column_that_left_the_declaration_is_drift_and_its_drop_is_not_offered(
    flow: Flow, database: Database
) -> None:
    connect(flow, database, database)
    database.execute(SOURCE)
    made = project({"mode": "merge"}, {"mode": "merge"}, "t")
    made.run(flow, "first")
    made.table("t", {"id": "bigint"}, schema="mart", primary_key="id")
    error = made.run(flow, "first", expect=4)["first"]["error"]
    assert (error["code"], error["context"]["columns"]) == ("drift", ["name"])
    assert "DROP" not in error["hint"]
    # What others added is theirs to drop.
    made.table("t", {"id": "bigint", "name": "text?"}, schema="mart", primary_key="id")
    database.execute("ALTER TABLE mart.t ADD COLUMN remarks text")
    error = made.run(flow, "first", expect=4)["first"]["error"]
    assert 'ALTER TABLE "mart"."t" DROP COLUMN "remarks";' in error["hint"]
