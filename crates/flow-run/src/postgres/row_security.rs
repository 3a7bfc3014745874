//! Row-level security that would hide rows: the server is asked to refuse rather than to leave out (`row_security`,
//! <https://www.postgresql.org/docs/18/runtime-config-client.html#GUC-ROW-SECURITY>), as pg_dump does. A row that a
//! policy hides would count as deleted from the source, or as new in the target.

use super::inspect::text;
use super::session::PostgresSession;
use crate::session::{Question, ResultSet, Session as _, unreadable};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use indexmap::IndexMap;
use tokio_postgres::error::DbError;

/// The setting by which a connection says that the rows its role sees are those that are meant.
const SETTING: &str = "row_security";

/// Whether what a connection pins says so.
pub(super) fn is_accepted(settings: &IndexMap<String, String>) -> bool {
    settings.keys().any(|name| name.eq_ignore_ascii_case(SETTING))
}

/// Whether the server refuses to leave rows out.
pub(super) fn refuses(error: &DbError) -> bool {
    // Its messages may be in any language; the names of its functions are not.
    error.code().code() == "42501" && error.routine() == Some("check_enable_rls")
}

/// The error of such a refusal; its message names the table, in quotes.
pub(super) fn of_statement(error: &DbError) -> FlowError {
    let table = error.message().split('"').nth(1);
    hides(
        table
            .map_or_else(|| error.message().to_owned(), |table| format!("rows of the table \"{table}\""))
            .as_str(),
    )
    .sqlstate(error.code().code())
}

fn hides(what: &str) -> FlowError {
    FlowError::new(ErrorCode::HiddenRows, format!("row-level security would hide {what} from the role"))
        .detail("a row that a policy hides would count as deleted from the source, or as new in the target")
}

/// The question whether a policy would hide rows of a table, by its name in SQL.
pub(super) fn question(table: &str) -> Question<Option<FlowError>> {
    let table = text(table);
    let sql = format!(
        "SELECT pg_catalog.quote_ident(current_user), {table}
 WHERE pg_catalog.current_setting('{SETTING}') = 'off' AND pg_catalog.row_security_active({table})"
    );
    Question::new(sql, |answer, doing| match answer.rows.as_slice() {
        [] => Ok(None),
        _ => match answer.only_row(2, doing)? {
            [Some(role), Some(table)] => Ok(Some(named(hides(&format!("rows of the table {table}")), role))),
            _ => Err(unreadable(doing, "a table without a name")),
        },
    })
}

/// Asks which functions set `row_security` for themselves, whatever a transaction says, by their names: as a call is
/// written, and alone.
pub(super) fn setters_question() -> String {
    format!(
        "SELECT p.oid::pg_catalog.regproc::pg_catalog.text, p.proname
  FROM pg_catalog.pg_proc AS p CROSS JOIN LATERAL pg_catalog.unnest(p.proconfig) AS c(setting)
 WHERE c.setting LIKE '{SETTING}=%' AND c.setting NOT IN ('{SETTING}=off', '{SETTING}=false', '{SETTING}=no', '{SETTING}=0')
 ORDER BY 1"
    )
}

/// The error for a query that calls one of the functions that answer [`setters_question`]: its plan names each function
/// that is called, but for those that the bodies of others call.
///
/// # Errors
/// `hidden_rows`, and what the server says of the query.
pub(super) async fn refuse_setters(
    session: &PostgresSession,
    setters: &ResultSet,
    query: &str,
) -> Result<()> {
    if setters.rows.is_empty() {
        return Ok(());
    }
    let doing = "look at what the query calls";
    let explain = format!("EXPLAIN (VERBOSE, COSTS off) SELECT * FROM (\n{query}\n) AS q");
    let answers = session.ask(Blame::Source, doing, &explain).await?;
    let plan: Vec<&str> =
        answers.iter().flat_map(|set| &set.rows).filter_map(|row| row.first()?.as_deref()).collect();
    let plan = plan.join("\n");
    let called = setters.rows.iter().find_map(|row| match row.as_slice() {
        [Some(shown), Some(name)] if calls(&plan, name) => Some(shown),
        _ => None,
    });
    match called {
        None => Ok(()),
        Some(function) => Err(FlowError::new(
            ErrorCode::HiddenRows,
            format!("the query calls {function}, which sets {SETTING} itself and may leave rows out"),
        )
        .context("function", function.as_str())
        .hint(format!(
            "ALTER FUNCTION {function} RESET {SETTING}, if it may see every row; \
             if what it shows is all that is meant: session = {{ {SETTING} = \"on\" }} on the connection"
        ))),
    }
}

/// Whether the text of a plan has a call of that name.
fn calls(plan: &str, name: &str) -> bool {
    let quoted = format!("\"{}\"(", name.replace('"', "\"\""));
    let plain = format!("{name}(");
    let begins = |at: usize| !plan[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'));
    plan.contains(&quoted) || plan.match_indices(&plain).any(|(at, _)| begins(at))
}

/// Completes an error with the role. Ends the transaction that is open.
pub(super) async fn complete(error: FlowError, session: &PostgresSession) -> FlowError {
    if error.hint.is_some() {
        return error;
    }
    let question = "ROLLBACK;\nSELECT pg_catalog.quote_ident(current_user)";
    let answers = session.ask(Blame::Target, "ask for the role", question).await;
    match answers.as_ref().ok().and_then(|answers| answers.get(1)).and_then(ResultSet::value) {
        Some(role) => named(error, role),
        None => error,
    }
}

fn named(error: FlowError, role: &str) -> FlowError {
    let message = match error.message.strip_suffix("the role") {
        Some(start) => format!("{start}the role {role}"),
        None => error.message.clone(),
    };
    FlowError { message, ..error }.context("role", role).hint(format!(
        "let the role see every row: ALTER ROLE {role} BYPASSRLS, or role = \"…\" on the connection for one that does; \
         if what it sees is all that is meant: session = {{ {SETTING} = \"on\" }} on the connection"
    ))
}
