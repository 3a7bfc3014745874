"""Every source type into every declared type: a run loads exactly what `INSERT … SELECT` would, or refuses and leaves
everything as it was. In all four modes, from a table that is read in place, from a query that is staged, and from another database."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from database import Database
from flow_binary import Flow
from project import Project

# A name for the source column: its type in SQL, and values that are at home in it.
SOURCES = {
    "int2": ("smallint", ["1", "-32768"]),
    "int4": ("integer", ["1", "70000"]),
    "int8": ("bigint", ["1", "5000000000"]),
    "float4": ("real", ["1.5", "0.1"]),
    "float8": ("double precision", ["1.5", "1e300"]),
    "numeric": ("numeric", ["1.005", "123456.789"]),
    "numeric_10_2": ("numeric(10,2)", ["1.25", "12345.67"]),
    "varchar": ("varchar", ["'abc'", "'toolong'"]),
    "varchar_3": ("varchar(3)", ["'abc'", "'1'"]),
    "varchar_8": ("varchar(8)", ["'abc'", "'abcd'"]),
    "text": ("text", ["'5'", "'toolong'"]),
    "number_text": ("text", ["'5'", "'6'"]),
    "padded": ("char(5)", ["'ab'", "'abcde'"]),
    "one": ('"char"', ["'a'", "'b'"]),
    "name": ("name", ["'ab'", "'abcdef'"]),
    "boolean": ("boolean", ["true", "false"]),
    "date": ("date", ["'2026-03-29'", "'infinity'"]),
    "timestamp": ("timestamp", ["'2026-03-29 02:30:00.123456'", "'infinity'"]),
    "timestamp_0": ("timestamp(0)", ["'2026-03-29 02:30:00'", "'2026-03-29 02:30:01'"]),
    "timestamptz": ("timestamptz", ["'2026-03-29 02:30:00.5+00'", "'-infinity'"]),
    "time": ("time", ["'10:00'", "'24:00'"]),
    "interval": ("interval", ["'1 day'", "'1 mon 2 days 03:00:00'"]),
    "json": ("json", ["'{\"a\":  1}'", "'null'"]),
    "jsonb": ("jsonb", ["'{\"a\":  1.0}'", "'5'"]),
    "uuid": ("uuid", ["'00000000-0000-0000-0000-00000000000a'", "'00000000-0000-0000-0000-00000000000b'"]),
    "bytea": ("bytea", ["'\\x0001'", "'\\x'"]),
    "ints": ("integer[]", ["'{1,2}'", "'{1,NULL}'"]),
    "texts": ("text[]", ["'{a,b}'", "'{}'"]),
    "varchars_5": ("varchar(5)[]", ["'{a,bcdef}'", "'{xy}'"]),
    "numerics": ("numeric(10,2)[]", ["'{1.25}'", "'{2}'"]),
    "array_text": ("varchar(20)", ["'{1,2}'", "'{3}'"]),
    "code": ("public.code", ["'AB'", "'CD'"]),
    "mood": ("public.mood", ["'sad'", "'glad'"]),
    "money": ("money", ["1.25", "2.50"]),
    "inet": ("inet", ["'10.0.0.1'", "'10.0.0.0/8'"]),
    "xml": ("xml", ["'<a/>'", "'<b>1</b>'"]),
    "bits": ("bit(3)", ["B'101'", "B'000'"]),
    "citext": ("citext", ["'Ab'", "'cd'"]),
    "unknown": (None, ["'5'", "'6'"]),
}

# As it is declared, and what it is in SQL.
TARGETS = {
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "float": "real",
    "double": "double precision",
    "numeric": "numeric",
    "numeric(5,2)": "numeric(5,2)",
    "numeric(12,1)": "numeric(12,1)",
    "string": "varchar",
    "string(3)": "varchar(3)",
    "string(8)": "varchar(8)",
    "text": "text",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "json": "json",
    "jsonb": "jsonb",
    "uuid": "uuid",
    "bytes": "bytea",
    "char(4)": "char(4)",
    "time": "time",
    "timestamptz(0)": "timestamptz(0)",
    "interval": "interval",
    "interval day": "interval day",
    "integer[]": "integer[]",
    "text[]": "text[]",
    "varchar(3)[]": "varchar(3)[]",
    "varchar(20)[]": "varchar(20)[]",
    "public.code": "public.code",
    "public.mood": "public.mood",
    "money": "money",
    "cidr": "cidr",
    "xml": "xml",
    "bit(2)": "bit(2)",
    "varbit(3)": "varbit(3)",
    "citext": "citext",
    "name": "name",
}

Expected = tuple[list[tuple[object, ...]] | str, str]
"""What an INSERT makes of a source, or the state that it ends in; and the target's type."""

OF_THE_SERVER = {"target_failed", "source_failed"}


@dataclass(frozen=True)
class Way:
    mode: str
    staged: bool

    def __str__(self) -> str:
        return f"{self.mode}_{'staged' if self.staged else 'in_place'}"


WAYS = [Way(mode, staged) for mode in ("append", "truncate", "merge", "scd2") for staged in (False, True)]


@pytest.fixture
def typed(database: Database) -> Database:
    return with_sources(database)


def with_sources(database: Database) -> Database:
    database.execute("""
        CREATE EXTENSION citext;
        CREATE TYPE public.mood AS ENUM ('sad', 'glad');
        CREATE DOMAIN public.code AS text CHECK (length(VALUE) = 2);
        CREATE SCHEMA app; CREATE SCHEMA plain; CREATE SCHEMA dw;
    """)
    for name, (of, both) in SOURCES.items():
        if of is not None:
            rows = ", ".join(f"({number}, CAST({each} AS {of}))" for number, each in enumerate([*both, "NULL"]))
            database.execute(
                f'CREATE TABLE app."{name}" (id integer PRIMARY KEY, v {of}); INSERT INTO app."{name}" VALUES {rows}'
            )
    return database


def query_of(source: str, staged: bool) -> str:
    of, both = SOURCES[source]
    if of is None:
        return " UNION ALL ".join(f"SELECT {number} AS id, {each} AS v" for number, each in enumerate([*both, "NULL"]))
    return f'SELECT id, v FROM app."{source}" WHERE id >= 0' if staged else f'app."{source}"'


def castable(database: Database, source: str, sql_type: str) -> bool:
    """Whether an explicit cast is there, which may do more than an INSERT."""
    try:
        database.execute(f"SELECT CAST(v AS {sql_type}) FROM ({query_of(source, True)}) AS q LIMIT 0")
    except psycopg.Error:
        return False
    return True


def inserted(database: Database, source: str, sql_type: str) -> list[tuple[object, ...]] | str:
    """What an INSERT makes of it, in the bytes that the server would send; or the state that it ends in."""
    database.execute(f"DROP TABLE IF EXISTS plain.t; CREATE TABLE plain.t (id integer, v {sql_type})")
    query = query_of(source, True)
    try:
        database.execute(f"INSERT INTO plain.t SELECT q.id, q.v FROM ({query}) AS q")
    except psycopg.Error as error:
        assert error.sqlstate is not None
        return error.sqlstate
    return sent(database, "plain.t", "v", "TRUE")


def sent(database: Database, table: str, column: str, condition: str) -> list[tuple[object, ...]]:
    return database.rows(
        f"SELECT id, encode(record_send(ROW({column})), 'hex') FROM {table} WHERE {condition} ORDER BY id"
    )


# Each pair of types that has a cast goes one way, and every fourth that has none; another number sends them other ways.
TURN = int(os.environ.get("EMATIX_FLOW_TEST_CASTS_TURN", "0"))


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_cast_does_what_an_insert_does(way: Way, typed: Database, flow: Flow) -> None:
    expected = {}
    project = Project()
    for number, source in enumerate(SOURCES):
        for other, (declared, sql_type) in enumerate(TARGETS.items()):
            turn = number + 3 * other + TURN
            if turn % len(WAYS) != WAYS.index(way):
                continue
            if not castable(typed, source, sql_type) and turn // len(WAYS) % 4 != 0:
                continue
            name = f"{source} to {declared}"
            expected[name] = (inserted(typed, source, sql_type), sql_type)
            key = {} if way.mode == "append" else {"primary_key": "id"}
            project.table(name, {"id": "integer", "v": f"{declared}?"}, schema="dw", **key)
            project.pipeline(name, query_of(source, way.staged), name, way.mode)
    as_inserted(typed, expected, project.run(flow, expect=None))
    assert min(outcomes(expected)) > 12


MODES = ("append", "truncate", "merge", "scd2")


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_a_cast_between_databases_does_what_an_insert_does(
    mode: str, typed: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    other = with_sources(new_database())
    expected = {}
    project = Project()
    for number, source in enumerate(SOURCES):
        for place, (declared, sql_type) in enumerate(TARGETS.items()):
            turn = number + 3 * place + TURN
            if turn % len(MODES) != MODES.index(mode):
                continue
            if not castable(typed, source, sql_type) and turn // len(MODES) % 4 != 0:
                continue
            name = f"{source} to {declared}"
            expected[name] = (inserted(typed, source, sql_type), sql_type)
            key = {} if mode == "append" else {"primary_key": "id"}
            project.table(name, {"id": "integer", "v": f"{declared}?"}, schema="dw", **key)
            project.pipeline(name, query_of(source, True), name, mode, target_connection="default")
            project.pipelines[name]["source"]["connection"] = "crm"
    reports = project.run(flow, env={"EMATIX_FLOW_DSN_CRM": other.dsn}, expect=None)
    assert {report["path"] for report in reports.values()} == {"staging"}
    as_inserted(typed, expected, reports)
    assert min(outcomes(expected)) > 25
    if mode in ("merge", "scd2"):
        # What was loaded is what comes again: nothing differs.
        good = [name for name, (rows, _) in expected.items() if not isinstance(rows, str)]
        again = project.run(flow, *map(selector, good), env={"EMATIX_FLOW_DSN_CRM": other.dsn})
        assert {name: report["rows_unchanged"] for name, report in again.items()} == dict.fromkeys(good, 3)


def selector(name: str) -> str:
    """A name as `flow` takes it, which has the signs of a pattern in it."""
    return re.sub(r"([*?\[\],])", "?", name)


def outcomes(expected: Mapping[str, Expected]) -> tuple[int, int]:
    """How many an INSERT refuses, and how many it takes."""
    refused = sum(isinstance(rows, str) for rows, _ in expected.values())
    return refused, len(expected) - refused


def as_inserted(typed: Database, expected: Mapping[str, Expected], reports: Mapping[str, dict[str, Any]]) -> None:
    """Every target holds the bytes that an INSERT makes; where it refuses, nothing was made."""
    assert set(reports) == set(expected)
    wrong = {}
    for name, (rows, _) in expected.items():
        report = reports[name]
        if isinstance(rows, str):
            code = (report["error"] or {}).get("code")
            # The server's word for what does not fit: no cast, too long, out of range, no such value.
            as_expected = {"cast_failed"} if rows[:2] in ("22", "23") or rows == "42804" else OF_THE_SERVER
            if report["status"] != "failed" or code not in as_expected:
                wrong[name] = (report["status"], code, rows)
        elif report["status"] != "success":
            wrong[name] = (report["status"], report["error"])
        elif (found := sent(typed, f'dw."{name}"', "v", "TRUE")) != rows:
            wrong[name] = (found, rows)
    assert wrong == {}
    made = typed.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'dw'")
    assert made == outcomes(expected)[1]
