//! Only in the static binary: keeps glibc from loading code of the machine that it runs on.
//!
//! To look up a host, glibc obeys /etc/nsswitch.conf, and loads a module of the machine for each word there but `files`
//! and `dns`, which are linked in (since 2.34). The modules come with the machine's own glibc; of another version than
//! ours they crash the process, and a desktop's file names some (`mdns4_minimal`, `resolve`).

#![allow(
    unsafe_code,
    reason = "glibc has no other way to say it; it is called once, with constants, before any thread"
)]

use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    /// <nss.h>: what stands in /etc/nsswitch.conf for a database, said by the program.
    fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
}

const HOSTS: &CStr = c"hosts";
const FILES_AND_DNS: &CStr = c"files dns";

/// Hosts are looked up in /etc/hosts, then by the name servers of /etc/resolv.conf, whatever /etc/nsswitch.conf says.
pub fn keep_to_what_is_linked_in() {
    // SAFETY: both are constants that end in NUL, and no other thread runs yet.
    // It fails only without memory; the next allocation says so better.
    unsafe { __nss_configure_lookup(HOSTS.as_ptr(), FILES_AND_DNS.as_ptr()) };
}
