"""The package as a whole: what the docstrings say, and that stubs and modules agree."""

from __future__ import annotations

import ast
import doctest
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from docstrings import examples, needs_a_server, run_example
from fake_core import Core

import ematix_flow

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "python" / "ematix_flow"
MODULES = sorted(path.stem for path in PACKAGE.glob("*") if path.suffix == ".py" or path.is_dir())


@pytest.mark.parametrize("example", [it for it in examples() if not needs_a_server(it)], ids=lambda it: it.name)
def test_an_example_in_a_docstring_runs(example: doctest.DocTest, core: Core) -> None:
    assert run_example(example) == ""


def test_some_examples_are_there() -> None:
    counts = [sum(len(it.examples) for it in examples() if needs_a_server(it) is server) for server in (False, True)]
    assert counts[0] > 60 and counts[1] > 10


def documented() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name in ematix_flow.__all__:
        value = getattr(ematix_flow, name)
        if name == "__version__":
            continue
        kind = value if isinstance(value, type) or inspect.isfunction(value) else type(value)
        found.append((name, kind))
        if isinstance(kind, type):
            methods = [(key, item) for key, item in vars(kind).items() if not key.startswith("_")]
            for key, item in methods:
                item = item.__func__ if isinstance(item, staticmethod | classmethod) else item
                if inspect.isfunction(item) or isinstance(item, property):
                    found.append((f"{name}.{key}", item))
    return found


def test_everything_public_is_documented(core: Core) -> None:
    lacking = [name for name, item in documented() if not (item.__doc__ or "").strip()]
    assert lacking == []


def stubbed(path: Path) -> dict[str, ast.AST]:
    """Public names of a stub; what stands under `if MYPY:` is of mypy alone."""
    found: dict[str, ast.AST] = {}

    def walk(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.If):
                walk(node.orelse)
            elif isinstance(node, ast.ClassDef | ast.FunctionDef):
                found[node.name] = node

    walk(ast.parse(path.read_text(encoding="utf-8")).body)
    return found


def arguments(node: ast.FunctionDef) -> list[str]:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [argument.arg for argument in every] + ([node.args.vararg.arg] if node.args.vararg else [])


def test_the_stub_of_the_types_has_their_names_and_arguments() -> None:
    from ematix_flow import types

    found = stubbed(PACKAGE / "types.pyi")
    classes = {name for name, node in found.items() if isinstance(node, ast.ClassDef)}
    assert classes == set(types.__all__)
    for name in classes:
        node, cls = found[name], getattr(types, name)
        assert isinstance(node, ast.ClassDef)
        assert (ast.get_docstring(node) or "").split(":")[0].split(";")[0] == (cls.__doc__ or "").split(":")[0].split(
            ";"
        )[0]
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and not item.decorator_list:
                signature = inspect.signature(
                    inspect.getattr_static(cls, item.name).__func__
                    if item.name == "__class_getitem__"
                    else getattr(cls, item.name)
                )
                assert arguments(item) == list(signature.parameters), f"{name}.{item.name}"
        # What a type answers otherwise than ColumnType does is the same property to a checker.
        inherited = set(vars(types.ColumnType)) if cls is not types.ColumnType else set()
        own = {key for key, item in vars(cls).items() if not key.startswith("_") and isinstance(item, property)}
        own -= inherited
        assert own == {
            item.name
            for item in node.body
            if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and item.decorator_list
        }
    assert set(found) - classes == {"as_type"}


def test_the_fake_core_has_what_the_native_module_has(core: Core) -> None:
    for name, node in stubbed(PACKAGE / "_core.pyi").items():
        if name == "Run":
            from fake_core import Run

            ours: Any = Run
        else:
            ours = getattr(core, name)
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    method = "__init__" if item.name == "__new__" else item.name
                    assert (
                        len(inspect.signature(getattr(ours, method)).parameters) == len(arguments(item))
                        or name == "Run"
                    )
        elif isinstance(node, ast.FunctionDef):
            assert list(inspect.signature(ours).parameters) == arguments(node)


def test_no_module_hides_an_object_of_the_package() -> None:
    for name in MODULES:
        if name in ematix_flow.__all__:
            assert isinstance(getattr(ematix_flow, name), ModuleType), name
    assert not {"pipeline", "expect", "ematix"} & set(MODULES)


def test_normalize_has_every_marker_and_helper() -> None:
    from ematix_flow import normalize
    from ematix_flow.declare import helpers, markers

    made = {
        name
        for module in (markers, helpers)
        for name, item in vars(module).items()
        if inspect.isfunction(item) and item.__module__ == module.__name__ and not name.startswith("_")
    }
    assert made - {"check_chain"} == set(normalize.__all__)
    assert set(normalize.__all__) <= set(ematix_flow.__all__)
    assert all(getattr(normalize, name) is getattr(ematix_flow, name) for name in normalize.__all__)
