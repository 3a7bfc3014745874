"""Writes row_hash.json: rows, their binary COPY values, and the row hash that a real Postgres computes.

    python tests/golden/generate_row_hash.py DSN [--check]

It needs psycopg, a server with libxml, citext and hstore, and a role that may create databases; it works in a
database of its own and drops it. The SQL of every normal form stands here a second time, and so does a
client-side form with other algorithms than the Rust one: a vector is written only when server and client agree.
`--check` compares with the file instead of writing it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

FILE = Path(__file__).with_name("row_hash.json")

SETUP = [
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s \"fine\", \\|', 'été')",
    "CREATE DOMAIN some_mood AS mood",
    "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
    "CREATE DOMAIN small_positive AS positive",
    "CREATE DOMAIN label AS varchar(20)",
    "CREATE DOMAIN code AS char(4)",
    "CREATE DOMAIN born AS date",
    "CREATE DOMAIN price AS numeric(10,2)",
    "CREATE DOMAIN numbers AS integer[]",
    "CREATE TYPE pair AS (a integer, b text)",
    "CREATE TYPE text_range AS RANGE (subtype = text)",
]
# Types that only some servers have, each with the statement that says so.
OPTIONAL = {
    "citext": "CREATE EXTENSION citext",
    "hstore": "CREATE EXTENSION hstore",
    "xml": "SELECT '<a/>'::xml",
}

FLOAT = "CASE WHEN {c}::float8 = 'NaN' THEN 'NaN'::float8 ELSE {c}::float8 + 0 END"

# (name, [(column, type, SQL of the value), …]); a third member names an earlier vector with the same hash.
Columns = list[tuple[str, str, str]]


def one(type_name: str, value: str, name: str | None = None, same_as: str | None = None) -> tuple[Any, ...]:
    """A row of one column `c`; the value is a string literal, or SQL behind `=`."""
    expression = value[1:] if value.startswith("=") else "'" + value.replace("'", "''") + "'"
    return (name or f"{type_name} {value}", [("c", type_name, expression)], same_as)


def null(type_name: str, same_as: str | None = None) -> tuple[Any, ...]:
    return (f"{type_name} NULL", [("c", type_name, "NULL")], same_as)


VECTORS: list[tuple[Any, ...]] = [
    ("no columns", [], None),
    # What a text encoding without frames confuses.
    null("text"),
    one("text", "", "text of no characters"),
    one("text", "NULL", "text of the letters NULL"),
    one("text", "\\x01"),
    one("text", "\\x00NULL\\x00"),
    one("text", "=chr(1)", "text with the character 1"),
    ("a|b, c", [("c1", "text", "'a|b'"), ("c2", "text", "'c'")], None),
    ("a, b|c", [("c1", "text", "'a'"), ("c2", "text", "'b|c'")], None),
    ("two NULL texts", [("c1", "text", "NULL"), ("c2", "text", "NULL")], None),
    ("NULL, empty", [("c1", "text", "NULL"), ("c2", "text", "''")], None),
    ("empty, NULL", [("c1", "text", "''"), ("c2", "text", "NULL")], None),
    ("order of names", [("b", "integer", "1"), ("a", "integer", "2")], None),
    ("order of names, declared otherwise", [("a", "integer", "2"), ("b", "integer", "1")], "order of names"),
    ("order of names, other values", [("a", "integer", "1"), ("b", "integer", "2")], None),
    (
        "names in the order of their UTF-8 bytes",
        [
            ("é", "integer", "1"),
            ("a", "integer", "2"),
            ("Z", "integer", "3"),
            ("數", "integer", "4"),
            ("a b", "integer", "5"),
            ("\U00010000", "integer", "6"),
            ("\ufffd", "integer", "7"),
            ('"', "integer", "8"),
        ],
        None,
    ),
    # Integers: one form for every width.
    null("bigint"),
    null("smallint", same_as="bigint NULL"),
    one("bigint", "0"),
    one("integer", "0", same_as="bigint 0"),
    one("bigint", "1"),
    one("smallint", "1", same_as="bigint 1"),
    one("integer", "1", same_as="bigint 1"),
    one("smallint", "-1"),
    one("integer", "-1", same_as="smallint -1"),
    one("bigint", "-1", same_as="smallint -1"),
    one("smallint", "-32768"),
    one("smallint", "32767"),
    one("integer", "-2147483648"),
    one("integer", "2147483647"),
    one("bigint", "-9223372036854775808"),
    one("bigint", "9223372036854775807"),
    # Text.
    one("text", "a"),
    one("varchar(10)", "a", same_as="text a"),
    one("name", "a", same_as="text a"),
    one("text", "a ", "text with a blank at the end"),
    one("varchar", "a ", "varchar with a blank at the end", same_as="text with a blank at the end"),
    one("text", "Grüße, 世界 🦀"),
    one("text", "1"),
    one("text", "=repeat('x', 5000)", "text of 5,000 characters"),
    one("char(5)", "a", same_as="text a"),
    one("char(5)", "", "char(5) of blanks", same_as="text of no characters"),
    one("char(5)", "=E'a\\t \\n  '::text", "char(5) that ends in a tab, a newline and blanks"),
    one("char(3)", "é", "char(3) of two bytes"),
    null("char(5)", same_as="text NULL"),
    # boolean
    null("boolean"),
    one("boolean", "true"),
    one("boolean", "false"),
    # Floating point.
    null("double precision"),
    null("real", same_as="double precision NULL"),
    one("double precision", "0"),
    one("double precision", "-0", same_as="double precision 0"),
    one("real", "0", same_as="double precision 0"),
    one("real", "-0", same_as="double precision 0"),
    one("double precision", "1.5"),
    one("real", "1.5", same_as="double precision 1.5"),
    one("double precision", "0.1"),
    one("real", "0.1"),
    one("double precision", "NaN"),
    one("real", "NaN", same_as="double precision NaN"),
    one(
        "double precision",
        "='inf'::float8 - 'inf'::float8",
        "double precision inf - inf",
        same_as="double precision NaN",
    ),
    one("double precision", "Infinity"),
    one("real", "Infinity", same_as="double precision Infinity"),
    one("double precision", "-Infinity"),
    one("double precision", "5e-324"),
    one("double precision", "1.7976931348623157e308"),
    one("real", "1e-45"),
    one("real", "3.4028235e38"),
    # numeric
    null("numeric"),
    one("numeric", "0"),
    one("numeric", "0.000", same_as="numeric 0"),
    one("numeric", "-0.0", same_as="numeric 0"),
    one("numeric(10,2)", "0", same_as="numeric 0"),
    one("numeric", "1"),
    one("numeric", "1.0", same_as="numeric 1"),
    one("numeric", "1.00", same_as="numeric 1"),
    one("numeric(10,2)", "1", same_as="numeric 1"),
    one("numeric", "-1"),
    one("numeric", "0.0001"),
    one("numeric", "0.0001000", same_as="numeric 0.0001"),
    one("numeric", "10"),
    one("numeric", "10000"),
    one("numeric", "10000.000", same_as="numeric 10000"),
    one("numeric", "99999999.99999999"),
    one("numeric", "12345.6789"),
    one("numeric", "12345.67890", same_as="numeric 12345.6789"),
    one("numeric", "12345.67"),
    one("numeric", "12345.678"),
    one("numeric", "12345.6"),
    one("numeric", "0.00000000001"),
    one("numeric", "-0.00000000010"),
    one("numeric", "1e300"),
    one("numeric", "1e-300"),
    ("numeric 1e300 with a scale", [("c", "numeric", "'1e300'::numeric * 1.000")], "numeric 1e300"),
    one("numeric", "1e131071"),
    one("numeric", "1e-16383"),
    one("numeric", "NaN"),
    one("numeric(10,2)", "NaN", same_as="numeric NaN"),
    one("numeric", "Infinity"),
    one("numeric", "-Infinity"),
    # Days and times.
    null("date"),
    one("date", "2000-01-01"),
    one("date", "1999-12-31"),
    one("date", "infinity"),
    one("date", "-infinity"),
    one("date", "4713-01-01 BC"),
    one("date", "0044-03-15 BC"),
    one("date", "5874897-12-31"),
    null("timestamp"),
    one("timestamp", "2000-01-01 00:00:00"),
    one("timestamp", "2024-02-29 23:59:59.999999"),
    one("timestamp", "infinity"),
    one("timestamp", "-infinity"),
    one("timestamp", "4713-01-01 00:00:00 BC"),
    one("timestamp", "294276-12-31 23:59:59.999999"),
    null("timestamptz"),
    one("timestamptz", "2024-03-31 02:30:00+01"),
    one("timestamptz", "2024-03-31 01:30:00+00", same_as="timestamptz 2024-03-31 02:30:00+01"),
    one("timestamptz", "infinity"),
    one("timestamptz", "-infinity"),
    one("timestamptz", "0001-12-31 23:59:59.5+00 BC"),
    one("time", "00:00:00"),
    one("time", "24:00:00"),
    one("time", "12:34:56.789012"),
    one("timetz", "12:00:00+00"),
    one("timetz", "13:00:00+01"),
    null("interval"),
    one("interval", "1 day"),
    one("interval", "24 hours"),
    one("interval", "1 month"),
    one("interval", "30 days"),
    one("interval", "-1 month 2 days -00:00:00.000001"),
    # json keeps its text; jsonb keeps a number's scale.
    null("json", same_as="text NULL"),
    one("json", '{"a": 1, "b": 2}'),
    one("json", '{"a":1,"b":2}'),
    one("json", '{"a": 1, "a": 1}'),
    one("json", "null", "json null"),
    null("jsonb"),
    one("jsonb", '{"a": 1, "b": 2}'),
    one("jsonb", '{"b":2,"a":1,"a":1}', same_as='jsonb {"a": 1, "b": 2}'),
    one("jsonb", "1"),
    one("jsonb", "1.0"),
    one("jsonb", "null", "jsonb null"),
    one("jsonb", '"é \\u0001 \\" \\\\"'),
    # Fixed and raw bytes.
    null("uuid"),
    one("uuid", "00000000-0000-0000-0000-000000000000"),
    one("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    null("bytea"),
    one("bytea", "=decode('', 'hex')", "bytea of no bytes"),
    one("bytea", "=decode('00', 'hex')", "bytea 00"),
    one("bytea", "=decode('0000', 'hex')", "bytea 0000"),
    one("bytea", "=decode('005c27ff', 'hex')", "bytea 005c27ff"),
    one("inet", "10.0.0.1/8"),
    one("inet", "10.0.0.0/8"),
    one("cidr", "10.0.0.0/8"),
    one("inet", "::ffff:1.2.3.4"),
    one("macaddr", "08:00:2b:01:02:03"),
    one("macaddr8", "08:00:2b:01:02:03:04:05"),
    one("bit(3)", "101"),
    one("varbit", "101"),
    one("varbit", "1010"),
    one("bit(12)", "101010101010"),
    one("money", "1234.50"),
    one('"char"', "a"),
    one('"char"', "", "char of one byte, zero"),
    one("oid", "4294967295"),
    one("pg_lsn", "16/B374D848"),
    one("xid8", "18446744073709551615"),
    one("point", "(1.5,-2)"),
    one("box", "(0,0),(1,1)"),
    one("path", "[(0,0),(1,1)]"),
    one("path", "((0,0),(1,1))"),
    one("polygon", "((0,0),(1,1),(2,0))"),
    one("circle", "<(0,0),2>"),
    one("tsvector", "the cat:3A sat:4"),
    one("tsquery", "cat & !dog | (fat:*A <2> rat)"),
    one("jsonpath", "$.a[*] ? (@.b > 1.50)"),
    one("xml", "<a>é</a>"),
    one("xml", '<?xml version="1.0"?><a>é</a>', same_as="xml <a>é</a>"),
    # Ranges: discrete ones have one form, numrange has as many as its bounds have scales.
    one("int4range", "[1,5)"),
    one("int4range", "[1,4]", same_as="int4range [1,5)"),
    one("int4range", "empty"),
    one("int4range", "(,)"),
    one("numrange", "[1.0,2)"),
    one("numrange", "[1.00,2)"),
    one("tstzrange", "[2024-01-01 00:00+00,infinity]"),
    one("int4multirange", "{[1,3),[5,9)}"),
    # Arrays.
    null("integer[]", same_as="bytea NULL"),
    one("integer[]", "{}"),
    one("integer[]", "{1,2}"),
    (
        "integer[] with a null bitmap and no NULL",
        [("c", "integer[]", "(SELECT touched FROM stale)")],
        "integer[] {1,2}",
    ),
    one("integer[]", "{1,NULL}"),
    one("integer[]", "{NULL}"),
    one("integer[]", "{{1,2},{3,4}}"),
    one("integer[]", "{1,2,3,4}"),
    one("integer[]", "[0:1]={1,2}"),
    one("text[]", "{}"),
    one("text[]", '{NULL,"NULL","","a,b"}'),
    one("varchar(4)[]", '{NULL,"NULL","","a,b"}', same_as='text[] {NULL,"NULL","","a,b"}'),
    one("text[]", '{NULL,"NULL","","a","b"}'),
    one("numeric[]", "{1.0}"),
    one("numeric[]", "{1.00}"),
    one("float8[]", "{0}"),
    one("float8[]", "{-0}"),
    one("timestamptz[]", "{2024-01-01 00:00+00,NULL,infinity}"),
    one("int2vector", "1 2 3"),
    # Types of one's own: enums and domains as what they are made of, the rest as bytes.
    one("mood", "ok"),
    one("text", "ok", same_as="mood ok"),
    one("some_mood", "ok", same_as="mood ok"),
    one("mood", 'it\'s "fine", \\|'),
    one("mood", "été"),
    null("mood", same_as="text NULL"),
    one("positive", "1", same_as="bigint 1"),
    one("small_positive", "1", same_as="bigint 1"),
    one("label", "a", same_as="text a"),
    one("code", "a", same_as="text a"),
    one("born", "2000-01-01", same_as="date 2000-01-01"),
    one("price", "1", same_as="numeric 1"),
    one("numbers", "{1,2}", same_as="integer[] {1,2}"),
    one("mood[]", "{ok,NULL,sad}"),
    one("some_mood[]", "{ok,NULL,sad}", same_as="mood[] {ok,NULL,sad}"),
    null("pair", same_as="bytea NULL"),
    one("pair", "(,)"),
    one("pair", "(1,)"),
    one("pair", '(1,"a,b")'),
    one("text_range", "[a,b)"),
    one("citext", "Hello"),
    one("citext", "hello"),
    null("citext", same_as="bytea NULL"),
    one("hstore", "a=>1,b=>NULL"),
    one("hstore", "b=>NULL,a=>1", same_as="hstore a=>1,b=>NULL"),
    # A row of everything.
    (
        "one row of the named types",
        [
            ("customer_id", "bigint", "42"),
            ("Name", "varchar(40)", "'Zoë'"),
            ("notes", "text", "NULL"),
            ("active", "boolean", "true"),
            ("balance", "numeric(12,2)", "-1234.50"),
            ("score", "double precision", "0.25"),
            ("ratio", "real", "-0"),
            ("level", "smallint", "3"),
            ("visits", "integer", "17"),
            ("born", "date", "'1980-02-29'"),
            ("seen", "timestamp", "'2024-05-06 07:08:09.000010'"),
            ("created", "timestamptz", "'2024-05-06 07:08:09.000010+02'"),
            ("raw", "json", "'{\"a\": [1, 2.0]}'"),
            ("attributes", "jsonb", '\'{"b": null, "a": "é"}\''),
            ("token", "uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
            ("blob", "bytea", "decode('00ff00', 'hex')"),
        ],
        None,
    ),
    ("two hundred columns", [(f"column_{i}", "integer", str(i) if i % 7 else "NULL") for i in range(200)], None),
]


@dataclass(frozen=True)
class Facts:
    """What Rust's TypeFacts holds: domains resolved, the element type of true arrays."""

    oid: int
    kind: str
    element: int
    sendable: bool


def read_facts(connection: psycopg.Connection[Any], type_name: str) -> Facts:
    oid, kind, base, send, element = connection.execute(
        "SELECT oid, typtype::text, typbasetype, typsend::oid <> 0,"
        " CASE WHEN typsend = 'array_send'::regproc THEN typelem ELSE 0 END FROM pg_type WHERE oid = %s::regtype",
        [type_name],
    ).fetchone()  # type: ignore[misc]
    if kind == "d":
        return read_facts(connection, connection.execute("SELECT %s::oid::regtype::text", [base]).fetchone()[0])  # type: ignore[index]
    return Facts(oid, kind, element, send)


def norm(facts: Facts, column: str) -> str:
    """The normal form in SQL, as the product's limits page writes it."""
    simple = {
        20: "{c}::int8",
        21: "{c}::int8",
        23: "{c}::int8",
        25: "{c}::text",
        1043: "{c}::text",
        1042: "{c}::text",
        19: "{c}::text",
        114: "{c}::text",
        700: FLOAT,
        701: FLOAT,
        1700: "trim_scale({c})",
    }
    if facts.kind == "e":
        return f"{column}::text"
    if facts.element:
        header = struct.pack("!II", 0, stable_element(facts.element)).hex()
        return f"overlay(array_send({column}) PLACING decode('{header}', 'hex') FROM 5 FOR 8)"
    if facts.oid in simple:
        return simple[facts.oid].format(c=column)
    if facts.oid < 10_000:
        return f"COALESCE({column}, NULL)"  # a domain's base type
    sender = {"c": "record_send", "r": "range_send"}
    if facts.kind in sender:
        return f"{sender[facts.kind]}({column})"
    return f"CASE WHEN {column} IS NOT NULL THEN substr(record_send(ROW({column})), 13) END"


def stable_element(oid: int) -> int:
    return 25 if oid == 1043 else 0 if oid >= 10_000 else oid


def frame(facts: Facts, raw: bytes | None) -> bytes:
    """The normal form on the client, with other means than the Rust code: Decimal and struct."""
    if facts.element:
        oid = 17
        if raw is not None:
            raw = raw[:4] + struct.pack("!II", 0, stable_element(facts.element)) + raw[12:]
    elif facts.kind == "e" or facts.oid in (25, 1043, 1042, 19, 114):
        oid = 25
        if raw is not None and facts.oid == 1042:
            raw = raw.rstrip(b" ")
    elif facts.oid in (20, 21, 23):
        oid = 20
        raw = raw and int.from_bytes(raw, "big", signed=True).to_bytes(8, "big", signed=True)
    elif facts.oid in (700, 701):
        oid = 701
        if raw is not None:
            value = struct.unpack("!f" if facts.oid == 700 else "!d", raw)[0]
            raw = bytes.fromhex("7ff8000000000000") if math.isnan(value) else struct.pack("!d", value or 0.0)
    elif facts.oid == 1700:
        oid = 1700
        raw = raw and canonical_numeric(raw)
    else:
        oid = facts.oid if facts.oid < 10_000 else 17
    if raw is None:
        return struct.pack("!Ii", oid, -1)
    return struct.pack("!Ii", oid, len(raw)) + raw


def canonical_numeric(raw: bytes) -> bytes:
    count, weight, sign, _ = struct.unpack_from("!HhHH", raw)
    if sign not in (0, 0x4000):
        return raw
    exact = Context(prec=200_000)
    value = Decimal(0)
    for index, digit in enumerate(struct.unpack_from(f"!{count}H", raw, 8)):
        value = exact.add(value, exact.scaleb(Decimal(digit), 4 * (weight - index)))
    if not value:
        return bytes(8)
    digits, exponent = "".join(map(str, value.as_tuple().digits)).rstrip("0"), None
    exponent = int(value.as_tuple().exponent) + len(value.as_tuple().digits) - len(digits)
    # Groups of four decimal places, aligned at the decimal point.
    digits += "0" * (exponent % 4)
    last = (exponent - exponent % 4) // 4
    digits = digits.rjust(-(-len(digits) // 4) * 4, "0")
    groups = [int(digits[i : i + 4]) for i in range(0, len(digits), 4)]
    return struct.pack(f"!HhHH{len(groups)}H", len(groups), last + len(groups) - 1, sign, max(0, -exponent), *groups)


def copy_row(connection: psycopg.Connection[Any], query: str) -> list[bytes | None]:
    """The fields of the one row of a query, as binary COPY sends them."""
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(bytes(part) for part in copy)
    position = 19 + struct.unpack_from("!I", data, 15)[0]
    (count,) = struct.unpack_from("!h", data, position)
    position += 2
    fields: list[bytes | None] = []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", data, position)
        position += 4
        fields.append(None if length < 0 else data[position : position + length])
        position += max(length, 0)
    return fields


def anonymous(facts: Facts, raw: bytes | None) -> tuple[dict[str, Any], str | None]:
    """Facts and value with a stand-in for oids that differ at every run."""
    element = facts.element
    if element >= 10_000:
        element = 100_001
        if raw is not None:
            raw = raw[:8] + struct.pack("!I", element) + raw[12:]
    oid = facts.oid if facts.oid < 10_000 else 100_000
    shown = {"oid": oid, "kind": facts.kind, "element": element, "sendable": facts.sendable}
    return shown, None if raw is None else raw.hex()


def measure(connection: psycopg.Connection[Any], name: str, columns: Columns, same_as: str | None) -> dict[str, Any]:
    """One vector, or an error where server and client disagree."""
    facts = [read_facts(connection, type_name) for _, type_name, _ in columns]
    values = ", ".join(f"({value})::{type_name} AS c{i}" for i, (_, type_name, value) in enumerate(columns))
    raw = copy_row(connection, f"SELECT {values}") if columns else []
    order = sorted(range(len(columns)), key=lambda i: columns[i][0].encode())
    row = ", ".join(norm(facts[i], f"v.c{i}") for i in order)
    (digest,) = connection.execute(  # type: ignore[misc]
        f"SELECT sha256(record_send(ROW({row}))) FROM (SELECT {values or 'NULL'}) AS v".replace("%", "%%"),
    ).fetchone()
    encoding = struct.pack("!i", len(columns)) + b"".join(frame(facts[i], raw[i]) for i in order)
    if hashlib.sha256(encoding).digest() != bytes(digest):
        raise SystemExit(f"{name}: the server and this script disagree; the script encodes {encoding.hex()[:400]}")
    shown = []
    for (column, type_name, value), fact, field in zip(columns, facts, raw, strict=True):
        fact_shown, raw_shown = anonymous(fact, field)
        shown.append({"name": column, "type": type_name, "sql": value, "facts": fact_shown, "raw": raw_shown})
    return {"name": name, "same_as": same_as, "columns": shown, "digest": bytes(digest).hex()}


@contextmanager
def own_database(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    name = sql.Identifier(f"golden_row_hash_{os.getpid()}")
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))
        try:
            with psycopg.connect(
                dsn, dbname=name.as_string(None).strip('"'), autocommit=True, client_encoding="utf8"
            ) as own:
                yield own
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def refuse_surprises(vectors: list[dict[str, Any]]) -> None:
    """Names are unique, and digests too but for the vectors that say whose they share."""
    first: dict[str, str] = {}
    for vector in vectors:
        name, other = vector["name"], first.setdefault(vector["digest"], vector["name"])
        if (vector["same_as"] or name) != other:
            raise SystemExit(f"{name}: has the hash of {other}, and says {vector['same_as']}")
    if len({vector["name"] for vector in vectors}) != len(vectors):
        raise SystemExit("two vectors have one name")


def generate(dsn: str) -> str:
    with own_database(dsn) as connection:
        stale = [
            "CREATE TABLE stale (touched integer[])",
            "INSERT INTO stale VALUES ('{NULL,2}')",
            "UPDATE stale SET touched[1] = 1",
        ]
        for statement in [*SETUP, *stale, *OPTIONAL.values()]:
            connection.execute(statement)
        vectors = [measure(connection, *vector) for vector in VECTORS]
        version = connection.info.server_version // 10_000
    refuse_surprises(vectors)
    lines = ",\n".join("  " + json.dumps(vector, ensure_ascii=True) for vector in vectors)
    head = {
        "about": "written by generate_row_hash.py; raw is the binary COPY value in hex, null for NULL",
        "encoding_version": 1,
        "postgres": version,
        "setup": SETUP + stale,
        "optional": OPTIONAL,
    }
    opening = json.dumps(head, indent=1).rstrip("}").rstrip()
    return f'{opening},\n "vectors": [\n{lines}\n ]\n}}\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dsn", help="a server where this role may create a database")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    arguments = parser.parse_args()
    text = generate(arguments.dsn)
    if not arguments.check:
        FILE.write_text(text, encoding="utf-8")
        print(f"{FILE.name}: {len(VECTORS)} vectors")
    elif json.loads(text)["vectors"] != json.loads(FILE.read_text(encoding="utf-8"))["vectors"]:
        sys.exit(f"{FILE.name} is not what this server gives")
    else:
        print(f"{FILE.name}: {len(VECTORS)} vectors, as this server gives them")


if __name__ == "__main__":
    main()
