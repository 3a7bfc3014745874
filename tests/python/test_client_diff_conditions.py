"""Where the comparison in the client is not taken: the reason is said, and whoever insists on it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import counts

COLUMNS = {"id": "bigint", "name": "text?", "revision": "bigint"}
SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, name text, revision bigint NOT NULL);
INSERT INTO app.customers SELECT n, 'customer ' || n, 0 FROM generate_series(1, 10) AS n;
"""


@dataclass
class Case:
    """Why the rows are staged by a second run, and how it comes to that."""

    reason: str
    # Where the file alone tells, in other words.
    refused: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    later: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=lambda: dict(COLUMNS))
    query: str = "SELECT * FROM app.customers"
    mode: str = "scd2"
    given: str = ""
    meanwhile: str = ""


CASES = {
    "another strategy": Case("", "compares the row hashes of a history", mode="merge"),
    "incremental": Case(
        "incremental_column reads a part of the source only",
        options={"incremental_column": "revision", "lookback": 100},
    ),
    "overwritten columns": Case("overwrite_columns are not in the row hash", options={"overwrite_columns": ["name"]}),
    "the latest of a key": Case(
        'on_duplicate = "latest" ranks the rows of a key', options={"on_duplicate": "latest", "order_by": "revision"}
    ),
    "other compare columns": Case(
        "the stored hashes are not of these compare columns",
        options={"compare_columns": ["name"]},
        later={"compare_columns": ["name", "revision"]},
    ),
    "a partitioned table": Case(
        "the target's rows lie in several tables",
        given="""
        CREATE SCHEMA dw;
        CREATE TABLE dw.t (id bigint NOT NULL, name text, revision bigint NOT NULL, valid_from timestamptz NOT NULL,
            valid_to timestamptz, is_current boolean NOT NULL, row_hash bytea NOT NULL) PARTITION BY HASH (id);
        CREATE TABLE dw.t_0 PARTITION OF dw.t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE dw.t_1 PARTITION OF dw.t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE UNIQUE INDEX ON dw.t (id) WHERE is_current;
        CREATE UNIQUE INDEX ON dw.t (id, valid_from);
        """,
    ),
    "a cast": Case(
        "an INSERT casts a column",
        query="SELECT id, name, revision::numeric AS revision FROM app.customers",
    ),
    "a key of citext": Case(
        "the key code of type citext may be equal in different bytes",
        options={"keys": "code"},
        columns={"code": "citext", "revision": "bigint"},
        query="SELECT name::citext AS code, revision FROM app.customers",
        given="CREATE EXTENSION citext",
    ),
    "a key of interval": Case(
        "the key code of type interval may be equal in different bytes",
        options={"keys": "code"},
        columns={"code": "interval", "revision": "bigint"},
        query="SELECT id * interval '1 day' AS code, revision FROM app.customers",
    ),
    "a key of an array": Case(
        "the key code of type text[] may be equal in different bytes",
        options={"keys": "code"},
        columns={"code": "text[]", "revision": "bigint"},
        query="SELECT ARRAY[name] AS code, revision FROM app.customers",
    ),
    "too many keys": Case(
        "about 1200000 current versions are more than 1100000 that the client keeps",
        # What the server believes is what counts before a row is read.
        meanwhile="UPDATE pg_class SET reltuples = 1200000 WHERE oid = (SELECT indexrelid FROM pg_index WHERE indrelid ="
        " 'dw.t'::regclass AND indpred IS NOT NULL AND indisunique AND pg_get_expr(indpred, indrelid) ~ 'is_current')",
    ),
}


def project(case: Case, **options: Any) -> Across:
    made = Across()
    made.table("t", case.columns, schema="dw")
    made.pipeline("p", case.query, "t", case.mode, **{"keys": "id", **case.options, **options})
    return made


@pytest.fixture
def source(database: Database, new_database: Callable[[], Database], flow: Flow) -> Database:
    source = new_database()
    connect(flow, source, database)
    source.execute(SOURCE)
    return source


def impossible(made: Across, flow: Flow) -> str:
    """The words with which `force_path = "client_diff"` is refused."""
    flow.project(made.text())
    finished = flow("run", "p", "--force-path", "client_diff", "--output", "json", expect=2)
    document = finished.json()
    # An impossible wish that the file alone tells has no run.
    [error] = document["errors"] if "errors" in document else [document["error"]]
    assert error["code"] == "path_impossible", finished
    return str(error["message"])


@pytest.mark.parametrize("name", CASES)
def test_rows_are_staged_for_a_reason(name: str, source: Database, database: Database, flow: Flow) -> None:
    case = CASES[name]
    for place in (source, database):
        if "EXTENSION" in case.given:
            place.execute(case.given)
    if case.given and "EXTENSION" not in case.given:
        database.execute(case.given)
    project(case).run(flow)
    source.execute("UPDATE app.customers SET revision = 1, name = name || '!' WHERE id <= 3")
    if case.meanwhile:
        database.execute(case.meanwhile)
    made = project(case, **case.later)
    key = "id" if "id" in case.columns else "code"
    before = database.rows(f"SELECT * FROM dw.t ORDER BY {key}::text, revision")
    assert (case.refused or case.reason) in impossible(made, flow)
    assert database.rows(f"SELECT * FROM dw.t ORDER BY {key}::text, revision") == before
    report = made.run(flow)["p"]
    assert report["path"] == "staging"
    if case.mode == "scd2":
        assert report["path_reason"] == f"source crm is another database; staged: {case.reason}"
    changed = database.value("SELECT count(*) FROM dw.t WHERE revision = 1")
    assert changed == 3


def test_a_table_that_is_not_there_yet_is_staged(source: Database, flow: Flow) -> None:
    made = project(Case(""))
    assert "the table does not exist yet" in impossible(made, flow)
    report = made.run(flow)["p"]
    assert report["path_reason"] == "source crm is another database; staged: the table does not exist yet"


def test_a_key_that_ignores_case_is_staged(source: Database, database: Database, flow: Flow) -> None:
    database.execute("""
        CREATE COLLATION public.careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE SCHEMA dw;
        CREATE TABLE dw.t (name text COLLATE public.careless NOT NULL, revision bigint NOT NULL);
    """)
    made = Across()
    made.table("t", {"name": "text", "revision": "bigint"}, schema="dw")
    made.pipeline("p", "SELECT name, revision FROM app.customers", "t", "scd2", keys="name", migrate=True)
    made.run(flow)
    source.execute("UPDATE app.customers SET name = upper(name) WHERE id <= 3")
    assert "the key name of type text may be equal in different bytes" in impossible(made, flow)
    report = made.run(flow)["p"]
    assert (report["path"], counts(report)) == ("staging", {"in": 10, "unchanged": 10})


@pytest.mark.parametrize("broken", ["NULL", "'\\x00'", "sha256('') || '\\x00'"])
def test_a_hash_that_is_not_ours_sends_the_rows_over_the_stage(
    broken: str, source: Database, database: Database, flow: Flow
) -> None:
    made = project(Case(""), handle_deletes="soft")
    made.run(flow)
    database.execute(f"ALTER TABLE dw.t ALTER row_hash DROP NOT NULL; UPDATE dw.t SET row_hash = {broken} WHERE id = 4")
    source.execute("UPDATE app.customers SET revision = 1 WHERE id <= 2; DELETE FROM app.customers WHERE id = 9")
    assert "a current version has no row hash of ours" in impossible(made, flow)
    for command in ("dry-run", "run"):
        report = made.run(flow, command=command)["p"]
        assert report["path"] == "staging"
        assert report["path_reason"] == (
            "source crm is another database; staged: a current version has no row hash of ours"
        )
        assert counts(report) == {"in": 9, "inserted": 2, "unchanged": 7, "closed_out": 3, "deleted": 1}
    rows = database.rows("SELECT id, revision FROM dw.t WHERE is_current ORDER BY id")
    assert rows == source.rows("SELECT id, revision FROM app.customers ORDER BY id")


MANY = 1_100_001
GENERATED = Case(
    "",
    query="SELECT nullif(n, 1100001) AS id, '' AS name, 0 AS revision"
    " FROM generate_series(1, current_setting('app.n')::bigint) AS n",
)


@pytest.mark.long
def test_more_new_keys_than_the_client_keeps_begin_the_run_again(
    source: Database, database: Database, flow: Flow
) -> None:
    """Statistics say nothing of them: found out while the rows pass. The stage's guards then see the last row too."""
    made = project(GENERATED)
    source.execute(f"ALTER DATABASE {source.name} SET app.n = 1")
    made.run(flow)
    source.execute(f"ALTER DATABASE {source.name} SET app.n = {MANY + 1}")
    report = made.run(flow, expect=4)["p"]
    assert report["path_reason"] == "source crm is another database; staged: there are more than 1100000 keys"
    assert (report["path"], report["error"]["code"]) == ("staging", "null_key")
    assert report["error"]["message"] == "1 row of `p` has NULL in its key (id)"
    assert database.value("SELECT count(*) FROM dw.t") == 1


@pytest.mark.slow
def test_more_current_versions_than_the_client_keeps_begin_the_run_again(
    source: Database, database: Database, flow: Flow
) -> None:
    made = project(GENERATED)
    source.execute(f"ALTER DATABASE {source.name} SET app.n = 1")
    made.run(flow)
    database.execute(f"""
        ALTER TABLE dw.t SET (autovacuum_enabled = off);
        INSERT INTO dw.t (id, name, revision, valid_from, is_current, row_hash)
        SELECT n, '', 0, valid_from, true, row_hash FROM dw.t CROSS JOIN generate_series(2, {MANY}) AS n;
    """)
    source.execute(f"ALTER DATABASE {source.name} SET app.n = 2")
    report = made.run(flow)["p"]
    assert report["path_reason"] == "source crm is another database; staged: there are more than 1100000 keys"
    assert (report["path"], counts(report)) == ("staging", {"in": 2, "unchanged": 2})
