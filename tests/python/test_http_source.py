"""JSON over HTTP as a source, asked by the real binary of a real server: pages, patience, who asks, what nobody may read."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from api import Answer, Api, Request, api
from database import Database
from flow_binary import Flow

pytestmark = pytest.mark.clock

TABLE = """
[tables.issues]
schema = "shop"
primary_key = ["id"]
columns = { id = "bigint", title = "text?", weight = "numeric?", seen = "timestamptz?" }
"""
EXACT = "123456789012345678901234567890.5"
LOADED = "SELECT id, title FROM shop.issues ORDER BY id"


def rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": id, "title": f"t{id}", "seen": f"2026-01-{id:02}T00:00:00Z"} for id in ids]


def loaded(*ids: int) -> list[tuple[Any, ...]]:
    return [(id, f"t{id}") for id in ids]


@pytest.fixture
def server(database: Database) -> Iterator[Api]:
    database.execute("CREATE SCHEMA shop")
    with api() as found:
        yield found


def config(server: Api, more: str = "", options: str = "", mode: str = "merge") -> str:
    source = f'[pipelines.issues.source.http]\nurl = "{server.url}/issues"\n{more}\n'
    return f'{TABLE}\n[pipelines.issues]\ntarget = "issues"\nmode = "{mode}"\n{options}\n{source}'


def run(flow: Flow, text: str, *more: str, **named: Any) -> dict[str, Any]:
    report: dict[str, Any] = flow("run", "issues", *more, "--output", "json", config=text, **named).json()
    return report


# --- pages ------------------------------------------------------------------------------------------------------------


def in_pages(size: int, ids: list[int]) -> tuple[Any, Any]:
    def by_page(request: Request) -> Answer:
        start = (int(request.params["page"]) - 1) * size
        return Answer({"data": {"items": rows(*ids[start : start + size])}, "total": len(ids)})

    def by_offset(request: Request) -> Answer:
        start, limit = int(request.params["offset"]), int(request.params.get("limit", size))
        return Answer({"data": {"items": rows(*ids[start : start + limit])}, "total": len(ids)})

    return by_page, by_offset


BY_NUMBERS = [
    ('paginate = { page = "page" }', 4),
    ('paginate = { page = "page", limit = 2, limit_param = "per_page" }', 3),
    ('paginate = { page = "page", total = "total" }', 3),
    ('paginate = { offset = "offset" }', 4),
    ('paginate = { offset = "offset", limit = 2 }', 3),
    ('paginate = { offset = "offset", limit = 4, total = "total" }', 2),
]


@pytest.mark.parametrize(("paginate", "asked"), BY_NUMBERS)
def test_pages_are_counted_by_number_or_by_rows(
    paginate: str, asked: int, flow: Flow, database: Database, server: Api
) -> None:
    by_page, by_offset = in_pages(2, [1, 2, 3, 4, 5])
    server.paths["/issues"] = by_page if "page =" in paginate else by_offset
    report = run(flow, config(server, f'records = "data.items"\n{paginate}'))
    assert (report["rows_in"], report["path"], report["source_connection"]) == (5, "staging", "http")
    assert database.rows(LOADED) == loaded(1, 2, 3, 4, 5)
    assert len(server.asked) == asked


def test_a_server_that_gives_fewer_rows_than_it_is_asked_for_loses_none(
    flow: Flow, database: Database, server: Api
) -> None:
    ids = [1, 2, 3, 4, 5]
    server.paths["/issues"] = lambda request: Answer(
        rows(*ids[int(request.params["offset"]) : int(request.params["offset"]) + 2])
    )
    run(flow, config(server, 'paginate = { offset = "offset", limit = 100 }'))
    assert database.rows(LOADED) == loaded(*ids)


CURSORS = [
    ('paginate = { cursor = "meta.next" }', lambda next: {"meta": {"next": next}}, "next"),
    ('paginate = { cursor = "meta.next", param = "after" }', lambda next: {"meta": {"next": next}}, "after"),
    ('paginate = { cursor = "cursor" }', lambda next: {"cursor": "" if next is None else next}, "cursor"),
    ('paginate = { cursor = "next" }', lambda next: {} if next is None else {"next": next}, "next"),
]


@pytest.mark.parametrize(("paginate", "told", "param"), CURSORS)
def test_pages_follow_a_cursor(
    paginate: str, told: Any, param: str, flow: Flow, database: Database, server: Api
) -> None:
    def answer(request: Request) -> Answer:
        at = int(request.params.get(param, "1"))
        return Answer({"items": rows(at), **told(at + 1 if at < 3 else None)})

    server.paths["/issues"] = answer
    run(flow, config(server, f'records = "items"\nparams = {{ state = "all", per_page = 1, deep = true }}\n{paginate}'))
    assert database.rows(LOADED) == loaded(1, 2, 3)
    always = {"state": "all", "per_page": "1", "deep": "true"}
    assert server.params("/issues") == [always, {**always, param: "2"}, {**always, param: "3"}]


def test_a_cursor_may_be_a_whole_address_and_a_link_may_stand_in_the_header(
    flow: Flow, database: Database, server: Api
) -> None:
    def by_address(request: Request) -> Answer:
        at = int(request.params.get("at", "1"))
        return Answer({"items": rows(at), "next": f"{server.url}/issues?at={at + 1}" if at < 3 else False})

    def by_header(request: Request) -> Answer:
        at = int(request.params.get("at", "1"))
        links = {
            1: '</issues?at=2>; rel="next"',
            2: f'<{server.url}/issues?at=1>; rel=prev, </issues?at=3>; rel="next"',
        }
        return Answer(rows(at), headers={"Link": links[at]} if at in links else {})

    server.paths["/issues"] = by_address
    run(flow, config(server, 'records = "items"\npaginate = { cursor = "next" }'))
    assert database.rows(LOADED) == loaded(1, 2, 3)
    database.execute("TRUNCATE shop.issues")
    server.paths["/issues"] = by_header
    run(flow, config(server, 'paginate = "link_header"'))
    assert database.rows(LOADED) == loaded(1, 2, 3)


def test_what_is_posted_takes_the_cursor_in_its_body(flow: Flow, database: Database, server: Api) -> None:
    def answer(request: Request) -> Answer:
        sent = json.loads(request.body)
        assert (request.method, sent["filter"]) == ("POST", {"state": ["open"], "n": 3})
        at = sent.get("after", 1)
        return Answer({"items": rows(at), "after": at + 1 if at < 3 else None})

    server.paths["/issues"] = answer
    more = 'method = "POST"\nbody = { filter = { state = ["open"], n = 3 } }\nrecords = "items"\npaginate = { cursor = "after" }'
    run(flow, config(server, more))
    assert database.rows(LOADED) == loaded(1, 2, 3)


ENDLESS = [
    ('paginate = { page = "page" }', lambda request: Answer(rows(1, 2)), "page 2"),
    (
        'records = "i"\npaginate = { cursor = "next" }',
        lambda request: Answer({"i": rows(1), "next": "x"}),
        "the page before",
    ),
    (
        'records = "i"\npaginate = { cursor = "next" }',
        lambda request: Answer(
            {
                "i": rows(2 if request.params.get("next") == "a" else 1),
                "next": "b" if request.params.get("next") == "a" else "a",
            }
        ),
        "read already",
    ),
    (
        'paginate = { page = "page" }\nmax_pages = 3',
        lambda request: Answer(rows(int(request.params["page"]))),
        "more than 3 pages",
    ),
]


@pytest.mark.parametrize(("more", "answer", "words"), ENDLESS)
def test_pages_that_do_not_end_are_an_error(
    more: str, answer: Any, words: str, flow: Flow, database: Database, server: Api
) -> None:
    server.paths["/issues"] = answer
    found = flow("run", "issues", config=config(server, more), expect=1)
    assert words in found.stderr, found
    assert database.value("SELECT to_regclass('shop.issues') IS NULL") is True


def test_a_page_that_changes_under_way_is_told_by_the_guard_of_keys(
    flow: Flow, database: Database, server: Api
) -> None:
    pages = {"1": rows(1, 2), "2": rows(2, 3), "3": []}
    server.paths["/issues"] = lambda request: Answer(pages[request.params["page"]])
    found = flow("run", "issues", config=config(server, 'paginate = { page = "page" }'), expect=4)
    assert "duplicate_source_key" in found.stderr, found
    assert database.value("SELECT to_regclass('shop.issues') IS NULL") is True


# --- what the values are ----------------------------------------------------------------------------------------------


def test_values_come_exactly_and_answers_may_be_packed(flow: Flow, database: Database, server: Api) -> None:
    body = f'{{"items": [{{"id": 1, "weight": {EXACT}, "seen": "2026-01-01T12:30:00+01:00"}}, {{"title": null, "id": 2}}]}}'
    server.paths["/issues"] = lambda request: Answer(body.encode(), zipped=True, chunked=True)
    run(flow, config(server, 'records = "items"'))
    assert server.asked[0].headers["accept-encoding"] == "gzip"
    assert database.rows("SELECT id, title, weight, seen FROM shop.issues ORDER BY id") == [
        (1, None, decimal.Decimal(EXACT), dt.datetime(2026, 1, 1, 11, 30, tzinfo=dt.timezone.utc)),
        (2, None, None, None),
    ]


UNREADABLE = [
    ({"data": rows(1)}, 'records = "data.items"', ["`data`", "a list"]),
    ({"error": "no more"}, 'records = "items"', ["no `items`", "no more"]),
    ({"items": 3}, 'records = "items"', ["`items`", "a number"]),
    ({"items": rows(1)}, "", ["no list of rows", "an object", 'records = "data.items"']),
    (b"<html>login</html>", "", ["no JSON", "<html>login</html>"]),
    (b"\xff\xfe", "", ["UTF-8"]),
    ([1, 2], "", ["page 1", "no object"]),
    ([{"id": "x"}], "", ["page 1", "row 1", "`id`", "bigint"]),
]


@pytest.mark.parametrize(("body", "more", "words"), UNREADABLE)
def test_an_answer_that_holds_no_rows_is_told_with_its_beginning(
    body: Any, more: str, words: list[str], flow: Flow, database: Database, server: Api
) -> None:
    server.paths["/issues"] = lambda request: Answer(body)
    found = flow("run", "issues", config=config(server, more), expect=(1, 2, 4))
    for word in words:
        assert word in found.stderr, found
    assert len(server.asked) == 1
    assert database.value("SELECT to_regclass('shop.issues') IS NULL") is True


def test_no_rows_are_an_answer(flow: Flow, database: Database, server: Api) -> None:
    for body, more in (([], ""), ({"items": None}, 'records = "items"')):
        server.paths["/issues"] = lambda request, body=body: Answer(body)
        assert run(flow, config(server, more))["rows_in"] == 0


# --- patience ---------------------------------------------------------------------------------------------------------

FAILING = [
    Answer({"error": "busy"}, 500),
    Answer({"error": "slow down"}, 429, {"Retry-After": "1"}),
    Answer({"error": "down"}, 503),
    Answer(rows(1, 2, 3, 4), cut=20),
    Answer(rows(1, 2, 3, 4), cut=20, chunked=True),
    Answer(rows(1, 2, 3, 4), zipped=True, cut=30),
    # The server claims that this is all.
    Answer(json.dumps(rows(1, 2, 3, 4)).encode()[:40]),
]


@pytest.mark.parametrize("failing", FAILING)
def test_what_fails_for_now_is_asked_again_and_no_half_page_is_loaded(
    failing: Answer, flow: Flow, database: Database, server: Api
) -> None:
    server.before = [failing]
    server.paths["/issues"] = lambda request: Answer(rows(1, 2) if request.params["page"] == "1" else [])
    assert run(flow, config(server, 'paginate = { page = "page" }'))["rows_in"] == 2
    assert database.rows(LOADED) == loaded(1, 2)
    assert [request["page"] for request in server.params("/issues")] == ["1", "1", "2"]


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_a_server_says_how_long_it_wants_to_be_left_alone(
    kind: str, flow: Flow, database: Database, server: Api
) -> None:
    until = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=4)
    server.before = [
        Answer({}, 429, {"Retry-After": "2" if kind == "seconds" else format_datetime(until, usegmt=True)})
    ]
    server.paths["/issues"] = lambda request: Answer(rows(1))
    started = time.monotonic()
    run(flow, config(server))
    assert time.monotonic() - started > 1.9
    server.before = [Answer({}, 503, {"Retry-After": "86400"})]
    found = flow("run", "issues", config=config(server), expect=1)
    assert "86400 seconds" in found.stderr


def test_patience_ends_and_a_refusal_is_final(flow: Flow, database: Database, server: Api) -> None:
    server.paths["/issues"] = lambda request: Answer({"error": "broken"}, 500)
    found = flow("run", "issues", config=config(server, "retries = 1"), expect=1)
    assert "once more" in found.stderr, found
    assert len(server.asked) == 2
    for status, code in (
        (400, "source_failed"),
        (401, "authentication_failed"),
        (403, "permission_denied"),
        (404, "source_failed"),
    ):
        server.asked.clear()
        server.paths["/issues"] = lambda request, status=status: Answer({"error": "no such thing"}, status)
        found = flow("run", "issues", config=config(server), expect=(1, 6))
        for word in (code, str(status), f"{server.url}/issues", "no such thing"):
            assert word in found.stderr, found
        assert len(server.asked) == 1


def test_a_size_and_a_time_are_kept(flow: Flow, database: Database, server: Api) -> None:
    server.paths["/issues"] = lambda request: Answer(rows(*range(1, 28)), zipped=True)
    found = flow("run", "issues", config=config(server, "max_bytes = 1000"), expect=1)
    assert "longer than 1000 bytes" in found.stderr
    assert "max_bytes" in found.stderr

    def never(request: Request) -> Answer:
        server.closing.wait(30)
        return Answer([])

    server.paths["/issues"] = never
    found = flow("run", "issues", config=config(server, 'timeout = "300ms"\nretries = 0'), expect=6)
    assert "no answer in time" in found.stderr
    started = time.monotonic()
    flow("run", "issues", config=config(server, "", 'run_timeout = "1s"'), expect=1)
    assert time.monotonic() - started < 15


def test_a_run_that_is_interrupted_stops_and_loads_nothing(flow: Flow, database: Database, server: Api) -> None:
    def answer(request: Request) -> Answer:
        if request.params["page"] == "3":
            server.closing.wait(30)
        return Answer(rows(int(request.params["page"])))

    server.paths["/issues"] = answer
    running = flow.start("run", "issues", config=config(server, 'paginate = { page = "page" }'))
    deadline = time.monotonic() + 20
    while len(server.asked) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.interrupt()
    assert running.finish(expect=None, timeout=20).code != 0
    assert database.value("SELECT to_regclass('shop.issues') IS NULL") is True


def test_an_api_is_not_asked_more_often_than_it_allows(flow: Flow, database: Database, server: Api) -> None:
    by_page, _ = in_pages(1, [1, 2, 3, 4])
    server.paths["/issues"] = by_page
    started = time.monotonic()
    run(flow, config(server, 'records = "data.items"\npaginate = { page = "page" }\nrate_limit = "150/m"'))
    assert time.monotonic() - started > 1.6


# --- who asks ---------------------------------------------------------------------------------------------------------

TOKEN = "very-secret-token"
PASSWORD = "very-secret-pass"
SECRETS = {"TOKEN": TOKEN, "PASSWORD": PASSWORD}
BASIC = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
WAYS = [
    ('auth = { bearer = "${env:TOKEN}" }', "authorization", f"Bearer {TOKEN}"),
    ('auth = { basic = { username = "ann", password = "${env:PASSWORD}" } }', "authorization", f"Basic {BASIC}"),
    ('headers = { "X-Api-Key" = "${env:TOKEN}" }', "x-api-key", TOKEN),
]


def tells_nothing(flow: Flow, text: str, **named: Any) -> None:
    """No command shows a secret."""
    for command in (
        ["plan", "--sql"],
        ["plan", "--output", "json"],
        ["show"],
        ["show", "--output", "json"],
        ["preview"],
        ["run", "-v"],
        ["run", "--output", "json"],
        ["history"],
    ):
        found = flow(command[0], "issues", *command[1:], config=text, expect=None, **named)
        assert found.code != 101, found
        for secret in (TOKEN, PASSWORD, BASIC):
            assert secret not in found.stdout + found.stderr, found


@pytest.mark.parametrize(("more", "header", "value"), WAYS)
def test_who_asks_is_told_to_the_api_and_to_nobody_else(
    more: str, header: str, value: str, flow: Flow, database: Database, server: Api
) -> None:
    def answer(request: Request) -> Answer:
        if request.headers.get(header) != value:
            return Answer({"error": "who are you?"}, 401)
        return Answer(rows(1))

    server.paths["/issues"] = answer
    text = config(server, more)
    run(flow, text, env=SECRETS)
    assert database.rows(LOADED) == loaded(1)
    tells_nothing(flow, text, env=SECRETS)
    # An API that says back what it was told.
    server.paths["/issues"] = lambda request: Answer({"you sent": dict(request.headers)}, 403)
    tells_nothing(flow, text, env=SECRETS)
    server.paths["/issues"] = lambda request: Answer({"you sent": dict(request.headers)})
    tells_nothing(flow, text, env=SECRETS)
    flow("validate", config=text)
    found = flow("run", "issues", config=text, expect=(1, 2))
    assert "missing_variable" in found.stderr


def test_another_origin_is_told_nothing(flow: Flow, database: Database, server: Api) -> None:
    with api() as other:
        other.paths["/issues"] = lambda request: Answer(rows(2))
        other.paths["/moved"] = lambda request: Answer(rows(3))
        server.paths["/issues"] = lambda request: Answer(rows(1), headers={"Link": f'<{other.url}/issues>; rel="next"'})
        text = config(server, 'headers = { "X-Api-Key" = "k" }\nauth = { bearer = "t" }\npaginate = "link_header"')
        run(flow, text)
        assert database.rows(LOADED) == loaded(1, 2)
        server.paths["/issues"] = lambda request: Answer(b"", 302, {"Location": f"{other.url}/moved"})
        run(flow, text)
        assert database.rows(LOADED) == loaded(1, 2, 3)
        assert len(other.asked) == 2
        assert not [request for request in other.asked if {"authorization", "x-api-key"} & set(request.headers)]
        server.paths["/issues"] = lambda request: Answer(b"", 307, {"Location": "/here"})
        server.paths["/here"] = lambda request: Answer(rows(4))
        run(flow, text)
        assert server.asked[-1].headers["authorization"] == "Bearer t"
        server.paths["/here"] = lambda request: Answer(b"", 307, {"Location": "/issues"})
        assert "more than 10 times" in flow("run", "issues", config=text, expect=1).stderr


@pytest.mark.parametrize("in_form", [False, True])
def test_a_token_is_got_once_and_once_more_where_it_is_used_up(
    in_form: bool, flow: Flow, database: Database, server: Api
) -> None:
    given: list[str] = []

    def token(request: Request) -> Answer:
        form = request.body.decode().split("&")
        assert "grant_type=client_credentials" in form
        assert "scope=read%20all" in form
        who = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        if (in_form and f"client_secret={PASSWORD}" not in form) or (
            not in_form and request.headers.get("authorization") != f"Basic {who}"
        ):
            return Answer({"error": "invalid_client"}, 401)
        given.append(f"{TOKEN}-{len(given)}")
        return Answer({"access_token": given[-1], "token_type": "bearer"})

    def answer(request: Request) -> Answer:
        at = int(request.params["page"])
        # The first token is good for two pages.
        if request.headers.get("authorization") != f"Bearer {given[-1]}" or (at == 3 and len(given) == 1):
            return Answer({"error": "expired"}, 401)
        return Answer(rows(at) if at < 5 else [])

    server.paths |= {"/token": token, "/issues": answer}
    auth = f'oauth = {{ token_url = "{server.url}/token", client_id = "me", client_secret = "${{env:PASSWORD}}", scope = "read all" }}'
    text = config(server, f'auth = {{ {auth} }}\npaginate = {{ page = "page" }}')
    run(flow, text, env=SECRETS)
    assert database.rows(LOADED) == loaded(1, 2, 3, 4)
    assert len(given) == 2
    tells_nothing(flow, text, env=SECRETS)
    server.paths["/issues"] = lambda request: Answer({"error": "no"}, 401)
    assert "authentication_failed" in flow("run", "issues", config=text, env=SECRETS, expect=6).stderr
    found = flow("run", "issues", config=text, env={"PASSWORD": "wrong"}, expect=6)
    assert "client_secret" in found.stderr
    tells_nothing(flow, text, env=SECRETS)


# --- from run to run --------------------------------------------------------------------------------------------------


def since(server: Api) -> None:
    def answer(request: Request) -> Answer:
        after = request.params.get("since", "")
        every = rows(1, 2, 3) if len(server.asked) == 1 else rows(1, 2, 3, 4)
        return Answer([row for row in every if row["seen"] >= after])

    server.paths["/issues"] = answer


def test_the_second_run_asks_from_the_watermark_on(flow: Flow, database: Database, server: Api) -> None:
    since(server)
    text = config(server, 'params = { since = ":watermark" }', 'incremental_column = "seen"')
    assert run(flow, text)["rows_in"] == 3
    assert run(flow, text)["rows_in"] == 2
    assert database.rows(LOADED) == loaded(1, 2, 3, 4)
    assert server.params("/issues") == [{}, {"since": "2026-01-03T00:00:00Z"}]
    flow("plan", "issues", config=text)
    assert server.params("/issues")[-1] == {"since": "2026-01-04T00:00:00Z"}
    assert run(flow, text, "--full-scan")["rows_in"] == 4
    assert server.params("/issues")[-1] == {}
    looked_back = config(server, 'params = { since = ":watermark" }', 'incremental_column = "seen"\nlookback = "2d"')
    run(flow, looked_back)
    assert server.params("/issues")[-1] == {"since": "2026-01-02T00:00:00Z"}
    flow("watermark", "reset", "issues", "--yes", config=text)
    first = config(server, 'params = { since = ":watermark|2026-01-02" }', 'incremental_column = "seen"')
    run(flow, first)
    assert server.params("/issues")[-1] == {"since": "2026-01-02"}


def test_a_column_that_is_gained_asks_for_all_rows(flow: Flow, database: Database, server: Api) -> None:
    since(server)
    text = config(server, 'params = { since = ":watermark" }', 'incremental_column = "seen"', mode="scd2")
    run(flow, text)
    server.paths["/issues"] = lambda request: Answer([{**row, "kind": "bug"} for row in rows(1, 2, 3)])
    wider = text.replace('title = "text?"', 'title = "text?", kind = "text?"').replace(
        'mode = "scd2"', 'mode = "scd2"\nmigrate = true'
    )
    found = flow("run", "issues", config=wider, expect=(1, 2, 3, 4))
    assert "--full-scan" in found.stderr, found
    run(flow, wider, "--full-scan")
    assert database.value("SELECT count(*) FROM shop.issues WHERE kind = 'bug' AND is_current") == 3


def test_an_api_has_a_history(flow: Flow, database: Database, server: Api) -> None:
    titles = {1: "old"}
    server.paths["/issues"] = lambda request: Answer([{"id": id, "title": title} for id, title in titles.items()])
    text = config(server, mode="scd2", options='handle_deletes = "soft"')
    run(flow, text)
    titles.update({1: "new", 2: "other"})
    run(flow, text)
    del titles[2]
    run(flow, text)
    history = "SELECT id, title, is_current FROM shop.issues ORDER BY id, valid_from"
    assert database.rows(history) == [(1, "old", False), (1, "new", True), (2, "other", False)]


# --- what is refused --------------------------------------------------------------------------------------------------

URL = 'url = "https://h.example/a"'
REFUSED = [
    ('url = "ftp://h.example/a"', "invalid_value", "http"),
    ('url = "https://ann:hunter2@h.example/a"', "invalid_value", "auth"),
    (f'{URL}\nrecords = "data..items"', "invalid_value", "data.items"),
    (f'{URL}\nrecords = "$.items"', "invalid_value", "data.items"),
    (f'{URL}\npaginate = "links"', "invalid_value", "link_header"),
    (f"{URL}\npaginate = {{ }}", "missing_option", "cursor"),
    (f'{URL}\npaginate = {{ by = "x" }}', "unknown_option", "cursor"),
    (f'{URL}\npaginate = {{ cursor = "a", page = "b" }}', "conflicting_options", "exclude"),
    (f'{URL}\npaginate = {{ cursor = "a", limit = 3 }}', "conflicting_options", "limit"),
    (f'{URL}\nparams = {{ since = ":watermark" }}', "missing_option", "incremental_column"),
    (
        f'{URL}\nauth = {{ bearer = "hunter2", basic = {{ username = "a", password = "hunter2" }} }}',
        "conflicting_options",
        "exclude",
    ),
    (f'{URL}\nauth = {{ token = "hunter2" }}', "unknown_option", "bearer"),
    (f'{URL}\nauth = "hunter2"', "invalid_value", "bearer"),
    (f'{URL}\nauth = {{ bearer = "hunter2 ${{TOKEN}}" }}', "invalid_value", "env:TOKEN"),
    (f'{URL}\nauth = {{ bearer = "a" }}\nheaders = {{ authorization = "hunter2" }}', "conflicting_options", "exclude"),
    (f"{URL}\nbody = {{ a = 1 }}", "conflicting_options", "POST"),
    (f'{URL}\nrate_limit = "often"', "invalid_value", "10/s"),
    (f'{URL}\ntimeout = "0s"', "invalid_value", "60s"),
    ('records = "items"', "missing_option", "url"),
]


@pytest.mark.parametrize(("more", "code", "word"), REFUSED)
def test_what_is_written_wrong_is_told_before_anything_runs(more: str, code: str, word: str, flow: Flow) -> None:
    text = f'{TABLE}\n[pipelines.issues]\ntarget = "issues"\nmode = "merge"\n[pipelines.issues.source.http]\n{more}\n'
    found = flow("validate", config=text, expect=2)
    assert code in found.stderr, found
    assert word in found.stderr, found
    assert "pipelines.toml:" in found.stderr, found
    assert "hunter2" not in found.stderr + found.stdout, found


SOURCES = [
    ('{ http = { url = "https://h/a" }, connection = "crm" }', "conflicting_options"),
    ('{ http = { url = "https://h/a" }, query = "SELECT 1" }', "conflicting_options"),
    ('{ http = { url = "https://h/a" }, format = "json" }', "conflicting_options"),
    ('{ union = [{ http = { url = "https://h/a" } }] }', "not_yet_supported"),
    ('{ url = "https://h/a" }', "unknown_option"),
]


@pytest.mark.parametrize(("source", "code"), SOURCES)
def test_an_api_stands_alone(source: str, code: str, flow: Flow) -> None:
    text = f'{TABLE}\n[pipelines.issues]\ntarget = "issues"\nmode = "merge"\nsource = {source}\n'
    assert code in flow("validate", config=text, expect=2).stderr


def test_an_api_that_is_not_there_is_told(flow: Flow, database: Database, server: Api) -> None:
    text = config(server, "retries = 0").replace(server.url, "http://127.0.0.1:1")
    found = flow("run", "issues", config=text, expect=6)
    assert "cannot be reached" in found.stderr
    assert "http://127.0.0.1:1/issues" in found.stderr


def test_python_declares_the_same(flow: Flow, database: Database, server: Api) -> None:
    server.paths["/issues"] = lambda request: Answer({"items": rows(1), "next": None})
    (flow.directory / "api.py").write_text(
        f"""
from ematix_flow import Source, connect, pipeline

source = Source.http(
    "{server.url}/issues?key=k",
    records="items",
    params={{"state": "all"}},
    paginate={{"cursor": "next"}},
    auth={{"bearer": "${{env:TOKEN}}"}},
    rate_limit="100/s",
)
assert repr(source) == "Source.http('{server.url}/issues')"
report = pipeline.sync(source=source, target="shop.issues", target_connection=connect(), mode="append")
print(report.rows_inserted, report.source_connection)
""",
        encoding="utf-8",
    )
    package = Path(__file__).parents[2] / "python"
    environment = {**os.environ, "PYTHONPATH": str(package), "EMATIX_FLOW_DSN": database.dsn, **SECRETS}
    done = subprocess.run(
        [sys.executable, "api.py"], cwd=flow.directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "1 http\n", done
    assert server.params("/issues") == [{"key": "k", "state": "all"}]
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
