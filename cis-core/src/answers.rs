//! Which answer to an item of a session counts: the first one, until it proves not to have been typed. The node that has the session
//! decides, alone.
//!
//! Owns who answered what first, and the decision about an answer that comes. Records nothing and types nothing.

use std::collections::VecDeque;

use crate::federation::session_news::SessionNews;
use crate::ids::{InboxId, InputId, SessionId, TimestampMs};

/// Answers that are remembered for late ones. Answers to prompts that are still open are remembered beyond that.
const REMEMBERED_MAX: usize = 256;

/// The answer of an item that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAnswer {
    /// Who gave it.
    pub by: String,
    /// When it was taken.
    pub at_ms: TimestampMs,
    /// Its id.
    pub input: InputId,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct FirstAnswers {
    /// The oldest first.
    answers: VecDeque<(SessionId, InboxId, FirstAnswer)>,
}

/// What the id of an answer was used for before, as the store of the node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    New,
    /// This answer.
    Same,
    /// Another request.
    Other,
}

/// An answer that comes.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    /// Its id.
    pub input: InputId,
    /// What its id was used for before.
    pub known: Known,
    /// It is one more answer, to an item that was answered at this time.
    pub again: Option<TimestampMs>,
    /// Its prompt stands on a screen: it can be typed.
    pub can_be_typed: bool,
    /// The session asked by itself: nothing is typed.
    pub is_ask: bool,
}

/// What is to be done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It counts: record it, then type it.
    First,
    /// It was recorded before. It is typed once by its id, so it can be typed again where its prompt still stands.
    Repeated,
    /// It was recorded before, was not typed, and does not count any more.
    Void,
    /// This answer was first.
    TooLate(&'a FirstAnswer),
    /// Its id belongs to another request.
    Reused,
}

impl FirstAnswers {
    /// An item of this name begins: answers to an earlier one of the same name are not for this one.
    pub fn begins(&mut self, session: SessionId, item: &InboxId) {
        self.answers.retain(|(of, known, _)| !(*of == session && known == item));
    }

    /// Records the answer that counts. `is_open` tells for which prompts answers still matter.
    pub fn record(
        &mut self,
        session: SessionId,
        item: InboxId,
        first: FirstAnswer,
        is_open: impl Fn(SessionId, &InboxId) -> bool,
    ) {
        if self.answers.len() >= REMEMBERED_MAX
            && let Some(at) = self.answers.iter().position(|(of, known, _)| !is_open(*of, known))
        {
            self.answers.remove(at);
        }
        self.answers.push_back((session, item, first));
    }

    /// Takes over what an earlier life of the node told of a session that it has for another node.
    pub fn recall(&mut self, session: SessionId, news: &SessionNews, now: TimestampMs) {
        match news {
            SessionNews::Answered { item, input, answer } => {
                let first = FirstAnswer { by: answer.by.clone(), at_ms: now, input: *input };
                self.record(session, item.clone(), first, |_, _| true);
            }
            SessionNews::AnswerVoid { item, input, .. } => {
                let _ = self.void(session, item, *input);
            }
            _ => {}
        }
    }

    /// The answer that counts.
    #[must_use]
    pub fn first(&self, session: SessionId, item: &InboxId) -> Option<&FirstAnswer> {
        let of_item = |(of, known, _): &&(SessionId, InboxId, FirstAnswer)| *of == session && known == item;
        self.answers.iter().rev().find(of_item).map(|(.., first)| first)
    }

    /// Whether the answer with this id is the one that counts.
    #[must_use]
    pub fn is_first(&self, session: SessionId, item: &InboxId, input: InputId) -> bool {
        self.first(session, item).is_some_and(|first| first.input == input)
    }

    /// An answer was not typed: another one may come. Returns false where it did not count anyway.
    pub fn void(&mut self, session: SessionId, item: &InboxId, input: InputId) -> bool {
        let before = self.answers.len();
        self.answers.retain(|(of, known, first)| !(*of == session && known == item && first.input == input));
        self.answers.len() < before
    }

    /// Decides about an answer that comes at `now`.
    #[must_use]
    pub fn decide(
        &self,
        session: SessionId,
        item: &InboxId,
        incoming: &Incoming,
        now: TimestampMs,
    ) -> Decision<'_> {
        let first = self.first(session, item);
        let is_first = first.is_some_and(|first| first.input == incoming.input);
        match (incoming.known, first) {
            _ if is_first => Decision::Repeated,
            (Known::Other, _) => Decision::Reused,
            (Known::Same, _) if incoming.can_be_typed => Decision::Void,
            (Known::Same, _) => Decision::Repeated,
            (Known::New, None) => Decision::First,
            // On purpose, by somebody who knows of the answer that is there; of several such the first.
            (Known::New, Some(first))
                if !incoming.is_ask && incoming.again == Some(first.at_ms) && first.at_ms < now =>
            {
                Decision::First
            }
            (Known::New, Some(first)) => Decision::TooLate(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AnswerRecord;

    fn session(n: u128) -> SessionId {
        SessionId::from_parts(1, n)
    }

    fn item(n: u128) -> InboxId {
        InboxId::of_ask(session(1), input(n))
    }

    fn input(n: u128) -> InputId {
        InputId::from_parts(1, n)
    }

    fn first(n: u128) -> FirstAnswer {
        FirstAnswer { by: format!("uid:{n}"), at_ms: 5, input: input(n) }
    }

    fn incoming(n: u128) -> Incoming {
        Incoming { input: input(n), known: Known::New, again: None, can_be_typed: true, is_ask: false }
    }

    #[test]
    fn only_the_first_answer_counts_until_it_proves_not_to_be_typed() {
        let mut answers = FirstAnswers::default();
        let decide = |answers: &FirstAnswers, incoming: Incoming| {
            format!("{:?}", answers.decide(session(1), &item(1), &incoming, 9))
        };
        assert_eq!(decide(&answers, incoming(1)), "First");
        answers.record(session(1), item(1), first(1), |_, _| true);
        assert!(decide(&answers, incoming(2)).starts_with("TooLate"));
        let again = |at| Incoming { again: Some(at), ..incoming(2) };
        assert_eq!(decide(&answers, again(5)), "First", "on purpose");
        assert!(decide(&answers, again(4)).starts_with("TooLate"), "another answer is there by now");
        assert!(decide(&answers, Incoming { is_ask: true, ..again(5) }).starts_with("TooLate"));
        assert_eq!(decide(&answers, incoming(1)), "Repeated");
        assert!(!answers.void(session(1), &item(1), input(2)));
        assert!(answers.void(session(1), &item(1), input(1)));
        assert_eq!(decide(&answers, Incoming { known: Known::Same, ..incoming(1) }), "Void");
        assert_eq!(decide(&answers, incoming(2)), "First");
    }

    #[test]
    fn a_known_id_is_not_taken_for_another_answer() {
        let mut answers = FirstAnswers::default();
        answers.record(session(1), item(1), first(1), |_, _| true);
        let decide = |incoming| answers.decide(session(1), &item(1), &incoming, 9);
        assert_eq!(decide(Incoming { known: Known::Other, ..incoming(2) }), Decision::Reused);
        // Somebody answered since.
        assert_eq!(decide(Incoming { known: Known::Same, ..incoming(2) }), Decision::Void);
        // Its prompt is over: there is nothing to type any more.
        let over = Incoming { known: Known::Same, can_be_typed: false, ..incoming(2) };
        assert_eq!(decide(over), Decision::Repeated);
    }

    #[test]
    fn answers_are_recalled_from_the_news_of_a_session() {
        let mut answers = FirstAnswers::default();
        let record =
            AnswerRecord { option: None, text: "y".into(), reason: None, by: "uid:1".into(), bytes: 1 };
        let answered = SessionNews::Answered { item: item(1), input: input(1), answer: Box::new(record) };
        answers.recall(session(1), &answered, 5);
        assert_eq!(answers.first(session(1), &item(1)), Some(&first(1)));
        answers.begins(session(1), &item(1));
        assert_eq!(answers.first(session(1), &item(1)), None, "another item of the same name");
        answers.recall(session(1), &answered, 5);
        let void = SessionNews::AnswerVoid { item: item(1), input: input(1), detail: "moved".into() };
        answers.recall(session(1), &void, 5);
        assert_eq!(answers.first(session(1), &item(1)), None);
    }

    #[test]
    fn the_answer_to_a_prompt_that_is_open_is_not_forgotten_for_others() {
        let mut answers = FirstAnswers::default();
        let (open, over) = (item(1_000_000), item(2_000_000));
        for item in [open.clone(), over.clone()].into_iter().chain((0..REMEMBERED_MAX as u128).map(item)) {
            answers.record(session(1), item, first(1), |_, item| *item == open);
        }
        assert_eq!(answers.answers.len(), REMEMBERED_MAX);
        assert!(answers.first(session(1), &open).is_some());
        assert!(answers.first(session(1), &over).is_none());
    }
}
