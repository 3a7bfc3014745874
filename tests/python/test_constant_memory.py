"""Peak memory of the client does not grow with the rows that pass; `./do soak` runs this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import counts

MEGABYTES = 100
LONG = 1200


def peak(flow: Flow, made: Across) -> tuple[float, dict[str, Any]]:
    """The highest resident memory of a run, in megabytes, and its report."""
    flow.project(made.text())
    megabytes, finished = flow.start("run", "p", "--output", "json").finish_and_measure(LONG)
    return megabytes, finished.json()


def project(query: str, mode: str, **options: Any) -> Across:
    made = Across()
    made.table("t", {"id": "bigint", "name": "text?"}, schema="dw")
    made.pipeline("p", query, "t", mode, **options)
    return made


@pytest.fixture
def source(database: Database, new_database: Callable[[], Database], flow: Flow) -> Database:
    source = new_database()
    connect(flow, source, database)
    return source


@pytest.mark.slow
def test_five_million_rows_are_staged(source: Database, database: Database, flow: Flow) -> None:
    query = "SELECT n AS id, repeat(md5(n::text), 2) AS name FROM generate_series(1, 5000000) AS n"
    megabytes, report = peak(flow, project(query, "append"))
    assert (report["path"], counts(report)) == ("staging", {"in": 5000000, "inserted": 5000000})
    assert megabytes < MEGABYTES


@pytest.mark.slow
def test_rows_of_a_megabyte_are_staged(source: Database, database: Database, flow: Flow) -> None:
    query = "SELECT n AS id, repeat(md5(n::text), 32768) AS name FROM generate_series(1, 500) AS n"
    megabytes, report = peak(flow, project(query, "append"))
    assert counts(report) == {"in": 500, "inserted": 500}
    assert megabytes < MEGABYTES


@pytest.mark.slow
def test_a_million_keys_are_compared_in_the_client(source: Database, database: Database, flow: Flow) -> None:
    query = "SELECT n AS id, md5(n::text) || {} AS name FROM generate_series(1, 1000000) AS n"
    project(query.format("''"), "scd2", keys="id").run(flow)
    changed = query.format("CASE WHEN n % 100 = 0 THEN '!' ELSE '' END")
    megabytes, report = peak(flow, project(changed, "scd2", keys="id"))
    assert report["path"] == "client_diff"
    assert counts(report) == {"in": 1000000, "inserted": 10000, "unchanged": 990000, "closed_out": 10000}
    assert megabytes < MEGABYTES
