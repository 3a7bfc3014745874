"""The DSN of a test's own database. The plugin itself is in test_pytest_plugin.py, with a server."""

from __future__ import annotations

import pytest

from ematix_flow.testing import database_dsn


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
