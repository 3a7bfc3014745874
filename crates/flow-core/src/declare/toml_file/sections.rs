//! Walks the sections of one file: known ones are read, later ones refused by name, others reported.

mod connections;
mod names;

use super::check::{Checker, Item, is_attempted};
use super::finish::ReadPipeline;
use super::text::SourceText;
use super::words::{self, Kind, Owner, section};
use super::{Reader, position};
use crate::declare::Places;
use crate::declare::json_schema::{definition, document};
use crate::declare::options::PipelineOptions;
use crate::error::{ErrorCode, FlowError, Location, did_you_mean};
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

const SECTIONS: &[&str] = &["include", "python", "connections", "defaults", "tables", "pipelines"];
const LATER_SECTIONS: &[&str] = &["vars", "environments", "features", "transforms"];

/// Sections of other tools, or in the singular, and ours.
const FOREIGN_SECTIONS: &[(&str, &str)] = &[
    ("default", "defaults"),
    ("sources", "connections"),
    ("targets", "tables"),
    ("models", "tables"),
    ("databases", "connections"),
    ("jobs", "pipelines"),
    ("flows", "pipelines"),
    ("includes", "include"),
    ("imports", "include"),
];

/// The options that are names of columns, or lists of them.
const COLUMN_OPTIONS: &[&str] = &[
    "keys",
    "compare_columns",
    "update_columns",
    "overwrite_columns",
    "incremental_column",
    "first_valid_from",
    "effective_from",
    "effective_to",
    "current_flag",
    "hash_column",
    "deleted_flag",
    "loaded_at_column",
    "batch_id_column",
];

type Key<'t> = Spanned<Cow<'t, str>>;

impl Reader<'_> {
    /// Reads the sections of one file; answers the patterns of its `include`.
    pub(super) fn sections(&mut self, text: &str, name: String, path: &Path) -> Vec<(String, Location)> {
        let (tree, mistakes) = DeTable::parse_recoverable(text);
        let mut source = SourceText::new(name, text);
        connections::hide_secrets(&mut source, tree.get_ref());
        for mistake in &mistakes {
            source.hide_in_broken_line(mistake.span().map_or(0, |span| span.start));
        }
        let mut file = FileReader {
            checker: Checker { source: &source, errors: Vec::new() },
            places: Places::default(),
            directory: path.parent().unwrap_or(Path::new("")),
            reader: self,
        };
        let includes = file.top(tree.get_ref());
        let FileReader { checker, places, .. } = file;
        let mut errors = checker.errors;
        let syntax = syntax_errors(&source, &mistakes);
        if !syntax.is_empty() {
            // What stands on a broken line, or is missing, may be there once the line is mended.
            let broken: HashSet<usize> = syntax.iter().filter_map(line).collect();
            errors.retain(|error| {
                error.code != ErrorCode::MissingOption
                    && line(error).is_none_or(|line| !broken.contains(&line))
            });
            self.broken = true;
        }
        self.errors.extend(syntax);
        self.errors.extend(errors);
        self.project.places.extend(places);
        includes
    }
}

fn line(error: &FlowError) -> Option<usize> {
    error.location.as_ref().map(|location| location.line)
}

/// The parser's mistakes in our words, the first of each line.
fn syntax_errors(source: &SourceText<'_>, mistakes: &[toml::de::Error]) -> Vec<FlowError> {
    let mut mistakes: Vec<(Range<usize>, &str)> =
        mistakes.iter().map(|mistake| (mistake.span().unwrap_or(0..0), mistake.message())).collect();
    mistakes.sort_by_key(|(span, _)| (span.start, span.end));
    let mut lines = HashSet::new();
    mistakes.retain(|(span, _)| lines.insert(source.line_and_column(span.start).0));
    mistakes
        .into_iter()
        .map(|(span, message)| {
            let error = match message {
                "duplicate key" => FlowError::new(
                    ErrorCode::InvalidToml,
                    format!("{} is written twice", &source.text[span.clone()]),
                ),
                _ if message.starts_with("string values must be quoted") => {
                    FlowError::new(ErrorCode::InvalidToml, "a string needs quotes")
                        .hint("write \"…\" around it")
                }
                _ if message.starts_with("invalid basic string")
                    || message.starts_with("invalid literal string") =>
                {
                    FlowError::new(ErrorCode::InvalidToml, "a string is not closed on its line")
                        .hint("three quotes, \"\"\" or \'\'\', begin and end a string of several lines")
                }
                _ => FlowError::new(ErrorCode::InvalidToml, message),
            };
            error.at(source.location(span, ""))
        })
        .collect()
}

/// Reads one file.
struct FileReader<'r, 'e, 's> {
    reader: &'r mut Reader<'e>,
    checker: Checker<'s>,
    places: Places,
    directory: &'s Path,
}

impl FileReader<'_, '_, '_> {
    fn top(&mut self, tree: &DeTable<'_>) -> Vec<(String, Location)> {
        let mut includes = Vec::new();
        for (key, item) in tree {
            match key.get_ref().as_ref() {
                "connections" => self.connections(item),
                name if self.reader.only_connections => {
                    let error =
                        FlowError::new(ErrorCode::UnknownOption, format!("`{name}` does not belong here"));
                    let error = error.hint("this file holds [connections.NAME] and nothing else");
                    self.checker.report(error, self.entry(key, item), "", None);
                }
                "include" => includes = self.texts(key, item),
                "python" => {
                    let modules = self.texts(key, item);
                    self.reader.project.python.extend(modules.into_iter().map(|(name, _)| name));
                }
                "defaults" => self.defaults(item),
                "tables" => self.tables(item),
                "pipelines" => self.pipelines(item),
                name if LATER_SECTIONS.contains(&name) => self.later(key, item),
                name => self.unknown_section(name, key, item),
            }
        }
        includes
    }

    fn later(&mut self, key: &Key<'_>, item: &Item<'_>) {
        let own = self.entry(key, item);
        let (name, span, empty) = match item.get_ref() {
            DeValue::Table(table) => {
                let first = table.iter().next().map(|(first, value)| self.entry(first, value));
                let span = first.filter(|_| own == key.span()).unwrap_or(own);
                (format!("`[{}]`", key.get_ref()), span, table.is_empty())
            }
            DeValue::Array(array) => (format!("`{}`", key.get_ref()), key.span(), array.is_empty()),
            _ => (format!("`{}`", key.get_ref()), key.span(), false),
        };
        if !empty {
            self.checker.report(words::not_yet_supported(&name), span, "", None);
        }
    }

    fn unknown_section(&mut self, name: &str, key: &Key<'_>, item: &Item<'_>) {
        let ours = FOREIGN_SECTIONS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
        let near = ours.or_else(|| did_you_mean(name, SECTIONS.iter().chain(LATER_SECTIONS).copied()));
        let is_table = matches!(item.get_ref(), DeValue::Table(_));
        let error = if is_table {
            FlowError::new(ErrorCode::UnknownOption, format!("unknown section {}", section(&[name])))
        } else {
            FlowError::new(
                ErrorCode::UnknownOption,
                format!("unknown option `{name}` at the top of the file"),
            )
        };
        let in_brackets = |near: &str| {
            if matches!(near, "include" | "python") { near.to_owned() } else { format!("[{near}]") }
        };
        let error = match near {
            Some(_) => error,
            None if !is_table && crate::declare::options::option_info(name).is_some() => {
                error.hint("options of a pipeline stand in [pipelines.NAME] or in [defaults]")
            }
            None => error.hint(
                "the sections are include, python, [connections], [defaults], [tables] and [pipelines]",
            ),
        };
        self.checker.report(
            error,
            key.span(),
            "",
            near.map(|near| format!("did you mean `{}`?", in_brackets(near))),
        );
    }

    /// A list of texts at the top of the file, each with its place.
    fn texts(&mut self, key: &Key<'_>, item: &Item<'_>) -> Vec<(String, Location)> {
        let owner = Owner { kind: Kind::Other, words: "the file".to_owned(), section: String::new() };
        let schema = &document()["properties"][key.get_ref().as_ref()];
        let Some(good) = self.checker.value(item, schema, key.get_ref(), &owner) else { return Vec::new() };
        let patterns = good.get_ref().as_array().into_iter().flat_map(|array| array.iter());
        patterns
            .filter_map(|pattern| {
                let place = self.checker.source.location(pattern.span(), "");
                pattern.get_ref().as_str().map(|text| (text.to_owned(), place))
            })
            .collect()
    }

    /// The entries of `[connections]`, `[tables]` or `[pipelines]`, each a table.
    fn named<'t, 'i>(&mut self, list: &'static str, kind: Kind, item: &'i Item<'t>) -> Vec<Entry<'t, 'i>> {
        let singular = list.trim_end_matches('s');
        let DeValue::Table(table) = item.get_ref() else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{list}` must hold {list} by name, not be {}", words::kind(item.get_ref())),
            );
            self.checker.report(error.hint(format!("write [{list}.NAME]")), item.span(), "", None);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let owner = Owner::named(kind, list, name);
            let DeValue::Table(inside) = value.get_ref() else {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("{singular} `{name}` must be a table, not {}", words::kind(value.get_ref())),
                );
                let hint = if matches!(value.get_ref(), DeValue::String(_)) && kind == Kind::Connection {
                    format!("write {name} = {{ dsn = \"…\" }}")
                } else {
                    format!("write {} with its options below", owner.section)
                };
                self.checker.report(error.hint(hint), value.span(), &owner.section, None);
                continue;
            };
            if name.is_empty() {
                let error =
                    FlowError::new(ErrorCode::InvalidValue, format!("a {singular} has an empty name"));
                self.checker.report(error, key.span(), &owner.section, None);
                continue;
            }
            let path = format!("{list}.{name}");
            let place = self.checker.source.location(self.entry(key, value), &owner.section);
            if let Some(first) = self.reader.project.places.get(&path) {
                let error =
                    FlowError::new(ErrorCode::DuplicateName, format!("{} is declared twice", owner.words))
                        .detail(format!("first at {}", position(first)))
                        .hint("names hold for all files of a project");
                self.errors().push(error.at(place));
                continue;
            }
            self.record(&path, key, value, &owner.section);
            entries.push(Entry { name: name.to_owned(), table: inside, span: self.entry(key, value), owner });
        }
        entries
    }

    fn errors(&mut self) -> &mut Vec<FlowError> {
        &mut self.checker.errors
    }

    fn defaults(&mut self, item: &Item<'_>) {
        let owner = Owner::defaults();
        let DeValue::Table(table) = item.get_ref() else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("[defaults] must be a table, not {}", words::kind(item.get_ref())),
            );
            return self.checker.report(error, item.span(), "", None);
        };
        let (good, _) = self.checker.table(table, item.span(), definition("PipelineOptions"), &owner);
        self.column_options(table, &owner);
        self.reader.attempted_defaults.extend(table.keys().map(|key| key.get_ref().to_string()));
        for (key, value) in &good {
            let name = key.get_ref().as_ref();
            let path = format!("defaults.{name}");
            if let Some(first) = self.reader.project.places.get(&path) {
                let error =
                    FlowError::new(ErrorCode::DuplicateName, format!("`{name}` is set twice in [defaults]"))
                        .detail(format!("first at {}", position(first)))
                        .hint("[defaults] hold for all files of a project");
                self.checker.report(error, self.entry(key, value), &owner.section, None);
                continue;
            }
            self.record(&path, key, value, &owner.section);
        }
        if let Some(options) = self.deserialize::<PipelineOptions>(
            good,
            &Entry { name: String::new(), table, span: item.span(), owner },
        ) {
            for (name, value) in super::finish::written(&options) {
                self.reader.defaults.entry(name).or_insert(value);
            }
        }
    }

    fn tables(&mut self, item: &Item<'_>) {
        for entry in self.named("tables", Kind::Table, item) {
            let (good, _) =
                self.checker.table(entry.table, entry.span.clone(), definition("TableSpec"), &entry.owner);
            if let Some(columns) = entry.table.get("columns").and_then(|columns| columns.get_ref().as_table())
            {
                for (key, column) in columns {
                    let path = format!("tables.{}.columns.{}", entry.name, key.get_ref());
                    self.record(&path, key, column, &section(&["tables", &entry.name, "columns"]));
                }
            }
            self.table_names(entry.table, &entry);
            if let Some(table) = self.deserialize(good, &entry) {
                self.reader.project.tables.insert(entry.name, table);
            }
        }
    }

    fn pipelines(&mut self, item: &Item<'_>) {
        for entry in self.named("pipelines", Kind::Pipeline, item) {
            let schema = definition("PipelineSection");
            let (mut good, complete) =
                self.checker.table(entry.table, entry.span.clone(), schema, &entry.owner);
            self.column_options(entry.table, &entry.owner);
            let source = good.remove("source").and_then(|source| self.source(&source, &entry));
            let target = good.remove("target").and_then(|target| {
                let place = self.checker.source.location(target.span(), &entry.owner.section);
                target.get_ref().as_str().map(|name| (name.to_owned(), place))
            });
            let attempted = {
                let known: Vec<&str> = schema["properties"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.as_str())
                    .collect();
                let mode_is_attempted = is_attempted(entry.table, "mode", &known, &entry.owner);
                let written = entry.table.keys().map(|key| key.get_ref().to_string());
                written.chain(mode_is_attempted.then(|| "mode".to_owned())).collect()
            };
            let place = self.checker.source.location(entry.span.clone(), &entry.owner.section);
            let Some(options) = self.deserialize(good, &entry) else { continue };
            let read =
                ReadPipeline { source: source.filter(|_| complete), target, options, attempted, place };
            self.reader.pipelines.insert(entry.name, read);
        }
    }

    /// Where a thing begins: its header, or its key with its value.
    fn entry(&self, key: &Key<'_>, item: &Item<'_>) -> Range<usize> {
        let (key, item) = (key.span(), item.span());
        let is_header = item.start < key.start && key.end <= item.end;
        if is_header { item } else { key.start..key.end.max(item.end) }
    }

    /// Remembers where a thing and everything in it was written.
    fn record(&mut self, path: &str, key: &Key<'_>, item: &Item<'_>, section: &str) {
        let place = self.checker.source.location(self.entry(key, item), section);
        self.places.insert(path, place);
        match item.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table {
                    self.record(&format!("{path}.{}", key.get_ref()), key, value, section);
                }
            }
            DeValue::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    self.places.insert(
                        format!("{path}.{index}"),
                        self.checker.source.location(value.span(), section),
                    );
                }
            }
            _ => {}
        }
    }

    /// The Rust value of what passed the checks.
    fn deserialize<T: DeserializeOwned>(&mut self, good: DeTable<'_>, entry: &Entry<'_, '_>) -> Option<T> {
        let item = Spanned::new(entry.span.clone(), DeValue::Table(good));
        match T::deserialize(ValueDeserializer::from(item)) {
            Ok(value) => Some(value),
            Err(error) => {
                // Not reached as long as the schema says all that serde asks for.
                let span = error.span().unwrap_or(entry.span.clone());
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("{}: {}", entry.owner.words, error.message()),
                );
                self.checker.report(error, span, &entry.owner.section, None);
                None
            }
        }
    }
}

/// A table with a name.
struct Entry<'t, 'i> {
    name: String,
    table: &'i DeTable<'t>,
    span: Range<usize>,
    owner: Owner,
}
