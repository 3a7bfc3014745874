//! Tables as declared and as they live, and what differs between the two.

pub mod ddl;
pub mod drift;
pub mod rejected_rows;
pub mod table;

pub use crate::types::TypeFacts;
pub use table::{Column, ColumnDefault, Index, LiveColumn, LiveIndex, LiveTable, Table};
