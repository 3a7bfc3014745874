//! What is made of a feature view beside its table: the view that shows the version declared last, the newest event of
//! each entity for serving, and the entry by which readers find both. Steps of the load's own transaction, but for the
//! refresh of a materialised view, which follows the commit. And how it is read as of an instant.

pub mod asof;
pub mod lookup;
mod online;
mod registered;
pub mod training;
mod view;

pub use online::rewound;

use crate::check::FeatureView;
use crate::declare::OnlineKind;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{FeatureFacts, LiveRelation, RegisteredView, RelationKind};
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, Child, StepKind};
use crate::schema::drift::{DifferenceKind, differences};
use crate::sql::{Ident, QualifiedName, Sql};
use sha2::{Digest, Sha256};

/// A feature view and what a load finds of it.
struct Filled<'a> {
    load: &'a Resolved<'a>,
    view: &'a FeatureView,
    /// The relation with the newest event of each entity, whether or not there is to be one.
    online: QualifiedName,
    found: FeatureFacts,
}

/// The columns of an event that its strategy keeps.
struct Kept<'a> {
    begin: &'a Ident,
    end: &'a Ident,
    current: &'a Ident,
    deleted: &'a Ident,
    run: &'a Ident,
}

impl<'a> Filled<'a> {
    /// What a load fills, where that is a feature view.
    fn by(load: &'a Resolved<'a>) -> Option<Filled<'a>> {
        let view = load.pipeline.feature.as_ref()?;
        let found = load.facts.target.feature.as_deref().cloned().unwrap_or_default();
        Some(Filled { load, view, online: view.online_relation(&load.table.name), found })
    }

    fn columns(&self) -> Kept<'a> {
        let history = self.load.pipeline.strategy.history().expect("a feature view has a history");
        let event = history.event.expect("and it is by event time");
        Kept {
            begin: history.begin,
            end: history.end,
            current: history.current,
            deleted: event.deleted,
            run: event.run.expect("a feature view keeps every event"),
        }
    }

    /// The entry of this version, as the last run left it.
    fn registered(&self) -> Option<&RegisteredView> {
        self.found.versions.iter().find(|version| version.version == self.view.version)
    }

    /// Whether this run changes the type of a column that is read by what stands on the table.
    fn changes_types(&self) -> bool {
        let load = self.load;
        let Some(live) = load.facts.target.live.as_ref().filter(|_| load.pipeline.migrate) else {
            return false;
        };
        let types = |column: &crate::schema::Column| load.type_of(&column.name).clone();
        differences(&load.table, &load.managed, live, &types, load.dialect)
            .iter()
            .any(|difference| matches!(difference.kind, DifferenceKind::Type { .. }))
    }
}

/// Takes away what stands on the table, where a column below it gets another type; the load makes it anew.
pub fn before_load(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let Some(filled) = Filled::by(load).filter(Filled::changes_types) else { return };
    let shows = filled.registered().is_some_and(|version| version.is_shown);
    let on_top = [
        (&filled.view.name, filled.found.view.as_ref().filter(|_| shows)),
        (
            &filled.online,
            filled.found.online.as_ref().filter(|live| live.kind == RelationKind::MaterializedView),
        ),
    ];
    for (name, live) in on_top {
        if let Some(live) = live {
            drop_relation(name, live, "for the time that columns change below it", builder);
        }
    }
}

/// Makes what stands beside the table, or keeps it up to what the load has written.
///
/// # Errors
/// `drift` where another relation has the name; `unsupported_by_engine`.
pub fn after_load(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let Some(filled) = Filled::by(load) else { return Ok(()) };
    online::steps(&filled, builder)?;
    view::steps(&filled, builder)
}

/// Enters the version, where it is another than the one that is entered.
pub fn remember(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if let Some(filled) = Filled::by(load).filter(|_| !load.facts.run.dry_run) {
        registered::steps(&filled, builder);
    }
}

/// The name of the step that refreshes a relation, in the history of runs.
pub fn refresh_of(relation: &QualifiedName) -> String {
    format!("refresh {relation}")
}

/// What follows the commit.
pub fn children(load: &Resolved<'_>) -> Option<Child> {
    let filled = Filled::by(load)?;
    (filled.view.online == Some(OnlineKind::View)).then(|| online::refresh(&filled))
}

/// A short text that is another wherever one of these is.
fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn drop_relation(name: &QualifiedName, live: &LiveRelation, why: &str, builder: &mut PlanBuilder<'_>) {
    let sql = match live.kind {
        RelationKind::View => crate::sql!("DROP VIEW {name}", name),
        RelationKind::MaterializedView => crate::sql!("DROP MATERIALIZED VIEW {name}", name),
        RelationKind::Table => crate::sql!("DROP TABLE {name}", name),
    };
    builder.step(StepKind::Ddl, format!("drop {name}   {why}"), sql, Answer::Ignore);
}

/// Gives a relation that is made anew to whom the one before it was given.
fn grant_again(live: Option<&LiveRelation>, builder: &mut PlanBuilder<'_>) {
    let Some(live) = live.filter(|live| !live.grants.is_empty()) else { return };
    let statements = live.grants.iter().map(|grant| Sql::from_dialect(grant.clone()));
    let sql = Sql::join(statements, ";\n");
    builder.step(StepKind::Ddl, "the same grants as before", sql, Answer::Ignore);
}

/// The error for a name that somebody else's relation has.
fn taken(name: &QualifiedName, live: &LiveRelation, wanted: &str) -> FlowError {
    let message =
        format!("{name} is {}, which flow did not make, and {wanted} is to have its name", live.kind);
    FlowError::new(ErrorCode::Drift, message)
        .hint(format!("rename or drop it, or give the feature view another name: name = \"…\" for {name}"))
}
