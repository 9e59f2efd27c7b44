//! What follows for the run that a node coordinates: the coordinator's half, the scheduler, and results until they are final.
//!
//! As `cis-node/src/driver/federation/{leading,results}.rs`; what of it is pure is the product's own code.

use cis_core::dag::Trigger;
use cis_core::federation::direct::Progress;
use cis_core::federation::finality::Finality;
use cis_core::federation::lead;
use cis_core::federation::protocol::coordinator::Effect;
use cis_core::federation::protocol::message::{Grant, Granted, Message};
use cis_core::identity::Right;
use cis_core::ids::{Epoch, Fence, NodeDid, SessionId, TaskId};
use cis_core::scheduler::{InputKind, LiveAttempt, Run};

use crate::node::{Node, Work};
use crate::plan::{ROOM, run};
use crate::room::folded;

impl Node {
    pub(super) fn grant(&mut self, granted: Granted, session: SessionId, node: NodeDid) {
        self.coordinate();
        let (boot, plan) = (self.boot_ms(), std::sync::Arc::clone(&self.plan));
        let Some(life) = &mut self.life else { return };
        let Some(known) = life.machine.run(&run()) else { return };
        let failures = known.task(&granted.attempt.task).map_or(0, |(_, entry)| entry.failures);
        if plan.commits(&granted.attempt.task) && !life.coordinator.is_sole() {
            let before = before(known, &granted.attempt.task);
            self.out.built_on.push((granted.attempt.task.clone(), before));
        }
        let life = self.life.as_mut().unwrap();
        life.coordinator.grant(
            node.clone(),
            Grant { granted: granted.clone(), session, spec: failures },
            boot,
        );
        self.note(format!(
            "grants {} #{} {:x} to {node}",
            granted.attempt.task, granted.attempt.number, granted.fence
        ));
    }

    /// This node gives tasks of the run to the nodes of its room from now on.
    fn coordinate(&mut self) {
        let published = self.disk.published();
        let life = self.life();
        let Some(epoch) = life.machine.run(&run()).map(|known| known.facts().epoch) else { return };
        if life.coordinator.epoch(run()).is_none() {
            life.coordinator.begin(run(), epoch);
            let mut finality = Finality::since(0, published);
            life.read_own.map(|read| finality.read_back(read));
            life.finality = Some(finality);
        }
    }

    /// Tasks wait until all that happened is final.
    pub(super) fn await_room(&mut self, number: u64) {
        let newest = self.disk.newest_of_run();
        let life = self.life();
        if life.machine.run(&run()).is_none() || life.machine.holds_grants_of(run()) {
            return;
        }
        self.coordinate();
        let life = self.life();
        if life.coordinator.is_sole() {
            self.handle(InputKind::RoomHas { run: run(), number });
        } else {
            life.finality.get_or_insert_with(|| Finality::since(0, None)).awaits(newest, number);
            self.more_is_final();
        }
    }

    /// More of the journal was read back.
    pub(super) fn more_is_final(&mut self) {
        let answered = self.life().finality.as_mut().and_then(Finality::take_answered);
        if let Some(number) = answered {
            self.handle(InputKind::RoomHas { run: run(), number });
        }
        self.begin_waiting();
    }

    /// A result is durable here. Where no other node coordinates in the room, it is final with that.
    pub(super) fn acknowledge(&mut self, granted: Granted) {
        let newest = self.disk.newest_of_run();
        let life = self.life();
        let Some(worker) = life.coordinator.worker_of(&granted).cloned() else { return };
        let mut out = Vec::new();
        if life.coordinator.is_sole() {
            life.coordinator.release(&granted, &worker, &mut out);
        } else {
            life.coordinator.recorded(&granted, &mut out);
            let finality = life.finality.get_or_insert_with(|| Finality::since(0, None));
            finality.recorded(newest, granted, worker);
        }
        self.lead(out);
    }

    pub(super) fn is_final(&mut self, granted: &Granted, worker: &NodeDid) {
        self.out.finals.push(granted.clone());
        let mut out = Vec::new();
        self.life().coordinator.release(granted, worker, &mut out);
        self.lead(out);
    }

    /// Sends what was granted or cancelled in this turn, and does what else is due.
    pub(super) fn offer_grants(&mut self) {
        let boot = self.boot_ms();
        if !self.life().machine.holds_grants_of(run()) && self.life().to_recover.is_none() {
            self.coordinate();
        }
        let mut out = Vec::new();
        self.life().coordinator.tick(boot, &mut out);
        self.lead(out);
    }

    pub(super) fn lead(&mut self, effects: Vec<Effect<Work>>) {
        for effect in effects {
            let (boot, mut out) = (self.boot_ms(), Vec::new());
            match effect {
                Effect::Send { to, message } => self.send(&to, message),
                Effect::Status { worker, status } => {
                    self.offers(worker, Some(status));
                }
                Effect::Silent(worker) => self.offers(worker, None),
                Effect::Found { ref worker, ref record, .. } => {
                    let inputs = lead::inputs(&effect);
                    let adopted = inputs.into_iter().all(|kind| self.handle(kind));
                    self.note(format!("finds {:?} at {worker}: {adopted}", record.granted));
                    let life = self.life();
                    lead::found(
                        &mut life.coordinator,
                        life.finality.as_mut(),
                        (record, worker),
                        adopted,
                        boot,
                        &mut out,
                    );
                }
                Effect::Progress { granted, first, progress } => {
                    let next = first + u32::try_from(progress.len()).unwrap();
                    for progress in progress {
                        if let Some(kind) = lead::of_progress(&granted, &progress) {
                            self.handle(kind);
                        } else if let Progress::Session { news } = progress {
                            self.hear_news(&granted, news);
                        }
                    }
                    self.note_progress(&granted, next);
                }
                other => {
                    if let Effect::Lost(granted) = &other {
                        self.note(format!(
                            "loses {} #{} {:x}",
                            granted.attempt.task, granted.attempt.number, granted.fence
                        ));
                    }
                    for kind in lead::inputs(&other) {
                        self.handle(kind);
                    }
                }
            }
            self.lead(out);
        }
    }

    /// Tells a worker that this node has what it told, once it has.
    fn note_progress(&mut self, granted: &Granted, next: u32) {
        let mut out = Vec::new();
        self.life().coordinator.noted(granted, next, &mut out);
        for effect in out {
            match effect {
                Effect::Send { to, message } => self.send_durable(to, message),
                other => self.lead(vec![other]),
            }
        }
    }

    fn offers(&mut self, node: NodeDid, offer: Option<cis_core::scheduler::placement::NodeOffer>) {
        self.handle(InputKind::NodeOffer { room: ROOM.to_owned(), node, offer });
    }

    /// Goes on with the run, which this node, in an earlier life, or another one coordinated.
    pub(super) fn go_on_with(&mut self, epoch: Epoch) {
        self.note(format!("goes on with the run in term {epoch}"));
        let live: Vec<LiveAttempt> = self.life().machine.live_attempts().collect();
        let mut workers = self.others_who_may(Right::Execute);
        let executed =
            self.life().members.iter().flat_map(|members| members.executed.clone()).collect::<Vec<_>>();
        workers.extend(executed.into_iter().filter(|did| *did != self.did));
        if self.plan.works(self.at) {
            workers.push(self.did.clone());
        }
        workers.extend(live.iter().map(|live| live.node.clone()));
        let (newest, published, boot) = (self.disk.newest_of_run(), self.disk.published(), self.boot_ms());
        let life = self.life();
        life.coordinator.take_over(run(), epoch, lead::known_grants(live), workers, boot);
        let mut finality = Finality::since(newest, published);
        life.read_own.map(|read| finality.read_back(read));
        life.finality = Some(finality);
        self.handle(InputKind::HoldGrants { run: run(), held: true });
    }

    pub(super) fn others_who_may(&mut self, right: Right) -> Vec<NodeDid> {
        let own = self.did.clone();
        let Some(members) = &self.life().members else { return Vec::new() };
        let all: Vec<NodeDid> = match right {
            Right::Execute => members.execute.iter().cloned().collect(),
            _ => members.coordinate.clone(),
        };
        all.into_iter().filter(|did| *did != own).collect()
    }

    /// Whether a message is about a result that an earlier coordinator, or an earlier life of this one, may have recorded,
    /// and that is not final yet.
    pub(super) fn is_of_before(&mut self, message: &Message<Work>) -> bool {
        let Message::Result { granted, .. } = message else { return false };
        let life = self.life();
        life.coordinator.worker_of(granted).is_none()
            && !life.coordinator.is_sole()
            && life.finality.as_ref().is_some_and(|finality| !finality.is_caught_up())
    }

    /// The grant that a message is about, where this node does not coordinate the run any more, or never did.
    pub(super) fn of_ended(&mut self, message: &Message<Work>) -> Option<Granted> {
        let granted = lead::waits_for_answer(message)?;
        let life = self.life();
        let is_open = life.coordinator.epoch(run()).is_some() || life.machine.run(&run()).is_some();
        (!is_open).then(|| granted.clone())
    }

    /// A worker still has something of the run, which ended.
    pub(super) fn forget_of_ended(&mut self, worker: &NodeDid, granted: Granted) {
        let Ok(Some(fold)) = folded(&self.plan, self.disk.facts()) else { return };
        let is_told = self.disk.published().is_none_or(|(upto, _)| upto >= self.disk.newest_of_run());
        let (facts, state) = (fold.run().facts(), fold.run().state());
        if facts.owner == self.did && state.is_terminal() && is_told {
            let epoch = facts.epoch;
            self.send(worker, Message::Forget { epoch, granted });
        }
    }
}

/// The tasks before one that ended before it could start, each with the fence under which it did.
fn before(run: &Run, task: &TaskId) -> Vec<(TaskId, Fence)> {
    let (mut found, mut next) = (Vec::new(), vec![task.clone()]);
    while let Some(id) = next.pop() {
        let Some((spec, entry)) = run.task(&id) else { continue };
        let ended = (id, entry.fence);
        if ended.0 != *task && entry.state.is_terminal() && !found.contains(&ended) {
            found.push(ended);
        }
        // One that runs when a need has failed does not wait for the others.
        if spec.trigger != Trigger::OneFailed {
            next.extend(spec.needs.iter().cloned());
        }
    }
    found
}
