"""Frames as sources: what Python hands over, under a number by which the core finds it again."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from weakref import WeakValueDictionary

from ..ground.errors import SpecError
from ..ground.names import a

_numbers = itertools.count(1)
_held: WeakValueDictionary[int, HeldFrame] = WeakValueDictionary()


class HeldFrame:
    """A frame, for as long as a source or an answer keeps it."""

    def __init__(self, frame: Any, words: str) -> None:
        self.number = next(_numbers)
        self.words = words
        self._frame = frame
        self._taken = False
        _held[self.number] = self

    def export(self) -> dict[str, Any]:
        """It as the core knows it."""
        return {"id": self.number, "words": self.words}

    def open(self, _wanted: list[tuple[str, str]]) -> Any:
        """What the core reads: an object with `__arrow_c_stream__`, an iterator of batches, or pages of rows.

        `wanted` are the columns that the target declares, each with its type.
        """
        # What takes its time to import is imported where it is used.
        from .records import RowPages, rows_or_items

        frame = self._frame
        if isinstance(frame, Iterator):
            if self._taken:
                raise SpecError(
                    f"{self.words} was read already: it gives its rows once",
                    code="invalid_value",
                    hint="hand over what can be read again, a list or a frame",
                )
            self._taken = True
            is_rows, items = rows_or_items(frame)
            return RowPages(items, self.words) if is_rows else items
        if isinstance(frame, (list, tuple)):
            return RowPages(frame, self.words)
        return stream_of(frame)


def held(number: int) -> HeldFrame | None:
    """The frame of that number, as long as somebody keeps it."""
    return _held.get(number)


def stream_of(frame: Any) -> Any:
    """What has `__arrow_c_stream__`, or an iterator of what has, of a frame."""
    if is_of("polars", "LazyFrame", frame):
        typed = of_polars(frame)
        return typed.collect_batches() if hasattr(typed, "collect_batches") else typed.collect()
    if is_of("polars", "DataFrame", frame):
        return of_polars(frame)
    if is_of("pandas", "DataFrame", frame):
        return of_pandas(frame)
    if hasattr(frame, "__arrow_c_stream__"):
        return frame
    return iter([frame])


def of_polars(frame: Any) -> Any:
    """A frame whose columns all have a type: one without values is exported in a way that others do not read."""
    polars = sys.modules["polars"]
    untyped = [name for name, data_type in frame.collect_schema().items() if data_type == polars.Null]
    return frame.with_columns(polars.col(untyped).cast(polars.String)) if untyped else frame


def of_pandas(frame: Any) -> Any:
    """A DataFrame of pandas by pyarrow. Levels of its index that have a name are columns, others are none of its data."""
    try:
        pyarrow = import_module("pyarrow")
    except ImportError:
        raise SpecError(
            "a DataFrame of pandas is read by pyarrow, which is not installed",
            code="import_failed",
            hint='pip install "ematix-flow[df]"',
        ) from None
    named = [name for name in frame.index.names if name is not None]
    unnamed = len(frame.index.names) - len(named)
    if named and unnamed:
        raise SpecError(
            "the index of the DataFrame has levels with and without a name",
            code="invalid_value",
            hint="name them all, or reset_index() first",
        )
    twice = [name for name in named if name in frame.columns]
    if twice:
        raise SpecError(
            f"the DataFrame has a column and a level of its index called {twice[0]!r}",
            code="duplicate_name",
            hint="reset_index(drop=True) leaves the index out",
        )
    flat = frame.reset_index() if named else frame
    for name in flat.columns:
        if not isinstance(name, str):
            raise SpecError(
                f"a column of the DataFrame is called {name!r}, which is no text",
                code="invalid_value",
                hint="frame.columns = [str(name) for name in frame.columns]",
            )
    try:
        return pyarrow.Table.from_pandas(flat, preserve_index=False)
    except pyarrow.ArrowException as error:
        said = " ".join(str(part) for part in error.args)
        raise SpecError(
            f"the DataFrame has values that Arrow does not hold: {said}",
            code="invalid_value",
            hint="give each column one type: frame.astype({…}) or frame.convert_dtypes()",
        ) from None


def as_frame(value: object) -> HeldFrame | None:
    """A frame of what was given; None for what is none."""
    words = words_of(value)
    return None if words is None else HeldFrame(value, words)


def words_of(value: object) -> str | None:
    """What a frame is, for people; None for what is none."""
    for module, name, words in (
        ("polars", "LazyFrame", "a LazyFrame of polars"),
        ("polars", "DataFrame", "a DataFrame of polars"),
        ("pandas", "DataFrame", "a DataFrame of pandas"),
        ("pyarrow", "Table", "a Table of pyarrow"),
        ("pyarrow", "RecordBatchReader", "a RecordBatchReader of pyarrow"),
        ("pyarrow", "RecordBatch", "a RecordBatch of pyarrow"),
        ("duckdb", "DuckDBPyRelation", "a relation of DuckDB"),
    ):
        if is_of(module, name, value):
            return words
    kind = a(type(value))
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
        return f"the rows of {kind}"
    if isinstance(value, (Iterator, list, tuple)):
        return f"the rows of {kind}"
    return None


def is_of(module: str, name: str, value: object) -> bool:
    """Whether a value is of a class of a library, which is not imported for it."""
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(value, found)
