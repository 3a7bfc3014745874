//! Which hosts are this machine: nobody stands between it and itself.

use std::net::IpAddr;

/// Whether a host leads nowhere else: a socket's directory, `localhost` and the names below it, a loopback address.
///
/// ```
/// use ematix_flow_core::connections::is_local;
/// assert!(["/tmp", "@name", "localhost", "db.localhost", "127.1.2.3", "::1"].into_iter().all(is_local));
/// assert!(!["db", "10.0.0.1", "localhost.example", "::2", ""].into_iter().any(is_local));
/// ```
pub fn is_local(host: &str) -> bool {
    // RFC 6761: these names are this machine, whatever a name server says.
    let name = host.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    is_socket(host)
        || name == "localhost"
        || name.ends_with(".localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Whether a host is the directory of a socket, or the beginning of an abstract one's name.
pub fn is_socket(host: &str) -> bool {
    host.starts_with(['/', '@'])
}
