"""`flow demo --engine duckdb`: the days and the picture of the demo on Postgres, in a file, without a server."""

from __future__ import annotations

import ctypes.util
import json
import sys
from pathlib import Path

import duckdb
import pytest
from documentation import blocks_of, commands_of, matches
from duckdb_library import library, python_library
from flow_binary import Flow
from python_package import ROOT, Interpreter

DEMO = ("demo", "--engine", "duckdb")


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    return Interpreter(tmp_path, {"NO_COLOR": "1", "TMPDIR": str(tmp_path / "temporary")})


def as_on_postgres() -> list[str]:
    """What the demo shows, by the README, whose block a test of its own runs on Postgres."""
    blocks = blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
    commands = [command for block in blocks if block.language == "console" for command in commands_of(block)]
    [demo] = [command.expected for command in commands if command.text == "flow demo"]
    return demo


def test_the_days_and_the_picture_are_those_of_postgres(python: Interpreter) -> None:
    for _ in ("begins", "begins anew"):
        shown = python.flow(*DEMO, "--directory", "shop").stdout.splitlines()
        assert matches(as_on_postgres(), shown), "\n".join(shown)
        assert shown[1:3] == [
            "A shop's customers over three days, in a file of DuckDB",
            str(python.directory / "shop" / "ematix_demo.duckdb"),
        ]
    made = sorted(path.name for path in (python.directory / "shop").iterdir())
    assert made == ["customers.csv", "demo.toml", "ematix_demo.duckdb", "orders.csv"]
    with duckdb.connect(str(python.directory / "shop" / "ematix_demo.duckdb")) as connection:
        runs = connection.execute("SELECT status, count(*) FROM ematix_flow.run_history GROUP BY ALL").fetchall()
    assert runs == [("success", 15)]
    # What is said at the end leads further, from any directory.
    [export] = [line.strip() for line in shown if "EMATIX_FLOW_CONFIG" in line]
    config = export.removeprefix("export EMATIX_FLOW_CONFIG=").strip("'")
    key = python.flow(
        "history", "customers", "--key", "42", "--output", "json", env={"EMATIX_FLOW_CONFIG": config}
    ).json()
    assert [version["valid_to"] is None for version in key["versions"]] == [False, True]
    assert key["versions"][0]["valid_to"] < key["versions"][1]["valid_from"], "deleted on day 2, back on day 3"


def test_without_a_directory_it_makes_a_temporary_one(python: Interpreter) -> None:
    temporary = python.directory / "temporary"
    temporary.mkdir()
    reports = python.flow(*DEMO, "--output", "json").json()["runs"]
    assert [report["status"] for report in reports] == ["success"] * 15
    [made] = temporary.iterdir()
    assert made.stat().st_mode & 0o777 == 0o700
    assert (made / "ematix_demo.duckdb").exists()


def test_a_file_that_somebody_has_open_or_that_is_no_database_is_left_alone(python: Interpreter) -> None:
    directory = python.directory / "shop"
    directory.mkdir()
    file = directory / "ematix_demo.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS one")
        assert "error[locked]" in python.flow(*DEMO, "--directory", "shop", expect=5).stderr
        assert connection.execute("FROM mine").fetchall() == [(1,)]
    file.write_text("a letter\n" * 1000)
    assert "error[connect_failed]" in python.flow(*DEMO, "--directory", "shop", expect=6).stderr
    assert file.read_text() == "a letter\n" * 1000


def test_a_directory_is_for_a_file_alone(python: Interpreter) -> None:
    refused = json.loads(python.flow("demo", "--directory", "shop", "--output", "json", expect=2).stdout)
    assert [error["code"] for error in refused["errors"]] == ["conflicting_options"]
    assert not (python.directory / "shop").exists()


def test_a_variable_that_would_lead_elsewhere_is_refused(python: Interpreter) -> None:
    refused = python.flow(*DEMO, "--directory", "shop", expect=2, env={"EMATIX_FLOW_DSN_SHOP": "duckdb:mine.duckdb"})
    assert "would lead the demo's connection `shop` elsewhere" in refused.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="preloads a library as Linux does")
def test_the_native_binary_plays_it_where_it_finds_the_library(flow: Flow) -> None:
    manifests = flow.directory / "manifests"
    manifests.mkdir()
    text = f'manifest_version = 1\n[Driver]\nentrypoint = "duckdb_adbc_init"\nshared = "{library()}"\n'
    (manifests / "duckdb.toml").write_text(text, encoding="utf-8")
    variables = {"ADBC_DRIVER_PATH": str(manifests), "LD_PRELOAD": str(python_library(flow.directory)), "NO_COLOR": "1"}
    shown = flow(*DEMO, "--directory", "shop", env=variables).stdout.splitlines()
    assert matches(as_on_postgres(), shown), "\n".join(shown)


@pytest.mark.skipif(ctypes.util.find_library("duckdb") is not None, reason="the loader of this machine knows libduckdb")
def test_a_binary_without_a_library_names_the_package(flow: Flow) -> None:
    temporary = flow.directory / "temporary"
    temporary.mkdir()
    refused = flow(*DEMO, env={"TMPDIR": str(temporary)}, expect=2)
    assert 'pip install "ematix-flow[duckdb]"' in refused.stderr
    assert list(temporary.iterdir()) == []
