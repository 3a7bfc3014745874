//! `flow list`: the pipelines with their schedules, from the files alone.

use super::{DONE, print_items};
use crate::args::SelectionArgs;
use crate::project::{self, Outcome, Session};
use crate::render::lists::{self, Listed};
use crate::selection;
use ematix_flow_core::declare::fingerprint::fingerprint;
use ematix_flow_core::declare::{PipelineSpec, ProjectSpec};
use ematix_flow_core::schedule::Schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Lists the pipelines that were asked for.
pub fn list(session: &Session, args: &SelectionArgs) -> Outcome {
    let project = session.project()?;
    let selection = selection::choose(&project, args)?;
    let listed: Vec<Listed> =
        selection.names.iter().map(|name| listed(&project, name, &project.pipelines[name])).collect();
    let console = &session.console;
    if listed.is_empty() && !project.pipelines.is_empty() && console.is_human() {
        console.tell("no pipeline is selected\n");
    } else if console.is_human() {
        console.out(&lists::pipelines(&listed, &TimeZone::system()));
    } else {
        print_items(console, "ematix.list.v1", "pipelines", &listed);
    }
    DONE
}

fn listed(project: &ProjectSpec, name: &str, spec: &PipelineSpec) -> Listed {
    let options = &spec.options;
    let every = options.every.as_ref().map(|every| format!("every {every}"));
    Listed {
        name: name.to_owned(),
        mode: options.mode.map(|mode| mode.name().to_owned()),
        schedule: options.schedule.clone().or(every),
        timezone: options.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
        next: next_slot(spec),
        source_connection: project::source_connection(spec).to_owned(),
        target_connection: project::target_connection(spec).to_owned(),
        target: project::target_names(project, name, spec).join(", "),
        tags: options.tags.clone().unwrap_or_default(),
        enabled: options.enabled.unwrap_or(true),
        declaration: fingerprint(project, name),
    }
}

/// The next slot of a schedule that can be read; a mistake in it is `validate`'s to report.
fn next_slot(spec: &PipelineSpec) -> Option<String> {
    let options = &spec.options;
    if options.enabled == Some(false) {
        return None;
    }
    let timezone = options.timezone.as_deref().unwrap_or("UTC");
    let first_run = options.first_run.unwrap_or_default();
    let schedule = match (&options.schedule, &options.every) {
        (Some(line), _) => Schedule::cron(line, timezone, first_run),
        (None, Some(every)) => Schedule::every(every, timezone, first_run),
        (None, None) => return None,
    };
    schedule.ok()?.next_after(Timestamp::now()).map(|slot| slot.to_string())
}
