//! The lines at the bottom of a terminal that are drawn again and again, and text that scrolls away above them.

use std::io::IsTerminal as _;

use cis_core::api::TermSize;
use cis_core::text::cells;
use rustix::process::{getpid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::output;
use crate::term::raw;

/// Whether something can be drawn on standard error: a terminal, and one that moves its cursor.
pub(crate) fn can_draw() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// What stands at the bottom of standard error's terminal now.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// The lines there.
    drawn: Vec<String>,
    /// The columns for which they were drawn.
    cols: u16,
    /// Ctrl+Z.
    suspend: Option<Signal>,
}

impl Screen {
    /// A command that draws on it has to wait for [`Self::suspended`]. Needs a runtime of tokio.
    pub(crate) fn new() -> Self {
        let number = rustix::process::Signal::TSTP.as_raw();
        Self { suspend: signal(SignalKind::from_raw(number)).ok(), ..Self::default() }
    }

    /// Stops this process when Ctrl+Z comes, and returns when it is continued. What is drawn then stays where it is, because the
    /// shell writes below it.
    pub(crate) async fn suspended(&mut self) {
        let Some(signal) = &mut self.suspend else { return std::future::pending().await };
        if signal.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.drawn.clear();
        // Where that fails it goes on at once.
        let _ = kill_process(getpid(), rustix::process::Signal::STOP);
    }

    /// Replaces the lines at the bottom, and puts `above` over them, in one write.
    pub(crate) fn draw(&mut self, above: &str, lines: &[String]) {
        let size = raw::size(rustix::stdio::stderr());
        if above.is_empty() && lines == self.drawn && (lines.is_empty() || size.cols == self.cols) {
            return;
        }
        let (movement, text) = self.update(above, lines, size);
        output::draw(&movement, &text);
    }

    /// The way back to the first of our lines, and what follows there.
    fn update(&mut self, above: &str, lines: &[String], size: TermSize) -> (String, String) {
        // A terminal that became narrower shows one line in several rows.
        let cols = usize::from(size.cols).max(1);
        let shown = |line: &String| cells(&anstream::adapter::strip_str(line).to_string());
        let rows: usize = self.drawn.iter().map(|line| shown(line).div_ceil(cols).max(1)).sum();
        // Everything from our first line on is ours to erase (ECMA-48 CUU, EL, CUD, ED). What is erased from the first row of a
        // terminal on goes into the history of tmux, with each drawing: so that row is erased by itself.
        let movement =
            if rows > 0 { format!("\r\x1b[{rows}A\x1b[K\x1b[B\x1b[J\x1b[A") } else { String::new() };
        let mut text = above.to_owned();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        (self.drawn, self.cols) = (lines.to_vec(), size.cols);
        (movement, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_replaces_the_last_one() {
        let mut screen = Screen::default();
        let mut update = |above: &str, lines: &[&str], cols: u16| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            screen.update(above, &lines, TermSize { cols, rows: 24 })
        };
        assert_eq!(update("", &["a", "b"], 80), (String::new(), "a\nb\n".into()));
        assert_eq!(update("x\n", &["c"], 80), ("\r\x1b[2A\x1b[K\x1b[B\x1b[J\x1b[A".into(), "x\nc\n".into()));
        assert_eq!(update("end\n", &[], 80), ("\r\x1b[1A\x1b[K\x1b[B\x1b[J\x1b[A".into(), "end\n".into()));
        assert_eq!(update("", &[], 80), (String::new(), String::new()));
        // What was drawn for 80 columns has more rows in a narrower terminal: `日` has two cells.
        update("", &["", "\u{1b}[1m12345\u{1b}[0m", "日日日", "123456"], 80);
        assert_eq!(update("", &["1"], 5).0, "\r\x1b[6A\x1b[K\x1b[B\x1b[J\x1b[A");
        assert_eq!(update("", &[], 1).0, "\r\x1b[1A\x1b[K\x1b[B\x1b[J\x1b[A");
    }
}
