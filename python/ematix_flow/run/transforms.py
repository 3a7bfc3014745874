"""Calls the functions of transforms: each with a connection that commits when the function has returned, and rolls back
when it has raised; ended from outside when its run is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..ground.errors import SpecError
from ..ground.secret import Secret
from ..ground.values import plain
from .connections import Connection

if TYPE_CHECKING:
    from .._core import Session


class TransformConnection(Connection):
    """The connection that a transform's function is given: one transaction, which begins at its first use."""

    def __init__(self, name: str, *, dsn: str | Secret | None, settings: Mapping[str, int]) -> None:
        super().__init__(name, dsn=dsn)
        self._settings = settings
        self._drivers: list[Any] = []

    def _opened(self) -> Session:
        began = self._session is not None
        session = super()._opened()
        if not began:
            bounds = "".join(f"; SET LOCAL {name} = {int(value)}" for name, value in self._settings.items())
            session.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{bounds}")
        return session

    def dbapi(self) -> Any:
        """As that of every connection; it commits and rolls back with the function."""
        driver = super().dbapi()
        for name, value in self._settings.items():
            driver.execute(f"SET {name} = {int(value)}")
        driver.commit()
        self._drivers.append(driver)
        return driver

    def cancel(self) -> None:
        """Cancels on the server what runs there, from another thread."""
        for driver in self._drivers:
            driver.cancel()
        if self._session is not None:
            self._session.cancel()

    def end(self, *, commit: bool) -> None:
        """Ends what the function began, and closes it."""
        try:
            if commit:
                if self._session is not None:
                    self._session.execute("COMMIT")
                for driver in self._drivers:
                    driver.commit()
        finally:
            # What has not been committed by now is rolled back by the server.
            for driver in self._drivers:
                driver.close()
            self.close()


class _Call:
    """A call that is under way."""

    def __init__(self, connection: TransformConnection) -> None:
        self.connection = connection
        self.thread = threading.get_ident()


_under_way: dict[str, _Call] = {}
# What the last call of a function raised, for who raises the error of its run.
_causes: dict[str, BaseException] = {}


def call(name: str, function: Callable[..., Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """What the function returned, as JSON can hold it; its transaction stands then.

    Raises:
        SpecError: `invalid_value` for what is no dict of JSON.
    """
    said = request.get("connection") or {}
    connection = TransformConnection(
        said.get("name") or "default", dsn=said.get("dsn"), settings=said.get("settings") or {}
    )
    committed = False
    _causes.pop(name, None)
    try:
        with _can_be_interrupted(request.get("call"), connection):
            metrics = _metrics(name, function(*_arguments(function, connection, request.get("report"))))
        connection.end(commit=True)
        committed = True
    except BaseException as error:
        _causes[name] = error
        raise
    finally:
        if not committed:
            connection.end(commit=False)
    return metrics


def cause_of(name: str) -> BaseException | None:
    """What the last call of a function raised, once."""
    return _causes.pop(name, None)


def interrupt(call: str, asked: int) -> None:
    """Ends a call from another thread: its statement is cancelled on the server, and its thread is interrupted."""
    found = _under_way.get(call)
    if found is None:
        return
    found.connection.cancel()
    # Once: what it does then, it does while it rolls back.
    if asked == 0:
        import ctypes

        thread, raised = ctypes.c_ulong(found.thread), ctypes.py_object(KeyboardInterrupt)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, raised)


@contextmanager
def _can_be_interrupted(call: str | None, connection: TransformConnection) -> Iterator[None]:
    if call is None:
        yield
        return
    _under_way[call] = _Call(connection)
    try:
        yield
    finally:
        del _under_way[call]


def _arguments(function: Callable[..., Any], connection: Connection, report: Mapping[str, Any] | None) -> list[Any]:
    # Few functions are asked, and importing inspect takes longer than all of this package.
    from inspect import signature

    takes = len(signature(function).parameters)
    if takes < 2:
        return [connection][:takes]
    if report is None:
        return [connection, None]
    from ..show.reports import RunReport

    return [connection, RunReport(report)]


def _metrics(name: str, returned: Any) -> dict[str, Any]:
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        raise SpecError(
            f"transform {name} returned a {type(returned).__name__}",
            code="invalid_value",
            hint="return nothing, or a dict of metrics",
        )
    try:
        found: dict[str, Any] = plain(returned)
    except SpecError as error:
        raise SpecError(
            f"transform {name} returned metrics that are no JSON: {error.message}",
            code="invalid_value",
            hint=error.hint,
        ) from None
    return found
