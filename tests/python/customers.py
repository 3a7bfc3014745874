"""The project that tests of concurrency, failure and privileges share: customers, kept by any strategy.

`app.customers` counts its changes in `revision`, so that a history shows whether an older reading was ever applied
after a newer one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from database import POOLER, Database

if TYPE_CHECKING:
    from duckdb_file import DuckDbFile

SOURCE = """
CREATE SCHEMA IF NOT EXISTS app;
CREATE TABLE app.customers (customer_id bigint PRIMARY KEY, name text NOT NULL, revision bigint NOT NULL);
INSERT INTO app.customers SELECT n, 'customer ' || n, 0 FROM generate_series(1, 10) AS n;
"""

TABLE = """
[tables.dim_customers]
schema = "analytics"
natural_key = ["customer_id"]
columns = { customer_id = "bigint", name = "text?", revision = "bigint" }
"""


def project(mode: str = "scd2", query: str | None = None, **options: Any) -> str:
    """A pipelines.toml whose pipeline `customers` loads app.customers, or `query`, into analytics.dim_customers."""
    source = {"table": "app.customers"} if query is None else {"query": query}
    chosen = {"source": source, "target": "dim_customers", "mode": mode, **options}
    lines = [f"{name} = {toml(value)}" for name, value in chosen.items()]
    return "\n".join([TABLE, "[pipelines.customers]", *lines, ""])


def toml(value: Any) -> str:
    """A value as TOML writes it; JSON's strings, numbers and arrays are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def current(database: Database | DuckDbFile) -> list[tuple[Any, ...]]:
    """The current versions."""
    return database.rows(
        "SELECT customer_id, name, revision FROM analytics.dim_customers WHERE is_current ORDER BY customer_id"
    )


def source(database: Database | DuckDbFile) -> list[tuple[Any, ...]]:
    return database.rows("SELECT customer_id, name, revision FROM app.customers ORDER BY customer_id")


def violations(database: Database | DuckDbFile) -> dict[str, list[tuple[Any, ...]]]:
    """What no history may show, whatever raced, died or was repeated; empty lists when all is well."""
    return {
        "several current versions": database.rows(
            "SELECT customer_id FROM analytics.dim_customers WHERE is_current GROUP BY 1 HAVING count(*) > 1"
        ),
        "overlaps and gaps": database.rows(
            "SELECT customer_id, valid_to, next FROM (SELECT customer_id, valid_to, lead(valid_from) OVER w AS next"
            " FROM analytics.dim_customers WINDOW w AS (PARTITION BY customer_id ORDER BY valid_from)) AS v"
            " WHERE next IS DISTINCT FROM valid_to"
        ),
        "an older reading after a newer one": database.rows(
            "SELECT customer_id, revision, next FROM (SELECT customer_id, revision, lead(revision) OVER w AS next"
            " FROM analytics.dim_customers WINDOW w AS (PARTITION BY customer_id ORDER BY valid_from)) AS v"
            " WHERE next <= revision"
        ),
    }


NO_VIOLATIONS: dict[str, list[tuple[Any, ...]]] = {
    "several current versions": [],
    "overlaps and gaps": [],
    "an older reading after a newer one": [],
}


def left_behind(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What a run that ended, however it ended, must not leave: intermediate tables, locks, sessions."""
    return {
        "tables": database.rows(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'ematix_flow'::regnamespace"
            " AND relname ~ '^_ematix' AND relkind = 'r'"
        ),
        "locks": database.rows(
            "SELECT pid, objid FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        "sessions": sessions(database),
    }


NOTHING_LEFT_BEHIND: dict[str, list[tuple[Any, ...]]] = {"tables": [], "locks": [], "sessions": []}


def sessions(database: Database) -> list[tuple[Any, ...]]:
    """The sessions of `flow` on this database, with what they do."""
    return database.rows(
        "SELECT pid, state, query FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'ematix-flow%%'"
        # A pooler keeps the sessions that nobody uses.
        + (" AND state <> 'idle'" if POOLER in os.environ else "")
    )


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 15) -> None:
    """Looks until it is so; a test that waits a fixed time is either slow or unreliable."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(0.01)


def wait_until_nothing_is_left(database: Database) -> None:
    """A session needs a moment to go after its client did."""
    deadline = time.monotonic() + 15
    while (left := left_behind(database)) != NOTHING_LEFT_BEHIND:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def wait_for_statement(database: Database, words: str, ready: str = "true") -> int:
    """Waits until a session of `flow` runs a statement with these words; returns its server process."""
    found: list[tuple[Any, ...]] = []

    def is_there() -> bool:
        found[:] = database.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            f" AND application_name LIKE 'ematix-flow%%' AND position(%s in query) > 0 AND {ready}",
            [words],
        )
        return bool(found)

    wait_until(is_there, f"a session of flow runs {words!r}")
    return int(found[0][0])


def statuses(database: Database) -> list[str]:
    """How every recorded run ended, oldest first."""
    rows = database.rows("SELECT status FROM ematix_flow.run_history ORDER BY started_at, run_id")
    return [status for (status,) in rows]
