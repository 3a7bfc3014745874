"""A DSN leads where psql goes with it: the same user, database, address and port, or both refuse.

Each form is given to psql itself and to the package, on the same server; what both say is compared, and besides that
it is what the form says here, since two may be wrong together.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import server
from database import Database
from flow_binary import Flow
from package_client import REFUSED, ask
from project import value

# The roles of a test are called after its database.
QUESTION = (
    "SELECT split_part(current_user, '_', 1) || CASE WHEN current_database() LIKE '%\\_2' THEN ' 2 ' ELSE ' 1 ' END"
    " || coalesce(host(inet_server_addr()), 'socket') || '|' || current_setting('application_name')"
    " || '|' || current_setting('TimeZone') || '|' || current_setting('work_mem')"
)
ROLES = re.compile(r"(?<![\w.])(ada|a%64a|a\\da|bo|reader|nobody)(?![\w.])")
PASSWORDS = {"ada": "p#s/s@w:r?d%&='\\", "bo": "plain"}

SOCKET = "ada 1 socket"
TCP = "ada 1 127.0.0.1"


@dataclass(frozen=True)
class Form:
    """A DSN with its surroundings, and where it leads: user, which database, and the server's address."""

    dsn: str | None
    leads: str
    env: Mapping[str, str] = field(default_factory=dict)
    # Further words that must stand in what is answered: of settings, or of the reason.
    says: str = ""


def uri(text: str, leads: str, says: str = "") -> Form:
    return Form(text, leads, says=says)


# {s} the socket's directory, {S} that percent-encoded, {p} the port, {x} a port where nobody listens, {d} and {e} the
# databases, {w} the password of ada percent-encoded, {q} that between quotes.
PLAIN = [
    # --- URI: parts, and parts that are left out
    uri("postgresql://ada:{w}@127.0.0.1:{p}/{d}", TCP),
    uri("postgres://ada:{w}@127.0.0.1:{p}/{d}", TCP),
    uri("postgresql://ada:{w}@localhost:{p}/{d}", TCP),
    uri("postgresql://bo:plain@127.0.0.1:{p}/{e}", "bo 2 127.0.0.1"),
    uri("postgresql://ada@{S}:{p}/{d}", SOCKET),
    uri("postgresql://{S}:{p}/{d}?user=ada", SOCKET),
    uri("postgresql://ada@/{d}?host={s}&port={p}", SOCKET),
    uri("postgresql:///{d}?host={s}&port={p}&user=ada", SOCKET),
    uri("postgresql:///?host={s}&port={p}&user=ada&dbname={e}", "ada 2 socket"),
    uri("postgresql://?host={s}&port={p}&user=ada&dbname={d}", SOCKET),
    uri("postgresql://ada@:{p}/{d}?host={s}", SOCKET),
    uri("postgresql://ada@nowhere:1/x?host={S}&port={p}&dbname={d}", SOCKET),
    uri("postgresql://:@/{d}?host={s}&port={p}&user=ada", SOCKET),
    uri("postgresql://ada:@/{d}?host={s}&port={p}", SOCKET),
    uri("postgresql://a%64a@{S}:{p}/{d}", SOCKET),
    uri("postgresql://ada:{w}@%31%32%37.0.0.1:{p}/{d}", TCP),
    uri("postgresql://ada:{w}@127.0.0.1:%20{p}%20/{d}", TCP),
    uri("postgresql://ada@{S}:{p}/{d}?", SOCKET),
    uri("postgresql://ada@{S}:{p}/{d}?application_name=x&", SOCKET, "x"),
    uri("postgresql://ada@{S}:{p}/{d}?application_name=a%3Db%26c", SOCKET, "a=b&c"),
    uri("postgresql://ada@{S}:{p}/{d}?%61pplication_name=x", SOCKET, "x"),
    uri("postgresql://ada@{S}:{p}/{d}?user=bo", "bo 1 socket"),
    uri("postgresql://ada@{S}:{p}/{d}?options=-c%20work_mem%3D7MB", SOCKET, "7MB"),
    uri("postgresql://ada@{S}:{p}/{d}?options=-cwork_mem%3D7MB%20-c%20TimeZone%3DAsia/Tokyo", SOCKET, "Tokyo|7MB"),
    uri("postgresql://ada@{S}:{p}/{d}?options=--work-mem%3D7MB", SOCKET, "7MB"),
    uri("postgresql://ada@{S}:{p}/{d}?options=-c%20TimeZone%3DUTC%5C%20", REFUSED),
    uri("postgresql://ada:wrong@127.0.0.1:{p}/{d}", REFUSED, "authentication_failed"),
    uri("postgresql://nobody:{w}@127.0.0.1:{p}/{d}", REFUSED, "authentication_failed"),
    uri("postgresql://ada@127.0.0.1:{p}/{d}", REFUSED, "authentication_failed"),
    uri("postgresql://ada@{S}:{p}/{d}%20", REFUSED, "unknown_database"),
    uri("postgresql://ada@{S}:{p}/{d}/x", REFUSED, "unknown_database"),
    uri("postgresql://ada@{S}:{p}", REFUSED, "unknown_database"),
    uri("postgresql://ada@{S}:{x}/{d}", REFUSED, "connect_failed"),
    uri("postgresql://ada:{w}@127.0.0.1:{x}/{d}", REFUSED, "connect_failed"),
    # --- several hosts
    uri("postgresql://ada:{w}@127.0.0.1:{x},127.0.0.1:{p}/{d}", TCP),
    uri("postgresql://ada:{w}@127.0.0.1:{p},127.0.0.1:{x}/{d}", TCP),
    uri("postgresql://ada:{w}@[::1]:{x},127.0.0.1:{p}/{d}", TCP),
    uri("postgresql://ada:{w}@{S}:{x},127.0.0.1:{p}/{d}", TCP),
    uri("postgresql://ada:{w}@{S},127.0.0.1/{d}?port={p}", SOCKET),
    uri("postgresql://ada:{w}@127.0.0.1%2C127.0.0.1/{d}?port={x},{p}", TCP),
    uri("postgresql://ada:{w}@127.0.0.1:{x},127.0.0.1:{x}/{d}", REFUSED, "connect_failed"),
    uri("postgresql://ada:wrong@127.0.0.1:{p},{S}:{p}/{d}", REFUSED, "authentication_failed"),
    uri("postgresql://ada@127.0.0.1,{S}/{d}?port={x},{p},{p}", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S},/{d}?port={p}", SOCKET),
    uri("host={s},{s} port={x},{p} user=ada dbname={d}", SOCKET),
    uri("host={s},{s} port={p} user=ada dbname={d}", SOCKET),
    uri("host={s},{s} port={x}, user=ada dbname={d}", REFUSED),
    uri("host=db.invalid,{s} port={p} user=ada dbname={d}", SOCKET),
    uri("host=db.invalid,{s} hostaddr=127.0.0.1, port={x},{p} user=ada dbname={d}", SOCKET),
    uri("host={s},{s},{s} port={x},{p} user=ada dbname={d}", REFUSED, "invalid_value"),
    # --- URI: what cannot be read
    uri("postgresql://ada@{S}:port/{d}", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}x/{d}", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:0/{d}", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:65536/{d}", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:-1/{d}", REFUSED, "invalid_value"),
    uri("postgresql://[::1/{d}", REFUSED, "invalid_value"),
    uri("postgresql://[]:{p}/{d}", REFUSED, "invalid_value"),
    uri("postgresql://[::1]x:{p}/{d}", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}/{d}?x", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}/{d}?application_name=a=b", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}/{d}?&application_name=a", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}/{d}?application_name=a&&user=ada", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}/{d}?aplication_name=a", REFUSED, "unknown_option"),
    uri("postgresql://ada@{S}:{p}/{d}?ssl=false", REFUSED, "unknown_option"),
    uri("postgresql://ada@%zz:{p}/{d}", REFUSED, "invalid_value"),
    uri("postgresql://ada@%00:{p}/{d}", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}/{d}%", REFUSED, "invalid_value"),
    uri("postgresql://ada@{S}:{p}/{d}?application_name=%2", REFUSED, "invalid_value"),
    uri("postgresql://ada@127.0.0.1:{p}/{d}?ssl=true", REFUSED, "tls_failed"),
    uri("POSTGRESQL://ada@{S}:{p}/{d}", REFUSED),
    uri("oracle://ada@{S}:{p}/{d}", REFUSED),
    # --- key=value
    uri("host={s} port={p} user=ada dbname={d}", SOCKET),
    uri("  host = {s}  port= {p} user =ada dbname={d}  ", SOCKET),
    uri("host={s}\tport={p}\nuser=ada\u000bdbname={d}", SOCKET),
    uri("host='{s}' port='{p}' user='ada' dbname='{d}'", SOCKET),
    uri("host='{s}'port='{p}'user='ada'dbname='{d}'", SOCKET),
    uri("host={s} port={p} user=a\\da dbname={d}", SOCKET),
    uri("host={s} port={p} user='a\\da' dbname={d} application_name='it\\'s \\\\'", SOCKET, "it's \\"),
    uri("host={s} port=+{p} user=ada dbname={d}", SOCKET),
    uri("host={s} port=' {p} ' user=ada dbname={d}", SOCKET),
    uri("host={s} port=0{p} user=ada dbname={d}", SOCKET),
    uri("host={s} port={p} user=bo user=ada dbname={d}", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} application_name=''", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} options='-c work_mem=7MB'", SOCKET, "7MB"),
    uri("host={s} port={p} user=ada dbname={d} fallback_application_name=fallback", SOCKET, "fallback"),
    uri("host=127.0.0.1 port={p} user=ada dbname={d} password='{q}'", TCP),
    uri("hostaddr=127.0.0.1 port={p} user=ada dbname={d} password='{q}'", TCP),
    uri("host=db.invalid hostaddr=127.0.0.1 port={p} user=ada dbname={d} password='{q}' sslmode=prefer", TCP),
    uri("host={s} hostaddr=127.0.0.1 port={p} user=ada dbname={d} password='{q}'", TCP),
    uri("host={s} hostaddr='' port={p} user=ada dbname={d}", SOCKET),
    uri("hostaddr=localhost port={p} user=ada dbname={d}", REFUSED, "invalid_value"),
    uri("host={s}/ port={p} user=ada dbname={d}", SOCKET),
    uri("host=@nowhere port={p} user=ada dbname={d}", REFUSED, "connect_failed"),
    uri("host={s} port={p} user=ada dbname", REFUSED, "invalid_value"),
    uri("host={s} port={p} user=ada dbname='{d}", REFUSED, "invalid_value"),
    uri("host={s} port={p} user=ada dbname={d} x=y", REFUSED, "unknown_option"),
    uri("host={s} port={p} user=ada = dbname={d}", REFUSED),
    uri("host={s} port={p} User=ada dbname={d}", REFUSED, "invalid_value"),
    uri("host={s} port={p} user=ada dbname={d} sslmode=sometimes", REFUSED, "invalid_value"),
    uri("host={s} port={p} user=ada dbname={d} sslmode=require", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} connect_timeout=x", REFUSED, "invalid_value"),
    uri("host={s} port={p} user=ada dbname={d} connect_timeout=' 5 '", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} connect_timeout=-1", SOCKET),
    uri("host=127.0.0.1 port={p} user=ada dbname={d} password='{q}' keepalives=0 keepalives_idle=-5", TCP),
    uri("host=127.0.0.1 port={p} user=ada dbname={d} password='{q}' keepalives_idle=' 9 ' keepalives_count=2", TCP),
    uri("host=127.0.0.1 port={p} user=ada dbname={d} password='{q}' keepalives=x", REFUSED, "invalid_value"),
    uri("host=127.0.0.1 port={p} user=ada dbname={d} password='{q}' tcp_user_timeout=-1", TCP),
    uri("host={s} port={p} user=ada dbname={d} client_encoding=utf-8", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} gssencmode=disable krbsrvname=postgres sslcompression=1", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} requirepeer={o}", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} requirepeer=x{o}", REFUSED, "requirepeer"),
    uri("host=127.0.0.1 port={p} user=ada dbname={d} password='{q}' requirepeer=x", TCP),
    # --- several servers of one kind
    uri("host={s} port={p} user=ada dbname={d} target_session_attrs=read-write", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} target_session_attrs=primary", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} target_session_attrs=prefer-standby", SOCKET),
    uri("host={s} port={p} user=ada dbname={d} target_session_attrs=standby", REFUSED, "the server is no standby"),
    uri(
        "host={s} port={p} user=ada dbname={d} target_session_attrs=read-only", REFUSED, "the session is not read-only"
    ),
    uri("host={s} port={p} user=reader dbname={d} target_session_attrs=read-only", "reader 1 socket"),
    uri(
        "host={s} port={p} user=reader dbname={d} target_session_attrs=read-write", REFUSED, "the session is read-only"
    ),
    uri("host={s} port={p} user=reader dbname={d} target_session_attrs=primary", "reader 1 socket"),
    uri("host={s} port={p} user=ada dbname={d} target_session_attrs=master", REFUSED, "invalid_value"),
    # --- services and password files; {h} is the home directory
    uri("service=shop", SOCKET),
    uri("postgresql://?service=shop", SOCKET),
    uri("service=shop user=bo", "bo 1 socket"),
    uri("user=bo service=shop", "bo 1 socket"),
    uri("service=shop dbname={e}", "ada 2 socket"),
    uri("service=' shop'", REFUSED, "invalid_value"),
    uri("service=shops", REFUSED, "is in no service file"),
    uri("service=twice", SOCKET),
    uri("service=later", "bo 2 socket"),
    uri("service=spaced", REFUSED, "invalid_value"),
    uri("service=nested", REFUSED, "invalid_value"),
    uri("service=unknown", REFUSED, "invalid_value"),
    uri("service=system", "bo 2 socket"),
    uri("service=tcp", TCP),
    uri("host=127.0.0.1 port={p} user=bo dbname={d}", "bo 1 127.0.0.1"),
    uri("host=localhost port={p} user=bo dbname={d}", REFUSED, "authentication_failed"),
    uri("host=127.0.0.1 port={p} user=bo dbname={d} password=''", "bo 1 127.0.0.1"),
    uri("host=127.0.0.1 port={p} user=bo dbname={d} password=wrong", REFUSED, "authentication_failed"),
    uri("host=127.0.0.1 port={p} user=bo dbname={e}", REFUSED, "authentication_failed"),
    uri("host=db.example hostaddr=127.0.0.1 port={p} user=ada dbname={d} sslmode=prefer", TCP),
    uri("host=127.0.0.1,127.0.0.1 port={x},{p} user=bo dbname={d}", "bo 1 127.0.0.1"),
    uri("host=127.0.0.1 port={p} user=ada dbname={d} passfile={h}/escaped", TCP),
    uri("host=127.0.0.1 port={p} user=bo dbname={d} passfile={h}/absent", REFUSED, "there is no such file"),
    uri("host=127.0.0.1 port={p} user=bo dbname={d} passfile={h}/open", REFUSED, "chmod 0600"),
    uri("host=127.0.0.1 port={p} user=bo dbname={d} passfile={h}", REFUSED, "no plain file"),
]

# What is set around them; a process each.
HERE = {"PGHOST": "{s}", "PGPORT": "{p}", "PGUSER": "ada", "PGDATABASE": "{d}"}
SURROUNDED = [
    Form(None, SOCKET, HERE),
    Form("postgresql://", SOCKET, HERE),
    Form("postgresql:///{e}", "ada 2 socket", HERE),
    Form("user=bo", "bo 1 socket", HERE),
    Form("host=127.0.0.1 password='{q}'", TCP, HERE),
    Form("postgresql://127.0.0.1", TCP, {**HERE, "PGPASSWORD": PASSWORDS["ada"]}),
    Form("postgresql://ada:wrong@127.0.0.1", REFUSED, {**HERE, "PGPASSWORD": PASSWORDS["ada"]}),
    Form(None, TCP, {**HERE, "PGHOSTADDR": "127.0.0.1", "PGPASSWORD": PASSWORDS["ada"]}),
    Form("host={s} password='{q}'", TCP, {**HERE, "PGHOSTADDR": "127.0.0.1"}),
    Form("host=''", REFUSED, {**HERE, "PGPORT": "{x}"}),
    Form(None, SOCKET, {**HERE, "PGHOST": "{s},{s}", "PGPORT": "{x},{p}"}),
    Form(None, SOCKET, {**HERE, "PGAPPNAME": "mine"}, "mine"),
    Form("application_name=said", SOCKET, {**HERE, "PGAPPNAME": "mine"}, "said"),
    Form(None, SOCKET, {**HERE, "PGOPTIONS": "-c work_mem=7MB"}, "7MB"),
    Form("options='-c work_mem=8MB'", SOCKET, {**HERE, "PGOPTIONS": "-c work_mem=7MB"}, "8MB"),
    Form(None, REFUSED, {**HERE, "PGSSLMODE": "sometimes"}, "PGSSLMODE"),
    Form("host=127.0.0.1 password='{q}'", REFUSED, {**HERE, "PGSSLMODE": "require"}, "tls_failed"),
    Form("host=127.0.0.1 password='{q}'", REFUSED, {**HERE, "PGREQUIRESSL": "1"}, "tls_failed"),
    Form("host=127.0.0.1 password='{q}' sslmode=disable", TCP, {**HERE, "PGREQUIRESSL": "1", "PGSSLMODE": "require"}),
    Form(None, REFUSED, {**HERE, "PGTARGETSESSIONATTRS": "standby"}, "the server is no standby"),
    Form(None, REFUSED, {**HERE, "PGPORT": "port"}, "PGPORT"),
    Form(None, REFUSED, {**HERE, "PGCONNECT_TIMEOUT": "soon"}, "PGCONNECT_TIMEOUT"),
    Form(None, "bo 2 socket", {"PGSERVICE": "later"}),
    Form(None, "bo 2 socket", {**HERE, "PGSERVICE": "later"}),
    Form("service=shop", SOCKET, {"PGSERVICE": "later"}),
    Form("service=of-file", SOCKET, {"PGSERVICEFILE": "{h}/services"}),
    Form("service=system", "bo 2 socket", {"PGSERVICEFILE": "{h}/services"}),
    Form("service=later", REFUSED, {"PGSERVICEFILE": "{h}/services"}, "is in no service file"),
    Form("service=shop", REFUSED, {"PGSERVICEFILE": "{h}/absent"}, "there is no such file"),
    Form("host=127.0.0.1", TCP, {**HERE, "PGPASSFILE": "{h}/escaped"}),
    Form("host=127.0.0.1 user=bo passfile={h}/.pgpass", "bo 1 127.0.0.1", {**HERE, "PGPASSFILE": "{h}/absent"}),
    Form("host=127.0.0.1 user=bo", REFUSED, {**HERE, "PGPASSFILE": "{h}/open"}, "chmod 0600"),
]


@dataclass(frozen=True)
class Surroundings:
    """A server, and a home directory with the files of libpq."""

    words: Mapping[str, str]
    home: Path

    def filled(self, text: str) -> str:
        text = ROLES.sub(r"\1_{d}", text)
        for name, word in self.words.items():
            text = text.replace("{" + name + "}", word)
        return text

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        own = {name: self.filled(text) for name, text in env.items()}
        path = os.environ.get("PATH", os.defpath)
        # Without a time zone of their own both take the server's; no system's file of services is ours.
        return {"PATH": path, "HOME": str(self.home), "PGSYSCONFDIR": str(self.home / "system")} | own

    def psql(self, form: Form) -> str:
        command = [psql(), "-XAtqw", "-c", QUESTION]
        if form.dsn is not None:
            command += ["-d", self.filled(form.dsn)]
        environment = {**self.environment(form.env), "PGCONNECT_TIMEOUT": form.env.get("PGCONNECT_TIMEOUT", "5")}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False
        )
        return done.stdout.rstrip("\n") if done.returncode == 0 else f"{REFUSED}: {done.stderr}"

    def ours(self, forms: list[Form], env: Mapping[str, str], directory: Path) -> list[str]:
        dsns = [None if form.dsn is None else self.filled(form.dsn) for form in forms]
        answers = ask(dsns, QUESTION, directory, self.environment(env))
        for password in (PASSWORDS["ada"], value(PASSWORDS["ada"])[1:-1], quote(PASSWORDS["ada"], safe="")):
            assert not any(password in answer for answer in answers)
        return answers


def psql() -> str:
    found = next((path / "psql" for path in server.binary_directories() if (path / "psql").exists()), None)
    found_in_path = shutil.which("psql")
    if found is None and found_in_path is None:
        pytest.skip("there is no psql: apt-get install postgresql-client")
    return str(found or found_in_path)


@pytest.fixture
def around(database: Database, tmp_path: Path) -> Iterator[Surroundings]:
    home = tmp_path / "libpq"
    (home / "system").mkdir(parents=True)
    info = database.shared.info
    if not info.host.startswith("/"):
        pytest.skip("the server of the tests has no socket")
    second = f"{database.name}_2"
    roles = {name: f"{name}_{database.name}" for name in ("ada", "bo", "reader")}
    for name, role in roles.items():
        literal = PASSWORDS.get(name, "reader").replace("'", "''")
        database.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{literal}'")
    database.execute(f"ALTER ROLE {roles['reader']} SET default_transaction_read_only = on")
    database.execute(f"CREATE DATABASE {second} STRATEGY FILE_COPY")
    ada = PASSWORDS["ada"]
    words = {
        "s": info.host,
        "S": quote(info.host, safe=""),
        "p": str(info.port),
        "x": str(server.free_port()),
        "d": database.name,
        "e": second,
        "w": quote(ada, safe=""),
        "q": ada.replace("\\", "\\\\").replace("'", "\\'"),
        "h": str(home),
        "o": Path(info.host).owner(),
    }
    surroundings = Surroundings(words, home)
    write_files(surroundings)
    try:
        yield surroundings
    finally:
        database.execute(f"DROP DATABASE {second} WITH (FORCE)")
        with suppress(Exception):
            database.execute(f"DROP ROLE {', '.join(roles.values())}")


def write_files(around: Surroundings) -> None:
    here = "host={s}\nport={p}\n"
    files = {
        ".pg_service.conf": f"# all\n[shop]\n{here}user=ada\ndbname={{d}}\n\n[twice]\n{here}user=ada\nuser=bo\n"
        f"dbname={{d}}\n[twice]\nuser=bo\n[later]\n  {here}user=bo\ndbname={{e}}\n[spaced]\nhost = x\n"
        "[nested]\nservice=shop\n[unknown]\nhots=x\n"
        "[tcp]\nhost=127.0.0.1\nport={p}\nuser=ada\ndbname={d}\npassword=" + PASSWORDS["ada"] + "\n",
        "system/pg_service.conf": f"[system]\n{here}user=bo\ndbname={{e}}\n[shop]\nuser=bo\n",
        "services": f"[of-file]\n{here}user=ada\ndbname={{d}}\n",
        ".pgpass": "# mine\nlocalhost:*:*:*:wrong\n127.0.0.1:{p}:{d}:bo:plain\n127.0.0.1:*:*:bo:wrong\n"
        "db.example:*:*:*:" + PASSWORDS["ada"].replace("\\", "\\\\").replace(":", "\\:") + "\n",
        "escaped": "*:{p}:*:a\\da:" + PASSWORDS["ada"].replace("\\", "\\\\").replace(":", "\\:") + ":rest\n",
        "open": "*:*:*:*:plain\n",
    }
    for name, text in files.items():
        path = around.home / name
        path.write_text(around.filled(text).replace("\r", ""))
        path.chmod(0o644 if name == "open" else 0o600)


def differences(forms: list[Form], ours: list[str], theirs: list[str]) -> list[str]:
    found = []
    for form, our, their in zip(forms, ours, theirs, strict=True):
        if form.leads == REFUSED:
            fits = our.startswith(REFUSED) and their.startswith(REFUSED)
        else:
            fits = our.startswith(form.leads + "|") and alike(our.split("|"), their.split("|"))
        if not fits or form.says not in our:
            found.append(f"{form}\n  ours: {our}\n  psql: {their}")
    return found


def alike(our: list[str], their: list[str]) -> bool:
    """Whether two answers say the same; our session's name goes on, and psql's own is psql."""
    if len(our) != len(their):
        return False
    named = their[1] in ("psql", "") or our[1].startswith(their[1])
    return named and our[:1] + our[2:] == their[:1] + their[2:]


def test_each_form_leads_where_psql_goes(around: Surroundings, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        theirs = threads.map(around.psql, PLAIN)
        ours = around.ours(PLAIN, {}, tmp_path / "ask")
        found = differences(PLAIN, ours, list(theirs))
    assert not found, "\n".join(found)
    assert len(PLAIN) > 100


def test_what_is_set_around_a_form_counts_as_with_psql(around: Surroundings, tmp_path: Path) -> None:
    def ours_of(number: int) -> str:
        [answer] = around.ours([SURROUNDED[number]], SURROUNDED[number].env, tmp_path / str(number))
        return answer

    with ThreadPoolExecutor(3) as threads:
        theirs = threads.map(around.psql, SURROUNDED)
        ours = threads.map(ours_of, range(len(SURROUNDED)))
        found = differences(SURROUNDED, list(ours), list(theirs))
    assert not found, "\n".join(found)


def test_the_command_line_takes_what_the_package_takes(around: Surroundings, flow: Flow) -> None:
    # In variables: of a file with one wrong DSN nothing is taken.
    dsns = {f"EMATIX_FLOW_DSN_C{number}": around.filled(form.dsn or "") for number, form in enumerate(PLAIN)}
    home = {"HOME": str(around.home), "PGSYSCONFDIR": str(around.home / "system"), "EMATIX_FLOW_DSN": None}
    flow.project("[defaults]\n")
    report = flow("connections", "check", "--output", "json", env={**home, **dsns}, expect=None)
    answers = {each["name"]: each["error"] for each in report.json()["connections"]}
    for number, form in enumerate(PLAIN):
        error = answers[f"c{number}"]
        assert (error is not None) == (form.leads == REFUSED), (form, error)
        assert error is None or form.says in f"[{error['code']}] {error}", (form, error)
