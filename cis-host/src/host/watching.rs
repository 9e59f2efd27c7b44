//! Output on its way to those who watch: straight from the drained bytes where they keep up, from the
//! log where they do not.

use super::connection::Watch;
use super::state::Host;
use crate::log::{Chunk, LogReader};
use crate::protocol::FromHost;

/// So much is read from logs for one connection in one turn, bytes.
const REPLAY_PER_TURN: u64 = 4 << 20;
/// And of one session at a time, bytes.
const REPLAY_PIECE: usize = 16 << 10;

impl Host {
    /// What those who watch a session are told next is in its log, or its exit.
    pub(super) fn tell_rest(&mut self, watchers: Vec<usize>) {
        for at in watchers {
            if let Some(connection) = self.peers.get_mut(at) {
                connection.is_behind = true;
            }
            self.peers.list(at);
        }
    }

    /// Begins to stream, from this offset on.
    pub(super) fn watch_session(&mut self, at: usize, slot: usize, from: u64) {
        let (Some(connection), Some(session)) = (self.peers.get_mut(at), self.sessions.get_mut(slot)) else {
            return;
        };
        connection.watches.retain(|watch| watch.slot != slot);
        connection.watches.push(Watch { slot, session: session.id, cursor: from, reader: None });
        connection.is_behind = true;
        if !session.watchers.contains(&at) {
            session.watchers.push(at);
        }
        self.peers.list(at);
    }

    /// A connection does not watch this session any more; who was the last lets go of one that is over.
    pub(super) fn unwatch_session(&mut self, slot: usize, at: usize) {
        if let Some(connection) = self.peers.get_mut(at) {
            connection.watches.retain(|watch| watch.slot != slot);
        }
        if let Some(session) = self.sessions.get_mut(slot) {
            session.watchers.retain(|watcher| *watcher != at);
            self.sessions.forget_if_done(slot);
        }
    }

    /// These bytes just came from the session.
    pub(super) fn show(&mut self, slot: usize, offset: u64, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let id = session.id;
        let watchers = std::mem::take(&mut session.watchers);
        for at in &watchers {
            let Some(connection) = self.peers.get_mut(*at) else { continue };
            let has_room = connection.has_room_for_output();
            let watch = connection.watches.iter_mut().find(|watch| watch.slot == slot);
            let Some(watch) = watch.filter(|watch| has_room && watch.cursor == offset) else {
                connection.is_behind = true;
                continue;
            };
            watch.cursor += bytes.len() as u64;
            connection.say_output(id, offset, bytes);
            self.peers.list(*at);
        }
        if let Some(session) = self.sessions.get_mut(slot) {
            session.watchers = watchers;
        }
    }

    /// Fills a connection's room from the logs; tells of exits. True where more is there, for which
    /// there was no room or no time in this turn.
    pub(super) fn pump(&mut self, at: usize) -> bool {
        let mut budget = REPLAY_PER_TURN;
        let mut idle = 0;
        loop {
            let Some(connection) = self.peers.get_mut(at) else { return false };
            let count = connection.watches.len();
            if !connection.is_behind || idle >= count {
                connection.is_behind = false;
                return false;
            }
            if budget == 0 || !connection.has_room_for_replay() {
                return true;
            }
            let index = connection.next_watch % count;
            connection.next_watch = index + 1;
            match self.pump_one(at, index) {
                Some(bytes) => {
                    budget = budget.saturating_sub(bytes.max(1));
                    idle = 0;
                }
                None => idle += 1,
            }
        }
    }

    /// The next piece of one watch: how many bytes it was long, none where there is nothing.
    fn pump_one(&mut self, at: usize, index: usize) -> Option<u64> {
        let connection = self.peers.get_mut(at)?;
        let watch = connection.watches.get_mut(index)?;
        let session = self.sessions.get(watch.slot)?;
        let total = session.log.total();
        if watch.cursor >= total {
            watch.reader = None;
            let exit = session.exit().cloned()?;
            let (slot, id) = (watch.slot, watch.session);
            connection.say(&FromHost::Exited { session: id, exit });
            self.unwatch_session(slot, at);
            return Some(0);
        }
        if watch.reader.is_none() {
            watch.reader = LogReader::open(session.log.opened()).ok();
        }
        let from = watch.cursor;
        let read = watch.reader.as_mut().map(|reader| reader.read(from, REPLAY_PIECE));
        let id = watch.session;
        match read {
            Some(Ok(Chunk::Data { bytes, .. })) => {
                watch.cursor += bytes.len() as u64;
                connection.say_output(id, from, &bytes);
                Some(bytes.len() as u64)
            }
            gap => {
                // What is in no file, or in one that cannot be read, is a gap up to where there is more.
                let to = if let Some(Ok(Chunk::Cut { to, .. })) = gap { to.min(total) } else { total };
                watch.cursor = to;
                connection.say(&FromHost::Gap { session: id, from, to });
                Some(0)
            }
        }
    }

    /// Hangs up.
    pub(super) fn drop_connection(&mut self, at: usize) {
        let Some(connection) = self.peers.remove(at) else { return };
        self.poll.remove(&connection);
        for watch in &connection.watches {
            self.unwatch_session(watch.slot, at);
        }
    }
}
