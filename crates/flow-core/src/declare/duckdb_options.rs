//! What may be said of a connection to DuckDB beside its DSN, and in which form.

use super::ConnectionSpec;
use crate::error::{ErrorCode, FlowError, Result};

/// The options of a connection that are DuckDB's alone.
pub const DUCKDB_OPTIONS: &[&str] =
    &["memory_limit", "threads", "temp_directory", "storage_version", "driver"];

/// Checks the form of a value.
///
/// # Errors
/// `invalid_value`.
///
/// ```
/// use ematix_flow_core::declare::duckdb_options::of_duckdb;
/// assert!(of_duckdb("memory_limit", "1.5 GiB").is_ok());
/// assert!(of_duckdb("memory_limit", "much").is_err());
/// assert!(of_duckdb("storage_version", "v1.0.0").is_ok());
/// assert!(of_duckdb("storage_version", "1").is_err());
/// ```
pub fn of_duckdb(name: &str, value: &str) -> Result<()> {
    let hint = match name {
        "memory_limit" if !is_size(value) => "write a number and its unit: \"1GB\", \"512MiB\"",
        "storage_version" if !is_version(value) => {
            "write the oldest version of DuckDB that is to read the file: \"v1.0.0\""
        }
        "temp_directory" | "driver" if value.trim().is_empty() => "leave it out, or name one",
        _ => return Ok(()),
    };
    Err(FlowError::new(ErrorCode::InvalidValue, format!("`{name}` is {value:?}")).hint(hint))
}

/// A size as DuckDB reads it: a number and a unit.
fn is_size(text: &str) -> bool {
    const UNITS: &[&str] = &["b", "byte", "bytes", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib"];
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    number.parse::<f64>().is_ok() && UNITS.contains(&unit.trim().to_ascii_lowercase().as_str())
}

/// A version as DuckDB names it: `v1.4.0`, or `latest`.
fn is_version(text: &str) -> bool {
    let numbers = text.strip_prefix('v').unwrap_or_default().split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text == "latest" || (numbers.clone().count() == 3 && numbers.into_iter().all(is_number))
}

impl ConnectionSpec {
    /// Those that are said of this one.
    pub fn duckdb_options(&self) -> Vec<&'static str> {
        let said = [
            self.memory_limit.is_some(),
            self.threads.is_some(),
            self.temp_directory.is_some(),
            self.storage_version.is_some(),
            self.driver.is_some(),
        ];
        DUCKDB_OPTIONS.iter().zip(said).filter(|(_, said)| *said).map(|(name, _)| *name).collect()
    }
}
