"""What a source query may be, and what is refused before anything is written."""

from __future__ import annotations

import pytest
from across import Across, connect
from database import Database, temporary_database
from flow_binary import Flow
from project import Project, counts

READING = {
    "a semicolon": "SELECT id, v FROM app.s;",
    "several semicolons": "SELECT id, v FROM app.s ; ;",
    "a comment at the end": "SELECT id, v FROM app.s -- all of it",
    "a comment after the semicolon": "SELECT id, v FROM app.s; -- all of it\n-- really",
    "a comment in front": "-- all of it\n/* really */ SELECT id, v FROM app.s",
    "nested comments": "SELECT id, /* a /* b; */ DELETE */ v FROM app.s /* ; */",
    "a CTE": "WITH x AS (SELECT * FROM app.s), y AS MATERIALIZED (SELECT * FROM x) SELECT id, v FROM y",
    "a recursive CTE": "WITH RECURSIVE x(id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM x WHERE id < 3) SELECT x.id, v FROM x JOIN app.s USING (id)",
    "a union": "SELECT id, v FROM app.s WHERE id = 1 UNION ALL SELECT id, v FROM app.s WHERE id > 1 ORDER BY 1 LIMIT 9",
    "values": "VALUES (1, 'a;b'), (2, 'c--d'), (3, NULL)",
    "a table": "TABLE app.s",
    "a parenthesis": "((SELECT id, v FROM app.s))",
    "dollar quotes": "SELECT id, CASE id WHEN 1 THEN $x$a;b$x$ WHEN 2 THEN $$c--d$$ END AS v FROM app.s",
    "strings": "SELECT id, CASE id WHEN 1 THEN 'a;b' WHEN 2 THEN E'c--\\x64' END AS v FROM app.s WHERE 'it''s; DELETE' <> ''",
    "quoted names": 'SELECT id AS "id", v AS "v" FROM app.s AS ";""--" WHERE ";""--".id > 0',
    "words that write elsewhere": "SELECT id, v FROM (SELECT id, v, 1 AS insert, 2 AS delete, 3 AS into FROM app.s) AS update",
    "substring for a column": "SELECT id, v FROM app.s WHERE substring('x' FOR id) = 'x' AND id IN (SELECT key FROM (SELECT id AS key, substring('ab' FOR id) AS k FROM app.s) AS x WHERE substring('ab' FOR key) <> '')",
    "holes": "SELECT id, v FROM app.s WHERE '{table} {{}} ${env:HOME} $1 :v %s %(v)s ?' <> ''",
    "a comment that a carriage return ends": "SELECT id -- x\r , v FROM app.s",
}
# VALUES and the like name their columns column1, column2.
UNNAMED = ("values",)


def test_whatever_reads_is_read(database: Database, flow: Flow) -> None:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.s (id integer, v text);"
        "INSERT INTO app.s VALUES (1, 'a;b'), (2, 'c--d'), (3, NULL)"
    )
    project = Project()
    for number, (name, query) in enumerate(READING.items()):
        key, v = ("column1", "column2") if name in UNNAMED else ("id", "v")
        for mode in ("append", "scd2", "truncate"):
            table = f"t{number}_{mode}"
            project.table(table, {key: "integer", v: "text?"}, schema="dw")
            keys = {"keys": key} if mode == "scd2" else {}
            project.pipelines[f"{name} {mode}"] = {"source": {"query": query}, "target": table, "mode": mode, **keys}
    reports = project.run(flow)
    for name, report in reports.items():
        assert counts(report) == {"in": 3, "inserted": 3}, name
    for number, name in enumerate(READING):
        key, v = ("column1", "column2") if name in UNNAMED else ("id", "v")
        for mode in ("append", "scd2", "truncate"):
            rows = database.rows(f"SELECT {key}, {v} FROM dw.t{number}_{mode} ORDER BY 1")
            assert rows == [(1, "a;b"), (2, "c--d"), (3, None)], (name, mode)


WRITING = {
    "two statements": "SELECT 1 AS id; SELECT 2 AS id",
    "a second that writes": "SELECT 1 AS id; DELETE FROM app.s",
    "a second behind a comment": "SELECT 1 AS id -- x\n; DELETE FROM app.s",
    "a second behind a carriage return": "SELECT 1 AS id -- x\r; DELETE FROM app.s\n, 2 AS b",
    "out of the parenthesis": "SELECT 1 AS id) AS q; DELETE FROM app.s; SELECT (1",
    "insert": "INSERT INTO app.s VALUES (2) RETURNING id",
    "update": "UPDATE app.s SET id = 2 RETURNING id",
    "delete": "DELETE FROM app.s RETURNING id",
    "merge": "MERGE INTO app.s USING (VALUES (1)) AS x(i) ON id = i WHEN MATCHED THEN DELETE",
    "a CTE that inserts": "WITH x AS (INSERT INTO app.s VALUES (2) RETURNING id) SELECT id FROM x",
    "a CTE that updates": "WITH x AS MATERIALIZED (UPDATE app.s SET id = 2 RETURNING id) SELECT id FROM x",
    "a CTE that deletes": "WITH x AS NOT MATERIALIZED (/* x */ DELETE FROM app.s RETURNING id) SELECT id FROM x",
    "a CTE within a CTE": "WITH x AS (WITH y AS (SELECT 1) DELETE FROM app.s RETURNING id) SELECT id FROM x",
    "select into": "SELECT id INTO app.made FROM app.s",
    "a locking select": "SELECT id FROM app.s FOR UPDATE",
    "a sharing select": "SELECT id FROM app.s FOR NO KEY UPDATE OF s SKIP LOCKED",
    "a key share": "SELECT id FROM app.s FOR KEY SHARE",
    "create": "CREATE TABLE app.made AS SELECT 1 AS id",
    "copy": "COPY app.s TO STDOUT",
    "set": "SET search_path = app",
    "call": "DO $$ BEGIN DELETE FROM app.s; END $$",
    "commit": "COMMIT; SELECT 1",
    "explain": "EXPLAIN ANALYZE DELETE FROM app.s",
    "truncate": "TRUNCATE app.s",
}


def test_whatever_writes_is_refused_and_has_written_nothing(database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id")
    wrong = {}
    for name, query in WRITING.items():
        project = Project()
        project.pipelines["p"] = {"source": {"query": query}, "target": "dw.t", "mode": "append"}
        flow.project(project.text())
        finished = flow("run", "p", "--output", "json", expect=None)
        document = finished.json()
        code = [each["code"] for each in document.get("errors", [])] or [document["error"]["code"]]
        if (finished.code, code) != (2, ["query_writes"]):
            wrong[name] = (finished.code, code)
    assert wrong == {}
    assert database.rows("SELECT id FROM app.s") == [(1,)]
    assert database.rows("SELECT to_regclass('app.made'), to_regclass('dw.t')") == [(None, None)]


# Each is one statement to who takes a backslash otherwise than the server: then a second one stands behind it.
BREAK_OUT = " ) q; COMMIT; DELETE FROM app.s; SELECT 1 FROM (SELECT 1 --"
ODD_STRINGS = {
    "a string that goes on in another line": f"SELECT 1 AS id, E'a'\n'b\\' '{BREAK_OUT}'",
    "behind a carriage return": f"SELECT 1 AS id, E'a'\r'b\\' '{BREAK_OUT}'",
    "behind a form feed": f"SELECT 1 AS id, E'a'\f\n'b\\' '{BREAK_OUT}'",
    "behind a comment": f"SELECT 1 AS id, E'a' -- c\n -- d\n 'b\\' '{BREAK_OUT}'",
    "with backslashes that escape everywhere": f"SELECT 1 AS id, '\\' AS v, '{BREAK_OUT}'",
}


@pytest.mark.parametrize("how", ["", "session", "options"])
@pytest.mark.parametrize("where", ["one connection", "two connections", "two databases"])
def test_no_string_hides_a_second_statement(where: str, how: str, database: Database, flow: Flow) -> None:
    settings = {
        "": {},
        "session": {"session": {"standard_conforming_strings": "off"}},
        "options": {},
    }[how]
    with temporary_database() as other:
        source = other if where == "two databases" else database
        source.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id")
        option = "&options=-c%20standard_conforming_strings%3Doff" if how == "options" else ""
        connect(flow, source.dsn + option, database.dsn + option)
        for query in ODD_STRINGS.values():
            project = Across(connections={"crm": settings, "warehouse": settings})
            project.pipeline("p", "app.s", "dw.t", "truncate")
            reads = "warehouse" if where == "one connection" else "crm"
            project.pipelines["p"]["source"] = {"connection": reads, "query": query}
            flow.project(project.text())
            for command in (["validate", "--connect"], ["plan", "p"], ["dry-run", "p"], ["run", "p"]):
                flow(*command, expect=None)
                assert source.rows("SELECT id FROM app.s") == [(1,)], (command, query)


@pytest.mark.parametrize("where", ["default", "crm"])
def test_a_mistake_of_the_query_is_told_in_the_servers_words(where: str, database: Database, flow: Flow) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id")
    connect(flow, database, database)
    project = Across()
    project.pipeline("p", "app.s", "dw.t", "truncate")
    project.pipelines["p"]["source"] = {"connection": where, "query": "SELECT id FROM app.s wher id > 3 orde"}
    project.pipelines["p"]["target_connection"] = "default"
    flow.project(project.text())
    for command in ("plan", "run"):
        finished = flow(command, "p", expect=1)
        assert (
            'error[source_failed]: the source\'s query failed: syntax error at or near "id"'
            in finished.stdout + finished.stderr
        )


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("SELECT 1 AS id, 2 AS id", "duplicate_name", "two columns called `id`"),
        ("SELECT a.id, b.id FROM app.s AS a JOIN app.s AS b ON true", "duplicate_name", "AS …"),
        ("SELECT 1 AS id", "unknown_column", "no column `email`"),
        ("SELECT 1 AS id, 'x' AS e_mail", "unknown_column", "did you mean `e_mail`?"),
        ("SELECT 1 AS id, 'x' AS email, 1 AS valid_from FROM nowhere", "source_failed", "nowhere"),
        ("SELECT id, emial AS email FROM app.s", "source_failed", "emial"),
        ("SELECT FROM app.s", "unknown_column", "no column"),
        ("SELECT 'it AS id", "invalid_value", "not closed"),
        ("SELECT 1 /* AS id", "invalid_value", "not closed"),
        ("-- nothing", "invalid_value", "empty"),
        ("SELECT $1 AS id, 'x' AS email", "source_failed", "parameters"),
        ("SELECT 1 AS id, 'x' AS email WHERE 1 / 0 = 1", "source_failed", "division by zero"),
    ],
)
def test_a_query_that_cannot_be_loaded_says_why(
    query: str, code: str, said: str, database: Database, flow: Flow
) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id, 'x' AS email")
    project = Project()
    project.table("t", {"id": "integer", "email": "text?"}, schema="dw", primary_key="id")
    project.pipelines["p"] = {"source": {"query": query}, "target": "t", "mode": "merge"}
    flow.project(project.text())
    document = flow("run", "p", "--output", "json", expect=(1, 2)).json()
    [error] = document.get("errors") or [document["error"]]
    assert error["code"] == code
    assert said in error["message"] + (error["hint"] or "")
    assert database.value("SELECT to_regclass('dw.t')") is None


HIDDEN_WRITERS = {
    "a function": "SELECT id, app.writes(id) AS n FROM app.s",
    "a function in SQL": "SELECT id, app.writes_in_sql(id) AS n FROM app.s",
    "a function of another's rights": "SELECT id, app.writes_as_owner(id) AS n FROM app.s",
    "a function in a condition": "SELECT id, 1 AS n FROM app.s WHERE app.writes(id) > 0",
    "a function that gives rows": "SELECT s.id, w AS n FROM app.s, LATERAL app.writes(s.id) AS w",
    "a function in a subquery": "SELECT id, (SELECT app.writes(id)) AS n FROM app.s",
    "a function in a CTE": "WITH w AS MATERIALIZED (SELECT app.writes(1) AS n) SELECT id, n FROM app.s, w",
    "a view": "SELECT id, n FROM app.shown",
    "a view as a table": "app.shown",
    "a sequence": "SELECT id, nextval('app.counter') AS n FROM app.s",
    "an overloaded function": 'SELECT id, app."Over"(id) AS n FROM app.s',
}
WRITERS = """
CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id; CREATE SEQUENCE app.counter; CREATE TABLE app.written (id int);
CREATE FUNCTION app.writes(integer) RETURNS bigint LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO app.written VALUES ($1); RETURN 1; END';
CREATE FUNCTION app.writes_in_sql(integer) RETURNS bigint LANGUAGE sql
    AS 'INSERT INTO app.written VALUES ($1) RETURNING 1::bigint';
CREATE FUNCTION app.writes_as_owner(integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    AS 'BEGIN EXECUTE ''DELETE FROM app.s''; RETURN 1; END';
CREATE FUNCTION app."Over"(text) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';
CREATE FUNCTION app."Over"(integer) RETURNS bigint LANGUAGE plpgsql
    AS 'BEGIN TRUNCATE app.s; RETURN 1; END';
CREATE VIEW app.shown AS SELECT id, app.writes(id) AS n FROM app.s;
"""


@pytest.mark.parametrize("where", ["one connection", "two connections of one database", "two databases"])
def test_what_a_query_calls_cannot_write(where: str, database: Database, flow: Flow) -> None:
    """The load's transaction writes; what the query calls is refused by the server all the same."""
    with temporary_database() as other:
        database.execute(WRITERS)
        connect(flow, database, other if where == "two databases" else database)
        wrong = {}
        for mode in ("append", "scd2"):
            for name, query in HIDDEN_WRITERS.items():
                made = Across()
                made.table("t", {"id": "integer", "n": "bigint?"}, schema="dw")
                made.pipeline("p", query, "t", mode, **({"keys": "id"} if mode == "scd2" else {}))
                if where == "one connection":
                    made.pipelines["p"]["source"]["connection"] = "warehouse"
                finished = flow("run", "p", "--output", "json", config=flow.project(made.text()), expect=None)
                error = finished.json()["error"]
                if error is None or (finished.code, error["code"]) != (2, "query_writes"):
                    wrong[name, mode] = finished
        assert wrong == {}
        assert database.rows("SELECT id FROM app.s") == [(1,)]
        assert database.rows("SELECT count(*) FROM app.written") == [(0,)]
        assert database.rows("SELECT is_called FROM app.counter") == [(False,)]


def test_what_a_query_calls_that_only_reads_stays_in_the_database(database: Database, flow: Flow) -> None:
    database.execute("""
        CREATE SCHEMA app; CREATE TABLE app.s AS SELECT 1 AS id;
        CREATE FUNCTION app.reads(integer) RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN $1; END';
        CREATE FUNCTION app.unsaid(integer) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
    """)
    connect(flow, database, database)
    for query, path in (
        ("SELECT id, app.reads(id) AS n FROM app.s", "same_db"),
        ("SELECT id, (random() * 0)::bigint + count(*) OVER () AS n FROM app.s", "same_db"),
        ("SELECT id, app.unsaid(id) AS n FROM app.s", "staging"),
    ):
        made = Across()
        made.table("t", {"id": "integer", "n": "bigint?"}, schema="dw")
        made.pipeline("p", query, "t", "truncate")
        made.pipelines["p"]["source"]["connection"] = "warehouse"
        report = made.run(flow)["p"]
        assert (report["path"], report["rows_inserted"]) == (path, 1), report
        if path == "staging":
            assert "app.unsaid, which may write" in report["path_reason"]
            made.pipelines["p"]["force_path"] = "same_db"
            finished = flow("run", "p", "--output", "json", config=flow.project(made.text()), expect=2)
            assert finished.json()["error"]["code"] == "path_impossible"
