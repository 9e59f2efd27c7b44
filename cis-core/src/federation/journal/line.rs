//! Which entries of a journal count: a function of the entries, in the order of the room's timeline.
//!
//! In a term the coordinator's entries follow each other. A takeover counts where it follows what was the newest entry
//! when it came; so the first of two does, and what the old coordinator says after it does not. What counted once counts
//! for good, unless a person chose another coordinator of an earlier place. Every node that has read as far comes to the same line.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::federation::link::{EntryHash, Position};
use crate::ids::{Epoch, NodeDid};

/// So many entries of one run are remembered.
const HEADERS_MAX: usize = 1 << 20;

/// An entry without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) at: Position,
    pub(super) prev: EntryHash,
    pub(super) by: NodeDid,
    pub(super) step: Step,
}

/// What an entry does to its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is one of those in a term.
    Follows,
    /// It begins a term, where it follows what was the newest entry when it came.
    TakesOver,
    /// It begins a term wherever it stands in the timeline. Each of two homeservers that are cut off from each other has its own timeline.
    /// What a majority of the voters chose counts before what a person did.
    TakesOverAnywhere { voted: bool },
    /// It begins a term also where what follows the entry before it came in a file: others miss that file.
    TakesOverBeforeFile,
}

impl Step {
    pub(super) const fn takes_over(self) -> bool {
        !matches!(self, Self::Follows)
    }
}

/// Where an entry stands in the timeline: in which reading of the room it was found, and as which one.
type Order = (u32, usize);

#[derive(Debug, Clone)]
struct Known {
    header: Header,
    order: Order,
    /// Where it stands outside of files, which may be missing for others.
    inline: Option<Order>,
}

/// What became of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    New,
    Known,
    /// Another entry stands in its place.
    Fork,
    /// No more are remembered.
    Full,
}

/// The entries that are known, and those that count.
#[derive(Debug, Clone)]
pub(super) struct Line {
    base: Position,
    base_by: Option<NodeDid>,
    headers: BTreeMap<(Epoch, u64), Vec<Known>>,
    count: usize,
    reading: u32,
    found: usize,
    /// There are takeovers or forks, so the whole line may change.
    branches: bool,
    line: Vec<Position>,
    by: Option<NodeDid>,
}

impl Line {
    /// A line that begins after `base`, which `by` wrote; none: whoever writes the first entry.
    pub(super) fn new(base: Position, by: Option<NodeDid>) -> Self {
        Self {
            base,
            base_by: by.clone(),
            headers: BTreeMap::new(),
            count: 0,
            reading: 0,
            found: 0,
            branches: false,
            line: Vec::new(),
            by,
        }
    }

    /// Begins it after another entry. What is known stays known.
    pub(super) fn rebase(&mut self, base: Position, by: NodeDid) {
        (self.base, self.base_by, self.branches) = (base, Some(by), true);
    }

    /// The room is read once more from some place on: what is found from now on stands where it is found now.
    pub(super) fn read_again(&mut self) {
        self.reading += 1;
    }

    /// The entries that count, in order. They are numbered without a gap.
    pub(super) fn entries(&self) -> &[Position] {
        &self.line
    }

    /// Whether an entry counts. None: that is not known yet, as it or one before it was not read.
    pub(super) fn counts(&self, entry: Position) -> Option<bool> {
        let mut at = entry;
        loop {
            let known = if at.n == self.base.n { Some(&self.base) } else { self.line.get(self.index(at.n)?) };
            match known {
                Some(known) if *known != at => return Some(false),
                Some(_) => return (at == entry).then_some(true),
                None => {}
            }
            // The line is not as long: an entry before this one may stand where another one counts.
            let header = &self.headers.get(&(at.epoch, at.n))?.iter().find(|k| k.header.at == at)?.header;
            let terms = if header.step.takes_over() {
                self.base.epoch..=at.epoch.checked_sub(1)?
            } else {
                at.epoch..=at.epoch
            };
            let mut before = terms.rev().filter_map(|epoch| self.headers.get(&(epoch, at.n - 1))).flatten();
            at = match before.find(|k| k.header.at.head == header.prev) {
                Some(known) => known.header.at,
                None if self.base.head == header.prev => self.base,
                None => return None,
            };
        }
    }

    /// The newest entry that counts, or where the line begins.
    pub(super) fn tip(&self) -> Position {
        self.line.last().copied().unwrap_or(self.base)
    }

    /// Where the line begins.
    pub(super) fn base(&self) -> Position {
        self.base
    }

    /// Takes a header. `in_file`: its entry came in a file.
    pub(super) fn add(&mut self, header: Header, in_file: bool) -> Added {
        let order = (self.reading, self.found);
        self.found += 1;
        let place = self.headers.entry((header.at.epoch, header.at.n)).or_default();
        if let Some(known) = place.iter_mut().find(|known| known.header.at == header.at) {
            if !in_file && known.inline.is_none_or(|before| before.0 < self.reading) {
                known.inline = Some(order);
            }
            // Repeated in the same reading it stands where it came first.
            if known.order.0 < self.reading {
                known.order = order;
            }
            return Added::Known;
        }
        if self.count >= HEADERS_MAX {
            return Added::Full;
        }
        self.count += 1;
        let fork = !place.is_empty() && !header.step.takes_over();
        self.branches |= !place.is_empty() || header.step.takes_over();
        let inline = (!in_file).then_some(order);
        place.push(Known { header, order, inline });
        if fork { Added::Fork } else { Added::New }
    }

    /// Finds out anew which entries count. So many at the beginning are those that did before.
    pub(super) fn settle(&mut self) -> usize {
        let before = self.line.len();
        if !self.branches {
            let (mut line, by) = (std::mem::take(&mut self.line), self.by.take());
            self.by = self.follow(&mut line, self.base.epoch, by);
            self.line = line;
            return before;
        }
        let (line, by) = self.whole();
        let same = line.iter().zip(&self.line).take_while(|(new, old)| new == old).count();
        (self.line, self.by) = (line, by);
        same
    }

    fn whole(&self) -> (Vec<Position>, Option<NodeDid>) {
        let mut line = Vec::new();
        let mut epoch = self.base.epoch;
        let mut by = self.follow(&mut line, epoch, self.base_by.clone());
        while let Some(next) = self.takeover(&line, epoch) {
            // What came after the cut is void.
            line.truncate(self.index(next.at.n).unwrap_or(0));
            line.push(next.at);
            epoch += 1;
            by = self.follow(&mut line, epoch, Some(next.by.clone()));
        }
        (line, by)
    }

    /// Adds what follows in this term.
    fn follow(&self, line: &mut Vec<Position>, epoch: Epoch, mut by: Option<NodeDid>) -> Option<NodeDid> {
        loop {
            let tip = line.last().unwrap_or(&self.base);
            let here = self.headers.get(&(epoch, tip.n + 1)).into_iter().flatten();
            let next = here
                .filter(|k| !k.header.step.takes_over() && k.header.prev == tip.head)
                .filter(|k| by.as_ref().is_none_or(|by| *by == k.header.by))
                .min_by_key(|k| k.order);
            let Some(Known { header: next, .. }) = next else { return by };
            line.push(next.at);
            if by.is_none() {
                by = Some(next.by.clone());
            }
        }
    }

    /// The takeover that ends the term `epoch`, whose line this is.
    fn takeover(&self, line: &[Position], epoch: Epoch) -> Option<&Header> {
        let next = epoch.checked_add(1)?;
        let connected = || self.takeovers(next).filter(|k| self.connects(line, &k.header, epoch));
        let voted = |k: &Known| match k.header.step {
            Step::TakesOverAnywhere { voted } => Some(voted),
            _ => None,
        };
        let forced = connected().filter_map(|k| Some((k, voted(k)?)));
        let by_order = || {
            let first = connected().filter(|k| self.followed_the_tip(line, k)).min_by_key(|k| k.order);
            first.filter(|k| !self.may_be_late(line, k))
        };
        // Of several forced ones every reader takes the same one.
        let chosen = forced.min_by_key(|(k, voted)| (Reverse(*voted), k.header.at.head)).map(|(k, _)| k);
        chosen.or_else(by_order).map(|k| &k.header)
    }

    fn takeovers(&self, epoch: Epoch) -> impl Iterator<Item = &Known> {
        let of_term = self.headers.range((epoch, 0)..=(epoch, u64::MAX)).flat_map(|(_, here)| here);
        of_term.filter(|k| k.header.step.takes_over())
    }

    /// Whether the old term's next entry came after this takeover, or there is none.
    fn followed_the_tip(&self, line: &[Position], takeover: &Known) -> bool {
        let next = self.index(takeover.header.at.n).and_then(|index| line.get(index));
        let leaves_out = takeover.header.step == Step::TakesOverBeforeFile;
        let stands = |next: &Known| if leaves_out { next.inline } else { Some(next.order) };
        next.and_then(|at| self.known(*at)).and_then(stands).is_none_or(|order| order > takeover.order)
    }

    /// Whether another takeover came before this one, of which somebody who misses a file cannot say whether it counts. Who has the file
    /// knows that it does, or that it follows nothing.
    fn may_be_late(&self, line: &[Position], takeover: &Known) -> bool {
        let tip = line.last().unwrap_or(&self.base);
        let is_open = |k: &Known| k.order < takeover.order && k.header.at.n > tip.n + 1;
        takeover.header.step == Step::TakesOverBeforeFile
            && self.takeovers(takeover.header.at.epoch).any(is_open)
    }

    fn known(&self, at: Position) -> Option<&Known> {
        self.headers.get(&(at.epoch, at.n))?.iter().find(|k| k.header.at == at)
    }

    /// Whether the entry before `header` is one of this term on the line.
    fn connects(&self, line: &[Position], header: &Header, epoch: Epoch) -> bool {
        let before = match self.index(header.at.n) {
            Some(0) => Some(&self.base),
            Some(index) => line.get(index - 1),
            None => None,
        };
        before.is_some_and(|before| before.head == header.prev && before.epoch == epoch)
    }

    /// Place of the entry `n` on the line.
    fn index(&self, n: u64) -> Option<usize> {
        usize::try_from(n.checked_sub(self.base.n + 1)?).ok()
    }

    /// The first term after the line of which there are entries, but no takeover that they could follow.
    /// Entries of writers that `may` not coordinate do not count.
    pub(super) fn unfounded(&self, may: impl Fn(&NodeDid) -> bool) -> Option<Epoch> {
        let later = self.tip().epoch.checked_add(1)?;
        let mut headers = self.headers.range((later, 0)..).flat_map(|(_, here)| here).map(|k| &k.header);
        let founds = |h: &Header| {
            let mut of_term = self.takeovers(h.at.epoch);
            of_term.any(|k| k.header.by == h.by && k.header.at.n < h.at.n)
        };
        headers.find(|h| !h.step.takes_over() && may(&h.by) && !founds(h)).map(|h| h.at.epoch)
    }

    /// Whether there are entries of a later term, of which it is not known whether they count. Those of writers that `may` not coordinate do not.
    pub(super) fn knows_later_term(&self, may: impl Fn(&NodeDid) -> bool) -> bool {
        let Some(later) = self.tip().epoch.checked_add(1) else { return false };
        let mut headers = self.headers.range((later, 0)..).flat_map(|(_, here)| here).map(|k| &k.header);
        headers.any(|h| may(&h.by) && self.counts(h.at).is_none())
    }

    /// Numbers of entries that are known to be there and are not: the term, the first, the last.
    pub(super) fn gaps(&self) -> Vec<(Epoch, u64, u64)> {
        let mut found = Vec::new();
        let tip = self.tip();
        let above = (tip.epoch, tip.n + 1)..=(tip.epoch, u64::MAX);
        // Others' entries of this term are of a takeover that does not count.
        let follows = |h: &&Header| !h.step.takes_over() && self.by.as_ref().is_none_or(|by| *by == h.by);
        let mut later =
            self.headers.range(above).flat_map(|(_, here)| here).map(|k| &k.header).filter(follows);
        if let Some(next) = later.next().map(|h| h.at.n).filter(|next| *next > tip.n + 1) {
            found.push((tip.epoch, tip.n + 1, next - 1));
        }
        // Takeovers whose last entry is not here: one of them may count in the end.
        let epochs = self.base.epoch..=tip.epoch;
        for epoch in epochs {
            let Some(next) = epoch.checked_add(1) else { break };
            let of_term = self.line.iter().filter(|at| at.epoch == epoch).map(|at| at.n);
            let known = of_term.max().unwrap_or(self.base.n);
            for header in self.takeovers(next).map(|k| &k.header).filter(|h| h.at.n > known + 1) {
                let absent = |n: &u64| !self.headers.contains_key(&(epoch, *n));
                let Some(from) = (known + 1..header.at.n).find(absent) else { continue };
                // Its number is whatever its writer says: nothing may count up to it.
                let present = self.headers.range((epoch, from)..(epoch, header.at.n)).next();
                let to = present.map_or(header.at.n, |((_, n), _)| *n).saturating_sub(1);
                found.push((epoch, from, to));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
