//! Control requests of this node until they are answered, and those of other nodes.
//!
//! Owns which of them wait, and which were answered lately: one that comes again is not carried out again. Sends nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use cis_core::api::ProblemKind;
use cis_core::federation::control::{ControlOutcome, ControlResponse};
use cis_core::ids::{InputId, NodeDid};

/// Responses that are kept for requests that come again.
const ANSWERED_MAX: usize = 1000;

/// ControlRequests of other nodes that are carried out at a time.
const UNDER_WAY_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ControlRequests {
    /// Own ones, and whom they were sent to.
    waiting: Mutex<BTreeMap<InputId, (NodeDid, oneshot::Sender<ControlOutcome>)>>,
    heard: Mutex<Heard>,
}

pub(crate) type RequestId = (NodeDid, InputId);

/// Those of other nodes.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    under_way: Vec<RequestId>,
    /// Closed when the newest of those under way is done.
    newest: Option<oneshot::Receiver<()>>,
    /// The oldest first.
    answered: VecDeque<(RequestId, ControlOutcome)>,
}

/// What is to be done with a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    CarryOut,
    /// It outcome again.
    Tell(ControlOutcome),
    Nothing,
}

impl Heard {
    pub(crate) fn begin(&mut self, id: &RequestId) -> Next {
        if let Some((_, outcome)) = self.answered.iter().find(|(known, _)| known == id) {
            return Next::Tell(outcome.clone());
        }
        // What there is no place for comes again.
        if self.under_way.contains(id) || self.under_way.len() >= UNDER_WAY_MAX {
            return Next::Nothing;
        }
        self.under_way.push(id.clone());
        Next::CarryOut
    }

    /// The turn of the request that just began.
    pub(crate) fn turn(&mut self) -> Turn {
        let (done, is_done) = oneshot::channel();
        Turn { before: self.newest.replace(is_done), _done: done }
    }

    pub(crate) fn end(&mut self, id: RequestId, outcome: ControlOutcome) {
        self.under_way.retain(|known| *known != id);
        // What failed for now may be tried again under its name.
        if matches!(&outcome, ControlOutcome::Refused { why } if why.kind == ProblemKind::Unavailable) {
            return;
        }
        if self.answered.len() == ANSWERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back((id, outcome));
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
    pub(crate) fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
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
    use cis_core::api::Problem;

    fn refused(kind: ProblemKind) -> ControlOutcome {
        ControlOutcome::Refused { why: Box::new(Problem::new(kind, "no")) }
    }

    fn id(n: u128) -> RequestId {
        (NodeDid("did:key:z6Mk".to_owned()), InputId::from_parts(1, n))
    }

    #[test]
    fn what_comes_again_is_answered_and_not_carried_out_again() {
        let mut heard = Heard::default();
        assert_eq!(heard.begin(&id(1)), Next::CarryOut);
        assert_eq!(heard.begin(&id(1)), Next::Nothing);
        heard.end(id(1), refused(ProblemKind::Conflict));
        assert_eq!(heard.begin(&id(1)), Next::Tell(refused(ProblemKind::Conflict)));
        let other = (NodeDid("did:key:other".to_owned()), id(1).1);
        assert_eq!(heard.begin(&other), Next::CarryOut);
        assert_eq!(heard.begin(&id(2)), Next::CarryOut);
        heard.end(id(2), refused(ProblemKind::Unavailable));
        assert_eq!(heard.begin(&id(2)), Next::CarryOut);
    }

    #[test]
    fn what_is_kept_of_others_is_bounded() {
        let mut heard = Heard::default();
        for n in 0..2 * ANSWERED_MAX as u128 {
            assert_eq!(heard.begin(&id(n)), Next::CarryOut);
            heard.end(id(n), refused(ProblemKind::Conflict));
        }
        assert_eq!(heard.answered.len(), ANSWERED_MAX);
        let begun = (0..200).filter(|n| heard.begin(&id(1 << 40 | n)) == Next::CarryOut).count();
        assert_eq!(begun, UNDER_WAY_MAX);
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
