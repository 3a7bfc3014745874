//! Which files there are.

use crate::address::{self, Address};
use crate::glob::alternatives;
use crate::options::{FileVersion, Files, IfNone};
use crate::stores::Stores;
use crate::{fault, local};
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::collections::BTreeMap;

impl Files {
    /// The files that are meant, by their paths.
    ///
    /// # Errors
    /// `source_failed` where there is none and [`IfNone::Error`] says that it is one; what a disk or a store refuses;
    /// `invalid_value` for a pattern or an address that cannot be read.
    pub async fn list(&self) -> Result<Vec<FileVersion>> {
        let stores = Stores::new(&self.store);
        let mut found: BTreeMap<String, FileVersion> = BTreeMap::new();
        // A file may have braces in its name.
        let patterns = match address::parse(&self.pattern)? {
            Address::Local(path) if self.base.join(&path).exists() => vec![self.pattern.clone()],
            _ => alternatives(&self.pattern)?,
        };
        for pattern in patterns {
            match address::parse(&pattern)? {
                Address::Local(path) => {
                    let (base, format) = (self.base.clone(), self.format);
                    let walked = tokio::task::spawn_blocking(move || local::list(&base, &path, format)).await;
                    found.extend(walked.map_err(|error| fault::unreadable(&pattern, error.to_string()))??);
                }
                Address::Remote(remote) => found.extend(stores.list(&remote, self.format).await?),
            }
        }
        if found.is_empty() && self.if_none == IfNone::Error {
            let shown = address::shown(&self.pattern);
            return Err(FlowError::new(ErrorCode::SourceFailed, format!("no file matches {shown}"))
                .context("pattern", shown)
                .hint("check the path; names that begin with _ or . are not matched by a wildcard"));
        }
        Ok(found.into_values().collect())
    }
}
