"""Whatever ends a run between two databases in mid-stream: all or nothing, nothing left on either server, the next is right."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from across import Across, connect
from customers import sessions, statuses, wait_until, wait_until_nothing_is_left
from database import Database
from flow_binary import Finished, Flow, Running
from project import counts
from wire import wire

ROWS, HELD_AT = 20_000, 15_000
SOURCE = f"""
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, name text, revision bigint NOT NULL);
INSERT INTO app.customers SELECT n, repeat(md5(n::text), 8), 0 FROM generate_series(1, {ROWS}) AS n;
"""
# Most rows have passed when the stream stops for a lock that the test holds.
HELD = f"""
SELECT * FROM app.customers AS c
 WHERE c.id <> {HELD_AT} OR (SELECT pg_advisory_xact_lock_shared(7)) IS NOT NULL
"""
MODES = ["append", "truncate", "merge", "scd2"]


def project(query: str, mode: str = "scd2", **options: Any) -> str:
    made = Across()
    made.table("t", {"id": "bigint", "name": "text?", "revision": "bigint"}, schema="dw")
    if mode in ("merge", "scd2"):
        options = {"keys": "id", "handle_deletes": "soft", **options}
    made.pipeline("p", query, "t", mode, lease="1s", **options)
    return made.text()


@dataclass
class Place:
    """A source that can hold its stream, and a target that has been loaded once, or not yet."""

    source: Database
    target: Database
    flow: Flow
    path: str
    before: list[Any] = field(default_factory=list)

    def content(self) -> list[Any]:
        if self.target.value("SELECT to_regclass('dw.t') IS NULL"):
            return []
        return self.target.rows("SELECT id, revision, valid_from, valid_to, is_current FROM dw.t ORDER BY 1, 3")

    @contextmanager
    def mid_stream(self) -> Iterator[Running]:
        with self.source.connect() as holder:
            holder.execute("SELECT pg_advisory_lock(7)")
            running = self.flow.start("run", "p", "--output", "json", config=project(HELD))
            wait_until(self.waits, "the stream stops")
            yield running

    def waits(self) -> bool:
        return bool(self.source_session("wait_event = 'advisory' AND query LIKE 'COPY%%'"))

    def source_session(self, condition: str = "true") -> list[tuple[Any, ...]]:
        return self.source.rows(
            f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
            " AND application_name LIKE 'ematix-flow%%'"
        )

    def nothing_was_written(self) -> None:
        assert self.content() == self.before
        for database in (self.source, self.target):
            wait_until(lambda database=database: not sessions(database), "no session is left")
        wait_until_nothing_is_left(self.target)

    def next_run_is_right(self) -> None:
        flow = self.flow
        connect(flow, self.source, self.target)
        report = flow("run", "p", "--output", "json", config=project("app.customers")).json()
        assert report["path"] == self.path
        assert self.target.rows("SELECT id, name, revision FROM dw.t WHERE is_current ORDER BY id") == self.source.rows(
            "SELECT id, name, revision FROM app.customers ORDER BY id"
        )


@pytest.fixture(params=["staging", "client_diff"])
def place(
    request: pytest.FixtureRequest, database: Database, new_database: Callable[[], Database], flow: Flow
) -> Place:
    source = new_database()
    connect(flow, source, database)
    source.execute(SOURCE)
    made = Place(source, database, flow, request.param)
    if made.path == "client_diff":
        flow("run", "p", config=project("app.customers"))
        source.execute("UPDATE app.customers SET revision = 1 WHERE id % 2 = 0; DELETE FROM app.customers WHERE id < 9")
    made.before = made.content()
    return made


def failure(finished: Finished, *codes: str) -> None:
    report = finished.json()
    assert (report["status"], report["committed"]) == ("failed", False), finished
    assert report["error"]["code"] in codes, finished


def test_a_client_that_is_killed(place: Place) -> None:
    with place.mid_stream() as running:
        running.kill()
        running.finish(None)
    place.nothing_was_written()
    place.next_run_is_right()
    wait_until(lambda: "lost" in statuses(place.target) or not place.flow("run", "p"), "a run marks it lost")


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_session_that_is_terminated(end: str, place: Place) -> None:
    with place.mid_stream() as running:
        if end == "source":
            place.source.execute(f"SELECT pg_terminate_backend({place.source_session()[0][0]})")
        else:
            [pid] = [pid for pid, state, query in sessions(place.target) if query.startswith("COPY")]
            place.target.execute(f"SELECT pg_terminate_backend({pid})")
        failure(running.finish(1), "connection_lost")
    place.nothing_was_written()
    assert statuses(place.target)[-1] == "failed"
    place.next_run_is_right()


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_wire_that_is_cut(end: str, place: Place) -> None:
    database = place.source if end == "source" else place.target
    with wire(database) as line:
        over = line.dsn()
        connect(place.flow, over if end == "source" else place.source, over if end == "target" else place.target)
        with place.mid_stream() as running:
            line.cut()
            failure(running.finish({1, 6}, timeout=20), "connection_lost", "connect_failed")
    place.nothing_was_written()
    place.next_run_is_right()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_on_both_servers(number: signal.Signals, code: int, place: Place) -> None:
    with place.mid_stream() as running:
        running.process.send_signal(number)
        report = running.finish(code).json()
        assert (report["status"], report["committed"]) == ("cancelled", False)
        # The lock is still held: the source's statement did not end by itself.
        place.nothing_was_written()
    assert statuses(place.target)[-1] == "cancelled"
    place.next_run_is_right()


def test_a_query_that_fails_half_way(place: Place) -> None:
    query = f"SELECT id, name, revision / (id - {HELD_AT}) AS revision FROM app.customers"
    finished = place.flow("run", "p", "--output", "json", config=project(query), expect=1)
    failure(finished, "source_failed")
    assert finished.json()["error"]["sqlstate"] == "22012"
    place.nothing_was_written()
    assert statuses(place.target)[-1] == "failed"
    place.next_run_is_right()


def test_a_target_that_refuses_a_row_half_way(place: Place) -> None:
    """No room, a limit, a type; here a domain."""
    place.target.execute(f"CREATE DOMAIN public.short AS text CHECK (value NOT LIKE '{HELD_AT}|%')")
    text = project("SELECT id, id || '|' || name AS name, revision FROM app.customers").replace(
        '"text?"', '"public.short?"'
    )
    if place.path == "client_diff":
        place.target.execute("ALTER TABLE dw.t ALTER name TYPE public.short")
    finished = place.flow("run", "p", "--output", "json", config=text, expect=1)
    report = finished.json()
    assert (report["status"], report["error"]["sqlstate"]) == ("failed", "23514"), finished
    place.nothing_was_written()


def test_the_source_is_never_written(place: Place) -> None:
    """What the grammar does not see, its own session refuses."""
    place.source.execute("""
        CREATE FUNCTION app.write() RETURNS bigint LANGUAGE sql VOLATILE
            AS 'UPDATE app.customers SET revision = 5 WHERE id = 10 RETURNING id';
    """)
    query = "SELECT id, name, revision FROM app.customers WHERE app.write() IS NOT NULL"
    finished = place.flow("run", "p", "--output", "json", config=project(query), expect=2)
    failure(finished, "query_writes")
    assert finished.json()["error"]["sqlstate"] == "25006", finished
    place.nothing_was_written()
    place.next_run_is_right()


@pytest.mark.parametrize("mode", MODES)
def test_a_source_that_is_truncated_and_reloaded_meanwhile_is_read_whole(
    mode: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database()
    connect(flow, source, database)
    source.execute(SOURCE.replace(str(ROWS), "10"))
    config = flow.project(project("app.customers", mode))
    for turn in (1, 2):
        with source.connect(autocommit=False) as other:
            other.execute("TRUNCATE app.customers")
            running = flow.start("run", "p", "--output", "json", config=config)
            wait_until(
                lambda: source.value(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'"
                ),
                "the run waits for the source",
            )
            other.execute(f"INSERT INTO app.customers SELECT n, 'turn', {turn} FROM generate_series(1, 12) AS n")
            other.commit()
        report = running.finish().json()
        assert report["rows_in"] == 12
        assert database.value(f"SELECT count(*) FROM dw.t WHERE revision = {turn}") == 12


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_source_empties_nothing_unasked(
    mode: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database()
    connect(flow, source, database)
    source.execute(SOURCE.replace(str(ROWS), "10") + "DELETE FROM app.customers")
    keeping = {"handle_deletes": "ignore"} if mode in ("merge", "scd2") else {}
    config = flow.project(project("app.customers", mode, **keeping))
    assert counts(flow("run", "p", "--output", "json", config=config).json()) == {}
    source.execute("INSERT INTO app.customers VALUES (1, 'a', 0), (2, 'b', 0)")
    flow("run", "p", config=config)
    source.execute("DELETE FROM app.customers")
    assert counts(flow("run", "p", "--output", "json", config=config).json()) == {}
    assert database.value("SELECT count(*) FROM dw.t") == (0 if mode == "truncate" else 2)
    if keeping:
        config = flow.project(project("app.customers", mode))
        refused = flow("run", "p", "--output", "json", config=config, expect=4).json()
        assert refused["error"]["code"] == "empty_source"
