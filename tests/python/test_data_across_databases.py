"""Rows that are hard to carry arrive in another database as they are, by staging and by the comparison in the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from across import Across, connect
from database import Database, server_dsn
from flow_binary import Flow
from project import counts
from psycopg import sql

TYPES = """
CREATE SCHEMA app;
CREATE TYPE public.mood AS ENUM ('sad', 'glad');
CREATE DOMAIN public.code AS text CHECK (length(VALUE) = 2);
CREATE TYPE public.point3 AS (x int, y text, z numeric);
CREATE EXTENSION citext;
"""
# A declared type, and values of it; NULL comes with every type.
VALUES: dict[str, tuple[str, list[str]]] = {
    "all_bytes": (
        "bytes",
        ["(SELECT string_agg(set_byte('\\x00', 0, n), '') FROM generate_series(0, 255) AS n)", "'\\x'"],
    ),
    "marks": (
        "text",
        ["E'\\\\N'", "E'\\\\.'", "E'\\t\\r\\n\\\\t'", "'\"''`$$'", "''", "E'\\u2028\\U0001F600e\\u0301'"],
    ),
    "large": ("text", ["repeat('0123456789', 100000)", "repeat('é', 500000)"]),
    "dates": ("date", ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'"]),
    "instants": ("timestamptz", ["'infinity'", "'-infinity'", "'2024-03-31 02:30:00.123456+01'"]),
    "numbers": ("numeric", ["'NaN'", "'Infinity'", "1e-300", "1e300", "0.00", "-1.10"]),
    "floats": ("double", ["'NaN'", "'-0'", "'-Infinity'", "5e-324"]),
    "deep": ("jsonb", ["(repeat('[', 500) || repeat(']', 500))::jsonb", '\'{"a": {"b": [1.0, null, "\\u00e9"]}}\'']),
    "text_json": ("json", ['\'{"a":  1, "a": 2}\'', "' null '"]),
    "arrays": ("integer[]", ["'{}'", "'{NULL,1}'", "'[2:3]={5,6}'", "'{{1,2},{3,4}}'"]),
    "words": ("text[]", ["ARRAY['', NULL, 'NULL', '\"', '{}']"]),
    "mood": ("public.mood", ["'sad'", "'glad'"]),
    "moods": ("public.mood[]", ["'{sad,NULL,glad}'"]),
    "code": ("public.code", ["'AB'"]),
    "point": ("public.point3", ["ROW(1, 'a\"', 1.50)", "ROW(NULL, '', NULL)"]),
    "careless": ("citext", ["'Ab'", "''"]),
    "spans": ("interval", ["'1 mon -2 days 03:04:05.6'", "'24:00'"]),
    "range": ("tstzrange", ["'[2024-01-01,)'", "'empty'"]),
    "place": ("point", ["'(1.5,NaN)'"]),
    "address": ("inet", ["'10.0.0.1/8'", "'::1'"]),
    "bits": ("bit varying", ["B'101'", "B''"]),
    "search": ("tsvector", ["'a:1 b:2A'"]),
    "markup": ("xml", ["'<a/>'"]),
    "padded": ("char(5)", ["'a'", "''"]),
    "clock": ("time", ["'24:00'", "'00:00:00.000001'"]),
    "zoned": ("time with time zone", ["'10:00+14'"]),
}


def given(source: Database, target: Database) -> int:
    """The types on both sides; a table of all values, in each row one column; how many rows."""
    # Other numbers for the same types.
    target.execute("CREATE TYPE public.earlier AS ENUM ('glad'); CREATE TYPE public.still_earlier AS (z text);")
    for database in (source, target):
        database.execute(TYPES)
    names = {"bytes": "bytea", "double": "double precision"}
    columns = ", ".join(f"{name} {names.get(of, of)}" for name, (of, _) in VALUES.items())
    source.execute(f"CREATE TABLE app.odd (id bigint PRIMARY KEY, {columns}); INSERT INTO app.odd VALUES (0)")
    n = 0
    for name, (of, values) in VALUES.items():
        for value in values:
            n += 1
            source.execute(f"INSERT INTO app.odd (id, {name}) VALUES ({n}, CAST({value} AS {names.get(of, of)}))")
    return n + 1


def project(mode: str, **options: Any) -> Across:
    made = Across()
    made.table("t", {"id": "bigint", **{name: f"{of}?" for name, (of, _) in VALUES.items()}}, schema="dw")
    keys = {"keys": "id"} if mode in ("merge", "scd2") else {}
    made.pipeline("p", "app.odd", "t", mode, **keys, **options)
    return made


def content(database: Database, table: str) -> list[Any]:
    """The rows as the server writes them, and a digest of their bytes."""
    texts = ", ".join(f"left({name}::text, 100), md5({name}::text)" for name in VALUES)
    return database.rows(f"SELECT id, {texts} FROM {table} ORDER BY id")


@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
def test_all_values_arrive_as_they_are(
    mode: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database()
    connect(flow, source, database)
    rows = given(source, database)
    assert counts(project(mode).run(flow)["p"]) == {"in": rows, "inserted": rows}
    assert content(database, "dw.t") == content(source, "app.odd")
    if mode in ("merge", "scd2"):
        for path in ("staging", "client_diff") if mode == "scd2" else ("staging",):
            again = project(mode, force_path=path).run(flow)["p"]
            assert (again["path"], counts(again)) == (path, {"in": rows, "unchanged": rows})
    if mode == "scd2":
        source.execute(
            "UPDATE app.odd SET marks = coalesce(marks, '') || '\\.', all_bytes = '\\x00ff' WHERE id % 3 = 0"
        )
        changed = source.value("SELECT count(*) FROM app.odd WHERE id % 3 = 0")
        report = project(mode).run(flow)["p"]
        assert (report["path"], report["rows_inserted"]) == ("client_diff", changed)
        assert content(database, "dw.t WHERE is_current") == content(source, "app.odd")
        assert flow("check", "p", "--output", "json").json()["violations"] == []


@pytest.mark.parametrize("mode", ["append", "scd2"])
def test_two_hundred_columns(mode: str, database: Database, new_database: Callable[[], Database], flow: Flow) -> None:
    source = new_database()
    connect(flow, source, database)
    names = [f"c{n}" for n in range(200)]
    source.execute(f"""
        CREATE SCHEMA app;
        CREATE TABLE app.wide (id bigint PRIMARY KEY, {", ".join(f"{name} text" for name in names)});
        INSERT INTO app.wide SELECT n, {", ".join(f"CASE WHEN n % 7 <> {k % 7} THEN n || 'c{k}' END" for k in range(200))}
          FROM generate_series(1, 500) AS n;
    """)
    made = Across()
    made.table("t", {"id": "bigint", **{name: "text?" for name in names}}, schema="dw")
    made.pipeline("p", "app.wide", "t", mode, **({"keys": "id"} if mode == "scd2" else {}))
    made.run(flow)
    every = ", ".join(["id", *names])
    assert database.rows(f"SELECT {every} FROM dw.t ORDER BY id") == source.rows(
        f"SELECT {every} FROM app.wide ORDER BY id"
    )


def test_a_type_that_the_target_lacks_is_named(
    database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database()
    connect(flow, source, database)
    source.execute("CREATE SCHEMA app; CREATE TYPE public.mood AS ENUM ('sad'); CREATE TABLE app.t (id int, m mood)")
    made = Across()
    made.table("t", {"id": "integer", "m": "public.mood?"}, schema="dw")
    made.pipeline("p", "app.t", "t", "append")
    error = made.run(flow, expect=2)["p"]["error"]
    assert error["code"] == "unknown_type" and "public.mood" in error["message"]


@pytest.mark.parametrize("of", ["regclass", "regtype", "regproc", "regrole"])
def test_numbers_of_the_source_catalogue_are_refused_by_name(
    of: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database()
    connect(flow, source, database)
    made = Across()
    made.table("t", {"id": "integer", "what": of}, schema="dw")
    made.pipeline("p", f"SELECT 1 AS id, NULL::{of} AS what", "t", "append")
    error = made.run(flow, expect=None)["p"]["error"]
    assert "`what`" in error["message"] and of in error["message"]
    assert database.value("SELECT to_regclass('dw.t')") is None


SETTINGS = {
    "DateStyle": "'SQL, DMY'",
    "TimeZone": "'Asia/Kathmandu'",
    "IntervalStyle": "'sql_standard'",
    "client_encoding": "'LATIN1'",
    "bytea_output": "'escape'",
    "extra_float_digits": "'-15'",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "idle_in_transaction_session_timeout": "'100ms'",
    "search_path": "'nowhere'",
    "row_security": "off",
}


@pytest.mark.parametrize("mode", ["append", "merge", "scd2"])
def test_settings_of_the_source_change_no_value(
    mode: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database()
    rows = given(source, database)
    role = f"odd_{source.name}"
    source.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
    try:
        for name, value in SETTINGS.items():
            source.execute(f"ALTER ROLE {role} SET {name} = {value}")
        connect(flow, source.dsn_as(role), database)
        incremental = {"incremental_column": "id"} if mode == "append" else {}
        assert counts(project(mode, **incremental).run(flow)["p"])["inserted"] == rows
        assert content(database, "dw.t") == content(source, "app.odd")
        assert counts(project(mode, **incremental).run(flow)["p"]).get("inserted") is None
    finally:
        source.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "EUC_JP", "SQL_ASCII"])
def test_a_source_in_another_encoding(encoding: str, database: Database, flow: Flow) -> None:
    name = f"{database.name}_{encoding.lower()}"
    identifier = sql.Identifier(name)
    with psycopg.connect(server_dsn(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'").format(identifier, encoding)
        )
        source = Database({**database.parameters, "dbname": name})
        try:
            word = {"EUC_JP": "日本", "SQL_ASCII": "plain"}.get(encoding, "Zoë")
            source.execute("SET client_encoding = 'UTF8'")
            source.execute(f"CREATE SCHEMA app; CREATE TABLE app.t (id bigint PRIMARY KEY, word text);"
                           f"INSERT INTO app.t VALUES (1, '{word}')")  # fmt: skip
            connect(flow, source, database)
            made = Across()
            made.table("t", {"id": "bigint", "word": "text?"}, schema="dw")
            made.pipeline("p", "app.t", "t", "scd2", keys="id")
            made.run(flow)
            assert database.rows("SELECT id, word FROM dw.t") == [(1, word)]
            assert counts(made.run(flow)["p"]) == {"in": 1, "unchanged": 1}
            if encoding == "SQL_ASCII":
                # Bytes that are no UTF-8 are refused, never taken for something else.
                source.execute("INSERT INTO app.t VALUES (2, E'Zo\\xeb')")
                for path in ("staging", "client_diff"):
                    made.pipelines["p"]["force_path"] = path
                    error = made.run(flow, expect=1)["p"]["error"]
                    assert error["sqlstate"] == "22021", error
                assert database.rows("SELECT id, word FROM dw.t") == [(1, word)]
        finally:
            source.close()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
