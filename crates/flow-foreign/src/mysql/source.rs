//! The rows of a query on a server.

use super::connect::open;
use super::error::query_error;
use super::types::{Kind, kind_of};
use super::{condition, values};
use crate::fault::{bad_column, open_place, read_already};
use crate::mark::{Mark, Since};
use crate::rows::{Gathering, handed_over, schema_of};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use ematix_flow_arrow::{BatchSource, Batches, Column};
use ematix_flow_core::check::{ForeignRows, ForeignSource};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, Params, QueryResult, Value};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc::{Sender, channel};

/// How many batches may wait to be taken.
const AHEAD: usize = 1;

/// Everything is read from the state that there is now, whoever commits meanwhile.
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The rows of a query, each time they are read in a transaction of their own.
pub struct MySqlSource {
    source: ForeignSource,
    at: ConnectionTarget,
    since: Option<Since>,
    silence: Duration,
    opened: Mutex<Option<Opened>>,
    notes: Mutex<Vec<String>>,
}

/// A transaction that has begun.
struct Opened {
    conn: Conn,
    columns: Vec<Column>,
    kinds: Vec<Kind>,
    sql: String,
    parameters: Vec<Value>,
}

impl MySqlSource {
    /// Rows of a connection; how long it may send none of them once some have come, zero for as long as it likes.
    pub fn new(
        source: ForeignSource,
        at: ConnectionTarget,
        since: Option<Since>,
        silence: &Duration,
    ) -> MySqlSource {
        let silence = silence.clone();
        MySqlSource { source, at, since, silence, opened: Mutex::default(), notes: Mutex::default() }
    }

    /// The query as it is written, and how many parameters it has.
    fn query(&self) -> (String, usize) {
        match &self.source.rows {
            ForeignRows::Table(database, name) => {
                let database = database.iter().map(|name| format!("{}.", quoted(name))).collect::<String>();
                (format!("SELECT * FROM {database}{}", quoted(name)), 0)
            }
            ForeignRows::Query(query) => query.with_parameter("?"),
        }
    }

    /// The columns of the query, and what the server holds in them.
    async fn columns(&self, conn: &mut Conn, wanted: &[Column]) -> Result<Vec<(Column, Kind)>> {
        let of = self.describe();
        let (sql, count) = self.query();
        let statement = conn.prep(sql).await.map_err(|error| query_error(&error, &of))?;
        if usize::from(statement.num_params()) != count {
            return Err(open_place(&of));
        }
        let mut found = Vec::new();
        for column in statement.columns().iter() {
            let name = column.name_str().into_owned();
            let kind = kind_of(column).map_err(|unread| {
                bad_column(&of, &name, &format!("is of the type {unread}, which is not read"))
                    .hint(format!("leave it out, or read its text: ST_AsText(`{name}`) AS `{name}`"))
            })?;
            let own = wanted.iter().find(|own| own.name == name).map(|own| &own.data_type);
            found.push((Column::new(name, kind.read_as(own)), kind));
        }
        conn.close(statement).await.map_err(|error| query_error(&error, &of))?;
        Ok(found)
    }

    /// What is asked, its parameters, and what is to be told of it.
    fn statement(&self, columns: &[(Column, Kind)]) -> Result<(String, Vec<Value>, Option<String>)> {
        let (sql, count) = self.query();
        let of_since = self.since.as_ref().and_then(|since| {
            let (column, kind) = columns.iter().find(|(column, _)| column.name == since.column)?;
            Some((column, *kind, since.from.as_deref().map(Mark::read)))
        });
        let Some((column, kind, mark)) = of_since else {
            // That the column is not there the plan tells.
            return Ok((sql, vec![Value::NULL; count], None));
        };
        if count > 0 {
            let value = condition::said(kind, mark.as_ref()).ok_or_else(|| {
                let why = "is of a type that `:watermark` cannot stand for";
                bad_column(&self.describe(), &column.name, why).hint(
                    "take `:watermark` out of the query: the load reads from the watermark on by itself",
                )
            })?;
            return Ok((sql, vec![value; count], None));
        }
        let Some(mark) = mark else { return Ok((sql, Vec::new(), None)) };
        let is_table = matches!(self.source.rows, ForeignRows::Table(..));
        let name = if is_table { quoted(&column.name) } else { format!("q.{}", quoted(&column.name)) };
        Ok(match condition::pushed(&name, kind, &mark) {
            Some((condition, value)) if is_table => (format!("{sql} WHERE {condition}"), vec![value], None),
            Some((condition, value)) => {
                (format!("SELECT * FROM (\n{sql}\n) AS q WHERE {condition}"), vec![value], None)
            }
            None => {
                let (source, name, own) = (&self.source, &column.name, column.data_type.name());
                let note =
                    format!("all rows are read: {source} cannot be asked for a `{name}` of type {own}");
                (sql, Vec::new(), Some(note))
            }
        })
    }
}

impl fmt::Debug for MySqlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MySqlSource({})", self.source)
    }
}

#[async_trait]
impl BatchSource for MySqlSource {
    fn describe(&self) -> String {
        self.source.to_string()
    }

    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef> {
        let mut conn = open(&self.at).await?;
        conn.query_drop(BEGIN).await.map_err(|error| query_error(&error, &self.describe()))?;
        let found = self.columns(&mut conn, wanted).await?;
        let (sql, parameters, note) = self.statement(&found)?;
        let is_tiny = |(column, kind): &&(Column, Kind)| {
            matches!(kind, Kind::Whole { tiny: true, .. })
                && !wanted.iter().any(|own| own.name == column.name)
        };
        let tiny = found.iter().filter(is_tiny).map(|(column, _)| {
            format!(
                "`{}` is tinyint(1), which holds more than yes and no: declare it boolean where it does not",
                column.name
            )
        });
        let notes = tiny.chain(note).collect();
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = notes;
        let (columns, kinds): (Vec<Column>, Vec<Kind>) = found.into_iter().unzip();
        let schema = schema_of(&columns);
        let opened = Opened { conn, columns, kinds, sql, parameters };
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(schema)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn batches(&self) -> Result<Batches> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let opened = opened.ok_or_else(|| read_already(&self.describe()))?;
        let (give, given) = channel(AHEAD);
        let reading = tokio::spawn(read(opened, self.describe(), self.silence.clone(), give));
        Ok(handed_over(given, reading, stopped))
    }
}

/// Reads all rows, until nobody takes them, and says good-bye: the rest of a result is never read for that.
async fn read(opened: Opened, of: String, silence: Duration, give: Sender<RecordBatch>) -> Result<()> {
    let Opened { mut conn, columns, kinds, sql, parameters } = opened;
    let parameters = if parameters.is_empty() { Params::Empty } else { Params::Positional(parameters) };
    let told = match conn.exec_iter(sql, parameters).await {
        Ok(mut result) => rows(&mut result, columns, &kinds, &of, &silence, &give).await,
        Err(error) => Err(query_error(&error, &of)),
    };
    // Whoever is silent answers no good-bye.
    if !matches!(&told, Err(error) if error.code == ErrorCode::Timeout) {
        let _ = conn.disconnect().await;
    }
    told
}

async fn rows(
    result: &mut QueryResult<'_, '_, BinaryProtocol>,
    columns: Vec<Column>,
    kinds: &[Kind],
    of: &str,
    silence: &Duration,
    give: &Sender<RecordBatch>,
) -> Result<()> {
    if result.columns_ref().len() != columns.len() {
        let message = format!("{of} has other columns than it had when the reading began");
        return Err(FlowError::new(ErrorCode::SourceFailed, message).hint("run again"));
    }
    let mut gathering = Gathering::new(of.to_owned(), columns);
    let mut has_begun = false;
    loop {
        let next = match has_begun && silence.milliseconds() > 0 {
            true => tokio::time::timeout(silence.as_std(), result.next())
                .await
                .map_err(|_| FlowError::fell_silent(silence))?,
            false => result.next().await,
        };
        let Some(row) = next.map_err(|error| query_error(&error, of))? else { break };
        has_begun = true;
        let row: Vec<Value> = row.unwrap();
        let bytes = row.iter().map(values::size).sum();
        let full = gathering
            .take(bytes, |at, data_type, cells| values::take(&row[at], kinds[at], data_type, cells))?;
        if let Some(batch) = full
            && give.send(batch).await.is_err()
        {
            return Ok(());
        }
    }
    if let Some(batch) = gathering.finish() {
        let _ = give.send(batch).await;
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cold]
fn stopped() -> FlowError {
    FlowError::new(ErrorCode::SourceFailed, "reading MySQL stopped")
}
