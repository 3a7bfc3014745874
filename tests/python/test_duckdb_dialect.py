"""Plans as they render for DuckDB, executed in DuckDB: the statements are those of the Rust snapshots."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).parents[2]
SNAPSHOTS = ROOT / "crates" / "flow-core" / "tests" / "snapshots"
RUN = "018c2f00-7d2a-7c6e-9a54-66b25d21c0fe"
INSTANT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The metadata in the types of DuckDB, as far as the plans write them.
METADATA = """
CREATE SCHEMA ematix_flow;
CREATE SCHEMA analytics;
CREATE SCHEMA app;
CREATE TABLE ematix_flow.targets (target VARCHAR PRIMARY KEY, run_number BIGINT NOT NULL DEFAULT 0,
  generation BIGINT NOT NULL DEFAULT 0, last_instant TIMESTAMPTZ, compare_set VARCHAR[], earlier_sets JSON,
  encoding_version INTEGER, fingerprint VARCHAR);
CREATE TABLE ematix_flow.watermarks (pipeline_name VARCHAR PRIMARY KEY, column_name VARCHAR NOT NULL,
  last_value VARCHAR, updated_at TIMESTAMPTZ, read_from VARCHAR, covered_from VARCHAR, column_type VARCHAR,
  identity VARCHAR[], target VARCHAR);
CREATE TABLE ematix_flow.run_history (run_id UUID PRIMARY KEY, target VARCHAR, status VARCHAR NOT NULL,
  committed BOOLEAN NOT NULL DEFAULT false, ended_at TIMESTAMPTZ, lease_until TIMESTAMPTZ, path VARCHAR,
  watermark_before VARCHAR, watermark_after VARCHAR, run_number BIGINT, rows_in BIGINT, rows_inserted BIGINT,
  rows_updated BIGINT, rows_unchanged BIGINT, rows_closed_out BIGINT, rows_deleted BIGINT, rows_deduplicated BIGINT,
  rows_skipped BIGINT, rows_rejected BIGINT, rows_rehashed BIGINT, instant TIMESTAMPTZ, watermark_column VARCHAR,
  read_from VARCHAR, rewound_to BIGINT);
CREATE TABLE ematix_flow.schema_history (target VARCHAR, fingerprint VARCHAR, declaration JSON,
  encoding_version INTEGER, run_id UUID, created BOOLEAN);
CREATE TABLE ematix_flow.append_seen (pipeline_name VARCHAR, row_hash BLOB, wm_value VARCHAR, n BIGINT NOT NULL,
  PRIMARY KEY (pipeline_name, row_hash));
INSERT INTO ematix_flow.targets (target) VALUES ('analytics.dim_customers');
CREATE TABLE app.customers (customer_id BIGINT, email VARCHAR, name VARCHAR, score DECIMAL(10,2),
  updated_at TIMESTAMPTZ);
"""


class Refused(Exception):
    """A guard found what it must not find."""


@dataclass
class Step:
    sql: str
    remarks: list[str]


def steps(name: str) -> list[Step]:
    """The statements of a plan's snapshot, with what is said about them."""
    text = (SNAPSHOTS / f"plan_dialect__duckdb_{name}.snap").read_text()
    out = []
    for block in re.split(r"\n\n-- \d+ [^\n]*\n", text)[1:]:
        lines = block.rstrip("\n").split("\n")
        remarks = [line[3:] for line in lines if line.startswith("-- ")]
        sql = "\n".join(line for line in lines if not line.startswith("-- "))
        out.append(Step(sql.removesuffix(";"), remarks))
    assert out, name
    return out


@dataclass
class Run:
    """Executes a plan as its snapshot says, in one transaction."""

    connection: duckdb.DuckDBPyConnection
    values: dict[str, Any] = field(default_factory=dict)
    sample: list[tuple[Any, ...]] = field(default_factory=list)

    def plan(self, name: str) -> dict[str, int]:
        self.connection.execute("DELETE FROM ematix_flow.run_history")
        self.connection.execute(
            "INSERT INTO ematix_flow.run_history (run_id, target, status)"
            f" VALUES ('{RUN}', 'analytics.dim_customers', 'running')"
        )
        self.connection.execute("BEGIN")
        try:
            for step in steps(name):
                self.step(step)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return {name: value for name, value in self.values.items() if isinstance(value, int) and value}

    def step(self, step: Step) -> None:
        condition = re.search(r"only if (\w+) > 0", "\n".join(step.remarks))
        if condition and not self.values.get(condition[1]):
            return
        cursor = self.connection.execute(self.filled(step.sql))
        answer = cursor.fetchall()
        names = [column[0] for column in cursor.description]
        for remark in step.remarks:
            if counted := re.fullmatch(r"counts ([\w +]+)(?:: as many as ([\w +]+))?", remark):
                for slot in counted[1].split(" + "):
                    self.values[slot] = self.values.get(slot, 0) + answer[0][0]
                if counted[2]:
                    expected = self.as_many_as(counted[2])
                    assert answer[0][0] == expected, step.sql
            elif remark == "answers numbers":
                self.values.update(zip(names, answer[0], strict=True))
            elif remark == "answers a sample":
                self.sample = answer
            elif remark.startswith("else ") and answer:
                raise Refused(remark.split(":")[0].removeprefix("else "), *answer)
            elif remark == "touches exactly one row":
                assert answer == [(1,)], step.sql

    def as_many_as(self, said: str) -> int:
        if said == "were read and not dropped":
            return self.values.get("rows_in", 0) - self.values.get("rows_deduplicated", 0)
        return sum(self.values.get(slot, 0) for slot in said.split(" + "))

    def filled(self, sql: str) -> str:
        def literal(match: re.Match[str]) -> str:
            value = self.values.get(match[1], None if match[1] in ("watermark", "read_from") else 0)
            return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)

        return re.sub(r"(?<![:\w']):([a-z_]+)", literal, sql)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        # Nothing that a session sets may matter.
        connection.execute("SET TimeZone = 'America/Chicago'")
        connection.execute(METADATA)
        yield connection


def at(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


Row = tuple[Any, ...]
MORNING, NOON = at("2026-01-01 08:00:00"), at("2026-01-01 12:00:00")
ADA: Row = (1, "ada@example.com", "Ada", Decimal("10.50"), MORNING)
BOB: Row = (2, None, "Bob", None, NOON)
CY: Row = (3, "cy@example.com", None, Decimal("0.00"), NOON)


def set_source(connection: duckdb.DuckDBPyConnection, *rows: Row) -> None:
    connection.execute("DELETE FROM app.customers")
    connection.executemany("INSERT INTO app.customers VALUES (?, ?, ?, ?, ?)", rows)


def target(connection: duckdb.DuckDBPyConnection, columns: str = "*", order: str = "1, 5") -> list[Row]:
    rows = connection.execute(f"SELECT {columns} FROM analytics.dim_customers ORDER BY {order}").fetchall()
    return [tuple(v.astimezone(UTC) if isinstance(v, datetime) else v for v in row) for row in rows]


def leftovers(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '_ematix%'").fetchall()
    return [name for (name,) in rows]


DECLARED = "customer_id, email, name, score, updated_at"


def test_truncate_replaces_every_row(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB)
    assert Run(connection).plan("truncate_first_load") == {"rows_in": 2, "rows_inserted": 2}
    set_source(connection, BOB, CY)
    assert Run(connection).plan("truncate") == {"rows_in": 2, "rows_inserted": 2}
    assert target(connection) == [BOB, CY]
    assert leftovers(connection) == []


def test_truncate_by_delete_keeps_the_latest_row_of_a_key(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA)
    Run(connection).plan("truncate_first_load")
    connection.execute("ALTER TABLE app.customers ALTER score TYPE VARCHAR")
    set_source(connection, (1, "old", "Aa", "1.005", NOON), (1, "new", "A", "2", MORNING), (2, None, "B", None, NOON))
    expected = {"rows_in": 3, "rows_repeated": 1, "rows_deduplicated": 1, "rows_inserted": 2}
    assert Run(connection).plan("truncate_by_delete") == expected
    assert target(connection) == [(1, "old", "Aa", Decimal("1.01"), NOON), (2, None, "B", None, NOON)]


def test_a_text_that_is_no_number_ends_the_load(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA)
    Run(connection).plan("truncate_first_load")
    connection.execute("ALTER TABLE app.customers ALTER score TYPE VARCHAR")
    set_source(connection, (1, "new", "A", "two", MORNING))
    with pytest.raises(duckdb.ConversionException, match="two"):
        Run(connection).plan("truncate_by_delete")
    assert target(connection) == [ADA]
    assert leftovers(connection) == []


def test_append_adds_every_row_and_says_when(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA)
    assert Run(connection).plan("append_first_load") == {"rows_in": 1, "rows_inserted": 1}
    assert Run(connection).plan("append_again") == {"rows_in": 1, "rows_inserted": 1}
    assert target(connection, DECLARED) == [ADA, ADA]
    (times, batches, recent) = connection.execute(
        "SELECT count(DISTINCT _loaded_at), min(_batch_id)::VARCHAR, bool_and(_loaded_at > now() - INTERVAL '1 hour')"
        " FROM analytics.dim_customers"
    ).fetchone()  # type: ignore[misc]
    assert (times, batches, recent) == (2, RUN, True)


def test_append_to_a_primary_key_is_refused_a_key_that_is_there(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA)
    Run(connection).plan("append_first_load")
    set_source(connection, BOB)
    assert Run(connection).plan("append_with_a_primary_key") == {"rows_in": 1, "rows_inserted": 1}
    set_source(connection, ADA, CY, CY)
    with pytest.raises(Refused) as refused:
        Run(connection).plan("append_with_a_primary_key")
    assert refused.value.args == ("target_failed", (2, "1", 2), (2, "3", 2))
    assert target(connection, DECLARED) == [ADA, BOB]


def test_append_by_a_ledger_loses_no_row_at_a_tie_and_doubles_none(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB, BOB)
    assert Run(connection).plan("append_incremental_first_load") == {"rows_in": 3, "rows_new": 3, "rows_inserted": 3}
    assert connection.execute("SELECT n, wm_value FROM ematix_flow.append_seen ORDER BY wm_value").fetchall() == [
        (2, "2026-01-01 12:00:00+00"),
    ]
    watermarks = connection.execute(
        "SELECT last_value, read_from, covered_from, column_type, identity FROM ematix_flow.watermarks"
    ).fetchall()
    noon = "2026-01-01 12:00:00+00"
    identity = DECLARED.split(", ")
    expected = (noon, noon, "2026-01-01 11:50:00+00", "TIMESTAMP WITH TIME ZONE", identity)
    assert watermarks == [expected]
    # Once more the same rows, one of them three times now, and one that is new at the tie; Ada is before the range.
    set_source(connection, ADA, BOB, BOB, BOB, CY)
    assert Run(connection).plan("append_incremental") == {"rows_in": 4, "rows_new": 2, "rows_inserted": 2}
    assert target(connection, DECLARED) == [ADA, BOB, BOB, BOB, CY]
    assert connection.execute("SELECT n FROM ematix_flow.append_seen ORDER BY n").fetchall() == [(1,), (3,)]
    assert Run(connection).plan("append_incremental") == {"rows_in": 4}
    assert leftovers(connection) == []


def test_merge_writes_what_differs_and_nothing_else(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB)
    assert Run(connection).plan("merge_first_load") == {"rows_in": 2, "rows_inserted": 2}
    assert Run(connection).plan("merge") == {"rows_in": 2}
    changed = (1, None, "Ada", Decimal("10.5"), MORNING)
    set_source(connection, changed, BOB, CY)
    found = {"rows_new": 1, "rows_changed": 1, "rows_inserted": 1, "rows_updated": 1}
    assert Run(connection).plan("merge") == {"rows_in": 3, **found}
    assert target(connection) == [changed, BOB, CY]
    assert leftovers(connection) == []
    status = connection.execute(
        "SELECT status, committed, rows_in, rows_updated, run_number FROM ematix_flow.run_history"
    )
    assert status.fetchall() == [("success", True, 3, 1, 3)]
    state = connection.execute("SELECT run_number, generation, last_instant = ? FROM ematix_flow.targets", [INSTANT])
    assert state.fetchall() == [(3, 2, True)]


def test_the_clock_goes_on_within_a_transaction(connection: duckdb.DuckDBPyConnection) -> None:
    (clock,) = set(re.findall(r"ended_at = (.*),\n", steps("merge")[-1].sql))
    connection.execute("BEGIN")
    query = f"SELECT {clock} - now() < INTERVAL '50 milliseconds', {clock} >= now()"
    assert connection.execute(query).fetchall() == [(True, True)]
    time.sleep(0.06)
    assert connection.execute(f"SELECT {clock} - now() > INTERVAL '50 milliseconds'").fetchall() == [(True,)]


def test_repeated_keys_are_refused_with_samples(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA)
    Run(connection).plan("merge_first_load")
    set_source(connection, ADA, BOB, BOB, BOB, CY, CY)
    with pytest.raises(Refused) as refused:
        Run(connection).plan("merge")
    assert refused.value.args == ("duplicate_source_key", (2, "2", 3), (2, "3", 2))
    assert target(connection) == [ADA]
    assert leftovers(connection) == []


def test_merge_does_not_stand_where_a_key_has_two_rows(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA)
    Run(connection).plan("merge_first_load")
    connection.execute("INSERT INTO analytics.dim_customers SELECT * FROM analytics.dim_customers")
    set_source(connection, ADA, BOB)
    with pytest.raises(Refused) as refused:
        Run(connection).plan("merge")
    assert refused.value.args == ("target_failed", (1, "1", 2))
    assert target(connection) == [ADA, ADA]
    assert leftovers(connection) == []


def test_merge_finds_two_rows_of_a_key_that_the_source_does_not_have(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB)
    Run(connection).plan("merge_first_load")
    set_source(connection, ADA, CY)
    # More rows than keys were read, and none of them twice.
    assert Run(connection).plan("merge") == {"rows_in": 2, "rows_new": 1, "rows_inserted": 1}
    connection.execute(
        "INSERT INTO analytics.dim_customers SELECT * FROM analytics.dim_customers WHERE customer_id = 2"
    )
    with pytest.raises(Refused) as refused:
        Run(connection).plan("merge")
    assert refused.value.args == ("target_failed", (1, "2", 2))
    assert target(connection) == [ADA, BOB, BOB, CY]


def test_merge_marks_keys_that_left_the_source(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB)
    Run(connection).plan("merge_first_load")
    set_source(connection, BOB, CY)
    expected = {"rows_in": 2, "rows_new": 1, "rows_gone": 1, "rows_deleted": 1, "rows_inserted": 1}
    assert Run(connection).plan("merge_soft_deletes") == expected
    assert target(connection) == [(*ADA, True), (*BOB, False), (*CY, False)]
    set_source(connection, ADA, BOB)
    run = Run(connection)
    run.plan("merge_soft_deletes_dry_run")
    sample = [(change, json.loads(old), json.loads(new)) for change, old, new in run.sample if new]
    assert [(change, old["name"], new["name"]) for change, old, new in sample] == [("changed", "Ada", "Ada")]


def test_merge_deletes_keys_that_left_the_source(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("ALTER TABLE app.customers ALTER customer_id TYPE INTEGER")
    set_source(connection, ADA, BOB)
    Run(connection).plan("merge_first_load")
    set_source(connection, BOB)
    assert Run(connection).plan("merge_hard_deletes") == {"rows_in": 1, "rows_gone": 1, "rows_deleted": 1}
    assert target(connection) == [BOB]


def test_too_many_deletes_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, *[(key, None, None, None, NOON) for key in range(40)])
    Run(connection).plan("merge_first_load")
    set_source(connection, *[(key, None, None, None, NOON) for key in range(19)])
    with pytest.raises(Refused) as refused:
        Run(connection).plan("merge_hard_deletes")
    assert refused.value.args == ("mass_delete", (21, 40))
    assert len(target(connection)) == 40


VERSION = f"{DECLARED}, valid_from, valid_to, is_current"


def test_scd2_closes_and_opens_versions(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB)
    assert Run(connection).plan("scd2_first_load") == {"rows_in": 2, "rows_inserted": 2}
    assert target(connection, VERSION) == [(*ADA, MORNING, None, True), (*BOB, NOON, None, True)]
    changed = (1, "ada@example.org", "Countess", Decimal("10.50"), MORNING)
    set_source(connection, changed, (3, None, None, None, NOON))
    expected = {
        "rows_in": 2,
        "rows_new": 1,
        "rows_changed": 1,
        "rows_gone": 1,
        "rows_closed_out": 2,
        "rows_deleted": 1,
        "rows_inserted": 2,
    }
    assert Run(connection).plan("scd2") == expected
    assert target(connection, VERSION, "customer_id, valid_from") == [
        (*ADA, MORNING, INSTANT, False),
        (*changed, INSTANT, None, True),
        (*BOB, NOON, INSTANT, False),
        (3, None, None, None, NOON, EPOCH, None, True),
    ]
    set_source(connection, (*changed[:2], "Ada", *changed[3:]), (3, None, None, None, NOON))
    assert Run(connection).plan("scd2") == {"rows_in": 2, "rows_overwritten": 1, "rows_updated": 1}
    current = "SELECT name FROM analytics.dim_customers WHERE customer_id = 1 AND is_current"
    assert connection.execute(current).fetchall() == [("Ada",)]


def test_scd2_does_not_stand_where_a_key_has_two_current_versions(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB)
    Run(connection).plan("scd2_first_load")
    connection.execute(
        "INSERT INTO analytics.dim_customers SELECT * REPLACE (valid_from - INTERVAL '1 day' AS valid_from)"
        " FROM analytics.dim_customers WHERE customer_id = 1"
    )
    before = target(connection, VERSION)
    with pytest.raises(Refused) as refused:
        Run(connection).plan("scd2")
    assert refused.value.args == ("target_failed", (1, "1", 2))
    assert target(connection, VERSION) == before


def test_scd2_rehashes_when_the_compared_columns_change(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA, BOB)
    Run(connection).plan("scd2_first_load")
    connection.execute("ALTER TABLE analytics.dim_customers ADD COLUMN row_hash BLOB")
    connection.execute("UPDATE analytics.dim_customers SET row_hash = 'stale'::BLOB, name = NULL")
    assert Run(connection).plan("scd2_changed_compare_set") == {"rows_in": 2, "rows_rehashed": 2}
    assert target(connection, VERSION) == [(*ADA, MORNING, None, True), (*BOB, NOON, None, True)]
    hashes = connection.execute("SELECT DISTINCT octet_length(row_hash) FROM analytics.dim_customers").fetchall()
    assert hashes == [(32,)]


def test_scd2_ends_with_infinity(connection: duckdb.DuckDBPyConnection) -> None:
    set_source(connection, ADA)
    Run(connection).plan("scd2_infinity")
    open_end = connection.execute("SELECT valid_to = 'infinity'::TIMESTAMPTZ, is_current FROM analytics.dim_customers")
    assert open_end.fetchall() == [(True, True)]


def test_a_table_becomes_a_history(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE analytics.dim_customers AS SELECT * EXCLUDE (score) FROM app.customers")
    # A version that others have written has no score, and its row differs.
    connection.execute("INSERT INTO analytics.dim_customers VALUES (1, 'ada@example.com', 'Ada', ?)", [MORNING])
    set_source(connection, ADA)
    expected = {"rows_in": 1, "rows_changed": 1, "rows_closed_out": 1, "rows_inserted": 1, "rows_rehashed": 1}
    assert Run(connection).plan("scd2_migrate") == expected
    assert target(connection, VERSION, "valid_from") == [
        (*ADA[:3], None, MORNING, EPOCH, INSTANT, False),
        (*ADA, INSTANT, None, True),
    ]
