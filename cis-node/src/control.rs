//! Control requests about runs that another node coordinates and sessions that another node has: what people here want done
//! there, and what people at other nodes want done here.
//!
//! Owns how both come to an answer. Which requests wait is `control_requests`' matter, how they travel the link's, and who
//! may send them is what the owners of the room say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::commands::{AnswerHeld, AskedOfRun, Command, DefaultAnswer, RunVerb};
use crate::control_requests::{Next, digest_of};
use crate::driver::idempotency;
use crate::inbox::{Elsewhere, chosen, default_answer};
use crate::node::Node;
use crate::problems::{internal, key_reused, may_have_typed, prompt_moved, store_problem};
use crate::server::{InboxApi as _, NodeApi as _};
use crate::shared::Announced;
use crate::streams::Viewer;
use crate::wrong::Wrong;
use cis_core::api::{Answer, AnswerReceipt, InboxItem, KillSession, Problem, ProblemKind, RunView};
use cis_core::event::{Actor, ActorKind, RetryScope, Via};
use cis_core::federation::control::{Control, ControlOutcome, ControlRequest, ControlResponse, Verb};
use cis_core::federation::refusal;
use cis_core::identity::Right;
use cis_core::ids::{InboxId, InputId, NodeDid, RunId, SessionId};
use cis_core::policy::act::{self, Targeted as _};
use cis_core::policy::{Principal, Rights, Who};
use cis_host::hub::HubError;
use cis_local::now_ms;

/// How long somebody waits for the other node.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// So often the answer of a task's file is forwarded, each time for [`ANSWER_TIME_MAX`]: the scheduler waits no longer.
const DEFAULT_ATTEMPTS: usize = 2;

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
        if matches!(who.who, Who::Member { .. }) {
            return Err(elsewhere.hint("that node reads the room itself"));
        }
        let Some(verb) = verb_of(verb) else {
            return Err(elsewhere.hint("change its mode at that node"));
        };
        let id = match input {
            Some(input) => self.control.request_of(input, run, &verb, now_ms()).ok_or_else(key_reused)?,
            None => InputId(ulid::Ulid::new()),
        };
        let request = ControlRequest { id, run, verb, by: who.actor().name };
        let outcome = self.ask_node((to, room), request).await?;
        if let Some(input) = input {
            self.control.has_ended(input, matches!(outcome, ControlOutcome::Done { .. }));
        }
        match outcome {
            ControlOutcome::Done { run } => Ok(*run),
            ControlOutcome::Refused { why } => Err(*why),
            ControlOutcome::Answered { .. } => Err(internal(&"the other node responded to something else")),
        }
    }

    /// Asks the node that coordinates a run to end a session of it.
    pub(crate) async fn kill_elsewhere(
        &self,
        run: RunId,
        to: (NodeDid, Option<String>),
        session: SessionId,
        KillSession { grace_ms }: KillSession,
        by: Actor,
    ) -> Result<(), Problem> {
        let (id, verb) = (InputId(ulid::Ulid::new()), Verb::Kill { session, grace_ms });
        match self.ask_node(to, ControlRequest { id, run, verb, by: by.name }).await? {
            ControlOutcome::Done { .. } => Ok(()),
            ControlOutcome::Refused { why } => Err(*why),
            ControlOutcome::Answered { .. } => Err(internal(&"the other node responded to something else")),
        }
    }

    /// Forwards an answer to the node that coordinates the run of a session, or that has the session, and waits until it is typed.
    pub(crate) async fn answer_elsewhere(
        &self,
        to: (NodeDid, Option<String>),
        (run, session): (RunId, SessionId),
        item: &InboxItem,
        mut answer: Answer,
        by: Actor,
    ) -> Result<AnswerReceipt, Problem> {
        // The node of the session compares it with what the session waits at then.
        if item.ask_type.is_none() {
            answer.hash.get_or_insert_with(|| item.hash.clone());
        }
        let mut beside = None;
        if answer.again.is_some() {
            let name = item.name();
            let known = self.read(move |reader| reader.item(&name)).await?;
            beside = known.answer.filter(|_| known.item.answered_ms == answer.again).map(|(_, input)| input);
        }
        let (name, by_default) = (by.name.clone(), by.kind == ActorKind::Policy);
        self.shared.forwarded.put(answer.input, by);
        let verb =
            Verb::Answer { session, item: item.id.clone(), answer: Box::new(answer), beside, by_default };
        // The id of the answer may be made of something else than a time; sent again, the answer is known by its own id.
        let id = InputId(ulid::Ulid::new());
        match self.ask_node(to, ControlRequest { id, run, verb, by: name }).await? {
            ControlOutcome::Answered { receipt } => Ok(*receipt),
            ControlOutcome::Refused { why } => Err(*why),
            ControlOutcome::Done { .. } => Err(internal(&"the other node responded to something else")),
        }
    }

    /// Forwards the answer of a task's file to the node of its session. If that node does not take it, the prompt stands, and the
    /// scheduler fails the attempt.
    pub(crate) async fn answer_by_default(&self, default: DefaultAnswer) {
        let DefaultAnswer { attempt, session, item, answer } = default;
        for _ in 0..DEFAULT_ATTEMPTS {
            let Ok(item) = self.find_item(item.name(session)).await else { return };
            let place = self.place_of(&item, session).await;
            let Ok(Some(Elsewhere { node, room, coordinates: false })) = place else { return };
            // Somebody may have answered in the meantime.
            if item.closed.is_some() {
                return;
            }
            let made =
                default_answer::answer(session, &item, &answer).and_then(|answer| chosen(&item, answer));
            let made = match made {
                Ok(made) => made,
                Err(problem) => {
                    let (item, detail) = (item.id, problem.detail);
                    return self.driver.tell(Command::DefaultRefused { attempt, item, detail });
                }
            };
            let (to, about) = ((node, room), (attempt.run, session));
            let Err(problem) = self.answer_elsewhere(to, about, &item, made, default_answer::actor()).await
            else {
                return;
            };
            tracing::info!(%attempt, problem = problem.detail, "the default of a prompt was not taken");
        }
    }

    /// Sends a control request until its response comes, or nobody waits any more.
    async fn ask_node(
        &self,
        (to, room): (NodeDid, Option<String>),
        request: ControlRequest,
    ) -> Result<ControlOutcome, Problem> {
        let (id, run) = (request.id, request.run);
        let served = room.filter(|room| self.shared.served.borrow().contains(room));
        let Some(room) = served else {
            let elsewhere = coordinated_elsewhere(run, &to);
            return Err(elsewhere.hint("this node does not share tasks in its room: do it at that node"));
        };
        let name = || self.members.name_of(&room, &to).unwrap_or_else(|| to.to_string());
        let announced = self.shared.announced().remove(&room).and_then(|mut all| all.remove(&to));
        if let Some(why) = done_in_part(&request, announced.as_ref(), name) {
            return Err(why);
        }
        let mut response = self.control.wait_for(id, to.clone());
        // A node that ends by itself does not while somebody waits here.
        let _waits = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        let until = Instant::now() + ANSWER_TIME_MAX;
        while Instant::now() < until {
            self.link.control(&room, to.clone(), Control::Request(request.clone()));
            let again = until.min(Instant::now() + AGAIN);
            match timeout_at(again, &mut response).await {
                Ok(Ok(outcome)) => return Ok(of_another_node(outcome)),
                Ok(Err(_)) => break,
                Err(_) => {}
            }
        }
        let detail = format!("no answer from {}: it may still do this within 2 minutes", name());
        // Not `Unavailable`: clients take that for this node, and wait for it.
        Err(Problem::new(ProblemKind::Conflict, detail).hint(format!(
            "look at `cis node list`; if it coordinates run {run} and is gone for good: cis dag takeover {run} --force"
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
        let next = self.control.heard().begin(&of, digest_of(&request));
        match next {
            Next::Nothing => {}
            // An answer would end the repetition.
            Next::Full => tracing::debug!(%from, %id, "a control request waits: too many are under way"),
            Next::Reused => {
                let outcome = ControlOutcome::Refused { why: Box::new(key_reused()) };
                self.link.control(room, from, Control::Response(ControlResponse { id, outcome }));
            }
            Next::Tell(outcome) => {
                self.link.control(room, from, Control::Response(ControlResponse { id, outcome }));
            }
            Next::CarryOut => {
                // Answers are ordered by the node of their session, and may wait for it: others do not wait for them.
                let is_answer = matches!(request.verb, Verb::Answer { .. });
                let mut turn = (!is_answer).then(|| self.control.heard().turn());
                let (node, room) = (Arc::clone(self), room.to_owned());
                tokio::spawn(async move {
                    if let Some(turn) = &mut turn {
                        turn.comes().await;
                    }
                    let outcome = match node.carry_out(&room, &from, request).await {
                        Ok(outcome) => outcome,
                        Err(mut why) => {
                            // Long, and of no use on another machine.
                            (why.diagnostics, why.item) = (Vec::new(), None);
                            ControlOutcome::Refused { why: Box::new(node.keep_refusal(&from, id, why).await) }
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
        // Coordinators forward answers; the driver knows whose session it is.
        let forwards =
            matches!(request.verb, Verb::Answer { .. }) && self.members.may(room, from, Right::Coordinate);
        if !forwards && !self.members.may(room, from, Right::Submit) {
            return Some(self.may_not_submit(room, from));
        }
        request.is_stale(now_ms()).then(stale)
    }

    /// Records that a node wanted something done to a run without the right to it, and says what gives it the right.
    pub(crate) fn may_not_submit(&self, room: &str, from: &NodeDid) -> Problem {
        let (room_id, wrong) = (room.to_owned(), Wrong::Without(Right::Submit));
        let detail = format!("{from} may not submit here");
        self.driver.tell(Command::Disregarded { room: room_id, from: from.clone(), wrong, detail });
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
        Problem::new(ProblemKind::Denied, detail).hint(hint)
    }

    /// Keeps a refusal over a restart, before the other node hears of it: it could be told "refused", and a copy of the request be
    /// carried out later.
    async fn keep_refusal(&self, from: &NodeDid, id: InputId, why: Problem) -> Problem {
        // Of a run that is not here nothing could be done later either, and anybody could name thousands.
        let Some(text) = refusal::to_text(&why).filter(|_| why.kind != ProblemKind::NotFound) else {
            return why;
        };
        let key = refusal::key(from, id);
        match self.driver.ask(|reply| Command::Refused { key, text, reply }).await {
            Ok(()) => why,
            // It is for now only: the same request may be sent again.
            Err(unrecorded) => unrecorded,
        }
    }

    async fn carry_out(
        &self,
        room: &str,
        from: &NodeDid,
        request: ControlRequest,
    ) -> Result<ControlOutcome, Problem> {
        let (run, by) = (request.run, request.name());
        // It may have waited for others.
        if request.is_stale(now_ms()) {
            return Err(stale());
        }
        let (key, id) = (refusal::key(from, request.id), request.id);
        let known =
            self.read(move |reader| Ok((reader.find_input(key)?, reader.find_input(id)?, reader.run(run))));
        let (refused, made, view) = known.await?;
        let view = view.map_err(|error| store_problem(&error));
        // What an earlier life of this node answered stands, no matter which node coordinates the run by now.
        if let Some(why) = refused.as_deref().and_then(refusal::from_text) {
            return Ok(ControlOutcome::Refused { why: Box::new(why) });
        }
        let makes = run_verb_of(&request.verb).and_then(|verb| verb.made(run));
        let is_done = makes.is_some() && made.as_deref().map(idempotency::made) == makes.as_deref();
        if let Some(view) = view.as_ref().ok().filter(|view| is_done && view.is_shared_in(room)) {
            return Ok(ControlOutcome::Done { run: Box::new(view.clone()) });
        }
        let here = view.as_ref().is_ok_and(|view| self.identity.is_or_was(&view.node));
        if let (Verb::Answer { .. }, false) = (&request.verb, here) {
            match self.answer_held(room, from, &request).await {
                // What is wrong with the run is said then.
                Err(problem) if problem.kind == ProblemKind::NotFound && view.is_ok() => {}
                outcome => return outcome,
            }
        }
        let view = view?;
        if !view.is_shared_in(room) {
            // The same as for one that does not exist: other nodes learn nothing about runs that are not the room's.
            let detail = format!("run {run} does not exist in this room, or is not shared with its nodes");
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
        if !here {
            return Err(
                coordinated_elsewhere(run, &view.node).hint("try again in a moment: it was just taken over")
            );
        }
        if !self.members.may(room, from, Right::Submit) {
            return Err(self.may_not_submit(room, from));
        }
        let who =
            Principal { who: Who::Node { node: from.clone(), by }, via: Via::Room, rights: Rights::Operator };
        let verb = match request.verb {
            Verb::Answer { session, item, answer, .. } => {
                let permit = self.admit(&who, act::Answer)?;
                let item = self.find_item(item.name(session)).await?;
                if item.run != Some(run) {
                    let detail = format!("run {run} waits for no {}", item.id);
                    return Err(Problem::new(ProblemKind::NotFound, detail));
                }
                let receipt = Box::new(self.answer(permit, item, *answer).await?);
                return Ok(ControlOutcome::Answered { receipt });
            }
            Verb::Kill { session, grace_ms } => {
                let known = self.session_view(session).await?;
                if known.run != Some(run) {
                    let detail = format!("run {run} has no session {session}");
                    return Err(Problem::new(ProblemKind::NotFound, detail));
                }
                let permit = self.admit(&who, act::ControlSession::on(session))?;
                self.kill_session(permit, KillSession { grace_ms }).await?;
                let run = Box::new(self.read(move |reader| reader.run(run)).await?);
                return Ok(ControlOutcome::Done { run });
            }
            ref verb => run_verb_of(verb).ok_or_else(|| internal(&"no verb of a run"))?,
        };
        let permit = self.admit(&who, act::ControlRun::on(run))?;
        let run = self.run_verb_here(AskedOfRun::new(&permit, verb, Some(request.id))).await?;
        Ok(ControlOutcome::Done { run: Box::new(run) })
    }

    /// Answers a session that this node has for the coordinator of its run.
    async fn answer_held(
        &self,
        room: &str,
        from: &NodeDid,
        request: &ControlRequest,
    ) -> Result<ControlOutcome, Problem> {
        let Verb::Answer { session, item, answer, beside, by_default } = request.verb.clone() else {
            return Err(internal(&"only answers are forwarded"));
        };
        let (name, by) = (item.clone(), request.forwarded_name());
        let (room, from, answer) = (room.to_owned(), from.clone(), *answer);
        let held = |reply| AnswerHeld { room, from, session, item, answer, beside, by_default, by, reply };
        let asked = self.driver.ask(|reply| Command::AnswerHeld(Box::new(held(reply))));
        let (mut receipt, typed) = asked.await?;
        if let Some(outcome) = typed {
            match outcome.await.unwrap_or(Err(HubError::Stopped)) {
                Ok(written) => receipt.output_offset = Some(written.output_offset),
                Err(error) => return Err(not_typed(&name, &error)),
            }
        }
        Ok(ControlOutcome::Answered { receipt: Box::new(receipt) })
    }
}

pub(crate) fn stale() -> Problem {
    let detail = "the request is more than 2 minutes old, or the clock of one of the two machines is wrong";
    Problem::new(ProblemKind::Conflict, detail).hint("compare the clocks, and try again")
}

/// What another node answers. That its node ends says nothing of this one: clients would take it for an answer of this node.
fn of_another_node(outcome: ControlOutcome) -> ControlOutcome {
    match outcome {
        ControlOutcome::Refused { why } => {
            ControlOutcome::Refused { why: Box::new(Problem { unprocessed: false, ..*why }) }
        }
        other => other,
    }
}

/// Why a request is not sent: a node of an earlier version leaves out what it does not know of it, and does the rest.
fn done_in_part(
    request: &ControlRequest,
    to: Option<&Announced>,
    name: impl Fn() -> String,
) -> Option<Problem> {
    let Verb::Retry { of: RetryScope::From { task, also } } = &request.verb else { return None };
    if also.is_empty() || to.is_some_and(|to| to.retries_several) {
        return None;
    }
    let run = request.run;
    let detail = format!(
        "cannot retry run {run} from several tasks: node {} coordinates it, and its version of CIS may begin at `{task}` alone",
        name()
    );
    let hint = format!(
        "nothing has changed: update CIS on that node, or run all tasks again: `cis dag retry {run}`"
    );
    Some(Problem::new(ProblemKind::Conflict, detail).hint(hint))
}

/// What is said to the node that forwarded an answer which was not typed.
fn not_typed(item: &InboxId, error: &HubError) -> Problem {
    match error {
        error if error.may_have_typed() => may_have_typed(ProblemKind::Conflict, error),
        HubError::PromptMoved { .. } => prompt_moved(item),
        HubError::NoLine { .. }
        | HubError::Prefilled { .. }
        | HubError::Elsewhere { .. }
        | HubError::SeveralRead { .. } => Problem::new(ProblemKind::BadInput, error.to_string()),
        error => Problem::new(ProblemKind::Conflict, error.to_string())
            .hint("look at what it asks now (`cis inbox`), and answer that"),
    }
}

/// Something that only the node can do that coordinates the run.
pub(crate) fn coordinated_elsewhere(run: RunId, owner: &NodeDid) -> Problem {
    let detail = format!("run {run} is coordinated by {owner}, not by this node");
    Problem::new(ProblemKind::Conflict, detail)
}

/// What a node does to a run itself. None: it is about a session.
fn run_verb_of(verb: &Verb) -> Option<RunVerb> {
    Some(match verb.clone() {
        Verb::Start {} => RunVerb::Start,
        Verb::Pause {} => RunVerb::Pause,
        Verb::Resume {} => RunVerb::Resume,
        Verb::Cancel { now } => RunVerb::Cancel { now },
        Verb::Retry { of } => RunVerb::Retry(of),
        Verb::Decide { task, decision } => RunVerb::Decide(task, decision),
        Verb::Answer { .. } | Verb::Kill { .. } => return None,
    })
}

fn verb_of(verb: RunVerb) -> Option<Verb> {
    Some(match verb {
        RunVerb::Start => Verb::Start {},
        RunVerb::Pause => Verb::Pause {},
        RunVerb::Resume => Verb::Resume {},
        RunVerb::Cancel { now } => Verb::Cancel { now },
        RunVerb::Retry(of) => Verb::Retry { of },
        RunVerb::Decide(task, decision) => Verb::Decide { task, decision },
        // It names rooms of the account of this node.
        RunVerb::Mode(..) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::ids::TaskId;

    #[test]
    fn a_retry_from_several_tasks_goes_to_nodes_alone_that_say_that_they_can_do_that() {
        let task = |name: &str| TaskId::new(name).unwrap();
        let retry = |also: Vec<TaskId>| ControlRequest {
            id: InputId::from_parts(1, 1),
            run: RunId::from_parts(1, 1),
            verb: Verb::Retry { of: RetryScope::From { task: task("a"), also } },
            by: "uid:1000".to_owned(),
        };
        let (several, one) = (retry(vec![task("b")]), retry(Vec::new()));
        let earlier = Announced { votes: true, ..Announced::default() };
        let newer = Announced { retries_several: true, ..earlier.clone() };
        let why = |request: &ControlRequest, to| done_in_part(request, to, || "builder".to_owned());
        for to in [None, Some(&earlier)] {
            let problem = why(&several, to).unwrap();
            assert_eq!(problem.kind, ProblemKind::Conflict);
            assert!(
                problem.detail.contains("node builder") && problem.detail.contains("`a` alone"),
                "{problem:?}"
            );
            assert_eq!(why(&one, to), None);
        }
        assert_eq!(why(&several, Some(&newer)), None);
    }
}
