//! The newest events, bounded by number and by size.

use std::collections::VecDeque;

use cis_core::event::Event;
use cis_core::ids::Offset;

use crate::widgets::has;

/// At most so many are kept.
const KEPT_MAX: usize = 20_000;
/// Of all their bodies together, bytes.
const BYTES_MAX: usize = 32 << 20;
/// Of one body, characters in a line.
const SUMMARY_CHARS: usize = 300;

/// One event as a line.
#[derive(Debug, Clone)]
pub struct Line {
    /// The event.
    pub event: Event,
}

impl Line {
    /// Its type without what all of them begin with.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.event.type_name.strip_prefix("cis.dag.").unwrap_or(&self.event.type_name)
    }

    /// The beginning of what it says.
    #[must_use]
    pub fn summary(&self) -> String {
        self.event.body.get().chars().take(SUMMARY_CHARS).collect()
    }

    /// Whether it is about something that is written like this, in lower case.
    #[must_use]
    pub fn matches(&self, needle: &str) -> bool {
        needle.is_empty()
            || has(&self.event.type_name, needle)
            || has(self.event.body.get(), needle)
            || self.event.run.is_some_and(|run| has(&run.to_string(), needle))
    }
}

/// The newest events, oldest first.
#[derive(Debug, Default)]
pub struct EventLog {
    lines: VecDeque<Line>,
    bytes: usize,
    seen: u64,
}

impl EventLog {
    /// All that are kept.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.lines.iter()
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Nothing has come yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many had come before the oldest that is kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.seen - self.lines.len() as u64
    }

    /// The one before which so many had come, where it is kept.
    #[must_use]
    pub fn at(&self, number: u64) -> Option<&Line> {
        self.lines.get(usize::try_from(number.checked_sub(self.first())?).ok()?)
    }

    /// How many have come, also those that are kept no more.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Newest offset.
    #[must_use]
    pub fn newest(&self) -> Option<Offset> {
        self.lines.back().map(|line| line.event.offset)
    }

    pub(super) fn push(&mut self, event: Event) {
        self.seen += 1;
        self.bytes += event.body.get().len();
        self.lines.push_back(Line { event });
        while self.lines.len() > KEPT_MAX || (self.bytes > BYTES_MAX && self.lines.len() > 1) {
            let Some(line) = self.lines.pop_front() else { break };
            self.bytes -= line.event.body.get().len();
        }
    }
}
