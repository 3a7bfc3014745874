//! What stands beside the table: the values that were corrected, and a view without repetitions.

use super::Events;
use crate::error::ErrorCode;
use crate::pipeline::Resolved;
pub use crate::pipeline::strategy::SUPERSEDED_BY;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::schema::{Column, Table, ddl};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use crate::types::DataType;

/// The table of the values that were corrected.
pub fn superseded(table: &QualifiedName) -> QualifiedName {
    beside(table, "superseded")
}

/// The view of the values that differ from the one before.
fn changes(table: &QualifiedName) -> QualifiedName {
    beside(table, "changes")
}

fn beside(table: &QualifiedName, suffix: &str) -> QualifiedName {
    QualifiedName { schema: table.schema.clone(), name: ddl::object_name(&table.name, suffix) }
}

/// The columns that are kept of a value that is corrected.
pub fn columns(events: &Events, load: &Resolved<'_>) -> Vec<Ident> {
    load.table.columns.iter().map(|column| column.name.clone()).chain(events.managed_names()).collect()
}

/// Makes the table of the values that were corrected.
pub fn create(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let table = Table {
        name: superseded(&load.table.name),
        description: None,
        options: Vec::default(),
        ..load.table.clone()
    };
    let bare = |column: &Column| Column { nullable: true, default: None, ..column.clone() };
    let mut columns: Vec<Column> = load.table.columns.iter().chain(&load.managed).map(bare).collect();
    columns.push(Column::of(&Ident::fixed(SUPERSEDED_BY), DataType::BigInt, false));
    builder.step(
        StepKind::Ddl,
        format!("create {} for what is corrected", table.name),
        ddl::create_table(&table, &columns, load.dialect),
        Answer::Ignore,
    );
    let mut keys = load.keys.clone();
    keys.push(events.begin.clone());
    let index =
        crate::schema::Index { name: None, columns: keys, unique: false, method: None, condition: None };
    let sql = ddl::create_index(&table.name, &index, load.dialect);
    builder.step(StepKind::Ddl, "an index for what was known earlier", sql, Answer::Ignore);
}

/// Whether this is the first load of ours into a table of others.
pub fn is_taken_over(load: &Resolved<'_>) -> bool {
    let record = load.facts.target.record.as_ref();
    !load.creates && record.is_none_or(|record| record.fingerprint.is_none())
}

/// Ends the run where something else has the name of what will stand beside the table: it may hold what was corrected in
/// another.
pub fn refuse_others(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let names = match load.creates {
        true => vec![superseded(&load.table.name), changes(&load.table.name)],
        false => vec![superseded(&load.table.name)],
    };
    let literal = |name: &Ident| sql!("{name}", name = Literal::Text(name.to_string()));
    let said: Vec<String> = names.iter().map(ToString::to_string).collect();
    let said = said.join(" or ");
    builder.step(
        StepKind::Guard,
        format!("nothing is called {said}   expects no rows"),
        sql!(
            "SELECT {count}(*) AS count\n  FROM information_schema.tables AS i\n WHERE i.table_schema = {schema}\n   AND i.table_name IN ({names})\nHAVING {count}(*) > 0",
            count = load.dialect.function("count"),
            schema = literal(&load.table.name.schema),
            names = Sql::join(names.iter().map(|name| literal(&name.name)), ", ")
        ),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::Drift,
            message: format!("{{count}} relations are called {said}, which {} will make", load.pipeline.name),
            one: format!("{{count}} relation is called {said}, which {} will make", load.pipeline.name),
            sample: Vec::new(),
            hint: "if it was left of an earlier table, drop it; else rename it, or the target".to_owned(),
        }),
    );
}

/// Whether the view shows other columns than before, or finds neighbours equal by others.
fn is_shown_anew(load: &Resolved<'_>) -> bool {
    // What stands under its name beside a table of others is theirs.
    let Some(live) = load.facts.target.live.as_ref().filter(|live| live.ours) else { return false };
    let is_other = |column: &Column| match live.column(column.name.as_str()) {
        Some(live) => live.data_type.name != load.type_of(&column.name).name,
        None => true,
    };
    load.need.in_full || load.table.columns.iter().any(is_other)
}

/// A view stands in the way of columns that get another type: it goes before, and comes back after.
pub fn drop_changes(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if is_shown_anew(load) {
        let view = changes(&load.table.name);
        let sql = sql!("DROP VIEW IF EXISTS {view}", view);
        builder.step(StepKind::Ddl, format!("drop the view {view}, which is made anew"), sql, Answer::Ignore);
    }
}

/// Makes the view in which neighbours of one value are one row.
pub fn show_changes(events: &Events, load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    if !load.creates && !is_shown_anew(load) {
        return;
    }
    let view = changes(&load.table.name);
    let (begin, end, deleted) = (&events.begin, &events.end, &events.deleted);
    let [prior, whole, key_end, breaks] =
        ["_ematix_prior", "_ematix_whole", "_ematix_key_end", "_ematix_breaks"].map(Ident::fixed);
    let function = |name| load.dialect.function(name);
    let shown: Vec<&Ident> =
        load.table.columns.iter().map(|column| &column.name).filter(|name| **name != events.event).collect();
    let list = |alias: &'static str| {
        let alias = Sql::text(alias);
        Sql::join(shown.iter().map(|name| sql!("{alias}.{name}", alias, name)), ", ")
    };
    let lag = |name: &Ident| sql!("{lag}(t.{name}) OVER w", lag = function("lag"), name);
    let differs = load.differ(&load.compared, |name| sql!("t.{name}", name), lag);
    let sql = sql!(
        "CREATE VIEW {view} AS\nSELECT {list_y}, y.{begin}, y.{whole} AS {end}\n  FROM (SELECT x.*,\n               CASE WHEN {lead}(x.{begin}) OVER g IS NULL THEN x.{key_end}\n                    ELSE {lead}(x.{prior}) OVER g END AS {whole}\n          FROM (SELECT {list_t}, t.{deleted}, t.{begin},\n                       {lag_end} AS {prior},\n                       {last}(t.{end}) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS {key_end},\n                       {lag_begin} IS NULL OR {lag_end} IS DISTINCT FROM t.{begin}\n                    OR {lag_deleted} IS DISTINCT FROM t.{deleted}\n                    OR {differs} AS {breaks}\n                  FROM {target} AS t\n                WINDOW w AS (PARTITION BY {keys_t} ORDER BY t.{begin})) AS x\n         WHERE x.{breaks}\n        WINDOW g AS (PARTITION BY {keys_x} ORDER BY x.{begin})) AS y\n WHERE NOT y.{deleted}",
        view,
        list_y = list("y"),
        begin,
        whole,
        end,
        lead = function("lead"),
        key_end,
        prior,
        list_t = list("t"),
        deleted,
        lag_end = lag(end),
        last = function("last_value"),
        lag_begin = lag(begin),
        lag_deleted = lag(deleted),
        differs,
        breaks,
        target = load.table.name,
        keys_t = load.keys_of("t"),
        keys_x = load.keys_of("x")
    );
    builder.step(
        StepKind::Ddl,
        format!("the view {view}, in which equal neighbours are one row"),
        sql,
        Answer::Ignore,
    );
}
