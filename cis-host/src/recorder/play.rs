//! Plays a scenario: expects, labels, holds, types. Labels say what the scenario's author knows; nothing
//! here looks at what the monitor would say.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::scenario::{Scenario, Step};
use super::{Happened, RecordError, Recorder};
use cis_core::api::TermSize;
use cis_core::monitor::recording::Label;
use cis_core::terminal::screen::Screen;

/// A text has to appear within this time.
const WITHIN: Duration = Duration::from_secs(20);
/// A prompt is left alone for so long before it is answered: longer than the slowest verdict may take.
const HOLD: Duration = Duration::from_secs(8);
/// A prompt that was on the screen before counts as new when the cursor is behind it and nothing moves.
const SETTLED: Duration = Duration::from_millis(400);

/// Why a scenario was not played to its end.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The recording failed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What was expected did not come.
    #[error("step {step}: `{expected}` did not appear{ended}. The screen shows:\n{screen}")]
    Missing {
        /// From 1.
        step: usize,
        /// The text.
        expected: String,
        /// Why it is not waited for longer.
        ended: String,
        /// What is there instead.
        screen: String,
    },
    /// The command ended before its scenario.
    #[error("step {step}: the command had ended with code {code}. The screen shows:\n{screen}")]
    Ended {
        /// From 1.
        step: usize,
        /// Its exit code.
        code: i32,
        /// What it left.
        screen: String,
    },
}

struct Player<'a, W> {
    recorder: &'a mut Recorder<W>,
    screen: Screen,
    /// What was written since something was typed, without control characters.
    fresh: String,
    /// When something was written since then, ms of the recording.
    fresh_ms: Option<u64>,
    /// The screen when something was typed.
    before: String,
    ended: Option<i32>,
}

/// Plays `scenario` in a recording that has just begun.
///
/// # Errors
/// [`PlayError`].
pub async fn play<W: Write>(recorder: &mut Recorder<W>, scenario: &Scenario) -> Result<(), PlayError> {
    let size = TermSize { cols: scenario.cols, rows: scenario.rows };
    let mut player = Player {
        recorder,
        screen: Screen::new(size),
        fresh: String::new(),
        fresh_ms: None,
        before: String::new(),
        ended: None,
    };
    for (at, step) in scenario.steps.iter().enumerate() {
        player.step(at + 1, step).await?;
    }
    let now_ms = player.recorder.now_ms();
    Ok(player.recorder.label(now_ms, Label::Open)?)
}

impl<W: Write> Player<'_, W> {
    async fn step(&mut self, number: usize, step: &Step) -> Result<(), PlayError> {
        let at_ms = match &step.expect {
            Some(text) => self.expect(number, text, seconds(step.within).unwrap_or(WITHIN)).await?,
            None => self.recorder.now_ms(),
        };
        if let Some(label) = step.label() {
            self.recorder.label(at_ms, label)?;
        }
        let waits = step.waiting.is_some();
        let hold = seconds(step.hold).or(waits.then_some(HOLD)).unwrap_or_default();
        self.hold(hold).await?;
        if let Some(code) = self.ended.filter(|_| waits || step.send.is_some()) {
            return Err(PlayError::Ended { step: number, code, screen: self.screen.text() });
        }
        if let Some(keys) = &step.send {
            self.before = self.screen.text();
            self.fresh.clear();
            self.fresh_ms = None;
            if !step.same {
                self.recorder.label(self.recorder.now_ms(), Label::Open)?;
            }
            self.recorder.type_in(keys.as_bytes()).await?;
        }
        Ok(())
    }

    /// When the text came, ms of the recording.
    async fn expect(&mut self, step: usize, text: &str, within: Duration) -> Result<u64, PlayError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(at_ms) = self.sees(text) {
                return Ok(at_ms);
            }
            let missing = |player: &Self, ended: String| PlayError::Missing {
                step,
                expected: text.to_owned(),
                ended,
                screen: player.screen.text(),
            };
            if let Some(code) = self.ended {
                return Err(missing(self, format!(", and the command ended with code {code}")));
            }
            if Instant::now() >= deadline {
                return Err(missing(self, format!(" within {within:?}")));
            }
            let wake = deadline.min(Instant::now() + SETTLED);
            self.serve_until(wake, true).await?;
        }
    }

    /// Whether the text is there and new: the program wrote it, or it came to the screen by movements of
    /// the cursor; or the program has come back to it, as to a prompt that is always the same.
    fn sees(&self, text: &str) -> Option<u64> {
        let at_ms = self.fresh_ms?;
        let written = text.trim_end();
        let new = self.fresh.contains(text)
            || (!self.before.contains(written) && self.screen.text().contains(written));
        let settled = u128::from(self.recorder.now_ms().saturating_sub(at_ms)) >= SETTLED.as_millis();
        let back = || self.screen.before_cursor().trim_end().ends_with(written);
        (new || (settled && back())).then_some(at_ms)
    }

    async fn hold(&mut self, time: Duration) -> Result<(), PlayError> {
        let until = Instant::now() + time;
        while Instant::now() < until && self.ended.is_none() {
            self.serve_until(until, false).await?;
        }
        Ok(())
    }

    /// Reads on until then; where `once`, until something happened.
    async fn serve_until(&mut self, until: Instant, once: bool) -> Result<(), PlayError> {
        while let Some(happened) = in_time(until, self.recorder.next()).await {
            match happened? {
                Happened::Output(bytes) => {
                    let replies = self.screen.feed(&bytes);
                    if !replies.is_empty() {
                        self.recorder.reply(&replies).await?;
                    }
                    let text = String::from_utf8_lossy(&bytes);
                    self.fresh.extend(text.chars().filter(|c| !c.is_control()));
                    self.fresh_ms = Some(self.recorder.now_ms());
                }
                Happened::Ended(code) => {
                    self.ended = Some(code);
                    return Ok(());
                }
            }
            if once {
                return Ok(());
            }
        }
        Ok(())
    }
}

async fn in_time<T>(until: Instant, work: impl Future<Output = T>) -> Option<T> {
    timeout_at(until, work).await.ok()
}

fn seconds(time: Option<f64>) -> Option<Duration> {
    time.map(Duration::from_secs_f64)
}
