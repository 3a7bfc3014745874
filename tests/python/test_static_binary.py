"""The static binary, in a root that holds nothing but it, a certificate and a pipelines.toml."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from customers import project
from empty_root import EmptyRoot, static_binary
from tls_client import project_of
from tls_server import NAMES, ROOT, TlsServer

LARGEST = 44_000_000

INTERPRETER, DYNAMIC, NEEDED = 3, 2, 1


def here(tls: TlsServer, **more: str) -> dict[str, str]:
    return {**tls.connection, "host": "localhost", **more}


def check(root: EmptyRoot, connection: dict[str, str], expect: int = 0) -> dict:
    """How a login goes."""
    root.put("/pipelines.toml", project_of({"c": connection}))
    [report] = root("connections", "check", "c", "--output", "json", expect=expect).json()["connections"]
    return report


# --- the file ---------------------------------------------------------------------------------------------------


def program_headers(elf: bytes) -> list[tuple[int, int, int]]:
    """Kind, place and size of each, of a 64-bit file (https://refspecs.linuxfoundation.org/elf/elf.pdf)."""
    assert elf[:5] == b"\x7fELF\x02"
    order = "<" if elf[5] == 1 else ">"
    (start,) = struct.unpack_from(f"{order}Q", elf, 32)
    size, count = struct.unpack_from(f"{order}HH", elf, 54)
    headers = []
    for number in range(count):
        kind, _, place, _, _, length = struct.unpack_from(f"{order}IIQQQQ", elf, start + number * size)
        headers.append((kind, place, length))
    return headers


def test_it_names_no_loader_and_no_library() -> None:
    elf = static_binary().read_bytes()
    headers = program_headers(elf)
    assert [kind for kind, _, _ in headers if kind == INTERPRETER] == []
    for _, place, length in (header for header in headers if header[0] == DYNAMIC):
        tags = [struct.unpack_from("<q", elf, at)[0] for at in range(place, place + length, 16)]
        assert NEEDED not in tags


def test_a_binary_with_a_loader_would_be_noticed() -> None:
    kinds = [kind for kind, _, _ in program_headers(Path(sys.executable).resolve().read_bytes())]
    assert INTERPRETER in kinds


def section_names(elf: bytes) -> bytes:
    """The names of all sections, in one text."""
    order = "<" if elf[5] == 1 else ">"
    (start,) = struct.unpack_from(f"{order}Q", elf, 40)
    size, _, named_by = struct.unpack_from(f"{order}HHH", elf, 58)
    place, length = struct.unpack_from(f"{order}QQ", elf, start + named_by * size + 24)
    return elf[place : place + length]


def test_it_is_small(record_property: Callable[[str, object], None]) -> None:
    elf = static_binary().read_bytes()
    record_property("bytes", len(elf))
    if b".debug_info" in section_names(elf):
        pytest.skip("a binary of the dev profile, with what debuggers read; CI tests the release profile's")
    assert len(elf) < LARGEST


# --- the empty root ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "db.localhost"])
def test_it_runs_with_a_certificate_that_it_checks(tls: TlsServer, empty_root: EmptyRoot, host: str) -> None:
    tls.present(ROOT.issue(*NAMES, "db.localhost"))
    schema = f"of_{host.replace('.', '_')}"
    text = project("scd2").replace('schema = "analytics"', f'schema = "{schema}"')
    connection = here(tls, host=host, sslmode="verify-full", sslrootcert="/ca.crt")
    empty_root.put("/ca.crt", ROOT.pem())
    empty_root.put("/pipelines.toml", text + project_of({"default": connection}))
    report = empty_root("run", "customers", "--output", "json").json()
    assert (report["status"], report["rows_inserted"]) == ("success", 10)
    assert tls.value(f"SELECT count(*) FROM {schema}.dim_customers") == 10
    assert empty_root("check", "customers", "--output", "json").json()["ok"] is True


def test_it_knows_the_time_zones(empty_root: EmptyRoot) -> None:
    text = project("merge", schedule="30 6 * * *", timezone="Europe/Paris")
    empty_root.put("/pipelines.toml", text + project_of({"default": {"host": "localhost", "user": "u"}}))
    [listed] = empty_root("list", "--output", "json").json()["pipelines"]
    assert listed["timezone"] == "Europe/Paris"
    following = datetime.fromisoformat(listed["next"].replace("Z", "+00:00").partition("[")[0])
    assert following.astimezone(ZoneInfo("Europe/Paris")).strftime("%H:%M") == "06:30"
    assert following > datetime.now(timezone.utc)
    # Shown in the zone of whoever looks.
    assert " 06:30 " in empty_root("list", env={"TZ": "Europe/Paris"}).stdout


def test_without_a_certificate_the_server_is_not_trusted(tls: TlsServer, empty_root: EmptyRoot) -> None:
    tls.present(ROOT.issue(*NAMES))
    empty_root.put("/other.crt", ROOT.issue("x", authority=True).pem())
    refused = check(empty_root, here(tls, sslmode="verify-full", sslrootcert="/other.crt"), expect=6)
    assert refused["error"]["code"] == "tls_failed"


def test_the_systems_certificates_are_missed_by_name(tls: TlsServer, empty_root: EmptyRoot) -> None:
    tls.present(ROOT.issue(*NAMES))
    refused = check(empty_root, here(tls, sslrootcert="system"), expect=6)["error"]
    assert refused["code"] == "tls_failed"
    assert refused["message"] == 'sslrootcert is "system", and this machine has no certificates to trust'
    assert "install ca-certificates" in refused["hint"]
    # Where Debian, and the Dockerfile, have them.
    empty_root.put("/etc/ssl/certs/ca-certificates.crt", ROOT.pem())
    assert check(empty_root, here(tls, sslrootcert="system"))["encrypted"] is True


def test_a_user_must_be_named_where_the_system_has_none(tls: TlsServer, empty_root: EmptyRoot) -> None:
    tls.present(None)
    connection = {name: text for name, text in here(tls).items() if name != "user"}
    empty_root.put("/pipelines.toml", project_of({"c": connection}))
    finished = empty_root("connections", "check", "c", expect=2)
    assert (
        "error[missing_option]: the connection `c` names no user, and the system has no name for you" in finished.stderr
    )
    assert "hint: set user=" in finished.stderr


def test_chance_comes_from_the_kernel_and_not_from_a_device(tls: TlsServer, empty_root: EmptyRoot) -> None:
    """Without --cfg getrandom_backend (.cargo/config.toml, which RUSTFLAGS replaces) it panics: there is no /dev."""
    tls.present(ROOT.issue(*NAMES))
    assert not (empty_root.directory / "dev").exists()
    # Log in by SCRAM, over TLS, as a run with an id: all of them draw lots.
    assert check(empty_root, here(tls, sslmode="require"))["encrypted"] is True
    several = here(tls, host="localhost,127.0.0.1", port=f"{tls.port},{tls.port}", load_balance_hosts="random")
    assert check(empty_root, several)["error"] is None
