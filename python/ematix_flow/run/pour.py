"""Rows of frames for another process: sent by a pipe as often as it wishes them."""

from __future__ import annotations

import json
import os
import threading

from ..declare.source import Source
from .modules import told


class NobodyReads(Exception):
    """Whoever wished the rows is gone."""


RAISED = "the function of `{name}` raised an exception"


def at_each_wish(source: Source, pipeline: str, wishes: threading.Semaphore, file: int) -> None:
    """Sends the rows of a frame for each wish; whoever wishes none any more ends this process.

    An exception of the user's is told there, after its traceback here.
    """
    from .._core import Pipe

    def write(data: bytes) -> None:
        # Nothing stays in a buffer: where nobody reads any more, this process could not end.
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(file, rest) :]
            except BrokenPipeError:
                raise NobodyReads from None

    pipe = Pipe(write)
    while wishes.acquire():
        try:
            pipe.pour(source.frame)
        except NobodyReads:
            return
        except Exception as error:  # noqa: BLE001  (whatever the user's function raises)
            pipe.fail(json.dumps(told(error, message=RAISED.format(name=pipeline)), ensure_ascii=False))
