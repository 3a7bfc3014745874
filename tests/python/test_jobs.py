"""Several pipelines at once: `--jobs`, and `max_connections`, which bounds what they open."""

from __future__ import annotations

import pytest
from customers import wait_until
from database import Database
from flow_binary import Flow

NAMES = ["one", "two", "three", "four"]

# How many pipelines read at once, as each of them sees it: it waits for others until so many have come, or nobody more
# comes. A run's session is called by its pipeline; the one of its history is not counted.
MEET = """
CREATE SCHEMA app;
CREATE FUNCTION app.met(wanted bigint, patience interval) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  most bigint := 0;
  until timestamptz := clock_timestamp() + patience;
BEGIN
  LOOP
    PERFORM pg_stat_clear_snapshot();
    most := greatest(most, (SELECT count(*) FROM pg_stat_activity AS a
                             WHERE a.datname = current_database() AND a.state = 'active' AND a.query ~ 'app.met\\('
                               AND a.application_name ~ '^ematix-flow (one|two|three|four) '));
    EXIT WHEN most >= wanted OR clock_timestamp() > until;
    PERFORM pg_sleep(0.01);
  END LOOP;
  -- The others are to see it, too.
  PERFORM pg_sleep(0.2);
  RETURN most;
END $$;
"""


def project(wanted: int, patience: str = "10 s", connection: str = "", names: list[str] = NAMES) -> str:
    pipelines = [
        f"[pipelines.{name}]\n"
        f"source = {{ query = \"SELECT 1 AS id, app.met({wanted}, '{patience}') AS met\" }}\n"
        f'target = "public.{name}"\nkeys = "id"\nmode = "truncate"\n'
        for name in names
    ]
    return f'[connections.default]\ndsn = "${{env:EMATIX_FLOW_DSN}}"\n{connection}\n' + "\n".join(pipelines)


@pytest.fixture
def meeting(database: Database, flow: Flow) -> Database:
    """Its metadata are there: they are made by one run, while others wait."""
    database.execute(MEET)
    flow.project(project(0, names=["first"]))
    flow("run", "first")
    return database


def met(database: Database) -> list[int]:
    return [database.value(f"SELECT met FROM public.{name}") for name in NAMES]


def test_so_many_run_at_once(flow: Flow, meeting: Database) -> None:
    flow.project(project(4))
    runs = flow("run", "--all", "--jobs", "4", "--output", "json").json()["runs"]
    assert [(run["pipeline"], run["status"]) for run in runs] == [(name, "success") for name in NAMES]
    assert met(meeting) == [4, 4, 4, 4]
    flow.project(project(2, "1 s"))
    flow("run", "--all", "--jobs", "2")
    assert max(met(meeting)) == 2


def test_one_after_another_unless_said(flow: Flow, meeting: Database) -> None:
    flow.project(project(2, "0.3 s"))
    flow("run", "--all")
    assert met(meeting) == [1, 1, 1, 1]


def test_run_due_takes_jobs_too(flow: Flow, meeting: Database) -> None:
    scheduled = 'every = "1d"\nfirst_run = "now"\n'
    flow.project(project(4).replace('mode = "truncate"\n', f'mode = "truncate"\n{scheduled}'))
    runs = flow("run-due", "--jobs", "4", "--output", "json").json()["runs"]
    assert {run["status"] for run in runs} == {"success"}
    assert met(meeting) == [4, 4, 4, 4]


def test_a_report_a_line_comes_when_its_run_has_ended(flow: Flow, meeting: Database) -> None:
    text = project(2, "0.1 s", names=["one", "two"]).replace("SELECT 1 AS id", "SELECT pg_sleep(2)::text AS id", 1)
    flow.project(text)
    lines = flow("run", "--all", "--jobs", "2", "--output", "ndjson").stdout.splitlines()
    assert [name in line for name, line in zip(("two", "one"), lines, strict=True)] == [True, True]


def test_a_run_that_fails_stops_no_other(flow: Flow, meeting: Database) -> None:
    flow.project(
        project(4, "1 s").replace(
            'app.met(4, \'1 s\') AS met" }\ntarget = "public.two"', '1 / 0 AS met" }\ntarget = "public.two"'
        )
    )
    done = flow("run", "--all", "--jobs", "2", "--output", "json", expect=1)
    assert [run["status"] for run in done.json()["runs"]] == ["success", "failed", "success", "success"]


@pytest.mark.parametrize(("most", "at_once"), [(2, 1), (5, 2)])
def test_no_more_sessions_are_open_than_the_connection_may_have(
    most: int, at_once: int, flow: Flow, meeting: Database
) -> None:
    flow.project(project(at_once + 1, "0.5 s", f"max_connections = {most}"))
    flow("run", "--all", "--jobs", "4")
    assert max(met(meeting)) == at_once


def test_two_names_of_one_place_share_its_sessions(flow: Flow, meeting: Database) -> None:
    text = project(2, "0.5 s", "max_connections = 3").replace(
        'mode = "truncate"', 'mode = "truncate"\ntarget_connection = "default"'
    )
    again = '[connections.again]\ndsn = "${env:EMATIX_FLOW_DSN}"\nmax_connections = 3\n'
    flow.project(text.replace("source = { query", 'source = { connection = "again", query') + again)
    flow("run", "--all", "--jobs", "4")
    assert max(met(meeting)) == 1


def test_a_connection_that_never_has_room_is_refused(flow: Flow, meeting: Database) -> None:
    flow.project(project(1, connection="max_connections = 1"))
    done = flow("run", "one", "two", "--jobs", "2", expect=2)
    assert "connection `default` may have 1 at once, and a run of `one` needs 2 there" in done.stderr
    assert "max_connections = 2, or more" in done.stderr
    assert meeting.value("SELECT to_regclass('public.one') IS NULL AND to_regclass('public.two') IS NULL")


def test_a_signal_stops_all_and_names_what_has_not_begun(flow: Flow, meeting: Database) -> None:
    flow.project(project(5, "60 s"))
    running = flow.start("run", "--all", "--jobs", "2")
    reading = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        " AND application_name ~ '^ematix-flow (one|two) '"
    )
    wait_until(lambda: meeting.value(reading) == 2, "two that read")
    running.interrupt()
    done = running.finish(expect=130)
    assert "not run: three, four" in done.stderr
    statuses = dict(
        meeting.rows("SELECT pipeline_name, status FROM ematix_flow.run_history WHERE pipeline_name <> 'first'")
    )
    assert statuses == {"one": "cancelled", "two": "cancelled"}


def test_a_file_has_no_such_number(flow: Flow) -> None:
    flow.project('[connections.local]\ndsn = "duckdb:local.duckdb"\nmax_connections = 2\n')
    done = flow("validate", expect=2)
    assert "conflicting_options" in done.stderr and "a DuckDB file is opened once" in done.stderr


@pytest.mark.parametrize("named", [True, False], ids=["of one name", "of one pipeline"])
def test_a_transform_is_not_run_beside_itself(named: bool, flow: Flow, meeting: Database) -> None:
    """Each empties a table and fills it: two at once would not see what the other writes."""
    meeting.execute("CREATE TABLE public.mart (n bigint)")
    statements = [
        "DELETE FROM public.mart",
        "INSERT INTO public.mart SELECT count(*) FROM public.mart",
        "SELECT pg_sleep(0.3)",
    ]
    sql = "sql = [" + ", ".join(f'"{statement}"' for statement in statements) + "]"
    step = '{ transform_ref = "mart" }' if named else f"{{ {sql} }}"
    names = NAMES if named else ["one"]
    text = project(1, names=names).replace('mode = "truncate"', f'mode = "truncate"\ntransforms_post = [{step}]')
    flow.project(text + (f"\n[transforms.mart]\n{sql}\n" if named else ""))
    if named:
        flow("run", "--all", "--jobs", "4")
    else:
        running = [flow.start("run", "one") for _ in range(4)]
        for each in running:
            each.finish()
    assert meeting.rows("SELECT n FROM public.mart") == [(0,)]


def test_a_transform_that_goes_on_elsewhere_is_waited_for_so_long(flow: Flow, meeting: Database) -> None:
    text = project(1, names=["one"]).replace(
        'mode = "truncate"', 'mode = "truncate"\nlock_timeout = "1s"\ntransforms_post = [{ transform_ref = "slow" }]'
    )
    flow.project(text + '\n[transforms.slow]\nsql = "SELECT pg_sleep(60)"\n')
    first = flow.start("run", "one")
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'active' AND query ~ '^SELECT pg_sleep'"
    )
    wait_until(lambda: meeting.value(sleeping) == 1, "the transform")
    report = flow("run", "one", "--output", "json", expect=1).json()
    assert (report["status"], report["committed"]) == ("failed", True)
    assert report["error"]["context"]["cause"] == "locked"
    assert "another run of the transform holds its lock" in report["error"]["message"]
    first.interrupt()
    first.finish(expect=130)
