//! What each layer would conclude by itself, and from when on it counts.

use super::terminal::Reported;
use super::{Arbiter, DONE_UNREAD_MS, DONE_UNSEEN_MS};
use crate::event::{Layer, PromptKind, PromptOption, QUESTION_CHARS_MAX};
use crate::ids::TimestampMs;
use crate::monitor::clean;
use crate::monitor::profile::{Found, Idle, Says};
use crate::monitor::screen::{Page, Place, fingerprint, line_hash, unboxed};
use crate::monitor::verdict::Verdict;

/// A line with a marker stands still for so long before it counts, ms.
const MARKER_MS: i64 = 1000;
/// A report waits so long for the screen that belongs to it.
const REPORT_MS: i64 = 120;
/// Being at its prompt, as it reports itself.
const REPORT_IDLE_MS: i64 = 300;
/// A report of work holds back who polls for so long, ms.
const WORKING_MS: i64 = 30_000;
/// Output flowed within this time: bytes still flow, ms.
const FLOWS_MS: i64 = 30_000;

/// What a prompt was found by: what must stay for it to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A rule of the profile.
    Rule,
    /// A menu, found by its look.
    Menu,
    /// The text before the cursor.
    Line,
    /// An editor: it is the same one, whatever it shows.
    Program,
    /// A terminal inside.
    Nested { pid: u32 },
    /// A report alone.
    Report,
    /// A marker.
    Marker,
    /// Nothing moves.
    Stalled,
}

/// A verdict that may become one.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) verdict: Verdict,
    pub(super) source: Source,
    pub(super) place: Place,
    /// From when on it counts.
    pub(super) ready_ms: TimestampMs,
    /// In one sentence.
    pub(super) why: String,
}

impl Candidate {
    /// The lowest decides: the most trusted layer, and rest only where nothing else is.
    pub(super) fn rank(&self) -> (bool, Layer) {
        (self.verdict.kind == PromptKind::Idle, self.verdict.layer)
    }
}

/// What a candidate is made of.
pub(super) struct Made {
    pub(super) kind: PromptKind,
    pub(super) layer: Layer,
    pub(super) confidence: u8,
    pub(super) hash: String,
    pub(super) question: String,
    pub(super) options: Vec<PromptOption>,
    pub(super) source: Source,
    pub(super) place: Place,
    pub(super) since_ms: TimestampMs,
    pub(super) ready_ms: TimestampMs,
    pub(super) why: String,
}

impl Made {
    pub(super) fn candidate(self) -> Candidate {
        let verdict = Verdict {
            episode: 0,
            since_ms: self.since_ms,
            kind: self.kind,
            layer: self.layer,
            confidence: self.confidence,
            hash: self.hash,
            question: clean::text(&self.question, QUESTION_CHARS_MAX),
            options: self.options,
            waited_ms: 0,
            at_shell: false,
        };
        Candidate { verdict, source: self.source, place: self.place, ready_ms: self.ready_ms, why: self.why }
    }
}

impl Arbiter {
    /// All that speaks for a prompt now or soon.
    pub(super) fn candidates(&self, now: TimestampMs) -> Vec<Candidate> {
        let Some(page) = &self.cells.page else { return Vec::new() };
        let mut all = Vec::new();
        all.extend(self.by_report(page));
        all.extend(self.by_readers(now));
        all.extend(self.by_rule(now));
        all.extend(self.by_marker());
        // A menu that something moves beside counts only once that rests: it may never do so.
        let is_undecided =
            |one: &Candidate| self.found_by_look() && one.source == Source::Rule && one.ready_ms > now;
        if self.standing.is_none() && all.iter().all(is_undecided) {
            all.extend(self.by_stillness(now));
        }
        all
    }

    fn found_by_look(&self) -> bool {
        matches!(&self.found, Some((found, _)) if found.by_look)
    }

    /// What the profile's rules found, where it is a prompt.
    pub(super) fn prompt_found(&self) -> Option<(&Found, PromptKind, TimestampMs)> {
        match &self.found {
            Some((found, since)) => match found.says {
                Says::Waits(kind) => Some((found, kind, *since)),
                Says::Working => None,
            },
            None => None,
        }
    }

    /// A rule or a recent report says that it works. A report may be somebody's who forgot to take it back.
    pub(super) fn at_work(&self, now: TimestampMs) -> bool {
        let report = self.terminal.report.as_ref().filter(|_| self.terminal.works());
        matches!(&self.found, Some((found, _)) if found.says == Says::Working)
            || report.is_some_and(|report| now - report.at_ms < WORKING_MS)
    }

    /// A candidate out of a rule's finding, on whatever layer it is confirmed.
    pub(super) fn of_found(
        found: &Found,
        kind: PromptKind,
        layer: Layer,
        ready_ms: TimestampMs,
        why: String,
    ) -> Candidate {
        Made {
            kind,
            layer,
            confidence: if layer == Layer::Screen { 90 } else { 97 },
            hash: found.hash.clone(),
            question: found.question.clone(),
            options: found.options.clone(),
            source: Source::Rule,
            place: Place::Rule,
            since_ms: ready_ms,
            ready_ms,
            why,
        }
        .candidate()
    }

    /// Layer 2.
    fn by_report(&self, page: &Page) -> Option<Candidate> {
        let report = self.terminal.report.as_ref()?;
        let (kind, hold) = match report.says {
            Reported::Waits(kind) => (kind, REPORT_MS),
            Reported::Idle => (PromptKind::Idle, REPORT_IDLE_MS),
            Reported::Working => return None,
        };
        let later = |since: TimestampMs| since > report.at_ms;
        if matches!(&self.found, Some((found, since)) if found.says == Says::Working && later(*since)) {
            return None;
        }
        if let Some((found, rule_kind, since)) = self.prompt_found()
            && (rule_kind == PromptKind::Idle) == (kind == PromptKind::Idle)
        {
            let ready = since.max(report.at_ms) + if kind == PromptKind::Idle { hold } else { 0 };
            let why = format!("{}, and rule {:?} finds it on the screen", report.seen, found.rule);
            return Some(Self::of_found(found, rule_kind, Layer::Terminal, ready, why));
        }
        // A screen from before the report does not show what it is about.
        // The screen of this moment may be its echo, or already what comes next.
        if report.answered && matches!(report.says, Reported::Waits(_)) {
            return None;
        }
        let seen = self.cells.seen_ms.unwrap_or(report.at_ms);
        let at_cursor = page.view.cursor_visible && !unboxed(&page.lead).is_empty() && page.at_end();
        let (place, source) =
            if at_cursor { (page.line(), Source::Report) } else { (Place::Whole, Source::Report) };
        let hash =
            if at_cursor { line_hash(&place) } else { fingerprint([report.words().as_str(), kind.as_str()]) };
        let question = if report.message.is_empty() { page.asking() } else { report.message.clone() };
        let ready_ms = report.at_ms.max(seen.min(report.at_ms + hold)) + hold;
        let why = format!("{}; no rule knows the screen", report.seen);
        let options = Vec::new();
        Some(
            Made {
                kind,
                layer: Layer::Terminal,
                confidence: 85,
                hash,
                question,
                options,
                source,
                place,
                since_ms: report.at_ms,
                ready_ms,
                why,
            }
            .candidate(),
        )
    }

    /// Layer 4.
    fn by_rule(&self, now: TimestampMs) -> Option<Candidate> {
        let (found, kind, since) = self.prompt_found()?;
        if found.by_look {
            // Spinners and running timers are signs of work, and a bell may be a tool's.
            let ready = since.max(self.cells.still_since()) + found.hold_ms;
            let why = "no rule of its profile knows the screen, and a menu stands at its bottom".to_owned();
            return (!self.at_work(now)).then(|| Self::of_found(found, kind, Layer::Screen, ready, why));
        }
        let idle = kind == PromptKind::Idle;
        if idle && self.terminal.says_working() {
            return None;
        }
        let mut hold = found.hold_ms;
        if !idle && self.terminal.noticed(since) {
            hold = 0;
        }
        let mut ready = since + hold;
        if idle && self.idle_means() == Idle::Done {
            if !self.worked && !self.done {
                ready = since + DONE_UNSEEN_MS;
            }
            // Its input line may be there while it sleeps or waits for something else, and then resumes on its own.
            if !self.kernel.waited_since(since.max(self.cells.steady_ms)) {
                ready = ready.max(since + DONE_UNREAD_MS);
            }
        }
        let why = format!("rule {:?} of profile {} finds it on the screen", found.rule, self.profile.name);
        Some(Self::of_found(found, kind, Layer::Screen, ready, why))
    }

    fn by_marker(&self) -> Option<Candidate> {
        let (kind, text) = self.markers.asks.as_ref().filter(|_| self.profile.markers)?;
        let hash = self.asked_by_marker()?;
        let still = self.cells.still_since();
        Some(
            Made {
                kind: *kind,
                layer: Layer::Screen,
                confidence: 85,
                hash,
                question: text.clone(),
                options: Vec::new(),
                source: Source::Marker,
                place: Place::Row { text: self.markers.row.clone() },
                since_ms: still,
                ready_ms: still + MARKER_MS,
                why: "a line begins with a marker".to_owned(),
            }
            .candidate(),
        )
    }

    /// The hash of what the marker asks that stands lowest.
    pub(super) fn asked_by_marker(&self) -> Option<String> {
        self.markers.asks.as_ref().map(|(kind, text)| fingerprint([kind.as_str(), text]))
    }

    /// Layer 5: nothing but a spinner moves, though bytes flow.
    fn by_stillness(&self, now: TimestampMs) -> Option<Candidate> {
        if now - self.cells.last_output_ms > FLOWS_MS {
            return None;
        }
        let after = i64::try_from(self.profile.stalled_after_ms).unwrap_or(i64::MAX);
        let ready_ms = self.cells.steady_ms.saturating_add(after);
        Some(
            Made {
                kind: PromptKind::Stalled,
                layer: Layer::Quiet,
                confidence: 60,
                hash: fingerprint(self.cells.steady.iter().map(String::as_str)),
                question: String::new(),
                options: Vec::new(),
                source: Source::Stalled,
                place: Place::Whole,
                since_ms: self.cells.steady_ms,
                ready_ms,
                why: "nothing but spinners and clocks has moved".to_owned(),
            }
            .candidate(),
        )
    }
}
