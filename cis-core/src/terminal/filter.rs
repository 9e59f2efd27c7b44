//! What must not pass between a session and the terminal of somebody who watches it.
//!
//! Owns which escape sequences those are. From the session: everything that would make the viewer's
//! terminal answer (its answer would be typed into the session, where the model has answered already),
//! and what reaches out of the terminal (clipboard, programmable keys, passed-through sequences).
//! From the viewer: answers that a terminal gives nevertheless. All else passes byte by byte.
//! Knows nothing of screens, sockets or sessions. Both filters work in bounded memory, and where a
//! stream is cut into chunks makes no difference to [`ViewerFilter`] (for [`TypedFilter`] see there).
//!
//! The viewer's terminal is taken to be in UTF-8 mode, where C1 controls are two bytes (`C2 80` to
//! `C2 9F`). Sources: ECMA-48, xterm's `ctlseqs`, the kitty keyboard and graphics protocols.

mod judge;
pub(crate) mod lexer;
mod typed;

pub use typed::TypedFilter;

use judge::{Verdict, osc_number};
use lexer::{Kind, Lexer, Now};

/// A CSI or ESC sequence that is longer is dropped, bytes.
const SEQUENCE_BYTES_MAX: usize = 1024;
/// A string that must be seen whole and is longer is dropped, bytes.
const STRING_BYTES_MAX: usize = 4096;
/// A DCS whose header is longer is dropped, bytes.
const HEADER_BYTES_MAX: usize = 64;

/// ENQ makes a terminal send its answerback message.
const ENQ: u8 = 0x05;
/// ST.
const STRING_END: &[u8] = b"\x1b\\";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    /// It is not known yet whether the sequence may pass: it is held.
    #[default]
    Hold,
    /// It may: bytes pass as they come.
    Pass,
    /// It may not.
    Drop,
}

/// Session to viewer: takes out what would make the viewer's terminal answer.
#[derive(Debug, Clone)]
pub struct ViewerFilter {
    lexer: Lexer,
    mode: Mode,
    /// The sequence so far, in mode `Hold`.
    held: Vec<u8>,
    /// A byte that either belongs to the string or begins what ends it.
    pending: Option<u8>,
}

impl Default for ViewerFilter {
    fn default() -> Self {
        Self { lexer: Lexer::utf8(), mode: Mode::Hold, held: Vec::new(), pending: None }
    }
}

impl ViewerFilter {
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
        self.lexer.is_ground() && self.held.is_empty() && self.pending.is_none()
    }

    /// The same, appended to `out`.
    pub fn push_into(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.lexer.is_ground() {
                let plain = memchr::memchr3(ENQ, 0x1B, 0xC2, rest).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
            }
            if let Some((byte, after)) = rest.split_first() {
                if *byte != ENQ {
                    self.take(*byte, out);
                }
                rest = after;
            }
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        let before = self.lexer.kind();
        let step = self.lexer.step(byte);
        let pending = self.pending.take();
        match (step.fresh, pending) {
            (0, Some(earlier)) => self.add(earlier, out),
            (0, None) => {}
            (fresh, earlier) => {
                if before.is_some() {
                    self.cut_off(before, out);
                }
                self.held.extend(earlier.filter(|_| fresh == 2));
            }
        }
        match step.now {
            Now::Text => out.push(byte),
            Now::Maybe => self.pending = Some(byte),
            Now::More => {
                self.add(byte, out);
                self.decide_early(out);
            }
            Now::End(kind) => {
                self.add(byte, out);
                self.decide(kind, out);
            }
            Now::Abort => {
                self.abort(before, out);
                out.push(byte);
            }
        }
    }

    fn add(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.mode {
            Mode::Hold => self.held.push(byte),
            Mode::Pass => out.push(byte),
            Mode::Drop => {}
        }
    }

    /// ESC or a C1 control begins another sequence before this one ended. Terminals forget it then,
    /// or carry out a string as if it had ended. What is left of it must not stand before what follows
    /// a query that is taken out: both together might be a query.
    fn cut_off(&mut self, kind: Option<Kind>, out: &mut Vec<u8>) {
        match (kind, self.mode) {
            (Some(Kind::Esc), Mode::Hold) if self.held == [0xC2] => {
                out.extend_from_slice(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]).as_bytes());
                self.settle(Verdict::DropAll, out);
            }
            (Some(Kind::Osc), Mode::Hold) => {
                let verdict = judge::whole(Kind::Osc, &self.held);
                self.settle(verdict, out);
                if verdict == Verdict::Pass {
                    out.extend_from_slice(STRING_END);
                }
            }
            (_, Mode::Pass) => {
                out.extend_from_slice(STRING_END);
                self.settle(Verdict::DropAll, out);
            }
            (_, Mode::Hold | Mode::Drop) => self.settle(Verdict::Drop, out),
        }
    }

    /// CAN or SUB ends it.
    fn abort(&mut self, kind: Option<Kind>, out: &mut Vec<u8>) {
        let verdict = match kind {
            // Some terminals carry it out nevertheless.
            Some(Kind::Osc) => judge::whole(Kind::Osc, &self.held),
            _ => Verdict::Pass,
        };
        self.settle(verdict, out);
    }

    fn decide(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let verdict = if self.mode == Mode::Hold { judge::whole(kind, &self.held) } else { Verdict::Pass };
        self.settle(verdict, out);
    }

    fn settle(&mut self, verdict: Verdict, out: &mut Vec<u8>) {
        match verdict {
            Verdict::Pass => out.append(&mut self.held),
            // Terminals carry out control characters in the midst of a sequence: those stay.
            Verdict::Drop => out.extend(self.held.drain(..).filter(|byte| *byte < 0x20 && *byte != 0x1B)),
            Verdict::DropAll => self.held.clear(),
        }
        if self.held.capacity() > SEQUENCE_BYTES_MAX {
            self.held = Vec::new();
        }
        self.mode = Mode::Hold;
    }

    /// Decides about a sequence that is not complete as soon as what is held says enough.
    fn decide_early(&mut self, out: &mut Vec<u8>) {
        if self.mode != Mode::Hold {
            return;
        }
        let body = self.held.get(2..).unwrap_or_default();
        let mode = match self.lexer.kind() {
            None | Some(Kind::Esc | Kind::Csi) => too_long(self.held.len(), SEQUENCE_BYTES_MAX),
            Some(Kind::Other) => Mode::Pass,
            Some(Kind::Apc) => match body.first() {
                None => Mode::Hold,
                Some(b'G') => Mode::Drop,
                Some(_) => Mode::Pass,
            },
            Some(Kind::Dcs) => match judge::dcs_header(body) {
                None => too_long(body.len(), HEADER_BYTES_MAX),
                Some(Verdict::Pass) => Mode::Pass,
                Some(Verdict::Drop | Verdict::DropAll) => Mode::Drop,
            },
            Some(Kind::Osc) => match osc_number(body) {
                judge::Number::Partial => too_long(body.len(), HEADER_BYTES_MAX),
                judge::Number::Is(number) => match judge::osc(number) {
                    Some(Verdict::Pass) => Mode::Pass,
                    Some(Verdict::Drop | Verdict::DropAll) => Mode::Drop,
                    None => too_long(body.len(), STRING_BYTES_MAX),
                },
                judge::Number::None => Mode::Pass,
            },
        };
        self.mode = mode;
        match mode {
            Mode::Hold => {}
            Mode::Pass => out.append(&mut self.held),
            Mode::Drop => self.held.clear(),
        }
    }
}

/// The first parameter of a control sequence, whole or not; 0 where it has none, or a prefix or
/// intermediates.
pub(crate) fn csi_first_param(sequence: &[u8]) -> u32 {
    let csi = judge::Csi::parse(sequence);
    if csi.prefix.is_some() || csi.inter.is_some() { 0 } else { csi.params[0].unwrap_or(0) }
}

fn too_long(length: usize, limit: usize) -> Mode {
    if length > limit { Mode::Drop } else { Mode::Hold }
}

#[cfg(test)]
mod tests;
