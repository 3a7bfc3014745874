"""`--metrics-file`: what Prometheus reads by the node exporter's textfile collector, by Prometheus' own parser."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from database import Database
from flow_binary import Flow
from prometheus_client.parser import text_string_to_metric_families

PROJECT = """
[pipelines.'odd "name" \\ a']
source = { query = "SELECT n AS id FROM generate_series(1, 3) n" }
target = "public.odd"
keys = "id"
mode = "merge"
every = "1d"
first_run = "now"

[pipelines.failing]
source = { query = "SELECT 1 / 0 AS id" }
target = "public.failing"
keys = "id"
mode = "merge"
"""

ODD = 'odd "name" \\ a'

Series = dict[tuple[str, ...], float]


def read(file: Path) -> dict[str, Series]:
    """Each family's values by the values of its labels."""
    families: dict[str, Series] = {}
    for family in text_string_to_metric_families(file.read_text(encoding="utf-8")):
        assert family.type in ("counter", "gauge")
        assert family.documentation
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            families.setdefault(sample.name, {})[labels] = sample.value
    return families


def test_a_run_is_what_prometheus_reads(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    file = flow.directory / "flow.prom"
    before = time.time()
    flow("run", ODD, "--metrics-file", str(file))
    found = read(file)
    assert found["ematix_flow_runs_total"] == {(ODD, "success"): 1}
    assert found["ematix_flow_rows_total"]["in", ODD] == 3
    assert found["ematix_flow_last_run_rows"]["inserted", ODD] == 3
    status = {labels[1]: value for labels, value in found["ematix_flow_last_run_status"].items()}
    assert {name for name, value in status.items() if value == 1} == {"success"}
    assert set(status) >= {"success", "failed", "refused", "locked", "cancelled", "skipped", "lost"}
    for name in ("last_run_timestamp_seconds", "last_success_timestamp_seconds"):
        assert before - 1 <= found[f"ematix_flow_{name}"][(ODD,)] <= time.time() + 1
    assert 0 < found["ematix_flow_last_run_duration_seconds"][(ODD,)] < 60
    assert os.listdir(flow.directory).count("flow.prom") == 1
    assert [name for name in os.listdir(flow.directory) if name.startswith(".")] == [], "nothing is left beside it"


def test_what_did_not_run_now_stays_as_it_was(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    file = flow.directory / "flow.prom"
    flow("run-due", "--metrics-file", str(file))
    first = read(file)
    flow("run", "failing", "--metrics-file", str(file), expect=1)
    flow("run-due", "--metrics-file", str(file))  # nothing is due
    second = read(file)
    for name, series in first.items():
        assert {labels: second[name][labels] for labels in series} == series, name
    assert second["ematix_flow_last_run_status"]["failing", "failed"] == 1
    assert ("failing",) not in second["ematix_flow_last_success_timestamp_seconds"]
    flow("run", "failing", "--metrics-file", str(file), expect=1)
    assert read(file)["ematix_flow_runs_total"]["failing", "failed"] == 2


def test_a_pipeline_that_is_declared_no_longer_leaves_the_file(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    file = flow.directory / "flow.prom"
    flow("run", "--all", "--metrics-file", str(file), expect=1)
    flow.project(PROJECT[: PROJECT.index("[pipelines.failing]")])
    flow("run-due", "--metrics-file", str(file))
    assert {labels for labels in read(file)["ematix_flow_runs_total"]} == {(ODD, "success")}


def test_runs_at_the_same_time_are_all_counted(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    file = flow.directory / "flow.prom"
    flow("run", "--all", "--metrics-file", str(file), expect=1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: flow("run", "failing", "--metrics-file", str(file), expect=1), range(8)))
    assert read(file)["ematix_flow_runs_total"]["failing", "failed"] == 9


def test_a_file_that_cannot_be_written_is_a_warning(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    finished = flow("run", ODD, "--metrics-file", "none/flow.prom")
    assert "warning: the metrics were not written to none/flow.prom: No such file or directory" in finished.stderr


def test_a_dry_run_has_no_metrics(flow: Flow, database: Database) -> None:
    flow.project(PROJECT)
    flow("run", ODD, "--dry-run", "--metrics-file", "flow.prom", expect=2)
    assert not (flow.directory / "flow.prom").exists()
