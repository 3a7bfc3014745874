"""An hour of `flow daemon` with a hundred pipelines a minute: neither memory nor files nor sessions grow.

./do soak tests/python/test_daemon_hour.py
EMATIX_FLOW_MINUTES=3 ./do soak tests/python/test_daemon_hour.py
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from customers import sessions
from database import Database
from flow_binary import Flow

MINUTES = int(os.environ.get("EMATIX_FLOW_MINUTES", "60"))
JOBS = 4
PIPELINES = 100

SOURCE = """
CREATE SCHEMA app;
CREATE SCHEMA dim;
CREATE TABLE app.t AS SELECT n AS id, 'n' || n AS name, clock_timestamp() AS at FROM generate_series(1, 100) AS n;
"""

CHANGE = """
UPDATE app.t SET name = name || 'x' WHERE id = 1 + extract(epoch FROM now())::int % 100;
INSERT INTO app.t SELECT max(id) + 1, 'new', clock_timestamp() FROM app.t;
"""

MODES = {"merge": 'keys = "id"', "scd2": 'keys = "id"', "truncate": "", "append": 'incremental_column = "at"'}


class Sample(NamedTuple):
    """What the daemon holds at one moment."""

    kilobytes: int
    files: int
    threads: int
    sessions: int


def sample(process: int, database: Database) -> Sample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    files = len(os.listdir(f"/proc/{process}/fd"))
    kilobytes, threads = (int(status[name].split()[0]) for name in ("VmRSS", "Threads"))
    return Sample(kilobytes, files, threads, len(sessions(database)))


@pytest.mark.slow
def test_an_hour_of_a_hundred_pipelines_a_minute(flow: Flow, database: Database) -> None:
    database.execute(SOURCE)
    names = list(MODES)
    flow.project(
        '[defaults]\nschedule = "* * * * *"\n'
        + "".join(
            f'[pipelines.p{n}]\nsource = {{ table = "app.t" }}\ntarget = "dim.t{n}"\n'
            f'mode = "{names[n % 4]}"\n{MODES[names[n % 4]]}\n'
            for n in range(PIPELINES)
        )
    )
    # Of runs that succeed it says nothing, so no pipe fills.
    running = flow.start("daemon", "--listen", "off", "--jobs", str(JOBS), "-q")
    samples: list[Sample] = []
    end = time.monotonic() + 60 * MINUTES
    while time.monotonic() < end:
        database.execute(CHANGE)
        time.sleep(20)
        samples.append(sample(running.pid, database))
    running.terminate()
    assert running.process.wait(60) == 0
    settled, last = samples[len(samples) // 4], samples[-1]
    assert last.kilobytes < 1.1 * settled.kilobytes, samples
    assert max(each.sessions for each in samples) <= 3 * JOBS
    assert (last.files, last.threads) == (settled.files, settled.threads), samples
    ended = dict(database.rows("SELECT status, count(*) FROM ematix_flow.run_history GROUP BY 1"))
    assert set(ended) == {"success"} and ended["success"] >= PIPELINES * (MINUTES - 1)
    slots = database.rows("SELECT count(*), count(DISTINCT (pipeline_name, slot)) FROM ematix_flow.run_history")
    assert slots == [(ended["success"], ended["success"])]
