"""Values of the incremental column ahead of the source's clock, and a watermark or a ledger that was taken away by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import counts

PATHS = ["same_db", "staging"]
TYPES = ["timestamptz", "timestamptz(0)", "timestamp", "date"]
MODES: dict[str, dict[str, Any]] = {
    "append": {"mode": "append"},
    "append by keys": {"mode": "append", "keys": "id"},
    "merge": {"mode": "merge", "keys": "id"},
    "scd2": {"mode": "scd2", "keys": "id"},
}
FAR = ["'2099-01-01'", "'infinity'"]
# Every mode on every path, every type with every value.
CASES = [
    *(
        (name, path, data_type, far)
        for (name, path), data_type, far in zip(
            itertools.product(MODES, PATHS), itertools.cycle(TYPES), itertools.cycle(FAR), strict=False
        )
    ),
    *(("merge", "same_db", data_type, far) for data_type, far in itertools.product(TYPES, FAR)),
]


def source(database: Database, data_type: str) -> None:
    database.execute(f"""
        CREATE SCHEMA app;
        CREATE TABLE app.events (id bigint, "At" {data_type});
        INSERT INTO app.events SELECT n, '2020-01-01'::date + n FROM generate_series(1, 3) AS n;
    """)


def project(name: str, target: str = "dw.events", **options: Any) -> Across:
    made = Across()
    chosen = {"incremental_column": "At", **MODES[name], **options}
    made.pipeline("events", "SELECT * FROM app.events", target, chosen.pop("mode"), **chosen)
    return made


def ends(flow: Flow, database: Database, other: Database, path: str, data_type: str) -> Database:
    at = database if path == "same_db" else other
    connect(flow, at, database)
    source(at, data_type)
    return at


def ids(database: Database) -> list[int]:
    return [number for (number,) in database.rows("SELECT id FROM dw.events ORDER BY 1")]


@pytest.mark.parametrize(("name", "path", "data_type", "far"), CASES)
def test_a_value_of_the_future_ends_the_run_unless_it_is_allowed(
    name: str, far: str, data_type: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path, data_type)
    made = project(name)
    made.run(flow)
    at.execute(f"INSERT INTO app.events VALUES (99, {far})")
    for command in ("dry-run", "run"):
        error = made.run(flow, command=command, expect=4)["events"]["error"]
        assert error["code"] == "future_watermark"
        assert error["message"] == "1 row of `events` has a value of At more than a day after the source's clock"
        assert 'future_watermark = "include"' in error["hint"]
    assert ids(database) == [1, 2, 3]
    # Who allows it loads it, and what comes later is found all the same.
    for number in (10, 11):
        at.execute(
            f"INSERT INTO app.events VALUES ({number}, clock_timestamp() AT TIME ZONE 'UTC' + interval '1 second')"
        )
        [dry, run] = [
            made.run(flow, "events", "--future-watermark", "include", command=command)["events"]
            for command in ("dry-run", "run")
        ]
        assert counts(dry) == counts(run)
        assert number in ids(database)
    assert ids(database) == [1, 2, 3, 10, 11, 99]
    assert run["watermark_after"].startswith("infinity" if "infinity" in far else "2099-01-01")
    # Without that leave the row is refused again, and not passed over.
    assert made.run(flow, expect=4)["events"]["error"]["code"] == "future_watermark"
    at.execute("DELETE FROM app.events WHERE id = 99")
    assert made.run(flow)["events"]["status"] == "success"


@pytest.mark.parametrize("data_type", TYPES)
def test_a_day_ahead_is_near_enough(data_type: str, flow: Flow, database: Database) -> None:
    at = ends(flow, database, database, "same_db", data_type)
    at.execute("INSERT INTO app.events VALUES (50, clock_timestamp() AT TIME ZONE 'UTC' + interval '14 hours')")
    made = project("append")
    assert counts(made.run(flow)["events"]) == {"in": 4, "inserted": 4}


def test_a_number_has_no_future_and_an_empty_source_neither(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    database.execute('CREATE SCHEMA app; CREATE TABLE app.events (id bigint, "At" bigint)')
    made = project("append")
    assert counts(made.run(flow)["events"]) == {}
    database.execute("INSERT INTO app.events VALUES (1, 9223372036854775807)")
    assert counts(made.run(flow)["events"]) == {"in": 1, "inserted": 1}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("data_type", TYPES)
def test_a_watermark_that_stands_in_the_future_ends_the_run(
    data_type: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path, data_type)
    made = project("merge")
    made.run(flow)
    database.execute("UPDATE ematix_flow.watermarks SET last_value = '2099-01-01', read_from = '2099-01-01'")
    at.execute("INSERT INTO app.events VALUES (10, now())")
    for command in ("dry-run", "run"):
        error = made.run(flow, command=command, expect=4)["events"]["error"]
        assert error["code"] == "future_watermark"
        assert "`flow watermark set events VALUE`" in error["hint"]
    made.run(flow, "events", "--full-scan")
    assert ids(database) == [1, 2, 3, 10]


def test_it_needs_an_incremental_column(flow: Flow) -> None:
    made = project("merge", future_watermark="include")
    del made.pipelines["events"]["incremental_column"]
    flow.project(made.text())
    [error] = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert (error["code"], error["message"]) == (
        "missing_option",
        "`future_watermark` needs `incremental_column`",
    )


# --- watermark and ledger are one thing -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["append", "append by keys"])
def test_a_ledger_whose_watermark_was_taken_away_goes_with_it(
    name: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    ends(flow, database, new_database(), path, "timestamptz")
    made = project(name)
    made.run(flow)
    database.execute("DELETE FROM ematix_flow.watermarks")
    gone = (
        "the watermark of `events` is gone and its ledger was not: both are forgotten, and everything is appended again"
    )
    for command in ("dry-run", "run"):
        report = made.run(flow, command=command)["events"]
        assert counts(report) == {"in": 3, "inserted": 3}
        assert gone in report["warnings"]
    report = made.run(flow)["events"]
    assert counts(report) == {"in": 1, "skipped": 1}
    assert gone not in report["warnings"]
    assert ids(database) == [1, 1, 2, 2, 3, 3]


def test_a_watermark_whose_ledger_was_taken_away_ends_the_run(flow: Flow, database: Database) -> None:
    ends(flow, database, database, "same_db", "timestamptz")
    made = project("append")
    made.run(flow)
    database.execute("DELETE FROM ematix_flow.append_seen")
    for command in ("dry-run", "run"):
        error = made.run(flow, command=command, expect=4)["events"]["error"]
        assert error["code"] == "watermark_mismatch"
        assert "`flow watermark reset events`" in error["hint"]
    assert ids(database) == [1, 2, 3]
    flow("watermark", "set", "events", "2020-01-05")
    assert counts(made.run(flow)["events"]) == {}
    flow("watermark", "reset", "events", "--yes")
    assert counts(made.run(flow)["events"]) == {"in": 3, "inserted": 3}


def test_a_ledger_of_nulls_alone_has_no_watermark_to_lose(flow: Flow, database: Database) -> None:
    ends(flow, database, database, "same_db", "timestamptz")
    database.execute('UPDATE app.events SET "At" = NULL')
    made = project("append", null_watermark="include")
    assert counts(made.run(flow)["events"]) == {"in": 3, "inserted": 3}
    report = made.run(flow)["events"]
    assert counts(report) == {"in": 3, "skipped": 3}
    assert not any("ledger" in warning for warning in report["warnings"])
