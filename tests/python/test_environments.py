"""Variables and environments: one project, run as it is, under `--env`, and with `--var`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from database import Database
from flow_binary import Flow

PIPELINE = """
[pipelines.dim_customer]
source = { connection = "app", table = "public.customers" }
target = "dim_customer"
mode = "merge"
"""


def project(flow: Flow, files: Database, ci: Database) -> None:
    (flow.directory / "pipelines").mkdir()
    (flow.directory / "pipelines" / "customer.toml").write_text(PIPELINE)
    flow.project(f"""
include = ["pipelines/*.toml"]
[vars]
schema = "analytics"
[connections.app]
dsn = "{files.dsn}"
[connections.dwh]
dsn = "{files.dsn}"
[defaults]
target_connection = "dwh"
every = "1m"
first_run = "now"
[tables.dim_customer]
schema = "{{schema}}"
primary_key = ["id"]
columns = {{ id = "bigint", email = "text?" }}
[environments.dev]
vars.schema = "dev_${{env:USER}}"
defaults.enabled = false
[environments.ci]
connections.app.dsn = "${{env:CI_DSN}}"
connections.dwh.dsn = "${{env:CI_DSN}}"
""")
    for database, email in ((files, "files"), (ci, "ci")):
        database.execute(
            "CREATE TABLE public.customers (id bigint PRIMARY KEY, email text);"
            f"INSERT INTO public.customers VALUES (1, '{email}')"
        )


@pytest.fixture
def ci(flow: Flow, database: Database, new_database: Callable[[], Database]) -> Database:
    other = new_database()
    project(flow, database, other)
    flow.variables |= {"CI_DSN": other.dsn, "USER": "ann"}
    return other


def test_an_environment_moves_connections_and_vars_and_nothing_moves_without_it(
    flow: Flow, database: Database, ci: Database
) -> None:
    flow("run", "dim_customer")
    flow("--env", "dev", "run", "dim_customer")
    flow("run", "dim_customer", env={"EMATIX_FLOW_ENV": "ci"})
    flow("run", "dim_customer", "--env", "ci", "--var", "schema=other")
    assert database.rows("SELECT * FROM analytics.dim_customer") == [(1, "files")]
    assert database.rows("SELECT * FROM dev_ann.dim_customer") == [(1, "files")]
    assert ci.rows("SELECT * FROM analytics.dim_customer") == [(1, "ci")]
    assert ci.rows("SELECT * FROM other.dim_customer") == [(1, "ci")]
    # An environment variable of the connection comes before the environment.
    flow("run", "dim_customer", "--env", "ci", "--var", "schema=third", env={"EMATIX_FLOW_DSN_DWH": database.dsn})
    assert database.rows("SELECT * FROM third.dim_customer") == [(1, "ci")]


def test_defaults_of_an_environment_keep_schedules_from_firing(flow: Flow, ci: Database) -> None:
    assert flow("run-due", "--env", "dev", "--output", "json").json()["runs"] == []
    assert [run["status"] for run in flow("run-due", "--output", "json").json()["runs"]] == ["success"]


def test_connections_list_says_which_environment_leads(flow: Flow, ci: Database) -> None:
    lines = flow("--env", "ci", "connections", "list").stdout.splitlines()
    assert [line.split()[-2:] for line in lines[1:3]] == [["pipelines.toml", "[environments.ci]"]] * 2
    assert "[environments" not in flow("connections", "list").stdout


def test_show_says_where_each_value_comes_from(flow: Flow, ci: Database) -> None:
    shown = flow("--env", "dev", "show", "dim_customer", "--output", "json").json()
    options = {option["name"]: option for option in shown["options"]}
    assert shown["environment"] == "dev"
    assert options["enabled"] == {
        "name": "enabled",
        "value": "false",
        "from": "[environments.dev] pipelines.toml:19",
    }
    assert options["every"]["from"] == "[defaults] pipelines.toml:11"
    assert options["mode"]["from"] == str(Path("pipelines", "customer.toml:5"))
    assert options["timezone"]["from"] == "default"
    assert options["target"]["value"] == "dwh dev_ann.dim_customer"
    # The pipeline says no variable: its table does.
    assert shown["variables"] == []
    assert flow.variables["CI_DSN"] not in flow("--env", "ci", "show", "dim_customer").stdout


def test_an_environment_that_there_is_not_is_told_with_those_that_there_are(flow: Flow, ci: Database) -> None:
    error = flow("--env", "dve", "list", expect=2).stderr
    assert "there is no environment `dve`" in error and "did you mean `dev`?" in error
    assert "environments: dev, ci" in error
    assert "no environment `ci`" in flow("--env", "ci", "list", config="[vars]\na = 1\n", expect=2).stderr


def test_what_an_environment_asks_of_the_machine_is_needed_only_where_it_is_chosen(flow: Flow, ci: Database) -> None:
    flow("validate", env={"USER": None})
    error = flow("--env", "dev", "validate", env={"USER": None}, expect=2).stderr
    assert error.startswith("error[missing_variable]") and "pipelines.toml:18:6" in error
    flow("--env", "dev", "--var", "schema=x", "validate", env={"USER": None})


QUERY = """
[vars]
region = 'EU'
tricky = '''x'); DROP TABLE app.orders; --'''
least = 2
share = 0.5
all = true
tenant = 'ac"me'
[pipelines."orders_{region}"]
source = { query = \"\"\"
SELECT id, :region AS region, :tricky AS tricky, ':region {tenant}' AS plain, :share::text AS share
  FROM {tenant}.orders -- :nothing {here}
 WHERE id >= :least AND :all AND "odd:name" = -:least - :least::int\"\"\" }
target = "lake.orders_{region}"
mode = "truncate"
"""


def test_variables_are_values_and_identifiers_and_never_sql(flow: Flow, database: Database) -> None:
    database.execute("""
        CREATE SCHEMA "ac""me"; CREATE TABLE "ac""me".orders (id int, "odd:name" int);
        INSERT INTO "ac""me".orders VALUES (1, -4), (2, -4), (3, 0);
    """)
    flow("run", "--all", config=QUERY)
    query = 'SELECT id, region, tricky, plain, share FROM lake."orders_EU"'
    tricky = "x'); DROP TABLE app.orders; --"
    assert database.rows(query) == [(2, "EU", tricky, ":region {tenant}", "0.5")]
    # Of the kind that [vars] says.
    flow("run", "orders_EU", "--var", "least=1", "--var", "share=1e-3", expect=0)
    assert database.rows(query) == []
    error = flow("run", "--all", "--var", "least=1 OR true", expect=2).stderr
    assert "the variable is a whole number" in error
    shown = flow("show", "orders_US", "--var", "region=US", "--output", "json").json()["variables"]
    assert {"name": "region", "value": '"US"', "from": "--var"} in shown
    assert {"name": "least", "value": "2", "from": "pipelines.toml:5"} in shown


def test_variables_reach_the_members_of_a_union_and_what_runs_after_a_load(flow: Flow, database: Database) -> None:
    database.execute("""
        CREATE SCHEMA "ac""me"; CREATE TABLE "ac""me".orders AS SELECT 1 AS id;
        CREATE SCHEMA old; CREATE TABLE old.orders AS SELECT 2 AS id; CREATE TABLE old.said (what text);
    """)
    flow(
        "run",
        "all",
        config="""
[vars]
tenant = 'ac"me'
past = "old"
word = "it's {done}"
[transforms."say_{past}"]
sql = "INSERT INTO {past}.said VALUES ('{past}'), (:word)"
[pipelines.all]
source = { union = [{ query = "SELECT id FROM {tenant}.orders" }, { table = "{past}.orders" }] }
target = "{past}.both"
mode = "append"
transforms_post = ["INSERT INTO {past}.said VALUES (:tenant)", { transform_ref = "say_old" }]
""",
    )
    assert database.rows("SELECT id FROM old.both ORDER BY 1") == [(1,), (2,)]
    assert database.rows("SELECT what FROM old.said") == [('ac"me',), ("{past}",), ("it's {done}",)]


def test_a_variable_that_there_is_not_stops_one_pipeline_of_run_due(flow: Flow, database: Database) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY)")
    flow.project("""
[vars]
region = "EU"
[defaults]
mode = "merge"
every = "1m"
first_run = "now"
[pipelines.good]
source = { table = "app.t" }
target = "lake.good"
[pipelines.wrong]
source = { query = "SELECT * FROM app.t WHERE id = :regoin" }
target = "lake.wrong"
keys = "id"
""")
    answer = json.loads(flow("run-due", "--output", "json", expect=(1, 2)).stdout)
    assert [run["pipeline"] for run in answer["runs"]] == ["good"]
    [error] = answer["errors"]
    assert (error["code"], error["location"]["line"], error["location"]["column"]) == ("unknown_variable", 12, 52)
    assert error["hint"] == "did you mean `:region`?"


def test_two_columns_that_variables_give_one_name_are_told(flow: Flow) -> None:
    refused = flow(
        "validate",
        expect=2,
        config="""
[vars]
column = "region"
[tables.t]
[tables.t.columns]
region = "text?"
"{column}" = "integer?"
[pipelines.p]
source = { table = "app.t" }
target = "t"
mode = "truncate"
""",
    ).stderr
    assert "error[duplicate_name]: two columns are called `region` once their variables are filled in" in refused
    assert "pipelines.toml:6:" in refused and "pipelines.toml:7:" in refused
