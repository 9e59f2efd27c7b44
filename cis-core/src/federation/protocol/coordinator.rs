//! The coordinator's half of the protocol: grants that it gave, and until when their workers may work on them.
//!
//! Owns the runs that this node coordinates, what was granted to whom, and what is not certain after a takeover. Which
//! task goes to which worker is the scheduler's decision; whether a takeover counts is the journal's.

mod recovering;

use std::collections::{BTreeMap, BTreeSet};

use super::groups::holder::Gate;
use super::message::{Grant, Granted, HeldRecord, HeldState, Message, Nonce, PROGRESS_WEIGHT_MAX, Payload};
use super::settings::{BootMs, Settings};
use crate::api::Refusal;
use crate::ids::{AttemptId, Epoch, Fence, NodeDid, RunId, TaskId};

pub use recovering::Awaits;
use recovering::Contested;

/// What the machine of the node is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<P: Payload> {
    /// Send a message. It may be lost.
    Send {
        /// To whom.
        to: NodeDid,
        /// It.
        message: Message<P>,
    },
    /// A worker offers this.
    Status {
        /// Who.
        worker: NodeDid,
        /// What.
        status: P::Status,
    },
    /// A worker gave no sign of life for as long as a lease lasts.
    Silent(NodeDid),
    /// A worker does not take a grant. It is over.
    Refused {
        /// Which.
        granted: Granted,
        /// Why.
        reason: Refusal,
    },
    /// The session of an attempt went through this. What was reported before may come again.
    Progress {
        /// Which.
        granted: Granted,
        /// Number of the first, from 0.
        first: u32,
        /// In order.
        progress: Vec<P::Progress>,
    },
    /// An attempt ended. Answer with [`CoordinatorHalf::recorded`] or, where the scheduler knows better,
    /// [`CoordinatorHalf::release`].
    Result {
        /// Which.
        granted: Granted,
        /// How.
        report: P::Report,
    },
    /// No worker works on this any more, nor will one: it is lost.
    Lost(Granted),
    /// A worker says that it has an attempt that a coordinator before this one granted, and the journal does not tell. Several may say so
    /// of one task, the newest grant first: one of them counts at most. Answer with [`CoordinatorHalf::adopt`], or with
    /// [`CoordinatorHalf::refuse`] and [`CoordinatorHalf::release`].
    Found {
        /// Who.
        worker: NodeDid,
        /// Which, and its session.
        record: HeldRecord,
        /// The attempt that the journal has as the one under way. It is over if this one counts.
        instead_of: Option<Granted>,
    },
    /// After a takeover: what workers have of the run is known. Its tasks may be granted.
    Ready(RunId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Worker {
    /// Its newest heartbeat.
    nonce: Nonce,
    /// When that was received.
    heard_at: BootMs,
    silent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Coordinated {
    epoch: Epoch,
    phase: RunPhase,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum RunPhase {
    /// Tasks are granted.
    Active,
    /// Workers are asked what they have of it.
    Recovering {
        /// Those that did not answer.
        silent: BTreeSet<NodeDid>,
        /// All leases of earlier terms are over then.
        until: BootMs,
        resend_at: BootMs,
        /// What those that answered have.
        held: Vec<(NodeDid, HeldRecord)>,
    },
    /// What workers have is known.
    Settling {
        /// Sessions at work of which the caller was told, until it adopts or releases them.
        found: BTreeSet<Granted>,
        /// Those that it released, until their workers say that nothing of them is left.
        void: BTreeMap<Granted, NodeDid>,
        /// The leases of all of them are over then.
        until: BootMs,
        ask_at: BootMs,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase<S> {
    /// Its worker did not answer yet.
    Offered { grant: Box<Grant<S>>, resend_at: BootMs },
    /// Its worker has it.
    Claimed,
    /// The result is recorded here, and not final yet.
    Recorded,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Given<S> {
    worker: NodeDid,
    fence: Fence,
    phase: Phase<S>,
    /// The worker's session is frozen then at the latest, on this node's clock.
    frozen_by: BootMs,
    cancel: Option<Cancel>,
    /// Number of the next piece of progress; none: none came in this life of the node.
    next: Option<u32>,
    /// `Noted` is owed: the worker repeats what it sent until then.
    notes: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cancel {
    grace_ms: u64,
    keep: bool,
    resend_at: BootMs,
}

impl<S> Given<S> {
    /// Takes progress that begins with number `first`, and returns what did not come before, with its number.
    fn skip_known<G>(&mut self, first: u32, mut progress: Vec<G>) -> (u32, Vec<G>) {
        let next = self.next.unwrap_or(first).max(first);
        let known = usize::try_from(next - first).unwrap_or(usize::MAX).min(progress.len());
        progress.drain(..known);
        let count = u32::try_from(progress.len()).unwrap_or(u32::MAX);
        self.next = Some(next.saturating_add(count));
        (next, progress)
    }

    fn granted(&self, attempt: &AttemptId) -> Granted {
        Granted { attempt: attempt.clone(), fence: self.fence }
    }
}

/// A grant that a journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGrant {
    /// Which.
    pub granted: Granted,
    /// Who works on it.
    pub worker: NodeDid,
    /// Its result is recorded here, and not final yet. Otherwise it has none.
    pub recorded: bool,
}

/// Since when no other node can have coordinated runs of this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Witness {
    /// The room's journal was read at least as far as it was then; none: nobody else may coordinate, so it need not be.
    read_at: Option<BootMs>,
    /// A majority of the voters followed this node in these runs then; none: their votes decide nothing.
    followed_at: Option<BTreeMap<RunId, BootMs>>,
}

impl Witness {
    fn of(&self, run: RunId, now: BootMs) -> BootMs {
        let of_run = |at: &BTreeMap<RunId, BootMs>| at.get(&run).copied().unwrap_or(BootMs::MIN);
        let followed = self.followed_at.as_ref().map_or(now, of_run);
        self.read_at.unwrap_or(now).min(followed).min(now)
    }

    /// How long a lease given now may last: after a takeover that this node does not know yet, no lease of it lasts longer than one
    /// that began when the takeover was made.
    fn lease_ms(&self, run: RunId, now: BootMs, settings: &Settings) -> i64 {
        settings.lease_ms.saturating_sub(now.saturating_sub(self.of(run, now)))
    }
}

/// The coordinator's half.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CoordinatorHalf<P: Payload> {
    settings: Settings,
    runs: BTreeMap<RunId, Coordinated>,
    given: BTreeMap<AttemptId, Given<P::Spec>>,
    /// What the journal tells of tasks of which workers say that they have newer attempts, until the caller decided about those.
    contested: BTreeMap<(RunId, TaskId), Contested<P::Spec>>,
    workers: BTreeMap<NodeDid, Worker>,
    witness: Witness,
    /// Nobody is heard, as the carrier does not work. What workers have is not given to others meanwhile: it could not be sent, and they
    /// go on when they are heard again.
    is_deaf: bool,
    /// Which attempts in groups of the room have places.
    gate: Gate,
}

impl<P: Payload> CoordinatorHalf<P> {
    /// A coordinator of no runs. `sole`: the room has no other voter.
    #[must_use]
    pub fn new(settings: Settings, sole: bool) -> Self {
        Self {
            settings,
            runs: BTreeMap::new(),
            given: BTreeMap::new(),
            contested: BTreeMap::new(),
            workers: BTreeMap::new(),
            witness: Witness { read_at: (!sole).then_some(BootMs::MIN), followed_at: None },
            is_deaf: false,
            gate: Gate::default(),
        }
    }

    /// Only these attempts in groups of the room may start and go on from now on. The others freeze when their leases end; what may
    /// go on again does.
    pub fn set_gate(&mut self, gate: Gate, now: BootMs, out: &mut Vec<Effect<P>>) {
        let before = std::mem::replace(&mut self.gate, gate);
        let back =
            |(attempt, _): (&AttemptId, &bool)| self.gate.lets(attempt, now) && !before.lets(attempt, now);
        if !self.gate.attempts.iter().any(back) {
            return;
        }
        let heard: Vec<NodeDid> =
            self.workers.iter().filter(|(_, worker)| !worker.silent).map(|(did, _)| did.clone()).collect();
        heard.iter().for_each(|worker| self.renew(worker, now, out));
        self.offer(now, out);
    }

    /// The room has another voter, or none any more.
    pub fn set_sole(&mut self, sole: bool) {
        self.witness.read_at = if sole { None } else { self.witness.read_at.or(Some(BootMs::MIN)) };
    }

    /// The carrier does not work any more.
    pub fn hears_nobody(&mut self) {
        self.is_deaf = true;
    }

    /// It works again. Workers need a moment until they are heard.
    pub fn hears_again(&mut self, now: BootMs) {
        if std::mem::take(&mut self.is_deaf) {
            let until = now.saturating_add(self.settings.grace_ms);
            self.given.values_mut().for_each(|given| given.frozen_by = given.frozen_by.max(until));
        }
    }

    /// All that was in the room's timeline at `at` was read, and says nothing of another coordinator.
    pub fn witnessed(&mut self, at: BootMs) {
        self.witness.read_at = self.witness.read_at.map(|known| known.max(at));
    }

    /// A majority of the voters followed this node in these runs, as they said to what they were asked then. None: their votes decide nothing.
    pub fn set_followed(&mut self, followed_at: Option<BTreeMap<RunId, BootMs>>) {
        self.witness.followed_at = followed_at;
    }

    /// The machine stood still: another node may coordinate its runs, and what was read says nothing about that.
    pub fn stood_still(&mut self) {
        self.witness.read_at = self.witness.read_at.map(|_| BootMs::MIN);
        self.witness.followed_at.iter_mut().for_each(BTreeMap::clear);
    }

    /// Coordinates a run that no other node has granted anything of.
    pub fn begin(&mut self, run: RunId, epoch: Epoch) {
        self.runs.insert(run, Coordinated { epoch, phase: RunPhase::Active });
    }

    /// Coordinates a run that another node, or this one before its last restart, may have granted tasks of. `known` are
    /// those grants whose worker may still have something, `workers` all that may have got one.
    pub fn take_over(
        &mut self,
        run: RunId,
        epoch: Epoch,
        known: impl IntoIterator<Item = KnownGrant>,
        workers: impl IntoIterator<Item = NodeDid>,
        now: BootMs,
    ) {
        let until = now + self.settings.lease_bound_ms();
        self.contested.retain(|(of, _), _| *of != run);
        for KnownGrant { granted, worker, recorded } in known {
            let phase = if recorded { Phase::Recorded } else { Phase::Claimed };
            self.give(granted, worker, phase, until);
        }
        let silent = workers.into_iter().collect();
        let phase = RunPhase::Recovering { silent, until, resend_at: now, held: Vec::new() };
        self.runs.insert(run, Coordinated { epoch, phase });
    }

    /// Another node coordinates the run, or it needs no more of this: whatever workers have of it is not this node's.
    pub fn leave(&mut self, run: RunId) {
        self.runs.remove(&run);
        self.given.retain(|attempt, _| attempt.run != run);
        self.contested.retain(|(of, _), _| *of != run);
    }

    /// The term in which this node coordinates a run.
    #[must_use]
    pub fn epoch(&self, run: RunId) -> Option<Epoch> {
        self.runs.get(&run).map(|run| run.epoch)
    }

    /// The runs that it coordinates, with their terms.
    pub fn terms(&self) -> impl Iterator<Item = (RunId, Epoch)> {
        self.runs.iter().map(|(run, known)| (*run, known.epoch))
    }

    /// Whether it coordinates anything.
    #[must_use]
    pub fn coordinates(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Runs of which no worker has anything that is not final. One whose workers are still asked is none of them, although it
    /// may have ended: they may have what nobody recorded, and its grants are held until [`Effect::Ready`].
    pub fn quiet_runs(&self) -> Vec<RunId> {
        let busy = |run: &RunId| self.given.keys().any(|attempt| attempt.run == *run);
        let active = self.runs.iter().filter(|(_, known)| known.phase == RunPhase::Active);
        active.map(|(run, _)| *run).filter(|run| !busy(run)).collect()
    }

    /// Whether the room has no other voter.
    #[must_use]
    pub fn is_sole(&self) -> bool {
        self.witness.read_at.is_none()
    }

    /// When a worker gave its newest sign of life, and whether it is silent since.
    #[must_use]
    pub fn heard(&self, worker: &NodeDid) -> Option<(BootMs, bool)> {
        self.workers.get(worker).map(|worker| (worker.heard_at, worker.silent))
    }

    /// Gives a task to a worker. It is sent as soon as a heartbeat of that worker is young enough.
    pub fn grant(&mut self, worker: NodeDid, grant: Grant<P::Spec>, now: BootMs) {
        let granted = grant.granted.clone();
        let phase = Phase::Offered { grant: Box::new(grant), resend_at: now };
        self.give(granted, worker, phase, now + self.settings.lease_bound_ms());
    }

    /// Stops an attempt. Its worker answers with a result, or refuses.
    pub fn cancel(&mut self, granted: &Granted, grace_ms: u64, keep: bool, now: BootMs) {
        if let Some(given) = self.find(granted) {
            given.cancel = Some(Cancel { grace_ms, keep, resend_at: now });
        }
    }

    /// The result is durable here.
    pub fn recorded(&mut self, granted: &Granted, out: &mut Vec<Effect<P>>) {
        let Some(epoch) = self.epoch(granted.attempt.run) else { return };
        if let Some(given) = self.find(granted) {
            given.phase = Phase::Recorded;
            given.cancel = None;
            send(out, &given.worker, Message::Recorded { epoch, granted: granted.clone() });
        }
    }

    /// Who was given a grant that is not over.
    #[must_use]
    pub fn worker_of(&self, granted: &Granted) -> Option<&NodeDid> {
        let given = self.given.get(&granted.attempt).filter(|given| given.fence == granted.fence)?;
        Some(&given.worker)
    }

    /// Progress up to `next` is durable here. The worker is told if it waits for that.
    pub fn noted(&mut self, granted: &Granted, next: u32, out: &mut Vec<Effect<P>>) {
        let Some(epoch) = self.epoch(granted.attempt.run) else { return };
        if let Some(given) = self.find(granted).filter(|given| given.notes) {
            given.notes = false;
            send(out, &given.worker, Message::Noted { epoch, granted: granted.clone(), next });
        }
    }

    /// The worker need not keep anything of it: its result is final, or does not count.
    pub fn release(&mut self, granted: &Granted, worker: &NodeDid, out: &mut Vec<Effect<P>>) {
        if self.find(granted).is_some_and(|given| given.worker == *worker) {
            self.given.remove(&granted.attempt);
        }
        self.voids(granted, worker);
        if let Some(epoch) = self.epoch(granted.attempt.run) {
            send(out, worker, Message::Forget { epoch, granted: granted.clone() });
        }
    }

    /// The scheduler counts what a coordinator before this one granted.
    pub fn adopt(&mut self, granted: &Granted, worker: &NodeDid, now: BootMs) {
        let frozen_by = now + self.settings.lease_bound_ms();
        self.contested.remove(&(granted.attempt.run, granted.attempt.task.clone()));
        self.give(granted.clone(), worker.clone(), Phase::Claimed, frozen_by);
        if let Some(RunPhase::Settling { found, .. }) =
            self.runs.get_mut(&granted.attempt.run).map(|run| &mut run.phase)
        {
            found.remove(granted);
        }
    }

    /// Takes a message of `from`, which may work on tasks of this room.
    ///
    /// # Errors
    /// Why nothing was done about it.
    pub fn receive(
        &mut self,
        from: &NodeDid,
        message: Message<P>,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) -> Result<(), String> {
        match message {
            Message::Heartbeat { nonce, status } => self.heartbeat(from, nonce, status, now, out),
            Message::Holding { run, epoch, held } => self.holding(from, run, epoch, held, now, out)?,
            Message::Claimed { granted } => {
                if self.owned(from, &granted, out)? {
                    self.claims(&granted);
                }
            }
            Message::Refused { granted, reason } => {
                let known = self.find(&granted).filter(|given| given.worker == *from);
                if known.is_some_and(|given| given.phase != Phase::Recorded) {
                    self.given.remove(&granted.attempt);
                    out.push(Effect::Refused { granted, reason });
                }
            }
            Message::Unknown { granted } => {
                self.is_gone(from, &granted, now, out);
                let known = self.find(&granted).filter(|given| given.worker == *from);
                let effect = match known.map(|given| &given.phase) {
                    None | Some(Phase::Recorded) => return Ok(()),
                    Some(Phase::Offered { .. }) => Effect::Refused {
                        granted: granted.clone(),
                        reason: Refusal::Withdrawn { full: false },
                    },
                    Some(Phase::Claimed) => Effect::Lost(granted.clone()),
                };
                self.given.remove(&granted.attempt);
                out.push(effect);
            }
            Message::Progress { progress, .. } if progress.len() > PROGRESS_WEIGHT_MAX => {
                return Err(format!("a message with {} pieces of progress", progress.len()));
            }
            Message::Progress { granted, first, progress } => {
                if self.owned(from, &granted, out)? {
                    self.claims(&granted);
                    if let Some(given) = self.find(&granted) {
                        let (first, progress) = given.skip_known(first, progress);
                        // What is repeated, and holds nothing new, is answered too.
                        given.notes |= progress.is_empty() || !progress.iter().all(P::is_routine);
                        out.push(Effect::Progress { granted, first, progress });
                    }
                }
            }
            Message::Result { granted, report } => {
                if self.owned(from, &granted, out)? {
                    self.claims(&granted);
                    let recorded = self.find(&granted).is_some_and(|given| given.phase == Phase::Recorded);
                    match self.epoch(granted.attempt.run).filter(|_| recorded) {
                        Some(epoch) => send(out, from, Message::Recorded { epoch, granted }),
                        None => out.push(Effect::Result { granted, report }),
                    }
                }
            }
            _ => return Err("a message that coordinators do not take".to_owned()),
        }
        Ok(())
    }

    /// Does what is due.
    pub fn tick(&mut self, now: BootMs, out: &mut Vec<Effect<P>>) {
        let bound = self.settings.lease_bound_ms();
        for (did, worker) in &mut self.workers {
            if !worker.silent && now.saturating_sub(worker.heard_at) >= bound {
                worker.silent = true;
                out.push(Effect::Silent(did.clone()));
            }
        }
        self.recover(now, out);
        // A coordinator that was replaced before the session was frozen would find out only now: the one that replaced it
        // may have renewed the lease.
        let gone = |run: RunId, given: &Given<_>| {
            let witness_at = self.witness.of(run, now);
            !self.is_deaf && given.frozen_by <= witness_at && given.phase != Phase::Recorded
        };
        // What waits for a place in a group is frozen, and goes on there.
        let waits = |attempt: &AttemptId, given: &Given<_>| {
            !self.gate.lets(attempt, now) && self.audible(&given.worker).is_some()
        };
        let lost: Vec<Granted> = self
            .given
            .iter()
            .filter(|(attempt, given)| {
                gone(attempt.run, given) && self.is_active(attempt.run) && !waits(attempt, given)
            })
            .map(|(attempt, given)| given.granted(attempt))
            .collect();
        for granted in lost {
            self.given.remove(&granted.attempt);
            out.push(Effect::Lost(granted));
        }
        self.offer(now, out);
    }

    /// When a tick is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootMs> {
        let bound = self.settings.lease_bound_ms();
        let workers = self.workers.values().filter(|worker| !worker.silent).map(|w| w.heard_at + bound);
        let runs = self.runs.values().filter_map(|run| match &run.phase {
            RunPhase::Active => None,
            RunPhase::Recovering { until, resend_at, .. } => Some(*until.min(resend_at)),
            RunPhase::Settling { found, void, .. } if found.is_empty() && void.is_empty() => {
                Some(BootMs::MIN)
            }
            RunPhase::Settling { until, ask_at, .. } => Some(*until.min(ask_at)),
        });
        let given = self.given.iter().flat_map(|(attempt, given)| self.due(attempt, given));
        workers.chain(runs).chain(given).min()
    }

    /// When something of a grant is due. What waits for a message, or for more of the journal, has no time.
    fn due(&self, attempt: &AttemptId, given: &Given<P::Spec>) -> impl Iterator<Item = BootMs> {
        let is_sole = self.witness.read_at.is_none();
        // Where nobody else coordinates, nothing waits for a place.
        let may_be_lost =
            is_sole && !self.is_deaf && given.phase != Phase::Recorded && self.is_active(attempt.run);
        let lost_at = may_be_lost.then_some(given.frozen_by);
        let send_at = match (&given.cancel, &given.phase) {
            _ if !self.runs.contains_key(&attempt.run) => None,
            (Some(cancel), _) => Some(cancel.resend_at),
            (None, Phase::Offered { resend_at, .. }) => {
                let may_start = self.gate.covers(attempt) && self.audible(&given.worker).is_some();
                may_start.then_some(*resend_at)
            }
            (None, Phase::Claimed | Phase::Recorded) => None,
        };
        lost_at.into_iter().chain(send_at)
    }

    /// A worker that gave a sign of life not long ago.
    fn audible(&self, worker: &NodeDid) -> Option<&Worker> {
        self.workers.get(worker).filter(|worker| !worker.silent)
    }

    fn give(&mut self, granted: Granted, worker: NodeDid, phase: Phase<P::Spec>, frozen_by: BootMs) {
        let Granted { attempt, fence } = granted;
        self.given.insert(
            attempt,
            Given { worker, fence, phase, frozen_by, cancel: None, next: None, notes: false },
        );
    }

    /// Whether tasks of a run may be granted: this node coordinates it, and knows what workers have of it.
    #[must_use]
    pub fn is_active(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|run| run.phase == RunPhase::Active)
    }

    fn find(&mut self, granted: &Granted) -> Option<&mut Given<P::Spec>> {
        self.given.get_mut(&granted.attempt).filter(|given| given.fence == granted.fence)
    }

    /// Whether a worker speaks of a grant that it has of this node. A grant that is void is taken back.
    fn owned(&mut self, from: &NodeDid, granted: &Granted, out: &mut Vec<Effect<P>>) -> Result<bool, String> {
        let Some(run) = self.runs.get(&granted.attempt.run) else {
            return Ok(false); // Another coordinator answers.
        };
        let epoch = run.epoch;
        let known = self.given.get(&granted.attempt);
        if known.is_some_and(|given| given.fence == granted.fence && given.worker == *from) {
            return Ok(true);
        }
        if self.is_active(granted.attempt.run) {
            let granted = granted.clone();
            send(out, from, Message::Forget { epoch, granted });
        }
        match known {
            Some(given) if given.fence == granted.fence => {
                Err(format!("{} was granted to {}, not to {from}", granted.attempt, given.worker))
            }
            _ => Ok(false),
        }
    }

    /// What a worker says of a grant shows that it has it.
    fn claims(&mut self, granted: &Granted) {
        if let Some(given) = self.find(granted).filter(|given| matches!(given.phase, Phase::Offered { .. })) {
            given.phase = Phase::Claimed;
        }
    }

    fn heartbeat(
        &mut self,
        from: &NodeDid,
        nonce: Nonce,
        status: P::Status,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let known = self.workers.get(from);
        if known.is_some_and(|known| known.nonce == nonce || (known.nonce > nonce && !known.silent)) {
            return; // Delayed or repeated.
        }
        // A worker whose clock was set back begins its next life with smaller numbers. Once its leases are over, it is heard again: if
        // this is an old heartbeat nevertheless, its worker dates it, and gives no lease for it.
        self.workers.insert(from.clone(), Worker { nonce, heard_at: now, silent: false });
        out.push(Effect::Status { worker: from.clone(), status });
        self.renew(from, now, out);
        self.offer(now, out);
    }

    /// Renews what a worker has. While it is not known what other workers have of a run, only what was at work when its
    /// worker was asked: nobody else can work on that.
    fn renew(&mut self, worker: &NodeDid, now: BootMs, out: &mut Vec<Effect<P>>) {
        let Some(Worker { nonce, heard_at, .. }) = self.workers.get(worker).cloned() else { return };
        let frozen_by = heard_at + self.settings.lease_bound_ms();
        let mut grants: BTreeMap<RunId, Vec<Granted>> = BTreeMap::new();
        for (attempt, given) in self.given.iter_mut().filter(|(_, given)| given.worker == *worker) {
            let certain = match self.runs.get(&attempt.run).map(|run| &run.phase) {
                Some(RunPhase::Active | RunPhase::Settling { .. }) => true,
                Some(RunPhase::Recovering { held, .. }) => held.iter().any(|(by, record)| {
                    let same = by == worker
                        && record.granted.attempt == *attempt
                        && record.granted.fence == given.fence;
                    same && record.state == HeldState::Working
                }),
                None => false,
            };
            let may_go_on =
                self.gate.lets(attempt, now) && self.witness.lease_ms(attempt.run, now, &self.settings) > 0;
            if certain && may_go_on && matches!(given.phase, Phase::Claimed | Phase::Recorded) {
                given.frozen_by = given.frozen_by.max(frozen_by);
                grants.entry(attempt.run).or_default().push(given.granted(attempt));
            }
        }
        for (run, grants) in grants {
            if let Some(epoch) = self.epoch(run) {
                let lease_ms = self.witness.lease_ms(run, now, &self.settings);
                send(out, worker, Message::Renew { run, epoch, nonce, lease_ms, grants });
            }
        }
    }

    /// Sends grants that were not answered, and wishes to end.
    fn offer(&mut self, now: BootMs, out: &mut Vec<Effect<P>>) {
        let Settings { resend_ms, .. } = self.settings;
        let bound = self.settings.lease_bound_ms();
        for (attempt, given) in &mut self.given {
            let Some(epoch) = self.runs.get(&attempt.run).map(|run| run.epoch) else { continue };
            let granted = given.granted(attempt);
            if let Some(cancel) = &mut given.cancel {
                if cancel.resend_at <= now {
                    cancel.resend_at = now + resend_ms;
                    let Cancel { grace_ms, keep, .. } = *cancel;
                    send(out, &given.worker, Message::Cancel { epoch, granted, grace_ms, keep });
                }
                continue;
            }
            let Phase::Offered { grant, resend_at } = &mut given.phase else { continue };
            let Some(worker) = self.workers.get(&given.worker).filter(|worker| !worker.silent) else {
                continue;
            };
            if *resend_at > now || !self.gate.covers(attempt) {
                continue;
            }
            *resend_at = now + resend_ms;
            let lease_ms = self.witness.lease_ms(attempt.run, now, &self.settings);
            if lease_ms <= 0 || !self.gate.lets(attempt, now) {
                continue;
            }
            given.frozen_by = given.frozen_by.max(worker.heard_at + bound);
            let (nonce, grant) = (worker.nonce, (**grant).clone());
            send(out, &given.worker, Message::Grant { epoch, nonce, lease_ms, grant });
        }
    }
}

fn send<P: Payload>(out: &mut Vec<Effect<P>>, to: &NodeDid, message: Message<P>) {
    out.push(Effect::Send { to: to.clone(), message });
}
