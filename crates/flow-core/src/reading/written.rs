//! Whether rows stand as they were written: a trigger of the target may have changed them. Every run then finds them
//! different from their source, and writes them again.

use super::changes;
use crate::pipeline::Resolved;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, StepKind, Warning};
use crate::sql;
use crate::sql::{Ident, Sql};

/// Warns of rows of the changes that read otherwise from the target; `live` says which of its rows `t` take part, and
/// `besides` which columns are written without being compared.
pub fn verify(load: &Resolved<'_>, live: Option<Sql>, besides: &[Ident], builder: &mut PlanBuilder<'_>) {
    if load.triggers().is_empty() {
        return;
    }
    let columns: Vec<Ident> = load.compared.iter().chain(besides).cloned().collect();
    let differs = load.differ(&columns, |name| sql!("c.{name}", name), |name| sql!("t.{name}", name));
    let live = live.map_or(Sql::empty(), |live| sql!(" AND {live}", live));
    let sql = sql!(
        "SELECT {count}(*) AS count\n  FROM {changes} AS c\n  LEFT JOIN {target} AS t ON {on}{live}\n WHERE {written}\n   AND (t.{key} IS NULL\n    OR {differs})",
        count = load.dialect.function("count"),
        changes = load.changes(),
        target = load.table.name,
        on = load.keys_equal("t", |key| sql!("c.{key}", key)),
        live,
        written = changes::of_kind(&["new", "changed", "overwritten"]),
        key = &load.keys[0],
        differs
    );
    let (table, names) = (&load.table.name, load.triggers().join(", "));
    builder.step(
        StepKind::Diff,
        "whether the rows stand as they were written",
        sql,
        Answer::Warn(Warning {
            many: format!("{{count}} rows of {table} do not stand as they were written: a trigger changes them ({names}), so every run writes them again"),
            one: format!("1 row of {table} does not stand as it was written: a trigger changes it ({names}), so every run writes it again"),
        }),
    );
}
