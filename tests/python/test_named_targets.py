"""Targets that are only named, `schema.table`: keys and columns that no file declares, in the first run and in every later one."""

from __future__ import annotations

from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import Project, counts

KEYS = {"one": ["id"], "composite and of mixed case": ["id", "Region"]}
PATHS = ["same_db", "staging"]
MODES = ["append", "truncate", "merge", "scd2"]


def source(database: Database, keys: list[str]) -> None:
    quoted = ", ".join(f'"{name}"' for name in keys)
    database.execute(f"""
        CREATE SCHEMA app;
        CREATE TABLE app.people (id bigint, "Region" text, name text, age integer, PRIMARY KEY ({quoted}));
        INSERT INTO app.people SELECT n, 'eu', 'name ' || n, 30 + n FROM generate_series(1, 5) AS n;
    """)


def ends(flow: Flow, database: Database, other: Database, path: str) -> Database:
    """Where the source is on this path; the target is `database`."""
    at = database if path == "same_db" else other
    connect(flow, at, database)
    return at


def project(mode: str, **options: Any) -> Project:
    made = Across()
    made.pipeline("people", "app.people", "mart.people", mode, **options)
    return made


def looked_at(made: Project, flow: Flow, *arguments: str) -> dict[str, Any]:
    """The report of a dry-run and of the run after it, which say the same."""
    [dry, run] = [made.run(flow, "people", *arguments, command=command)["people"] for command in ("dry-run", "run")]
    assert (counts(dry), dry["warnings"], dry["path"]) == (counts(run), run["warnings"], run["path"])
    return run


def planned_keys(flow: Flow) -> tuple[list[str], str]:
    [plan] = flow("plan", "people", "--output", "json").json()["pipelines"]
    return plan["keys"], plan["keys_reason"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("mode", ["merge", "scd2"])
def test_every_run_finds_the_keys_of_the_first(
    mode: str, keys: list[str], path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    source(at, keys)
    made = project(mode)
    assert counts(looked_at(made, flow)) == {"in": 5, "inserted": 5}
    at.execute("UPDATE app.people SET name = 'another' WHERE id = 1")
    changed = (
        {"in": 5, "updated": 1, "unchanged": 4}
        if mode == "merge"
        else {"in": 5, "inserted": 1, "closed_out": 1, "unchanged": 4}
    )
    assert planned_keys(flow)[0] == keys
    assert counts(looked_at(made, flow)) == changed
    # Its definition is what it was, so that nothing new is recorded of it.
    assert database.value("SELECT count(*) FROM ematix_flow.schema_history") == 1
    assert flow("check", "people").code == 0
    if mode == "scd2":
        said = ["--key", "1"] if keys == ["id"] else ["--key", "id=1", "--key", "Region=eu"]
        history = flow("history", "people", *said, "--output", "json").json()
        assert (list(history["key"]), len(history["versions"])) == (keys, 2)
    # The table itself shows them: the metadata are not needed.
    database.execute("DROP SCHEMA ematix_flow CASCADE")
    assert counts(looked_at(made, flow)) == {"in": 5, "unchanged": 5}
    reason = "primary key of the live table" if mode == "merge" else "unique index of current versions"
    assert planned_keys(flow) == (keys, reason)
    assert flow("check", "people").code == 0


def test_a_check_knows_the_keys_of_a_history_that_breaks_its_promise(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    made = project("scd2")
    made.run(flow)
    database.execute("""
        DROP INDEX mart.people_id_idx;
        ALTER TABLE mart.people DROP CONSTRAINT people_pkey;
        INSERT INTO mart.people SELECT id, "Region", name, age, valid_from + interval '1 second', valid_to, is_current, row_hash FROM mart.people WHERE id = 3;
    """)
    # No index shows them any more, and the runs before are remembered.
    found = flow("check", "people", "--output", "json", expect=1).json()["violations"]
    assert {(each["invariant"], each["key"]["id"]) for each in found} >= {("one_current_version", "3")}
    assert planned_keys(flow) == (["id"], "keys of the runs before")


def test_a_history_that_was_adopted_by_hand_keeps_the_keys_that_its_index_shows(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    database.execute("""
        CREATE SCHEMA mart;
        CREATE TABLE mart.people (version bigserial PRIMARY KEY, id bigint NOT NULL, "Region" text, name text, age integer,
          valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL, row_hash bytea NOT NULL);
        INSERT INTO mart.people (id, "Region", name, age, valid_from, is_current, row_hash)
          SELECT id, "Region", name, age, '2020-01-01Z', true, 'theirs' FROM app.people;
        CREATE UNIQUE INDEX ON mart.people (id) WHERE is_current;
        CREATE UNIQUE INDEX ON mart.people (id, valid_from);
        CREATE UNIQUE INDEX ON mart.people (name, "Region") WHERE is_current;
    """)
    made = project("scd2")
    assert counts(looked_at(made, flow)) == {"in": 5, "unchanged": 5, "rehashed": 5}
    assert planned_keys(flow) == (["id"], "unique index of current versions")
    database.execute("UPDATE app.people SET age = 99 WHERE id = 2")
    assert counts(looked_at(made, flow)) == {"in": 5, "inserted": 1, "closed_out": 1, "unchanged": 4}
    assert flow("check", "people").code == 0


@pytest.mark.parametrize("mode", ["merge", "scd2"])
def test_a_table_without_any_key_takes_those_of_its_source_and_says_which_index_it_lacks(
    mode: str, flow: Flow, database: Database
) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    managed = (
        ", valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL, row_hash bytea NOT NULL"
    )
    database.execute(f"""
        CREATE SCHEMA mart;
        CREATE TABLE mart.people (id bigint NOT NULL, "Region" text, name text, age integer{managed if mode == "scd2" else ""});
    """)
    report = project(mode).run(flow, expect=4)["people"]
    assert report["error"]["code"] == "missing_index"
    assert counts(project(mode, migrate=True).run(flow)["people"]) == {"in": 5, "inserted": 5}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", MODES)
def test_a_column_that_the_source_gains_is_named_by_every_run_until_migrate_adds_it(
    mode: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    source(at, ["id"])
    made = project(mode)
    made.run(flow)
    at.execute("ALTER TABLE app.people ADD COLUMN \"E-Mail\" text DEFAULT 'a@x.org'")
    left = "columns of the source that are not loaded, because mart.people does not have them: E-Mail; run with --migrate to add them"
    for _ in range(2):
        assert looked_at(made, flow)["warnings"] == [left]
    assert f"warning: {left}" in flow("run", "people", "-v").stderr
    report = looked_at(made, flow, "--migrate")
    assert report["warnings"] == []
    whole = {
        "append": {"in": 5, "inserted": 5},
        "truncate": {"in": 5, "inserted": 5},
        "merge": {"in": 5, "updated": 5},
        "scd2": {"in": 5, "unchanged": 5, "rehashed": 5},
    }
    assert counts(report) == whole[mode]
    mail = "SELECT count(*) FROM mart.people WHERE \"E-Mail\" = 'a@x.org'"
    assert database.value(mail) == 5
    nullable = "SELECT NOT attnotnull FROM pg_attribute WHERE attrelid = 'mart.people'::regclass AND attname = 'E-Mail'"
    assert database.value(nullable) is True
    after = looked_at(made, flow)
    assert after["warnings"] == []
    if mode in ("merge", "scd2"):
        assert counts(after) == {"in": 5, "unchanged": 5}


def test_a_merge_from_a_watermark_on_fills_a_new_column_in_all_rows(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    made = project("merge", incremental_column="age")
    made.run(flow)
    database.execute("ALTER TABLE app.people ADD COLUMN mail text DEFAULT 'a@x.org'")
    assert counts(looked_at(made, flow)) == {"in": 1, "unchanged": 1}
    assert counts(looked_at(made, flow, "--migrate")) == {"in": 5, "updated": 5}
    assert counts(looked_at(made, flow)) == {"in": 1, "unchanged": 1}


def test_a_history_whose_metadata_are_gone_opens_no_false_version_for_a_new_column(
    flow: Flow, database: Database
) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    made = project("scd2", migrate=True)
    made.run(flow)
    database.execute("DROP SCHEMA ematix_flow CASCADE; ALTER TABLE app.people ADD COLUMN mail text DEFAULT 'a@x.org'")
    assert counts(looked_at(made, flow)) == {"in": 5, "unchanged": 5, "rehashed": 5}
    assert database.value("SELECT count(*) FROM mart.people WHERE mail = 'a@x.org'") == 5


LEFT = "columns that the source does not have, and mart.people keeps: {}; a row or version that is written from now on has NULL there"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", MODES)
def test_a_column_that_leaves_the_source_is_kept_and_reported(
    mode: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    source(at, ["id"])
    made = project(mode)
    made.run(flow)
    at.execute("ALTER TABLE app.people DROP COLUMN age")
    for _ in range(2):
        assert looked_at(made, flow)["warnings"] == [LEFT.format("age")]
    assert f"warning: {LEFT.format('age')}" in flow("plan", "people").stdout + flow("run", "people", "-v").stderr
    at.execute("INSERT INTO app.people VALUES (6, 'eu', 'new'); UPDATE app.people SET name = 'changed' WHERE id = 1")
    assert looked_at(made, flow)["status"] == "success"
    ages = database.rows('SELECT id, name, age FROM mart.people WHERE id IN (1, 2, 6) ORDER BY id, name COLLATE "C"')
    now = {
        "truncate": [(1, "changed", None), (2, "name 2", None), (6, "new", None)],
        "merge": [(1, "changed", 31), (2, "name 2", 32), (6, "new", None)],
        "scd2": [(1, "changed", None), (1, "name 1", 31), (2, "name 2", 32), (6, "new", None)],
    }
    # What append has loaded stays; what it loads again has nothing there.
    assert ages == now[mode] if mode != "append" else {(1, "name 1", 31), (6, "new", None)} <= set(ages)
    assert flow("check", "people").code == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", MODES)
def test_a_renaming_is_decided_by_a_person_or_by_migrate(
    mode: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    source(at, ["id"])
    made = project(mode)
    made.run(flow)
    at.execute("ALTER TABLE app.people RENAME COLUMN age TO years")
    lost = "the source of `people` has no column `age`, which mart.people has\nthe source has: id, Region, name, years"
    rename = 'ALTER TABLE "mart"."people" RENAME COLUMN "age" TO "years"'
    error = made.run(flow, expect=2)["people"]["error"]
    assert (error["code"], error["message"]) == ("unknown_column", lost)
    assert error["hint"] == f"was it renamed to `years`? then: {rename}; if not, --migrate keeps it and adds the other"
    told = [LEFT.format("age") + "; was age renamed to years?"]
    assert looked_at(made, flow, "--migrate")["warnings"] == told
    assert looked_at(made, flow)["warnings"] == [LEFT.format("age")]
    assert database.value("SELECT max(years) FROM mart.people") == 35
    database.execute("ALTER TABLE mart.people DROP COLUMN age")
    assert looked_at(made, flow)["warnings"] == []


@pytest.mark.parametrize("migrate", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_column_that_leaves_the_source_and_cannot_be_null_ends_the_run_with_what_settles_it(
    mode: str, migrate: bool, flow: Flow, database: Database
) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    database.execute("ALTER TABLE app.people ALTER COLUMN age SET NOT NULL")
    made = project(mode, migrate=migrate)
    made.run(flow)
    database.execute("ALTER TABLE app.people DROP COLUMN age")
    error = made.run(flow, expect=2)["people"]["error"]
    assert error["message"].startswith("the source of `people` has no column `age`, which mart.people has")
    null = 'ALTER TABLE "mart"."people" ALTER COLUMN "age" DROP NOT NULL'
    assert error["hint"] == f"it cannot be NULL; if it is gone for good: {null}"
    database.execute(null)
    assert looked_at(made, flow)["warnings"] == [LEFT.format("age")]


COMMENTS = """
SELECT obj_description('mart.people'::regclass, 'pg_class'), string_agg(a.attname || ': ' || col_description(a.attrelid, a.attnum), ', ' ORDER BY a.attnum)
  FROM pg_attribute AS a WHERE a.attrelid = 'mart.people'::regclass AND a.attnum > 0
"""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", MODES)
def test_comments_of_the_source_come_with_the_table_and_later_where_migrate_allows_it(
    mode: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    source(at, ["id"])
    at.execute(
        """COMMENT ON TABLE app.people IS 'who ''they'' are \\'; COMMENT ON COLUMN app.people."Region" IS 'where'"""
    )
    made = project(mode)
    made.run(flow)
    assert database.rows(COMMENTS) == [("who 'they' are \\", "Region: where")]
    at.execute("COMMENT ON TABLE app.people IS 'people'; COMMENT ON COLUMN app.people.age IS 'years'")
    # Somebody's own comment on the target stays, where the source has none.
    database.execute("COMMENT ON COLUMN mart.people.name IS 'ours'")
    looked_at(made, flow)
    assert database.rows(COMMENTS) == [("who 'they' are \\", "Region: where, name: ours")]
    [plan] = flow("plan", "people", "--migrate", "--output", "json").json()["pipelines"]
    changed = ["the comment of the table", "the comment of the column age"]
    assert [(mark["mark"], mark["what"]) for mark in plan["marks"]] == [("~", what) for what in changed]
    looked_at(made, flow, "--migrate")
    assert database.rows(COMMENTS) == [("people", "Region: where, name: ours, age: years")]
    [plan] = flow("plan", "people", "--migrate", "--output", "json").json()["pipelines"]
    assert plan["marks"] == []


def test_a_plan_prints_what_was_inferred(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    source(database, ["id", "Region"])
    made = project("merge")
    flow.project(made.text())
    columns = "id bigint NOT NULL, Region text NOT NULL, name text, age integer"
    assert f"  note: columns as the source has them: {columns}\n" in flow("plan", "people").stdout
    made.run(flow)
    assert f"  note: columns as the live table has them: {columns}\n" in flow("plan", "people").stdout


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", MODES)
def test_a_column_that_comes_to_hold_more_is_told_and_widened_where_migrate_allows_it(
    mode: str, path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    source(at, ["id"])
    made = project(mode)
    made.run(flow)
    at.execute("ALTER TABLE app.people ALTER COLUMN age TYPE bigint")
    wider = (
        "the column age is bigint in the source and integer in mart.people: a value that does not fit ends the run;"
        " run with --migrate to widen it"
    )
    assert looked_at(made, flow)["warnings"] == [wider]
    at.execute("UPDATE app.people SET age = 3000000000 WHERE id = 1")
    report = made.run(flow, expect=1)["people"]
    assert (report["error"]["code"], report["warnings"]) == ("cast_failed", [wider])
    assert looked_at(made, flow, "--migrate")["warnings"] == []
    assert database.value("SELECT max(age) FROM mart.people") == 3_000_000_000
    assert looked_at(made, flow)["warnings"] == []


def test_what_another_append_left_in_the_source_is_loaded_by_every_run_alike(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    made = project("append")
    made.pipeline("copy", "mart.people", "mart.copies", "append")
    made.run(flow, "people")
    for _ in range(2):
        made.run(flow, "copy")
    same = "SELECT count(*) FROM mart.copies AS c JOIN mart.people AS p USING (_loaded_at, _batch_id, id)"
    assert database.value(same) == 10


def test_a_new_column_of_the_source_under_a_name_of_the_strategy_is_told_and_not_loaded(
    flow: Flow, database: Database
) -> None:
    connect(flow, database, database)
    source(database, ["id"])
    made = project("scd2", migrate=True)
    made.run(flow)
    database.execute("ALTER TABLE app.people ADD COLUMN valid_to date DEFAULT '2030-01-01'")
    report = looked_at(made, flow)
    assert report["warnings"] == [
        "columns of the source that are not loaded, because the load strategy keeps its own under their names: valid_to"
    ]
    assert counts(report) == {"in": 5, "unchanged": 5}


@pytest.mark.parametrize("path", PATHS)
def test_several_named_targets_take_the_keys_of_the_source_each(
    path: str, flow: Flow, database: Database, new_database: Any
) -> None:
    at = ends(flow, database, new_database(), path)
    source(at, ["id", "Region"])
    made = Across()
    made.pipeline("people", "app.people", "mart.now", "merge")
    several = made.pipelines["people"]
    del several["target"], several["mode"]
    several["targets"] = [{"target": "mart.now", "mode": "merge"}, {"target": "mart.then", "mode": "scd2"}]
    made.run(flow)
    at.execute("UPDATE app.people SET age = 0 WHERE id = 1; INSERT INTO app.people VALUES (1, 'us', 'other', 1)")
    made.run(flow)
    assert database.rows("SELECT count(*) FROM mart.now") == [(6,)]
    assert database.rows("SELECT count(*) FROM mart.then") == [(7,)]
