//! Control requests about runs that another node coordinates: what people here want done there, and what people at other
//! nodes want done to the runs of this one.
//!
//! Owns how both come to an answer. Which requests wait is `control_requests`' matter, how they travel the link's, and who
//! may send them is what the owners of the room say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::commands::{AskedOfRun, Command, RunVerb};
use crate::control_requests::Next;
use crate::node::Node;
use crate::server::NodeApi as _;
use crate::streams::Viewer;
use cis_core::api::{Problem, ProblemKind, RunView};
use cis_core::event::{ExecutionMode, Via};
use cis_core::federation::control::{Control, ControlOutcome, ControlRequest, ControlResponse, Verb};
use cis_core::identity::Right;
use cis_core::ids::{InputId, NodeDid, RunId};
use cis_core::policy::act::{self, Targeted as _};
use cis_core::policy::{Principal, Rights, Who};
use cis_local::now_ms;

/// How long somebody waits for the other node.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// After this a request is sent again: it, or its response, may be lost.
const AGAIN: Duration = Duration::from_millis(1500);

impl Node {
    /// Asks the node that coordinates a run to do something to it, and waits for the response.
    pub(crate) async fn ask_coordinator(
        &self,
        asked: AskedOfRun,
        (to, room): (NodeDid, Option<String>),
    ) -> Result<RunView, Problem> {
        let (run, verb, input, who) = asked.into_parts();
        let elsewhere = coordinated_elsewhere(run, &to);
        let served = room.filter(|room| self.shared.served.borrow().contains(room));
        let Some(room) = served else {
            return Err(elsewhere.hint("this node does not share tasks in its room: do it at that node"));
        };
        if matches!(who.who, Who::Member { .. }) {
            return Err(elsewhere.hint("that node reads the room itself"));
        }
        let Some(verb) = verb_of(verb) else {
            return Err(elsewhere.hint("change its mode at that node"));
        };
        let id = input.unwrap_or_else(|| InputId(ulid::Ulid::new()));
        let request = ControlRequest { id, run, verb, by: who.actor().name };
        let mut response = self.control.wait_for(id, to.clone());
        // A node that ends by itself does not while somebody waits here.
        let _waits = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        let until = Instant::now() + ANSWER_TIME_MAX;
        while Instant::now() < until {
            self.link.control(&room, to.clone(), Control::Request(request.clone()));
            let again = until.min(Instant::now() + AGAIN);
            match timeout_at(again, &mut response).await {
                Ok(Ok(ControlOutcome::Done { run })) => return Ok(*run),
                Ok(Ok(ControlOutcome::Refused { why })) => return Err(*why),
                Ok(Err(_)) => break,
                Err(_) => {}
            }
        }
        let name = self.members.name_of(&room, &to).unwrap_or_else(|| to.to_string());
        let detail = format!(
            "no answer from {name}, which coordinates run {run}: it may still do this within 2 minutes"
        );
        // Not `Unavailable`: clients take that for this node, and wait for it.
        Err(Problem::new(ProblemKind::Conflict, detail).hint(format!(
            "look at `cis node list`; if that node is gone for good: cis dag takeover {run} --force"
        )))
    }

    /// Another node of a room sends a control request, or the response to one.
    pub(crate) fn hear_control(self: &Arc<Self>, room: &str, from: NodeDid, said: Control) {
        let request = match said {
            Control::Response(response) => return self.control.answered(&from, response),
            Control::Request(request) => request,
        };
        let id = request.id;
        if let Some(why) = self.refusal(room, &from, &request) {
            let outcome = ControlOutcome::Refused { why: Box::new(why) };
            return self.link.control(room, from, Control::Response(ControlResponse { id, outcome }));
        }
        let of = (from.clone(), id);
        let next = self.control.heard().begin(&of);
        match next {
            Next::Nothing => {}
            Next::Tell(outcome) => {
                self.link.control(room, from, Control::Response(ControlResponse { id, outcome }));
            }
            Next::CarryOut => {
                let (node, room, mut turn) = (Arc::clone(self), room.to_owned(), self.control.heard().turn());
                tokio::spawn(async move {
                    turn.comes().await;
                    let outcome = match node.carry_out(&room, &from, request).await {
                        Ok(run) => ControlOutcome::Done { run: Box::new(run) },
                        Err(mut why) => {
                            // Long, and of no use on another machine.
                            (why.diagnostics, why.item) = (Vec::new(), None);
                            ControlOutcome::Refused { why: Box::new(why) }
                        }
                    };
                    node.control.heard().end(of, outcome.clone());
                    drop(turn);
                    node.link.control(&room, from, Control::Response(ControlResponse { id, outcome }));
                });
            }
        }
    }

    /// Why a request is not looked at.
    fn refusal(&self, room: &str, from: &NodeDid, request: &ControlRequest) -> Option<Problem> {
        if !self.members.may(room, from, Right::Submit) {
            self.driver.tell(Command::MayNotSubmit { room: room.to_owned(), from: from.clone() });
            let rights = [Right::Submit, Right::Coordinate, Right::Execute].into_iter();
            let more: Vec<&str> = rights
                .filter(|right| *right == Right::Submit || self.members.may(room, from, *right))
                .map(Right::word)
                .collect();
            let detail = format!("{from} may not control runs of this room: it needs the right `submit`");
            let hint = format!(
                "an owner of the room can give it: cis identity trust {from} --room '{room}' --may {}",
                more.join(",")
            );
            return Some(Problem::new(ProblemKind::Denied, detail).hint(hint));
        }
        request.is_stale(now_ms()).then(|| {
            let detail =
                "the request is more than 2 minutes old, or the clock of one of the two machines is wrong";
            Problem::new(ProblemKind::Conflict, detail).hint("compare the clocks, and try again")
        })
    }

    async fn carry_out(
        &self,
        room: &str,
        from: &NodeDid,
        request: ControlRequest,
    ) -> Result<RunView, Problem> {
        let (run, by) = (request.run, request.name());
        let view = self.read(move |reader| reader.run(run)).await?;
        if view.room.as_deref() != Some(room) || view.mode != ExecutionMode::Matrix {
            // The same as for one that does not exist: other nodes learn nothing about runs that are not the room's.
            let detail = format!("run {run} does not exist in this room, or is not shared with its nodes");
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
        if !self.identity.is_or_was(&view.node) {
            return Err(
                coordinated_elsewhere(run, &view.node).hint("try again in a moment: it was just taken over")
            );
        }
        let who =
            Principal { who: Who::Node { node: from.clone(), by }, via: Via::Room, rights: Rights::Operator };
        let permit = self.admit(&who, act::ControlRun::on(run))?;
        self.run_verb_here(AskedOfRun::new(&permit, run_verb(request.verb), Some(request.id))).await
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
        // It names rooms of the account of this node.
        RunVerb::Mode(..) => return None,
    })
}

fn run_verb(verb: Verb) -> RunVerb {
    match verb {
        Verb::Start {} => RunVerb::Start,
        Verb::Pause {} => RunVerb::Pause,
        Verb::Resume {} => RunVerb::Resume,
        Verb::Cancel {} => RunVerb::Cancel,
        Verb::Retry { of } => RunVerb::Retry(of),
        Verb::Decide { task, decision } => RunVerb::Decide(task, decision),
    }
}
