//! Reads `[vars]` and `[environments]`, and lays the environment that was chosen over what the files say.

use super::check::Spot;
use super::words::{Kind, Owner, kind, section};
use super::{Document, Reader, position};
use crate::declare::environment::Environment;
use crate::declare::interpolation::Template;
use crate::declare::json_schema::definition;
use crate::declare::node::{Field, Node, Place, Table, Value};
use crate::declare::options::PipelineOptions;
use crate::declare::variables::{Chosen, Origin, Variable, is_variable_name, like};
use crate::declare::{ConnectionSpec, EnvironmentSpec, Places};
use crate::error::{ErrorCode, FlowError, did_you_mean};
use crate::sql::Literal;
use indexmap::IndexMap;
use std::path::Path;

/// What an environment may hold.
const PARTS: &[&str] = &["connections", "vars", "defaults"];

/// An environment as it was written.
#[derive(Default)]
pub(super) struct ReadEnvironment {
    connections: IndexMap<String, ConnectionSpec>,
    variables: IndexMap<String, Written>,
    defaults: PipelineOptions,
}

/// The value of a variable as it was written, `${…}` and all.
struct Written {
    value: Literal,
    spot: Spot,
}

impl Document<'_, '_> {
    /// Reads `[vars]`.
    pub(crate) fn vars(&mut self, node: &Node) {
        for (name, written) in self.written_vars(node, None) {
            let path = Places::path("vars", &name);
            if let Some(first) = self.reader.project.places.get(&path) {
                let error =
                    FlowError::new(ErrorCode::DuplicateName, format!("the variable `{name}` is set twice"))
                        .detail(format!("first at {}", position(&first)))
                        .hint("[vars] hold for all files of a project");
                self.checker.mistakes.push(written.spot.mistake(error));
                continue;
            }
            let from = Origin::File(written.spot.location());
            if let Some(at) = written.spot.at {
                self.places.put_at(path, at);
            }
            self.reader.variables.insert(name, Variable { value: written.value, from });
        }
    }

    /// Reads `[environments]`.
    pub(crate) fn environments(&mut self, node: &Node) {
        let Value::Table(environments) = &node.value else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("`environments` must hold environments by name, not be {}", kind(&node.value)),
            );
            return self.checker.report(error.hint("write [environments.NAME]"), &node.place, "", None);
        };
        for (name, field) in environments.iter() {
            let at = section(&["environments", name]);
            let Value::Table(parts) = &field.node.value else {
                let error = FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("environment `{name}` must be a table, not {}", kind(&field.node.value)),
                );
                let error = error.hint(format!("write {at} with connections, vars and defaults below"));
                self.checker.report(error, &field.node.place, &at, None);
                continue;
            };
            let path = Places::path("environments", name);
            if let Some(first) = self.reader.project.places.get(&path) {
                let error = FlowError::new(
                    ErrorCode::DuplicateName,
                    format!("environment `{name}` is declared twice"),
                )
                .detail(format!("first at {}", position(&first)))
                .hint("names hold for all files of a project");
                self.checker.report(error, &field.whole(), &at, None);
                continue;
            }
            self.record(&path, field, &at);
            let read = self.environment_of(name, parts, &at);
            self.reader.environments.insert(name.to_owned(), read);
        }
    }

    fn environment_of(&mut self, name: &str, parts: &Table, at: &str) -> ReadEnvironment {
        let mut read = ReadEnvironment::default();
        for (part, field) in parts.iter() {
            match part {
                "connections" => read.connections = self.connections_of(&field.node, Some(name)),
                "vars" => read.variables = self.written_vars(&field.node, Some(name)).into_iter().collect(),
                "defaults" => read.defaults = self.defaults_of(name, &field.node),
                other => self.refused_part(name, other, field, at),
            }
        }
        read
    }

    fn refused_part(&mut self, name: &str, part: &str, field: &Field, at: &str) {
        let error =
            FlowError::new(ErrorCode::UnknownOption, format!("environment `{name}` cannot hold `{part}`"))
                .hint("an environment lays connections, vars and defaults over the files, and nothing else");
        let label = did_you_mean(part, PARTS.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        self.checker.report(error, &field.key, at, label);
    }

    fn defaults_of(&mut self, environment: &str, node: &Node) -> PipelineOptions {
        let owner = Owner {
            kind: Kind::Defaults,
            words: format!("the defaults of environment `{environment}`"),
            section: section(&["environments", environment, "defaults"]),
        };
        let Value::Table(written) = &node.value else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} must be a table, not {}", owner.words, kind(&node.value)),
            );
            self.checker.report(error, &node.place, &owner.section, None);
            return PipelineOptions::default();
        };
        let (good, _) = self.checker.table(written, &node.place, definition("PipelineOptions"), &owner);
        let mut good = good.into_owned();
        self.of_one_pipeline(&mut good, &owner);
        self.column_options(written, &owner);
        let entry = super::Entry { name: String::new(), table: written, place: node.place.clone(), owner };
        self.deserialize(&good, &[], &entry).unwrap_or_default()
    }

    /// Variables as they are written; of an environment with the form of their `${…}` checked.
    fn written_vars(&mut self, node: &Node, environment: Option<&str>) -> Vec<(String, Written)> {
        let at = match environment {
            Some(environment) => section(&["environments", environment]),
            None => "[vars]".to_owned(),
        };
        let Value::Table(variables) = &node.value else {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("`vars` must hold variables by name, not be {}", kind(&node.value)),
            );
            self.checker.report(error.hint("write NAME = \"value\" below [vars]"), &node.place, &at, None);
            return Vec::new();
        };
        let mut out = Vec::new();
        for (name, field) in variables.iter() {
            match self.written_var(name, field, environment) {
                Ok(value) => {
                    let spot = self.checker.spot(&field.whole(), &at);
                    out.push((name.to_owned(), Written { value, spot }));
                }
                Err((error, place)) => self.checker.report(*error, &place, &at, None),
            }
        }
        out
    }

    fn written_var(
        &self,
        name: &str,
        field: &Field,
        environment: Option<&str>,
    ) -> Result<Literal, (Box<FlowError>, Place)> {
        let wrong = |message: String, hint: &str, place: &Place| {
            Err((Box::new(FlowError::new(ErrorCode::InvalidValue, message).hint(hint)), place.clone()))
        };
        if !is_variable_name(name) {
            let message = format!("`{name}` cannot be the name of a variable");
            return wrong(
                message,
                "a variable is letters, digits and _, and begins with no digit",
                &field.key,
            );
        }
        let node = &field.node;
        match &node.value {
            Value::Text(text) => {
                let within = |index| match (&node.place, self.checker.source) {
                    (Place::Bytes(span), Some(source)) => {
                        Place::Bytes(source.interpolation(span.clone(), index))
                    }
                    (place, _) => place.clone(),
                };
                if environment.is_none() && text.contains("${") {
                    let message = format!("the variable `{name}` cannot take `${{…}}`");
                    let hint = "${env:NAME} stands in the vars of an environment: [environments.NAME]";
                    return wrong(message, hint, &within(0));
                }
                if let Some(at) = text.find("${file:") {
                    let message = format!("the variable `{name}` cannot take the text of a file");
                    let hint = "${env:NAME} stands in vars; secrets stand in connections";
                    return wrong(message, hint, &within(text[..at].matches("${").count()));
                }
                if environment.is_some()
                    && let Err(malformed) = Template::parse(text)
                {
                    let error = FlowError::new(ErrorCode::InvalidValue, malformed.message);
                    let error = FlowError { hint: malformed.hint, ..error };
                    return Err((Box::new(error), within(malformed.index)));
                }
                Ok(Literal::Text(text.clone()))
            }
            Value::Integer { value: Some(number), .. } => Ok(Literal::Integer(*number)),
            Value::Integer { .. } => wrong(
                format!("the variable `{name}` does not fit into 64 bits"),
                "write it as text",
                &node.place,
            ),
            Value::Float(number) if number.is_finite() => Ok(Literal::Float(*number)),
            Value::Boolean(truth) => Ok(Literal::Boolean(*truth)),
            other => {
                let message = format!(
                    "the variable `{name}` must be text, a number, true or false, not {}",
                    kind(other)
                );
                wrong(message, "several values are for_each's to take", &node.place)
            }
        }
    }
}

impl Reader {
    /// Chooses the environment and the variables that hold for this once, over those of `[vars]`.
    pub(crate) fn choose(&mut self, chosen: &Chosen, machine: &dyn Environment) {
        if let Some(name) = chosen.environment.as_deref().filter(|name| !name.is_empty()) {
            match self.environments.shift_remove(name) {
                Some(environment) => self.lay(name, environment, chosen, machine),
                None => {
                    let error = self.unknown_environment(name);
                    self.mistakes.push(super::Mistake { error, order: None });
                }
            }
        }
        self.answers.clone_from(&chosen.answers);
        for (name, text) in &chosen.variables {
            let kind = self.variables.get(name).map_or(&Literal::Null, |variable| &variable.value);
            match like(kind, name, text) {
                Ok(value) => {
                    self.variables.insert(name.clone(), Variable { value, from: Origin::Flag });
                }
                Err(error) => self.mistakes.push(super::Mistake { error, order: None }),
            }
        }
    }

    fn unknown_environment(&self, name: &str) -> FlowError {
        let error = FlowError::new(ErrorCode::InvalidValue, format!("there is no environment `{name}`"));
        let known: Vec<&str> = self.environments.keys().map(String::as_str).collect();
        match did_you_mean(name, known.iter().copied()) {
            Some(near) => error
                .hint(format!("did you mean `{near}`?"))
                .detail(format!("environments: {}", known.join(", "))),
            None if known.is_empty() => error.hint("the files declare none: write [environments.NAME]"),
            None => error.hint(format!("environments: {}", known.join(", "))),
        }
    }

    fn lay(&mut self, name: &str, environment: ReadEnvironment, chosen: &Chosen, machine: &dyn Environment) {
        for (variable, written) in environment.variables {
            // What it asks of the machine need not be there where the command says another value.
            let is_said = chosen.variables.iter().any(|(said, _)| *said == variable);
            let value = match &written.value {
                said if is_said => Ok(said.clone()),
                Literal::Text(text) => resolved(&variable, text, machine),
                other => Ok(other.clone()),
            };
            match value {
                Ok(value) => {
                    let from = Origin::File(written.spot.location());
                    self.variables.insert(variable, Variable { value, from });
                }
                Err(error) => self.mistakes.push(written.spot.mistake(error)),
            }
        }
        self.environment_defaults = environment.defaults;
        let connections = environment.connections;
        self.project.environment = Some(EnvironmentSpec { name: name.to_owned(), connections });
    }

    /// Lays the defaults of the environment that was chosen over `[defaults]`.
    pub(super) fn lay_defaults(&mut self) {
        let over = std::mem::take(&mut self.environment_defaults);
        let Some(environment) = &self.project.environment else { return };
        let path = format!("{}.defaults", Places::path("environments", &environment.name));
        // Of two that exclude each other the environment's is meant.
        for (said, other) in super::finish::ALTERNATIVES {
            if over.written().any(|option| option.name == *said) {
                self.defaults.clear(other);
            }
        }
        for option in over.written() {
            self.project.places.put(&format!("defaults.{}", option.name), &format!("{path}.{}", option.name));
            self.attempted_defaults.insert(option.name.to_owned());
        }
        self.defaults = self.defaults.overlaid(&over);
    }
}

/// The text of a variable with its `${env:…}` in their places.
fn resolved(variable: &str, text: &str, machine: &dyn Environment) -> Result<Literal, FlowError> {
    let wrong = |message: String| FlowError::new(ErrorCode::MissingVariable, message);
    let template = Template::parse(text).map_err(|malformed| wrong(malformed.message))?;
    match template.resolve(machine, Path::new("")) {
        Ok(value) => Ok(Literal::Text(value.reveal().to_owned())),
        Err(missing) => Err(wrong(format!("{missing}; the variable `{variable}` asks for it"))
            .hint(format!("set it, or give --var {variable}=…"))),
    }
}
