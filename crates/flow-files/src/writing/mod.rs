//! Rows into a file: Parquet from batches, CSV and JSON from texts that a server wrote. Until all rows are in it the file
//! has another name, so that half a file never stands under its own.

mod parquet;
mod place;
mod text;

use crate::address::{self, Address};
use crate::options::{Compression, Format};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use parquet::ParquetOut;
use place::Unfinished;
use std::path::{Path, PathBuf};
use text::TextOut;

/// Where rows go, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    path: PathBuf,
    /// As it was said.
    shown: String,
    /// What it becomes.
    pub format: Format,
    compression: Compression,
}

/// What a file has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

impl Destination {
    /// A path below a folder, of the format that is said, else the one in which its name ends.
    ///
    /// # Errors
    /// `missing_option` where nothing says the format, `conflicting_options` for a Parquet file that is compressed as a
    /// whole, `not_yet_supported` for an object store.
    pub fn new(base: &Path, path: &str, format: Option<Format>) -> Result<Destination> {
        let local = match address::parse(path)? {
            Address::Local(local) => local,
            Address::Remote(remote) => {
                let store = remote.scheme.name();
                let message = format!("a file is written to a disk of this machine, and {store}:// is none");
                return Err(FlowError::new(ErrorCode::NotYetSupported, message)
                    .hint("write it to a disk, and copy it there with the tool of the store"));
            }
        };
        let Some(format) = format.or_else(|| Format::of(&local)) else {
            let message = format!("nothing says which format {local} is to have");
            return Err(FlowError::new(ErrorCode::MissingOption, message)
                .hint("let it end in .parquet, .csv or .jsonl, or say the format: parquet, csv or json"));
        };
        let (compression, _) = Compression::of(&local);
        if format == Format::Parquet && compression != Compression::None {
            let message = format!("{local}: Parquet is compressed within, part by part");
            return Err(
                FlowError::new(ErrorCode::ConflictingOptions, message).hint("let the name end in .parquet")
            );
        }
        Ok(Destination { path: base.join(&local), shown: local, format, compression })
    }

    /// As it was said.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What stands between the values of CSV.
    pub fn delimiter(&self) -> char {
        let (_, name) = Compression::of(&self.shown);
        if name.to_ascii_lowercase().ends_with(".tsv") { '\t' } else { ',' }
    }
}

/// A file that rows are written into. Dropped before the end, it leaves nothing behind.
pub struct FileOut {
    form: Form,
}

enum Form {
    Parquet(Box<ParquetOut>),
    Text(Box<TextOut>),
}

impl FileOut {
    /// Begins a file; of Parquet it takes batches of the schema, else texts.
    ///
    /// # Errors
    /// `target_failed`, `permission_denied`; `invalid_value` for a type that Parquet does not have.
    pub fn begin(destination: &Destination, schema: Option<SchemaRef>) -> Result<FileOut> {
        let place = Unfinished::create(&destination.path, &destination.shown)?;
        let form = match schema {
            Some(schema) => Form::Parquet(Box::new(ParquetOut::begin(place, schema)?)),
            None => {
                let is_csv = destination.format == Format::Csv;
                Form::Text(Box::new(TextOut::begin(place, destination.compression, is_csv)?))
            }
        };
        Ok(FileOut { form })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// `target_failed`.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.form {
            Form::Parquet(out) => out.write(batch),
            Form::Text(_) => unreachable!("a file of texts takes texts"),
        }
    }

    /// Writes lines, or parts of them.
    ///
    /// # Errors
    /// `target_failed`.
    pub fn text(&mut self, text: &[u8]) -> Result<()> {
        match &mut self.form {
            Form::Text(out) => out.write(text),
            Form::Parquet(_) => unreachable!("a Parquet file takes batches"),
        }
    }

    /// All rows are in it: it gets its name.
    ///
    /// # Errors
    /// `target_failed`.
    pub fn finish(self) -> Result<Written> {
        match self.form {
            Form::Parquet(out) => out.finish(),
            Form::Text(out) => out.finish(),
        }
    }
}
