//! Runs that another node coordinates are steered there: what people here want done to them, and what people at other
//! nodes want done to ours.
//!
//! Owns what waits for an answer, and what was answered lately: a wish that comes again is not carried out again. How it
//! travels is the link's matter, who may steer is what the owners of the room say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::commands::{AskedOfRun, RunVerb};
use crate::node::Node;
use crate::server::NodeApi as _;
use cis_core::api::{Problem, ProblemKind, RunView};
use cis_core::event::Via;
use cis_core::federation::steering::{Came, Outcome, Steering, Verb, Wanted};
use cis_core::identity::Right;
use cis_core::ids::{InputId, NodeDid, RunId};
use cis_core::policy::act::{self, Targeted as _};
use cis_core::policy::{Principal, Rights, Who};
use cis_local::now_ms;

/// How long somebody waits for the other node.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// After this a wish is sent again: it, or its answer, may be lost.
const AGAIN: Duration = Duration::from_millis(1500);

/// Answers that are kept for wishes that come again.
const ANSWERED_MAX: usize = 1000;

/// Wishes of other nodes that are carried out at a time.
const UNDER_WAY_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Own ones, and whom they were sent to.
    waiting: Mutex<BTreeMap<InputId, (NodeDid, oneshot::Sender<Came>)>>,
    heard: Mutex<Heard>,
}

type WishId = (NodeDid, InputId);

/// Those of other nodes.
#[derive(Debug, Default)]
struct Heard {
    under_way: Vec<WishId>,
    /// The oldest first.
    answered: VecDeque<(WishId, Came)>,
}

/// What is to be done with a wish.
#[derive(Debug, PartialEq)]
enum Next {
    CarryOut,
    /// It came again.
    Tell(Came),
    Nothing,
}

impl Heard {
    fn begin(&mut self, id: &WishId) -> Next {
        if let Some((_, came)) = self.answered.iter().find(|(known, _)| known == id) {
            return Next::Tell(came.clone());
        }
        // What there is no place for comes again.
        if self.under_way.contains(id) || self.under_way.len() >= UNDER_WAY_MAX {
            return Next::Nothing;
        }
        self.under_way.push(id.clone());
        Next::CarryOut
    }

    fn end(&mut self, id: WishId, came: Came) {
        self.under_way.retain(|known| *known != id);
        // What failed for now may be tried again under its name.
        if matches!(&came, Came::Refused { why } if why.kind == ProblemKind::Unavailable) {
            return;
        }
        if self.answered.len() == ANSWERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back((id, came));
    }
}

impl Wishes {
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, id: InputId, to: NodeDid) -> oneshot::Receiver<Came> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whose callers went away.
        waiting.retain(|_, (_, answer)| !answer.is_closed());
        waiting.insert(id, (to, answer));
        answered
    }

    fn answered(&self, from: &NodeDid, Outcome { id, came }: Outcome) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&id).is_some_and(|(asked, _)| asked == from)
            && let Some((_, answer)) = waiting.remove(&id)
        {
            let _ = answer.send(came);
        }
    }
}

impl Node {
    /// Has something done to a run by the node that coordinates it.
    pub(crate) async fn have_done(
        &self,
        asked: AskedOfRun,
        (to, room): (NodeDid, Option<String>),
    ) -> Result<RunView, Problem> {
        let (run, verb, input, who) = asked.into_parts();
        let Some(room) = room else { return Err(coordinated_elsewhere(run, &to)) };
        if matches!(who.who, Who::Member { .. }) {
            return Err(coordinated_elsewhere(run, &to).hint("that node hears the room itself"));
        }
        let Some(verb) = verb_of(verb) else {
            let problem = coordinated_elsewhere(run, &to);
            return Err(problem.hint("its mode is changed at that node"));
        };
        let id = input.unwrap_or_else(|| InputId(ulid::Ulid::new()));
        let wanted = Wanted { id, run, verb, by: who.actor().name };
        let mut answered = self.wishes.wait_for(id, to.clone());
        let until = Instant::now() + ANSWER_TIME_MAX;
        self.link.serve(&room);
        while Instant::now() < until {
            self.link.steer(&room, to.clone(), Steering::Wanted(wanted.clone()));
            let again = until.min(Instant::now() + AGAIN);
            match timeout_at(again, &mut answered).await {
                Ok(Ok(Came::Done { run })) => return Ok(*run),
                Ok(Ok(Came::Refused { why })) => return Err(*why),
                Ok(Err(_)) => break,
                Err(_) => {}
            }
        }
        let name = self.members.name_of(&room, &to).unwrap_or_else(|| to.to_string());
        let detail =
            format!("{name}, which coordinates run {run}, does not answer: nothing is known to be done");
        Err(Problem::new(ProblemKind::Unavailable, detail)
            .hint("see `cis node list`; where that node is gone for good: `cis dag takeover RUN --force`"))
    }

    /// Another node of a room says something about steering.
    pub(crate) fn steered(self: &Arc<Self>, room: &str, from: NodeDid, said: Steering) {
        let wanted = match said {
            Steering::Outcome(outcome) => return self.wishes.answered(&from, outcome),
            Steering::Wanted(wanted) => wanted,
        };
        let id = (from.clone(), wanted.id);
        let next = self.wishes.heard().begin(&id);
        let tell = |node: &Self, room: &str, came| {
            let outcome = Outcome { id: wanted.id, came };
            node.link.steer(room, from.clone(), Steering::Outcome(outcome));
        };
        match next {
            Next::Nothing => {}
            Next::Tell(came) => tell(self, room, came),
            Next::CarryOut => {
                let (node, room) = (Arc::clone(self), room.to_owned());
                let (from, wanted) = (from.clone(), wanted.clone());
                tokio::spawn(async move {
                    let outcome = Outcome {
                        id: wanted.id,
                        came: match node.carry_out(&room, &from, wanted).await {
                            Ok(run) => Came::Done { run: Box::new(run) },
                            Err(mut why) => {
                                // Other machines' files say nothing there.
                                (why.diagnostics, why.item) = (Vec::new(), None);
                                Came::Refused { why: Box::new(why) }
                            }
                        },
                    };
                    node.wishes.heard().end(id, outcome.came.clone());
                    node.link.steer(&room, from, Steering::Outcome(outcome));
                });
            }
        }
    }

    async fn carry_out(&self, room: &str, from: &NodeDid, wanted: Wanted) -> Result<RunView, Problem> {
        let (run, by) = (wanted.run, wanted.name());
        if !self.members.may(room, from, Right::Submit) {
            let detail = format!("{from} may not steer runs of this room");
            return Err(Problem::new(ProblemKind::Denied, detail)
                .hint("an owner lets it: cis identity trust DID --room ROOM --may submit,execute"));
        }
        if wanted.is_stale(now_ms()) {
            let detail = "this was asked long ago, or the clock of one of both machines is wrong";
            return Err(
                Problem::new(ProblemKind::Conflict, detail).hint("compare their clocks, and ask again")
            );
        }
        let (owner, _, follows) = self.read(move |reader| reader.term(run)).await?;
        if follows.as_deref() != Some(room) {
            // It says no more of it than of one that does not exist.
            return Err(Problem::new(ProblemKind::NotFound, format!("no run {run} in this room")));
        }
        if !self.identity.is_or_was(&owner) {
            return Err(coordinated_elsewhere(run, &owner).hint("ask again when the room told of that"));
        }
        let who =
            Principal { who: Who::Node { node: from.clone(), by }, via: Via::Room, rights: Rights::Operator };
        let permit = self.admit(&who, act::ControlRun::on(run))?;
        self.run_verb_here(AskedOfRun::new(&permit, wanted_verb(wanted.verb), Some(wanted.id))).await
    }
}

/// Something that only the node can do that coordinates the run.
pub(crate) fn coordinated_elsewhere(run: RunId, owner: &NodeDid) -> Problem {
    let detail = format!("run {run} is coordinated by {owner}, not by this node");
    Problem::new(ProblemKind::Conflict, detail)
}

fn verb_of(verb: RunVerb) -> Option<Verb> {
    Some(match verb {
        RunVerb::Start => Verb::Start {},
        RunVerb::Pause => Verb::Pause {},
        RunVerb::Resume => Verb::Resume {},
        RunVerb::Cancel => Verb::Cancel {},
        RunVerb::Retry(of) => Verb::Retry { of },
        RunVerb::Decide(task, decision) => Verb::Decide { task, decision },
        // Its rooms are those of the other account.
        RunVerb::Mode(..) => return None,
    })
}

fn wanted_verb(verb: Verb) -> RunVerb {
    match verb {
        Verb::Start {} => RunVerb::Start,
        Verb::Pause {} => RunVerb::Pause,
        Verb::Resume {} => RunVerb::Resume,
        Verb::Cancel {} => RunVerb::Cancel,
        Verb::Retry { of } => RunVerb::Retry(of),
        Verb::Decide { task, decision } => RunVerb::Decide(task, decision),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: ProblemKind) -> Came {
        Came::Refused { why: Box::new(Problem::new(kind, "no")) }
    }

    fn id(n: u128) -> WishId {
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
        let wishes = Wishes::default();
        let (asked, wish) = id(1);
        let mut answered = wishes.wait_for(wish, asked.clone());
        let outcome = Outcome { id: wish, came: refused(ProblemKind::Conflict) };
        wishes.answered(&NodeDid("did:key:other".to_owned()), outcome.clone());
        assert!(answered.try_recv().is_err());
        wishes.answered(&asked, outcome);
        assert_eq!(answered.try_recv(), Ok(refused(ProblemKind::Conflict)));
    }
}
