//! Memory that is free, but not the system's yet.

/// Gives the system back what this process does not use (malloc_trim(3)). Takes some milliseconds where
/// there is much.
#[allow(unsafe_code)]
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, touches only what nobody has allocated, and takes the allocator's locks
    // itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
