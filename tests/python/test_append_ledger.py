"""What append has loaded already: rows that can be read again are neither lost nor doubled, whatever others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from across import Across, connect
from database import Database
from flow_binary import Flow
from project import Project, counts


@pytest.fixture
def events(database: Database) -> Database:
    database.execute("""
        CREATE SCHEMA app;
        CREATE TABLE app.events (id integer, v text, at integer);
        INSERT INTO app.events VALUES (1, 'a', 10), (2, 'b', 20), (3, 'c', 20);
    """)
    return database


def project(query: str = "app.events", **options: Any) -> Project:
    made = Project()
    made.table("t", {"id": "integer", "v": "text?"}, schema="dw")
    made.pipeline("p", query, "t", "append", incremental_column="at", **options)
    return made


def loaded(database: Database) -> list[tuple[int, str]]:
    return database.rows("SELECT id, v FROM dw.t ORDER BY id, v")


def test_what_others_do_to_the_target_changes_nothing(events: Database, flow: Flow) -> None:
    """A second writer's equal row, an update, a delete and a trigger: the ledger knows what it loaded itself."""
    p = project(lookback=100)
    assert counts(p.run(flow)["p"]) == {"in": 3, "inserted": 3}
    events.execute("""
        INSERT INTO dw.t VALUES (4, 'd');
        UPDATE dw.t SET v = 'edited' WHERE id = 1;
        DELETE FROM dw.t WHERE id = 2;
        CREATE FUNCTION dw.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$;
        CREATE TRIGGER shout BEFORE INSERT ON dw.t FOR EACH ROW EXECUTE FUNCTION dw.shout();
        INSERT INTO app.events VALUES (4, 'd', 20), (5, 'e', 21);
    """)
    assert counts(p.run(flow)["p"]) == {"in": 5, "inserted": 2, "skipped": 3}
    for _ in range(2):
        assert counts(p.run(flow)["p"]) == {"in": 5, "skipped": 5}
    assert loaded(events) == [(1, "edited"), (3, "c"), (4, "D"), (4, "d"), (5, "E")]


def test_equal_rows_are_counted(events: Database, flow: Flow) -> None:
    p = project(lookback=100)
    events.execute("INSERT INTO app.events VALUES (2, 'b', 20), (7, NULL, 20), (7, NULL, 20)")
    assert counts(p.run(flow)["p"]) == {"in": 6, "inserted": 6}
    events.execute("INSERT INTO app.events VALUES (2, 'b', 20), (7, NULL, 20)")
    assert counts(p.run(flow)["p"]) == {"in": 8, "inserted": 2, "skipped": 6}
    events.execute("DELETE FROM app.events WHERE id = 7")
    assert counts(p.run(flow)["p"]) == {"in": 5, "skipped": 5}
    assert events.value("SELECT count(*) FROM dw.t WHERE id = 7") == 3


def test_a_column_that_joins_the_query_or_the_table_doubles_nothing(events: Database, flow: Flow) -> None:
    p = project("SELECT id, v, at FROM app.events", lookback=100)
    p.run(flow)
    p.pipelines["p"]["source"] = {"query": "SELECT now() AS extra, id, v, at, id * 2 AS twice FROM app.events"}
    assert counts(p.run(flow)["p"]) == {"in": 3, "skipped": 3}
    p.tables["t"]["columns"]["twice"] = "integer?"
    p.pipelines["p"]["migrate"] = True
    events.execute("INSERT INTO app.events VALUES (9, 'z', 30)")
    assert counts(p.run(flow)["p"]) == {"in": 4, "inserted": 1, "skipped": 3}
    assert events.rows("SELECT id, twice FROM dw.t ORDER BY id") == [(1, None), (2, None), (3, None), (9, 18)]


def test_a_column_that_leaves_the_query_is_refused_by_name(events: Database, flow: Flow) -> None:
    p = project("SELECT id, v, at, 1 AS extra FROM app.events", lookback=100)
    p.run(flow)
    p.pipelines["p"]["source"] = {"query": "SELECT id, v, at FROM app.events"}
    report = p.run(flow, expect=4)["p"]
    assert report["error"]["code"] == "watermark_mismatch"
    assert "extra" in report["error"]["message"]
    assert len(loaded(events)) == 3


def test_keys_know_a_row_whose_other_columns_change_with_every_reading(events: Database, flow: Flow) -> None:
    p = project("SELECT id, random()::text AS v, at FROM app.events", keys="id", lookback=100)
    assert counts(p.run(flow)["p"]) == {"in": 3, "inserted": 3}
    events.execute("INSERT INTO app.events VALUES (1, 'a', 11), (4, 'd', 20)")
    assert counts(p.run(flow)["p"]) == {"in": 5, "inserted": 2, "skipped": 3}
    assert [key for key, _ in loaded(events)] == [1, 1, 2, 3, 4], "a key at another value is another row"


def test_a_raised_lookback_doubles_nothing(events: Database, flow: Flow) -> None:
    p = project(lookback=1)
    p.run(flow)
    events.execute("INSERT INTO app.events VALUES (5, 'late', 12), (6, 'f', 20)")
    p.pipelines["p"]["lookback"] = 100
    assert counts(p.run(flow)["p"]) == {"in": 3, "inserted": 1, "skipped": 2}, "what was not kept is not read again"
    p.pipelines["p"]["lookback"] = 0
    assert counts(p.run(flow)["p"]) == {"in": 3, "skipped": 3}
    p.pipelines["p"]["lookback"] = 1
    assert counts(p.run(flow)["p"]) == {"in": 3, "skipped": 3}


def test_a_watermark_that_is_set_or_forgotten(events: Database, flow: Flow) -> None:
    p = project()
    assert p.run(flow)["p"]["watermark_after"] == "20"
    flow("watermark", "set", "p", "20")
    assert counts(p.run(flow)["p"]) == {"in": 2, "inserted": 2}, "from there on they are appended again"
    assert counts(p.run(flow)["p"]) == {"in": 2, "skipped": 2}
    flow("watermark", "set", "p", "25")
    events.execute("INSERT INTO app.events VALUES (8, 'h', 24), (9, 'i', 25)")
    assert counts(p.run(flow)["p"]) == {"in": 1, "inserted": 1}
    flow("watermark", "reset", "p", "--yes")
    assert counts(p.run(flow)["p"]) == {"in": 5, "inserted": 5}
    shown = flow("watermark", "show", "p", "--output", "json").json()["watermarks"]
    assert [(each["pipeline"], each["last_value"]) for each in shown] == [("p", "25")]


def test_a_run_that_fails_has_entered_nothing(events: Database, flow: Flow) -> None:
    p = project(lookback=100)
    p.run(flow)
    events.execute("""
        INSERT INTO app.events VALUES (5, 'e', 30);
        ALTER TABLE dw.t ADD CONSTRAINT no_e CHECK (v <> 'e');
    """)
    assert p.run(flow, expect=1)["p"]["error"]["code"] == "target_failed"
    events.execute("ALTER TABLE dw.t DROP CONSTRAINT no_e")
    assert counts(p.run(flow)["p"]) == {"in": 4, "inserted": 1, "skipped": 3}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("smallint", ["-32768", "0", "32767"]),
        ("bigint", ["9007199254740992", "9007199254740993"]),
        ("numeric", ["0.1", "0.10000000000000000000000001"]),
        ("double precision", ["0.1", "0.30000000000000004", "1e300"]),
        ("real", ["0.1", "0.30000001"]),
        ("date", ["0044-03-15 BC", "2026-01-01"]),
        ("timestamp", ["2026-01-01 00:00:00.000001", "2026-01-01 00:00:00.000002"]),
        ("timestamptz", ["0044-03-15 00:00:00+00 BC", "2026-10-25 00:30:00+00", "2026-10-25 01:30:00+00"]),
        ("timestamptz(0)", ["2026-10-25 00:30:00+00", "2026-10-25 00:30:01+00"]),
        ("timestamptz", ["2026-10-25 00:30:00+00", "infinity"]),
        ("text", ["a", "b'\\{x}"]),
        ("interval", ["1 day", "1 mon 2 days 03:04:05.678"]),
    ],
    ids=str,
)
def test_a_watermark_keeps_every_digit_under_any_setting(
    kind: str, values: list[str], database: Database, flow: Flow
) -> None:
    """One value after another: each is found, none twice, though the settings turn from run to run."""
    database.execute(f"CREATE SCHEMA app; CREATE TABLE app.events (id integer, v text, at {kind})")
    p = project("SELECT id, v, at FROM app.events", future_watermark="include")
    for number, value in enumerate(values):
        for name, both in {
            "TimeZone": ("'Europe/Berlin'", "'UTC'"),
            "DateStyle": ("SQL, DMY", "German"),
            "IntervalStyle": ("sql_standard", "iso_8601"),
            "extra_float_digits": ("-15", "0"),
        }.items():
            database.execute(f'ALTER DATABASE "{database.name}" SET {name} = {both[number % 2]}')
        quoted = value.replace("'", "''")
        database.execute(f"INSERT INTO app.events VALUES ({number}, 'x', '{quoted}')")
        known = 1 if number else 0
        first = p.run(flow)["p"]
        assert counts(first)["inserted"] == 1, first
        assert counts(first).get("skipped", 0) == known, first
        again = p.run(flow)["p"]
        assert counts(again) == {"in": 1, "skipped": 1}, again
    assert database.value("SELECT count(*) FROM dw.t") == len(values)


def test_a_watermark_is_set_by_the_columns_of_a_source_in_another_database(
    new_database: Callable[[], Database], flow: Flow
) -> None:
    crm, warehouse = new_database(), new_database()
    crm.execute("CREATE SCHEMA app; CREATE TABLE app.s (id bigint, at date)")
    crm.execute("INSERT INTO app.s VALUES (1, '2026-01-01'), (2, '2026-01-02'), (3, '2026-01-03')")
    connect(flow, crm, warehouse)
    made = Across()
    made.table("t", {"id": "bigint", "at": "date"})
    made.pipeline("p", "app.s", "t", "append", incremental_column="at")
    flow.project(made.text())
    assert "2026-01-02" in flow("watermark", "set", "p", "2026-01-02").stdout
    assert made.run(flow)["p"]["rows_inserted"] == 2
    assert warehouse.rows("SELECT id FROM t ORDER BY id") == [(2,), (3,)]
    assert "is not a date" in flow("watermark", "set", "p", "soon", expect=2).stderr
    assert crm.value("SELECT to_regclass('ematix_flow.watermarks')") is None
