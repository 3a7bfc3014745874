//! `flow pause`, `resume`, `retry`, `cancel` and `unlock`: what operators wish of pipelines.

use super::run_due::Serving;
use super::{DONE, print_items, run_due};
use crate::args::{PauseArgs, RetryArgs, SelectionArgs};
use crate::project::{Outcome, Session};
use crate::render::style::{STRONG, paint};
use crate::selection;
use crate::signals;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_core::history::short_id;
use ematix_flow_core::report::RunRow;
use ematix_flow_core::schedule::slots::second;
use ematix_flow_run::execute::Engine;
use ematix_flow_run::execute::due::Look;
use ematix_flow_run::history::host;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Who starts what is retried, in the history.
const RETRIED_BY: &str = "retry";

/// How long `cancel` waits for runs to end, and how often it looks.
const CANCEL_LIMIT: Duration = Duration::from_secs(60);
const LOOKED_AGAIN: Duration = Duration::from_millis(100);

/// Keeps pipelines from running.
pub fn pause(session: &Session, args: &PauseArgs) -> Outcome {
    let (engine, names) = chosen(session, &args.selection, "pause")?;
    let reason = args.reason.as_deref();
    let before = signals::block_on(async |_| engine.pause(&names, &person(), reason).await)??;
    let earlier = |name: &String| before.iter().find(|(paused, _)| paused == name).map(|(_, pause)| pause);
    answer(session, "pause", &names, |name| match earlier(name) {
        Some(pause) => (false, format!("was paused already, since {} by {}", second(pause.since), pause.by)),
        None => (true, format!("does not run until `flow resume {name}`")),
    })
}

/// Lets pipelines run again.
pub fn resume(session: &Session, args: &SelectionArgs) -> Outcome {
    let (engine, names) = chosen(session, args, "resume")?;
    let resumed = signals::block_on(async |_| engine.resume(&names).await)??;
    answer(session, "resume", &names, |name| match resumed.contains(name) {
        true => (true, "runs again".to_owned()),
        false => (false, "was not paused".to_owned()),
    })
}

/// Serves the last slots of pipelines once more, where they did not succeed.
pub fn retry(session: &Session, args: &RetryArgs) -> Outcome {
    let (engine, names) = chosen(session, &args.selection, "retry")?;
    let due = signals::block_on(async |_| engine.retry(&names).await)??;
    let is_due = |name: &&String| due.iter().any(|(retried, _)| retried == *name);
    for name in names.iter().filter(|name| !is_due(name)) {
        session
            .console
            .tell(&format!("{}  has no slot to retry; `flow run {name}` loads now\n", paint(STRONG, name)));
    }
    let retried: Vec<String> = names.iter().filter(is_due).cloned().collect();
    let table = engine.timetable(&retried, false);
    let look = signals::block_on(async |_| engine.look(&table, RETRIED_BY).await)?;
    // What comes next is not asked for.
    let look = Look { next: None, ..look };
    let serving = Serving { started_by: RETRIED_BY, jobs: args.jobs, metrics_file: None };
    run_due::tell_and_serve(session, &engine, look, table.errors().to_vec(), &serving)
}

/// Ends runs that are under way.
pub fn cancel(session: &Session, args: &SelectionArgs) -> Outcome {
    let engine = session.connected_engine(&selection::said(args))?;
    let project = engine.project();
    let by_id = match args.names.as_slice() {
        [word] => !project.pipelines.contains_key(word.as_str()) && is_run_id(word),
        _ => false,
    };
    let runs = if by_id {
        let log = signals::block_on(async |_| engine.run_log(&args.names[0]).await)??;
        if log.run.status != "running" {
            let words = format!("run {} is not under way: it ended as {}", args.names[0], log.run.status);
            return Err(FlowError::new(ErrorCode::InvalidValue, words).into());
        }
        vec![log.run]
    } else {
        let names = selection::choose_some(project, args, "cancel")?.names;
        signals::block_on(async |_| engine.running(&names).await)??
    };
    let ended = signals::block_on(async |_| end_all(&engine, &runs).await)??;
    let console = &session.console;
    if console.is_human() {
        if runs.is_empty() {
            console.tell("no run is under way\n");
        }
        for (run, status) in runs.iter().zip(&ended) {
            let words = match status.as_deref() {
                Some("running") | None => "was asked to end, and has not yet: `flow logs` shows how it ends",
                Some("cancelled") => "was cancelled, and rolled back",
                Some("success") => "had ended well before it could be cancelled",
                Some(_) => "has ended; `flow logs` shows how",
            };
            console.tell(&format!(
                "{}  run {} {words}\n",
                paint(STRONG, &run.pipeline),
                short_id(&run.run_id)
            ));
        }
    } else {
        let items: Vec<Value> = runs
            .iter()
            .zip(&ended)
            .map(|(run, status)| json!({ "pipeline": run.pipeline, "run_id": run.run_id, "status": status }))
            .collect();
        print_items(console, "ematix.cancel.v1", "runs", &items);
    }
    let undone = ended.iter().any(|status| status.as_deref() == Some("running"));
    Ok(if undone { ExitCode::Failed } else { ExitCode::Success })
}

/// Asks runs to end, and waits until they have.
async fn end_all(engine: &Engine, runs: &[RunRow]) -> Result<Vec<Option<String>>, FlowError> {
    let by = person();
    for run in runs {
        engine.cancel(run, &by).await?;
    }
    let began = Instant::now();
    let mut ended = vec![None; runs.len()];
    loop {
        for (status, run) in ended.iter_mut().zip(runs) {
            if status.as_deref().is_none_or(|status| status == "running") {
                *status = engine.status_of(run).await?;
            }
        }
        let open = ended.iter().any(|status| status.as_deref() == Some("running"));
        if !open || began.elapsed() >= CANCEL_LIMIT {
            return Ok(ended);
        }
        tokio::time::sleep(LOOKED_AGAIN).await;
    }
}

/// Takes runs for dead.
pub fn unlock(session: &Session, args: &SelectionArgs) -> Outcome {
    let (engine, names) = chosen(session, args, "unlock")?;
    let run_ids = signals::block_on(async |_| engine.unlock(&names, &person()).await)??;
    let console = &session.console;
    if !console.is_human() {
        print_items(console, "ematix.unlock.v1", "runs", &run_ids);
        return DONE;
    }
    match run_ids.as_slice() {
        [] => console.tell("no run is under way\n"),
        run_ids => {
            for run_id in run_ids {
                console.tell(&format!("run {} is taken for lost; what it held is free\n", short_id(run_id)));
            }
        }
    }
    DONE
}

fn chosen(
    session: &Session,
    args: &SelectionArgs,
    command: &str,
) -> Result<(Engine, Vec<String>), crate::project::Failure> {
    let engine = match selection::is_nothing(args) {
        true => session.engine()?,
        false => session.connected_engine(&selection::said(args))?,
    };
    let names = selection::choose_some(engine.project(), args, command)?.names;
    Ok((engine, names))
}

fn answer(
    session: &Session,
    command: &str,
    names: &[String],
    words: impl Fn(&String) -> (bool, String),
) -> Outcome {
    let console = &session.console;
    if console.is_human() {
        for name in names {
            console.tell(&format!("{}  {}\n", paint(STRONG, name), words(name).1));
        }
    } else {
        let items: Vec<Value> =
            names.iter().map(|name| json!({ "pipeline": name, "changed": words(name).0 })).collect();
        print_items(console, &format!("ematix.{command}.v1"), "pipelines", &items);
    }
    DONE
}

fn is_run_id(word: &str) -> bool {
    word.len() >= 4 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Who wishes it, for whoever asks later.
fn person() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    match (user.filter(|user| !user.is_empty()), host()) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(user), None) => user,
        (None, Some(host)) => format!("somebody on {host}"),
        (None, None) => "somebody".to_owned(),
    }
}
