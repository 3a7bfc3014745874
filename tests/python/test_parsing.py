"""Text is read or it is not: no text ends a load, whatever it is, and what cannot be read is counted."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping
from typing import Any

import parsed
import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import Project

UTC = dt.timezone.utc


def load(
    database: Database, flow: Flow, texts: list[Any], column: Mapping[str, Any], read: bool = True
) -> tuple[list[Any], Any]:
    """What becomes of texts in a column, and the report."""
    database.execute("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; DROP TABLE IF EXISTS public.t")
    database.execute("CREATE TABLE app.texts (id bigint PRIMARY KEY, x text)")
    with database.shared.cursor() as cursor:
        cursor.executemany("INSERT INTO app.texts VALUES (%s, %s)", list(enumerate(texts)))
    # No setting of a session may matter.
    database.execute(f"ALTER DATABASE {database.name} SET timezone = 'America/New_York'")
    database.execute(f"ALTER DATABASE {database.name} SET datestyle = 'German, DMY'")
    project = Project()
    project.table("t", {"id": "bigint", "x": dict(column)}, primary_key="id")
    project.pipeline("p", "app.texts", "t", "merge")
    report = project.run(flow)["p"]
    database.execute("SET timezone = 'UTC'; SET datestyle = 'ISO'; SET extra_float_digits = 1")
    # Python has no infinite time.
    found = database.rows("SELECT x FROM public.t ORDER BY id") if read else []
    return [value for (value,) in found], report


def column(declared: str, marker: str, **arguments: Any) -> dict[str, Any]:
    return {"type": declared, "normalize": [{marker: arguments} if arguments else marker]}


TABLES: dict[str, tuple[dict[str, Any], Mapping[str, Any]]] = {
    "timestamp": (column("timestamptz?", "parse_timestamp"), parsed.TIMESTAMPS),
    "timestamp, month first": (column("timestamptz?", "parse_timestamp", day_first=False), parsed.US_TIMESTAMPS),
    "int": (column("bigint?", "parse_int"), parsed.INTS),
    "int with thousands": (column("bigint?", "parse_int", thousands=","), parsed.THOUSANDS),
    "int with thousands, as in Europe": (
        column("bigint?", "parse_int", thousands="."),
        {text.translate(str.maketrans(",.", ".,")): value for text, value in parsed.THOUSANDS.items()},
    ),
    "smallint": (column("smallint?", "parse_int"), parsed.SMALLINTS),
    "numeric": (column("numeric?", "parse_numeric"), parsed.NUMERICS),
    "numeric, as in Europe": (
        column("numeric?", "parse_numeric", decimal_separator=",", thousands="."),
        parsed.EUROPEAN,
    ),
    "numeric(10,2)": (column("numeric(10,2)?", "parse_numeric"), parsed.MONEY),
    "double": (column("double?", "parse_numeric"), parsed.DOUBLES),
    "bool": (column("boolean?", "parse_bool"), parsed.BOOLS),
}


@pytest.mark.parametrize(("declared", "values"), TABLES.values(), ids=TABLES.keys())
def test_text_is_read_as_it_was_worked_out_by_hand(
    declared: dict[str, Any], values: Mapping[str, Any], database: Database, flow: Flow
) -> None:
    texts = list(values)
    found, report = load(database, flow, [*texts, None], declared)
    wrong = {text: value for text, value in zip(texts, found, strict=False) if repr(value) != repr(values[text])}
    assert not {
        text: (value, values[text])
        for text, value in wrong.items()
        # Numbers are compared as numbers: 1.50 is 1.5.
        if not (value == values[text] and type(value) is type(values[text]))
    }
    failures = sum(value is None for value in values.values())
    assert report["parse_failures"] == {"x": failures}, report
    assert found[-1] is None


def test_a_date_is_the_day_that_is_written(database: Database, flow: Flow) -> None:
    expected = {text: value.date() if value else None for text, value in parsed.TIMESTAMPS.items()}
    # The day stands there, whatever the zone behind it.
    expected |= {
        "2026-02-01T02:00:00+14:00": dt.date(2026, 2, 1),
        "2026-01-31T00:30:00+02:00": dt.date(2026, 1, 31),
        "2026-12-31T23:30:00-01:00": dt.date(2026, 12, 31),
        "2026-12-31T23:59:59.9999999Z": dt.date(2026, 12, 31),
    }
    found, report = load(database, flow, list(expected), column("date?", "parse_date"))
    assert dict(zip(expected, found, strict=True)) == expected
    assert report["parse_failures"] == {"x": sum(day is None for day in expected.values())}


def test_infinity_is_read_as_postgres_writes_it(database: Database, flow: Flow) -> None:
    texts: list[str | None] = ["infinity", "-Infinity", "infinit"]
    load(database, flow, texts, column("timestamptz?", "parse_timestamp"), read=False)
    assert database.rows("SELECT x::text FROM t ORDER BY id") == [("infinity",), ("-infinity",), (None,)]


def test_json_is_read_as_python_reads_it(database: Database, flow: Flow) -> None:
    texts = parsed.JSONS + parsed.NO_JSONS
    for declared in ("json?", "jsonb?"):
        _, report = load(database, flow, texts, column(declared, "parse_json"))
        found = [given for (given,) in database.rows("SELECT x IS NOT NULL FROM t ORDER BY id")]
        wrong = [text for text, given in zip(texts, found, strict=True) if given != (text in parsed.JSONS)]
        assert wrong == []
        assert report["parse_failures"] == {"x": len(parsed.NO_JSONS)}


def test_text_without_a_zone_is_of_the_zone_of_the_marker(database: Database, flow: Flow) -> None:
    texts: list[str | None] = ["2026-07-01 12:00", "2026-07-01 12:00Z", "01/12/2026", None]
    berlin = [
        dt.datetime(2026, 7, 1, 10, tzinfo=UTC), dt.datetime(2026, 7, 1, 12, tzinfo=UTC),
        dt.datetime(2026, 11, 30, 23, tzinfo=UTC), None,
    ]  # fmt: skip
    marker = {"tz": "Europe/Berlin"}
    assert load(database, flow, texts, column("timestamptz?", "parse_timestamp", **marker))[0] == berlin
    clocks = [dt.datetime(2026, 7, 1, 12), dt.datetime(2026, 7, 1, 14), dt.datetime(2026, 12, 1), None]
    assert load(database, flow, texts, column("timestamp?", "parse_timestamp", **marker))[0] == clocks
    days = [dt.date(2026, 7, 1), dt.date(2026, 7, 1), dt.date(2026, 12, 1), None]
    assert load(database, flow, texts, column("date?", "parse_timestamp", **marker))[0] == days


@pytest.mark.parametrize(
    ("format", "values"),
    [
        ("DD.MM.YYYY HH24:MI", {"31.01.2026 12:00": parsed.NOON, "31.13.2026 12:00": None, "2026-01-31": None}),
        ("YYYYMMDDHH24MISS", {"20260131120000": parsed.NOON, "2026013112000": None, "20260230120000": None}),
        ("Mon DD, YYYY HH12:MI AM", {"Jan 31, 2026 12:00 pm": parsed.NOON, "Foo 31, 2026 12:00 PM": None}),
        ('YYYY-MM-DD"T"HH24:MI:SS.US TZH:TZM', {"2026-01-31T14:00:00.0 +02:00": parsed.NOON, "x": None}),
    ],
    ids=str,
)  # fmt: skip
def test_a_format_reads_what_it_says_and_nothing_else(
    format: str, values: dict[str, Any], database: Database, flow: Flow
) -> None:
    found, _ = load(database, flow, list(values), column("timestamptz?", "parse_timestamp", format=format))
    assert dict(zip(values, found, strict=True)) == values


def test_null_stays_null_and_what_fails_becomes_the_default(database: Database, flow: Flow) -> None:
    declared = column("bigint?", "parse_int", on_failure="default", default=-1)
    found, report = load(database, flow, ["5", "x", "", None], declared)
    assert found == [5, -1, -1, None]
    assert report["parse_failures"] == {"x": 2}


def test_what_fails_ends_the_run_where_it_shall(database: Database, flow: Flow) -> None:
    load(database, flow, ["1"], column("bigint", "parse_int", on_failure="error"))
    database.execute("UPDATE app.texts SET x = '99999999999999999999'; INSERT INTO app.texts VALUES (7, 'secret')")
    refused = flow("run", "p", expect=1)
    assert "error[cast_failed]: 2 values of `x` cannot be read as a whole number" in refused.stderr
    assert "id: 0" in refused.stderr and "7" in refused.stderr
    assert "secret" not in refused.stderr
    assert database.rows("SELECT id, x FROM t") == [(0, 1)]


@pytest.mark.parametrize(("mode", "path"), [("append", "staging"), ("truncate", "staging"), ("scd2", "staging")])
def test_what_is_read_is_the_same_from_another_database(
    mode: str, path: str, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm, warehouse = new_database(), new_database()
    crm.execute("CREATE SCHEMA app; CREATE TABLE app.texts (id bigint PRIMARY KEY, at text, n text)")
    rows = [(0, "31/01/2026 12:00", "1,000"), (1, "no", "x"), (2, None, None)]
    with crm.shared.cursor() as cursor:
        cursor.executemany("INSERT INTO app.texts VALUES (%s, %s, %s)", rows)
    connect(flow, crm, warehouse)
    project = Across()
    columns = {
        "id": "bigint",
        "at": {"type": "timestamptz?", "normalize": ["trim", "parse_timestamp"]},
        "n": {"type": "integer", "normalize": [{"parse_int": {"thousands": ","}}, {"default": 0}]},
    }
    project.table("t", columns, primary_key="id")
    project.pipeline("p", "app.texts", "t", mode)
    for _ in range(2 if mode == "scd2" else 1):
        report = project.run(flow)["p"]
        assert (report["path"], report["parse_failures"]) == (path, {"at": 1, "n": 1}), report
    assert report["rows_inserted"] == (0 if mode == "scd2" else 3)
    assert warehouse.rows("SELECT id, at, n FROM t ORDER BY id") == [(0, parsed.NOON, 1000), (1, None, 0), (2, None, 0)]


def test_text_of_chance_never_ends_a_load(database: Database, flow: Flow) -> None:
    chance = random.Random(26)
    pieces = [
        *"0123456789",
        *"0123456789",
        *'+-.,:/TZ eE"[]{}\\',
        "2026",
        "12",
        "31",
        "true",
        "null",
        "NaN",
        "\u00a0",
        "\n",
        "ä",
    ]
    made = ["".join(chance.choices(pieces, k=chance.randint(1, 12))) for _ in range(2000)]
    dates = [
        mark.join(order)
        for _ in range(1000)
        for mark in (chance.choice(["-", "/", ""]),)
        for order in (
            chance.choice(
                [
                    (f"{chance.randint(0, 9999):04}", f"{chance.randint(0, 14):02}", f"{chance.randint(0, 33):02}"),
                    (f"{chance.randint(0, 33)}", f"{chance.randint(0, 14)}", f"{chance.randint(0, 9999):04}"),
                ]
            ),
        )
    ]
    shallow = list('01-."a[]{},: ') + ["true", "null", '"b"', "1e5"]
    jsons = ["".join(chance.choices(shallow, k=chance.randint(1, 9))) for _ in range(2000)]
    found, _ = load(database, flow, made, column("bigint?", "parse_int"))
    assert found == [parsed.an_int(text) for text in made]
    found, _ = load(database, flow, made, column("numeric?", "parse_numeric"))
    assert [str(value) for value in found if value is None or value.is_nan()] == [
        str(value) for value in map(parsed.a_numeric, made) if value is None or value.is_nan()
    ]
    assert [value for value in found if value is not None and value.is_finite()] == [
        value for value in map(parsed.a_numeric, made) if value is not None and value.is_finite()
    ]
    found, _ = load(database, flow, dates, column("date?", "parse_date"))
    assert found == [parsed.a_date(text) for text in dates]
    load(database, flow, jsons + made, column("jsonb?", "parse_json"), read=False)
    found = [given for (given,) in database.rows("SELECT x IS NOT NULL FROM t ORDER BY id")]
    assert found == [parsed.a_json(text) for text in jsons + made]
    load(database, flow, made, column("timestamptz?", "parse_timestamp"), read=False)
    load(database, flow, made, column("double?", "parse_numeric"))
    load(database, flow, made, column("boolean?", "parse_bool"))


@pytest.mark.parametrize(
    ("marker", "code", "message"),
    [
        ({"parse_int": {"on_failure": "default"}}, "missing_option", "needs the value"),
        ({"parse_int": {"default": 1}}, "conflicting_options", "default has no meaning"),
        ({"parse_int": {"on_failure": "skip"}}, "invalid_value", "on_failure cannot be `skip`"),
        ({"parse_int": {"thousands": "12"}}, "invalid_value", "one character"),
        ({"parse_timestamp": {"tz": "Mars"}}, "invalid_value", "no time zone `Mars`"),
        ({"parse_int": {"on_failure": "default", "default": "x"}}, "invalid_value", "no value of type integer"),
        ({"parse_bool": {"day_first": True}}, "unknown_option", "no argument `day_first`"),
    ],
    ids=str,
)
def test_a_reader_that_makes_no_sense_is_refused_at_its_line(
    marker: dict[str, Any], code: str, message: str, database: Database, flow: Flow
) -> None:
    types = {"parse_int": "bigint", "parse_bool": "boolean", "parse_timestamp": "timestamptz"}
    project = Project()
    project.table("t", {"id": "bigint", "x": {"type": types[next(iter(marker))], "normalize": [marker]}})
    project.pipeline("p", "SELECT 1 AS id, 'a' AS x", "t", "append")
    flow.project(project.text())
    said = flow("validate", expect=2)
    assert f"error[{code}]" in said.stdout + said.stderr, said
    assert message in said.stdout + said.stderr


def test_a_format_that_cannot_be_read_is_refused(flow: Flow, database: Database) -> None:
    project = Project()
    project.table("t", {"x": column("date", "parse_date", format="DD.MM.YY")})
    project.pipeline("p", "SELECT '1' AS x", "t", "append")
    flow.project(project.text())
    said = flow("validate", expect=2)
    assert 'the format "DD.MM.YY" has `Y`, which is not read' in said.stdout + said.stderr


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
@pytest.mark.parametrize(("mode", "key"), [("append", "id"), ("merge", "id"), ("merge", "n"), ("scd2", "id")])
def test_a_null_of_what_cannot_be_read_is_told_where_the_column_takes_none(
    mode: str, key: str, across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, text text)")
    crm.execute("INSERT INTO app.s VALUES (1, '7'), (2, 'seven'), (3, 'acht')")
    connect(flow, crm, warehouse)
    made = Across()
    read = {"type": "bigint", "normalize": [{"derive": "text"}, "parse_int"]}
    made.table("t", {"id": "bigint", "n": read}, **({} if mode == "append" else {"primary_key": key}))
    made.pipeline("p", "app.s", "t", mode)
    error = made.run(flow, expect=1)["p"]["error"]
    assert error["code"] == "cast_failed", error
    first = "2 values of `n` cannot be read by parse_int as a whole number, and the column takes no NULL in their place"
    assert error["message"].startswith(first) and "seven" in error["message"], error
    assert "declare `n` with ?" in error["hint"], error
    # Who puts such rows aside loads the others.
    made.pipelines["p"]["expect"] = [{"not_null": "n", "policy": "quarantine"}]
    assert made.run(flow)["p"]["rows_rejected"] == 2


def test_a_null_of_the_source_is_no_failure_to_read(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, text text); INSERT INTO app.s VALUES (1, NULL)")
    connect(flow, database, database)
    made = Across()
    made.table("t", {"id": "bigint", "n": {"type": "bigint", "normalize": [{"derive": "text"}, "parse_int"]}})
    made.pipeline("p", "app.s", "t", "append")
    error = made.run(flow, expect=1)["p"]["error"]
    assert error["code"] == "target_failed" and 'null value in column "n"' in error["message"], error
