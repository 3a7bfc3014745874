"""Columns: as attributes of a class, `Column(…)`, or as its annotations, `Annotated[…]`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
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

from ..ground import places
from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import a
from ..ground.values import plain
from ..types import ColumnType, as_type
from . import markers
from .markers import Key, Marker, Named, Sql

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
        spelled = f"{self.type.toml}?" if self.nullable else self.type.toml
        if self.default is None and not self.unique and not self.normalize:
            return spelled
        said: dict[str, Any] = {"type": spelled}
        if isinstance(self.default, Sql):
            said["default"] = {"sql": self.default.text}
        elif self.default is not None:
            said["default"] = _default_value(self.default)
        if self.unique:
            said["unique"] = True
        if self.normalize:
            said["normalize"] = [marker.export() for marker in self.normalize]
        return said

    def __repr__(self) -> str:
        said = [repr(self.type)]
        said += [f"{name}=True" for name in ("primary_key", "natural_key", "unique") if getattr(self, name)]
        if not self.nullable and not self.primary_key:
            said.append("nullable=False")
        if self.default is not None:
            said.append(f"default={self.default!r}")
        return f"Column({', '.join(said)})"


def _default_value(value: Any) -> Any:
    """Lists and objects travel as JSON text, which is what their DEFAULT is."""
    if isinstance(value, list | dict | tuple):
        # Few columns have such a DEFAULT, and the module takes its time.
        import json

        return json.dumps(plain(value), ensure_ascii=False)
    return plain(value)


def columns_of(cls: type) -> dict[str, Column[Any]]:
    """Columns by their attributes: those of base classes first, as fields of a dataclass are."""
    found = _known_columns(cls)
    if found is not None:
        return found
    hints = _hints(cls)
    columns: dict[str, Column[Any]] = {}
    for base in reversed(cls.__mro__[:-1]):
        for name in _own_annotations(base):
            hint = hints.get(name)
            known = _read.get((id(hint), name))
            if known is not None and name not in base.__dict__:
                columns[name] = known[1]
                continue
            if name.startswith("__") or get_origin(hint) is ClassVar or hint is ClassVar:
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
                columns[name] = _annotated(hint, name, f"{cls.__qualname__}.{name}")
                _keep(hint, name, columns[name])
        for name, value in base.__dict__.items():
            if isinstance(value, Column):
                columns[name] = value
    return columns


# Columns by the annotation and the name that say them, each with the annotation, whose id would be another's else. Tables
# of one project are alike: they have them in common, and nobody changes a column once it is read.
_read: dict[tuple[int, str], tuple[Any, Column[Any]]] = {}
# What a column type is: a class, or an instance of it.
_TYPES = (type(ColumnType), ColumnType)
# More than these are read again.
_MOST_READ = 4096


def _keep(hint: Any, name: str, column: Column[Any]) -> None:
    if len(_read) == _MOST_READ:
        _read.clear()
    _read[id(hint), name] = (hint, column)


def _known_columns(cls: type) -> dict[str, Column[Any]] | None:
    """The columns of a class that inherits none and says none that was not read before: most of many."""
    if cls.__bases__ != (object,):
        return None
    own = cls.__dict__
    columns: dict[str, Column[Any]] = {}
    for name, hint in _own_annotations(cls).items():
        known = _read.get((id(hint), name))
        if known is None or name in own:
            return None
        columns[name] = known[1]
    return None if any(isinstance(value, Column) for value in own.values()) else columns


def _own_annotations(cls: type) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    # Not inspect.get_annotations: importing inspect takes longer than all of this package.
    found: Mapping[str, Any] = cls.__dict__.get("__annotations__", {})  # noqa: RUF063
    return found


def _as_they_stand(cls: type) -> dict[str, Any] | None:
    """The annotations of a class and its bases; None where Python has to look up what one of them names."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):
        own = _own_annotations(base)
        if not all((id(hint), name) in _read or _names_nothing(hint) for name, hint in own.items()):
            return None
        found.update(own)
    return found


def _names_nothing(hint: Any) -> bool:
    """Whether it is a column type alone, `| None`, or annotated, and no text in it."""
    if get_origin(hint) is Annotated:
        hint = hint.__origin__
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return all(member is type(None) or isinstance(member, _TYPES) for member in members)


def _hints(cls: type) -> dict[str, Any]:
    found = _as_they_stand(cls)
    if found is not None:
        return found
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
    beside: list[Any] = []
    nullable = False
    # `Annotated[Text, …] | None` and `Annotated[Text | None, …]` mean the same.
    while get_origin(hint) in (Annotated, Union, UnionType):
        if get_origin(hint) is Annotated:
            beside[:0] = hint.__metadata__
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
    for marker in beside:
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
    column._check_default(where)
    return column


def _refuse_marker(marker: Any, where: str) -> None:
    """What stands in Annotated but is not ours is left alone, except a marker that was not called."""
    name = getattr(marker, "__name__", "")
    if callable(marker) and getattr(markers, name, None) is marker and name.islower():
        raise SpecError(f"{where}: {name} is not called", code="invalid_value", hint=f"write {name}()")
