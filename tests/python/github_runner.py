"""Runs the steps of a workflow or of a composite action as GitHub's runner does: one bash a step, `env`, `if`, outputs.

Only what our own files use is understood; an expression that is not raises.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)
# What `shell: bash` means, and what no `shell` means.
# https://docs.github.com/en/actions/reference/workflow-syntax-for-github-actions#jobsjob_idstepsshell
SHELLS = {"bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail"), None: ("bash", "-e")}


@dataclass(frozen=True)
class Step:
    """A step that has ended: its exit code and what it printed, both streams as in the log."""

    name: str
    code: int
    log: str


@dataclass
class Runner:
    """A job's machine: the checkout, the environment of its steps, the event."""

    checkout: Path
    temporary: Path
    environment: Mapping[str, str]
    event: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        return self._file("summary").read_text(encoding="utf-8")

    @property
    def failed(self) -> bool:
        return any(step.code for step in self.steps)

    def log(self, name: str) -> str:
        [log] = [step.log for step in self.steps if step.name == name]
        return log

    def job(
        self,
        workflow: Path,
        name: str,
        *,
        only: Collection[str] | None = None,
        matrix: Mapping[str, str] | None = None,
    ) -> Runner:
        """Runs the `run:` steps of a workflow's job, or only some of them; those with `uses:` are somebody else's."""
        job = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"][name]
        context = {"secrets": {}, "inputs": {}, "matrix": dict(matrix or {})}
        variables = {name: self._filled(value, context) for name, value in job.get("env", {}).items()}
        # A service of the job is the test's own server.
        variables.update(self.environment)
        steps = [step for step in job["steps"] if "run" in step]
        missing = set(only or ()) - {step["name"] for step in steps}
        assert not missing, f"no step of {name}: {missing}"
        for step in steps:
            if only is None or step["name"] in only:
                self._step(step, variables, context)
        return self

    def action(self, file: Path, inputs: Mapping[str, str]) -> Runner:
        """Runs a composite action."""
        action = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert action["runs"]["using"] == "composite"
        unknown = set(inputs) - set(action["inputs"])
        assert not unknown, f"no input of the action: {unknown}"
        context: dict[str, Any] = {"inputs": {}}
        defaults = {name: self._filled(given["default"], context) for name, given in action["inputs"].items()}
        context["inputs"] = {**defaults, **inputs}
        for step in action["runs"]["steps"]:
            assert "shell" in step, "a step of a composite action says its shell"
            self._step(step, self.environment, context)
        return self

    def _step(self, step: Mapping[str, Any], variables: Mapping[str, str], context: Mapping[str, Any]) -> None:
        if not self._runs(step.get("if"), context):
            return
        outputs = self._file("outputs")
        outputs.write_text("", encoding="utf-8")
        environment = {
            **variables,
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.checkout),
            "GITHUB_STEP_SUMMARY": str(self._file("summary")),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_REPOSITORY": "ada/shop",
            "GITHUB_REF_NAME": self.tag,
            "RUNNER_TEMP": str(self.temporary),
            **{name: self._filled(value, context) for name, value in step.get("env", {}).items()},
        }
        script = self._file("step.sh")
        # Expressions in a script would be pasted into it unquoted.
        assert not EXPRESSION.search(step["run"]), step["run"]
        script.write_text(step["run"], encoding="utf-8")
        done = subprocess.run(
            [*SHELLS[step.get("shell")], script],
            cwd=self.checkout / self._filled(step.get("working-directory", "."), context),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        self.steps.append(Step(step["name"], done.returncode, done.stdout))
        if "id" in step:
            lines = outputs.read_text(encoding="utf-8").splitlines()
            self.outputs[step["id"]] = dict(line.split("=", 1) for line in lines)

    def _runs(self, condition: str | None, context: Mapping[str, Any]) -> bool:
        if condition is None:
            return not self.failed
        whole = EXPRESSION.fullmatch(condition.strip())
        parts = (whole[1] if whole else condition).split("&&")
        return all(self._holds(part.strip(), context) for part in parts)

    def _holds(self, part: str, context: Mapping[str, Any]) -> bool:
        if part == "!cancelled()":
            return True
        compared = re.fullmatch(r"([\w.-]+) (==|!=) '([^']*)'", part)
        assert compared, f"not understood: {part}"
        equal = self._value(compared[1], context) == compared[3]
        return equal if compared[2] == "==" else not equal

    def _filled(self, text: str, context: Mapping[str, Any]) -> str:
        return EXPRESSION.sub(lambda found: self._value(found[1], context), text)

    def _value(self, path: str, context: Mapping[str, Any]) -> str:
        match path.split("."):
            case ["inputs", name]:
                return context["inputs"][name]
            case ["matrix", name]:
                return context["matrix"][name]
            case ["github", "ref_type"]:
                return "tag" if self.tag else "branch"
            case ["secrets", name]:
                return context["secrets"].get(name, "")
            case ["steps", step, "outputs", name]:
                return self.outputs.get(step, {}).get(name, "")
            case ["github", "token"]:
                return "token-of-the-job"
            case ["github", "event_name"]:
                return "pull_request" if "pull_request" in self.event else "push"
            case ["github", "event", "pull_request", "number"]:
                return str(self.event["pull_request"]["number"])
        raise AssertionError(f"not understood: {path}")

    def _file(self, name: str) -> Path:
        self.temporary.mkdir(parents=True, exist_ok=True)
        path = self.temporary / name
        path.touch()
        return path
