//! What this node was short of when it refused a task of another node: coordinators are told at once when that may be there again.
//!
//! Owns when that is so: if the disk has more space, or a session has ended, which may have had it. What else comes back is not seen:
//! coordinators try again after a later heartbeat.

use super::super::Driver;
use super::super::retry::RetryAt;
use crate::upkeep::reserve::free_bytes;
use cis_local::now_ms;

/// Interval at which the space on the disk is looked at, ms.
const LOOK_MS: i64 = 2_000;

/// So much more space is worth another try, bytes.
const SPACE_BYTES: u64 = 4 << 20;

/// See the module.
pub(super) struct Shortages {
    open: Option<Shortage>,
    /// See [`Self::ended`].
    ended: u64,
}

/// A task was refused.
struct Shortage {
    /// Space on the disk of the home at that time, bytes.
    free_bytes: u64,
    look_at: RetryAt,
}

impl Shortages {
    /// Of a node that starts.
    pub(super) fn new() -> Self {
        Self { open: None, ended: u64::try_from(now_ms()).unwrap_or_default() }
    }

    /// A number that rises with each shortage that ends, and is larger in each life of the node.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    /// When the space on the disk is to be looked at.
    pub(super) fn look_at(&self) -> Option<RetryAt> {
        self.open.as_ref().map(|shortage| shortage.look_at)
    }

    fn begin(&mut self, free_bytes: u64) {
        self.open = Some(Shortage { free_bytes, look_at: RetryAt::after(LOOK_MS) });
    }

    /// Whether there is enough more space than when a task was refused. If not, it is looked at later.
    fn has_more_space(&mut self, free_bytes: u64) -> bool {
        let Some(shortage) = &mut self.open else { return false };
        shortage.look_at = RetryAt::after(LOOK_MS);
        free_bytes.saturating_sub(shortage.free_bytes) >= SPACE_BYTES
    }

    /// Whether there was a shortage.
    fn end(&mut self) -> bool {
        let was_open = self.open.take().is_some();
        self.ended = self.ended.saturating_add(u64::from(was_open));
        was_open
    }
}

impl Driver {
    /// This node refused a task because it is short of something.
    pub(super) fn shortage_begins(&mut self) {
        // Where the space is not known, there is never more of it.
        let free_bytes = free_bytes(&self.parts.home.dir).unwrap_or(u64::MAX);
        self.federation.shortages.begin(free_bytes);
    }

    /// Looks for space on the disk when that is due.
    pub(super) fn look_for_space(&mut self) {
        if self.federation.shortages.look_at().is_some_and(RetryAt::is_due) {
            let free_bytes = free_bytes(&self.parts.home.dir).unwrap_or_default();
            if self.federation.shortages.has_more_space(free_bytes) {
                self.shortage_may_end();
            }
        }
    }

    /// What this node was short of may be there again.
    pub(super) fn shortage_may_end(&mut self) {
        if self.federation.shortages.end() {
            self.offer_changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_ends_once_when_there_is_enough_more_space() {
        let mut shortages = Shortages::new();
        let before = shortages.ended();
        assert!(!shortages.has_more_space(u64::MAX) && !shortages.end(), "nothing was refused");
        shortages.begin(1 << 20);
        assert!(shortages.look_at().is_some());
        assert!(!shortages.has_more_space(SPACE_BYTES) && !shortages.has_more_space(0));
        assert!(shortages.has_more_space(SPACE_BYTES + (1 << 20)) && shortages.end());
        assert_eq!((shortages.ended(), shortages.look_at().is_none()), (before + 1, true));
        assert!(!shortages.end() && shortages.ended() == before + 1);
    }
}
