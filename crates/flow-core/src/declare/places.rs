//! Where things were written, by path: `pipelines.customers.mode`, `tables.dim.columns.email`. A name with dots stands in
//! quotes.
//!
//! A thing keeps the bytes of all that was written in it. They become line, column and excerpt when somebody asks: of
//! thousands of places hardly any is ever shown.

use super::node::{Field, Place, Value};
use super::project::quoted;
use super::toml::SourceText;
use crate::error::Location;
use foldhash::fast::RandomState;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The section whose options pipelines have, too.
const DEFAULTS: &str = "defaults";

/// Where things were written, by path; a clone copies nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places(Arc<HashMap<String, Thing, RandomState>>);

/// A place.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// Told as it is.
    Told(Arc<Location>),
    /// Bytes of a file, in a section.
    Bytes(Arc<SourceText>, Range<usize>, Arc<str>),
}

impl At {
    /// The place as messages show it.
    pub(crate) fn location(&self) -> Location {
        match self {
            At::Told(location) => Location::clone(location),
            At::Bytes(source, span, section) => source.location(span.clone(), section),
        }
    }
}

/// Something that was written, with what was written in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Thing {
    Told(Arc<Location>),
    Written(Written),
}

impl Thing {
    /// Where something and everything in it was written.
    pub(crate) fn written(source: &Arc<SourceText>, section: &str, field: &Field) -> Thing {
        Thing::Written(Written::of(source, section, field))
    }

    fn of(at: At) -> Thing {
        match at {
            At::Told(location) => Thing::Told(location),
            At::Bytes(source, span, section) => {
                Thing::Written(Written { parts: vec![(0, span)], ..Written::nothing(source, section) })
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Written {
    source: Arc<SourceText>,
    section: Arc<str>,
    /// The paths of its parts, one behind the other; each begins with a dot, the thing's own is empty.
    paths: String,
    /// Where the path of each part ends, and its bytes.
    parts: Vec<(usize, Range<usize>)>,
    /// The section of its columns, which have one of their own.
    columns: Option<Arc<str>>,
    /// The options that it has from `[defaults]`, where they were written.
    defaults: Vec<&'static str>,
}

impl Written {
    fn of(source: &Arc<SourceText>, section: &str, field: &Field) -> Written {
        let mut written = Written::nothing(Arc::clone(source), section.into());
        written.add(&mut String::new(), field);
        written
    }

    fn nothing(source: Arc<SourceText>, section: Arc<str>) -> Written {
        Written {
            source,
            section,
            paths: String::new(),
            parts: Vec::new(),
            columns: None,
            defaults: Vec::new(),
        }
    }

    fn add(&mut self, path: &mut String, field: &Field) {
        self.push(path, field.whole());
        let length = path.len();
        match &field.node.value {
            Value::Table(table) => {
                for (name, field) in table.iter() {
                    path.push('.');
                    path.push_str(&part(name));
                    self.add(path, field);
                    path.truncate(length);
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push_str(&format!(".{index}"));
                    self.push(path, item.place.clone());
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, path: &str, place: Place) {
        if let Place::Bytes(span) = place {
            self.paths.push_str(path);
            self.parts.push((self.paths.len(), span));
        }
    }

    /// Every part: its path in the thing, and its bytes.
    fn parts(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        let mut start = 0;
        self.parts
            .iter()
            .map(move |(end, span)| (&self.paths[std::mem::replace(&mut start, *end)..*end], span))
    }

    fn at(&self, path: &str, span: &Range<usize>) -> At {
        let of_columns = self.columns.as_ref().filter(|_| path.starts_with(".columns."));
        At::Bytes(Arc::clone(&self.source), span.clone(), Arc::clone(of_columns.unwrap_or(&self.section)))
    }
}

impl PartialEq for Written {
    fn eq(&self, other: &Written) -> bool {
        let shown = |of: &Written| -> Vec<(String, Location)> {
            of.parts().map(|(path, span)| (path.to_owned(), of.at(path, span).location())).collect()
        };
        self.defaults == other.defaults && shown(self) == shown(other)
    }
}

/// Whether a path is that of a part, or of something in it.
fn is_in(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A name in a path, which its dots do not divide.
fn part(name: &str) -> Cow<'_, str> {
    if name.contains('.') { quoted(name).into() } else { name.into() }
}

impl Places {
    /// The path of what has a name: `pipelines.customers`, `pipelines."a.b"`.
    pub fn path(of: &str, name: &str) -> String {
        [of, ".", &part(name)].concat()
    }

    /// The place of a pipeline.
    pub fn pipeline(&self, name: &str) -> Option<Location> {
        self.find(&Places::path("pipelines", name))
    }

    /// Remembers a place.
    pub fn insert(&mut self, path: impl Into<String>, location: impl Into<Arc<Location>>) {
        self.keep(path.into(), Thing::Told(location.into()));
    }

    /// Remembers a place that nobody has read yet.
    pub(crate) fn put_at(&mut self, path: String, at: At) {
        self.keep(path, Thing::of(at));
    }

    /// Remembers where something and everything in it was written.
    pub(crate) fn keep(&mut self, path: String, thing: Thing) {
        Arc::make_mut(&mut self.0).insert(path, thing);
    }

    /// Says in which section the columns of a table stand.
    pub(crate) fn columns(&mut self, path: &str, section: &str) {
        if let Some(Thing::Written(written)) = Arc::make_mut(&mut self.0).get_mut(path) {
            written.columns = Some(section.into());
        }
    }

    /// Says that a pipeline has options from `[defaults]`.
    pub(crate) fn defaults(&mut self, path: &str, names: Vec<&'static str>) {
        if let Some(Thing::Written(written)) = Arc::make_mut(&mut self.0).get_mut(path) {
            written.defaults = names;
        }
    }

    /// The place of a path, or of the nearest part of it that is known:
    /// an option that was not written leads to its pipeline.
    pub fn find(&self, path: &str) -> Option<Location> {
        self.nearest(path).map(|(_, at)| at.location())
    }

    /// The place of exactly this path.
    pub fn get(&self, path: &str) -> Option<Location> {
        self.at(path).map(|at| at.location())
    }

    /// The same, which nobody reads yet.
    pub(crate) fn at(&self, path: &str) -> Option<At> {
        self.nearest(path).filter(|(length, _)| *length == path.len()).map(|(_, at)| at)
    }

    /// The longest part of a path that is known: its length and its place. What was remembered by itself comes before
    /// the same as a part of something.
    fn nearest(&self, path: &str) -> Option<(usize, At)> {
        let (mut found, mut of) = (None::<(usize, At)>, path);
        loop {
            if let Some((length, at)) =
                self.0.get(of).and_then(|thing| self.nearest_in(thing, &path[of.len()..]))
                && found.as_ref().is_none_or(|(known, _)| *known < of.len() + length)
            {
                found = Some((of.len() + length, at));
            }
            let Some(dot) = of.rfind('.') else { return found };
            of = &of[..dot];
        }
    }

    fn nearest_in(&self, thing: &Thing, rest: &str) -> Option<(usize, At)> {
        let written = match thing {
            Thing::Told(location) => return Some((0, At::Told(Arc::clone(location)))),
            Thing::Written(written) => written,
        };
        let known = written.parts().filter(|(part, _)| is_in(rest, part));
        let own = known.max_by_key(|(part, _)| part.len());
        let own = own.map(|(part, span)| (part.len(), written.at(part, span)));
        let option = rest.strip_prefix('.').unwrap_or_default();
        if own.as_ref().is_some_and(|(length, _)| *length > 0)
            || !written.defaults.iter().any(|name| is_in(option, name))
        {
            return own;
        }
        let (length, at) = self.nearest(&format!("{DEFAULTS}{rest}"))?;
        Some((length - DEFAULTS.len(), at))
    }

    /// Says that a path was written where another was, with all that lies in it.
    pub(crate) fn put(&mut self, path: &str, from: &str) {
        Arc::make_mut(&mut self.0).retain(|known, _| !is_in(known, path));
        for (rest, at) in self.inside(from) {
            self.keep(format!("{path}{rest}"), Thing::of(at));
        }
    }

    /// The places of a path and of what lies in it, each with the rest of its path.
    fn inside(&self, path: &str) -> Vec<(String, At)> {
        let mut things: Vec<(&String, &Thing)> =
            self.0.iter().filter(|(known, _)| is_in(known, path) || is_in(path, known)).collect();
        // What was remembered by itself comes last, and stays.
        things.sort_by_key(|(known, _)| known.len());
        let mut found = Vec::new();
        for (known, thing) in things {
            let mut add = |part: &str, at: At| {
                let whole = format!("{known}{part}");
                if is_in(&whole, path) {
                    found.push((whole[path.len()..].to_owned(), at));
                }
            };
            match thing {
                Thing::Told(location) => add("", At::Told(Arc::clone(location))),
                Thing::Written(written) => {
                    written.parts().for_each(|(part, span)| add(part, written.at(part, span)));
                }
            }
        }
        found
    }

    /// Adds the places of another file.
    pub fn extend(&mut self, other: Places) {
        Arc::make_mut(&mut self.0).extend(Arc::unwrap_or_clone(other.0));
    }
}
