//! A mark that a process cannot take off, and hands on to all that it starts: the hard limit of
//! `RLIMIT_RTTIME` (getrlimit(2)). Whoever lacks CAP_SYS_RESOURCE can lower a hard limit and never
//! raise it, whatever becomes of its environment, session and parents.
//!
//! The values are beyond a hundred thousand years of CPU time without a blocking call, of realtime
//! processes alone: the limit itself means nothing.

use rustix::process::{Resource, getrlimit};
use sha2::{Digest, Sha256};

/// Stamps of hosts that are not stamped themselves are below this, µs.
const BASE: u64 = 1 << 62;
/// So far apart are theirs: a host that runs in a session divides what lies between.
const APART: u64 = 1 << 32;

/// The mark of one session: its own processes have `top`, and none above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Gives stamps out, in turn; after a thousand million sessions anew.
#[derive(Debug)]
pub(crate) struct Stamps {
    /// Limit of the host itself.
    own: u64,
    home: u64,
    given: u64,
}

impl Stamps {
    /// For the host of this directory.
    pub(crate) fn new(directory: &[u8]) -> Self {
        let own = getrlimit(Resource::Rttime).maximum.unwrap_or(u64::MAX);
        let digest = Sha256::digest(directory);
        let home = digest.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
        Self { own, home, given: 0 }
    }

    /// The host runs in no session of another host.
    fn is_outermost(&self) -> bool {
        self.own >= BASE
    }

    /// One for a new session; none where the host's own limit leaves no room.
    pub(crate) fn give(&mut self) -> Option<Stamp> {
        self.given += 1;
        if self.is_outermost() {
            let number = self.given % (BASE / APART - 2) + 1;
            return Some(Stamp { top: BASE - number * APART - self.home, width: APART });
        }
        let room = self.own.min(APART).checked_sub(2).filter(|room| *room > 0)?;
        Some(Stamp { top: self.own - 1 - self.given % room, width: 1 })
    }

    /// Whether a process with this hard limit, of no host that lives, was one of this directory's.
    pub(crate) fn is_ours(&self, limit: u64) -> bool {
        self.is_outermost() && limit < BASE && limit > 0 && (BASE - limit) % APART == self.home
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(own: u64) -> Stamps {
        Stamps { own, ..Stamps::new(b"/run/a") }
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
    }

    #[test]
    fn all_are_below_the_hosts_own_limit_however_many_there_were() {
        for own in [u64::MAX, BASE, BASE - 1, APART, 1000, 3] {
            for given in [0, 1, APART, u64::MAX / 2] {
                let top = Stamps { given, ..stamps(own) }.give().unwrap().top;
                assert!(top < own && top > 0, "{own} {given}");
            }
        }
        assert!(stamps(2).give().is_none() && stamps(0).give().is_none());
    }

    #[test]
    fn they_are_known_as_this_directorys() {
        let mut ours = stamps(u64::MAX);
        let theirs = Stamps { own: u64::MAX, ..Stamps::new(b"/run/b") }.give().unwrap();
        let (given, next) = (ours.give().unwrap(), ours.give().unwrap());
        assert!(ours.is_ours(given.top) && ours.is_ours(next.top));
        assert!(!ours.is_ours(theirs.top));
        for limit in [0, 200_000, BASE, u64::MAX] {
            assert!(!ours.is_ours(limit), "{limit}");
        }
        assert!(!stamps(given.top).is_ours(given.top), "a nested host's are not told from another's");
    }
}
