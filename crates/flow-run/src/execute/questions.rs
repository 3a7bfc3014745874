//! What commands ask of history: runs, steps, watermarks, the versions of a key, what is due.

use super::keys::live_table;
use super::{Engine, row_json};
use crate::history::HistoryStore;
use crate::session::{Session, nth, unreadable};
use ematix_flow_core::dialect::Dialect;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::pipeline::strategy::HistoryColumns;
use ematix_flow_core::pipeline::{DEFAULT_CONNECTION, Pipeline, Target};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{KeyHistory, RunLog, RunRow, RunsWanted, Version, WatermarkRow};
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName, Sql, text};
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::HashSet;

impl Engine {
    /// The targets' connections of some pipelines, each once, with the pipelines that use it.
    pub(super) fn by_connection(&self, pipelines: &[String]) -> Result<IndexMap<String, Vec<String>>> {
        let mut found: IndexMap<String, Vec<String>> = IndexMap::new();
        for name in pipelines {
            let spec = self
                .project
                .pipelines
                .get(name)
                .ok_or_else(|| ematix_flow_core::pipeline::unknown_pipeline(&self.project, name))?;
            let connection = spec
                .options
                .target_connection
                .clone()
                .or_else(|| spec.source.first_connection().map(str::to_owned));
            found
                .entry(
                    connection.unwrap_or_else(|| ematix_flow_core::pipeline::DEFAULT_CONNECTION.to_owned()),
                )
                .or_default()
                .push(name.clone());
        }
        Ok(found)
    }

    pub(super) async fn metadata_session(&self, connection: &str) -> Result<Option<Box<dyn Session>>> {
        let session = self.open(connection, "history").await?;
        if HistoryStore::on(session.as_ref()).exists().await? {
            return Ok(Some(session));
        }
        session.close().await;
        Ok(None)
    }

    /// The last runs of some pipelines, newest first.
    ///
    /// # Errors
    /// As connecting.
    pub async fn history(&self, pipelines: &[String], wanted: &RunsWanted) -> Result<Vec<RunRow>> {
        let mut runs: Vec<RunRow> = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let Some(session) = self.metadata_session(&connection).await? else { continue };
            let history = HistoryStore::on(session.as_ref());
            let mut found = history.runs(&names, wanted).await?;
            with_transforms(history, &mut found).await?;
            runs.extend(found);
            session.close().await;
        }
        runs.sort_by(|left, right| right.started_at.cmp(&left.started_at));
        runs.truncate(wanted.limit);
        Ok(runs)
    }

    /// A run and its steps, by its id or the last digits of it.
    ///
    /// # Errors
    /// `invalid_value` where no run or several have that id.
    pub async fn run_log(&self, run: &str) -> Result<RunLog> {
        let names: Vec<String> = self.project.pipelines.keys().cloned().collect();
        if run.is_empty() || !run.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return Err(no_run(run));
        }
        let (mut found, mut unreachable) = (Vec::new(), None);
        let mut connections: Vec<String> = self.by_connection(&names)?.into_keys().collect();
        // Where a transform has run by itself, its run is recorded.
        for spec in self.project.transforms.values() {
            let connection = spec.connection.as_deref().unwrap_or(DEFAULT_CONNECTION);
            if !connections.iter().any(|known| known == connection) {
                connections.push(connection.to_owned());
            }
        }
        for connection in connections {
            // A run is in one database: that another cannot be reached matters only if it is nowhere else.
            match self.run_logs_on(&connection, run).await {
                Ok(logs) => found.extend(logs),
                Err(error) => unreachable = Some(error),
            }
        }
        if let (true, Some(error)) = (found.is_empty(), unreachable) {
            return Err(error);
        }
        // Two connections may lead to one database.
        let mut told = HashSet::new();
        found.retain(|log: &RunLog| told.insert(log.run.run_id.clone()));
        match found.len() {
            0 => Err(no_run(run)),
            1 => Ok(found.remove(0)),
            count => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("{count} runs have an id that ends in `{run}`"),
            )
            .hint("give more digits, from the end")),
        }
    }

    async fn run_logs_on(&self, connection: &str, run: &str) -> Result<Vec<RunLog>> {
        let Some(session) = self.metadata_session(connection).await? else { return Ok(Vec::new()) };
        let history = HistoryStore::on(session.as_ref());
        let mut found = Vec::new();
        let mut rows = history.run_by_suffix(run).await?;
        with_transforms(history, &mut rows).await?;
        for row in rows {
            let steps = history.steps_of(&row.run_id).await?;
            found.push(RunLog { run: row, steps });
        }
        session.close().await;
        Ok(found)
    }

    /// Stored watermarks.
    ///
    /// # Errors
    /// As connecting.
    pub async fn watermarks(&self, pipelines: &[String]) -> Result<Vec<WatermarkRow>> {
        let mut found = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let Some(session) = self.metadata_session(&connection).await? else { continue };
            found.extend(HistoryStore::on(session.as_ref()).watermarks(&names).await?);
            session.close().await;
        }
        Ok(found)
    }

    /// Sets a watermark: what lies at or after it is read again, and append appends it again.
    ///
    /// # Errors
    /// `missing_option` without an incremental column, `invalid_value` for a value of another type.
    pub async fn set_watermark(&self, pipeline: &str, value: &str) -> Result<WatermarkRow> {
        let built = self.built(pipeline)?;
        let Some(incremental) = &built.incremental else { return Err(no_watermark(pipeline)) };
        let what = format!("watermark {pipeline}");
        let session = self.open_in_turn(&built, &built.target_connection, &what, |_| ()).await?;
        let history = HistoryStore::on(session.as_ref());
        if !history.is_current().await? {
            history.prepare(true).await?;
        }
        // A run under way would read the old watermark, and write its own over this one.
        lock_target(session.as_ref(), &built).await?;
        let columns = self.columns_of_source(&built, session.as_ref(), &what).await?;
        session.tidy().await?;
        let Some(column) = columns.iter().find(|column| column.name == incremental.column.as_str()) else {
            return Err(FlowError::new(
                ErrorCode::UnknownColumn,
                format!("the source has no column `{}`", incremental.column),
            ));
        };
        let stored = session.inspector().stable_text(value, &column.data_type).await?;
        let column_type = &column.data_type.name;
        history.set_watermark(pipeline, incremental.column.as_str(), &stored, column_type).await?;
        let rows = history.watermarks(&[pipeline.to_owned()]).await?;
        session.close().await;
        rows.into_iter().next().ok_or_else(|| no_watermark(pipeline))
    }

    /// Forgets a watermark and append's ledger with it: the next run reads in full.
    ///
    /// # Errors
    /// As connecting.
    pub async fn reset_watermark(&self, pipeline: &str) -> Result<()> {
        let built = self.built(pipeline)?;
        let Some(session) = self.metadata_session(&built.target_connection).await? else { return Ok(()) };
        lock_target(session.as_ref(), &built).await?;
        HistoryStore::on(session.as_ref()).reset_watermark(pipeline).await?;
        session.close().await;
        Ok(())
    }

    /// The versions of one key; `key` has name and text of each key column, the name empty where there is one.
    ///
    /// # Errors
    /// `option_not_for_mode` for a pipeline without history, `unknown_column`, `missing_option`.
    pub async fn key_history(&self, pipeline: &str, key: &[(String, String)]) -> Result<KeyHistory> {
        let built = self.built(pipeline)?;
        let Some(kept) = built.strategy.history() else {
            return Err(FlowError::new(
                ErrorCode::OptionNotForMode,
                format!("`{pipeline}` is {}: only scd2 keeps versions of a key", built.strategy.mode()),
            )
            .hint("`flow history` without --key shows its runs"));
        };
        let session = self.open(&built.target_connection, &format!("history {pipeline}")).await?;
        let name = built.target.name();
        let live = live_table(session.as_ref(), &built).await?;
        let key = match_key(&self.keys_of(session.as_ref(), &built, &live).await?, key)?;
        let sql = versions_of(session.facts().dialect, name, &kept, &key);
        let answers = session.ask(Blame::Target, "read the versions of the key", &sql).await?;
        let columns = match &built.target {
            Target::Declared(table) => {
                table.columns.iter().map(|column| column.name.to_string()).collect::<Vec<_>>()
            }
            Target::Inferred(_) => Vec::new(),
        };
        session.close().await;
        let rows = nth(&answers, 0, "read the versions of the key")?.rows.clone();
        let mut shown_key = IndexMap::new();
        let mut versions = Vec::new();
        for row in rows {
            let cell = |index: usize| row.get(index).cloned().flatten();
            let text = cell(3).unwrap_or_default();
            let mut object: serde_json::Map<String, Value> = row_json::read(&text).map_err(|error| {
                unreadable("read the versions of the key", &format!("a row that is no JSON object: {error}"))
            })?;
            for managed in [kept.begin, kept.end, kept.current, kept.hash] {
                object.shift_remove(managed.as_str());
            }
            for (column, _) in &key {
                shown_key
                    .insert(column.to_string(), object.shift_remove(column.as_str()).unwrap_or(Value::Null));
            }
            let mut values: IndexMap<String, Value> =
                columns.iter().filter_map(|name| Some((name.clone(), object.shift_remove(name)?))).collect();
            values.extend(object);
            let valid_to = cell(1).filter(|to| to != "infinity");
            versions.push(Version {
                valid_from: cell(0).unwrap_or_default(),
                valid_to,
                is_current: matches!(cell(2).as_deref(), Some("t" | "true")),
                values,
            });
        }
        if versions.is_empty() {
            shown_key =
                key.iter().map(|(column, value)| (column.to_string(), Value::from(value.clone()))).collect();
        }
        Ok(KeyHistory { key: shown_key, versions })
    }
}

/// Asks for the versions of a key: where each begins and ends, whether it is current, and its row as JSON.
fn versions_of(
    dialect: &dyn Dialect,
    target: &QualifiedName,
    kept: &HistoryColumns<'_>,
    key: &[(Ident, String)],
) -> String {
    let column = |name: &Ident| sql!("t.{name}", name);
    sql!(
        "SELECT {begin}, {end}, t.{current}, {row}\n  FROM {target} AS t\n WHERE {conditions}\n ORDER BY t.{first}",
        begin = dialect.iso_instant(&column(kept.begin)),
        end = dialect.iso_instant(&column(kept.end)),
        current = kept.current,
        row = dialect.json_of_row("t"),
        target,
        conditions = Sql::join(key_conditions(dialect, key), " AND "),
        first = kept.begin
    )
    .to_text(dialect)
}

/// Which rows `t` have a key.
pub(super) fn key_conditions(dialect: &dyn Dialect, key: &[(Ident, String)]) -> Vec<Sql> {
    let is = |(name, value): &(Ident, String)| {
        let column = dialect.cast_to(&sql!("t.{name}", name), "text");
        sql!("{column} = {value}", column, value = text(value.as_str()))
    };
    key.iter().map(is).collect()
}

/// Enters the transforms that ran after some runs.
pub(super) async fn with_transforms(history: HistoryStore<'_>, runs: &mut [RunRow]) -> Result<()> {
    let run_ids: Vec<String> = runs.iter().map(|run| run.run_id.clone()).collect();
    for transform in history.transforms_of(&run_ids).await? {
        if let Some(run) =
            runs.iter_mut().find(|run| run.run_id == transform.parent || run.run_id == transform.run_id)
        {
            run.transforms.push(transform);
        }
    }
    Ok(())
}

/// Begins a transaction that holds the target as a run does.
async fn lock_target(session: &dyn Session, pipeline: &Pipeline) -> Result<()> {
    session.wait_for_lock(&pipeline.target_key(), pipeline.limits.lock_timeout.as_std()).await
}

pub(super) fn match_key(keys: &[Ident], said: &[(String, String)]) -> Result<Vec<(Ident, String)>> {
    let names = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut found: IndexMap<&Ident, String> = IndexMap::new();
    for (name, value) in said {
        match (part_of_key(keys, name, value), keys) {
            (Some((key, value)), _) => found.insert(key, value),
            (None, [only]) if name.is_empty() => found.insert(only, value.clone()),
            (None, _) if name.is_empty() => None,
            (None, _) => {
                return Err(FlowError::new(
                    ErrorCode::UnknownColumn,
                    format!("`{name}` is not a column of the key ({names})"),
                ));
            }
        };
    }
    let value_of = |key: &Ident| {
        found.get(key).map(|value| (key.clone(), value.clone())).ok_or_else(|| {
            FlowError::new(ErrorCode::MissingOption, format!("the key ({names}) needs a value for `{key}`"))
                .hint(format!(
                    "write {}",
                    keys.iter().map(|key| format!("--key {key}=…")).collect::<Vec<_>>().join(" ")
                ))
        })
    };
    keys.iter().map(value_of).collect()
}

/// The key's column that `name=value` gives, and its value: a column may have a `=` in its name.
fn part_of_key<'a>(keys: &'a [Ident], name: &str, value: &str) -> Option<(&'a Ident, String)> {
    let said = format!("{name}={value}");
    let value_for = |key: &Ident| said.strip_prefix(key.as_str())?.strip_prefix('=').map(str::to_owned);
    let key = keys.iter().filter(|key| value_for(key).is_some()).max_by_key(|key| key.as_str().len())?;
    value_for(key).map(|value| (key, value))
}

fn no_run(run: &str) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("there is no run `{run}`"))
        .hint("`flow history` shows the runs; the last eight digits of an id will do")
}

fn no_watermark(pipeline: &str) -> FlowError {
    FlowError::new(
        ErrorCode::MissingOption,
        format!("pipeline `{pipeline}` has no incremental_column, and so no watermark"),
    )
}
