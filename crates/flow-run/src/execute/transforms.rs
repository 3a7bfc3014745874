//! What runs after the commit, and transforms that run by themselves: each in its own transaction, with a row of its own
//! in the history.

use super::callables::Interrupt;
use super::observer::Observer;
use super::run::{asked_to_stop, cancelled, cancelled_by, unless_asked};
use super::supervise::{Cause, Ended, Watch, claim_end, haltable};
use super::targets::Targets;
use super::{Engine, Request};
use crate::history::{Claim, Entered, Entry, Failure, HistoryStore, RunStart, Slot, lease_lost};
use crate::session::{End, Limits, Session, nth};
use ematix_flow_core::declare::transforms::OnFailure;
use ematix_flow_core::declare::{PipelineOptions, Places};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history::short_id;
use ematix_flow_core::pipeline::{self, Transform, Work, named_transform};
use ematix_flow_core::plan::{Blame, Child, Plan};
use ematix_flow_core::report::{RunReport, Status, TransformReport};
use ematix_flow_core::schedule::slots::Policy;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What a function returned.
type Metrics = Map<String, Value>;

/// Who a transform runs for, and what bounds it.
struct Service<'a> {
    /// Whose name its row of the history has.
    pipeline: &'a str,
    /// The target that it follows; of one that runs alone its own name.
    target: &'a str,
    /// The run that it follows.
    parent: Option<&'a str>,
    slot: Option<Slot<'a>>,
    limits: &'a pipeline::Limits,
    /// What is left of the time that the whole run may take.
    left: Option<Duration>,
    /// The load's report, for a function that asks for it.
    load: Option<&'a RunReport>,
    /// Where its declaration stands.
    place: String,
    /// Answers over which it is recorded.
    own: &'a dyn Session,
}

impl Engine {
    /// Runs what follows the commit, one after the other; the reports of all, and the first error.
    pub(super) async fn follow(
        &self,
        targets: &Targets,
        load: &RunReport,
        plan: &Plan,
        own: &dyn Session,
        (request, began): (&Request, Instant),
        observer: &dyn Observer,
    ) -> (Vec<TransformReport>, Option<FlowError>) {
        let whole = &targets.whole;
        let limits = &whole.limits;
        let (mut reports, mut failed, mut stopped) = (Vec::new(), None, false);
        let mut index = 0;
        for child in &plan.after {
            let transform = child.step();
            let place = match child {
                Child::Refresh(refresh) => format!("{}.online", Places::path("features", &refresh.view)),
                Child::Transform(_) => {
                    index += 1;
                    let at = Places::path("pipelines", &whole.name);
                    format!("{at}.transforms_post.{}", index - 1)
                }
            };
            if stopped || asked_to_stop(&request.stop).is_some() {
                // A stop that came between two of them ends the run as one in the middle of them does.
                let stop = asked_to_stop(&request.stop).filter(|_| failed.is_none());
                failed = failed.or(stop.map(|stop| after_the_load(cancelled(stop))));
                reports.push(TransformReport::skipped(&transform.name));
                continue;
            }
            let left =
                limits.run_timeout.as_ref().map(|limit| limit.as_std().saturating_sub(began.elapsed()));
            let service = Service {
                pipeline: &whole.name,
                target: &whole.target_key(),
                parent: Some(&targets.run_id),
                slot: None,
                limits,
                left,
                load: Some(load),
                place,
                own,
            };
            observer.transform_started(transform);
            let report = self.transform(transform, &service, request).await;
            observer.transform_finished(&report);
            if let Some(error) = &report.error {
                let out_of_time = left.is_some_and(|left| left.is_zero()) || says_run_timeout(error);
                stopped = transform.on_failure == OnFailure::Stop
                    || out_of_time
                    || Status::of_error(error) == Status::Cancelled;
                failed = failed.or_else(|| Some(error.clone()));
            }
            reports.push(report);
        }
        (reports, failed)
    }

    /// Runs a transform by its name; `slot` is that of its schedule which it serves.
    ///
    /// # Errors
    /// What keeps it from having a run: `unknown_option`, mistakes of its declaration, connections that cannot be told.
    pub async fn run_transform(
        &self,
        name: &str,
        request: &Request,
        observer: &dyn Observer,
    ) -> Result<TransformReport> {
        let named = named_transform(&self.project, name).map_err(|mut errors| errors.remove(0))?;
        let transform = named.transform;
        self.resolve_of_transform(&transform)?;
        let limits = pipeline::Limits::of(PipelineOptions::defaults());
        let started = Timestamp::now();
        let what = format!("history {name}");
        let opening = self.open(&transform.connection, &what);
        let own = match unless_asked(&request.stop, opening).await {
            Ok(own) => own,
            Err(error) => {
                let report = TransformReport::skipped(name);
                let error = Some(error);
                return Ok(TransformReport {
                    status: Status::of_error(error.as_ref().expect("it was just put there")),
                    started_at: Some(format!("{started:.6}")),
                    error,
                    ..report
                });
            }
        };
        let (scheduled, slot) = (schedule_key(name), request.slot.map(|slot| slot.to_string()));
        let service = Service {
            pipeline: name,
            target: name,
            parent: None,
            slot: slot.as_deref().map(|at| Slot { of: &scheduled, at }),
            limits: &limits,
            left: None,
            load: None,
            place: Places::path("transforms", name),
            own: own.as_ref(),
        };
        observer.transform_started(&transform);
        let report = self.transform(&transform, &service, request).await;
        observer.transform_finished(&report);
        own.close().await;
        Ok(report)
    }

    /// That somebody says where a transform's connection leads.
    ///
    /// # Errors
    /// `unknown_connection` and what else connections say, where the transform names it.
    pub(super) fn resolve_of_transform(&self, transform: &Transform) -> Result<()> {
        let place = || self.project.places.find(&self.connection_of_transform(&transform.name)?.1);
        match self.resolve(&transform.connection) {
            Ok(_) => Ok(()),
            Err(error) => Err(match place() {
                Some(place) => error.at(place),
                None => error,
            }),
        }
    }

    /// Runs one transform, with a row of its own in the history.
    async fn transform(
        &self,
        transform: &Transform,
        service: &Service<'_>,
        request: &Request,
    ) -> TransformReport {
        let (run_id, started, began) = (Uuid::now_v7().to_string(), Timestamp::now(), Instant::now());
        let history = HistoryStore::on(service.own);
        let entered = history
            .begin(&RunStart {
                run_id: &run_id,
                pipeline: service.pipeline,
                mode: None,
                target: service.target,
                started_by: &request.started_by,
                slot: service.slot,
                parent: service.parent,
                step_name: Some(&transform.name),
                unless_paused: None,
                lease: &service.limits.lease,
            })
            .await;
        let outcome = match entered {
            // Another process serves the slot.
            Ok(Entry { entered: Entered::No, .. }) => return TransformReport::skipped(&transform.name),
            Ok(Entry { entered: Entered::Yes(claim), .. }) => {
                let done = match self.supervised(transform, (&run_id, claim.as_ref()), service, request).await
                {
                    // SQL in a transaction has fenced its slot inside of it.
                    Ok(metrics) => {
                        let claim = claim.as_ref().filter(|_| !transform.is_fenced());
                        recorded(history, &run_id, claim, metrics).await
                    }
                    failed => failed,
                };
                if let (Err(error), Some(claim)) = (&done, &claim) {
                    let _ = history.end_claim(claim, &claim_end(claim, &Policy::PLAIN, error), error).await;
                }
                done
            }
            Err(error) => Err(error),
        };
        let outcome = outcome.map_err(|error| self.told(error, transform, service));
        if let Err(error) = &outcome {
            let failure = Failure { status: Status::of_error(error), error, path: None, rows_in: 0 };
            // Its error is told in any case.
            let _ = history.fail(&run_id, &failure).await;
        }
        let (metrics, error) = match outcome {
            Ok(metrics) => (metrics, None),
            Err(error) => (Metrics::new(), Some(error)),
        };
        TransformReport {
            run_id: Some(run_id),
            status: error.as_ref().map_or(Status::Success, Status::of_error),
            started_at: Some(format!("{started:.6}")),
            ended_at: Some(format!("{:.6}", Timestamp::now())),
            duration_ms: began.elapsed().as_millis() as u64,
            metrics,
            error,
            ..TransformReport::skipped(&transform.name)
        }
    }

    /// Does its work under its lease, within the time, until it is asked to stop.
    async fn supervised(
        &self,
        transform: &Transform,
        (run_id, claim): (&str, Option<&Claim>),
        service: &Service<'_>,
        request: &Request,
    ) -> Result<Metrics> {
        let (halt, watched) = haltable(request);
        let run_ids = [run_id];
        let watch = Watch {
            request,
            halt: &halt,
            own: Some(service.own),
            run_ids: &run_ids,
            claim,
            lease: &service.limits.lease,
            left: service.left,
        };
        let ended = match &transform.work {
            Work::Sql { statements, transaction } => {
                let name = format!("{} {}", service.pipeline, short_id(run_id));
                let opening = self.open(&transform.connection, &name);
                let session = unless_asked(&request.stop, opening).await?;
                // A name is one transform, whoever runs it; what has none is a step of its pipeline.
                let whose = match self.project.transforms.contains_key(&transform.name) {
                    true => format!("transform:{}", transform.name),
                    false => format!("transform:{}:{}", service.pipeline, transform.name),
                };
                let whose = transaction.then_some(whose);
                let fence =
                    claim.filter(|_| *transaction).map(|claim| HistoryStore::on(service.own).fence(claim));
                let work =
                    run_statements(session.as_ref(), statements, (whose, fence), service.limits, &watched);
                let done = watch.over(work, || session.canceller()).await;
                session.close().await;
                done.map(|()| Metrics::new())
            }
            Work::Function => {
                let interrupt = Arc::new(Interrupt::default());
                let work = self.call(transform, service.load, service.limits, Arc::clone(&interrupt));
                watch.over(work, || Box::new(Arc::clone(&interrupt))).await
            }
        };
        ended.map_err(|Ended { error, cause }| match cause {
            // The wish may have come first to a function in a process of its own.
            None => asked_to_stop(&request.stop).map_or(error, cancelled),
            Some(Cause::Asked(stop)) => cancelled(stop),
            Some(Cause::Cancelled(who)) => cancelled_by(&who),
            Some(Cause::LeaseLost) => lease_lost(),
            Some(Cause::TimeUp) => {
                let limit = service.limits.run_timeout.as_ref().map(ToString::to_string).unwrap_or_default();
                let words = format!("the run took longer than run_timeout = \"{limit}\"");
                FlowError::new(ErrorCode::Timeout, words).context("limit", "run_timeout")
            }
        })
    }

    /// The error as it concerns whoever declared the transform.
    fn told(&self, error: FlowError, transform: &Transform, service: &Service<'_>) -> FlowError {
        let name = &transform.name;
        if error.code == ErrorCode::Cancelled {
            let stopped = error.context.contains_key("signal");
            return match service.parent {
                Some(_) if stopped => after_the_load(error),
                _ => error,
            };
        }
        let after = if service.parent.is_some() { " after the load" } else { "" };
        let mut told = FlowError {
            details: error.details,
            sqlstate: error.sqlstate,
            context: error.context,
            location: error.location,
            ..FlowError::new(ErrorCode::TransformFailed, format!("{name} failed{after}: {}", error.message))
        };
        if let Some(hint) = error.hint {
            told = told.detail(hint);
        }
        if error.code != ErrorCode::TransformFailed {
            told = told.context("cause", error.code.name());
        }
        let spec = self.project.transforms.get(name);
        let named = spec.is_some();
        // Alone it would run elsewhere.
        let alone_elsewhere = spec.is_some_and(|spec| spec.connection.is_none())
            && transform.connection != pipeline::DEFAULT_CONNECTION;
        told = told.context("transform", name.as_str()).hint(match (service.parent.is_some(), named) {
            (true, true) if alone_elsewhere => format!(
                "the load stands; mend the transform, the next run does it again: alone it would run on `{}`, for it names no connection",
                pipeline::DEFAULT_CONNECTION
            ),
            (true, true) => {
                format!("the load stands; mend the transform and run it again: flow transform run {name}")
            }
            (true, false) => "the load stands; mend the statement, the next run does it again".to_owned(),
            (false, _) => format!("mend it and run it again: flow transform run {name}"),
        });
        if told.location.is_some() {
            return told;
        }
        let path = if named { Places::path("transforms", name) } else { service.place.clone() };
        match self.project.places.find(&path) {
            Some(place) => told.at(place),
            None => told,
        }
    }
}

/// Under which name the slots of a transform's schedule are kept: a pipeline may have the same.
pub(super) fn schedule_key(name: &str) -> String {
    format!("transform:{name}")
}

/// A run that was stopped when its load stood already.
fn after_the_load(error: FlowError) -> FlowError {
    error.hint("the load stands; what ran after it was cancelled on the server and rolled back")
}

/// Whether the time of the whole run is over, so that nothing after it can run.
fn says_run_timeout(error: &FlowError) -> bool {
    error.context.get("limit").and_then(Value::as_str) == Some("run_timeout")
}

async fn recorded(
    history: HistoryStore<'_>,
    run_id: &str,
    claim: Option<&Claim>,
    metrics: Metrics,
) -> Result<Metrics> {
    let text = (!metrics.is_empty()).then(|| Value::Object(metrics.clone()).to_string());
    match history.succeed_alone(run_id, claim, text.as_deref()).await? {
        true => Ok(metrics),
        false => Err(lease_lost()),
    }
}

/// Runs statements in one transaction, under a lock of that name and behind the fence of the slot that they serve, or each
/// by itself.
async fn run_statements(
    session: &dyn Session,
    statements: &[String],
    (lock, fence): (Option<String>, Option<String>),
    limits: &pipeline::Limits,
    request: &Request,
) -> Result<()> {
    let transaction = lock.is_some();
    let bounds = Limits {
        lock: limits.lock_timeout.as_std(),
        idle: limits.lease.as_std() * 2,
        statement: limits.statement_timeout.as_ref().map(|limit| limit.as_std()),
    };
    match lock {
        // Two at once would not see what the other writes: a table that is emptied and filled would be filled twice.
        Some(name) => begin_in_turn(session, &[name], &bounds, request).await?,
        None => session.outside(Some(&bounds)).await?,
    }
    let mut done = one_by_one(session, statements, transaction, request).await;
    if let (Ok(()), Some(fence)) = (&done, &fence) {
        let doing = "end the slot of the schedule";
        done = match session.ask(Blame::Target, doing, fence).await {
            Ok(answers) if nth(&answers, 0, doing)?.affected == 1 => Ok(()),
            Ok(_) => Err(lease_lost()),
            Err(error) => Err(error),
        };
    }
    match (&done, transaction) {
        (Ok(()), true) => session.end(Blame::Transform, "commit", End::Commit).await?,
        // A session that broke has rolled back.
        (Err(_), true) => drop(session.end(Blame::Transform, "roll back", End::RollBack).await),
        (_, false) => drop(session.outside(None).await),
    }
    done
}

/// How often a lock that another holds is tried again.
const TRIED_AGAIN: Duration = Duration::from_millis(50);

/// Begins a transaction under a lock, once nobody else holds it.
async fn begin_in_turn(
    session: &dyn Session,
    lock: &[String],
    bounds: &Limits,
    request: &Request,
) -> Result<()> {
    let began = Instant::now();
    while !session.take_locks(lock, bounds).await? {
        if let Some(stop) = asked_to_stop(&request.stop) {
            return Err(cancelled(stop));
        }
        if began.elapsed() >= bounds.lock {
            let words = format!(
                "another run of the transform holds its lock for longer than {} s",
                bounds.lock.as_secs()
            );
            return Err(FlowError::new(ErrorCode::Locked, words)
                .hint("run it again when it is done, or raise lock_timeout"));
        }
        tokio::time::sleep(TRIED_AGAIN).await;
    }
    Ok(())
}

async fn one_by_one(
    session: &dyn Session,
    statements: &[String],
    transaction: bool,
    request: &Request,
) -> Result<()> {
    for (index, statement) in statements.iter().enumerate() {
        if let Some(stop) = asked_to_stop(&request.stop) {
            return Err(cancelled(stop));
        }
        let asked = session.ask(Blame::Transform, "run the transform", statement).await;
        asked.map_err(|error| match (statements.len(), transaction) {
            (1, _) => error,
            (all, true) => {
                error.detail(format!("in statement {} of {all}: {}", index + 1, first_line(statement)))
            }
            (all, false) if index > 0 => error.detail(format!(
                "in statement {} of {all}, those before it stand: {}",
                index + 1,
                first_line(statement)
            )),
            (all, false) => error.detail(format!("in statement 1 of {all}: {}", first_line(statement))),
        })?;
    }
    Ok(())
}

fn first_line(statement: &str) -> &str {
    statement.lines().next().unwrap_or_default().trim_end()
}
