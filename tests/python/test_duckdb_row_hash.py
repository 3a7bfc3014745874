"""The row hash as DuckDB computes it, from the SQL of a Rust snapshot, on the golden vectors of every type it has."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "crates" / "flow-core" / "tests" / "snapshots" / "plan_dialect__duckdb_row_digests.snap"
GOLDEN = ROOT / "tests" / "golden" / "row_hash.json"

# The types of the golden columns by their number; numeric without a scale is given one.
TYPES = {
    16: "BOOLEAN",
    17: "BLOB",
    19: "VARCHAR",
    20: "BIGINT",
    21: "SMALLINT",
    23: "INTEGER",
    25: "VARCHAR",
    114: "JSON",
    700: "FLOAT",
    701: "DOUBLE",
    1042: "VARCHAR",
    1043: "VARCHAR",
    1082: "DATE",
    1083: "TIME",
    1114: "TIMESTAMP",
    1184: "TIMESTAMP WITH TIME ZONE",
    1186: "INTERVAL",
    2950: "UUID",
}
# Types that DuckDB does not have, has with other values, or whose bytes no SQL of its gives.
NOT_COVERED = {
    *('"char"', "bit(12)", "bit(3)", "box", "cidr", "circle", "citext", "float8[]", "hstore", "inet"),
    *("int2vector", "int4multirange", "int4range", "integer[]", "jsonb", "jsonpath", "macaddr", "macaddr8"),
    *("money", "mood", "mood[]", "numbers", "numeric[]", "numrange", "oid", "pair", "path", "pg_lsn", "point"),
    *("polygon", "some_mood", "some_mood[]", "text[]", "text_range", "timestamptz[]", "timetz", "tsquery"),
    *("tstzrange", "tsvector", "varbit", "varchar(4)[]", "xid8", "xml"),
}
# No decimal of 38 digits, and no moment of DuckDB's calendar.
NOT_HELD = {
    *("numeric 1e300", "numeric 1e-300", "numeric 1e300 with a scale", "numeric 1e131071", "numeric 1e-16383"),
    *("numeric NaN", "numeric(10,2) NaN", "numeric Infinity", "numeric -Infinity"),
    "timestamp 294276-12-31 23:59:59.999999",
}


def numeric(raw: bytes) -> Decimal | None:
    """What numeric_send wrote; None for NaN and the infinities."""
    count, weight, sign, _ = struct.unpack(">hhHH", raw[:8])
    if sign >= 0xC000:
        return None
    digits = struct.unpack(f">{count}H", raw[8:])
    whole = sum((Decimal(digit).scaleb(4 * (weight - place)) for place, digit in enumerate(digits)), Decimal(0))
    return -whole if sign else whole


def literal(raw: str | None, data_type: str) -> str | None:
    """An SQL expression for a value as Postgres sends it; None where DuckDB's type cannot hold it."""
    if raw is None:
        return f"CAST(NULL AS {data_type})"
    value = bytes.fromhex(raw)
    number = int.from_bytes(value, signed=True)
    infinity = {2 ** (8 * len(value) - 1) - 1: "infinity", -(2 ** (8 * len(value) - 1)): "-infinity"}.get(number)
    match data_type.split()[0].split("(")[0]:
        case "DECIMAL":
            decimal = numeric(value)
            if decimal is None or abs(decimal) >= 10**27 or decimal != round(decimal, 11):
                return None
            return f"CAST('{decimal:f}' AS {data_type})"
        case "TIMESTAMP" | "DATE" if infinity:
            return f"CAST('{infinity}' AS {data_type})"
        case "TIMESTAMP" if number + 946_684_800_000_000 >= 2**63:
            return None
        case "TIMESTAMP":
            made = f"make_timestamp(CAST({number + 946_684_800_000_000} AS BIGINT))"
            return made if data_type == "TIMESTAMP" else f"({made} AT TIME ZONE 'UTC')"
        case "DATE":
            return f"(DATE '2000-01-01' + ({number}))"
        case "TIME":
            return f"CAST('{timedelta(microseconds=number)}' AS TIME)" if number < 86_400_000_000 else "TIME '24:00:00'"
        case "INTERVAL":
            microseconds, days, months = struct.unpack(">qii", value)
            return f"(to_months({months}) + to_days({days}) + to_microseconds({microseconds}))"
        case "UUID":
            return f"CAST('{value.hex()}' AS UUID)"
        case "BLOB":
            return f"unhex('{value.hex()}')"
        case "FLOAT" | "DOUBLE" as name:
            return f"CAST('{struct.unpack('>f' if name == 'FLOAT' else '>d', value)[0]!r}' AS {name})"
        case "VARCHAR" | "JSON":
            return f"CAST(decode(unhex('{value.hex()}')) AS {data_type})"
        case "BOOLEAN":
            return f"({number} = 1)"
    return f"CAST({number} AS {data_type})"


def duckdb_type(column: dict[str, Any]) -> str | None:
    if column["facts"]["oid"] == 1700:
        return "DECIMAL(38,11)" if column["type"] == "numeric" else "DECIMAL(10,2)"
    return TYPES.get(column["facts"]["oid"])


def digests() -> dict[str, str]:
    """The SQL of the row hash by the columns that it is over."""
    return dict(re.findall(r"^-- (.*)\n((?:(?!-- ).*\n)*?.*);$", SNAPSHOT.read_text(), flags=re.MULTILINE))


def test_duckdb_hashes_every_golden_vector_as_the_file_says() -> None:
    written = digests()
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Asia/Kolkata'")
    not_covered, not_held, wrong, checked = set(), set(), {}, 0
    for vector in json.loads(GOLDEN.read_text())["vectors"]:
        columns = vector["columns"]
        lacking = {column["type"] for column in columns if duckdb_type(column) is None}
        if lacking or len(columns) >= 20:
            not_covered |= lacking
            continue
        typed = [(column, str(duckdb_type(column))) for column in columns]
        # The blanks at the end of char(n) are the column's, not the value's: the source takes them off.
        blanks = {column["name"]: column["facts"]["oid"] == 1042 for column in columns}
        values = {column["name"]: literal(column["raw"], data_type) for column, data_type in typed}
        if None in values.values():
            not_held.add(vector["name"])
            continue
        names = {name: '"' + name.replace('"', '""') + '"' for name in values}
        signature = ", ".join(f"{names[column['name']]} {data_type}" for column, data_type in typed)
        row = ", ".join(
            f"{f'rtrim({value})' if blanks[name] else value} AS {names[name]}" for name, value in values.items()
        )
        query = f"SELECT lower(hex({written[signature]})) FROM (SELECT {row or '1 AS c'}) AS v"
        (digest,) = connection.execute(query).fetchone()  # type: ignore[misc]
        checked += 1
        if digest != vector["digest"]:
            wrong[vector["name"]] = values
    assert wrong == {}
    assert not_held == NOT_HELD
    assert not_covered == NOT_COVERED
    assert checked == 140


@pytest.mark.parametrize("data_type", ["FLOAT", "DOUBLE"])
def test_every_nan_is_one_and_so_is_every_zero(data_type: str) -> None:
    sql = digests()[f'"c" {data_type}']
    pairs = [("CAST('nan' AS DOUBLE)", "-CAST('nan' AS DOUBLE)"), ("CAST(0 AS DOUBLE)", "CAST('-0.0' AS DOUBLE)")]
    connection = duckdb.connect()
    for one, other in pairs:
        values = f"(SELECT CAST({{}} AS {data_type}) AS c) AS v"
        bits = [connection.execute(f"SELECT c::BIT::VARCHAR FROM {values.format(v)}").fetchone() for v in (one, other)]
        assert bits[0] != bits[1]
        hashes = [connection.execute(f"SELECT {sql} FROM {values.format(v)}").fetchone() for v in (one, other)]
        assert hashes[0] == hashes[1]


def sent(value: Decimal) -> bytes:
    """numeric_send of a value without trailing zeros, as its documentation has it."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rjust(max(len(digits), 1 - exponent), "0")
    whole, fraction = (text[:exponent], text[exponent:].rstrip("0")) if exponent < 0 else (text, "")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    groups = [
        int((whole + fraction.ljust(-(-len(fraction) // 4) * 4, "0"))[at : at + 4])
        for at in range(0, len(whole) + -(-len(fraction) // 4) * 4, 4)
    ]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    head = (len(groups), weight if groups else 0, 0x4000 if sign and groups else 0, len(fraction))
    return struct.pack(f">hhHH{len(groups)}H", *head, *groups)


@pytest.mark.parametrize(("precision", "scale"), [(4, 4), (5, 0), (12, 2), (18, 4), (38, 0), (38, 10), (38, 38)])
def test_decimals_of_every_shape_are_hashed_as_numeric(precision: int, scale: int) -> None:
    random = Random(precision * 100 + scale)
    edges = [0, 1, -1, 10**precision - 1, 1 - 10**precision, *(10**n for n in range(precision))]
    unscaled = edges + [
        random.choice((1, -1)) * random.randrange(10 ** random.randint(1, precision)) for _ in range(500)
    ]
    values = [Decimal(f"{number}E-{scale}") for number in unscaled]
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE v (n BIGINT, c DECIMAL({precision},{scale}))")
    connection.executemany("INSERT INTO v VALUES (?, ?)", [(n, f"{value:f}") for n, value in enumerate(values)])
    sql = digests()[f'"c" DECIMAL({precision},{scale})']
    found = connection.execute(f"SELECT {sql} FROM v ORDER BY n").fetchall()
    frames = [struct.pack(">iii", 1, 1700, len(sent(value))) + sent(value) for value in values]
    expected = [(hashlib.sha256(frame).digest(),) for frame in frames]
    assert [value for value, *pair in zip(values, found, expected, strict=True) if pair[0] != pair[1]] == []
