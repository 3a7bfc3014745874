"""Eight processes, two daemons and whoever calls run-due, on targets that pipelines share, some of them killed: what the
history says at the end is what happened.

Whoever runs by hand, whoever serves slots and whoever is killed are drawn by a seed, which is printed.

SEED=7 ./do soak tests/python/test_all_at_once.py
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from customers import wait_until, wait_until_nothing_is_left
from database import Database
from flow_binary import Flow, Running

SOURCE = """
CREATE SCHEMA app;
CREATE SCHEMA dw;
CREATE TABLE app.customers (id bigint PRIMARY KEY, revision bigint NOT NULL);
INSERT INTO app.customers SELECT n, 0 FROM generate_series(1, 20) AS n;
CREATE TABLE app.sales (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
INSERT INTO app.sales SELECT FROM generate_series(1, 20);
CREATE TABLE dw.sold (origin text, id bigint);
"""

# Two histories that are one table, two appends into one table, a merge; and slots, each of which stands for its time.
PROJECT = """
[defaults]
lease = "2s"
retries = 1000

[pipelines.customers]
source = { table = "app.customers" }
target = "dw.customers"
mode = "scd2"
keys = "id"

[pipelines.customers_again]
source = { query = "SELECT id, revision FROM app.customers" }
target = "dw.customers"
mode = "scd2"
keys = "id"

[pipelines.even]
source = { query = "SELECT 'even' AS origin, id FROM app.sales WHERE id % 2 = 0" }
target = "dw.sold"
mode = "append"
incremental_column = "id"
lookback = 30
loaded_at_column = false
batch_id_column = false

[pipelines.odd]
source = { query = "SELECT 'odd' AS origin, id FROM app.sales WHERE id % 2 = 1" }
target = "dw.sold"
mode = "append"
incremental_column = "id"
lookback = 30
loaded_at_column = false
batch_id_column = false

[pipelines.newest]
source = { table = "app.sales" }
target = "dw.newest"
mode = "merge"
keys = "id"
incremental_column = "id"
lookback = 30

[pipelines.each]
source = { query = "SELECT :slot_start AS begins, :slot_end AS ends" }
target = "dw.each"
mode = "append"
loaded_at_column = false
batch_id_column = false
every = "2s"
first_run = "now"
catchup = "all"
overlap = "queue"

[pipelines.latest]
source = { query = "SELECT :slot_start AS begins, :slot_end AS ends" }
target = "dw.latest"
mode = "append"
loaded_at_column = false
batch_id_column = false
every = "1s"
first_run = "now"
"""

BY_HAND = ["customers", "customers_again", "even", "odd", "newest"]
PROCESSES = 8


@contextmanager
def a_source_that_changes(database: Database) -> Iterator[None]:
    stop = threading.Event()

    def change() -> None:
        with database.connect() as connection:
            turn = 0
            while not stop.wait(0.02):
                turn += 1
                connection.execute(
                    "UPDATE app.customers SET revision = revision + 1 WHERE id IN (%s, %s)",
                    [turn % 20 + 1, turn * 7 % 20 + 1],
                )
                connection.execute("INSERT INTO app.sales DEFAULT VALUES")

    writer = threading.Thread(target=change)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


class Crowd:
    """Who runs at the moment."""

    def __init__(self, flow: Flow, chance: random.Random) -> None:
        self.flow, self.chance = flow, chance
        self.running: list[Running] = []
        self.daemons = [self.daemon() for _ in range(2)]
        self.ended: Counter[int] = Counter()
        self.begun = self.kills = 0

    def daemon(self) -> Running:
        return self.flow.start("daemon", "--listen", "off", "--jobs", "2", "-q")

    def one_more(self) -> Running:
        if self.chance.random() < 0.2:
            return self.flow.start("run-due", "-q")
        return self.flow.start("run", self.chance.choice(BY_HAND), "-q")

    def turn(self) -> None:
        ended = [each for each in self.running if each.process.poll() is not None]
        self.running = [each for each in self.running if each not in ended]
        self.ended.update(each.finish(None).code for each in ended)
        while len(self.running) < PROCESSES:
            self.begun += 1
            self.running.append(self.one_more())
        fate = self.chance.random()
        if fate < 0.15:
            self.kills += 1
            self.chance.choice(self.running).kill()
        elif fate < 0.16:
            self.kills += 1
            place = self.chance.randrange(2)
            self.daemons[place].kill()
            self.daemons[place].finish(None)
            self.daemons[place] = self.daemon()
        time.sleep(0.05)

    def end(self) -> None:
        for each in self.running:
            self.ended[each.finish(None).code] += 1
        for each in self.daemons:
            each.terminate()
            each.finish(0)


def settle(flow: Flow, database: Database) -> None:
    """Leases of the killed run out, what waits is served, and everything is loaded once more."""
    silent = "SELECT FROM ematix_flow.run_history WHERE status = 'running' AND lease_until >= clock_timestamp()"
    wait_until(lambda: not database.rows(silent), "the leases of the killed have run out")

    def nothing_is_open() -> bool:
        flow("run-due", "-q", expect={0, 1, 5})
        return not database.rows(
            "SELECT FROM ematix_flow.slots WHERE status = 'running' OR (status = 'due' AND due_at <= now() - interval '1 min')"
            " OR (status = 'due' AND slot < now() - interval '3 s')"
        )

    wait_until(nothing_is_open, "every slot was served", 60)
    for name in BY_HAND:
        flow("run", name, "-q")


def wrong(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What no history may show; empty lists where all is well."""
    rows = database.rows
    ranges = (
        "SELECT ends, next FROM (SELECT ends, lead(begins) OVER (ORDER BY ends) AS next FROM dw.{}) AS r"
        " WHERE next IS DISTINCT FROM ends AND next IS NOT NULL"
    )
    return {
        "open runs": rows("SELECT pipeline_name FROM ematix_flow.run_history WHERE status = 'running'"),
        "statuses": rows(
            "SELECT DISTINCT status FROM ematix_flow.run_history WHERE status NOT IN ('success', 'lost', 'skipped', 'locked')"
        ),
        "successes that do not stand": rows(
            "SELECT run_id FROM ematix_flow.run_history WHERE (status = 'success') <> committed"
        ),
        "numbers of a target with gaps, or given twice": rows(
            "SELECT target, count(*), count(DISTINCT run_number), max(run_number) FROM ematix_flow.run_history"
            " WHERE status = 'success' GROUP BY target HAVING count(*) <> max(run_number)"
            " OR count(DISTINCT run_number) <> max(run_number)"
        ),
        "runs that committed in another order than their numbers": rows(
            "SELECT target, run_number FROM (SELECT target, run_number, instant, lead(instant) OVER"
            " (PARTITION BY target ORDER BY run_number) AS next FROM ematix_flow.run_history WHERE status = 'success')"
            " AS r WHERE next < instant"
        ),
        "watermarks that went back": rows(
            "SELECT pipeline_name, run_number FROM (SELECT *, lag(watermark_after) OVER (PARTITION BY pipeline_name"
            " ORDER BY run_number) AS last FROM ematix_flow.run_history WHERE status = 'success'"
            " AND watermark_after IS NOT NULL) AS r WHERE watermark_before IS DISTINCT FROM last"
            " OR watermark_after::bigint < watermark_before::bigint"
        ),
        "several current versions": rows("SELECT id FROM dw.customers WHERE is_current GROUP BY 1 HAVING count(*) > 1"),
        "versions that overlap, leave a gap or come from an older reading": rows(
            "SELECT id, revision, next FROM (SELECT id, revision, valid_to, lead(revision) OVER w AS next,"
            " lead(valid_from) OVER w AS begins FROM dw.customers WINDOW w AS (PARTITION BY id ORDER BY valid_from))"
            " AS v WHERE next <= revision OR begins IS DISTINCT FROM valid_to"
        ),
        "customers unlike the source": rows(
            "SELECT * FROM (SELECT id, revision FROM dw.customers WHERE is_current) AS t FULL JOIN app.customers AS s"
            " USING (id, revision) WHERE t IS NULL OR s IS NULL"
        ),
        "sales lost or doubled": rows(
            "SELECT id, count(t.id) FROM app.sales LEFT JOIN dw.sold AS t USING (id) GROUP BY id HAVING count(t.id) <> 1"
        ),
        "sales unlike the newest": rows("SELECT id, at FROM app.sales EXCEPT SELECT id, at FROM dw.newest"),
        "slots served otherwise than once": rows(
            "SELECT s.pipeline, s.slot FROM ematix_flow.slots AS s WHERE (SELECT count(*) FROM ematix_flow.run_history AS r"
            " WHERE r.pipeline_name = s.pipeline AND r.slot = s.slot AND r.status = 'success')"
            " <> (CASE WHEN s.status = 'success' THEN 1 ELSE 0 END)"
        ),
        "slots that failed or were lost": rows(
            "SELECT pipeline, slot, status, reason FROM ematix_flow.slots WHERE status NOT IN ('success', 'skipped', 'due')"
            " OR (status = 'skipped' AND pipeline = 'each')"
        ),
        "times of slots that overlap or leave a gap, each its own": rows(ranges.format("each")),
        "times of slots that overlap or leave a gap, the latest": rows(ranges.format("latest")),
    }


def check(database: Database, flow: Flow, runs: int) -> None:
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"SEED={seed}")
    database.execute(SOURCE)
    flow.project(PROJECT)
    # First runs that race have a test of their own.
    for name in BY_HAND:
        flow("run", name, "-q")
    crowd = Crowd(flow, random.Random(seed))
    with a_source_that_changes(database):
        while crowd.begun < runs:
            crowd.turn()
        crowd.end()
    print(f"{crowd.begun} processes, {crowd.kills} kills, ended {dict(crowd.ended)}")
    settle(flow, database)
    found = {what: rows for what, rows in wrong(database).items() if rows}
    assert found == {}
    assert set(crowd.ended) <= {0, 5, -signal.SIGKILL}, crowd.ended
    assert crowd.kills > 0 and database.value("SELECT count(*) FROM ematix_flow.run_history WHERE status = 'lost'") > 0
    wait_until_nothing_is_left(database)


@pytest.mark.long
def test_whoever_runs_at_once_and_whoever_is_killed_the_history_is_what_happened(
    database: Database, flow: Flow
) -> None:
    check(database, flow, 60)


@pytest.mark.slow
def test_five_hundred_runs_at_once_with_kills_are_what_the_history_says(database: Database, flow: Flow) -> None:
    check(database, flow, 600)
