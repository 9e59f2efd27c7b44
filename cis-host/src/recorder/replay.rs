//! A recording once more, through tap, terminal model and arbiter, with the times that it had.

use std::sync::Arc;

use cis_core::ids::TimestampMs;
use cis_core::monitor::measure::{Baseline, STEP_MS, Span};
use cis_core::monitor::recording::{Recording, What};
use cis_core::monitor::{Arbiter, Change, Explanation, KernelEvidence, Profile, Seed, Tap};
use cis_core::policy::redact::Redactor;
use cis_core::terminal::screen::Screen;

/// An arbiter that is woken more often than this within one ms does not come to an end.
const TURNS_MAX: usize = 64;

/// What the monitor said of a recording.
#[derive(Debug)]
pub struct Replayed {
    /// What it told, with the time since the beginning, ms.
    pub changes: Vec<(u64, Change)>,
    /// The same as calls.
    pub spans: Vec<Span>,
    /// Its reasons at the end.
    pub explanation: Explanation,
}

struct Replay {
    started_ms: TimestampMs,
    screen: Screen,
    tap: Tap,
    arbiter: Arbiter,
    /// It wants the kernel's evidence; the next sample of the recording is it.
    wants_kernel: bool,
    changes: Vec<(u64, Change)>,
}

/// Replays `recording` for a profile.
#[must_use]
pub fn replay(recording: &Recording, profile: Arc<Profile>) -> Replayed {
    let started_ms = recording.header.started_ms;
    let mut replay = Replay {
        started_ms,
        screen: Screen::new(recording.header.size),
        tap: Tap::default(),
        arbiter: Arbiter::new(profile, Seed::default(), started_ms),
        wants_kernel: false,
        changes: Vec::new(),
    };
    for moment in &recording.moments {
        replay.wake_until(moment.at_ms);
        replay.take(moment.at_ms, &moment.what);
        replay.turn(moment.at_ms);
    }
    let explanation = replay.arbiter.explain(replay.at(recording.length_ms()));
    Replayed { spans: spans(&replay.changes), changes: replay.changes, explanation }
}

impl Replay {
    fn at(&self, at_ms: u64) -> TimestampMs {
        self.started_ms.saturating_add_unsigned(at_ms)
    }

    /// Wakes the arbiter at the times that it asked for.
    fn wake_until(&mut self, until_ms: u64) {
        let mut last_ms = None;
        let mut turns = 0;
        while let Some(wake) = self.arbiter.poll_timeout() {
            let at_ms = u64::try_from(wake.saturating_sub(self.started_ms)).unwrap_or(0);
            let at_ms = last_ms.map_or(at_ms, |last: u64| at_ms.max(last));
            turns = if last_ms == Some(at_ms) { turns + 1 } else { 0 };
            if at_ms >= until_ms || turns > TURNS_MAX {
                return;
            }
            last_ms = Some(at_ms);
            self.turn(at_ms);
        }
    }

    fn take(&mut self, at_ms: u64, what: &What) {
        let now = self.at(at_ms);
        match what {
            What::Output(text) => {
                let mut signals = Vec::new();
                self.tap.feed(text.as_bytes(), &str::to_owned, &mut signals);
                self.screen.replay(text.as_bytes());
                self.arbiter.output(text.len() as u64, now);
                for signal in &signals {
                    self.arbiter.signal(signal, now);
                }
            }
            What::Input(_) => self.arbiter.typed(now),
            What::Resize(size) => self.screen.resize(*size),
            What::Kernel(evidence) if self.wants_kernel => self.show(evidence, now),
            What::Kernel(_) | What::Label(_) | What::Remark(_) | What::Exit(_) => {}
        }
    }

    fn show(&mut self, evidence: &KernelEvidence, now: TimestampMs) {
        self.wants_kernel = false;
        self.arbiter.kernel(evidence, now);
    }

    /// Gives the arbiter what it wants, and takes what it tells.
    fn turn(&mut self, at_ms: u64) {
        let now = self.at(at_ms);
        for _ in 0..TURNS_MAX {
            let want = self.arbiter.want(now);
            self.wants_kernel |= want.kernel;
            if !want.screen {
                break;
            }
            self.arbiter.screen(self.screen.view(&Redactor::default()), now);
        }
        self.changes.extend(self.arbiter.changes(now).into_iter().map(|change| (at_ms, change)));
    }
}

fn spans(changes: &[(u64, Change)]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (at_ms, change) in changes {
        let open = spans.last_mut().filter(|span| span.to_ms.is_none());
        match change {
            Change::Blocked(verdict) => {
                if let Some(span) = open {
                    span.to_ms = Some(*at_ms);
                }
                let (kind, layer) = (Some(verdict.kind), Some(verdict.layer));
                spans.push(Span { from_ms: *at_ms, to_ms: None, kind, layer });
            }
            Change::Over { .. } => {
                if let Some(span) = open {
                    span.to_ms = Some(*at_ms);
                }
            }
            Change::Marker { .. } | Change::Complete { .. } | Change::Done { .. } => {}
        }
    }
    spans
}

/// What the rules of others say of a recording, by their names.
#[must_use]
pub fn baselines(recording: &Recording) -> Vec<(&'static str, Vec<Span>)> {
    let mut rules = Baseline::all();
    let mut said = rules.each_ref().map(|rule| (rule.name(), Vec::new()));
    let mut screen = Screen::new(recording.header.size);
    let mut next_ms = 0;
    for moment in &recording.moments {
        while next_ms < moment.at_ms {
            let view = screen.view(&Redactor::default());
            for (rule, (_, spans)) in rules.iter_mut().zip(&mut said) {
                mark(spans, next_ms, rule.waits(next_ms, &view));
            }
            next_ms += STEP_MS;
        }
        match &moment.what {
            What::Output(text) => screen.replay(text.as_bytes()),
            What::Resize(size) => screen.resize(*size),
            _ => {}
        }
    }
    said.into()
}

fn mark(spans: &mut Vec<Span>, at_ms: u64, waits: bool) {
    match (spans.last_mut().filter(|span| span.to_ms.is_none()), waits) {
        (None, true) => spans.push(Span { from_ms: at_ms, to_ms: None, kind: None, layer: None }),
        (Some(span), false) => span.to_ms = Some(at_ms),
        _ => {}
    }
}
