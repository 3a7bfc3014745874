//! The members of a union as one query: by the names of their columns.

use crate::check::Source;
use crate::dialect::{Cast, Dialect, Measure};
use crate::error::{ErrorCode, FlowError, Result, did_you_mean};
use crate::facts::{SourceColumn, SourceFacts};
use crate::query::ReadQuery;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::TypeFacts;

/// The names that all members have, in the order of the first; `columns` has those of each.
///
/// # Errors
/// `unknown_column` where a member lacks one that another has.
pub fn names(source: &Source, columns: &[Vec<SourceColumn>]) -> Result<Vec<Ident>> {
    let has = |index: usize, name: &str| columns[index].iter().any(|column| column.name == name);
    let mut names: Vec<Ident> = Vec::new();
    for (index, own) in columns.iter().enumerate() {
        for name in own.iter().map(|column| &column.name) {
            if names.iter().any(|known| known.as_str() == name) {
                continue;
            }
            if let Some(lacking) = (0..columns.len()).find(|other| !has(*other, name)) {
                return Err(lacks(source, columns, lacking, index, name));
            }
            names.push(Ident::new(name.clone())?);
        }
    }
    Ok(names)
}

fn lacks(
    source: &Source,
    columns: &[Vec<SourceColumn>],
    lacking: usize,
    having: usize,
    name: &str,
) -> FlowError {
    let found = SourceFacts::names(&columns[lacking]);
    let error = FlowError::new(
        ErrorCode::UnknownColumn,
        format!("{} has no column `{name}`, which member {} has", member(source, lacking), having + 1),
    )
    .detail(format!("it has: {}", found.join(", ")));
    error.hint(match did_you_mean(name, found) {
        Some(near) => format!("did you mean `{near}`? a union is made by names: SELECT …, {near} AS {name}"),
        None => format!("a union is made by names: add it to the query of that member, or NULL AS {name}"),
    })
}

/// The columns of all members as one: of each the type that holds the values of every member, so that none is rounded
/// or read as something else on its way. `columns` has those of each member.
///
/// # Errors
/// `invalid_value` where none of the types does.
pub fn together(
    source: &Source,
    names: &[Ident],
    columns: &[Vec<SourceColumn>],
    dialect: &dyn Dialect,
) -> Result<Vec<SourceColumn>> {
    let mut together = Vec::new();
    for name in names {
        let of = |member: usize| {
            let mut own = columns[member].iter();
            own.find(|column| column.name == name.as_str()).expect("every member has it")
        };
        let (mut by, mut found) = (0, of(0).clone());
        for member in 1..columns.len() {
            let own = of(member);
            let Some(holds_both) = wider(&found.data_type, &own.data_type, dialect) else {
                return Err(apart(source, name, (by, of(by)), (member, own), dialect));
            };
            if holds_both.name == own.data_type.name {
                by = member;
            }
            found.data_type = holds_both;
        }
        together.push(SourceColumn { stamped: false, inferred: None, ..found });
    }
    Ok(together)
}

fn apart(
    source: &Source,
    name: &Ident,
    (one, of_one): (usize, &SourceColumn),
    (other, of_other): (usize, &SourceColumn),
    dialect: &dyn Dialect,
) -> FlowError {
    let (one_type, other_type) = (&of_one.data_type.name, &of_other.data_type.name);
    let is_number = |column: &SourceColumn| dialect.measure(&column.data_type) == Measure::Number;
    // What holds every number and every value.
    let holds_both = if is_number(of_one) && is_number(of_other) { "numeric" } else { "text" };
    FlowError::new(
        ErrorCode::InvalidValue,
        format!(
            "the column `{name}` is {one_type} in {} and {other_type} in {}: neither holds every value of the other",
            member(source, one),
            member(source, other)
        ),
    )
    .hint(format!("cast it in the queries of the members to one type: {name}::{holds_both} AS {name}"))
}

/// The type that holds the values of both: one of them, or one of them without length and precision.
fn wider(one: &TypeFacts, other: &TypeFacts, dialect: &dyn Dialect) -> Option<TypeFacts> {
    let plain = |of: &TypeFacts| TypeFacts { name: of.wire.name.clone(), ..of.clone() };
    let holds = |from: &TypeFacts, to: &TypeFacts| {
        from.name == to.name || from.wire.name == to.name || dialect.cast(from, to) != Cast::ByInsert
    };
    [one.clone(), other.clone(), plain(one), plain(other)]
        .into_iter()
        .find(|wide| holds(one, wide) && holds(other, wide))
}

/// A query of no rows with those columns, for whoever asks of which types they are where they will lie.
pub fn without_rows(columns: &[SourceColumn], dialect: &dyn Dialect) -> Result<ReadQuery> {
    let null = |column: &SourceColumn| {
        let name = Ident::new(column.name.clone())?;
        let null = dialect.cast_to(&Sql::text("NULL"), column.inferred_type());
        Ok(sql!("{null} AS {name}", null, name))
    };
    let list = columns.iter().map(null).collect::<Result<Vec<_>>>()?;
    let query = sql!("SELECT {list} LIMIT 0", list = Sql::join(list, ", "));
    ReadQuery::parse(&query.to_text(dialect))
}

/// `member 2 of the union (connection us)`.
pub fn member(source: &Source, index: usize) -> String {
    format!("member {} of the union (connection {})", index + 1, source.members()[index].connection)
}

/// The rows of all members of one connection, each column of the type that holds those of all.
pub fn query_of_types(source: &Source, columns: &[SourceColumn], dialect: &dyn Dialect) -> ReadQuery {
    let queries: Vec<&ReadQuery> = source.members().iter().map(|member| &member.query).collect();
    let column = |column: &SourceColumn| {
        let name = Ident::new(column.name.clone()).expect("the server gave the name");
        let value = dialect.cast_to(&sql!("q.{name}", name), &column.data_type.name);
        sql!("{value} AS {name}", value, name).to_text(dialect)
    };
    ReadQuery::united(&queries, &columns.iter().map(column).collect::<Vec<_>>().join(", "))
}

/// The rows of all members, by those names.
pub fn query(source: &Source, names: &[Ident], dialect: &dyn Dialect) -> ReadQuery {
    let queries: Vec<&ReadQuery> = source.members().iter().map(|member| &member.query).collect();
    let list: Vec<String> = names.iter().map(|name| format!("q.{}", dialect.quote(name))).collect();
    ReadQuery::united(&queries, &list.join(", "))
}
