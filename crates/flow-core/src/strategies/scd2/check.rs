//! What must be true of every history.

use super::Scd2;
use crate::declare::options::OpenEnd;
use crate::dialect::{ColumnValue, Dialect};
use crate::pipeline::strategy::Invariant;
use crate::sql;
use crate::sql::{Ident, QualifiedName};
use crate::strategies::{NEXT, broken, broken_beside_next, key_invariants, once_per_key};

/// The invariants, and the queries that give the keys which break them.
pub fn invariants(
    scd2: &Scd2,
    dialect: &dyn Dialect,
    target: &QualifiedName,
    keys: &[Ident],
) -> Vec<Invariant> {
    if keys.is_empty() {
        return Vec::new();
    }
    let Scd2 { effective_from: from, effective_to: to, current_flag: flag, hash_column: hash, .. } = scd2;
    let open = match scd2.open_end {
        OpenEnd::Null => sql!("t.{to} IS NULL", to),
        OpenEnd::Infinity => sql!("t.{to} = {end}", to, end = dialect.end_of_time()),
    };
    let broken = |name, detail, condition| broken(dialect, target, keys, name, detail, condition);
    let mut all = key_invariants(dialect, target, keys);
    all.extend(once_per_key(
        dialect,
        target,
        keys,
        "one_current_version",
        "the key has several current versions",
        Some(sql!("t.{flag}", flag)),
    ));
    all.push(broken(
        "current_is_open",
        "a version is current and closed, or neither",
        sql!("t.{flag} IS DISTINCT FROM ({open})", flag, open),
    ));
    all.push(broken(
        "begins_before_it_ends",
        "a version ends before it begins, or when it begins",
        sql!("t.{from} >= t.{to} OR t.{from} IS NULL", from, to),
    ));
    let next = Ident::fixed(NEXT);
    all.push(broken_beside_next(
        dialect,
        target,
        keys,
        from,
        ("no_overlap", "two versions are valid at the same time"),
        sql!("t.{next} IS NOT NULL AND (t.{to} IS NULL OR t.{to} > t.{next})", next, to),
    ));
    if scd2.keeps_hash(None, dialect) {
        all.push(broken("has_a_hash", "a version has no row hash", sql!("t.{hash} IS NULL", hash)));
    }
    all
}

/// The hash of a current version is that of its values, unless somebody has changed them by hand.
pub fn hash_invariant(
    scd2: &Scd2,
    dialect: &dyn Dialect,
    target: &QualifiedName,
    keys: &[Ident],
    hashed: &[ColumnValue<'_>],
) -> Invariant {
    let condition = sql!(
        "t.{flag} AND t.{hash} IS DISTINCT FROM {digest}",
        flag = scd2.current_flag,
        hash = scd2.hash_column,
        digest = dialect.row_digest(hashed)
    );
    let detail = "the row hash of the current version is not that of its values: it was changed by hand";
    broken(dialect, target, keys, "hash_is_of_the_row", detail, condition)
}
