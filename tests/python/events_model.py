"""Histories by event time as a model in Python: random events in batches, the pipeline that loads them, and what its
table must hold. Keys do not know each other, so one run is hundreds of histories. EMATIX_FLOW_TEST_SEED moves the seeds
on.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from database import Database
from flow_binary import Flow
from project import value

SEED = int(os.environ.get("EMATIX_FLOW_TEST_SEED", "0"))
KEYS, BATCHES = 120, 6
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Event:
    """A row of the source."""

    key: int
    at: datetime
    value: str | None
    version: int | None = None
    op: str = "u"


@dataclass
class Model:
    """What the table must hold."""

    options: dict[str, Any]
    runs: int = 0
    held: dict[int, dict[datetime, tuple[Event, int]]] = field(default_factory=lambda: defaultdict(dict))
    superseded: list[tuple[Event, int, int]] = field(default_factory=list)

    @property
    def ordered(self) -> bool:
        return "order_by" in self.options

    def deletes(self, event: Event) -> bool:
        return "delete_when" in self.options and event.op == "d"

    def same(self, left: Event, right: Event) -> bool:
        return (left.value, self.deletes(left)) == (right.value, self.deletes(right))

    def beats(self, left: Event, right: Event) -> bool:
        rank = lambda event: -1 if event.version is None else event.version
        return self.ordered and rank(left) > rank(right)

    def load(self, batch: list[Event]) -> Counter[str] | str:
        """Plays a run: its counts, or the code of its refusal."""
        found: Counter[str] = Counter(rows_in=len(batch))
        stand: dict[tuple[int, datetime], Event] = {}
        contradict: set[tuple[int, datetime]] = set()
        for event in batch:
            place = (event.key, event.at)
            other = stand.get(place)
            if other is None or self.beats(event, other):
                stand[place] = event
                contradict.discard(place)
            elif not self.beats(other, event) and not self.same(event, other):
                contradict.add(place)
        if contradict:
            return "conflicting_events"
        found["rows_deduplicated"] = len(batch) - len(stand)
        word = self.options.get("on_same_time", "replace")
        clash = [
            event
            for (key, at), event in stand.items()
            if (known := self.held[key].get(at))
            and not self.same(event, known[0])
            and not self.beats(event, known[0])
            and not self.beats(known[0], event)
        ]
        if clash and word == "error":
            return "conflicting_events"
        self.runs += 1
        newest = {key: max(times) for key, times in self.held.items() if times}
        for (key, at), event in sorted(stand.items()):
            known = self.held[key].get(at)
            if known is None:
                found["rows_inserted"] += 1
                found["rows_deleted"] += self.deletes(event)
            elif self.beats(event, known[0]) or (
                not self.same(event, known[0]) and event in clash and word == "replace"
            ):
                found["rows_updated"] += 1
                found["rows_deleted"] += self.deletes(event)
                self.superseded.append((*known, self.runs))
            else:
                found["rows_unchanged" if self.same(event, known[0]) else "rows_skipped"] += 1
                continue
            self.held[key][at] = (event, self.runs)
        found["rows_closed_out"] = sum(max(self.held[key]) > last for key, last in newest.items())
        if self.runs == 1:
            found["rows_deleted"] = 0
        return found

    def rows(self) -> list[tuple[Any, ...]]:
        """Key, value, version, deleted, begin, end, newest, run."""
        out = []
        for key, times in self.held.items():
            ordered = sorted(times)
            for at, after in zip(ordered, [*ordered[1:], None], strict=True):
                event, run = times[at]
                ends = [end for end in (after, at + self.options["ttl"] if "ttl" in self.options else None) if end]
                shown = (event.value, event.version, self.deletes(event))
                out.append((key, *shown, at, min(ends, default=None), after is None, run))
        return sorted(out, key=lambda row: (row[0], row[4]))


def config(database: Database, source: Database, options: dict[str, Any], path: str) -> str:
    said = {**options, **({"ttl": "5400s"} if "ttl" in options else {})}
    return f"""
[connections.crm]
dsn = "{source.dsn}"

[connections.dwh]
dsn = "{database.dsn}"

[tables.states]
schema = "marts"
name = "states"
primary_key = ["k"]
columns = {{ k = "bigint", at = "timestamptz", value = "text?", version = "integer?" }}

[pipelines.states]
source = {{ connection = "crm", query = "SELECT k, at, value, version, op FROM app.events" }}
target = "states"
target_connection = "dwh"
mode = "scd2"
event_timestamp_column = "at"
compare_columns = ["value"]
force_path = "{path}"
""" + "\n".join(f"{name} = {value(said_as)}" for name, said_as in said.items())


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ttl": {"ttl": timedelta(seconds=5400)},
    "tombstones": {"delete_when": "op = 'd' -- a delete"},
    "ordered": {"order_by": "version DESC", "delete_when": "op = 'd'"},
    "ordered, ttl": {"order_by": "version", "ttl": timedelta(seconds=5400), "on_same_time": "keep"},
    "keep": {"on_same_time": "keep"},
    "error": {"on_same_time": "error"},
}


def random_events(draw: random.Random, options: dict[str, Any]) -> list[list[Event]]:
    """Batches; some late, some repeated, some that contradict."""
    batches: list[list[Event]] = []
    sent: list[Event] = []
    for _ in range(BATCHES):
        batch = [
            Event(
                draw.randrange(KEYS),
                NOON + HOUR * draw.randrange(12),
                draw.choice(["a", "b", None]),
                draw.choice([None, 1, 2, 3]),
                draw.choice("uuuud"),
            )
            for _ in range(draw.choice([5, 60, 400]))
        ]
        batch += draw.sample(sent, min(len(sent), 40))
        # A version decides of one value, or of none.
        values: dict[tuple[int, datetime, int | None], Event] = {}
        of_batch = {event: None for event in batch}
        if "order_by" in options or options.get("on_same_time") == "error":
            for event in [*sent, *of_batch]:
                version = event.version if "order_by" in options else None
                values.setdefault((event.key, event.at, version), event)
            chosen = [
                values[(event.key, event.at, event.version if "order_by" in options else None)] for event in of_batch
            ]
        else:
            # A later batch may contradict an earlier one, and no batch itself.
            of_time: dict[tuple[int, datetime], Event] = {}
            chosen = [of_time.setdefault((event.key, event.at), event) for event in of_batch]
        draw.shuffle(chosen)
        batches.append(chosen)
        sent += chosen
    return batches


def fill(source: Database, batch: list[Event]) -> None:
    source.execute("TRUNCATE app.events")
    with (
        source.connect() as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY app.events FROM STDIN") as copy,
    ):
        for event in batch:
            copy.write_row((event.key, event.at, event.value, event.version, event.op))


ROWS = "SELECT k, value, version, is_deleted, valid_from, valid_to, is_current, _run FROM marts.states ORDER BY 1, 5"
SUPERSEDED = "SELECT k, at, value, version, is_deleted, _run, _superseded_by FROM marts.states_superseded"


def run(flow: Flow, text: str, expect: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = flow("run", "states", "--output", "json", config=text, expect=expect).json()
    return found
