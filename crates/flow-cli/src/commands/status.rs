//! `flow status`: each pipeline's last runs, its lag and its next slot.

use super::{DONE, print_items};
use crate::args::SelectionArgs;
use crate::project::{Outcome, Session};
use crate::render::lists;
use crate::selection;
use crate::signals;
use jiff::tz::TimeZone;

/// Shows the pipelines that were asked for.
pub fn status(session: &Session, args: &SelectionArgs) -> Outcome {
    let engine = session.engine()?;
    let selection = selection::choose(engine.project(), args)?;
    let rows = signals::block_on(async |_| engine.status(&selection.names).await)??;
    let console = &session.console;
    if console.is_human() {
        console.out(&lists::states(&rows, &TimeZone::system()));
    } else {
        print_items(console, "ematix.status.v1", "pipelines", &rows);
    }
    DONE
}
