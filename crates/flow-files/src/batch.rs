//! How many rows make a batch. Pure.

use crate::cells::Cells;
use arrow_array::ArrayRef;

/// A batch has at most this many rows,
pub const ROWS: usize = 61_440;
/// and is made of about this many bytes.
pub const BYTES: usize = 16 << 20;

/// Rows of a file: how many, and the columns that were asked for.
pub type Rows = (usize, Vec<ArrayRef>);

/// What a batch has so far.
pub struct Filled {
    /// Its rows.
    pub rows: usize,
    read_before: usize,
}

impl Filled {
    /// Nothing; so many bytes were read before.
    pub fn from(read_before: usize) -> Filled {
        Filled { rows: 0, read_before }
    }

    /// Whether a row more is taken.
    pub fn has_room(&self, read: usize) -> bool {
        self.rows < ROWS && read - self.read_before < BYTES
    }

    /// The columns; none where there are no rows.
    pub fn finish(self, cells: &mut [Cells]) -> Option<Rows> {
        (self.rows > 0).then(|| (self.rows, cells.iter_mut().map(Cells::finish).collect()))
    }
}
