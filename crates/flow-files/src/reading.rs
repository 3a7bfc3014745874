//! The thread that reads files one after the other and sends their rows.

use crate::batch::Rows;
use crate::cells::Cells;
use crate::csv::CsvFile;
use crate::fault::{bad_value, unreadable};
use crate::hive::partitions;
use crate::json::JsonFile;
use crate::opened::Opener;
use crate::options::FileVersion;
use crate::parquet::ParquetFile;
use crate::planned::{Own, Planned};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use ematix_flow_arrow::Column;
use ematix_flow_core::error::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::Sender;

/// How many rows were sent until the end of each file that was begun.
#[derive(Clone, Debug, Default)]
pub struct Ends(Arc<Mutex<Vec<u64>>>);

impl Ends {
    fn locked(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None, before the first file.
    pub fn clear(&self) {
        self.locked().clear();
    }

    fn begin(&self) {
        let mut ends = self.locked();
        let before = ends.last().copied().unwrap_or(0);
        ends.push(before);
    }

    fn add(&self, rows: usize) {
        if let Some(end) = self.locked().last_mut() {
            *end += rows as u64;
        }
    }

    /// The file of a row, both counted from their first, and its row there.
    pub fn place_of(&self, row: u64) -> Option<(usize, u64)> {
        let ends = self.locked();
        let at = ends.partition_point(|end| *end < row);
        let before = at.checked_sub(1).map_or(0, |before| ends[before]);
        (row > 0 && at < ends.len()).then(|| (at, row - before))
    }
}

/// What the thread has.
pub struct Reading {
    /// How files are opened.
    pub opener: Opener,
    /// How they are read.
    pub planned: Arc<Planned>,
    /// To whom batches go.
    pub sender: Sender<Result<RecordBatch>>,
    /// How far it is.
    pub ends: Ends,
}

impl Reading {
    /// Sends every row, and the first error as the last.
    pub fn all(self, versions: &[FileVersion]) {
        for listed in versions {
            self.ends.begin();
            match self.file(listed) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // Where nobody hears it, nobody waits for it.
                    let _ = self.sender.blocking_send(Err(error));
                    return;
                }
            }
        }
    }

    /// Sends the rows of a file; false where nobody takes them.
    fn file(&self, listed: &FileVersion) -> Result<bool> {
        let mut advance = self.opened(listed)?;
        let mut in_path = InPath::of(&listed.path, &self.planned.hive)?;
        while let Some((rows, mut columns)) = advance()? {
            columns.extend(in_path.repeated(rows));
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let schema = Arc::clone(&self.planned.schema);
            let batch = RecordBatch::try_new_with_options(schema, columns, &options)
                .map_err(|error| unreadable(&listed.path, error.to_string()))?;
            self.ends.add(rows);
            if self.sender.blocking_send(Ok(batch)).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What gives the next rows of a file.
    fn opened(&self, listed: &FileVersion) -> Result<Box<dyn FnMut() -> Result<Option<Rows>>>> {
        let (opener, path) = (&self.opener, &listed.path);
        Ok(match &self.planned.own {
            Own::Parquet(fields) => {
                let mut file = ParquetFile::open(opener, listed, fields)?;
                Box::new(move || file.advance())
            }
            Own::Csv(columns) => {
                let mut file = CsvFile::open(opener.text(listed)?, path, &opener.files, columns)?;
                Box::new(move || file.advance())
            }
            Own::Json(columns) => {
                let sampled = opener.files.json.sample_rows;
                let remedy = format!(
                    "the columns are the keys of the first {sampled} rows of each file: raise json = {{ sample_rows = {} }}",
                    sampled * 10
                );
                let mut file = JsonFile::open(opener.text(listed)?, path, columns, remedy)?;
                Box::new(move || file.advance())
            }
            Own::Nothing => Box::new(|| Ok(None)),
        })
    }
}

/// The values of a path, each for all rows of its file.
struct InPath<'a>(Vec<(&'a Column, Cells, Option<String>)>);

impl InPath<'_> {
    fn of<'a>(path: &str, columns: &'a [Column]) -> Result<InPath<'a>> {
        let found = partitions(path);
        let values = columns.iter().map(|column| {
            let value = found.iter().find(|(name, _)| *name == column.name);
            let value = value.and_then(|(_, value)| value.clone());
            let mut cells = Cells::new(&column.data_type);
            if let Some(text) = &value {
                cells.push(text).map_err(|why| bad_value(path, None, &column.name, &why))?;
                cells.finish();
            }
            Ok((column, cells, value))
        });
        Ok(InPath(values.collect::<Result<_>>()?))
    }

    fn repeated(&mut self, rows: usize) -> impl Iterator<Item = ArrayRef> {
        self.0.iter_mut().map(move |(column, cells, value)| match value {
            None => new_null_array(&column.data_type.arrow(), rows),
            Some(text) => {
                (0..rows).for_each(|_| cells.push(text).expect("it was read before"));
                cells.finish()
            }
        })
    }
}
