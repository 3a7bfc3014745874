"""Cron lines fire when `cronsim`, which does as Debian's cron, has them fire: many lines and zones, over changes of clocks."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim
from flow_binary import Flow
from project import Project

ZONES = {
    # With the months in which clocks change there: in either half of the world, by half an hour, for Ramadan, never.
    "UTC": "2,3",
    "Europe/Paris": "3,10",
    "America/New_York": "mar,nov",
    "Australia/Lord_Howe": "4,10",
    "Africa/Casablanca": "2-4",
    "Pacific/Apia": "*",
    "America/Sao_Paulo": "2,11",
    "Asia/Kathmandu": "*/5",
}
# Where clocks change by half an hour cronsim steps over a part of it: no wildcard jobs (a star in minute or hour) there.
BY_HALF_AN_HOUR = "Australia/Lord_Howe"
SLOTS = 40
LINES = 40


def minute(dice: random.Random) -> str:
    return dice.choice(["0", "30", "59", "0,30", "15-45/15", "*/20", "*/30", "5", "0-10/5,50", "*/45"])


def hour(dice: random.Random) -> str:
    return dice.choice(["0", "1", "2", "3", "1-3", "2,3", "0-23/2", "*/2", "23,0", "*", "2-23/7", "0-3"])


def days(dice: random.Random, months: str) -> str:
    """Day of month, month and day of week; most of them keep to the nights on which clocks change."""
    return dice.choice(
        [
            f"* {months} 0",
            f"* {months} sun",
            f"25-31 {months} *",
            f"1-7,25-31 {months} *",
            f"1-7 {months} 7",
            f"*/2 {months} SUN",
            f"28-31 {months} 6-7",
            "29 2 *",
            "29 feb 0",
            "31 * *",
            "* * mon-fri",
            "13 * 5",
            "1,15 */3 1-5/2",
            "* * *",
        ]
    )


def test_lines_fire_when_cron_has_them_fire(flow: Flow) -> None:
    dice = random.Random(14)
    project = Project()
    lines: dict[str, tuple[str, str]] = {}
    for zone, months in ZONES.items():
        for number in range(LINES):
            clock = f"{minute(dice)} {hour(dice)}"
            while zone == BY_HALF_AN_HOUR and "*" in clock:
                clock = f"{minute(dice)} {hour(dice)}"
            line = f"{clock} {days(dice, months)}"
            name = f"{zone} {number}"
            lines[name] = line, zone
            project.pipeline(name, "a.b", "c.d", "append", schedule=line, timezone=zone)
    flow.project(project.text())
    before = datetime.now(timezone.utc)
    listed = flow("list", "--next", str(SLOTS), "--output", "json").json()["pipelines"]
    after = datetime.now(timezone.utc)
    assert len(listed) == len(lines)
    wrong = []
    for item in listed:
        line, zone = lines[item["name"]]
        local = before.astimezone(timezone.utc if zone == "UTC" else ZoneInfo(zone))
        theirs = CronSim(line, local)
        expected = [next(theirs) for _ in range(SLOTS + 1)]
        # A slot may have passed while the answer was made.
        skip = 1 if expected[0] <= after and item["next_slots"][0] != expected[0].isoformat() else 0
        if item["next_slots"] != [slot.isoformat() for slot in expected[skip : SLOTS + skip]]:
            wrong.append((line, zone, item["next_slots"], [slot.isoformat() for slot in expected]))
    assert wrong == []
    offsets = {zone: {slot[-6:] for item in listed if lines[item["name"]][1] == zone for slot in item["next_slots"]}
               for zone in ZONES}  # fmt: skip
    assert [zone for zone, found in offsets.items() if len(found) > 1] == [
        "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca",
    ]  # fmt: skip
