//! Reads one file: its text becomes a tree, the tree the sections of a project.

use super::text::SourceText;
use super::tree::table_of;
use super::{Files, Loaded};
use crate::declare::Places;
use crate::declare::json_schema::document;
use crate::declare::node::{Field, Node, Table, Value};
use crate::declare::options::option_info;
use crate::declare::sections::{Checker, Document, Kind, Mistake, Owner, secrets, section};
use crate::declare::variables::Chosen;
use crate::error::{ErrorCode, FlowError, Location, did_you_mean};
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::de::DeTable;

const SECTIONS: &[&str] = &[
    "include",
    "python",
    "vars",
    "connections",
    "defaults",
    "tables",
    "pipelines",
    "features",
    "transforms",
    "environments",
];

/// Sections of other tools, or in the singular, and ours.
const FOREIGN_SECTIONS: &[(&str, &str)] = &[
    ("default", "defaults"),
    ("sources", "connections"),
    ("targets", "tables"),
    ("models", "tables"),
    ("feature_views", "features"),
    ("feature", "features"),
    ("databases", "connections"),
    ("jobs", "pipelines"),
    ("flows", "pipelines"),
    ("includes", "include"),
    ("imports", "include"),
];

/// From how many bytes of text on it takes its time to take the tree of a file apart.
const LARGE: usize = 1 << 20;

impl Files<'_> {
    /// Loads one file; answers the patterns of its `include`.
    pub(super) fn load(
        &mut self,
        text: String,
        name: String,
        path: &Path,
    ) -> (Loaded, Vec<(String, Location)>) {
        let (tree, syntax) = DeTable::parse_recoverable(&text);
        let tree = table_of(tree.into_inner());
        let source = Arc::new(source_of(&name, text, &tree, &syntax));
        let loaded = Loaded { name, path: path.to_owned(), source, tree, syntax };
        let errors = syntax_errors(&loaded.source, &loaded.syntax);
        self.reader.broken |= !errors.is_empty();
        self.reader.mistakes.extend(errors.into_iter().map(|error| Mistake { error, order: None }));
        let patterns = match loaded.tree.get("include").filter(|_| !self.only_connections) {
            Some(include) => self.judge(&loaded, |document| document.texts("include", include)),
            None => Vec::new(),
        };
        (loaded, patterns)
    }

    /// Reads the sections of every file, once all of them are loaded: first what holds for all the others.
    pub(super) fn read(&mut self, chosen: &Chosen) {
        let mut files = std::mem::take(&mut self.files);
        if !self.only_connections {
            for loaded in &files {
                self.judge(loaded, |document| document.ground(&loaded.tree));
            }
            self.reader.choose(chosen, self.environment);
        }
        let only_connections = self.only_connections;
        for loaded in &mut files {
            let mut tree = std::mem::take(&mut loaded.tree);
            self.judge(loaded, |document| match only_connections {
                true => document.connections_alone(&tree),
                false => document.sections(&mut tree),
            });
            if loaded.source.text.len() > LARGE {
                // Beside the work that is left, which takes as long.
                let aside = std::thread::Builder::new().spawn(move || drop(tree));
                // Where there is no thread to be had, it is gone already.
                drop(aside);
            }
        }
        self.files = files;
    }

    /// Has a file read, and keeps what is found wrong with it.
    fn judge<R>(&mut self, loaded: &Loaded, read: impl FnOnce(&mut Document<'_, '_>) -> R) -> R {
        let source = &loaded.source;
        let mut document = Document {
            checker: Checker { source: Some(source), mistakes: Vec::new() },
            places: Places::default(),
            directory: loaded.path.parent().unwrap_or(Path::new("")),
            environment: self.environment,
            reader: &mut self.reader,
        };
        let answer = read(&mut document);
        let Document { checker, places, .. } = document;
        let mut mistakes = checker.mistakes;
        let syntax = syntax_errors(source, &loaded.syntax);
        if !syntax.is_empty() {
            // What stands on a broken line, or is missing, may be there once the line is mended.
            let broken: HashSet<usize> = syntax.iter().filter_map(line).collect();
            mistakes.retain(|mistake| {
                mistake.error.code != ErrorCode::MissingOption
                    && line(&mistake.error).is_none_or(|line| !broken.contains(&line))
            });
        }
        self.reader.mistakes.extend(mistakes);
        self.reader.project.places.extend(places);
        answer
    }
}

/// The text of a file, without what looks like a secret on a broken line.
fn source_of(name: &str, text: String, tree: &Table, syntax: &[toml::de::Error]) -> SourceText {
    let mut source = SourceText::new(name.to_owned(), text);
    secrets(tree).into_iter().for_each(|secret| source.hide(secret));
    for mistake in syntax {
        source.hide_in_broken_line(mistake.span().map_or(0, |span| span.start));
    }
    source
}

fn line(error: &FlowError) -> Option<usize> {
    error.location.as_ref().map(|location| location.line)
}

/// The parser's mistakes in our words, the first of each line.
fn syntax_errors(source: &SourceText, mistakes: &[toml::de::Error]) -> Vec<FlowError> {
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

impl Document<'_, '_> {
    /// The user's own file.
    fn connections_alone(&mut self, tree: &Table) {
        for (name, field) in tree.iter() {
            if name == "connections" {
                self.connections(&field.node);
                continue;
            }
            let error = FlowError::new(ErrorCode::UnknownOption, format!("`{name}` does not belong here"));
            let error = error.hint("this file holds [connections.NAME] and nothing else");
            self.checker.report(error, &field.whole(), "", None);
        }
    }

    /// What the other sections of every file rest on.
    fn ground(&mut self, tree: &Table) {
        if let Some(vars) = tree.get("vars") {
            self.vars(vars);
        }
        if let Some(environments) = tree.get("environments") {
            self.environments(environments);
        }
    }

    /// The sections that the variables reach, and those that nothing else asks for.
    fn sections(&mut self, tree: &mut Table) {
        for (name, field) in tree.iter_mut() {
            match name {
                "include" | "vars" | "environments" => {}
                "connections" => self.connections(&field.node),
                "python" => {
                    let modules = self.texts(name, &field.node);
                    self.reader.project.python.extend(modules.into_iter().map(|(name, _)| name));
                }
                "defaults" => {
                    self.fill_defaults(&mut field.node);
                    self.defaults(&field.node);
                }
                "tables" => {
                    self.fill_tables("tables", &mut field.node);
                    self.tables(&field.node);
                }
                "features" => {
                    self.fill_tables("features", &mut field.node);
                    self.features(&field.node);
                }
                "pipelines" => {
                    self.fill_pipelines(&mut field.node);
                    self.pipelines(&field.node);
                }
                "transforms" => {
                    self.fill_transforms(&mut field.node);
                    self.transforms(&field.node, &[]);
                }
                name => self.unknown_section(name, field),
            }
        }
    }

    fn unknown_section(&mut self, name: &str, field: &Field) {
        let ours = FOREIGN_SECTIONS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
        let near = ours.or_else(|| did_you_mean(name, SECTIONS.iter().copied()));
        let is_table = matches!(field.node.value, Value::Table(_));
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
            None if !is_table && option_info(name).is_some() => {
                error.hint("options of a pipeline stand in [pipelines.NAME] or in [defaults]")
            }
            None => error.hint(
                "the sections are include, python, [vars], [connections], [defaults], [tables], [features], \
                 [pipelines], [transforms] and [environments]",
            ),
        };
        self.checker.report(
            error,
            &field.key,
            "",
            near.map(|near| format!("did you mean `{}`?", in_brackets(near))),
        );
    }

    /// A list of texts at the top of the file, each with its place.
    fn texts(&mut self, name: &str, node: &Node) -> Vec<(String, Location)> {
        let owner = Owner { kind: Kind::Other, words: "the file".to_owned(), section: String::new() };
        let schema = &document()["properties"][name];
        let Some(good) = self.checker.value(node, schema, name, &owner) else { return Vec::new() };
        let texts = good.as_list().into_iter().flatten();
        texts
            .filter_map(|node| {
                let location = self.checker.spot(&node.place, "").location()?;
                Some((node.as_text()?.to_owned(), location))
            })
            .collect()
    }
}
