"""What markers and expectations make of a value depends on no setting of a session."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cleaned import KEY, hashed
from database import Database
from flow_binary import Flow
from project import Project

SETTINGS = {
    "as the server has them": "",
    "otherwise": "DateStyle = 'SQL, DMY'; IntervalStyle = 'sql_standard'; TimeZone = 'America/St_Johns';"
    " bytea_output = 'escape'; extra_float_digits = -15",
}
# Each with the type in the source, a value, and its text.
TEXTS = {
    "day": ("date", "'2026-02-01'", "2026-02-01"),
    "local": ("timestamp", "'2026-02-01 12:00:00.5'", "2026-02-01T12:00:00.5"),
    "instant": ("timestamptz", "'2026-02-01 12:00+02'", "2026-02-01T10:00:00Z"),
    "stay": ("interval", "'1 year -3 days 04:05:06.700'", "P1Y-3DT4H5M6.7S"),
    "no_time": ("interval", "'0'", "PT0S"),
    "always": ("date", "'infinity'", "infinity"),
    "photo": ("bytea", r"'\x00ff5c'", r"\x00ff5c"),
    "share": ("double precision", "0.1", "0.1"),
    "sum": ("double precision", "0.1::float8 + 0.2::float8", "0.30000000000000004"),
    "large": ("double precision", "-1.5e20", "-1.5e+20"),
    "nothing": ("double precision", "'-0'", "-0"),
    "greatest": ("double precision", "1.7976931348623157e308", "1.7976931348623157e+308"),
    "real": ("real", "0.1", "0.1"),
    "million": ("real", "1234567", "1.234567e+06"),
    "days": ("date[]", "'{2026-02-01,NULL}'", "{2026-02-01,NULL}"),
    "grid": ("double precision[]", "'{{0.1},{2}}'", "[1:2][1:1]={0.1,2}"),
    "span": ("tstzrange", "'[2026-02-01 12:00+02,)'", "[2026-02-01T10:00:00Z,)"),
    "number": ("numeric", "1.50", "1.50"),
    "word": ("text", "'A b'", "A b"),
}


def settle(database: Database, settings: str) -> None:
    for setting in filter(None, settings.split(";")):
        database.execute(f"ALTER DATABASE {database.name} SET {setting}")


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_text_of_a_value_is_the_same_under_every_setting(settings: str, database: Database, flow: Flow) -> None:
    """Of a column of the source, of what an expression gives, and of what stands between two markers."""
    flow.variables["PII_KEY"] = KEY
    columns = ", ".join(f"{name} {kind}" for name, (kind, *_) in TEXTS.items())
    values = ", ".join(f"{value}::{kind}" for kind, value, _ in TEXTS.values())
    database.execute(f"CREATE SCHEMA app; CREATE TABLE app.s (id bigint, {columns})")
    database.execute(f"INSERT INTO app.s VALUES (1, {values}), (2{', NULL' * len(TEXTS)})")
    settle(database, settings)
    behind: dict[str, list[Any]] = {
        "trimmed": ["trim"],
        "made": [{"sql": "{col}"}, "trim"],
        "cast": [{"cast": "text"}],
        "hashed": [{"hash": {"key": "${env:PII_KEY}"}}],
    }
    declared: dict[str, Any] = {"id": "bigint"}
    for name in TEXTS:
        declared[name] = {"type": "text?", "normalize": ["trim"]}
        for what, markers in behind.items():
            declared[f"{name}_{what}"] = {"type": "text?", "normalize": [{"derive": name}, *markers]}
    made = Project()
    made.table("t", declared, primary_key="id")
    made.pipeline("p", "app.s", "t", "merge")
    made.run(flow)
    for name, (_, _, text) in TEXTS.items():
        found = database.rows(
            f"SELECT {name}, {name}_trimmed, {name}_made, {name}_cast, {name}_hashed FROM public.t ORDER BY id"
        )
        assert found == [(text, text, text, text, hashed(text)), (None,) * 5], name


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_time_that_is_written_without_a_zone_is_in_utc(settings: str, database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id bigint, at timestamptz, local timestamp, day date, text text);"
        "INSERT INTO app.s VALUES (1, '2020-01-01Z', '2020-01-01', '2020-01-01', 'x'), (2, NULL, NULL, NULL, 'x')"
    )
    settle(database, settings)
    made = Project()
    instant = "timestamptz?"
    made.table(
        "t",
        {
            "id": "bigint",
            "at": {"type": instant, "normalize": [{"clamp": {"minimum": "2026-02-01"}}]},
            "local": {"type": "timestamp?", "normalize": [{"clamp": {"minimum": "2026-02-01 12:00+02:00"}}]},
            "day": {"type": "date?", "normalize": [{"default": "2026-02-01"}]},
            "given": {"type": instant, "normalize": [{"derive": "at"}, {"default": "2026-02-01T12:00+02:00"}]},
            "taken": {"type": instant, "normalize": [{"derive": "at"}, {"nullif": "2020-01-01 00:00"}]},
            "mapped": {
                "type": instant,
                "normalize": [{"derive": "at"}, {"map_values": {"values": {"2020-01-01": "2026-02-01"}}}],
            },
            "parsed": {
                "type": instant,
                "normalize": [
                    {"derive": "text"},
                    {
                        "parse_timestamp": {
                            "tz": "Europe/Berlin",
                            "on_failure": "default",
                            "default": "2026-02-01 01:00",
                        }
                    },
                ],
            },
            "cast": {"type": instant, "normalize": [{"derive": "local"}, {"cast": "timestamptz"}]},
        },
        primary_key="id",
    )
    expect: list[dict[str, Any]] = [
        {"in_range": {"column": "at", "min": "2026-02-01", "max": "2026-02-01T00:00:00Z"}},
        {"accepted_values": {"column": "parsed", "values": ["2026-02-01"]}},
        {"in_range": {"column": "local", "max": "2026-02-01 10:00"}},
    ]
    made.pipeline("p", "app.s", "t", "merge", expect=expect)
    made.run(flow)
    utc = dt.timezone.utc
    first, old = dt.datetime(2026, 2, 1, tzinfo=utc), dt.datetime(2020, 1, 1, tzinfo=utc)
    rows = database.rows('SELECT at, local, day, given, taken, mapped, parsed, "cast" FROM public.t ORDER BY id')
    assert rows == [
        (first, dt.datetime(2026, 2, 1, 10), dt.date(2020, 1, 1), old, None, first, first, old),
        (None, None, dt.date(2026, 2, 1), dt.datetime(2026, 2, 1, 10, tzinfo=utc), None, None, first, None),
    ]


@pytest.mark.parametrize(
    ("declared", "hint"),
    [
        ('{ type = "date?", normalize = [{ default = "01/02/2026" }] }', "write it as 2026-01-31"),
        ('{ type = "timestamptz?", normalize = [{ default = "now" }] }', 'write an expression: { default = { sql = "now()" } }'),
        ('{ type = "timestamp?", normalize = [{ clamp = { minimum = "1 February 2026" } }] }', "write it as 2026-01-31 12:00:00"),
    ],
)  # fmt: skip
def test_a_time_that_sessions_read_in_their_own_way_is_refused(declared: str, hint: str, flow: Flow) -> None:
    path = flow.project(
        f'[tables.t]\n[tables.t.columns]\nid = "bigint"\nx = {declared}\n'
        '[pipelines.p]\nsource = { table = "app.s" }\ntarget = "t"\nmode = "append"\n'
    )
    said = flow("validate", config=path, expect=2).stderr
    assert "means the same in every session" in said
    assert f"hint: {hint}" in said
    assert "pipelines.toml:4:" in said


def test_a_cast_of_text_to_a_time_is_refused(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, day text)")
    made = Project()
    made.table("t", {"id": "bigint", "day": {"type": "date?", "normalize": [{"cast": "date"}]}})
    made.pipeline("p", "app.s", "t", "append")
    error = made.run(flow, expect=2)["p"]["error"]
    assert (error["code"], error["hint"]) == ("invalid_value", "write `parse_date` instead of the cast")
