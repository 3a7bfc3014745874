//! What `flow status` asks: how each pipeline's last runs went, and what is awaited of it. One question a database,
//! however many pipelines it has; with the steps of the last runs, a few.

use super::Engine;
use super::questions::with_transforms;
use crate::history::{HistoryStore, KnownState};
use crate::session::Session;
use ematix_flow_core::declare::{PipelineSpec, ProjectSpec};
use ematix_flow_core::error::{FlowError, Result};
use ematix_flow_core::report::{Overview, RunLog, StatusRow};
use ematix_flow_core::schedule::Schedule;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};

/// How many runs of a pipeline are looked at.
const RECENT: usize = 20;

/// Of how many pipelines whose last run needs a look that run is told, however old it is.
const LOOKED_AT: usize = 20;

/// How long after its slot a run may begin before the slot counts as missed: what fires runs comes once a minute.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

impl Engine {
    /// Pipelines with their last runs.
    ///
    /// # Errors
    /// As connecting.
    pub async fn status(&self, pipelines: &[String]) -> Result<Vec<StatusRow>> {
        let mut found = Vec::new();
        for (connection, names) in self.by_connection(pipelines)? {
            let session = self.open(&connection, "status").await?;
            found.extend(self.status_on(session.as_ref(), &names).await?);
            session.close().await;
        }
        Ok(in_order(found, pipelines))
    }

    /// Pipelines with their last runs, and the steps of the last `logs` runs of all: what a page shows. What kept a
    /// database from answering stands beside what the others know; its pipelines are there without runs.
    pub async fn overview(&self, pipelines: &[String], logs: usize) -> (Overview, Vec<FlowError>) {
        let (mut overview, mut errors) = (Overview::default(), Vec::new());
        let by_connection = match self.by_connection(pipelines) {
            Ok(found) => found,
            Err(error) => return (overview, vec![error]),
        };
        for (connection, names) in by_connection {
            match self.overview_on(&connection, &names, logs).await {
                Ok(part) => {
                    overview.pipelines.extend(part.pipelines);
                    overview.logs.extend(part.logs);
                }
                Err(error) => {
                    let unknown = names.iter().map(|name| self.state(name, None, Timestamp::now()));
                    overview.pipelines.extend(unknown);
                    errors.push(error);
                }
            }
        }
        overview.pipelines = in_order(overview.pipelines, pipelines);
        overview.logs = last_logs(overview.logs, &overview.pipelines, logs);
        (overview, errors)
    }

    async fn overview_on(&self, connection: &str, names: &[String], logs: usize) -> Result<Overview> {
        let session = self.open(connection, "status").await?;
        let pipelines = self.status_on(session.as_ref(), names).await?;
        let history = HistoryStore::on(session.as_ref());
        let mut logs = history.logs(&told_runs(&pipelines, logs)).await?;
        let mut runs: Vec<_> = logs.iter().map(|log| log.run.clone()).collect();
        with_transforms(history, &mut runs).await?;
        for (log, run) in logs.iter_mut().zip(runs) {
            log.run = run;
        }
        session.close().await;
        Ok(Overview { pipelines, logs })
    }

    async fn status_on(&self, session: &dyn Session, names: &[String]) -> Result<Vec<StatusRow>> {
        let known = HistoryStore::on(session).states(names, RECENT).await?.unwrap_or_default();
        let mut known: HashMap<String, KnownState> =
            known.into_iter().map(|state| (state.pipeline.clone(), state)).collect();
        let now = Timestamp::now();
        Ok(names.iter().map(|name| self.state(name, known.remove(name), now)).collect())
    }

    fn state(&self, name: &str, known: Option<KnownState>, now: Timestamp) -> StatusRow {
        let spec = &self.project.pipelines[name];
        let options = &spec.options;
        let schedule = schedule_of(spec);
        let enabled = options.enabled.unwrap_or(true);
        let mut row = StatusRow {
            name: name.to_owned(),
            mode: options.mode.map(|mode| mode.name().to_owned()),
            target: targets_of(&self.project, name, spec),
            schedule: schedule.as_ref().map(|schedule| schedule.text().to_owned()),
            timezone: options.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
            enabled,
            ..StatusRow::default()
        };
        let last_slot = known.as_ref().and_then(|known| known.last_slot.as_deref()?.parse().ok());
        if let Some(known) = known {
            let running = known.runs.iter().rev().find(|run| run.status == "running");
            row.running_since = running.map(|run| run.started_at.clone());
            row.last_run = known.last_run;
            row.last_success = known.last_success;
            row.lag_ms = known.lag_ms;
            row.runs = known.runs;
            row.paused = known.paused;
        }
        let Some(schedule) = schedule.filter(|_| enabled) else { return row };
        row.next = schedule.next_after(now).map(|slot| slot.to_string());
        row.interval_ms = interval(&schedule, now).map(|interval| interval.as_millis() as i64);
        if row.running_since.is_none() && row.paused.is_none() {
            let awaited = |from: Option<Timestamp>| {
                let slot = schedule.next_after(from?).filter(|slot| now.duration_since(*slot) > GRACE);
                slot.map(|slot| slot.to_string())
            };
            row.missed_slot = awaited(last_slot);
            row.late_since = awaited(row.last_success.as_deref().and_then(|at| at.parse().ok()));
        }
        row
    }
}

/// How far apart the last two slots lie.
fn interval(schedule: &Schedule, now: Timestamp) -> Option<SignedDuration> {
    let last = schedule.last_until(now)?;
    let before = schedule.last_until(last - SignedDuration::from_secs(1))?;
    Some(last.duration_since(before))
}

/// The schedule of a pipeline, where it can be read; a mistake in it is `validate`'s to report.
fn schedule_of(spec: &PipelineSpec) -> Option<Schedule> {
    let options = &spec.options;
    let timezone = options.timezone.as_deref().unwrap_or("UTC");
    let first_run = options.first_run.unwrap_or_default();
    match (&options.schedule, &options.every) {
        (Some(line), _) => Schedule::cron(line, timezone, first_run).ok(),
        (None, Some(every)) => Schedule::every(every, timezone, first_run).ok(),
        (None, None) => None,
    }
}

fn targets_of(project: &ProjectSpec, name: &str, spec: &PipelineSpec) -> String {
    project.target_names(name, spec).join(", ")
}

fn in_order(mut rows: Vec<StatusRow>, names: &[String]) -> Vec<StatusRow> {
    let places: HashMap<&str, usize> =
        names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    rows.sort_by_key(|row| places.get(row.name.as_str()).copied());
    rows
}

/// The ids of the last runs of all, and of the last run of each pipeline that needs a look.
fn told_runs(rows: &[StatusRow], logs: usize) -> Vec<String> {
    let mut points: Vec<_> = rows.iter().flat_map(|row| &row.runs).collect();
    points.sort_by(|left, right| (&right.started_at, &right.run_id).cmp(&(&left.started_at, &left.run_id)));
    let looked_at =
        rows.iter().filter_map(StatusRow::last_ended).filter(|run| run.needs_a_look()).take(LOOKED_AT);
    let mut told: Vec<String> =
        points.into_iter().take(logs).chain(looked_at).map(|run| run.run_id.clone()).collect();
    let mut seen = HashSet::new();
    told.retain(|run| seen.insert(run.clone()));
    told
}

/// As many of several databases as of one.
fn last_logs(mut found: Vec<RunLog>, rows: &[StatusRow], logs: usize) -> Vec<RunLog> {
    let wanted: HashSet<String> = told_runs(rows, logs).into_iter().collect();
    found.retain(|log| wanted.contains(&log.run.run_id));
    found.sort_by(|left, right| right.run.started_at.cmp(&left.run.started_at));
    found
}
