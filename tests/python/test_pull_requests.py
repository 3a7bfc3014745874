"""`--output github` and `--output markdown`: what a reviewer sees beside a change, and in a comment on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from database import Database
from flow_binary import Flow
from project import Project
from pull_request import LONGEST_COMMENT, OURS, Annotation, Page, annotations

UNCHECKED = "Not checked without --connect: queries, columns, types, drift, privileges."
HEADER = ["pipeline", "mark", "what", "risk"]


@pytest.fixture
def source(database: Database) -> Database:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.s (id integer, v text); INSERT INTO app.s VALUES (1, 'a')")
    return database


def project(**options: object) -> Project:
    made = Project()
    made.table("t", {"id": "integer", "v": "text?"}, schema="dw")
    made.pipeline("p", "SELECT * FROM app.s", "t", "merge", **{"keys": "id", **options})
    return made


def place_of(made: Project, name: str) -> int:
    """The line of a pipeline's section."""
    return made.text().splitlines().index(f'[pipelines."{name}"]') + 1


def test_a_plan_is_annotated_at_its_pipeline_and_drawn_with_its_risks(source: Database, flow: Flow) -> None:
    made = project()
    flow.project(made.text())
    line = place_of(made, "p")
    planned = flow("plan", "--output", "github")
    assert annotations(planned.stdout) == [
        Annotation("notice", "pipelines.toml", line, 1, "p: + dw.t", "schema dw\ntable dw.t")
    ]
    assert planned.stderr == "Plan: 1 to create, 0 to change, 0 drifted\n"
    page = Page(flow("plan", "--output", "markdown").stdout)
    assert page.marker == "<!-- ematix-flow plan pipelines.toml -->"
    assert page.title == "flow plan: 1 to create, 0 to change, 0 drifted"
    assert page.rows == [HEADER, ["p", "+", "schema dw", "new"], ["p", "+", "table dw.t", "new"]]
    assert list(page.folded) == ["SQL of p"]
    assert "-- 2 ddl: create the table dw.t\nCREATE TABLE" in page.folded["SQL of p"]
    flow("run", "p")
    assert flow("plan", "--output", "github").stdout == ""
    page = Page(flow("plan", "--all", "--output", "markdown").stdout)
    assert page.title == "flow plan: 0 to create, 0 to change, 0 drifted"
    assert (page.paragraphs, page.rows) == (["1 pipeline without a mark: a run would only move rows."], [])


def test_each_kind_of_change_has_its_risk(source: Database, flow: Flow) -> None:
    made = Project()
    made.table("t", {"id": "integer", "v": "text?", "n": "integer?"}, schema="dw")
    made.pipeline("p", "SELECT *, 1 AS n, 2 AS m FROM app.s", "t", "scd2", keys="id", compare_columns=["v"])
    made.run(flow)
    made.pipelines["p"] |= {"compare_columns": ["v", "n"], "migrate": True}
    made.tables["t"]["columns"] |= {"n": "bigint?", "m": "integer?"}
    source.execute("DROP INDEX dw.t_id_idx; ALTER TABLE dw.t ADD COLUMN old text")
    flow.project(made.text())
    page = Page(flow("plan", "--output", "markdown", "--on-drift", "ignore").stdout)
    assert page.rows == [
        HEADER,
        ["p", "~", 'column "n": declared bigint, live integer', "may rewrite the table (about 1 row)"],
        ["p", "~", 'column "m": declared integer, missing in the table', "brief lock"],
        ["p", "~", "unique index on id of current versions", "locks the table (about 1 row)"],
        [
            "p",
            "~",
            "compare_columns + n   current versions rehashed, none opened",
            "rewrites current versions (about 1 row)",
        ],
        ["p", "!", 'column "old": live only (ignored)', "needs a person"],
    ]
    change, drift = annotations(flow("plan", "--output", "github", "--on-drift", "ignore").stdout)
    assert (change.level, change.title, drift.level, drift.title) == ("warning", "p: ~ dw.t", "warning", "p: ! dw.t")
    assert change.message.splitlines()[1] == 'column "m": declared integer, missing in the table (brief lock)'
    assert drift.message == 'column "old": live only (ignored) (needs a person)'


def test_a_table_that_becomes_a_history_is_said_to_be_rewritten(source: Database, flow: Flow) -> None:
    source.execute("CREATE SCHEMA dw; CREATE TABLE dw.t (id integer NOT NULL, v text)")
    made = project(migrate=True)
    made.pipelines["p"]["mode"] = "scd2"
    flow.project(made.text())
    added = 'column "{}" added to what becomes a history'
    assert Page(flow("plan", "--output", "markdown").stdout).rows[:5] == [
        HEADER,
        ["p", "~", 'column "valid_to": declared timestamp with time zone, missing in the table', "brief lock"],
        ["p", "~", added.format("valid_from"), "rewrites every row"],
        ["p", "~", added.format("is_current"), "rewrites every row"],
        ["p", "~", added.format("row_hash"), "rewrites every row"],
    ]


@pytest.mark.parametrize("form", ("github", "markdown"))
def test_exit_codes_are_those_of_every_form(form: str, source: Database, flow: Flow) -> None:
    made = project()
    flow.project(made.text())
    flow("plan", "--output", form)
    flow("plan", "--exit-code", "--output", form, expect=3)
    flow("preview", "--exit-code", "--output", form)
    flow("dry-run", "p", "--output", form)
    flow("run", "p")
    flow("plan", "--exit-code", "--output", form)
    flow("plan", "--output", form, env={"EMATIX_FLOW_DSN": "postgresql://127.0.0.1:1/nowhere"}, expect=6)
    source.execute("ALTER TABLE dw.t ADD COLUMN x text")
    flow("plan", "--output", form)
    flow("plan", "--output", form, "nobody", expect=2)
    made.pipelines["p"]["hash_column"] = "h"
    flow.project(made.text())
    flow("validate", "--output", form, expect=2)


def test_drift_is_an_error_with_its_remedy_and_needs_a_person(source: Database, flow: Flow) -> None:
    made = project()
    made.run(flow)
    source.execute("ALTER TABLE dw.t ALTER v TYPE varchar(5)")
    [found] = annotations(flow("plan", "--output", "github").stdout)
    assert (found.level, found.file, found.line, found.title) == (
        "error",
        "pipelines.toml",
        place_of(made, "p"),
        "p: drift",
    )
    message = found.message.splitlines()
    assert message[:2] == [
        'table "dw"."t" differs from its declaration',
        'column "v": declared text, live character varying(5)',
    ]
    assert message[2].startswith("hint: ") and 'ALTER TABLE "dw"."t" ALTER COLUMN "v" TYPE text;' in message[2]
    page = Page(flow("plan", "--output", "markdown").stdout)
    assert page.title == "flow plan: 0 to create, 0 to change, 1 drifted"
    what = 'column "v": declared text, live character varying(5) ALTER TABLE "dw"."t" ALTER COLUMN "v" TYPE text;'
    assert [[" ".join(cell.split()) for cell in row] for row in page.rows] == [
        HEADER,
        ["p", "!", what, "needs a person"],
    ]
    assert page.folded["Errors in full"].startswith('error[drift]: table "dw"."t" differs')


def test_mistakes_in_files_are_annotated_where_they_stand(flow: Flow) -> None:
    text = '[pipelines.p]\nsource = { table = "app.s" }\ntarget = "dw.t"\nmode = "upsert"\nkeyz = "id"\n'
    flow.project(text)
    expected = [
        Annotation(
            "error",
            "pipelines.toml",
            4,
            8,
            "invalid_value",
            "unknown mode `upsert` in pipeline `p`\ndid you mean `merge`?\n"
            "hint: mode is one of append, truncate, merge, scd2, scd1",
        ),
        Annotation(
            "error",
            "pipelines.toml",
            5,
            1,
            "unknown_option",
            "unknown option `keyz` in pipeline `p`\ndid you mean `keys`?",
        ),
    ]
    for command in (["validate"], ["plan"], ["preview"], ["dry-run", "p"], ["run", "--dry-run", "p"]):
        finished = flow(*command, "--output", "github", expect=2)
        assert annotations(finished.stdout) == expected
        assert finished.stderr == ""
        page = Page(flow(*command, "--output", "markdown", expect=2).stdout)
        name = "dry-run" if "p" in command else command[0]
        assert (page.marker, page.title) == (
            f"<!-- ematix-flow {name} pipelines.toml -->",
            f"flow {name}: 2 errors",
        )
        assert page.rows == [
            ["where", "error", "what"],
            ["pipelines.toml:4", "invalid_value", "unknown mode `upsert` in pipeline `p`"],
            ["pipelines.toml:5", "unknown_option", "unknown option `keyz` in pipeline `p`"],
        ]


def test_validate_says_what_it_checked(source: Database, flow: Flow) -> None:
    made = project()
    flow.project(made.text())
    finished = flow("validate", "--output", "github")
    assert (finished.stdout, finished.stderr) == ("", "1 pipeline: all valid\n")
    page = Page(flow("validate", "--output", "markdown").stdout)
    assert (page.title, page.paragraphs, page.rows) == ("flow validate: 1 pipeline, all valid", [UNCHECKED], [])
    page = Page(flow("validate", "--connect", "--output", "markdown").stdout)
    assert page.paragraphs == []
    made.pipelines["p"]["source"] = {"query": "SELECT id, w AS v FROM app.s"}
    flow.project(made.text())
    [found] = annotations(flow("validate", "--connect", "--output", "github", expect=2).stdout)
    assert (found.title, found.line) == ("source_failed", place_of(made, "p"))
    page = Page(flow("validate", "--connect", "--output", "markdown", expect=2).stdout)
    assert page.title == "flow validate: 1 of 1 pipeline invalid"
    assert page.rows[1][:3] == ["p", f"pipelines.toml:{place_of(made, 'p')}", "source_failed"]


def test_a_dry_run_is_drawn_with_its_counts_and_its_rows(source: Database, flow: Flow) -> None:
    made = project()
    made.pipeline("q", "SELECT 1 AS id, 'x' AS v FROM generate_series(1, 2)", "t2", "merge", keys="id")
    made.table("t2", {"id": "integer", "v": "text?"}, schema="dw")
    flow.project(made.text())
    flow("run", "p")
    source.execute("UPDATE app.s SET v = '``` |<b>'")
    page = Page(flow("dry-run", "--all", "--sample", "3", "--output", "markdown", expect=4).stdout)
    assert page.title == "flow dry-run: 1 success, 1 refused"
    assert page.paragraphs == ["Everything was rolled back."]
    error = "duplicate_source_key: 1 key of `q` comes more than once from the source"
    assert page.rows == [
        ["pipeline", "status", "what"],
        ["p", "success", "1 in, 0 inserted, 1 updated, 0 unchanged"],
        ["q", "refused", f"{error} at pipelines.toml:{place_of(made, 'q')}"],
    ]
    assert page.folded["Rows of p that would change"] == "  update  id = 1  v: a → ``` |<b>\n"
    [found] = annotations(flow("run", "--all", "--dry-run", "--output", "github", expect=4).stdout)
    assert (found.level, found.title, found.line) == ("error", "q: duplicate_source_key", place_of(made, "q"))
    assert source.value("SELECT v FROM dw.t") == "a"


HOSTILE = "a|b `c` <b>d</b> \\ *e* __f__ ~~g~~ [h](i) $j$ &amp; @k %0A,:: -->"


def test_what_users_write_is_shown_as_it_is(source: Database, flow: Flow) -> None:
    made = project()
    query = "SELECT id, v || '\n````\n</details><b>\n' AS v FROM app.s"
    column = HOSTILE[:62].replace("\\", "")
    source.execute(
        f'CREATE SCHEMA dw; CREATE TABLE dw.t (id integer NOT NULL UNIQUE, v text, "{column}" text);'
        'ALTER TABLE dw.t ADD COLUMN "l1\n::error::l2\r```" text'
    )
    made.pipelines[HOSTILE] = made.pipelines.pop("p") | {
        "on_drift": "ignore",
        "source": {"query": query},
    }
    config = "etl <!-- & -->.toml"
    (flow.directory / config).write_text(made.text())
    arguments = ("--config", config, "plan", "--output")
    what = [f'column "{column}": live only (ignored)', 'column "l1\n::error::l2\r```": live only (ignored)']
    [found] = annotations(flow(*arguments, "github").stdout)
    assert (found.file, found.title) == (config, f"{HOSTILE}: ! dw.t")
    assert found.message == "\n".join(f"{each} (needs a person)" for each in what)
    page = Page(flow(*arguments, "markdown").stdout)
    assert page.elements <= OURS
    assert page.marker == "<!-- ematix-flow plan etl _!-- & --_.toml -->"
    assert page.rows == [HEADER, *([HOSTILE, "!", each.replace("\r", "\n"), "needs a person"] for each in what)]
    assert list(page.folded) == [f"SQL of {HOSTILE}"]
    assert query in page.folded[f"SQL of {HOSTILE}"]


def test_a_page_fits_a_comment_and_says_what_was_left_out(source: Database, flow: Flow) -> None:
    made = Project()
    for n in range(120):
        made.table(f"t{n}", {"id": "integer", "v": "text?"}, schema="dw")
        made.pipeline(f"é_{n:03}", "SELECT * FROM app.s", f"t{n}", "merge", keys="id")
    flow.project(made.text())
    markdown = flow("preview", "--all", "--sql", "--output", "markdown").stdout
    page = Page(markdown)
    assert LONGEST_COMMENT * 0.9 < len(markdown.encode()) <= LONGEST_COMMENT
    shown = [f"SQL of {name}" for name in made.pipelines][: len(page.folded)]
    assert list(page.folded) == shown and 5 < len(shown) < 120
    assert page.paragraphs[-1].startswith("Left out, to fit a comment: ")
    assert page.paragraphs[-1].endswith("flow preview --sql prints all of it.")
    for n in range(120, 900):
        made.pipeline(f"é_{n:03}", "SELECT 1", "nowhere", "merge")
    flow.project(made.text())
    page = Page(flow("validate", "--output", "markdown", expect=2).stdout)
    assert page.title == "flow validate: 780 of 900 pipelines invalid"
    kept = len(page.rows) - 1
    assert f"{780 - kept} of 780 rows, the errors in full; flow validate prints" in page.paragraphs[-1]


def test_files_are_named_from_the_checkout(flow: Flow, tmp_path: Path) -> None:
    text = '[pipelines.p]\nsource = { table = "app.s" }\ntarget = "dw.t"\nmode = "upsert"\n'
    checkout = flow.directory / "work" / "shop"
    (checkout / "etl").mkdir(parents=True)
    (checkout / "etl" / "p.toml").write_text(text)
    link = flow.directory / "link"
    link.symlink_to(checkout)

    def named(config: Path | str, workspace: Path | str | None) -> str | None:
        env = {"GITHUB_WORKSPACE": None if workspace is None else str(workspace)}
        finished = flow("--config", str(config), "validate", "--output", "github", env=env, expect=2)
        [found] = annotations(finished.stdout)
        page = Page(flow("--config", str(config), "validate", "--output", "markdown", env=env, expect=2).stdout)
        assert page.rows[1][0] == f"{found.file}:4"
        assert page.marker == f"<!-- ematix-flow validate {found.file} -->"
        return found.file

    assert named("work/shop/etl/p.toml", None) == "work/shop/etl/p.toml"
    assert named("work/shop/etl/p.toml", "") == "work/shop/etl/p.toml"
    assert named("work/shop/../shop/etl/p.toml", checkout) == "etl/p.toml"
    assert named(checkout / "etl" / "p.toml", link) == "etl/p.toml"
    assert named("link/etl/p.toml", checkout) == "etl/p.toml"
    elsewhere = checkout / "elsewhere"
    elsewhere.mkdir()
    assert named("work/shop/etl/p.toml", elsewhere) == "work/shop/etl/p.toml"


REFUSED = (
    ["list"],
    ["show", "p"],
    ["run", "p"],
    ["run-due"],
    ["status"],
    ["history"],
    ["check", "p"],
    ["watermark", "show"],
    ["connections", "list"],
    ["schema"],
    ["explain", "drift"],
    ["version"],
)


@pytest.mark.parametrize("form", ("github", "markdown"))
def test_commands_that_have_no_answer_in_a_form_refuse_it(form: str, source: Database, flow: Flow) -> None:
    flow.project(project().text())
    for command in REFUSED:
        finished = flow(*command, "--output", form, expect=2)
        assert finished.stdout == ""
        assert finished.stderr.startswith(f"error[invalid_value]: `--output {form}` is for what a reviewer reads")
    assert "add --dry-run" in flow("run", "p", "--output", form, expect=2).stderr
    assert source.value("SELECT to_regclass('dw.t')") is None


@pytest.mark.parametrize("command", (["plan", "--sql"], ["dry-run", "p", "--sample", "2"]))
def test_annotations_refuse_what_they_have_no_place_for(command: list[str], source: Database, flow: Flow) -> None:
    flow.project(project().text())
    finished = flow(*command, "--output", "github", expect=2)
    assert finished.stderr.startswith("error[conflicting_options]")
    flow(*command, "--output", "markdown")


def test_a_log_of_json_has_the_errors_too(flow: Flow) -> None:
    flow.project('[pipelines.p]\nsource = { table = "app.s" }\ntarget = "dw.t"\nmode = "upsert"\n')
    finished = flow("validate", "--output", "github", "--log-format", "json", expect=2)
    assert len(annotations(finished.stdout)) == 1
    assert '"code":"invalid_value"' in finished.stderr
