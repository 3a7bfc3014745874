"""Rows between Postgres and a file of DuckDB: random histories against the model in both directions, and one row hash.

EMATIX_FLOW_TEST_SEED moves the seeds on.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from across import Across
from database import Database
from duckdb_file import DuckDbFile
from project import counts
from test_against_a_model import RUNS, SEED, change, found_in, history, project_of
from test_duckdb_against_a_model import SOURCE_TYPES, created, spelled, write
from warm_package import warm_package

SEEDS, HISTORIES = 1, 12


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
@pytest.mark.parametrize("direction", ["into_duckdb", "into_postgres"])
def test_random_histories_across_are_as_the_model_says(
    direction: str, seed: int, database: Database, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    histories = [history(chance, number) for number in range(HISTORIES)]
    file = DuckDbFile(tmp_path / "warehouse.duckdb")
    source, target = (database, file) if direction == "into_duckdb" else (file, database)
    source.execute(created(histories))
    database.execute("SET TimeZone = 'UTC'")
    with warm_package(tmp_path, CRM=source.dsn, WAREHOUSE=target.dsn) as flow:
        for run in range(1, RUNS + 1):
            for each in histories:
                each.run = run
                if chance.random() > 0.15:
                    change(chance, each)
            write(histories, source)
            expected = {each.name: each.expected() for each in histories}
            project = project_of(histories, Across())
            for table in project.tables.values():
                table["columns"] |= {name: of for name, of in SOURCE_TYPES.items() if name in ("b", "doc")}
            reports = project.run(flow, expect=None)
            for each in histories:
                report = reports[each.name]
                outcome = "success" if report["status"] == "success" else report["error"]["code"]
                told = (outcome, counts(report) if outcome == "success" else {})
                assert told == expected[each.name], (seed, run, each, report["error"])
                assert report["path"] == "staging"
                if each.exists:
                    assert spelled(each, found_in(each, target)) == spelled(each, each.content()), (seed, run, each)
        standing = [each.name for each in histories if each.exists and each.mode in ("merge", "scd2")]
        assert flow("check", *standing, "--output", "json").json()["violations"] == []


COLUMNS = {
    "id": "bigint",
    "small": "smallint?",
    "day": "date?",
    "at": "timestamptz?",
    "local": "timestamp?",
    "amount": "numeric(12,2)?",
    "ratio": "double?",
    "flag": "boolean?",
    "note": "text?",
    "doc": "json?",
    "raw": "bytes?",
    "uid": "uuid?",
    "code": "text?",
}
FACTS = """
CREATE TABLE facts (id bigint, small smallint, day date, at timestamptz, local timestamp, amount numeric(12,2),
  ratio double precision, flag boolean, note text, doc json, raw bytea, uid uuid, code char(4));
INSERT INTO facts VALUES
  (1, 7, '2026-02-28', '2026-02-28 12:34:56.789+01', '2026-02-28 12:34:56.000001', 12.5, 1.5, true, 'é|"',
   '{"b": 1.0, "a": null}', '\\x00ff', '00000000-0000-0000-0000-00000000000a', 'ab'),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (3, -1, '0001-01-01', 'infinity', '-infinity', -0.01, 'NaN', false, '', '[]', '', 'ffffffff-ffff-ffff-ffff-ffffffffffff', ''),
  (4, 0, 'infinity', '1969-12-31 23:59:59.999999+00', '1970-01-01', 0, '-0', NULL, 'NULL', 'null', '\\x00', NULL, 'abcd')
"""


def test_rows_have_one_hash_on_both_sides_and_across(database: Database, tmp_path: Path) -> None:
    file = DuckDbFile(tmp_path / "warehouse.duckdb")
    database.execute(FACTS)
    project = Across()
    for name in ("here", "there", "back"):
        project.table(name, COLUMNS, schema="dw")
    project.pipeline("here", "public.facts", "here", "scd2", keys=["id"])
    project.pipeline("there", "public.facts", "there", "scd2", keys=["id"], row_hash="emx1")
    project.pipeline(
        "back",
        "SELECT * EXCLUDE (valid_from, valid_to, is_current, row_hash) FROM dw.there",
        "back",
        "scd2",
        keys=["id"],
    )
    project.pipelines["here"]["target_connection"] = "crm"
    project.pipelines["back"]["source"]["connection"] = "warehouse"
    project.pipelines["back"]["target_connection"] = "crm"
    with warm_package(tmp_path, CRM=database.dsn, WAREHOUSE=file.dsn) as flow:
        for name in ("here", "there", "back"):
            assert project.run(flow, name)[name]["rows_inserted"] == 4
    here = database.rows("SELECT id, encode(row_hash, 'hex') FROM dw.here ORDER BY id")
    assert file.rows("SELECT id, lower(hex(row_hash)) FROM dw.there ORDER BY id") == here
    assert database.rows("SELECT id, encode(row_hash, 'hex') FROM dw.back ORDER BY id") == here
    assert len({digest for _, digest in here}) == 4
