//! Keys as the bytes that a terminal sends (xterm's ctlseqs, "PC-Style Function Keys").

use cis_core::terminal::screen::Modes;
use cis_core::text::control_byte;
use eframe::egui::{Key, Modifiers};

/// What a key sends that is no text of its own; none where it sends nothing.
#[must_use]
pub fn key_bytes(key: Key, modifiers: Modifiers, modes: Modes) -> Option<Vec<u8>> {
    if modifiers.ctrl
        && !modifiers.alt
        && let Some(byte) = control_char(key).and_then(control_byte)
    {
        return Some(vec![byte]);
    }
    let number = 1 + u8::from(modifiers.shift) + 2 * u8::from(modifiers.alt) + 4 * u8::from(modifiers.ctrl);
    let cursor = |last: char| match (number, modes.app_cursor) {
        (1, true) => format!("\x1bO{last}"),
        (1, false) => format!("\x1b[{last}"),
        _ => format!("\x1b[1;{number}{last}"),
    };
    let tilde = |code: u8| {
        if number == 1 { format!("\x1b[{code}~") } else { format!("\x1b[{code};{number}~") }
    };
    let function = |last: char| {
        if number == 1 { format!("\x1bO{last}") } else { format!("\x1b[1;{number}{last}") }
    };
    let text = match key {
        Key::Enter if modifiers.alt => "\x1b\r".to_owned(),
        Key::Enter => "\r".to_owned(),
        Key::Tab if modifiers.shift => "\x1b[Z".to_owned(),
        Key::Tab => "\t".to_owned(),
        Key::Escape => "\x1b".to_owned(),
        Key::Backspace if modifiers.alt => "\x1b\x7f".to_owned(),
        Key::Backspace => "\x7f".to_owned(),
        Key::ArrowUp => cursor('A'),
        Key::ArrowDown => cursor('B'),
        Key::ArrowRight => cursor('C'),
        Key::ArrowLeft => cursor('D'),
        Key::Home => cursor('H'),
        Key::End => cursor('F'),
        Key::Insert => tilde(2),
        Key::Delete => tilde(3),
        Key::PageUp => tilde(5),
        Key::PageDown => tilde(6),
        Key::F1 => function('P'),
        Key::F2 => function('Q'),
        Key::F3 => function('R'),
        Key::F4 => function('S'),
        Key::F5 => tilde(15),
        Key::F6 => tilde(17),
        Key::F7 => tilde(18),
        Key::F8 => tilde(19),
        Key::F9 => tilde(20),
        Key::F10 => tilde(21),
        Key::F11 => tilde(23),
        Key::F12 => tilde(24),
        _ => return None,
    };
    Some(text.into_bytes())
}

/// What typed text sends: with Alt an Esc before it, as xterm's Meta. AltGr chooses a character of the keyboard, as Option does
/// on a Mac: that is sent as it is. Linux has AltGr as none of the modifiers here, other systems as Ctrl and Alt.
#[must_use]
pub fn text_bytes(text: &str, held: Modifiers) -> Vec<u8> {
    let meta = held.alt && !held.ctrl && !cfg!(target_os = "macos");
    let esc: &[u8] = if meta { b"\x1b" } else { b"" };
    [esc, text.as_bytes()].concat()
}

/// What is pasted, in brackets where the program asked for them. An end of the brackets inside is taken out, so
/// that what follows it is not taken as typed.
#[must_use]
pub fn paste_bytes(text: &str, modes: Modes) -> Vec<u8> {
    let text = text.replace("\r\n", "\r").replace('\n', "\r");
    if modes.bracketed_paste {
        let inside = text.replace("\x1b[201~", "").replace('\x1b', "");
        return format!("\x1b[200~{inside}\x1b[201~").into_bytes();
    }
    text.into_bytes()
}

/// The character that a key stands for with Ctrl; digits stand for others, as on a VT220.
fn control_char(key: Key) -> Option<char> {
    Some(match key {
        Key::Space => ' ',
        Key::Num2 | Key::Backtick => '@',
        Key::Num3 | Key::OpenBracket => '[',
        Key::Num4 | Key::Backslash => '\\',
        Key::Num5 | Key::CloseBracket => ']',
        Key::Num6 => '^',
        Key::Num7 | Key::Minus | Key::Slash => '_',
        Key::Num8 | Key::Questionmark => '?',
        key => char::from(letter(key)?),
    })
}

fn letter(key: Key) -> Option<u8> {
    let name = key.name().as_bytes();
    match name {
        [letter @ b'A'..=b'Z'] => Some(letter.to_ascii_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(key: Key, modifiers: Modifiers, modes: Modes) -> String {
        String::from_utf8(key_bytes(key, modifiers, modes).unwrap_or_default()).unwrap()
    }

    #[test]
    fn keys_are_sent_as_terminals_do() {
        let plain = Modes::default();
        let app = Modes { app_cursor: true, ..plain };
        assert_eq!(sent(Key::ArrowUp, Modifiers::NONE, plain), "\x1b[A");
        assert_eq!(sent(Key::ArrowUp, Modifiers::NONE, app), "\x1bOA");
        assert_eq!(sent(Key::ArrowUp, Modifiers::CTRL, app), "\x1b[1;5A");
        assert_eq!(sent(Key::C, Modifiers::CTRL, plain), "\x03");
        for (key, byte) in [
            (Key::Space, 0),
            (Key::Num2, 0),
            (Key::Slash, 0x1f),
            (Key::Num6, 0x1e),
            (Key::Questionmark, 0x7f),
        ] {
            assert_eq!(key_bytes(key, Modifiers::CTRL, plain), Some(vec![byte]), "{key:?}");
        }
        assert_eq!(sent(Key::Enter, Modifiers::ALT, plain), "\x1b\r");
        assert_eq!(sent(Key::Tab, Modifiers::SHIFT, plain), "\x1b[Z");
        assert_eq!(sent(Key::F5, Modifiers::NONE, plain), "\x1b[15~");
        for modifiers in [Modifiers::NONE, Modifiers::SHIFT, Modifiers::ALT] {
            assert_eq!(key_bytes(Key::A, modifiers, plain), None, "it comes as text");
        }
    }

    #[test]
    fn alt_sends_an_escape_before_text_and_altgr_does_not() {
        assert_eq!(text_bytes("b", Modifiers::ALT), b"\x1bb");
        assert_eq!(text_bytes("B", Modifiers::ALT | Modifiers::SHIFT), b"\x1bB");
        assert_eq!(text_bytes("é", Modifiers::ALT), "\u{1b}é".as_bytes());
        for plain in [Modifiers::NONE, Modifiers::SHIFT, Modifiers::CTRL | Modifiers::ALT] {
            assert_eq!(text_bytes("@", plain), b"@");
        }
    }

    #[test]
    fn what_is_pasted_stays_in_its_brackets() {
        let modes = Modes { bracketed_paste: true, ..Modes::default() };
        assert_eq!(paste_bytes("a\n\x1b[201~rm\r\nb", modes), b"\x1b[200~a\rrm\rb\x1b[201~");
        assert_eq!(paste_bytes("a\nb", Modes::default()), b"a\rb");
    }
}
