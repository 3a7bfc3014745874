//! The entry of a version in the metadata: by it readers find the table, what is served, and how it is declared.

use super::view::{self, Change};
use super::{Filled, Kept, digest, online};
use crate::declare::OnlineKind;
use crate::history::{self, ViewMemory};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind};
use crate::sql::Ident;

/// The steps.
pub(super) fn steps(filled: &Filled<'_>, builder: &mut PlanBuilder<'_>) {
    let (load, view) = (filled.load, filled.view);
    let before = filled.registered();
    let shows = view::change(filled) != Change::None;
    let Kept { begin, end, current, deleted, .. } = filled.columns();
    let texts = |names: &[Ident]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
    let is_shown = shows || before.is_some_and(|version| version.is_shown);
    let mut memory = ViewMemory {
        name: view.name.to_string(),
        version: view.version.clone(),
        target: load.pipeline.target_key(),
        entity_keys: texts(&view.keys),
        event_column: view.event_column.to_string(),
        begin_column: begin.to_string(),
        end_column: end.to_string(),
        current_column: current.to_string(),
        deleted_column: deleted.to_string(),
        ttl_ms: view.ttl.as_ref().map(|ttl| ttl.milliseconds()),
        online: view.online.map(OnlineKind::name),
        online_relation: view.online.map(|_| filled.online.to_string()),
        freshness_ms: view.freshness.as_ref().map(|length| length.milliseconds()),
        description: view.description.clone(),
        owner: view.owner.clone(),
        tags: view.tags.clone(),
        pipeline: load.pipeline.name.clone(),
        is_shown,
        view_digest: is_shown.then(|| match shows {
            true => view::digest_of(filled),
            false => before.and_then(|version| version.view_digest.clone()).unwrap_or_default(),
        }),
        online_digest: view.online.map(|_| online::digest_of(filled)),
        digest: String::new(),
        run_id: load.facts.run.id.clone(),
    };
    memory.digest = digest(&[&memory.described()]);
    if before.is_some_and(|version| version.digest == memory.digest) {
        return;
    }
    if shows
        && filled.found.versions.iter().any(|version| version.is_shown && version.version != view.version)
    {
        let sql = history::hide_other_versions(&memory.name, &memory.version);
        builder.step(StepKind::Finish, "the view shows no other version", sql, Answer::Ignore);
    }
    let purpose = format!("register the feature view {} {}", memory.name, memory.version);
    let sql = history::register_feature_view(load.dialect, &memory);
    builder.step(StepKind::Finish, purpose, sql, Answer::Ignore);
}
