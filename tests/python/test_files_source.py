"""Files as sources, read by the real binary: formats, versions of files that are loaded once, and what is told of mistakes."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import polars
import pyarrow.parquet
import pytest
from database import Database
from flow_binary import Flow
from moto.server import ThreadedMotoServer

PIPELINE = """
[tables.customers]
schema = "shop"
primary_key = ["id"]
columns = { id = "bigint", name = "text?", plan = "text?", credit = "numeric?", seen = "timestamptz?" }

[pipelines.customers]
source = { files = "landing/*" }
target = "customers"
"""
NARROW = PIPELINE.replace(', plan = "text?", credit = "numeric?", seen = "timestamptz?"', "")
ONCE = NARROW + 'mode = "merge"\nincremental = "files"\n'
ROWS = [
    (
        1,
        "Ann",
        "free",
        decimal.Decimal("123456789012345678901234567890.5"),
        dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
    ),
    (2, "Bob, jr.", "", None, None),
    (3, None, None, decimal.Decimal("-0.10"), dt.datetime(2026, 1, 1, 11, 30, tzinfo=dt.timezone.utc)),
]
LOADED = "SELECT id, name, plan, credit, seen FROM shop.customers ORDER BY id"
CSV = """id,name,plan,credit,seen
1,Ann,free,123456789012345678901234567890.5,2026-01-01T00:00:00Z
2,"Bob, jr.","",,
3,,,-0.10,2026-01-01 12:30:00+01:00
"""
JSON = [
    {"id": 1, "name": "Ann", "plan": "free", "credit": "CREDIT", "seen": "2026-01-01T00:00:00Z"},
    {"id": 2, "name": "Bob, jr.", "plan": ""},
    {"seen": "2026-01-01T12:30:00+01:00", "id": 3, "plan": None, "credit": "-0.10"},
]


def json_text(lines: bool) -> str:
    texts = [json.dumps(row).replace('"CREDIT"', "123456789012345678901234567890.5") for row in JSON]
    return "\n".join(texts) if lines else "[" + ", ".join(texts) + "]"


def parquet(file: Path) -> None:
    columns = list(zip(*ROWS, strict=True))
    table = pyarrow.table(
        {
            "id": pyarrow.array(columns[0], pyarrow.int32()),
            "name": pyarrow.array(columns[1]).dictionary_encode(),
            "plan": pyarrow.array(columns[2]),
            "credit": pyarrow.array(columns[3], pyarrow.decimal256(50, 2)),
            "seen": pyarrow.array(columns[4], pyarrow.timestamp("ms", "UTC")),
        }
    )
    pyarrow.parquet.write_table(table, file, row_group_size=2)


FORMATS = {
    "customers.csv": lambda file: file.write_text(CSV, encoding="utf-8"),
    "customers.csv.gz": lambda file: file.write_bytes(gzip.compress(CSV.encode())),
    "customers.jsonl": lambda file: file.write_text(json_text(True), encoding="utf-8"),
    "customers.json": lambda file: file.write_text(json_text(False), encoding="utf-8"),
    "customers.parquet": parquet,
}


@pytest.fixture
def landing(flow: Flow, database: Database) -> Path:
    database.execute("CREATE SCHEMA shop")
    folder = Path(flow.directory) / "landing"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_loaded_by_every_load_strategy(
    name: str, mode: str, flow: Flow, database: Database, landing: Path
) -> None:
    FORMATS[name](landing / name)
    report = flow("run", "customers", "--output", "json", config=PIPELINE + f'mode = "{mode}"\n').json()
    counted = {key: report[key] for key in ("status", "path", "rows_in", "rows_inserted", "source_connection")}
    assert counted == {
        "status": "success",
        "path": "staging",
        "rows_in": 3,
        "rows_inserted": 3,
        "source_connection": "files",
    }
    assert database.rows(LOADED) == ROWS


def write(file: Path, *rows: str) -> None:
    file.write_text("\n".join(["id,name", *rows]) + "\n", encoding="utf-8")


def runs(flow: Flow, *more: str, config: str = ONCE) -> tuple[int, int, int]:
    report = flow("run", "customers", *more, "--output", "json", config=config).json()
    return report["rows_in"], report["rows_inserted"], report["rows_updated"]


def test_each_version_of_a_file_is_loaded_once(flow: Flow, database: Database, landing: Path) -> None:
    write(landing / "a.csv", "1,Ann", "2,Bob")
    assert runs(flow) == (2, 2, 0)
    assert runs(flow) == (0, 0, 0)
    write(landing / "b.csv", "2,Rob", "3,Cem")
    assert runs(flow) == (2, 1, 1)
    write(landing / "a.csv", "1,Anna")
    assert runs(flow) == (1, 0, 1)
    assert database.rows("SELECT id, name FROM shop.customers ORDER BY id") == [(1, "Anna"), (2, "Rob"), (3, "Cem")]
    assert database.rows("SELECT path, bytes FROM ematix_flow.loaded_files ORDER BY path, bytes") == [
        ("landing/a.csv", 15),
        ("landing/a.csv", 20),
        ("landing/b.csv", 20),
    ]
    for file in landing.iterdir():
        file.unlink()
    flow("run", "customers", config=ONCE, expect=1)


def test_what_a_failed_run_has_read_is_read_again(flow: Flow, database: Database, landing: Path) -> None:
    write(landing / "a.csv", "1,Ann")
    write(landing / "b.csv", "2,Bob", "2,Rob")
    flow("run", "customers", config=ONCE, expect=4)
    assert database.value("SELECT count(*) FROM ematix_flow.loaded_files") == 0
    flow("dry-run", "customers", config=ONCE, expect=4)
    write(landing / "b.csv", "2,Bob")
    flow("dry-run", "customers", config=ONCE)
    assert database.value("SELECT count(*) FROM ematix_flow.loaded_files") == 0
    assert runs(flow) == (2, 2, 0)


def test_what_was_loaded_is_forgotten_by_a_reset_and_by_a_rewind(flow: Flow, database: Database, landing: Path) -> None:
    config = ONCE.replace("merge", "scd2")
    write(landing / "a.csv", "1,Ann")
    assert runs(flow, config=config) == (1, 1, 0)
    write(landing / "b.csv", "2,Bob")
    assert runs(flow, config=config) == (1, 1, 0)
    flow("rewind", "customers", "--to", "1", "--yes", config=config)
    assert database.rows("SELECT path FROM ematix_flow.loaded_files") == [("landing/a.csv",)]
    assert runs(flow, config=config) == (1, 1, 0)
    flow("watermark", "reset", "customers", "--yes", config=config)
    assert runs(flow, config=config) == (2, 0, 0)
    assert runs(flow, "--full-scan", config=config) == (2, 0, 0)
    assert runs(flow, config=config) == (0, 0, 0)


def test_a_table_that_is_made_anew_gets_all_files_again(flow: Flow, database: Database, landing: Path) -> None:
    write(landing / "a.csv", "1,Ann")
    write(landing / "b.csv", "2,Bob")
    assert runs(flow) == (2, 2, 0)
    database.execute("DROP TABLE shop.customers")
    assert runs(flow) == (2, 2, 0)
    assert runs(flow, config=ONCE.replace("[tables.customers]", '[tables.customers]\nname = "other"')) == (2, 2, 0)
    assert runs(flow) == (0, 0, 0)


def test_a_column_that_is_compared_from_now_on_needs_all_files(flow: Flow, database: Database, landing: Path) -> None:
    config = ONCE.replace("merge", "scd2")
    (landing / "a.csv").write_text("id,name,plan\n1,Ann,free\n", encoding="utf-8")
    assert runs(flow, config=config) == (1, 1, 0)
    wider = config.replace('name = "text?"', 'name = "text?", plan = "text?"') + "migrate = true\n"
    (landing / "b.csv").write_text("id,name,plan\n2,Bob,team\n", encoding="utf-8")
    refused = flow("run", "customers", config=wider, expect=None)
    assert "watermark_mismatch" in refused.stderr
    assert "--full-scan" in refused.stderr
    assert runs(flow, "--full-scan", config=wider)[0] == 2
    assert database.rows("SELECT id, plan FROM shop.customers WHERE is_current ORDER BY id") == [
        (1, "free"),
        (2, "team"),
    ]


def test_processes_that_load_the_same_files_load_them_once(flow: Flow, database: Database, landing: Path) -> None:
    write(landing / "a.csv", *(f"{at},x" for at in range(1, 5001)))
    config = ONCE.replace('mode = "merge"', 'mode = "append"')
    flow.project(config)
    started = [flow.start("run", "customers") for _ in range(4)]
    for process in started:
        process.finish()
    assert database.value("SELECT count(*) FROM shop.customers") == 5000


WRONG = [
    ("id,name\n1,Ann\nx,Bob\n", 1, ["landing/a.csv", "row 2", "column `id`", "bigint"]),
    ("id,name\n1,Ann,more\n", 1, ["landing/a.csv", "row 1"]),
    ('id,name\n1,"Ann\n', 1, ["landing/a.csv"]),
    ("name\nAnn\n", 2, ["`id`"]),
    ("id,id\n1,2\n", 1, ["`id`"]),
]


@pytest.mark.parametrize(("text", "_code", "words"), WRONG)
def test_a_mistake_is_told_with_file_row_and_column(
    text: str, _code: int, words: list[str], flow: Flow, database: Database, landing: Path
) -> None:
    (landing / "a.csv").write_text(text, encoding="utf-8")
    found = flow("run", "customers", config=ONCE, expect=None)
    assert found.code not in (0, 101), found
    for word in words:
        assert word in found.stderr + found.stdout, found
    assert database.value("SELECT to_regclass('shop.customers') IS NULL") is True


def test_a_number_that_is_too_large_for_its_column_is_told_with_its_file(
    flow: Flow, database: Database, landing: Path
) -> None:
    polars.DataFrame({"id": [1], "name": ["a"]}).write_parquet(landing / "a.parquet")
    polars.DataFrame({"id": [2, 2**40], "name": ["b", "c"]}).write_parquet(landing / "b.parquet")
    config = ONCE.replace('id = "bigint"', 'id = "integer"')
    found = flow("run", "customers", config=config, expect=1)
    for word in ("landing/b.parquet", "row 2", "`id`", "integer"):
        assert word in found.stderr, found


REFUSED = [
    ('source = { files = "landing/*", connection = "crm" }', "conflicting_options"),
    ('source = { files = "landing/*", query = "SELECT 1" }', "conflicting_options"),
    ('source = { query = "SELECT 1", format = "csv" }', "conflicting_options"),
    ('source = { files = "landing/*", csv = { delimiter = ";;" } }', "invalid_value"),
    ('source = { files = "landing/*", format = "xml" }', "invalid_value"),
    ('source = { files = "landing/*", format = "json", csv = { null = "NA" } }', "conflicting_options"),
    ('source = { files = "landing/*", storage = { bucket = "x" } }', "invalid_value"),
    ('source = { union = [{ files = "landing/*" }] }', "not_yet_supported"),
    ('source = { files = "landing/*" }\nhandle_deletes = "hard"\nincremental = "files"', "conflicting_options"),
    ('source = { files = "landing/*" }\nincremental_column = "id"\nincremental = "files"', "conflicting_options"),
    ('source = { query = "SELECT 1 AS id" }\nincremental = "files"', "missing_option"),
    ('source = { files = "landing/*" }\nforce_path = "same_db"', "path_impossible"),
    ('source = { files = "elsewhere/*" }', "source_failed"),
]


@pytest.mark.parametrize(("source", "code"), REFUSED)
def test_what_cannot_be_read_is_refused(source: str, code: str, flow: Flow, database: Database, landing: Path) -> None:
    write(landing / "a.csv", "1,Ann")
    config = NARROW.replace('source = { files = "landing/*" }', source) + 'mode = "merge"\n'
    found = flow("run", "customers", "--output", "json", config=config, expect=None)
    assert found.code not in (0, 101), found
    assert code in found.stdout + found.stderr, found


def test_the_plan_names_the_files_and_what_they_lack(flow: Flow, landing: Path) -> None:
    write(landing / "a.csv", "1,Ann")
    (landing / "b.csv").write_text("id\n2\n", encoding="utf-8")
    shown = flow("plan", "customers", "--sql", config=ONCE).stdout
    for words in ("the files landing/*", "landing/b.csv", "FORMAT binary"):
        assert words in shown
    assert "the files landing/*" in flow("preview", "customers", config=ONCE).stdout
    assert "files" in flow("list", config=ONCE).stdout
    assert "landing/*" in flow("show", "customers", config=ONCE).stdout
    flow("validate", config=ONCE)


def test_memory_does_not_grow_with_a_file(flow: Flow, database: Database, landing: Path) -> None:
    frame = polars.DataFrame({"id": range(1_000_000), "name": ["x" * 100] * 1_000_000})
    frame.write_parquet(landing / "a.parquet", row_group_size=50_000)
    config = NARROW.replace("landing/*", "landing/a.parquet") + 'mode = "append"\n'
    flow.project(config)
    megabytes, _ = flow.start("run", "customers").finish_and_measure()
    assert database.value("SELECT count(*) FROM shop.customers") == 1_000_000
    assert megabytes < 150


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="lake")
    yield client, endpoint
    server.stop()


def test_objects_of_s3_are_loaded_once_and_a_changed_one_again(
    s3: Any, flow: Flow, database: Database, landing: Path
) -> None:
    client, endpoint = s3
    source = f'source = {{ files = "s3://lake/orders/*.csv", storage = {{ endpoint = "{endpoint}", region = "us-east-1" }} }}'
    config = ONCE.replace('source = { files = "landing/*" }', source)
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    def run() -> tuple[int, int, int]:
        report = flow("run", "customers", "--output", "json", config=config, env=keys).json()
        return report["rows_in"], report["rows_inserted"], report["rows_updated"]

    client.put_object(Bucket="lake", Key="orders/a.csv", Body=b"id,name\n1,Ann\n")
    client.put_object(Bucket="lake", Key="orders/_SUCCESS", Body=b"")
    assert run() == (1, 1, 0)
    assert run() == (0, 0, 0)
    client.put_object(Bucket="lake", Key="orders/a.csv", Body=b"id,name\n1,Bob\n")
    client.put_object(Bucket="lake", Key="orders/b.csv", Body=b"id,name\n2,Cem\n")
    assert run() == (2, 1, 1)
    shown = flow("plan", "customers", "--sql", config=config, env=keys).stdout
    assert "secret" not in shown
    missing = config.replace("orders/*", "nothing/*")
    assert "s3://lake/nothing" in flow("run", "customers", config=missing, env=keys, expect=1).stderr


def test_a_file_of_a_web_server_is_read(flow: Flow, database: Database, landing: Path) -> None:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    write(landing / "a.csv", "1,Ann")
    handler = partial(SimpleHTTPRequestHandler, directory=str(landing))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.csv"
        assert runs(flow, config=ONCE.replace("landing/*", address)) == (1, 1, 0)
        assert runs(flow, config=ONCE.replace("landing/*", address)) == (0, 0, 0)
        server.shutdown()
