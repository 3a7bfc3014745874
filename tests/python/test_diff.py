"""`flow diff A B`: in which rows two tables or queries differ, in one database and in two, and nothing is written."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from across import Across, connect
from customers import wait_until
from database import Database
from flow_binary import Finished, Flow
from wire import wire

WAYS = ("join", "checksums")


@dataclass
class Two:
    """Two sides: in one database or in two, which are connections `crm` and `warehouse`."""

    flow: Flow
    a: Database
    b: Database

    @property
    def names(self) -> tuple[str, str]:
        return ("crm", "crm" if self.a is self.b else "warehouse")

    def diff(self, a: str, b: str, *arguments: str, expect: int = 1) -> dict[str, Any]:
        (of_a, of_b) = self.names
        done = self.run(f"{of_a}:{a}", f"{of_b}:{b}", *arguments, "--output", "json", expect=expect)
        report: dict[str, Any] = done.json()
        return report

    def run(self, *arguments: str, expect: int = 1) -> Finished:
        return self.flow("diff", *arguments, expect=expect)


@pytest.fixture(params=WAYS)
def two(request: pytest.FixtureRequest, flow: Flow, new_database: Callable[[], Database]) -> Two:
    a = new_database()
    b = a if request.param == "join" else new_database()
    for database, schema in ((a, "a"), (b, "b")):
        database.execute(f"CREATE SCHEMA {schema}")
    flow.project(Across().text())
    connect(flow, a, b)
    return Two(flow, a, b)


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    """Rows of A and of B, only in A, only in B, differing, equal."""
    names = ("rows_a", "rows_b", "only_in_a", "only_in_b", "rows_differing", "rows_equal")
    return tuple(report[name] for name in names)


def by_column(report: dict[str, Any]) -> dict[str, int]:
    return {column["name"]: column["rows_differing"] for column in report["columns"] if column["rows_differing"]}


def people(two: Two) -> None:
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(
            f"CREATE TABLE {schema}.people (id integer PRIMARY KEY, name text, age integer);"
            f"INSERT INTO {schema}.people SELECT g, 'name ' || g, g % 90 FROM generate_series(1, 100) AS g"
        )


def test_every_kind_of_difference_is_counted(two: Two) -> None:
    people(two)
    report = two.diff("a.people", "b.people", expect=0)
    assert (report["schema"], report["equal"], counts(report)) == ("ematix.diff.v1", True, (100, 100, 0, 0, 0, 100))
    assert report["keys"] == ["id"] and report["keys_reason"] == "the primary key of A"
    assert report["method"] == ("join" if two.a is two.b else "checksums")
    assert report["digests_read"] == 0
    two.b.execute(
        "DELETE FROM b.people WHERE id <= 3; INSERT INTO b.people VALUES (0, NULL, NULL);"
        "UPDATE b.people SET name = NULL WHERE id IN (10, 11); UPDATE b.people SET age = -1 WHERE id IN (11, 12, 13)"
    )
    report = two.diff("a.people", "b.people")
    assert (report["equal"], counts(report)) == (False, (100, 98, 3, 1, 4, 93))
    assert by_column(report) == {"name": 2, "age": 3}
    if two.a is not two.b:
        assert 0 < report["digests_read"] < 60, "only ranges that differ are looked into"


def many(two: Two, changed: str) -> None:
    """Enough rows that a comparison looks whether it had better read them, a key of two columns, and NULLs."""
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(
            f"CREATE TABLE {schema}.many (part smallint, id bigint, name text, paid numeric, PRIMARY KEY (part, id));"
            f"INSERT INTO {schema}.many SELECT g % 7, g, CASE WHEN g % 11 > 0 THEN 'name ' || g END, g * 1.50"
            f" FROM generate_series(1, 60000) AS g"
        )
    two.b.execute(changed)
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(f"ANALYZE {schema}.many")


SOME_CHANGED = """
UPDATE b.many SET name = CASE WHEN id % 200 = 0 THEN name || '!' END, paid = paid + 1 WHERE id % 100 = 0;
UPDATE b.many SET paid = (paid || '0')::numeric WHERE id % 100 = 1;
DELETE FROM b.many WHERE id BETWEEN 30001 AND 30010; INSERT INTO b.many SELECT 9, g, NULL, NULL FROM generate_series(1, 5) AS g
"""


@pytest.mark.clock
def test_whole_rows_are_read_where_many_differ(two: Two) -> None:
    many(two, SOME_CHANGED)
    way = "join" if two.a is two.b else "rows"
    report = two.diff("a.many", "b.many")
    # Names that were NULL stay so where 200 divides the id, and become so where they were not.
    names = two.a.value("SELECT count(*) FROM a.many WHERE id % 100 = 0 AND name IS NOT NULL")
    assert (report["method"], report["digests_read"]) == (way, 0)
    assert counts(report) == (60_000, 59_995, 10, 5, 600, 59_390)
    assert by_column(report) == {"name": names, "paid": 600}
    report = two.diff("a.many", "b.many", "--sample", "700", "--columns", "paid")
    assert (report["method"], by_column(report)) == (way, {"paid": 600})
    rows = {(row["change"], row["key"]["part"], row["key"]["id"]): (row["a"], row["b"]) for row in report["sample"]}
    assert len(rows) == 615
    assert rows["differs", 100 % 7, 100] == ({"paid": 150}, {"paid": 151})
    assert rows["only_in_a", 30_001 % 7, 30_001] == ({"paid": 45_001.5}, None)
    assert rows["only_in_b", 9, 5] == (None, {"paid": None})


def test_sums_are_taken_where_few_differ_or_where_the_rows_lie_in_another_order(two: Two) -> None:
    many(two, "UPDATE b.many SET paid = 0 WHERE id IN (59000, 59001)")
    way = "join" if two.a is two.b else "checksums"
    report = two.diff("a.many", "b.many")
    assert (report["method"], counts(report)) == (way, (60_000, 60_000, 0, 0, 2, 59_998))
    two.b.execute(
        "CREATE TABLE b.mixed (LIKE b.many INCLUDING ALL);"
        "INSERT INTO b.mixed SELECT part, id, name, paid + (id % 100 = 0)::int FROM b.many ORDER BY hashint8(id);"
        "ANALYZE b.mixed"
    )
    report = two.diff("a.many", "b.mixed")
    assert (report["method"], counts(report)) == (way, (60_000, 60_000, 0, 0, 601, 59_399))


def test_digests_come_instead_of_rows_where_the_way_is_slow(two: Two) -> None:
    if two.a is two.b:
        pytest.skip("in one database nothing travels")
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(
            f"CREATE TABLE {schema}.wide (id bigint PRIMARY KEY, text text);"
            f"INSERT INTO {schema}.wide SELECT g, repeat('wide', 150) FROM generate_series(1, 51000) AS g"
        )
    two.b.execute("UPDATE b.wide SET text = 'narrow' WHERE id % 100 = 0")
    for database in (two.a, two.b):
        database.execute("ANALYZE")
    with wire(two.b) as to_b:
        to_b.bandwidth = 3_000_000
        connect(two.flow, two.a, to_b.dsn())
        report = two.diff("a.wide", "b.wide")
    assert (report["method"], counts(report)) == ("checksums", (51_000, 51_000, 0, 0, 510, 50_490))


def test_nothing_is_written_and_no_transaction_is_left(two: Two) -> None:
    people(two)
    two.b.execute("UPDATE b.people SET age = 7")
    written = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'ematix_flow'"
    for database in (two.a, two.b):
        # Two logins later every count has been told.
        database.rows("SELECT pg_stat_force_next_flush()")
    before = [(database.value(written), database.value(schemas)) for database in (two.a, two.b)]
    two.diff("a.people", "b.people", "--sample", "5")
    assert [(database.value(written), database.value(schemas)) for database in (two.a, two.b)] == before


def test_a_side_reads_one_snapshot_and_only_reads(two: Two) -> None:
    people(two)
    query = "SELECT id, current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r FROM a.people WHERE id < 3"
    report = two.diff(query, "SELECT 0 AS id, '' AS i, '' AS r", "--keys", "id", "--sample", "1")
    [row] = report["sample"]
    shown = row["a"] or {}
    assert shown in ({}, {"i": "repeatable read", "r": "on"}) and row["change"].startswith("only_in")
    report = two.diff(query, "SELECT 0 AS id, '' AS i, '' AS r WHERE false", "--keys", "id", "--sample", "1")
    assert report["sample"][0]["a"] == {"i": "repeatable read", "r": "on"}


def test_a_truncation_under_way_is_waited_for(two: Two) -> None:
    """A reader whose snapshot is older than its lock would see an empty table."""
    people(two)
    (of_a, of_b) = two.names
    with two.b.connect(autocommit=False) as other:
        other.execute("TRUNCATE b.people")
        other.execute("INSERT INTO b.people SELECT g, 'name ' || g, g % 90 FROM generate_series(1, 90) AS g")
        running = two.flow.start("diff", f"{of_a}:a.people", f"{of_b}:b.people", "--output", "json")
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'b.people'::regclass"
        wait_until(lambda: two.b.value(waits) > 0, "the comparison waits")
        other.commit()
    assert counts(running.finish(expect=1).json()) == (100, 90, 10, 0, 0, 90)


def test_what_a_connection_pins_holds_for_its_side(two: Two) -> None:
    people(two)
    project = Across(
        connections={"crm": {"session": {"search_path": "a"}}, "warehouse": {"session": {"search_path": "b"}}}
    )
    two.flow.project(project.text())
    schema = "a" if two.a is two.b else "b"
    two.b.execute(f"CREATE VIEW {schema}.v AS SELECT * FROM b.people")
    report = two.diff("SELECT * FROM people", "SELECT * FROM v", "--keys", "id", expect=0)
    assert counts(report) == (100, 100, 0, 0, 0, 100)


def test_the_sample_shows_a_beside_b(two: Two) -> None:
    people(two)
    two.b.execute(
        "DELETE FROM b.people WHERE id = 5; INSERT INTO b.people VALUES (101, 'new', 1);"
        "UPDATE b.people SET name = 'other' WHERE id = 7"
    )
    report = two.diff("a.people", "b.people", "--sample", "9")
    assert sorted(report["sample"], key=lambda row: row["key"]["id"]) == [
        {"change": "only_in_a", "key": {"id": 5}, "a": {"name": "name 5", "age": 5}, "b": None},
        {
            "change": "differs",
            "key": {"id": 7},
            "a": {"name": "name 7", "age": 7},
            "b": {"name": "other", "age": 7},
        },
        {"change": "only_in_b", "key": {"id": 101}, "a": None, "b": {"name": "new", "age": 1}},
    ]
    assert len(two.diff("a.people", "b.people", "--sample", "2")["sample"]) == 2
    assert "sample" not in two.diff("a.people", "b.people")


def test_instants_of_a_sample_are_written_alike(two: Two) -> None:
    for database, schema, zone, hour in ((two.a, "a", "Asia/Tokyo", 1), (two.b, "b", "America/Lima", 2)):
        database.execute(
            f"ALTER DATABASE {database.name} SET timezone = '{zone}';"
            f"CREATE TABLE {schema}.t (id int PRIMARY KEY, at timestamptz, n int);"
            f"INSERT INTO {schema}.t VALUES (1, '2026-01-01T00:00:00Z', {hour})"
        )
    report = two.diff("a.t", "b.t", "--sample", "1")
    assert by_column(report) == {"n": 1}
    assert [report["sample"][0][side]["at"] for side in "ab"] == ["2026-01-01T00:00:00Z"] * 2


# --- keys -------------------------------------------------------------------------------------------------------


def test_keys_are_said_or_those_of_either_side(two: Two) -> None:
    two.a.execute("CREATE TABLE a.t (id int, region text, v int); INSERT INTO a.t VALUES (1, 'x', 1), (1, 'y', 2)")
    two.b.execute("CREATE TABLE b.t (id int, region text, v int, PRIMARY KEY (id, region))")
    two.b.execute("INSERT INTO b.t VALUES (1, 'x', 1), (1, 'y', 3)")
    report = two.diff("a.t", "b.t")
    assert (report["keys"], report["keys_reason"]) == (["id", "region"], "the primary key of B")
    assert counts(report) == (2, 2, 0, 0, 1, 1)
    report = two.diff("a.t", "b.t", "--keys", "region", expect=1)
    assert (report["keys"], by_column(report)) == (["region"], {"v": 1})
    refused = two.run("default:SELECT 1 AS id", "default:SELECT 1 AS id", expect=2)
    assert "error[missing_keys]" in refused.stderr and "--keys id" in refused.stderr
    refused = two.run(f"{two.names[0]}:a.t", f"{two.names[1]}:b.t", "--keys", "nobody", expect=2)
    assert "error[unknown_column]" in refused.stderr


@pytest.mark.parametrize("side", "ab")
def test_repeated_and_null_keys_are_refused(two: Two, side: str) -> None:
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(f"CREATE TABLE {schema}.t (id int, v int); INSERT INTO {schema}.t VALUES (1, 1), (2, 1)")
    spoilt = two.a if side == "a" else two.b
    spoilt.execute(f"INSERT INTO {side}.t VALUES (2, 1), (2, 3), (1, 1)")
    (of_a, of_b) = two.names
    arguments = (f"{of_a}:a.t", f"{of_b}:b.t", "--keys", "id")
    refused = two.run(*arguments, expect=4)
    assert f"error[duplicate_source_key]: 2 keys of {side.upper()}" in refused.stderr
    assert "id: 1 (2 rows), 2 (3 rows)" in refused.stderr
    # The same on both sides is as wrong.
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(f"TRUNCATE {schema}.t; INSERT INTO {schema}.t VALUES (1, 1), (1, 1)")
    assert "duplicate_source_key" in two.run(*arguments, expect=4).stderr
    spoilt.execute(f"TRUNCATE {side}.t; INSERT INTO {side}.t VALUES (NULL, 1), (1, 1)")
    other = "b" if side == "a" else "a"
    (two.b if side == "a" else two.a).execute(f"TRUNCATE {other}.t")
    refused = two.run(*arguments, expect=4)
    assert f"error[null_key]: 1 row of {side.upper()}" in refused.stderr
    assert counts(two.diff("a.t", "b.t", "--keys", "id", "--where", "id IS NOT NULL"))[2:4] in ((1, 0), (0, 1))


# --- columns and types ------------------------------------------------------------------------------------------


def test_columns_of_one_side_are_told_and_others_can_be_left_out(two: Two) -> None:
    two.a.execute("CREATE TABLE a.t (id int PRIMARY KEY, x int, y int, gone int); INSERT INTO a.t VALUES (1, 1, 1, 1)")
    two.b.execute("CREATE TABLE b.t (y int, x int, id int PRIMARY KEY, new int); INSERT INTO b.t VALUES (2, 2, 1, 1)")
    report = two.diff("a.t", "b.t")
    assert (report["columns_only_in_a"], report["columns_only_in_b"]) == (["gone"], ["new"])
    assert by_column(report) == {"x": 1, "y": 1}
    assert by_column(two.diff("a.t", "b.t", "--exclude-columns", "x,new")) == {"y": 1}
    report = two.diff("a.t", "b.t", "--columns", "x")
    assert by_column(report) == {"x": 1} and report["columns_only_in_a"] == []
    # Columns of one side are no differing rows.
    assert two.diff("a.t", "b.t", "--exclude-columns", "x,y", expect=0)["equal"]
    for wrong in (("--columns", "gone"), ("--columns", "none"), ("--exclude-columns", "none")):
        (of_a, of_b) = two.names
        assert "unknown_column" in two.run(f"{of_a}:a.t", f"{of_b}:b.t", *wrong, expect=2).stderr


def test_types_that_differ_are_compared_by_value(two: Two) -> None:
    two.a.execute("CREATE TYPE a.mood AS ENUM ('fine', 'bad')")
    two.a.execute(
        "CREATE TABLE a.t (id smallint PRIMARY KEY, i int, n numeric(10,2), f real, s varchar(9), e a.mood, c char(9),"
        " j json, d date, u uuid);"
        "INSERT INTO a.t VALUES (1, 7, 1.50, 0.5, 'x', 'fine', 'y', '{\"a\": 1}', '2026-01-01', '00000000-0000-0000-0000-00000000000a')"
    )
    two.b.execute(
        "CREATE TABLE b.t (id bigint PRIMARY KEY, i numeric, n float8, f numeric, s text, e text, c text, j jsonb,"
        " d timestamp, u text);"
        "INSERT INTO b.t VALUES (1, 7.0, 1.5, 0.500, 'x', 'fine', 'y', '{\"a\":1}', '2026-01-01', '00000000-0000-0000-0000-00000000000a')"
    )
    report = two.diff("a.t", "b.t", expect=0)
    forms = {column["name"]: column.get("compared_as") for column in report["columns"]}
    assert forms == {
        "i": "numeric",
        "n": "double precision",
        "f": "double precision",
        "s": None,
        "e": "text",
        "c": "text",
        "j": "jsonb",
        "d": "timestamp",
        "u": "text",
    }
    two.b.execute("UPDATE b.t SET i = 7.1, n = 1.51, e = 'bad', j = '{\"a\":2}', d = '2026-01-01T00:00:01'")
    assert by_column(two.diff("a.t", "b.t")) == {"i": 1, "n": 1, "e": 1, "j": 1, "d": 1}


def test_types_that_mean_something_else_are_refused_and_can_be_left_out(two: Two) -> None:
    two.a.execute("CREATE TABLE a.t (id int PRIMARY KEY, at timestamp, l aclitem); INSERT INTO a.t VALUES (1, 'now')")
    two.b.execute("CREATE TABLE b.t (id int PRIMARY KEY, at timestamptz, l aclitem); INSERT INTO b.t VALUES (1, 'now')")
    (of_a, of_b) = (f"{name}:{schema}.t" for name, schema in zip(two.names, "ab", strict=True))
    refused = two.run(of_a, of_b, expect=2)
    assert "`at` cannot be compared (timestamp without time zone in A, timestamp with time zone in B)" in refused.stderr
    assert "--exclude-columns at" in refused.stderr
    assert "`l` cannot be compared" in two.run(of_a, of_b, "--exclude-columns", "at", expect=2).stderr
    assert two.diff("a.t", "b.t", "--exclude-columns", "at,l", expect=0)["equal"]


def test_hostile_names_and_texts(two: Two) -> None:
    name = 'q"uo.te {x} :y\\'
    quoted = name.replace('"', '""')
    for database, schema, value in ((two.a, "a", "it''s \\ 🙂"), (two.b, "b", "it''s / 🙂")):
        database.execute(
            f'CREATE TABLE {schema}."{quoted}" ("{quoted}" text COLLATE "C" PRIMARY KEY, "a b" text, "ordér" int);'
            f"INSERT INTO {schema}.\"{quoted}\" VALUES ('k''\\', '{value}', 1), ('z', NULL, NULL)"
        )
    report = two.diff(f'a."{quoted}"', f'b."{quoted}"', "--sample", "3")
    assert by_column(report) == {"a b": 1}
    assert report["sample"][0]["key"] == {name: "k'\\"}
    assert [report["sample"][0][side]["a b"] for side in "ab"] == ["it's \\ 🙂", "it's / 🙂"]


def test_collations_have_no_part_in_it(two: Two) -> None:
    collation = "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(f"CREATE COLLATION {schema}.loose {collation}")
    two.a.execute("CREATE TABLE a.t (k text COLLATE a.loose, v text COLLATE a.loose)")
    two.b.execute("CREATE TABLE b.t (k text COLLATE b.loose, v text COLLATE b.loose)")
    two.a.execute("INSERT INTO a.t VALUES ('x', 'y'), ('X', 'y')")
    two.b.execute("INSERT INTO b.t VALUES ('x', 'Y'), ('X', 'y')")
    report = two.diff("a.t", "b.t", "--keys", "k")
    assert (counts(report), by_column(report)) == ((2, 2, 0, 0, 1, 1), {"v": 1})


# --- rows -------------------------------------------------------------------------------------------------------


def test_where_holds_for_both_sides_and_cannot_break_out(two: Two) -> None:
    people(two)
    two.b.execute("UPDATE b.people SET age = 0 WHERE id IN (10, 60)")
    assert counts(two.diff("a.people", "b.people", "--where", "id > 50 -- the young"))[:2] == (50, 50)
    assert two.diff("a.people", "b.people", "--where", "id BETWEEN 20 AND 40 OR id = 99", expect=0)["rows_a"] == 22
    (of_a, of_b) = two.names
    for wrong in ("true) OR (true", "true; DROP TABLE a.people", ""):
        refused = two.run(f"{of_a}:a.people", f"{of_b}:b.people", "--where", wrong, expect=2)
        assert "error[invalid_value]" in refused.stderr
    assert "source_failed" in two.run(f"{of_a}:a.people", f"{of_b}:b.people", "--where", "nobody", expect=1).stderr


def test_queries_are_compared_and_must_read(two: Two) -> None:
    people(two)
    report = two.diff(
        "SELECT id, upper(name) AS name FROM a.people -- shouting",
        "WITH p AS (SELECT * FROM b.people) SELECT id, name FROM p WHERE id < 50;",
        "--keys",
        "id",
    )
    assert counts(report) == (100, 49, 51, 0, 49, 0)
    assert report["a"]["query"] == "SELECT id, upper(name) AS name FROM a.people" and report["a"]["table"] is None
    refused = two.run("crm:WITH d AS (DELETE FROM a.people RETURNING id) SELECT id FROM d", "crm:a.people", expect=2)
    assert "error[query_writes]" in refused.stderr


def test_views_partitions_and_empty_tables(two: Two) -> None:
    people(two)
    two.a.execute("CREATE VIEW a.v AS SELECT * FROM a.people; CREATE MATERIALIZED VIEW a.m AS SELECT * FROM a.people")
    two.b.execute("CREATE TABLE b.p (id int PRIMARY KEY, name text, age int) PARTITION BY RANGE (id)")
    two.b.execute("CREATE TABLE b.p1 PARTITION OF b.p FOR VALUES FROM (0) TO (50)")
    two.b.execute("CREATE TABLE b.p2 PARTITION OF b.p DEFAULT; INSERT INTO b.p SELECT * FROM b.people")
    assert two.diff("a.v", "b.p", expect=0)["keys_reason"] == "the primary key of B"
    assert two.diff("a.m", "b.p", expect=0)["equal"]
    two.b.execute("TRUNCATE b.p")
    assert counts(two.diff("a.people", "b.p")) == (100, 0, 100, 0, 0, 0)
    two.a.execute("TRUNCATE a.people")
    assert counts(two.diff("a.people", "b.p", expect=0)) == (0, 0, 0, 0, 0, 0)
    assert counts(two.diff("a.people", "b.people")) == (0, 100, 0, 100, 0, 0)


def test_a_table_of_keys_alone_and_rows_that_all_differ(two: Two) -> None:
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(f"CREATE TABLE {schema}.k (id bigint PRIMARY KEY)")
        database.execute(f"CREATE TABLE {schema}.t (id bigint PRIMARY KEY, v text, w int)")
    two.a.execute("INSERT INTO a.k SELECT generate_series(1, 500)")
    two.b.execute("INSERT INTO b.k SELECT generate_series(101, 650)")
    report = two.diff("a.k", "b.k")
    assert (counts(report), report["columns"]) == ((500, 550, 100, 150, 0, 400), [])
    two.a.execute("INSERT INTO a.t SELECT g, 'a' || g, g FROM generate_series(1, 20000) AS g")
    two.b.execute("INSERT INTO b.t SELECT g, 'b' || g, g FROM generate_series(1, 20000) AS g")
    report = two.diff("a.t", "b.t")
    assert (counts(report), by_column(report)) == ((20000, 20000, 0, 0, 20000, 0), {"v": 20000})
    two.b.execute("UPDATE b.t SET id = id + 20000")
    assert counts(two.diff("a.t", "b.t")) == (20000, 20000, 20000, 20000, 0, 0)


def test_values_that_change_places_are_seen(two: Two) -> None:
    """Sums of digests must not cancel each other out."""
    for database, schema in ((two.a, "a"), (two.b, "b")):
        database.execute(f"CREATE TABLE {schema}.t (id int PRIMARY KEY, v float8, w numeric)")
        database.execute(f"INSERT INTO {schema}.t SELECT g, g % 2, g % 3 FROM generate_series(1, 4000) AS g")
    two.b.execute("UPDATE b.t SET v = 1 - v")
    assert by_column(two.diff("a.t", "b.t")) == {"v": 4000}
    two.b.execute(
        "TRUNCATE b.t; INSERT INTO b.t SELECT * FROM generate_series(1, 4) AS g, (VALUES (NULL::float8)) AS v"
    )
    two.a.execute("TRUNCATE a.t; INSERT INTO a.t VALUES (1, 0), (2, 'NaN'), (3, 'Infinity'), (4, -0.0)")
    assert by_column(two.diff("a.t", "b.t")) == {"v": 4}


def test_servers_whose_hashes_differ_are_compared_all_the_same(
    flow: Flow, new_database: Callable[[], Database]
) -> None:
    """A processor that keeps bytes in another order hashes them otherwise: here it is played."""
    two = Two(flow, new_database(), new_database())
    flow.project(Across().text())
    connect(flow, two.a, two.b)
    two.a.execute("CREATE SCHEMA a")
    two.b.execute("CREATE SCHEMA b")
    people(two)
    two.b.execute(
        "ALTER FUNCTION pg_catalog.hash_record_extended(record, bigint) RENAME TO hash_record_little;"
        "CREATE FUNCTION pg_catalog.hash_record_extended(record, bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE"
        " AS 'BEGIN RETURN pg_catalog.hash_record_little($1, $2) # 255; END'"
    )
    assert counts(two.diff("a.people", "b.people", expect=0)) == (100, 100, 0, 0, 0, 100)
    two.b.execute("UPDATE b.people SET age = -1 WHERE id = 7; DELETE FROM b.people WHERE id = 8")
    report = two.diff("a.people", "b.people", "--sample", "2")
    assert (counts(report), by_column(report)) == ((100, 99, 1, 0, 1, 98), {"age": 1})
    assert sorted(row["change"] for row in report["sample"]) == ["differs", "only_in_a"]


# --- against a model --------------------------------------------------------------------------------------------

# By type: texts of values; those of one number are one value. Every type of the language, and some of the server's.
VALUES: dict[str, list[tuple[int, str]]] = {
    "smallint": [(1, "1"), (2, "-32768")],
    "integer": [(1, "1"), (2, "2147483647")],
    "bigint": [(1, "0"), (2, "-9223372036854775808"), (3, "9223372036854775807")],
    "real": [(1, "0"), (1, "-0"), (2, "NaN"), (3, "Infinity"), (4, "1.5")],
    "double precision": [(1, "0"), (1, "-0"), (2, "NaN"), (3, "-Infinity"), (4, "0.1"), (5, "1e300")],
    "numeric": [(1, "1.0"), (1, "1.000"), (2, "NaN"), (3, "Infinity"), (4, "-Infinity"), (5, "0"), (5, "0.00")],
    "numeric(10,2)": [(1, "1"), (1, "1.00"), (2, "-99999999.99"), (3, "0")],
    "varchar(9)": [(1, ""), (2, "a"), (3, "a "), (4, "ä🙂")],
    "text": [(1, ""), (2, "a"), (3, "A"), (4, "a\nb")],
    "char(4)": [(1, "a"), (1, "a  "), (2, "b")],
    "boolean": [(1, "t"), (2, "f")],
    "date": [(1, "2026-01-01"), (2, "infinity"), (3, "0044-03-15 BC")],
    "timestamp": [(1, "2026-01-01"), (2, "2026-01-01 00:00:00.000001"), (3, "-infinity")],
    "timestamptz": [(1, "2026-01-01 00:00+00"), (1, "2026-01-01 01:00+01"), (2, "infinity")],
    "json": [(1, "{}"), (2, "{ }"), (3, "null")],
    "jsonb": [(1, "{}"), (1, "{ }"), (2, "1"), (3, "1.0")],
    "uuid": [(1, "00000000-0000-0000-0000-000000000001"), (2, "00000000-0000-0000-0000-000000000002")],
    "bytea": [(1, ""), (2, "\\x00"), (3, "\\x0000")],
    "interval": [(1, "24:00"), (2, "1 day")],
    "integer[]": [(1, "{1,2}"), (2, "{2,1}"), (3, "{NULL}"), (4, "{}")],
    "inet": [(1, "10.0.0.1"), (2, "10.0.0.1/8")],
    "int4range": [(1, "[1,3)"), (1, "[1,2]"), (2, "empty")],
    "money": [(1, "1"), (2, "-1")],
    "bit(3)": [(1, "101"), (2, "010")],
    "point": [(1, "(0,0)"), (2, "(1,0)")],
}
# Types whose values of one number are written in one way are keys of any number.
KEYS = [name for name in VALUES if name not in ("json", "point", "boolean")]


@pytest.mark.parametrize("seed", range(12))
def test_random_tables_differ_as_a_model_says(two: Two, seed: int) -> None:
    chance = random.Random(seed)
    keys = ["integer", *chance.sample(KEYS, chance.randint(0, 2))]
    columns = chance.sample(list(VALUES), chance.randint(0, 7))

    def value(name: str, null: bool) -> tuple[int, str] | None:
        return None if null and chance.random() < 0.2 else chance.choice(VALUES[name])

    def key() -> tuple[tuple[int, str], ...]:
        number = chance.randint(1, 40)
        return ((number, str(number)), *(chance.choice(VALUES[name]) for name in keys[1:]))

    def row() -> list[tuple[int, str] | None]:
        return [value(name, True) for name in columns]

    # By what a key means, how it is written and what its row has.
    Table = dict[tuple[int, ...], tuple[Any, Any]]
    of_a: Table = {tuple(part[0] for part in made): (made, row()) for made in (key() for _ in range(60))}
    of_b: Table = {}
    for meaning, (written, values) in of_a.items():
        fate = chance.random()
        if fate < 0.15:
            continue
        again = tuple(
            chance.choice([each for each in VALUES[name] if each[0] == part[0]]) if at else part
            for at, (name, part) in enumerate(zip(keys, written, strict=True))
        )
        kept = [
            value(name, True) if chance.random() < (0.3 if fate < 0.4 else 0) else old
            for name, old in zip(columns, values, strict=True)
        ]
        # The same value may be written in another way.
        kept = [
            old and chance.choice([each for each in VALUES[name] if each[0] == old[0]])
            for name, old in zip(columns, kept, strict=True)
        ]
        of_b[meaning] = (again, kept)
    for made in (key() for _ in range(10)):
        of_b.setdefault(tuple(part[0] for part in made), (made, row()))

    names = [f"k{n}" for n in range(len(keys))] + [f"c{n}" for n in range(len(columns))]
    for database, schema, rows in ((two.a, "a", of_a), (two.b, "b", of_b)):
        types = ", ".join(f"{name} {of}" for name, of in zip(names, [*keys, *columns], strict=True))
        database.execute(f"CREATE TABLE {schema}.t ({types})")
        casts = ", ".join(f"%s::{of}" for of in [*keys, *columns])
        for written, values in rows.values():
            texts = [part and part[1] for part in (*written, *values)]
            database.shared.execute(f"INSERT INTO {schema}.t VALUES ({casts})", texts)

    def meant(part: tuple[int, str] | None) -> int | None:
        return part and part[0]

    both = of_a.keys() & of_b.keys()
    differing = [0] * len(columns)
    changed = 0
    for meaning in both:
        pairs = zip(of_a[meaning][1], of_b[meaning][1], strict=True)
        differs = [meant(one) != meant(other) for one, other in pairs]
        changed += any(differs)
        differing = [count + one for count, one in zip(differing, differs, strict=True)]
    only = (len(of_a) - len(both), len(of_b) - len(both))
    expected = (len(of_a), len(of_b), *only, changed, len(both) - changed)
    said = ",".join(name for name in names if name.startswith("k"))
    report = two.diff("a.t", "b.t", "--keys", said, "--sample", "1000", expect=0 if expected[2:5] == (0, 0, 0) else 1)
    assert (seed, counts(report)) == (seed, expected)
    assert [column["rows_differing"] for column in report["columns"]] == differing, columns
    assert len(report["sample"]) == sum(expected[2:5])
