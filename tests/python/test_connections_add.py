"""`flow connections add`: what it writes, who can read it, what stays, and where a password can come from."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
import tomllib
from database import Database
from flow_binary import Flow

PASSWORD = "p${x} 'w\\d\" é#"


@pytest.fixture
def file(flow: Flow) -> Path:
    """The user's own file, which is not there yet."""
    flow.variables.pop("EMATIX_FLOW_DSN", None)
    flow.project("")
    return flow.home / ".ematix-flow" / "connections.toml"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.fixture
def where(database: Database, tcp_role: str) -> list[str]:
    database.execute(f"ALTER ROLE {tcp_role} PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
    info = database.shared.info
    host = "127.0.0.1" if info.host.startswith("/") else info.host
    return [
        "--host",
        host,
        "--port",
        str(info.port),
        "--user",
        tcp_role,
        "--dbname",
        database.name,
        "--sslmode",
        "disable",
    ]


def test_it_writes_what_works_for_nobody_else_to_read(
    flow: Flow, file: Path, where: list[str], database: Database
) -> None:
    added = flow("connections", "add", "crm", *where, "--password-stdin", stdin=PASSWORD + "\nmore\n")
    assert " ok " in added.stdout and added.stderr == "wrote [connections.crm] to ~/.ematix-flow/connections.toml\n"
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert [path.name for path in file.parent.iterdir()] == ["connections.toml"]
    assert " ok " in flow("connections", "check", "crm").stdout
    dsn = dict(zip(where[::2], where[1::2], strict=True))
    dsn = f"postgresql://{dsn['--user']}@{dsn['--host']}:{dsn['--port']}/{dsn['--dbname']}?sslmode=disable"
    flow("connections", "add", "by_dsn", "--dsn", dsn, "--password-stdin", "--read-only", stdin=PASSWORD + "\n")
    assert " ok " in flow("connections", "check", "by_dsn").stdout
    assert "read_only = true" in file.read_text()
    listed = flow("connections", "list")
    assert "crm" in listed.stdout and PASSWORD not in listed.stdout + added.stdout


def test_what_the_file_held_stays(flow: Flow, file: Path) -> None:
    file.parent.mkdir(parents=True)
    before = (
        "# mine\n[connections.a] # first\nhost = 'a'   # here\n\n# the second\n[connections.b]\nhost = 'b'\n# the end\n"
    )
    file.write_text(before)
    file.chmod(0o644)
    flow("connections", "add", "c", "--host", "c", "--no-check")
    assert file.read_text() == before + '\n[connections.c]\nhost = "c"\n'
    assert mode(file) == 0o600
    refused = flow("connections", "add", "a", "--host", "x", "--no-check", expect=2).stderr
    assert "has a connection `a` already" in refused and "--replace" in refused
    flow("connections", "add", "a", "--host", "x", "--no-check", "--replace")
    after = before.replace("host = 'a'   # here", 'host = "x"') + '\n[connections.c]\nhost = "c"\n'
    assert file.read_text() == after


def test_what_says_nothing_of_the_way_stays(flow: Flow, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(
        '[connections.a]\nhost = "old"\nuser = "u"\nread_only = true\nrole = "marts"\nmax_connections = 3\n'
        '[connections.a.session]\ntimezone = "UTC"\n'
    )
    told = flow("connections", "add", "a", "--host", "new", "--no-check", "--replace").stderr
    assert told == (
        "wrote [connections.a] to ~/.ematix-flow/connections.toml; kept read_only, role, max_connections, session\n"
    )
    kept = {"read_only": True, "role": "marts", "max_connections": 3, "session": {"timezone": "UTC"}}
    assert tomllib.loads(file.read_text()) == {"connections": {"a": {"host": "new", **kept}}}
    file.write_text("connections = { b = { host = 'old', session = { timezone = 'UTC' } } }\n")
    flow("connections", "add", "b", "--host", "new", "--no-check", "--replace")
    assert tomllib.loads(file.read_text()) == {"connections": {"b": {"host": "new", "session": {"timezone": "UTC"}}}}


def test_a_name_that_cannot_be_told_apart_is_refused(flow: Flow, file: Path) -> None:
    flow.project("[connections.of-project]\nhost = 'h'\n")
    flow("connections", "add", "crm_eu", "--host", "h", "--no-check")
    before = file.read_text()
    cases = {
        "": "the name of a connection is empty",
        "a\nb": "the name of a connection contains a line break or another control character",
        "a\x1b[31m": "the name of a connection contains a line break",
        "crm-eu": "`crm-eu` and `crm_eu` would share the variable EMATIX_FLOW_DSN_CRM_EU",
        "OF_PROJECT": "`OF_PROJECT` and `of-project` would share the variable EMATIX_FLOW_DSN_OF_PROJECT",
    }
    for name, words in cases.items():
        told = flow("connections", "add", name, "--host", "h", "--no-check", expect=2).stderr
        assert "error[invalid_value]" in told and words in told and "\x1b" not in told, told
    assert file.read_text() == before


def test_what_was_not_looked_at_is_no_table(flow: Flow, file: Path) -> None:
    assert flow("connections", "add", "crm", "--host", "h", "--no-check").stdout == ""
    added = flow("connections", "add", "dwh", "--host", "h", "--no-check", "--output", "json")
    assert added.json()["connections"] == []


def test_no_project_is_needed(flow: Flow, file: Path, where: list[str]) -> None:
    (flow.directory / "pipelines.toml").unlink()
    flow("connections", "add", "crm", *where, "--password-stdin", stdin=PASSWORD + "\n")
    assert "crm" in flow("connections", "list").stdout
    assert " ok " in flow("connections", "check", "crm").stdout
    assert "connection crm" in flow("doctor", "crm", expect={0, 1}).stdout
    for command in (["connections", "check", "other"], ["doctor", "other"]):
        assert "`pipelines.toml` cannot be read: there is no such file" in flow(*command, expect=2).stderr
    # A faulty file is no missing one.
    for command in (["connections", "list"], ["connections", "check", "crm"], ["doctor", "crm"]):
        assert "error[invalid_toml]" in flow(*command, config="[nothing\n", expect=2).stderr


def test_a_link_stays_one(flow: Flow, file: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    file.parent.mkdir(parents=True)
    file.symlink_to(real)
    flow("connections", "add", "c", "--host", "c", "--no-check")
    assert file.is_symlink() and "[connections.c]" in real.read_text() and mode(real) == 0o600


def test_what_does_not_work_is_not_written(flow: Flow, file: Path, where: list[str]) -> None:
    wrong = flow("connections", "add", "crm", *where, "--password-stdin", stdin="wrong\n", expect=6).stderr
    assert "error[authentication_failed]" in wrong and "nothing was written; --no-check writes it" in wrong
    assert not file.exists()
    cases = {
        ("crm",): "nothing says where the connection leads",
        ("crm", "--host", "h", "--port", "x"): "`port` of connection `crm` must be a number",
        ("crm", "--dsn", "host=h hots=x"): "unknown parameter `hots`",
        ("crm", "--dsn", f"host=h password={PASSWORD[:2]}"): "which the shell's history keeps and `ps` shows",
        ("crm", "--dsn", "postgresql://u:hunter2@h/d"): "which the shell's history keeps and `ps` shows",
        ("crm", "--dsn", "postgresql://h/d?sslpassword=hunter2"): "which the shell's history keeps and `ps` shows",
        ("crm", "--dsn", "postgresql://u:hunter2@h/${env:DB}"): "which the shell's history keeps and `ps` shows",
        ("crm", "--dsn", "host=${env:H} password = hunter2"): "which the shell's history keeps and `ps` shows",
        ("crm", "--dsn", "postgresql://u:${env:PW:-hunter2}@h/d"): "which the shell's history keeps and `ps` shows",
        ("crm", "--host", "h", "--password-stdin"): "the input holds no password",
        ("crm", "--dsn", "${env:X}", "--password-stdin"): "does not go with this DSN",
    }
    for arguments, words in cases.items():
        told = flow("connections", "add", *arguments, stdin="", expect=2).stderr
        assert words in told and "hunter2" not in told, told
    assert not file.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[connections\n")
    told = flow("connections", "add", "crm", "--host", "h", "--no-check", expect=2).stderr
    assert "error[invalid_toml]: ~/.ematix-flow/connections.toml: " in told
    assert file.read_text() == "[connections\n"


def test_a_command_may_print_the_password(flow: Flow, file: Path, where: list[str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSWORD)
    flow("connections", "add", "crm", *where, "--password-command", "cat", str(tmp_path / "secret"), "--")
    assert f'password_command = ["cat", "{tmp_path}/secret", "--"]' in file.read_text()
    flow("connections", "add", "dsn", "--dsn", "${env:CRM_DSN}", "--no-check")
    assert 'dsn = "${env:CRM_DSN}"' in file.read_text()
    dsn = "postgresql://u:${env:PW}@h/${env:DB}"
    flow("connections", "add", "parts", "--dsn", dsn, "--no-check")
    assert dsn in file.read_text()


def test_a_variable_that_goes_before_the_file_is_told(flow: Flow, file: Path) -> None:
    told = flow("connections", "add", "crm", "--host", "h", env={"EMATIX_FLOW_DSN_CRM": "host=other"}).stderr
    assert "warning: EMATIX_FLOW_DSN_CRM is set and goes before the file: not logged in" in told
    assert file.exists()


def on_a_terminal(flow: Flow, arguments: list[str], answer: bytes | signal.Signals) -> tuple[int, str, bool]:
    """What a terminal shows of a command that asks, its exit code, and whether the terminal shows keys afterwards."""
    import termios

    main, side = pty.openpty()
    process = subprocess.Popen(
        [flow.binary, *arguments], stdin=side, stdout=side, stderr=side, cwd=flow.directory, env=flow.environment({})
    )
    shown = b""
    deadline = time.monotonic() + 30
    typed = False
    while time.monotonic() < deadline:
        if select.select([main], [], [], 0.1)[0]:
            shown += os.read(main, 4096)
        if not typed and b"(empty: none): " in shown:
            # The question comes before the terminal falls silent.
            while termios.tcgetattr(side)[3] & termios.ECHO:
                time.sleep(0.01)
            if isinstance(answer, signal.Signals):
                process.send_signal(answer)
            else:
                os.write(main, answer)
            typed = True
        if process.poll() is not None and not select.select([main], [], [], 0.1)[0]:
            break
    echoes = bool(termios.tcgetattr(side)[3] & termios.ECHO)
    os.close(main)
    os.close(side)
    return process.wait(10), shown.decode(), echoes


def test_on_a_terminal_it_asks_and_shows_nothing(flow: Flow, file: Path, where: list[str]) -> None:
    arguments = ["connections", "add", "crm", *where]
    code, shown, echoes = on_a_terminal(flow, arguments, b"s3\x03")
    assert (code, echoes, file.exists()) == (130, True, False), shown
    code, shown, echoes = on_a_terminal(flow, arguments, b"wrong\x15" + PASSWORD.encode() + b"x\x7f\r")
    assert (code, echoes) == (0, True), shown
    assert PASSWORD not in shown and "wrong" not in shown
    assert " ok " in flow("connections", "check", "crm").stdout


@pytest.mark.parametrize(
    ("asked", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)], ids=str
)
def test_a_signal_leaves_the_terminal_as_it_was(
    flow: Flow, file: Path, where: list[str], asked: signal.Signals, expected: int
) -> None:
    code, shown, echoes = on_a_terminal(flow, ["connections", "add", "crm", *where], asked)
    assert (code, echoes, file.exists()) == (expected, True, False), shown
    assert "nothing was written" in shown


def test_a_pipe_in_place_of_the_file_is_refused(flow: Flow, file: Path) -> None:
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    (flow.directory / "pipelines.toml").unlink()
    commands = (
        "connections add c --host h --no-check",
        "connections list",
        "connections check",
        "connections check c",
        "doctor",
        "doctor c",
    )
    for command in commands:
        told = flow(*command.split(), expect=2, timeout=20).stderr
        assert "connections.toml` cannot be read: it is no plain file" in told, (command, told)


def test_a_file_that_others_can_read_is_told(flow: Flow, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("[connections.c]\nhost = '/nowhere'\n")
    for permissions, told in ((0o600, ""), (0o400, ""), (0o640, "0640"), (0o644, "0644")):
        file.chmod(permissions)
        stderr = flow("connections", "list").stderr
        assert (f"its mode is {told}; it holds passwords: chmod 0600" in stderr) if told else stderr == "", stderr
    logged = flow("--log-format", "json", "connections", "list").stderr
    assert '"level":"warn"' in logged and "its mode is 0644" in logged
