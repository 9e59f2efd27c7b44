//! Percent-encoding (RFC 3986, 2.1): each byte of a secret may be itself or `%XX`, with digits of either case.
//!
//! Owns a second state of a pass, after the text with its escapes decoded, and where those escapes are. It begins at a `%`
//! with the state of the pass before it, and ends when nothing in it may begin a secret: a text without `%` has none.

use std::collections::VecDeque;

use super::ESCAPE_BYTES;
use super::trie::{ROOT, Trie};

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Returns the number of bytes before the first `%`.
pub(super) fn before(bytes: &[u8]) -> usize {
    memchr::memchr(b'%', bytes).unwrap_or(bytes.len())
}

/// Whether a pattern may begin with the `%` at the beginning of these bytes. All that come after it need not be known yet.
pub(super) fn may_begin(trie: &Trie, bytes: &[u8]) -> bool {
    if trie.step(ROOT, b'%') != ROOT {
        return true;
    }
    let at = |index: usize| bytes.get(index).map(|byte| digit(*byte));
    match (at(1), at(2)) {
        (Some(Some(high)), Some(Some(low))) => trie.step(ROOT, high << 4 | low) != ROOT,
        (None | Some(Some(_)), None) => true,
        _ => false,
    }
}

/// State of a pass over decoded text.
#[derive(Debug, Clone, Default)]
pub(super) struct Decoded {
    /// State in which the bytes of an unfinished escape count as themselves.
    state: u32,
    /// Position of the last byte of each escape in what may be a secret.
    escapes: VecDeque<u64>,
    unfinished: Option<Unfinished>,
}

/// The beginning of an escape.
#[derive(Debug, Clone)]
struct Unfinished {
    /// State before it.
    before: u32,
    /// Where that begins in the text, and where the escape does.
    start: u64,
    at: u64,
    /// The first digit.
    high: Option<u8>,
}

impl Decoded {
    /// Whether a secret may have begun.
    pub(super) fn is_active(&self) -> bool {
        self.state != ROOT || self.unfinished.is_some()
    }

    /// Takes the byte at position `at`. `before` is the state of the text as it is before that byte. Returns where the longest
    /// secret begins that ends with it.
    pub(super) fn step(
        &mut self,
        trie: &Trie,
        byte: u8,
        at: u64,
        before: impl FnOnce() -> u32,
    ) -> Option<u64> {
        if !self.is_active() {
            if byte != b'%' {
                return None;
            }
            self.state = before();
        }
        let unfinished = self.unfinished.take();
        match (unfinished, digit(byte)) {
            (Some(Unfinished { before, high: Some(high), .. }), Some(low)) => {
                match trie.step(before, high << 4 | low) {
                    ROOT => self.state = trie.step(self.state, byte),
                    decoded => {
                        self.state = decoded;
                        self.escapes.push_back(at);
                    }
                }
            }
            (Some(unfinished), Some(high)) => {
                self.unfinished = Some(Unfinished { high: Some(high), ..unfinished });
                self.state = trie.step(self.state, byte);
            }
            _ if byte == b'%' => {
                // No form of a secret that may be found has room for the escape otherwise.
                self.limit(trie, at, trie.longest().saturating_sub(ESCAPE_BYTES));
                let start = self.start_of_all(trie, at);
                self.unfinished = Some(Unfinished { before: self.state, start, at, high: None });
                self.state = trie.step(self.state, byte);
            }
            _ => self.state = trie.step(self.state, byte),
        }
        let matched = trie.matched(self.state);
        let found = (matched > 0).then(|| self.start(matched, at + 1));
        if self.unfinished.is_none() {
            self.limit(trie, at + 1, trie.longest().saturating_sub(1));
        }
        found
    }

    /// Keeps the longest beginning of a pattern before `end` that has at most so many bytes in the text, and its escapes.
    fn limit(&mut self, trie: &Trie, end: u64, bytes_max: usize) {
        loop {
            let depth = trie.depth(self.state) as u64;
            while let Some(first) = self.escapes.front()
                && *first < end - depth - escaped(self.escapes.len() - 1)
            {
                self.escapes.pop_front();
            }
            if depth == 0 || depth + escaped(self.escapes.len()) <= bytes_max as u64 {
                return;
            }
            self.state = trie.shorter(self.state);
        }
    }

    /// Returns where the beginning of a pattern begins in the text up to `end`, if each escape is in it.
    fn start_of_all(&self, trie: &Trie, end: u64) -> u64 {
        end - trie.depth(self.state) as u64 - escaped(self.escapes.len())
    }

    /// Returns where the last `depth` decoded bytes begin in the text up to `end`.
    fn start(&self, depth: usize, end: u64) -> u64 {
        let mut start = end - depth as u64;
        for escape in self.escapes.iter().rev() {
            if *escape < start {
                break;
            }
            start -= escaped(1);
        }
        start
    }

    /// Returns the first byte of the text up to `at` at which a secret may begin that is not found yet.
    pub(super) fn open_from(&self, trie: &Trie, at: u64) -> u64 {
        match &self.unfinished {
            Some(unfinished) => unfinished.start,
            None => self.start_of_all(trie, at),
        }
    }

    /// Returns the first byte of the text up to `at` that may not be shown yet. As much may be shown as of a secret that is not
    /// encoded.
    pub(super) fn shown_to(&self, trie: &Trie, at: u64) -> u64 {
        let hidden = |state| trie.depth(state) - trie.may_show(state);
        let shown = self.start(hidden(self.state), at);
        match &self.unfinished {
            // Of an escape at the beginning of a secret, as of the byte that it stands for, all may be shown.
            Some(Unfinished { before: ROOT, .. }) | None => shown,
            Some(unfinished) => shown.min(self.start(hidden(unfinished.before), unfinished.at)),
        }
    }
}

/// Number of bytes that so many escapes have more than what they stand for.
fn escaped(count: usize) -> u64 {
    (count * (ESCAPE_BYTES - 1)) as u64
}
