"""The pytest plugin, run as a user's tests run it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fake_core import Core

from ematix_flow import BigInt, SpecError, Text, connect, ematix, pk
from ematix_flow.testing import assert_history, database_dsn, flow_db

__all__ = ["flow_db"]  # a fixture: where the package is installed, pytest finds it by itself


@ematix.table(schema="analytics")
class Dim:
    id: Annotated[BigInt, pk()]
    status: Text | None


@pytest.fixture
def history(core: Core) -> Core:
    core.answers["query"] = (
        ["id", "status", "is_current"],
        [(17, "new", False), (17, "active", True)],
    )
    return core


def test_a_history_as_expected_passes(history: Core) -> None:
    assert_history(connect("dwh"), Dim, key=17, versions=[{"status": "new"}, {"status": "active", "is_current": True}])
    assert history.asked[-1] == (
        "query",
        'SELECT * FROM "analytics"."dim" WHERE "id" = :key0 ORDER BY "valid_from"',
        {"key0": 17},
    )


@pytest.mark.parametrize(
    "versions",
    [
        [{"status": "new"}],
        [{"status": "new"}, {"status": "gone"}],
        [{"status": "new"}, {"status": "active", "is_current": False}],
        [{"status": "new"}, {"status": "active"}, {"status": "active"}],
    ],
)
def test_a_history_otherwise_fails_with_both(history: Core, versions: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_history(connect("dwh"), Dim, key={"id": 17}, versions=versions)
    text = str(caught.value)
    assert f"expected {len(versions)} versions" in text and "found 2:" in text and "'active'" in text


def test_a_column_that_is_not_there_is_named(history: Core) -> None:
    with pytest.raises(AssertionError, match="has no column stauts; it has id, status, is_current"):
        assert_history(connect("dwh"), "raw.t", key={"id": 1}, versions=[{"stauts": "new"}])


def test_a_key_without_a_name_needs_a_class(history: Core) -> None:
    with pytest.raises(SpecError, match="which column is 17"):
        assert_history(connect("dwh"), "raw.t", key=17, versions=[])


@pytest.mark.parametrize(
    ("dsn", "other"),
    [
        ("postgresql://u@h/postgres", "postgresql://u@h/x"),
        ("postgresql://u@h", "postgresql://u@h/x"),
        ("postgresql:///postgres?host=/run/pg&dbname=y", "postgresql:///x?host=/run/pg"),
        ("host=/run/pg", "host=/run/pg dbname=x"),
    ],
)
def test_another_database_of_the_server(dsn: str, other: str) -> None:
    assert database_dsn(dsn, "x") == other


def test_each_test_has_a_database_of_its_own(core: Core, monkeypatch: pytest.MonkeyPatch, request: Any) -> None:
    monkeypatch.setenv("EMATIX_FLOW_TEST_DSN", "postgresql://u@h/postgres")
    database = request.getfixturevalue("flow_db")
    assert database.dsn.startswith("postgresql://u@h/flow_test_")
    assert os.environ["EMATIX_FLOW_DSN"] == database.dsn
    database.serves("warehouse")
    assert os.environ["EMATIX_FLOW_DSN_WAREHOUSE"] == database.dsn
    name = database.dsn.rpartition("/")[2]
    assert core.asked == [
        ("session", "postgresql://u@h/postgres", None),
        ("execute", f"CREATE DATABASE {name}", None),
    ]


@pytest.fixture
def after(core: Core) -> Iterator[None]:
    yield
    name = core.asked[1][1].removeprefix("CREATE DATABASE ")
    assert core.asked[-2:] == [("execute", f"DROP DATABASE {name} WITH (FORCE)", None), ("close",)]


@pytest.mark.usefixtures("after")
def test_the_database_is_dropped_behind_the_test(monkeypatch: pytest.MonkeyPatch, request: Any) -> None:
    monkeypatch.setenv("EMATIX_FLOW_TEST_DSN", "host=h")
    request.getfixturevalue("flow_db").execute("SELECT 1")
