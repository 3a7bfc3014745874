//! Binary COPY of Postgres as Arrow, and back: no value changes on the way, and what would change is an error
//! that names its row and column. Pure: chunks and batches in, batches and bytes out.
//!
//! The modules stand in the order in which they may use each other.
//!
//! ```
//! use ematix_flow_arrow::{BatchSize, Column, CopyType, Decoder, Encoder};
//! # fn main() -> ematix_flow_core::error::Result<()> {
//! let columns = vec![Column::new("id", CopyType::Int8), Column::new("name", CopyType::Text)];
//! let sent = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\xff\xff";
//!
//! let mut decoder = Decoder::new(columns.clone(), BatchSize::default());
//! assert!(decoder.decode(sent)?.is_empty());
//! let batch = decoder.finish()?.expect("one row");
//! assert_eq!(batch.num_rows(), 1);
//!
//! let mut encoder = Encoder::new(columns, &batch.schema())?;
//! let mut bytes = Vec::new();
//! encoder.encode(&batch, &mut bytes)?;
//! encoder.finish(&mut bytes);
//! assert_eq!(bytes, sent);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod fault;
mod numeric;
mod types;
pub mod source;
mod labels;
mod values;
mod decoder;
mod writers;
mod encoder;
mod fitting;

pub use decoder::{BatchSize, Decoder};
pub use encoder::Encoder;
pub use fitting::fitted;
pub use source::{BatchSource, Batches};
pub use types::{Column, CopyType, UnscaledNumeric};
pub use values::Infinity;
