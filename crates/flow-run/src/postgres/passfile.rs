//! Reads libpq's file of passwords, each time when a session is opened: it may have been written anew.

use super::parameters::Host;
use ematix_flow_core::declare::environment::read_plain;
use ematix_flow_core::libpq::password_in;
use ematix_flow_core::secret::Secret;
use std::path::Path;

/// What was found for a host.
pub(super) struct Found {
    pub password: Option<Secret>,
    /// What to say of the file to whom the server refuses.
    pub note: Option<String>,
}

/// The password of a host. As libpq: a file that is not there, no plain file, or open to others is as if it had none.
pub(super) fn look_up(file: &str, host: &Host, dbname: &str, user: &str) -> Found {
    let nothing = |note: Option<String>| Found { password: None, note };
    let Ok(metadata) = Path::new(file).metadata() else {
        return nothing(Some(format!("the password file `{file}` was not read: there is no such file")));
    };
    if !metadata.is_file() {
        return nothing(Some(format!("the password file `{file}` was not read: it is no plain file")));
    }
    if is_open_to_others(&metadata) {
        return nothing(Some(format!(
            "the password file `{file}` was not read, since others may read it: chmod 0600 it"
        )));
    }
    let text = match read_plain(Path::new(file)) {
        // A line that is not UTF-8 fits no name of ours, and leaves the others.
        Ok(bytes) => Secret::from(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            let why = error.to_string().to_lowercase();
            return nothing(Some(format!("the password file `{file}` was not read: {why}")));
        }
    };
    match password_in(text.reveal(), &host.name, &host.port.to_string(), dbname, user) {
        // An empty one is none.
        Some(password) if !password.reveal().is_empty() => Found {
            password: Some(password),
            note: Some(format!("the password comes from the password file `{file}`")),
        },
        _ => nothing(Some(format!(
            "the password file `{file}` has no line for {}:{}:{dbname}:{user}",
            host.name, host.port
        ))),
    }
}

#[cfg(unix)]
fn is_open_to_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::fs::Metadata) -> bool {
    false
}
