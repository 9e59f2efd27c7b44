//! Recordings of terminal sessions for the monitor: what was shown, what the kernel saw beside it, and
//! what was truly the case.
//!
//! The file is asciicast, version 3: a header, then one line per event with the time since the one
//! before. Players show it; they leave out what is ours: events `k` with the kernel's evidence, and
//! markers `m` whose text is a [`Label`]. Owns the shape and its text; reads no file.

mod format;
mod label;
mod still;

pub use format::{Encoder, RecordingError};
pub use label::Label;
pub use still::Still;

use super::KernelEvidence;
use crate::ids::TimestampMs;
use crate::term_size::TermSize;

/// What a recording says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Of the terminal, at the beginning.
    pub size: TermSize,
    /// When it began, Unix ms; whole seconds in the file.
    pub started_ms: TimestampMs,
    /// What ran, in words.
    pub command: String,
    /// Of which program it is an example; programs are told apart by this name.
    pub program: Option<String>,
    /// Which example.
    pub scenario: Option<String>,
    /// The profile that reads its screen.
    pub profile: Option<String>,
}

/// Something at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Since the beginning, ms.
    pub at_ms: u64,
    /// What.
    pub what: What,
}

/// What can stand in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Shown by the program. Bytes that were no UTF-8 are replaced.
    Output(String),
    /// Typed. What the terminal did not show is masked.
    Input(String),
    /// Another size.
    Resize(TermSize),
    /// What the kernel showed.
    Kernel(Box<KernelEvidence>),
    /// What is truly the case from here on.
    Label(Label),
    /// A remark for people.
    Remark(String),
    /// The command ended with this code.
    Exit(i32),
}

/// A whole recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// Its header.
    pub header: Header,
    /// In the order of their times.
    pub moments: Vec<Moment>,
}

impl Recording {
    /// Its length, ms.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        self.moments.last().map_or(0, |last| last.at_ms)
    }
}

#[cfg(test)]
mod tests;
