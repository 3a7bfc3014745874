"""Feature views: what a load makes beside their table, what is served, the entry by which readers find both, and the
commands."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from customers import toml
from database import Database
from flow_binary import Finished, Flow
from python_package import PACKAGE

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.scores (user_id bigint, score numeric(10,2), last_seen timestamptz, gone boolean DEFAULT false);
INSERT INTO app.scores VALUES (1, 0.5, '2026-01-01'), (1, 0.6, '2026-01-03'), (2, 0.2, '2026-01-02');
"""
TABLE = "features.user_features_v1"
VIEW = "features.user_features"
ONLINE = "features.user_features_v1__online"
COLUMNS = {"user_id": "bigint", "score": "numeric(10,2)", "last_seen": "timestamptz"}
READS = {"query": "SELECT user_id, score, last_seen, gone FROM app.scores"}


@pytest.fixture(autouse=True)
def source(database: Database) -> None:
    database.execute(SOURCE)


def section(kind: str, name: str, said: dict[str, Any]) -> str:
    lines = [f"{option} = {toml(value)}" for option, value in said.items()]
    return "\n".join([f"[{kind}.{name}]", *lines, ""])


def view(key: str = "user_features", **said: Any) -> str:
    own = {"schema": "features", "event_timestamp_column": "last_seen", "primary_key": "user_id", "columns": COLUMNS}
    return section("features", key, own | said)


def fills(target: str = "user_features", name: str | None = None, **said: Any) -> str:
    own = {"source": READS, "target": target, "delete_when": "gone"}
    return section("pipelines", name or target, own | said)


def project(online: object = None, pipeline: dict[str, Any] | None = None, **said: Any) -> str:
    """The view `user_features` and the pipeline that fills it."""
    if online is not None:
        said["online"] = online
    return view(**said) + fills(**(pipeline or {}))


def served(database: Database, relation: str = ONLINE) -> list[tuple[Any, ...]]:
    return database.rows(f"SELECT user_id, score::text, last_seen::date::text FROM {relation} ORDER BY user_id")


def registered(database: Database) -> list[tuple[Any, ...]]:
    return database.rows(
        "SELECT name, version, target, entity_keys, event_column, ttl_ms, online, online_relation, owner, tags,"
        " pipeline_name, is_shown FROM ematix_flow.feature_views ORDER BY version"
    )


def kinds(database: Database) -> dict[str, str]:
    """What stands in the schema, by name."""
    found = database.rows(
        "SELECT relname::text, relkind::text FROM pg_class WHERE relnamespace = 'features'::regnamespace"
        " AND relkind IN ('r', 'v', 'm')"
    )
    return dict(found)


def objects(database: Database) -> list[tuple[Any, ...]]:
    """What is there, by its number in the catalogue: whatever is made anew has another."""
    return database.rows(
        "SELECT oid, relname::text FROM pg_class WHERE relnamespace = 'features'::regnamespace"
        " AND relname ~ '__online|user_features$' ORDER BY relname"
    )


def message(ran: Finished) -> str:
    return ran.stderr.splitlines()[0]


@pytest.mark.parametrize(("online", "kind"), [(None, None), (True, "m"), ("view", "m"), ("table", "r")])
def test_a_load_makes_the_view_what_is_served_and_the_entry(
    flow: Flow, database: Database, online: object, kind: str | None
) -> None:
    flow.project(project(online, ttl="30d", owner="ml", tags=["churn"]))
    flow("run", "user_features")
    found = kinds(database)
    assert (found["user_features_v1"], found["user_features"], found.get("user_features_v1__online")) == (
        "r",
        "v",
        kind,
    )
    shown = database.rows(f"SELECT user_id, score::text, is_current, is_deleted FROM {VIEW} ORDER BY 1, last_seen")
    assert shown == [(1, "0.50", False, False), (1, "0.60", True, False), (2, "0.20", True, False)]
    word = {None: None, "m": "view", "r": "table"}[kind]
    entry = (VIEW, "v1", TABLE, ["user_id"], "last_seen", 2_592_000_000, word, ONLINE if kind else None)
    assert registered(database) == [(*entry, "ml", ["churn"], "user_features", True)]
    if kind:
        assert served(database) == [(1, "0.60", "2026-01-03"), (2, "0.20", "2026-01-02")]
        # An entity comes once.
        [(columns,)] = database.rows(
            "SELECT array_agg(a.attname::text) FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid"
            f" AND a.attnum = ANY (i.indkey) WHERE i.indrelid = '{ONLINE}'::regclass AND i.indisunique"
        )
        assert columns == ["user_id"]


@pytest.mark.parametrize("online", [True, "table"])
def test_a_run_that_finds_nothing_new_makes_nothing_anew(flow: Flow, database: Database, online: object) -> None:
    flow.project(project(online))
    flow("run", "user_features")
    before = objects(database)
    entry = database.rows("SELECT * FROM ematix_flow.feature_views")
    rows = database.rows(f"SELECT ctid::text, xmin::text FROM {ONLINE} ORDER BY 1")
    flow("run", "user_features")
    assert objects(database) == before
    assert database.rows("SELECT * FROM ematix_flow.feature_views") == entry
    assert database.rows(f"SELECT ctid::text, xmin::text FROM {ONLINE} ORDER BY 1") == rows


def test_a_table_that_is_served_is_written_where_the_newest_event_changed_and_nowhere_else(
    flow: Flow, database: Database
) -> None:
    flow.project(project("table"))
    database.execute("INSERT INTO app.scores SELECT n, 1, '2026-01-01' FROM generate_series(3, 9) AS n")
    flow("run", "user_features")
    before = dict(database.rows(f"SELECT user_id, xmin::text FROM {ONLINE}"))
    database.execute(
        # A newer event, a late one, a correction of the newest and of an older one, a deletion, a new entity.
        "INSERT INTO app.scores VALUES (2, 0.9, '2026-02-01'), (3, 0.7, '2025-12-31'), (10, 0.1, '2026-01-05');"
        "UPDATE app.scores SET score = 0.65 WHERE user_id = 1 AND last_seen = '2026-01-03';"
        "INSERT INTO app.scores VALUES (4, 0, '2026-02-02', true), (5, 2, '2025-01-01', false)"
    )
    flow("run", "user_features")
    after = dict(database.rows(f"SELECT user_id, xmin::text FROM {ONLINE}"))
    assert {key for key in after if after[key] != before.get(key)} == {1, 2, 10}
    assert served(database)[:3] == [(1, "0.65", "2026-01-03"), (2, "0.90", "2026-02-01"), (3, "1.00", "2026-01-01")]
    assert 4 not in after


def test_an_event_that_comes_late_leaves_what_is_served_alone(flow: Flow, database: Database) -> None:
    flow.project(project("table"))
    flow("run", "user_features")
    before = database.rows(f"SELECT ctid::text, xmin::text FROM {ONLINE} ORDER BY 1")
    database.execute("INSERT INTO app.scores VALUES (1, 0.55, '2026-01-02'), (2, 0.1, '2025-01-02')")
    flow("run", "user_features")
    assert database.value(f"SELECT count(*) FROM {TABLE}") == 5
    assert database.rows(f"SELECT ctid::text, xmin::text FROM {ONLINE} ORDER BY 1") == before


def test_an_entity_that_an_event_deletes_is_served_no_longer_until_it_returns(flow: Flow, database: Database) -> None:
    flow.project(project("table"))
    flow("run", "user_features")
    database.execute("INSERT INTO app.scores VALUES (2, 0, '2026-01-10', true)")
    flow("run", "user_features")
    assert served(database) == [(1, "0.60", "2026-01-03")]
    database.execute("INSERT INTO app.scores VALUES (2, 0.3, '2026-01-11')")
    flow("run", "user_features")
    assert served(database) == [(1, "0.60", "2026-01-03"), (2, "0.30", "2026-01-11")]


def test_the_table_that_is_served_is_that_of_the_history_whatever_comes(flow: Flow, database: Database) -> None:
    """In several batches, out of order, with corrections and deletions: always what one reading of the history gives."""
    flow.project(project("table", ttl="10d", pipeline={"source": {"query": "SELECT * FROM app.batch"}}))
    database.execute("CREATE TABLE app.batch (LIKE app.scores)")
    for batch in range(6):
        database.execute(
            "TRUNCATE app.batch; INSERT INTO app.batch SELECT DISTINCT ON (k, t) k, v, t, v > 0.8 FROM ("
            f" SELECT hashint4(n + {batch}) %% 7 AS k, (abs(hashint4(n * 7 + {batch})) %% 100) / 100.0 AS v,"
            f" timestamptz '2026-01-01' + (abs(hashint4(n * 3 + {batch})) %% 20) * interval '1 day' AS t"
            " FROM generate_series(1, 25) AS n) AS x ORDER BY k, t".replace("%%", "%")
        )
        flow("run", "user_features")
        newest = f"SELECT user_id, score, last_seen, valid_from, valid_to, _run FROM {TABLE} WHERE is_current AND NOT is_deleted"
        kept = f"SELECT user_id, score, last_seen, valid_from, valid_to, _run FROM {ONLINE}"
        assert database.rows(f"({newest} EXCEPT {kept}) UNION ALL ({kept} EXCEPT {newest})") == []
    assert database.value(f"SELECT count(*) FROM {TABLE} WHERE is_deleted") > 0


def test_a_materialised_view_is_refreshed_behind_the_commit_with_a_row_of_its_own(
    flow: Flow, database: Database
) -> None:
    flow.project(
        project(True, pipeline={"transforms_post": ["CREATE TABLE IF NOT EXISTS app.copied AS TABLE " + ONLINE]})
    )
    flow("run", "user_features")
    database.execute("INSERT INTO app.scores VALUES (3, 0.3, '2026-01-04'); DROP TABLE app.copied")
    report = flow("run", "user_features", "--output", "json").json()
    # What the user declares comes after it.
    assert [(each["name"], each["status"]) for each in report["transforms"]] == [
        (f"refresh {ONLINE}", "success"),
        ("CREATE TABLE IF NOT EXISTS app.copied AS TABLE features.user…", "success"),
    ]
    assert [key for key, _, _ in served(database)] == [key for key, _, _ in served(database, "app.copied")] == [1, 2, 3]
    children = database.rows(
        "SELECT step_name, status FROM ematix_flow.run_history WHERE parent_run_id IS NOT NULL ORDER BY started_at"
    )
    assert children[0] == (f"refresh {ONLINE}", "success")


def test_a_refresh_that_fails_is_a_failed_step_and_what_is_served_grows_stale(flow: Flow, database: Database) -> None:
    flow.project(project(True, freshness="1h"))
    flow("run", "user_features")
    flow("features", "freshness")
    # A refresh that readers do not wait for needs the index.
    database.execute(
        "UPDATE ematix_flow.run_history SET started_at = started_at - interval '2 hours';"
        "DROP INDEX features.user_features_v1__online_user_id_key".replace(
            "features.user_features_v1__online_user_id_key",
            database.value(f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{ONLINE}'::regclass"),
        )
    )
    database.execute("INSERT INTO app.scores VALUES (3, 0.3, '2026-01-04')")
    ran = flow("run", "user_features", "--output", "json", expect=1)
    report = ran.json()
    assert (report["status"], report["committed"], report["error"]["code"]) == ("failed", True, "transform_failed")
    assert report["error"]["message"].startswith(f"refresh {ONLINE} failed after the load: ")
    assert report["error"]["location"]["line"] == 7
    assert database.value(f"SELECT count(*) FROM {TABLE}") == 4
    rows = database.rows(
        "SELECT step_name IS NOT NULL, status FROM ematix_flow.run_history ORDER BY started_at DESC LIMIT 2"
    )
    assert rows == [(True, "failed"), (False, "success")]
    # The load is fresh, and what is served is not.
    stale = flow("features", "freshness", "--output", "json", expect=1).json()
    [found] = stale["features"]
    assert (found["stale"], found["served_from"], found["freshness_ms"]) == (True, ONLINE, 3_600_000)
    assert found["age_ms"] > 7_000_000


def test_freshness_judges_what_says_how_old_it_may_be(flow: Flow, database: Database) -> None:
    text = project("table", freshness="1h") + view("quiet", columns=COLUMNS) + fills("quiet")
    flow.project(text)
    never = flow("features", "freshness", "--output", "json", expect=1).json()
    assert never["schema"] == "ematix.features-freshness.v1"
    assert [(each["name"], each["as_of"], each["age_ms"], each["stale"]) for each in never["features"]] == [
        ("user_features", None, None, True),
        ("quiet", None, None, False),
    ]
    flow("features", "materialize", "--output", "json")
    flow("features", "freshness")
    flow("features", "freshness", "quiet")
    database.execute("UPDATE ematix_flow.run_history SET started_at = started_at - interval '61 minutes'")
    shown = flow("features", "freshness", expect=1)
    assert "stale" in shown.stdout.splitlines()[1]
    flow("features", "freshness", "quiet")


def test_materialize_runs_the_pipelines_that_fill_a_view(flow: Flow, database: Database) -> None:
    other = section("pipelines", "other", {"source": READS, "target": "app.other", "mode": "truncate"})
    flow.project(project() + other + view("lonely"))
    runs = flow("features", "materialize", "--output", "json").json()["runs"]
    assert [(each["pipeline"], each["status"]) for each in runs] == [("user_features", "success")]
    one = flow("features", "materialize", VIEW, "--output", "json").json()
    assert (one["schema"], one["pipeline"]) == ("ematix.run.v1", "user_features")
    refused = flow("features", "materialize", "lonely", expect=2)
    assert message(refused) == "error[unknown_pipeline]: no pipeline fills the feature view `lonely`"
    refused = flow("features", "materialize", "user_feature", expect=2)
    assert message(refused) == "error[unknown_table]: there is no feature view `user_feature`"


def two_versions(**said: Any) -> str:
    second = {"columns": {"user_id": "bigint", "grade": "text", "last_seen": "timestamptz"}, "feature_version": "v2"}
    reads = {"query": "SELECT user_id, 'A' AS grade, last_seen FROM app.scores"}
    pipeline = section("pipelines", "second", {"source": reads, "target": "second"})
    return project(**said) + view("second", name="user_features", **second) + pipeline


def test_two_versions_stand_side_by_side_and_the_view_shows_the_one_declared_last(
    flow: Flow, database: Database
) -> None:
    flow.project(project())
    flow("run", "user_features")
    database.execute(
        f"CREATE ROLE {database.name}_reader; GRANT SELECT ON {VIEW} TO {database.name}_reader WITH GRANT OPTION"
    )
    try:
        flow.project(two_versions())
        # Until it has its table, the view stays where it is.
        flow("run", "user_features")
        assert database.rows(f"SELECT DISTINCT score FROM {VIEW} WHERE user_id = 2") != []
        flow("run", "second")
        assert database.rows(f"SELECT DISTINCT grade FROM {VIEW}") == [("A",)]
        # Who could read it can do so still.
        reader = f"'{database.name}_reader'"
        assert database.value(f"SELECT has_table_privilege({reader}, '{VIEW}', 'SELECT WITH GRANT OPTION')") is True
        before = objects(database)
        flow("run", "user_features")
        assert objects(database) == before
        found = [(entry[1], entry[2], entry[-1]) for entry in registered(database)]
        assert found == [("v1", TABLE, False), ("v2", "features.user_features_v2", True)]
        # What is taken back is shown again.
        flow.project(project())
        flow("run", "user_features")
        assert database.rows(f"SELECT score::text FROM {VIEW} WHERE user_id = 2") == [("0.20",)]
        assert [(entry[1], entry[-1]) for entry in registered(database)] == [("v1", True), ("v2", False)]
    finally:
        database.execute(f"DROP OWNED BY {database.name}_reader; DROP ROLE {database.name}_reader")


def test_a_dry_run_lists_it_all_and_leaves_nothing(flow: Flow, database: Database) -> None:
    flow.project(project(True))
    steps = flow("plan", "user_features", "--output", "json").json()["pipelines"][0]["steps"]
    purposes = [step["purpose"] for step in steps]
    assert f"materialised view {ONLINE}   the newest event a key" in purposes
    assert f"view {VIEW}   shows {TABLE}" in purposes
    assert f"register the feature view {VIEW} v1" in purposes
    assert steps[-1]["sql"] == 'REFRESH MATERIALIZED VIEW CONCURRENTLY "features"."user_features_v1__online"'
    assert flow("dry-run", "user_features", "--output", "json").json()["rows_inserted"] == 3
    assert (
        database.value("SELECT to_regnamespace('features') IS NULL AND to_regnamespace('ematix_flow') IS NULL") is True
    )


def test_what_is_served_follows_its_declaration(flow: Flow, database: Database) -> None:
    made: dict[object, str | None] = {True: "m", "table": "r", False: None}
    for online in (True, "table", True, False, "table"):
        flow.project(project(online))
        flow("run", "user_features")
        assert kinds(database).get("user_features_v1__online") == made[online]
        if online:
            assert len(served(database)) == 2
    # Another length of life ends events elsewhere.
    flow.project(project("table", ttl="1d"))
    flow("run", "user_features")
    assert database.value(f"SELECT valid_to::date::text FROM {ONLINE} WHERE user_id = 1") == "2026-01-04"


@pytest.mark.parametrize(
    ("name", "what"),
    [(VIEW, "the view of the features"), (ONLINE, "what is served of the features")],
)
def test_a_relation_of_somebody_else_is_left_alone(flow: Flow, database: Database, name: str, what: str) -> None:
    database.execute(f"CREATE SCHEMA features; CREATE TABLE {name} (mine text)")
    flow.project(project(True))
    ran = flow("run", "user_features", expect=4)
    assert message(ran) == f"error[drift]: {name} is a table, which flow did not make, and {what} is to have its name"
    assert database.rows(f"SELECT * FROM {name}") == []
    assert database.value(f"SELECT to_regclass('{TABLE}') IS NULL") is True


def test_a_column_gets_another_type_below_what_reads_it(flow: Flow, database: Database) -> None:
    flow.project(project(True))
    flow("run", "user_features")
    wider = COLUMNS | {"score": "numeric(20,2)", "note": "text?"}
    flow.project(project(True, columns=wider, pipeline={"migrate": True, "source": {"table": "app.scores"}}))
    database.execute("ALTER TABLE app.scores ADD note text")
    flow("run", "user_features")
    for relation in (TABLE, VIEW, ONLINE):
        [(found,)] = database.rows(
            f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{relation}'::regclass AND attname = 'score'"
        )
        assert found == "numeric(20,2)"
        assert database.rows(f"SELECT note FROM {relation} WHERE user_id = 2") == [(None,)]


def test_a_view_may_be_one_of_several_targets(flow: Flow, database: Database) -> None:
    said = {
        "source": READS,
        "targets": [
            {"target": "user_features", "delete_when": "gone"},
            {"target": "app.copy", "mode": "truncate"},
        ],
    }
    flow.project(view(online=True, freshness="1h") + section("pipelines", "both", said))
    flow("run", "both")
    database.execute("INSERT INTO app.scores VALUES (3, 0.3, '2026-01-04')")
    flow("run", "both")
    assert [key for key, _, _ in served(database)] == [1, 2, 3]
    flow("features", "freshness")
    listed = flow("features", "list", "--output", "json").json()["features"]
    assert [each["pipelines"] for each in listed] == [["both"]]


def test_views_of_python_and_of_toml_are_one_thing(flow: Flow, database: Database) -> None:
    module = '''
from datetime import timedelta
from typing import Annotated

from ematix_flow import BigInt, Numeric, Text, TimestampTZ, ematix, pk


@ematix.feature_view(schema="features", feature_version="v1", event_timestamp_column="last_seen",
                     ttl=timedelta(days=30), online=True, freshness="1h", owner="ml", tags=["churn"])
class UserFeatures:
    """What users are worth."""

    user_id: Annotated[BigInt, pk()]
    score: Numeric[10, 2]
    last_seen: TimestampTZ


@ematix.feature_view(schema="features", name="user_features", feature_version="v2",
                     event_timestamp_column="last_seen", online="table")
class UserFeatures2:
    user_id: Annotated[BigInt, pk()]
    grade: Text
    last_seen: TimestampTZ


@ematix.pipeline(target=UserFeatures)
def user_features(conn):
    return "SELECT user_id, score, last_seen FROM app.scores"


@ematix.pipeline(target=UserFeatures2, mode="scd2")
def second(conn):
    return "SELECT user_id, 'A' AS grade, last_seen FROM app.scores"
'''
    (flow.directory / "shop.py").write_text(module, encoding="utf-8")
    flow.variables |= {"PYTHONPATH": f"{PACKAGE}:{flow.directory}", "EMATIX_FLOW_PYTHON": sys.executable}
    listed = flow("--module", "shop", "features", "list", "--output", "json").json()["features"]
    said = [(each["name"], each["view"], each["table"], each["shown"], each["online"], each["ttl"]) for each in listed]
    assert said == [
        (TABLE, VIEW, TABLE, False, "view", "2592000s"),
        ("features.user_features_v2", VIEW, "features.user_features_v2", True, "table", None),
    ]
    first = flow("--module", "shop", "features", "show", TABLE, "--output", "json").json()
    assert (first["schema"], first["description"], first["owner"], first["pipelines"]) == (
        "ematix.features-show.v1",
        "What users are worth.",
        "ml",
        ["user_features"],
    )
    flow("--module", "shop", "features", "materialize")
    assert kinds(database) | {
        "user_features": "v",
        "user_features_v1__online": "m",
        "user_features_v2__online": "r",
    } == kinds(database)
    assert served(database) == [(1, "0.60", "2026-01-03"), (2, "0.20", "2026-01-02")]
    assert database.rows(f"SELECT DISTINCT grade FROM {VIEW}") == [("A",)]


def test_what_a_view_says_is_refused_where_a_pipeline_says_otherwise(flow: Flow) -> None:
    cases = {
        "mode": ("merge", '`mode = "merge"` keeps no history by event time, which the feature view `user_features` is'),
        "ttl": ("1d", '`ttl` is "1d" here, and the feature view `user_features` that it fills says nothing'),
    }
    for option, (value, expected) in cases.items():
        said = {"source": READS, "target": "user_features", option: value}
        flow.project(view() + section("pipelines", "user_features", said))
        refused = flow("run", "user_features", "--output", "json", expect=2)
        [error] = json.loads(refused.stdout)["errors"]
        assert (error["code"], error["message"]) == ("conflicting_options", expected)
        assert error["location"]["line"] == 9


def test_versions_that_are_filled_at_once_for_the_first_time_do_not_meet(flow: Flow, database: Database) -> None:
    flow.project(two_versions())
    reports = flow("run", "--all", "--jobs", "2", "--output", "json").json()["runs"]
    assert [each["status"] for each in reports] == ["success", "success"]
    assert database.rows(f"SELECT DISTINCT grade FROM {VIEW}") == [("A",)]
    assert [(entry[1], entry[-1]) for entry in registered(database)] == [("v1", False), ("v2", True)]


@pytest.mark.parametrize("online", [True, "table"])
def test_a_rewind_puts_back_what_is_served(flow: Flow, database: Database, online: object) -> None:
    flow.project(project(online))
    flow("run", "user_features")
    before = served(database)
    database.execute(
        "INSERT INTO app.scores VALUES (1, 0.9, '2026-02-01', false), (2, 0, '2026-02-01', true), (7, 1, '2026-01-01', false)"
    )
    flow("run", "user_features")
    assert served(database) != before
    flow("rewind", "user_features", "--to", "1", "--yes")
    assert served(database) == before
