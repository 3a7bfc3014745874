"""What runs after a load (`transforms_post`): after its commit, each in a transaction of its own, with a row of its own in
the history, and never in the way of the load."""

from __future__ import annotations

from typing import Any

import pytest
from customers import SOURCE, project, statuses, wait_for_statement, wait_until, wait_until_nothing_is_left
from database import Database
from flow_binary import Flow

LOG = "CREATE TABLE IF NOT EXISTS public.log (said text NOT NULL, at xid8 DEFAULT pg_current_xact_id());"
CHILDREN = """
SELECT c.step_name, c.status, c.error_code, p.pipeline_name, p.status, c.ended_at >= c.started_at, c.started_at >= p.ended_at
  FROM ematix_flow.run_history AS c JOIN ematix_flow.run_history AS p ON p.run_id = c.parent_run_id
 ORDER BY c.started_at
"""


@pytest.fixture(autouse=True)
def source(database: Database) -> None:
    database.execute(SOURCE + LOG)


def say(word: str) -> str:
    return f"INSERT INTO public.log VALUES ('{word}')"


def said(database: Database) -> list[str]:
    return [word for (word,) in database.rows("SELECT said FROM public.log ORDER BY at, said")]


def with_steps(*steps: Any, named: str = "", **options: Any) -> str:
    return project("merge", transforms_post=list(steps), **options) + named


def test_transforms_run_after_the_commit_one_after_the_other(flow: Flow, database: Database) -> None:
    flow.project(
        with_steps(
            "INSERT INTO public.log SELECT 'rows ' || count(*) FROM analytics.dim_customers",
            {"sql": [say("two; not three"), f"{say('three')}; -- and\n{say('four')};"]},
        )
    )
    ran = flow("run", "customers", "--output", "json")
    report = ran.json()
    assert (report["status"], report["committed"], report["error"]) == ("success", True, None)
    names = [
        "INSERT INTO public.log SELECT 'rows ' || count(*) FROM analy…",
        "INSERT INTO public.log VALUES ('two; not three')",
    ]
    found = report["transforms"]
    assert [(each["name"], each["status"], each["metrics"], each["error"]) for each in found] == [
        (name, "success", {}, None) for name in names
    ]
    assert all(each["duration_ms"] >= 0 and each["ended_at"] >= each["started_at"] for each in found)
    # Several statements of one transform are one transaction.
    transactions = database.rows("SELECT array_agg(said ORDER BY said) FROM public.log GROUP BY at ORDER BY at")
    assert transactions == [(["rows 10"],), (["four", "three", "two; not three"],)]
    assert database.rows(CHILDREN) == [(name, "success", None, "customers", "success", True, True) for name in names]
    children = database.rows(
        "SELECT run_id::text FROM ematix_flow.run_history WHERE parent_run_id IS NOT NULL ORDER BY 1"
    )
    assert [(each["run_id"],) for each in found] == children
    lines = ran.stderr.splitlines()
    assert lines[0].startswith("success  customers  10 in  10 inserted")
    assert [line.split("  ")[1:3] for line in lines[1:]] == [["success", name] for name in names]


def test_a_run_that_writes_nothing_runs_its_transforms_too(flow: Flow, database: Database) -> None:
    flow.project(with_steps(say("again")))
    flow("run", "customers")
    assert flow("run", "customers", "--output", "json").json()["rows_unchanged"] == 10
    assert said(database) == ["again", "again"]


def test_what_cannot_be_in_a_transaction_runs_outside_of_one(flow: Flow, database: Database) -> None:
    vacuum = {"sql": "VACUUM (ANALYZE) analytics.dim_customers", "transaction": False}
    index = {
        "sql": ["CREATE INDEX CONCURRENTLY IF NOT EXISTS by_name ON analytics.dim_customers (name)", say("indexed")],
        "transaction": False,
    }
    flow.project(with_steps(vacuum, index, statement_timeout="30s"))
    report = flow("run", "customers", "--output", "json").json()
    assert [each["status"] for each in report["transforms"]] == ["success", "success"]
    vacuumed = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'dim_customers'"
    wait_until(lambda: database.value(vacuumed) == 1, "the statistics show the VACUUM")
    assert database.value("SELECT to_regclass('analytics.by_name') IS NOT NULL") and said(database) == ["indexed"]


def test_pinned_settings_and_limits_hold_in_and_outside_of_a_transaction(flow: Flow, database: Database) -> None:
    show = "INSERT INTO public.log SELECT current_setting('TimeZone') || ' ' || current_setting('statement_timeout')"
    own = f'[connections.default]\nsession = {{ timezone = "Asia/Tokyo" }}\ndsn = "{database.dsn}"\n'
    flow.project(own + with_steps(show, {"sql": show, "transaction": False}, statement_timeout="7s"))
    flow("run", "customers", env={"EMATIX_FLOW_DSN": None})
    assert said(database) == ["Asia/Tokyo 7s", "Asia/Tokyo 7s"]


@pytest.mark.parametrize("on_failure", ["stop", "continue"])
def test_a_transform_that_fails_fails_the_run_and_the_load_stands(
    on_failure: str, flow: Flow, database: Database
) -> None:
    flow.project(with_steps(say("one"), {"sql": [say("gone"), "SELECT 1/0"], "on_failure": on_failure}, say("after")))
    failed = flow("run", "customers", "--output", "json", expect=1)
    report = failed.json()
    assert (report["status"], report["committed"], report["rows_inserted"]) == ("failed", True, 10)
    error = report["error"]
    assert (error["code"], error["sqlstate"]) == ("transform_failed", "22012")
    assert error["message"].splitlines() == [
        "INSERT INTO public.log VALUES ('gone') failed after the load: division by zero",
        "in statement 2 of 2: SELECT 1/0",
    ]
    assert error["location"]["line"] == 11 and "the load stands" in error["hint"]
    later = "success" if on_failure == "continue" else "skipped"
    assert [each["status"] for each in report["transforms"]] == ["success", "failed", later]
    assert report["transforms"][1]["error"] == error
    assert said(database) == (["one", "after"] if on_failure == "continue" else ["one"])
    # The load's row stays; the transform's says what happened. One that did not begin has none.
    rows = [(row[1], row[2], row[4]) for row in database.rows(CHILDREN)]
    expected = [("success", None, "success"), ("failed", "transform_failed", "success")]
    assert rows == expected + ([("success", None, "success")] if on_failure == "continue" else [])
    assert database.value("SELECT count(*) FROM analytics.dim_customers") == 10
    assert "failed  customers  the load stands" in failed.stderr


def test_statements_before_the_one_that_fails_stand_only_outside_of_a_transaction(
    flow: Flow, database: Database
) -> None:
    step = {"sql": [say("stands"), "SELECT 1/0"], "transaction": False}
    flow.project(with_steps(step))
    report = flow("run", "customers", "--output", "json", expect=1).json()
    assert report["error"]["message"].endswith("\nin statement 2 of 2, those before it stand: SELECT 1/0")
    assert said(database) == ["stands"]


def test_a_load_that_fails_or_is_refused_has_no_transforms(flow: Flow, database: Database) -> None:
    flow.project(with_steps(say("never")))
    database.execute(
        "ALTER TABLE app.customers DROP CONSTRAINT customers_pkey; INSERT INTO app.customers VALUES (1, 'twice', 0)"
    )
    assert flow("run", "customers", "--output", "json", expect=4).json()["transforms"] == []
    flow.project(with_steps(say("never"), query="SELECT 1 AS customer_id, NULL AS name, 1/0 AS revision"))
    assert flow("run", "customers", "--output", "json", expect=1).json()["transforms"] == []
    assert said(database) == [] and statuses(database) == ["refused", "failed"]


def test_plan_preview_and_dry_run_list_transforms_and_run_none(flow: Flow, database: Database) -> None:
    flow.project(with_steps("ANALYZE analytics.dim_customers; SELECT 1", {"sql": say("never"), "transaction": False}))
    expected = [
        "after the commit: ANALYZE analytics.dim_customers   on default, 2 statements",
        "after the commit: INSERT INTO public.log VALUES ('never')   on default, outside of a transaction",
    ]
    for command in ("preview", "plan"):
        text = flow(command, "customers").stdout
        for purpose in expected:
            assert f" transform {purpose}\n" in text
        steps = flow(command, "customers", "--output", "json").json()["pipelines"][0]["steps"]
        assert [step["purpose"] for step in steps if step["kind"] == "transform"] == expected
        assert steps[-2]["sql"] == "ANALYZE analytics.dim_customers;\nSELECT 1"
        assert [step["n"] for step in steps] == list(range(1, len(steps) + 1))
        assert f"\n{say('never')};\n" in flow(command, "customers", "--sql").stdout
    dry = flow("dry-run", "customers", "--output", "json")
    assert [(each["status"], each["run_id"]) for each in dry.json()["transforms"]] == [("skipped", None)] * 2
    assert "  after the commit, not run here: INSERT INTO public.log VALUES ('never')\n" in dry.stderr
    assert said(database) == [] and database.value("SELECT to_regclass('ematix_flow.run_history') IS NULL")


def test_a_transform_runs_on_its_own_connection(flow: Flow, database: Database, new_database: Any) -> None:
    marts = new_database()
    marts.execute(
        "CREATE SCHEMA marts; CREATE TABLE marts.t (a int); INSERT INTO marts.t VALUES (1);"
        "CREATE MATERIALIZED VIEW marts.v AS SELECT * FROM marts.t WITH NO DATA"
    )
    named = '[transforms.refresh_marts]\nconnection = "marts"\nsql = "REFRESH MATERIALIZED VIEW marts.v"\n'
    named += f'[transforms.here]\nsql = "{say("the target is meant")}"\n'
    flow.project(with_steps({"transform_ref": "refresh_marts"}, {"transform_ref": "here"}, named=named))
    report = flow("run", "customers", "--output", "json", env={"EMATIX_FLOW_DSN_MARTS": marts.dsn}).json()
    assert [each["name"] for each in report["transforms"]] == ["refresh_marts", "here"]
    assert marts.value("SELECT a FROM marts.v") == 1
    # The history is that of the load's target.
    assert [row[0] for row in database.rows(CHILDREN)] == ["refresh_marts", "here"]
    assert marts.value("SELECT to_regclass('ematix_flow.run_history') IS NULL")
    assert said(database) == ["the target is meant"]


def test_a_connection_that_nobody_knows_is_found_before_the_load(flow: Flow, database: Database) -> None:
    named = '[transforms.t]\nconnection = "nowhere"\nsql = "SELECT 1"\n'
    flow.project(with_steps({"transform_ref": "t"}, named=named))
    failed = flow("run", "customers", expect=2)
    assert "error[unknown_connection]" in failed.stderr
    assert database.value("SELECT to_regclass('analytics.dim_customers') IS NULL")


def test_a_connection_that_cannot_be_reached_fails_the_transform(flow: Flow, database: Database) -> None:
    named = '[connections.away]\ndsn = "postgresql://127.0.0.1:1/x"\n[transforms.t]\nconnection = "away"\nsql = "SELECT 1"\n'
    flow.project(with_steps({"transform_ref": "t"}, named=named))
    report = flow("run", "customers", "--output", "json", expect=1).json()
    assert (report["error"]["code"], report["committed"]) == ("transform_failed", True)
    assert report["error"]["context"]["cause"] == "connect_failed"
    assert [row[1] for row in database.rows(CHILDREN)] == ["failed"]


@pytest.mark.parametrize("wish", ["interrupt", "terminate"])
def test_a_signal_cancels_a_transform_on_the_server(wish: str, flow: Flow, database: Database) -> None:
    flow.project(with_steps([say("gone")][0] + "; SELECT pg_sleep(60)", say("never")))
    running = flow.start("run", "customers", "--output", "json")
    wait_for_statement(database, "SELECT pg_sleep(60)")
    getattr(running, wish)()
    ended = running.finish(130 if wish == "interrupt" else 143)
    report = ended.json()
    assert (report["status"], report["committed"], report["error"]["code"]) == ("cancelled", True, "cancelled")
    assert "the load stands" in report["error"]["hint"]
    assert [each["status"] for each in report["transforms"]] == ["cancelled", "skipped"]
    assert [(row[1], row[2], row[4]) for row in database.rows(CHILDREN)] == [("cancelled", "cancelled", "success")]
    assert said(database) == []
    wait_until_nothing_is_left(database)


def test_a_transform_whose_process_was_killed_is_lost_and_its_load_is_not(flow: Flow, database: Database) -> None:
    config = with_steps("SELECT pg_sleep(60)", lease="1s")
    running = flow.start("run", "customers", config=config)
    wait_for_statement(database, "SELECT pg_sleep(60)")
    running.kill()
    running.finish(None)
    expired = (
        "SELECT count(*) FROM ematix_flow.run_history WHERE status = 'running' AND lease_until < clock_timestamp()"
    )
    wait_until(lambda: database.value(expired) == 1, "the lease has run out")
    shown = flow("history", "customers", "--output", "json").json()["runs"]
    assert [(run["status"], [each["status"] for each in run["transforms"]]) for run in shown] == [("success", ["lost"])]
    flow("run", "customers", config=with_steps(say("next")))
    assert statuses(database) == ["success", "lost", "success", "success"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"statement_timeout": "1s"}, "statement_timeout ran out"),
        ({"run_timeout": "2s"}, 'the run took longer than run_timeout = "2s"'),
    ],
)
def test_the_limits_of_a_run_hold_for_its_transforms(
    limits: dict[str, str], words: str, flow: Flow, database: Database
) -> None:
    slow = {"sql": "SELECT pg_sleep(60)", "on_failure": "continue"}
    flow.project(with_steps(slow, say("after"), **limits))
    report = flow("run", "customers", "--output", "json", expect=1).json()
    message = report["error"]["message"].splitlines()[0]
    assert message == f"SELECT pg_sleep(60) failed after the load: {words}"
    assert report["error"]["context"]["cause"] == "timeout"
    # Where the time of the whole run is over, nothing else begins.
    assert said(database) == (["after"] if "statement_timeout" in limits else [])
    wait_until_nothing_is_left(database)


def test_a_transform_outlives_its_lease(flow: Flow, database: Database) -> None:
    flow.project(with_steps("SELECT pg_sleep(3)", lease="1s"))
    assert flow("run", "customers", "--output", "json").json()["transforms"][0]["status"] == "success"


def test_history_status_and_logs_show_transforms_with_their_load(flow: Flow, database: Database) -> None:
    flow.project(with_steps(say("one")))
    flow("run", "customers")
    flow.project(with_steps("SELECT 1/0"))
    failed = flow("run", "customers", "--output", "json", expect=1).json()
    runs = flow("history", "customers", "--limit", "1", "--output", "json").json()["runs"]
    assert [(run["run_id"], run["status"]) for run in runs] == [(failed["run_id"], "success")]
    (shown,) = runs[0]["transforms"]
    assert (shown["name"], shown["status"], shown["error_code"]) == ("SELECT 1/0", "failed", "transform_failed")
    text = flow("history", "customers").stdout.splitlines()
    assert [line.split()[0] for line in text] == ["STATUS", "success", "failed", "success", "success"]
    # A transform is no run of the pipeline: neither its last, nor one of its last.
    status = flow("status", "customers", "--output", "json").json()["pipelines"][0]
    assert (status["last_run"]["run_id"], status["last_run"]["status"]) == (failed["run_id"], "success")
    log = flow("logs", failed["run_id"][-8:]).stdout
    assert "AFTER THE COMMIT" in log and "SELECT 1/0 failed after the load: division by zero" in log
    own = flow("logs", failed["transforms"][0]["run_id"][-8:]).stdout
    assert own.startswith("customers: SELECT 1/0  failed  ") and "[transform_failed]" in own


def test_several_targets_have_their_transforms_once_after_the_one_commit(flow: Flow, database: Database) -> None:
    count = "INSERT INTO public.log SELECT 'all ' || (SELECT count(*) FROM {}) + (SELECT count(*) FROM dw.log)"
    flow.project(
        "[defaults]\ntransforms_post = [\"SELECT 'of the defaults'\"]\n"
        "[pipelines.people]\n"
        'source = { table = "app.customers" }\n'
        'keys = "customer_id"\n'
        f'transforms_post = ["{count.format("dw.people")}"]\n'
        f'targets = [{{ target = "dw.people", mode = "merge", transforms_post = ["{say("of people")}"] }},'
        ' { target = "dw.log", mode = "append", keys = [] }]\n'.replace(", keys = []", "")
    )
    report = flow("run", "people", "--output", "json").json()
    assert report["status"] == "success", report["error"]
    assert said(database) == ["of people", "all 20"]
    assert [each["transforms"] for each in report["targets"]] == [[], []]
    assert [each["status"] for each in report["transforms"]] == ["success", "success"]
    assert {row[3] for row in database.rows(CHILDREN) if row[0] is not None} == {"people"}
    steps = flow("plan", "people", "--output", "json").json()["pipelines"][0]["steps"]
    assert [step["kind"] for step in steps].count("transform") == 2


VACUUM_HINT = 'write { sql = \\"VACUUM core.orders\\", transaction = false }'


@pytest.mark.parametrize(
    ("steps", "named", "code", "message", "hint"),
    [
        (['""'], "", "invalid_value", "the SQL of a transform is empty", ""),
        (
            ['"VACUUM core.orders"'],
            "",
            "invalid_value",
            "VACUUM cannot run inside of a transaction",
            "transaction = false }",
        ),
        (['"BEGIN; SELECT 1"'], "", "invalid_value", "BEGIN in a transform", "transaction = false"),
        (['"SELECT \'a"'], "", "invalid_value", "a string is not closed", ""),
        (
            ['{ transform_ref = "refresh_mart" }'],
            "",
            "unknown_option",
            "no transform `refresh_mart`",
            "did you mean `refresh_marts`?",
        ),
        (
            ['{ transform_ref = "x", transaction = false }'],
            "",
            "conflicting_options",
            "`transaction` and `transform_ref`",
            "",
        ),
        (['{ transform_ref = "x", sql = "SELECT 1" }'], "", "conflicting_options", "`sql` and `transform_ref`", ""),
        (['{ on_failure = "stop" }'], "", "missing_option", "neither `sql` nor `transform_ref`", ""),
        (['{ sql = "SELECT 1", on_failure = "ignore" }'], "", "invalid_value", "cannot be `ignore`", "stop, continue"),
        (['{ sqll = "SELECT 1" }'], "", "unknown_option", "unknown option `sqll`", "did you mean `sql`?"),
        (["1"], "", "invalid_value", "must be a string or a table", "transform_ref"),
    ],
)
def test_what_is_wrong_with_a_step_is_found_at_its_place(
    steps: list[str], named: str, code: str, message: str, hint: str, flow: Flow
) -> None:
    text = '[transforms.refresh_marts]\nsql = "SELECT 1"\n[pipelines.p]\nsource = { table = "app.customers" }\n'
    text += f'target = "dw.p"\nmode = "append"\ntransforms_post = ["SELECT 1", {", ".join(steps)}]\n{named}'
    flow.project(text)
    (error,) = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert error["code"] == code and message in error["message"], error
    said = (error["hint"] or "") + str((error["location"].get("excerpt") or {}).get("label"))
    shown = flow("validate", expect=2).stderr
    assert hint in shown and hint.split()[:1] == hint.split()[:1], said
    assert error["location"]["line"] == 7


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("[transforms.t]\nconnection = 'dwh'", "missing_option", "transform `t` has no `sql`"),
        ("[transforms.t]\nsql = 'VACUUM'\n", "invalid_value", "VACUUM cannot run inside of a transaction"),
        ("[transforms.t]\nsql = []\n", "invalid_value", "empty list"),
        ("[transforms.t]\nsql = 'SELECT 1'\nschedule = 'often'\n", "invalid_schedule", "often"),
        ("[transforms.t]\nsql = 'SELECT 1'\nshedule = 'x'\n", "unknown_option", "unknown option `shedule`"),
        (
            "[connections.r]\nread_only = true\n[transforms.t]\nconnection = 'r'\nsql = 'SELECT 1'\n",
            "read_only_target",
            "declared read_only",
        ),
    ],
)
def test_what_is_wrong_with_a_transform_is_found_by_validation(text: str, code: str, message: str, flow: Flow) -> None:
    flow.project(
        '[pipelines.p]\nsource = { table = "app.customers" }\ntarget = "dw.p"\nmode = "append"\n'
        f'transforms_post = [{{ transform_ref = "t" }}]\n{text}'
    )
    errors = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert [(error["code"], message in error["message"]) for error in errors] == [(code, True)], errors
    assert errors[0]["location"]["line"] > 5


def test_metadata_of_the_first_version_are_read_and_migrated(flow: Flow, database: Database) -> None:
    flow.project(project("merge"))
    flow("run", "customers")
    database.execute(
        "ALTER TABLE ematix_flow.run_history DROP COLUMN metrics, DROP COLUMN cancel_asked;"
        " ALTER TABLE ematix_flow.run_history DROP COLUMN instant, DROP COLUMN watermark_column,"
        " DROP COLUMN read_from, DROP COLUMN rewound_to;"
        " ALTER TABLE ematix_flow.slots DROP COLUMN due_at, DROP COLUMN covers_from, DROP COLUMN missed, DROP COLUMN reason;"
        " DROP TABLE ematix_flow.pauses, ematix_flow.feature_views, ematix_flow.loaded_files; UPDATE ematix_flow.metadata SET version = 1"
    )
    assert len(flow("history", "customers", "--output", "json").json()["runs"]) == 1
    flow.project(with_steps(say("migrated")))
    flow("run", "customers")
    assert database.value("SELECT version FROM ematix_flow.metadata") == 5
    assert [row[1] for row in database.rows(CHILDREN)] == ["success"] and said(database) == ["migrated"]


@pytest.mark.parametrize("copy", ["COPY public.log FROM STDIN", "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv)"])
def test_rows_of_a_copy_have_no_client_in_a_transform(copy: str, flow: Flow, database: Database) -> None:
    flow.project(with_steps(say("one"), copy))
    refused = flow("run", "customers", expect=2).stderr
    assert "error[invalid_value]: COPY … FROM STDIN or TO STDOUT in a transform" in refused
    assert "hint: write INSERT … SELECT, or COPY from a file of the server" in refused
    assert database.value("SELECT to_regclass('analytics.dim_customers')") is None


def test_transforms_that_begin_alike_have_numbers(flow: Flow, database: Database) -> None:
    flow.project(with_steps(say("one"), say("two"), say("one"), say("one")))
    report = flow("run", "customers", "--output", "json").json()
    one = say("one")
    assert [each["name"] for each in report["transforms"]] == [one, say("two"), f"{one} (2)", f"{one} (3)"]


def test_a_transform_without_a_connection_is_mended_where_it_ran(
    flow: Flow, database: Database, new_database: Any
) -> None:
    """Alone it would run on `default`: who follows the hint does not run it in another database."""
    dwh = new_database()
    flow.variables["DWH"] = dwh.dsn
    named = '[connections.dwh]\ndsn = "${env:DWH}"\n[transforms.broken]\nsql = "SELECT 1 / 0"\n'
    flow.project(with_steps({"transform_ref": "broken"}, named=named, target_connection="dwh"))
    hint = flow("run", "customers", "--output", "json", expect=1).json()["error"]["hint"]
    assert hint == (
        "the load stands; mend the transform, the next run does it again: alone it would run on `default`, for it names"
        " no connection"
    )
    flow.project(with_steps({"transform_ref": "broken"}, named=named.replace("SELECT", "SELECT 2 *")))
    hint = flow("run", "customers", "--output", "json", expect=1).json()["error"]["hint"]
    assert hint.endswith("run it again: flow transform run broken")


def test_a_connection_of_a_transform_is_doubted_as_those_of_pipelines_are(flow: Flow, database: Database) -> None:
    """A slip is told at its line; what an environment may bring is unchecked. A run needs it, and says where."""
    named = '[connections.marts]\ndsn = "host=x"\n[transforms.t]\nsql = "SELECT 1"\nconnection = "{}"\n'
    flow.project(with_steps({"transform_ref": "t"}, named=named.format("mart")))
    warned = flow("validate").stderr
    assert "[unknown_connection]: there is no connection `mart`" in warned and 'connection = "mart"' in warned, warned
    for steps in ([{"transform_ref": "t"}], []):
        flow.project(with_steps(*steps, named=named.format("nowhere")))
        assert "the connection nowhere, which nothing here declares" in flow("validate").stdout
    for command in (("run", "customers"), ("transform", "run", "t")):
        flow.project(with_steps({"transform_ref": "t"}, named=named.format("nowhere")))
        said = flow(*command, expect=2).stderr
        assert "error[unknown_connection]" in said and '| connection = "nowhere"' in said, said
