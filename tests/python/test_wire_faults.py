"""A wire that fails anywhere in the exchange of a run: all or nothing, a history that tells the truth, and a next run.

Each test loads a small table by one strategy and one path, measures how many bytes pass, and then runs again and again
with a fault at another place. `./do soak` tries every place of a finer grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from across import Across, connect
from customers import left_behind, wait_until_nothing_is_left
from database import Database
from flow_binary import Finished, Flow
from wire import After, AtStatement, Fault, Wire, wire

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.rows (id bigint PRIMARY KEY, name text NOT NULL, revision bigint NOT NULL);
INSERT INTO app.rows SELECT n, repeat('name ' || n || ' ', 8), 0 FROM generate_series(1, 40) AS n;
CREATE TABLE app.events (id bigint, name text, happened_at timestamptz);
INSERT INTO app.events SELECT n, repeat('name ' || n || ' ', 8), '2026-01-01 00:00+00' FROM generate_series(1, 40) AS n;
"""

# One more row, a few that are changed, and events that continue some histories: what every run has to do.
TURN = """
INSERT INTO app.rows VALUES ({id}, 'new', {turn});
UPDATE app.rows SET revision = {turn} WHERE id <= 10 AND id % 3 = {turn} % 3;
INSERT INTO app.events SELECT n, 'turn {turn}', '2026-01-01 00:00+00'::timestamptz + interval '{turn} min'
  FROM generate_series(1 + {turn} % 5, 30, 5) AS n;
"""

LEASE = "1s"
# Where one connection is silent, and its server well, nothing else ends the run.
LIMIT = "6s"

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Strategy:
    """How the source is loaded, what is looked at, and what a run makes of it: by PRD and contract, not by our SQL."""

    source: str
    mode: str
    options: dict[str, Any]
    columns: dict[str, str]
    shape: str
    after: Callable[[Rows, Rows], Rows]


def appended(before: Rows, source: Rows) -> Rows:
    last = max((row[0] for row in before), default=0)
    return sorted(before + [row for row in source if row[0] > last])


def replaced(before: Rows, source: Rows) -> Rows:
    return source


def versions(before: Rows, source: Rows) -> Rows:
    now = {row[0]: row for row in source}
    kept = [(*row[:3], row[3] and row[:3] == now[row[0]]) for row in before]
    current = {row[0] for row in kept if row[3]}
    return sorted(kept + [(*row, True) for row in source if row[0] not in current])


def by_time(before: Rows, source: Rows) -> Rows:
    made = []
    for (key, name, begin), following in zip(source, [*source[1:], (None,)], strict=True):
        end = following[2] if following[0] == key else None
        made.append((key, name, begin, end, end is None))
    return made


COLUMNS = {"id": "bigint", "name": "text", "revision": "bigint"}
PLAIN = "SELECT id, name, revision FROM dw.t ORDER BY id"
VERSIONS = "SELECT id, name, revision, is_current FROM dw.t ORDER BY id, name, revision, is_current"
BY_TIME = "SELECT id, name, valid_from, valid_to, is_current FROM dw.t ORDER BY id, valid_from"

STRATEGIES = {
    "append": Strategy("rows", "append", {"incremental_column": "id"}, COLUMNS, PLAIN, appended),
    "truncate": Strategy("rows", "truncate", {}, COLUMNS, PLAIN, replaced),
    "merge": Strategy("rows", "merge", {"keys": "id"}, COLUMNS, PLAIN, replaced),
    "scd2": Strategy("rows", "scd2", {"keys": "id"}, COLUMNS, VERSIONS, versions),
    "by event time": Strategy(
        "events",
        "scd2",
        {"keys": "id", "event_timestamp_column": "happened_at"},
        {"id": "bigint", "name": "text", "happened_at": "timestamptz"},
        BY_TIME,
        by_time,
    ),
}
SOURCES = {
    "rows": "SELECT id, name, revision FROM app.rows ORDER BY id",
    "events": "SELECT id, name, happened_at FROM app.events ORDER BY id, happened_at",
}
PATHS = {"same_db": ["target"], "staging": ["source", "target"]}
CASES = [
    *((name, path, side) for name in STRATEGIES for path, sides in PATHS.items() for side in sides),
    *(("scd2", "client_diff", side) for side in ("source", "target")),
]


@dataclass
class Load:
    """A pipeline whose target was loaded once, and what it must be after each turn."""

    flow: Flow
    strategy: Strategy
    path: str
    source: Database
    target: Database
    wire: Wire
    side: str
    turn: int = 0
    known: set[str] = field(default_factory=set)

    def project(self) -> str:
        made = Across()
        made.table("t", self.strategy.columns, schema="dw")
        made.pipeline("p", f"app.{self.strategy.source}", "t", self.strategy.mode, lease=LEASE, **self.strategy.options)
        return made.text()

    def run(self, *, by_wire: bool) -> Finished:
        ends: dict[str, Database | str] = {"source": self.source, "target": self.target}
        if by_wire:
            # In one database everything passes by one wire, whoever is asked for the rows.
            for each in ends if self.path == "same_db" else [self.side]:
                ends[each] = self.wire.dsn(connect_timeout="1")
        connect(self.flow, ends["source"], ends["target"])
        limit = ["--run-timeout", LIMIT] if by_wire and self.ends_by_time else []
        # There is nothing to compare before a first run.
        is_possible = self.path == "staging" or (self.path == "client_diff" and self.turn)
        forced = ["--force-path", self.path] if is_possible else []
        return self.flow("run", "p", "--output", "json", *limit, *forced, expect=None, timeout=60)

    @property
    def ends_by_time(self) -> bool:
        return self.wire.due is not None and self.wire.due.fault is Fault.STALL

    def rows(self) -> Rows:
        return self.target.rows(self.strategy.shape)

    def next_turn(self) -> tuple[Rows, Rows]:
        """Changes the source; what the target is, and what it must be after a run."""
        self.turn += 1
        self.source.execute(TURN.format(id=1000 + self.turn, turn=self.turn))
        before = self.rows()
        return before, self.strategy.after(before, self.source.rows(SOURCES[self.strategy.source]))

    def new_runs(self) -> list[str]:
        """The statuses of the runs that were entered since this was asked last."""
        rows = self.target.rows("SELECT run_id::text, status FROM ematix_flow.run_history ORDER BY started_at")
        new = [(run_id, status) for run_id, status in rows if run_id not in self.known]
        self.known |= {run_id for run_id, _ in new}
        return [status for _, status in new]

    def measure(self) -> int:
        """How many bytes pass in a run where nothing fails."""
        before, after = self.next_turn()
        self.wire.arm(None)
        finished = self.run(by_wire=True)
        assert (finished.code, self.rows(), self.new_runs()) == (0, after, ["success"]), finished
        assert finished.json()["path"] == self.path
        assert after != before
        return self.wire.passed

    def fail(self, due: After | AtStatement) -> str:
        """A run whose wire fails, and the next one, which does not; how the first has ended."""
        before, after = self.next_turn()
        self.wire.arm(due)
        finished = self.run(by_wire=True)
        now, runs = self.rows(), self.new_runs()
        what = f"{due} {finished}"
        assert now in (before, after), what
        stands = now == after
        # A run that ended before it was entered has no row, and nothing of it stands.
        # One that can tell nobody how it has ended is found lost by the next one.
        unsuccessful = [["failed"], ["running"]] if due.fault is Fault.HANG else [["failed"], []]
        assert runs in ([["success"]] if stands else unsuccessful), (runs, what)
        assert finished.code in ({0} if stands else {1, 6}), what
        report = finished.json()
        assert (report["status"], report["committed"]) == (("success", True) if stands else ("failed", False)), what
        if not stands:
            assert report["error"]["code"] in ("connection_lost", "connect_failed", "connect_timeout", "timeout"), what
        finished = self.run(by_wire=False)
        assert (finished.code, self.rows(), self.new_runs()) == (0, after, ["success"]), (what, finished)
        self.wire.mend()
        return report["status"] if self.wire.struck else "not struck"

    def leaves_nothing(self) -> None:
        wait_until_nothing_is_left(self.target)
        assert left_behind(self.target)["tables"] == []


@pytest.fixture
def loads(
    request: pytest.FixtureRequest, database: Database, new_database: Callable[[], Database], flow: Flow
) -> Iterator[Load]:
    name, path, side = request.param
    source = database if path == "same_db" else new_database()
    source.execute(SOURCE)
    with wire(source if side == "source" else database) as made:
        load = Load(flow, STRATEGIES[name], path, source, database, made, side)
        flow.project(load.project())
        first = load.run(by_wire=False)
        assert first.code == 0, first
        load.new_runs()
        yield load


def places(whole: int, count: int) -> list[int]:
    """So many places of an exchange, from its first byte to its last."""
    return [1 + (whole - 2) * at // (count - 1) for at in range(count)]


def sweep(load: Load, count: int) -> None:
    whole = load.measure()
    kinds = [Fault.CUT, Fault.RESET]
    ended = [load.fail(After(kinds[at % 2], place)) for at, place in enumerate(places(whole, count))]
    assert "failed" in ended
    load.leaves_nothing()


def ids(case: Any) -> str:
    return "-".join(case)


@pytest.mark.parametrize("loads", CASES, ids=ids, indirect=True)
def test_a_wire_that_breaks_leaves_all_or_nothing_and_a_true_history(loads: Load) -> None:
    sweep(loads, 3)


@pytest.mark.slow
@pytest.mark.parametrize("loads", CASES, ids=ids, indirect=True)
def test_a_wire_that_breaks_anywhere_leaves_all_or_nothing_and_a_true_history(loads: Load) -> None:
    sweep(loads, 60)


@pytest.mark.parametrize(
    ("fault", "is_heard"),
    [
        (Fault.CUT, True),
        (Fault.RESET, False),
        pytest.param(Fault.RESET, True, marks=pytest.mark.slow),
        pytest.param(Fault.CUT, False, marks=pytest.mark.slow),
    ],
    ids=["cut, heard", "reset, unheard", "reset, heard", "cut, unheard"],
)
@pytest.mark.parametrize("loads", [case for case in CASES if case[2] == "target"], ids=ids, indirect=True)
def test_a_commit_whose_wire_breaks_is_what_the_server_made_of_it(loads: Load, fault: Fault, is_heard: bool) -> None:
    ended = loads.fail(AtStatement(fault, is_heard))
    assert ended == ("success" if is_heard else "failed")
    loads.leaves_nothing()


@pytest.mark.parametrize("loads", [("merge", "same_db", "target")], ids=ids, indirect=True)
def test_a_run_that_was_entered_without_an_answer_is_told_as_failed(loads: Load) -> None:
    assert loads.fail(AtStatement(Fault.CUT, is_heard=True, words=b"started_by, host, pid")) == "failed"
    ended = loads.target.rows("SELECT status, error_code FROM ematix_flow.run_history ORDER BY started_at")
    assert ended == [("success", None), ("failed", "connection_lost"), ("success", None)]


@pytest.mark.parametrize("loads", [("merge", "staging", "target")], ids=ids, indirect=True)
def test_a_server_that_waits_for_rows_of_a_broken_connection_frees_its_target(loads: Load) -> None:
    """Nothing of its own ends a session that is in the middle of COPY and was not told that nobody is there."""
    due = AtStatement(Fault.RESET, is_heard=True, words=b"FROM STDIN")
    assert loads.fail(due) == "failed"
    loads.leaves_nothing()


@pytest.mark.long
@pytest.mark.parametrize("fault", [Fault.STALL, Fault.HANG], ids=["stall", "hang"])
@pytest.mark.parametrize(
    "loads", [("merge", "staging", "source"), ("scd2", "same_db", "target")], ids=ids, indirect=True
)
def test_a_wire_that_falls_silent_ends_the_run_and_leaves_all_or_nothing(loads: Load, fault: Fault) -> None:
    whole = loads.measure()
    assert loads.fail(After(fault, whole // 2)) == "failed"
    loads.leaves_nothing()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.STALL, Fault.HANG], ids=["stall", "hang"])
@pytest.mark.parametrize("loads", CASES, ids=ids, indirect=True)
def test_a_wire_that_falls_silent_anywhere_leaves_all_or_nothing(loads: Load, fault: Fault) -> None:
    whole = loads.measure()
    for place in places(whole, 12):
        loads.fail(After(fault, place))
    loads.leaves_nothing()


@pytest.mark.parametrize(
    "loads", [("append", "staging", "source"), ("scd2", "client_diff", "target")], ids=ids, indirect=True
)
def test_a_wire_that_passes_a_few_bytes_at_a_time_changes_nothing(loads: Load) -> None:
    loads.measure()
    _, after = loads.next_turn()
    loads.wire.arm(After(Fault.SLOW, 100))
    finished = loads.run(by_wire=True)
    assert loads.wire.struck
    assert (finished.code, loads.rows(), loads.new_runs()) == (0, after, ["success"]), finished
