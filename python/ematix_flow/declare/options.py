"""The options of a pipeline: held, at declaration, to the core's own table of what fits which load strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..ground.errors import SpecError
from ..ground.mistakes import WrongCall
from ..ground.names import nearest
from ..ground.values import Duration, Names, duration, names
from .expectations import Expectation
from .helpers import PreHelper
from .markers import Sql
from .strategies import MODES, STRATEGIES, Mode, Strategy
from .transforms import TransformRef, export_post

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    from ..show.reports import RunReport

    # A function gets the connection, whose class is of a later layer.
    PostTransform: TypeAlias = (
        str
        | Sql
        | TransformRef
        | Callable[[Any], Mapping[str, Any] | None]
        | Callable[[Any, RunReport], Mapping[str, Any] | None]
    )

    class Notification(TypedDict, total=False):
        """Who is told how a run has ended: a URL that gets the report as JSON, or a command that reads it."""

        on: Sequence[Literal["success", "failed", "refused", "locked", "cancelled", "skipped", "lost"]]
        webhook: str
        headers: Mapping[str, str]
        command: Sequence[str]
        timeout: Duration

    class PipelineOptions(TypedDict, total=False):
        """The options of a pipeline: the same names in TOML, here and on the command line."""

        strategy: Strategy
        keys: Names
        compare_columns: Names
        update_columns: Names
        overwrite_columns: Names
        effective_from: str
        effective_to: str
        current_flag: str
        hash_column: str
        deleted_flag: str
        loaded_at_column: str | Literal[False]
        batch_id_column: str | Literal[False]
        replace_method: Literal["truncate", "delete", "diff"]
        handle_deletes: Literal["ignore", "soft", "hard"]
        max_delete_fraction: float
        on_empty_source: Literal["error", "ignore"]
        on_duplicate: Literal["error", "latest"]
        order_by: str
        on_drift: Literal["error", "ignore"]
        migrate: bool
        incremental: Literal["files"]
        incremental_column: str
        lookback: Duration | int
        null_watermark: Literal["error", "include", "skip"]
        future_watermark: Literal["error", "include"]
        late_commits: Literal["auto", "cap", "lookback"]
        first_valid_from: str
        open_end: Literal["null", "infinity"]
        row_hash: Literal["emx1", "none"]
        repeats: Literal["keep", "collapse"]
        event_timestamp_column: str
        ttl: Duration
        on_same_time: Literal["replace", "error", "keep"]
        delete_when: str
        force_path: Literal["same_db", "staging", "client_diff"]
        on_type_loss: Literal["error", "text"]
        parallel: int
        lock_timeout: Duration
        statement_timeout: Duration
        read_timeout: Duration
        run_timeout: Duration
        lease: Duration
        history_keep: Duration
        transforms_pre: Sequence[PreHelper]
        expect: Sequence[Expectation]
        transforms_post: Sequence[PostTransform]
        description: str
        tags: Sequence[str]
        owner: str

    class ScheduleOptions(PipelineOptions, total=False):
        """What a pipeline with a name may have besides: when it is due."""

        schedule: str
        every: Duration
        timezone: str
        after: Names
        catchup: Literal["latest", "all", "none"]
        overlap: Literal["skip", "queue"]
        retries: int
        misfire_grace: Duration
        freshness: Duration
        jitter: Duration
        first_run: Literal["slot", "now"]
        notify: Sequence[Notification]
        enabled: bool


DURATIONS = frozenset(
    [
        "ttl",
        "lock_timeout",
        "statement_timeout",
        "read_timeout",
        "run_timeout",
        "lease",
        "history_keep",
        "every",
        "misfire_grace",
        "freshness",
        "jitter",
    ]
)
NAMES = frozenset(["keys", "compare_columns", "update_columns", "overwrite_columns", "after", "tags"])
# Options that name columns of the target, which a declared class knows.
COLUMNS = ("keys", "compare_columns", "update_columns", "overwrite_columns")
SCHEDULE = frozenset(
    [
        "schedule",
        "every",
        "timezone",
        "after",
        "catchup",
        "overlap",
        "retries",
        "misfire_grace",
        "freshness",
        "jitter",
        "first_run",
        "notify",
        "enabled",
    ]
)
# Python has loops and `[…]` for these.
NOT_IN_PYTHON = frozenset(["for_each", "overrides"])

# Words of other tools, and ours for them. A test holds them to the core's list.
FOREIGN_WORDS = {
    "unique_key": "keys",
    "unique_keys": "keys",
    "primary_key": "keys",
    "key": "keys",
    "merge_keys": "keys",
    "natural_key": "keys",
    "load_strategy": "mode",
    "write_disposition": "mode",
    "materialized": "mode",
    "check_cols": "compare_columns",
    "updated_at": "incremental_column",
    "update_key": "incremental_column",
    "cursor": "incremental_column",
    "cursor_path": "incremental_column",
    "cron": "schedule",
    "interval": "every",
    "invalidate_hard_deletes": "handle_deletes",
    "hard_deletes": "handle_deletes",
    "columns": "compare_columns",
    "destination": "target",
    "depends_on": "after",
}
FOREIGN_MODES = {
    "upsert": "merge",
    "incremental": "merge",
    "replace": "truncate",
    "full-refresh": "truncate",
    "full_refresh": "truncate",
    "overwrite": "truncate",
    "snapshot": "scd2",
    "insert": "append",
}


@cache
def table() -> dict[str, dict[str, Any]]:
    """The core's options by name: `modes` (empty: all), `default` and `supported`. Which words it may be
    the core alone judges, before a run."""
    # At the first pipeline: to load them takes longer than to import all of the package.
    import json

    from .. import _core

    return {option["name"]: option for option in json.loads(_core.option_table())}


def refuse_unknown(function: str, given: Mapping[str, Any], accepted: Sequence[str], scheduled: bool) -> None:
    """Holds a call to the keywords that the function has.

    Raises:
        WrongCall: with what was probably meant.
    """
    known = _known(tuple(accepted), scheduled)
    for name in given:
        if name not in known:
            message = f"{function}() got an unexpected keyword argument {name!r}"
            raise WrongCall(message + _meant(name, known))


@cache
def _known(accepted: tuple[str, ...], scheduled: bool) -> dict[str, None]:
    """The keywords of a function, in their order: there are few functions, and many calls."""
    known = [name for name in table() if name not in NOT_IN_PYTHON and (scheduled or name not in SCHEDULE)]
    return dict.fromkeys([*known, *accepted, "strategy"])


def _meant(name: str, known: Iterable[str]) -> str:
    if name in NOT_IN_PYTHON:
        return ": write a loop that declares a pipeline each time"
    if name in SCHEDULE:
        return ": a schedule needs a name: Pipeline(name=…) or @ematix.pipeline(…)"
    near = FOREIGN_WORDS.get(name) or nearest(name, known)
    return f". Did you mean {near!r}?" if near else ""


def lower(where: str, mode: object, given: Mapping[str, Any], *, needs_mode: bool = True) -> dict[str, Any]:
    """Mode and options as pipelines.toml has them; a strategy becomes its mode and its options.

    Raises:
        SpecError: `missing_option`, `conflicting_options`, `option_not_for_mode` or `invalid_value`, naming `where`.
    """
    said = {name: value for name, value in given.items() if name != "strategy" and value is not None}
    strategy = given.get("strategy")
    if strategy is not None:
        mode = _merge_strategy(where, mode, strategy, said)
    if mode is None and not needs_mode:
        return {name: _value(where, name, value) for name, value in said.items()}
    found = check_mode(where, mode)
    lowered: dict[str, Any] = {"mode": found}
    for name, value in said.items():
        lowered[name] = value = _value(where, name, value)
        _check_fits(where, found, name, value)
    _check_together(where, lowered)
    return lowered


def check_mode(where: str, mode: object) -> str:
    """The mode's own name: `scd1` is `merge`."""
    if mode is None:
        raise SpecError(f"{where} has no mode", code="missing_option", hint=f"mode is one of {', '.join(MODES)}")
    if isinstance(mode, type) and issubclass(mode, Strategy) or isinstance(mode, Strategy):
        raise SpecError(f"{where}: mode is a strategy", code="invalid_value", hint="write strategy=SCD2(…)")
    if not isinstance(mode, str) or mode not in MODES:
        listed = f"mode is one of {', '.join(MODES)}"
        near = nearest(str(mode), (*MODES, *FOREIGN_MODES))
        hint = f"did you mean `{FOREIGN_MODES.get(near, near)}`?" if near else listed
        raise SpecError(f"{where}: there is no mode {mode!r}", code="invalid_value", hint=hint)
    return "merge" if mode == "scd1" else mode


def _merge_strategy(where: str, mode: object, strategy: object, said: dict[str, Any]) -> str:
    if isinstance(strategy, type) and issubclass(strategy, Strategy) and strategy is not Strategy:
        strategy = strategy()
    if not isinstance(strategy, Strategy):
        raise SpecError(
            f"{where}: strategy is {strategy!r}",
            code="invalid_value",
            hint='write strategy=SCD2(…), or mode="scd2"',
        )
    if mode is not None and check_mode(where, mode) != strategy.mode:
        raise SpecError(
            f"{where}: mode is {mode!r}, and strategy is {type(strategy).__name__}",
            code="conflicting_options",
            hint="leave mode out",
        )
    for name, value in strategy.options().items():
        if name in said and said[name] != value:
            raise SpecError(
                f"{where}: {name} is said twice, differently: to {type(strategy).__name__} and beside it",
                code="conflicting_options",
                hint=f"leave one {name} out",
            )
        said[name] = value
    return strategy.mode


def _check_fits(where: str, mode: str, name: str, value: Any) -> None:
    option = table().get(name)
    modes = None if option is None else option.get("modes")
    if option is not None and modes and mode not in modes and value != option.get("default"):
        raise SpecError(
            f"{where}: {name} has no meaning in mode {mode}",
            code="option_not_for_mode",
            hint=f"{name} is for {' and '.join(modes)}: take it out, or change the mode",
            context={"option": name, "mode": mode},
        )


_EXCLUDING = (
    ("schedule", "every", "a pipeline has one schedule: leave one of them out"),
    ("incremental_column", "handle_deletes", "deletes show only in a full reading: leave one of them out"),
)


def _check_together(where: str, said: Mapping[str, Any]) -> None:
    deletes = said.get("handle_deletes", "ignore")
    for one, other, hint in _EXCLUDING:
        if one in said and other in said and not (other == "handle_deletes" and deletes == "ignore"):
            raise SpecError(f"{where}: {one} and {other} exclude each other", code="conflicting_options", hint=hint)
    if deletes == "hard" and said["mode"] == "scd2":
        raise SpecError(
            f'{where}: handle_deletes="hard" would delete history',
            code="conflicting_options",
            hint='write handle_deletes="soft": the version is closed, and stays',
        )


_OF_A_KIND = DURATIONS | NAMES | {"lookback", "transforms_pre", "expect", "transforms_post", "notify"}


def _value(where: str, name: str, value: Any) -> Any:
    if name not in _OF_A_KIND and isinstance(value, str):
        return value
    where = f"{where}: {name}"
    if name in DURATIONS:
        return duration(value, where)
    if name == "lookback":
        return value if isinstance(value, int) and not isinstance(value, bool) else duration(value, where)
    if name in NAMES:
        return names(value, where)
    if name == "transforms_pre":
        return [item.export() for item in _all(where, value, PreHelper, "deduplicate_by(…), filter_where(…) and so on")]
    if name == "expect":
        return [item.export() for item in _all(where, value, Expectation, 'expect.not_null("email") and so on')]
    if name == "transforms_post":
        if isinstance(value, str | Sql) or not isinstance(value, Sequence):
            value = [value]
        return [export_post(item, where) for item in value]
    if name == "notify":
        return [
            _notification(where, item) for item in _all(where, value, Mapping, '{"on": ["failed"], "webhook": "…"}')
        ]
    if not isinstance(value, str | int | float | bool):
        raise SpecError(f"{where} is {value!r}", code="invalid_value", hint="give text, a number, True or False")
    return value


def _notification(where: str, said: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
    if "timeout" in found:
        found["timeout"] = duration(found["timeout"], f"{where}: timeout")
    return found


def _all(where: str, value: Any, kind: type, example: str) -> list[Any]:
    found = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    for item in found:
        if not isinstance(item, kind):
            raise SpecError(f"{where}: {item!r} does not belong there", code="invalid_value", hint=f"give {example}")
    return found


def check_schedule(where: str, said: Mapping[str, Any]) -> None:
    """Has the core read cron line, interval and time zone.

    Raises:
        SpecError: `invalid_schedule`, naming `where`.
    """
    if not ("schedule" in said or "every" in said or "timezone" in said):
        return
    try:
        _read_by_the_core(said.get("schedule"), said.get("every"), said.get("timezone", "UTC"))
    except SpecError as error:
        raise SpecError(f"{where}: {error.message}", code=error.code, hint=error.hint, context=error.context) from None


@lru_cache(maxsize=4096)
def _read_by_the_core(schedule: str | None, every: str | None, timezone: str) -> None:
    """Many pipelines are due at the same time. What is wrong is told each time: no error is kept."""
    # By now it is loaded.
    from .. import _core

    _core.check_schedule(schedule, every, timezone)


__all__ = ["FOREIGN_MODES", "FOREIGN_WORDS", "STRATEGIES", "Mode", "lower", "refuse_unknown", "table"]
