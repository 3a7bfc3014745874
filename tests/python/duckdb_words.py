"""The words in which DuckDB says what the SQL of a scenario says to Postgres, and what it calls otherwise in its answers.

All that may differ between a scenario on Postgres and the same on DuckDB stands here or in `duckdb_cannot.txt`.
"""

from __future__ import annotations

import re

# What a statement says to Postgres, and to DuckDB.
STATEMENTS = (
    # In the list of what is selected it is one list there, not rows.
    (r"SELECT generate_series\((\d+), (\d+)\)", r"SELECT unnest(generate_series(\1, \2))"),
    # The schema that is always there.
    (r"\bpublic\.", "main."),
    # Where a row lies.
    (r"\bctid\b", "rowid"),
    (r"\bjsonb\b", "json"),
    # An index has a name.
    (r"CREATE UNIQUE INDEX ON (\w+)\.(\w+) \((\w+)\)", r"CREATE UNIQUE INDEX \2_\3 ON \1.\2 (\3)"),
    # A reserved word, as a column.
    (r"(?m)(?<=[( ])at(?=[ ,]|$)", '"at"'),
    # Before version 1.5 an instant has seconds.
    (r"'(\d{4}-\d\d-\d\d \d\d:\d\d)([+-]\d\d)'", r"'\1:00\2'"),
    # Of bytes.
    (r"\blength\((\w*hash)\)", r"octet_length(\1)"),
    # A table of the catalogue's.
    (
        r"'(\w+)\.(\w+)'::regclass",
        r"(SELECT table_oid FROM duckdb_tables() WHERE schema_name = '\1' AND table_name = '\2')",
    ),
    # Whether a table or a schema is there.
    (
        r"to_regclass\('(\w+)\.(\w+)'\)",
        r"(SELECT any_value(table_name) FROM duckdb_tables() WHERE schema_name = '\1' AND table_name = '\2')",
    ),
    (
        r"to_regnamespace\('(\w+)'\)",
        r"(SELECT any_value(schema_name) FROM duckdb_schemas() WHERE schema_name = '\1')",
    ),
)

# The names of types and defaults, where a scenario asks the catalogue for them.
CATALOGUE = {
    "BIGINT": "bigint",
    "VARCHAR": "text",
    "UUID": "uuid",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    '"system".main.now()': "now()",
}
CATALOGUE_COLUMNS = ("data_type", "column_default")

# What a message calls otherwise.
MESSAGES = ((r'(ADD COLUMN "\w+") VARCHAR\b', r"\1 text"),)

INSTANT, FLOATS = "TIMESTAMP WITH TIME ZONE", ("DOUBLE", "FLOAT")


def statement(sql: str) -> str:
    """
    >>> statement("SELECT generate_series(1, 20) AS ctid")
    'SELECT unnest(generate_series(1, 20)) AS rowid'
    """
    for said, words in STATEMENTS:
        sql = re.sub(said, words, sql)
    return sql


def message(said: str) -> str:
    """
    >>> message('ALTER TABLE a ADD COLUMN "b" VARCHAR')
    'ALTER TABLE a ADD COLUMN "b" text'
    """
    for words, meant in MESSAGES:
        said = re.sub(words, meant, said)
    return said


def heading(name: str) -> str:
    """The name of a column that has none: that of its function.

    >>> heading("count_star()"), heading("max(valid_from)"), heading("name")
    ('count', 'max', 'name')
    """
    function, bracket, _ = name.partition("(")
    return {"count_star": "count"}.get(function, function) if bracket and name.endswith(")") else name


def value(text: str | None, column: str, of: str) -> str | None:
    """
    >>> value("1.0", "f", "DOUBLE"), value("nan", "f", "DOUBLE"), value("-0.0", "f", "DOUBLE")
    ('1', 'NaN', '-0')
    >>> value("BIGINT", "data_type", "VARCHAR")
    'bigint'
    """
    if text is None:
        return None
    if of in FLOATS:
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text.removesuffix(".0"))
    return CATALOGUE.get(text, text) if column in CATALOGUE_COLUMNS else text
