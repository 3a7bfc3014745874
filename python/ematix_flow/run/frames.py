"""Frames of whatever library is there. Rows come as Arrow; a library is imported when a frame of it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..ground.errors import SpecError

if TYPE_CHECKING:
    from .._core import Frame

Library: TypeAlias = Literal["polars", "pandas", "pyarrow", "arrow"]
Prefer: TypeAlias = Literal["auto", "polars", "pandas", "pyarrow", "arrow"]

# What a frame of each library needs; our own object needs nothing.
NEEDED: dict[Library, tuple[str, ...]] = {
    "polars": ("polars",),
    "pandas": ("pandas", "pyarrow"),
    "pyarrow": ("pyarrow",),
    "arrow": (),
}


def library(prefer: str, where: str) -> Library:
    """The library of a frame: the preferred one, or the first that is there.

    Raises:
        SpecError: `import_failed` for one that is not installed, `invalid_value` for one that is not known.
    """
    if prefer == "auto":
        return next(name for name in NEEDED if not missing(name))
    if prefer not in NEEDED:
        raise SpecError(
            f"{where}: prefer is {prefer!r}",
            code="invalid_value",
            hint='prefer is "auto", "polars", "pandas", "pyarrow" or "arrow"',
        )
    for module in missing(prefer):
        raise SpecError(
            f"{where}: there is no {module}",
            code="import_failed",
            hint='pip install "ematix-flow[df]", or take prefer="arrow", which whatever reads Arrow can read',
        )
    return prefer


def missing(name: Library) -> list[str]:
    """What a frame of a library needs and is not there."""
    return [module for module in NEEDED[name] if not is_there(module)]


def is_there(module: str) -> bool:
    """Whether a module can be imported."""
    from importlib.util import find_spec

    return find_spec(module) is not None


def frame_of(rows: Frame, name: Library) -> Any:
    """The rows as a frame of a library."""
    if name == "polars":
        return import_module("polars").DataFrame(rows)
    if name == "pyarrow":
        return import_module("pyarrow").table(rows)
    return _pandas(import_module("pyarrow").table(rows)) if name == "pandas" else rows


def _pandas(table: Any) -> Any:
    """A frame of pandas whose columns know NULL: a number stays what it is, and no decimal becomes a float."""
    pandas, pyarrow = import_module("pandas"), import_module("pyarrow")
    types = pyarrow.types
    nullable = {
        pyarrow.bool_(): pandas.BooleanDtype(),
        pyarrow.int16(): pandas.Int16Dtype(),
        pyarrow.int32(): pandas.Int32Dtype(),
        pyarrow.int64(): pandas.Int64Dtype(),
        pyarrow.float32(): pandas.Float32Dtype(),
        pyarrow.float64(): pandas.Float64Dtype(),
        pyarrow.string(): pandas.StringDtype("pyarrow"),
    }
    # What pandas has a type of its own for that knows NULL (NaT, a category), or Python a value: intervals, uuids.
    own = (types.is_timestamp, types.is_duration, types.is_dictionary, types.is_interval, _is_uuid)

    def dtype(data_type: Any) -> Any:
        if data_type in nullable:
            return nullable[data_type]
        return None if any(is_own(data_type) for is_own in own) else pandas.ArrowDtype(data_type)

    for place, field in enumerate(table.schema):
        if getattr(field.type, "extension_name", None) == "arrow.json":
            table = table.set_column(place, field.name, table.column(place).cast(pyarrow.string()))
    return table.to_pandas(types_mapper=dtype)


def _is_uuid(data_type: Any) -> bool:
    return getattr(data_type, "extension_name", None) == "arrow.uuid"
