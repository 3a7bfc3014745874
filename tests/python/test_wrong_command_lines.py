"""Command lines that are wrong: people read the parser's words, programs get JSON like for every other error."""

from __future__ import annotations

import json

import pytest
from flow_binary import Flow

WRONG = {
    "unknown flag": (("run", "p", "--nope"), "unknown_option", "unexpected argument '--nope' found"),
    "unknown value": (("run", "p", "--on-drift", "maybe"), "invalid_value", "invalid value 'maybe' for '--on-drift"),
    "missing name": (("show",), "missing_option", "the following required arguments were not provided"),
    "missing word": (("watermark",), "missing_option", "a command is missing"),
    "no command": ((), "missing_option", "a command is missing"),
    "two that exclude each other": (
        ("list", "x", "--all"),
        "conflicting_options",
        "the argument '[SELECTION]...' cannot",
    ),
    "unknown command": (("rnu", "p"), "invalid_value", "there is no command `rnu`"),
    "a value too many": (("version", "x"), "unknown_option", "unexpected argument 'x' found"),
}


@pytest.mark.parametrize("form", (("--output", "json"), ("--output=json",), ("--output", "ndjson")))
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_line_is_json_on_stdout(name: str, form: tuple[str, ...], flow: Flow) -> None:
    arguments, code, message = WRONG[name]
    for words in ((*form, *arguments), (*arguments, *form)):
        finished = flow(*words, expect=2)
        document = finished.json()
        assert document["schema"] == "ematix.error.v1"
        [error] = document["errors"]
        assert (error["code"], error["message"].startswith(message)) == (code, True), error
        assert error["hint"] and "\n" not in error["message"]
        assert set(error) == {"code", "message", "hint", "sqlstate", "context", "location"}
        assert finished.stderr != ""


def test_people_get_no_json_and_logs_get_nothing_else(flow: Flow) -> None:
    assert flow("run", "--nope", expect=2).stdout == ""
    line = json.loads(flow("run", "--nope", "--log-format", "json", expect=2).stderr)
    assert (line["level"], line["error"]["code"]) == ("error", "unknown_option")
    assert flow("run", "--help", "--output", "json").stdout.startswith("Run pipelines once")


def test_a_password_in_the_wrong_place_is_not_repeated(flow: Flow) -> None:
    dsn = "postgresql://u:hunter2@h/d"
    for words in (("run", f"--dsn={dsn}"), (dsn, "p"), ("copy", "--output", dsn)):
        finished = flow(*words, "--output", "json", expect=2)
        assert "hunter2" not in finished.stdout + finished.stderr, finished


@pytest.mark.parametrize(
    ("command", "flag", "hint"),
    [
        ("run", "--full-refresh", "did you mean '--full-scan'?"),
        ("dry-run", "--full-refresh", "did you mean '--full-scan'?"),
        ("plan", "--models", "did you mean '--select'?"),
        ("run", "--unique-key", "did you mean `keys`? `keys` is an option of a pipeline, in pipelines.toml"),
        ("run", "--check-cols", "did you mean `compare_columns`? `compare_columns` is an option of a pipeline"),
        ("run", "--keys", "`keys` is an option of a pipeline, in pipelines.toml"),
        ("run", "--hard-deletes", "did you mean `handle_deletes`?"),
        ("copy", "--unique-key", "did you mean '--keys'?"),
        ("copy", "--write-disposition", "did you mean '--mode'?"),
    ],
)
def test_words_of_other_tools_have_the_hint_that_they_have_in_files(
    command: str, flag: str, hint: str, flow: Flow
) -> None:
    finished = flow(command, flag, "x", "--output", "json", expect=2)
    assert finished.json()["errors"][0]["hint"].startswith(hint)
    assert f"tip: {hint}" in flow(command, flag, "x", expect=2).stderr
