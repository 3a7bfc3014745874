//! Files as a source: they are listed once a run, and where each is loaded once, those are left out that were.

use super::brought::Rows;
use super::keys::found_table;
use crate::history::HistoryStore;
use crate::session::Session;
use ematix_flow_core::declare::files::{Compression, FileFormat, FilesSpec};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::history::FileVersion;
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_files as reader;
use std::collections::HashSet;
use std::sync::Arc;

/// What the files of a pipeline hold, as far as this run reads them.
///
/// # Errors
/// What cannot be listed; `invalid_value` where there is no file.
pub async fn rows_of(
    pipeline: &Pipeline,
    spec: &FilesSpec,
    target: &dyn Session,
    reads_in_full: bool,
) -> Result<Rows> {
    let files = as_read(spec)?;
    let listed = files.list().await?;
    if !spec.once {
        return Ok(Rows { source: Arc::new(reader::FilesSource::new(files, listed)), once: Vec::new() });
    }
    // What was loaded into a table is gone with it.
    let known = match reads_in_full || found_table(target, pipeline.target.name()).await?.is_none() {
        true => HashSet::new(),
        false => HistoryStore::on(target).files_of(&pipeline.name, &pipeline.target_key()).await?,
    };
    let (mut new, mut once) = (Vec::new(), Vec::new());
    for version in &listed {
        let file = remembered(version);
        if !known.contains(&(file.path.clone(), file.version())) {
            new.push(version.clone());
            once.push(file);
        }
    }
    Ok(Rows { source: Arc::new(reader::FilesSource::new(files, new)), once })
}

fn remembered(version: &reader::FileVersion) -> FileVersion {
    FileVersion {
        path: version.path.clone(),
        bytes: version.size,
        modified: Some(version.modified.clone()),
        etag: version.etag.clone(),
    }
}

fn as_read(spec: &FilesSpec) -> Result<reader::Files> {
    let mut csv = reader::CsvOptions::default();
    if let Some(delimiter) = &spec.csv.delimiter {
        csv.delimiter = Some(one_character("delimiter", delimiter)?);
    }
    if let Some(quote) = &spec.csv.quote {
        csv.quote = one_character("quote", quote)?;
    }
    if let Some(columns) = &spec.csv.columns {
        (csv.header, csv.columns) = (false, columns.clone());
    }
    csv.null.extend(spec.csv.null.clone());
    Ok(reader::Files {
        pattern: spec.pattern.clone(),
        base: spec.directory.clone(),
        format: spec.format.map(|format| match format {
            FileFormat::Parquet => reader::Format::Parquet,
            FileFormat::Csv => reader::Format::Csv,
            FileFormat::Json => reader::Format::Json,
        }),
        compression: spec.compression.map(|compression| match compression {
            Compression::None => reader::Compression::None,
            Compression::Gzip => reader::Compression::Gzip,
            Compression::Zstd => reader::Compression::Zstd,
        }),
        csv,
        json: match spec.json.sample_rows {
            Some(rows) => reader::JsonOptions { sample_rows: u64::from(rows.get()) },
            None => reader::JsonOptions::default(),
        },
        hive: spec.hive,
        store: stores(spec)?,
        ..reader::Files::default()
    })
}

/// Where an object store is.
fn stores(spec: &FilesSpec) -> Result<reader::StoreOptions> {
    let value = |(name, value): (&String, &String)| {
        let value = match (name.as_str(), value.as_str()) {
            ("anonymous", "true" | "false") => serde_json::Value::Bool(value == "true"),
            _ => serde_json::Value::from(value.as_str()),
        };
        (name.clone(), value)
    };
    let said: serde_json::Map<String, serde_json::Value> = spec.storage.iter().map(value).collect();
    serde_json::from_value(serde_json::Value::Object(said))
        .map_err(|error| FlowError::new(ErrorCode::InvalidValue, format!("`storage` of the source: {error}")))
}

fn one_character(name: &str, text: &str) -> Result<char> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(character),
        _ => Err(FlowError::new(ErrorCode::InvalidValue, format!("`{name}` of `csv` is {text:?}"))
            .hint("it is one character: delimiter = \";\"")),
    }
}
