//! Memory that is free, but not the system's yet.

/// So many heaps are enough for a node: its driver works, and now and then somebody else does.
#[cfg(target_env = "gnu")]
const ARENAS_MAX: libc::c_int = 2;

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

/// Lets threads share few heaps (mallopt(3)). Each thread that reads much for a moment, of the many that
/// wait for the disk, would otherwise keep a heap of its own at its largest.
#[allow(unsafe_code)]
pub(crate) fn share_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, and the allocator's lock itself. Where it is refused nothing changes.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::sync::Barrier;

    use super::*;

    /// Heaps of this process, as malloc_info(3) lists them.
    #[allow(unsafe_code)]
    fn arenas() -> std::io::Result<usize> {
        let file = tempfile::NamedTempFile::new()?;
        // SAFETY: the stream is made of a descriptor of its own, and closed here.
        unsafe {
            let stream = libc::fdopen(libc::dup(file.as_raw_fd()), c"w".as_ptr());
            assert_eq!(libc::malloc_info(0, stream), 0);
            libc::fclose(stream);
        }
        Ok(std::fs::read_to_string(file.path())?.matches("<heap nr=").count())
    }

    #[test]
    fn many_threads_share_few_heaps() {
        let before = arenas().unwrap();
        share_memory();
        let together = Barrier::new(16);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let held = vec![1_u8; 4096];
                    together.wait();
                    drop(held);
                });
            }
        });
        let most = before.max(usize::try_from(ARENAS_MAX).unwrap());
        let now = arenas().unwrap();
        assert!(now <= most, "{now} heaps, {before} before");
    }
}
