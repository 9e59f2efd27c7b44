//! What may reach a viewer's terminal: allow-lists of control characters, escape sequences, modes and strings.
//!
//! A sequence is on a list if programs draw with it or read keys and the mouse with it, if the model
//! ([`screen`](crate::terminal::screen)) understands it, and if no terminal answers it, types because of it, or does
//! something outside of the session's screen. Unknown sequences are on no list. `docs/decisions/0030-viewer-allow-list.md`
//! has the reasons for what was left out; `tests/reactions.tsv` has the sequences by terminal.

use super::csi::Csi;

/// Longest address of a link, bytes. The model has the same limit.
pub(crate) const LINK_BYTES_MAX: usize = 2048;
/// Longest name of a color, bytes.
const COLOR_BYTES_MAX: usize = 64;
/// Maximum count of repeats of a character (REP): more than a full screen.
pub(crate) const REPEAT_MAX: u16 = 4096;

/// What happens to a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes as it is.
    Pass,
    /// It passes with the parameters that are allowed.
    Rewrite,
    /// It does not pass.
    Drop,
    /// It is a link that must not pass. The link before it ends here.
    EndLink,
}

/// ANSI modes (`CSI … h`) that a session may set and reset: insert (IRM), and a new line for each line feed (LNM).
const MODES: &[u16] = &[4, 20];

/// DEC private modes (`CSI ? … h`) that a session may set and reset.
const PRIVATE_MODES: &[u16] = &[
    1,    // cursor keys (DECCKM)
    5,    // reverse video (DECSCNM), with which programs flash
    6,    // origin (DECOM)
    7,    // line wrap (DECAWM)
    12,   // blinking cursor
    25,   // visible cursor (DECTCEM)
    47,   // alternate screen, in three ways, and the saved cursor
    1047, //
    1048, //
    1049, //
    1000, // mouse: buttons
    1002, // mouse: drags
    1003, // mouse: moves
    1004, // focus
    1005, // coordinates of the mouse: UTF-8
    1006, // coordinates of the mouse: SGR
    1007, // wheel as cursor keys on the alternate screen
    1015, // coordinates of the mouse: urxvt
    2004, // bracketed paste
    2026, // synchronized updates
];

/// DEC private modes that a session may reset, but not set: the bell asks for attention (1042).
const PRIVATE_MODES_OFF: &[u16] = &[1042];

/// Schemes of links that open a page or a message. Others (`file`, `ssh`, `x-man-page` …) start programs with an address that the
/// session chose.
const LINK_SCHEMES: &[&str] = &["http", "https", "mailto"];

/// Control characters that a session may write: BEL, BS, HT, LF, VT, FF, CR, SO, SI. ENQ is not allowed, because terminals answer
/// it; nor is CAN, with which file transfers (ZMODEM) begin.
pub(super) const fn is_control(byte: u8) -> bool {
    matches!(byte, 0x07..=0x0F)
}

/// Judges an escape sequence (`ESC`, intermediates, final byte) that begins no string and no control sequence.
pub(super) fn esc(sequence: &[u8]) -> Verdict {
    let allowed = match sequence {
        // DECSC, DECRC; keypad; IND, NEL, HTS, RI; RIS, which acts on the screen of the viewer's `attach`.
        [0x1B, b'7' | b'8' | b'=' | b'>' | b'D' | b'E' | b'H' | b'M' | b'c'] => true,
        // Character sets: line drawing and ASCII.
        [0x1B, b'(' | b')' | b'*' | b'+', b'0' | b'B'] => true,
        // DECALN.
        [0x1B, b'#', b'8'] => true,
        _ => false,
    };
    if allowed { Verdict::Pass } else { Verdict::Drop }
}

/// Judges a control sequence.
pub(super) fn csi(csi: &Csi) -> Verdict {
    if csi.malformed {
        return Verdict::Drop;
    }
    if matches!((csi.prefix, csi.inter, csi.last), (None | Some(b'?'), None, b'h' | b'l')) {
        return modes(csi);
    }
    let (first, second, count) = (csi.value(0), csi.value(1), csi.count);
    let allowed = match (csi.prefix, csi.inter, csi.last) {
        // SGR, the only one with subparameters.
        (None, None, b'm') => true,
        _ if csi.has_sub => false,
        // ICH; CUU to CHA; CHT; IL, DL; DCH; SU; ECH; CBT; HPA, HPR, REP, VPA, VPR; CUP, HVP; DECSTBM.
        (None, None, b'@'..=b'I' | b'L' | b'M' | b'P' | b'S' | b'X' | b'Z') => true,
        (None, None, b'`' | b'a' | b'b' | b'd' | b'e' | b'f' | b'r') => true,
        // SD; with more parameters it is a mouse report.
        (None, None, b'T') => count == 1,
        // ED, EL; `CSI 3 J` clears what scrolled out of the viewer's terminal.
        (None, None, b'J' | b'K') => first <= 2,
        // TBC.
        (None, None, b'g') => matches!(first, 0 | 3),
        // SCOSC, SCORC; with parameters the first is DECSLRM.
        (None, None, b's' | b'u') => csi.params() == [None],
        // Titles saved and restored (XTWINOPS); nothing else of windows.
        (None, None, b't') => matches!(first, 22 | 23) && second <= 2 && count <= 3 && csi.value(2) == 0,
        // DECST8C.
        (Some(b'?'), None, b'W') => count == 1 && first == 5,
        // XTMODKEYS, only for "other keys".
        (Some(b'>'), None, b'm') => count <= 2 && first == 4 && second <= 2,
        // The kitty keyboard: push, pop, set.
        (Some(b'>'), None, b'u') => count == 1 && first <= 31,
        (Some(b'<'), None, b'u') => count == 1,
        (Some(b'='), None, b'u') => count <= 2 && first <= 31 && second <= 3,
        // DECSCUSR.
        (None, Some(b' '), b'q') => count == 1 && first <= 6,
        _ => false,
    };
    let changed = csi.is_saturated && csi.last != b'm'
        || csi.last == b'b' && first > REPEAT_MAX
        || count > params_max(csi.last);
    match allowed {
        true if changed => Verdict::Rewrite,
        true => Verdict::Pass,
        false => Verdict::Drop,
    }
}

/// Maximum number of parameters that terminals read of a sequence that draws. A sequence with more does not
/// pass.
const fn params_max(last: u8) -> usize {
    match last {
        b'm' | b't' => usize::MAX,
        b'H' | b'f' | b'r' | b'u' => 2,
        _ => 1,
    }
}

/// Judges a sequence that sets or resets modes: all, some or none of them are allowed.
fn modes(csi: &Csi) -> Verdict {
    let allowed = csi.params().iter().filter(|mode| is_mode(csi, **mode)).count();
    match allowed {
        _ if csi.has_sub => Verdict::Drop,
        0 => Verdict::Drop,
        some if some < csi.count => Verdict::Rewrite,
        _ => Verdict::Pass,
    }
}

fn is_mode(csi: &Csi, mode: Option<u16>) -> bool {
    let Some(mode) = mode else { return false };
    match csi.prefix {
        None => MODES.contains(&mode),
        Some(_) => PRIVATE_MODES.contains(&mode) || csi.last == b'l' && PRIVATE_MODES_OFF.contains(&mode),
    }
}

/// Writes the allowed part of a sequence whose verdict is [`Verdict::Rewrite`].
pub(super) fn rewrite(csi: &Csi, out: &mut Vec<u8>) {
    let params = csi.params().iter().copied();
    match csi.last {
        b'h' | b'l' => csi.write(params.filter(|mode| is_mode(csi, *mode)), out),
        b'b' => csi.write(std::iter::once(Some(csi.value(0).min(REPEAT_MAX))), out),
        last => csi.write(params.take(params_max(last)), out),
    }
}

/// Judges an OSC by the text between its introducer and its end. `cut_off`: the text may be incomplete. The number must be
/// written as terminals write it.
pub(super) fn osc(body: &[u8], cut_off: bool) -> Verdict {
    let is_link = body.strip_prefix(b"8;").is_some_and(|params| params.contains(&b';'));
    let refused = if is_link { Verdict::EndLink } else { Verdict::Drop };
    let Ok(body) = std::str::from_utf8(body) else { return refused };
    if cut_off || body.chars().any(char::is_control) {
        return refused;
    }
    let (number, text) = body.split_once(';').unwrap_or((body, ""));
    let allowed = match number {
        // Titles.
        "0" | "1" | "2" => body.contains(';'),
        // A link, or the end of one.
        "8" => is_link_or_end(text),
        // Colors of the palette; of text, background and cursor. A `?` would be a query.
        "4" => is_palette(text),
        "10" | "11" | "12" => is_colors(number, text),
        "104" => text.is_empty() || text.split(';').all(is_index),
        "110" | "111" | "112" => text.is_empty(),
        _ => false,
    };
    if allowed { Verdict::Pass } else { refused }
}

fn is_index(text: &str) -> bool {
    text.len() <= 3 && text.parse::<u8>().is_ok()
}

fn is_color(text: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'#' | b':' | b'/' | b'.' | b' ');
    (1..=COLOR_BYTES_MAX).contains(&text.len()) && text.bytes().all(may_be)
}

fn is_palette(text: &str) -> bool {
    let mut fields = text.split(';');
    while let Some(index) = fields.next() {
        if !is_index(index) || !fields.next().is_some_and(is_color) {
            return false;
        }
    }
    true
}

/// Whether these are colors. Further colors belong to the next numbers, up to 12, the cursor's.
fn is_colors(number: &str, text: &str) -> bool {
    let first: usize = number.parse().unwrap_or(usize::MAX);
    let count = text.split(';').count();
    first.saturating_add(count) <= 13 && text.split(';').all(is_color)
}

fn is_link_or_end(text: &str) -> bool {
    text.split_once(';').is_some_and(|(params, uri)| {
        params.len() <= LINK_BYTES_MAX && (is_link(uri) || (params, uri) == ("", ""))
    })
}

/// Whether a viewer's terminal may get a link to this address.
pub(crate) fn is_link(uri: &str) -> bool {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    let known =
        scheme.is_some_and(|scheme| LINK_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)));
    known && uri.len() <= LINK_BYTES_MAX && uri.bytes().all(|byte| matches!(byte, 0x21..=0x7E))
}
