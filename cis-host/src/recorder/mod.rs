//! Records a command in a terminal of its own, for the monitor: what it shows, what is typed, and what the
//! kernel shows meanwhile.
//!
//! Owns the command's life and the file's order. What is typed comes from whoever records: a person's
//! terminal ([`Recorder`]) or a scenario ([`play`]). What the terminal does not show of it is not written
//! down. Runs without node and session host; draws no verdict.

mod child;
mod play;
mod replay;
mod scenario;
mod writer;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use child::{Child, Heard};
use cis_core::api::TermSize;
use cis_core::monitor::recording::{Header, Label, What};
use writer::Writer;

pub use play::{PlayError, play};
pub use replay::{Replayed, baselines, replay};
pub use scenario::{Scenario, ScenarioError, Scenarios};

/// Between two looks at the kernel's evidence.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// What is written for typed text that the terminal does not show, whatever its length.
const MASK: &str = "*";

/// What is to be recorded.
#[derive(Debug, Clone)]
pub struct Start {
    /// Program and arguments; not empty.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// What the file says of itself; its size is the terminal's.
    pub header: Header,
}

/// Why nothing was recorded, or not all.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The program is not there, or may not be run.
    #[error("`{program}` cannot be started: {why}; give the path of a program, or one that PATH has")]
    Program {
        /// As it was given.
        program: String,
        /// In words.
        why: String,
    },
    /// The system refused something.
    #[error("the terminal of the recording failed: {0}")]
    Io(#[from] io::Error),
}

/// Makes orphans of what is started from here on come to this process, so that [`Recorder::finish`] ends them
/// too: for what has to run beside the command.
///
/// # Errors
/// The system refuses it.
pub fn adopt_orphans() -> io::Result<()> {
    child::adopt_orphans()
}

/// What happened next.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened {
    /// The program wrote this.
    Output(Vec<u8>),
    /// It ended with this code; after a signal, 128 and its number.
    Ended(i32),
}

/// A recording in the making.
pub struct Recorder<W> {
    child: Child,
    out: Writer<W>,
    began: Instant,
    next_sample: Instant,
    output_at: Instant,
    output_bytes: u64,
}

impl<W: Write> Recorder<W> {
    /// Starts the command. To be called before anything handles signals in this process, and once: all
    /// descendants of this process from then on are the recording's.
    ///
    /// # Errors
    /// [`RecordError`]; then nothing runs.
    pub fn start(start: &Start, out: W) -> Result<Self, RecordError> {
        let out = Writer::new(out, &start.header)?;
        let child = Child::start(start)?;
        let began = Instant::now();
        Ok(Self { child, out, began, next_sample: began + SAMPLE_EVERY, output_at: began, output_bytes: 0 })
    }

    /// Since the beginning, ms.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for what happens next, and writes it down. Loses nothing when dropped.
    ///
    /// # Errors
    /// The terminal or the file failed.
    pub async fn next(&mut self) -> Result<Happened, RecordError> {
        loop {
            tokio::select! {
                heard = self.child.hear() => match heard? {
                    Heard::Output(bytes) => return self.wrote(bytes),
                    Heard::Ended(code) => {
                        self.out.put(self.now_ms(), What::Exit(code))?;
                        return Ok(Happened::Ended(code));
                    }
                },
                () = sleep_until(self.next_sample) => {
                    self.next_sample = Instant::now() + SAMPLE_EVERY;
                    let (evidence, bytes) = self.child.look((self.output_bytes, self.output_at.elapsed()));
                    let happened = if bytes.is_empty() { None } else { Some(self.wrote(bytes)?) };
                    self.out.put(self.now_ms(), What::Kernel(Box::new(evidence)))?;
                    if let Some(happened) = happened {
                        return Ok(happened);
                    }
                }
            }
        }
    }

    fn wrote(&mut self, bytes: Vec<u8>) -> Result<Happened, RecordError> {
        self.output_at = Instant::now();
        self.output_bytes += bytes.len() as u64;
        self.out.output(self.now_ms(), &bytes)?;
        Ok(Happened::Output(bytes))
    }

    /// Types this, as far as the program reads it.
    ///
    /// # Errors
    /// The terminal or the file failed.
    pub async fn type_in(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let text = if self.child.shows_input() { String::from_utf8_lossy(bytes) } else { MASK.into() };
        self.out.put(self.now_ms(), What::Input(text.into_owned()))?;
        Ok(self.child.write(bytes).await?)
    }

    /// Answers a query of the program, as a terminal does: nobody typed it.
    ///
    /// # Errors
    /// The terminal failed.
    pub async fn reply(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        Ok(self.child.write(bytes).await?)
    }

    /// Gives its terminal another size.
    ///
    /// # Errors
    /// The terminal or the file failed.
    pub fn resize(&mut self, size: TermSize) -> Result<(), RecordError> {
        self.child.resize(size)?;
        Ok(self.out.put(self.now_ms(), What::Resize(size))?)
    }

    /// Says what is truly the case since `at_ms`, which is not long ago.
    ///
    /// # Errors
    /// The file failed.
    pub fn label(&mut self, at_ms: u64, label: Label) -> Result<(), RecordError> {
        Ok(self.out.put(at_ms, What::Label(label))?)
    }

    /// Ends what still runs below this process, and completes the file.
    ///
    /// # Errors
    /// The file failed.
    pub async fn finish(mut self) -> Result<(), RecordError> {
        self.child.end().await;
        Ok(self.out.finish()?)
    }
}

#[cfg(test)]
mod tests;
