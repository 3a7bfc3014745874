"""A stand-in for the native module: it answers what a test told it to, and keeps what it was asked.

The option table is the core's own, so that declarations are held to the real one.
"""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

OPTIONS_RS = Path(__file__).parents[3] / "crates" / "flow-core" / "src" / "declare" / "options.rs"
# What `flow schema --options` prints; a test of the core holds it to the table.
OPTIONS_JSON = Path(__file__).parents[3] / "schema" / "options.json"


def options() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(OPTIONS_JSON.read_text(encoding="utf-8"))["options"]
    return found


class Run:
    def __init__(self, core: Core, text: str | None) -> None:
        self.core = core
        self.text = text
        self.cancelled = False

    def result(self) -> str:
        if isinstance(self.text, BaseException):
            raise self.text
        assert self.text is not None
        return self.text

    def poll(self, seconds: float) -> str | None:
        self.core.asked.append(("poll", seconds))
        return self.text

    def progress(self) -> str:
        told = {"kind": None, "purpose": None, "seconds": 0.0, "rows": 0, "bytes": 0, "waiting": False}
        return json.dumps(told)

    def cancel(self) -> None:
        self.cancelled = True
        self.text = self.core.after_cancel


class Core(types.ModuleType):
    """`ematix_flow._core` of the tests. `answers` has what each method of Engine gives."""

    __version__ = "0.1.0"

    def __init__(self) -> None:
        super().__init__("ematix_flow._core")
        core = self
        self.asked: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {}
        self.after_cancel: str | None = "{}"
        self.modules: list[str] = []
        self.runs: list[Run] = []

        class Engine:
            def __init__(self, registry: str, call: Any = None) -> None:
                core.asked.append(("registry", json.loads(registry)))
                core.call = call

            def start(self, pipeline: str, request: str) -> Run:
                core.asked.append(("start", pipeline, json.loads(request)))
                core.runs.append(Run(core, core.answers["run"]))
                return core.runs[-1]

            def run_due(self, request: str, jobs: int) -> Run:
                core.asked.append(("run_due", json.loads(request), jobs))
                return Run(core, json.dumps(core.answers["run_due"]))

            def plan(self, pipeline: str, connect: bool) -> str:
                core.asked.append(("plan", pipeline, connect))
                return json.dumps(core.answers["plan"])

            def validate(self, pipeline: str, connect: bool) -> str:
                core.asked.append(("validate", pipeline, connect))
                return json.dumps(core.answers["validate"])

            def columns(self, pipeline: str) -> list[tuple[str, str]]:
                core.asked.append(("columns", pipeline))
                return [("id", "bigint")]

            def check(self, pipeline: str) -> str:
                core.asked.append(("check", pipeline))
                return json.dumps(core.answers["check"])

            def history(self, pipeline: str, key: str | None) -> str:
                core.asked.append(("history", pipeline, key and json.loads(key)))
                return json.dumps(core.answers["history"])

            def as_of(self, pipeline: str, at: str, known: str | None) -> str:
                core.asked.append(("as_of", pipeline, at, known))
                return json.dumps(core.answers["as_of"])

            def export(
                self,
                pipeline: str,
                path: str,
                format: str | None,
                at: str | None,
                known: str | None,
                run: str | None,
            ) -> int:
                core.asked.append(("export", pipeline, path, format, at, known, run))
                rows: int = core.answers["export"]
                return rows

        class Session:
            def __init__(self, dsn: str | None, name: str | None) -> None:
                core.asked.append(("session", dsn, name))

            def execute(self, statement: str, params: Any) -> int:
                core.asked.append(("execute", statement, params))
                return 3

            def query(self, statement: str, params: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
                core.asked.append(("query", statement, params))
                return core.answers["query"]  # type: ignore[no-any-return]

            def conninfo(self) -> str:
                return "host=fake"

            def cancel(self) -> None:
                core.asked.append(("cancel",))

            def close(self) -> None:
                core.asked.append(("close",))

        class RecordBatch:
            def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
                raise NotImplementedError

            def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
                raise NotImplementedError

            def __len__(self) -> int:
                return 0

            def column_names(self) -> list[str]:
                return []

        class RecordBatches:
            """Batches without rows."""

            def __arrow_c_schema__(self) -> Any:
                raise NotImplementedError

            def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
                raise NotImplementedError

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> Any:
                raise StopIteration

            def frame(self) -> Any:
                """The rest of the rows."""
                return {}

            def column_names(self) -> list[str]:
                """None."""
                return []

            def close(self) -> None:
                """Ends it."""
                core.asked.append(("close",))

            def __enter__(self) -> Any:
                return self

            def __exit__(self, kind: object, error: object, traceback: object) -> None:
                self.close()

        def read(
            dsn: str | None,
            name: str | None,
            statement: str,
            params: Any = None,
            *,
            numeric: str = "decimal",
            infinity: str = "error",
            batch_rows: int | None = None,
            types: str = "all",
            partition_on: str | None = None,
        ) -> Any:
            core.asked.append(("read", statement, params))
            return RecordBatches()

        def read_parts(
            dsn: str | None, name: str | None, statement: str, params: Any, partition_on: str | None, parts: int
        ) -> Any:
            core.asked.append(("read_parts", statement, params, partition_on, parts))
            return {}, [statement]

        def open_partitions(place: Any, columns: Any) -> str:
            core.asked.append(("open_partitions", place, columns))
            return "_ematix_partitions_fake"

        def fill_partition(place: Any, table: str, attempt: str, held: Any) -> int:
            core.asked.append(("fill_partition", place, table))
            return 0

        def accept_partitions(place: Any, table: str, columns: Any, attempts: Any) -> str:
            core.asked.append(("accept_partitions", place, table, columns))
            return "SELECT 1 AS id"

        def close_partitions(place: Any, table: str) -> None:
            core.asked.append(("close_partitions", place, table))

        class Features:
            def __init__(self, dsn: str | None, name: str | None) -> None:
                core.asked.append(("features", dsn, name))

            def lookup(self, view: str, columns: Any, keys: Any, many: bool, as_of: str | None) -> Any:
                core.asked.append(("lookup", json.loads(view), columns, keys, many, as_of))
                return core.answers.get("lookup")

            def lookup_then(
                self, view: str, columns: Any, keys: Any, many: bool, as_of: str | None, deliver: Any
            ) -> None:
                deliver(self.lookup(view, columns, keys, many, as_of), None)

            def served_since(self, view: str) -> Any:
                core.asked.append(("served_since", json.loads(view)))
                return core.answers.get("served_since")

            def served_since_then(self, view: str, deliver: Any) -> None:
                deliver(self.served_since(view), None)

            def training_set(self, request: str, spine: Any) -> int:
                core.asked.append(("training_set", json.loads(request), spine))
                return 2

            def close(self) -> None:
                core.asked.append(("close",))

        class Frame:
            def column_names(self) -> list[str]:
                return []

            def __arrow_c_stream__(self, requested_schema: object = None) -> object:
                raise NotImplementedError

            def __len__(self) -> int:
                return 0

        class Pipe:
            def __init__(self, write: Any) -> None:
                self.write = write

            def pour(self, held: Any) -> None:
                raise NotImplementedError

            def fail(self, told: str) -> None:
                raise NotImplementedError

        self.Engine = Engine
        self.Features = Features
        self.Pipe = Pipe
        self.RecordBatch = RecordBatch
        self.RecordBatches = RecordBatches
        self.accept_partitions = accept_partitions
        self.close_partitions = close_partitions
        self.fill_partition = fill_partition
        self.open_partitions = open_partitions
        self.read = read
        self.read_parts = read_parts
        self.Frame = Frame
        self.Session = Session

    def option_table(self) -> str:
        return json.dumps(options())

    def check_schedule(self, cron: str | None, every: str | None, timezone: str) -> None:
        from ematix_flow import SpecError

        if cron is not None and len(cron.split()) != 5:
            raise SpecError(f"`{cron}` is not a cron line", code="invalid_schedule", hint='write "0 * * * *"')
        if timezone == "Mars/Olympus":
            raise SpecError("there is no time zone `Mars/Olympus`", code="invalid_schedule")

    def module_names(self, argv: list[str]) -> list[str]:
        return self.modules

    def main(self, argv: list[str], registry: str | None, call: Any) -> int:
        self.asked.append(("main", argv, registry and json.loads(registry)))
        return 0


def run_json(**changed: Any) -> str:
    """A report as the core writes it."""
    return json.dumps(
        {
            "schema": "ematix.run.v1",
            "pipeline": "customers",
            "run_id": "01a207ab-0000-7000-8000-66b25d21c0fe",
            "status": "success",
            "committed": True,
            "mode": "scd2",
            "path": "staging",
            "path_reason": "source crm is another database",
            "dry_run": False,
            "source_connection": "crm",
            "target_connection": "warehouse",
            "target": "analytics.dim_customers",
            "started_at": "2026-01-02T03:04:05.1Z",
            "ended_at": "2026-01-02T03:04:05.21Z",
            "duration_ms": 110,
            "rows_in": 5000,
            "rows_inserted": 5000,
            "watermark_before": None,
            "watermark_after": None,
            "parse_failures": {},
            "transforms": [],
            "warnings": [],
            "error": None,
        }
        | changed
    )
