//! A large table of another database, read by several sessions at once: each sends the rows of a range of its pages, and
//! all of them read at one instant, which is younger than the lock that the run holds on the table.

use crate::dialect::Dialect;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::SourceFacts;
use crate::pipeline::prepared::Counting;
use crate::pipeline::{Pipeline, Resolved};
use crate::plan::builder::PlanBuilder;
use crate::sql;
use crate::sql::{Ident, Sql};

/// The fewest pages that are worth a session of their own: its login costs what sending them does.
const FEWEST_PAGES: u64 = 256;

/// What each session reads in the query's place; `None` where one reads all.
///
/// # Errors
/// As [`of_table`].
pub fn of(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<Option<Vec<Sql>>> {
    if load.pipeline.parallel == 1 {
        return Ok(None);
    }
    let of_a_part = load.facts.run.part.is_some() || load.facts.watermark.is_some();
    let one = if load.facts.assumed {
        Some("how large its table is, the server says")
    } else if of_a_part {
        Some("it reads a part of the table, which an index finds")
    } else if matches!(load.counting(), Counting::Account { .. }) {
        Some("what markers do is counted over all rows")
    } else {
        None
    };
    if let Some(why) = one {
        builder.note(format!("parallel: one session reads the source, {why}"));
        return Ok(None);
    }
    of_table(load.pipeline, &load.facts.source, load.ends.source.dialect, builder)
}

/// As [`of`], of all rows of the table.
///
/// # Errors
/// `path_impossible` for a source that is no table whose pages can be told apart.
pub fn of_table(
    pipeline: &Pipeline,
    source: &SourceFacts,
    dialect: &dyn Dialect,
    builder: &mut PlanBuilder<'_>,
) -> Result<Option<Vec<Sql>>> {
    if pipeline.parallel == 1 {
        return Ok(None);
    }
    let relation = source.relation.as_ref().ok_or_else(|| {
        refused(pipeline, "its source is a view, a foreign table, or a table with children")
    })?;
    let pages = relation.pages.filter(|_| dialect.lies_on(0, None).is_some());
    let pages =
        pages.ok_or_else(|| refused(pipeline, "the rows of its source do not lie in one file of pages"))?;
    let sessions = u64::from(pipeline.parallel).min(pages / FEWEST_PAGES);
    if sessions < 2 {
        builder.note(format!("parallel: one session reads the source, whose table has {pages} pages"));
        return Ok(None);
    }
    let names = source.columns.iter().map(|column| Ident::new(column.name.clone()));
    let names = names.collect::<Result<Vec<Ident>>>()?;
    let columns = Sql::join(names.iter().map(|name| sql!("q.{name}", name)), ", ");
    let each = pages.div_ceil(sessions);
    let parts = (0..sessions).map(|session| {
        // The table may have grown since: the last one reads on to its end.
        let beyond = (session + 1 < sessions).then_some((session + 1) * each);
        let condition = dialect.lies_on(session * each, beyond).expect("asked above");
        sql!(
            "(SELECT {columns} FROM {relation} AS q WHERE {condition})",
            columns,
            relation = Sql::from_dialect(relation.sql.clone()),
            condition
        )
    });
    Ok(Some(parts.collect()))
}

/// Within one database a statement reads and writes, and the server's own workers read.
///
/// # Errors
/// `path_impossible` where several sessions are to.
pub fn need_another_database(load: &Resolved<'_>) -> Result<()> {
    match load.pipeline.parallel {
        1 => Ok(()),
        _ => Err(refused(
            load.pipeline,
            "its source and its target are in one database, where one statement reads and writes",
        )),
    }
}

/// What comes as Arrow, or from several connections, comes in one stream of each.
///
/// # Errors
/// `path_impossible` where several sessions are to read.
pub fn need_one_table(pipeline: &Pipeline) -> Result<()> {
    match pipeline.parallel {
        1 => Ok(()),
        _ => Err(refused(pipeline, "its rows do not come from one table of Postgres")),
    }
}

fn refused(pipeline: &Pipeline, why: &str) -> FlowError {
    FlowError::new(
        ErrorCode::PathImpossible,
        format!("several sessions cannot read the source of `{}`: {why}", pipeline.name),
    )
    .hint("parallel = 1")
}
