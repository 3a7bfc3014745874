"""`flow add --adopt`: histories that other tools kept are taken over, and the first run opens no false version.

The tables here have the form that each tool gave them; `test_histories_of_tools.py` makes them anew by the tools.
"""

from __future__ import annotations

from typing import Any

import pytest
import tomllib
from database import Database
from flow_binary import Flow
from histories import CHANGES, SOURCE

# dbt-core 1.9.11, dbt-postgres 1.9.1: strategy check, then timestamp with hard_deletes: invalidate.
DBT_CHECK = """
CREATE SCHEMA kept;
CREATE TABLE kept.customers (id bigint, email character varying(80), balance numeric(10,2), born date,
  updated_at timestamp with time zone, dbt_scd_id text, dbt_updated_at timestamp without time zone,
  dbt_valid_from timestamp without time zone, dbt_valid_to timestamp without time zone);
INSERT INTO kept.customers SELECT *, md5(id::text), '2024-01-20', '2024-01-20', NULL FROM app.customers;
"""
DBT_TIME = """
CREATE SCHEMA kept;
CREATE TABLE kept.customers (id bigint, email character varying(80), balance numeric(10,2), born date,
  updated_at timestamp with time zone, dbt_scd_id text, dbt_updated_at timestamp with time zone,
  dbt_valid_from timestamp with time zone, dbt_valid_to timestamp with time zone);
INSERT INTO kept.customers SELECT *, md5(id::text), updated_at, updated_at, NULL FROM app.customers;
"""
# dbt-core 1.9.11 with hard_deletes: new_record.
DBT_MARKERS = """
CREATE SCHEMA kept;
CREATE TABLE kept.customers (id bigint, email character varying(80), balance numeric(10,2), born date,
  updated_at timestamp with time zone, dbt_scd_id text, dbt_updated_at timestamp without time zone,
  dbt_valid_from timestamp without time zone, dbt_valid_to timestamp without time zone, dbt_is_deleted text);
INSERT INTO kept.customers SELECT *, md5(id::text), '2024-01-20', '2024-01-20', NULL, 'False' FROM app.customers;
"""
# dlt 1.x: the scd2 strategy of merge.
DLT = """
CREATE SCHEMA kept;
CREATE TABLE kept.customers (balance numeric(10,2), _dlt_valid_from timestamp with time zone,
  _dlt_valid_to timestamp with time zone, id bigint, email character varying, born date,
  updated_at timestamp with time zone, _dlt_load_id character varying NOT NULL, _dlt_id character varying NOT NULL);
INSERT INTO kept.customers SELECT balance, '2024-01-20Z', NULL, id, email, born, updated_at, '1795915720.07', md5(id::text)
  FROM app.customers;
"""
# SQLMesh 0.x: SCD_TYPE_2_BY_COLUMN.
SQLMESH = """
CREATE SCHEMA sqlmesh__shop;
CREATE TABLE sqlmesh__shop.shop__customers__1050484882 (id bigint, email character varying(80), balance numeric(10,2),
  born date, updated_at timestamp with time zone, valid_from timestamp without time zone,
  valid_to timestamp without time zone);
INSERT INTO sqlmesh__shop.shop__customers__1050484882 SELECT *, '1970-01-01', NULL FROM app.customers;
CREATE SCHEMA shop;
CREATE VIEW shop.customers AS SELECT * FROM sqlmesh__shop.shop__customers__1050484882;
"""
# ematix-flow 1.0.0 from PyPI, with the metadata that it keeps.
EMATIX = """
CREATE SCHEMA kept;
CREATE TABLE kept.customers (id bigint NOT NULL, email character varying(80), balance numeric(10,2), born date,
  updated_at timestamp with time zone, valid_from timestamp with time zone NOT NULL, valid_to timestamp with time zone,
  is_current boolean NOT NULL, row_hash bytea NOT NULL, _loaded_at timestamp with time zone NOT NULL,
  _batch_id uuid NOT NULL, PRIMARY KEY (id, valid_from));
INSERT INTO kept.customers SELECT *, '2024-01-20Z', NULL, true, 'theirs', '2024-01-20Z', gen_random_uuid() FROM app.customers;
CREATE SCHEMA ematix_flow;
CREATE TABLE ematix_flow.run_history (run_id uuid PRIMARY KEY, pipeline_name text NOT NULL, target_schema text NOT NULL,
  target_table text NOT NULL, mode text NOT NULL, path text NOT NULL, started_at timestamptz NOT NULL,
  finished_at timestamptz, status text NOT NULL, rows_inserted bigint, error_message text, rows_updated bigint,
  rows_unchanged bigint, parent_run_id uuid, step_name text, metrics_json text);
CREATE TABLE ematix_flow.watermarks (pipeline_name text PRIMARY KEY, column_name text NOT NULL, last_value text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now());
"""
BY_HAND = """
CREATE SCHEMA kept;
CREATE TABLE kept.customers (customer_sk integer PRIMARY KEY, id bigint NOT NULL, email varchar(80), balance numeric(10,2),
  born date, updated_at timestamptz, begins timestamptz NOT NULL, ends timestamptz NOT NULL, current char(1) NOT NULL);
INSERT INTO kept.customers SELECT id + 10, app.customers.*, '2024-01-20Z', '9999-12-31Z', 'Y' FROM app.customers;
"""
NAMED = ("--effective-from", "begins", "--effective-to", "ends", "--current-flag", "current")
ADD = ("add", "app.customers", "--from", "default", "--adopt")


def pipeline_of(flow: Flow) -> dict[str, Any]:
    [spec] = tomllib.loads((flow.directory / "pipelines.toml").read_text())["pipelines"].values()
    return spec


def counts(flow: Flow) -> tuple[int, int, int]:
    report = flow("run", "customers", "--output", "json").json()
    return (report["rows_inserted"], report["rows_closed_out"], report["rows_unchanged"])


def goes_on(flow: Flow, database: Database, table: str, begin: str, end: str) -> None:
    """The first run finds nothing to do, the next closes and opens what changed, and the history stays sound."""
    versions = f"SELECT id, email, {begin}::text, {end}::text FROM {table} ORDER BY id, {begin}"
    before = database.rows(versions)
    assert counts(flow) == (0, 0, 3)
    assert database.rows(versions) == before
    flow("check", "customers")
    database.execute(CHANGES)
    closes = pipeline_of(flow).get("handle_deletes") == "soft"
    assert counts(flow) == (2, 2 if closes else 1, 1)
    emails = f"SELECT email, {end} IN ('infinity') OR {end} IS NULL FROM {table} WHERE id = 1 ORDER BY {begin}"
    assert database.rows(emails)[-2:] == [("ada@example.com", False), ("ada@example.org", True)]
    flow("check", "customers")
    assert counts(flow) == (0, 0, 3)


@pytest.mark.parametrize(("made", "is_local"), [(DBT_CHECK, True), (DBT_TIME, False)], ids=["check", "timestamp"])
def test_a_dbt_snapshot_goes_on(flow: Flow, database: Database, made: str, is_local: bool) -> None:
    database.execute(SOURCE + made)
    said = flow(*ADD, "kept.customers").stdout
    assert "is a dbt snapshot" in said
    assert ("no time zone" in said) is is_local
    assert (
        (flow.directory / "pipelines.toml").read_text()
        == """\
[tables.customers]
schema = "kept"
natural_key = ["id"]

[tables.customers.columns]
id = "bigint?"
email = "string(80)?"
balance = "numeric(10,2)?"
born = "date?"
updated_at = "timestamptz?"

[pipelines.customers]
source = { connection = "default", table = "app.customers" }
target = "customers"
mode = "scd2"
effective_from = "dbt_valid_from"
effective_to = "dbt_valid_to"
current_flag = "dbt_is_current"
hash_column = "dbt_row_hash"
migrate = true  # the first run adds what the history lacks
on_drift = "ignore"  # columns stay as their tool made them
"""
    )
    written = (flow.directory / "pipelines.toml").read_bytes()
    goes_on(flow, database, "kept.customers", "dbt_valid_from", "dbt_valid_to")
    assert "nothing to add" in flow(*ADD, "kept.customers").stderr
    assert (flow.directory / "pipelines.toml").read_bytes() == written


def test_rows_in_which_dbt_marks_a_deletion_leave_the_history_and_are_kept_beside_it(
    flow: Flow, database: Database
) -> None:
    database.execute(SOURCE + DBT_MARKERS)
    database.execute("""
        INSERT INTO kept.customers SELECT 9, 'gone', 0, NULL, NULL, 'x', '2024-01-20', '2024-01-20', '2024-01-25', 'False';
        INSERT INTO kept.customers SELECT 9, 'gone', 0, NULL, NULL, 'y', '2024-01-25', '2024-01-25', NULL, 'True';
    """)
    error = flow(*ADD, "kept.customers", "--output", "json", expect=4).json()["errors"][0]
    assert [(each["rule"], each["count"], each["sample"]) for each in error["context"]["findings"]] == [
        ("no_deletion_marker", 1, [["9"]])
    ]
    flow(*ADD, "kept.customers", "--fix", "--yes")
    assert database.value("SELECT count(*) FROM kept.customers_set_aside WHERE dbt_is_deleted = 'True'") == 1
    assert pipeline_of(flow)["handle_deletes"] == "soft"
    goes_on(flow, database, "kept.customers", "dbt_valid_from", "dbt_valid_to")
    # A key that returns leaves its gap.
    database.execute("INSERT INTO app.customers VALUES (9, 'gone', 0, NULL, now())")
    assert counts(flow) == (1, 0, 3)


def test_a_history_of_dlt_goes_on_once_its_own_columns_may_be_null(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + DLT)
    refused = flow(*ADD, "kept.customers", expect=4)
    assert "the column _dlt_load_id cannot be NULL, has no default, and nothing fills it" in refused.stderr
    assert not (flow.directory / "pipelines.toml").exists()
    plan = flow(*ADD, "kept.customers", "--fix", "--output", "json").json()
    assert (plan["schema"], plan["made_by"], plan["keys"]) == ("ematix.adopt.v1", "dlt", ["id"])
    assert plan["statements"] == [
        'ALTER TABLE "kept"."customers" ALTER COLUMN "_dlt_load_id" DROP NOT NULL',
        'ALTER TABLE "kept"."customers" ALTER COLUMN "_dlt_id" DROP NOT NULL',
    ]
    assert not (flow.directory / "pipelines.toml").exists()
    # What is printed is what settles it, run by whoever.
    database.execute(";".join(plan["statements"]))
    flow(*ADD, "kept.customers")
    goes_on(flow, database, "kept.customers", "_dlt_valid_from", "_dlt_valid_to")


def test_a_history_of_sqlmesh_goes_on_behind_its_view(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + SQLMESH)
    refused = flow(*ADD, "shop.customers", expect=4)
    assert "it shows sqlmesh__shop.shop__customers__1050484882: take that over" in refused.stderr
    said = flow(*ADD, "sqlmesh__shop.shop__customers__1050484882").stdout
    assert "is a history of SQLMesh" in said
    goes_on(flow, database, "sqlmesh__shop.shop__customers__1050484882", "valid_from", "valid_to")
    assert database.value("SELECT count(*) FROM shop.customers") == 5


def test_a_history_of_an_earlier_ematix_flow_goes_on_with_hashes_of_ours(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + EMATIX)
    refused = flow(*ADD, "kept.customers", expect=4)
    assert "the schema ematix_flow holds the metadata of an earlier ematix-flow" in refused.stderr
    flow(*ADD, "kept.customers", "--fix", "--yes")
    assert database.value("SELECT count(*) FROM ematix_flow_before.run_history") == 0
    goes_on(flow, database, "kept.customers", "valid_from", "valid_to")
    assert database.value("SELECT count(*) FROM kept.customers WHERE is_current AND row_hash = 'theirs'") == 0


def test_a_run_beside_the_metadata_of_an_earlier_ematix_flow_says_what_to_do(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + EMATIX)
    flow.project('[pipelines.c]\nsource = { table = "app.customers" }\ntarget = "mirror.customers"\nmode = "merge"\n')
    error = flow("run", "c", "--output", "json", expect=4).json()["error"]
    assert error["code"] == "drift"
    database.execute(error["hint"].rpartition(": ")[2])
    assert flow("run", "c", "--output", "json").json()["rows_inserted"] == 3


def test_a_history_by_hand_is_named_by_flags_and_brought_to_form(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + BY_HAND)
    assert "--effective-from COLUMN" in flow(*ADD, "kept.customers", expect=4).stderr
    findings = flow(*ADD, "kept.customers", *NAMED, "--fix", "--output", "json").json()["findings"]
    assert [each["rule"] for each in findings] == ["column_type", "fillable", "one_open_end"]
    flow(*ADD, "kept.customers", *NAMED, "--fix", "--yes")
    assert pipeline_of(flow)["open_end"] == "infinity"
    goes_on(flow, database, "kept.customers", "begins", "ends")
    assert database.value("SELECT max(customer_sk) FROM kept.customers") == 15
    assert database.value("SELECT count(*) FROM kept.customers WHERE current") == 4


def test_every_broken_rule_is_told_with_counts_and_samples_and_settled(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + DBT_TIME)
    database.execute("""
        ALTER TABLE kept.customers ADD COLUMN valid boolean;
        UPDATE kept.customers SET valid = true;
        INSERT INTO kept.customers (id, email, dbt_valid_from, dbt_valid_to, valid) VALUES
          (NULL, 'no key', '2020-01-01Z', NULL, true),
          (1, 'overlaps', '2020-01-01Z', '2024-01-15Z', false), (1, 'backwards', '2021-01-01Z', '2019-01-01Z', false),
          (2, 'also current', '2020-01-01Z', NULL, true), (2, 'unbegun', NULL, '2019-01-01Z', false),
          (3, 'twice', '2024-01-01 12:00Z', '2024-01-05Z', false), (3, 'infinite', '2019-01-01Z', 'infinity', true);
        INSERT INTO kept.customers (id, dbt_valid_from, dbt_valid_to, valid)
          SELECT n, '2020-01-01Z', '2019-01-01Z', false FROM generate_series(101, 107) AS n;
    """)
    named = (*ADD, "kept.customers", "--current-flag", "valid", "--keys", "id")
    error = flow(*named, "--output", "json", expect=4).json()["errors"][0]
    found = {each["rule"]: (each["count"], each["sample"]) for each in error["context"]["findings"]}
    assert found == {
        "no_null_key": (1, [[None]]),
        "has_a_beginning": (1, [["2"]]),
        "one_open_end": (1, [["3"]]),
        "begins_before_it_ends": (8, [["1"], ["101"], ["102"], ["103"], ["104"]]),
        "one_version_at_a_time": (1, [["3"]]),
        "one_current_version": (2, [["2"], ["3"]]),
        "no_overlap": (3, [["1"], ["3"], ["3"]]),
    }
    before = database.rows("SELECT t::text FROM kept.customers AS t ORDER BY 1")
    plan = flow(*named, "--fix")
    assert "--fix --yes runs these statements" in plan.stderr
    assert database.rows("SELECT t::text FROM kept.customers AS t ORDER BY 1") == before
    assert not (flow.directory / "pipelines.toml").exists()
    flow(*named, "--fix", "--yes")
    assert database.value("SELECT count(*) FROM kept.customers_set_aside") == 10
    goes_on(flow, database, "kept.customers", "dbt_valid_from", "dbt_valid_to")


def test_what_no_statement_settles_is_told_and_nothing_is_changed(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + DLT)
    database.execute("UPDATE kept.customers SET _dlt_valid_from = now() + interval '1 day' WHERE id = 2")
    refused = flow(*ADD, "kept.customers", "--fix", "--yes", expect=4)
    assert "begins_before_now: the current version begins in the future (1: 2)" in refused.stderr
    nullable = (
        "SELECT is_nullable FROM information_schema.columns WHERE table_name = 'customers' AND column_name = '_dlt_id'"
    )
    assert database.value(nullable) == "NO"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--keys", "nope"), 2, "do not both have the column `nope` (--keys)"),
        (("--effective-from", "nope"), 2, "no column `nope`, which --effective-from names"),
        (("--mode", "merge"), 2, "merge keeps none"),
        (("--to", "nowhere"), 2, "nowhere"),
    ],
)
def test_a_wrong_command_line_is_told(
    flow: Flow, database: Database, arguments: tuple[str, ...], code: int, words: str
) -> None:
    database.execute(SOURCE + DBT_TIME)
    assert words in flow(*ADD, "kept.customers", *arguments, expect=code).stderr


def test_a_history_that_is_not_there_and_one_of_several_tables_are_told(flow: Flow, database: Database) -> None:
    database.execute(SOURCE + DBT_TIME + "CREATE TABLE app.other (id int);")
    assert "there is no table kept.nope" in flow(*ADD, "kept.nope", expect=2).stderr
    several = flow("add", "app.*", "--from", "default", "--adopt", "kept.customers", expect=2)
    assert "the history of one table" in several.stderr
    assert "names no schema" in flow(*ADD, "customers", expect=2).stderr
