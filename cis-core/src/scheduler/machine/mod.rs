//! The machine: inputs in, events and effects out.
//!
//! Owns the open runs of a node and what they share: `max_sessions`, groups, and whose turn it is. Every input is
//! decided, put into events, and the events are folded into the runs by the same reducer that recovery
//! uses; then whatever may start is granted. Whoever drives it makes the events durable first and
//! performs the effects then. It keeps nothing that the events do not say, but for turns and short holds.
//!
//! Between runs the turn goes round: each run that could start something gets one grant, then the next.
//! Within a run priority decides, then the order of the file; who waits for a group that is full holds up
//! nobody.

mod accounts;
mod adopt;
mod book;
mod commit;
mod control;
mod decide;
mod grant;
mod groups;
mod look;
mod losses;
mod nodes;
mod prompts;
mod room_groups;
mod why;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::vec::Drain;

use self::accounts::Accounts;
pub use self::accounts::Breaker;
use self::groups::Groups;
use self::nodes::Nodes;
use super::ending::ending;
use super::handlers;
use super::input::{Effect, IdSource, Input, InputKind, Rejected, WakeReason};
use super::settle::{Settled, settle};
use super::state::Run;
use crate::dag::Dag;
use crate::event::{Actor, EndReason, EventBody, EventDraft, ExecutionMode, RunCreated, RunState};
use crate::ids::{AttemptId, Fence, HostInstance, InputId, NodeDid, RunId, SessionId, TimestampMs};

/// All runs that a node coordinates.
#[derive(Debug, Clone)]
pub struct Machine {
    node: NodeDid,
    /// What it was before it took another key.
    former: BTreeSet<NodeDid>,
    host: Option<HostInstance>,
    max_sessions: u32,
    /// Nothing starts on this node.
    paused: bool,
    /// Sessions outside of runs.
    foreign: u32,
    runs: BTreeMap<RunId, Slot>,
    /// Attempts under way on this node, in all runs.
    live: u32,
    /// Runs that could start something if there is room.
    hungry: BTreeSet<RunId>,
    /// The same of runs in Matrix mode, whose tasks go to any node of their room.
    roaming: BTreeSet<RunId>,
    nodes: Nodes,
    /// When which run wants to be woken.
    wakes: BTreeSet<(TimestampMs, RunId)>,
    groups: Groups,
    accounts: Accounts,
    /// Runs that have ended and are still here.
    ended: BTreeSet<RunId>,
    /// Whose turn it was.
    served: Option<RunId>,
    /// The machine was short of something a moment ago.
    held_until: Option<TimestampMs>,
    /// Runs that were restored and not looked at yet.
    restored: Vec<RunId>,
    events: Vec<EventDraft>,
    effects: Vec<Effect>,
    /// See [`Self::take_failure`].
    failed: Option<Rejected>,
}

/// A run, and what of it is counted in the indexes above.
#[derive(Debug, Clone)]
struct Slot {
    run: Run,
    wake: Option<TimestampMs>,
    /// Attempts under way on this node.
    live: u32,
}

/// One attempt that is under way as far as the events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveAttempt {
    /// The try.
    pub attempt: AttemptId,
    /// Its session.
    pub session: SessionId,
    /// Of its grant.
    pub fence: Fence,
    /// Who works on it.
    pub node: NodeDid,
    /// The session host that has it: where that is gone, so is the attempt.
    pub host: Option<HostInstance>,
    /// It is being stopped: [`Effect::Cancel`] may not have been performed.
    pub cancelling: bool,
    /// Between SIGTERM and SIGKILL, ms.
    pub grace_ms: u64,
    /// Where it is being stopped because its result was handed in: when that was, Unix ms.
    pub handed_in_ms: Option<TimestampMs>,
    /// Its process was reported. Where not, [`Effect::Grant`] may not have been performed.
    pub started: bool,
    /// It waits for a human, at this prompt.
    pub blocked_episode: Option<u32>,
}

/// What all events of one input have in common.
struct Turn {
    now: TimestampMs,
    actor: Option<Actor>,
    cause: Option<InputId>,
}

impl Machine {
    /// A machine without runs. Nothing is granted before [`Self::set_host`] names a session host.
    #[must_use]
    pub fn new(node: NodeDid, max_sessions: u32) -> Self {
        Self {
            node,
            former: BTreeSet::new(),
            host: None,
            max_sessions,
            paused: false,
            foreign: 0,
            runs: BTreeMap::new(),
            live: 0,
            hungry: BTreeSet::new(),
            roaming: BTreeSet::new(),
            nodes: Nodes::default(),
            wakes: BTreeSet::new(),
            groups: Groups::default(),
            accounts: Accounts::default(),
            ended: BTreeSet::new(),
            served: None,
            held_until: None,
            restored: Vec::new(),
            events: Vec::new(),
            effects: Vec::new(),
            failed: None,
        }
    }

    /// The session host that grants go to from now on; none: there is none, and nothing is granted.
    /// The next input (a [`InputKind::Tick`], say) grants what was waiting for it.
    pub fn set_host(&mut self, host: Option<HostInstance>) {
        self.host = host;
    }

    /// Runs and grants of these DIDs are this node's as well: it had other keys before.
    pub fn was_known_as(&mut self, former: impl IntoIterator<Item = NodeDid>) {
        self.former.extend(former);
    }

    /// Takes back a run that was folded from stored events, open or ended. The next input goes on with it.
    pub fn restore(&mut self, run: Run) {
        let id = run.id();
        self.put(run);
        self.restored.push(id);
    }

    /// Takes one input. Drain events and effects after every call, also a rejected one: a result that
    /// comes a second time is rejected and acknowledged.
    ///
    /// # Errors
    /// [`Rejected`]: no run has changed. What fails after the input took effect is told by [`Self::take_failure`].
    pub fn handle(&mut self, input: Input, now: TimestampMs, ids: &mut dyn IdSource) -> Result<(), Rejected> {
        let turn = Turn { now, actor: input.actor, cause: input.cause };
        self.act(input.kind, &turn)?;
        if let Err(rejected) = self.pass_time(now).and_then(|()| self.grant_all(now, ids)) {
            self.failed.get_or_insert(rejected);
        }
        Ok(())
    }

    /// The first failure since the last call of what followed from inputs: timers of a run, or grants.
    ///
    /// # Errors
    /// That one.
    pub fn take_failure(&mut self) -> Result<(), Rejected> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// What happened since the last call, in order: one transaction.
    pub fn drain_events(&mut self) -> Drain<'_, EventDraft> {
        self.events.drain(..)
    }

    /// What is to be done once those events are durable, in order.
    pub fn drain_effects(&mut self) -> Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// When a [`InputKind::Tick`] is due, and why. Always later than the last input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(TimestampMs, WakeReason)> {
        let run = self.wakes.first().map(|(at_ms, id)| {
            let run = self.run(id);
            let expiry = run.and_then(|run| run.index.expiries.first()).map(|(at_ms, _)| *at_ms);
            let prompt = run.and_then(|run| run.index.prompts.first()).map(|(at_ms, _)| *at_ms);
            let why = if run.and_then(Run::deadline_ms) == Some(*at_ms) {
                WakeReason::RunTimeout
            } else if expiry == Some(*at_ms) {
                WakeReason::Approval
            } else if prompt == Some(*at_ms) {
                WakeReason::Prompt
            } else {
                WakeReason::Retry
            };
            (*at_ms, why)
        });
        let held =
            self.held_until.filter(|_| !self.hungry.is_empty()).map(|at_ms| (at_ms, WakeReason::Retry));
        match (run, held) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// A run that it knows.
    #[must_use]
    pub fn run(&self, id: &RunId) -> Option<&Run> {
        self.runs.get(id).map(|slot| &slot.run)
    }

    /// Runs that have not ended, oldest first.
    pub fn open_runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().map(|slot| &slot.run).filter(|run| !run.state().is_terminal())
    }

    /// Lets go of the runs that have ended, and gives them. A late result of one is [`Rejected::NoRun`]
    /// afterwards: as a run ends only when each of its attempts is recorded, whoever drives the machine
    /// acknowledges it. For `dag retry` such a run is restored first.
    pub fn forget_ended(&mut self) -> Vec<Run> {
        let ended = std::mem::take(&mut self.ended);
        ended.into_iter().filter_map(|id| self.take(id)).collect()
    }

    /// Lets go of a run that another node coordinates from now on. Nothing follows from it here.
    pub fn leave(&mut self, run: RunId) {
        self.take(run);
        self.nodes.hold(run, false);
        self.nodes.commits.forget(run);
    }

    /// Attempts under way in all runs, for reconciling with a session host after a restart. Those that it
    /// does not know never began: they are withdrawn, or lost where `host` is another instance, or they
    /// are known to have begun.
    pub fn live_attempts(&self) -> impl Iterator<Item = LiveAttempt> + '_ {
        self.runs.values().flat_map(|slot| {
            let run = &slot.run;
            run.live().filter_map(|index| {
                let live = run.entry(index).live.as_ref()?;
                Some(LiveAttempt {
                    attempt: attempt_id(run, index, live.attempt),
                    session: live.session,
                    fence: live.fence,
                    node: live.node.clone(),
                    host: live.host,
                    cancelling: live.stopping.is_some(),
                    grace_ms: run.spec(index).grace_ms,
                    handed_in_ms: live.handed_in_ms(),
                    started: live.pid.is_some(),
                    blocked_episode: live.blocked.as_ref().map(|_| live.episode),
                })
            })
        })
    }

    fn act(&mut self, kind: InputKind, turn: &Turn) -> Result<(), Rejected> {
        match kind {
            InputKind::Submit { run, facts, dag, start } => self.submit(run, *facts, dag, start, turn),
            InputKind::Start { run } => self.start(run, turn),
            InputKind::Pause { run } => self.pause(run, turn),
            InputKind::Resume { run } => self.resume(run, turn),
            InputKind::Cancel { run, now } => self.cancel(run, now, turn),
            InputKind::Retry { run, scope } => self.retry(run, scope, turn),
            InputKind::Worker(message) => self.hear(message, turn),
            InputKind::KillTask { attempt, grace_ms } => self.kill(&attempt, grace_ms, turn),
            InputKind::Blocked { attempt, prompt } => self.blocked(&attempt, prompt, turn),
            InputKind::Unblocked { attempt, episode } => self.unblocked(&attempt, episode, turn),
            InputKind::HandIn { attempt, text } => self.hand_in(&attempt, text, turn),
            InputKind::DefaultRefused { attempt, item, detail } => {
                self.default_refused(&attempt, &item, &detail, turn)
            }
            InputKind::LoggedOut { attempt, account, retryable, detail } => {
                self.logged_out(&attempt, account, retryable, &detail, turn)
            }
            InputKind::LoginWorked { account } => self.login_worked(&account, turn),
            InputKind::TasksAdded { run, parent, tasks } => self.add_tasks(run, parent, tasks, turn),
            InputKind::ModeChanged { run, mode, room } => self.set_mode(run, mode, room, turn),
            InputKind::NodeLost { node, host, by, ended } => self.node_lost(&node, host, by, &ended, turn),
            InputKind::AttemptLost { attempt, detail } => self.attempt_lost(&attempt, detail, turn),
            InputKind::TakenOver { run, owner, epoch, cut } => self.taken_over(run, owner, epoch, cut, turn),
            InputKind::Decide { run, task, approve, reason } => {
                self.decide(run, &task, approve, reason, turn)
            }
            InputKind::SetGroup { name, group } => self.set_group(&name, group, turn),
            InputKind::RoomGroups { room, groups } => {
                self.set_room_groups(&room, groups);
                Ok(())
            }
            InputKind::RoomShare { room, share } => {
                self.set_room_share(&room, share);
                Ok(())
            }
            InputKind::NodeOffer { room, node, offer } => {
                self.nodes.offers(room, node, offer);
                self.count_ahead();
                Ok(())
            }
            InputKind::Adopt { run, grant, member } => self.adopt(run, *grant, &member, turn),
            InputKind::HoldGrants { run, held } => {
                self.nodes.hold(run, held);
                self.nodes.commits.ask_anew(run);
                self.touch(run);
                Ok(())
            }
            InputKind::RoomHas { run, number } => {
                self.room_has(run, number);
                Ok(())
            }
            InputKind::ForeignSessions { count } => {
                self.foreign = count;
                Ok(())
            }
            InputKind::Tick => Ok(()),
        }
    }

    fn submit(
        &mut self,
        id: RunId,
        facts: RunCreated,
        dag: Arc<Dag>,
        start: bool,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        if self.runs.contains_key(&id) {
            return Err(Rejected::State(format!("run {id} is there already: submit it under a new id")));
        }
        if facts.owner != self.node {
            return Err(Rejected::State(format!(
                "run {id} is coordinated by {}, not by this node",
                facts.owner
            )));
        }
        self.check_groups(&dag, &dag.tasks, facts.mode, facts.room.as_deref())?;
        let run = Run::new(id, &facts, dag, turn.now).map_err(|e| Rejected::State(e.to_string()))?;
        self.put(run);
        self.push(Some(id), EventBody::RunCreated(Box::new(facts)), turn);
        if start { self.start(id, turn) } else { Ok(()) }
    }

    /// Timers that are due, timeouts of runs, and runs that were just restored.
    fn pass_time(&mut self, now: TimestampMs) -> Result<(), Rejected> {
        let turn = Turn { now, actor: None, cause: None };
        for id in std::mem::take(&mut self.restored) {
            if let Some(slot) = self.runs.get_mut(&id) {
                slot.run.calm(now);
            }
            if let Some(run) = self.run(&id).filter(|run| self.is_ours(run)) {
                let all = 0..run.len();
                self.finish(id, all, &turn)?;
            }
        }
        while let Some((at_ms, id)) = self.wakes.first().copied().filter(|(at_ms, _)| *at_ms <= now) {
            let Some(slot) = self.runs.get_mut(&id) else {
                self.wakes.pop_first();
                continue;
            };
            let before = (slot.run.next_due(), slot.run.deadline_ms());
            slot.run.wake(now);
            if slot.run.deadline_ms().is_some_and(|at_ms| at_ms <= now) {
                self.cancel_for(id, &EndReason::RunTimeout, false, &turn)?;
            }
            self.expire(id, &turn)?;
            self.prompts_due(id, &turn)?;
            self.touch(id);
            let Some(slot) = self.runs.get_mut(&id).filter(|slot| slot.wake == Some(at_ms)) else { continue };
            let is_stuck = before == (slot.run.next_due(), slot.run.deadline_ms());
            debug_assert!(!is_stuck, "what is due at {at_ms} in run {id} stays due: {before:?}");
            if is_stuck {
                // The run is looked at again when something happens to it; until then the others go on.
                slot.wake = None;
                self.wakes.remove(&(at_ms, id));
            }
        }
        Ok(())
    }

    /// So many grants of a run may be given ahead of their turn from now on. Gives how many might before.
    fn set_ahead(&mut self, id: RunId, count: u32) -> u32 {
        let Some(slot) = self.runs.get_mut(&id) else { return 0 };
        let before = std::mem::replace(&mut slot.run.ahead, count);
        self.touch(id);
        before
    }

    /// Counts anew how many sessions of each run may wait at the nodes of its room.
    pub(super) fn count_ahead(&mut self) {
        for slot in self.runs.values().filter(|slot| slot.run.facts().mode == ExecutionMode::Matrix) {
            self.nodes.look_for_pinned_tasks(&slot.run);
        }
        let in_room = self
            .runs
            .values()
            .map(|slot| &slot.run)
            .filter(|run| run.facts().mode == ExecutionMode::Matrix && run.state() == RunState::Running);
        let wishes: Vec<(RunId, u32)> = in_room
            .map(|run| (run.id(), self.nodes.ahead_of(run), run.ahead))
            .filter(|(_, wish, known)| wish != known)
            .map(|(id, wish, _)| (id, wish))
            .collect();
        for (id, wish) in wishes {
            self.set_ahead(id, wish);
        }
    }

    /// Nothing of a run may wait at its worker any more. That something does is not seen from the worker's
    /// wish: it may have changed since, or been forgotten with an earlier life of this node.
    pub(super) fn take_back(&mut self, id: RunId) {
        if self.set_ahead(id, 0) > 0 || self.run(&id).is_some_and(Run::may_wait_at_worker) {
            self.effects.push(Effect::Withdraw { run: id });
        }
    }

    /// Folds an event into its run and keeps it for the store.
    fn emit(&mut self, id: RunId, body: EventBody, turn: &Turn) -> Result<(), Rejected> {
        let slot = self.runs.get_mut(&id).ok_or(Rejected::NoRun(id))?;
        slot.run.apply(&body, turn.now).map_err(|e| Rejected::State(e.to_string()))?;
        self.push(Some(id), body, turn);
        Ok(())
    }

    fn push(&mut self, run: Option<RunId>, body: EventBody, turn: &Turn) {
        let (actor, cause) = (turn.actor.clone(), turn.cause);
        self.events.push(EventDraft { run, at_ms: turn.now, actor, cause, body });
    }

    /// Draws the consequences for waiting tasks (one event), then for the run.
    fn finish(
        &mut self,
        id: RunId,
        seeds: impl IntoIterator<Item = u32>,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let mut settled = settle(self.known(id)?, seeds, turn.now);
        loop {
            let Settled { changes, expansions, later } = settled;
            if !changes.is_empty() {
                self.emit(id, EventBody::TaskStatus { changes }, turn)?;
            }
            for (task, items) in expansions {
                self.emit(id, EventBody::TaskExpanded { task, items }, turn)?;
            }
            let run = self.known(id)?;
            if !later.is_empty() {
                settled = settle(run, later, turn.now);
                continue;
            }
            settled = handlers::turn(run, turn.now);
            if settled.is_empty() {
                break;
            }
        }
        if let Some(end) = ending(self.known(id)?) {
            self.emit(id, end, turn)?;
        }
        self.touch(id);
        Ok(())
    }
}

fn attempt_id(run: &Run, index: u32, number: u32) -> AttemptId {
    AttemptId { run: run.id(), task: run.spec(index).id.clone(), number }
}
