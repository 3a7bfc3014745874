//! A folder of files, and what is read of it as text.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod server;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use ematix_flow_arrow::Column;
use ematix_flow_arrow::source::BatchSource;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_files::{Files, FilesSource};
use futures_util::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that goes when it is dropped.
pub struct Folder(pub PathBuf);

impl Default for Folder {
    fn default() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("flow-files-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    /// Writes a file, with the folders that it is in.
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Folder {
        let whole = self.0.join(path);
        std::fs::create_dir_all(whole.parent().unwrap()).unwrap();
        std::fs::write(whole, bytes).unwrap();
        self
    }

    /// Files of a pattern in it.
    pub fn files(&self, pattern: &str) -> Files {
        Files { pattern: pattern.to_owned(), base: self.0.clone(), ..Files::default() }
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// Batches as a file of Parquet.
pub fn parquet(batches: &[RecordBatch], properties: WriterProperties) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// What was read: the columns with their types, the rows, and what was said of them.
#[derive(Debug, PartialEq)]
pub struct Content {
    pub columns: Vec<String>,
    pub rows: Vec<String>,
    pub notes: Vec<String>,
}

/// Lists and reads.
pub async fn read(files: &Files, wanted: &[Column]) -> Result<Content> {
    let versions = files.list().await?;
    let source = FilesSource::new(files.clone(), versions);
    let schema = source.schema(wanted).await?;
    let batches: Vec<RecordBatch> = source.batches().await?.try_collect().await?;
    assert!(batches.iter().all(|batch| batch.schema() == schema));
    let columns = schema.fields().iter().map(|field| {
        let extension = field.extension_type_name().map_or(String::new(), |name| format!(" {name}"));
        format!("{} {}{extension}", field.name(), field.data_type())
    });
    Ok(Content {
        columns: columns.collect(),
        rows: batches.iter().flat_map(rows).collect(),
        notes: source.notes(),
    })
}

/// What is wrong, in one text.
pub fn told(error: &FlowError) -> String {
    let details = error.details.iter().map(|line| format!("; {line}")).collect::<String>();
    format!("{}: {}{details}", error.code.name(), error.message)
}

/// The error of reading.
pub async fn refused(files: &Files, wanted: &[Column]) -> String {
    told(&read(files, wanted).await.expect_err("it is refused"))
}

/// The code and the context of an error of reading.
pub async fn refused_with(files: &Files, wanted: &[Column]) -> (ErrorCode, serde_json::Value) {
    let error = read(files, wanted).await.expect_err("it is refused");
    (error.code, serde_json::Value::Object(error.context))
}

pub fn rows(batch: &RecordBatch) -> Vec<String> {
    let row =
        |row| batch.columns().iter().map(|array| shown(array.as_ref(), row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

fn shown(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt8 => array.as_primitive::<arrow_array::types::UInt8Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => format!("day {}", array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            format!("{}us", array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            format!("{}us", array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            format!("{}ms", array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            format!("{}ns", array.as_primitive::<TimestampNanosecondType>().value(row))
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            format!("{}m{}d{}ns", value.months, value.days, value.nanoseconds)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|row| shown(items.as_ref(), row)).collect();
            format!("[{}]", items.join(" "))
        }
        other => format!("({other})"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
