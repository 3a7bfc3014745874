//! The newest event of each entity, for serving. A materialised view is refreshed behind each load; a table is kept by
//! the load itself, which writes the entities that it changed and no other.
//!
//! Neither knows the hour: an event whose time to live has run out since stays until a newer one comes, and readers leave
//! it out by its end.

use super::{Filled, Kept, digest, drop_relation, grant_again, refresh_of, taken};
use crate::check::{Transform, Work};
use crate::declare::OnlineKind;
use crate::declare::transforms::OnFailure;
use crate::dialect::{Dialect, Merged, Upsert};
use crate::engine::Uniqueness;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{LiveRelation, RelationKind};
use crate::pipeline::{Pipeline, Target};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, Child, Refresh, StepKind, Subject};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Sql};

/// The steps.
pub(super) fn steps(filled: &Filled<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let live = filled.found.online.as_ref();
    let ours = filled.registered().is_some_and(|version| version.online_relation);
    let Some(kind) = filled.view.online else {
        if let Some(live) = live.filter(|_| ours) {
            // What is refreshed no longer would serve what was, without a word.
            builder.mark(
                Subject::View,
                format!("{} is dropped: the view is not online any more", filled.online),
            );
            drop_relation(&filled.online, live, "the view is not online any more", builder);
        }
        return Ok(());
    };
    if kind == OnlineKind::View && !filled.load.ends.target.can.materializes {
        let engine = filled.load.ends.target.name;
        let message =
            format!("online = \"view\" of {}: {engine} has no materialised views", filled.view.name);
        return Err(FlowError::new(ErrorCode::UnsupportedByEngine, message)
            .hint("set online = \"table\", which the load itself keeps, or take online out"));
    }
    let Some(live) = live else { return create(filled, kind, None, builder) };
    if !ours {
        return Err(taken(&filled.online, live, "what is served of the features"));
    }
    let known = filled.registered().and_then(|version| version.online_digest.as_deref());
    let dropped = filled.changes_types() && live.kind == RelationKind::MaterializedView;
    let right = live.kind == kind_of(kind) && known == Some(&*digest_of(filled)) && !filled.load.creates;
    match (right && !filled.changes_types(), kind) {
        (true, OnlineKind::View) => Ok(()),
        (true, OnlineKind::Table) => {
            keep(filled, builder);
            Ok(())
        }
        (false, _) => {
            if !dropped {
                drop_relation(&filled.online, live, "it is made anew", builder);
            }
            create(filled, kind, Some(live), builder)
        }
    }
}

const fn kind_of(kind: OnlineKind) -> RelationKind {
    match kind {
        OnlineKind::View => RelationKind::MaterializedView,
        OnlineKind::Table => RelationKind::Table,
    }
}

/// Makes it of the table as it is now, with its key.
fn create(
    filled: &Filled<'_>,
    kind: OnlineKind,
    before: Option<&LiveRelation>,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let (name, dialect) = (&filled.online, filled.load.dialect);
    let (what, purpose) = match kind {
        OnlineKind::View => {
            ("MATERIALIZED VIEW", format!("materialised view {name}   the newest event a key"))
        }
        OnlineKind::Table => ("TABLE", format!("table {name}   the newest event a key, kept by each load")),
    };
    let subject = if before.is_some() { Subject::View } else { Subject::NewTable };
    builder.mark(subject, purpose.clone());
    let rows = query(filled, &Sql::empty());
    let sql = sql!("CREATE {what} {name} AS\n{rows}", what = Sql::text(what), name, rows);
    builder.step(StepKind::Ddl, purpose, sql, Answer::Ignore);
    let keys = &filled.view.keys;
    let key = match kind {
        OnlineKind::View => dialect.unique_index(name, keys, None),
        OnlineKind::Table if filled.load.ends.target.can.unique == Uniqueness::Partial => {
            dialect.add_primary_key(name, keys)
        }
        // The load deletes and inserts: there is nothing that a promise would keep.
        OnlineKind::Table => Sql::empty(),
    };
    builder.step(StepKind::Ddl, "an entity comes once", key, Answer::Ignore);
    builder.step(StepKind::Ddl, "statistics for the planner", dialect.analyze(name, &[]), Answer::Ignore);
    grant_again(before, builder);
    Ok(())
}

/// Writes the entities whose newest event this run has written, and takes out those that it deletes.
fn keep(filled: &Filled<'_>, builder: &mut PlanBuilder<'_>) {
    let (load, name) = (filled.load, &filled.online);
    let Kept { current, deleted, run, .. } = filled.columns();
    let keys = &filled.view.keys;
    let of = |left: &'static str, right: &'static str| {
        let (left, right) = (Sql::text(left), Sql::text(right));
        Sql::join(keys.iter().map(|key| sql!("{left}.{key} = {right}.{key}", left, right, key)), " AND ")
    };
    let listed = |alias: &'static str| {
        let alias = Sql::text(alias);
        Sql::join(keys.iter().map(|key| sql!("{alias}.{key}", alias, key)), ", ")
    };
    let written = vec![RunValue::RowsInserted, RunValue::RowsUpdated];
    let (table, changes) = (&load.table.name, load.changes());
    let upserts = load.ends.target.can.unique == Uniqueness::Partial;
    // Without a key that is enforced, what changes is deleted and inserted.
    let gone = match upserts {
        true => sql!("t.{deleted}", deleted),
        false => sql!("(t.{deleted} OR t.{run} <> o.{run})", deleted, run),
    };
    let delete = sql!(
        "DELETE FROM {name} AS o\n USING {table} AS t\n WHERE {same}\n   AND t.{current}\n   AND {gone}\n   AND ({listed}) IN (SELECT {of_changes} FROM {changes} AS c)",
        name,
        table,
        same = of("t", "o"),
        current,
        gone,
        listed = listed("t"),
        of_changes = listed("c"),
        changes
    );
    let purpose = format!("take entities out of {name}   those that are deleted");
    builder.step_if_any(written.clone(), StepKind::Delete, purpose, delete, Answer::Ignore);
    let is_new = sql!(
        "\n   AND ({listed}) IN (SELECT {of_changes} FROM {changes} AS c)\n   AND NOT EXISTS (SELECT 1 FROM {name} AS o WHERE {same} AND o.{run} = t.{run})",
        listed = listed("t"),
        of_changes = listed("c"),
        changes,
        name,
        same = of("o", "t"),
        run
    );
    let (columns, rows) = (columns(filled), query(filled, &is_new));
    let write = match upserts {
        true => {
            // The keys too: what is equal may be written otherwise.
            let updates: Vec<(Ident, Merged)> =
                columns.iter().map(|column| (column.clone(), Merged::Replaced)).collect();
            let upsert = Upsert { table: name, columns: &columns, rows, keys, updates: &updates };
            load.dialect.upsert(upsert)
        }
        false => sql!("INSERT INTO {name} ({columns})\n{rows}", name, columns = &columns[..], rows),
    };
    let purpose = format!("keep {name}   the entities whose newest event is another");
    builder.step_if_any(written, StepKind::Update, purpose, write, Answer::Ignore);
}

/// The columns: the entity, its features, from when on they hold, until when, and the run that wrote them.
fn columns(filled: &Filled<'_>) -> Vec<Ident> {
    let Kept { begin, end, run, .. } = filled.columns();
    let keys = &filled.view.keys;
    let features = filled.load.table.columns.iter().map(|column| &column.name);
    let others = features.filter(|name| !keys.contains(name));
    keys.iter().chain(others).chain([begin, end, run]).cloned().collect()
}

/// The newest event of each entity that is not deleted.
fn query(filled: &Filled<'_>, and: &Sql) -> Sql {
    let Kept { current, deleted, .. } = filled.columns();
    let names = columns(filled).into_iter().map(|name| sql!("t.{name}", name));
    sql!(
        "SELECT {names}\n  FROM {table} AS t\n WHERE t.{current}\n   AND NOT t.{deleted}{and}",
        names = Sql::join(names, ", "),
        table = filled.load.table.name,
        current,
        deleted,
        and
    )
}

/// The text by which one that is right is known. A table has the ends of events, which another ttl changes.
pub(super) fn digest_of(filled: &Filled<'_>) -> String {
    let load = filled.load;
    let kind = filled.view.online.map_or("", OnlineKind::name);
    let types: Vec<&str> = columns(filled).iter().map(|name| load.type_of(name).name.as_str()).collect();
    let ttl = match (filled.view.online, &filled.view.ttl) {
        (Some(OnlineKind::Table), Some(ttl)) => ttl.milliseconds().to_string(),
        _ => String::new(),
    };
    let query = query(filled, &Sql::empty()).to_text(load.dialect);
    let keys: Vec<&str> = filled.view.keys.iter().map(Ident::as_str).collect();
    digest(&[kind, &query, &types.join(","), &keys.join(","), &ttl])
}

/// What is served is put back with its history: a table by the same transaction, a materialised view behind it.
pub fn rewound(pipeline: &Pipeline, dialect: &dyn Dialect, builder: &mut PlanBuilder<'_>) -> Option<Child> {
    let (view, history) = (pipeline.feature.as_ref()?, pipeline.strategy.history()?);
    let (Target::Declared(table), Some(event)) = (&pipeline.target, history.event) else { return None };
    let name = view.online_relation(&table.name);
    if view.online? == OnlineKind::View {
        return Some(refresh_of_view(&name, &pipeline.target_connection, &view.key, dialect));
    }
    let others = table.columns.iter().map(|column| &column.name).filter(|name| !view.keys.contains(name));
    let kept = [history.begin, history.end].into_iter().chain(event.run);
    let columns: Vec<Ident> = view.keys.iter().chain(others).chain(kept).cloned().collect();
    let sql = sql!(
        "DELETE FROM {name};\nINSERT INTO {name} ({columns})\nSELECT {columns}\n  FROM {table} AS t\n WHERE t.{current}\n   AND NOT t.{deleted}",
        name,
        columns,
        table = table.name,
        current = history.current,
        deleted = event.deleted
    );
    builder.step(StepKind::Update, format!("make {name} anew   the newest event a key"), sql, Answer::Ignore);
    None
}

/// The refresh that follows the commit. Readers see the old rows until it is done.
pub(super) fn refresh(filled: &Filled<'_>) -> Child {
    let connection = &filled.load.pipeline.target_connection;
    refresh_of_view(&filled.online, connection, &filled.view.key, filled.load.dialect)
}

fn refresh_of_view(name: &QualifiedName, connection: &str, key: &str, dialect: &dyn Dialect) -> Child {
    let sql = sql!("REFRESH MATERIALIZED VIEW CONCURRENTLY {name}", name).to_text(dialect);
    let step = Transform {
        name: refresh_of(name),
        connection: connection.to_owned(),
        work: Work::Sql { statements: vec![sql], transaction: true },
        on_failure: OnFailure::Stop,
    };
    Child::Refresh(Refresh { step, view: key.to_owned() })
}
