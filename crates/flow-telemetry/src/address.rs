//! Where a database is, in words that others know it by. No user, no password.

use ematix_flow_core::connections::ConnectionTarget;
use std::path::Path;

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `postgresql`, or `duckdb`.
    pub system: &'static str,
    /// Its host; none of a file, nor of a socket.
    pub host: Option<String>,
    /// The port of its server.
    pub port: Option<u16>,
    /// Its name, or its file.
    pub database: String,
}

impl Address {
    /// The one that a connection leads to; of several hosts the first.
    pub fn of(target: &ConnectionTarget) -> Address {
        if let Some(file) = target.file() {
            let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            return Address { system: "duckdb", host: None, port: None, database: shown(&whole) };
        }
        let (host, port) = target.addresses().into_iter().next().unwrap_or_default();
        Address {
            system: "postgresql",
            host: Some(host)
                .filter(|host| !host.is_empty() && !host.starts_with(['/', '@']))
                .map(str::to_owned),
            port: port.parse().ok(),
            database: target.parameter("dbname").unwrap_or_default().to_owned(),
        }
    }

    /// As OpenLineage names it: https://openlineage.io/docs/spec/naming/. A socket is this machine's.
    pub fn namespace(&self) -> String {
        if self.system == "duckdb" {
            return format!("duckdb://{}", self.database);
        }
        let host = self.host.as_deref().unwrap_or("localhost");
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("postgres://{host}:{}", self.port.unwrap_or(5432))
    }

    /// A table of it as OpenLineage names it.
    pub fn table(&self, schema: &str, name: &str) -> String {
        match self.system {
            "duckdb" => format!("{schema}.{name}"),
            _ => format!("{}.{schema}.{name}", self.database),
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
