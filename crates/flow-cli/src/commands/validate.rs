//! `flow validate`: every mistake at once, from the files or with the databases.

use super::tell_errors;
use crate::args::ValidateArgs;
use crate::console::{Console, Format};
use crate::project::{self, Outcome, Session};
use crate::render::github::Annotations;
use crate::render::number::counted;
use crate::render::style::{ERROR, FAINT, GOOD, paint};
use crate::render::{diagnostic, markdown};
use crate::selection;
use crate::signals;
use ematix_flow_core::cores;
use ematix_flow_core::declare::PipelineOptions;
use ematix_flow_core::error::{ExitCode, FlowError};
use ematix_flow_core::pipeline::Pipeline;
use ematix_flow_run::execute::Engine;
use serde_json::json;

/// What only a database can tell, of each pipeline.
const UNCHECKED: &str = "queries, columns, types, drift, privileges";

/// Validates the pipelines that were asked for.
pub fn validate(session: &Session, args: &ValidateArgs) -> Outcome {
    let console = &session.console;
    let read = match args.connect {
        true => session.connected_engine(&selection::said(&args.selection)),
        false => session.engine(),
    };
    let engine = match read {
        Ok(engine) => engine,
        Err(failure) if matches!(console.format(), Format::Json | Format::NdJson) => {
            console.json(&document(&failure.0, &Doubts::default()));
            tell_errors(console, &failure.0);
            return Ok(failure.exit());
        }
        Err(failure) => return Err(failure),
    };
    let selection = selection::choose(engine.project(), &args.selection)?;
    let mut findings: Vec<(String, Vec<FlowError>)> =
        cores::each(&selection.names, |name| (name.clone(), engine.validate(name)));
    let mut doubts = Doubts::default();
    if args.connect {
        connect(&engine, &mut findings)?;
    } else {
        selection.names.iter().for_each(|name| doubts.add(&engine, name));
        if selection.names.len() == engine.project().pipelines.len() {
            doubts.add_transforms(&engine);
        }
    }
    let errors: Vec<FlowError> = findings.iter().flat_map(|(_, errors)| errors.clone()).collect();
    match console.format() {
        Format::Human => {
            console.out(&text(&findings, &doubts));
            tell_warnings(console, &doubts.warnings);
        }
        Format::Json | Format::NdJson => console.json(&document(&errors, &doubts)),
        Format::Markdown => {
            let unchecked = if args.connect { Vec::new() } else { doubts.in_words() };
            session
                .page("validate", |about| markdown::validate(about, &findings, &doubts.warnings, &unchecked));
            console.tell(&last_line(&findings));
        }
        Format::Github => {
            let (places, workspace) = (&engine.project().places, &session.workspace());
            let annotations = Annotations { places, workspace };
            console.out(&annotations.errors(&errors));
            console.out(&annotations.warnings(&doubts.warnings));
            console.tell(&last_line(&findings));
        }
    }
    if errors.is_empty() {
        return Ok(ExitCode::Success);
    }
    tell_errors(console, &errors);
    // A server that cannot be reached is not a finding about the files.
    let codes = errors.iter().map(|error| error.code.exit());
    let unreachable = codes.clone().all(|code| code == ExitCode::Unreachable);
    Ok(if unreachable { ExitCode::Unreachable } else { ExitCode::Usage })
}

fn connect(engine: &Engine, findings: &mut [(String, Vec<FlowError>)]) -> Result<(), FlowError> {
    signals::block_on(async |stop| {
        let request = project::request(PipelineOptions::default(), stop);
        for (name, errors) in findings {
            // A pipeline that is wrong by its files alone has nothing to ask a server.
            if errors.is_empty() {
                errors.extend(engine.validate_connected(name, &request).await);
            }
        }
    })
}

/// What files alone do not settle.
#[derive(Default)]
struct Doubts {
    /// What is probably a slip.
    warnings: Vec<FlowError>,
    /// What only a database can tell, and what another environment may bring: an entry a pipeline and thing.
    unchecked: Vec<String>,
    /// The connections among them.
    connections: Vec<String>,
}

impl Doubts {
    fn add(&mut self, engine: &Engine, name: &str) {
        self.unchecked.push(format!("{name}: {UNCHECKED}"));
        let undeclared = engine.undeclared(name);
        self.warnings.extend(undeclared.slips);
        for words in undeclared.elsewhere {
            self.unchecked.push(format!("{name}: {words}"));
            if !self.connections.contains(&words) {
                self.connections.push(words);
            }
        }
    }

    /// Of transforms that no pipeline refers to, too.
    fn add_transforms(&mut self, engine: &Engine) {
        let undeclared = engine.undeclared_of_transforms();
        let told: Vec<_> = self.warnings.iter().map(|known| known.location.clone()).collect();
        self.warnings.extend(undeclared.slips.into_iter().filter(|slip| !told.contains(&slip.location)));
        for words in undeclared
            .elsewhere
            .into_iter()
            .filter(|words| !self.connections.contains(words))
            .collect::<Vec<_>>()
        {
            self.unchecked.push(format!("transforms: {words}"));
            self.connections.push(words);
        }
    }

    /// Each thing once, whichever pipelines it is of.
    fn in_words(&self) -> Vec<String> {
        let of_databases = (!self.unchecked.is_empty()).then(|| UNCHECKED.to_owned());
        of_databases.into_iter().chain(self.connections.iter().cloned()).collect()
    }
}

fn document(errors: &[FlowError], doubts: &Doubts) -> serde_json::Value {
    let mut document = json!({
        "schema": "ematix.validate.v1",
        "ok": errors.is_empty(),
        "errors": errors,
        "unchecked": doubts.unchecked,
    });
    if !doubts.warnings.is_empty() {
        document["warnings"] = json!(doubts.warnings);
    }
    document
}

fn tell_warnings(console: &Console, warnings: &[FlowError]) {
    if !warnings.is_empty() {
        console.tell(&warnings.iter().map(diagnostic::doubt).collect::<Vec<_>>().join("\n"));
    }
}

fn text(findings: &[(String, Vec<FlowError>)], doubts: &Doubts) -> String {
    let mut text = String::new();
    for (name, errors) in findings {
        let state = match errors.len() {
            0 => paint(GOOD, "ok     "),
            _ => paint(ERROR, "invalid"),
        };
        text.push_str(&format!("{state}  {name}\n"));
    }
    text.push_str(&last_line(findings));
    for words in doubts.in_words() {
        text.push_str(&paint(FAINT, format_args!("not checked without --connect: {words}")));
        text.push('\n');
    }
    text
}

fn last_line(findings: &[(String, Vec<FlowError>)]) -> String {
    let faulty = findings.iter().filter(|(_, errors)| !errors.is_empty()).count();
    let all = counted(findings.len() as i64, "pipeline", "pipelines");
    match faulty {
        0 => format!("{all}: all valid\n"),
        _ => format!("{all}: {faulty} invalid\n"),
    }
}

/// Every fault of some pipelines, from the files and the options given for this once: found before
/// anything runs.
pub fn faults(engine: &Engine, names: &[String], overrides: &PipelineOptions) -> Vec<FlowError> {
    let faults = cores::each(names, |name| Pipeline::build(engine.project(), name, overrides).err());
    faults.into_iter().flatten().flatten().collect()
}
