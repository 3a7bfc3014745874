"""How the static binary finds hosts: as Kubernetes and other resolv.conf say, and with nothing of the machine's own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from empty_root import EmptyRoot
from name_server import NameServer, serving
from server import free_port
from tls_client import project_of
from tls_server import ROOT, TlsServer

HERE = ["127.0.0.1"]
# What the kubelet writes into a pod of the namespace `shop`.
KUBERNETES = "search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"


@pytest.fixture
def names() -> Iterator[Any]:
    """`names({"db.example": ["127.0.0.1"]})`: a name server that knows these and no others."""
    with ExitStack() as servers:

        def serve(records: dict[str, list[str]], **options: Any) -> NameServer:
            return servers.enter_context(serving(NameServer(records, **options)))

        yield serve


def login(root: EmptyRoot, tls: TlsServer, host: str, **more: str | int) -> dict[str, Any]:
    """A login to `host`, whose name the certificate must have."""
    tls.present(ROOT.issue(host))
    root.put("/ca.crt", ROOT.pem())
    connection = {**tls.connection, "host": host, "sslmode": "verify-full", "sslrootcert": "/ca.crt", **more}
    root.put("/pipelines.toml", project_of({"c": connection}))
    [report] = root("connections", "check", "c", "--output", "json", expect={0, 6}).json()["connections"]
    return report


def works(report: dict[str, Any]) -> bool:
    assert report["error"] is None, report
    return report["encrypted"]


def test_a_name_is_asked_of_the_name_server(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    server = names({"db.example": HERE})
    empty_root.put("/etc/resolv.conf", server.resolv_conf)
    assert works(login(empty_root, tls, "db.example"))
    assert server.names_asked() == ["db.example"]


def test_a_service_is_found_as_in_a_pod(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    server = names({"postgres.data.svc.cluster.local": HERE, "db.example": HERE})
    empty_root.put("/etc/resolv.conf", server.resolv_conf + KUBERNETES)
    assert works(login(empty_root, tls, "postgres.data"))
    assert server.names_asked() == ["postgres.data.shop.svc.cluster.local", "postgres.data.svc.cluster.local"]
    server.asked.clear()
    # Fewer than five dots: the search comes first, the name as it stands last.
    assert works(login(empty_root, tls, "db.example"))
    assert server.names_asked() == [
        "db.example.shop.svc.cluster.local",
        "db.example.svc.cluster.local",
        "db.example.cluster.local",
        "db.example",
    ]


def test_a_name_that_stands_for_another_leads_there(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    server = names({"db.example": ["primary.example"], "primary.example": ["a.example"], "a.example": HERE})
    empty_root.put("/etc/resolv.conf", server.resolv_conf)
    assert works(login(empty_root, tls, "db.example"))


def test_an_address_that_does_not_answer_is_followed_by_the_next(
    tls: TlsServer, empty_root: EmptyRoot, names: Any
) -> None:
    server = names({"db.example": ["::1", "127.0.0.9", "127.0.0.1"]})
    empty_root.put("/etc/resolv.conf", server.resolv_conf)
    assert works(login(empty_root, tls, "db.example"))


def test_an_answer_that_does_not_fit_comes_by_tcp(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    server = names({"db.example": HERE}, only_by_tcp=frozenset({"db.example"}))
    empty_root.put("/etc/resolv.conf", server.resolv_conf)
    assert works(login(empty_root, tls, "db.example"))
    assert ("tcp", "db.example") in server.asked


def test_hosts_goes_before_the_name_server(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    server = names({"db.example": ["127.0.0.9"]})
    empty_root.put("/etc/resolv.conf", server.resolv_conf)
    empty_root.put("/etc/hosts", "127.0.0.1 db.example\n")
    assert works(login(empty_root, tls, "db.example"))
    assert server.asked == []


def test_the_second_name_server_answers_for_a_dead_one(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    dead, server = names({}, silent=True), names({"db.example": HERE})
    empty_root.put("/etc/resolv.conf", f"nameserver {dead.address}\n{server.resolv_conf}")
    assert works(login(empty_root, tls, "db.example"))


def test_a_name_that_nobody_knows_is_said_with_a_remedy(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    empty_root.put("/etc/resolv.conf", names({}).resolv_conf)
    error = login(empty_root, tls, "nowhere.example")["error"]
    assert (error["code"], error["hint"]) == (
        "connect_failed",
        'check host, and the name servers in /etc/resolv.conf; hostaddr = "10.0.0.1" does without them',
    )
    place = f"loader@nowhere.example:{tls.port}/postgres"
    assert error["message"] == f"{place}: no address was found for `nowhere.example`: name or service not known"


def test_without_a_name_server_an_address_will_do(tls: TlsServer, empty_root: EmptyRoot) -> None:
    error = login(empty_root, tls, "db.example")["error"]
    assert error["code"] == "connect_failed" and "no address was found for `db.example`" in error["message"]
    assert works(login(empty_root, tls, "db.example", hostaddr="127.0.0.1"))


def test_a_name_server_that_is_silent_is_given_up_in_time(tls: TlsServer, empty_root: EmptyRoot, names: Any) -> None:
    server = names({}, silent=True)
    empty_root.put("/etc/resolv.conf", f"nameserver {server.address}\n{KUBERNETES}")
    began = time.monotonic()
    error = login(empty_root, tls, "db.example", connect_timeout=1)["error"]
    assert (error["code"], time.monotonic() - began < 3) == ("connect_timeout", True)
    connection = {"host": "db.example", "user": "u", "port": str(free_port()), "sslmode": "disable"}
    text = '[pipelines.p]\nsource = { table = "a.b" }\ntarget = "c.d"\nmode = "truncate"\n'
    empty_root.put("/pipelines.toml", text + project_of({"default": connection}))
    server.asked.clear()
    running = empty_root.start("run", "p")
    time.sleep(0.5)
    began = time.monotonic()
    running.interrupt()
    running.finish(130)
    assert time.monotonic() - began < 1


def test_no_module_of_the_machine_is_loaded(tls: TlsServer, empty_root: EmptyRoot, names: Any, tmp_path: Path) -> None:
    """A module of another glibc than that of the binary would crash it; this one does so whichever loads it."""
    source = tmp_path / "trap.c"
    source.write_text("__attribute__((constructor)) static void trap(void) { *(volatile int *)0 = 0; }\n")
    modules = empty_root.directory / "lib"
    modules.mkdir()
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-nostdlib", "-o", modules / "libnss_trap.so.2", source], check=True, timeout=60
    )
    empty_root.put("/etc/nsswitch.conf", "hosts: trap files dns\n")
    empty_root.put("/etc/resolv.conf", names({"db.example": HERE}).resolv_conf)
    assert works(login(empty_root, tls, "db.example"))
