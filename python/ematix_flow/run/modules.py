"""Imports the modules that declare pipelines, and tells of those that cannot be imported: the exception, and the user's
line that raised it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..declare import registry as declared
from ..ground.errors import FlowError, SpecError
from ..ground.places import shown

if TYPE_CHECKING:
    from types import FrameType, ModuleType

    from ..declare.runnable import Runnable


def load(modules: Sequence[str]) -> list[Runnable]:
    """Imports modules (`pkg.mod`, `pkg.mod:flows` or `path/to/mod.py`) and gives what they declare.

    Raises:
        SpecError: `import_failed`, caused by what the first module that fails raised.
    """
    found, failed = load_sound(modules)
    if failed:
        raise failed[0]
    return found


def load_sound(modules: Sequence[str]) -> tuple[list[Runnable], list[SpecError]]:
    """As `load`; what modules declare that can be imported, and why others cannot."""
    from importlib import import_module

    # `flow` is a script: unlike `python -m`, it does not begin in the working directory.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    imported: list[tuple[ModuleType, str]] = []
    failed: list[SpecError] = []
    for text in modules:
        name, _, attribute = text.partition(":")
        try:
            imported.append((_of_file(name) if name.endswith(".py") else import_module(name), attribute))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever the user's module raises)
            failed.append(_import_failed(name, error))
    if failed:
        # What a module declared before it failed is half of something. Python keeps no module that failed.
        declared.forget_modules(lambda module: module not in sys.modules)
    found: dict[str, Runnable] = {}
    for module, attribute in imported:
        try:
            found |= {pipeline.name: pipeline for pipeline in _declared_by(module, attribute)}
        except SpecError as error:
            failed.append(error)
    return list(found.values()), failed


@contextmanager
def seldom_collected() -> Iterator[None]:
    """For a process that loads modules and tells what they declare. That stays: to look through all of it again and again
    for what could go takes a fifth of the time, and to take it apart at the end another."""
    before = gc.get_threshold()
    if before[0] > 0:
        gc.set_threshold(max(before[0], _SELDOM), *before[1:])
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*before)


# How many objects are made between two looks.
_SELDOM = 400_000


def _of_file(path: str) -> ModuleType:
    """A module by its file, under the file's name, beside whose neighbours it imports as a script does."""
    from importlib.util import module_from_spec, spec_from_file_location
    from os.path import abspath, basename, dirname

    folder, name = dirname(abspath(path)), basename(path).removesuffix(".py")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{path} is no file of Python", name=path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _declared_by(module: ModuleType, attribute: str) -> list[Runnable]:
    registries: list[declared.Pipelines]
    if attribute:
        chosen = getattr(module, attribute, None)
        if not isinstance(chosen, declared.Pipelines):
            raise SpecError(
                f"{module.__name__} has no registry `{attribute}`",
                code="import_failed",
                hint=f"write {attribute} = Pipelines() at the top of the module",
                context={"module": module.__name__},
            )
        registries = [chosen]
    else:
        registries = [value for value in vars(module).values() if isinstance(value, declared.Pipelines)]
    if not registries:
        return list(declared.pipelines.values())
    return [pipeline for one in registries for pipeline in one.values()]


def _import_failed(name: str, error: BaseException) -> SpecError:
    context = {"module": name, "exception": type(error).__name__}
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    # The module itself, or a package that it lies in; what it imports is the business of its traceback.
    if missing is not None and f"{name}.".startswith(f"{missing}."):
        return SpecError(
            f"there is no module `{name}`",
            code="import_failed",
            hint="name it as `import` does, from the directory in which its package lies",
            context=context,
        )
    failed = SpecError(f"module `{name}` could not be imported", code="import_failed", context=context)
    failed.__cause__ = error
    line = _line_of(error)
    if line is not None:
        failed.locate(line)
    return failed


def told(error: Exception, *, code: str = "source_failed", message: str = "", traceback: bool = True) -> dict[str, Any]:
    """An error as the core reads it, after the traceback of what the user's code raised: `flow` tells the rest.

    An exception of the user's has the code and the message that are given.
    """
    if not isinstance(error, FlowError):
        mistake = FlowError(message, code=code, context={"exception": type(error).__name__}, location=_line_of(error))
        mistake.__cause__ = error
        error = mistake
    said = error.errors[0].to_dict()
    cause = error.__cause__
    if cause is None:
        return said
    if traceback:
        print_traceback(cause, whole=False)
    if isinstance(cause, FlowError):
        return said | {"details": [f"{type(cause).__name__}: {cause.message}"], "hint": cause.hint}
    return said | {"details": _last_lines(cause)}


def tell(error: FlowError) -> None:
    """Tells people of an error, after the traceback of what the user's code raised."""
    if error.__cause__ is not None:
        print_traceback(error.__cause__)
    print(f"error[{error.code}]: {error}", file=sys.stderr)


def _last_lines(error: BaseException) -> list[str]:
    import traceback

    return "".join(traceback.format_exception_only(type(error), error)).splitlines()


def _line_of(error: BaseException) -> dict[str, Any] | None:
    """The user's line that raised, or that is no Python."""
    if isinstance(error, FlowError) and error.location is not None:
        return error.location
    if isinstance(error, SyntaxError) and error.filename is not None:
        return {"file": shown(error.filename), "line": error.lineno or 1, "column": error.offset or 1}
    frames = [frame for frame in _users_frames(error)[0] if frame is not None]
    if not frames:
        return None
    frame, line = frames[-1]
    return {"file": shown(frame.f_code.co_filename), "line": line, "column": 1}


def _users_frames(error: BaseException) -> tuple[list[tuple[FrameType, int] | None], slice]:
    """The frames of a traceback, those that are not the user's as None, and where the user's part of it lies."""
    import traceback

    frames = list(traceback.walk_tb(error.__traceback__))
    own: list[tuple[FrameType, int] | None] = [None if _is_ours(frame) else (frame, line) for frame, line in frames]
    if frames:
        # A mistake in a declaration ends in the line that made it, which stands there twice.
        own = own[: frames.index(frames[-1]) + 1]
    kept = [at for at, frame in enumerate(own) if frame is not None]
    return own, slice(kept[0], kept[-1] + 1) if kept else slice(0, len(frames))


# Whose frames say nothing to the user: ours, those of an import, those of `python -m` and `python -c`.
_OURS = (
    __name__.partition(".")[0],
    "importlib",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "runpy",
    "__main__",
)


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return any(name == own or name.startswith(f"{own}.") for own in _OURS)


def print_traceback(error: BaseException, *, whole: bool = True) -> None:
    """The user's part of the traceback: neither our frames nor importlib's, at its beginning and at its end.

    Where it is not wanted whole, the lines of the exception itself are left to who tells of the error.
    """
    # Only where something went wrong.
    import traceback

    entries = traceback.TracebackException.from_exception(error)
    frames, kept = _users_frames(error)
    entries.stack = traceback.StackSummary.from_list(entries.stack[kept])
    last = "".join(entries.format_exception_only())
    # What is no Python has no frame of its own: its place is part of what the exception says.
    unread = isinstance(error, SyntaxError) and not any(frames)
    text = last if unread else "".join(entries.format())
    print(text if whole else text.removesuffix(last), end="", file=sys.stderr)
