//! What a node does about requests of people: those of people here, and those that other nodes send.
//!
//! As `cis-node/src/{control,control_requests}.rs` and `Driver::run_verb`. Requests and responses are the product's own.

use std::collections::{BTreeMap, VecDeque};

use cis_core::api::{AnswerReceipt, Problem, ProblemKind, RunView};
use cis_core::event::{Actor, EventBody, Via};
use cis_core::federation::control::{Control, ControlOutcome, ControlRequest, ControlResponse, Verb};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::refusal;
use cis_core::ids::{Epoch, InputId, NodeDid};
use cis_core::policy::{Principal, Rights, Who};
use cis_core::scheduler::{Input, InputKind, Rejected, Run};

use crate::history::{Told, Uid};
use crate::node::{Disk, Node, Write};
use crate::plan::{ROOM, number, run};
use crate::room::folded;

/// A request is sent again after this, and so long somebody waits: a fifteenth of the product's times.
const AGAIN_MS: BootMs = 100;
const ANSWER_MS: BootMs = 1000;

/// Requests of people here that another node is to carry out, and answers that this node forwards.
#[derive(Debug)]
struct Waiting {
    uid: Uid,
    asker: Asker,
    request: ControlRequest,
    to: NodeDid,
    again_at: BootMs,
    until: BootMs,
}

/// Who hears what came of a request.
#[derive(Debug, Clone)]
pub(crate) enum Asker {
    Here,
    There(NodeDid, InputId),
}

/// Is told once the turn is durable.
#[derive(Debug)]
struct Confirmation {
    uid: Uid,
    asker: Asker,
    /// In which term that was (none: this node coordinates none).
    epoch: Option<Epoch>,
    came: Came,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Came {
    Done,
    Answered(AnswerReceipt),
    Refused(Problem),
}

/// A refusal as the disk remembers it: in which term that was, and in which words.
pub(crate) type Refused = (Option<Epoch>, String);

/// What of it does not survive the process.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    waiting: BTreeMap<InputId, Waiting>,
    /// Requests of other nodes that were answered: one that comes again is not carried out again.
    answered: VecDeque<((NodeDid, InputId), ControlOutcome)>,
    /// Answers that other nodes want given: the node of the session has not said what came of them.
    under_way: Vec<(NodeDid, InputId)>,
    confirmations: Vec<Confirmation>,
}

/// A person at a node, as that node and the coordinator of the run know them.
pub(super) fn person(uid: Uid) -> Principal {
    Principal { who: Who::User { uid }, via: Via::Socket, rights: Rights::Operator }
}

fn person_of(node: &NodeDid, by: String) -> Principal {
    let who = Who::Node { node: node.clone(), by };
    Principal { who, via: Via::Room, rights: Rights::Operator }
}

/// The name under which a person who asked at the node `did` stands in the story of a run of `owner`.
pub(crate) fn name_of(uid: Uid, did: &NodeDid, owner: &NodeDid) -> String {
    let name = person(uid).actor().name;
    if did == owner { name } else { person_of(did, name).actor().name }
}

/// An answer that is forwarded has the name of the node behind that of the person.
fn uid_of(request: &ControlRequest) -> Uid {
    let name = request.by.split(' ').next().unwrap_or_default();
    name.trim_start_matches("uid:").parse().unwrap()
}

impl Disk {
    /// Who coordinates the run, and in which term, by what is stored.
    pub(crate) fn term(&self) -> Option<(NodeDid, Epoch)> {
        self.events.iter().rev().find_map(|(_, fact)| match &fact.body {
            EventBody::RunTakenOver { owner, epoch, .. } => Some((owner.clone(), *epoch)),
            EventBody::RunCreated(facts) => Some((facts.owner.clone(), facts.epoch)),
            _ => None,
        })
    }
}

impl Node {
    /// A person here asks this node, which coordinates the run.
    pub(crate) fn ask_here(&mut self, uid: Uid, verb: Verb) {
        self.run_verb((uid, Asker::Here), None, person(uid).actor(), verb);
        self.finish_turn();
    }

    /// A person here asks for what another node has to do.
    pub(crate) fn ask_there(&mut self, uid: Uid, to: NodeDid, verb: Verb) {
        let request =
            ControlRequest { id: self.control_id(), run: run(), verb, by: person(uid).actor().name };
        self.send_request(uid, Asker::Here, to, request);
    }

    pub(super) fn control_id(&mut self) -> InputId {
        self.ids.next += 1;
        let random = (self.at as u128) << 40 | self.ids.next;
        InputId::from_parts(u64::try_from(self.wall_ms()).unwrap(), random)
    }

    /// Sends a request until its response comes, or nobody waits any more.
    pub(super) fn send_request(&mut self, uid: Uid, asker: Asker, to: NodeDid, request: ControlRequest) {
        let (boot, id) = (self.boot_ms(), request.id);
        let waiting = Waiting { uid, asker, request, to, again_at: boot, until: boot + ANSWER_MS };
        self.life().serving.waiting.insert(id, waiting);
        self.ask_again();
    }

    /// Sends again what was not answered, and gives up what was not for too long.
    pub(super) fn ask_again(&mut self) {
        let boot = self.boot_ms();
        let mut due = Vec::new();
        let waiting = &mut self.life().serving.waiting;
        let given_up: Vec<Waiting> =
            waiting.extract_if(.., |_, waiting| waiting.until <= boot).map(|(_, it)| it).collect();
        for waiting in self.life().serving.waiting.values_mut().filter(|waiting| waiting.again_at <= boot) {
            waiting.again_at = boot + AGAIN_MS;
            due.push((number(&waiting.to), Control::Request(waiting.request.clone())));
        }
        self.out.letters.extend(due);
        for Waiting { uid, asker, request, to, .. } in given_up {
            if matches!(request.verb, Verb::Answer { .. }) {
                self.forwarded(uid, asker, Self::no_response(&to));
            }
        }
    }

    /// The response to a request of a person here, or to an answer that this node forwarded.
    fn forwarded(&mut self, uid: Uid, asker: Asker, outcome: ControlOutcome) {
        match (asker, outcome) {
            (Asker::Here, outcome) => self.out.told.push(Told::Replied { uid, outcome }),
            (asker, ControlOutcome::Answered { receipt }) => self.came(uid, asker, Came::Answered(*receipt)),
            (asker, ControlOutcome::Refused { why }) => self.refuse((uid, asker), *why, None),
            (_, ControlOutcome::Done { .. }) => self.wrong("an answer is no change of a run".to_owned()),
        }
    }

    pub(super) fn came(&mut self, uid: Uid, asker: Asker, came: Came) {
        self.life().serving.confirmations.push(Confirmation { uid, asker, epoch: None, came });
    }

    pub(super) fn person_at(&self, node: &NodeDid, by: String) -> String {
        person_of(node, by).actor().name
    }

    /// Another node sends a request, or the response to one.
    pub(crate) fn hear_control(&mut self, from: &NodeDid, said: Control) {
        let request = match said {
            Control::Response(ControlResponse { id, outcome }) => {
                let waiting = &mut self.life().serving.waiting;
                if waiting.get(&id).is_some_and(|waiting| waiting.to == *from) {
                    let Waiting { uid, asker, .. } = waiting.remove(&id).unwrap();
                    self.forwarded(uid, asker, outcome);
                    self.finish_turn();
                }
                return;
            }
            Control::Request(request) => request,
        };
        let of = (from.clone(), request.id);
        if request.is_stale(self.wall_ms()) {
            return self.respond(of, ControlOutcome::Refused { why: Box::new(stale()) });
        }
        let known = self.life().serving.answered.iter().find(|(known, _)| *known == of);
        if let Some((_, outcome)) = known.cloned() {
            return self.respond(of, outcome);
        }
        if self.life().serving.under_way.contains(&of) {
            return;
        }
        self.carry_out(of, request);
        self.finish_turn();
    }

    fn respond(&mut self, (to, id): (NodeDid, InputId), outcome: ControlOutcome) {
        let response = Control::Response(ControlResponse { id, outcome });
        self.out.letters.push((number(&to), response));
    }

    fn carry_out(&mut self, of: (NodeDid, InputId), request: ControlRequest) {
        let uid = uid_of(&request);
        let asker = Asker::There(of.0.clone(), of.1);
        // What an earlier life of this node answered is not carried out again, no matter which node coordinates the run by now.
        if let Some((epoch, text)) = self.disk.refused.get(&refusal::key(&of.0, of.1)).cloned() {
            let came = Came::Refused(refusal::from_text(&text).unwrap());
            return self.life().serving.confirmations.push(Confirmation { uid, asker, epoch, came });
        }
        if let Some(epoch) = self.disk.made.get(&of.1).copied().map(Some) {
            let came = Came::Done;
            return self.life().serving.confirmations.push(Confirmation { uid, asker, epoch, came });
        }
        if matches!(request.verb, Verb::Answer { .. }) {
            self.life().serving.under_way.push(of.clone());
            return self.answer_asked((uid, asker), &of.0, request);
        }
        match self.disk.term() {
            Some((owner, _)) if owner == self.did => {
                let actor = person_of(&of.0, request.name()).actor();
                self.run_verb((uid, asker), Some(request.id), actor, request.verb);
            }
            Some((owner, _)) => {
                let detail = format!("run {} is coordinated by {owner}, not by this node", request.run);
                self.refuse((uid, asker), Problem::new(ProblemKind::Conflict, detail), None);
            }
            None => {
                let detail = format!("run {} does not exist in this room", request.run);
                self.refuse((uid, asker), Problem::new(ProblemKind::NotFound, detail), None);
            }
        }
    }

    fn run_verb(&mut self, (uid, asker): (Uid, Asker), input: Option<InputId>, actor: Actor, verb: Verb) {
        let Some((_, epoch)) = self.disk.term() else { return };
        self.restore_ended();
        let kind = match verb {
            Verb::Start {} => InputKind::Start { run: run() },
            Verb::Pause {} => InputKind::Pause { run: run() },
            Verb::Resume {} => InputKind::Resume { run: run() },
            Verb::Cancel { now } => InputKind::Cancel { run: run(), now },
            Verb::Retry { of } => InputKind::Retry { run: run(), scope: of },
            Verb::Decide { task, decision } => {
                InputKind::Decide { run: run(), task, approve: decision.approve, reason: decision.reason }
            }
            Verb::Answer { .. } | Verb::Kill { .. } => {
                return self.wrong("that is nothing that a run does".to_owned());
            }
        };
        match self.handle_for(Input { kind, actor: Some(actor), cause: input }) {
            Ok(()) => {
                let life = self.life();
                life.turn.extend(input.map(|input| Write::Made(input, epoch)));
                let (epoch, came) = (Some(epoch), Came::Done);
                life.serving.confirmations.push(Confirmation { uid, asker, epoch, came });
            }
            Err(rejected) => self.refuse((uid, asker), problem(&rejected), Some(epoch)),
        }
    }

    /// Refuses a request. One of another node is told so when the refusal is durable: a copy of it may come to the next life of
    /// this node.
    pub(super) fn refuse(&mut self, (uid, asker): (Uid, Asker), why: Problem, epoch: Option<Epoch>) {
        let life = self.life();
        if let (Asker::There(from, id), Some(text)) = (&asker, refusal::to_text(&why)) {
            life.turn.push(Write::Refused(refusal::key(from, *id), (epoch, text)));
        }
        life.serving.confirmations.push(Confirmation { uid, asker, epoch, came: Came::Refused(why) });
    }

    fn tell(&mut self, uid: Uid, asker: Asker, outcome: ControlOutcome) {
        match asker {
            Asker::Here => self.out.told.push(Told::Replied { uid, outcome }),
            Asker::There(from, id) => {
                let serving = &mut self.life().serving;
                serving.under_way.retain(|known| *known != (from.clone(), id));
                serving.answered.push_back(((from.clone(), id), outcome.clone()));
                self.respond((from, id), outcome);
            }
        }
    }

    /// What was done or refused in this turn is durable: who asked for it is told.
    pub(super) fn confirm(&mut self) {
        for Confirmation { uid, asker, epoch, came } in std::mem::take(&mut self.life().serving.confirmations)
        {
            let (outcome, view_of) = match came {
                Came::Refused(why) => (ControlOutcome::Refused { why: Box::new(why) }, None),
                Came::Answered(receipt) => (ControlOutcome::Answered { receipt: Box::new(receipt) }, None),
                Came::Done => {
                    let (Ok(Some(fold)), Some((_, now))) =
                        (folded(&self.plan, self.disk.facts()), self.disk.term())
                    else {
                        continue;
                    };
                    (ControlOutcome::Done { run: Box::new(view(fold.run())) }, Some(now))
                }
            };
            self.out.told.push(Told::CameTo { uid, outcome: outcome.clone(), epoch, view_of });
            self.tell(uid, asker, outcome);
        }
    }
}

fn stale() -> Problem {
    Problem::new(ProblemKind::Conflict, "the request is more than 2 minutes old")
}

fn problem(rejected: &Rejected) -> Problem {
    let kind = match rejected {
        Rejected::NoRun(_) | Rejected::NoTask { .. } | Rejected::NoGroup(_) => ProblemKind::NotFound,
        Rejected::Invalid(_) => ProblemKind::BadInput,
        Rejected::State(_) | Rejected::Stale(_) => ProblemKind::Conflict,
    };
    Problem::new(kind, rejected.to_string())
}

/// The run as the API shows it.
fn view(run: &Run) -> RunView {
    let facts = run.facts();
    let waits = run.tasks().filter(|(_, entry)| entry.waits_for_approval());
    RunView {
        id: run.id(),
        dag: facts.dag.clone(),
        state: run.state(),
        mode: facts.mode,
        room: Some(ROOM.to_owned()),
        node: facts.owner.clone(),
        source: facts.source.clone(),
        created_ms: 0,
        started_ms: None,
        retried_ms: None,
        ended_ms: None,
        counts: BTreeMap::new(),
        detail: None,
        cancelling: run.cancelling().is_some(),
        approvals: waits.map(|(spec, _)| spec.id.clone()).collect(),
        last_offset: 0,
    }
}
