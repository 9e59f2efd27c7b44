//! Whom a worker obeys in a run: since when, and for how long that is remembered.

use std::collections::BTreeSet;

use super::super::message::{Nonce, Payload};
use super::{Phase, WorkerHalf, key};
use crate::ids::{Epoch, NodeDid, RunId};

/// Whom a worker obeys in a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Term {
    pub(super) epoch: Epoch,
    pub(super) coordinator: NodeDid,
    /// Grants that echo an older heartbeat are not taken: they were sent before the coordinator asked what is held.
    pub(super) floor: Nonce,
    /// The newest heartbeat when the run was seen to be over here.
    over_at: Option<Nonce>,
}

impl<P: Payload> WorkerHalf<P> {
    /// A node coordinates the run from now on, as the room's journal says.
    pub fn enters(&mut self, run: RunId, epoch: Epoch, coordinator: &NodeDid) {
        let term = self.terms.get(&run);
        // Two nodes may have begun the same term at homeservers that were cut off from each other: the journal says which one counts.
        let is_another = |term: &Term| epoch > 0 && term.epoch == epoch && term.coordinator != *coordinator;
        if term.is_none_or(|term| term.epoch < epoch || is_another(term)) {
            self.begin_term(run, epoch, coordinator);
        }
    }

    /// The same as a message says it: of two nodes that claim one term, the first one.
    pub(super) fn hears_of_term(&mut self, run: RunId, epoch: Epoch, coordinator: &NodeDid) {
        if self.terms.get(&run).is_none_or(|term| term.epoch < epoch) {
            self.begin_term(run, epoch, coordinator);
        }
    }

    fn begin_term(&mut self, run: RunId, epoch: Epoch, coordinator: &NodeDid) {
        let floor = self.terms.get(&run).filter(|term| term.epoch == epoch).map_or(0, |term| term.floor);
        let coordinator = coordinator.clone();
        self.terms.insert(run, Term { epoch, coordinator, floor, over_at: None });
        // The new coordinator may have nothing of what the old one had.
        for held in self.held.values_mut().filter(|held| held.granted.attempt.run == run) {
            self.changed.insert(key(&held.granted));
            (held.noted, held.unsent) = (0, 0);
            held.progress_at = 0;
            if let Phase::Ended { recorded, resend_at, .. } = &mut held.phase {
                (*recorded, *resend_at) = (false, 0);
            }
        }
    }

    /// Forgets whom it obeyed in runs that are over and of which it has nothing, once no grant that is still on its way could start a
    /// session. Returns these runs. `is_open`: whether a run has not ended, as the room's journal says.
    pub fn forget_terms(&mut self, is_open: impl Fn(RunId) -> bool) -> Vec<RunId> {
        let tasks = self.held.keys().chain(self.over.keys());
        let at_work: BTreeSet<RunId> = tasks.map(|(run, _)| *run).collect();
        let (newest, oldest) = (self.nonce, self.beats.keys().next().copied());
        let is_forgotten = |run: &RunId, term: &mut Term| {
            if at_work.contains(run) || is_open(*run) {
                term.over_at = None;
                return false;
            }
            let over_at = *term.over_at.get_or_insert(newest);
            // What echoes an older heartbeat, or one that nobody knows, gives no lease.
            oldest.is_none_or(|oldest| oldest > over_at)
        };
        self.terms.extract_if(.., is_forgotten).map(|(run, _)| run).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::message::{Grant, Granted, HeldRecord, HeldState, Message};
    use super::super::super::{BootMs, Settings};
    use super::super::Effect;
    use super::*;
    use crate::federation::protocol::tests::{Text, did};
    use crate::fence;
    use crate::ids::{AttemptId, Fence, SessionId, TaskId};

    fn granted(fence: Fence) -> Granted {
        let attempt = AttemptId { run: RunId::from_parts(1, 1), task: TaskId::new("t").unwrap(), number: 1 };
        Granted { attempt, fence }
    }

    fn given(epoch: Epoch, granted: &Granted) -> Message<Text> {
        let grant = Grant { granted: granted.clone(), session: SessionId::from_parts(1, 1), spec: "true" };
        Message::Grant { epoch, nonce: 1, lease_ms: 60_000, grant }
    }

    fn tick(half: &mut WorkerHalf<Text>, now: BootMs) {
        half.tick(now, Some(&0), &[did("c"), did("d")], &mut Vec::new());
    }

    #[test]
    fn a_process_that_stood_still_does_not_say_that_it_has_leases() {
        let Settings { lease_ms, .. } = Settings::default();
        let mut half = WorkerHalf::<Text>::new(Settings::default(), 0, 0);
        let (mut out, one) = (Vec::new(), granted(fence::next(0, 0)));
        let run = one.attempt.run;
        tick(&mut half, 0);
        half.receive(&did("c"), given(0, &one), 1, &mut out).unwrap();
        for (now, state) in [(lease_ms - 1, HeldState::Working), (lease_ms, HeldState::Frozen)] {
            out.clear();
            half.receive(&did("d"), Message::Recover { run, epoch: 1 }, now, &mut out).unwrap();
            let record = HeldRecord { granted: one.clone(), session: SessionId::from_parts(1, 1), state };
            let message = Message::Holding { run, epoch: 1, held: vec![record] };
            let is_frozen = (state == HeldState::Frozen).then(|| Effect::Freeze(one.clone()));
            let expected: Vec<_> =
                is_frozen.into_iter().chain([Effect::Send { to: did("d"), message }]).collect();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_run_that_is_over_is_forgotten_when_no_grant_of_it_can_be_on_its_way() {
        let Settings { lease_ms, heartbeat_ms, .. } = Settings::default();
        let mut half = WorkerHalf::<Text>::new(Settings::default(), 0, 0);
        let (mut out, one) = (Vec::new(), granted(fence::next(0, 1)));
        let run = one.attempt.run;
        tick(&mut half, 0);
        half.receive(&did("d"), given(1, &one), 1, &mut out).unwrap();
        half.ended(&one, "done", 2, &mut out);
        let mut now = 3;
        for is_open in [false, true] {
            for _ in 0..10 {
                assert!(half.forget_terms(|_| is_open).is_empty(), "it has the result, or the run goes on");
                now += heartbeat_ms;
                tick(&mut half, now);
            }
            let forget = Message::Forget { epoch: 1, granted: one.clone() };
            half.receive(&did("d"), forget, now, &mut out).unwrap();
        }
        let ended = now;
        while half.forget_terms(|_| false).is_empty() {
            let stale = granted(fence::next(0, 0));
            assert!(half.receive(&did("c"), given(0, &stale), now, &mut out).is_err(), "an earlier term");
            assert!(now < ended + 10 * lease_ms, "it is never forgotten");
            now += heartbeat_ms;
            tick(&mut half, now);
        }
        assert!(now - ended >= lease_ms, "a grant may still be on its way");
        assert_eq!(half.coordinator_of(run), None);
        half.enters(run, 1, &did("d"));
        assert_eq!(half.coordinator_of(run), Some(&did("d")), "the run is retried");
    }
}
