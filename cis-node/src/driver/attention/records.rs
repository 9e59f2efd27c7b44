//! Prompts as people are told of them, made of what the monitor sees or the session asks. What is told is bounded.

use cis_core::api::InboxItem;
use cis_core::event::{
    AskRecord, LABEL_CHARS_MAX, Layer, OPTIONS_MAX, PromptRecord, QUESTION_CHARS_MAX, SCREEN_CHARS_MAX,
    Urgency,
};
use cis_core::ids::{InboxId, SessionId};
use cis_core::monitor::Verdict;
use cis_core::text::without_widths;

pub(super) fn of_ask(session: SessionId, episode: u32, ask: &AskRecord) -> PromptRecord {
    PromptRecord {
        // The ask is the item; its prompt is no second one.
        item: ask.item.clone(),
        layer: Layer::Asked,
        question: cut(&ask.text, QUESTION_CHARS_MAX),
        options: ask.options.clone(),
        hash: hash_of(&ask.text),
        ask: Some(ask.ask),
        ..PromptRecord::bare(session, episode, ask.ask_type.kind())
    }
}

/// What the monitor must have seen for this prompt.
pub(super) fn verdict_of(episode: u32, prompt: &PromptRecord) -> Verdict {
    Verdict {
        episode,
        // Counted from the event on.
        since_ms: 0,
        kind: prompt.kind,
        layer: prompt.layer,
        confidence: prompt.confidence,
        hash: prompt.hash.clone(),
        question: prompt.question.clone(),
        options: prompt.options.clone(),
        waited_ms: 0,
        // The prompt of a shell is not recorded.
        at_shell: false,
    }
}

/// What the monitor saw. The words are of a screen, where a secret is masked in its own width; rooms are told them.
pub(super) fn of_verdict(session: SessionId, episode: u32, verdict: &Verdict, screen: &str) -> PromptRecord {
    let mut options = verdict.options.clone();
    options.truncate(OPTIONS_MAX);
    for option in &mut options {
        option.label = cut(&without_widths(&option.label), LABEL_CHARS_MAX);
    }
    PromptRecord {
        item: InboxId::of_prompt(session, episode),
        episode,
        kind: verdict.kind,
        hash: verdict.hash.clone(),
        layer: verdict.layer,
        confidence: verdict.confidence,
        question: cut(&without_widths(&verdict.question), QUESTION_CHARS_MAX),
        options,
        screen: cut(screen, SCREEN_CHARS_MAX),
        ask: None,
        // The file's matter: the scheduler knows it.
        until_ms: None,
        waited_ms: verdict.waited_ms,
    }
}

/// A prompt as it stands in the inbox, as far as an answer to it needs that.
pub(in crate::driver) fn item_of_prompt(session: SessionId, prompt: &PromptRecord) -> InboxItem {
    InboxItem {
        id: prompt.item.clone(),
        run: None,
        task: None,
        session: Some(session),
        kind: prompt.kind,
        question: prompt.question.clone(),
        options: prompt.options.clone(),
        since: 0,
        confidence: prompt.confidence,
        layer: Some(prompt.layer),
        episode: Some(prompt.episode),
        hash: prompt.hash.clone(),
        screen: String::new(),
        ask_type: None,
        urgency: Urgency::default(),
        thread: None,
        answered_by: None,
        answered_ms: None,
        until_ms: None,
        closed: None,
    }
}

/// An ask as it stands in the inbox, as far as an answer to it needs that.
pub(in crate::driver) fn item_of_ask(session: SessionId, ask: &AskRecord) -> InboxItem {
    let kind = ask.ask_type.kind();
    let prompt = PromptRecord {
        item: ask.item.clone(),
        question: ask.text.clone(),
        options: ask.options.clone(),
        ..PromptRecord::bare(session, 0, kind)
    };
    InboxItem { ask_type: Some(ask.ask_type), episode: None, ..item_of_prompt(session, &prompt) }
}

pub(super) fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// 16 hex digits.
fn hash_of(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}
