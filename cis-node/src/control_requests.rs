//! Control requests of this node until they are answered, and those of other nodes.
//!
//! Owns which of them wait, and which were answered lately: one that comes again is not carried out again. Sends nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use cis_core::api::ProblemKind;
use cis_core::federation::control::{ControlOutcome, ControlRequest, ControlResponse, Verb, is_stale};
use cis_core::ids::{InputId, NodeDid, RunId, TaskId, TimestampMs};

/// Responses that are kept for requests that come again.
const ANSWERED_MAX: usize = 1000;

/// Own requests that are kept for inputs that come again.
const ASKED_MAX: usize = 1000;

/// Control requests of other nodes that are carried out at a time, and those of one node: an answer can take 15 s if the node of its
/// session does not respond. A coordinator forwards the answers of many people.
const UNDER_WAY_MAX: usize = 256;
const UNDER_WAY_OF_ONE_MAX: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ControlRequests {
    /// Own ones, and whom they were sent to.
    waiting: Mutex<BTreeMap<InputId, (NodeDid, oneshot::Sender<ControlOutcome>)>>,
    /// Own ones that were made for an input, the oldest first.
    asked: Mutex<VecDeque<Asked>>,
    heard: Mutex<Heard>,
}

/// What an input of this node asked another node for.
#[derive(Debug)]
struct Asked {
    input: InputId,
    id: InputId,
    run: RunId,
    verb: Verb,
    is_done: bool,
}

pub(crate) type RequestId = (NodeDid, InputId);

/// SHA-256 of a request.
pub(crate) type RequestDigest = [u8; 32];

/// Returns the digest of a request. Requests with the same id and another digest are different ones.
pub(crate) fn digest_of(request: &ControlRequest) -> RequestDigest {
    // Plain structs with text keys: they have JSON.
    Sha256::digest(serde_json::to_vec(request).unwrap_or_default()).into()
}

/// Those of other nodes.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    under_way: Vec<(RequestId, RequestDigest)>,
    /// Closed when the newest of those under way is done.
    newest: Option<oneshot::Receiver<()>>,
    /// The oldest first.
    answered: VecDeque<(RequestId, RequestDigest, ControlOutcome)>,
}

/// What is to be done with a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    CarryOut,
    /// Its outcome again.
    Tell(ControlOutcome),
    /// Refuse it: its id is that of another request.
    Reused,
    /// Leave it out: there is no place for it. It comes again until it is answered.
    Full,
    Nothing,
}

impl Heard {
    pub(crate) fn begin(&mut self, id: &RequestId, digest: RequestDigest) -> Next {
        if let Some((_, of, outcome)) = self.answered.iter().find(|(known, ..)| known == id) {
            return if *of == digest { Next::Tell(outcome.clone()) } else { Next::Reused };
        }
        if let Some((_, of)) = self.under_way.iter().find(|(known, _)| known == id) {
            return if *of == digest { Next::Nothing } else { Next::Reused };
        }
        let of_node = self.under_way.iter().filter(|((node, _), _)| *node == id.0).count();
        if of_node >= UNDER_WAY_OF_ONE_MAX || self.under_way.len() >= UNDER_WAY_MAX {
            return Next::Full;
        }
        self.under_way.push((id.clone(), digest));
        Next::CarryOut
    }

    /// The turn of the request that just began.
    pub(crate) fn turn(&mut self) -> Turn {
        let (done, is_done) = oneshot::channel();
        Turn { before: self.newest.replace(is_done), _done: done }
    }

    pub(crate) fn end(&mut self, id: RequestId, outcome: ControlOutcome) {
        let Some(at) = self.under_way.iter().position(|(known, _)| *known == id) else { return };
        let (_, digest) = self.under_way.remove(at);
        // What failed for now may be tried again under its name.
        if matches!(&outcome, ControlOutcome::Refused { why } if why.kind == ProblemKind::Unavailable) {
            return;
        }
        if self.answered.len() == ANSWERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back((id, digest, outcome));
    }
}

/// The place of a request among those under way: they are carried out in order.
#[derive(Debug)]
pub(crate) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropped at the end.
    _done: oneshot::Sender<()>,
}

impl Turn {
    /// Waits until all requests before this one are done.
    pub(crate) async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = before.await;
        }
    }
}

impl ControlRequests {
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the id of the request for an input: the same one if the input comes again. `None`: the input asked for something else.
    ///
    /// The other node reads the time of a request from its id, and the id of an input may be made of something else than a time.
    pub(crate) fn request_of(
        &self,
        input: InputId,
        run: RunId,
        verb: &Verb,
        now: TimestampMs,
    ) -> Option<InputId> {
        let mut asked = self.asked();
        if let Some(known) = asked.iter().find(|known| known.input == input) {
            // Never under another id: it may have been carried out.
            return ((known.run, &known.verb) == (run, verb)).then_some(known.id);
        }
        if asked.len() == ASKED_MAX {
            asked.pop_front();
        }
        let id = if is_stale(input, now) { InputId(ulid::Ulid::new()) } else { input };
        asked.push_back(Asked { input, id, run, verb: verb.clone(), is_done: false });
        Some(id)
    }

    /// Notes the end of the request for an input. If it was not done, the input may ask for something else.
    pub(crate) fn has_ended(&self, input: InputId, is_done: bool) {
        let mut asked = self.asked();
        asked.retain(|known| is_done || known.input != input);
        if let Some(known) = asked.iter_mut().find(|known| known.input == input) {
            known.is_done = true;
        }
    }

    /// Whether another node decided about a task for this input.
    pub(crate) fn has_decided(&self, input: InputId, run: RunId, task: &TaskId) -> bool {
        let is_it = |known: &Asked| {
            let of_task = matches!(&known.verb, Verb::Decide { task: of, .. } if of == task);
            known.is_done && known.input == input && known.run == run && of_task
        };
        self.asked().iter().any(is_it)
    }

    pub(crate) fn wait_for(&self, id: InputId, to: NodeDid) -> oneshot::Receiver<ControlOutcome> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whose callers went away.
        waiting.retain(|_, (_, answer)| !answer.is_closed());
        waiting.insert(id, (to, answer));
        answered
    }

    pub(crate) fn answered(&self, from: &NodeDid, ControlResponse { id, outcome }: ControlResponse) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&id).is_some_and(|(asked, _)| asked == from)
            && let Some((_, answer)) = waiting.remove(&id)
        {
            let _ = answer.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::{Decide, Problem};

    const ONE: RequestDigest = [1; 32];
    const OTHER: RequestDigest = [2; 32];

    fn refused(kind: ProblemKind) -> ControlOutcome {
        ControlOutcome::Refused { why: Box::new(Problem::new(kind, "no")) }
    }

    fn id(n: u128) -> RequestId {
        (NodeDid("did:key:z6Mk".to_owned()), InputId::from_parts(1, n))
    }

    #[test]
    fn what_comes_again_is_answered_and_not_carried_out_again() {
        let mut heard = Heard::default();
        assert_eq!(heard.begin(&id(1), ONE), Next::CarryOut);
        assert_eq!(heard.begin(&id(1), ONE), Next::Nothing);
        assert_eq!(heard.begin(&id(1), OTHER), Next::Reused);
        heard.end(id(1), refused(ProblemKind::Conflict));
        assert_eq!(heard.begin(&id(1), ONE), Next::Tell(refused(ProblemKind::Conflict)));
        assert_eq!(heard.begin(&id(1), OTHER), Next::Reused, "nobody has decided it");
        let other = (NodeDid("did:key:other".to_owned()), id(1).1);
        assert_eq!(heard.begin(&other, ONE), Next::CarryOut);
        assert_eq!(heard.begin(&id(2), ONE), Next::CarryOut);
        heard.end(id(2), refused(ProblemKind::Unavailable));
        assert_eq!(heard.begin(&id(2), ONE), Next::CarryOut);
    }

    #[test]
    fn an_input_makes_one_request_with_a_time_of_its_own() {
        let requests = ControlRequests::default();
        let run = RunId::from_parts(1, 1);
        let decide = |task: &str, approve| {
            let decision = Decide { approve, reason: None };
            Verb::Decide { task: task.parse().unwrap(), decision }
        };
        // Made of a key, so its time means nothing.
        let (input, now) = (InputId::from_parts(1, 1), cis_local::now_ms());
        let request = requests.request_of(input, run, &decide("a", true), now).unwrap();
        assert!(!is_stale(request, cis_local::now_ms()), "{request:?}");
        assert_eq!(requests.request_of(input, run, &decide("a", true), now), Some(request));
        for other in [decide("b", true), decide("a", false)] {
            assert_eq!(requests.request_of(input, run, &other, now), None);
        }
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(!requests.has_decided(input, run, &a));
        requests.has_ended(input, true);
        let later = now + 3_600_000;
        assert_eq!(requests.request_of(input, run, &decide("a", true), later), Some(request));
        assert!(requests.has_decided(input, run, &a) && !requests.has_decided(input, run, &b));
        // Fresh ones are kept, and one that was refused may ask for something else.
        let fresh = InputId(ulid::Ulid::new());
        assert_eq!(requests.request_of(fresh, run, &decide("b", true), now), Some(fresh));
        requests.has_ended(fresh, false);
        assert_eq!(requests.request_of(fresh, run, &decide("c", true), now), Some(fresh));
    }

    #[test]
    fn what_is_kept_of_others_is_bounded() {
        let mut heard = Heard::default();
        for n in 0..2 * ANSWERED_MAX as u128 {
            assert_eq!(heard.begin(&id(n), ONE), Next::CarryOut);
            heard.end(id(n), refused(ProblemKind::Conflict));
        }
        assert_eq!(heard.answered.len(), ANSWERED_MAX);
        let mut begun = |node: &str| {
            let id = |n: u128| (NodeDid(node.to_owned()), InputId::from_parts(2, n));
            (0..200).filter(|n| heard.begin(&id(*n), ONE) == Next::CarryOut).count()
        };
        assert_eq!(begun("did:key:z6Mk"), UNDER_WAY_OF_ONE_MAX);
        // It takes no place of other nodes.
        assert_eq!(begun("did:key:other"), UNDER_WAY_OF_ONE_MAX);
        let more: usize = (0..20).map(|n| begun(&format!("did:key:{n}"))).sum();
        assert_eq!(more + 2 * UNDER_WAY_OF_ONE_MAX, UNDER_WAY_MAX);
        assert_eq!(
            heard.begin(&(NodeDid("did:key:20".to_owned()), InputId::from_parts(2, 1)), ONE),
            Next::Full
        );
    }

    #[test]
    fn only_the_node_that_was_asked_answers() {
        let requestes = ControlRequests::default();
        let (asked, request) = id(1);
        let mut answered = requestes.wait_for(request, asked.clone());
        let outcome = ControlResponse { id: request, outcome: refused(ProblemKind::Conflict) };
        requestes.answered(&NodeDid("did:key:other".to_owned()), outcome.clone());
        assert!(answered.try_recv().is_err());
        requestes.answered(&asked, outcome);
        assert_eq!(answered.try_recv(), Ok(refused(ProblemKind::Conflict)));
    }
}
