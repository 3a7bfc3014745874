//! Looks at a history that another tool has kept, and settles what keeps it from being taken over.

use super::Engine;
use super::described::{DescribedColumn, described_column};
use crate::history::HistoryStore;
use crate::session::{Access, End, Limits, Session, nth};
use ematix_flow_core::adoption::{
    Asked, Finding, Form, Held, Maker, TimeColumn, ends, judged, other_metadata, plan, questions,
};
use ematix_flow_core::declare::options::OpenEnd;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql;
use ematix_flow_core::sql::{Ident, QualifiedName};
use std::time::Duration;

const DOING: &str = "look at the history";

/// How long the statements that settle a history wait for whoever else holds it.
const LIMITS: Limits = Limits { lock: Duration::from_secs(60), idle: Duration::ZERO, statement: None };

/// A history as it was found.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// The table.
    pub name: QualifiedName,
    /// As it lives.
    pub live: LiveTable,
    /// Its columns, their types as a declaration writes them.
    pub columns: Vec<DescribedColumn>,
    /// Which of them say what.
    pub form: Form,
    /// The columns by which its rows are known.
    pub keys: Vec<Ident>,
    /// Where they are from.
    pub keys_reason: &'static str,
    /// The columns that the source fills.
    pub filled: Vec<String>,
    /// What stands in the end of a version that has none.
    pub open_end: OpenEnd,
    /// How many keys have versions, and none that is current.
    pub ended: i64,
    /// What keeps it from being taken over.
    pub findings: Vec<Finding>,
    /// The statements that settle that.
    pub plan: Vec<String>,
}

/// The source whose rows a history has held.
#[derive(Clone, Debug)]
pub struct SourceColumns {
    /// Its columns.
    pub columns: Vec<String>,
    /// Its own key, and where that is from.
    pub keys: Option<(Vec<String>, &'static str)>,
}

impl Adopted {
    fn held(&self) -> Held<'_> {
        Held {
            table: &self.name,
            live: &self.live,
            form: &self.form,
            keys: &self.keys,
            filled: &self.filled,
            open_end: self.open_end,
        }
    }

    /// Whether a column of beginnings or ends has no time zone.
    pub fn is_local(&self) -> bool {
        [&self.form.begin, &self.form.end]
            .iter()
            .any(|column| self.form.time_of(&self.live, column) == TimeColumn::Local)
    }
}

impl Engine {
    /// Looks at a history of a connection. `keys` are those that a person named.
    ///
    /// # Errors
    /// `unknown_table`, `drift` where it has no form of a history, `missing_keys` where its keys are not to be found.
    pub async fn look_at_history(
        &self,
        connection: &str,
        name: &QualifiedName,
        asked: &Asked,
        keys: &[String],
        source: &SourceColumns,
    ) -> Result<Adopted> {
        let session = self.open(connection, "add").await?;
        let found = look(session.as_ref(), name, asked, keys, source).await;
        session.close().await;
        found
    }

    /// Settles what was found in a history, in one transaction, and looks at it again.
    ///
    /// # Errors
    /// What the server says of a statement; nothing is changed then, nor where something is left.
    pub async fn settle(
        &self,
        connection: &str,
        found: &Adopted,
        asked: &Asked,
        keys: &[String],
        source: &SourceColumns,
    ) -> Result<Adopted> {
        let session = self.open(connection, "add").await?;
        let settled = settle(session.as_ref(), found, asked, keys, source).await;
        session.close().await;
        settled
    }
}

async fn settle(
    session: &dyn Session,
    found: &Adopted,
    asked: &Asked,
    keys: &[String],
    source: &SourceColumns,
) -> Result<Adopted> {
    let doing = "settle the history";
    session.begin(Blame::Target, Access::ReadWrite, Some(&LIMITS)).await?;
    let dialect = session.facts().dialect;
    session.write(doing, &dialect.lock_table(&found.name).to_text(dialect)).await?;
    for statement in &found.plan {
        session.write(doing, statement).await?;
    }
    let again = look(session, &found.name, asked, keys, source).await?;
    let end = if again.findings.is_empty() { End::Commit } else { End::RollBack };
    session.end(Blame::Target, doing, end).await?;
    Ok(again)
}

async fn look(
    session: &dyn Session,
    name: &QualifiedName,
    asked: &Asked,
    keys: &[String],
    source: &SourceColumns,
) -> Result<Adopted> {
    if session.facts().name != "postgres" {
        let message =
            format!("{name} is a table of {}; histories are taken over in Postgres", session.facts().name);
        return Err(FlowError::new(ErrorCode::UnsupportedByEngine, message));
    }
    let dialect = session.facts().dialect;
    let live = session.inspector().described(std::slice::from_ref(name)).await?.pop().flatten();
    let live = live.ok_or_else(|| {
        FlowError::new(ErrorCode::UnknownTable, format!("there is no table {name}"))
            .hint("say its schema too, and the connection that has it: --to CONNECTION")
    })?;
    refuse_other_kinds(session, name, &live).await?;
    let form = Form::recognised(name, &live, asked)?;
    let columns = live.columns.iter().cloned().map(|column| described_column(column, &[], dialect)).collect();
    let filled: Vec<String> = source
        .columns
        .iter()
        .filter(|column| live.column(column).is_some_and(|live| !live.generated) && !form.is_own(column))
        .cloned()
        .collect();
    let (keys, keys_reason) = keys_of(name, &live, &form, keys, source, &filled)?;
    let mut found = Adopted {
        name: name.clone(),
        live,
        columns,
        form,
        keys,
        keys_reason,
        filled,
        open_end: OpenEnd::Null,
        ended: 0,
        findings: Vec::new(),
        plan: Vec::new(),
    };
    (found.open_end, found.ended) = open_end_of(session, &found).await?;
    if HistoryStore::on(session).is_of_others().await? {
        found.findings.push(other_metadata());
    }
    for question in questions(&found.held(), dialect) {
        let rows = match &question.sql {
            Some(sql) => {
                nth(&session.ask(Blame::Target, DOING, &sql.to_text(dialect)).await?, 0, DOING)?.rows.clone()
            }
            None => Vec::new(),
        };
        found.findings.extend(judged(question, &rows));
    }
    let statements = plan(&found.held(), &found.findings, dialect);
    found.plan = statements.iter().map(|statement| statement.to_text(dialect)).collect();
    Ok(found)
}

/// What is no table keeps its rows in another one.
async fn refuse_other_kinds(session: &dyn Session, name: &QualifiedName, live: &LiveTable) -> Result<()> {
    if matches!(live.kind, 'r' | 'p') {
        return Ok(());
    }
    let query = sql!("SELECT * FROM {name}", name).to_text(session.facts().dialect);
    let below = session.inspector().tables_of(&query).await?;
    let error = FlowError::new(ErrorCode::Drift, format!("{name} is no table, and has no rows of its own"));
    Err(match below.is_empty() {
        true => error.hint("name the table that keeps the history"),
        false => {
            error.hint(format!("it shows {}: take that over, the view goes on showing it", below.join(", ")))
        }
    })
}

/// The keys: those named, those that the table's own indexes show, else those of the source.
fn keys_of(
    name: &QualifiedName,
    live: &LiveTable,
    form: &Form,
    named: &[String],
    source: &SourceColumns,
    filled: &[String],
) -> Result<(Vec<Ident>, &'static str)> {
    let of_index = || {
        let is_whole = |index: &&ematix_flow_core::schema::LiveIndex| index.is_unique_where(None);
        let rest = |columns: &[String]| -> Vec<String> {
            columns.iter().filter(|column| *column != form.begin.as_str()).cloned().collect()
        };
        let mut with_begin = live.indexes.iter().filter(is_whole).filter(|index| {
            index.columns.len() > 1 && index.columns.iter().any(|column| column == form.begin.as_str())
        });
        let mut of_current = live.indexes.iter().filter(|index| index.is_unique_where(Some(&form.flag)));
        with_begin.next().or_else(|| of_current.next()).map(|index| rest(&index.columns))
    };
    let (keys, reason) = if !named.is_empty() {
        (named.to_vec(), "--keys")
    } else if let Some(columns) = of_index() {
        (columns, "unique index of the history")
    } else if let Some((columns, reason)) = &source.keys {
        (columns.clone(), *reason)
    } else {
        let message = format!("nothing shows by which columns {name} knows its rows");
        return Err(FlowError::new(ErrorCode::MissingKeys, message).hint(
            "name them as the tool did (unique_key of dbt and SQLMesh, merge_key of dlt): --keys COLUMNS",
        ));
    };
    if let Some(unknown) = keys.iter().find(|key| !filled.contains(key)) {
        let message = format!("{name} and its source do not both have the column `{unknown}` ({reason})");
        return Err(FlowError::new(ErrorCode::UnknownColumn, message)
            .detail(format!("both have: {}", filled.join(", ")))
            .hint("name the keys: --keys COLUMNS"));
    }
    Ok((keys.iter().map(Ident::new).collect::<Result<_>>()?, reason))
}

/// How versions without an end say so, and how many keys have none such.
async fn open_end_of(session: &dyn Session, found: &Adopted) -> Result<(OpenEnd, i64)> {
    let dialect = session.facts().dialect;
    let end = &found.form.end;
    let sql = ends(&found.name, &found.form, &found.keys, dialect);
    let answers = session.ask(Blame::Target, DOING, &sql.to_text(dialect)).await?;
    let row = nth(&answers, 0, DOING)?.only_row(3, DOING)?;
    let number = |index: usize| row[index].as_deref().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let nullable = found.live.column(end.as_str()).is_some_and(|column| column.nullable);
    // A column that cannot be NULL leaves no choice; else the form that most keys have.
    let open_end = if !nullable || number(1) > number(0) { OpenEnd::Infinity } else { OpenEnd::Null };
    Ok((open_end, number(2)))
}

impl Adopted {
    /// Whether deletions were closed by whoever kept the history.
    pub fn closes_deleted(&self) -> bool {
        self.ended > 0 || self.form.deleted.is_some() || self.form.maker == Maker::Dlt
    }
}
