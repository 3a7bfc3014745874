//! What is known of a target before its source is: the table, what stands beside it, and what is remembered of its loads.

use super::beside;
use crate::history::{KnownTarget, has_ledger, record_of, was_made_beside, watermark_of};
use crate::session::{Session, nth};
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::{StoredWatermark, TargetRecord};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::schema::{LiveTable, rejected_rows};
use ematix_flow_core::sql::QualifiedName;

/// A target, as it is.
pub(super) struct Looked {
    /// Whether its schema exists.
    pub schema_exists: bool,
    /// The table, where there is one.
    pub live: Option<LiveTable>,
    /// What is remembered of it.
    pub record: Option<TargetRecord>,
    /// The instant of the run, where that is remembered.
    pub instant: Option<String>,
    /// Whether flow has made it.
    pub ours: bool,
    /// How far the pipeline has come.
    pub watermark: Option<StoredWatermark>,
    /// Whether it remembers which files it has loaded.
    pub ledger: bool,
    /// Where rows are put aside, where they are or were.
    pub rejected: Option<QualifiedName>,
    /// The table of that name, as far as it matters.
    pub rejected_live: Option<Box<LiveTable>>,
}

/// Looks at the target of a pipeline.
///
/// # Errors
/// As the server says.
pub(super) async fn looked(
    session: &dyn Session,
    pipeline: &Pipeline,
    metadata_exists: bool,
) -> Result<Looked> {
    let name = pipeline.target.name();
    let (inspector, dialect) = (session.inspector(), session.facts().dialect);
    let table = inspector.table(name);
    let mut questions = vec![table.sql.clone()];
    let remembered = metadata_exists.then(|| {
        (
            record_of(dialect, &pipeline.target_key()),
            watermark_of(dialect, &pipeline.name),
            has_ledger(dialect, &pipeline.name),
        )
    });
    if let Some((record, watermark, ledger)) = &remembered {
        questions.extend([record.sql.clone(), watermark.sql.clone(), ledger.sql.clone()]);
    }
    // Beside the target, where rows may be put aside.
    let rejected = match pipeline.quarantines() {
        true => Some(rejected_rows::table_of(name)?),
        // They were, before the declaration changed.
        false => rejected_rows::table_of(name).ok().filter(|_| metadata_exists),
    };
    let beside = rejected.as_ref().map(|name| {
        // To describe a table takes long: where nothing is put aside, it is asked first whether it is one of these. What
        // a pipeline loads has a record of its runs, too.
        let table = pipeline.quarantines().then(|| inspector.table(name));
        (table, metadata_exists.then(|| was_made_beside(dialect, &name.to_string())))
    });
    let first_beside = questions.len();
    if let Some((table, made)) = &beside {
        questions.extend(made.iter().map(|made| made.sql.clone()));
        questions.extend(table.iter().map(|table| table.sql.clone()));
    }
    let doing = "look at the target";
    let answers = session.ask(Blame::Target, doing, &questions.join(";\n")).await?;
    let (schema_exists, live) = table.read(nth(&answers, 0, doing)?, doing)?;
    let (mut known, mut watermark, mut ledger) = (None, None, false);
    if let Some((record, stored, loaded)) = &remembered {
        known = Some(record.read(nth(&answers, 1, doing)?, doing)?);
        watermark = stored.read(nth(&answers, 2, doing)?, doing)?;
        ledger = loaded.read(nth(&answers, 3, doing)?, doing)?;
    }
    let rejected_live = match beside {
        Some((table, made)) => {
            let at = first_beside + usize::from(made.is_some());
            let made = made.map(|made| made.read(nth(&answers, first_beside, doing)?, doing)).transpose()?;
            let ours = made.unwrap_or(false);
            match (table, &rejected) {
                (Some(table), _) => {
                    let (_, live) = table.read(nth(&answers, at, doing)?, doing)?;
                    live.map(|live| Box::new(LiveTable { ours, ..live }))
                }
                (None, Some(name)) if ours => beside::that_may_come_good(session, name).await?.map(Box::new),
                (None, _) => None,
            }
        }
        None => None,
    };
    let (record, instant, ours) = match known {
        Some(KnownTarget { record, instant, ours }) => (Some(record), Some(instant), ours),
        None => (None, None, false),
    };
    Ok(Looked { schema_exists, live, record, instant, ours, watermark, ledger, rejected, rejected_live })
}
