"""Reads what a class declares: columns as attributes, or columns as annotations."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints

from ..ground import places
from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import snake_case
from ..types import ColumnType, as_type
from .markers import Key, Marker, Named, check_chain
from .table import Column, Table


class ManagedTable:
    """A destination table: subclass, set `__tablename__` (default: snake_case of the class), `__schema__`
    (default: public), and columns. `__abstract__ = True` makes a mixin, whose columns its subclasses have too.
    """

    __tablename__: ClassVar[str]
    __schema__: ClassVar[str] = "public"
    __abstract__: ClassVar[bool] = True

    @told_at_the_line
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
    column._check_default(where)
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
