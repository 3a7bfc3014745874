//! The JSON of a registry as trees of values.

use super::source::as_in_toml;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::declare::sections::Mistake;
use crate::error::{ErrorCode, FlowError, Location};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
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
    pub(super) called: Vec<String>,
    pub(super) together: Vec<(String, Vec<String>)>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Trees {
    pub(super) fn new(places: IndexMap<String, DeclaredAt>) -> Trees {
        let places = places
            .into_iter()
            .map(|(path, place)| {
                let location = Location {
                    file: place.file,
                    line: place.line,
                    column: 1,
                    section: Some(format!("[{path}]")),
                    excerpt: None,
                };
                (path, Arc::new(location))
            })
            .collect();
        Trees { places, order: 0, called: Vec::new(), together: Vec::new(), mistakes: Vec::new() }
    }

    fn place(&mut self, at: &Option<Arc<Location>>) -> Place {
        self.order += 1;
        Place::Declared { at: at.clone(), order: self.order }
    }

    fn of(&self, kind: &str, name: &str) -> Option<Arc<Location>> {
        self.places.get(&format!("{kind}.{name}")).cloned()
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
        for (name, value) in pipelines {
            let at = self.of("pipelines", &name);
            match value {
                Json::Object(mut whole) if whole.get("targets").is_some_and(Json::is_array) => {
                    let Some(Json::Array(targets)) = whole.shift_remove("targets") else { unreachable!() };
                    self.several(&mut table, name, whole, targets, &at);
                }
                value => self.pipeline(&mut table, name, value, &at, true),
            }
        }
        Field { node: Node { value: Value::Table(table), place: key.clone() }, key }
    }

    /// Several targets from one reading are a pipeline each, `NAME/target`, beside one that stands for all.
    fn several(
        &mut self,
        table: &mut Table,
        name: String,
        own: Map<String, Json>,
        targets: Vec<Json>,
        at: &Option<Arc<Location>>,
    ) {
        let shared = |target: &Json| {
            let mut fields = target.as_object().cloned().unwrap_or_default();
            fields.insert("source".to_owned(), own.get("source").cloned().unwrap_or_default());
            fields
        };
        let mut parts: Vec<String> = Vec::new();
        for target in &targets {
            let mut part = format!("{name}/{}", target["target"].as_str().unwrap_or_default());
            if parts.contains(&part) {
                // Refused where they are put together, by the target that both load.
                part = format!("{part} ({})", parts.len() + 1);
            }
            self.pipeline(table, part.clone(), Json::Object(shared(target)), at, false);
            parts.push(part);
        }
        let mut whole = targets.first().map(shared).unwrap_or_default();
        whole.extend(own);
        self.pipeline(table, name.clone(), Json::Object(whole), at, true);
        self.together.push((name, parts));
    }

    fn pipeline(
        &mut self,
        table: &mut Table,
        name: String,
        mut value: Json,
        at: &Option<Arc<Location>>,
        is_called: bool,
    ) {
        let error = if table.contains(&name) {
            Some(FlowError::new(
                ErrorCode::DuplicateName,
                format!("the pipeline `{name}` is declared twice, once as one of several targets"),
            ))
        } else {
            value
                .get_mut("source")
                .and_then(Json::as_object_mut)
                .and_then(|source| self.source(&name, source, is_called).err())
        };
        match error {
            Some(error) => {
                let error = match at {
                    Some(at) => error.at(Location::clone(at)),
                    None => error,
                };
                self.mistakes.push(Mistake { error, order: Some(self.order) });
            }
            None => {
                let field = self.field(value, at);
                table.insert(name, field);
            }
        }
    }

    /// A source as TOML has it, and whether a function answers it.
    fn source(
        &mut self,
        name: &str,
        source: &mut Map<String, Json>,
        is_called: bool,
    ) -> Result<(), FlowError> {
        if source.shift_remove("callable") == Some(Json::Bool(true)) {
            source.insert("query".to_owned(), Json::from(TO_BE_CALLED));
            if is_called {
                self.called.push(name.to_owned());
            }
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
