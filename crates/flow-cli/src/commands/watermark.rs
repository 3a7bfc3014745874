//! `flow watermark`: shows, sets and forgets where incremental pipelines go on.

use super::{DONE, after_errors, print_items};
use crate::args::{SelectionArgs, WatermarkCommand};
use crate::project::{self, Outcome, Session};
use crate::render::lists;
use crate::selection;
use crate::signals;
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError};
use ematix_flow_core::report::WatermarkRow;
use jiff::tz::TimeZone;

/// Does what was asked with watermarks.
pub fn watermark(session: &Session, command: &WatermarkCommand) -> Outcome {
    match command {
        WatermarkCommand::Show(selection) => show(session, selection),
        WatermarkCommand::Set { name, value } => set(session, name, value),
        WatermarkCommand::Reset { name, yes } => reset(session, name, *yes),
    }
}

fn show(session: &Session, args: &SelectionArgs) -> Outcome {
    let engine = session.connected_engine(&selection::said(args))?;
    let selection = selection::choose(engine.project(), args)?;
    let (rows, errors) =
        project::ask_each_target(&engine, &selection.names, async |names| engine.watermarks(&names).await)?;
    if !rows.is_empty() || errors.is_empty() || !session.console.is_human() {
        print(session, &rows);
    }
    after_errors(&session.console, &errors)
}

fn set(session: &Session, name: &str, value: &str) -> Outcome {
    let engine = session.connected_engine(&[name.to_owned()])?;
    selection::one(engine.project(), name)?;
    let row = signals::block_on(async |_| engine.set_watermark(name, value).await)??;
    print(session, &[row]);
    DONE
}

fn reset(session: &Session, name: &str, yes: bool) -> Outcome {
    let engine = session.connected_engine(&[name.to_owned()])?;
    selection::one(engine.project(), name)?;
    let console = &session.console;
    if !yes {
        if !console.can_ask() {
            let message = "`flow watermark reset` asks before it forgets, and nobody is there to answer";
            return Err(FlowError::new(ErrorCode::MissingOption, message).hint("add --yes").into());
        }
        if !console.confirm(&format!("Forget the watermark of {name}? Its next run reads everything.")) {
            console.tell("left as it was\n");
            return Ok(ExitCode::Success);
        }
    }
    signals::block_on(async |_| engine.reset_watermark(name).await)??;
    if console.is_human() {
        console.tell(&format!("forgotten; the next run of {name} reads everything\n"));
    } else {
        print(session, &[]);
    }
    DONE
}

fn print(session: &Session, rows: &[WatermarkRow]) {
    let console = &session.console;
    if console.is_human() {
        console.out(&lists::watermarks(rows, &TimeZone::system()));
    } else {
        print_items(console, "ematix.watermark.v1", "watermarks", rows);
    }
}
