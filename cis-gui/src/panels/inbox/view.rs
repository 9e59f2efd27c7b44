//! What the inbox shows: pure.

use cis_core::api::InboxItem;
use cis_core::event::PromptKind;
use cis_core::ids::TimestampMs;
use serde_json::Value;

use crate::model::{Entry, Model};
use crate::widgets::{clock, left, one_line};

/// Of a question so much stands in the list.
const TITLE_CHARS: usize = 80;
/// Maximum length of a run's parameters, characters.
const PARAMS_CHARS: usize = 160;

/// One item in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The name that it shares with no other.
    pub name: String,
    /// What is wanted, in a word.
    pub kind: &'static str,
    /// The question, or what can be said without one.
    pub title: String,
    /// Run and task.
    pub of: String,
    /// The run's parameters; empty: it has none, or they are unknown.
    pub params: String,
    /// What happens without an answer, and when.
    pub deadline: Option<String>,
    /// For how long it has waited.
    pub waited: String,
    /// Somebody answered, and it is still there.
    pub answered_by: Option<String>,
}

/// The list, oldest first.
#[must_use]
pub fn cards(model: &Model, now: TimestampMs) -> Vec<Card> {
    model.inbox.items().map(|item| card(model, item, now)).collect()
}

fn card(model: &Model, item: &InboxItem, now: TimestampMs) -> Card {
    Card {
        name: item.name(),
        kind: kind(item.kind),
        title: title(item),
        of: of(model, item),
        params: params(model, item),
        deadline: deadline(item, now).map(|(text, _)| text),
        waited: clock(item.since, now).0,
        answered_by: item.answered_by.as_deref().map(|by| one_line(by, TITLE_CHARS)),
    }
}

/// The question in one line; what is known without one.
#[must_use]
pub fn title(item: &InboxItem) -> String {
    let question = one_line(&item.question, TITLE_CHARS);
    if question.is_empty() { format!("waits for {}", article(item.kind)) } else { question }
}

/// Run and task, or the session, by their names.
#[must_use]
pub(super) fn of(model: &Model, item: &InboxItem) -> String {
    // The id tells runs of one DAG apart.
    let run = item.run.map(|id| match model.run(id) {
        Some(run) => format!("{} {}", one_line(&run.view().dag, TITLE_CHARS), id.short()),
        None => id.short(),
    });
    match (run, &item.task, item.session) {
        (Some(run), Some(task), _) => format!("{run} / {task}"),
        (Some(run), None, _) => run,
        (None, _, Some(session)) => format!("session {}", session.short()),
        (None, _, None) => item.id.to_string(),
    }
}

/// Returns the parameters of the run as `name=value`.
#[must_use]
pub(super) fn params(model: &Model, item: &InboxItem) -> String {
    let run = item.run.and_then(|id| model.run(id));
    let Some(detail) = run.and_then(Entry::detail) else { return String::new() };
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs: Vec<String> =
        detail.params.iter().map(|(name, given)| format!("{name}={}", value(given))).collect();
    one_line(&pairs.join(", "), PARAMS_CHARS)
}

/// Says what happens without an answer and when, and after how many ms that text changes.
#[must_use]
pub(super) fn deadline(item: &InboxItem, now: TimestampMs) -> Option<(String, u64)> {
    let until = item.until_ms?;
    if until <= now {
        return Some(("the deadline has passed".to_owned(), 60_000));
    }
    let (time, changes) = left(until, now);
    let text = match item.kind {
        PromptKind::Approval => format!("expires in {time}: the task fails then"),
        _ => format!("deadline in {time}: it is decided without you then"),
    };
    Some((text, changes))
}

/// A kind as a word.
#[must_use]
pub(super) fn kind(kind: PromptKind) -> &'static str {
    match kind {
        PromptKind::Permission => "Permission",
        PromptKind::Question => "Question",
        PromptKind::Password => "Password",
        PromptKind::Login => "Login",
        PromptKind::Trust => "Trust",
        PromptKind::Approval => "Approval",
        PromptKind::Review => "Review",
        PromptKind::Pager => "Pager",
        PromptKind::Editor => "Editor",
        PromptKind::RateLimit => "Rate limit",
        PromptKind::Error => "Error",
        PromptKind::Idle => "Idle",
        PromptKind::Stalled => "Stalled",
        PromptKind::Unknown => "Waits",
    }
}

fn article(kind: PromptKind) -> &'static str {
    match kind {
        PromptKind::Permission => "a permission",
        PromptKind::Question | PromptKind::Unknown => "an answer",
        PromptKind::Password => "a password",
        PromptKind::Login => "a login",
        PromptKind::Trust => "a word of trust",
        PromptKind::Approval => "an approval",
        PromptKind::Review => "a review",
        PromptKind::Pager => "somebody to leave its pager",
        PromptKind::Editor => "somebody to leave its editor",
        PromptKind::RateLimit => "its rate limit to pass",
        PromptKind::Error => "somebody to look at an error",
        PromptKind::Idle => "somebody, or for nothing: it is idle",
        PromptKind::Stalled => "nobody knows what: only its spinner moves",
    }
}
