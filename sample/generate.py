#!/usr/bin/env python3
"""Writes the demo's shop: two CSV files as of day 0 and three days of changes as SQL.

The same bytes on every machine and every Python from 3.10 on, because the files are embedded in
the binary and tests count their rows. Opens no connection; needs nothing but the standard library.

    python3 sample/generate.py            write the files
    python3 sample/generate.py --check    exit 1 if a file on disk is not what would be written
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from chance import Dice
from people import Customer, People

FOLDER = Path(__file__).resolve().parent
SEED = 17

# Long past, so that no row lies in the future of the run that loads it.
DAY_1 = datetime(2025, 9, 1, tzinfo=timezone.utc)
SHOP_OPENED = datetime(2023, 9, 1, tzinfo=timezone.utc)
FIRST_ORDER = datetime(2025, 3, 1, tzinfo=timezone.utc)
DAYS = (1, 2, 3)

CUSTOMERS = 2_520  # the last few sign up during the three days
ORDERS = 4_150
FIRST_ORDER_ID = 100_001
CHANGED_A_DAY = 50  # 2 % of the customers
TOUCHED_A_DAY = 6
LATE_CUSTOMERS_A_DAY = 4
DELETED_A_DAY = 5
# Stays below the `lookback` of order_events in pipelines.toml, which is there to catch these rows.
LONGEST_DELAY_HOURS = 30

HERO = 17
RETURNING = 42

PRICES_IN_CENTS = (495, 790, 999, 1250, 1490, 1999, 2450, 2990, 3995, 5900, 8999, 12900, 24900)


@dataclass(frozen=True)
class Order:
    order_id: int
    customer_id: int
    status: str
    amount: str
    ordered_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class StatusEvent:
    """A status an order reached; `arrives` is when the shop's database heard of it."""

    status: str
    at: datetime
    arrives: datetime


@dataclass(frozen=True)
class OrderLife:
    """All that will ever happen to an order; a snapshot shows the newest event that has arrived."""

    order_id: int
    customer_id: int
    amount: str
    events: list[StatusEvent]

    def as_of(self, end: datetime) -> Order | None:
        arrived = [event for event in self.events if event.arrives < end]
        if not arrived:
            return None
        last = max(arrived, key=lambda event: event.at)
        ordered_at = self.events[0].at
        return Order(self.order_id, self.customer_id, last.status, self.amount, ordered_at, last.at)


@dataclass
class CustomerChanges:
    moved: list[Customer] = field(default_factory=list)
    tiered: list[Customer] = field(default_factory=list)
    mailed: list[Customer] = field(default_factory=list)
    touched: list[Customer] = field(default_factory=list)
    new: list[Customer] = field(default_factory=list)
    returned: list[Customer] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    late: int = 0


@dataclass
class OrderChanges:
    new: list[Order] = field(default_factory=list)
    moved_on: list[Order] = field(default_factory=list)
    returned: list[Order] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    late: int = 0


def end_of(day: int) -> datetime:
    return DAY_1 + timedelta(days=day)


# --- customers -----------------------------------------------------------------------------------


def first_customers(people: People) -> tuple[list[Customer], list[datetime]]:
    """All customers there will be, by sign-up, and the sign-up times beside them."""
    sign_ups = sorted(people.dice.moment_of_a_growing_shop(SHOP_OPENED, end_of(3)) for _ in range(CUSTOMERS))
    customers = [people.customer(number, at) for number, at in enumerate(sign_ups, start=1)]
    # The evening on which he left London for Suez, and the servant who went missing on the way.
    customers[HERO - 1] = Customer(
        HERO,
        "phileas.fogg@example.com",
        "Phileas Fogg",
        "London",
        "GB",
        "silver",
        datetime(2024, 10, 2, 20, 45, tzinfo=timezone.utc),
    )
    customers[RETURNING - 1] = Customer(
        RETURNING,
        "jean.passepartout@example.com",
        "Jean Passepartout",
        "London",
        "GB",
        "bronze",
        datetime(2024, 10, 2, 20, 45, tzinfo=timezone.utc),
    )
    return customers, sign_ups


def choose_deleted(dice: Dice, sign_ups: list[datetime]) -> dict[int, list[int]]:
    known = bisect_left(sign_ups, DAY_1)
    ordinary = [n for n in range(1, known + 1) if n not in (HERO, RETURNING)]
    leaving = dice.take(ordinary, DELETED_A_DAY * len(DAYS))
    deleted = {day: sorted(leaving[day - 1 :: len(DAYS)]) for day in DAYS}
    deleted[2] = sorted([*deleted[2], RETURNING])
    return deleted


def change_hero(customer: Customer, day: int) -> Customer:
    at = end_of(day - 1)
    return {
        1: replace(customer, city="Suez", country="EG", updated_at=at + timedelta(hours=11)),
        2: replace(customer, tier="gold", updated_at=at + timedelta(hours=16, minutes=30)),
        3: replace(
            customer,
            email="fogg@reform-club.example",
            updated_at=at + timedelta(hours=9, minutes=5),
        ),
    }[day]


def change_customers(
    people: People,
    before: dict[int, Customer],
    day: int,
    newcomers: Iterable[Customer],
    deleted: list[int],
    all_leaving: set[int],
) -> CustomerChanges:
    dice, start, end = people.dice, end_of(day - 1), end_of(day)
    previous_maximum = max(customer.updated_at for customer in before.values())
    changes = CustomerChanges(new=list(newcomers), deleted=deleted)

    # Who leaves is left alone before, so that a deletion is the last and only word on a key.
    untouched_for_long = [
        customer
        for customer in before.values()
        if customer.updated_at < previous_maximum - timedelta(hours=LONGEST_DELAY_HOURS)
        and customer.customer_id not in all_leaving
        and customer.customer_id != HERO
    ]
    chosen = dice.take(untouched_for_long, CHANGED_A_DAY - 1 + TOUCHED_A_DAY)
    for position, customer in enumerate(chosen[TOUCHED_A_DAY:]):
        if position < LATE_CUSTOMERS_A_DAY:
            delay = timedelta(minutes=60 + dice.below((LONGEST_DELAY_HOURS - 1) * 60))
            at = previous_maximum - delay
        else:
            at = dice.moment(start, end)
        kind = position % 5
        if kind in (0, 3):
            changes.moved.append(people.moved(customer, at))
        elif kind in (1, 4):
            changes.tiered.append(people.tiered(customer, at))
        else:
            changes.mailed.append(people.mailed(customer, at))
    changes.touched = [replace(customer, updated_at=dice.moment(start, end)) for customer in chosen[:TOUCHED_A_DAY]]

    hero = change_hero(before[HERO], day)
    {1: changes.moved, 2: changes.tiered, 3: changes.mailed}[day].append(hero)
    for rows in (changes.moved, changes.tiered, changes.mailed, changes.touched):
        rows.sort(key=lambda customer: customer.customer_id)
        changes.late += sum(customer.updated_at < previous_maximum for customer in rows)
    return changes


def apply_customers(before: dict[int, Customer], changes: CustomerChanges) -> dict[int, Customer]:
    after = dict(before)
    for rows in (
        changes.moved,
        changes.tiered,
        changes.mailed,
        changes.touched,
        changes.new,
        changes.returned,
    ):
        after.update({customer.customer_id: customer for customer in rows})
    for customer_id in changes.deleted:
        del after[customer_id]
    return after


# --- orders --------------------------------------------------------------------------------------


def status_events(dice: Dice, ordered_at: datetime) -> Iterator[StatusEvent]:
    def event(status: str, at: datetime) -> StatusEvent:
        # Some tills and carriers are offline for hours and send in what they have when they return.
        hours = 8 + dice.below(LONGEST_DELAY_HOURS - 8) if dice.one_in(14) else 0
        return StatusEvent(status, at, at + timedelta(hours=hours))

    def later(at: datetime, shortest_hours: int, longest_hours: int) -> datetime:
        seconds = shortest_hours * 3600 + dice.below((longest_hours - shortest_hours) * 3600)
        return at + timedelta(seconds=seconds)

    at = ordered_at
    yield event("placed", at)
    if dice.one_in(20):
        yield event("cancelled", later(at, 1, 30))
        return
    at = later(at, 0, 24)
    yield event("paid", at)
    at = later(at, 4, 72)
    yield event("shipped", at)
    at = later(at, 24, 150)
    yield event("delivered", at)
    if dice.one_in(25):
        yield event("returned", later(at, 48, 400))


def draw_amount(dice: Dice) -> str:
    lines = dice.pick_weighted([(5, 1), (3, 2), (2, 3), (1, 5)])
    # Whole cents: sums of binary fractions may be printed differently elsewhere.
    cents = sum(dice.pick(PRICES_IN_CENTS) * (1 + dice.below(3)) for _ in range(lines))
    return f"{cents // 100}.{cents % 100:02d}"


def all_orders(dice: Dice, sign_ups: list[datetime], leaving: set[int]) -> list[OrderLife]:
    moments = sorted(dice.moment_of_a_growing_shop(FIRST_ORDER, end_of(3)) for _ in range(ORDERS))
    orders = []
    for number, ordered_at in enumerate(moments):
        customer_id = 1 + dice.below(bisect_left(sign_ups, ordered_at))
        while customer_id == RETURNING or (customer_id in leaving and ordered_at >= DAY_1):
            customer_id = 1 + dice.below(bisect_left(sign_ups, ordered_at))
        if number % 800 == HERO:
            customer_id = HERO
        # Early numbers only, so that his orders are finished, and come back as they were.
        if number in (RETURNING, 10 * RETURNING, 50 * RETURNING):
            customer_id = RETURNING
        events = list(status_events(dice, ordered_at))
        orders.append(OrderLife(FIRST_ORDER_ID + number, customer_id, draw_amount(dice), events))
    return orders


def orders_as_of(lives: list[OrderLife], end: datetime, customers: dict[int, Customer]) -> dict[int, Order]:
    seen = (life.as_of(end) for life in lives if life.customer_id in customers)
    return {order.order_id: order for order in seen if order is not None}


def compare_orders(before: dict[int, Order], after: dict[int, Order]) -> OrderChanges:
    previous_maximum = max(order.updated_at for order in before.values())
    changes = OrderChanges(deleted=sorted(before.keys() - after.keys()))
    for order_id, order in after.items():
        if order_id not in before:
            (changes.returned if order.customer_id == RETURNING else changes.new).append(order)
        elif order != before[order_id]:
            changes.moved_on.append(order)
    changes.late = sum(order.updated_at < previous_maximum for order in [*changes.new, *changes.moved_on])
    return changes


# --- text ----------------------------------------------------------------------------------------


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def customer_values(customer: Customer) -> list[object]:
    *values, updated_at = vars(customer).values()
    return [*values, timestamp(updated_at)]


def order_values(order: Order) -> list[object]:
    *values, ordered_at, updated_at = vars(order).values()
    return [*values, timestamp(ordered_at), timestamp(updated_at)]


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def values_list(rows: Iterable[Sequence[object]]) -> str:
    return ",\n".join("  (" + ", ".join(literal(value) for value in row) + ")" for row in rows)


def update_statement(table: str, key: str, columns: list[str], rows: list[list[object]]) -> str:
    names = ", ".join([key, *columns, "updated_at"])
    assignments = [f"{column} = s.{column}" for column in columns]
    # A VALUES list outside an INSERT is typed by itself: here a timestamp is still text.
    assignments.append("updated_at = s.updated_at::timestamptz")
    return (
        f"UPDATE shop.{table} AS t\n"
        f"SET {', '.join(assignments)}\n"
        f"FROM (VALUES\n{values_list(rows)}\n) AS s ({names})\n"
        f"WHERE t.{key} = s.{key};"
    )


def customer_update(columns: list[str], customers: list[Customer]) -> str:
    rows = [[c.customer_id, *(getattr(c, name) for name in columns), timestamp(c.updated_at)] for c in customers]
    return update_statement("customers", "customer_id", columns, rows)


def insert_customers(customers: list[Customer]) -> str:
    names = ", ".join(Customer.__dataclass_fields__)
    rows = values_list(map(customer_values, customers))
    return f"INSERT INTO shop.customers ({names}) VALUES\n{rows};"


def insert_orders(orders: list[Order]) -> str:
    names = ", ".join(Order.__dataclass_fields__)
    return f"INSERT INTO shop.orders ({names}) VALUES\n{values_list(map(order_values, orders))};"


def delete_customers(customer_ids: list[int]) -> str:
    ids = ", ".join(map(str, customer_ids))
    return (
        f"DELETE FROM shop.orders\nWHERE customer_id IN ({ids});\n\n"
        f"DELETE FROM shop.customers\nWHERE customer_id IN ({ids});"
    )


def day_text(day: int, customers: CustomerChanges, orders: OrderChanges) -> str:
    changed = len(customers.moved) + len(customers.tiered) + len(customers.mailed)
    header = (
        f"-- Day {day}, {end_of(day - 1):%Y-%m-%d}. Written by generate.py; one transaction.\n"
        f"-- customers: {changed} changed, {len(customers.touched)} touched,"
        f" {len(customers.new)} new, {len(customers.returned)} returned,"
        f" {len(customers.deleted)} deleted; {customers.late} of them late\n"
        f"-- orders: {len(orders.moved_on)} changed, {len(orders.new)} new,"
        f" {len(orders.returned)} returned, {len(orders.deleted)} deleted;"
        f" {orders.late} of them late"
    )
    sections = [
        header,
        "-- Customers sign up.\n" + insert_customers(customers.new),
        "-- Customers move.\n" + customer_update(["city", "country"], customers.moved),
        "-- Customers rise and fall in tier.\n" + customer_update(["tier"], customers.tiered),
        "-- Customers change, give or withdraw their e-mail address.\n" + customer_update(["email"], customers.mailed),
        "-- Customers log in: only updated_at moves, which is not compared, so no version may open.\n"
        + customer_update([], customers.touched),
        "-- Orders come in, some of them late from tills that were offline.\n" + insert_orders(orders.new),
        "-- Orders move on.\n"
        + update_statement(
            "orders",
            "order_id",
            ["status"],
            [[o.order_id, o.status, timestamp(o.updated_at)] for o in orders.moved_on],
        ),
        "-- Customers close their accounts; their orders go first, which refer to them.\n"
        + delete_customers(customers.deleted),
    ]
    if customers.returned:
        sections.append(
            "-- A customer deleted the day before comes back. The orders keep their old updated_at,\n"
            "-- as after a restore: a reader of newer rows only would never see them again.\n"
            + insert_customers(customers.returned)
            + "\n\n"
            + insert_orders(orders.returned)
        )
    return "\n\n".join(sections) + "\n"


# --- the whole -----------------------------------------------------------------------------------


def build() -> dict[str, str]:
    """The text of every file, by its path in this folder."""
    dice = Dice(SEED)
    people = People(dice, today=DAY_1)
    everyone, sign_ups = first_customers(people)
    deleted = choose_deleted(dice, sign_ups)
    leaving = {customer_id for ids in deleted.values() for customer_id in ids}
    lives = all_orders(dice, sign_ups, leaving)

    customers = {c.customer_id: c for c in everyone[: bisect_left(sign_ups, DAY_1)]}
    orders = orders_as_of(lives, DAY_1, customers)
    files = {
        "day0/customers.csv": csv_text(list(Customer.__dataclass_fields__), map(customer_values, customers.values())),
        "day0/orders.csv": csv_text(list(Order.__dataclass_fields__), map(order_values, orders.values())),
    }
    for day in DAYS:
        newcomers = everyone[bisect_left(sign_ups, end_of(day - 1)) : bisect_left(sign_ups, end_of(day))]
        changes = change_customers(people, customers, day, newcomers, deleted[day], leaving)
        if day == 3:
            changes.returned = [
                replace(
                    everyone[RETURNING - 1],
                    city="Yokohama",
                    country="JP",
                    updated_at=end_of(2) + timedelta(hours=13, minutes=20),
                )
            ]
        customers = apply_customers(customers, changes)
        orders_after = orders_as_of(lives, end_of(day), customers)
        order_changes = compare_orders(orders, orders_after)
        orders = orders_after
        files[f"day{day}.sql"] = day_text(day, changes, order_changes)
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file on disk differs")
    check = parser.parse_args().check

    stale = []
    for name, text in build().items():
        path, content = FOLDER / name, text.encode("utf-8")
        if path.is_file() and path.read_bytes() == content:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    for name in stale:
        verdict = "differs from what would be written" if check else "written"
        print(f"{name} {verdict}", file=sys.stderr)
    if check and stale:
        print("hint: run python3 sample/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
