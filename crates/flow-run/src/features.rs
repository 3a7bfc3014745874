//! Serves features, by what the metadata say of them; and makes training sets: takes a spine in, joins feature views to it,
//! and gives the rows as Arrow or leaves them in a table.
//!
//! A training set is one transaction of one session, so the views are read at one moment, and nothing stays of the spine.

use crate::frames;
use crate::history::HistoryStore;
use crate::postgres::serving::{Entries, FeatureServer};
use crate::session::{Access, End, ResultSet, Session};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use ematix_flow_arrow::{BatchSize, Column, CopyType, Decoder, Encoder, UnscaledNumeric};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::dialect::postgres::Postgres;
use ematix_flow_core::duration::Duration;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::features::asof::{DeclaredView, ReadView};
use ematix_flow_core::features::training::{self, Joined, ROW, SpineColumn, inner};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::query::ReadQuery;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName, Sql};
use futures_util::SinkExt;
use indexmap::IndexMap;
use std::sync::Arc;

/// Entities and instants to which features are joined.
pub enum Spine {
    /// Rows of the caller. A column that stands in the map is of that type, and comes as text.
    Rows(Box<dyn RecordBatchReader + Send>, IndexMap<String, String>),
    /// A query of the database.
    Query(ReadQuery),
}

/// What is asked for.
pub struct Wanted {
    /// To what features are joined.
    pub spine: Spine,
    /// The spine's column with the instant.
    pub as_of: String,
    /// The views, each with the age from which on its events do not answer.
    pub views: Vec<(DeclaredView, Option<Duration>)>,
    /// The features; all unless said.
    pub columns: Option<Vec<String>>,
    /// Of when what was known answers.
    pub known: Known,
    /// The table that it goes to.
    pub into: Option<QualifiedName>,
}

/// Of when what was known answers.
pub enum Known {
    /// Of now.
    Now,
    /// Of an instant, as text.
    At(String),
    /// Of when a run of the view's target had committed, by its number.
    AfterRun(i64),
}

/// A training set.
pub enum Made {
    /// Its rows.
    Rows(SchemaRef, Vec<RecordBatch>),
    /// How many rows are in its table.
    Table(i64),
}

/// A time without a zone is one of UTC.
const IN_UTC: &str = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'";

/// The entries of the metadata.
struct Entered;

#[async_trait]
impl Entries for Entered {
    async fn read_view(&self, session: &dyn Session, declared: DeclaredView) -> Result<ReadView> {
        HistoryStore::on(session).read_view(declared).await
    }

    async fn shown_since(&self, session: &dyn Session, declared: &DeclaredView) -> Result<Option<String>> {
        Ok(HistoryStore::on(session).shown_since(declared).await?.as_of)
    }
}

/// Serves the features of the database that a connection leads to.
///
/// # Errors
/// As [`FeatureServer::at`].
pub fn feature_server(target: &ConnectionTarget) -> Result<FeatureServer> {
    FeatureServer::at(target, Box::new(Entered))
}

/// Memory for sorting a spine, where the server allows less: of a row only its own values are sorted.
const SORT_MEMORY: &str = "SET LOCAL jit = off; SELECT pg_catalog.set_config('work_mem', '64MB', true) WHERE pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem')) < pg_catalog.pg_size_bytes('64MB')";

const DOING: &str = "make the training set";

/// Makes a training set. After an error the session is of no more use.
///
/// # Errors
/// As [`training::training_set`]; `unknown_table` for a view without its table; `cast_failed` for a value of the spine that
/// its column does not hold; what the server says.
pub async fn training_set(session: &dyn Session, wanted: Wanted) -> Result<Made> {
    let made = make(session, wanted).await;
    match made {
        Err(error) if error.code == ErrorCode::PermissionDenied => Err(session.complete(error, "").await),
        made => made,
    }
}

async fn make(session: &dyn Session, wanted: Wanted) -> Result<Made> {
    let Wanted { spine, as_of, views, columns, known, into } = wanted;
    let writes = into.is_some() || matches!(spine, Spine::Rows(..));
    let access = if writes { Access::ReadWrite } else { Access::ReadOnly };
    session.begin(Blame::Target, access, None).await?;
    session.ask(Blame::Target, DOING, SORT_MEMORY).await?;
    if matches!(spine, Spine::Rows(..)) {
        // What a query means is the session's; a text among rows is read the same everywhere.
        session.ask(Blame::Target, DOING, IN_UTC).await?;
    }
    let views = read(session, views).await?;
    let live = described(session, &views).await?;
    let (spine, names) = taken_in(session, spine, &views, &live, &as_of).await?;
    let types = session.inspector().columns(&spine.to_text(&Postgres)).await.map_err(of_spine)?;
    let spine_columns: Vec<SpineColumn> = names
        .into_iter()
        .zip(types)
        .map(|(name, column)| SpineColumn { name, data_type: column.data_type })
        .collect();
    let joined = joined(session, views, live, &known).await?;
    let (sql, names) = training::training_set(&spine, &spine_columns, &as_of, &joined, columns.as_deref())?;
    let made = match into {
        Some(into) => Made::Table(written(session, &into, &sql).await?),
        None => rows(session, &sql, &names).await?,
    };
    session.tidy().await?;
    session.end(Blame::Target, DOING, End::Commit).await?;
    Ok(made)
}

/// The views, by the names that their loads have entered.
async fn read(
    session: &dyn Session,
    views: Vec<(DeclaredView, Option<Duration>)>,
) -> Result<Vec<(ReadView, Option<Duration>)>> {
    let mut read = Vec::new();
    for (view, max_age) in views {
        read.push((HistoryStore::on(session).read_view(view).await?, max_age));
    }
    Ok(read)
}

/// The tables of the views.
async fn described(session: &dyn Session, views: &[(ReadView, Option<Duration>)]) -> Result<Vec<LiveTable>> {
    let names = views.iter().map(|(view, _)| view.declared.table()).collect::<Result<Vec<_>>>()?;
    let found = session.inspector().described(&names).await?;
    let missing = |n: usize| views[n].0.declared.missing(&names[n]);
    found.into_iter().enumerate().map(|(n, live)| live.ok_or_else(|| missing(n))).collect()
}

/// The views with what was known of them.
async fn joined(
    session: &dyn Session,
    views: Vec<(ReadView, Option<Duration>)>,
    live: Vec<LiveTable>,
    known: &Known,
) -> Result<Vec<Joined>> {
    let mut joined = Vec::new();
    for ((view, max_age), live) in views.into_iter().zip(live) {
        let known_after = match known {
            Known::Now => None,
            Known::AfterRun(number) => Some(*number),
            Known::At(at) => {
                let table = view.declared.table()?.to_string();
                let run = HistoryStore::on(session).last_run_known(&table, at).await?;
                Some(run.ok_or_else(|| never_loaded(&table))?)
            }
        };
        joined.push(Joined { view, live, max_age, known_after });
    }
    Ok(joined)
}

fn never_loaded(table: &str) -> FlowError {
    FlowError::new(ErrorCode::UnknownTable, format!("no run that has filled {table} is remembered"))
        .hint("known_as_of goes by the runs of the pipeline that fills the view: load it by one, or leave known_as_of out")
}

/// The spine as a query of the names inside, and its own names.
async fn taken_in(
    session: &dyn Session,
    spine: Spine,
    views: &[(ReadView, Option<Duration>)],
    live: &[LiveTable],
    as_of: &str,
) -> Result<(Sql, Vec<String>)> {
    let (reader, types) = match spine {
        Spine::Query(query) => return of_query(session, &query).await,
        Spine::Rows(reader, types) => (reader, types),
    };
    let schema = reader.schema();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    if let Some((_, name)) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        return Err(FlowError::new(ErrorCode::DuplicateName, format!("the spine has two columns `{name}`"))
            .hint("rename one of them"));
    }
    let table = sent(session, reader, &schema).await?;
    // What came as text is read as what it is; a key as the key of a view.
    let values = names.iter().enumerate().map(|(place, name)| {
        let column = inner(place);
        let value = sql!("s.{column}", column);
        let key = || {
            let of = |(view, live): (&(ReadView, _), &LiveTable)| {
                let key = view.0.declared.keys.iter().find(|key| key.as_str() == name)?;
                Some(live.column(key.as_str())?.data_type.wire.name.clone())
            };
            views.iter().zip(live).find_map(of)
        };
        let data_type = types.get(name).map(|said| match name == as_of {
            true => "timestamp with time zone".to_owned(),
            false => key().unwrap_or_else(|| said.clone()),
        });
        match data_type {
            Some(data_type) => sql!(
                "CAST({value} AS {data_type}) AS {column}",
                value,
                data_type = Sql::from_dialect(data_type),
                column
            ),
            None => value,
        }
    });
    let row = Ident::fixed(ROW);
    let sql =
        sql!("SELECT {values}, s.{row}\n  FROM {table} AS s", values = Sql::join(values, ", "), row, table);
    Ok((sql, names))
}

async fn of_query(session: &dyn Session, query: &ReadQuery) -> Result<(Sql, Vec<String>)> {
    let columns = session.inspector().columns(query.text()).await.map_err(of_spine)?;
    let values = columns
        .iter()
        .enumerate()
        .map(|(place, column)| {
            Ok(sql!("q.{name} AS {own}", name = Ident::new(column.name.clone())?, own = inner(place)))
        })
        .collect::<Result<Vec<_>>>()?;
    // A window without an order numbers rows as they come, and so in the order of the query.
    let sql = sql!(
        "SELECT {values}, pg_catalog.row_number() OVER () AS {row}\n  FROM {query} AS q",
        values = Sql::join(values, ", "),
        row = Ident::fixed(ROW),
        query = Sql::user(query.text())
    );
    Ok((sql, columns.into_iter().map(|column| column.name).collect()))
}

/// Sends the caller's rows, each with its place, into a table that is gone with the transaction.
async fn sent(
    session: &dyn Session,
    reader: Box<dyn RecordBatchReader + Send>,
    schema: &Schema,
) -> Result<QualifiedName> {
    let table = QualifiedName { schema: Ident::fixed("pg_temp"), name: Ident::fixed("_ematix_spine") };
    let mut columns = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = CopyType::for_field(field).ok_or_else(|| {
                FlowError::new(
                    ErrorCode::InvalidValue,
                    format!(
                        "the spine's column `{}` is {}, for which Postgres has no type",
                        field.name(),
                        field.data_type()
                    ),
                )
                .hint("cast it, or leave it out of the spine")
            })?;
            Ok(Column::new(field.name(), data_type))
        })
        .collect::<Result<Vec<_>>>()?;
    columns.push(Column::new("the row's place", CopyType::Int8));
    let names: Vec<Ident> = (0..schema.fields().len()).map(inner).chain([Ident::fixed(ROW)]).collect();
    let declared = names.iter().zip(&columns).map(|(name, column)| {
        sql!("{name} {data_type}", name, data_type = Sql::from_dialect(column.data_type.name()))
    });
    let create = sql!(
        "CREATE TEMPORARY TABLE {table} ({declared}) ON COMMIT DROP",
        table,
        declared = Sql::join(declared, ", ")
    );
    session.ask(Blame::Target, "make room for the spine", &create.to_text(&Postgres)).await?;
    let copy = sql!("COPY {table} ({names}) FROM STDIN (FORMAT binary)", table, names);
    let sink = session.accept("take the spine in", &table, &copy.to_text(&Postgres)).await?;
    let mut sink = sink.into_copy()?;
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .chain([Field::new(ROW, DataType::Int64, false)])
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let mut encoder = Encoder::new(columns, &schema)?;
    let mut row = 0;
    let mut bytes = Vec::new();
    for batch in reader {
        let batch = batch.map_err(unreadable)?;
        let places: ArrayRef = Arc::new(Int64Array::from_iter_values(row..row + batch.num_rows() as i64));
        row += batch.num_rows() as i64;
        let values = batch.columns().iter().cloned().chain([places]).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), values).map_err(unreadable)?;
        encoder.encode(&batch, &mut bytes)?;
        sink.send(Bytes::from(std::mem::take(&mut bytes))).await?;
    }
    encoder.finish(&mut bytes);
    sink.send(Bytes::from(bytes)).await?;
    sink.close().await?;
    Ok(table)
}

/// The rows of a query as Arrow.
async fn rows(session: &dyn Session, sql: &Sql, names: &[String]) -> Result<Made> {
    let text = sql.to_text(&Postgres);
    let types = session.inspector().columns(&text).await;
    let types = types.map_err(|error| said_of("the training set", error))?;
    let columns = names
        .iter()
        .zip(types)
        .map(|(name, column)| {
            Ok(Column::new(name.clone(), CopyType::of(name, &column.data_type, UnscaledNumeric::Text)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let decoder = Decoder::new(columns, BatchSize::default());
    let mut rows = frames::rows(session, Blame::Target, DOING, &text, decoder, of_values).await?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await? {
        batches.push(batch);
    }
    Ok(Made::Rows(rows.schema(), batches))
}

/// Makes a table of a query; how many rows it has.
async fn written(session: &dyn Session, into: &QualifiedName, sql: &Sql) -> Result<i64> {
    let create = sql!("CREATE TABLE {into} AS\n{sql}", into, sql);
    match session.ask(Blame::Target, DOING, &create.to_text(&Postgres)).await {
        Ok(answers) => Ok(answers.last().map_or(0, |set: &ResultSet| set.affected)),
        Err(error) if error.sqlstate.as_deref() == Some("42P07") => {
            Err(FlowError::new(ErrorCode::DuplicateName, format!("there is a table {into} already"))
                .hint("a training set is a table of its own: name another one, or drop this one before"))
        }
        Err(error) if error.sqlstate.as_deref() == Some("3F000") => {
            Err(FlowError::new(ErrorCode::UnknownTable, format!("there is no schema `{}`", into.schema))
                .hint(format!("CREATE SCHEMA {};", into.schema)))
        }
        Err(error) => Err(of_values(error)),
    }
}

/// An error of the spine's own query.
fn of_spine(error: FlowError) -> FlowError {
    said_of("the spine", error)
}

/// An error of a query of which the session knows no more than that it reads.
fn said_of(what: &str, error: FlowError) -> FlowError {
    match error.code {
        ErrorCode::SourceFailed => {
            FlowError { message: error.message.replace("the source's query", what), ..error }
        }
        _ => error,
    }
}

/// A value that could not be read as what it stands for.
fn of_values(error: FlowError) -> FlowError {
    match error.code {
        ErrorCode::CastFailed => {
            FlowError { message: "a value of the spine is none of its column's type".to_owned(), ..error }
                .hint("give keys of the views' own types, and times")
        }
        _ => error,
    }
}

fn unreadable(error: ArrowError) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("the spine cannot be read: {error}"))
}

/// The table or the query that a text names.
///
/// # Errors
/// As [`frames::query_or_table`].
pub fn spine_query(text: &str) -> Result<ReadQuery> {
    frames::query_or_table(text)
        .map_err(|error| FlowError { message: format!("the spine: {}", error.message), ..error })
}
