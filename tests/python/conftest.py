"""The harness: one Postgres server a session, one database a test, the real binary.

The server is EMATIX_FLOW_TEST_DSN (a superuser's DSN), else one that this session makes from local binaries. It is
made by the process that starts the workers (pytest-xdist), so all of them share it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pooler as poolers
import pytest
import standby as standbys
from database import POOLER, Database, admin_parameters, drop_template, temporary_database
from empty_root import EmptyRoot
from flow_binary import Flow, flow_binary
from pooler import POOL_SIZE, Pooler
from server import ServerError, new_directory, running_in, start, stop
from tls_server import ROOT, TlsServer, tls_server

_own_server: Path | None = None
_pooler: Pooler | None = None
_standby: Path | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-scenarios",
        action="store_true",
        default=os.environ.get("EMATIX_FLOW_UPDATE_SCENARIOS", "") not in ("", "0"),
        help="rewrite the expected sections of tests/scenarios/*.flow with what happened"
        " (also EMATIX_FLOW_UPDATE_SCENARIOS=1)",
    )
    parser.addoption(
        "--behind-pooler",
        action="store_true",
        help="`flow` reaches the test server through PgBouncer in transaction mode, but where a test says otherwise",
    )
    parser.addoption(
        "--from-standby",
        action="store_true",
        help="a standby of the test server is read where a test has a source of its own beside the target",
    )


def pytest_configure(config: pytest.Config) -> None:
    global _own_server, _pooler, _standby
    is_worker = hasattr(config, "workerinput")
    if is_worker or config.option.collectonly:
        return
    # Workers inherit the environment.
    try:
        if not os.environ.get("EMATIX_FLOW_TEST_DSN"):
            _own_server = new_directory()
            os.environ["EMATIX_FLOW_TEST_DSN"] = start(_own_server)
        if config.option.behind_pooler:
            _pooler = poolers.start(admin_parameters(), pool_size=10)
            os.environ[POOLER] = _pooler.dsn
        if config.option.from_standby:
            _standby = new_directory()
            primary = admin_parameters()
            os.environ[standbys.STANDBY] = standbys.start(_standby, primary, running_in(Path(primary["host"]).parent))
    except ServerError as error:
        raise pytest.UsageError(str(error)) from None


# Last, when those that do not run are taken out.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take long begin first, so that none of them is left alone at the end; those of the clock get a second
    chance, which no other test has: what fails by chance elsewhere is a fault."""
    items[:] = long_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    for item in items:
        if item.get_closest_marker("clock"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def long_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """`--dist worksteal` gives each worker one piece of the list: each piece begins with its part of the long ones."""
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        room = (len(items) - len(ordered)) // (workers - worker)
        # Neighbours stay together: some share what the first of them makes.
        part = long[worker * len(long) // workers : (worker + 1) * len(long) // workers]
        ordered += part + others[: max(room - len(part), 0)]
        del others[: max(room - len(part), 0)]
    return ordered + others


def pytest_unconfigure() -> None:
    drop_template()
    if _standby is not None:
        os.environ.pop(standbys.STANDBY, None)
        stop(_standby)
    if _pooler is not None:
        os.environ.pop(POOLER, None)
        _pooler.stop()
    if _own_server is not None:
        os.environ.pop("EMATIX_FLOW_TEST_DSN", None)
        stop(_own_server)


@pytest.fixture
def new_database() -> Iterator[Callable[[], Database]]:
    """Makes as many databases as a test asks for, all on one server."""
    with ExitStack() as databases:
        yield lambda: databases.enter_context(temporary_database())


@pytest.fixture
def database(new_database: Callable[[], Database]) -> Database:
    """The test's database: `.dsn`, `.connect()`, `.execute(sql)`, `.rows(sql)`, `.value(sql)`."""
    return new_database()


@pytest.fixture
def tcp_role(database: Database) -> Iterator[str]:
    """A superuser that comes by TCP with the password `right`: see `Database.dsn_over_tcp`."""
    name = f"tcp_{database.name}"
    database.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'right'")
    yield name
    database.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.fixture
def flow(database: Database, tmp_path: Path) -> Iterator[Flow]:
    """`flow("run", "customers", expect=0)`: the binary, with the test's database as connection `default`."""
    binary = flow_binary()
    if not binary.exists():
        pytest.fail(f"{binary} does not exist: run `cargo build --workspace --bin flow`, or set EMATIX_FLOW_BIN")
    runner = Flow(binary, tmp_path, {"EMATIX_FLOW_DSN": database.dsn})
    yield runner
    runner.stop_all()


@pytest.fixture
def pooler(database: Database) -> Iterator[Pooler]:
    """A PgBouncer of the test's own, with few sessions for its database."""
    made = poolers.start(database.parameters, POOL_SIZE)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def tls() -> Iterator[TlsServer]:
    """A server with TLS; each test says which certificate it is to show."""
    with tls_server() as server:
        if server is None:
            pytest.skip("no Postgres of this machine was built with TLS: apt-get install postgresql")
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The certificate of the authority that the tests trust, as a file."""
    return ROOT.write(tmp_path / "root.crt")


@pytest.fixture
def empty_root() -> Iterator[EmptyRoot]:
    """A root with the static binary and nothing else."""
    # Below /tmp: pytest's own directories are closed to others, and the binary runs as another user.
    directory = new_directory()
    directory.chmod(0o755)
    try:
        yield EmptyRoot.make(directory / "root")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
