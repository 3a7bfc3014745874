//! Rows of files as Arrow: Parquet, CSV and JSON, compressed or not, from disks, object stores and APIs. No value changes on
//! the way, and what would change is an error that names its file, row and column.
//!
//! The modules stand in the order in which they may use each other. Memory is bounded by a batch (61,440 rows, or
//! about 16 MB of a file), and of Parquet in an object store by its row groups; files may be as large as they like.
//!
//! What is read as what:
//!
//! - **Parquet** has types. One text, one binary and one list are told of those that Arrow has, dictionaries as their
//!   values; objects, maps and lists of anything but plain values are JSON.
//! - **CSV** is text, or of the types that are wanted: `007` stays `007`. Nothing between delimiters is NULL, `""` an
//!   empty text.
//! - **JSON** is of the types that are wanted, else of those that the first rows have: booleans, whole numbers of 64
//!   bits (`Int64`), texts; other numbers are their text, of which every digit is exact; objects and lists are JSON.
//! - **Paths** have text, or the types that are wanted: `year=2026/`.
//!
//! ```
//! use ematix_flow_arrow::source::BatchSource;
//! use ematix_flow_arrow::{Column, CopyType};
//! use ematix_flow_files::{Files, FilesSource};
//! use futures_util::TryStreamExt;
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let folder = std::env::temp_dir().join(format!("ematix-flow-files-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! std::fs::write(folder.join("people.csv"), "id,name\n007,Ada\n8,\n")?;
//!
//! let files = Files { pattern: "*.csv".to_owned(), base: folder.clone(), ..Files::default() };
//! let versions = files.list().await?;
//! let source = FilesSource::new(files, versions);
//! let schema = source.schema(&[Column::new("id", CopyType::Int8)]).await?;
//! assert_eq!(schema.field(0).data_type().to_string(), "Int64");
//!
//! let batches: Vec<_> = source.batches().await?.try_collect().await?;
//! assert_eq!(batches[0].num_rows(), 2);
//! assert_eq!(batches[0].column(1).null_count(), 1);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![forbid(unsafe_code)]

mod options;
mod api;
mod fault;
mod glob;
mod hive;
mod address;
mod number;
mod moment;
mod cells;
mod batch;
mod local;
mod stores;
mod opened;
mod delimited;
mod csv;
mod objects;
mod json;
mod json_text;
mod widening;
mod ranges;
mod parquet;
mod listing;
mod telling;
mod records;
mod pipe;
mod piped;
mod planned;
mod reading;
mod http;
mod source;
mod writing;

pub use api::{Api, Auth, Counts, Paging};
pub use cells::{Cells, Misread};
pub use http::answers_of;
pub use options::{Compression, CsvOptions, FileVersion, Files, Format, IfNone, JsonOptions, StoreOptions};
pub use pipe::{BatchParts, Giver, Incoming, end_part, failed_part, page_parts};
pub use piped::PipedSource;
pub use records::{Begin, Page, Pages, RecordsSource, type_told};
pub use source::FilesSource;
pub use writing::{Destination, FileOut, Written};
