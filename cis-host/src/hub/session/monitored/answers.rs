//! Answers to prompts: typed once, and only into the prompt that they are for.
//!
//! The hub compares the answer with its verdict and the screen; the host types it only while there is no
//! more output than that screen shows. Where there is more, the hub looks again. So nothing lies between
//! the check and the write but what a program draws in that very moment.

use super::in_parts::{Rest, Shown};
use super::{Monitored, Session};
use crate::frames;
use crate::hub::HubError;
use crate::hub::env::Env;
use crate::protocol::{ToHost, frame};
use cis_core::api::InputReceipt;
use cis_core::ids::{InputId, SessionId, TimestampMs};
use cis_core::monitor::ScreenView;

/// A screen that changes all the time for so long cannot be answered, ms.
const RESTLESS_MS: i64 = 2_000;

/// So long an answer waits for the first look at the screen after a start of the node, ms: what the monitor takes to find the
/// prompt again or to give it up, and some more.
const FIRST_LOOK_MS: i64 = 10_000;

/// So long the host may take to say what became of an answer, ms. Then whoever waits is told that it may have been
/// typed.
const SENT_MS: i64 = 30_000;

/// The rest of an answer is typed after the screen has shown for so long that it is wanted, ms: a program that was content with the
/// first part goes on meanwhile.
const SHOWN_MS: i64 = 120;

/// The rest is not typed where the line did not show the first key within this time, ms.
const SHOWN_MAX_MS: i64 = 5_000;

/// The same of a pointer that is not at the option that was chosen, ms.
const POINTED_MAX_MS: i64 = 2_000;

/// How often the screen is looked at until then, ms.
const SHOWN_LOOK_MS: i64 = 40;

/// An answer to a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of this session.
    pub session: SessionId,
    /// Which prompt, as the monitor counts.
    pub episode: u32,
    /// Its hash.
    pub hash: String,
    /// Sent twice, it is typed once.
    pub input: InputId,
    /// What is typed: cursor keys as without DECCKM.
    pub bytes: Vec<u8>,
    /// The prompt was answered and stays: this is one more answer to it.
    pub again: bool,
}

/// Hears what became of an answer.
pub(in crate::hub) struct Tell(Box<dyn FnOnce(Result<InputReceipt, HubError>) + Send>);

impl Tell {
    pub(in crate::hub) fn new(hear: impl FnOnce(Result<InputReceipt, HubError>) + Send + 'static) -> Self {
        Self(Box::new(hear))
    }

    pub(in crate::hub) fn tell(self, outcome: Result<InputReceipt, HubError>) {
        (self.0)(outcome);
    }
}

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The screen is looked at once there is so much output.
    Due(u64),
    /// The host has it; whoever waits does so until then.
    Sent(TimestampMs),
    /// The first part was typed: the screen is to show that the rest is wanted.
    Shown {
        /// Since when it does.
        since: Option<TimestampMs>,
        /// When the screen is looked at again.
        look: TimestampMs,
        /// The rest is given up then.
        until: TimestampMs,
    },
}

/// Whether an answer is the one that counts.
enum Claim {
    Granted,
    /// Another one was first.
    Taken,
    /// Its prompt is over.
    Moved,
}

#[derive(Debug)]
pub(super) struct Pending {
    answer: Answer,
    /// None once it was told: what the host says then is still to be known.
    tell: Option<Tell>,
    stage: Stage,
    until: TimestampMs,
    /// What is not typed yet, or was typed last.
    rest: Option<Rest>,
}

impl Pending {
    /// When patience ends: with a screen that does not rest, or with the host that has it.
    fn due(&self) -> Option<TimestampMs> {
        match self.stage {
            Stage::Due(_) => Some(self.until),
            Stage::Sent(until) => self.tell.is_some().then_some(until),
            Stage::Shown { look, .. } => Some(look),
        }
    }

    /// The first part was typed.
    fn first_typed(&mut self, receipt: InputReceipt, now: TimestampMs) {
        if let Some(rest) = &mut self.rest {
            rest.receipt = Some(receipt);
        }
        self.look_from(now);
    }

    fn look_from(&mut self, now: TimestampMs) {
        let is_needed = self.rest.as_ref().is_some_and(Rest::is_needed);
        let patience = if is_needed { POINTED_MAX_MS } else { SHOWN_MAX_MS };
        self.stage = Stage::Shown { since: None, look: now + SHOWN_LOOK_MS, until: now + patience };
    }

    /// Looks whether the rest is wanted.
    fn look(&mut self, view: Option<&ScreenView>, now: TimestampMs) -> Look {
        let (Stage::Shown { since, look, until }, Some(rest)) = (&mut self.stage, &self.rest) else {
            return Look::Later;
        };
        *look = now + SHOWN_LOOK_MS;
        match rest.shown(view) {
            Shown::Expected if now - *since.get_or_insert(now) >= SHOWN_MS => Look::Rest,
            Shown::Expected => Look::Later,
            Shown::NotYet if now < *until => {
                *since = None;
                Look::Later
            }
            Shown::NotYet | Shown::Other => Look::Over,
        }
    }

    /// Its first part was typed.
    fn is_in_part(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.receipt.is_some())
    }

    /// Says that it was typed, where the first part is an answer and was.
    fn typed_in_part(&mut self) -> bool {
        let rest = self.rest.as_ref().filter(|rest| !rest.is_needed());
        let receipt = rest.and_then(|rest| rest.receipt.clone());
        receipt.map(|receipt| self.tell(Ok(receipt))).is_some()
    }

    fn tell(&mut self, outcome: Result<InputReceipt, HubError>) {
        if let Some(tell) = self.tell.take() {
            tell.tell(outcome);
        }
    }
}

/// What a look at the screen decides about the rest.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Later,
    Rest,
    /// It is not wanted.
    Over,
}

impl Monitored {
    /// When somebody is to be told though nothing comes.
    pub(super) fn answers_due(&self) -> Option<TimestampMs> {
        self.answers.iter().filter_map(Pending::due).min()
    }

    /// Whether the prompt stands there as it was when it was answered.
    fn stands(&mut self, answer: &Answer, view: &ScreenView, now: TimestampMs) -> bool {
        self.is_for_verdict(answer) && self.arbiter.holds(view, now)
    }

    /// The answer is for the prompt that the session waits at.
    fn is_for_verdict(&self, answer: &Answer) -> bool {
        let same = |episode: u32, hash: &str| episode == answer.episode && hash == answer.hash;
        self.verdict().is_some_and(|verdict| same(verdict.episode, &verdict.hash))
    }

    /// The prompt is one that an earlier life of the node knew, and the screen was not looked at since.
    fn looks_for(&self, answer: &Answer) -> bool {
        self.verdict().is_none() && self.arbiter.looks_for(answer.episode, &answer.hash)
    }

    /// Somebody typed since the prompt came: the answer would follow that.
    fn would_follow(&self) -> bool {
        let lines = self.arbiter.collects_lines();
        self.verdict().is_some_and(|verdict| self.hands.are_at(verdict, lines))
    }

    /// Whether this answer may be typed. The same one again may: the host knows whether it typed it.
    fn claim(&mut self, answer: &Answer) -> Claim {
        let own = (answer.episode, answer.input);
        match self.answered {
            Some(first) if first == own => Claim::Granted,
            // One more is typed on purpose, and only when nothing of an earlier one is on its way.
            Some((episode, _)) if episode == answer.episode && !(answer.again && self.answers.is_empty()) => {
                Claim::Taken
            }
            _ if !self.looks_for(answer)
                && self.verdict().is_none_or(|verdict| verdict.episode != answer.episode) =>
            {
                Claim::Moved
            }
            _ => {
                self.answered = Some(own);
                Claim::Granted
            }
        }
    }

    /// Nothing of it was typed: another one may come.
    fn release(&mut self, answer: &Answer) {
        if self.answered == Some((answer.episode, answer.input)) {
            self.answered = None;
        }
    }
}

impl Session {
    /// Takes an answer. The first one of a prompt counts.
    pub(in crate::hub) fn answer(&mut self, answer: Answer, tell: Tell, env: &mut Env) {
        let id = self.id;
        let Some(monitored) = &mut self.monitored else {
            return tell.tell(Err(HubError::NotATerminal { id }));
        };
        match monitored.claim(&answer) {
            Claim::Taken => tell.tell(Err(HubError::Answered { id })),
            Claim::Moved => {
                monitored.arbiter.answer_refused();
                env.judge.push(id);
                let screen = self.lowest_rows(|_| (), env);
                tell.tell(Err(HubError::PromptMoved { id, screen }));
            }
            Claim::Granted => {
                let patience = if monitored.looks_for(&answer) { FIRST_LOOK_MS } else { RESTLESS_MS };
                let until = env.clock.now() + patience;
                monitored.answers.push(Pending {
                    answer,
                    tell: Some(tell),
                    stage: Stage::Due(self.next),
                    until,
                    rest: None,
                });
                env.judge.push(id);
            }
        }
    }

    /// Looks at what can be decided now.
    pub(super) fn advance_answers(&mut self, monitored: &mut Monitored, now: TimestampMs, env: &mut Env) {
        if monitored.answers.is_empty() {
            return;
        }
        for mut pending in std::mem::take(&mut monitored.answers) {
            if matches!(pending.stage, Stage::Sent(_)) && pending.due().is_some_and(|due| due <= now) {
                // It stays the one that counts: another one as well could be typed beside it.
                pending.tell(Err(HubError::Unconfirmed { id: self.id, seconds: SENT_MS / 1000 }));
            }
            if monitored.looks_for(&pending.answer) && now < pending.until {
                monitored.answers.push(pending);
                continue;
            }
            if matches!(pending.stage, Stage::Shown { .. }) {
                let view = self.view(env);
                match pending.look(view.as_ref(), now) {
                    Look::Later => {}
                    Look::Rest => {
                        let bytes = pending.rest.as_ref().map(|rest| rest.bytes.clone()).unwrap_or_default();
                        // The host types each input once.
                        pending.answer.input = following(pending.answer.input);
                        pending.answer.bytes = bytes;
                        self.send_answer(&pending.answer, env);
                        pending.stage = Stage::Sent(now + SENT_MS);
                    }
                    Look::Over => {
                        if !pending.typed_in_part() {
                            monitored.release(&pending.answer);
                            monitored.arbiter.answer_refused();
                            env.judge.push(self.id);
                            let screen = self.lowest_rows(|_| (), env);
                            pending.tell(Err(HubError::PromptMoved { id: self.id, screen }));
                        }
                        continue;
                    }
                }
            }
            if let Stage::Due(at) = pending.stage {
                let view = if self.next >= at { self.view(env) } else { None };
                match view {
                    Some(view) => {
                        if monitored.is_for_verdict(&pending.answer) && monitored.would_follow() {
                            monitored.release(&pending.answer);
                            pending.tell(Err(HubError::Typed { id: self.id }));
                            continue;
                        }
                        if !monitored.stands(&pending.answer, &view, now) {
                            monitored.release(&pending.answer);
                            monitored.arbiter.answer_refused();
                            env.judge.push(self.id);
                            let screen = self.lowest_rows(|_| (), env);
                            pending.tell(Err(HubError::PromptMoved { id: self.id, screen }));
                            continue;
                        }
                        let takes_keys = monitored.arbiter.takes_keys();
                        pending.rest = Rest::of(&mut pending.answer.bytes, &view, takes_keys);
                        self.send_answer(&pending.answer, env);
                        pending.stage = Stage::Sent(now + SENT_MS);
                    }
                    None if now >= pending.until => {
                        monitored.release(&pending.answer);
                        pending.tell(Err(HubError::Restless { id: self.id }));
                        continue;
                    }
                    None => {}
                }
            }
            monitored.answers.push(pending);
        }
    }

    fn send_answer(&mut self, answer: &Answer, env: &mut Env) {
        let input_bytes = self.typing.expected();
        let (session, input, output_bytes) = (self.id, answer.input, self.next);
        env.say(&ToHost::InputAt { session, input, output_bytes, input_bytes });
        let modes = self.model.as_ref().map(|model| model.screen.modes()).unwrap_or_default();
        let bytes = modes.keys(&answer.bytes);
        frames::put_bytes(&mut env.out, frame::INPUT, self.id, 0, &bytes);
        self.typing.sent(&bytes);
    }

    /// The host says what became of an input. True where it was an answer.
    pub(in crate::hub) fn answer_taken(
        &mut self,
        input: InputId,
        outcome: &Result<InputReceipt, HubError>,
        env: &mut Env,
    ) -> bool {
        let Some(monitored) = &mut self.monitored else { return false };
        let all: Vec<Pending> = monitored.answers.extract_if(.., |it| it.answer.input == input).collect();
        let any = !all.is_empty();
        for mut pending in all {
            let now = env.clock.now();
            match outcome {
                Ok(receipt) => {
                    monitored.typed(&self.redactor, now);
                    if pending.rest.as_ref().is_some_and(|rest| rest.receipt.is_none()) {
                        pending.first_typed(receipt.clone(), now);
                        monitored.answers.push(pending);
                        continue;
                    }
                }
                Err(_) => monitored.release(&pending.answer),
            }
            if outcome.is_err() && pending.typed_in_part() {
                continue;
            }
            pending.tell(outcome.clone());
        }
        if any {
            env.judge.push(self.id);
        }
        any
    }

    /// There is more output than an answer was for: it is looked at again once that is here. `typed`: somebody
    /// else was first.
    pub(in crate::hub) fn answer_moved(&mut self, input: InputId, output: u64, typed: bool, env: &mut Env) {
        let (id, now) = (self.id, env.clock.now());
        let Some(monitored) = &mut self.monitored else { return };
        if typed {
            monitored.others_typed(&self.redactor, now);
            self.answer_taken(input, &Err(HubError::Typed { id }), env);
            return;
        }
        let mut restless = Vec::new();
        for mut pending in std::mem::take(&mut monitored.answers) {
            if pending.answer.input == input && pending.is_in_part() {
                pending.look_from(now);
            } else if pending.answer.input == input {
                // The line is another one then.
                if let Some(rest) = pending.rest.take() {
                    pending.answer.bytes.extend(rest.bytes);
                }
                pending.stage = Stage::Due(output);
                if now >= pending.until {
                    restless.push(pending);
                    continue;
                }
            }
            monitored.answers.push(pending);
        }
        for mut pending in restless {
            monitored.release(&pending.answer);
            pending.tell(Err(HubError::Restless { id }));
        }
        env.judge.push(id);
    }

    /// Whether the host has been asked to type an answer, and has not said what became of it.
    pub(in crate::hub) fn has_answers(&self) -> bool {
        let sent = |pending: &Pending| matches!(pending.stage, Stage::Sent(_));
        self.monitored.as_ref().is_some_and(|monitored| monitored.answers.iter().any(sent))
    }

    /// It is over, or the host is gone: whoever waits is told. What the host has may have been typed.
    pub(in crate::hub) fn fail_answers(&mut self, why: &HubError) {
        let Some(monitored) = &mut self.monitored else { return };
        for mut pending in std::mem::take(&mut monitored.answers) {
            if pending.typed_in_part() {
                continue;
            }
            if !matches!(pending.stage, Stage::Sent(_)) {
                monitored.release(&pending.answer);
            }
            pending.tell(Err(why.clone()));
        }
    }
}

/// The input by which the rest of this one is typed.
fn following(input: InputId) -> InputId {
    InputId::hashed(&format!("the rest of {input}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_the_host_has_wakes_nobody_before_its_time_and_never_twice() {
        let session = SessionId::from_parts(1, 1);
        let input = InputId::from_parts(1, 1);
        let answer =
            Answer { session, episode: 1, hash: String::new(), input, bytes: Vec::new(), again: false };
        let (said, heard) = std::sync::mpsc::channel();
        let tell = Some(Tell::new(move |outcome| drop(said.send(outcome))));
        let mut pending = Pending { answer, tell, stage: Stage::Due(0), until: RESTLESS_MS, rest: None };
        assert_eq!(pending.due(), Some(RESTLESS_MS));
        pending.stage = Stage::Sent(SENT_MS);
        assert_eq!(pending.due(), Some(SENT_MS), "the patience with its screen is past");
        let unconfirmed = HubError::Unconfirmed { id: session, seconds: 30 };
        assert!(unconfirmed.may_have_typed());
        pending.tell(Err(unconfirmed.clone()));
        assert_eq!((pending.due(), heard.try_recv()), (None, Ok(Err(unconfirmed))));
        // What the host says in the end changes nothing for whoever was told.
        pending.tell(Ok(InputReceipt { output_offset: 1 }));
        assert!(heard.try_recv().is_err());
    }
}
