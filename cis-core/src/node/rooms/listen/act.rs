//! Doing what somebody in a room wants: by the node's API, with the rights that the room gives them, to what
//! belongs to the room's own runs.

use super::files;
use super::who::Speaker;
use super::{Listener, Stop};
use crate::api::{Answer, CreateRun, InboxItem, ListInbox, Problem, ProblemKind, RunView, TaskView};
use crate::event::{ExecutionMode, RetryScope};
use crate::ids::{RunId, SessionId};
use crate::node::commands::{Command, RunVerb};
use crate::node::driver::now_ms;
use crate::node::logs;
use crate::policy::{Action, authorize};
use crate::room::command::{DagName, ParamName, Request, Said, Sign, Target, choose};
use crate::room::message::Message;
use crate::room::people::{Act, Refusal};
use crate::room::reply;
use crate::server::{InboxApi as _, NodeApi as _};

/// So much of the end of a log is shown, bytes.
const LOG_BYTES: usize = 4_000;

/// Runs that are listed.
const RUNS_MAX: u32 = 50;

/// What became of it.
pub(super) enum Done {
    /// It is done, and what happens says so.
    AsSeen,
    /// It is done; this is the answer.
    Says(Message),
    /// It is not done, for this reason.
    Not(Message),
    /// They may not.
    Refused(Refusal),
}

/// How an item of the inbox is named.
pub(super) enum Named {
    /// By the one name that it shares with no other.
    Exactly(String),
    /// As people do.
    By(Target),
}

/// Nothing of this room has that name.
fn nothing(what: &str, name: &str) -> Done {
    Done::Not(reply::words(&format!("There is no {what} “{name}” of this room."), Some("!cis status")))
}

/// As people hear it. What a file holds is not quoted into a room: whoever can read it looks there.
fn not(problem: &Problem) -> Done {
    if !problem.diagnostics.is_empty() {
        let says = "That file is not right. `cis dag validate` says where, on its machine.";
        return Done::Not(reply::words(says, None));
    }
    let says = match &problem.hint {
        Some(hint) => format!("Not done: {}. ({hint})", problem.detail),
        None => format!("Not done: {}.", problem.detail),
    };
    Done::Not(reply::words(&says, None))
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
                let runs = self.runs(speaker).await?;
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
        &self,
        speaker: &Speaker,
        request: &Request,
        act: Act,
        action: Option<Action>,
    ) -> Result<(), Refusal> {
        let settings = &self.node.config.settings.matrix;
        let refused = |refusal: Refusal| {
            self.audit(speaker, request, refusal.to_string());
            Err(refusal)
        };
        if let Err(refusal) = settings.carriers.check(speaker.carried, act) {
            return refused(refusal);
        }
        if let Err(refusal) = settings.roles.check(speaker.person(), request, None) {
            return refused(refusal);
        }
        match action.map(|action| authorize(&self.principal(speaker), action)) {
            Some(Err(denied)) => refused(Refusal::Denied { reason: denied.reason }),
            _ => Ok(()),
        }
    }

    fn audit(&self, speaker: &Speaker, request: &Request, reason: String) {
        let action = format!("`!cis {}` in {}", request.verb(), speaker.room);
        self.node.audit_denied(&self.principal(speaker), action, reason);
    }

    /// Answers what waits.
    pub(super) async fn answer(
        &mut self,
        speaker: &Speaker,
        named: &Named,
        said: Said<'_>,
        reason: Option<String>,
    ) -> Result<Done, Stop> {
        // Who may answer nobody learns nothing of what waits: but a file may name them for its approval.
        let item = match self.item(speaker, named).await? {
            Ok(item) => item,
            Err(done) if self.role(speaker).is_some() => return Ok(done),
            Err(_) => return Ok(Done::AsSeen),
        };
        let Ok(target) = Target::new(&item.id.0) else { return Ok(Done::AsSeen) };
        let request = Request::Answer { item: target, words: String::new() };
        let act = match said {
            Said::Sign(_) if matches!(named, Named::Exactly(_)) => Act::reaction_to(item.kind),
            _ => Act::Words,
        };
        let allowed = match (item.run, &item.task, item.session) {
            (Some(run), Some(task), None) => {
                let task = task.clone();
                self.node.driver.ask(|reply| Command::Allowed { run, task, reply }).await?
            }
            _ => None,
        };
        if let Some(allowed) = &allowed {
            // The list stands above roles; the node asks it once more where it decides.
            let settings = &self.node.config.settings.matrix;
            let carried = settings.carriers.check(speaker.carried, act);
            if let Err(refusal) = carried.and_then(|()| allowed.check(speaker.person())) {
                self.audit(speaker, &request, refusal.to_string());
                return Ok(Done::Refused(refusal));
            }
        } else if let Err(refusal) =
            self.may(speaker, &request, act, Some(Action::ControlSession(item.session)))
        {
            return Ok(Done::Refused(refusal));
        }
        let with = match choose(&item, said) {
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

    /// What waits in a run of this room, or what is said where there is no such.
    async fn item(&self, speaker: &Speaker, named: &Named) -> Result<Result<InboxItem, Done>, Stop> {
        let name = match named {
            Named::Exactly(name) => name.clone(),
            Named::By(target) => match self.of_task(speaker, target).await? {
                Some(name) => name,
                None => target.as_str().to_owned(),
            },
        };
        let found = match self.node.item(name).await {
            Ok(item) => item,
            Err(problem) if problem.kind == ProblemKind::Ambiguous => return Ok(Err(not(&problem))),
            Err(problem) if problem.kind == ProblemKind::NotFound => {
                return Ok(Err(self.nothing_waits(named)));
            }
            Err(problem) => return Err(problem.into()),
        };
        match found.run {
            Some(run) if self.is_of(speaker, run).await? => Ok(Ok(found)),
            _ => Ok(Err(self.nothing_waits(named))),
        }
    }

    fn nothing_waits(&self, named: &Named) -> Done {
        match named {
            Named::Exactly(_) => Done::Not(reply::words("This is not known any more.", None)),
            Named::By(target) => nothing("question", target.as_str()),
        }
    }

    /// The name of the only open item of a task, of whichever run of this room.
    async fn of_task(&self, speaker: &Speaker, target: &Target) -> Result<Option<String>, Stop> {
        let (None, task) = target.parts() else { return Ok(None) };
        let mut found = Vec::new();
        for run in self.runs(speaker).await?.iter().filter(|run| run.ended_ms.is_none()) {
            let of_run = ListInbox { run: Some(run.id.to_string()), ..ListInbox::default() };
            let items = self.node.inbox(of_run).await?.items;
            let of_task = |item: &InboxItem| item.task.as_ref().is_some_and(|id| id.as_str() == task);
            found.extend(items.into_iter().filter(of_task).map(|item| item.name()));
        }
        Ok(if found.len() == 1 { found.pop() } else { None })
    }

    async fn status(&self, speaker: &Speaker) -> Result<Done, Stop> {
        let node = self.node.node().await?;
        let mut waiting = 0;
        for run in self.runs(speaker).await?.iter().filter(|run| run.ended_ms.is_none()) {
            let of_run = ListInbox { run: Some(run.id.to_string()), ..ListInbox::default() };
            waiting += self.node.inbox(of_run).await?.items.len();
        }
        Ok(Done::Says(reply::status(&node, waiting, now_ms())))
    }

    /// The newest runs of this room, the newest first.
    async fn runs(&self, speaker: &Speaker) -> Result<Vec<RunView>, Stop> {
        let room = speaker.room.as_str().to_owned();
        Ok(self.node.read(move |reader| reader.runs_of_room(&room, RUNS_MAX)).await?)
    }

    async fn is_of(&self, speaker: &Speaker, run: RunId) -> Result<bool, Stop> {
        let room = self.node.read(move |reader| reader.room_of_run(run)).await?;
        Ok(room.as_deref() == Some(speaker.room.as_str()))
    }

    /// A run of this room by a name of it.
    async fn named_run(&self, speaker: &Speaker, name: &str) -> Result<Result<RunId, Done>, Stop> {
        match self.node.find_run(name.to_owned()).await {
            Ok(run) if self.is_of(speaker, run).await? => Ok(Ok(run)),
            Ok(_) => Ok(Err(nothing("run", name))),
            Err(problem) if problem.kind == ProblemKind::NotFound => Ok(Err(nothing("run", name))),
            Err(problem) if problem.kind == ProblemKind::Ambiguous => Ok(Err(not(&problem))),
            Err(problem) => Err(problem.into()),
        }
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

    /// A task of a run of this room: of the one that is named, or of the newest that has it.
    async fn task(&self, speaker: &Speaker, target: &Target) -> Result<Option<(RunId, TaskView)>, Stop> {
        let (run, name) = target.parts();
        let runs = match run {
            Some(run) => match self.named_run(speaker, run).await? {
                Ok(run) => vec![run],
                Err(_) => return Ok(None),
            },
            None => self.runs(speaker).await?.iter().map(|run| run.id).collect(),
        };
        for run in runs {
            let detail = self.node.run(run).await?;
            if let Some(task) = detail.tasks.into_iter().find(|task| task.id.as_str() == name) {
                return Ok(Some((run, task)));
            }
        }
        Ok(None)
    }

    async fn log(&self, speaker: &Speaker, target: &Target) -> Result<Done, Stop> {
        let Some((run, task)) = self.task(speaker, target).await? else {
            return Ok(nothing("task", target.as_str()));
        };
        let tail = logs::of_task(&self.node.home, run, &task, LOG_BYTES).await;
        Ok(Done::Says(reply::log(task.id.as_str(), &tail)))
    }

    async fn screen(&self, speaker: &Speaker, target: &Target) -> Result<Done, Stop> {
        let session = match self.session(speaker, target).await? {
            Some(session) => session,
            None => return Ok(nothing("session", target.as_str())),
        };
        match self.node.screen(session).await {
            Ok(rows) => Ok(Done::Says(reply::screen(target.as_str(), &rows))),
            Err(problem) => Ok(not(&problem)),
        }
    }

    /// A session of a run of this room, by a name of it or of its task.
    async fn session(&self, speaker: &Speaker, target: &Target) -> Result<Option<SessionId>, Stop> {
        if let Some((run, task)) = self.task(speaker, target).await?
            && let Ok(session) = self.node.task_session(run, task.id.to_string(), None).await
        {
            return Ok(Some(session));
        }
        let Ok(session) = self.node.find_session(target.as_str().to_owned(), true).await else {
            return Ok(None);
        };
        let Some(run) = self.node.session(session).await?.run else { return Ok(None) };
        Ok(self.is_of(speaker, run).await?.then_some(session))
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
        let found = match found.await.map_err(|error| crate::node::api::internal(&error))? {
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
