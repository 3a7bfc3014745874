"""Whatever becomes of what is told others: no run fails by it or waits for it, and a process ends a second later at most."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from database import Database
from flow_binary import Flow
from python_package import Interpreter
from receiver import broken, receiver

pytestmark = pytest.mark.clock

PROJECT = """
[pipelines.customers]
source = { query = "SELECT 1::bigint AS id" }
target = "public.customers"
keys = "id"
mode = "merge"
"""

# What a process takes besides, on a machine that does other things.
SLACK_SECONDS = 2.0


def everywhere(url: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OPENLINEAGE_URL": url, "OPENLINEAGE__TRANSPORT__TIMEOUT": "30"}


@pytest.mark.parametrize("how", ["hangs", "refuses", "rubbish", "500"])
def test_a_broken_endpoint_costs_a_run_nothing_and_the_process_a_second(
    flow: Flow, database: Database, how: str
) -> None:
    flow.project(PROJECT)
    before = time.monotonic()
    flow("run", "customers")
    usual = time.monotonic() - before
    with broken(how) as url:
        before = time.monotonic()
        finished = flow("run", "customers", "--output", "json", env=everywhere(url))
        took = time.monotonic() - before
    report = finished.json()
    assert report["status"] == "success"
    assert report["duration_ms"] < 1000 * (usual + SLACK_SECONDS / 2)
    assert took < usual + 1 + SLACK_SECONDS
    warnings = [line for line in finished.stderr.splitlines() if line.startswith("warning: ")]
    said = [warning.removeprefix("warning: ").partition(" did not arrive: ")[0] for warning in warnings]
    *signals, events = said
    assert events == "OpenLineage: 2 events"
    # In one line as long as the reason is one: signals that fail for another stand in another line.
    lines = ", ".join(line.removeprefix("OpenTelemetry: ") for line in signals)
    assert sorted(lines.split(", ")) == ["logs", "metrics", "traces"]


def test_a_hundred_runs_wait_once(flow: Flow, database: Database) -> None:
    flow.project("".join(PROJECT.replace("customers", f"c{n}") for n in range(100)))
    flow("run", "--all", "-q")
    before = time.monotonic()
    flow("run", "--all", "-q")
    usual = time.monotonic() - before
    with broken("hangs") as url:
        before = time.monotonic()
        finished = flow("run", "--all", "--output", "json", "-q", env=everywhere(url))
        took = time.monotonic() - before
    assert {run["status"] for run in finished.json()["runs"]} == {"success"}
    assert took < 1.5 * usual + 1 + SLACK_SECONDS, f"{took} instead of {usual}"


def test_a_schedule_goes_on(flow: Flow, database: Database) -> None:
    flow.project(PROJECT + 'every = "1d"\nfirst_run = "now"\n')
    with broken("hangs") as url:
        runs = flow("run-due", "--output", "json", env=everywhere(url)).json()["runs"]
    assert [run["status"] for run in runs] == ["success"]


def test_the_package_goes_on_and_logs_it_when_it_ends(tmp_path: Path, database: Database) -> None:
    with broken("hangs") as url:
        python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn, **everywhere(url)})
        done = python.run(
            """
            import time
            from ematix_flow import Source, connect, pipeline

            before = time.monotonic()
            for _ in range(3):
                pipeline.sync(
                    name="customers",
                    source=Source.postgres_query(connect("default"), "SELECT 1::bigint AS id"),
                    target="public.customers",
                    keys="id",
                    mode="merge",
                )
            print(time.monotonic() - before)
            """
        )
    assert done.json() < 10
    assert "OpenTelemetry: traces, metrics, logs did not arrive: no answer in time" in done.stderr


def test_what_is_slow_to_arrive_arrives(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    with receiver() as here:
        here.answers = [503]
        finished = flow("run", "customers", "-v", env=everywhere(here.url) | {"OPENLINEAGE_DISABLED": "true"})
        kinds = {request.path for request in here.received}
    assert kinds == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert len(here.received) == 4, "one of the three was refused, and came again"
    assert "did not arrive" not in finished.stderr
