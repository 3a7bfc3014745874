"""No password is shown: by objects of Python, by tracebacks with their locals, by what travels, by what commands print."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from database import Database
from flow_binary import Flow
from python_package import PACKAGE, Interpreter

PASSWORD = "hunter2"
LOOKS = """
import copy, dataclasses, inspect, itertools, pickle, pprint, sys, traceback
import ematix_flow
from ematix_flow import Pipeline, Source, connect, errors
from ematix_flow.declare import connections as declared

# Not written here as one word: a traceback shows the user's own line.
secret = "hunter" + "2"
dsns = [f"postgresql://me:{secret}@127.0.0.1:1/shop", f"host=127.0.0.1 port=1 user=me password='{secret}'",
        f"postgresql://me@127.0.0.1:1/shop?password={secret}"]

number = itertools.count()

@dataclasses.dataclass
class Settings:
    connection: object

def shown(connection):
    pipeline = Pipeline(name=f"p{next(number)}", source=Source.postgres_query(connection, "SELECT 1 AS id"), target="dw.t",
                        target_connection=connection, mode="append")
    yield "repr", repr(connection)
    yield "str", f"{connection} {connection!s} {connection._dsn} {connection._dsn!r}"
    yield "vars", f"{vars(connection)} {connection.__dict__}"
    yield "getmembers", str(inspect.getmembers(connection)) + str(inspect.getmembers(connection._dsn))
    yield "static", str([inspect.getattr_static(connection._dsn, name) for name in dir(connection._dsn)])
    yield "asdict", str(dataclasses.asdict(Settings(connection))) + str(Settings(connection))
    yield "astuple", str(dataclasses.astuple(Settings(connection)))
    yield "copies", str(vars(copy.copy(connection))) + str(vars(copy.deepcopy(connection)))
    yield "pprint", pprint.pformat(vars(connection)) + pprint.pformat(connection)
    yield "pickle", str([pickle.dumps(connection, protocol) for protocol in range(6)])
    yield "module", str(vars(declared))
    yield "pipeline", f"{pipeline!r} {vars(pipeline)} {pipeline.declared()} {inspect.getmembers(pipeline)}"
    yield "source", f"{pipeline.source!r}" if hasattr(pipeline, "source") else ""
    for name, call in (("query", lambda: connection.query("SELECT 1")), ("run", lambda: pipeline.run()),
                       ("plan", lambda: pipeline.plan()), ("pickled secret", lambda: pickle.dumps(connection._dsn)),
                       ("named too", lambda: connect("x", dsn=connection._dsn)), ("target", lambda: pipeline.check())):
        try:
            call()
        except Exception as error:
            whole = traceback.TracebackException.from_exception(error, capture_locals=True)
            yield name, "".join(whole.format()) + repr(error) + str(vars(error))
        else:
            raise SystemExit(f"{name} went well")

for dsn in dsns:
    for name, text in shown(connect(dsn=dsn)):
        if secret in text.replace("secret = ", "").replace(repr(secret), ""):
            at = text.index(secret)
            print(f"{name} shows it: {text[max(0, at - 200):at + 20]}")
print("done")
"""


@pytest.mark.long
def test_no_look_at_a_connection_shows_its_password(tmp_path: Path) -> None:
    done = Interpreter(tmp_path).run(LOOKS)
    # The locals of the script itself are the user's: its own variables hold what they hold.
    assert done.stdout == "done\n", done.stdout


def test_what_is_unpickled_has_left_its_password_behind_and_says_so(tmp_path: Path) -> None:
    done = Interpreter(tmp_path).run(
        """
        import pickle
        from ematix_flow import Pipeline, Source, SpecError, connect
        bare = pickle.loads(pickle.dumps(connect(dsn="postgresql://me@db/shop?sslmode=require")))
        print(bare, bare._dsn == "postgresql://me@db/shop?sslmode=require", pickle.loads(pickle.dumps(connect("crm"))))
        for dsn in ("postgresql://me:hunter2@db/shop", "host=db password=hunter2 user=me"):
            there = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(connect(dsn=dsn)))))
            print(there)
            source = lambda: Source.postgres_query(there, "SELECT 1")
            for use in (lambda: there.query("SELECT 1"), lambda: Pipeline(name="p", source=source(), target="a.b", mode="append").validate()):
                try:
                    use()
                except SpecError as error:
                    print(error.code, "stayed behind" in error.message, "EMATIX_FLOW_DSN_" in error.hint)
        """
    )
    assert done.stdout.splitlines() == [
        "<Connection postgresql://me@db/shop?sslmode=require> True <Connection crm>",
        "<Connection postgresql://me@db/shop>",
        *["missing_variable True True"] * 2,
        "<Connection host=db  user=me>",
        *["missing_variable True True"] * 2,
    ]


@pytest.fixture
def reader(database: Database) -> str:
    database.execute(f"CREATE ROLE {database.name}_r LOGIN PASSWORD '{PASSWORD}'")
    database.execute(f"GRANT ALL ON DATABASE {database.name} TO {database.name}_r")
    return database.dsn_over_tcp(f"{database.name}_r", PASSWORD)


def test_a_connection_with_a_password_works_and_so_do_its_copies(reader: str, tmp_path: Path) -> None:
    done = Interpreter(tmp_path, {"READER": reader}).run(
        """
        import copy, os
        from ematix_flow import Source, connect, pipeline
        own = connect(dsn=os.environ["READER"])
        for each in (own, copy.copy(own), copy.deepcopy(own)):
            print(each.query("SELECT 1 AS one"))
        report = pipeline.sync(source=Source.postgres_query(own, "SELECT 1 AS id"), target="dw.t",
                               target_connection=own, mode="append")
        print(report.rows_inserted, "hunter2" in str(report.to_dict()))
        """
    )
    assert done.stdout == "[{'one': 1}]\n" * 3 + "1 False\n"


def test_a_function_that_is_given_a_connection_shows_no_password_when_it_raises(
    reader: str, database: Database, flow: Flow, tmp_path: Path
) -> None:
    module = """
import sys, traceback
from ematix_flow import ematix

@ematix.pipeline(target="dw.t", mode="append", source_connection="crm", target_connection="default")
def called(conn):
    rows = conn.query("SELECT 1 AS one")
    frame, text = sys._getframe(), []
    while frame is not None:
        text.append(repr({**frame.f_locals}))
        frame = frame.f_back
    raise ValueError(f"{rows} {'hunter' + '2' in ''.join(text)}")
"""
    (tmp_path / "shop.py").write_text(module)
    flow.project('python = ["shop"]\n')
    native = {
        "EMATIX_FLOW_PYTHON": sys.executable,
        "PYTHONPATH": f"{PACKAGE}:{tmp_path}",
        "EMATIX_FLOW_DSN_CRM": reader,
    }
    finished = flow("run", "called", "--output", "json", env=native, expect=1)
    assert finished.json()["error"]["message"].endswith("ValueError: [{'one': 1}] False"), finished
    wheel = Interpreter(tmp_path, {"EMATIX_FLOW_DSN_CRM": reader, "EMATIX_FLOW_DSN": database.dsn})
    answer = json.loads(wheel.flow("run", "called", "--output", "json", expect=1).stdout)
    assert answer["error"]["message"].endswith("ValueError: [{'one': 1}] False")


@pytest.mark.parametrize(
    "section",
    [
        'host = "postgresql://ann:s3cret@h.invalid/d"',
        'host = "localhost"\nport = 1\ndbname = "postgresql://ann:s3cret@h.invalid/d"',
        'host = "localhost"\nport = 1\npassword_command = ["echo s3cret"]',
    ],
)
def test_a_dsn_in_the_wrong_place_shows_no_password(section: str, flow: Flow) -> None:
    flow.project(f"[connections.crm]\n{section}\n")
    for command in (["connections", "list"], ["connections", "check", "crm"], ["doctor", "crm"]):
        finished = flow(*command, expect=None)
        assert "s3cret" not in finished.stdout + finished.stderr, finished


def test_a_dsn_instead_of_a_name_shows_no_password(flow: Flow) -> None:
    dsn = "postgresql://ann:s3cret@h.invalid/d"
    flow.project(f"""
[pipelines.reads]
source = {{ connection = "{dsn}", query = "SELECT 1 AS n" }}
target = "public.t"
target_connection = "{dsn}"
mode = "append"
""")
    for command in (
        ["run", "reads"], ["plan", "reads"], ["preview", "reads"], ["validate", "--connect"], ["status"],
        ["run", dsn], ["connections", "check", dsn], ["--env", dsn, "validate"], ["--config", dsn, "validate"],
    ):  # fmt: skip
        finished = flow(*command, expect=None)
        shown = finished.stdout + finished.stderr
        assert "s3cret" not in shown.lower() and "S3CRET" not in shown, finished
