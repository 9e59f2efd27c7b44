//! One pass over bytes with the one or two sets of a redactor.
//!
//! Owns the positions of secrets in the text: a wrapped secret has line ends that its pattern does not have. Does not
//! know what happens to the bytes.

use std::collections::VecDeque;

use super::Redactor;
use super::percent::{self, Decoded};
use super::trie::{ROOT, Trie};

/// Size of the pieces in which two sets skip bytes: otherwise one set would search far beyond what the other finds.
const PIECE_BYTES: usize = 512;
/// Maximum length of a line end, bytes.
const LINE_END_BYTES: usize = 2;

/// State of a pass. Positions count the bytes taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Walk {
    at: u64,
    one: Branches,
    /// State in the second set.
    more: Branches,
}

/// State in one set.
#[derive(Debug, Clone, Default)]
struct Branches {
    /// In the text as it is.
    raw: Branch,
    /// In the text with its percent-encoded bytes decoded.
    decoded: Decoded,
}

/// State in a text as it is.
#[derive(Debug, Clone, Default)]
struct Branch {
    state: u32,
    /// Positions of the line ends inside of what may be a wrapped secret.
    line_ends: VecDeque<u64>,
}

impl Walk {
    /// Number of bytes taken.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Takes a byte. Returns where the longest secret begins that ends with it.
    pub(super) fn step(&mut self, redactor: &Redactor, byte: u8) -> Option<u64> {
        let found = self.one.step(&redactor.trie, byte, self.at);
        let more = redactor.more.as_ref().and_then(|trie| self.more.step(trie, byte, self.at));
        self.at += 1;
        found.into_iter().chain(more).min()
    }

    /// Takes bytes at the beginning in which no secret begins, and returns their number. Takes none if a secret may have
    /// begun before. `percent`: where the first `%` is, or the end.
    pub(super) fn skip(&mut self, redactor: &Redactor, bytes: &[u8], percent: usize) -> usize {
        if self.one.is_active() || self.more.is_active() {
            return 0;
        }
        if percent == 0 {
            let skipped = usize::from(!redactor.tries().any(|trie| percent::may_begin(trie, bytes)));
            self.at += skipped as u64;
            return skipped;
        }
        let bytes = &bytes[..percent];
        let skipped = match &redactor.more {
            None => redactor.trie.plain(bytes),
            Some(more) => {
                let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
                redactor.trie.plain(piece).min(more.plain(piece))
            }
        };
        self.at += skipped as u64;
        skipped
    }

    /// Returns the first byte at which a secret may begin that is not found yet.
    pub(super) fn open_from(&self, redactor: &Redactor) -> u64 {
        self.least(redactor, |trie, Branches { raw, decoded }| {
            raw.start(trie.depth(raw.state), self.at).min(decoded.open_from(trie, self.at))
        })
    }

    /// Returns the first byte that may not be shown yet: of each secret that may have begun, a quarter may be shown, at
    /// most three bytes.
    pub(super) fn shown_to(&self, redactor: &Redactor) -> u64 {
        self.least(redactor, |trie, Branches { raw, decoded }| {
            let hidden = trie.depth(raw.state) - trie.may_show(raw.state);
            raw.start(hidden, self.at).min(decoded.shown_to(trie, self.at))
        })
    }

    fn least(&self, redactor: &Redactor, place: impl Fn(&Trie, &Branches) -> u64) -> u64 {
        let one = place(&redactor.trie, &self.one);
        redactor.more.as_ref().map_or(one, |trie| one.min(place(trie, &self.more)))
    }

    /// The next byte does not follow directly.
    pub(super) fn begin_anew(&mut self) {
        (self.one, self.more) = (Branches::default(), Branches::default());
    }
}

/// The beginning of a pattern before a position.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Begun {
    /// Bytes, with the line ends where it is wrapped.
    pub(super) length: usize,
    /// More of it is there than may be shown.
    pub(super) is_hidden: bool,
}

/// Walks over bytes, and returns for each of the given positions the longest beginning of a pattern before it. The positions are
/// in order.
pub(super) fn open_at(trie: &Trie, bytes: impl Iterator<Item = u8>, positions: &[usize]) -> Vec<Begun> {
    let (mut branch, mut at) = (Branch::default(), 0);
    let mut found = Vec::with_capacity(positions.len());
    let mut bytes = bytes.fuse();
    for position in positions {
        // Positions are within the text.
        for byte in bytes.by_ref().take(*position - at as usize) {
            branch.step(trie, byte, at);
            at += 1;
        }
        let depth = trie.depth(branch.state);
        let is_hidden = trie.may_show(branch.state) < depth;
        found.push(Begun { length: (at - branch.start(depth, at)) as usize, is_hidden });
    }
    found
}

impl Branches {
    fn is_active(&self) -> bool {
        self.raw.state != ROOT || self.decoded.is_active()
    }

    fn step(&mut self, trie: &Trie, byte: u8, at: u64) -> Option<u64> {
        let decoded = self.decoded.step(trie, byte, at, || self.raw.unwrapped(trie, at));
        let raw = self.raw.step(trie, byte, at);
        raw.into_iter().chain(decoded).min()
    }
}

impl Branch {
    fn step(&mut self, trie: &Trie, byte: u8, at: u64) -> Option<u64> {
        let before = self.state;
        self.state = trie.step(before, byte);
        if self.state == ROOT {
            if before != ROOT && matches!(byte, b'\r' | b'\n') && !self.is_behind_line_end(at) {
                self.state = trie.wrapped(before);
                if self.state != ROOT {
                    self.line_ends.push_back(at);
                    return None;
                }
            }
            if !self.line_ends.is_empty() {
                self.line_ends.clear();
            }
            return None;
        }
        let matched = trie.matched(self.state);
        let found = (matched > 0).then(|| self.start(matched, at + 1));
        if !self.line_ends.is_empty() {
            let from = self.start(trie.depth(self.state), at + 1);
            while self.line_ends.pop_front_if(|line_end| *line_end < from).is_some() {}
        }
        found
    }

    /// Returns the state of the last bytes before `at` in which nothing is wrapped.
    fn unwrapped(&self, trie: &Trie, at: u64) -> u32 {
        let mut state = self.state;
        if let Some(line_end) = self.line_ends.back() {
            while trie.depth(state) as u64 > at - line_end - 1 {
                state = trie.shorter(state);
            }
        }
        state
    }

    /// Whether the bytes before this one are a line end of the maximum length.
    fn is_behind_line_end(&self, at: u64) -> bool {
        let last = self.line_ends.iter().rev().zip(1..=LINE_END_BYTES as u64);
        last.filter(|(line_end, back)| **line_end + back == at).count() == LINE_END_BYTES
    }

    /// Returns where the last `depth` bytes of a pattern begin in the text up to `end`.
    fn start(&self, depth: usize, end: u64) -> u64 {
        let mut start = end - depth as u64;
        if self.line_ends.is_empty() {
            return start;
        }
        for line_end in self.line_ends.iter().rev() {
            if *line_end < start {
                break;
            }
            start -= 1;
        }
        start
    }
}
