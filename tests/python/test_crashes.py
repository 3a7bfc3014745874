"""Runs that die, are stopped or lose their server: all or nothing, nothing left behind, and the next run succeeds."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import server
from customers import (
    NO_VIOLATIONS,
    SOURCE,
    current,
    project,
    sessions,
    source,
    statuses,
    violations,
    wait_for_statement,
    wait_until,
    wait_until_nothing_is_left,
)
from database import Database
from flow_binary import Flow, Running
from psycopg.conninfo import conninfo_to_dict
from wire import wire

SLOW = "SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_sleep(60)) AS slow"


def wait_until_started(database: Database, running: Running) -> None:
    """Until its row in history says that it runs."""

    def is_there() -> bool:
        return bool(
            database.value("SELECT to_regclass('ematix_flow.run_steps') IS NOT NULL")
            and database.rows("SELECT FROM ematix_flow.run_history WHERE pid = %s", [running.pid])
        )

    wait_until(is_there, f"run of process {running.pid} in history")


def test_a_client_killed_at_any_moment_leaves_all_or_nothing(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project(lease="1s", handle_deletes="soft"))
    chance = random.Random(3)
    began = time.monotonic()
    flow("run", "customers", config=config)
    whole = time.monotonic() - began
    readings = [source(database)]
    for turn in range(60):
        database.execute(f"UPDATE app.customers SET revision = revision + 1 WHERE customer_id % 3 = {turn % 3}")
        readings.append(source(database))
        running = flow.start("run", "customers", config=config)
        time.sleep(chance.uniform(0, whole))
        running.kill()
        running.finish(None)
        assert current(database) in readings
    assert violations(database) == NO_VIOLATIONS
    wait_until_nothing_is_left(database)
    killed = set(statuses(database))
    assert killed & {"running", "lost"} and killed <= {"success", "running", "lost"}, killed
    wait_until(
        lambda: database.value(
            "SELECT count(*) = 0 FROM ematix_flow.run_history WHERE status = 'running' AND lease_until > now()"
        ),
        "the leases of the killed have run out",
    )
    flow("run", "customers", config=config)
    assert set(statuses(database)) == {"success", "lost"}
    assert database.rows("SELECT count(*) FROM ematix_flow.run_history WHERE status = 'success' AND NOT committed") == [
        (0,)
    ]
    assert current(database) == source(database)
    assert violations(database) == NO_VIOLATIONS


def test_a_client_killed_in_a_long_statement_frees_its_target_at_once(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project(lease="1s", query=SLOW))
    running = flow.start("run", "customers", config=config)
    wait_for_statement(database, "pg_sleep")
    running.kill()
    wait_until_nothing_is_left(database)
    flow("run", "customers", config=flow.project(project(lease="1s")))
    assert statuses(database) in (["lost", "success"], ["running", "success"])
    assert current(database) == source(database)


@pytest.mark.parametrize(
    ("signal_number", "code", "word"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_signal_cancels_the_statement_on_the_server(
    database: Database, flow: Flow, signal_number: signal.Signals, code: int, word: str
) -> None:
    database.execute(SOURCE)
    running = flow.start("run", "customers", config=project(query=SLOW))
    wait_for_statement(database, "pg_sleep")
    began = time.monotonic()
    running.process.send_signal(signal_number)
    finished = running.finish(code)
    assert time.monotonic() - began < 2
    assert word in finished.stderr
    wait_until_nothing_is_left(database)
    assert database.value("SELECT to_regclass('analytics.dim_customers')") is None
    rows = database.rows("SELECT status, error_code, committed, lease_until FROM ematix_flow.run_history")
    assert rows == [("cancelled", "cancelled", False, None)]


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_that_waits_for_its_target(
    database: Database, flow: Flow, signal_number: signal.Signals, code: int
) -> None:
    database.execute(SOURCE)
    holder = flow.start("run", "customers", config=project(query=SLOW))
    wait_for_statement(database, "pg_sleep")
    waiting = flow.start("run", "customers", config=project())
    wait_until_started(database, waiting)
    began = time.monotonic()
    waiting.process.send_signal(signal_number)
    waiting.finish(code)
    assert time.monotonic() - began < 2
    assert statuses(database) == ["running", "cancelled"]
    holder.terminate()
    holder.finish(143)


def test_a_signal_ends_a_run_that_waits_for_the_table(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project())
    flow("run", "customers", config=config)
    database.execute("UPDATE app.customers SET revision = 1")
    with database.connect(autocommit=False) as other:
        other.execute("LOCK TABLE analytics.dim_customers IN ROW EXCLUSIVE MODE")
        running = flow.start("run", "customers", config=config)
        wait_for_statement(database, "LOCK TABLE")
        running.interrupt()
        running.finish(130)
        other.rollback()
    assert statuses(database) == ["success", "cancelled"]


def test_a_table_that_others_hold_ends_the_run_as_locked(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project(lock_timeout="200ms"))
    flow("run", "customers", config=config)
    with database.connect(autocommit=False) as other:
        other.execute("LOCK TABLE analytics.dim_customers IN ROW EXCLUSIVE MODE")
        report = flow("run", "customers", "--output", "json", config=config, expect=5).json()
        other.rollback()
    assert (report["status"], report["error"]["code"], report["error"]["sqlstate"]) == ("locked", "locked", "55P03")
    assert statuses(database) == ["success", "locked"]


def test_run_timeout_ends_a_long_statement(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project(query=SLOW, run_timeout="500ms"))
    began = time.monotonic()
    report = flow("run", "customers", "--output", "json", config=config, expect=1).json()
    assert time.monotonic() - began < 3
    assert (report["status"], report["error"]["code"], report["committed"]) == ("failed", "timeout", False)
    assert 'run_timeout = "500ms"' in report["error"]["message"]
    wait_until_nothing_is_left(database)


def test_run_timeout_ends_a_run_that_waits_for_its_target(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    holder = flow.start("run", "customers", config=project(query=SLOW))
    wait_for_statement(database, "pg_sleep")
    began = time.monotonic()
    report = flow(
        "run", "customers", "--output", "json", config=project(run_timeout="300ms", lock_timeout="30s"), expect=1
    ).json()
    assert time.monotonic() - began < 2
    assert report["error"]["code"] == "timeout"
    holder.terminate()
    holder.finish(143)


def test_statement_timeout_is_an_error_of_its_own(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project(query=SLOW, statement_timeout="300ms"))
    report = flow("run", "customers", "--output", "json", config=config, expect=1).json()
    assert (report["status"], report["error"]["code"], report["error"]["sqlstate"]) == ("failed", "timeout", "57014")
    assert statuses(database) == ["failed"]


def test_a_paused_process_loses_its_locks_and_writes_nothing(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    # Long enough to be stopped in it, short enough to be over when the lease is.
    slow = "SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_sleep(0.5)) AS slow"
    paused = flow.start("run", "customers", "--output", "json", config=project(query=slow, lease="1s"))
    wait_for_statement(database, "pg_sleep")
    os.kill(paused.pid, signal.SIGSTOP)
    try:
        database.execute("UPDATE app.customers SET revision = 1")
        # The query is over; the transaction that holds the target's lock idles.
        other = flow("run", "customers", "--output", "json", config=project(lease="1s")).json()
        assert other["status"] == "success"
        wait_until(lambda: "lost" in statuses(database) or sweep(flow), "the paused run is marked lost")
    finally:
        os.kill(paused.pid, signal.SIGCONT)
    report = paused.finish(1).json()
    assert (report["status"], report["committed"]) == ("failed", False)
    assert report["error"]["code"] == "lease_lost"
    assert statuses(database)[0] == "lost"
    assert current(database) == source(database)
    wait_until_nothing_is_left(database)


def sweep(flow: Flow) -> bool:
    """Any run marks the dead as lost."""
    flow("run", "customers", config=project(lease="1s"))
    return False


def test_a_run_taken_for_dead_does_not_commit(database: Database, flow: Flow) -> None:
    """Whoever pauses the process without its locks being freed: the row decides."""
    database.execute(SOURCE)
    slow = "SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_sleep(0.7)) AS slow"
    running = flow.start("run", "customers", "--output", "json", config=project(query=slow))
    wait_for_statement(database, "pg_sleep")
    database.execute("UPDATE ematix_flow.run_history SET status = 'lost'")
    report = running.finish(1).json()
    assert report["error"]["code"] == "lease_lost"
    assert database.value("SELECT to_regclass('analytics.dim_customers')") is None


def test_a_failure_at_commit_leaves_watermark_and_data(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project("append", incremental_column="revision"))
    flow("run", "customers", config=config)
    before = database.rows("SELECT * FROM ematix_flow.watermarks")
    database.execute("""
        UPDATE app.customers SET revision = 5;
        CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON analytics.dim_customers
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.refuse();
    """)
    report = flow("run", "customers", "--output", "json", config=config, expect=1).json()
    assert (report["status"], report["committed"], report["error"]["code"]) == ("failed", False, "target_failed")
    assert "not today" in report["error"]["message"]
    assert database.rows("SELECT * FROM ematix_flow.watermarks") == before
    assert database.value("SELECT count(*) FROM analytics.dim_customers") == 10
    assert statuses(database) == ["success", "failed"]
    database.execute("DROP TRIGGER refuse ON analytics.dim_customers")
    assert flow("run", "customers", "--output", "json", config=config).json()["rows_inserted"] == 10


# --- a server that goes away --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnServer:
    """A server that a test may crash, with a database of its own."""

    server: server.Server
    database: Database

    def crash(self) -> None:
        """What remains of the server is what it had written; it recovers and starts again."""
        self.server.must("pg_ctl", "-D", self.server.data, "-l", self.server.log, "-m", "immediate", "-w", "restart")
        # The next question opens another connection.
        self.database.close()


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    directory = server.new_directory()
    try:
        dsn = server.start(directory)
        database = Database({name: str(value) for name, value in conninfo_to_dict(dsn).items()})
        # What was committed must survive a crash here.
        database.execute("ALTER SYSTEM SET synchronous_commit = on")
        database.execute("SELECT pg_reload_conf()")
        started = server.Server(directory, server.find_binaries(), server.server_account())
        yield OwnServer(server.with_copied_binaries(started), database)
        database.close()
    finally:
        server.stop(directory)


@pytest.fixture
def flow_there(own_server: OwnServer, flow: Flow) -> Flow:
    flow.variables["EMATIX_FLOW_DSN"] = own_server.database.dsn
    return flow


def test_a_server_that_crashes_at_any_moment_leaves_all_or_nothing(own_server: OwnServer, flow_there: Flow) -> None:
    there = own_server.database
    there.execute(SOURCE)
    config = flow_there.project(project(lease="1s", handle_deletes="soft"))
    began = time.monotonic()
    flow_there("run", "customers", config=config)
    whole = time.monotonic() - began
    chance = random.Random(5)
    readings = [source(there)]
    for turn in range(8):
        there.execute(f"UPDATE app.customers SET revision = revision + 1 WHERE customer_id % 3 = {turn % 3}")
        readings.append(source(there))
        running = flow_there.start("run", "customers", "--output", "json", config=config)
        time.sleep(chance.uniform(whole * 0.2, whole * 0.9))
        own_server.crash()
        finished = running.finish({0, 1, 6})
        seen = current(there)
        assert seen in readings
        if finished.json()["committed"]:
            assert seen == readings[-1]
    wait_until_nothing_is_left(there)
    wait_until(
        lambda: there.value(
            "SELECT count(*) = 0 FROM ematix_flow.run_history WHERE status = 'running' AND lease_until > now()"
        ),
        "the leases have run out",
    )
    flow_there("run", "customers", config=config)
    assert set(statuses(there)) <= {"success", "failed", "lost"}
    assert current(there) == source(there)
    assert violations(there) == NO_VIOLATIONS


def test_a_run_whose_server_restarts_is_recorded_as_failed(own_server: OwnServer, flow_there: Flow) -> None:
    there = own_server.database
    there.execute(SOURCE)
    running = flow_there.start("run", "customers", "--output", "json", config=project(query=SLOW))
    wait_for_statement(own_server.database, "pg_sleep")
    own_server.crash()
    report = running.finish(1).json()
    assert (report["status"], report["committed"], report["error"]["code"]) == ("failed", False, "connection_lost")
    assert statuses(there) == ["failed"]
    flow_there("run", "customers", config=project())
    assert current(there) == source(there)


DELAYED_COMMIT = """
CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON analytics.dim_customers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.customer_id = 1) EXECUTE FUNCTION app.dawdle();
"""


def lose_the_answer(database: Database, flow: Flow, end: Callable[[], None]) -> dict[str, object]:
    """Breaks the connections of a run while its COMMIT is under way; its report."""
    database.execute(SOURCE)
    config = flow.project(project())
    flow("run", "customers", config=config)
    database.execute(DELAYED_COMMIT)
    database.execute("UPDATE app.customers SET revision = 1")
    running = flow.start("run", "customers", "--output", "json", config=config)
    wait_for_statement(database, "COMMIT", ready="query = 'COMMIT'")
    end()
    return running.finish(None).json()


def test_a_commit_that_was_refused_is_a_failure(database: Database, flow: Flow) -> None:
    def terminate() -> None:
        # All at once: what one of them learns of another's end is told by a session that is opened then.
        pids = ", ".join(str(pid) for pid, _, _ in sessions(database))
        database.execute(f"SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{pids}]) AS pid")

    report = lose_the_answer(database, flow, terminate)
    assert (report["status"], report["committed"]) == ("failed", False)
    assert statuses(database) == ["success", "failed"]
    assert {revision for _, _, revision in current(database)} == {0}


def test_a_commit_whose_answer_was_lost_is_a_success(database: Database, flow: Flow) -> None:
    with wire(database) as cut:
        flow.variables["EMATIX_FLOW_DSN"] = cut.dsn()
        report = lose_the_answer(database, flow, cut.cut)
    assert report["error"] is None, (report["error"], statuses(database))
    assert (report["status"], report["committed"], report["error"]) == ("success", True, None)
    assert statuses(database) == ["success", "success"]
    assert current(database) == source(database)
