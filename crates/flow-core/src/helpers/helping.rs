//! The helpers of a pipeline as layers around its rows, in the order in which they are written.

use super::{Layer, Rows, Step};
use crate::dialect::Dialect;
use crate::error::{FlowError, Result};
use crate::layers::{Layers, layer};
use crate::markers::Raw;
use crate::sql;
use crate::sql::{Ident, Sql};

/// What the first helper finds.
pub struct Base<'a> {
    /// The layer that its rows come from.
    pub from: &'a Ident,
    /// Their columns.
    pub columns: &'a [Raw<'a>],
    /// The columns that only the load needs.
    pub hidden: &'a [Ident],
    /// The keys by which the pipeline knows its rows, where they are known.
    pub keys: &'a [Ident],
    /// The words of the database that reads them.
    pub dialect: &'a dyn Dialect,
}

/// The layers of helpers.
#[derive(Clone, Debug, PartialEq)]
pub struct Helping {
    layers: Vec<(Ident, Layer)>,
    shown: Vec<Ident>,
    /// The column that counts what was dropped beside each row, where every such row leaves the last helper once.
    carried: Option<Ident>,
}

/// Whether a column is one of ours, which nobody else may name.
pub fn is_own(name: &str) -> bool {
    name.starts_with("_ematix_")
}

impl Helping {
    /// Lays helpers around rows; `found` has the columns behind each of them but, perhaps, the last.
    ///
    /// # Errors
    /// What the first of them says that does not fit its rows, at its place.
    pub fn around(steps: &[Step], base: &Base<'_>, found: &[Vec<Raw<'_>>]) -> Result<Helping> {
        let mut helping = Helping { layers: Vec::new(), shown: in_sight(base.columns), carried: None };
        let mut hidden = base.hidden.to_vec();
        for (index, step) in steps.iter().enumerate() {
            let rows = Rows {
                dialect: base.dialect,
                from: helping.layers.last().map_or(base.from, |(name, _)| name),
                columns: if index == 0 { base.columns } else { &found[index - 1] },
                shown: &helping.shown,
                hidden: &hidden,
                keys: base.keys,
                number: index + 1,
            };
            let layer = step.helper.layer(&rows).map_err(|error| at_step(error, step))?;
            let name = helping.name_of(step.helper.name());
            helping.shown.clone_from(&layer.shown);
            let counts_first = layer.dropped.is_some() && helping.dropped().next().is_none();
            if counts_first {
                helping.carried.clone_from(&layer.dropped);
                hidden.extend(layer.dropped.clone());
            } else if !step.helper.keeps_rows() {
                helping.carried = None;
            }
            helping.layers.push((name, layer));
        }
        Ok(helping)
    }

    /// A layer has the name of its helper, and a number where there are several.
    fn name_of(&self, helper: &'static str) -> Ident {
        let taken = |name: &Ident| self.layers.iter().any(|(other, _)| other == name);
        let numbered = (2..).map(|number| layer(&format!("{helper}_{number}")));
        let free = std::iter::once(layer(helper)).chain(numbered).find(|name| !taken(name));
        free.expect("there are numbers enough")
    }

    /// Lays them.
    pub fn lay(&self, layers: &mut Layers) {
        for (name, layer) in &self.layers {
            layers.lay(name.clone(), &layer.query);
        }
    }

    /// The names of the layers.
    pub fn names(&self) -> impl Iterator<Item = &Ident> {
        self.layers.iter().map(|(name, _)| name)
    }

    /// The columns in sight behind the last.
    pub fn shown(&self) -> &[Ident] {
        &self.shown
    }

    /// The columns that the last one has made.
    pub fn added(&self) -> &[Ident] {
        self.layers.last().map_or(&[], |(_, layer)| &layer.added)
    }

    /// The layers that count what they drop, with the column that does.
    fn dropped(&self) -> impl Iterator<Item = (&Ident, &Ident)> {
        self.layers.iter().filter_map(|(name, layer)| Some((name, layer.dropped.as_ref()?)))
    }

    /// Whether its layers drop rows that are counted.
    pub fn counts(&self) -> bool {
        self.dropped().next().is_some()
    }

    /// The column that counts what was dropped beside each row that leaves the last helper, where there is no more to it.
    pub fn carried(&self) -> Option<&Ident> {
        self.carried.as_ref()
    }

    /// How many rows were dropped in all, as one number over the layers.
    pub fn all_dropped(&self, dialect: &dyn Dialect) -> Sql {
        let sums = self.dropped().map(|(layer, column)| {
            let sum = dialect.function("sum");
            sql!("COALESCE((SELECT {sum}(d.{column}) FROM {layer} AS d), 0)", sum, column, layer)
        });
        Sql::join(sums, " + ")
    }
}

/// The columns that can be named.
fn in_sight(columns: &[Raw<'_>]) -> Vec<Ident> {
    let mut shown: Vec<Ident> = Vec::new();
    for name in columns.iter().filter_map(|column| Ident::new(column.name).ok()) {
        if !shown.contains(&name) {
            shown.push(name);
        }
    }
    shown
}

/// A mistake of a helper, at its place.
pub fn at_step(error: FlowError, step: &Step) -> FlowError {
    match &step.place {
        Some(place) => error.at(place.clone()),
        None => error,
    }
}
