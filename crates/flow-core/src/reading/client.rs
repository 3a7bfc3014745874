//! The comparison in the client: key and row hash of every current version are read into the client's memory,
//! the source's rows are hashed as they pass, and only those that are new or differ reach the target.
//!
//! It is right because the advisory lock of the target is held before the hashes are read, the target's
//! generation is asked again before the first write, each version that it closes has the hash that was read,
//! and every guard is decided after the last row of the source (SEMANTICS of the diff in the client).

use super::{changes, guards, stage};
use crate::declare::options::OnDuplicate;
use crate::dialect::Crossing;
use crate::error::{ErrorCode, Result};
use crate::hash::{CopyColumn, Normal};
use crate::history;
use crate::pipeline::Resolved;
use crate::pipeline::strategy::Versions;
use crate::plan::builder::PlanBuilder;
use crate::plan::{Action, Answer, Compare, GuardFailure, StepKind};
use crate::sql;
use crate::sql::{Ident, Literal, Sql};
use crate::types::{DataType, TypeFacts};

/// How many keys the client keeps: 54 bytes each and four to eight in an index, so about 72 MB.
pub const MAX_KEYS: usize = 1_100_000;

/// The column of the changes that holds the first half of a key's digest, where the row itself is gone.
pub const KEY_DIGEST: &str = "_ematix_key";
/// The column of the changes that holds the hash of the version that was read.
pub const STORED_HASH: &str = "_ematix_stored";
/// How many bytes of a key's digest are kept.
pub const KEY_BYTES: usize = 16;

/// Whether this load can be compared in the client, and why or why not.
pub fn fits(load: &Resolved<'_>) -> std::result::Result<String, String> {
    let Some(versions) = &load.need.versions else {
        return Err(match load.pipeline.strategy.history() {
            Some(_) => "the history keeps no row_hash to compare with".to_owned(),
            None => "only scd2 keeps hashes to compare with".to_owned(),
        });
    };
    let Some(live) = load.facts.target.live.as_ref() else {
        return Err("the table does not exist yet".to_owned());
    };
    if load.pipeline.parallel > 1 {
        return Err("several sessions read the source".to_owned());
    }
    if load.pipeline.incremental.is_some() {
        return Err("incremental_column reads a part of the source only".to_owned());
    }
    if let Some(why) = versions.unfit {
        return Err(why.to_owned());
    }
    if load.pipeline.on_duplicate == OnDuplicate::Latest {
        return Err("on_duplicate = \"latest\" ranks the rows of a key".to_owned());
    }
    if load.prepared.counts() {
        return Err("what deduplicate_by drops is counted in the stage".to_owned());
    }
    if load.readings().next().is_some() {
        return Err("values that markers cannot read are counted in the stage".to_owned());
    }
    if !load.pipeline.expectations.is_empty() {
        return Err("expectations are asked of rows in the stage".to_owned());
    }
    if load.need.in_full {
        return Err("the stored hashes are not of these compare columns".to_owned());
    }
    if !load.ends.target.can.addresses {
        return Err("the client cannot name a row of the target".to_owned());
    }
    if live.spread {
        return Err("the target's rows lie in several tables".to_owned());
    }
    if load.facts.client_diff_given_up.is_some() {
        return Err(load.facts.client_diff_given_up.clone().unwrap_or_default());
    }
    let crossings = stage::crossings(load).map_err(|error| error.message)?;
    if crossings.iter().any(|crossing| !stage::arrives_typed(crossing)) {
        return Err("an INSERT casts a column".to_owned());
    }
    if let Some(key) = load.keys.iter().find(|key| !equal_as_bytes(load.type_of(key))) {
        return Err(format!(
            "the key {key} of type {} may be equal in different bytes",
            load.type_of(key).name
        ));
    }
    let current = live.estimated_current(&load.keys).unwrap_or(0.0);
    if current > MAX_KEYS as f64 {
        return Err(format!(
            "about {current:.0} current versions are more than {MAX_KEYS} that the client keeps"
        ));
    }
    Ok("the hashes of the current versions fit into the client".to_owned())
}

/// Whether two values of a type are equal exactly when their normal forms are.
fn equal_as_bytes(data_type: &TypeFacts) -> bool {
    match data_type.normal {
        Some(Normal::Text | Normal::BlankPadded) => data_type.deterministic,
        Some(Normal::Int8 | Normal::Bool | Normal::Float8 | Normal::Numeric | Normal::Enum) => true,
        Some(Normal::AsSent(sent)) => sent.compared_by.is_none(),
        Some(Normal::Json | Normal::Array { .. } | Normal::Opaque) | None => false,
    }
}

/// The versions that are compared with.
fn versions<'l>(load: &'l Resolved<'_>) -> &'l Versions {
    load.need.versions.as_ref().expect("only what keeps hashes is compared in the client")
}

/// Fills the table of changes, and asks the guards that need no target.
pub fn steps(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) -> Result<()> {
    let versions = versions(load);
    let table = load.changes();
    builder.leftovers.push(table.clone());
    let mut columns: Vec<(Ident, Sql)> = load
        .columns
        .iter()
        .map(|column| (column.name.clone(), Sql::from_dialect(column.data_type.name.clone())))
        .collect();
    let own = |name, data_type: String| (Ident::fixed(name), Sql::from_dialect(data_type));
    let bytes = || load.type_name(&DataType::Bytes);
    columns.extend([
        own(changes::CHANGE, load.type_name(&DataType::Text)),
        own(changes::ADDRESS, load.dialect.row_address_type(false).to_owned()),
        own(KEY_DIGEST, bytes()),
        own(STORED_HASH, bytes()),
        own(stage::HASH, bytes()),
    ]);
    let names: Vec<Ident> = columns.iter().map(|(name, _)| name.clone()).collect();
    let create = load.dialect.create_stage(&table, columns);
    builder.step(StepKind::Diff, format!("a table for the changes: {table}"), create, Answer::Ignore);

    let keys = load.keys_of("t");
    let known = sql!(
        "SELECT {keys}, t.{hash}, {address}\n  FROM {target} AS t\n WHERE t.{flag}",
        keys,
        hash = versions.hash,
        address = load.row_address(),
        target = load.table.name,
        flag = versions.current
    );
    let values: Vec<(Ident, Sql)> = load
        .columns
        .iter()
        .zip(stage::crossings(load)?)
        .map(|(column, crossing)| {
            let source = sql!("q.{name}", name = column.name);
            match crossing {
                Crossing::CastAtSource(data_type) => {
                    (column.name.clone(), load.dialect.cast_to(&source, &data_type))
                }
                _ => (column.name.clone(), source),
            }
        })
        .collect();
    let read = stage::select(load, values.iter().map(|(name, value)| (name, value)), &Sql::empty());
    let key = stage::hashed_fields(load, &load.keys);
    let known_key =
        key.iter().enumerate().map(|(field, column)| CopyColumn { field, ..column.clone() }).collect();
    let render = |sql: Sql| sql.render(load.dialect);
    let from = load.ends.source.dialect;
    let compared: Vec<&str> = load.compared.iter().map(Ident::as_str).collect();
    builder.transfer(
        StepKind::Diff,
        format!("compare the rows with the current versions by key and row hash ({})", compared.join(", ")),
        Action::Compare(Compare {
            known: render(load.dialect.copy_out(&known)),
            read: from.copy_out(&read).render(from),
            write: render(load.dialect.copy_in(&table, &names)),
            into: table.clone(),
            fields: load.columns.len(),
            known_key,
            key,
            compared: stage::hashed_fields(load, &load.compared),
            gone: versions.gone,
        }),
    );
    guards::empty_source(load, builder);
    guards::no_null_keys(load, builder);
    // The first row of a key is no repetition, and was not written as one.
    let count = load.dialect.function("count");
    let groups = sql!(
        "SELECT {keys}, {count}(*) + 1 AS {rows}\n          FROM {table} AS c\n         WHERE {repeated}\n         GROUP BY {keys}",
        keys = load.keys,
        count,
        rows = Ident::fixed(guards::ROWS),
        table,
        repeated = changes::of_kind(&["repeated"])
    );
    guards::no_repeated_keys(load, groups, builder);
    Ok(())
}

/// Under the lock of the table: nobody has written it by our own ways since the hashes were read.
pub fn same_generation(load: &Resolved<'_>, builder: &mut PlanBuilder<'_>) {
    let generation = load.facts.target.record.as_ref().map_or(0, |record| record.generation);
    builder.step(
        StepKind::Guard,
        "no other run has written the table since it was read   expects no rows",
        history::same_generation(&load.pipeline.target_key(), generation),
        Answer::NoRows(GuardFailure {
            code: ErrorCode::TargetFailed,
            message: format!("another run wrote {} while this one compared", load.table.name),
            one: format!("another run wrote {} while this one compared", load.table.name),
            sample: Vec::new(),
            hint: "nothing stands of this run: run it again".to_owned(),
        }),
    );
}

/// Whether the live row `t` of a change `c` is the version that was read: outside writers know no lock of ours.
pub fn is_as_read(load: &Resolved<'_>) -> Sql {
    let versions = versions(load);
    let digest = load.digest_of(&load.keys, |key| sql!("t.{key}", key));
    sql!(
        "t.{flag}\n   AND t.{hash} = c.{stored}\n   AND CASE WHEN {gone}\n            THEN {substring}({digest}, 1, {bytes}) = c.{key}\n            ELSE {same}\n       END",
        flag = versions.current,
        hash = versions.hash,
        stored = Ident::fixed(STORED_HASH),
        gone = changes::of_kind(&["gone"]),
        substring = load.dialect.function("substring"),
        digest,
        bytes = Literal::Integer(KEY_BYTES as i64),
        key = Ident::fixed(KEY_DIGEST),
        same = load.keys_equal("t", |key| sql!("c.{key}", key))
    )
}
