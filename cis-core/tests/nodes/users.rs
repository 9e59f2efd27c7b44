//! People at all nodes who pause, resume, cancel, retry and decide at the same time, and what carries their requests.

use cis_core::api::Decide;
use cis_core::event::RetryScope;
use cis_core::federation::control::{Control, Verb};
use cis_core::ids::TaskId;

use crate::history::{History, gates};
use crate::node::Node;
use crate::plan::{did, number, run};
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
        told.into_iter().try_for_each(|told| users.history.take(at, told))
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
        let leads = |node: &Node| {
            let life = node.life.as_ref();
            life.is_some_and(|life| life.coordinator.epoch(run()).is_some())
        };
        for _ in 0..count {
            let leader = self.nodes.iter().find(|node| leads(node)).map(|node| node.at);
            let at = match leader {
                Some(at) if self.rng.percent(35) => at,
                _ => usize::try_from(self.rng.below(self.nodes.len() as u64)).unwrap(),
            };
            if let Some(verb) = self.wish() {
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
