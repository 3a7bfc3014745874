//! Parquet as columns: its own types, row group by row group.
//!
//! What Postgres has no columns for (objects, lists of objects or of lists, maps) is kept as JSON. INT96 is read as
//! microseconds: nanoseconds would not reach the year 9999.

use crate::batch::{BYTES, ROWS, Rows};
use crate::fault::{bad_row, bad_value, failed, unreadable};
use crate::json_text;
use crate::opened::Opener;
use crate::options::FileVersion;
use crate::ranges::Parts;
use crate::widening::{told, widened};
use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema, TimeUnit};
use ematix_flow_arrow::CopyType;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{LogicalType, Type as Physical};
use parquet::errors::ParquetError;
use std::sync::Arc;

/// A file that is being read.
pub struct ParquetFile {
    path: String,
    parts: Parts,
    metadata: ArrowReaderMetadata,
    /// Of each column that is told its place in the file.
    places: Vec<Option<usize>>,
    fields: Vec<FieldRef>,
    next_group: usize,
    group: Option<ParquetRecordBatchReader>,
    row: u64,
}

/// The columns of a file as they are told.
pub fn fields(opener: &Opener, listed: &FileVersion) -> Result<Vec<Field>> {
    let parts = Parts::open(opener, listed)?;
    let metadata = understood(&parts, &listed.path)?;
    let columns = metadata.metadata().file_metadata().schema_descr().root_schema().get_fields();
    let schema = metadata.schema();
    let mut found: Vec<Field> = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        if found.iter().any(|other| other.name() == field.name()) {
            let message = format!("{}: two columns have the name `{}`", listed.path, field.name());
            return Err(
                FlowError::new(ErrorCode::DuplicateName, message).context("file", listed.path.as_str())
            );
        }
        let logical = columns.get(at).and_then(|column| column.get_basic_info().logical_type_ref().cloned());
        found.push(as_told(&listed.path, field, logical.as_ref())?);
    }
    Ok(found)
}

fn as_told(path: &str, field: &Field, logical: Option<&LogicalType>) -> Result<Field> {
    let name = field.name();
    let data_type = told(field.data_type());
    match (&data_type, logical) {
        (DataType::FixedSizeBinary(16), Some(LogicalType::Uuid)) => return Ok(CopyType::Uuid.field(name)),
        (DataType::Utf8, Some(LogicalType::Json)) => return Ok(CopyType::Json.field(name)),
        _ => {}
    }
    let extension = field.metadata().iter().filter(|(key, _)| key.starts_with("ARROW:extension:"));
    let extension = extension.map(|(key, value)| (key.clone(), value.clone())).collect();
    let plain = Field::new(name, data_type, true).with_metadata(extension);
    if CopyType::for_field(&plain).is_some() {
        return Ok(plain);
    }
    if field.data_type().is_nested() && json_text::has_form(field.data_type()) {
        return Ok(CopyType::Json.field(name));
    }
    Err(FlowError::new(
        ErrorCode::InvalidValue,
        format!("{path}, column `{name}`: Postgres has no type for {}", field.data_type()),
    )
    .context("file", path)
    .context("column", name.as_str())
    .hint("write the column as another type, or leave it out of the file"))
}

/// What a file says of itself.
fn understood(parts: &Parts, path: &str) -> Result<ArrowReaderMetadata> {
    let wrong = |error| explained(path, parts, error);
    let own = ArrowReaderMetadata::load(parts, ArrowReaderOptions::new()).map_err(wrong)?;
    let columns = own.metadata().file_metadata().schema_descr().root_schema().get_fields();
    let is_int96 = |at: usize| {
        columns
            .get(at)
            .is_some_and(|column| column.is_primitive() && column.get_physical_type() == Physical::INT96)
    };
    if !(0..columns.len()).any(is_int96) {
        return Ok(own);
    }
    let fields: Vec<Field> = own
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| match field.data_type() {
            DataType::Timestamp(_, zone) if is_int96(at) => {
                let microseconds = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                field.as_ref().clone().with_data_type(microseconds)
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, own.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(own.metadata()), options).map_err(wrong)
}

impl ParquetFile {
    /// Begins at the first row group.
    pub fn open(opener: &Opener, listed: &FileVersion, fields: &[FieldRef]) -> Result<ParquetFile> {
        let parts = Parts::open(opener, listed)?;
        let metadata = understood(&parts, &listed.path)?;
        let own = metadata.schema().fields();
        let places =
            fields.iter().map(|field| own.iter().position(|own| own.name() == field.name())).collect();
        Ok(ParquetFile {
            path: listed.path.clone(),
            parts,
            places,
            fields: fields.to_vec(),
            metadata,
            next_group: 0,
            group: None,
            row: 0,
        })
    }

    /// The next rows.
    pub fn advance(&mut self) -> Result<Option<Rows>> {
        loop {
            if let Some(group) = &mut self.group {
                if let Some(batch) = group.next() {
                    let batch = batch
                        .map_err(|error| explained(&self.path, &self.parts, ParquetError::from(error)))?;
                    let rows = self.columns(&batch)?;
                    self.row += batch.num_rows() as u64;
                    return Ok(Some((batch.num_rows(), rows)));
                }
                self.group = None;
            }
            self.parts.check().map_err(|error| failed(&self.path, error))?;
            if self.next_group == self.metadata.metadata().num_row_groups() {
                return Ok(None);
            }
            self.begin_group()?;
        }
    }

    fn begin_group(&mut self) -> Result<()> {
        let at = self.next_group;
        self.next_group += 1;
        let group = self.metadata.metadata().row_group(at);
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        if rows == 0 {
            return Ok(());
        }
        // What is written once for many rows, by a dictionary, is as long as its values where it was counted.
        let counted =
            group.columns().iter().filter_map(|column| column.unencoded_byte_array_data_bytes()).sum();
        let each = usize::try_from(group.total_byte_size().max(counted)).unwrap_or(0).div_ceil(rows).max(1);
        let chunks: Vec<(u64, u64)> = group.columns().iter().map(|column| column.byte_range()).collect();
        let start = chunks.iter().map(|(start, _)| *start).min().unwrap_or(0);
        let end = chunks.iter().map(|(start, length)| start.saturating_add(*length)).max().unwrap_or(0);
        self.parts.hold(start..end)?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.parts.clone(), self.metadata.clone());
        let reader = builder.with_row_groups(vec![at]).with_batch_size((BYTES / each).clamp(1, ROWS)).build();
        self.group = Some(reader.map_err(|error| explained(&self.path, &self.parts, error))?);
        Ok(())
    }

    fn columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let columns = self.fields.iter().zip(&self.places).map(|(field, place)| match place {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(place) => self.column(field, batch.column(*place)),
        });
        columns.collect()
    }

    fn column(&self, field: &Field, array: &ArrayRef) -> Result<ArrayRef> {
        if *field.data_type() == DataType::Utf8 && array.data_type().is_nested() {
            let texts = json_text::texts(array.as_ref()).map_err(|(row, why)| {
                bad_value(&self.path, Some(self.row + row as u64 + 1), field.name(), &why)
            })?;
            return Ok(Arc::new(texts));
        }
        widened(array, field.data_type()).ok_or_else(|| {
            let why = format!("a value of the type {} does not fit {}", array.data_type(), field.data_type());
            bad_row(&self.path, self.row + 1, format!("or one of the next, column `{}`: {why}", field.name()))
                .context("column", field.name().as_str())
        })
    }
}

#[cold]
fn explained(path: &str, parts: &Parts, error: ParquetError) -> FlowError {
    if let Some(refused) = parts.refused() {
        return refused;
    }
    let told = error.to_string();
    let hint = match told.as_str() {
        told if told.contains("Disabled feature") || told.contains("codec") => {
            "it is read with the codecs snappy, gzip, zstd, lz4 or none"
        }
        told if told.contains("encrypt") => "files that are encrypted are not read",
        _ => "is it Parquet, and was it written to its end?",
    };
    unreadable(path, told).hint(hint)
}
