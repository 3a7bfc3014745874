//! Holds a value against its part of the JSON Schema: every mistake in it is reported at its place,
//! in the user's words, and what is left is fit for serde.

use super::words::{self, Owner};
use crate::declare::json_schema::dereference;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::declare::places::At;
use crate::declare::toml::SourceText;
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, Location, did_you_mean};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::sync::Arc;

/// A mistake, and which value of a registry it is in: Python's lines do not say in which order they were declared.
pub(crate) struct Mistake {
    pub(crate) error: FlowError,
    pub(crate) order: Option<usize>,
}

/// A place as messages show it.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) at: Option<At>,
    pub(crate) order: Option<usize>,
}

impl Spot {
    /// The mistake, at this place.
    pub(crate) fn mistake(self, error: FlowError) -> Mistake {
        let error = match self.location() {
            Some(location) => error.at(location),
            None => error,
        };
        Mistake { error, order: self.order }
    }

    /// Line, column and excerpt.
    pub(crate) fn location(&self) -> Option<Location> {
        self.at.as_ref().map(|at| at.location().clone())
    }
}

/// Collects the mistakes of one file, or of one registry, which has no text.
pub(crate) struct Checker<'s> {
    pub(crate) source: Option<&'s Arc<SourceText>>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    /// A place as messages show it.
    pub(crate) fn spot(&self, place: &Place, section: &str) -> Spot {
        match place {
            Place::Bytes(span) => Spot {
                at: self.source.map(|source| At::Bytes(Arc::clone(source), span.clone(), section.into())),
                order: None,
            },
            Place::Declared { at, order } => Spot { at: at.clone().map(At::Told), order: Some(*order) },
        }
    }

    /// Reports a mistake at its place, with words beside the mark; where there is no mark they are its hint.
    pub(crate) fn report(
        &mut self,
        mut error: FlowError,
        place: &Place,
        section: &str,
        label: Option<String>,
    ) {
        let spot = self.spot(place, section);
        let mut location = spot.location();
        match location.as_mut().and_then(|location| location.excerpt.as_mut()) {
            Some(excerpt) => excerpt.label = label,
            None => error.hint = error.hint.or(label),
        }
        self.mistakes.push(Spot { at: location.map(|at| At::Told(at.into())), ..spot }.mistake(error));
    }

    /// The value without the parts that are wrong; nothing where the whole is.
    pub(crate) fn value<'n>(
        &mut self,
        item: &'n Node,
        schema: &'static Json,
        name: &str,
        owner: &Owner,
    ) -> Option<Cow<'n, Node>> {
        if !self.has_no_moment(item, name, owner) {
            return None;
        }
        let (reference, schema) = dereference(schema);
        if reference == Some("Duration") {
            return self.duration(item, name, owner);
        }
        // Which markers, helpers and expectations there are, and what each takes, whoever reads them knows; what an
        // API is sent, the API.
        let read_later = match reference {
            Some("Marker" | "Helper") => matches!(item.value, Value::Text(_) | Value::Table(_)),
            Some("Expectation" | "HttpBody") => matches!(item.value, Value::Table(_)),
            _ => false,
        };
        if read_later {
            return Some(item.with_words_for_numbers());
        }
        if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
            return match choices.iter().find(|choice| fits(&item.value, choice)) {
                Some(choice) => self.value(item, choice, name, owner),
                None => self.wrong_type(item, schema, name, owner),
            };
        }
        if let Some(choices) = schema.get("oneOf").and_then(Json::as_array) {
            return self.word(item, choices, name, owner);
        }
        if !fits(&item.value, schema) {
            return self.wrong_type(item, schema, name, owner);
        }
        match &item.value {
            Value::Table(table) => {
                let (good, complete) = self.table(table, &item.place, schema, &owner.inside(reference, name));
                complete.then(|| match good {
                    Cow::Borrowed(_) => Cow::Borrowed(item),
                    Cow::Owned(good) => {
                        Cow::Owned(Node { value: Value::Table(good), place: item.place.clone() })
                    }
                })
            }
            Value::List(items) => self.list(items, item, schema, name, owner),
            Value::Integer { .. } | Value::Float(_) => self.number(item, schema, name, owner),
            _ => Some(Cow::Borrowed(item)),
        }
    }

    /// A table: known names, needed names, and each value. Answers what is good of it, which is mostly all, and whether
    /// everything needed is there.
    pub(crate) fn table<'n>(
        &mut self,
        table: &'n Table,
        place: &Place,
        schema: &'static Json,
        owner: &Owner,
    ) -> (Cow<'n, Table>, bool) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let known =
            || properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect::<Vec<&'static str>>();
        let mut good = Good { table, checked: 0, changed: None };
        for (name, field) in table.iter() {
            let part = match properties {
                // Python's None: an option that is not set. Of a name that the user chose it says nothing.
                Some(properties) if field.node.is_null() && properties.contains_key(name) => {
                    good.keep(name, field, None);
                    continue;
                }
                Some(properties) => properties.get(name),
                None => schema.get("additionalProperties"),
            };
            let checked = match part {
                Some(part) => self.value(&field.node, part, name, owner),
                None => {
                    self.unknown_name(name, field, &known(), owner);
                    None
                }
            };
            good.keep(name, field, checked);
        }
        let good = good.changed.map_or(Cow::Borrowed(table), Cow::Owned);
        let mut complete = true;
        let needed =
            schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        for name in needed.filter(|name| !good.contains(name)) {
            complete = false;
            if !is_attempted(table, name, &known(), owner) {
                self.report(missing(name, owner), place, &owner.section, None);
            }
        }
        (good, complete)
    }

    /// Refuses a name that is not known, or known and not served.
    fn unknown_name(&mut self, name: &str, field: &Field, known: &[&str], owner: &Owner) {
        if words::stands_at_default(name, &field.node, owner) {
            return;
        }
        if let Some(error) = words::not_yet(name, &field.node, owner) {
            return self.report(error, &field.key, &owner.section, None);
        }
        let mut error =
            FlowError::new(ErrorCode::UnknownOption, format!("unknown option `{name}` in {}", owner.words));
        let label = match (words::advice(name, owner), words::meant(name, known, owner)) {
            (Some(advice), _) => Some(advice.to_owned()),
            (None, Some(meant)) => Some(format!("did you mean `{meant}`?")),
            (None, None) => {
                error = error.hint(format!("the options are {}", known.join(", ")));
                None
            }
        };
        self.report(error, &field.key, &owner.section, label);
    }

    fn list<'n>(
        &mut self,
        list: &'n [Node],
        item: &'n Node,
        schema: &'static Json,
        name: &str,
        owner: &Owner,
    ) -> Option<Cow<'n, Node>> {
        let Some(items) = schema.get("items") else { return Some(Cow::Borrowed(item)) };
        let entry =
            if name.starts_with("an entry of ") { name.to_owned() } else { format!("an entry of {name}") };
        let good: Vec<Cow<'n, Node>> =
            list.iter().filter_map(|entry_of| self.value(entry_of, items, &entry, owner)).collect();
        (good.len() == list.len()).then(|| {
            if good.iter().all(|node| matches!(node, Cow::Borrowed(_))) {
                return Cow::Borrowed(item);
            }
            let good = good.into_iter().map(Cow::into_owned).collect();
            Cow::Owned(Node { value: Value::List(good), place: item.place.clone() })
        })
    }

    fn number<'n>(
        &mut self,
        item: &'n Node,
        schema: &Json,
        name: &str,
        owner: &Owner,
    ) -> Option<Cow<'n, Node>> {
        let value = number_of(&item.value);
        let least = schema.get("minimum").and_then(Json::as_f64);
        let most = schema.get("maximum").and_then(Json::as_f64);
        let whole = schema.get("type").and_then(Json::as_str) == Some("integer");
        // nan lies nowhere.
        let low = least.is_some_and(|least| value.is_nan() || value < least);
        let high = most.is_some_and(|most| value.is_nan() || value > most);
        let expected = match (least, most) {
            _ if whole && !fits_64_bits(&item.value) => Some("must fit into 64 bits".to_owned()),
            (Some(least), Some(most)) if low || high => Some(format!("must lie between {least} and {most}")),
            (Some(least), _) if low => Some(format!("must be at least {least}")),
            (_, Some(most)) if high => Some(format!("must be at most {most}")),
            _ => None,
        };
        match expected {
            None => Some(Cow::Borrowed(item)),
            Some(expected) => {
                let error =
                    FlowError::new(ErrorCode::InvalidValue, format!("{} {expected}", owner.option(name)));
                self.report(error, &item.place, &owner.section, None);
                None
            }
        }
    }

    /// Whether there is no date or time of TOML in a value: no option takes one, each is refused where it stands.
    fn has_no_moment(&mut self, item: &Node, name: &str, owner: &Owner) -> bool {
        match &item.value {
            Value::Moment(written) => {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("{} takes no date or time of TOML", owner.option(name)),
                );
                let error = error.hint(format!("write it in quotes: \"{written}\""));
                self.report(error, &item.place, &owner.section, None);
                false
            }
            Value::List(items) => self.none_has_a_moment(items.iter().map(|each| (name, each)), owner),
            Value::Table(table) => {
                self.none_has_a_moment(table.iter().map(|(name, field)| (name, &field.node)), owner)
            }
            _ => true,
        }
    }

    /// Every one of them is told.
    fn none_has_a_moment<'n>(
        &mut self,
        nodes: impl Iterator<Item = (&'n str, &'n Node)>,
        owner: &Owner,
    ) -> bool {
        let mut good = true;
        for (name, node) in nodes {
            good &= self.has_no_moment(node, name, owner);
        }
        good
    }

    fn duration<'n>(&mut self, item: &'n Node, name: &str, owner: &Owner) -> Option<Cow<'n, Node>> {
        let error = match &item.value {
            Value::Text(text) => match Duration::parse(text) {
                Ok(_) => return Some(Cow::Borrowed(item)),
                Err(error) => {
                    FlowError { message: format!("{}: {}", owner.option(name), error.message), ..error }
                }
            },
            Value::Integer { written, .. } => FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} must be a duration, not a whole number", owner.option(name)),
            )
            .hint(format!("write the unit too, in quotes: \"{written}s\" or \"{written}m\"")),
            other => FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} must be a duration, not {}", owner.option(name), words::kind(other)),
            )
            .hint("write a number and a unit: \"90s\", \"10m\", \"2h\", \"30d\""),
        };
        self.report(error, &item.place, &owner.section, None);
        None
    }

    /// One of several words.
    fn word<'n>(
        &mut self,
        item: &'n Node,
        choices: &'static [Json],
        name: &str,
        owner: &Owner,
    ) -> Option<Cow<'n, Node>> {
        let words = choices.iter().filter_map(|choice| choice.get("const")).filter_map(Json::as_str);
        if let Value::Text(text) = &item.value
            && words.clone().any(|word| word == text)
        {
            return Some(Cow::Borrowed(item));
        }
        let known: Vec<&str> = words.collect();
        let Value::Text(text) = &item.value else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} must be a word in quotes, not {}", owner.option(name), words::kind(&item.value)),
            )
            .hint(format!("{name} is one of {}", known.join(", ")));
            self.report(error, &item.place, &owner.section, None);
            return None;
        };
        let message = match name {
            "mode" => format!("unknown mode `{text}` in {}", owner.words),
            _ => format!("{} cannot be `{text}`", owner.option(name)),
        };
        let meant = words::foreign_value(name, text).or_else(|| did_you_mean(text, known.iter().copied()));
        let error = FlowError::new(ErrorCode::InvalidValue, message)
            .hint(format!("{name} is one of {}", known.join(", ")));
        self.report(
            error,
            &item.place,
            &owner.section,
            meant.map(|meant| format!("did you mean `{meant}`?")),
        );
        None
    }

    fn wrong_type<'n>(
        &mut self,
        item: &Node,
        schema: &'static Json,
        name: &str,
        owner: &Owner,
    ) -> Option<Cow<'n, Node>> {
        let mut error = FlowError::new(
            ErrorCode::InvalidValue,
            format!("{} must be {}, not {}", owner.option(name), expected(schema), words::kind(&item.value)),
        );
        if let Some(hint) = words::form(name, owner) {
            error = error.hint(hint);
        }
        self.report(error, &item.place, &owner.section, None);
        None
    }
}

/// What is good of a table: the table itself, until a field of it is not.
struct Good<'n> {
    table: &'n Table,
    /// How many fields were looked at.
    checked: usize,
    changed: Option<Table>,
}

impl<'n> Good<'n> {
    /// Keeps what is good of the next field.
    fn keep(&mut self, name: &str, field: &Field, checked: Option<Cow<'n, Node>>) {
        if !matches!(checked, Some(Cow::Borrowed(_))) && self.changed.is_none() {
            let before = self.table.iter().take(self.checked);
            self.changed = Some(before.map(|(name, field)| (name.to_owned(), field.clone())).collect());
        }
        self.checked += 1;
        if let (Some(good), Some(node)) = (&mut self.changed, checked) {
            good.insert(name, Field { key: field.key.clone(), node: node.into_owned() });
        }
    }
}

/// Whether an option is there, right or wrong, or was meant by a name that is not known.
pub(super) fn is_attempted(table: &Table, option: &str, known: &[&str], owner: &Owner) -> bool {
    table.iter().filter(|(_, field)| !field.node.is_null()).any(|(name, _)| {
        name == option || (!known.contains(&name) && words::meant(name, known, owner) == Some(option))
    })
}

/// The error for an option that is needed and not there.
pub(super) fn missing(name: &str, owner: &Owner) -> FlowError {
    let error = FlowError::new(ErrorCode::MissingOption, format!("{} has no `{name}`", owner.words));
    match words::form(name, owner) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Whether a value has the outer form that a schema asks for.
fn fits(value: &Value, schema: &'static Json) -> bool {
    let (reference, schema) = dereference(schema);
    if reference == Some("Duration") {
        return matches!(value, Value::Text(_));
    }
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        return choices.iter().any(|choice| fits(value, choice));
    }
    if let Some(only) = schema.get("const").and_then(Json::as_bool) {
        return matches!(value, Value::Boolean(truth) if *truth == only);
    }
    match (schema.get("type").and_then(Json::as_str), value) {
        (Some("string"), Value::Text(_))
        | (Some("integer"), Value::Integer { .. })
        | (Some("number"), Value::Integer { .. } | Value::Float(_))
        | (Some("boolean"), Value::Boolean(_))
        | (Some("array"), Value::List(_))
        | (Some("object"), Value::Table(_)) => true,
        (None, Value::Text(_)) => schema.get("oneOf").is_some(),
        _ => false,
    }
}

/// What a schema asks for, in words.
fn expected(schema: &'static Json) -> String {
    let mut choices = Vec::new();
    choices_of(schema, &mut choices);
    match choices.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => choices.concat(),
    }
}

fn choices_of(schema: &'static Json, choices: &mut Vec<&'static str>) {
    let (reference, schema) = dereference(schema);
    if let Some(several) = schema.get("anyOf").and_then(Json::as_array) {
        return several.iter().for_each(|choice| choices_of(choice, choices));
    }
    let items = schema.get("items").map(|items| dereference(items).1);
    let kind = |schema: &'static Json| schema.get("type").and_then(Json::as_str);
    choices.push(match kind(schema) {
        _ if reference == Some("Duration") => "a duration such as \"10m\"",
        Some("boolean") if schema.get("const") == Some(&Json::Bool(false)) => "false",
        Some("boolean") => "true or false",
        Some("string") => "a string",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("object") => "a table",
        Some("array") if items.and_then(kind) == Some("string") => "a list of strings",
        Some("array") => "a list",
        _ => "a word",
    });
}

fn fits_64_bits(value: &Value) -> bool {
    !matches!(value, Value::Integer { value: None, .. })
}

fn number_of(value: &Value) -> f64 {
    match value {
        Value::Integer { value: Some(number), .. } => *number as f64,
        Value::Float(number) => *number,
        _ => f64::NAN,
    }
}
