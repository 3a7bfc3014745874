"""Transforms with a name: listed, run by themselves, by their schedules, and after loads; SQL of a file and functions of
Python alike, by the native binary and by the package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from customers import SOURCE, project, statuses, wait_for_statement, wait_until, wait_until_nothing_is_left
from database import Database
from flow_binary import Flow
from python_package import PACKAGE, Interpreter

pytestmark = pytest.mark.clock

LOG = "CREATE TABLE public.log (said text NOT NULL, at xid8 DEFAULT pg_current_xact_id());"
SQL = """
[transforms.refresh]
sql = "INSERT INTO public.log VALUES ('refreshed')"
schedule = "0 6 * * *"
timezone = "Europe/Paris"
description = "The marts"
"""
SHOP = """
import os, time
from ematix_flow import Pipeline, Source, ematix, sql

@ematix.transform(connection="default", schedule="0 6 * * *", timezone="Europe/Paris")
def count(conn):
    \"\"\"Counts.\"\"\"
    print("a word of the function's")
    conn.execute("INSERT INTO public.log VALUES (:word)", {"word": "counted"})
    return {"rows": conn.query("SELECT count(*) AS n FROM public.log")[0]["n"], "of": ["a", 1.5]}

def loaded(conn, run):
    conn.execute("INSERT INTO public.log VALUES ($1)", [f"{run.pipeline} {run.rows_inserted} {run.committed}"])
    return {"run_id": run.run_id}

def broken(conn):
    conn.execute("INSERT INTO public.log VALUES ('gone')")
    raise ZeroDivisionError("in the user's line")

def no_json(conn):
    conn.execute("INSERT INTO public.log VALUES ('gone')")
    return {"what": object()}

def slow(conn):
    conn.execute("INSERT INTO public.log VALUES ('gone')")
    conn.execute("SELECT pg_sleep(60)")

def asleep(conn):
    conn.execute("INSERT INTO public.log VALUES ('gone')")
    print("asleep", flush=True)
    open("asleep", "w").close()
    time.sleep(60)

def shop(*steps, **options):
    return Pipeline(
        name="customers", source=Source.postgres_table("default", "app", "customers"),
        target="analytics.dim_customers", mode="merge", keys="customer_id", transforms_post=list(steps), **options)
"""


@pytest.fixture(autouse=True)
def source(database: Database) -> None:
    database.execute(SOURCE + LOG)


class Native:
    """The binary, which starts an interpreter."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        flow.variables |= {"EMATIX_FLOW_PYTHON": sys.executable, "PYTHONPATH": str(PACKAGE), "PYTHONSAFEPATH": ""}

    def start(self, steps: str, *arguments: str, options: str = "") -> Any:
        (self.flow.directory / "jobs.py").write_text(f"{SHOP}\nshop({steps}{options})\n", encoding="utf-8")
        return self.flow.start("--module", "jobs", *arguments)

    def __call__(self, steps: str, *arguments: str, expect: int = 0, options: str = "") -> Any:
        return self.start(steps, *arguments, options=options).finish(expect)


class Wheel:
    """The package's command, in whose process the functions run."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.python = Interpreter(directory, {"EMATIX_FLOW_DSN": database.dsn})

    def __call__(self, steps: str, *arguments: str, expect: int = 0, options: str = "") -> Any:
        self.python.write("jobs.py", f"{SHOP}\nshop({steps}{options})\n")
        return self.python.flow("--module", "jobs", *arguments, expect=expect)


@pytest.fixture(params=["native", "wheel"])
def shop(request: pytest.FixtureRequest, flow: Flow, database: Database, tmp_path: Path) -> Any:
    return Native(flow) if request.param == "native" else Wheel(database, tmp_path)


def said(database: Database) -> list[str]:
    return [word for (word,) in database.rows("SELECT said FROM public.log ORDER BY at, said")]


# --- SQL of a file -------------------------------------------------------------------------------------------------


def test_transforms_are_listed(flow: Flow) -> None:
    flow.project(SQL + project("merge"))
    (listed,) = flow("transform", "list", "--output", "json").json()["transforms"]
    assert listed.pop("next").endswith(":00:00Z")
    assert listed == {
        "name": "refresh",
        "kind": "sql",
        "connection": "default",
        "schedule": "0 6 * * *",
        "timezone": "Europe/Paris",
        "description": "The marts",
    }
    head, line = flow("transform", "list").stdout.splitlines()
    assert head.split() == ["NAME", "KIND", "CONNECTION", "SCHEDULE", "NEXT"] and line.startswith(
        "refresh  sql   default"
    )
    flow.project(project("merge"))
    assert flow("transform", "list").stdout == "no transforms are declared\n"


def test_a_transform_runs_by_its_name_and_is_recorded_where_it_ran(flow: Flow, database: Database) -> None:
    flow.project(SQL)
    ran = flow("transform", "run", "refresh", "--output", "json")
    report = ran.json()
    assert (report["schema"], report["name"], report["status"]) == ("ematix.transform-run.v1", "refresh", "success")
    assert ran.stderr.startswith("success  refresh  ")
    assert said(database) == ["refreshed"]
    recorded = "SELECT pipeline_name, step_name, status, started_by, parent_run_id, mode FROM ematix_flow.run_history"
    assert database.rows(recorded) == [("refresh", "refresh", "success", "cli", None, None)]
    assert flow("logs", report["run_id"][-8:]).stdout.startswith("refresh  success  ")


def test_a_transform_that_fails_by_itself_ends_with_1(flow: Flow, database: Database) -> None:
    flow.project('[transforms.bad]\nsql = ["INSERT INTO public.log VALUES (1)", "SELECT 1/0"]\n')
    report = flow("transform", "run", "bad", "--output", "json", expect=1).json()
    assert (report["status"], report["error"]["code"]) == ("failed", "transform_failed")
    assert report["error"]["message"].splitlines()[0] == "bad failed: division by zero"
    assert report["error"]["location"]["line"] == 1
    assert said(database) == [] and statuses(database) == ["failed"]


def test_a_name_that_no_transform_has_is_told(flow: Flow) -> None:
    flow.project(SQL)
    failed = flow("transform", "run", "refresj", expect=2)
    assert "error[unknown_option]: there is no transform `refresj`" in failed.stderr
    assert "did you mean `refresh`?" in failed.stderr


def test_a_transform_alone_without_a_server_ends_with_6(flow: Flow) -> None:
    flow.project(
        '[connections.away]\ndsn = "postgresql://127.0.0.1:1/x"\n[transforms.t]\nconnection = "away"\nsql = "SELECT 1"\n'
    )
    assert "error[connect_failed]" in flow("transform", "run", "t", expect=6).stderr


def test_a_signal_cancels_a_transform_that_runs_alone(flow: Flow, database: Database) -> None:
    flow.project('[transforms.slow]\nsql = "SELECT pg_sleep(60)"\n')
    running = flow.start("transform", "run", "slow", "--output", "json")
    wait_for_statement(database, "SELECT pg_sleep(60)")
    running.terminate()
    assert running.finish(143).json()["status"] == "cancelled"
    assert statuses(database) == ["cancelled"]
    wait_until_nothing_is_left(database)


def test_run_due_serves_a_slot_of_a_transform_once(flow: Flow, database: Database) -> None:
    flow.project(SQL + project("merge"))
    first = flow("run-due", "--output", "json").json()
    assert (first["runs"], first["transforms"], first["errors"]) == ([], [], [])
    # As if nobody had asked since the slot before the last.
    database.execute("UPDATE ematix_flow.slots SET slot = slot - interval '2 days'")
    second = flow("run-due", "--output", "json").json()
    assert [(each["name"], each["status"]) for each in second["transforms"]] == [("refresh", "success")]
    assert flow("run-due", "--output", "json").json()["transforms"] == []
    assert said(database) == ["refreshed"]
    recorded = "SELECT pipeline_name, started_by, slot IS NOT NULL FROM ematix_flow.run_history"
    assert database.rows(recorded) == [("refresh", "run-due", True)]
    # Who names pipelines means those.
    database.execute(
        "UPDATE ematix_flow.slots SET slot = slot - interval '2 days'; DELETE FROM ematix_flow.run_history"
    )
    assert flow("run-due", "customers", "--output", "json").json()["transforms"] == []


def test_a_pipeline_of_the_same_name_has_slots_and_runs_of_its_own(flow: Flow, database: Database) -> None:
    same = project("merge", schedule="0 6 * * *").replace("[pipelines.customers]", "[pipelines.refresh]")
    flow.project(SQL + same)
    flow("run-due")
    database.execute("UPDATE ematix_flow.slots SET slot = slot - interval '2 days'")
    due = flow("run-due", "--output", "json").json()
    assert [each["pipeline"] for each in due["runs"]] == ["refresh"]
    assert [each["name"] for each in due["transforms"]] == ["refresh"]
    assert len(flow("history", "refresh", "--output", "json").json()["runs"]) == 1
    again = flow("run-due", "--output", "json").json()
    assert (again["runs"], again["transforms"]) == ([], [])


def test_run_due_goes_on_without_a_transform_that_is_faulty(flow: Flow, database: Database) -> None:
    flow.project(SQL + '[transforms.bad]\nsql = "VACUUM"\nschedule = "0 6 * * *"\n')
    found = flow("run-due", "--output", "json", expect=2).json()
    assert [error["code"] for error in found["errors"]] == ["invalid_value"]
    assert database.value("SELECT count(*) FROM ematix_flow.slots") == 1


def test_the_example_of_a_refresh_works_as_printed(flow: Flow, database: Database) -> None:
    # The project of the examples, without its notices.
    database.execute("""
        CREATE TABLE public.orders (order_id bigint PRIMARY KEY, amount numeric NOT NULL);
        INSERT INTO public.orders VALUES (1, 20), (2, 5);
        CREATE SCHEMA core; CREATE TABLE core.orders (LIKE public.orders INCLUDING ALL);
        CREATE SCHEMA marts;
        CREATE MATERIALIZED VIEW marts.revenue AS SELECT 1 AS id, sum(amount) AS revenue FROM core.orders;
        CREATE UNIQUE INDEX ON marts.revenue (id)
    """)
    flow.project("""
[transforms.refresh_marts]
connection = "dwh"
sql = ["REFRESH MATERIALIZED VIEW CONCURRENTLY marts.revenue", "ANALYZE marts.revenue"]
schedule = "0 6 * * *"
timezone = "Europe/Paris"
[pipelines.orders]
source = { connection = "app", table = "public.orders" }
target = "core.orders"
target_connection = "dwh"
mode = "merge"
transforms_post = [{ sql = "VACUUM (ANALYZE) core.orders", transaction = false, on_failure = "continue" }, { transform_ref = "refresh_marts" }]
""")
    flow.variables |= {"EMATIX_FLOW_DSN_APP": database.dsn, "EMATIX_FLOW_DSN_DWH": database.dsn}
    report = flow("run", "orders", "--output", "json").json()
    assert [each["status"] for each in report["transforms"]] == ["success", "success"], report["error"]
    assert database.value("SELECT revenue FROM marts.revenue") == 25


# --- functions -------------------------------------------------------------------------------------------------------


def test_a_function_runs_after_the_load_in_one_transaction_with_metrics(shop: Any, database: Database) -> None:
    ran = shop("count, loaded, 'SELECT 1'", "run", "customers", "--output", "json")
    report = json.loads(ran.stdout)
    assert report["status"] == "success", report["error"]
    found = {each["name"]: each["metrics"] for each in report["transforms"]}
    expected = {
        "count": {"rows": 1, "of": ["a", 1.5]},
        "customers.loaded": {"run_id": report["run_id"]},
        "SELECT 1": {},
    }
    assert found == expected
    assert said(database) == ["counted", "customers 10 True"]
    recorded = (
        "SELECT step_name, status, metrics FROM ematix_flow.run_history WHERE step_name IS NOT NULL ORDER BY started_at"
    )
    assert database.rows(recorded) == [(name, "success", metrics or None) for name, metrics in expected.items()]
    # What it prints is no part of the answer.
    assert "a word of the function's" in ran.stderr
    shown = json.loads(shop("count", "history", "customers", "--output", "json").stdout)["runs"][0]["transforms"]
    assert shown[0]["metrics"] == expected["count"]


def test_a_function_that_raises_rolls_back_and_tells_its_line(shop: Any, database: Database) -> None:
    ran = shop("broken", "run", "customers", "--output", "json", expect=1)
    report = json.loads(ran.stdout)
    assert (report["status"], report["committed"], report["error"]["code"]) == ("failed", True, "transform_failed")
    message = report["error"]["message"].splitlines()
    assert message == [
        "customers.broken failed after the load: transform `customers.broken` raised an exception",
        "ZeroDivisionError: in the user's line",
    ]
    line = SHOP.splitlines().index('    raise ZeroDivisionError("in the user\'s line")') + 1
    assert (report["error"]["location"]["file"], report["error"]["location"]["line"]) == ("jobs.py", line)
    assert report["error"]["context"]["exception"] == "ZeroDivisionError"
    assert "Traceback" in ran.stderr
    assert said(database) == [] and statuses(database) == ["success", "failed"]


def test_metrics_that_are_no_json_are_an_error_that_says_so(shop: Any, database: Database) -> None:
    report = json.loads(shop("no_json", "run", "customers", "--output", "json", expect=1).stdout)
    assert "returned metrics that are no JSON: <object object at" in report["error"]["message"]
    assert said(database) == []


def test_functions_are_listed_run_and_scheduled_by_their_names(shop: Any, database: Database) -> None:
    listed = json.loads(shop("loaded", "transform", "list", "--output", "json").stdout)["transforms"]
    assert [(each["name"], each["kind"], each["schedule"]) for each in listed] == [
        ("count", "function", "0 6 * * *"),
        ("customers.loaded", "function", None),
    ]
    report = json.loads(shop("", "transform", "run", "count", "--output", "json").stdout)
    assert (report["status"], report["metrics"]["rows"]) == ("success", 1)
    shop("", "run-due")
    database.execute("UPDATE ematix_flow.slots SET slot = slot - interval '2 days'")
    due = json.loads(shop("", "run-due", "--output", "json").stdout)
    assert [(each["name"], each["metrics"]["rows"]) for each in due["transforms"]] == [("count", 2)]


def test_plan_and_dry_run_call_no_function(shop: Any, database: Database) -> None:
    assert "after the commit: count   on default, a function" in shop("count", "plan", "customers").stdout
    dry = json.loads(shop("count", "dry-run", "customers", "--output", "json").stdout)
    assert [(each["name"], each["status"]) for each in dry["transforms"]] == [("count", "skipped")]
    assert said(database) == []


def test_a_name_of_the_file_and_of_python_is_declared_twice(flow: Flow) -> None:
    flow.project('[transforms.count]\nsql = "SELECT 1"\n')
    failed = Native(flow)("", "transform", "list", expect=2)
    assert "error[duplicate_name]: the transform `count` is declared twice" in failed.stderr
    assert "first at pipelines.toml:1" in failed.stderr and "jobs.py:5" in failed.stderr


@pytest.mark.parametrize("function", ["slow", "asleep"])
@pytest.mark.parametrize("wish", ["interrupt", "terminate", "kill"])
def test_a_function_ends_with_its_run(wish: str, function: str, flow: Flow, database: Database) -> None:
    running = Native(flow).start(function, "run", "customers", "--output", "json", options=", lease='1s'")
    if function == "slow":
        in_it = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%%' AND state = 'active' AND datname = current_database()"
        wait_until(lambda: database.value(in_it) == 1, "the function waits on the server")
    else:
        wait_until((flow.directory / "asleep").exists, "the function sleeps")
    getattr(running, wish)()
    ended = running.finish({"interrupt": 130, "terminate": 143, "kill": -9}[wish])
    if wish != "kill":
        report = ended.json()
        assert (report["status"], report["committed"]) == ("cancelled", True)
        assert statuses(database) == ["success", "cancelled"]
    wait_until_nothing_is_left(database)
    assert said(database) == []
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: database.value(others) == 0, "the function's session is gone")


@pytest.mark.parametrize("function", ["slow", "asleep"])
def test_ctrl_c_ends_a_function_of_this_process(function: str, database: Database, tmp_path: Path) -> None:
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})
    process = python.start(
        f"{SHOP}\ntry:\n    shop({function}).run()\nexcept KeyboardInterrupt:\n    print('stopped')\n"
    )
    in_it = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%%' AND state = 'active' AND datname = current_database()"
    if function == "slow":
        wait_until(lambda: database.value(in_it) == 1, "the function waits on the server")
        import signal

        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        assert stdout.endswith("stopped\n"), stderr
        assert statuses(database) == ["success", "cancelled"]
    else:
        wait_until((tmp_path / "asleep").exists, "the function sleeps")
        process.kill()
        process.communicate()
    wait_until_nothing_is_left(database)
    assert said(database) == []


def test_a_limit_of_the_run_holds_for_a_function(shop: Any, database: Database) -> None:
    options = ", statement_timeout='1s'"
    report = json.loads(shop("slow", "run", "customers", "--output", "json", expect=1, options=options).stdout)
    assert "statement_timeout" in report["error"]["message"]
    assert said(database) == []


# --- from Python -------------------------------------------------------------------------------------------------


@pytest.fixture
def python(database: Database, tmp_path: Path) -> Interpreter:
    return Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})


def test_the_report_of_a_run_has_its_transforms(python: Interpreter, database: Database) -> None:
    text = f"""{SHOP}
report = shop(loaded, "ANALYZE analytics.dim_customers", sql("VACUUM analytics.dim_customers", transaction=False)).run()
print([(each.name, each.status, type(each.duration_ms).__name__) for each in report.transforms])
assert report.transforms[0].metrics == {{"run_id": str(report.run_id)}}
assert "customers.loaded" in report._repr_html_()
print(repr(report))
"""
    names, shown = python.run(text).stdout.splitlines()
    assert names == str(
        [
            (name, "success", "int")
            for name in ("customers.loaded", "ANALYZE analytics.dim_customers", "VACUUM analytics.dim_customers")
        ]
    )
    assert "transforms=" in shown


def test_a_transform_that_fails_raises_with_the_report_and_its_cause(python: Interpreter, database: Database) -> None:
    text = f"""{SHOP}
from ematix_flow import TargetError
try:
    shop(broken).run()
except TargetError as error:
    assert isinstance(error.__cause__, ZeroDivisionError), error.__cause__
    print(error.code, error.report.status, error.report.committed)
"""
    assert python.run(text).stdout == "transform_failed failed True\n"
    assert statuses(database) == ["success", "failed"]


def test_two_functions_of_one_name_are_two_transforms(python: Interpreter) -> None:
    text = f"""{SHOP}
def one(conn): return {{"n": 1}}
first = one
def one(conn): return {{"n": 2}}
print([(each.name, each.metrics["n"]) for each in shop(first, one).run().transforms])
"""
    assert python.run(text).stdout == "[('customers.one', 1), ('customers.one_2', 2)]\n"


def test_a_declared_transform_given_as_a_function_is_that_transform(python: Interpreter) -> None:
    assert python.run(f"{SHOP}\nprint([each.name for each in shop(count).run().transforms])").stdout.endswith(
        "['count']\n"
    )


def test_a_driver_of_the_function_commits_and_rolls_back_with_it(python: Interpreter, database: Database) -> None:
    text = f"""{SHOP}
def good(conn):
    with conn.dbapi().cursor() as cursor:
        cursor.execute("INSERT INTO public.log VALUES (%s)", ["by psycopg"])

def bad(conn):
    conn.dbapi().execute("INSERT INTO public.log VALUES ('gone')")
    raise ValueError("no")
"""
    python.run(f"{text}\nshop(good).run()")
    python.run(f"{text}\nshop(bad).run()", expect=1)
    assert said(database) == ["by psycopg"]
    failed = python.run(f"{text}\nimport sys\nsys.modules['psycopg'] = None\nshop(good).run()", expect=1)
    assert "there is no psycopg" in failed.stderr and "pip install" in failed.stderr


def test_what_is_said_for_this_once_may_name_a_transform_and_no_function(
    python: Interpreter, database: Database
) -> None:
    text = f"""{SHOP}
from ematix_flow import SpecError
p = shop("SELECT 1")
print([each.name for each in p.run(transforms_post=[ematix.transform_ref("count")]).transforms])
try:
    p.run(transforms_post=[loaded])
except SpecError as error:
    print(error.hint)
"""
    words, hint = python.run(text).stdout.splitlines()[-2:]
    assert words == "['count']" and "@ematix.transform" in hint


@pytest.mark.parametrize(
    "function", ["def f(conn, run, more): ...", "def f(conn, *, more): ...", "def f(a, b, c, d=1): ..."]
)
@pytest.mark.parametrize("declared", [True, False], ids=["a transform", "a function of a pipeline"])
def test_a_function_that_needs_more_than_there_is_is_refused_at_its_declaration(
    function: str, declared: bool, python: Interpreter
) -> None:
    use = "@ematix.transform()\n" + function if declared else function + "\nshop(f)"
    said = python.run(f"{SHOP}\n{use}", expect=1).stderr
    assert "SpecError" in said and "the function needs" in said and "it is called with a connection" in said, said
    for good in ("def f(): ...", "def f(conn): ...", "def f(conn, run=None, more=1): ...", "def f(*all, **more): ..."):
        python.run(f"{SHOP}\n" + ("@ematix.transform()\n" + good if declared else good + "\nshop(f)"))
