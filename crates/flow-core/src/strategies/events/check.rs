//! What must be true of every history by event time.

use super::Events;
use crate::dialect::{ColumnValue, Dialect};
use crate::pipeline::strategy::Invariant;
use crate::sql;
use crate::sql::{Ident, QualifiedName};
use crate::strategies::{NEXT, broken, broken_beside_next, key_invariants, once_per_key};

/// The invariants, and the queries that give the keys which break them.
pub fn invariants(
    events: &Events,
    dialect: &dyn Dialect,
    target: &QualifiedName,
    keys: &[Ident],
) -> Vec<Invariant> {
    if keys.is_empty() {
        return Vec::new();
    }
    let Events { begin, end, current, hash, .. } = events;
    let next = Ident::fixed(NEXT);
    let broken = |name, detail, condition| broken(dialect, target, keys, name, detail, condition);
    let among_neighbours =
        |name, detail, condition| broken_beside_next(dialect, target, keys, begin, (name, detail), condition);
    let mut all = key_invariants(dialect, target, keys);
    all.extend(once_per_key(
        dialect,
        target,
        keys,
        "one_current_version",
        "the key has several newest events",
        Some(sql!("t.{current}", current)),
    ));
    all.push(among_neighbours(
        "current_is_newest",
        "an event is marked as the newest of its key and is not, or is it and is not marked",
        sql!("t.{current} IS DISTINCT FROM (t.{next} IS NULL)", current, next),
    ));
    all.push(broken(
        "begins_before_it_ends",
        "an event ends before it begins, or when it begins",
        sql!("t.{begin} >= t.{end} OR t.{begin} IS NULL", begin, end),
    ));
    let expiry = events.ends(dialect, &sql!("t.{begin}", begin), &sql!("t.{next}", next));
    all.push(among_neighbours(
        "ends_at_the_next",
        "an event ends elsewhere than where the next of its key begins, or its ttl runs out",
        sql!("t.{end} IS DISTINCT FROM {expiry}", end, expiry),
    ));
    all.push(broken("has_a_hash", "an event has no row hash", sql!("t.{hash} IS NULL", hash)));
    all
}

/// The hash of an event is that of its values, unless somebody has changed them by hand.
pub fn hash_invariant(
    events: &Events,
    dialect: &dyn Dialect,
    target: &QualifiedName,
    keys: &[Ident],
    hashed: &[ColumnValue<'_>],
) -> Invariant {
    let condition =
        sql!("t.{hash} IS DISTINCT FROM {digest}", hash = events.hash, digest = dialect.row_digest(hashed));
    let detail = "the row hash of an event is not that of its values: it was changed by hand";
    broken(dialect, target, keys, "hash_is_of_the_row", detail, condition)
}
