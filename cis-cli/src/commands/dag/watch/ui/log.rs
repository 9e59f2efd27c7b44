//! What a task printed, as lines that can be read back. Bounded.

use std::collections::VecDeque;

use crate::output::clean::clean;
use crate::progress::model::Index;

/// Older lines are forgotten.
const LINES_MAX: usize = 5000;
/// A longer line is cut.
const LINE_BYTES_MAX: usize = 4096;

/// The log of a task.
#[derive(Debug)]
pub(crate) struct Log {
    /// Whose.
    pub(crate) task: Index,
    /// So many lines above the newest.
    pub(crate) up: usize,
    /// All of it is there.
    pub(crate) ended: bool,
    text: Lines,
}

impl Log {
    /// Of which nothing has come yet.
    pub(crate) fn new(task: Index) -> Self {
        Self { task, up: 0, ended: false, text: Lines::new(LINES_MAX) }
    }

    /// More of it came. Who reads further up stays there.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let added = self.text.push(bytes);
        if self.up > 0 {
            self.up = (self.up + added).min(self.text.lines.len());
        }
    }

    /// The lines that are in sight where so many fit; scrolls back where it is too far up.
    pub(crate) fn in_sight(&mut self, rows: usize) -> impl Iterator<Item = &str> {
        self.up = self.up.min(self.text.lines.len().saturating_sub(rows));
        let end = self.text.lines.len() - self.up;
        self.text.lines.range(end.saturating_sub(rows)..end).map(String::as_str)
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.text.lines.len()
    }
}

/// The newest lines of a text that comes in pieces.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Oldest first, the last one perhaps not finished.
    pub(crate) lines: VecDeque<String>,
    /// Bytes of a character that are not complete, or of the line that is not.
    open: Vec<u8>,
    max: usize,
}

impl Lines {
    /// Keeps so many.
    pub(crate) fn new(max: usize) -> Self {
        Self { lines: VecDeque::new(), open: Vec::new(), max }
    }

    /// Takes a piece; how many lines began in it.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        let mut added = 0;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.open.is_empty() {
                self.lines.push_back(String::new());
                added += 1;
            }
            let room = LINE_BYTES_MAX.saturating_sub(self.open.len());
            self.open.extend_from_slice(&part[..part.len().min(room)]);
            if let Some(last) = self.lines.back_mut() {
                *last = one_line(&self.open);
            }
            if part.ends_with(b"\n") {
                self.open.clear();
            }
            if self.lines.len() > self.max {
                self.lines.pop_front();
            }
        }
        added
    }
}

fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    // A line that was written over and over, as progress is: its newest state.
    let text = text.rsplit('\r').next().unwrap_or(text);
    clean(&text.replace('\t', "    ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_are_split_and_bounded() {
        let text = "one\r\n10 %\r20 %\r30 %\n\ttwo \u{1b}[2J\u{202e}ä\nthr".as_bytes();
        for split in 0..text.len() {
            let mut lines = Lines::new(10);
            let added = lines.push(&text[..split]) + lines.push(&text[split..]);
            assert_eq!(lines.lines, ["one", "30 %", "    two ?[2J?ä", "thr"], "split at {split}");
            assert_eq!(added, 4);
        }
        let mut lines = Lines::new(10);
        for n in 0..1000 {
            lines.push(format!("{n}\n").as_bytes());
        }
        lines.push(&[b'x'; 100_000]);
        assert_eq!((lines.lines.len(), lines.lines[0].as_str()), (10, "991"));
        assert_eq!(lines.lines[9].len(), LINE_BYTES_MAX);
    }

    #[test]
    fn who_reads_further_up_stays_there_while_more_comes() {
        let mut log = Log::new(0);
        let push = |log: &mut Log, numbers: std::ops::Range<u32>| {
            numbers.for_each(|n| log.push(format!("{n}\n").as_bytes()));
        };
        push(&mut log, 0..10);
        assert_eq!(log.in_sight(3).collect::<Vec<_>>(), ["7", "8", "9"]);
        log.up = 2;
        push(&mut log, 10..15);
        assert_eq!(log.in_sight(3).collect::<Vec<_>>(), ["5", "6", "7"]);
        log.up = usize::MAX;
        assert_eq!(log.in_sight(3).collect::<Vec<_>>(), ["0", "1", "2"]);
        assert_eq!(log.in_sight(30).count(), 15);
    }
}
