# The column types as a checker sees them. types.py is what runs; tests/python/unit hold both to each other.
#  1. A type class is a descriptor: `customer_id: Annotated[BigInt, pk()]` and `customer_id = Column(BigInt)` both make
#     `row.customer_id` an `int`, and `name: Text | None` makes `row.name` a `str | None` (checkers apply `__get__` to
#     each member of the union).
#  2. `String[256]`, `Numeric[10, 2]`: pyright accepts any argument of a non-generic class that has
#     `__class_getitem__`. mypy accepts a number only inside Literal or Any, so under mypy (`MYPY` is true there alone)
#     the types that take arguments come from a module whose `__getattr__` is Any. Price: such a column is Any there.
import datetime as dt
import decimal
import uuid
from typing import Any, Generic, TypeAlias, overload

from typing_extensions import Self, TypeVar

__all__ = [
    "JSON",
    "JSONB",
    "UUID",
    "Array",
    "BigInt",
    "Boolean",
    "Bytes",
    "ColumnType",
    "Date",
    "Double",
    "Enum",
    "Float",
    "Integer",
    "Interval",
    "Numeric",
    "PgType",
    "SmallInt",
    "String",
    "Text",
    "Time",
    "Timestamp",
    "TimestampTZ",
]

MYPY: bool
T_co = TypeVar("T_co", covariant=True)
# What may be given for such a value, a DEFAULT for one. Invariant, so that `Column(Integer, default="x")` is an error.
Given = TypeVar("Given", default=T_co)

class ColumnType(Generic[T_co, Given]):
    """A column type. The class and an instance mean the same: `BigInt`, `BigInt()`."""

    _kind: str
    @property
    def sql(self) -> str:
        """The Postgres spelling: `"varchar(256)"`."""
    @property
    def toml(self) -> str:
        """The spelling in pipelines.toml: `"string(256)"`."""
    @property
    def python_type(self) -> type[Any]:
        """The type of a value in Python: `str`."""
    def accepts(self, value: object) -> bool:
        """Whether a Python value may stand in such a column, as a DEFAULT does."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: Any, /) -> T_co: ...

class SmallInt(ColumnType[int]):
    """`smallint`: whole numbers of 16 bits; an `int`."""

class Integer(ColumnType[int]):
    """`integer`: whole numbers of 32 bits; an `int`."""

class BigInt(ColumnType[int]):
    """`bigint`: whole numbers of 64 bits; an `int`."""

class Float(ColumnType[float]):
    """`real`: floating point of 32 bits; a `float`. Another database's `float` is mostly our `Double`."""

class Double(ColumnType[float]):
    """`double precision`: floating point of 64 bits; a `float`."""

class Boolean(ColumnType[bool]):
    """`boolean`; a `bool`."""

class Text(ColumnType[str]):
    """`text`: any length; a `str`."""

class Date(ColumnType[dt.date]):
    """`date`; a `datetime.date`."""

class JSON(ColumnType[Any, Any]):
    """`json`: the text as it came; whatever JSON holds."""

class JSONB(ColumnType[Any, Any]):
    """`jsonb`: decomposed, indexable; whatever JSON holds."""

class UUID(ColumnType[uuid.UUID]):
    """`uuid`; a `uuid.UUID`."""

class Bytes(ColumnType[bytes]):
    """`bytea`; `bytes`."""

class Interval(ColumnType[dt.timedelta]):
    """`interval`; a `datetime.timedelta`."""

if MYPY:
    from ._mypy import Array as Array
    from ._mypy import Enum as Enum
    from ._mypy import Numeric as Numeric
    from ._mypy import PgType as PgType
    from ._mypy import String as String
    from ._mypy import Time as Time
    from ._mypy import Timestamp as Timestamp
    from ._mypy import TimestampTZ as TimestampTZ
else:
    class String(ColumnType[str]):
        """`varchar(n)`; without a length `varchar`. A `str`."""

        def __init__(self, length: int | None = None) -> None: ...
        def __class_getitem__(cls, length: int, /) -> type[Self]: ...

    class Numeric(ColumnType[decimal.Decimal, decimal.Decimal | int | float]):
        """`numeric(p, s)`: exact; without arguments any precision. A `decimal.Decimal`."""

        def __init__(self, precision: int | None = None, scale: int | None = None) -> None: ...
        def __class_getitem__(cls, precision_scale: int | tuple[int, int], /) -> type[Self]: ...

    class Timestamp(ColumnType[dt.datetime]):
        """`timestamp`: date and time without a zone; a `datetime.datetime`."""

        def __init__(self, precision: int | None = None) -> None: ...
        def __class_getitem__(cls, precision: int, /) -> type[Self]: ...

    class TimestampTZ(ColumnType[dt.datetime]):
        """`timestamptz`: an instant; a `datetime.datetime` with a zone."""

        def __init__(self, precision: int | None = None) -> None: ...
        def __class_getitem__(cls, precision: int, /) -> type[Self]: ...

    class Time(ColumnType[dt.time]):
        """`time`: time of day without a zone; a `datetime.time`."""

        def __init__(self, precision: int | None = None) -> None: ...
        def __class_getitem__(cls, precision: int, /) -> type[Self]: ...

    class Enum(ColumnType[str]):
        """`Enum["status", "active", "inactive"]`: a Postgres enum of that name, which the database has already."""

        def __init__(self, name: str = "", *values: str) -> None: ...
        def __class_getitem__(cls, name_values: str | tuple[str, ...], /) -> type[Self]: ...
        @property
        def values(self) -> tuple[str, ...]:
            """What may stand in the column; empty where it was not said."""

    class PgType(ColumnType[Any, Any]):
        """Any type by its Postgres name: `PgType("citext")`."""

        def __init__(self, name: str = "") -> None: ...
        def __class_getitem__(cls, name: str, /) -> type[Self]: ...

    class Array(ColumnType[list[Any]]):
        """`Array[Text]`: an array of another type; a `list`."""

        def __init__(self, item: AnyType | None = None) -> None: ...
        def __class_getitem__(cls, item: AnyType, /) -> type[Self]: ...

AnyType: TypeAlias = ColumnType[Any, Any] | type[ColumnType[Any, Any]]

def as_type(value: Any, where: str) -> ColumnType[Any, Any]:
    """The type as an instance, whether it came as a class or as an instance."""
