"""What a history by event time promises beside the table of its model: order does not matter, repetitions collapse in the
view, another ttl and another declaration are planned, and times that cannot be are refused."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from project import value

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def source(database: Database) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.events (k integer, at timestamptz, value text, price numeric, op text)"
    )


def config(database: Database, columns: str = "", /, table: str = "states", **options: Any) -> str:
    said = "\n".join(f"{name} = {value(said_as)}" for name, said_as in options.items())
    return f"""
[connections.default]
dsn = "{database.dsn}"

[tables.states]
schema = "marts"
name = "{table}"
primary_key = ["k"]
columns = {{ k = "integer", at = "timestamptz", value = "text?"{columns} }}

[pipelines.states]
source = {{ table = "app.events" }}
target = "states"
mode = "scd2"
event_timestamp_column = "at"
{said}
"""


def events(database: Database, *rows: tuple[Any, ...]) -> None:
    """Key, hour after noon, value, and the rest."""
    database.execute("TRUNCATE app.events")
    with database.connect() as connection, connection.cursor() as cursor:
        for key, hour, said, *rest in rows:
            at = NOON + HOUR * hour if isinstance(hour, int | float) else hour
            price, op = [*rest, None, None][:2]
            cursor.execute("INSERT INTO app.events VALUES (%s, %s, %s, %s, %s)", (key, at, said, price, op))


def test_the_order_of_batches_does_not_matter(flow: Flow, database: Database) -> None:
    draw = random.Random(7)
    places = draw.sample([(key, hour) for key in range(20) for hour in range(12)], 150)
    all_events = [(key, hour, draw.choice("abc")) for key, hour in places]
    tables = []
    for table, batch in (("whole", 150), ("thirds", 50), ("small", 13)):
        draw.shuffle(all_events)
        text = config(database, table=table, ttl="90m")
        for begin in range(0, 150, batch):
            events(database, *all_events[begin : begin + batch])
            flow("run", "states", config=text)
        tables.append(
            database.rows(f"SELECT k, value, valid_from, valid_to, is_current FROM marts.{table} ORDER BY 1, 3")
        )
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 150


def test_a_view_shows_equal_neighbours_as_one(flow: Flow, database: Database) -> None:
    text = config(database, ttl="90m", delete_when="op = 'd'")
    events(
        database,
        (1, 0, "a"),
        (1, 1, "a"),
        (1, 2, "b"),
        (1, 3, None, None, "d"),
        (1, 4, "b"),
        # A gap: what ran out before the next event is another stretch.
        (2, 0, "x"),
        (2, 5, "x"),
    )
    flow("run", "states", config=text)
    shown = database.rows("SELECT k, value, valid_from, valid_to FROM marts.states_changes ORDER BY 1, 3")
    at = lambda hour: NOON + HOUR * hour
    assert shown == [
        (1, "a", at(0), at(2)),
        (1, "b", at(2), at(3)),
        (1, "b", at(4), at(5.5)),
        (2, "x", at(0), at(1.5)),
        (2, "x", at(5), at(6.5)),
    ]


def test_another_ttl_is_a_planned_update(flow: Flow, database: Database) -> None:
    events(database, (1, 0, "a"), (1, 1, "b"), (2, 0, "x"))
    flow("run", "states", config=config(database))
    ends = "SELECT k, valid_to FROM marts.states ORDER BY 1, valid_from"
    assert database.rows(ends) == [(1, NOON + HOUR), (1, None), (2, None)]

    text = config(database, ttl="30m")
    planned = flow("plan", "states", config=text).stdout
    assert "ttl none -> 30m   every event ends anew   (about 3 rows)" in planned, planned
    database.execute("TRUNCATE app.events")
    flow("run", "states", config=text)
    half = HOUR / 2
    assert database.rows(ends) == [(1, NOON + half), (1, NOON + HOUR + half), (2, NOON + half)]

    # Once: the next run has nothing to do.
    assert "ttl" not in flow("plan", "states", config=text).stdout.split("steps")[0]
    flow("run", "states", config=config(database, ttl="2h"))
    assert database.rows(ends) == [(1, NOON + HOUR), (1, NOON + 3 * HOUR), (2, NOON + 2 * HOUR)]
    assert flow("check", "states", config=config(database, ttl="2h")).code == 0


def test_a_new_column_reaches_what_stands_beside(flow: Flow, database: Database) -> None:
    events(database, (1, 0, "a", 1), (1, 1, "b", 2))
    flow("run", "states", config=config(database, ', price = "integer?"'))
    wider = config(database, ', price = "numeric?", op = "text?"', migrate=True)
    events(database, (1, 0, "corrected", 1.5, "u"), (1, 1, "b", 2, "u"))
    report = flow("run", "states", "--output", "json", config=wider).json()
    assert report["rows_updated"] == 2
    assert database.rows("SELECT value, price::text, op FROM marts.states ORDER BY at") == [
        ("corrected", "1.5", "u"),
        ("b", "2", "u"),
    ]
    assert database.rows("SELECT value, price::text, op FROM marts.states_superseded ORDER BY at") == [
        ("a", "1", None),
        ("b", "2", None),
    ]
    assert len(database.rows("SELECT price, op FROM marts.states_changes")) == 2
    assert flow("check", "states", config=wider).code == 0


@pytest.mark.parametrize(
    ("at", "code", "words"),
    [
        (None, "null_event_time", "1 row of `states` has no time in at"),
        ("-infinity", "null_event_time", "1 row of `states` has no time in at"),
        ("infinity", "future_event", "1 row of `states` lies more than a day after this run, by at"),
        ("2999-01-01", "future_event", "1 row of `states` lies more than a day after this run, by at"),
    ],
)
def test_a_time_that_cannot_be_is_refused(flow: Flow, database: Database, at: Any, code: str, words: str) -> None:
    events(database, (1, 0, "a"), (1, at, "b"))
    refused = flow("run", "states", config=config(database, ttl="30d"), expect=4)
    assert code in refused.stderr and words in refused.stderr
    assert database.value("SELECT to_regclass('marts.states')") is None


def test_contradictions_are_named(flow: Flow, database: Database) -> None:
    events(database, (1, 0, "a"), (1, 0, "b"), (2, 0, "a"), (2, 0, "a"))
    refused = flow("run", "states", config=config(database), expect=4).stderr
    assert "1 event of `states` has several values at one time in this reading" in refused
    assert "(k, at): (1, 2026-01-01T12:00:00Z)" in refused
    events(database, (2, 0, "a"))
    flow("run", "states", config=config(database))
    events(database, (2, 0, "b"))
    refused = flow("run", "states", config=config(database, on_same_time="error"), expect=4).stderr
    assert "1 event of `states` has another value than the history at the same time" in refused


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"handle_deletes": "soft"}, "conflicting_options", "`handle_deletes` and `event_timestamp_column`"),
        ({"on_duplicate": "latest"}, "conflicting_options", "`on_duplicate` and `event_timestamp_column`"),
        ({"first_valid_from": "epoch"}, "conflicting_options", "`first_valid_from` and `event_timestamp_column`"),
        ({"open_end": "infinity"}, "conflicting_options", "and `event_timestamp_column` exclude each other"),
        ({"overwrite_columns": ["value"]}, "conflicting_options", "`overwrite_columns` and"),
        ({"force_path": "client_diff"}, "path_impossible", "events are compared by their time"),
        ({"order_by": "value DESC, k"}, "invalid_value", "does not name one column"),
        ({"order_by": "nothing"}, "unknown_column", "`order_by` names the column `nothing`"),
        ({"order_by": "k"}, "conflicting_options", "`order_by` names the key column `k`"),
        ({"compare_columns": ["at"]}, "conflicting_options", "by which events are known"),
        ({"max_delete_fraction": 0.1}, "conflicting_options", "`max_delete_fraction` and `event_timestamp_column`"),
        ({"ttl": "0s"}, "invalid_value", "holds for no time"),
        ({"delete_when": "op = 'd"}, "invalid_value", "delete_when"),
        ({"deleted_flag": "valid_to"}, "duplicate_name", "both called `valid_to`"),
    ],
)
def test_what_makes_no_sense_is_refused(
    flow: Flow, database: Database, options: dict[str, Any], code: str, words: str
) -> None:
    refused = flow("validate", "states", config=config(database, **options), expect=2).stderr
    assert code in refused and words in refused


@pytest.mark.parametrize(
    "option", ['ttl = "1d"', 'delete_when = "true"', 'on_same_time = "keep"', 'deleted_flag = "d"']
)
def test_by_load_time_they_mean_nothing(flow: Flow, database: Database, option: str) -> None:
    text = config(database).replace('event_timestamp_column = "at"', option)
    assert "needs `event_timestamp_column`" in flow("validate", "states", config=text, expect=2).stderr


def test_a_time_without_a_zone_is_of_utc(flow: Flow, database: Database) -> None:
    text = config(database).replace('at = "timestamptz"', 'at = "timestamp"')
    text = text.replace(
        'source = { table = "app.events" }',
        '''source = { query = """
SELECT k, at AT TIME ZONE 'UTC' AS at, value FROM app.events""" }''',
    )
    events(database, (1, 0, "a"))
    flow("run", "states", config=text.replace("[tables", 'session = { timezone = "Asia/Tokyo" }\n[tables'))
    assert database.rows("SELECT valid_from FROM marts.states") == [(NOON,)]


def test_another_compared_column_corrects_and_keeps_what_was_known(flow: Flow, database: Database) -> None:
    columns = ', price = "numeric?"'
    events(database, (1, 0, "a", 1), (1, 1, "b", 2), (2, 0, "c", 3))
    flow("run", "states", config=config(database, columns, compare_columns=["value"]))
    events(database, (1, 0, "a", 10), (1, 1, "changed", 20), (2, 0, "c", 3))
    report = flow("run", "states", "--output", "json", config=config(database, columns)).json()
    assert (report["rows_updated"], report["rows_unchanged"], report["rows_rehashed"]) == (2, 1, 1)
    rows = database.rows("SELECT k, value, price::int FROM marts.states ORDER BY 1, at")
    assert rows == [(1, "a", 10), (1, "changed", 20), (2, "c", 3)]
    assert flow("check", "states", config=config(database, columns)).code == 0
    kept = database.rows("SELECT value, price::int, _run FROM marts.states_superseded ORDER BY at")
    assert kept == [("a", 1, 1), ("b", 2, 1)]


def test_the_check_finds_what_others_have_done(flow: Flow, database: Database) -> None:
    text = config(database)
    events(database, (1, 0, "a"), (1, 1, "b"), (2, 0, "c"))
    flow("run", "states", config=text)
    for broken, name in (
        ("SET valid_to = valid_to + interval '1 minute' WHERE value = 'a'", "ends_at_the_next"),
        ("SET value = 'z' WHERE value = 'a'", "hash_is_of_the_row"),
    ):
        database.execute("CREATE TABLE kept AS SELECT * FROM marts.states")
        database.execute(f"UPDATE marts.states {broken}")
        assert name in flow("check", "states", config=text, expect=1).stdout
        database.execute("TRUNCATE marts.states; INSERT INTO marts.states SELECT * FROM kept; DROP TABLE kept")
    assert flow("check", "states", config=text).code == 0


def test_a_trigger_that_keeps_events_from_ending_ends_the_run(flow: Flow, database: Database) -> None:
    text = config(database)
    events(database, (1, 0, "a"), (1, 2, "c"))
    flow("run", "states", config=text)
    database.execute(
        "CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER nothing BEFORE UPDATE ON marts.states FOR EACH ROW EXECUTE FUNCTION app.nothing()"
    )
    events(database, (1, 1, "b"))
    failed = flow("run", "states", config=text, expect=1).stderr
    assert "target_failed" in failed and "a trigger changes what is written (nothing)" in failed
    assert database.value("SELECT count(*) FROM marts.states") == 2


def test_what_has_a_name_of_ours_is_not_ours(flow: Flow, database: Database) -> None:
    events(database, (1, 0, "a"))
    database.execute("CREATE SCHEMA marts; CREATE VIEW marts.states_changes AS SELECT 42 AS mine")
    refused = flow("run", "states", config=config(database), expect=4).stderr
    assert "1 relation is called marts.states_superseded or marts.states_changes" in refused
    assert database.value("SELECT mine FROM marts.states_changes") == 42


def test_a_table_of_others_gets_what_is_corrected_and_no_view(flow: Flow, database: Database) -> None:
    database.execute(
        "CREATE SCHEMA marts; CREATE TABLE marts.states (k integer NOT NULL, at timestamptz NOT NULL, value text,"
        " is_deleted boolean NOT NULL, valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL,"
        " row_hash bytea NOT NULL, _run bigint NOT NULL, PRIMARY KEY (k, valid_from));"
        " CREATE UNIQUE INDEX ON marts.states (k) WHERE is_current; CREATE VIEW marts.states_changes AS SELECT 42 AS mine"
    )
    text = config(database)
    for said in ("a", "b"):
        events(database, (1, 0, said))
        flow("run", "states", config=text)
    assert database.rows("SELECT value FROM marts.states_superseded") == [("a",)]
    assert database.value("SELECT mine FROM marts.states_changes") == 42
