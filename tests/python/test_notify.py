"""`notify`: a URL or a command learns how a run has ended, and no run ever suffers from it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import authority
from database import Database
from flow_binary import Flow
from ptyprocess import PtyProcess
from python_package import Interpreter
from receiver import Receiver, broken, receiver

pytestmark = pytest.mark.clock

PIPELINE = """
[pipelines.customers]
source = { query = "SELECT %s::bigint AS id" }
target = "public.customers"
keys = "id"
mode = "merge"
"""

GOOD, FAILING = PIPELINE % "1", PIPELINE % "(1 / 0)"
REFUSED = PIPELINE.replace("SELECT %s::bigint AS id", "SELECT 1 AS id UNION ALL SELECT 1")


@pytest.fixture
def chat() -> Iterator[Receiver]:
    with receiver() as here:
        yield here


def webhook(here: Receiver | str, *options: str) -> str:
    url = here if isinstance(here, str) else here.url
    parts = ", ".join([f'webhook = "{url}/hook"', *options])
    return f"notify = [{{ {parts} }}]\n"


def test_a_webhook_gets_the_report_with_a_line_for_chats(flow: Flow, database: Database, chat: Receiver) -> None:
    flow.project(FAILING + webhook(chat))
    report = flow("run", "customers", "--output", "json", expect=1).json()
    (request,) = chat.of("/hook")
    body = request.json()
    text = body.pop("text")
    assert body == report
    assert body["schema"] == "ematix.run.v1"
    short = report["run_id"][-8:]
    assert text == f"failed  customers: {report['error']['code']}: {report['error']['message']} (run {short})"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("project", "on", "told"),
    [
        (FAILING, None, True),
        (REFUSED, None, True),
        (GOOD, None, False),
        (GOOD, '["success"]', True),
        (FAILING, '["refused", "success"]', False),
    ],
)
def test_who_is_told_depends_on_the_status(
    flow: Flow, database: Database, chat: Receiver, project: str, on: str | None, told: bool
) -> None:
    flow.project(project + webhook(chat, *([f"on = {on}"] if on else [])))
    flow("run", "customers", expect=None)
    assert len(chat.received) == told


def test_a_command_reads_the_report_and_has_its_main_words_in_variables(
    flow: Flow, database: Database, chat: Receiver
) -> None:
    program = (
        "import json, os, sys; "
        "told = {name: value for name, value in os.environ.items() if name.startswith('EMATIX_FLOW_')}; "
        "json.dump([json.load(sys.stdin), told, sys.argv[1:]], open('told.json', 'w'))"
    )
    command = json.dumps([sys.executable, "-c", program, "a b", "$HOME; *"])
    flow.project(FAILING + f"notify = [{{ command = {command} }}]\n")
    report = flow("run", "customers", "--output", "json", expect=1).json()
    body, said, words = json.loads((flow.directory / "told.json").read_text(encoding="utf-8"))
    assert words == ["a b", "$HOME; *"], "no shell reads it"
    assert said["EMATIX_FLOW_PIPELINE"] == "customers"
    assert said["EMATIX_FLOW_RUN_ID"] == report["run_id"]
    assert said["EMATIX_FLOW_STATUS"] == "failed"
    assert said["EMATIX_FLOW_ERROR_CODE"] == report["error"]["code"]
    assert said["EMATIX_FLOW_TEXT"] == body.pop("text")
    assert body == report


def test_a_webhook_that_is_busy_is_tried_again(flow: Flow, database: Database, chat: Receiver) -> None:
    chat.answers = [503, 429]
    flow.project(FAILING + webhook(chat))
    report = flow("run", "customers", "--output", "json", expect=1).json()
    assert len(chat.of("/hook")) == 3
    assert report["warnings"] == []


def test_a_webhook_that_refuses_for_good_is_not_tried_again(flow: Flow, database: Database, chat: Receiver) -> None:
    chat.answers = [404]
    flow.project(GOOD + webhook(chat, 'on = ["success"]'))
    finished = flow("run", "customers", "--output", "json")
    assert len(chat.of("/hook")) == 1
    words = f"webhook {chat.url}/… was not told: it answered 404"
    assert finished.json()["warnings"] == [words]
    assert f"warning: customers: {words}" in finished.stderr


@pytest.mark.parametrize("how", ["hangs", "refuses", "rubbish", "500"])
def test_a_webhook_that_is_none_costs_no_more_than_its_time(flow: Flow, database: Database, how: str) -> None:
    with broken(how) as url:
        flow.project(GOOD + webhook(url, 'on = ["success"]', 'timeout = "1s"'))
        before = time.monotonic()
        report = flow("run", "customers", "--output", "json").json()
        assert time.monotonic() - before < 5
    assert report["status"] == "success"
    assert report["duration_ms"] < 1000, "the run itself waits for nobody"
    (words,) = report["warnings"]
    assert words.startswith(f"webhook {url}/… was not told: "), words


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/nowhere/page"], "command /nowhere/page was not told: No such file or directory"),
        (["sh", "-c", "exit 7"], "command sh was not told: it ended with exit status: 7"),
        (["sleep", "60"], "command sleep was not told: it took too long"),
    ],
)
def test_a_command_that_fails_is_a_warning_of_the_run(
    flow: Flow, database: Database, command: list[str], words: str
) -> None:
    flow.project(GOOD + f"notify = [{{ on = ['success'], command = {json.dumps(command)}, timeout = '500ms' }}]\n")
    before = time.monotonic()
    report = flow("run", "customers", "--output", "json").json()
    assert time.monotonic() - before < 5
    assert report["status"] == "success"
    assert [warning.partition(" (os error")[0] for warning in report["warnings"]] == [words]


def test_many_runs_that_fail_wait_once_for_a_webhook_that_hangs(flow: Flow, database: Database) -> None:
    with broken("hangs") as url:
        pipelines = [FAILING.replace("customers", f"c{n}") + webhook(url, 'timeout = "1s"') for n in range(20)]
        flow.project("".join(pipelines))
        before = time.monotonic()
        finished = flow("run", "--all", expect=1)
        assert time.monotonic() - before < 8
    assert finished.stderr.count(" was not told: ") == 20


def test_urls_and_headers_take_their_secrets_from_variables_and_files_and_nobody_sees_them(
    flow: Flow, database: Database, chat: Receiver
) -> None:
    (flow.directory / "token").write_text("secret-token\n", encoding="utf-8")
    chat.answers = [404]
    flow.project(
        GOOD
        + 'notify = [{ on = ["success"], webhook = "${env:HOOK}", '
        + 'headers = { Authorization = "Bearer ${file:token}", X-Plain = "secret-plain" } }]\n'
    )
    env = {"HOOK": f"{chat.url}/secret-path"}
    told = [
        flow("run", "customers", "--output", "json", env=env),
        flow("run", "customers", "-v", "--log-format", "json", env={"HOOK": None}),
        flow("show", "customers", env=env),
        flow("show", "customers", "--output", "json", env=env),
        flow("plan", "customers", "--output", "json", env=env),
        flow("list", "--output", "json", env=env),
    ]
    (request,) = chat.of("/secret-path")
    assert request.headers["authorization"] == "Bearer secret-token"
    assert request.headers["x-plain"] == "secret-plain"
    assert b"secret-" not in request.body
    for finished in told:
        assert "secret-" not in finished.stdout + finished.stderr, finished
    assert "the environment variable `HOOK` is not set" in told[1].stderr
    history = database.rows("SELECT row_to_json(r)::text FROM ematix_flow.run_history r")
    assert "secret-" not in str(history)
    declared = database.rows("SELECT row_to_json(s)::text FROM ematix_flow.schema_history s")
    assert "secret-" not in str(declared)


def test_a_mistake_beside_a_secret_does_not_show_it(flow: Flow) -> None:
    flow.project(
        GOOD + 'notify = [{ webhook = "ftp://h/secret-path", headers = { A = "secret-a" }, command = ["secret-c"] }]\n'
    )
    finished = flow("validate", expect=2)
    assert "error[conflicting_options]: `webhook` and `command` exclude each other" in finished.stderr
    assert "error[invalid_value]: `webhook` is no http or https URL" in finished.stderr
    assert "secret-" not in finished.stderr + finished.stdout


@pytest.mark.parametrize(
    ("notify", "code", "words"),
    [
        ("{ on = ['failed'] }", "missing_option", "says neither `webhook` nor `command`"),
        ("{ on = ['broken'], command = ['x'] }", "invalid_value", "broken"),
        ("{ on = [], command = ['x'] }", "invalid_value", "`on` names no status"),
        ("{ command = [] }", "invalid_value", "`command` names no program"),
        ("{ command = 'echo hi' }", "invalid_value", "command"),
        ("{ command = ['x'], headers = { A = 'b' } }", "conflicting_options", "`headers` are for `webhook`"),
        ("{ webhook = 'https://h', headers = { 'a b' = 'c' } }", "invalid_value", "`a b` cannot be a header"),
        ("{ webhook = 'https://h/${SLACK}' }", "invalid_value", "does not say where its value comes from"),
        ("{ webhook = 'https://h', timeout = '1h' }", "invalid_value", "`timeout` of a notification"),
        ("{ url = 'https://h' }", "unknown_option", "`url`"),
        ("'https://h'", "invalid_value", "notify"),
    ],
)
def test_a_mistake_is_found_where_it_is_declared(flow: Flow, notify: str, code: str, words: str) -> None:
    flow.project(GOOD + f"notify = [{notify}]\n")
    errors = flow("validate", "--output", "json", expect=2).json()["errors"]
    found = [error for error in errors if error["code"] == code and words in error["message"]]
    assert found, errors
    assert found[0]["location"]["line"] == 7


def test_defaults_name_who_is_told_and_a_pipeline_names_others_or_nobody(
    flow: Flow, database: Database, chat: Receiver
) -> None:
    flow.project(
        "[defaults]\n"
        + webhook(chat)
        + FAILING
        + FAILING.replace("customers", "quiet")
        + "notify = []\n"
        + FAILING.replace("customers", "other")
        + webhook(chat).replace("/hook", "/other")
    )
    flow("run", "--all", expect=1)
    assert sorted((request.path, request.json()["pipeline"]) for request in chat.received) == [
        ("/hook", "customers"),
        ("/other", "other"),
    ]


def test_several_targets_are_told_of_as_one_run(flow: Flow, database: Database, chat: Receiver) -> None:
    flow.project(
        """
        [pipelines.both]
        source = { query = "SELECT 1::bigint AS id" }
        targets = [{ target = "public.a", mode = "append" }, { target = "public.b", mode = "merge", keys = "id" }]
        """
        + webhook(chat, 'on = ["success"]')
    )
    flow("run", "both")
    (request,) = chat.of("/hook")
    assert [part["target"] for part in request.json()["targets"]] == ["public.a", "public.b"]


def test_a_dry_run_tells_nobody_and_says_whom_a_run_would(flow: Flow, database: Database, chat: Receiver) -> None:
    flow.project(FAILING + webhook(chat))
    finished = flow("dry-run", "customers", expect=1)
    assert chat.received == []
    place = f"webhook {chat.url}/…"
    assert f"not told here: {place} of failed, refused, locked, lost\n" in finished.stderr
    report = flow("dry-run", "customers", "--output", "json", expect=1).json()
    assert report["notify"] == [{"to": place, "on": ["failed", "refused", "locked", "lost"]}]
    assert "notify" not in flow("run", "customers", "--output", "json", expect=1).json()


def test_who_sits_at_a_terminal_is_not_told_twice(flow: Flow, database: Database, chat: Receiver) -> None:
    flow.project(FAILING + webhook(chat) + 'every = "1d"\nfirst_run = "now"\n')

    def at_a_terminal(*words: str) -> None:
        process = PtyProcess.spawn([str(flow.binary), *words], cwd=str(flow.directory), env=flow.environment({}))
        while process.isalive():
            try:
                process.read()
            except EOFError:
                break
        process.wait()

    at_a_terminal("run", "customers")
    assert chat.received == []
    at_a_terminal("run-due")
    assert len(chat.of("/hook")) == 1, "a schedule tells in any case"


def test_a_run_that_died_is_told_by_the_next_that_finds_it(flow: Flow, database: Database, chat: Receiver) -> None:
    slow = PIPELINE.replace("SELECT %s::bigint AS id", "SELECT 1::bigint AS id FROM pg_sleep(60)")
    flow.project(slow + 'lease = "1s"\n' + webhook(chat) + GOOD.replace("customers", "other"))
    running = flow.start("run", "customers")
    history = "SELECT run_id::text FROM ematix_flow.run_history WHERE status = 'running'"
    deadline = time.monotonic() + 30
    while database.value("SELECT to_regclass('ematix_flow.run_history')") is None or not database.rows(history):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ((run_id,),) = database.rows(history)
    os.kill(running.pid, signal.SIGKILL)
    time.sleep(1.5)
    flow("run", "other")
    (request,) = chat.of("/hook")
    body = request.json()
    assert (body["pipeline"], body["run_id"], body["status"]) == ("customers", run_id, "lost")
    assert body["text"].startswith("lost  customers: the process gave no sign of life")


def test_an_encrypted_webhook_is_believed_by_the_certificates_that_the_machine_trusts(
    flow: Flow, database: Database, chat: Receiver
) -> None:
    trusted = authority("the authority of the machine")
    (flow.directory / "trusted.pem").write_text(trusted.pem(), encoding="utf-8")
    with receiver(identity=trusted.issue("localhost")) as encrypted:
        url = encrypted.url.replace("127.0.0.1", "localhost")
        flow.project(GOOD + webhook(url, 'on = ["success"]', 'timeout = "2s"'))
        known = flow("run", "customers", env={"SSL_CERT_FILE": str(flow.directory / "trusted.pem")})
        assert known.stderr.count("warning") == 0
        unknown = flow("run", "customers", "--output", "json", env={"SSL_CERT_FILE": "none.pem"}).json()
        assert len(encrypted.of("/hook")) == 1
    (words,) = unknown["warnings"]
    assert words.startswith(f"webhook {url}/… was not told: no encrypted connection: "), words


def test_the_package_tells_too_and_logs_what_did_not_arrive(tmp_path: Path, database: Database, chat: Receiver) -> None:
    chat.answers = [200, 404]
    python = Interpreter(tmp_path, {"EMATIX_FLOW_DSN": database.dsn})
    done = python.run(
        f"""
        from ematix_flow import Pipeline, Source, connect

        told = Pipeline(
            name="customers",
            source=Source.postgres_query(connect("default"), "SELECT 1::bigint AS id"),
            target="public.customers",
            keys="id",
            mode="merge",
            notify=[{{"on": ("success",), "webhook": "{chat.url}/hook", "timeout": "10s"}}],
        )
        for _ in range(2):
            told.run()
        """
    )
    assert [request.json()["pipeline"] for request in chat.wait_for("/hook", 2)] == ["customers", "customers"]
    assert f"webhook {chat.url}/… was not told: it answered 404" in done.stderr
