"""Messages name what they are about and what to do: columns, partitions, lines, the targets of plans."""

from __future__ import annotations

from typing import Any

import pytest
from database import Database
from flow_binary import Flow

PIPELINE = """
[pipelines.p]
source = { table = "app.s" }
target = "dw.t"
mode = "merge"
keys = "id"
"""


@pytest.fixture
def source(database: Database) -> Database:
    database.execute(
        "CREATE SCHEMA app; CREATE SCHEMA dw; CREATE TABLE app.s (id integer PRIMARY KEY, v text);"
        "INSERT INTO app.s VALUES (1, 'a'), (2, 'b')"
    )
    return database


def error(flow: Flow, *arguments: str, expect: int, **options: Any) -> dict[str, Any]:
    document = flow(*arguments, "--output", "json", expect=expect, **options).json()
    found = document["error"] if "error" in document else document["errors"][0]
    assert isinstance(found, dict)
    return found


def test_words_beside_a_mark_are_the_hint_of_json(flow: Flow) -> None:
    flow.project(PIPELINE.replace("keys", "keyz"))
    assert error(flow, "validate", expect=2)["hint"] == "did you mean `keys`?"
    flow.project(PIPELINE.replace('"merge"', '"upsert"'))
    hint = error(flow, "validate", expect=2)["hint"]
    assert hint == "did you mean `merge`? mode is one of append, truncate, merge, scd2, scd1"
    assert "did you mean" in flow("validate", expect=2).stderr


@pytest.mark.parametrize("when", ('schedule = "0 * * * *"', 'every = "1h"', ""))
def test_a_bad_time_zone_is_placed_at_its_own_line(when: str, flow: Flow) -> None:
    text = f'{PIPELINE}{when}\n\ntimezone = "Mars/Olympus"\n'
    flow.project(text)
    found = error(flow, "validate", expect=2)
    assert (found["code"], found["location"]["line"]) == ("invalid_schedule", len(text.splitlines()))
    assert found["message"] == "there is no time zone `Mars/Olympus`"


def test_a_bad_time_zone_hides_no_bad_cron_line(flow: Flow) -> None:
    flow.project(PIPELINE + 'schedule = "x"\ntimezone = "Mars/Olympus"\n')
    errors = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert [each["message"].split(":")[0] for each in errors] == [
        "there is no time zone `Mars/Olympus`",
        "`x` is not a cron line",
    ]


def test_a_row_without_a_partition_says_which_and_how_to_make_it(flow: Flow, source: Database) -> None:
    source.execute(
        'CREATE TABLE dw."T t" (id integer NOT NULL, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);'
        'CREATE TABLE dw.first PARTITION OF dw."T t" FOR VALUES FROM (1) TO (2)'
    )
    flow.project(PIPELINE.replace('"dw.t"', "'dw.\"T t\"'"))
    found = error(flow, "run", "p", expect=1)
    assert found["code"] == "target_failed"
    assert found["message"].splitlines()[1] == "Partition key of the failing row contains (id) = (2)."
    statement = found["hint"].split(": ", 1)[1]
    assert statement == 'CREATE TABLE "dw"."T t_default" PARTITION OF "dw"."T t" DEFAULT;'
    source.execute(statement)
    flow("run", "p")


def test_a_check_of_a_table_is_no_missing_partition(flow: Flow, source: Database) -> None:
    source.execute("CREATE TABLE dw.t (id integer PRIMARY KEY, v text CHECK (v <> 'b'))")
    flow.project(PIPELINE)
    found = error(flow, "run", "p", expect=1)
    assert "partition" not in str(found) and "'b'" not in str(found)


def test_a_null_that_the_live_table_refuses_has_the_remedy_that_fits(flow: Flow, source: Database) -> None:
    source.execute("INSERT INTO app.s VALUES (3, NULL); CREATE TABLE dw.t (id integer PRIMARY KEY, v text NOT NULL)")
    table = '[tables.t]\nschema = "dw"\n[tables.t.columns]\nid = "integer"\nv = "TYPE"\n'
    allow = 'ALTER TABLE "dw"."t" ALTER COLUMN "v" DROP NOT NULL'
    declared = PIPELINE.replace('"dw.t"', '"t"')
    flow.project(table.replace("TYPE", "text") + declared)
    assert "declare the column with ?" in error(flow, "run", "p", expect=1)["hint"]
    flow.project(table.replace("TYPE", "text?") + declared)
    hint = error(flow, "run", "p", expect=1)["hint"]
    assert hint == f"the declaration allows NULL and the live table does not: {allow}; or mend the query"
    flow.project(PIPELINE)
    hint = error(flow, "run", "p", expect=1)["hint"]
    assert hint == f"the live table allows no NULL there: {allow}; or mend the query"
    source.execute(allow)
    flow("run", "p")


def test_a_step_that_a_server_refuses_is_named_in_a_sentence(flow: Flow, source: Database) -> None:
    source.execute("INSERT INTO app.s SELECT 10 + i, repeat('x', 9000) || i FROM generate_series(1, 3) AS i")
    table = '[tables.t]\nschema = "dw"\nindexes = ["v"]\n[tables.t.columns]\nid = "integer"\nv = "text?"\n'
    source.execute(
        "ALTER TABLE app.s ALTER v SET STORAGE EXTERNAL; UPDATE app.s SET v = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 900) AS i) WHERE id > 9"
    )
    flow.project(table + PIPELINE.replace('"dw.t"', '"t"'))
    found = error(flow, "run", "p", expect=1)
    [step] = [
        step
        for step in flow("plan", "--output", "json").json()["pipelines"][0]["steps"]
        if "index" in step["purpose"] and "unique" not in step["purpose"]
    ]
    assert found["message"].startswith(f"the target refused to do step {step['n']}, a declared index: ")


def test_the_refusal_of_a_client_diff_names_the_column(flow: Flow, source: Database, new_database: Any) -> None:
    other: Database = new_database()
    table = '[tables.t]\nschema = "dw"\n[tables.t.columns]\nid = "integer"\nv = "string(30)?"\n'
    text = table + PIPELINE.replace('"dw.t"', '"t"').replace("merge", "scd2") + 'target_connection = "other"\n'
    environment: dict[str, str | None] = {"EMATIX_FLOW_DSN_OTHER": other.dsn}
    flow.project(text)
    flow("run", "p", env=environment)
    flow.project(text + 'force_path = "client_diff"\n')
    found = error(flow, "run", "p", env=environment, expect=2)
    assert found["code"] == "path_impossible"
    assert found["message"].endswith("an INSERT casts a column\nv: text becomes character varying(30)")


def test_a_source_in_sql_ascii_has_a_hint(flow: Flow, database: Database) -> None:
    name = f"{database.name}_ascii"
    database.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        ascii_dsn = database.dsn.replace(database.name, name)
        text = PIPELINE.replace("{ table", '{ connection = "ascii", table') + 'target_connection = "default"\n'
        flow.project(text)
        environment: dict[str, str | None] = {"EMATIX_FLOW_DSN_ASCII": ascii_dsn}
        query = "source = { connection = \"ascii\", query = \"SELECT 1 AS id, convert_from(decode('e97a', 'hex'), 'SQL_ASCII') AS v\" }"
        flow.project(text.replace('source = { connection = "ascii", table = "app.s" }', query))
        found = error(flow, "run", "p", env=environment, expect=1)
        assert "SQL_ASCII" in found["hint"] and "convert_from" in found["hint"], found
    finally:
        database.execute(f"DROP DATABASE {name}")


def test_several_runs_end_with_their_sum(flow: Flow, source: Database) -> None:
    second = PIPELINE.replace("pipelines.p", "pipelines.q").replace("dw.t", "dw.q")
    flow.project(PIPELINE + second)
    lines = flow("run", "--all").stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["success", "success", "2"]
    assert lines[-1].startswith("2 pipelines: 2 success  ")
    assert len(flow("run", "p").stderr.splitlines()) == 1
    assert flow("run", "--all", "-q").stderr == ""
    due = 'every = "1d"\nfirst_run = "now"\n'
    flow.project(PIPELINE + due + second + due)
    *_, summed, following = flow("run-due").stderr.splitlines()
    assert summed.startswith("2 pipelines: 2 success  ")
    assert following.startswith("next is p at ")
    source.execute("ALTER TABLE dw.q DROP COLUMN v; ALTER TABLE dw.q ADD COLUMN v integer")
    lines = flow("run", "--all", expect=(1, 4)).stderr.splitlines()
    assert lines[-1].startswith("2 pipelines: 1 success, 1 ")


@pytest.mark.parametrize("command", ("plan", "preview"))
def test_a_plan_names_its_target(command: str, flow: Flow, source: Database) -> None:
    table = '[tables.t]\nschema = "dw"\n[tables.t.columns]\nid = "integer"\nv = "text?"\n'
    flow.project(table + PIPELINE.replace('"dw.t"', '"t"'))
    assert flow(command).stdout.startswith("p  merge  dw.t  keys: id (keys)  path: ")
