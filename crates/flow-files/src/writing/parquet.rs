//! Batches into Parquet, compressed by Zstandard.

use super::Written;
use super::place::Unfinished;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::BufWriter;

/// A group of rows is held until it is written: it ends when it holds as much as this.
const HELD: usize = 48 << 20;

/// A file of Parquet.
pub struct ParquetOut {
    place: Unfinished,
    writer: ArrowWriter<BufWriter<File>>,
    rows: u64,
}

impl ParquetOut {
    /// Begins it.
    pub fn begin(place: Unfinished, schema: SchemaRef) -> Result<ParquetOut> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("ematix-flow ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let file = BufWriter::new(place.file()?);
        let writer = ArrowWriter::try_new(file, schema, Some(properties));
        let writer = writer.map_err(|error| failed(&place, error))?;
        Ok(ParquetOut { place, writer, rows: 0 })
    }

    /// Writes rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let written = self.writer.write(batch).and_then(|()| match self.writer.memory_size() > HELD {
            true => self.writer.flush(),
            false => Ok(()),
        });
        written.map_err(|error| failed(&self.place, error))
    }

    /// It is whole.
    pub fn finish(self) -> Result<Written> {
        self.writer
            .into_inner()
            .and_then(|file| file.into_inner().map_err(|error| ParquetError::from(error.into_error())))
            .map_err(|error| failed(&self.place, error))?;
        Ok(Written { rows: self.rows, bytes: self.place.name()? })
    }
}

#[cold]
fn failed(place: &Unfinished, error: ParquetError) -> FlowError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => place.failed(&error),
            Err(other) => FlowError::new(ErrorCode::TargetFailed, other.to_string()),
        },
        ParquetError::NYI(why) => FlowError::new(ErrorCode::InvalidValue, why)
            .hint("write a query that casts the column to text, or another format"),
        other => FlowError::new(ErrorCode::TargetFailed, other.to_string()),
    }
}
