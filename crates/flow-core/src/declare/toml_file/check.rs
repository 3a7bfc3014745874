//! Holds a value against its part of the JSON Schema: every mistake in it is reported at its place,
//! in the user's words, and what is left is fit for serde.

use super::text::SourceText;
use super::words::{self, Owner};
use crate::declare::json_schema::dereference;
use crate::duration::Duration;
use crate::error::{ErrorCode, FlowError, did_you_mean};
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A value where it stands.
pub(super) type Item<'t> = Spanned<DeValue<'t>>;

/// Collects the mistakes of one file.
pub(super) struct Checker<'s> {
    pub(super) source: &'s SourceText<'s>,
    pub(super) errors: Vec<FlowError>,
}

impl Checker<'_> {
    /// Reports a mistake at its place, with words beside the mark.
    pub(super) fn report(
        &mut self,
        error: FlowError,
        span: Range<usize>,
        section: &str,
        label: Option<String>,
    ) {
        let mut location = self.source.location(span, section);
        if let Some(excerpt) = &mut location.excerpt {
            excerpt.label = label;
        }
        self.errors.push(error.at(location));
    }

    /// The value without the parts that are wrong; nothing where the whole is.
    pub(super) fn value<'t>(
        &mut self,
        item: &Item<'t>,
        schema: &'static Value,
        name: &str,
        owner: &Owner,
    ) -> Option<Item<'t>> {
        let (reference, schema) = dereference(schema);
        if reference == Some("Duration") {
            return self.duration(item, name, owner);
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            return match choices.iter().find(|choice| fits(item.get_ref(), choice)) {
                Some(choice) => self.value(item, choice, name, owner),
                None => self.wrong_type(item, schema, name, owner),
            };
        }
        if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
            return self.word(item, choices, name, owner);
        }
        if !fits(item.get_ref(), schema) {
            return self.wrong_type(item, schema, name, owner);
        }
        match item.get_ref() {
            DeValue::Table(table) => {
                let (good, complete) = self.table(table, item.span(), schema, &owner.inside(reference, name));
                complete.then(|| Spanned::new(item.span(), DeValue::Table(good)))
            }
            DeValue::Array(array) => self.array(array, item.span(), schema, name, owner),
            DeValue::Integer(_) | DeValue::Float(_) => self.number(item, schema, name, owner),
            _ => Some(item.clone()),
        }
    }

    /// A table: known names, needed names, and each value. Answers what is good of it, and whether
    /// everything needed is there.
    pub(super) fn table<'t>(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        schema: &'static Value,
        owner: &Owner,
    ) -> (DeTable<'t>, bool) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let mut good = DeTable::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let part = match properties {
                Some(properties) => properties.get(name),
                None => schema.get("additionalProperties"),
            };
            let checked = match part {
                Some(part) => self.value(value, part, name, owner),
                None => {
                    self.unknown_key(key, value, &known, owner);
                    None
                }
            };
            if let Some(value) = checked {
                good.insert(key.clone(), value);
            }
        }
        let mut complete = true;
        let needed =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in needed.filter(|name| !good.keys().any(|key| key.get_ref() == name)) {
            complete = false;
            if !is_attempted(table, name, &known, owner) {
                self.report(missing(name, owner), span.clone(), &owner.section, None);
            }
        }
        (good, complete)
    }

    /// Refuses a key that is not known, or known and not served.
    pub(super) fn unknown_key(
        &mut self,
        key: &Spanned<Cow<'_, str>>,
        value: &Item<'_>,
        known: &[&str],
        owner: &Owner,
    ) {
        let name = key.get_ref().as_ref();
        if words::stands_at_default(name, value, owner) {
            return;
        }
        if let Some(error) = words::not_yet(name, value.get_ref(), owner) {
            return self.report(error, key.span(), &owner.section, None);
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
        self.report(error, key.span(), &owner.section, label);
    }

    fn array<'t>(
        &mut self,
        array: &DeArray<'t>,
        span: Range<usize>,
        schema: &'static Value,
        name: &str,
        owner: &Owner,
    ) -> Option<Item<'t>> {
        let Some(items) = schema.get("items") else {
            return Some(Spanned::new(span, DeValue::Array(array.clone())));
        };
        let mut good = DeArray::new();
        let mut complete = true;
        let entry =
            if name.starts_with("an entry of ") { name.to_owned() } else { format!("an entry of {name}") };
        for item in array.iter() {
            match self.value(item, items, &entry, owner) {
                Some(item) => good.push(item),
                None => complete = false,
            }
        }
        complete.then(|| Spanned::new(span, DeValue::Array(good)))
    }

    fn number<'t>(&mut self, item: &Item<'t>, schema: &Value, name: &str, owner: &Owner) -> Option<Item<'t>> {
        let value = number_of(item.get_ref());
        let least = schema.get("minimum").and_then(Value::as_f64);
        let most = schema.get("maximum").and_then(Value::as_f64);
        let whole = schema.get("type").and_then(Value::as_str) == Some("integer");
        // nan lies nowhere.
        let low = least.is_some_and(|least| value.is_nan() || value < least);
        let high = most.is_some_and(|most| value.is_nan() || value > most);
        let expected = match (least, most) {
            _ if whole && !fits_64_bits(item.get_ref()) => Some("must fit into 64 bits".to_owned()),
            (Some(least), Some(most)) if low || high => Some(format!("must lie between {least} and {most}")),
            (Some(least), _) if low => Some(format!("must be at least {least}")),
            (_, Some(most)) if high => Some(format!("must be at most {most}")),
            _ => None,
        };
        match expected {
            None => Some(item.clone()),
            Some(expected) => {
                let error =
                    FlowError::new(ErrorCode::InvalidValue, format!("{} {expected}", owner.option(name)));
                self.report(error, item.span(), &owner.section, None);
                None
            }
        }
    }

    fn duration<'t>(&mut self, item: &Item<'t>, name: &str, owner: &Owner) -> Option<Item<'t>> {
        let error = match item.get_ref() {
            DeValue::String(text) => match Duration::parse(text) {
                Ok(_) => return Some(item.clone()),
                Err(error) => {
                    FlowError { message: format!("{}: {}", owner.option(name), error.message), ..error }
                }
            },
            DeValue::Integer(number) => FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} must be a duration, not a whole number", owner.option(name)),
            )
            .hint(format!("write the unit too, in quotes: \"{number}s\" or \"{number}m\"")),
            other => FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} must be a duration, not {}", owner.option(name), words::kind(other)),
            )
            .hint("write a number and a unit: \"90s\", \"10m\", \"2h\", \"30d\""),
        };
        self.report(error, item.span(), &owner.section, None);
        None
    }

    /// One of several words.
    fn word<'t>(
        &mut self,
        item: &Item<'t>,
        choices: &'static [Value],
        name: &str,
        owner: &Owner,
    ) -> Option<Item<'t>> {
        let known: Vec<&str> =
            choices.iter().filter_map(|choice| choice.get("const")).filter_map(Value::as_str).collect();
        let DeValue::String(text) = item.get_ref() else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "{} must be a word in quotes, not {}",
                    owner.option(name),
                    words::kind(item.get_ref())
                ),
            )
            .hint(format!("{name} is one of {}", known.join(", ")));
            self.report(error, item.span(), &owner.section, None);
            return None;
        };
        if known.contains(&text.as_ref()) {
            return Some(item.clone());
        }
        let message = match name {
            "mode" => format!("unknown mode `{text}` in {}", owner.words),
            _ => format!("{} cannot be `{text}`", owner.option(name)),
        };
        let meant = words::foreign_value(name, text).or_else(|| did_you_mean(text, known.iter().copied()));
        let error = FlowError::new(ErrorCode::InvalidValue, message)
            .hint(format!("{name} is one of {}", known.join(", ")));
        self.report(
            error,
            item.span(),
            &owner.section,
            meant.map(|meant| format!("did you mean `{meant}`?")),
        );
        None
    }

    fn wrong_type<'t>(
        &mut self,
        item: &Item<'t>,
        schema: &'static Value,
        name: &str,
        owner: &Owner,
    ) -> Option<Item<'t>> {
        let mut error = FlowError::new(
            ErrorCode::InvalidValue,
            format!(
                "{} must be {}, not {}",
                owner.option(name),
                expected(schema),
                words::kind(item.get_ref())
            ),
        );
        if let Some(hint) = words::form(name, owner) {
            error = error.hint(hint);
        }
        self.report(error, item.span(), &owner.section, None);
        None
    }
}

/// Whether an option is there, right or wrong, or was meant by a name that is not known.
pub(super) fn is_attempted(table: &DeTable<'_>, option: &str, known: &[&str], owner: &Owner) -> bool {
    table.keys().any(|key| {
        let name = key.get_ref().as_ref();
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
fn fits(value: &DeValue<'_>, schema: &'static Value) -> bool {
    let (reference, schema) = dereference(schema);
    if reference == Some("Duration") {
        return matches!(value, DeValue::String(_));
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return choices.iter().any(|choice| fits(value, choice));
    }
    if let Some(only) = schema.get("const").and_then(Value::as_bool) {
        return matches!(value, DeValue::Boolean(truth) if *truth == only);
    }
    match (schema.get("type").and_then(Value::as_str), value) {
        (Some("string"), DeValue::String(_))
        | (Some("integer"), DeValue::Integer(_))
        | (Some("number"), DeValue::Integer(_) | DeValue::Float(_))
        | (Some("boolean"), DeValue::Boolean(_))
        | (Some("array"), DeValue::Array(_))
        | (Some("object"), DeValue::Table(_)) => true,
        (None, DeValue::String(_)) => schema.get("oneOf").is_some(),
        _ => false,
    }
}

/// What a schema asks for, in words.
fn expected(schema: &'static Value) -> String {
    let mut choices = Vec::new();
    choices_of(schema, &mut choices);
    match choices.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => choices.concat(),
    }
}

fn choices_of(schema: &'static Value, choices: &mut Vec<&'static str>) {
    let (reference, schema) = dereference(schema);
    if let Some(several) = schema.get("anyOf").and_then(Value::as_array) {
        return several.iter().for_each(|choice| choices_of(choice, choices));
    }
    let items = schema.get("items").map(|items| dereference(items).1);
    let kind = |schema: &'static Value| schema.get("type").and_then(Value::as_str);
    choices.push(match kind(schema) {
        _ if reference == Some("Duration") => "a duration such as \"10m\"",
        Some("boolean") if schema.get("const") == Some(&Value::Bool(false)) => "false",
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

fn fits_64_bits(value: &DeValue<'_>) -> bool {
    value.as_integer().is_none_or(|number| i64::from_str_radix(number.as_str(), number.radix()).is_ok())
}

fn number_of(value: &DeValue<'_>) -> f64 {
    match value {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(f64::NAN, |number| number as f64)
        }
        DeValue::Float(number) => number.as_str().parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}
