"""`repeats = "collapse"`: the current value is always right; the table is that of one load, unless an event of another value
comes late into a stretch that was confirmed after it, which the run counts.
"""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any

import pytest
from database import Database
from flow_binary import Flow

SEED = int(os.environ.get("EMATIX_FLOW_TEST_SEED", "0"))
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
Row = tuple[int, int, str | None, str]


@pytest.fixture
def config(database: Database) -> str:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.events (k integer, at timestamptz, value text, op text)")
    return f"""
[connections.default]
dsn = "{database.dsn}"

[tables.states]
schema = "marts"
primary_key = ["k"]
columns = {{ k = "integer", at = "timestamptz", value = "text?" }}

[pipelines.states]
source = {{ table = "app.events" }}
target = "states"
mode = "scd2"
event_timestamp_column = "at"
delete_when = "op = 'd'"
repeats = "collapse"
"""


def load(flow: Flow, database: Database, config: str, rows: list[Row]) -> dict[str, Any]:
    database.execute("TRUNCATE app.events")
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO app.events VALUES (%s, %s, %s, %s)",
            [(k, NOON + HOUR * at, said, op) for k, at, said, op in rows],
        )
    report: dict[str, Any] = flow("run", "states", "--output", "json", config=config).json()
    assert report["rows_in"] == sum(
        report[f"rows_{name}"] for name in ("inserted", "updated", "unchanged", "deduplicated", "skipped")
    )
    return report


TABLE = (
    "SELECT k, value, is_deleted, at, valid_from, confirmed_at, valid_to, is_current FROM marts.states ORDER BY 1, 5"
)


def collapsed(known: dict[tuple[int, int], Row]) -> list[tuple[Any, ...]]:
    """What one load of all events makes."""
    out = []
    for key, of_key in groupby(sorted(known.values()), lambda row: row[0]):
        stretches = [list(rows) for _, rows in groupby(of_key, lambda row: (row[2], row[3] == "d"))]
        begins = [NOON + HOUR * rows[0][1] for rows in stretches]
        for rows, begin, end in zip(stretches, begins, [*begins[1:], None], strict=True):
            last = NOON + HOUR * rows[-1][1]
            out.append((key, rows[0][2], rows[0][3] == "d", begin, begin, last, end, end is None))
    return out


@pytest.mark.parametrize("late", [False, True], ids=["in order", "late"])
def test_events_in_any_batches(flow: Flow, database: Database, config: str, late: bool) -> None:
    draw = random.Random(f"{SEED} {late}")
    events: list[Row] = [
        (key, at, draw.choice(["a", "b", None]), draw.choice("uuuud")) for key in range(40) for at in range(10)
    ]
    if not late:
        events.sort(key=lambda row: row[1])
    else:
        draw.shuffle(events)
    known: dict[tuple[int, int], Row] = {}
    split = False
    for begin in range(0, len(events), 67):
        batch = events[begin : begin + 67]
        draw.shuffle(batch)
        report = load(flow, database, config, batch)
        known |= {(row[0], row[1]): row for row in batch}
        split |= any("fell late into" in warning for warning in report["warnings"])
        newest = {key: max(row[1] for row in known.values() if row[0] == key) for key in {row[0] for row in batch}}
        current = {row[0]: row for row in database.rows(TABLE) if row[-1]}
        for key, at in newest.items():
            said = known[(key, at)]
            assert current[key][1:3] == (said[2], said[3] == "d")
        if not split:
            assert database.rows(TABLE) == collapsed(known)
        assert flow("check", "states", config=config).code == 0
        # The same once more writes nothing.
        before = database.rows("SELECT xmin::text FROM marts.states ORDER BY ctid")
        load(flow, database, config, batch)
        assert database.rows("SELECT xmin::text FROM marts.states ORDER BY ctid") == before
    assert split == late


def test_a_late_event_moves_the_beginning_back(flow: Flow, database: Database, config: str) -> None:
    load(flow, database, config, [(1, 0, "a", "u"), (1, 5, "b", "u")])
    report = load(flow, database, config, [(1, 3, "b", "u"), (1, 4, "b", "u")])
    assert (report["rows_inserted"], report["rows_unchanged"]) == (1, 1)
    assert database.rows(TABLE) == collapsed(
        {(1, at): (1, at, said, "u") for at, said in [(0, "a"), (3, "b"), (5, "b")]}
    )


def test_a_correction_joins_its_neighbours(flow: Flow, database: Database, config: str) -> None:
    load(flow, database, config, [(1, 0, "a", "u"), (1, 1, "b", "u"), (1, 2, "a", "u")])
    load(flow, database, config, [(1, 1, "a", "u")])
    assert database.rows(TABLE) == collapsed({(1, at): (1, at, "a", "u") for at in (0, 1, 2)})


@pytest.mark.parametrize("option", ['ttl = "1d"', 'order_by = "value DESC"', 'on_same_time = "keep"'])
def test_what_goes_by_every_event_is_refused(flow: Flow, database: Database, config: str, option: str) -> None:
    assert "conflicting_options" in flow("validate", "states", config=f"{config}{option}\n", expect=2).stderr
