"""`flow daemon`: serves slots as they come, by the claims of run-due; tells whoever watches; ends when it is told to."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from database import Database
from flow_binary import Flow, Running

pytestmark = pytest.mark.clock

PIPELINE = """
[pipelines.{name}]
source = {{ query = "SELECT '{name}' AS name, :scheduled_for AS at" }}
target = "public.{name}"
mode = "append"
every = "{every}"
first_run = "now"
"""

SLOW = PIPELINE.replace(":scheduled_for AS at", "pg_sleep({seconds})::text AS nothing")


class Daemon:
    """A daemon that runs, with what it has said so far and the place where it answers."""

    def __init__(self, flow: Flow, *arguments: str, listen: str = "127.0.0.1:0", **env: str) -> None:
        self.running: Running = flow.start("daemon", "--listen", listen, *arguments, env=env)
        self.said: list[str] = []
        self.printed: list[str] = []
        for stream, lines in [(self.running.process.stderr, self.said), (self.running.process.stdout, self.printed)]:
            threading.Thread(target=lambda stream=stream, lines=lines: lines.extend(stream), daemon=True).start()

    def says(self, words: str) -> str:
        """Waits until it has said something."""
        wait_for(lambda: any(words in line for line in self.said), lambda: f"{words!r} in {self.said}")
        return next(line for line in self.said if words in line)

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)$", self.says("answers at").strip())[1])  # type: ignore[index]

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def send(self, number: int) -> None:
        self.running.process.send_signal(number)

    def end(self, expect: int = 0, timeout: float = 30) -> float:
        """Asks it to end; the seconds that it took."""
        began = time.monotonic()
        self.running.terminate()
        assert self.running.process.wait(timeout) == expect, "".join(self.said)
        return time.monotonic() - began


def wait_for(what: Callable[[], Any], why: Callable[[], object] = lambda: "", seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


def pipelines(*names: str, every: str = "1s") -> str:
    return "".join(PIPELINE.format(name=name, every=every) for name in names)


def test_slots_are_served_as_they_come_and_each_once_whoever_else_serves_them(flow: Flow, database: Database) -> None:
    flow.project(pipelines("a", "b", "c", every="2s") + 'catchup = "all"\n')
    daemons = [Daemon(flow, "--jobs", "2") for _ in range(2)]
    deadline = time.monotonic() + 9
    while time.monotonic() < deadline:
        flow("run-due", expect={0, 1})
    for daemon in daemons:
        daemon.end()
    for name in ("a", "b", "c"):
        rows = database.rows(f"SELECT count(*), count(DISTINCT at) FROM public.{name}")
        assert rows[0][0] == rows[0][1], "no slot was loaded twice"
    # A slot that comes while a run lasts is skipped, and that is told of it; each other one is loaded.
    lost = database.rows(
        "SELECT slot FROM (SELECT generate_series(min(at), max(at), '2 s') AS slot FROM public.c) AS due"
        " WHERE slot NOT IN (SELECT at FROM public.c)"
        " AND slot NOT IN (SELECT slot FROM ematix_flow.slots WHERE pipeline = 'c' AND status = 'skipped')"
    )
    assert lost == [], "none was lost"
    assert database.value("SELECT count(*) FROM public.c") >= 3
    ran = database.rows("SELECT DISTINCT started_by FROM ematix_flow.run_history WHERE status = 'success'")
    assert ("daemon",) in ran
    # It wakes when a slot is due, not some time later.
    ((late,),) = database.rows(
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY EXTRACT(epoch FROM started_at - slot))"
        " FROM ematix_flow.run_history WHERE status = 'success' AND started_by = 'daemon'"
    )
    assert late < 1.5


def test_it_ends_with_what_runs_within_the_grace_and_begins_nothing(flow: Flow, database: Database) -> None:
    flow.project(SLOW.format(name="slow", every="1h", seconds=2))
    daemon = Daemon(flow)
    wait_for(
        lambda: database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
    )
    daemon.end()
    assert database.rows("SELECT status FROM ematix_flow.run_history") == [("success",)]


def test_a_load_that_outlasts_the_grace_is_cancelled_and_its_slot_is_free(flow: Flow, database: Database) -> None:
    flow.project(SLOW.format(name="slow", every="1h", seconds=3600))
    daemon = Daemon(flow, "--grace", "500ms")
    wait_for(
        lambda: database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
    )
    assert daemon.get("/readyz") == (200, "ok\n")
    assert daemon.end() < 15
    assert database.rows("SELECT status FROM ematix_flow.run_history") == [("cancelled",)]
    assert database.rows("SELECT status, attempt FROM ematix_flow.slots") == [("due", 0)]
    assert "the time for running loads is over" in "".join(daemon.said)


@pytest.mark.parametrize("how", ["file", "signal"])
def test_definitions_are_read_again_and_faulty_ones_change_nothing(flow: Flow, database: Database, how: str) -> None:
    def write(text: str) -> None:
        flow.project(text)
        if how == "signal":
            daemon.send(signal.SIGHUP)

    flow.project(pipelines("a"))
    daemon = Daemon(flow)

    def served(name: str) -> int:
        count: int = database.value("SELECT count(*) FROM ematix_flow.run_history WHERE pipeline_name = %s", (name,))
        return count

    wait_for(lambda: database.value("SELECT to_regclass('public.a')") and served("a"))
    write("[pipelines\n")
    daemon.says("those from before stay in force")
    before = served("a")
    wait_for(lambda: served("a") > before)
    assert "definitions_stale 1" in daemon.get("/metrics")[1]
    write(pipelines("b"))
    daemon.says("read again: 1 with a schedule")
    wait_for(lambda: served("b"))
    before = served("a")
    time.sleep(2.5)
    assert served("a") == before, "it is no longer declared"
    daemon.end()


def test_a_mistake_in_one_pipeline_keeps_no_other_from_being_served(flow: Flow, database: Database) -> None:
    flow.project(pipelines("a") + pipelines("b").replace("mode =", "mood ="))
    daemon = Daemon(flow)
    daemon.says("unknown_option")
    wait_for(lambda: database.value("SELECT to_regclass('public.a')"))
    daemon.end()


def test_a_database_that_goes_away_is_told_once_and_served_again_when_it_is_back(
    flow: Flow, database: Database, tmp_path: Path
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    elsewhere = f'[connections.there]\ndsn = "postgresql://x@127.0.0.1:{port}/x?sslmode=disable"\n'
    defaults = '[defaults]\ntarget_connection = "there"\n'
    flow.project(elsewhere + defaults + pipelines("a"))
    daemon = Daemon(flow)
    daemon.says("connect_failed")
    assert daemon.get("/livez") == (200, "ok\n")
    status, why = daemon.get("/readyz")
    assert (status, str(port) in why) == (503, True)
    flow.project(f'[connections.there]\ndsn = "{database.dsn}"\n' + defaults + pipelines("a"))
    wait_for(lambda: database.value("SELECT to_regclass('public.a')"))
    wait_for(lambda: daemon.get("/readyz")[0] == 200)
    assert len([line for line in daemon.said if "connect_failed" in line]) == 1
    daemon.end()


def test_who_may_ask_and_what(flow: Flow, database: Database, tmp_path: Path) -> None:
    flow.project(pipelines("a", every="1h"))
    daemon = Daemon(flow)
    wait_for(lambda: daemon.get("/readyz")[0] == 200)
    assert daemon.get("/livez") == (200, "ok\n")
    status, text = daemon.get("/metrics")
    assert (status, "ematix_flow_daemon_scheduled 1\n" in text) == (200, True)
    status, page = daemon.get("/")
    assert (status, page.startswith("<!doctype html>"), "public.a" in page) == (200, True, True)
    assert daemon.get("/nothing")[0] == 404
    assert daemon.get("/", method="POST")[0] == 405
    assert daemon.get("/", {"Host": "evil.example"})[0] == 421, "a name of another site for this machine"
    assert daemon.get("/", method="HEAD") == (daemon.get("/")[0], "")
    daemon.end()
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    everywhere = Daemon(flow, "--token-file", str(token), listen="0.0.0.0:0")
    wait_for(lambda: everywhere.get("/readyz")[0] == 200)
    assert everywhere.get("/livez")[0] == 200
    for path in ("/", "/metrics"):
        assert everywhere.get(path)[0] == 401
        assert everywhere.get(path, {"Authorization": "Bearer wrong"})[0] == 401
        assert everywhere.get(path, {"Authorization": "Bearer s3cret"})[0] == 200
        assert everywhere.get(f"{path}?token=s3cret")[0] == 200
    everywhere.end()
    without = Daemon(flow, listen="0.0.0.0:0")
    assert without.get("/livez")[0] == 200
    assert without.get("/metrics")[0] == 401
    without.end()


def test_who_asks_slowly_keeps_no_probe_from_its_answer(flow: Flow, database: Database) -> None:
    flow.project(PIPELINE.format(name="a", every="1h"))
    daemon = Daemon(flow)
    slow = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(100)]
    for each in slow:
        each.sendall(b"GET /metrics HT")
    began = time.monotonic()
    assert daemon.get("/livez") == (200, "ok\n")
    assert time.monotonic() - began < 2
    for each in slow:
        each.close()
    daemon.end()


@pytest.mark.slow
def test_members_that_come_are_served_without_a_word(flow: Flow, database: Database) -> None:
    database.execute("CREATE TABLE public.tenants AS SELECT 'one' AS name")
    flow.project("""
[pipelines."load_{name}"]
for_each = { connection = "default", query = "SELECT name FROM public.tenants" }
source = { query = "SELECT :name AS name" }
target = "public.of_{name}"
mode = "append"
every = "1s"
first_run = "now"
""")
    daemon = Daemon(flow)
    wait_for(lambda: database.value("SELECT to_regclass('public.of_one')"), lambda: str(daemon.said))
    database.execute("INSERT INTO public.tenants VALUES ('two')")
    wait_for(lambda: database.value("SELECT to_regclass('public.of_two')"), lambda: str(daemon.said), 90)
    daemon.says("read again: 2 with a schedule")
    database.execute("DELETE FROM public.tenants WHERE name = 'one'")
    wait_for(lambda: any("read again: 1" in line for line in daemon.said), lambda: str(daemon.said), 90)
    daemon.end()


def test_a_place_that_is_taken_is_refused_and_off_is_none(flow: Flow, database: Database) -> None:
    flow.project(pipelines("a", every="1h"))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        place = f"127.0.0.1:{held.getsockname()[1]}"
        refused = flow("daemon", "--listen", place, expect=2)
    assert "--listen off" in refused.stderr
    assert "--output ndjson" in flow("daemon", "--output", "json", expect=2).stderr
    daemon = Daemon(flow, "--output", "ndjson", listen="off")
    wait_for(lambda: daemon.printed, seconds=20)
    assert daemon.printed[0].startswith('{"schema":"ematix.run.v1","pipeline":"a"')
    daemon.end()


def test_systemd_is_told_that_it_is_ready_reads_again_and_stops(flow: Flow, database: Database, tmp_path: Path) -> None:
    flow.project(pipelines("a", every="1h"))
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        daemon = Daemon(flow, NOTIFY_SOCKET=str(tmp_path / "notify"))

        def hear(word: str) -> None:
            while word not in heard:
                heard.append(manager.recv(100).decode())

        hear("READY=1")
        hear("WATCHDOG=1")
        daemon.send(signal.SIGHUP)
        hear("RELOADING=1")
        daemon.end()
        hear("STOPPING=1")
    assert heard.count("READY=1") == 2


def test_what_waited_for_a_worker_and_is_no_longer_declared_is_dropped(flow: Flow, database: Database) -> None:
    names = [f"q{number}" for number in range(1, 6)]
    flow.project("".join(SLOW.format(name=name, every="1h", seconds=1) for name in names))
    daemon = Daemon(flow, "--jobs", "1")
    wait_for(lambda: database.value("SELECT to_regclass('ematix_flow.slots') IS NOT NULL"))
    flow.project(SLOW.format(name="q1", every="1h", seconds=1) + pipelines("new"))
    daemon.says("read again: 2 with a schedule")
    wait_for(lambda: database.value("SELECT to_regclass('public.new')"))
    daemon.end()
    assert not any("panicked" in line for line in daemon.said)


def test_what_cannot_begin_is_not_tried_all_the_time(flow: Flow, database: Database) -> None:
    away = '[connections.away]\ndsn = "${env:MISSING_DSN}"\n'
    reads_there = pipelines("a", every="1h").replace("source = {", 'source = { connection = "away",')
    flow.project(away + reads_there.replace("mode =", 'target_connection = "default"\nmode =') + pipelines("b"))
    daemon = Daemon(flow)
    wait_for(lambda: database.value("SELECT to_regclass('public.b')"))
    time.sleep(3)
    assert len([line for line in daemon.said if "MISSING_DSN" in line]) <= 3
    daemon.end()
