//! The rows of a query on a file.

use super::file::{open, panicked, path_of, query_error};
use super::{condition, types, values};
use crate::fault::{bad_column, open_place, read_already};
use crate::mark::{Mark, Since};
use crate::rows::{Gathering, handed_over, schema_of};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use ematix_flow_arrow::{BatchSource, Batches, Column};
use ematix_flow_core::check::{ForeignRows, ForeignSource};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::spawn_blocking;

/// How many batches may wait to be taken.
const AHEAD: usize = 1;

/// The rows of a query, each time they are read in a transaction of their own.
pub struct SqliteSource {
    source: ForeignSource,
    at: ConnectionTarget,
    since: Option<Since>,
    opened: Mutex<Option<Opened>>,
    notes: Mutex<Vec<String>>,
}

/// A transaction that has begun.
struct Opened {
    connection: Connection,
    columns: Vec<Column>,
    statement: Statement,
}

/// What is asked in it.
struct Statement {
    sql: String,
    parameters: Vec<Value>,
}

impl SqliteSource {
    /// Rows of a connection.
    pub fn new(source: ForeignSource, at: ConnectionTarget, since: Option<Since>) -> SqliteSource {
        SqliteSource { source, at, since, opened: Mutex::default(), notes: Mutex::default() }
    }
}

impl fmt::Debug for SqliteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteSource({})", self.source)
    }
}

#[async_trait]
impl BatchSource for SqliteSource {
    fn describe(&self) -> String {
        self.source.to_string()
    }

    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef> {
        let (path, source) = (path_of(&self.at), self.source.clone());
        let (wanted, since) = (wanted.to_vec(), self.since.clone());
        let opening = spawn_blocking(move || -> Result<(Opened, Option<String>)> {
            let connection = open(&path)?;
            let columns = columns(&connection, &source, &wanted)?;
            let is_filled = |column: &str| is_filled(&connection, &source, column);
            let (statement, note) = statement(&source, since.as_ref(), &columns, is_filled);
            Ok((Opened { connection, columns, statement }, note))
        });
        let (opened, note) = opening.await.map_err(|_| panicked())??;
        let schema = schema_of(&opened.columns);
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = note.into_iter().collect();
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
        let of = self.describe();
        let reading = spawn_blocking(move || read(opened, of, &give));
        Ok(handed_over(given, reading, panicked))
    }
}

/// The query as it is written, and how many parameters it has.
fn query_of(source: &ForeignSource) -> (String, usize) {
    match &source.rows {
        ForeignRows::Table(schema, name) => {
            let schema = schema.iter().map(|schema| format!("{}.", quoted(schema))).collect::<String>();
            (format!("SELECT * FROM {schema}{}", quoted(name)), 0)
        }
        ForeignRows::Query(query) => query.with_parameter("?"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns of the query: each of the type that is wanted, else of the one that its table declares.
fn columns(connection: &Connection, source: &ForeignSource, wanted: &[Column]) -> Result<Vec<Column>> {
    let of = source.to_string();
    let (sql, count) = query_of(source);
    let statement = connection.prepare(&sql).map_err(|error| query_error(&error, &of))?;
    if !statement.readonly() {
        return Err(FlowError::new(ErrorCode::QueryWrites, format!("{of} writes"))
            .hint("a source query is one statement that only reads"));
    }
    if statement.parameter_count() != count {
        return Err(open_place(&of));
    }
    let mut found = Vec::new();
    for column in statement.columns() {
        let name = column.name();
        if let Some(own) = wanted.iter().find(|own| own.name == name) {
            found.push(Column::new(name, own.data_type.clone()));
            continue;
        }
        let data_type = column.decl_type().and_then(types::declared).ok_or_else(|| {
            let why = match column.decl_type().filter(|written| !written.is_empty()) {
                Some(written) => format!("is declared {written}, which is no type"),
                None => "has no type: SQLite knows none of an expression".to_owned(),
            };
            bad_column(&of, name, &why)
                .hint(format!("declare it in the target's table: [tables.….columns] {name} = \"bigint\""))
        })?;
        found.push(Column::new(name, data_type));
    }
    Ok(found)
}

/// Whether a table's column never is NULL: asked for those that are, SQLite would look through all rows by their number.
fn is_filled(connection: &Connection, source: &ForeignSource, column: &str) -> bool {
    const ASK: &str = "SELECT count(*) FROM pragma_table_info(?1, ?2) AS c
 WHERE c.name = ?3 AND (c.\"notnull\" OR c.pk AND upper(c.type) = 'INTEGER' AND NOT EXISTS (
       SELECT 1 FROM pragma_table_info(?1, ?2) AS o WHERE o.pk > 1))";
    let ForeignRows::Table(schema, name) = &source.rows else { return false };
    let schema = schema.as_deref().unwrap_or("main");
    let found = connection.query_row(ASK, (name, schema, column), |row| row.get::<_, i64>(0));
    found.is_ok_and(|count| count > 0)
}

/// What is asked, and what is to be told of it.
fn statement(
    source: &ForeignSource,
    since: Option<&Since>,
    columns: &[Column],
    is_filled: impl Fn(&str) -> bool,
) -> (Statement, Option<String>) {
    let (sql, count) = query_of(source);
    let of_since = since.and_then(|since| {
        let column = columns.iter().find(|column| column.name == since.column)?;
        Some((since, column, since.from.as_deref().map(Mark::read)))
    });
    let plain = |parameters| Statement { sql: sql.clone(), parameters };
    match of_since {
        Some((_, column, mark)) if count > 0 => {
            let value = condition::said(&column.data_type, mark.as_ref());
            (plain(vec![value; count]), None)
        }
        _ if count > 0 => (plain(vec![Value::Text(String::new()); count]), None),
        Some((since, column, Some(mark))) => {
            let name = quoted(&column.name);
            match condition::pushed(&name, &column.data_type, is_filled(&column.name), &mark) {
                Some((condition, value)) => {
                    let sql = format!("SELECT * FROM (\n{sql}\n) AS q WHERE {condition}");
                    (Statement { sql, parameters: vec![value] }, None)
                }
                None => (
                    plain(Vec::new()),
                    Some(format!(
                        "all rows are read: {source} cannot be asked for a `{}` of type {}",
                        since.column,
                        column.data_type.name()
                    )),
                ),
            }
        }
        _ => (plain(Vec::new()), None),
    }
}

/// Reads all rows, until nobody takes them.
fn read(opened: Opened, of: String, give: &Sender<RecordBatch>) -> Result<()> {
    let Opened { connection, columns, statement } = opened;
    let failed = |error: rusqlite::Error| query_error(&error, &of);
    let mut prepared = connection.prepare(&statement.sql).map_err(failed)?;
    let count = columns.len();
    let mut gathering = Gathering::new(of.clone(), columns);
    let parameters = rusqlite::params_from_iter(statement.parameters);
    let mut rows = prepared.query(parameters).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let value = |at: usize| row.get_ref(at).map_err(failed);
        let mut bytes = 0;
        for at in 0..count {
            bytes += values::size(value(at)?);
        }
        let full = gathering.take(bytes, |at, data_type, cells| {
            let value = row.get_ref(at).map_err(|error| error.to_string())?;
            values::take(value, data_type, cells)
        })?;
        if let Some(batch) = full
            && give.blocking_send(batch).is_err()
        {
            return Ok(());
        }
    }
    if let Some(batch) = gathering.finish() {
        let _ = give.blocking_send(batch);
    }
    Ok(())
}
