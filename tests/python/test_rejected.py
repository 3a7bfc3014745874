"""`flow rejected` lists the rows that a pipeline has put aside, and writes nothing."""

from __future__ import annotations

import json
from typing import Any

from database import Database
from flow_binary import Flow
from project import Project


def project(**options: Any) -> Project:
    made = Project()
    made.table("t", {"id": "bigint", "email": "text?"}, schema="dw", primary_key="id")
    expect = [{"not_null": "email", "policy": "quarantine"}]
    made.pipeline("p", "app.s", "t", "merge", **({"expect": expect} | options))
    return made


def source(database: Database, rows: int) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, email text)")
    database.execute(f"INSERT INTO app.s SELECT i, CASE WHEN i = 1 THEN 'a' END FROM generate_series(1, {rows}) AS i")


def test_the_rows_are_listed_in_every_form(database: Database, flow: Flow) -> None:
    source(database, 4)
    report = project().run(flow)["p"]
    listed = flow("rejected", "p", "--output", "json").json()
    assert (listed["schema"], listed["pipeline"], listed["count"]) == ("ematix.rejected.v1", "p", 3)
    first = listed["rows"][0]
    at = first.pop("rejected_at")
    assert at.endswith("Z")
    assert first == {
        "table": "dw.t__rejected",
        "reason": 'not_null = "email"',
        "run_id": report["run_id"],
        "values": {"id": 2, "email": None},
    }
    lines = flow("rejected", "p", "--limit", "2", "--output", "ndjson").stdout.splitlines()
    assert [json.loads(line)["values"]["id"] for line in lines] == [2, 3]
    shown = flow("rejected", "p", "--limit", "1").stdout.splitlines()
    assert shown[0] == "p  3 rejected rows in dw.t__rejected"
    assert shown[1].split() == ["REJECTED", "RUN", "REASON", "ROW"]
    assert shown[2].endswith(f'{report["run_id"][-8:]}  not_null = "email"  id = 2, email = NULL'), shown
    assert shown[3] == "2 more; --limit 3 shows them"


def test_a_pipeline_without_rejected_rows_says_so(database: Database, flow: Flow) -> None:
    source(database, 1)
    made = project()
    flow.project(made.text())
    assert flow("rejected", "p").stdout == "p  no row was ever put aside: there is no table dw.t__rejected\n"
    made.run(flow)
    assert flow("rejected", "p", "--output", "json").json()["rows"] == []
    database.execute("INSERT INTO app.s VALUES (2, NULL)")
    made.run(flow)
    database.execute("DELETE FROM app.s WHERE id = 2")
    made.run(flow)
    assert flow("rejected", "p").stdout == "p  no rejected rows in dw.t__rejected\n"


def test_each_pipeline_of_a_target_sees_its_own_rows(database: Database, flow: Flow) -> None:
    source(database, 2)
    made = project()
    made.pipeline("q", "SELECT id + 10 AS id, email FROM app.s", "t", "merge", expect=made.pipelines["p"]["expect"])
    made.run(flow)
    for name, key in (("p", 2), ("q", 12)):
        assert [row["values"]["id"] for row in flow("rejected", name, "--output", "json").json()["rows"]] == [key]


def test_every_target_of_a_reading_is_listed(database: Database, flow: Flow) -> None:
    source(database, 2)
    made = project()
    made.pipelines["p"] = {
        "source": {"table": "app.s"},
        "targets": [{"target": "t", "mode": "merge"}, {"target": "dw.log", "mode": "append"}],
        "expect": made.pipelines["p"]["expect"],
    }
    made.run(flow)
    listed = flow("rejected", "p", "--output", "json").json()
    assert [row["table"] for row in listed["rows"]] == ["dw.t__rejected", "dw.log__rejected"]


def test_a_name_that_is_no_pipeline_is_said(flow: Flow) -> None:
    flow.project(project().text())
    assert "error[unknown_pipeline]" in flow("rejected", "q", expect=2).stderr


def test_what_matches_several_pipelines_is_no_name(flow: Flow) -> None:
    flow.project(
        "".join(
            f'[pipelines.{name}]\nsource = {{ table = "app.s" }}\ntarget = "dw.{name}"\nmode = "append"\n'
            for name in ("orders", "offers", "people")
        )
    )
    for command in ("rejected", "show"):
        said = flow(command, "o*", expect=2).stderr
        assert "error[unknown_pipeline]: `o*` is no name of a pipeline: this command is about one alone" in said
        assert "hint: it matches orders, offers: name one of them" in said
