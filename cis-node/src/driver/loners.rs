//! Sessions without a run (`cis session create`): their life from request to end.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Driver;
use super::facts::{HOST_ENDED, ended, loner_ended};
use super::turn::Beside;
use crate::commands::{NewSession, Reply};
use crate::environment;
use crate::exposure::Exposure;
use crate::worker::{prompt_file, remove};
use cis_core::api::{CreateSession, Problem, ProblemKind, TermSize};
use cis_core::event::{Actor, EventBody, EventDraft};
use cis_core::ids::{SessionId, TimestampMs};
use cis_core::policy::redact::Redactor;
use cis_core::scheduler::{Input, InputKind};
use cis_host::hub::Ended;
use cis_host::protocol::{Exit, Io, Start, StartFailure, ToHost};
use cis_local::{Home, now_ms, read_regular_text};
use cis_store::SessionFacts;

/// Between SIGTERM and SIGKILL, ms.
const GRACE_MS: u64 = 10_000;

struct Loner {
    request: Option<CreateSession>,
    /// Who waits for its first process: the same input may have come more than once.
    replies: Vec<Reply<SessionId>>,
    started: bool,
    exit_recorded: bool,
}

/// The live ones.
#[derive(Default)]
pub(super) struct Loners {
    live: BTreeMap<SessionId, Loner>,
    /// For the host, once the turn is durable.
    waiting: Vec<ToHost>,
}

impl Loners {
    pub(super) fn live_count(&self) -> usize {
        self.live.len()
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.live.contains_key(&session)
    }

    pub(super) fn queue(&mut self, message: ToHost) {
        self.waiting.push(message);
    }

    /// What the host is to be told.
    pub(super) fn take_waiting(&mut self) -> Vec<ToHost> {
        std::mem::take(&mut self.waiting)
    }
}

impl Driver {
    /// Takes the request; the caller hears of it when the first process is there, or why it is not.
    pub(super) fn create_session(
        &mut self,
        session: SessionId,
        new: Box<NewSession>,
        actor: Actor,
        reply: Reply<SessionId>,
    ) {
        let (Some(host), true) = (self.host.instance(), self.host.fd().is_some()) else {
            let why = self.host.trouble.as_deref().unwrap_or("no session host");
            let problem = Problem::new(ProblemKind::Unavailable, format!("cannot start a session: {why}"));
            let _ = reply.send(Err(problem.hint("`cis node status` shows more; then try again")));
            return;
        };
        let NewSession { request, launch } = *new;
        match self.made_by(request.input) {
            Ok(None) if self.parts.machine.has_free_session() => {}
            Ok(None) => {
                let most = self.parts.config.settings.node.max_sessions;
                let detail = format!(
                    "cannot create a session: this node has all the {most} sessions that it may have"
                );
                let problem = Problem::new(ProblemKind::Conflict, detail);
                let _ = reply.send(Err(problem.hint(
                    "`cis session list` shows them: end one, or set `node.max_sessions` and restart the node",
                )));
                return;
            }
            Ok(Some(made)) => return self.created_before(&made, reply),
            Err(problem) => {
                let _ = reply.send(Err(problem));
                return;
            }
        }
        self.turn.make(request.input, session.to_string());
        let body = EventBody::SessionCreated {
            session,
            argv: request.argv.clone(),
            name: request.name.clone(),
            host,
        };
        let cause = Some(request.input);
        let facts = SessionFacts {
            tty: request.size.is_some(),
            size: request.size,
            command: request.argv.join(" "),
            log: Some(self.parts.home.session_log(session).display().to_string()),
        };
        let draft = EventDraft { run: None, at_ms: now_ms(), actor: Some(actor), cause, body };
        self.turn.draft_with(draft, Beside::Session(facts));
        let env_base = match &request.env {
            Some(vars) => self.parts.worker.place_given_environment(session.to_string(), vars.clone()),
            None => self.parts.worker.place_own_environment(),
        };
        let mut env = BTreeMap::new();
        let (home, keys, settings) = (&self.parts.home, &self.parts.keys, &self.parts.config.settings);
        let label = session.to_string();
        let agent = request.agent.as_ref().and_then(|asked| settings.agents.get(&asked.profile));
        env.extend(agent.into_iter().flat_map(|agent| agent.env.clone()));
        environment::session_variables(&mut env, home, keys, session, &label, request.size.is_some());
        let stdin = launch.stdin.is_some().then(|| prompt_file(home, session).display().to_string());
        let profile = request.agent.as_ref().map(|asked| asked.profile.clone());
        let given = files_of(home, session).into_iter().zip([launch.stdin, launch.typed, profile]);
        let files = given.filter_map(|(path, content)| Some((path.display().to_string(), content?)));
        self.loners.queue(ToHost::Start(Box::new(Start {
            session,
            label,
            argv: request.argv.clone(),
            cwd: request.cwd.clone(),
            env_base: Some(env_base),
            env,
            umask: request.umask,
            line: None,
            io: request.size.map_or(Io::Pipes { stdin: true }, Io::Pty),
            lease: None,
            log: home.session_log(session).display().to_string(),
            log_limit_bytes: settings.node.log_limit_bytes,
            timeout_ms: request.lifetime_ms,
            idle_ms: request.idle_ms,
            warn_ms: settings.timeouts.warning(request.lifetime_ms, request.idle_ms),
            grace_ms: GRACE_MS,
            files: files.collect(),
            stdin,
        })));
        if request.env.is_some() {
            self.loners.queue(ToHost::DropEnv { name: session.to_string() });
        }
        let loner =
            Loner { request: Some(request), replies: vec![reply], started: false, exit_recorded: false };
        self.loners.live.insert(session, loner);
        self.count_loners();
    }

    /// The same input again: whoever sent it hears what the first one hears.
    fn created_before(&mut self, made: &str, reply: Reply<SessionId>) {
        let Ok(session) = made.parse::<SessionId>() else {
            let problem = Problem::new(ProblemKind::Conflict, "this input id was used for something else");
            let _ = reply.send(Err(problem.hint("give each request an id of its own")));
            return;
        };
        match self.loners.live.get_mut(&session).filter(|loner| !loner.started) {
            Some(loner) => loner.replies.push(reply),
            None => self.turn.confirm(reply, Ok(session)),
        }
    }

    pub(super) fn loner_started(&mut self, session: SessionId, pid: u32) {
        let Some(loner) = self.loners.live.get_mut(&session) else { return };
        loner.started = true;
        let (request, replies) = (loner.request.take(), std::mem::take(&mut loner.replies));
        self.draft(EventBody::SessionStarted { session, task: None, pid });
        if let Some(request) = request {
            let agents = &self.parts.config.settings.agents;
            let asked = request.agent.map(|asked| asked.profile);
            let profile = asked.or_else(|| agents.of_command(&request.argv).map(|agent| agent.name.clone()));
            self.show_loner(session, request.size, request.argv.join(" "), profile, false);
        }
        replies.into_iter().for_each(|reply| self.turn.confirm(reply, Ok(session)));
    }

    fn show_loner(
        &mut self,
        session: SessionId,
        size: Option<TermSize>,
        command: String,
        profile: Option<String>,
        adopted: bool,
    ) {
        self.parts.worker.exposed.push(Exposure {
            session,
            tty: size.is_some(),
            adopted,
            size,
            log: self.parts.home.session_log(session),
            command,
            redactor: Arc::new(Redactor::default()),
            profile,
        });
    }

    pub(super) fn loner_failed(&mut self, session: SessionId, why: &StartFailure, now: TimestampMs) {
        let Some(loner) = self.loners.live.remove(&session) else { return };
        let (kind, detail) = match why {
            StartFailure::Resources { detail } => (ProblemKind::Unavailable, detail.clone()),
            StartFailure::Program { detail } => (ProblemKind::BadInput, detail.clone()),
            StartFailure::Withdrawn {} => (ProblemKind::Unavailable, "it was taken back".to_owned()),
        };
        self.loner_gone(session, detail.clone(), now);
        for reply in loner.replies {
            let problem = Problem::new(kind, detail.clone());
            self.turn.confirm(reply, Err(problem));
        }
    }

    fn loner_gone(&mut self, session: SessionId, detail: String, now: TimestampMs) {
        self.remove_files(session);
        let detail = Some(detail);
        self.draft(EventBody::SessionEnded { session, exit: None, detail, ended_ms: now, log_bytes: 0 });
        self.count_loners();
    }

    /// Records the end. Answers whether the session is one of these.
    pub(super) fn loner_exited(&mut self, session: SessionId, exit: &Exit) -> bool {
        let Some(loner) = self.loners.live.get_mut(&session) else { return false };
        if !loner.exit_recorded {
            loner.exit_recorded = true;
            self.loners.live.remove(&session);
            self.remove_files(session);
            self.draft(loner_ended(session, exit));
            self.loners.queue(ToHost::AckExit { session });
            self.count_loners();
        }
        true
    }

    /// Records that the standalone sessions are lost with their host. Sessions in `ended` are recorded when
    /// the next host reports them.
    pub(super) fn standalone_lost(&mut self, ended: &[SessionId], now: TimestampMs) {
        for (session, loner) in std::mem::take(&mut self.loners.live) {
            let detail = HOST_ENDED.to_owned();
            self.parts.hub.close(session, Ended { detail: detail.clone(), exit_code: None });
            if !ended.contains(&session) {
                self.loner_gone(session, detail.clone(), now);
            }
            for reply in loner.replies {
                let _ = reply.send(Err(Problem::new(ProblemKind::Unavailable, detail.clone())));
            }
        }
        self.loners.waiting.clear();
    }

    /// After a start of the node: what became of those that an earlier life of it had.
    pub(super) fn reconcile_loners(&mut self, now: TimestampMs) {
        let recorded = match self.parts.readers.get().and_then(|reader| reader.live_standalone()) {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::error!(%error, "sessions without a run cannot be read: they are left alone");
                self.unread.loners = Some(error.to_string());
                return self.count_loners();
            }
        };
        self.unread.loners = None;
        for row in recorded {
            if self.loners.contains(row.id) {
                self.unread.sessions.remove(&row.id);
                continue;
            }
            // It was lost with its host in this turn, which the store does not know yet.
            if self.turn.ends(row.id) {
                continue;
            }
            let Some(there) = self.unread.sessions.remove(&row.id) else {
                let detail = "its session host ended, or the node did before it was started".to_owned();
                self.loner_gone(row.id, detail, now);
                continue;
            };
            let loner = Loner { request: None, replies: Vec::new(), started: true, exit_recorded: false };
            self.loners.live.insert(row.id, loner);
            if row.pid.is_none() {
                self.draft(EventBody::SessionStarted { session: row.id, task: None, pid: there.pid });
            }
            match there.exit {
                Some(exit) => {
                    self.loner_exited(row.id, &exit);
                    self.parts.hub.close(row.id, ended(&exit));
                }
                None => {
                    let agents = &self.parts.config.settings.agents;
                    let asked = read_kept(&profile_file(&self.parts.home, row.id));
                    let agent = asked.and_then(|name| agents.get(&name));
                    let agent = agent.or_else(|| agents.of_command(&self.argv_of(row.id)));
                    let profile = agent.map(|agent| agent.name.clone());
                    self.show_loner(row.id, row.size, row.command, profile, true);
                }
            }
        }
        self.count_loners();
    }

    /// Returns the arguments of a session, which the name in listings does not separate. Returns nothing if the
    /// store cannot be read; then the session has no profile.
    fn argv_of(&self, session: SessionId) -> Vec<String> {
        let argv = self.parts.readers.get().and_then(|reader| reader.session_argv(session));
        argv.unwrap_or_else(|error| {
            tracing::warn!(%session, %error, "cannot read what a session runs: no profile is used for it");
            None
        })
        .unwrap_or_default()
    }

    /// The prompt of an agent that is to be typed.
    pub(super) fn prompt_of_loner(&self, session: SessionId) -> Option<String> {
        let is_loner = self.loners.contains(session);
        is_loner.then(|| read_kept(&typed_file(&self.parts.home, session))).flatten()
    }

    fn remove_files(&self, session: SessionId) {
        files_of(&self.parts.home, session).iter().for_each(|file| remove(file));
    }

    /// They share `max_sessions` with the sessions of runs.
    fn count_loners(&mut self) {
        let unread = self.unread.sessions.values().filter(|known| known.exit.is_none()).count();
        let count = self.loners.live_count() + unread;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.handle(Input::internal(InputKind::ForeignSessions { count }), now_ms());
    }
}

/// What the host writes for a session before it starts, so that a later life of the node has it, too: its standard input,
/// what is typed into it, and the name of its profile.
fn files_of(home: &Home, session: SessionId) -> [PathBuf; 3] {
    [prompt_file(home, session), typed_file(home, session), profile_file(home, session)]
}

/// The prompt of an agent that is typed once it waits for input. It is removed then.
pub(super) fn typed_file(home: &Home, session: SessionId) -> PathBuf {
    home.output_file(session).with_extension("typed")
}

/// The name of the profile that was asked for.
fn profile_file(home: &Home, session: SessionId) -> PathBuf {
    home.output_file(session).with_extension("profile")
}

/// What is kept in a file of a session. None: there is no such file, or it cannot be read.
fn read_kept(path: &Path) -> Option<String> {
    let read = read_regular_text(path);
    if let Err(error) = &read
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a session's file cannot be read");
    }
    read.ok()
}
