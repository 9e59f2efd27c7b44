//! The way back: bytes from a viewer's terminal, without the answers that it gave to queries.

use super::csi::Csi;
use super::lexer::{Kind, Lexer, Now};

/// A control sequence that a keyboard or mouse sends is shorter, bytes.
const KEY_BYTES_MAX: usize = 64;
/// An answer is shorter, bytes.
const REPLY_BYTES_MAX: usize = 4096;

/// Viewer to session: drops terminal answers (attributes, cursor position, modes, colours …) that
/// slipped in. Keys, mouse, focus and pasted text pass.
///
/// Escape and Alt with a key must pass at once, so the end of a chunk matters: what stands there is
/// held only if it goes on like an answer or a key with parameters (`ESC [ 4`, `ESC ] 1 1 ;`), and let go
/// with what comes next if it was none. An answer that is cut right behind its two first bytes passes;
/// terminals write theirs in one piece.
#[derive(Debug, Clone, Default)]
pub struct TypedFilter {
    lexer: Lexer,
    held: Vec<u8>,
}

impl TypedFilter {
    /// Takes what was read from the terminal in one piece and gives what was typed.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.held.len());
        for byte in bytes {
            self.take(*byte, &mut out);
        }
        if self.held.len() <= 2 {
            self.let_go(&mut out);
        }
        out
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        let step = self.lexer.step(byte);
        if step.fresh > 0 {
            let keep = self.held.len() - usize::from(step.fresh - 1).min(self.held.len());
            out.extend(self.held.drain(..keep));
        }
        match step.now {
            Now::Text => out.push(byte),
            Now::More | Now::Maybe => {
                self.held.push(byte);
                if !self.may_be_reply() {
                    self.let_go(out);
                }
            }
            Now::End(kind) => {
                self.held.push(byte);
                if is_reply(kind, &self.held) {
                    self.held.clear();
                } else {
                    out.append(&mut self.held);
                }
            }
            Now::Abort => {
                out.append(&mut self.held);
                out.push(byte);
            }
        }
    }

    fn let_go(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.lexer.reset();
    }

    /// Whether what is held may become an answer, or a key.
    fn may_be_reply(&self) -> bool {
        let Some(body) = self.held.get(2..) else { return true };
        match self.lexer.kind() {
            None | Some(Kind::Esc) => true,
            Some(Kind::Csi) => {
                self.held.len() <= KEY_BYTES_MAX
                    && body.first().is_none_or(|b| b.is_ascii_digit() || matches!(b, b'<'..=b'?'))
            }
            Some(Kind::Osc) => {
                let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let separated = matches!(body.get(digits), None | Some(b';'));
                let numbered = digits > 0 || body.is_empty();
                self.held.len() <= REPLY_BYTES_MAX && numbered && separated
            }
            Some(Kind::Dcs) => {
                self.held.len() <= REPLY_BYTES_MAX && body.first().is_none_or(|b| b"01>!".contains(b))
            }
            Some(Kind::Apc) => self.held.len() <= REPLY_BYTES_MAX && body.first().is_none_or(|b| *b == b'G'),
            Some(Kind::Other) => false,
        }
    }
}

fn is_reply(kind: Kind, sequence: &[u8]) -> bool {
    match kind {
        Kind::Esc | Kind::Other => false,
        // Nothing that is typed has these shapes; `may_be_reply` has let go what is none.
        Kind::Osc | Kind::Dcs | Kind::Apc => sequence.len() > 4,
        Kind::Csi => {
            let csi = Csi::parse(sequence);
            match (csi.prefix, csi.inter, csi.last) {
                // DA1, DA2, DA3.
                (Some(b'?' | b'>' | b'='), None, b'c') => true,
                // Answers to DSR, and to a query for the colour scheme.
                (None | Some(b'?'), None, b'n') => csi.param(0).is_some(),
                // Cursor position. F3 with modifiers is `CSI 1 ; 2 R` to `CSI 1 ; 16 R`.
                (None, None, b'R') => {
                    let f3 = csi.param(0) == Some(1) && matches!(csi.param(1), Some(2..=16));
                    csi.count >= 2 && !f3
                }
                (Some(b'?'), None, b'R' | b'u' | b'S') => true,
                // DECRPM; window reports; terminal parameters.
                (_, Some(b'$'), b'y') => true,
                (None, None, b't' | b'x') => csi.param(0).is_some(),
                _ => false,
            }
        }
    }
}
