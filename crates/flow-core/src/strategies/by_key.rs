//! What strategies share that keep one row a key: the first load, the index, what is compared, the rows that are new.

use crate::pipeline::strategy::Unique;
use crate::pipeline::{Resolved, Rows};
use crate::plan::StepKind;
use crate::plan::builder::PlanBuilder;
use crate::reading::{changes, diff, guards};
use crate::schema::Table;
use crate::sql;
use crate::sql::{Ident, Sql};

/// The keys are unique, and the primary key of a table that has no other.
pub fn unique(table: &Table, keys: &[Ident]) -> Vec<Unique> {
    let declared = &table.primary_key;
    let same = declared.len() == keys.len() && declared.iter().all(|name| keys.contains(name));
    let primary_key = declared.is_empty() || same;
    vec![Unique { columns: keys.to_vec(), among: None, primary_key }]
}

/// Every column that the source fills but the keys.
pub fn all_but_keys(load: &Resolved<'_>) -> Vec<Ident> {
    let all = load.columns.iter().map(|column| &column.name);
    all.filter(|name| !load.keys.contains(name)).cloned().collect()
}

/// Inserts every row into a table that was just made.
pub fn first_load(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let names = load.column_names();
    let sql = sql!(
        "INSERT INTO {target} ({names})\nSELECT {values}\n  FROM {source} AS s",
        target = load.table.name,
        names,
        values = load.values(),
        source = load.source()
    );
    let (counts, blame) = (super::of_every_row(load), load.blame_of_reading());
    builder.reading_step(StepKind::Insert, "insert every row", sql, counts, blame);
    if matches!(load.rows, Rows::Direct(_)) {
        guards::empty_source(load, builder);
    }
}

/// Whether a source row `s` differs from its live row `t` in what is compared.
pub fn differs(load: &Resolved<'_>) -> Sql {
    let value = |name: &Ident| load.value(load.filled(name).expect("compared columns are filled"));
    load.differ(&load.compared, value, |name| sql!("t.{name}", name))
}

/// What the comparison is for, as printed.
pub fn purpose(load: &Resolved<'_>) -> String {
    let names: Vec<&str> = load.compared.iter().map(|name| name.as_str()).collect();
    match names.is_empty() {
        true => "rows that are new".to_owned(),
        false => format!("rows that are new or differ in {}", names.join(", ")),
    }
}

/// `column = c.column` of what is compared.
pub fn assignments(load: &Resolved<'_>) -> Vec<Sql> {
    load.compared.iter().map(|name| sql!("{name} = c.{name}", name)).collect()
}

/// Updates rows that differ; nothing where nothing is compared.
pub fn update_changed(load: &Resolved<'_>, assignments: Vec<Sql>) -> Option<Sql> {
    (!assignments.is_empty()).then(|| diff::update_by_address(load, assignments, &["changed"]))
}

/// Inserts the rows that are new.
pub fn insert_new(load: &Resolved<'_>) -> Sql {
    sql!(
        "INSERT INTO {target} ({columns})\nSELECT {values}\n  FROM {changes} AS c\n WHERE {new}",
        target = load.table.name,
        columns = load.column_names(),
        values = load.columns_of("c"),
        changes = load.changes(),
        new = changes::of_kind(&["new"])
    )
}
