"""Loads of a history by event time beside the best SQL by hand: the first one, events in order, and with some late.

`run.py events` calls it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent
PROJECT = """
[connections.default]
dsn = "{dsn}"
[defaults]
mode = "scd2"
keys = "k"
event_timestamp_column = "at"
[tables.h]
schema = "bench"
columns = {{ k = "bigint", at = "timestamptz", price = "numeric(10,2)?", label = "text?" }}
[pipelines.before]
source = {{ table = "raw.events_before" }}
target = "h"
[pipelines.events]
source = {{ table = "raw.events" }}
target = "h"
"""
SAME = "SELECT count(*), md5(string_agg(h::text, ';' ORDER BY h)) FROM (SELECT k, at, price, valid_to, is_current FROM {}) h"


def measure(dsn: str, binary: Path, rows: int, rounds: int, compare: Callable[..., None]) -> None:
    """Both write their own table, each into a copy of what the first load has made."""

    def psql(path: Path, **variables: object) -> float:
        said = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", dsn, *said, "-f", str(path)]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    def execute(*statements: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pipelines.toml").write_text(PROJECT.format(dsn=dsn), encoding="utf-8")

        def flow(pipeline: str) -> float:
            started = time.perf_counter()
            subprocess.run([str(binary), "run", pipeline, "--quiet"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
            return time.perf_counter() - started

        def forget() -> None:
            execute("DROP TABLE IF EXISTS bench.h, bench.h_superseded, fl.h CASCADE", "CHECKPOINT")

        def again(first: Callable[[], float]) -> Callable[[], None]:
            def prepare() -> None:
                forget()
                first()
                execute("VACUUM ANALYZE", "CHECKPOINT")

            return prepare

        floor = HERE / "floor"
        by_hand = lambda: psql(floor / "events_init.sql")
        psql(HERE / "gen_events.sql", n=rows, late=0)
        players = {"floor": (forget, by_hand), "flow": (forget, lambda: flow("before"))}
        compare("events: first load", rounds, players)
        for late in (0, 1):
            psql(HERE / "gen_events.sql", n=rows, late=late)
            players = {
                "floor": (again(by_hand), lambda: psql(floor / "events_run.sql")),
                "flow": (again(lambda: flow("before")), lambda: flow("events")),
            }
            compare(f"events: {late} % late", rounds, players)
        # The same table.
        forget()
        by_hand()
        psql(floor / "events_run.sql")
        flow("before")
        flow("events")
        with psycopg.connect(dsn) as connection:
            [ours, theirs] = [connection.execute(SAME.format(table)).fetchone() for table in ("bench.h", "fl.h")]
        if ours != theirs:
            raise SystemExit(f"the tables differ: {ours} and {theirs}")
