//! `flow status`: each pipeline's last runs, its lag and its next slot.

use super::{after_errors, print_items};
use crate::args::SelectionArgs;
use crate::project::{self, Outcome, Session};
use crate::render::lists;
use crate::selection;
use jiff::tz::TimeZone;

/// Shows the pipelines that were asked for.
pub fn status(session: &Session, args: &SelectionArgs) -> Outcome {
    let engine = session.connected_engine(&selection::said(args))?;
    let selection = selection::choose(engine.project(), args)?;
    let (mut rows, errors) =
        project::ask_each_target(&engine, &selection.names, async |names| engine.status(&names).await)?;
    rows.sort_by_key(|row| selection.names.iter().position(|name| *name == row.name));
    let console = &session.console;
    if console.is_human() {
        if !rows.is_empty() || errors.is_empty() {
            console.out(&lists::states(&rows, &TimeZone::system()));
        }
    } else {
        print_items(console, "ematix.status.v1", "pipelines", &rows);
    }
    after_errors(console, &errors)
}
