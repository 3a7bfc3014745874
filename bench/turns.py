"""Players in turns, by their seconds alone: what events, features, frames and others are measured with."""

from __future__ import annotations

import statistics
from collections.abc import Callable


def compare(title: str, rounds: int, players: dict[str, tuple[Callable[[], None], Callable[[], float]]]) -> None:
    """Alternates the players, each after its preparation, and prints medians and their ratios to the floor."""
    times: dict[str, list[float]] = {name: [] for name in players}
    for _ in range(rounds):
        for name, (prepare, play) in players.items():
            prepare()
            times[name].append(play())
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    line = f"{title:<34} floor {medians['floor']:7.2f} s"
    for name in list(players)[1:]:
        line += f"   {name} {medians[name]:7.2f} s   ratio {medians[name] / medians['floor']:5.2f}"
    print(line, flush=True)
