//! Who wrote what a server refuses: the SQL of several options is sent as one statement, and the server does not say
//! whose it does not take. Each is asked by itself then; the run has failed already.

use super::gather::asking_types;
use crate::session::{Access, End, Limits, ResultSet, Session};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::facts::SourceFacts;
use ematix_flow_core::pipeline::{Pipeline, authors};
use ematix_flow_core::plan::{Answer, Asked, Blame, Step};
use ematix_flow_core::run_value::Values;
use std::time::Duration;

/// How long each is looked at: it may read all rows once more.
const PATIENCE: Limits = Limits {
    lock: Duration::from_secs(1),
    idle: Duration::from_secs(60),
    statement: Some(Duration::from_secs(10)),
};

/// Sends the statement of a step; where it asks several expectations, tells which of them cannot be asked.
///
/// # Errors
/// What the server says.
pub async fn ask(session: &dyn Session, step: &Step, sql: &str, values: &Values) -> Result<Vec<ResultSet>> {
    let Answer::Suspects(expectations) = &step.answer else {
        let answers = session.ask(step.blame, &step.doing(), sql).await;
        return match &step.answer {
            Answer::Expectation(expected) => answers.map_err(|error| match &expected.place {
                Some(place) => error.at(place.clone()),
                None => error,
            }),
            _ => answers,
        };
    };
    let can_go_back = session.savepoint("ask what is expected").await.is_ok();
    match session.ask(step.blame, &step.doing(), sql).await {
        Err(error) if can_go_back && is_of_sql(&error) => {
            Err(of_expectations(session, expectations, values, error).await)
        }
        answers => answers,
    }
}

async fn of_expectations(
    session: &dyn Session,
    expectations: &[Asked],
    values: &Values,
    error: FlowError,
) -> FlowError {
    for Asked { text, place, alone } in expectations {
        if session.end(Blame::Target, "go back", End::ToSavepoint).await.is_err() {
            break;
        }
        let sql = alone.fill(values, session.facts().dialect);
        let Err(said) = session.ask(Blame::Option, "ask what is expected", &sql).await else { continue };
        if said.sqlstate != error.sqlstate {
            continue;
        }
        // Rows that it cannot be asked of do not meet it.
        let code = match said.code {
            ErrorCode::CastFailed | ErrorCode::SourceFailed => ErrorCode::ExpectationFailed,
            code => code,
        };
        let told =
            FlowError { code, message: format!("the server cannot ask {text}: {}", said.message), ..said };
        let told = match told.hint {
            Some(_) => told,
            None => told.hint("mend this expectation: it is asked of the rows as the target will have them"),
        };
        return match place {
            Some(place) => told.at(place.clone()),
            None => told,
        };
    }
    error
}

/// Tells which marker or helper of a pipeline it is whose SQL the server refuses; the transaction is given up.
pub async fn of_layers(
    session: &dyn Session,
    pipeline: &Pipeline,
    source: &SourceFacts,
    error: FlowError,
) -> FlowError {
    if !is_of_sql(&error) {
        return error;
    }
    let dialect = session.facts().dialect;
    for author in authors::of_layers(pipeline, source, dialect) {
        let Ok(sql) = asking_types(&author.alone, dialect) else { continue };
        let doing = "look for what the server refuses";
        let _ = session.end(Blame::Source, doing, End::RollBack).await;
        if session.begin(Blame::Source, Access::ReadOnly, Some(&PATIENCE)).await.is_err() {
            break;
        }
        let Err(said) = session.ask(Blame::Option, doing, &sql).await else { continue };
        if said.code == ErrorCode::Timeout {
            break;
        }
        if said.sqlstate == error.sqlstate {
            let told = FlowError { message: format!("{}: {}", author.what, said.message), ..said };
            let told = match told.hint {
                Some(_) => told,
                None => {
                    told.hint("mend it there: it is computed for every row that the source's query gives")
                }
            };
            return match author.place {
                Some(place) => told.at(place),
                None => told,
            };
        }
    }
    error
}

/// Whether the server speaks of what a statement says or of values, and not of itself.
fn is_of_sql(error: &FlowError) -> bool {
    let state = error.sqlstate.as_deref().unwrap_or_default();
    ["21", "22", "42", "0A"].iter().any(|class| state.starts_with(class))
}
