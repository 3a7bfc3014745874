"""How often a run asks the server: what a load costs beyond its statements, wherever the server stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from customers import SOURCE, project
from database import Database
from flow_binary import Flow
from psycopg.conninfo import conninfo_to_dict
from relay import Relay, relay
from server import url

# How far away the server is: long enough that a client which does not wait has sent everything by then.
DISTANCE = 0.02


def round_trips(between: Relay) -> list[str]:
    """What is sent and waited for, on every connection, once its session stands: texts of statements, or what ends with a
    Sync, and those together that are sent in one go."""
    turns = [list(_asked(bytes(turn))) for turn in between.turns]
    return [" + ".join(asked) for asked in turns if asked]


def _asked(sent: bytes) -> Iterator[str]:
    # The first message of a session alone has no letter in front.
    place, prepared = int.from_bytes(sent[:4], "big") if sent[0] == 0 else 0, ""
    while place < len(sent):
        kind, size = sent[place : place + 1], int.from_bytes(sent[place + 1 : place + 5], "big")
        text = sent[place + 5 : place + 1 + size].split(b"\0")
        if kind == b"Q":
            yield text[0].decode()
        elif kind == b"P":
            prepared = text[1].decode()
        elif kind == b"S":
            yield f"prepared: {prepared}"
        place += 1 + size


# How many there are today; scd2 opens new versions by a statement that a merge leaves out. Whoever saves one lowers it.
AT_MOST = {"a table": 13, "a query in place": 15, "a query that is staged": 16}


@pytest.mark.parametrize("source", AT_MOST)
@pytest.mark.parametrize("mode", ["merge", "scd2"])
def test_a_run_of_an_empty_source_asks_no_more_questions_than_it_did(
    mode: str, source: str, database: Database, tcp_role: str, flow: Flow
) -> None:
    database.execute(SOURCE)
    database.execute("TRUNCATE app.customers")
    condition = {"a query in place": " WHERE revision > 0", "a query that is staged": " ORDER BY revision"}.get(source)
    options = {"query": f"SELECT * FROM app.customers{condition}"} if condition else {}
    config = flow.project(project(mode, **options))
    parameters = conninfo_to_dict(database.dsn_over_tcp(tcp_role, "right"))
    flow("run", "customers", config=config)
    with relay(int(parameters["port"]), distance=DISTANCE) as between:
        flow.variables["EMATIX_FLOW_DSN"] = url({**parameters, "port": str(between.port), "sslmode": "disable"})
        report = flow("run", "customers", "--output", "json", config=config).json()
    assert report["rows_in"] == 0
    asked = round_trips(between)
    shown = "\n".join(f"{n} {each[:200]!r}" for n, each in enumerate(asked, 1))
    assert len(asked) <= AT_MOST[source] + (mode == "scd2"), shown
