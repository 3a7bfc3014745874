"""Markers clean the values of a column on every path alike, and are refused where they do not fit."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from across import Across, connect
from cleaned import KEY, VALUES, Case
from database import Database
from flow_binary import Flow
from project import Project

from ematix_flow import BigInt, normalize
from ematix_flow.declare import markers


@pytest.fixture(autouse=True)
def known_key(flow: Flow) -> None:
    flow.variables["PII_KEY"] = KEY


def source(database: Database, cases: dict[str, Case]) -> None:
    """A table of a row an input; a case with fewer has its last once more."""
    names = quoted(cases)
    columns = ", ".join(f'"{name}" {case.source}' for name, case in cases.items())
    database.execute(f"CREATE SCHEMA app; CREATE TABLE app.inputs (id bigint PRIMARY KEY, {columns})")
    for row in range(rows_of(cases)):
        values = [given(case, row)[0] for case in cases.values()]
        database.shared.execute(
            f"INSERT INTO app.inputs (id, {names}) VALUES (%s{', %s' * len(values)})", [row, *values]
        )


def quoted(cases: dict[str, Case]) -> str:
    return ", ".join(f'"{name}"' for name in cases)


def rows_of(cases: dict[str, Case]) -> int:
    return max(len(case.pairs) for case in cases.values())


def given(case: Case, row: int) -> tuple[Any, Any]:
    return case.pairs[min(row, len(case.pairs) - 1)]


def expected(cases: dict[str, Case]) -> list[tuple[Any, ...]]:
    return [(row, *(given(case, row)[1] for case in cases.values())) for row in range(rows_of(cases))]


def declared(cases: dict[str, Case]) -> dict[str, Any]:
    columns: dict[str, Any] = {"id": "bigint"}
    for name, case in cases.items():
        columns[name] = {"type": case.declared, "normalize": case.normalize}
    return columns


def loaded(database: Database, table: str, cases: dict[str, Case]) -> list[tuple[Any, ...]]:
    return database.rows(f"SELECT id, {quoted(cases)} FROM {table} ORDER BY id")


@pytest.mark.parametrize("mode", ["append", "truncate", "merge", "scd2"])
def test_values_are_cleaned_on_one_database(mode: str, database: Database, flow: Flow) -> None:
    source(database, VALUES)
    database.execute(f"ALTER DATABASE {database.name} SET timezone = 'America/New_York'")
    project = Project()
    project.table("t", declared(VALUES), primary_key="id")
    project.pipeline("p", "app.inputs", "t", mode)
    assert project.run(flow)["p"]["path"] == "same_db"
    assert loaded(database, "public.t", VALUES) == expected(VALUES)


@pytest.mark.parametrize(
    ("mode", "path"), [("append", "staging"), ("merge", "staging"), ("scd2", "staging"), ("scd2", "client_diff")]
)
def test_values_are_cleaned_on_their_way(
    mode: str, path: str, new_database: Callable[[], Database], flow: Flow
) -> None:
    crm, warehouse = new_database(), new_database()
    # The client compares where no INSERT has to cast.
    cases = {name: case for name, case in VALUES.items() if path == "staging" or case.declared == "text?"}
    source(crm, cases)
    connect(flow, crm, warehouse)
    project = Across()
    project.table("t", declared(cases), primary_key="id")
    forced = {"force_path": path} if path == "staging" else {}
    project.pipeline("p", "app.inputs", "t", mode, **forced)
    first = project.run(flow)["p"]
    assert first["rows_inserted"] == len(expected(cases)), first
    assert loaded(warehouse, "public.t", cases) == expected(cases)
    if mode == "append":
        return
    crm.execute("UPDATE app.inputs SET lower = 'OTHER' WHERE id = 0; UPDATE app.inputs SET trim = ' a b' WHERE id = 0")
    second = project.run(flow)["p"]
    assert second["path"] == path, second
    # What is cleaned to the same is the same.
    assert second["rows_unchanged"] == len(expected(cases)) - 1, second
    current = "WHERE is_current" if mode == "scd2" else ""
    assert warehouse.rows(f"SELECT lower FROM public.t {current} ORDER BY id LIMIT 1") == [("other",)]


def test_a_row_whose_values_are_cleaned_to_the_same_opens_no_version(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.people (id bigint PRIMARY KEY, email text)")
    database.execute("INSERT INTO app.people VALUES (1, ' A@x.org'), (2, 'b@x.org')")
    project = Project()
    project.table("t", {"id": "bigint", "email": {"type": "text?", "normalize": ["trim", "lower"]}}, primary_key="id")
    project.pipeline("p", "app.people", "t", "scd2")
    project.run(flow)
    database.execute("UPDATE app.people SET email = 'a@X.org ' WHERE id = 1")
    assert project.run(flow)["p"]["rows_unchanged"] == 2


@pytest.mark.parametrize("across", [False, True], ids=["one database", "two databases"])
def test_a_ledger_knows_rows_by_their_own_values(
    across: bool, new_database: Callable[[], Database], flow: Flow
) -> None:
    """Two rows that markers make alike are two rows, and neither is loaded twice; the watermark is the source's own."""
    crm = new_database()
    warehouse = new_database() if across else crm
    crm.execute("CREATE SCHEMA app; CREATE TABLE app.events (n bigint, name text)")
    crm.execute("INSERT INTO app.events VALUES (1, 'a'), (7, 'B'), (7, 'b')")
    connect(flow, crm, warehouse)
    project = Across()
    columns = {"n": {"type": "bigint", "normalize": [{"clamp": {"maximum": 5}}]}}
    project.table("t", columns | {"name": {"type": "text?", "normalize": ["lower"]}})
    project.pipeline("p", "app.events", "t", "append", incremental_column="n")
    assert project.run(flow)["p"]["watermark_after"] == "7"
    crm.execute("INSERT INTO app.events VALUES (7, 'b '), (8, 'C')")
    second = project.run(flow)["p"]
    assert (second["rows_inserted"], second["watermark_after"]) == (2, "8"), second
    assert warehouse.rows("SELECT n, name FROM public.t ORDER BY n, name COLLATE \"C\"") == [
        (1, "a"), (5, "b"), (5, "b"), (5, "b "), (5, "c")
    ]  # fmt: skip


def test_a_column_is_derived_from_others_as_the_source_has_them(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.people (id bigint, first_name text, last_name text);"
        "INSERT INTO app.people VALUES (1, ' Ada', 'Byron '), (2, NULL, 'x')"
    )
    project = Project()
    columns = {
        "id": "bigint",
        "first_name": {"type": "text?", "normalize": ["trim"]},
        "full_name": {"type": "text?", "normalize": [{"derive": "first_name || ' ' || last_name -- both"}, "trim"]},
    }
    project.table("t", columns, primary_key="id")
    project.pipeline("p", "app.people", "t", "merge")
    project.run(flow)
    assert database.rows("SELECT * FROM public.t ORDER BY id") == [(1, "Ada", "Ada Byron"), (2, None, None)]


def test_keys_and_order_by_see_cleaned_values(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.people (code text, rank text, name text);"
        "INSERT INTO app.people VALUES ('a ', '9', 'old'), ('A', '10', 'new'), ('b', '1', 'only')"
    )
    project = Project()
    columns = {
        "code": {"type": "text", "normalize": ["trim", "lower"]},
        "rank": {"type": "bigint", "normalize": [{"cast": "bigint"}]},
        "name": "text",
    }
    project.table("t", columns, primary_key="code")
    project.pipeline("p", "app.people", "t", "merge")
    flow.project(project.text())
    refused = flow("run", "p", expect=4)
    assert "duplicate_source_key" in refused.stderr
    project.pipeline("p", "app.people", "t", "merge", on_duplicate="latest", order_by="rank DESC")
    assert project.run(flow)["p"]["rows_deduplicated"] == 1
    assert database.rows("SELECT * FROM public.t ORDER BY code") == [("a", 10, "new"), ("b", 1, "only")]


def test_several_targets_clean_one_reading_each_in_its_way(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.p (id bigint, name text); INSERT INTO app.p VALUES (1, ' A')")
    flow.project("""
        [tables.one]
        primary_key = "id"
        columns = { id = "bigint", name = { type = "text", normalize = ["trim"] } }
        [tables.two]
        primary_key = "id"
        columns = { id = "bigint", name = { type = "text", normalize = ["lower"] } }
        [pipelines.p]
        source = { table = "app.p" }
        targets = [{ target = "one", mode = "merge" }, { target = "two", mode = "truncate" }]
    """)
    flow("run", "p")
    assert database.rows("SELECT name FROM one UNION ALL SELECT name FROM two") == [("A",), (" a",)]


@pytest.mark.parametrize(
    ("column", "code", "message"),
    [
        ({"type": "bigint", "normalize": ["trim"]}, "invalid_value", "`trim` gives text, but the column is bigint"),
        ({"type": "text", "normalize": ["trin"]}, "invalid_value", "did you mean `trim`?"),
        ({"type": "text", "normalize": ["lower", {"derive": "a"}]}, "invalid_value", "put `derive` first"),
        ({"type": "text", "normalize": [{"truncate": 0}]}, "invalid_value", "a length of at least 1"),
        ({"type": "text", "normalize": [{"default": 5}]}, "invalid_value", "5 is no value of type text"),
        ({"type": "bigint", "normalize": [{"default": "x"}]}, "invalid_value", "no value of type integer"),
        ({"type": "text", "normalize": [{"replace": {"old": "a"}}]}, "missing_option", "has no `new`"),
        ({"type": "text", "normalize": [{"replace": {"from": "a"}}]}, "unknown_option", "no argument `from`"),
        ({"type": "date", "normalize": [{"date_trunc": "days"}]}, "invalid_value", "knows no unit `days`"),
        ({"type": "timestamp", "normalize": [{"to_timezone": "Mars"}]}, "invalid_value", "no time zone `Mars`"),
        ({"type": "text", "normalize": [{"derive": "a) FROM x; --"}]}, "invalid_value", "semicolon"),
        ({"type": "text", "normalize": [{"derive": "a) b"}]}, "invalid_value", "parentheses"),
        ({"type": "text", "normalize": [{"sql": "upper(x)"}]}, "invalid_value", "say where the value stands"),
        ({"type": "bigint", "normalize": ["lower", {"clamp": {"minimum": 1}}]}, "invalid_value", "`lower` gives text"),
        (
            {"type": "timestamp", "normalize": [{"derive": "a"}, {"to_timezone": "UTC"}]},
            "invalid_value",
            "`to_timezone` has to know of which type its value is, which `derive` does not say",
        ),
        ({"type": "text", "normalize": [5]}, "invalid_value", "normalize"),
        ({"type": "text", "normalize": [{"trim": "a", "lower": {}}]}, "invalid_value", "one name with its arguments"),
    ],
    ids=str,
)  # fmt: skip
def test_a_marker_that_does_not_fit_is_refused_at_its_line(
    column: dict[str, Any], code: str, message: str, database: Database, flow: Flow
) -> None:
    project = Project()
    project.table("t", {"id": "bigint", "x": column}, primary_key="id")
    project.pipeline("p", "SELECT 1 AS id, 'a' AS x", "t", "merge")
    flow.project(project.text())
    refused = flow("validate", expect=2)
    said = refused.stdout + refused.stderr
    assert f"error[{code}]" in said, said
    assert message in said
    line = next(n for n, text in enumerate(project.text().splitlines(), 1) if "normalize" in text)
    assert f"pipelines.toml:{line}:" in said


def test_a_marker_that_does_not_fit_the_source_is_refused_before_the_run(database: Database, flow: Flow) -> None:
    project = Project()
    project.table("t", {"id": "bigint", "x": {"type": "numeric", "normalize": ["round"]}}, primary_key="id")
    project.pipeline("p", "SELECT 1 AS id, '5'::text AS x", "t", "merge")
    flow.project(project.text())
    refused = flow("run", "p", expect=2)
    assert "`round` in column `x` takes integer or numeric or float; the value before it is text" in refused.stderr
    assert "put `parse_int` before it" in refused.stderr or "put `parse_numeric` before it" in refused.stderr


def test_the_plan_says_what_is_cleaned_and_where(database: Database, flow: Flow) -> None:
    project = Project()
    project.table("t", {"id": "bigint", "x": {"type": "text?", "normalize": ["trim"]}}, primary_key="id")
    project.pipeline("p", "SELECT 1 AS id, ' a' AS x", "t", "merge")
    flow.project(project.text())
    planned = flow("plan", "p", "--sql")
    assert "markers clean x around the source's query" in planned.stdout, planned.stdout
    assert "btrim(" in planned.stdout
    assert flow("preview", "p", "--sql").stdout.count("btrim(") == 1


# Markers of Python that are nothing without arguments, and a type that takes what each gives.
FROM_PYTHON: dict[str, tuple[Any, str]] = {
    "cast": (normalize.cast(BigInt), "bigint?"),
    "clamp": (normalize.clamp(0, 1), "bigint?"),
    "date_trunc": (normalize.date_trunc("day", "Europe/Berlin"), "timestamptz?"),
    "default": (normalize.default("x"), "text?"),
    "derive": (normalize.derive("id"), "text?"),
    "hash": (normalize.hash(key="${env:PII_KEY}"), "text?"),
    "map_values": (normalize.map_values({1: "one"}, otherwise="many"), "text?"),
    "nullif": (normalize.nullif("x"), "text?"),
    "parse_bool": (normalize.parse_bool(on_failure="default", default=False), "boolean?"),
    "parse_date": (normalize.parse_date("DD.MM.YYYY"), "date?"),
    "parse_int": (normalize.parse_int(thousands=","), "bigint?"),
    "parse_json": (normalize.parse_json(on_failure="default", default={"a": [1]}), "jsonb?"),
    "parse_numeric": (normalize.parse_numeric(decimal_separator=",", thousands="."), "numeric?"),
    "parse_timestamp": (normalize.parse_timestamp(tz="Europe/Berlin", day_first=False), "timestamptz?"),
    "phone_normalize": (normalize.phone_normalize("DE"), "text?"),
    "regex_replace": (normalize.regex_replace("a", "b", "gi"), "text?"),
    "replace": (normalize.replace("a", ""), "text?"),
    "round": (normalize.round(2), "numeric?"),
    "sql": (normalize.sql("upper({col})"), "text?"),
    "to_timezone": (normalize.to_timezone("UTC"), "timestamp?"),
    "trim": (normalize.trim(".,"), "text?"),
    "truncate": (normalize.truncate(3), "text?"),
}


def test_every_marker_of_python_is_one_that_the_core_reads(flow: Flow, database: Database) -> None:
    names = [name for name in normalize.__all__ if getattr(normalize, name).__module__ == markers.__name__]
    cleaning = sorted(set(names) - {"pk", "natural_key", "unique", "column"})
    columns: dict[str, Any] = {"id": "bigint"}
    for name in cleaning:
        marker, declared = FROM_PYTHON[name] if name in FROM_PYTHON else (getattr(normalize, name)(), "text?")
        columns[name] = {"type": declared, "normalize": [marker.export()]}
    project = Project()
    project.table("t", columns, primary_key="id")
    project.pipeline("p", "SELECT 1 AS id", "t", "merge")
    flow.project(project.text())
    flow("validate")
    known = json.loads(flow("schema").stdout)["$defs"]["Marker"]["anyOf"][0]["enum"]
    assert sorted(known) == cleaning


# --- keys that nobody sees ------------------------------------------------------------------------------------------


def hashing(key: str) -> Project:
    project = Project()
    project.table(
        "t", {"id": "bigint", "email": {"type": "text?", "normalize": [{"hash": {"key": key}}]}}, primary_key="id"
    )
    project.pipeline("p", "app.people", "t", "scd2")
    return project


def test_the_key_of_a_hash_is_sent_and_never_shown(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.people AS SELECT 1::bigint AS id, 'a@x.org'::text AS email")
    flow.project(hashing("${env:PII_KEY}").text())
    flow.variables["PII_KEY"] = "a-very-secret-key"
    said = []
    for command in ("preview", "plan", "dry-run", "run", "plan"):
        for more in ((), ("--output", "json"), ("-v",)):
            done = flow(command, "p", *more)
            said.append(done.stdout + done.stderr)
    assert any("${env:PII_KEY}" in text for text in said)
    for query in ("run_history", "run_steps", "schema_history", "targets"):
        said.append(str(database.rows(f"SELECT to_jsonb(t) FROM ematix_flow.{query} AS t")))
    inner = "".join(f"{byte ^ 0x36:02x}" for byte in b"a-very-secret-key")
    assert not [text for text in said if "a-very-secret-key" in text or inner in text]
    assert database.value("SELECT length(email) FROM public.t") == 64


@pytest.mark.parametrize("key", [None, ""])
def test_a_key_that_is_not_there_ends_the_run_and_no_preview(key: str | None, database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.people AS SELECT 1::bigint AS id, 'a@x.org'::text AS email")
    flow.project(hashing("${env:PII_KEY}").text())
    del flow.variables["PII_KEY"]
    flow("preview", "p")
    flow("validate", "--connect")
    report = flow("run", "p", "--output", "json", env={"PII_KEY": key}, expect=2).json()
    assert report["error"]["code"] == "missing_variable"
    assert report["error"]["location"]["file"] == "pipelines.toml"
    assert database.value("SELECT to_regclass('public.t')") is None


@pytest.mark.parametrize("key", ["hunter2", "${env:1X}", "x${env:X}", "${file:rel}", "${env:X}${env:Y}"])
def test_a_key_that_is_written_is_refused_and_not_shown(key: str, flow: Flow) -> None:
    flow.project(hashing(key).text())
    done = flow("validate", expect=2)
    assert "takes where its key is to be found" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_key_of_a_file(database: Database, flow: Flow, tmp_path: Any) -> None:
    (tmp_path / "key").write_text("k\n")
    database.execute("CREATE SCHEMA app; CREATE TABLE app.people AS SELECT 1::bigint AS id, 'a'::text AS email")
    hashing(f"${{file:{tmp_path}/key}}").run(flow)
    assert database.value("SELECT email FROM public.t") == hmac.new(b"k", b"a", "sha256").hexdigest()
