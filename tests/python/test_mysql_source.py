"""MySQL as a source, read by the real binary from a real MariaDB: types, watermarks, one snapshot, and the way there."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import authority
from customers import wait_until
from database import Database
from flow_binary import Flow
from mariadb_server import MariaDb, mariadb_server
from relay import relay

UTC = dt.timezone.utc


@pytest.fixture(scope="session")
def server() -> Iterator[MariaDb]:
    with mariadb_server() as found:
        yield found


@pytest.fixture
def shop(server: MariaDb, database: Database) -> str:
    """A database of the test's own on the server."""
    database.execute("CREATE SCHEMA shop")
    server.execute(f"CREATE DATABASE {database.name} CHARACTER SET utf8mb4")
    return database.name


class Shop:
    """A pipeline `t` that reads the test's database."""

    def __init__(self, server: MariaDb, name: str, flow: Flow, target: Database) -> None:
        self.server, self.name, self.flow, self.target = server, name, flow, target
        self.dsn = server.dsn(name)

    def fill(self, statements: str) -> None:
        self.server.execute(statements, self.name)

    def text(self, source: str, columns: str = "", mode: str = "merge", options: str = "") -> str:
        table = f'[tables.t]\nschema = "shop"\nprimary_key = ["id"]\ncolumns = {{ {columns} }}\n' if columns else ""
        return f"""
[connections.crm]
dsn = "{self.dsn}"
{table}
[pipelines.t]
source = {{ connection = "crm", {source} }}
target = "{"t" if columns else "shop.t"}"
mode = "{mode}"
{options}
"""

    def run(self, text: str, *more: str) -> dict[str, Any]:
        report: dict[str, Any] = self.flow("run", "t", *more, "--output", "json", config=text).json()
        return report

    def rows(self, order: str = "id") -> list[tuple[Any, ...]]:
        return self.target.rows(f"SELECT * FROM shop.t ORDER BY {order}")


@pytest.fixture
def crm(server: MariaDb, shop: str, flow: Flow, database: Database) -> Shop:
    return Shop(server, shop, flow, database)


# --- silent -----------------------------------------------------------------------------------------------------------


def test_a_server_that_falls_silent_while_rows_come_ends_the_run(crm: Shop) -> None:
    slow = "SELECT seq AS id, REPEAT('x', 8000) AS name FROM seq_1_to_4000 WHERE SLEEP(0.002) = 0"
    with relay(crm.server.port) as between:
        crm.dsn = crm.server.dsn(crm.name).replace(str(crm.server.port), str(between.port))
        crm.flow.project(crm.text(f'query = "{slow}"', options='keys = "id"\nread_timeout = "1s"'))
        running = crm.flow.start("run", "t", "--output", "json")
        wait_until(lambda: "seq_1_to_4000" in crm.server.execute("SHOW PROCESSLIST"), "it is read")
        time.sleep(1)
        between.fall_silent()
        report = running.finish(1, 20).json()
    assert (report["status"], report["error"]["code"]) == ("failed", "timeout")
    assert "read_timeout" in report["error"]["message"]
    assert crm.target.value("SELECT to_regclass('shop.t')") is None


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_table_is_loaded_and_a_second_run_changes_nothing(crm: Shop) -> None:
    crm.fill(
        "CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(20)); INSERT INTO orders VALUES (1, 'ä𝄞'), (2, NULL)"
    )
    text = crm.text('table = "orders"', 'id = "bigint", name = "text?"')
    report = crm.run(text)
    assert (report["path"], report["source_connection"], report["rows_inserted"]) == ("staging", "crm", 2)
    assert crm.rows() == [(1, "ä𝄞"), (2, None)]
    again = crm.run(text)
    assert (again["rows_in"], again["rows_inserted"], again["rows_updated"]) == (2, 0, 0)
    whole = crm.text(f'table = "{crm.name}.orders"', 'id = "bigint", name = "text?"')
    reason = f"source crm is a database of MySQL: the table {crm.name}.orders of crm (MySQL)"
    assert crm.flow("plan", "t", "--output", "json", config=whole).json()["pipelines"][0]["path_reason"] == reason


def test_a_query_is_its_own_sql(crm: Shop) -> None:
    crm.fill(
        "CREATE TABLE `my orders` (id INT PRIMARY KEY, `it``s` TEXT); INSERT INTO `my orders` VALUES (1, 'a\\'b;')"
    )
    query = r"""SELECT id, IF(`it``s` = 'a\\'b;', \"yes\", 'no') AS name FROM `my orders` WHERE 1--1 = 2; # it's done"""
    crm.run(crm.text(f'query = "{query}"', 'id = "bigint", name = "text?"'))
    assert crm.rows() == [(1, "yes")]


@pytest.mark.parametrize("mode", ["append", "truncate", "scd2"])
def test_every_strategy_loads_it(mode: str, crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY, name TEXT); INSERT INTO o VALUES (1, 'a')")
    text = crm.text('table = "o"', 'id = "bigint", name = "text?"', mode)
    text = text.replace("primary_key", "natural_key") if mode == "scd2" else text
    assert crm.run(text, "--dry-run")["rows_in"] == 1
    crm.run(text)
    assert crm.target.rows("SELECT id, name FROM shop.t") == [(1, "a")]


TYPES = """
CREATE TABLE o (
  id BIGINT UNSIGNED PRIMARY KEY, yes TINYINT(1), tiny TINYINT UNSIGNED, small SMALLINT, small_u SMALLINT UNSIGNED,
  medium MEDIUMINT UNSIGNED, whole INT, whole_u INT UNSIGNED, large BIGINT, price DECIMAL(10,2), zero_scale DECIMAL(12,0),
  f FLOAT, d DOUBLE, day DATE, at DATETIME(6), stamped TIMESTAMP(3) NULL, took TIME(6), y YEAR, flag BIT(1), bits BIT(9),
  name VARCHAR(10), long_name LONGTEXT, raw VARBINARY(10), size ENUM('s', 'l'), tags SET('a', 'b'), doc JSON)
"""
EXPECTED = {
    "id": "numeric(20,0)",
    "yes": "smallint",
    "tiny": "smallint",
    "small": "smallint",
    "small_u": "integer",
    "medium": "integer",
    "whole": "integer",
    "whole_u": "bigint",
    "large": "bigint",
    "price": "numeric(10,2)",
    "zero_scale": "numeric(12,0)",
    "f": "real",
    "d": "double precision",
    "day": "date",
    "at": "timestamp without time zone",
    "stamped": "timestamp with time zone",
    "took": "interval",
    "y": "smallint",
    "flag": "boolean",
    "bits": "bytea",
    "name": "text",
    "long_name": "text",
    "raw": "bytea",
    "size": "text",
    "tags": "text",
    "doc": "text",
}


def test_columns_without_a_declaration_are_of_the_types_of_the_server(crm: Shop) -> None:
    crm.fill(TYPES)
    crm.fill(
        """SET time_zone = '+02:00';
        INSERT INTO o VALUES (18446744073709551615, 2, 255, -32768, 65535, 16777215, -2147483648, 4294967295,
          -9223372036854775808, -99999999.99, 999999999999, 0.1, 0.1, '9999-12-31', '1000-01-01 00:00:00.000001',
          '2026-01-31 13:45:00.123', '-838:59:59.000001', 2026, 1, 257, 'ä', 'long', x'00ff', 'l', 'a,b', '{"a": 1}')"""
    )
    planned = crm.flow("plan", "t", config=crm.text('table = "o"', mode="append"))
    assert "`yes` is tinyint(1), which holds more than yes and no" in planned.stdout, planned
    crm.run(crm.text('table = "o"', mode="truncate"))
    types = """SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = 'shop.t'::regclass AND attnum > 0 ORDER BY attnum"""
    assert dict(crm.target.rows(types)) == EXPECTED
    [row] = crm.target.rows("SELECT *, took::text AS took_text FROM shop.t")
    assert row[:16] == (
        decimal.Decimal(18446744073709551615),
        2,
        255,
        -32768,
        65535,
        16777215,
        -2147483648,
        4294967295,
        -9223372036854775808,
        decimal.Decimal("-99999999.99"),
        decimal.Decimal(999999999999),
        0.1,
        0.1,
        dt.date(9999, 12, 31),
        dt.datetime(1000, 1, 1, 0, 0, 0, 1),
        dt.datetime(2026, 1, 31, 11, 45, 0, 123000, tzinfo=UTC),
    )
    assert row[17:26] == (2026, True, b"\x01\x01", "ä", "long", b"\x00\xff", "l", "a,b", '{"a": 1}')
    assert row[26] == "-838:59:59.000001"


def test_what_the_target_declares_is_read_as_that(crm: Shop) -> None:
    crm.fill(
        """CREATE TABLE o (id INT PRIMARY KEY, yes TINYINT(1), doc JSON, who BINARY(16), who_text CHAR(36), day DATETIME,
                          at TIMESTAMP NULL, clock TIME, n DECIMAL(5,0), code VARCHAR(5), size ENUM('s'));
           INSERT INTO o VALUES (1, 1, '{"a": [1]}', x'000102030405060708090a0b0c0d0e0f',
             '00010203-0405-0607-0809-0a0b0c0d0e0f', '2026-01-31', '2026-01-31 10:00:00', '23:59:59', 12345, '042', 's');"""
    )
    columns = """id = "smallint", yes = "boolean", doc = "jsonb", who = "uuid", who_text = "uuid", day = "date",
        at = "timestamp", clock = "time", n = "integer", code = "integer", size = "varchar(3)" """.replace("\n", " ")
    crm.run(crm.text('table = "o"', columns))
    who = uuid.UUID(bytes=bytes(range(16)))
    [row] = crm.rows()
    assert row[:10] == (1, True, {"a": [1]}, who, who, dt.date(2026, 1, 31), row[6], dt.time(23, 59, 59), 12345, 42)
    assert isinstance(row[6], dt.datetime) and row[6].tzinfo is None
    assert row[10] == "s"


def test_a_value_that_is_none_of_its_columns_type_is_an_error_with_row_and_column(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY, yes TINYINT(1), code VARCHAR(5), took TIME, at DATETIME)")
    crm.fill(
        "INSERT INTO o VALUES (1, 0, '1', '01:00:00', '2026-01-31'), (2, 2, 'x', '25:00:00', '2026-01-31 10:00:00')"
    )
    for column, declared, words in [
        ("yes", "boolean", '"2" is no boolean'),
        ("code", "integer", '"x" is no integer'),
        ("took", "time", "is no time"),
        ("at", "date", "it has a time, and the column is a date"),
    ]:
        query = f'query = "SELECT id, {column} FROM o ORDER BY id"'
        found = crm.flow("run", "t", config=crm.text(query, f'id = "bigint", {column} = "{declared}"'), expect=1)
        assert f"error[cast_failed]: the query of crm (MySQL), row 2, column `{column}`: " in found.stderr, found
        assert words in found.stderr, found


@pytest.mark.parametrize("value", ["0000-00-00", "2026-00-10", "2026-02-00"])
def test_a_date_that_is_none_is_an_error_that_says_what_to_do(value: str, crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY, day DATE, at DATETIME(3))")
    crm.fill(f"SET sql_mode = ''; INSERT INTO o VALUES (1, '2026-01-01', NULL), (2, '{value}', '{value} 10:00:00')")
    for column, type in (("day", "date"), ("at", "timestamp")):
        text = crm.text(f'query = "SELECT id, {column} FROM o ORDER BY id"', f'id = "bigint", {column} = "{type}?"')
        found = crm.flow("run", "t", config=text, expect=1)
        assert f"row 2, column `{column}`: {value} is no date: NULLIF(…, '0000-00-00')" in found.stderr, found
    text = crm.text(
        'query = "SELECT id, IF(MONTH(day) = 0 OR DAY(day) = 0, NULL, day) AS day FROM o"',
        'id = "bigint", day = "date?"',
    )
    crm.run(text)
    assert crm.rows() == [(1, dt.date(2026, 1, 1)), (2, None)]


def test_a_point_is_refused_by_name_and_its_text_is_read(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY, place POINT); INSERT INTO o VALUES (1, POINT(1, 2))")
    found = crm.flow("run", "t", config=crm.text('table = "o"', mode="append"), expect=2)
    assert "the column `place` of the table o of crm (MySQL) is of the type geometry, which is not read" in found.stderr
    assert "ST_AsText(`place`)" in found.stderr, found
    crm.run(crm.text('query = "SELECT id, ST_AsText(place) AS place FROM o"', mode="truncate"))
    assert crm.rows() == [(1, "POINT(1 2)")]


def test_text_is_compared_as_the_target_compares_it(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id VARCHAR(5) CHARACTER SET latin1 COLLATE latin1_bin PRIMARY KEY)")
    crm.fill("INSERT INTO o VALUES ('a'), ('A'), ('ä')")
    crm.run(crm.text('table = "o"', 'id = "text"'))
    assert sorted(crm.rows()) == [("A",), ("a",), ("ä",)]


def test_random_rows_are_what_was_written(crm: Shop) -> None:
    chance = random.Random(18)
    letters = "aäß€𝄞 '\"\\\n\t%;-"

    def some(make: Any) -> Any:
        return None if chance.random() < 0.2 else make()

    def moment() -> dt.datetime:
        return dt.datetime(1971, 1, 1) + dt.timedelta(
            seconds=chance.randrange(2_000_000_000), microseconds=chance.randrange(10**6)
        )

    rows = [
        (
            id,
            some(lambda: chance.choice([0, -1, 2**63 - 1, -(2**63), chance.randrange(-(10**12), 10**12)])),
            some(lambda: chance.choice([0, 2**64 - 1, 2**63, chance.randrange(10**12)])),
            some(lambda: decimal.Decimal(chance.randrange(-(10**20), 10**20)).scaleb(-4)),
            some(
                lambda: chance.choice([0.0, 2.2250738585072014e-308, 1.7976931348623157e308, chance.uniform(-1e9, 1e9)])
            ),
            some(lambda: "".join(chance.choices(letters, k=chance.randrange(20)))),
            some(lambda: chance.randbytes(chance.randrange(20))),
            some(lambda: dt.date(1000, 1, 1) + dt.timedelta(days=chance.randrange(3_000_000))),
            some(moment),
            some(lambda: moment().replace(tzinfo=UTC)),
        )
        for id in range(400)
    ]

    def literal(value: Any) -> str:
        match value:
            case None:
                return "NULL"
            case str():
                return f"CONVERT(x'{value.encode().hex()}' USING utf8mb4)"
            case bytes():
                return f"x'{value.hex()}'"
            case dt.datetime():
                return f"'{value.replace(tzinfo=None)}'"
            case dt.date():
                return f"'{value}'"
            case _:
                return repr(value) if isinstance(value, float) else str(value)

    crm.fill(
        """CREATE TABLE o (id INT, n BIGINT, u BIGINT UNSIGNED, p DECIMAL(24,4), f DOUBLE, s TEXT CHARACTER SET utf8mb4,
                          b BLOB, d DATE, t DATETIME(6), z TIMESTAMP(6) NULL); SET time_zone = '+00:00';
           INSERT INTO o VALUES """
        + ",".join(f"({', '.join(map(literal, row))})" for row in rows)
    )
    crm.run(crm.text('table = "o"', mode="truncate"))
    assert crm.rows() == rows


# --- what is read again -----------------------------------------------------------------------------------------------


def test_a_run_reads_from_the_watermark_on_with_its_ties(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY, at DATETIME(3))")
    crm.fill("INSERT INTO o VALUES (1, '2026-01-01 10:00:00'), (2, '2026-01-05 10:00:00.001')")
    text = crm.text('table = "o"', 'id = "bigint", at = "timestamp?"', "append", 'incremental_column = "at"\n')
    assert crm.run(text)["rows_inserted"] == 2
    crm.fill("INSERT INTO o VALUES (3, '2026-01-05 10:00:00.001'), (4, '2026-01-05 10:00:00'), (5, '2026-01-06')")
    report = crm.run(text)
    assert (report["rows_in"], report["rows_inserted"]) == (3, 2)
    assert crm.target.rows("SELECT id FROM shop.t ORDER BY id") == [(1,), (2,), (3,), (5,)]
    crm.fill("INSERT INTO o VALUES (6, NULL)")
    assert "error[null_watermark]" in crm.flow("run", "t", config=text, expect=4).stderr


def test_lookback_reaches_the_database(crm: Shop) -> None:
    crm.fill(
        "CREATE TABLE o (id INT PRIMARY KEY, at TIMESTAMP(6) NULL); INSERT INTO o VALUES (1, '2026-01-05 10:00:00')"
    )
    options = 'incremental_column = "at"\nlookback = "1h"\n'
    text = crm.text('table = "o"', 'id = "bigint", at = "timestamptz?"', "append", options)
    crm.run(text)
    crm.fill("INSERT INTO o VALUES (2, '2026-01-05 09:30:00'), (3, '2026-01-05 08:59:59')")
    assert crm.run(text)["rows_inserted"] == 1
    assert crm.target.rows("SELECT id FROM shop.t ORDER BY id") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("type", "declared", "first", "more"),
    [
        ("INT", "integer", "1, 5", "5, 4, 6"),
        (
            "BIGINT UNSIGNED",
            "numeric(20,0)",
            "1, 18446744073709551614",
            "18446744073709551614, 4, 18446744073709551615",
        ),
        ("DECIMAL(10,2)", "numeric(10,2)", "1, 5.25", "5.25, 5.24, 6"),
        ("DOUBLE", "double precision", "0.1, 0.7", "0.7, 0.6, 0.8"),
        ("FLOAT", "real", "0.1, 0.7", "0.7, 0.6, 0.8"),
        ("DATE", "date", "'2026-01-01', '2026-01-05'", "'2026-01-05', '2026-01-04', '2026-01-06'"),
    ],
)
def test_a_watermark_of_any_type_loses_no_tie(type: str, declared: str, first: str, more: str, crm: Shop) -> None:
    crm.fill(f"CREATE TABLE o (id INT AUTO_INCREMENT PRIMARY KEY, w {type}, day DATE)")
    for value in first.split(", "):
        crm.fill(f"INSERT INTO o (w) VALUES ({value})")
    # What a query asks for itself begins a step before, which of a fraction is a whole one.
    own = "" if type in ("DOUBLE", "FLOAT", "DECIMAL(10,2)") else " WHERE w > :watermark"
    for source in ('table = "o"', 'query = "SELECT * FROM o"', f'query = "SELECT * FROM o{own}"'):
        crm.target.execute("DROP TABLE IF EXISTS shop.t; DROP SCHEMA IF EXISTS ematix_flow CASCADE")
        crm.fill("DELETE FROM o WHERE id > 2; UPDATE o SET day = NULL")
        columns = f'id = "bigint", w = "{declared}?", day = "date?"'
        text = crm.text(source, columns, "append", 'incremental_column = "w"\n')
        assert crm.run(text)["rows_inserted"] == 2, source
        # Were it read, it would be an error.
        crm.fill("SET sql_mode = ''; UPDATE o SET day = '0000-00-00' WHERE id = 1")
        for value in more.split(", "):
            crm.fill(f"INSERT INTO o (w) VALUES ({value})")
        report = crm.run(text)
        assert (report["rows_in"], report["rows_inserted"]) == (3, 2), (source, report)


def test_a_watermark_of_text_is_not_asked_for(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY, w VARCHAR(5)); INSERT INTO o VALUES (1, 'a'), (2, 'b')")
    text = crm.text('table = "o"', 'id = "bigint", w = "text"', "append", 'incremental_column = "w"\n')
    crm.run(text)
    assert crm.run(text)["rows_in"] == 1
    planned = crm.flow("plan", "t", config=text)
    assert "all rows are read: the table o of crm (MySQL) cannot be asked for a `w` of type text" in planned.stdout, (
        planned
    )


# --- one snapshot -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_writer_that_commits_meanwhile_is_not_half_seen(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY, n INT); INSERT INTO o SELECT seq, 0 FROM seq_1_to_60000")
    text = crm.text('table = "o"', 'id = "bigint", n = "bigint?"', "truncate")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            crm.fill("UPDATE o SET n = n + 1")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            assert crm.run(text)["rows_in"] == 60000
            assert crm.target.value("SELECT count(DISTINCT n) FROM shop.t") == 1
    finally:
        stop.set()
        writer.join()


@pytest.mark.long
def test_many_rows_are_read_in_constant_memory_and_a_kill_leaves_nothing_on_either_side(crm: Shop) -> None:
    crm.fill(
        "CREATE TABLE o (id INT PRIMARY KEY, name CHAR(64)); INSERT INTO o SELECT seq, LPAD(seq, 64, '0') FROM seq_1_to_400000"
    )
    crm.flow.project(crm.text('table = "o"', 'id = "bigint", name = "text?"', "append"))
    killed = crm.flow.start("run", "t")
    waited = threading.Event()
    while not crm.target.value("SELECT count(*) > 0 FROM pg_stat_progress_copy WHERE tuples_processed > 50000"):
        waited.wait(0.02)
    killed.kill()
    killed.finish(None)
    megabytes, finished = crm.flow.start("run", "t", "--output", "json").finish_and_measure()
    assert finished.json()["rows_inserted"] == 400_000
    assert megabytes < 120
    assert crm.target.rows("SELECT count(*), count(DISTINCT id) FROM shop.t") == [(400_000, 400_000)]
    sessions = f"SELECT count(*) FROM information_schema.processlist WHERE db = '{crm.name}'"
    for _ in range(100):
        if crm.server.execute(sessions).strip() == "0":
            break
        waited.wait(0.05)
    assert crm.server.execute(sessions).strip() == "0"


def test_nothing_is_written_and_nothing_locked(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY); INSERT INTO o VALUES (1)")
    crm.fill("DELIMITER $\nCREATE FUNCTION more() RETURNS INT BEGIN INSERT INTO o VALUES (2); RETURN 3; END$")
    crm.server.execute("GRANT EXECUTE, INSERT ON *.* TO reader@'%'")
    calls = crm.flow("run", "t", config=crm.text('query = "SELECT more() AS id"', 'id = "bigint"'), expect=2)
    assert "error[query_writes]" in calls.stderr and "READ ONLY" in calls.stderr, calls
    crm.server.execute("REVOKE EXECUTE, INSERT ON *.* FROM reader@'%'")
    for query in (
        "DELETE FROM o",
        "SELECT 1; DELETE FROM o",
        "SELECT id FROM o FOR UPDATE",
        "SELECT id FROM o INTO OUTFILE '/tmp/x'",
        "SELECT id FROM o /*! FOR UPDATE */",
    ):
        refused = crm.flow("validate", config=crm.text(f'query = "{query}"', 'id = "bigint"'), expect=2)
        assert "error[query_writes]" in refused.stderr, refused
    assert crm.server.execute("SELECT COUNT(*) FROM o", crm.name) == "1\n"


def test_a_view_without_the_right_to_it_and_a_table_that_is_not_there_are_told(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY)")
    crm.server.execute("CREATE USER IF NOT EXISTS poor@'%' IDENTIFIED BY 'right'")
    crm.dsn = crm.server.dsn("", user="poor")
    refused = crm.flow("run", "t", config=crm.text(f'table = "{crm.name}.o"', 'id = "bigint"'), expect=1)
    assert "error[permission_denied]" in refused.stderr and "GRANT SELECT" in refused.stderr, refused
    crm.dsn = crm.server.dsn(crm.name)
    lacking = crm.flow("run", "t", config=crm.text('table = "p"', 'id = "bigint"'), expect=1)
    assert "error[source_failed]: the table p of crm (MySQL): " in lacking.stderr and "doesn't exist" in lacking.stderr
    crm.dsn = crm.server.dsn()
    nowhere = crm.flow("run", "t", config=crm.text('table = "o"', 'id = "bigint"'), expect=1)
    assert "the DSN names no database" in nowhere.stderr, nowhere


# --- the way there ----------------------------------------------------------------------------------------------------


def checked(crm: Shop, dsn: str) -> dict[str, Any]:
    crm.dsn = dsn
    answer = crm.flow(
        "connections", "check", "crm", "--output", "json", config=crm.text('table = "o"', 'id = "bigint"'), expect=None
    )
    assert "right" not in answer.stdout + answer.stderr.replace("right)", ""), answer
    found = answer.json()
    [report] = found["connections"] if isinstance(found, dict) else found
    return dict(report)


def test_a_check_tells_the_version_and_whether_it_is_encrypted(crm: Shop) -> None:
    server, name = crm.server, crm.name
    plain = checked(crm, server.dsn(name))
    assert ("MariaDB" in plain["server_version"], plain["encrypted"], plain["sslmode"]) == (True, False, "DISABLED")
    assert plain["address"] == f"mysql://reader@127.0.0.1:{server.port}/{name}"
    for mode in ("REQUIRED", f"VERIFY_CA&ssl-ca={server.certificate}"):
        secured = checked(crm, server.dsn(name, f"?ssl-mode={mode}"))
        assert (secured["encrypted"], secured.get("error")) == (True, None), secured
    by_name = server.dsn(name, f"?ssl-ca={server.certificate}").replace("127.0.0.1", "localhost")
    known = checked(crm, by_name)
    assert (known["encrypted"], known["sslmode"], known.get("error")) == (True, "VERIFY_IDENTITY", None), known
    by_socket = checked(crm, f"mariadb://root@/{name}?socket={server.socket}")
    assert by_socket.get("error") is None and by_socket["address"] == f"mysql://root@{server.socket}/{name}", by_socket


def test_what_keeps_a_log_in_away_is_told_by_its_code(crm: Shop, tmp_path: Path) -> None:
    server, name = crm.server, crm.name
    other = authority("another").write(tmp_path / "other.crt")
    by_name = server.dsn(name, f"?ssl-ca={server.certificate}")
    for dsn, code in [
        (server.dsn(name, password="wrong"), "authentication_failed"),
        (server.dsn(name, user="secure"), "authentication_failed"),
        (server.dsn("nothing"), "unknown_database"),
        (server.dsn(name).replace(str(server.port), "1"), "connect_failed"),
        (server.dsn(name, f"?ssl-mode=VERIFY_CA&ssl-ca={other}"), "tls_failed"),
        (by_name, "tls_failed"),
        (server.dsn(name, f"?ssl-ca={tmp_path}/none.crt"), "tls_failed"),
        (f"mysql://root@/{name}?socket={tmp_path}/none", "connect_failed"),
    ]:
        found = checked(crm, dsn)
        assert found["error"]["code"] == code, (dsn, found)
        assert "wrong" not in str(found), found
    assert (
        checked(crm, server.dsn(name, f"?ssl-mode=VERIFY_CA&ssl-ca={server.certificate}", user="secure"))["error"]
        is None
    )


def test_a_host_elsewhere_is_verified_unless_somebody_says_otherwise(crm: Shop) -> None:
    listed = crm.flow(
        "connections",
        "list",
        "--output",
        "json",
        config=crm.text('table = "o"', 'id = "bigint"').replace("127.0.0.1", "db.example"),
    ).json()
    rows = listed["connections"] if isinstance(listed, dict) else listed
    [found] = [each for each in rows if each["name"] == "crm"]
    assert (found["sslmode"], found["address"]) == (
        "VERIFY_IDENTITY",
        f"mysql://reader@db.example:{crm.server.port}/{crm.name}",
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("?sslmode=require", "a DSN of MySQL has no parameter `sslmode`"),
        ("?ssl-mode=PREFERRED", "the ssl-mode of a DSN of MySQL is none that there is"),
        ("?charset=utf8", "a DSN of MySQL has no parameter `charset`"),
    ],
)
def test_a_parameter_that_there_is_not_is_refused_by_name(more: str, words: str, crm: Shop) -> None:
    crm.dsn = crm.server.dsn(crm.name, more)
    found = crm.flow("validate", config=crm.text('table = "o"', 'id = "bigint"'), expect=2)
    assert words in found.stderr and "right@" not in found.stderr, found


def test_a_password_comes_from_a_variable_and_no_message_shows_it(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY); INSERT INTO o VALUES (1)")
    crm.dsn = crm.server.dsn(crm.name).replace(":right@", ":${env:CRM_PW}@")
    text = crm.text('table = "o"', 'id = "bigint"')
    crm.flow("run", "t", config=text, env={"CRM_PW": "right"})
    assert crm.rows() == [(1,)]
    wrong = crm.flow("run", "t", config=text, env={"CRM_PW": "hunter2hunter2"}, expect=6)
    assert "error[authentication_failed]" in wrong.stderr and "hunter2" not in wrong.stdout + wrong.stderr, wrong
    whole = crm.flow("run", "t", config=text, env={"EMATIX_FLOW_DSN_CRM": crm.server.dsn(crm.name)})
    assert "right" not in whole.stdout + whole.stderr


def test_as_a_target_and_for_what_asks_a_session_it_is_refused(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY)")
    text = crm.text('table = "o"', 'id = "bigint"', options='target_connection = "crm"\n')
    refused = crm.flow("validate", config=text, expect=2)
    assert "error[unsupported_by_engine]: the target's connection `crm`: MySQL is read by pipelines" in refused.stderr
    plain = crm.text('table = "o"', 'id = "bigint"')
    examined = crm.flow("doctor", "--output", "json", config=plain).json()
    about = {each["name"]: each["checks"] for each in examined["connections"]}
    assert [check["check"] for check in about["crm"]] == ["reachable", "server"]


def test_copy_takes_a_query_of_a_dsn(crm: Shop) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY); INSERT INTO o VALUES (1)")
    to = ("--to", "default", "--table", "shop.t", "--mode", "truncate")
    copied = crm.flow("copy", "--from", crm.dsn, "--query", "SELECT `id` FROM `o`", *to)
    assert crm.rows() == [(1,)]
    assert "right" not in copied.stdout + copied.stderr


def test_a_connection_is_added_with_a_password_that_needs_care(crm: Shop) -> None:
    password = "p@ss/w:rd#?%${x}"
    crm.server.execute(f"CREATE USER IF NOT EXISTS odd@'%' IDENTIFIED BY '{password}'; GRANT SELECT ON *.* TO odd@'%'")
    dsn = f"mysql://odd@127.0.0.1:{crm.server.port}/{crm.name}"
    typed = crm.flow("connections", "add", "own", "--dsn", dsn.replace("odd@", "odd:x@"), expect=2)
    assert "the DSN holds a password" in typed.stderr, typed
    crm.flow("connections", "add", "own", "--dsn", dsn, "--password-stdin", stdin=password + "\n")
    checked = crm.flow("connections", "check", "own")
    assert "MariaDB" in checked.stdout and "p@ss" not in checked.stdout + checked.stderr, checked


def test_lineage_names_the_table_and_its_server(crm: Shop, tmp_path: Path) -> None:
    crm.fill("CREATE TABLE o (id INT PRIMARY KEY); INSERT INTO o VALUES (1)")
    events = tmp_path / "events.jsonl"
    transport = {
        "OPENLINEAGE__TRANSPORT__TYPE": "file",
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(events),
        "OPENLINEAGE__TRANSPORT__APPEND": "true",
    }
    crm.flow("run", "t", config=crm.text('table = "o"', 'id = "bigint"'), env=transport)
    last = json.loads(events.read_text(encoding="utf-8").splitlines()[-1])
    assert [(each["namespace"], each["name"]) for each in last["inputs"]] == [
        (f"mysql://127.0.0.1:{crm.server.port}", f"{crm.name}.o")
    ]
