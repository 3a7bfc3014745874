"""`flow doctor --grants`: a role with just that runs, first and again, in every mode; without any one of it, it is told
which one it lacks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from across import Across, connect
from database import Database, temporary_database
from flow_binary import Flow

SOURCE = """
CREATE SCHEMA "App Data";
CREATE TABLE "App Data".orders (id bigint PRIMARY KEY, name text, changed timestamptz NOT NULL DEFAULT now());
INSERT INTO "App Data".orders SELECT n, 'order ' || n FROM generate_series(1, 40) AS n;
CREATE VIEW "App Data".shown AS SELECT * FROM "App Data".orders;
"""
COLUMNS = {"id": "bigint", "name": "text?", "changed": "timestamptz"}
TABLE = '"App Data".orders'
CASES: dict[str, dict[str, Any]] = {
    "append": {"mode": "append"},
    "append from a watermark": {"mode": "append", "incremental_column": "changed"},
    "truncate": {"mode": "truncate"},
    "truncate by delete": {"mode": "truncate", "replace_method": "delete"},
    "truncate by difference": {"mode": "truncate", "replace_method": "diff", "keys": "id"},
    "merge": {"mode": "merge", "keys": "id", "handle_deletes": "soft"},
    "merge, hard deletes": {"mode": "merge", "keys": "id", "handle_deletes": "hard"},
    "merge from a watermark": {"mode": "merge", "keys": "id", "incremental_column": "changed"},
    "scd2": {"mode": "scd2", "keys": "id", "handle_deletes": "soft"},
    "scd2 of a view": {"mode": "scd2", "keys": "id", "source": 'SELECT * FROM "App Data".shown'},
    "scd2 with expectations": {
        "mode": "scd2",
        "keys": "id",
        "expect": [{"not_null": "name", "policy": "quarantine"}],
    },
    "a join": {
        "mode": "truncate",
        "source": 'SELECT o.* FROM "App Data".orders AS o JOIN "App Data".shown AS s ON s.id = o.id',
    },
}


@dataclass
class Place:
    """A source and where it goes, in databases that give nothing to PUBLIC."""

    source: Database
    target: Database
    roles: list[str]

    @property
    def databases(self) -> list[Database]:
        return [self.source] if self.source is self.target else [self.source, self.target]

    def role(self, purpose: str) -> str:
        """A new role that may log in, and not even connect."""
        name = f"{purpose} {self.source.name}"
        self.source.execute(f'CREATE ROLE "{name}" LOGIN')
        self.roles.append(name)
        return name

    def paste(self, sql: str, database: Database) -> None:
        """As somebody would: the whole of it, into psql."""
        pasted = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database.dsn],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )
        assert pasted.returncode == 0, pasted.stderr


@pytest.fixture(params=["one database", "two databases"])
def place(request: pytest.FixtureRequest, database: Database) -> Iterator[Place]:
    with temporary_database() as other:
        made = Place(database, database if request.param == "one database" else other, [])
        for each in made.databases:
            each.execute(f"REVOKE ALL ON DATABASE {each.name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")
        database.execute(SOURCE)
        yield made
        for role in made.roles:
            for each in made.databases:
                each.execute(f'DROP OWNED BY "{role}" CASCADE')
            database.execute(f'DROP ROLE "{role}"')


def pipeline(place: Place, case: str) -> Across:
    options = dict(CASES[case])
    mode, source = options.pop("mode"), options.pop("source", TABLE)
    made = Across()
    made.table("orders", COLUMNS, schema="Data Mart")
    made.pipeline("orders", source, "orders", mode, **options)
    if place.source is place.target:
        made.pipelines["orders"]["source"]["connection"] = "warehouse"
    return made


def as_admin(flow: Flow, place: Place) -> None:
    connect(flow, place.source, place.target)


def as_role(flow: Flow, place: Place, role: str) -> None:
    connect(flow, place.source.dsn_as(role), place.target.dsn_as(role))


def grants(flow: Flow, place: Place, config: Any, role: str) -> dict[str, str]:
    """The SQL for each connection, as it is printed."""
    as_admin(flow, place)
    text = flow("doctor", "--grants", "orders", "--role", role, config=config).stdout
    parts = re.split(r"(?m)^-- orders: what .* needs on (\w+)$", text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def paste_all(flow: Flow, place: Place, config: Any, role: str) -> str:
    found = grants(flow, place, config, role)
    for name, sql in found.items():
        place.paste(sql, place.source if name == "crm" else place.target)
    return "\n".join(found.values())


def runs(flow: Flow, config: Any, *words: str) -> dict[str, Any]:
    return flow("run", "orders", *words, "--output", "json", config=config).json()


@pytest.mark.parametrize("case", CASES)
def test_a_role_with_just_that_runs(case: str, place: Place, flow: Flow) -> None:
    config = flow.project(pipeline(place, case).text())
    first = place.role("first")
    pasted = paste_all(flow, place, config, first)
    as_role(flow, place, first)
    assert runs(flow, config)["rows_in"] == 40
    # What was needed for the first run alone is not needed any more.
    for line in pasted.splitlines():
        if line.startswith("-- after the first run: "):
            place.target.execute(line.removeprefix("-- after the first run: "))
    place.source.execute("UPDATE \"App Data\".orders SET name = 'other', changed = now() WHERE id <= 3")
    place.source.execute('DELETE FROM "App Data".orders WHERE id = 40')
    assert runs(flow, config)["status"] == "success"
    # Somebody else, to whom nothing belongs that is there.
    second = place.role("second")
    pasted = paste_all(flow, place, config, second)
    assert "CREATE SCHEMA" not in pasted and 'ON SCHEMA "Data Mart"' in pasted
    as_role(flow, place, second)
    place.source.execute("UPDATE \"App Data\".orders SET name = 'third', changed = now() WHERE id <= 5")
    assert runs(flow, config)["status"] == "success"
    flow("doctor", "orders", config=config)


@pytest.mark.parametrize("case", ["truncate", "merge", "scd2", "scd2 with expectations"])
def test_each_that_is_taken_away_is_named(case: str, place: Place, flow: Flow) -> None:
    config = flow.project(pipeline(place, case).text())
    as_admin(flow, place)
    runs(flow, config)
    if case.endswith("expectations"):
        place.source.execute('UPDATE "App Data".orders SET name = NULL WHERE id = 1')
        runs(flow, config)
    role = place.role("loader")
    found = grants(flow, place, config, role)
    for name, sql in found.items():
        place.paste(sql, place.source if name == "crm" else place.target)
    as_role(flow, place, role)
    flow("run", "orders", config=config)
    for name, sql in found.items():
        database = place.source if name == "crm" else place.target
        for words, on in re.findall(r"(?m)^GRANT (.+) ON (.+) TO .+;$", sql):
            # Without CONNECT nobody is told anything, and of the metadata all tables are granted at once. Rows are taken
            # from their tables by few runs.
            if on.startswith(("DATABASE", "ALL TABLES", '"ematix_flow".')):
                continue
            for word in words.split(", "):
                database.execute(f'REVOKE {word} ON {on} FROM "{role}"')
                finished = flow("run", "orders", config=config, expect=1)
                assert "error[permission_denied]" in finished.stderr, (word, on)
                named = on.replace('"', "")
                told = re.search(r"(?m)^hint: .*", finished.stderr)
                assert told and re.search(
                    rf"GRANT [A-Z, ]*\b{word}\b[A-Z, ]* ON {re.escape(named)} TO", told[0].replace('"', "")
                ), (word, on, finished.stderr)
                database.execute(f'GRANT {word} ON {on} TO "{role}"')
    flow("run", "orders", config=config)


def test_columns_are_added_by_the_role_that_owns_the_table(place: Place, flow: Flow) -> None:
    made = pipeline(place, "scd2")
    config = flow.project(made.text())
    role = place.role("loader")
    paste_all(flow, place, config, role)
    as_role(flow, place, role)
    runs(flow, config)
    place.source.execute("ALTER TABLE \"App Data\".orders ADD color text DEFAULT 'red'")
    made.table("orders", {**COLUMNS, "color": "text?"}, schema="Data Mart")
    made.pipelines["orders"]["migrate"] = True
    config = flow.project(made.text())
    assert runs(flow, config)["status"] == "success"
    assert "only its owner may" in "".join(grants(flow, place, config, role).values())


def test_what_is_due_is_served_with_just_that(place: Place, flow: Flow) -> None:
    made = pipeline(place, "scd2")
    made.pipelines["orders"] |= {"every": "1h", "first_run": "now"}
    config = flow.project(made.text())
    role = place.role("loader")
    paste_all(flow, place, config, role)
    as_role(flow, place, role)
    answer = flow("run-due", "--output", "json", config=config).json()
    assert [run["status"] for run in answer["runs"]] == ["success"], answer
    assert flow("run-due", "--output", "json", config=config).json()["runs"] == []


def test_names_that_need_quotes_stay_names(place: Place, flow: Flow) -> None:
    """Whatever a role is called, what is printed grants and does nothing else."""
    place.source.execute("CREATE TABLE public.canary ()")
    config = flow.project(pipeline(place, "scd2").text())
    name = 'x"; DROP TABLE public.canary; --\n; DROP TABLE public.canary; '
    quoted = '"' + name.replace('"', '""') + '"'
    place.source.execute(f"CREATE ROLE {quoted} LOGIN")
    try:
        paste_all(flow, place, config, name)
        assert place.source.value("SELECT count(*) FROM pg_class WHERE relname = 'canary'") == 1
    finally:
        for each in place.databases:
            each.execute(f"DROP OWNED BY {quoted} CASCADE")
        place.source.execute(f"DROP ROLE {quoted}")


def test_a_connection_that_takes_a_role_needs_that_it_may(place: Place, flow: Flow) -> None:
    made = pipeline(place, "scd2")
    made.connections = {name: {"role": "loader of orders"} for name in ("crm", "warehouse")}
    place.source.execute('CREATE ROLE "loader of orders"; GRANT "loader of orders" TO postgres')
    place.roles.append("loader of orders")
    as_admin(flow, place)
    text = flow("doctor", "--grants", "orders", config=flow.project(made.text())).stdout
    assert 'GRANT "loader of orders" TO "postgres";' in text
    assert 'GRANT USAGE, CREATE ON SCHEMA "ematix_flow" TO "loader of orders";' in text


def test_the_answer_for_programs(place: Place, flow: Flow) -> None:
    as_admin(flow, place)
    config = flow.project(pipeline(place, "scd2").text())
    answer = flow("doctor", "--grants", "orders", "--output", "json", config=config).json()
    assert answer["schema"] == "ematix.grants.v1"
    last = answer["grants"][-1]
    assert (last["pipeline"], last["connection"], last["role"]) == ("orders", "warehouse", '"postgres"')
    assert "CREATE SCHEMA ematix_flow;" in last["first_run"]
