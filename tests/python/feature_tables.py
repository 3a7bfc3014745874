"""Tables of feature views made by hand, and what they must answer, from the events alone.

An event is what a source said at a time; a run brings it. The model keeps all of them, and works its answers out as
slowly and plainly as it can.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from database import Database
from psycopg import sql

METADATA = Path(__file__).parents[2] / "crates" / "flow-core" / "src" / "history"
UTC = dt.timezone.utc
# When the runs of a model commit: one a day, long after the events.
FIRST_RUN = dt.datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """What was said of an entity at a time: its features, or None where it was deleted."""

    key: tuple[Any, ...]
    at: dt.datetime
    features: tuple[Any, ...] | None
    run: int = 1


@dataclass
class Model:
    """A feature view: its keys and features with their types, and everything that was said."""

    table: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    ttl: dt.timedelta | None = None
    events: Sequence[Event] = field(default_factory=list)

    # --- what it must answer

    def state(self, after: int | None = None) -> dict[tuple[tuple[Any, ...], dt.datetime], Event]:
        """The event of each entity and time as the last run up to then has it."""
        found: dict[tuple[tuple[Any, ...], dt.datetime], Event] = {}
        for event in sorted(self.events, key=lambda event: event.run):
            if after is None or event.run <= after:
                found[event.key, event.at] = event
        return found

    def answer(self, key: tuple[Any, ...], at: dt.datetime, after: int | None = None) -> tuple[Any, ...] | None:
        """The event time and the features, or None."""
        before = [event for event in self.state(after).values() if event.key == key and event.at <= at]
        if not before:
            return None
        newest = max(before, key=lambda event: event.at)
        is_over = self.ttl is not None and newest.at + self.ttl <= at
        return None if is_over or newest.features is None else (newest.at, *newest.features)

    # --- what its table is

    def make(self, database: Database) -> None:
        """Makes the table and that of what was corrected, as a load does."""
        columns = ", ".join(
            [f'"{name}" {kind} NOT NULL' for name, kind in self.keys.items()]
            + [f'"{name}" {kind}' for name, kind in self.features.items()]
        )
        kept = "is_deleted boolean NOT NULL, valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL, row_hash bytea NOT NULL, _run bigint NOT NULL"
        keys = ", ".join(f'"{name}"' for name in self.keys)
        database.execute(
            f"""CREATE SCHEMA IF NOT EXISTS features;
            CREATE TABLE features.{self.table} ({columns}, seen timestamptz NOT NULL, {kept},
              PRIMARY KEY ({keys}, valid_from), CHECK (valid_to IS NULL OR valid_from < valid_to));
            CREATE UNIQUE INDEX ON features.{self.table} ({keys}) WHERE is_current;
            CREATE TABLE features.{self.table}_superseded ({columns}, seen timestamptz, {kept}, _superseded_by bigint NOT NULL);
            CREATE INDEX ON features.{self.table}_superseded ({keys}, valid_from)"""
        )
        self.enter(database)
        self.fill(database)

    def enter(self, database: Database) -> None:
        """Enters the view, without which nobody reads it."""
        name, _, version = self.table.rpartition("_")
        metadata(database)
        database.shared.execute(
            "INSERT INTO ematix_flow.feature_views (name, version, target, entity_keys, event_column, begin_column,"
            " end_column, current_column, deleted_column, tags, pipeline_name, is_shown, declared_at, changed_at,"
            " digest, run_id) VALUES (%s, %s, %s, %s, 'seen', 'valid_from', 'valid_to', 'is_current', 'is_deleted',"
            " '{}', 'p', true, now(), now(), '', gen_random_uuid())",
            (f"features.{name}", version, f"features.{self.table}", list(self.keys)),
        )

    def fill(self, database: Database) -> None:
        """Puts the rows in that the events make."""
        database.execute(f"TRUNCATE features.{self.table}, features.{self.table}_superseded")
        names = [*self.keys, *self.features, "seen", "is_deleted", "valid_from", "valid_to", "is_current", "row_hash"]
        self._insert(database, self.table, [*names, "_run"], [(*row, event.run) for event, row in self._rows()])
        gone = []
        for key, at in self.state():
            same = sorted((e for e in self.events if (e.key, e.at) == (key, at)), key=lambda event: event.run)
            for event, by in pairwise(same):
                gone.append((*self._row(event, None), event.run, by.run))
        self._insert(database, f"{self.table}_superseded", [*names, "_run", "_superseded_by"], gone)

    def _rows(self) -> list[tuple[Event, tuple[Any, ...]]]:
        state = self.state()
        rows = []
        for event in state.values():
            later = [other.at for other in state.values() if other.key == event.key and other.at > event.at]
            rows.append((event, self._row(event, min(later, default=None))))
        return rows

    def _row(self, event: Event, following: dt.datetime | None) -> tuple[Any, ...]:
        ends = [end for end in (following, None if self.ttl is None else event.at + self.ttl) if end is not None]
        features = event.features or (None,) * len(self.features)
        is_current = following is None
        return (
            *event.key,
            *features,
            event.at,
            event.features is None,
            event.at,
            min(ends, default=None),
            is_current,
            b"",
        )

    def _insert(self, database: Database, table: str, names: list[str], rows: list[tuple[Any, ...]]) -> None:
        statement = sql.SQL("INSERT INTO features.{} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.Placeholder() * len(names)),
        )
        with database.shared.cursor() as cursor:
            cursor.executemany(statement, rows)

    def enter_runs(self, database: Database, runs: int) -> None:
        """Enters runs into the history."""
        metadata(database)
        for run in range(1, runs + 1):
            database.shared.execute(
                "INSERT INTO ematix_flow.run_history (run_id, pipeline_name, started_at, status, run_number, committed_at, target)"
                " VALUES (gen_random_uuid(), 'p', %s, 'success', %s, %s, %s)",
                (committed(run) - dt.timedelta(hours=1), run, committed(run), f"features.{self.table}"),
            )


def metadata(database: Database) -> None:
    """Makes the tables of the metadata, as far as reading needs them."""
    if database.value("SELECT to_regclass('ematix_flow.feature_views')") is None:
        files = [(METADATA / f"{name}.sql").read_text(encoding="utf-8") for name in ("schema", "version_4")]
        database.execute(f"CREATE SCHEMA IF NOT EXISTS ematix_flow; {'; '.join(files)}")
        database.execute("INSERT INTO ematix_flow.metadata (version) VALUES (4)")


def committed(run: int) -> dt.datetime:
    """When a run of the model had committed."""
    return FIRST_RUN + dt.timedelta(days=run)
