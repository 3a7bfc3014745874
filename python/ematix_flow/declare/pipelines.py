"""Pipelines: a source, a target and a load strategy under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..ground.errors import SpecError
from ..ground.mistakes import told_at_the_line
from ..ground.places import here, of_function
from . import options as checks
from . import registry
from .connections import ConnectionLike, NamedConnection, connection_name
from .runnable import Runnable
from .source import Source, as_source
from .targets import as_target, check_columns

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import Mode, ScheduleOptions
    from .targets import Table

F = TypeVar("F", bound=Callable[..., Any])


class Pipeline(Runnable):
    """A pipeline with a name, for the registry and for running again.

    Args:
        name: what history, watermark and the command line call it.
        source: where rows come from.
        target: a declared class, or "schema.table".
        target_connection: where the target is; the source's connection unless said.
        mode: the load strategy, or `strategy=SCD2(…)`.
        options: as in pipelines.toml.

    >>> customers = Pipeline(  # on a server
    ...     name="customers",
    ...     source=Source.postgres_table("crm", "app", "customers"),
    ...     target="analytics.dim_customers",
    ...     target_connection="warehouse",
    ...     mode="scd2",
    ...     keys="customer_id",
    ... )
    >>> customers.plan().changes
    ['+ schema analytics', '+ table analytics.dim_customers']
    >>> customers.dry_run().rows_inserted, customers.run().rows_inserted, customers.run().rows_unchanged
    (3, 3, 3)
    >>> [version["values"]["plan"] for version in customers.history(17).versions]
    ['free']
    >>> customers.check()
    CheckReport(ok=True, violations=[])

    Raises:
        SpecError: what is said is wrong, or the name is taken; names the pipeline and the remedy.
    """

    @told_at_the_line
    def __init__(
        self,
        *,
        name: str,
        source: Source | Any,
        target: Table,
        target_connection: ConnectionLike | None = None,
        mode: Mode | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> None:
        checks.refuse_unknown("Pipeline", options, CALL, scheduled=True)
        self._describe(name, source, target, target_connection, mode, options)
        registry.declare_pipeline(self)

    def _describe(
        self,
        name: str,
        source: Any,
        target: Any,
        connection: ConnectionLike | None,
        mode: Any,
        given: Mapping[str, Any],
    ) -> None:
        self.place = here(2)
        self.name = _name(name)
        where = f"pipeline {self.name}"
        found = as_source(source, where)
        self._describe_load(where, found.export(), target, connection, mode, given)
        found.add_connections(self._connections)
        # A frame lives as long as what loads it.
        self._source = found

    def _describe_load(
        self,
        where: str,
        source: dict[str, Any],
        target: Any,
        connection: ConnectionLike | None,
        mode: Any,
        given: Mapping[str, Any],
    ) -> None:
        self._targets = [as_target(target, where)]
        said: dict[str, Any] = {"source": source, "target": self._targets[0].name}
        self._connections = set()
        if connection is not None:
            said["target_connection"] = connection_name(connection, f"{where}: target_connection")
            self._connections.add(said["target_connection"])
        table = self._targets[0].table
        if mode is None and given.get("strategy") is None and table is not None and table.feature is not None:
            mode = "scd2"
        said |= checks.lower(where, mode, given)
        self._post = _listed(given.get("transforms_post", ()))
        check_columns(where, self._targets[0], said)
        checks.check_schedule(where, said)
        self._said = said


class PipelineFunction(Pipeline, Generic[F]):
    """A decorated function: still callable, and a pipeline. It gets the source's connection and returns SQL text or
    a `Source`; it is called when the pipeline runs or is planned, never at declaration."""

    if TYPE_CHECKING:
        __call__: F
    else:

        def __call__(self, *arguments, **keywords):
            return self.__wrapped__(*arguments, **keywords)

    def __init__(
        self,
        function: F,
        *,
        name: str | None,
        source_connection: ConnectionLike | None,
        target_connection: ConnectionLike | None,
        target: Any,
        targets: Sequence[Mapping[str, Any]] | None,
        mode: Any,
        options: Mapping[str, Any],
    ) -> None:
        self.place = of_function(function)
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__name__ = getattr(function, "__name__", "")
        self.__qualname__ = getattr(function, "__qualname__", "")
        self.name = _name(self.__name__ if name is None else name)
        where = f"pipeline {self.name}"
        _check_function(function, where)
        source: dict[str, Any] = {"callable": True}
        if source_connection is not None:
            source["connection"] = connection_name(source_connection, f"{where}: source_connection")
        if targets is None:
            self._describe_load(where, source, target, target_connection, mode, options)
        else:
            self._describe_targets(where, source, targets, target_connection, mode, options)
        if "connection" in source:
            self._connections.add(source["connection"])
        described = (function.__doc__ or "").strip().split("\n\n")[0]
        if described and "description" not in self._said:
            self._said["description"] = " ".join(described.split())
        registry.declare_pipeline(self)

    def _describe_targets(
        self,
        where: str,
        source: dict[str, Any],
        targets: Sequence[Mapping[str, Any]],
        connection: ConnectionLike | None,
        mode: Any,
        given: Mapping[str, Any],
    ) -> None:
        """Several targets from one reading; what is said beside `targets` holds for each that does not say it."""
        if not targets:
            raise SpecError(f"{where}: targets is empty", code="missing_option", hint='give [{"target": Class, …}]')
        pipeline_wide = {name: value for name, value in given.items() if name in _WHOLE_PIPELINE}
        shared = {name: value for name, value in given.items() if name not in _WHOLE_PIPELINE}
        found, exported = [], []
        post: list[Any] = []
        connections: set[str] = set()
        for number, item in enumerate(targets, 1):
            if not isinstance(item, Mapping) or "target" not in item:
                raise SpecError(
                    f"{where}: target {number} is {item!r}",
                    code="invalid_value",
                    hint='write {"target": Class, "mode": "merge"}',
                )
            own = {name: value for name, value in item.items() if name not in ("target", "mode", "target_connection")}
            checks.refuse_unknown(f"targets[{number - 1}]", own, (), scheduled=False)
            one = f"{where}, target {number}"
            self._describe_load(
                one,
                source,
                item["target"],
                item.get("target_connection", connection),
                item.get("mode", mode),
                shared | own,
            )
            found += self._targets
            connections |= self._connections
            post += self._post
            exported.append({name: value for name, value in self._said.items() if name != "source"})
        whole = checks.lower(where, None, pipeline_wide, needs_mode=False)
        checks.check_schedule(where, whole)
        post += _listed(pipeline_wide.get("transforms_post", ()))
        self._targets, self._connections, self._post = found, connections, post
        self._said = {"source": source, "targets": exported} | whole

    def resolve(self, connection: NamedConnection) -> Any:
        """What the function returns for the source's connection."""
        # Importing inspect takes longer than all of this package.
        from inspect import signature

        function = self.__wrapped__
        return function(connection) if signature(function).parameters else function()

    def __repr__(self) -> str:
        return f"<PipelineFunction {self._repr_said()}>"


def frame_declared_by(pipeline: Runnable) -> Source | None:
    """The source of a pipeline that loads a frame; None of any other."""
    source = getattr(pipeline, "_source", None)
    return source if isinstance(source, Source) and source.frame is not None else None


CALL = ("name", "source", "target", "target_connection", "mode")
# What runs after the one commit runs once; a target may say more of its own.
_WHOLE_PIPELINE = checks.SCHEDULE | {
    "description",
    "owner",
    "tags",
    "lease",
    "read_timeout",
    "run_timeout",
    "transforms_post",
}


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise SpecError(f"a pipeline's name is {name!r}", code="invalid_value", hint='write name="customers"')
    return name


def _listed(value: Any) -> Sequence[Any]:
    # Of a tuple or a list Python knows sooner what it is.
    return value if isinstance(value, tuple | list) or _is_sequence(value) else [value]


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _check_function(function: Any, where: str) -> None:
    code = getattr(function, "__code__", None)
    if not callable(function) or isinstance(function, type):
        raise SpecError(
            f"{where}: {function!r} is not a function",
            code="invalid_value",
            hint="@ematix.pipeline(…) stands above `def customers(conn):`",
        )
    # 0x80 a coroutine, 0x200 one that has a yield.
    if code is not None and code.co_flags & 0x280:
        raise SpecError(
            f"{where}: the function is async",
            code="invalid_value",
            hint="return SQL as text, a Source or a frame; or yield rows or frames",
        )
    if code is not None:
        bound = 1 if hasattr(function, "__self__") else 0
        needed = code.co_argcount - bound - len(function.__defaults__ or ())
        if needed > 1:
            raise SpecError(
                f"{where}: the function takes {needed} arguments",
                code="invalid_value",
                hint="it gets one, the source's connection: `def customers(conn):`",
            )
