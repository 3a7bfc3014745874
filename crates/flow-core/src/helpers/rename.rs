//! Gives columns other names.

use super::{Helper, Layer, Rows};
use crate::arguments::Arguments;
use crate::error::{ErrorCode, FlowError, Result};
use crate::sql;
use crate::sql::{Ident, Sql};
use std::sync::Arc;

/// New names with the old ones.
#[derive(Debug)]
struct Rename(Vec<(Ident, Ident)>);

impl Helper for Rename {
    fn name(&self) -> &'static str {
        "rename"
    }

    /// A column stays where it was among those in sight; its old name can be said as long as nothing else has it.
    fn layer(&self, rows: &Rows<'_>) -> Result<Layer> {
        for (new, old) in &self.0 {
            rows.column("rename", old)?;
            let goes = self.0.iter().any(|(_, other)| other == new);
            if rows.shown.contains(new) && !goes {
                return Err(FlowError::new(
                    ErrorCode::InvalidValue,
                    format!("`rename` calls `{old}` `{new}`, and there is a column of that name"),
                )
                .hint(format!(
                    "rename that one too, or leave it out before: {{ select = [… without {new}] }}"
                )));
            }
        }
        let added: Vec<(Ident, Sql)> =
            self.0.iter().map(|(new, old)| (new.clone(), sql!("q.{old}", old))).collect();
        let layer = rows.with(&added, &Sql::empty());
        let is_new = |name: &&Ident| self.0.iter().any(|(new, _)| new == *name);
        let renamed = |name: &Ident| self.0.iter().find(|(_, old)| old == name).map(|(new, _)| new.clone());
        let mut shown: Vec<Ident> = rows
            .shown
            .iter()
            .filter_map(|name| renamed(name).or_else(|| (!is_new(&name)).then(|| name.clone())))
            .collect();
        shown.extend(
            self.0.iter().map(|(new, _)| new).filter(|new| !shown.contains(new)).cloned().collect::<Vec<_>>(),
        );
        Ok(Layer { shown, ..layer })
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn before(&self, after: &mut Vec<Ident>) {
        let mut had: Vec<Ident> = Vec::new();
        for name in after.iter() {
            let old = self.0.iter().find(|(new, _)| new == name).map_or(name, |(_, old)| old);
            if !had.contains(old) {
                had.push(old.clone());
            }
        }
        had.extend(
            self.0.iter().map(|(_, old)| old).filter(|old| !had.contains(old)).cloned().collect::<Vec<_>>(),
        );
        *after = had;
    }
}

pub fn read(arguments: &Arguments<'_>) -> Result<Arc<dyn Helper>> {
    let mut names: Vec<(Ident, Ident)> = Vec::new();
    for (new, old) in arguments.table("{ new = \"old\" }")? {
        let Some(old) = old.as_str() else {
            return Err(arguments
                .wrong(format!("gives `{new}` to what is no name"))
                .hint("write { rename = { new = \"old\" } }"));
        };
        let (new, old) = (arguments.column(new)?, arguments.column(old)?);
        if names.iter().any(|(_, known)| *known == old) {
            return Err(arguments
                .wrong(format!("gives `{old}` two names"))
                .hint("keep one here, and add the other by with_column"));
        }
        names.push((new, old));
    }
    Ok(Arc::new(Rename(names)))
}
