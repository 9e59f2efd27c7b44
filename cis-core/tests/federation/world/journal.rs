//! The journal of a run in a simulated room: its entries, and what they say together.

use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{Epoch, Fence};

use super::index_of;

/// Which entry of the journal it is. Two writers of one term are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) epoch: Epoch,
    pub(super) n: u64,
    pub(super) by: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(super) place: Place,
    pub(super) prev: Option<Place>,
    pub(super) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Body {
    Created,
    TakenOver,
    Granted {
        granted: Granted,
        worker: usize,
    },
    /// The attempt is over without a result: lost, or not taken.
    Over {
        granted: Granted,
    },
    Result {
        granted: Granted,
    },
}

/// What the journal says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fold {
    pub(super) tip: Option<Place>,
    pub(crate) tasks: Vec<Task>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Task {
    pub(super) attempts: u32,
    pub(super) fence: Fence,
    pub(crate) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) enum State {
    #[default]
    Queued,
    Live {
        granted: Granted,
        worker: usize,
    },
    Done {
        granted: Granted,
    },
}

impl Fold {
    /// Of a journal without entries.
    pub(super) fn empty(tasks: usize) -> Self {
        Self { tip: None, tasks: vec![Task::default(); tasks] }
    }

    /// Takes an entry that follows. The first one that follows the tip counts, in the order of the timeline.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<bool, String> {
        let follows = match (self.tip, &entry.body) {
            (None, Body::Created) => true,
            (Some(tip), Body::TakenOver) => entry.prev == Some(tip) && entry.place.epoch == tip.epoch + 1,
            (Some(tip), _) => {
                let place = entry.place;
                entry.prev == Some(tip) && place.epoch == tip.epoch && place.by == tip.by
            }
            _ => false,
        };
        if !follows {
            return Ok(false);
        }
        self.apply(&entry.body)?;
        self.tip = Some(entry.place);
        Ok(true)
    }

    fn apply(&mut self, body: &Body) -> Result<(), String> {
        match body {
            Body::Created | Body::TakenOver => {}
            Body::Granted { granted, worker } => {
                let task = &mut self.tasks[index_of(&granted.attempt.task)];
                if task.state != State::Queued || granted.fence <= task.fence {
                    return Err(format!("{granted:?} was granted while the task is {task:?}"));
                }
                task.attempts = granted.attempt.number;
                task.fence = granted.fence;
                task.state = State::Live { granted: granted.clone(), worker: *worker };
            }
            Body::Over { granted } => {
                let task = &mut self.tasks[index_of(&granted.attempt.task)];
                match &task.state {
                    State::Live { granted: live, .. } if live == granted => task.state = State::Queued,
                    state => return Err(format!("{granted:?} is over while the task is {state:?}")),
                }
            }
            Body::Result { granted } => {
                let task = &mut self.tasks[index_of(&granted.attempt.task)];
                match &task.state {
                    State::Live { granted: live, .. } if live == granted => {
                        task.state = State::Done { granted: granted.clone() };
                    }
                    state => {
                        return Err(format!("a result of {granted:?} counts while the task is {state:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.tip.map_or(0, |tip| tip.epoch)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.tasks.iter().all(|task| matches!(task.state, State::Done { .. }))
    }
}
