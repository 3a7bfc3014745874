//! What a project begins with.

use crate::args::mode_called;
use crate::commands::add::document;
use crate::commands::add::wanted::{Load, Wanted};
use ematix_flow_core::declare::{ColumnSpec, Names, TableSpec};
use ematix_flow_core::error::Result;
use ematix_flow_core::sql::{Ident, QualifiedName};

/// The one connection.
pub const CONNECTION: &str = "warehouse";

/// The module of a project in Python.
pub const MODULE: &str = "my_pipelines";

/// Rows that any database has.
const SAMPLE: &str = "SELECT * FROM (VALUES (1, 'ada@example.org', 'Ada'), (2, 'grace@example.org', 'Grace'), \
                      (3, NULL, 'Edsger')) AS c(customer_id, email, name)";

/// What stands above tables and pipelines.
pub fn head(dsn: &str) -> String {
    format!(
        "\
# A project of ematix-flow. `flow list` reads it, `flow plan` shows what a run would do, `flow run --all` does it.

# Where rows come from and go to. `${{env:NAME}}` keeps passwords out of this file; `flow connections check` logs in.
[connections.{CONNECTION}]
dsn = {dsn}

# What every pipeline shares. An option written in a pipeline goes before.
[defaults]
timezone = \"UTC\"
",
        dsn = toml_edit::Value::from(dsn)
    )
}

const ABOVE_TABLE: &str = "\
# A destination table. flow creates it, with the columns that the load strategy needs besides. ? allows NULL.
";

const ABOVE_PIPELINE: &str = "\
# What each row looked like, and when: a new version when something in it changes.
";

const BELOW_PIPELINE: &str = "\
# handle_deletes = \"soft\"           # a row that is gone from the source is closed out
# schedule = \"0 * * * *\"            # for `flow run-due`, called every minute by cron

# `flow add 'schema.*' --from warehouse` declares more tables.
";

/// The project's file.
///
/// # Errors
/// None that its parts do not have.
pub fn project(head: &str, wanted: &Wanted) -> Result<String> {
    let text = document::with(head, &[wanted], &load())?;
    let text = text.replacen("\n[tables.", &format!("\n{ABOVE_TABLE}[tables."), 1);
    let text = text.replacen("\n[pipelines.", &format!("\n{ABOVE_PIPELINE}[pipelines."), 1);
    Ok(text + BELOW_PIPELINE)
}

/// How it is loaded.
pub fn load() -> Load {
    Load::within(CONNECTION, "analytics", mode_called("scd2"))
}

/// What is loaded where there is no table.
pub fn sample() -> Wanted {
    let name = |schema, name| QualifiedName { schema: Ident::fixed(schema), name: Ident::fixed(name) };
    let columns = [("customer_id", "bigint"), ("email", "string(256)?"), ("name", "text?")];
    let columns = columns.map(|(name, data_type)| (name.to_owned(), ColumnSpec::Type(data_type.to_owned())));
    Wanted {
        key: "customers".to_owned(),
        name: "customers".to_owned(),
        source: name("sample", "customers"),
        query: Some(SAMPLE.to_owned()),
        target: name("analytics", "customers"),
        table: TableSpec {
            schema: Some("analytics".to_owned()),
            natural_key: Some(Names::Many(vec!["customer_id".to_owned()])),
            columns: columns.into_iter().collect(),
            ..TableSpec::default()
        },
        declared: None,
        keys_reason: None,
        settings: Vec::new(),
        notes: Vec::new(),
    }
}
