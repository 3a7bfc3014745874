//! What is entered of feature views, for whoever reads them.

use super::{HistoryStore, rows};
use crate::session::nth;
use ematix_flow_core::declare::OnlineKind;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::features::asof::{DeclaredView, Kept, ReadView};
use ematix_flow_core::features::refresh_of;
use ematix_flow_core::history::{FEATURE_VIEWS, SCHEMA, grants};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::report::Served;
use ematix_flow_core::sql::{Ident, QualifiedName};
use ematix_flow_core::statement;
use serde::Deserialize;

/// The entry of a version, as far as reading goes.
#[derive(Deserialize)]
struct Reading {
    #[serde(flatten)]
    kept: Kept,
    /// In what the newest features are kept.
    online: Option<String>,
}

impl HistoryStore<'_> {
    /// A view with the names by which it is read.
    ///
    /// # Errors
    /// `unknown_table` for a view that no load has entered; `permission_denied` with the GRANT that mends it.
    pub async fn read_view(&self, declared: DeclaredView) -> Result<ReadView> {
        match self.reading_of(&declared).await? {
            Some(Reading { kept, .. }) => Ok(ReadView { declared, kept }),
            None => Err(declared.never_loaded()),
        }
    }

    /// The last load that whoever asks for features as of now is shown.
    ///
    /// # Errors
    /// As [`HistoryStore::read_view`].
    pub async fn shown_since(&self, declared: &DeclaredView) -> Result<Served> {
        let Some(Reading { online, .. }) = self.reading_of(declared).await? else {
            return Err(declared.never_loaded());
        };
        let is_refreshed = declared.online && online.as_deref() == Some(OnlineKind::View.name());
        let refresh = match is_refreshed {
            true => Some(refresh_of(&declared.online_relation()?)),
            false => None,
        };
        self.served_since(&declared.table()?.to_string(), refresh.as_deref()).await
    }

    async fn reading_of(&self, view: &DeclaredView) -> Result<Option<Reading>> {
        let doing = "look at the feature view";
        // Metadata of an older version have no entries yet.
        let entries = QualifiedName { schema: Ident::fixed(SCHEMA), name: Ident::fixed(FEATURE_VIEWS) };
        let kinds = self.session.inspector().kinds(&[entries]);
        let answers = self.session.ask(Blame::Target, doing, &kinds.sql).await.map_err(hinted)?;
        if kinds.read(nth(&answers, 0, doing)?, doing)?.pop().flatten().is_none() {
            return Ok(None);
        }
        let name = view.qualified().to_string();
        let sql = statement!("reading_of", name = &name, version = &view.version);
        let mut found: Vec<Reading> = rows(&self.ask(doing, &sql).await.map_err(hinted)?, doing)?;
        Ok(found.pop())
    }
}

/// Whoever reads needs less than whoever loads.
fn hinted(error: FlowError) -> FlowError {
    match error.code {
        ErrorCode::PermissionDenied => error.hint(grants::to_read_features()),
        _ => error,
    }
}
