"""The registry: what pipelines declare, as JSON for the core."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..declare import registry as declared
from ..declare.connections import declared_as
from ..declare.runnable import Runnable
from ..declare.table import Table
from ..ground.errors import FlowError
from ..ground.places import Place
from ..ground.secret import Secret
from .modules import told

SCHEMA = "ematix.registry.v2"
# How many pipelines a part has: the core reads one while the next is written.
PART = 500


def registry(pipelines: Iterable[Runnable], *, every_transform: bool = True) -> str:
    """The registry of some pipelines as JSON: they, their tables, and the connections made from a DSN.

    Of the transforms every one that was declared, or only those to which the pipelines refer.

    Raises:
        SpecError: `duplicate_name` for two different declarations of one table.
    """
    (whole,) = _parts(list(pipelines), size=None, every_transform=every_transform)
    return whole


def registry_for_flow(
    pipelines: Iterable[Runnable],
    errors: Sequence[dict[str, Any]],
    *,
    frames_by_call: bool = False,
    early: Early | None = None,
) -> Iterator[str]:
    """The registry for a `flow`, in parts, with all that is wrong with it: `errors` are those of modules that could not be
    imported. `frames_by_call` is for another process: it asks for a frame that a pipeline declares as for one that a
    function returns. What went `early` is not said again, or all of it is taken back.
    """
    try:
        return _parts(list(pipelines), size=PART, errors=errors, frames_by_call=frames_by_call, early=early)
    except FlowError as error:
        return _parts([], size=PART, errors=[*errors, told(error)], early=early)


class Early:
    """Parts that go to a `flow` while modules still declare, so that it reads while Python runs: a pipeline as it is when it
    is declared, unless what is declared later could change how it is said.
    """

    def __init__(self, write: Callable[[str], None], *, frames_by_call: bool) -> None:
        self._write = write
        self._frames_by_call = frames_by_call
        self._waiting: list[Runnable] = []
        self._ended = False
        self.pipelines: list[Runnable] = []
        self.tables: dict[str, Table] = {}

    def hear(self, pipeline: Runnable) -> None:
        """Of a pipeline that was declared; every so many are a part."""
        # A function is called by the name of its transform, and that may be declared after it.
        self._ended = self._ended or bool(pipeline.post_functions())
        if self._ended:
            return
        self._waiting.append(pipeline)
        if len(self._waiting) == PART:
            self._send()

    def _send(self) -> None:
        # Taken first: another thread may declare meanwhile.
        part, self._waiting = self._waiting, []
        tables = {
            table.key: table
            for pipeline in part
            for table in pipeline.tables()
            if table.feature is None and table.key not in self.tables
        }
        try:
            self._write(as_json(_part(part, tables.values(), {}, {}, self._frames_by_call)))
        except (OSError, TypeError, ValueError):
            # Said at the end, outside of the user's module: nobody listens, or there is no JSON for it.
            self._ended = True
            return
        self.pipelines += part
        self.tables |= tables

    def holds(self, pipelines: Sequence[Runnable], tables: Mapping[str, Table]) -> bool:
        """Whether what went is how a registry begins that has these."""
        begun = pipelines[: len(self.pipelines)]
        return len(begun) == len(self.pipelines) and (
            all(now is then for now, then in zip(begun, self.pipelines, strict=True))
            and all(tables.get(key) is table for key, table in self.tables.items())
        )


def _parts(
    pipelines: Sequence[Runnable],
    *,
    size: int | None,
    every_transform: bool = True,
    errors: Sequence[dict[str, Any]] = (),
    frames_by_call: bool = False,
    early: Early | None = None,
) -> Iterator[str]:
    """A registry as one that follows on another: each of some pipelines and their tables, the first with all the rest."""
    tables: dict[str, Table] = {}
    names: set[str] = set()
    for pipeline in pipelines:
        for table in pipeline.tables():
            key = table.key
            if tables.setdefault(key, table) is not table:
                declared.check_tables(tables, table)
                tables[key] = table
        names |= pipeline.connections()
    return _written(pipelines, tables, names, size, every_transform, errors, frames_by_call, early)


def _written(
    pipelines: Sequence[Runnable],
    tables: Mapping[str, Table],
    names: set[str],
    size: int | None,
    every_transform: bool,
    errors: Sequence[dict[str, Any]],
    frames_by_call: bool,
    early: Early | None,
) -> Iterator[str]:
    rest, places = _rest(pipelines, tables, names, every_transform)
    if errors:
        rest["errors"] = list(errors)
    left = [table for table in tables.values() if table.feature is None]
    if early is not None and early.pipelines:
        if early.holds(pipelines, tables):
            pipelines = pipelines[len(early.pipelines) :]
            left = [table for table in left if table.key not in early.tables]
        else:
            rest["restarts"] = True
    most = max(len(pipelines), len(left), 1)
    for at in range(0, most, size or most):
        part = slice(at, at + (size or most))
        yield as_json(_part(pipelines[part], left[part], rest, places, frames_by_call))
        rest, places = {}, {}


def _part(
    pipelines: Sequence[Runnable],
    tables: Iterable[Table],
    rest: Mapping[str, Any],
    places: dict[str, dict[str, dict[str, int]]],
    frames_by_call: bool,
) -> dict[str, Any]:
    # The native module has the version that the binary holds the registry to.
    from .._core import __version__

    for pipeline in pipelines:
        _place(places, "pipelines", pipeline.name, pipeline.place)
    exported = {}
    for table in tables:
        _place(places, "tables", table.key, table.place)
        exported[table.key] = table.export()
    return {
        "schema": SCHEMA,
        "version": __version__,
        "tables": exported,
        "pipelines": {pipeline.name: _by_call(_with_functions(pipeline), frames_by_call) for pipeline in pipelines},
        **rest,
        "places": places,
    }


def _rest(
    pipelines: Sequence[Runnable], tables: Mapping[str, Table], names: set[str], every_transform: bool
) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, int]]]]:
    """What a registry has besides pipelines and tables, and where that was declared."""
    wanted = {name for pipeline in pipelines for name in _transforms_of(pipeline)}
    chosen = {name: item for name, item in declared.transforms.items() if every_transform or name in wanted}
    transforms = {name: item.export() for name, item in chosen.items()}
    names |= {item["connection"] for item in transforms.values() if "connection" in item}
    for pipeline in pipelines:
        transforms |= {name: {"callable": True} for name in functions_after(pipeline)}
    features = declared.versions_of(tables)
    places: dict[str, dict[str, dict[str, int]]] = {}
    for key, table in features.items():
        _place(places, "features", key, table.place)
    for name in chosen:
        if (place := declared.transform_place(name)) is not None:
            _place(places, "transforms", name, place)
    rest: dict[str, Any] = {
        "connections": {name: said for name in sorted(names) if (said := declared_as(name)) is not None},
        "transforms": transforms,
    }
    if features:
        rest["features"] = {key: table.export() for key, table in features.items()}
    return rest, places


def _place(places: dict[str, dict[str, dict[str, int]]], kind: str, name: str, place: Place) -> None:
    places.setdefault(place.file, {}).setdefault(kind, {})[name] = place.line


def _by_call(said: dict[str, Any], frames: bool) -> dict[str, Any]:
    return said | {"source": {"callable": True}} if frames and "frame" in said.get("source", ()) else said


def _transforms_of(pipeline: Runnable) -> list[str]:
    said = _with_functions(pipeline)
    if "transforms_post" not in said and "targets" not in said:
        return []
    steps = [step for load in (said, *said.get("targets", ())) for step in load.get("transforms_post", ())]
    return [step["transform_ref"] for step in steps if isinstance(step, dict) and "transform_ref" in step]


def _called_after(pipeline: Runnable) -> list[tuple[str, Callable[..., Any]]]:
    """The functions among `transforms_post`, in their order, each with the transform that it is: one that was declared,
    or the pipeline's own."""
    functions = pipeline.post_functions()
    if not functions:
        return []
    declared_as = {id(item.function): name for name, item in declared.transforms.items()}
    found: list[tuple[str, Callable[..., Any]]] = []
    for function in functions:
        name = declared_as.get(id(function))
        if name is None:
            own = f"{pipeline.name}.{getattr(function, '__name__', 'transform')}"
            # Two functions of one name are two transforms.
            others = sum(1 for other, that in found if that is not function and other.startswith(own))
            name = own if others == 0 else f"{own}_{others + 1}"
        found.append((name, function))
    return found


def functions_after(pipeline: Runnable) -> dict[str, Callable[..., Any]]:
    """Those that are the pipeline's own."""
    return {name: function for name, function in _called_after(pipeline) if name not in declared.transforms}


def _with_functions(pipeline: Runnable) -> dict[str, Any]:
    said = pipeline.declared()
    if "targets" not in said and not said.get("transforms_post"):
        return said
    names = iter([name for name, _ in _called_after(pipeline)])
    if "targets" in said:
        said = said | {"targets": [_named_functions(load, names) for load in said["targets"]]}
    return _named_functions(said, names)


def _named_functions(said: dict[str, Any], names: Iterator[str]) -> dict[str, Any]:
    steps = [
        {"transform_ref": next(names)} if isinstance(step, dict) and "callable" in step else step
        for step in said.get("transforms_post", ())
    ]
    return said | {"transforms_post": steps} if steps else said


def as_json(document: Mapping[str, Any]) -> str:
    """What goes to the core: the only place where a DSN is written out."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, default=_revealed)


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"no JSON for a {type(value).__name__}")
