"""The registry as JSON for the core, and the answers to its calls back into Python.

`python -m ematix_flow.export` is how the native `flow` reaches pipelines that Python declares:

    python -m ematix_flow.export registry MODULE…          prints the registry
    python -m ematix_flow.export resolve NAME MODULE…      calls a pipeline's function; the request comes by stdin
    python -m ematix_flow.export call NAME MODULE…         calls a transform; likewise

Without MODULE they come from EMATIX_FLOW_MODULE, separated by commas. What the user prints goes to stderr. A module
that cannot be imported ends it with the user's traceback and exit code 2.

Where EMATIX_FLOW_ASKER is set, a `flow` asks, which tells of errors itself: the registry, a part a line, holds those of
the modules that cannot be imported beside the pipelines of the others, `{"errors": […]}`, and in place of any other answer
stands
`{"error": {"code", "message", "details", "hint", "context", "location"}}`.

A `flow` that says `"frames": "piped"` takes the rows of a frame from here, too: behind the line of the answer the process
stays, and for each line on stdin it sends them by stdout, in the parts that the core's `pipe.rs` describes.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..declare import registry as declared
from ..declare.connections import connection_name, declared_as, dsn_named
from ..declare.frames import as_frame
from ..declare.pipelines import PipelineFunction, frame_declared_by
from ..declare.runnable import Runnable
from ..declare.source import Source
from ..ground.errors import FlowError, SpecError
from ..ground.secret import Secret
from . import pour, transforms
from .connections import Connection
from .declared import Early, as_json, functions_after, registry, registry_for_flow
from .modules import load, load_sound, print_traceback, seldom_collected, tell, told

# How long a function that is interrupted may take to end, until its process is ended.
GRACE_SECONDS = 5
# What an interrupt says that was a SIGTERM.
TERMINATED = "SIGTERM"


def answerer(pipelines: Iterable[Runnable], kept: list[Source] | None = None) -> Callable[[str, str], str]:
    """What answers the core: `call("resolve", {"pipeline": …})` and `call("call", {"transform": …})`, JSON both ways.

    The requests carry the connection that the core resolved: `{"connection": {"name": …, "dsn": …}}`. Frames that
    functions returned are `kept` until `call("release", {"frame": …})`.
    """
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    frames: list[Source] = [] if kept is None else kept

    def call(verb: str, text: str) -> str:
        request = _request(text)
        # A traceback of the user's function shows what stands here.
        del text
        return as_json(answer(verb, request))

    def answer(verb: str, request: dict[str, Any]) -> dict[str, Any]:
        if verb == "resolve":
            return _resolve(by_name, request, frames)
        if verb == "call":
            return _call(by_name, request)
        if verb == "release":
            _release(frames, request["frame"])
            return {}
        raise SpecError(f"the core asks for {verb!r}, which this version does not know", code="not_yet_supported")

    return call


def _request(text: str) -> dict[str, Any]:
    """What the core asks, its DSN in what does not show it."""
    request: dict[str, Any] = json.loads(text or "{}")
    connection = request.get("connection")
    if isinstance(connection, dict) and connection.get("dsn") is not None:
        connection["dsn"] = Secret(connection["dsn"])
    return request


def _resolve(pipelines: dict[str, Runnable], request: dict[str, Any], kept: list[Source]) -> dict[str, Any]:
    pipeline = declared.pipeline_named(request["pipeline"], pipelines)
    if not isinstance(pipeline, PipelineFunction):
        source = frame_declared_by(pipeline)
        if source is None:
            raise SpecError(f"pipeline `{pipeline.name}` is not a function", code="invalid_value")
        kept.append(source)
        exported: dict[str, Any] = source.export()
        return exported
    given = pipeline.declared()["source"].get("connection")
    with _connection(request, given) as connection:
        return _answer(pipeline.resolve(connection), connection, f"pipeline {pipeline.name}", kept)


def _answer(value: object, given: Connection, where: str, kept: list[Source]) -> dict[str, Any]:
    """What a pipeline function returned, as the core wants it: a query, a table, files or a frame, and its connection if
    another.

    Raises:
        SpecError: `invalid_value` for what is neither SQL text nor a Source.
    """
    if isinstance(value, str) and value.strip():
        return {"query": value}
    frame = None if isinstance(value, Source) else as_frame(value)
    if frame is not None:
        value = Source.of_frame(frame)
    if not isinstance(value, Source):
        raise SpecError(
            f"{where} returned {'nothing' if value is None else f'a {type(value).__name__}'}",
            code="invalid_value",
            hint="return SQL as text, a Source, or a frame",
        )
    if "frame" in value.export():
        kept.append(value)
    said = value.export()
    if said.get("connection") == connection_name(given, where):
        del said["connection"]
    dsns = {name: declared for name in value.connections() if (declared := declared_as(name))}
    if "connection" in said and said["connection"] in dsns:
        said["connections"] = dsns
    return said


def _release(kept: list[Source], number: int) -> None:
    """Keeps a frame no longer, once: two answers may have given the same."""
    for at, source in enumerate(kept):
        if source.export()["frame"]["id"] == number:
            del kept[at]
            return


def _call(pipelines: dict[str, Runnable], request: dict[str, Any]) -> dict[str, Any]:
    name = request["transform"]
    functions = {name: item.function for name, item in declared.transforms.items()}
    for pipeline in pipelines.values():
        functions |= functions_after(pipeline)
    if name not in functions:
        raise SpecError(f"there is no transform `{name}`", code="unknown_option", hint=f"there are {sorted(functions)}")
    return {"metrics": transforms.call(name, functions[name], request)}


def _connection(request: dict[str, Any], declared_name: str | None) -> Connection:
    """The connection that the core resolved; its DSN stays behind the name that the user knows."""
    said = request.get("connection") or {}
    name = said.get("name") or declared_name or "default"
    dsn = said.get("dsn") or dsn_named(name)
    return Connection(name, dsn=dsn)


# --- the command ------------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> int:
    """`python -m ematix_flow.export`: answers on what was stdout when it began; prints of the user go to stderr.

    A `flow` says by EMATIX_FLOW_ASKER=holding that it keeps stdin open behind the line of its request: where that ends,
    nothing is wanted any more. A line more is its wish for the rows of a frame.
    """
    verbs = {"registry": 0, "resolve": 1, "call": 1}
    if not argv or argv[0] not in verbs or len(argv) < 1 + verbs[argv[0]]:
        print(__doc__, file=sys.stderr)
        return 2
    verb, names = argv[0], argv[1 : 1 + verbs[argv[0]]]
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    wishes = threading.Semaphore(0)
    if os.environ.get("EMATIX_FLOW_ASKER") == "holding":
        text = _line(0)
        _end_with_the_asker(_stdin_apart(), wishes)
    else:
        text = sys.stdin.read() if names else ""
    request = _request(text) if names else {}
    del text
    modules = argv[1 + len(names) :] or request.get("modules") or module_names_of_environment()
    kept: list[Source] = []

    def write(text: str) -> None:
        answers.write(text + "\n")
        answers.flush()

    try:
        if os.environ.get("EMATIX_FLOW_ASKER"):
            code, found = _answer_to_flow(verb, names, modules, request, kept, write)
        else:
            code, found = _answer_to_people(verb, names, modules, request, kept)
        for text in found:
            write(text)
        if kept and request.get("frames") == "piped":
            pour.at_each_wish(kept[-1], names[0], wishes, answers.fileno())
    except KeyboardInterrupt as wish:
        # Whoever asked knows.
        return 143 if wish.args == (TERMINATED,) else 130
    answers.close()
    return code


def _line(file: int) -> str:
    """The first line, read no further."""
    found = bytearray()
    while not found.endswith(b"\n") and (more := os.read(file, 1)):
        found += more
    return found.decode("utf-8")


def _stdin_apart() -> int:
    """What was stdin; the user's code finds an empty one, and does not wait for an asker who says no more."""
    file = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return file


def _end_with_the_asker(file: int, wishes: threading.Semaphore) -> None:
    """Interrupts this process where its asker wishes that, or is gone, or where it is to terminate with its group."""
    import signal

    def terminate(_number: int, _frame: object) -> None:
        # As an interrupt: what a function has under way on a server is cancelled there.
        raise KeyboardInterrupt(TERMINATED)

    signal.signal(signal.SIGTERM, terminate)

    def wait() -> None:
        while os.read(file, 1):
            wishes.release()
        # A signal, since what sleeps in the system does not look whether it was interrupted.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        threading.Event().wait(GRACE_SECONDS)
        os._exit(130)

    threading.Thread(target=wait, daemon=True).start()


def _found(
    verb: str, names: Sequence[str], pipelines: list[Runnable], request: dict[str, Any], kept: list[Source]
) -> str:
    """The answer to a call."""
    request["pipeline" if verb == "resolve" else "transform"] = names[0]
    return answerer(pipelines, kept)(verb, as_json(request))


def _answer_to_people(
    verb: str, names: Sequence[str], modules: Sequence[str], request: dict[str, Any], kept: list[Source]
) -> tuple[int, Iterable[str]]:
    try:
        pipelines = load(modules)
        return 0, [registry(pipelines) if verb == "registry" else _found(verb, names, pipelines, request, kept)]
    except FlowError as error:
        tell(error)
        return 2, []
    except Exception as error:  # noqa: BLE001  (whatever the user's function raises)
        print_traceback(error)
        return 1, []


def _answer_to_flow(
    verb: str,
    names: Sequence[str],
    modules: Sequence[str],
    request: dict[str, Any],
    kept: list[Source],
    write: Callable[[str], None],
) -> tuple[int, Iterable[str]]:
    try:
        early = Early(write, frames_by_call=True) if verb == "registry" else None
        with seldom_collected(), contextlib.nullcontext() if early is None else declared.heard_by(early.hear):
            pipelines, failed = load_sound(modules)
            errors = [told(error) for error in failed]
            if verb == "registry":
                return 0, registry_for_flow(pipelines, errors, frames_by_call=True, early=early)
        if errors:
            return 2, [_error(errors[0])]
        return 0, [_found(verb, names, pipelines, request, kept)]
    except FlowError as error:
        return 2, [_error(told(error))]
    except Exception as error:  # noqa: BLE001  (whatever the user's function raises)
        return 1, [_error(told(error, message=raised_by(verb, names[0])))]


def told_of_function(error: Exception, name: str, verb: str = "resolve") -> str:
    """What a function raised, as an answer; its traceback is printed."""
    return _error(told(error, message=raised_by(verb, name)))


def said_by_function(error: Exception, name: str) -> str:
    """What a transform's function raised, as an answer; whoever raises the run's error has the traceback."""
    return _error(told(error, message=raised_by("call", name), traceback=False))


def _error(error: dict[str, Any]) -> str:
    return json.dumps({"error": error}, ensure_ascii=False)


def raised_by(verb: str, name: str) -> str:
    """What happened, where a function of the user's raised."""
    return pour.RAISED.format(name=name) if verb == "resolve" else f"transform `{name}` raised an exception"


def module_names_of_environment() -> list[str]:
    """The modules that EMATIX_FLOW_MODULE names."""
    return [name.strip() for name in os.environ.get("EMATIX_FLOW_MODULE", "").split(",") if name.strip()]
