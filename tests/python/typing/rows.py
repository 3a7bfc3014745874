# What a checker makes of rows: a column's Python type, and `| None` where it may be NULL.
import asyncio
import datetime as dt
import decimal
from typing import Annotated, Any

from typing_extensions import assert_type

from ematix_flow import (
    BigInt,
    Boolean,
    Column,
    Connection,
    Integer,
    KeyHistory,
    ManagedTable,
    Numeric,
    Pipeline,
    PipelineFunction,
    RunReport,
    Source,
    String,
    Text,
    TimestampTZ,
    connect,
    ematix,
    natural_key,
    pipeline,
    pk,
    sql,
)


@ematix.table(schema="analytics")
class Dim:
    customer_id: Annotated[BigInt, pk()]
    name: Text | None
    active: Boolean


@ematix.table()
class WithArguments:
    email: Annotated[String[256], natural_key()]
    price: Numeric[10, 2] | None
    at: TimestampTZ


class Old(ManagedTable):
    __schema__ = "analytics"
    id = Column(Integer, primary_key=True)
    name = Column(Text)
    known = Column(Boolean, nullable=False, default=False)
    price = Column(Numeric, default=0)
    at = Column(TimestampTZ, nullable=False, default=sql("now()"))


def rows(row: Dim, old: Old) -> None:
    assert_type(row.customer_id, int)
    assert_type(row.name, str | None)
    assert_type(row.active, bool)
    assert_type(old.id, int)
    assert_type(old.name, str | None)
    assert_type(old.known, bool)


def types_with_arguments(row: WithArguments, old: Old) -> None:
    # mypy sees Any here: it takes numbers in brackets only inside Literal.
    email: str = row.email
    price: decimal.Decimal | None = row.price
    at: dt.datetime = row.at
    print(email, price, at, old.price, old.at)


@ematix.pipeline(target=Dim, mode="scd2", every=dt.timedelta(minutes=5))
def customers(conn: Connection) -> str:
    return "SELECT 1"


assert_type(customers(connect("a")), str)
assert_type(customers.run(), RunReport)
assert_type(customers.history(17), KeyHistory)
assert_type(connect("a").query("SELECT 1"), list[dict[str, Any]])
assert_type(connect("a").query("SELECT 1", rows="tuple"), list[tuple[Any, ...]])
assert_type(connect("a").query("SELECT 1", rows=Dim), list[Dim])


async def awaited() -> None:
    source = Source.postgres_query("a", "SELECT 1")
    assert_type(await pipeline.sync_async(source=source, target=Dim, mode="merge"), RunReport)
    one = Pipeline(name="p", source=source, target=Dim, mode="merge", keys="customer_id", lookback=3)
    assert_type(await one.run_async(lock_timeout="5s"), RunReport)


def given(function: PipelineFunction[Any]) -> None:
    print(function.name)


given(customers)
asyncio.run(awaited())
