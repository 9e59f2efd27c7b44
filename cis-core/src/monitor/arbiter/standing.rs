//! The prompt that the session waits at: when it is the same, and when it is over.

use super::candidates::{Candidate, Source};
use super::terminal::Reported;
use super::{Arbiter, line};
use crate::ids::TimestampMs;
use crate::monitor::screen::Place;
use crate::monitor::verdict::Verdict;

/// A prompt must be gone for so long before it is over, ms: programs paint theirs anew.
const HOLD_MS: i64 = 400;

/// The prompt that the session waits at.
#[derive(Debug)]
pub(super) struct Standing {
    /// Who read the terminal then; 0: not known.
    pub(super) reader: u32,
    pub(super) verdict: Verdict,
    pub(super) source: Source,
    pub(super) place: Place,
    pub(super) why: String,
    pub(super) raised_ms: TimestampMs,
    pub(super) typed_ms: Option<TimestampMs>,
    /// Bytes that came after something was typed.
    pub(super) answered_bytes: u64,
    pub(super) gone_ms: Option<TimestampMs>,
}

/// The present prompt, looked at again.
pub(super) enum Held {
    /// There is none.
    No,
    Stands,
    /// It is gone; at that time it is over.
    Fading(TimestampMs),
}

impl Arbiter {
    /// Whether the prompt that it waits at is still there.
    pub(super) fn still_stands(&mut self, next: Option<&Candidate>, now: TimestampMs) -> Held {
        let Some(standing) = &self.standing else { return Held::No };
        if next.is_some_and(|next| next.verdict.hash == standing.verdict.hash) && !self.asked_anew(standing) {
            if let Some(standing) = &mut self.standing {
                standing.gone_ms = None;
            }
            return Held::Stands;
        }
        let reported = self.terminal.report.as_ref();
        let works = reported
            .is_some_and(|report| report.says == Reported::Working && report.at_ms >= standing.raised_ms);
        if !works && self.cells.dirty_ms.is_some() {
            // What is on the screen now is not known yet: it neither brings the prompt back nor ends it.
            return Held::Stands;
        }
        let gone = if works { Some(0) } else { self.is_gone(standing).then_some(HOLD_MS) };
        let Some(standing) = &mut self.standing else { return Held::No };
        match gone {
            None => {
                standing.gone_ms = None;
                Held::Stands
            }
            Some(hold) => Held::Fading(*standing.gone_ms.get_or_insert(now) + hold),
        }
    }

    fn is_gone(&self, standing: &Standing) -> bool {
        let Some(page) = &self.cells.page else { return false };
        let reads = self.kernel.at_ms.is_none_or(|at| at <= standing.raised_ms) || self.kernel.anybody();
        match standing.source {
            Source::Rule => {
                let found = self.found.as_ref().map(|(found, _)| found);
                found.is_none_or(|found| found.hash != standing.verdict.hash)
            }
            Source::Menu => !reads || line::menu_hash(page).as_ref() != Some(&standing.verdict.hash),
            Source::Program => !reads || !self.is_still(standing.verdict.kind, page),
            Source::Line => !reads || !page.shows(&standing.place) || self.asked_anew(standing),
            Source::Nested { pid } => self.kernel.sits_since(pid).is_none() || !page.shows(&standing.place),
            Source::Report => {
                let reported = matches!(&self.terminal.report, Some(report) if matches!(report.says, Reported::Waits(_) | Reported::Idle));
                let moved = standing.typed_ms.is_some_and(|typed| self.cells.steady_ms >= typed);
                !reported || !page.shows(&standing.place) || (standing.place == Place::Whole && moved)
            }
            Source::Marker => self.markers.asks.is_none(),
            Source::Stalled => self.cells.steady_ms > standing.raised_ms,
        }
    }

    /// Something was typed, the program wrote at least its prompt again, and it stands there untouched:
    /// the same question, asked once more.
    fn asked_anew(&self, standing: &Standing) -> bool {
        let (Some(_), Place::Line { lead, .. }) = (standing.typed_ms, &standing.place) else { return false };
        let again = standing.answered_bytes > lead.len().max(2) as u64;
        let page = self.cells.page.as_ref().filter(|_| self.cells.dirty_ms.is_none());
        again && page.is_some_and(|page| page.untouched(&standing.place))
    }
}
