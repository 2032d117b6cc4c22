//! What only the first moment of a process tells.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output was closed before anything else happened.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether there was a standard output when the program was started. The standard library opens /dev/null in place of
/// one that is closed before `main`, and what is lost there would look like an answer that was given.
pub fn stdout_was_open() -> bool {
    !CLOSED.load(Ordering::Relaxed)
}

extern "C" fn look() {
    let about = rustix::io::fcntl_getfd(rustix::stdio::stdout());
    CLOSED.store(about.is_err(), Ordering::Relaxed);
}

// Proof: `.init_array` holds pointers to functions that the C library calls once, in the first thread, before `main`
// (System V ABI, "Initialization and Termination Functions"); `look` is such a function, takes none of the arguments
// that some libraries pass, and does nothing but a system call and an atomic store, which need no library that is set up.
#[cfg(target_os = "linux")]
#[used]
#[allow(unsafe_code, reason = "the place of a static; see the proof above")]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
