"""The exceptions, and how one is made of the core's JSON. Users have them from `ematix_flow`, or `ematix_flow.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..show.answers import ErrorInfo, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..show.reports import RunReport


class FlowError(Exception):
    """What every error of ematix-flow is.

    >>> error = DataError("2 keys come more than once", code="duplicate_source_key", hint="return one row per key")
    >>> error.code
    'duplicate_source_key'
    >>> print(error)
    2 keys come more than once
    hint: return one row per key
    """

    code: str
    message: str
    hint: str | None
    context: dict[str, Any]
    sqlstate: str | None
    report: RunReport | None
    errors: list[ErrorInfo]
    location: dict[str, Any] | None

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        hint: str | None = None,
        context: Mapping[str, Any] | None = None,
        sqlstate: str | None = None,
        report: RunReport | None = None,
        errors: Iterable[ErrorInfo] = (),
        location: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.context = dict(context or {})
        self.sqlstate = sqlstate
        self.report = report
        self.location = dict(location) if location else None
        info = ErrorInfo(
            code=code, message=message, hint=hint, sqlstate=sqlstate, context=context, location=self.location
        )
        self.errors = list(errors) or [info]

    def locate(self, location: Mapping[str, Any]) -> None:
        """Says where the mistake stands, for it and for the finding that it is."""
        self.location = dict(location)
        for finding in self.errors:
            finding.location = finding.location or dict(location)

    def __str__(self) -> str:
        return told(self.message, self.hint)

    # An exception pickles as its class and its positional arguments, which would lose everything but the message.
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,), self.__dict__


class SpecError(FlowError, ValueError):
    """A declaration, an option or a file is wrong. `.errors` has all that was found, not only the first."""


class DriftError(FlowError):
    """The live table differs from its declaration, lacks an index, or the watermark is of another column."""


class DataError(FlowError):
    """A guard or an expectation refused the rows; nothing was written.

    >>> from ematix_flow import Source, pipeline
    >>> twice = Source.postgres_query("crm", "SELECT * FROM app.customers UNION ALL SELECT * FROM app.customers")
    >>> try:  # on a server
    ...     pipeline.sync(source=twice, target="public.t", target_connection="warehouse", mode="merge", keys="customer_id")
    ... except DataError as error:
    ...     error.code, error.report.status, error.report.committed
    ('duplicate_source_key', 'refused', False)
    """


class SourceError(FlowError):
    """The source's query failed; `.sqlstate` is the server's."""


class TargetError(FlowError):
    """A statement on the target failed, or the run ended otherwise; `.sqlstate` is the server's, if it spoke."""


class ConnectError(FlowError):
    """The server cannot be reached, or refused the log-in."""


class LockedError(FlowError):
    """Another run, or another session, held the target for longer than `lock_timeout`."""


# Where users import them from; tracebacks and pickles name them so.
for _public in (
    ErrorInfo,
    FlowError,
    SpecError,
    DriftError,
    DataError,
    SourceError,
    TargetError,
    ConnectError,
    LockedError,
):
    _public.__module__ = "ematix_flow.errors"


# The codes by the exit code that `flow` gives them.
_SPEC = frozenset(
    [
        "invalid_toml",
        "invalid_value",
        "invalid_schedule",
        "missing_option",
        "missing_keys",
        "missing_variable",
        "conflicting_options",
        "option_not_for_mode",
        "duplicate_name",
        "dependency_cycle",
        "name_too_long",
        "query_writes",
        "read_only_target",
        "import_failed",
        "not_yet_supported",
        "path_impossible",
        "unsupported_server",
        "unsupported_by_engine",
        "metadata_newer",
        "unknown_option",
        "unknown_pipeline",
        "unknown_table",
        "unknown_column",
        "unknown_connection",
        "unknown_type",
        "unknown_variable",
    ]
)
_DRIFT = frozenset(["drift", "missing_index", "watermark_mismatch"])
_DATA = frozenset(
    [
        "duplicate_source_key",
        "null_key",
        "empty_source",
        "mass_delete",
        "cannot_rewind",
        "hidden_rows",
        "null_watermark",
        "future_watermark",
        "expectation_failed",
        "future_event",
        "null_event_time",
        "conflicting_events",
    ]
)
_CONNECT = frozenset(["connect_failed", "connect_timeout", "authentication_failed", "unknown_database", "tls_failed"])
# Nothing went wrong in it: it was interrupted, or not started. The second stands in a report, and is not raised.
_NO_FAULT = frozenset(["cancelled", "missed", "overlap", "paused", "upstream_failed"])


def class_of(code: str) -> type[FlowError]:
    """The class for a code.

    >>> class_of("drift").__name__
    'DriftError'
    >>> class_of("a_code_of_a_later_version").__name__
    'TargetError'
    """
    if code in _SPEC:
        return SpecError
    if code in _DRIFT:
        return DriftError
    if code in _DATA:
        return DataError
    if code in _CONNECT:
        return ConnectError
    if code == "locked":
        return LockedError
    if code == "source_failed":
        return SourceError
    return FlowError if code in _NO_FAULT else TargetError


def from_json(text: str) -> FlowError:
    """The exception for an error in the core's JSON: one error, or `{"errors": […]}` with all that were found.

    >>> from_json('{"code": "locked", "message": "held by pid 7"}')
    LockedError('held by pid 7')
    """
    # Imported here, since most programs meet no error.
    import json

    return from_dict(json.loads(text))


def from_dict(data: Mapping[str, Any]) -> FlowError:
    """The exception for an error that was read from JSON."""
    findings = [ErrorInfo.from_dict(item) for item in data.get("errors") or [data]]
    first = findings[0]
    error = class_of(first.code)(
        first.message,
        code=first.code,
        hint=first.hint,
        context=first.context,
        sqlstate=first.sqlstate,
        errors=findings,
        location=first.location,
    )
    if data.get("report"):
        # Reports read JSON and UUIDs, whose modules take their time to import.
        from ..show.reports import RunReport

        error.report = RunReport(data["report"])
    return error
