"""What a run costs beside its rows: `flow run` of a source that has none, beside psql, which does the same in one statement."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from cells import STRATEGIES, cell
from contenders import Flow, flow_binary
from databases import Database
from measure import run
from proxy import Proxy
from tables import CUSTOMERS

# An empty source closes nothing and is no mistake here.
NOTHING = 'on_empty_source = "ignore"'


class Empty(Flow):
    """`flow` on a source without rows."""

    def options(self, measured: Any) -> list[str]:
        return [*super().options(measured), *([NOTHING] if measured.strategy in ("truncate", "replace") else [])]


def costs(home: Database, rounds: int) -> list[dict[str, Any]]:
    """Milliseconds, statements and round trips of a run that finds nothing, by strategy; printed as they come."""
    home.execute("CREATE SCHEMA IF NOT EXISTS raw", "DROP TABLE IF EXISTS raw.customers")
    home.execute(f"CREATE TABLE raw.customers ({CUSTOMERS.definition()}, PRIMARY KEY (customer_id))")
    found = []
    with tempfile.TemporaryDirectory(prefix="flow-bench.", dir="/tmp") as place:
        folder = Path(place)
        statement = ["psql", "-q", "-X", home.dsn, "-c", "SELECT count(*) FROM raw.customers"]
        bare = median(lambda: subprocess.run(statement, check=True, stdout=subprocess.DEVNULL), rounds)
        print(f"psql of one statement {bare:.1f} ms", flush=True)
        for strategy in STRATEGIES:
            if strategy == "events":
                continue
            measured = cell(strategy, "table", CUSTOMERS, 1, (0.0,))
            flow = Empty("empty", flow_binary(), home, home, folder)
            flow.prepare(measured)
            # The first makes the table.
            run(flow.command("run", "load"))
            took = median(lambda flow=flow: run(flow.command("run", "load")), rounds)
            proxy = Proxy(home.dsn, folder)
            counted = Empty("empty", flow_binary(), Database(proxy.dsn), home, folder)
            run(counted.command("run", "load"))
            proxy.close()
            (folder / ".s.PGSQL.5432").unlink()
            said = {
                "strategy": strategy,
                "milliseconds": round(took, 2),
                "psql_milliseconds": round(bare, 2),
                "sessions": proxy.sessions,
                "statements": proxy.statements,
                "round_trips": proxy.round_trips,
            }
            print(
                f"flow run of nothing, {strategy}: {took:.1f} ms, {proxy.sessions} sessions,"
                f" {proxy.statements} statements, {proxy.round_trips} round trips",
                flush=True,
            )
            found.append(said)
    return found


def median(work: Any, rounds: int) -> float:
    """Milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
