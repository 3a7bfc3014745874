"""`for_each`: one pipeline for each table, value or row of a query, expanded where a database is asked."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from database import Database
from flow_binary import Flow

MIRROR = """
[defaults]
target_connection = "dwh"
mode = "merge"
every = "15m"
first_run = "now"
handle_deletes = "soft"
[pipelines."mirror_{table}"]
for_each = { connection = "app", tables = ["public.*", "!public.audit_*"] }
source = { connection = "app", table = "{schema}.{table}" }
target = "mirror.{table}"
overrides.mirror_events = { mode = "append", incremental_column = "id", handle_deletes = "ignore" }
overrides.mirror_orders = { incremental_column = "updated_at", handle_deletes = "ignore" }
"""

TABLES = """
CREATE TABLE public.users (id int PRIMARY KEY, name text);
INSERT INTO public.users VALUES (1, 'a'), (2, 'b');
CREATE TABLE public.orders (id int PRIMARY KEY, updated_at timestamptz NOT NULL);
INSERT INTO public.orders VALUES (1, '2026-01-01'), (2, '2026-01-02');
CREATE TABLE public.events (id int PRIMARY KEY);
INSERT INTO public.events SELECT generate_series(1, 3);
CREATE TABLE public.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
INSERT INTO public.parts VALUES (1);
CREATE TABLE public.audit_log (id int PRIMARY KEY);
CREATE VIEW public.everybody AS SELECT * FROM public.users;
CREATE TABLE public."Odd ""name" (id int PRIMARY KEY);
INSERT INTO public."Odd ""name" VALUES (1);
"""

MEMBERS = ['mirror_Odd "name', "mirror_events", "mirror_orders", "mirror_parts", "mirror_users"]


@pytest.fixture
def source(flow: Flow, database: Database, new_database: Callable[[], Database]) -> Database:
    source = new_database()
    source.execute(TABLES)
    flow.variables |= {"EMATIX_FLOW_DSN_APP": source.dsn, "EMATIX_FLOW_DSN_DWH": database.dsn}
    flow.project(MIRROR)
    return source


def names(flow: Flow, *arguments: str) -> list[str]:
    return [run["pipeline"] for run in flow(*arguments, "--output", "json").json()["runs"]]


def test_tables_are_mirrored_each_by_a_pipeline_of_its_own(flow: Flow, source: Database, database: Database) -> None:
    reports = {run["pipeline"]: run for run in flow("run", "--all", "--output", "json").json()["runs"]}
    assert list(reports) == MEMBERS
    assert {name: (run["mode"], run["rows_inserted"]) for name, run in reports.items()} == {
        'mirror_Odd "name': ("merge", 1),
        "mirror_events": ("append", 3),
        "mirror_orders": ("merge", 2),
        "mirror_parts": ("merge", 1),
        "mirror_users": ("merge", 2),
    }
    # Keys are the source's, and a key that left it is marked: [defaults] reach every member that does not override.
    source.execute("DELETE FROM public.users WHERE id = 1; INSERT INTO public.orders VALUES (3, '2026-01-03')")
    flow("run", "--all")
    assert database.rows("SELECT id, is_deleted FROM mirror.users ORDER BY id") == [(1, True), (2, False)]
    marks = flow("watermark", "show", "--output", "json").json()["watermarks"]
    assert [mark["pipeline"] for mark in marks] == ["mirror_events", "mirror_orders"]
    history = flow("history", "mirror_orders", "--output", "json").json()["runs"]
    assert [run["rows_in"] for run in history] == [2, 2]


def test_members_are_selected_like_any_pipeline(flow: Flow, source: Database) -> None:
    report = flow("run", "mirror_users", "--output", "json").json()
    assert (report["pipeline"], report["status"]) == ("mirror_users", "success")
    assert names(flow, "run", "mirror_*", "--exclude", "mirror_e*", "--exclude", "mirror_Odd*") == MEMBERS[2:]
    assert names(flow, "run", "mirror_{table}") == MEMBERS
    assert names(flow, "run", "target:mirror.o*,source:app") == ["mirror_orders"]
    error = flow("run", "mirror_usres", expect=2).stderr
    assert "did you mean `mirror_users`?" in error


def test_a_table_that_is_gone_is_told_once_and_one_that_came_is_loaded(
    flow: Flow, source: Database, database: Database
) -> None:
    flow("run", "--all")
    source.execute(
        "DROP TABLE public.parts; CREATE TABLE public.fresh (id int PRIMARY KEY); INSERT INTO public.fresh VALUES (1)"
    )
    told = "`mirror_parts` is no member of `mirror_{table}` any more"
    assert told in flow("plan").stderr
    finished = flow("run", "--all")
    assert told in finished.stderr and "mirror_fresh" in finished.stderr
    assert database.rows("SELECT id FROM mirror.parts") == [(1,)]
    flow("run", "--all")
    assert told not in flow("run", "--all").stderr


def test_run_due_runs_the_members_by_their_schedules(flow: Flow, source: Database) -> None:
    assert names(flow, "run-due") == MEMBERS
    assert names(flow, "run-due") == []


def test_offline_it_is_one_line(flow: Flow, source: Database) -> None:
    offline = {"EMATIX_FLOW_DSN_APP": "postgresql://nobody@127.0.0.1:1/none"}
    listed = flow("list", "--output", "json", env=offline).json()["pipelines"]
    assert [(each["name"], each["target"]) for each in listed] == [("mirror_{table}", "mirror.{table}")]
    assert flow("validate", env=offline).stdout.startswith("ok       mirror_{table}\n1 pipeline: all valid\n")
    # What is named otherwise needs nobody's answer.
    flow.project(
        MIRROR + '[pipelines.other]\nsource = { connection = "dwh", query = "SELECT 1 AS id" }\n'
        'target = "lake.other"\nkeys = "id"\n'
    )
    flow("run", "other", env=offline)
    failed = flow("run", "--all", env=offline, expect=6)
    assert "connect_failed" in failed.stderr and "pipelines.toml:9:1" in failed.stderr
    answer = json.loads(flow("run-due", "--output", "json", env=offline, expect=(1, 6)).stdout)
    assert [run["pipeline"] for run in answer["runs"]] == ["other"]
    assert [error["code"] for error in answer["errors"]] == ["connect_failed"]


def test_a_plan_and_show_know_the_members(flow: Flow, source: Database) -> None:
    planned = flow("plan", "--output", "json").json()
    assert [each["pipeline"] for each in planned["pipelines"]] == MEMBERS
    assert planned["create"] == len(MEMBERS)
    shown = flow("show", "mirror_events", "--output", "json").json()
    options = {option["name"]: option for option in shown["options"]}
    assert (options["mode"]["value"], options["mode"]["from"]) == ('"append"', "pipelines.toml:12")
    assert options["every"]["from"] == "[defaults] pipelines.toml:5"
    assert shown["variables"] == [
        {"name": "table", "value": '"events"', "from": "for_each"},
        {"name": "schema", "value": '"public"', "from": "for_each"},
    ]
    flow("validate", "--connect")


def test_views_and_partitions_are_taken_where_they_are_named(flow: Flow, source: Database, database: Database) -> None:
    flow.project(
        MIRROR.replace('"public.*", "!public.audit_*"', '"public.everybody", "public.parts_1", "public.e*"')
        .replace("overrides.mirror_orders", "overrides.'mirror_ev*'")
        .replace('mode = "merge"', 'mode = "truncate"', 1)
        .replace('handle_deletes = "soft"', "")
        .replace('"updated_at"', '"id"')
    )
    error = flow("plan", expect=(1, 2)).stderr
    assert "incremental_column" in error  # a glob over names reaches the view too
    flow.project(
        MIRROR.replace('"public.*", "!public.audit_*"', '"public.everybody", "public.parts_1"')
        .replace('mode = "merge"', 'mode = "truncate"', 1)
        .replace('handle_deletes = "soft"', "")
        .split("overrides.")[0]
    )
    assert names(flow, "run", "--all") == ["mirror_everybody", "mirror_parts_1"]
    assert database.rows("SELECT id FROM mirror.everybody ORDER BY id") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ('"public.*", ', '"public.*", "public.x*", ', "9:56", "`public.x*` of `for_each` matches no table of `app`"),
        ('"!public.audit_*"', '"!public.adit_*"', "9:56", "`!public.adit_*` of `for_each` leaves no table out"),
        ("overrides.mirror_orders", "overrides.mirror_ordres", "13:11", "`overrides.mirror_ordres` is of no member"),
        ('"{schema}.{table}"', '"{schema}.{tabel}"', "10:50", "`{tabel}` refers to nothing"),
        ('"mirror_{table}"', '"mirror_{schema}"', "8:1", "two pipelines are called `mirror_public`"),
        ('"append", inc', '"append", keyz = "a", inc', "12:46", "unknown option `keyz` in the overrides of"),
    ],
)
def test_what_matches_nothing_is_an_error_at_its_place(
    flow: Flow, source: Database, old: str, new: str, place: str, message: str
) -> None:
    assert old in MIRROR
    flow.project(MIRROR.replace(old, new, 1))
    error = flow("plan", expect=2).stderr
    assert message in error, error
    assert f"pipelines.toml:{place}" in error, error


def test_a_member_and_another_pipeline_of_its_name_are_both_named(flow: Flow, source: Database) -> None:
    flow.project(
        MIRROR + '[pipelines.mirror_users]\nsource = { connection = "app", table = "public.users" }\n'
        'target = "lake.users"\n'
    )
    flow("validate")
    error = flow("run", "mirror_users", expect=2).stderr
    assert "error[duplicate_name]: two pipelines are called `mirror_users`" in error
    assert "first at pipelines.toml:8:1" in error and "pipelines.toml:14:1" in error


TENANTS = """
[defaults]
target_connection = "dwh"
tags = ["tenants"]
[pipelines."orders_{tenant}"]
for_each = { connection = "app", query = "SELECT slug AS tenant, country, level, paying FROM public.tenants WHERE active" }
source = { connection = "app", query = "SELECT *, :tenant AS tenant, :country AS country, :level + 1 AS level, :paying AS paying FROM {tenant}.orders" }
target = "lake.orders_{tenant}"
mode = "merge"
keys = "id"
"""


def test_rows_of_a_query_are_tenants(flow: Flow, source: Database, database: Database) -> None:
    source.execute("""
        CREATE TABLE public.tenants (slug text, country text, level int, paying bool, active bool);
        INSERT INTO public.tenants VALUES ('acme', 'FR', 1, true, true), ('o''x"y', NULL, 2, false, true), ('z', '', 3, true, false);
        CREATE SCHEMA acme; CREATE TABLE acme.orders (id int); INSERT INTO acme.orders VALUES (1);
        CREATE SCHEMA "o'x""y"; CREATE TABLE "o'x""y".orders (id int); INSERT INTO "o'x""y".orders VALUES (2);
    """)
    flow.project(TENANTS)
    flow("validate")
    assert names(flow, "run", "tag:tenants") == ["orders_acme", "orders_o'x\"y"]
    rows = 'SELECT id, tenant, country, level, paying FROM lake."orders_acme" UNION ALL SELECT * FROM lake."orders_o\'x""y"'
    assert database.rows(rows) == [(1, "acme", "FR", 2, True), (2, "o'x\"y", None, 3, False)]
    assert (
        "writes"
        in flow("validate", config=TENANTS.replace("SELECT slug", "DELETE FROM x; SELECT slug"), expect=2).stderr
    )


def test_lists_are_expanded_without_a_database(flow: Flow, database: Database) -> None:
    flow.project("""
[vars]
region = "EU"
[pipelines."orders_{tenant}_{year}"]
for_each = { tenant = ["acme", "globex"], year = [2025, 2026] }
source = { query = "SELECT :year AS year, :tenant AS tenant, :region AS region" }
target = "lake.{tenant}_{year}"
mode = "truncate"
""")
    assert [each["name"] for each in flow("list", "--output", "json").json()["pipelines"]] == [
        "orders_acme_2025",
        "orders_acme_2026",
        "orders_globex_2025",
        "orders_globex_2026",
    ]
    flow("run", "--all")
    assert database.rows("SELECT * FROM lake.globex_2026") == [(2026, "globex", "EU")]


@pytest.mark.parametrize(
    ("each", "message"),
    [
        ('"x"', "must be a table, not a string"),
        ("{}", "goes over nothing"),
        ('{ tables = ["users"] }', "names no schema"),
        ('{ tables = ["!a.b"] }', "only leaves tables out"),
        ('{ tables = ["a.b"], tenant = ["x"] }', "has `tables`, so it cannot have `tenant`"),
        ('{ tenant = "acme" }', "has `tenant`, which is a string and no list"),
        ("{ tenant = [[1]] }", "has a list in `tenant`"),
        ('{ "a b" = [1] }', "cannot be the name of a variable"),
    ],
)
def test_a_for_each_of_another_form_is_refused(flow: Flow, each: str, message: str) -> None:
    flow.project(
        f'[pipelines."p_{{x}}"]\nfor_each = {each}\nsource = {{ table = "a.b" }}\ntarget = "c.d"\nmode = "append"\n'
    )
    error = flow("validate", expect=2).stderr
    assert message in error and "pipelines.toml:2:" in error
