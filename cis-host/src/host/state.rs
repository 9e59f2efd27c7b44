//! What a host has: parts that each own their fields. What is done with several of them at once is in the modules that
//! implement [`Host`].

use std::path::PathBuf;

use super::config::HostConfig;
use super::launch::Launcher;
use super::listener::Door;
use super::notes::Notes;
use super::peers::Peers;
use super::poll::Poll;
use super::process_table::ProcessTable;
use super::queues::Queues;
use super::renewal_stage::Renewal;
use super::sessions::Sessions;
use super::supervise::Supervise;
use super::timers::{Timers, Wake};
use super::tree::OwnChildren;
use crate::evidence::Strangers;
use cis_core::ids::{HostInstance, TimestampMs};
use cis_local::{Anchor, Clocks, LockFile};

/// So much of a session's output is read in one turn, bytes: a flood does not hold up the others.
pub(super) const OUTPUT_PER_TURN: usize = 64 << 10;

/// All that a host has.
pub(super) struct Host {
    pub(super) config: HostConfig,
    /// The home.
    pub(super) anchor: Anchor,
    /// The path that the home had when a log was last not below it.
    pub(super) home: PathBuf,
    /// Whether the process works in the home, so that files are found below the home after it was moved.
    pub(super) works_in_home: bool,
    pub(super) instance: HostInstance,
    pub(super) lock: LockFile,
    pub(super) poll: Poll,
    pub(super) timers: Timers,
    pub(super) door: Door,
    pub(super) peers: Peers,
    pub(super) launcher: Launcher,
    pub(super) sessions: Sessions,
    /// Sessions that wait for their turn.
    pub(super) queues: Queues,
    pub(super) notes: Notes,
    pub(super) processes: ProcessTable,
    /// Who else waits for terminals.
    pub(super) strangers: Strangers,
    pub(super) supervise: Supervise,
    /// How far the replacement of this program by another one is.
    pub(super) renewal: Renewal,
    /// Which program this is; none where the system does not tell.
    pub(super) build: Option<String>,
    pub(super) shutting_down: bool,
    /// Of the boot clock, ms, read once a turn.
    pub(super) now: u64,
    pub(super) now_unix: TimestampMs,
    pub(super) clocks: Clocks,
    pub(super) buffer: Vec<u8>,
}

impl Host {
    pub(super) fn own_children(&self) -> OwnChildren {
        [self.supervise.node, self.renewal.checker()]
    }

    /// Wishes for the next wake-up of a session.
    pub(super) fn wish(&mut self, slot: usize) {
        if let Some(at_ms) = self.sessions.get(slot).and_then(|session| session.next_wake()) {
            self.timers.wish(at_ms, Wake::Session(slot));
        }
        let wakes = || self.sessions.iter().filter_map(|(slot, session)| Some((session.next_wake()?, slot)));
        self.timers.compact(self.sessions.len(), wakes);
    }
}
