//! The JSON of a registry as trees of values.

use super::source::as_in_toml;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::declare::sections::{Mistake, section};
use crate::declare::{FrameSpec, Places};
use crate::error::{FlowError, Location};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What stands for a query that a function answers when it is called.
const TO_BE_CALLED: &str = "SELECT NULL AS \"the pipeline's function is called first\"";

/// A line of Python.
#[derive(Deserialize)]
pub(super) struct DeclaredAt {
    file: String,
    line: usize,
}

/// The sections of a registry as trees, each value at the line of Python that declared its part.
pub(super) struct Trees {
    pub(super) places: HashMap<String, Arc<Location>>,
    /// How many values there are so far: the order of mistakes.
    order: usize,
    pub(super) called: HashSet<String>,
    /// Pipelines whose rows Python hands over.
    pub(super) frames: Vec<(String, FrameSpec)>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Trees {
    pub(super) fn new(places: IndexMap<String, DeclaredAt>) -> Trees {
        let places = places
            .into_iter()
            .map(|(path, place)| {
                // `pipelines.NAME`, where the name may have dots of its own.
                let (kind, name) = path.split_once('.').unwrap_or((&path, ""));
                let location = Location {
                    file: place.file,
                    line: place.line,
                    column: 1,
                    section: Some(section(&[kind, name])),
                    excerpt: None,
                };
                (Places::path(kind, name), Arc::new(location))
            })
            .collect();
        Trees { places, order: 0, called: HashSet::new(), frames: Vec::new(), mistakes: Vec::new() }
    }

    fn place(&mut self, at: &Option<Arc<Location>>) -> Place {
        self.order += 1;
        Place::Declared { at: at.clone(), order: self.order }
    }

    fn of(&self, kind: &str, name: &str) -> Option<Arc<Location>> {
        self.places.get(&Places::path(kind, name)).cloned()
    }

    pub(super) fn section(&mut self, kind: &str, parts: IndexMap<String, Json>) -> Field {
        let key = self.place(&None);
        let mut table = Table::default();
        for (name, value) in parts {
            let at = self.of(kind, &name);
            let field = self.field(value, &at);
            table.insert(name, field);
        }
        Field { node: Node { value: Value::Table(table), place: key.clone() }, key }
    }

    pub(super) fn pipelines(&mut self, pipelines: IndexMap<String, Json>) -> Field {
        let key = self.place(&None);
        let mut table = Table::default();
        for (name, mut value) in pipelines {
            let at = self.of("pipelines", &name);
            let source = value.get_mut("source").and_then(Json::as_object_mut);
            match source.map_or(Ok(()), |source| self.source(&name, source)) {
                Ok(()) => {
                    let field = self.field(value, &at);
                    table.insert(name, field);
                }
                Err(error) => {
                    let error = match &at {
                        Some(at) => error.at(Location::clone(at)),
                        None => error,
                    };
                    self.mistakes.push(Mistake { error, order: Some(self.order) });
                }
            }
        }
        Field { node: Node { value: Value::Table(table), place: key.clone() }, key }
    }

    /// The transforms as TOML has them, and the names of those that are functions.
    pub(super) fn transforms(&mut self, transforms: IndexMap<String, Json>) -> (Field, Vec<String>) {
        let mut functions = Vec::new();
        let without_functions = transforms.into_iter().map(|(name, mut value)| {
            let said = value.as_object_mut().and_then(|value| value.shift_remove("callable"));
            if said == Some(Json::Bool(true)) {
                functions.push(name.clone());
            }
            (name, value)
        });
        let transforms = without_functions.collect();
        (self.section("transforms", transforms), functions)
    }

    /// A source as TOML has it, and whether a function answers it.
    fn source(&mut self, name: &str, source: &mut Map<String, Json>) -> Result<(), FlowError> {
        if source.shift_remove("callable") == Some(Json::Bool(true)) {
            source.insert("query".to_owned(), Json::from(TO_BE_CALLED));
            self.called.insert(name.to_owned());
        }
        if let Some(frame) = source.shift_remove("frame").filter(|frame| !frame.is_null()) {
            source.insert("query".to_owned(), Json::from(TO_BE_CALLED));
            self.frames.extend(serde_json::from_value(frame).ok().map(|frame| (name.to_owned(), frame)));
        }
        as_in_toml(source)
    }

    fn field(&mut self, value: Json, at: &Option<Arc<Location>>) -> Field {
        let key = self.place(at);
        Field { node: self.node(value, at), key }
    }

    fn node(&mut self, value: Json, at: &Option<Arc<Location>>) -> Node {
        let place = self.place(at);
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Boolean(truth),
            Json::Number(number) => match number.as_str().contains(['.', 'e', 'E']) {
                true => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
                false => Value::Integer { written: number.to_string(), value: number.as_i64() },
            },
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(|item| self.node(item, at)).collect()),
            Json::Object(fields) => {
                let mut table = Table::default();
                for (name, value) in fields {
                    let field = self.field(value, at);
                    table.insert(name, field);
                }
                Value::Table(table)
            }
        };
        Node { value, place }
    }
}
