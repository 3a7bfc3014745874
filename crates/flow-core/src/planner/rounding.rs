//! A source whose type holds values that a column of a table that is only named would round: nobody has chosen that
//! column's type, so nobody has asked for it.

use crate::declare::options::OnDrift;
use crate::dialect::Cast;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::SourceColumn;
use crate::pipeline::{LoadColumn, Resolved, Target};
use crate::plan::Subject;
use crate::plan::builder::PlanBuilder;
use crate::schema::LiveTable;
use crate::sql;
use crate::sql::Sql;
use crate::types::digits::Rounding;

/// Whether an INSERT would round or cut values of the column, and say nothing.
pub fn is_rounded(load: &Resolved<'_>, column: &LoadColumn) -> bool {
    rounded(load, column).is_some()
}

fn rounded<'a>(load: &'a Resolved<'_>, column: &LoadColumn) -> Option<(&'a SourceColumn, Rounding)> {
    let source = load.facts.source.loaded(column.name.as_str())?;
    // A column that was made after a domain of another database has the domain's base type.
    let made_after = source.inferred_type() == column.data_type.name;
    let rounding = load.dialect.rounding(&source.data_type, &column.data_type).filter(|_| !made_after)?;
    Some((source, rounding))
}

/// Refuses to round what nobody declared, or says that it is done.
///
/// # Errors
/// `drift`, with what settles it.
pub fn refuse(load: &Resolved<'_>, live: &LiveTable, builder: &mut PlanBuilder<'_>) -> Result<()> {
    if matches!(load.pipeline.target, Target::Declared(_)) {
        return Ok(());
    }
    let table = &load.table.name;
    let (mut found, mut names) = (Vec::new(), Vec::new());
    let (mut alters, mut wider) = (Vec::new(), Vec::new());
    for column in &load.columns {
        let Some(held) = live.column(column.name.as_str()) else { continue };
        let Some((source, rounding)) = rounded(load, column) else { continue };
        let (name, theirs, ours) = (&column.name, &source.data_type.name, &held.data_type.name);
        let alter = (rounding == Rounding::UntilAltered).then(|| {
            let data_type = Sql::from_dialect(source.inferred_type().to_owned());
            let sql =
                sql!("ALTER TABLE {table} ALTER COLUMN {name} TYPE {data_type}", table, name, data_type);
            format!("{};", sql.to_text(load.dialect))
        });
        let what = format!("column \"{name}\": {theirs} in the source, {ours} in the table");
        if load.pipeline.on_drift == OnDrift::Ignore {
            builder.mark(Subject::IgnoredDrift, format!("{what}: values are rounded (ignored)"));
            builder.warn(format!(
                "the column {name} is {theirs} in the source and {ours} in {table}: values are rounded or cut to {ours}"
            ));
            continue;
        }
        let shown = alter.iter().fold(what.clone(), |what, sql| format!("{what}\n  {sql}"));
        builder.mark(Subject::Drift, shown);
        if !load.pipeline.migrate && load.dialect.cast(&held.data_type, &source.data_type) == Cast::Widening {
            wider.push(name.as_str());
        }
        alters.extend(alter);
        names.push(name.to_string());
        found.push(what);
    }
    if found.is_empty() {
        return Ok(());
    }
    let mut hint = "cast what is to be rounded in the query, or run with --on-drift ignore".to_owned();
    if !wider.is_empty() {
        hint = format!("run with --migrate to widen {}; or {hint}", wider.join(", "));
    }
    builder.note(format!("a run is refused: {hint}"));
    if !alters.is_empty() {
        hint.push_str(&format!("; the table holds every value after: {}", alters.join(" ")));
    }
    let message = format!("{table} would hold values of its source rounded or cut");
    let error = FlowError::new(ErrorCode::Drift, message);
    let error = found.into_iter().fold(error, FlowError::detail);
    Err(error.hint(hint).context("table", table.to_string()).context("columns", names))
}
