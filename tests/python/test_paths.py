"""Which path a run takes, proved between the two sessions; the reason in plan and report; the same rows on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import server
import standby as standbys
from across import Across, connect
from customers import wait_until
from database import Database
from flow_binary import Flow
from pooler import Pooler
from project import counts
from psycopg.conninfo import conninfo_to_dict

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customers (id bigint PRIMARY KEY, name text, revision bigint NOT NULL);
INSERT INTO app.customers SELECT n, 'customer ' || n, 0 FROM generate_series(1, 10) AS n;
"""
PROVED = "source crm and target warehouse are one database (proved)"
ANOTHER = "source crm is another database"
MODES = ["append", "truncate", "merge", "scd2"]


def project(mode: str = "scd2", source: str = "app.customers", **options: Any) -> Across:
    made = Across()
    made.table("t", {"id": "bigint", "name": "text?", "revision": "bigint"}, schema="dw")
    keys = {"keys": "id"} if mode in ("merge", "scd2") else {}
    made.pipeline("p", source, "t", mode, **keys, **options)
    return made


def path(made: Across, flow: Flow, *arguments: str) -> tuple[str, str]:
    """The path of a run and its reason, which plan and dry-run say too."""
    said = set()
    for command in ("dry-run", "run"):
        report = made.run(flow, "p", *arguments, command=command)["p"]
        said.add((report["path"], report["path_reason"]))
    assert len(said) == 1, said
    return said.pop()


def planned(made: Across, flow: Flow) -> tuple[str, str]:
    flow.project(made.text())
    [pipeline] = flow("plan", "p", "--output", "json").json()["pipelines"]
    return pipeline["path"], pipeline["path_reason"]


@pytest.fixture
def by_tcp(database: Database) -> Iterator[Callable[[str], str]]:
    """The test's database by the host's name or address."""
    role = f"tcp_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'right'")
    yield lambda host: database.dsn_over_tcp(role, "right").replace("127.0.0.1", host)
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_one_database_by_socket_and_by_network(
    host: str, database: Database, flow: Flow, by_tcp: Callable[[str], str]
) -> None:
    database.execute(SOURCE)
    for ends in ((by_tcp(host), database), (database, by_tcp(host)), (by_tcp(host), by_tcp("127.0.0.1"))):
        connect(flow, *ends)
        assert planned(project(), flow) == ("same_db", PROVED)
        assert path(project(), flow) == ("same_db", PROVED)


def test_one_database_through_a_pooler(database: Database, flow: Flow, pooler: Pooler) -> None:
    database.execute(SOURCE)
    for ends in ((pooler.dsn, database), (database, pooler.dsn), (pooler.dsn, pooler.dsn)):
        connect(flow, *ends)
        assert path(project(), flow) == ("same_db", PROVED)


def test_another_database_of_the_pooler_is_another_database(
    database: Database,
    new_database: Callable[[], Database],
    flow: Flow,
    pooler: Pooler,
) -> None:
    source = new_database()
    source.execute(SOURCE)
    connect(flow, pooler.dsn.replace(database.name, source.name), pooler.dsn)
    assert path(project(), flow) == ("staging", f"{ANOTHER}; staged: the table does not exist yet")
    source.execute("UPDATE app.customers SET revision = 1 WHERE id = 3")
    assert path(project(), flow)[0] == "client_diff"
    assert loaded(database) == rows(source)


def rows(source: Database) -> list[tuple[Any, ...]]:
    return source.rows("SELECT id, name, revision FROM app.customers ORDER BY id")


def loaded(target: Database) -> list[tuple[Any, ...]]:
    return target.rows("SELECT id, name, revision FROM dw.t WHERE is_current ORDER BY id")


# --- standbys and clones ------------------------------------------------------------------------------------------


class Cluster:
    """A server of the test's own, and copies of it."""

    def __init__(self, directory: Path) -> None:
        self.directories = [directory]
        self.database = Database({k: str(v) for k, v in conninfo_to_dict(server.start(directory)).items()})
        made = server.Server(directory, server.find_binaries(), server.server_account())
        self.server = server.with_copied_binaries(made)

    def copy(self, *, standby: bool) -> Database:
        """The same cluster, with the same system identifier: following the first, or on its own."""
        directory = server.new_directory()
        self.directories.append(directory)
        dsn = standbys.copy(directory, self.database.parameters, self.server, follows=standby)
        return Database({k: str(v) for k, v in conninfo_to_dict(dsn).items()})

    def stop(self) -> None:
        for directory in reversed(self.directories):
            server.stop(directory)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(server.new_directory())
    try:
        made.database.execute(SOURCE)
        yield made
    finally:
        made.database.close()
        made.stop()


def test_a_standby_is_another_database_than_its_primary(cluster: Cluster, flow: Flow) -> None:
    primary, standby = cluster.database, cluster.copy(standby=True)
    connect(flow, standby, primary)
    assert path(project(), flow) == ("staging", f"{ANOTHER}; staged: the table does not exist yet")
    primary.execute("UPDATE app.customers SET revision = 1 WHERE id <= 3; DELETE FROM app.customers WHERE id = 9")
    catch_up(standby, primary)
    deleting = project(handle_deletes="soft")
    report = deleting.run(flow)["p"]
    assert report["path"] == "client_diff"
    assert counts(report) == {"in": 9, "inserted": 3, "unchanged": 6, "closed_out": 4, "deleted": 1}
    assert loaded(primary) == rows(primary)
    forced = flow("run", "p", "--force-path", "same_db", "--output", "json", expect=2).json()["error"]
    assert forced["code"] == "path_impossible"
    standby.close()


def catch_up(standby: Database, primary: Database) -> None:
    [(written,)] = primary.rows("SELECT pg_current_wal_insert_lsn()::text")
    wait_until(
        lambda: standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]), "the standby has caught up"
    )


def test_a_standby_is_no_target(cluster: Cluster, flow: Flow) -> None:
    standby = cluster.copy(standby=True)
    connect(flow, cluster.database, standby)
    flow.project(project().text())
    for command in ("run", "dry-run"):
        finished = flow(command, "p", "--output", "json", expect=1)
        error = finished.json()["error"]
        assert error["message"] == "the target is a standby, which takes no writes", finished
        assert "target_session_attrs" in error["hint"]
    # Also where the primary knows the metadata already.
    connect(flow, cluster.database, cluster.database)
    flow("run", "p")
    catch_up(standby, cluster.database)
    connect(flow, cluster.database, standby)
    assert "is a standby" in flow("run", "p", expect=1).stderr
    flow("plan", "p")
    flow("status")
    standby.close()


def test_a_clone_is_another_database_in_both_directions(cluster: Cluster, flow: Flow) -> None:
    original, clone = cluster.database, cluster.copy(standby=False)
    identifier = "SELECT system_identifier FROM pg_control_system()"
    assert original.value(identifier) == clone.value(identifier)
    clone.execute("UPDATE app.customers SET name = 'of the clone'")
    for source, target in ((clone, original), (original, clone)):
        connect(flow, source, target)
        assert path(project(), flow)[0] == "staging"
        assert loaded(target) == rows(source)
    clone.close()


# --- the path that is wished for ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_every_path_gives_the_same_rows_and_counts(
    mode: str, database: Database, new_database: Callable[[], Database], flow: Flow
) -> None:
    """Also that a dry-run counts what the run counts, and leaves nothing, on every path."""
    paths = ["same_db", "staging", *(["client_diff"] if mode == "scd2" else [])]
    found: dict[str, list[Any]] = {}
    for each in paths:
        target = new_database()
        source = target if each == "same_db" else new_database()
        source.execute(SOURCE)
        connect(flow, source, target)
        deletes = {"handle_deletes": "soft"} if mode in ("merge", "scd2") else {}
        made = project(mode, **deletes)
        found[each] = []
        for change in ("SELECT 1", "UPDATE app.customers SET revision = 1 WHERE id <= 3", "SELECT 1"):
            source.execute(f"{change}; DELETE FROM app.customers WHERE id = 9")
            exists = target.value("SELECT to_regclass('dw.t') IS NOT NULL")
            wish = ["--force-path", "staging" if each == "client_diff" and not exists else each]
            before = left(target)
            dry = made.run(flow, "p", *wish, command="dry-run")["p"]
            assert left(target) == before
            report = made.run(flow, "p", *wish)["p"]
            assert counts(dry) == counts(report)
            assert (dry["path"], report["path"]) == (wish[1], wish[1])
            content = target.rows("SELECT id, name, revision FROM dw.t ORDER BY 1, 2, 3")
            found[each].append((counts(report), content))
    assert [found[each] == found["same_db"] for each in paths] == [True] * len(paths), found


def left(target: Database) -> list[Any]:
    """All that a dry-run could leave."""
    relations = target.rows(
        "SELECT oid::regclass::text, relnatts FROM pg_class WHERE relnamespace::regnamespace::text IN ('dw', 'ematix_flow')"
        " ORDER BY 1"
    )
    return [
        relations,
        target.rows("SELECT nspname FROM pg_namespace ORDER BY 1"),
        *(
            target.rows(f"SELECT * FROM {name} ORDER BY 1, 2")
            for name, _ in relations
            if name in ("dw.t", "ematix_flow.run_history", "ematix_flow.targets")
        ),
    ]


def test_a_wish_that_is_honoured_says_so(database: Database, new_database: Callable[[], Database], flow: Flow) -> None:
    database.execute(SOURCE)
    connect(flow, database, database)
    assert path(project(force_path="staging"), flow) == ("staging", 'force_path = "staging"')
    assert path(project(force_path="same_db"), flow) == ("same_db", PROVED)
    taken = path(project(force_path="client_diff"), flow)
    assert taken[0] == "client_diff" and taken[1].startswith('force_path = "client_diff"')
    assert planned(project(force_path="client_diff"), flow) == taken


def test_a_preview_says_that_it_assumes_the_path(flow: Flow, database: Database) -> None:
    connect(flow, database, database)
    flow.project(project().text())
    [pipeline] = flow("preview", "p", "--output", "json").json()["pipelines"]
    assert "assumed" in pipeline["path_reason"]
