"""Which queries are read in place, that they load what their stage would, and that no key which comes twice is missed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from database import Database
from flow_binary import Flow
from project import Project, counts

SOURCE = """
CREATE EXTENSION tsm_system_rows;
CREATE SCHEMA app;
CREATE TABLE app.items (id bigint PRIMARY KEY, label text, n integer NOT NULL, other bigint UNIQUE);
INSERT INTO app.items SELECT g, 'l' || g, g % 7, g FROM generate_series(1, 50) AS g;
CREATE TABLE app.keyless (id bigint NOT NULL, label text, n integer);
INSERT INTO app.keyless SELECT id, label, n FROM app.items;
CREATE TABLE app.small (n integer PRIMARY KEY);
INSERT INTO app.small SELECT g FROM generate_series(0, 6) AS g;
CREATE TABLE app.parent (LIKE app.items INCLUDING ALL);
CREATE TABLE app.child (PRIMARY KEY (id)) INHERITS (app.parent);
INSERT INTO app.child SELECT * FROM app.items;
CREATE VIEW app.some AS SELECT id, label, n FROM app.items WHERE n > 1;
CREATE VIEW app.some_more AS SELECT s.id, upper(s.label) AS label, s.n FROM app.some AS s WHERE s.id > 3;
CREATE VIEW app.by_chance AS SELECT id, label, n FROM app.items WHERE random() < 2;
CREATE VIEW app.joined AS SELECT i.id, i.label, i.n FROM app.items AS i JOIN app.small AS s ON s.n = i.n;
CREATE MATERIALIZED VIEW app.stored AS SELECT id, label, n FROM app.items;
CREATE FUNCTION app.same(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION app.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION app.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';
"""

IN_PLACE = {
    "a condition": "SELECT * FROM app.items WHERE n > 1",
    "a view": "SELECT * FROM app.some",
    "a view alone": "TABLE app.some_more",
    "names of its own": "SELECT i.id, lower(i.label) AS label, (i.n + 1) * 2 AS n FROM app.items AS i WHERE i.label LIKE 'l%'",
    "a key by its index": "SELECT id, label, n FROM app.items WHERE id BETWEEN 3 AND 5",
    "a key under another name": "SELECT id AS key, id, label, n FROM app.items WHERE true",
    "the present of the statement": "SELECT id, label, n FROM app.items WHERE id < extract(epoch FROM now())",
    "a CTE": "WITH x AS (SELECT * FROM app.items) SELECT id, label, n FROM x WHERE n < 3",
    "nothing": "SELECT * FROM app.items WHERE n > 100",
    "a function that the server writes out": "SELECT id, app.plain(label) AS label, n FROM app.items WHERE n > 1",
}
STAGED = {
    "a limit": "SELECT * FROM app.items WHERE n > 1 LIMIT 10",
    "an order": "SELECT id, label, n FROM app.items ORDER BY n",
    "chance": "SELECT id, label, n FROM app.items WHERE random() < 2",
    "chance in a value": "SELECT id, random()::text AS label, n FROM app.items WHERE n > 1",
    "chance in a view": "SELECT * FROM app.by_chance",
    "the clock": "SELECT id, label, n FROM app.items WHERE clock_timestamp() > '2020-01-01'",
    "a clock of its own": "SELECT id, label, n FROM app.items WHERE app.clock() > '2020-01-01'",
    "a function of its own": "SELECT id, app.same(label) AS label, n FROM app.items WHERE n > 1",
    "a sample": "SELECT id, label, n FROM app.items TABLESAMPLE system (100)",
    "a join": "SELECT i.id, i.label, i.n FROM app.items AS i JOIN app.small AS s ON s.n = i.n",
    "a join in a view": "SELECT * FROM app.joined",
    "a subquery": "SELECT id, label, n FROM app.items AS i WHERE n IN (SELECT n FROM app.small LIMIT 3)",
    "a scalar": "SELECT id, label, (SELECT max(n) FROM app.small) AS n FROM app.items",
    "groups": "SELECT id, max(label) AS label, max(n) AS n FROM app.items GROUP BY id",
    "distinct rows": "SELECT DISTINCT id, label, n FROM app.items",
    "windows": "SELECT id, label, (count(*) OVER ())::integer AS n FROM app.items",
    "a union": "SELECT id, label, n FROM app.items WHERE n > 1 UNION ALL SELECT id, label, n FROM app.items WHERE n <= 1",
    "values": "VALUES (1, 'a', 1)",
    "a function of rows": "SELECT g AS id, 'a' AS label, 1 AS n FROM generate_series(1, 3) AS g",
    "rows of a list": "SELECT id, label, unnest(ARRAY[1]) AS n FROM app.items",
    "no key": "SELECT id, label, n FROM app.keyless WHERE true",
    "a made key": "SELECT id + 1 AS id, label, n FROM app.items",
    "a key by its name alone": "SELECT n::bigint AS id, label, n FROM app.items WHERE id < 3",
    "a key that may be NULL": "SELECT other AS id, label, n FROM app.items WHERE true",
    "tables below it": "SELECT id, label, n FROM app.parent WHERE true",
    "rows that are stored": "SELECT id, label, n FROM app.stored WHERE true",
    "a CTE that is kept": "WITH x AS MATERIALIZED (SELECT * FROM app.items) SELECT id, label, n FROM x",
}


def project_of(queries: dict[str, str], **options: Any) -> Project:
    project = Project()
    for number, (name, query) in enumerate(queries.items()):
        key = {"column1": "bigint", "column2": "text?", "column3": "integer?"}
        columns = key if query.startswith("VALUES") else {"id": "bigint", "label": "text?", "n": "integer?"}
        for mode in ("merge", "scd2"):
            project.table(f"t{number}_{mode}", columns, schema="dw")
            first = next(iter(columns))
            chosen = {"keys": first, "handle_deletes": "soft", **options}
            project.pipelines[f"{name} {mode}"] = {
                "source": {"query": query},
                "target": f"t{number}_{mode}",
                "mode": mode,
                **chosen,
            }
    return project


def test_what_picks_rows_of_one_table_is_read_in_place_and_nothing_else(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    queries = {**IN_PLACE, **STAGED}
    project = project_of(queries, on_empty_source="ignore")
    flow.project(project.text())
    found = {}
    plans = flow("plan", "*scd2", "--output", "json").json()["pipelines"]
    for plan in plans:
        stages = any("copy the source query" in step["purpose"] for step in plan["steps"])
        noted = any("the query only picks rows of it" in note for note in plan["notes"])
        assert stages != noted, plan
        found[plan["pipeline"].removesuffix(" scd2")] = "staged" if stages else "in place"
    assert found == {**dict.fromkeys(IN_PLACE, "in place"), **dict.fromkeys(STAGED, "staged")}


def test_a_query_in_place_loads_what_it_gives_whatever_happens_to_its_table(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    queries = {name: query for name, query in IN_PLACE.items() if name != "nothing"}
    project = project_of(queries, on_empty_source="ignore", max_delete_fraction=1.0)
    draw = random.Random(19)
    before: dict[int, list[tuple[Any, ...]]] = {}
    for _ in range(4):
        reports = project.run(flow)
        for number, (name, query) in enumerate(queries.items()):
            rows = database.rows(f"SELECT id, label, n FROM ({query}) AS q ORDER BY id")
            merged = database.rows(f"SELECT id, label, n FROM dw.t{number}_merge WHERE NOT is_deleted ORDER BY id")
            current = database.rows(f"SELECT id, label, n FROM dw.t{number}_scd2 WHERE is_current ORDER BY id")
            assert (merged, current) == (rows, rows), name
            old, new = {row[0]: row for row in before.get(number, [])}, {row[0]: row for row in rows}
            changed = [key for key in new if key in old and new[key] != old[key]]
            expected = {
                "in": len(new),
                "inserted": len(new.keys() - old.keys()) + len(changed),
                "unchanged": len(new.keys() & old.keys()) - len(changed),
                "closed_out": len(changed) + len(old.keys() - new.keys()),
                "deleted": len(old.keys() - new.keys()),
            }
            assert counts(reports[f"{name} scd2"]) == {word: n for word, n in expected.items() if n}, name
            before[number] = rows
        for key in draw.sample(range(1, 61), 20):
            database.execute(
                draw.choice(
                    [
                        f"DELETE FROM app.items WHERE id = {key}",
                        f"UPDATE app.items SET label = 'x' || label, n = n + 1 WHERE id = {key}",
                        f"INSERT INTO app.items VALUES ({key}, NULL, {key % 9}) ON CONFLICT (id) DO UPDATE SET n = 0",
                    ]
                )
            )


def test_an_error_of_a_query_in_place_is_the_source_s(database: Database, flow: Flow) -> None:
    database.execute(SOURCE)
    project = project_of({"division": "SELECT id, label, 10 / (n - 6) AS n FROM app.items WHERE true"})
    failed = {name: report["error"] for name, report in project.run(flow, expect=1).items()}
    assert {name: (error["code"], error["message"]) for name, error in failed.items()} == dict.fromkeys(
        ("division merge", "division scd2"), ("source_failed", "the source's query failed: division by zero")
    )
    database.execute("UPDATE app.items SET n = 1")
    project.run(flow)
    database.execute("UPDATE app.items SET n = 6 WHERE id = 9")
    failed = {name: report["error"] for name, report in project.run(flow, expect=1).items()}
    assert {name: (error["code"], error["message"]) for name, error in failed.items()} == dict.fromkeys(
        ("division merge", "division scd2"), ("source_failed", "the source's query failed: division by zero")
    )


# Types of keys: two keys that are one, and a third that is another.
ALIKE = {
    "bigint": ("1", "1", "2"),
    "text": ("'a'", "'a'", "'b'"),
    "string(8)": ("'a'", "'a'", "'b'"),
    "numeric": ("1.0", "1.00", "2.0"),
    "double": ("'-0'", "'0'", "1"),
    "date": ("'2026-01-01'", "'2026-01-01'", "'2026-01-02'"),
    "timestamptz": ("'2026-01-01 00:00Z'", "'2026-01-01 01:00+01'", "'2026-01-02Z'"),
    "uuid": ("'00000000-0000-0000-0000-00000000000a'", "'00000000-0000-0000-0000-00000000000A'", "gen_random_uuid()"),
    "citext": ("'a'", "'A'", "'b'"),
    "public.anycase": ("'a'", "'A'", "'b'"),
}
# Where the two are: what the target has of them, and the values of both in the source.
PLACES = {
    "both new": ([], ("x", "y")),
    "both new and alike": ([], ("x", "x")),
    "one as it is, one changed": ([("first", "x")], ("x", "y")),
    "both as it is": ([("first", "x")], ("x", "x")),
    "both changed": ([("first", "x")], ("y", "z")),
}


@pytest.mark.parametrize("mode", ["merge", "scd2"])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("data_type", ALIKE)
def test_a_key_that_comes_twice_is_found_wherever_it_comes(
    data_type: str, width: int, mode: str, database: Database, flow: Flow
) -> None:
    database.execute(
        "CREATE EXTENSION citext; CREATE SCHEMA app;"
        "CREATE COLLATION public.no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        "CREATE DOMAIN public.anycase AS text COLLATE public.no_case"
    )
    in_sql = {"string(8)": "varchar(8)", "double": "double precision"}.get(data_type, data_type)
    one, same, other = ALIKE[data_type]
    keys = ["k", "j"][:width]
    columns = {"k": data_type, "j": "text", "v": "text?"} if width == 2 else {"k": data_type, "v": "text?"}
    database.execute(f"CREATE TABLE app.s (k {in_sql}, {'j text, ' if width == 2 else ''}v text)")
    project = Project()
    for number, _ in enumerate(PLACES):
        project.table(f"t{number}", columns, schema="dw")
        project.pipelines[f"p{number}"] = {
            "source": {"query": "SELECT * FROM app.s UNION ALL SELECT * FROM app.s WHERE false"},
            "target": f"t{number}",
            "mode": mode,
            "keys": keys,
        }
    second = ", 'j'" if width == 2 else ""
    wrong = {}
    for number, (name, (there, values)) in enumerate(PLACES.items()):
        database.execute("TRUNCATE app.s")
        database.execute(f"INSERT INTO app.s VALUES ({other}{second}, 'o')")
        for _, v in there:
            database.execute(f"INSERT INTO app.s VALUES ({one}{second}, '{v}')")
        project.run(flow, f"p{number}")
        before = database.rows(f"SELECT t::text FROM dw.t{number} AS t ORDER BY 1")
        database.execute(f"DELETE FROM app.s WHERE k = {one}")
        database.execute(f"INSERT INTO app.s VALUES ({one}{second}, '{values[0]}'), ({same}{second}, '{values[1]}')")
        report = project.run(flow, f"p{number}", expect=4)[f"p{number}"]
        error = report["error"]
        shown = (error["code"], error["message"])
        message = f"1 key of `p{number}` comes more than once from the source\n  "
        # Of two that are one key, the server shows either.
        texts = [database.value(f"SELECT ({each}::{in_sql})::text") for each in (one, same)]
        samples = [f"(k, j): ({text}, j) (2 rows)" if width == 2 else f"k: {text} (2 rows)" for text in texts]
        if shown not in [("duplicate_source_key", message + sample) for sample in samples]:
            wrong[name] = shown
        assert database.rows(f"SELECT t::text FROM dw.t{number} AS t ORDER BY 1") == before, name
    assert wrong == {}


@pytest.mark.parametrize("mode", ["merge", "scd2"])
def test_rows_without_a_key_end_the_run_before_those_that_come_twice(mode: str, database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (k text, j bigint, v text)")
    project = Project()
    project.table("t", {"k": "text", "j": "bigint", "v": "text?"}, schema="dw")
    project.pipelines["p"] = {
        "source": {"query": "SELECT * FROM app.s ORDER BY v"},
        "target": "t",
        "mode": mode,
        "keys": ["k", "j"],
    }
    database.execute("INSERT INTO app.s VALUES ('a', 1, 'x'), ('b', 1, 'x'), ('a', 2, 'x')")
    assert counts(project.run(flow)["p"]) == {"in": 3, "inserted": 3}
    for keys, code, message in [
        ("('c', NULL)", "null_key", "1 row of `p` has NULL in its key (k, j)"),
        ("(NULL, 1), (NULL, 1)", "null_key", "2 rows of `p` have NULL in their key (k, j)"),
        ("(NULL, NULL), ('a', 1)", "null_key", "1 row of `p` has NULL in its key (k, j)"),
        (
            "('a', 1), ('b', 1), ('b', 1)",
            "duplicate_source_key",
            "2 keys of `p` come more than once from the source\n  (k, j): (b, 1) (3 rows), (a, 1) (2 rows)",
        ),
    ]:
        database.execute(f"INSERT INTO app.s SELECT k, j::bigint, 'x' FROM (VALUES {keys}) AS q(k, j)")
        error = project.run(flow, expect=4)["p"]["error"]
        assert (error["code"], error["message"]) == (code, message), keys
        database.execute(
            "DELETE FROM app.s WHERE ctid NOT IN (SELECT min(ctid) FROM app.s WHERE j IS NOT NULL AND k IS NOT NULL AND k <> 'c' GROUP BY k, j)"
        )
    assert counts(project.run(flow)["p"]) == {"in": 3, "unchanged": 3}
