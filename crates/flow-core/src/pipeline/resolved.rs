//! What a pipeline means in the light of the facts: the table, the keys, the columns that are
//! filled and from where, and the form in which the source can be read.

use super::prepared::{ACCOUNT, Counting, Prepared};
use super::strategy::{KeyNeed, ReadingNeed};
use super::{Incremental, Pipeline, Target, columns, inferred, keys};
use crate::dialect::{Cast, ColumnValue, Dialect};
use crate::engine::Ends;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{ExecutionPath, Facts, Relation};
use crate::helpers::Helping;
use crate::history;
use crate::markers::{Cleaning, Reading};
use crate::plan::Blame;
use crate::schema::{Column, Table};
use crate::sql;
use crate::sql::{Ident, MAX_NAME_BYTES, QualifiedName, Sql};
use crate::types::{DataType, TypeFacts};
use std::collections::HashMap;

/// A column of the target that the source fills.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadColumn {
    /// Its name, in source and target.
    pub name: Ident,
    /// Its type in the target.
    pub data_type: TypeFacts,
    /// How the source's type becomes the target's.
    pub cast: Cast,
}

/// How the source's rows are reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// A plain table that may be read again: within one statement, or in another where the engine gives the same rows.
    Direct(Relation),
    /// A table of intermediate rows; the target itself, where they come straight into it.
    Stage(QualifiedName),
    /// Only the changes reach the target: the client compares.
    Compared,
}

/// A pipeline in the light of the facts.
pub struct Resolved<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The facts.
    pub facts: &'a Facts,
    /// The engines.
    pub ends: Ends<'a>,
    /// The target's dialect.
    pub dialect: &'a dyn Dialect,
    /// The table as declared, or as inferred.
    pub table: Table,
    /// The strategy's own columns.
    pub managed: Vec<Column>,
    /// The keys.
    pub keys: Vec<Ident>,
    /// Where the keys were declared.
    pub keys_reason: Option<&'static str>,
    /// Columns that the source fills.
    pub columns: Vec<LoadColumn>,
    /// What lies between the source's query and the load.
    pub prepared: Prepared,
    /// Columns of the source that the target does not declare.
    pub left_out: Vec<String>,
    /// Columns whose change counts.
    pub compared: Vec<Ident>,
    /// How the strategy wants the source's rows.
    pub need: ReadingNeed,
    /// How the source's rows are reached.
    pub rows: Rows,
    /// Where the rows are compared.
    pub path: ExecutionPath,
    /// Why there.
    pub path_reason: String,
    /// Whether this run creates the table.
    pub creates: bool,
    types: HashMap<Ident, TypeFacts>,
}

impl<'a> Resolved<'a> {
    /// Resolves table, keys, columns and rows.
    ///
    /// # Errors
    /// `unknown_column` for what the source lacks, `missing_keys`, `missing_option`, `permission_denied`.
    pub fn resolve(pipeline: &'a Pipeline, facts: &'a Facts, ends: Ends<'a>) -> Result<Resolved<'a>> {
        let dialect = ends.target.dialect;
        let (table, keys_of) = match &pipeline.target {
            Target::Declared(table) => (table.clone(), None),
            Target::Inferred(name) => {
                let inferred = inferred::infer(pipeline, name, facts, dialect)?;
                (inferred.table, inferred.keys_reason)
            }
        };
        if let Some(live) = &facts.target.live
            && !matches!(live.kind, 'r' | 'p')
        {
            return Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!("{} is not a table that can be loaded", table.name),
            )
            .hint("a target is an ordinary or a partitioned table: choose another name"));
        }
        let (mut keys, mut keys_reason) = keys::resolve(pipeline, &table, keys_of)?;
        let live = facts.target.live.as_ref();
        let mut managed = pipeline.strategy.managed_columns(&table);
        managed.retain(|column| pipeline.strategy.keeps(&column.name, live, dialect));
        let types = columns::types(pipeline, &table, &managed, facts, dialect)?;
        let (columns, left_out) = columns::filled(pipeline, &table, &managed, &types, facts, dialect)?;
        if let Some(key) = keys.iter().find(|key| !columns.iter().any(|column| column.name == **key)) {
            // Keys that nobody asked for only guard what the source brings: the database numbers such rows itself.
            if pipeline.keys.is_some() || pipeline.strategy.keys() != KeyNeed::Optional {
                return Err(columns::lacks_column(pipeline, key, facts, dialect));
            }
            (keys, keys_reason) = (Vec::new(), None);
        }
        check_privileges(facts)?;
        let prepared = prepared(pipeline, &table, facts, &ends)?;
        let mut load = Resolved {
            creates: facts.target.live.is_none(),
            rows: Rows::Stage(stage_name(pipeline, &facts.run.id, "stage")),
            path: facts.path,
            path_reason: facts.path_reason.clone(),
            pipeline,
            facts,
            ends,
            dialect,
            table,
            managed,
            keys,
            keys_reason,
            columns,
            prepared,
            left_out,
            compared: Vec::new(),
            need: ReadingNeed::default(),
            types,
        };
        load.compared = pipeline.strategy.compared(&load)?;
        load.refuse_incomparable()?;
        load.need = pipeline.strategy.reading(&load);
        Ok(load)
    }

    /// The text of a type without a binary form would change with the settings of a session.
    fn refuse_incomparable(&self) -> Result<()> {
        match self.compared.iter().find(|name| self.type_of(name).normal.is_none()) {
            Some(name) => Err(FlowError::new(
                ErrorCode::InvalidValue,
                format!(
                    "the column `{name}` of type {} cannot be compared: the type has no binary form",
                    self.type_of(name).name
                ),
            )
            .hint("leave it out of the comparison, or cast it to text in the query and in the declaration")),
            None => Ok(()),
        }
    }

    /// The relation from which rows are read, as it stands in FROM.
    pub fn source(&self) -> Sql {
        match &self.rows {
            Rows::Direct(_) if self.picks() => Sql::user(self.pipeline.source.query.text()),
            Rows::Direct(relation) => Sql::from_dialect(relation.sql.clone()),
            Rows::Stage(name) => sql!("{name}", name),
            Rows::Compared => sql!("{changes}", changes = self.changes()),
        }
    }

    /// Whether a query is read in place, and not a plain table.
    pub fn picks(&self) -> bool {
        matches!(self.rows, Rows::Direct(_)) && self.facts.source.picked.is_some()
    }

    /// Whose fault it is when a statement fails that reads the source and writes: of a stage and of a plain table, nothing
    /// of the user's own is evaluated there.
    pub fn blame_of_reading(&self) -> Blame {
        if self.picks() { Blame::SourceUnlessWritten } else { Blame::Target }
    }

    /// The value of a filled column in a row `s` of [`Resolved::source`], in the target's type.
    pub fn value(&self, column: &LoadColumn) -> Sql {
        match (&self.rows, column.cast) {
            (Rows::Direct(_), Cast::Widening) => {
                self.dialect.cast_to(&sql!("s.{name}", name = column.name), &column.data_type.name)
            }
            _ => sql!("s.{name}", name = column.name),
        }
    }

    /// The values of the filled columns in rows `s`.
    pub fn values(&self) -> Sql {
        Sql::join(self.columns.iter().map(|column| self.value(column)), ", ")
    }

    /// The values of the filled columns in rows `s`, each under its column's name.
    pub fn named_values(&self) -> Sql {
        let values = self.columns.iter().map(|column| match (&self.rows, column.cast) {
            (Rows::Direct(_), Cast::Widening) => {
                sql!("{value} AS {name}", value = self.value(column), name = column.name)
            }
            _ => self.value(column),
        });
        Sql::join(values, ",\n       ")
    }

    /// The filled column of that name.
    pub fn filled(&self, name: &Ident) -> Option<&LoadColumn> {
        self.columns.iter().find(|column| column.name == *name)
    }

    /// The type of a column of the target.
    pub fn type_of(&self, name: &Ident) -> &TypeFacts {
        &self.types[name]
    }

    /// Triggers and rules that fire when rows of the target are written: they may skip rows or change them.
    pub fn triggers(&self) -> &[String] {
        self.facts.target.live.as_ref().map_or(&[], |live| &live.triggers)
    }

    /// Whether the source is the target's own table, read whole.
    pub fn reads_its_target(&self) -> bool {
        let target = sql!("{target}", target = self.table.name).to_text(self.dialect).to_lowercase();
        self.facts.source.relation.as_ref().is_some_and(|relation| relation.sql.to_lowercase() == target)
    }

    /// Whether the target has the column already.
    pub fn is_live(&self, name: &Ident) -> bool {
        self.facts.target.live.as_ref().is_some_and(|live| live.column(name.as_str()).is_some())
    }

    /// Whether this run gives an existing table a column that is compared.
    pub fn adds_compared(&self) -> bool {
        !self.creates && !self.facts.assumed && self.compared.iter().any(|name| !self.is_live(name))
    }

    /// The names of the filled columns.
    pub fn column_names(&self) -> Vec<Ident> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// `alias.a, alias.b` of the filled columns.
    pub fn columns_of(&self, alias: &'static str) -> Sql {
        let alias = Sql::text(alias);
        Sql::join(self.columns.iter().map(|column| sql!("{alias}.{name}", alias, name = column.name)), ", ")
    }

    /// `alias.k, alias.l` of the keys.
    pub fn keys_of(&self, alias: &'static str) -> Sql {
        let alias = Sql::text(alias);
        Sql::join(self.keys.iter().map(|key| sql!("{alias}.{key}", alias, key)), ", ")
    }

    /// `left.k = right.k AND …` over the keys.
    pub fn keys_equal(&self, left: &'static str, right: impl Fn(&Ident) -> Sql) -> Sql {
        let left = Sql::text(left);
        Sql::join(
            self.keys.iter().map(|key| sql!("{left}.{key} = {value}", left, key, value = right(key))),
            " AND ",
        )
    }

    /// The value of a key column in a source row `s`.
    pub fn key_value(&self, key: &Ident) -> Sql {
        self.value(self.filled(key).expect("keys are filled"))
    }

    /// `left differs from right` over some columns, OR between them.
    pub fn differ(
        &self,
        columns: &[Ident],
        left: impl Fn(&Ident) -> Sql,
        right: impl Fn(&Ident) -> Sql,
    ) -> Sql {
        if columns.is_empty() {
            return Sql::text("FALSE");
        }
        let parts = columns
            .iter()
            .map(|column| self.dialect.differs(self.type_of(column), &left(column), &right(column)));
        Sql::join(parts, "\n    OR ")
    }

    /// The row hash over the compared columns of rows `alias`.
    pub fn row_digest(&self, value: impl Fn(&Ident) -> Sql) -> Sql {
        self.digest_of(&self.compared, value)
    }

    /// The hash over some columns.
    pub fn digest_of(&self, columns: &[Ident], value: impl Fn(&Ident) -> Sql) -> Sql {
        let columns: Vec<ColumnValue<'_>> = columns
            .iter()
            .map(|name| ColumnValue { name, sql: value(name), data_type: self.type_of(name) })
            .collect();
        self.dialect.row_digest(&columns)
    }

    /// Whether the target's rows lie in several tables.
    pub fn is_spread(&self) -> bool {
        self.facts.target.live.as_ref().is_some_and(|live| live.spread)
    }

    /// The address of a row `t` of the target.
    pub fn row_address(&self) -> Sql {
        self.dialect.row_address("t", self.is_spread())
    }

    /// The address of no row, in the type of one.
    pub fn no_row_address(&self) -> Sql {
        self.dialect.cast_to(&Sql::text("NULL"), self.dialect.row_address_type(self.is_spread()))
    }

    /// The name of an intermediate table of this run.
    pub fn stage_name(&self, what: &'static str) -> QualifiedName {
        stage_name(self.pipeline, &self.facts.run.id, what)
    }

    /// The table of the changes of this run.
    pub fn changes(&self) -> QualifiedName {
        self.stage_name("changes")
    }

    /// The type of the incremental column.
    ///
    /// # Errors
    /// `unknown_column` where the source does not have it.
    pub fn watermark_type(&self, incremental: &Incremental) -> Result<&TypeFacts> {
        match self.facts.source.column(incremental.column.as_str()) {
            Some(column) => Ok(&column.data_type),
            None => {
                let names: Vec<&str> =
                    self.facts.source.columns.iter().map(|column| column.name.as_str()).collect();
                Err(FlowError::new(
                    ErrorCode::UnknownColumn,
                    format!(
                        "the source has no column `{}`, which incremental_column names",
                        incremental.column
                    ),
                )
                .detail(format!("the source has: {}", names.join(", "))))
            }
        }
    }

    /// The source's query, in parentheses.
    pub fn query(&self) -> Sql {
        Sql::user(self.pipeline.source.query.text())
    }

    /// Rows `q` of the source that meet `range`, behind all layers; `list` of them. Where layers are counted, a row of
    /// nothing else has their numbers.
    pub fn select(&self, query: &Sql, list: Sql, range: &Sql) -> Sql {
        let Some(layers) = self.prepared.layers(query, range) else {
            return sql!("SELECT {list}\n  FROM {query} AS q{range}", list, query, range);
        };
        let beside = match self.counting() {
            // ON FALSE: the numbers come once, beside no row.
            Counting::Account { every_layer } => sql!(
                "\n  FULL JOIN {account} AS {name} ON FALSE",
                account = self.prepared.account(every_layer, self.facts.run.sample, self.ends.source.dialect),
                name = Ident::fixed(ACCOUNT)
            ),
            Counting::Nothing | Counting::Carried(_) => Sql::empty(),
        };
        layers.select(&list, &beside)
    }

    /// How the numbers of the layers come with the rows.
    pub fn counting(&self) -> Counting {
        let every_layer = self.facts.run.dry_run && !self.prepared.is_empty();
        let carried = self.prepared.helping.as_ref().and_then(Helping::carried);
        match carried {
            _ if self.rows == Rows::Compared => Counting::Nothing,
            Some(column) if !every_layer => Counting::Carried(column.clone()),
            _ if every_layer || self.prepared.counts() => Counting::Account { every_layer },
            _ => Counting::Nothing,
        }
    }

    /// Whether the rows are looked at before one is written: markers may not be able to read them, something is expected
    /// of them, or rows that were put aside may come good.
    pub fn looks_at_rows(&self) -> bool {
        self.readings().next().is_some()
            || !self.pipeline.expectations.is_empty()
            || self.facts.target.rejected.is_some()
    }

    /// The columns whose text markers read as something else.
    pub fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.prepared.cleaning.iter().flat_map(Cleaning::readings)
    }

    /// The source's own value of a column in a row `q` of [`Resolved::select`], with its type; behind helpers, of
    /// another than the incremental column the one that they made.
    pub fn own_value(&self, name: &Ident) -> Option<(Sql, &TypeFacts)> {
        let source = &self.facts.source;
        let is_incremental = self.pipeline.incremental.as_ref().is_some_and(|found| found.column == *name);
        match (&self.prepared.helping, &self.prepared.cleaning) {
            _ if is_incremental => {
                Some((self.prepared.watermark(name), &source.column(name.as_str())?.data_type))
            }
            (Some(_), _) => Some((sql!("q.{name}", name), &source.loaded(name.as_str())?.data_type)),
            (None, Some(cleaning)) => Some((cleaning.raw(name), &source.column(name.as_str())?.data_type)),
            (None, None) => Some((sql!("q.{name}", name), &source.column(name.as_str())?.data_type)),
        }
    }

    /// The run's instant.
    pub fn instant(&self) -> Sql {
        self.instant_of(&self.facts.run.instant)
    }

    /// An instant by its text.
    pub fn instant_of(&self, text: &str) -> Sql {
        self.dialect.typed_literal(text, &self.type_name(&self.dialect.instant_type()))
    }

    /// NULL of a type of ours.
    pub fn null_of(&self, data_type: &DataType) -> Sql {
        self.dialect.cast_to(&Sql::text("NULL"), &self.type_name(data_type))
    }

    /// The name of a type of ours.
    pub fn type_name(&self, data_type: &DataType) -> String {
        self.dialect.type_name(data_type)
    }
}

/// How long a run's id is without its dashes.
const BATCH_BYTES: usize = 32;

/// `_ematix_<what>_<pipeline>_<batch>`; the pipeline's name is cut so that the whole batch id fits, also where a word
/// stands for it: what is printed is what will run.
pub(super) fn stage_name(pipeline: &Pipeline, run_id: &str, what: &'static str) -> QualifiedName {
    let batch: String = run_id.chars().filter(|c| *c != '-').collect();
    let room = MAX_NAME_BYTES - format!("_ematix_{what}__").len() - BATCH_BYTES;
    let mut cut = pipeline.name.len().min(room);
    while !pipeline.name.is_char_boundary(cut) {
        cut -= 1;
    }
    let name = format!("_ematix_{what}_{}_{batch}", &pipeline.name[..cut]);
    QualifiedName { schema: Ident::fixed(history::SCHEMA), name: Ident::new(name).expect("cut to fit") }
}

/// What lies around the source's query, in the words of the database that runs it.
fn prepared(pipeline: &Pipeline, table: &Table, facts: &Facts, ends: &Ends<'_>) -> Result<Prepared> {
    let (steps, source) = (&pipeline.helpers, ends.source);
    let refused = |what: &str, remedy: &str| {
        let message = format!("{what} are not supported yet where {} reads the source", source.name);
        Err(FlowError::new(ErrorCode::NotYetSupported, message).hint(remedy))
    };
    if !source.can.cleans && !steps.is_empty() {
        return refused("helpers", "do the same in the query, and take `transforms_pre` out");
    }
    let keep_raw = pipeline.incremental.is_some() || facts.run.dry_run;
    let prepared = Prepared::of(pipeline, Some(table), steps, &facts.source, keep_raw, source.dialect)?;
    match prepared.is_empty() || source.can.cleans {
        true => Ok(prepared),
        false => refused("markers", "clean the values in the query, and take `normalize` out"),
    }
}

fn check_privileges(facts: &Facts) -> Result<()> {
    let missing = &facts.target.missing_privileges;
    let Some(first) = missing.first() else { return Ok(()) };
    let mut error = FlowError::new(ErrorCode::PermissionDenied, format!("the role lacks {}", first.what));
    for privilege in &missing[1..] {
        error = error.detail(format!("it lacks {}", privilege.what));
    }
    Err(error.hint(missing.iter().map(|privilege| privilege.grant.as_str()).collect::<Vec<_>>().join("; ")))
}
