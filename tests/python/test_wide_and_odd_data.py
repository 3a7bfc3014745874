"""Data that is wide, long or odd, and tables with all that Postgres lets a table have."""

from __future__ import annotations

import pytest
from database import Database
from flow_binary import Flow
from project import Project, counts

MODES = ("append", "truncate", "merge", "scd2")


def with_key(mode: str, key: str = "id") -> dict[str, str]:
    return {} if mode == "append" else {"primary_key": key}


def second_run(mode: str, rows: int, changed: int) -> dict[str, int]:
    """The counts of a run that finds `changed` of `rows` rows changed."""
    expected = {
        "append": {"in": rows, "inserted": rows},
        "truncate": {"in": rows, "inserted": rows},
        "merge": {"in": rows, "updated": changed, "unchanged": rows - changed},
        "scd2": {"in": rows, "inserted": changed, "closed_out": changed, "unchanged": rows - changed},
    }[mode]
    return {name: n for name, n in expected.items() if n}


def test_200_columns_pass_in_every_mode(database: Database, flow: Flow) -> None:
    names = [f"column_{number}" for number in range(200)]
    database.execute(
        f"CREATE SCHEMA app; CREATE TABLE app.wide (id integer PRIMARY KEY, {', '.join(f'{name} text' for name in names)});"
        f"INSERT INTO app.wide SELECT i, {', '.join(f'i || {number}::text' for number in range(200))}"
        f" FROM generate_series(1, 3) AS i"
    )
    project = Project()
    for mode in MODES:
        project.table(mode, {"id": "integer", **{name: "text?" for name in names}}, schema="dw", **with_key(mode))
        project.pipeline(mode, "app.wide", mode, mode)
    for report in project.run(flow).values():
        assert counts(report) == {"in": 3, "inserted": 3}
    database.execute("UPDATE app.wide SET column_199 = NULL WHERE id = 2")
    sampled = project.run(flow, "merge", "scd2", "--sample", "5", command="dry-run")
    assert [sampled[mode]["sample"][0]["new"]["column_199"] for mode in ("merge", "scd2")] == [None, None]
    assert [sampled[mode]["sample"][0]["old"]["column_199"] for mode in ("merge", "scd2")] == ["2199", "2199"]
    reports = project.run(flow)
    for mode in MODES:
        assert counts(reports[mode]) == second_run(mode, 3, 1)


def test_long_values_pass_whole_and_a_late_difference_is_seen(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.long (id integer PRIMARY KEY, t text, b bytea);"
        "INSERT INTO app.long SELECT i, repeat('aé', 500000) || i, decode(repeat('00ff', 500000), 'hex')"
        " FROM generate_series(1, 2) AS i"
    )
    project = Project()
    for mode in MODES:
        project.table(mode, {"id": "integer", "t": "text?", "b": "bytes?"}, schema="dw", **with_key(mode))
        project.pipeline(mode, "app.long", mode, mode)
    project.run(flow)
    database.execute(
        "UPDATE app.long SET t = left(t, -1) || 'x' WHERE id = 1;"
        r"UPDATE app.long SET b = set_byte(b, length(b) - 1, 0) WHERE id = 2"
    )
    reports = project.run(flow)
    for mode in MODES:
        assert counts(reports[mode]) == second_run(mode, 2, 2)
    same = "SELECT count(*) FROM dw.{0} AS t JOIN app.long AS s USING (id) WHERE t.t = s.t AND t.b = s.b"
    assert [database.value(same.format(mode)) for mode in MODES] == [2, 2, 2, 2]


def test_values_at_the_edges_of_their_types_come_over_as_they_are(database: Database, flow: Flow) -> None:
    database.execute(r"""
        CREATE SCHEMA app;
        CREATE TABLE app.odd (id integer PRIMARY KEY, d date, at timestamptz, local timestamp, span interval, coin money,
                              doc json, docb jsonb, list integer[], grid text[][], raw bytea, big numeric, f double precision,
                              r daterange, bits bit(3), padded char(4), ip inet, page xml, box box, words tsvector);
        INSERT INTO app.odd VALUES
          (1, '4713-01-01 BC', '4713-01-01 00:00+00 BC', '4713-01-01 BC', '-178000000 years', '-92233720368547758.08',
           '{"a": 1, "a": 2, "\u0000": 1}', '{"a": 1e-7}', '{NULL,1,NULL}', '{{a,NULL},{"",","}}', '\x00', 'NaN', 'NaN',
           'empty', '000', '', '::1', '<a> </a>', '(1,1),(0,0)', 'a:1 b'),
          (2, '5874897-12-31', '294276-12-31 23:59:59.999999+00', 'infinity', '178000000 years', '92233720368547758.07',
           '[]', 'null', '{}', '{}', '\x', '1e1000', '-infinity', '(,)', '111', 'é', '0.0.0.0/0', '', '(0,0),(0,0)', ''),
          (3, '-infinity', '-infinity', '-infinity', '1 mon -30 days 24:00:00', 0, '"\ud83e\udd80"', '"🦀"', '[-2:-1]={1,2}',
           '{{{a}}}', NULL, '0.000', '5e-324', '[2026-01-01,infinity)', NULL, 'ab  ', NULL, NULL, NULL, NULL);
    """)
    types = database.rows(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'app.odd'::regclass AND attnum > 1 ORDER BY attnum"
    )
    project = Project()
    for mode in MODES:
        for way, source in (("in_place", "app.odd"), ("staged", "SELECT * FROM app.odd ORDER BY id")):
            table = f"{mode}_{way}"
            declared = {name: f"{of}?" for name, of in types}
            project.table(table, {"id": "integer", **declared}, schema="dw", **with_key(mode))
            project.pipeline(table, source, table, mode)
    for report in project.run(flow).values():
        assert counts(report) == {"in": 3, "inserted": 3}
    names = ", ".join(name for name, _ in types)
    for table in project.tables:
        left = database.rows(f"SELECT record_send(ROW(id, {names})) FROM dw.{table} ORDER BY id")
        assert left == database.rows(f"SELECT record_send(ROW(id, {names})) FROM app.odd ORDER BY id")
    reports = project.run(flow)
    for table in project.tables:
        assert counts(reports[table]) == second_run(table.split("_")[0], 3, 0)
    # A json that jsonb cannot hold is shown all the same.
    database.execute("UPDATE app.odd SET big = 0, f = 'NaN', span = NULL")
    sampled = project.run(flow, "merge_staged", "scd2_staged", "--sample", "3", command="dry-run")
    for report in sampled.values():
        assert [row["old"]["big"] for row in report["sample"]] == ["NaN", 10**1000, 0]
    assert "e1000" not in flow("history", "scd2_staged", "--key", "2", "--output", "json").stdout
    [version] = flow("history", "scd2_staged", "--key", "2", "--output", "json").json()["versions"]
    assert version["values"]["big"] == 10**1000
    flow("history", "scd2_staged", "--key", "1")


def test_a_table_of_others_keeps_what_it_has(database: Database, flow: Flow) -> None:
    """A generated column, an identity, a default, a trigger, a foreign key, and partitions of unlike layout."""
    database.execute("""
        CREATE SCHEMA app; CREATE SCHEMA dw;
        CREATE TABLE dw.places (code text PRIMARY KEY); INSERT INTO dw.places VALUES ('x'), ('y');
        CREATE TABLE dw.people (
          serial bigint GENERATED ALWAYS AS IDENTITY, id integer PRIMARY KEY, name text,
          shout text GENERATED ALWAYS AS (upper(name)) STORED, place text REFERENCES dw.places, touched integer DEFAULT 0);
        CREATE FUNCTION dw.touch() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN NEW.touched := coalesce(NEW.touched, 0) + 1; RETURN NEW; END $$;
        CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON dw.people FOR EACH ROW EXECUTE FUNCTION dw.touch();
        CREATE TABLE app.people (id integer PRIMARY KEY, name text, place text);
        INSERT INTO app.people VALUES (1, 'ada', 'x'), (2, 'bob', 'y');
    """)
    project = Project()
    columns = {"id": "integer", "name": "text?", "place": "text?", "touched": {"type": "integer?", "default": 0}}
    project.table("people", columns, schema="dw", primary_key="id")
    project.pipeline("people", "app.people", "people", "merge")
    assert counts(project.run(flow)["people"]) == {"in": 2, "inserted": 2}
    database.execute("UPDATE app.people SET name = 'bea' WHERE id = 2")
    assert counts(project.run(flow)["people"]) == {"in": 2, "updated": 1, "unchanged": 1}
    assert database.rows("SELECT * FROM dw.people ORDER BY id") == [
        (1, 1, "ada", "ADA", "x", 1),
        (2, 2, "bea", "BEA", "y", 2),
    ]
    database.execute("UPDATE app.people SET place = 'nowhere' WHERE id = 1")
    report = project.run(flow, expect=1)["people"]
    assert report["error"]["code"] == "target_failed"
    assert report["error"]["context"]["constraint"] == "people_place_fkey"
    assert database.value("SELECT string_agg(place, '' ORDER BY id) FROM dw.people") == "xy"


@pytest.mark.parametrize("staged", (False, True), ids=("in_place", "staged"))
@pytest.mark.parametrize("mode", MODES)
def test_rows_of_a_partitioned_target_are_found_in_their_own_partition(
    mode: str, staged: bool, database: Database, flow: Flow
) -> None:
    """Rows of two partitions have the same address within their files; a row may move to another partition."""
    managed = {
        "append": "",
        "truncate": "",
        "merge": ", is_deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (id)",
        "scd2": ", valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL,"
        " row_hash bytea NOT NULL, PRIMARY KEY (id, valid_from)",
    }[mode]
    database.execute(f"""
        CREATE SCHEMA app; CREATE SCHEMA dw;
        CREATE TABLE dw.t (id integer, v text{managed}) PARTITION BY LIST (id);
        CREATE TABLE dw.t1 PARTITION OF dw.t FOR VALUES IN (1, 4);
        CREATE TABLE dw.t2 (v text, id integer{managed});
        ALTER TABLE dw.t ATTACH PARTITION dw.t2 FOR VALUES IN (2, 5);
        CREATE TABLE dw.t3 PARTITION OF dw.t DEFAULT;
        CREATE TABLE app.s (id integer PRIMARY KEY, v text);
        INSERT INTO app.s VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e');
    """)
    if mode == "scd2":
        database.execute("CREATE UNIQUE INDEX ON dw.t (id) WHERE is_current")
    project = Project()
    project.table("t", {"id": "integer", "v": "text?"}, schema="dw", **with_key(mode))
    options: dict[str, object] = {"handle_deletes": "soft"} if mode in ("merge", "scd2") else {}
    if mode == "append":
        options = {"loaded_at_column": False, "batch_id_column": False}
    project.pipeline("t", "SELECT * FROM app.s WHERE id > 0" if staged else "app.s", "t", mode, **options)
    assert counts(project.run(flow)["t"]) == {"in": 5, "inserted": 5}
    database.execute("UPDATE app.s SET v = v || '!' WHERE id IN (1, 2, 3)")
    assert counts(project.run(flow)["t"]) == second_run(mode, 5, 3)
    database.execute("DELETE FROM app.s WHERE id = 1; UPDATE app.s SET v = 'z' WHERE id = 2")
    report = project.run(flow)["t"]
    live = {"merge": "NOT is_deleted", "scd2": "is_current"}.get(mode, "v IN ('b!', 'z', 'c!', 'd', 'e')")
    if mode == "merge":
        assert counts(report) == {"in": 4, "updated": 1, "unchanged": 3, "deleted": 1}
    if mode == "scd2":
        assert counts(report) == {"in": 4, "inserted": 1, "unchanged": 3, "deleted": 1, "closed_out": 2}
    if mode in ("merge", "scd2", "truncate"):
        left = database.rows(f"SELECT id, v FROM dw.t WHERE {live} ORDER BY id")
        assert left == [(2, "z"), (3, "c!"), (4, "d"), (5, "e")]
    else:
        assert database.value("SELECT count(*) FROM dw.t") == 14


def test_a_hard_delete_in_a_partitioned_target_takes_the_right_row(database: Database, flow: Flow) -> None:
    database.execute("""
        CREATE SCHEMA app; CREATE SCHEMA dw;
        CREATE TABLE dw.t (id integer PRIMARY KEY, v text) PARTITION BY HASH (id);
        CREATE TABLE dw.t1 PARTITION OF dw.t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE dw.t2 PARTITION OF dw.t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE app.s AS SELECT i AS id, 'v' AS v FROM generate_series(1, 12) AS i;
    """)
    project = Project()
    project.table("t", {"id": "integer", "v": "text?"}, schema="dw", primary_key="id")
    project.pipeline("t", "app.s", "t", "merge", handle_deletes="hard")
    project.run(flow)
    database.execute("DELETE FROM app.s WHERE id IN (3, 8)")
    assert counts(project.run(flow)["t"]) == {"in": 10, "unchanged": 10, "deleted": 2}
    assert database.value("SELECT count(*) FROM dw.t JOIN app.s USING (id)") == 10


def test_what_is_declared_of_a_table_is_made(database: Database, flow: Flow) -> None:
    """Defaults, comments, unique constraints, indexes with method and condition, storage parameters."""
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id, 'a' AS code, ARRAY['x'] AS tags")
    project = Project()
    project.table(
        "t",
        {
            "id": {"type": "integer", "description": "it's \\ {the} $1 key"},
            "code": {"type": "string(5)?", "unique": True},
            "tags": "text[]?",
            "n": {"type": "numeric(6,2)?", "default": -12.5},
            "m": {"type": "integer", "default": -3},
            "quoted": {"type": "text?", "default": 'it\'s {a} \\ "b" $1'},
            "yes": {"type": "boolean?", "default": True},
            "at": {"type": "timestamptz", "default": {"sql": "now() -- {x}"}},
            "doc": {"type": "jsonb?", "default": {"sql": '\'{"a": "{b}"}\'::jsonb'}},
        },
        schema="dw",
        description="all {that} a table's may have",
        primary_key="id",
        unique=[["id", "code"]],
        indexes=[
            "code",
            {"columns": ["tags"], "name": "Tags {1}", "using": "gin", "where": "tags IS NOT NULL -- {x}"},
            {"columns": ["id", "n"], "unique": True},
        ],
        options={"fillfactor": 80, "toast.autovacuum_enabled": False},
    )
    project.pipeline("t", "app.s", "t", "merge")
    assert counts(project.run(flow)["t"]) == {"in": 1, "inserted": 1}
    [row] = database.rows("SELECT n::text, m, quoted, yes, at IS NOT NULL, doc FROM dw.t")
    assert row == ("-12.50", -3, 'it\'s {a} \\ "b" $1', True, True, {"a": "{b}"})
    assert database.value("SELECT obj_description('dw.t'::regclass)") == "all {that} a table's may have"
    assert database.value("SELECT col_description('dw.t'::regclass, 1)") == "it's \\ {the} $1 key"
    made = {definition for (definition,) in database.rows("SELECT indexdef FROM pg_indexes WHERE schemaname = 'dw'")}
    assert made == {
        "CREATE UNIQUE INDEX t_pkey ON dw.t USING btree (id)",
        "CREATE UNIQUE INDEX t_code_key ON dw.t USING btree (code)",
        "CREATE UNIQUE INDEX t_id_code_key ON dw.t USING btree (id, code)",
        "CREATE INDEX t_code_idx ON dw.t USING btree (code)",
        'CREATE INDEX "Tags {1}" ON dw.t USING gin (tags) WHERE (tags IS NOT NULL)',
        "CREATE UNIQUE INDEX t_id_n_idx ON dw.t USING btree (id, n)",
    }
    assert database.value("SELECT reloptions FROM pg_class WHERE oid = 'dw.t'::regclass") == ["fillfactor=80"]
    assert flow("plan", "t", "--output", "json").json()["pipelines"][0]["marks"] == []
    assert counts(project.run(flow)["t"]) == {"in": 1, "unchanged": 1}


@pytest.mark.parametrize("mode", MODES)
def test_a_target_that_is_only_named_takes_the_types_of_the_source(mode: str, database: Database, flow: Flow) -> None:
    database.execute("""
        CREATE TYPE public.mood AS ENUM ('sad', 'glad');
        CREATE DOMAIN public.code AS varchar(4) CHECK (length(VALUE) > 1);
        CREATE TYPE public."Pair of" AS (n integer, t text);
        CREATE SCHEMA app;
        CREATE TABLE app.s (id integer PRIMARY KEY, v varchar(7) NOT NULL, n numeric(8,3), m public.mood, c public.code,
                            p public."Pair of", at timestamptz(3), b bit(4), l varchar(3)[], i interval day to second(2), x char(2));
        INSERT INTO app.s VALUES (1, 'a', 1.5, 'glad', 'ab', '(1,x)', '2026-01-01', '0101', '{abc}', '1 day', 'y');
    """)
    project = Project()
    project.pipeline("by table", "app.s", "dw.by_table", mode, **({"keys": "id"} if mode in ("merge", "scd2") else {}))
    project.pipeline(
        "by query",
        "SELECT * FROM app.s WHERE id > 0",
        "dw.by_query",
        mode,
        **({"keys": "id"} if mode in ("merge", "scd2") else {}),
    )
    for report in project.run(flow).values():
        assert counts(report) == {"in": 1, "inserted": 1}
    described = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = '{}'::regclass AND attnum BETWEEN 1 AND 11 ORDER BY attnum"
    )
    for table in ("dw.by_table", "dw.by_query"):
        assert database.rows(described.format(table)) == database.rows(described.format("app.s"))
    assert database.value(
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'dw.by_table'::regclass AND attname = 'v'"
    )
    reports = project.run(flow)
    for name in project.pipelines:
        assert counts(reports[name]) == second_run(mode, 1, 0)
    database.execute("ALTER TABLE app.s ALTER v TYPE varchar(20); UPDATE app.s SET v = 'longer than seven'")
    for report in project.run(flow, expect=1).values():
        assert report["error"]["code"] == "cast_failed", "too long for the live column, and never cut"


def test_an_identity_that_the_source_lacks_is_left_to_the_server(database: Database, flow: Flow) -> None:
    database.execute("""
        CREATE SCHEMA app; CREATE SCHEMA dw;
        CREATE TABLE app.s AS SELECT 1 AS id;
        CREATE TABLE dw.a (n bigint GENERATED BY DEFAULT AS IDENTITY, id integer);
        CREATE TABLE dw.b (n bigint GENERATED ALWAYS AS IDENTITY, id integer);
        CREATE TABLE dw.c (n bigserial, id integer);
    """)
    project = Project()
    for table in "abc":
        project.pipeline(table, "app.s", f"dw.{table}", "append", loaded_at_column=False, batch_id_column=False)
    project.run(flow)
    project.run(flow)
    for table in "abc":
        assert database.rows(f"SELECT n, id FROM dw.{table} ORDER BY n") == [(1, 1), (2, 1)]
