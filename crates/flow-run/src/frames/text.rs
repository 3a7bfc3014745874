//! Reads the rows of a query as the lines in which the server writes them: every type it has, exactly.

use super::{DOING, Held, said};
use crate::postgres::connect::connect;
use crate::session::{Access, CopyStream, End};
use bytes::Bytes;
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::SourceColumn;
use ematix_flow_core::hash::Normal;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, Sql};
use futures_util::StreamExt;

/// What the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// CSV with this between values, behind a line of names; NULL is nothing, empty text is `""`, and a list is JSON.
    Csv(char),
    /// An object of JSON each.
    Json,
}

/// Lines on their way, with their session. Dropped before the end, it is cancelled on the server.
pub struct Text {
    held: Held,
    stream: CopyStream,
}

/// Begins to read.
///
/// # Errors
/// As [`super::read`].
pub async fn read_lines(target: &ConnectionTarget, query: &ReadQuery, lines: Lines) -> Result<Text> {
    let held = Held::new(Box::new(connect(target, "read").await?));
    let begun = async {
        let session = held.session();
        session.begin(Blame::Source, Access::ReadOnly, None).await?;
        let columns = session.inspector().columns(query.text()).await?;
        session.tidy().await?;
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        if let Some((_, twice)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            let message = format!("the query has two columns `{twice}`");
            return Err(
                FlowError::new(ErrorCode::DuplicateName, message).hint("give one of them another name")
            );
        }
        let statement = copy(query, &columns, lines)?;
        session.read(Blame::Source, DOING, &statement).await?.into_copy()
    };
    match begun.await.map_err(said) {
        Ok(stream) => Ok(Text { held, stream }),
        Err(error) if error.code == ErrorCode::PermissionDenied => {
            let error = held.session().complete(error, query.text()).await;
            held.close().await;
            Err(error)
        }
        Err(error) => {
            held.close().await;
            Err(error)
        }
    }
}

fn copy(query: &ReadQuery, columns: &[SourceColumn], lines: Lines) -> Result<String> {
    let text = query.text();
    Ok(match lines {
        Lines::Csv(delimiter) => {
            let rows = with_lists(query, columns)?;
            let delimiter = if delimiter == '\t' { ", DELIMITER E'\\t'" } else { "" };
            format!("COPY (\n{rows}\n) TO STDOUT (FORMAT csv, HEADER true{delimiter})")
        }
        // JSON has no control characters but between values, where json, other than jsonb, keeps lines apart: without
        // those nothing in a line is quoted.
        Lines::Json => format!(
            "COPY (SELECT pg_catalog.translate(pg_catalog.to_json(_ematix_row.*)::text, E'\\n\\r\\t', '   ')\n  FROM (\n{text}\n) AS _ematix_row) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
        ),
    })
}

/// The query whose lists are JSON, which every reader of CSV understands, and which Postgres' own form is not.
fn with_lists(query: &ReadQuery, columns: &[SourceColumn]) -> Result<String> {
    let is_list = |column: &SourceColumn| matches!(column.data_type.normal, Some(Normal::Array { .. }));
    if !columns.iter().any(is_list) {
        return Ok(query.text().to_owned());
    }
    let value = |column: &SourceColumn| {
        let name = Ident::new(column.name.clone())?;
        Ok(match is_list(column) {
            true => sql!("pg_catalog.to_json(q.{name}) AS {name}", name),
            false => sql!("q.{name}", name),
        })
    };
    let values = columns.iter().map(value).collect::<Result<Vec<_>>>()?;
    let rows = sql!(
        "SELECT {values}\n  FROM {query} AS q",
        values = Sql::join(values, ", "),
        query = Sql::user(query.text())
    );
    Ok(rows.to_text(&Postgres))
}

impl Text {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// What the server says.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.stream.next().await.transpose().map_err(said)
    }

    /// Ends it where all has come.
    pub async fn close(self) {
        // It has read, and nothing can be lost any more.
        let _ = self.held.session().end(Blame::Source, DOING, End::Commit).await;
        self.held.close().await;
    }

    /// Ends it before.
    pub async fn abandon(self) {
        self.held.abandon().await;
    }
}
