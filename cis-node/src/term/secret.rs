//! Asking for a secret on the terminal: what is typed is not shown.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::CliError;

/// A longer one is none.
const BYTES_MAX: usize = 4096;

/// The terminal as it was, once this goes.
struct Silent {
    tty: File,
    before: Termios,
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
    }
}

/// Asks on the controlling terminal, whatever standard input is.
pub(crate) fn ask(prompt: &str) -> Result<String, CliError> {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        CliError::bad_input("there is no terminal to ask for the password on")
            .hint("take --password-stdin or --token-stdin")
    })?;
    let failed = |error: io::Error| CliError::unavailable(format!("the terminal cannot be used: {error}"));
    read(tty, prompt)
        .map_err(failed)?
        .ok_or_else(|| CliError::bad_input("nothing was typed: nothing was sent"))
}

fn read(tty: File, prompt: &str) -> io::Result<Option<String>> {
    let before = tcgetattr(&tty)?;
    let mut quiet = before.clone();
    // Keys one by one: Ctrl+C must put the terminal back before it ends us.
    quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    let mut silent = Silent { tty, before };
    tcsetattr(&silent.tty, OptionalActions::Flush, &quiet)?;
    silent.tty.write_all(prompt.as_bytes())?;
    let mut typed = Vec::new();
    let taken = loop {
        let mut byte = [0];
        if silent.tty.read(&mut byte)? == 0 {
            break false;
        }
        match take(&mut typed, byte[0]) {
            Key::More => {}
            Key::Done => break true,
            Key::Cancelled => break false,
        }
    };
    silent.tty.write_all(b"\n")?;
    Ok(String::from_utf8(typed).ok().filter(|text| taken && !text.is_empty()))
}

#[derive(Debug, PartialEq, Eq)]
enum Key {
    More,
    Done,
    Cancelled,
}

fn take(typed: &mut Vec<u8>, byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => return Key::Done,
        // Ctrl+C, Ctrl+\.
        0x03 | 0x1c => return Key::Cancelled,
        // Ctrl+D.
        0x04 => return if typed.is_empty() { Key::Cancelled } else { Key::Done },
        // Backspace takes a character, whatever its length.
        0x08 | 0x7f => while typed.pop().is_some_and(|last| last & 0xc0 == 0x80) {},
        // Ctrl+U.
        0x15 => typed.clear(),
        _ if typed.len() < BYTES_MAX => typed.push(byte),
        _ => {}
    }
    Key::More
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_as_a_terminal_takes_them() {
        let all = |keys: &[u8]| {
            let mut typed = Vec::new();
            let last = keys.iter().map(|&byte| take(&mut typed, byte)).last().unwrap();
            (String::from_utf8(typed).unwrap(), last)
        };
        assert_eq!(all(b"abc\r"), ("abc".to_owned(), Key::Done));
        assert_eq!(all("aß\x7fb\n".as_bytes()), ("ab".to_owned(), Key::Done));
        assert_eq!(all(b"no\x15yes\x04"), ("yes".to_owned(), Key::Done));
        assert_eq!(all(b"\x04").1, Key::Cancelled);
        assert_eq!(all(b"ab\x03").1, Key::Cancelled);
    }
}
