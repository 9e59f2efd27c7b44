//! The bytes that may pass between a session and the terminal of a viewer.
//!
//! Owns which bytes those are. From the session: text, and the escape sequences on the lists of `allow`. Everything else is
//! dropped, because terminals answer queries (the answer would be typed into the session), run commands, print, resize and
//! notify, and new versions react to new sequences. From the viewer: typed text, without the answers that a terminal may still
//! send. Knows nothing of screens, sockets or sessions. Both filters work in bounded memory, and where a stream is cut into
//! chunks makes no difference to [`ViewerFilter`] (for [`TypedFilter`] see there).
//!
//! The viewer's terminal is assumed to be in UTF-8 mode, and nothing that passes ends that mode. Sources: ECMA-48, xterm's
//! `ctlseqs`, the documents of the terminals that `tests/reactions.tsv` names.

mod allow;
mod csi;
pub(crate) mod lexer;
mod text;
mod typed;

pub(crate) use allow::{LINK_BYTES_MAX, REPEAT_MAX, is_link};
pub(crate) use csi::csi_first_param;
pub use typed::TypedFilter;

use allow::Verdict;
use csi::Csi;
use lexer::{Kind, Lexer, Now};
use text::Text;

/// A CSI or ESC sequence that is longer is dropped, bytes.
const SEQUENCE_BYTES_MAX: usize = 1024;
/// A longer OSC is dropped, bytes.
const STRING_BYTES_MAX: usize = 4096;

/// ST.
const STRING_END: &[u8] = b"\x1b\\";
const BEL: u8 = 0x07;
/// Ends a link.
const LINK_END: &[u8] = b"\x1b]8;;\x1b\\";

/// What passes a [`ViewerFilter`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Text, and the sequences that programs draw with: for a terminal that shows nothing but the session.
    #[default]
    Screen,
    /// Text, tabs, CR, LF and styles (SGR): for a terminal that shows a log.
    Colors,
    /// Text, tabs, CR and LF.
    Text,
}

/// The filter from a session to a viewer. It passes text and the sequences that programs draw with.
///
/// A sequence passes whole or not at all. So the viewer's terminal is never in the middle of a sequence between two chunks, and
/// no rest of a dropped sequence can become part of another one.
#[derive(Debug, Clone, Default)]
pub struct ViewerFilter {
    scope: Scope,
    lexer: Lexer,
    text: Text,
    /// The open sequence, without the control characters in it. Strings other than OSC are not kept.
    held: Vec<u8>,
    /// Whether the open sequence is too long to be kept.
    overlong: bool,
}

impl ViewerFilter {
    /// Returns a filter at the beginning of a stream.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }

    /// What passes it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Takes bytes and gives those that may pass.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        self.push_into(bytes, &mut out);
        out
    }

    /// Nothing is held back and no sequence is open: a new filter would go on as well from here.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.lexer.is_ground() && self.text.is_settled()
    }

    /// The same as [`Self::push`], appended to `out`.
    pub fn push_into(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        self.pass(bytes, out);
        if self.scope != Scope::Screen {
            let passes = |byte: u8| !allow::is_control(byte) || matches!(byte, b'\t' | b'\n' | b'\r');
            let mut kept = from;
            for at in from..out.len() {
                out[kept] = out[at];
                kept += usize::from(passes(out[at]));
            }
            out.truncate(kept);
        }
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.lexer.is_ground() {
                let plain = memchr::memchr(0x1B, rest).unwrap_or(rest.len());
                self.text.push(&rest[..plain], out);
                rest = &rest[plain..];
            }
            if let Some(csi) = whole_csi(rest).filter(|_| self.lexer.is_ground()) {
                self.text.cut(out);
                pass_csi(self.scope, csi, out);
                rest = &rest[csi.len()..];
            } else if let Some((byte, after)) = rest.split_first() {
                self.take(*byte, out);
                rest = after;
            }
        }
    }

    /// Handles a byte that begins a sequence or belongs to one.
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        let before = self.lexer.kind();
        let step = self.lexer.step(byte);
        if step.fresh > 0 {
            self.text.cut(out);
            self.cut_off(before, out);
            // If there are two new bytes, the first one is ESC.
            self.held.extend_from_slice(if step.fresh == 2 { b"\x1b" } else { b"" });
        }
        match step.now {
            // Not reached: this function gets no text.
            Now::Text => {}
            Now::More => self.hold(byte, out),
            Now::Maybe => {}
            Now::End(kind) => {
                if matches!(kind, Kind::Esc | Kind::Csi) {
                    self.hold(byte, out);
                }
                self.end(kind, byte, out);
            }
            Now::Abort => self.cut_off(before, out),
        }
    }

    /// Keeps a byte of an open sequence.
    fn hold(&mut self, byte: u8, out: &mut Vec<u8>) {
        let limit = match self.lexer.kind() {
            Some(Kind::Dcs | Kind::Apc | Kind::Other) => 2,
            Some(Kind::Osc) => STRING_BYTES_MAX,
            None | Some(Kind::Esc | Kind::Csi) => {
                // Terminals execute a control character inside such a sequence before the sequence itself.
                if allow::is_control(byte) {
                    out.push(byte);
                }
                if byte >= 0x7F {
                    return;
                }
                SEQUENCE_BYTES_MAX
            }
        };
        if byte < 0x20 && byte != 0x1B {
            return;
        }
        if self.held.len() < limit {
            self.held.push(byte);
        } else {
            self.overlong = true;
        }
    }

    /// Handles the regular end of the sequence, with this byte.
    fn end(&mut self, kind: Kind, last: u8, out: &mut Vec<u8>) {
        match kind {
            Kind::Osc => self.end_osc(if last == BEL { &[BEL] } else { STRING_END }, out),
            Kind::Csi if !self.overlong => pass_csi(self.scope, &self.held, out),
            Kind::Esc
                if self.scope == Scope::Screen
                    && !self.overlong
                    && allow::esc(&self.held) == Verdict::Pass =>
            {
                out.extend_from_slice(&self.held);
            }
            Kind::Esc | Kind::Csi | Kind::Dcs | Kind::Apc | Kind::Other => {}
        }
        self.forget();
    }

    fn end_osc(&self, end: &[u8], out: &mut Vec<u8>) {
        if self.scope != Scope::Screen {
            return;
        }
        match allow::osc(self.held.get(2..).unwrap_or_default(), self.overlong) {
            Verdict::Pass => {
                out.extend_from_slice(&self.held);
                out.extend_from_slice(end);
            }
            Verdict::EndLink => out.extend_from_slice(LINK_END),
            Verdict::Drop | Verdict::Rewrite => {}
        }
    }

    /// Handles an open sequence of kind `kind` that is cut off by CAN, SUB or the beginning of another sequence. The model and
    /// some terminals then execute an OSC; other kinds are dropped.
    fn cut_off(&mut self, kind: Option<Kind>, out: &mut Vec<u8>) {
        if kind == Some(Kind::Osc) {
            self.end_osc(STRING_END, out);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.overlong = false;
        self.held.clear();
        if self.held.capacity() > SEQUENCE_BYTES_MAX {
            self.held = Vec::new();
        }
    }
}

/// Returns a complete control sequence of ordinary bytes at the beginning: a fast path for the most frequent sequences.
fn whole_csi(bytes: &[u8]) -> Option<&[u8]> {
    let inner = bytes.strip_prefix(b"\x1b[")?;
    let length = inner.iter().position(|byte| !matches!(byte, 0x20..=0x3F))?;
    let is_whole = matches!(inner[length], 0x40..=0x7E) && length + 3 <= SEQUENCE_BYTES_MAX;
    is_whole.then(|| &bytes[..length + 3])
}

fn pass_csi(scope: Scope, sequence: &[u8], out: &mut Vec<u8>) {
    let csi = Csi::parse(sequence);
    let is_style = (csi.prefix, csi.inter, csi.last) == (None, None, b'm');
    if !(scope == Scope::Screen || scope == Scope::Colors && is_style) {
        return;
    }
    match allow::csi(&csi) {
        Verdict::Pass => out.extend_from_slice(sequence),
        Verdict::Rewrite => allow::rewrite(&csi, out),
        Verdict::Drop | Verdict::EndLink => {}
    }
}

#[cfg(test)]
mod tests;
