//! What is written to a terminal when its session is left.

use std::fs::File;
use std::io::{self, Write as _};

/// Undoes what a session may have switched on, then goes back to the caller's screen: an unfinished
/// string or picture; colours and links; scroll region, origin and insert mode, cursor keys, keypad;
/// line wrap; mouse reports of every kind; focus reports; bracketed paste; inverse screen;
/// kitty's and xterm's keyboard protocols; tab stops; character set; cursor form and visibility; title.
const LEAVE: &[u8] =
    b"\x18\x1b\\\x1b[?2026l\x1b[0m\x1b]8;;\x1b\\\x1b[r\x1b[?6l\x1b[4l\x1b[20l\x1b[?1l\x1b>\x1b[?7h\
\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\
\x1b[?1004l\x1b[?2004l\x1b[?5l\x1b[<99u\x1b[=0u\x1b[>4;0m\x1b[?5W\x1b(B\x0f\x1b[0 q\x1b[?25h\
\x1b[?1049l\x1b[23;0t";
/// Palette, foreground, background and cursor as the terminal is configured: only where they were changed,
/// as the caller may have set some.
const COLOURS: &[u8] = b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\";

/// Switches back to the caller's screen.
pub(super) fn leave(terminal: &mut File, colored: bool) -> io::Result<()> {
    if colored {
        terminal.write_all(COLOURS)?;
    }
    terminal.write_all(LEAVE)
}
