//! Pieces of secrets on a screen, of which the rest was cut off, erased or overwritten.
//!
//! Owns the search for them in what a screen draws. Does not know where on the screen they stand.

use std::ops::Range;
use std::sync::OnceLock;

use super::forms::{self, Usage, is_drawn};

/// Minimum length of a piece of a secret that is searched for, bytes.
pub const PIECE_BYTES_MIN: usize = size_of::<u64>();
/// Maximum number of pieces of this length in one search. A piece has 8 bytes.
const PIECES_MAX: usize = 1 << 19;
/// A piece of letters and punctuation marks that is shorter can be a part of an ordinary text, bytes.
const ORDINARY_BYTES_MAX: usize = 16;
/// A piece with fewer different bytes can be a ruler or a row of zeros.
const DIFFERENT_BYTES_MIN: usize = 4;

/// Search for the pieces of values, which is made at the first use.
pub(super) struct Pieces {
    values: Vec<String>,
    /// Each [`PIECE_BYTES_MIN`] bytes of the values, their lines, and their forms in hex and base64, as a screen draws them, in order.
    known: OnceLock<Vec<u64>>,
}

impl Pieces {
    pub(super) fn new(values: &[&str]) -> Self {
        Self { values: values.iter().map(|value| (*value).to_owned()).collect(), known: OnceLock::new() }
    }

    pub(super) fn contains(&self, piece: u64) -> bool {
        self.known.get_or_init(|| known(&self.values)).binary_search(&piece).is_ok()
    }
}

fn known(values: &[String]) -> Vec<u64> {
    let mut known = Vec::new();
    for usage in [Usage::Plain].into_iter().chain(Usage::ENCODED) {
        for value in values {
            for form in forms::of(value, usage) {
                // In other encodings a few bytes of a value make a piece.
                if (usage != Usage::Plain && !form.wraps) || known.len() + form.bytes.len() > PIECES_MAX {
                    continue;
                }
                let whole = String::from_utf8_lossy(&form.bytes);
                let drawn: String = whole.chars().filter(|c| is_drawn(*c)).collect();
                known.extend(ends(&drawn).map(|(_, piece)| piece));
            }
        }
        known.sort_unstable();
        known.dedup();
    }
    known
}

/// Returns the [`PIECE_BYTES_MIN`] bytes before each position that has as many.
fn ends(text: &str) -> impl Iterator<Item = (usize, u64)> {
    let last = text.bytes().scan(0, |last: &mut u64, byte| {
        *last = *last << 8 | u64::from(byte);
        Some(*last)
    });
    (1..).zip(last).skip(PIECE_BYTES_MIN - 1)
}

/// Returns the longest ranges of a text of which each [`PIECE_BYTES_MIN`] bytes are in one of these searches, in order.
pub(super) fn find(text: &str, contains: impl Fn(u64) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (end, _) in ends(text).filter(|(_, piece)| contains(*piece)) {
        match found.last_mut() {
            Some(last) if last.end + 1 == end => last.end = end,
            _ => found.push(end - PIECE_BYTES_MIN..end),
        }
    }
    found
}

/// Returns whether a piece of a secret can be a part of an ordinary text, too: `https://`, `password`, a ruler.
#[must_use]
pub fn is_ordinary(piece: &str) -> bool {
    let bytes = piece.as_bytes();
    let mut different = bytes.to_vec();
    different.sort_unstable();
    different.dedup();
    let is_of_words = bytes.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_digit())
        && !bytes.windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
    different.len() < DIFFERENT_BYTES_MIN || (is_of_words && bytes.len() < ORDINARY_BYTES_MAX)
}
