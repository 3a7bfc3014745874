//! By which columns rows are matched: what the pipeline says, else what its table declares.

use super::strategy::KeyNeed;
use super::{Pipeline, Target, declared_keys};
use crate::declare::options::OnDuplicate;
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::facts::Facts;
use crate::schema::Table;
use crate::sql::Ident;

/// The keys, and where they were declared.
///
/// # Errors
/// `unknown_column` for a key that the table does not have, `missing_keys`.
pub fn resolve(
    pipeline: &Pipeline,
    table: &Table,
    facts: &Facts,
) -> Result<(Vec<Ident>, Option<&'static str>)> {
    let known = |keys: &[Ident]| -> Result<()> {
        if let Some(key) = keys.iter().find(|key| table.column(key).is_none()) {
            let error = FlowError::new(
                ErrorCode::UnknownColumn,
                format!("`keys` names the column `{key}`, which {} does not have", table.name),
            );
            return Err(
                match did_you_mean(key.as_str(), table.columns.iter().map(|column| column.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error,
                },
            );
        }
        Ok(())
    };
    if let Some(keys) = &pipeline.keys {
        known(keys)?;
        return Ok((keys.clone(), Some("keys")));
    }
    let need = pipeline.strategy.keys();
    if need == KeyNeed::None {
        // A declared key alone makes it match no rows.
        return Ok((Vec::new(), None));
    }
    let (keys, reason) = declared_keys(table);
    let inferred = matches!(pipeline.target, Target::Inferred(_));
    let reason = match (inferred, facts.target.live.is_some()) {
        (true, true) => "primary key of the live table",
        (true, false) => "primary key of the source table",
        _ => reason,
    };
    if keys.is_empty() && (need.is_required() || pipeline.on_duplicate == OnDuplicate::Latest) {
        return Err(FlowError::new(
            ErrorCode::MissingKeys,
            format!("pipeline `{}` has no keys", pipeline.name),
        )
        .hint("set keys = [\"…\"] to the columns that identify a row in the source"));
    }
    let reason = (!keys.is_empty()).then_some(reason);
    Ok((keys, reason))
}
