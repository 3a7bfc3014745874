"""`parallel`: several sessions read one table of another database, each a part of its pages, all at one instant."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from across import SESSIONS, Across, connect
from customers import wait_until
from database import Database
from flow_binary import Flow

# 1,100 pages: four sessions have more than the fewest pages each.
ROWS, SESSIONS_THAT_READ = 30_000, 4
SOURCE = f"""
CREATE SCHEMA app;
CREATE TABLE app.accounts (id bigint PRIMARY KEY, owner text, balance bigint NOT NULL);
INSERT INTO app.accounts SELECT n, repeat(md5(n::text), 8), 100 FROM generate_series(1, {ROWS}) AS n;
"""


@pytest.fixture
def source(new_database: Callable[[], Database], database: Database, flow: Flow) -> Database:
    made = new_database()
    made.execute(SOURCE)
    connect(flow, made, database)
    return made


def project(mode: str, source: Any = "app.accounts", connections: Any = None, **options: Any) -> str:
    made = Across(connections=connections or {})
    made.table("t", {"id": "bigint", "owner": "text?", "balance": "bigint"}, schema="dw")
    if mode in ("merge", "scd2"):
        options = {"keys": "id", **options}
    made.pipeline("p", source, "t", mode, **{"parallel": SESSIONS_THAT_READ, **options})
    return made.text()


def reading_of(plan: Any) -> str:
    [step] = [step["sql"] for step in plan["steps"] if "TO STDOUT" in step["sql"]]
    return str(step)


@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
def test_every_row_comes_once(mode: str, source: Database, database: Database, flow: Flow) -> None:
    flow.project(project(mode))
    reading = reading_of(flow("plan", "p", "--output", "json").json()["pipelines"][0])
    assert [f"session {n} of {SESSIONS_THAT_READ}" in reading for n in (1, 4)] == [True, True]
    report = flow("run", "p", "--output", "json").json()
    assert (report["rows_in"], report["rows_inserted"]) == (ROWS, ROWS)
    whole = "SELECT count(*), count(DISTINCT id), sum(id), md5(string_agg(owner, '' ORDER BY id))"
    assert database.rows(f"{whole} FROM dw.t") == source.rows(f"{whole} FROM app.accounts")
    source.execute("UPDATE app.accounts SET balance = 7 WHERE id <= 10; DELETE FROM app.accounts WHERE id > 29990")
    if mode in ("merge", "scd2"):
        again = flow("run", "p", "--output", "json").json()
        assert (again["rows_in"], again["rows_unchanged"]) == (ROWS - 10, ROWS - 20)
        assert database.value("SELECT count(*) FROM dw.t WHERE balance = 7") == 10


def test_all_sessions_read_at_one_instant(source: Database, database: Database, flow: Flow) -> None:
    """Money moves between accounts while they are read, and both of them to another page: several instants would show some
    twice and others not at all."""
    flow.project(project("truncate"))
    stop = threading.Event()

    def move() -> None:
        with source.connect() as teller:
            for account in itertools.cycle(range(1, 15_000)):
                if stop.is_set():
                    return
                teller.execute(
                    "UPDATE app.accounts SET balance = balance + CASE id WHEN %s THEN 1 ELSE -1 END WHERE id IN (%s, %s)",
                    (account, account, account + 15_000),
                )

    moving = threading.Thread(target=move)
    moving.start()
    try:
        for _ in range(3):
            flow("run", "p")
            assert database.rows("SELECT count(*), sum(balance) FROM dw.t") == [(ROWS, ROWS * 100)]
    finally:
        stop.set()
        moving.join()


def test_a_session_that_is_ended_ends_the_run(source: Database, database: Database, flow: Flow) -> None:
    flow.project(project("merge", lease="1s"))
    role = f"reader_{source.name}"
    with source.connect() as holder:
        # Rows of the last pages wait; the other sessions have sent theirs.
        holder.execute(
            "CREATE FUNCTION app.held(id bigint) RETURNS boolean LANGUAGE sql STABLE"
            " RETURN id <> 29000 OR pg_advisory_lock_shared(7) IS NOT NULL"
        )
        holder.execute("ALTER TABLE app.accounts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        holder.execute("CREATE POLICY held ON app.accounts USING (app.held(id))")
        holder.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA app TO {role}")
        holder.execute(f"GRANT SELECT ON app.accounts TO {role}; SELECT pg_advisory_lock(7)")
        try:
            flow.variables["CRM"] = source.dsn_as(role)
            text = project("merge", lease="1s", connections={"crm": {"session": {"row_security": "on"}}})
            running = flow.start("run", "p", "--output", "json", config=text)
            waits = f"SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND {SESSIONS}"
            wait_until(lambda: source.rows(waits), "a session that waits")
            [(pid,)] = source.rows(waits)
            source.execute(f"SELECT pg_terminate_backend({pid})")
            report = running.finish(expect=1).json()
        finally:
            holder.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert (report["status"], report["committed"], report["error"]["code"]) == ("failed", False, "connection_lost")
    assert database.value("SELECT to_regclass('dw.t') IS NULL")
    wait_until(lambda: not source.rows(f"SELECT pid FROM pg_stat_activity WHERE {SESSIONS}"), "no session is left")


def test_a_small_table_is_read_by_one_session(source: Database, flow: Flow) -> None:
    source.execute("CREATE TABLE app.small AS SELECT * FROM app.accounts LIMIT 10")
    flow.project(project("merge", "app.small"))
    plan = flow("plan", "p", "--output", "json").json()["pipelines"][0]
    assert "session 1" not in reading_of(plan)
    assert "parallel: one session reads the source, whose table has 1 pages" in plan["notes"]


def test_what_came_since_the_watermark_is_read_by_one_session(source: Database, database: Database, flow: Flow) -> None:
    flow.project(project("append", incremental_column="id"))
    assert flow("run", "p", "--output", "json").json()["rows_inserted"] == ROWS
    plan = flow("plan", "p", "--output", "json").json()["pipelines"][0]
    assert "parallel: one session reads the source, it reads a part of the table, which an index finds" in plan["notes"]
    source.execute("INSERT INTO app.accounts VALUES (40000, 'Ada', 1)")
    assert flow("run", "p", "--output", "json").json()["rows_inserted"] == 1
    assert database.value("SELECT count(*) FROM dw.t") == ROWS + 1


def test_a_connection_has_room_for_all_of_them(source: Database, flow: Flow) -> None:
    flow.project(project("merge", connections={"crm": {"max_connections": 4}}))
    error = flow("run", "p", "--output", "json", expect=2).json()["error"]
    assert "may have 4 at once, and a run of `p` needs 5 there" in error["message"]
    flow.project(project("merge", connections={"crm": {"max_connections": 5}}))
    flow("run", "p")
    # Where the target is there, too, its load and the row in the history have a session each besides.
    text = project("merge", connections={"crm": {"max_connections": 6}}, force_path="staging")
    flow.project(text.replace('"warehouse"', '"crm"'))
    error = flow("run", "p", "--output", "json", expect=2).json()["error"]
    assert "may have 6 at once, and a run of `p` needs 7 there" in error["message"]


def test_said_for_one_run(source: Database, flow: Flow) -> None:
    flow.project(project("merge"))
    assert "parallel = 65 is not between 1 and 64" in flow("plan", "p", "--parallel", "65", expect=2).stderr
    flow.project(project("merge", parallel=1))
    plan = flow("plan", "p", "--parallel", "2", "--output", "json").json()["pipelines"][0]
    assert "session 2 of 2" in reading_of(plan)
    flow("run", "p", "--parallel", "2")


REFUSED: dict[str, tuple[tuple[str, str], dict[str, Any], str]] = {
    "a query": (("merge", "SELECT id, owner, balance FROM app.accounts WHERE id > 5"), {}, "more than name columns"),
    "ranked": (
        ("merge", "app.accounts"),
        {"on_duplicate": "latest", "order_by": "balance"},
        '`parallel` and `on_duplicate = "latest"` exclude each other',
    ),
    "helpers": (
        ("merge", "app.accounts"),
        {"transforms_pre": [{"filter_where": "id > 5"}]},
        "looks at all rows of the query",
    ),
    "path": (("scd2", "app.accounts"), {"force_path": "client_diff"}, "`force_path` says otherwise"),
    "none": (("merge", "app.accounts"), {"parallel": 0}, "must lie between 1 and 64"),
    "many": (("merge", "app.accounts"), {"parallel": 65}, "must lie between 1 and 64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_do_is_refused_before_anything_runs(case: str, flow: Flow, source: Database) -> None:
    (mode, reads), options, message = REFUSED[case]
    flow.project(project(mode, reads, **options))
    [error] = flow("validate", "--output", "json", expect=2).json()["errors"]
    assert message in error["message"] and error["location"]["file"] == "pipelines.toml"


VIEWS = {
    "view": ("CREATE VIEW app.other AS SELECT * FROM app.accounts", "its source is a view"),
    "parts": (
        """CREATE TABLE app.other (LIKE app.accounts) PARTITION BY HASH (id);
        CREATE TABLE app.other_0 PARTITION OF app.other FOR VALUES WITH (MODULUS 1, REMAINDER 0)""",
        "do not lie in one file of pages",
    ),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_a_source_that_is_no_table_is_refused(kind: str, source: Database, flow: Flow) -> None:
    made, message = VIEWS[kind]
    source.execute(made)
    flow.project(project("merge", "app.other"))
    error = flow("run", "p", "--output", "json", expect=None).json()["error"]
    assert (error["code"], message in error["message"]) == ("path_impossible", True), error


def test_one_database_is_read_by_its_own_workers(source: Database, flow: Flow) -> None:
    connect(flow, source, source)
    flow.project(project("merge"))
    error = flow("run", "p", "--output", "json", expect=None).json()["error"]
    assert (error["code"], error["hint"]) == ("path_impossible", "parallel = 1")
    assert "one database, where one statement reads and writes" in error["message"]
