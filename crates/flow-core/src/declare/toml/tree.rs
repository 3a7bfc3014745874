//! TOML as a tree of values with their places.

use crate::declare::node::{Field, Node, Place, Table, Value};
use toml::de::{DeTable, DeValue};

/// The tree of a file, each value at its bytes.
pub(super) fn table_of(table: DeTable<'_>) -> Table {
    let mut out = Table::default();
    for (key, item) in table {
        let place = Place::Bytes(key.span());
        let span = item.span();
        let node = Node { value: value_of(item.into_inner()), place: Place::Bytes(span) };
        out.insert(key.into_inner(), Field { key: place, node });
    }
    out
}

fn value_of(value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => Value::Integer {
            written: number.to_string(),
            value: i64::from_str_radix(number.as_str(), number.radix()).ok(),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(truth),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| {
                    let span = item.span();
                    Node { value: value_of(item.into_inner()), place: Place::Bytes(span) }
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(table_of(table)),
    }
}
