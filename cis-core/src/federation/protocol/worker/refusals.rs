//! What a worker says of grants that it refused, when it is asked about them.
//!
//! A refusal is sent once, and may be lost. Its coordinator would take the attempt for a lost one if its worker knew nothing of it then. What is
//! remembered here does not outlive the node.

use std::collections::BTreeMap;

use super::super::message::{Granted, Message, Payload};
use super::super::settings::BootMs;
use super::{Effect, WorkerHalf, key, send};
use crate::api::Refusal;
use crate::ids::{NodeDid, RunId, TaskId};

/// So many are remembered: of each task the newest one.
const REFUSALS_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Refusals(BTreeMap<(RunId, TaskId), Refused>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Refused {
    granted: Granted,
    reason: Refusal,
    /// When that was said last.
    at: BootMs,
}

impl Refusals {
    /// Remembers why a grant was refused. Above the limit, the oldest refusal is forgotten.
    pub(super) fn add(&mut self, granted: Granted, reason: Refusal, at: BootMs) {
        self.0.insert(key(&granted), Refused { granted, reason, at });
        if self.0.len() > REFUSALS_MAX
            && let Some((oldest, _)) = self.0.iter().min_by_key(|(_, refused)| refused.at)
        {
            let oldest = oldest.clone();
            self.0.remove(&oldest);
        }
    }

    pub(super) fn has(&self, granted: &Granted) -> bool {
        self.0.get(&key(granted)).is_some_and(|refused| refused.granted == *granted)
    }

    /// Why a grant was refused, to say it again.
    fn repeat(&mut self, granted: &Granted, now: BootMs) -> Option<Refusal> {
        let refused = self.0.get_mut(&key(granted)).filter(|refused| refused.granted == *granted)?;
        refused.at = now;
        Some(refused.reason.clone())
    }

    /// The coordinator of a grant does not have it any more.
    pub(super) fn forget(&mut self, granted: &Granted) {
        if self.has(granted) {
            self.0.remove(&key(granted));
        }
    }

    /// Forgets what was said last at that time or earlier.
    pub(super) fn forget_until(&mut self, at: BootMs) {
        self.0.retain(|_, refused| refused.at > at);
    }
}

impl<P: Payload> WorkerHalf<P> {
    /// Says that it refused a grant, or has nothing of it.
    pub(super) fn has_nothing(
        &mut self,
        from: &NodeDid,
        granted: Granted,
        now: BootMs,
        out: &mut Vec<Effect<P>>,
    ) {
        let message = match self.refusals.repeat(&granted, now) {
            Some(reason) => Message::Refused { granted, reason },
            None => Message::Unknown { granted },
        };
        send(out, from, message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::coordinator::{self, CoordinatorHalf};
    use super::super::super::message::Grant;
    use super::super::super::settings::Settings;
    use super::*;
    use crate::federation::protocol::tests::{Text, did, run};
    use crate::ids::{AttemptId, SessionId};

    fn granted(task: &str) -> Granted {
        Granted { attempt: AttemptId { run: run(), task: TaskId::new(task).unwrap(), number: 1 }, fence: 1 }
    }

    fn reason() -> Refusal {
        Refusal::Policy { detail: "rule 1".to_owned() }
    }

    /// A coordinator and a worker, and a carrier between them that may lose messages.
    struct Pair {
        coordinator: CoordinatorHalf<Text>,
        worker: WorkerHalf<Text>,
    }

    impl Pair {
        /// The worker has refused a grant, and the coordinator was not told. `loses`: what else was lost.
        fn new(it: &Granted, loses: impl Fn(&Message<Text>) -> bool) -> Self {
            let mut coordinator = CoordinatorHalf::new(Settings::default(), true);
            coordinator.begin(run(), 0);
            let mut pair = Self { coordinator, worker: WorkerHalf::new(Settings::default(), 0, 0) };
            pair.step(0, &loses);
            let grant = Grant { granted: it.clone(), session: SessionId::from_parts(1, 1), spec: "true" };
            pair.coordinator.grant(did("w"), grant, 0);
            pair.step(1, &loses);
            assert_eq!(pair.worker.live_sessions(), 1);
            let mut lost = Vec::new();
            pair.worker.refused(it, reason(), 2, &mut lost);
            let refusal = Message::Refused { granted: it.clone(), reason: reason() };
            assert_eq!(lost, [Effect::Send { to: did("c"), message: refusal }]);
            pair
        }

        /// Both do what is due, and hear what they say. Returns what the coordinator takes for over.
        fn step(
            &mut self,
            now: BootMs,
            loses: impl Fn(&Message<Text>) -> bool,
        ) -> Vec<coordinator::Effect<Text>> {
            let (mut told, mut said, mut over) = (Vec::new(), Vec::new(), Vec::new());
            self.worker.tick(now, Some(&0), &[did("c")], &mut said);
            self.coordinator.tick(now, &mut told);
            while !told.is_empty() || !said.is_empty() {
                for effect in std::mem::take(&mut told) {
                    match effect {
                        coordinator::Effect::Send { message, .. } if !loses(&message) => {
                            self.worker.receive(&did("c"), message, now, &mut said).unwrap();
                        }
                        coordinator::Effect::Refused { .. } | coordinator::Effect::Lost(_) => {
                            over.push(effect);
                        }
                        _ => {}
                    }
                }
                for effect in std::mem::take(&mut said) {
                    if let Effect::Send { message, .. } = effect
                        && !loses(&message)
                    {
                        self.coordinator.receive(&did("w"), message, now, &mut told).unwrap();
                    }
                }
            }
            over
        }
    }

    #[test]
    fn a_refusal_that_is_lost_is_said_again_when_its_coordinator_asks() {
        let it = granted("t");
        let refused = coordinator::Effect::Refused { granted: it.clone(), reason: reason() };
        for (is_claimed, cancels) in [(true, false), (true, true), (false, false)] {
            let mut pair =
                Pair::new(&it, |message| !is_claimed && matches!(message, Message::Claimed { .. }));
            if cancels {
                pair.coordinator.cancel(&it, 100, false, 3);
            }
            let over: Vec<_> = (3..100_000).step_by(500).flat_map(|now| pair.step(now, |_| false)).collect();
            assert_eq!(over, std::slice::from_ref(&refused), "{is_claimed} {cancels}");
            assert_eq!(pair.worker.live_sessions(), 0, "it does not start");
        }
    }

    /// For longer than a lease lasts.
    #[test]
    fn a_refusal_is_said_again_after_an_outage_of_the_homeserver() {
        let it = granted("t");
        let mut pair = Pair::new(&it, |_| false);
        pair.coordinator.hears_nobody();
        for now in (10_000..600_000).step_by(10_000) {
            assert_eq!(pair.step(now, |_| true), []);
        }
        pair.coordinator.hears_again(600_000);
        let over = pair.step(600_000, |_| false);
        assert_eq!(over, [coordinator::Effect::Refused { granted: it, reason: reason() }]);
    }

    /// A coordinator that took the run over has the session of a grant ended that does not count, and waits until nothing is left of it.
    #[test]
    fn of_a_refused_grant_that_is_to_be_forgotten_nothing_is_left() {
        let it = granted("t");
        let mut half = Pair::new(&it, |_| false).worker;
        let mut out = Vec::new();
        half.receive(&did("c"), Message::Forget { epoch: 0, granted: it.clone() }, 3, &mut out).unwrap();
        let (nonce, lease_ms, grants) = (0, 0, vec![it.clone()]);
        let renewal = Message::Renew { run: run(), epoch: 0, nonce, lease_ms, grants };
        half.receive(&did("c"), renewal, 3, &mut out).unwrap();
        assert_eq!(out, [Effect::Send { to: did("c"), message: Message::Unknown { granted: it } }]);
    }

    #[test]
    fn refusals_are_remembered_up_to_a_number_and_for_a_time() {
        let mut refusals = Refusals::default();
        let count = REFUSALS_MAX + 10;
        let all: Vec<_> = (0..count).map(|n| granted(&format!("t{n}"))).collect();
        for (it, at) in all.iter().zip(0..) {
            refusals.add(it.clone(), reason(), at);
        }
        assert_eq!(all.iter().position(|it| refusals.has(it)), Some(10), "the oldest are forgotten");
        assert_eq!(refusals.repeat(&all[10], 1_000_000), Some(reason()));
        refusals.forget_until(1_000_000 - 1);
        assert_eq!(all.iter().filter(|it| refusals.has(it)).count(), 1, "what was said lately stays");
    }
}
