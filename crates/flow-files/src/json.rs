//! JSON as columns: by the keys of its objects, of the types that are wanted, or those that its first rows have.

use crate::batch::{Filled, Rows};
use crate::cells::Cells;
use crate::csv::Input;
use crate::fault::bad_value;
use crate::objects::Objects;
use ematix_flow_arrow::{Column, CopyType};
use ematix_flow_core::error::Result;
use std::collections::HashMap;

/// What the values of a key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NULL, all of them.
    Nothing,
    /// true and false.
    Boolean,
    /// Whole numbers of 64 bits.
    Whole,
    /// Numbers.
    Number,
    /// Texts.
    Text,
    /// Objects and lists.
    Nested,
    /// Some of these and some of those.
    Mixed,
}

impl Kind {
    fn of(raw: &str) -> Kind {
        match raw.as_bytes().first() {
            Some(b'n') => Kind::Nothing,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'"') => Kind::Text,
            Some(b'{' | b'[') => Kind::Nested,
            _ if raw.parse::<i64>().is_ok() => Kind::Whole,
            _ => Kind::Number,
        }
    }

    /// What both are.
    pub fn and(self, other: Kind) -> Kind {
        match (self, other) {
            (one, other) if one == other => one,
            (Kind::Nothing, one) | (one, Kind::Nothing) => one,
            (Kind::Whole, Kind::Number) | (Kind::Number, Kind::Whole) => Kind::Number,
            _ => Kind::Mixed,
        }
    }

    /// As what they are read where no type is wanted. A number with a fraction is no float, and how many digits the
    /// next one has is not known: its text is exact.
    pub fn data_type(self) -> CopyType {
        match self {
            Kind::Boolean => CopyType::Bool,
            Kind::Whole => CopyType::Int8,
            Kind::Nested => CopyType::Json,
            Kind::Nothing | Kind::Number | Kind::Text | Kind::Mixed => CopyType::Text,
        }
    }

    /// In messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nothing => "null",
            Kind::Boolean => "booleans",
            Kind::Whole => "whole numbers",
            Kind::Number => "numbers",
            Kind::Text => "texts",
            Kind::Nested => "objects or lists",
            Kind::Mixed => "values of several kinds",
        }
    }
}

/// The keys of a file's first rows, in the order in which they come, and what their values are.
pub fn keys(input: Input, path: &str, rows: u64) -> Result<Vec<(String, Kind)>> {
    let mut objects = Objects::new(input, path);
    let mut found: Vec<(String, Kind)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    while objects.row < rows && objects.advance()? {
        for (key, value) in objects.pairs()? {
            let kind = Kind::of(value.get());
            match places.get(key.as_ref()) {
                Some(place) => found[*place].1 = found[*place].1.and(kind),
                None => {
                    places.insert(key.as_ref().to_owned(), found.len());
                    found.push((key.into_owned(), kind));
                }
            }
        }
        objects.row += 1;
    }
    Ok(found)
}

/// A file that is being read.
pub struct JsonFile {
    objects: Objects<Input>,
    path: String,
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    cells: Vec<Cells>,
    /// The row in which a column had its last value.
    filled: Vec<u64>,
    /// What to do where a key is no column.
    remedy: String,
}

impl JsonFile {
    /// Begins at the first object.
    pub fn open(input: Input, path: &str, columns: &[Column], remedy: String) -> Result<JsonFile> {
        Ok(JsonFile {
            objects: Objects::new(input, path),
            path: path.to_owned(),
            columns: columns.to_vec(),
            places: columns.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect(),
            cells: columns.iter().map(|column| Cells::new(&column.data_type)).collect(),
            filled: vec![0; columns.len()],
            remedy,
        })
    }

    /// The next rows.
    pub fn advance(&mut self) -> Result<Option<Rows>> {
        let mut filled = Filled::from(self.objects.read);
        while filled.has_room(self.objects.read) && self.objects.advance()? {
            self.take()?;
            filled.rows += 1;
        }
        Ok(filled.finish(&mut self.cells))
    }

    fn take(&mut self) -> Result<()> {
        let row = self.objects.row + 1;
        for (at, (key, value)) in self.objects.pairs()?.into_iter().enumerate() {
            // Most objects have their keys in one order.
            let place = match self.columns.get(at) {
                Some(column) if column.name == key => at,
                _ => match self.places.get(key.as_ref()) {
                    Some(place) => *place,
                    None => {
                        return Err(self
                            .objects
                            .wrong(format!("it has a key `{key}` that is no column"))
                            .hint(self.remedy.clone()));
                    }
                },
            };
            if self.filled[place] == row {
                return Err(self.objects.wrong(format!("it has the key `{key}` twice")));
            }
            self.filled[place] = row;
            self.cells[place]
                .push_json(value.get())
                .map_err(|why| bad_value(&self.path, Some(row), &self.columns[place].name, &why))?;
        }
        for (place, last) in self.filled.iter().enumerate() {
            if *last != row {
                self.cells[place].push_null();
            }
        }
        self.objects.row = row;
        Ok(())
    }
}
