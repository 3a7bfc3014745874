"""The target of a pipeline: a declared class, or a qualified name whose columns are read from the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..ground.errors import SpecError
from ..ground.names import did_you_mean
from .options import COLUMNS
from .table import Table as Declared
from .table import table_of

if TYPE_CHECKING:
    from ._checked import FeatureViewClass

    Table: TypeAlias = type[Any] | FeatureViewClass[Any] | str
    """A declared class, or a qualified name whose columns are read from the database."""


_SAID = frozenset(COLUMNS)


class Target:
    """What a pipeline writes to: the name that the registry refers to, and the declaration if there is one."""

    __slots__ = ("name", "table")

    def __init__(self, name: str, table: Declared | None) -> None:
        self.name = name
        self.table = table

    def keys(self, said: Mapping[str, Any]) -> list[str]:
        """The columns by which rows are matched, as far as they are declared."""
        if said.get("keys"):
            return list(said["keys"])
        return (self.table.natural_key or self.table.primary_key) if self.table else []


def as_target(value: object, where: str) -> Target:
    """The target behind a class or a name.

    Raises:
        SpecError: what is given is neither a declared table nor a name.
    """
    if isinstance(value, str) and value.strip():
        return Target(value, None)
    table = table_of(value)
    if table is not None:
        return Target(table.key, table)
    if isinstance(value, type):
        message = f"{where}: the class {value.__qualname__} declares no table"
        hint = '@ematix.table(schema="…") above it declares one; `__abstract__ = True` makes a class for others'
    else:
        message = f"{where}: a target is a class or a name, not {value!r}"
        hint = 'give the class, or "schema.table"'
    raise SpecError(message, code="unknown_table", hint=hint)


def check_columns(where: str, target: Target, said: Mapping[str, Any]) -> None:
    """Holds keys and the other options that name columns to the declaration.

    Raises:
        SpecError: `missing_keys`, or `unknown_column` with the column that was probably meant.
    """
    if target.table is None:
        return
    keys = target.keys(said)
    if said["mode"] in ("merge", "scd2") and not keys:
        raise SpecError(
            f"{where}: mode {said['mode']} needs keys, and {target.table.class_name} declares none",
            code="missing_keys",
            hint='say keys=["customer_id"], or mark the column: Annotated[BigInt, pk()] or natural_key()',
        )
    if _SAID.isdisjoint(said):
        return
    known = target.table.column_names
    for option in COLUMNS:
        for name in said.get(option, ()):
            if name not in known:
                raise SpecError(
                    f"{where}: {option} names `{name}`, which {target.table.class_name} does not have",
                    code="unknown_column",
                    hint=did_you_mean(name, known, f"its columns are {', '.join(known)}"),
                    context={"column": name, "table": target.name},
                )
    both = [name for name in keys if name in said.get("overwrite_columns", ())]
    both += [name for name in said.get("compare_columns", ()) if name in said.get("overwrite_columns", ())]
    if both:
        raise SpecError(
            f"{where}: overwrite_columns names `{both[0]}`, which is a key or compared",
            code="conflicting_options",
            hint="a column either opens a version or is overwritten",
        )
