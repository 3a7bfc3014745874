"""Nothing is forgotten: each strategy, marker, engine, command, option and code has its page, its fixture and its test.

What there is, the product is asked: by `flow schema`, `--help`, `explain` and `validate`, the package and the sources.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import completeness
import pytest
from completeness import Product, gaps
from flow_binary import flow_binary
from project import Project

from ematix_flow import Text, normalize
from ematix_flow.declare import helpers, markers, transforms

REPOSITORY = Path(__file__).parents[3]

# Options that no plan shows, and why.
WITHOUT_A_PLAN = {
    "target_connection": "the executor opens it; a plan knows no connections",
    "on_type_loss": "of another engine: the executor asks it; test_duckdb_types.py reads such plans",
    "incremental": "the executor lists the files; test_files_source.py reads such a plan",
    "description": "for people",
    "owner": "for people",
    "tags": "for selecting pipelines",
    "enabled": "for the scheduler",
    "lock_timeout": "the executor sets it when the transaction begins",
    "statement_timeout": "the executor sets it when the transaction begins",
    "read_timeout": "the executor's clock",
    "run_timeout": "the executor's clock",
    "lease": "the executor renews it on a connection of its own",
    "history_keep": "the executor forgets when a run has ended",
    "schedule": "for the scheduler",
    "every": "for the scheduler",
    "timezone": "for the scheduler",
    "first_run": "for the scheduler",
    "catchup": "for the scheduler",
    "misfire_grace": "for the scheduler",
    "overlap": "for the scheduler",
    "retries": "for the scheduler",
    "jitter": "for the scheduler",
    "notify": "told when the run has ended",
    "after": "for the order of runs",
    "freshness": "for the scheduler",
}

# Markers and helpers that are nothing without arguments.
WORDS: dict[str, Any] = {
    "cast": normalize.cast(Text),
    "clamp": normalize.clamp(0),
    "column": normalize.column("x"),
    "date_trunc": normalize.date_trunc("day"),
    "deduplicate_by": normalize.deduplicate_by("id", order_by="id"),
    "default": normalize.default("x"),
    "derive": normalize.derive("id"),
    "explode": normalize.explode("x"),
    "filter_where": normalize.filter_where("true"),
    "flatten": normalize.flatten("x", {"y": "y"}),
    "hash": normalize.hash(key="${env:X}"),
    "limit": normalize.limit(1),
    "map_values": normalize.map_values({"a": "b"}),
    "nullif": normalize.nullif("x"),
    "regex_replace": normalize.regex_replace("a", "b"),
    "rename": normalize.rename(new="old"),
    "replace": normalize.replace("a", "b"),
    "sample_pct": normalize.sample_pct(0.5),
    "select": normalize.select("id"),
    "sql": normalize.sql("upper({col})"),
    "to_timezone": normalize.to_timezone("UTC"),
    "truncate": normalize.truncate(3),
    "with_column": normalize.with_column("x", "1"),
}


def flow(*words: str, directory: Path = REPOSITORY) -> str:
    done = subprocess.run(
        [flow_binary(), *words], cwd=directory, env={"NO_COLOR": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 2), done.stderr
    return done.stdout


def commands(path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every command that does something itself, by the lists of `--help`."""
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", flow(*path, "--help"), re.MULTILINE)
    if listed is None:
        return {path}
    names = re.findall(r"^  (\w[\w-]*)  ", listed[1], re.MULTILINE)
    return set().union(*(commands((*path, name)) for name in names))


def word(name: str) -> Any:
    return WORDS[name] if name in WORDS else getattr(normalize, name)()


def words_of(module: Any) -> list[str]:
    return [name for name in normalize.__all__ if inspect.getmodule(getattr(normalize, name)) is module]


def refused_markers(names: list[str], directory: Path) -> set[str]:
    """Those that the core refuses as not there yet: each in a column, or a pipeline, of its own name."""
    project = Project()
    cleaning = [name for name in names if name in words_of(markers)]
    columns = {name: {"type": "text?", "normalize": [word(name).export()]} for name in cleaning}
    project.table("t", {"id": "bigint", **columns}, schema="s")
    for name in names:
        if name not in cleaning:
            project.pipeline(name, "a.b", "t", "append", transforms_pre=[word(name).export()])
    (directory / "pipelines.toml").write_text(project.text(), encoding="utf-8")
    errors = json.loads(flow("validate", "--output", "json", directory=directory))["errors"]
    refusals = [error["message"] for error in errors if error["code"] == "not_yet_supported"]
    found = [re.search(r" in (?:column|pipeline) `(\w+)`", refusal) for refusal in refusals]
    return {match[1] for match in found if match} & set(names)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    schema = json.loads(flow("schema"))
    options = frozenset(schema["$defs"]["PipelineSection"]["properties"]) - {
        "source",
        "target",
        "targets",
        "for_each",
        "overrides",
    }
    from ematix_flow import _core

    table = json.loads(_core.option_table())
    assert {option["name"] for option in table if option["supported"]} == options
    keys = frozenset(name for name in words_of(markers) if isinstance(word(name), (markers.Key, markers.Named)))
    cleaning = [name for name in normalize.__all__ if name not in keys]
    refused = frozenset(refused_markers(cleaning, tmp_path_factory.mktemp("markers")))
    return Product(
        strategies=frozenset(
            mode["const"]
            for mode in schema["$defs"]["Mode"]["oneOf"]
            if not mode["description"].startswith("Another name")
        ),
        options=options,
        options_to_come=frozenset(option["name"] for option in table if not option["supported"]),
        dialects=frozenset(
            path.stem for path in (REPOSITORY / "crates/flow-core/src/dialect").iterdir() if path.stem != "mod"
        ),
        commands=frozenset(commands()),
        markers=frozenset(cleaning) - refused,
        markers_to_come=refused,
        keys=keys,
        codes=frozenset(each["code"] for each in json.loads(flow("explain", "--output", "json"))["codes"]),
        without_a_plan=WITHOUT_A_PLAN,
        sources=frozenset(path.name for path in (REPOSITORY / "crates/flow-foreign/src").iterdir() if path.is_dir()),
    )


def repository() -> dict[str, str]:
    patterns = (
        "*.md", "docs/**/*.md", "pipelines.example*", "pipelines.example/*.toml", "tests/scenarios/*.flow",
        "tests/python/**/*.py", "crates/*/tests/**/*.rs", "crates/*/tests/**/*.md", "crates/*/tests/snapshots/*.snap",
    )  # fmt: skip
    paths = {path for pattern in patterns for path in REPOSITORY.glob(pattern) if path.is_file()}
    return {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}


def test_nothing_is_forgotten(product: Product) -> None:
    if forgotten := gaps(product, repository()):
        pytest.fail("\n".join(forgotten), pytrace=False)


def test_the_product_is_read_whole(product: Product) -> None:
    assert {"append", "truncate", "merge", "scd2"} <= product.strategies
    assert "postgres" in product.dialects and product.sources == {"mysql", "sqlite"}
    assert {("run",), ("dev", "start"), ("watermark", "set")} <= product.commands
    assert ("watermark",) not in product.commands
    assert product.keys == {"pk", "natural_key", "unique", "column"}
    assert product.markers | product.markers_to_come | product.keys == set(normalize.__all__)
    assert set(words_of(markers)) | set(words_of(helpers)) | set(words_of(transforms)) == set(normalize.__all__)
    assert len(product.options) > 35 and "drift" in product.codes


# --- a gap of each kind is seen, and nothing else -----------------------------------------------------------------

WHOLE = Product(
    strategies=frozenset({"merge"}),
    options=frozenset({"mode", "keys", "owner"}),
    options_to_come=frozenset({"after"}),
    dialects=frozenset({"postgres"}),
    commands=frozenset({("run",), ("list",), ("schema",), ("dev", "start"), ("watermark", "set")}),
    markers=frozenset({"trim"}),
    markers_to_come=frozenset({"lower"}),
    keys=frozenset({"pk"}),
    codes=frozenset({"drift"}),
    without_a_plan={"owner": "for people"},
    sources=frozenset({"mysql"}),
)
FILES = {
    "README.md": "```console\n$ flow list\n```\n",
    "docs/reference/strategies/merge.md": "# merge",
    "docs/reference/engines/postgres.md": "# Postgres",
    "docs/reference/engines/mysql.md": "# MySQL",
    "tests/python/test_mysql_source.py": "",
    "docs/reference/errors/drift.md": "# drift",
    "docs/reference/errors/index.md": "# Errors",
    "docs/reference/markers.md": "## trim\n```sql\nSELECT 1;\n-- 1\n```\n```python\nid = pk()\n```\n## lower\nNot yet.\n",
    "docs/reference/not-yet.md": "`lower`, `after`",
    "docs/reference/toml.md": "| `mode` | |\n| `keys` | |\n| `owner` | |\n",
    "docs/reference/cli.md": "## flow run\n## flow list\n## flow schema\n### flow dev start\n### flow watermark set\n",
    "pipelines.example.toml": 'mode = "merge"\nkeys = "id"  # none\nowner = "me"\n',
    "crates/flow-core/tests/plan_snapshots.rs": "use flow::dialect::postgres::Postgres;",
    "crates/flow-core/tests/snapshots/plan_snapshots__a.snap": "# mode = 'merge'\n# keys = 'id'\n",
    "crates/flow-cli/tests/demo.rs": 'flow(&["schema", "-q"]); // flow(&["list"])',
    "crates/flow-cli/tests/cmd/program.md": "```\n$ flow watermark set a 1\n```\n",
    "tests/scenarios/a.flow": '## pipelines.toml\nmode = "merge"\nkeys = "id"\n## run a --full-scan\n',
    "tests/python/test_a.py": 'flow("--config", "x", "dev", "start")\nproject(owner="me")\n',
}


def without(path: str) -> Callable[[dict[str, str]], None]:
    return lambda files: files.pop(path) and None


def changed(path: str, old: str, new: str = "") -> Callable[[dict[str, str]], None]:
    def change(files: dict[str, str]) -> None:
        assert old in files[path]
        files[path] = files[path].replace(old, new)

    return change


def added(path: str) -> Callable[[dict[str, str]], None]:
    return lambda files: files.update({path: ""})


def test_a_whole_repository_has_no_gap() -> None:
    assert gaps(WHOLE, FILES) == []


@pytest.mark.parametrize(
    ("gap", "named"),
    [
        (
            without("docs/reference/strategies/merge.md"),
            "strategy merge: no page docs/reference/strategies/merge.md",
        ),
        (
            changed("crates/flow-core/tests/snapshots/plan_snapshots__a.snap", "'merge'", "'scd2'"),
            "strategy merge: no plan, write one in plan_snapshots.rs",
        ),
        (
            changed("tests/scenarios/a.flow", '"merge"', '"scd2"'),
            "strategy merge: no scenario in tests/scenarios",
        ),
        (
            added("docs/reference/strategies/snapshot.md"),
            "strategy snapshot: there is none, and docs/reference/strategies/snapshot.md explains it",
        ),
        (
            changed("docs/reference/markers.md", "-- 1\n"),
            "marker trim: no section `## trim` with an executed table in docs",
        ),
        (
            changed("docs/reference/markers.md", "## trim", "## Cleaning"),
            "marker trim: no section `## trim` with an executed table in docs",
        ),
        (
            changed("docs/reference/not-yet.md", "`lower`, "),
            "marker lower: is refused, and docs/reference/not-yet.md does not name it",
        ),
        (
            changed("docs/reference/markers.md", "pk()", "key()"),
            "marker pk: no Python of docs uses it",
        ),
        (
            without("docs/reference/engines/postgres.md"),
            "engine postgres: no page docs/reference/engines/postgres.md",
        ),
        (
            changed("crates/flow-core/tests/plan_snapshots.rs", "postgres", "duckdb"),
            "engine postgres: no crates/flow-core/tests/plan_*.rs plans for dialect::postgres",
        ),
        (
            without("docs/reference/engines/mysql.md"),
            "engine mysql: no page docs/reference/engines/mysql.md",
        ),
        (
            without("tests/python/test_mysql_source.py"),
            "engine mysql: no tests/python/test_mysql_source.py reads it",
        ),
        (
            added("docs/reference/engines/sqlite.md"),
            "engine sqlite: there is none, and docs/reference/engines/sqlite.md explains it",
        ),
        (
            changed("docs/reference/cli.md", "## flow list\n"),
            "command list: no section in docs/reference/cli.md, run docs/generate.py",
        ),
        (
            changed("README.md", "flow list", "flow list --help"),
            "command list: no test, scenario or page runs it",
        ),
        (
            changed("crates/flow-cli/tests/demo.rs", "schema", "schemas"),
            "command schema: no test, scenario or page runs it",
        ),
        (
            changed("tests/scenarios/a.flow", "## run", "## plan"),
            "command run: no test, scenario or page runs it",
        ),
        (
            changed("tests/python/test_a.py", '"start"', '"status"'),
            "command dev start: no test, scenario or page runs it",
        ),
        (
            changed("crates/flow-cli/tests/cmd/program.md", "watermark set", "watermark show"),
            "command watermark set: no test, scenario or page runs it",
        ),
        (
            changed("docs/reference/toml.md", "| `keys` | |\n"),
            "option keys: no row in docs/reference/toml.md, run docs/generate.py",
        ),
        (
            changed("pipelines.example.toml", "\nkeys", "\n# keys"),
            "option keys: no line in pipelines.example.toml",
        ),
        (
            changed("tests/scenarios/a.flow", "keys ="),
            "option keys: no test and no scenario uses it",
        ),
        (
            changed("tests/python/test_a.py", "owner=", "other="),
            "option owner: no test and no scenario uses it",
        ),
        (
            changed("crates/flow-core/tests/snapshots/plan_snapshots__a.snap", "# keys = 'id'\n"),
            "option keys: in no plan, add one to plan_snapshots.rs or say why not",
        ),
        (
            changed("crates/flow-core/tests/snapshots/plan_snapshots__a.snap", "# keys", "# owner = 'me'\n# keys"),
            "option owner: excused from plans, and stands in one",
        ),
        (
            changed("docs/reference/not-yet.md", "`after`"),
            "option after: is refused, and docs/reference/not-yet.md does not name it",
        ),
        (
            without("docs/reference/errors/drift.md"),
            "code drift: no page docs/reference/errors/drift.md",
        ),
        (
            added("docs/reference/errors/flood.md"),
            "code flood: there is none, and docs/reference/errors/flood.md explains it",
        ),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_gap_is_named_alone(gap: Callable[[dict[str, str]], None], named: str) -> None:
    files = dict(FILES)
    gap(files)
    assert gaps(WHOLE, files) == [named]


def test_an_excuse_for_no_option_is_named() -> None:
    product = replace(WHOLE, without_a_plan={**WHOLE.without_a_plan, "gone": "it was for people"})
    assert gaps(product, FILES) == ["option gone: excused from plans, and there is none of that name"]


def test_what_only_lists_everything_tests_nothing() -> None:
    files = {**FILES, "crates/flow-core/tests/example.rs": '"keys = 1"', "tests/python/house/a.py": 'flow("list")'}
    del files["README.md"]
    files["tests/scenarios/a.flow"] = files["tests/scenarios/a.flow"].replace("keys =", "")
    assert gaps(WHOLE, files) == [
        "command list: no test, scenario or page runs it",
        "option keys: no test and no scenario uses it",
    ]


def test_a_command_is_known_by_its_words() -> None:
    known = {("list",), ("connections", "list"), ("run",)}
    assert completeness.command_of(["--config", "x", "connections", "list"], known) == ("connections", "list")
    assert completeness.command_of(["--quiet", "list"], known) == ("list",)
    assert completeness.command_of(["run", "list"], known) == ("run",)
    assert completeness.command_of(["init"], known) is None
