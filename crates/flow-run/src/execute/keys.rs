//! By which columns the rows of a target are known, for whoever only looks at it: those that a run would take.

use super::{Engine, Request, Stop};
use crate::history::{HistoryStore, record_of};
use crate::session::{Session, nth};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::keys::of_live;
use ematix_flow_core::pipeline::{Pipeline, Target, declared_keys};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql::{Ident, QualifiedName};

impl Engine {
    /// What the pipeline says, else what is declared, else what the live table shows; what only the source tells is
    /// asked of a plan.
    ///
    /// # Errors
    /// As planning, where the table itself does not show its keys.
    pub(super) async fn keys_of(
        &self,
        session: &dyn Session,
        pipeline: &Pipeline,
        live: &LiveTable,
    ) -> Result<Vec<Ident>> {
        match (&pipeline.keys, &pipeline.target) {
            (Some(keys), _) => return Ok(keys.clone()),
            (None, Target::Declared(table)) => return Ok(declared_keys(table).0),
            (None, Target::Inferred(_)) => {}
        }
        let strategy = pipeline.strategy.as_ref();
        let mut record = None;
        if HistoryStore::on(session).exists().await? {
            let question = record_of(session.facts().dialect, &pipeline.target_key());
            let doing = "look up what is remembered of the target";
            let answers = session.ask(Blame::Target, doing, &question.sql).await?;
            record = Some(question.read(nth(&answers, 0, doing)?, doing)?.record);
        }
        if let Some((keys, _)) = of_live(strategy, live, record.as_ref())? {
            return Ok(keys);
        }
        if !strategy.keys().is_required() {
            return Ok(Vec::new());
        }
        let request = Request::plain(tokio::sync::watch::channel(Stop::No).1);
        let plan = self.plan(&pipeline.name, &request).await?;
        plan.header.keys.iter().map(Ident::new).collect()
    }
}

/// The target as it lives.
///
/// # Errors
/// `unknown_table` where it is not there yet.
pub(super) async fn live_table(session: &dyn Session, pipeline: &Pipeline) -> Result<LiveTable> {
    let name = pipeline.target.name();
    found_table(session, name).await?.ok_or_else(|| {
        FlowError::new(ErrorCode::UnknownTable, format!("{name} does not exist yet"))
            .hint(format!("`flow run {}` creates it", pipeline.name))
    })
}

/// The table of that name, where there is one.
pub(super) async fn found_table(session: &dyn Session, name: &QualifiedName) -> Result<Option<LiveTable>> {
    let (doing, asked) = ("look at the target", session.inspector().table(name));
    let answers = session.ask(Blame::Target, doing, &asked.sql).await?;
    Ok(asked.read(nth(&answers, 0, doing)?, doing)?.1)
}
