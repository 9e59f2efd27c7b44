//! What the nodes of a simulated room do about what the halves of the protocol want.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use cis_core::api::Refusal;
use cis_core::federation::protocol::coordinator;
use cis_core::federation::protocol::message::{Grant, Granted, Message};
use cis_core::federation::protocol::worker::{self, WorkerHalf};
use cis_core::fence;
use cis_core::ids::{AttemptId, SessionId};

use super::journal::{Body, Entry, Place, State, Task};
use super::{Checked, Kept, Nothing, Packet, Tree, World, did, index_of, number, run, task};

impl World {
    pub(super) fn send(&mut self, from: usize, to: usize, message: Message<Nothing>) {
        if from == to || !self.cut.contains(&(from.min(to), from.max(to))) {
            let number = if self.merges {
                if message == (Message::Alive {}) {
                    return;
                }
                if matches!(message, Message::Heartbeat { .. }) {
                    // The receiver would not look at the older one after this one.
                    let older = |packet: &Packet, known: &Message<Nothing>| {
                        (packet.from, packet.to) == (from, to) && matches!(known, Message::Heartbeat { .. })
                    };
                    self.net.retain(|packet, known| !older(packet, known));
                }
                let mut hasher = DefaultHasher::new();
                message.hash(&mut hasher);
                hasher.finish()
            } else {
                self.packets += 1;
                self.packets
            };
            self.net.insert(Packet { number, from, to }, message);
        }
    }

    pub(super) fn work(&mut self, at: usize, effects: Vec<worker::Effect<Nothing>>) {
        let node = &mut self.nodes[at];
        for change in node.worker.as_mut().map(WorkerHalf::take_changes).unwrap_or_default() {
            match change {
                worker::Change::Keep(kept) => {
                    node.remembered.insert(kept.granted.attempt.task.clone(), Kept::from(*kept));
                }
                worker::Change::Forget(_, task) => drop(node.remembered.remove(&task)),
            }
        }
        for effect in effects {
            match effect {
                worker::Effect::Send { to, message } => self.send(at, number(&to), message),
                worker::Effect::Start { grant, lease_end } => {
                    self.note(format_args!("{at} starts {:?}", grant.granted));
                    if !self.started.insert((at, grant.granted.clone())) {
                        self.wrong = Some(format!("{at} starts {:?} once more", grant.granted));
                    }
                    if self.finals.iter().any(|done| done.attempt.task == grant.granted.attempt.task) {
                        self.wrong =
                            Some(format!("{at} starts {:?}, whose task has a final result", grant.granted));
                    }
                    let tree = Tree { frozen: false, freeze_at: lease_end, dying: false };
                    self.trees.insert((at, grant.granted), tree);
                }
                worker::Effect::Freeze(granted) => {
                    if let Some(tree) = self.trees.get_mut(&(at, granted)) {
                        tree.frozen = true;
                    }
                }
                worker::Effect::Extend { granted, lease_end } => {
                    if let Some(tree) = self.trees.get_mut(&(at, granted)).filter(|tree| !tree.dying) {
                        (tree.frozen, tree.freeze_at) = (false, lease_end);
                    }
                }
                worker::Effect::Cancel { granted, .. } | worker::Effect::Kill(granted) => {
                    // SIGKILL: nothing of it runs from now on; that it is gone is reported later.
                    if let Some(tree) = self.trees.get_mut(&(at, granted)) {
                        (tree.dying, tree.frozen) = (true, true);
                    }
                }
                worker::Effect::Drop(_) => {}
            }
        }
    }

    pub(super) fn perform(&mut self, at: usize, effects: Vec<coordinator::Effect<Nothing>>) -> Checked {
        for effect in effects {
            let now = self.local(at);
            let mut out = Vec::new();
            match effect {
                coordinator::Effect::Send { to, message } => self.send(at, number(&to), message),
                coordinator::Effect::Status { .. }
                | coordinator::Effect::Silent(_)
                | coordinator::Effect::Ready(_) => {}
                coordinator::Effect::Refused { granted, reason } => {
                    debug_assert!(reason == Refusal::Withdrawn { full: false });
                    self.write(at, Body::Over { granted })?;
                }
                coordinator::Effect::Lost(granted) => self.write(at, Body::Over { granted })?,
                coordinator::Effect::Progress { granted, first, progress } => {
                    let next = first + u32::try_from(progress.len()).unwrap_or(0);
                    if let Some(half) = self.coordinator(at) {
                        half.noted(&granted, next, &mut out);
                    }
                }
                coordinator::Effect::Result { granted, .. } => {
                    self.write(at, Body::Result { granted: granted.clone() })?;
                    if let Some(half) = self.coordinator(at) {
                        half.recorded(&granted, &mut out);
                    }
                }
                coordinator::Effect::Found { worker, record, instead_of } => {
                    let task = &self.nodes[at].view.tasks[index_of(&record.granted.attempt.task)];
                    let over = instead_of
                        .filter(|it| matches!(&task.state, State::Live { granted, .. } if granted == it));
                    let is_free = over.is_some() || task.state == State::Queued;
                    if is_free && record.granted.fence > task.fence {
                        if let Some(granted) = over {
                            self.write(at, Body::Over { granted })?;
                        }
                        let body = Body::Granted { granted: record.granted.clone(), worker: number(&worker) };
                        self.write(at, body)?;
                        if let Some(half) = self.coordinator(at) {
                            half.adopt(&record.granted, &worker, now);
                        }
                    } else if let Some(half) = self.coordinator(at) {
                        half.refuse(&record.granted, &worker, &mut out);
                        half.release(&record.granted, &worker, &mut out);
                    }
                }
            }
            self.perform(at, out)?;
        }
        self.schedule(at)
    }

    /// Appends to the journal, on the node's own disk first.
    pub(super) fn write(&mut self, at: usize, body: Body) -> Checked {
        let epoch = self.nodes[at].coordinator.as_ref().and_then(|half| half.epoch(run()));
        let node = &mut self.nodes[at];
        let (Some(epoch), Some(tip)) = (epoch, node.view.tip) else {
            return Err(format!("{at} writes {body:?} and does not coordinate"));
        };
        let entry = Entry { place: Place { epoch, n: tip.n + 1, by: at }, prev: Some(tip), body };
        if !node.view.take(&entry)? {
            return Err(format!("{at} writes {entry:?}, which does not follow its own journal"));
        }
        node.pending.push(entry);
        Ok(())
    }

    /// Grants what can be.
    pub(super) fn schedule(&mut self, at: usize) -> Checked {
        if !self.nodes[at].coordinator.as_ref().is_some_and(|half| half.is_active(run())) {
            return Ok(());
        }
        if self.nodes[at].view.tip.is_none() {
            return Ok(()); // It did not read its own first entry yet.
        }
        let workers = self.workers();
        for index in 0..self.shape.tasks {
            let Task { attempts, fence: last, state } = self.nodes[at].view.tasks[index].clone();
            if state != State::Queued {
                continue;
            }
            let now = self.local(at);
            let epoch = self.nodes[at].view.tip.map_or(0, |tip| tip.epoch);
            let attempt = AttemptId { run: run(), task: task(index), number: attempts + 1 };
            let granted = Granted { attempt, fence: fence::next(last, epoch) };
            let worker = workers[(index + attempts as usize) % workers.len()];
            self.write(at, Body::Granted { granted: granted.clone(), worker })?;
            self.note(format_args!("{at} grants {granted:?} to {worker}"));
            let session = SessionId::from_parts(u64::from(epoch) + 1, u128::from(granted.fence));
            if let Some(half) = self.coordinator(at) {
                half.grant(did(worker), Grant { granted, session, spec: () }, now);
            }
        }
        let mut out = Vec::new();
        let now = self.local(at);
        if let Some(half) = self.coordinator(at) {
            half.tick(now, &mut out);
        }
        if out.is_empty() { Ok(()) } else { self.perform(at, out) }
    }
}
