//! When a room is read backwards, as its homeserver may not have all that was said there. Of a long backlog of another homeserver it
//! keeps some of the newest events. It fetches the others when somebody reads the room backwards: some of them each time, and it does
//! not say if that fails.
//!
//! Owns when that is tried, and when it is given up. Reads nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use cis_core::federation::journal::Missing;
use cis_core::ids::RunId;

/// After a batch that left events out, the room is read backwards at least this many times: events that are missing at the end of a
/// journal leave no gap.
const TRIES_MIN: u32 = 3;

/// After this many times, what is missing is given up.
const TRIES_MAX: u32 = 8;

/// A part of a journal that is missing may still be on its way for this time.
const GAP_PAUSE: Duration = Duration::from_secs(1);

/// Gaps of a room are searched once in this time: each search may read the whole room, and members of the room can make gaps.
const SEARCH_PAUSE: Duration = Duration::from_secs(600);

/// If a search fails, the next one is not earlier than this.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// If more events were read during a search, the next batch that leaves some out begins a new one.
const SEEN_MAX: usize = 20_000;

/// What a room may lack, by room. It is kept while rooms are read anew.
#[derive(Debug, Default)]
pub(super) struct Backlogs(BTreeMap<String, Backlog>);

#[derive(Debug, Default)]
struct Backlog {
    search: Option<Search>,
    /// When gaps were searched last.
    searched: Option<Instant>,
    /// Gaps that no homeserver filled.
    given_up: BTreeSet<Gap>,
}

pub(super) type Gap = (RunId, Missing);

/// A room of which events may be missing.
#[derive(Debug)]
struct Search {
    /// The newest event before them. None: it is unknown, or a gap is searched: as much as possible is read.
    until: Option<String>,
    /// Events after `until` that were read.
    seen: BTreeSet<String>,
    tries: u32,
    due: Instant,
    /// A batch left events out. Otherwise the gap itself shows what is missing.
    left_out: bool,
}

impl Backlogs {
    /// A batch left events of a room out. `until`: the newest event before it.
    pub(super) fn left_out(&mut self, room: &str, until: Option<String>) {
        let known = &mut self.0.entry(room.to_owned()).or_default().search;
        known.take_if(|search| search.seen.len() > SEEN_MAX);
        let search = known.get_or_insert_with(|| Search::new(until, Instant::now()));
        (search.left_out, search.tries, search.due) = (true, 0, Instant::now());
    }

    /// Events of a room were read.
    pub(super) fn read(&mut self, room: &str, events: impl Iterator<Item = String>) {
        if let Some(search) = self.search_of(room) {
            search.seen.extend(events);
        }
    }

    /// These gaps are in the journals of a room.
    pub(super) fn gaps(&mut self, room: &str, gaps: &[Gap]) {
        if gaps.is_empty() {
            return;
        }
        let backlog = self.0.entry(room.to_owned()).or_default();
        let may_search = backlog.searched.is_none_or(|at| at.elapsed() >= SEARCH_PAUSE);
        let is_new = gaps.iter().any(|gap| !backlog.given_up.contains(gap));
        if backlog.search.is_none() && may_search && is_new {
            let now = Instant::now();
            backlog.searched = Some(now);
            backlog.search = Some(Search::new(None, now + GAP_PAUSE));
        }
    }

    /// Whether events of a room were left out, and the room was not read backwards since.
    pub(super) fn is_unknown(&self, room: &str) -> bool {
        let search = self.0.get(room).and_then(|backlog| backlog.search.as_ref());
        search.is_some_and(|search| search.left_out && search.tries == 0)
    }

    /// When a room is read backwards next.
    pub(super) fn due(&self, room: &str) -> Option<Instant> {
        self.0.get(room)?.search.as_ref().map(|search| search.due)
    }

    /// Begins to read a room backwards, up to the event that this gives.
    pub(super) fn begin(&mut self, room: &str) -> Option<String> {
        let search = self.search_of(room)?;
        search.due = Instant::now() + RETRY_PAUSE;
        search.until.clone()
    }

    /// Whether an event that was read backwards is new.
    pub(super) fn is_new(&self, room: &str, found: &[String]) -> bool {
        let search = self.0.get(room).and_then(|backlog| backlog.search.as_ref());
        search.is_some_and(|search| found.iter().any(|event| !search.seen.contains(event)))
    }

    /// The room was read backwards. `gaps` are still in its journals.
    pub(super) fn end(&mut self, room: &str, found: Vec<String>, gaps: Vec<Gap>) {
        let came = self.is_new(room, &found);
        let Some(backlog) = self.0.get_mut(room) else { return };
        let Some(search) = &mut backlog.search else { return };
        search.due = Instant::now() + Duration::from_secs(1 << search.tries.min(TRIES_MAX));
        search.tries += 1;
        search.seen.extend(found);
        let goes_on = search.tries < TRIES_MIN && search.left_out;
        if !goes_on && (search.tries >= TRIES_MAX || (!came && gaps.is_empty())) {
            backlog.search = None;
            backlog.given_up = gaps.into_iter().collect();
        }
    }

    fn search_of(&mut self, room: &str) -> Option<&mut Search> {
        self.0.get_mut(room)?.search.as_mut()
    }
}

impl Search {
    fn new(until: Option<String>, due: Instant) -> Self {
        Self { until, seen: BTreeSet::new(), tries: 0, due, left_out: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "!r";

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|n| n.to_string()).collect()
    }

    fn gap(from: u64) -> Gap {
        (RunId::from_parts(1, 1), Missing { epoch: 0, from, to: from })
    }

    /// How often a room is read backwards, if each time so many events are found.
    fn tries(backlogs: &mut Backlogs, found: impl Fn(usize) -> usize, gaps: &[Gap]) -> usize {
        let mut tries = 0;
        while backlogs.due(ROOM).is_some() {
            backlogs.begin(ROOM);
            tries += 1;
            backlogs.end(ROOM, ids(found(tries)), gaps.to_vec());
        }
        tries
    }

    #[test]
    fn a_room_is_read_backwards_until_nothing_new_comes() {
        let mut backlogs = Backlogs::default();
        backlogs.left_out(ROOM, None);
        backlogs.read(ROOM, ids(5).into_iter());
        assert!(
            backlogs.is_unknown(ROOM) && !backlogs.is_new(ROOM, &ids(5)) && backlogs.is_new(ROOM, &ids(6))
        );
        assert_eq!(tries(&mut backlogs, |_| 5, &[]), 3);
        assert!(!backlogs.is_unknown(ROOM));
        backlogs.left_out(ROOM, None);
        assert_eq!(tries(&mut backlogs, |n| n.min(5), &[]), 6, "the last one found nothing new");
    }

    #[test]
    fn what_is_heard_meanwhile_is_not_new() {
        let mut backlogs = Backlogs::default();
        backlogs.left_out(ROOM, Some("$before".to_owned()));
        assert_eq!(backlogs.begin(ROOM).as_deref(), Some("$before"));
        backlogs.end(ROOM, ids(2), Vec::new());
        backlogs.read(ROOM, ids(9).into_iter());
        assert!(!backlogs.is_new(ROOM, &ids(9)));
    }

    #[test]
    fn a_gap_that_nobody_fills_is_given_up_and_does_not_hold_up_what_was_read() {
        let mut backlogs = Backlogs::default();
        backlogs.gaps(ROOM, &[gap(3)]);
        assert!(backlogs.due(ROOM).is_some() && !backlogs.is_unknown(ROOM));
        assert_eq!(tries(&mut backlogs, |_| 0, &[gap(3)]), TRIES_MAX as usize);
        backlogs.gaps(ROOM, &[gap(3)]);
        assert_eq!(backlogs.due(ROOM), None, "it is known");
        backlogs.gaps(ROOM, &[gap(3), gap(7)]);
        assert_eq!(backlogs.due(ROOM), None, "not so soon again");
        backlogs.left_out(ROOM, None);
        assert!(backlogs.due(ROOM).is_some());
    }
}
