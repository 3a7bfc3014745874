//! The table of changes: rows that are new or differ, with the address of the live row they touch, and the
//! live rows whose key left the source. A diff in the target fills it, or the client while the rows pass.

use crate::sql;
use crate::sql::{Ident, Literal, Sql};

/// The column that holds the address of the live row.
pub const ADDRESS: &str = "_ematix_address";
/// The column that says what kind of change a row is.
pub const CHANGE: &str = "_ematix_change";

/// The condition that picks rows of the changes `c` of some kinds.
pub fn of_kind(kinds: &[&'static str]) -> Sql {
    let change = Ident::fixed(CHANGE);
    let literal = |kind: &&'static str| sql!("{kind}", kind = Literal::Text((*kind).to_owned()));
    match kinds {
        [kind] => sql!("c.{change} = {kind}", change, kind = literal(kind)),
        kinds => {
            sql!("c.{change} IN ({kinds})", change, kinds = Sql::join(kinds.iter().map(literal), ", "))
        }
    }
}
