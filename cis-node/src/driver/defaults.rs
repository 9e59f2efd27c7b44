//! What the file answers where nobody did in time: checked and typed as an answer of anybody.

use super::Driver;
use super::attention::{Told, item_of_prompt};
use super::turn::Typing;
use crate::commands::{AnswerSource, Given};
use crate::inbox::given;
use cis_core::api::{Answer, AnswerWith, InboxItem};
use cis_core::event::{Actor, ActorKind, AskType, Meaning, PromptKind, Via};
use cis_core::ids::{AttemptId, InboxId, InputId, SessionId, TimestampMs};
use cis_core::scheduler::{Input, InputKind};

/// By this name it stands in events.
const RULE: &str = "on_blocked.default";

impl Driver {
    /// Answers a prompt as the file says. Asked for again after a restart of the node, it is the same
    /// answer: nobody's else is replaced, and nothing is typed twice.
    pub(super) fn answer_by_default(
        &mut self,
        attempt: AttemptId,
        session: SessionId,
        item: InboxId,
        answer: &str,
        now: TimestampMs,
    ) {
        let told = self.attention.get(session).and_then(|attention| attention.told());
        let Some(told) = told.filter(|told| told.prompt.item == item) else { return };
        let input = input_of(session, &item);
        let made = match given_by_default(session, told, answer, input) {
            Ok(given) => given,
            Err(detail) => return self.refuse_default(attempt, item, detail, now),
        };
        let actor = Actor { kind: ActorKind::Policy, name: RULE.to_owned(), via: Via::Internal };
        // Somebody else was first, or it is over: that is no failure of the default.
        if let Ok(Some(typed)) = self.answer_once(&made, actor, now) {
            self.turn.type_then(Typing { source: AnswerSource::Default(attempt), item, typed });
        }
    }

    pub(super) fn refuse_default(
        &mut self,
        attempt: AttemptId,
        item: InboxId,
        detail: String,
        now: TimestampMs,
    ) {
        self.handle(Input::internal(InputKind::DefaultRefused { attempt, item, detail }), now);
    }
}

/// One of the options, or words.
fn given_by_default(session: SessionId, told: &Told, answer: &str, input: InputId) -> Result<Given, String> {
    let item = item_of(session, told);
    let with = |with| Answer { with, reason: None, hash: None, again: None, input };
    let option = with(AnswerWith::Option { option: answer.to_owned() });
    let text = with(AnswerWith::Text { text: answer.to_owned() });
    let chosen = given::given(&item, &option);
    // A meaning that the prompt does not offer is no word to be typed.
    let chosen = if Meaning::parse(answer).is_some() {
        chosen
    } else {
        chosen.or_else(|_| given::given(&item, &text))
    };
    chosen.map_err(|problem| problem.detail)
}

/// The prompt as it stands in the inbox, as far as an answer to it needs that.
fn item_of(session: SessionId, told: &Told) -> InboxItem {
    let prompt = &told.prompt;
    let ask_type = prompt.ask.map(|_| match prompt.kind {
        PromptKind::Permission => AskType::Permission,
        PromptKind::Review => AskType::Review,
        _ => AskType::Clarification,
    });
    InboxItem { ask_type, ..item_of_prompt(session, prompt) }
}

/// The same for the same prompt, also after a restart.
fn input_of(session: SessionId, item: &InboxId) -> InputId {
    InputId::hashed(&format!("{RULE} {session} {item}"))
}
