//! The allocator: dlmalloc behind a lock that asks the kernel only where two threads really meet.

use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One heap for all threads. musl's mutex, which dlmalloc would take by itself, makes a system call at each release for
/// as long as one thread waits for its turn, and with two thousand threads one always does.
pub struct Heap(Mutex<Dlmalloc>);

impl Heap {
    pub const fn new() -> Heap {
        Heap(Mutex::new(Dlmalloc::new()))
    }

    fn lock(&self) -> MutexGuard<'_, Dlmalloc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Proof: the functions of `Dlmalloc` promise what `GlobalAlloc` wants of each of these (its documentation says so), and
// want what the caller of each promises; the lock lets one thread at a time use the heap. Nothing here allocates while it
// holds the lock (the standard library's mutex is one number and a futex on Linux) or unwinds (out of memory is a null pointer).
#[allow(unsafe_code, reason = "an allocator; see the proof above")]
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { self.lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { self.lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { self.lock().free(at, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { self.lock().realloc(at, layout.size(), layout.align(), size) }
    }
}
