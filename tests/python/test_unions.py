"""The rows of several sources, by the names of their columns: from one connection by one statement, from several by one
each into one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from project import counts
from python_package import Interpreter

ORDERS = """
    CREATE SCHEMA app;
    CREATE TABLE app.o (id bigint, region text, amount numeric(10,2), note text);
    INSERT INTO app.o VALUES {rows};
"""
TABLE = """
    [tables.orders]
    primary_key = ["region", "id"]
    columns = { id = "bigint", region = "text", amount = "numeric(12,2)?" }
"""


def connections(flow: Flow, **databases: Database) -> str:
    for name, database in databases.items():
        flow.variables[name.upper()] = database.dsn
    return "".join(f'[connections.{name}]\ndsn = "${{env:{name.upper()}}}"\n' for name in databases)


def pipeline(members: Sequence[str], *options: str) -> str:
    union = ", ".join(members)
    return "\n".join(
        [
            "[pipelines.p]",
            f"source = {{ union = [{union}] }}",
            'target = "orders"',
            'target_connection = "lake"',
            *options,
        ]
    )


def run(flow: Flow, command: str = "run", expect: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(flow(command, "p", "--output", "json", expect=expect).stdout)
    return found


@pytest.fixture
def sources(new_database: Callable[[], Database]) -> tuple[Database, Database, Database]:
    """`eu` and `us` are databases of their own, `lake` has rows of Asia itself; the columns stand in another order."""
    eu, us, lake = new_database(), new_database(), new_database()
    eu.execute(ORDERS.format(rows="(1, 'eu', 10, 'a'), (2, 'eu', 20, NULL)"))
    us.execute(
        "CREATE SCHEMA app; CREATE TABLE app.o (note text, amount integer, id integer, region varchar(5));"
        "INSERT INTO app.o VALUES ('x', 30, 1, 'us')"
    )
    lake.execute(
        ORDERS.format(rows="(7, 'as', 70, 'q'), (7, 'old', 71, 'q')") + "CREATE TABLE app.more AS SELECT * FROM app.o"
    )
    return eu, us, lake


EU, US = '{ connection = "eu", table = "app.o" }', '{ connection = "us", table = "app.o" }'
LAKE = '{ connection = "lake", query = "SELECT * FROM app.o WHERE region = \'as\' -- not the old ones" }'
ALL = [("as", 7, "70.00"), ("eu", 1, "10.00"), ("eu", 2, "20.00"), ("us", 1, "30.00")]


def loaded(lake: Database) -> Any:
    return lake.rows("SELECT region, id, amount::text FROM orders ORDER BY 1, 2")


@pytest.mark.parametrize("mode", ["append", "truncate", "merge"])
def test_rows_of_several_connections_come_into_one_table(
    mode: str, sources: tuple[Database, Database, Database], flow: Flow
) -> None:
    eu, us, lake = sources
    flow.project(connections(flow, eu=eu, us=us, lake=lake) + TABLE + pipeline([EU, US, LAKE], f'mode = "{mode}"'))
    report = run(flow)
    assert counts(report) == {"in": 4, "inserted": 4}
    assert (report["path"], report["path_reason"]) == ("staging", "the union reads 3 connections: eu, us, lake")
    assert loaded(lake) == ALL
    assert lake.rows("SELECT path, status, rows_in FROM ematix_flow.run_history") == [("staging", "success", 4)]
    for database in sources:
        assert database.rows("SELECT relname FROM pg_class WHERE relname LIKE '\\_ematix%%'") == []
    if mode == "merge":
        us.execute("UPDATE app.o SET amount = 31")
        assert counts(run(flow)) == {"in": 4, "updated": 1, "unchanged": 3}


def test_a_history_of_several_connections_sees_what_has_left(
    sources: tuple[Database, Database, Database], flow: Flow
) -> None:
    eu, us, lake = sources
    options = ['mode = "scd2"', 'handle_deletes = "soft"', 'on_drift = "error"']
    flow.project(connections(flow, eu=eu, us=us, lake=lake) + TABLE + pipeline([EU, US, LAKE], *options))
    assert counts(run(flow)) == {"in": 4, "inserted": 4}
    us.execute("DELETE FROM app.o")
    assert counts(run(flow)) == {"in": 3, "unchanged": 3, "closed_out": 1, "deleted": 1}
    tried = run(flow, "dry-run")
    assert counts(tried) == {"in": 3, "unchanged": 3}
    assert lake.rows("SELECT relname FROM pg_class WHERE relname LIKE '\\_ematix%%'") == []


def test_helpers_and_markers_see_the_rows_of_all(sources: tuple[Database, Database, Database], flow: Flow) -> None:
    eu, us, lake = sources
    table = TABLE.replace('region = "text"', 'region = { type = "text", normalize = ["upper"] }')
    helpers = (
        'transforms_pre = [{ filter_where = "note IS NOT NULL" },'
        ' { deduplicate_by = { keys = "id", order_by = "amount DESC" } }]'
    )
    flow.project(
        connections(flow, eu=eu, us=us, lake=lake) + table + pipeline([EU, US, LAKE], 'mode = "merge"', helpers)
    )
    assert counts(run(flow)) == {"in": 3, "inserted": 2, "deduplicated": 1}
    assert loaded(lake) == [("AS", 7, "70.00"), ("US", 1, "30.00")]


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
def test_one_connection_reads_all_members_by_one_statement(
    across: bool, sources: tuple[Database, Database, Database], new_database: Callable[[], Database], flow: Flow
) -> None:
    lake = sources[2]
    target = new_database() if across else lake
    members = ['{ table = "app.o" }', "{ query = \"SELECT region || '2' AS region, note, id, amount FROM app.more;\" }"]
    text = pipeline(members, 'mode = "append"', 'incremental_column = "id"').replace(
        "{ union", '{ connection = "raw", union'
    )
    flow.project(connections(flow, raw=lake, lake=target) + TABLE + text)
    report = run(flow)
    assert (counts(report), report["path"]) == ({"in": 4, "inserted": 4}, "staging" if across else "same_db")
    lake.execute("INSERT INTO app.more VALUES (8, 'new', 1, NULL)")
    second = run(flow)
    assert counts(second) == {"in": 5, "inserted": 1, "skipped": 4} and second["watermark_after"] == "8"
    assert ("new2", 8, "1.00") in loaded(target)
    if not across:
        flow("watermark", "set", "p", "5")


def test_the_plan_shows_each_reading(sources: tuple[Database, Database, Database], flow: Flow) -> None:
    eu, us, lake = sources
    more = '{ connection = "us", query = "SELECT 9 AS id, \'x\' AS region, 9.5 AS amount, NULL AS note" }'
    flow.project(connections(flow, eu=eu, us=us, lake=lake) + TABLE + pipeline([EU, US, LAKE, more], 'mode = "merge"'))
    for command in ("plan", "preview"):
        plan = json.loads(flow(command, "p", "--output", "json").stdout)["pipelines"][0]
        read = [step["purpose"].split(" into ")[0] for step in plan["steps"] if step["purpose"].startswith("read ")]
        # Members of one connection are one reading of it.
        assert read == ["read eu", "read us", "read lake"], plan
        assert plan["path"] == "staging"
    assert counts(run(flow)) == {"in": 5, "inserted": 5}
    assert lake.rows("SELECT 1 FROM orders WHERE region = 'x' AND amount = 9.5") == [(1,)]


def test_several_targets_are_loaded_from_several_connections(
    sources: tuple[Database, Database, Database], flow: Flow
) -> None:
    eu, us, lake = sources
    text = pipeline([EU, US, LAKE]).replace(
        'target = "orders"',
        'targets = [{ target = "orders", mode = "merge" }, { target = "lake.copy", mode = "append" }]',
    )
    flow.project(connections(flow, eu=eu, us=us, lake=lake) + TABLE + text)
    report = run(flow)
    assert [counts(each) for each in report["targets"]] == [{"in": 4, "inserted": 4}] * 2
    assert loaded(lake) == ALL and lake.value("SELECT count(*) FROM lake.copy") == 4


@pytest.mark.parametrize(
    ("second", "code", "message"),
    [
        (
            '{ connection = "us", query = "SELECT id, region, amount AS amont, note FROM app.o" }',
            "unknown_column",
            "member 2 of the union (connection us) has no column `amount`, which member 1 has",
        ),
        (
            '{ connection = "us", query = "SELECT *, 1 AS extra FROM app.o" }',
            "unknown_column",
            "member 1 of the union (connection eu) has no column `extra`, which member 2 has",
        ),
        (
            '{ connection = "us", query = "SELECT id, region, \'x\' AS amount, note FROM app.o" }',
            "invalid_value",
            "the column `amount` is numeric(10,2) in member 1 of the union (connection eu) and text in member 2 of the union (connection us)",
        ),
        ('{ connection = "us", table = "app.nothing" }', "source_failed", "member 2 of the union (connection us)"),
    ],
)
def test_members_that_do_not_go_together_are_refused(
    second: str, code: str, message: str, sources: tuple[Database, Database, Database], flow: Flow
) -> None:
    eu, us, lake = sources
    flow.project(connections(flow, eu=eu, us=us, lake=lake) + TABLE + pipeline([EU, second], 'mode = "merge"'))
    refused = flow("run", "p", expect=(1, 2))
    assert f"error[{code}]" in refused.stderr and message in refused.stderr, refused.stderr


@pytest.mark.parametrize(
    ("union", "options", "code", "message", "line"),
    [
        ("[]", [], "invalid_value", "`union` of `source` of pipeline `p` names no source", 5),
        ("5", [], "invalid_value", "must be a list", 5),
        ("[{ connection = 'eu' }]", [], "missing_option", "member 1 of the `union` of", 5),
        ("[{ tabel = 'a.b' }]", [], "unknown_option", "unknown option `tabel` in a member of `source`", 5),
        ("[{ table = 'a.b', query = 'SELECT 1' }]", [], "conflicting_options", "exclude each other", 5),
        ("[{ union = [{ table = 'a.b' }] }]", [], "invalid_value", "is a union itself", 5),
        ("[{ table = 'o' }]", [], "invalid_value", "the source table `o` has no schema", 5),
        ("[{ table = 'a.o' }, { query = 'DELETE FROM x' }]", [], "query_writes", "`DELETE` is not", 5),
        (
            "[{ connection = 'eu', table = 'a.o' }, { connection = 'us', table = 'a.o' }]",
            ["incremental_column = 'id'"],
            "conflicting_options",
            "there is one watermark",
            8,
        ),
        (
            "[{ connection = 'eu', table = 'a.o' }, { connection = 'us', table = 'a.o' }]",
            ["force_path = 'same_db'"],
            "path_impossible",
            "their rows are staged",
            8,
        ),
    ],
    ids=str,
)
def test_a_union_that_is_none_is_refused_at_its_line(
    union: str, options: list[str], code: str, message: str, line: int, flow: Flow
) -> None:
    text = ["[tables.orders]", "columns = { id = 'bigint' }", "primary_key = 'id'", "[pipelines.p]"]
    text += [f"source = {{ union = {union} }}", "target = 'orders'", "mode = 'append'", *options]
    flow.project("\n".join(text))
    refused = flow("validate", expect=2)
    said = refused.stdout + refused.stderr
    assert f"error[{code}]" in said and message in said and f"pipelines.toml:{line}:" in said, said


# What two members have, and what both are together: nothing where a value would be lost.
TOGETHER = [
    ("integer", "bigint", "bigint"), ("bigint", "smallint", "bigint"), ("numeric(10,2)", "integer", "numeric"),
    ("numeric(5,2)", "numeric(12,4)", "numeric(12,4)"), ("integer", "double precision", "double precision"),
    ("real", "double precision", "double precision"), ("varchar(3)", "text", "text"),
    ("timestamp(3)", "timestamp", "timestamp without time zone"), ("date", "timestamp", "timestamp without time zone"),
    ("bigint", "double precision", None), ("numeric", "double precision", None), ("integer", "real", None),
    ("timestamp", "timestamptz", None), ("bigint", "text", None), ("json", "jsonb", None),
]  # fmt: skip


@pytest.mark.parametrize("across", [False, True], ids=["one connection", "two connections"])
@pytest.mark.parametrize(("one", "other", "both"), TOGETHER)
def test_types_go_together_alike_from_one_connection_and_from_two(
    one: str, other: str, both: str | None, across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    lake = new_database()
    us = new_database() if across else lake
    lake.execute(f"CREATE SCHEMA app; CREATE TABLE app.one (id bigint, x {one})")
    us.execute(f"CREATE SCHEMA IF NOT EXISTS app; CREATE TABLE app.other (id bigint, x {other})")
    for_other = "us" if across else "lake"
    flow.project(
        connections(flow, lake=lake, us=us)
        + f"""
        [pipelines.p]
        source = {{ union = [{{ connection = "lake", table = "app.one" }}, {{ connection = "{for_other}", table = "app.other" }}] }}
        target = "dw.t"
        target_connection = "lake"
        mode = "append"
        """
    )
    if both is None:
        error = run(flow, expect=2)["error"]
        assert error["code"] == "invalid_value"
        for word in (
            "`x`",
            "member 1 of the union (connection lake)",
            f"member 2 of the union (connection {for_other})",
        ):
            assert word in error["message"], error
        assert "cast it in the queries of the members" in error["hint"]
        return
    run(flow)
    kind = (
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'dw.t'::regclass AND attname = 'x'"
    )
    assert lake.value(kind) == both


def test_a_union_of_python_is_one_of_the_file(sources: tuple[Database, Database, Database], tmp_path: Any) -> None:
    eu, us, lake = sources
    python = Interpreter(
        tmp_path,
        {"EMATIX_FLOW_DSN_EU": eu.dsn, "EMATIX_FLOW_DSN_US": us.dsn, "EMATIX_FLOW_DSN_LAKE": lake.dsn},
    )
    python.run("""
from ematix_flow import Source, pipeline
eu, us = (Source.postgres_table(name, "app", "o") for name in ("eu", "us"))
both = Source.union_all(Source.union_all(eu, us), Source.postgres_query("lake", "SELECT * FROM app.o WHERE id > :n", params={"n": 0}))
report = pipeline.sync(source=both, target="public.orders", target_connection="lake", mode="merge", keys=["region", "id"])
assert (report.rows_inserted, report.path) == (5, "staging"), report
""")
    assert lake.value("SELECT count(*) FROM orders") == 5
