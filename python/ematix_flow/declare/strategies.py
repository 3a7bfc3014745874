"""The load strategies as classes. `mode="scd2"` says the same as `strategy=SCD2()`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

from ..ground.values import Duration, Names

Mode: TypeAlias = Literal["append", "truncate", "merge", "scd1", "scd2"]


class Strategy:
    """How source rows change the target: one of `AppendOnly`, `TruncateReplace`, `MergeUpsert` and `SCD2`.

    >>> MergeUpsert(keys="id").options()
    {'keys': 'id'}
    """

    mode: ClassVar[Mode]
    # Option and its value when unsaid; only what was said otherwise is exported.
    _defaults: ClassVar[dict[str, Any]] = {}

    def _set(self, said: dict[str, Any]) -> None:
        self._options = {name: value for name, value in said.items() if value != self._defaults.get(name)}
        self.__dict__.update(said)

    def options(self) -> dict[str, Any]:
        """The options that differ from the strategy's defaults, by their names."""
        return dict(self._options)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._options.items())})"


class AppendOnly(Strategy):
    """`append`: inserts every source row.

    Two columns come with it unless they are `False`: the time of loading and the run's id.
    """

    mode = "append"
    _defaults: ClassVar[dict[str, Any]] = {"loaded_at_column": "_loaded_at", "batch_id_column": "_batch_id"}

    def __init__(
        self,
        *,
        loaded_at_column: str | Literal[False] = "_loaded_at",
        batch_id_column: str | Literal[False] = "_batch_id",
    ) -> None:
        self._set({"loaded_at_column": loaded_at_column, "batch_id_column": batch_id_column})


class TruncateReplace(Strategy):
    """`truncate`: replaces the whole table, in one transaction; `replace_method="diff"` by `keys`, only what differs."""

    mode = "truncate"
    _defaults: ClassVar[dict[str, Any]] = {"replace_method": "truncate"}

    def __init__(
        self, *, keys: Names | None = None, replace_method: Literal["truncate", "delete", "diff"] = "truncate"
    ) -> None:
        self._set({"keys": keys, "replace_method": replace_method})


class MergeUpsert(Strategy):
    """`merge` (`scd1`): updates rows by their keys and inserts new ones; what does not differ is not written."""

    mode = "merge"
    _defaults: ClassVar[dict[str, Any]] = {"handle_deletes": "ignore", "deleted_flag": "is_deleted"}

    def __init__(
        self,
        *,
        keys: Names | None = None,
        update_columns: Names | None = None,
        handle_deletes: Literal["ignore", "soft", "hard"] = "ignore",
        deleted_flag: str = "is_deleted",
    ) -> None:
        self._set(
            {
                "keys": keys,
                "update_columns": update_columns,
                "handle_deletes": handle_deletes,
                "deleted_flag": deleted_flag,
            }
        )


class SCD2(Strategy):
    """`scd2`: keeps every version of every key, each valid from one instant to the next."""

    mode = "scd2"
    _defaults: ClassVar[dict[str, Any]] = {
        "overwrite_columns": (),
        "handle_deletes": "ignore",
        "effective_from": "valid_from",
        "effective_to": "valid_to",
        "current_flag": "is_current",
        "hash_column": "row_hash",
        "on_same_time": "replace",
    }

    def __init__(
        self,
        *,
        keys: Names | None = None,
        compare_columns: Names | None = None,
        overwrite_columns: Names = (),
        handle_deletes: Literal["ignore", "soft"] = "ignore",
        effective_from: str = "valid_from",
        effective_to: str = "valid_to",
        current_flag: str = "is_current",
        hash_column: str = "row_hash",
        event_timestamp_column: str | None = None,
        ttl: Duration | None = None,
        on_same_time: Literal["replace", "error", "keep"] = "replace",
    ) -> None:
        self._set(
            {
                "keys": keys,
                "compare_columns": compare_columns,
                "overwrite_columns": overwrite_columns,
                "handle_deletes": handle_deletes,
                "effective_from": effective_from,
                "effective_to": effective_to,
                "current_flag": current_flag,
                "hash_column": hash_column,
                "event_timestamp_column": event_timestamp_column,
                "ttl": ttl,
                "on_same_time": on_same_time,
            }
        )


STRATEGIES: dict[str, type[Strategy]] = {cls.mode: cls for cls in (AppendOnly, TruncateReplace, MergeUpsert, SCD2)}
MODES = ("append", "truncate", "merge", "scd1", "scd2")
