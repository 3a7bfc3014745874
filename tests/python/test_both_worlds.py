"""One project of TOML and Python pipelines, through the native `flow` and through the package's: the same outputs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from python_package import PACKAGE, Interpreter

MODULE = '''
from typing import Annotated
from ematix_flow import BigInt, Pipeline, Pipelines, Source, Text, ematix, pk

print("imported")
flows = Pipelines()

@ematix.table(schema="analytics")
class Customers:
    """Everybody who bought."""
    customer_id: Annotated[BigInt, pk()]
    email: Text | None

@ematix.pipeline(target=Customers, mode="merge", source_connection="crm", target_connection="warehouse",
                 schedule="0 * * * *", timezone="Europe/Paris")
def customers(conn):
    print("called")
    rows = conn.query("SELECT max(customer_id) AS last FROM app.customers")
    return f"SELECT customer_id, email FROM app.customers WHERE customer_id <= {rows[0]['last']}"

mirror = Pipeline(name="mirror", source=Source.postgres_table("crm", "app", "customers"), target="mirror.customers",
                  target_connection="warehouse", mode="scd2", keys="customer_id", tags=["nightly"])
'''

PROJECT = """
python = ["shop"]
[connections.crm]
dsn = "${env:CRM}"
[connections.warehouse]
dsn = "${env:WAREHOUSE}"
[pipelines.copies]
source = { connection = "crm", table = "app.customers" }
target = "mirror.copies"
target_connection = "warehouse"
mode = "truncate"
"""

Run = Callable[..., tuple[str, str]]


@pytest.fixture(params=("native", "wheel"))
def command(request: pytest.FixtureRequest, database: Database, new_database: Any, flow: Flow, tmp_path: Path) -> Run:
    crm: Database = new_database()
    crm.execute("""CREATE SCHEMA app; CREATE TABLE app.customers (customer_id bigint PRIMARY KEY, email text);
                   INSERT INTO app.customers SELECT n, 'c' || n FROM generate_series(1, 20) AS n""")
    environment = {"CRM": crm.dsn, "WAREHOUSE": database.dsn}
    (tmp_path / "shop.py").write_text(MODULE)
    config = tmp_path / "pipelines.toml"
    config.write_text(PROJECT)
    interpreter = Interpreter(tmp_path, environment)

    def run(*arguments: str, expect: int = 0, text: str | None = None) -> tuple[str, str]:
        config.write_text(PROJECT if text is None else text)
        if request.param == "wheel":
            done = interpreter.flow("--config", "pipelines.toml", *arguments, expect=expect)
            return done.stdout, done.stderr
        native = {**environment, "EMATIX_FLOW_PYTHON": sys.executable, "PYTHONPATH": f"{PACKAGE}:{tmp_path}"}
        finished = flow(*arguments, config=config, env=native, expect=expect)
        return finished.stdout, finished.stderr

    return run


def steady(text: str) -> str:
    """Without what differs from one run to the next."""
    for pattern in (r"\d+\.\d+ m?s", r"run [0-9a-f]{8}", r"[0-9a-f]{32}", r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?"):
        text = re.sub(pattern, "…", text)
    return text


def test_both_list_validate_plan_and_run_the_same(command: Run, database: Database) -> None:
    listed, said = command("list")
    assert "imported" in said and "called" not in said
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
        ["copies", "truncate"],
        ["customers", "merge"],
        ["mirror", "scd2"],
    ]
    assert "called" not in command("validate")[1]
    plan, said = command("plan", "customers", "--output", "json")
    assert json.loads(plan)["pipelines"][0]["keys"] == ["customer_id"] and said.count("called") == 1
    command("dry-run", "--all")
    assert database.value("SELECT to_regnamespace('mirror')") is None
    reports = [json.loads(line) for line in command("run", "--all", "--output", "ndjson")[0].splitlines()]
    assert [(each["pipeline"], each["status"], each["rows_inserted"]) for each in reports] == [
        ("copies", "success", 20),
        ("customers", "success", 20),
        ("mirror", "success", 20),
    ]
    again = [json.loads(line) for line in command("run", "tag:nightly", "--output", "ndjson")[0].splitlines()]
    assert [(each["pipeline"], each["path"], each["rows_unchanged"]) for each in again] == [
        ("mirror", "client_diff", 20)
    ]
    comment = database.value("SELECT obj_description('analytics.customers'::regclass)")
    assert comment == "Everybody who bought."


def test_a_mistake_leads_to_the_line_of_python(command: Run, tmp_path: Path) -> None:
    mistaken = MODULE.replace('mode="scd2", keys="customer_id"', 'mode="scd2", keys="nothing", on_drift="ignore"')
    (tmp_path / "shop.py").write_text(mistaken)
    said = "".join(command("plan", "mirror", expect=2))
    line = next(number for number, text in enumerate(mistaken.splitlines(), 1) if text.startswith("mirror ="))
    assert "error[unknown_column]" in said
    assert re.search(rf"shop\.py:{line}\b", said), said


def test_a_name_of_both_is_refused_with_both_places(command: Run) -> None:
    twice = PROJECT + '[pipelines.mirror]\nsource = { table = "a.b" }\ntarget = "c.d"\nmode = "append"\n'
    _, said = command("list", expect=2, text=twice)
    assert "error[duplicate_name]: the pipeline `mirror` is declared twice" in said
    assert "pipelines.toml:12" in said and "shop.py:" in said


def test_an_import_that_fails_shows_the_users_traceback(command: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import json\n\ndef f():\n    return 1 / 0\n\nf()\n")
    _, said = command("list", expect=2)
    assert 'shop.py", line 4, in f' in said and "ZeroDivisionError" in said
    assert "ematix_flow" not in said.split("ZeroDivisionError")[0]
    assert "error[import_failed]" in said


def test_a_function_that_raises_shows_the_users_traceback(command: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(MODULE.replace('    print("called")', '    raise ValueError("no such month")'))
    _, said = command("run", "customers", expect=1)
    assert "ValueError: no such month" in said and "in customers" in said


def test_a_file_is_as_good_as_a_module(command: Run, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "shop_names.py").write_text('TARGET = "mirror.by_path"\n')
    text = MODULE.replace('"mirror.customers"', "shop_names.TARGET").replace(
        "from typing", "import shop_names\nfrom typing"
    )
    file = tmp_path / "jobs" / "by_path.py"
    file.write_text(text)
    alone = PROJECT.replace('python = ["shop"]\n', "")
    listed, _ = command("--module", str(file), "list", text=alone)
    assert "wh mirror.by_path" in listed.replace("warehouse", "wh")


def test_pyproject_names_the_modules(command: Run, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.ematix-flow]\nmodules = ["shop"]\n')
    alone = PROJECT.replace('python = ["shop"]\n', "")
    listed, _ = command("list", text=alone)
    assert "customers" in listed
