"""What is a change: one row a case, one column a type, held against histories and merged tables on every path."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from database import Database
from flow_binary import Flow
from project import Project, counts

# How the declared type is written here, in SQL, and its normal form in the documented encoding.
TYPES = {
    "a": ("text?", "text", "{}"),
    "b": ("text?", "text", "{}"),
    "small": ("smallint?", "smallint", "{}::int8"),
    "whole": ("integer?", "integer", "{}::int8"),
    "big": ("bigint?", "bigint", "{}"),
    "single": ("float?", "real", "CASE WHEN {0} = 'NaN' THEN 'NaN'::float8 ELSE {0}::float8 + 0 END"),
    "dbl": ("double?", "double precision", "CASE WHEN {0} = 'NaN' THEN 'NaN'::float8 ELSE {0} + 0 END"),
    "num": ("numeric?", "numeric", "trim_scale({})"),
    "fixed": ("numeric(12,4)?", "numeric(12,4)", "trim_scale({})"),
    "short": ("string(20)?", "varchar(20)", "{}::text"),
    "padded": ("char(8)?", "char(8)", "{}::text"),
    "flag": ("boolean?", "boolean", "{}"),
    "day": ("date?", "date", "{}"),
    "local": ("timestamp?", "timestamp", "{}"),
    "at": ("timestamptz?", "timestamptz", "{}"),
    "doc": ("json?", "json", "{}::text"),
    "docb": ("jsonb?", "jsonb", "{}"),
    "uid": ("uuid?", "uuid", "{}"),
    "raw": ("bytes?", "bytea", "{}"),
    "span": ("interval?", "interval", "{}"),
    "list": (
        "integer[]?",
        "integer[]",
        "overlay(array_send({}) PLACING '\\x0000000000000017'::bytea FROM 5 FOR 8)",
    ),
    "texts": (
        "text[]?",
        "text[]",
        "overlay(array_send({}) PLACING '\\x0000000000000019'::bytea FROM 5 FOR 8)",
    ),
    "page": ("xml?", "xml", "{}"),
    "free": ("citext?", "citext", "substr(record_send(ROW({})), 13)"),
    "mood": ("public.mood?", "public.mood", "{}::text"),
    "code": ("public.code?", "public.code", "{}::text"),
    "coin": ("money?", "money", "{}"),
    "net": ("inet?", "inet", "{}"),
    "nrange": ("numrange?", "numrange", "{}"),
    "spot": ("point?", "point", "{}"),
    "bits": ("varbit?", "varbit", "{}"),
    "pair": ("public.pair?", "public.pair", "substr(record_send(ROW({})), 13)"),
}
USER_TYPES = ("free", "pair")


@dataclass(frozen=True)
class Case:
    """A row before and after, as SQL values by column."""

    what: str
    before: dict[str, str]
    after: dict[str, str]
    changes: bool


def change(what: str, column: str, before: str, after: str) -> Case:
    return Case(what, {column: before}, {column: after}, True)


def same(what: str, column: str, before: str, after: str) -> Case:
    return Case(what, {column: before}, {column: after}, False)


CASES = [
    Case("a bar moves over", {"a": "'a|b'", "b": "'c'"}, {"a": "'a'", "b": "'b|c'"}, True),
    Case("a text moves over", {"a": "'ab'", "b": "''"}, {"a": "''", "b": "'ab'"}, True),
    Case("two texts change places", {"a": "'x'", "b": "'y'"}, {"a": "'y'", "b": "'x'"}, True),
    change("NULL to empty", "a", "NULL", "''"),
    change("empty to NULL", "a", "''", "NULL"),
    change("NULL to its name", "a", "NULL", "'NULL'"),
    change("the name of NULL to nothing", "a", "'NULL'", "''"),
    change("a printed control character", "a", "NULL", r"'\x00NULL\x00'"),
    change("printed against real", "a", r"'\x01'", r"E'\x01'"),
    change("a control character goes", "a", r"E'a\x01b'", "'ab'"),
    change("upper case", "a", "'Straße'", "'STRASSE'"),
    change("composed and decomposed", "a", r"E'\u00e9'", r"E'e\u0301'"),
    change("a blank at the end of text", "a", "'x'", "'x '"),
    change("a blank at the end of varchar", "short", "'x'", "'x '"),
    same("a blank at the end of char(n)", "padded", "'x'", "'x  '"),
    change("char(n)", "padded", "'x'", "'y'"),
    same("scale of numeric", "num", "1.0", "1.00"),
    same("zero of any scale", "num", "0", "0.000"),
    change("a digit far away", "num", "1", "1.00000000000000000000000000001"),
    change("numeric NaN", "num", "'NaN'", "0"),
    same("numeric NaN stays", "num", "'NaN'", "'NaN'"),
    change("numeric infinities", "num", "'Infinity'", "'-Infinity'"),
    same("scale of numeric(12,4)", "fixed", "1.5", "1.5000"),
    same("minus zero of double", "dbl", "'-0'", "'0'"),
    same("NaN of double", "dbl", "'NaN'", "'NaN'"),
    change("the last bit of double", "dbl", "0.1", "0.1::float8 + 1.4e-17"),
    change("infinity of double", "dbl", "'Infinity'", "'-Infinity'"),
    same("minus zero of real", "single", "'-0'", "'0'"),
    change("real", "single", "0.1", "0.2"),
    change("boolean", "flag", "true", "false"),
    change("NULL to false", "flag", "NULL", "false"),
    change("NULL to zero", "whole", "NULL", "0"),
    change("smallint", "small", "-1", "1"),
    change("bigint", "big", "9007199254740992", "9007199254740993"),
    change("a day", "day", "'2026-01-01'", "'2026-01-02'"),
    change("a day before our era", "day", "'0044-03-15 BC'", "'0044-03-15'"),
    change("endless days", "day", "'infinity'", "'-infinity'"),
    change("a microsecond", "local", "'2026-01-01 00:00:00'", "'2026-01-01 00:00:00.000001'"),
    same("one instant in two zones", "at", "'2026-03-29 01:30:00+00'", "'2026-03-29 03:30:00+02'"),
    change("one clock time in two zones", "at", "'2026-03-29 01:30:00+00'", "'2026-03-29 01:30:00+01'"),
    change("endless times", "at", "'infinity'", "'-infinity'"),
    change("jsonb numbers keep their scale", "docb", "'1'", "'1.0'"),
    same("jsonb keys have no order", "docb", """'{"a": 1, "b": 2}'""", """'{"b":2,"a":1}'"""),
    change("jsonb null is not NULL", "docb", "'null'", "NULL"),
    change("json is its text", "doc", """'{"a":1}'""", """'{"a": 1}'"""),
    same("json with a zero character", "doc", r"""'"\u0000"'""", r"""'"\u0000"'"""),
    change("uuid", "uid", "'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'"),
    change("a zero byte more", "raw", r"'\x00'", r"'\x0000'"),
    change("empty bytes", "raw", r"'\x'", "NULL"),
    change("a day is not 24 hours", "span", "'24:00:00'", "'1 day'"),
    change("a month is not 30 days", "span", "'1 month'", "'30 days'"),
    same("an interval written otherwise", "span", "'1 year'", "'12 months'"),
    change("NULL in an array", "list", "'{1,NULL}'", "'{1}'"),
    change("empty array", "list", "'{}'", "NULL"),
    change("an array that begins elsewhere", "list", "'{1,2}'", "'[0:1]={1,2}'"),
    change("dimensions", "list", "'{1,2,3,4}'", "'{{1,2},{3,4}}'"),
    change("NULL and its name in an array", "texts", "ARRAY[NULL, 'a']", "ARRAY['NULL', 'a']"),
    change("a comma in an array", "texts", "ARRAY['a,b']", "ARRAY['a', 'b']"),
    change("xml", "page", "'<a/>'", "'<a></a>'"),
    change("citext differs by case", "free", "'Ada'", "'ADA'"),
    same("citext stays", "free", "'Ada'", "'Ada'"),
    change("enum", "mood", "'sad'", "'glad'"),
    change("domain", "code", "'AB'", "'CD'"),
    change("money", "coin", "1.01", "1.02"),
    change("the mask of an address", "net", "'10.0.0.1/8'", "'10.0.0.1/16'"),
    change("a range's scale", "nrange", "'[1,2)'", "'[1.0,2)'"),
    change("minus zero of a point", "spot", "'(0,0)'", "'(-0,0)'"),
    change("a zero bit more", "bits", "B'0'", "B'00'"),
    change("a composite", "pair", "'(1,x)'", "'(1,y)'"),
    change("a composite of NULLs is a value", "pair", "'(,)'", "NULL"),
    same("a composite with NULL", "pair", "'(,x)'", "'(,x)'"),
]

SETTINGS = {
    "TimeZone": ("UTC", "America/St_Johns"),
    "DateStyle": ("ISO, YMD", "SQL, DMY"),
    "IntervalStyle": ("postgres", "iso_8601"),
    "extra_float_digits": ("1", "-15"),
    "bytea_output": ("hex", "escape"),
    "standard_conforming_strings": ("on", "off"),
    "search_path": ("public", "public, pg_catalog"),
    "xmlbinary": ("base64", "hex"),
}


def values(row: dict[str, str]) -> str:
    return ", ".join(f"{row.get(column, 'NULL')}::{sql}" for column, (_, sql, _) in TYPES.items())


@pytest.fixture
def source(database: Database) -> Database:
    columns = ", ".join(f"{name} {sql}" for name, (_, sql, _) in TYPES.items())
    rows = ", ".join(f"({number}, {values(case.before)})" for number, case in enumerate(CASES))
    database.execute(f"""
        CREATE EXTENSION citext;
        CREATE TYPE public.mood AS ENUM ('sad', 'glad');
        CREATE DOMAIN public.code AS text CHECK (length(VALUE) = 2);
        CREATE TYPE public.pair AS (n integer, t text);
        CREATE SCHEMA app;
        CREATE TABLE app.facts (id integer PRIMARY KEY, {columns});
        INSERT INTO app.facts VALUES {rows};
    """)
    return database


def set_settings(database: Database, which: int) -> None:
    for name, both in SETTINGS.items():
        quoted = both[which] if name in ("DateStyle", "search_path") else f"'{both[which]}'"
        database.execute(f'ALTER DATABASE "{database.name}" SET {name} = {quoted}')


def project() -> Project:
    made = Project()
    for mode in ("scd2", "merge"):
        for read, query in (("in_place", "app.facts"), ("staged", "SELECT * FROM app.facts WHERE id >= 0")):
            table = f"{mode}_{read}"
            made.table(
                table,
                {"id": "integer", **{name: declared for name, (declared, _, _) in TYPES.items()}},
                schema="dw",
                primary_key="id",
            )
            made.pipeline(table, query, table, mode)
    return made


def test_what_the_hash_sees_is_a_change_and_nothing_else(source: Database, flow: Flow) -> None:
    set_settings(source, 0)
    facts = project()
    for report in facts.run(flow).values():
        assert counts(report) == {"in": len(CASES), "inserted": len(CASES)}

    set_settings(source, 1)
    for report in facts.run(flow).values():
        assert counts(report) == {"in": len(CASES), "unchanged": len(CASES)}, "settings are no change"

    columns = ", ".join(TYPES)
    for number, case in enumerate(CASES):
        source.execute(f"UPDATE app.facts SET ({columns}) = ROW({values(case.after)}) WHERE id = {number}")
    changed = {case.what for case in CASES if case.changes}
    reports = facts.run(flow)
    for name in ("scd2_in_place", "scd2_staged"):
        found = source.rows(f"SELECT id FROM dw.{name} GROUP BY id HAVING count(*) = 2")
        assert {CASES[number].what for (number,) in found} == changed, name
        expected = {"in": len(CASES), "inserted": len(changed), "closed_out": len(changed)}
        assert counts(reports[name]) == {**expected, "unchanged": len(CASES) - len(changed)}
    for name in ("merge_in_place", "merge_staged"):
        expected = {"in": len(CASES), "updated": len(changed), "unchanged": len(CASES) - len(changed)}
        assert counts(reports[name]) == expected
        same_rows = source.rows(
            f"SELECT t.id FROM dw.{name} AS t JOIN app.facts AS s USING (id)"
            f" WHERE md5(record_send(ROW({', '.join(f't.{column}' for column in TYPES)})))"
            f" IS DISTINCT FROM md5(record_send(ROW({', '.join(f's.{column}' for column in TYPES)})))"
        )
        left = {CASES[number].what for (number,) in same_rows}
        # What is no change is not written either: these keep the form that they had.
        assert left <= {case.what for case in CASES if not case.changes}
    for report in facts.run(flow).values():
        assert counts(report) == {"in": len(CASES), "unchanged": len(CASES)}


def test_the_stored_hash_is_the_documented_one_for_every_type(source: Database, flow: Flow) -> None:
    project().run(flow, "scd2_*")
    normal = ", ".join(
        form.format(name, name)
        if name not in USER_TYPES
        else f"CASE WHEN {name} IS NOT DISTINCT FROM NULL THEN NULL::bytea ELSE {form.format(name)} END"
        for name, (_, _, form) in sorted(TYPES.items())
    )
    for name in ("scd2_in_place", "scd2_staged"):
        wrong = source.rows(f"SELECT id FROM dw.{name} WHERE row_hash <> sha256(record_send(ROW({normal})))")
        assert [CASES[number].what for (number,) in wrong] == []
        assert source.value(f"SELECT count(DISTINCT row_hash) FROM dw.{name}") > len(CASES) / 2
