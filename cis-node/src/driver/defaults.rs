//! What the file answers where nobody did in time: checked and typed as an answer of anybody.

use super::Driver;
use super::attention::{Told, item_of_prompt};
use super::turn::Typing;
use crate::commands::{AnswerSource, DefaultAnswer, Given};
use crate::inbox::{default_answer, given};
use cis_core::api::InboxItem;
use cis_core::event::{AskType, PromptKind};
use cis_core::ids::{AttemptId, InboxId, SessionId, TimestampMs};
use cis_core::scheduler::{Input, InputKind, LiveAttempt};

/// So often a default answers one question of a session after the other if all are the same.
const SAME_MAX: u32 = 10;

impl Driver {
    /// Answers a prompt as the file says. Asked for again after a restart of the node, it is the same
    /// answer: nobody's else is replaced, and nothing is typed twice.
    pub(super) fn answer_by_default(&mut self, default: DefaultAnswer, now: TimestampMs) {
        let is_of_other = |live: &LiveAttempt| {
            live.attempt == default.attempt && !self.parts.identity.is_or_was(&live.node)
        };
        if self.parts.machine.live_attempts().any(|live| is_of_other(&live)) {
            return self.parts.link.answer(default);
        }
        let DefaultAnswer { attempt, session, item, answer } = default;
        let told = self.attention.get(session).and_then(|attention| attention.told());
        let Some(told) = told.filter(|told| told.prompt.item == item) else { return };
        let shown = item_of(session, told);
        let made =
            default_answer::answer(session, &shown, &answer).and_then(|answer| given::given(&shown, &answer));
        let made = match made {
            Ok(given) => Given { by_default: true, ..given },
            Err(problem) => return self.refuse_default(attempt, item, problem.detail, now),
        };
        let question = &*shown.question;
        if self.attention.get(session).is_some_and(|known| known.times_by_default(question) >= SAME_MAX) {
            let detail = format!("it answered this question {SAME_MAX} times, and it came back each time");
            return self.refuse_default(attempt, item, detail, now);
        }
        // Somebody else was first, or it is over: that is no failure of the default.
        if let Ok((Some(typed), _)) = self.answer_once(&made, default_answer::actor(), now) {
            self.attention.change(session).answered_by_default(question);
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

/// The prompt as it stands in the inbox, as far as an answer to it needs that.
fn item_of(session: SessionId, told: &Told) -> InboxItem {
    let prompt = &told.prompt;
    let ask_type = prompt.ask.map(|_| match prompt.kind {
        PromptKind::Permission => AskType::Permission,
        PromptKind::Review => AskType::Review,
        _ => AskType::Clarification,
    });
    // Its rows show which numbers mean an option.
    InboxItem { ask_type, screen: prompt.screen.clone(), ..item_of_prompt(session, prompt) }
}
