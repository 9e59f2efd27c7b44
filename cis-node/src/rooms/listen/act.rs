//! Doing what somebody in a room wants: by the node's API, with the rights that the room gives them, to what
//! belongs to the room's own runs.

use super::files;
use super::who::Speaker;
use super::{AUDITS, Listener, Stop};
use crate::commands::{Command, RunVerb};
use crate::problems::internal;
use crate::server::{InboxApi as _, NodeApi as _};
use cis_core::api::{Answer, CreateRun, InboxItem, Problem, ProblemKind};
use cis_core::event::{ExecutionMode, PromptKind, RetryScope};
use cis_core::ids::RunId;
use cis_core::people::{Act, Allowed, Refusal};
use cis_core::policy::{Action, authorize};
use cis_core::room::command::{DagName, ParamName, Request, Said, Sign, Target, choose};
use cis_core::room::message::Message;
use cis_core::room::reply;
use cis_core::text;
use cis_local::now_ms;
use cis_store::InRoom;

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

impl Listener {
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
                if let Err(refusal) = self.may(speaker, &other, Act::Words, action_of(&other)) {
                    return Ok(Done::Refused(refusal));
                }
                self.command(speaker, other).await
            }
        }
    }

    async fn command(&self, speaker: &Speaker, request: Request) -> Result<Done, Stop> {
        match request {
            Request::Status => self.status(speaker).await,
            Request::Runs => {
                let room = speaker.room.as_str().to_owned();
                let runs = self.node.read(move |reader| reader.runs_of_room(&room, RUNS_MAX)).await?;
                Ok(Done::Says(reply::runs(&runs, now_ms())))
            }
            Request::Run { dag, params } => self.start(speaker, &dag, params).await,
            Request::Logs { task } => self.log(speaker, &task).await,
            Request::Screen { session } => self.screen(speaker, &session).await,
            Request::Cancel { run } => self.verb(speaker, &run, RunVerb::Cancel, "is being cancelled").await,
            Request::Retry { run } => {
                self.verb(speaker, &run, RunVerb::Retry(RetryScope::Failed), "is tried again").await
            }
            Request::Help | Request::Answer { .. } | Request::Approve { .. } | Request::Reject { .. } => {
                Ok(Done::Says(reply::help(self.role(speaker))))
            }
        }
    }

    /// Whether they may, by the way on which it came, their role, and the door of every request.
    fn may(
        &mut self,
        speaker: &Speaker,
        request: &Request,
        act: Act,
        action: Option<Action>,
    ) -> Result<(), Refusal> {
        let settings = &self.node.config.settings.matrix;
        let may = settings.carriers.check(speaker.carried, act).and_then(|()| {
            request.check(&settings.roles, speaker.person())?;
            let Some(action) = action else { return Ok(()) };
            authorize(&self.principal(speaker), action)
                .map_err(|denied| Refusal::Denied { reason: denied.reason })
        });
        if let Err(refusal) = &may {
            self.audit(speaker, request, refusal);
        }
        may
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
        match self.may_answer(speaker, named, &said, &item).await? {
            Ok(()) => {}
            // Whichever way was tried, one way decides.
            Err(refusal @ (Refusal::ReactionInClear | Refusal::ReplyInClear)) => {
                return Ok(Done::Not(reply::by_name(&refusal, &item)));
            }
            Err(refusal) => return Ok(Done::Refused(refusal)),
        }
        let with = match with {
            Ok(with) => with,
            Err(hint) => return Ok(Done::Not(reply::hint(&hint))),
        };
        let hash = Some(item.hash.clone());
        let answer = Answer { with, reason, hash, again: None, input: speaker.input };
        match self.node.answer(self.principal(speaker), item, answer).await {
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
    ) -> Result<Result<(), Refusal>, Stop> {
        let request = request_of(item, said);
        let act = match (named, said) {
            (Named::By(_), _) => Act::Words,
            (Named::Exactly(_), Said::Sign(_)) => Act::reaction_to(item.kind),
            (Named::Exactly(_), _) => Act::reply_to(item.kind),
        };
        let Some(allowed) = self.allowed(item).await? else {
            return Ok(self.may(speaker, &request, act, Some(Action::ControlSession(item.session))));
        };
        // The list stands above roles; the node asks it once more where it decides.
        let carried = self.node.config.settings.matrix.carriers.check(speaker.carried, act);
        let may = carried.and_then(|()| allowed.check(speaker.person()));
        if let Err(refusal) = &may {
            self.audit(speaker, &request, refusal);
        }
        Ok(may)
    }

    /// Who may decide an item, where it is an approval whose file says that.
    async fn allowed(&self, item: &InboxItem) -> Result<Option<Allowed>, Stop> {
        match (item.run, &item.task, item.kind) {
            (Some(run), Some(task), PromptKind::Approval) => {
                let task = task.clone();
                Ok(self.node.driver.ask(|reply| Command::Allowed { run, task, reply }).await?)
            }
            _ => Ok(None),
        }
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
                    InRoom::One(known) => Ok(known.item),
                    InRoom::Several(names) => Err(several("of them", &names)),
                    InRoom::Nothing => Err(nothing("question", target.as_str())),
                })
            }
        }
    }

    async fn status(&self, speaker: &Speaker) -> Result<Done, Stop> {
        let mut node = self.node.node().await?;
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

    async fn verb(&self, speaker: &Speaker, run: &Target, verb: RunVerb, says: &str) -> Result<Done, Stop> {
        let run = match self.named_run(speaker, run.as_str()).await? {
            Ok(run) => run,
            Err(done) => return Ok(done),
        };
        let who = self.principal(speaker);
        match self.node.run_verb(&who, run, verb, Some(speaker.input)).await {
            Ok(view) => Ok(Done::Says(reply::words(&format!("{} {says}.", view.dag), None))),
            Err(problem) => Ok(not(&problem)),
        }
    }

    /// Starts a DAG of the folders that may be run from rooms.
    async fn start(
        &self,
        speaker: &Speaker,
        name: &DagName,
        params: Vec<(ParamName, String)>,
    ) -> Result<Done, Stop> {
        let (node, wanted) = (self.node.clone(), name.clone());
        let found =
            tokio::task::spawn_blocking(move || files::find(&node.config.settings.matrix.run_dirs, &wanted));
        let found = match found.await.map_err(|error| internal(&error))? {
            Ok(found) => found,
            Err(error) => return Ok(Done::Not(reply::words(&error.to_string(), Some("!cis run NAME")))),
        };
        let request = CreateRun {
            text: found.text,
            source: found.path.display().to_string(),
            workdir: found.folder.display().to_string(),
            params: params.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
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
        match self.node.create_run(self.principal(speaker), request).await {
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

/// The door that a command passes.
fn action_of(request: &Request) -> Option<Action> {
    match request {
        Request::Help => None,
        Request::Status => Some(Action::SeeNode),
        Request::Runs => Some(Action::See),
        Request::Logs { .. } | Request::Screen { .. } => Some(Action::ReadSession(None)),
        Request::Run { .. } | Request::Cancel { .. } | Request::Retry { .. } => {
            Some(Action::ControlRun(None))
        }
        Request::Answer { .. } | Request::Approve { .. } | Request::Reject { .. } => {
            Some(Action::ControlSession(None))
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
