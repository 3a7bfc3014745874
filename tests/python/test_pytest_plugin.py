"""The pytest plugin, in the tests of a user: a pytest of their own, on a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from database import server_dsn
from psycopg import connect
from python_package import TIMEOUT_SECONDS, Interpreter
from server import ServerError, find_binaries

SHOP = """
from typing import Annotated
from ematix_flow import BigInt, Text, connect, ematix, natural_key

crm = connect("crm-eu")

@ematix.table(schema="analytics")
class DimCustomers:
    customer_id: Annotated[BigInt, natural_key()]
    plan: Text | None

@ematix.pipeline(target=DimCustomers, mode="scd2", source_connection="crm-eu", handle_deletes="soft")
def customers(conn):
    # By a connection of the module's own, which is open when the next test begins.
    last = crm.query("SELECT max(customer_id) AS id FROM app.customers")[0]["id"]
    return f"SELECT customer_id, plan FROM app.customers WHERE customer_id <= {last}"
"""

CONFTEST = """
import pytest

@pytest.fixture
def shop_db(flow_db):
    with open("databases", "a") as file:
        print(flow_db.dsn, file=file)
    flow_db.serves("crm-eu")
    flow_db.execute("CREATE SCHEMA app; CREATE TABLE app.customers (customer_id bigint PRIMARY KEY, plan text)")
    flow_db.execute("INSERT INTO app.customers VALUES (1, 'free'), (2, NULL)")
    return flow_db
"""

TESTS = """
import pytest
from ematix_flow.testing import assert_history
from shop import DimCustomers, customers

@pytest.mark.parametrize("plan", ["team", "gold", "free", None])
def test_a_change_opens_a_version(shop_db, plan):
    assert customers.run().rows_inserted == 2
    shop_db.execute("UPDATE app.customers SET plan = :plan WHERE customer_id = 1", {"plan": plan})
    customers.run()
    changed = [{"plan": plan, "is_current": True}] if plan != "free" else []
    assert_history(shop_db, DimCustomers, key=1, versions=[{"plan": "free", "is_current": not changed}, *changed])

def test_a_customer_who_is_gone_is_closed_out(shop_db):
    customers.run()
    shop_db.execute("DELETE FROM app.customers WHERE customer_id = 2")
    customers.run()
    assert_history(shop_db, "analytics.dim_customers", key={"customer_id": 2}, versions=[{"is_current": False}])
"""


@dataclass
class Project:
    """A user's project with tests of its own, and the server that they find."""

    directory: Path
    environment: dict[str, str]
    databases: list[str] = field(default_factory=list)

    def pytest(self, *arguments: str, **files: str) -> tuple[int, str]:
        interpreter = Interpreter(self.directory, self.environment)
        for name, text in {"shop": SHOP, "conftest": CONFTEST, **files}.items():
            interpreter.write(f"{name}.py", text)
        words = ["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "ematix_flow.testing"]
        done = subprocess.run(
            [sys.executable, *words, *arguments],
            cwd=self.directory,
            env=interpreter.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        noted = self.directory / "databases"
        self.databases = noted.read_text().splitlines() if noted.exists() else []
        return done.returncode, done.stdout

    def names(self) -> set[str]:
        return {found[0] for dsn in self.databases if (found := re.search(r"flow_test_[0-9a-f]{12}\b", dsn))}


@pytest.fixture(params=("a server that is named", "the server of flow dev"))
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    if request.param == "a server that is named":
        yield Project(tmp_path, {"EMATIX_FLOW_TEST_DSN": server_dsn()})
        return
    try:
        binaries = find_binaries()
    except ServerError as error:
        pytest.skip(str(error))
    # Below /tmp: a socket's path has 107 bytes, and the server's user cannot enter root's directories.
    dev_server = Path(tempfile.gettempdir()) / f"flow-plugin-{uuid.uuid4().hex[:12]}"
    made = Project(tmp_path, {"EMATIX_FLOW_DEV_DIR": str(dev_server), "EMATIX_FLOW_PG_BIN": str(binaries)})
    try:
        yield made
    finally:
        Interpreter(tmp_path, made.environment).flow("dev", "reset")
        shutil.rmtree(dev_server, ignore_errors=True)


@pytest.mark.parametrize("workers", [(), ("-n", "3")], ids=["alone", "xdist"])
def test_each_test_has_a_database_of_its_own_that_is_gone_after_it(project: Project, workers: tuple[str, ...]) -> None:
    code, said = project.pytest(*workers, test_shop=TESTS)
    assert code == 0 and "5 passed" in said, said
    assert len(project.names()) == 5
    dsn = project.environment.get("EMATIX_FLOW_TEST_DSN")
    dsn = dsn or Interpreter(project.directory, project.environment).flow("dev", "url").stdout.strip()
    with connect(dsn) as admin:
        rows = admin.execute("SELECT datname FROM pg_database").fetchall()
    assert project.names() & {name for (name,) in rows} == set()


@pytest.fixture
def named(tmp_path: Path) -> Project:
    return Project(tmp_path, {"EMATIX_FLOW_TEST_DSN": server_dsn()})


def test_what_a_module_opened_when_it_was_imported_leads_to_the_tests_database_too(named: Project) -> None:
    named.environment["EMATIX_FLOW_DSN_CRM_EU"] = server_dsn()
    code, said = named.pytest(shop=SHOP + "\ncrm.query('SELECT 1')\n", test_shop=TESTS)
    assert code == 0 and "5 passed" in said, said


# --- what a failure says


WRONG = """
from ematix_flow.testing import assert_history
from shop import DimCustomers, customers

def test_it(shop_db):
    customers.run()
    for plan in ("team", "gold"):
        shop_db.execute("UPDATE app.customers SET plan = :plan WHERE customer_id = 1", {{"plan": plan}})
        customers.run()
    assert_history(shop_db, {target}, key={key}, versions={versions})
"""


@pytest.mark.parametrize(
    ("target", "key", "versions", "failure"),
    [
        (
            "DimCustomers",
            1,
            [{"plan": "free"}, {"plan": "gone", "is_current": False}, {"plan": "gold"}],
            """
            AssertionError: analytics.dim_customers, customer_id = 1: expected 3 versions, found 3
              1  as expected   {'plan': 'free'}
              2  expected      {'plan': 'gone', 'is_current': False}
                 found         {'plan': 'team', 'is_current': False}
              3  as expected   {'plan': 'gold'}
            """,
        ),
        (
            "DimCustomers",
            1,
            [{"plan": "free"}],
            """
            AssertionError: analytics.dim_customers, customer_id = 1: expected 1 version, found 3
              1  as expected   {'plan': 'free'}
              2  not expected  {'plan': 'team'}
              3  not expected  {'plan': 'gold'}
            """,
        ),
        (
            "DimCustomers",
            17,
            [{"plan": "free"}],
            """
            AssertionError: analytics.dim_customers, customer_id = 17: expected 1 version, found 0
              1  missing       {'plan': 'free'}
            """,
        ),
        (
            "'analytics.dim_customers'",
            {"customer_id": 1},
            [{"paln": "free"}],
            """
            AssertionError: analytics.dim_customers has no column paln; it has customer_id, plan, valid_from, valid_to,\
 is_current, row_hash
            """,
        ),
        ("'analytics.dim_customers'", 1, [], "ematix_flow.errors.SpecError: assert_history: which column is 1?"),
    ],
    ids=["other", "too many", "none", "no such column", "no name of the key"],
)
def test_a_history_that_is_otherwise_is_told_version_by_version(
    named: Project, target: str, key: object, versions: object, failure: str
) -> None:
    code, said = named.pytest(test_shop=WRONG.format(target=target, key=key, versions=versions))
    told = "\n".join(line[1:].rstrip() for line in said.splitlines() if line.startswith("E "))
    assert code == 1, said
    assert _unindented(failure) in _unindented(told), said


def _unindented(text: str) -> str:
    lines = text.strip("\n").splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:].rstrip() for line in lines).strip()


def test_a_server_that_is_away_is_told_without_its_password(named: Project) -> None:
    named.environment["EMATIX_FLOW_TEST_DSN"] = "postgresql://me:secret@127.0.0.1:1/postgres"
    code, said = named.pytest("-k", "gone", test_shop=TESTS)
    assert code == 1 and "secret" not in said
    assert "flow_db: no database of the test's own on postgresql://me:****@127.0.0.1:1/postgres: " in said


def test_no_server_at_all_is_told_with_what_to_do(named: Project) -> None:
    del named.environment["EMATIX_FLOW_TEST_DSN"]
    named.environment |= {"EMATIX_FLOW_PG_BIN": os.devnull, "EMATIX_FLOW_DEV_DIR": str(named.directory / "dev")}
    code, said = named.pytest(test_shop=TESTS)
    assert code == 1
    assert "no server: `flow dev start` failed; set EMATIX_FLOW_TEST_DSN" in said
    assert "hint: set it to the directory with postgres, initdb and pg_ctl, or unset it" in said
