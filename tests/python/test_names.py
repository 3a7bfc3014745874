"""Any name that Postgres allows is kept as written, in every mode and everywhere a name may stand; a second run of
the same finds nothing, so nothing was cut, folded or unquoted on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from project import Project, counts
from psycopg import sql

NAMES = {
    "reserved": "select",
    "reserved twice": "order",
    "system column": "tableoid2",
    "mixed case": "MixedCase",
    "space": "a b",
    "blank at an end": " a ",
    "dot": "a.b",
    "comma": "a, b",
    "double quote": 'a"b',
    "only a quote": '"',
    "single quote": "it's",
    "backslash": "a\\b",
    "braces": "{table}",
    "format": "{} {0} {count} {total}",
    "placeholders": "$1 :name %s %(x)s ?",
    "interpolation": "$ {env:HOME}",
    "dollars": "$$x$$",
    "unicode": "größe_顧客",
    "emoji": "🦀",
    "injected": 'x"; DROP TABLE app.kept; --',
    "injected string": "x'; DROP TABLE app.kept; --",
    "comment": "/* -- */",
    "line break": "a\nb",
    "tab": "a\tb",
    "63 bytes": "n" * 63,
    "63 bytes of two": "é" * 31 + "x",
    "our alias": "t",
    "our other alias": "s",
    "the third": "c",
    "the query's alias": "q",
    "our slot": "rows_in",
    "equals": "a=b",
    "hash": "a#b",
    "star": "*",
    "numbers": "1",
    "current_user": "current_user",
}
MODES = ("append", "truncate", "merge", "scd2")


def written(value: object) -> object:
    """A name in pipelines.toml, where `{name}` would be a variable."""
    if isinstance(value, list):
        return [written(each) for each in value]
    return value.replace("{", "{{").replace("}", "}}") if isinstance(value, str) else value


class Named(Project):
    """A project whose names may have braces."""

    def table(self, name: str, columns: Mapping[str, Any], **options: Any) -> None:
        columns = {str(written(column)): what for column, what in columns.items()}
        super().table(str(written(name)), columns, **{option: written(value) for option, value in options.items()})

    def pipeline(self, name: str, source: str, target: str, mode: str, **options: Any) -> None:
        options = {option: written(value) for option, value in options.items()}
        super().pipeline(str(written(name)), source, str(written(target)), mode, **options)


def key_of(name: str) -> str:
    """Another name of the same kind, not longer."""
    return "k" + (name if len(name.encode()) < 63 else name[1:-1])


def quoted(*parts: str) -> str:
    return ".".join(sql.Identifier(part).as_string() for part in parts)


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_every_name_is_kept_as_written(mode: str, database: Database, flow: Flow) -> None:
    """The name is schema, table, column, key, managed columns and pipeline at once; one process runs all of them."""
    database.execute("CREATE SCHEMA app; CREATE TABLE app.kept AS SELECT 1 AS id")
    project = Named()
    for number, name in enumerate(NAMES.values()):
        source = f"app.s{number}"
        key = key_of(name)
        database.execute(
            f"CREATE TABLE {source} ({quoted(name)} text, {quoted(key)} integer PRIMARY KEY);"
            f"INSERT INTO {source} VALUES ('{{a}} $1 :b %s \\', 1), (NULL, 2)"
        )
        project.table(
            name,
            {key: "integer", name: {"type": "text?", "default": "{x} $1 ' \\"}},
            schema=name,
            **({} if mode == "append" else {"primary_key": key}),
        )
        # In place where it can be, and by a stage.
        project.pipeline(
            name, source if number % 2 else f"SELECT * FROM {source} AS q", name, mode, **managed(mode, name)
        )
    reports = project.run(flow)
    assert len(reports) == len(NAMES)
    for name in NAMES.values():
        assert counts(reports[name]) == {"in": 2, "inserted": 2}
    for number, name in enumerate(NAMES.values()):
        key = key_of(name)
        rows = database.rows(f"SELECT {quoted(key)}, {quoted(name)} FROM {quoted(name, name)} ORDER BY 1")
        assert rows == [(1, "{a} $1 :b %s \\"), (2, None)], name
        if number % 3 == 0:
            database.execute(f"UPDATE app.s{number} SET {quoted(name)} = 'new' WHERE {quoted(key)} = 1")

    reports = project.run(flow)
    for number, name in enumerate(NAMES.values()):
        changed = 1 if number % 3 == 0 else 0
        expected = {
            "append": {"in": 2, "inserted": 2},
            "truncate": {"in": 2, "inserted": 2},
            "merge": {"in": 2, "updated": changed, "unchanged": 2 - changed},
            "scd2": {"in": 2, "inserted": changed, "closed_out": changed, "unchanged": 2 - changed},
        }[mode]
        assert counts(reports[name]) == {count: n for count, n in expected.items() if n}, name
    assert database.value("SELECT count(*) FROM app.kept") == 1

    flow("check", "--all", expect=0)
    marks = flow("plan", "--all", "--output", "json").json()
    assert [each["marks"] for each in marks["pipelines"]] == [[] for _ in NAMES]
    shown = json.loads(flow("history", "--all", "--limit", "1000", "--output", "json").stdout)
    assert {run["pipeline"] for run in shown["runs"]} == set(NAMES.values())
    assert set(database.rows("SELECT DISTINCT pipeline_name FROM ematix_flow.run_history")) == {
        (name,) for name in NAMES.values()
    }


def managed(mode: str, name: str) -> dict[str, object]:
    """The strategy's own columns, called after the name too."""
    own = {
        "append": ("loaded_at_column", "batch_id_column"),
        "truncate": (),
        "merge": ("deleted_flag",),
        "scd2": ("effective_from", "effective_to", "current_flag", "hash_column"),
    }[mode]
    short = name.encode()[:60].decode(errors="ignore")
    names: dict[str, object] = {option: f"{short}_{number}" for number, option in enumerate(own)}
    return names | ({"handle_deletes": "soft"} if mode in ("merge", "scd2") else {})


def test_the_history_of_a_key_is_found_under_any_name(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app")
    project = Named()
    for number, name in enumerate(NAMES.values()):
        second = key_of(name)
        database.execute(
            f"CREATE TABLE app.s{number} ({quoted(name)} text, {quoted(second)} text, v text,"
            f" PRIMARY KEY ({quoted(name)}, {quoted(second)}));"
            f"INSERT INTO app.s{number} VALUES ('a=b''\\', '=', 'one'), ('x', 'y', 'two')"
        )
        columns = {name: "text", second: "text", "v": "text"}
        project.table(name, columns, schema="dw", primary_key=[name, second])
        project.pipeline(name, f"app.s{number}", name, "scd2")
    project.run(flow)
    for name in NAMES.values():
        second = key_of(name)
        found = flow("history", name, "--key", f"{name}=a=b'\\", "--key", f"{second}==", "--output", "json").json()
        assert found["key"] == {name: "a=b'\\", second: "="}
        assert [version["values"] for version in found["versions"]] == [{"v": "one"}], name


def test_a_violation_is_found_under_any_name(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app")
    project = Named()
    for number, name in enumerate(NAMES.values()):
        database.execute(
            f"CREATE TABLE app.s{number} ({quoted(name)} text, v text); INSERT INTO app.s{number} VALUES ('k', 'one')"
        )
        project.table(name, {name: "text", "v": "text"}, schema="dw", natural_key=name)
        project.pipeline(name, f"app.s{number}", name, "scd2")
    project.run(flow)
    for name in NAMES.values():
        table = quoted("dw", name)
        database.execute(
            f"DO $do$ DECLARE i text; BEGIN"
            f" FOR i IN SELECT conname FROM pg_constraint WHERE conrelid = {sql.Literal(table).as_string()}::regclass LOOP"
            f"  EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', {sql.Literal(table).as_string()}::regclass, i); END LOOP;"
            f" END $do$;"
            f"INSERT INTO {table} SELECT {quoted(name)}, v, valid_from - interval '1 day', valid_from + interval '1 day',"
            f" FALSE, row_hash FROM {table}"
        )
    found = flow("check", "--all", "--output", "json", expect=1).json()
    assert not found["ok"]
    overlaps = [each["key"] for each in found["violations"] if each["invariant"] == "no_overlap"]
    assert overlaps == [{name: "k"} for name in NAMES.values()]


def test_a_pipeline_has_a_name_of_200_bytes(database: Database, flow: Flow) -> None:
    """Its stage's name is cut, so that two such names that begin alike still keep their batch apart."""
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id, 'a' AS v")
    project = Project()
    names = ["é" * 99 + "a", "é" * 99 + "b"]
    for number, name in enumerate(names):
        project.table(f"t{number}", {"id": "integer", "v": "text?"}, primary_key="id")
        project.pipeline(name, "SELECT * FROM app.s", f"t{number}", "scd2")
    for run in (1, 2):
        reports = project.run(flow)
        assert [counts(reports[name])["in"] for name in names] == [1, 1], run
    assert database.value("SELECT count(DISTINCT pipeline_name) FROM ematix_flow.run_history") == 2


LONG = "n" * 64


@pytest.mark.parametrize(
    "text",
    [
        (
            f'[tables.{LONG}]\ncolumns = {{ id = "integer" }}\nprimary_key = "id"\n'
            f'[pipelines.p]\nsource = {{ table = "s" }}\ntarget = "{LONG}"\nmode = "merge"\n'
        ),
        (
            f'[tables.t]\nschema = "{LONG}"\ncolumns = {{ id = "integer" }}\nprimary_key = "id"\n'
            '[pipelines.p]\nsource = { table = "s" }\ntarget = "t"\nmode = "merge"\n'
        ),
        (
            f'[tables.t]\ncolumns = {{ {LONG} = "integer" }}\nprimary_key = "{LONG}"\n'
            '[pipelines.p]\nsource = { table = "s" }\ntarget = "t"\nmode = "merge"\n'
        ),
        f'[pipelines.p]\nsource = {{ table = "s" }}\ntarget = "public.{LONG}"\nmode = "append"\n',
        f'[pipelines.p]\nsource = {{ table = "s" }}\ntarget = "public.t"\nmode = "scd2"\nkeys = "id"\neffective_from = "{LONG}"\n',
        f'[pipelines.p]\nsource = {{ table = "s" }}\ntarget = "public.t"\nmode = "append"\nbatch_id_column = "{LONG}"\n',
        f'[pipelines.p]\nsource = {{ table = "s.{LONG}" }}\ntarget = "public.t"\nmode = "append"\n',
        f'[pipelines.p]\nsource = {{ table = "s" }}\ntarget = "public.t"\nmode = "merge"\nkeys = ["{LONG}"]\n',
        f'[pipelines.p]\nsource = {{ table = "s" }}\ntarget = "public.t"\nmode = "append"\nincremental_column = "{LONG}"\n',
    ],
    ids=["table", "schema", "column", "target", "effective_from", "batch_id", "source", "key", "incremental"],
)
def test_a_name_of_64_bytes_is_refused_wherever_it_stands(text: str, database: Database, flow: Flow) -> None:
    errors = flow("run", "p", "--output", "json", config=text, expect=2).json()
    found = errors.get("errors") or [errors["error"]]
    assert {each["code"] for each in found} == {"name_too_long"}
    assert database.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'ematix_flow'") == 0


def test_names_of_indexes_that_would_meet_are_two_names(flow: Flow, database: Database) -> None:
    database.execute("CREATE SCHEMA raw")
    project = ""
    for table, column in [("order", "items_id"), ("order_items", "id")]:
        database.execute(f'CREATE TABLE raw."{table}" ({column} bigint PRIMARY KEY, note text)')
        project += f"""
[tables."{table}"]
schema = "mart"
primary_key = "{column}"
columns = {{ {column} = "bigint", note = "text?" }}
[pipelines."{table}"]
source = {{ table = 'raw."{table}"' }}
target = "{table}"
mode = "scd2"
"""
    flow.project(project)
    assert flow("run", "--all").code == 0
