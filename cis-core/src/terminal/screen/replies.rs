//! What the model answers to queries. It says what it is: a VT220 with colours, without graphics.

use alacritty_terminal::term::color::Colors;
use alacritty_terminal::vte::ansi::{NamedColor, Rgb};

/// Answers beyond this in one piece of output are dropped, bytes: nobody reads them.
const REPLY_BYTES_MAX: usize = 16 << 10;

/// Reports of a program's status are understood (OSC 7501).
pub(super) const STATUS: &str = "\x1b]7501;?\x1b\\";

/// Appends an answer.
pub(super) fn push(replies: &mut Vec<u8>, answer: &str) {
    if replies.len() + answer.len() <= REPLY_BYTES_MAX {
        replies.extend_from_slice(answer.as_bytes());
    }
}

/// DA1, DA2, DA3, by the character behind `CSI`.
pub(super) fn identity(prefix: Option<char>) -> Option<&'static str> {
    match prefix {
        None => Some("\x1b[?62;22c"),
        Some('>') => Some("\x1b[>1;10;0c"),
        Some('=') => Some("\x1bP!|00000000\x1b\\"),
        Some(_) => None,
    }
}

/// An answer to OSC 4, 10, 11, 12 with `?`.
pub(super) fn color(colors: &Colors, prefix: &str, index: usize, end: &str) -> Option<String> {
    let set = if index <= NamedColor::Cursor as usize { colors[index] } else { None };
    let Rgb { r, g, b } = set.or_else(|| default_color(index))?;
    Some(format!("\x1b]{prefix};rgb:{r:02x}{r:02x}/{g:02x}{g:02x}/{b:02x}{b:02x}{end}"))
}

/// xterm's palette; light grey on black.
fn default_color(index: usize) -> Option<Rgb> {
    const NAMED: [u32; 16] = [
        0x00_0000, 0xcd_0000, 0x00_cd00, 0xcd_cd00, 0x00_00ee, 0xcd_00cd, 0x00_cdcd, 0xe5_e5e5, 0x7f_7f7f,
        0xff_0000, 0x00_ff00, 0xff_ff00, 0x5c_5cff, 0xff_00ff, 0x00_ffff, 0xff_ffff,
    ];
    let of = |rgb: u32| Rgb { r: (rgb >> 16) as u8, g: (rgb >> 8) as u8, b: rgb as u8 };
    let level = |n: usize| if n == 0 { 0 } else { (55 + 40 * n) as u8 };
    match index {
        0..16 => Some(of(NAMED[index])),
        16..232 => {
            let n = index - 16;
            Some(Rgb { r: level(n / 36), g: level(n / 6 % 6), b: level(n % 6) })
        }
        232..256 => {
            let grey = (8 + 10 * (index - 232)) as u8;
            Some(Rgb { r: grey, g: grey, b: grey })
        }
        _ if index == NamedColor::Background as usize => Some(of(0)),
        _ if index <= NamedColor::Cursor as usize => Some(of(0xe5_e5e5)),
        _ => None,
    }
}
