//! Which privileges the role of a session lacks, and what grants them.

use super::text;
use crate::session::{Privilege, ResultSet, unreadable};
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::MissingPrivilege;
use ematix_flow_core::sql::{QualifiedName, Quote};

/// Asks which privileges are missing; answered by [`read`].
pub(super) fn question(privileges: &[Privilege]) -> String {
    let rows: Vec<String> = privileges
        .iter()
        .map(|privilege| match privilege {
            Privilege::CreateSchema => "(pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), \
                 'CREATE on database ' || pg_catalog.current_database(), \
                 'GRANT CREATE ON DATABASE ' || pg_catalog.quote_ident(pg_catalog.current_database()))"
                .to_owned(),
            Privilege::Schema(word, schema) => {
                let name = text(schema);
                format!(
                    "(COALESCE((SELECT pg_catalog.has_schema_privilege(n.oid, '{word}') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {name}), true), \
                     '{word} on schema ' || {name}, 'GRANT {word} ON SCHEMA ' || pg_catalog.quote_ident({name}))"
                )
            }
            Privilege::Table(word, table) => {
                let name = text(&Postgres.qualified(table));
                let any_column = if matches!(*word, "INSERT" | "UPDATE" | "SELECT") {
                    format!(" OR pg_catalog.has_any_column_privilege({name}, '{word}')")
                } else {
                    String::new()
                };
                format!(
                    "(pg_catalog.has_table_privilege({name}, '{word}'){any_column}, '{word} on table {shown}', 'GRANT {word} ON ' || {name})",
                    shown = table.to_string().replace('\'', "''"),
                )
            }
            Privilege::Sequence(sequence) => {
                let name = text(&Postgres.qualified(sequence));
                format!(
                    "(pg_catalog.has_sequence_privilege({name}, 'USAGE, UPDATE'), 'USAGE on sequence {shown}', 'GRANT USAGE ON SEQUENCE ' || {name})",
                    shown = sequence.to_string().replace('\'', "''"),
                )
            }
        })
        .collect();
    format!(
        "SELECT p.what, p.fix || ' TO ' || pg_catalog.quote_ident(current_user) FROM (VALUES {}) AS p(has, what, fix) WHERE NOT p.has",
        rows.join(", ")
    )
}

/// Asks from which sequences defaults draw: a column that is an identity draws by itself, without a privilege.
pub(super) fn sequences_question(table: &QualifiedName) -> String {
    format!(
        "SELECT a.attname, n.nspname, s.relname
  FROM pg_catalog.pg_attrdef AS d
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  JOIN pg_catalog.pg_depend AS u ON u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND u.objid = d.oid
   AND u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  JOIN pg_catalog.pg_class AS s ON s.oid = u.refobjid AND s.relkind = 'S'
  JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
 WHERE d.adrelid = pg_catalog.to_regclass({})
 ORDER BY 1, 2, 3",
        text(&Postgres.qualified(table))
    )
}

/// Reads the answer to [`sequences_question`].
///
/// # Errors
/// `target_failed` for an answer of another form.
pub(super) fn read_sequences(answer: &ResultSet, doing: &str) -> Result<Vec<(String, QualifiedName)>> {
    let read = |row: &Vec<Option<String>>| match row.as_slice() {
        [Some(column), Some(schema), Some(name)] => {
            Ok((column.clone(), QualifiedName::new(schema.as_str(), name.as_str())?))
        }
        _ => Err(unreadable(doing, "a sequence without a name")),
    };
    answer.rows.iter().map(read).collect()
}

/// Reads the answer to [`question`].
///
/// # Errors
/// `target_failed` for an answer of another form: a privilege that nobody could ask for is not there.
pub(super) fn read(answer: &ResultSet, doing: &str) -> Result<Vec<MissingPrivilege>> {
    if answer.columns.len() != 2 {
        return Err(unreadable(doing, &format!("{} columns where 2 were asked for", answer.columns.len())));
    }
    let read = |row: &Vec<Option<String>>| match row.as_slice() {
        [Some(what), Some(grant)] => Ok(MissingPrivilege { what: what.clone(), grant: grant.clone() }),
        _ => Err(unreadable(doing, "a privilege without a name")),
    };
    answer.rows.iter().map(read).collect()
}
