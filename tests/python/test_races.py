"""Processes that start at the same instant: one of them at a time changes a target, and none is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from customers import NO_VIOLATIONS, SOURCE, current, project, source, statuses, violations
from database import Database
from flow_binary import Flow

SUCCESS, LOCKED = 0, 5


@contextmanager
def a_source_that_changes(database: Database) -> Iterator[None]:
    """Another session changes rows all the time, each change with a higher revision."""
    stop = threading.Event()

    def change() -> None:
        with database.connect() as connection:
            turn = 0
            while not stop.wait(0.002):
                turn += 1
                connection.execute(
                    "UPDATE app.customers SET revision = revision + 1 WHERE customer_id IN (%s, %s)",
                    [turn % 10 + 1, turn * 7 % 10 + 1],
                )

    writer = threading.Thread(target=change)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


@pytest.mark.long
@pytest.mark.parametrize(
    ("processes", "rounds", "lock_timeout"),
    [(2, 100, "60s"), (8, 13, "60s"), (8, 5, "20ms")],
)
def test_processes_that_run_one_pipeline_at_the_same_instant_take_turns(
    database: Database, flow: Flow, processes: int, rounds: int, lock_timeout: str
) -> None:
    database.execute(SOURCE)
    config = flow.project(project(handle_deletes="soft", lock_timeout=lock_timeout))
    codes: Counter[int] = Counter()
    with a_source_that_changes(database):
        for _ in range(rounds):
            racing = [flow.start("run", "customers", config=config) for _ in range(processes)]
            codes.update(each.finish({SUCCESS, LOCKED}).code for each in racing)
    assert violations(database) == NO_VIOLATIONS
    assert codes[SUCCESS] >= rounds
    assert Counter(statuses(database)) == +Counter(success=codes[SUCCESS], locked=codes[LOCKED])
    if lock_timeout == "60s":
        assert codes == {SUCCESS: processes * rounds}
    last = flow("run", "customers", "--output", "json", config=config).json()
    assert last["rows_in"] == last["rows_inserted"] + last["rows_unchanged"] == 10
    assert current(database) == source(database)
    assert violations(database) == NO_VIOLATIONS


def test_two_pipelines_of_one_target_take_turns(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    text = project()
    config = flow.project(text + text[text.index("[pipelines.customers]") :].replace("customers]", "again]"))
    with a_source_that_changes(database):
        for _ in range(10):
            racing = [flow.start("run", name, config=config) for name in ("customers", "again")]
            assert [each.finish().code for each in racing] == [0, 0]
    assert violations(database) == NO_VIOLATIONS


def twenty_pipelines(schema: str) -> str:
    pipelines = [
        f"""
[tables.t{n}]
schema = "{schema}"
natural_key = "customer_id"
columns = {{ customer_id = "bigint", name = "text?", revision = "bigint" }}

[pipelines.p{n}]
source = {{ table = "app.customers" }}
target = "t{n}"
mode = "{mode}"
"""
        for n, mode in enumerate(["scd2", "merge", "append", "truncate"] * 5)
    ]
    return "".join(pipelines)


def test_twenty_first_runs_at_once_create_schemas_and_metadata_together(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(twenty_pipelines("analytics"))
    racing = [flow.start("run", f"p{n}", config=config) for n in range(20)]
    assert [each.finish(None).code for each in racing] == [0] * 20
    counts = [database.value(f"SELECT count(*) FROM analytics.t{n}") for n in range(20)]
    assert counts == [10] * 20
    assert statuses(database) == ["success"] * 20
    assert database.rows("SELECT version FROM ematix_flow.metadata") == [(5,)]


def test_twenty_first_runs_of_one_pipeline_create_its_table_once(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project())
    racing = [flow.start("run", "customers", config=config) for _ in range(20)]
    assert [each.finish(None).code for each in racing] == [0] * 20
    assert database.rows("SELECT count(*) FROM ematix_flow.schema_history WHERE created") == [(1,)]
    assert database.rows("SELECT count(*), sum(rows_inserted) FROM ematix_flow.run_history") == [(20, 10)]
    assert violations(database) == NO_VIOLATIONS
