//! How far a long piece of work is, on one line of a terminal.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use cis_core::text;
use cis_node::upkeep::Progress;

use crate::context::Context;
use crate::output;

/// Drawn so often at most.
const APART: Duration = Duration::from_millis(100);

/// See the module. Without a terminal, or for programs, it says nothing.
pub(super) struct Meter {
    what: &'static str,
    shown: bool,
    drawn: Option<Instant>,
}

impl Meter {
    pub(super) fn new(context: &Context, what: &'static str) -> Self {
        let shown = !context.json && io::stderr().is_terminal();
        Self { what, shown, drawn: None }
    }

    pub(super) fn show(&mut self, at: Progress) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < APART) {
            return;
        }
        self.drawn = Some(Instant::now());
        let of = at.total.map(|total| format!(" of {}", text::bytes(total))).unwrap_or_default();
        output::draw("\r\x1b[K", &format!("{}: {}{of}", self.what, text::bytes(at.done)));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            output::draw("\r\x1b[K", "");
        }
    }
}
