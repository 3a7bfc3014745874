"""From a call to the core and back: requests, reports, exceptions, tasks."""

from __future__ import annotations

import asyncio
import json
import traceback
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import pytest
from fake_core import Core, run_json

from ematix_flow import (
    BigInt,
    DataError,
    FlowError,
    LockedError,
    Pipeline,
    Pipelines,
    Source,
    SpecError,
    Text,
    connect,
    ematix,
    pipeline,
    pk,
)


@ematix.table(schema="analytics")
class Dim:
    id: Annotated[BigInt, pk()]
    name: Text | None


QUERY = Source.postgres_query("crm", "SELECT 1")


def made(name: str = "p", **said: Any) -> Pipeline:
    return Pipeline(**({"name": name, "source": QUERY, "target": Dim, "mode": "merge"} | said))


def requests(core: Core, verb: str) -> list[Any]:
    return [asked for asked in core.asked if asked[0] == verb]


def test_sync_runs_under_the_targets_name_and_declares_nothing(core: Core) -> None:
    core.answers["run"] = run_json()
    report = pipeline.sync(source=QUERY, target=Dim, mode="scd2", keys=["id"], target_connection="dwh")
    assert report.rows_inserted == 5000
    (_, registry), (_, name, request) = core.asked
    assert registry["pipelines"] == {
        "analytics.dim": {
            "source": {"connection": "crm", "query": "SELECT 1"},
            "target": "analytics.dim",
            "target_connection": "dwh",
            "mode": "scd2",
            "keys": ["id"],
        }
    }
    assert (name, request) == ("analytics.dim", {"started_by": "python"})
    pipeline.sync(source=QUERY, target=Dim, mode="scd2", name="mine", dry_run=True)
    assert core.asked[-1] == ("start", "mine", {"dry_run": True, "started_by": "python"})


def test_run_takes_options_for_this_once(core: Core) -> None:
    core.answers["run"] = run_json()
    found = made(handle_deletes="soft")
    found.run(max_delete_fraction=0.9, lock_timeout="5s")
    assert requests(core, "start")[-1][2] == {
        "overrides": {"max_delete_fraction": 0.9, "lock_timeout": "5s"},
        "started_by": "python",
    }
    assert found.declared() == {
        "source": QUERY.export(),
        "target": "analytics.dim",
        "mode": "merge",
        "handle_deletes": "soft",
    }
    with pytest.raises(SpecError, match="pipeline p: compare_columns has no meaning in mode merge"):
        found.run(compare_columns="name")
    with pytest.raises(TypeError, match="Did you mean 'lock_timeout'"):
        found.run(lock_timeot="5s")  # type: ignore[call-arg]


def test_a_name_that_only_the_files_know_goes_to_the_core(core: Core) -> None:
    core.answers["run"] = run_json()
    made()
    pipeline.run("of_the_files")
    assert list(requests(core, "registry")[-1][1]["pipelines"]) == ["p"]
    assert requests(core, "start")[-1][1] == "of_the_files"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [("refused", "mass_delete", DataError), ("locked", "locked", LockedError), ("failed", "timeout", FlowError)],
)
def test_a_run_that_did_not_go_well_raises_with_its_report(core: Core, status: str, code: str, kind: Any) -> None:
    core.answers["run"] = run_json(status=status, error={"code": code, "message": "m", "hint": "h"})
    with pytest.raises(kind) as caught:
        made().run()
    assert (caught.value.code, caught.value.hint, caught.value.report.status) == (code, "h", status)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert len(frames) <= 4, "few frames of ours below the user's line"


def test_a_cancelled_run_is_a_keyboard_interrupt(core: Core) -> None:
    core.answers["run"] = run_json(status="cancelled")
    with pytest.raises(KeyboardInterrupt):
        made().run()


def test_a_skipped_run_returns(core: Core) -> None:
    core.answers["run"] = run_json(status="skipped")
    assert made().run().status == "skipped"


def test_questions_reach_the_core(core: Core) -> None:
    item = {"pipeline": "p", "mode": "merge", "steps": [{"n": 1, "kind": "stage", "purpose": "x", "sql": None}]}
    core.answers |= {"plan": {"plan": item}, "validate": {"ok": True}, "check": {"ok": True}}
    found = made()
    assert found.preview().steps[0].kind == "stage" and pipeline.plan("p").pipeline == "p"
    assert found.validate().ok and pipeline.validate("p", connect=True).ok and pipeline.check(found).ok
    assert [asked for asked in core.asked if asked[0] != "registry"] == [
        ("plan", "p", False),
        ("plan", "p", True),
        ("validate", "p", False),
        ("validate", "p", True),
        ("check", "p"),
    ]


def test_a_plan_that_cannot_be_made_raises_all_its_errors(core: Core) -> None:
    errors = [{"code": "missing_keys", "message": "a"}, {"code": "unknown_column", "message": "b"}]
    core.answers["plan"] = {"plan": {"pipeline": "p", "errors": errors}}
    with pytest.raises(SpecError) as caught:
        made().plan()
    assert [item.message for item in caught.value.errors] == ["a", "b"]


def test_history_takes_a_key_by_value_or_by_name(core: Core) -> None:
    core.answers["history"] = {"key": {"id": "17"}, "versions": [], "runs": [{"status": "success"}]}
    found = made()
    assert found.history(17).key == {"id": "17"}
    pipeline.history("p", {"id": 17, "region": "EU"})
    assert len(found.history().runs) == 1
    assert [asked[2] for asked in requests(core, "history")] == [{"id": "17"}, {"id": "17", "region": "EU"}, None]
    with pytest.raises(SpecError, match="which column is 17"):
        made("q", target="raw.t").history(17)


def test_rows_as_of_a_time_are_dicts(core: Core) -> None:
    row = {"valid_from": "2026-01-01T00:00:00Z", "valid_to": None, "values": {"id": 17, "email": None}}
    core.answers["as_of"] = {"table": "raw.t", "keys": ["id"], "rows": [row]}
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    shown = {"id": 17, "email": None, "valid_from": "2026-01-01T00:00:00Z", "valid_to": None}
    found = made()
    assert found.as_of(noon) == [shown]
    pipeline.as_of("p", "2026-01-01", known_as_of=41)
    found.as_of(noon, known_as_of=noon)
    at = "2026-01-01T12:00:00+00:00"
    assert requests(core, "as_of") == [
        ("as_of", "p", at, None),
        ("as_of", "p", "2026-01-01", "41"),
        ("as_of", "p", at, at),
    ]
    with pytest.raises(SpecError, match="has no time zone"):
        found.as_of(datetime(2026, 1, 1))


def test_a_file_is_written_of_what_is_asked_for(core: Core) -> None:
    core.answers["export"] = 3
    found = made()
    assert found.export(Path("a.parquet")) == 3
    pipeline.export("p", "b", run=41, format="csv")
    found.export("c.csv", as_of=datetime(2026, 1, 1, tzinfo=timezone.utc), known_as_of="5d21c0fe")
    assert requests(core, "export") == [
        ("export", "p", "a.parquet", None, None, None, None),
        ("export", "p", "b", "csv", None, None, "41"),
        ("export", "p", "c.csv", None, "2026-01-01T00:00:00+00:00", "5d21c0fe", None),
    ]
    with pytest.raises(SpecError, match="as_of and run"):
        found.export("c.csv", as_of="2026-01-01", run=1)
    with pytest.raises(SpecError, match="known_as_of without as_of"):
        found.export("c.csv", known_as_of=1)
    assert len(requests(core, "export")) == 3


def test_run_due_reports_what_ran(core: Core) -> None:
    core.answers["run_due"] = {"runs": [json.loads(run_json())], "skipped": [], "errors": []}
    assert [report.pipeline for report in Pipelines([made()]).run_due(jobs=2)] == ["customers"]
    assert requests(core, "run_due") == [("run_due", {"started_by": "python"}, 2)]
    core.answers["run_due"] = {"runs": [], "errors": [{"code": "missing_keys", "message": "a"}]}
    with pytest.raises(SpecError, match="a"):
        Pipelines([made("q")]).run_due()


# --- tasks -------------------------------------------------------------------------------------------------------


def test_a_task_waits_while_the_loop_goes_on(core: Core) -> None:
    core.answers["run"] = None
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async def main() -> Any:
        ticking = asyncio.create_task(tick())
        running = asyncio.ensure_future(made().run_async())
        await asyncio.sleep(0.05)
        assert not running.done()
        core.runs[-1].text = run_json()
        report = await running
        ticking.cancel()
        return report

    assert asyncio.run(main()).rows_in == 5000
    assert ticks > 10
    assert {asked[1] for asked in requests(core, "poll")} == {0}, "a poll that waits would stop the loop"


def test_cancelling_a_task_cancels_on_the_server_and_waits_for_the_rollback(core: Core) -> None:
    core.answers["run"] = None
    core.after_cancel = None

    async def main() -> None:
        task = asyncio.ensure_future(pipeline.sync_async(source=QUERY, target=Dim, mode="merge"))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.03)
        assert core.runs[-1].cancelled and not task.done(), "it waits until the server rolled back"
        core.runs[-1].text = run_json(status="cancelled")
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_task_raises_what_the_run_raised(core: Core) -> None:
    core.answers["run"] = run_json(status="refused", error={"code": "null_key", "message": "m"})

    async def main() -> None:
        await made().run_async()

    with pytest.raises(DataError):
        asyncio.run(main())


def test_what_is_wrong_with_a_call_is_said_before_it_is_awaited() -> None:
    with pytest.raises(SpecError, match="no mode"):
        pipeline.sync_async(source=QUERY, target=Dim, mode="x")  # type: ignore[arg-type]


# --- connections -------------------------------------------------------------------------------------------------


def test_a_connection_opens_at_its_first_use_and_again_after_close(core: Core) -> None:
    core.answers["query"] = (["id", "name"], [(1, "a")])
    with connect("dwh") as conn:
        assert core.asked == []
        assert conn.execute("DELETE", [1]) == 3
        assert conn.query("SELECT", {"a": 1}) == [{"id": 1, "name": "a"}]
        assert conn.query("SELECT", rows="tuple") == [(1, "a")]
    conn.close()
    conn.execute("x")
    assert [asked[0] for asked in core.asked] == ["session", "execute", "query", "query", "close", "session", "execute"]
    assert core.asked[0] == ("session", None, "dwh")


def test_rows_become_objects_of_a_class(core: Core) -> None:
    import dataclasses

    core.answers["query"] = (["id", "name"], [(1, "a")])

    @dataclasses.dataclass
    class Row:
        id: int
        name: str

    conn = connect(dsn="host=x")
    assert conn.query("SELECT", rows=Row) == [Row(1, "a")]
    (row,) = conn.query("SELECT", rows=Dim)
    assert isinstance(row, Dim) and (row.id, row.name) == (1, "a")
    core.answers["query"] = (["id"], [(1,)])
    (row,) = conn.query("SELECT", rows=Dim)
    with pytest.raises(AttributeError):
        _ = row.name
    with pytest.raises(SpecError, match="rows is 'object'"):
        conn.query("SELECT", rows="object")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3cret@db/x",
        "postgresql://u:s3cret@with@at:1/x",
        "postgresql://db/x?user=u&password=s3cret",
        "postgresql://u:a/s3cret@db/x",
        "host=db password=s3cret",
        "host=db password = 's3cret \\' s3cret' user=u",
        "PASSWORD=s3cret",
        "password='s3cret",
    ],
)
def test_no_repr_shows_a_password(dsn: str) -> None:
    conn = connect(dsn=dsn)
    assert "s3cret" not in repr(conn)
    assert "s3cret" not in repr(Source.postgres_query(conn, "SELECT 1"))
    with pytest.raises(SpecError) as caught:
        Source.postgres_query(dsn, "SELECT 1")
    assert "s3cret" not in str(caught.value)


def test_a_connection_travels_as_its_name() -> None:
    import pickle

    found = pickle.loads(pickle.dumps(connect("dwh")))
    assert found.name == "dwh"


def test_threads_share_a_connection_one_statement_at_a_time(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading
    import time

    inside = most = 0

    def execute(self: Any, statement: str, params: Any) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        inside -= 1
        return 0

    monkeypatch.setattr(core.Session, "execute", execute)
    conn = connect("dwh")
    threads = [threading.Thread(target=conn.execute, args=("x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(requests(core, "session")) == 1
