//! The arbiter: draws a verdict from the evidence of one session.
//!
//! Owns what counts, for how long, and what is to be looked at when. Whoever gathers evidence calls
//! [`Arbiter::want`] after each piece of it and at [`Arbiter::poll_timeout`].

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::evidence::{KernelEvidence, ReaderHow, ScreenView, Signal};
use super::profile::Profile;
use super::verdict::{Change, Explanation, Verdict, Want};
use crate::event::{Layer, PromptKind};
use crate::ids::TimestampMs;

/// Quiet before a reader counts, ms.
const QUIET_READ_MS: i64 = 1000;
/// A quiet session is probed so long after its last output, ms; then every [`PROBE_EVERY_MS`].
const PROBES_MS: [i64; 7] = [1000, 2500, 5000, 10_000, 20_000, 40_000, 60_000];
const PROBE_EVERY_MS: i64 = 60_000;

/// What an earlier life of the node knew of the session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// Number of its last prompt; 0: it had none.
    pub episode: u32,
    /// The hash of that prompt, where the session waits at it: found again, it is the same one.
    pub waiting: Option<String>,
}

/// Draws the verdict of one session.
#[derive(Debug)]
pub struct Arbiter {
    profile: Arc<Profile>,
    seed: Seed,
    episode: u32,
    last_output_ms: TimestampMs,
    screen: Option<ScreenView>,
    dirty: bool,
    kernel: Option<(TimestampMs, KernelEvidence)>,
    verdict: Option<Verdict>,
    changes: Vec<Change>,
    wake_ms: Option<TimestampMs>,
}

impl Arbiter {
    /// For a session that lives.
    #[must_use]
    pub fn new(profile: Arc<Profile>, seed: Seed, now: TimestampMs) -> Self {
        Self {
            profile,
            episode: seed.episode,
            seed,
            last_output_ms: now,
            screen: None,
            dirty: true,
            kernel: None,
            verdict: None,
            changes: Vec::new(),
            wake_ms: None,
        }
    }

    /// The program said something to its terminal.
    pub fn signal(&mut self, _signal: &Signal, _now: TimestampMs) {}

    /// So many bytes arrived.
    pub fn output(&mut self, _bytes: u64, now: TimestampMs) {
        self.last_output_ms = now;
        self.dirty = true;
    }

    /// Somebody typed.
    pub fn typed(&mut self, _now: TimestampMs) {}

    /// The screen, as wanted.
    pub fn screen(&mut self, view: ScreenView, now: TimestampMs) {
        self.screen = Some(view);
        self.dirty = false;
        self.judge(now);
    }

    /// The kernel's evidence, as wanted.
    pub fn kernel(&mut self, evidence: &KernelEvidence, now: TimestampMs) {
        self.kernel = Some((now, evidence.clone()));
        self.judge(now);
    }

    /// What is to be gathered now.
    pub fn want(&mut self, now: TimestampMs) -> Want {
        let seen = self.kernel.as_ref().map_or(i64::MIN, |(at, _)| *at);
        let quiet = now - self.last_output_ms;
        let due = PROBES_MS.iter().rev().copied().find(|due| *due <= quiet);
        let kernel = due.is_some_and(|due| {
            let since = self.last_output_ms + due;
            seen < since || now - seen >= PROBE_EVERY_MS
        });
        let next = PROBES_MS.iter().copied().find(|due| *due > quiet);
        self.wake_ms = Some(next.map_or(now + PROBE_EVERY_MS, |due| self.last_output_ms + due));
        Want { screen: kernel && self.dirty, kernel }
    }

    /// When [`Arbiter::want`] is to be asked again, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<TimestampMs> {
        self.wake_ms
    }

    /// What changed since the last call.
    pub fn changes(&mut self, _now: TimestampMs) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The present verdict; none: it does not wait, as far as is known.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Whether the prompt of the present verdict stands on this screen unchanged: what an answer must
    /// find in the moment that it is typed.
    #[must_use]
    pub fn holds(&self, view: &ScreenView) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.hash == hash_of(view))
    }

    /// Why.
    #[must_use]
    pub fn explain(&self, _now: TimestampMs) -> Explanation {
        Explanation {
            profile: self.profile.name.clone(),
            verdict: self.verdict.clone(),
            layers: Vec::new(),
            because: Vec::new(),
        }
    }

    fn judge(&mut self, now: TimestampMs) {
        let found = self.found(now);
        match (found, &self.verdict) {
            (Some(verdict), None) => self.block(verdict),
            (Some(verdict), Some(old)) if verdict.hash != old.hash => {
                self.over();
                self.block(verdict);
            }
            (None, Some(_)) => self.over(),
            _ => {}
        }
    }

    fn block(&mut self, mut verdict: Verdict) {
        if self.seed.waiting.take().is_some_and(|hash| hash == verdict.hash) {
            verdict.episode = self.episode;
        } else {
            self.episode += 1;
            verdict.episode = self.episode;
            self.changes.push(Change::Blocked(Box::new(verdict.clone())));
        }
        self.verdict = Some(verdict);
    }

    fn over(&mut self) {
        if let Some(verdict) = self.verdict.take() {
            self.changes.push(Change::Over { episode: verdict.episode });
        }
    }

    fn found(&self, now: TimestampMs) -> Option<Verdict> {
        let (at, kernel) = self.kernel.as_ref()?;
        let screen = self.screen.as_ref()?;
        let modes = kernel.modes?;
        if *at < self.last_output_ms || now - self.last_output_ms < QUIET_READ_MS {
            return None;
        }
        let reader = kernel.readers.iter().find(|reader| reader.how == ReaderHow::Read);
        let hidden = modes.canonical && !modes.echo && (reader.is_some() || kernel.opaque);
        let kind = match (hidden, reader) {
            (true, _) => PromptKind::Password,
            (false, Some(_)) => PromptKind::Unknown,
            (false, None) => return None,
        };
        Some(Verdict {
            episode: 0,
            since_ms: now,
            kind,
            layer: Layer::Kernel,
            confidence: 95,
            hash: hash_of(screen),
            question: screen.lines.get(usize::from(screen.cursor_row)).cloned().unwrap_or_default(),
            options: Vec::new(),
        })
    }
}

fn hash_of(view: &ScreenView) -> String {
    let row = usize::from(view.cursor_row);
    let mut hash = Sha256::new();
    for line in view.lines.iter().take(row + 1).skip(row.saturating_sub(3)) {
        hash.update(line.trim().as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8])
}
