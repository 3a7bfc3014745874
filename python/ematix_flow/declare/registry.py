"""What a process has declared: pipelines and transforms by name, each with the line that declared it; and `Pipelines`,
what one module has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..ground import places
from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.names import did_you_mean
from ..ground.places import Place, here
from .runnable import Runnable, runner
from .table import Table
from .transforms import Transform

if TYPE_CHECKING:
    from ..show.reports import RunReport

pipelines: dict[str, Runnable] = {}
transforms: dict[str, Transform] = {}
_transform_places: dict[str, Place] = {}
# By table, in the order of their declaration: the view shows the version that is declared last.
feature_views: dict[str, Table] = {}
# Who hears of each pipeline as it is declared.
_hearers: list[Callable[[Runnable], None]] = []
# Of each table its declarations, by the pipelines that write it: who declares a pipeline looks at one, not at all.
_tables: dict[str, dict[str, Table]] = {}


def declare_pipeline(pipeline: Runnable) -> None:
    """Takes a pipeline in.

    Raises:
        SpecError: `duplicate_name`, with both places, for a name that is taken.
    """
    known = pipelines.get(pipeline.name)
    if known is not None:
        _refuse_duplicate("pipeline", pipeline.name, known.place, pipeline.place, "give one of them name=…")
    tables = pipeline.tables()
    for table in tables:
        if others := _tables.get(table.key):
            _refuse_other_table(pipeline, table, others)
    for table in known.tables() if known is not None else ():
        _tables[table.key].pop(pipeline.name, None)
    for table in tables:
        _tables.setdefault(table.key, {})[pipeline.name] = table
    pipelines[pipeline.name] = pipeline
    for hear in _hearers:
        hear(pipeline)


@contextlib.contextmanager
def heard_by(hear: Callable[[Runnable], None]) -> Iterator[None]:
    """Tells of each pipeline that is declared meanwhile."""
    _hearers.append(hear)
    try:
        yield
    finally:
        _hearers.remove(hear)


def declare_transform(transform: Transform) -> None:
    """Takes a transform in; as for a pipeline."""
    place = places.here()
    if transform.name in transforms:
        first = _transform_places[transform.name]
        _refuse_duplicate("transform", transform.name, first, place, "give one of them name=…")
    transforms[transform.name] = transform
    _transform_places[transform.name] = place


def declare_feature_view(table: Table) -> None:
    """Takes a version of a feature view in.

    Raises:
        SpecError: `duplicate_name`, with both places, for a version that is declared twice, and differently.
    """
    check_tables(feature_views, table)
    feature_views[table.key] = table


def versions_of(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The feature views among some tables, and every other version of them, in the order of their declaration."""
    views = {(table.schema, table.name) for table in tables.values() if table.feature is not None}
    every = {key: table for key, table in feature_views.items() if (table.schema, table.name) in views}
    return every | {key: table for key, table in tables.items() if table.feature is not None}


def transform_place(name: str) -> Place | None:
    """Where a transform was declared."""
    return _transform_places.get(name)


def pipeline_named(name: str, among: Mapping[str, Runnable]) -> Runnable:
    """The pipeline of that name.

    Raises:
        SpecError: `unknown_pipeline`, with the name that was probably meant.
    """
    if name in among:
        return among[name]
    raise SpecError(
        f"there is no pipeline `{name}`",
        code="unknown_pipeline",
        hint=did_you_mean(name, among, f"declared are: {', '.join(among) or 'none'}"),
    )


def forget_modules(is_gone: Callable[[str], bool]) -> None:
    """Forgets what modules declared that are gone."""
    for name, pipeline in list(pipelines.items()):
        if pipeline.place.modules and is_gone(pipeline.place.modules[0]):
            del pipelines[name]
            for table in pipeline.tables():
                _tables[table.key].pop(name, None)
    for key, view in list(feature_views.items()):
        if view.place.modules and is_gone(view.place.modules[0]):
            del feature_views[key]
    for name, place in list(_transform_places.items()):
        if place.modules and is_gone(place.modules[0]):
            del transforms[name], _transform_places[name]


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Starts with nothing declared, and puts back what was: for tests that declare."""
    parts: list[dict[str, Any]] = [pipelines, transforms, _transform_places, feature_views, _tables]
    kept = [(part, dict(part)) for part in parts]
    for part, _ in kept:
        part.clear()
    try:
        yield
    finally:
        for part, before in kept:
            part.clear()
            part.update(before)


def check_tables(found: Mapping[str, Table], table: Table) -> None:
    """Refuses two different declarations of one table."""
    known = found.get(table.key)
    if known is None or known is table or known.export() == table.export():
        return
    if places.is_being_replaced(known.place, table.place):
        return
    how = "with different columns" if table.feature is None else "and differently"
    raise SpecError(
        f"table {table.key} is declared twice, {how}: {known.class_name} at {known.place}"
        f" and {table.class_name} at {table.place}",
        code="duplicate_name",
        hint="use one class for both pipelines, or give one of them name=…",
        context={"first": str(known.place), "second": str(table.place)},
    )


def _refuse_other_table(pipeline: Runnable, table: Table, others: dict[str, Table]) -> None:
    """Holds a declaration to the last one of its table; that one was held to those before it."""
    for name, known in reversed(others.items()):
        # One that this pipeline had before is being replaced.
        if name != pipeline.name:
            check_tables({known.key: known}, table)
            return


def _refuse_duplicate(kind: str, name: str, first: Place, second: Place, hint: str) -> None:
    if not places.is_being_replaced(first, second):
        raise SpecError(
            f"{kind} `{name}` is declared twice: at {first} and at {second}",
            code="duplicate_name",
            hint=hint,
            context={"first": str(first), "second": str(second)},
        )


class Pipelines(Mapping[str, Runnable]):
    """The pipelines that a module declares: `flows = Pipelines()` at its top, or those given to it.

    Iterates over names and is indexed by them. `flow --module my_pipelines` takes what the module's registries hold,
    or all that it declares if it has none.
    """

    @told_at_the_line
    def __init__(
        self, pipelines: Mapping[str, Runnable] | Sequence[Runnable] | Iterator[Runnable] | None = None
    ) -> None:
        self._place = here()
        self._given: dict[str, Runnable] | None = None
        if pipelines is None:
            return
        self._given = {}
        for item in pipelines.values() if isinstance(pipelines, Mapping) else pipelines:
            if not isinstance(item, Runnable):
                raise SpecError(
                    f"Pipelines: {item!r} is not a pipeline",
                    code="invalid_value",
                    hint="give Pipeline(…) objects, or functions under @ematix.pipeline(…)",
                )
            if self._given.setdefault(item.name, item) is not item:
                first = self._given[item.name].place
                raise SpecError(
                    f"pipeline `{item.name}` is there twice: from {first} and from {item.place}", code="duplicate_name"
                )

    def run_due(self, *, jobs: int = 1) -> list[RunReport]:
        """Runs what its schedule says is due, `jobs` at a time. One that fails does not keep the others from running:
        its report says so. Transforms with a schedule of their own are served by `flow run-due` alone."""
        return runner().run_due(list(self.values()), jobs)

    def __getitem__(self, name: str, /) -> Runnable:
        found = (pipelines if self._given is None else self._given).get(name)
        if found is not None and self._holds(found):
            return found
        # A Mapping's way to say no, with the words of ours.
        raise KeyError(_unknown(name, self._all())) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Runnable]:
        if self._given is not None:
            return self._given
        return {name: item for name, item in pipelines.items() if self._holds(item)}

    def _holds(self, pipeline: Runnable) -> bool:
        return self._given is not None or any(name in pipeline.place.modules for name in self._place.modules[:1])

    def __repr__(self) -> str:
        return f"Pipelines({', '.join(self)})"


def _unknown(name: str, found: Mapping[str, Runnable]) -> str:
    try:
        pipeline_named(name, found)
    except SpecError as error:
        return f"{error.message}; {error.hint}"
    return ""
