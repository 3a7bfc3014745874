"""Servers that are away for a moment, and servers that take bytes and say nothing any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import server
from across import Across, connect
from customers import SOURCE, sessions, statuses, wait_for_statement, wait_until
from database import Database
from flow_binary import Flow
from psycopg.conninfo import conninfo_to_dict
from relay import Relay, relay
from server import url
from wire import wire

pytestmark = pytest.mark.clock

COLUMNS = {"customer_id": "bigint", "name": "text?", "revision": "bigint"}

# Rows come one by one, and the last of them not within the time of a test.
TRICKLE = (
    "SELECT c.customer_id + 100 * n AS customer_id, repeat(c.name, 100) AS name, c.revision FROM app.customers AS c"
    " CROSS JOIN generate_series(0, 600) AS s(n) WHERE pg_sleep(0.005) IS NOT NULL"
)

# With one second to connect: three of silence, two questions of one second each, then what follows a failed run.
GIVEN_UP = 20


def project(query: str | None = None, **options: Any) -> Across:
    made = Across()
    made.table("t", COLUMNS, schema="dw", natural_key=["customer_id"])
    made.pipeline("p", "app.customers", "t", "scd2", **options)
    if query is not None:
        made.pipelines["p"]["source"] = {"connection": "crm", "query": query}
    return made


@contextmanager
def between(database: Database, role: str, timeout: int = 1) -> Iterator[tuple[Relay, str]]:
    """A relay in front of a database, and the DSN that leads through it."""
    by_tcp = conninfo_to_dict(database.dsn_over_tcp(role, "right"))
    with relay(int(by_tcp["port"])) as made:
        place = {**by_tcp, "port": str(made.port), "sslmode": "disable", "connect_timeout": str(timeout)}
        yield made, url({name: str(each) for name, each in place.items()})


@pytest.fixture
def crm(database: Database, new_database: Callable[[], Database]) -> Database:
    """Another database with the source."""
    made = new_database()
    for each in (made, database):
        each.execute(SOURCE)
    return made


@pytest.mark.parametrize("path", ["staging", "client_diff"])
def test_a_source_that_falls_silent_while_it_is_read_ends_the_run(
    crm: Database, database: Database, flow: Flow, tcp_role: str, path: str
) -> None:
    connect(flow, crm, database)
    project().run(flow)
    before = database.rows("SELECT * FROM dw.t ORDER BY 1")
    with between(crm, tcp_role) as (silent, dsn):
        connect(flow, dsn, database)
        flow.project(project(TRICKLE).text())
        running = flow.start("run", "p", "--force-path", path, "--output", "json")
        wait_for_statement(crm, "pg_sleep")
        time.sleep(1)
        silent.fall_silent()
        began = time.monotonic()
        report = running.finish(1, GIVEN_UP).json()
        assert time.monotonic() - began > 2
    assert (report["status"], report["error"]["code"], report["path"]) == ("failed", "connection_lost", path)
    assert "said nothing for" in str(report["error"])
    assert database.rows("SELECT * FROM dw.t ORDER BY 1") == before
    assert statuses(database) == ["success", "failed"]


@pytest.mark.long
def test_a_target_that_falls_silent_ends_the_run(crm: Database, database: Database, flow: Flow, tcp_role: str) -> None:
    with between(database, tcp_role) as (silent, dsn):
        connect(flow, dsn, dsn)
        flow.project(project(TRICKLE).text())
        running = flow.start("run", "p", "--output", "json")
        wait_for_statement(database, "pg_sleep")
        silent.fall_silent()
        report = running.finish(1, 2 * GIVEN_UP).json()
    assert (report["status"], report["error"]["code"]) == ("failed", "connection_lost")
    assert "did not answer another connection" in str(report["error"])
    assert database.value("SELECT to_regclass('dw.t')") is None


@pytest.mark.parametrize("command", ["plan", "dry-run", "status", "history"])
def test_a_server_that_is_silent_from_the_start_ends_every_command(
    crm: Database, database: Database, flow: Flow, tcp_role: str, command: str
) -> None:
    with between(database, tcp_role) as (silent, dsn):
        connect(flow, crm, dsn)
        flow.project(project().text())
        flow("run", "p")
        silent.fall_silent()
        finished = flow(command, "p", "--output", "json", expect={1, 6}, timeout=GIVEN_UP)
    assert "connect_timeout" in finished.stdout + finished.stderr


@pytest.mark.long
def test_a_signal_ends_a_run_whose_server_is_silent(
    crm: Database, database: Database, flow: Flow, tcp_role: str
) -> None:
    with between(database, tcp_role, timeout=30) as (silent, dsn):
        connect(flow, dsn, dsn)
        flow.project(project(TRICKLE, lease="1s").text())
        running = flow.start("run", "p")
        wait_for_statement(database, "pg_sleep")
        silent.fall_silent()
        # Long enough that a renewal of the lease is under way.
        time.sleep(0.5)
        running.interrupt()
        running.finish({1, 130}, 2 * GIVEN_UP)


def test_a_statement_that_takes_long_is_not_given_up(
    crm: Database, database: Database, flow: Flow, tcp_role: str
) -> None:
    """The server says nothing for as long as it works, and answers others meanwhile."""
    slow = "SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_sleep(9)) AS slow"
    with between(crm, tcp_role) as (_, dsn):
        connect(flow, dsn, database)
        [report] = project(slow).run(flow).values()
    assert (report["status"], report["rows_in"]) == ("success", 10)


# --- silent, on one connection -------------------------------------------------------------------------------------------

# Rows that fill the server's buffer, so that each is sent as it comes; before the sixth one it thinks.
PAUSE = (
    "SELECT c.customer_id, repeat(c.name, 2000) AS name, c.revision FROM app.customers AS c"
    " WHERE CASE WHEN c.customer_id = 6 THEN pg_sleep({seconds}) IS NOT NULL ELSE true END"
)


@pytest.mark.parametrize("path", ["staging", "client_diff"])
def test_a_source_that_sends_no_more_rows_ends_the_run_by_read_timeout(
    crm: Database, database: Database, flow: Flow, path: str
) -> None:
    connect(flow, crm, database)
    project().run(flow)
    before = database.rows("SELECT * FROM dw.t ORDER BY 1")
    flow.project(project(PAUSE.format(seconds=60), read_timeout="1s", lock_timeout="1s").text())
    began = time.monotonic()
    report = flow("run", "p", "--force-path", path, "--output", "json", expect=1).json()
    assert time.monotonic() - began < 10
    assert (report["status"], report["error"]["code"], report["path"]) == ("failed", "timeout", path)
    assert report["error"]["message"] == 'the source has sent rows, and then nothing for read_timeout = "1s"'
    assert database.rows("SELECT * FROM dw.t ORDER BY 1") == before
    assert statuses(database) == ["success", "failed"]
    wait_until(lambda: not sessions(crm), "its statement is cancelled on the source's server, too")
    # The target is free.
    flow.project(project(read_timeout="1s", lock_timeout="1s").text())
    flow("run", "p")


def test_a_connection_that_falls_silent_beside_others_ends_the_run(
    crm: Database, database: Database, flow: Flow
) -> None:
    """As of a proxy that forgot one of its connections: the server answers everybody else."""
    with wire(crm) as silent:
        connect(flow, silent.dsn(connect_timeout="1"), database)
        flow.project(project(TRICKLE, read_timeout="2s").text())
        running = flow.start("run", "p", "--output", "json")
        wait_for_statement(crm, "pg_sleep")
        time.sleep(1)
        silent.stall()
        report = running.finish(1, GIVEN_UP).json()
    assert (report["status"], report["error"]["code"]) == ("failed", "timeout")
    assert "read_timeout" in report["error"]["message"]
    assert database.value("SELECT to_regclass('dw.t')") is None


@pytest.mark.parametrize(
    "options",
    [{"read_timeout": "0s"}, {"read_timeout": "5s"}, {}],
    ids=["no limit", "a longer one", "unless said"],
)
def test_a_pause_within_read_timeout_is_waited_for(
    crm: Database, database: Database, flow: Flow, options: dict[str, Any]
) -> None:
    connect(flow, crm, database)
    [report] = project(PAUSE.format(seconds=2), **options).run(flow).values()
    assert (report["status"], report["rows_in"]) == ("success", 10)


def test_before_its_first_row_a_query_may_think_longer_than_read_timeout(
    crm: Database, database: Database, flow: Flow
) -> None:
    connect(flow, crm, database)
    slow = "SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_sleep(2)) AS slow"
    [report] = project(slow, read_timeout="500ms").run(flow).values()
    assert (report["status"], report["rows_in"]) == ("success", 10)


def test_read_timeout_is_of_the_reading_that_several_targets_share(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    text = """
[pipelines.p]
source = {{ table = "app.customers" }}
{of_all}
targets = [
  {{ target = "public.a", mode = "append" }},
  {{ target = "public.b", mode = "append"{of_one} }},
]
"""
    refused = flow("validate", config=text.format(of_all="", of_one=', read_timeout = "1s"'), expect=2).stderr
    assert "`read_timeout` is of the whole pipeline `p`, not of one of its targets" in refused
    flow("run", "p", config=text.format(of_all='read_timeout = "1s"', of_one=""))


# --- away for a moment --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["crm", "warehouse"])
def test_a_server_that_restarts_as_a_run_begins_is_waited_for(database: Database, flow: Flow, which: str) -> None:
    directory = server.new_directory()
    try:
        dsn = server.start(directory)
        own = Database({name: str(value) for name, value in conninfo_to_dict(dsn).items()})
        for each in (own, database):
            each.execute(SOURCE)
        made = server.with_copied_binaries(server.Server(directory, server.find_binaries(), server.server_account()))
        connect(flow, *((own, database) if which == "crm" else (database, own)))
        own.close()
        made.must("pg_ctl", "-D", made.data, "-m", "fast", "-w", "stop")
        flow.project(project().text())
        start = ("pg_ctl", "-D", made.data, "-l", made.log, "-w", "start")
        back = threading.Timer(0.7, lambda: made.must(*start))
        back.start()
        finished = flow("run", "p", "-v")
        back.join()
        if which == "warehouse":
            assert "it is tried again" in finished.stderr
        own.close()
    finally:
        server.stop(directory)


def test_a_server_that_stays_away_ends_the_run_soon(database: Database, flow: Flow) -> None:
    connect(flow, "postgresql://nobody@127.0.0.1:1/none", database)
    database.execute(SOURCE)
    flow.project(project().text())
    began = time.monotonic()
    report = flow("run", "p", "--output", "json", expect=6).json()
    assert report["error"]["code"] == "connect_failed"
    assert 2 < time.monotonic() - began < 10
