//! A mark that a process cannot take off, and hands on to all that it starts: the hard limit of
//! `RLIMIT_RTTIME` (getrlimit(2)). Whoever lacks CAP_SYS_RESOURCE can lower a hard limit and never
//! raise it, whatever becomes of its environment, session and parents.
//!
//! The values are beyond a hundred thousand years of CPU time without a blocking call, of realtime
//! processes alone: the limit itself means nothing.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use cis_local::realtime_limit_outside;

/// Stamps of hosts that are not stamped themselves are below this, µs.
const BASE: u64 = 1 << 62;
/// So far apart are theirs: a host that runs in a session divides what lies between.
const APART: u64 = 1 << 32;
/// And so far those of such a host. One deeper still counts in ones, and cannot tell its own again.
const APART_NESTED: u64 = 1 << 16;

/// Sets this hard limit, µs, in the child of a command before execve, so that nothing that its program loads runs without
/// it.
#[allow(unsafe_code)]
pub fn stamp_at_start(command: &mut Command, stamp: u64) {
    let soft = getrlimit(Resource::Rttime).current.map_or(stamp, |soft| soft.min(stamp));
    let limit = Rlimit { current: Some(soft), maximum: Some(stamp) };
    // SAFETY: between fork and execve the closure makes one system call with numbers that it owns. It allocates nothing
    // and takes no lock.
    unsafe {
        command.pre_exec(move || Ok(setrlimit(Resource::Rttime, limit)?));
    }
}

/// The mark of one session: its own processes have `top`, and none above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The limit that its leader gets, µs.
    pub(crate) top: u64,
    /// So many values from there down are this session's.
    width: u64,
}

impl Stamp {
    /// Whether a process with this hard limit carries it.
    pub(crate) fn is_on(self, limit: u64) -> bool {
        limit <= self.top && self.top - limit < self.width
    }
}

/// Gives stamps out, in turn; after a thousand million sessions anew (65,000 for a host in a session).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamps {
    /// Limit of processes outside of sessions.
    outside: u64,
    /// The values below this are the host's to give.
    above: u64,
    /// So many of them.
    room: u64,
    apart: u64,
    /// Where in each step of `apart` the stamps of this home are. The others belong to earlier hosts of the home.
    homes: Vec<u64>,
    given: u64,
}

impl Stamps {
    /// For the host of this home. `former`: other paths from which its earlier hosts may have made stamps.
    pub(crate) fn new(home: &Path, former: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let mut stamps = Self::below(realtime_limit_outside(home), home.as_os_str().as_bytes());
        stamps.homes.extend(former.into_iter().map(|path| place(stamps.apart, path.as_ref())));
        stamps
    }

    /// For a host whose home has this limit outside of its sessions.
    fn below(own: u64, home: &[u8]) -> Self {
        let (above, room, apart) = match own {
            BASE.. => (BASE, BASE, APART),
            stamp if stamp > APART && stamp % 2 == 0 => (stamp, APART, APART_NESTED),
            stamp if stamp > APART => (stamp, APART_NESTED, 2),
            few => (few, few, 1),
        };
        Self { outside: own, above, room, apart, homes: vec![place(apart, home)], given: 0 }
    }

    /// One for a new session; none where the host's own limit leaves no room.
    pub(crate) fn give(&mut self) -> Option<Stamp> {
        self.given += 1;
        let steps = (self.room / self.apart).checked_sub(2).filter(|steps| *steps > 0)?;
        let number = self.given % steps + 1;
        let home = self.homes.first()?;
        Some(Stamp { top: self.above - number * self.apart - home, width: self.apart })
    }

    /// Whether a process with this hard limit comes from a session. Any lower limit counts: a process can lower its stamp
    /// to a value that no host gave.
    pub(crate) fn is_from_a_session(&self, limit: u64) -> bool {
        limit < self.outside
    }

    /// Whether a process with this hard limit belongs to a session of an earlier host of this home.
    pub(crate) fn is_ours(&self, limit: u64) -> bool {
        let has_a_home = self.apart >= APART_NESTED && limit > 0;
        has_a_home
            && self.above.checked_sub(limit).is_some_and(|below| {
                (self.apart..self.room).contains(&below) && self.homes.contains(&(below % self.apart))
            })
    }
}

/// Returns where in each step of `apart` the stamps of this home are.
fn place(apart: u64, home: &[u8]) -> u64 {
    let digest = Sha256::digest(home);
    let place = digest.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    match apart {
        // Even below an outermost host, odd in its sessions: so a host knows how deep it is.
        APART => place & !1,
        APART_NESTED => (place % APART_NESTED) | 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(own: u64) -> Stamps {
        Stamps::below(own, b"/home/a")
    }

    #[test]
    fn every_session_has_its_own_and_those_of_a_nested_host_are_within_it() {
        let mut outer = stamps(u64::MAX);
        let (a, b) = (outer.give().unwrap(), outer.give().unwrap());
        assert!(a.is_on(a.top) && !a.is_on(b.top) && !b.is_on(a.top) && !a.is_on(u64::MAX));
        let mut inner = stamps(a.top);
        let (c, d) = (inner.give().unwrap(), inner.give().unwrap());
        assert!(a.is_on(c.top) && a.is_on(d.top) && !b.is_on(c.top));
        assert!(c.is_on(c.top) && !c.is_on(d.top) && !c.is_on(a.top));
        let deepest = stamps(c.top).give().unwrap();
        assert!(c.is_on(deepest.top) && !d.is_on(deepest.top), "{c:?} {deepest:?}");
    }

    #[test]
    fn all_are_below_the_hosts_own_limit_however_many_there_were() {
        for own in [u64::MAX, BASE, BASE - 1, BASE - APART, APART + 1, APART, 1000, 3] {
            for given in [0, 1, APART, u64::MAX / 2] {
                let top = Stamps { given, ..stamps(own) }.give().unwrap().top;
                assert!(top < own && top > 0, "{own} {given}");
            }
        }
        assert!(stamps(2).give().is_none() && stamps(0).give().is_none());
    }

    #[test]
    fn they_are_known_as_this_homes_and_as_those_of_its_former_paths() {
        let session = stamps(u64::MAX).give().unwrap();
        for own in [u64::MAX, session.top] {
            let mut ours = stamps(own);
            let theirs = Stamps::below(own, b"/home/b").give().unwrap();
            let (given, next) = (ours.give().unwrap(), ours.give().unwrap());
            assert!(ours.is_ours(given.top) && ours.is_ours(next.top), "{own}");
            assert!(!ours.is_ours(theirs.top));
            let former = Stamps { homes: vec![ours.homes[0], place(ours.apart, b"/home/b")], ..stamps(own) };
            assert!(former.is_ours(theirs.top) && former.is_ours(given.top));
            for limit in [0, 200_000, own.min(BASE), BASE, u64::MAX] {
                assert!(!ours.is_ours(limit), "{own} {limit}");
            }
        }
        let deepest = stamps(stamps(session.top).give().unwrap().top);
        assert!(!stamps(1000).is_ours(999), "{deepest:?}");
    }
}
