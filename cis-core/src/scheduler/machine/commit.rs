//! Tasks with `commit = "room"`: none of them is granted before the results that it builds on are final in the room.
//!
//! Owns which of them the driver was asked about. What is final is the driver's to say: it knows how far the journal was read back.

use std::collections::{BTreeMap, BTreeSet};

use super::Machine;
use crate::dag::Commit;
use crate::event::{ExecutionMode, TaskState};
use crate::ids::RunId;
use crate::scheduler::input::Effect;
use crate::scheduler::state::Run;

#[derive(Debug, Clone, Default)]
pub(super) struct Commits {
    runs: BTreeMap<RunId, Of>,
}

#[derive(Debug, Clone, Default)]
struct Of {
    /// Number of the newest question.
    newest: u64,
    /// Tasks that could start but for this.
    tasks: BTreeMap<u32, Stand>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// This question is about it.
    Asked(u64),
    /// All that happened before the task could start is final.
    Final,
}

impl Commits {
    /// Looks at tasks of a run that could start. Gives the number of a question about those that are new.
    fn look(&mut self, run: &Run) -> Option<u64> {
        let of = self.runs.entry(run.id()).or_default();
        // One that a worker gave back builds on the same results as before.
        of.tasks.retain(|index, _| matches!(run.entry(*index).state, TaskState::Queued | TaskState::Running));
        let waits = |index: &u32| run.spec(*index).commit == Commit::Room && !of.tasks.contains_key(index);
        let new: BTreeSet<u32> = run.index.ready().filter(waits).collect();
        if new.is_empty() {
            return None;
        }
        of.newest += 1;
        let asked = Stand::Asked(of.newest);
        of.tasks.extend(new.into_iter().map(|index| (index, asked)));
        Some(of.newest)
    }

    /// Whether a task may be granted as far as this goes.
    pub(super) fn lets(&self, run: &Run, index: u32) -> bool {
        let stand = || self.runs.get(&run.id()).and_then(|of| of.tasks.get(&index));
        run.spec(index).commit == Commit::Coordinator || stand() == Some(&Stand::Final)
    }

    fn answered(&mut self, run: RunId, number: u64) {
        let tasks = self.runs.get_mut(&run).into_iter().flat_map(|of| of.tasks.values_mut());
        for stand in tasks.filter(|stand| matches!(stand, Stand::Asked(asked) if *asked <= number)) {
            *stand = Stand::Final;
        }
    }

    /// What was asked may never be answered, as it is not known any more, or not yet, how far the journal was read back.
    pub(super) fn ask_anew(&mut self, run: RunId) {
        if let Some(of) = self.runs.get_mut(&run) {
            of.tasks.clear();
        }
    }

    pub(super) fn forget(&mut self, run: RunId) {
        self.runs.remove(&run);
    }
}

impl Machine {
    /// Asks whether the room has what came before the tasks of a run that could start now.
    pub(super) fn ask_room(&mut self, id: RunId) {
        let Some(slot) = self.runs.get(&id) else { return };
        let run = &slot.run;
        if run.facts().mode != ExecutionMode::Matrix || self.nodes.is_held(id) || !run.commits {
            return;
        }
        if let Some(number) = self.nodes.commits.look(run) {
            self.effects.push(Effect::AwaitRoom { run: id, number });
        }
    }

    /// Whether nothing of a run is granted, as it is not known what its workers have.
    #[must_use]
    pub fn holds_grants_of(&self, run: RunId) -> bool {
        self.nodes.is_held(run)
    }

    /// The room has all that happened in a run before question `number`.
    pub(super) fn room_has(&mut self, id: RunId, number: u64) {
        self.nodes.commits.answered(id, number);
        self.touch(id);
    }
}
