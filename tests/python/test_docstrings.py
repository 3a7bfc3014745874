"""The examples in the package's docstrings that need a server, on two databases of their own."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import pytest
from database import Database
from docstrings import examples, needs_a_server, run_example

CUSTOMERS = """
    CREATE SCHEMA app;
    CREATE TABLE app.customers (customer_id bigint PRIMARY KEY, email text, plan text NOT NULL);
    INSERT INTO app.customers VALUES (17, 'ada@example.com', 'free'), (42, 'grace@example.com', 'team'), (99, NULL, 'free')
"""


@pytest.mark.parametrize("example", [it for it in examples() if needs_a_server(it)], ids=lambda it: it.name)
def test_an_example_shows_what_happens(
    example: doctest.DocTest,
    database: Database,
    new_database: Callable[[], Database],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ematix_flow import registry

    crm = new_database()
    crm.execute(CUSTOMERS)
    monkeypatch.setenv("EMATIX_FLOW_DSN_CRM", crm.dsn)
    monkeypatch.setenv("EMATIX_FLOW_DSN_WAREHOUSE", database.dsn)
    with registry.isolated():
        assert run_example(example) == ""
