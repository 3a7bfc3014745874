//! Where a database is, in words that others know it by. No user, no password.

use ematix_flow_core::connections::ConnectionTarget;
use ematix_flow_core::engine::Foreign;
use std::path::Path;

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `postgresql`, `duckdb`, `mysql` or `sqlite`.
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
            let system = target.foreign().map_or("duckdb", Foreign::name);
            return Address { system, host: None, port: None, database: shown(&whole) };
        }
        if target.unfiled().is_some() {
            return Address { system: "duckdb", host: None, port: None, database: ":memory:".to_owned() };
        }
        let (host, port) = target.addresses().into_iter().next().unwrap_or_default();
        Address {
            system: target.foreign().map_or("postgresql", Foreign::name),
            host: Some(host)
                .filter(|_| target.parameter("socket").is_none())
                .filter(|host| !host.is_empty() && !host.starts_with(['/', '@']))
                .map(str::to_owned),
            port: port.parse().ok(),
            database: target.parameter("dbname").unwrap_or_default().to_owned(),
        }
    }

    /// As OpenLineage names it: https://openlineage.io/docs/spec/naming/. A socket is this machine's.
    pub fn namespace(&self) -> String {
        if matches!(self.system, "duckdb" | "sqlite") {
            return format!("{}://{}", self.system, self.database);
        }
        let host = self.host.as_deref().unwrap_or("localhost");
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if self.system == "mysql" {
            return format!("mysql://{host}:{}", self.port.unwrap_or(3306));
        }
        format!("postgres://{host}:{}", self.port.unwrap_or(5432))
    }

    /// A table of it as OpenLineage names it.
    pub fn table(&self, schema: &str, name: &str) -> String {
        match self.system {
            "duckdb" => format!("{schema}.{name}"),
            // A database has no schemas: it is one.
            "mysql" | "sqlite" if schema.is_empty() => format!("{}.{name}", self.database),
            "mysql" => format!("{schema}.{name}"),
            "sqlite" => format!("{schema}.{name}"),
            _ => format!("{}.{schema}.{name}", self.database),
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
