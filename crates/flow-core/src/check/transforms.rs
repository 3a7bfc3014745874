//! What runs after a load: SQL is taken apart into its statements, a name leads to a transform of the project.

use super::{Check, DEFAULT_CONNECTION};
use crate::declare::options::PipelineOptions;
use crate::declare::transforms::{FullPostTransform, OnFailure, PostTransform, Statements, TransformSpec};
use crate::declare::{Places, ProjectSpec};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::query;
use crate::schedule::Schedule;

/// How much of a statement is its name, where nobody gave one.
const NAME_LENGTH: usize = 60;

/// What runs after a load, or by itself: in a transaction of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Its name, or how its SQL begins.
    pub name: String,
    /// The connection that it runs on.
    pub connection: String,
    /// What it does.
    pub work: Work,
    /// What its failure means for those after it.
    pub on_failure: OnFailure,
}

/// What a transform does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Runs statements: in one transaction, or (`transaction = false`) each by itself.
    Sql {
        /// The statements.
        statements: Vec<String>,
        /// Whether they are one transaction.
        transaction: bool,
    },
    /// Calls a function of Python.
    Function,
}

impl Transform {
    /// What it is, in words: ``refresh_marts   on dwh, outside of a transaction``.
    pub fn words(&self) -> String {
        let mut words = format!("{}   on {}", self.name, self.connection);
        match &self.work {
            Work::Function => words.push_str(", a function"),
            Work::Sql { transaction: false, .. } => words.push_str(", outside of a transaction"),
            Work::Sql { statements, .. } if statements.len() > 1 => {
                words.push_str(&format!(", {} statements", statements.len()));
            }
            Work::Sql { .. } => {}
        }
        if self.on_failure == OnFailure::Continue {
            words.push_str(", those after it run also when it fails");
        }
        words
    }

    /// Whether all that it does is one transaction of ours.
    pub fn is_fenced(&self) -> bool {
        matches!(self.work, Work::Sql { transaction: true, .. })
    }

    /// Its statements as text; nothing of a function.
    pub fn sql(&self) -> String {
        match &self.work {
            Work::Sql { statements, .. } => statements.join(";\n"),
            Work::Function => String::new(),
        }
    }
}

/// A transform that can be run by its name.
#[derive(Clone, Debug)]
pub struct NamedTransform {
    /// What it does.
    pub transform: Transform,
    /// When it is due by itself.
    pub schedule: Option<Schedule>,
}

/// A transform of a project by its name.
///
/// # Errors
/// Every violated rule, each at its place; `unknown_option` for a name that no transform has.
pub fn named_transform(project: &ProjectSpec, name: &str) -> Result<NamedTransform, Vec<FlowError>> {
    let Some(spec) = project.transforms.get(name) else { return Err(vec![unknown_transform(project, name)]) };
    let mut check = Check { project, path: Places::path("transforms", name), errors: Vec::new() };
    let schedule = check.schedule_of(spec);
    let transform = check.named(name, spec);
    match transform {
        Some(transform) if check.errors.is_empty() => Ok(NamedTransform { transform, schedule }),
        _ => Err(check.errors),
    }
}

/// The error for a name that no transform has.
pub fn unknown_transform(project: &ProjectSpec, name: &str) -> FlowError {
    let error = FlowError::new(ErrorCode::UnknownOption, format!("there is no transform `{name}`"));
    let known = || project.transforms.keys().map(String::as_str);
    match did_you_mean(name, known()) {
        Some(near) => error.hint(format!("did you mean `{near}`? `flow transform list` shows all")),
        None if known().next().is_none() => {
            error.hint("declare it: [transforms.NAME] with its sql, or @ematix.transform in Python")
        }
        None => error.hint(format!("the transforms are {}", known().collect::<Vec<_>>().join(", "))),
    }
}

impl Check<'_> {
    /// What runs after the load of a pipeline, on its target's connection unless a transform says another.
    pub(crate) fn after(&mut self, options: &PipelineOptions, target_connection: &str) -> Vec<Transform> {
        let steps = options.transforms_post();
        let checked = steps.iter().enumerate().filter_map(|(index, step)| {
            let part = format!("transforms_post.{index}");
            match step {
                PostTransform::Sql(text) => {
                    let statements = Statements::One(text.clone());
                    self.sql(&part, None, target_connection, &statements, true, OnFailure::default())
                }
                PostTransform::Full(step) => self.step(&part, step, target_connection),
            }
        });
        apart(checked.collect())
    }

    fn step(&mut self, part: &str, step: &FullPostTransform, connection: &str) -> Option<Transform> {
        let wrong = |code, message: &str, hint: &str| FlowError::new(code, message).hint(hint);
        let on_failure = step.on_failure.unwrap_or_default();
        match (&step.sql, &step.transform_ref) {
            (Some(sql), None) => {
                self.sql(part, None, connection, sql, step.transaction.unwrap_or(true), on_failure)
            }
            (None, Some(_)) if step.transaction.is_some() => {
                let message = "`transaction` and `transform_ref` exclude each other";
                let hint = "say transaction in [transforms.NAME]: there stand the statements";
                self.fail(part, wrong(ErrorCode::ConflictingOptions, message, hint));
                None
            }
            (None, Some(name)) => {
                let named = match self.project.transforms.get(name) {
                    None => Err(vec![unknown_transform(self.project, name)]),
                    Some(_) => named_transform(self.project, name),
                };
                match named {
                    Ok(NamedTransform { transform, .. }) => {
                        // One that names no connection goes where the load went.
                        let own = self.project.transforms.get(name).and_then(|spec| spec.connection.clone());
                        let connection = own.unwrap_or_else(|| connection.to_owned());
                        Some(Transform { connection, on_failure, ..transform })
                    }
                    Err(errors) => {
                        // What is wrong with the transform itself has its own place.
                        errors.into_iter().for_each(|error| match error.location {
                            Some(_) => self.errors.push(error),
                            None => self.fail(part, error),
                        });
                        None
                    }
                }
            }
            (Some(_), Some(_)) => {
                let message = "`sql` and `transform_ref` exclude each other";
                self.fail(part, wrong(ErrorCode::ConflictingOptions, message, "write two steps"));
                None
            }
            (None, None) => {
                let message = "a step of `transforms_post` says neither `sql` nor `transform_ref`";
                let hint = "write { sql = \"…\" } or { transform_ref = \"NAME\" }";
                self.fail(part, wrong(ErrorCode::MissingOption, message, hint));
                None
            }
        }
    }

    fn named(&mut self, name: &str, spec: &TransformSpec) -> Option<Transform> {
        let connection = spec.connection.as_deref().unwrap_or(DEFAULT_CONNECTION);
        if self.project.connections.get(connection).is_some_and(|connection| connection.read_only) {
            let error = FlowError::new(
                ErrorCode::ReadOnlyTarget,
                format!("the connection `{connection}` of transform `{name}` is declared read_only"),
            );
            self.fail("connection", error.hint("name a connection that may write"));
        }
        match &spec.sql {
            Some(sql) => {
                let transaction = spec.transaction.unwrap_or(true);
                self.sql("sql", Some(name), connection, sql, transaction, OnFailure::default())
            }
            None => Some(Transform {
                name: name.to_owned(),
                connection: connection.to_owned(),
                work: Work::Function,
                on_failure: OnFailure::default(),
            }),
        }
    }

    /// The statements of some SQL.
    fn sql(
        &mut self,
        part: &str,
        name: Option<&str>,
        connection: &str,
        sql: &Statements,
        transaction: bool,
        on_failure: OnFailure,
    ) -> Option<Transform> {
        let mut statements = Vec::new();
        for (index, text) in sql.texts().iter().enumerate() {
            // In a list each text has a place of its own.
            let part = match sql {
                Statements::Many(_) if name.is_some() => format!("{part}.{index}"),
                _ => part.to_owned(),
            };
            let found = self.keep(&part, query::statements(text))?;
            if found.is_empty() {
                let error = FlowError::new(ErrorCode::InvalidValue, "the SQL of a transform is empty");
                self.fail(&part, error);
            }
            for statement in found {
                self.transactions(&part, &statement, transaction);
                statements.push(statement.text);
            }
        }
        if statements.is_empty() && sql.texts().is_empty() {
            let error = FlowError::new(ErrorCode::InvalidValue, "the SQL of a transform is an empty list");
            self.fail(part, error);
        }
        let begins = || statements.first().map_or_else(String::new, |first| shortened(first));
        let name = name.map_or_else(begins, str::to_owned);
        let work = Work::Sql { statements, transaction };
        Some(Transform { name, connection: connection.to_owned(), work, on_failure })
    }

    /// Refuses what the transaction of a transform does not allow.
    fn transactions(&mut self, part: &str, statement: &query::Statement, transaction: bool) {
        if query::copies_by_client(&statement.text) {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                "COPY … FROM STDIN or TO STDOUT in a transform: nobody is there to send or take the rows",
            );
            let hint = "write INSERT … SELECT, or COPY from a file of the server; a function has them by its own connection";
            return self.fail(part, error.hint(hint));
        }
        if let Some(word) = statement.ends_transactions() {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("{word} in a transform: its statements are a transaction already"),
            );
            let hint = "take it out; transaction = false runs each statement by itself";
            return self.fail(part, error.hint(hint));
        }
        let alone = statement.needs_no_transaction().filter(|_| transaction);
        if let Some(what) = alone {
            let error = FlowError::new(
                ErrorCode::InvalidValue,
                format!("{what} cannot run inside of a transaction, as a transform does"),
            );
            let shown = shortened(&statement.text);
            self.fail(part, error.hint(format!("write {{ sql = \"{shown}\", transaction = false }}")));
        }
    }

    fn schedule_of(&mut self, spec: &TransformSpec) -> Option<Schedule> {
        let zone = spec.timezone.as_deref().unwrap_or("UTC");
        let is_zone = self.keep("timezone", crate::schedule::zone(zone)).is_some();
        let line = spec.schedule.as_deref()?;
        let zone = if is_zone { zone } else { "UTC" };
        self.keep("schedule", Schedule::cron(line, zone, crate::declare::options::FirstRun::default()))
    }
}

/// Of SQL that begins alike, each but the first has a number.
fn apart(mut transforms: Vec<Transform>) -> Vec<Transform> {
    for index in 1..transforms.len() {
        let name = transforms[index].name.clone();
        let alike = |other: &&Transform| other.name == name;
        let before = transforms[..index].iter().filter(alike).count();
        let is_sql = matches!(transforms[index].work, Work::Sql { .. });
        if before > 0 && is_sql {
            let taken = |name: &String| transforms[..index].iter().any(|other| other.name == *name);
            let mut numbers = (before + 1..).map(|number| format!("{name} ({number})"));
            transforms[index].name =
                numbers.find(|name| !taken(name)).expect("there is always another number");
        }
    }
    transforms
}

/// How a statement begins, on one line.
fn shortened(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(NAME_LENGTH) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}
