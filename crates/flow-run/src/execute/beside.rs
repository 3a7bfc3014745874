//! The table of rejected rows beside a target, as a run finds it.

use crate::session::{Privilege, Session, nth};
use ematix_flow_core::error::Result;
use ematix_flow_core::plan::Blame;
use ematix_flow_core::schema::LiveTable;
use ematix_flow_core::sql;
use ematix_flow_core::sql::QualifiedName;

const DOING: &str = "look for rejected rows";

/// What a run that puts rows aside needs of it.
pub fn privileges(name: QualifiedName, schema_exists: bool, live: Option<&LiveTable>) -> Vec<Privilege> {
    match live {
        Some(live) if live.ours => {
            ["SELECT", "INSERT", "DELETE"].map(|word| Privilege::Table(word, name.clone())).into()
        }
        None if schema_exists => vec![Privilege::Schema("CREATE", name.schema.to_string())],
        // It is refused, or its schema is made first.
        Some(_) | None => Vec::new(),
    }
}

/// The table of that name, which is ours by its record, where a pipeline that puts nothing aside finds rows in it that
/// may come good, and may take them away.
///
/// # Errors
/// What the server says.
pub async fn that_may_come_good(session: &dyn Session, name: &QualifiedName) -> Result<Option<LiveTable>> {
    let table = session.inspector().table(name);
    let answers = session.ask(Blame::Target, DOING, &table.sql).await?;
    let (_, live) = table.read(nth(&answers, 0, DOING)?, DOING)?;
    let Some(live) = live.filter(|live| live.kind == 'r').map(|live| LiveTable { ours: true, ..live }) else {
        return Ok(None);
    };
    let needed = ["SELECT", "DELETE"].map(|word| Privilege::Table(word, name.clone()));
    let missing = session.inspector().missing_privileges(&needed);
    let answers = session.ask(Blame::Target, DOING, &missing.sql).await?;
    if !missing.read(nth(&answers, 0, DOING)?, DOING)?.is_empty() {
        return Ok(None);
    }
    let question = sql!("SELECT 1 FROM {name} AS e LIMIT 1", name).to_text(session.facts().dialect);
    let answers = session.ask(Blame::Target, DOING, &question).await?;
    Ok((!nth(&answers, 0, DOING)?.rows.is_empty()).then_some(live))
}
