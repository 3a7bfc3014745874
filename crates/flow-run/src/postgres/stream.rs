//! Opens the way to a server: by TCP, or by a socket of this machine whose owner may have to be somebody.

use super::parameters::{Host, Parameters};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tokio::net::TcpStream;

/// By TCP.
pub(super) async fn by_tcp(host: &Host, address: IpAddr, parameters: &Parameters) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::new(address, host.port)).await?;
    parameters.bound_silence(&stream)?;
    Ok(stream)
}

/// The path of a socket. One that begins with `@` lies in no directory: to the system it begins with a zero byte.
pub(super) fn socket_path(host: &Host) -> PathBuf {
    let name = format!("{}/.s.PGSQL.{}", host.name.trim_end_matches('/'), host.port);
    match name.strip_prefix('@') {
        Some(name) => PathBuf::from(format!("\0{name}")),
        None => PathBuf::from(name),
    }
}

/// By a socket of this machine.
#[cfg(unix)]
pub(super) async fn by_socket(host: &Host) -> io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(socket_path(host)).await
}

/// Who the server of a socket is, by name if the system has one; None where it is who it must be.
#[cfg(unix)]
pub(super) fn other_peer(stream: &tokio::net::UnixStream, wanted: &str) -> io::Result<Option<String>> {
    let id = stream.peer_cred()?.uid();
    // As it stands in the file: a static binary has no other way to ask.
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, user) = (fields.next()?, fields.next()?, fields.next()?);
        (user.parse() == Ok(id)).then(|| name.to_owned())
    });
    Ok(match named {
        Some(name) if name == wanted => None,
        Some(name) => Some(format!("`{name}`")),
        None => Some(format!("the user with the number {id}, who has no name here")),
    })
}
