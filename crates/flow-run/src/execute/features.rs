//! What stands beside the table of a feature view, for the load that fills it; and how old what is served of it is.

use super::Engine;
use crate::history::{HistoryStore, versions_of};
use crate::session::{Session, nth};
use ematix_flow_core::declare::OnlineKind;
use ematix_flow_core::error::Result;
use ematix_flow_core::facts::FeatureFacts;
use ematix_flow_core::features::refresh_of;
use ematix_flow_core::history::{FEATURE_VIEWS, SCHEMA};
use ematix_flow_core::pipeline::{DEFAULT_CONNECTION, FeatureView, ONLINE};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::{FeatureFreshness, Served};
use ematix_flow_core::sql::{Ident, QualifiedName};

/// Asks for the view, what is served, and the entries of the view's versions. Whoever is to make the view is alone with
/// it: the load of another version may be about to do the same.
///
/// # Errors
/// What the server says.
pub(super) async fn beside(
    session: &dyn Session,
    view: &FeatureView,
    table: &QualifiedName,
) -> Result<FeatureFacts> {
    let found = look(session, view, table).await?;
    let is_shown = found.versions.iter().any(|version| version.version == view.version && version.is_shown);
    let is_made = found.view.is_none() || (view.is_last && !is_shown);
    let Some(hold) = session.inspector().hold(&view.name).filter(|_| is_made) else { return Ok(found) };
    session.ask(Blame::Target, "wait for whoever makes the feature view", &hold).await?;
    look(session, view, table).await
}

async fn look(session: &dyn Session, view: &FeatureView, table: &QualifiedName) -> Result<FeatureFacts> {
    let doing = "look at the feature view";
    // Metadata of an older version have no entries yet.
    let entries = QualifiedName { schema: Ident::fixed(SCHEMA), name: Ident::fixed(FEATURE_VIEWS) };
    let kinds = session.inspector().kinds(&[view.name.clone(), view.online_relation(table), entries]);
    let answers = session.ask(Blame::Target, doing, &kinds.sql).await?;
    let mut found = kinds.read(nth(&answers, 0, doing)?, doing)?.into_iter();
    let (shown, online) = (found.next().flatten(), found.next().flatten());
    let versions = match found.next().flatten() {
        Some(_) => {
            let question = versions_of(session.facts().dialect, &view.name.to_string());
            let answers = session.ask(Blame::Target, doing, &question.sql).await?;
            question.read(nth(&answers, 0, doing)?, doing)?
        }
        None => Vec::new(),
    };
    session.tidy().await?;
    Ok(FeatureFacts { view: shown, online, versions })
}

impl Engine {
    /// How old what is served of a feature view is, by its key; `None` for a key that no view has.
    ///
    /// # Errors
    /// As connecting; what the metadata say.
    pub async fn feature_freshness(&self, key: &str) -> Result<Option<FeatureFreshness>> {
        let Some((table, view)) =
            self.project.features().find_map(|(known, table, view)| (known == key).then_some((table, view)))
        else {
            return Ok(None);
        };
        let schema = table.schema.as_deref().unwrap_or("public");
        let name = |name: &str| -> Result<QualifiedName> {
            Ok(QualifiedName { schema: Ident::new(schema)?, name: Ident::new(name)? })
        };
        let (target, online) = (name(&view.table())?, name(&format!("{}{ONLINE}", view.table()))?);
        let served_from = if view.online.kind().is_some() { &online } else { &target };
        let empty = FeatureFreshness {
            name: key.to_owned(),
            view: name(&view.view)?.to_string(),
            version: view.feature_version.clone(),
            served_from: served_from.to_string(),
            freshness_ms: view.freshness.as_ref().map(|length| length.milliseconds()),
            ..FeatureFreshness::default()
        };
        let at = self.project.fillers_of(key).first().and_then(|(_, connection)| *connection);
        let Some(session) = self.metadata_session(at.unwrap_or(DEFAULT_CONNECTION)).await? else {
            return Ok(Some(empty.found(Served::default())));
        };
        let refresh = (view.online.kind() == Some(OnlineKind::View)).then(|| refresh_of(&online));
        let history = HistoryStore::on(session.as_ref());
        let found = history.served_since(&target.to_string(), refresh.as_deref()).await?;
        session.close().await;
        Ok(Some(empty.found(found)))
    }
}
