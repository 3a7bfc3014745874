//! CSV as columns: by the names of its first line, of the types that are wanted, or as text.

use crate::batch::{Filled, Rows};
use crate::cells::Cells;
use crate::delimited::Records;
use crate::fault::{bad_value, unreadable};
use crate::options::Files;
use ematix_flow_arrow::Column;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::io::BufRead;

/// The text of a file.
pub type Input = Box<dyn BufRead + Send>;

/// The names of a file's columns, in its order.
pub fn names(input: Input, path: &str, files: &Files) -> Result<Vec<String>> {
    let mut records = Records::new(input, path, files.csv_marks(path)?);
    header(&mut records, path, files)
}

fn header(records: &mut Records<Input>, path: &str, files: &Files) -> Result<Vec<String>> {
    if !files.csv.header {
        return distinct(files.csv.columns.clone(), path);
    }
    if !records.advance()? || records.width() == 0 {
        return Err(unreadable(path, "its first line has no names").hint(
            "a file of CSV begins with the columns' names; where it does not, write header = false and columns = […]",
        ));
    }
    let names: Result<Vec<String>> =
        (0..records.width()).map(|at| Ok(records.value(at)?.0.trim().to_owned())).collect();
    distinct(names?, path)
}

fn distinct(names: Vec<String>, path: &str) -> Result<Vec<String>> {
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(unreadable(path, format!("the {}. column has no name", at + 1)));
        }
        if names[..at].contains(name) {
            return Err(FlowError::new(
                ErrorCode::DuplicateName,
                format!("{path}: two columns have the name `{name}`"),
            )
            .context("file", path));
        }
    }
    Ok(names)
}

/// A file that is being read.
pub struct CsvFile {
    records: Records<Input>,
    path: String,
    nulls: Vec<String>,
    /// Of each value of a record its column among those that are told.
    places: Vec<usize>,
    columns: Vec<Column>,
    cells: Vec<Cells>,
    /// Empty lines that were met and are nothing where the file ends with them.
    blank: u64,
}

impl CsvFile {
    /// Begins behind the line of names.
    pub fn open(input: Input, path: &str, files: &Files, columns: &[Column]) -> Result<CsvFile> {
        let mut records = Records::new(input, path, files.csv_marks(path)?);
        let names = header(&mut records, path, files)?;
        let places: Option<Vec<usize>> =
            names.iter().map(|name| columns.iter().position(|column| column.name == *name)).collect();
        Ok(CsvFile {
            records,
            path: path.to_owned(),
            nulls: files.csv.null.clone(),
            // Every name was among those of which the columns were made, if it is the same file.
            places: places.ok_or_else(|| crate::fault::changed(path))?,
            columns: columns.to_vec(),
            cells: columns.iter().map(|column| Cells::new(&column.data_type)).collect(),
            blank: 0,
        })
    }

    /// The next rows.
    pub fn advance(&mut self) -> Result<Option<Rows>> {
        let mut filled = Filled::from(self.records.read);
        while filled.has_room(self.records.read) && self.records.advance()? {
            if self.records.width() == 0 && self.places.len() > 1 {
                self.blank += 1;
                continue;
            }
            self.take()?;
            filled.rows += 1;
        }
        Ok(filled.finish(&mut self.cells))
    }

    fn take(&mut self) -> Result<()> {
        let width = self.records.width();
        let is_one_empty = width == 0 && self.places.len() == 1;
        if self.blank > 0 || (width != self.places.len() && !is_one_empty) {
            let found = if self.blank > 0 { 0 } else { width };
            let values = if found == 1 { "1 value".to_owned() } else { format!("{found} values") };
            return Err(self
                .records
                .wrong(format!("it has {values}, and the file has {} columns", self.places.len())));
        }
        let row = self.records.row + 1;
        for (at, place) in self.places.iter().enumerate() {
            let (text, quoted) = if is_one_empty { ("", false) } else { self.records.value(at)? };
            if !quoted && self.nulls.iter().any(|null| null == text) {
                self.cells[*place].push_null();
                continue;
            }
            self.cells[*place]
                .push(text)
                .map_err(|why| bad_value(&self.path, Some(row), &self.columns[*place].name, &why))?;
        }
        for place in (0..self.cells.len()).filter(|place| !self.places.contains(place)) {
            self.cells[place].push_null();
        }
        self.records.row = row;
        Ok(())
    }
}
