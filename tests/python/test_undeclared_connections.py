"""`validate` and a connection that nothing declares: a slip is a warning, what the environment may bring is unchecked."""

from __future__ import annotations

from flow_binary import Flow
from python_package import Interpreter

PROJECT = """
[connections.warehouse]
dsn = "postgresql://localhost/w"
[pipelines.p]
source = { connection = "SOURCE", table = "app.s" }
target = "dw.t"
target_connection = "TARGET"
mode = "append"
"""
DATABASES = "p: queries, columns, types, drift, privileges"


def text(source: str, target: str) -> str:
    return PROJECT.replace("SOURCE", source).replace("TARGET", target)


def test_a_slip_is_a_warning_at_its_place(flow: Flow) -> None:
    flow.project(text("default", "warehose"))
    finished = flow("validate", "--output", "json")
    document = finished.json()
    assert (document["ok"], document["errors"], document["unchecked"]) == (True, [], [DATABASES])
    [warning] = document["warnings"]
    assert warning["code"] == "unknown_connection"
    assert warning["hint"].startswith("did you mean `warehouse`?")
    assert warning["location"]["line"] == 7
    said = flow("validate").stderr
    assert said.startswith("warning[unknown_connection]: there is no connection `warehose`\n")
    assert "hint: did you mean `warehouse`?" in said
    assert flow("validate", "--output", "github").stdout.startswith("::warning file=pipelines.toml,line=7,")
    assert "| <code>pipelines.toml:7</code> | unknown_connection |" in flow("validate", "--output", "markdown").stdout


def test_what_the_environment_may_bring_is_unchecked(flow: Flow) -> None:
    flow.project(text("crm", "warehouse"))
    words = "the connection crm, which nothing here declares"
    document = flow("validate", "--output", "json").json()
    assert ("warnings" in document, document["unchecked"]) == (False, [DATABASES, f"p: {words}"])
    assert f"not checked without --connect: {words}\n" in flow("validate").stdout
    assert f"{words}." in flow("validate", "--output", "markdown").stdout
    for environment in ({"EMATIX_FLOW_DSN_CRM": "postgresql://h/d"},):
        assert flow("validate", "--output", "json", env=environment).json()["unchecked"] == [DATABASES]


def test_a_connection_of_the_users_own_file_is_declared(flow: Flow) -> None:
    flow.project(text("crm", "warehouse"))
    flow("validate")
    file = flow.directory / "home" / ".ematix-flow" / "connections.toml"
    file.parent.mkdir()
    file.write_text('[connections.crm]\ndsn = "${env:NOT_SET}"\n')
    assert flow("validate", "--output", "json").json()["unchecked"] == [DATABASES]


def test_each_of_several_targets_is_looked_at(flow: Flow) -> None:
    flow.project(
        '[connections.crm]\ndsn = "postgresql://h/d"\n[pipelines.p]\nsource = { connection = "crn", table = "a.b" }\n'
        'mode = "append"\ntargets = [{ target = "dw.a", target_connection = "w" }, { target = "dw.b", target_connection = "w" }]\n'
    )
    document = flow("validate", "--output", "json").json()
    assert [warning["context"]["connection"] for warning in document["warnings"]] == ["crn"]
    assert document["unchecked"][1:] == ["p: the connection w, which nothing here declares"]


def test_python_says_the_same(flow: Flow) -> None:
    script = """
        from ematix_flow import Pipeline, Source, connect
        warehouse = connect(dsn="postgresql://localhost/w")
        p = Pipeline(name="p", source=Source.postgres_table("crm", "app", "s"), target="dw.t",
                     target_connection=warehouse, mode="append")
        report = p.validate()
        print(report.ok, [str(item) for item in report.unchecked], report.warnings)
    """
    done = Interpreter(flow.directory).run(script)
    assert done.stdout == f"True {[DATABASES, 'p: the connection crm, which nothing here declares']} []\n"
