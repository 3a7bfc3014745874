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

from typing import TYPE_CHECKING, Any, ClassVar

from ..ground import places
from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import qualified, snake_case
from .columns import Column, columns_of
from .markers import check_chain


class Table:
    """What a class declares. `columns` goes by the attribute; a column knows its own name in the database."""

    __slots__ = ("_qualified", "class_name", "columns", "description", "feature", "name", "place", "schema")

    def __init__(
        self,
        schema: str,
        name: str,
        columns: dict[str, Column[Any]],
        *,
        description: str | None,
        place: places.Place,
        class_name: str,
    ) -> None:
        self.schema = schema
        self.name = name
        self.columns = columns
        self.description = description
        self.place = place
        self.class_name = class_name
        # What makes it a feature view; its table has the version behind the name then.
        self.feature: dict[str, Any] | None = None
        self._qualified = qualified(schema, name)

    @property
    def key(self) -> str:
        """The name of the table, under which the registry has it: `schema.name`, of a feature view
        `schema.name_version`."""
        if self.feature is None:
            return self._qualified
        return qualified(self.schema, f"{self.name}_{self.feature['feature_version']}")

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
        if primary_key := self.primary_key:
            said["primary_key"] = primary_key
        if natural_key := self.natural_key:
            said["natural_key"] = natural_key
        said["columns"] = {column.name: column.export() for column in self.columns.values()}
        if self.feature is not None:
            said |= self.feature
        return said

    def __repr__(self) -> str:
        columns = (
            f"{column.name} {column.type.sql}{'' if column.nullable else ' NOT NULL'}"
            for column in self.columns.values()
        )
        return f"<Table {self.key}: {', '.join(columns)}>"


def table_of(cls: object) -> Table | None:
    """The table that a class declares itself; None for what declares none."""
    return vars(cls).get("__ematix_table__") if isinstance(cls, type) else None


class ManagedTable:
    """A destination table: subclass, set `__tablename__` (default: snake_case of the class), `__schema__`
    (default: public), and columns. `__abstract__ = True` makes a mixin, whose columns its subclasses have too.
    """

    if TYPE_CHECKING:
        # Not at run time: the annotations of each subclass are evaluated with those of this class.
        __tablename__: ClassVar[str]
    __schema__ = "public"
    __abstract__ = True

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
    columns = columns_of(cls)
    if not columns:
        raise SpecError(
            f"{cls.__qualname__} declares no columns",
            code="missing_option",
            hint="write `customer_id: Annotated[BigInt, pk()]`; a class for others to inherit says __abstract__ = True",
        )
    seen: dict[str, str] = {}
    for attribute, column in columns.items():
        first = seen.setdefault(column.name, attribute)
        if first != attribute:
            raise SpecError(
                f"{cls.__qualname__}: `{first}` and `{attribute}` are both the column `{column.name}`",
                code="duplicate_name",
                hint="give one of them another name",
            )
        if column.normalize:
            check_chain(list(column.normalize), column.type, f"{cls.__qualname__}.{attribute}")
    described = _first_paragraph(cls.__dict__.get("__doc__"))
    table = Table(schema, name, columns, description=described, place=places.here(2), class_name=cls.__qualname__)
    cls.__ematix_table__ = table  # type: ignore[attr-defined]
    inherits, own = cls.__bases__ != (object,), cls.__dict__
    for attribute, column in columns.items():
        # `Dim.email.sql` works on a class of annotations as it does on a type. What is not there takes long to say so.
        if not isinstance(getattr(cls, attribute, None) if inherits else own.get(attribute), Column):
            setattr(cls, attribute, column.type)
    return table


_FOREIGN = {
    "__dataclass_fields__": "a dataclass",
    "__pydantic_fields__": "a pydantic model",
    "model_fields": "a pydantic model",
    "__attrs_attrs__": "an attrs class",
    "__mapper__": "an SQLAlchemy class",
    "_member_map_": "an Enum",
}


def _refuse_foreign(cls: type) -> None:
    if type(cls) is type and cls.__bases__ == (object,) and _FOREIGN.keys().isdisjoint(cls.__dict__):
        # Most are: a class that has nothing but what it says.
        return
    kind = next((kind for attribute, kind in _FOREIGN.items() if hasattr(cls, attribute)), None)
    if issubclass(cls, tuple):
        kind = "a NamedTuple"
    if kind:
        raise SpecError(
            f"{cls.__qualname__} is {kind}, and cannot be a table as well",
            code="invalid_value",
            hint="write a plain class with column types: customer_id: Annotated[BigInt, pk()]",
        )


def _first_paragraph(text: str | None) -> str | None:
    return (" ".join(text.strip().split("\n\n")[0].split()) or None) if text else None
