"""OpenLineage events of `flow run`, held to the classes that the OpenLineage project generates from its JSON Schema."""

from __future__ import annotations

import importlib
import json
import pkgutil
import types
import typing
from collections.abc import Iterator
from typing import Any

import attr
import pytest
from database import Database
from flow_binary import Flow
from openlineage.client import generated
from openlineage.client.event_v2 import RunEvent
from receiver import Receiver, receiver

PROJECT = """
[tables.dim]
schema = "analytics"
primary_key = ["id"]
[tables.dim.columns]
id = "bigint"
email = { type = "text?", normalize = ["trim", "lower"] }
both = { type = "text?", normalize = [{ derive = "email || id" }] }

[pipelines.customers]
source = { query = "SELECT id, email FROM app.customers" }
target = "dim"
mode = "scd2"
description = "Customers with their history"
owner = "data@example.org"
"""

RUN = "0176a8c2-fe01-7439-87e6-56a1a1b4029f"

# Every class that has a schema of its own, by that schema's address.
CLASSES = {
    cls._get_schema(): cls
    for module in pkgutil.iter_modules(generated.__path__, f"{generated.__name__}.")
    for cls in vars(importlib.import_module(module.name)).values()
    if isinstance(cls, type) and hasattr(cls, "_get_schema") and attr.has(cls)
}


@pytest.fixture
def marquez() -> Iterator[Receiver]:
    with receiver() as here:
        yield here


@pytest.fixture
def source(database: Database) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.customers (id bigint PRIMARY KEY, email text, note text);"
        "INSERT INTO app.customers SELECT n, 'a' || n FROM generate_series(1, 3) n"
    )


def conforms(cls: Any, value: Any) -> None:
    """A value has the fields of a class and of the classes in it, each of its type, and none missing."""
    origin = typing.get_origin(cls)
    if cls is Any or cls is typing.Any or isinstance(cls, typing.TypeVar):
        return
    if origin in (typing.Union, types.UnionType):
        choices = [choice for choice in typing.get_args(cls) if choice is not type(None)]
        assert value is not None and len(choices) == 1, (cls, value)
        return conforms(choices[0], value)
    if origin is list:
        assert isinstance(value, list), (cls, value)
        for item in value:
            conforms(typing.get_args(cls)[0], item)
        return
    if origin is dict:
        assert isinstance(value, dict), (cls, value)
        for item in value.values():
            conforms(typing.get_args(cls)[1], item)
        return
    if isinstance(cls, type) and attr.has(cls):
        if "_schemaURL" in value:
            cls = CLASSES[value["_schemaURL"]]
        hints = typing.get_type_hints(cls)
        fields = {field.name: field for field in attr.fields(cls)}
        own = {name: item for name, item in value.items() if name not in ("_schemaURL", "schemaURL")}
        assert own.keys() <= fields.keys(), f"{cls.__name__} has no {own.keys() - fields.keys()}"
        for name, field in fields.items():
            optional = field.default is not attr.NOTHING or not field.init
            assert name in own or optional, f"{cls.__name__} needs {name}"
        for name, item in own.items():
            conforms(hints[name], item)
        # Its validators: times, UUIDs, URIs.
        cls(**{fields[name].alias: item for name, item in own.items() if fields[name].init})
        return
    if isinstance(cls, type) and issubclass(cls, str) and hasattr(cls, "__members__"):
        assert value in {member.value for member in cls}, (cls, value)
        return
    allowed = (int, float) if cls is float else (cls,)
    assert isinstance(value, allowed), (cls, value)


def events(marquez: Receiver, count: int = 2) -> list[dict[str, Any]]:
    found = [request.json() for request in marquez.wait_for("/api/v1/lineage", count)]
    for event in found:
        assert event["schemaURL"] == RunEvent._get_schema()
        event_type = event.pop("eventType")
        assert event_type in {"START", "COMPLETE", "FAIL", "ABORT"}
        conforms(RunEvent, event)
        event["eventType"] = event_type
    return found


def namespace(database: Database) -> str:
    info = database.shared.info
    host = "localhost" if info.host.startswith("/") else info.host
    return f"postgres://{host}:{info.port}"


def test_a_run_begins_and_completes_with_what_it_read_and_wrote(
    flow: Flow, database: Database, source: None, marquez: Receiver
) -> None:
    flow.project(PROJECT)
    env = {"OPENLINEAGE_URL": marquez.url, "OPENLINEAGE_API_KEY": "key-of-mine", "OPENLINEAGE_NAMESPACE": "prod"}
    report = flow("run", "customers", "--output", "json", env=env).json()
    start, complete = events(marquez)
    assert [event["eventType"] for event in (start, complete)] == ["START", "COMPLETE"]
    assert {event["run"]["runId"] for event in (start, complete)} == {report["run_id"]}
    assert complete["job"]["namespace"] == "prod"
    assert complete["job"]["name"] == "customers"
    facets = complete["job"]["facets"]
    assert facets["documentation"]["description"] == "Customers with their history"
    assert facets["ownership"]["owners"] == [{"name": "data@example.org"}]
    (read,), (written,) = complete["inputs"], complete["outputs"]
    assert (read["namespace"], read["name"]) == (namespace(database), f"{database.name}.app.customers")
    assert (written["namespace"], written["name"]) == (namespace(database), f"{database.name}.analytics.dim")
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 3
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 3
    fields = {field["name"]: field["type"] for field in written["facets"]["schema"]["fields"]}
    assert list(fields) == ["id", "email", "both", "valid_from", "valid_to", "is_current", "row_hash"]
    columns = written["facets"]["columnLineage"]["fields"]
    from_where = {
        name: [(each["field"], each["transformations"][0]["subtype"]) for each in column["inputFields"]]
        for name, column in columns.items()
    }
    # What `derive` makes comes from where its SQL says, and that is not read.
    assert from_where == {"id": [("id", "IDENTITY")], "email": [("email", "TRANSFORMATION")]}
    assert {request.headers["authorization"] for request in marquez.received} == {"Bearer key-of-mine"}
    assert not any(b"key-of-mine" in request.body for request in marquez.received)


def test_the_types_of_a_declared_table_are_the_same_in_every_run(
    flow: Flow, database: Database, source: None, marquez: Receiver
) -> None:
    flow.project(PROJECT)
    for _ in range(2):
        flow("run", "customers", env={"OPENLINEAGE_URL": marquez.url})
    first, second = (event["outputs"][0]["facets"]["schema"] for event in events(marquez, 4)[1::2])
    assert first == second


def test_a_run_that_fails_says_why(flow: Flow, database: Database, source: None, marquez: Receiver) -> None:
    flow.project(PROJECT.replace("SELECT id,", "SELECT id / (id - 1) AS id,"))
    flow("run", "customers", env={"OPENLINEAGE_URL": marquez.url}, expect=1)
    start, fail = events(marquez)
    assert (start["eventType"], fail["eventType"]) == ("START", "FAIL")
    message = fail["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("source_failed: "), message
    assert "outputStatistics" not in fail["outputs"][0]["outputFacets"]


def test_a_run_that_reaches_no_server_begins_and_fails(flow: Flow, database: Database, marquez: Receiver) -> None:
    flow.project(PROJECT)
    env = {"OPENLINEAGE_URL": marquez.url, "EMATIX_FLOW_DSN": "postgresql://localhost:1/none"}
    flow("run", "customers", env=env, expect=6)
    assert [event["eventType"] for event in events(marquez)] == ["START", "FAIL"]


def test_of_a_query_only_the_tables_are_told_that_it_names_for_certain(
    flow: Flow, database: Database, source: None, marquez: Receiver
) -> None:
    database.execute("CREATE TABLE app.notes (id bigint, note text); CREATE TABLE public.plain (id bigint)")
    query = (
        "WITH n AS (SELECT * FROM app.notes) SELECT c.id, max(n.note) AS email FROM app.customers c"
        " LEFT JOIN n USING (id) LEFT JOIN plain USING (id) GROUP BY c.id"
    )
    flow.project(PROJECT.replace("SELECT id, email FROM app.customers", query))
    flow("run", "customers", env={"OPENLINEAGE_URL": marquez.url})
    _, complete = events(marquez)
    names = [read["name"] for read in complete["inputs"]]
    assert names == [f"{database.name}.app.notes", f"{database.name}.app.customers"]
    assert all(not read["inputFacets"] and not read["facets"] for read in complete["inputs"])
    assert "columnLineage" not in complete["outputs"][0]["facets"]


def test_several_targets_are_the_outputs_of_one_run(
    flow: Flow, database: Database, source: None, marquez: Receiver
) -> None:
    flow.project(
        """
        [pipelines.both]
        source = { table = "app.customers" }
        targets = [
          { target = "analytics.now", mode = "merge", keys = "id" },
          { target = "analytics.log", mode = "append" },
        ]
        """
    )
    flow("run", "both", env={"OPENLINEAGE_URL": marquez.url})
    _, complete = events(marquez)
    written = {out["name"]: out["outputFacets"]["outputStatistics"]["rowCount"] for out in complete["outputs"]}
    assert written == {f"{database.name}.analytics.now": 3, f"{database.name}.analytics.log": 3}
    assert [read["name"] for read in complete["inputs"]] == [f"{database.name}.app.customers"]


def test_a_run_is_a_part_of_the_run_that_started_it(
    flow: Flow, database: Database, source: None, marquez: Receiver
) -> None:
    flow.project(PROJECT)
    env = {"OPENLINEAGE_URL": marquez.url, "OPENLINEAGE_PARENT_ID": f"airflow/dag.task/{RUN}"}
    flow("run", "customers", env=env)
    for event in events(marquez):
        parent = event["run"]["facets"]["parent"]
        assert parent["run"] == {"runId": RUN}
        assert parent["job"] == {"namespace": "airflow", "name": "dag.task"}


def test_events_go_into_a_file_as_the_clients_write_it(flow: Flow, database: Database, source: None) -> None:
    flow.project(PROJECT)
    env = {
        "OPENLINEAGE__TRANSPORT__TYPE": "file",
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": "events.json",
        "OPENLINEAGE__TRANSPORT__APPEND": "true",
    }
    for _ in range(2):
        flow("run", "customers", env=env)
    lines = (flow.directory / "events.json").read_text(encoding="utf-8").splitlines()
    kinds = [json.loads(line)["eventType"] for line in lines]
    assert kinds == ["START", "COMPLETE", "START", "COMPLETE"]
    del env["OPENLINEAGE__TRANSPORT__APPEND"]
    flow("run", "customers", env=env | {"OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": "each"})
    assert len(list(flow.directory.glob("each-*.json"))) == 2


@pytest.mark.parametrize("said", [{"OPENLINEAGE_DISABLED": "true"}, {"OPENLINEAGE__TRANSPORT__TYPE": "noop"}])
def test_nothing_is_sent_where_it_is_switched_off(
    flow: Flow, database: Database, source: None, marquez: Receiver, said: dict[str, str]
) -> None:
    flow.project(PROJECT)
    flow("run", "customers", env={"OPENLINEAGE_URL": marquez.url, **said})
    assert marquez.received == []


def test_a_dry_run_and_what_is_wrong_with_the_files_are_no_runs(
    flow: Flow, database: Database, source: None, marquez: Receiver
) -> None:
    flow.project(PROJECT)
    flow("dry-run", "customers", env={"OPENLINEAGE_URL": marquez.url})
    flow.project(PROJECT.replace("email = { type", "nowhere = { type"))
    flow("run", "customers", env={"OPENLINEAGE_URL": marquez.url}, expect=2)
    assert marquez.received == []


def test_a_transport_that_is_not_there_is_a_warning(flow: Flow, database: Database, source: None) -> None:
    flow.project(PROJECT)
    finished = flow("run", "customers", env={"OPENLINEAGE__TRANSPORT__TYPE": "kafka"})
    assert "OpenLineage: the transport kafka is not known here" in finished.stderr
