//! Verifies a history against its invariants, and names the keys that break them. Reads only.

use super::Engine;
use crate::history::HistoryStore;
use crate::session::{Session, nth};
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::declare::options::OpenEnd;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::dialect::{ColumnValue, Dialect};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::{Pipeline, Scd2, Strategy, Target, declared_keys};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::Violation;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Quote};
use indexmap::IndexMap;
use serde_json::Value;

/// How many keys of one broken invariant are named.
const SHOWN: usize = 20;

struct Names {
    target: String,
    keys: Vec<Ident>,
    key_list: String,
}

impl Engine {
    /// The invariants of a target that are broken; empty when all hold.
    ///
    /// # Errors
    /// As connecting, and `unknown_table` when the target does not exist yet.
    pub async fn check(&self, pipeline: &str) -> Result<Vec<Violation>> {
        let built = Pipeline::build(&self.project, pipeline, &PipelineOptions::default())
            .map_err(|mut errors| errors.remove(0))?;
        let session = self.open(&built.target_connection, &format!("check {pipeline}")).await?;
        let name = built.target.name();
        let doing = "look at the target";
        let table = session.inspector().table(name);
        let answers = session.ask(Blame::Target, doing, &table.sql).await?;
        let (_, live) = table.read(nth(&answers, 0, doing)?, doing)?;
        let Some(live) = live else {
            return Err(FlowError::new(ErrorCode::UnknownTable, format!("{name} does not exist yet"))
                .hint(format!("`flow run {pipeline}` creates it")));
        };
        let keys: Vec<Ident> = match (&built.keys, &built.target) {
            (Some(keys), _) => keys.clone(),
            (None, Target::Declared(table)) => declared_keys(table).0,
            (None, Target::Inferred(_)) => {
                let primary = live
                    .indexes
                    .iter()
                    .find(|index| index.primary)
                    .map(|index| index.columns.clone())
                    .unwrap_or_default();
                let begin = match &built.strategy {
                    Strategy::Scd2(scd2) => Some(scd2.effective_from.as_str()),
                    _ => None,
                };
                primary
                    .iter()
                    .filter(|name| Some(name.as_str()) != begin)
                    .map(Ident::new)
                    .collect::<Result<_>>()?
            }
        };
        let names = Names {
            target: format!("{}.{}", Postgres.quote(&name.schema), Postgres.quote(&name.name)),
            key_list: keys.iter().map(|key| Postgres.quote(key)).collect::<Vec<_>>().join(", "),
            keys,
        };
        let mut violations = Vec::new();
        let mut all = invariants(&built.strategy, &names);
        if let Strategy::Scd2(scd2) = &built.strategy {
            all.extend(hash_invariant(session.as_ref(), &built, scd2, &names, &live).await?);
        }
        for (invariant, detail, sql) in all {
            let answers = session.ask(Blame::Target, &format!("check {invariant}"), &sql).await?;
            for row in &nth(&answers, 0, invariant)?.rows {
                let key: IndexMap<String, Value> = names
                    .keys
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

fn invariants(strategy: &Strategy, names: &Names) -> Vec<(&'static str, &'static str, String)> {
    if names.keys.is_empty() {
        return Vec::new();
    }
    let Names { target, keys, key_list } = names;
    let texts =
        keys.iter().map(|key| format!("t.{}::text", Postgres.quote(key))).collect::<Vec<_>>().join(", ");
    let null =
        keys.iter().map(|key| format!("t.{} IS NULL", Postgres.quote(key))).collect::<Vec<_>>().join(" OR ");
    let mut all = vec![(
        "no_null_key",
        "a column of its key is NULL",
        format!("SELECT {texts} FROM {target} AS t WHERE {null} LIMIT {SHOWN}"),
    )];
    match strategy {
        Strategy::Scd2(scd2) => all.extend(history_invariants(scd2, target, key_list, &texts)),
        Strategy::Merge(_) => all.push((
            "one_row_per_key",
            "the key has several rows",
            format!(
                "SELECT {texts} FROM {target} AS t GROUP BY {key_list} HAVING pg_catalog.count(*) > 1 LIMIT {SHOWN}"
            ),
        )),
        _ => return Vec::new(),
    }
    all
}

/// The hashes of current versions, as far as we made them: over the set of columns that is stored.
async fn hash_invariant(
    session: &dyn Session,
    pipeline: &Pipeline,
    scd2: &Scd2,
    names: &Names,
    live: &LiveTable,
) -> Result<Option<(&'static str, &'static str, String)>> {
    let history = HistoryStore::on(session);
    if !history.exists().await? {
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
    let keys: Vec<String> = names.keys.iter().map(|key| format!("t.{}::text", Postgres.quote(key))).collect();
    Ok(Some((
        "hash_is_of_the_row",
        "the row hash of the current version is not that of its values: it was changed by hand",
        format!(
            "SELECT {keys} FROM {target} AS t WHERE t.{flag} AND t.{hash} IS DISTINCT FROM {digest} LIMIT {SHOWN}",
            keys = keys.join(", "),
            target = names.target,
            flag = Postgres.quote(&scd2.current_flag),
            hash = Postgres.quote(&scd2.hash_column),
            digest = Postgres.row_digest(&columns).to_text(&Postgres),
        ),
    )))
}

fn history_invariants(
    scd2: &Scd2,
    target: &str,
    key_list: &str,
    texts: &str,
) -> Vec<(&'static str, &'static str, String)> {
    let quote = |name: &Ident| Postgres.quote(name);
    let (from, to, flag, hash) = (
        quote(&scd2.effective_from),
        quote(&scd2.effective_to),
        quote(&scd2.current_flag),
        quote(&scd2.hash_column),
    );
    let open = match scd2.open_end {
        OpenEnd::Null => format!("t.{to} IS NULL"),
        OpenEnd::Infinity => format!("t.{to} = 'infinity'"),
    };
    vec![
        (
            "one_current_version",
            "the key has several current versions",
            format!("SELECT {texts} FROM {target} AS t WHERE t.{flag} GROUP BY {key_list} HAVING pg_catalog.count(*) > 1 LIMIT {SHOWN}"),
        ),
        (
            "current_is_open",
            "a version is current and closed, or neither",
            format!("SELECT {texts} FROM {target} AS t WHERE t.{flag} IS DISTINCT FROM ({open}) LIMIT {SHOWN}"),
        ),
        (
            "begins_before_it_ends",
            "a version ends before it begins, or when it begins",
            format!("SELECT {texts} FROM {target} AS t WHERE t.{from} >= t.{to} OR t.{from} IS NULL LIMIT {SHOWN}"),
        ),
        (
            "no_overlap",
            "two versions are valid at the same time",
            format!(
                "SELECT {columns} FROM (SELECT t.*, pg_catalog.lead(t.{from}) OVER (PARTITION BY {key_list} ORDER BY t.{from}) AS _ematix_next FROM {target} AS t) AS t
 WHERE t._ematix_next IS NOT NULL AND (t.{to} IS NULL OR t.{to} > t._ematix_next) LIMIT {SHOWN}",
                columns = texts
            ),
        ),
        ("has_a_hash", "a version has no row hash", format!("SELECT {texts} FROM {target} AS t WHERE t.{hash} IS NULL LIMIT {SHOWN}")),
    ]
}
