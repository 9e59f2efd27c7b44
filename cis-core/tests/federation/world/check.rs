//! What must hold in a simulated room at each moment.

use cis_core::federation::protocol::message::Granted;

use super::journal::{Fold, State};
use super::{Checked, Tree, World, index_of, task};

impl World {
    /// I1 to I3 of DESIGN, as far as this world shows them.
    pub(crate) fn check(&self) -> Checked {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        for index in 0..self.shape.tasks {
            let works = |((at, granted), tree): &(&(usize, Granted), &Tree)| {
                granted.attempt.task == task(index) && !tree.frozen && !self.nodes[*at].asleep
            };
            let trees: Vec<_> = self.trees.iter().filter(works).collect();
            if trees.len() > 1 {
                return Err(format!("two sessions of one task work: {trees:?}"));
            }
        }
        Ok(())
    }

    /// The journal as somebody reads it who reads all of it.
    pub(crate) fn truth(&self) -> Result<Fold, String> {
        let mut fold = Fold::empty(self.shape.tasks);
        for entry in &self.timeline {
            fold.take(entry)?;
        }
        for granted in &self.finals {
            let task = &fold.tasks[index_of(&granted.attempt.task)];
            if task.state != (State::Done { granted: granted.clone() }) {
                return Err(format!("the final result of {granted:?} does not count: {task:?}"));
            }
        }
        Ok(fold)
    }
}
