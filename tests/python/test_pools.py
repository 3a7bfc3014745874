"""A command that runs several pipelines uses its sessions again; what may still hold something is not used again."""

from __future__ import annotations

import json
from collections.abc import Callable

from customers import wait_until
from database import Database
from flow_binary import Flow

# Source and target are one connection, so the load's own session reads.
WHO = (
    "SELECT pg_backend_pid() AS pid, current_setting('application_name') AS name, current_setting('work_mem') AS memory"
)


def pipelines(names: str, query: str = WHO) -> str:
    return "".join(
        f'[pipelines.{name}]\nsource = {{ query = "{query}" }}\ntarget = "public.{name}"\nmode = "append"\n'
        for name in names
    )


def test_pipelines_of_one_command_share_their_sessions(flow: Flow, database: Database) -> None:
    flow("run", "--all", config=pipelines("abcd"))
    rows = [database.rows(f"SELECT pid, name, memory FROM public.{name}")[0] for name in "abcd"]
    assert len({pid for pid, _, _ in rows}) == 1
    # Each is seen under its own name, and none finds what another has set.
    names = [name.split()[1] for _, name, _ in rows]
    assert names == ["a", "b", "c", "d"]
    assert len({memory for _, _, memory in rows}) == 1
    # It has said good-bye, which the server hears when it gets to it.
    left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'ematix-flow%'"
    wait_until(lambda: database.value(left) == 0, "no session is left")


def test_a_session_in_which_something_failed_is_not_used_again(flow: Flow, database: Database) -> None:
    failing = pipelines("f", "SELECT 1 / 0 AS id")
    flow("run", "--all", config=pipelines("ab") + failing + pipelines("cd"), expect=1)
    pids = [database.value(f"SELECT pid FROM public.{name}") for name in "abcd"]
    assert pids[0] == pids[1]
    assert pids[1] != pids[2]
    assert pids[2] == pids[3]
    assert database.rows("SELECT status, count(*) FROM ematix_flow.run_history GROUP BY 1 ORDER BY 1") == [
        ("failed", 1),
        ("success", 4),
    ]


def test_a_session_that_the_server_has_ended_is_replaced(flow: Flow, database: Database) -> None:
    # The second pipeline ends the idle sessions of the command: that of the history is one of them.
    end = "SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '% history %'"
    config = pipelines("a") + pipelines("k", end + " AND state = 'idle' AND pid <> pg_backend_pid()") + pipelines("bc")
    flow("run", "--all", config=config, expect={0, 1})
    assert database.rows(
        "SELECT count(*) FROM ematix_flow.run_history WHERE status = 'success' AND target <> 'public.k'"
    ) == [(3,)]


def test_run_due_shares_its_sessions(flow: Flow, database: Database) -> None:
    config = pipelines("abc").replace(
        'mode = "append"\n', 'mode = "append"\nschedule = "* * * * *"\nfirst_run = "now"\n'
    )
    flow("run-due", config=config)
    pids = {database.value(f"SELECT pid FROM public.{name}") for name in "abc"}
    assert len(pids) == 1


def test_a_session_that_an_error_left_in_a_transaction_is_not_used_again(
    flow: Flow, new_database: Callable[[], Database]
) -> None:
    shop, warehouse = new_database(), new_database()
    # The first reads from the shop, sees that it is not the warehouse, and ends; the second loads within the shop.
    config = """
    [connections]
    shop = { dsn = "${env:SHOP}" }
    warehouse = { dsn = "${env:WAREHOUSE}" }
    [pipelines.a]
    source = { connection = "shop", query = "SELECT 1 AS id" }
    target = "public.a"
    target_connection = "warehouse"
    mode = "append"
    force_path = "same_db"
    [pipelines.b]
    source = { connection = "shop", query = "SELECT 1 AS id" }
    target = "public.b"
    target_connection = "shop"
    mode = "append"
    """
    places: dict[str, str | None] = {"SHOP": shop.dsn, "WAREHOUSE": warehouse.dsn}
    done = flow("run", "--all", "--output", "ndjson", config=config, expect={1, 2}, env=places)
    first, second = (json.loads(line) for line in done.stdout.splitlines()[:2])
    assert first["error"]["code"] == "path_impossible"
    assert second["status"] == "success", second
    assert shop.value("SELECT count(*) FROM public.b") == 1
