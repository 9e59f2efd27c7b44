//! Doing what somebody in a room wants: by the node's API, with the rights that the room gives them, to what
//! belongs to the room's own runs.

use std::collections::BTreeSet;

use super::files;
use super::who::Speaker;
use super::{AUDITS, Listener, Stop};
use crate::commands::{AskedOfRun, Command, RunVerb, Taken};
use crate::inbox::given::check_open;
use crate::problems::blocking;
use crate::server::{InboxApi as _, NodeApi as _, NodesApi as _};
use cis_core::api::{
    AdmitNode, Answer, CreateRun, InboxItem, ListNodes, Problem, ProblemKind, ReportSession,
};
use cis_core::dag;
use cis_core::event::{ExecutionMode, PromptKind, RetryScope};
use cis_core::identity::Right;
use cis_core::ids::{NodeDid, RunId, TimestampMs};
use cis_core::people::{Act, Carried, Refusal};
use cis_core::policy::act::Targeted as _;
use cis_core::policy::{Permit, act, admit, admit_decision};
use cis_core::room::command::{DagName, ParamName, Request, Said, Sign, Target, choose};
use cis_core::room::message::Message;
use cis_core::room::reply;
use cis_core::text;
use cis_local::now_ms;
use cis_store::InRoom;

/// The clock of a homeserver may be so far behind the node's, ms, and a question counts as asked before words.
const CLOCKS_APART_MS: TimestampMs = 10_000;

/// Runs that are listed.
const RUNS_MAX: u32 = 50;

/// What became of it.
pub(super) enum Done {
    /// It is done, and what happens says so; or it was no matter of ours.
    AsSeen,
    /// It is done; this is the answer.
    Says(Message),
    /// It is not done, for this reason.
    Not(Message),
    /// They may not.
    Refused(Refusal),
}

impl Done {
    /// What is said of it; none: nothing is.
    pub(super) fn message(self) -> Option<Message> {
        match self {
            Self::AsSeen => None,
            Self::Says(message) | Self::Not(message) => Some(message),
            Self::Refused(refusal) => Some(reply::not_done(&refusal)),
        }
    }
}

/// Why a command is not done.
enum NotDone {
    Refused(Refusal),
    Stop(Stop),
}

impl From<Refusal> for NotDone {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Stop> for NotDone {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// How an item of the inbox is named.
pub(super) enum Named {
    /// By the one name that it shares with no other.
    Exactly(String),
    /// As people do.
    By(Target),
}

/// Nothing of this room has that name.
pub(super) fn nothing(what: &str, name: &str) -> Done {
    Done::Not(reply::words(&format!("There is no {what} “{name}” of this room."), Some("!cis status")))
}

/// Several of this room have that name.
pub(super) fn several(what: &str, names: &[String]) -> Done {
    Done::Not(reply::words(&format!("Which {what}? There are: {}.", names.join(", ")), None))
}

/// As people in a room hear it. Hints are for a command line, and what is wrong with the machine is its owner's
/// to know.
pub(super) fn not(problem: &Problem) -> Done {
    Done::Not(match problem.kind {
        ProblemKind::BadInput | ProblemKind::Conflict | ProblemKind::NotFound | ProblemKind::Denied => {
            reply::not_done(&text::without_uids(&problem.detail))
        }
        _ => reply::words(
            "Not done: the node cannot do it now. `cis node status` on its machine says why.",
            None,
        ),
    })
}

/// What is said to words that were taken, but have no reply.
pub(super) fn unfinished() -> Message {
    let says = "The node stopped while it did this, so it is not known whether it is done. If it is not, say it again.";
    reply::words(says, None)
}

impl Listener {
    /// Takes these words, once. Gives what becomes of them if they were taken before.
    async fn take_once(&self, speaker: &Speaker) -> Result<Option<Done>, Stop> {
        let (input, event) = (speaker.input, speaker.event.as_str().to_owned());
        let taken = self.node.driver.ask(|reply| Command::TakeInput { input, event, reply }).await?;
        Ok(match taken {
            Taken::Now => None,
            // If there is a reply to it, that stands.
            Taken::BySame => Some(Done::Not(unfinished())),
            // A homeserver gives the same words again.
            Taken::ByAnother => Some(Done::AsSeen),
        })
    }

    /// Does what a command asks for.
    pub(super) async fn act(&mut self, speaker: &Speaker, request: Request) -> Result<Done, Stop> {
        match request {
            Request::Answer { item, words } => {
                self.answer(speaker, &Named::By(item), Said::Words(&words), None).await
            }
            Request::Approve { item } => {
                self.answer(speaker, &Named::By(item), Said::Sign(Sign::Yes), None).await
            }
            Request::Reject { item, reason } => {
                self.answer(speaker, &Named::By(item), Said::Sign(Sign::No), reason).await
            }
            other => {
                if let Err(refusal) = self.may(speaker, &other, Act::Words) {
                    return Ok(Done::Refused(refusal));
                }
                match self.command(speaker, &other).await {
                    Ok(done) => Ok(done),
                    Err(NotDone::Refused(refusal)) => Ok(Done::Refused(refusal)),
                    Err(NotDone::Stop(stop)) => Err(stop),
                }
            }
        }
    }

    /// Does what somebody asks for whose role allows it.
    async fn command(&mut self, speaker: &Speaker, request: &Request) -> Result<Done, NotDone> {
        match request {
            Request::Status => {
                let permit = self.admit(speaker, request, act::SeeNode)?;
                self.status(speaker, permit).await
            }
            Request::Runs => {
                let permit = self.admit(speaker, request, act::See)?;
                self.list_runs(speaker, &permit).await
            }
            Request::Nodes => {
                let permit = self.admit(speaker, request, act::See)?;
                self.list_nodes(speaker, permit).await
            }
            Request::Trust { did, may } => {
                self.may_trust(speaker).inspect_err(|refusal| self.audit(speaker, request, refusal))?;
                let permit = self.admit(speaker, request, act::ControlIdentity)?;
                self.trust(speaker, permit, did, may).await
            }
            Request::Run { dag, params } => {
                let permit = self.admit(speaker, request, act::CreateRun)?;
                self.start(speaker, permit, dag, params).await
            }
            Request::Logs { task } => {
                let permit = self.admit(speaker, request, act::ReadSessions)?;
                self.log(speaker, &permit, task).await
            }
            Request::Screen { session: name } => match self.named_session(speaker, name).await? {
                Ok(session) => {
                    let permit = self.admit(speaker, request, act::ReadSession::on(session))?;
                    self.screen(permit, name).await
                }
                Err(done) => return Ok(done),
            },
            Request::Report { session: name, waits_for } => match self.named_session(speaker, name).await? {
                Ok(session) => {
                    let permit = self.admit(speaker, request, act::ControlSession::on(session))?;
                    if let Some(done) = self.take_once(speaker).await? {
                        return Ok(done);
                    }
                    let report = ReportSession { waits_for: *waits_for };
                    Ok(match self.node.report_session(permit, report).await {
                        Ok(_) => Done::Says(reply::words(
                            "Kept on the machine of the node, in `reports` of its home directory. Nothing was sent.",
                            None,
                        )),
                        Err(problem) => not(&problem),
                    })
                }
                Err(done) => return Ok(done),
            },
            Request::Cancel { run } | Request::Retry { run } => {
                match self.named_run(speaker, run.as_str()).await? {
                    Ok(run) => {
                        let permit = self.admit(speaker, request, act::ControlRun::on(run))?;
                        self.verb(speaker, permit, request).await
                    }
                    Err(done) => return Ok(done),
                }
            }
            Request::Help | Request::Answer { .. } | Request::Approve { .. } | Request::Reject { .. } => {
                return Ok(Done::Says(reply::help(self.role(speaker))));
            }
        }
        .map_err(NotDone::Stop)
    }

    /// Whether they may, by the way on which it came, and their role.
    fn may(&mut self, speaker: &Speaker, request: &Request, carried: Act) -> Result<(), Refusal> {
        let settings = &self.node.config.settings.matrix;
        let may = settings.carriers.check(speaker.carried, carried);
        let may = may.and_then(|()| request.check(&settings.roles, speaker.person()).map(drop));
        may.inspect_err(|refusal| self.audit(speaker, request, refusal))
    }

    /// Admits somebody whose role allows a request.
    fn admit<A: act::Act>(
        &mut self,
        speaker: &Speaker,
        request: &Request,
        act: A,
    ) -> Result<Permit<A>, Refusal> {
        let permit = admit(&self.principal(speaker), act);
        let permit = permit.map_err(|denied| Refusal::Denied { reason: denied.reason });
        permit.inspect_err(|refusal| self.audit(speaker, request, refusal))
    }

    fn audit(&mut self, speaker: &Speaker, request: &Request, refusal: &Refusal) {
        if self.audits.take(AUDITS, now_ms()).is_ok() {
            let action = format!("`!cis {}` in {}", request.verb(), speaker.room);
            self.node.audit_denied(&self.principal(speaker), action, refusal.to_string());
        }
    }

    /// Answers what waits.
    pub(super) async fn answer(
        &mut self,
        speaker: &Speaker,
        named: &Named,
        said: Said<'_>,
        reason: Option<String>,
    ) -> Result<Done, Stop> {
        // Who may answer nothing learns nothing of what waits; but a file may name them for its approval.
        let has_role = self.role(speaker).is_some();
        let item = match self.item(speaker, named).await? {
            Ok(item) => item,
            Err(done) if has_role => return Ok(done),
            Err(_) => return Ok(Done::AsSeen),
        };
        let with = choose(&item, said);
        // What is said aside and is no answer is talk.
        if matches!(said, Said::Aside(_)) && with.is_err() {
            return Ok(Done::AsSeen);
        }
        let permit = match self.may_answer(speaker, named, &said, &item).await? {
            Ok(permit) => permit,
            // Whichever way was tried, one way decides.
            Err(refusal @ (Refusal::ReactionInClear | Refusal::ReplyInClear)) => {
                return Ok(Done::Not(reply::by_name(&refusal, &item)));
            }
            Err(refusal) => return Ok(Done::Refused(refusal)),
        };
        let with = match with {
            Ok(with) => with,
            Err(hint) => {
                // Nothing is an answer to what is over: who answered it, and how, is said instead.
                let is_open = check_open(&item, now_ms());
                return Ok(is_open.map_or_else(|over| not(&over), |()| Done::Not(reply::hint(&hint))));
            }
        };
        let hash = Some(item.hash.clone());
        let answer = Answer { with, reason, hash, again: None, input: speaker.input };
        match self.node.answer(permit, item, answer).await {
            Ok(_) => Ok(Done::AsSeen),
            Err(problem) => Ok(not(&problem)),
        }
    }

    async fn may_answer(
        &mut self,
        speaker: &Speaker,
        named: &Named,
        said: &Said<'_>,
        item: &InboxItem,
    ) -> Result<Result<Permit<act::Answer>, Refusal>, Stop> {
        let request = request_of(item, said);
        let carried = match (named, said) {
            (Named::By(_), _) => Act::Words,
            (Named::Exactly(_), Said::Sign(_)) => Act::reaction_to(item.kind),
            (Named::Exactly(_), _) => Act::reply_to(item.kind),
        };
        let Some((run, allowed)) = self.node.who_may_decide(item).await? else {
            let may = self.may(speaker, &request, carried);
            return Ok(may.and_then(|()| self.admit(speaker, &request, act::Answer)));
        };
        // The list takes precedence over roles; the driver asks it once more when it records the decision.
        let carried = self.node.config.settings.matrix.carriers.check(speaker.carried, carried);
        let permit = carried.and_then(|()| {
            allowed.check(speaker.person())?;
            admit_decision(&self.principal(speaker), run, Some(&allowed))
                .map_err(|denied| Refusal::Denied { reason: denied.reason })
        });
        Ok(permit.inspect_err(|refusal| self.audit(speaker, &request, refusal)))
    }

    /// What waits in a run of this room, or what is said where there is no such.
    async fn item(&self, speaker: &Speaker, named: &Named) -> Result<Result<InboxItem, Done>, Stop> {
        let room = speaker.room.as_str().to_owned();
        match named {
            Named::Exactly(name) => {
                let name = name.clone();
                let found = self.node.read(move |reader| {
                    let known = match reader.item(&name) {
                        Ok(known) => known,
                        Err(cis_store::StoreError::NotFound { .. }) => return Ok(None),
                        Err(error) => return Err(error),
                    };
                    let of = known.item.run.map(|run| reader.room_of_run(run)).transpose()?.flatten();
                    Ok((of == Some(room)).then_some(known))
                });
                let gone = || Done::Not(reply::words("This is not known any more.", None));
                Ok(found.await?.map(|known| known.item).ok_or_else(gone))
            }
            Named::By(target) => {
                let name = target.as_str().to_owned();
                Ok(match self.node.read(move |reader| reader.item_in_room(&room, &name)).await? {
                    InRoom::One(known) => {
                        let item = known.item;
                        // A task, a run or a session may ask something else by now: only letters name one question.
                        let is_exact = item.id.0.eq_ignore_ascii_case(target.as_str());
                        if is_exact || item.since <= speaker.sent_ms.saturating_add(CLOCKS_APART_MS) {
                            Ok(item)
                        } else {
                            Err(Done::Not(reply::asked_later(&item)))
                        }
                    }
                    InRoom::Several(names) => Err(several("of them", &names)),
                    InRoom::Nothing => Err(nothing("question", target.as_str())),
                })
            }
        }
    }

    async fn list_runs(&self, speaker: &Speaker, _: &Permit<act::See>) -> Result<Done, Stop> {
        let room = speaker.room.as_str().to_owned();
        let runs = self.node.read(move |reader| reader.runs_of_room(&room, RUNS_MAX)).await?;
        Ok(Done::Says(reply::runs(&runs, now_ms())))
    }

    pub(super) fn owns(&self, speaker: &Speaker) -> bool {
        self.node.members.is_owner(speaker.room.as_str())
    }

    /// The nodes of this room.
    async fn list_nodes(&self, speaker: &Speaker, permit: Permit<act::See>) -> Result<Done, Stop> {
        let room = speaker.room.as_str();
        let nodes = self.node.nodes(permit, ListNodes { room: Some(room.to_owned()) }).await?;
        Ok(Done::Says(reply::nodes(&nodes.items)))
    }

    /// Whether a node may be let in by what came so.
    fn may_trust(&self, speaker: &Speaker) -> Result<(), Refusal> {
        let settings = &self.node.config.settings.matrix;
        if !settings.trust_in_rooms {
            return Err(Refusal::TrustOff);
        }
        settings.roles.check_trust(speaker.person())?;
        // Whatever counts for other words: a homeserver can add a device to an account.
        match speaker.carried {
            Carried { room_encrypted: false, .. } => Err(Refusal::TrustInClear),
            Carried { encrypted: false, .. } => Err(Refusal::MessageInClear),
            Carried { device, .. } => device.check(),
        }
    }

    /// Lets a node in that asked for it.
    async fn trust(
        &self,
        speaker: &Speaker,
        permit: Permit<act::ControlIdentity>,
        did: &NodeDid,
        may: &BTreeSet<Right>,
    ) -> Result<Done, Stop> {
        let room = speaker.room.as_str().to_owned();
        let announced = self.node.shared.announced().remove(&room).unwrap_or_default();
        let Some(known) = announced.get(did) else {
            return Ok(Done::Not(reply::words("No such node is in this room.", Some("!cis nodes"))));
        };
        let member = self.node.members.member(&room, did);
        // Nobody loses a right because nothing was said of it.
        if may.is_empty()
            && let Some(has) = member.as_ref().filter(|member| !member.may.is_empty())
        {
            let says = format!(
                "It may {} already. Say what it may do from now on:",
                Right::words(&has.may).join(", ")
            );
            return Ok(Done::Not(reply::words(&says, Some("!cis trust DID execute coordinate submit"))));
        }
        let may = if may.is_empty() { [Right::Execute].into() } else { may.clone() };
        let (name, tags) = member.map(|member| (member.name, member.tags)).unwrap_or_default();
        let threshold = self.node.members.of(&room).map_or(1, |membership| membership.owners().threshold);
        let request = AdmitNode { room, did: did.clone(), name, may: may.clone(), tags };
        if let Some(done) = self.take_once(speaker).await? {
            return Ok(done);
        }
        match self.node.admit_node(permit, request).await {
            Ok(_) if threshold > 1 => {
                let says = format!("Said. It counts when {threshold} owners of the room have said the same.");
                Ok(Done::Says(reply::words(&says, None)))
            }
            Ok(_) => Ok(Done::Says(reply::let_in(&known.name, &may))),
            Err(problem) => Ok(not(&problem)),
        }
    }

    async fn status(&self, speaker: &Speaker, permit: Permit<act::SeeNode>) -> Result<Done, Stop> {
        let mut node = self.node.node(permit).await?;
        // What is wrong with the machine, and where its files are, is its owner's to know.
        node.warnings.clear();
        let room = speaker.room.as_str().to_owned();
        let waiting = self.node.read(move |reader| reader.open_in_room(&room)).await?.len();
        Ok(Done::Says(reply::status(&node, waiting, now_ms())))
    }

    /// A run of this room by a name of it.
    pub(super) async fn named_run(&self, speaker: &Speaker, name: &str) -> Result<Result<RunId, Done>, Stop> {
        let (room, wanted) = (speaker.room.as_str().to_owned(), name.to_owned());
        Ok(match self.node.read(move |reader| reader.run_in_room(&room, &wanted)).await? {
            InRoom::One(run) => Ok(run),
            InRoom::Several(names) => Err(several("run", &names)),
            InRoom::Nothing => Err(nothing("run", name)),
        })
    }

    /// Cancels or retries a run.
    async fn verb(
        &self,
        speaker: &Speaker,
        permit: Permit<act::ControlRun>,
        request: &Request,
    ) -> Result<Done, Stop> {
        let (verb, says) = match request {
            Request::Cancel { .. } => (RunVerb::Cancel { now: false }, "is being cancelled"),
            _ => (RunVerb::Retry(RetryScope::Failed), "is tried again"),
        };
        match self.node.run_verb(AskedOfRun::new(&permit, verb, Some(speaker.input))).await {
            Ok(view) => Ok(Done::Says(reply::words(&format!("{} {says}.", view.dag), None))),
            Err(problem) => Ok(not(&problem)),
        }
    }

    /// Starts a DAG of the folders that may be run from rooms.
    async fn start(
        &self,
        speaker: &Speaker,
        permit: Permit<act::CreateRun>,
        name: &DagName,
        params: &[(ParamName, String)],
    ) -> Result<Done, Stop> {
        let (node, wanted) = (self.node.clone(), name.clone());
        let given: Vec<String> = params.iter().map(|(name, _)| name.as_str().to_owned()).collect();
        let found = blocking(move || {
            let found = files::find(&node.config.settings.matrix.run_dirs, &wanted)?;
            let dag = dag::parse(&found.text, "").ok();
            let unknown = dag.and_then(|dag| given.into_iter().find(|name| !dag.params.contains_key(name)));
            Ok::<_, files::NoFile>((found, unknown))
        });
        let found = match found.await? {
            // It quotes what the person wrote, and nothing of the file.
            Ok((_, Some(unknown))) => {
                let says = format!("“{name}” has no parameter “{unknown}”.");
                return Ok(Done::Not(reply::words(&says, None)));
            }
            Ok((found, None)) => found,
            Err(error) => return Ok(Done::Not(reply::words(&error.to_string(), Some("!cis run NAME")))),
        };
        let request = CreateRun {
            text: found.text,
            source: found.path.display().to_string(),
            workdir: found.folder.display().to_string(),
            params: params.iter().map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect(),
            env: None,
            umask: None,
            mode: ExecutionMode::Hybrid,
            room: Some(speaker.room.as_str().to_owned()),
            use_agent: None,
            start: true,
            no_cache: false,
            validate_only: false,
            input: speaker.input,
        };
        match self.node.create_run(permit, request).await {
            Ok(_) => Ok(Done::AsSeen),
            // What stands in the file, and where its programs are searched, is not quoted into a room.
            Err(problem) if problem.kind == ProblemKind::BadInput => {
                let says = format!(
                    "“{name}” cannot be started so: its parameters or its file are not right. `cis dag validate` and `cis dag run` \
                     on its machine say what is wrong."
                );
                Ok(Done::Not(reply::words(&says, None)))
            }
            Err(problem) => Ok(not(&problem)),
        }
    }
}

/// An answer as a command, for who may give it.
fn request_of(item: &InboxItem, said: &Said<'_>) -> Request {
    let target = || Target::of(&item.id);
    match (item.kind, said) {
        (PromptKind::Approval, Said::Sign(Sign::No)) => Request::Reject { item: target(), reason: None },
        (PromptKind::Approval, _) => Request::Approve { item: target() },
        _ => Request::Answer { item: target(), words: String::new() },
    }
}
