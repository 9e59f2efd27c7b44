//! Runs come and go, and what is counted over all of them: sessions, wakes, who could start something.

use super::{Machine, Slot};
use crate::event::{ExecutionMode, RunState};
use crate::ids::RunId;
use crate::scheduler::narrow::narrow;
use crate::scheduler::state::Run;

impl Machine {
    pub(super) fn put(&mut self, mut run: Run) {
        let id = run.id();
        self.take(id);
        run.index.untold();
        self.runs.insert(id, Slot { run, wake: None, live: 0 });
        self.touch(id);
    }

    /// Lets go of a run.
    pub(super) fn take(&mut self, id: RunId) -> Option<Run> {
        let mut slot = self.runs.remove(&id)?;
        self.live -= slot.live;
        if let Some(at_ms) = slot.wake {
            self.wakes.remove(&(at_ms, id));
        }
        self.hungry.remove(&id);
        self.roaming.remove(&id);
        self.nodes.forget(id);
        self.ended.remove(&id);
        self.uncount_groups(&mut slot.run);
        Some(slot.run)
    }

    /// Brings the indexes over all runs up to date with this one.
    pub(super) fn touch(&mut self, id: RunId) {
        let ours = self.runs.get(&id).is_some_and(|slot| self.is_ours(&slot.run));
        let Some(slot) = self.runs.get_mut(&id) else { return };
        let wake = slot.run.next_wake().filter(|_| ours);
        if wake != slot.wake {
            if let Some(at_ms) = slot.wake {
                self.wakes.remove(&(at_ms, id));
            }
            self.wakes.extend(wake.map(|at_ms| (at_ms, id)));
            slot.wake = wake;
        }
        let live = match slot.run.facts().mode {
            ExecutionMode::Matrix => {
                let here = |index: &u32| {
                    slot.run.entry(*index).live.as_ref().is_some_and(|live| live.node == self.node)
                };
                narrow(slot.run.live().filter(here).count())
            }
            ExecutionMode::Local | ExecutionMode::Hybrid => slot.run.live_count(),
        };
        self.live = self.live + live - slot.live;
        slot.live = live;
        if slot.run.state().is_terminal() {
            self.ended.insert(id);
        } else {
            self.ended.remove(&id);
        }
        self.count_groups(id);
        self.look_for_hunger(id);
    }

    /// Notes whether a run could start something.
    pub(super) fn look_for_hunger(&mut self, id: RunId) {
        let Some(slot) = self.runs.get(&id) else { return };
        let run = &slot.run;
        let hungry = self.is_ours(run)
            && run.state() == RunState::Running
            && run.index.next().is_some()
            && run.room() > 0;
        let (this, other) = match run.facts().mode {
            ExecutionMode::Matrix => (&mut self.roaming, &mut self.hungry),
            ExecutionMode::Local | ExecutionMode::Hybrid => (&mut self.hungry, &mut self.roaming),
        };
        other.remove(&id);
        if hungry && !self.nodes.is_held(id) {
            this.insert(id);
        } else {
            this.remove(&id);
        }
    }
}
