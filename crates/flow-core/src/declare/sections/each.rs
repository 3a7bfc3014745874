//! Expands `for_each`: one pipeline for each table, value or row. What only a database knows is asked by whoever reads the
//! project; until it is answered the pipeline stands for all of them.

use super::words::{Kind, Owner, kind, section};
use super::{Document, finish};
use crate::declare::for_each::{Answer, Member, Question, Row, chosen, name_glob};
use crate::declare::glob::{covers, is_glob};
use crate::declare::json_schema::definition;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::declare::variables::is_variable_name;
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::sql::Literal;

/// The connection that is asked where none is named, neither here nor by the source.
const DEFAULT_CONNECTION: &str = "default";

/// A pipeline with a `for_each`, taken apart.
struct Many {
    /// Its name, as it is written.
    name: String,
    field: Field,
    overrides: Vec<(String, Field, Table)>,
    at: String,
}

/// What a `for_each` goes over.
enum Over {
    /// The members, one a row.
    Rows(Vec<Row>),
    /// What is not asked yet; the names that a row will have, where they are known.
    Asked(Question, Option<Vec<String>>),
}

impl Document<'_, '_> {
    /// Puts the members of a pipeline among the others, or itself where they are not known.
    pub(super) fn each(&mut self, out: &mut Table, name: String, mut field: Field) {
        let at = section(&["pipelines", &name]);
        let Value::Table(own) = &mut field.node.value else { return };
        let overrides = own.take("overrides");
        let Some(each) = own.take("for_each") else { return };
        let source = own.get("source").and_then(Node::as_table).and_then(|source| source.get("connection"));
        let source = source.and_then(Node::as_text).map(str::to_owned);
        let overrides = overrides.map(|field| self.overrides_of(&name, &field, &at)).unwrap_or_default();
        let over = self.over(&name, &each, source, &at);
        let many = Many { name, field, overrides, at };
        match over {
            Some(Over::Rows(rows)) => self.members(out, &many, rows),
            Some(Over::Asked(question, names)) => self.one_for_all(out, many, question, names),
            // What it goes over is wrong, and nothing else is known of it.
            None => {}
        }
    }

    fn overrides_of(&mut self, name: &str, field: &Field, at: &str) -> Vec<(String, Field, Table)> {
        let Value::Table(all) = &field.node.value else {
            let found = kind(&field.node.value);
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("`overrides` of pipeline `{name}` must hold options by member, not be {found}"),
            );
            self.checker.report(
                error.hint("write overrides.NAME = { mode = \"append\" }"),
                &field.node.place,
                at,
                None,
            );
            return Vec::new();
        };
        let mut out = Vec::new();
        for (member, field) in all.iter() {
            let owner = Owner {
                kind: Kind::Pipeline,
                words: format!("the overrides of `{member}`"),
                section: at.to_owned(),
            };
            let Value::Table(options) = &field.node.value else {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("{} must be a table, not {}", owner.words, kind(&field.node.value)),
                );
                self.checker.report(error, &field.node.place, at, None);
                continue;
            };
            let (good, _) =
                self.checker.table(options, &field.node.place, definition("PipelineOptions"), &owner);
            out.push((member.to_owned(), field.clone(), good.into_owned()));
        }
        out
    }

    /// What a `for_each` goes over; nothing where it is wrong.
    fn over(&mut self, name: &str, each: &Field, source: Option<String>, at: &str) -> Option<Over> {
        let Value::Table(said) = &each.node.value else {
            return self.wrong(
                name,
                format!("must be a table, not {}", kind(&each.node.value)),
                &each.node.place,
                at,
            );
        };
        let (tables, query) = (said.field("tables"), said.field("query"));
        if tables.is_none() && query.is_none() {
            return self.lists(name, said, &each.node.place, at);
        }
        for (other, field) in said.iter() {
            if !matches!(other, "connection" | "tables" | "query") || (tables.is_some() && other == "query") {
                let first = if tables.is_some() { "tables" } else { "query" };
                return self.wrong(
                    name,
                    format!("has `{first}`, so it cannot have `{other}`"),
                    &field.key,
                    at,
                );
            }
        }
        let connection = match said.field("connection") {
            None => source.unwrap_or_else(|| DEFAULT_CONNECTION.to_owned()),
            Some(field) => match self.text_of(&field.node, at) {
                Some(text) => text,
                None => {
                    return self.wrong(
                        name,
                        "names its connection by text".to_owned(),
                        &field.node.place,
                        at,
                    );
                }
            },
        };
        let place = self.checker.spot(&each.whole(), at).location();
        if let Some(field) = tables {
            return self.tables_of(name, field, Question { connection, query: None, place }, at);
        }
        let field = query?;
        let Some(text) = field.node.as_text() else {
            return self.wrong(name, "has a `query` that is no text".to_owned(), &field.node.place, at);
        };
        if let Err(error) = crate::query::ReadQuery::parse(text) {
            self.checker.report(error, &field.node.place, at, None);
            return None;
        }
        let query = self.filled_text(text.to_owned(), &field.node.place, at);
        match self.reader.answers.get(name) {
            Some(Answer::Rows(rows)) => Some(Over::Rows(rows.clone())),
            _ => Some(Over::Asked(Question { connection, query: Some(query), place }, None)),
        }
    }

    fn wrong<T>(&mut self, name: &str, what: String, place: &Place, at: &str) -> Option<T> {
        let error =
            FlowError::new(ErrorCode::InvalidValue, format!("`for_each` of pipeline `{name}` {what}"));
        let hint = "write { connection = \"crm\", tables = [\"app.*\"] }, { connection = \"crm\", query = \"SELECT …\" } \
                    or { name = [\"a\", \"b\"] }";
        self.checker.report(error.hint(hint), place, at, None);
        None
    }

    fn tables_of(&mut self, name: &str, field: &Field, question: Question, at: &str) -> Option<Over> {
        let items = match &field.node.value {
            Value::List(items) if !items.is_empty() => items.clone(),
            Value::Text(_) => vec![field.node.clone()],
            _ => {
                let what = "has `tables` that are no list of patterns".to_owned();
                return self.wrong(name, what, &field.node.place, at);
            }
        };
        let mut patterns = Vec::new();
        for item in &items {
            let Some(text) = self.text_of(item, at) else {
                return self.wrong(name, "has a pattern that is no text".to_owned(), &item.place, at);
            };
            if !text.contains('.') {
                let what = format!("has the pattern `{text}`, which names no schema: schema.table");
                return self.wrong(name, what, &item.place, at);
            }
            patterns.push(text);
        }
        if patterns.iter().all(|pattern| pattern.starts_with('!')) {
            return self.wrong(name, "only leaves tables out".to_owned(), &field.node.place, at);
        }
        let Some(Answer::Tables(relations)) = self.reader.answers.get(name) else {
            let names = ["schema", "table"].map(str::to_owned).to_vec();
            return Some(Over::Asked(question, Some(names)));
        };
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let (rows, idle) = chosen(&patterns, relations);
        for index in &idle {
            let pattern = patterns[*index];
            let (message, hint) = match pattern.strip_prefix('!') {
                None => (
                    format!("`{pattern}` of `for_each` matches no table of `{}`", question.connection),
                    "a glob takes tables; views, foreign tables and partitions are named one by one",
                ),
                Some(_) => (
                    format!("`{pattern}` of `for_each` leaves no table out"),
                    "remove it, or correct its name",
                ),
            };
            let error = FlowError::new(ErrorCode::UnknownTable, message).hint(hint);
            self.checker.report(error, &items[*index].place, at, None);
        }
        idle.is_empty().then_some(Over::Rows(rows))
    }

    /// Lists of values; of several lists every combination.
    fn lists(&mut self, name: &str, said: &Table, place: &Place, at: &str) -> Option<Over> {
        if said.is_empty() {
            return self.wrong(name, "goes over nothing".to_owned(), place, at);
        }
        let mut rows = vec![Row::new()];
        for (variable, field) in said.iter() {
            if !is_variable_name(variable) {
                let what = format!("has `{variable}`, which cannot be the name of a variable");
                return self.wrong(name, what, &field.key, at);
            }
            let Value::List(items) = &field.node.value else {
                let what = format!("has `{variable}`, which is {} and no list", kind(&field.node.value));
                return self.wrong(name, what, &field.node.place, at);
            };
            let mut values = Vec::new();
            for item in items {
                values.push(match &item.value {
                    Value::Text(text) => Literal::Text(text.clone()),
                    Value::Integer { value: Some(number), .. } => Literal::Integer(*number),
                    Value::Float(number) if number.is_finite() => Literal::Float(*number),
                    Value::Boolean(truth) => Literal::Boolean(*truth),
                    other => {
                        let what = format!("has {} in `{variable}`", kind(other));
                        return self.wrong(name, what, &item.place, at);
                    }
                });
            }
            let with = |row: &Row, value: &Literal| {
                let mut row = row.clone();
                row.insert(variable.to_owned(), value.clone());
                row
            };
            rows = rows.iter().flat_map(|row| values.iter().map(move |value| with(row, value))).collect();
        }
        Some(Over::Rows(rows))
    }

    fn members(&mut self, out: &mut Table, many: &Many, rows: Vec<Row>) {
        let mut names = Vec::new();
        for row in rows {
            self.reader.row = row;
            let mut used = Vec::new();
            let name = self.filled(&many.name, &many.field.key, &many.at, &mut used);
            if let Some(name) = name {
                let mut field = many.field.clone();
                if let Value::Table(own) = &mut field.node.value {
                    for (pattern, _, options) in &many.overrides {
                        if covers(pattern, &name) {
                            lay_over(own, options);
                        }
                    }
                }
                let row = std::mem::take(&mut self.reader.row);
                self.reader
                    .project
                    .members
                    .insert(name.clone(), Member { of: many.name.clone(), row: row.clone() });
                self.reader.row = row;
                self.fill_one(&name, &mut field, used);
                names.push(name.clone());
                self.keep(out, "pipelines", &section(&["pipelines", &name]), name, field);
            }
            self.reader.row = Row::new();
        }
        for (pattern, field, _) in &many.overrides {
            if !names.iter().any(|name| covers(pattern, name)) {
                let near = did_you_mean(pattern, names.iter().map(String::as_str)).map(str::to_owned);
                self.idle_override(many, pattern, field, near);
            }
        }
    }

    fn idle_override(&mut self, many: &Many, pattern: &str, field: &Field, near: Option<String>) {
        let error = FlowError::new(
            ErrorCode::UnknownPipeline,
            format!("`overrides.{pattern}` is of no member of `{}`", many.name),
        );
        let label = near.map(|near| format!("did you mean `{near}`?"));
        let error = match label {
            Some(_) => error,
            None => error.hint("it is called by the whole name of a pipeline, or by a glob over them"),
        };
        self.checker.report(error, &field.key, &many.at, label);
    }

    /// The pipeline as it is declared, which stands for all of its members.
    fn one_for_all(&mut self, out: &mut Table, many: Many, question: Question, names: Option<Vec<String>>) {
        let glob = name_glob(&many.name);
        for (pattern, field, _) in &many.overrides {
            if !is_glob(pattern) && !covers(&glob, pattern) {
                self.idle_override(&many, pattern, field, None);
            }
        }
        self.reader.pending = Some(names);
        let mut used = Vec::new();
        if let Some(name) = self.filled(&many.name, &many.field.key, &many.at, &mut used) {
            let mut field = many.field;
            self.fill_one(&name, &mut field, used);
            let pending = self.reader.pending.take().flatten();
            self.reader.unasked.insert(name.clone(), pending);
            self.reader.project.each.insert(name.clone(), (many.name, question));
            self.keep(out, "pipelines", &section(&["pipelines", &name]), name, field);
        }
        self.reader.pending = None;
    }
}

/// Lays options over those of a pipeline; of two that exclude each other the later is meant.
fn lay_over(own: &mut Table, options: &Table) {
    for (name, field) in options.iter() {
        for (said, other) in finish::ALTERNATIVES {
            if *said == name && !options.contains(other) {
                own.remove(other);
            }
        }
        own.insert(name, field.clone());
    }
}
