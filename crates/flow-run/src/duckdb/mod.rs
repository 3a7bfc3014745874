//! DuckDB: sessions on a file, over whatever reaches the library.
//!
//! One process has a file at a time, and within it one database object: whoever brings a [`Library`] sees to that.
//! So there are no locks of a server: runs of this process exclude each other here, those of others are refused
//! the file.

#[cfg(feature = "adbc")]
mod adbc;
mod driver;
mod error;
mod inspect;
mod library;
mod native;
mod process;
mod rows;
mod session;
mod version;

pub use driver::DuckDbDriver;
pub use library::{Connection, Fault, Library, Opening, Settings};
#[cfg(feature = "adbc")]
pub use native::native;
pub use native::without_library;
