//! libpq's `target_session_attrs`: which of several servers will do.

use super::session::PostgresSession;
use crate::session::{ResultSet, Session};
use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::Connection;

/// What a session must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionAttributes {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// What a server says of itself when a session begins; nothing behind some poolers.
pub(super) struct Reported {
    pub in_hot_standby: Option<bool>,
    pub read_only: Option<bool>,
}

impl Reported {
    pub fn by<S, T>(connection: &Connection<S, T>) -> Reported
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let is = |name| connection.parameter(name).map(|value| value == "on");
        Reported { in_hot_standby: is("in_hot_standby"), read_only: is("default_transaction_read_only") }
    }
}

impl SessionAttributes {
    pub fn parse(target: &ConnectionTarget, word: Option<&str>) -> Result<SessionAttributes> {
        Ok(match word.unwrap_or("any") {
            "any" => SessionAttributes::Any,
            "read-write" => SessionAttributes::ReadWrite,
            "read-only" => SessionAttributes::ReadOnly,
            "primary" => SessionAttributes::Primary,
            "standby" => SessionAttributes::Standby,
            "prefer-standby" => SessionAttributes::PreferStandby,
            _ => {
                let words = format!("{target}: target_session_attrs is not a word of libpq");
                return Err(FlowError::new(ErrorCode::InvalidValue, words)
                    .hint("it is any, read-write, read-only, primary, standby or prefer-standby"));
            }
        })
    }

    /// What is asked in each round over the hosts.
    pub fn rounds(self) -> &'static [SessionAttributes] {
        match self {
            SessionAttributes::Any => &[SessionAttributes::Any],
            SessionAttributes::ReadWrite => &[SessionAttributes::ReadWrite],
            SessionAttributes::ReadOnly => &[SessionAttributes::ReadOnly],
            SessionAttributes::Primary => &[SessionAttributes::Primary],
            SessionAttributes::Standby => &[SessionAttributes::Standby],
            SessionAttributes::PreferStandby => &[SessionAttributes::Standby, SessionAttributes::Any],
        }
    }

    /// What a session is that will not do; None where it will.
    ///
    /// # Errors
    /// Where the server must be asked and does not answer.
    pub async fn unfit(self, session: &PostgresSession, reported: &Reported) -> Result<Option<&'static str>> {
        let wants_standby = match self {
            SessionAttributes::Any | SessionAttributes::PreferStandby => return Ok(None),
            SessionAttributes::ReadWrite | SessionAttributes::ReadOnly => None,
            SessionAttributes::Primary => Some(false),
            SessionAttributes::Standby => Some(true),
        };
        if let Some(wanted) = wants_standby {
            let standby = match reported.in_hot_standby {
                Some(standby) => standby,
                None => is(session, "SELECT pg_catalog.pg_is_in_recovery()").await?,
            };
            return Ok(match (standby, wanted) {
                (true, false) => Some("the server is a standby"),
                (false, true) => Some("the server is no standby"),
                _ => None,
            });
        }
        let read_only = match (reported.in_hot_standby, reported.read_only) {
            (Some(standby), Some(read_only)) => standby || read_only,
            _ => is(session, "SHOW transaction_read_only").await?,
        };
        Ok(match (read_only, self) {
            (true, SessionAttributes::ReadWrite) => Some("the session is read-only"),
            (false, SessionAttributes::ReadOnly) => Some("the session is not read-only"),
            _ => None,
        })
    }
}

async fn is(session: &PostgresSession, question: &str) -> Result<bool> {
    let answers = session.ask(Blame::Target, "ask which kind of server it is", question).await?;
    Ok(matches!(answers.first().and_then(ResultSet::value), Some("t" | "on")))
}
