//! Where escape sequences begin and end in a stream of bytes, and of which kind they are.
//!
//! The states are those of Paul Williams' parser for DEC terminals (vt100.net/emu/dec_ansi_parser), without
//! the meaning. Only ESC begins a sequence; C1 controls do not. Holds no bytes.

/// Kinds of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// ESC, intermediates, one final byte.
    Esc,
    /// `ESC [`.
    Csi,
    /// `ESC ]`, ended by BEL too.
    Osc,
    /// `ESC P`.
    Dcs,
    /// `ESC _`.
    Apc,
    /// `ESC X` and `ESC ^`: strings that terminals ignore.
    Other,
}

/// What a byte does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// So many of the last bytes, this one included, begin a new sequence (0: none). What was open
    /// before them ends without its end.
    pub(crate) fresh: u8,
    /// What the byte is.
    pub(crate) now: Now,
}

/// What a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// Not in a sequence.
    Text,
    /// In one, which goes on.
    More,
    /// In a string: the next byte tells whether it belongs to it, ends it, or began another sequence.
    Maybe,
    /// The last one of a sequence of this kind.
    End(Kind),
    /// CAN or SUB: ends a sequence without effect.
    Abort,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Esc,
    EscInter,
    Csi,
    Str(Kind),
    /// ESC in a string.
    StrEsc(Kind),
}

/// The state between bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lexer {
    state: State,
}

const fn step(now: Now) -> Step {
    Step { fresh: 0, now }
}

const fn fresh(fresh: u8, now: Now) -> Step {
    Step { fresh, now }
}

impl Lexer {
    pub(crate) fn is_ground(&self) -> bool {
        self.state == State::Ground
    }

    /// The kind of the open sequence, as far as known; none outside of sequences.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.state {
            State::Ground => None,
            State::Esc | State::EscInter => Some(Kind::Esc),
            State::Csi => Some(Kind::Csi),
            State::Str(kind) | State::StrEsc(kind) => Some(kind),
        }
    }

    /// Forgets an open sequence.
    pub(crate) fn reset(&mut self) {
        self.state = State::Ground;
    }

    pub(crate) fn step(&mut self, byte: u8) -> Step {
        match self.state {
            State::Ground => self.ground(byte),
            State::Esc => self.esc(byte),
            State::EscInter => match byte {
                0x30..=0x7E => self.end(Kind::Esc),
                _ => self.in_sequence(byte),
            },
            State::Csi => match byte {
                0x40..=0x7E => self.end(Kind::Csi),
                _ => self.in_sequence(byte),
            },
            State::Str(kind) => self.string(kind, byte),
            State::StrEsc(kind) => match byte {
                b'\\' => self.end(kind),
                0x1B => {
                    self.state = State::Esc;
                    fresh(1, Now::More)
                }
                _ => {
                    let now = self.esc(byte).now;
                    fresh(2, now)
                }
            },
        }
    }

    fn end(&mut self, kind: Kind) -> Step {
        self.state = State::Ground;
        step(Now::End(kind))
    }

    fn ground(&mut self, byte: u8) -> Step {
        if byte != 0x1B {
            return step(Now::Text);
        }
        self.state = State::Esc;
        fresh(1, Now::More)
    }

    fn esc(&mut self, byte: u8) -> Step {
        self.state = match byte {
            b'[' => State::Csi,
            b']' => State::Str(Kind::Osc),
            b'P' => State::Str(Kind::Dcs),
            b'_' => State::Str(Kind::Apc),
            b'X' | b'^' => State::Str(Kind::Other),
            0x20..=0x2F => State::EscInter,
            0x30..=0x7E => return self.end(Kind::Esc),
            _ => {
                self.state = State::Esc;
                return self.in_sequence(byte);
            }
        };
        step(Now::More)
    }

    fn in_sequence(&mut self, byte: u8) -> Step {
        match byte {
            0x18 | 0x1A => {
                self.state = State::Ground;
                step(Now::Abort)
            }
            0x1B => {
                self.state = State::Esc;
                fresh(1, Now::More)
            }
            _ => step(Now::More),
        }
    }

    fn string(&mut self, kind: Kind, byte: u8) -> Step {
        self.state = State::Str(kind);
        match byte {
            0x07 if kind == Kind::Osc => self.end(kind),
            0x18 | 0x1A => {
                self.state = State::Ground;
                step(Now::Abort)
            }
            0x1B => {
                self.state = State::StrEsc(kind);
                step(Now::Maybe)
            }
            _ => step(Now::More),
        }
    }
}
