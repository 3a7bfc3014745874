"""What happens to tasks of Spark: functions that its executors import. Each says in a table that it was there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg

import ematix_flow.spark

ANSWER = ematix_flow.spark._answer
# Longer than Spark lets a task be slow.
SLOW_SECONDS = 60


def note(dsn: str, word: str) -> tuple[int, int]:
    """Enters partition and attempt of this task."""
    from pyspark import TaskContext

    task = TaskContext.get()
    assert task is not None
    found = (task.partitionId(), task.attemptNumber())
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO noted VALUES (%s, %s, %s)", (word, *found))
    return found


def fails_once(dsn: str) -> Any:
    """What gives the rows on as they are; the first attempt of partition 1 fails in the middle of them."""

    def pass_on(batches: Iterator[Any]) -> Iterator[Any]:
        failing = note(dsn, "read") == (1, 0)
        for number, batch in enumerate(batches):
            if failing and number:
                raise RuntimeError("a disk broke")
            yield batch

    return pass_on


def goes_on(dsn: str, receipt: object) -> Any:
    """Instead of an answer: it is noted, and given."""
    note(dsn, "committed")
    return ANSWER(receipt)


def dies(dsn: str, receipt: object) -> Any:
    """Instead of an answer: the process of the first attempt of partition 1 dies when its rows are committed."""
    if note(dsn, "committed") == (1, 0):
        os._exit(1)
    return ANSWER(receipt)


def dallies(dsn: str, receipt: object) -> Any:
    """Instead of an answer: the first attempt of partition 3 takes its time when its rows are committed, and another one
    waits for it to be so far."""
    partition, attempt = note(dsn, "committed")
    if (partition, attempt) == (3, 0):
        time.sleep(SLOW_SECONDS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        seen = "SELECT FROM noted WHERE word = 'committed' AND part = %s AND attempt = 0"
        while connection.execute(seen, (partition,)).fetchone() is None:
            time.sleep(0.05)
    return ANSWER(receipt)


def instead(function: Any, dsn: str) -> Any:
    """What is to take the place of `ematix_flow.spark._answer`."""
    return partial(function, dsn)
