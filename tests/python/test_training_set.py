"""Training sets: spines of every kind joined to feature views as of each row's instant, held to a model of the events."""

from __future__ import annotations

import datetime as dt
import decimal
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import duckdb
import hypothesis.strategies as st
import pandas
import polars
import pyarrow
import pytest
from database import Database
from feature_tables import UTC, Event, Model, committed
from hypothesis import HealthCheck, Phase, given, settings
from python_package import Interpreter
from test_python_runs import sleeping, wait_until

from ematix_flow import (
    BigInt,
    Connection,
    FeatureView,
    Integer,
    Numeric,
    SpecError,
    Text,
    TimestampTZ,
    connect,
    ematix,
    pk,
)


@ematix.feature_view(schema="features", event_timestamp_column="seen", ttl=dt.timedelta(hours=3))
class Users(FeatureView):
    user_id: Annotated[BigInt, pk()]
    score: Integer | None
    seen: TimestampTZ


@ematix.feature_view(schema="features", event_timestamp_column="seen")
class Items(FeatureView):
    shop: Annotated[Text, pk()]
    item: Annotated[Integer, pk()]
    score: Integer | None
    name: Text | None
    seen: TimestampTZ


EPOCH = dt.datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: float) -> dt.datetime:
    return EPOCH + dt.timedelta(hours=hours)


def users(*events: Event, ttl: float | None = 3) -> Model:
    length = None if ttl is None else dt.timedelta(hours=ttl)
    return Model("users_v1", {"user_id": "bigint"}, {"score": "integer"}, length, list(events))


def items(*events: Event) -> Model:
    return Model(
        "items_v1", {"shop": "text", "item": "integer"}, {"score": "integer", "name": "text"}, None, list(events)
    )


SOME_USERS = (Event((1,), at(0), (10,)), Event((1,), at(2), (20,)), Event((2,), at(1), (5,)), Event((2,), at(2), None))
SOME_ITEMS = (Event(("a", 1), at(1), (7, "pen")), Event(("a", 2), at(0), (8, "ink")))


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    users(*SOME_USERS).make(database)
    items(*SOME_ITEMS).make(database)
    with connect(dsn=database.dsn) as conn:
        yield conn


def rows_of(made: Any) -> list[dict[str, Any]]:
    return pyarrow.table(made).to_pylist()  # type: ignore[no-any-return]


# --- as of, held to the model

KEYS = st.sampled_from([1, 2])
# Every hour is a boundary of something, and between two hours nothing is.
HOURS = st.integers(0, 6)
FEATURES = st.one_of(st.none(), st.tuples(st.one_of(st.none(), st.integers(0, 3))))
USER_EVENTS = st.lists(st.builds(Event, st.tuples(KEYS), HOURS.map(at), FEATURES, st.integers(1, 3)), max_size=8)
ITEM_EVENTS = st.lists(
    st.builds(
        Event,
        st.tuples(st.sampled_from(["a", "b"]), KEYS),
        HOURS.map(at),
        st.one_of(st.none(), st.tuples(st.integers(0, 3), st.sampled_from([None, "", "x"]))),
        st.integers(1, 3),
    ),
    max_size=8,
)
SPINE = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 3)),
        st.sampled_from(["a", "b", "c"]),
        KEYS,
        st.one_of(st.none(), st.integers(-1, 20).map(lambda halves: at(halves / 2))),
    ),
    max_size=12,
)
ENTITIES = [(1, "a", 1), (2, "a", 2), (1, "b", 1), (2, "b", 2)]
MICROSECOND = dt.timedelta(microseconds=1)


@settings(
    max_examples=60,
    # Making an example smaller would take minutes: each try makes tables.
    phases=[Phase.generate],
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    SPINE, USER_EVENTS, ITEM_EVENTS, st.one_of(st.none(), st.integers(0, 3)), st.one_of(st.none(), st.integers(1, 4))
)
def the_join_is_that_of_the_model(
    database: Database,
    conn: Connection,
    spine: list[Any],
    of_users: list[Event],
    of_items: list[Event],
    after: int | None,
    age: int | None,
) -> None:
    models = users(*of_users), items(*of_items)
    for model in models:
        model.fill(database)
    columns = ["user_id", "shop", "item", "as_of"]
    # Beside what was drawn, each boundary of each entity. Of each instant the last one before it, too.
    every = [(user, shop, item, at(halves / 2)) for user, shop, item in ENTITIES for halves in range(-1, 20)]
    rows = [
        (user, shop, item, time if time is None else time - shift)
        for user, shop, item, time in [*spine, *every]
        for shift in (0 * MICROSECOND, MICROSECOND)
    ]
    made = ematix.training_set(
        conn,
        spine=pyarrow.table(
            {name: [row[n] for row in rows] for n, name in enumerate(columns)},
            schema=pyarrow.schema(
                [("user_id", pyarrow.int64()), ("shop", pyarrow.string()), ("item", pyarrow.int32())]
                + [("as_of", pyarrow.timestamp("us", "UTC"))]
            ),
        ),
        feature_views=[Users, Items],
        known_as_of=None if after is None else committed(after),
        max_age=None if age is None else {Items: dt.timedelta(hours=age)},
    )

    def joined(row: tuple[Any, ...]) -> tuple[Any, ...]:
        user, shop, item, time = row
        if time is None:
            return (*row, *[None] * 5)
        seen, score = models[0].answer((user,), time, after) or (None, None)
        item_seen, item_score, name = models[1].answer((shop, item), time, after) or (None, None, None)
        if item_seen is not None and age is not None and item_seen + dt.timedelta(hours=age) <= time:
            item_seen, item_score, name = None, None, None
        return (*row, score, seen, item_score, name, item_seen)

    names = [*columns, "users__score", "users__seen", "items__score", "name", "items__seen"]
    assert made.column_names == names
    assert [tuple(row.values()) for row in made.to_pylist()] == [joined(row) for row in rows]
    for user, _, _, time in rows[: 2 * len(spine)]:
        if time is not None and after is None:
            found = Users.point_in_time(conn, entity_keys={"user_id": user}, as_of=time, columns=["seen", "score"])
            assert (None if found is None else tuple(found.values())) == models[0].answer((user,), time)


@pytest.mark.long
def test_every_row_has_the_features_of_its_instant_at_every_boundary(database: Database, conn: Connection) -> None:
    users().enter_runs(database, 3)
    items().enter_runs(database, 3)
    the_join_is_that_of_the_model(database, conn)


def test_what_was_known_goes_by_when_a_run_had_committed(database: Database, conn: Connection) -> None:
    model = users(Event((1,), at(0), (1,), run=1), Event((1,), at(0), (2,), run=2), Event((1,), at(1), (3,), run=3))
    model.fill(database)
    model.enter_runs(database, 3)
    # One whose commit was not entered was known when the next began; the last is known now.
    database.execute("UPDATE ematix_flow.run_history SET committed_at = NULL WHERE run_number IN (2, 3)")
    spine = [{"user_id": 1, "as_of": at(1)}]
    began = committed(3) - dt.timedelta(hours=1)
    for known, score in [
        (committed(1) - MICROSECOND, None),
        (committed(1), 1),
        (began - MICROSECOND, 1),
        (began, 2),
        (dt.datetime.now(UTC) + dt.timedelta(days=3650), 3),
    ]:
        [row] = rows_of(Users.historical_features(conn, spine=spine, known_as_of=known, columns=["score"]))
        assert row["score"] == score, known


# --- spines of every kind

SPINE_ROWS = [
    {"label": "late", "user_id": 1, "as_of": at(4)},
    {"label": "none", "user_id": 3, "as_of": at(4)},
    {"label": "early", "user_id": 1, "as_of": at(1)},
    {"label": "late", "user_id": 1, "as_of": at(4)},
]
SCORES = [20, None, 10, 20]
VALUES = ", ".join(f"('{row['label']}', {row['user_id']}, '{row['as_of']}'::timestamptz)" for row in SPINE_ROWS)

KINDS: dict[str, Callable[[], Any]] = {
    "dicts": lambda: SPINE_ROWS,
    "polars": lambda: polars.DataFrame(SPINE_ROWS),
    "pandas": lambda: pandas.DataFrame(SPINE_ROWS, index=[7, 5, 6, 1]),
    "pyarrow": lambda: pyarrow.Table.from_pylist(SPINE_ROWS),
    "duckdb": lambda: duckdb.from_arrow(pyarrow.Table.from_pylist(SPINE_ROWS)),
    "batches": lambda: pyarrow.Table.from_pylist(SPINE_ROWS).to_reader(max_chunksize=1),
    "table": lambda: "features.spine",
    "query": lambda: "SELECT label, user_id, as_of FROM features.spine ORDER BY n; -- in order",
    "with": lambda: "WITH s AS (SELECT * FROM features.spine) SELECT label, user_id, as_of FROM s ORDER BY n",
    "dates": lambda: polars.DataFrame(SPINE_ROWS).with_columns(polars.col("as_of").dt.cast_time_unit("ns")),
    "small keys": lambda: polars.DataFrame(SPINE_ROWS).with_columns(polars.col("user_id").cast(polars.Int8)),
    "texts": lambda: polars.DataFrame(SPINE_ROWS).with_columns(polars.col("user_id").cast(polars.String)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_spine_keeps_its_order_and_columns(kind: str, conn: Connection, database: Database) -> None:
    database.execute(
        f"CREATE TABLE features.spine AS SELECT v.label, v.user_id, v.as_of FROM (VALUES {VALUES}) AS v(label, user_id, as_of)"
    )
    if kind in ("query", "with"):
        database.execute("ALTER TABLE features.spine ADD n integer GENERATED ALWAYS AS IDENTITY")
    made = ematix.training_set(conn, spine=KINDS[kind](), feature_views=[Users], columns=["score"], prefer="pyarrow")
    assert made.column_names == ["label", "user_id", "as_of", "score"]
    expected = [row | {"score": score} for row, score in zip(SPINE_ROWS, SCORES, strict=True)]
    if kind == "texts":
        expected = [row | {"user_id": str(row["user_id"])} for row in expected]
    assert made.to_pylist() == expected


def test_the_values_of_a_list_come_back_as_they_were(conn: Connection) -> None:
    values: dict[str, Any] = {
        "truth": True,
        "whole": 2**62,
        "real": 1.5,
        "exact": decimal.Decimal("-12.345"),
        "text": 'tab\t "quoted" \\ é',
        "bytes": b"\x00\xff",
        "day": dt.date(2026, 2, 3),
        "zoned": at(5),
        "local": dt.datetime(2026, 2, 3, 4, 5, 6, 7),
        "nothing": None,
    }
    spine = [{"user_id": 1, "as_of": at(1), **values}, {"user_id": 2, "as_of": None}]
    first, second = rows_of(ematix.training_set(conn, spine=spine, feature_views=[Users], prefer="arrow"))
    assert first == {"user_id": 1, "as_of": at(1), **values, "score": 10, "seen": at(0)}
    assert second == {"user_id": 2, "as_of": None, **dict.fromkeys(values), "score": None, "seen": None}


@pytest.mark.parametrize(
    "spine",
    [
        [],
        polars.DataFrame(schema={"user_id": polars.Int64, "as_of": polars.Datetime("us", "UTC")}),
        pandas.DataFrame(
            {"user_id": pandas.Series(dtype="int64"), "as_of": pandas.Series(dtype="datetime64[us, UTC]")}
        ),
        "SELECT 1::bigint AS user_id, now() AS as_of WHERE false",
    ],
    ids=["list", "polars", "pandas", "query"],
)
def test_an_empty_spine_gives_no_rows_of_the_right_types(spine: Any, conn: Connection) -> None:
    made = ematix.training_set(conn, spine=spine, feature_views=[Users], prefer="pyarrow")
    time = pyarrow.timestamp("us", "UTC")
    columns = [("user_id", pyarrow.int64()), ("as_of", time), ("score", pyarrow.int32()), ("seen", time)]
    assert made.schema == pyarrow.schema(columns)
    assert made.num_rows == 0


def test_a_frame_comes_as_its_spine_or_as_one_prefers(conn: Connection) -> None:
    def kind(spine: Any, **more: Any) -> str:
        made = ematix.training_set(conn, spine=spine, feature_views=[Users], **more)
        return f"{type(made).__module__.partition('.')[0]}.{type(made).__name__}"

    assert kind(SPINE_ROWS) == "polars.DataFrame"
    assert kind(polars.DataFrame(SPINE_ROWS)) == "polars.DataFrame"
    assert kind(pandas.DataFrame(SPINE_ROWS)) == "pandas.DataFrame"
    assert kind(pyarrow.Table.from_pylist(SPINE_ROWS)) == "pyarrow.Table"
    assert kind(SPINE_ROWS, prefer="pandas") == "pandas.DataFrame"
    assert kind(pandas.DataFrame(SPINE_ROWS), prefer="polars") == "polars.DataFrame"
    assert kind(SPINE_ROWS, prefer="arrow") == "ematix_flow.Frame"


# --- names, columns, ages

BOTH = [{"user_id": 1, "shop": "a", "item": 1, "as_of": at(2)}]


def test_names_that_collide_are_told_apart_by_their_views(conn: Connection) -> None:
    def names(spine: Any, **more: Any) -> list[str]:
        made = ematix.training_set(conn, spine=spine, feature_views=[Users, Items], prefer="arrow", **more)
        return list(made.column_names)[len(spine[0]) :]

    assert names(BOTH) == ["users__score", "users__seen", "items__score", "name", "items__seen"]
    assert names(BOTH, columns=["items__score", "name"]) == ["score", "name"]
    assert names(BOTH, columns=["score", "user_id"]) == ["users__score", "items__score"]
    assert names([BOTH[0] | {"name": "mine"}], columns=["name"]) == ["items__name"]
    again = ematix.training_set(conn, spine=BOTH, feature_views=[Users, Users], columns=["score"], prefer="arrow")
    assert again.column_names[-1:] == ["score"], "one that is named twice is joined once"


def test_versions_of_one_view_stand_side_by_side(conn: Connection, database: Database) -> None:
    @ematix.feature_view(schema="features", name="users", feature_version="v2", event_timestamp_column="seen")
    class UsersAgain(FeatureView):
        user_id: Annotated[BigInt, pk()]
        score: Numeric[10, 2] | None
        seen: TimestampTZ

    Model("users_v2", {"user_id": "bigint"}, {"score": "numeric(10,2)"}, events=[Event((1,), at(0), (1.25,))]).make(
        database
    )
    [row] = rows_of(ematix.training_set(conn, spine=BOTH, feature_views=[Users, UsersAgain], columns=["score"]))
    assert (row["users_v1__score"], row["users_v2__score"]) == (20, decimal.Decimal("1.25"))


def test_a_maximal_age_is_of_every_view_or_of_each(conn: Connection) -> None:
    def scores(age: Any) -> tuple[Any, Any]:
        spine = [{"user_id": 1, "shop": "a", "item": 2, "as_of": at(2)}]
        made = ematix.training_set(conn, spine=spine, feature_views=[Users, Items], columns=["score"], max_age=age)
        [row] = rows_of(made)
        return row["users__score"], row["items__score"]

    assert scores(None) == (20, 8)
    assert scores("2h") == (20, None), "at the age itself it is over"
    assert scores(dt.timedelta(hours=2, milliseconds=1)) == (20, 8)
    assert scores({Items: "1h"}) == (20, None)
    assert scores({"items": "1h", Users: "3h"}) == (20, None)


def test_another_column_may_hold_the_instants(conn: Connection) -> None:
    spine = [{"user_id": 1, "bought": at(1), "as_of": "mine"}]
    [row] = rows_of(ematix.training_set(conn, spine=spine, feature_views=[Users], as_of_column="bought"))
    assert row == {"user_id": 1, "bought": at(1), "as_of": "mine", "score": 10, "seen": at(0)}


def test_a_time_without_a_zone_is_of_utc(database: Database, conn: Connection) -> None:
    elsewhere = f"{database.dsn}{'&' if '?' in database.dsn else '?'}options=-c%20TimeZone%3DPacific/Auckland"
    naive = [{"user_id": 1, "as_of": dt.datetime(2026, 1, 1, 2)}, {"user_id": 1, "as_of": dt.datetime(2026, 1, 1, 1)}]
    spines = (
        naive,
        polars.DataFrame(naive),
        "SELECT 1 AS user_id, timestamp '2026-01-01 02:00' - n * interval '1 hour' AS as_of FROM generate_series(0, 1) AS n",
    )
    with connect(dsn=elsewhere) as other:
        for spine in spines:
            made = ematix.training_set(other, spine=spine, feature_views=[Users], columns=["score"])
            assert [row["score"] for row in rows_of(made)] == [20, 10]
    day = [{"user_id": 1, "as_of": dt.date(2026, 1, 1)}]
    assert [row["score"] for row in rows_of(ematix.training_set(conn, spine=day, feature_views=[Users]))] == [10]


# --- into a table


def test_a_training_set_goes_into_a_table(conn: Connection, database: Database) -> None:
    made = ematix.training_set(conn, spine=SPINE_ROWS, feature_views=[Users], columns=["score"], into="features.churn")
    assert made == 4
    found = database.rows("SELECT label, score FROM features.churn ORDER BY ctid")
    assert found == [(row["label"], score) for row, score in zip(SPINE_ROWS, SCORES, strict=True)]
    for into, code in [
        ("features.churn", "duplicate_name"),
        ("nowhere.churn", "unknown_table"),
        ("churn", "invalid_value"),
    ]:
        with pytest.raises(SpecError) as refused:
            ematix.training_set(conn, spine=SPINE_ROWS, feature_views=[Users], into=into)
        assert refused.value.code == code
    assert database.value("SELECT count(*) FROM features.churn") == 4


# --- what is refused


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        ({"spine": SPINE_ROWS, "feature_views": [Users, Items]}, "missing_keys", ("`shop`", "`items`")),
        ({"spine": "SELECT 1 AS user_id"}, "unknown_column", ("`as_of`", "as_of_column")),
        (
            {"spine": "SELECT 1.5::float AS user_id, now() AS as_of"},
            "invalid_value",
            ("`user_id`", "`users`", "bigint"),
        ),
        ({"spine": "SELECT 1 AS user_id, 'x' AS as_of"}, "invalid_value", ("`as_of`", "no time")),
        ({"spine": "SELECT 'x' AS user_id, now() AS as_of"}, "cast_failed", ("spine", "bigint")),
        ({"spine": "features.nothing"}, "source_failed", ("spine", "features.nothing")),
        ({"spine": "DELETE FROM features.users_v1"}, "query_writes", ("spine",)),
        ({"spine": "SELECT 1; SELECT 2"}, "query_writes", ("more than one statement",)),
        ({"spine": SPINE_ROWS, "columns": ["scor"]}, "unknown_column", ("`scor`", "did you mean `score`?")),
        (
            {"spine": [{"user_id": 1, "as_of": at(1), "seen": 1, "users__seen": 1}]},
            "duplicate_name",
            ("`users__seen`", "rename"),
        ),
        ({"spine": SPINE_ROWS, "feature_views": []}, "missing_option", ("feature_views",)),
        ({"spine": SPINE_ROWS, "feature_views": [int]}, "invalid_value", ("no feature view",)),
        ({"spine": 17}, "invalid_value", ("list of dicts",)),
        ({"spine": [{"user_id": 1, "as_of": 5}]}, "invalid_value", ("row 1", "no time")),
        ({"spine": [{"user_id": 1, "as_of": at(1)}, {"user_id": "x"}]}, "invalid_value", ("int and str",)),
        ({"spine": SPINE_ROWS, "prefer": "spark"}, "invalid_value", ("prefer",)),
        ({"spine": SPINE_ROWS, "max_age": {Items: "1h"}}, "invalid_value", ("Items", "users")),
        ({"spine": SPINE_ROWS, "known_as_of": "yesterday"}, "invalid_value", ("known_as_of",)),
        ({"spine": SPINE_ROWS, "known_as_of": -1}, "invalid_value", ("known_as_of", "from 1")),
        ({"spine": SPINE_ROWS, "known_as_of": True}, "invalid_value", ("known_as_of", "no time")),
        (
            {"spine": BOTH, "feature_views": [Users, Items], "known_as_of": 1},
            "invalid_value",
            ("users, items", "give a time"),
        ),
        ({"spine": SPINE_ROWS, "known_as_of": at(1)}, "unknown_table", ("features.users_v1", "known_as_of")),
        ({"spine": polars.DataFrame({"user_id": [1], "as_of": [at(1)], "l": [{"a": 1}]})}, "invalid_value", ("`l`",)),
    ],
)
def test_what_cannot_be_joined_is_told(
    wanted: dict[str, Any], code: str, words: tuple[str, ...], conn: Connection
) -> None:
    with pytest.raises(Exception) as refused:
        ematix.training_set(conn, **{"feature_views": [Users], **wanted})
    assert (getattr(refused.value, "code", None), [word for word in words if word not in str(refused.value)]) == (
        code,
        [],
    )


def test_a_view_that_was_never_loaded_says_so(database: Database) -> None:
    with connect(dsn=database.dsn) as conn, pytest.raises(SpecError) as refused:
        ematix.training_set(conn, spine=SPINE_ROWS, feature_views=[Users])
    assert refused.value.code == "unknown_table"
    assert "`features.users` was never loaded" in str(refused.value)


def test_ctrl_c_cancels_on_the_server(conn: Connection, database: Database, tmp_path: Path) -> None:
    process = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn}).start(
        """
        from typing import Annotated
        from ematix_flow import BigInt, TimestampTZ, connect, ematix, pk

        @ematix.feature_view(schema="features", event_timestamp_column="seen")
        class Users:
            user_id: Annotated[BigInt, pk()]
            seen: TimestampTZ

        try:
            ematix.training_set(
                connect(),
                spine="SELECT 1 AS user_id, now() AS as_of, pg_sleep(60)::text AS s",
                feature_views=[Users],
                prefer="arrow",
            )
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    wait_until(lambda: sleeping(database), "the statement runs")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (stdout, process.returncode) == ("interrupted\n", 0), stderr
    wait_until(lambda: not sleeping(database), "it is cancelled")


def test_the_manuals_block_runs_as_it_is_printed(conn: Connection, database: Database) -> None:
    from datetime import datetime

    t1 = t2 = datetime(2026, 1, 1, 2)
    Model("item_features_v1", {"user_id": "bigint"}, {"price": "integer"}, events=[Event((2,), at(0), (3,))]).make(
        database
    )

    @ematix.feature_view(schema="features", event_timestamp_column="seen")
    class ItemFeatures(FeatureView):
        user_id: Annotated[BigInt, pk()]
        price: Integer | None
        seen: TimestampTZ

    df = ematix.training_set(conn, spine=[
        {"user_id": 1, "as_of": t1}, {"user_id": 2, "as_of": t2},
    ], feature_views=[Users, ItemFeatures])  # fmt: skip
    assert df.columns == ["user_id", "as_of", "score", "users__seen", "price", "item_features__seen"]
    assert df.select("user_id", "score", "price").rows() == [(1, 20, None), (2, None, 3)]


def test_behind_a_pooler_nothing_stays(pooler: Any, conn: Connection, database: Database) -> None:
    with connect(dsn=pooler.dsn) as pooled:
        for _ in range(3):
            made = ematix.training_set(pooled, spine=SPINE_ROWS, feature_views=[Users], columns=["score"])
            assert [row["score"] for row in rows_of(made)] == SCORES
        left = "SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_class WHERE relname = '_ematix_spine')"
        assert {pooled.query(left, rows="tuple")[0] for _ in range(10)} == {(0, 0)}
