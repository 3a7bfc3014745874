//! The JSON of a registry as trees of values.

use super::source::as_in_toml;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::declare::sections::{Mistake, section};
use crate::declare::{FrameSpec, Places};
use crate::error::{FlowError, Location};
use indexmap::IndexMap;
use serde_json::{Map, Value as Json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What stands for a query that a function answers when it is called.
const TO_BE_CALLED: &str = "SELECT NULL AS \"the pipeline's function is called first\"";

/// The lines of a file at which things were declared: by their kind and their name.
pub(super) type Lines = IndexMap<String, IndexMap<String, usize>>;

/// The sections of a registry, in their order.
#[derive(Clone, Copy)]
pub(super) enum Section {
    Connections,
    Tables,
    Features,
    Pipelines,
    Transforms,
}

impl Section {
    const ALL: [&str; 5] = ["connections", "tables", "features", "pipelines", "transforms"];

    fn name(self) -> &'static str {
        Section::ALL[self as usize]
    }
}

/// The bits of a value's place among all values that say how many there are before it; those above say the section.
const BITS_OF_COUNT: u32 = usize::BITS - 4;

/// The sections of a registry as trees, each value at the line of Python that declared its part.
#[derive(Default)]
pub(super) struct Trees {
    pub(super) places: HashMap<String, Arc<Location>>,
    sections: [Table; Section::ALL.len()],
    /// The section that is being added to.
    section: usize,
    /// How many values there are so far: the order of mistakes in a section.
    count: usize,
    /// The names of the transforms that are functions.
    pub(super) functions: Vec<String>,
    pub(super) called: HashSet<String>,
    /// Pipelines whose rows Python hands over.
    pub(super) frames: Vec<(String, FrameSpec)>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Trees {
    /// Where things were declared, by file.
    pub(super) fn places(&mut self, places: IndexMap<String, Lines>) {
        for (file, lines) in places {
            for (kind, lines) in lines {
                self.places.reserve(lines.len());
                for (name, line) in lines {
                    let location = Location {
                        file: file.clone(),
                        line,
                        column: 1,
                        section: Some(section(&[&kind, &name])),
                        excerpt: None,
                    };
                    self.places.insert(Places::path(&kind, &name), Arc::new(location));
                }
            }
        }
    }

    /// A section as it is so far.
    pub(super) fn whole(&mut self, section: Section) -> Node {
        self.section = section as usize;
        let table = std::mem::take(&mut self.sections[self.section]);
        Node { value: Value::Table(table), place: self.place(&None) }
    }

    fn order(&self) -> usize {
        (self.section << BITS_OF_COUNT) | self.count
    }

    fn place(&mut self, at: &Option<Arc<Location>>) -> Place {
        self.count += 1;
        Place::Declared { at: at.clone(), order: self.order() }
    }

    fn of(&self, kind: &str, name: &str) -> Option<Arc<Location>> {
        self.places.get(&Places::path(kind, name)).cloned()
    }

    /// Adds things to a section.
    pub(super) fn section(&mut self, section: Section, parts: IndexMap<String, Json>) {
        self.section = section as usize;
        for (name, value) in parts {
            let at = self.of(section.name(), &name);
            let field = self.field(value, &at);
            self.sections[section as usize].insert(name, field);
        }
    }

    /// Adds pipelines.
    pub(super) fn pipelines(&mut self, pipelines: IndexMap<String, Json>) {
        self.section = Section::Pipelines as usize;
        for (name, mut value) in pipelines {
            let at = self.of("pipelines", &name);
            let source = value.get_mut("source").and_then(Json::as_object_mut);
            match source.map_or(Ok(()), |source| self.source(&name, source)) {
                Ok(()) => {
                    let field = self.field(value, &at);
                    self.sections[Section::Pipelines as usize].insert(name, field);
                }
                Err(error) => {
                    let error = match &at {
                        Some(at) => error.at(Location::clone(at)),
                        None => error,
                    };
                    self.mistakes.push(Mistake { error, order: Some(self.order()) });
                }
            }
        }
    }

    /// Adds transforms, as TOML has them, and says which of them are functions.
    pub(super) fn transforms(&mut self, transforms: IndexMap<String, Json>) {
        let functions = &mut self.functions;
        let without_functions = transforms.into_iter().map(|(name, mut value)| {
            let said = value.as_object_mut().and_then(|value| value.shift_remove("callable"));
            if said == Some(Json::Bool(true)) {
                functions.push(name.clone());
            }
            (name, value)
        });
        let transforms = without_functions.collect();
        self.section(Section::Transforms, transforms);
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
