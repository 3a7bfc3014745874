"""What `flow plan` prints is what a run does: the same steps, in the same order, for one target and for several."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import Project
from psycopg.conninfo import conninfo_to_dict
from python_package import Interpreter
from relay import relay
from server import url

SNAPSHOTS = Path(__file__).parents[2] / "crates" / "flow-core" / "tests" / "snapshots"

# Steps that run only if something was counted before, by how kind and purpose begin. The reviewed plans say it of each
# step, and a test holds this list to them.
CONDITIONAL = (
    "guard: no NULL keys",
    "guard: no duplicate keys",
    "guard: no key has two",
    "guard: count keys that have several rows",
    "guard: not more than",
    "stage: keep the latest row of each key",
    "insert: insert rows that are new",
    "update: update rows that differ",
    "update: write the difference",
    "update: mark rows whose key left the source",
    "update: overwrite",
    "delete: delete rows whose key left the source",
    "close: close out the current versions",
    "guard: expected: ",
    "guard: expected, or a warning: ",
    "guard: count NULL and duplicate keys of the rest",
    "guard: say that rows are put aside",
    "stage: put aside the rows that fail",
    "stage: take them out of the stage",
    "ddl: make the table of rejected rows",
    "insert: keep in",
    "finish: enter rows that were put aside",
    "guard: every event has a time",
    "guard: no event lies far ahead",
    "guard: no events contradict each other",
    "diff: statistics for the planner",
    "diff: those of them that the history does not have",
    "close: end the newest events",
    "update: end the events that late ones follow",
    "insert: keep what is corrected",
    "update: correct the events",
    "insert: insert the events that are newer",
    "insert: insert the events that come late",
    "insert: insert versions that begin",
    "update: write versions that others follow",
    "update: write current versions",
)
# The same words without a condition: append by keys and histories by event time do not count NULL keys beforehand.
WITHOUT_CONDITION_TOO = (
    "append_incremental_by_keys: 4 guard",
    "append_incremental_puts_rows_aside: 10 guard",
    "events_existing: 4 guard",
    "events_first_load: 4 guard",
    "events_that_are_ordered: 4 guard",
    "events_that_collapse: 4 guard",
    "events_that_run_out_and_delete: 4 guard",
)


class Step(NamedTuple):
    """A step as it is planned, or as it was executed."""

    n: int
    kind: str
    purpose: str
    target: str = ""

    @classmethod
    def read(cls, step: dict[str, Any], targets: Sequence[str] = ()) -> Step:
        """A step of the JSON; tables of the run alone go without the run's id, and the target is taken off in front."""
        purpose = re.sub(r"_[0-9a-f]{32}\b|_<batch(?: [0-9])?>", "_RUN", step["purpose"])
        target = next((name for name in targets if purpose.startswith(f"{name}: ")), "")
        return cls(step["n"], step["kind"], purpose.removeprefix(f"{target}: "), target)

    @property
    def conditional(self) -> bool:
        return f"{self.kind}: {self.purpose}".startswith(CONDITIONAL)

    def __str__(self) -> str:
        return f"{self.n} {self.kind} {self.target} {self.purpose}"


def differences(planned: Sequence[Step], executed: Sequence[Step]) -> list[str]:
    """What was executed and not planned (or not in that order), and what was planned without condition and not executed."""
    waiting = list(executed)
    found = []
    for step in planned:
        if waiting and waiting[0] == step:
            waiting.pop(0)
        elif not step.conditional:
            found.append(f"not executed: {step}")
    return [*found, *(f"not planned: {step}" for step in waiting)]


PLACES = {False: "one database", True: "two databases"}

# --- one target ---------------------------------------------------------------------------------------------------

PEOPLE = """
CREATE SCHEMA app;
CREATE TABLE app.people (id bigint NOT NULL, name text, visits bigint, seen_at timestamptz NOT NULL);
INSERT INTO app.people SELECT n, 'person ' || n, 0, '2026-01-01' FROM generate_series(1, 30) AS n;
"""
CHANGE = """
UPDATE app.people SET name = 'new', seen_at = '2026-01-02' WHERE id = 1;
UPDATE app.people SET visits = 1, seen_at = '2026-01-02' WHERE id = 2;
DELETE FROM app.people WHERE id = 3;
INSERT INTO app.people VALUES (31, 'more', 0, '2026-01-02');
"""
COLUMNS = {"id": "bigint", "name": "text?", "visits": "bigint?", "seen_at": "timestamptz"}

LOADS: dict[str, dict[str, Any]] = {
    "append": {"mode": "append"},
    "append grows": {"mode": "append", "incremental_column": "seen_at"},
    "truncate": {"mode": "truncate"},
    "delete all": {"mode": "truncate", "replace_method": "delete", "on_duplicate": "latest", "keys": "id",
                           "order_by": "seen_at DESC"},
    "difference": {"mode": "truncate", "replace_method": "diff"},
    "merge": {"mode": "merge"},
    "merge soft": {"mode": "merge", "handle_deletes": "soft"},
    "merge hard": {"mode": "merge", "handle_deletes": "hard", "on_duplicate": "latest", "order_by": "seen_at DESC"},
    "merge grows": {"mode": "merge", "incremental_column": "seen_at"},
    "scd2": {"mode": "scd2", "compare_columns": "name"},
    "scd2 soft": {"mode": "scd2", "handle_deletes": "soft", "overwrite_columns": ["visits"], "compare_columns": "name"},
    "scd2 latest": {"mode": "scd2", "on_duplicate": "latest", "order_by": "seen_at DESC"},
    "scd2 grows": {"mode": "scd2", "incremental_column": "seen_at"},
    "scd2 staged": {"mode": "scd2", "force_path": "staging", "handle_deletes": "soft"},
    "expected": {"mode": "scd2", "expect": [{"not_null": "name"}, {"unique": "name", "policy": "warn"}]},
    "put aside": {"mode": "merge", "handle_deletes": "soft", "expect": [{"sql": "visits = 0", "policy": "quarantine"}]},
    "grows aside": {"mode": "append", "incremental_column": "seen_at",
                    "expect": [{"sql": "visits = 0", "policy": "quarantine"}]},
}  # fmt: skip


def project_of(loads: dict[str, dict[str, Any]], apart: bool) -> Project:
    """A pipeline for each load, with a target in a schema of its own."""
    project = Across() if apart else Project()
    for name, options in loads.items():
        project.table(name, COLUMNS, schema=name, natural_key=["id"])
        project.pipeline(name, "app.people", name, **options)
    return project


@pytest.mark.parametrize("apart", PLACES, ids=PLACES.get)
def test_a_run_does_the_steps_of_its_plan(
    apart: bool, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    source = new_database() if apart else database
    source.execute(PEOPLE)
    connect(flow, source, database)
    # A stage is forced where there are two databases.
    project = project_of({name: load for name, load in LOADS.items() if apart or "force_path" not in load}, apart)
    flow.project(project.text())
    for statements in ("", CHANGE, ""):
        if statements:
            source.execute(statements)
        plans = flow("plan", "--output", "json").json()["pipelines"]
        planned = {plan["pipeline"]: [Step.read(step) for step in plan["steps"]] for plan in plans}
        reports = project.run(flow)
        executed = {name: recorded(database, report["run_id"]) for name, report in reports.items()}
        assert planned.keys() == executed.keys() == project.pipelines.keys()
        found = {name: differences(planned[name], executed[name]) for name in planned}
        assert {name: lines for name, lines in found.items() if lines} == {}
        assert min(map(len, executed.values())) > 2


# Names of 63 bytes: those of the tables that a run makes for itself have less room for them, and bytes of one character
# stay together.
LONG = {
    "x" * 63: {"mode": "scd2", "on_duplicate": "latest", "order_by": "seen_at DESC"},
    "x" + "ü" * 31: {"mode": "merge", "handle_deletes": "soft"},
    "ü" * 31 + "x": {"mode": "append", "incremental_column": "seen_at"},
    "日" * 21: {"mode": "truncate"},
}


@pytest.mark.parametrize("apart", PLACES, ids=PLACES.get)
def test_a_run_sends_the_statements_of_its_plan_byte_for_byte(
    apart: bool, database: Database, new_database: Callable[[], Database], flow: Flow, tcp_role: str
) -> None:
    source = new_database() if apart else database
    source.execute(PEOPLE)
    project = Across() if apart else Project()
    for name, options in LONG.items():
        project.table(name, COLUMNS, schema="dw", natural_key=["id"])
        project.pipeline(name, "app.people", name, **options)
    flow.project(project.text())
    places = [conninfo_to_dict(each.dsn_over_tcp(tcp_role, "right")) for each in (source, database)]
    for change in (None, CHANGE):
        source.execute(change or "")
        for name in LONG:
            with relay(int(places[0]["port"])) as between:
                crm, warehouse = (url({**each, "port": str(between.port), "sslmode": "disable"}) for each in places)
                connect(flow, crm, warehouse)
                flow.variables["EMATIX_FLOW_DSN"] = warehouse
                [plan] = flow("plan", name, "--output", "json").json()["pipelines"]
                preview = flow("preview", name, "--output", "json").stdout
                between.sent.clear()
                run = flow("run", name, "--output", "json").json()["run_id"]
            sent = between.statements()
            planned = [part for step in plan["steps"] if not Step.read(step).conditional for part in parts(step["sql"])]
            assert [part for part in planned if not any(map(as_sent(part, run).fullmatch, sent))] == []
            # A preview takes it that the target is there.
            if change:
                tables = set(re.findall(r"_ematix_\w+_<batch>", preview))
                everything = "\n".join(sent)
                assert tables and not [table for table in tables if not as_sent(table, run).search(everything)]


def parts(printed: str) -> list[str]:
    """The statements of a step, whichever server each is for."""
    return [part for part in re.split(r";?\n?^-- on the .*\n", printed, flags=re.MULTILINE) if part]


# What a run puts into a statement of its plan: its id in a name and as a value, its instant, and what it counted.
HOLES = {
    r"_<batch>": lambda run: "_" + run.replace("-", ""),
    r"<batch>": lambda run: run,
    r"'[-0-9]{10}T[:.0-9]+Z'": lambda _: r"'[-0-9]{10}T[:.0-9]+Z'",
    r"(?<!:):[a-z_]+\b": lambda _: r"(?:[0-9]+|NULL|'[^']*')",
}


def as_sent(planned: str, run: str) -> re.Pattern[str]:
    """What a statement of a plan is when it runs."""
    words = re.split("(" + "|".join(HOLES) + ")", planned)
    fillings = (next(fill for hole, fill in HOLES.items() if re.fullmatch(hole, word)) for word in words[1::2])
    filled = [re.escape(words[0])]
    for filling, text in zip(fillings, words[2::2], strict=True):
        filled += [filling(run), re.escape(text)]
    return re.compile("".join(filled))


def test_the_log_of_a_run_has_the_steps_that_are_recorded(database: Database, flow: Flow) -> None:
    database.execute(PEOPLE)
    flow.project(project_of({"p": LOADS["merge"]}, apart=False).text())
    run = flow("run", "p", "--output", "json").json()["run_id"]
    log = flow("logs", run, "--output", "json").json()
    assert [Step.read(step) for step in log["steps"]] == recorded(database, run)


def recorded(database: Database, run: str, targets: Sequence[str] = ()) -> list[Step]:
    """The steps of a run, those of its targets among them."""
    rows = database.rows(
        "SELECT s.n, s.kind, s.purpose FROM ematix_flow.run_steps AS s JOIN ematix_flow.run_history AS r USING (run_id)"
        " WHERE r.run_id = %(run)s::uuid OR r.parent_run_id = %(run)s::uuid ORDER BY s.n",
        {"run": run},
    )
    return [Step.read(dict(zip(("n", "kind", "purpose"), row, strict=True)), targets) for row in rows]


# --- several targets ----------------------------------------------------------------------------------------------

SEVERAL = """
from typing import Annotated
from ematix_flow import BigInt, Text, TimestampTZ, ematix, pk

@ematix.table(schema="dw")
class Dim:
    id: Annotated[BigInt, pk()]
    name: Text | None

@ematix.table(schema="dw")
class Latest:
    id: Annotated[BigInt, pk()]
    name: Text | None
    visits: BigInt | None

@ematix.pipeline(
    targets=[
        {"target": Dim, "mode": "scd2", "compare_columns": "name", "handle_deletes": "soft"},
        {"target": Latest, "mode": "merge", "handle_deletes": "hard"},
        {"target": "dw.now", "mode": "truncate"},
        {"target": "dw.log", "mode": "append", "incremental_column": "seen_at"},
    ],
    source_connection="crm", target_connection="warehouse",
)
def people(conn):
    return "SELECT id, name, visits, seen_at FROM app.people"
"""
TARGETS = ("dw.dim", "dw.latest", "dw.now", "dw.log")


@pytest.mark.parametrize("apart", PLACES, ids=PLACES.get)
def test_a_run_of_several_targets_does_the_steps_of_its_plan(
    apart: bool, database: Database, new_database: Callable[[], Database], tmp_path: Path
) -> None:
    source = new_database() if apart else database
    source.execute(PEOPLE)
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN_CRM": source.dsn, "EMATIX_FLOW_DSN_WAREHOUSE": database.dsn})
    python.write("shop.py", SEVERAL)
    module = ("--module", "shop")
    for statements in ("", CHANGE, ""):
        if statements:
            source.execute(statements)
        [plan] = python.flow(*module, "plan", "people", "--output", "json").json()["pipelines"]
        run = python.flow(*module, "run", "people", "--output", "json").json()["run_id"]
        planned = [Step.read(step, TARGETS) for step in plan["steps"]]
        executed = recorded(database, run, TARGETS)
        assert differences(planned, executed) == []
        # A part is a target, and every target has steps that say so.
        parts = {(step["part"], Step.read(step, TARGETS).target) for step in plan["steps"] if step["part"] is not None}
        named = {(part, target) for part, target in parts if target}
        assert {target for _, target in named} == set(TARGETS)
        assert len({part for part, _ in named}) == len(named) == len(TARGETS)
        # What a plan makes has a name of its own, so that it could be run as printed.
        made = re.findall(
            r'CREATE (?:UNLOGGED )?TABLE (".*?"\.".*?") ', "\n".join(step["sql"] for step in plan["steps"])
        )
        assert len(set(made)) == len(made) > 1, made


# --- a difference is seen -----------------------------------------------------------------------------------------

PLANNED = [
    Step(1, "lock", "keep other writers out"),
    Step(2, "guard", "no NULL keys (id)   expects no rows"),
    Step(3, "update", "update rows that differ"),
    Step(4, "finish", "watermark and history"),
]


def test_a_step_whose_condition_does_not_hold_may_be_left_out() -> None:
    assert differences(PLANNED, PLANNED) == []
    assert differences(PLANNED, [PLANNED[0], PLANNED[2], PLANNED[3]]) == []
    assert differences(PLANNED, [PLANNED[0], PLANNED[3]]) == []


@pytest.mark.parametrize(
    ("executed", "expected"),
    [
        (PLANNED[1:], ["not executed: 1 lock  keep other writers out"]),
        (PLANNED[:3], ["not executed: 4 finish  watermark and history"]),
        ([*PLANNED, Step(5, "insert", "more")], ["not planned: 5 insert  more"]),
        (
            [PLANNED[0], PLANNED[2], PLANNED[1], PLANNED[3]],
            [
                "not executed: 4 finish  watermark and history",
                "not planned: 2 guard  no NULL keys (id)   expects no rows",
                "not planned: 4 finish  watermark and history",
            ],
        ),
        (
            [*PLANNED[:3], Step(4, "finish", "history")],
            ["not executed: 4 finish  watermark and history", "not planned: 4 finish  history"],
        ),
        (
            [*PLANNED[:3], PLANNED[3]._replace(n=5)],
            ["not executed: 4 finish  watermark and history", "not planned: 5 finish  watermark and history"],
        ),
        (
            [*PLANNED[:3], PLANNED[3]._replace(target="dw.dim")],
            ["not executed: 4 finish  watermark and history", "not planned: 4 finish dw.dim watermark and history"],
        ),
    ],
)
def test_a_difference_is_named(executed: list[Step], expected: list[str]) -> None:
    assert differences(PLANNED, executed) == expected


def test_the_steps_with_a_condition_are_those_of_the_reviewed_plans() -> None:
    wrong = set()
    met = set()
    for path in SNAPSHOTS.glob("plan_*.snap"):
        text = path.read_text(encoding="utf-8")
        for n, kind, purpose, below in re.findall(r"^-- (\d+) (\w+): (.*)\n(.*)$", text, re.MULTILINE):
            step = Step.read({"n": int(n), "kind": kind, "purpose": purpose})
            where = f"{path.stem}: {step}".removeprefix("plan_snapshots__")
            if step.conditional != below.startswith("-- only if ") and not where.startswith(WITHOUT_CONDITION_TOO):
                wrong.add(where)
            met |= {begins for begins in CONDITIONAL if f"{kind}: {step.purpose}".startswith(begins)}
    assert wrong == set()
    assert met == set(CONDITIONAL)
