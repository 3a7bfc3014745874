//! The form of a history: who made it, and which of its columns say what.

use crate::error::{ErrorCode, FlowError, Result};
use crate::schema::{LiveColumn, LiveTable};
use crate::sql::{Ident, QualifiedName};

/// Whose form a history has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A dbt snapshot.
    Dbt,
    /// The `scd2` merge of dlt.
    Dlt,
    /// An `SCD_TYPE_2` model of SQLMesh.
    Sqlmesh,
    /// An earlier ematix-flow.
    Ematix,
    /// A person, or a tool that is not known here.
    Hand,
}

impl Maker {
    /// As messages call such a table.
    pub const fn words(self) -> &'static str {
        match self {
            Maker::Dbt => "a dbt snapshot",
            Maker::Dlt => "a history of dlt",
            Maker::Sqlmesh => "a history of SQLMesh",
            Maker::Ematix => "a history of an earlier ematix-flow",
            Maker::Hand => "a history",
        }
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Maker::Dbt => "dbt",
            Maker::Dlt => "dlt",
            Maker::Sqlmesh => "sqlmesh",
            Maker::Ematix => "ematix-flow",
            Maker::Hand => "hand",
        }
    }
}

/// What each tool calls its columns.
struct Names {
    maker: Maker,
    begin: &'static str,
    end: &'static str,
    /// The flag and the hash that scd2 adds, or finds.
    flag: &'static str,
    hash: &'static str,
    /// Columns without which a table is not of this form.
    beside: &'static [&'static str],
    /// Columns that the tool keeps for itself.
    own: &'static [&'static str],
}

// dbt: docs.getdbt.com, "Snapshot meta-fields". dlt: dlthub.com, "scd2 strategy". SQLMesh: "SCD Type 2" of model kinds.
const KNOWN: &[Names] = &[
    Names {
        maker: Maker::Dbt,
        begin: "dbt_valid_from",
        end: "dbt_valid_to",
        flag: "dbt_is_current",
        hash: "dbt_row_hash",
        beside: &["dbt_scd_id"],
        own: &["dbt_scd_id", "dbt_updated_at", DELETED_OF_DBT],
    },
    Names {
        maker: Maker::Dlt,
        begin: "_dlt_valid_from",
        end: "_dlt_valid_to",
        flag: "_dlt_is_current",
        hash: "_dlt_row_hash",
        beside: &["_dlt_id"],
        own: &["_dlt_id", "_dlt_load_id", "_dlt_root_id", "_dlt_parent_id", "_dlt_list_idx"],
    },
    Names {
        maker: Maker::Ematix,
        begin: "valid_from",
        end: "valid_to",
        flag: "is_current",
        hash: "row_hash",
        beside: &["is_current", "row_hash"],
        own: &[],
    },
];

/// The column in which dbt says that a version stands for a deletion (`hard_deletes: new_record`).
const DELETED_OF_DBT: &str = "dbt_is_deleted";

/// Where SQLMesh keeps the tables that its views show.
const SQLMESH_SCHEMA: &str = "sqlmesh__";

/// What a person says of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The column in which a version begins.
    pub effective_from: Option<String>,
    /// The column in which it ends.
    pub effective_to: Option<String>,
    /// The column that marks the current version.
    pub current_flag: Option<String>,
}

/// A column that holds instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeColumn {
    /// With a time zone.
    Instant,
    /// Without one.
    Local,
    /// It holds something else.
    Other,
}

/// Which columns of a history say what.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// Whose form it is.
    pub maker: Maker,
    /// The column in which a version begins.
    pub begin: Ident,
    /// The column in which it ends.
    pub end: Ident,
    /// The column that marks the current version, which may be missing.
    pub flag: Ident,
    /// The column of the row hash, which may be missing.
    pub hash: Ident,
    /// Columns that the tool keeps for itself, as far as the table has them.
    pub of_tool: Vec<String>,
    /// The column that marks a version which stands for a deletion.
    pub deleted: Option<Ident>,
}

impl Form {
    /// The form of a table.
    ///
    /// # Errors
    /// `drift` where it has none that is known and nobody names its columns, `unknown_column` for one that it lacks.
    pub fn recognised(name: &QualifiedName, live: &LiveTable, asked: &Asked) -> Result<Form> {
        let has = |column: &str| live.column(column).is_some();
        for (flag, column) in [
            ("--effective-from", &asked.effective_from),
            ("--effective-to", &asked.effective_to),
            ("--current-flag", &asked.current_flag),
        ] {
            if let Some(column) = column.as_ref().filter(|column| !has(column)) {
                let names: Vec<&str> = live.columns.iter().map(|column| column.name.as_str()).collect();
                let message = format!("{name} has no column `{column}`, which {flag} names");
                return Err(FlowError::new(ErrorCode::UnknownColumn, message)
                    .hint(format!("it has {}", names.join(", "))));
            }
        }
        let is_named = asked.effective_from.is_some() || asked.effective_to.is_some();
        let known = KNOWN
            .iter()
            .find(|known| [known.begin, known.end].iter().chain(known.beside).all(|column| has(column)));
        match known {
            Some(known) if !is_named => Form::of(known, live, asked),
            _ => Form::by_hand(name, live, asked),
        }
    }

    fn of(known: &Names, live: &LiveTable, asked: &Asked) -> Result<Form> {
        let own = known.own.iter().filter(|column| live.column(column).is_some());
        let deleted = own.clone().find(|column| **column == DELETED_OF_DBT);
        Ok(Form {
            maker: known.maker,
            begin: Ident::new(known.begin)?,
            end: Ident::new(known.end)?,
            flag: Ident::new(asked.current_flag.as_deref().unwrap_or(known.flag))?,
            hash: hash_column(known.hash, live)?,
            of_tool: own.map(|column| (*column).to_owned()).collect(),
            deleted: deleted.map(|column| Ident::new(*column)).transpose()?,
        })
    }

    fn by_hand(name: &QualifiedName, live: &LiveTable, asked: &Asked) -> Result<Form> {
        let begin = asked.effective_from.as_deref().unwrap_or("valid_from");
        let end = asked.effective_to.as_deref().unwrap_or("valid_to");
        if let Some(lacking) = [begin, end].iter().find(|column| live.column(column).is_none()) {
            let names: Vec<&str> = live.columns.iter().map(|column| column.name.as_str()).collect();
            let message =
                format!("{name} has no column `{lacking}`, and is no history of a tool that is known");
            return Err(FlowError::new(ErrorCode::Drift, message)
                .detail(format!("it has {}", names.join(", ")))
                .hint("say where a version begins and ends: --effective-from COLUMN --effective-to COLUMN, and --current-flag COLUMN where one marks the current version"));
        }
        let is_of_sqlmesh = asked == &Asked::default() && name.schema.as_str().starts_with(SQLMESH_SCHEMA);
        Ok(Form {
            maker: if is_of_sqlmesh { Maker::Sqlmesh } else { Maker::Hand },
            begin: Ident::new(begin)?,
            end: Ident::new(end)?,
            flag: Ident::new(asked.current_flag.as_deref().unwrap_or("is_current"))?,
            hash: hash_column("row_hash", live)?,
            of_tool: Vec::new(),
            deleted: None,
        })
    }

    /// The columns that the strategy keeps, and those of the tool: no source fills them.
    pub fn is_own(&self, column: &str) -> bool {
        [&self.begin, &self.end, &self.flag, &self.hash].iter().any(|own| own.as_str() == column)
            || self.of_tool.iter().any(|own| own == column)
    }

    /// What a column of beginnings or ends holds.
    pub fn time_of(&self, live: &LiveTable, column: &Ident) -> TimeColumn {
        match live.column(column.as_str()).map(|column| column.data_type.wire.name.as_str()) {
            Some("timestamp with time zone") => TimeColumn::Instant,
            Some("timestamp without time zone") => TimeColumn::Local,
            _ => TimeColumn::Other,
        }
    }

    /// Whether the flag is there, and says true or false.
    pub fn flag_of<'l>(&self, live: &'l LiveTable) -> Option<(&'l LiveColumn, bool)> {
        let column = live.column(self.flag.as_str())?;
        Some((column, column.data_type.wire.name == "boolean"))
    }
}

/// The column of the hash: another one where that of the name holds no bytes, and so no hash of ours.
fn hash_column(name: &str, live: &LiveTable) -> Result<Ident> {
    let is_free = |name: &str| live.column(name).is_none_or(|column| column.data_type.wire.name == "bytea");
    match is_free(name) {
        true => Ident::new(name),
        false => Ident::new("flow_row_hash"),
    }
}
