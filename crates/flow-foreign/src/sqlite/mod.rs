//! SQLite: a file, opened to be read, in one transaction. It keeps any value in any column, so each is held against the
//! type that its column is read as.

mod condition;
mod file;
mod source;
mod types;
mod values;

pub use file::ask;
pub use source::SqliteSource;
