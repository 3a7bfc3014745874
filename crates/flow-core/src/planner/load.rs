//! What a pipeline means in the light of the facts: the table, the keys, the columns that are
//! filled and from where, and the form in which the source can be read.

use super::inferred::infer;
use super::{client, stage};
use crate::declare::options::{ForcePath, OnDrift, OnDuplicate};
use crate::dialect::{Cast, ColumnValue, Dialect};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::facts::{ExecutionPath, Facts, Relation};
use crate::history;
use crate::pipeline::{Pipeline, Strategy, Target, declared_keys};
use crate::schema::{Column, Table};
use crate::sql;
use crate::sql::{Ident, MAX_NAME_BYTES, QualifiedName, Sql};
use crate::strategies;
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
    /// A plain table whose unique index proves what guards would ask: it may be read again within one statement.
    Direct(Relation),
    /// A table of intermediate rows.
    Stage(QualifiedName),
    /// Only the changes reach the target: the client compares.
    Compared,
}

/// A pipeline in the light of the facts.
pub struct Load<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The facts.
    pub facts: &'a Facts,
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
    /// Columns of the source that the target does not declare.
    pub left_out: Vec<String>,
    /// Columns whose change counts.
    pub compared: Vec<Ident>,
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

impl<'a> Load<'a> {
    /// Resolves table, keys, columns and rows.
    ///
    /// # Errors
    /// `unknown_column` for what the source lacks, `missing_keys`, `missing_option`, `permission_denied`.
    pub fn resolve(pipeline: &'a Pipeline, facts: &'a Facts, dialect: &'a dyn Dialect) -> Result<Load<'a>> {
        let table = match &pipeline.target {
            Target::Declared(table) => table.clone(),
            Target::Inferred(name) => infer(pipeline, name, facts)?,
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
        let (keys, keys_reason) = resolve_keys(pipeline, &table, facts)?;
        let managed = strategies::managed_columns(pipeline, &table);
        let types = column_types(pipeline, &table, &managed, facts, dialect)?;
        let (columns, left_out) = filled_columns(pipeline, &table, &managed, &types, facts, dialect)?;
        for key in &keys {
            if !columns.iter().any(|column| column.name == *key) {
                return Err(lacks_column(pipeline, key, facts));
            }
        }
        check_privileges(facts)?;
        let mut load = Load {
            creates: facts.target.live.is_none(),
            rows: Rows::Stage(stage_name(pipeline, facts, "stage")),
            path: facts.path,
            path_reason: facts.path_reason.clone(),
            pipeline,
            facts,
            dialect,
            table,
            managed,
            keys,
            keys_reason,
            columns,
            left_out,
            compared: Vec::new(),
            types,
        };
        load.compared = strategies::compared_columns(&load)?;
        load.choose_path()?;
        Ok(load)
    }

    fn choose_path(&mut self) -> Result<()> {
        match self.facts.path {
            ExecutionPath::SameDatabase => self.rows = self.rows_at_hand(),
            ExecutionPath::Staging | ExecutionPath::ClientDiff => {
                stage::crossings(self)?;
                let forced = self.pipeline.force_path;
                match client::fits(self) {
                    Ok(why) if forced != Some(ForcePath::Staging) => {
                        self.rows = Rows::Compared;
                        self.path = ExecutionPath::ClientDiff;
                        self.path_reason.push_str(&format!("; {why}"));
                    }
                    Err(why) if forced == Some(ForcePath::ClientDiff) => {
                        return Err(FlowError::new(
                            ErrorCode::PathImpossible,
                            format!("`{}` cannot be compared in the client: {why}", self.pipeline.name),
                        )
                        .hint("remove force_path = \"client_diff\": the rows are staged then"));
                    }
                    Err(why) if matches!(self.pipeline.strategy, Strategy::Scd2(_)) && forced.is_none() => {
                        self.path_reason.push_str(&format!("; staged: {why}"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Rows in the target's own database.
    fn rows_at_hand(&self) -> Rows {
        let direct = self.facts.source.relation.as_ref().filter(|relation| {
            matches!(self.pipeline.strategy, Strategy::Merge(_) | Strategy::Scd2(_))
                && self.pipeline.incremental.is_none()
                && self.pipeline.on_duplicate == OnDuplicate::Error
                && self.columns.iter().all(|column| column.cast != Cast::ByInsert)
                && self.keys.iter().all(|key| relation.not_null.iter().any(|name| name == key.as_str()))
                && relation.unique.iter().any(|unique| {
                    unique.iter().all(|column| self.keys.iter().any(|key| key.as_str() == column))
                })
                && !strategies::reads_twice(self)
        });
        match direct {
            Some(relation) => Rows::Direct(relation.clone()),
            None => self.rows.clone(),
        }
    }

    /// The relation from which rows are read, as it stands in FROM.
    pub fn source(&self) -> Sql {
        match &self.rows {
            Rows::Direct(relation) => Sql::from_dialect(relation.sql.clone()),
            Rows::Stage(name) => sql!("{name}", name),
            Rows::Compared => sql!("{changes}", changes = strategies::changes::table(self)),
        }
    }

    /// The value of a filled column in a row `s` of [`Load::source`], in the target's type.
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

    /// The names of the filled columns.
    pub fn column_names(&self) -> Vec<Ident> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// `alias.a, alias.b` of the filled columns.
    pub fn columns_of(&self, alias: &'static str) -> Sql {
        let alias = Sql::text(alias);
        Sql::join(self.columns.iter().map(|column| sql!("{alias}.{name}", alias, name = column.name)), ", ")
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

    /// The row hash of rows `alias` of a stage or of the changes: carried, or made from the compared columns.
    pub fn row_hash(&self, alias: &'static str, value: impl Fn(&Ident) -> Sql) -> Sql {
        if stage::carries_hash(self) {
            sql!("{alias}.{hash}", alias = Sql::text(alias), hash = Ident::fixed(stage::HASH))
        } else {
            self.row_digest(value)
        }
    }

    /// Whether the target's rows lie in several tables.
    pub fn is_spread(&self) -> bool {
        self.facts.target.live.as_ref().is_some_and(|live| live.spread)
    }

    /// The address of a row `t` of the target.
    pub fn row_address(&self) -> Sql {
        self.dialect.row_address("t", self.is_spread())
    }

    /// The name of an intermediate table of this run.
    pub fn stage_name(&self, what: &'static str) -> QualifiedName {
        stage_name(self.pipeline, self.facts, what)
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

/// `_ematix_<what>_<pipeline>_<batch>`; the pipeline's name is cut so that the whole batch id fits.
fn stage_name(pipeline: &Pipeline, facts: &Facts, what: &'static str) -> QualifiedName {
    let batch: String = facts.run.id.chars().filter(|c| *c != '-').collect();
    let frame = format!("_ematix_{what}__{batch}").len();
    let mut cut = pipeline.name.len().min(MAX_NAME_BYTES - frame);
    while !pipeline.name.is_char_boundary(cut) {
        cut -= 1;
    }
    let name = format!("_ematix_{what}_{}_{batch}", &pipeline.name[..cut]);
    QualifiedName { schema: Ident::fixed(history::SCHEMA), name: Ident::new(name).expect("cut to fit") }
}

fn resolve_keys(
    pipeline: &Pipeline,
    table: &Table,
    facts: &Facts,
) -> Result<(Vec<Ident>, Option<&'static str>)> {
    let known = |keys: &[Ident]| -> Result<()> {
        if let Some(key) = keys.iter().find(|key| table.column(key).is_none()) {
            let error = FlowError::new(
                ErrorCode::UnknownColumn,
                format!("`keys` names the column `{key}`, which {} does not have", table.name),
            );
            return Err(
                match did_you_mean(key.as_str(), table.columns.iter().map(|column| column.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error,
                },
            );
        }
        Ok(())
    };
    if let Some(keys) = &pipeline.keys {
        known(keys)?;
        return Ok((keys.clone(), Some("keys")));
    }
    if matches!(pipeline.strategy, Strategy::Append(_)) {
        // A declared key alone never makes append match rows.
        return Ok((Vec::new(), None));
    }
    let (keys, reason) = declared_keys(table);
    let inferred = matches!(pipeline.target, Target::Inferred(_));
    let reason = match (inferred, facts.target.live.is_some()) {
        (true, true) => "primary key of the live table",
        (true, false) => "primary key of the source table",
        _ => reason,
    };
    let needed = matches!(pipeline.strategy, Strategy::Merge(_) | Strategy::Scd2(_))
        || pipeline.on_duplicate == OnDuplicate::Latest;
    if keys.is_empty() && needed {
        return Err(FlowError::new(
            ErrorCode::MissingKeys,
            format!("pipeline `{}` has no keys", pipeline.name),
        )
        .hint("set keys = [\"…\"] to the columns that identify a row in the source"));
    }
    let reason = (!keys.is_empty()).then_some(reason);
    Ok((keys, reason))
}

fn column_types(
    pipeline: &Pipeline,
    table: &Table,
    managed: &[Column],
    facts: &Facts,
    dialect: &dyn Dialect,
) -> Result<HashMap<Ident, TypeFacts>> {
    let mut types = HashMap::new();
    for column in table.columns.iter().chain(managed) {
        let live = facts.target.live.as_ref().and_then(|live| live.column(column.name.as_str()));
        let declared = declared_type(column, facts, dialect);
        // Nondeterministic collations are the live column's.
        let found = match (live, declared) {
            (Some(live), Some(declared)) if live.data_type.name == declared.name => live.data_type.clone(),
            // Where drift is ignored, what is written is what the table holds.
            (Some(live), Some(declared))
                if pipeline.on_drift == OnDrift::Ignore
                    && !(pipeline.migrate && dialect.cast(&live.data_type, &declared) == Cast::Widening) =>
            {
                live.data_type.clone()
            }
            (_, Some(declared)) => declared,
            (Some(live), None) => live.data_type.clone(),
            (None, None) => {
                return Err(FlowError::new(
                    ErrorCode::UnknownType,
                    format!(
                        "column `{}` of {}: the server has no type `{}`",
                        column.name, table.name, column.data_type
                    ),
                )
                .hint("check the name, and whether its extension is installed"));
            }
        };
        types.insert(column.name.clone(), found);
    }
    Ok(types)
}

/// What is known of a declared type.
pub fn declared_type(column: &Column, facts: &Facts, dialect: &dyn Dialect) -> Option<TypeFacts> {
    dialect.type_facts(&column.data_type).or_else(|| match &column.data_type {
        DataType::Native(name) => facts
            .native_types
            .get(name)
            .cloned()
            .or_else(|| facts.assumed.then(|| TypeFacts::assumed(name.clone()))),
        _ => None,
    })
}

fn filled_columns(
    pipeline: &Pipeline,
    table: &Table,
    managed: &[Column],
    types: &HashMap<Ident, TypeFacts>,
    facts: &Facts,
    dialect: &dyn Dialect,
) -> Result<(Vec<LoadColumn>, Vec<String>)> {
    let mut columns = Vec::new();
    for column in &table.columns {
        let generated = facts
            .target
            .live
            .as_ref()
            .and_then(|live| live.column(column.name.as_str()))
            .is_some_and(|c| c.generated);
        match facts.source.column(column.name.as_str()) {
            Some(source) if !generated => {
                let data_type = types[&column.name].clone();
                let cast = dialect.cast(&source.data_type, &data_type);
                columns.push(LoadColumn { name: column.name.clone(), data_type, cast });
            }
            _ if generated || column.default.is_some() => {}
            _ if strategies::fills_itself(pipeline, &column.name) => {}
            _ => return Err(lacks_column(pipeline, &column.name, facts)),
        }
    }
    let left_out = facts
        .source
        .columns
        .iter()
        .filter(|source| !columns.iter().any(|column| column.name.as_str() == source.name))
        .map(|source| source.name.clone())
        .collect();
    if let Some(column) = managed.iter().find(|column| table.column(&column.name).is_some()) {
        return Err(FlowError::new(
            ErrorCode::DuplicateName,
            format!("the column `{}` of {} is managed by the load strategy", column.name, table.name),
        )
        .hint("remove it from the declaration, or rename ours"));
    }
    if columns.is_empty() {
        return Err(FlowError::new(
            ErrorCode::UnknownColumn,
            format!("the source has no column of {}", table.name),
        )
        .detail(format!(
            "it has: {}",
            facts.source.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    Ok((columns, left_out))
}

fn lacks_column(pipeline: &Pipeline, column: &Ident, facts: &Facts) -> FlowError {
    let names: Vec<&str> = facts.source.columns.iter().map(|column| column.name.as_str()).collect();
    let error = FlowError::new(
        ErrorCode::UnknownColumn,
        format!("the source of `{}` has no column `{column}`, which the target declares", pipeline.name),
    )
    .detail(format!("the source has: {}", names.join(", ")));
    match did_you_mean(column.as_str(), names.iter().copied()) {
        Some(near) => {
            error.hint(format!("did you mean `{near}`? add it to the query: SELECT …, {near} AS {column}"))
        }
        None => {
            error.hint("add it to the query, give the column a default, or remove it from the declaration")
        }
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
