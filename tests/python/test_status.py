"""What `flow status` and `flow history` tell of pipelines: how the last runs went, what runs, and what is awaited."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from database import Database
from flow_binary import Flow

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def the_present() -> None:
    """An hour may have begun since this file was read."""
    global NOW
    NOW = datetime.now(UTC)


def project(*names: str, options: str = "") -> str:
    return "\n".join(
        f'[pipelines.{name}]\nsource = {{ query = "SELECT 1::bigint AS id" }}\ntarget = "public.{name}"\n'
        f'keys = "id"\nmode = "merge"\n{options}\n'
        for name in names
    )


def run(database: Database, pipeline: str, status: str, minutes_ago: float, **columns: Any) -> None:
    """A run of the history, which took two seconds."""
    started = NOW - timedelta(minutes=minutes_ago)
    values = {
        "run_id": None,
        "pipeline_name": pipeline,
        "started_at": started,
        "ended_at": None if status == "running" else started + timedelta(seconds=2),
        "lease_until": NOW + timedelta(hours=1) if status == "running" else None,
        "status": status,
        "mode": "merge",
        "target": f"public.{pipeline}",
        **columns,
    }
    names, given = list(values), list(values.values())
    places = ["gen_random_uuid()" if name == "run_id" else "%s" for name in names]
    with database.connect(autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO ematix_flow.run_history ({', '.join(names)}) VALUES ({', '.join(places)})",
            [value for name, value in zip(names, given, strict=True) if name != "run_id"],
        )


def states(flow: Flow, *arguments: str) -> dict[str, dict[str, Any]]:
    document = flow("status", "--output", "json", *arguments).json()
    assert document["schema"] == "ematix.status.v1"
    return {row["name"]: row for row in document["pipelines"]}


@pytest.fixture
def history(flow: Flow, database: Database) -> Database:
    """The history of a project with customers and orders, which has no runs."""
    flow.project(project("customers", "orders", options='every = "1h"'))
    flow("run", "customers")
    database.execute("DELETE FROM ematix_flow.run_history")
    return database


def test_a_pipeline_that_never_ran_has_a_state_with_and_without_a_history(flow: Flow, history: Database) -> None:
    known = states(flow)
    assert known["orders"]["last_run"] is None
    assert known["orders"]["runs"] == []
    history.execute("DROP SCHEMA ematix_flow CASCADE")
    without = states(flow)
    # Between the two a slot may pass.
    assert {**without["orders"], "next": None} == {**known["orders"], "next": None}


def test_the_last_runs_are_told_with_their_durations_ends_and_rows(flow: Flow, history: Database) -> None:
    for minutes in range(30, 5, -1):
        run(history, "customers", "success", minutes, rows_in=minutes, rows_inserted=3, rows_updated=2)
    run(history, "customers", "failed", 4, error_code="target_failed", error="no")
    run(history, "customers", "running", 1)
    state = states(flow)["customers"]
    assert [point["status"] for point in state["runs"]] == ["success"] * 18 + ["failed", "running"]
    assert state["runs"][0]["rows_in"] == 23
    assert [point["duration_ms"] for point in state["runs"][-2:]] == [2000, None]
    assert state["last_run"]["status"] == "running"
    assert datetime.fromisoformat(state["running_since"]) == NOW - timedelta(minutes=1)
    shown = flow("status").stdout.splitlines()
    assert shown[0].split() == ["NAME", "LAST", "STARTED", "TOOK", "IN", "WRITTEN", "LAG", "RUNNING", "NEXT", "RUNS"]
    assert shown[1].startswith("customers  failed ")
    assert shown[1].endswith("█" * 18 + "✗…")


def test_the_lag_is_known_however_many_runs_have_failed_since(flow: Flow, history: Database) -> None:
    run(history, "customers", "success", 60)
    for minutes in range(1, 41):
        run(history, "customers", "failed", minutes, error_code="target_failed")
    state = states(flow)["customers"]
    assert datetime.fromisoformat(state["last_success"]) == NOW - timedelta(minutes=60) + timedelta(seconds=2)
    assert 3_590_000 < state["lag_ms"] < 3_900_000
    assert {point["status"] for point in state["runs"]} == {"failed"}


def test_a_slot_without_a_run_is_marked_once_it_is_late(flow: Flow, history: Database) -> None:
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    for name, hours in (("customers", 5), ("orders", 0)):
        history.execute(
            f"INSERT INTO ematix_flow.slots (pipeline, slot, status) VALUES ('{name}', '{hour - timedelta(hours=hours)}', 'claimed')"
        )
    known = states(flow)
    assert datetime.fromisoformat(known["customers"]["missed_slot"]) == hour - timedelta(hours=4)
    assert known["orders"]["missed_slot"] is None
    assert "MISSED" in flow("status", "customers").stdout.splitlines()[0]
    run(history, "customers", "running", 1)
    assert states(flow)["customers"]["missed_slot"] is None, "it is being caught up"


def test_data_are_late_from_the_first_slot_after_the_last_success_on(flow: Flow, history: Database) -> None:
    flow.project(project("customers", "orders", options='every = "7d"') + project("other", options='every = "3d"'))
    for name, days in (("customers", 9), ("orders", 0), ("other", 5)):
        run(history, name, "success", days * 1440 + 5)
    run(history, "customers", "failed", 4, error_code="target_failed")
    run(history, "other", "running", 4)
    known = states(flow)
    late = datetime.fromisoformat(known["customers"]["late_since"])
    assert NOW - timedelta(days=9) < late < NOW
    assert [known["orders"]["late_since"], known["other"]["late_since"]] == [None, None]
    page = flow("status", "--html", "-").stdout
    assert page.index("late since") < page.index("being loaded") < page.index("on time")


def transactions(database: Database) -> int:
    """How many statements came to an end in the database; every session tells it when it ends."""
    return database.value("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")


def test_a_database_is_asked_as_often_about_many_pipelines_as_about_one(flow: Flow, history: Database) -> None:
    names = [f"p{number}" for number in range(60)]
    flow.project(project(*names))

    def asked(*selected: str) -> int:
        before = transactions(history)
        states(flow, *selected)
        return transactions(history) - before

    few = [asked("p1") for _ in range(3)]
    many = [asked() for _ in range(3)]
    # The server counts a session's transactions when it has ended, so one may be counted with the next.
    assert min(many) <= min(few) + 3


def test_history_is_narrowed_to_what_failed_and_to_what_is_recent(flow: Flow, history: Database) -> None:
    run(history, "customers", "success", 10)
    run(history, "customers", "failed", 20, error_code="target_failed")
    run(history, "orders", "refused", 30, error_code="mass_delete")
    run(history, "orders", "cancelled", 40)
    run(history, "orders", "lost", 600)

    def told(*arguments: str) -> list[tuple[str, str]]:
        runs = flow("history", "--output", "ndjson", *arguments).stdout.splitlines()
        return [(run["pipeline"], run["status"]) for run in map(json.loads, runs)]

    assert told("--failed") == [("customers", "failed"), ("orders", "refused"), ("orders", "lost")]
    assert told("--failed", "--since", "1h") == [("customers", "failed"), ("orders", "refused")]
    since = (NOW - timedelta(minutes=15)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert told("--since", since) == [("customers", "success")]
    assert "write 90m, 24h" in flow("history", "--since", "yesterday", expect=2).stderr
    shown = flow("history", "--failed").stdout.splitlines()
    assert shown[0].split() == ["STATUS", "PIPELINE", "STARTED", "TOOK", "IN", "WRITTEN", "BY", "RUN", "ERROR"]
