//! What would have changed the verdict: one piece of the evidence is another one, and the rest stays.
//!
//! The arbiter itself is asked, so an answer is never only a description of its rules.

use super::Arbiter;
use super::candidates::Candidate;
use crate::event::PromptKind;
use crate::ids::TimestampMs;
use crate::monitor::evidence::{Reader, ReaderHow};
use crate::text;

/// What becomes of it within this time counts, ms: longer than any verdict takes that rests on a still screen.
const HORIZON_MS: i64 = 40_000;

/// A process that is not there.
const NOBODY: u32 = u32::MAX;

/// Another piece of evidence, in words for "If …".
type Variation = (&'static str, fn(&mut Arbiter));

const VARIATIONS: [Variation; 6] = [
    ("no process waited for its terminal", |it| it.kernel.without_readers()),
    ("a process sat in a read of its terminal", |it| it.joined_by(ReaderHow::Read)),
    ("a process polled its terminal", |it| it.joined_by(ReaderHow::Poll)),
    ("its processes computed", |it| it.kernel.set_busy(true)),
    ("its processes did not compute", |it| it.kernel.set_busy(false)),
    ("its program had not reported its state", |it| it.terminal.report = None),
];

impl Arbiter {
    /// See the module.
    pub(super) fn what_if(&self, now: TimestampMs) -> Vec<String> {
        // What holds a prompt that counts is not what makes one count.
        let mut same = self.clone();
        same.standing = None;
        let is = same.conclusion(now).map(|(kind, _)| kind);
        let others = VARIATIONS.iter().filter_map(|(text, vary)| {
            let mut other = same.clone();
            vary(&mut other);
            let would_be = other.conclusion(now);
            (would_be.map(|(kind, _)| kind) != is).then(|| sentence(text, would_be, now))
        });
        others.collect()
    }

    /// Another process waits for the session's own terminal, in the modes that it has.
    fn joined_by(&mut self, how: ReaderHow) {
        let modes = self.kernel.last.as_ref().and_then(|last| last.modes);
        if self.kernel.own().is_none_or(|own| own.how > how) {
            self.kernel.with_reader(&Reader::new(NOBODY, "a process", how, modes));
        }
    }

    /// What it will have concluded, if nothing else happens, and when.
    fn conclusion(&self, now: TimestampMs) -> Option<(PromptKind, TimestampMs)> {
        let mut ready = self.candidates(now);
        ready.retain(|one| one.ready_ms <= now + HORIZON_MS);
        let decides = ready.into_iter().min_by_key(Candidate::rank)?;
        Some((decides.verdict.kind, decides.ready_ms))
    }
}

fn sentence(text: &str, would_be: Option<(PromptKind, TimestampMs)>, now: TimestampMs) -> String {
    match would_be {
        None => format!("If {text}, it would not count as waiting."),
        Some((kind, ready)) if ready > now => {
            let left = text::duration((ready - now).unsigned_abs());
            format!("If {text}, it would count as {kind} in {left}.")
        }
        Some((kind, _)) => format!("If {text}, it would count as {kind}."),
    }
}
