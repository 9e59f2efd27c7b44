//! When a room is read backwards, as its homeserver may not have all that was said there. Of a long backlog of another homeserver it
//! keeps some of the newest events. It fetches the others when somebody reads the room backwards: some of them each time, and without
//! a word if that fails.
//!
//! Owns when that is tried, and when it is given up. Reads nothing.

use std::time::Duration;

use tokio::time::Instant;

/// After a batch that left events out the room is read backwards so often, even if nothing seems to be missing: what is missing at the
/// end of a journal cannot be seen.
const LOOKS_MIN: u32 = 3;

/// After that, what is missing is gone.
const LOOKS_MAX: u32 = 8;

/// What is missing between others may be under way for so long.
const GAP_PAUSE: Duration = Duration::from_secs(1);

/// A room of which events may be missing.
#[derive(Debug, PartialEq)]
pub(super) struct Behind {
    /// The newest event before them. None: it is not known, so as much as may be is read.
    pub(super) until: Option<String>,
    looks: u32,
    /// When it is read backwards the next time.
    pub(super) due: Instant,
    /// Events after `until` that were read.
    known: u64,
}

impl Behind {
    /// Events may be missing behind `until`, where `known` ones were read.
    pub(super) fn new(until: Option<String>, known: u64) -> Self {
        Self { until, looks: 0, due: Instant::now(), known }
    }

    /// A part of a journal is missing. It may be under way.
    pub(super) fn gap() -> Self {
        Self { until: None, looks: 0, due: Instant::now() + GAP_PAUSE, known: 0 }
    }

    /// Whether it was not read backwards yet: nobody knows whether something is missing.
    pub(super) fn is_unknown(&self) -> bool {
        self.looks == 0
    }

    /// Whether what was read backwards is not all known.
    pub(super) fn is_new(&self, found: u64) -> bool {
        found > self.known
    }

    /// What follows from a look that `found` so many events, after which the journals have so many `gaps`. None: nothing more is
    /// fetched.
    pub(super) fn looked(self, found: u64, gaps: usize) -> Option<Self> {
        let looks = self.looks + 1;
        let goes_on = looks < LOOKS_MIN || (looks < LOOKS_MAX && (gaps > 0 || self.is_new(found)));
        let due = Instant::now() + Duration::from_secs(1 << self.looks);
        goes_on.then_some(Self { looks, due, known: found, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So often it is looked, if each look comes to this.
    fn looks(found: impl Fn(u32) -> u64, gaps: usize) -> u32 {
        let mut behind = Some(Behind::new(None, 5));
        let mut looks = 0;
        while let Some(now) = behind {
            looks += 1;
            behind = now.looked(found(looks), gaps);
        }
        looks
    }

    #[test]
    fn it_is_looked_until_nothing_more_comes() {
        assert_eq!(looks(|_| 5, 0), LOOKS_MIN);
        assert_eq!(looks(|n| u64::from(5 + n.min(6)), 0), 7, "the last one found nothing more");
    }

    #[test]
    fn what_never_comes_is_given_up() {
        assert_eq!(looks(|_| 5, 1), LOOKS_MAX);
        assert_eq!(looks(u64::from, 0), LOOKS_MAX);
    }
}
