//! What the role of a target needs for a load: what a plan looks up, and what `flow doctor --grants` prints.

use crate::session::{Privilege, Session, nth};
use ematix_flow_core::error::Result;
use ematix_flow_core::history::SCHEMA;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::pipeline::prepared::declared;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::ExecutionPath;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql::QualifiedName;

/// What it needs on schemas and tables.
pub(super) fn needed_privileges(
    pipeline: &Pipeline,
    path: ExecutionPath,
    dry_run: bool,
    schema_exists: bool,
    (live, rejected): (Option<&LiveTable>, Option<&LiveTable>),
) -> Vec<Privilege> {
    let name: &QualifiedName = pipeline.target.name();
    let mut needed = Vec::new();
    if schema_exists {
        needed.push(Privilege::Schema("USAGE", name.schema.to_string()));
    } else {
        needed.push(Privilege::CreateSchema);
    }
    let strategy = &pipeline.strategy;
    let watched = live.is_some_and(|live| !live.triggers.is_empty());
    let table = declared(&pipeline.target);
    let reads = table.is_some_and(|table| table.cleaning.iter().any(|(_, chain)| chain.reads()))
        || !pipeline.expectations.is_empty()
        || rejected.is_some();
    let prepares = !pipeline.helpers.is_empty() || table.is_some_and(|table| !table.cleaning.is_empty());
    // Who only tries counts every layer.
    let counts = pipeline.helpers.iter().any(|step| step.helper.counts()) || (dry_run && prepares);
    let staged = path != ExecutionPath::SameDatabase
        || strategy.stages()
        || watched
        || reads
        || counts
        || pipeline.incremental.is_some();
    if staged {
        needed.push(Privilege::Schema("CREATE", SCHEMA.to_owned()));
    }
    if live.is_none() {
        needed.push(Privilege::Schema("CREATE", name.schema.to_string()));
        return needed;
    }
    needed.extend(strategy.privileges().iter().map(|word| Privilege::Table(word, name.clone())));
    needed
}

/// What a load that sets these columns needs of the sequences of the others. Asked only of a table that has such a
/// default.
///
/// # Errors
/// What the server says.
pub(super) async fn on_sequences(
    session: &dyn Session,
    name: &QualifiedName,
    live: &LiveTable,
    set: &[&str],
) -> Result<Vec<Privilege>> {
    let draws = live.columns.iter().any(|column| {
        let default = column.default.as_deref().unwrap_or_default();
        default.contains("nextval(") && !set.contains(&column.name.as_str())
    });
    let Some(question) = draws.then(|| session.inspector().sequences(name)).flatten() else {
        return Ok(Vec::new());
    };
    let doing = "look for the sequences of the target";
    let answers = session.ask(Blame::Target, doing, &question.sql).await?;
    let found = question.read(nth(&answers, 0, doing)?, doing)?.into_iter();
    let others = found.filter(|(column, _)| !set.contains(&column.as_str()));
    Ok(others.map(|(_, sequence)| Privilege::Sequence(sequence)).collect())
}
