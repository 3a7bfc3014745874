"""The comparison in the client gives what staging gives: same tables, counts, refusals and words, whatever the source
does; and what others do to the target meanwhile is never overwritten in silence.

EMATIX_FLOW_TEST_SEED moves the seeds on.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import counts

SEED = int(os.environ.get("EMATIX_FLOW_TEST_SEED", "0"))
SEEDS, HISTORIES, RUNS = 3, 18, 5

Key = tuple[str | None, ...]

# Declared types of the keys, the source's where they are others, and values; some are one key in several spellings.
SHAPES: dict[str, tuple[list[str], list[str], list[Key]]] = {
    "bigint": (["bigint"], ["bigint"], [(str(n),) for n in range(-3, 6)]),
    "widened": (["bigint"], ["smallint"], [(str(n),) for n in (0, 1, 2, 32767, -32768)]),
    "text": (["text"], ["text"], [(v,) for v in ("", " ", "a", "a ", "A", "é", "e\u0301", "a|b", "NULL", "\\N")]),
    "varchar": (["text"], ["varchar(5)"], [(v,) for v in ("", "a", "b", "ab", "a b")]),
    "text_date": (
        ["text", "date"],
        ["text", "date"],
        [(v, d) for v in ("", "a", "a\t") for d in ("2024-02-29", "infinity", "0044-03-15 BC")],
    ),
    "uuid": (["uuid"], ["uuid"], [(f"00000000-0000-0000-0000-{n:012x}",) for n in range(6)]),
    "numeric": (
        ["numeric"],
        ["numeric"],
        [(v,) for v in ("1", "1.0", "1.00", "10", "0", "0.00", "-1.5", "-1.50", "NaN", "1e20", "12345.678900")],
    ),
    "scaled": (["numeric(8,2)"], ["numeric(8,2)"], [(v,) for v in ("1", "1.00", "2.50", "2.5", "-0.01")]),
    "char": (["char(4)"], ["char(4)"], [(v,) for v in ("", "a", "a ", "ab", "abcd", "é")]),
    "double": (["double"], ["double precision"], [(v,) for v in ("0", "-0", "NaN", "1.5", "1e300", "Infinity")]),
    "instants": (
        ["timestamptz", "boolean"],
        ["timestamptz", "boolean"],
        [(v, b) for v in ("2024-03-31 01:00:00.000001+00", "-infinity") for b in ("true", "false")],
    ),
    "bytes": (["bytes"], ["bytea"], [(v,) for v in ("\\x", "\\x00", "\\xff00", "\\x00ff")]),
    # Enough of them for the guard on deletes.
    "many": (["integer"], ["integer"], [(str(n),) for n in range(60)]),
}
VALUES: dict[str, tuple[str, str, list[str | None]]] = {
    "a": ("text?", "text", [None, "", "NULL", "x", "x|y"]),
    "n": ("numeric?", "numeric", [None, "1", "1.0", "2"]),
    "j": ("jsonb?", "jsonb", [None, "1", "1.0", '{"a": 1}']),
    "f": ("double?", "double precision", [None, "0", "-0", "NaN"]),
    "c": ("char(3)?", "char(3)", [None, "", "x", "x "]),
    "begins": ("timestamptz?", "timestamptz", ["2020-01-01 00:00:00+00", "2021-06-01 12:00:00.5+00"]),
}
EPOCH = "1970-01-01 00:00:00+00"


@dataclass
class History:
    """One source that two pipelines read: `…_diff` compares in the client, `…_stage` stages."""

    name: str
    shape: str
    options: dict[str, Any]
    forced: bool
    rows: list[dict[str, str | None]] = field(default_factory=list)
    exists: bool = False

    @property
    def keys(self) -> list[str]:
        return [f"k{n}" for n in range(len(SHAPES[self.shape][0]))]


def history(chance: random.Random, number: int, shape: str) -> History:
    options: dict[str, Any] = {"handle_deletes": chance.choice(["ignore", "soft", "soft"])}
    if options["handle_deletes"] == "soft":
        options["max_delete_fraction"] = chance.choice([0.5, 0.2, 1.0])
    if chance.random() < 0.5:
        options["on_empty_source"] = chance.choice(["error", "ignore"])
    options["first_valid_from"] = chance.choice(["run", "epoch", "begins"])
    options["open_end"] = chance.choice(["null", "infinity"])
    if chance.random() < 0.5:
        options["compare_columns"] = chance.sample(["a", "n", "j", "f", "c"], chance.choice([1, 3]))
    return History(f"h{number}", shape, options, forced=chance.random() < 0.5)


def change(chance: random.Random, history: History) -> None:
    """Rows come, change, go back to what they were, go, and come back; now and then the source is not as it should be."""
    keys = SHAPES[history.shape][2]
    kept = [dict(row) for row in history.rows if chance.random() > 0.12]
    for row in kept:
        if chance.random() < 0.4:
            column = chance.choice(list(VALUES))
            row[column] = chance.choice(VALUES[column][2])
    for _ in range(chance.randint(0, len(keys))):
        key = dict(zip(history.keys, chance.choice(keys), strict=True))
        kept.append({**key, **{name: chance.choice(values) for name, (_, _, values) in VALUES.items()}})
    happens = chance.random()
    if happens < 0.06:
        kept = []
    elif happens < 0.15:
        kept = kept[: len(kept) // 3]
    elif happens < 0.22 and kept:
        chance.choice(kept)[chance.choice(history.keys)] = None
    elif happens < 0.26 and kept:
        chance.choice(kept)["begins"] = chance.choice([None, "2999-01-01 00:00:00+00"])
    history.rows = kept
    if not 0.22 <= happens < 0.36:
        return
    # Else keys may come twice.
    chance.shuffle(history.rows)


def write(histories: list[History], distinct: set[str], source: Database) -> None:
    """The source's rows; a key that came twice is there once, but where the source is to be wrong."""
    with source.shared.pipeline(), source.shared.cursor() as cursor:
        for each in histories:
            cursor.execute(f"TRUNCATE app.{each.name}")
            columns = [*each.keys, *VALUES]
            for row in each.rows:
                cursor.execute(
                    f"INSERT INTO app.{each.name} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
                    [row[name] for name in columns],
                )
            if each.name in distinct:
                same = " AND ".join(f"d.{key} = s.{key}" for key in each.keys)
                cursor.execute(
                    f"DELETE FROM app.{each.name} AS s USING app.{each.name} AS d WHERE {same} AND d.place < s.place"
                )


def created(histories: list[History]) -> str:
    statements = ["CREATE SCHEMA app"]
    for each in histories:
        keys = [f"{name} {of}" for name, of in zip(each.keys, SHAPES[each.shape][1], strict=True)]
        values = [f"{name} {of}" for name, (_, of, _) in VALUES.items()]
        place = "place integer GENERATED ALWAYS AS IDENTITY"
        statements.append(f"CREATE TABLE app.{each.name} ({', '.join([*keys, *values, place])})")
    return ";".join(statements)


def project_of(histories: list[History]) -> Across:
    project = Across()
    for each in histories:
        declared = dict(zip(each.keys, SHAPES[each.shape][0], strict=True))
        declared |= {name: of for name, (of, _, _) in VALUES.items()}
        for path in ("diff", "stage"):
            name = f"{each.name}_{path}"
            project.table(name, declared, schema="dw")
            options = {**each.options, "keys": each.keys}
            if path == "stage":
                options["force_path"] = "staging"
            elif each.forced and each.exists:
                options["force_path"] = "client_diff"
            project.pipeline(name, f"app.{each.name}", name, "scd2", **options)
    return project


def versions(history: History, path: str, target: Database) -> list[tuple[Any, ...]]:
    """The table, instants of runs as their numbers among those of the table."""
    begin, end = (f"NULLIF(t.{name}, 'infinity')::text" for name in ("valid_from", "valid_to"))
    columns = ", ".join(f"t.{name}::text" for name in [*history.keys, *VALUES])
    rows = target.rows(
        f"SELECT {columns}, encode(t.row_hash, 'hex'), t.is_current, t.valid_to = 'infinity', {begin}, {end}"
        f" FROM dw.{history.name}_{path} AS t"
    )
    fixed = {None, EPOCH, *VALUES["begins"][2]}
    instants = sorted({each for row in rows for each in row[-2:]} - fixed)
    number = {each: str(n) for n, each in enumerate(instants)}
    return sorted((tuple(number.get(each, each) for each in row) for row in rows), key=repr)


def told(history: History, report: dict[str, Any]) -> dict[str, Any]:
    """What a report says, but for the names of the pipeline and its table."""
    error = report["error"] and {
        name: report["error"][name] for name in ("code", "message", "hint", "sqlstate", "context")
    }
    said = json.dumps({"status": report["status"], "counts": counts(report), "error": error}, sort_keys=True)
    words = json.loads(said.replace(f"{history.name}_stage", f"{history.name}_diff"))
    if error and error["code"] == "duplicate_source_key" and history.shape in ("numeric", "double"):
        # Which spelling of a key stands for it, nobody says.
        words["error"]["message"] = words["error"]["message"].splitlines()[0]
        words["error"]["context"]["keys"] = sorted(spelled(each["k0"]) for each in words["error"]["context"]["keys"])
    return words


def spelled(number: str) -> str:
    return "NaN" if number == "NaN" else str(float(number) + 0.0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
def test_random_histories_are_the_same_by_both_paths(
    seed: int, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    chance = random.Random(seed)
    source = new_database()
    connect(flow, source, database)
    shapes = list(SHAPES)
    histories = [history(chance, n, shapes[(n + seed) % len(shapes)]) for n in range(HISTORIES)]
    source.execute(created(histories))
    database.execute("SET TimeZone = 'UTC'")
    for run in range(RUNS):
        distinct = set()
        for each in histories:
            if chance.random() > 0.1:
                change(chance, each)
            if chance.random() > 0.1:
                distinct.add(each.name)
        write(histories, distinct, source)
        reports = project_of(histories).run(flow, expect=None)
        for each in histories:
            diff, stage = (reports[f"{each.name}_{path}"] for path in ("diff", "stage"))
            assert told(each, diff) == told(each, stage), (seed, run, each)
            assert stage["path"] == "staging"
            if each.exists:
                assert diff["path"] == "client_diff", diff["path_reason"]
            each.exists = each.exists or diff["status"] == "success"
            if each.exists:
                assert versions(each, "diff", database) == versions(each, "stage", database), (seed, run, each)
    standing = [f"{each.name}_{path}" for each in histories if each.exists for path in ("diff", "stage")]
    assert flow("check", *standing, "--output", "json").json()["violations"] == []
