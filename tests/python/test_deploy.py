"""The files below deploy/: each starts what it says, on a small project; the page of recipes shows them as they are."""

from __future__ import annotations

import configparser
import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim
from database import Database
from documentation import clean_environment
from flow_binary import Flow, flow_binary
from github_runner import Runner

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS = [path for path in FILES if path.parent.name == "systemd"]
MANIFESTS = [path for path in FILES if path.parent.name == "kubernetes"]
PAGE = ROOT / "docs" / "how-to" / "recipes-for-schedules.md"

PROJECT = """
[pipelines.hourly]
source = { query = "SELECT 1 AS id" }
target = "public.hourly"
mode = "append"
every = "1h"
first_run = "now"
"""


@pytest.fixture
def project(flow: Flow) -> Path:
    flow.project(PROJECT)
    return flow.directory


def served(database: Database) -> list[tuple[str, str]]:
    return database.rows("SELECT started_by, status FROM ematix_flow.run_history")


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string((DEPLOY / "systemd" / name).read_text())
    return parsed


def seconds(text: str) -> int:
    number, name = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "min": 60}[name]


def here(words: list[str], places: Mapping[str, object]) -> list[str]:
    """A command line with places of this machine instead of those that it names."""
    for there, place in places.items():
        words = [word.replace(there, str(place)) for word in words]
    return words


def option(words: list[str], name: str) -> str:
    [value] = re.findall(rf"{name}[= ](\S+)", " ".join(words))
    return value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_page_shows_the_file_as_it_is(path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"```text\n{path.read_text(encoding='utf-8')}```\n" in page
    assert f"(../../{path.relative_to(ROOT)})" in page


# ------------------------------------------------------------------------------------------------------- crontab


def test_the_crontab_serves_what_is_due(project: Path, database: Database, tmp_path: Path) -> None:
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in lines[:-1])
    fields = lines[-1].split(None, 5)
    # One of them is a slot each minute; `%` would be the end of a line to cron.
    assert "%" not in lines[-1]
    start = CronSim(" ".join(fields[:5]), datetime(2026, 1, 1))
    assert (next(start).minute, next(start).minute) == (1, 2)
    assert set(variables) == {"PATH", "EMATIX_FLOW_DSN"}
    # As cron does it: the shell, its variables and no others.
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "flow").symlink_to(flow_binary())
    bare = {"SHELL": "/bin/sh", "PATH": f"{programs}:{variables['PATH']}", "EMATIX_FLOW_DSN": database.dsn}
    command = fields[5].replace("/srv/etl", shlex.quote(str(project)))
    done = subprocess.run(["/bin/sh", "-c", command], env=bare, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", ""), "cron would mail it"
    assert served(database) == [("run-due", "success")]


# ------------------------------------------------------------------------------------------------------- systemd


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        # It wants the programs to be there.
        text = path.read_text().replace("/usr/local/bin/flow", str(flow_binary()))
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "notice"},
        check=False,
    )
    # What it says of other units of this machine is not ours.
    about = [line for line in done.stderr.splitlines() if "flow-" in line]
    assert about == []


def test_the_timer_starts_the_service_every_minute() -> None:
    timer = unit("flow-run-due.timer")
    assert "Unit" not in timer["Timer"], "it starts the service of its own name"
    assert dict(timer["Timer"]) == {"OnCalendar": "minutely", "AccuracySec": "1s"}
    assert dict(timer["Install"]) == {"WantedBy": "timers.target"}


def test_the_service_of_the_timer_serves_what_is_due(project: Path, flow: Flow, database: Database) -> None:
    service = unit("flow-run-due.service")["Service"]
    assert service["Type"] == "oneshot"
    program, *arguments = shlex.split(service["ExecStart"])
    assert (program, service["WorkingDirectory"]) == ("/usr/local/bin/flow", "/srv/etl")
    flow(*arguments)
    assert served(database) == [("run-due", "success")]


def test_a_service_that_is_stopped_ends_as_it_says(flow: Flow, database: Database) -> None:
    flow.project(PROJECT.replace("SELECT 1 AS id", "SELECT 1 AS id FROM pg_sleep(3600)"))
    service = unit("flow-run-due.service")["Service"]
    running = flow.start(*shlex.split(service["ExecStart"])[1:])
    wait_for(
        lambda: database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
    )
    running.terminate()
    running.finish(expect=int(service["SuccessExitStatus"]))


def test_the_daemons_service_starts_reads_again_and_stops(
    project: Path, flow: Flow, database: Database, tmp_path: Path
) -> None:
    service = unit("flow-daemon.service")["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert (program, service["Type"], service["ExecReload"]) == (
        "/usr/local/bin/flow",
        "notify",
        "/bin/kill -HUP $MAINPID",
    )
    assert seconds(service["TimeoutStopSec"]) > seconds(option(arguments, "--grace"))
    assert seconds(service["WatchdogSec"]) >= 120, "it says so once a minute"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        # Its place is taken where a daemon runs already.
        running = flow.start(*arguments, "--listen", "off", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})

        def hear(word: str) -> None:
            while manager.recv(100).decode() != word:
                pass

        hear("READY=1")
        wait_for(lambda: database.value("SELECT to_regclass('public.hourly')"))
        running.process.send_signal(signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1")
        running.terminate()
        hear("STOPPING=1")
    running.finish(expect=0)
    assert served(database) == [("daemon", "success")]


# ---------------------------------------------------------------------------------------------------- Kubernetes


def manifests() -> list[dict[str, Any]]:
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def manifest(kind: str) -> dict[str, Any]:
    [found] = [each for each in manifests() if each["kind"] == kind]
    return found


def pod(kind: str) -> dict[str, Any]:
    spec = manifest(kind)["spec"]
    spec = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    return spec["template"]["spec"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("each", manifests(), ids=lambda each: each["kind"])
def test_the_manifests_are_of_the_schema_of_kubernetes(each: dict[str, Any]) -> None:
    # A hundred megabytes, so it is no requirement: what it would find first is asked below.
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(each, "1.34", strict=True)


@pytest.mark.parametrize("kind", ["CronJob", "Deployment"])
def test_a_pod_has_what_it_names_and_no_privilege(kind: str) -> None:
    spec = pod(kind)
    [container] = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert all("subPath" not in mount for mount in container["volumeMounts"]), "it would never change"
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [variable["name"] for variable in container["env"]] == ["EMATIX_FLOW_DSN"]


def test_the_cronjob_serves_what_is_due(project: Path, flow: Flow, database: Database) -> None:
    [container] = pod("CronJob")["containers"]
    assert pod("CronJob")["restartPolicy"] == "Never"
    report = flow(*here(container["args"], {"/etc/flow": project})).stdout
    assert report.startswith('{"schema":"ematix.run.v1","pipeline":"hourly"')
    assert served(database) == [("run-due", "success")]


def test_the_deployments_daemon_serves_and_answers_its_probes(
    project: Path, flow: Flow, database: Database, tmp_path: Path
) -> None:
    deployment, service = manifest("Deployment"), manifest("Service")
    spec = pod("Deployment")
    [container] = spec["containers"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    [port] = container["ports"]
    assert option(container["args"], "--listen") == f"0.0.0.0:{port['containerPort']}"
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]
    assert spec["terminationGracePeriodSeconds"] > seconds(option(container["args"], "--grace"))

    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "token").write_text("s3cret\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    places = {"/etc/flow": project, "/run/flow": secrets, f":{port['containerPort']}": f":{number}"}
    running = flow.start(*here(container["args"], places))

    def asks(path: str, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", number, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        except ConnectionError:
            return 0

    for probe in ("livenessProbe", "readinessProbe"):
        get = container[probe]["httpGet"]
        assert get["port"] == port["name"]
        wait_for(lambda get=get: asks(get["path"]) == 200)
    assert (asks("/"), asks("/", Authorization="Bearer s3cret")) == (401, 200)
    wait_for(lambda: database.value("SELECT to_regclass('public.hourly')"))
    running.terminate()
    running.finish(expect=0)
    assert served(database) == [("daemon", "success")]


# -------------------------------------------------------------------------------------------------------- GitHub


def test_the_workflow_serves_what_is_due(project: Path, database: Database, tmp_path: Path) -> None:
    path = DEPLOY / "github" / "flow-run-due.yml"
    # YAML 1.1 reads `on` as a truth.
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    [schedule] = workflow[True]["schedule"]
    CronSim(schedule["cron"], datetime(2026, 1, 1))
    assert workflow["permissions"] == {"contents": "read"}
    environment = clean_environment(flow_binary(), tmp_path / "machine") | {"EMATIX_FLOW_DSN": database.dsn}
    (tmp_path / "runner").mkdir()
    done = Runner(project, tmp_path / "runner", environment).job(path, "run-due")
    assert [(step.name, step.code) for step in done.steps] == [("Install flow", 0), ("Serve what is due", 0)]
    assert served(database) == [("run-due", "success")]


def wait_for(what: Callable[[], Any], limit: float = 30) -> None:
    deadline = time.monotonic() + limit
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
