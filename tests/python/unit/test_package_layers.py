"""The package is built in layers: the map in its docstring says which module may import which, and this holds it to it.

Every import counts: in a function, under TYPE_CHECKING, in a stub.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "python" / "ematix_flow"
# The layer of the modules that lie beside the layers' folders, after all of them.
FACADE = "façade"


def order_of(package: Path) -> list[str]:
    """The modules in the order of the map; a layer's own `__init__` comes after its modules, the package's last."""
    module = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(module, clean=False) or ""
    block = next(part for part in text.split("\n\n") if part.startswith("    _core"))
    layers: dict[str, list[str]] = {}
    for line in block.splitlines():
        first, *names = line.split()
        if line.startswith("     "):
            layers[next(reversed(layers))] += [first, *names]
        elif first == FACADE or (package / first).is_dir():
            layers[first] = names
        else:
            layers[line] = [first, *names]
    found: list[str] = []
    for layer, names in layers.items():
        inside = (package / layer).is_dir()
        found += [f"{layer}.{name}" if inside else name for name in names] + [layer] * inside
    return [*found, ""]


def modules_of(package: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pyi")]):
        yield ".".join(path.relative_to(package).with_suffix("").parts).removesuffix("__init__").removesuffix("."), path


def imports_of(name: str, path: Path, known: set[str]) -> Iterator[tuple[int, str]]:
    """The package's own modules that a file imports, each with its line; `""` is the package itself."""
    folder = name.split(".") if path.stem == "__init__" and name else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "ematix_flow":
                    yield node.lineno, alias.name.partition(".")[2]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                parts = folder[: len(folder) - node.level + 1] + (node.module.split(".") if node.module else [])
            elif (node.module or "").partition(".")[0] == "ematix_flow":
                parts = (node.module or "").split(".")[1:]
            else:
                continue
            for alias in node.names:
                module = ".".join([*parts, alias.name])
                yield node.lineno, module if module in known else ".".join(parts)


def breaches(package: Path) -> list[str]:
    """What breaks the order: a module that the map does not have, and an import of what does not lie before."""
    order = order_of(package)
    paths = dict(modules_of(package))
    rank = {name: at for at, name in enumerate(order)}
    found = [f"{name} is not in the map" for name in sorted(set(paths) - set(rank))]
    found += [f"the map has {name}, which is not there" for name in order if name not in paths]
    for name, path in paths.items():
        for line, imported in imports_of(name, path, set(paths)):
            if rank.get(imported, -1) >= rank.get(name, len(rank)):
                found.append(
                    f"{path.relative_to(package)}:{line} imports {imported or 'the package'}, which lies above"
                )
    return found


def test_every_import_goes_down() -> None:
    assert breaches(PACKAGE) == []


def circles(package: Path) -> list[list[str]]:
    """The groups of modules that reach each other, whatever a map says."""
    paths = dict(modules_of(package))
    reached = {name: {imported for _, imported in imports_of(name, path, set(paths))} for name, path in paths.items()}
    for through in paths:
        for name in paths:
            if through in reached[name]:
                reached[name] |= reached[through]
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in paths}
    return sorted(sorted(group) for group in groups if group)


def test_there_is_no_circle() -> None:
    assert circles(PACKAGE) == []


def test_no_file_is_too_long_for_a_head() -> None:
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text("utf-8").splitlines()) for _, path in modules_of(PACKAGE)
    }
    assert [name for name, length in lengths.items() if length > 500] == []


MAP = '''"""A package.

    _core
    ground  errors names
    run     engine
    façade  cli
"""
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that keeps to its map."""
    sources = {
        "__init__.py": MAP + "from .ground.errors import Wrong\n",
        "_core.pyi": "",
        "ground/__init__.py": "",
        "ground/errors.py": "class Wrong(Exception): ...\n",
        "ground/names.py": "from .errors import Wrong\nfrom . import errors\n",
        "run/__init__.py": "from . import engine\n",
        "run/engine.py": "from .._core import x\nfrom ..ground import names\nfrom ematix_flow.ground.errors import Wrong\n",
        "cli.py": "import ematix_flow.run.engine\n",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    return tmp_path


def test_a_package_that_keeps_to_its_map_passes(package: Path) -> None:
    assert (breaches(package), circles(package)) == ([], [])


@pytest.mark.parametrize(
    ("file", "source", "told"),
    [
        ("ground/errors.py", "from ..run import engine\n", "ground/errors.py:1 imports run.engine, which lies above"),
        ("ground/errors.py", "from ..run.engine import x\n", "ground/errors.py:1 imports run.engine, which lies above"),
        ("ground/errors.py", "from . import names\n", "ground/errors.py:1 imports ground.names, which lies above"),
        ("run/engine.py", "from .. import Wrong\n", "run/engine.py:1 imports the package, which lies above"),
        ("run/engine.py", "from ..cli import x\n", "run/engine.py:1 imports cli, which lies above"),
        ("run/engine.py", "import ematix_flow.cli as x\n", "run/engine.py:1 imports cli, which lies above"),
        ("run/engine.py", "from ematix_flow import cli\n", "run/engine.py:1 imports cli, which lies above"),
        ("run/engine.py", "def f():\n    from ..cli import x\n", "run/engine.py:2 imports cli, which lies above"),
        (
            "run/engine.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli import x\n",
            "run/engine.py:3 imports cli, which lies above",
        ),
        ("_core.pyi", "from .cli import x\n", "_core.pyi:1 imports cli, which lies above"),
        ("run/new.py", "", "run.new is not in the map"),
    ],
)
def test_an_import_that_goes_up_is_told(package: Path, file: str, source: str, told: str) -> None:
    (package / file).write_text(source, encoding="utf-8")
    assert breaches(package) == [told]


def test_a_circle_is_told(package: Path) -> None:
    (package / "ground" / "errors.py").write_text("def f():\n    from .names import x\n", encoding="utf-8")
    assert circles(package) == [["ground.errors", "ground.names"]]


def test_a_module_of_the_map_that_is_gone_is_told(package: Path) -> None:
    (package / "cli.py").unlink()
    assert breaches(package) == ["the map has cli, which is not there"]
