//! Asks a server how it stands.

use super::error::statement_error;
use super::session::PostgresSession;
use crate::session::{Condition, nth, unreadable};
use ematix_flow_core::error::Result;
use ematix_flow_core::plan::Blame;

const DOING: &str = "ask how the server stands";

const QUESTION: &str = "SELECT pg_catalog.pg_backend_pid(),
       (SELECT s.version || ', ' || s.cipher FROM pg_catalog.pg_stat_ssl AS s
         WHERE s.pid = pg_catalog.pg_backend_pid() AND s.ssl),
       pg_catalog.pg_is_in_recovery(),
       pg_catalog.current_setting('default_transaction_read_only') = 'on',
       CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') THEN pg_catalog.pg_database_size(d.oid) END,
       pg_catalog.age(d.datfrozenxid),
       pg_catalog.current_setting('autovacuum_freeze_max_age'),
       pg_catalog.pg_encoding_to_char(d.encoding),
       pg_catalog.current_setting('TimeZone')
  FROM pg_catalog.pg_database AS d
 WHERE d.datname = pg_catalog.current_database()";

/// Asks as the user who has logged in: a session's own row is this one's.
pub(super) async fn ask(session: &PostgresSession) -> Result<Condition> {
    let answers = session.run_as_user(QUESTION).await;
    let answers = answers.map_err(|error| statement_error(&error, Blame::Target, DOING))?;
    let row = nth(&answers, 0, DOING)?.only_row(9, DOING)?;
    let text = |index: usize| row[index].clone().ok_or_else(|| unreadable(DOING, "a NULL"));
    let number =
        |index: usize| text(index)?.parse().map_err(|_| unreadable(DOING, "a text that is no number"));
    Ok(Condition {
        process: text(0)?,
        tls: row[1].clone(),
        standby: text(2)? == "t",
        read_only: text(3)? == "t",
        bytes: row[4].as_ref().and_then(|bytes| bytes.parse().ok()),
        age: number(5)?,
        freeze_max_age: number(6)?,
        encoding: text(7)?,
        time_zone: text(8)?,
    })
}
