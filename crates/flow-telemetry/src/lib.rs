//! What ematix-flow tells others of its runs: OpenTelemetry, OpenLineage, Prometheus, and whoever a pipeline notifies.
//!
//! None of it fails a run or keeps it waiting: things are handed to threads of their own, and what does not arrive in time
//! is a warning. Only at the end of the process they have a moment ([`FLUSH`]; notifications the time that they may take).
//! Where nothing is asked for, nothing is started.
//!
//! The modules stand in the order in which they may use each other: each uses only those above it.

#![forbid(unsafe_code)]

pub mod rows;
pub mod address;
pub mod http;
pub mod courier;
pub mod prometheus;
pub mod notify;
pub mod otel;
pub mod lineage;
mod follow;

use ematix_flow_core::declare::environment::Environment;
use ematix_flow_core::declare::{Places, ProjectSpec};
use ematix_flow_core::report::{RunReport, Status};
use ematix_flow_run::execute::observer::Observer;
use ematix_flow_run::execute::{Engine, Request};
use ematix_flow_run::history::LostRun;
use follow::Follower;
use jiff::Timestamp;
use lineage::Lineage;
use notify::{Failed, Notifier};
use otel::Otel;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long OpenTelemetry and OpenLineage have at the end of a process for what is still on its way.
pub const FLUSH: Duration = Duration::from_secs(1);

/// Everybody who is told of runs.
pub struct Telemetry {
    environment: Arc<dyn Environment>,
    otel: Option<Otel>,
    lineage: Option<Lineage>,
    notifier: Notifier,
    warnings: Mutex<Vec<String>>,
}

/// What did not arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Notifications, each with its run.
    pub notifications: Vec<Failed>,
    /// Everything else, in words.
    pub warnings: Vec<String>,
}

impl Missed {
    /// Enters the warnings of runs into their reports, and answers all of them.
    pub fn enter<'r>(self, reports: impl IntoIterator<Item = &'r mut RunReport>) -> Vec<String> {
        let mut told = self.warnings;
        let mut reports: Vec<&mut RunReport> = reports.into_iter().collect();
        for Failed { run_id, words } in self.notifications {
            match reports.iter_mut().find(|report| report.run_id == run_id) {
                Some(report) => {
                    told.push(format!("{}: {words}", report.pipeline));
                    report.warnings.push(words);
                }
                None => told.push(words),
            }
        }
        told
    }
}

/// What can be told of a run that died.
fn of_lost(lost: LostRun, found_at: &str) -> RunReport {
    let LostRun { run_id, pipeline, target, mode } = lost;
    let started_at = Uuid::parse_str(&run_id).ok().as_ref().and_then(started_at).unwrap_or_default();
    let words = "the process gave no sign of life until its lease had run out".to_owned();
    RunReport {
        run_id,
        status: Status::Lost,
        target,
        mode,
        started_at,
        ended_at: found_at.to_owned(),
        warnings: vec![words],
        ..RunReport::of(&pipeline)
    }
}

/// The clock in the id of a run.
fn started_at(run_id: &Uuid) -> Option<String> {
    let (seconds, nanoseconds) = run_id.get_timestamp()?.to_unix();
    let at = Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()?;
    Some(format!("{at:.6}"))
}

impl Telemetry {
    /// What the variables of an environment ask for.
    pub fn from_environment(environment: Arc<dyn Environment>) -> Telemetry {
        let (otel, mut warnings) = Otel::from_environment(environment.as_ref());
        let (lineage, further) = Lineage::from_environment(environment.as_ref());
        warnings.extend(further);
        Telemetry {
            environment,
            otel,
            lineage,
            notifier: Notifier::default(),
            warnings: Mutex::new(warnings),
        }
    }

    /// Runs a pipeline, followed by everybody. `notify`: whether those are told whom the pipeline names.
    pub async fn run(
        &self,
        engine: &Engine,
        pipeline: &str,
        request: &Request,
        observer: &dyn Observer,
        notify: bool,
    ) -> RunReport {
        // A dry-run leaves nothing behind that anybody could trace back.
        let lineage = self.lineage.as_ref().filter(|_| !request.dry_run);
        let follower = Follower {
            first: observer,
            engine,
            trace: self.otel.as_ref().map(Otel::begin),
            lineage: lineage.map(|lineage| lineage.follow(engine)),
            lost: Mutex::default(),
        };
        let report = engine.run(pipeline, request, &follower).await;
        let Follower { trace, lineage, lost, .. } = follower;
        let lost = lost.into_inner().unwrap_or_else(PoisonError::into_inner);
        let lost: Vec<RunReport> = lost.into_iter().map(|lost| of_lost(lost, &report.ended_at)).collect();
        if let (Some(otel), Some(trace)) = (&self.otel, trace) {
            otel.end(trace, &report, request);
            lost.iter().for_each(|lost| otel.lost(lost));
        }
        if let Some(lineage) = lineage {
            lineage.ended(&report);
        }
        // Whoever it was that died: the process that finds it tells of it, since nobody else will.
        if notify && !report.dry_run {
            lost.iter().chain([&report]).for_each(|report| self.notify(engine.project(), report, request));
        }
        report
    }

    fn notify(&self, project: &ProjectSpec, report: &RunReport, request: &Request) {
        let Some(spec) = project.pipelines.get(&report.pipeline) else { return };
        let notifications = spec.options.overlaid(&request.overrides).notify();
        if notifications.is_empty() {
            return;
        }
        let at = format!("{}.notify", Places::path("pipelines", &report.pipeline));
        let file = project.places.find(&at).map(|place| PathBuf::from(place.file));
        let directory = file.and_then(|file| file.parent().map(PathBuf::from)).unwrap_or_default();
        self.notifier.tell(&notifications, report, self.environment.as_ref(), &directory);
    }

    /// Waits, as long as is said above, until all is told; what was missed since it was asked last.
    pub fn finish(&self) -> Missed {
        let deadline = Instant::now() + FLUSH;
        self.otel.iter().for_each(Otel::hurry);
        self.lineage.iter().for_each(Lineage::hurry);
        let notifications = self.notifier.wait();
        let mut warnings = std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        warnings.extend(self.otel.iter().flat_map(|otel| otel.wait_until(deadline)));
        warnings.extend(self.lineage.iter().filter_map(|lineage| lineage.wait_until(deadline)));
        Missed { notifications, warnings }
    }
}
