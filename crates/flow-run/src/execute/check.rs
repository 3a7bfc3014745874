//! Verifies a table against what its strategy promises, and names the keys that break it. Reads only.

use super::Engine;
use super::keys::live_table;
use crate::history::HistoryStore;
use crate::session::{Session, nth};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::dialect::ColumnValue;
use ematix_flow_core::error::Result;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::pipeline::strategy::Invariant;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::Violation;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql;
use ematix_flow_core::sql::Ident;
use indexmap::IndexMap;
use serde_json::Value;

impl Engine {
    /// The invariants of a target that are broken; empty when all hold.
    ///
    /// # Errors
    /// As connecting, and `unknown_table` when the target does not exist yet.
    pub async fn check(&self, pipeline: &str) -> Result<Vec<Violation>> {
        let built = Pipeline::build(&self.project, pipeline, &PipelineOptions::default())
            .map_err(|mut errors| errors.remove(0))?;
        let session =
            self.open_in_turn(&built, &built.target_connection, &format!("check {pipeline}"), |_| ()).await?;
        let name = built.target.name();
        let live = live_table(session.as_ref(), &built).await?;
        let strategy = &built.strategy;
        let keys = self.keys_of(session.as_ref(), &built, &live).await?;
        let mut all = strategy.invariants(session.facts().dialect, name, &keys);
        all.extend(hash_invariant(session.as_ref(), &built, &keys, &live).await?);
        let mut violations = Vec::new();
        for Invariant { name: invariant, detail, sql } in all {
            let doing = format!("check {invariant}");
            let answers = session.ask(Blame::Target, &doing, &sql.to_text(session.facts().dialect)).await?;
            for row in &nth(&answers, 0, invariant)?.rows {
                let key: IndexMap<String, Value> = keys
                    .iter()
                    .zip(row)
                    .map(|(name, value)| (name.to_string(), value.clone().map_or(Value::Null, Value::from)))
                    .collect();
                violations.push(Violation {
                    invariant: invariant.to_owned(),
                    key: (!key.is_empty()).then_some(key),
                    detail: detail.to_owned(),
                });
            }
        }
        session.close().await;
        Ok(violations)
    }
}

/// The hashes of current versions, as far as we made them: over the set of columns that is stored.
async fn hash_invariant(
    session: &dyn Session,
    pipeline: &Pipeline,
    keys: &[Ident],
    live: &LiveTable,
) -> Result<Option<Invariant>> {
    let strategy = &pipeline.strategy;
    let history = HistoryStore::on(session);
    if strategy.history().is_none() || !history.exists().await? {
        return Ok(None);
    }
    let Some(set) = history.compare_set_of(&pipeline.target_key()).await? else { return Ok(None) };
    let idents: Vec<Ident> = set.iter().map(Ident::new).collect::<Result<_>>()?;
    let columns: Option<Vec<ColumnValue<'_>>> = idents
        .iter()
        .map(|name| {
            let data_type = &live.column(name.as_str())?.data_type;
            Some(ColumnValue { name, sql: sql!("t.{name}", name), data_type })
        })
        .collect();
    let Some(columns) = columns else { return Ok(None) };
    Ok(strategy.hash_invariant(session.facts().dialect, pipeline.target.name(), keys, &columns))
}
