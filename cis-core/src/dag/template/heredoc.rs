//! Here-documents (POSIX.1-2024, XCU 2.7.4) as far as they are followed: a plain word, and a body in
//! which nothing but variables is expanded.

use super::parser;
use super::position::Refusal;

/// A here-document whose body is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heredoc {
    word: Vec<u8>,
    /// `<<-`: tabs before a line do not count.
    strip_tabs: bool,
    /// The word is not quoted, so the body is expanded.
    expands: bool,
    /// A shell runs the body.
    pub(super) is_script: bool,
}

/// Where a body ends, and why a template may not stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// After the line that ends it.
    pub(super) end: usize,
    pub(super) refusal: Option<Refusal>,
}

/// Reads `<<WORD` at `at`: the here-document, and where the word ends. None: not a form that all shells read alike.
pub(super) fn operator(bytes: &[u8], at: usize) -> Option<(Heredoc, usize)> {
    let mut at = at + 2;
    let strip_tabs = bytes.get(at) == Some(&b'-');
    at += usize::from(strip_tabs);
    at += bytes[at..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let quote = bytes.get(at).copied().filter(|b| matches!(b, b'\'' | b'"'));
    at += usize::from(quote.is_some());
    let plain = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+');
    let length = bytes[at..].iter().take_while(plain).count();
    let word = bytes[at..at + length].to_vec();
    at += length;
    if let Some(quote) = quote {
        (bytes.get(at) == Some(&quote)).then_some(())?;
        at += 1;
    }
    let ends = matches!(
        bytes.get(at),
        None | Some(b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')
    );
    let heredoc = Heredoc { word, strip_tabs, expands: quote.is_none(), is_script: false };
    (ends && !heredoc.word.is_empty()).then_some((heredoc, at))
}

impl Heredoc {
    /// Its body, which starts at `from`. None: it does not end, or ends in a way that shells read differently.
    pub(super) fn body(&self, bytes: &[u8], from: usize) -> Option<Body> {
        let mut at = from;
        loop {
            if at >= bytes.len() {
                return None;
            }
            let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |found| at + found);
            let mut line = &bytes[at..end];
            if self.strip_tabs {
                line = &line[line.iter().take_while(|b| **b == b'\t').count()..];
            }
            if line == self.word {
                let body = &bytes[from..at];
                // A backslash at the end of a line may join it with the one that ends the body.
                if self.expands && memchr::memmem::find(body, b"\\\n").is_some() {
                    return None;
                }
                let refusal = match (self.is_script, self.expands) {
                    (true, _) => Some(Refusal::Program),
                    (false, true) => refusal(body),
                    (false, false) => Some(Refusal::LiteralHeredoc),
                };
                return Some(Body { end: (end + 1).min(bytes.len()), refusal });
            }
            at = end + 1;
        }
    }
}

/// Only `$name` and `${name}` are followed.
fn refusal(body: &[u8]) -> Option<Refusal> {
    let Ok(text) = std::str::from_utf8(body) else { return Some(Refusal::Heredoc) };
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'\\' => at += 1,
            b'`' => return Some(Refusal::Heredoc),
            b'$' if matches!(body.get(at + 1), Some(b'(' | b'[')) => return Some(Refusal::Heredoc),
            b'$' if body.get(at + 1) == Some(&b'{') && body.get(at + 2) != Some(&b'{') => {
                let name =
                    body[at + 2..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
                if body.get(at + 2 + name) != Some(&b'}') {
                    return Some(Refusal::Heredoc);
                }
                at += name + 2;
            }
            b'{' if body.get(at + 1) == Some(&b'{') => {
                let Ok(expr) = parser::parse_at(text, at) else {
                    return Some(Refusal::Heredoc);
                };
                if text[expr.range.clone()].contains('\n') {
                    return Some(Refusal::Heredoc);
                }
                at = expr.range.end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}
