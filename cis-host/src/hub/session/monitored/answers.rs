//! Answers to prompts: typed once, and only into the prompt that they are for.
//!
//! The hub compares the answer with its verdict and the screen; the host types it only while there is no
//! more output than that screen shows. Where there is more, the hub looks again. Who asked must still wait: the host
//! looks at it for each answer. So nothing lies between the check and the write but what a program does in that very moment.

use std::collections::BTreeMap;

use super::in_parts::{Next, Rest, Seen};
use super::{Monitored, Session};
use crate::frames;
use crate::hub::HubError;
use crate::hub::env::Env;
use crate::os;
use crate::protocol::{ToHost, frame};
use cis_core::api::InputReceipt;
use cis_core::event::PromptKind;
use cis_core::ids::{InputId, SessionId, TimestampMs};
use cis_core::monitor::{Reader, ReaderHow, ScreenView, TypedKeys};

/// A screen that changes all the time for so long cannot be answered, ms.
const RESTLESS_MS: i64 = 2_000;

/// So long an answer waits for the first look at the screen after a start of the node, ms: what the monitor takes to find the
/// prompt again or to give it up, and some more.
const FIRST_LOOK_MS: i64 = 10_000;

/// Who asked waits no more if no look finds it waiting for so long, ms: programs write something now and then.
const IDLE_MS: i64 = 1_000;

/// Between two of those looks, ms. Programs wait in steps of 50 or 100 ms: one that looks in the same steps could miss it each time.
const LOOK_AGAIN_MS: i64 = 37;

/// So often it is looked whether the kernel's evidence came before the rest of an answer, ms.
const REST_LOOK_MS: i64 = 10;

/// So long an answer waits for a look at who asked, ms.
const LOOK_MS: i64 = 10_000;

/// So long the host may take to say what became of an answer, ms. Then whoever waits is told that it may have been
/// typed.
const SENT_MS: i64 = 30_000;

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
    /// They are words for a line, with Enter.
    pub is_line: bool,
    /// The prompt was answered and stays: this is one more answer to it.
    pub again: bool,
    /// It was sent before, perhaps to an earlier life of the node, which may have typed it.
    pub repeated: bool,
    /// Nobody has looked at the screen: it is a default.
    pub by_default: bool,
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
    /// The first part was typed. When the screen is looked at again.
    InPart(TimestampMs),
}

/// Whether an answer is the one that counts.
enum Claim {
    Granted,
    /// Another one was first.
    Taken,
    /// Its prompt is over.
    Moved,
}

/// What is known of whether who asked still waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// It is to be looked at.
    Unknown,
    /// It is known when there are more looks than that. Since when it did not wait, if that is so.
    After(u64, Option<TimestampMs>),
    /// It has not waited since the first time. The second one is that of the next look.
    Not(TimestampMs, TimestampMs),
}

#[derive(Debug)]
pub(super) struct Pending {
    answer: Answer,
    /// None once it was told: what the host says then is still to be known.
    tell: Option<Tell>,
    stage: Stage,
    until: TimestampMs,
    awaited: Awaited,
    /// The input that the host types now: that of the answer, or of its rest.
    typed_as: InputId,
    /// When the first part was sent.
    sent_ms: TimestampMs,
    rest: Option<Rest>,
}

impl Pending {
    /// When patience ends: with a screen that does not rest, or with the host that has it.
    fn due(&self) -> Option<TimestampMs> {
        match self.stage {
            Stage::Due(_) => Some(match self.awaited {
                Awaited::Not(_, again) => again.min(self.until),
                _ => self.until,
            }),
            Stage::Sent(until) => self.tell.is_some().then_some(until),
            Stage::InPart(look) => Some(look),
        }
    }

    /// Its first part was typed.
    fn is_in_part(&self) -> bool {
        self.rest.as_ref().is_some_and(Rest::is_due)
    }

    /// What is said where `why` keeps the rest from being typed; none: no part was.
    fn in_part(&self, id: SessionId, is_answered: bool) -> Option<Result<InputReceipt, HubError>> {
        self.rest.as_ref().filter(|rest| rest.is_due()).map(|rest| rest.given_up(id, is_answered))
    }

    /// Has another one who waits told the same.
    fn tell_too(&mut self, other: Tell) {
        let own = self.tell.take();
        self.tell = Some(Tell::new(move |outcome| {
            own.into_iter().for_each(|own| own.tell(outcome.clone()));
            other.tell(outcome);
        }));
    }

    fn tell(&mut self, outcome: Result<InputReceipt, HubError>) {
        if let Some(tell) = self.tell.take() {
            tell.tell(outcome);
        }
    }
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
        self.verdict().is_some_and(|verdict| self.hands.are_at(verdict))
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

    /// Whether a program reads the terminal on which all of this output is shown; none: that is not known.
    fn is_read(&self, output: u64) -> Option<bool> {
        let known = self.ahead.as_ref().into_iter().chain(self.arbiter.evidence());
        let of_it = known.into_iter().find(|evidence| evidence.output_bytes == output)?;
        // A secret is no line that shows its keys.
        let hides = of_it.modes.is_some_and(|modes| modes.canonical && !modes.echo);
        Some((of_it.opaque || !of_it.readers.is_empty()) && !hides)
    }

    /// The processes that could get what is typed, where that are several: those that read the session's own terminal. A program that
    /// passes on each key to a terminal inside does not let its own one collect lines: where it does, the program there and the one
    /// inside read for themselves.
    fn rivals(&self) -> Option<String> {
        let known = self.ahead.as_ref().into_iter().chain(self.arbiter.evidence());
        let newest = known.max_by_key(|evidence| evidence.output_bytes)?;
        let sits = |reader: &Reader| reader.how == ReaderHow::Read;
        // One that passes on lines listens to both terminals.
        let collects_lines = newest.modes.is_some_and(|modes| modes.canonical)
            && newest.readers.iter().any(|reader| !reader.nested && !reader.foreign && sits(reader));
        let reads = |reader: &Reader| !reader.nested || (collects_lines && sits(reader));
        let waiting = || newest.readers.iter().filter(|reader| !reader.foreign && !reader.sleeps);
        // What a program passes on to a terminal inside goes to one of those that read there. The shells of an agent get what it types itself.
        let mut inside: BTreeMap<u32, Vec<&Reader>> = BTreeMap::new();
        for reader in waiting().filter(|reader| self.arbiter.is_plain() && reader.nested && !reader.outer) {
            inside.entry(reader.inside).or_default().push(reader);
        }
        several(waiting().filter(|reader| reads(reader)))
            .or_else(|| inside.into_values().find_map(|readers| several(readers.into_iter())))
    }

    /// Nothing of it was typed: another one may come.
    fn release(&mut self, answer: &Answer) {
        if self.answered == Some((answer.episode, answer.input)) {
            self.answered = None;
        }
    }
}

/// The names of these processes in the order of their pids, where they are more than one.
fn several<'a>(readers: impl Iterator<Item = &'a Reader>) -> Option<String> {
    let names: BTreeMap<u32, &str> = readers.map(|reader| (reader.pid, reader.name.as_str())).collect();
    (names.len() > 1).then(|| names.into_values().collect::<Vec<_>>().join(", "))
}

impl Session {
    /// Takes an answer. The first one of a prompt counts.
    pub(in crate::hub) fn answer(&mut self, answer: Answer, tell: Tell, env: &mut Env) {
        let id = self.id;
        let Some(monitored) = &mut self.monitored else {
            return tell.tell(Err(HubError::NotATerminal { id }));
        };
        // Its prompt may be over by now, as it was answered.
        if let Some((_, receipt)) = monitored.written.as_ref().filter(|(input, _)| *input == answer.input) {
            return tell.tell(Ok(receipt.clone()));
        }
        match monitored.claim(&answer) {
            Claim::Taken => tell.tell(Err(HubError::Answered { id })),
            Claim::Moved if answer.repeated => tell.tell(Err(HubError::Unknown { id })),
            Claim::Moved => {
                monitored.arbiter.answer_refused();
                env.judge.push(id);
                let screen = self.lowest_rows(|_| (), env);
                tell.tell(Err(HubError::PromptMoved { id, screen }));
            }
            Claim::Granted => {
                let patience = if monitored.looks_for(&answer) { FIRST_LOOK_MS } else { RESTLESS_MS };
                let until = env.clock.now() + patience;
                let own =
                    |pending: &&mut Pending| pending.answer.input == answer.input && pending.is_in_part();
                if let Some(pending) = monitored.answers.iter_mut().find(own) {
                    return pending.tell_too(tell);
                }
                let (stage, typed_as) = (Stage::Due(self.next), answer.input);
                let tell = Some(tell);
                monitored.answers.push(Pending {
                    answer,
                    tell,
                    stage,
                    until,
                    awaited: Awaited::Unknown,
                    typed_as,
                    sent_ms: 0,
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
            if let Stage::InPart(look) = pending.stage
                && now >= look
                && self.type_rest(monitored, &mut pending, now, env)
            {
                continue;
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
                            self.refuse(monitored, &pending.answer, env);
                            let screen = self.lowest_rows(|_| (), env);
                            pending.tell(Err(match pending.answer.repeated {
                                true => HubError::Unknown { id: self.id },
                                false => HubError::PromptMoved { id: self.id, screen },
                            }));
                            continue;
                        }
                        let takes_keys = monitored.arbiter.takes_keys();
                        if let Some(error) = self.untypable(monitored, &pending.answer, &view) {
                            self.refuse(monitored, &pending.answer, env);
                            pending.tell(Err(error));
                            continue;
                        }
                        match self.is_awaited(monitored, &mut pending, now, env) {
                            // Also what somebody typed before this life of the node.
                            Some(true) if monitored.line_begun && monitored.arbiter.collects_lines() => {
                                monitored.release(&pending.answer);
                                pending.tell(Err(HubError::Typed { id: self.id }));
                                continue;
                            }
                            Some(true) => {}
                            Some(false) => {
                                self.refuse(monitored, &pending.answer, env);
                                pending.tell(Err(HubError::NotAwaited { id: self.id }));
                                continue;
                            }
                            None => {
                                monitored.answers.push(pending);
                                continue;
                            }
                        }
                        let mut bytes = pending.answer.bytes.clone();
                        pending.rest = Rest::of(&mut bytes, &view, takes_keys);
                        pending.sent_ms = now;
                        self.send_answer(pending.typed_as, &bytes, env);
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

    /// Whether who asked still waits, by a look that was taken after the answer came. None: that is not known yet.
    fn is_awaited(
        &mut self,
        monitored: &mut Monitored,
        pending: &mut Pending,
        now: TimestampMs,
        env: &mut Env,
    ) -> Option<bool> {
        // A look that is under way may have been taken before the answer came.
        let is_under_way = monitored.probing && monitored.ahead.is_none();
        let next = monitored.looks + u64::from(is_under_way);
        match pending.awaited {
            Awaited::Unknown => {
                pending.awaited = Awaited::After(next, None);
                pending.until = pending.until.max(now + LOOK_MS);
            }
            Awaited::After(looks, since) if monitored.looks > looks => {
                let newest = monitored.newest.as_ref();
                if newest.is_some_and(|look| monitored.arbiter.is_awaited(look, os::lives)) {
                    return Some(true);
                }
                let since = since.unwrap_or(now);
                if now - since >= IDLE_MS {
                    return Some(false);
                }
                pending.awaited = Awaited::Not(since, now + LOOK_AGAIN_MS);
            }
            Awaited::Not(since, again) if now >= again => {
                pending.awaited = Awaited::After(next, Some(since));
            }
            Awaited::After(..) | Awaited::Not(..) => {}
        }
        if now >= pending.until {
            return Some(false);
        }
        if matches!(pending.awaited, Awaited::After(..)) {
            self.probe_anew(monitored, env);
        }
        None
    }

    /// Why this answer is not typed at this screen.
    fn untypable(&self, monitored: &Monitored, answer: &Answer, view: &ScreenView) -> Option<HubError> {
        let id = self.id;
        if let Some(names) = monitored.rivals() {
            return Some(HubError::SeveralRead { id, names });
        }
        if answer.by_default
            && let Some(name) = monitored.arbiter.passes_out_of_sight()
        {
            return Some(HubError::OutOfSight { id, name });
        }
        let is_plain = monitored.arbiter.is_plain();
        if is_plain && monitored.arbiter.asks_elsewhere(view) {
            return Some(HubError::Elsewhere { id });
        }
        let types_words = answer.bytes.first().is_some_and(|first| !first.is_ascii_control());
        if monitored.arbiter.takes_keys() && types_words && view.is_prefilled() {
            return Some(HubError::Prefilled { id });
        }
        if !answer.is_line {
            return None;
        }
        let lines = monitored.arbiter.collects_lines();
        if !lines && is_plain && self.model.as_ref().is_some_and(|model| model.screen.is_on_text()) {
            return Some(HubError::Prefilled { id });
        }
        if !lines && is_plain && !self.shows_line(view) {
            return Some(HubError::NoLine { id });
        }
        // An agent that waits for its next task shows a line, whatever else its screen shows.
        if monitored.verdict().is_some_and(|verdict| verdict.kind == PromptKind::Idle) {
            return None;
        }
        let chooses = view.chooses(lines) || view.awaits_key();
        chooses.then_some(HubError::NoLine { id })
    }

    /// Whether a program that takes each key as it comes may be at a line: no row is pointed at by its colour.
    fn shows_line(&self, view: &ScreenView) -> bool {
        let points = self.model.as_ref().is_some_and(|model| model.screen.points_by_colour());
        view.shows_line() && !points
    }

    /// Types the rest of an answer where the screen shows that it is wanted. Returns whether the answer is over.
    fn type_rest(
        &mut self,
        monitored: &mut Monitored,
        pending: &mut Pending,
        now: TimestampMs,
        env: &mut Env,
    ) -> bool {
        let view = self.view(env);
        let is_read = monitored.is_read(self.next);
        let Some(rest) = &mut pending.rest else { return true };
        let holds = monitored.is_for_verdict(&pending.answer)
            && view.as_ref().is_some_and(|view| match rest.follows_key() {
                true => monitored.arbiter.holds_around(view, now),
                false => monitored.arbiter.holds_above(view, now),
            });
        let (bytes, given_up) = (rest.bytes.clone(), rest.given_up(self.id, false));
        // Somebody typed between the two: the rest would follow that.
        let next = if monitored.hands.typed_since(pending.sent_ms) {
            Next::Over(given_up.clone())
        } else {
            rest.look(self.id, Seen { view: view.as_ref(), is_read, holds }, now)
        };
        let is_wanted = next == Next::Type;
        match next {
            Next::Later(look) => {
                pending.awaited = Awaited::Unknown;
                pending.stage = Stage::InPart(look);
            }
            // What is known of who reads may be older than the moment in which the program gave up. One look that is newer and finds it
            // waiting is enough: a program that works most of the time is seldom found waiting twice.
            Next::Ask | Next::Type => match self.is_awaited(monitored, pending, now, env) {
                Some(true) if is_wanted => {
                    // The host types each input once.
                    pending.typed_as = following(pending.answer.input);
                    self.send_answer(pending.typed_as, &bytes, env);
                    pending.stage = Stage::Sent(now + SENT_MS);
                }
                Some(false) if is_wanted => {
                    pending.tell(given_up);
                    return true;
                }
                found => {
                    if found.is_some() {
                        pending.awaited = Awaited::Unknown;
                    }
                    pending.stage = Stage::InPart(now + REST_LOOK_MS);
                }
            },
            Next::Over(outcome) => {
                if outcome.as_ref().is_err_and(|error| !error.may_have_typed()) {
                    self.refuse(monitored, &pending.answer, env);
                }
                pending.tell(outcome);
                return true;
            }
        }
        false
    }

    /// Nothing was answered: another answer may come, to what stands there now.
    fn refuse(&self, monitored: &mut Monitored, answer: &Answer, env: &mut Env) {
        monitored.release(answer);
        monitored.arbiter.answer_refused();
        env.judge.push(self.id);
    }

    fn send_answer(&mut self, input: InputId, bytes: &[u8], env: &mut Env) {
        let input_bytes = self.typing.expected();
        let (session, output_bytes) = (self.id, self.next);
        env.say(&ToHost::InputAt { session, input, output_bytes, input_bytes });
        let modes = self.model.as_ref().map(|model| model.screen.modes()).unwrap_or_default();
        let bytes = modes.keys(bytes);
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
        let all: Vec<Pending> = monitored.answers.extract_if(.., |it| it.typed_as == input).collect();
        let (any, now, id) = (!all.is_empty(), env.clock.now(), self.id);
        for mut pending in all {
            let outcome = match outcome {
                Ok(receipt) => {
                    monitored.typed(TypedKeys::Answer, &self.redactor, now);
                    if let Some(rest) = pending.rest.as_mut().filter(|rest| !rest.is_due()) {
                        pending.stage = Stage::InPart(rest.first_typed(receipt.clone(), now));
                        monitored.answers.push(pending);
                        continue;
                    }
                    monitored.written = Some((pending.answer.input, receipt.clone()));
                    Ok(receipt.clone())
                }
                Err(error) => pending.in_part(id, false).unwrap_or_else(|| Err(error.clone())),
            };
            if outcome.as_ref().is_err_and(|error| !error.may_have_typed()) {
                monitored.release(&pending.answer);
            }
            pending.tell(outcome);
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
            if pending.typed_as == input && pending.is_in_part() {
                pending.rest.iter_mut().for_each(Rest::look_again);
                pending.stage = Stage::InPart(now);
            } else if pending.typed_as == input {
                // The line is another one then.
                pending.rest = None;
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
            // The program may have ended by its key, unless the rest was sent.
            let is_answered = matches!(pending.stage, Stage::InPart(_));
            let in_part = pending.in_part(self.id, is_answered).filter(|_| !why.may_have_typed());
            if let Some(outcome) = in_part {
                pending.tell(outcome);
                continue;
            }
            if !matches!(pending.stage, Stage::Sent(_) | Stage::InPart(_)) {
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
        let answer = Answer {
            session,
            episode: 1,
            hash: String::new(),
            input,
            bytes: Vec::new(),
            is_line: false,
            again: false,
            repeated: false,
            by_default: false,
        };
        let (said, heard) = std::sync::mpsc::channel();
        let tell = Some(Tell::new(move |outcome| drop(said.send(outcome))));
        let (stage, until) = (Stage::Due(0), RESTLESS_MS);
        let awaited = Awaited::Unknown;
        let mut pending =
            Pending { answer, tell, stage, until, awaited, typed_as: input, sent_ms: 0, rest: None };
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
