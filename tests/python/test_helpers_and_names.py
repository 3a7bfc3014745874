"""What helpers and markers are called in SQL takes no name of the user's; variables reach them; what they hide stays hidden."""

from __future__ import annotations

import pytest
from database import Database
from flow_binary import Flow
from project import Project


@pytest.mark.parametrize("name", ["source", "cleaned", "watermark", "filter_where", "step_1"])
def test_a_table_of_the_users_is_that_table_whatever_a_layer_is_called(
    name: str, database: Database, flow: Flow
) -> None:
    database.execute(
        f"CREATE TABLE public.{name} AS SELECT 2 AS id; CREATE TABLE public.numbers AS SELECT n AS id FROM generate_series(1, 5) AS n"
    )
    project = Project()
    columns = {
        "id": "integer",
        "count": {"type": "bigint", "normalize": [{"derive": f"(SELECT count(*) FROM {name})"}]},
    }
    project.table("t", columns, primary_key="id")
    helpers = [{"filter_where": "id > 0"}, {"filter_where": f"id IN (SELECT id FROM {name})"}]
    project.pipeline("p", "public.numbers", "t", "merge", transforms_pre=helpers)
    project.run(flow)
    assert database.rows("SELECT id, count FROM public.t") == [(2, 1)]


def test_a_new_name_takes_the_place_of_no_other_column(database: Database, flow: Flow) -> None:
    database.execute("CREATE TABLE public.people AS SELECT 1 AS id, 'kept' AS name, 'mail' AS email")
    project = Project()
    project.pipeline("p", "public.people", "public.t", "truncate", transforms_pre=[{"rename": {"name": "email"}}])
    refused = project.run(flow, expect=2)
    assert refused["p"]["error"]["message"] == "`rename` calls `email` `name`, and there is a column of that name"
    project.pipelines["p"]["transforms_pre"] = [{"rename": {"name": "email", "email": "name"}}]
    project.run(flow)
    assert database.rows("SELECT id, name, email FROM public.t") == [(1, "mail", "kept")]


@pytest.mark.parametrize("order", ["upd", "upd ASC", "id, upd DESC"])
def test_what_was_dropped_as_older_than_the_watermark_would_come_again_and_is_refused(order: str, flow: Flow) -> None:
    project = Project()
    helpers = [{"deduplicate_by": {"keys": "id", "order_by": order}}]
    options = {"keys": "id", "incremental_column": "upd", "transforms_pre": helpers}
    project.pipeline("p", "app.wm", "dw.t", "merge", **options)
    flow.project(project.text())
    refused = flow("validate", expect=2).stderr
    assert "error[conflicting_options]" in refused and 'let order_by begin with "upd DESC"' in refused


def test_a_row_that_was_dropped_does_not_come_again(database: Database, flow: Flow) -> None:
    database.execute("CREATE TABLE public.wm(id int, v text, upd timestamptz)")
    database.execute(
        "INSERT INTO public.wm VALUES (1, 'old', '2026-01-01'), (1, 'new', '2026-01-03'), (2, 'x', '2026-01-02')"
    )
    project = Project()
    for mode in ("append", "merge", "scd2"):
        helpers = [{"deduplicate_by": {"keys": "id", "order_by": "upd DESC"}}, {"filter_where": "v <> 'x'"}]
        options = {"keys": "id", "incremental_column": "upd", "transforms_pre": helpers}
        project.pipeline(mode, "public.wm", f"dw.{mode}", mode, **options)
    project.run(flow)
    for report in project.run(flow).values():
        assert report["rows_inserted"] + report["rows_updated"] + report["rows_closed_out"] == 0, report
    for mode in ("append", "merge", "scd2"):
        assert database.rows(f"SELECT id, v FROM dw.{mode}") == [(1, "new")]


def test_variables_reach_helpers_expectations_columns_and_what_they_are_derived_from(
    database: Database, flow: Flow
) -> None:
    database.execute("CREATE TABLE public.parts AS SELECT n AS id, chr(96 + n) AS part FROM generate_series(1, 4) AS n")
    flow.project("""
[vars]
column = "region"
least = 2
mark = "it's {column} :least"
[tables.t]
primary_key = ["id"]
[tables.t.columns]
id = "integer"
"{column}" = { type = "text", normalize = [{ derive = ":mark || part" }] }
"{{b}}" = "integer?"
[pipelines.p]
source = { table = "public.parts" }
target = "t"
mode = "merge"
transforms_pre = [{ filter_where = "id >= :least" }, { with_column = { name = "{b}", expression = "id * :least" } }]
expect = [{ sql = "{column} LIKE 'it%' AND id < 9 * :least" }]
[pipelines."fe_{part}"]
for_each = { part = ["a", "b"] }
source = { table = "public.parts" }
target = "dw.fe_{part}"
mode = "truncate"
transforms_pre = [{ filter_where = "part = :part" }]
""")
    flow("validate")
    flow("run", "--all")
    assert database.rows('SELECT id, region, "{b}" FROM public.t ORDER BY id LIMIT 1') == [
        (2, "it's {column} :leastb", 4)
    ]
    assert database.rows("SELECT part FROM dw.fe_b") == [("b",)]
    said = flow(
        "validate",
        expect=2,
        config='[pipelines.p]\nsource = { table = "a.b" }\ntarget = "c.d"\nmode = "truncate"\ntransforms_pre = [{ filter_where = "x = :nosuch" }]\n',
    )
    assert "nosuch" in said.stderr and "pipelines.toml:5:" in said.stderr


def test_a_sample_does_not_show_what_is_to_be_hidden(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE TABLE public.people AS SELECT 1 AS id, 'ada@x.org' AS email, '12345678' AS iban, ' B ' AS name"
    )
    project = Project()
    columns = {
        "id": "integer",
        "email": {"type": "text", "normalize": ["trim", {"hash": {"key": "${env:PII_KEY}"}}]},
        "iban": {"type": "text", "normalize": [{"mask": 4}]},
        "name": {"type": "text", "normalize": ["trim"]},
    }
    project.table("t", columns, primary_key="id")
    project.pipeline("p", "public.people", "t", "merge")
    flow.project(project.text())
    flow.variables["PII_KEY"] = "k"
    for more in ((), ("--output", "json")):
        shown = flow("dry-run", "p", "--sample", "3", *more)
        said = shown.stdout + shown.stderr
        assert " B " in said and "****5678" in said
        assert "ada@x.org" not in said and "12345678" not in said


@pytest.mark.parametrize(
    ("declared", "text"), [("real?", "1e40"), ("float?", "1e-60"), ("int2?", "40000"), ("int4?", "1e10")]
)
def test_a_number_that_does_not_fit_its_column_ends_no_run_whatever_the_type_is_called(
    declared: str, text: str, database: Database, flow: Flow
) -> None:
    project = Project()
    project.table("t", {"x": {"type": declared, "normalize": ["parse_numeric"]}})
    project.pipeline("p", f"SELECT '{text}' AS x", "t", "append")
    assert project.run(flow)["p"]["parse_failures"] == {"x": 1}
    assert database.rows("SELECT x FROM public.t") == [(None,)]
