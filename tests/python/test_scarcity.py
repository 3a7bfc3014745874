"""What a server runs out of, and what is taken from a run that is under way: disk, connections, rights, its clock."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import server
from customers import SOURCE, current, project, source, statuses, wait_for_statement, wait_until
from database import Database
from flow_binary import Flow
from psycopg.conninfo import conninfo_to_dict

MODES = ["append", "truncate", "merge", "scd2"]
OPTIONS: dict[str, dict[str, Any]] = {
    "append": {"incremental_column": "revision"},
    "truncate": {},
    "merge": {"handle_deletes": "soft"},
    "scd2": {"handle_deletes": "soft"},
}
COLUMNS = "customer_id, name, revision"


def rows(database: Database) -> list[tuple[Any, ...]]:
    return database.rows("SELECT * FROM analytics.dim_customers AS t ORDER BY t::text")


def keys(mode: str) -> int:
    """How many keys the target has known after `grown`: one of twenty thousand is gone, and only a replacement forgets it."""
    return 19_999 if mode == "truncate" else 20_000


def grown(database: Database) -> None:
    database.execute("""
        INSERT INTO app.customers SELECT n, repeat(md5(n::text), 20), 1 FROM generate_series(11, 20000) AS n;
        UPDATE app.customers SET revision = 1 WHERE customer_id = 3;
        DELETE FROM app.customers WHERE customer_id = 5;
    """)


# --- disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_limit_of_temporary_files_ends_a_run_and_leaves_all_as_it_was(
    mode: str, database: Database, flow: Flow
) -> None:
    database.execute(SOURCE)
    # What is sorted goes to files, whatever the strategy.
    query = f"SELECT {COLUMNS} FROM app.customers ORDER BY name"
    config = flow.project(project(mode, query, **OPTIONS[mode]))
    flow("run", "customers", config=config)
    before = rows(database)
    grown(database)
    name = database.name
    database.execute(f"ALTER DATABASE {name} SET temp_file_limit = '64kB'; ALTER DATABASE {name} SET work_mem = '64kB'")
    report = flow("run", "customers", "--output", "json", config=config, expect=1).json()
    assert (report["status"], report["committed"]) == ("failed", False)
    assert "temp_file_limit" in report["error"]["message"]
    assert rows(database) == before
    assert statuses(database) == ["success", "failed"]
    database.execute(f"ALTER DATABASE {name} RESET temp_file_limit; ALTER DATABASE {name} RESET work_mem")
    report = flow("run", "customers", "--output", "json", config=config).json()
    assert report["status"] == "success"
    assert database.value("SELECT count(DISTINCT customer_id) FROM analytics.dim_customers") == keys(mode)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes, where one can be mounted."""
    # Below /tmp: the server's user cannot enter root's directories.
    directory = server.new_directory()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        directory.rmdir()
        pytest.skip("only root, outside of most containers, may mount a file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        directory.rmdir()


@pytest.mark.parametrize("mode", MODES)
def test_a_full_disk_ends_a_run_and_leaves_all_as_it_was(mode: str, database: Database, flow: Flow, tiny: Path) -> None:
    """The target lies on a file system that has no room for what is new."""
    account = server.server_account()
    place = tiny / "space"
    place.mkdir()
    if account:
        subprocess.run(["chown", account.name, place], check=True)
    space = f"space_{database.name}"
    database.execute(f"CREATE TABLESPACE {space} LOCATION '{place}'")
    database.execute(SOURCE)
    config = flow.project(project(mode, **OPTIONS[mode]))
    flow("run", "customers", config=config)
    database.execute(f"ALTER TABLE analytics.dim_customers SET TABLESPACE {space}")
    before = rows(database)
    grown(database)
    database.execute("UPDATE app.customers SET revision = 2 WHERE customer_id > 10")
    report = flow("run", "customers", "--output", "json", config=config, expect=1).json()
    assert (report["status"], report["committed"]) == ("failed", False)
    assert "No space left on device" in report["error"]["message"]
    assert rows(database) == before
    assert statuses(database) == ["success", "failed"]
    database.execute("ALTER TABLE analytics.dim_customers SET TABLESPACE pg_default")
    report = flow("run", "customers", "--output", "json", config=config).json()
    assert report["status"] == "success"
    assert database.value("SELECT count(DISTINCT customer_id) FROM analytics.dim_customers") == keys(mode)
    database.execute(f"DROP TABLESPACE {space}")


# --- connections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_with_however_few_connections_a_run_is_whole_or_says_why(
    mode: str, database: Database, flow: Flow, tcp_role: str
) -> None:
    database.execute(SOURCE)
    database.execute(f"""
        ALTER ROLE {tcp_role} NOSUPERUSER;
        GRANT CREATE ON DATABASE {database.name} TO {tcp_role};
        GRANT USAGE ON SCHEMA app TO {tcp_role};
        GRANT SELECT ON app.customers TO {tcp_role};
    """)
    config = flow.project(project(mode, **OPTIONS[mode]))
    env = {"EMATIX_FLOW_DSN": database.dsn_over_tcp(tcp_role, "right")}
    done = []
    for connections in range(4):
        database.execute(f"ALTER ROLE {tcp_role} CONNECTION LIMIT {connections}")
        finished = flow("run", "customers", "--output", "json", config=config, env=env, expect=(0, 6))
        report = finished.json()
        done.append(report["status"])
        if report["status"] == "success":
            assert database.rows(f"SELECT {COLUMNS} FROM analytics.dim_customers ORDER BY 1") == source(database)
        else:
            assert (report["error"]["code"], report["error"]["sqlstate"]) == ("connect_failed", "53300"), finished
            assert "raise max_connections" in report["error"]["hint"]
            assert database.value("SELECT to_regclass('analytics.dim_customers')") is None
    # Once there are enough there are.
    assert (done[0], done[-1], done) == ("failed", "success", sorted(done))


# --- rights -------------------------------------------------------------------------------------------------------

# The reading waits until the test lets it go on.
HELD = f"SELECT {COLUMNS} FROM app.customers WHERE customer_id <> 3 OR (SELECT pg_advisory_xact_lock_shared(7)) IS NOT NULL"


@pytest.fixture
def loader(database: Database, tcp_role: str) -> str:
    """A role that may do what a pipeline does, and no more."""
    database.execute(SOURCE)
    database.execute(f"""
        ALTER ROLE {tcp_role} NOSUPERUSER;
        GRANT CREATE ON DATABASE {database.name} TO {tcp_role};
        GRANT USAGE ON SCHEMA app TO {tcp_role};
        GRANT SELECT ON app.customers TO {tcp_role};
    """)
    return tcp_role


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("taken", ["analytics.dim_customers", "ematix_flow.targets", "ematix_flow.run_history"])
def test_a_role_that_loses_its_rights_midway_leaves_all_as_it_was(
    mode: str, taken: str, database: Database, flow: Flow, loader: str
) -> None:
    config = flow.project(project(mode, HELD, lease="1s", **OPTIONS[mode]))
    env = {"EMATIX_FLOW_DSN": database.dsn_over_tcp(loader, "right")}
    flow("run", "customers", config=config, env=env)
    # Whoever owns a table keeps what he takes from himself only as long as he likes.
    database.execute(f"ALTER TABLE {taken} OWNER TO postgres; GRANT ALL ON {taken} TO {loader}")
    before = rows(database)
    database.execute("UPDATE app.customers SET revision = 1; DELETE FROM app.customers WHERE customer_id = 5")
    with database.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(7)")
        running = flow.start("run", "customers", "--output", "json", config=config, env=env)
        wait_for_statement(database, "pg_advisory_xact_lock_shared")
        holder.execute(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {taken} FROM {loader}")
    finished = running.finish(1)
    report = finished.json()
    assert (report["status"], report["committed"]) == ("failed", False)
    assert report["error"]["code"] == "permission_denied", finished
    assert taken.split(".")[1] in finished.stdout
    assert rows(database) == before
    # Where the failure itself could not be written, the row says so once its lease is over.
    database.execute(f"GRANT ALL ON {taken} TO {loader}")
    wait_until(
        lambda: database.value(
            "SELECT coalesce(bool_and(lease_until < now()), true) FROM ematix_flow.run_history WHERE status = 'running'"
        ),
        "the lease is over",
    )
    flow("run", "customers", config=config, env=env)
    told = statuses(database)
    assert told == ["success", "lost" if taken.endswith("run_history") else "failed", "success"]
    if mode == "scd2":
        assert current(database) == source(database)


def test_the_hint_of_rights_that_were_lost_gives_them_back(database: Database, flow: Flow, loader: str) -> None:
    config = flow.project(project("merge"))
    env = {"EMATIX_FLOW_DSN": database.dsn_over_tcp(loader, "right")}
    flow("run", "customers", config=config, env=env)
    database.execute("ALTER TABLE analytics.dim_customers OWNER TO postgres")
    database.execute("UPDATE app.customers SET revision = 1")
    error = flow("run", "customers", "--output", "json", config=config, env=env, expect=1).json()["error"]
    assert error["code"] == "permission_denied"
    assert "GRANT" in error["hint"] and "dim_customers" in error["hint"]


# --- the clock ----------------------------------------------------------------------------------------------------

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Database, Path]]:
    """A server whose clock goes by a file, in which a test writes how far it is off."""
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern.removeprefix("/"))]
    if not found:
        pytest.fail("libfaketime is not installed: apt-get install faketime")
    directory = server.new_directory()
    said = server.new_directory() / "clock"
    said.parent.chmod(0o755)
    said.write_text("+0\n")
    said.chmod(0o644)
    moved = {"LD_PRELOAD": str(found[0]), "FAKETIME_TIMESTAMP_FILE": str(said), "FAKETIME_NO_CACHE": "1"}
    monkeypatch.setattr(server, "CLEAN_ENVIRONMENT", {**server.CLEAN_ENVIRONMENT, **moved, "DONT_FAKE_MONOTONIC": "1"})
    try:
        dsn = server.start(directory)
        made = Database({name: str(value) for name, value in conninfo_to_dict(dsn).items()})
        yield made, said
        made.close()
    finally:
        server.stop(directory)
        said.unlink()
        said.parent.rmdir()


@pytest.mark.long
def test_a_clock_that_jumps_either_way_leaves_no_gap_and_no_overlap(clock: tuple[Database, Path], flow: Flow) -> None:
    database, said = clock
    database.execute(SOURCE)
    flow.project(project(handle_deletes="soft"))
    flow.variables["EMATIX_FLOW_DSN"] = database.dsn
    turns = ["+0", "+400d", "-30d", "-29d", "+0", "+10y", "+1"]
    for revision, offset in enumerate(turns):
        said.write_text(f"{offset}\n")
        database.execute(f"UPDATE app.customers SET revision = {revision} WHERE customer_id % 2 = {revision} % 2")
        flow("run", "customers")
        assert current(database) == source(database)
    broken = """
        SELECT count(*) FROM (
            SELECT valid_from, valid_to, lag(valid_to) OVER w AS ended, lead(valid_from) OVER w AS next, is_current
              FROM analytics.dim_customers WINDOW w AS (PARTITION BY customer_id ORDER BY valid_from)
        ) AS v WHERE valid_from >= valid_to OR ended <> valid_from OR is_current <> (next IS NULL)
    """
    assert database.value(broken) == 0
    assert statuses(database) == ["success"] * len(turns)
    assert flow("check", "customers", expect=0).code == 0
