"""Histories by event time against a model in Python: in random orders and batches, on every path, the table, what was
corrected and every count are what the model says.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from database import Database
from events_model import OPTIONS, ROWS, SEED, SUPERSEDED, Model, config, fill, random_events, run
from flow_binary import Flow


@pytest.fixture
def source(database: Database, new_database: Callable[[], Database], path: str) -> Iterator[Database]:
    """Where the events come from: the target's own database, or another."""
    chosen = database if path == "same_db" else new_database()
    chosen.execute(
        "CREATE SCHEMA app; CREATE TABLE app.events (k integer, at timestamptz, value text, version integer, op text)"
    )
    yield chosen


@pytest.mark.parametrize("path", ["same_db", "staging"])
@pytest.mark.parametrize("kind", OPTIONS)
def test_any_events_in_any_batches_are_the_table_of_the_model(
    flow: Flow, database: Database, source: Database, path: str, kind: str
) -> None:
    options = OPTIONS[kind]
    draw = random.Random(f"{SEED} {kind} {path}")
    model = Model(options)
    text = config(database, source, options, path)
    for batch in random_events(draw, options):
        fill(source, batch)
        expected = model.load(batch)
        if isinstance(expected, str):
            assert run(flow, text, expect=4)["error"]["code"] == expected
            continue
        report = run(flow, text)
        counted = {name: report[name] for name in {*expected, "rows_skipped", "rows_unchanged"}}
        assert counted == {name: expected[name] for name in counted}, kind
        assert database.rows(ROWS) == model.rows()
        kept = Counter((e.key, e.at, e.value, e.version, model.deletes(e), run, by) for e, run, by in model.superseded)
        assert Counter(database.rows(SUPERSEDED)) == kept
        # The same once more writes nothing.
        before = database.rows("SELECT xmin::text, ctid::text FROM marts.states ORDER BY ctid")
        again = run(flow, text)
        model.runs += 1
        assert again["rows_inserted"] == again["rows_updated"] == 0
        assert database.rows("SELECT xmin::text, ctid::text FROM marts.states ORDER BY ctid") == before
    assert flow("check", "states", config=text).code == 0
