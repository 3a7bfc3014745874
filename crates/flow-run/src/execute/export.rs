//! Rows of a database into a file: of a query, a table, a history as it was, or what one run has written.

use super::as_of::AsOfRequest;
use super::keys::live_table;
use super::run::{cancelled, unless_asked};
use super::{Engine, Stop};
use crate::frames::{self, Lines, Numeric, Types, Wanted};
use crate::session::Session;
use arrow_array::RecordBatch;
use bytes::Bytes;
use ematix_flow_arrow::{BatchSize, Infinity};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::engine::POSTGRES;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::{PastRun, RunNamed};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::sql;
use ematix_flow_files::{Destination, FileOut, Format, Written};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

/// So many pieces wait to be written.
const AHEAD: usize = 2;

/// Which rows go into a file.
#[derive(Clone, Debug)]
pub enum Exported {
    /// Those of a query, or of a table by its name, of a connection.
    Read {
        /// The connection.
        connection: String,
        /// The query or the name.
        text: String,
    },
    /// Those of a pipeline's table.
    Target(String, OfTarget),
}

/// Which rows of a pipeline's table.
#[derive(Clone, Debug)]
pub enum OfTarget {
    /// All.
    All,
    /// Those that were valid at an instant.
    AsOf(AsOfRequest),
    /// Those that a run has written.
    Run(RunNamed),
}

/// A part of a file.
enum Piece {
    Batch(RecordBatch),
    Text(Bytes),
    /// There are no more.
    End,
}

impl Engine {
    /// Writes rows into a file, which has its name when all are in it. Nothing is written in the database.
    ///
    /// # Errors
    /// What the server says; what cannot be written; `option_not_for_mode` where the table does not keep what is asked
    /// for; `cancelled`.
    pub async fn export(
        &self,
        what: &Exported,
        to: &Destination,
        stop: &watch::Receiver<Stop>,
    ) -> Result<Written> {
        let (connection, query) = match what {
            Exported::Read { connection, text } => (connection.clone(), frames::query_or_table(text)?),
            Exported::Target(name, rows) => {
                let built = self.built(name).map_err(|error| self.locate(error, name))?;
                let asked = unless_asked(stop, self.query_of(&built, rows)).await;
                (built.target_connection.clone(), asked.map_err(|error| self.locate(error, name))?)
            }
        };
        let at = self.resolve(&connection)?;
        if at.engine != POSTGRES.name {
            let message = format!("files are written from Postgres, and {connection} is of {}", at.engine);
            return Err(FlowError::new(ErrorCode::NotYetSupported, message)
                .hint("DuckDB writes files itself: COPY (SELECT …) TO 'out.parquet'"));
        }
        match to.format {
            Format::Parquet => self.batches_into(&at, query, to, stop).await,
            Format::Csv => lines_into(&at, &query, Lines::Csv(to.delimiter()), to, stop).await,
            Format::Json => lines_into(&at, &query, Lines::Json, to, stop).await,
        }
    }

    /// The query of a table's rows.
    async fn query_of(&self, built: &Pipeline, rows: &OfTarget) -> Result<ReadQuery> {
        let session = self.open(&built.target_connection, &format!("export {}", built.name)).await?;
        let asked = self.query_asked(session.as_ref(), built, rows).await;
        session.close().await;
        asked
    }

    async fn query_asked(
        &self,
        session: &dyn Session,
        built: &Pipeline,
        rows: &OfTarget,
    ) -> Result<ReadQuery> {
        let (target, dialect) = (built.target.name(), session.facts().dialect);
        live_table(session, built).await?;
        let rows = match rows {
            OfTarget::All => sql!("SELECT t.*\n  FROM {target} AS t", target),
            OfTarget::AsOf(request) => self.rows_then(session, built, request).await?,
            OfTarget::Run(named) => {
                let run = written_by(session, built, named).await?;
                let written = built.strategy.written_by(&run, dialect).map_err(|error| FlowError {
                    message: format!("`{}`: {}", built.name, error.message),
                    ..error
                })?;
                sql!("SELECT t.*\n  FROM {target} AS t\n WHERE {written}", target, written)
            }
        };
        session.tidy().await?;
        ReadQuery::parse(&rows.to_text(dialect))
    }

    async fn batches_into(
        &self,
        at: &ConnectionTarget,
        query: ReadQuery,
        to: &Destination,
        stop: &watch::Receiver<Stop>,
    ) -> Result<Written> {
        let wanted = Wanted {
            query,
            numeric: Numeric::DecimalOrText,
            infinity: Infinity::Refuse,
            types: Types::Parquet,
            size: BatchSize::default(),
            partition_on: None,
        };
        let reading = unless_asked(stop, frames::read(at, &wanted)).await?;
        let out = FileOut::begin(to, Some(reading.schema))?;
        let mut part = reading.parts.into_iter().next().expect("a reading has at least one part");
        let written = write(out, stop, async |pieces| {
            while let Some(batch) = part.next().await.map_err(finite)? {
                if pieces.send(Piece::Batch(batch)).await.is_err() {
                    return Ok(());
                }
            }
            Ok(())
        })
        .await;
        // The statement may go on where nobody reads it any more: it is cancelled before the process ends.
        match written {
            Ok(_) => part.close().await,
            Err(_) => part.abandon().await,
        }
        written
    }
}

async fn lines_into(
    at: &ConnectionTarget,
    query: &ReadQuery,
    lines: Lines,
    to: &Destination,
    stop: &watch::Receiver<Stop>,
) -> Result<Written> {
    let mut text = unless_asked(stop, frames::read_lines(at, query, lines)).await?;
    let out = FileOut::begin(to, None)?;
    let written = write(out, stop, async |pieces| {
        while let Some(bytes) = text.next().await? {
            if pieces.send(Piece::Text(bytes)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    })
    .await;
    match written {
        Ok(_) => text.close().await,
        Err(_) => text.abandon().await,
    }
    written
}

/// Writes in a thread of its own what comes. Where not all comes, nothing is left behind before it answers.
async fn write(
    mut out: FileOut,
    stop: &watch::Receiver<Stop>,
    read: impl AsyncFnOnce(mpsc::Sender<Piece>) -> Result<()>,
) -> Result<Written> {
    let (sender, mut pieces) = mpsc::channel(AHEAD);
    let writing = spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Piece::Batch(batch) => out.batch(&batch)?,
                Piece::Text(text) => out.text(&text)?,
                Piece::End => return out.finish().map(Some),
            }
        }
        Ok::<_, FlowError>(None)
    });
    let ended = sender.clone();
    let reading = async {
        read(sender).await?;
        // Whoever wrote no more says why.
        let _ = ended.send(Piece::End).await;
        Ok(())
    };
    let read = unless_asked(stop, reading).await;
    drop(ended);
    let written = writing
        .await
        .map_err(|_| FlowError::new(ErrorCode::TargetFailed, "the thread that writes the file panicked"))?;
    match (written, read) {
        (Ok(Some(written)), Ok(())) => Ok(written),
        (Err(error), Ok(())) => Err(error),
        (_, Err(error)) => Err(error),
        (Ok(None), Ok(())) => Err(cancelled(Stop::Interrupt)),
    }
}

/// A run that stands.
async fn written_by(session: &dyn Session, built: &Pipeline, named: &RunNamed) -> Result<PastRun> {
    let point = super::as_of::run_meant(session, built, named).await?;
    let Some(run) = point else { return Err(super::rewind::no_run(built, named)) };
    match run.undone_by {
        None => Ok(run),
        Some(by) => Err(FlowError::new(
            ErrorCode::InvalidValue,
            format!("what run {} has written is gone: run {by} has undone it", run.number),
        )
        .hint("`flow history` shows the runs that stand")),
    }
}

/// An error of a value that Parquet does not hold, with what a person can do about it.
fn finite(error: FlowError) -> FlowError {
    if !error.context.contains_key("infinite") {
        return error;
    }
    error.hint("CSV and JSON hold it; or copy a query with nullif(…, 'infinity')")
}
