//! Reading the source: into a table of intermediate rows, in place where a unique index proves what guards
//! would ask, or through the client. Guards, the watermark's range and the locks that make one reading of it.

mod account;
pub mod changes;
pub mod client;
pub mod diff;
mod expected;
mod future;
pub mod guards;
mod part;
mod path;
pub mod rejected;
pub mod slices;
pub mod stage;
pub mod straight;
mod unread;
pub mod watermark;
pub mod written;

use crate::engine::Ends;
use crate::error::Result;
use crate::facts::ExecutionPath;
use crate::layers::label;
use crate::pipeline::{Resolved, Rows};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, Blame, PhaseName, StepKind};
use crate::sql::{Ident, Sql};
pub use path::choose;

/// Reads the source where the strategy wants it, and asks every guard that needs no target.
///
/// `identity` names the source columns whose hash the stage carries (append's ledger).
pub fn steps(load: &Resolved<'_>, identity: Option<&[String]>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    lock_source(load, builder);
    say_what_is_prepared(load, builder);
    read(load, identity, builder)?;
    builder.phase(PhaseName::Apply);
    rejected::keep(load, builder)
}

fn read(load: &Resolved<'_>, identity: Option<&[String]>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    match &load.rows {
        Rows::Direct(relation) if path::proves_keys(load, relation) => {
            let unique = relation.unique.first().map(|columns| columns.join(", ")).unwrap_or_default();
            let (of, it) = match load.picks() {
                true => (relation.sql.as_str(), "the query only picks rows of it, and is read in place"),
                false => ("the source", "it is read in place"),
            };
            builder.note(format!("a unique index on {unique} of {of} proves its keys: {it}"));
        }
        Rows::Direct(_) => {
            builder.note("every statement of the load sees the same rows of the source: it is read in place");
            guards::of_keys(load, builder);
        }
        Rows::Stage(_) => {
            let range = match (&load.facts.run.part, &load.pipeline.incremental) {
                (Some(part), _) => Some(part::range(load, part, builder)?),
                (None, Some(incremental)) => {
                    future::stored(load, incremental, load.watermark_type(incremental)?, builder);
                    watermark::range(load, incremental, load.watermark_type(incremental)?, builder)?
                }
                (None, None) => None,
            };
            stage::steps(load, identity, range, builder)?;
            account::over_stage(load, builder);
            guards::over_stage(load, builder)?;
        }
        Rows::Compared => {
            account::of_source(load, builder);
            client::steps(load, builder)?;
        }
    }
    Ok(())
}

/// Says what lies between the query and the load, and where it is done.
pub fn say_what_is_prepared(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let within = load.path == ExecutionPath::SameDatabase;
    if let Some(cleaning) = &load.prepared.cleaning {
        let names: Vec<&str> = cleaning.names().map(Ident::as_str).collect();
        let place = match within {
            true => "around the source's query, in the statement that loads it",
            false => "around the source's query, in its database: cleaned values travel and are hashed",
        };
        builder.note(format!("markers clean {} {place}", names.join(", ")));
    }
    if let Some(helping) = &load.prepared.helping {
        let names: Vec<&str> = helping.names().map(label).collect();
        let place = match within {
            true => "in the statement that loads them",
            false => "in its database: the rows that leave the last one travel",
        };
        builder.note(format!("helpers around the source's rows, {place}: {}", names.join(", ")));
    }
}

/// CREATE TABLE AS and COPY take their snapshot before they wait for a lock: what another flow truncates and
/// reloads meanwhile would look empty. Executing the query once with LIMIT 0 takes all locks first.
pub fn lock_source(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    builder.phase(PhaseName::Read);
    lock_query(&load.ends, &Sql::user(load.pipeline.source.query.text()), load.path, builder);
}

/// As [`lock_source`], for a query in parentheses.
pub fn lock_query(ends: &Ends<'_>, query: &Sql, path: ExecutionPath, builder: &mut PlanBuilder<'_>) {
    let purpose = "lock what the query reads, so that the reading is younger than its locks";
    match path {
        ExecutionPath::SameDatabase => {
            let probe = ends.target.dialect.probe(query);
            builder.reading_step(StepKind::Lock, purpose, probe, Answer::Ignore, Blame::Source);
        }
        ExecutionPath::Staging | ExecutionPath::ClientDiff => {
            builder.ask_source(StepKind::Lock, purpose, ends.source.dialect.probe(query));
        }
    }
}
