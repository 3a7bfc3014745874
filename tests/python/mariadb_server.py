"""A MariaDB server for one test session, from Debian's package: made in a directory of its own, with TLS, and removed.

Its superuser is root, who comes in by the socket without a password: the directory of the socket is private. On TCP
(127.0.0.1, a free port) are `reader` with the password `right`, who may read everything and write nothing, and `secure`,
who must come encrypted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from certificates import Identity, authority
from server import CLEAN_ENVIRONMENT, Account, ServerError, free_port, new_directory, server_account

PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
SECONDS_TO_START = 60
USERS = """
CREATE USER reader@'%' IDENTIFIED BY 'right';
GRANT SELECT, SHOW VIEW, PROCESS ON *.* TO reader@'%';
CREATE USER secure@'%' IDENTIFIED BY 'right' REQUIRE SSL;
GRANT SELECT ON *.* TO secure@'%';
"""


@dataclass
class MariaDb:
    """A server that runs."""

    directory: Path
    port: int
    account: Account | None
    root: Identity = field(default_factory=lambda: authority("the authority of the tests"))
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    @property
    def certificate(self) -> Path:
        """The certificate of the authority that has signed the server's."""
        return self.directory / "root.crt"

    def dsn(self, database: str = "", more: str = "", user: str = "reader", password: str = "right") -> str:
        """Over TCP to this machine."""
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}{more}"

    def execute(self, statements: str, database: str = "") -> str:
        """Runs statements as root; what the last ones say, as rows of words with tabs between them."""
        done = subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch", "--skip-column-names"]
            + ["--default-character-set=utf8mb4", database],
            input=statements,
            capture_output=True,
            text=True,
            check=False,
            env=CLEAN_ENVIRONMENT,
        )
        assert done.returncode == 0, f"{statements[:400]}\n{done.stderr}"
        return done.stdout

    # --- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.make()
        command = [program("mariadbd"), *self.options(), f"--port={self.port}", "--bind-address=127.0.0.1"]
        command += [f"--ssl-ca={self.certificate}", f"--ssl-cert={self.directory}/server.crt"]
        command += [f"--ssl-key={self.directory}/server.key", f"--socket={self.socket}", "--skip-log-bin"]
        # What a test loses with the machine nobody misses.
        command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-name-resolve"]
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **self.identity())
        limit = time.monotonic() + SECONDS_TO_START
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > limit:
                self.stop()
                raise ServerError(f"mariadbd does not answer\n{(self.directory / 'log').read_text(errors='replace')}")
            time.sleep(0.05)
        self.execute(USERS)

    def make(self) -> None:
        self.own(self.directory)
        server = self.root.issue("localhost")
        for name, text in (
            ("root.crt", self.root.pem()),
            ("server.crt", server.pem()),
            ("server.key", server.key_pem()),
        ):
            path = self.directory / name
            path.write_text(text, encoding="ascii")
            self.own(path, 0o600 if name.endswith("key") else 0o644)
        made = subprocess.run(
            [program("mariadb-install-db"), *self.options(), "--auth-root-authentication-method=normal"]
            + ["--skip-test-db"],
            capture_output=True,
            text=True,
            check=False,
            **self.identity(),
        )
        if made.returncode != 0:
            raise ServerError(f"mariadb-install-db ended with {made.returncode}\n{made.stdout}{made.stderr}")

    def options(self) -> list[str]:
        return ["--no-defaults", f"--datadir={self.directory}/data", f"--tmpdir={self.directory}"]

    def identity(self) -> dict[str, object]:
        """As whom its programs run."""
        own: dict[str, object] = {"env": {**CLEAN_ENVIRONMENT, "PATH": PATH}, "cwd": "/"}
        if self.account:
            own |= {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return own

    def own(self, path: Path, mode: int = 0o755) -> None:
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)
        path.chmod(mode)

    def answers(self) -> bool:
        command = ["mariadb-admin", "--no-defaults", f"--socket={self.socket}", "--user=root", "ping"]
        return subprocess.run(command, capture_output=True, check=False, env=CLEAN_ENVIRONMENT).returncode == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        raise ServerError(f"{name} is not installed: apt-get install mariadb-server")
    return found


@contextmanager
def mariadb_server() -> Iterator[MariaDb]:
    """A server of our own, as long as it is needed."""
    server = MariaDb(new_directory(), free_port(), server_account())
    try:
        server.start()
        yield server
    finally:
        server.stop()
