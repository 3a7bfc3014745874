"""`flow diff NAME`: what a load would change, found without loading; histories as they were; the forms of the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from across import Across, connect
from customers import wait_until
from database import Database
from flow_binary import Flow
from project import Project
from python_package import Interpreter
from test_diff import by_column, counts

pytestmark = pytest.mark.clock

# By mode, the options with which it is loaded, and what a diff finds of CHANGES before the next load.
MODES: dict[str, tuple[dict[str, Any], tuple[int, ...], dict[str, int]]] = {
    "append": ({"keys": "id"}, (4, 4, 1, 1, 2, 1), {"name": 1, "age": 1}),
    "truncate": ({}, (4, 4, 1, 1, 2, 1), {"name": 1, "age": 1}),
    "merge": ({}, (4, 4, 1, 1, 2, 1), {"name": 1, "age": 1}),
    "merge_some": ({"update_columns": "age", "handle_deletes": "hard"}, (4, 4, 1, 1, 1, 2), {"age": 1}),
    "merge_soft": ({"handle_deletes": "soft"}, (4, 4, 1, 1, 2, 1), {"name": 1, "age": 1}),
    "scd2": ({"compare_columns": "name", "handle_deletes": "soft"}, (4, 4, 1, 1, 1, 2), {"name": 1}),
    "scd2_overwritten": (
        {"compare_columns": "name", "overwrite_columns": "age"},
        (4, 4, 1, 1, 2, 1),
        {"name": 1, "age": 1},
    ),
}
COLUMNS = {"id": "integer", "name": "text?", "age": "bigint?"}
CHANGES = (
    "DELETE FROM app.people WHERE id = 4; INSERT INTO app.people VALUES (5, 'Eve', 5);"
    "UPDATE app.people SET name = 'Adele' WHERE id = 1; UPDATE app.people SET age = 0 WHERE id = 2"
)


def people(database: Database) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.people (id integer PRIMARY KEY, name varchar(9), age integer);"
        "INSERT INTO app.people VALUES (1, 'Ada', 1), (2, 'Bob', 2), (3, NULL, NULL), (4, 'Dan', 4)"
    )


def diff(flow: Flow, *arguments: str, expect: int | None = 1) -> dict[str, Any]:
    found: dict[str, Any] = flow("diff", *arguments, "--output", "json", expect=expect).json()
    return found


@pytest.mark.parametrize("way", ["join", "checksums"])
@pytest.mark.parametrize("name", MODES)
def test_a_pipeline_of_each_mode_is_compared_as_it_would_load(
    name: str, way: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    target = database if way == "join" else new_database()
    people(database)
    options, expected, columns = MODES[name]
    made = Across()
    made.table("people", COLUMNS, schema="dw", primary_key=["id"])
    made.pipeline("people", "app.people", "people", name.split("_")[0], **options)
    flow.project(made.text())
    connect(flow, database, target)
    refused = flow("diff", "people", expect=2)
    assert "error[unknown_table]: dw.people does not exist yet" in refused.stderr
    flow("run", "people")
    report = diff(flow, "people", expect=0)
    assert (report["pipeline"], report["method"], counts(report)) == ("people", way, (4, 4, 0, 0, 0, 4))
    assert report["keys"] == ["id"]
    database.execute(CHANGES)
    before = target.rows("SELECT t::text, xmin::text, xmax::text FROM dw.people AS t ORDER BY 1")
    report = diff(flow, "people")
    assert target.rows("SELECT t::text, xmin::text, xmax::text FROM dw.people AS t ORDER BY 1") == before
    assert (counts(report), by_column(report)) == (expected, columns)
    if name in ("append", "truncate"):
        return
    run = flow("run", "people", "--output", "json").json()
    assert run["rows_inserted"] + run["rows_updated"] == expected[2] + expected[4]
    after = diff(flow, "people", expect=None)
    # What left the source stays where nobody asked for deletes.
    left = 0 if "handle_deletes" in options else 1
    assert counts(after)[2:5] == (0, left, 0)


def test_markers_and_helpers_come_before_the_comparison(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id text, email text, n text, at timestamptz);"
        "INSERT INTO app.s VALUES ('1', ' A@X ', '7', now()), ('2', 'b@y', 'no', now()), ('3', NULL, NULL, now()),"
        " ('1', 'old', '1', now() - interval '1 day'), ('9', 'gone', '1', now())"
    )
    made = Project()
    made.table(
        "t",
        {
            "id": {"type": "bigint", "normalize": ["parse_int"]},
            "email": {"type": "text?", "normalize": ["trim", "lower"]},
            "n": {"type": "integer?", "normalize": ["parse_int"]},
            "at": "timestamp?",
        },
        schema="dw",
    )
    made.pipelines["p"] = {
        "source": {"table": "app.s"},
        "target": "t",
        "mode": "scd2",
        "keys": "id",
        "transforms_pre": [
            {"deduplicate_by": {"keys": "id", "order_by": "at DESC"}},
            {"filter_where": "id <> 9"},
        ],
    }
    flow.project(made.text())
    flow("run", "p")
    assert counts(diff(flow, "p", expect=0)) == (3, 3, 0, 0, 0, 3)
    database.execute("UPDATE app.s SET email = 'B@Y  ' WHERE id = '2'")
    assert diff(flow, "p", expect=0)["equal"], "what is cleaned away is no difference"
    database.execute("UPDATE app.s SET n = '8' WHERE id = '2'")
    report = diff(flow, "p", "--sample", "2")
    assert by_column(report) == {"n": 1}
    [row] = report["sample"]
    assert (row["key"], row["a"]["n"], row["b"]["n"]) == ({"id": 2}, 8, None)


def test_rows_are_compared_as_the_target_would_hold_them(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id int, amount numeric, at timestamptz);"
        "INSERT INTO app.s VALUES (1, 1.005, '2026-01-01 00:00:00.9Z'), (1, 1.234, '2026-01-02 00:00:00.1Z')"
    )
    made = Project()
    made.table("t", {"id": "integer", "amount": "numeric(10,2)", "at": "timestamptz(0)"}, schema="dw")
    made.pipeline("p", "app.s", "t", "merge", keys="id", on_duplicate="latest", order_by="at DESC")
    flow.project(made.text())
    flow("run", "p")
    assert counts(diff(flow, "p", expect=0)) == (1, 1, 0, 0, 0, 1)
    del made.pipelines["p"]["on_duplicate"], made.pipelines["p"]["order_by"]
    flow.project(made.text())
    assert "duplicate_source_key" in flow("diff", "p", expect=4).stderr


def test_each_target_of_one_reading_is_compared(database: Database, flow: Flow) -> None:
    people(database)
    flow.project("""
[pipelines.people]
source = { table = "app.people" }
targets = [
  { target = "dw.now", mode = "merge" },
  { target = "dw.then", mode = "scd2", compare_columns = ["age"] },
]
""")
    flow("run", "people")
    database.execute("UPDATE app.people SET name = 'x' WHERE id < 3")
    document = diff(flow, "people")
    assert document["schema"] == "ematix.diff.v1"
    assert [(report["b"]["table"], report["rows_differing"]) for report in document["diffs"]] == [
        ("dw.now", 2),
        ("dw.then", 0),
    ]
    lines = flow("diff", "people", "--output", "ndjson", expect=1).stdout.splitlines()
    assert [json.loads(line)["equal"] for line in lines] == [False, True]


def test_a_history_is_read_as_it_was(database: Database, flow: Flow) -> None:
    people(database)
    flow.project("""
[pipelines.people]
source = { table = "app.people" }
target = "dw.people"
mode = "scd2"
handle_deletes = "soft"
""")
    flow("run", "people")
    database.execute("CREATE TABLE app.kept AS TABLE app.people")
    time.sleep(0.01)
    then = database.value("SELECT clock_timestamp()::text")
    database.execute(CHANGES)
    flow("run", "people")
    assert diff(flow, "people", expect=0)["rows_b"] == 4
    of_then = diff(flow, "people", "--as-of", then)
    assert counts(of_then) == (4, 4, 1, 1, 2, 1) and of_then["b"]["as_of"].endswith("Z")
    report = diff(flow, "dw.people", "app.kept", "--as-of", then, expect=0)
    assert (report["keys"], report["keys_reason"], report["columns_only_in_a"]) == (["id"], "the keys of people", [])
    assert "as_of" in report["a"] and "as_of" not in report["b"]
    assert counts(diff(flow, "app.people", "dw.people", "--as-of", "2000-01-01")) == (4, 0, 4, 0, 0, 0)
    # Without an instant a history is a table with all of its versions.
    assert diff(flow, "dw.people", "dw.people", expect=0)["rows_a"] == 7
    for wrong, code in (
        (("app.people", "app.kept", "--as-of", then, "--keys", "id"), "option_not_for_mode"),
        (("people", "--as-of", "the other day"), "invalid_value"),
    ):
        assert f"error[{code}]" in flow("diff", *wrong, expect=2).stderr


def test_what_markers_hide_stays_hidden_in_samples_of_the_source(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id int PRIMARY KEY, iban text, n int); INSERT INTO app.s VALUES (1, 'DE1234', 1);"
        "CREATE TABLE app.copy (id int PRIMARY KEY, iban text, n int); INSERT INTO app.copy VALUES (1, 'DE9999', NULL)"
    )
    made = Project()
    made.table(
        "t", {"id": "integer", "iban": {"type": "text?", "normalize": [{"mask": 4}]}, "n": "integer?"}, schema="dw"
    )
    made.pipeline("p", "app.s", "t", "merge", keys="id")
    flow.project(made.text())
    flow("run", "p")
    database.execute("UPDATE app.s SET n = 2")
    of_pipeline = diff(flow, "p", "--sample", "1")
    assert by_column(of_pipeline) == {"n": 1} and of_pipeline["sample"][0]["a"]["iban"] == "**1234"
    shown = flow("diff", "app.s", "app.copy", "--sample", "1", expect=1).stdout
    report = diff(flow, "app.s", "app.copy", "--sample", "1")
    assert by_column(report) == {"iban": 1, "n": 1}
    assert (report["sample"][0]["a"]["iban"], report["sample"][0]["b"]["iban"]) == ("…", "…")
    assert "DE" not in shown and "n: 2 → NULL" in shown


def test_a_marker_with_a_key_and_a_union_are_compared_and_pinned_settings_hold(database: Database, flow: Flow) -> None:
    people(database)
    flow.project("""
[connections.default]
dsn = "${env:EMATIX_FLOW_DSN}"
session = { search_path = "app" }
[tables.t]
schema = "dw"
primary_key = ["id"]
[tables.t.columns]
id = "bigint"
name = { type = "text?", normalize = [{ hash = { key = "${env:SECRET}" } }] }
[pipelines.hashed]
source = { query = "SELECT id, name FROM people" }
target = "t"
mode = "merge"
[pipelines.both]
source = { union = [{ query = "SELECT id, name FROM people" }, { query = "SELECT id + 10 AS id, name FROM people" }] }
target = "dw.both"
keys = "id"
mode = "truncate"
""")
    flow.variables["SECRET"] = "0123456789abcdef"
    flow("run", "--all")
    assert diff(flow, "hashed", expect=0)["rows_a"] == 4
    database.execute("UPDATE app.people SET name = 'Zoe' WHERE id = 1")
    done = flow("diff", "hashed", "--sample", "1", expect=1)
    assert "Zoe" not in done.stdout and "0123456789abcdef" not in done.stdout
    assert counts(diff(flow, "both")) == (8, 8, 0, 0, 2, 6)


SEEN = """
CREATE SCHEMA app;
CREATE TABLE app.seen (id int PRIMARY KEY, at timestamptz);
INSERT INTO app.seen SELECT n, '2026-01-01Z'::timestamptz + n * interval '1 hour' FROM generate_series(-12, 12) AS n;
"""


def live_in(database: Database, zone: str) -> None:
    database.execute(f"ALTER DATABASE \"{database.name}\" SET TimeZone = '{zone}'")


@pytest.mark.parametrize("way", ["join", "checksums"])
def test_a_text_without_a_zone_is_one_instant_on_both_sides(
    way: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    other = database if way == "join" else new_database()
    database.execute(SEEN)
    live_in(database, "Europe/Berlin")
    if other is not database:
        other.execute(SEEN)
        live_in(other, "America/New_York")
    connect(flow, database, other)
    flow.project(Across().text())
    where = ("crm:app.seen", "warehouse:app.seen", "--where", "at >= '2026-01-01'")
    assert counts(diff(flow, *where, expect=0))[:2] == (13, 13)
    days = [f"{name}:SELECT id, at::date AS day FROM app.seen" for name in ("crm", "warehouse")]
    assert diff(flow, *days, "--keys", "id", expect=0)["equal"]
    # What a connection pins is meant.
    pinned = {"session": {"TimeZone": "America/New_York"}}
    flow.project(Across(connections={"crm": pinned, "warehouse": pinned}).text())
    assert counts(diff(flow, *where, expect=0))[:2] == (8, 8)


def test_where_means_on_both_sides_what_it_means_to_the_source(
    database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database()
    source.execute(SEEN)
    live_in(source, "Europe/Berlin")
    live_in(database, "America/New_York")
    connect(flow, source, database)
    made = Across()
    made.pipeline("p", "SELECT id, at, at::date AS day FROM app.seen", "dw.seen", "merge", keys="id")
    flow.project(made.text())
    flow("run", "p")
    assert counts(diff(flow, "p", "--where", "at >= '2026-01-01'", expect=0))[:2] == (14, 14)


def test_members_and_vanished_names(database: Database, flow: Flow) -> None:
    people(database)
    flow.project("""
[pipelines."mirror_{table}"]
for_each = { connection = "default", tables = ["app.*"] }
source = { table = "{schema}.{table}" }
target = "mirror.{table}"
mode = "merge"
""")
    flow("run", "--all")
    assert diff(flow, "mirror_people", expect=0)["equal"]
    assert "error[unknown_pipeline]" in flow("diff", "mirror_person", expect=2).stderr
    assert "flow diff A B" in flow("diff", "app.people", expect=2).stderr


def test_a_reader_s_role_will_do(database: Database, new_database: Callable[[], Database], flow: Flow) -> None:
    people(database)
    flow.project("""
[connections.read]
dsn = "${env:READER}"
[pipelines.people]
source = { connection = "default", table = "app.people" }
target = "dw.people"
target_connection = "default"
mode = "merge"
""")
    flow("run", "people")
    role = f"reader_{database.name}"
    database.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA app TO {role}; GRANT SELECT ON app.people TO {role}"
    )
    try:
        flow.variables["READER"] = database.dsn_as(role)
        refused = flow("diff", "read:app.people", "read:dw.people", expect=1)
        assert "error[permission_denied]" in refused.stderr and "GRANT" in refused.stderr
        database.execute(f"GRANT USAGE ON SCHEMA dw TO {role}; GRANT SELECT ON dw.people TO {role}")
        assert diff(flow, "read:app.people", "read:dw.people", expect=0)["equal"]
        assert diff(flow, "read:app.people", "default:dw.people", expect=0)["method"] == "checksums"
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


# --- how it is said ---------------------------------------------------------------------------------------------


def test_sides_are_named_in_several_ways(database: Database, new_database: Callable[[], Database], flow: Flow) -> None:
    people(database)
    other = new_database()
    people(other)
    connect(flow, database, other)
    flow.project(Across().text())
    for arguments in (
        ("crm:app.people", "warehouse:app.people"),
        ("app.people", "app.people", "--from", "crm", "--to", "warehouse"),
        ("app.people", "--from", "crm", "--to", "warehouse"),
        ("crm:app.people", "--to", "warehouse"),
        ("app.people", "--to", other.dsn),
        ("app.people", "SELECT * FROM app.people WHERE true::boolean", "--from", database.dsn, "--to", other.dsn),
    ):
        report = diff(flow, *arguments, expect=0)
        assert (report["method"], counts(report)) == ("checksums", (4, 4, 0, 0, 0, 4)), arguments
    report = diff(flow, "app.people", "app.people", "--from", "crm", expect=0)
    assert (report["a"]["connection"], report["b"]["connection"], report["method"]) == ("crm", "crm", "join")
    for wrong, code in (
        (("crm:app.people", "app.people", "--from", "crm"), "conflicting_options"),
        (("people", "app.people"), "invalid_value"),
        (("postgresql://x/y:app.people", "app.people"), "invalid_value"),
        (("nobody:app.people", "app.people"), "unknown_connection"),
        (("app.nothing", "app.people"), "unknown_table"),
        (("app.people", "app.people", "--output", "github"), "invalid_value"),
        (("people", "--from", "crm"), "conflicting_options"),
    ):
        assert f"error[{code}]" in flow("diff", *wrong, expect=2).stderr, wrong


def test_no_file_is_needed_and_no_password_is_shown(database: Database, flow: Flow) -> None:
    people(database)
    dsn = database.dsn.replace("postgresql://", "postgresql://", 1) + "&password=s3cr3t"
    done = flow("diff", "app.people", "app.people", "--from", dsn, "--output", "json", config=None)
    assert done.json()["equal"] and "s3cr3t" not in done.stdout + done.stderr


def test_the_answer_for_people(database: Database, flow: Flow) -> None:
    people(database)
    database.execute("CREATE TABLE app.copy AS SELECT id, name, age::bigint AS age, 1 AS extra FROM app.people")
    database.execute("UPDATE app.copy SET name = NULL WHERE id = 1; DELETE FROM app.copy WHERE id = 2")
    done = flow("diff", "app.people", "app.copy", "--sample", "5", expect=1)
    assert done.stdout == (
        "by id (the primary key of A)\n"
        "  A  default app.people\n"
        "  B  default app.copy\n"
        "  ROWS       A  B\n"
        "  all        4  3\n"
        "  only here  1  0\n"
        "  differing  1  1\n"
        "  equal      2  2\n"
        "  COLUMN  DIFFERING  TYPES\n"
        "  name            1\n"
        "  age             0  integer | bigint\n"
        "  only B has the columns extra\n"
        "  SAMPLE\n"
        "  differs  id = 1  name: Ada → NULL\n"
        "  only A   id = 2  name: Bob  age: 2\n"
        "different  2 rows differ\n"
    )
    database.execute("UPDATE app.copy SET name = 'Ada' WHERE id = 1; INSERT INTO app.copy VALUES (2, 'Bob', 2)")
    assert flow("diff", "app.people", "app.copy").stdout.endswith("equal  4 rows\n")


def test_a_page_for_a_pull_request(database: Database, flow: Flow) -> None:
    people(database)
    database.execute(
        "CREATE TABLE app.copy AS SELECT * FROM app.people; UPDATE app.copy SET name = '<b>|' WHERE id = 1"
    )
    page = flow("diff", "app.people", "app.copy", "--sample", "1", "--output", "markdown", expect=1).stdout
    assert page.startswith("<!-- ematix-flow diff pipelines.toml -->\n### flow diff: 1 row differs\n")
    assert "| differing | 1 | 1 |" in page and "| <code>name</code> | 1 |" in page
    assert "<b>" not in page


def test_an_interrupt_is_cancelled_on_the_server(database: Database, flow: Flow) -> None:
    people(database)
    running = flow.start("diff", "SELECT id, pg_sleep(60)::text AS x FROM app.people", "app.people", "--keys", "id")
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
    wait_until(lambda: database.value(asleep) > 0, "the query runs")
    running.process.terminate()
    finished = running.finish(expect=143)
    assert "cancelled" in finished.stderr
    wait_until(lambda: database.value(asleep) == 0, "the query is cancelled")


def test_a_file_of_duckdb_is_refused(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "local.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS id")
    (tmp_path / "pipelines.toml").write_text('[connections.local]\ndsn = "duckdb:local.duckdb"\n', encoding="utf-8")
    done = Interpreter(tmp_path).flow("diff", "local:main.t", "local:main.t", "--keys", "id", expect=2)
    assert "error[unsupported_by_engine]" in done.stderr
