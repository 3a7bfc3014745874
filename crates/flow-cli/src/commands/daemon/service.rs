//! What systemd is told, where it started the daemon and waits for word: `Type=notify`.

/// Tells it.
#[cfg(unix)]
pub fn tell(state: &str) {
    use std::os::unix::net::UnixDatagram;
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(datagram) = UnixDatagram::unbound() else { return };
    // `@` stands for the zero byte of an abstract name. Nobody to hear it is no reason to fail.
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(socket.as_os_str());
    #[cfg(target_os = "linux")]
    if let Some(name) = bytes.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        if let Ok(address) = std::os::unix::net::SocketAddr::from_abstract_name(name) {
            let _ = datagram.send_to_addr(state.as_bytes(), &address);
        }
        return;
    }
    let _ = bytes;
    let _ = datagram.send_to(state.as_bytes(), &socket);
}

/// There is none.
#[cfg(not(unix))]
pub fn tell(_state: &str) {}
