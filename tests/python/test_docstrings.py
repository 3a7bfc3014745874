"""The examples in the package's docstrings that need a server, on two databases of their own."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from database import Database
from docstrings import PACKAGE, examples, needs_a_server, run_example

CUSTOMERS = """
    CREATE SCHEMA app;
    CREATE TABLE app.customers (customer_id bigint PRIMARY KEY, email text, plan text NOT NULL);
    INSERT INTO app.customers VALUES (17, 'ada@example.com', 'free'), (42, 'grace@example.com', 'team'), (99, NULL, 'free')
"""
MINE = """
from typing import Annotated
from ematix_flow import BigInt, Text, ematix, pipeline, pk
from ematix_flow.testing import assert_history

@ematix.table()
class DimCustomers:
    id: Annotated[BigInt, pk()]
    status: Text | None

@ematix.pipeline(target=DimCustomers, mode="scd2", source_connection="crm", target_connection="warehouse")
def customers(conn):
    return "SELECT id, status FROM customers"

"""


@pytest.mark.parametrize("example", [it for it in examples() if needs_a_server(it)], ids=lambda it: it.name)
def test_an_example_shows_what_happens(
    example: doctest.DocTest,
    database: Database,
    new_database: Callable[[], Database],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ematix_flow.declare import registry

    crm = new_database()
    crm.execute(CUSTOMERS)
    monkeypatch.setenv("EMATIX_FLOW_DSN_CRM", crm.dsn)
    monkeypatch.setenv("EMATIX_FLOW_DSN_WAREHOUSE", database.dsn)
    with registry.isolated():
        assert run_example(example) == ""


def test_the_test_that_the_plugin_shows_passes(database: Database, tmp_path: Path) -> None:
    """What `ematix_flow.testing` tells users to write, as a file of theirs beside a pipeline of theirs."""
    from ematix_flow import testing

    shown = textwrap.dedent((testing.__doc__ or "").split("\n\n")[1])
    assert shown.startswith("def test_")
    (tmp_path / "test_mine.py").write_text(MINE + shown)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "ematix_flow.testing", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent), "EMATIX_FLOW_TEST_DSN": database.dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
