"""Expectations are asked of the rows before they stand: a run ends, or its report says so, and what stood stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import Project, counts

import ematix_flow as ef

ROWS = """
CREATE SCHEMA app;
CREATE TABLE app.s (id bigint, email text, status text, amount numeric, seen timestamptz, parent bigint);
INSERT INTO app.s VALUES
  (1, 'a@x.org', 'new', 1, now(), NULL), (2, 'b@x.org', 'done', 2, now(), 1), (3, NULL, NULL, NULL, NULL, NULL),
  (4, 'b@x.org', 'gone', -4, now() - interval '9 days', 99), (5, 'none', 'new', 99.5, '2020-01-01', 5);
"""

COLUMNS = {
    "id": "bigint", "email": "text?", "status": "string(8)?", "amount": "numeric(10,2)?", "seen": "timestamptz?",
    "parent": "bigint?",
}  # fmt: skip

# What is expected, how many rows fail it, and what is shown of them.
KINDS: list[tuple[dict[str, Any], int, str]] = [
    ({"not_null": "email"}, 1, "id: 3"),
    ({"unique": "email"}, 2, "(id, email): (2, b@x.org), (4, b@x.org)"),
    ({"unique": ["email", "status"]}, 0, ""),
    ({"unique": ["parent", "parent_of"]}, -1, ""),
    ({"accepted_values": {"column": "status", "values": ["new", "done", "it's"]}}, 1, "(id, status): (4, gone)"),
    ({"accepted_values": {"column": "amount", "values": [1, 2, -4.0, 99.5]}}, 0, ""),
    ({"in_range": {"column": "amount", "min": 1}}, 1, "(id, amount): (4, -4.00)"),
    ({"in_range": {"column": "amount", "max": 2}}, 1, "(id, amount): (5, 99.50)"),
    ({"in_range": {"column": "amount", "min": -4, "max": 99.5}}, 0, ""),
    ({"in_range": {"column": "seen", "min": "2021-01-01"}}, 1, "(id, seen): (5, 2020-01-01"),
    ({"matches": {"column": "email", "pattern": "^[^@]+@x\\.org$"}}, 1, "(id, email): (5, none)"),
    ({"sql": "amount >= 0 -- or NULL"}, 1, "id: 4"),
    ({"sql": "status <> 'it''s' AND email IS NOT NULL OR id < 3"}, 1, "id: 3"),
    ({"references": {"columns": "parent", "table": "app.s", "to": "id"}}, 1, "(id, parent): (4, 99)"),
    ({"references": {"columns": "parent", "table": "t", "to": "id"}}, 1, "(id, parent): (4, 99)"),
    ({"row_count": {"min": 6}}, 1, "rows: 5"),
    ({"row_count": {"max": 4}}, 1, "rows: 5"),
    ({"row_count": {"min": 5, "max": 5}}, 0, ""),
    ({"freshness": {"column": "seen", "max_age": "1h"}}, 0, ""),
]
ASKED = [kind for kind in KINDS if kind[1] >= 0]


def project(
    expect: list[dict[str, Any]], mode: str = "merge", kind: type[Project] = Project, **options: Any
) -> Project:
    made = kind()
    made.table("t", COLUMNS, schema="dw", primary_key="id")
    made.pipeline("p", "app.s", "t", mode, expect=expect, **options)
    return made


@pytest.mark.parametrize(("expected", "bad", "shown"), ASKED, ids=[str(kind[0]) for kind in ASKED])
def test_a_run_ends_where_rows_fail(
    expected: dict[str, Any], bad: int, shown: str, database: Database, flow: Flow
) -> None:
    database.execute(ROWS)
    report = project([expected]).run(flow, expect=4 if bad else 0)["p"]
    if not bad:
        assert counts(report) == {"in": 5, "inserted": 5}
        return
    assert (report["status"], report["error"]["code"]) == ("refused", "expectation_failed"), report
    lines = project([expected]).text().splitlines()
    assert report["error"]["location"]["line"] == lines.index(next(each for each in lines if "expect" in each)) + 1
    context = report["error"]["context"]
    assert (context["expectation"], context["count"]) == (next(iter(expected)), bad)
    refused = flow("run", "p", expect=4).stderr
    assert f"  {shown}" in refused, refused
    assert database.value("SELECT to_regclass('dw.t')") is None


@pytest.mark.parametrize(("expected", "bad", "shown"), ASKED, ids=[str(kind[0]) for kind in ASKED])
def test_a_warning_lets_the_load_stand(
    expected: dict[str, Any], bad: int, shown: str, database: Database, flow: Flow
) -> None:
    database.execute(ROWS)
    report = project([expected | {"policy": "warn"}]).run(flow)["p"]
    assert counts(report) == {"in": 5, "inserted": 5}
    warnings = [each for each in report["warnings"] if "do not meet" in each or "does not meet" in each]
    assert len(warnings) == (1 if bad else 0), report["warnings"]
    assert not bad or shown in warnings[0], warnings


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize(("mode", "options"), [
    ("append", {}), ("append", {"incremental_column": "id"}), ("truncate", {}), ("truncate", {"replace_method": "diff"}),
    ("merge", {"handle_deletes": "hard"}), ("merge", {"incremental_column": "id"}), ("scd2", {"handle_deletes": "soft"}),
    ("scd2", {"incremental_column": "id"}), ("merge", {"on_duplicate": "latest", "order_by": "amount"}),
])  # fmt: skip
def test_what_stood_stays_on_every_path_and_in_every_mode(
    mode: str, options: dict[str, Any], across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(ROWS)
    connect(flow, crm, warehouse)
    expect = [{"in_range": {"column": "amount", "max": 100}}, {"not_null": "status", "policy": "warn"}]
    loaded = project(expect, mode, Across, **options)
    first = loaded.run(flow)["p"]
    assert counts(first) == {"in": 5, "inserted": 5}
    assert [each for each in first["warnings"] if "status" in each] == [
        '1 row of `p` does not meet not_null = "status" (id: 3)'
    ]
    assert first["path"] == ("staging" if across else "same_db")
    before = warehouse.rows("SELECT * FROM dw.t ORDER BY id")
    mark = warehouse.rows("SELECT pipeline_name, last_value FROM ematix_flow.watermarks")
    crm.execute("INSERT INTO app.s VALUES (6, 'f', 'new', 100, now()), (7, 'g', 'new', 100.01, now())")
    crm.execute("DELETE FROM app.s WHERE id = 1")
    dry = loaded.run(flow, command="dry-run", expect=4)["p"]
    assert dry["error"]["code"] == "expectation_failed"
    report = loaded.run(flow, expect=4)["p"]
    assert (report["status"], report["committed"]) == ("refused", False)
    assert report["error"]["context"]["sample"] == [{"id": "7", "amount": "100.01"}]
    assert warehouse.rows("SELECT * FROM dw.t ORDER BY id") == before
    assert warehouse.rows("SELECT pipeline_name, last_value FROM ematix_flow.watermarks") == mark
    stages = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_ematix%'"
    assert warehouse.value(stages) == 0


def test_freshness_is_of_the_newest_value_by_the_clock_of_the_target(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    database.execute("UPDATE app.s SET seen = now() - interval '3 hours'")
    for column, declared in (("timestamptz", "timestamptz?"), ("timestamp", "timestamp?"), ("date", "date?")):
        made = project([{"freshness": {"column": "seen", "max_age": "2h"}}])
        made.tables["t"]["columns"]["seen"] = declared
        made.pipelines["p"]["source"] = {
            "query": f"SELECT id, email, status, amount, (seen AT TIME ZONE 'UTC' - interval '1 day')::{column} AS seen, parent FROM app.s"
        }
        error = made.run(flow, expect=4)["p"]["error"]
        assert "newest seen" in error["context"]["sample"][0], error
    database.execute("UPDATE app.s SET seen = NULL")
    without = project([{"freshness": {"column": "seen", "max_age": "2h"}}]).run(flow, expect=4)["p"]
    assert without["error"]["context"]["sample"] == [{"newest seen": None}]


def test_values_are_compared_as_the_target_has_them(database: Database, flow: Flow) -> None:
    """0.001 is 0.00 in numeric(10,2), and is asked as that."""
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id, 0.001::numeric AS amount")
    made = Project()
    made.table("t", {"id": "bigint", "amount": "numeric(10,2)"}, primary_key="id")
    made.pipeline("p", "app.s", "t", "merge", expect=[{"accepted_values": {"column": "amount", "values": [0]}}])
    made.run(flow)


def test_rows_that_fail_alike_are_shown_once_and_long_values_are_cut(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT repeat('x', 500) AS v FROM generate_series(1, 7)")
    made = Project()
    made.table("t", {"v": "text"})
    made.pipeline("p", "app.s", "t", "append", expect=[{"matches": {"column": "v", "pattern": "y"}}])
    flow.project(made.text())
    shown = flow("run", "p", expect=4).stderr
    assert f"  v: {'x' * 100} (7 rows)" in shown, shown


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"not_nul": "email"}, "there is no expectation `not_nul`\n"),
        ({"not_null": "emial"}, "`not_null` names the column `emial`, which table `t` does not have"),
        ({"not_null": 7}, "`not_null` takes text"),
        ({"not_null": "email", "policy": "warm"}, 'there is no policy "warm"'),
        ({"not_null": "email", "polcy": "warn"}, "an expectation has no option `polcy`"),
        ({"not_null": "email", "unique": "id"}, "an expectation is one name with its arguments"),
        ({"unique": ["id", "id"]}, "`unique` takes a name or a list of names"),
        ({"accepted_values": {"column": "status"}}, "`accepted_values` has no `values`"),
        ({"accepted_values": {"column": "status", "values": []}}, "`accepted_values`: `values` is a list of values"),
        (
            {"accepted_values": {"column": "amount", "values": ["x"]}},
            '`accepted_values`: "x" is no value of type numeric',
        ),
        ({"accepted_values": {"column": "status", "value": ["x"]}}, "`accepted_values` has no argument `value`"),
        ({"in_range": {"column": "amount"}}, "`in_range` has no bound"),
        ({"in_range": {"column": "amount", "min": 2, "max": 1}}, "`in_range`: nothing lies between 2 and 1"),
        ({"matches": {"column": "amount", "pattern": "x"}}, "`matches` reads text; the column `amount` is numeric"),
        ({"row_count": {"min": -1}}, "`row_count`: `min` is a number of rows"),
        ({"row_count": {"min": 1}, "policy": "quarantine"}, "`row_count` asks all rows together"),
        (
            {"freshness": {"column": "seen", "max_age": "2h"}, "policy": "quarantine"},
            "`freshness` asks all rows together",
        ),
        ({"freshness": {"column": "seen", "max_age": "2 ours"}}, "`freshness`: "),
        ({"freshness": {"column": "id", "max_age": "2h"}}, "`freshness` reads times; the column `id` is integer"),
        ({"references": {"columns": ["id", "parent"], "table": "t", "to": "id"}}, "`references`: 2 columns refer to 1"),
        ({"references": {"columns": "id", "table": "nowhere"}}, "`references`: there is no table `nowhere`"),
        ({"sql": "amount >= 0; DROP TABLE t"}, "`sql`: the expression has a semicolon"),
        ({"sql": "(amount >= 0"}, "`sql`: the parentheses of the expression do not match"),
        ("not_null", "an entry of `expect` of pipeline `p` must be a table, not a string"),
    ],
    ids=str,
)
def test_mistakes_are_found_before_a_run_at_their_line(expected: Any, message: str, flow: Flow) -> None:
    made = project([])
    made.pipelines["p"]["expect"] = [{"not_null": "email"}, expected]
    flow.project(made.text())
    said = flow("validate", expect=2).stderr
    assert message in said, said
    assert said.count("error[") == 1, said
    line = next(number for number, line in enumerate(made.text().splitlines(), 1) if line.startswith('"expect"'))
    assert f"--> pipelines.toml:{line}:" in said, said
    column = made.text().splitlines()[line - 1].index("}, {" if isinstance(expected, dict) else '}, "') + 4
    assert f"--> pipelines.toml:{line}:{column}" in said, said


def test_columns_of_a_target_that_is_only_named_are_known_to_the_source(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    for expected, code in [
        ({"not_null": "nam"}, "unknown_column"),
        ({"matches": {"column": "id", "pattern": "1"}}, "invalid_value"),
    ]:
        made = Project()
        made.pipeline("p", "app.s", "dw.s", "merge", keys="id", expect=[expected])
        report = made.run(flow, expect=2)["p"]
        assert report["error"]["code"] == code, report


def test_a_plan_and_a_preview_show_what_is_asked(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    made = project([{"not_null": "email"}, {"unique": "email", "policy": "warn"}])
    flow.project(made.text())
    for command in ("plan", "preview"):
        plan = flow(command, "p", "--output", "json").json()["pipelines"][0]
        purposes = [step["purpose"] for step in plan["steps"] if step["kind"] == "guard"]
        for purpose in (
            'count rows that may fail: not_null = "email"; unique = "email"',
            'expected: not_null = "email"   expects no rows',
            'expected, or a warning: unique = "email"',
        ):
            assert purpose in purposes, plan
        assert any("expectations are asked" in note for note in plan["notes"]), plan


def test_a_history_is_staged_and_the_plan_says_why(new_database: Callable[[], Database], flow: Flow) -> None:
    crm, warehouse = new_database(), new_database()
    crm.execute(ROWS)
    connect(flow, crm, warehouse)
    made = project([{"row_count": {"min": 1}}], "scd2", Across)
    made.run(flow)
    report = made.run(flow)["p"]
    assert (report["path"], "expectations are asked" in report["path_reason"]) == ("staging", True), report
    made.pipelines["p"]["force_path"] = "client_diff"
    assert made.run(flow, expect=2)["p"]["error"]["code"] == "path_impossible"


def test_python_has_every_expectation(flow: Flow) -> None:
    known = set(flow("schema").json()["$defs"]["Expectation"]["propertyNames"]["enum"]) - {"policy"}
    assert known == {name for name in dir(ef.expect) if not name.startswith("_")}


def test_targets_of_one_reading_are_all_asked(database: Database, flow: Flow) -> None:
    database.execute(ROWS)
    made = Project()
    made.table("t", COLUMNS, schema="dw", primary_key="id")
    made.pipelines["p"] = {
        "source": {"table": "app.s"},
        "targets": [{"target": "t", "mode": "merge"}, {"target": "dw.log", "mode": "append"}],
        "expect": [{"not_null": "email"}],
    }
    report = made.run(flow, expect=4)["p"]
    assert report["error"]["code"] == "expectation_failed", report
    assert database.value("SELECT to_regclass('dw.log')") is None
    database.execute("UPDATE app.s SET email = 'x' WHERE email IS NULL")
    assert made.run(flow)["p"]["rows_inserted"] == 10


PARENTS = {"references": {"columns": "parent", "table": "t", "to": "id"}}
# What of the target's rows stands beside those that come: the source gives 1 no more, and 3 refers to it.
SELF: list[tuple[str, dict[str, Any], bool]] = [
    ("truncate", {}, False),
    ("truncate", {"replace_method": "delete"}, False),
    ("truncate", {"replace_method": "diff"}, False),
    ("merge", {}, True),
    ("merge", {"handle_deletes": "hard", "max_delete_fraction": 1.0}, False),
    ("merge", {"handle_deletes": "soft", "max_delete_fraction": 1.0}, False),
    ("scd2", {}, True),
    ("scd2", {"handle_deletes": "soft", "max_delete_fraction": 1.0}, False),
    ("append", {}, True),
]


@pytest.mark.parametrize(("mode", "options", "stands"), SELF, ids=str)
def test_rows_refer_to_what_is_about_to_stand_in_their_own_target(
    mode: str, options: dict[str, Any], stands: bool, database: Database, flow: Flow
) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, parent bigint)")
    # Parent and child come in one load, the child first.
    database.execute("INSERT INTO app.s VALUES (2, 1), (1, NULL)")
    made = Project()
    made.table("t", {"id": "bigint", "parent": "bigint?"}, **({} if mode == "append" else {"primary_key": "id"}))
    made.pipeline("p", "app.s", "t", mode, expect=[PARENTS], **options)
    made.run(flow)
    database.execute("DELETE FROM app.s; INSERT INTO app.s VALUES (2, NULL), (3, 1)")
    report = made.run(flow, expect=0 if stands else 4)["p"]
    assert (report["error"] is None) == stands, report
    if not stands:
        assert report["error"]["message"].startswith("1 row of `p` does not meet references"), report


def test_a_value_that_is_about_to_be_another_is_referred_to_no_more(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, code text, parent text)")
    database.execute("INSERT INTO app.s VALUES (1, 'a', NULL), (2, 'b', 'a')")
    for mode in ("merge", "scd2"):
        made = Project()
        made.table("t", {"id": "bigint", "code": "text", "parent": "text?"}, primary_key="id", schema=mode)
        made.pipeline(
            "p", "app.s", "t", mode, expect=[{"references": {"columns": "parent", "table": "t", "to": "code"}}]
        )
        database.execute("UPDATE app.s SET code = 'a' WHERE id = 1")
        made.run(flow)
        database.execute("UPDATE app.s SET code = 'new' WHERE id = 1")
        assert made.run(flow, expect=4)["p"]["error"]["code"] == "expectation_failed", mode


def test_what_json_does_not_know_is_a_value_too(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (x double precision)")
    database.execute("INSERT INTO app.s VALUES ('NaN'), (1.5), ('-Infinity')")
    table = (
        '[tables.t.columns]\nx = "double"\n[pipelines.p]\nsource = { table = "app.s" }\ntarget = "t"\nmode = "append"\n'
    )
    asked = "expect = [{{ accepted_values = {{ column = 'x', values = [{}] }} }}]\n"
    flow.project(table + asked.format("nan, 1.5, -inf"))
    flow("run", "p")
    flow.project(table + asked.format("nan, 1.5"))
    assert "x: -Infinity" in flow("run", "p", expect=4).stderr


@pytest.mark.parametrize(
    ("text", "option", "line"),
    [
        ("expect = [{ accepted_values = { column = 'day', values = [\n  2026-01-01] } }]", "values", 9),
        ("expect = [{ in_range = { column = 'day', min = 2026-01-01T00:00:00Z } }]", "min", 8),
        ("order_by = 2026-01-01", "order_by", 8),
        ("transforms_pre = [{ filter_where = 12:00:00 }]", "filter_where", 8),
        ("[tables.u.columns]\nx = { type = 'date', normalize = [{ default = 2026-01-01 }] }", "default", 9),
        ("[tables.u.columns]\nx = { type = 'date', default = 2026-01-01 }", "default", 9),
    ],
)
def test_a_date_of_toml_is_refused_where_it_stands(text: str, option: str, line: int, flow: Flow) -> None:
    head = ["[tables.t.columns]", "id = 'bigint'", "day = 'date'", "[pipelines.p]", "source = { table = 'app.s' }"]
    flow.project("\n".join([*head, "target = 't'", "mode = 'append'", text]))
    said = flow("validate", expect=2).stderr
    assert f"`{option}`" in said and "takes no date or time of TOML" in said, said
    assert f"pipelines.toml:{line}:" in said and 'hint: write it in quotes: "' in said, said
