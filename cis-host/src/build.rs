//! Which program runs in this process: two programs that may differ have different builds.

use std::os::unix::fs::MetadataExt as _;

/// Returns version and file of this program: device, inode, size and time of the last change. The file is known also after it was
/// replaced or removed. `None`: the system does not tell.
///
/// A copy of the same program counts as another one.
#[must_use]
pub fn own() -> Option<String> {
    let file = std::fs::metadata("/proc/self/exe").ok()?;
    let changed = (file.mtime(), file.mtime_nsec());
    Some(format!(
        "{} {}:{}:{}:{}.{:09}",
        env!("CARGO_PKG_VERSION"),
        file.dev(),
        file.ino(),
        file.size(),
        changed.0,
        changed.1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_itself() {
        let build = own().unwrap();
        assert!(build.starts_with(env!("CARGO_PKG_VERSION")), "{build}");
        assert_eq!(own(), Some(build));
    }
}
