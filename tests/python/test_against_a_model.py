"""Random histories against a model in Python: after every run the target and every count are what the model says.

Pipelines of one seed share a database, and one process runs all of them, so that hundreds of histories take seconds.
EMATIX_FLOW_TEST_SEED moves the seeds on.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from project import Project, counts

SEED = int(os.environ.get("EMATIX_FLOW_TEST_SEED", "0"))
SEEDS, HISTORIES, RUNS = 5, 50, 4

Row = dict[str, str | None]

TYPES = {
    "k1": "integer",
    "k2": "text",
    "a": "text?",
    "b": "numeric?",
    "doc": "jsonb?",
    "f": "double?",
    "seq": "integer",
    "begins": "timestamptz",
}
# A column that some declarations have from their third run on.
JOINED = ("g", "integer?")
VALUES: dict[str, list[str | None]] = {
    "a": [None, "", "NULL", "x", "x|y", "|"],
    "b": [None, "1", "1.0", "1.00", "2"],
    "doc": [None, "1", "1.0", '{"a": 1}', "null"],
    "f": [None, "0", "-0", "NaN", "1.5"],
    "begins": ["2020-01-01 00:00:00+00", "2021-06-01 12:00:00+00"],
    "g": [None, "1", "2"],
}
EPOCH = "1970-01-01 00:00:00+00"


def normal(column: str, value: str | None) -> object:
    """Two values are one where these are equal."""
    if value is None:
        return None
    if column == "b":
        return Decimal(value).normalize()
    if column == "f":
        return "NaN" if value == "NaN" else float(value) + 0.0
    return value


def differ(columns: list[str], left: Row, right: Row) -> bool:
    return any(normal(column, left[column]) != normal(column, right[column]) for column in columns)


@dataclass
class Version:
    values: Row
    begin: str | int
    end: int | None = None


@dataclass
class History:
    """One pipeline with its source, and the target as it must be."""

    name: str
    mode: str
    keys: list[str]
    options: dict[str, Any]
    source: str
    grows: bool
    run: int = 0
    declared: list[str] = field(default_factory=lambda: list(TYPES))
    # The columns that the target has: those of the last run that succeeded.
    held: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    exists: bool = False
    versions: list[Version] = field(default_factory=list)
    merged: dict[tuple[str | None, ...], tuple[Row, bool]] = field(default_factory=dict)
    loaded: list[Row] = field(default_factory=list)
    watermark: int | None = None
    seen: Counter[tuple[object, ...]] = field(default_factory=Counter)
    compared_before: list[str] | None = None

    @property
    def deletes(self) -> str:
        return str(self.options.get("handle_deletes", "ignore"))

    @property
    def latest(self) -> bool:
        return self.options.get("on_duplicate") == "latest"

    def key(self, row: Row) -> tuple[str | None, ...]:
        return tuple(row[name] for name in self.keys)

    def identity(self, row: Row) -> tuple[object, ...]:
        names = [*self.keys, "seq"] if "keys" in self.options else [*TYPES, JOINED[0]]
        return tuple(normal(name, row[name]) for name in names)

    def compared(self) -> list[str]:
        if self.mode == "merge":
            return self.options.get("update_columns") or [name for name in self.declared if name not in self.keys]
        aside = {*self.keys, *self.options.get("overwrite_columns", []), self.options.get("incremental_column")}
        return self.options.get("compare_columns") or [name for name in self.declared if name not in aside]

    # --- what a run must do ---------------------------------------------------------------------------------------

    def expected(self) -> tuple[str, dict[str, int]]:
        """Plays the run; its status or error code, and its counts."""
        if self.grows and self.run == 3:
            self.declared.append(JOINED[0])
        rehash = self.mode == "scd2" and self.exists and self.compared_before not in (None, sorted(self.compared()))
        # A column that a merge adds is filled in rows from before the watermark too.
        joins = bool(self.held) and self.held != self.declared and JOINED[0] in self.compared()
        rows = self.read(in_full=rehash or (self.mode == "merge" and joins))
        if not rows and self.deletes != "ignore":
            return "empty_source", {}
        if self.mode in ("merge", "scd2") and not self.latest and len({self.key(row) for row in rows}) < len(rows):
            return "duplicate_source_key", {}
        found = Counter(rows_in=len(rows))
        if self.latest:
            kept: dict[tuple[str | None, ...], Row] = {}
            for row in sorted(rows, key=lambda row: int(row["seq"] or 0)):
                kept[self.key(row)] = row
            found["deduplicated"] = len(rows) - len(kept)
            rows = list(kept.values())
        if self.watermark is not None or "incremental_column" in self.options:
            highest = max((int(row["seq"] or 0) for row in rows), default=None)
            self.watermark = max(filter(None, (highest, self.watermark)), default=highest)
        play: dict[str, Callable[[list[Row], Counter[str], bool], None]] = {
            "append": self.append,
            "truncate": self.truncate,
            "merge": self.merge,
            "scd2": self.scd2,
        }
        if self.held and self.held != self.declared:
            self.forget(JOINED[0])
        self.held = list(self.declared)
        play[self.mode](rows, found, rehash)
        self.exists = True
        self.compared_before = sorted(self.compared())
        return "success", {name.removeprefix("rows_"): n for name, n in found.items() if n}

    def forget(self, column: str) -> None:
        """What was left out when the rows were loaded is NULL in them."""
        for version in self.versions:
            version.values[column] = None
        for values, _ in self.merged.values():
            values[column] = None
        self.loaded = [{**row, column: None} for row in self.loaded]

    def read(self, in_full: bool) -> list[Row]:
        if self.watermark is None or in_full:
            return list(self.rows)
        lower = self.watermark - int(self.options.get("lookback", 0))
        return [row for row in self.rows if int(row["seq"] or 0) >= lower]

    def append(self, rows: list[Row], found: Counter[str], _: bool) -> None:
        if "incremental_column" not in self.options:
            self.loaded += [dict(row) for row in rows]
            found["inserted"] = len(rows)
            return
        read: Counter[tuple[object, ...]] = Counter()
        for row in rows:
            identity = self.identity(row)
            read[identity] += 1
            if read[identity] > self.seen[identity]:
                self.loaded.append(dict(row))
                found["inserted"] += 1
            else:
                found["skipped"] += 1
        self.seen |= read

    def truncate(self, rows: list[Row], found: Counter[str], _: bool) -> None:
        self.loaded = rows
        found["inserted"] = len(rows)

    def merge(self, rows: list[Row], found: Counter[str], _: bool) -> None:
        columns = self.compared()
        for row in rows:
            old, deleted = self.merged.get(self.key(row), (None, False))
            if old is None:
                self.merged[self.key(row)] = (dict(row), False)
                found["inserted"] += 1
            elif deleted or differ(columns, old, row):
                self.merged[self.key(row)] = ({**old, **{name: row[name] for name in columns}}, False)
                found["updated"] += 1
            else:
                found["unchanged"] += 1
        for key in set(self.merged) - {self.key(row) for row in rows}:
            values, deleted = self.merged[key]
            if self.deletes == "hard":
                del self.merged[key]
                found["deleted"] += 1
            elif self.deletes == "soft" and not deleted:
                self.merged[key] = (values, True)
                found["deleted"] += 1

    def scd2(self, rows: list[Row], found: Counter[str], rehash: bool) -> None:
        columns = self.compared()
        common = [name for name in columns if not rehash or name in (self.compared_before or [])]
        overwritten = self.options.get("overwrite_columns", [])
        current = {self.key(version.values): version for version in self.versions if version.end is None}
        known = {self.key(version.values) for version in self.versions}
        first = self.options.get("first_valid_from", "run")
        opened = []
        for row in rows:
            version = current.get(self.key(row))
            if version is None:
                begin: str | int = {"run": self.run, "epoch": EPOCH}.get(first, str(row["begins"]))
                opened.append(Version(dict(row), self.run if self.key(row) in known else begin))
                found["inserted"] += 1
            elif differ(common, version.values, row):
                version.end = self.run
                opened.append(Version(dict(row), self.run))
                found["inserted"] += 1
                found["closed_out"] += 1
            elif differ(overwritten, version.values, row):
                version.values = {**version.values, **{name: row[name] for name in overwritten}}
                found["updated"] += 1
            else:
                found["unchanged"] += 1
            if rehash and version is not None and version.end is None:
                joined = [name for name in columns if name not in common]
                if differ(joined, version.values, row):
                    version.values = {**version.values, **{name: row[name] for name in joined}}
        if self.deletes == "soft":
            for key, version in current.items():
                if version.end is None and key not in {self.key(row) for row in rows}:
                    version.end = self.run
                    found["closed_out"] += 1
                    found["deleted"] += 1
        if rehash and self.options["row_hash"] == "emx1":
            found["rehashed"] = sum(version.end is None for version in self.versions)
        self.versions += opened

    # --- what must be there ---------------------------------------------------------------------------------------

    def content(self) -> list[tuple[Any, ...]]:
        match self.mode:
            case "merge":
                rows = [
                    (*self.texts(values), *([deleted] if self.deletes == "soft" else []))
                    for values, deleted in self.merged.values()
                ]
            case "scd2":
                rows = [(*self.texts(each.values), each.begin, each.end, each.end is None) for each in self.versions]
            case _:
                rows = [self.texts(row) for row in self.loaded]
        return sorted(rows, key=repr)

    def texts(self, row: Row) -> tuple[str | None, ...]:
        return tuple(row[name] for name in self.held)


def found_in(history: History, database: Database) -> list[tuple[Any, ...]]:
    """The target's rows; instants of runs as the numbers of the runs that wrote."""
    names = ", ".join(f"{name}::text" for name in history.held)
    if history.mode == "merge":
        flag = ", is_deleted" if history.deletes == "soft" else ""
        return sorted(database.rows(f"SELECT {names}{flag} FROM dw.{history.name}"), key=repr)
    if history.mode != "scd2":
        return sorted(database.rows(f"SELECT {names} FROM dw.{history.name}"), key=repr)
    end = "NULLIF(valid_to, 'infinity')" if history.options.get("open_end") == "infinity" else "valid_to"
    rows = database.rows(f"SELECT {names}, valid_from::text, ({end})::text, is_current FROM dw.{history.name}")
    fixed = {EPOCH, *VALUES["begins"]}
    width = len(history.held)
    instants = sorted({each for row in rows for each in row[width : width + 2] if each is not None} - fixed)
    runs = sorted({each for v in history.versions for each in (v.begin, v.end) if isinstance(each, int)})
    # As many instants as runs that opened or closed something, in their order.
    assert len(instants) == len(runs), (history.name, instants, runs)
    number: dict[Any, Any] = dict(zip(instants, runs, strict=True))
    told = [(*row[:width], *(number.get(each, each) for each in row[width : width + 2]), row[-1]) for row in rows]
    return sorted(told, key=repr)


# --- chance -------------------------------------------------------------------------------------------------------


def history(chance: random.Random, number: int) -> History:
    mode = chance.choice(["scd2", "scd2", "scd2", "merge", "merge", "append", "truncate"])
    keys = chance.choice([["k1"], ["k1", "k2"]])
    options: dict[str, Any] = {"migrate": True}
    source = chance.choice(["unique table", "table", "query"])
    if mode == "append":
        options |= {"loaded_at_column": False, "batch_id_column": False}
        if chance.random() < 0.8:
            options |= {"incremental_column": "seq", "lookback": chance.choice([0, 0, 3])}
            if chance.random() < 0.4:
                options["keys"] = keys
        return History(f"h{number}", mode, keys, options, source, grows=chance.random() < 0.3)
    if mode == "truncate":
        options["replace_method"] = chance.choice(["truncate", "delete"])
        return History(f"h{number}", mode, keys, options, source, grows=chance.random() < 0.3)
    options["keys"] = keys
    if chance.random() < 0.3:
        options |= {"incremental_column": "seq", "lookback": chance.choice([0, 2])}
    elif chance.random() < 0.6:
        options["handle_deletes"] = "soft" if mode == "scd2" else chance.choice(["soft", "hard"])
    if chance.random() < 0.4:
        options |= {"on_duplicate": "latest", "order_by": "seq DESC"}
    if mode == "merge" and chance.random() < 0.3:
        options["update_columns"] = chance.sample(["a", "b", "doc", "f"], 2)
    if mode == "scd2":
        if chance.random() < 0.4:
            options["compare_columns"] = chance.sample(["a", "b", "doc", "f"], 2)
        if chance.random() < 0.4:
            rest = [name for name in ("a", "b", "doc", "f") if name not in options.get("compare_columns", [])]
            options["overwrite_columns"] = chance.sample(rest, chance.choice([1, 2]))
        options["first_valid_from"] = chance.choice(["run", "run", "epoch", "begins"])
        options["open_end"] = chance.choice(["null", "null", "infinity"])
        options["row_hash"] = chance.choice(["emx1", "emx1", "none"])
    return History(f"h{number}", mode, keys, options, source, grows=chance.random() < 0.3)


def change(chance: random.Random, history: History) -> None:
    """The source before the next run: rows come, change, go and come back."""
    highest = max((int(row["seq"] or 0) for row in history.rows), default=0)

    def made(key: tuple[int, int]) -> Row:
        row: Row = {name: chance.choice(values) for name, values in VALUES.items()}
        late = chance.random() < 0.2
        seq = chance.randint(max(0, highest - 4), highest) if late else highest + chance.randint(0, 3)
        return {"k1": str(key[0]), "k2": "pq"[key[1]] + "|", **row, "seq": str(seq)}

    if history.mode == "append":
        fresh = [made((chance.randrange(6), chance.randrange(2))) for _ in range(chance.randint(0, 5))]
        again = chance.sample(history.rows, min(len(history.rows), 1)) if "keys" not in history.options else []
        history.rows += fresh + [dict(row) for row in again]
        if "keys" in history.options or history.source == "unique table":
            # One row a key and value: which of two would be loaded, nobody says.
            history.rows = list({(*history.key(row), row["seq"]): row for row in history.rows}.values())
        return
    kept = [row for row in history.rows if chance.random() > 0.2]
    for row in kept:
        if chance.random() < 0.4:
            column = chance.choice(["a", "b", "doc", "f", "g", "begins"])
            row[column] = chance.choice(VALUES[column])
            row["seq"] = str(highest + chance.randint(0, 2)) if chance.random() < 0.7 else row["seq"]
    kept += [made((chance.randrange(6), chance.randrange(2))) for _ in range(chance.randint(0, 4))]
    if chance.random() < 0.05:
        kept = []
    if history.latest:
        # One row of a key and value: which of two is the latest, nobody says.
        kept = list({(*history.key(row), row["seq"]): row for row in kept}.values())
    if (not history.latest and chance.random() < 0.95) or history.source == "unique table":
        kept = list({history.key(row): row for row in kept}.values())
    history.rows = kept


def write(histories: list[History], database: Database) -> None:
    names = [*TYPES, JOINED[0]]
    with database.shared.pipeline(), database.shared.cursor() as cursor:
        for each in histories:
            cursor.execute(f"TRUNCATE app.{each.name}")
            for row in each.rows:
                cursor.execute(
                    f"INSERT INTO app.{each.name} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
                    [row[name] for name in names],
                )


def project_of(histories: list[History], project: Project | None = None) -> Project:
    project = project or Project()
    for each in histories:
        declared = {name: {**TYPES, JOINED[0]: JOINED[1]}[name] for name in each.declared}
        project.table(each.name, declared, schema="dw")
        source = f"SELECT * FROM app.{each.name} WHERE k1 >= 0" if each.source == "query" else f"app.{each.name}"
        project.pipeline(each.name, source, each.name, each.mode, **each.options)
    return project


def created(histories: list[History]) -> Iterator[str]:
    yield "CREATE SCHEMA app"
    for each in histories:
        key = [*each.keys, "seq"] if each.mode == "append" else each.keys
        unique = f", PRIMARY KEY ({', '.join(key)})" if each.source == "unique table" and not each.latest else ""
        yield (
            f"CREATE TABLE app.{each.name} (k1 integer, k2 text, a text, b numeric, doc jsonb, f double precision,"
            f" seq integer, begins timestamptz, g integer{unique})"
        )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
def test_random_histories_are_as_the_model_says(seed: int, database: Database, flow: Flow) -> None:
    chance = random.Random(seed)
    histories = [history(chance, number) for number in range(HISTORIES)]
    database.execute(";".join(created(histories)))
    database.execute("SET TimeZone = 'UTC'")
    for run in range(1, RUNS + 1):
        expected = {}
        for each in histories:
            each.run = run
            # Now and then nothing changes, and the run must find nothing.
            if chance.random() > 0.15:
                change(chance, each)
        write(histories, database)
        for each in histories:
            expected[each.name] = each.expected()
        reports = project_of(histories).run(flow, expect=None)
        for each in histories:
            report = reports[each.name]
            outcome = "success" if report["status"] == "success" else report["error"]["code"]
            told = (outcome, counts(report) if outcome == "success" else {})
            assert told == expected[each.name], (seed, run, each)
            if each.exists:
                assert found_in(each, database) == each.content(), (seed, run, each)
            elif outcome != "success":
                assert database.value(f"SELECT to_regclass('dw.{each.name}') IS NULL")
    standing = [each.name for each in histories if each.exists and each.mode in ("merge", "scd2")]
    assert flow("check", *standing, "--output", "json").json()["violations"] == []
