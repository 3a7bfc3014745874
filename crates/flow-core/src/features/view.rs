//! The view that shows the version declared last.

use super::{Filled, digest, drop_relation, grant_again, taken};
use crate::error::Result;
use crate::facts::RelationKind;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Subject};
use crate::sql;
use crate::sql::Sql;

/// What this run makes of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: it is right, or another version's.
    None,
    /// There is none.
    Create,
    /// It shows another version, or other columns.
    Replace,
}

/// What becomes of the view.
pub(super) fn change(filled: &Filled<'_>) -> Change {
    let registered = filled.registered();
    match &filled.found.view {
        // Until the version that is declared last has its table, the one that has is shown.
        None => Change::Create,
        Some(_) if !filled.view.is_last => match registered.is_some_and(|version| version.is_shown) {
            true if filled.changes_types() => Change::Replace,
            _ => Change::None,
        },
        Some(_) => {
            let same = digest_of(filled);
            let right = registered
                .is_some_and(|version| version.is_shown && version.view_digest.as_deref() == Some(&same));
            if right && !filled.changes_types() { Change::None } else { Change::Replace }
        }
    }
}

/// The steps.
pub(super) fn steps(filled: &Filled<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let (name, live) = (&filled.view.name, filled.found.view.as_ref());
    let change = change(filled);
    if change == Change::None {
        return Ok(());
    }
    if let Some(live) = live {
        let ours = filled.found.versions.iter().any(|version| version.is_shown);
        if live.kind != RelationKind::View || !ours {
            return Err(taken(name, live, "the view of the features"));
        }
        let dropped = filled.changes_types() && filled.registered().is_some_and(|version| version.is_shown);
        if !dropped {
            drop_relation(name, live, "it is made anew", builder);
        }
    }
    let what = format!("view {name}   shows {}", filled.load.table.name);
    match change {
        Change::Create => builder.mark(Subject::NewTable, what.clone()),
        _ => builder.mark(Subject::View, what.clone()),
    }
    let sql = sql!("CREATE VIEW {name} AS\n{query}", name, query = query(filled));
    builder.step(StepKind::Ddl, what, sql, Answer::Ignore);
    grant_again(live, builder);
    Ok(())
}

/// The text by which a view that is right is known.
pub(super) fn digest_of(filled: &Filled<'_>) -> String {
    digest(&[&query(filled).to_text(filled.load.dialect)])
}

fn query(filled: &Filled<'_>) -> Sql {
    let load = filled.load;
    let names =
        load.table.columns.iter().chain(&load.managed).map(|column| sql!("t.{name}", name = column.name));
    sql!("SELECT {names}\n  FROM {table} AS t", names = Sql::join(names, ", "), table = load.table.name)
}
