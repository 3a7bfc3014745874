"""`expect`: questions to the rows of a run, before the load is committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from ..ground.errors import SpecError
from ..ground.values import Names, names, plain

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
        """No row has NULL there."""
        return _expect("not_null", column, policy)

    def unique(self, columns: Names, *, policy: Policy = "fail") -> Expectation:
        """No two rows have the same values there."""
        found = names(columns, "expect.unique")
        return _expect("unique", found[0] if len(found) == 1 else found, policy)

    def accepted_values(self, column: str, values: Sequence[Any], *, policy: Policy = "fail") -> Expectation:
        """Every value is one of these; NULL is let through."""
        if isinstance(values, str):
            raise SpecError("expect.accepted_values: one text is not a list of values", code="invalid_value")
        return _expect("accepted_values", {"column": column, "values": plain(values)}, policy)

    def in_range(self, column: str, min: Any = None, max: Any = None, *, policy: Policy = "fail") -> Expectation:
        """Every value lies between the bounds, both included; NULL is let through."""
        return _expect("in_range", {"column": column, **_bounds("in_range", min, max)}, policy)

    def row_count(
        self, min: int | None = None, max: int | None = None, *, policy: Literal["fail", "warn"] = "fail"
    ) -> Expectation:
        """The run has so many rows."""
        if policy not in ("fail", "warn"):
            raise SpecError("expect.row_count: there is no row to put in quarantine", code="invalid_value")
        return _expect("row_count", _bounds("row_count", min, max), policy)

    def sql(self, condition: str, *, policy: Policy = "fail") -> Expectation:
        """Every row meets an SQL condition."""
        return _expect("sql", condition, policy)

    def __repr__(self) -> str:
        return "expect"


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
