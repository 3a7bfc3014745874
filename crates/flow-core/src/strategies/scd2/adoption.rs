//! Gives an existing table what an SCD2 history has and it lacks, where `migrate` allows it: every row
//! that is there becomes a version, the current one of its key unless a column says that it ended.

use super::options::{FirstValidFrom, Scd2};
use crate::declare::options::OpenEnd;
use crate::dialect::NewColumn;
use crate::error::{ErrorCode, FlowError, Result};
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Subject};
use crate::run_value::RunValue;
use crate::schema::LiveTable;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};
use crate::types::DataType;

/// Adds the managed columns that are missing and fills them.
pub fn steps(load: &Resolved<'_>, scd2: &Scd2, missing: &[&str], builder: &mut PlanBuilder<'_>) {
    let lacks = |name: &Ident| missing.contains(&name.as_str());
    if lacks(&scd2.effective_from) {
        let begin = match &scd2.first_valid_from {
            FirstValidFrom::Column(name) => {
                let data_type = load.type_of(name);
                load.dialect.to_instant(data_type, &sql!("t.{name}", name))
            }
            // When it really began is not known, but it was before this run.
            FirstValidFrom::Run | FirstValidFrom::Epoch => {
                let instant = load.dialect.type_name(&load.dialect.instant_type());
                load.dialect.typed_literal("1970-01-01 00:00:00+00", &instant)
            }
        };
        add(load, &scd2.effective_from, &load.dialect.instant_type(), Some(begin), true, builder);
    }
    if lacks(&scd2.effective_to) {
        let open = super::open_end(load, scd2);
        let infinite = scd2.open_end == OpenEnd::Infinity;
        add(
            load,
            &scd2.effective_to,
            &load.dialect.instant_type(),
            infinite.then_some(open),
            infinite,
            builder,
        );
    }
    if lacks(&scd2.current_flag) {
        let open = super::is_open(load, scd2, Some("t"));
        add(load, &scd2.current_flag, &DataType::Boolean, Some(open), true, builder);
    }
    if lacks(&scd2.hash_column) {
        let digest = load.row_digest(|name| sql!("t.{name}", name));
        add(load, &scd2.hash_column, &DataType::Bytes, Some(digest), true, builder);
    }
}

fn add(
    load: &Resolved<'_>,
    name: &Ident,
    data_type: &DataType,
    value: Option<Sql>,
    not_null: bool,
    builder: &mut PlanBuilder<'_>,
) {
    let target = &load.table.name;
    builder.mark(Subject::HistoryColumn, format!("column \"{name}\" added to what becomes a history"));
    let sql = load.dialect.add_column(
        target,
        NewColumn {
            name: name.clone(),
            data_type: Sql::from_dialect(load.dialect.type_name(data_type)),
            default: None,
            not_null: false,
        },
    );
    builder.step(StepKind::Ddl, format!("add the column {name} to {target}"), sql, Answer::Ignore);
    if let Some(value) = value {
        let sql = sql!("UPDATE {target} AS t\n   SET {name} = {value}", target, name, value);
        let answer = match data_type {
            DataType::Bytes => Answer::Count(vec![RunValue::RowsRehashed]),
            _ => Answer::Ignore,
        };
        builder.step(StepKind::Update, format!("fill {name} of the rows that are there"), sql, answer);
    }
    if not_null {
        let sql = load.dialect.set_not_null(target, name);
        builder.step(StepKind::Ddl, format!("{name} is never NULL"), sql, Answer::Ignore);
    }
}

/// A history that we made with another `open_end` has other ends in its current versions.
pub fn refuse_other_end(load: &Resolved<'_>, scd2: &Scd2, live: &LiveTable) -> Result<()> {
    let nullable = live.column(scd2.effective_to.as_str()).is_some_and(|column| column.nullable);
    if !live.ours || nullable == (scd2.open_end == OpenEnd::Null) {
        return Ok(());
    }
    let (was, word) = if nullable { ("NULL", "null") } else { ("infinity", "infinity") };
    Err(FlowError::new(
        ErrorCode::Drift,
        format!("current versions of {} end with {was}, and open_end says otherwise", load.table.name),
    )
    .hint(format!("set open_end = \"{word}\"; readers rely on one form, so flow does not rewrite it")))
}

/// A history has several versions of a key: an index that allows one row a key stands in its way.
pub fn refuse_one_row_per_key(load: &Resolved<'_>, live: &LiveTable) -> Result<()> {
    let of_keys = |column: &String| load.keys.iter().any(|key| key.as_str() == column);
    let found = live.indexes.iter().find(|index| {
        index.unique && index.usable && index.predicate.is_none() && index.columns.iter().all(of_keys)
    });
    let Some(index) = found else { return Ok(()) };
    let name = Ident::new(&index.name)?;
    let drop = match index.primary {
        true => sql!("ALTER TABLE {table} DROP CONSTRAINT {name}", table = load.table.name, name),
        false => {
            sql!("DROP INDEX {index}", index = QualifiedName { schema: load.table.name.schema.clone(), name })
        }
    };
    Err(FlowError::new(
        ErrorCode::Drift,
        format!(
            "the index `{}` of {} allows one row a key, and scd2 keeps several",
            index.name, load.table.name
        ),
    )
    .hint(format!("drop it: {}; flow never drops anything", drop.to_text(load.dialect))))
}
