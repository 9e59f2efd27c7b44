//! Asking for a secret on the terminal: what is typed is not shown.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::raw::unusable;
use crate::error::CliError;

/// A longer one is none.
pub(super) const BYTES_MAX: usize = 4096;

/// A longer standard input holds no secret.
const STDIN_BYTES_MAX: u64 = 64 * 1024;

/// The terminal as it was, once this goes.
pub(super) struct Silent {
    pub(super) tty: File,
    before: Termios,
}

impl Silent {
    /// From here on it shows nothing of what is typed.
    pub(super) fn new(tty: File) -> io::Result<Self> {
        let before = tcgetattr(&tty)?;
        let mut quiet = before.clone();
        // Keys one by one: Ctrl+C must put the terminal back before it ends us.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        let silent = Self { tty, before };
        tcsetattr(&silent.tty, OptionalActions::Flush, &quiet)?;
        Ok(silent)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
    }
}

/// The controlling terminal.
pub(super) fn tty() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Asks on the controlling terminal, whatever standard input is.
pub(crate) fn ask(prompt: &str) -> Result<String, CliError> {
    let tty = tty().map_err(|_| {
        CliError::bad_input("cannot ask without a terminal")
            .hint("give it on standard input: --password-stdin, --token-stdin, --recovery-key-stdin")
    })?;
    read(tty, prompt).map_err(unusable)?.ok_or_else(|| CliError::bad_input("empty input: nothing was sent"))
}

/// The first line of standard input; where that is a terminal, it is asked for.
pub(crate) fn from_stdin(what: &str) -> Result<String, CliError> {
    if io::stdin().is_terminal() {
        return ask(&format!("The {what}: "));
    }
    let mut text = String::new();
    io::stdin().lock().take(STDIN_BYTES_MAX).read_to_string(&mut text).map_err(|error| {
        CliError::bad_input(format!("cannot read the {what} from standard input: {error}"))
    })?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(CliError::bad_input(format!("no {what} on standard input: nothing was sent")));
    }
    Ok(line.to_owned())
}

fn read(tty: File, prompt: &str) -> io::Result<Option<String>> {
    let mut silent = Silent::new(tty)?;
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
pub(super) enum Key {
    More,
    Done,
    Cancelled,
}

pub(super) fn take(typed: &mut Vec<u8>, byte: u8) -> Key {
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
