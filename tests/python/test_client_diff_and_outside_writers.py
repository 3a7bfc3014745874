"""Others write the target between the reading of its hashes and the first write: the run fails and has written
nothing, or its result is that of one after the other. Never a version closed that was not read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from across import Across, connect
from customers import statuses, wait_until, wait_until_nothing_is_left
from database import Database
from flow_binary import Flow
from project import counts

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, name text, revision bigint NOT NULL);
INSERT INTO app.customers SELECT n, 'customer ' || n, 0 FROM generate_series(1, 10) AS n;
"""
# The rows wait for a lock that the test holds.
HELD = "SELECT c.* FROM app.customers AS c CROSS JOIN (SELECT pg_advisory_xact_lock_shared(7)) AS held"
# Changed: 1 and 2. Gone: 3. New: 11. As they were: 4 to 10.
CHANGES = """
UPDATE app.customers SET revision = 1 WHERE id IN (1, 2);
DELETE FROM app.customers WHERE id = 3;
INSERT INTO app.customers VALUES (11, 'customer 11', 0);
"""
VERSIONS = "SELECT id, name, revision, valid_from, valid_to, is_current, row_hash FROM dw.t ORDER BY id, valid_from"
CURRENT = "SELECT id, name, revision FROM dw.t WHERE is_current ORDER BY id"


@dataclass
class Place:
    """Source and target after a first load, and a source that has changed since."""

    source: Database
    target: Database
    flow: Flow

    @contextmanager
    def hashes_are_read(self) -> Iterator[None]:
        """Starts a run, and stops it between the reading of the hashes and the source's rows."""
        with self.source.connect() as holder:
            holder.execute("SELECT pg_advisory_lock(7)")
            running = self.flow.start("run", "p", "--output", "json")
            wait_until(self.rows_wait, "the source's rows are asked for")
            self.release = lambda: holder.execute("SELECT pg_advisory_unlock_all()")
            yield
        self.finished = running.finish(None)
        self.report = self.finished.json()

    def rows_wait(self) -> bool:
        return bool(
            self.source.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
                " AND query LIKE 'COPY%%'"
            )
        )

    def failed(self) -> None:
        assert (self.report["status"], self.report["committed"], self.report["path"]) == (
            "failed",
            False,
            "client_diff",
        ), self.finished

    def next_run_is_right(self, *arguments: str) -> None:
        self.flow("run", "p", *arguments)
        assert self.target.rows(CURRENT) == self.source.rows("SELECT id, name, revision FROM app.customers ORDER BY id")
        wait_until_nothing_is_left(self.target)


@pytest.fixture
def place(database: Database, new_database: Callable[[], Database], flow: Flow) -> Place:
    source = new_database()
    connect(flow, source, database)
    source.execute(SOURCE)
    made = Across()
    made.table("t", {"id": "bigint", "name": "text?", "revision": "bigint"}, schema="dw")
    made.pipeline("p", HELD, "t", "scd2", keys="id", handle_deletes="soft")
    made.run(flow)
    source.execute(CHANGES)
    return Place(source, database, flow)


def test_left_alone_it_succeeds(place: Place) -> None:
    with place.hashes_are_read():
        pass
    assert counts(place.report) == {"in": 10, "inserted": 3, "unchanged": 7, "closed_out": 3, "deleted": 1}
    assert place.report["path"] == "client_diff"
    place.next_run_is_right()


AGAINST_IT = {
    "changes a value and its hash": "UPDATE dw.t SET name = 'by hand', row_hash = sha256('by hand') WHERE id = 1",
    "changes only the hash": "UPDATE dw.t SET row_hash = sha256('by hand') WHERE id = 2",
    "changes the hash of a key that went": "UPDATE dw.t SET row_hash = sha256('by hand') WHERE id = 3",
    "deletes a version that changed": "DELETE FROM dw.t WHERE id = 1",
    "deletes a version that went": "DELETE FROM dw.t WHERE id = 3",
    "closes a version that changed": "UPDATE dw.t SET valid_to = now(), is_current = false WHERE id = 2",
    "closes a version that went": "UPDATE dw.t SET valid_to = now(), is_current = false WHERE id = 3",
    "closes a version and opens another": """
        UPDATE dw.t SET valid_to = now(), is_current = false WHERE id = 1;
        INSERT INTO dw.t SELECT id, 'by hand', 5, now(), NULL, true, sha256('by hand') FROM dw.t WHERE id = 1;
    """,
    "closes a version and opens the same": """
        UPDATE dw.t SET valid_to = now(), is_current = false WHERE id = 1;
        INSERT INTO dw.t SELECT id, name, revision, now(), NULL, true, row_hash FROM dw.t WHERE id = 1;
    """,
    "opens a version of a key that is new": """
        INSERT INTO dw.t SELECT 11, 'by hand', 5, now(), NULL, true, sha256('by hand');
    """,
    "moves a row": "UPDATE dw.t SET name = name WHERE id = 1",
    "gives a key's place to another key": "UPDATE dw.t SET id = 1000 WHERE id = 1",
    "gives one key to the other's row": """
        DELETE FROM dw.t WHERE id = 1;
        UPDATE dw.t SET id = 1 WHERE id = 2;
    """,
    "empties it": "DELETE FROM dw.t",
}


@pytest.mark.parametrize("what", AGAINST_IT)
def test_what_contradicts_the_reading_ends_the_run(what: str, place: Place) -> None:
    with place.hashes_are_read():
        place.target.execute(AGAINST_IT[what])
        before = place.target.rows(VERSIONS)
    place.failed()
    assert place.report["error"]["code"] == "target_failed", place.finished
    assert place.report["error"]["message"], place.finished
    assert place.target.rows(VERSIONS) == before
    assert statuses(place.target) == ["success", "failed"]
    place.next_run_is_right()


BESIDE_IT = {
    "changes a version that the run leaves": "UPDATE dw.t SET name = 'by hand', row_hash = sha256('') WHERE id = 5",
    "deletes a version that the run leaves": "DELETE FROM dw.t WHERE id = 6",
    "opens a version of a key that nobody has": """
        INSERT INTO dw.t SELECT 99, 'by hand', 5, now(), NULL, true, sha256('by hand');
    """,
    "moves all rows that the run leaves": "UPDATE dw.t SET name = name WHERE id > 3",
}


@pytest.mark.parametrize("what", BESIDE_IT)
def test_what_the_run_does_not_touch_is_as_if_written_after_it(what: str, place: Place) -> None:
    with place.hashes_are_read():
        place.target.execute(BESIDE_IT[what])
        others = place.target.rows("SELECT * FROM dw.t WHERE id NOT IN (1, 2, 3, 11) ORDER BY id")
    assert counts(place.report) == {"in": 10, "inserted": 3, "unchanged": 7, "closed_out": 3, "deleted": 1}
    assert place.target.rows("SELECT * FROM dw.t WHERE id NOT IN (1, 2, 3, 11) ORDER BY id") == others
    assert place.target.rows("SELECT id, revision FROM dw.t WHERE is_current AND id IN (1, 2, 3, 11) ORDER BY id") == [
        (1, 1),
        (2, 1),
        (11, 0),
    ]
    place.next_run_is_right()


@pytest.mark.parametrize("rewrite", ["VACUUM FULL dw.t", "CLUSTER dw.t USING moved"])
def test_a_rewrite_of_the_table_waits_or_ends_the_run(rewrite: str, place: Place) -> None:
    place.target.execute("CREATE INDEX moved ON dw.t (name DESC)")

    def rewritten() -> None:
        with place.target.connect() as other:
            other.execute(rewrite)

    other = threading.Thread(target=rewritten)
    with place.hashes_are_read():
        other.start()
        wait_until(
            lambda: place.target.value("SELECT count(*) FROM pg_locks WHERE NOT granted") or not other.is_alive(),
            "the rewrite is done, or waits",
        )
    other.join()
    assert place.report["status"] == "success" or place.report["committed"] is False
    place.next_run_is_right()


def test_another_run_that_came_between_ends_the_run(place: Place) -> None:
    """Runs take turns by the lock; should one ever pass it, the generation shows it."""
    with place.hashes_are_read():
        place.target.execute("UPDATE ematix_flow.targets SET generation = generation + 1")
        before = place.target.rows(VERSIONS)
    place.failed()
    assert place.report["error"]["message"] == "another run wrote dw.t while this one compared"
    assert place.target.rows(VERSIONS) == before
    place.next_run_is_right()


def test_a_place_that_another_row_took_is_not_closed(place: Place) -> None:
    """The address alone would name a version that nobody read: a page is pruned while the run waits for the table."""
    target = place.target
    # Its version is the second of a chain within the page: pruning frees its very place.
    target.execute("UPDATE dw.t SET name = name WHERE id = 3")
    address = target.value("SELECT ctid::text FROM dw.t WHERE id = 3")
    insert = "INSERT INTO dw.t SELECT {}, '{}', 0, '2020-01-01', NULL, true, sha256('by hand')"
    with target.connect(autocommit=False) as earlier, target.connect(autocommit=False) as holder:
        # It has a number before the run has one: what it leaves dead, nobody needs to see.
        earlier.execute("SELECT pg_current_xact_id()")
        with place.hashes_are_read():
            holder.execute("LOCK TABLE dw.t IN ROW EXCLUSIVE MODE")
            earlier.execute("UPDATE dw.t SET name = name WHERE id = 3")
            earlier.commit()
            place.release()
            wait_until(
                lambda: target.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), "the run waits for the table"
            )
            for key in range(1000, 1040):
                holder.execute(insert.format(key, "x" * 150))
                if holder.execute(f"SELECT id FROM dw.t WHERE ctid = '{address}'").fetchall() not in ([], [(3,)]):
                    break
            taken = holder.execute(f"SELECT id FROM dw.t WHERE ctid = '{address}'").fetchall()
            assert taken and taken[0][0] >= 1000, "another row has the place"
            holder.commit()
    place.failed()
    assert target.rows(f"SELECT is_current FROM dw.t WHERE id = {taken[0][0]}") == [(True,)]
    place.next_run_is_right("--max-delete-fraction", "1")
