//! What this node recorded of a run that it coordinated, before another node took the run over.
//!
//! Owns which of that a person has to know of, if the room does not have it. Reads no store.

use std::collections::{BTreeMap, BTreeSet};

use cis_core::event::{AttemptResult, Event, EventBody};
use cis_core::federation::journal::Fact;
use cis_core::ids::{Fence, NodeDid, TaskId};

/// Task, number and fence of an attempt.
type ResultKey = (TaskId, u32, Fence);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    results: BTreeMap<ResultKey, Box<AttemptResult>>,
    /// Results that it got since it last took the run over.
    since: BTreeSet<ResultKey>,
    /// Since then it recorded that the run was paused, cancelled or ended, and the room does not have that.
    pub(super) lacks_decision: bool,
}

impl Recorded {
    /// `ever`: what the store ever heard of the run, in order, be it void since. `facts`: what the room has of the run. `is_own`: whether a
    /// key is or was that of this node.
    pub(super) fn new(ever: &[Event], facts: &[Fact], is_own: impl Fn(&NodeDid) -> bool) -> Self {
        let mut taken_back = facts.iter().rev().find_map(|fact| match &fact.body {
            EventBody::RunTakenOver { owner, epoch, .. } if is_own(owner) => Some(*epoch),
            _ => None,
        });
        let mut recorded = Self::default();
        for event in ever {
            match event.decode() {
                Ok(EventBody::TaskResult(result)) => recorded.take_result(result),
                // What the room lacked then was looked at, and this node went on without it. The store may have the takeover
                // again, as the run was read from the room another time: what is between the two is not looked at.
                Ok(EventBody::RunTakenOver { owner, epoch, .. }) => {
                    if is_own(&owner) && taken_back.take_if(|taken_back| *taken_back == epoch).is_some() {
                        recorded.since.clear();
                        recorded.lacks_decision = false;
                    }
                }
                _ => {
                    let is_it =
                        |fact: &Fact| fact.at_ms == event.at_ms && fact.body.type_name() == event.type_name;
                    recorded.lacks_decision |= !facts.iter().any(is_it);
                }
            }
        }
        recorded
    }

    fn take_result(&mut self, result: Box<AttemptResult>) {
        let has_files =
            !result.artifacts.is_empty() || result.outputs.values().any(|output| output.blob.is_some());
        let key = key(&result);
        self.since.insert(key.clone());
        // What was read from the room since has no files.
        if has_files || !self.results.contains_key(&key) {
            self.results.insert(key, result);
        }
    }

    /// Gives the room's version of a result the files and values that this node has of it.
    pub(super) fn complete(&mut self, told: &mut AttemptResult) {
        if let Some(result) = self.results.remove(&key(told)) {
            (told.artifacts, told.outputs) = (result.artifacts, result.outputs);
        }
    }

    /// The tasks that ended since this node last took the run over, by results that were not [completed](Self::complete).
    pub(super) fn ended_unknown(&self) -> impl Iterator<Item = &TaskId> {
        let since = self.results.iter().filter(|(key, _)| self.since.contains(*key));
        // One that was lost with its session, or is tried again, has not ended.
        since.filter(|(_, result)| result.state.is_terminal()).map(|(_, result)| &result.task)
    }
}

fn key(result: &AttemptResult) -> ResultKey {
    (result.task.clone(), result.attempt, result.fence)
}

#[cfg(test)]
mod tests {
    use cis_core::event::{AttemptOutcome, TaskState};
    use cis_core::ids::{Epoch, SessionId};
    use serde_json::value::RawValue;

    use super::*;

    fn taken_over(owner: &str, epoch: Epoch) -> EventBody {
        let owner = NodeDid(owner.to_owned());
        EventBody::RunTakenOver { owner, epoch, cut: 1, forced: false, voted: false, lost: false }
    }

    fn ended(task: &str) -> EventBody {
        EventBody::TaskResult(Box::new(AttemptResult {
            task: TaskId::new(task).unwrap(),
            attempt: 1,
            fence: 1,
            session: SessionId::from_parts(1, 1),
            outcome: AttemptOutcome::Succeeded,
            exit: None,
            started_ms: None,
            ended_ms: 9,
            outputs: BTreeMap::new(),
            artifacts: Vec::new(),
            files: None,
            log: None,
            cached: None,
            not_cached: None,
            cache_key: None,
            log_bytes: 0,
            lost_output: None,
            counts: false,
            state: TaskState::Succeeded,
            end: None,
            queued: None,
        }))
    }

    /// Events of the store, each with its place as its time.
    fn events(bodies: &[(i64, EventBody)]) -> Vec<Event> {
        let event = |(at_ms, body): &(i64, EventBody)| Event {
            offset: 1,
            id: ulid::Ulid::nil(),
            run: None,
            v: 1,
            type_name: body.type_name().to_owned(),
            at_ms: *at_ms,
            actor: None,
            cause: None,
            body: RawValue::from_string(body.body_json().unwrap()).unwrap(),
        };
        bodies.iter().map(event).collect()
    }

    fn facts(bodies: &[(i64, EventBody)]) -> Vec<Fact> {
        let fact = |(at_ms, body): &(i64, EventBody)| Fact {
            at_ms: *at_ms,
            actor: None,
            cause: None,
            body: body.clone(),
        };
        bodies.iter().map(fact).collect()
    }

    /// Whether the room lacks a decision of this node, and which ended tasks it does not know.
    fn unknown(ever: &[(i64, EventBody)], room: &[(i64, EventBody)]) -> (bool, Vec<String>) {
        let mut facts = facts(room);
        let mut recorded = Recorded::new(&events(ever), &facts, |did| did.0 == "own");
        for fact in &mut facts {
            if let EventBody::TaskResult(told) = &mut fact.body {
                recorded.complete(told);
            }
        }
        (recorded.lacks_decision, recorded.ended_unknown().map(ToString::to_string).collect())
    }

    #[test]
    fn what_was_cut_off_is_no_doubt_any_more_once_this_node_took_the_run_back() {
        let first = vec![(1, ended("a")), (2, EventBody::RunPaused {}), (3, ended("b"))];
        let other = vec![(1, ended("a")), (4, taken_over("other", 1))];
        let cut_off = (true, vec!["b".to_owned()]);
        assert_eq!(unknown(&first, &other), cut_off);
        // Read from the room, taken back, and taken over once more.
        let (back, again) = (vec![(5, taken_over("own", 2))], vec![(7, taken_over("other", 3))]);
        let own = vec![(6, ended("c"))];
        let ever = [first.clone(), other.clone(), back.clone(), own.clone()].concat();
        let room = [other.clone(), back.clone(), own, again.clone()].concat();
        assert_eq!(unknown(&ever, &room), (false, Vec::new()));
        // The second takeover leaves something out, too, and the room was read again since.
        let room = [other, back, again].concat();
        let read_again = [ever.clone(), room.clone()].concat();
        assert_eq!(unknown(&read_again, &room), (false, vec!["c".to_owned()]));
        let paused = [ever, vec![(8, EventBody::RunPaused {})], room.clone()].concat();
        assert_eq!(unknown(&paused, &room), (true, vec!["c".to_owned()]));
        // A takeover that the store does not have says nothing.
        assert_eq!(unknown(&first, &room), cut_off);
    }
}
