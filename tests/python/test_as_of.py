"""`flow history NAME --as-of`, and what was known then: against the model of loading, at every boundary."""

from __future__ import annotations

import copy
import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from customers import SOURCE, project
from database import Database
from events_model import HOUR, NOON, OPTIONS, SEED, Model, config, fill, random_events, run
from flow_binary import Flow
from python_package import Interpreter

EVENTS = "CREATE SCHEMA app; CREATE TABLE app.events (k integer, at timestamptz, value text, version integer, op text)"
MICROSECOND = timedelta(microseconds=1)


def as_of(flow: Flow, name: str, at: object, text: str, *more: str, expect: int = 0) -> dict[str, Any]:
    said = ("history", name, "--as-of", str(at), *more, "--output", "json")
    found: dict[str, Any] = flow(*said, config=text, expect=expect).json()
    return found


def shown(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Key, value, version, since when, until when."""
    rows = []
    for row in document["rows"]:
        values = row["values"]
        ends = row["valid_to"] and datetime.fromisoformat(row["valid_to"])
        since = datetime.fromisoformat(row["valid_from"])
        rows.append((values["k"], values["value"], values["version"], since, ends))
    return rows


def valid(model: Model, at: datetime) -> list[tuple[Any, ...]]:
    return [
        (key, value, version, begin, end)
        for key, value, version, deleted, begin, end, _, _ in model.rows()
        if begin <= at and (end is None or at < end) and not deleted
    ]


@pytest.mark.parametrize("kind", OPTIONS)
def test_rows_are_those_of_the_model_then_and_as_known_then(flow: Flow, database: Database, kind: str) -> None:
    database.execute(EVENTS)
    options = OPTIONS[kind]
    draw = random.Random(f"as of {SEED} {kind}")
    text = config(database, database, options, "same_db")
    model = Model(options)
    known = {}
    for batch in random_events(draw, options)[:4]:
        fill(database, batch)
        refused = isinstance(model.load(batch), str)
        run(flow, text, expect=4 if refused else 0)
        if not refused:
            known[model.runs] = copy.deepcopy(model)
    begins = [NOON + HOUR * hour for hour in range(12)]
    times = [*begins, *(at + options["ttl"] for at in begins if "ttl" in options)]
    boundaries = sorted({at + step for at in times for step in (-MICROSECOND, timedelta(0), MICROSECOND)})
    for at in draw.sample(boundaries, 12):
        assert shown(as_of(flow, "states", at.isoformat(), text)) == valid(model, at), at
        for number, then in known.items():
            found = as_of(flow, "states", at.isoformat(), text, "--known-as-of", str(number))
            assert (shown(found), found["known_as_of"]) == (valid(then, at), number), (at, number)
    # By time it is the last run that had committed by then.
    committed = database.rows("SELECT run_number, committed_at FROM ematix_flow.run_history WHERE run_number > 0")
    at = draw.choice(begins)
    for number, when in committed:
        for step, expected in ((timedelta(0), number), (-MICROSECOND, number - 1)):
            found = as_of(flow, "states", at.isoformat(), text, "--known-as-of", (when + step).isoformat())
            rows = valid(known[expected], at) if expected else []
            assert (shown(found), found["known_as_of"]) == (rows, expected or None)


def test_one_key_some_rows_and_forms(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    text = project(open_end="infinity", handle_deletes="soft")
    flow("run", "customers", config=text)
    first = database.value("SELECT min(valid_from) FROM analytics.dim_customers")
    database.execute(
        "UPDATE app.customers SET name = 'x' WHERE customer_id = 1; DELETE FROM app.customers WHERE customer_id = 2"
    )
    flow("run", "customers", config=text)
    second = database.value("SELECT max(valid_from) FROM analytics.dim_customers")
    for at, names in (
        (first - MICROSECOND, {}),
        (first, {1: "customer 1", 2: "customer 2", 3: "customer 3"}),
        (second - MICROSECOND, {1: "customer 1", 2: "customer 2", 3: "customer 3"}),
        (second, {1: "x", 3: "customer 3"}),
    ):
        rows = as_of(flow, "customers", at.isoformat(), text)["rows"]
        found = {row["values"]["customer_id"]: row["values"]["name"] for row in rows}
        assert {key: name for key, name in found.items() if key < 4} == names
    now = as_of(flow, "customers", second.isoformat(), text, "--key", "1")
    assert [row["values"] for row in now["rows"]] == [{"customer_id": 1, "name": "x", "revision": 0}]
    assert now["rows"][0]["valid_to"] is None
    assert len(as_of(flow, "customers", first.isoformat(), text, "--limit", "2")["rows"]) == 2
    table = flow("history", "customers", "--as-of", first.isoformat(), "--key", "3", config=text).stdout
    assert "customer_id = 3, name = customer 3, revision = 0" in table
    lines = flow("history", "customers", "--as-of", first.isoformat(), "--output", "ndjson", config=text).stdout
    assert len(lines.splitlines()) == 10


def test_what_has_no_such_answer_says_so(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    history, merge = project(), project("merge")
    flow("run", "customers", config=history)
    known = as_of(flow, "customers", "2026-01-01", history, "--known-as-of", "1", expect=2)
    assert known["errors"][0]["code"] == "option_not_for_mode"
    assert as_of(flow, "customers", "2026-01-01", merge, expect=2)["errors"][0]["code"] == "option_not_for_mode"
    flow("history", "--known-as-of", "1", config=history, expect=2)
    assert as_of(flow, "nobody", "2026-01-01", history, expect=2)["errors"][0]["code"] == "unknown_pipeline"


def test_what_was_known_after_a_run_that_is_undone_is_gone(flow: Flow, database: Database) -> None:
    database.execute(EVENTS)
    text = config(database, database, {}, "same_db")
    for batch in random_events(random.Random("undone"), {})[:3]:
        fill(database, batch)
        run(flow, text)
    flow("rewind", "states", "--to", "1", "--yes", config=text)
    gone = as_of(flow, "states", NOON.isoformat(), text, "--known-as-of", "2", expect=2)["errors"][0]
    assert (gone["code"], gone["message"]) == (
        "invalid_value",
        "what was known after run 2 is gone: run 4 has undone it",
    )
    assert as_of(flow, "states", NOON.isoformat(), text, "--known-as-of", "4")["known_as_of"] == 4


SCRIPT = """
import json
from datetime import datetime, timezone
from ematix_flow import Pipeline, Source, SpecError, connect, pipeline

states = Pipeline(
    name="states", source=Source.postgres_query(connect(), "SELECT k, at, value FROM app.events"),
    target="marts.states", target_connection=connect(), mode="scd2", keys="k", event_timestamp_column="at",
)
noon = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
print(json.dumps([states.as_of(noon), pipeline.as_of("states", "2026-01-01T12:00Z"), states.as_of(noon, known_as_of=1)]))
try:
    states.as_of(datetime(2026, 1, 1))
except SpecError as error:
    print(error.code)
"""


def test_python_gives_the_rows_as_dicts(flow: Flow, database: Database, tmp_path: Path) -> None:
    database.execute(EVENTS + "; INSERT INTO app.events VALUES (1, '2026-01-01 10:00Z', 'a')")
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})
    python.run(SCRIPT.replace("noon = ", "states.run(); noon = "))
    database.execute("UPDATE app.events SET value = 'b'")
    answer, code = python.run(SCRIPT.replace("noon = ", "states.run(); noon = ")).stdout.splitlines()[-2:]
    row = {"k": 1, "valid_from": "2026-01-01T10:00:00Z", "valid_to": None}
    rows = [[{name: each for name, each in found[0].items() if name != "at"}] for found in json.loads(answer)]
    assert rows == [[{**row, "value": "b"}], [{**row, "value": "b"}], [{**row, "value": "a"}]]
    assert code == "invalid_value"
