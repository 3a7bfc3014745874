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
    """`append`: inserts every source row; with `incremental_column` each row once.

    Args:
        loaded_at_column: the column of the time of loading, `timestamptz`; `False` leaves it out.
        batch_id_column: the column of the run's id, `uuid`; `False` leaves it out.

    >>> AppendOnly(batch_id_column=False)
    AppendOnly(batch_id_column=False)
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
    """`truncate`: replaces the whole table, in one transaction (a full refresh).

    Args:
        keys: by which rows are compared; for `replace_method="diff"` alone.
        replace_method: "truncate" is the fastest, and readers wait for it; "delete" keeps nobody waiting; "diff" writes by
            keys what differs, and keeps foreign keys to the table.

    >>> TruncateReplace(keys="id", replace_method="diff").options()
    {'keys': 'id', 'replace_method': 'diff'}
    """

    mode = "truncate"
    _defaults: ClassVar[dict[str, Any]] = {"replace_method": "truncate"}

    def __init__(
        self, *, keys: Names | None = None, replace_method: Literal["truncate", "delete", "diff"] = "truncate"
    ) -> None:
        self._set({"keys": keys, "replace_method": replace_method})


class MergeUpsert(Strategy):
    """`merge` (`scd1`, an upsert): updates rows by their keys and inserts new ones; what does not differ is not written.

    Args:
        keys: the columns by which rows are the same; the table's natural key, else its primary key, unless said.
        update_columns: what is compared and written; all but the keys unless said.
        handle_deletes: what becomes of a row that left the source: "ignore", "soft" sets the flag, "hard" deletes it.
        deleted_flag: the column of the flag, `boolean`.

    >>> MergeUpsert(keys="id", handle_deletes="soft")
    MergeUpsert(keys='id', handle_deletes='soft')
    """

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
    """`scd2`: keeps every version of every key, each valid from one instant to the next (a slowly changing dimension).

    Args:
        keys: the columns by which versions belong together; the natural key, else the primary key, unless said.
        compare_columns: a change of one of them opens a version; all but the keys unless said.
        overwrite_columns: changed in place in the current version, and open none.
        handle_deletes: "soft" closes the version of a key that left the source.
        effective_from: the column of the beginning, `timestamptz`.
        effective_to: the column of the end, which is no part of the version; NULL while it is current.
        current_flag: the column that is true of the current version.
        hash_column: the column of the row hash, 32 bytes.
        event_timestamp_column: the source's column of the time at which something was so: history by event time.
        ttl: how long an event holds at most, "30d" or a timedelta; by event time alone.
        on_same_time: what two events of one key and time mean: "replace", "error" or "keep"; by event time alone.

    >>> SCD2(keys="customer_id", compare_columns=["email", "plan"]).mode
    'scd2'
    """

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
