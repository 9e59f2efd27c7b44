//! Descriptors of the host process: how many it may have, and those it was born with.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// The limit of open descriptors before and after [`raise_nofile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nofile {
    /// Soft and hard limit as they were; none: unlimited.
    original: (Option<u64>, Option<u64>),
    /// What the host has now.
    pub(crate) soft: u64,
    changed: bool,
}

impl Nofile {
    /// Soft and hard limit that a child must be given; none where the inherited ones are right.
    pub(crate) fn child_limit(&self) -> Option<(u64, u64)> {
        let infinite = libc::RLIM_INFINITY;
        let limits = (self.original.0.unwrap_or(infinite), self.original.1.unwrap_or(infinite));
        self.changed.then_some(limits)
    }
}

/// Raises the soft limit of open descriptors to the hard one, where that is allowed.
pub(crate) fn raise_nofile() -> Nofile {
    /// Two or three descriptors a session: more than any machine has sessions for.
    const ENOUGH: u64 = 1 << 20;
    let original = getrlimit(Resource::Nofile);
    let wanted = original.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let before = original.current.unwrap_or(ENOUGH);
    let raised = Rlimit { current: Some(wanted), maximum: original.maximum };
    let changed = wanted > before && setrlimit(Resource::Nofile, raised).is_ok();
    let original = (original.current, original.maximum);
    Nofile { original, soft: if changed { wanted } else { before }, changed }
}

/// Closes every descriptor above 2. What the spawner's parents forgot to mark close-on-exec would
/// otherwise stay open as long as the host lives, and keep pipes from ending.
///
/// The process must own none of them yet: this is the first thing a host does.
#[allow(unsafe_code)]
pub(crate) fn close_all_above_stderr() {
    // SAFETY: close_range takes plain integers. By the contract above nothing in this process holds a
    // descriptor above 2, so none is closed under an owner.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Marks every descriptor above 2 close-on-exec: what this process got from its parents does not go to programs that it starts. A
/// node that a command starts would otherwise keep their locks, pipes and mounts.
#[allow(unsafe_code)]
pub fn mark_descriptors_close_on_exec() {
    // SAFETY: close_range takes plain integers, and with this flag it closes nothing.
    unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
}

/// `/dev/null`, for reading and writing.
pub(crate) fn null_device() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// stdin and stdout become `null`.
pub(crate) fn onto_null(null: impl AsFd) -> io::Result<()> {
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// stderr becomes `file`.
pub(crate) fn stderr_to(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(file)?)
}
