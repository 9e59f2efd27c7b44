//! One run as people see it, done one thing after the other: which requests succeed in which state, and what they show.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cis_core::api::RunView;
use cis_core::event::{RetryScope, RunState};
use cis_core::federation::control::Verb;
use cis_core::ids::TaskId;

use crate::history::Seen;

/// How the approval of a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gate {
    Closed,
    Asked,
    Approved(String),
    Rejected(String),
    Expired,
    Over,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    state: RunState,
    cancelling: Option<Cancelling>,
    gates: BTreeMap<TaskId, Gate>,
    /// Gates whose approval a takeover voided: what was given to a worker by then is at work all the same.
    void: BTreeSet<TaskId>,
    /// A cancel was: sessions may have been ended by then.
    void_cancel: bool,
    /// A person ended it before its time. A retry of handlers alone keeps that end, and which tasks failed is not in this model.
    was_cancelled: bool,
    /// What the request that was carried out last has yet to show: nothing comes between.
    due: VecDeque<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Cancelling {
    by_time: bool,
    at_once: bool,
}

impl Stand {
    /// A run that has just begun.
    pub(crate) fn new(gates: BTreeSet<TaskId>) -> Self {
        let gates = gates.into_iter().map(|task| (task, Gate::Closed)).collect();
        let (void, due) = (BTreeSet::new(), VecDeque::new());
        let (void_cancel, was_cancelled) = (false, false);
        Self { state: RunState::Running, cancelling: None, gates, void, void_cancel, was_cancelled, due }
    }

    /// Something that a coordinator showed does not count any more. What it did to sessions is not undone by that.
    pub(crate) fn is_void(&mut self, seen: &Seen) {
        match seen {
            Seen::Approved(task, _) => drop(self.void.insert(task.clone())),
            Seen::Cancelling { .. } => self.void_cancel = true,
            _ => {}
        }
    }

    pub(crate) fn due(&self) -> &VecDeque<Seen> {
        &self.due
    }

    /// What a request of `by` shows if it is carried out now; or what its refusal says.
    pub(crate) fn invoke(&self, verb: &Verb, by: &str) -> Result<Vec<Seen>, String> {
        let (state, cancelling) = (self.state, self.cancelling);
        let ended = || Err(format!("has ended ({state})"));
        match verb {
            Verb::Pause {} if cancelling.is_some() => Err("is being cancelled".into()),
            Verb::Pause {} | Verb::Resume {} | Verb::Cancel { .. } if state.is_terminal() => ended(),
            Verb::Pause {} if state == RunState::Running => Ok(vec![Seen::Paused]),
            Verb::Pause {} => Err(format!("is {state}: only a running one")),
            Verb::Resume {} if state == RunState::Paused => Ok(vec![Seen::Resumed]),
            Verb::Resume {} => Err(format!("is {state}: only a paused one")),
            Verb::Cancel { now } => {
                let resumed = (state == RunState::Paused).then_some(Seen::Resumed);
                let times = match cancelling.map(|known| known.at_once) {
                    None => 1 + usize::from(*now),
                    Some(at_once) => usize::from(*now && !at_once),
                };
                let told = std::iter::repeat_n(Seen::Cancelling { by_time: false }, times);
                Ok(resumed.into_iter().chain(told).collect())
            }
            Verb::Retry { of } if state.is_terminal() => {
                let closed = match of {
                    RetryScope::All => self.gates.keys().cloned().collect(),
                    _ => BTreeSet::new(),
                };
                Ok(vec![Seen::Retried(of.clone(), closed)])
            }
            Verb::Retry { .. } => Err(format!("is {state}: only an ended one")),
            Verb::Decide { task, decision } => match self.gates.get(task) {
                Some(Gate::Asked) if decision.approve => Ok(vec![Seen::Approved(task.clone(), by.into())]),
                Some(Gate::Asked) => Ok(vec![Seen::Rejected(task.clone(), by.into())]),
                Some(Gate::Approved(first)) => Err(format!("was approved by {first} already")),
                Some(Gate::Rejected(first)) => Err(format!("rejected by {first}")),
                Some(Gate::Expired) => Err("nobody approved it within".into()),
                Some(Gate::Closed | Gate::Over) => Err("nobody is asked to approve it now".into()),
                None => Err("needs no approval".into()),
            },
            Verb::Start {} | Verb::Answer { .. } | Verb::Kill { .. } => Err("is not asked for here".into()),
        }
    }

    /// Whether a request is refused with these words now.
    pub(crate) fn refuses(&self, verb: &Verb, said: &str) -> bool {
        // How the tasks of an ended run ended is not in this model.
        let has_none = matches!(verb, Verb::Retry { of: RetryScope::Failed })
            && self.state.is_terminal()
            && said.contains("has no task to run again");
        has_none || self.invoke(verb, "").is_err_and(|why| said.contains(&why))
    }

    /// Carries a request out: what it shows has to be seen next.
    pub(crate) fn carry_out(&mut self, shows: Vec<Seen>) {
        self.due = shows.into();
    }

    /// Whether an event may be what a request is to show.
    pub(crate) fn is_shown(due: &Seen, seen: &Seen) -> bool {
        match (due, seen) {
            // Which tasks failed is not in this model.
            (Seen::Retried(RetryScope::Failed, _), Seen::Retried(RetryScope::Failed, _)) => true,
            (due, seen) => due == seen,
        }
    }

    /// Takes what the story shows next: on request, or by itself.
    pub(crate) fn see(&mut self, seen: &Seen) -> Result<(), String> {
        match (self.due.pop_front(), seen) {
            (Some(due), seen) if Self::is_shown(&due, seen) => {}
            (Some(due), _) => return Err(format!("{due:?} was to be seen")),
            (None, Seen::Asked(_) | Seen::Expired(_) | Seen::Over(_)) => {}
            (None, Seen::Begun(..) | Seen::Ended(_)) => {}
            (None, Seen::Cancelling { by_time: true }) => {}
            // A run that takes too long goes on, to be ended.
            (None, Seen::Resumed) => self.due.push_back(Seen::Cancelling { by_time: true }),
            (None, _) => return Err("nobody asked for it".to_owned()),
        }
        self.apply(seen)
    }

    /// What the story shows, for whichever request.
    pub(crate) fn apply(&mut self, seen: &Seen) -> Result<(), String> {
        let is_open = !self.state.is_terminal();
        let asks = self.gates.values().any(|gate| *gate == Gate::Asked);
        let gate = |gates: &mut BTreeMap<TaskId, Gate>, task: &TaskId, from: Gate, to: Gate| {
            let known = gates.get_mut(task).filter(|known| is_open && **known == from);
            known.map(|known| *known = to).is_some()
        };
        let (gates, void) = (&mut self.gates, &mut self.void);
        let follows = match seen {
            Seen::Paused => {
                let was = std::mem::replace(&mut self.state, RunState::Paused);
                was == RunState::Running && self.cancelling.is_none()
            }
            Seen::Resumed => std::mem::replace(&mut self.state, RunState::Running) == RunState::Paused,
            Seen::Cancelling { by_time } => {
                self.cancelling = Some(match self.cancelling {
                    Some(known) => Cancelling { at_once: true, ..known },
                    None => Cancelling { by_time: *by_time, at_once: false },
                });
                self.state == RunState::Running
            }
            Seen::Retried(scope, closed) => {
                self.was_cancelled &= *scope != RetryScope::All;
                closed.iter().for_each(|task| drop(gates.insert(task.clone(), Gate::Closed)));
                (self.state, self.cancelling) = (RunState::Running, None);
                !is_open
            }
            Seen::Asked(task) => gate(gates, task, Gate::Closed, Gate::Asked),
            Seen::Approved(task, by) => gate(gates, task, Gate::Asked, Gate::Approved(by.clone())),
            Seen::Rejected(task, by) => gate(gates, task, Gate::Asked, Gate::Rejected(by.clone())),
            Seen::Expired(task) => gate(gates, task, Gate::Asked, Gate::Expired),
            Seen::Over(task) => {
                let _ = gate(gates, task, Gate::Closed, Gate::Over);
                let _ = gate(gates, task, Gate::Asked, Gate::Over);
                is_open
            }
            Seen::Begun(task, _) => match gates.get(task) {
                Some(Gate::Approved(_)) => is_open,
                Some(Gate::Asked) => void.contains(task) && gate(gates, task, Gate::Asked, Gate::Over),
                Some(Gate::Over) => void.contains(task),
                _ => false,
            },
            Seen::Ended(state) => {
                let cancelling = self.cancelling.take();
                let meant = match cancelling {
                    Some(Cancelling { by_time: false, .. }) => *state == RunState::Cancelled,
                    Some(_) => *state == RunState::Failed,
                    None => *state != RunState::Cancelled || self.void_cancel || self.was_cancelled,
                };
                self.was_cancelled |= cancelling.is_some_and(|known| !known.by_time);
                self.state = *state;
                meant && is_open && !asks
            }
        };
        if follows { Ok(()) } else { Err("it does not follow".to_owned()) }
    }

    /// Whether a response shows the run as it is.
    pub(crate) fn is_shown_by(&self, view: &RunView) -> bool {
        let asked = self.gates.iter().filter(|(_, gate)| **gate == Gate::Asked);
        let shown: BTreeSet<&TaskId> = view.approvals.iter().collect();
        (view.state, view.cancelling) == (self.state, self.cancelling.is_some())
            && shown == asked.map(|(task, _)| task).collect()
    }
}
