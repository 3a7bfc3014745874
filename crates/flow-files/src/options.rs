//! What is said of files: where they are, and how they are to be read. Plain data, of which nothing is opened.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Files of one format, named by a path, a folder or a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// A path, a folder or a pattern of paths, or an address: `landing/*.csv.gz`, `s3://lake/orders/**`.
    pub pattern: String,
    /// The folder that a relative path begins at.
    pub base: PathBuf,
    /// What the files are; by their endings where it is not said.
    pub format: Option<Format>,
    /// How CSV and JSON are compressed; by the endings where it is not said.
    pub compression: Option<Compression>,
    /// How CSV is written.
    pub csv: CsvOptions,
    /// How JSON is read.
    pub json: JsonOptions,
    /// Whether `year=2026/` in a path is a column.
    pub hive: bool,
    /// How an object store is reached.
    pub store: StoreOptions,
    /// What it means that no file is there.
    pub if_none: IfNone,
}

impl Default for Files {
    fn default() -> Files {
        Files {
            pattern: String::new(),
            base: PathBuf::new(),
            format: None,
            compression: None,
            csv: CsvOptions::default(),
            json: JsonOptions::default(),
            hive: true,
            store: StoreOptions::default(),
            if_none: IfNone::default(),
        }
    }
}

/// What it means that no file matches a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfNone {
    /// It is an error.
    #[default]
    Error,
    /// There are no rows.
    Empty,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Values between delimiters.
    Csv,
    /// Objects of JSON, in lines or in one array.
    Json,
}

/// How a file of text is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How CSV is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// What stands between values: a comma, or a tab in files that end in `.tsv`.
    pub delimiter: Option<char>,
    /// Whether the first line has the columns' names.
    pub header: bool,
    /// The columns' names, where no line has them.
    pub columns: Vec<String>,
    /// What stands around values.
    pub quote: char,
    /// What stands before a quote in a value: the quote itself where it is not said.
    pub escape: Option<char>,
    /// Texts that are NULL where nothing stands around them.
    pub null: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> CsvOptions {
        CsvOptions {
            delimiter: None,
            header: true,
            columns: Vec::new(),
            quote: '"',
            escape: None,
            null: vec![String::new()],
        }
    }
}

/// How JSON is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonOptions {
    /// How many rows of each file are looked at for keys and what their values are.
    pub sample_rows: u64,
}

impl Default for JsonOptions {
    fn default() -> JsonOptions {
        JsonOptions { sample_rows: 1000 }
    }
}

/// How an object store is reached. Credentials are found as the cloud's own tools find them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreOptions {
    /// The address of a store that is not the cloud's own: `http://localhost:9000`.
    pub endpoint: Option<String>,
    /// The region of the bucket (S3).
    pub region: Option<String>,
    /// The profile of the AWS files (S3).
    pub profile: Option<String>,
    /// The storage account (Azure).
    pub account: Option<String>,
    /// Whether requests go unsigned.
    pub anonymous: bool,
}

/// A version of a file: another size or etag is another version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileVersion {
    /// The path as the pattern has it, or the whole address without its query.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// What the store calls the version; of a local file the time of its last change.
    pub etag: Option<String>,
    /// When it was changed last, as of RFC 3339.
    pub modified: String,
}

/// Endings of names, with what they say.
const ENDINGS: &[(&str, Format)] = &[
    (".parquet", Format::Parquet),
    (".pq", Format::Parquet),
    (".csv", Format::Csv),
    (".tsv", Format::Csv),
    (".json", Format::Json),
    (".jsonl", Format::Json),
    (".ndjson", Format::Json),
];

impl Compression {
    /// What the ending of a name says, and the name before it.
    pub fn of(path: &str) -> (Compression, &str) {
        let endings = [
            (".gz", Compression::Gzip),
            (".gzip", Compression::Gzip),
            (".zst", Compression::Zstd),
            (".zstd", Compression::Zstd),
        ];
        let name = path.to_ascii_lowercase();
        match endings.iter().find(|(ending, _)| name.ends_with(ending)) {
            Some((ending, compression)) => (*compression, &path[..path.len() - ending.len()]),
            None => (Compression::None, path),
        }
    }
}

impl Format {
    /// What the ending of a name says.
    pub fn of(path: &str) -> Option<Format> {
        let name = Compression::of(path).1.to_ascii_lowercase();
        ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }

    /// Its name in TOML and messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Json => "json",
        }
    }
}

impl Files {
    /// What files of these paths are, of which there must be one answer.
    pub fn format_of<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<Option<Format>> {
        if self.format.is_some() {
            return Ok(self.format);
        }
        let mut found: Option<(Format, &str)> = None;
        for path in paths {
            let format = Format::of(path).ok_or_else(|| {
                FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("the ending of {path} does not say what the file is"),
                )
                .hint("say it: format = \"parquet\", \"csv\" or \"json\"")
            })?;
            match found {
                Some((other, first)) if other != format => {
                    return Err(FlowError::new(
                        ErrorCode::InvalidValue,
                        format!("{first} is {} and {path} is {}", other.name(), format.name()),
                    )
                    .hint("name files of one format, as in landing/*.csv, or say format = \"csv\""));
                }
                _ => found = Some((format, path)),
            }
        }
        Ok(found.map(|(format, _)| format))
    }

    /// How a file is compressed.
    pub fn compression_of(&self, path: &str) -> Compression {
        self.compression.unwrap_or(Compression::of(path).0)
    }

    /// The marks of CSV in a file, each of one byte.
    pub fn csv_marks(&self, path: &str) -> Result<Marks> {
        let default = match Compression::of(path).1.to_ascii_lowercase().ends_with(".tsv") {
            true => '\t',
            false => ',',
        };
        let byte = |name: &str, mark: char| match u8::try_from(mark) {
            Ok(byte) if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0) => Ok(byte),
            _ => Err(invalid(format!("the {name} of CSV is one character of ASCII, not {mark:?}"))),
        };
        let marks = Marks {
            delimiter: byte("delimiter", self.csv.delimiter.unwrap_or(default))?,
            quote: byte("quote", self.csv.quote)?,
            escape: byte("escape", self.csv.escape.unwrap_or(self.csv.quote))?,
        };
        if marks.delimiter == marks.quote || marks.delimiter == marks.escape {
            return Err(invalid("the delimiter of CSV is not its quote, too".to_owned()));
        }
        if self.csv.header && !self.csv.columns.is_empty() {
            return Err(FlowError::new(
                ErrorCode::ConflictingOptions,
                "columns of CSV are named while its first line names them",
            )
            .hint("write header = false where no line has names, or leave the names out"));
        }
        if !self.csv.header && self.csv.columns.is_empty() {
            return Err(FlowError::new(
                ErrorCode::MissingOption,
                "CSV without a line of names needs the columns' names",
            )
            .hint("write columns = [\"id\", \"name\", …], in the order of the file"));
        }
        Ok(marks)
    }
}

fn invalid(message: String) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, message)
}

/// The marks of CSV.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// Between values.
    pub delimiter: u8,
    /// Around values.
    pub quote: u8,
    /// Before a quote in a value.
    pub escape: u8,
}
