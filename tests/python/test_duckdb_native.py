"""Loads inside a file of DuckDB by the native `flow`, which loads the library by itself."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from duckdb_library import library, python_library
from duckdb_pipelines import PIPELINES, SLOW, Sql, counts, fill, load_with_every_strategy, reports_of, statements_in
from empty_root import EmptyRoot
from flow_binary import Finished, Flow, flow_binary, target_directory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloads a library as Linux does")

DSN = 'dsn = "duckdb:warehouse.duckdb"\n'


@pytest.fixture
def native(tmp_path: Path) -> Iterator[Flow]:
    """The binary where DuckDB's library can be loaded; no connection says where it is."""
    preloaded = python_library(tmp_path)
    flow = Flow(flow_binary(), tmp_path, {"LD_PRELOAD": str(preloaded)})
    flow.project(with_driver(PIPELINES))
    yield flow
    flow.stop_all()


@pytest.fixture
def sql(native: Flow) -> Sql:
    run = statements_in(native.directory / "warehouse.duckdb")
    fill(run)
    return run


def with_driver(text: str, driver: str | Path | None = None) -> str:
    return text.replace(DSN, f'{DSN}driver = "{driver or library()}"\n')


def error_of(done: Finished) -> str:
    return " ".join((done.stdout + done.stderr).split())


def test_every_strategy_loads_inside_one_file(native: Flow, sql: Sql) -> None:
    load_with_every_strategy(native, sql)


def test_the_commands_that_ask_the_history(native: Flow, sql: Sql) -> None:
    reports_of(native, "history", "log")
    sql("UPDATE app.products SET name = 'Fountain pen' WHERE id = 1")
    reports_of(native, "history", "log")
    states = {state["name"]: state for state in native("status", "--output", "json").json()["pipelines"]}
    assert [run["status"] for run in states["history"]["runs"]] == ["success", "success"]
    runs = native("history", "history", "--output", "json").json()["runs"]
    assert [run["rows_inserted"] for run in runs] == [1, 2]
    steps = native("logs", runs[0]["run_id"][-8:], "--output", "json").json()["steps"]
    assert [step["n"] for step in steps] == sorted(step["n"] for step in steps)
    key = native("history", "history", "--key", "1", "--output", "json").json()
    assert [(v["values"]["name"], v["is_current"]) for v in key["versions"]] == [("Pen", False), ("Fountain pen", True)]
    assert native("check", "history", "--output", "json").json()["ok"] is True
    shown = native("watermark", "show", "log", "--output", "json").json()
    assert shown["watermarks"][0]["last_value"] == "2026-01-02 00:00:00+00"
    sql("UPDATE analytics.history SET is_current = true WHERE id = 1")
    violations = native("check", "history", "--output", "json", expect=1).json()["violations"]
    assert violations
    assert all(violation["key"] == {"id": "1"} for violation in violations), violations


def test_what_is_due_is_run(native: Flow, sql: Sql) -> None:
    head = "[pipelines.products]\n"
    native.project(with_driver(PIPELINES).replace(head, f'{head}every = "1h"\nfirst_run = "now"\n'))
    answers = [native("run-due", "--output", "json").json() for _ in range(2)]
    assert [[(run["pipeline"], run["status"]) for run in answer["runs"]] for answer in answers] == [
        [("products", "success")],
        [],
    ]


def test_what_the_library_says_becomes_the_errors_that_python_has(native: Flow, sql: Sql) -> None:
    reports_of(native, "products")
    sql("INSERT INTO app.products VALUES (1, 'Pen again', 2, '2026-01-04')")
    assert reports_of(native, "products", expect=4)["products"]["error"]["code"] == "duplicate_source_key"
    sql("DELETE FROM app.products WHERE name = 'Pen again'")
    sql("ALTER TABLE app.products ALTER price TYPE VARCHAR")
    sql("UPDATE app.products SET price = 'dear' WHERE id = 1")
    failed = reports_of(native, "products", expect=1)["products"]["error"]
    assert (failed["code"], failed["context"]["class"]) == ("cast_failed", "Conversion Error")
    assert "dear" in failed["message"]
    native.project(with_driver(PIPELINES).replace("FROM app.products", "FROM app.nowhere"))
    failed = reports_of(native, "products", expect=1)["products"]["error"]
    assert (failed["code"], "nowhere" in failed["message"]) == ("source_failed", True)
    assert sql("SELECT name FROM analytics.products WHERE id = 1") == [("Pen",)]


def test_a_file_that_another_process_has_is_locked(native: Flow, sql: Sql) -> None:
    head = "[pipelines.products]\n"
    native.project(with_driver(PIPELINES).replace(head, f'{head}lock_timeout = "500ms"\n'))
    with duckdb.connect(str(native.directory / "warehouse.duckdb")):
        locked = reports_of(native, "products", expect=5)["products"]
    assert (locked["status"], locked["error"]["code"]) == ("locked", "locked")
    assert f"PID {os.getpid()}" in locked["error"]["message"]
    assert "waited 0.5 s (lock_timeout)" in locked["error"]["message"]
    assert reports_of(native, "products")["products"]["status"] == "success"


def slow(native: Flow, sql: Sql) -> None:
    """Adds a pipeline that runs for minutes; the history's tables are there before."""
    reports_of(native, "replaced")
    native.project(with_driver(PIPELINES) + SLOW + 'lock_timeout = "300ms"\n')


def begun(native: Flow) -> None:
    """Waits until another process has the file, for as long as its statement may need to begin."""
    for _ in range(200):
        if native("status", "slow", "--output", "json", expect=None).code != 0:
            break
        time.sleep(0.1)
    time.sleep(2)


def test_a_second_process_is_refused_with_the_pid_of_the_first(native: Flow, sql: Sql) -> None:
    slow(native, sql)
    running = native.start("run", "slow")
    begun(native)
    refused = reports_of(native, "slow", expect=5)["slow"]["error"]
    assert (refused["code"], f"PID {running.pid}" in refused["message"]) == ("locked", True), refused
    running.interrupt()
    running.finish(expect=130)


def test_ctrl_c_ends_a_long_statement(native: Flow, sql: Sql) -> None:
    slow(native, sql)
    running = native.start("run", "slow")
    begun(native)
    began = time.monotonic()
    running.interrupt()
    running.finish(expect=130)
    assert time.monotonic() - began < 20
    assert sql("SELECT status FROM ematix_flow.run_history WHERE pipeline_name = 'slow'") == [("cancelled",)]
    native.project(with_driver(PIPELINES) + SLOW + 'statement_timeout = "1s"\n')
    assert reports_of(native, "slow", expect=1)["slow"]["error"]["code"] == "timeout"
    assert sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'slow'") == [(0,)]


def test_a_run_that_was_killed_leaves_nothing(native: Flow, sql: Sql) -> None:
    slow(native, sql)
    running = native.start("run", "slow")
    begun(native)
    running.kill()
    running.finish(expect=-9)
    status = native("status", "slow", "--output", "json").json()["pipelines"][0]
    assert status["last_run"]["status"] == "lost"
    assert sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'slow'") == [(0,)]
    assert reports_of(native, "products")["products"]["status"] == "success"


def test_a_driver_manifest_is_found_by_its_name(native: Flow, sql: Sql) -> None:
    manifests = native.directory / "manifests"
    manifests.mkdir()
    for name in ("duckdb", "mine"):
        text = f'manifest_version = 1\n[Driver]\nentrypoint = "duckdb_adbc_init"\nshared = "{library()}"\n'
        (manifests / f"{name}.toml").write_text(text, encoding="utf-8")
    native.variables["ADBC_DRIVER_PATH"] = str(manifests)
    for project in (PIPELINES, with_driver(PIPELINES, "mine")):
        native.project(project)
        assert reports_of(native, "products")["products"]["status"] == "success"


@pytest.mark.skipif(ctypes.util.find_library("duckdb") is not None, reason="the loader of this machine knows libduckdb")
def test_without_a_library_the_remedy_is_named(native: Flow, sql: Sql) -> None:
    native.project(PIPELINES)
    said = error_of(native("connections", "check", "warehouse", expect=2))
    assert "error[import_failed]: DuckDB's library was not found" in said
    assert "libduckdb" in said
    assert "driver = " in said
    assert 'pip install "ematix-flow[duckdb]"' in said
    failed = reports_of(native, "products", expect=2)["products"]["error"]
    assert failed["code"] == "import_failed"


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ("/nowhere/libduckdb.so", "is not where `driver` says: /nowhere/libduckdb.so is not there"),
        ("drivers/libduckdb.so", "drivers/libduckdb.so is not there"),
        ("no_such_manifest", "cannot be loaded from no_such_manifest"),
        ("pipelines.toml", "cannot be loaded from"),
    ],
)
def test_a_driver_that_is_not_there_is_told(driver: str, said: str, native: Flow, sql: Sql) -> None:
    native.project(with_driver(PIPELINES, driver))
    told = error_of(native("connections", "check", "warehouse", expect=2))
    assert said in told
    assert "import_failed" in told


def test_the_library_of_pythons_module_alone_is_told_from_duckdbs_own(native: Flow, sql: Sql) -> None:
    del native.variables["LD_PRELOAD"]
    told = error_of(native("connections", "check", "warehouse", expect=2))
    assert "the library of Python's module needs Python around it" in told


def test_options_of_a_connection_reach_the_library(native: Flow, sql: Sql) -> None:
    options = 'memory_limit = "400MiB"\nthreads = 1\ntemp_directory = "spilled"\n'
    names = ("memory_limit", "threads", "temp_directory")
    query = ", ".join(f"current_setting('{name}')::VARCHAR AS {name}" for name in names)
    project = with_driver(PIPELINES).replace(DSN, DSN + options) + "[pipelines.settings]\n"
    project += f'source = {{ connection = "warehouse", query = "SELECT {query}" }}\n'
    native.project(project + 'target = "analytics.settings"\nmode = "truncate"\n')
    reports_of(native, "settings")
    [(limit, threads, directory)] = sql("SELECT memory_limit, threads, temp_directory FROM analytics.settings")
    assert (limit, threads, Path(directory).name) == ("400.0 MiB", "1", "spilled")


def test_a_file_is_made_of_the_version_that_is_to_read_it(native: Flow) -> None:
    options = 'storage_version = "v1.0.0"\n'
    project = (
        with_driver(PIPELINES).replace(DSN, DSN + options).replace("FROM app.products", "FROM (VALUES (1)) AS v (id)")
    )
    native.project(project.replace("SELECT id, name, price, seen", "SELECT id"))
    reports_of(native, "products")
    made = statements_in(native.directory / "warehouse.duckdb")
    assert made("SELECT tags['storage_version'] FROM duckdb_databases() WHERE path IS NOT NULL") == [("v1.0.0+",)]
    assert made("SELECT count(*) FROM analytics.products") == [(1,)]


def test_a_database_in_memory_is_one_for_all_pipelines_of_a_process(native: Flow) -> None:
    native.project(f"""
[connections.memory]
dsn = "duckdb:"
driver = "{library()}"
[pipelines.first]
source = {{ connection = "memory", query = "SELECT 1 AS id" }}
target = "analytics.first"
mode = "truncate"
[pipelines.second]
source = {{ connection = "memory", query = "SELECT id + 1 AS id FROM analytics.first" }}
target = "analytics.second"
mode = "truncate"
after = ["first"]
""")
    done = reports_of(native, "--all")
    assert {name: counts(report) for name, report in done.items()} == {
        "first": {"in": 1, "inserted": 1},
        "second": {"in": 1, "inserted": 1},
    }
    assert "duckdb::memory:" in native("connections", "list").stdout


def test_a_connection_that_only_reads_is_no_target(native: Flow, sql: Sql) -> None:
    native.project(with_driver(PIPELINES).replace(DSN, f"{DSN}read_only = true\n"))
    refused = native("run", "products", expect=2).stderr
    assert "error[read_only_target]" in refused


def test_two_connections_to_one_file_agree_on_its_options(native: Flow, sql: Sql) -> None:
    other = f'[connections.other]\n{DSN}threads = 1\ndriver = "{library()}"\n'
    more = '[pipelines.more]\nsource = { connection = "other", query = "SELECT id FROM app.products" }\n'
    more += 'target = "analytics.more"\ntarget_connection = "warehouse"\nmode = "truncate"\n'
    native.project(with_driver(PIPELINES) + other + more)
    failed = reports_of(native, "more", expect=2)["more"]["error"]
    assert failed["code"] == "conflicting_options"
    assert "`threads` of that connection is another" in failed["message"]


def test_other_values_than_texts_are_written_as_python_writes_them(native: Flow, sql: Sql) -> None:
    # What a transform asks is nobody's answer; it must not fail by its types.
    native.project(
        with_driver(PIPELINES)
        + """
[transforms.types]
connection = "warehouse"
sql = \"\"\"
SELECT 1::TINYINT, 2::HUGEINT, 1.5::DECIMAL(9, 2), 'nan'::DOUBLE, 1e300, [1, 2], {'a': 1}, MAP {'a': 1}, 'x'::BLOB,
       DATE '2026-01-01', TIMESTAMP '2026-01-01', TIMESTAMPTZ '2026-01-01', TIME '10:00', INTERVAL 1 DAY, uuid(), NULL,
       'a'::ENUM ('a', 'b'), '{"a": 1}'::JSON, '101'::BIT, TIMESTAMP_NS '2026-01-01', TIMESTAMP_S '2026-01-01';
CREATE OR REPLACE TABLE analytics_types AS SELECT ';' AS a, $$ ; $$ AS b -- the last;
\"\"\"
"""
    )
    assert "success" in native("transform", "run", "types").stderr
    assert sql("SELECT a, b FROM analytics_types") == [(";", " ; ")]


def test_rows_of_arrow_pass_both_ways(native: Flow) -> None:
    """The units that need the library, of the newest build of them that there is."""
    name = "duckdb::adbc::tests::"
    built = (target_directory() / "debug" / "deps").glob("ematix_flow_run-*")
    programs = [path for path in built if path.suffix == "" and os.access(path, os.X_OK)]
    for program in sorted(programs, key=lambda path: path.stat().st_mtime, reverse=True):
        listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
        if name in listed:
            break
    else:
        pytest.skip("no unit tests of flow-run: cargo test --workspace --no-run")
    environment = native.environment({"EMATIX_FLOW_TEST_DUCKDB": str(library())})
    done = subprocess.run(
        [program, name, "--include-ignored"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{listed.count(name)} passed" in done.stdout


def test_the_static_binary_names_the_builds_that_open_it(empty_root: EmptyRoot) -> None:
    empty_root.put("/pipelines.toml", '[connections.w]\ndsn = "duckdb:w.duckdb"\n')
    done = empty_root("connections", "check", "w", expect=2)
    assert "one static binary, which loads no library" in error_of(done)
    assert 'pip install "ematix-flow[duckdb]"' in error_of(done)
