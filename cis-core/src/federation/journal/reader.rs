//! The reader of a run's journal: batches in the order of the timeline, once or several times; entries out in theirs.
//!
//! What could not be read at once may come later, when the room is read again. Entries that were given already may be
//! void then: it says from where on, and their reader has to go back. What it holds is bounded; what it had to drop is
//! told as missing, and has to be read again.

use std::collections::BTreeMap;

use super::batch::{Batch, Linked};
use super::line::{Added, Header, Line};
use crate::federation::link::{EntryHash, Position};
use crate::federation::room_event::Entry;
use crate::ids::{Epoch, NodeDid, RunId};

/// Entries that cannot be given yet are kept up to so many bytes.
const HELD_BYTES_MAX: usize = 8 << 20;

/// Reads the journal of one run.
#[derive(Debug, Clone)]
pub struct Reader {
    run: RunId,
    line: Line,
    held: BTreeMap<(Epoch, u64, EntryHash), Held>,
    held_bytes: usize,
    /// So many entries of the line were given.
    given: usize,
    /// The order in which entries stand is known only at the end of the room.
    is_reading_again: bool,
}

#[derive(Debug, Clone)]
struct Held {
    by: NodeDid,
    entry: Entry,
    size: usize,
}

/// An entry that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Its place.
    pub at: Position,
    /// Who coordinated the run then.
    pub by: NodeDid,
    /// It.
    pub entry: Entry,
}

/// What a batch led to.
#[derive(Debug, Default, PartialEq)]
pub struct Taken {
    /// Entries after this one that were given before are void: a takeover cut them off.
    pub cut: Option<Position>,
    /// Entries that count from now on, in order.
    pub entries: Vec<Placed>,
    /// What is to be told.
    pub reports: Vec<Report>,
}

/// What is strange about a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It is about another run: nothing was taken.
    OtherRun,
    /// All of it was known.
    Duplicate,
    /// Two entries have the same place: a coordinator wrote after a restore, or several say to be one.
    Fork {
        /// The term.
        epoch: Epoch,
        /// The entry.
        n: u64,
        /// Who wrote this one.
        by: NodeDid,
    },
    /// The run has more entries than are remembered: no more are taken.
    Full,
}

/// Entries that are known to be there and were not read: they, or a snapshot that stands for them, have to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Of this term.
    pub epoch: Epoch,
    /// From this one.
    pub from: u64,
    /// To this one.
    pub to: u64,
}

impl Reader {
    /// Reads from the first entry on.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self::at(run, Line::new(Position::start(run), None))
    }

    /// Goes on after `base`, which `by` wrote.
    #[must_use]
    pub fn after(run: RunId, base: Position, by: NodeDid) -> Self {
        Self::at(run, Line::new(base, Some(by)))
    }

    fn at(run: RunId, line: Line) -> Self {
        Self { run, line, held: BTreeMap::new(), held_bytes: 0, given: 0, is_reading_again: false }
    }

    /// A snapshot was read: the journal goes on after `base`. It is taken only before the first entry was given.
    pub fn begin_after(&mut self, base: Position, by: NodeDid) -> Taken {
        let mut taken = Taken::default();
        if self.given == 0 {
            self.line.rebase(base, by);
            self.go_on(&mut taken);
        }
        taken
    }

    /// The room is read once more from some place on, in the order of its timeline. Nothing is given before
    /// [`Self::read_to_end`].
    pub fn read_again(&mut self) {
        self.line.read_again();
        self.is_reading_again = true;
    }

    /// The room was read to its end.
    pub fn read_to_end(&mut self) -> Taken {
        let mut taken = Taken::default();
        if std::mem::take(&mut self.is_reading_again) {
            self.go_on(&mut taken);
            self.bound();
        }
        taken
    }

    /// The newest entry that was given, or where the journal begins.
    #[must_use]
    pub fn position(&self) -> Position {
        match self.given {
            0 => self.line.base(),
            given => self.line.entries()[given - 1],
        }
    }

    /// Whether an entry counts. None: that is not known yet, as it or one before it was not read.
    #[must_use]
    pub fn counts(&self, entry: Position) -> Option<bool> {
        self.line.counts(entry)
    }

    /// Takes a batch.
    pub fn take(&mut self, batch: Batch) -> Taken {
        let writer = batch.by.clone();
        self.take_as(batch, &writer)
    }

    /// Takes a batch of a node that began to write as `writer`, and has another key since.
    pub fn take_as(&mut self, batch: Batch, writer: &NodeDid) -> Taken {
        let mut taken = Taken::default();
        if batch.run != self.run {
            taken.reports.push(Report::OtherRun);
            return taken;
        }
        let mut news = false;
        for linked in batch.entries {
            news |= self.add(linked, &batch.by, writer, &mut taken.reports);
        }
        if self.is_reading_again {
            return taken;
        }
        if news {
            self.go_on(&mut taken);
        } else if taken.reports.is_empty() {
            taken.reports.push(Report::Duplicate);
        }
        self.bound();
        taken
    }

    /// A term of which entries were read, but not the takeover with which it began. `may`: whether a writer may coordinate.
    #[must_use]
    pub fn unfounded(&self, may: impl Fn(&NodeDid) -> bool) -> Option<Epoch> {
        self.line.unfounded(may)
    }

    /// Whether there are entries of a later term, of which it is not known whether they count. `may`: as above.
    #[must_use]
    pub fn knows_later_term(&self, may: impl Fn(&NodeDid) -> bool) -> bool {
        self.line.knows_later_term(may)
    }

    /// What has to be read again.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let mut found: Vec<Missing> =
            self.line.gaps().into_iter().map(|(epoch, from, to)| Missing { epoch, from, to }).collect();
        let lost = |at: &&Position| !self.held.contains_key(&(at.epoch, at.n, at.head));
        let rest = &self.line.entries()[self.given..];
        if let Some(first) = rest.first() {
            // It could not be given, so its content is gone.
            let of_term = rest.iter().take_while(|at| at.epoch == first.epoch).take_while(lost);
            let to = of_term.last().map_or(first.n, |last| last.n);
            found.push(Missing { epoch: first.epoch, from: first.n, to });
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether an entry told something new.
    fn add(&mut self, linked: Linked, by: &NodeDid, writer: &NodeDid, reports: &mut Vec<Report>) -> bool {
        let Linked { at, prev, step, in_file, entry, size } = linked;
        let header = Header { at, prev, by: writer.clone(), step };
        match self.line.add(header, in_file) {
            Added::New => {}
            Added::Fork => reports.push(Report::Fork { epoch: at.epoch, n: at.n, by: by.clone() }),
            // Its content may have been dropped.
            Added::Known if self.wants(at) => {}
            Added::Known => return false,
            Added::Full => {
                if !reports.contains(&Report::Full) {
                    reports.push(Report::Full);
                }
                return false;
            }
        }
        let held = Held { by: by.clone(), entry, size };
        self.held_bytes += size;
        if let Some(old) = self.held.insert((at.epoch, at.n, at.head), held) {
            self.held_bytes -= old.size;
        }
        true
    }

    /// Whether the content of a known entry is still to be given.
    fn wants(&self, at: Position) -> bool {
        if self.held.contains_key(&(at.epoch, at.n, at.head)) {
            return false;
        }
        let index = at.n.checked_sub(self.line.base().n + 1).and_then(|index| usize::try_from(index).ok());
        index.is_some_and(|index| index >= self.given && self.line.entries().get(index) == Some(&at))
    }

    fn go_on(&mut self, taken: &mut Taken) {
        let same = self.line.settle();
        if same < self.given {
            self.given = same;
            taken.cut = Some(self.position());
        }
        while let Some(at) = self.line.entries().get(self.given) {
            let Some(held) = self.held.remove(&(at.epoch, at.n, at.head)) else { break };
            self.held_bytes -= held.size;
            taken.entries.push(Placed { at: *at, by: held.by, entry: held.entry });
            self.given += 1;
        }
    }

    /// Drops what is furthest from its turn.
    fn bound(&mut self) {
        while self.held_bytes > HELD_BYTES_MAX
            && let Some((_, dropped)) = self.held.pop_last()
        {
            self.held_bytes -= dropped.size;
        }
    }
}
