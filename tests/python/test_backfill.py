"""`flow backfill`: the source is loaded once more, in full or in part, through the pipeline's own load strategy."""

from __future__ import annotations

from typing import Any

import pytest
from customers import SOURCE, project
from database import Database
from flow_binary import Flow
from project import adds_up

STATES = """
[tables.states]
schema = "marts"
primary_key = ["k"]
columns = {{ k = "bigint", at = "{type}", value = "text?" }}

[pipelines.states]
source = {{ query = "SELECT * FROM app.events" }}
target = "states"
mode = "scd2"
event_timestamp_column = "at"
incremental_column = "n"
"""
ROWS = "SELECT k, at::text, value FROM marts.states ORDER BY 1, valid_from"


def backfill(flow: Flow, name: str, text: str, *more: str, expect: int = 0) -> dict[str, Any]:
    said = ("--yes", *more, "--output", "json")
    found: dict[str, Any] = flow("backfill", name, *said, config=text, expect=expect).json()
    if expect == 0:
        adds_up(found)
    return found


@pytest.fixture(params=["timestamptz", "timestamp", "date"])
def states(request: pytest.FixtureRequest, flow: Flow, database: Database) -> str:
    """A history of which four days are missing, one event each: the incremental column said that they were read."""
    database.execute(
        f"CREATE SCHEMA app; CREATE TABLE app.events (k integer, at {request.param}, value text, n bigint);"
        "INSERT INTO app.events VALUES (1, '2026-01-01', 'a', 1), (1, '2026-01-31', 'z', 100)"
    )
    text = STATES.format(type=request.param)
    flow("run", "states", config=text)
    database.execute(
        "INSERT INTO app.events SELECT 1, '2026-01-01'::date + d, 'day ' || d, 1 + d FROM generate_series(10, 13) AS d"
    )
    assert flow("run", "states", "--output", "json", config=text).json()["rows_inserted"] == 0
    return text


def days(database: Database) -> list[int]:
    """The days of January that the history knows."""
    return [row[0] for row in database.rows("SELECT extract(day FROM at)::int FROM marts.states ORDER BY at")]


def test_a_part_is_half_open_and_its_events_find_their_place(flow: Flow, database: Database, states: str) -> None:
    watermark = database.rows("SELECT last_value, read_from FROM ematix_flow.watermarks")
    report = backfill(flow, "states", states, "--from", "2026-01-12T00:00Z", "--to", "2026-01-14T00:00Z")
    assert (report["rows_in"], report["rows_inserted"], report["mode"]) == (2, 2, "scd2")
    assert days(database) == [1, 12, 13, 31]
    assert database.rows("SELECT last_value, read_from FROM ematix_flow.watermarks") == watermark
    assert backfill(flow, "states", states, "--to", "2026-01-12T00:00Z")["rows_in"] == 2
    assert days(database) == [1, 11, 12, 13, 31]
    whole = backfill(flow, "states", states)
    assert (whole["rows_in"], whole["rows_inserted"], whole["rows_unchanged"]) == (6, 1, 5)
    assert days(database) == [1, 11, 12, 13, 14, 31]
    assert database.rows("SELECT last_value, read_from FROM ematix_flow.watermarks") == watermark
    assert flow("check", "states", config=states).code == 0
    # And what comes after goes on from the watermark.
    database.execute("INSERT INTO app.events VALUES (2, '2026-01-02', 'b', 101)")
    assert flow("run", "states", "--output", "json", config=states).json()["rows_in"] == 2


def test_a_part_of_a_source_that_was_never_read_leaves_no_watermark(flow: Flow, database: Database) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.events (k integer, at timestamptz, value text, n bigint);"
        "INSERT INTO app.events VALUES (1, '2026-01-01', 'a', 1), (1, '2026-01-31', 'z', 100)"
    )
    text = STATES.format(type="timestamptz")
    assert backfill(flow, "states", text, "--from", "2026-01-20")["rows_in"] == 1
    assert database.rows("SELECT last_value FROM ematix_flow.watermarks") == []
    assert flow("run", "states", "--output", "json", config=text).json()["rows_in"] == 2
    assert days(database) == [1, 31]


def test_it_shows_what_it_will_do_and_asks(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    text = project("merge", incremental_column="revision")
    flow("run", "customers", config=text)
    assert "nobody is there to answer" in flow("backfill", "customers", config=text, expect=2).stderr
    database.execute("DELETE FROM analytics.dim_customers WHERE customer_id < 4")
    tried = flow("backfill", "customers", "--dry-run", "--from", "0", config=text)
    assert "loads again the rows whose revision lies from 0" in tried.stderr
    assert "10 in  3 inserted" in tried.stderr
    assert database.value("SELECT count(*) FROM analytics.dim_customers") == 7
    assert backfill(flow, "customers", text)["rows_inserted"] == 3


def slices(flow: Flow, text: str, *more: str, expect: int = 0) -> list[dict[str, Any]]:
    said = ("--yes", *more, "--output", "json")
    runs: list[dict[str, Any]] = flow("backfill", "states", *said, config=text, expect=expect).json()["runs"]
    return runs


def test_slices_are_runs_of_their_own_and_come_to_the_same(flow: Flow, database: Database, states: str) -> None:
    part = ("--from", "2026-01-10T00:00Z", "--to", "2026-01-14T00:00Z")
    runs = slices(flow, states, *part, "--batch-by", "36h")
    assert [run["rows_in"] for run in runs] == [1, 1, 1]
    assert days(database) == [1, 11, 12, 13, 31]
    # Beside the two runs that came before.
    assert database.value("SELECT count(*) FROM ematix_flow.run_history WHERE status = 'success'") == 5
    # Up to now, and what comes after: the last has no end.
    runs = slices(flow, states, "--from", "2026-01-10T00:00Z", "--batch-by", "100d")
    assert runs[0]["rows_inserted"] == 1
    assert sum(run["rows_in"] for run in runs) == 5
    assert days(database) == [1, 11, 12, 13, 14, 31]
    assert flow("check", "states", config=states).code == 0


TIMED = """
[pipelines.states]
source = { query = "SELECT id, at, value FROM app.rows" }
target = "marts.rows"
mode = "merge"
keys = "id"
incremental_column = "at"
"""


def test_a_slice_that_fails_leaves_those_before_and_says_how_to_go_on(flow: Flow, database: Database) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.rows (id bigint, at timestamptz, value text);"
        "INSERT INTO app.rows SELECT d, '2026-01-01Z'::timestamptz + d * interval '1 day', 'v' FROM generate_series(0, 9) d;"
        "UPDATE app.rows SET id = NULL WHERE id = 5"
    )
    words = ("backfill", "states", "--yes", "--from", "2026-01-01T00:00Z", "--batch-by", "2d")
    failed = flow(*words, config=TIMED, expect=4)
    assert "null_key" in failed.stderr
    going_on = "flow backfill states --from 2026-01-05T00:00:00Z --batch-by 2d"
    assert f"hint: go on with {going_on}\n" in failed.stderr
    assert database.value("SELECT count(*) FROM marts.rows") == 4
    database.execute("UPDATE app.rows SET id = 5 WHERE id IS NULL")
    flow(*going_on.split()[1:], "--yes", config=TIMED)
    assert database.rows("SELECT * FROM marts.rows ORDER BY 1") == database.rows("SELECT * FROM app.rows ORDER BY 1")
    assert database.rows("SELECT last_value FROM ematix_flow.watermarks") == []


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (("--from", "2026-01-01", "--to", "2026-01-05", "--batch-by", "1d"), "conflicting_options"),
        (("--from", "1", "--batch-by", "10"), "missing_option"),
        (("--from", "2026-01-01", "--batch-by", "10"), "invalid_value"),
        (("--from", "2026-01-01", "--batch-by", "1ms"), "invalid_value"),
        (("--from", "2026-01-01", "--to", "5", "--batch-by", "1d"), "invalid_value"),
    ],
)
def test_slices_that_cannot_be_are_refused(flow: Flow, database: Database, part: tuple[str, ...], code: str) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.rows (id bigint, at timestamptz, value text)")
    found = flow("backfill", "states", "--yes", *part, "--output", "json", config=TIMED, expect=2).json()
    assert found["errors"][0]["code"] == code, found
    assert database.value("SELECT to_regclass('marts.rows')") is None


@pytest.mark.parametrize(
    ("options", "part", "code", "why"),
    [
        ({"mode": "append"}, (), "option_not_for_mode", "is there twice"),
        ({"mode": "append", "keys": ["customer_id"], "incremental_column": "revision"}, (), "option_not_for_mode", ""),
        ({"mode": "truncate"}, ("--from", "1"), "option_not_for_mode", "nothing but the part would be left"),
        ({"mode": "merge"}, ("--from", "1"), "missing_option", "no column by which a part"),
        ({"mode": "merge", "incremental_column": "revision"}, ("--to", "1"), "conflicting_options", "after --to"),
        ({"mode": "scd2", "handle_deletes": "soft"}, ("--from", "1"), "conflicting_options", "would seem gone"),
        (
            {"mode": "merge", "incremental_column": "revision"},
            ("--from", "2026-01-01"),
            "invalid_value",
            "is no value of `revision`",
        ),
    ],
)
def test_what_would_be_wrong_is_refused(
    flow: Flow, database: Database, options: dict[str, Any], part: tuple[str, ...], code: str, why: str
) -> None:
    database.execute(SOURCE)
    text = project(**options)
    flow("run", "customers", config=text)
    errors = backfill(flow, "customers", text, *part, expect=2)["errors"]
    assert (errors[0]["code"], why in errors[0]["message"]) == (code, True), errors
    assert database.value("SELECT count(*) FROM ematix_flow.run_history") == 1
