//! Which escape sequences may pass. Pure functions over whole sequences or their beginnings.

use super::lexer::Kind;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// All but the control characters in it.
    Drop,
    /// With everything in it.
    DropAll,
}

/// A control sequence taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Csi {
    /// One of `<`, `=`, `>`, `?`.
    pub(super) prefix: Option<u8>,
    /// Its first two parameters, none where they are empty.
    pub(super) params: [Option<u32>; 2],
    /// How many parameters there are, at least 1.
    pub(super) count: usize,
    /// The last intermediate.
    pub(super) inter: Option<u8>,
    pub(super) last: u8,
    /// Terminals ignore it, or differ about it.
    pub(super) malformed: bool,
}

impl Csi {
    /// Takes a whole sequence apart; its introducer has two bytes.
    pub(super) fn parse(sequence: &[u8]) -> Self {
        let mut csi = Self { count: 1, ..Self::default() };
        let Some((last, inner)) = sequence.get(2..).and_then(<[u8]>::split_last) else { return csi };
        csi.last = *last;
        let mut sub = false;
        let mut any = false;
        for byte in inner {
            match byte {
                0x00..=0x1F | 0x7F => continue,
                b'<'..=b'?' if !any => csi.prefix = Some(*byte),
                b'0'..=b'9' if csi.inter.is_none() => {
                    if let Some(param) = csi.params.get_mut(csi.count - 1).filter(|_| !sub) {
                        let digit = u32::from(byte - b'0');
                        *param = Some(param.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                    }
                }
                b';' if csi.inter.is_none() => {
                    csi.count += 1;
                    sub = false;
                }
                b':' if csi.inter.is_none() => sub = true,
                0x20..=0x2F => {
                    // Two intermediates are a sequence that no query has.
                    csi.malformed |= csi.inter.is_some();
                    csi.inter = Some(*byte);
                }
                _ => csi.malformed = true,
            }
            any = true;
        }
        csi
    }
}

/// Judges a complete sequence.
pub(super) fn whole(kind: Kind, sequence: &[u8]) -> Verdict {
    match kind {
        Kind::Esc => esc(sequence),
        Kind::Csi => csi(&Csi::parse(sequence)),
        Kind::Osc => osc_whole(sequence.get(2..).unwrap_or_default()),
        Kind::Dcs | Kind::Apc | Kind::Other => Verdict::Pass,
    }
}

fn esc(sequence: &[u8]) -> Verdict {
    match sequence {
        [0xC2, 0x9A] => Verdict::DropAll,
        [0xC2, ..] => Verdict::Pass,
        // Terminals differ about characters in the midst of a sequence.
        _ if sequence.iter().any(|byte| *byte >= 0x80) => Verdict::Drop,
        // DECID, a DA1 of old.
        _ if sequence.iter().filter(|byte| **byte >= 0x20).eq(b"Z") => Verdict::Drop,
        _ => Verdict::Pass,
    }
}

/// Queries among control sequences.
fn csi(csi: &Csi) -> Verdict {
    let first = csi.params[0].unwrap_or(0);
    let query = match (csi.prefix, csi.inter, csi.last) {
        _ if csi.malformed => true,
        // DA1, DA3, DA2. `CSI ? c` is the Linux console's cursor shape.
        (None | Some(b'=' | b'>'), None, b'c') => true,
        // DSR, CPR and their DEC forms. `CSI > n` sets a key modifier option.
        (None | Some(b'?'), None, b'n') => true,
        // DECRQM.
        (_, Some(b'$'), b'p') => true,
        // XTVERSION.
        (Some(b'>'), None, b'q') => true,
        // The kitty keyboard's flags; DECRQUPSS; DECRQTSR.
        (Some(b'?'), None, b'u') | (None, Some(b'&' | b'$'), b'u') => true,
        // Reports of the window's state, place, size and titles.
        (None, None, b't') => matches!(first, 11 | 13..=16 | 18..=21),
        // DECREQTPARM; DECRQPKFM.
        (None, None | Some(b'+'), b'x') => true,
        // DECRQCRA; DECRQPSR; DECRQLP; DECRQDE.
        (None, Some(b'*'), b'y') | (None, Some(b'$'), b'w') | (None, Some(b'\''), b'|') => true,
        (None, Some(b'"'), b'v') => true,
        // XTREPORTCOLORS, XTTITLEPOS, XTREPORTSGR.
        (None, Some(b'#'), b'R' | b'S' | b'|') => true,
        // XTSMGRAPHICS, XTQMODKEYS, XTQFMTKEYS.
        (Some(b'?'), None, b'S' | b'm' | b'g') => true,
        _ => false,
    };
    if query { Verdict::Drop } else { Verdict::Pass }
}

/// What stands before the first `;` of an OSC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// More digits may come.
    Partial,
    Is(u32),
    /// It does not begin with a number.
    None,
}

pub(super) fn osc_number(body: &[u8]) -> Number {
    let mut number = None;
    for byte in body.iter().filter(|byte| **byte >= 0x20) {
        match byte {
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0');
                number = Some(number.unwrap_or(0_u32).saturating_mul(10).saturating_add(digit));
            }
            _ => return number.map_or(Number::None, Number::Is),
        }
    }
    Number::Partial
}

/// Judges an OSC by its number; none: its text decides.
pub(super) fn osc(number: u32) -> Option<Verdict> {
    match number {
        // Titles, directory, hyperlink, notification or progress, shell marks: texts may hold a `?`.
        0..=2 | 6..=9 | 133 | 633 | 777 => Some(Verdict::Pass),
        // Clipboard (52, kitty's 5522), xterm's feature queries, iTerm2's files and reports, program
        // status: answered by the model, if at all.
        52 | 60 | 61 | 1337 | 5522 | 7501 => Some(Verdict::DropAll),
        _ => None,
    }
}

fn osc_whole(body: &[u8]) -> Verdict {
    let mut with_end = body.to_vec();
    // So that a number without a text counts as complete.
    with_end.push(b';');
    match osc_number(&with_end) {
        Number::Is(number) => osc(number).unwrap_or_else(|| osc_text(body)),
        Number::None | Number::Partial => Verdict::Pass,
    }
}

/// A value that begins with `?` asks for what is set (colours, fonts, pointers, properties).
fn osc_text(body: &[u8]) -> Verdict {
    let mut before = 0;
    for byte in body.iter().filter(|byte| **byte >= 0x20) {
        if *byte == b'?' && matches!(before, b';' | b'=') {
            return Verdict::DropAll;
        }
        before = *byte;
    }
    // A notification that wants to be told of its fate (OSC 99).
    if memchr::memmem::find(body, b"report").is_some() { Verdict::DropAll } else { Verdict::Pass }
}

/// Judges a DCS by what stands before its data; none: more is needed.
pub(super) fn dcs_header(body: &[u8]) -> Option<Verdict> {
    let mut inter = None;
    let mut plain = true;
    for byte in body.iter().filter(|byte| **byte >= 0x20 && **byte != 0x7F) {
        match byte {
            0x30..=0x3F => plain &= !matches!(byte, b'<'..=b'?'),
            0x20..=0x2F => inter = Some(*byte),
            0x40..=0x7E => {
                return Some(match (inter, byte) {
                    // XTGETTCAP, DECRQSS; keys that type what a program says (DECUDK); a sequence for
                    // the terminal around tmux.
                    (Some(b'+' | b'$'), b'q') | (None, b't') => Verdict::DropAll,
                    (None, b'|') if plain => Verdict::DropAll,
                    _ => Verdict::Pass,
                });
            }
            _ => return Some(Verdict::DropAll),
        }
    }
    None
}
