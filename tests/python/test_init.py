"""`flow init`: a project that runs as it is, on whatever database there is."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from database import Database
from flow_binary import Flow
from server import new_directory

PYTHON = Path(__file__).parents[2] / "python"

TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.a_log (what text);
CREATE TABLE app.clash (id int PRIMARY KEY, valid_from date);
CREATE TABLE app."Odd {name}" (id int PRIMARY KEY, "or" text);
INSERT INTO app."Odd {name}" VALUES (1, 'x');
COMMENT ON COLUMN app."Odd {name}"."or" IS 'else';
CREATE TABLE app.users (id int PRIMARY KEY);
"""


@pytest.fixture
def python(flow: Flow) -> Flow:
    flow.variables |= {"PYTHONPATH": str(PYTHON), "EMATIX_FLOW_PYTHON": sys.executable}
    return flow


def inserted(flow: Flow, *arguments: str) -> dict[str, int]:
    run = flow("run", "--all", *arguments, "--output", "json").json()
    runs = run.get("runs", [run])
    assert all(run["status"] == "success" for run in runs)
    return {run["pipeline"]: run["rows_inserted"] for run in runs}


def test_an_empty_database_gets_a_sample_that_runs(flow: Flow, database: Database) -> None:
    written = flow("init").stderr
    assert written == (
        "written: pipelines.toml\ncustomers: loads a sample into analytics.customers\n\n"
        "next:  flow plan  and  flow run --all\n"
    )
    text = (flow.directory / "pipelines.toml").read_text()
    assert 'dsn = "${env:EMATIX_FLOW_DSN}"' in text and database.dsn not in text
    flow("validate", "--connect")
    assert inserted(flow) == {"customers": 3}
    assert inserted(flow) == {"customers": 0}
    assert database.rows("SELECT customer_id, email FROM analytics.customers WHERE is_current ORDER BY 1") == [
        (1, "ada@example.org"),
        (2, "grace@example.org"),
        (3, None),
    ]
    # Another `init` beside it leaves both as they are.
    assert "`pipelines.toml` is there already; it is left as it is" in flow("init", expect=2).stderr
    flow("--config", "etl/other.toml", "init")
    assert inserted(flow, "--config", "etl/other.toml") == {"customers": 0}


def test_a_table_of_the_database_that_can_be_loaded_is_the_source(flow: Flow, database: Database) -> None:
    database.execute(TABLES)
    assert "Odd {name}: loads app.Odd {name} into analytics.Odd {name}" in flow("init").stderr
    assert '"or" = { type = "text?", description = "else" }' in (flow.directory / "pipelines.toml").read_text().replace(
        "\nor = ", '\n"or" = '
    )
    flow("validate", "--connect")
    assert inserted(flow) == {"Odd {name}": 1}
    # The comments are what one goes on with.
    path = flow.directory / "pipelines.toml"
    path.write_text(path.read_text().replace("# handle_deletes", "handle_deletes").replace("# schedule", "schedule"))
    assert inserted(flow) == {"Odd {name}": 0}
    flow("add", "app.users", "--from", "warehouse")
    assert inserted(flow) == {"Odd {name}": 0, "users": 0}


def test_on_a_terminal_one_is_asked(flow: Flow, database: Database) -> None:
    database.execute(TABLES)
    for answers, loaded in {
        "9\n2\n": "app.users",
        "\n": "app.Odd {name}",
        "0\n": "a sample",
        "": "app.Odd {name}",
    }.items():
        ours, theirs = pty.openpty()
        os.write(ours, answers.encode() or b"\x04")
        process = subprocess.Popen(
            [flow.binary, "init"], stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, cwd=flow.directory,
            env=flow.environment({}),
        )  # fmt: skip
        assert process.wait(timeout=60) == 0
        os.close(theirs)
        said = os.read(ours, 65536).decode()
        os.close(ours)
        assert "Which table shall the first pipeline load?" in said
        assert f": loads {loaded} into" in said
        (flow.directory / "pipelines.toml").unlink()


def test_without_a_database_the_file_is_valid_and_says_what_to_do(flow: Flow) -> None:
    nowhere = {"EMATIX_FLOW_DSN": None, "EMATIX_FLOW_DEV_DIR": str(flow.directory / "dev")}
    written = flow("init", env=nowhere).stderr
    assert "export EMATIX_FLOW_DSN=" in written and "flow dev start" in written
    flow("validate", env=nowhere)
    assert inserted(flow) == {"customers": 3}


def test_a_database_that_does_not_answer_is_told(flow: Flow) -> None:
    broken = {"EMATIX_FLOW_DSN": "postgresql://nobody@127.0.0.1:1/none"}
    assert "warning[connect_failed]" in flow("init", env=broken).stderr
    assert inserted(flow) == {"customers": 3}


@pytest.mark.long
def test_the_private_server_is_found(flow: Flow) -> None:
    directory = new_directory()
    # The server runs as another user where the tests run as root.
    directory.chmod(0o755)
    private = {"EMATIX_FLOW_DSN": None, "EMATIX_FLOW_DEV_DIR": str(directory / "dev")}
    flow.variables = {name: value for name, value in (flow.variables | private).items() if value is not None}
    try:
        flow("dev", "start")
        flow("init")
        assert inserted(flow) == {"customers": 3}
    finally:
        flow("dev", "reset", expect=None)
        shutil.rmtree(directory, ignore_errors=True)


def test_a_module_of_python_has_the_same(python: Flow, database: Database) -> None:
    database.execute(TABLES)
    assert "written: my_pipelines.py, pipelines.toml" in python("init", "--python").stderr
    python("validate", "--connect")
    assert inserted(python) == {"Odd {name}": 1}
    assert inserted(python, "--module", "my_pipelines") == {"Odd {name}": 0}
    assert "is there already" in python("init", "--python", "--config", "other.toml", expect=2).stderr
    assert not (python.directory / "other.toml").exists()


def test_a_module_of_python_has_the_sample_where_there_is_no_table(python: Flow) -> None:
    python("init", "--python")
    assert inserted(python) == {"customers": 3}
