"""A streaming standby of the test server, from which `--from-standby` lets the source of every `Across` be read."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import server
from psycopg.conninfo import conninfo_to_dict

# The variable that holds the standby's DSN.
STANDBY = "EMATIX_FLOW_TEST_STANDBY"
PATIENCE_SECONDS = 30


def start(directory: Path, primary: dict[str, str], made: server.Server) -> str:
    """Copies the cluster of `primary` into `directory`, and follows it; the DSN of its superuser."""
    return copy(directory, primary, made, follows=True)


def copy(directory: Path, primary: dict[str, str], made: server.Server, *, follows: bool) -> str:
    """The same cluster, with the same system identifier: following the first, or on its own."""
    copied = server.Server(directory, made.binaries, made.account)
    for each in (directory, copied.sockets):
        copied.make_directory(each)
    made.must(
        "pg_basebackup", "-h", primary["host"], "-p", primary["port"], "-U", "postgres", "-D", copied.data,
        "-X", "stream", "-c", "fast", "--no-sync", *(["-R"] if follows else []),
    )  # fmt: skip
    with (copied.data / "postgresql.auto.conf").open("a") as file:
        file.write("hot_standby_feedback = on\n")
    return copied.start()


def is_for(parameters: dict[str, str]) -> bool:
    """Whether there is a standby, and the database is one of the server that it follows."""
    followed = conninfo_to_dict(os.environ["EMATIX_FLOW_TEST_DSN"]) if os.environ.get(STANDBY) else {}
    return bool(followed) and all(parameters[each] == str(followed[each]) for each in ("host", "port"))


def instead_of(parameters: dict[str, str]) -> dict[str, str]:
    """Where a database of the test server is read: on its standby."""
    standby = conninfo_to_dict(os.environ[STANDBY])
    return {**parameters, **{name: str(standby[name]) for name in ("host", "port")}}


def wait_until_it_has_followed() -> None:
    """Until the standby, if there is one, has what the test server has written."""
    if not (dsn := os.environ.get(STANDBY)):
        return
    with (
        psycopg.connect(os.environ["EMATIX_FLOW_TEST_DSN"], autocommit=True) as primary,
        psycopg.connect(dsn, autocommit=True) as following,
    ):
        # What is written asynchronously is not sent before it is flushed.
        row = primary.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        primary.execute("SET synchronous_commit = on")
        primary.execute("SELECT pg_logical_emit_message(true, 'followed', '')")
        for _ in range(PATIENCE_SECONDS * 100):
            found = following.execute(
                "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn, pg_sleep(0.01)", row[:1]
            ).fetchone()
            if found and found[0]:
                return
    raise AssertionError(f"the standby has not followed within {PATIENCE_SECONDS} s")
