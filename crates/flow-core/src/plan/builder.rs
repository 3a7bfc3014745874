//! Collects steps, marks and notes while a plan is made.

use super::{Action, Answer, Blame, Bring, Condition, Mark, Phase, PhaseName, Step, StepKind, Subject};
use crate::dialect::Dialect;
use crate::engine::Ends;
use crate::run_value::RunValue;
use crate::sql::{QualifiedName, Sql};

/// A plan in the making.
pub struct PlanBuilder<'a> {
    ends: Ends<'a>,
    phases: Vec<Phase>,
    /// Marks so far.
    pub marks: Vec<Mark>,
    /// Notes so far.
    pub notes: Vec<String>,
    /// Warnings so far.
    pub warnings: Vec<String>,
    /// Whether the table into which the rows were read is the stage.
    pub stages_nothing: bool,
    /// Intermediate tables that nobody needs after the last step.
    pub leftovers: Vec<QualifiedName>,
    /// Which of several sources the steps read that are added from here on.
    pub from: usize,
}

impl<'a> PlanBuilder<'a> {
    /// An empty plan.
    pub fn new(ends: Ends<'a>) -> PlanBuilder<'a> {
        PlanBuilder {
            ends,
            phases: Vec::new(),
            marks: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
            stages_nothing: false,
            leftovers: Vec::new(),
            from: 0,
        }
    }

    /// The target's dialect.
    pub fn dialect(&self) -> &'a dyn Dialect {
        self.ends.target.dialect
    }

    /// Begins a phase, unless it has begun.
    pub fn phase(&mut self, name: PhaseName) {
        if self.phases.last().is_none_or(|phase| phase.name != name) {
            self.phases.push(Phase { name, steps: Vec::new() });
        }
    }

    /// The phases that have steps.
    pub fn take_phases(&mut self) -> Vec<Phase> {
        let mut phases = std::mem::take(&mut self.phases);
        phases.retain(|phase| !phase.steps.is_empty());
        phases
    }

    fn steps(&mut self) -> &mut Vec<Step> {
        &mut self.phases.last_mut().expect("a phase has begun").steps
    }

    /// Adds a step, unless the dialect needs no statement for it.
    pub fn step(&mut self, kind: StepKind, purpose: impl Into<String>, sql: Sql, answer: Answer) {
        self.execute(kind, purpose, sql, answer, None);
    }

    /// Adds a statement on the target that reads the user's query.
    pub fn reading_step(
        &mut self,
        kind: StepKind,
        purpose: impl Into<String>,
        sql: Sql,
        answer: Answer,
        blame: Blame,
    ) {
        let before = self.steps().len();
        self.step(kind, purpose, sql, answer);
        self.steps()[before..].iter_mut().for_each(|step| step.blame = blame);
    }

    /// Adds a statement on the source, unless the dialect needs none.
    pub fn ask_source(&mut self, kind: StepKind, purpose: impl Into<String>, sql: Sql) {
        if !sql.is_empty() {
            self.add(
                kind,
                purpose.into(),
                Action::AskSource(sql.render(self.ends.source.dialect)),
                Answer::Ignore,
                None,
            );
        }
    }

    /// Adds a question to the source, whose answer is taken.
    pub fn read_source(&mut self, kind: StepKind, purpose: impl Into<String>, sql: Sql, answer: Answer) {
        self.add(kind, purpose.into(), Action::AskSource(sql.render(self.ends.source.dialect)), answer, None);
    }

    /// Adds a step in which rows pass the client.
    pub fn bring(&mut self, kind: StepKind, purpose: impl Into<String>, bring: Bring, answer: Answer) {
        self.add(kind, purpose.into(), Action::Bring(bring), answer, None);
    }

    /// Adds a step in which rows pass through the client.
    pub fn transfer(&mut self, kind: StepKind, purpose: impl Into<String>, action: Action) {
        self.add(kind, purpose.into(), action, Answer::Ignore, None);
    }

    /// Adds a step that runs only if a number counted earlier is above zero.
    pub fn step_if(
        &mut self,
        slot: RunValue,
        kind: StepKind,
        purpose: impl Into<String>,
        sql: Sql,
        answer: Answer,
    ) {
        self.execute(kind, purpose, sql, answer, Some(Condition::Positive(slot)));
    }

    /// Adds a step that runs only if one of several numbers counted earlier is above zero.
    pub fn step_if_any(
        &mut self,
        values: Vec<RunValue>,
        kind: StepKind,
        purpose: impl Into<String>,
        sql: Sql,
        answer: Answer,
    ) {
        self.execute(kind, purpose, sql, answer, Some(Condition::AnyPositive(values)));
    }

    /// Adds a step that runs only if one of several expectations has suspects, each by its place.
    pub fn step_if_suspects(
        &mut self,
        places: Vec<usize>,
        kind: StepKind,
        purpose: impl Into<String>,
        sql: Sql,
        answer: Answer,
    ) {
        self.execute(kind, purpose, sql, answer, Some(Condition::AnySuspects(places)));
    }

    fn execute(
        &mut self,
        kind: StepKind,
        purpose: impl Into<String>,
        sql: Sql,
        answer: Answer,
        when: Option<Condition>,
    ) {
        if !sql.is_empty() {
            self.add(kind, purpose.into(), Action::Execute(sql.render(self.dialect())), answer, when);
        }
    }

    fn add(
        &mut self,
        kind: StepKind,
        purpose: String,
        action: Action,
        answer: Answer,
        when: Option<Condition>,
    ) {
        let n = self.phases.iter().map(|phase| phase.steps.len()).sum::<usize>() + 1;
        let from = self.from;
        self.steps().push(Step { when, from, ..Step::new(n, kind, purpose, action, answer) });
    }

    /// Adds a mark.
    pub fn mark(&mut self, subject: Subject, what: impl Into<String>) {
        self.marks.push(Mark::new(subject, what));
    }

    /// Adds a warning: what a person should know although it goes well.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Adds a note.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}
