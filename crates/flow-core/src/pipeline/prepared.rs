//! What lies between the source's query and the load: the watermark's range, the markers, then the helpers as written,
//! each a layer around the one before.

use super::{Pipeline, Target};
use crate::check::declared_keys;
use crate::dialect::Dialect;
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{SourceColumn, SourceFacts};
use crate::helpers::{Base, Helping, Step, is_own};
use crate::layers::{Layers, SOURCE, label, layer};
use crate::markers::{CLEANED, Cleaning, Raw};
use crate::schema::Table;
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use std::collections::BTreeSet;

/// The column that keeps the incremental column as the source has it, whatever helpers make of it.
const OWN: &str = "_ematix_own";
/// The layer that reads from the watermark on.
const WATERMARK: &str = "watermark";
/// What stands beside the rows: numbers of the layers, in a row of their own.
pub const ACCOUNT: &str = "account";
/// The column of a stage that holds how many rows helpers dropped.
pub const DROPPED: &str = "_ematix_dropped";
/// The column of a stage that holds what each layer left and changed, in a row of its own.
pub const LAYERS: &str = "_ematix_layers";

/// How the numbers of the layers come with the rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Counting {
    /// Not at all.
    Nothing,
    /// Each row brings how many were dropped beside it, in a column.
    Carried(Ident),
    /// A row of their own brings them; of every layer, where somebody only tries.
    Account {
        /// Of every layer.
        every_layer: bool,
    },
}

/// The layers around a source's query.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// The incremental column, where the source's own value is kept beside what helpers make of it.
    own: Option<Ident>,
    /// How columns are cleaned, where markers say so.
    pub cleaning: Option<Cleaning>,
    /// What helpers do, where there are any.
    pub helping: Option<Helping>,
    /// The keys by which the pipeline knows its rows, as far as the source has them.
    keys: Vec<Ident>,
}

impl Prepared {
    /// The layers of a pipeline; `steps` are the helpers as far as they are to be laid. `keep_raw`: whether the source's
    /// own values are needed beside the cleaned ones.
    ///
    /// # Errors
    /// `invalid_value` and `unknown_column` for a marker or a helper that does not fit the source.
    pub fn of(
        pipeline: &Pipeline,
        table: Option<&Table>,
        steps: &[Step],
        source: &SourceFacts,
        keep_raw: bool,
        dialect: &dyn Dialect,
    ) -> Result<Prepared> {
        let own = (pipeline.incremental.as_ref())
            .filter(|incremental| {
                !pipeline.helpers.is_empty() && source.column(incremental.column.as_str()).is_some()
            })
            .map(|incremental| incremental.column.clone());
        let mut raw = source.raw();
        if let Some(column) = own.as_ref().and_then(|name| source.column(name.as_str())) {
            raw.push(Raw { name: OWN, data_type: &column.data_type });
        }
        let cleaning = match table {
            Some(table) => table.cleaning_of(&raw, &source.told(), keep_raw, dialect)?,
            None => None,
        };
        let known = pipeline.keys.clone().or_else(|| Some(declared_keys(table?).0)).unwrap_or_default();
        let mut prepared = Prepared { own, cleaning, helping: None, keys: known };
        if !steps.is_empty() {
            prepared.cleans_what_is_there(pipeline, table, source)?;
            prepared.helping = Some(prepared.helped(steps, source, dialect)?);
        }
        prepared.keys.retain(|key| source.column(key.as_str()).is_some());
        Ok(prepared)
    }

    fn helped(&self, steps: &[Step], source: &SourceFacts, dialect: &dyn Dialect) -> Result<Helping> {
        let columns = source.loaded_columns();
        let mut hidden: Vec<Ident> = self.cleaning.iter().flat_map(Cleaning::beside).cloned().collect();
        hidden.extend(self.own.iter().map(|_| Ident::fixed(OWN)));
        let found: Vec<Vec<Raw<'_>>> = source.helped.iter().map(|columns| raw_of(columns)).collect();
        let base = Base {
            from: &self.before_helpers(),
            columns: &raw_of(&columns),
            hidden: &hidden,
            keys: &self.keys,
            dialect,
        };
        Helping::around(steps, &base, &found)
    }

    /// The name of the layer that the first helper finds.
    fn before_helpers(&self) -> Ident {
        match (&self.cleaning, &self.own) {
            (Some(_), _) => layer(CLEANED),
            (None, Some(_)) => layer(WATERMARK),
            (None, None) => layer(SOURCE),
        }
    }

    /// Markers clean before helpers: one of a column that only a helper makes would clean nothing.
    fn cleans_what_is_there(
        &self,
        pipeline: &Pipeline,
        table: Option<&Table>,
        source: &SourceFacts,
    ) -> Result<()> {
        let cleans =
            |name: &Ident| self.cleaning.as_ref().is_some_and(|cleaning| cleaning.has(name.as_str()));
        let chains = table.into_iter().flat_map(|table| &table.cleaning);
        match chains.map(|(name, _)| name).find(|name| !cleans(name)) {
            None => Ok(()),
            Some(name) => Err(FlowError::new(
                ErrorCode::UnknownColumn,
                format!(
                    "the source of `{}` has no column `{name}` to clean: markers come before the helpers",
                    pipeline.name
                ),
            )
            .detail(format!("the source has: {}", SourceFacts::names(&source.columns).join(", ")))
            .hint(format!(
                "clean the column under the name that the source gives it, or in the expression that makes `{name}`"
            ))),
        }
    }

    /// Whether there is nothing between the query and the load.
    pub fn is_empty(&self) -> bool {
        self.cleaning.is_none() && self.helping.is_none()
    }

    /// Whether helpers drop rows that are counted.
    pub fn counts(&self) -> bool {
        self.helping.as_ref().is_some_and(Helping::counts)
    }

    /// The layers around those rows of the query that meet `range`; `None` where there is none.
    pub fn layers(&self, query: &Sql, range: &Sql) -> Option<Layers> {
        if self.is_empty() {
            return None;
        }
        let mut layers = Layers::over(query);
        let mut range = range.clone();
        if let Some(own) = &self.own {
            let query = sql!(
                "SELECT q.*,\n       q.{own} AS {kept}\n  FROM {from} AS q{range}",
                own,
                kept = Ident::fixed(OWN),
                from = layers.last(),
                range
            );
            layers.lay(layer(WATERMARK), &query);
            range = Sql::empty();
        }
        if let Some(cleaning) = &self.cleaning {
            cleaning.lay(&mut layers, &range);
            range = Sql::empty();
        }
        if let Some(helping) = &self.helping {
            if !range.is_empty() {
                let query = sql!("SELECT q.*\n  FROM {from} AS q{range}", from = layers.last(), range);
                layers.lay(layer(WATERMARK), &query);
            }
            helping.lay(&mut layers);
        }
        Some(layers)
    }

    /// The source's own value of its incremental column in a row `q` behind all layers.
    pub fn watermark(&self, column: &Ident) -> Sql {
        match (&self.own, &self.cleaning) {
            (Some(_), _) => sql!("q.{own}", own = Ident::fixed(OWN)),
            (None, Some(cleaning)) => cleaning.raw(column),
            (None, None) => sql!("q.{column}", column),
        }
    }

    /// The numbers of the layers, as one row: how many rows helpers dropped, and with `every_layer` what each left, with
    /// so many rows of a sample of what markers changed.
    pub fn account(&self, every_layer: bool, sample: usize, dialect: &dyn Dialect) -> Sql {
        let mut sum = self.helping.as_ref().map_or(Sql::empty(), |helping| helping.all_dropped(dialect));
        if sum.is_empty() {
            sum = sql!("{none}", none = Literal::Integer(0));
        }
        let mut list = sql!("({sum})::bigint AS {name}", sum, name = Ident::fixed(DROPPED));
        if every_layer {
            list.push(&sql!(
                ",\n               {layers}::text AS {name}",
                layers = self.every_layer(sample, dialect),
                name = Ident::fixed(LAYERS)
            ));
        }
        sql!("(SELECT {list})", list)
    }

    /// What every layer left and changed, as a JSON array.
    fn every_layer(&self, sample: usize, dialect: &dyn Dialect) -> Sql {
        let count = dialect.function("count");
        let object = dialect.function("jsonb_build_object");
        let rows = |name: &Ident| sql!("(SELECT {count}(*) FROM {name} AS l)", count, name);
        let text = |text: &str| Literal::Text(text.to_owned());
        let mut layers = Vec::new();
        let mut names = vec![layer(SOURCE)];
        let first = self.helping.as_ref().is_some_and(|_| self.cleaning.is_none() && self.own.is_some());
        if first {
            names.push(layer(WATERMARK));
        }
        for name in names {
            layers.push(sql!(
                "{object}('layer', {layer}, 'rows', {rows})",
                object,
                layer = text(label(&name)),
                rows = rows(&name)
            ));
        }
        if let Some(cleaning) = &self.cleaning {
            let name = layer(CLEANED);
            layers.push(sql!(
                "{object}('layer', 'markers', 'rows', {rows}, 'changed', {changed}{sample})",
                object,
                rows = rows(&name),
                changed = cleaning.changed(&name, dialect),
                sample = match sample {
                    0 => Sql::empty(),
                    rows => sql!(
                        ", 'sample', {sample}",
                        sample = cleaning.sample(&name, &self.keys, rows, dialect)
                    ),
                }
            ));
        }
        for name in self.helping.iter().flat_map(Helping::names) {
            layers.push(sql!(
                "{object}('layer', {layer}, 'rows', {rows})",
                object,
                layer = text(label(name)),
                rows = rows(name)
            ));
        }
        sql!(
            "{array}({layers})",
            array = dialect.function("jsonb_build_array"),
            layers = Sql::join(layers, ",\n                 ")
        )
    }

    /// The columns behind the last layer but ours, for whoever asks of which types they are.
    pub fn types_of(&self, user: &Sql) -> Option<Sql> {
        let layers = self.layers(user, &Sql::empty())?;
        Some(layers.select(&Sql::text("q.*"), &Sql::empty()))
    }
}

/// The columns in sight behind the last helper, among those that the server says there are.
pub fn in_sight(helping: &Helping, columns: &[SourceColumn]) -> Vec<SourceColumn> {
    let found = |name: &Ident| columns.iter().find(|column| column.name == name.as_str()).cloned();
    helping.shown().iter().filter_map(found).collect()
}

/// The columns that anybody may name.
pub fn without_ours(columns: Vec<SourceColumn>) -> Vec<SourceColumn> {
    columns.into_iter().filter(|column| !is_own(&column.name)).collect()
}

fn raw_of(columns: &[SourceColumn]) -> Vec<Raw<'_>> {
    columns.iter().map(|column| Raw { name: &column.name, data_type: &column.data_type }).collect()
}

impl SourceFacts {
    /// The columns behind the markers.
    pub fn loaded_columns(&self) -> Vec<SourceColumn> {
        let mut known: BTreeSet<&str> = BTreeSet::new();
        let mut columns: Vec<SourceColumn> = Vec::new();
        for column in &self.columns {
            let cleaned = self.cleaned.iter().find(|cleaned| cleaned.name == column.name);
            columns.push(cleaned.unwrap_or(column).clone());
            known.insert(&column.name);
        }
        columns.extend(self.cleaned.iter().filter(|column| !known.contains(column.name.as_str())).cloned());
        columns
    }
}

/// The table of a target that is declared.
pub fn declared(target: &Target) -> Option<&Table> {
    match target {
        Target::Declared(table) => Some(table),
        Target::Inferred(_) => None,
    }
}
