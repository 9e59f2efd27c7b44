//! A model of a session's terminal: what its screen shows, and what it answers to queries.
//!
//! Owns the emulation (`alacritty_terminal` inside), the picture of it as text and as escape
//! sequences, and the answers. Knows nothing of sockets, hosts, viewers or files.
//!
//! What a program writes is hostile: strings, repetitions, combining characters, stacks and titles
//! are bounded here, since the emulator does not bound them, and a failure inside the emulator costs
//! the picture, not the node.

mod grid;
mod guard;
mod handler;
mod on_text;
mod paint;
mod painted;
mod pointed;
mod replies;
mod text;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::{Config, Osc52, Term, TermMode};
use alacritty_terminal::vte::ansi::{Processor, Timeout};

use crate::term_size::TermSize;
use guard::{Guard, Piece};
use handler::{Keep, Side};

pub use grid::{Colour, Drawn, Modes, Style};
pub use paint::Look;

/// Models are not wider, cells.
pub const COLS_MAX: u16 = 1000;
/// Models are not higher, cells.
pub const ROWS_MAX: u16 = 500;

/// What the program gets as an answer of its terminal; often nothing.
pub type Replies = Vec<u8>;

/// Where the cursor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorAt {
    /// From 0.
    pub row: u16,
    /// From 0.
    pub col: u16,
    /// The program shows it.
    pub visible: bool,
}

/// Updates between `CSI ? 2026 h` and `l` are applied at once: a model is not looked at between bytes,
/// and a program that dies in the midst of one would freeze it.
#[derive(Default)]
struct NoSync;

impl Timeout for NoSync {
    fn set_timeout(&mut self, _: Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

#[derive(Debug, Clone, Copy)]
struct Cells {
    cols: usize,
    rows: usize,
}

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        self.rows
    }
    fn screen_lines(&self) -> usize {
        self.rows
    }
    fn columns(&self) -> usize {
        self.cols
    }
}

/// The size that a model takes for this one: at least 2 × 1, at most [`COLS_MAX`] × [`ROWS_MAX`].
#[must_use]
pub fn clamp(size: TermSize) -> TermSize {
    TermSize { cols: size.cols.clamp(2, COLS_MAX), rows: size.rows.clamp(1, ROWS_MAX) }
}

fn cells(size: TermSize) -> Cells {
    Cells { cols: usize::from(size.cols), rows: usize::from(size.rows) }
}

/// A terminal's model. About 100 KB at 80 × 24, and 24 bytes more for each cell of the lines that it keeps.
pub struct Screen {
    term: Term<VoidListener>,
    parser: Processor<NoSync>,
    side: Side,
    guard: Guard,
    history_lines: usize,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Screen {
    /// An empty screen that keeps nothing of what scrolls out. The size is [`clamp`]ed.
    #[must_use]
    pub fn new(size: TermSize) -> Self {
        Self::with_history(size, 0)
    }

    /// One that keeps so many lines of what scrolls out: they come back when it grows.
    #[must_use]
    pub fn with_history(size: TermSize, history_lines: usize) -> Self {
        let size = cells(clamp(size));
        Self {
            term: term(size, history_lines),
            parser: Processor::new(),
            side: Side::default(),
            guard: Guard::default(),
            history_lines,
        }
    }

    /// Whether it keeps lines that have scrolled out.
    #[must_use]
    pub fn has_scrolled_out(&self) -> bool {
        self.term.grid().history_size() > 0
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> TermSize {
        // Clamped when it was set.
        TermSize { cols: self.term.columns() as u16, rows: self.term.screen_lines() as u16 }
    }

    /// Takes output that the program writes now, and gives the answers to the queries that end in it.
    pub fn feed(&mut self, bytes: &[u8]) -> Replies {
        self.side.live = true;
        self.take(bytes);
        std::mem::take(&mut self.side.replies)
    }

    /// Takes output of earlier. Its queries were answered then, or are too old for an answer.
    pub fn replay(&mut self, bytes: &[u8]) {
        self.side.live = false;
        self.take(bytes);
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut guard = std::mem::take(&mut self.guard);
        self.guarded(|screen| {
            guard.run(bytes, |piece| {
                let mut keep = Keep { term: &mut screen.term, side: &mut screen.side };
                match piece {
                    Piece::Bytes(safe) => screen.parser.advance(&mut keep, safe),
                    Piece::StatusQuery => keep.reply(replies::STATUS),
                }
            });
        });
        self.guard = guard;
    }

    /// Another size. Nothing is answered; the program learns of it from the kernel.
    pub fn resize(&mut self, size: TermSize) {
        let size = clamp(size);
        if size == self.size() {
            return;
        }
        let size = cells(size);
        self.guarded(|screen| {
            screen.term.resize(size);
            screen.side.resized(size.cols);
            handler::look_above(&mut screen.term);
        });
    }

    /// Runs the emulator; where it fails, the screen starts empty.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        let size = cells(self.size());
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            tracing::error!("a terminal model failed and starts empty");
            self.term = term(size, self.history_lines);
            self.parser = Processor::new();
            let scrolled = self.side.scrolled;
            self.side = Side::default();
            self.side.scrolled = scrolled;
        }
    }

    /// Where the cursor is.
    #[must_use]
    pub fn cursor(&self) -> CursorAt {
        let point = self.term.grid().cursor.point;
        CursorAt {
            row: u16::try_from(point.line.0).unwrap_or(0),
            col: u16::try_from(point.column.0).unwrap_or(0),
            visible: self.term.mode().contains(TermMode::SHOW_CURSOR),
        }
    }

    /// The title that the program set, without control characters.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.side.title.as_deref()
    }

    /// The alternate screen is shown, as full-screen programs do.
    #[must_use]
    pub fn is_alternate(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }

    /// The last bytes, where they are the beginning of a sequence or a character that is not complete:
    /// what continues a picture must begin with them. At most 4 KiB.
    #[must_use]
    pub fn unfinished(&self) -> &[u8] {
        self.guard.unfinished()
    }
}

fn term(size: Cells, history_lines: usize) -> Term<VoidListener> {
    let config = Config {
        scrolling_history: history_lines,
        kitty_keyboard: true,
        osc52: Osc52::Disabled,
        ..Config::default()
    };
    Term::new(config, &size, VoidListener)
}

#[cfg(test)]
mod tests;
