"""`expect`: questions to the rows of a run, before the load is committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from ..ground.errors import SpecError
from ..ground.values import Duration, Names, duration, names, plain

Policy: TypeAlias = Literal["fail", "warn", "quarantine"]


class Expectation:
    """A question to the rows of a run, and what happens to those that fail it."""

    def __init__(self, name: str, arguments: Any, policy: str) -> None:
        self.name = name
        self.arguments = arguments
        self.policy = policy

    def export(self) -> dict[str, Any]:
        """The expectation as pipelines.toml has it."""
        said = {self.name: self.arguments}
        return said if self.policy == "fail" else said | {"policy": self.policy}

    def __repr__(self) -> str:
        return f"expect.{self.name}({plain(self.arguments)!r})"


class Expect:
    """`expect.unique("email")` asks the rows of a run; the marker `unique()` makes a constraint.

    With the policy `fail` nothing is written if a row fails, with `warn` the report says so, with `quarantine` the
    rows that fail are kept apart and counted in `.rows_rejected`.

    >>> from ematix_flow import expect
    >>> expect.not_null("email", policy="warn").export()
    {'not_null': 'email', 'policy': 'warn'}
    """

    def not_null(self, column: str, *, policy: Policy = "fail") -> Expectation:
        """No row has NULL there.

        >>> expect.not_null("email")
        expect.not_null('email')
        """
        return _expect("not_null", column, policy)

    def unique(self, columns: Names, *, policy: Policy = "fail") -> Expectation:
        """No two rows of the run have the same values there; rows with NULL in one of them are let through.

        >>> expect.unique(["region", "number"], policy="quarantine").export()
        {'unique': ['region', 'number'], 'policy': 'quarantine'}
        """
        return _expect("unique", _names("unique", columns), policy)

    def accepted_values(self, column: str, values: Sequence[Any], *, policy: Policy = "fail") -> Expectation:
        """Every value is one of these; NULL is let through.

        >>> expect.accepted_values("status", ["active", "closed"])
        expect.accepted_values({'column': 'status', 'values': ['active', 'closed']})
        """
        if isinstance(values, str):
            raise SpecError("expect.accepted_values: one text is not a list of values", code="invalid_value")
        return _expect("accepted_values", {"column": column, "values": plain(values)}, policy)

    def in_range(self, column: str, min: Any = None, max: Any = None, *, policy: Policy = "fail") -> Expectation:
        """Every value lies between the bounds, both included; NULL is let through.

        >>> expect.in_range("score", min=0, max=1)
        expect.in_range({'column': 'score', 'min': 0, 'max': 1})
        """
        return _expect("in_range", {"column": column, **_bounds("in_range", min, max)}, policy)

    def matches(self, column: str, pattern: str, *, policy: Policy = "fail") -> Expectation:
        """A part of every text matches a regular expression of the target's; NULL is let through.

        >>> expect.matches("email", "^.+@.+$")
        expect.matches({'column': 'email', 'pattern': '^.+@.+$'})
        """
        return _expect("matches", {"column": column, "pattern": pattern}, policy)

    def row_count(
        self, min: int | None = None, max: int | None = None, *, policy: Literal["fail", "warn"] = "fail"
    ) -> Expectation:
        """The run has so many rows, both bounds included.

        >>> expect.row_count(min=1)
        expect.row_count({'min': 1})
        """
        if policy not in ("fail", "warn"):
            raise SpecError("expect.row_count: there is no row to put in quarantine", code="invalid_value")
        return _expect("row_count", _bounds("row_count", min, max), policy)

    def freshness(self, column: str, max_age: Duration, *, policy: Literal["fail", "warn"] = "fail") -> Expectation:
        """The newest value is not older than so long, by the target's clock.

        >>> expect.freshness("updated_at", "2h", policy="warn").export()
        {'freshness': {'column': 'updated_at', 'max_age': '2h'}, 'policy': 'warn'}
        """
        if policy not in ("fail", "warn"):
            raise SpecError("expect.freshness: there is no row to put in quarantine", code="invalid_value")
        return _expect("freshness", {"column": column, "max_age": duration(max_age, "expect.freshness")}, policy)

    def references(
        self, columns: Names, table: str, to: Names | None = None, *, policy: Policy = "fail"
    ) -> Expectation:
        """Every row finds its values in a table of the target's database; `to` names the columns there.

        A row with NULL in one of them refers to nothing, and is let through.

        >>> expect.references("customer_id", "analytics.customers", to="id").export()
        {'references': {'columns': 'customer_id', 'table': 'analytics.customers', 'to': 'id'}}
        """
        said = {"columns": _names("references", columns), "table": table}
        if to is not None:
            said["to"] = _names("references", to)
        return _expect("references", said, policy)

    def sql(self, condition: str, *, policy: Policy = "fail") -> Expectation:
        """Every row meets an SQL condition, in the words of the target; a row for which it is NULL is let through.

        >>> expect.sql("begins < ends")
        expect.sql('begins < ends')
        """
        return _expect("sql", condition, policy)

    def __repr__(self) -> str:
        return "expect"


def _names(name: str, said: Names) -> str | list[str]:
    found = names(said, f"expect.{name}")
    return found[0] if len(found) == 1 else found


def _bounds(name: str, minimum: Any, maximum: Any) -> dict[str, Any]:
    said = {key: plain(value) for key, value in (("min", minimum), ("max", maximum)) if value is not None}
    if not said:
        raise SpecError(f"expect.{name} without a bound", code="missing_option", hint="say min=, max= or both")
    return said


def _expect(name: str, arguments: Any, policy: str) -> Expectation:
    if policy not in ("fail", "warn", "quarantine"):
        raise SpecError(
            f"expect.{name}: policy is {policy!r}",
            code="invalid_value",
            hint='policy is one of "fail", "warn", "quarantine"',
        )
    return Expectation(name, arguments, policy)


expect = Expect()
