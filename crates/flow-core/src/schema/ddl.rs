//! CREATE TABLE and what belongs to it, from a declaration. Pure.

use super::table::{Column, ColumnDefault, Index, LiveTable, Table};
use crate::dialect::{DeclaredIndex, Dialect, NewColumn};
use crate::sql;
use crate::sql::{Ident, Literal, MAX_NAME_BYTES, QualifiedName, Sql};
use sha2::{Digest, Sha256};

/// One column of CREATE TABLE or ADD COLUMN.
pub fn new_column(column: &Column, dialect: &dyn Dialect) -> NewColumn {
    NewColumn {
        name: column.name.clone(),
        data_type: Sql::from_dialect(dialect.type_name(&column.data_type)),
        default: column.default.as_ref().map(|default| default_sql(default, dialect)),
        not_null: !column.nullable,
    }
}

/// The expression of a DEFAULT.
pub fn default_sql(default: &ColumnDefault, dialect: &dyn Dialect) -> Sql {
    match default {
        ColumnDefault::Value(value) => sql!("{value}", value),
        ColumnDefault::Expression(text) => Sql::user(text),
        ColumnDefault::TransactionTime => dialect.transaction_time(),
    }
}

/// CREATE TABLE with columns and storage parameters; indexes come after the rows.
pub fn create_table(table: &Table, columns: &[Column], dialect: &dyn Dialect) -> Sql {
    let list = Sql::join(
        columns.iter().map(|column| sql!("  {column}", column = new_column(column, dialect).definition())),
        ",\n",
    );
    sql!(
        "CREATE TABLE {table} (\n{list}\n){options}",
        table = table.name,
        list,
        options = storage_options(table)
    )
}

/// Gives a column its declared type.
pub fn retype(table: &QualifiedName, column: &Column, dialect: &dyn Dialect) -> Sql {
    sql!(
        "ALTER TABLE {table} ALTER COLUMN {column} TYPE {type}",
        table,
        column = column.name,
        type = Sql::from_dialect(dialect.type_name(&column.data_type)),
    )
}

fn storage_options(table: &Table) -> Sql {
    if table.options.is_empty() {
        return Sql::empty();
    }
    let list = table.options.iter().map(|(name, value)| {
        let name =
            name.split('.').map(|part| Ident::new(part).map_or(Sql::empty(), |part| sql!("{part}", part)));
        sql!("{name} = {value}", name = Sql::join(name, "."), value = Literal::Text(value.clone()))
    });
    sql!(" WITH ({list})", list = Sql::join(list, ", "))
}

/// COMMENT ON for the table and its columns, each after the words for what it describes.
pub fn comments(table: &Table) -> Vec<(String, Sql)> {
    let of_table = table.description.iter().map(|text| {
        let text = Literal::Text(text.clone());
        ("the table".to_owned(), sql!("COMMENT ON TABLE {table} IS {text}", table = table.name, text))
    });
    let of_columns = table.columns.iter().filter_map(|column| {
        let text = Literal::Text(column.description.clone()?);
        let sql = sql!(
            "COMMENT ON COLUMN {table}.{column} IS {text}",
            table = table.name,
            column = column.name,
            text
        );
        Some((format!("the column {}", column.name), sql))
    });
    of_table.chain(of_columns).collect()
}

/// A declared index. Its name is made from table and columns where none is given and the database makes none.
pub fn create_index(table: &QualifiedName, index: &Index, dialect: &dyn Dialect) -> Sql {
    let columns: Vec<&str> = index.columns.iter().map(Ident::as_str).collect();
    let digest = Sha256::digest(format!("{}\0{}", columns.join("\0"), index.unique));
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    dialect.create_index(DeclaredIndex {
        table,
        name: index.name.as_ref(),
        made_name: object_name(&table.name, &format!("{mark}_idx")),
        columns: &index.columns,
        unique: index.unique,
        method: index.method.as_ref(),
        condition: index.condition.as_ref().map(|text| Sql::user(text)),
    })
}

/// Whether a live table, of that name, has the CHECK of ours that ends in `suffix`.
pub fn has_check(live: &LiveTable, table: &Ident, suffix: &str) -> bool {
    live.checks.iter().any(|name| *name == object_name(table, suffix).as_str())
}

/// `table_suffix`, cut in the middle and made unique by a hash where it would be too long.
pub fn object_name(table: &Ident, suffix: &str) -> Ident {
    let stem = table.as_str();
    let full = format!("{stem}_{suffix}");
    if full.len() <= MAX_NAME_BYTES {
        return Ident::new(full).expect("made of valid names and short enough");
    }
    let digest = Sha256::digest(full.as_bytes());
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let room = MAX_NAME_BYTES - suffix.len() - mark.len() - 2;
    let mut cut = room;
    while !stem.is_char_boundary(cut) {
        cut -= 1;
    }
    Ident::new(format!("{}_{mark}_{suffix}", &stem[..cut])).expect("cut to fit")
}
