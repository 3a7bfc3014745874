//! Rows that no database of the target's engine sends, straight into the target, where a stage would only be written
//! again.

use super::{guards, stage};
use crate::engine::Uniqueness;
use crate::error::Result;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, Bring, StepKind};
use crate::run_value::RunValue;
use crate::sql::Ident;

/// Whether the rows may come into the target itself: nobody looks at them before, and the guards that look at them
/// there come before what the server would say of a key.
pub fn fits(load: &Resolved<'_>) -> bool {
    let target = load.ends.target.can;
    stage::is_as_read(load)
        && load.left_out.is_empty()
        && load.triggers().is_empty()
        && (target.unique == Uniqueness::Unenforced || !guards::has_key_guards(load))
        && (target.copies || has_just_these_columns(load))
        && load.pipeline.strategy.takes_rows_straight(load)
}

/// Whether the target's columns are those of the rows, in their order: Arrow is taken by place.
fn has_just_these_columns(load: &Resolved<'_>) -> bool {
    let arriving = load.facts.source.columns.iter().map(|column| column.name.as_str());
    match &load.facts.target.live {
        Some(live) => live.columns.iter().map(|column| column.name.as_str()).eq(arriving),
        None => {
            let columns = load.table.columns.iter().chain(&load.managed);
            columns.map(|column| column.name.as_str()).eq(arriving)
        }
    }
}

/// Takes the rows into the target. The id of the run goes into the column `run` of each.
///
/// # Errors
/// A name that cannot be one.
pub fn take(
    load: &Resolved<'_>,
    rows: &str,
    run: Option<&Ident>,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let mut columns: Vec<_> = load
        .facts
        .source
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.data_type.clone()))
        .collect();
    columns.extend(run.map(|name| (name.to_string(), load.type_of(name).clone())));
    let names = columns.iter().map(|(name, _)| Ident::new(name.clone())).collect::<Result<Vec<_>>>()?;
    let target = &load.table.name;
    builder.bring(
        StepKind::Insert,
        format!("take the rows of {rows} into {target}"),
        Bring {
            rows: rows.to_owned(),
            read: None,
            write: load.dialect.copy_in(target, &names).render(load.dialect),
            into: target.clone(),
            columns,
            run: run.map(|_| load.facts.run.id.clone()),
        },
        Answer::Count(vec![RunValue::RowsInserted]),
    );
    Ok(())
}
