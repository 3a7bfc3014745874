//! The row hash: SHA-256 over the canonical encoding "EMX1" of the compared columns, once as SQL and
//! once in Rust over binary COPY fields. Both give the same 32 bytes under any session setting.
//! Pure: neither side knows a connection.
//!
//! ```text
//! row_hash = sha256(E)
//! E        = int32be(n) || F(c1) || … || F(cn)      the columns, sorted by name (UTF-8 bytes)
//! F(NULL)  = int32be(oid) || int32be(-1)
//! F(v)     = int32be(oid) || int32be(len(b)) || b   b = the binary form of the normal form of v
//! ```
//!
//! Count, type and length frame every value, so no two different rows share an encoding. No output
//! function is called, so TimeZone, DateStyle, IntervalStyle, extra_float_digits, bytea_output and
//! lc_monetary have no effect; client_encoding must be UTF8, which the driver sets.
//!
//! [`normal`] says under which form a column of a type is hashed, [`digest_sql`] writes that in SQL,
//! [`canonical`] computes it from COPY fields. `tests/golden/row_hash.json` holds both to the same answers.

pub mod canonical;
pub mod digest_sql;
pub mod hmac;
pub mod normal;

pub use canonical::{CopyColumn, RowHasher};
pub use digest_sql::{SqlColumn, row_digest_sql};
pub use normal::{Normal, SentType, TYPE_FACTS_SQL, TypeFacts};

/// The version of the encoding, stored with every target that has hashes.
pub const ENCODING_VERSION: i32 = 1;
