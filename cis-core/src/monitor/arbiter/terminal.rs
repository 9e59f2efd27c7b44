//! Layer 2: what the program reports through its terminal. Strong, and text of the program: it raises a
//! verdict, and never says what can be answered.

use crate::event::PromptKind;
use crate::ids::TimestampMs;
use crate::monitor::evidence::Signal;
use crate::monitor::profile::{Profile, Says};
use crate::monitor::screen::steady;

/// A notification makes a prompt that comes with it count at once, for so long, ms.
const NOTICE_MS: i64 = 5000;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) at_ms: TimestampMs,
    pub(super) says: Reported,
    /// In its words.
    pub(super) message: String,
    /// For people: what was seen.
    pub(super) seen: String,
    /// It says so until it says something else; not where only an earlier report was taken back.
    pub(super) lasts: bool,
    /// Something was typed since: it raises no further prompt until it is said again.
    pub(super) answered: bool,
}

impl Report {
    /// Its message without what moves by itself.
    pub(super) fn words(&self) -> String {
        steady(std::slice::from_ref(&self.message)).concat()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    Waits(PromptKind),
    Working,
    Idle,
}

/// What was reported.
#[derive(Debug, Clone, Default)]
pub(super) struct Terminal {
    pub(super) report: Option<Report>,
    title: String,
    notice: Option<(TimestampMs, String)>,
    /// The newest mark of a shell (OSC 133) is its prompt.
    pub(super) prompts: bool,
    /// It has asked for brackets around what is pasted: a line editor is at rest, or a full screen.
    pub(super) edits: bool,
}

impl Terminal {
    /// Takes a signal; gives whether it says anything.
    pub(super) fn signal(&mut self, signal: &Signal, profile: &Profile, now: TimestampMs) -> bool {
        match signal {
            Signal::Title { text } => self.titled(text, profile, now),
            Signal::Notification { text } => {
                self.notice = Some((now, text.clone()));
                true
            }
            Signal::Bell => {
                self.notice = Some((now, "a bell".to_owned()));
                true
            }
            Signal::Shell { mark, .. } => self.marked(*mark, now),
            Signal::Status { state, kind, message, app } => {
                let app = app.as_deref().unwrap_or("the program");
                let seen = format!(
                    "{app} reports {state}{}",
                    kind.as_ref().map_or_else(String::new, |kind| format!(" ({kind})"))
                );
                let says = match state.as_str() {
                    "blocked" => Reported::Waits(kind.as_deref().map_or(PromptKind::Question, reported_kind)),
                    "error" => Reported::Waits(PromptKind::Error),
                    "idle" | "done" => Reported::Idle,
                    "working" => Reported::Working,
                    _ => return false,
                };
                self.set(says, message.clone().unwrap_or_default(), seen, now);
                true
            }
            Signal::PasteBrackets { on } => {
                let news = self.edits != *on;
                self.edits = *on;
                news
            }
            Signal::StatusQuery => false,
        }
    }

    fn titled(&mut self, text: &str, profile: &Profile, now: TimestampMs) -> bool {
        let before = profile.title(&self.title);
        text.clone_into(&mut self.title);
        let says = match (profile.title(text), before) {
            (says, before) if says == before => return false,
            (Some(Says::Waits(PromptKind::Idle)), _) => Reported::Idle,
            (Some(Says::Waits(kind)), _) => Reported::Waits(kind),
            (Some(Says::Working), _) => Reported::Working,
            // A title that said so and does not any more takes it back: it does not wait at that any more,
            (None, Some(Says::Waits(_))) => {
                let seen = format!("its title is {text:?}");
                let (says, message) = (Reported::Working, String::new());
                self.report = Some(Report { at_ms: now, says, message, seen, lasts: false, answered: false });
                return true;
            }
            // and nothing is known of its work any more.
            (None, Some(Says::Working)) => {
                self.report = None;
                return true;
            }
            (None, _) => return false,
        };
        self.set(says, String::new(), format!("its title is {text:?}"), now);
        true
    }

    /// A prompt of a shell. What it runs then tells for itself: it may well wait.
    fn marked(&mut self, mark: char, now: TimestampMs) -> bool {
        self.prompts = matches!(mark, 'A' | 'B');
        if self.prompts {
            self.set(Reported::Idle, String::new(), format!("a shell's mark {mark} (OSC 133)"), now);
        } else {
            self.report = None;
        }
        true
    }

    fn set(&mut self, says: Reported, message: String, seen: String, now: TimestampMs) {
        let said = Report { at_ms: now, says, message, seen, lasts: true, answered: false };
        if let Some(report) = &mut self.report
            && report.says == says
            && report.words() == said.words()
            && !report.answered
        {
            // Said again: it has been so since the first time.
            report.message = said.message;
            return;
        }
        self.report = Some(said);
    }

    pub(super) fn works(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.says == Reported::Working)
    }

    /// It says that it works, and has not only taken something back.
    pub(super) fn says_working(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.says == Reported::Working && report.lasts)
    }

    /// What is reported as waiting may be answered by this; said again, it is another prompt.
    pub(super) fn typed(&mut self) {
        if let Some(report) = self.report.as_mut().filter(|report| report.says != Reported::Working) {
            report.answered = true;
        }
    }

    /// A report that a verdict came from is used up when that is over.
    pub(super) fn forget(&mut self) {
        self.report = None;
    }

    /// A notification came just now.
    pub(super) fn noticed(&self, now: TimestampMs) -> bool {
        self.notice.as_ref().is_some_and(|(at, _)| now - at <= NOTICE_MS)
    }

    pub(super) fn last_notice(&self) -> Option<&(TimestampMs, String)> {
        self.notice.as_ref()
    }
}

/// What a report may say that it waits for. Passwords are the kernel's to say.
fn reported_kind(word: &str) -> PromptKind {
    match PromptKind::parse(word) {
        Some(PromptKind::Password | PromptKind::Approval | PromptKind::Review | PromptKind::Stalled)
        | None => PromptKind::Question,
        Some(kind) => kind,
    }
}
