"""A destination table as declared: by a class of columns, or by a class whose annotations are the columns.

>>> from ematix_flow import Column, Integer, ManagedTable, String
>>> class CustomerDim(ManagedTable):
...     __schema__ = "analytics"
...     customer_id = Column(Integer, primary_key=True)
...     email = Column(String)
>>> table_of(CustomerDim)
<Table analytics.customer_dim: customer_id integer NOT NULL, email varchar>
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    overload,
)

from ..ground import places
from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import a, qualified
from ..ground.values import plain
from ..types import ColumnType, as_type
from .markers import Marker, Sql

T = TypeVar("T")
R = TypeVar("R")
D = TypeVar("D")

if TYPE_CHECKING:
    # Of its own name, since a column has an attribute `type`.
    _TypeOf: TypeAlias = type[ColumnType[R, D]] | ColumnType[R, D]


class Column(Generic[T]):
    """A column: `Column(Integer, primary_key=True)`. It may be NULL unless it is a key or `nullable=False`.

    Args:
        type: a column type, the class or an instance.
        primary_key: whether it belongs to the primary key.
        nullable: whether it may be NULL.
        default: its DEFAULT: a value of the type, or `sql("now()")`.
        unique: whether its values are unique.
        natural_key: whether it belongs to the natural key.
        normalize: markers that clean its values, from left to right.

    Raises:
        SpecError: what is given does not fit the type.

    >>> from ematix_flow import Numeric
    >>> Column(Numeric[10, 2], default=0)
    Column(Numeric[10, 2], default=0)
    """

    name: str
    type: ColumnType[Any, Any]
    primary_key: bool
    nullable: bool
    unique: bool
    natural_key: bool
    default: Any
    normalize: tuple[Marker, ...]

    @overload
    def __init__(
        self: Column[R],
        type: _TypeOf[R, D],
        primary_key: Literal[True],
        nullable: Literal[False] = ...,
        default: D | Sql | None = None,
        unique: bool = False,
        *,
        natural_key: bool = False,
        normalize: Sequence[Marker] = (),
    ) -> None: ...
    @overload
    def __init__(
        self: Column[R],
        type: _TypeOf[R, D],
        primary_key: bool = False,
        *,
        nullable: Literal[False],
        default: D | Sql | None = None,
        unique: bool = False,
        natural_key: bool = False,
        normalize: Sequence[Marker] = (),
    ) -> None: ...
    @overload
    def __init__(
        self: Column[R | None],
        type: _TypeOf[R, D],
        primary_key: Literal[False] = ...,
        nullable: Literal[True] = ...,
        default: D | Sql | None = None,
        unique: bool = False,
        *,
        natural_key: bool = False,
        normalize: Sequence[Marker] = (),
    ) -> None: ...
    @told_at_the_line
    def __init__(
        self,
        type: Any,
        primary_key: bool = False,
        nullable: bool | None = None,
        default: Any = None,
        unique: bool = False,
        *,
        natural_key: bool = False,
        normalize: Sequence[Marker] = (),
    ) -> None:
        self.name = ""
        self.type = as_type(type, "Column")
        self.primary_key = primary_key
        self.nullable = not primary_key if nullable is None else nullable
        self.unique = unique
        self.natural_key = natural_key
        self.default = default
        self.normalize = tuple(normalize)
        self._check_default("Column")
        if primary_key and self.nullable:
            raise SpecError(
                "Column: a column of the primary key cannot be NULL",
                code="conflicting_options",
                hint="leave nullable=True out",
            )

    def _check_default(self, where: str) -> None:
        if self.default is None or isinstance(self.default, Sql) or self.type.accepts(self.default):
            return
        wanted = "JSON" if self.type.python_type is object else a(self.type.python_type)
        raise SpecError(
            f"{where}: the default {self.default!r} does not fit the type {self.type.sql}",
            code="invalid_value",
            hint=f'give {wanted}, or an SQL expression: default=sql("…")',
        )

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = self.name or name

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Column[T]: ...
    @overload
    def __get__(self, instance: object, owner: Any, /) -> T: ...
    def __get__(self, instance: Any, owner: Any, /) -> Any:
        if instance is None:
            return self
        raise AttributeError(f"this row has no `{self.name}`: the query did not return it")

    def export(self) -> str | dict[str, Any]:
        """The column as pipelines.toml has it: `"text?"`, or a table."""
        spelled = self.type.toml + ("?" if self.nullable else "")
        said: dict[str, Any] = {"type": spelled}
        if isinstance(self.default, Sql):
            said["default"] = {"sql": self.default.text}
        elif self.default is not None:
            said["default"] = _default_value(self.default)
        if self.unique:
            said["unique"] = True
        if self.normalize:
            said["normalize"] = [marker.export() for marker in self.normalize]
        return spelled if len(said) == 1 else said

    def __repr__(self) -> str:
        said = [repr(self.type)]
        said += [f"{name}=True" for name in ("primary_key", "natural_key", "unique") if getattr(self, name)]
        if not self.nullable and not self.primary_key:
            said.append("nullable=False")
        if self.default is not None:
            said.append(f"default={self.default!r}")
        return f"Column({', '.join(said)})"


class Table:
    """What a class declares. `columns` goes by the attribute; a column knows its own name in the database."""

    def __init__(
        self,
        schema: str,
        name: str,
        columns: Mapping[str, Column[Any]],
        *,
        description: str | None,
        place: places.Place,
        class_name: str,
    ) -> None:
        self.schema = schema
        self.name = name
        self.columns = dict(columns)
        self.description = description
        self.place = place
        self.class_name = class_name
        self.feature: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """The name under which the registry has it: `schema.name`."""
        return qualified(self.schema, self.name)

    @property
    def column_names(self) -> list[str]:
        """The names in the database, in their order."""
        return [column.name for column in self.columns.values()]

    @property
    def primary_key(self) -> list[str]:
        """The names of its columns."""
        return [column.name for column in self.columns.values() if column.primary_key]

    @property
    def natural_key(self) -> list[str]:
        """The names of its columns."""
        return [column.name for column in self.columns.values() if column.natural_key]

    def export(self) -> dict[str, Any]:
        """The table as pipelines.toml has it."""
        said: dict[str, Any] = {"schema": self.schema, "name": self.name}
        if self.description:
            said["description"] = self.description
        if self.primary_key:
            said["primary_key"] = self.primary_key
        if self.natural_key:
            said["natural_key"] = self.natural_key
        return said | {"columns": {column.name: column.export() for column in self.columns.values()}}

    def __repr__(self) -> str:
        columns = (
            f"{column.name} {column.type.sql}{'' if column.nullable else ' NOT NULL'}"
            for column in self.columns.values()
        )
        return f"<Table {self.key}: {', '.join(columns)}>"


def table_of(cls: object) -> Table | None:
    """The table that a class declares itself; None for what declares none."""
    return vars(cls).get("__ematix_table__") if isinstance(cls, type) else None


def _default_value(value: Any) -> Any:
    """Lists and objects travel as JSON text, which is what their DEFAULT is."""
    if isinstance(value, list | dict | tuple):
        import json

        return json.dumps(plain(value), ensure_ascii=False)
    return plain(value)
