//! The answer that a task's file gives where nobody did in time (`on_blocked.default`).
//!
//! Owns what it means for a prompt, by whom it is given, and its id. When it is given is the scheduler's matter.

use super::given;
use cis_core::api::{Answer, AnswerWith, InboxItem, Problem};
use cis_core::event::{Actor, ActorKind, Meaning, Via};
use cis_core::ids::{InboxId, InputId, SessionId};

/// By this name it stands in events.
const RULE: &str = "on_blocked.default";

/// Who gives it.
pub(crate) fn actor() -> Actor {
    Actor { kind: ActorKind::Policy, name: RULE.to_owned(), via: Via::Internal }
}

/// One of the options of the prompt, or words.
///
/// # Errors
/// Nobody could answer the prompt so.
pub(crate) fn answer(session: SessionId, item: &InboxItem, text: &str) -> Result<Answer, Problem> {
    let input = input_of(session, &item.id);
    let with = |with| Answer { with, reason: None, hash: None, again: None, input };
    let option = with(AnswerWith::Option { option: text.to_owned() });
    match given::given(item, &option) {
        Ok(_) => Ok(option),
        // A meaning that the prompt does not offer is no word to be typed.
        Err(problem) if Meaning::parse(text).is_some() => Err(problem),
        Err(_) => {
            let words = with(AnswerWith::Text { text: text.to_owned() });
            given::given(item, &words).map(|_| words)
        }
    }
}

/// The same for the same prompt, also after a restart.
fn input_of(session: SessionId, item: &InboxId) -> InputId {
    InputId::hashed(&format!("{RULE} {session} {item}"))
}
