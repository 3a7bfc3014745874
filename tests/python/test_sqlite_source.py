"""SQLite as a source, read by the real binary: of which types values are, what does not fit, and what is read again."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import random
import sqlite3
import subprocess
import sys
import threading
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from python_package import PACKAGE

UTC = dt.timezone.utc


def fill(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)
        file.commit()
    return path


def project(source: str, columns: str = "", mode: str = "merge", options: str = "", keys: str = '["id"]') -> str:
    table = f'[tables.t]\nschema = "shop"\nprimary_key = {keys}\ncolumns = {{ {columns} }}\n' if columns else ""
    return f"""
[connections.file]
dsn = "sqlite:shop.db"
{table}
[pipelines.t]
source = {{ connection = "file", {source} }}
target = "{"t" if columns else "shop.t"}"
mode = "{mode}"
{options}
"""


def run(flow: Flow, text: str, *more: str, **named: Any) -> dict[str, Any]:
    report: dict[str, Any] = flow("run", "t", *more, "--output", "json", config=text, **named).json()
    return report


@pytest.fixture
def file(flow: Flow, database: Database) -> Path:
    """The file that the connection `file` leads to: it lies beside pipelines.toml."""
    database.execute("CREATE SCHEMA shop")
    return flow.directory / "shop.db"


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_table_is_loaded_and_a_second_run_changes_nothing(flow: Flow, database: Database, file: Path) -> None:
    fill(file, "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO orders VALUES (1, 'ä'), (2, NULL)")
    text = project('table = "orders"', 'id = "bigint", name = "text?"')
    report = run(flow, text)
    assert (report["path"], report["source_connection"], report["rows_in"], report["rows_inserted"]) == (
        "staging",
        "file",
        2,
        2,
    )
    assert database.rows("SELECT * FROM shop.t ORDER BY id") == [(1, "ä"), (2, None)]
    again = run(flow, text)
    assert (again["rows_in"], again["rows_inserted"], again["rows_updated"]) == (2, 0, 0)


def test_a_plan_says_what_is_read(flow: Flow, file: Path) -> None:
    fill(file, "CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    text = project('table = "main.orders"', 'id = "bigint"')
    planned = flow("plan", "t", "--output", "json", config=text).json()["pipelines"][0]
    reason = "source file is a database of SQLite: the table main.orders of file (SQLite)"
    assert planned["path_reason"] == reason
    assert reason in flow("plan", "t", config=text).stdout


@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
def test_every_strategy_loads_it(mode: str, flow: Flow, database: Database, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO o VALUES (1, 'a'), (2, 'b')")
    keys = 'natural_key = ["id"]' if mode == "scd2" else 'primary_key = ["id"]'
    text = project('table = "o"', 'id = "bigint", name = "text?"', mode).replace('primary_key = ["id"]', keys)
    assert run(flow, text, "--dry-run")["rows_in"] == 2
    assert database.value("SELECT to_regclass('shop.t') IS NULL") is True
    run(flow, text)
    assert database.rows("SELECT id, name FROM shop.t ORDER BY id") == [(1, "a"), (2, "b")]
    if mode != "append":
        fill(file, "UPDATE o SET name = 'c' WHERE id = 2")
        run(flow, text)
        current = "WHERE is_current" if mode == "scd2" else ""
        assert database.rows(f"SELECT id, name FROM shop.t {current} ORDER BY id") == [(1, "a"), (2, "c")]


def test_a_query_is_its_own_sql(flow: Flow, database: Database, file: Path) -> None:
    fill(
        file,
        "CREATE TABLE [my orders] (id INTEGER, \"who's\" TEXT); INSERT INTO [my orders] VALUES (1, 'a;b'), (2, 'c')",
    )
    query = (
        "SELECT id, \\\"who's\\\" AS name, printf('%05d', id) AS code FROM [my orders] WHERE name <> ';' ; -- it's done"
    )
    text = project(f'query = "{query}"', 'id = "bigint", name = "text?", code = "text?"')
    run(flow, text)
    assert database.rows("SELECT * FROM shop.t ORDER BY id") == [(1, "a;b", "00001"), (2, "c", "00002")]


def test_columns_without_a_declaration_are_of_the_types_that_the_table_declares(
    flow: Flow, database: Database, file: Path
) -> None:
    fill(
        file,
        """
        CREATE TABLE o (id INTEGER PRIMARY KEY, name VARCHAR(10), price DECIMAL(10,2), exact NUMERIC, weight DOUBLE,
                        is_new BOOLEAN, day DATE, at DATETIME, clock TIME, doc JSON, raw BLOB, who UUID);
        INSERT INTO o VALUES (1, 'a', 12.5, '0.5', 0.1, 1, '2026-01-31',
          '2026-01-31T13:45:00.123456', '13:45', '{"a": [1]}', x'00ff', '00010203-0405-0607-0809-0a0b0c0d0e0f');
        """,
    )
    run(flow, project('table = "o"', mode="truncate"))
    types = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = 'shop.t'::regclass AND attnum > 0 ORDER BY attnum"""
    assert database.rows(types) == [
        ("id", "bigint"),
        ("name", "text"),
        ("price", "numeric(10,2)"),
        ("exact", "numeric"),
        ("weight", "double precision"),
        ("is_new", "boolean"),
        ("day", "date"),
        ("at", "timestamp without time zone"),
        ("clock", "time without time zone"),
        ("doc", "jsonb"),
        ("raw", "bytea"),
        ("who", "uuid"),
    ]
    assert database.rows("SELECT * FROM shop.t") == [
        (
            1,
            "a",
            decimal.Decimal("12.50"),
            decimal.Decimal("0.5"),
            0.1,
            True,
            dt.date(2026, 1, 31),
            dt.datetime(2026, 1, 31, 13, 45, 0, 123456),
            dt.time(13, 45),
            {"a": [1]},
            b"\x00\xff",
            uuid.UUID("00010203-0405-0607-0809-0a0b0c0d0e0f"),
        )
    ]


def test_an_expression_has_no_type_until_the_target_declares_one(flow: Flow, database: Database, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER, x WHATEVER); INSERT INTO o VALUES (1, 2)")
    error = flow("run", "t", config=project('query = "SELECT id, id + 1 AS n FROM o"', mode="append"), expect=2)
    assert "the column `n` of the query of file (SQLite) has no type" in error.stderr, error
    assert "declare it in the target's table" in error.stderr, error
    error = flow("run", "t", config=project('table = "o"', mode="append"), expect=2)
    assert "the column `x` of the table o of file (SQLite) is declared WHATEVER" in error.stderr, error
    run(flow, project('query = "SELECT id, id + 1 AS n FROM o"', 'id = "bigint", n = "integer"'))
    assert database.rows("SELECT * FROM shop.t") == [(1, 2)]


# --- what does not fit ------------------------------------------------------------------------------------------------

MISFITS = [
    ("bigint", "'twelve'", '"twelve" is no bigint'),
    ("smallint", "70000", "is no smallint: it is too large"),
    ("bigint", "1.5", '"1.5" is no bigint'),
    ("boolean", "2", '"2" is no boolean'),
    ("date", "20260131", "20260131 is a number, and the column is date: date(…, 'unixepoch')"),
    ("timestamptz", "1767225600", "datetime(…, 'unixepoch') || 'Z'"),
    ("timestamp", "2461042.5", "datetime(…) of a Julian day"),
    ("timestamptz", "'2026-01-31 13:45:00'", "it has no zone"),
    ("date", "'31.01.2026'", "it is not written as 2026-01-31"),
    ("numeric(10,2)", "0.1 + 0.2", "more than 2 digits behind the point"),
    ("text", "x'00'", "CAST(… AS TEXT) reads it as text"),
    ("text", "'a' || char(0) || 'b'", "has a NUL character, which no text of Postgres holds"),
    ("text", "0.5", "0.5 is a number, and the column is text"),
    ("bytea", "'abc'", "a text of 3 characters stands in a column of bytes"),
    ("jsonb", "'{'", "is no jsonb"),
    ("uuid", "'abc'", "is no uuid"),
    ("real", "0.1", "it would be rounded"),
]


@pytest.mark.parametrize(("declared", "value", "words"), MISFITS)
def test_a_value_that_is_none_of_its_columns_type_is_an_error_with_row_and_column(
    declared: str, value: str, words: str, flow: Flow, database: Database, file: Path
) -> None:
    fill(file, f"CREATE TABLE o (id INTEGER, v); INSERT INTO o VALUES (1, NULL), (2, {value})")
    found = flow("run", "t", config=project('table = "o"', f'id = "bigint", v = "{declared}?"'), expect=1)
    assert "error[cast_failed]: the table o of file (SQLite), row 2, column `v`: " in found.stderr, found
    assert words in found.stderr, found
    assert database.value("SELECT to_regclass('shop.t') IS NULL") is True


FITS = [
    ("bigint", "'12'", 12),
    ("bigint", "12.0", 12),
    ("integer", "9", 9),
    ("text", "12", "12"),
    ("boolean", "1", True),
    ("boolean", "'no'", False),
    ("numeric(10,2)", "0.1", decimal.Decimal("0.10")),
    ("numeric", "'1e-3'", decimal.Decimal("0.001")),
    ("double precision", "3", 3.0),
    ("real", "0.5", 0.5),
    ("date", "'2026-01-31'", dt.date(2026, 1, 31)),
    ("timestamp", "datetime(1767225600, 'unixepoch')", dt.datetime(2026, 1, 1)),
    ("timestamptz", "'2026-01-31 13:45:00+02:00'", dt.datetime(2026, 1, 31, 11, 45, tzinfo=UTC)),
    ("uuid", "x'000102030405060708090a0b0c0d0e0f'", uuid.UUID(bytes=bytes(range(16)))),
    ("jsonb", "json_object('a', 1)", {"a": 1}),
    ("text", "''", ""),
]


def test_a_value_that_is_one_of_its_columns_type_is_taken_whatever_its_own_is(
    flow: Flow, database: Database, file: Path
) -> None:
    names = [f"c{number}" for number in range(len(FITS))]
    values = ", ".join(f"{value} AS {name}" for name, (_, value, _) in zip(names, FITS, strict=True))
    fill(file, f"CREATE TABLE o AS SELECT 1 AS id, {values}")
    columns = ", ".join(f'{name} = "{declared}?"' for name, (declared, *_) in zip(names, FITS, strict=True))
    run(flow, project('table = "o"', f'id = "bigint", {columns}'))
    assert database.rows("SELECT * FROM shop.t") == [(1, *(expected for *_, expected in FITS))]


def test_random_rows_are_what_python_reads(flow: Flow, database: Database, file: Path) -> None:
    chance = random.Random(18)
    text = "aäß€𝄞 '\"\\\n\t%;-"

    def some(make: Any) -> Any:
        return None if chance.random() < 0.2 else make()

    rows = [
        (
            id,
            some(lambda: chance.choice([0, -1, 2**63 - 1, -(2**63), chance.randrange(-(10**12), 10**12)])),
            some(lambda: chance.choice([0.0, -0.0, 5e-324, 1.7976931348623157e308, chance.uniform(-1e9, 1e9)])),
            some(lambda: "".join(chance.choices(text, k=chance.randrange(20)))),
            some(lambda: chance.randbytes(chance.randrange(20))),
            some(lambda: chance.random() < 0.5),
            some(lambda: dt.date(1, 1, 1) + dt.timedelta(days=chance.randrange(3_600_000))),
        )
        for id in range(500)
    ]
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE o (id INTEGER, n INT, f REAL, s TEXT, b BLOB, y BOOL, d DATE)")
        made.executemany(
            "INSERT INTO o VALUES (?, ?, ?, ?, ?, ?, ?)", [(*row[:6], row[6] and str(row[6])) for row in rows]
        )
        made.commit()
    run(flow, project('table = "o"', mode="truncate"))
    assert database.rows("SELECT * FROM shop.t ORDER BY id") == rows


# --- what is read again -----------------------------------------------------------------------------------------------

STAMPED = 'incremental_column = "at"\n'


def test_a_run_reads_from_the_watermark_on(flow: Flow, database: Database, file: Path) -> None:
    fill(
        file,
        """CREATE TABLE o (id INTEGER PRIMARY KEY, at TEXT);
           INSERT INTO o VALUES (1, '2026-01-01T10:00:00Z'), (2, '2026-01-05T10:00:00Z');""",
    )
    text = project('table = "o"', 'id = "bigint", at = "timestamptz?"', "append", STAMPED)
    assert run(flow, text)["rows_inserted"] == 2
    fill(file, "INSERT INTO o VALUES (3, '2026-01-05 10:00:00Z'), (4, '2026-01-06 00:00:00+14:00'), (5, '2025-01-01Z')")
    report = run(flow, text)
    # The ties come, one from another zone, and what lies a day before them is not read at all.
    assert (report["rows_in"], report["rows_inserted"]) == (3, 2)
    assert database.rows("SELECT id FROM shop.t ORDER BY id") == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize(
    ("stored", "declared", "first", "later"),
    [
        ("INT", "bigint", "1, 10", "10, 11"),
        # That '9' < '10' is the order of numbers, and not that of texts.
        ("TEXT", "bigint", "'9', '10'", "'10', '100'"),
        ("NUMERIC", "numeric", "0.25, 0.5", "0.5, 0.75"),
        ("REAL", "double precision", "0.1, 0.7", "0.7, 0.8"),
        ("DATE", "date", "'2026-01-01', '2026-01-05'", "'2026-01-05', '2026-01-06'"),
        (
            "DATETIME",
            "timestamp",
            "'2026-01-01T23:59:59', '2026-01-05'",
            "'2026-01-05 00:00:00', '2026-01-05 00:00:00.000001'",
        ),
        (
            "TEXT",
            "timestamptz",
            "'2026-01-01 00:00Z', '2026-01-05T01:00:00Z'",
            "'2026-01-05 02:00:00+01', '2026-01-06 00:00Z'",
        ),
    ],
)
def test_an_old_row_is_not_even_looked_at_and_no_tie_is_lost(
    stored: str, declared: str, first: str, later: str, flow: Flow, database: Database, file: Path
) -> None:
    def insert(ids: str, values: str) -> str:
        pairs = zip(ids.split(), values.split(", "), strict=True)
        return ";".join(f"INSERT INTO o VALUES ({id}, {value}, 'a')" for id, value in pairs)

    fill(file, f"CREATE TABLE o (id INTEGER PRIMARY KEY, w {stored}, v); {insert('1 2', first)}")
    columns = f'id = "bigint", w = "{declared}?", v = "text"'
    text = project('table = "o"', columns, "append", 'incremental_column = "w"\n')
    assert run(flow, text)["rows_inserted"] == 2
    # Were it read, it would be an error.
    fill(file, f"UPDATE o SET v = x'00' WHERE id = 1; {insert('3 4', later)}")
    assert run(flow, text)["rows_inserted"] == 2
    assert database.rows("SELECT id FROM shop.t ORDER BY id") == [(1,), (2,), (3,), (4,)]


def test_a_watermark_may_be_the_key(flow: Flow, database: Database, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY, v); INSERT INTO o VALUES (1, 'a'), (2, 'b')")
    text = project('table = "o"', 'id = "bigint", v = "text"', "append", 'incremental_column = "id"\n')
    assert run(flow, text)["rows_inserted"] == 2
    fill(file, "UPDATE o SET v = x'00' WHERE id = 1; INSERT INTO o VALUES (3, 'c')")
    assert run(flow, text)["rows_inserted"] == 1
    assert database.rows("SELECT id, v FROM shop.t ORDER BY id") == [(1, "a"), (2, "b"), (3, "c")]


def test_a_row_without_a_value_comes_and_is_judged(flow: Flow, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY, at); INSERT INTO o VALUES (1, '2026-01-01')")
    text = project('table = "o"', 'id = "bigint", at = "date?"', "append", STAMPED)
    run(flow, text)
    fill(file, "INSERT INTO o VALUES (2, NULL)")
    assert "error[null_watermark]" in flow("run", "t", config=text, expect=4).stderr
    fill(file, "UPDATE o SET at = 20260131 WHERE id = 2")
    assert "20260131 is a number" in flow("run", "t", config=text, expect=1).stderr


def test_a_query_may_say_itself_where_it_begins(flow: Flow, database: Database, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY, n INT); INSERT INTO o VALUES (1, 1), (2, 5)")
    query = 'query = "SELECT id, n FROM o WHERE n > :watermark"'
    text = project(query, 'id = "bigint", n = "bigint?"', "append", 'incremental_column = "n"\n')
    assert run(flow, text)["rows_in"] == 2
    fill(file, "INSERT INTO o VALUES (3, 5), (4, 6), (5, 2)")
    report = run(flow, text)
    assert (report["rows_in"], report["rows_inserted"]) == (3, 2)
    assert run(flow, text, "--dry-run")["rows_inserted"] == 0
    bare = flow("validate", config=project(query, 'id = "bigint", n = "bigint?"'), expect=2)
    assert "`:watermark` needs `incremental_column`" in bare.stderr, bare


def test_a_full_scan_reads_all_rows(flow: Flow, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY, n INT); INSERT INTO o VALUES (1, 1), (2, 5)")
    text = project('table = "o"', 'id = "bigint", n = "bigint?"', "merge", 'incremental_column = "n"\n')
    assert [run(flow, text)["rows_in"], run(flow, text)["rows_in"], run(flow, text, "--full-scan")["rows_in"]] == [
        2,
        1,
        2,
    ]


# --- one state of the file --------------------------------------------------------------------------------------------


def test_a_writer_that_commits_meanwhile_is_not_half_seen(flow: Flow, database: Database, file: Path) -> None:
    fill(file, "PRAGMA journal_mode = WAL; CREATE TABLE a (id INTEGER PRIMARY KEY, n INT)")
    fill(
        file,
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 60000) INSERT INTO a SELECT i, 0 FROM r",
    )
    text = project('table = "a"', 'id = "bigint", n = "bigint?"', "truncate")
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(file, timeout=60)) as own:
            while not stop.is_set():
                own.execute("UPDATE a SET n = n + 1")
                own.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            assert run(flow, text)["rows_in"] == 60000
            assert database.value("SELECT count(DISTINCT n) FROM shop.t") == 1
    finally:
        stop.set()
        writer.join()


def test_nothing_is_written_into_the_file(flow: Flow, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY); INSERT INTO o VALUES (1)")
    before = (file.read_bytes(), sorted(path.name for path in file.parent.glob("shop.db*")))
    run(flow, project('table = "o"', 'id = "bigint"'))
    assert (file.read_bytes(), sorted(path.name for path in file.parent.glob("shop.db*"))) == before
    for query in ("DELETE FROM o", "SELECT 1; DELETE FROM o", "PRAGMA user_version = 5"):
        refused = flow("run", "t", config=project(f'query = "{query}"', 'id = "bigint"'), expect=2)
        assert "error[query_writes]" in refused.stderr, refused
    with_delete = 'query = "WITH x AS (SELECT 1) DELETE FROM o RETURNING id"'
    refused = flow("run", "t", config=project(with_delete, 'id = "bigint"'), expect=2)
    assert "error[query_writes]" in refused.stderr, refused
    assert file.read_bytes() == before[0]


@pytest.mark.long
def test_a_million_rows_are_read_in_constant_memory_and_a_kill_leaves_nothing(
    flow: Flow, database: Database, file: Path
) -> None:
    fill(
        file,
        """CREATE TABLE o (id INTEGER PRIMARY KEY, name TEXT);
           WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 1000000)
           INSERT INTO o SELECT i, printf('%064d', i) FROM r;""",
    )
    flow.project(project('table = "o"', 'id = "bigint", name = "text?"', "append"))
    killed = flow.start("run", "t")
    waited = threading.Event()
    while not database.value("SELECT count(*) > 0 FROM pg_stat_progress_copy WHERE tuples_processed > 50000"):
        waited.wait(0.02)
    killed.kill()
    killed.finish(None)
    megabytes, finished = flow.start("run", "t", "--output", "json").finish_and_measure()
    assert finished.json()["rows_inserted"] == 1_000_000
    assert megabytes < 120
    assert database.rows("SELECT count(*), count(DISTINCT id), max(name) FROM shop.t") == [
        (1000000, 1000000, f"{1000000:064}")
    ]


# --- what is wrong ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_opened_is_told(flow: Flow, file: Path) -> None:
    text = project('table = "o"', 'id = "bigint"')
    gone = flow("run", "t", config=text, expect=6)
    assert "error[connect_failed]: sqlite:" in gone.stderr and "there is no such file" in gone.stderr, gone
    file.write_text("no database at all, but a text that is long enough to be taken for one", encoding="utf-8")
    other = flow("run", "t", config=text, expect=6)
    assert "is no database of SQLite" in other.stderr, other
    file.unlink()
    fill(file, "CREATE TABLE p (id INTEGER)")
    lacking = flow("run", "t", config=text, expect=1)
    assert "error[source_failed]: the table o of file (SQLite): no such table: o" in lacking.stderr, lacking


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("sqlite:", "a database of SQLite that is read is a file"),
        ("sqlite:///shop.db", "a DSN of SQLite has no host"),
        ("sqlite:shop.db?mode=ro", "a DSN of SQLite has no parameters"),
    ],
)
def test_a_dsn_that_is_none_is_told_before_anything_runs(dsn: str, words: str, flow: Flow) -> None:
    text = project('table = "o"', 'id = "bigint"').replace("sqlite:shop.db", dsn)
    found = flow("validate", config=text, expect=2)
    assert words in found.stderr, found


def test_as_a_target_it_is_refused(flow: Flow, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER)")
    text = project('table = "o"', 'id = "bigint"', options='target_connection = "file"\n')
    for command in (("validate",), ("plan", "t"), ("run", "t")):
        refused = flow(*command, config=text, expect=2)
        assert "error[unsupported_by_engine]: the target's connection `file`: SQLite is read by pipelines" in (
            refused.stderr + refused.stdout
        ), refused


def test_what_belongs_to_postgres_is_refused_by_name(flow: Flow, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER)")
    text = project('table = "o"', 'id = "bigint"').replace('shop.db"\n', 'shop.db"\nrole = "ann"\n')
    refused = flow("run", "t", config=text, expect=2)
    assert "error[unsupported_by_engine]: `role` is for connections of Postgres" in refused.stderr, refused
    several = project("", 'id = "bigint"').replace(
        'connection = "file", ', 'union = [{ connection = "file", table = "o" }, { query = "SELECT 1 AS id" }]'
    )
    refused = flow("validate", config=several, expect=2)
    assert "a source of SQLite cannot be a member of a `union` yet" in refused.stderr, refused
    forced = project('table = "o"', 'id = "bigint"', options='force_path = "same_db"\n')
    assert "error[path_impossible]" in flow("validate", config=forced, expect=2).stderr
    own = project('query = "SELECT id FROM {name}"', 'id = "bigint"') + '\n[vars]\nname = "o"\n'
    assert "in a query of SQLite is not in this version yet" in flow("validate", config=own, expect=2).stderr


# --- around it --------------------------------------------------------------------------------------------------------


def test_connections_are_checked_and_doctor_looks_at_them(flow: Flow, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY)")
    flow.project(project('table = "o"', 'id = "bigint"'))
    checked = flow("connections", "check", "file", "--output", "json").json()
    [found] = checked["connections"] if isinstance(checked, dict) else checked
    assert found["server_version"].startswith("SQLite 3."), found
    examined = flow("doctor", "--output", "json").json()
    about = {each["name"]: each for each in examined["connections"]}
    assert [check["state"] for check in about["file"]["checks"]] == ["ok", "ok"]
    assert "file" in flow("list").stdout
    assert "file" in flow("show", "t").stdout
    assert flow("status", "--output", "json").json()


def test_copy_takes_a_table_of_a_dsn(flow: Flow, database: Database, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO o VALUES (1, 'a')")
    to = ("--to", "default", "--table", "shop.copied", "--mode", "truncate")
    flow("copy", "--from", f"sqlite:{file}", "--source-table", "o", *to)
    assert database.rows("SELECT * FROM shop.copied") == [(1, "a")]
    refused = flow("copy", "--from", f"sqlite:{file}", "--source-table", "o", "--to-file", "o.csv", expect=2)
    assert "error[unsupported_by_engine]" in refused.stderr, refused


def test_python_loads_it(flow: Flow, database: Database, file: Path) -> None:
    fill(file, "CREATE TABLE o (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO o VALUES (1, 'a')")
    (flow.directory / "flows.py").write_text(
        f"""
from ematix_flow import Source, connect, errors, pipeline

shop = connect(dsn="sqlite:{file}")
for source in (Source.table(shop, "o"), Source.query(shop, "SELECT id, name FROM [o]")):
    report = pipeline.sync(source=source, target="shop.t", target_connection=connect(), mode="truncate")
    print(report.rows_inserted)
try:
    shop.query("SELECT 1")
except errors.FlowError as error:
    print(error.code)
""",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "EMATIX_FLOW_DSN": database.dsn}
    done = subprocess.run(
        [sys.executable, "flows.py"], cwd=flow.directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "1\n1\nunsupported_by_engine\n", done
    assert database.rows("SELECT * FROM shop.t") == [(1, "a")]
