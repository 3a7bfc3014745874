"""`ematix`: tables, pipelines and transforms declared by decorators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..ground.errors import SpecError
from ..ground.mistakes import refuse_bare, telling_at_the_line, told_at_the_line
from ..ground.names import snake_case
from ..ground.values import Duration, duration, names
from . import options as checks
from . import registry
from .connections import ConnectionLike, connection_name
from .features import add_methods, training_set
from .pipelines import PipelineFunction
from .table import declare
from .transforms import Transform, TransformRef, takes_a_connection

if TYPE_CHECKING:
    import datetime as dt

    from typing_extensions import Never, Unpack

    from ._checked import FeatureViewClass
    from .options import Mode, ScheduleOptions
    from .targets import Table

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])


class Ematix:
    """`ematix`: the decorators that declare.

    >>> from typing import Annotated
    >>> from ematix_flow import BigInt, Text, ematix, pk
    >>> @ematix.table(schema="analytics")
    ... class CustomerDim:
    ...     customer_id: Annotated[BigInt, pk()]
    ...     name: Text | None
    >>> CustomerDim.__ematix_table__
    <Table analytics.customer_dim: customer_id bigint NOT NULL, name text>
    """

    @told_at_the_line
    def table(self, *bare: Never, schema: str | None = None, name: str | None = None) -> Callable[[type[C]], type[C]]:
        """A class whose annotations are the columns of a table: NOT NULL unless `| None`.

        Args:
            schema: `public` unless said.
            name: snake_case of the class unless said.

        Raises:
            SpecError: with the class, the attribute and the remedy.
        """

        refuse_bare("table", bare)

        def decorate(cls: type[C]) -> type[C]:
            _class("table", cls)
            declare(cls, "public" if schema is None else schema, snake_case(cls.__name__) if name is None else name)
            return cls

        return telling_at_the_line(decorate)

    @told_at_the_line
    def pipeline(
        self,
        *bare: Never,
        target: Table | None = None,
        targets: Sequence[Mapping[str, Any]] | None = None,
        mode: Mode | None = None,
        name: str | None = None,
        source_connection: ConnectionLike | None = None,
        target_connection: ConnectionLike | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Callable[[F], PipelineFunction[F]]:
        """A function that says where rows come from: it returns SQL text or a `Source`.

        It is called with the source's connection when the pipeline runs, and stays callable. Its name is the
        pipeline's unless `name=`. `targets=[{"target": …, "mode": …}]` loads several targets from one reading.

        Raises:
            SpecError: what is said is wrong, or the name is taken; names the function and the remedy.
        """
        refuse_bare("pipeline", bare)
        known = ("target", "targets", "mode", "name", "source_connection", "target_connection")
        checks.refuse_unknown("ematix.pipeline", options, known, scheduled=True)
        if (target is None) == (targets is None):
            raise SpecError(
                "ematix.pipeline: "
                + ("there is no target" if target is None else "target and targets exclude each other"),
                code="missing_option" if target is None else "conflicting_options",
                hint='write target=CustomerDim, or targets=[{"target": CustomerDim}]',
            )

        def decorate(function: F) -> PipelineFunction[F]:
            return PipelineFunction(
                function,
                name=name,
                source_connection=source_connection,
                target_connection=target_connection,
                target=target,
                targets=targets,
                mode=mode,
                options=options,
            )

        return telling_at_the_line(decorate)

    @overload
    def transform(self, function: F, /) -> F: ...
    @overload
    def transform(
        self,
        *,
        name: str | None = None,
        connection: ConnectionLike | None = None,
        schedule: str | None = None,
        timezone: str = "UTC",
    ) -> Callable[[F], F]: ...
    def transform(  # type: ignore[misc]  # mypy does not see that a default fills `function`
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        connection: ConnectionLike | None = None,
        schedule: str | None = None,
        timezone: str = "UTC",
    ) -> object:
        """A function of a connection that runs by itself, after loads (`transforms_post`) or by a schedule.

        It may return a dict of metrics, which its report has.
        """

        @told_at_the_line
        def decorate(function: F) -> F:
            if not callable(function) or isinstance(function, type):
                raise SpecError(f"ematix.transform: {function!r} is not a function", code="invalid_value")
            called = getattr(function, "__name__", "transform") if name is None else name
            where = f"transform {called}"
            takes_a_connection(function, where)
            if schedule is not None:
                checks.check_schedule(where, {"schedule": schedule, "timezone": timezone})
            at = None if connection is None else connection_name(connection, where)
            registry.declare_transform(Transform(called, function, at, schedule, timezone))
            return function

        return decorate if function is None else decorate(function)

    def transform_ref(self, name: str) -> TransformRef:
        """A transform by its name, for `transforms_post`."""
        return TransformRef(name)

    @told_at_the_line
    def feature_view(
        self,
        *bare: Never,
        schema: str | None = None,
        name: str | None = None,
        feature_version: str = "v1",
        event_timestamp_column: str,
        ttl: Duration | None = None,
        online: bool | Literal["view", "table"] = False,
        description: str | None = None,
        owner: str | None = None,
        tags: Sequence[str] = (),
        freshness: Duration | None = None,
    ) -> Callable[[type[C]], FeatureViewClass[C]]:
        """A table with a history by event time, for training and serving; the primary key is the entity.

        A pipeline fills it as any other target. Its table is `name_version`; two versions of one name stand side by
        side, and the view `name` shows the one that is declared last.

        Args:
            schema: `public` unless said.
            name: snake_case of the class unless said.
            feature_version: the version of this declaration.
            event_timestamp_column: the column that says when an event happened.
            ttl: how long an event holds at most; for ever unless said.
            online: keeps the newest event of each entity apart, for serving: `True` or `"view"` by a materialised view
                that is refreshed after each load, `"table"` by a table that the load itself keeps.
            description: what it holds; the first paragraph of the class unless said.
            owner: who answers for it.
            tags: words to find it by.
            freshness: how old what is served may be, for `flow features freshness`.

        Raises:
            SpecError: with the class, the attribute and the remedy.
        """

        refuse_bare("feature_view", bare)

        @told_at_the_line
        def decorate(cls: type[C]) -> FeatureViewClass[C]:
            _class("feature_view", cls)
            called = snake_case(cls.__name__) if name is None else name
            table = declare(cls, "public" if schema is None else schema, called)
            if event_timestamp_column not in table.column_names:
                raise SpecError(
                    f"{cls.__qualname__}: event_timestamp_column names `{event_timestamp_column}`, which it does not have",
                    code="unknown_column",
                    hint=f"its columns are {', '.join(table.column_names)}",
                )
            if online not in (True, False, "view", "table"):
                raise SpecError(
                    f"{cls.__qualname__}: online is {online!r}",
                    code="invalid_value",
                    hint='write True or "view", "table", or leave it out',
                )
            if not isinstance(feature_version, str) or not feature_version:
                raise SpecError(
                    f"{cls.__qualname__}: feature_version is {feature_version!r}",
                    code="invalid_value",
                    hint='give a text: feature_version="v1"',
                )
            said: dict[str, Any] = {
                "feature_version": feature_version,
                "event_timestamp_column": event_timestamp_column,
                "ttl": None if ttl is None else duration(ttl, f"{cls.__qualname__}: ttl"),
                "online": online or None,
                "description": description,
                "owner": owner,
                "tags": names(tags, "tags") or None,
                "freshness": None if freshness is None else duration(freshness, f"{cls.__qualname__}: freshness"),
            }
            table.feature = {key: value for key, value in said.items() if value is not None}
            registry.declare_feature_view(table)
            add_methods(cls)
            return cls  # type: ignore[return-value]

        return decorate

    def training_set(
        self,
        conn: ConnectionLike,
        *,
        spine: Any,
        feature_views: Sequence[Any],
        columns: Sequence[str] | None = None,
        as_of_column: str = "as_of",
        max_age: Duration | Mapping[Any, Duration] | None = None,
        known_as_of: dt.datetime | int | None = None,
        prefer: Literal["auto", "polars", "pandas", "pyarrow", "arrow"] = "auto",
        into: str | None = None,
    ) -> Any:
        """Features joined to a spine, each row as of its own instant: what was known of the entity then, and no later.

        The spine keeps its order, its rows and all its columns. A row without an answer has NULL for features. Features
        of one name in two views, or in the spine, are called `view__column`.

        Args:
            conn: where the views are.
            spine: entities and instants: a list of dicts, a frame of polars, pandas or Arrow, the name of a table, or a
                query. It has every key of every view.
            feature_views: the views.
            columns: the features, `column` or `view__column`; all unless said.
            as_of_column: the spine's instants. A time without a zone is one of UTC.
            max_age: the age from which on events do not answer: of every view, or of each by class or name.
            known_as_of: what was known then: corrections and late events that were loaded afterwards do not count. Of
                one view also the number of a run of its target.
            prefer: as what it comes; `auto` as the spine came, else the first of polars, pandas and pyarrow that is
                there. `arrow` needs none of them: an object that whatever reads Arrow can read.
            into: a table that it is written to instead, which must not be there yet; gives the number of rows.

        Raises:
            SpecError: the spine lacks a key or the time, names collide, a column is unknown, a view is not loaded.
            ConnectError: no connection, or no log-in.
        """
        return training_set(
            conn,
            spine=spine,
            feature_views=feature_views,
            columns=columns,
            as_of_column=as_of_column,
            max_age=max_age,
            known_as_of=known_as_of,
            prefer=prefer,
            into=into,
        )

    def __repr__(self) -> str:
        return "ematix"


def _class(decorator: str, cls: object) -> None:
    if not isinstance(cls, type):
        raise SpecError(
            f"ematix.{decorator}: {cls!r} is not a class",
            code="invalid_value",
            hint=f"@ematix.{decorator}(…) stands above `class CustomerDim:`",
        )


ematix = Ematix()
