//! What follows for a node's own worker: the worker's half, and sessions that run for the room.
//!
//! As `cis-node/src/driver/federation/work.rs`.

use cis_core::api::{FromWorker, Refusal, Report};
use cis_core::event::{AttemptOutcome, SessionState};
use cis_core::federation::canonical::Fold;
use cis_core::federation::commit::has_grant;
use cis_core::federation::direct::Progress;
use cis_core::federation::protocol::message::{Grant, Granted, Message};
use cis_core::federation::protocol::worker::{Change, Effect, WorkerHalf};
use cis_core::ids::SessionId;
use cis_core::scheduler::placement::NodeOffer;

use crate::host::ToHost;
use crate::node::{Node, Waiting, Work, Write};
use crate::plan::run;
use crate::room::folded;

/// Sessions that a node runs at a time.
pub(crate) const SLOTS: u32 = 4;

impl Node {
    pub(super) fn work(&mut self, effects: Vec<Effect<Work>>) {
        for effect in effects {
            let boot = self.boot_ms();
            match effect {
                // It would be numbered like something else if this node died before it is durable.
                Effect::Send { to, message } if matches!(message, Message::Progress { .. }) => {
                    self.send_durable(to, message);
                }
                Effect::Send { to, message } => self.send(&to, message),
                Effect::Start { grant: Grant { granted, session, spec: failures }, lease_end } => {
                    let (attempt, fence) = (granted.attempt.clone(), granted.fence);
                    self.life().held.insert(attempt.clone(), (granted.clone(), session));
                    let worker = self.life().worker.as_mut();
                    if worker.is_some_and(|worker| worker.lacks_slot(&granted, SLOTS, boot)) {
                        let reason = Refusal::Withdrawn { full: true };
                        self.life().said.push(FromWorker::Refused { attempt, fence, reason });
                        continue;
                    }
                    if self.rng.percent(self.short_percent) {
                        let reason = Refusal::Resources { detail: "no PTY is left".to_owned() };
                        self.life().said.push(FromWorker::Refused { attempt, fence, reason });
                        continue;
                    }
                    if self.plan.commits(&granted.attempt.task) {
                        let waiting = Waiting { granted, session, failures, lease_end, upto: None };
                        self.life().waiting.push(waiting);
                        self.begin_waiting();
                        continue;
                    }
                    let questions = self.plan.questions(&granted.attempt.task, failures);
                    self.life().to_host.push(ToHost::Start { session, granted, failures, questions });
                    self.life().to_host.push(ToHost::FreezeIn { session, after_ms: lease_end - boot });
                }
                Effect::Freeze(granted) if self.takes_back(&granted) => {
                    let Granted { attempt, fence } = granted;
                    let reason = Refusal::Withdrawn { full: false };
                    self.life().said.push(FromWorker::Refused { attempt, fence, reason });
                }
                Effect::Cancel { granted, .. } | Effect::Kill(granted) if self.takes_back(&granted) => {
                    let report = Box::new(Report::bare(AttemptOutcome::Cancelled, None, self.wall_ms()));
                    let Granted { attempt, fence } = granted;
                    self.life().said.push(FromWorker::Result { attempt, fence, report });
                }
                Effect::Freeze(granted) => {
                    self.tell_session(&granted, |session| vec![ToHost::Freeze(session)]);
                }
                Effect::Extend { granted, lease_end } => {
                    let mut waiting = self.life().waiting.iter_mut();
                    if let Some(waiting) = waiting.find(|waiting| waiting.granted == granted) {
                        waiting.lease_end = lease_end;
                    }
                    self.tell_session(&granted, |session| {
                        let after_ms = lease_end - boot;
                        vec![ToHost::FreezeIn { session, after_ms }, ToHost::Thaw(session)]
                    });
                }
                Effect::Cancel { granted, grace_ms, .. } => {
                    self.tell_session(&granted, |session| vec![ToHost::Cancel { session, grace_ms }]);
                }
                Effect::Kill(granted) => {
                    self.tell_session(&granted, |session| vec![ToHost::Cancel { session, grace_ms: 0 }]);
                }
                Effect::Drop(granted) => {
                    self.tell_session(&granted, |session| vec![ToHost::Ack(session)]);
                    self.takes_back(&granted);
                    self.life().held.remove(&granted.attempt);
                }
            }
        }
        let changes = self.life().worker.as_mut().map(WorkerHalf::take_changes).unwrap_or_default();
        for change in changes {
            let write = match change {
                Change::Keep(kept) if !self.life().held.contains_key(&kept.granted.attempt) => continue,
                Change::Keep(kept) => Write::Hold(kept.granted.attempt.task.clone(), Some(kept)),
                Change::Forget(_, task) => Write::Hold(task, None),
            };
            self.life().turn.push(write);
        }
    }

    /// Whether a session waited for its grant to be in the room. It does so no more.
    fn takes_back(&mut self, granted: &Granted) -> bool {
        let waiting = &mut self.life().waiting;
        let before = waiting.len();
        waiting.retain(|waiting| waiting.granted != *granted);
        waiting.len() < before
    }

    /// Begins sessions whose grants the room has by now.
    pub(super) fn begin_waiting(&mut self) {
        if self.life().waiting.is_empty() {
            return;
        }
        let stored = folded(&self.plan, self.disk.facts()).ok().flatten();
        let (newest, own, boot) = (self.disk.newest_of_run(), self.did.clone(), self.boot_ms());
        let (life, mut begin) = (self.life.as_mut().unwrap(), Vec::new());
        let is_told = life.turn.iter().any(|write| matches!(write, Write::Event(_)));
        for mut waiting in std::mem::take(&mut life.waiting) {
            let coordinator = life.worker.as_ref().and_then(|worker| worker.coordinator_of(run()));
            let leads = life.coordinator.epoch(run()).is_some();
            let known = if leads { life.machine.run(&run()) } else { stored.as_ref().map(Fold::run) };
            let run = known.filter(|run| has_grant(run, &waiting.granted, |node| *node == own));
            let is_there = if leads {
                // A grant that is counted in this turn has no place in the store yet.
                waiting.upto = match run {
                    Some(_) if !is_told => waiting.upto.or(Some(newest)),
                    Some(_) => waiting.upto,
                    None => None,
                };
                let is_final = |upto| life.finality.as_ref().is_some_and(|known| known.is_final(upto));
                life.coordinator.is_sole() || waiting.upto.is_some_and(is_final)
            } else {
                waiting.upto = None;
                let mut others = life.members.iter().flat_map(|members| &members.coordinate);
                let is_sole = life.members.is_some() && others.all(|other| Some(other) == coordinator);
                // What this node wrote itself, and others took over since, is not the room's.
                is_sole || run.is_some_and(|run| run.facts().owner != own)
            };
            if is_there { begin.push(waiting) } else { life.waiting.push(waiting) }
        }
        for Waiting { granted, session, failures, lease_end, .. } in begin {
            let questions = self.plan.questions(&granted.attempt.task, failures);
            life.to_host.push(ToHost::Start { session, granted, failures, questions });
            life.to_host.push(ToHost::FreezeIn { session, after_ms: lease_end - boot });
        }
    }

    fn tell_session(&mut self, granted: &Granted, messages: impl FnOnce(SessionId) -> Vec<ToHost>) {
        let life = self.life();
        if let Some((_, session)) = life.held.get(&granted.attempt).filter(|(known, _)| known == granted) {
            life.to_host.extend(messages(*session));
        }
    }

    /// What was asked of the session host reaches it, once the turn is durable.
    pub(super) fn tell_host(&mut self) {
        let (boot, wall) = (self.boot_ms(), self.wall_ms());
        for message in std::mem::take(&mut self.life().to_host) {
            if let Some(granted) = self.host.take(message, boot, wall) {
                self.note(format!(
                    "begins {} #{} {:x}",
                    granted.attempt.task, granted.attempt.number, granted.fence
                ));
                let (attempt, fence, state) = (granted.attempt.clone(), granted.fence, SessionState::Working);
                self.life().said.push(FromWorker::Session { attempt, fence, state, pid: Some(1) });
                let is_sole = self.is_sole();
                self.out.begun.push((granted, is_sole));
            }
        }
    }

    /// Whether the run has only one coordinator, as far as this node knows.
    fn is_sole(&mut self) -> bool {
        self.life().members.as_ref().is_none_or(|members| members.coordinate.len() < 2)
    }

    /// Hears of sessions that ended.
    pub(super) fn collect_exits(&mut self) {
        let ended = self.host.trees.values_mut().filter(|tree| tree.exit.is_some() && !tree.is_told);
        let mut said = Vec::new();
        for tree in ended {
            tree.is_told = true;
            let Granted { attempt, fence } = tree.granted.clone();
            let report = Box::new(tree.exit.clone().unwrap());
            if self.rng.percent(30) {
                let (attempt, state) = (attempt.clone(), SessionState::Exited);
                said.push(FromWorker::Session { attempt, fence, state, pid: None });
            }
            said.push(FromWorker::Result { attempt, fence, report });
        }
        self.life().said.extend(said);
    }

    /// Takes what the own sessions say to the worker's half.
    pub(super) fn worker_said(&mut self) {
        let (boot, wall) = (self.boot_ms(), self.wall_ms());
        for message in std::mem::take(&mut self.life().said) {
            let (FromWorker::Session { attempt, .. }
            | FromWorker::Result { attempt, .. }
            | FromWorker::Refused { attempt, .. }) = &message
            else {
                continue;
            };
            let life = self.life();
            let Some((granted, _)) = life.held.get(attempt).cloned() else { continue };
            let Some(worker) = &mut life.worker else { continue };
            let mut out = Vec::new();
            match message {
                FromWorker::Session { state: SessionState::Exited, .. } => {
                    worker.progress(&granted, Progress::Collecting {}, boot, &mut out);
                }
                FromWorker::Session { .. } => {
                    worker.progress(&granted, Progress::Started { at_ms: wall }, boot, &mut out);
                }
                FromWorker::Result { report, .. } => worker.ended(&granted, *report, boot, &mut out),
                FromWorker::Refused { reason, .. } => {
                    worker.refused(&granted, reason, boot, &mut out);
                    life.held.remove(&granted.attempt);
                }
                _ => {}
            }
            self.work(out);
        }
    }

    /// Takes back what an earlier life of this node had of tasks of the room.
    pub(super) fn recall_held(&mut self) {
        let (all, boot): (Vec<_>, _) = (self.disk.held.values().cloned().collect(), self.boot_ms());
        for kept in all {
            let (granted, session) = (kept.granted.clone(), kept.session);
            let life = self.life();
            if let Some(worker) = &mut life.worker {
                worker.restore(kept, boot);
                life.held.insert(granted.attempt.clone(), (granted.clone(), session));
                self.recall_news(&granted, session);
            }
        }
    }

    /// Settles what became of those sessions while this node did not run.
    pub(super) fn settle_held(&mut self) {
        let held: Vec<(Granted, SessionId)> = self.life().held.values().cloned().collect();
        for (granted, session) in &held {
            let life = self.life.as_mut().unwrap();
            let Some(worker) = &life.worker else { continue };
            let is_over = worker.has_ended(granted);
            match self.host.trees.get_mut(session) {
                Some(tree) if is_over => life.to_host.push(match tree.exit {
                    Some(_) => ToHost::Ack(*session),
                    None => ToHost::Cancel { session: *session, grace_ms: 0 },
                }),
                Some(tree) => {
                    tree.is_told = false;
                    if worker.is_void(granted) {
                        life.to_host.push(ToHost::Cancel { session: *session, grace_ms: 0 });
                    }
                }
                None if is_over => {}
                None => self.held_lost(granted),
            }
        }
        // What nobody knows is nobody's.
        let is_known = |session: &SessionId| held.iter().any(|(_, known)| known == session);
        self.host.trees.retain(|session, _| is_known(session));
        self.collect_exits();
        self.worker_said();
    }

    /// The session host is gone with all its sessions.
    pub(crate) fn host_lost(&mut self) {
        self.note("loses its session host");
        let next = (self.host.instance.0.0 & 0xffff_ffff) + 100;
        self.host = crate::host::Host::new(next);
        if self.life.is_none() {
            return;
        }
        let instance = self.host.instance;
        self.life().machine.set_host(Some(instance));
        let held: Vec<Granted> = self.life().held.values().map(|(granted, _)| granted.clone()).collect();
        held.iter().for_each(|granted| self.held_lost(granted));
        self.finish_turn();
    }

    fn held_lost(&mut self, granted: &Granted) {
        // Its session has not begun.
        if self.life().waiting.iter().any(|waiting| waiting.granted == *granted) {
            return;
        }
        let (boot, wall, mut out) = (self.boot_ms(), self.wall_ms(), Vec::new());
        let outcome = AttemptOutcome::Lost { detail: "its session host ended".to_owned() };
        if let Some(worker) = self.life().worker.as_mut().filter(|worker| !worker.has_ended(granted)) {
            worker.ended(granted, Report::bare(outcome, None, wall), boot, &mut out);
        }
        self.work(out);
    }

    /// What this node offers to the room.
    pub(super) fn offer(&mut self) -> NodeOffer {
        let sessions = self.life().worker.as_ref().map_or(0, WorkerHalf::live_sessions);
        NodeOffer {
            name: format!("n{}", self.at),
            tags: self.plan.tags(self.at),
            slots: SLOTS,
            commits: true,
            files: true,
            sessions: u32::try_from(sessions).unwrap(),
            load_permille: u32::try_from(self.rng.below(1000)).unwrap(),
            ..NodeOffer::default()
        }
    }
}
