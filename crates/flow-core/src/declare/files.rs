//! Files as a source, as they are written.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Files, and how they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesSpec {
    /// A path, a glob or an address.
    pub pattern: String,
    /// Where relative paths start.
    pub directory: PathBuf,
    /// Their format, where their names do not say it.
    pub format: Option<FileFormat>,
    /// How they are compressed, where their names do not say it.
    pub compression: Option<Compression>,
    /// How values are told apart in CSV.
    pub csv: CsvSpec,
    /// How JSON is read.
    pub json: JsonSpec,
    /// Whether paths have columns.
    pub hive: bool,
    /// Where an object store is.
    pub storage: IndexMap<String, String>,
    /// Whether each version of a file is loaded once.
    pub once: bool,
}

/// The format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Parquet.
    Parquet,
    /// Text, a row a line, values apart by commas or another character.
    Csv,
    /// JSON: an object a line, or one array of objects.
    Json,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// They are not, whatever their names say.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How values are told apart in a file of CSV.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CsvSpec {
    /// The character between two values; `,` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// The character around a value that holds the delimiter; `"` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// The names of the columns, of files whose first line names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The text that stands for NULL beside an empty value without quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null: Option<String>,
}

/// How files of JSON are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JsonSpec {
    /// How many rows of each file are looked at for the columns that there are; 1,000 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rows: Option<NonZeroU32>,
}
