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

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from . import places
from .errors import SpecError
from .markers import Key, Marker, Named, Sql, check_chain
from .names import qualified, snake_case
from .types import ColumnType, as_type
from .values import plain

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
        self._check_default()
        if primary_key and self.nullable:
            raise SpecError(
                "Column: a column of the primary key cannot be NULL",
                code="conflicting_options",
                hint="leave nullable=True out",
            )

    def _check_default(self) -> None:
        if self.default is None or isinstance(self.default, Sql) or self.type.accepts(self.default):
            return
        raise SpecError(
            f"Column: the default {self.default!r} does not fit the type {self.type.sql}",
            code="invalid_value",
            hint=f'give {_a(self.type.python_type)}, or an expression: default=sql("now()")',
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


class ManagedTable:
    """A destination table: subclass, set `__tablename__` (default: snake_case of the class), `__schema__`
    (default: public), and columns. `__abstract__ = True` makes a mixin, whose columns its subclasses have too.
    """

    __tablename__: ClassVar[str]
    __schema__: ClassVar[str] = "public"
    __abstract__: ClassVar[bool] = True

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if not cls.__dict__.get("__abstract__", False):
            name = cls.__dict__.get("__tablename__") or snake_case(cls.__name__)
            declare(cls, cls.__schema__, name)


def declare(cls: type, schema: str, name: str) -> Table:
    """Reads the columns of a class, and keeps them with it.

    Raises:
        SpecError: with the class, the attribute and the remedy.
    """
    _refuse_foreign(cls)
    for what, text in (("schema", schema), ("name", name)):
        if not isinstance(text, str) or not text:
            raise SpecError(f"{cls.__qualname__}: the {what} is {text!r}", code="invalid_value", hint="give a name")
    columns = _columns(cls)
    if not columns:
        raise SpecError(
            f"{cls.__qualname__} declares no columns",
            code="missing_option",
            hint="write `customer_id: Annotated[BigInt, pk()]`; a class for others to inherit says __abstract__ = True",
        )
    seen: dict[str, str] = {}
    for attribute, column in columns.items():
        if column.name in seen:
            raise SpecError(
                f"{cls.__qualname__}: `{seen[column.name]}` and `{attribute}` are both the column `{column.name}`",
                code="duplicate_name",
                hint="give one of them another name",
            )
        seen[column.name] = attribute
        check_chain(list(column.normalize), column.type, f"{cls.__qualname__}.{attribute}")
    described = _first_paragraph(cls.__dict__.get("__doc__"))
    table = Table(schema, name, columns, description=described, place=places.here(), class_name=cls.__qualname__)
    cls.__ematix_table__ = table  # type: ignore[attr-defined]
    for attribute, column in columns.items():
        # `Dim.email.sql` works on a class of annotations as it does on a type.
        if not isinstance(getattr(cls, attribute, None), Column):
            setattr(cls, attribute, column.type)
    return table


def table_of(cls: object) -> Table | None:
    """The table that a class declares itself; None for what declares none."""
    return vars(cls).get("__ematix_table__") if isinstance(cls, type) else None


def _columns(cls: type) -> dict[str, Column[Any]]:
    """Columns by their attributes: those of base classes first, as fields of a dataclass are."""
    hints = _hints(cls)
    columns: dict[str, Column[Any]] = {}
    for base in reversed(cls.__mro__):
        if base in (object, ManagedTable):
            continue
        for name in _own_annotations(base):
            if name.startswith("__") or get_origin(hints.get(name)) is ClassVar or hints.get(name) is ClassVar:
                continue
            value = base.__dict__.get(name)
            if isinstance(value, Column):
                columns[name] = value
            else:
                if name in base.__dict__ and not isinstance(value, ColumnType):
                    raise SpecError(
                        f"{cls.__qualname__}.{name} = {value!r} is not a column",
                        code="invalid_value",
                        hint=f"a DEFAULT is written {name}: Annotated[…, column(default={value!r})]",
                    )
                columns[name] = _annotated(hints[name], name, f"{cls.__qualname__}.{name}")
        for name, value in base.__dict__.items():
            if isinstance(value, Column):
                columns[name] = value
    return columns


def _own_annotations(cls: type) -> Iterator[str]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return iter(annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF))
    # Not inspect.get_annotations: importing inspect takes longer than all of this package.
    return iter(cls.__dict__.get("__annotations__", {}))  # noqa: RUF063


def _hints(cls: type) -> dict[str, Any]:
    names, in_function = places.names_here()
    try:
        # At the top of a module the names of each base class's own module come first: a mixin from elsewhere needs it.
        return _resolved(cls, names if in_function else None)
    except NameError as error:
        if not in_function:
            # Code that runs outside any module (exec, a doctest) has its names there alone.
            with contextlib.suppress(NameError):
                return _resolved(cls, names)
        name = getattr(error, "name", None) or str(error)
        raise SpecError(
            f"{cls.__qualname__}: an annotation names `{name}`, which is not known there",
            code="unknown_type",
            hint="import it at run time, not under TYPE_CHECKING alone",
        ) from None
    except TypeError as error:
        raise SpecError(
            f"{cls.__qualname__}: an annotation cannot be read: {error}",
            code="unknown_type",
            hint="an annotation is a column type, `Text | None`, or Annotated[type, markers…]",
        ) from None


def _resolved(cls: type, names: dict[str, Any] | None) -> dict[str, Any]:
    return get_type_hints(cls, localns=names, include_extras=True)


def _annotated(hint: Any, attribute: str, where: str) -> Column[Any]:
    """The column that an annotation says: `Annotated[Text | None, trim()]`."""
    markers: list[Any] = []
    nullable = False
    # `Annotated[Text, …] | None` and `Annotated[Text | None, …]` mean the same.
    while get_origin(hint) in (Annotated, Union, UnionType):
        if get_origin(hint) is Annotated:
            markers[:0] = hint.__metadata__
            hint = hint.__origin__
        else:
            members = [member for member in get_args(hint) if member is not type(None)]
            if len(members) != 1 or len(get_args(hint)) == 1:
                raise SpecError(
                    f"{where} has several types", code="unknown_type", hint="a column has one type, and `| None`"
                )
            nullable, hint = True, members[0]
    column: Column[Any] = Column(as_type(hint, where), nullable=False)
    column.name = attribute
    column.nullable = nullable
    cleaning = []
    for marker in markers:
        if isinstance(marker, type) or not isinstance(marker, Marker):
            _refuse_marker(marker, where)
        elif isinstance(marker, Named):
            column.name = marker.arguments.get("name", column.name)
            column.default = marker.arguments.get("default", column.default)
        elif isinstance(marker, Key):
            setattr(column, "primary_key" if marker.name == "pk" else marker.name, True)
        else:
            cleaning.append(marker)
    column.normalize = tuple(cleaning)
    if column.primary_key and nullable:
        raise SpecError(
            f"{where} is pk() and `| None`",
            code="conflicting_options",
            hint="a primary key cannot be NULL: take `| None` out, or use natural_key()",
        )
    column._check_default()
    return column


def _refuse_marker(marker: Any, where: str) -> None:
    """What stands in Annotated but is not ours is left alone, except a marker that was not called."""
    from . import markers

    name = getattr(marker, "__name__", "")
    if callable(marker) and getattr(markers, name, None) is marker and name.islower():
        raise SpecError(f"{where}: {name} is not called", code="invalid_value", hint=f"write {name}()")


def _refuse_foreign(cls: type) -> None:
    kinds = {
        "__dataclass_fields__": "a dataclass",
        "__pydantic_fields__": "a pydantic model",
        "model_fields": "a pydantic model",
        "__attrs_attrs__": "an attrs class",
        "__mapper__": "an SQLAlchemy class",
        "_member_map_": "an Enum",
    }
    kind = next((kind for attribute, kind in kinds.items() if hasattr(cls, attribute)), None)
    if issubclass(cls, tuple):
        kind = "a NamedTuple"
    if kind:
        raise SpecError(
            f"{cls.__qualname__} is {kind}, and cannot be a table as well",
            code="invalid_value",
            hint="write a plain class with column types: customer_id: Annotated[BigInt, pk()]",
        )


def _first_paragraph(text: str | None) -> str | None:
    return " ".join((text or "").strip().split("\n\n")[0].split()) or None


def _a(python_type: type) -> str:
    return (
        "JSON"
        if python_type is object
        else f"{'an' if python_type.__name__[0] in 'aeiou' else 'a'} {python_type.__name__}"
    )


def _default_value(value: Any) -> Any:
    """Lists and objects travel as JSON text, which is what their DEFAULT is."""
    if isinstance(value, list | dict | tuple):
        import json

        return json.dumps(plain(value), ensure_ascii=False)
    return plain(value)
