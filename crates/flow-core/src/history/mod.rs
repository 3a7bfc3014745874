//! What is remembered of runs, in the schema `ematix_flow` of the target: its tables, the statements that read and
//! write them, and their versions. Nothing else names these tables. Pure: whoever has a session sends the statements.

// Its macro serves the modules after it.
#[macro_use]
mod statements;
pub mod grants;
mod feature_views;
mod remember;
mod rewind;

pub use feature_views::{FEATURE_VIEWS, ViewMemory, hide_other_versions, register_feature_view};
pub use remember::{
    Compared, FileVersion, Fresh, ReadBy, TargetMemory, WatermarkMemory, counts_as_json, counts_of_failure,
    enter_into_ledger, fence, forget_in_ledger, forget_ledger, fresh_rows, known_rows, number_of_run,
    remember_declaration, remember_files, remember_target, remember_watermark, runs_of,
    runs_of_those_that_run, same_generation, success, success_of_several,
};
pub use rewind::{
    RewoundRun, forget_files_since, forget_watermark, remember_rewind, rewind_watermark, rewound,
};
pub use statements::{Kind, Value, kinds, names, statement};

use crate::dialect::duckdb;
use crate::sql;
use crate::sql::{Ident, Sql};

/// The schema of our metadata and of every intermediate table.
pub const SCHEMA: &str = "ematix_flow";

/// The end of a run's id, by which people name it and its sessions are found.
pub fn short_id(run_id: &str) -> &str {
    run_id.get(run_id.len().saturating_sub(8)..).unwrap_or(run_id)
}

/// Where the schema goes that another program has filled under our name.
pub const SET_ASIDE: &str = "ematix_flow_before";

/// Makes room for our metadata: what another program keeps under their name gets another one.
pub fn set_aside() -> Sql {
    sql!("ALTER SCHEMA {own} RENAME TO {aside}", own = Ident::fixed(SCHEMA), aside = Ident::fixed(SET_ASIDE))
}

/// The tables of version 1.
const TABLES: &str = include_str!("schema.sql");

/// The same, as DuckDB has them.
const TABLES_OF_DUCKDB: &str = include_str!("duckdb/schema.sql");

/// What one version of the metadata has that the one before it had not.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version that it leads to.
    pub version: i32,
    /// The statements. They only add, and what they add may be left empty: a run of the version before that is under
    /// way while they run ends by its own statements.
    pub sql: &'static str,
    /// The same, as DuckDB words them.
    pub of_duckdb: &'static str,
}

impl Migration {
    fn statements(&self) -> Sql {
        worded(self.sql, self.of_duckdb)
    }
}

/// Every migration, in the order of versions.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 2,
        // What a transform's function returned; and the runs that follow a load are found by it.
        sql: "ALTER TABLE ematix_flow.run_history ADD COLUMN metrics jsonb;\nCREATE INDEX IF NOT EXISTS run_history_by_parent ON ematix_flow.run_history (parent_run_id) WHERE parent_run_id IS NOT NULL;\n",
        of_duckdb: "ALTER TABLE ematix_flow.run_history ADD COLUMN metrics JSON;\n",
    },
    Migration {
        version: 3,
        sql: include_str!("version_3.sql"),
        of_duckdb: include_str!("duckdb/version_3.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("version_4.sql"),
        of_duckdb: include_str!("duckdb/version_4.sql"),
    },
    Migration {
        version: 5,
        sql: include_str!("version_5.sql"),
        of_duckdb: include_str!("duckdb/version_5.sql"),
    },
];

/// The version of the metadata that this program reads and writes.
pub const VERSION: i32 = version_after(MIGRATIONS);

/// The version to which migrations lead.
pub const fn version_after(migrations: &[Migration]) -> i32 {
    match migrations.last() {
        Some(last) => last.version,
        None => 1,
    }
}

/// The names of the tables that schema and migrations make, without their schema.
pub fn tables(migrations: &[Migration]) -> Vec<&'static str> {
    let texts = std::iter::once(TABLES).chain(migrations.iter().map(|migration| migration.sql));
    texts
        .flat_map(|text| text.split("CREATE TABLE IF NOT EXISTS ematix_flow.").skip(1))
        .filter_map(|rest| rest.split([' ', '(']).next())
        .collect()
}

/// What leads from the version that was found, or from nothing, to that of the migrations; empty where it is there.
/// Runs inside a transaction that has taken the metadata.
pub fn build(found: Option<i32>, migrations: &'static [Migration]) -> Vec<Sql> {
    let mut statements = Vec::new();
    if found.is_none() {
        statements.push(worded(TABLES, TABLES_OF_DUCKDB));
        statements.push(statement!("enter_version", version = 1));
    }
    for migration in migrations.iter().filter(|migration| migration.version > found.unwrap_or(1)) {
        statements.push(migration.statements());
        statements.push(statement!("raise_version", version = migration.version));
    }
    if !statements.is_empty() {
        let names: Vec<String> =
            tables(migrations).into_iter().map(|name| format!("{SCHEMA}.{name}")).collect();
        statements.push(statement!("share_tables", tables = &names.join(", ")));
    }
    statements
}

fn worded(common: &'static str, of_duckdb: &'static str) -> Sql {
    Sql::worded(Sql::text(whole(common)), duckdb::NAME, Sql::text(whole(of_duckdb)))
}

/// Statements without the semicolon behind the last.
fn whole(text: &'static str) -> &'static str {
    text.trim_end().trim_end_matches(';')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::postgres::Postgres;
    use crate::run_value::RunValue;

    #[test]
    fn versions_grow_by_one_from_the_first() {
        for (version, migration) in (2..).zip(MIGRATIONS) {
            assert_eq!(migration.version, version);
        }
        assert_eq!(VERSION as usize, MIGRATIONS.len() + 1);
        let fake = [
            Migration { version: 2, sql: "", of_duckdb: "" },
            Migration { version: 3, sql: "", of_duckdb: "" },
        ];
        assert_eq!((version_after(&[]), version_after(&fake)), (1, 3));
    }

    #[test]
    fn the_tables_are_those_of_schema_and_migrations() {
        let first = [
            "metadata",
            "targets",
            "watermarks",
            "run_history",
            "schema_history",
            "append_seen",
            "slots",
            "run_steps",
        ];
        assert_eq!(tables(&[]), first);
        let more = Migration {
            version: 2,
            sql: "CREATE TABLE IF NOT EXISTS ematix_flow.locks (\n  target text\n)",
            of_duckdb: "CREATE TABLE IF NOT EXISTS ematix_flow.locks (\n  target text\n)",
        };
        assert_eq!(tables(&[more])[first.len()..], ["locks"]);
    }

    #[test]
    fn what_is_missing_is_built_in_the_order_of_versions() {
        const MORE: &[Migration] = &[
            Migration { version: 2, sql: "ALTER a;\n", of_duckdb: "ALTER a;\n" },
            Migration { version: 3, sql: "ALTER b", of_duckdb: "ALTER b" },
        ];
        let built = |found, migrations| -> Vec<String> {
            let kind = |text: String| text.lines().next().unwrap_or_default().to_owned();
            build(found, migrations).iter().map(|sql| kind(sql.to_text(&Postgres))).collect()
        };
        let tables = TABLES.lines().next().expect("a comment");
        let enter = r#"INSERT INTO "ematix_flow"."metadata" (version)"#;
        let raise = |version| format!(r#"UPDATE "ematix_flow"."metadata" SET version = {version}"#);
        let (second, third, share) = (raise(2), raise(3), "DO $grants$");
        assert_eq!(built(None, &[]), [tables, enter, share]);
        assert_eq!(built(None, MORE), [tables, enter, "ALTER a", &second, "ALTER b", &third, share]);
        assert_eq!(built(Some(1), MORE), ["ALTER a", &second, "ALTER b", &third, share]);
        assert_eq!(built(Some(2), MORE), ["ALTER b", &third, share]);
        assert_eq!(built(Some(3), MORE), [] as [&str; 0]);
    }

    #[test]
    fn every_table_of_the_schema_is_in_our_schema_and_may_be_there_already() {
        for text in [TABLES, TABLES_OF_DUCKDB] {
            for (index, _) in text.match_indices("CREATE TABLE") {
                let said: String = text[index..].chars().take_while(|c| *c != '(').collect();
                assert!(said.starts_with(&format!("CREATE TABLE IF NOT EXISTS {SCHEMA}.")), "{said}");
            }
        }
    }

    #[test]
    fn the_tables_of_duckdb_have_the_same_columns() {
        let words = |text: &str| -> Vec<String> {
            let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with("--"));
            let first = lines.filter(|line| !line.starts_with("CREATE INDEX")).filter_map(|line| {
                let word = line.split_whitespace().next()?;
                Some(if word == "CREATE" { line.split('(').next()?.to_owned() } else { word.to_owned() })
            });
            first.collect()
        };
        assert_eq!(words(TABLES_OF_DUCKDB), words(TABLES));
    }

    #[test]
    fn every_recorded_number_has_its_column_in_the_history() {
        let table = TABLES.split("ematix_flow.run_history (").nth(1).and_then(|rest| rest.split(");").next());
        let columns: Vec<&str> =
            table.expect("the table").lines().filter_map(|line| line.split_whitespace().next()).collect();
        for value in RunValue::RECORDED {
            assert!(columns.contains(&value.name()), "{} has no column", value.name());
        }
    }
}
