"""Several targets from one reading: one transaction, all or none, a run row each under one parent."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from customers import wait_until
from database import Database
from flow_binary import Flow
from psycopg.conninfo import conninfo_to_dict
from python_package import Interpreter
from relay import relay
from server import url

DECLARED = """
from typing import Annotated
from ematix_flow import *
from ematix_flow import pipeline, ematix, pk, Source

@ematix.table(schema="dw")
class Dim:
    id: Annotated[BigInt, pk()]
    name: Text | None

@ematix.table(schema="dw")
class Latest:
    id: Annotated[BigInt, pk()]
    name: Text | None
    mood: Text | None

@ematix.pipeline(
    targets=[
        {"target": Dim, "mode": "scd2", "compare_columns": "name", "handle_deletes": "soft"},
        {"target": Latest, "mode": "merge"},
        {"target": "dw.log", "mode": "append", "incremental_column": "seen_at"},
    ],
    source_connection="crm", target_connection="warehouse", lock_timeout="10s",
)
def people(conn):
    return "SELECT id, name, mood, seen_at FROM app.people"
"""

SOURCE = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'glad');
CREATE TABLE app.people (id bigint, name text, mood app.mood, seen_at timestamptz NOT NULL);
INSERT INTO app.people VALUES (1, 'Ada', 'glad', '2026-01-01'), (2, 'Grace', 'sad', '2026-01-02');
"""

# What the source is asked before it is read, by words of the question.
QUESTIONS = {
    "its columns": "SELECT q.* FROM (SELECT 1) AS one LEFT JOIN (",
    "the types of its columns": "'stamped'",
    "how late a commit can be": "pg_prepared_xacts",
}


@pytest.fixture(params=["one database", "two databases"])
def source(request: pytest.FixtureRequest, database: Database, new_database: Any) -> Database:
    where: Database = database if request.param == "one database" else new_database()
    where.execute(SOURCE)
    return where


@pytest.fixture
def python(source: Database, database: Database, tmp_path: Path) -> Interpreter:
    return Interpreter(tmp_path, {"EMATIX_FLOW_DSN_CRM": source.dsn, "EMATIX_FLOW_DSN_WAREHOUSE": database.dsn})


def run(python: Interpreter, text: str = "report = people.run()\nprint(report.to_json())") -> Any:
    return python.run(f"{DECLARED}\n{text}").json()


def tables(database: Database) -> dict[str, Any]:
    return {
        "dim": database.rows("SELECT id, name, is_current FROM dw.dim ORDER BY id, valid_from"),
        "latest": database.rows("SELECT id, name, mood FROM dw.latest ORDER BY id"),
        "log": database.rows("SELECT id, name, mood::text FROM dw.log ORDER BY id, seen_at"),
    }


def test_one_reading_loads_all(python: Interpreter, source: Database, database: Database) -> None:
    first = run(
        python,
        "report = people.run()\nassert [r.target for r in report.targets] == ['dw.dim', 'dw.latest', 'dw.log']\nprint(report.to_json())",
    )
    assert (first["status"], first["committed"], first["rows_in"], first["rows_inserted"]) == ("success", True, 6, 6)
    assert [(each["target"], each["mode"], each["rows_inserted"]) for each in first["targets"]] == [
        ("dw.dim", "scd2", 2),
        ("dw.latest", "merge", 2),
        ("dw.log", "append", 2),
    ]
    source.execute(
        "UPDATE app.people SET name = 'Ada L.', seen_at = '2026-01-03' WHERE id = 1; DELETE FROM app.people WHERE id = 2"
    )
    second = run(python)
    counts = [[each[f"rows_{name}"] for name in ("inserted", "updated", "closed_out")] for each in second["targets"]]
    assert counts == [[1, 0, 2], [0, 1, 0], [1, 0, 0]]
    assert tables(database) == {
        "dim": [(1, "Ada", False), (1, "Ada L.", True), (2, "Grace", False)],
        "latest": [(1, "Ada L.", "glad"), (2, "Grace", "sad")],
        "log": [(1, "Ada", "glad"), (1, "Ada L.", "glad"), (2, "Grace", "sad")],
    }
    assert database.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE '\\_ematix\\_%'") == 0


def test_the_source_is_asked_once_for_all_targets(
    python: Interpreter, source: Database, database: Database, tcp_role: str
) -> None:
    by_tcp = conninfo_to_dict(source.dsn_over_tcp(tcp_role, "right"))

    def asked(declared: str) -> list[str]:
        with relay(int(by_tcp["port"])) as between:
            crm = url({**by_tcp, "port": str(between.port), "sslmode": "disable"})
            python.environment |= {
                "EMATIX_FLOW_DSN_CRM": crm,
                "EMATIX_FLOW_DSN_WAREHOUSE": crm if source is database else database.dsn,
            }
            python.write("shop.py", declared)
            python.flow("--module", "shop", "plan", "people")
        return between.statements()

    of_all = asked(DECLARED)
    assert {what: sum(words in each for each in of_all) for what, words in QUESTIONS.items()} == dict.fromkeys(
        QUESTIONS, 1
    )
    if source is not database:
        only = "\n".join(line for line in DECLARED.splitlines() if '"mode"' not in line or '"append"' in line)
        assert len(of_all) == len(asked(only))


def test_each_target_has_a_run_under_one_parent(python: Interpreter, database: Database) -> None:
    report = run(python)
    rows = database.rows(
        "SELECT pipeline_name, target, status, rows_inserted, parent_run_id::text FROM ematix_flow.run_history ORDER BY run_id"
    )
    parent = report["run_id"]
    assert rows[0][:2] + rows[0][2:] == ("people", "dw.dim", "success", 6, None)
    assert rows[1:] == [
        ("people/dw.dim", "dw.dim", "success", 2, parent),
        ("people/dw.latest", "dw.latest", "success", 2, parent),
        ("people/dw.log", "dw.log", "success", 2, parent),
    ]
    assert database.value("SELECT array_agg(pipeline_name) FROM ematix_flow.watermarks") == ["people/dw.log"]


def test_a_guard_of_one_fails_all(python: Interpreter, source: Database, database: Database) -> None:
    run(python)
    before = tables(database)
    source.execute("INSERT INTO app.people SELECT id, 'twice', mood, '2026-02-01' FROM app.people")
    failed = run(python, "try:\n    people.run()\nexcept DataError as error:\n    print(error.report.to_json())")
    assert (failed["status"], failed["error"]["code"]) == ("refused", "duplicate_source_key")
    assert failed["error"]["context"]["target"] == "dw.dim"
    assert tables(database) == before
    statuses = "SELECT status, count(*) FROM ematix_flow.run_history GROUP BY status ORDER BY status"
    assert database.rows(statuses) == [("refused", 4), ("success", 4)]
    assert database.value("SELECT last_value FROM ematix_flow.watermarks") == "2026-01-02T00:00:00Z"


def test_a_dry_run_and_a_plan_leave_nothing(python: Interpreter, database: Database) -> None:
    dry = run(python, "print(people.dry_run().to_json())")
    assert (dry["dry_run"], [each["rows_inserted"] for each in dry["targets"]]) == (True, [2, 2, 2])
    plan = run(python, "import json\nprint(json.dumps([[step.kind, step.purpose] for step in people.plan().steps]))")
    assert plan.count(["stage", "read the source once, for 3 targets"]) == 1
    assert plan.count(["ddl", "dw.dim: create the schema dw"]) == 1
    assert ["insert", "dw.latest: insert every row"] in plan
    declared = "\n".join(line for line in DECLARED.splitlines() if "dw.log" not in line)
    preview = python.run(f"{declared}\nprint([step.kind for step in people.preview().steps].count('finish'))")
    assert preview.stdout == "3\n"
    assert database.value("SELECT to_regnamespace('dw')") is None


def test_orders_of_targets_do_not_deadlock(python: Interpreter, source: Database, database: Database) -> None:
    run(python)
    turned = DECLARED.replace('"target": Dim,', '"target": "x",').replace('"target": Latest,', '"target": Dim,')
    turned = turned.replace('"target": "x",', '"target": Latest,').replace(
        '"mode": "scd2", "compare_columns": "name", "handle_deletes": "soft"', '"mode": "merge"', 1
    )
    turned = turned.replace(
        '{"target": Dim, "mode": "merge"}', '{"target": Dim, "mode": "scd2", "compare_columns": "name"}'
    )
    turned = turned.replace(", lock_timeout", ', name="turned", lock_timeout')
    failures: list[Exception] = []

    def several(text: str, name: str) -> None:
        try:
            for _ in range(4):
                python.run(f"{text}\npeople.run()", name=name)
        except (AssertionError, OSError) as error:
            failures.append(error)

    threads = [threading.Thread(target=several, args=(text, f"{n}.py")) for n, text in enumerate((DECLARED, turned))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert database.value("SELECT count(*) FROM dw.dim") == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            ('"dw.log", "mode": "append"', '"dw.log", "target_connection": "crm", "mode": "append"'),
            "conflicting_options",
        ),
        (('"mode": "merge"}', '"mode": "merge", "force_path": "staging"}'), "path_impossible"),
        (
            ('"dw.log", "mode": "append", "incremental_column": "seen_at"', 'Latest, "mode": "truncate"'),
            "conflicting_options",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(change: tuple[str, str], code: str, python: Interpreter) -> None:
    assert change[0] in DECLARED
    text = DECLARED.replace(*change) + "\ntry:\n    people.run()\nexcept SpecError as error:\n    print(error.code)"
    assert python.run(text).stdout == f"{code}\n"


def test_the_command_shows_every_target(python: Interpreter, database: Database) -> None:
    python.write("shop.py", DECLARED)
    listed = python.flow("--module", "shop", "list").stdout
    assert "warehouse dw.dim, dw.latest, dw.log" in listed
    shown = python.flow("--module", "shop", "show", "people").stdout
    assert "crm: what its function answers" in shown and "dw.latest mode" in shown
    assert "one reading for several targets" in python.flow("--module", "shop", "plan", "target:dw.log").stdout
    ran = python.flow("--module", "shop", "run", "people").stderr
    assert ran.splitlines()[-3:] == [
        "  dw.dim  2 in  2 inserted  0 closed out  0 unchanged",
        "  dw.latest  2 in  2 inserted  0 updated  0 unchanged",
        "  dw.log  2 in  2 inserted",
    ]


def test_an_error_in_the_last_target_undoes_the_first(
    python: Interpreter, source: Database, database: Database
) -> None:
    run(python)
    before = tables(database)
    database.execute("""
        CREATE FUNCTION dw.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON dw.log FOR EACH ROW EXECUTE FUNCTION dw.refuse()
    """)
    source.execute("INSERT INTO app.people VALUES (3, 'Edsger', 'glad', '2026-03-01')")
    failed = run(python, "try:\n    people.run()\nexcept TargetError as error:\n    print(error.report.to_json())")
    assert (failed["committed"], failed["error"]["context"]["target"]) == (False, "dw.log")
    assert tables(database) == before
    assert database.value("SELECT count(*) FROM ematix_flow.run_history WHERE status = 'failed'") == 4
    assert database.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE '\\_ematix\\_%'") == 0


def test_a_process_that_is_killed_leaves_nothing(python: Interpreter, source: Database, database: Database) -> None:
    run(python)
    before = tables(database)
    source.execute("INSERT INTO app.people VALUES (3, 'Edsger', 'glad', '2026-03-01')")
    database.execute("""
        CREATE FUNCTION dw.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
        CREATE TRIGGER wait BEFORE INSERT ON dw.log FOR EACH ROW EXECUTE FUNCTION dw.wait()
    """)
    short = DECLARED.replace("lock_timeout", 'lease="1s", lock_timeout')
    process = python.start(f"{short}\npeople.run()")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    wait_until(lambda: database.value(waits) == 1, "the last target is being written")
    process.kill()
    process.communicate()
    wait_until(lambda: database.value(waits) == 0, "the server notices")
    assert tables(database) == before
    database.execute("DROP TRIGGER wait ON dw.log")
    expired = "SELECT bool_and(lease_until < clock_timestamp()) FROM ematix_flow.run_history WHERE status = 'running'"
    wait_until(lambda: database.value(expired), "the leases have run out")
    again = run(python)
    assert [each["rows_inserted"] for each in again["targets"]] == [1, 1, 1]
    lost = "SELECT count(*) FROM ematix_flow.run_history WHERE status = 'lost'"
    assert database.value(lost) == 4


def test_reading_in_full_would_append_twice(python: Interpreter) -> None:
    python.write("shop.py", DECLARED)
    python.flow("--module", "shop", "run", "people")
    refused = python.flow("--module", "shop", "run", "people", "--full-scan", expect=2)
    assert "error[option_not_for_mode]: `people/dw.log` appends" in refused.stderr


def test_late_commits_are_asked_of_the_source_for_any_target(
    python: Interpreter, source: Database, database: Database
) -> None:
    source.execute("ALTER TABLE app.people ALTER seen_at SET DEFAULT now()")
    with source.connect() as late:
        late.execute("BEGIN; INSERT INTO app.people (id, name) VALUES (3, 'late')")
        source.execute("INSERT INTO app.people (id, name) VALUES (4, 'early')")
        first = run(python)
        assert first["targets"][2]["rows_inserted"] == 3 and first["warnings"] == []
        late.execute("COMMIT")
    assert run(python)["targets"][2]["rows_inserted"] == 1
    assert [row[0] for row in database.rows("SELECT id FROM dw.log ORDER BY id")] == [1, 2, 3, 4]


@pytest.mark.parametrize("said", ['schedule = "0 6 * * *"', "enabled = false", 'tags = ["a"]', 'every = "1h"'])
def test_what_is_of_the_whole_pipeline_is_refused_in_a_target(said: str, flow: Flow) -> None:
    target = f'{{ target = "dw.b", mode = "scd2", keys = "id", {said} }}'
    refused = flow(
        "validate",
        expect=2,
        config=f"""
[pipelines.p]
source = {{ query = "SELECT 1 AS id" }}
targets = [{{ target = "dw.a", mode = "append" }}, {target}]
""",
    )
    assert f"`{said.split()[0]}` is of the whole pipeline `p`, not of one of its targets" in refused.stderr
    assert "put it in [pipelines.p]" in refused.stderr and "pipelines.toml:4:" in refused.stderr
