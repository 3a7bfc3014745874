"""Histories as other tools make them: each tool runs in an environment of its own, and sees the source twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database import Database
from psycopg.conninfo import conninfo_to_dict

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, email varchar(80), balance numeric(10,2), born date, updated_at timestamptz NOT NULL);
INSERT INTO app.customers VALUES (1, 'ada@example.com', 9.50, '1815-12-10', '2024-01-01 10:00+00'),
  (2, NULL, 0, NULL, '2024-01-01 11:00+00'), (3, 'alan@example.com', 1.25, '1912-06-23', '2024-01-01 12:00+00');
"""
# What happens between the tool's two runs: one row changes, one leaves, one comes.
CHANGES = """
UPDATE app.customers SET email = 'ada@example.org', updated_at = '2024-02-01 10:00+00' WHERE id = 1;
DELETE FROM app.customers WHERE id = 3;
INSERT INTO app.customers VALUES (4, 'grace@example.com', 3, '1906-12-09', '2024-02-01 12:00+00');
"""


@dataclass(frozen=True)
class Tool:
    """A tool: what pip installs, the history that it makes, and how."""

    name: str
    requirements: tuple[str, ...]
    # Runs the tool once: with its Python, in a folder, on a database that it reaches by TCP.
    run: Callable[[Path, Path, dict[str, Any]], None]

    def install(self, folder: Path) -> Path:
        """The Python of a new environment that has the tool."""
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *self.requirements], check=True)
        return python

    def keep(self, python: Path, folder: Path, database: Database, role: str) -> None:
        """Makes source and history in a database."""
        place = conninfo_to_dict(database.dsn_over_tcp(role, "right"))
        database.execute(SOURCE)
        self.run(python, folder, place)
        database.execute(CHANGES)
        self.run(python, folder, place)


def _ran(*command: object, folder: Path, **variables: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TZ": "UTC", "PGTZ": "UTC", **variables}
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _dbt(python: Path, folder: Path, place: dict[str, Any]) -> None:
    profile = {"type": "postgres", "threads": 1, "schema": "snapshots", "host": place["host"], "pass": "right"}
    profile |= {"port": int(place["port"]), "user": place["user"], "dbname": place["dbname"]}
    (folder / "profiles.yml").write_text(json.dumps({"shop": {"target": "t", "outputs": {"t": profile}}}))
    (folder / "dbt_project.yml").write_text(
        json.dumps({"name": "shop", "version": "1.0", "config-version": 2, "profile": "shop"})
    )
    (folder / "models").mkdir(exist_ok=True)
    tables = [{"name": "customers"}]
    (folder / "models" / "sources.yml").write_text(
        json.dumps({"version": 2, "sources": [{"name": "app", "schema": "app", "tables": tables}]})
    )
    (folder / "snapshots").mkdir(exist_ok=True)
    by_time = {"unique_key": "id", "strategy": "timestamp", "updated_at": "updated_at"}
    by_check = {"unique_key": "id", "strategy": "check", "check_cols": "all"}
    snapshots = [
        {"name": name, "relation": "source('app', 'customers')", "config": {"schema": "dbt", **config}}
        for name, config in {
            "by_time": {**by_time, "hard_deletes": "invalidate"},
            "by_check": by_check,
            "with_markers": {**by_check, "hard_deletes": "new_record"},
        }.items()
    ]
    (folder / "snapshots" / "all.yml").write_text(json.dumps({"version": 2, "snapshots": snapshots}))
    _ran(
        python,
        "-m",
        "dbt.cli.main",
        "snapshot",
        "--profiles-dir",
        ".",
        folder=folder,
        DBT_SEND_ANONYMOUS_USAGE_STATS="0",
    )


_DLT = """
import sys, dlt, psycopg2
place, = sys.argv[1:]

@dlt.resource(name="customers", write_disposition={"disposition": "merge", "strategy": "scd2"},
              columns={"balance": {"data_type": "decimal", "precision": 10, "scale": 2}})
def customers():
    with psycopg2.connect(place) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, email, balance, born, updated_at FROM app.customers ORDER BY id")
        names = [column.name for column in cursor.description]
        yield [dict(zip(names, row)) for row in cursor.fetchall()]

destination = dlt.destinations.postgres(place)
dlt.pipeline("shop", destination=destination, dataset_name="dlt_shop").run(customers())
"""


def _dlt(python: Path, folder: Path, place: dict[str, Any]) -> None:
    (folder / "load.py").write_text(_DLT)
    url = "postgresql://{user}:right@{host}:{port}/{dbname}".format(**place)
    _ran(python, "load.py", url, folder=folder, RUNTIME__DLTHUB_TELEMETRY="false", DLT_DATA_DIR=str(folder))


def _sqlmesh(python: Path, folder: Path, place: dict[str, Any]) -> None:
    connection = {"type": "postgres", "host": place["host"], "port": int(place["port"]), "user": place["user"]}
    connection |= {"password": "right", "database": place["dbname"]}
    config = {"gateways": {"g": {"connection": connection}}, "default_gateway": "g"}
    (folder / "config.yaml").write_text(json.dumps({**config, "model_defaults": {"dialect": "postgres"}}))
    (folder / "models").mkdir(exist_ok=True)
    for name, kind in {
        "by_time": "SCD_TYPE_2_BY_TIME (unique_key id, invalidate_hard_deletes true)",
        "by_column": "SCD_TYPE_2_BY_COLUMN (unique_key id, columns [email, balance])",
    }.items():
        (folder / "models" / f"{name}.sql").write_text(
            f"MODEL (name shop.{name}, start '2024-01-01', kind {kind});\nSELECT id, email, balance, born, updated_at FROM app.customers"
        )
    command = (python, "-c", "from sqlmesh.cli.main import cli; cli()", "plan", "--auto-apply", "--no-prompts")
    quiet = {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true", "MAX_FORK_WORKERS": "1"}
    # What was read up to a day is read again as of another: the second run sees the source as it is then.
    first = not (folder / "planned").exists()
    when = ("--execution-time", "2024-01-15" if first else "2024-03-01")
    _ran(*command, *when, *(() if first else ("--run",)), folder=folder, **quiet)
    (folder / "planned").touch()


_EMATIX = """
import sys
from ematix_flow import connect, pipeline
from ematix_flow.source import Source
from ematix_flow.table import ManagedTable
from ematix_flow.types import *
place, = sys.argv[1:]

class Customers(ManagedTable):
    __schema__ = "mart"
    __tablename__ = "customers"
    id = Column(BigInt(), nullable=False, primary_key=True)
    email = Column(String(80))
    balance = Column(Numeric(10, 2))
    born = Column(Date())
    updated_at = Column(TimestampTZ())

connection = connect(url=place)
pipeline.sync(target=Customers, source=Source.postgres_query(connection, "SELECT * FROM app.customers"),
              target_connection=connection, mode="scd2", keys=("id",), handle_deletes="soft")
"""


def _ematix(python: Path, folder: Path, place: dict[str, Any]) -> None:
    (folder / "load.py").write_text(_EMATIX)
    _ran(python, "load.py", "postgresql://{user}:right@{host}:{port}/{dbname}".format(**place), folder=folder)


EMATIX = Tool("ematix", ("ematix-flow==1.0.0",), _ematix)
DBT = Tool("dbt", ("dbt-core==1.9.*", "dbt-postgres==1.9.*"), _dbt)
DLT = Tool("dlt", ("dlt[postgres]==1.*",), _dlt)
SQLMESH = Tool("sqlmesh", ("sqlmesh[postgres]<1",), _sqlmesh)
