"""Helpers change all rows of a source before the load, on every path alike, and are refused where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from helped import CASES, LATEST, ORDER, TABLE, Case, Row
from project import Project, counts

import ematix_flow as ef
from ematix_flow import normalize
from ematix_flow.declare import helpers


def loaded(database: Database, case: Case) -> list[Row]:
    first, *others = (f'"{name}"' for name in case.columns)
    columns = ", ".join([first, *(f"{name}::text" for name in others)])
    return sorted(database.rows(f"SELECT {columns} FROM public.t"), key=repr)


def expected(case: Case) -> dict[str, int]:
    found = {"in": len(case.rows) + case.deduplicated, "inserted": len(case.rows), "deduplicated": case.deduplicated}
    return {name: count for name, count in found.items() if count}


@pytest.mark.parametrize("name", CASES)
def test_helpers_do_the_same_on_every_path(name: str, new_database: Callable[[], Database], flow: Flow) -> None:
    """One database and two, appended at once and replaced from a stage."""
    case = CASES[name]
    crm, warehouse = new_database(), new_database()
    crm.execute(TABLE)
    for target in (crm, warehouse):
        connect(flow, crm, target)
        for mode in ("append", "truncate"):
            project = Across()
            project.table("t", case.columns)
            project.pipeline("p", "app.orders", "t", mode, transforms_pre=case.helpers)
            target.execute("DROP TABLE IF EXISTS public.t")
            report = project.run(flow)["p"]
            assert report["path"] == ("same_db" if target is crm else "staging")
            assert counts(report) == expected(case), (mode, report["path"])
            assert loaded(target, case) == sorted(case.rows, key=repr), (mode, report["path"])
    assert crm.rows("SELECT relname FROM pg_class WHERE relname LIKE '\\_ematix%%'") == []


MERGED = [
    LATEST,
    {"filter_where": "region IS NOT NULL"},
    {"with_column": {"name": "note", "expression": "region || amount"}},
]
NOTED = {**ORDER, "note": "text?"}


def test_contacts_of_a_file_are_made_clean_on_their_way(new_database: Callable[[], Database], flow: Flow) -> None:
    """Texts as an import leaves them: cleaned, the latest of each, those of a region."""
    imports, dwh = new_database(), new_database()
    flow.variables |= {"IMPORTS": imports.dsn, "DWH": dwh.dsn}
    imports.execute("""
        CREATE SCHEMA landing;
        CREATE TABLE landing.contacts_csv
          (contact_id text, email text, born text, region text, first_name text, last_name text, loaded_at timestamptz);
        INSERT INTO landing.contacts_csv VALUES
          (' 1', 'OLD@x.org', '31/01/1990', 'eu', 'Ada', ' Byron', '2026-01-01Z'),
          ('1', ' Ada@X.org', '31/01/1990', 'eu', 'Ada ', ' Byron', '2026-01-02Z'),
          ('2', '', '1 Jan', NULL, 'Bob', 'Hill', NULL), ('2', 'b@x.org', NULL, NULL, 'Bob', 'Hill', '2025-01-01Z');
    """)
    flow.project("""
        [connections.imports]
        dsn = "${env:IMPORTS}"
        [connections.dwh]
        dsn = "${env:DWH}"
        [tables.contacts]
        schema = "staging"
        primary_key = ["contact_id"]
        [tables.contacts.columns]
        contact_id = { type = "bigint", normalize = [{ parse_int = { on_failure = "error" } }] }
        email = { type = "string(256)?", normalize = ["trim", "lower", "empty_to_null"] }
        born = { type = "date?", normalize = [{ parse_date = { day_first = true } }] }
        region = { type = "string(8)", normalize = ["upper", { default = "US" }] }
        full_name = { type = "text", normalize = [{ derive = "first_name || ' ' || last_name" }, "collapse_whitespace"] }
        [pipelines.contacts]
        source = { connection = "imports", table = "landing.contacts_csv" }
        target = "contacts"
        target_connection = "dwh"
        mode = "merge"
        transforms_pre = [{ deduplicate_by = { keys = "contact_id", order_by = "loaded_at DESC" } }, { filter_where = "region IS NOT NULL" }]
    """)
    report = json.loads(flow("run", "contacts", "--output", "json").stdout)
    assert counts(report) == {"in": 4, "inserted": 2, "deduplicated": 2} and report["path"] == "staging"
    assert dwh.rows("SELECT contact_id, email, born::text, region, full_name FROM staging.contacts ORDER BY 1") == [
        (1, "ada@x.org", "1990-01-31", "EU", "Ada Byron"), (2, "b@x.org", None, "US", "Bob Hill")
    ]  # fmt: skip


@pytest.mark.parametrize(("mode", "across"), [("merge", False), ("merge", True), ("scd2", False), ("scd2", True)])
def test_rows_are_matched_by_what_leaves_the_last_helper(
    mode: str, across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(TABLE)
    connect(flow, crm, warehouse)
    project = Across()
    project.table("t", NOTED, primary_key="id")
    project.pipeline("p", "app.orders", "t", mode, transforms_pre=MERGED, handle_deletes="soft")
    assert counts(project.run(flow)["p"]) == {"in": 4, "inserted": 2, "deduplicated": 2}
    assert counts(project.run(flow)["p"]) == {"in": 4, "unchanged": 2, "deduplicated": 2}
    # A row that meets the condition no longer has left, and one that does has come; the order is the source's own.
    crm.execute(
        "UPDATE app.orders SET region = NULL WHERE id = 2; UPDATE app.orders SET region = 'AS' WHERE id = 3;"
        "UPDATE app.orders SET updated_at = '2026-02-01Z' WHERE region = 'US' AND id = 1"
    )
    third = project.run(flow)["p"]
    changed = {"updated": 1, "inserted": 1} if mode == "merge" else {"inserted": 2, "closed_out": 2}
    assert counts(third) == {"in": 4, "deduplicated": 2, "deleted": 1, **changed}, third
    current = "NOT is_deleted" if mode == "merge" else "is_current"
    assert warehouse.rows(f"SELECT id, note FROM public.t WHERE {current} ORDER BY id") == [(1, "US12.5"), (3, "AS30")]
    assert third["path"] == ("staging" if across else "same_db")


def test_the_client_compares_what_leaves_the_last_helper(new_database: Callable[[], Database], flow: Flow) -> None:
    crm, warehouse = new_database(), new_database()
    crm.execute(TABLE)
    connect(flow, crm, warehouse)
    project = Across()
    helpers = [{"filter_where": "id > 1"}, {"rename": {"place": "region"}}]
    project.table("t", {"id": "bigint", "place": "text?"}, primary_key="id")
    project.pipeline("p", "app.orders", "t", "scd2", transforms_pre=helpers)
    assert project.run(flow)["p"]["path"] == "staging"
    crm.execute("UPDATE app.orders SET region = 'AS' WHERE id = 3")
    second = project.run(flow)["p"]
    assert (second["path"], counts(second)) == (
        "client_diff",
        {"in": 2, "inserted": 1, "closed_out": 1, "unchanged": 1},
    )
    assert warehouse.rows("SELECT id, place FROM public.t WHERE is_current ORDER BY id") == [(2, "US"), (3, "AS")]
    crm.execute("UPDATE app.orders SET region = 'eu' WHERE id = 3")
    tried = project.run(flow, "p", command="dry-run")["p"]
    assert (tried["path"], tried["layers"]) == (
        "client_diff",
        [{"layer": "source", "rows": 5}, {"layer": "filter_where", "rows": 2}, {"layer": "rename", "rows": 2}],
    )
    assert counts(tried) == {"in": 2, "inserted": 1, "closed_out": 1, "unchanged": 1}
    crm.execute("UPDATE app.orders SET region = 'AS' WHERE id = 3")
    project.pipeline("p", "app.orders", "t", "scd2", transforms_pre=[LATEST, *helpers])
    third = project.run(flow)["p"]
    assert third["path"] == "staging"
    assert "what deduplicate_by drops is counted in the stage" in third["path_reason"]
    project.pipeline("p", "app.orders", "t", "scd2", transforms_pre=[LATEST, *helpers], force_path="client_diff")
    flow.project(project.text())
    refused = flow("run", "p", expect=2)
    assert "path_impossible" in refused.stderr and "counted in the stage" in refused.stderr


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_the_watermark_is_the_sources_own_whatever_helpers_make_of_its_column(
    mode: str, across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute("CREATE SCHEMA app; CREATE TABLE app.e (n bigint, list text[], name text)")
    crm.execute("INSERT INTO app.e VALUES (1, '{a,b}', ' x'), (7, '{c}', 'Y'), (7, '{}', 'z')")
    connect(flow, crm, warehouse)
    project = Across()
    # The column is cleaned, then replaced, and in the end out of sight.
    columns = {"n": {"type": "bigint", "normalize": [{"clamp": {"maximum": 5}}]}, "list": "text"}
    project.table(
        "t", {"list": "text", "n": columns["n"], "name": {"type": "text?", "normalize": ["trim"]}}, primary_key="list"
    )
    helpers = [
        {"explode": "list"},
        {"with_column": {"name": "n", "expression": "n * 10"}},
        {"select": ["n", "list", "name"]},
    ]
    project.pipeline("p", "app.e", "t", mode, incremental_column="n", transforms_pre=helpers)
    first = project.run(flow)["p"]
    assert (first["rows_inserted"], first["watermark_after"]) == (3, "7")
    crm.execute("INSERT INTO app.e VALUES (7, '{d}', 'late'), (8, '{e,f}', 'new'), (3, '{g}', 'behind the watermark')")
    second = project.run(flow)["p"]
    assert (second["rows_inserted"], second["watermark_after"]) == (3, "8"), second
    assert counts(second) == {"in": 4, "inserted": 3, "skipped" if mode == "append" else "unchanged": 1}
    assert warehouse.rows("SELECT list, n, name FROM public.t ORDER BY list") == [
        ("a", 10, "x"), ("b", 10, "x"), ("c", 50, "Y"), ("d", 50, "late"), ("e", 50, "new"), ("f", 50, "new")
    ]  # fmt: skip


def test_order_by_may_name_what_is_out_of_sight(database: Database, flow: Flow) -> None:
    database.execute(TABLE)
    project = Project()
    project.table("t", {"id": "bigint", "amount": "numeric"}, primary_key="id")
    project.pipeline("p", "app.orders", "t", "merge", transforms_pre=[{"select": ["id", "amount"]}],
                     on_duplicate="latest", order_by="updated_at DESC")  # fmt: skip
    assert counts(project.run(flow)["p"]) == {"in": 5, "inserted": 3, "deduplicated": 2}
    assert database.value("SELECT amount FROM t WHERE id = 1") == 11.5


def test_rows_that_come_together_are_told_apart_and_their_count_adds_to_that_of_the_latest(
    database: Database, flow: Flow
) -> None:
    """deduplicate_by, then what `on_duplicate = "latest"` still finds; of equals always the same row stays."""
    database.execute("CREATE SCHEMA app; CREATE TABLE app.x (id int, code text, note text, n numeric)")
    rows = [(1, "a", "x", "1.0"), (1, "a", "x", "1.00"), (1, "a", "y", "1"), (1, "b", "z", "1"), (2, "a", None, "1")]
    project = Project()
    project.table("t", {"id": "integer", "code": "text", "note": "text?", "n": "text"}, primary_key="id")
    query = "SELECT id, code, note, n, n::text AS shown FROM app.x"
    helpers = [
        {"deduplicate_by": {"keys": ["id", "code"], "order_by": "true"}},
        {"with_column": {"name": "n", "expression": "shown"}},
    ]
    project.pipeline("p", query, "t", "merge", transforms_pre=helpers, on_duplicate="latest", order_by="code ASC")
    for order in (rows, rows[::-1]):
        database.execute("TRUNCATE app.x")
        for row in order:
            database.shared.execute("INSERT INTO app.x VALUES (%s, %s, %s, %s)", row)
        report = project.run(flow)["p"]
        assert counts(report)["in"] == 5 and report["rows_deduplicated"] == 3, report
        assert database.rows("SELECT id, code, note, n FROM t ORDER BY id") == [
            (1, "a", "x", "1.0"),
            (2, "a", None, "1"),
        ]


def test_rows_without_a_key_are_no_duplicates_of_each_other(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.x (id int, n int); INSERT INTO app.x VALUES (NULL, 1), (NULL, 2), (1, 3)"
    )
    project = Project()
    project.table("t", {"id": "integer", "n": "integer"}, primary_key="id")
    project.pipeline("p", "app.x", "t", "merge", transforms_pre=[{"deduplicate_by": {"keys": "id", "order_by": "n"}}])
    flow.project(project.text())
    refused = flow("run", "p", expect=4)
    assert "error[null_key]: 2 rows of `p` have NULL in their key (id)" in refused.stderr


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
def test_a_sample_is_a_fraction_by_the_key_and_always_the_same(
    across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(
        "CREATE SCHEMA app; CREATE TABLE app.n AS SELECT n AS id, n % 3 AS v FROM generate_series(1, 10000) AS n"
    )
    connect(flow, crm, warehouse)
    project = Across()
    for name, helper in {"a": {"sample_pct": 0.1}, "b": {"sample_pct": {"fraction": 0.1, "seed": 1}},
                         "c": {"sample_pct": 0.5}}.items():  # fmt: skip
        project.table(name, {"id": "integer", "v": "integer"}, primary_key="id")
        project.pipeline(name, "app.n", name, "merge", transforms_pre=[helper])
    reports = project.run(flow)
    taken = {name: {id for (id,) in warehouse.rows(f"SELECT id FROM {name}")} for name in "abc"}
    assert 900 < len(taken["a"]) < 1100 and 900 < len(taken["b"]) < 1100 and 4800 < len(taken["c"]) < 5200, reports
    # By the key: a larger sample has the smaller one in it, another seed has other rows.
    assert taken["a"] < taken["c"] and len(taken["a"] & taken["b"]) < 200
    assert sum(taken["a"]) == SUM_OF_SAMPLE
    crm.execute("UPDATE app.n SET v = v + 1")
    assert counts(project.run(flow, "a")["a"]) == {"in": len(taken["a"]), "updated": len(taken["a"])}


# Whatever the server, the session and the path.
SUM_OF_SAMPLE = 4937728


@pytest.mark.parametrize(
    ("helper", "options", "code", "message"),
    [
        ({"filter_were": "a"}, {}, "invalid_value", "did you mean `filter_where`?"),
        ({"filter_where": ""}, {}, "invalid_value", "the expression is empty"),
        ({"filter_where": "a; b"}, {}, "invalid_value", "semicolon"),
        ({"filter_where": "a) OR (b"}, {}, "invalid_value", "parentheses"),
        ({"filter_where": 5}, {}, "invalid_value", "`condition` is text"),
        ("filter_where", {}, "missing_option", "`filter_where` has no `condition`"),
        ({"deduplicate_by": "id"}, {}, "missing_option", "`deduplicate_by` has no `order_by`"),
        ({"deduplicate_by": {"keys": [], "order_by": "id"}}, {}, "invalid_value", "names no column"),
        ({"deduplicate_by": {"keys": ["id", "id"], "order_by": "id"}}, {}, "invalid_value", "`id` twice"),
        ({"deduplicate_by": {"keys": "id", "orderby": "id"}}, {}, "unknown_option", "did you mean `order_by`?"),
        ({"deduplicate_by": {"keys": "id", "order_by": "a, "}}, {}, "invalid_value", "is not an ORDER BY list"),
        ({"limit": -1}, {}, "invalid_value", "a whole number of rows"),
        ({"limit": 1.5}, {}, "invalid_value", "a whole number of rows"),
        ({"sample_pct": 10}, {}, "invalid_value", "0.1 keeps one row in ten"),
        ({"sample_pct": 0}, {}, "invalid_value", "a fraction above 0"),
        ({"sample_pct": {"fraction": 0.1, "seed": "x"}}, {}, "invalid_value", "no whole number"),
        ({"rename": "a"}, {}, "invalid_value", "takes a table of names"),
        ({"rename": {"a": 1}}, {}, "invalid_value", "what is no name"),
        ({"rename": {"a": "x", "b": "x"}}, {}, "invalid_value", "gives `x` two names"),
        ({"select": []}, {}, "invalid_value", "names no column"),
        ({"with_column": {"name": "a"}}, {}, "missing_option", "`with_column` has no `expression`"),
        ({"with_column": {"name": "a", "expression": "b;"}}, {}, "invalid_value", "semicolon"),
        ({"explode": {"column": "a", "keep_empty": "yes"}}, {}, "invalid_value", "is true or false"),
        ({"flatten": {"column": "a"}}, {}, "missing_option", "`flatten` has no `into`"),
        ({"flatten": {"column": "a", "into": {"b": {"path": "c", "typ": "text"}}}}, {}, "invalid_value", "`typ`"),
        ({"flatten": {"column": "a", "into": {"b": {"type": "txt"}}}}, {}, "unknown_type", "did you mean `text`?"),
        ({"flatten": {"column": "a", "into": {"b": "c..d"}}}, {}, "invalid_value", "a path that is none"),
        ("limit", {}, "missing_option", "write { limit = … }"),
        ({"filter_where": "id > 0; DROP TABLE t"}, {}, "invalid_value", "the expression has a semicolon"),
        ({"deduplicate_by": {"keys": [], "order_by": "id"}}, {}, "invalid_value", "`keys` names no column"),
        ({"deduplicate_by": {"keys": "id", "order_by": "2"}}, {}, "invalid_value", "`2` in an ORDER BY list"),
        ({"deduplicate_by": {"keys": "id", "order_by": "x, 1 DESC NULLS LAST"}}, {}, "invalid_value", "name the column"),
        ({"limit": 5, "select": "a"}, {}, "invalid_value", "one name with its arguments"),
        (5, {}, "invalid_value", "transforms_pre"),
        ({"limit": 5}, {"handle_deletes": "soft"}, "conflicting_options", "`limit` and `handle_deletes` exclude each other"),
        ({"sample_pct": 0.5}, {"handle_deletes": "hard"}, "conflicting_options", "would look deleted"),
        ({"limit": 5}, {"incremental_column": "id"}, "conflicting_options", "would never be loaded"),
    ],
    ids=str,
)  # fmt: skip
def test_a_helper_that_does_not_fit_is_refused_at_its_line(
    helper: Any, options: dict[str, Any], code: str, message: str, flow: Flow
) -> None:
    project = Project()
    project.table("t", {"id": "bigint", "x": "text"}, primary_key="id")
    project.pipeline("p", "SELECT 1 AS id, 'a' AS x", "t", "merge", **options)
    text = project.text()
    flow.project(
        text + 'transforms_pre = [\n  { filter_where = "id > 0" },\n  HELPER,\n]\n'.replace("HELPER", one(helper))
    )
    refused = flow("validate", expect=2)
    said = refused.stdout + refused.stderr
    assert f"error[{code}]" in said and message in said, said
    assert f"pipelines.toml:{text.count(chr(10)) + 3}:" in said, said


def one(helper: Any) -> str:
    project = Project(pipelines={"p": {"x": helper}})
    return project.text().split(" = ", 1)[1].strip()


@pytest.mark.parametrize(
    ("helper", "code", "message"),
    [
        ({"deduplicate_by": {"keys": "idd", "order_by": "id"}}, "unknown_column", "did you mean `id`?"),
        ({"rename": {"a": "regoin"}}, "unknown_column", "did you mean `region`?"),
        ({"select": ["id", "nothing_like_it"]}, "unknown_column", "they have: id, region"),
        ({"explode": "region"}, "invalid_value", "`region` is of type text"),
        ({"explode": "tag"}, "unknown_column", "did you mean `tags`?"),
        ({"flatten": {"column": "amount", "into": {"a": "b"}}}, "invalid_value", "`amount` is of type numeric"),
        ({"filter_where": "regoin IS NULL"}, "unknown_column", 'column "regoin" does not exist'),
        ({"with_column": {"name": "x", "expression": "nofunction(id)"}}, "invalid_value", "nofunction"),
        ({"deduplicate_by": {"keys": "id", "order_by": "updated"}}, "unknown_column", 'column "updated" does not exist'),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
def test_what_only_the_server_knows_is_told_at_the_helpers_line(
    across: bool, helper: Any, code: str, message: str, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    crm.execute(TABLE)
    connect(flow, crm, new_database() if across else crm)
    project = Across()
    project.table("t", ORDER, primary_key="id")
    project.pipeline("p", "app.orders", "t", "merge")
    text = project.text()
    line = '[pipelines."p"]\n'
    helpers = 'transforms_pre = [\n  { filter_where = "id > 0" },\n  HELPER,\n  { limit = 5 }]\n'.replace(
        "HELPER", one(helper)
    )
    flow.project(text.replace(line, line + helpers))
    at = text[: text.index(line)].count("\n") + 4
    for command in ("plan", "run"):
        refused = flow(command, "p", expect=(1, 2))
        said = refused.stdout + refused.stderr
        assert f"error[{code}]" in said and message in said, said
        assert f"pipelines.toml:{at}:" in said, said


def test_a_marker_of_a_column_that_only_a_helper_makes_is_refused(database: Database, flow: Flow) -> None:
    database.execute(TABLE)
    project = Project()
    project.table("t", {"id": "bigint", "place": {"type": "text?", "normalize": ["trim"]}})
    project.pipeline("p", "app.orders", "t", "append", transforms_pre=[{"rename": {"place": "region"}}])
    flow.project(project.text())
    refused = flow("run", "p", expect=2)
    assert "no column `place` to clean: markers come before the helpers" in refused.stderr


def test_each_helper_is_a_layer_that_can_be_read(database: Database, flow: Flow) -> None:
    database.execute(TABLE)
    project = Project()
    columns = {"id": "bigint", "place": "text?", "amount": {"type": "numeric?", "normalize": [{"round": 1}]}}
    project.table("t", columns, primary_key="id")
    helpers = [{"filter_where": "id > 1"}, LATEST, {"filter_where": "amount > 0"}, {"rename": {"place": "region"}}]
    project.pipeline("p", "app.orders", "t", "merge", transforms_pre=helpers)
    flow.project(project.text())
    for command in ("plan", "preview"):
        shown = flow(command, "p", "--sql").stdout
        layers = ["source", "cleaned", "filter_where", "deduplicate_by", "filter_where_2", "rename"]
        found = [shown.index(f'"{layer} rows" AS (') for layer in layers]
        assert found == sorted(found), shown
        assert "helpers around the source's rows" in shown and "filter_where, deduplicate_by" in shown


def test_several_targets_help_themselves_to_one_reading(database: Database, flow: Flow) -> None:
    database.execute(TABLE)
    flow.project("""
        [tables.one]
        primary_key = "id"
        columns = { id = "bigint", region = "text?" }
        [tables.two]
        columns = { part = "text", id = "bigint" }
        [pipelines.p]
        source = { table = "app.orders" }
        targets = [
          { target = "one", mode = "merge", transforms_pre = [{ deduplicate_by = { keys = "id", order_by = "updated_at DESC" } }] },
          { target = "two", mode = "truncate", transforms_pre = [{ explode = { column = "parts", into = "part" } }] },
        ]
    """)
    report = json.loads(flow("run", "p", "--output", "json").stdout)
    assert [counts(each) for each in report["targets"]] == [
        {"in": 5, "inserted": 3, "deduplicated": 2}, {"in": 5, "inserted": 5}
    ]  # fmt: skip
    assert database.rows("SELECT part, count(*) FROM two GROUP BY part ORDER BY part") == [
        ("v", 2), ("x", 1), ("y", 1), ("z", 1)
    ]  # fmt: skip


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
def test_a_target_that_is_only_named_has_the_columns_that_leave_the_last_helper(
    across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute(
        TABLE + "DELETE FROM app.orders WHERE region IS DISTINCT FROM 'EU'; CREATE TYPE app.mood AS ENUM ('ok')"
    )
    connect(flow, crm, warehouse)
    project = Across()
    helpers = [
        {"rename": {"place": "region"}},
        {"with_column": {"name": "mood", "expression": "'ok'::app.mood"}},
        {"flatten": {"column": "payload", "into": {"zip": {"path": "at.zip", "type": "integer"}}}},
        {"select": ["place", "zip", "mood", "id"]},
    ]
    project.pipeline("p", "app.orders", "mart.t", "truncate", transforms_pre=helpers)
    project.run(flow)
    mood = "text" if across else "app.mood"
    assert warehouse.rows(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'mart.t'::regclass AND attnum > 0 ORDER BY attnum"
    ) == [("place", "text"), ("zip", "integer"), ("mood", mood), ("id", "bigint")]
    assert warehouse.rows("SELECT place, zip, mood::text, id FROM mart.t ORDER BY zip") == [
        ("EU", 7, "ok", 1), ("EU", 100, "ok", 1)
    ]  # fmt: skip
    assert project.run(flow)["p"]["rows_inserted"] == 2


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
def test_a_dry_run_counts_what_each_layer_left_and_changed(
    across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    connect(flow, crm, new_database() if across else crm)
    crm.execute(TABLE)
    project = Across()
    columns = {"id": "bigint", "region": {"type": "text?", "normalize": ["lower", {"default": "none"}]}, "part": "text"}
    project.table("t", columns)
    helpers = [LATEST, {"filter_where": "id < 3"}, {"explode": {"column": "parts", "into": "part", "keep_empty": True}}]
    for mode in ("append", "truncate"):
        project.pipeline("p", "app.orders", "t", mode, transforms_pre=[*helpers[:2], {"filter_where": "true"}])
        columns["part"] = "text?"
        project.table("t", {"id": "bigint", "region": columns["region"]})
        report = project.run(flow, "p", command="dry-run")["p"]
        assert report["layers"] == [
            {"layer": "source", "rows": 5},
            {"layer": "markers", "rows": 5, "changed": {"region": 5}},
            {"layer": "deduplicate_by", "rows": 3},
            {"layer": "filter_where", "rows": 2},
            {"layer": "filter_where_2", "rows": 2},
        ]
        assert counts(report) == {"in": 4, "inserted": 2, "deduplicated": 2}
        shown = flow("dry-run", "p").stdout
        assert "markers         5 rows  region: 5 changed" in shown, shown
        assert "deduplicate_by  3 rows  2 dropped" in shown
        assert counts(project.run(flow)["p"]) == counts(report)
        assert "layers" not in project.run(flow)["p"]


def test_a_sample_shows_what_markers_changed_before_beside_after(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.x (id int, name text, n text)")
    database.execute("INSERT INTO app.x VALUES (1, ' Ada', '7'), (2, 'bob', '07'), (3, 'cy', '3')")
    project = Project()
    columns = {
        "name": {"type": "text", "normalize": ["trim", "lower"]},
        "n": {"type": "bigint", "normalize": ["parse_int"]},
    }
    project.table("t", {"id": "integer", **columns}, primary_key="id")
    project.pipeline("p", "app.x", "t", "merge")
    flow.project(project.text())
    report = json.loads(flow("dry-run", "p", "--sample", "5", "--output", "json").stdout)
    markers = report["layers"][1]
    assert markers["changed"] == {"name": 1, "n": 1}
    assert sorted(markers["sample"], key=lambda row: row["after"]["id"]) == [
        {"before": {"id": 1, "name": " Ada", "n": "7"}, "after": {"id": 1, "name": "ada", "n": 7}},
        {"before": {"id": 2, "name": "bob", "n": "07"}, "after": {"id": 2, "name": "bob", "n": 7}},
    ]
    shown = flow("dry-run", "p", "--sample", "5").stdout
    assert "name:  Ada → ada" in shown and "id: 2" in shown and "n: 07 → 7" in shown, shown
    assert len(json.loads(flow("dry-run", "p", "--sample", "1", "--output", "json").stdout)["layers"][1]["sample"]) == 1


def test_a_role_needs_no_more_than_it_has_where_nothing_is_counted(database: Database, flow: Flow) -> None:
    """Nothing is created for a helper, but for the stage in which deduplicate_by counts."""
    database.execute(TABLE)
    project = Project()
    project.table("t", ORDER)
    project.pipeline("p", "app.orders", "t", "append", transforms_pre=[{"filter_where": "id > 1"}])
    flow.project(project.text())
    steps = json.loads(flow("plan", "p", "--output", "json").stdout)["pipelines"][0]["steps"]
    assert "stage" not in [step["kind"] for step in steps]


def test_every_helper_of_python_is_one_that_the_core_reads(flow: Flow) -> None:
    made = {
        "deduplicate_by": normalize.deduplicate_by(["id", "x"], order_by="id DESC"),
        "explode": normalize.explode("x", into="y", keep_empty=True),
        "filter_where": normalize.filter_where("true"),
        "flatten": normalize.flatten("x", {"y": "a.b", "z": {"path": ["a.b", "c"], "type": "bigint"}}),
        "limit": normalize.limit(1),
        "rename": normalize.rename(new="x"),
        "sample_pct": normalize.sample_pct(0.5, seed=3),
        "select": normalize.select("id", "x"),
        "with_column": normalize.with_column("x", "1"),
    }
    names = [name for name in normalize.__all__ if getattr(normalize, name).__module__ == helpers.__name__]
    assert sorted(names) == sorted(made)
    project = Project()
    project.table("t", {"id": "bigint"}, primary_key="id")
    exported = [made[name].export() for name in names]
    project.pipeline("p", "SELECT 1 AS id", "t", "merge", transforms_pre=exported)
    flow.project(project.text())
    flow("validate")
    known = json.loads(flow("schema").stdout)["$defs"]["Helper"]["propertyNames"]["enum"]
    assert sorted(known) == sorted(made)


def test_a_key_of_no_column_is_refused_where_it_is_written() -> None:
    with pytest.raises(ef.SpecError, match="deduplicate_by: the keys are an empty list"):
        ef.deduplicate_by([], order_by="id")
