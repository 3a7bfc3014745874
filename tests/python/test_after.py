"""`after`: which pipelines come after which, in what is run, selected, drawn and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pydot
import pytest
from database import Database
from flow_binary import Flow
from project import Project
from python_package import PACKAGE

# Each writes when it was read, and the newest of what it comes after.
QUERY = "SELECT 1 AS id, clock_timestamp() AS began"
FAILS = "SELECT 1 / 0 AS id, clock_timestamp() AS began"


def made(after: dict[str, list[str]], failing: str = "", **options: dict[str, Any]) -> Project:
    """Pipelines by name with what each comes after, in this order."""
    project = Project()
    for name, upstream in after.items():
        query = FAILS if name == failing else QUERY
        given = options.get(name, {}) | ({"after": upstream} if upstream else {})
        project.pipeline(name, query, f"public.{name}", "truncate", **given)
    return project


# report ◀ facts ◀ orders, customers; in the files from the last on.
SHOP = {"report": ["facts"], "facts": ["orders", "customers"], "orders": [], "customers": [], "alone": []}


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_each_begins_when_what_it_comes_after_has_ended(flow: Flow, jobs: str) -> None:
    reports = made(SHOP).run(flow, "--all", "--jobs", jobs)
    assert {report["status"] for report in reports.values()} == {"success"}
    for name, upstream in SHOP.items():
        for before in upstream:
            assert reports[before]["ended_at"] <= reports[name]["started_at"], (before, name)


def test_reports_stand_in_the_order_in_which_they_can_run(flow: Flow) -> None:
    flow.project(made(SHOP).text())
    runs = flow("run", "--all", "--jobs", "3", "--output", "json").json()["runs"]
    assert [run["pipeline"] for run in runs] == ["orders", "customers", "facts", "report", "alone"]


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_what_comes_after_a_failure_is_not_run(flow: Flow, database: Database, jobs: str) -> None:
    flow.project(made(SHOP, failing="orders").text())
    done = flow("run", "--all", "--jobs", jobs, "--output", "json", expect=1)
    reports = {run["pipeline"]: run for run in done.json()["runs"]}
    assert {name: report["status"] for name, report in reports.items()} == {
        "orders": "failed", "customers": "success", "facts": "skipped", "report": "skipped", "alone": "success",
    }  # fmt: skip
    assert [(reports[name]["error"]["code"], reports[name]["error"]["context"]) for name in ("facts", "report")] == [
        ("upstream_failed", {"upstream": ["orders"]}),
        ("upstream_failed", {"upstream": ["facts"]}),
    ]
    assert reports["facts"]["committed"] is False and reports["facts"]["rows_in"] == 0
    # There was no run, so there is none in the history.
    recorded = database.rows("SELECT pipeline_name, status FROM ematix_flow.run_history ORDER BY pipeline_name")
    assert recorded == [("alone", "success"), ("customers", "success"), ("orders", "failed")]


def test_a_person_is_told_why_a_pipeline_is_not_run(flow: Flow) -> None:
    flow.project(made(SHOP, failing="orders").text())
    told = flow("run", "--all", expect=1).stderr.splitlines()
    assert "skipped  facts  it comes after `orders`, which did not end in success" in told
    assert "skipped  report  it comes after `facts`, which did not end in success" in told


def test_the_code_of_the_upstreams_end_is_the_code_of_all(flow: Flow) -> None:
    project = made({"a": ["b"], "b": []})
    project.pipelines["b"] |= {"mode": "merge", "keys": "id"}
    project.pipelines["b"]["source"] = {"query": "SELECT NULL::int AS id"}
    flow.project(project.text())
    runs = flow("run", "--all", "--output", "json", expect=4).json()["runs"]
    assert [(run["pipeline"], run["status"]) for run in runs] == [("b", "refused"), ("a", "skipped")]


def test_a_pipeline_waits_for_the_selected_over_one_that_is_not(flow: Flow) -> None:
    project = made({"c": ["b"], "b": ["a"], "a": []}, failing="a")
    reports = project.run(flow, "c", "a", expect=1)
    assert {name: report["status"] for name, report in reports.items()} == {"a": "failed", "c": "skipped"}
    assert project.run(flow, "c")["c"]["status"] == "success", "what is not selected is not waited for"


def test_a_dry_run_has_the_same_order(flow: Flow) -> None:
    reports = made(SHOP, failing="customers").run(flow, "--all", command="dry-run", expect=1)
    assert {name for name, report in reports.items() if report["status"] == "skipped"} == {"facts", "report"}
    assert reports["facts"]["dry_run"] is True


def test_selectors_go_along_after(flow: Flow) -> None:
    flow.project(made(SHOP, facts={"tags": ["crm"]}).text())

    def listed(*arguments: str) -> list[str]:
        return [item["name"] for item in flow("list", *arguments, "--output", "json").json()["pipelines"]]

    assert listed("+facts") == ["facts", "orders", "customers"]
    assert listed("facts+") == ["report", "facts"]
    assert listed("+tag:crm+") == ["report", "facts", "orders", "customers"]
    assert listed("ord*+", "alone") == ["report", "facts", "orders", "alone"]
    assert listed("+report,customers+") == ["report", "facts", "customers"]
    assert listed("--exclude", "+facts") == ["report", "alone"]
    assert listed("--select", "+orders") == ["orders"]
    before = flow("list", "--output", "json").stdout
    (flow.directory / "before.json").write_text(before)
    flow.project(made(SHOP, facts={"tags": ["crm", "new"]}).text())
    assert listed("state:changed+", "--against", "before.json") == ["report", "facts"]
    error = flow("list", "+fcats", "--output", "json", expect=2).json()["errors"][0]
    assert (error["code"], error["hint"]) == ("unknown_pipeline", "did you mean `facts`?")


def test_the_graph_is_printed_as_a_tree_and_as_data(flow: Flow) -> None:
    flow.project(made(SHOP, orders={"every": "15m"}).text())
    assert flow("graph").stdout == (
        "NAME              MODE      SCHEDULE\n"
        "orders            truncate  every 15m\n"
        "└─ facts          truncate  –\n"
        "   └─ report      truncate  –\n"
        "customers         truncate  –\n"
        "└─ facts (above)\n"
        "alone             truncate  –\n"
    )
    graph = flow("graph", "+facts", "--output", "json").json()
    assert graph["schema"] == "ematix.graph.v1"
    assert [item["name"] for item in graph["pipelines"]] == ["facts", "orders", "customers"]
    assert graph["edges"] == [{"from": "orders", "to": "facts"}, {"from": "customers", "to": "facts"}]
    refused = flow("graph", "--format", "dot", "--output", "json", expect=2).json()["errors"]
    assert [error["code"] for error in refused] == ["conflicting_options"]


# What pydot calls in pyparsing has another name in its newest version.
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_graphviz_reads_the_digraph_whatever_the_names_are(flow: Flow) -> None:
    odd = ['a "quoted"', "back\\slash\\", "amp;&amp;<b>", "ümläut → x", "two\nlines", "p1; p0 -> p2"]
    names = [*odd, "last"]
    project = made({name: odd if name == "last" else [] for name in names})
    for pipeline in project.pipelines.values():
        pipeline["target"] = "public.t"
    flow.project(project.text())
    text = flow("graph", "--format", "dot").stdout
    (graph,) = pydot.graph_from_dot_data(text) or []
    assert len(graph.get_nodes()) == len(names) + 1  # beside them `node [shape=box]`
    assert {(edge.get_source(), edge.get_destination()) for edge in graph.get_edges()} == {
        (f"p{place}", "p6") for place in range(6)
    }
    flowchart = flow("graph", "--format", "mermaid").stdout.splitlines()
    assert flowchart[0] == "flowchart LR"
    assert flowchart[1] == '  p0["a #34;quoted#34;<br/>truncate"]'
    assert [line for line in flowchart if "-->" in line] == [f"  p{place} --> p6" for place in range(6)]


def test_what_is_wrong_with_after_is_found_from_the_files(flow: Flow) -> None:
    flow.project(made({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["cc"]}).text())
    for command in (["validate"], ["plan", "d"], ["run", "--all"], ["graph"]):
        done = flow(*command, "--output", "json", expect=2).json()
        assert [(error["code"], error["location"]["line"]) for error in done["errors"]] == [
            ("dependency_cycle", 5),
            ("unknown_pipeline", 23),
        ]
        assert "a → b → c → a" in done["errors"][0]["message"]
    assert "did you mean `c`?" in flow("validate", expect=2).stderr


def test_run_due_goes_on_without_a_circle_and_what_lies_behind(flow: Flow, database: Database) -> None:
    due: dict[str, Any] = {"every": "1d", "first_run": "now"}
    after = {"sound": [], "a": ["b"], "b": ["a"], "behind": ["b"], "faulty": [], "last": ["faulty"]}
    project = made(after, **{name: dict(due) for name in after})
    project.pipelines["faulty"]["mod"] = "merge"
    flow.project(project.text())
    done = flow("run-due", "--output", "json", expect=2).json()
    assert [run["pipeline"] for run in done["runs"]] == ["sound"]
    gone = "which is left out for mistakes"
    assert [(error["code"], error["message"]) for error in done["errors"]] == [
        ("unknown_option", "unknown option `mod` in pipeline `faulty`"),
        ("dependency_cycle", "pipelines wait for each other: a → b → a"),
        ("upstream_failed", f"`last` is left out: it comes after `faulty`, {gone}"),
        ("upstream_failed", f"`b` is left out: it comes after `a`, {gone}"),
        ("upstream_failed", f"`behind` is left out: it comes after `b`, {gone}"),
    ]


def test_freshness_belongs_to_after_and_a_default_for_it_reaches_who_has_one(flow: Flow) -> None:
    project = made({"a": [], "b": ["a"], "c": []}, b={"every": "1h"}, c={"every": "1h"})
    flow.project(project.text())
    error = flow("validate", "--output", "json", expect=2).json()["errors"][0]
    assert (error["code"], "freshness" in error["message"]) == ("missing_option", True)
    flow.project('[defaults]\nfreshness = "1d"\n' + project.text())
    flow("validate")
    shown = {name: flow("show", name, "--output", "json").json()["options"] for name in ("b", "c")}
    values = {
        name: [option["value"] for option in options if option["name"] == "freshness"]
        for name, options in shown.items()
    }
    assert values == {"b": ['"1d"'], "c": [None]}
    project.pipelines["c"]["freshness"] = "1h"
    flow.project(project.text().replace("after", "tags"))
    errors = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert {(error["code"], error["message"]) for error in errors} == {("missing_option", "`freshness` needs `after`")}
    flow.project('[defaults]\nafter = "a"\n' + project.text())
    assert flow("validate", "--output", "json", expect=2).json()["errors"][0]["code"] == "invalid_value"


def test_members_of_a_for_each_come_after_members(flow: Flow, database: Database) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.t1 AS SELECT 1 AS id; CREATE TABLE app.t2 AS SELECT 1 AS id")
    each = 'for_each = { connection = "default", tables = ["app.*"] }\nmode = "truncate"\n'
    flow.project(
        f'[pipelines."sum_{{table}}"]\n{each}source = {{ query = "SELECT count(*) AS n FROM mirror.{{table}}" }}\n'
        'target = "sums.{table}"\nafter = ["mirror_{table}"]\n'
        f'[pipelines."mirror_{{table}}"]\n{each}source = {{ table = "{{schema}}.{{table}}" }}\n'
        'target = "mirror.{table}"\n'
        '[pipelines.last]\nsource = { query = "SELECT 1 AS id" }\ntarget = "public.last"\nmode = "truncate"\n'
        'after = ["sum_t1"]\n'
    )
    flow("validate")
    edges = flow("graph", "--output", "json").json()["edges"]
    assert edges == [
        {"from": "mirror_{table}", "to": "sum_{table}"},
        {"from": "sum_{table}", "to": "last"},
    ]
    runs = flow("run", "+last", "--output", "json").json()["runs"]
    assert [(run["pipeline"], run["status"]) for run in runs] == [
        ("mirror_t1", "success"), ("sum_t1", "success"), ("last", "success"),
    ]  # fmt: skip
    # Who asks for one alone asks no database for the others, which are not judged.
    flow("run", "last")


MODULE = """
from ematix_flow import Pipeline, Pipelines, Source, ematix

flows = Pipelines()

first = Pipeline(name="first", source=Source.sql("default", "SELECT 1 AS id"), target="public.first", mode="truncate",
                 every="1h")

@ematix.pipeline(target="public.second", mode="truncate", source_connection="default", after="first")
def second(conn):
    return "SELECT 1 AS id"

@ematix.pipeline(targets=[{"target": "public.t1"}, {"target": "public.t2"}], mode="truncate",
                 source_connection="default", after=["second", "of_the_files"], every="1h", freshness="2h")
def third(conn):
    return "SELECT 1 AS id"
"""


def test_python_and_the_files_come_after_each_other(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(MODULE.replace("Source.sql(", "Source.postgres_query("))
    flow.variables |= {"EMATIX_FLOW_PYTHON": sys.executable, "PYTHONPATH": f"{PACKAGE}:{tmp_path}"}
    project = made({"of_the_files": ["first"], "last": ["third"]}).text()
    flow.project('python = ["shop"]\n' + project)
    edges = [(edge["from"], edge["to"]) for edge in flow("graph", "--output", "json").json()["edges"]]
    assert sorted(edges) == [
        ("first", "of_the_files"), ("first", "second"), ("of_the_files", "third"), ("second", "third"),
        ("third", "last"),
    ]  # fmt: skip
    runs = flow("run", "--all", "--output", "json").json()["runs"]
    assert [run["pipeline"] for run in runs] == ["first", "of_the_files", "second", "third", "last"]
    flow.project('python = ["shop"]\n' + project.replace("of_the_files", "gone"))
    error = flow("validate", "--output", "json", expect=2).json()["errors"][0]
    assert (error["code"], Path(error["location"]["file"]).name) == ("unknown_pipeline", "shop.py")


def test_ten_thousand_pipelines_are_drawn_in_little_time(flow: Flow) -> None:
    many = 10_000
    text = "".join(
        f'[pipelines.p{n}]\nsource = {{ table = "a.b" }}\ntarget = "c.d{n}"\nmode = "truncate"\n'
        + (f'after = ["p{n - 1}", "p{n // 2}"]\n' if n > 1 else "")
        for n in range(1, many + 1)
    )
    flow.project(text)
    edges = json.loads(flow("graph", "p1+", "--output", "json").stdout)["edges"]
    assert len(edges) == 2 * (many - 1) - 1  # p2 comes after p1 twice
