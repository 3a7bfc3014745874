//! Rows that pass from one process to another: parts that say what they are and how long, up to one that says that all
//! have come. What ends before it was broken off, and is never taken for the whole.

use crate::batch::{BYTES, ROWS};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType};
use ematix_flow_core::declare::registry::ToldError;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The next bytes of an Arrow IPC stream.
    Batches,
    /// The types of columns that JSON does not tell: pairs of a name and a type.
    Types,
    /// Objects of JSON, one a line.
    Page,
    /// Why there are no more, as Python tells an error.
    Failed,
    /// All have come.
    End,
}

const KINDS: [(u8, Kind); 5] =
    [(b'B', Kind::Batches), (b'T', Kind::Types), (b'P', Kind::Page), (b'F', Kind::Failed), (b'E', Kind::End)];

/// A part begins with its kind and its length.
const HEADER: usize = 9;

/// A part as it is written.
fn part(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let (byte, _) = KINDS.iter().find(|(_, known)| *known == kind).expect("every kind has a byte");
    let mut whole = Vec::with_capacity(HEADER + payload.len());
    whole.push(*byte);
    whole.extend((payload.len() as u64).to_be_bytes());
    whole.extend(payload);
    whole
}

/// The part that says that all have come.
pub fn end_part() -> Vec<u8> {
    part(Kind::End, b"")
}

/// The part that says why there are no more: `{"code", "message", …}`.
pub fn failed_part(told: &str) -> Vec<u8> {
    part(Kind::Failed, told.as_bytes())
}

/// A page of rows, objects of JSON, and the types of their columns that JSON does not tell.
pub fn page_parts(text: &[u8], types: &[(String, String)]) -> Vec<u8> {
    let types = serde_json::to_vec(types).expect("names and types are texts");
    let mut parts = part(Kind::Types, &types);
    parts.extend(part(Kind::Page, text));
    parts
}

/// The parts of a stream of batches, each made when it is asked for, and none larger than a batch is anywhere here.
pub struct BatchParts {
    batches: Box<dyn RecordBatchReader + Send>,
    /// `None` behind the end.
    writer: Option<StreamWriter<Vec<u8>>>,
    /// What is left of a batch.
    rest: Option<RecordBatch>,
}

impl fmt::Debug for BatchParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchParts")
    }
}

impl BatchParts {
    /// Of these batches.
    ///
    /// # Errors
    /// A type that no stream of Arrow has.
    pub fn new(batches: Box<dyn RecordBatchReader + Send>) -> std::result::Result<BatchParts, ArrowError> {
        let writer = StreamWriter::try_new(Vec::new(), &batches.schema())?;
        Ok(BatchParts { batches, writer: Some(writer), rest: None })
    }

    /// The next rows; `None` where there are none.
    fn rows(&mut self) -> std::result::Result<Option<RecordBatch>, ArrowError> {
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match self.batches.next() {
                Some(batch) => batch?,
                None => return Ok(None),
            },
        };
        let rows = rows_at_once(&batch);
        if rows < batch.num_rows() {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        let columns = batch.slice(0, rows).columns().iter().map(own).collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(batch.schema(), columns, &options).map(Some)
    }

    fn advance(&mut self) -> std::result::Result<Option<Vec<u8>>, ArrowError> {
        if self.writer.is_none() {
            return Ok(None);
        }
        let rows = self.rows()?;
        let Some(writer) = &mut self.writer else { return Ok(None) };
        let bytes = match rows {
            Some(rows) => {
                writer.write(&rows)?;
                std::mem::take(writer.get_mut())
            }
            None => {
                writer.finish()?;
                let bytes = std::mem::take(writer.get_mut());
                self.writer = None;
                bytes
            }
        };
        Ok(Some(part(Kind::Batches, &bytes)))
    }
}

impl Iterator for BatchParts {
    type Item = std::result::Result<Vec<u8>, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// How many rows of a batch are sent at once.
fn rows_at_once(batch: &RecordBatch) -> usize {
    let rows = batch.num_rows();
    // What views lead to cannot be divided within lists.
    if batch.schema().fields().iter().any(|field| has_views_within(field.data_type())) {
        return rows;
    }
    let bytes: usize = batch.columns().iter().map(size).sum();
    let fair = rows.saturating_mul(BYTES) / bytes.max(1);
    rows.min(ROWS).min(fair.max(1))
}

fn size(column: &ArrayRef) -> usize {
    let views = match column.data_type() {
        DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
        _ => 0,
    };
    let data = column.to_data();
    views + data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size())
}

fn has_views_within(data_type: &DataType) -> bool {
    let is_view = |data_type: &DataType| matches!(data_type, DataType::Utf8View | DataType::BinaryView);
    let within = |data_type: &DataType| is_view(data_type) || has_views_within(data_type);
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => within(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| within(field.data_type())),
        DataType::Dictionary(_, values) => within(values),
        _ => false,
    }
}

/// The column without what other rows' views lead to.
fn own(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}

/// Who gives rows by a pipe.
pub trait Giver: fmt::Debug + Send + Sync {
    /// Wishes them from their beginning.
    ///
    /// # Errors
    /// Where nobody hears it.
    fn begin(&self) -> Result<()>;

    /// Why it has ended before the rows did; waits for it.
    fn ended(&self) -> FlowError;
}

/// What comes by a pipe.
pub struct Incoming {
    from: Box<dyn Read + Send>,
    giver: Arc<dyn Giver>,
    /// The kind of the part that has begun, and how much of it is left.
    current: Option<(Kind, u64)>,
    /// Whether rows are on their way.
    midway: bool,
    /// How often they began.
    begun: usize,
    /// Why reading has failed, for whoever was told by an error of another type.
    failed: Option<FlowError>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({:?})", self.giver)
    }
}

impl Incoming {
    /// From a pipe.
    pub fn new(from: Box<dyn Read + Send>, giver: Arc<dyn Giver>) -> Incoming {
        Incoming { from, giver, current: None, midway: false, begun: 0, failed: None }
    }

    /// Begins, or begins again; true where batches of Arrow come, false for pages.
    pub fn begin(&mut self) -> Result<bool> {
        while self.midway {
            self.skip()?;
        }
        self.failed = None;
        self.giver.begin()?;
        self.midway = true;
        self.begun += 1;
        Ok(self.head()?.0 == Kind::Batches)
    }

    /// How often rows began to come.
    pub fn begun(&self) -> usize {
        self.begun
    }

    /// Why reading has failed.
    pub fn failure(&mut self) -> Option<FlowError> {
        self.failed.take()
    }

    /// The next page, with the types that are known by then; `None` behind the last.
    pub fn page(&mut self, types: &mut Vec<(String, String)>) -> Result<Option<Vec<u8>>> {
        while self.midway {
            match self.head()?.0 {
                Kind::End => self.skip()?,
                Kind::Page => return self.payload().map(Some),
                Kind::Types => {
                    let told = self.payload()?;
                    *types = serde_json::from_slice(&told).map_err(|_| self.senseless())?;
                }
                Kind::Batches | Kind::Failed => return Err(self.senseless()),
            }
        }
        Ok(None)
    }

    /// The part that has begun; what has failed is its error.
    fn head(&mut self) -> Result<(Kind, u64)> {
        if let Some(current) = self.current {
            return Ok(current);
        }
        let mut header = [0; HEADER];
        self.read_whole(&mut header)?;
        let [byte, length @ ..] = header;
        let kind = KINDS.iter().find(|(known, _)| *known == byte).map(|(_, kind)| *kind);
        let head = (kind.ok_or_else(|| self.senseless())?, u64::from_be_bytes(length));
        self.current = Some(head);
        if head.0 != Kind::Failed {
            return Ok(head);
        }
        let told = self.payload()?;
        self.midway = false;
        Err(serde_json::from_slice::<ToldError>(&told).map_or_else(|_| self.senseless(), FlowError::from))
    }

    /// What is left of the part.
    fn payload(&mut self) -> Result<Vec<u8>> {
        let (_, left) = self.head_begun();
        let mut payload = Vec::new();
        let taken = self.from.by_ref().take(left).read_to_end(&mut payload);
        if taken.ok() != usize::try_from(left).ok() {
            return Err(self.broken());
        }
        self.current = None;
        Ok(payload)
    }

    fn head_begun(&self) -> (Kind, u64) {
        self.current.expect("the part's head was read")
    }

    /// Reads over the part.
    fn skip(&mut self) -> Result<()> {
        let (kind, left) = match self.head() {
            Ok(head) => head,
            // It said why there are no more: so there is nothing to skip.
            Err(_) if !self.midway => return Ok(()),
            Err(error) => return Err(error),
        };
        let skipped = io::copy(&mut self.from.by_ref().take(left), &mut io::sink());
        if skipped.ok() != Some(left) {
            return Err(self.broken());
        }
        self.current = None;
        self.midway = kind != Kind::End;
        Ok(())
    }

    /// The next bytes of the stream of Arrow; none behind the end.
    fn bytes(&mut self, into: &mut [u8]) -> Result<usize> {
        while self.midway {
            match self.head()? {
                (Kind::Batches, 0) | (Kind::End, _) => self.skip()?,
                (Kind::Batches, left) => {
                    let most = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let taken = self.from.read(&mut into[..most]);
                    let taken = taken.ok().filter(|taken| *taken > 0).ok_or_else(|| self.broken())?;
                    self.current = Some((Kind::Batches, left - taken as u64));
                    return Ok(taken);
                }
                _ => return Err(self.senseless()),
            }
        }
        Ok(0)
    }

    fn read_whole(&mut self, into: &mut [u8]) -> Result<()> {
        self.from.read_exact(into).map_err(|_| self.broken())
    }

    fn broken(&mut self) -> FlowError {
        self.midway = false;
        self.giver.ended()
    }

    fn senseless(&mut self) -> FlowError {
        self.midway = false;
        FlowError::new(ErrorCode::SourceFailed, "what came by the pipe is not what is sent by it")
            .hint("does something else write into it? if not, please report this")
    }
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        self.bytes(into).map_err(|error| {
            self.failed = Some(error);
            io::Error::other("the rows were broken off")
        })
    }
}
