//! The one redactor: what leaves a session's own log has its secrets replaced by `***` here.
//!
//! Owns the search for secret values in text, in JSON and in byte streams of any chunking. Knows
//! nothing of where the values come from, nor of terminals.
//!
//! A secret is found as it is, as one of its lines (of at least 8 bytes), with line ends as a terminal writes them,
//! without control characters, as a shell quotes it, as `echo` of a shell writes it, as a JSON string (with `\/`, with `\u` escapes, also within another
//! one), percent-encoded as libraries do it, in hex, and in base64 of both alphabets at each of the three alignments,
//! with padding and without. Hex and base64 are found in one line or wrapped at any column. Of each form, any bytes may
//! be percent-encoded (`percent`), if that makes it no longer than the longest form is. In texts and JSON, strings
//! with the shape of a well-known key are replaced too (`shapes`), declared or not; in byte streams only the values are.
//!
//! **Memory**: the search for one set of values has at most `NODES_MAX` nodes, and as many again for the search backwards, which is
//! made when a screen is shown; the search for what a screen draws of them has at most half as many, and that for pieces
//! takes at most 4 MiB. If all forms need more, forms of short values get the space first, then the forms that most
//! programs print. A value as it is and its lines are always found.
//!
//! **Limits**: bytes between its bytes hide a value, so a value that a program wraps by itself (other than hex and
//! base64), colours in parts, or encodes in another way passes. A value that the terminal wraps is whole in the byte
//! stream; on a screen it is found where the rows are joined (see `terminal::screen`).

mod changing;
mod forms;
mod percent;
mod pieces;
pub mod shapes;
mod trie;
mod walk;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

pub use changing::ChangingStream;
pub use forms::{invisible_at, is_drawn};
pub use pieces::{PIECE_BYTES_MIN, is_ordinary};

use forms::{LINE_BYTES_MIN, Usage};
use pieces::Pieces;
use trie::Trie;
use walk::{Begun, Walk};

/// Length of an escape of percent-encoding, bytes.
const ESCAPE_BYTES: usize = 3;

/// Shorter values would be found everywhere, bytes.
pub const SECRET_BYTES_MIN: usize = 4;
/// Longer values are refused, bytes.
pub const SECRET_BYTES_MAX: usize = 16 << 10;
/// Maximum total length of the secrets of one task, bytes.
pub const SECRETS_BYTES_MAX: usize = 64 << 10;
/// Maximum total length of the secrets of all tasks of a run, bytes.
pub const RUN_SECRETS_BYTES_MAX: usize = 4 * SECRETS_BYTES_MAX;
/// Maximum number of nodes of the search for one set of values. A node has 24 bytes.
const NODES_MAX: usize = 1 << 20;
/// Longest value whose forms get space before those of longer values, bytes.
const SHORT_BYTES: usize = 1 << 10;

/// Maximum length of what is carried along with bytes held back. If there is more, the first is dropped.
const CARRIED_BYTES_MAX: usize = 4 << 10;

/// What stands for a secret.
pub(crate) use crate::text::clean::MASK as STARS;

/// Why a value cannot be a secret. No message shows the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// It would be found everywhere.
    #[error("secret number {index} {}", self.why())]
    TooShort {
        /// Which of those given, from 1.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// It would take too much memory.
    #[error("secret number {index} {}", self.why())]
    TooLong {
        /// Which of those given, from 1.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// They would take too much memory together.
    #[error("the secrets have more than {} KiB together: declare fewer, or pass a file's path instead", most >> 10)]
    TooMany {
        /// The maximum, bytes.
        most: usize,
    },
}

impl RedactError {
    /// What is wrong, to be written after the name of the secret.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::TooShort { bytes, .. } => {
                format!(
                    "has {bytes} bytes without blanks around it and what a screen does not draw: use at least {SECRET_BYTES_MIN}"
                )
            }
            Self::TooLong { bytes, .. } => {
                format!("has {bytes} bytes: use at most {SECRET_BYTES_MAX}, or pass a file's path instead")
            }
            Self::TooMany { .. } => self.to_string(),
        }
    }
}

/// How a secret is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mask {
    /// `***`: for text.
    #[default]
    Stars,
    /// One `*` for each character, so that what follows stays in its column: for terminals.
    SameWidth,
}

/// Search for one or two sets of secret values, which replaces them. Its `Debug` shows none of them. Clones share
/// memory.
#[derive(Clone, Default)]
pub struct Redactor {
    trie: Arc<Trie>,
    /// Search for the second set.
    more: Option<Arc<Trie>>,
    /// Search for the values as a screen draws them, where that is something else.
    drawn: Option<Arc<Redactor>>,
    /// Search for pieces of the values of each set.
    pieces: Vec<Arc<Pieces>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("empty", &self.is_empty()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Checks that these values can be the secrets of one task.
    ///
    /// # Errors
    /// [`RedactError`] where a value is shorter than [`SECRET_BYTES_MIN`] or longer than
    /// [`SECRET_BYTES_MAX`], or all are longer than [`SECRETS_BYTES_MAX`].
    pub fn check<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<(), RedactError> {
        checked(secrets, SECRETS_BYTES_MAX).map(drop)
    }

    /// Checks that these values can be the secrets of all tasks of a run.
    ///
    /// # Errors
    /// The same as [`Self::check`], but all values together may have [`RUN_SECRETS_BYTES_MAX`].
    pub fn check_run<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<(), RedactError> {
        checked(secrets, RUN_SECRETS_BYTES_MAX).map(drop)
    }

    /// Builds a redactor of these values. Blanks and line ends around a value are not part of it. Long values take
    /// up to about 20 ms.
    ///
    /// # Errors
    /// The same as [`Self::check_run`].
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Result<Self, RedactError> {
        let secrets: Vec<String> = secrets.into_iter().collect();
        let values = checked(secrets.iter().map(String::as_str), RUN_SECRETS_BYTES_MAX)?;
        Ok(Self {
            trie: Arc::new(trie_of(&values)),
            more: None,
            drawn: drawn(&values).map(Arc::new),
            pieces: vec![Arc::new(Pieces::new(&values))],
        })
    }

    /// Returns a redactor that finds the values of both. Copies neither.
    #[must_use]
    pub fn with(self: &Arc<Self>, other: &Arc<Self>) -> Arc<Self> {
        debug_assert!(self.more.is_none() && other.more.is_none(), "there is no third set");
        match (self.is_empty(), other.is_empty()) {
            (_, true) => Arc::clone(self),
            (true, _) => Arc::clone(other),
            _ => Arc::new(Self {
                trie: Arc::clone(&self.trie),
                more: Some(Arc::clone(&other.trie)),
                drawn: match (&self.drawn, &other.drawn) {
                    (Some(ours), Some(theirs)) => Some(ours.with(theirs)),
                    (ours, theirs) => ours.as_ref().or(theirs.as_ref()).cloned(),
                },
                pieces: [self.pieces.as_slice(), &other.pieces].concat(),
            }),
        }
    }

    /// There is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trie.is_empty()
    }

    /// Length of the longest form of a secret, bytes; 0 where there is none.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.tries().map(Trie::longest).max().unwrap_or(0)
    }

    /// Number of nodes of its searches, which determines its memory. Counts the searches backwards, also before they are made.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.tries().map(|trie| 2 * trie.size()).sum::<usize>() + self.drawn().map_or(0, Self::nodes)
    }

    /// Returns where pieces of at least [`PIECE_BYTES_MIN`] bytes of secrets, or of their forms in hex and base64, are in a text of
    /// characters that [`is_drawn`] alone: the whole characters of each, in order.
    #[must_use]
    pub fn pieces(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = pieces::find(text, |piece| self.pieces.iter().any(|one| one.contains(piece)));
        for piece in &mut found {
            *piece = text.ceil_char_boundary(piece.start)..text.floor_char_boundary(piece.end);
        }
        found
    }

    /// Returns the search for the values as a screen draws them, in a text of characters that [`is_drawn`] alone; none: a value
    /// is drawn as it is.
    #[must_use]
    pub fn drawn(&self) -> Option<&Self> {
        self.drawn.as_deref()
    }

    fn tries(&self) -> impl Iterator<Item = &Trie> {
        [Some(&self.trie), self.more.as_ref()].into_iter().flatten().map(AsRef::as_ref)
    }

    /// The text with every secret replaced, also one with invisible characters between its characters.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.is_empty() {
            return shapes::hide(text).into_owned();
        }
        let mut out = Vec::with_capacity(text.len());
        let mut search = Search::default();
        search.push(self, Mask::Stars, text.as_bytes(), &mut out);
        search.end(Mask::Stars, &mut out);
        // A second search, because a value may have invisible characters itself.
        if forms::next_invisible(&out).is_some() {
            out = self.redact_visible(&out);
        }
        // Secrets are whole characters, so what is left between them is too.
        let out =
            String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        match shapes::hide(&out) {
            Cow::Owned(hidden) => hidden,
            Cow::Borrowed(_) => out,
        }
    }

    /// Replaces secrets in the visible characters of a text. Invisible characters stay.
    fn redact_visible(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut search = Search::default();
        let mut rest = text;
        while let Some(invisible) = forms::next_invisible(rest) {
            search.push(self, Mask::Stars, &rest[..invisible.start], &mut out);
            search.carry(&rest[invisible.clone()], &mut out);
            rest = &rest[invisible.end..];
        }
        search.push(self, Mask::Stars, rest, &mut out);
        search.end(Mask::Stars, &mut out);
        out
    }

    /// Returns the first of some names that holds a secret, with the secret replaced.
    #[must_use]
    pub fn first_with_secret<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Option<String> {
        names.find_map(|name| Some(self.redact(name)).filter(|redacted| redacted != name))
    }

    /// Replaces secrets in every string, key and number of a JSON value.
    pub fn redact_json(&self, value: &mut Value) {
        if self.is_empty() {
            return shapes::hide_json(value);
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let text = number.to_string();
                if !self.spans(&text).is_empty() {
                    *value = Value::String(STARS.to_owned());
                }
            }
            Value::String(text) => *text = self.redact(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(map) => {
                let old = std::mem::take(map);
                for (key, mut item) in old {
                    self.redact_json(&mut item);
                    map.insert(self.redact(&key), item);
                }
            }
        }
    }

    /// Returns the byte ranges of secrets in `text`, in order, none touching the inside of another.
    #[must_use]
    pub fn spans(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut walk = Walk::default();
        for byte in text.bytes() {
            if let Some(start) = walk.step(self, byte) {
                // Positions are within the text.
                let (mut start, end) = (start as usize, walk.at() as usize);
                while let Some(last) = found.pop_if(|last| last.end > start) {
                    start = start.min(last.start);
                }
                found.push(start..end);
            }
        }
        found
    }

    /// Returns for each position how many bytes before it are the beginning of a secret, or 0 if those may be shown. The positions
    /// are in order.
    #[must_use]
    pub fn begun_before(&self, text: &str, positions: &[usize]) -> Vec<usize> {
        self.longest_of(positions.len(), |trie| walk::open_at(trie, text.bytes(), positions))
    }

    /// Returns for each position how many bytes after it are the end of a secret, or 0 if those may be shown. The positions are
    /// in order.
    #[must_use]
    pub fn ending_after(&self, text: &str, positions: &[usize]) -> Vec<usize> {
        let from_end: Vec<usize> = positions.iter().rev().map(|position| text.len() - position).collect();
        let mut ends = self.longest_of(positions.len(), |trie| {
            walk::open_at(trie.reversed(), text.bytes().rev(), &from_end)
        });
        ends.reverse();
        ends
    }

    fn longest_of(&self, count: usize, find: impl Fn(&Trie) -> Vec<Begun>) -> Vec<usize> {
        let mut longest = vec![Begun::default(); count];
        for trie in self.tries().filter(|trie| !trie.is_empty()) {
            for (longest, found) in longest.iter_mut().zip(find(trie)) {
                longest.length = longest.length.max(found.length);
                longest.is_hidden |= found.is_hidden;
            }
        }
        longest.into_iter().map(|one| if one.is_hidden { one.length } else { 0 }).collect()
    }
}

/// Returns all forms in which a value is searched.
#[cfg(test)]
pub(crate) fn forms_of(value: &str) -> Vec<String> {
    let usages = [Usage::Plain].into_iter().chain(Usage::ENCODED);
    let forms = usages.flat_map(|usage| forms::of(value, usage));
    forms.map(|form| String::from_utf8(form.bytes).unwrap()).collect()
}

/// Returns the values without blanks around them, if each can be a secret and all have at most `most` bytes.
fn checked<'a>(secrets: impl IntoIterator<Item = &'a str>, most: usize) -> Result<Vec<&'a str>, RedactError> {
    let (mut values, mut total) = (Vec::new(), 0);
    for (at, secret) in secrets.into_iter().enumerate() {
        let (index, value) = (at + 1, secret.trim());
        let bytes = drawn_bytes(value).unwrap_or(value.len());
        if bytes < SECRET_BYTES_MIN {
            return Err(RedactError::TooShort { index, bytes });
        }
        if value.len() > SECRET_BYTES_MAX {
            return Err(RedactError::TooLong { index, bytes: value.len() });
        }
        total += value.len();
        if total > most {
            return Err(RedactError::TooMany { most });
        }
        values.push(value);
    }
    Ok(values)
}

/// Returns how many bytes of a text a screen draws, if it leaves out more than blanks: the rest alone would be found everywhere.
fn drawn_bytes(text: &str) -> Option<usize> {
    let leaves_out = text.chars().any(|c| c != ' ' && !is_drawn(c));
    leaves_out.then(|| text.chars().filter(|c| is_drawn(*c)).map(char::len_utf8).sum())
}

/// Builds the search for values, and their lines, of which a screen draws less than there is: it has no tabs, no line ends, and no
/// characters of no width, and nobody sees blanks at the end of a row.
fn drawn(values: &[&str]) -> Option<Redactor> {
    let mut trie = Trie::default();
    for form in values.iter().flat_map(|value| forms::of(value, Usage::Plain)) {
        let whole = String::from_utf8_lossy(&form.bytes);
        let drawn: String = whole.chars().filter(|c| is_drawn(*c)).collect();
        // Without its blanks a short text is found by chance.
        let loses_blanks_alone = whole.chars().all(|c| c == ' ' || is_drawn(c));
        let least = if loses_blanks_alone { LINE_BYTES_MIN } else { SECRET_BYTES_MIN };
        if drawn != whole && drawn.len() >= least {
            trie.insert_plain(drawn.as_bytes());
        }
    }
    trie.link();
    (!trie.is_empty()).then(|| Redactor { trie: Arc::new(trie), ..Redactor::default() })
}

/// Builds the search for all values and their lines, and for as many other forms as fit.
fn trie_of(values: &[&str]) -> Trie {
    let mut trie = Trie::default();
    for value in values {
        forms::of(value, Usage::Plain).iter().for_each(|form| trie.insert_plain(&form.bytes));
    }
    let (short, long): (Vec<&str>, Vec<&str>) = values.iter().partition(|value| value.len() <= SHORT_BYTES);
    for values in [short, long] {
        for usage in Usage::ENCODED {
            for value in &values {
                if trie.size() + value.len() > NODES_MAX {
                    continue;
                }
                for form in forms::of(value, usage) {
                    if trie.size() + form.bytes.len() <= NODES_MAX {
                        trie.insert(&form.bytes, form.wraps);
                    }
                }
            }
        }
    }
    trie.link();
    trie
}

/// Replaces secrets in a stream of bytes; where the stream is cut into chunks makes no difference.
///
/// It holds bytes back only while they are the beginning of a secret: never more than one byte less
/// than the longest form of one, and line ends where it is wrapped.
#[derive(Debug, Clone)]
pub struct RedactStream {
    redactor: Arc<Redactor>,
    mask: Mask,
    search: Search,
}

impl RedactStream {
    /// A stream from its beginning.
    #[must_use]
    pub fn new(redactor: Arc<Redactor>, mask: Mask) -> Self {
        Self { redactor, mask, search: Search::default() }
    }

    /// Takes bytes that came before and were shown already: a secret that began in them is still
    /// recognised, and what is left of it replaced. Call it before the first `push`; without bytes, it changes nothing.
    pub fn prime(&mut self, before: &[u8]) {
        self.search.prime(&self.redactor, before);
    }

    /// Takes bytes and gives those that can go out.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.held());
        self.push_into(bytes, &mut out);
        out
    }

    /// The same, appended to `out`.
    pub fn push_into(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.redactor.is_empty() {
            out.extend_from_slice(bytes);
        } else {
            self.search.push(&self.redactor, self.mask, bytes, out);
        }
    }

    /// Passes bytes that are no part of the text, for example a change of its style. They stay between the same bytes of the text,
    /// and after a secret that they interrupt.
    pub fn carry(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.search.carry(bytes, out);
    }

    /// For a person who waits for an echo: lets the first quarter (at most three bytes, and at most `most`) of what is
    /// held go, although it is the beginning of a secret. The rest stays until bytes come that decide,
    /// or the end; if they complete the secret, its rest is replaced. Repeated calls let no more go.
    pub fn flush_idle(&mut self, most: u64, out: &mut Vec<u8>) {
        self.search.flush_idle(&self.redactor, self.mask, most, out);
    }

    /// The stream ends, or its next bytes are unknown: lets the rest go. Of the beginning of a secret at the end, only as
    /// much as [`Self::flush_idle`] lets go; the rest of it is replaced.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.search.cut(&self.redactor, self.mask, out);
    }

    /// So many bytes are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.search.held.len()
    }
}

/// State of a search. Positions count the bytes taken so far.
#[derive(Debug, Clone, Default)]
struct Search {
    walk: Walk,
    /// First byte that was neither let go nor replaced.
    base: u64,
    /// Bytes from `base` to the last one taken.
    held: VecDeque<u8>,
    /// Secrets found from `base` on that a longer one might still swallow, in order, apart.
    found: VecDeque<(u64, u64)>,
    /// What is carried along with the bytes held back, each with the place before which it stands.
    carried: VecDeque<(u64, Vec<u8>)>,
    /// End of the newest secret that was replaced.
    masked: u64,
}

impl Search {
    fn prime(&mut self, redactor: &Redactor, before: &[u8]) {
        if before.is_empty() {
            return;
        }
        debug_assert!(
            self.held.is_empty(),
            "bytes that come after those held back cannot be from before them"
        );
        for byte in before {
            if self.walk.step(redactor, *byte).is_some() {
                self.masked = self.walk.at();
            }
        }
        self.base = self.walk.at();
    }

    fn push(&mut self, redactor: &Redactor, mask: Mask, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        let mut percent = percent::before(bytes);
        while let Some(first) = rest.first() {
            if self.held.is_empty() {
                let at = bytes.len() - rest.len();
                if percent < at {
                    percent = at + percent::before(rest);
                }
                let plain = self.walk.skip(redactor, rest, percent - at);
                if plain > 0 {
                    out.extend_from_slice(&rest[..plain]);
                    self.base = self.walk.at();
                    rest = &rest[plain..];
                    continue;
                }
            }
            self.held.push_back(*first);
            if let Some(start) = self.walk.step(redactor, *first) {
                self.add(start, mask, out);
            }
            self.release(self.walk.open_from(redactor), mask, out);
            rest = &rest[1..];
        }
    }

    /// Adds a secret that begins at `start` and ends at the last byte taken.
    fn add(&mut self, start: u64, mask: Mask, out: &mut Vec<u8>) {
        let at = self.walk.at();
        if start < self.masked {
            // It overlaps one that was replaced: nothing after that was let go yet.
            self.found.clear();
            if mask == Mask::SameWidth {
                stars(self.held.iter(), out);
            }
            self.held.clear();
            (self.base, self.masked) = (at, at);
            self.pass_carried(out);
            return;
        }
        let mut from = start.max(self.base);
        while let Some((earlier, _)) = self.found.pop_back_if(|(_, end)| *end > start) {
            from = from.min(earlier);
        }
        self.found.push_back((from, at));
    }

    /// No secret that is still to be found begins before `settled`.
    fn release(&mut self, settled: u64, mask: Mask, out: &mut Vec<u8>) {
        while let Some((start, end)) = self.found.pop_front_if(|(start, _)| *start <= settled) {
            self.let_go(start, out);
            let length = usize::try_from(end - self.base).unwrap_or(usize::MAX).min(self.held.len());
            match mask {
                Mask::Stars => {
                    out.extend_from_slice(STARS.as_bytes());
                    self.held.drain(..length);
                }
                Mask::SameWidth => {
                    stars(self.held.iter().take(length), out);
                    self.held.drain(..length);
                }
            }
            (self.base, self.masked) = (end, end);
            self.pass_carried(out);
        }
        self.let_go(settled, out);
    }

    fn let_go(&mut self, to: u64, out: &mut Vec<u8>) {
        while to > self.base {
            let next = self.carried.front().map_or(to, |(at, _)| to.min(*at));
            let length = usize::try_from(next - self.base).unwrap_or(usize::MAX).min(self.held.len());
            out.extend(self.held.drain(..length));
            self.base = next;
            self.pass_carried(out);
        }
    }

    fn carry(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        self.carried.push_back((self.walk.at(), bytes.to_vec()));
        let mut length: usize = self.carried.iter().map(|(_, bytes)| bytes.len()).sum();
        while length > CARRIED_BYTES_MAX {
            length -= self.carried.pop_front().map_or(length, |(_, bytes)| bytes.len());
        }
    }

    /// Lets go what is carried before the first byte held back.
    fn pass_carried(&mut self, out: &mut Vec<u8>) {
        while let Some((_, bytes)) = self.carried.pop_front_if(|(at, _)| *at <= self.base) {
            out.extend_from_slice(&bytes);
        }
    }

    fn flush_idle(&mut self, redactor: &Redactor, mask: Mask, most: u64, out: &mut Vec<u8>) {
        if self.held.is_empty() {
            return;
        }
        let mut settled =
            self.walk.shown_to(redactor).min(self.walk.open_from(redactor).saturating_add(most));
        if let Some((start, _)) = self.found.front() {
            settled = settled.min(*start);
        }
        self.release(settled, mask, out);
    }

    /// The text is complete: what may begin a secret is none.
    fn end(&mut self, mask: Mask, out: &mut Vec<u8>) {
        self.release(self.walk.at(), mask, out);
        self.walk.begin_anew();
    }

    /// What follows is unknown: what may begin a secret may be one.
    fn cut(&mut self, redactor: &Redactor, mask: Mask, out: &mut Vec<u8>) {
        let shown = self.walk.shown_to(redactor);
        self.let_go(self.found.front().map_or(shown, |(start, _)| shown.min(*start)), out);
        let line_ends = self.held.iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let hidden = self.held.len() - line_ends;
        match mask {
            Mask::Stars if hidden > 0 => out.extend_from_slice(STARS.as_bytes()),
            Mask::Stars => {}
            Mask::SameWidth => stars(self.held.iter().take(hidden), out),
        }
        out.extend(self.held.drain(..).skip(hidden));
        self.found.clear();
        (self.base, self.masked) = (self.walk.at(), self.walk.at());
        self.pass_carried(out);
        self.walk.begin_anew();
    }
}

/// Writes one star for each character that begins in `bytes`, and keeps line ends.
fn stars<'a>(bytes: impl Iterator<Item = &'a u8>, out: &mut Vec<u8>) {
    let star = |byte: &u8| if matches!(byte, b'\r' | b'\n') { *byte } else { b'*' };
    out.extend(bytes.filter(|byte| (**byte & 0xC0) != 0x80).map(star));
}

#[cfg(test)]
mod tests;
