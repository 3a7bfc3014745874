//! The project's file with further tables and pipelines. What it holds stays to the byte: what is new comes at its end,
//! in the file's own line ends.

use super::wanted::{Load, Wanted};
use ematix_flow_core::declare::{ColumnSpec, Names};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file with further tables and pipelines.
///
/// # Errors
/// `invalid_toml` where it is none, `invalid_value` where a section is no table.
pub fn with(text: &str, wanted: &[&Wanted], load: &Load) -> Result<String> {
    let mut file = Edited::of(text)?;
    for one in wanted {
        if one.declared.is_none() {
            file.put("tables", &escaped(&one.key), table(one))?;
        }
        file.put("pipelines", &escaped(&one.name), pipeline(one, load))?;
    }
    Ok(file.finish())
}

/// The text of a file that names a Python module besides.
///
/// # Errors
/// As [`with`].
pub fn with_module(text: &str, module: &str) -> Result<String> {
    let mut file = Edited::of(text)?;
    let names = file.document.get("python").and_then(Item::as_array);
    if names.is_some_and(|names| names.iter().any(|name| name.as_str() == Some(module))) {
        return Ok(text.to_owned());
    }
    match file.document.get_mut("python").and_then(Item::as_array_mut) {
        Some(names) => {
            names.push(module);
            Ok(file.finish())
        }
        None => Ok(file.with_first_line(&format!("python = {}", Array::from_iter([module])))),
    }
}

/// What a text has that another, of which it was made, has not.
pub fn added<'t>(before: &str, after: &'t str) -> &'t str {
    after.strip_prefix(before).unwrap_or(after).trim_start_matches(['\r', '\n'])
}

/// A file while it is edited.
pub struct Edited<'t> {
    original: &'t str,
    /// The original without its byte order mark, its lines ended by `\n`.
    plain: String,
    document: DocumentMut,
    /// The place of the next section.
    position: isize,
    /// What stands behind the last section, until a new one comes.
    trailing: Option<String>,
}

impl Edited<'_> {
    /// Takes a file apart.
    ///
    /// # Errors
    /// `invalid_toml` where it is none.
    pub fn of(text: &str) -> Result<Edited<'_>> {
        let plain = text.trim_start_matches(BYTE_ORDER_MARK).replace("\r\n", "\n");
        let document: DocumentMut = plain
            .parse()
            .map_err(|error: toml_edit::TomlError| FlowError::new(ErrorCode::InvalidToml, error.message()))?;
        let position = last_position(document.as_table()) + 1;
        let trailing = document.trailing().as_str().map(str::to_owned);
        Ok(Edited { original: text, plain, document, position, trailing })
    }

    /// Whether there is such a section.
    pub fn has(&self, list: &str, name: &str) -> bool {
        let list = self.document.get(list).and_then(Item::as_table_like);
        list.is_some_and(|sections| sections.contains_key(name))
    }

    /// The names of a list's sections.
    pub fn names(&self, list: &str) -> Vec<String> {
        let list = self.document.get(list).and_then(Item::as_table_like);
        list.map_or_else(Vec::new, |sections| sections.iter().map(|(name, _)| name.to_owned()).collect())
    }

    /// What a section says of an option.
    pub fn said(&self, list: &str, name: &str, option: &str) -> Option<&Item> {
        let list = self.document.get(list).and_then(Item::as_table_like)?;
        list.get(name).and_then(Item::as_table_like)?.get(option)
    }

    /// Puts a section where one of that name is, below the comment that stands above it.
    pub fn replace(&mut self, list: &str, name: &str, mut table: Table) {
        let Some(sections) = self.document.get_mut(list).and_then(Item::as_table_like_mut) else { return };
        match sections.get_mut(name) {
            Some(Item::Table(old)) if !old.is_dotted() => {
                *table.decor_mut() = old.decor().clone();
                table.set_position(old.position());
                *old = table;
            }
            Some(other) => *other = Item::Value(Value::InlineTable(table.into_inline_table())),
            None => {}
        }
    }

    /// Adds a section, behind all others.
    ///
    /// # Errors
    /// `invalid_value` where the list is no table.
    pub fn put(&mut self, list: &str, name: &str, mut table: Table) -> Result<()> {
        let root = self.document.as_table_mut();
        if !root.contains_key(list) {
            let mut empty = Table::new();
            empty.set_implicit(true);
            root.insert(list, Item::Table(empty));
        }
        let wrong = || {
            FlowError::new(
                ErrorCode::InvalidValue,
                format!("`{list}` is no table, to which one could be added"),
            )
        };
        match root.get_mut(list).ok_or_else(wrong)? {
            Item::Table(section) if !section.is_dotted() => {
                let before = self.trailing.take().unwrap_or_default();
                let is_first = before.is_empty() && self.plain.trim().is_empty() && self.position <= 1;
                let blank = if is_first { "" } else { "\n" };
                table.decor_mut().set_prefix(format!("{before}{blank}"));
                place(&mut table, &mut self.position);
                section.insert(name, Item::Table(table));
                self.document.set_trailing("");
            }
            // `tables = { … }`, and `tables.x = …`: there is no header to stand behind.
            section => {
                let section: &mut dyn TableLike = section.as_table_like_mut().ok_or_else(wrong)?;
                section.insert(name, Item::Value(Value::InlineTable(table.into_inline_table())));
            }
        }
        Ok(())
    }

    /// The text.
    pub fn finish(self) -> String {
        self.as_written(&self.document.to_string())
    }

    /// The text with a line at its top, behind the comment that it begins with.
    fn with_first_line(&self, line: &str) -> String {
        let first = self.plain.lines().take_while(|line| line.starts_with('#')).count();
        let is_apart = self.plain.lines().nth(first).is_none_or(|next| next.trim().is_empty());
        // A comment that touches what follows belongs to that; only what tools read stands first.
        let kept = match is_apart {
            true => (first + 1).min(self.plain.lines().count()),
            false => self.plain.lines().take_while(|line| line.starts_with("#:")).count(),
        };
        let (head, rest): (Vec<&str>, Vec<&str>) = {
            let lines: Vec<&str> = self.plain.split_inclusive('\n').collect();
            (lines[..kept].to_vec(), lines[kept..].to_vec())
        };
        let blank = if rest.is_empty() { "" } else { "\n" };
        self.as_written(&format!("{}{line}\n{blank}{}", head.concat(), rest.concat()))
    }

    /// A text as the original has it: every byte of what stays, and its line ends in what is new.
    fn as_written(&self, text: &str) -> String {
        let is_windows = self.original.contains("\r\n");
        let own = |text: &str| if is_windows { text.replace('\n', "\r\n") } else { text.to_owned() };
        match text.strip_prefix(&self.plain) {
            Some(new) => format!("{}{}", self.original, own(new)),
            None if self.original.starts_with(BYTE_ORDER_MARK) => format!("{BYTE_ORDER_MARK}{}", own(text)),
            None => own(text),
        }
    }
}

fn last_position(table: &Table) -> isize {
    let inner = table.iter().map(|(_, item)| match item {
        Item::Table(inner) => last_position(inner),
        Item::ArrayOfTables(many) => many.iter().map(last_position).max().unwrap_or(0),
        _ => 0,
    });
    inner.chain(table.position()).max().unwrap_or(0)
}

/// Gives a section and those in it the next places.
fn place(table: &mut Table, position: &mut isize) {
    table.set_position(Some(*position));
    *position += 1;
    for (_, item) in table.iter_mut() {
        if let Item::Table(inner) = item {
            place(inner, position);
        }
    }
}

/// A name in which braces are braces.
pub(super) fn escaped(name: &str) -> String {
    name.replace('{', "{{").replace('}', "}}")
}

/// A name in which braces are braces, as a value.
fn named(name: &str) -> Value {
    string(&escaped(name))
}

/// A text on one line: in a text of several, whoever gives the file other line ends gives them to the text, too.
fn string(text: &str) -> Value {
    if !text.contains(['\n', '\r']) {
        return Value::from(text);
    }
    // What JSON escapes, TOML escapes alike, and DEL besides.
    let quoted = serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f");
    quoted.parse().expect("a string of JSON without DEL is one of TOML")
}

fn names(names: &Names) -> Value {
    Value::Array(names.to_vec().iter().map(|name| named(name)).collect())
}

fn table(one: &Wanted) -> Table {
    let spec = &one.table;
    let mut table = Table::new();
    if let Some(schema) = &spec.schema {
        table.insert("schema", toml_edit::value(named(schema)));
    }
    for (key, columns) in [("primary_key", &spec.primary_key), ("natural_key", &spec.natural_key)] {
        if let Some(columns) = columns {
            table.insert(key, Item::Value(names(columns)));
        }
    }
    if let Some(description) = &spec.description {
        table.insert("description", toml_edit::value(string(description)));
    }
    let mut columns = Table::new();
    for (name, column) in &spec.columns {
        columns.insert(&escaped(name), Item::Value(column_value(column)));
    }
    table.insert("columns", Item::Table(columns));
    table
}

fn column_value(column: &ColumnSpec) -> Value {
    match column {
        ColumnSpec::Type(text) => string(text),
        ColumnSpec::Full(full) => {
            let mut inline = InlineTable::new();
            inline.insert("type", string(&full.data_type));
            if let Some(description) = &full.description {
                inline.insert("description", string(description));
            }
            Value::InlineTable(inline)
        }
    }
}

fn pipeline(one: &Wanted, load: &Load) -> Table {
    let mut source = InlineTable::new();
    source.insert("connection", named(&load.from));
    match &one.query {
        Some(query) => source.insert("query", string(query)),
        None => source.insert("table", named(&one.source.to_string())),
    };
    let mut pipeline = Table::new();
    pipeline.insert("source", Item::Value(Value::InlineTable(source)));
    let target = one.declared.as_ref().unwrap_or(&one.key);
    pipeline.insert("target", toml_edit::value(named(target)));
    if load.says_to {
        pipeline.insert("target_connection", toml_edit::value(named(&load.to)));
    }
    if load.says_mode {
        pipeline.insert("mode", toml_edit::value(load.mode.name()));
    }
    for setting in &one.settings {
        let mut value = setting.value.clone();
        if let Some(why) = setting.why {
            value.decor_mut().set_suffix(format!("  # {why}"));
        }
        pipeline.insert(setting.name, Item::Value(value));
    }
    let keys = one.keys();
    if one.declared.is_some() && !keys.is_empty() {
        // Whoever declared the table may know of no key.
        pipeline.insert("keys", Item::Value(names(&Names::Many(keys))));
    }
    if !load.tags.is_empty() {
        pipeline.insert("tags", Item::Value(Value::Array(load.tags.iter().map(|tag| named(tag)).collect())));
    }
    pipeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_named_behind_the_comment_that_a_file_begins_with() {
        let named = |text: &str| with_module(text, "crm").unwrap();
        assert_eq!(named(""), "python = [\"crm\"]\n");
        assert_eq!(named("# ours\n\n[vars]\n"), "# ours\n\npython = [\"crm\"]\n\n[vars]\n");
        assert_eq!(
            named("#:schema x\n# of vars\n[vars]\n"),
            "#:schema x\npython = [\"crm\"]\n\n# of vars\n[vars]\n"
        );
        assert_eq!(named("python = [\"a\"] # mine\r\n"), "python = [\"a\", \"crm\"] # mine\r\n");
        assert_eq!(named("python = [\"crm\"]"), "python = [\"crm\"]");
    }
}
