"""What can go wrong, as one tree of exceptions.

    FlowError
    ├── SpecError      a declaration or an option is wrong; nothing ran (also a ValueError)
    ├── DriftError     the live table, index or watermark is not what was declared
    ├── DataError      a guard or an expectation refused the rows; nothing was written
    ├── SourceError    the source's query failed
    ├── TargetError    a statement on the target failed, or the run ended otherwise
    ├── ConnectError   no connection, or no log-in
    └── LockedError    another run holds the target

Every one has a stable `.code` (`flow explain CODE` prints a page on it), `.message`, `.hint`, `.context`, `.sqlstate`
and, if a run had begun, `.report`. No message holds a password, and none a value but the sample keys of a data error.

Each also comes from `ematix_flow`. The native module makes them by `from_json`; tracebacks and pickles name them so.
"""

from .ground.errors import (
    ConnectError,
    DataError,
    DriftError,
    FlowError,
    LockedError,
    SourceError,
    SpecError,
    TargetError,
    from_json,
)
from .show.answers import ErrorInfo

__all__ = [
    "ConnectError",
    "DataError",
    "DriftError",
    "ErrorInfo",
    "FlowError",
    "LockedError",
    "SourceError",
    "SpecError",
    "TargetError",
    "from_json",
]
