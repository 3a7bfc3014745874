"""ematix-flow: declare a table and a load strategy; it writes only what changed.

>>> from ematix_flow import Source, connect, pipeline
>>> report = pipeline.sync(  # on a server
...     source=Source.postgres_query(connect("crm"), "SELECT * FROM app.customers"),
...     target="analytics.dim_customers",
...     target_connection="warehouse",
...     mode="scd2",
...     keys="customer_id",
... )
>>> report.rows_inserted, report.path
(3, 'staging')

Python declares; every plan is made and every row is moved in Rust.

The package from what all of it rests on to what users see, layer by layer and in each layer module by module; every
one may import those before it, and no other:

    _core _mypy
    show     answers notebook reports
    ground   errors places mistakes names values secret duckdb
    types
    declare  connections markers columns table helpers expectations transforms features strategies options records
             frames source _checked targets runnable registry pipelines decorators
    run      frames connections progress modules declared transforms pour export engine features namespace
             write partitions
    façade   errors normalize export df spark cli testing

`show` lies lowest because it needs nothing of the others, and an exception carries the report of its run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._core import RecordBatches
    from .declare.columns import Column
    from .declare.decorators import Ematix, ematix
    from .declare.expectations import Expectation, expect
    from .declare.features import FeatureView
    from .declare.helpers import (
        PreHelper,
        deduplicate_by,
        explode,
        filter_where,
        flatten,
        limit,
        rename,
        sample_pct,
        select,
        with_column,
    )
    from .declare.markers import (
        Marker,
        Sql,
        cast,
        clamp,
        collapse_whitespace,
        column,
        date_trunc,
        default,
        derive,
        email_normalize,
        empty_to_null,
        hash,
        lower,
        map_values,
        mask,
        natural_key,
        normalize_unicode,
        nullif,
        parse_bool,
        parse_date,
        parse_int,
        parse_json,
        parse_numeric,
        parse_timestamp,
        phone_normalize,
        pk,
        regex_replace,
        replace,
        round,
        sql,
        title,
        to_ascii,
        to_timezone,
        trim,
        truncate,
        unique,
        upper,
        whitespace_to_null,
    )
    from .declare.pipelines import Pipeline, PipelineFunction
    from .declare.registry import Pipelines
    from .declare.source import Source
    from .declare.strategies import SCD2, AppendOnly, MergeUpsert, Strategy, TruncateReplace
    from .declare.table import ManagedTable
    from .declare.transforms import TransformRef
    from .ground.errors import (
        ConnectError,
        DataError,
        DriftError,
        FlowError,
        LockedError,
        SourceError,
        SpecError,
        TargetError,
    )
    from .run.connections import Connection, connect
    from .run.namespace import PipelineNamespace, pipeline
    from .show.answers import ErrorInfo
    from .show.reports import (
        CheckReport,
        KeyHistory,
        Plan,
        RunHistory,
        RunReport,
        Step,
        TransformReport,
        ValidationReport,
    )
    from .types import (
        JSON,
        JSONB,
        UUID,
        Array,
        BigInt,
        Boolean,
        Bytes,
        ColumnType,
        Date,
        Double,
        Enum,
        Float,
        Integer,
        Interval,
        Numeric,
        PgType,
        SmallInt,
        String,
        Text,
        Time,
        Timestamp,
        TimestampTZ,
    )

    __version__: str

__all__ = [
    "JSON",
    "JSONB",
    "SCD2",
    "UUID",
    "AppendOnly",
    "Array",
    "BigInt",
    "Boolean",
    "Bytes",
    "CheckReport",
    "Column",
    "ColumnType",
    "ConnectError",
    "Connection",
    "DataError",
    "Date",
    "Double",
    "DriftError",
    "Ematix",
    "Enum",
    "ErrorInfo",
    "Expectation",
    "FeatureView",
    "Float",
    "FlowError",
    "Integer",
    "Interval",
    "KeyHistory",
    "LockedError",
    "ManagedTable",
    "Marker",
    "MergeUpsert",
    "Numeric",
    "PgType",
    "Pipeline",
    "PipelineFunction",
    "PipelineNamespace",
    "Pipelines",
    "Plan",
    "PreHelper",
    "RecordBatches",
    "RunHistory",
    "RunReport",
    "SmallInt",
    "Source",
    "SourceError",
    "SpecError",
    "Sql",
    "Step",
    "Strategy",
    "String",
    "TargetError",
    "Text",
    "Time",
    "Timestamp",
    "TimestampTZ",
    "TransformRef",
    "TransformReport",
    "TruncateReplace",
    "ValidationReport",
    "__version__",
    "cast",
    "clamp",
    "collapse_whitespace",
    "column",
    "connect",
    "date_trunc",
    "deduplicate_by",
    "default",
    "derive",
    "email_normalize",
    "ematix",
    "empty_to_null",
    "expect",
    "explode",
    "filter_where",
    "flatten",
    "hash",
    "limit",
    "lower",
    "map_values",
    "mask",
    "natural_key",
    "normalize_unicode",
    "nullif",
    "parse_bool",
    "parse_date",
    "parse_int",
    "parse_json",
    "parse_numeric",
    "parse_timestamp",
    "phone_normalize",
    "pipeline",
    "pk",
    "regex_replace",
    "rename",
    "replace",
    "round",
    "sample_pct",
    "select",
    "sql",
    "title",
    "to_ascii",
    "to_timezone",
    "trim",
    "truncate",
    "unique",
    "upper",
    "whitespace_to_null",
    "with_column",
]

# In which module each is.
_NAMES = {
    "_core": "RecordBatches __version__",
    "declare.columns": "Column",
    "declare.decorators": "Ematix ematix",
    "declare.expectations": "Expectation expect",
    "declare.features": "FeatureView",
    "declare.helpers": (
        "PreHelper deduplicate_by explode filter_where flatten limit rename sample_pct select with_column"
    ),
    "declare.markers": (
        "Marker Sql cast clamp collapse_whitespace column date_trunc default derive email_normalize empty_to_null "
        "hash lower map_values mask natural_key normalize_unicode nullif parse_bool parse_date parse_int parse_json "
        "parse_numeric parse_timestamp phone_normalize pk regex_replace replace round sql title to_ascii to_timezone "
        "trim truncate unique upper whitespace_to_null"
    ),
    "declare.pipelines": "Pipeline PipelineFunction",
    "declare.registry": "Pipelines",
    "declare.source": "Source",
    "declare.strategies": "SCD2 AppendOnly MergeUpsert Strategy TruncateReplace",
    "declare.table": "ManagedTable",
    "declare.transforms": "TransformRef",
    "ground.errors": "ConnectError DataError DriftError FlowError LockedError SourceError SpecError TargetError",
    "run.connections": "Connection connect",
    "run.namespace": "PipelineNamespace pipeline",
    "show.answers": "ErrorInfo",
    "show.reports": "CheckReport KeyHistory Plan RunHistory RunReport Step TransformReport ValidationReport",
    "types": (
        "JSON JSONB UUID Array BigInt Boolean Bytes ColumnType Date Double Enum Float Integer Interval Numeric PgType "
        "SmallInt String Text Time Timestamp TimestampTZ"
    ),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
# These need nothing of the others, and the others nothing of them.
_APART = ("_core", "show.reports")


# What is not used is not imported: `flow` begins here, too.
def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None and name != "types":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if module not in _APART:
        # Whoever declares may run what is declared.
        import_module(".run", __name__)
    found = import_module(f".{module}" if module else ".types", __name__)
    if module:
        found = getattr(found, name)
        globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
