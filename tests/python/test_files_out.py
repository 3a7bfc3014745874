"""Files out: `flow copy --to-file` and `Pipeline.export` write what a database has, exactly and whole or not at all."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars
import pyarrow.parquet
import pytest
from customers import wait_until
from database import Database
from flow_binary import Flow
from python_package import Interpreter

from ematix_flow import FlowError, Pipeline, Source, SpecError, connect

TYPES = {
    "small": "smallint",
    "whole": "integer",
    "big": "bigint",
    "real": "real",
    "double": "double precision",
    "fee": "numeric(12,4)",
    "huge": "numeric(60,10)",
    "yes": "boolean",
    "name": "text",
    "code": "varchar(9)",
    "key": "uuid",
    "day": "date",
    "clock": "time",
    "moment": "timestamptz",
    "local": "timestamp",
    "raw": "bytea",
    "document": "jsonb",
    "list": "integer[]",
    "words": "text[]",
}
ROWS = """INSERT INTO app.typed VALUES
 (1, 32767, -2147483648, 9223372036854775807, 1.5, 0.1, 12345678.9012, 12345678901234567890123456789012345678901234567890.0123456789,
  true, E'a "quoted", line\\nand \\ttab \\\\ é 🦀', 'c', '00000000-0000-0000-0000-000000000001', '2026-02-28', '23:59:59.999999',
  '2026-03-01 12:00:00.123456+02', '0001-01-01 00:00:00', '\\x00ff0a22', '{"a": [1, {"b": "x\\ny"}]}', '{1,NULL,3}', '{"a,b",NULL,""}'),
 (2, 0, 0, 0, 0, 'NaN', 0, 0, false, '', '', '00000000-0000-0000-0000-000000000002', '4000-12-31', '00:00', '1970-01-01 00:00Z',
  '2026-01-01', '', '[]', '{}', '{}'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"""


@pytest.fixture
def source(database: Database) -> Database:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in TYPES.items())
    database.execute(f"CREATE SCHEMA app; CREATE SCHEMA dw; CREATE TABLE app.typed (id integer PRIMARY KEY, {columns})")
    database.execute(ROWS)
    return database


def write(flow: Flow, *arguments: str, **options: Any) -> dict[str, Any]:
    written = flow("copy", *arguments, "--output", "json", **options).json()
    assert written.pop("schema") == "ematix.file.v1"
    assert written.pop("duration_ms") >= 0
    return written


@pytest.mark.parametrize(
    "name", ["t.parquet", "t.csv", "t.csv.gz", "t.tsv.zst", "t.jsonl", "t.ndjson.gz", "t.json.zst"]
)
def test_what_is_written_is_loaded_as_it_was(name: str, source: Database, flow: Flow) -> None:
    written = write(flow, "--from", "default", "--source-table", "app.typed", "--to-file", name)
    assert (written["file"], written["rows"]) == (name, 3)
    assert written["bytes"] == (flow.directory / name).stat().st_size
    columns = ", ".join(f'"{column}" {kind}' for column, kind in TYPES.items())
    source.execute(f"CREATE TABLE dw.typed (id integer PRIMARY KEY, {columns})")
    flow(
        "run",
        "load",
        config=f"""
[pipelines.load]
source = {{ files = "{name}" }}
target = "dw.typed"
mode = "append"
loaded_at_column = false
batch_id_column = false
""",
    )
    text = "SELECT t::text FROM {} AS t ORDER BY id"
    assert source.rows(text.format("dw.typed")) == source.rows(text.format("app.typed"))


def test_a_query_is_written_with_types_that_others_read(source: Database, flow: Flow) -> None:
    query = "SELECT id, fee, day, moment, list, document FROM app.typed WHERE id < 3 -- the first"
    assert write(flow, "--from", source.dsn, "--query", query, "--to-file", "q.parquet")["rows"] == 2
    found = pyarrow.parquet.read_table(flow.directory / "q.parquet")
    assert [str(kind) for kind in found.schema.types[:4]] == [
        "int32",
        "decimal128(12, 4)",
        "date32[day]",
        "timestamp[us, tz=UTC]",
    ]
    assert polars.read_parquet(flow.directory / "q.parquet")["list"].to_list() == [[1, None, 3], []]
    metadata = pyarrow.parquet.ParquetFile(flow.directory / "q.parquet").metadata
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_lines_are_as_the_server_writes_them(source: Database, flow: Flow) -> None:
    query = "SELECT 1 AS id, NULL::text AS nothing, '' AS empty, interval '1 mon 2 days' AS length, '[1,3)'::int4range AS span"
    write(flow, "--from", "default", "--query", query, "--to-file", "l.csv")
    assert (flow.directory / "l.csv").read_text() == 'id,nothing,empty,length,span\n1,,"",1 mon 2 days,"[1,3)"\n'
    write(flow, "--from", "default", "--query", query, "--to-file", "lines", "--format", "json")
    assert json.loads((flow.directory / "lines").read_text()) == {
        "id": 1,
        "nothing": None,
        "empty": "",
        "length": "1 mon 2 days",
        "span": "[1,3)",
    }
    spread = 'SELECT E\'{"a":\\n 1,\\r\\n"b": "x\\\\ny"}\'::json AS document'
    assert write(flow, "--from", "default", "--query", spread, "--to-file", "j.jsonl.gz")["rows"] == 1
    (line,) = gzip.decompress((flow.directory / "j.jsonl.gz").read_bytes()).decode().splitlines()
    assert json.loads(line) == {"document": {"a": 1, "b": "x\ny"}}


def test_no_rows_are_a_file_with_columns(source: Database, flow: Flow) -> None:
    query = ("--from", "default", "--query", "SELECT id, day FROM app.typed WHERE false")
    assert write(flow, *query, "--to-file", "none.parquet")["rows"] == 0
    assert pyarrow.parquet.read_schema(flow.directory / "none.parquet").names == ["id", "day"]
    assert write(flow, *query, "--to-file", "none.csv")["rows"] == 0
    assert (flow.directory / "none.csv").read_text() == "id,day\n"


def test_people_read_a_line(source: Database, flow: Flow) -> None:
    said = flow("copy", "--from", "default", "--source-table", "app.typed", "--to-file", "t.csv").stdout
    assert re.fullmatch(r"t\.csv  3 rows  \d+ bytes  \d\.\d+ s\n", said), said


HISTORY = """
[pipelines.customers]
source = { query = "SELECT id, plan FROM app.customers" }
target = "dw.customers"
mode = "scd2"
keys = "id"
handle_deletes = "soft"
max_delete_fraction = 1

[pipelines.log]
source = { query = "SELECT id, plan FROM app.customers" }
target = "dw.log"
mode = "append"

[pipelines.bare]
source = { query = "SELECT id, plan FROM app.customers" }
target = "dw.bare"
mode = "append"
batch_id_column = false

[pipelines.merged]
source = { query = "SELECT id, plan FROM app.customers" }
target = "dw.merged"
mode = "merge"
keys = "id"

[pipelines.states]
source = { query = "SELECT id, plan, at FROM app.events" }
target = "dw.states"
mode = "scd2"
keys = "id"
event_timestamp_column = "at"
"""


@pytest.fixture
def history(database: Database, flow: Flow) -> Flow:
    flow.project(HISTORY)
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.customers (id int, plan text);"
        "CREATE TABLE app.events (id int, plan text, at timestamptz);"
        "INSERT INTO app.customers VALUES (1, 'free'), (2, 'team'), (3, 'free');"
        "INSERT INTO app.events VALUES (1, 'free', '2026-01-01 00:00Z')"
    )
    flow("run", "--all")
    database.execute("UPDATE app.customers SET plan = 'pro' WHERE id = 1; DELETE FROM app.customers WHERE id = 3")
    database.execute(
        "TRUNCATE app.events; INSERT INTO app.events VALUES (1, 'gold', '2026-01-01 00:00Z'), (2, 'x', '2026-02-01 00:00Z')"
    )
    return flow


def rows(flow: Flow, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (flow.directory / name).read_text().splitlines()]


def plans(flow: Flow, name: str) -> list[tuple[int, str]]:
    return sorted((row["id"], row["plan"]) for row in rows(flow, name))


def instant(database: Database) -> str:
    return str(
        database.value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    )


def test_a_history_is_written_as_it_was(history: Flow, database: Database) -> None:
    then = instant(database)
    history("run", "customers")
    write(history, "customers", "--to-file", "now.jsonl")
    assert plans(history, "now.jsonl") == [(1, "free"), (1, "pro"), (2, "team"), (3, "free")]
    assert "row_hash" in rows(history, "now.jsonl")[0]
    write(history, "customers", "--to-file", "then.jsonl", "--as-of", then)
    assert plans(history, "then.jsonl") == [(1, "free"), (2, "team"), (3, "free")]
    assert set(rows(history, "then.jsonl")[0]) == {"id", "plan", "valid_from", "valid_to"}
    write(history, "customers", "--to-file", "today.parquet", "--as-of", "0s")
    assert sorted(polars.read_parquet(history.directory / "today.parquet")["plan"].to_list()) == ["pro", "team"]


def test_a_history_by_event_time_is_written_as_it_was_known(history: Flow) -> None:
    history("run", "states")
    write(history, "states", "--to-file", "a.jsonl", "--as-of", "2026-03-01T00:00Z")
    assert plans(history, "a.jsonl") == [(1, "gold"), (2, "x")]
    write(history, "states", "--to-file", "b.jsonl", "--as-of", "2026-03-01T00:00Z", "--known-as-of", "1")
    assert plans(history, "b.jsonl") == [(1, "free")]
    assert write(history, "states", "--to-file", "c.jsonl", "--run", "2")["rows"] == 2
    assert plans(history, "c.jsonl") == [(1, "gold"), (2, "x")]


def test_what_a_run_wrote_and_closed_is_written(history: Flow, database: Database) -> None:
    second = history("run", "customers", "--output", "json").json()["run_id"]
    write(history, "customers", "--to-file", "c.jsonl", "--run", second[-8:])
    # Opened: the new plan of 1; closed: its old one, and what has left the source.
    assert plans(history, "c.jsonl") == [(1, "free"), (1, "pro"), (3, "free")]
    write(history, "customers", "--to-file", "c.jsonl", "--run", "1")
    assert plans(history, "c.jsonl") == [(1, "free"), (2, "team"), (3, "free")]
    history("run", "log")
    write(history, "log", "--to-file", "l.jsonl", "--run", "2")
    assert plans(history, "l.jsonl") == [(1, "pro"), (2, "team")]


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["merged", "--run", "1"], "option_not_for_mode", "keeps no mark of the run"),
        (["bare", "--run", "1"], "option_not_for_mode", "batch_id_column is false"),
        (["customers", "--run", "99"], "invalid_value", "there is no run 99"),
        (["merged", "--as-of", "2026-01-01"], "option_not_for_mode", "only scd2 keeps what was"),
        (["customers", "--as-of", "0s", "--known-as-of", "1"], "option_not_for_mode", "by load time"),
        (["nobody"], "unknown_pipeline", "nobody"),
        (["customers", "--keys", "id"], "conflicting_options", "--keys says how a table is loaded"),
    ],
)
def test_what_a_table_does_not_keep_is_refused(arguments: list[str], code: str, words: str, history: Flow) -> None:
    error = history("copy", *arguments, "--to-file", "x.csv", "--output", "json", expect=2).json()["errors"][0]
    assert error["code"] == code
    assert words in error["message"] and error["hint"]
    assert not (history.directory / "x.csv").exists()


@pytest.mark.parametrize(
    "path, code",
    [
        ("out.txt", "missing_option"),
        ("out.parquet.gz", "conflicting_options"),
        ("s3://lake/out.parquet", "not_yet_supported"),
        ("nowhere/out.csv", "target_failed"),
        ("folder", "missing_option"),
        ("folder.csv", "invalid_value"),
    ],
)
def test_a_file_that_cannot_be_is_refused(path: str, code: str, source: Database, flow: Flow) -> None:
    (flow.directory / "folder.csv").mkdir()
    said = flow(
        "copy", "--from", "default", "--source-table", "app.typed", "--to-file", path, "--output", "json", expect=None
    )
    error = said.json()["errors"][0]
    assert error["code"] == code, said
    assert error["hint"]
    assert sorted(item.name for item in flow.directory.iterdir()) == ["folder.csv", "home"]


def test_a_value_that_parquet_does_not_hold_leaves_no_file(source: Database, flow: Flow) -> None:
    (flow.directory / "t.parquet").write_text("before")
    query = "SELECT i AS id, CASE i WHEN 200000 THEN 'infinity'::timestamptz ELSE now() END AS at FROM generate_series(1, 200000) i"
    said = flow("copy", "--from", "default", "--query", query, "--to-file", "t.parquet", "--output", "json", expect=1)
    assert said.json()["errors"][0]["code"] == "cast_failed"
    assert "CSV and JSON hold it" in said.json()["errors"][0]["hint"]
    assert (flow.directory / "t.parquet").read_text() == "before"
    assert sorted(item.name for item in flow.directory.iterdir()) == ["home", "t.parquet"]
    assert write(flow, "--from", "default", "--query", query, "--to-file", "t.csv")["rows"] == 200_000


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_wish_to_stop_leaves_no_file(
    name: str, number: signal.Signals, code: int, source: Database, flow: Flow
) -> None:
    query = "SELECT i, repeat('x', 1000) AS t, pg_sleep(CASE WHEN i = 50000 THEN 60 ELSE 0 END)::text FROM generate_series(1, 100000) i"
    running = flow.start("copy", "--from", "default", "--query", query, "--to-file", name)
    wait_until(lambda: any(item.name.endswith(".part") for item in flow.directory.iterdir()), "the file is on its way")
    time.sleep(0.3)
    os.kill(running.pid, number)
    running.finish(code)
    assert sorted(item.name for item in flow.directory.iterdir()) == ["home"]
    alive = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: source.value(alive) == 0, "the session is gone")


def test_nothing_is_written_in_the_database(history: Flow, database: Database) -> None:
    told = "SELECT count(*) FROM ematix_flow.run_history"
    before = database.value(told)
    write(history, "customers", "--to-file", "c.csv")
    said = history(
        "copy", "--from", "default", "--query", "DELETE FROM app.customers RETURNING id", "--to-file", "d.csv", expect=2
    )
    assert "query_writes" in said.stderr
    assert database.value(told) == before


def test_who_may_read_a_file_may_read_what_replaces_it(source: Database, flow: Flow) -> None:
    (flow.directory / "real.csv").write_text("before")
    (flow.directory / "real.csv").chmod(0o640)
    (flow.directory / "link.csv").symlink_to("real.csv")
    write(flow, "--from", "default", "--query", "SELECT 1 AS id", "--to-file", "link.csv")
    assert (flow.directory / "link.csv").is_symlink()
    assert (flow.directory / "real.csv").read_text() == "id\n1\n"
    assert (flow.directory / "real.csv").stat().st_mode & 0o777 == 0o640


@pytest.mark.long
@pytest.mark.parametrize("name", ["m.parquet", "m.csv.zst", "m.jsonl"])
def test_memory_does_not_grow_with_the_rows(name: str, source: Database, flow: Flow) -> None:
    query = (
        "SELECT i AS id, md5(i::text) || repeat(md5((i * 7)::text), 4) AS text FROM generate_series(1, 1000000) AS i"
    )
    peak, finished = flow.start("copy", "--from", "default", "--query", query, "--to-file", name).finish_and_measure()
    assert "1,000,000 rows" in finished.stdout + finished.stderr
    assert peak < 250, f"{peak} MB"


@pytest.fixture
def customers(database: Database) -> Iterator[Pipeline]:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.customers AS SELECT 1 AS id, 'free' AS plan")
    with connect(dsn=database.dsn) as conn:
        source = Source.postgres_table(conn, "app", "customers")
        yield Pipeline(name="c", source=source, target="dw.c", target_connection=conn, mode="scd2", keys="id")


def test_a_pipeline_exports_its_table(customers: Pipeline, database: Database, tmp_path: Path) -> None:
    customers.run()
    then = dt.datetime.fromisoformat(instant(database).replace("Z", "+00:00"))
    database.execute("UPDATE app.customers SET plan = 'pro'")
    second = customers.run()
    assert customers.export(tmp_path / "all.parquet") == 2
    assert customers.export(tmp_path / "then.parquet", as_of=then) == 1
    assert polars.read_parquet(tmp_path / "then.parquet")["plan"].to_list() == ["free"]
    assert customers.export(str(tmp_path / "run"), run=second.run_id, format="csv") == 2
    assert customers.export(tmp_path / "first.jsonl", run=1) == 1
    with pytest.raises(SpecError) as raised:
        customers.export(tmp_path / "x.csv", as_of=then, run=1)
    assert raised.value.code == "conflicting_options"
    with pytest.raises(FlowError) as failed:
        customers.export(tmp_path / "x.csv", as_of=then, known_as_of=1)
    assert failed.value.code == "option_not_for_mode"
    with pytest.raises(FlowError) as unknown:
        customers.export(tmp_path / "x.txt")
    assert unknown.value.code == "missing_option"


WRITES = """
from ematix_flow import Pipeline, Source, connect
pages = Pipeline(name="c", source=Source.postgres_table("warehouse", "app", "customers"), target="dw.c",
                 target_connection="warehouse", mode="append")
pages.run()
print(pages.export("c.csv"))
"""


def test_a_script_exports_beside_itself(tmp_path: Path, database: Database) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.customers AS SELECT 1 AS id")
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN_WAREHOUSE": database.dsn})
    assert python.run(WRITES).json() == 1
    assert (tmp_path / "c.csv").read_text().startswith("id,")
