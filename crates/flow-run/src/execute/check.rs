//! Verifies a table against what its strategy promises, and names the keys that break it. Reads only.

use super::Engine;
use crate::history::HistoryStore;
use crate::session::{Session, nth};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::dialect::ColumnValue;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::strategy::Invariant;
use ematix_flow_core::pipeline::{Pipeline, Target, declared_keys};
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
            self.open_in_turn(&built, &built.target_connection, &format!("check {pipeline}"), || ()).await?;
        let name = built.target.name();
        let doing = "look at the target";
        let table = session.inspector().table(name);
        let answers = session.ask(Blame::Target, doing, &table.sql).await?;
        let (_, live) = table.read(nth(&answers, 0, doing)?, doing)?;
        let Some(live) = live else {
            return Err(FlowError::new(ErrorCode::UnknownTable, format!("{name} does not exist yet"))
                .hint(format!("`flow run {pipeline}` creates it")));
        };
        let strategy = &built.strategy;
        let keys = keys_of(&built, &live)?;
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

/// The keys of the live table: what is declared, else its primary key, without the beginning of a version.
fn keys_of(pipeline: &Pipeline, live: &LiveTable) -> Result<Vec<Ident>> {
    if let Some(keys) = &pipeline.keys {
        return Ok(keys.clone());
    }
    if let Target::Declared(table) = &pipeline.target {
        return Ok(declared_keys(table).0);
    }
    let begin = pipeline.strategy.history().map(|history| history.begin.as_str());
    let primary = live.indexes.iter().find(|index| index.primary);
    let columns = primary.map(|index| index.columns.as_slice()).unwrap_or_default();
    columns.iter().filter(|name| Some(name.as_str()) != begin).map(Ident::new).collect()
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
