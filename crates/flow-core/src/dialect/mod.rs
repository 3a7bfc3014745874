//! The words in which databases differ. A strategy asks for them, so strategies and dialects do not multiply.
//!
//! What databases have in common is written in the strategies themselves: SELECT, INSERT … SELECT,
//! DELETE … WHERE, CASE, IS DISTINCT FROM, window functions, CREATE and ALTER TABLE.

pub mod duckdb;
pub mod postgres;

use crate::hash::Normal;
use crate::sql;
use crate::sql::{Ident, QualifiedName, Quote, Sql};
use crate::types::digits::{self, Rounding};
use crate::types::{DataType, TypeFacts};

/// A column in an expression: its name, where it stands, and its type.
#[derive(Clone, Debug)]
pub struct ColumnValue<'a> {
    /// The column's name, by which hashed columns are ordered.
    pub name: &'a Ident,
    /// The expression.
    pub sql: Sql,
    /// Its type.
    pub data_type: &'a TypeFacts,
}

/// A database's own way to say what strategies ask for. How it writes names and values is [`Quote`].
pub trait Dialect: Quote + Send + Sync {
    // Types.

    /// A declared type.
    fn type_name(&self, data_type: &DataType) -> String;
    /// What is known of a declared type without asking a server; `None` for native types.
    fn type_facts(&self, data_type: &DataType) -> Option<TypeFacts>;
    /// What becomes of a declared type that the database does not have as it is declared.
    fn type_loss(&self, _data_type: &DataType) -> Option<TypeLoss> {
        None
    }
    /// Why a column of a type, by its name in this database, cannot have its name; `None` where it can.
    fn hides(&self, _name: &str, _type_name: &str) -> Option<&'static str> {
        None
    }
    /// How values of a type of its own leave for another engine; `None` where only their text can.
    fn sends(&self, data_type: &TypeFacts) -> Option<Sent> {
        Some(Sent { data_type: data_type.clone(), cast: None })
    }
    /// How an explicit cast relates to what an INSERT does.
    fn cast(&self, from: &TypeFacts, to: &TypeFacts) -> Cast;
    /// What an INSERT makes of values of a type, where a column of another cannot hold them as they are and no error
    /// says so.
    fn rounding(&self, from: &TypeFacts, to: &TypeFacts) -> Option<Rounding> {
        digits::rounding(from, to)
    }
    /// How values of a source's type come into a column of another database.
    fn crossing(&self, from: &TypeFacts, to: &TypeFacts) -> Crossing;
    /// How values of a type are measured against each other.
    fn measure(&self, data_type: &TypeFacts) -> Measure;

    // Values.

    /// A value in another type. `value` is a column, a literal, a slot, or stands in parentheses.
    fn cast_to(&self, value: &Sql, type_name: &str) -> Sql;
    /// A value of the type by its text.
    fn typed_literal(&self, text: &str, type_name: &str) -> Sql {
        let literal = self.literal(&crate::sql::text(text));
        self.cast_to(&Sql::from_dialect(literal), type_name)
    }
    /// A value of some type as an instant, the same under any setting.
    fn to_instant(&self, data_type: &TypeFacts, value: &Sql) -> Sql;
    /// The text of a value (as in [`Dialect::cast_to`]) that reads back the same under any setting.
    fn stable_text(&self, data_type: &TypeFacts, value: &Sql) -> Sql;
    /// A value as text that no setting of the session changes, of any type that the database brings.
    fn plain_text(&self, data_type: &TypeFacts, value: &Sql) -> Sql {
        self.stable_text(data_type, value)
    }
    /// Statements, local to the transaction, without which [`Dialect::stable_text`] of the type is not stable.
    fn text_settings(&self, data_type: &TypeFacts) -> Option<Sql>;
    /// A length of time that is added to instants.
    fn duration(&self, length: std::time::Duration) -> Sql;
    /// The instant after all others.
    fn end_of_time(&self) -> Sql;
    /// When the transaction began.
    fn transaction_time(&self) -> Sql;
    /// What the clock says now, within a transaction too.
    fn clock(&self) -> Sql;
    /// A list of texts as one value.
    fn text_list(&self, texts: &[String]) -> Sql;
    /// A list of columns as one JSON object.
    fn json_row(&self, columns: Sql) -> Sql;
    /// A row of a table as one JSON object, as text.
    fn json_of_row(&self, alias: &'static str) -> Sql;
    /// An instant as ISO 8601 in UTC; one that is not finite as the database calls it.
    fn iso_instant(&self, value: &Sql) -> Sql;
    /// A function that every database has, so named that nobody can put another in its place.
    fn function(&self, name: &'static str) -> Sql {
        Sql::text(name)
    }

    /// A text as it stands in ORDER BY where its bytes decide, whatever the collation.
    fn by_bytes(&self, text: &Sql) -> Sql {
        sql!("{text}", text)
    }

    /// The greatest of values that are not NULL.
    fn greatest(&self, values: [&Sql; 2]) -> Sql {
        sql!("GREATEST({one}, {other})", one = values[0], other = values[1])
    }
    /// The least of values that are not NULL.
    fn least(&self, values: [&Sql; 2]) -> Sql {
        sql!("LEAST({one}, {other})", one = values[0], other = values[1])
    }

    // Rows.

    /// Whether two values of a type differ as their hashes do.
    fn differs(&self, data_type: &TypeFacts, left: &Sql, right: &Sql) -> Sql;
    /// The row hash.
    fn row_digest(&self, columns: &[ColumnValue<'_>]) -> Sql;
    /// Its words for comparing rows with those of another query; `None` where it has none.
    fn differing(&self) -> Option<&dyn Differing> {
        None
    }
    /// Whether a part of a text matches a regular expression.
    fn matches(&self, value: &Sql, pattern: &str) -> Sql;
    /// A number that equal rows of these values have alike and others nearly never, which is quicker to count than the
    /// values; `None` where there is none, or it would be no quicker.
    fn fingerprint(&self, _values: &[ColumnValue<'_>]) -> Option<Sql> {
        None
    }
    /// How many rows of a group meet a condition.
    fn count_where(&self, condition: &Sql) -> Sql;
    /// Where a row of the target lies, until it is written again.
    ///
    /// `spread`: the target's rows lie in several tables (partitions, children), which number their own.
    fn row_address(&self, alias: &'static str, spread: bool) -> Sql;
    /// The type of [`Dialect::row_address`]; a single table sends it to the client as six bytes.
    fn row_address_type(&self, spread: bool) -> &'static str;

    // Statements.

    // An empty piece where the database needs no statement: no step is made of it.

    /// Reads nothing of a query (in parentheses) and takes every lock that reading it takes.
    fn probe(&self, query: &Sql) -> Sql;
    /// Creates a schema, which other sessions may be creating at the same time.
    fn create_schema(&self, name: &Ident) -> Sql;
    /// Whether a row `q` of a table lies on these pages; `None` for the last: on all that follow. An engine that knows no
    /// pages has none.
    fn lies_on(&self, first: u64, beyond: Option<u64>) -> Option<Sql> {
        let _ = (first, beyond);
        None
    }
    /// Sends a query's rows to the client, as bytes.
    fn copy_out(&self, query: &Sql) -> Sql;
    /// Takes rows from the client, as bytes.
    fn copy_in(&self, name: &QualifiedName, columns: &[Ident]) -> Sql;
    /// A table of intermediate rows made from a query, planned well however little memory there is.
    fn create_stage_as(&self, name: &QualifiedName, select: Sql, order: RowOrder) -> Sql;
    /// An empty table of intermediate rows with declared types.
    fn create_stage(&self, name: &QualifiedName, columns: Vec<(Ident, Sql)>) -> Sql;
    /// Keeps writers out and lets readers in.
    fn lock_table(&self, name: &QualifiedName) -> Sql;
    /// Empties a table at once; readers wait.
    fn truncate(&self, name: &QualifiedName) -> Sql;
    /// Updates rows `t` of a table that meet rows of another.
    fn update_from(&self, target: &QualifiedName, assignments: Vec<Sql>, from: Sql, condition: Sql) -> Sql {
        sql!(
            "UPDATE {target} AS t\n   SET {assignments}\n  FROM {from}\n WHERE {condition}",
            target,
            assignments = Sql::join(assignments, ",\n       "),
            from,
            condition
        )
    }
    /// A value that is not `=` to this one, for types of which an update leaves a value as it is where the new one is
    /// only `=` to it; `None` for all others.
    fn apart(&self, _data_type: &TypeFacts, _value: &Sql) -> Option<Sql> {
        None
    }
    /// Deletes rows `t` of a table that meet rows of another.
    fn delete_using(&self, target: &QualifiedName, using: Sql, condition: Sql) -> Sql {
        sql!("DELETE FROM {target} AS t\n USING {using}\n WHERE {condition}", target, using, condition)
    }
    /// Deletes, updates and inserts in this order by one statement, so that what refers to the rows is judged when all of
    /// it is done; answers how many rows each wrote. `None` where a statement writes in one way only.
    fn write_at_once(&self, _write: WriteAtOnce) -> Option<Sql> {
        None
    }
    /// Judges now what is deferred to the commit.
    fn judge_deferred(&self) -> Sql {
        Sql::empty()
    }
    /// Inserts rows, or updates those that are there.
    fn upsert(&self, upsert: Upsert<'_>) -> Sql {
        let updates = upsert.updates.iter().map(|(name, merged)| match merged {
            Merged::Replaced => sql!("{name} = excluded.{name}", name),
            Merged::Added => sql!("{name} = t.{name} + excluded.{name}", name),
        });
        sql!(
            "INSERT INTO {table} AS t ({columns})\n{rows}\n    ON CONFLICT ({keys}) DO UPDATE\n   SET {updates}",
            table = upsert.table,
            columns = upsert.columns,
            rows = upsert.rows,
            keys = upsert.keys,
            updates = Sql::join(updates, ",\n       ")
        )
    }
    /// Statistics of some columns for the planner; of all where none is named.
    fn analyze(&self, name: &QualifiedName, columns: &[Ident]) -> Sql;

    // Promises of a table. An empty piece where the database keeps no such promise.

    /// Allows a value of these columns once, where `flag` is given among the rows in which it is true.
    fn unique_index(&self, table: &QualifiedName, columns: &[Ident], flag: Option<&Ident>) -> Sql;
    /// A primary key for a table that is there.
    fn add_primary_key(&self, table: &QualifiedName, columns: &[Ident]) -> Sql;
    /// A unique constraint for a table that is there.
    fn add_unique(&self, table: &QualifiedName, columns: &[Ident]) -> Sql;
    /// A CHECK constraint for a table that is there.
    fn add_check(&self, table: &QualifiedName, name: &Ident, condition: Sql) -> Sql;
    /// An index that somebody has declared.
    fn create_index(&self, index: DeclaredIndex<'_>) -> Sql;
    /// A further column.
    fn add_column(&self, table: &QualifiedName, column: NewColumn) -> Sql;
    /// A column that this transaction has filled is never NULL from here on.
    fn set_not_null(&self, table: &QualifiedName, column: &Ident) -> Sql;

    /// Whether a history has row hashes unless said: where they cost little beside the rows.
    fn keeps_row_hash(&self) -> bool {
        true
    }

    /// A column type for instants.
    fn instant_type(&self) -> DataType {
        DataType::TimestampTz
    }
}

/// Words for comparing the rows of two queries, whichever servers they are on.
pub trait Differing {
    /// A value in a normal form that is its type's own or that values of its type have too: equal values have equal bytes
    /// then. `value` is a column or stands in parentheses.
    fn formed(&self, own: Normal, form: Normal, value: &Sql) -> Sql;
    /// A value by whose `=` and `IS DISTINCT FROM` two values differ as their normal forms do.
    fn comparable(&self, own: Normal, form: Normal, value: &Sql) -> Sql;
    /// A number of 64 bits that rows of equal values have alike, and others next to never; each value is in its form.
    fn digest(&self, values: &[Sql], digest: Digest) -> Sql;
    /// A number: servers that have it alike have quick digests alike.
    fn proof(&self) -> Sql;
    /// Settings of the transaction under which large readings are planned well.
    fn settings(&self) -> Sql;
    /// Has readings come in the order in which a table lies, or as is quickest.
    fn in_order(&self, in_order: bool) -> Sql;
    /// Asks for the time zone of the session, in which a text without one is an instant.
    fn zone(&self) -> Sql;
    /// Gives the transaction a time zone.
    fn in_zone(&self, zone: &str) -> Sql;
}

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Whether every server makes it alike, whatever its processor; else it is twice as fast.
    pub portable: bool,
    /// Other numbers come of another seed.
    pub seed: u8,
}

/// What becomes of a declared type that a database does not have as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeLoss {
    /// The type that stands for it.
    pub becomes: String,
    /// Why.
    pub why: &'static str,
}

/// How values leave for another engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The type that they arrive as, with its number.
    pub data_type: TypeFacts,
    /// The type to which their own engine casts them first.
    pub cast: Option<String>,
}

/// An index that somebody has declared.
#[derive(Clone, Debug)]
pub struct DeclaredIndex<'a> {
    /// The table.
    pub table: &'a QualifiedName,
    /// Its name, where it has been given one.
    pub name: Option<&'a Ident>,
    /// A name for a database that does not make one.
    pub made_name: Ident,
    /// Its columns.
    pub columns: &'a [Ident],
    /// Whether it allows a value only once.
    pub unique: bool,
    /// The access method.
    pub method: Option<&'a Ident>,
    /// The condition of a partial index.
    pub condition: Option<Sql>,
}

/// Statements on one table that touch no row twice, each ending in conditions with AND between them.
#[derive(Clone, Debug)]
pub struct WriteAtOnce {
    /// Deletes rows.
    pub delete: Sql,
    /// Updates rows, where any column is.
    pub update: Option<Sql>,
    /// Inserts rows.
    pub insert: Sql,
}

/// A column that is added to a table.
#[derive(Clone, Debug)]
pub struct NewColumn {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: Sql,
    /// Its DEFAULT.
    pub default: Option<Sql>,
    /// Whether it is never NULL.
    pub not_null: bool,
}

impl NewColumn {
    /// The column as it stands in CREATE TABLE.
    pub fn definition(&self) -> Sql {
        let mut out = self.nullable_definition();
        if self.not_null {
            out.push(&Sql::text(" NOT NULL"));
        }
        out
    }

    /// The column without its constraint.
    pub fn nullable_definition(&self) -> Sql {
        let mut out = sql!("{name} {type}", name = self.name, type = self.data_type);
        if let Some(default) = &self.default {
            out.push(&sql!(" DEFAULT {default}", default));
        }
        out
    }
}

/// How an explicit cast relates to what an INSERT does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// The types are the same.
    Same,
    /// An explicit cast keeps every value, as an INSERT would.
    Widening,
    /// Only an INSERT decides: it may refuse where a cast cuts in silence.
    ByInsert,
}

/// How values of a source's type come into a column of another database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// Their bytes are those of the target's type.
    AsIs,
    /// The source casts them and loses nothing: then their bytes are those of the target's type.
    CastAtSource(String),
    /// They arrive as a type of the target, to which the source casts them first where it says so, and an
    /// INSERT decides.
    ByInsert {
        /// The type that receives them.
        arrives: String,
        /// Whether the source casts them to it.
        cast: bool,
    },
    /// They do not, and why.
    Refused(&'static str),
}

/// How values of a type are measured against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Instants, which differ by durations; `unit` is what their rounding may add, where they keep less than microseconds.
    Instant {
        /// One unit of the last digit kept.
        unit: Option<std::time::Duration>,
    },
    /// Times without a zone, which differ by durations.
    LocalTime,
    /// Days, which differ by whole numbers.
    Date,
    /// Numbers.
    Number,
    /// Values without a distance.
    Unmeasured,
}

/// In which order the rows of two joined tables lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// Nothing is known.
    Unknown,
    /// Both lie in the order of the key by which they are joined.
    ByKey,
}

/// Rows for a table, and what becomes of those that are there.
#[derive(Clone, Debug)]
pub struct Upsert<'a> {
    /// The table.
    pub table: &'a QualifiedName,
    /// The columns that are inserted.
    pub columns: &'a [Ident],
    /// The query that gives the rows.
    pub rows: Sql,
    /// The columns by which a row is there.
    pub keys: &'a [Ident],
    /// What is written into a row that is there.
    pub updates: &'a [(Ident, Merged)],
}

/// What [`Upsert`] writes into a column of a row that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The new value.
    Replaced,
    /// The sum of the old and the new value.
    Added,
}
