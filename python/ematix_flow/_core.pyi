# The native half of the package, in Rust: every plan is made and every row is moved there. Texts are JSON.
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

from typing_extensions import Self

__all__ = [
    "Engine",
    "Features",
    "Frame",
    "Pipe",
    "RecordBatch",
    "RecordBatches",
    "Run",
    "Session",
    "__version__",
    "accept_partitions",
    "check_schedule",
    "close_partitions",
    "fill_partition",
    "main",
    "module_names",
    "open_partitions",
    "option_table",
    "read",
    "read_parts",
]

__version__: str

def main(argv: list[str], registry: str | None = None, call: Callable[[str, str], str] | None = None) -> int:
    """The command line; `argv` begins with the program's name, as `sys.argv` does. Gives the exit code."""

def module_names(argv: list[str]) -> list[str]:
    """The Python modules that a command line, EMATIX_FLOW_MODULE, pipelines.toml or pyproject.toml names."""

def option_table() -> str:
    """`[{"name", "modes": […] (empty: all), "default": a JSON value or null, "supported"}]`."""

def check_schedule(cron: str | None, every: str | None, timezone: str) -> None:
    """Raises SpecError, `invalid_schedule`."""

def open_partitions(place: tuple[str | None, str | None], columns: list[tuple[str, str]]) -> str:
    """Makes a table for partitions, and gives its name; a place is a DSN, or the name that stands for one."""

def fill_partition(place: tuple[str | None, str | None], table: str, attempt: str, held: Any) -> int:
    """Takes the rows of an attempt in; gives how many there were."""

def accept_partitions(place: tuple[str | None, str | None], table: str, columns: list[str], attempts: list[str]) -> str:
    """The query of the rows of these attempts."""

def close_partitions(place: tuple[str | None, str | None], table: str) -> None:
    """Drops the table."""

def read(
    dsn: str | None,
    name: str | None,
    statement: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    numeric: str = "decimal",
    infinity: str = "error",
    batch_rows: int | None = None,
    types: str = "all",
    partition_on: str | None = None,
) -> RecordBatches:
    """Begins to read a query, or a table by its name, in a session of its own."""

def read_parts(
    dsn: str | None,
    name: str | None,
    statement: str,
    params: Sequence[Any] | Mapping[str, Any] | None,
    partition_on: str | None,
    parts: int,
) -> tuple[Frame, list[str]]:
    """The queries that have a part of the rows each, at most so many; and a frame without rows of the same columns."""

@final
class Engine:
    """The pipelines of one registry."""
    def __new__(cls, registry: str, call: Callable[[str, str], str] | None = None) -> Engine: ...
    def start(self, pipeline: str, request: str) -> Run: ...
    def plan(self, pipeline: str, connect: bool) -> str: ...
    def columns(self, pipeline: str) -> list[tuple[str, str]]:
        """The columns of its frame, each with the type that it has in the target's database."""
    def validate(self, pipeline: str, connect: bool) -> str: ...
    def check(self, pipeline: str) -> str: ...
    def history(self, pipeline: str, key: str | None = None) -> str: ...
    def as_of(self, pipeline: str, at: str, known: str | None = None) -> str: ...
    def export(
        self,
        pipeline: str,
        path: str,
        format: str | None = None,
        at: str | None = None,
        known: str | None = None,
        run: str | None = None,
    ) -> int:
        """How many rows were written into the file."""
    def run_due(self, request: str, jobs: int) -> Run:
        """Those that are due, so many at a time."""

@final
class Pipe:
    """Rows on their way to another process; `write` writes all bytes that it is given."""
    def __new__(cls, write: Callable[[bytes], object]) -> Pipe: ...
    def pour(self, held: Any) -> None:
        """Sends all rows of a held frame; raises what its iterator raises."""
    def fail(self, told: str) -> None:
        """Sends why there are no more."""

@final
class Run:
    """A run that is under way."""
    def result(self) -> str:
        """Waits for its end. Ctrl-C cancels on the server, then raises KeyboardInterrupt."""
    def poll(self, seconds: float) -> str | None:
        """Waits so long at most; None while it goes on."""
    def progress(self) -> str:
        """`{"kind", "purpose", "seconds", "rows", "bytes", "waiting"}`; `kind` is null before the first step."""
    def cancel(self) -> None: ...

@final
class Session:
    """A connection for statements."""
    def __new__(cls, dsn: str | None, name: str | None) -> Session: ...
    def execute(self, statement: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> int: ...
    def query(
        self, statement: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]: ...
    def conninfo(self) -> str:
        """Where it leads, as psycopg takes it, with the password."""
    def cancel(self) -> None:
        """Cancels on the server what another thread runs."""
    def close(self) -> None: ...

@final
class Features:
    """The feature views of one database; each caller has a session of its own."""
    def __new__(cls, dsn: str | None, name: str | None) -> Features: ...
    def lookup(
        self,
        view: str,
        columns: Sequence[str] | None,
        keys: list[list[Any]],
        many: bool,
        as_of: str | None = None,
    ) -> Any:
        """The features of one key, or a list of them; None where there are none."""
    def lookup_then(
        self,
        view: str,
        columns: Sequence[str] | None,
        keys: list[list[Any]],
        many: bool,
        as_of: str | None,
        deliver: Callable[[Any, BaseException | None], object],
    ) -> None:
        """The same without waiting: another thread calls `deliver`."""
    def served_since(self, view: str) -> str | None:
        """When the last load began that is served of a view."""
    def served_since_then(self, view: str, deliver: Callable[[Any, BaseException | None], object]) -> None:
        """The same without waiting: another thread calls `deliver`."""
    def training_set(self, request: str, spine: Any) -> Frame | int: ...
    def close(self) -> None: ...

@final
class Frame:
    """Rows that whatever reads Arrow can read, as often as it asks."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __len__(self) -> int: ...
    @property
    def column_names(self) -> list[str]: ...

@final
class RecordBatch:
    """Rows that whatever reads Arrow can read, as often as it asks."""
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __len__(self) -> int: ...
    @property
    def column_names(self) -> list[str]: ...

@final
class RecordBatches(Iterator[RecordBatch]):
    """Rows of a query, read while they are taken: batch by batch, or as a stream that is given away once."""
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> RecordBatch: ...
    def frame(self) -> Frame:
        """The rest of the rows in memory."""
    @property
    def column_names(self) -> list[str]: ...
    def close(self) -> None:
        """Ends it, on the server too."""
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> None: ...
