//! Rows that come as objects of JSON, a page at a time: answers of an API, or what a program makes.

use crate::json::{self, JsonFile};
use crate::telling::of_kinds;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use ematix_flow_arrow::{BatchSource, Batches, Column, CopyType};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::VecDeque;
use std::fmt;
use std::io::Cursor;
use std::sync::{Arc, PoisonError};
use tokio::sync::Mutex;

/// Objects of JSON: in one array, or one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What it is, in messages: `page 3 of https://api.example.org/issues`.
    pub name: String,
    /// The objects.
    pub text: Bytes,
}

/// Where pages come from.
#[async_trait]
pub trait Pages: fmt::Debug + Send {
    /// What it is, in plans and messages: `the answers of https://api.example.org/issues`.
    fn describe(&self) -> String;

    /// The columns that are of a type which their texts do not tell, as far as it is known before the first page.
    fn typed(&self) -> Vec<Column> {
        Vec::new()
    }

    /// The next page; `None` behind the last.
    ///
    /// # Errors
    /// What cannot be had.
    async fn next(&mut self) -> Result<Option<Page>>;
}

/// Makes pages from their beginning.
pub type Begin = Box<dyn Fn() -> Result<Box<dyn Pages>> + Send + Sync>;

/// The rows of pages. Their columns are those that are wanted, and the keys of the first page that has rows.
pub struct RecordsSource {
    words: String,
    begin: Begin,
    opened: Mutex<Option<Opened>>,
    notes: std::sync::Mutex<Vec<String>>,
}

struct Opened {
    pages: Box<dyn Pages>,
    /// Pages that were read for their keys.
    first: VecDeque<Page>,
    columns: Arc<Vec<Column>>,
    schema: SchemaRef,
}

impl RecordsSource {
    /// Rows of pages that `begin` makes, each time they are read; `words` say what they are.
    pub fn new(words: String, begin: Begin) -> RecordsSource {
        RecordsSource { words, begin, opened: Mutex::default(), notes: std::sync::Mutex::default() }
    }
}

impl fmt::Debug for RecordsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordsSource({})", self.words)
    }
}

#[async_trait]
impl BatchSource for RecordsSource {
    fn describe(&self) -> String {
        self.words.clone()
    }

    async fn schema(&self, wanted: &[Column]) -> Result<SchemaRef> {
        let mut pages = (self.begin)()?;
        let mut first = VecDeque::new();
        let mut found = Vec::new();
        while found.is_empty() {
            let Some(page) = pages.next().await? else { break };
            found = json::keys(text_of(&page), &page.name, u64::MAX)?;
            first.push_back(page);
        }
        let mut known: Vec<Column> = wanted.to_vec();
        known.extend(
            pages.typed().into_iter().filter(|typed| !wanted.iter().any(|own| own.name == typed.name)),
        );
        let (columns, notes) = match found.is_empty() {
            true => (known, Vec::new()),
            false => {
                let told = of_kinds(&vec![(self.words.clone(), found)], &known);
                (told.columns, told.notes)
            }
        };
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = notes;
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let opened = Opened { pages, first, columns: Arc::new(columns), schema: Arc::clone(&schema) };
        *self.opened.lock().await = Some(opened);
        Ok(schema)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn batches(&self) -> Result<Batches> {
        let opened = self.opened.lock().await.take().ok_or_else(|| {
            FlowError::new(ErrorCode::SourceFailed, format!("{} was read already", self.words))
        })?;
        let state = (opened, VecDeque::<RecordBatch>::new());
        Ok(stream::try_unfold(state, |(mut opened, mut ready)| async move {
            loop {
                if let Some(batch) = ready.pop_front() {
                    return Ok(Some((batch, (opened, ready))));
                }
                let page = match opened.first.pop_front() {
                    Some(page) => Some(page),
                    None => opened.pages.next().await?,
                };
                let Some(page) = page else { return Ok(None) };
                let (columns, schema) = (Arc::clone(&opened.columns), Arc::clone(&opened.schema));
                let name = page.name.clone();
                let reading = tokio::task::spawn_blocking(move || batches_of(&page, &columns, &schema));
                ready = reading.await.map_err(|_| {
                    FlowError::new(ErrorCode::SourceFailed, format!("{name}: reading it stopped"))
                })??;
            }
        })
        .boxed())
    }
}

/// The types that rows of a program have beside those of JSON, by name.
pub fn type_told(kind: &str) -> Option<CopyType> {
    Some(match kind {
        "double precision" => CopyType::Float8,
        "numeric" => CopyType::NumericText,
        "timestamptz" => CopyType::TimestampTz,
        "timestamp" => CopyType::Timestamp,
        "date" => CopyType::Date,
        "time" => CopyType::Time,
        "interval" => CopyType::Interval,
        "uuid" => CopyType::Uuid,
        "bytea" => CopyType::Bytea,
        _ => return None,
    })
}

/// As what a column arrives; whoever takes its texts learns that they are numbers.
fn field(column: &Column) -> Field {
    match column.data_type {
        CopyType::NumericText => column.field().with_metadata(CopyType::numeric_text()),
        _ => column.field(),
    }
}

fn text_of(page: &Page) -> Box<dyn std::io::BufRead + Send> {
    Box::new(Cursor::new(page.text.clone()))
}

fn batches_of(page: &Page, columns: &[Column], schema: &SchemaRef) -> Result<VecDeque<RecordBatch>> {
    let remedy = "the columns are those that the target declares, and the keys of the first page: declare it";
    let mut file = JsonFile::open(text_of(page), &page.name, columns, remedy.to_owned())?;
    let mut batches = VecDeque::new();
    while let Some((rows, arrays)) = file.advance()? {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
            .expect("the arrays are those of the columns");
        batches.push_back(batch);
    }
    Ok(batches)
}
