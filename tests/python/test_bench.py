"""The bench: what it counts is what happened, what it cannot measure it says, and its floors do what `flow` does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pytest
from database import Database
from flow_binary import flow_binary
from once_a_session import shared_by_workers

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
sys.path.append(str(BENCH))

import cells
import chart
import measure
import psycopg
import race
import report
from contenders import Refused
from databases import Database as Place
from proxy import Proxy
from tables import CUSTOMERS

MEASURED = "append,truncate,replace,merge,scd2,events,wide,deletes,incremental"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A cell of every kind, of few rows, once a session: its databases have names, which are whoever's runs it."""
    with shared_by_workers(tmp_path_factory, "bench") as shared:
        found = shared / "bench.json"
        if not found.exists():
            run_bench(tmp_path_factory.mktemp("bench") / "all.json").rename(found)
    return json.loads(found.read_text())


def run_bench(into: Path) -> Path:
    environment = {
        **os.environ,
        "EMATIX_FLOW_BENCH_DSN": os.environ["EMATIX_FLOW_TEST_DSN"],
        "EMATIX_FLOW_BIN": str(flow_binary()),
    }
    words = ["--only", MEASURED, "--source", "table,across", "--rows", "1000", "--rounds", "1", "--shares", "0,10"]
    command = [sys.executable, str(BENCH / "run.py"), *words, "--json", str(into)]
    done = subprocess.run(
        command, cwd=into.parent, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(os.environ["EMATIX_FLOW_TEST_DSN"], autocommit=True) as connection:
        # Whoever has a server of their own may look at them afterwards.
        for name in ("flow", "source", "events"):
            connection.execute(f"DROP DATABASE ematix_bench_{name}")
    return into


def of(measured: dict[str, Any], **wanted: object) -> list[dict[str, Any]]:
    return [each for each in measured["results"] if all(each[name] == value for name, value in wanted.items())]


@pytest.mark.long
def test_every_strategy_source_and_table_is_measured_beside_a_floor_that_has_the_same_rows(
    measured: dict[str, Any],
) -> None:
    results = measured["results"]
    # A contender whose rows are not the floor's is told as failed.
    assert [each for each in results if "failed" in each] == []
    cells_seen = {(each["strategy"], each["source"], each["table"]) for each in results}
    assert {(strategy, source) for strategy, source, _ in cells_seen} >= {
        (strategy, source) for strategy in cells.STRATEGIES for source in ("table", "across")
    }
    assert {table for _, _, table in cells_seen} == {"customers", "events", "wide"}
    for each in results:
        assert (each["contender"] == "floor") <= (each["ratio"] == 1.0)
        assert each["median"]["seconds"] == each["runs"][0]["seconds"] > 0


def test_a_run_that_finds_no_change_leaves_no_dead_row_and_one_that_does_leaves_one_each(
    measured: dict[str, Any],
) -> None:
    for strategy in ("merge", "scd2", "replace"):
        for contender in ("floor", "flow"):
            wanted = {"strategy": strategy, "contender": contender, "table": "customers", "deletes": None}
            for nothing in of(measured, **wanted, share=0, incremental=False):
                assert nothing["median"]["dead_tuples"] == 0
            # gen_change.sql's tenth of 1,000.
            changed = {each["median"]["dead_tuples"] for each in of(measured, **wanted, share=10, incremental=False)}
            assert len(changed) == 1 and 80 < changed.pop() < 120


def result(share: float | None, contender: str, seconds: float, floor: float = 2.0) -> race.Result:
    cell = cells.cell("scd2", "table", CUSTOMERS, 1_000_000, (1.0,))
    cost = measure.Cost(seconds, 1_500_000, 10_000, 9_000_000, None)
    return race.Result(cell, "1 % changed", share, contender, (cost,), None, floor)


def test_a_step_is_a_line_a_contender_and_who_failed_has_the_reason_in_its_place() -> None:
    floor = result(1.0, "floor", 2.0)
    failed = race.Result(floor.cell, floor.step, floor.share, "sling", (), "no scd2", 2.0)
    assert report.step([floor, result(1.0, "flow", 2.5), failed]) == (
        "scd2 (table) 1 % changed, 1,000,000 rows\n"
        "  floor             2.000   1.00     500,000    1.5 MB    10,000   9.0 MB        -\n"
        "  flow              2.500   1.25     400,000    1.5 MB    10,000   9.0 MB        -\n"
        "  sling           not measured: no scd2"
    )
    assert report.entry(failed)["failed"] == "no scd2"


def test_a_chart_of_the_site_has_the_form_of_measured_json_and_the_least_first() -> None:
    results = [result(1.0, "floor", 2.0), result(1.0, "dbt", 9.4), result(1.0, "flow", 2.1), result(None, "flow", 3.0)]
    charts = chart.site_charts(results, 3)
    assert charts == {
        "measured-scd2": {
            "title": "scd2 of 1 M rows with 1 % changed, as a multiple of SQL by hand",
            "axis": "scd2, 1 M rows, 1 % changed: times the best SQL by hand",
            "from": "./do bench --only scd2, medians of 3, each from the start of its process to its end",
            "floor": 1,
            "rows": [
                {"who": "flow, one database", "value": 1.05, "ours": True},
                {"who": "dbt, one database", "value": 4.7},
            ],
        }
    }
    [kept] = json.loads((ROOT / "docs" / "measured.json").read_text())["charts"].keys() & charts.keys()
    assert kept == "measured-scd2"


def test_a_picture_tells_every_ratio_and_who_failed() -> None:
    failed = race.Result(result(1.0, "sling", 1.0).cell, "1 % changed", 1.0, "sling", (), "no scd2", 2.0)
    drawn = ElementTree.fromstring(
        chart.svg([result(1.0, "floor", 2.0), result(1.0, "flow", 2.5), result(1.0, "dbt", 90.0), failed], 3)
    )
    assert [element.text for element in drawn.iter() if element.tag.endswith("}text")] == [
        "Times the best SQL by hand, medians of 3; less is better",
        "scd2 (table), 1,000,000 rows",
        "1 % changed: 2.00 s by hand",
        "flow",
        "1.25",
        "dbt",
        "45.00",
        "sling",
        "not measured: no scd2",
    ]


def test_growth_is_told_in_seconds_for_a_million_rows() -> None:
    sizes = [
        race.Result(cell, "first load", None, "flow", (measure.Cost(seconds, 0, 0, None, None),), None, 1.0)
        for cell, seconds in zip(cells.growing(["table"], [100_000, 1_000_000]), (0.2, 2.4, 0.3, 3.0), strict=True)
    ]
    assert report.growth(sizes) == [
        "merge (table) first load: flow: seconds a million rows at 100,000: 2.00, 1,000,000: 2.40; 1.20 times apart",
        "scd2 (table) first load: flow: seconds a million rows at 100,000: 3.00, 1,000,000: 3.00; 1.00 times apart",
    ]


def test_figures_are_medians_and_what_is_not_known_stays_unknown() -> None:
    costs = [measure.Cost(seconds, 10, 0, client, None) for seconds, client in ((3.0, 5), (1.0, None), (2.0, 7))]
    assert measure.middle(costs) == measure.Cost(2.0, 10, 0, 6, None)


def test_a_contender_that_cannot_do_a_cell_is_out_with_its_reason_and_not_asked_again(database: Database) -> None:
    asked: list[str] = []
    home = Place(database.dsn)

    class Stand:
        def __init__(self, name: str, refuses: bool) -> None:
            self.name, self.refuses, self.home = name, refuses, home

        def prepare(self, _: cells.Cell) -> None:
            asked.append(self.name)
            if self.refuses:
                raise Refused("could not be installed: no network")
            home.execute("DROP TABLE IF EXISTS held", "CREATE TABLE held AS SELECT 'x' AS email")

        def first(self, _: cells.Cell) -> list[measure.Command]:
            return [measure.Command(["true"])]

        run = first

        def target(self, _: cells.Cell) -> str:
            return "public.held"

        holds = target

    contenders: Any = [Stand("floor", False), Stand("sling", True)]
    cell = cells.cell("merge", "table", CUSTOMERS, 10, (0.0, 1.0))
    steps = list(race.race(cell, contenders, home, 2))
    assert [[(each.contender, each.failed) for each in step] for step in steps] == [
        [("floor", None), ("sling", "could not be installed: no network")]
    ] * 3
    assert asked == ["floor", "sling", "floor"]


def test_a_floor_run_by_hand_knows_of_customers_what_the_bench_tells_it() -> None:
    text = (BENCH / "floor" / "customers.sql").read_text()
    said = dict(re.findall(r"^\\set (\w+) (.+)$", text, re.MULTILINE))
    alone = {name: value.strip("'") for name, value in said.items() if not value.startswith(":")}
    told = CUSTOMERS.variables()
    assert alone == {name: told[name] for name in alone}
    # The order of conditions is of no consequence.
    differs = alone["compared"] + said["differs"].removeprefix(":compared ").strip("'")
    assert sorted(differs.split(" OR ")) == sorted(told["differs"].split(" OR "))
    assert alone.keys() | {"differs"} == told.keys()


def test_what_writes_every_row_is_run_once_more_and_only_what_can_be_staged_is() -> None:
    found = list(cells.chosen(["append", "scd2"], cells.SOURCES, 1000, [0, 1]))
    assert [(cell.title, cell.shares) for cell in found] == [
        ("append (table)", (100.0,)),
        ("append (query)", (100.0,)),
        ("append (across)", (100.0,)),
        ("scd2 (table)", (0, 1)),
        ("scd2 (query)", (0, 1)),
        ("scd2 (across)", (0, 1)),
        ("scd2 (across_staged)", (0, 1)),
    ]


def test_a_proxy_counts_sessions_statements_and_round_trips(database: Database) -> None:
    # The path of a socket may have 107 bytes.
    place = TemporaryDirectory(dir="/tmp")
    proxy = Proxy(database.dsn, Path(place.name))
    with psycopg.connect(proxy.dsn, autocommit=True, sslmode="disable", gssencmode="disable") as connection:
        connection.execute("SELECT 1")
        # Of the extended protocol: Parse, Bind, Describe, Execute and one Sync.
        assert connection.execute("SELECT %s::int", (2,)).fetchone() == (2,)
    proxy.close()
    place.cleanup()
    assert (proxy.sessions, proxy.statements, proxy.round_trips) == (1, 2, 3)
    assert {kind: proxy.messages[kind] for kind in "QES"} == {"Q": 1, "E": 1, "S": 1}


@pytest.mark.parametrize("name", ["dbt", "sqlmesh", "dlt", "sling", "ingestr", "feast", "chart"])
def test_what_a_peer_is_installed_from_is_exact(name: str) -> None:
    lines = (BENCH / "peers" / name / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if not line.startswith("#")]
    assert wanted and all(re.match(r"[a-z0-9-]+(\[[a-z_,]+\])?==[0-9.]+(;.*)?$", line) for line in wanted)
