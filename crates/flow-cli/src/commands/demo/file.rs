//! The shop in a file of DuckDB, which the driver that runs the pipelines opens, too.

use super::CONNECTION;
use super::shop::{CUSTOMERS, ORDERS, SCHEMA};
use ematix_flow_core::dialect::duckdb::DuckDb;
use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use ematix_flow_core::plan::Blame;
use ematix_flow_core::sql::{Literal, Quote};
use ematix_flow_run::execute::Engine;
use ematix_flow_run::session::nth;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// The file that a demo removes and makes.
const FILE: &str = "ematix_demo.duckdb";

/// DuckDB checks a foreign key at once: an order and its customer cannot go in one transaction.
const FOREIGN_KEY: &str = " REFERENCES shop.customers";

/// The application, and its file.
pub struct InFile<'a> {
    engine: &'a Engine,
    directory: &'a Path,
}

impl<'a> InFile<'a> {
    /// Begins anew: removes the file of an earlier demo, unless somebody has it open or it is no database.
    pub async fn open(engine: &'a Engine, directory: &'a Path) -> Result<InFile<'a>> {
        // Before anything is written: there may be no library, or somebody else in the file.
        engine.open(CONNECTION, "demo").await?.close().await;
        let file = file_in(directory);
        std::fs::remove_file(&file).map_err(|error| not_written(&file, &error))?;
        Ok(InFile { engine, directory })
    }

    /// The tables with the rows of the day before; answers how many customers and orders.
    pub async fn fill(&self) -> Result<[u64; 2]> {
        let mut statements =
            vec![SCHEMA.replace(FOREIGN_KEY, "").trim_end().trim_end_matches(';').to_owned()];
        for (table, csv) in [("customers", CUSTOMERS), ("orders", ORDERS)] {
            let path = self.directory.join(format!("{table}.csv"));
            std::fs::write(&path, csv).map_err(|error| not_written(&path, &error))?;
            let path = DuckDb.literal(&Literal::Text(path.display().to_string()));
            statements.push(format!("COPY shop.{table} FROM {path} (FORMAT csv, HEADER)"));
        }
        self.write(&statements.join(";\n")).await?;
        let doing = "count the shop's rows";
        let session = self.engine.open(CONNECTION, "demo").await?;
        let counted = session
            .ask(
                Blame::Target,
                doing,
                "SELECT count(*) FROM shop.customers; SELECT count(*) FROM shop.orders",
            )
            .await;
        session.close().await;
        let counted = counted?;
        let count = |index| -> Result<u64> {
            nth(&counted, index, doing)?.only_value(doing)?.parse().map_err(|error| {
                FlowError::new(ErrorCode::TargetFailed, format!("the file does not {doing}: {error}"))
            })
        };
        Ok([count(0)?, count(1)?])
    }

    /// One day, as one transaction.
    pub async fn live_through(&self, day: &str) -> Result<()> {
        self.write(day.trim_end().trim_end_matches(';')).await
    }

    async fn write(&self, statements: &str) -> Result<()> {
        // As an application would: the file is free while the pipelines run.
        let session = self.engine.open(CONNECTION, "demo").await?;
        let written = session.write("take over what happens in the shop", statements).await;
        session.close().await;
        written.map(|_| ())
    }
}

/// The demo's file in a directory.
pub fn file_in(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// The directory that is named, or one of this demo's own, whole; made where it is missing.
pub fn directory_of(named: Option<&Path>) -> Result<PathBuf> {
    let directory = match named {
        Some(named) => named.to_owned(),
        None => std::env::temp_dir().join(format!(
            "ematix-demo-{}-{}",
            Timestamp::now().as_microsecond(),
            std::process::id()
        )),
    };
    let mut builder = std::fs::DirBuilder::new();
    // A temporary one is new, so that nobody else has made it; nobody else can read it either.
    builder.recursive(named.is_some());
    #[cfg(unix)]
    if named.is_none() {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder
        .create(&directory)
        .and_then(|()| directory.canonicalize())
        .map_err(|error| not_written(&directory, &error))
}

/// The error of a place that cannot be written.
pub fn not_written(path: &Path, error: &std::io::Error) -> FlowError {
    FlowError::new(ErrorCode::InvalidValue, format!("`{}` cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_no_foreign_key() {
        assert!(SCHEMA.contains(FOREIGN_KEY));
        assert!(!SCHEMA.replace(FOREIGN_KEY, "").contains("REFERENCES"));
    }
}
