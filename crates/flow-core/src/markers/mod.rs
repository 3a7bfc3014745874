//! Markers: how the values of a column are cleaned on their way, in the words of SQL. Pure: a marker takes an expression
//! and gives one; nothing is ever created in a source.
//!
//! To add one: a file's entry in [`ALL`], its function in Python, its lines in the manual's table.

mod arguments;
mod cleaning;
mod expressions;
mod family;
mod instants;
mod missing;
mod numbers;
mod parse;
mod personal;
mod pseudonyms;
mod range;
mod text;
mod times;
mod value;

pub use arguments::{Written, literal, literal_fits, literal_of};
pub use cleaning::{CLEANED, Cleaned, Cleaning, Raw, Reading};
pub use family::{Families, Family};
pub use parse::OnFailure;

use crate::arguments::{Arguments, known};
use crate::error::{ErrorCode, FlowError, Location, Result};
use crate::types::DataType;
use std::fmt;
use std::sync::Arc;
use value::Value;

/// One step of cleaning.
pub trait Marker: fmt::Debug + Send + Sync {
    /// The name in pipelines.toml and in Python.
    fn name(&self) -> &'static str;
    /// What it takes; `None` where any type will do.
    fn takes(&self) -> Option<Families>;
    /// What it gives; `None` where that is what it took, or where only the server knows.
    fn gives(&self) -> Option<Families>;
    /// Whether it gives what it takes, so that what is needed behind it is needed before it too.
    fn keeps_type(&self) -> bool {
        false
    }
    /// Whether it stands for the value, whatever the source has: only the first may.
    fn replaces(&self) -> bool {
        false
    }
    /// Whether its words depend on the type of the value: what an expression gives, only the server knows.
    fn needs_type(&self) -> bool {
        false
    }
    /// Whether its words are others for a value of another type.
    fn depends_on_type(&self) -> bool {
        true
    }
    /// Whether some text cannot be read by it, which is counted.
    fn reads(&self) -> bool {
        false
    }
    /// Whether it is there to hide the value.
    fn hides(&self) -> bool {
        false
    }
    /// Holds its arguments to the type at its place, as far as that is known before a server is asked.
    ///
    /// # Errors
    /// `invalid_value`.
    fn fits(&self, _: Families) -> Result<()> {
        Ok(())
    }
    /// Puts itself around the value.
    ///
    /// # Errors
    /// `invalid_value` where it does not fit the source's type.
    fn apply(&self, value: &mut Value<'_>) -> Result<()>;
}

/// How a marker is read.
type Read = fn(&Arguments<'_>) -> Result<Arc<dyn Marker>>;

/// Every marker, with its reader.
const ALL: &[(&str, Read)] = &[
    ("trim", text::trim),
    ("lower", text::lower),
    ("upper", text::upper),
    ("title", text::title),
    ("normalize_unicode", text::normalize_unicode),
    ("to_ascii", text::to_ascii),
    ("empty_to_null", text::empty_to_null),
    ("whitespace_to_null", text::whitespace_to_null),
    ("collapse_whitespace", text::collapse_whitespace),
    ("replace", text::replace),
    ("regex_replace", text::regex_replace),
    ("truncate", text::truncate),
    ("email_normalize", personal::email_normalize),
    ("phone_normalize", personal::phone_normalize),
    ("hash", pseudonyms::hash),
    ("mask", pseudonyms::mask),
    ("parse_timestamp", parse::parse_timestamp),
    ("parse_date", parse::parse_date),
    ("parse_int", parse::parse_int),
    ("parse_numeric", parse::parse_numeric),
    ("parse_bool", parse::parse_bool),
    ("parse_json", parse::parse_json),
    ("to_timezone", times::to_timezone),
    ("date_trunc", times::date_trunc),
    ("round", numbers::round),
    ("clamp", numbers::clamp),
    ("default", missing::default),
    ("nullif", missing::nullif),
    ("map_values", missing::map_values),
    ("cast", expressions::cast),
    ("derive", expressions::derive),
    ("sql", expressions::sql),
];

/// The markers of a column, in the order in which they are applied.
#[derive(Clone)]
pub struct Chain {
    written: Vec<Written>,
    markers: Vec<Arc<dyn Marker>>,
    places: Vec<Option<Location>>,
}

/// A mistake in a chain, and which of its markers has it.
pub type Mistake = (usize, FlowError);

impl Chain {
    /// Reads the markers of a column of that type; every mistake is told with the marker that has it.
    ///
    /// # Errors
    /// `invalid_value` for what is no marker, for wrong arguments, and for one that does not fit the column or the one
    /// behind it; `not_yet_supported`.
    pub fn read(written: &[Written], data_type: &DataType) -> std::result::Result<Chain, Vec<Mistake>> {
        let (mut markers, mut mistakes) = (Vec::new(), Vec::new());
        for (index, written) in written.iter().enumerate() {
            match read_one(written) {
                Ok(marker) => markers.push(marker),
                Err(error) => mistakes.push((index, error)),
            }
        }
        if mistakes.is_empty() {
            mistakes = misfits(&markers, data_type);
            mistakes.extend(untyped(&markers));
        }
        if mistakes.is_empty() {
            Ok(Chain { written: written.to_vec(), markers, places: Vec::new() })
        } else {
            Err(mistakes)
        }
    }

    /// Says where each is written.
    pub fn at(self, places: Vec<Option<Location>>) -> Chain {
        Chain { places, ..self }
    }

    /// The chain as far as its first markers.
    pub fn first(&self, count: usize) -> Chain {
        let (written, markers) = (self.written[..count].to_vec(), self.markers[..count].to_vec());
        Chain { written, markers, places: self.places.clone() }
    }

    /// Where a marker is written.
    pub fn place(&self, index: usize) -> Option<&Location> {
        self.places.get(index)?.as_ref()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.markers.iter().map(|marker| marker.name())
    }

    /// Whether the value comes from an expression, and not from a column of the source.
    pub fn replaces(&self) -> bool {
        self.markers.first().is_some_and(|marker| marker.replaces())
    }

    /// Whether some text cannot be read by one of them, which is counted.
    pub fn reads(&self) -> bool {
        self.markers.iter().any(|marker| marker.reads())
    }

    /// Whether one of them hides the source's value, so that nobody is shown it.
    pub fn hides(&self) -> bool {
        self.markers.iter().any(|marker| marker.hides())
    }

    /// What the first marker takes; `None` where any type will do.
    pub fn takes(&self) -> Option<Families> {
        self.markers.first().and_then(|marker| marker.takes())
    }

    fn markers(&self) -> &[Arc<dyn Marker>] {
        &self.markers
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Chain) -> bool {
        self.written == other.written
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

fn read_one(written: &Written) -> Result<Arc<dyn Marker>> {
    let (name, given) = written.parts()?;
    let (name, read) = known(name, ALL, "marker")?;
    read(&Arguments::new(name, given))
}

/// Markers whose words depend on a type that only the server knows.
fn untyped(markers: &[Arc<dyn Marker>]) -> Vec<Mistake> {
    let mut untyped_by = None;
    let mut mistakes = Vec::new();
    for (index, marker) in markers.iter().enumerate() {
        let name = marker.name();
        if let Some(before) = untyped_by.filter(|_| marker.needs_type()) {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{name}` has to know of which type its value is, which `{before}` does not say"),
            );
            mistakes.push((index, error.hint("put a cast between them: { cast = \"timestamptz\" }")));
        }
        if marker.gives().is_some() {
            untyped_by = None;
        } else if !marker.keeps_type() {
            untyped_by = Some(name);
        }
    }
    mistakes
}

/// Holds markers to the column's type, from the last back to the first.
fn misfits(markers: &[Arc<dyn Marker>], data_type: &DataType) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut needed = Family::of_declared(data_type).map(Families::of);
    let mut taker = format!("the column is {data_type}");
    for (index, marker) in markers.iter().enumerate().rev() {
        let name = marker.name();
        if index > 0 && marker.replaces() {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "`{name}` comes after `{}`, whose value it would throw away",
                    markers[index - 1].name()
                ),
            );
            mistakes.push((index, error.hint(format!("put `{name}` first"))));
        }
        let gives = marker.gives().or_else(|| marker.keeps_type().then(|| marker.takes()).flatten());
        if let (Some(needed), Some(gives)) = (needed, gives)
            && !needed.meets(gives)
        {
            let error =
                FlowError::new(ErrorCode::InvalidValue, format!("`{name}` gives {gives}, but {taker}"));
            mistakes.push((index, error.hint(remedy(gives, needed))));
        }
        if let Some(needed) = needed
            && let Err(error) = marker.fits(needed)
        {
            mistakes.push((index, error));
        }
        if let Some(takes) = marker.takes() {
            // What keeps its type takes just what is needed behind it.
            needed = Some(match needed {
                Some(needed) if marker.keeps_type() && needed.meets(takes) => needed.both(takes),
                _ => takes,
            });
            taker = format!("`{name}` takes {takes}");
        } else if !marker.keeps_type() {
            needed = None;
        }
    }
    mistakes.reverse();
    mistakes
}

fn remedy(gives: Families, needed: Families) -> String {
    match needed.parser() {
        Some(parser) if gives == Families::of(Family::Text) => {
            format!("put `{parser}` behind it, or take it out")
        }
        _ => "take it out, or change the column's type".to_owned(),
    }
}
