"""Chance that falls the same way on every machine and every Python. Reads no clock."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Chance built on `random()` alone.

    It is the one method whose sequence Python promises to keep between versions:
    https://docs.python.org/3/library/random.html#notes-on-reproducibility
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def one_in(self, count: int) -> bool:
        return self.below(count) == 0

    def pick(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def pick_weighted(self, values: Sequence[tuple[int, T]]) -> T:
        left = self.below(sum(weight for weight, _ in values))
        for weight, value in values:
            left -= weight
            if left < 0:
                return value
        raise AssertionError("the weights add up to the limit of the draw")

    def take(self, values: Sequence[T], count: int) -> list[T]:
        rest = list(values)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]

    def moment(self, start: datetime, end: datetime) -> datetime:
        return start + timedelta(seconds=self.below(int((end - start).total_seconds())))

    def moment_of_a_growing_shop(self, start: datetime, end: datetime) -> datetime:
        return max(self.moment(start, end), self.moment(start, end))
