//! The words of Postgres for comparing rows of two queries.
//!
//! A digest is taken of the encoding of the row hash, `record_send(ROW(…))`, so that no setting of a session has a part
//! in it, and no hash of a single type: that of bigint folds 64 bits into 32, those of numeric and float have one for
//! several values. What is made of those bytes is quick where both servers agree in it: Postgres hashes bytes by the order
//! in which its processor keeps them (src/common/hashfn.c). Elsewhere it is cut off a SHA-256.

use super::{Postgres, operand};
use crate::dialect::{Differing, Digest};
use crate::hash::Normal;
use crate::sql;
use crate::sql::{Literal, Sql};

impl Differing for Postgres {
    fn formed(&self, own: Normal, form: Normal, value: &Sql) -> Sql {
        Sql::from_dialect(formed(own, form, &operand(value.to_text(self))))
    }

    fn comparable(&self, own: Normal, form: Normal, value: &Sql) -> Sql {
        let value = operand(value.to_text(self));
        Sql::from_dialect(match own == form {
            true => form.compared_sql(&value),
            false => form.compared_sql(&format!("({})", formed(own, form, &value))),
        })
    }

    fn digest(&self, values: &[Sql], digest: Digest) -> Sql {
        let seed = sql!("{seed}::pg_catalog.int2", seed = Literal::Integer(i64::from(digest.seed)));
        let values = Sql::join(std::iter::once(seed).chain(values.iter().cloned()), ", ");
        let sent = sql!("pg_catalog.record_send(ROW({values}))", values);
        match digest.portable {
            false => sql!("pg_catalog.hash_record_extended(ROW({sent}), 1)", sent),
            true => sql!(
                "('x' || pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256({sent}), 1, 8), 'hex'))::pg_catalog.bit(64)::pg_catalog.int8",
                sent
            ),
        }
    }

    fn proof(&self) -> Sql {
        let text = Sql::text("'a text that is longer than one round of the hash'::pg_catalog.text");
        let number = Sql::text("1::pg_catalog.int8");
        sql!("SELECT {digest}", digest = self.digest(&[text, number], Digest { portable: false, seed: 0 }))
    }

    fn settings(&self) -> Sql {
        Sql::text(
            // Two scans that begin at the beginning meet early.
            "SET LOCAL jit = off; SET LOCAL synchronize_seqscans = off; SET LOCAL parallel_setup_cost = 100; SET LOCAL parallel_tuple_cost = 0.001; SET LOCAL min_parallel_table_scan_size = '8MB'; SET LOCAL min_parallel_index_scan_size = '512kB'",
        )
    }

    fn in_order(&self, in_order: bool) -> Sql {
        match in_order {
            true => Sql::text("SET LOCAL max_parallel_workers_per_gather = 0"),
            false => Sql::text("SET LOCAL max_parallel_workers_per_gather TO DEFAULT"),
        }
    }

    fn zone(&self) -> Sql {
        Sql::text("SELECT pg_catalog.current_setting('TimeZone')")
    }

    fn in_zone(&self, zone: &str) -> Sql {
        sql!("SELECT pg_catalog.set_config('TimeZone', {zone}, true)", zone = Literal::Text(zone.to_owned()))
    }
}

fn formed(own: Normal, form: Normal, value: &str) -> String {
    match (own, form) {
        // Each has its own way to its text.
        (Normal::Enum | Normal::BlankPadded | Normal::Json, Normal::Text) => own.sql(value),
        _ => form.sql(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_the_form_that_both_sides_share() {
        let value = Sql::text("t.\"c\"");
        let formed = |own, form| Postgres.formed(own, form, &value).to_text(&Postgres);
        assert_eq!(formed(Normal::Int8, Normal::Int8), "t.\"c\"::pg_catalog.int8");
        assert_eq!(
            formed(Normal::Int8, Normal::Numeric),
            "pg_catalog.trim_scale(t.\"c\"::pg_catalog.numeric)"
        );
        assert_eq!(
            formed(Normal::Enum, Normal::Text),
            "pg_catalog.enum_out(COALESCE(t.\"c\", NULL))::pg_catalog.text"
        );
        let comparable = |own, form| Postgres.comparable(own, form, &value).to_text(&Postgres);
        assert_eq!(comparable(Normal::Int8, Normal::Int8), "t.\"c\"");
        assert_eq!(
            comparable(Normal::Int8, Normal::Numeric),
            "(pg_catalog.trim_scale(t.\"c\"::pg_catalog.numeric))"
        );
        assert_eq!(
            comparable(Normal::Text, Normal::Text),
            "t.\"c\"::pg_catalog.text COLLATE pg_catalog.\"C\""
        );
    }

    #[test]
    fn a_digest_has_its_seed_in_it() {
        let digest = |portable, seed| {
            Postgres.digest(&[Sql::text("t.a")], Digest { portable, seed }).to_text(&Postgres)
        };
        assert_eq!(
            digest(false, 0),
            "pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(ROW(0::pg_catalog.int2, t.a))), 1)"
        );
        assert_ne!(digest(false, 1), digest(false, 0));
        assert!(digest(true, 2).contains("sha256(pg_catalog.record_send(ROW(2::pg_catalog.int2, t.a)))"));
    }
}
