//! The stage: a table of the source's rows in the types of the target, beside the columns that only the load
//! needs. In one database a statement fills it; from another database rows come as bytes, without being decoded.

use super::slices;
use crate::declare::options::{NullWatermark, OnDuplicate};
use crate::dialect::{Cast, ColumnValue, Crossing, RowOrder};
use crate::error::{ErrorCode, FlowError, Result};
use crate::facts::{AtHand, ExecutionPath};
use crate::hash::{CopyColumn, Normal};
use crate::markers::Reading;
use crate::pipeline::prepared::{ACCOUNT, Counting, DROPPED, LAYERS};
use crate::pipeline::strategy::{Beside, JoinedBy};
use crate::pipeline::{LoadColumn, Resolved, Rows};
use crate::plan::builder::PlanBuilder;
use crate::plan::{Action, Answer, Copy, StepKind};
use crate::run_value::RunValue;
use crate::sql;
use crate::sql::{Ident, Sql};
use crate::types::{DataType, TypeFacts};

/// The column of a stage that holds the incremental column's value.
pub const WATERMARK: &str = "_ematix_watermark";
/// The column of a stage that holds the hash of the source row.
pub const IDENTITY: &str = "_ematix_identity";
/// The column of a stage that numbers the rows of a key.
pub const RANK: &str = "_ematix_rank";
/// The column of a stage that holds the row hash, computed while the row passed by.
pub const HASH: &str = "_ematix_hash";

/// A column of a stage.
struct Column {
    name: Ident,
    data_type: Sql,
    /// Its value in a row `q` of the source.
    value: Sql,
}

/// Fills the stage with the rows `q` of the source that meet `range`.
pub fn steps(
    load: &Resolved<'_>,
    identity: Option<&[String]>,
    range: Option<Sql>,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    if matches!((&load.rows, &load.facts.at_hand), (Rows::Stage(stage), Some(AtHand::In(table))) if stage == table)
    {
        builder.stages_nothing = true;
        statistics(load, false, builder);
        return Ok(());
    }
    builder.leftovers.push(load.stage_name("stage"));
    let range = range.map_or(Sql::empty(), |condition| sql!("\n WHERE {condition}", condition));
    match load.path {
        ExecutionPath::SameDatabase => within(load, identity, range, builder),
        ExecutionPath::Staging | ExecutionPath::ClientDiff => across(load, identity, range, builder),
    }
}

/// Whether the rows, as they were read into a table, are those that a stage would have: as many, of the same types, with
/// nothing beside them.
pub fn is_as_read(load: &Resolved<'_>) -> bool {
    load.columns.iter().all(|column| column.cast == Cast::Same)
        && load.pipeline.incremental.is_none()
        && load.facts.run.part.is_none()
        && load.pipeline.on_duplicate == OnDuplicate::Error
        && load.need.beside.is_empty()
        && load.prepared.is_empty()
        && !load.looks_at_rows()
        && !load.pipeline.quarantines()
        && load.counting() == Counting::Nothing
}

/// A query over the source's rows `q`, each value under its column's name.
pub fn select<'c>(
    load: &Resolved<'_>,
    columns: impl Iterator<Item = (&'c Ident, &'c Sql)>,
    range: &Sql,
) -> Sql {
    select_from(load, &load.query(), columns, range)
}

/// As [`select`], of another query in the source's place.
fn select_from<'c>(
    load: &Resolved<'_>,
    query: &Sql,
    columns: impl Iterator<Item = (&'c Ident, &'c Sql)>,
    range: &Sql,
) -> Sql {
    let list = columns.map(|(name, value)| {
        let own_name = *value == sql!("q.{name}", name);
        if own_name { value.clone() } else { sql!("{value} AS {name}", value, name) }
    });
    load.select(query, Sql::join(list, ",\n       "), range)
}

fn ours(load: &Resolved<'_>, data_type: &DataType) -> Sql {
    Sql::from_dialect(load.type_name(data_type))
}

/// One database: one statement reads and writes.
fn within(
    load: &Resolved<'_>,
    identity: Option<&[String]>,
    range: Sql,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let name = load.stage_name("stage");
    let mut columns: Vec<Column> = Vec::new();
    for column in &load.columns {
        let source = sql!("q.{name}", name = column.name);
        let value = match column.cast {
            Cast::Widening => load.dialect.cast_to(&source, &column.data_type.name),
            Cast::Same | Cast::ByInsert => source,
        };
        let data_type = Sql::from_dialect(column.data_type.name.clone());
        columns.push(Column { name: column.name.clone(), data_type, value });
    }
    columns.extend(watermark_column(load)?);
    if let Some(names) = identity {
        let data_type = ours(load, &DataType::Bytes);
        columns.push(Column { name: Ident::fixed(IDENTITY), data_type, value: identity_digest(load, names) });
    }
    columns.extend(rank_column(load));
    columns.extend(beside_columns(load));
    columns.extend(unread_columns(load));
    columns.extend(account_columns(load));
    let purpose = format!("copy the source query into {name}");
    let select = select(load, columns.iter().map(|column| (&column.name, &column.value)), &range);
    if load.columns.iter().any(|column| column.cast == Cast::ByInsert) {
        let definitions = columns.into_iter().map(|column| (column.name, column.data_type)).collect();
        let sql = load.dialect.create_stage(&name, definitions);
        builder.step(StepKind::Stage, format!("a table of the declared types: {name}"), sql, Answer::Ignore);
        let insert = sql!("INSERT INTO {name}\n{select}", name, select);
        builder.step(StepKind::Stage, purpose, insert, Answer::Count(vec![RunValue::RowsIn]));
    } else {
        let sql = load.dialect.create_stage_as(&name, select, RowOrder::Unknown);
        builder.step(StepKind::Stage, purpose, sql, Answer::Count(vec![RunValue::RowsIn]));
    }
    Ok(())
}

/// Two databases: the source sends bytes, hashes are taken from them as they pass, the target keeps them.
fn across(
    load: &Resolved<'_>,
    identity: Option<&[String]>,
    range: Sql,
    builder: &mut PlanBuilder<'_>,
) -> Result<()> {
    let name = load.stage_name("stage");
    let crossings = crossings(load)?;
    let mut sent: Vec<Column> = Vec::new();
    let mut typed: Vec<(Ident, Sql)> = Vec::new();
    for (column, crossing) in load.columns.iter().zip(&crossings) {
        let source = sql!("q.{name}", name = column.name);
        let target = Sql::from_dialect(column.data_type.name.clone());
        let (data_type, value) = match crossing {
            Crossing::CastAtSource(data_type) => (target.clone(), load.dialect.cast_to(&source, data_type)),
            Crossing::ByInsert { arrives, cast: true } => {
                (Sql::from_dialect(arrives.clone()), load.dialect.cast_to(&source, arrives))
            }
            Crossing::ByInsert { arrives, cast: false } => (Sql::from_dialect(arrives.clone()), source),
            Crossing::AsIs | Crossing::Refused(_) => (target.clone(), source),
        };
        typed.push((column.name.clone(), target));
        sent.push(Column { name: column.name.clone(), data_type, value });
    }
    let of_load = rank_column(load)
        .into_iter()
        .chain(beside_columns(load))
        .chain(unread_columns(load))
        .chain(account_columns(load));
    for column in watermark_column(load)?.into_iter().chain(of_load) {
        typed.push((column.name.clone(), column.data_type.clone()));
        sent.push(column);
    }
    let kept = sent.len();
    let mut digests = Vec::new();
    let mut digested = Vec::new();
    if carries_hash(load) {
        digested.push(Ident::fixed(HASH));
        digests.push(hashed_fields(load, &load.compared));
    }
    if let Some(names) = identity {
        digested.push(Ident::fixed(IDENTITY));
        digests.push(identity_fields(load, names, &crossings, &mut sent));
    }
    let bytes = ours(load, &DataType::Bytes);
    typed.extend(digested.iter().map(|name| (name.clone(), bytes.clone())));

    let by_insert = crossings.iter().any(|crossing| matches!(crossing, Crossing::ByInsert { .. }));
    let landing = if by_insert { load.stage_name("raw") } else { name.clone() };
    let mut arriving: Vec<(Ident, Sql)> =
        sent[..kept].iter().map(|column| (column.name.clone(), column.data_type.clone())).collect();
    arriving.extend(digested.iter().map(|name| (name.clone(), bytes.clone())));
    let names: Vec<Ident> = arriving.iter().map(|(name, _)| name.clone()).collect();

    let create = |name: &_, columns| load.dialect.create_stage(name, columns);
    builder.step(
        StepKind::Stage,
        format!("a table for the rows: {landing}"),
        create(&landing, arriving),
        Answer::Ignore,
    );
    let casts = sql!("INSERT INTO {name} ({names})\nSELECT {names}\n  FROM {landing}", name, names, landing);
    if by_insert {
        builder.leftovers.push(landing.clone());
        builder.step(
            StepKind::Stage,
            format!("a table of the declared types: {name}"),
            create(&name, typed),
            Answer::Ignore,
        );
        builder.step(
            StepKind::Guard,
            "an INSERT casts the source's types: asked before a row moves",
            casts.clone(),
            Answer::Ignore,
        );
    }
    let values = || sent.iter().map(|column| (&column.name, &column.value));
    let from = load.ends.source.dialect;
    let read = |query: &Sql| from.copy_out(&select_from(load, query, values(), &range)).render(from);
    let reads = match slices::of(load, builder)? {
        Some(parts) => parts.iter().map(read).collect(),
        None => vec![read(&load.query())],
    };
    let write = load.dialect.copy_in(&landing, &names);
    builder.transfer(
        StepKind::Stage,
        format!("copy the source query into {landing}"),
        Action::Copy(Copy { reads, write: write.render(load.dialect), into: landing.clone(), kept, digests }),
    );
    if by_insert {
        builder.step(StepKind::Stage, "cast the rows as an INSERT does", casts, Answer::Ignore);
    }
    statistics(load, identity.is_some(), builder);
    Ok(())
}

/// What the diff joins by. Where the rows are only inserted no plan depends on them.
fn statistics(load: &Resolved<'_>, identity: bool, builder: &mut PlanBuilder<'_>) {
    let columns = match load.need.joined_by {
        JoinedBy::Keys if !load.creates => load.keys.clone(),
        JoinedBy::Identity if identity => vec![Ident::fixed(IDENTITY)],
        JoinedBy::Keys | JoinedBy::Identity | JoinedBy::Nothing => return,
    };
    let stage = match &load.rows {
        Rows::Stage(name) => name.clone(),
        Rows::Direct(_) | Rows::Compared => load.stage_name("stage"),
    };
    let sql = load.dialect.analyze(&stage, &columns);
    builder.step(StepKind::Stage, "statistics for the planner", sql, Answer::Ignore);
}

/// How every loaded column crosses.
///
/// # Errors
/// `invalid_value` for a type that cannot.
pub fn crossings(load: &Resolved<'_>) -> Result<Vec<Crossing>> {
    let crossing = |name: &Ident, to: &TypeFacts| {
        let from =
            &load.facts.source.loaded(name.as_str()).expect("filled columns are the source's").data_type;
        match load.dialect.crossing(from, to) {
            Crossing::Refused(why) => Err(refused(name, from, why)),
            crossing => Ok(crossing),
        }
    };
    load.columns.iter().map(|column| crossing(&column.name, &column.data_type)).collect()
}

fn refused(name: &Ident, data_type: &TypeFacts, why: &str) -> FlowError {
    FlowError::new(
        ErrorCode::InvalidValue,
        format!("the column `{name}` of type {} cannot come from another database: {why}", data_type.name),
    )
    .hint(format!("cast it in the query, `{name}::text AS {name}`, and declare it as text; or leave it out"))
}

/// Whether the stream's bytes of a column are those of the target's type.
pub fn arrives_typed(crossing: &Crossing) -> bool {
    matches!(crossing, Crossing::AsIs | Crossing::CastAtSource(_))
}

/// Whether the stage holds the row hash: where the bytes that pass are those that the target stores.
pub fn carries_hash(load: &Resolved<'_>) -> bool {
    let typed = |(column, crossing): (&LoadColumn, Crossing)| {
        arrives_typed(&crossing) || !load.compared.contains(&column.name)
    };
    load.path != ExecutionPath::SameDatabase
        && load.need.versions.is_some()
        && crossings(load).is_ok_and(|crossings| load.columns.iter().zip(crossings).all(typed))
}

/// The row hash of rows `alias` of a stage or of the changes: carried, or made from the compared columns.
pub fn row_hash(load: &Resolved<'_>, alias: &'static str, value: impl Fn(&Ident) -> Sql) -> Sql {
    if carries_hash(load) {
        sql!("{alias}.{hash}", alias = Sql::text(alias), hash = Ident::fixed(HASH))
    } else {
        load.row_digest(value)
    }
}

/// Loaded columns among the fields of the stream, in their target's form.
pub fn hashed_fields(load: &Resolved<'_>, names: &[Ident]) -> Vec<CopyColumn> {
    let field = |name: &Ident| {
        let field = load.columns.iter().position(|column| column.name == *name).expect("a filled column");
        let normal = load.columns[field].data_type.normal.expect("compared types have a binary form");
        CopyColumn { name: name.to_string(), normal, field }
    };
    names.iter().map(field).collect()
}

/// The source's columns by which append's ledger knows a row; those that are not sent yet are sent besides.
fn identity_fields(
    load: &Resolved<'_>,
    names: &[String],
    crossings: &[Crossing],
    sent: &mut Vec<Column>,
) -> Vec<CopyColumn> {
    let mut fields = Vec::new();
    for name in names {
        let column = Ident::new(name.clone()).expect("the server gave the name");
        let Some((value, data_type)) = load.own_value(&column) else { continue };
        let loaded = load.columns.iter().position(|column| column.name.as_str() == name);
        // Its bytes are the source's own, or hashed alike.
        let cleaned = value != sql!("q.{column}", column);
        let alike = loaded.filter(|field| {
            !cleaned
                && match &crossings[*field] {
                    Crossing::AsIs => true,
                    Crossing::ByInsert { cast, .. } => !cast,
                    Crossing::CastAtSource(_) => load.columns[*field].data_type.normal == data_type.normal,
                    Crossing::Refused(_) => false,
                }
        });
        // What has no binary form is known by its text.
        let (value, normal) = match data_type.normal {
            Some(normal) => (value, normal),
            None => (load.dialect.cast_to(&value, &load.type_name(&DataType::Text)), Normal::Text),
        };
        let field = alike.unwrap_or_else(|| {
            let unnamed = Ident::new(format!("_ematix_{}", sent.len())).expect("a short name");
            sent.push(Column { name: unnamed, data_type: Sql::empty(), value });
            sent.len() - 1
        });
        fields.push(CopyColumn { name: name.clone(), normal, field });
    }
    fields
}

fn identity_digest(load: &Resolved<'_>, names: &[String]) -> Sql {
    let own: Vec<(Ident, Sql, &TypeFacts)> = names
        .iter()
        .filter_map(|name| {
            let name = Ident::new(name).ok()?;
            let (value, data_type) = load.own_value(&name)?;
            Some((name, value, data_type))
        })
        .collect();
    let columns: Vec<_> = own
        .iter()
        .map(|(name, value, data_type)| ColumnValue { name, sql: value.clone(), data_type })
        .collect();
    load.dialect.row_digest(&columns)
}

/// The incremental column's value, in the source's own type.
fn watermark_column(load: &Resolved<'_>) -> Result<Option<Column>> {
    let Some(incremental) = &load.pipeline.incremental else { return Ok(None) };
    let data_type = load.watermark_type(incremental)?;
    if load.path != ExecutionPath::SameDatabase
        && let Crossing::Refused(why) = load.dialect.crossing(data_type, data_type)
    {
        return Err(refused(&incremental.column, data_type, why));
    }
    let value = load.prepared.watermark(&incremental.column);
    let data_type = Sql::from_dialect(data_type.name.clone());
    Ok(Some(Column { name: Ident::fixed(WATERMARK), data_type, value }))
}

/// The numbers of the layers, where they come with the rows.
fn account_columns(load: &Resolved<'_>) -> Vec<Column> {
    let column = |name, data_type, value| Column {
        name: Ident::fixed(name),
        data_type: ours(load, &data_type),
        value,
    };
    let of_account =
        |name| sql!("{account}.{name}", account = Ident::fixed(ACCOUNT), name = Ident::fixed(name));
    match load.counting() {
        Counting::Nothing => Vec::new(),
        Counting::Carried(counted) => {
            let bigint = load.dialect.type_name(&DataType::BigInt);
            let value = load.dialect.cast_to(&sql!("q.{counted}", counted), &bigint);
            vec![column(DROPPED, DataType::BigInt, value)]
        }
        Counting::Account { every_layer } => {
            let layers = every_layer.then(|| column(LAYERS, DataType::Text, of_account(LAYERS)));
            std::iter::once(column(DROPPED, DataType::BigInt, of_account(DROPPED))).chain(layers).collect()
        }
    }
}

/// Text that markers cannot read, where there are such markers.
fn unread_columns(load: &Resolved<'_>) -> Vec<Column> {
    let column = |reading: &Reading| Column {
        name: reading.unread.clone(),
        data_type: ours(load, &DataType::Text),
        value: sql!("q.{unread}", unread = reading.unread),
    };
    load.readings().map(column).collect()
}

/// What the strategy wants to know of each row.
fn beside_columns(load: &Resolved<'_>) -> Vec<Column> {
    let column = |beside: &Beside| Column {
        name: beside.name.clone(),
        data_type: ours(load, &beside.data_type),
        value: beside.value.clone(),
    };
    load.need.beside.iter().map(column).collect()
}

fn rank_column(load: &Resolved<'_>) -> Option<Column> {
    let value = rank_of_key(load)?;
    Some(Column { name: Ident::fixed(RANK), data_type: ours(load, &DataType::BigInt), value })
}

/// The number of a row `q` among those of its key, the latest first; `None` where every key has one row.
pub fn rank_of_key(load: &Resolved<'_>) -> Option<Sql> {
    if load.pipeline.on_duplicate != OnDuplicate::Latest {
        return None;
    }
    let mut keys = Sql::join(load.keys.iter().map(|key| rank_key(load, key)), ", ");
    // Rows that are left out for their NULL must not stand before those that stay.
    if let Some(skipping) = &load.pipeline.incremental
        && skipping.on_null == NullWatermark::Skip
    {
        keys.push(&sql!(", {column} IS NULL", column = load.prepared.watermark(&skipping.column)));
    }
    let order = Sql::join(load.pipeline.order_by.iter().map(|item| Sql::user_list(item)), ", ");
    Some(sql!(
        "{row_number}() OVER (PARTITION BY {keys} ORDER BY {order})",
        row_number = load.dialect.function("row_number"),
        keys,
        order
    ))
}

/// A key as the target will hold it: numeric 1.2 and 1.4 are one integer. What an explicit cast would
/// cut, the INSERT into the stage refuses.
fn rank_key(load: &Resolved<'_>, key: &Ident) -> Sql {
    let column = load.filled(key).expect("keys are filled");
    let source = sql!("q.{key}", key);
    match column.cast {
        Cast::Same => source,
        Cast::Widening | Cast::ByInsert => load.dialect.cast_to(&source, &column.data_type.name),
    }
}
