//! `flow add`: declares the tables of a source, and how they are loaded, in the project's file or as a Python module.
//! What is there stays as it is; what cannot be declared is told, and the rest is written.

mod adoption;
pub(super) mod document;
pub(super) mod file;
pub(super) mod module;
mod python_names;
mod report;
mod standing;
pub(super) mod wanted;

use super::after_errors;
use crate::args::AddArgs;
use crate::project::{Failure, Outcome, Session};
use crate::signals;
use ematix_flow_core::declare::environment::ProcessEnvironment;
use ematix_flow_core::declare::{PipelineOptions, ProjectSpec, toml_file};
use ematix_flow_core::error::{ErrorCode, ExitCode, FlowError, did_you_mean};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_run::execute::Engine;
use ematix_flow_run::execute::described::DescribedTable;
use file::{File, Turn};
use report::{Row, State};
use standing::Standing;
use std::path::Path;
use wanted::{Load, Wanted};

/// Adds what the patterns mean.
pub fn add(session: &Session, args: &AddArgs) -> Outcome {
    let config = &session.global.config;
    if let Some(Some(path)) = &args.python {
        python_names::importable(path)?;
    }
    let made = loop {
        let Some(made) = Made::of(session, args)? else { return Ok(ExitCode::Success) };
        if args.dry_run || made.files.is_empty() {
            break made;
        }
        // Databases are asked before: who writes is alone for as long as writing takes.
        let _turn = Turn::take(config);
        let kept = file::held(config)?.unwrap_or_default() == made.text;
        if kept
            && made
                .files
                .iter()
                .try_fold(true, |kept, file| Ok::<_, FlowError>(kept && file.is_as_before()?))?
        {
            made.files.iter().try_for_each(File::write)?;
            break made;
        }
        // Somebody else has written meanwhile: what they declare counts too.
    };
    let Made { text, rows, files, errors } = made;
    let is_written = !args.dry_run && !files.is_empty();
    let new: String = match args.python {
        None => files.first().map(|file| document::added(&text, &file.text).to_owned()).unwrap_or_default(),
        Some(_) => files.first().map(|file| file.text.clone()).unwrap_or_default(),
    };
    report::print(session, &rows, &files, is_written, args.dry_run.then_some(new.as_str()), &errors);
    match errors.is_empty() {
        true => Ok(ExitCode::Success),
        false => after_errors(&session.console, &errors),
    }
}

/// What the patterns come to in the project as it is.
struct Made {
    /// The text of the project's file: nothing where there is none yet.
    text: String,
    rows: Vec<Row>,
    /// What is to be written.
    files: Vec<File>,
    /// Why some tables are not in it.
    errors: Vec<FlowError>,
}

impl Made {
    /// Nothing where a person was only shown what would settle a history.
    fn of(session: &Session, args: &AddArgs) -> Result<Option<Made>, Failure> {
        let config = &session.global.config;
        // Before the project is read: what changes while it is read is seen as a change.
        let before = file::held(config)?;
        let engine = session.engine_without_file()?;
        let text = before.clone().unwrap_or_default();
        let load = Load::of(args, engine.project())?;
        let looked = match &args.adopt {
            None => look(&engine, args, &load)?,
            Some(table) => match adoption::look(session, &engine, args, &load, table)? {
                Some(looked) => looked,
                None => return Ok(None),
            },
        };
        let Looked { rows, wanted, mut errors } = looked;
        let (wanted, refused): (Vec<Wanted>, Vec<Refused>) = sound(session, &load, &text, wanted)?;
        let rows = report::without(rows, &refused);
        errors.extend(refused.into_iter().map(|refused| refused.error));
        let wanted: Vec<&Wanted> = wanted.iter().collect();
        let files = match &args.python {
            _ if wanted.is_empty() => Vec::new(),
            None => {
                let with = document::with(&text, &wanted, &load)?;
                vec![File { path: config.clone(), text: with, before, is_private: false }]
            }
            Some(path) => module::files(path.as_deref(), config, before, &wanted, &load)?,
        };
        Ok(Some(Made { text, rows, files, errors }))
    }
}

/// What patterns mean to a project.
#[derive(Default)]
struct Looked {
    /// What becomes of each table.
    rows: Vec<Row>,
    /// What is to be added.
    wanted: Vec<Wanted>,
    /// Why other tables are not.
    errors: Vec<FlowError>,
}

/// A pipeline that breaks a rule.
pub struct Refused {
    name: String,
    error: FlowError,
}

/// What is to be added, and what becomes of every table that is meant.
fn look(engine: &Engine, args: &AddArgs, load: &Load) -> Result<Looked, Failure> {
    let mut looked = Looked::default();
    for table in described(engine, args, load)? {
        let source = table.name.clone();
        match Wanted::of(table, load) {
            Ok(one) => looked.take(engine.project(), one, load),
            Err(error) => {
                looked.rows.push(Row::refused(&source));
                looked.errors.push(error);
            }
        }
    }
    Ok(looked)
}

/// The tables that are meant.
fn described(engine: &Engine, args: &AddArgs, load: &Load) -> Result<Vec<DescribedTable>, Failure> {
    let patterns: Vec<&str> = args.patterns.iter().map(String::as_str).collect();
    let described = signals::block_on(async |_| engine.describe(&load.from, &load.to, &patterns).await)??;
    if !described.idle.is_empty() {
        let idle = described.idle.iter().map(|index| idle(&load.from, patterns[*index]));
        return Err(idle.collect::<Vec<_>>().into());
    }
    Ok(described.tables)
}

impl Looked {
    /// One more, as it stands to the project and to those before.
    fn take(&mut self, project: &ProjectSpec, one: Wanted, load: &Load) {
        let source = one.source.clone();
        let standing = match self.wanted.iter().find(|other| other.clashes(&one)) {
            Some(other) => Standing::Taken(one.taken_by(other)),
            None => standing::of(project, &one, load),
        };
        let Looked { rows, wanted, errors } = self;
        match standing {
            Standing::New => {
                rows.push(Row::of(&one, load, State::Added));
                wanted.push(one);
            }
            Standing::Declared(key, notes) => {
                let one = one.into_declared(key, notes);
                rows.push(Row::of(&one, load, State::Added));
                wanted.push(one);
            }
            Standing::Kept(notes) => {
                let mut row = Row::of(&one, load, State::Kept);
                row.notes = notes;
                rows.push(row);
            }
            Standing::Taken(error) => {
                rows.push(Row::refused(&source));
                errors.push(error);
            }
        }
    }
}

/// A pattern that means nothing.
fn idle(from: &str, pattern: &str) -> FlowError {
    let message = match pattern.strip_prefix('!') {
        Some(_) => format!("`{pattern}` leaves no table out"),
        None => format!("`{pattern}` is no table of the connection `{from}`"),
    };
    let hint = match pattern.contains('.') {
        true => "a pattern is schema.table; a glob takes no views: name them",
        false => "say the schema too: public.orders, 'public.*'",
    };
    FlowError::new(ErrorCode::UnknownTable, message).hint(hint)
}

/// What is left when the project is read with it: what breaks a rule is refused, with the rule.
fn sound(
    session: &Session,
    load: &Load,
    text: &str,
    mut wanted: Vec<Wanted>,
) -> Result<(Vec<Wanted>, Vec<Refused>), Failure> {
    if wanted.is_empty() {
        return Ok((wanted, Vec::new()));
    }
    let all: Vec<&Wanted> = wanted.iter().collect();
    let with = document::with(text, &all, load)?;
    let config: &Path = &session.global.config;
    let project = toml_file::read_chosen(with, config, &session.global.chosen(), &ProcessEnvironment)?;
    let mut refused = Vec::new();
    wanted.retain(|one| match Pipeline::build(&project, &one.name, &PipelineOptions::default()) {
        Ok(_) => true,
        Err(mut errors) => {
            let error = one.refused(errors.remove(0), load);
            refused.push(Refused { name: one.name.clone(), error });
            false
        }
    });
    Ok((wanted, refused))
}

/// Names that there are, near one that there is not.
fn near(word: &str, names: &[String]) -> String {
    match did_you_mean(word, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", names.join(", ")),
    }
}
