"""`flow doctor`: each thing that can be wrong with a connection or a pipeline is noticed, named, and has its remedy."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from across import connection
from customers import SOURCE, project
from database import Database
from flow_binary import Flow
from pooler import Pooler
from test_roles import as_role, new_role, schemas_for

__all__ = ["new_role"]


def asked(flow: Flow, *words: str, config: Any, expect: int | None = 0, **options: Any) -> dict[str, Any]:
    finished = flow("doctor", *words, "--output", "json", config=config, expect=expect, **options)
    answer: dict[str, Any] = finished.json()
    assert answer["schema"] == "ematix.doctor.v1"
    return answer


def checks(answer: dict[str, Any], kind: str, name: str) -> dict[str, dict[str, Any]]:
    """The checks of a connection or a pipeline, by what they look at."""
    [patient] = [each for each in answer[kind] if each["name"] == name]
    return {check["check"]: check for check in patient["checks"]}


def states(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: check["state"] for name, check in found.items() if check["state"] != "ok"}


def test_a_project_that_is_well(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project(handle_deletes="soft"))
    before = database.rows("SELECT count(*) FROM pg_class")
    answer = asked(flow, config=config)
    assert answer["ok"] is True
    found = checks(answer, "connections", "default")
    assert states(found) == {} and states(checks(answer, "pipelines", "customers")) == {}
    assert found["metadata"]["message"].startswith("none yet")
    assert database.rows("SELECT count(*) FROM pg_class") == before
    flow("run", "customers", config=config)
    text = flow("doctor", config=config).stdout
    assert re.search(r"^connection default  postgres@", text, re.MULTILINE)
    assert re.search(r"^  ok       metadata    of version \d+$", text, re.MULTILINE)
    assert re.search(r"^  ok       plan        \d+ steps by the path same_db; keys customer_id", text, re.MULTILINE)
    assert text.endswith("1 connection, 1 pipeline: all is well\n")


def test_names_of_connections_and_pipelines_are_taken(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    text = project() + connection("other", {"dsn": database.dsn}) + connection("gone", {"host": "127.0.0.1", "port": 1})
    config = flow.project(text)
    names = lambda answer: [[each["name"] for each in answer[kind]] for kind in ("connections", "pipelines")]
    assert names(asked(flow, "other", config=config)) == [["other"], []]
    assert names(asked(flow, "customers", config=config)) == [["default"], ["customers"]]
    assert names(asked(flow, "other", "customers", config=config)) == [["other", "default"], ["customers"]]
    for words in ([], ["--all"]):
        answer = asked(flow, *words, config=config, expect=1)
        assert sorted(names(answer)[0]) == ["default", "gone", "other"] and names(answer)[1] == ["customers"]
    assert "unknown_pipeline" in flow("doctor", "nobody", config=config, expect=2).stderr


def test_what_cannot_be_reached_fails_alone(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    text = project() + connection("gone", {"host": "127.0.0.1", "port": 1, "dbname": "x", "user": "y"})
    answer = asked(flow, config=flow.project(text), expect=1)
    assert answer["ok"] is False
    assert states(checks(answer, "connections", "gone")) == {"reachable": "failed"}
    assert checks(answer, "connections", "gone")["reachable"]["error"]["code"] == "connect_failed"
    assert states(checks(answer, "pipelines", "customers")) == {}
    # Failures of several kinds share no code.
    text += (
        "\n[pipelines.broken]\nsource = { query = 'SELECT * FROM app.nothing' }\ntarget = 'x.y'\nmode = 'truncate'\n"
    )
    asked(flow, config=flow.project(text), expect=1)


def test_a_pipeline_whose_table_has_drifted(database: Database, flow: Flow) -> None:
    database.execute(f"{SOURCE} CREATE SCHEMA analytics; CREATE TABLE analytics.dim_customers (customer_id text)")
    answer = asked(flow, "customers", config=flow.project(project("truncate")), expect=1)
    assert checks(answer, "pipelines", "customers")["plan"]["error"]["code"] == "drift"


def test_a_pooler_is_seen(database: Database, flow: Flow, pooler: Pooler) -> None:
    for dsn, words in ((database.dsn, "none seen"), (pooler.dsn, "gives each transaction any session")):
        config = flow.project(connection("warehouse", {"dsn": dsn}))
        found = checks(asked(flow, "warehouse", config=config), "connections", "warehouse")
        assert words in found["pooler"]["message"]


def test_a_role_is_said(database: Database, flow: Flow, new_role: Callable[[str], str]) -> None:
    role = new_role("loader")
    config = flow.project(connection("warehouse", {"dsn": database.dsn, "role": role}))
    found = checks(asked(flow, "warehouse", config=config), "connections", "warehouse")
    assert found["reachable"]["message"].endswith(f", as the role {role}")


def test_missing_privileges_come_with_statements_that_mend_them(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    loader = new_role("loader")
    database.execute(SOURCE)
    config = flow.project(project())
    pasted = []
    for _ in range(8):
        finished = flow("doctor", "--output", "json", config=config, env=as_role(database, loader), expect=None)
        if finished.code == 0:
            break
        assert finished.code == 1
        for check in checks(finished.json(), "pipelines", "customers").values():
            if check["state"] == "failed":
                for statement in re.findall(r"(?:GRANT|CREATE SCHEMA) [^;]+", check["remedy"]):
                    database.execute(statement)
                    pasted.append(statement)
    assert finished.code == 0, pasted
    flow("run", "customers", config=config, env=as_role(database, loader))


def test_a_role_that_may_not_write_the_history_is_told_each_grant(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    loader = new_role("loader")
    schemas_for(database, loader)
    config = flow.project(project())
    flow("run", "customers", config=config)
    database.execute(f"""
        GRANT ALL ON analytics.dim_customers TO "{loader}";
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ematix_flow TO "{loader}";
        REVOKE UPDATE ON ematix_flow.run_history FROM "{loader}"
    """)
    answer = asked(flow, "customers", config=config, env=as_role(database, loader), expect=1)
    check = checks(answer, "pipelines", "customers")["history"]
    assert check["remedy"] == f'GRANT UPDATE ON "ematix_flow"."run_history" TO "{loader}"'


def test_runs_that_have_died_and_what_they_left(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project())
    flow("run", "customers", config=config)
    run = database.value("SELECT run_id::text FROM ematix_flow.run_history")
    orphan = f"_ematix_stage_customers_{run.replace('-', '')}"
    database.execute(f"""
        CREATE TABLE ematix_flow."{orphan}" ();
        UPDATE ematix_flow.run_history
           SET status = 'running', ended_at = NULL, lease_until = now() - interval '1 hour'
    """)
    found = checks(asked(flow, config=config), "connections", "default")
    assert states(found) == {"leases": "warning", "stages": "warning"}
    assert f"customers (run {run[-8:]}, silent since" in found["leases"]["message"]
    assert "flow unlock" in found["leases"]["remedy"]
    assert found["stages"]["remedy"] == f"DROP TABLE ematix_flow.{orphan};"
    database.execute(found["stages"]["remedy"])
    flow("unlock", "customers", config=config)
    assert states(checks(asked(flow, config=config), "connections", "default")) == {}
    # What a run that is alive works with is no orphan.
    database.execute(f"""
        CREATE TABLE ematix_flow."{orphan}" ();
        UPDATE ematix_flow.run_history SET status = 'running', lease_until = now() + interval '1 hour'
    """)
    assert states(checks(asked(flow, config=config), "connections", "default")) == {}


def test_metadata_that_are_newer_or_older(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    config = flow.project(project())
    flow("run", "customers", config=config)
    version = database.value("SELECT version FROM ematix_flow.metadata")
    database.execute("UPDATE ematix_flow.metadata SET version = 99")
    answer = asked(flow, config=config, expect=1)
    assert checks(answer, "connections", "default")["metadata"]["error"]["code"] == "metadata_newer"
    database.execute(f"UPDATE ematix_flow.metadata SET version = {version - 1}")
    found = checks(asked(flow, config=config, expect=None), "connections", "default")["metadata"]
    assert found["message"] == f"of version {version - 1}; the next run migrates them to {version}"


def test_a_database_of_no_known_encoding(database: Database, flow: Flow) -> None:
    name = f"ascii_{database.name}"
    database.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        dsn = psycopg.conninfo.make_conninfo(database.dsn, dbname=name)
        config = flow.project(connection("warehouse", {"dsn": dsn}))
        found = checks(asked(flow, "warehouse", config=config), "connections", "warehouse")
        assert states(found) == {"encoding": "warning"}
    finally:
        database.execute(f"DROP DATABASE {name}")


def test_a_clock_that_is_off_is_a_warning(database: Database, flow: Flow) -> None:
    # The server's clock cannot be set: the function that reads it is asked by its full name, and a replacement in its
    # schema stands for a server whose clock is wrong.
    config = flow.project(connection("warehouse", {"dsn": database.dsn}))
    database.execute("ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO true_clock_timestamp")
    database.execute("""
        CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
            AS 'SELECT pg_catalog.true_clock_timestamp() - interval ''90 s'''
    """)
    found = checks(asked(flow, "warehouse", config=config), "connections", "warehouse")
    assert states(found) == {"clock": "warning"}
    assert re.match(r"(89|90)\.\d+ s behind this machine's", found["clock"]["message"])
    assert "NTP" in found["clock"]["remedy"]


def test_each_line_of_ndjson_is_a_connection_or_a_pipeline(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    lines = flow("doctor", "--output", "ndjson", config=flow.project(project())).stdout.splitlines()
    assert [max(json.loads(line)) for line in lines] == ["connection", "pipeline"]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that lets everybody in, and then says nothing any more."""

    def serve(client: socket.socket) -> None:
        def message(kind: bytes, body: bytes) -> bytes:
            return kind + struct.pack("!i", len(body) + 4) + body

        with client:
            while request := client.recv(4096):
                if request[4:8] == struct.pack("!i", 80877103):
                    client.sendall(b"N")
                elif request[4:8] == struct.pack("!i", 196608):
                    version = message(b"S", b"server_version\x0016.0\x00")
                    client.sendall(message(b"R", bytes(4)) + version + message(b"Z", b"I"))

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=accept, daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def test_a_server_that_lets_in_and_then_keeps_silent_is_given_up(silent: int, flow: Flow) -> None:
    dsn = f"postgresql://u@127.0.0.1:{silent}/d?connect_timeout=1&sslmode=prefer"
    config = flow.project(project())
    flow.variables["EMATIX_FLOW_DSN"] = dsn
    began = time.monotonic()
    [found] = flow("connections", "check", "--output", "json", config=config, expect=6).json()["connections"]
    assert found["error"]["code"] == "connect_timeout" and "took the log-in" in found["error"]["message"]
    assert time.monotonic() - began < 4
    began = time.monotonic()
    answer = asked(flow, config=config, expect=1)
    # Once, and not again for the pipeline.
    assert time.monotonic() - began < 6
    check = checks(answer, "connections", "default")["server"]
    assert check["error"]["code"] == "connect_timeout" and "within 3 s" in check["message"]
    assert checks(answer, "pipelines", "customers")["plan"]["state"] == "failed"


def test_mistakes_elsewhere_in_the_files_are_not_well(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    broken = (
        '\n[pipelines.broken]\nsource = { query = "SELECT 1 AS a" }\ntarget = "x.y"\nmode = "append"\nnothing = 1\n'
    )
    config = flow.project(project() + broken)
    finished = flow("doctor", "customers", config=config, expect=1)
    assert "all is well" not in finished.stdout
    assert finished.stdout.endswith(
        "nothing wrong with them; 1 mistake in the files, and `flow run` refuses every pipeline until then\n"
    )
    assert "error[unknown_option]" in finished.stderr


def test_what_a_default_draws_from_is_needed_too(
    database: Database, flow: Flow, new_role: Callable[[str], str]
) -> None:
    loader = new_role("loader")
    schemas_for(database, loader)
    database.execute("""
        CREATE SCHEMA dw;
        CREATE TABLE dw.customers (customer_id bigint PRIMARY KEY, "No" serial, own int GENERATED BY DEFAULT AS IDENTITY);
    """)
    database.execute(f"""
        GRANT USAGE ON SCHEMA dw TO "{loader}"; GRANT SELECT, INSERT, UPDATE ON dw.customers TO "{loader}"
    """)
    config = flow.project("""
        [pipelines.customers]
        source = { query = "SELECT customer_id FROM app.customers" }
        target = "dw.customers"
        mode = "merge"
        keys = "customer_id"
    """)
    under = as_role(database, loader)
    check = checks(asked(flow, config=config, env=under, expect=1), "pipelines", "customers")["plan"]
    assert check["error"]["code"] == "permission_denied"
    grant = f'GRANT USAGE ON SEQUENCE "dw"."customers_No_seq" TO "{loader}"'
    assert check["remedy"] == grant, check
    printed = flow("doctor", "--grants", "customers", "--role", loader, config=config).stdout
    assert [line for line in printed.splitlines() if "SEQUENCE" in line] == [f"{grant};"]
    database.execute(grant)
    flow("run", "customers", config=config, env=under)


def test_nothing_is_asked_for_that_no_run_does(database: Database, flow: Flow, new_role: Callable[[str], str]) -> None:
    loader = new_role("loader")
    schemas_for(database, loader)
    config = flow.project(project())
    flow("run", "customers", config=config)
    database.execute(f"""
        GRANT ALL ON analytics.dim_customers TO "{loader}";
        GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA ematix_flow TO "{loader}";
        GRANT DELETE ON ematix_flow.run_history TO "{loader}"
    """)
    asked(flow, "customers", config=config, env=as_role(database, loader))
    printed = flow("doctor", "--grants", "customers", "--role", loader, config=config).stdout
    deletes = [line for line in printed.splitlines() if "DELETE" in line]
    assert deletes == [f'GRANT DELETE ON "ematix_flow"."run_history" TO "{loader}";']
