//! A tree of values, each with its place: what TOML says and what Python hands over become the same, and one
//! reader judges both.

use crate::error::Location;
use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, Visitor};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Bytes of the file that is being read.
    Bytes(Range<usize>),
    /// In what a line of Python declared.
    Declared {
        /// The line, where Python knew it.
        at: Option<Arc<Location>>,
        /// How many values were written before.
        order: usize,
    },
}

impl Place {
    /// How many values were written before, where Python declared it.
    pub fn order(&self) -> Option<usize> {
        match self {
            Place::Bytes(_) => None,
            Place::Declared { order, .. } => Some(*order),
        }
    }

    /// From the beginning of one place to the end of another.
    fn to(&self, end: &Place) -> Place {
        match (self, end) {
            (Place::Bytes(start), Place::Bytes(end)) => Place::Bytes(start.start..start.end.max(end.end)),
            _ => self.clone(),
        }
    }
}

/// A value at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: Python's None. TOML cannot say it.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number; without a value where it does not fit into 64 bits.
    Integer {
        /// Its digits.
        written: String,
        /// What they say.
        value: Option<i64>,
    },
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// A date or time, which no option takes.
    Moment(String),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Values by their names, in the order in which they were written. A project has a hundred thousand of them: hashed
/// quickly, still with a seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(IndexMap<String, Field, RandomState>);

/// A value under its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Where the name stands.
    pub key: Place,
    /// The value.
    pub node: Node,
}

impl Field {
    /// Where name and value begin and end: the header of a table, or the name with its value.
    pub fn whole(&self) -> Place {
        if let (Place::Bytes(key), Place::Bytes(value)) = (&self.key, &self.node.place)
            && value.start < key.start
            && key.end <= value.end
        {
            return self.node.place.clone();
        }
        self.key.to(&self.node.place)
    }
}

impl Table {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.0.get(name).map(|field| &field.node)
    }

    /// The value of a name, with the place of the name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.0.get(name)
    }

    /// Whether the name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sets the value of a name.
    pub fn insert(&mut self, name: impl Into<String>, field: Field) {
        self.0.insert(name.into(), field);
    }

    /// The value of a name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.0.get_mut(name).map(|field| &mut field.node)
    }

    /// Names and values, to change these.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Field)> {
        self.0.iter_mut().map(|(name, field)| (name.as_str(), field))
    }

    /// Takes a value out, with the place of its name.
    pub fn take(&mut self, name: &str) -> Option<Field> {
        self.0.shift_remove(name)
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<Node> {
        self.0.shift_remove(name).map(|field| field.node)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.0.iter().map(|(name, field)| (name.as_str(), field))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Field)> for Table {
    fn from_iter<I: IntoIterator<Item = (String, Field)>>(fields: I) -> Table {
        Table(fields.into_iter().collect())
    }
}

impl IntoIterator for Table {
    type Item = (String, Field);
    type IntoIter = indexmap::map::IntoIter<String, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Node {
    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The list, where it is one.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The table, where it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The value with the words that databases have for numbers which JSON does not know.
    pub fn with_words_for_numbers(&self) -> Cow<'_, Node> {
        if self.has_only_numbers_of_json() { Cow::Borrowed(self) } else { Cow::Owned(self.in_words()) }
    }

    fn has_only_numbers_of_json(&self) -> bool {
        match &self.value {
            Value::Float(number) => number.is_finite(),
            Value::List(items) => items.iter().all(Node::has_only_numbers_of_json),
            Value::Table(table) => table.iter().all(|(_, field)| field.node.has_only_numbers_of_json()),
            _ => true,
        }
    }

    fn in_words(&self) -> Node {
        let value = match &self.value {
            Value::Float(number) if number.is_nan() => Value::Text("NaN".to_owned()),
            Value::Float(number) if number.is_infinite() => {
                Value::Text(if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned())
            }
            Value::List(items) => Value::List(items.iter().map(Node::in_words).collect()),
            Value::Table(table) => {
                let words = table.iter().map(|(name, field)| {
                    (name.to_owned(), Field { key: field.key.clone(), node: field.node.in_words() })
                });
                Value::Table(words.collect())
            }
            other => other.clone(),
        };
        Node { value, place: self.place.clone() }
    }

    /// The value as JSON, without its places; a date or time is nothing there.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Moment(_) => serde_json::Value::Null,
            Value::Boolean(truth) => (*truth).into(),
            Value::Integer { value, .. } => (*value).into(),
            Value::Float(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Table(table) => {
                table.iter().map(|(name, field)| (name.to_owned(), field.node.to_json())).collect()
            }
        }
    }
}

impl Table {
    /// The Rust value of the fields, but for those of some names. Nothing of the tree is copied that the value does not hold.
    ///
    /// # Errors
    /// As the type says it.
    pub fn read<'de, T: Deserialize<'de>>(&'de self, without: &[&str]) -> Result<T, Error> {
        let fields = self.iter().filter(|(name, _)| !without.contains(name));
        T::deserialize(MapDeserializer::new(fields.map(|(name, field)| (name, &field.node))))
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = &'de Node;

    fn into_deserializer(self) -> &'de Node {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Integer { value: Some(number), .. } => visitor.visit_i64(*number),
            Value::Integer { written, value: None } => {
                Err(Error::custom(format!("{written} does not fit into 64 bits")))
            }
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Moment(_) => Err(Error::custom("no option takes a date or time")),
            Value::List(items) => SeqDeserializer::new(items.iter()).deserialize_any(visitor),
            Value::Table(table) => {
                let fields = table.iter().map(|(name, field)| (name, &field.node));
                MapDeserializer::new(fields).deserialize_any(visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Text(word) => word.as_str().into_deserializer().deserialize_enum(name, variants, visitor),
            _ => Err(Error::custom("a word is text")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::options::{HandleDeletes, Lookback, PipelineOptions};
    use crate::declare::{Names, PortSpec};

    fn node(value: Value) -> Node {
        Node { value, place: Place::Bytes(0..0) }
    }

    fn integer(value: i64) -> Value {
        Value::Integer { written: value.to_string(), value: Some(value) }
    }

    fn table(fields: Vec<(&str, Value)>) -> Value {
        let mut table = Table::default();
        for (name, value) in fields {
            table.insert(name, Field { key: Place::Bytes(0..0), node: node(value) });
        }
        Value::Table(table)
    }

    #[test]
    fn every_kind_of_option_is_read_from_a_tree() {
        let written = table(vec![
            ("keys", Value::List(vec![node(Value::Text("id".into())), node(Value::Text("at".into()))])),
            ("handle_deletes", Value::Text("soft".into())),
            ("max_delete_fraction", integer(1)),
            ("migrate", Value::Boolean(true)),
            ("lookback", integer(-5)),
            ("owner", Value::Null),
        ]);
        let expected = PipelineOptions {
            keys: Some(Names::Many(vec!["id".into(), "at".into()])),
            handle_deletes: Some(HandleDeletes::Soft),
            max_delete_fraction: Some(1.0),
            migrate: Some(true),
            lookback: Some(Lookback::Number(-5)),
            ..PipelineOptions::default()
        };
        assert_eq!(PipelineOptions::deserialize(&node(written)), Ok(expected));
        assert_eq!(PortSpec::deserialize(&node(integer(5432))), Ok(PortSpec::Number(5432)));
    }

    #[test]
    fn what_no_option_takes_is_an_error_and_not_a_value() {
        let large = Value::Integer { written: "9".repeat(30), value: None };
        assert!(i64::deserialize(&node(large)).unwrap_err().to_string().ends_with("64 bits"));
        assert!(String::deserialize(&node(Value::Moment("2026-01-01".to_owned()))).is_err());
        assert!(HandleDeletes::deserialize(&node(Value::Boolean(true))).is_err());
    }
}
