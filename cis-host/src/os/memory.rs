//! Memory that this process has and does not need: the system gets it back.

use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

/// Time after its start from which a process needs little of the code that the start needed, ms.
pub const START_MS: u32 = 1_000;

/// So many heaps are enough for a node: its driver works, and now and then somebody else does.
#[cfg(target_env = "gnu")]
const ARENAS_MAX: libc::c_int = 2;

/// Gives the system back what this process does not use (malloc_trim(3)). Takes some milliseconds where
/// there is much.
#[allow(unsafe_code)]
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, touches only what nobody has allocated, and takes the allocator's locks
    // itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Unmaps the code of this program (MADV_DONTNEED, madvise(2)), some 20 MB after a start. What is used is mapped again from the page
/// cache, page by page, in less than a millisecond in all.
#[allow(unsafe_code)]
pub fn unmap_code() {
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let of_program = format!(" {}", program.display());
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter(|line| line.ends_with(&of_program)).filter_map(code) {
        // SAFETY: the range is a private mapping of the program's file that nobody can write to, so none of its pages differs
        // from the file; and the file does not change while it runs (ETXTBSY, execve(2)). Each page has the same content when
        // it is used again, so that threads that run in it notice nothing.
        let unmapped = unsafe { madvise(start as *mut c_void, length, Advice::LinuxDontNeed) };
        if let Err(error) = unmapped {
            tracing::debug!(%error, "the code of the program stays mapped");
        }
    }
}

/// Returns start and length of a mapping, if it is private code that cannot be written to (a line of proc_pid_maps(5)).
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split(' ');
    let (range, rights) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|number| usize::from_str_radix(number, 16).ok());
    (rights == "r-xp").then_some((start?, end?.checked_sub(start?)?))
}

/// Lets threads share few heaps (mallopt(3)). Each thread that reads much for a moment, of the many that
/// wait for the disk, would otherwise keep a heap of its own at its largest.
#[allow(unsafe_code)]
pub fn share_memory() {
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

    /// Code of this program that is mapped, kB.
    fn mapped_code() -> Option<u64> {
        let program = std::env::current_exe().ok()?.display().to_string();
        let smaps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut lines =
            smaps.lines().skip_while(|line| !(line.ends_with(&program) && line.contains(" r-xp ")));
        let resident = lines.find_map(|line| line.strip_prefix("Rss:"))?;
        resident.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Reads all code of this program, so that it is mapped.
    #[allow(unsafe_code)]
    fn read_all_code() {
        let program = std::env::current_exe().unwrap_or_default().display().to_string();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        for (start, length) in maps.lines().filter(|line| line.ends_with(&program)).filter_map(code) {
            for at in (start..start + length).step_by(4096) {
                // SAFETY: the range is mapped and readable as long as the program runs.
                unsafe { std::ptr::read_volatile(at as *const u8) };
            }
        }
    }

    #[test]
    fn code_is_unmapped_and_used_again() {
        read_all_code();
        let before = mapped_code().unwrap();
        unmap_code();
        let after = mapped_code().unwrap();
        assert!(after < before, "{after} kB, {before} kB before");
        assert_eq!(
            code("55d5c4a00000-55d5c4a02000 r-xp 0 08:02 17 /usr/bin/cis"),
            Some((0x55d5_c4a0_0000, 0x2000))
        );
        for other in
            ["1-2 rwxp 0 0 0 x", "1-2 r--p 0 0 0 x", "1-2 r-xs 0 0 0 x", "2-1 r-xp 0 0 0 x", "r-xp", ""]
        {
            assert_eq!(code(other), None, "{other}");
        }
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
