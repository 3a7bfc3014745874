"""`flow check` names the invariant and the key, where somebody has broken a history or a merged table by hand."""

from __future__ import annotations

import pytest
from database import Database
from flow_binary import Flow
from project import Project

COLUMNS = "id, v, valid_from, valid_to, is_current, row_hash"
BREAKS = {
    "one_current_version": (
        (
            f"INSERT INTO dw.scd2 ({COLUMNS}) SELECT id, v, valid_from + interval '1 s', NULL, TRUE, row_hash"
            " FROM dw.scd2 WHERE id = 2"
        ),
        {"one_current_version", "no_overlap"},
    ),
    "a closed version is current": (
        "UPDATE dw.scd2 SET is_current = TRUE WHERE id = 2 AND valid_to IS NOT NULL",
        {"current_is_open", "one_current_version"},
    ),
    "an open version is not current": ("UPDATE dw.scd2 SET is_current = FALSE WHERE id = 2", {"current_is_open"}),
    "an end before the beginning": (
        "UPDATE dw.scd2 SET valid_to = valid_from - interval '1 s' WHERE id = 2 AND valid_to IS NOT NULL",
        {"begins_before_it_ends"},
    ),
    "an empty version": (
        "UPDATE dw.scd2 SET valid_to = valid_from WHERE id = 2 AND valid_to IS NOT NULL",
        {"begins_before_it_ends"},
    ),
    "an overlap": (
        "UPDATE dw.scd2 SET valid_to = valid_to + interval '1 s' WHERE id = 2 AND valid_to IS NOT NULL",
        {"no_overlap"},
    ),
    "a lost hash": (
        "UPDATE dw.scd2 SET row_hash = NULL WHERE id = 2 AND is_current",
        {"has_a_hash", "hash_is_of_the_row"},
    ),
    "a value that was edited": (
        "UPDATE dw.scd2 SET v = 'edited' WHERE id = 2 AND is_current",
        {"hash_is_of_the_row"},
    ),
}


@pytest.fixture
def project(database: Database, flow: Flow) -> Project:
    """Three keys with two versions each, and the constraints gone that would keep them whole."""
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s AS SELECT i AS id, 'a' AS v FROM generate_series(1, 3) AS i"
    )
    made = Project()
    for mode in ("scd2", "merge"):
        made.table(mode, {"id": "integer", "v": "text?"}, schema="dw")
        made.pipeline(mode, "app.s", mode, mode, keys="id")
    made.run(flow)
    database.execute("UPDATE app.s SET v = 'b'")
    made.run(flow)
    assert flow("check", "--all", "--output", "json").json()["ok"]
    database.execute("""
        DO $$ DECLARE c record; BEGIN
          FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE connamespace = 'dw'::regnamespace
                    AND contype IN ('c', 'p', 'u') LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname); END LOOP;
          FOR c IN SELECT indexrelid::regclass AS i FROM pg_index WHERE indrelid IN ('dw.scd2'::regclass, 'dw.merge'::regclass) LOOP
            EXECUTE format('DROP INDEX %s', c.i); END LOOP;
          FOR c IN SELECT attrelid::regclass AS t, attname FROM pg_attribute
                    WHERE attrelid IN ('dw.scd2'::regclass, 'dw.merge'::regclass) AND attnotnull AND attnum > 0 LOOP
            EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', c.t, c.attname); END LOOP;
        END $$""")
    return made


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_history_is_named_with_its_key(name: str, project: Project, database: Database, flow: Flow) -> None:
    statement, broken = BREAKS[name]
    database.execute(statement)
    found = flow("check", "scd2", "--output", "json", expect=1).json()
    assert not found["ok"]
    assert {each["invariant"] for each in found["violations"]} == broken
    assert {str(each["key"]["id"]) for each in found["violations"]} == {"2"}


@pytest.mark.parametrize(
    ("statement", "invariant", "key"),
    [
        ("INSERT INTO dw.merge VALUES (2, 'c')", "one_row_per_key", "2"),
        ("INSERT INTO dw.merge VALUES (NULL, 'c')", "no_null_key", None),
    ],
)
def test_a_broken_merged_table_is_named_with_its_key(
    statement: str, invariant: str, key: str | None, project: Project, database: Database, flow: Flow
) -> None:
    database.execute(statement)
    found = flow("check", "merge", "--output", "json", expect=1).json()
    assert [(each["invariant"], each["key"]["id"]) for each in found["violations"]] == [(invariant, key)]
