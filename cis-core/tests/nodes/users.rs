//! People at all nodes who pause, resume, cancel, retry, decide and answer at the same time, and what carries their requests.

use std::collections::BTreeSet;

use cis_core::api::{Answer, AnswerWith, Decide};
use cis_core::event::RetryScope;
use cis_core::federation::control::{Control, Verb};
use cis_core::ids::{InboxId, InputId, SessionId, TaskId};

use crate::answering::Question;
use crate::history::{History, OfPrompt, Told, gates};
use crate::host::Typing;
use crate::plan::{did, number};
use crate::seeds::has_prompts;
use crate::world::{Step, World};

/// More than so many requests and responses are not under way at once.
const LETTERS_MAX: usize = 100;

#[derive(Debug, Clone)]
pub(crate) struct Letter {
    from: usize,
    to: usize,
    said: Control,
}

#[derive(Debug, Default)]
pub(crate) struct Users {
    pub(crate) history: History,
    letters: Vec<Letter>,
    /// The prompts that stand on screens.
    standing: BTreeSet<(SessionId, u32)>,
    /// Answers that people gave.
    given: Vec<(SessionId, InboxId, InputId)>,
}

impl World {
    /// Takes what a node did for people.
    pub(crate) fn take_told(&mut self, at: usize) -> Step {
        let out = &mut self.nodes[at].out;
        let (letters, told) = (std::mem::take(&mut out.letters), std::mem::take(&mut out.told));
        let Some(users) = &mut self.users else { return Ok(()) };
        for (to, said) in letters {
            if !self.cut.contains(&(at.min(to), at.max(to))) && users.letters.len() < LETTERS_MAX {
                users.letters.push(Letter { from: at, to, said });
            }
        }
        told.into_iter().try_for_each(|told| users.history.take(at, told))?;
        self.look_at_screens()
    }

    /// Notes which prompts stand.
    pub(crate) fn look_at_screens(&mut self) -> Step {
        if !has_prompts(self.plan.seed) {
            return Ok(());
        }
        let Some(users) = &mut self.users else { return Ok(()) };
        let trees = self.nodes.iter().flat_map(|node| &node.host.trees);
        let now: BTreeSet<(SessionId, u32)> =
            trees.filter(|(_, tree)| tree.stands()).map(|(session, tree)| (*session, tree.asked)).collect();
        let before = std::mem::replace(&mut users.standing, now.clone());
        let gone = before
            .difference(&now)
            .map(|(session, episode)| OfPrompt::Gone { session: *session, episode: *episode });
        let new = now
            .difference(&before)
            .map(|(session, episode)| OfPrompt::Stands { session: *session, episode: *episode });
        gone.chain(new).try_for_each(|shown| users.history.take(0, Told::Prompt(shown)))
    }

    /// A slow session host types.
    pub(crate) fn type_late(&mut self, at: usize, session: SessionId) -> Step {
        let Some(Typing { session, episode, input, .. }) = self.nodes[at].host.type_late(session) else {
            return Ok(());
        };
        self.note(format_args!("the host of {at} types {input} at last"));
        self.reached.insert("typed late");
        let Some(users) = &mut self.users else { return Ok(()) };
        users.history.take(at, Told::Prompt(OfPrompt::Typed { session, episode, input }))
    }

    /// A person at a node answers a question that the node knows of, or gives an answer again that somebody gave.
    pub(crate) fn some_answer(&mut self, at: usize) -> Step {
        if !self.nodes[at].is_ready() || self.nodes[at].disk.term().is_none() {
            return Ok(());
        }
        let Some(users) = &self.users else { return Ok(()) };
        if self.rng.percent(25)
            && let Some((session, item, input)) = self.rng.pick(&users.given).cloned()
        {
            return self.give(at, session, item, input);
        }
        let known = self.nodes[at].disk.questions();
        let is_open = |known: &&Question| known.is_open();
        let open: Vec<Question> = known.iter().filter(is_open).cloned().collect();
        let from = if open.is_empty() || self.rng.percent(15) { known } else { open };
        let Some(Question { session, prompt, .. }) = self.rng.pick(&from).cloned() else { return Ok(()) };
        let input = self.new_input();
        self.give(at, session, prompt.item, input)
    }

    fn new_input(&mut self) -> InputId {
        let count = self.users.as_ref().map_or(0, |users| users.given.len());
        InputId::from_parts(1, count as u128 + 1)
    }

    fn give(&mut self, at: usize, session: SessionId, item: InboxId, input: InputId) -> Step {
        let Some((owner, _)) = self.nodes[at].disk.term() else { return Ok(()) };
        let Some(users) = &mut self.users else { return Ok(()) };
        let with = AnswerWith::Text { text: String::new() };
        let answer = Box::new(Answer { with, reason: None, hash: None, again: None, input });
        let verb = Verb::Answer { session, item: item.clone(), answer, beside: None, by_default: false };
        let uid = users.history.invoke(at, number(&owner), verb);
        users.given.push((session, item.clone(), input));
        self.note(format_args!("person {uid} answers {item} of {session} at {at}: {input}"));
        self.at(at, |node| node.answer_here(uid, (session, item), input))
    }

    /// People answer what waits, at the node that coordinates the run.
    pub(crate) fn answer_open(&mut self, at: usize) -> Step {
        if !has_prompts(self.plan.seed) || !self.nodes[at].is_ready() || !self.rng.percent(30) {
            return Ok(());
        }
        let known = self.nodes[at].disk.questions();
        let Some(open) = known.into_iter().find(|known| known.is_open() && known.answer.is_none()) else {
            return Ok(());
        };
        let input = self.new_input();
        self.give(at, open.session, open.prompt.item, input)
    }

    fn deliver_letter(&mut self, index: usize, again: bool) -> Step {
        let Some(users) = &mut self.users else { return Ok(()) };
        let letter = if again { users.letters[index].clone() } else { users.letters.swap_remove(index) };
        let Letter { from, to, said } = letter;
        if !self.nodes[to].is_ready() {
            return Ok(());
        }
        self.note(format_args!("{to} hears {from}: {said:?}"));
        self.at(to, |node| node.hear_control(&did(from), said))
    }

    /// Some letter arrives, or is lost, or arrives and will again.
    pub(crate) fn some_letter(&mut self, is_calm: bool) -> Step {
        let count = self.users.as_ref().map_or(0, |users| users.letters.len()) as u64;
        if count == 0 {
            return Ok(());
        }
        let index = usize::try_from(self.rng.below(count)).unwrap();
        if !is_calm && self.rng.percent(15) {
            if let Some(users) = &mut self.users {
                users.letters.swap_remove(index);
            }
            return Ok(());
        }
        let again = !is_calm && self.rng.percent(15);
        self.deliver_letter(index, again)
    }

    pub(crate) fn all_letters(&mut self) -> Step {
        for _ in 0..self.users.as_ref().map_or(0, |users| users.letters.len()) {
            self.deliver_letter(0, false)?;
        }
        Ok(())
    }

    /// A person at a node asks for something.
    pub(crate) fn ask(&mut self, at: usize, verb: Verb) -> Step {
        let Some((owner, _)) = self.nodes[at].disk.term().filter(|_| self.nodes[at].is_ready()) else {
            return Ok(());
        };
        let Some(users) = &mut self.users else { return Ok(()) };
        let uid = users.history.invoke(at, number(&owner), verb.clone());
        self.note(format_args!("person {uid} asks {at}: {verb:?}"));
        if owner == did(at) {
            self.at(at, |node| node.ask_here(uid, verb))
        } else {
            self.at(at, |node| node.ask_there(uid, owner, verb))
        }
    }

    /// Some people ask for something, each at some node.
    pub(crate) fn people_ask(&mut self) -> Step {
        let count = self.rng.between(1, 3);
        for _ in 0..count {
            let leader = self.nodes.iter().find(|node| node.leads()).map(|node| node.at);
            let at = match leader {
                Some(at) if self.rng.percent(35) => at,
                _ => usize::try_from(self.rng.below(self.nodes.len() as u64)).unwrap(),
            };
            if has_prompts(self.plan.seed) && self.rng.percent(55) {
                self.some_answer(at)?;
            } else if let Some(verb) = self.wish() {
                self.ask(at, verb)?;
            }
        }
        Ok(())
    }

    fn wish(&mut self) -> Option<Verb> {
        let is_ended = u64::from(self.room.is_ended());
        Some(match self.rng.weighted(&[50, 14, 20, 4, 3 + 40 * is_ended]) {
            0 => {
                let task = self.some_gate()?;
                let decision = Decide { approve: self.rng.percent(70), reason: None };
                Verb::Decide { task, decision }
            }
            1 => Verb::Pause {},
            2 => Verb::Resume {},
            3 => Verb::Cancel { now: self.rng.percent(30) },
            _ if self.rng.percent(50) => Verb::Retry { of: RetryScope::Failed },
            _ => Verb::Retry { of: RetryScope::All },
        })
    }

    /// A gate: in most cases one that waits, as far as the room tells.
    fn some_gate(&mut self) -> Option<TaskId> {
        let run = self.room.fold.as_ref().map(|fold| fold.run());
        let waits = |entry: &cis_core::scheduler::TaskEntry| entry.waits_for_approval();
        let asked: Vec<TaskId> = run
            .into_iter()
            .flat_map(|run| run.tasks().filter(|(_, entry)| waits(entry)).map(|(spec, _)| spec.id.clone()))
            .collect();
        let all: Vec<TaskId> = gates(&self.plan.dag).into_iter().collect();
        let from = if asked.is_empty() || self.rng.percent(20) { all } else { asked };
        self.rng.pick(&from).cloned()
    }
}
