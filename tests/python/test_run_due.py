"""What `flow run-due` fires: a slot after the last recorded one, once, whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from database import Database
from flow_binary import Flow

PROJECT = """
[pipelines.minutely]
source = { query = "SELECT 1::bigint AS id" }
target = "public.minutely"
keys = "id"
mode = "merge"
every = "1d"
first_run = "now"

[pipelines.yearly]
source = { query = "SELECT 1::bigint AS id" }
target = "public.yearly"
keys = "id"
mode = "merge"
schedule = "0 0 1 1 *"

[pipelines.paused]
source = { query = "SELECT 1::bigint AS id" }
target = "public.paused"
keys = "id"
mode = "merge"
every = "1d"
first_run = "now"
enabled = false
"""


def test_a_slot_fires_once_and_the_next_call_finds_nothing_due(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    first = flow("run-due", "--all", "--output", "json").json()
    assert [(run["pipeline"], run["status"]) for run in first["runs"]] == [("minutely", "success")]
    assert flow("run-due", "--all", "--output", "json").json()["runs"] == []
    assert "nothing due" in flow("run-due", "--all").stderr
    started_by = database.rows("SELECT pipeline_name, started_by, slot IS NOT NULL FROM ematix_flow.run_history")
    assert started_by == [("minutely", "run-due", True)]


def test_of_calls_at_the_same_instant_one_serves_the_slot(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    flow("run-due", "yearly")  # makes the metadata
    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(flow, "run-due", "minutely", "--output", "json") for _ in range(6)]
        reports = [call.result().json() for call in calls]
    statuses = sorted(run["status"] for report in reports for run in report["runs"])
    assert statuses.count("success") == 1, statuses
    assert set(statuses) <= {"success", "skipped"}
    assert database.rows("SELECT count(*) FROM ematix_flow.run_history") == [(1,)]


def test_a_slot_that_passed_while_nobody_asked_is_served_once(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    flow("run-due", "yearly")
    database.execute("UPDATE ematix_flow.slots SET slot = slot - interval '3 years' WHERE pipeline = 'yearly'")
    runs = flow("run-due", "--all", "--output", "json").json()["runs"]
    assert sorted(run["pipeline"] for run in runs) == ["minutely", "yearly"]
    assert flow("run-due", "--all", "--output", "json").json()["runs"] == []


def test_a_schedule_that_cannot_be_read_is_reported_and_stops_no_other(flow: Flow, database: Database) -> None:
    flow.project(PROJECT.replace("0 0 1 1 *", "0 0 31 2 *"))
    answer = flow("run-due", "--all", "--output", "json", expect=2).json()
    assert [run["pipeline"] for run in answer["runs"]] == ["minutely"]
    assert [error["code"] for error in answer["errors"]] == ["invalid_schedule"]


def test_a_mistake_in_one_pipeline_stops_no_other(flow: Flow, database: Database) -> None:
    flow.project(PROJECT.replace('schedule = "0 0 1 1 *"', 'shedule = "0 0 1 1 *"'))
    answer = flow("run-due", "--output", "json", expect=2).json()
    assert [run["pipeline"] for run in answer["runs"]] == ["minutely"]
    assert [error["code"] for error in answer["errors"]] == ["unknown_option"]


def test_a_mistake_that_concerns_all_pipelines_stops_all(flow: Flow, database: Database) -> None:
    flow.project("[defaults]\nmode = 'upsert'\n" + PROJECT)
    answer = flow("run-due", "--output", "json", expect=2)
    assert [error["code"] for error in answer.json()["errors"]] == ["invalid_value"]
    assert database.value("SELECT to_regnamespace('ematix_flow')") is None


TABLES = """
[tables.s]
schema = "crm"
[tables.s.columns]
id = "bigint"
nothing = "bigin"

[pipelines.of_the_table]
source = { query = "SELECT 1::bigint AS id" }
target = "TARGET"
mode = "append"
every = "1d"
first_run = "now"
"""


def test_a_mistake_in_a_table_stops_who_loads_it_by_any_of_its_names_and_nobody_else(
    flow: Flow, database: Database
) -> None:
    for target, stops in [
        ("s", True),
        ("crm.s", True),
        ('"crm"."s"', True),
        ("public.s", False),
        ("other.s", False),
        ("crm.S", False),
        ("crm.orders", False),
        ('"x.crm".s', False),
    ]:
        flow.project(PROJECT + TABLES.replace("TARGET", target.replace('"', '\\"')))
        answer = flow("run-due", "of_the_table", "--output", "json", expect=2).json()
        ran = [run["pipeline"] for run in answer.get("runs", [])]
        assert ran == ([] if stops else ["of_the_table"]), (target, answer)
        database.execute("DROP SCHEMA IF EXISTS ematix_flow CASCADE")


def test_a_table_whose_schema_cannot_be_read_stops_every_target_of_its_name(flow: Flow, database: Database) -> None:
    flow.project(PROJECT + TABLES.replace('schema = "crm"', "schema = 3").replace("TARGET", "crm.s"))
    answer = flow("run-due", "--output", "json", expect=2).json()
    assert [run["pipeline"] for run in answer["runs"]] == ["minutely"]


def test_one_of_several_targets_with_a_mistake_stops_the_whole(flow: Flow, database: Database) -> None:
    several = TABLES.replace('target = "TARGET"', 'targets = [{ target = "dw.a" }, WRONG]')
    for wrong in ('{ target = "crm.s" }', '{ target = "dw.b", modes = "x" }', '{ target = "dw.b", mode = 3 }'):
        flow.project(PROJECT + several.replace("WRONG", wrong))
        answer = flow("run-due", "--output", "json", expect=2).json()
        assert [run["pipeline"] for run in answer["runs"]] == ["minutely"], wrong
        database.execute("DROP SCHEMA ematix_flow CASCADE")


def test_names_with_dots_and_quotes_are_themselves(flow: Flow, database: Database) -> None:
    """`a.mode` is no option of `a`, and a mistake in the one is none in the other."""
    pipeline = TABLES.split("\n\n")[1].replace("TARGET", "dw.t")
    names = ["a", '"a.mode"', "'q\"u.o'", '"of.table"']
    text = "".join(pipeline.replace("[pipelines.of_the_table]", f"\n[pipelines.{name}]\n") for name in names)
    flow.project(text)
    listed = flow("list", "--output", "json").json()["pipelines"]
    assert [each["name"] for each in listed] == ["a", "a.mode", 'q"u.o', "of.table"]
    flow.project(text.replace("[pipelines.'q\"u.o']", "[pipelines.'q\"u.o']\nshedule = 3"))
    answer = flow("run-due", "--output", "json", expect=2).json()
    assert [run["pipeline"] for run in answer["runs"]] == ["a", "a.mode", "of.table"]
    assert [error["location"]["line"] for error in answer["errors"]] == [
        1 + flow.directory.joinpath("pipelines.toml").read_text().splitlines().index("shedule = 3")
    ]
