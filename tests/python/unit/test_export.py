"""The registry as JSON, the answers to the core's calls, and the command around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from fake_core import Core

import ematix_flow
from ematix_flow import BigInt, Connection, Pipeline, Source, SpecError, TimestampTZ, connect, ematix, pk
from ematix_flow.declare import registry
from ematix_flow.run import declared, export

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@ematix.table(schema="analytics")
class Dim:
    id: Annotated[BigInt, pk()]


def document() -> Any:
    return json.loads(export.registry(registry.pipelines.values()))


def test_the_registry_has_pipelines_tables_transforms_connections_and_places() -> None:
    @ematix.transform(connection="dwh", schedule="0 6 * * *", timezone="Europe/Paris")
    def refresh(conn: Connection) -> None: ...

    def count(conn: Connection) -> None: ...

    source = Source.postgres_query(connect(dsn="postgresql://u:secret@db/of_the_registry"), "SELECT 1")
    Pipeline(
        name="p", source=source, target=Dim, mode="merge", transforms_post=[count, ematix.transform_ref("refresh")]
    )
    found = document()
    (name,) = found["connections"]
    assert name.startswith("dsn_") and len(name) == 12
    places = found.pop("places")
    ((file, lines),) = places.items()
    assert file.endswith("test_export.py") and all(line > 0 for kind in lines.values() for line in kind.values())
    assert {kind: list(names) for kind, names in lines.items()} == {
        "transforms": ["refresh"],
        "pipelines": ["p"],
        "tables": ["analytics.dim"],
    }
    assert found == {
        "schema": "ematix.registry.v2",
        "version": ematix_flow.__version__,
        "connections": {name: {"dsn": "postgresql://u:secret@db/of_the_registry"}},
        "tables": {
            "analytics.dim": {
                "schema": "analytics",
                "name": "dim",
                "primary_key": ["id"],
                "columns": {"id": "bigint"},
            }
        },
        "pipelines": {
            "p": {
                "source": {"connection": name, "query": "SELECT 1"},
                "target": "analytics.dim",
                "mode": "merge",
                "transforms_post": [{"transform_ref": "p.count"}, {"transform_ref": "refresh"}],
            }
        },
        "transforms": {
            "refresh": {
                "callable": True,
                "connection": "dwh",
                "schedule": "0 6 * * *",
                "timezone": "Europe/Paris",
            },
            "p.count": {"callable": True},
        },
    }


def test_each_of_several_targets_has_its_functions() -> None:
    def count(conn: Connection) -> None: ...

    @ematix.pipeline(
        targets=[{"target": Dim, "transforms_post": [count, "ANALYZE"]}, {"target": "raw.copy", "keys": "id"}],
        mode="merge",
    )
    def both(conn: Connection) -> str:
        return ""

    found = document()
    assert [load.get("transforms_post") for load in found["pipelines"]["both"]["targets"]] == [
        [{"transform_ref": "both.count"}, "ANALYZE"],
        None,
    ]
    assert found["transforms"] == {"both.count": {"callable": True}}


def test_the_parts_of_a_registry_are_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    @ematix.transform(name="refresh")
    def refresh(conn: Connection) -> None: ...

    for number in range(5):
        Pipeline(
            name=f"p{number}",
            source=Source.postgres_query(connect(dsn=f"host={number}"), "SELECT 1"),
            target=Dim if number == 3 else f"raw.t{number}",
            mode="merge",
            keys="id",
        )
    monkeypatch.setattr(declared, "PART", 2)
    parts = [json.loads(part) for part in declared.registry_for_flow(registry.pipelines.values(), [{"code": "x"}])]
    assert [list(part["pipelines"]) for part in parts] == [["p0", "p1"], ["p2", "p3"], ["p4"]]
    assert [list(part["tables"]) for part in parts] == [["analytics.dim"], [], []]
    assert [sorted(part) for part in parts[1:]] == [["pipelines", "places", "schema", "tables", "version"]] * 2
    whole = document()
    assert parts[0]["errors"] == [{"code": "x"}] and len(parts[0]["connections"]) == 5
    for section in ("connections", "tables", "transforms", "pipelines"):
        joined = {name: said for part in parts for name, said in part.get(section, {}).items()}
        assert list(joined.items()) == list(whole[section].items())
    (lines,) = whole["places"].values()
    for kind, names in lines.items():
        found = [part["places"].popitem()[1].get(kind, {}) for part in json.loads(json.dumps(parts))]
        assert {name: line for part in found for name, line in part.items()} == names


def declares(names: str, **options: Any) -> None:
    for name in names.split():
        Pipeline(
            name=name,
            source=Source.postgres_query(connect(dsn=f"host={name}"), "SELECT 1"),
            target=Dim if name == "d" else f"raw.{name}",
            mode="merge",
            keys="id",
            **options,
        )


def sections(parts: list[Any], *names: str) -> dict[str, list[tuple[str, Any]]]:
    return {name: [item for part in parts for item in part.get(name, {}).items()] for name in names}


def test_what_goes_early_and_what_follows_are_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "PART", 2)
    written: list[str] = []
    early = declared.Early(written.append, frames_by_call=False)
    with registry.heard_by(early.hear):
        declares("a b c d")
        assert len(written) == 2
        declares("e", transforms_post=[print])
        # A function's name may be another once its transform is declared, and so may what comes after it wait.
        declares("f g")
    declares("h")
    assert len(written) == 2
    rest = declared.registry_for_flow(registry.pipelines.values(), [{"code": "x"}], early=early)
    parts = [json.loads(part) for part in [*written, *rest]]
    assert [list(part["pipelines"]) for part in parts] == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    assert [part.get("errors") for part in parts] == [None, None, [{"code": "x"}], None]
    whole = document()
    names = ("connections", "tables", "pipelines", "transforms")
    assert sections(parts, *names) == sections([whole], *names)
    assert not any("restarts" in part for part in parts)


@pytest.mark.parametrize("later", ["gone", "replaced", "chosen", "another table"])
def test_what_went_early_and_is_not_so_is_taken_back(monkeypatch: pytest.MonkeyPatch, later: str) -> None:
    monkeypatch.setattr(declared, "PART", 2)
    written: list[str] = []
    early = declared.Early(written.append, frames_by_call=False)
    with registry.heard_by(early.hear):
        declares("a b c d e")
    if later == "gone":
        del registry.pipelines["c"]
    elif later == "replaced":
        registry.pipelines["b"] = registry.pipelines.pop("e")
    elif later == "another table":
        early.tables["analytics.dim"] = declared.Table(
            "analytics", "dim", {}, description=None, place=registry.here(), class_name="Dim"
        )
    chosen = [item for name, item in registry.pipelines.items() if later != "chosen" or name in "bcde"]
    parts = [json.loads(part) for part in declared.registry_for_flow(chosen, [], early=early)]
    assert [part.get("restarts") for part in parts] == [True, *[None] * (len(parts) - 1)]
    whole = json.loads(export.registry(chosen))
    names = ("connections", "tables", "pipelines", "transforms")
    assert sections(parts, *names) == sections([whole], *names)


def test_who_does_not_listen_and_what_has_no_json_leave_the_users_module_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "PART", 1)

    def gone(_: str) -> None:
        raise BrokenPipeError

    early = declared.Early(gone, frames_by_call=False)
    with registry.heard_by(early.hear):
        declares("a b")
    assert early.pipelines == []
    (part, _) = declared.registry_for_flow(registry.pipelines.values(), [], early=early)
    assert "restarts" not in json.loads(part)


def test_a_single_run_carries_only_its_own_transforms() -> None:
    ematix.transform(name="other")(print)
    Pipeline(name="p", source=Source.postgres_query("a", "SELECT 1"), target=Dim, mode="merge")
    assert json.loads(export.registry(registry.pipelines.values(), every_transform=False))["transforms"] == {}


def test_the_connection_of_a_function_made_from_a_dsn_is_exported() -> None:
    ematix.pipeline(target=Dim, mode="merge", source_connection=connect(dsn="host=a"))(lambda conn: "")
    ematix.pipeline(target=Dim, mode="merge", name="b", target_connection=connect(dsn="host=b"))(lambda conn: "")
    found = document()
    assert sorted(item["dsn"] for item in found["connections"].values()) == ["host=a", "host=b"]
    source, target = found["pipelines"]["<lambda>"]["source"], found["pipelines"]["b"]
    assert {source["connection"], target["target_connection"]} == set(found["connections"])


def test_two_classes_for_one_table_do_not_meet_in_one_registry() -> None:
    @ematix.table(schema="analytics", name="dim")
    class Other:
        """Another text."""

        id: Annotated[BigInt, pk()]

    source = Source.postgres_query("a", "SELECT 1")
    with registry.isolated():
        one = Pipeline(name="one", source=source, target=Dim, mode="merge")
    with registry.isolated():
        two = Pipeline(name="two", source=source, target=Other, mode="merge")
    with pytest.raises(SpecError, match="declared twice, with different columns"):
        export.registry([one, two])


def test_isolation_puts_back_what_was() -> None:
    source = Source.postgres_query("a", "SELECT 1")
    Pipeline(name="one", source=source, target=Dim, mode="merge")
    ematix.transform(name="t")(print)
    with registry.isolated():
        Pipeline(name="one", source=source, target=Dim, mode="merge")
        ematix.transform(name="t")(print)
        Pipeline(name="two", source=source, target=Dim, mode="merge")
    assert list(registry.pipelines) == ["one"] and list(registry.transforms) == ["t"]
    with pytest.raises(SpecError, match="declared twice"):
        ematix.transform(name="t")(print)


def test_connections_that_differ_in_their_password_alone_have_two_names_and_show_neither() -> None:
    names = {
        Source.postgres_query(connect(dsn=f"postgresql://u:{word}@db/shop"), "SELECT 1").connection
        for word in ("one", "two", "one")
    }
    assert len(names) == 2
    assert all(name and name.startswith("dsn_") for name in names)


def test_a_feature_view_is_exported_as_a_feature() -> None:
    @ematix.feature_view(schema="features", event_timestamp_column="seen", ttl="30d", online=True)
    class UserFeatures:
        user_id: Annotated[BigInt, pk()]
        seen: TimestampTZ

    Pipeline(name="p", source=Source.postgres_query("a", "SELECT 1"), target=UserFeatures, mode="scd2")
    found = document()
    assert found["tables"] == {}
    assert found["features"] == {
        "features.user_features_v1": {
            "schema": "features",
            "name": "user_features",
            "primary_key": ["user_id"],
            "columns": {"user_id": "bigint", "seen": "timestamptz"},
            "feature_version": "v1",
            "event_timestamp_column": "seen",
            "ttl": "30d",
            "online": True,
        }
    }


def test_every_version_of_a_view_is_exported_in_the_order_of_declaration() -> None:
    @ematix.feature_view(schema="features", event_timestamp_column="seen")
    class UserFeatures:
        user_id: Annotated[BigInt, pk()]
        seen: TimestampTZ

    @ematix.feature_view(schema="features", name="user_features", feature_version="v2", event_timestamp_column="seen")
    class Second:
        user_id: Annotated[BigInt, pk()]
        seen: TimestampTZ

    @ematix.feature_view(schema="features", event_timestamp_column="seen")
    class Others:
        user_id: Annotated[BigInt, pk()]
        seen: TimestampTZ

    # Nobody fills the second one, or it is filled by another process; the third is another view.
    filled = Pipeline(name="p", source=Source.postgres_query("a", "SELECT 1"), target=UserFeatures)
    found = document()
    assert list(found["features"]) == ["features.user_features_v1", "features.user_features_v2"]
    assert found["pipelines"]["p"]["mode"] == "scd2"
    (lines,) = found["places"].values()
    assert list(lines["features"]) == ["features.user_features_v1", "features.user_features_v2"]
    assert [name for name, _ in filled.tables()[0].columns.items()] == ["user_id", "seen"]


def test_a_version_that_is_declared_twice_and_differently_is_refused() -> None:
    class Columns:
        user_id: Annotated[BigInt, pk()]
        seen: TimestampTZ

    def declare(**said: Any) -> Any:
        declared = type("UserFeatures", (), {"__annotations__": dict(Columns.__annotations__), "__module__": __name__})
        return ematix.feature_view(schema="features", event_timestamp_column="seen", **said)(declared)

    first = declare(ttl="1d")
    assert declare(ttl="1d") is not first
    with pytest.raises(SpecError, match=r"features\.user_features_v1 is declared twice"):
        declare(ttl="2d")


@pytest.mark.parametrize(("said", "words"), [({"online": "yes"}, "online is 'yes'"), ({"feature_version": ""}, "''")])
def test_what_a_feature_view_cannot_be_is_refused_at_the_class(said: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):

        @ematix.feature_view(event_timestamp_column="seen", **said)
        class UserFeatures:
            user_id: Annotated[BigInt, pk()]
            seen: TimestampTZ


def resolved(function: Any, connection: Any = None, **said: Any) -> Any:
    pipeline = ematix.pipeline(target=Dim, mode="merge", name="f", **said)(function)
    call = export.answerer([pipeline])
    return json.loads(call("resolve", json.dumps({"pipeline": "f", "connection": connection or {}})))


def test_a_function_is_called_with_the_connection_that_the_core_resolved() -> None:
    seen: list[Connection] = []

    def query(conn: Connection) -> str:
        seen.append(conn)
        return "SELECT 1"

    assert resolved(query, {"name": "crm", "dsn": "postgresql://u:secret@db/x"}) == {"query": "SELECT 1"}
    assert (seen[0].name, seen[0]._dsn) == ("crm", "postgresql://u:secret@db/x")
    assert "secret" not in repr(seen[0])


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (lambda: "SELECT 1", {"query": "SELECT 1"}),
        (
            lambda conn: Source.postgres_query(conn, "SELECT :a", params={"a": 1}),
            {"query": "SELECT :a", "params": {"a": 1}},
        ),
        (lambda conn: Source.postgres_table("other", "app", "t"), {"connection": "other", "table": "app.t"}),
    ],
)
def test_a_function_answers_sql_or_a_source(function: Any, answer: Any) -> None:
    assert resolved(function, {"name": "crm"}, source_connection="crm") == answer


def test_a_function_may_answer_with_a_connection_of_its_own() -> None:
    found = resolved(lambda conn: Source.postgres_query(connect(dsn="host=x"), "SELECT 1"))
    assert found["connections"] == {found["connection"]: {"dsn": "host=x"}}


@pytest.mark.parametrize(("value", "said"), [(None, "nothing"), (3, "a int"), ("  ", "a str")])
def test_a_function_that_answers_something_else_is_named(value: Any, said: str) -> None:
    with pytest.raises(SpecError, match=f"pipeline f returned {said}"):
        resolved(lambda conn: value)


def test_a_transform_answers_with_its_metrics() -> None:
    def count(conn: Connection, report: Any) -> dict[str, Any]:
        return {"rows": report.rows_in, "name": conn.name}

    from fake_core import run_json

    pipeline = Pipeline(
        name="p", source=Source.postgres_query("a", "SELECT 1"), target=Dim, mode="merge", transforms_post=[count]
    )
    call = export.answerer([pipeline])
    request = {"transform": "p.count", "connection": {"name": "dwh"}, "report": json.loads(run_json())}
    assert json.loads(call("call", json.dumps(request))) == {"metrics": {"rows": 5000, "name": "dwh"}}


# --- the command -------------------------------------------------------------------------------------------------

MODULE = """
print("a word of the user's")
from typing import Annotated
from ematix_flow import BigInt, Pipeline, Pipelines, Source, ematix, pk
flows = Pipelines()

@ematix.table(schema="analytics")
class Dim:
    id: Annotated[BigInt, pk()]

@ematix.pipeline(target=Dim, mode="merge")
def customers(conn):
    print("called")
    return f"SELECT '{conn.name}'"

@ematix.pipeline(target=Dim, mode="merge")
def broken(conn):
    raise ZeroDivisionError("in the user's line")
"""


def command(tmp_path: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m ematix_flow.export`, with the stand-in for the native module."""
    start = (
        f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(ROOT / 'python')!r}]\n"
        "import fake_core; sys.modules['ematix_flow._core'] = fake_core.Core()\n"
        "import ematix_flow; ematix_flow._core = sys.modules['ematix_flow._core']\n"
        "import runpy; sys.argv[0] = 'x'; runpy.run_module('ematix_flow.export', run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-W", "ignore::RuntimeWarning", "-c", start, *arguments],
        cwd=tmp_path,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "EMATIX_FLOW_MODULE"},
    )


def test_the_command_prints_the_registry_alone(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(MODULE)
    done = command(tmp_path, "registry", "jobs")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found["pipelines"]) == ["customers", "broken"]
    assert found["places"]["jobs.py"]["pipelines"]["customers"] == 11
    assert done.stderr == "a word of the user's\n"


def test_the_command_resolves_a_function(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(MODULE)
    done = command(tmp_path, "resolve", "customers", "jobs:flows", stdin='{"connection": {"name": "crm"}}')
    assert (done.returncode, done.stdout) == (0, '{"query": "SELECT \'crm\'"}\n'), done.stderr
    assert done.stderr == "a word of the user's\ncalled\n"


def test_an_error_in_a_function_shows_the_users_traceback(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(MODULE)
    done = command(tmp_path, "resolve", "broken", stdin='{"modules": ["jobs"]}')
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("ZeroDivisionError: in the user's line\n")
    assert "ematix_flow" not in done.stderr


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("import ematix_flow\n1 / 0\n", "ZeroDivisionError: division by zero\n"),
        ("from ematix_flow import Column\nColumn(int)\n", "hint: did you mean Integer or BigInt?\n"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'\n"),
    ],
)
def test_an_import_that_fails_shows_the_users_traceback(tmp_path: Path, source: str, end: str) -> None:
    (tmp_path / "jobs.py").write_text(source)
    done = command(tmp_path, "registry", "jobs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(end + "error[import_failed]: module `jobs` could not be imported\n")
    assert done.stderr.count("File ") == 1 and 'jobs.py", line' in done.stderr


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = command(tmp_path, "registry", "jobs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[import_failed]: there is no module `jobs`\nhint: ")


def test_the_wheels_flow_hands_the_registry_to_the_core(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from ematix_flow import cli

    (tmp_path / "jobs_of_the_cli.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["/bin/flow", "list"])
    core.modules = ["jobs_of_the_cli"]
    before = signal.getsignal(signal.SIGINT)
    try:
        assert cli.main() == 0
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
        sys.modules.pop("jobs_of_the_cli", None)
    verb, argv, found = core.asked[-1]
    assert (verb, argv, list(found["pipelines"])) == ("main", ["flow", "list"], ["customers", "broken"])
