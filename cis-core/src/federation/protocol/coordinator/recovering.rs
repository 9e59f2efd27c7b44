//! What a coordinator finds out after a takeover: what workers have of a run, and when nothing is left of what does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::{Coordinated, CoordinatorHalf, Effect, Given, Phase, RunPhase, send};
use crate::federation::protocol::message::{Granted, HeldRecord, HeldState, Message, Payload};
use crate::federation::protocol::settings::BootMs;
use crate::ids::{AttemptId, Epoch, NodeDid, RunId, TaskId};

/// What the grants of a run wait for after a takeover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaits {
    /// Workers that did not say yet what they have of the run.
    pub silent: BTreeSet<NodeDid>,
    /// Sessions at work that do not count, with the workers that have to end them.
    pub void: BTreeMap<Granted, NodeDid>,
    /// All leases that an earlier coordinator gave are over then, and nothing is waited for any longer.
    pub until: BootMs,
}

/// An attempt that the journal has as the one under way, while workers say that they have newer ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Contested<S> {
    attempt: AttemptId,
    given: Given<S>,
    /// Its worker has it.
    is_kept: bool,
    /// Those newer ones, with who says that.
    rivals: BTreeSet<(Granted, NodeDid)>,
}

/// What the workers of a run say that they have.
struct Held {
    /// The newest attempts of tasks that the journal tells, each of the worker that it names.
    kept: BTreeMap<TaskId, HeldRecord>,
    /// What only its worker tells, if it is newer than that. By task, the newest grant first.
    claimed: Vec<(NodeDid, HeldRecord)>,
}

impl<P: Payload> CoordinatorHalf<P> {
    /// What the grants of a run wait for. None: for nothing, or for nothing that this half knows.
    #[must_use]
    pub fn awaits(&self, run: RunId) -> Option<Awaits> {
        match &self.runs.get(&run)?.phase {
            RunPhase::Active => None,
            RunPhase::Recovering { silent, until, .. } => {
                Some(Awaits { silent: silent.clone(), void: BTreeMap::new(), until: *until })
            }
            RunPhase::Settling { void, until, .. } => {
                Some(Awaits { silent: BTreeSet::new(), void: void.clone(), until: *until })
            }
        }
    }

    /// The caller does not adopt what a worker has: the session is to end.
    pub(super) fn voids(&mut self, granted: &Granted, worker: &NodeDid) {
        let phase = self.runs.get_mut(&granted.attempt.run).map(|run| &mut run.phase);
        if let Some(RunPhase::Settling { found, void, .. }) = phase
            && found.remove(granted)
        {
            void.insert(granted.clone(), worker.clone());
        }
    }

    /// A worker has nothing of a grant: its session is over, and it will not start it.
    pub(super) fn is_gone(
        &mut self,
        worker: &NodeDid,
        granted: &Granted,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let phase = self.runs.get_mut(&granted.attempt.run).map(|run| &mut run.phase);
        if let Some(RunPhase::Settling { void, .. }) = phase
            && void.get(granted) == Some(worker)
        {
            void.remove(granted);
            self.recover(now, out);
        }
    }

    /// Asks workers what they have of runs that were taken over, until all of them answered or their leases are over. If a
    /// session is at work that the caller does not adopt, no task of the run is granted before its worker says that nothing of it is
    /// left, or its lease is over.
    pub(super) fn recover(&mut self, now: BootMs, out: &mut Vec<Effect<P>>) {
        let resend_ms = self.settings.resend_ms;
        let mut known = Vec::new();
        for (run, Coordinated { epoch, phase }) in &mut self.runs {
            let RunPhase::Recovering { silent, until, resend_at, held } = phase else { continue };
            if silent.is_empty() || *until <= now {
                known.push((*run, std::mem::take(held)));
                let (found, void, until) = (BTreeSet::new(), BTreeMap::new(), *until);
                *phase = RunPhase::Settling { found, void, until, ask_at: now + resend_ms };
            } else if *resend_at <= now {
                *resend_at = now + resend_ms;
                for worker in silent.iter() {
                    send(out, worker, Message::Recover { run: *run, epoch: *epoch });
                }
            }
        }
        for (run, held) in known {
            self.recovered(run, held, out);
        }
        for (run, Coordinated { epoch, phase }) in &mut self.runs {
            let RunPhase::Settling { found, void, until, ask_at } = phase else { continue };
            if (found.is_empty() && void.is_empty()) || *until <= now {
                *phase = RunPhase::Active;
                out.push(Effect::Ready(*run));
            } else if *ask_at <= now {
                *ask_at = now + resend_ms;
                for (granted, worker) in void.iter() {
                    // The first `Forget` may be lost.
                    send(out, worker, Message::Forget { epoch: *epoch, granted: granted.clone() });
                    // A worker answers a renewal of what it does not have any more; this one gives no lease to what it has.
                    let (nonce, lease_ms, grants) = (0, 0, vec![granted.clone()]);
                    send(out, worker, Message::Renew { run: *run, epoch: *epoch, nonce, lease_ms, grants });
                }
            }
        }
    }

    /// Of each task the newest grant counts that the caller believes: it was made when those before it were known to be over. What the
    /// journal tells stands until then, as a worker can say of any attempt that it has it.
    fn recovered(&mut self, run: RunId, held: Vec<(NodeDid, HeldRecord)>, out: &mut Vec<Effect<P>>) {
        let Held { kept, claimed } = self.sort_held(held);
        // Nobody else was given a task whose session has a lease.
        let is_at_work =
            |task: &TaskId| kept.get(task).is_some_and(|record| record.state == HeldState::Working);
        let (void, claimed): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|(_, record)| is_at_work(&record.granted.attempt.task));
        let mut lost = Vec::new();
        let of_run =
            self.given.iter().filter(|(attempt, given)| attempt.run == run && given.phase != Phase::Recorded);
        let of_run: Vec<Granted> = of_run.map(|(attempt, given)| given.granted(attempt)).collect();
        for granted in of_run {
            let task = granted.attempt.task.clone();
            let is_kept = kept.get(&task).is_some_and(|record| record.granted == granted);
            let is_rival = |record: &HeldRecord| {
                record.granted.attempt.task == task && record.granted.fence > granted.fence
            };
            let rivals: BTreeSet<(Granted, NodeDid)> = claimed
                .iter()
                .filter(|(_, record)| is_rival(record))
                .map(|(worker, record)| (record.granted.clone(), worker.clone()))
                .collect();
            if is_kept && rivals.is_empty() {
                continue;
            }
            let Some(given) = self.given.remove(&granted.attempt) else { continue };
            if rivals.is_empty() {
                lost.push(Effect::Lost(granted));
            } else {
                let contested = Contested { attempt: granted.attempt, given, is_kept, rivals };
                self.contested.insert((run, task), contested);
            }
        }
        if let Some(Coordinated { epoch, phase: RunPhase::Settling { found, void: ends, .. } }) =
            self.runs.get_mut(&run)
        {
            let works = |record: &HeldRecord| record.state == HeldState::Working;
            let at_work = claimed.iter().filter(|(_, record)| works(record));
            found.extend(at_work.map(|(_, record)| record.granted.clone()));
            for (worker, HeldRecord { granted, .. }) in void.into_iter().filter(|(_, record)| works(record)) {
                send(out, &worker, Message::Forget { epoch: *epoch, granted: granted.clone() });
                ends.insert(granted, worker);
            }
        }
        out.extend(lost);
        for (worker, record) in claimed {
            let contested = self.contested.get(&(run, record.granted.attempt.task.clone()));
            let contested = contested.filter(|it| it.given.fence < record.granted.fence);
            let instead_of = contested.map(|it| it.given.granted(&it.attempt));
            out.push(Effect::Found { worker, record, instead_of });
        }
    }

    /// Sorts what workers say that they have into what the journal tells, and what only they tell.
    fn sort_held(&self, held: Vec<(NodeDid, HeldRecord)>) -> Held {
        let mut kept: BTreeMap<TaskId, HeldRecord> = BTreeMap::new();
        let mut others: BTreeMap<(TaskId, NodeDid), HeldRecord> = BTreeMap::new();
        for (worker, record) in held {
            let task = record.granted.attempt.task.clone();
            let known = self.given.get(&record.granted.attempt);
            match known.filter(|given| given.fence == record.granted.fence) {
                Some(given) if given.worker == worker => {
                    if kept.get(&task).is_none_or(|known| known.granted.fence < record.granted.fence) {
                        kept.insert(task, record);
                    }
                }
                // Its result is here already.
                Some(given) if given.phase == Phase::Recorded => {}
                _ => {
                    let key = (task, worker);
                    if others.get(&key).is_none_or(|known| known.granted.fence < record.granted.fence) {
                        others.insert(key, record);
                    }
                }
            }
        }
        let is_newer = |record: &HeldRecord| {
            let known = kept.get(&record.granted.attempt.task);
            known.is_none_or(|known| known.granted.fence < record.granted.fence)
        };
        let others = others.into_iter().map(|((_, worker), record)| (worker, record));
        let mut claimed: Vec<(NodeDid, HeldRecord)> = others.filter(|(_, record)| is_newer(record)).collect();
        claimed.sort_by(|(_, a), (_, b)| {
            let by_task = a.granted.attempt.task.cmp(&b.granted.attempt.task);
            by_task.then(b.granted.fence.cmp(&a.granted.fence))
        });
        Held { kept, claimed }
    }

    /// The caller does not count what a worker says that it has. If nobody else says that of the task, what the journal tells of it
    /// stands: its worker goes on, or has nothing of it any more.
    pub fn refuse(&mut self, granted: &Granted, worker: &NodeDid, out: &mut Vec<Effect<P>>) {
        let key = (granted.attempt.run, granted.attempt.task.clone());
        let Some(contested) = self.contested.get_mut(&key) else { return };
        if !contested.rivals.remove(&(granted.clone(), worker.clone())) || !contested.rivals.is_empty() {
            return;
        }
        let Some(Contested { attempt, given, is_kept, .. }) = self.contested.remove(&key) else { return };
        if is_kept {
            self.given.insert(attempt, given);
        } else {
            out.push(Effect::Lost(given.granted(&attempt)));
        }
    }

    /// Whether some worker has an attempt of a task that counts.
    #[must_use]
    pub fn gives(&self, run: RunId, task: &TaskId) -> bool {
        self.given.keys().any(|attempt| attempt.run == run && attempt.task == *task)
    }

    pub(super) fn holding(
        &mut self,
        from: &NodeDid,
        run: RunId,
        epoch: Epoch,
        records: Vec<HeldRecord>,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) -> Result<(), String> {
        if records.iter().any(|record| record.granted.attempt.run != run) {
            return Err("attempts of another run".to_owned());
        }
        if let Some(Coordinated { epoch: own, phase: RunPhase::Recovering { silent, held, .. } }) =
            self.runs.get_mut(&run)
            && *own == epoch
            && silent.remove(from)
        {
            held.extend(records.into_iter().map(|record| (from.clone(), record)));
            self.recover(now, out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::protocol::Settings;
    use crate::federation::protocol::coordinator::KnownGrant;
    use crate::federation::protocol::message::Grant;
    use crate::federation::protocol::tests::{Text, did, run};
    use crate::federation::protocol::worker::{self, WorkerHalf};
    use crate::fence;
    use crate::ids::SessionId;

    fn granted() -> Granted {
        let attempt = AttemptId { run: run(), task: TaskId::new("t").unwrap(), number: 1 };
        Granted { attempt, fence: fence::next(0, 0) }
    }

    /// Gives what one half sends to the other one, and what that answers back, until nothing is said any more. Returns what else the
    /// halves want.
    fn talk(
        half: &mut CoordinatorHalf<Text>,
        worker: &mut WorkerHalf<Text>,
        mut out: Vec<Effect<Text>>,
        now: BootMs,
    ) -> (Vec<Effect<Text>>, Vec<worker::Effect<Text>>) {
        let (mut of_half, mut of_worker) = (Vec::new(), Vec::new());
        while !out.is_empty() {
            let mut said = Vec::new();
            for effect in std::mem::take(&mut out) {
                match effect {
                    Effect::Send { message, .. } => {
                        worker.receive(&did("c"), message, now, &mut said).unwrap()
                    }
                    other => of_half.push(other),
                }
            }
            for effect in said {
                match effect {
                    worker::Effect::Send { message, .. } => {
                        half.receive(&did("w"), message, now, &mut out).unwrap();
                    }
                    other => of_worker.push(other),
                }
            }
        }
        (of_half, of_worker)
    }

    /// A worker that may execute can say of any task that it has a newer attempt.
    #[test]
    fn what_the_journal_tells_stands_against_claims_that_do_not_count() {
        let claim = |number| {
            let attempt = AttemptId { number, ..granted().attempt };
            let granted = Granted { attempt, fence: granted().fence + u64::from(number) };
            HeldRecord { granted, session: SessionId::from_parts(1, 2), state: HeldState::Working }
        };
        let recovered = |state| {
            let mut half = CoordinatorHalf::<Text>::new(Settings::default(), true);
            let known = KnownGrant { granted: granted(), worker: did("w"), recorded: false };
            half.take_over(run(), 1, [known], [did("w"), did("x"), did("y")], 0);
            let own = HeldRecord { granted: granted(), session: SessionId::from_parts(1, 1), state };
            let mut out = Vec::new();
            for (worker, record) in [("x", claim(9)), ("y", claim(2)), ("w", own)] {
                let said = Message::Holding { run: run(), epoch: 1, held: vec![record] };
                half.receive(&did(worker), said, 1, &mut out).unwrap();
            }
            let found: Vec<(NodeDid, Option<Granted>)> = out
                .into_iter()
                .filter_map(|effect| match effect {
                    Effect::Found { worker, instead_of, .. } => Some((worker, instead_of)),
                    Effect::Lost(lost) => panic!("{lost:?} is lost"),
                    _ => None,
                })
                .collect();
            (half, found)
        };
        // Its session has a lease: nobody was given another attempt.
        let (half, found) = recovered(HeldState::Working);
        assert_eq!((found, half.worker_of(&granted())), (vec![], Some(&did("w"))));
        let void = half.awaits(run()).map(|awaits| awaits.void);
        let claims = [(claim(2).granted, did("y")), (claim(9).granted, did("x"))];
        assert_eq!(void, Some(claims.into()), "they are waited for");
        for state in [HeldState::Frozen, HeldState::Ended] {
            let (mut half, found) = recovered(state);
            let both = [did("x"), did("y")].map(|worker| (worker, Some(granted())));
            assert_eq!(found, both, "the newest one first");
            let mut out = Vec::new();
            half.refuse(&claim(9).granted, &did("x"), &mut out);
            assert_eq!(half.worker_of(&granted()), None, "the other one is not decided on");
            half.refuse(&claim(2).granted, &did("y"), &mut out);
            assert_eq!((out, half.worker_of(&granted())), (vec![], Some(&did("w"))));
            let (mut half, _) = recovered(state);
            half.refuse(&claim(9).granted, &did("x"), &mut Vec::new());
            half.adopt(&claim(2).granted, &did("y"), 2);
            assert_eq!(half.worker_of(&granted()), None);
            assert_eq!(half.worker_of(&claim(2).granted), Some(&did("y")));
        }
    }

    /// The scheduler does not count it: the journal lost its grant, and a result that it builds on.
    #[test]
    fn a_run_goes_on_once_the_worker_has_ended_what_does_not_count() {
        let Settings { resend_ms, .. } = Settings::default();
        let (it, mut said) = (granted(), Vec::new());
        let mut worker = WorkerHalf::<Text>::new(Settings::default(), 1, 0);
        worker.tick(0, Some(&0), &[did("old")], &mut said);
        let grant = Grant { granted: it.clone(), session: SessionId::from_parts(1, 1), spec: "true" };
        let grant = Message::Grant { epoch: 0, nonce: 2, lease_ms: 60_000, grant };
        worker.receive(&did("old"), grant, 0, &mut said).unwrap();
        assert_eq!(worker.live_sessions(), 1);
        let mut half = CoordinatorHalf::<Text>::new(Settings::default(), true);
        half.take_over(run(), 1, [], [did("w")], 0);
        let until = Settings::default().lease_bound_ms();
        let silent = [did("w")].into();
        assert_eq!(half.awaits(run()), Some(Awaits { silent, void: BTreeMap::new(), until }));
        let tick = |half: &mut CoordinatorHalf<Text>, now| {
            let mut out = Vec::new();
            half.tick(now, &mut out);
            out
        };
        let out = tick(&mut half, 0);
        let (found, _) = talk(&mut half, &mut worker, out, 1);
        assert!(matches!(&found[..], [Effect::Found { .. }]), "{found:?}");
        // The message that ends it is lost.
        half.release(&it, &did("w"), &mut Vec::new());
        let void = BTreeMap::from([(it.clone(), did("w"))]);
        assert_eq!(half.awaits(run()), Some(Awaits { silent: BTreeSet::new(), void, until }));
        let ask_at = 1 + resend_ms;
        assert_eq!(half.poll_timeout(), Some(ask_at));
        let out = tick(&mut half, ask_at);
        let (_, killed) = talk(&mut half, &mut worker, out, ask_at);
        assert_eq!(killed, [worker::Effect::Kill(it.clone())], "it gets no lease");
        let out = tick(&mut half, ask_at + resend_ms);
        talk(&mut half, &mut worker, out, ask_at + resend_ms);
        assert!(!half.is_active(run()), "it is still being killed");
        let now = ask_at + 2 * resend_ms;
        worker.ended(&it, "killed", now, &mut Vec::new());
        // Another node cannot say that of it.
        let gone = Message::Unknown { granted: it.clone() };
        half.receive(&did("x"), gone, now, &mut Vec::new()).unwrap();
        assert!(half.awaits(run()).is_some_and(|awaits| awaits.void.contains_key(&it)));
        let out = tick(&mut half, now);
        let (ready, _) = talk(&mut half, &mut worker, out, now);
        assert_eq!(ready, [Effect::Ready(run())]);
        assert_eq!((half.is_active(run()), half.awaits(run())), (true, None));
    }
}
