//! What an owner grants so that a role can use the metadata, in words for hints and messages.

use super::{FEATURE_VIEWS, SCHEMA};

/// Stands in a hint where the name of the role is not known yet.
pub const TO_THE_ROLE: &str = " TO the role";

/// What a run does with every table of the metadata.
pub const ON_EACH_TABLE: [&str; 3] = ["SELECT", "INSERT", "UPDATE"];

/// The tables from which a run takes rows away: its own entry where files or usage turn out to be wrong, what the ledger of
/// an append from a watermark needs no longer, and what is old where old runs are forgotten.
pub fn deleted_from(has_watermark: bool, forgets: bool) -> Vec<&'static str> {
    let mut tables = vec!["run_history"];
    if has_watermark {
        tables.push("append_seen");
    }
    if forgets {
        tables.extend(["run_steps", "slots"]);
    }
    tables
}

/// The GRANT of the schema, without the role.
pub fn on_schema() -> String {
    format!("GRANT USAGE, CREATE ON SCHEMA {SCHEMA}")
}

/// The GRANT of its tables, without the role.
pub fn on_tables() -> String {
    format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA}")
}

/// The hint for a role that may not use metadata that are there.
pub fn to_use() -> String {
    format!(
        "their owner lets the role use the metadata by: {schema}{TO_THE_ROLE}; {tables}{TO_THE_ROLE}",
        schema = on_schema(),
        tables = on_tables()
    )
}

/// The hint for a role that may not read what is entered of feature views.
pub fn to_read_features() -> String {
    format!(
        "their owner lets the role read feature views by: GRANT USAGE ON SCHEMA {SCHEMA}{TO_THE_ROLE}; GRANT SELECT ON {SCHEMA}.{FEATURE_VIEWS}{TO_THE_ROLE}"
    )
}

/// The hint for a role that may not create the schema.
pub fn to_create() -> String {
    format!(
        "an owner of the database runs once: CREATE SCHEMA {SCHEMA}; {schema}{TO_THE_ROLE}",
        schema = on_schema()
    )
}

/// The hint for a role that may not migrate metadata that belong to another.
pub const TO_MIGRATE: &str =
    "their owner migrates them: let that role run any pipeline once with this version";
