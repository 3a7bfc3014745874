"""`flow rewind`: a history is exactly what it was after an earlier run, or it is refused and nothing is written.

Random histories are put back run after run and loaded again; the model is that of the tests of loading.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from customers import SOURCE, left_behind, project, wait_until
from database import Database
from events_model import OPTIONS, ROWS, SEED, SUPERSEDED, Event, Model, config, fill, random_events, run
from flow_binary import Flow
from project import adds_up

EVENTS = "CREATE SCHEMA app; CREATE TABLE app.events (k integer, at timestamptz, value text, version integer, op text)"
RUNS = "SELECT run_number, mode, rewound_to FROM ematix_flow.run_history ORDER BY run_number"


def rewind(flow: Flow, name: str, to: object, text: str, *more: str, expect: int = 0) -> dict[str, Any]:
    said = (*more, "--output", "json")
    found: dict[str, Any] = flow("rewind", name, "--to", str(to), "--yes", *said, config=text, expect=expect).json()
    return found


def superseded(model: Model) -> Counter[tuple[Any, ...]]:
    return Counter((e.key, e.at, e.value, e.version, model.deletes(e), run, by) for e, run, by in model.superseded)


def written(model: Model) -> dict[tuple[int, Any], int]:
    """The run that wrote each event."""
    return {(key, at): run for key, times in model.held.items() for at, (_, run) in times.items()}


def without_runs(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row[:-1] for row in rows]


@pytest.mark.parametrize("path", ["same_db", "staging"])
@pytest.mark.parametrize("kind", OPTIONS)
def test_a_history_by_event_time_is_what_it_was_run_after_run(
    flow: Flow, database: Database, new_database: Callable[[], Database], path: str, kind: str
) -> None:
    source = database if path == "same_db" else new_database()
    source.execute(EVENTS)
    options = OPTIONS[kind]
    draw = random.Random(f"rewind {SEED} {kind} {path}")
    text = config(database, source, options, path)
    model = Model(options)
    # After each run: the model, and what was loaded from there on.
    after: dict[int, Model] = {}
    batches: dict[int, list[Event]] = {}

    def load(batch: list[Event]) -> None:
        fill(source, batch)
        if isinstance(model.load(batch), str):
            run(flow, text, expect=4)
            return
        run(flow, text)
        batches[model.runs], after[model.runs] = batch, copy.deepcopy(model)

    for batch in random_events(draw, options):
        load(batch)
    standing = sorted(after)
    while standing[-1] > 1:
        to = draw.choice([number for number in standing[:-1] if number >= standing[-1] - 2])
        loaded_again = [batches[number] for number in standing if number > to]
        before, then, last = written(model), written(after[to]), without_runs(database.rows(ROWS))
        report = rewind(flow, "states", to, text)
        adds_up(report)
        assert (report["mode"], report["status"], report["committed"]) == ("rewind", "success", True)
        assert report["rows_deleted"] == len(before.keys() - then.keys())
        assert report["rows_updated"] == sum(before[place] != by for place, by in then.items())
        number = model.runs + 1
        model = copy.deepcopy(after[to])
        assert database.rows(ROWS) == model.rows()
        assert Counter(database.rows(SUPERSEDED)) == superseded(model)
        assert (number, "rewind", to) in database.rows(RUNS)
        model.runs = number
        standing = [each for each in standing if each <= to]
        if draw.random() < 0.5:
            standing.append(number)
            after[number], batches[number] = copy.deepcopy(model), []
            for batch in loaded_again:
                load(batch)
                standing.append(model.runs)
            assert database.rows(ROWS) == model.rows()
            assert without_runs(database.rows(ROWS)) == last
            # Back again, for good.
            rewind(flow, "states", to, text)
            number = model.runs + 1
            model = copy.deepcopy(after[to])
            model.runs = number
            standing = [each for each in standing if each <= to]
            assert database.rows(ROWS) == model.rows()
    assert flow("check", "states", config=text).code == 0
    assert left_behind(database)["tables"] == []


# As text, since an end that is `infinity` is no datetime.
DIM = "SELECT t::text FROM analytics.dim_customers AS t ORDER BY 1"


def change(draw: random.Random, database: Database) -> None:
    """Some customers change, some leave, some come (back)."""
    for customer in range(1, 16):
        if draw.random() < 0.4:
            database.execute(f"DELETE FROM app.customers WHERE customer_id = {customer}")
            if draw.random() < 0.7:
                name = draw.choice("abc")
                database.execute(f"INSERT INTO app.customers VALUES ({customer}, '{name}', {draw.randrange(3)})")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"handle_deletes": "soft", "max_delete_fraction": 1},
        {"handle_deletes": "soft", "max_delete_fraction": 1, "open_end": "infinity", "effective_from": "Begin at"},
        {"force_path": "staging", "compare_columns": ["name"]},
    ],
    ids=["plain", "deletes", "infinity", "compared"],
)
def test_a_history_by_load_time_is_what_it_was_run_after_run(
    flow: Flow, database: Database, options: dict[str, Any]
) -> None:
    database.execute(SOURCE)
    draw = random.Random(f"{SEED} {options}")
    text = project(**options)
    after: dict[int, list[tuple[Any, ...]]] = {}
    for number in range(1, 8):
        flow("run", "customers", config=text)
        after[number] = database.rows(DIM)
        if number < 7:
            change(draw, database)
    standing, number = list(after), 7
    while len(standing) > 1:
        to = draw.choice(standing[:-1][-3:])
        report = rewind(flow, "customers", to, text)
        number += 1
        adds_up(report)
        assert database.rows(DIM) == after[to]
        standing = [each for each in standing if each <= to]
        if draw.random() < 0.7:
            # What is loaded from here on is a history like any other.
            after[number] = after[to]
            standing.append(number)
            change(draw, database)
            flow("run", "customers", config=text)
            number += 1
            after[number] = database.rows(DIM)
            assert flow("check", "customers", config=text).code == 0
            rewind(flow, "customers", number - 1, text)
            assert database.rows(DIM) == after[to]
            number += 1
            standing.pop()
    assert flow("check", "customers", config=text).code == 0


def test_a_run_is_named_by_number_id_and_time(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    text = project()
    ids = []
    for turn in range(3):
        ids.append(flow("run", "customers", "--output", "json", config=text).json()["run_id"])
        database.execute(f"UPDATE app.customers SET revision = {turn + 1}")
    times = database.rows("SELECT committed_at FROM ematix_flow.run_history ORDER BY run_number")
    between = (times[1][0] + (times[2][0] - times[1][0]) / 2).isoformat()
    for named in (2, ids[1], ids[1][-8:], between):
        rewind(flow, "customers", named, text, "--dry-run")
        found = flow("rewind", "customers", "--to", str(named), "--dry-run", config=text)
        assert f"after run 2 ({ids[1][-8:]})" in found.stderr
    early = (times[0][0]).replace(year=2020).isoformat()
    for wrong, code in ((9, "invalid_value"), ("00000000", "invalid_value"), (early, "invalid_value")):
        assert rewind(flow, "customers", wrong, text, expect=2)["errors"][0]["code"] == code
    assert database.value("SELECT count(*) FROM ematix_flow.run_history") == 3


def test_it_shows_what_it_will_do_and_asks(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    text = project()
    flow("run", "customers", config=text)
    database.execute("UPDATE app.customers SET name = 'x' WHERE customer_id < 4")
    flow("run", "customers", config=text)
    before = database.rows(DIM)
    asked = flow("rewind", "customers", "--to", "1", config=text, expect=2)
    assert "asks before it writes history anew, and nobody is there to answer" in asked.stderr
    tried = flow("rewind", "customers", "--to", "1", "--dry-run", config=text)
    assert "Rewind: 1 run undone, 3 versions brought back, 3 versions gone" in tried.stderr
    assert "3 brought back  3 gone" in tried.stderr
    assert "(dry run: rolled back)" in tried.stderr
    assert database.rows(DIM) == before
    assert database.value("SELECT count(*) FROM ematix_flow.run_history") == 2
    done = flow("rewind", "customers", "--to", "1", "--yes", config=text)
    assert "3 brought back  3 gone" in done.stderr
    history = flow("history", "customers", "--output", "json", config=text).json()["runs"]
    assert (history[0]["mode"], history[0]["run_number"], history[0]["rows_deleted"]) == ("rewind", 3, 3)
    assert "cli, rewind" in flow("history", "customers", config=text).stdout


def test_the_watermark_goes_back_with_the_rows(flow: Flow, database: Database) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.events (k integer, at timestamptz, value text, n bigint);"
        "INSERT INTO app.events SELECT n, '2026-01-01 12:00+00', 'a', n FROM generate_series(1, 5) AS n"
    )
    text = """
[tables.states]
schema = "marts"
primary_key = ["k"]
columns = { k = "bigint", at = "timestamptz", value = "text?" }

[pipelines.states]
source = { query = "SELECT * FROM app.events" }
target = "states"
mode = "scd2"
event_timestamp_column = "at"
incremental_column = "n"
"""
    watermark = "SELECT last_value, read_from FROM ematix_flow.watermarks"
    run(flow, text)
    then = database.rows(watermark)
    database.execute(
        "INSERT INTO app.events SELECT n, '2026-01-02 12:00+00', 'b', n + 5 FROM generate_series(1, 5) AS n"
    )
    run(flow, text)
    rows = "SELECT k, value, valid_from, valid_to, is_current FROM marts.states ORDER BY 1, 3"
    last = database.rows(rows)
    assert database.rows(watermark) == [("10", "10")]
    report = rewind(flow, "states", 1, text)
    assert (report["watermark_before"], report["watermark_after"]) == ("10", "5")
    assert database.rows(watermark) == then
    again = run(flow, text)
    assert again["rows_inserted"] == 5
    assert database.rows(rows) == last
    # Of a run of an older program it is not known from where the next one read: all is read again.
    database.execute("UPDATE ematix_flow.run_history SET read_from = NULL")
    told = flow("rewind", "states", "--to", "1", "--yes", config=text)
    assert "the watermark of `states` is forgotten" in told.stderr
    assert database.rows(watermark) == []
    assert run(flow, text)["rows_in"] == 10
    assert database.rows(rows) == last


def refused(flow: Flow, text: str, database: Database, to: int, why: str, code: str = "cannot_rewind") -> None:
    """It is refused, shown or done, and nothing is written."""
    before = database.rows(DIM)
    for more in ((), ("--dry-run",)):
        expect = 4 if code == "cannot_rewind" else 2
        errors = rewind(flow, "customers", to, text, *more, expect=expect)["errors"]
        assert (errors[0]["code"], why in errors[0]["message"]) == (code, True), errors
    assert database.rows(DIM) == before


def test_what_nobody_has_kept_is_not_brought_back(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    overwrites = project(compare_columns=["name"], overwrite_columns=["revision"])
    flow("run", "customers", config=overwrites)
    flow("run", "customers", config=overwrites)
    # Nothing was overwritten yet.
    rewind(flow, "customers", 1, overwrites)
    database.execute("UPDATE app.customers SET revision = 7 WHERE customer_id < 3")
    flow("run", "customers", config=overwrites)
    refused(flow, overwrites, database, 1, "its runs since have overwritten 2 versions in place")
    other = project(compare_columns=["name", "revision"])
    flow("run", "customers", config=other)
    refused(flow, other, database, 4, "run 5 has changed the set of compared columns")
    refused(flow, other, database, 2, "run 3 has undone that run")


@pytest.mark.parametrize("mode", ["append", "truncate", "merge"])
def test_only_histories_can_be_put_back(flow: Flow, database: Database, mode: str) -> None:
    database.execute(SOURCE)
    text = project(mode)
    flow("run", "customers", config=text)
    refused(flow, text, database, 1, "keeps nothing of what it writes over", "option_not_for_mode")


@pytest.mark.parametrize(
    ("by_hand", "why"),
    [
        ("UPDATE {t} SET name = 'x' WHERE customer_id = 1 AND is_current", "changed by hand"),
        ("DELETE FROM {t} WHERE customer_id = 1 AND is_current", "begin after run 1"),
        ("DELETE FROM {t} WHERE customer_id = 1 AND NOT is_current", "end after run 1"),
        ("UPDATE {t} SET valid_from = '2020-01-01' WHERE customer_id = 1 AND is_current", "valid at the same time"),
    ],
)
def test_a_table_that_was_written_by_hand_is_left_alone(flow: Flow, database: Database, by_hand: str, why: str) -> None:
    database.execute(SOURCE)
    text = project()
    flow("run", "customers", config=text)
    database.execute("UPDATE app.customers SET name = 'y' WHERE customer_id < 4")
    flow("run", "customers", config=text)
    database.execute(by_hand.format(t="analytics.dim_customers"))
    refused(flow, text, database, 1, why)


def test_first_versions_whose_beginning_a_column_says_are_not_guessed(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    text = project(first_valid_from="epoch")
    flow("run", "customers", config=text)
    database.execute("UPDATE app.customers SET name = 'y' WHERE customer_id < 4")
    flow("run", "customers", config=text)
    after = database.rows(DIM)
    database.execute("UPDATE app.customers SET name = 'z' WHERE customer_id < 3")
    flow("run", "customers", config=text)
    rewind(flow, "customers", 2, text)
    assert database.rows(DIM) == after
    database.execute("INSERT INTO app.customers VALUES (99, 'new', 0)")
    flow("run", "customers", config=text)
    refused(flow, text, database, 2, "begin after run 2, and its runs since have written 3")


def test_a_run_before_instants_were_recorded_is_refused(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    text = project()
    flow("run", "customers", config=text)
    database.execute("UPDATE ematix_flow.run_history SET instant = NULL")
    flow("run", "customers", config=text)
    refused(flow, text, database, 1, "before the instant of each run was recorded")


def test_a_rewind_that_is_killed_leaves_the_history_as_it_was(flow: Flow, database: Database) -> None:
    database.execute(EVENTS)
    model = Model({})
    text = config(database, database, {}, "same_db").replace("[pipelines.states]", '[pipelines.states]\nlease = "1s"')
    after = {}
    for batch in random_events(random.Random("killed"), {})[:3]:
        fill(database, batch)
        model.load(batch)
        run(flow, text)
        after[model.runs] = copy.deepcopy(model)
    before = database.rows(ROWS)
    with database.connect() as other:
        # It has written the history by the time it waits for this.
        other.execute("BEGIN; LOCK TABLE marts.states_superseded IN ROW EXCLUSIVE MODE")
        other.execute("LOCK TABLE marts.states_superseded IN SHARE MODE")
        running = flow.start("rewind", "states", "--to", "1", "--yes", config=flow.project(text))
        waits = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND query LIKE '%%DELETE%%states_superseded%%'"
        )
        wait_until(lambda: database.rows(waits), "a rewind that waits")
        # Nobody loads meanwhile.
        held = flow("run", "states", "--lock-timeout", "1s", "--output", "json", config=text, expect=5).json()
        assert held["error"]["code"] == "locked"
        running.kill()
        running.finish(expect=None)
        other.execute("ROLLBACK")
    wait_until(lambda: not database.rows(waits), "the server finds that its client is gone")
    assert database.rows(ROWS) == before
    rewind(flow, "states", 1, text)
    assert database.rows(ROWS) == after[1].rows()
    wait_until(
        lambda: database.value(
            "SELECT bool_and(lease_until < clock_timestamp()) FROM ematix_flow.run_history WHERE status = 'running'"
        ),
        "its lease has run out",
    )
    run(flow, text)
    lost = "SELECT mode, status FROM ematix_flow.run_history WHERE run_number IS NULL AND mode = 'rewind'"
    assert database.rows(lost) == [("rewind", "lost")]


def test_a_rewind_waits_for_a_run(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    text = project()
    flow("run", "customers", config=text)
    slow = project(query="SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_sleep(30)) AS slow")
    running = flow.start("run", "customers", config=flow.project(slow))
    wait_until(
        lambda: database.rows(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND query LIKE '%%pg_sleep%%' AND pid <> pg_backend_pid()"
        ),
        "a run that reads",
    )
    text = project(lock_timeout="1s")
    held = rewind(flow, "customers", 1, text, expect=5)
    assert held["error"]["code"] == "locked"
    running.interrupt()
    running.finish(expect=130)
    rewind(flow, "customers", 1, text)
