"""Feature views that real pipelines fill, batch by batch: late events, corrections, tombstones. After each batch every
reader answers what a model of the events says, of now and of what was known then."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import pytest
from customers import toml
from database import Database
from feature_tables import UTC, Event, Model
from flow_binary import Flow
from python_package import Interpreter

from ematix_flow import (
    BigInt,
    Connection,
    FeatureView,
    FlowError,
    Integer,
    Source,
    SpecError,
    TimestampTZ,
    connect,
    ematix,
    pipeline,
    pk,
)

TTL = dt.timedelta(hours=3)
HOURS = 7
KEYS = range(1, 5)
MICROSECOND = dt.timedelta(microseconds=1)


@ematix.feature_view(schema="features", event_timestamp_column="seen", ttl=TTL, online=True)
class Refreshed(FeatureView):
    user_id: Annotated[BigInt, pk()]
    score: Integer | None
    seen: TimestampTZ


@ematix.feature_view(schema="features", event_timestamp_column="seen", ttl=TTL, online="table")
class Written(FeatureView):
    user_id: Annotated[BigInt, pk()]
    score: Integer | None
    seen: TimestampTZ


@ematix.feature_view(schema="features", name="written", feature_version="v2", event_timestamp_column="seen")
class NeverLoaded(FeatureView):
    user_id: Annotated[BigInt, pk()]
    score: Integer | None
    seen: TimestampTZ


QUERY = "SELECT user_id, score, seen, gone FROM app.events"
OWN_NAMES = {
    "effective_from": "begins",
    "effective_to": "is over",
    "current_flag": "newest",
    "deleted_flag": "left",
    "hash_column": "digest",
}


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.events (user_id bigint, score integer, seen timestamptz, gone boolean)"
    )
    with connect(dsn=database.dsn) as conn:
        yield conn


def put(database: Database, events: list[Event]) -> None:
    """Leaves these events, and no other, in the source."""
    database.execute("TRUNCATE app.events")
    for event in events:
        score = None if event.features is None else event.features[0]
        database.shared.execute(
            "INSERT INTO app.events VALUES (%s, %s, %s, %s)", (*event.key, score, event.at, event.features is None)
        )


Load = Callable[[], object]


def by_python(view: Any, conn: Connection, names: dict[str, str]) -> Load:
    def load() -> object:
        source = Source.postgres_query(conn, QUERY)
        return pipeline.sync(source=source, target=view, name="scores", mode="scd2", delete_when="gone", **names)  # type: ignore[arg-type]

    return load


def by_command(view: Any, flow: Flow, names: dict[str, str]) -> Load:
    name, online = (("refreshed", True), ("written", "table"))[view is Written]
    declared = {"schema": "features", "event_timestamp_column": "seen", "ttl": "3h", "online": online}
    declared |= {
        "primary_key": "user_id",
        "columns": {"user_id": "bigint", "score": "integer?", "seen": "timestamptz"},
    }
    filled = {"source": {"query": QUERY}, "target": name, "delete_when": "gone", **names}
    sections = ((f"features.{name}", declared), ("pipelines.scores", filled))
    lines = [line for head, said in sections for line in (f"[{head}]", *(f"{k} = {toml(v)}" for k, v in said.items()))]
    flow.project("\n".join([*lines, ""]))
    return lambda: flow("run", "scores")


@dataclass
class Loaded:
    """A view under way: everything that was said so far, and the number and the end of each batch's run."""

    database: Database
    conn: Connection
    view: Any
    load: Load
    begin: dt.datetime
    events: list[Event] = field(default_factory=list)
    runs: list[tuple[int, dt.datetime]] = field(default_factory=list)

    @property
    def table(self) -> str:
        return f"features.{self.view.__name__.lower()}_v1"

    @property
    def model(self) -> Model:
        return Model(self.table, {"user_id": "bigint"}, {"score": "integer"}, TTL, self.events)

    def bring(self, events: list[Event]) -> None:
        put(self.database, events)
        self.load()
        self.events.extend(events)
        [(number, now)] = self.database.rows(
            "SELECT max(run_number), clock_timestamp() FROM ematix_flow.run_history WHERE target = %s AND status = 'success'",
            (self.table,),
        )
        assert number == len(self.runs) + 1, "loads of a target are counted from 1"
        self.runs.append((number, now))

    def at(self, hours: float) -> dt.datetime:
        return self.begin + dt.timedelta(hours=hours)

    def expected(self, key: int, at: dt.datetime, after: int | None = None) -> dict[str, Any] | None:
        found = self.model.answer((key,), at, after)
        return None if found is None else {"user_id": key, "score": found[1], "seen": found[0]}

    def hold_to_the_model(self) -> None:
        # Every boundary of every key, and the last instant before it.
        instants = [
            self.at(halves / 2) - shift for halves in range(-1, 2 * HOURS) for shift in (0 * MICROSECOND, MICROSECOND)
        ]
        spine = [{"user_id": key, "as_of": at} for key, at in product(KEYS, instants)]

        def joined(after: int | None) -> list[tuple[Any, ...]]:
            found = [self.expected(row["user_id"], row["as_of"], after) or {} for row in spine]
            return [
                (row["user_id"], row["as_of"], of.get("score"), of.get("seen"))
                for row, of in zip(spine, found, strict=True)
            ]

        def rows(made: Any) -> list[tuple[Any, ...]]:
            return [tuple(row.values()) for row in made.to_pylist()]

        made = ematix.training_set(self.conn, spine=spine, feature_views=[self.view], prefer="pyarrow")
        assert rows(made) == joined(None)
        for after, known in enumerate(self.runs, 1):
            for known_as_of in known:
                made = self.view.historical_features(self.conn, spine=spine, known_as_of=known_as_of, prefer="pyarrow")
                assert rows(made) == joined(after), (after, known_as_of)
        keys = [{"user_id": key} for key in KEYS]
        now = dt.datetime.now(UTC)
        served = [self.expected(key, now) for key in KEYS]
        assert self.view.online_features(self.conn, entity_keys=keys) == served
        assert [self.view.online_features(self.conn, entity_keys=key) for key in keys] == served
        for at in instants:
            found = self.view.point_in_time(self.conn, entity_keys=keys, as_of=at)
            assert found == [self.expected(key, at) for key in KEYS], at


def batch(draw: random.Random, at: Callable[[float], dt.datetime], run: int) -> list[Event]:
    """Events of any hour so far, so that many are late, and many correct others; and some that delete."""
    places = draw.sample(list(product(KEYS, range(min(HOURS, 2 + run)))), 5)
    features = [draw.choice([None, (None,), (1,), (2,)]) for _ in places]
    return [Event((key,), at(hour), said, run) for (key, hour), said in zip(places, features, strict=True)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("view", "command", "names"),
    [
        pytest.param(Refreshed, False, {}, id="view, by Python"),
        pytest.param(Refreshed, True, OWN_NAMES, id="view, by flow run, with names of one's own"),
        pytest.param(Written, False, OWN_NAMES, id="table, by Python, with names of one's own"),
        pytest.param(Written, True, {}, id="table, by flow run"),
    ],
)
def test_every_reader_answers_what_the_events_say_after_every_batch(
    view: Any, command: bool, names: dict[str, str], conn: Connection, database: Database, flow: Flow
) -> None:
    load = by_command(view, flow, names) if command else by_python(view, conn, names)
    # Half an hour beside every boundary: no event expires while the test runs.
    begin = dt.datetime.now(UTC).replace(microsecond=0) - dt.timedelta(hours=HOURS - 0.5)
    loaded = Loaded(database, conn, view, load, begin)
    draw = random.Random(f"{view.__name__} {command}")
    for run in range(1, 7):
        loaded.bring(batch(draw, loaded.at, run))
        loaded.hold_to_the_model()
    corrected = len(loaded.events) - len(loaded.model.state())
    assert corrected > 5, "there is something to be known otherwise"


def test_a_view_that_was_never_loaded_is_no_empty_answer(conn: Connection, database: Database) -> None:
    spine = [{"user_id": 1, "as_of": dt.datetime.now(UTC)}]
    asked: list[Callable[[], object]] = [
        lambda: NeverLoaded.online_features(conn, entity_keys={"user_id": 1}),
        lambda: NeverLoaded.point_in_time(conn, entity_keys={"user_id": 1}, as_of=dt.datetime.now(UTC)),
        lambda: NeverLoaded.historical_features(conn, spine=spine),
        lambda: NeverLoaded.served_since(conn),
    ]

    def told(ask: Callable[[], object]) -> None:
        with pytest.raises(SpecError) as refused:
            ask()
        assert refused.value.code == "unknown_table"
        assert "`features.written` was never loaded into this database in its version v2" in str(refused.value)
        assert "flow features materialize written" in str(refused.value.hint)

    for ask in asked:
        told(ask)
    # Another version of it is none; and a table alone says nothing of its columns' names.
    put(database, [Event((1,), dt.datetime.now(UTC), (1,))])
    by_python(Written, conn, {})()
    database.execute("CREATE TABLE features.written_v2 (LIKE features.written_v1)")
    for ask in asked:
        told(ask)


def test_names_that_change_are_read_as_they_are(conn: Connection, database: Database) -> None:
    put(database, [Event((1,), dt.datetime.now(UTC), (1,))])
    by_python(Written, conn, {})()
    assert Written.online_features(conn, entity_keys={"user_id": 1}, columns=["score"]) == {"score": 1}
    database.execute("DROP SCHEMA features CASCADE; DROP SCHEMA ematix_flow CASCADE")
    by_python(Written, conn, OWN_NAMES)()
    # The statement that is known asks for a column that is gone; then the names are looked up again.
    with pytest.raises(FlowError, match="valid_"):
        Written.online_features(conn, entity_keys={"user_id": 1}, columns=["score"])
    assert Written.online_features(conn, entity_keys={"user_id": 1}, columns=["score"]) == {"score": 1}


# --- how old it is


def begun(database: Database) -> dt.datetime:
    """When the last load began."""
    found = database.value("SELECT max(started_at) FROM ematix_flow.run_history WHERE run_number IS NOT NULL")
    assert isinstance(found, dt.datetime)
    return found


@pytest.mark.parametrize("view", [Refreshed, Written])
def test_since_when_it_is_served_moves_with_each_load(view: Any, conn: Connection, database: Database) -> None:
    before = None
    for score in (1, 2):
        put(database, [Event((1,), dt.datetime.now(UTC), (score,))])
        by_python(view, conn, {})()
        since = view.served_since(conn)
        assert since == begun(database) != before
        assert since.utcoffset() == dt.timedelta(0)
        before = since


def test_since_when_it_is_served_is_awaited_too(conn: Connection, database: Database) -> None:
    import asyncio

    put(database, [Event((1,), dt.datetime.now(UTC), (1,))])
    by_python(Written, conn, {})()

    async def asked() -> list[Any]:
        unknown = asyncio.ensure_future(NeverLoaded.served_since_async(conn))
        return await asyncio.gather(Written.served_since_async(conn), unknown, return_exceptions=True)

    since, error = asyncio.run(asked())
    assert since == begun(database)
    assert isinstance(error, SpecError)


def test_a_refresh_that_fails_leaves_what_is_served_as_old_as_it_is(conn: Connection, database: Database) -> None:
    key, load = {"user_id": 1}, by_python(Refreshed, conn, {})
    put(database, [Event((1,), dt.datetime.now(UTC), (1,))])
    load()
    first = Refreshed.served_since(conn)
    # A refresh that readers do not wait for needs the index.
    [(index, definition)] = database.rows(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'features.refreshed_v1__online'::regclass"
    )
    database.execute(f"DROP INDEX {index}")
    put(database, [Event((1,), dt.datetime.now(UTC), (2,))])
    with pytest.raises(FlowError, match="failed after the load"):
        load()
    now = dt.datetime.now(UTC)
    assert Refreshed.point_in_time(conn, entity_keys=key, as_of=now, columns=["score"]) == {"score": 2}
    assert Refreshed.online_features(conn, entity_keys=key, columns=["score"]) == {"score": 1}
    assert Refreshed.served_since(conn) == first, "it is as old as what it shows"
    database.execute(definition)
    load()
    assert Refreshed.online_features(conn, entity_keys=key, columns=["score"]) == {"score": 2}
    assert Refreshed.served_since(conn) == begun(database)


# --- who may read


@pytest.fixture
def reader(database: Database) -> Iterator[str]:
    """A role that may read what is in the schema `features`, and nothing of the metadata."""
    role = f"reader_{database.name}"
    database.execute(f'CREATE ROLE "{role}" LOGIN; CREATE SCHEMA features; GRANT USAGE ON SCHEMA features TO "{role}"')
    yield role
    database.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def test_what_the_manual_grants_a_reader_is_enough_and_each_of_it_is_needed(
    reader: str, conn: Connection, database: Database
) -> None:
    put(database, [Event((1,), dt.datetime.now(UTC), (1,))])
    by_python(Written, conn, {})()
    spine = [{"user_id": 1, "as_of": dt.datetime.now(UTC)}]
    manual = Path(__file__).parents[2] / "docs" / "how-to" / "training-sets-and-serving.md"
    grants = re.findall(r"^(GRANT .*) TO reader;$", manual.read_text(encoding="utf-8"), re.MULTILINE)
    _, tables, entries, history = grants
    asked: list[tuple[str, Callable[[Connection], object]]] = [
        (tables, lambda conn: Written.online_features(conn, entity_keys={"user_id": 1})),
        (entries, lambda conn: Written.historical_features(conn, spine=spine)),
        (history, lambda conn: Written.historical_features(conn, spine=spine, known_as_of=dt.datetime.now(UTC))),
        (history, lambda conn: Written.served_since(conn)),
    ]

    def refused(ask: Callable[[Connection], object]) -> FlowError:
        with connect(dsn=database.dsn_as(reader)) as own, pytest.raises(FlowError) as refused:
            ask(own)
        assert refused.value.code == "permission_denied"
        return refused.value

    assert "GRANT SELECT ON ematix_flow.feature_views" in str(refused(asked[0][1]).hint)
    for grant in grants:
        database.execute(f'{grant} TO "{reader}"')
    with connect(dsn=database.dsn_as(reader)) as own:
        for _, ask in asked:
            ask(own)
    for grant, ask in asked:
        database.execute(f'{grant.replace("GRANT", "REVOKE", 1)} FROM "{reader}"')
        refused(ask)
        database.execute(f'{grant} TO "{reader}"')


# --- as it is printed

# §18.5.
USER_FEATURES = """
from datetime import timedelta
from typing import Annotated
from ematix_flow import BigInt, Connection, Numeric, TimestampTZ, connect, ematix, pk
@ematix.feature_view(schema="features", feature_version="v1",
event_timestamp_column="last_seen",
ttl=timedelta(days=30), online=True)
class UserFeatures:
    user_id: Annotated[BigInt, pk()]
    score: Numeric[10, 2]
    last_seen: TimestampTZ
"""
READ = """
# inference-time
row = UserFeatures.online_features(conn, entity_keys={"user_id": 100})
served = row
row = UserFeatures.point_in_time(conn, entity_keys={"user_id": 100}, as_of=ts)
# training-set
df = ematix.training_set(conn, spine=[
{"user_id": 1, "as_of": t1}, {"user_id": 2, "as_of": t2},
], feature_views=[UserFeatures, ItemFeatures])
print(json.dumps([served, row, df.rows(named=True)], default=str))
"""
# The pipeline that fills it, as users write it; what the block leaves out stands around it: another view, and times.
FILLED = """
@ematix.pipeline(target=UserFeatures, mode="scd2", source_connection="dwh", every="10m")
def user_features(conn: Connection) -> str:
    return "SELECT user_id, score, last_seen FROM marts.user_scores"
"""
AROUND = """
import datetime, json
@ematix.feature_view(schema="features", event_timestamp_column="seen")
class ItemFeatures:
    user_id: Annotated[BigInt, pk()]
    price: BigInt
    seen: TimestampTZ
@ematix.pipeline(target=ItemFeatures, source_connection="dwh")
def item_features(conn):
    return "SELECT user_id, 5 * user_id AS price, last_seen AS seen FROM marts.user_scores"
item_features.run()
conn = connect("dwh")
now = datetime.datetime.now(datetime.timezone.utc)
ts, t1, t2 = now - timedelta(days=2), now - timedelta(days=2), now
"""
# What stands in pipelines.toml for the same.
IN_TOML = """
[features.user_features]
schema = "features"
feature_version = "v1"
event_timestamp_column = "last_seen"
ttl = "30d"
online = true
primary_key = ["user_id"]
columns = { user_id = "bigint", score = "numeric(10,2)", last_seen = "timestamptz" }
[pipelines.user_features]
source = { connection = "dwh", query = "SELECT user_id, score, last_seen FROM marts.user_scores" }
target = "user_features"
mode = "scd2"
every = "10m"
"""


@pytest.mark.parametrize("filled_by", ["python", "toml"])
def test_18_5_as_it_is_printed(filled_by: str, database: Database, tmp_path: Path, flow: Flow) -> None:
    database.execute(
        """CREATE SCHEMA marts;
        CREATE TABLE marts.user_scores (user_id bigint, score numeric(10,2), last_seen timestamptz);
        INSERT INTO marts.user_scores
        SELECT id, score, now() - ago * interval '1 day'
          FROM (VALUES (100, 0.5, 3), (100, 0.75, 1), (1, 1.5, 4), (2, 2.5, 40), (2, 2.25, 31)) AS v(id, score, ago)"""
    )
    if filled_by == "toml":
        flow.project(IN_TOML)
        flow("run", "user_features", env={"EMATIX_FLOW_DSN_DWH": database.dsn})
    run = "user_features.run()\n" if filled_by == "python" else ""
    done = Interpreter(tmp_path, {"EMATIX_FLOW_DSN_DWH": database.dsn}).run(
        USER_FEATURES + FILLED + run + AROUND + READ
    )
    served, at_time, rows = done.json()
    assert (served["user_id"], served["score"], at_time["score"]) == (100, "0.75", "0.50")
    found = [(row["user_id"], row["score"], row["price"]) for row in rows]
    assert found == [(1, "1.50", 5), (2, None, 10)], "what is older than 30 days does not answer"
