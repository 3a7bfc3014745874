//! `flow list`: the pipelines with their schedules, from the files alone.

use super::{DONE, print_items};
use crate::args::ListArgs;
use crate::project::{self, Outcome, Session};
use crate::render::lists::{self, Listed};
use crate::selection;
use ematix_flow_core::declare::fingerprint::fingerprint;
use ematix_flow_core::declare::{PipelineSpec, ProjectSpec};
use ematix_flow_core::schedule::{self, Schedule};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::num::NonZeroUsize;

/// Lists the pipelines that were asked for.
pub fn list(session: &Session, args: &ListArgs) -> Outcome {
    let project = session.project()?;
    let selection = selection::choose(&project, &args.selection)?;
    let listed: Vec<Listed> = selection
        .names
        .iter()
        .map(|name| listed(&project, name, &project.pipelines[name], args.next))
        .collect();
    let console = &session.console;
    if listed.is_empty() && !project.pipelines.is_empty() && console.is_human() {
        console.tell("no pipeline is selected\n");
    } else if console.is_human() && args.next.is_some() {
        console.out(&lists::slots(&listed));
    } else if console.is_human() {
        console.out(&lists::pipelines(&listed, &TimeZone::system()));
    } else {
        print_items(console, "ematix.list.v1", "pipelines", &listed);
    }
    DONE
}

fn listed(project: &ProjectSpec, name: &str, spec: &PipelineSpec, next: Option<NonZeroUsize>) -> Listed {
    let options = &spec.options;
    let slots = next_slots(spec, next.map_or(1, NonZeroUsize::get));
    let every = options.every.as_ref().map(|every| format!("every {every}"));
    Listed {
        name: name.to_owned(),
        mode: options.mode.map(|mode| mode.name().to_owned()),
        schedule: options.schedule.clone().or(every),
        timezone: options.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
        next: slots.first().map(|slot| slot.timestamp().to_string()),
        next_slots: next.map(|_| slots.iter().map(in_its_zone).collect()),
        source_connection: project::source_connection(spec).to_owned(),
        target_connection: project::target_connection(spec).to_owned(),
        target: project.target_names(name, spec).join(", "),
        tags: options.tags.clone().unwrap_or_default(),
        enabled: options.enabled.unwrap_or(true),
        declaration: fingerprint(project, name),
    }
}

/// The next slots of a schedule that can be read; a mistake in it is `validate`'s to report.
fn next_slots(spec: &PipelineSpec, most: usize) -> Vec<Zoned> {
    let options = &spec.options;
    if options.enabled == Some(false) {
        return Vec::new();
    }
    let timezone = options.timezone.as_deref().unwrap_or("UTC");
    let first_run = options.first_run.unwrap_or_default();
    let schedule = match (&options.schedule, &options.every) {
        (Some(line), _) => Schedule::cron(line, timezone, first_run),
        (None, Some(every)) => Schedule::every(every, timezone, first_run),
        (None, None) => return Vec::new(),
    };
    let (Ok(schedule), Ok(zone)) = (schedule, schedule::zone(timezone)) else { return Vec::new() };
    let first = schedule.next_after(Timestamp::now());
    let slots = std::iter::successors(first, |slot| schedule.next_after(*slot));
    slots.take(most).map(|slot| slot.to_zoned(zone.clone())).collect()
}

/// RFC 3339, with the offset of its zone.
fn in_its_zone(slot: &Zoned) -> String {
    slot.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
