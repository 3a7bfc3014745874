//! `flow rejected NAME`: the rows that a pipeline has put aside, and why.

use super::DONE;
use crate::args::RejectedArgs;
use crate::console::Format;
use crate::project::{Outcome, Session};
use crate::render::lists;
use crate::{selection, signals};
use jiff::tz::TimeZone;
use serde_json::json;

/// Lists them.
pub fn rejected(session: &Session, args: &RejectedArgs) -> Outcome {
    let engine = session.engine()?;
    selection::one(engine.project(), &args.name)?;
    let found = signals::block_on(async |_| engine.rejected(&args.name, args.limit).await)??;
    let rows: Vec<_> = found.iter().flat_map(|table| &table.rows).collect();
    let console = &session.console;
    match console.format() {
        Format::Human => {
            found.iter().for_each(|table| {
                console.out(&lists::rejected(&args.name, table, &TimeZone::system()));
            });
        }
        Format::NdJson => rows.iter().for_each(|row| console.json(row)),
        _ => console.json(&json!({
            "schema": "ematix.rejected.v1",
            "pipeline": args.name,
            "count": found.iter().map(|table| table.count).sum::<i64>(),
            "rows": rows,
        })),
    }
    DONE
}
