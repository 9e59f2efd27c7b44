//! One recording: its labelled stretches, and how a detector's calls agree with them.

use serde::Serialize;

use crate::event::{Layer, PromptKind};
use crate::monitor::ReaderHow;
use crate::monitor::recording::{Label, Recording, What};

/// A call that began before a stretch of work may reach so far into it, ms: that a prompt is over is said
/// after a hold, so that a flicker does not close it.
const LINGER_MS: u64 = 3000;

/// What is truly the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It waits for a human, for this.
    Waiting(PromptKind),
    /// It does not.
    Working,
}

/// What the kernel and the terminal's protocol can tell of a prompt, at best: delays are counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The program says so itself: a report of its status, or a title, that the detector understood.
    Terminal,
    /// A process sleeps in a read of its terminal, or its line is read without echo.
    Read,
    /// Only poll, select or epoll: full-screen programs, and line editors.
    Poll,
}

/// A stretch of one truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    /// What is the case.
    pub truth: Truth,
    /// From when, ms since the recording's beginning: the prompt is shown.
    pub from_ms: u64,
    /// Until when: it is answered.
    pub to_ms: u64,
    /// As far as the kernel's evidence in it tells.
    pub class: Class,
}

/// A detector's call: it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it was said, ms since the recording's beginning.
    pub from_ms: u64,
    /// When it was taken back.
    pub to_ms: Option<u64>,
    /// For what; none: the detector knows no kinds.
    pub kind: Option<PromptKind>,
    /// On which evidence; none: the detector knows no layers.
    pub layer: Option<Layer>,
}

/// How a prompt fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Found {
    /// After it was shown, ms.
    pub delay: Delay,
    /// Which kind it is said to be.
    pub kind: Option<PromptKind>,
    /// That kind is right.
    pub kind_right: bool,
}

/// ms from the prompt on the screen to the verdict, and which gate that falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// ms; 0: it was said before the prompt's last character.
    pub ms: u64,
    /// Its class.
    pub class: Class,
}

/// An episode with how it fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The episode.
    pub episode: Episode,
    /// A prompt: how it was found; none: it was not, when it was answered.
    pub found: Option<Found>,
    /// Calls that were wrong in it: of work, every one; of a prompt, every one after the first.
    pub false_calls: u32,
}

impl Judgement {
    /// Nothing about it was wrong; its kind is not asked for.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let found = matches!(self.episode.truth, Truth::Working) || self.found.is_some();
        found && self.false_calls == 0
    }
}

/// The labelled stretches of a recording.
#[must_use]
pub fn episodes(recording: &Recording) -> Vec<Episode> {
    let mut found = Vec::new();
    let mut open: Option<Episode> = None;
    for moment in &recording.moments {
        match &moment.what {
            What::Label(label) => {
                close(&mut found, open.take(), moment.at_ms);
                let truth = match label {
                    Label::Waiting(kind) => Truth::Waiting(*kind),
                    Label::Working => Truth::Working,
                    Label::Open => continue,
                };
                let at_ms = moment.at_ms;
                open = Some(Episode { truth, from_ms: at_ms, to_ms: at_ms, class: Class::Poll });
            }
            What::Kernel(evidence) => {
                let silent = evidence.modes.is_some_and(|modes| modes.canonical && !modes.echo);
                let reads = evidence.readers.iter().any(|reader| reader.how == ReaderHow::Read);
                if let Some(episode) = &mut open {
                    episode.class =
                        if reads || (evidence.opaque && silent) { Class::Read } else { Class::Poll };
                }
            }
            What::Exit(_) => close(&mut found, open.take(), moment.at_ms),
            _ => {}
        }
    }
    close(&mut found, open, recording.length_ms());
    found
}

fn close(found: &mut Vec<Episode>, open: Option<Episode>, at_ms: u64) {
    if let Some(episode) = open.filter(|episode| episode.from_ms < at_ms) {
        found.push(Episode { to_ms: at_ms, ..episode });
    }
}

/// Holds a detector's calls, in the order of time, against the episodes of their recording.
#[must_use]
pub fn judge(episodes: &[Episode], spans: &[Span]) -> Vec<Judgement> {
    let mut judged = Vec::with_capacity(episodes.len());
    // What was said before the truth of before ended is not about this prompt.
    let mut earliest_ms = 0;
    for episode in episodes {
        judged.push(match episode.truth {
            Truth::Waiting(kind) => prompt(*episode, kind, earliest_ms, spans),
            Truth::Working => work(*episode, spans),
        });
        earliest_ms = episode.to_ms;
    }
    judged
}

fn prompt(episode: Episode, kind: PromptKind, earliest_ms: u64, spans: &[Span]) -> Judgement {
    let about: Vec<&Span> =
        spans.iter().filter(|span| (earliest_ms..episode.to_ms).contains(&span.from_ms)).collect();
    let lasts = |span: &&&Span| span.to_ms.is_none_or(|to_ms| to_ms >= episode.to_ms);
    let found = about.last().filter(lasts).map(|last| {
        let first = about.iter().find(|span| span.to_ms.is_none_or(|to_ms| to_ms > episode.from_ms));
        let from_ms = first.map_or(last.from_ms, |span| span.from_ms);
        let class = if last.layer == Some(Layer::Terminal) { Class::Terminal } else { episode.class };
        let delay = Delay { ms: from_ms.saturating_sub(episode.from_ms), class };
        Found { delay, kind: last.kind, kind_right: last.kind == Some(kind) }
    });
    let within = about.iter().filter(|span| span.from_ms >= episode.from_ms).count();
    Judgement { episode, found, false_calls: u32::try_from(within.saturating_sub(1)).unwrap_or(u32::MAX) }
}

fn work(episode: Episode, spans: &[Span]) -> Judgement {
    let new = |span: &&Span| (episode.from_ms..episode.to_ms).contains(&span.from_ms);
    let lingers = |span: &&Span| {
        let end_ms = span.to_ms.unwrap_or(u64::MAX).min(episode.to_ms);
        span.from_ms < episode.from_ms && end_ms > episode.from_ms.saturating_add(LINGER_MS)
    };
    let wrong = spans.iter().filter(|span| new(span) || lingers(span)).count();
    Judgement { episode, found: None, false_calls: u32::try_from(wrong).unwrap_or(u32::MAX) }
}
