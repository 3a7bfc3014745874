//! `flow version`.

use super::DONE;
use crate::project::{Outcome, Session};
use serde_json::json;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `flow 0.1.0`.
pub fn line() -> String {
    format!("flow {VERSION}\n")
}

/// Prints the version; with `-v` the platform it was built for and what is in it.
pub fn version(session: &Session) -> Outcome {
    let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let linking = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let console = &session.console;
    if !console.is_human() {
        console.json(&json!({
            "schema": "ematix.version.v1",
            "version": VERSION,
            "platform": platform,
            "linking": linking,
            "build": build,
        }));
        return DONE;
    }
    console.out(&line());
    if console.verbose() > 0 {
        console.out(&format!(
            "platform  {platform}\nlinking   {linking}\nbuild     {build}\nservers   Postgres 15 to 18\n"
        ));
    }
    DONE
}
