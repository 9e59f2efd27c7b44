//! What the monitor sees of agents and what follows without a human: a prompt that is typed when they are
//! ready, a login that is missing, work that is done.
//!
//! Judges no screen; what people are told of a session is [`super::attention`]'s.

use super::Driver;
use super::attention::HANDED_IN_BYTES_MAX;
use super::loners::typed_file;
use super::turn::typed_into;
use crate::worker::remove;
use cis_core::agent::Login;
use cis_core::event::{EventBody, EventDraft, PromptKind, SaidKind};
use cis_core::federation::session_news::SessionNews;
use cis_core::ids::{InputId, SessionId, TimestampMs};
use cis_core::monitor::Verdict;
use cis_core::scheduler::{Input, InputKind};

impl Driver {
    /// Whether nobody is to be told that it waits, as it was given what it waits for, or is being ended.
    pub(super) fn agent_waits(&mut self, session: SessionId, verdict: &Verdict, now: TimestampMs) -> bool {
        match verdict.kind {
            PromptKind::Login => self.logged_out(session, verdict, now),
            // At its own prompt, and nowhere else: what else it asks is not what the prompt answers.
            PromptKind::Idle => self.type_prompt(session, now),
            // It asks for something of its work: so its provider answers.
            PromptKind::Permission => {
                self.login_works(session, now);
                false
            }
            _ => false,
        }
    }

    /// Whether the prompt of an agent is to be typed, and was not.
    pub(super) fn prompt_is_due(&self, session: SessionId) -> bool {
        self.parts.worker.has_typed(session) && matches!(self.made_by(input_of(session)), Ok(None))
    }

    /// Types the prompt of an agent that takes it so: once, over all lives of the node. That it is typed is durable
    /// before it is; where the node dies between the two, people see that the agent waits.
    pub(super) fn type_prompt(&mut self, session: SessionId, now: TimestampMs) -> bool {
        let prompt = self.parts.worker.take_typed(session).or_else(|| self.prompt_of_loner(session));
        let Some(prompt) = prompt else { return false };
        let (input, keys) = (input_of(session), keys_of(&prompt));
        if !matches!(self.made_by(input), Ok(None)) {
            return false;
        }
        let (run, task) = self.names_of(session);
        let bytes = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let body = EventBody::SessionInput { session, task, input, bytes };
        let draft = EventDraft { run, at_ms: now, actor: None, cause: Some(input), body };
        self.turn.draft(draft);
        self.turn.make(input, typed_into(session));
        let (hub, file) = (self.parts.hub.clone(), typed_file(&self.parts.home, session));
        self.turn.confirm_by(Box::new(move |durable| {
            if durable.is_ok() {
                hub.type_soon(session, input, keys);
                // Only a session without a run has one.
                remove(&file);
            }
        }));
        true
    }

    /// The program of a task is not logged in: another try may help, or somebody who is told so.
    fn logged_out(&mut self, session: SessionId, verdict: &Verdict, now: TimestampMs) -> bool {
        let Some(attempt) = self.parts.worker.attempt_of(session).cloned() else { return false };
        let Some(agent) = self.parts.worker.agent_of(session) else { return false };
        if agent.login == Login::Ask {
            return false;
        }
        let said = verdict.question.to_lowercase();
        let retryable = !agent.login_final.iter().any(|text| said.contains(&text.to_lowercase()));
        let (account, detail) = (agent.account.clone(), verdict.question.clone());
        if self.held_by(session).is_some() {
            // The scheduler that counts the attempts is its coordinator's.
            self.offer_no_more(&account, now);
            self.forward(session, SessionNews::LoggedOut { account, retryable, detail }, now);
            return true;
        }
        self.handle(Input::internal(InputKind::LoggedOut { attempt, account, retryable, detail }), now);
        self.offer_changed();
        true
    }

    fn login_works(&mut self, session: SessionId, now: TimestampMs) {
        let Some(agent) = self.parts.worker.agent_of(session) else { return };
        let account = agent.account.clone();
        self.offer_again(&account);
        self.handle(Input::internal(InputKind::LoginWorked { account }), now);
    }

    /// Its work is done, with this as its last words.
    pub(super) fn done(&mut self, session: SessionId, text: &str, now: TimestampMs) {
        self.said_on_screen(session, SaidKind::Response, text, now);
        let Some(attempt) = self.parts.worker.attempt_of(session).cloned() else { return };
        self.login_works(session, now);
        let text = text[..text.floor_char_boundary(HANDED_IN_BYTES_MAX)].to_owned();
        let text = Some(text).filter(|text| !text.trim().is_empty());
        if self.held_by(session).is_some() {
            return self.forward(
                session,
                SessionNews::HandedIn { input: InputId(ulid::Ulid::new()), text },
                now,
            );
        }
        self.handle(Input::internal(InputKind::HandIn { attempt, text }), now);
    }
}

/// The same for the same session, also after a restart.
fn input_of(session: SessionId) -> InputId {
    InputId::hashed(&format!("the prompt of {session}"))
}

/// What is typed for a prompt: its lines, each with Enter.
fn keys_of(prompt: &str) -> Vec<u8> {
    let mut keys = prompt.trim_end_matches('\n').replace('\n', "\r").into_bytes();
    keys.push(b'\r');
    keys
}

#[cfg(test)]
mod tests {
    use super::keys_of;

    #[test]
    fn a_prompt_is_typed_line_by_line() {
        assert_eq!(keys_of("make"), b"make\r");
        assert_eq!(keys_of("make\nls -l\n"), b"make\rls -l\r");
    }
}
