"""Marked secrets, in every place that takes one, go through every command and every failure: then all that was printed,
written, logged, sent and stored is searched for the marks. Python's own ways to show things are in test_secrets.
"""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from certificates import authority
from database import Database
from flow_binary import Flow
from language_client import LanguageClient
from python_package import Interpreter
from receiver import Receiver, receiver
from test_daemon import Daemon

# Letters and digits: nothing that is written has to escape them.
MARK = "Canary7"
SECRETS = {
    name: f"{MARK}{name}"
    for name in (
        "EnvPw",
        "FilePw",
        "CommandPw",
        "CommandErr",
        "UserFilePw",
        "LiteralPw",
        "DsnPw",
        "KeyPass",
        "Wrong",
        "Argv",
    )
}

PROJECT = """
[connections.crm]
host = "127.0.0.1"
port = {port}
dbname = "{dbname}"
user = "{role}"
password = "${{env:CRM_PASSWORD}}"
sslmode = "disable"

[connections.by_file]
host = "127.0.0.1"
port = {port}
dbname = "{dbname}"
user = "{role}"
password = "${{file:secrets/password}}"
sslmode = "disable"

[connections.by_command]
host = "127.0.0.1"
port = {port}
dbname = "{dbname}"
user = "{role}"
password_command = ["./secrets/token", "{argv}"]
sslmode = "disable"

[connections.by_key]
host = "127.0.0.1"
port = {port}
dbname = "{dbname}"
user = "{role}"
password = "{literal}"
sslmode = "require"
sslcert = "secrets/own.crt"
sslkey = "secrets/own.key"
sslpassword = "{passphrase}"

[connections.by_dsn]
dsn = "postgresql://{role}:{dsn}@127.0.0.1:{port}/{dbname}?sslmode=disable"

[connections.by_mysql]
dsn = "mysql://{role}:{dsn}@127.0.0.1:1/{dbname}"

[tables.activity]
schema = "public"
[tables.activity.columns]
pid = "bigint"
query = "text?"
application_name = "text?"

[defaults]
notify = [{{ on = ["success", "failed", "refused"], webhook = "{url}/hook" }}]

[pipelines.activity]
source = {{ connection = "{source}", query = "SELECT pid, query, application_name FROM pg_stat_activity WHERE application_name LIKE 'ematix-flow%'" }}
target = "activity"
target_connection = "crm"
mode = "truncate"
every = "1h"
first_run = "now"

[pipelines.failing]
source = {{ connection = "{source}", query = "SELECT 1 / 0 AS pid" }}
target = "public.failing"
target_connection = "crm"
mode = "append"

[pipelines.elsewhere]
source = {{ connection = "by_mysql", table = "orders" }}
target = "public.elsewhere"
target_connection = "crm"
mode = "append"

[transforms.after]
sql = "SELECT 1"
connection = "crm"
"""

# Every command that `flow --help` and those below it name, with words that bring it to its connections. None stands for
# those that have nothing to do with a project's connections: dev's server asks no password.
COMMANDS: dict[str, list[list[str]] | None] = {
    "init": [["--from", "crm"], []],
    "add": [["public.failing", "--connection", "crm"], ["--all", "--print", "--connection", "by_command"]],
    "demo": None,
    "dev start": None,
    "dev stop": None,
    "dev status": None,
    "dev url": None,
    "dev psql": None,
    "dev reset": None,
    "list": [[]],
    "show": [["activity"]],
    "graph": [[]],
    "validate": [[], ["--connect"]],
    "preview": [["activity"]],
    "plan": [["activity"], ["--all"]],
    "dry-run": [["activity"]],
    "run": [["activity"], ["failing"], ["elsewhere"], ["--all", "--metrics-file", "metrics.prom"]],
    "copy": [
        ["--source", "by_command", "--source-query", "SELECT 1 AS id", "--target", "public.copied", "--mode", "append"]
    ],
    "run-due": [[]],
    "daemon": None,  # has its own test
    "retry": [["activity"]],
    "cancel": [["activity"]],
    "pause": [["failing"]],
    "resume": [["failing"]],
    "unlock": [["activity"]],
    "doctor": [[], ["activity"], ["--grants", "activity"]],
    "status": [[], ["--html", "status.html"]],
    "history": [["activity"]],
    "logs": [["activity"]],
    "rejected": [["activity"]],
    "check": [["activity"]],
    "diff": [["activity"]],
    "watermark show": [[]],
    "watermark set": [["activity", "1"]],
    "watermark reset": [["activity", "--yes"]],
    "rewind": [["activity", "--to", "1", "--yes"]],
    "backfill": [["activity", "--yes"]],
    "features list": [[]],
    "features show": [["nothing"]],
    "features materialize": [[]],
    "features freshness": [[]],
    "transform list": [[]],
    "transform run": [["after"]],
    "connections list": [[]],
    "connections check": [[]],
    "connections add": [["x", "--dsn", f"postgresql://u:{SECRETS['DsnPw']}@127.0.0.1:1/d", "--no-check"]],
    "schema": None,
    "completions": None,
    "man": None,
    "explain": None,
    "lsp": None,  # has its own test
    "version": None,
}

# Those that write what the others read.
WRITES = {"init", "add", "connections add"}

# What else may be wrong, as variables; the files are as they are in "good".
FAILURES: dict[str, dict[str, str]] = {
    "good": {},
    "wrong password": {"CRM_PASSWORD": SECRETS["Wrong"]},
    "unreachable": {"EMATIX_FLOW_DSN_CRM": f"postgresql://me:{SECRETS['DsnPw']}@127.0.0.1:1/d"},
    "@ in the password": {"EMATIX_FLOW_DSN_CRM": f"postgresql://me:p@{SECRETS['DsnPw']}@h/d"},
    "/ in the password": {"EMATIX_FLOW_DSN_CRM": f"postgresql://me:p/{SECRETS['DsnPw']}@h/d"},
    "password as port": {"EMATIX_FLOW_DSN_CRM": f"postgresql://h:{SECRETS['DsnPw']}/d"},
    "password as parameter": {"EMATIX_FLOW_DSN_CRM": f"postgresql://h/d?{SECRETS['DsnPw']}=x"},
    "password as value": {"EMATIX_FLOW_DSN_CRM": f"host=h password=a {SECRETS['DsnPw']}"},
    "password as mode": {"EMATIX_FLOW_DSN_CRM": f"host=h sslmode={SECRETS['DsnPw']}"},
    "password as word": {"EMATIX_FLOW_DSN_CRM": SECRETS["DsnPw"]},
    "MySQL, password as port": {"EMATIX_FLOW_DSN_BY_MYSQL": f"mysql://me@h:{SECRETS['DsnPw']}/d"},
    "no TLS": {"EMATIX_FLOW_DSN_CRM": "postgresql://{role}:{password}@127.0.0.1:{port}/d?sslmode=require"},
    "unknown database": {
        "EMATIX_FLOW_DSN_CRM": "postgresql://{role}:{password}@127.0.0.1:{port}/nowhere?sslmode=disable"
    },
}


@dataclass
class Marked:
    """A project whose secrets are marked, and all that came of it."""

    flow: Flow
    database: Database
    role: str
    sent: Receiver
    variables: dict[str, str]
    shown: list[tuple[str, str]] = field(default_factory=list)

    def run(self, words: list[str], env: Mapping[str, str]) -> None:
        finished = self.flow(*words, env={**self.variables, **env}, expect=None, stdin="")
        assert finished.code >= 0, finished
        self.shown.append((str(finished.arguments), finished.stdout + finished.stderr))

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """All that was printed, written, sent and stored, each with its place."""
        for place, text in self.shown:
            yield place, text.encode()
        secret = {
            self.flow.directory / "secrets",
            self.flow.home / ".ematix-flow",
            self.flow.directory / "pipelines.toml",
        }
        for path in self.flow.directory.rglob("*"):
            if path.is_file() and not any(path.is_relative_to(place) for place in secret):
                yield str(path), path.read_bytes()
        for request in self.sent.received:
            yield request.path, str(request.headers).encode() + request.body
        tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
        for (table,) in self.database.rows(tables):
            yield table, repr(self.database.rows(f"SELECT t::text FROM {table} AS t")).encode()


def found(everything: Iterator[tuple[str, bytes]]) -> list[str]:
    """The places in which a mark is, in any of the forms that texts take."""
    marks = {MARK.encode(), quote(MARK).encode(), MARK[::-1].encode(), MARK.encode().hex().encode()}
    # In base64 a text looks otherwise by where it begins.
    marks |= {base64.b64encode(b"x" * shift + MARK.encode())[4 if shift else 0 : -4] for shift in range(3)}
    return [
        f"{place}: …{content[max(0, content.index(mark) - 150) : content.index(mark) + 40]!r}"
        for place, content in everything
        for mark in marks
        if mark in content
    ]


@pytest.fixture
def marked(flow: Flow, database: Database) -> Iterator[Marked]:
    role = f"canary_{database.name}"
    # Their logins are three, of one role: the password is the file's, and each way brings it or another.
    for name, secret in (("", "EnvPw"), ("_file", "FilePw"), ("_command", "CommandPw"), ("_dsn", "DsnPw")):
        database.execute(f"CREATE ROLE {role}{name} LOGIN SUPERUSER PASSWORD '{SECRETS[secret]}'")
    secrets = flow.directory / "secrets"
    secrets.mkdir()
    (secrets / "password").write_text(SECRETS["FilePw"] + "\n")
    (secrets / "token").write_text(f"#!/bin/sh\necho {SECRETS['CommandErr']} >&2\necho {SECRETS['CommandPw']}\n")
    (secrets / "token").chmod(0o755)
    authority("clients").issue().files(secrets, "own", passphrase=SECRETS["KeyPass"])
    user_file = flow.home / ".ematix-flow" / "connections.toml"
    user_file.parent.mkdir(parents=True)
    user_file.write_text(f"[connections.mine]\nhost = '127.0.0.1'\nport = 1\npassword = '{SECRETS['UserFilePw']}'\n")
    flow.variables.clear()
    with receiver() as sent:
        variables = {
            "CRM_PASSWORD": SECRETS["EnvPw"],
            "RUST_LOG": "trace",
            "RUST_BACKTRACE": "full",
            "OTEL_EXPORTER_OTLP_ENDPOINT": sent.url,
            "OPENLINEAGE_URL": sent.url,
        }
        yield Marked(flow, database, role, sent, variables)
    database.execute(f"DROP OWNED BY {role}, {role}_file, {role}_command, {role}_dsn CASCADE")
    database.execute(f"DROP ROLE {role}, {role}_file, {role}_command, {role}_dsn")


def write(marked: Marked, source: str = "by_file") -> None:
    info = marked.database.shared.info
    text = PROJECT.format(
        port=info.port, dbname=marked.database.name, role=marked.role, source=source, url=marked.sent.url,
        argv=SECRETS["Argv"], literal=SECRETS["LiteralPw"], passphrase=SECRETS["KeyPass"], dsn=SECRETS["DsnPw"],
    )  # fmt: skip
    for name, connection in (("file", "by_file"), ("command", "by_command")):
        section = text.index(f"[connections.{connection}]")
        text = text[:section] + text[section:].replace(f'user = "{marked.role}"', f'user = "{marked.role}_{name}"', 1)
    marked.flow.project(text.replace(f"postgresql://{marked.role}:", f"postgresql://{marked.role}_dsn:"))


def known_commands(flow: Flow, *above: str) -> list[str]:
    """The commands that help names, those below others with both words."""
    text = flow(*above, "--help").stdout
    section = re.search(r"^Commands:\n((?:  .*\n|\n(?=  ))+)", text, re.MULTILINE)
    names = re.findall(r"^  ([a-z-]+)  ", section[1] if section else "", re.MULTILINE)
    if above:
        return [" ".join((*above, name)) for name in names] or [" ".join(above)]
    return [each for name in names for each in known_commands(flow, name)]


def test_the_canary_knows_every_command(flow: Flow) -> None:
    assert sorted(known_commands(flow)) == sorted(COMMANDS)


@pytest.mark.long
@pytest.mark.parametrize("failure", FAILURES)
def test_no_command_shows_a_secret_whatever_goes_wrong(marked: Marked, failure: str) -> None:
    write(marked)
    info = marked.database.shared.info
    words = {"role": marked.role, "password": SECRETS["EnvPw"], "port": info.port}
    env = {name: text.format(**words) for name, text in FAILURES[failure].items()}
    forms: tuple[list[str], ...] = (["-vv"], ["--output", "json", "--log-format", "json"])
    typed = [
        (command, [*command.split(), *words_of_call, *form])
        for command, calls in COMMANDS.items()
        for words_of_call in calls or ()
        for form in (forms if failure == "good" else forms[:1])
    ]
    # Where they fail, most only wait to try again. What writes the project or the user's file does so while nobody reads.
    alone = [line for command, line in typed if failure == "good" or command in WRITES]
    together = [line for command, line in typed if failure != "good" and command not in WRITES]
    with ThreadPoolExecutor(8) as some:
        list(some.map(lambda line: marked.run(line, env), together))
    for line in alone:
        marked.run(line, env)
    assert len(marked.shown) == len(typed)
    if failure == "good":
        # What is searched is there: the runs wrote, and were told of.
        assert marked.database.value("SELECT count(*) FROM public.activity") > 0
        assert {request.path for request in marked.sent.received} >= {"/hook", "/v1/traces", "/api/v1/lineage"}
        assert "ok" in next(text for place, text in marked.shown if "'check', '-vv'" in place)
    assert found(marked.everything()) == []


def test_no_connection_shows_its_secret(marked: Marked) -> None:
    for source in ("by_file", "by_command", "by_key", "by_dsn", "mine"):
        write(marked, source)
        marked.run(["run", "--all", "-vv"], {})
        marked.run(["connections", "check", source, "-vv"], {})
    write(marked, "by_command")
    token = marked.flow.directory / "secrets" / "token"
    for line in ("exit 3", "printf '\\377'", "kill -9 $$"):
        token.write_text(token.read_text() + line + "\n")
        marked.run(["run", "activity", "-vv"], {})
    # A file that cannot be read is quoted, without what it says.
    project = marked.flow.directory / "pipelines.toml"
    good = project.read_text()
    for line in ("password = ", "sslpassword = ", "dsn = ", "password_command = "):
        start = good.index(line)
        for broken in (
            f"{good[:start]}x{good[start:]}",
            good[:start] + good[start:].replace('"', "", 1),
            good[:start] + line + "5 # " + good[start:],
        ):
            project.write_text(broken)
            marked.run(["validate"], {})
            marked.run(["connections", "check", "--log-format", "json"], {})
    project.write_text(good)
    # Drift, and a database that is gone in the middle.
    marked.database.execute(
        "ALTER TABLE IF EXISTS public.activity ADD extra int; ALTER TABLE IF EXISTS public.activity DROP query"
    )
    write(marked)
    marked.run(["run", "activity", "-vv"], {})
    assert found(marked.everything()) == []


def test_the_daemon_and_the_servers_log_show_none(marked: Marked) -> None:
    write(marked, "by_command")
    marked.database.execute(f"ALTER DATABASE {marked.database.name} SET log_statement = 'all'")
    daemon = Daemon(marked.flow, "-v", **marked.variables)
    daemon.says("activity")
    for page in ("/metrics", "/", "/livez", "/readyz", "/status"):
        marked.shown.append((page, daemon.get(page)[1]))
    daemon.end()
    marked.shown.append(("daemon", "".join(daemon.said + daemon.printed)))
    path = "current_setting('data_directory') || '/../log'"
    log = marked.database.value(f"SELECT pg_read_file({path}, 0, 1 << 28, true)") or ""
    mine = "\n".join(line for line in log.splitlines() if "CREATE ROLE" not in line)
    marked.shown.append(("the server's log", mine))
    assert found(marked.everything()) == []


def test_an_editor_is_shown_none(marked: Marked) -> None:
    write(marked)
    file = marked.flow.directory / "pipelines.toml"
    text = file.read_text()
    variables = {**marked.variables, "EMATIX_FLOW_DSN_CRM": FAILURES["password as port"]["EMATIX_FLOW_DSN_CRM"]}
    with LanguageClient([marked.flow.binary, "lsp"], file.parent, marked.flow.environment(variables)) as editor:
        marked.shown.append(("findings", str(editor.open(file))))
        for line in text.splitlines():
            for before in {line[: len(line) // 2], line.partition("=")[0] + "=", line}:
                there = text.replace(line, before + "|" + line[len(before) :], 1)
                marked.shown.append((before, f"{editor.about(file, there)}{editor.offered(file, there)}"))
    assert "connection" in str(marked.shown)
    assert found(marked.everything()) == []


def test_python_shows_none(marked: Marked, tmp_path: Path) -> None:
    write(marked)
    text = (marked.flow.directory / "pipelines.toml").read_text()
    home = marked.flow.home / ".ematix-flow" / "connections.toml"
    # Python finds connections by their names in the user's file; relative paths in it begin there.
    shutil.copytree(marked.flow.directory / "secrets", home.parent / "secrets")
    home.write_text(text[: text.index("[tables.")].replace("./secrets/token", str(home.parent / "secrets/token")))
    done = Interpreter(tmp_path, {"HOME": str(marked.flow.home), **marked.variables}).run(
        """
        import traceback
        from ematix_flow import Source, connect, pipeline

        def shown(name):
            connection = connect(name)
            yield repr(connection) + str(vars(connection))
            for use in (lambda: connection.query("SELECT 1 / 0"), lambda: connection.query("SELECT 1"),
                        lambda: connection.dbapi().close(),
                        lambda: pipeline.sync(source=Source.postgres_query(connection, "SELECT 1 AS id"), target="public.py",
                                              target_connection=connection, mode="append")):
                try:
                    yield repr(use())
                except Exception as error:
                    yield "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
                    yield repr(error) + str(vars(error))

        for name in ("crm", "by_file", "by_command", "by_key", "by_dsn"):
            for text in shown(name):
                print(text)
        """
    )
    assert "division by zero" in done.stdout
    marked.shown.append(("python", done.stdout + done.stderr))
    assert found(marked.everything()) == []


def test_the_search_finds_what_is_there(marked: Marked) -> None:
    """A canary that cannot sing says nothing."""
    marked.database.execute(f"CREATE TABLE public.leak AS SELECT '{SECRETS['EnvPw']}' AS text")
    (marked.flow.directory / "leak").write_bytes(base64.b64encode(f"abc{SECRETS['FilePw']}".encode()))
    marked.shown.append(("leak", SECRETS["KeyPass"]))
    assert [place.partition(":")[0] for place in found(marked.everything())] == [
        "leak",
        str(marked.flow.directory / "leak"),
        "public.leak",
    ]
