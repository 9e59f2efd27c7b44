//! Telling people: the command of `[notify]` for each new item of the inbox, and what `on_blocked` runs.
//!
//! Owns the threads on which commands run, at most four at a time, each within its time, and who is told of what.
//! Nothing waits for them: what does not fit into the [`queue`] is left out, and said in the node's log and status.

mod command;
mod placed;
mod queue;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use self::command::Call;
use self::placed::Placed;
use self::queue::Queue;
use crate::own_commands::OwnCommands;
use cis_core::api::CLIENT_VARIABLES;
use cis_core::event::{EndReason, Event, EventBody, QueueReason, SaidRecord, TaskState, Urgency};
use cis_core::ids::{BlobId, InboxId, RunId, SessionId, TaskId};
use cis_core::policy::NodeCommand;
use cis_local::Home;
use cis_store::{Blobs, Readers};

/// Name, but for its end, of the directory in the home that has the programs of a call meanwhile.
pub(super) const ASIDE: &str = ".running-";

/// Commands at a time.
const THREADS: usize = 4;

/// So many wait at most.
const WAITING_MAX: usize = 256;

/// Variables of a session: whatever runs here is none.
const OF_SESSIONS: [&str; 6] =
    ["CIS_RUN_ID", "CIS_TASK_ID", "CIS_ATTEMPT", "CIS_SOCKET", "CIS_TOKEN", "CIS_OUTPUT"];

/// What people are told.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    /// `blocked`, `skipped`, `failed`, `asked`, `approval`, `escalated`, `said`.
    pub(super) event: &'static str,
    pub(super) item: Option<InboxId>,
    pub(super) session: Option<SessionId>,
    pub(super) run: Option<RunId>,
    pub(super) task: Option<TaskId>,
    /// Who is told beside those that always are.
    pub(super) notify: Vec<String>,
    pub(super) said: Option<SaidRecord>,
}

/// A command of a file that is run for a prompt.
#[derive(Debug)]
pub(super) struct OwnCommand {
    /// Identity of the command, which decides its rights.
    pub(super) of: NodeCommand,
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: String,
    /// It is not run where that directory is a link by now, or lies behind one.
    pub(super) is_exact: bool,
    /// A directory that is not there yet, for what was kept with its run; and what is put where in it.
    pub(super) dir: PathBuf,
    pub(super) files: Vec<(PathBuf, BlobId)>,
}

struct Job {
    notice: Notice,
    /// None: the configured command.
    own: Option<OwnCommand>,
}

/// Who has a share of the queue: a session, or what waits for approval in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Session(SessionId),
    Run(RunId),
    Nobody,
}

impl Notice {
    fn whose(&self) -> Whose {
        let run = self.run.map_or(Whose::Nobody, Whose::Run);
        self.session.map_or(run, Whose::Session)
    }
}

/// What waits for the threads.
struct Jobs {
    waiting: Mutex<Waiting>,
    /// Something changed of it.
    changed: Condvar,
}

struct Waiting {
    queue: Queue<Whose, Job>,
    /// The node ends.
    over: bool,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one; none: the node ends.
    fn next(&self) -> Option<(Whose, Job)> {
        let mut waiting = self.lock();
        while !waiting.over {
            if let Some(next) = waiting.queue.pop() {
                return Some(next);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

/// See the module.
pub(super) struct Notices {
    command: Vec<String>,
    timeout: Duration,
    home: Home,
    readers: Readers,
    blobs: Arc<Blobs>,
    own: OwnCommands,
    jobs: Option<Arc<Jobs>>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Notices {
    /// Runs `command` (none where it is empty) for at most `timeout`.
    pub(super) fn new(
        command: Vec<String>,
        timeout: Duration,
        home: Home,
        readers: Readers,
        blobs: Arc<Blobs>,
        own: OwnCommands,
    ) -> Self {
        Self { command, timeout, home, readers, blobs, own, jobs: None, trouble: Arc::default() }
    }

    /// What went wrong last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Events that are durable now: people are told of those that want somebody.
    pub(super) fn see<'a>(&mut self, events: impl IntoIterator<Item = &'a Arc<Event>>) {
        if self.command.is_empty() {
            return;
        }
        let mut notices = Vec::new();
        for event in events {
            match ended_at_once(event) {
                Some(ends) => mark_ended(&mut notices, event.run, &ends),
                None => notices.extend(notices_of(event)),
            }
        }
        notices.into_iter().for_each(|notice| self.tell(notice));
    }

    /// Tells people.
    pub(super) fn tell(&mut self, notice: Notice) {
        if !self.command.is_empty() {
            self.queue(Job { notice, own: None });
        }
    }

    /// Runs a command of a file.
    pub(super) fn run(&mut self, notice: Notice, own: OwnCommand) {
        self.queue(Job { notice, own: Some(own) });
    }

    /// A command of a file is not run, and why.
    pub(super) fn not_run(&self, detail: String) {
        note(&self.trouble, detail);
    }

    fn queue(&mut self, job: Job) {
        if self.jobs.is_none() {
            self.jobs = self.start();
        }
        let Some(jobs) = &self.jobs else {
            return note(&self.trouble, "nobody is told what waits: no thread can be started".to_owned());
        };
        let out = jobs.lock().queue.push(job.notice.whose(), job);
        jobs.changed.notify_one();
        if let Some((whose, out)) = out {
            let of = match whose {
                Whose::Session(session) => format!(" of session {session}"),
                Whose::Run(run) => format!(" of run {run}"),
                Whose::Nobody => String::new(),
            };
            let event = out.notice.event;
            note(
                &self.trouble,
                format!("more than {WAITING_MAX} notices wait: one ({event}){of} was left out"),
            );
        }
    }

    fn start(&self) -> Option<Arc<Jobs>> {
        let waiting = Waiting { queue: Queue::new(WAITING_MAX), over: false };
        let jobs = Arc::new(Jobs { waiting: Mutex::new(waiting), changed: Condvar::new() });
        let mut started = 0;
        for _ in 0..THREADS {
            let work = Worker {
                command: self.command.clone(),
                timeout: self.timeout,
                home: self.home.clone(),
                readers: self.readers.clone(),
                blobs: Arc::clone(&self.blobs),
                own: self.own.clone(),
                trouble: Arc::clone(&self.trouble),
                jobs: Arc::clone(&jobs),
            };
            let thread = thread::Builder::new().name("cis-notices".to_owned());
            started += usize::from(thread.spawn(move || work.work()).is_ok());
        }
        (started > 0).then_some(jobs)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        if let Some(jobs) = &self.jobs {
            jobs.lock().over = true;
            jobs.changed.notify_all();
        }
    }
}

/// Returns the tasks whose session `on_blocked` ends at once, with the event name of their notice instead of
/// `blocked`.
fn ended_at_once(event: &Event) -> Option<Vec<(TaskId, &'static str)>> {
    if event.type_name != "cis.dag.task.status" || !event.body.get().contains("\"end\"") {
        return None;
    }
    let Ok(EventBody::TaskStatus { changes }) = event.decode() else { return None };
    let ends = changes.into_iter().filter(|change| change.state == TaskState::Running);
    let ends = ends.filter_map(|change| match change.end {
        Some(EndReason::Skipped { .. }) => Some((change.task, "skipped")),
        Some(EndReason::Blocked { .. }) => Some((change.task, "failed")),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    (!ends.is_empty()).then_some(ends)
}

/// Renames notices of sessions that are being ended: these sessions wait for no answer.
fn mark_ended(notices: &mut [Notice], run: Option<RunId>, ends: &[(TaskId, &'static str)]) {
    for notice in
        notices.iter_mut().filter(|notice| matches!(notice.event, "blocked" | "asked") && notice.run == run)
    {
        let end = ends.iter().find(|(task, _)| notice.task.as_ref() == Some(task));
        notice.event = end.map_or(notice.event, |(_, event)| event);
    }
}

/// What happened, for those who wait to hear of it.
fn notices_of(event: &Event) -> Vec<Notice> {
    let wanted = match event.type_name.as_str() {
        "cis.dag.session.blocked" | "cis.dag.session.asked" | "cis.dag.session.said" => true,
        // Of a run with many tasks it is long, and seldom of interest.
        "cis.dag.task.status" => event.body.get().contains("\"approval\""),
        _ => false,
    };
    let Some(body) = wanted.then(|| event.decode().ok()).flatten() else { return Vec::new() };
    let notice = |event_name, item, session, task| Notice {
        event: event_name,
        item,
        session,
        run: event.run,
        task,
        notify: Vec::new(),
        said: None,
    };
    match body {
        // What it asks by itself is told as that.
        EventBody::SessionBlocked { session, task, prompt } if prompt.ask.is_none() => {
            vec![notice("blocked", Some(prompt.item), Some(session), task)]
        }
        EventBody::SessionAsked { session, task, ask } => {
            vec![notice("asked", Some(ask.item), Some(session), task)]
        }
        EventBody::SessionSaid { session, task, said } if said.urgency == Urgency::High => {
            vec![Notice { said: Some(*said), ..notice("said", None, Some(session), task) }]
        }
        EventBody::TaskStatus { changes } => {
            let Some(run) = event.run else { return Vec::new() };
            let asked = changes
                .into_iter()
                .filter(|change| matches!(change.queued, Some(QueueReason::Approval { .. })));
            asked
                .map(|change| {
                    let item = InboxId::of_approval(run, &change.task, event.at_ms);
                    notice("approval", Some(item), None, Some(change.task))
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn note(trouble: &Mutex<Option<String>>, detail: String) {
    tracing::warn!(detail, "people are not told");
    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(detail);
}

/// One thread.
struct Worker {
    command: Vec<String>,
    timeout: Duration,
    home: Home,
    readers: Readers,
    blobs: Arc<Blobs>,
    own: OwnCommands,
    trouble: Arc<Mutex<Option<String>>>,
    jobs: Arc<Jobs>,
}

impl Worker {
    fn work(&self) {
        while let Some((whose, job)) = self.jobs.next() {
            if let Err(detail) = self.tell(&job) {
                let what = if job.own.is_some() { "the command of on_blocked" } else { "notify.command" };
                note(&self.trouble, format!("{what} failed: {detail}"));
            }
            self.jobs.lock().queue.done(&whose);
            self.jobs.changed.notify_one();
        }
    }

    fn tell(&self, job: &Job) -> Result<(), String> {
        let notice = &job.notice;
        let (kind, document) = self.document(notice);
        let mut env: BTreeMap<String, String> = match &job.own {
            Some(own) => own.env.clone(),
            None => std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        };
        env.retain(|name, _| {
            !OF_SESSIONS.contains(&name.as_str()) && !CLIENT_VARIABLES.contains(&name.as_str())
        });
        env.insert("CIS_HOME".to_owned(), self.home.dir.display().to_string());
        env.insert("CIS_EVENT".to_owned(), notice.event.to_owned());
        env.insert("CIS_KIND".to_owned(), kind);
        env.insert("CIS_NOTIFY".to_owned(), notice.notify.join(","));
        let ids = [
            ("CIS_ITEM", notice.item.as_ref().map(ToString::to_string)),
            ("CIS_RUN", notice.run.map(|run| run.to_string())),
            ("CIS_TASK", notice.task.as_ref().map(ToString::to_string)),
            ("CIS_SESSION", notice.session.map(|session| session.to_string())),
        ];
        env.extend(ids.map(|(name, value)| (name.to_owned(), value.unwrap_or_default())));
        let (argv, cwd, is_exact) = match &job.own {
            Some(own) => (&own.argv, own.cwd.clone(), own.is_exact),
            None => (&self.command, self.home.dir.display().to_string(), false),
        };
        let _until_it_ends = match &job.own {
            Some(own) => Some(Placed::put(&own.dir, &own.files, &self.blobs)?),
            None => None,
        };
        let of = job.own.as_ref().map_or(NodeCommand::Notify, |own| own.of.clone());
        let (own, timeout, stdin) = (&self.own, self.timeout, document.to_string() + "\n");
        Call { of, own, argv, env, cwd: &cwd, is_exact, stdin, timeout }.run()
    }

    /// What it reads from its standard input, and the kind of it.
    fn document(&self, notice: &Notice) -> (String, Value) {
        if let Some(said) = &notice.said {
            let document = json!({
                "event": notice.event, "run": notice.run, "task": notice.task, "session": notice.session,
                "kind": said.kind, "text": said.text, "urgency": said.urgency,
            });
            return (said.kind.to_string(), document);
        }
        let known = notice.item.as_ref().and_then(|item| {
            let name = match (notice.session, notice.run) {
                (Some(session), _) => item.name(session),
                (None, Some(run)) => item.name(run),
                (None, None) => item.to_string(),
            };
            self.readers.get().and_then(|reader| reader.item(&name)).ok().map(|known| known.item)
        });
        let kind = known.as_ref().map(|item| item.kind.to_string()).unwrap_or_default();
        let mut document = known.map_or_else(
            || json!({ "id": notice.item, "run": notice.run, "task": notice.task, "session": notice.session }),
            |item| serde_json::to_value(item).unwrap_or_default(),
        );
        if let Value::Object(fields) = &mut document {
            fields.insert("event".to_owned(), notice.event.into());
            fields.insert("notify".to_owned(), notice.notify.clone().into());
        }
        (kind, document)
    }
}
