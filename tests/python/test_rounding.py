"""A target that is only named never rounds what its source came to hold, unless somebody asks for it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow

# The type before, the type after, and a value that the type before does not hold.
WIDENED = [
    ("integer", "numeric", "3.14"),
    ("integer", "numeric(12,2)", "3.14"),
    ("integer", "double precision", "3.5"),
    ("smallint", "real", "3.5"),
    ("real", "double precision", "0.1"),
    ("numeric(5,2)", "numeric(8,4)", "1.2345"),
    ("numeric(5,2)", "numeric", "1.2345678"),
    ("date", "timestamp without time zone", "2026-01-01 10:11:12"),
    ("timestamp(0) without time zone", "timestamp(3) without time zone", "2026-01-01 10:11:12.345"),
    ("timestamp(5) with time zone", "timestamp with time zone", "2026-01-01 10:11:12.345678Z"),
    ("time(0) without time zone", "time without time zone", "10:11:12.5"),
    ("interval second(0)", "interval", "1.5 seconds"),
    ("interval day", "interval(3)", "1 day 2 hours"),
    ("cidr", "inet", "10.0.0.7/8"),
]
REFUSED = [
    ("integer", "numeric(10,2)", "3.14"),
    ("bigint", "double precision", "3.5"),
    ("integer", "real", "3.5"),
    ("double precision", "numeric", "1.23456789012345678901"),
    ("real", "numeric(12,8)", "1.23456789"),
    ("numeric", "double precision", "0.30000000000000004"),
    ("numeric(5,2)", "numeric(5,3)", "1.234"),
    ("money", "numeric(12,4)", "1.2345"),
    ("date", "timestamp with time zone", "2026-01-01 10:11:12Z"),
    ("time without time zone", "time with time zone", "10:11:12+05"),
    ("numeric(5,2)[]", "numeric(8,4)[]", "{1.2345}"),
    ("integer[]", "double precision[]", "{1.5}"),
    ("time without time zone", "timestamp without time zone", "2026-01-01 10:11:12"),
]
PAIRS = [(*pair, True) for pair in WIDENED] + [(*pair, False) for pair in REFUSED]
TYPE = """SELECT format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = 'mirror.prices'::regclass AND attname = 'price'"""


class Mirror:
    """`app.prices (id, price)`, of which `mirror.prices` has been made."""

    def __init__(self, flow: Flow, source: Database, target: Database, mode: str, kind: str) -> None:
        self.flow, self.source, self.target = flow, source, target
        connect(flow, source, target)
        source.execute(f"""
            CREATE SCHEMA app;
            CREATE TABLE app.prices (id integer PRIMARY KEY, price {kind});
            INSERT INTO app.prices VALUES (1, NULL);
        """)
        self.project = Across()
        self.project.pipeline("prices", "app.prices", "mirror.prices", mode)
        self.run()

    def grow(self, kind: str, value: str) -> None:
        self.source.execute(f"""
            ALTER TABLE app.prices DROP COLUMN price;
            ALTER TABLE app.prices ADD COLUMN price {kind};
            INSERT INTO app.prices VALUES (2, '{value}');
        """)

    def run(self, *arguments: str, expect: int = 0, command: str = "run") -> dict[str, Any]:
        return self.project.run(self.flow, "prices", *arguments, expect=expect, command=command)["prices"]

    def refusal(self, *arguments: str) -> dict[str, Any]:
        """The error of a run that wrote nothing, which `dry-run`, `plan` and `validate --connect` say as well."""
        before = self.rows()
        report = self.run(*arguments, expect=4)
        assert (report["status"], report["error"]["code"]) == ("refused", "drift")
        assert self.rows() == before
        assert self.run(*arguments, expect=4, command="dry-run")["error"] == report["error"]
        [plan] = self.flow("plan", "prices", *arguments, "--output", "json").json()["pipelines"]
        assert ([mark["mark"] for mark in plan["marks"]], plan["errors"]) == (["!"], [report["error"]])
        if not arguments:
            [found] = self.flow("validate", "--connect", "--output", "json", expect=2).json()["errors"]
            said = ("code", "message", "hint")
            assert [found[each] for each in said] == [report["error"][each] for each in said]
        return report["error"]

    def rows(self) -> list[Any]:
        return self.target.rows("SELECT id, price::text FROM mirror.prices ORDER BY id")

    def lost(self) -> bool:
        """Whether the new value is another one in the target."""
        kept, held = (
            at.value(f"SELECT price::text FROM {schema}.prices WHERE id = 2")
            for at, schema in ((self.source, "app"), (self.target, "mirror"))
        )
        return kept != held


@pytest.mark.parametrize("path", ["same_db", "staging"])
@pytest.mark.parametrize(("before", "after", "value", "widened"), PAIRS, ids=[f"{a} to {b}" for a, b, *_ in PAIRS])
def test_a_column_whose_source_came_to_hold_more_is_widened_or_refused_and_never_rounded(
    before: str, after: str, value: str, widened: bool, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    mirror = Mirror(flow, database if path == "same_db" else new_database(), database, "merge", before)
    mirror.grow(after, value)
    error = mirror.refusal()
    [_, found] = error["message"].splitlines()
    assert found == f'column "price": {after} in the source, {before} in the table'
    assert ("--migrate" in error["hint"]) == widened
    alter = re.findall("ALTER TABLE [^;]*", error["hint"])
    if widened:
        assert mirror.run("--migrate")["warnings"] == []
    else:
        assert mirror.refusal("--migrate")["message"] == error["message"]
        if not alter:
            assert before.startswith("time ")
            return
        database.execute(alter[0])
        mirror.run()
    assert database.value(TYPE) == after
    assert not mirror.lost()
    assert mirror.run()["warnings"] == []


@pytest.mark.parametrize("path", ["same_db", "staging"])
@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
def test_every_mode_refuses_widens_and_rounds_where_it_is_asked_to(
    mode: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    mirror = Mirror(flow, database if path == "same_db" else new_database(), database, mode, "date")
    mirror.grow("timestamp without time zone", "2026-01-01 10:11:12")
    mirror.refusal()
    rounded = (
        "the column price is timestamp without time zone in the source and date in mirror.prices:"
        " values are rounded or cut to date"
    )
    assert mirror.run("--on-drift", "ignore")["warnings"] == [rounded]
    assert mirror.lost()
    mirror.run("--migrate", "--on-drift", "ignore")
    assert database.value(TYPE) == "timestamp without time zone"
    last = mirror.run()
    assert last["warnings"] == []
    if mode in ("merge", "scd2"):
        # The run that widened has written the value whole, and no row that was the same as before.
        assert (last["rows_unchanged"], last["rows_inserted"]) == (2, 0)
        versions = 3 if mode == "scd2" else 2
        assert database.value("SELECT count(*) FROM mirror.prices") == versions
        assert flow("check", "prices").code == 0


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        ("numeric(8,4)", "numeric(5,2)", False),
        ("double precision", "numeric(10,2)", False),
        ("timestamp without time zone", "date", False),
        ("text", "integer", False),
        ("numeric(5,2)", "numeric(8,2)", True),
        ("integer", "bigint", True),
        ("character varying(3)", "character varying(9)", True),
    ],
)
def test_what_fits_or_ends_the_run_is_not_refused(
    before: str, after: str, warned: bool, flow: Flow, database: Database
) -> None:
    mirror = Mirror(flow, database, database, "merge", before)
    mirror.grow(after, "1" if after != "date" else "2026-01-01")
    warnings = mirror.run()["warnings"]
    assert ["a value that does not fit ends the run" in warning for warning in warnings] == [True] * warned
    mirror.run("--migrate")
    assert mirror.run()["warnings"] == []


def test_a_query_that_casts_settles_it(flow: Flow, database: Database) -> None:
    mirror = Mirror(flow, database, database, "merge", "integer")
    mirror.grow("numeric(10,2)", "3.14")
    mirror.refusal()
    mirror.project.pipeline(
        "prices", "SELECT id, round(price)::integer AS price FROM app.prices", "mirror.prices", "merge"
    )
    assert mirror.run()["warnings"] == []
    assert mirror.rows() == [(1, None), (2, "3")]
