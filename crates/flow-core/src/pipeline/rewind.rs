//! A target that is put back to what a run had left: what every strategy asks of it, and what it says of it.

use super::resolved::stage_name;
use super::strategy::LoadStrategy;
use super::{Pipeline, Target};
use crate::check::declared_keys;
use crate::dialect::{ColumnValue, Dialect};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::RewindFacts;
use crate::hash::ENCODING_VERSION;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Answer, GuardFailure, StepKind};
use crate::sql;
use crate::sql::{Ident, Literal, QualifiedName, Sql};
use std::collections::BTreeSet;

/// A rewind in the making.
pub struct Rewind<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What is known.
    pub facts: &'a RewindFacts,
    /// The words of the target's database.
    pub dialect: &'a dyn Dialect,
    /// The target.
    pub target: &'a QualifiedName,
    /// The keys by which its rows are known.
    pub keys: Vec<Ident>,
}

impl<'a> Rewind<'a> {
    /// A rewind of the pipeline's target.
    ///
    /// # Errors
    /// `missing_keys` where nobody has said by what its rows are known.
    pub fn of(
        pipeline: &'a Pipeline,
        facts: &'a RewindFacts,
        dialect: &'a dyn Dialect,
    ) -> Result<Rewind<'a>> {
        let remembered: Vec<Ident> = facts.record.keys.iter().map(Ident::new).collect::<Result<_>>()?;
        let keys = match (&pipeline.target, &pipeline.keys) {
            _ if !remembered.is_empty() => remembered,
            (_, Some(keys)) => keys.clone(),
            (Target::Declared(table), None) => declared_keys(table).0,
            (Target::Inferred(_), None) => Vec::new(),
        };
        if keys.is_empty() && pipeline.strategy.keys().is_required() {
            let message =
                format!("nothing says by which keys the rows of {} are known", pipeline.target.name());
            return Err(
                FlowError::new(ErrorCode::MissingKeys, message).hint("say keys = [\"…\"] in the pipeline")
            );
        }
        Ok(Rewind { pipeline, facts, dialect, target: pipeline.target.name(), keys })
    }

    /// An intermediate table of this run.
    pub fn table(&self, what: &'static str) -> QualifiedName {
        stage_name(self.pipeline, &self.facts.run.id, what)
    }

    /// The number of the run whose state is brought back.
    pub fn number(&self) -> Literal {
        Literal::Integer(self.facts.to.number)
    }

    /// The keys of rows `alias`.
    pub fn keys_of(&self, alias: &'static str) -> Sql {
        Sql::join(self.keys.iter().map(|key| sql!("{alias}.{key}", alias = Sql::text(alias), key)), ", ")
    }

    /// Whether two rows have one key.
    pub fn same_key(&self, left: &'static str, right: &'static str) -> Sql {
        let (left, right) = (Sql::text(left), Sql::text(right));
        Sql::join(self.keys.iter().map(|key| sql!("{left}.{key} = {right}.{key}", left, right, key)), " AND ")
    }

    /// The compared columns of rows `t`, of which the stored hashes are made; `None` where there are none of this
    /// encoding.
    pub fn hashed<'c>(&'c self, set: &'c [Ident]) -> Option<Vec<ColumnValue<'c>>> {
        if self.facts.record.encoding_version != Some(ENCODING_VERSION) {
            return None;
        }
        let value = |name: &'c Ident| {
            let data_type = &self.facts.live.column(name.as_str())?.data_type;
            Some(ColumnValue { name, sql: sql!("t.{name}", name), data_type })
        };
        set.iter().map(value).collect()
    }

    /// The set of compared columns that is stored.
    pub fn compare_set(&self) -> Vec<Ident> {
        self.facts.record.compare_set.iter().flatten().filter_map(|name| Ident::new(name).ok()).collect()
    }

    /// Refuses where rows have been known or compared by other columns since: what was written in place then, nobody
    /// has kept.
    ///
    /// # Errors
    /// `cannot_rewind`.
    pub fn refuse_other_declaration(&self) -> Result<()> {
        let number = self.facts.to.number;
        let (before, since): (Vec<_>, Vec<_>) = self
            .facts
            .declarations
            .iter()
            .partition(|declared| declared.number.is_none_or(|of| of <= number));
        let Some(then) = before.last() else { return Ok(()) };
        let set = |names: &'a [String]| names.iter().collect::<BTreeSet<_>>();
        for declared in since {
            let by = declared.number.unwrap_or_default();
            let what = if declared.keys != then.keys {
                "the keys"
            } else if set(&declared.compared) != set(&then.compared) {
                "the set of compared columns"
            } else if declared.event != then.event {
                "event_timestamp_column"
            } else {
                continue;
            };
            return Err(self.refused(format!("run {by} has changed {what}, and rewritten rows in place")));
        }
        Ok(())
    }

    /// `cannot_rewind`, for that reason.
    pub fn refused(&self, why: impl std::fmt::Display) -> FlowError {
        cannot_rewind(self.target, self.facts.to.number, why)
    }

    /// Ends the run where a promise of the history is broken: what somebody has written by hand is no run's to undo.
    pub fn check(&self, strategy: &dyn LoadStrategy, plan: &mut PlanBuilder<'_>) {
        let (target, keys) = (self.target, &self.keys);
        let set = self.compare_set();
        let of_hash = |hashed: Vec<_>| strategy.hash_invariant(self.dialect, target, keys, &hashed);
        let hash = self.hashed(&set).and_then(of_hash);
        for invariant in strategy.invariants(self.dialect, target, keys).into_iter().chain(hash) {
            invariant.guard(target, self.dialect, |message, one| self.stop(message, one), plan);
        }
    }

    /// Ends the run where other rows are there than its runs have written since.
    pub fn expect(
        &self,
        what: &'static str,
        rows: Sql,
        expected: i64,
        words: &'static str,
        plan: &mut PlanBuilder<'_>,
    ) {
        let message = format!(
            "{{count}} {words} of {} {what} run {}, and its runs since have written {expected}",
            self.target, self.facts.to.number
        );
        plan.step(
            StepKind::Guard,
            format!("as many {words} {what} that run as were written   expects no rows"),
            sql!(
                "SELECT c.rows AS count\n  FROM ({rows}) AS c\n WHERE c.rows <> {expected}",
                rows,
                expected = Literal::Integer(expected)
            ),
            self.stop(message.clone(), message),
        );
    }

    fn stop(&self, message: String, one: String) -> Answer {
        Answer::NoRows(GuardFailure {
            code: ErrorCode::CannotRewind,
            message,
            one,
            sample: Vec::new(),
            hint: format!(
                "somebody else has written the table; `flow check {}` names keys that it finds broken",
                self.pipeline.name
            ),
        })
    }
}

/// That a target cannot be put back to what a run had left, and why.
pub fn cannot_rewind(target: &QualifiedName, number: i64, why: impl std::fmt::Display) -> FlowError {
    FlowError::new(
        ErrorCode::CannotRewind,
        format!("{target} cannot be put back to what it was after run {number}: {why}"),
    )
}
