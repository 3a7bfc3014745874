"""Features served to models: one entity and many, now and as of an instant, through pools, poolers, threads and tasks."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from database import Database
from feature_tables import UTC, Event, Model
from pooler import Pooler
from python_package import Interpreter

from ematix_flow import (
    BigInt,
    Connection,
    FeatureView,
    Numeric,
    PgType,
    SpecError,
    TimestampTZ,
    connect,
    ematix,
    pk,
)

pytestmark = pytest.mark.clock


@ematix.feature_view(schema="features", event_timestamp_column="seen")
class UserFeatures(FeatureView):
    user_id: Annotated[BigInt, pk()]
    score: Numeric[10, 2] | None
    seen: TimestampTZ


@ematix.feature_view(
    schema="features", name="user_features", feature_version="v2", event_timestamp_column="seen", online=True
)
class OnlineFeatures(FeatureView):
    user_id: Annotated[BigInt, pk()]
    score: Numeric[10, 2] | None
    seen: TimestampTZ


def day(number: int) -> dt.datetime:
    return dt.datetime(2026, 1, number, tzinfo=UTC)


EVENTS = [
    Event((1,), day(1), (decimal.Decimal("1.50"),)),
    Event((1,), day(3), (decimal.Decimal("3.50"),)),
    Event((2,), day(2), (None,)),
    Event((3,), day(1), (decimal.Decimal(9),)),
    Event((3,), day(2), None),
]
FIRST = {"user_id": 1, "score": decimal.Decimal("1.50"), "seen": day(1)}
SECOND = {"user_id": 1, "score": decimal.Decimal("3.50"), "seen": day(3)}
UNKNOWN_SCORE = {"user_id": 2, "score": None, "seen": day(2)}


@pytest.fixture
def users(database: Database) -> Model:
    """Both versions, of the same events."""
    models = [both(version) for version in ("v1", "v2")]
    for model in models:
        model.make(database)
    return models[0]


def both(version: str, ttl: dt.timedelta | None = None, events: Sequence[Event] = EVENTS) -> Model:
    return Model(f"user_features_{version}", {"user_id": "bigint"}, {"score": "numeric(10,2)"}, ttl, events)


@pytest.fixture
def conn(database: Database, users: Model) -> Iterator[Connection]:
    with connect(dsn=database.dsn) as conn:
        yield conn


def test_an_entity_has_a_dict_and_one_without_features_none(conn: Connection) -> None:
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 2}) == UNKNOWN_SCORE
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 3}) is None, "it was deleted"
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 4}) is None
    assert UserFeatures.online_features(conn, entity_keys={"user_id": None}) is None


def test_a_list_of_entities_has_a_list_in_its_order(conn: Connection) -> None:
    keys = [{"user_id": key} for key in (4, 2, 1, 3, 1, None)]
    assert UserFeatures.online_features(conn, entity_keys=keys) == [None, UNKNOWN_SCORE, SECOND, None, SECOND, None]
    assert UserFeatures.online_features(conn, entity_keys=[]) == []


def test_columns_are_those_that_are_named_in_that_order(conn: Connection) -> None:
    found = UserFeatures.online_features(conn, entity_keys={"user_id": 1}, columns=["seen", "score"])
    assert found is not None
    assert list(found.items()) == [("seen", day(3)), ("score", decimal.Decimal("3.50"))]
    both = UserFeatures.online_features(conn, entity_keys=[{"user_id": 1}, {"user_id": 9}], columns=["score"])
    assert both == [{"score": decimal.Decimal("3.50")}, None]


def test_as_of_an_instant_the_newest_event_up_to_then_answers(conn: Connection) -> None:
    microsecond = dt.timedelta(microseconds=1)
    for at, found in [
        (day(1) - microsecond, None),
        (day(1), FIRST),
        (day(3) - microsecond, FIRST),
        (day(3), SECOND),
        (day(3).astimezone(dt.timezone(dt.timedelta(hours=5))), SECOND),
        (dt.datetime(2026, 1, 3), SECOND),
    ]:
        assert UserFeatures.point_in_time(conn, entity_keys={"user_id": 1}, as_of=at) == found, at
    keys = [{"user_id": 3}, {"user_id": 1}]
    deleted = {"user_id": 3, "score": decimal.Decimal("9.00"), "seen": day(1)}
    assert UserFeatures.point_in_time(conn, entity_keys=keys, as_of=day(1)) == [deleted, FIRST]
    assert UserFeatures.point_in_time(conn, entity_keys=keys, as_of=day(2)) == [None, FIRST]


def test_a_zone_of_the_session_moves_no_instant(conn: Connection, database: Database) -> None:
    elsewhere = f"{database.dsn}{'&' if '?' in database.dsn else '?'}options=-c%20TimeZone%3DPacific/Auckland"
    with connect(dsn=elsewhere) as other:
        for at in (dt.datetime(2026, 1, 2, 23, 59, 59), dt.datetime(2026, 1, 3), dt.date(2026, 1, 3)):
            here = UserFeatures.point_in_time(conn, entity_keys={"user_id": 1}, as_of=at)  # type: ignore[arg-type]
            assert UserFeatures.point_in_time(other, entity_keys={"user_id": 1}, as_of=at) == here  # type: ignore[arg-type]


def test_what_has_expired_is_no_answer(database: Database) -> None:
    now = dt.datetime.now(UTC)
    hours = [dt.timedelta(hours=n) for n in range(4)]
    events = [Event((1,), now - hours[3], (1,)), Event((2,), now - hours[1], (2,)), Event((3,), now + hours[1], (3,))]
    for version in ("v1", "v2"):
        both(version, hours[2], events).make(database)
    database.execute(
        "CREATE MATERIALIZED VIEW features.user_features_v2__online AS SELECT * FROM features.user_features_v2 WHERE is_current"
    )
    keys = [{"user_id": key} for key in (1, 2, 3)]
    with connect(dsn=database.dsn) as conn:
        for view in (UserFeatures, OnlineFeatures):
            found = view.online_features(conn, entity_keys=keys, columns=["score"])
            assert found == [None, {"score": decimal.Decimal("2.00")}, None], view
            assert view.online_features(conn, entity_keys=keys[0]) is None


def test_a_view_that_is_online_is_served_from_what_is_kept(conn: Connection, database: Database) -> None:
    with pytest.raises(SpecError) as refused:
        OnlineFeatures.online_features(conn, entity_keys={"user_id": 1})
    assert refused.value.code == "unknown_table"
    assert "features.user_features_v2__online" in str(refused.value) and "materialize" in str(refused.value.hint)
    database.execute(
        "CREATE TABLE features.user_features_v2__online AS SELECT user_id, 7.25::numeric(10,2) AS score, seen,"
        " valid_from, valid_to FROM features.user_features_v2 WHERE is_current AND NOT is_deleted"
    )
    kept = SECOND | {"score": decimal.Decimal("7.25")}
    assert OnlineFeatures.online_features(conn, entity_keys={"user_id": 1}) == kept
    assert OnlineFeatures.online_features(conn, entity_keys=[{"user_id": 3}, {"user_id": 1}]) == [None, kept]
    assert OnlineFeatures.point_in_time(conn, entity_keys={"user_id": 1}, as_of=day(3)) == SECOND, "from the history"


@pytest.mark.parametrize(
    ("ask", "code", "words"),
    [
        (lambda c: UserFeatures.online_features(c, entity_keys={}), "missing_keys", "lacks `user_id`"),
        (
            lambda c: UserFeatures.online_features(c, entity_keys=[{"user_id": 1}, {}]),
            "missing_keys",
            "lacks `user_id`",
        ),
        (
            lambda c: UserFeatures.online_features(c, entity_keys={"user_id": 1, "userid": 2}),
            "unknown_column",
            "did you mean `user_id`?",
        ),
        (lambda c: UserFeatures.online_features(c, entity_keys=17), "invalid_value", 'write {"user_id": 17}'),
        (lambda c: UserFeatures.online_features(c, entity_keys=[17]), "invalid_value", '{"user_id": …}'),
        (lambda c: UserFeatures.online_features(c, entity_keys={"user_id": "x"}), "invalid_value", "bigint"),
        (lambda c: UserFeatures.online_features(c, entity_keys=[{"user_id": "x"}]), "invalid_value", "bigint"),
        (
            lambda c: UserFeatures.online_features(c, entity_keys={"user_id": 1}, columns=["scor"]),
            "unknown_column",
            "did you mean `score`?",
        ),
        (lambda c: UserFeatures.point_in_time(c, entity_keys={"user_id": 1}, as_of="now"), "invalid_value", "datetime"),
    ],
)
def test_what_cannot_be_asked_is_told(ask: Callable[[Any], object], code: str, words: str, conn: Connection) -> None:
    with pytest.raises(SpecError) as refused:
        ask(conn)
    assert refused.value.code == code
    assert words in str(refused.value)
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND, "the next question is answered"


def test_a_view_that_was_never_loaded_says_so(database: Database) -> None:
    with connect(dsn=database.dsn) as conn, pytest.raises(SpecError) as refused:
        UserFeatures.online_features(conn, entity_keys={"user_id": 1})
    assert refused.value.code == "unknown_table"
    assert "`features.user_features` was never loaded" in str(refused.value)
    assert "flow features materialize user_features" in str(refused.value.hint)


def test_a_view_whose_table_is_gone_says_so(conn: Connection, database: Database) -> None:
    database.execute("DROP TABLE features.user_features_v1")
    with pytest.raises(SpecError) as refused:
        UserFeatures.online_features(conn, entity_keys={"user_id": 1})
    assert refused.value.code == "unknown_table"
    assert "features.user_features_v1 " in str(refused.value)
    assert "flow features materialize user_features" in str(refused.value.hint)


def test_tasks_and_threads_share_a_connection(conn: Connection) -> None:
    async def many() -> list[Any]:
        asked = [UserFeatures.online_features_async(conn, entity_keys={"user_id": n % 4}) for n in range(200)]
        asked.append(UserFeatures.point_in_time_async(conn, entity_keys=[{"user_id": 1}], as_of=day(1)))
        return list(await asyncio.gather(*asked))

    *found, at_first = asyncio.run(many())
    assert found == [None, SECOND, UNKNOWN_SCORE, None] * 50
    assert at_first == [FIRST]

    async def wrong() -> None:
        with pytest.raises(SpecError):
            await UserFeatures.online_features_async(conn, entity_keys={"user_id": "x"})

    asyncio.run(wrong())
    with ThreadPoolExecutor(32) as pool:
        asked = pool.map(lambda n: UserFeatures.online_features(conn, entity_keys={"user_id": n % 4}), range(400))
        assert list(asked) == [None, SECOND, UNKNOWN_SCORE, None] * 100


def test_callers_do_not_wait_for_each_other(conn: Connection, database: Database) -> None:
    UserFeatures.online_features(conn, entity_keys={"user_id": 1})
    database.execute("CREATE TABLE features.user_features_v2__online AS SELECT * FROM features.user_features_v2")
    with database.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE features.user_features_v2__online")
        waiting = threading.Thread(
            target=lambda: OnlineFeatures.online_features(conn, entity_keys={"user_id": 1}), daemon=True
        )
        waiting.start()
        assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND
        assert waiting.is_alive()
        holder.rollback()
        waiting.join(30)
        assert not waiting.is_alive()


PREPARED = "SELECT count(*) FROM pg_prepared_statements"


def test_a_statement_is_prepared_once_and_again_when_its_table_is_another(conn: Connection, database: Database) -> None:
    for _ in range(3):
        assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND
    database.execute("ALTER TABLE features.user_features_v1 ALTER score TYPE double precision")
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND | {"score": 3.5}
    database.execute("ALTER TABLE features.user_features_v1 RENAME score TO points")
    with pytest.raises(Exception, match="score"):
        UserFeatures.online_features(conn, entity_keys={"user_id": 1})
    with pytest.raises(SpecError) as refused:
        UserFeatures.online_features(conn, entity_keys={"user_id": 1})
    assert refused.value.code == "unknown_column"
    database.execute("ALTER TABLE features.user_features_v1 RENAME points TO score")
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND | {"score": 3.5}


def test_sessions_that_the_server_ends_are_replaced(conn: Connection, database: Database) -> None:
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND
    ended = database.value(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE '%features%'"
    )
    assert ended == 1, "one session has served all of them"
    assert UserFeatures.online_features(conn, entity_keys={"user_id": 1}) == SECOND


def test_nothing_is_prepared_behind_a_pooler(pooler: Pooler, users: Model, database: Database) -> None:
    with connect(dsn=pooler.dsn) as conn:
        with ThreadPoolExecutor(8) as pool:
            asked = pool.map(lambda n: UserFeatures.online_features(conn, entity_keys={"user_id": n % 4}), range(80))
            assert list(asked) == [None, SECOND, UNKNOWN_SCORE, None] * 20
        # The sessions of the pooler are the next one's: what was left in one of them would be found.
        left = [conn.query(PREPARED, rows="tuple")[0][0] for _ in range(20)]
        assert left == [0] * 20


def test_a_process_that_forks_goes_on_with_sessions_of_its_own(
    database: Database, users: Model, tmp_path: Path
) -> None:
    done = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn}).run(
        """
        import os
        from typing import Annotated
        from ematix_flow import BigInt, TimestampTZ, connect, ematix, pk

        @ematix.feature_view(schema="features", event_timestamp_column="seen")
        class UserFeatures:
            user_id: Annotated[BigInt, pk()]
            seen: TimestampTZ

        conn = connect()
        ask = lambda: UserFeatures.online_features(conn, entity_keys={"user_id": 1})["user_id"]
        print(ask(), flush=True)
        for child in range(2):
            if (pid := os.fork()) == 0:
                print(ask(), flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        print(ask(), flush=True)
        """
    )
    assert done.stdout.split() == ["1"] * 4


def test_an_interpreter_that_ends_with_its_last_answer_ends_well(
    database: Database, users: Model, tmp_path: Path
) -> None:
    ends = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})
    for _ in range(5):
        # Forty children: whether a thread is still in Python when its interpreter ends is a matter of luck.
        done = ends.run(
            """
            import asyncio
            import os
            from typing import Annotated
            from ematix_flow import BigInt, TimestampTZ, connect, ematix, pk

            @ematix.feature_view(schema="features", event_timestamp_column="seen")
            class UserFeatures:
                user_id: Annotated[BigInt, pk()]
                seen: TimestampTZ

            async def ask():
                key = {"entity_keys": {"user_id": 1}}
                await asyncio.gather(*[UserFeatures.online_features_async(connect(), **key) for _ in range(8)])

            children = []
            for _ in range(8):
                if (pid := os.fork()) == 0:
                    asyncio.run(ask())
                    raise SystemExit
                children.append(pid)
            print([os.waitpid(pid, 0)[1] for pid in children])
            """
        )
        assert (done.stdout, done.stderr) == (f"{[0] * 8}\n", "")


KEYS: dict[str, tuple[Any, Any]] = {
    "smallint": (7, 8),
    "integer": (7, 8),
    "bigint": (2**60, 8),
    "numeric(10,2)": (decimal.Decimal("7.25"), decimal.Decimal(8)),
    "double precision": (7.25, 8.0),
    "boolean": (True, False),
    "text": ('a "b" {c}, \\d', "NULL"),
    "varchar(5)": ("abcde", "abcdef"),
    "char(3)": ("ab", "c"),
    "uuid": (uuid.UUID(int=7), uuid.UUID(int=8)),
    "date": (dt.date(2026, 1, 2), dt.date(2026, 1, 3)),
    "timestamp": (dt.datetime(2026, 1, 2, 3), dt.datetime(2026, 1, 3)),
    "timestamptz": (day(2), day(3)),
    "bytea": (b'\x00\\"x', b"y"),
    "inet": ("10.0.0.1", "10.0.0.2"),
    "mood": ("ok", "bad"),
    "short": ("abc", "xyz"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_type(kind: str, database: Database) -> None:
    there, missing = KEYS[kind]
    database.execute("CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN short AS varchar(3) CHECK (value <> '')")
    second = "second key"
    events = [Event((there, 1), day(1), ("found",))]
    # A process declares a view once.
    name = f"of_{re.sub('[^a-z0-9]+', '_', kind).strip('_')}"
    Model(f"{name}_v1", {"k": kind, second: "integer"}, {"note": "text"}, events=events).make(database)

    @ematix.feature_view(schema="features", name=name, event_timestamp_column="seen")
    class Every(FeatureView):
        __annotations__ = {
            "k": Annotated[PgType(kind), pk()],
            second: Annotated[PgType("integer"), pk()],
            "note": PgType("text") | None,
            "seen": TimestampTZ,
        }

    keys = [{"k": missing, second: 1}, {"k": there, second: 1}, {"k": there, second: 2}]
    found = [None, {"note": "found"}, None]
    with connect(dsn=database.dsn) as conn:
        assert Every.online_features(conn, entity_keys=keys, columns=["note"]) == found
        assert [Every.online_features(conn, entity_keys=key, columns=["note"]) for key in keys] == found
        assert Every.point_in_time(conn, entity_keys=keys, as_of=day(1), columns=["note"]) == found
        spine = [key | {"as_of": day(1)} for key in keys]
        joined = Every.historical_features(conn, spine=spine, columns=["note"], prefer="pyarrow")
        assert joined["note"].to_pylist() == [None, "found", None]
