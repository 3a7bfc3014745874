"""Whatever a schema, a table, a column, a pipeline, a connection or a role is called: it is kept as written, and no part
of a name is ever run. Names are drawn from what has broken programs before; the seed of a failure is its parameter."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from database import Database, temporary_database
from flow_binary import Flow
from project import counts, string, value
from test_names import MODES, Named, managed, quoted, written

SEEDS = [int(seed) for seed in os.environ.get("EMATIX_FLOW_SEEDS", "1").split(",")]
NAMES_A_RUN = 14
LONGEST = 63

# What would be run if it got out of its quotes: a sequence keeps what a transaction that fails has drawn from it.
HARM = ["SELECT nextval('canary.alarm')", "DROP TABLE canary.kept", "nextval('canary.alarm')", "COMMIT", "ROLLBACK"]
PIECES = [
    *HARM, '"', '""', "'", "''", "\\", "\\'", "$$", "$x$", ";", "--", "/*", "*/", "\n", "\r", "\t", "\v", "\x01", "\x7f",
    "%", "%s", "%%", ":name", "::text", "?", "$1", "{", "}", "{0}", "(", ")", ",", ".", " ", "E'", "U&", "é", "顧客", "🦀",
    "\u202e", "\u200b", "\ufeff", "\u0301", "İ", "a", "Z", "0", "_", "=", "@", "#", "~", "`", "|", "&", "!", "select",
    "\\.", "\\x00", "q", "t", "s", "current_user",
]  # fmt: skip
CANARY = """
CREATE SCHEMA canary;
CREATE TABLE canary.kept ();
CREATE SEQUENCE canary.alarm;
GRANT USAGE ON SCHEMA canary TO PUBLIC;
GRANT ALL ON SEQUENCE canary.alarm TO PUBLIC;
CREATE FUNCTION canary.dropped() RETURNS event_trigger LANGUAGE plpgsql AS $body$
BEGIN
  PERFORM nextval('canary.alarm') FROM pg_event_trigger_dropped_objects() WHERE schema_name = 'canary';
END $body$;
CREATE EVENT TRIGGER canary ON sql_drop EXECUTE FUNCTION canary.dropped();
"""


def drawn(random: Random, most: int = LONGEST) -> str:
    """A name; every third is as long as Postgres keeps, to the byte."""
    name = ""
    for _ in range(random.randint(1, 6)):
        name += random.choice(PIECES)
    if random.random() < 1 / 3:
        while len(name.encode()) < most:
            name += random.choice(PIECES)
    name = name.encode()[:most].decode(errors="ignore")
    # `{{` is one brace in the files; `${` would be a variable of the machine.
    return name.replace("${", "$ {") or "x"


def distinct(random: Random, count: int, most: int = LONGEST) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        name = drawn(random, most)
        if name not in names:
            names.append(name)
    return names


def harmed(*databases: Database) -> bool:
    return any(
        database.rows("SELECT is_called, to_regclass('canary.kept')::text FROM canary.alarm")
        != [(False, "canary.kept")]
        for database in databases
    )


@pytest.fixture(params=["one database", "two databases"])
def warehouse(request: pytest.FixtureRequest, database: Database) -> Iterator[Database]:
    """Where the rows go; there and at the source something would be noticed."""
    database.execute(CANARY)
    if request.param == "one database":
        yield database
        return
    with temporary_database() as other:
        other.execute(CANARY)
        yield other


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", MODES)
def test_no_part_of_a_name_is_run(mode: str, seed: int, database: Database, warehouse: Database, flow: Flow) -> None:
    random = Random(f"{mode} {seed}")
    here, there = distinct(random, 2)
    role = f"{drawn(random, 40)} {database.name[-8:]}"
    database.execute(f"CREATE ROLE {quoted(role)}")
    for each in {database.name: database, warehouse.name: warehouse}.values():
        each.execute(f"GRANT CREATE ON DATABASE {each.name} TO {quoted(role)}")
    project = Named()
    loaded: list[tuple[str, str, str, str]] = []
    try:
        for number in range(NAMES_A_RUN):
            schema, source, target, pipeline = distinct(random, 4)
            # With the strategy's own columns beside them, which are called after the pipeline.
            key, column, seen = distinct(random, 3, 50)
            schema = f"{number}{schema}".encode()[:LONGEST].decode(errors="ignore")
            pipeline = f"{pipeline}{number}"
            database.execute(f"""
                CREATE SCHEMA {quoted(schema)};
                CREATE TABLE {quoted(schema, source)}
                    ({quoted(key)} integer PRIMARY KEY, {quoted(column)} text, {quoted(seen)} timestamptz NOT NULL);
                INSERT INTO {quoted(schema, source)} VALUES (1, 'a''\\"', now() - interval '1 day'), (2, NULL, now());
                GRANT ALL ON SCHEMA {quoted(schema)} TO {quoted(role)};
                GRANT SELECT ON {quoted(schema, source)} TO {quoted(role)};
            """)
            columns = {key: "integer", column: "text?", seen: "timestamptz"}
            # Where rows may be put aside, another name stands behind this one.
            room = LONGEST if number % 4 else LONGEST - len("__rejected")
            goes_to = f"{target}_".encode()[-room:].decode(errors="ignore")
            keys = {} if mode == "append" else {"primary_key": key}
            project.table(goes_to, columns, schema=schema, **keys)
            options: dict[str, Any] = managed(mode, f"{number}")
            if mode != "truncate" and number % 3 == 0 and "handle_deletes" not in options:
                options["incremental_column"] = seen
            if number % 4 == 0:
                options["expect"] = [{"not_null": key, "policy": "quarantine"}]
            # In SQL `{` and `:name` are placeholders of the files; a table is a name alone.
            project.pipeline(pipeline, str(written(quoted(schema, source))), goes_to, mode, **options)
            loaded.append((schema, goes_to, pipeline, key))
        for body in project.pipelines.values():
            body["source"]["connection"], body["target_connection"] = written(here), written(there)
            # Whatever it begins with, it is the name of a table.
            body["source"]["table"] = body["source"].pop("query", None) or body["source"]["table"]
        text = project.text()
        for name, place in ((here, database), (there, warehouse)):
            text += f"\n[connections.{string(name)}]\ndsn = {value(place.dsn)}\nrole = {value(role)}\n"
        config = flow.project(text)
        for again in (False, True):
            finished = flow("run", "--all", "--output", "ndjson", config=config, expect=None)
            reports = {
                run["pipeline"]: run for run in map(json.loads, finished.stdout.splitlines()) if "pipeline" in run
            }
            assert not harmed(database, warehouse)
            assert {pipeline for _, _, pipeline, _ in loaded} == set(reports), finished
            for schema, target, pipeline, key in loaded:
                assert counts(reports[pipeline])["in"] >= 1, finished
                assert reports[pipeline]["status"] == "success", (reports[pipeline], finished)
                kept = warehouse.value(f"SELECT count(DISTINCT {quoted(key)}) FROM {quoted(schema, target)}")
                assert kept == 2, (pipeline, again)
        for command in (
            ["plan", "--all", "--sql"],
            ["status", "--all"],
            ["history", "--all"],
            ["doctor"],
            ["doctor", "--grants", "--all"],
        ):
            flow(*command, config=config, expect=0)
        for command in ("check", "diff"):
            if mode == "scd2":
                flow(command, *(["--all"] if command == "check" else [loaded[0][2]]), config=config, expect=None)
        assert not harmed(database, warehouse)
    finally:
        for each in {database.name: database, warehouse.name: warehouse}.values():
            each.execute("DROP EVENT TRIGGER canary")
            each.execute(f"DROP OWNED BY {quoted(role)} CASCADE")
        database.execute(f"DROP ROLE {quoted(role)}")


@pytest.mark.parametrize(
    "text",
    [
        '[tables."a\\u0000b"]\ncolumns = { id = "integer" }\n[pipelines.p]\nsource = { table = "app.s" }\ntarget = "a\\u0000b"\nmode = "append"\n',
        '[tables.t]\nschema = "a\\u0000b"\ncolumns = { id = "integer" }\n[pipelines.p]\nsource = { table = "app.s" }\ntarget = "t"\nmode = "append"\n',
        '[tables.t]\ncolumns = { "a\\u0000b" = "integer" }\n[pipelines.p]\nsource = { table = "app.s" }\ntarget = "t"\nmode = "append"\n',
        '[pipelines."a\\u0000b"]\nsource = { table = "app.s" }\ntarget = "public.t"\nmode = "append"\n',
        '[pipelines.p]\nsource = { table = "a\\u0000b" }\ntarget = "public.t"\nmode = "append"\n',
        '[pipelines.p]\nsource = { query = "SELECT 1 AS \\"a\\u0000b\\"" }\ntarget = "public.t"\nmode = "append"\n',
        '[connections.default]\ndsn = "postgresql:///"\nrole = "a\\u0000b"\n[pipelines.p]\nsource = { table = "app.s" }\ntarget = "public.t"\nmode = "append"\n',
    ],
    ids=["table", "schema", "column", "pipeline", "source", "query", "role"],
)
def test_a_zero_byte_is_refused_wherever_it_stands(text: str, flow: Flow, database: Database) -> None:
    finished = flow("run", "--all", config=flow.project(text), expect=2)
    assert "zero byte" in finished.stderr, finished
    assert database.value("SELECT to_regnamespace('ematix_flow')") is None
