//! The plan as data: what is done, in which order, and why. It prints as text, SQL and JSON, and the
//! executor runs the very same value.

mod answer;
pub mod builder;

pub use answer::{Answer, Asked, ExpectationFailure, GuardFailure, Warning};

use crate::check::{Transform, Work};
use crate::error::{FlowError, Result};
use crate::facts::ExecutionPath;
use crate::hash::CopyColumn;
pub use crate::marks::{Mark, MarkKind, Risk, Subject};
use crate::run_value::RunValue;
use crate::secret::Secret;
use crate::sql::{QualifiedName, Statement};
use crate::types::TypeFacts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Everything one run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it is about; of several targets, the first.
    pub header: Header,
    /// What is loaded, in the order of the targets.
    pub parts: Vec<Part>,
    /// What differs from the last run.
    pub marks: Vec<Mark>,
    /// How the plan came to be: what is left out, why a path or a form was taken.
    pub notes: Vec<String>,
    /// What a person should know although it goes well.
    pub warnings: Vec<String>,
    /// Why a run of it ends before its first step: the live table has drifted. There are no steps then.
    pub refused: Option<FlowError>,
    /// The steps in their order, by what they are for.
    pub phases: Vec<Phase>,
    /// What runs after the commit, each with a row of its own in the history.
    pub after: Vec<Child>,
}

/// What runs after the commit. A dry-run lists it.
#[derive(Clone, Debug, PartialEq)]
pub enum Child {
    /// A transform.
    Transform(Transform),
    /// What is served of a feature view follows the load.
    Refresh(Refresh),
}

/// The refresh of what is served of a feature view.
#[derive(Clone, Debug, PartialEq)]
pub struct Refresh {
    /// The statement, as a transform has it.
    pub step: Transform,
    /// The key of the view's declaration.
    pub view: String,
}

impl Child {
    /// What is run.
    pub fn step(&self) -> &Transform {
        match self {
            Child::Transform(step) | Child::Refresh(Refresh { step, .. }) => step,
        }
    }

    /// It as it is printed behind the steps of the load.
    fn printed(&self, n: usize) -> PrintedChild {
        let transform = self.step();
        PrintedChild {
            n,
            kind: StepKind::Transform,
            purpose: format!("after the commit: {}", transform.words()),
            sql: match transform.work {
                Work::Sql { .. } => Some(transform.sql()),
                Work::Function => None,
            },
        }
    }
}

/// What runs after the commit, in the form of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrintedChild {
    /// Number, behind those of the steps.
    pub n: usize,
    /// What it is about.
    pub kind: StepKind,
    /// One sentence.
    pub purpose: String,
    /// Its statements; nothing of a function.
    pub sql: Option<String>,
}

/// What a plan is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Header {
    /// The load strategy.
    pub mode: String,
    /// The keys by which rows are matched.
    pub keys: Vec<String>,
    /// Where the keys were declared.
    pub keys_reason: Option<String>,
    /// The path.
    pub path: ExecutionPath,
    /// Why that path.
    pub path_reason: String,
    /// The target.
    #[serde(serialize_with = "serialize_name")]
    pub target: QualifiedName,
    /// Columns whose change counts, for people.
    #[serde(skip)]
    pub compared: Vec<String>,
}

/// One target: it has counts, steps and a row of the history of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The target.
    pub target: QualifiedName,
    /// Where its rows are compared.
    pub path: ExecutionPath,
    /// Whether the table into which the rows were read is its stage: what that counted are the rows that it reads.
    pub stages_nothing: bool,
    /// What a person should know of it although it goes well.
    pub warnings: Vec<String>,
}

/// Which part a step belongs to, by its place in [`Plan::parts`].
pub type PartId = usize;

/// Steps with one purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// The purpose.
    pub name: PhaseName,
    /// The steps.
    pub steps: Vec<Step>,
}

/// What steps are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PhaseName {
    /// The target's definition.
    Prepare,
    /// The source's rows, and the guards over them.
    Read,
    /// The target's rows.
    Apply,
    /// What is remembered of the run.
    Record,
}

impl Plan {
    /// The steps in their order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.phases.iter().flat_map(|phase| &phase.steps)
    }

    /// Asks for the keys that its statements send and nobody prints; each once.
    ///
    /// # Errors
    /// What the answers say.
    pub fn unseal(&mut self, key_of: impl Fn(&str) -> Result<Secret>) -> Result<()> {
        let mut known: BTreeMap<String, Secret> = BTreeMap::new();
        let mut once = |written: &str| match known.get(written) {
            Some(key) => Ok(key.clone()),
            None => {
                let key = key_of(written)?;
                known.insert(written.to_owned(), key.clone());
                Ok(key)
            }
        };
        for step in self.phases.iter_mut().flat_map(|phase| &mut phase.steps) {
            step.action.statements_mut().into_iter().try_for_each(|statement| statement.unseal(&mut once))?;
        }
        Ok(())
    }

    /// What runs after the commit, as it is printed behind the steps.
    pub fn printed_children(&self) -> Vec<PrintedChild> {
        let count = self.steps().count();
        self.after.iter().enumerate().map(|(index, child)| child.printed(count + index + 1)).collect()
    }

    /// Whether it loads several targets.
    pub fn is_of_several(&self) -> bool {
        self.parts.len() > 1
    }
}

/// A step as it stands in JSON; of several targets it names its own.
#[derive(Serialize)]
struct PrintedStep<'a> {
    #[serde(flatten)]
    step: &'a Step,
    /// Where there are several: the target, or nothing for a step of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Option<String>>,
}

impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Printed<'a> {
            #[serde(flatten)]
            header: &'a Header,
            marks: &'a [Mark],
            notes: &'a [String],
            warnings: &'a [String],
            steps: Vec<Printable<'a>>,
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Printable<'a> {
            Step(PrintedStep<'a>),
            Child(PrintedChild),
        }
        let target = |step: &Step| step.part.map(|part| self.parts[part].target.to_string());
        let steps = self
            .steps()
            .map(|step| PrintedStep { step, part: self.is_of_several().then(|| target(step)) })
            .map(Printable::Step);
        let children = self.printed_children().into_iter().map(Printable::Child);
        let steps = steps.chain(children).collect();
        let Plan { header, marks, notes, warnings, .. } = self;
        Printed { header, marks, notes, warnings, steps }.serialize(serializer)
    }
}

fn serialize_name<S: serde::Serializer>(name: &QualifiedName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Locks the target.
    Lock,
    /// Creates or changes a table.
    Ddl,
    /// Copies the source rows.
    Stage,
    /// Ends the run if it finds something.
    Guard,
    /// Finds what changed.
    Diff,
    /// Rewrites rows in place.
    Update,
    /// Deletes rows.
    Delete,
    /// Closes versions.
    Close,
    /// Empties the target.
    Truncate,
    /// Writes new rows.
    Insert,
    /// Watermark and run history.
    Finish,
    /// Runs after the load.
    Transform,
}

impl StepKind {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            StepKind::Lock => "lock",
            StepKind::Ddl => "ddl",
            StepKind::Stage => "stage",
            StepKind::Guard => "guard",
            StepKind::Diff => "diff",
            StepKind::Update => "update",
            StepKind::Delete => "delete",
            StepKind::Close => "close",
            StepKind::Truncate => "truncate",
            StepKind::Insert => "insert",
            StepKind::Finish => "finish",
            StepKind::Transform => "transform",
        }
    }
}

/// One thing to do and what to do with its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Number, from 1.
    pub n: usize,
    /// What it is about.
    pub kind: StepKind,
    /// One sentence, printed as the comment above the SQL.
    pub purpose: String,
    /// What is done.
    #[serde(rename = "sql")]
    pub action: Action,
    /// What to do with the answer.
    #[serde(skip)]
    pub answer: Answer,
    /// Runs only if this holds.
    #[serde(skip)]
    pub when: Option<Condition>,
    /// Whose fault it is when the server refuses.
    #[serde(skip)]
    pub blame: Blame,
    /// The part whose values it counts and uses; `None`: of all parts together.
    #[serde(skip)]
    pub part: Option<PartId>,
    /// Which of several sources it reads, by its place among them.
    #[serde(skip)]
    pub from: usize,
}

impl Step {
    /// A step that always runs; what reads the source is its fault.
    pub fn new(n: usize, kind: StepKind, purpose: impl Into<String>, action: Action, answer: Answer) -> Step {
        let blame = match kind {
            StepKind::Stage => Blame::Source,
            _ => Blame::Target,
        };
        Step { n, kind, purpose: purpose.into(), action, answer, when: None, blame, part: Some(0), from: 0 }
    }

    /// What it does, behind "to": some purposes name what is made, others what is done.
    pub fn doing(&self) -> String {
        let purpose = self.purpose.split("   ").next().unwrap_or_default();
        format!("do step {}, {purpose}", self.n)
    }
}

/// Whose fault it is when a server refuses a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The target's: the statement is ours.
    Target,
    /// The source's: the statement is around the user's query.
    Source,
    /// One statement reads and writes: the source's, unless the server names a rule or a privilege of the target.
    SourceUnlessWritten,
    /// Whoever wrote the transform.
    Transform,
    /// Whoever wrote SQL into an option.
    Option,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Runs a statement on the target.
    Execute(Statement),
    /// Runs a statement on the source.
    AskSource(Statement),
    /// Copies rows from the source into the target.
    Copy(Copy),
    /// Takes rows that no database sends into the target.
    Bring(Bring),
    /// Compares the source's rows with the current versions by their hashes, in the client, and copies those
    /// that are new or differ into the target.
    Compare(Compare),
}

/// Rows on their way from the source into the target, as bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Sends the rows, on the source: one statement, or several that each send a part, by a session each and all of one
    /// instant.
    pub reads: Vec<Statement>,
    /// Takes them, on the target.
    pub write: Statement,
    /// The table that takes them, which has their columns in their order.
    pub into: QualifiedName,
    /// How many fields of a row are written; those after them are hashed only.
    pub kept: usize,
    /// Hashes that are appended to each row, by the fields they are made of.
    pub digests: Vec<Vec<CopyColumn>>,
}

/// Rows of Arrow on their way into the target, from elsewhere than a database of its engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Bring {
    /// What brings them, for people.
    pub rows: String,
    /// What the source is asked, where a database of another engine sends them.
    pub read: Option<Asking>,
    /// Takes them, on the target.
    pub write: Statement,
    /// The table that takes them, which has their columns in their order.
    pub into: QualifiedName,
    /// The columns in their order, as the target takes them.
    pub columns: Vec<(String, TypeFacts)>,
    /// The id of the run, where each row gets it as its last column.
    pub run: Option<String>,
}

/// What a database of another engine is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// Sends the rows, on the source.
    pub statement: Statement,
    /// The columns in their order, as they are sent.
    pub columns: Vec<(String, TypeFacts)>,
}

/// A comparison in the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare {
    /// Sends key, row hash and address of the current versions, on the target.
    pub known: Statement,
    /// Sends the source's rows, on the source.
    pub read: Statement,
    /// Takes the changes, on the target: the row, then change, address, key digest, stored hash, row hash.
    pub write: Statement,
    /// The table that takes them, which has their columns in their order.
    pub into: QualifiedName,
    /// How many fields a row of the source has.
    pub fields: usize,
    /// The key among the fields of a current version; row hash and address follow it.
    pub known_key: Vec<CopyColumn>,
    /// The key among the fields of a row.
    pub key: Vec<CopyColumn>,
    /// The compared columns among the fields of a row.
    pub compared: Vec<CopyColumn>,
    /// Whether current versions whose key left the source are changes.
    pub gone: bool,
}

impl Action {
    /// What it sends.
    fn statements_mut(&mut self) -> Vec<&mut Statement> {
        match self {
            Action::Execute(statement) | Action::AskSource(statement) => vec![statement],
            Action::Copy(Copy { reads, write, .. }) => reads.iter_mut().chain([write]).collect(),
            Action::Bring(Bring { read, write, .. }) => {
                read.iter_mut().map(|read| &mut read.statement).chain([write]).collect()
            }
            Action::Compare(Compare { known, read, write, .. }) => vec![known, read, write],
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Execute(statement) => statement.fmt(f),
            Action::AskSource(statement) => write!(f, "-- on the source\n{statement}"),
            Action::Copy(Copy { reads, write, .. }) => {
                for (index, read) in reads.iter().enumerate() {
                    match reads.len() {
                        1 => writeln!(f, "-- on the source\n{read};")?,
                        all => writeln!(f, "-- on the source, session {} of {all}\n{read};", index + 1)?,
                    }
                }
                write!(f, "-- on the target, as the rows come\n{write}")
            }
            Action::Bring(Bring { rows, read, write, .. }) => match read {
                Some(Asking { statement, .. }) => {
                    write!(f, "-- on {rows}\n{statement};\n-- on the target, as the rows come\n{write}")
                }
                None => write!(f, "-- {rows}, on the target as the rows come\n{write}"),
            },
            Action::Compare(Compare { known, read, write, .. }) => write!(
                f,
                "-- on the target, into the client\n{known};\n-- on the source, into the client\n{read};\n-- on the target, those that are new or differ\n{write}"
            ),
        }
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When a step runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A number counted earlier is above zero.
    Positive(RunValue),
    /// One of several numbers counted earlier is.
    AnyPositive(Vec<RunValue>),
    /// One of several expectations has suspects, each by its place.
    AnySuspects(Vec<usize>),
}
