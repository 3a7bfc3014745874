"""A week of a server's clock in a minute: contenders that are killed at random serve its slots, each exactly once, or
recorded as skipped by its policy.

The server's clock is a file that moves by steps, so that leases run out in the middle of loads, and slots pass while
nobody looks. The contenders know nothing of it: what is due is judged by the target's clock alone.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pytest
import server
from flow_binary import Flow

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")
START = datetime(2026, 3, 27)  # the clocks of Europe change on the 29th
CONTENDERS = 16

PIPELINE = """
[pipelines.{name}]
source = {{ query = "SELECT :slot_start AS begins, :slot_end AS ends" }}
target = "public.{name}"
mode = "append"
loaded_at_column = false
batch_id_column = false
retries = 1000
lease = "20m"
"""

PROJECT = (
    PIPELINE.format(name="every_one")
    + 'schedule = "0 * * * *"\ncatchup = "all"\noverlap = "queue"\n'
    + PIPELINE.format(name="the_latest")
    + 'schedule = "*/30 * * * *"\ntimezone = "Europe/Paris"\n'
    + PIPELINE.format(name="in_time")
    + 'schedule = "0 */2 * * *"\ncatchup = "none"\nmisfire_grace = "30m"\n'
)


@dataclass
class Clock:
    """The server's clock."""

    file: Path
    now: datetime = START

    def move(self, length: timedelta) -> None:
        self.now += length
        new = self.file.with_name("next")
        new.write_text(f"{self.now:%Y-%m-%d %H:%M:%S}\n")
        new.replace(self.file)


@dataclass
class Simulation:
    flow: Flow
    dsn: str
    clock: Clock
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    calls: int = 0
    kills: int = 0

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query).fetchall()

    def contend(self, until: datetime, chance: random.Random) -> None:
        """Contenders call run-due, one after the other of them is killed or stopped for a while, and the clock moves."""
        stopped: list[tuple[float, subprocess.Popen[bytes]]] = []
        while self.clock.now < until:
            self.running = [process for process in self.running if process.poll() is None]
            if len(self.running) < CONTENDERS:
                self.calls += 1
                self.running.append(self.start())
            fate = chance.random()
            victim = chance.choice(self.running)
            if fate < 0.05:
                self.kills += 1
                victim.kill()
            elif fate < 0.07:
                victim.send_signal(signal.SIGSTOP)
                stopped.append((time.monotonic() + chance.random() * 2, victim))
            for wake, process in [each for each in stopped if each[0] < time.monotonic()]:
                process.send_signal(signal.SIGCONT)
                stopped.remove((wake, process))
            self.clock.move(timedelta(seconds=chance.choice([20, 60, 120, 300, 300, 900])))
            time.sleep(0.02)
        for _, process in stopped:
            process.send_signal(signal.SIGCONT)
        for process in self.running:
            process.wait(60)

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.flow.binary, "run-due", "-q"],
            cwd=self.flow.directory,
            env=self.flow.environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def settle(self) -> None:
        """Calls it until nothing is open any more; what died has a lease that must run out first."""
        for _ in range(50):
            self.flow("run-due", "-q", expect={0, 1, 5})
            if not self.rows("SELECT 1 FROM ematix_flow.slots WHERE status IN ('due', 'running') LIMIT 1"):
                return
            self.clock.move(timedelta(minutes=2))
        raise AssertionError(self.rows("SELECT * FROM ematix_flow.slots WHERE status IN ('due', 'running')"))


@pytest.fixture
def simulation(flow: Flow, tmp_path: Path) -> Iterator[Simulation]:
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])]
    if not found:
        pytest.fail("libfaketime is not installed: apt-get install faketime")
    directory = server.new_directory()
    directory.chmod(0o755)
    file = directory / "clock"
    clock = Clock(file)
    clock.move(timedelta(0))
    file.chmod(0o644)
    moved = {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    place = directory / "server"
    try:
        with mock.patch.dict(server.CLEAN_ENVIRONMENT, moved):
            dsn = server.start(place)
        flow.variables["EMATIX_FLOW_DSN"] = dsn
        yield Simulation(flow, dsn, clock)
    finally:
        server.stop(place)
        file.unlink()
        directory.rmdir()


@pytest.mark.long
@pytest.mark.parametrize("days", [1, pytest.param(7, marks=pytest.mark.slow)])
def test_every_slot_is_served_once_or_skipped_by_its_policy(simulation: Simulation, days: int) -> None:
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"SEED={seed}")
    flow, chance = simulation.flow, random.Random(seed)
    flow.project(PROJECT)
    flow("run-due")  # first seen at midnight: its first slot is due as crontab would have fired it
    began = time.monotonic()
    simulation.contend(START + timedelta(days=days), chance)
    simulation.settle()
    print(f"{simulation.calls} calls, {simulation.kills} kills, {time.monotonic() - began:.0f} s")
    end = f"TIMESTAMPTZ '{simulation.clock.now:%Y-%m-%d %H:%M:%S}Z'"

    # A run for each slot, in their order.
    each = simulation.rows("SELECT begins, ends FROM public.every_one ORDER BY ends")
    assert len(each) == len(set(each))
    assert [(after - before).total_seconds() for (_, before), (_, after) in pairwise(each)] == [3600.0] * (
        len(each) - 1
    )
    assert all(begins == ends - timedelta(hours=1) for begins, ends in each)
    assert len(each) >= days * 24
    assert simulation.rows(f"SELECT max(ends) > {end} - interval '1 h' FROM public.every_one") == [(True,)]

    # One run for all that was missed: the times that the runs stand for follow each other without a gap.
    latest = simulation.rows("SELECT begins, ends FROM public.the_latest ORDER BY ends")
    gaps = [(before, after) for before, after in pairwise(latest) if before[1] != after[0]]
    if gaps:
        for row in simulation.rows(
            "SELECT slot::text, status, attempt, covers_from::text, missed, reason FROM ematix_flow.slots WHERE pipeline = 'the_latest' ORDER BY slot"
        ):
            print(row)
        for row in simulation.rows(
            "SELECT slot::text, status, attempt, started_at::text, error_code, lease_until::text FROM ematix_flow.run_history WHERE pipeline_name = 'the_latest' ORDER BY started_at"
        ):
            print(row)
    assert gaps == []
    newest = "SELECT max(slot) FROM ematix_flow.slots WHERE pipeline = 'the_latest'"
    assert simulation.rows(f"SELECT ({newest}) > {end} - interval '30 min'") == [(True,)]

    # What came too late was recorded.
    slots = simulation.rows(
        "SELECT status, count(*), sum(missed)::int FROM ematix_flow.slots WHERE pipeline = 'in_time' GROUP BY status"
    )
    served = {status: count for status, count, _ in slots}
    assert served["success"] == simulation.rows("SELECT count(DISTINCT ends) FROM public.in_time")[0][0]
    assert served["success"] == simulation.rows("SELECT count(*) FROM public.in_time")[0][0]
    assert set(served) <= {"success", "skipped"}
    ((last,),) = simulation.rows("SELECT max(slot) FROM ematix_flow.slots WHERE pipeline = 'in_time'")
    passed = (last.replace(tzinfo=None) - START).total_seconds() / 7200 + 1
    assert sum(count + missed for _, count, missed in slots) == passed

    # No slot's run is told as a success that was not, and nothing is left running.
    lies = simulation.rows(
        "SELECT s.pipeline, s.slot FROM ematix_flow.slots AS s WHERE s.status = 'success' AND"
        " (SELECT count(*) FROM ematix_flow.run_history AS r WHERE r.pipeline_name = s.pipeline AND r.slot = s.slot"
        "   AND r.status = 'success' AND r.committed) <> 1"
    )
    assert lies == []
    assert simulation.rows("SELECT count(*) FROM ematix_flow.run_history WHERE status = 'running'") == [(0,)]
    assert simulation.kills > 0
