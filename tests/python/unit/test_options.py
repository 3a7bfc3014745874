"""What Python says of options by hand is what the core's table says: every option, its type, its default."""

from __future__ import annotations

import ast
import copy
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_core import OPTIONS_RS
from fake_core import options as of_the_core

from ematix_flow.declare import options
from ematix_flow.declare.strategies import STRATEGIES

Table = dict[str, dict[str, Any]]
# Said by a loop, or as an argument of its own.
ELSEWHERE = options.NOT_IN_PYTHON | {"mode", "target_connection"}
# The kinds of the table as annotations.
TYPES: dict[str, Callable[[dict[str, Any]], str]] = {
    "truth": lambda _: "bool",
    "number": lambda _: "float",
    "whole": lambda _: "int",
    "text": lambda _: "str",
    "texts": lambda _: "Sequence[str]",
    "word": lambda option: f"Literal[{', '.join(map(repr, option['values']))}]",
    "length": lambda _: "Duration",
    "number_or_length": lambda _: "Duration | int",
    "names": lambda _: "Names",
    "expectations": lambda _: "Sequence[Expectation]",
    "name_or_off": lambda _: "str | Literal[False]",
    "helpers": lambda _: "Sequence[PreHelper]",
    "transforms": lambda _: "Sequence[PostTransform]",
    "notifications": lambda _: "Sequence[Notification]",
}


def table() -> Table:
    return {option["name"]: option for option in of_the_core()}


def typed() -> dict[str, dict[str, str]]:
    """The annotations of each TypedDict of options. They are there for checkers alone, so they are read as text."""
    tree = ast.parse(Path(options.__file__).read_text(encoding="utf-8"))
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {
        each.name: {
            line.target.id: ast.unparse(line.annotation)
            for line in each.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        }
        for each in classes
    }


def gaps(core: Table, classes: dict[str, dict[str, str]]) -> list[str]:
    """What the types lack of the table, have too much, or say otherwise."""
    load, schedule = classes["PipelineOptions"], classes["ScheduleOptions"]
    found = []
    for name, option in core.items():
        own, other = (schedule, load) if name in options.SCHEDULE else (load, schedule)
        if name in other or (name in own) == (name in ELSEWHERE):
            found.append(f"{name}: in the wrong place")
        elif name in own and option["supported"] and own[name] != TYPES[option["kind"]](option):
            found.append(f"{name}: {own[name]} is not {TYPES[option['kind']](option)}")
        if option["supported"] and (option["of"] == "schedule") != (name in options.SCHEDULE):
            found.append(f"{name}: of the schedule, or not")
        if option["supported"] and (option["kind"] == "length") != (name in options.DURATIONS):
            found.append(f"{name}: a length of time, or not")
        if option["supported"] and (option["kind"] in ("names", "texts")) != (name in options.NAMES):
            found.append(f"{name}: several names, or not")
    return [*found, *(f"{name}: there is none" for name in (load | schedule) if name not in core)]


def strategy_gaps(core: Table, signatures: dict[str, inspect.Signature]) -> list[str]:
    """What the arguments of the strategies' classes say otherwise than the table."""
    found = []
    for mode, signature in signatures.items():
        for name, argument in signature.parameters.items():
            option = core.get(name)
            if option is None:
                found.append(f"{mode}: {name}: there is none")
                continue
            default = list(argument.default) if isinstance(argument.default, tuple) else argument.default
            if default != option["default"]:
                found.append(f"{mode}: {name}: {default!r} is not {option['default']!r}")
            if not option["supported"]:
                continue
            if option["modes"] and mode not in option["modes"]:
                found.append(f"{mode}: {name} is for {', '.join(option['modes'])}")
            # A class may know better which words its mode takes.
            words = {*re.findall(r"'\w+'", TYPES[option["kind"]](option))}
            kind = argument.annotation.replace('"', "'").removesuffix(" | None")
            if kind != TYPES[option["kind"]](option) and not {*re.findall(r"'\w+'", kind)} < words:
                found.append(f"{mode}: {name}: {kind} is not {TYPES[option['kind']](option)}")
    return found


def signatures() -> dict[str, inspect.Signature]:
    return {mode: inspect.signature(strategy) for mode, strategy in STRATEGIES.items()}


def test_every_option_of_the_core_has_its_type_and_no_other_is_there() -> None:
    assert gaps(table(), typed()) == []
    assert {"keys", "handle_deletes", "lookback"} < typed()["PipelineOptions"].keys()
    assert {option["kind"] for option in table().values() if option["supported"]} <= TYPES.keys()


def test_the_classes_of_strategies_have_the_options_of_their_modes_with_their_defaults() -> None:
    assert strategy_gaps(table(), signatures()) == []
    for mode, strategy in STRATEGIES.items():
        said = {name: each.default for name, each in signatures()[mode].parameters.items()}
        assert strategy._defaults == {name: default for name, default in said.items() if default is not None}


def test_options_that_name_columns_of_the_target_are_those_of_the_core() -> None:
    names = {name: option["of"] for name, option in table().items() if option["kind"] == "names"}
    assert set(options.COLUMNS) == {name for name, of in names.items() if of == "columns"}


def test_modes_are_those_of_the_core() -> None:
    [mode] = [option for option in table().values() if option["name"] == "mode"]
    assert set(options.MODES) == set(mode["values"])
    assert set(STRATEGIES) == set(mode["values"]) - {"scd1"}


def test_words_of_other_tools_are_those_of_the_core() -> None:
    source = OPTIONS_RS.read_text(encoding="utf-8")
    for ours, name in ((options.FOREIGN_WORDS, "FOREIGN_WORDS"), (options.FOREIGN_MODES, "FOREIGN_MODES")):
        block = source.split(f"pub const {name}")[1].split("];")[0]
        theirs = dict(re.findall(r'\("([\w-]+)", "(\w+)"\)', block))
        # Python has an option `strategy`.
        theirs.pop("strategy", None)
        assert ours == theirs


# --- a gap is seen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        (lambda core, _: core.update(depth=core["owner"] | {"name": "depth"}), "depth: in the wrong place"),
        (lambda core, _: core.pop("keys"), "keys: there is none"),
        (lambda _, load: load.pop("keys"), "keys: in the wrong place"),
        (lambda _, load: load.update(keys="str"), "keys: str is not Names"),
        (
            lambda core, _: core["open_end"]["values"].append("never"),
            "open_end: Literal['null', 'infinity'] is not Literal['null', 'infinity', 'never']",
        ),
        (lambda core, _: core["owner"].update(of="schedule"), "owner: of the schedule, or not"),
        (
            lambda core, load: (core["owner"].update(kind="length"), load.update(owner="Duration")),
            "owner: a length of time, or not",
        ),
        (
            lambda core, load: (core["owner"].update(kind="names"), load.update(owner="Names")),
            "owner: several names, or not",
        ),
    ],
)
def test_a_gap_of_the_types_is_told(change: Callable[[Table, dict[str, str]], Any], gap: str) -> None:
    core, classes = copy.deepcopy(table()), typed()
    change(core, classes["PipelineOptions"])
    assert gaps(core, classes) == [gap]


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        (
            lambda core: core["current_flag"].update(default="current"),
            "scd2: current_flag: 'is_current' is not 'current'",
        ),
        (lambda core: core["replace_method"].update(modes=["merge"]), "truncate: replace_method is for merge"),
        (lambda core: core["deleted_flag"].update(kind="truth"), "merge: deleted_flag: str is not bool"),
        (lambda core: core.pop("batch_id_column"), "append: batch_id_column: there is none"),
    ],
)
def test_a_gap_of_a_strategy_is_told(change: Callable[[Table], Any], gap: str) -> None:
    core = copy.deepcopy(table())
    change(core)
    assert strategy_gaps(core, signatures()) == [gap]
