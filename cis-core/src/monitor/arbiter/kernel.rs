//! Layer 3: who waits for the terminal, as the kernel shows it, over the last looks at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cells::same_cells;
use crate::ids::TimestampMs;
use crate::monitor::evidence::{KernelEvidence, Modes, Reader, ReaderHow};
use crate::monitor::screen::{Page, is_carrier};

/// CPU of the tree above which it is at work, percent of one core.
const BUSY_PERCENT: u64 = 20;
/// Between two looks for that to be told, ms.
const BUSY_GAP_MS: i64 = 200;
/// A program that polls may be awake at one look, as it writes something. It still counts as polling for this long, and for one look at
/// least.
const LAPSE_MS: i64 = 2500;

/// A program that sleeps between its looks at its terminal counts as waiting only if it was seen to do so for longer than this, ms. The
/// host cannot tell its sleep from the last second of a longer one.
const NAPS_MS: i64 = 1000;

/// The last look and what the ones before it tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Kernel {
    pub(super) last: Option<KernelEvidence>,
    pub(super) at_ms: Option<TimestampMs>,
    /// When a reader of the session's own terminal was last seen.
    own_ms: Option<TimestampMs>,
    /// That reader, if it polled; none after a key.
    polled: Option<Reader>,
    /// What the screen showed at that look; none: it is not known, and who read then may have read
    /// something else.
    on: Option<Arc<Page>>,
    /// The next look at the screen is of that moment: nothing came since.
    unplaced: bool,
    /// When a process was last seen to wait for a terminal, or could not be looked into.
    waited_ms: Option<TimestampMs>,
    /// When a process was first seen asleep between its looks at a terminal, since the last output.
    napped_ms: Option<TimestampMs>,
    /// Readers that sat in a read at every look since.
    reads: BTreeMap<u32, TimestampMs>,
    /// CPU use between the last two looks, percent of a core; none: they were too near.
    busy_percent: Option<u64>,
}

impl Kernel {
    pub(super) fn take(&mut self, evidence: &KernelEvidence, now: TimestampMs) {
        if let (Some(old), Some(at)) = (&self.last, self.at_ms)
            && now - at >= BUSY_GAP_MS
        {
            self.busy_percent = Some(cpu_percent(old, evidence, now - at));
        }
        let sits = |reader: &&Reader| reader.how == ReaderHow::Read;
        let reads = evidence.readers.iter().filter(sits).map(|reader| {
            let since = self.reads.get(&reader.pid).copied().unwrap_or(now);
            (reader.pid, since)
        });
        self.reads = reads.collect();
        let napped_ms = evidence.readers.iter().any(|reader| reader.sleeps).then_some(now);
        self.napped_ms = self.napped_ms.or(napped_ms);
        let naps = napped_ms.is_some() && self.napped_ms.is_some_and(|first| now - first > NAPS_MS);
        if naps || evidence.opaque || evidence.readers.iter().any(|reader| !reader.sleeps) {
            self.waited_ms = Some(now);
        }
        let lapsed = self.lapsed(evidence, now).cloned();
        let last = self.last.insert(evidence.clone());
        last.readers.extend(lapsed.clone());
        self.at_ms = Some(now);
        self.polled = match self.own().filter(|_| lapsed.is_none()).cloned() {
            Some(own) => {
                self.own_ms = Some(now);
                (own.how == ReaderHow::Poll).then_some(own)
            }
            None => lapsed,
        };
        (self.on, self.unplaced) = (None, true);
    }

    /// Who polled at the last look, and is awake for a moment in this one: it does not compute.
    fn lapsed(&self, evidence: &KernelEvidence, now: TimestampMs) -> Option<&Reader> {
        // At rest, the last look may be some seconds old.
        let is_first = self.own_ms == self.at_ms;
        let since = now - self.own_ms.filter(|seen| is_first || now - seen < LAPSE_MS)?;
        let (reader, last) = (self.polled.as_ref()?, self.last.as_ref()?);
        let is_seen = evidence.opaque || evidence.readers.iter().any(|reader| !reader.nested);
        let is_same = evidence.foreground == last.foreground && evidence.modes == last.modes;
        let computes =
            self.busy() == Some(true) || cpu_percent(last, evidence, since.min(LAPSE_MS)) >= BUSY_PERCENT;
        (!is_seen && is_same && !computes).then_some(reader)
    }

    /// Something was typed: who polled may do something now.
    pub(super) fn typed(&mut self) {
        self.polled = None;
    }

    /// It polled before the last look, and was awake at that: the next look tells whether it does so again.
    pub(super) fn is_awake(&self) -> bool {
        self.polled.is_some() && self.at_ms != self.own_ms
    }

    /// The screen of that moment.
    pub(super) fn place(&mut self, page: &Arc<Page>) {
        if std::mem::take(&mut self.unplaced) {
            self.on = Some(Arc::clone(page));
        }
    }

    /// Output came: the screen of that moment cannot be had any more.
    pub(super) fn passed(&mut self) {
        self.napped_ms = None;
        self.unplaced = false;
    }

    /// What the screen showed when who reads was last looked at.
    pub(super) fn on(&self) -> Option<&Page> {
        self.on.as_deref()
    }

    /// It was looked at while the screen showed just this.
    pub(super) fn saw(&self, page: &Arc<Page>) -> bool {
        self.on.as_ref().is_some_and(|on| Arc::ptr_eq(on, page) || same_cells(&on.view, &page.view))
    }

    /// As if nobody waited for a terminal.
    pub(super) fn without_readers(&mut self) {
        self.reads.clear();
        (self.own_ms, self.polled, self.waited_ms) = (None, None, None);
        if let Some(last) = &mut self.last {
            last.readers.clear();
            last.opaque = false;
        }
    }

    /// As if this one waited as well.
    pub(super) fn with_reader(&mut self, reader: &Reader) {
        (self.own_ms, self.waited_ms) = (self.at_ms, self.at_ms);
        if reader.how == ReaderHow::Read {
            self.reads.insert(reader.pid, self.at_ms.unwrap_or_default());
        }
        self.last.iter_mut().for_each(|last| last.readers.push(reader.clone()));
    }

    /// As if the tree computed, or did not.
    pub(super) fn set_busy(&mut self, is_busy: bool) {
        self.busy_percent = Some(if is_busy { 100 } else { 0 });
    }

    /// A look of that time or later found a process that waits for a terminal, or that cannot be looked into.
    pub(super) fn waited_since(&self, since: TimestampMs) -> bool {
        self.waited_ms.is_some_and(|waited| waited >= since)
    }

    pub(super) fn seen_since(&self, since: TimestampMs) -> Option<&KernelEvidence> {
        self.at_ms.filter(|at| *at >= since).and(self.last.as_ref())
    }

    /// A reader of the session's own terminal, the surest first.
    pub(super) fn own(&self) -> Option<&Reader> {
        let readers = &self.last.as_ref()?.readers;
        readers
            .iter()
            .filter(|reader| !reader.nested)
            .min_by_key(|reader| (reader.how, reader.sleeps, reader.pid))
    }

    /// Somebody waits for the session's own terminal, but for moments.
    pub(super) fn is_awaited(&self, now: TimestampMs) -> bool {
        self.own_ms.is_some_and(|seen| self.own().is_some() || now - seen < LAPSE_MS)
    }

    /// A program may pass on to a terminal inside what is typed: it waits for the session's own one, but for moments.
    pub(super) fn is_passed_on(&self, now: TimestampMs) -> bool {
        self.is_awaited(now) || self.last.as_ref().is_some_and(|last| last.opaque)
    }

    /// Nobody waits for a terminal inside, although there is one: a program that only passes on what is typed is at work, whatever it
    /// shows.
    pub(super) fn is_idle_inside(&self) -> bool {
        self.last.as_ref().is_some_and(is_idle_inside)
    }

    /// Terminals inside, side by side.
    pub(super) fn beside(&self) -> u32 {
        self.last.as_ref().map_or(0, |last| last.beside)
    }

    /// Who waits for a terminal inside, in whichever way: the surest first.
    pub(super) fn inside_waits(&self) -> Option<&Reader> {
        let sitting = self.nested().map(|(reader, _)| reader);
        sitting.or_else(|| self.last.as_ref()?.readers.iter().find(|reader| is_innermost(reader)))
    }

    /// See [`Arbiter::passes_out_of_sight`](super::Arbiter::passes_out_of_sight). `plain`: the program has no profile. An agent that has one asks
    /// for itself, whatever its connections are.
    pub(super) fn passes_out_of_sight(&self, plain: bool) -> Option<&str> {
        let last = self.last.as_ref()?;
        let inside = self.inside_waits();
        if !plain {
            return inside.map(|reader| reader.name.as_str()).filter(|name| is_carrier(name));
        }
        // It runs as somebody else, as `sudo` has it. Who is seen to sit in a read of a line asks for itself.
        let asks_itself = |own: &Reader| own.how == ReaderHow::Read && !may_pass_on(own, last);
        if (last.opaque && !self.own().is_some_and(asks_itself)) || last.inside_opaque {
            return Some(last.foreground.first().map_or("a program of another user", String::as_str));
        }
        let own = self.own().filter(|_| last.beside == 0 || inside.is_none());
        own.into_iter()
            .chain(inside)
            .find(|reader| may_pass_on(reader, last))
            .map(|reader| reader.name.as_str())
    }

    /// A reader of a terminal inside that sits in a read, and since when it was seen so: one of a secret before all others, for which
    /// of them gets what is typed is the program's outside to say.
    pub(super) fn nested(&self) -> Option<(&Reader, TimestampMs)> {
        let readers = &self.last.as_ref()?.readers;
        let sits = |reader: &&Reader| is_innermost(reader) && reader.how == ReaderHow::Read;
        readers
            .iter()
            .filter(sits)
            .filter_map(|reader| Some((reader, *self.reads.get(&reader.pid)?)))
            .min_by_key(|(reader, since)| (!hides(reader.modes), *since))
    }

    /// Since when this process sits in its read at every look.
    pub(super) fn sits_since(&self, pid: u32) -> Option<TimestampMs> {
        self.reads.get(&pid).copied()
    }

    /// Whether the tree computes; none: not known.
    pub(super) fn busy(&self) -> Option<bool> {
        self.busy_percent.map(|percent| percent >= BUSY_PERCENT)
    }

    /// Who reads may tell something; of a program that listens in every state, only a secret or a terminal inside.
    pub(super) fn tells(&self, listens: bool) -> bool {
        let Some(last) = &self.last else { return false };
        let own = last.opaque || last.readers.iter().any(|reader| !reader.nested);
        let inside = last.readers.iter().any(|reader| reader.nested);
        inside || (own && (!listens || hides(last.modes)))
    }

    /// Anybody who could take what is typed.
    pub(super) fn anybody(&self) -> bool {
        self.last.as_ref().is_none_or(|last| last.opaque || !last.readers.is_empty())
    }
}

/// CPU use between two looks that are `wall_ms` apart, percent of a core.
fn cpu_percent(from: &KernelEvidence, to: &KernelEvidence, wall_ms: i64) -> u64 {
    to.cpu_ms.saturating_sub(from.cpu_ms) * 100 / wall_ms.unsigned_abs().max(1)
}

/// What this reader gets may be for another program: a peer, or one inside its own terminal that is at work. At a question of its own, a
/// known carrier sits in a read of a line.
fn may_pass_on(reader: &Reader, look: &KernelEvidence) -> bool {
    let takes_all = reader.how == ReaderHow::Poll || reader.modes.is_none_or(|modes| !modes.canonical);
    let carries = takes_all && is_carrier(&reader.name);
    reader.sleeps || reader.peer || carries || (!reader.nested && is_idle_inside(look))
}

/// See [`Kernel::is_idle_inside`].
fn is_idle_inside(look: &KernelEvidence) -> bool {
    let waits =
        look.inside_opaque || look.readers.iter().any(|reader| is_innermost(reader) && !reader.sleeps);
    look.beside > 0 && !waits
}

/// A program polls, and takes each key as it comes, for a terminal inside where nobody waits.
pub(super) fn is_passed_to_nobody(look: &KernelEvidence) -> bool {
    let sits = |reader: &Reader| !reader.nested && reader.how == ReaderHow::Read;
    is_raw(look.modes) && is_idle_inside(look) && !look.readers.iter().any(sits)
}

/// It waits for a terminal inside that has no other one inside: nobody passes on what it reads.
fn is_innermost(reader: &Reader) -> bool {
    reader.nested && !reader.outer
}

/// Lines are collected and not shown: a password.
pub(super) fn hides(modes: Option<Modes>) -> bool {
    modes.is_some_and(|modes| modes.canonical && !modes.echo)
}

/// What is typed is taken as it comes, by a program that shows it itself.
pub(super) fn is_raw(modes: Option<Modes>) -> bool {
    modes.is_some_and(|modes| !modes.canonical && !modes.echo)
}
