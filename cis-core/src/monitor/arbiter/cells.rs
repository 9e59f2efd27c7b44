//! What the screen shows and since when: quiet is when its cells stay as they are, not when no byte comes.

use std::sync::Arc;

use super::line::Asks;
use crate::ids::TimestampMs;
use crate::monitor::evidence::ScreenView;
use crate::monitor::screen::{Page, steady, ticks};

/// Output of the last second above which a session pours, bytes.
const POURS_BYTES: u64 = 64 * 1024;

/// A clock that has not gone on for so long is none, ms.
const CLOCK_MS: i64 = 120_000;
/// A screen that changes so often never rests, ms.
const RESTLESS_MS: i64 = 3000;

/// The screen over time.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    pub(super) page: Option<Arc<Page>>,
    /// When it was last looked at.
    pub(super) seen_ms: Option<TimestampMs>,
    /// When a cell last changed, as far as is known.
    pub(super) changed_ms: TimestampMs,
    /// Since when it never rested.
    restless_ms: TimestampMs,
    /// When something other than spinners and clocks last changed.
    pub(super) steady_ms: TimestampMs,
    /// When a time of day at the top last went on.
    ticked_ms: Option<TimestampMs>,
    /// While somebody waits for the terminal.
    pub(super) asks: Option<Asks>,
    /// When that last changed.
    pub(super) asks_ms: TimestampMs,
    /// Its rows without spinners and clocks.
    pub(super) steady: Vec<String>,
    pub(super) last_output_ms: TimestampMs,
    /// The first output since it was looked at.
    pub(super) dirty_ms: Option<TimestampMs>,
    second: (TimestampMs, u64),
}

impl Cells {
    pub(super) fn new(now: TimestampMs) -> Self {
        Self {
            page: None,
            seen_ms: None,
            changed_ms: now,
            restless_ms: now,
            steady_ms: now,
            ticked_ms: None,
            asks: None,
            asks_ms: now,
            steady: Vec::new(),
            last_output_ms: now,
            dirty_ms: Some(now),
            second: (now, 0),
        }
    }

    pub(super) fn output(&mut self, bytes: u64, now: TimestampMs) {
        self.last_output_ms = now;
        self.dirty_ms.get_or_insert(now);
        if now - self.second.0 >= 1000 {
            self.second = (now, 0);
        }
        self.second.1 = self.second.1.saturating_add(bytes);
    }

    pub(super) fn pours(&self) -> bool {
        self.second.1 > POURS_BYTES
    }

    /// Takes a screen; gives whether a cell changed. `is_asked`: somebody waits for the terminal, and it is of interest at what.
    pub(super) fn screen(&mut self, view: ScreenView, is_asked: bool, now: TimestampMs) -> bool {
        let page = Page::of(view);
        let differs = self.page.as_ref().is_none_or(|old| !same_cells(&old.view, &page.view));
        if differs {
            if self.last_output_ms - self.changed_ms > RESTLESS_MS {
                self.restless_ms = self.last_output_ms;
            }
            self.changed_ms = self.last_output_ms;
            if self.page.as_ref().is_some_and(|old| ticks(&old.view.lines, &page.view.lines)) {
                self.ticked_ms = Some(now);
            }
            let rows = steady(&page.view.lines);
            if rows != self.steady {
                self.steady = rows;
                self.steady_ms = self.last_output_ms;
            }
        }
        if differs || is_asked != self.asks.is_some() {
            let asks = is_asked.then(|| Asks::of(&page));
            if asks != self.asks {
                (self.asks, self.asks_ms) = (asks, self.last_output_ms);
            }
        }
        // A cursor that blinks is where it was.
        let blinks = |old: &Arc<Page>| old.view.cursor_painted && !page.view.cursor_visible && !differs;
        if !self.page.as_ref().is_some_and(blinks) {
            self.page = Some(Arc::new(page));
        }
        self.seen_ms = Some(now);
        self.dirty_ms = None;
        differs
    }

    /// What the screen shows now; none where something came since it was looked at.
    pub(super) fn present(&self) -> Option<&Arc<Page>> {
        self.page.as_ref().filter(|_| self.dirty_ms.is_none())
    }

    /// The terminal got another size: the screen is to be looked at.
    pub(super) fn resized(&mut self, now: TimestampMs) {
        self.dirty_ms.get_or_insert(now);
    }

    /// How long the cells have been as they are, ms. What was not looked at yet may have changed.
    pub(super) fn quiet(&self, now: TimestampMs) -> i64 {
        now - self.still_since()
    }

    /// Since when.
    pub(super) fn still_since(&self) -> TimestampMs {
        if self.dirty_ms.is_some() { self.last_output_ms } else { self.changed_ms }
    }

    /// A clock at the top goes on. A time that stands still is of a log, or a clock that was painted once so far.
    pub(super) fn has_clock(&self, now: TimestampMs) -> bool {
        self.ticked_ms.is_some_and(|ticked| now - ticked < CLOCK_MS)
    }

    /// For how long it has not rested, ms.
    pub(super) fn restless_for(&self, now: TimestampMs) -> i64 {
        if now - self.changed_ms > RESTLESS_MS { 0 } else { now - self.restless_ms }
    }

    /// How long the question, or the menu, has been the same at the last look, ms.
    pub(super) fn asks_for(&self) -> i64 {
        self.seen_ms.map_or(0, |seen| seen - self.asks_ms)
    }
}

/// Whether both show the same.
pub(super) fn same_cells(old: &ScreenView, new: &ScreenView) -> bool {
    let cursor = |view: &ScreenView| view.cursor_visible.then_some((view.cursor_row, view.cursor_col));
    let blinks = (old.cursor_painted || new.cursor_painted) && old.cursor_visible != new.cursor_visible;
    old.lines == new.lines && old.alternate == new.alternate && (blinks || cursor(old) == cursor(new))
}
