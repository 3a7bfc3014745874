"""Pipelines as declared: what they export, and what is refused at their declaration."""

from __future__ import annotations

import datetime as dt
import importlib
import re
import sys
import types
from typing import Annotated, Any

import pytest
from fake_core import Core, run_json

import ematix_flow
from ematix_flow import (
    SCD2,
    AppendOnly,
    BigInt,
    MergeUpsert,
    Pipeline,
    Pipelines,
    Source,
    SpecError,
    Text,
    TimestampTZ,
    TruncateReplace,
    connect,
    deduplicate_by,
    ematix,
    expect,
    pipeline,
    pk,
    sql,
)
from ematix_flow.declare import registry


@ematix.table(schema="analytics")
class Dim:
    id: Annotated[BigInt, pk()]
    email: Text | None
    status: Text | None
    updated_at: TimestampTZ


@ematix.table()
class Keyless:
    a: Text


QUERY = Source.postgres_query("crm", "SELECT 1")


def made(**said: Any) -> Any:
    return Pipeline(**({"name": "p", "source": QUERY, "target": Dim, "mode": "scd2"} | said)).declared()


def refused(**said: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        made(**said)
    assert "pipeline p" in caught.value.message, "an error names the pipeline"
    assert caught.value.hint, "an error says what to do next"
    return caught.value


def test_a_pipeline_is_exported_under_the_names_of_toml() -> None:
    assert made(
        source=Source.postgres_table("crm", "app", "a.b", columns=["id"]),
        target_connection=connect("warehouse"),
        keys="id",
        compare_columns=("email", "status"),
        every=dt.timedelta(minutes=15),
        lookback=10,
        lock_timeout=dt.timedelta(milliseconds=1500),
        tags=["crm"],
        transforms_pre=[deduplicate_by("id", order_by="updated_at DESC")],
        expect=[expect.not_null("email", policy="warn")],
        transforms_post=["ANALYZE", sql("VACUUM", transaction=False), ematix.transform_ref("r")],
    ) == {
        "source": {"connection": "crm", "table": 'app."a.b"', "columns": ["id"]},
        "target": "analytics.dim",
        "target_connection": "warehouse",
        "mode": "scd2",
        "keys": ["id"],
        "compare_columns": ["email", "status"],
        "every": "900s",
        "lookback": 10,
        "lock_timeout": "1500ms",
        "tags": ["crm"],
        "transforms_pre": [{"deduplicate_by": {"keys": "id", "order_by": "updated_at DESC"}}],
        "expect": [{"not_null": "email", "policy": "warn"}],
        "transforms_post": ["ANALYZE", {"sql": "VACUUM", "transaction": False}, {"transform_ref": "r"}],
    }


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (SCD2(keys="id", handle_deletes="soft"), {"mode": "scd2", "keys": ["id"], "handle_deletes": "soft"}),
        (SCD2, {"mode": "scd2"}),
        (
            SCD2(compare_columns=["email"], effective_from="a"),
            {"mode": "scd2", "compare_columns": ["email"], "effective_from": "a"},
        ),
        (MergeUpsert(update_columns="email"), {"mode": "merge", "update_columns": ["email"]}),
        (AppendOnly(batch_id_column=False), {"mode": "append", "batch_id_column": False}),
        (TruncateReplace(replace_method="delete"), {"mode": "truncate", "replace_method": "delete"}),
    ],
    ids=repr,
)
def test_a_strategy_says_the_same_as_mode_and_options(strategy: Any, said: Any) -> None:
    found = made(mode=None, strategy=strategy)
    assert {name: value for name, value in found.items() if name not in ("source", "target")} == said


def test_scd1_is_merge() -> None:
    assert made(mode="scd1")["mode"] == "merge"


@pytest.mark.parametrize(
    ("said", "code", "message", "hint"),
    [
        ({"mode": None}, "missing_option", "has no mode", "append"),
        ({"mode": "sdc2"}, "invalid_value", "no mode 'sdc2'", "did you mean `scd2`?"),
        ({"mode": "upsert"}, "invalid_value", "no mode 'upsert'", "did you mean `merge`?"),
        ({"mode": SCD2}, "invalid_value", "mode is a strategy", "strategy=SCD2"),
        ({"mode": "merge", "strategy": SCD2()}, "conflicting_options", "strategy is SCD2", "leave mode out"),
        ({"strategy": SCD2(keys="id"), "keys": "email"}, "conflicting_options", "keys is said twice", "leave one"),
        ({"strategy": "scd2"}, "invalid_value", "strategy is 'scd2'", 'mode="scd2"'),
        ({"mode": "merge", "compare_columns": "email"}, "option_not_for_mode", "compare_columns", "for scd2"),
        ({"loaded_at_column": "x"}, "option_not_for_mode", "loaded_at_column", "for append"),
        ({"keys": ["id", "id"]}, "invalid_value", "`id` is named twice", "once"),
        ({"keys": 3}, "invalid_value", "3 is not a name", '"customer_id"'),
        ({"keys": "idd"}, "unknown_column", "keys names `idd`", "did you mean `id`?"),
        ({"compare_columns": "emial"}, "unknown_column", "compare_columns names `emial`", "did you mean `email`?"),
        ({"overwrite_columns": "id"}, "conflicting_options", "overwrite_columns names `id`", "either"),
        ({"target": Keyless}, "missing_keys", "Keyless declares none", "pk()"),
        ({"target": Keyless, "mode": "merge"}, "missing_keys", "Keyless declares none", "keys="),
        ({"target": int}, "unknown_table", "int declares no table", "@ematix.table"),
        ({"target": 3}, "unknown_table", "not 3", "schema.table"),
        ({"source": "SELECT 1"}, "invalid_value", "a str is not a source", "Source.postgres_query"),
        ({"every": "5 min"}, "invalid_value", "every: '5 min' is not a duration", '"10m"'),
        ({"every": dt.timedelta(microseconds=1)}, "invalid_value", "is not a duration", "milliseconds"),
        ({"every": "5m", "schedule": "* * * * *"}, "conflicting_options", "schedule and every", "one schedule"),
        (
            {"incremental_column": "updated_at", "handle_deletes": "soft"},
            "conflicting_options",
            "exclude",
            "full reading",
        ),
        ({"handle_deletes": "hard"}, "conflicting_options", "would delete history", "soft"),
        ({"schedule": "* * *"}, "invalid_schedule", "`* * *` is not a cron line", "5 * * * *"),
        ({"transforms_pre": ["x"]}, "invalid_value", "'x' does not belong there", "filter_where"),
        ({"expect": [sql("a")]}, "invalid_value", "does not belong there", "expect.not_null"),
        ({"transforms_post": [3]}, "invalid_value", "3 cannot be run after a load", "SQL text"),
        ({"target_connection": 3}, "invalid_value", "an int is not a connection", 'connect("name")'),
        ({"order_by": ["a"]}, "invalid_value", "order_by is ['a']", "text"),
    ],
)
def test_a_wrong_pipeline_is_refused_by_name(said: Any, code: str, message: str, hint: str) -> None:
    error = refused(**said)
    assert error.code == code
    assert message in error.message
    assert hint in (error.hint or "")
    assert not registry.pipelines


def test_a_time_zone_that_is_none_is_refused_without_a_schedule_too() -> None:
    with pytest.raises(SpecError, match="Mars/Olympus"):
        made(timezone="Mars/Olympus")


def test_an_option_of_another_mode_may_stand_at_its_default() -> None:
    assert made(mode="append", handle_deletes="ignore")["handle_deletes"] == "ignore"


def test_a_name_as_target_needs_no_keys_at_declaration() -> None:
    assert made(target="analytics.dim")["target"] == "analytics.dim"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pipeline.sync(source=QUERY, target=Dim, mode="scd2", compare_colums=["a"]), "sync() got an unexpected keyword argument 'compare_colums'. Did you mean 'compare_columns'?"),
        (lambda: pipeline.sync(source=QUERY, target=Dim, mode="scd2", schedule="* * * * *"), "'schedule': a schedule needs a name"),
        (lambda: pipeline.sync(source=QUERY, target=Dim, mode="scd2", unique_key="id"), "'unique_key'. Did you mean 'keys'?"),
        (lambda: Pipeline(name="p", source=QUERY, target=Dim, mode="scd2", for_each={}), "'for_each': write a loop"),
        (lambda: Pipeline(name="p", source=QUERY, target=Dim, mode="scd2", quux=1), "unexpected keyword argument 'quux'"),
        (lambda: ematix.pipeline(target=Dim, mode="scd2", shedule="* * * * *"), "Did you mean 'schedule'?"),
        (lambda: Pipeline(source=QUERY, target=Dim, mode="scd2"), "'name'"),
        (lambda: pipeline.sync(QUERY, Dim), "positional"),
        (lambda: ematix.table("x"), "ematix.table takes keywords alone: write @ematix.table(…)"),
    ],
)  # fmt: skip
def test_an_unknown_keyword_is_a_type_error_that_says_what_was_meant(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


def test_a_function_is_a_pipeline_and_stays_callable(core: Core) -> None:
    @ematix.pipeline(target=Dim, schedule="0 * * * *", mode="scd2", source_connection="crm", target_connection="dwh")
    def sync_dim(conn: Any) -> str:
        """Customers, hourly."""
        return f"SELECT * FROM {conn}"

    assert sync_dim("t") == "SELECT * FROM t"
    assert (sync_dim.name, sync_dim.__name__, sync_dim.__doc__) == ("sync_dim", "sync_dim", "Customers, hourly.")
    assert sync_dim.declared() == {
        "source": {"callable": True, "connection": "crm"},
        "target": "analytics.dim",
        "target_connection": "dwh",
        "mode": "scd2",
        "schedule": "0 * * * *",
        "description": "Customers, hourly.",
    }
    core.answers["run"] = run_json()
    assert sync_dim.run().rows_in == 5000
    assert pipeline.run("sync_dim").rows_in == 5000
    for function in ("run", "preview", "plan", "dry_run", "validate", "check", "history", "as_of", "export"):
        assert callable(getattr(sync_dim, function)) and callable(getattr(pipeline, function))


def two(a: Any, b: Any) -> str:
    return ""


async def asynchronous(conn: Any) -> str:
    return ""


async def generating(conn: Any) -> Any:
    yield ""


@pytest.mark.parametrize(
    ("function", "message"),
    [(two, "takes 2 arguments"), (asynchronous, "is async"), (generating, "is async"), (Dim, "is not a function")],
)
def test_a_function_that_cannot_be_a_pipeline_is_refused(function: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ematix.pipeline(target=Dim, mode="scd2")(function)


@pytest.mark.parametrize("said", [{}, {"target": Dim, "targets": [{"target": Dim}]}])
def test_a_decorated_pipeline_has_one_kind_of_target(said: Any) -> None:
    with pytest.raises(SpecError, match=r"ematix\.pipeline: .*target"):
        ematix.pipeline(mode="scd2", **said)


def test_several_targets_share_what_is_said_beside_them() -> None:
    @ematix.pipeline(
        targets=[{"target": Dim, "mode": "scd2"}, {"target": "raw.copy", "target_connection": "dwh"}],
        mode="append",
        schedule="0 * * * *",
        lock_timeout="5s",
    )
    def both(conn: Any) -> str:
        return ""

    assert both.declared() == {
        "source": {"callable": True},
        "targets": [
            {"target": "analytics.dim", "mode": "scd2", "lock_timeout": "5s"},
            {"target": "raw.copy", "target_connection": "dwh", "mode": "append", "lock_timeout": "5s"},
        ],
        "schedule": "0 * * * *",
    }
    assert both.connections() == {"dwh"}


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "targets is empty"),
        ([Dim], "target 1 is"),
        ([{"target": Dim}, {"target": Dim, "mode": "x"}], "target 2: there is no mode"),
        ([{"target": Keyless}], "Keyless declares none"),
    ],
)
def test_each_of_several_targets_is_checked(targets: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ematix.pipeline(targets=targets, mode="scd2")(lambda conn: "")


# --- the registry ------------------------------------------------------------------------------------------------


def test_a_name_that_is_taken_names_both_places() -> None:
    made()
    first = sys._getframe().f_lineno - 1
    with pytest.raises(SpecError) as caught:
        Pipeline(name="p", source=QUERY, target=Dim, mode="scd2")
    second = sys._getframe().f_lineno - 1
    assert caught.value.code == "duplicate_name"
    assert first != second
    assert re.fullmatch(
        rf"pipeline `p` is declared twice: at .*test_pipelines\.py:\d+ and at .*test_pipelines\.py:{second}",
        caught.value.message,
    )
    assert len(registry.pipelines) == 1


def test_a_loop_that_forgets_the_name_is_refused() -> None:
    with pytest.raises(SpecError, match="declared twice"):
        for _ in range(2):
            made()


def test_two_classes_for_one_table_are_refused_where_their_columns_differ() -> None:
    @ematix.table(schema="analytics", name="dim")
    class Other:
        id: Annotated[BigInt, pk()]

    made()
    with pytest.raises(SpecError, match="table analytics.dim is declared twice, with different columns: Dim at"):
        made(name="q", target=Other)


def module(name: str, source: str) -> Any:
    found = types.ModuleType(name)
    found.__dict__["QUERY"] = QUERY
    found.__dict__["Dim"] = Dim
    sys.modules[name] = found
    try:
        exec(compile("from ematix_flow import *\n" + source, f"{name}.py", "exec"), found.__dict__)
    finally:
        del sys.modules[name]
    return found


def test_a_registry_holds_what_its_module_declares() -> None:
    factory = module(
        "factory", "def made(name):\n    return Pipeline(name=name, source=QUERY, target=Dim, mode='scd2')\n"
    )
    sys.modules["factory"] = factory
    try:
        mine = module(
            "mine",
            "from factory import made\n"
            "flows = Pipelines()\n"
            "Pipeline(name='one', source=QUERY, target=Dim, mode='scd2')\n"
            "@ematix.pipeline(target=Dim, mode='scd2')\ndef two(conn): return ''\n"
            "made('three')\n",
        )
    finally:
        del sys.modules["factory"]
    module("other", "Pipeline(name='four', source=QUERY, target=Dim, mode='scd2')\n")
    assert list(mine.flows) == ["one", "two", "three"]
    assert len(mine.flows) == 3 and mine.flows["two"].name == "two" and "four" not in mine.flows


def test_a_registry_holds_what_it_is_given() -> None:
    one, two = (Pipeline(name=name, source=QUERY, target=Dim, mode="scd2") for name in ("one", "two"))
    flows = Pipelines([two])
    assert list(flows) == ["two"] and flows["two"] is two and one.name not in flows
    with pytest.raises(KeyError, match="there is no pipeline `tow`; did you mean `two`?"):
        flows["tow"]
    with pytest.raises(SpecError, match="is not a pipeline"):
        Pipelines([Dim])  # type: ignore[list-item]


def test_a_notebooks_cell_may_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "p = Pipeline(name='cell', source=QUERY, target=Dim, mode='scd2')"
    names = {"Pipeline": Pipeline, "QUERY": QUERY, "Dim": Dim, "__name__": "__main__"}
    exec(source, names)
    with pytest.raises(SpecError, match="declared twice"):
        exec(source, names)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    exec(source, names)
    assert registry.pipelines["cell"] is names["p"]


def test_a_transform_is_declared_once() -> None:
    @ematix.transform
    def refresh(conn: Any) -> None: ...

    assert registry.transforms["refresh"].function is refresh
    with pytest.raises(SpecError, match="transform `refresh` is declared twice"):
        ematix.transform(name="refresh")(print)
    with pytest.raises(SpecError, match="transform odd: `x` is not a cron line"):
        ematix.transform(name="odd", schedule="x")(print)


def test_the_package_is_named_as_it_says() -> None:
    for name in ematix_flow.__all__:
        assert getattr(ematix_flow, name) is not None, name
    assert isinstance(pipeline, ematix_flow.PipelineNamespace)
    for module in ("pipelines", "expectations", "transforms", "source", "table"):
        importlib.import_module(f"ematix_flow.declare.{module}")
    assert ematix_flow.pipeline is pipeline and ematix_flow.expect is expect
