//! What several routes need: a look into the store, a run as it is, a session that the hub knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::super::commands::{AskedOfRun, Command, is_stopping, stopping};
use super::super::restore::{self, RestoreError};
use super::Answer;
use crate::control::coordinated_elsewhere;
use crate::declared::Declared;
use crate::logs;
use crate::machine::name_in;
use crate::node::Node;
use crate::problems::{blocking, hub_problem, no_task, run_name, starting, store_problem, unconnected};
use crate::shared::Announced;
use cis_core::api::log_pieces::LogPiece;
use cis_core::api::{
    BoundTaskView, CreateSession, Problem, ProblemKind, ReadLog, RunDetail, RunView, SessionView,
    TaskNodeView, WhyView,
};
use cis_core::event::ExecutionMode;
use cis_core::ids::{NodeDid, RunId, SessionId, TaskId};
use cis_core::policy::{self, Action, Denied, Principal};
use cis_core::scheduler::Run;
use cis_host::hub::HubError;
use cis_local::Lock;
use cis_store::{Reader, StoreError};

/// Files of a run's directory are looked for so long.
const FILES_TIME_MAX: Duration = Duration::from_secs(5);

/// Interval at which a follower looks whether a session has started.
const STARTING_LOOK_EVERY: Duration = Duration::from_millis(500);

/// Interval at which the session host is looked at while a caller waits for it to start a session.
const HOST_LOOK_EVERY: Duration = Duration::from_secs(3);

/// A longer program name or argument list is a mistake.
const ARGV_MAX: usize = 10_000;

/// Longer limits of time are mistakes, ms.
const LIMIT_MS_MAX: u64 = 10 * 365 * 24 * 3600 * 1000;

impl Node {
    /// Decides whether a principal may do this, and records a refusal.
    pub(super) fn authorize(&self, principal: &Principal, action: Action) -> Answer<()> {
        policy::authorize(principal, action).map_err(|denied| self.denied(principal, action, denied))
    }

    /// Records a refusal.
    pub(super) fn denied(&self, principal: &Principal, action: Action, denied: Denied) -> Problem {
        self.audit_denied(principal, format!("{action:?}"), denied.reason.clone());
        Problem::new(ProblemKind::Denied, denied.reason)
    }

    pub(crate) fn audit_denied(&self, principal: &Principal, action: String, reason: String) {
        self.driver.tell(Command::Denied { action, detail: reason, actor: principal.actor() });
    }

    /// The run that a name means.
    pub(crate) async fn find_run(&self, name: String) -> Answer<RunId> {
        self.read(move |reader| reader.find_run(&name)).await.map(|run| run.id)
    }

    /// The session that a name means; ended ones only where their id is given or `ended` is set.
    pub(crate) async fn find_session(&self, name: String, ended: bool) -> Answer<SessionId> {
        let id = name.parse::<SessionId>().ok();
        let found = match self.read(move |reader| reader.find_session(&name)).await {
            Ok(found) => found,
            // A session that this node has for another one is in the store once the room tells of it.
            Err(problem) => match id.filter(|id| self.shared.leaders.of(*id).is_some()) {
                Some(id) if problem.kind == ProblemKind::NotFound => return Ok(id),
                _ => return Err(problem),
            },
        };
        if !ended && !found.state.is_live() {
            let detail = format!("session {} has ended", found.id);
            return Err(
                Problem::new(ProblemKind::Conflict, detail).hint("`cis dag logs` shows what it wrote")
            );
        }
        Ok(found.id)
    }

    /// The node that coordinates the run of a session, and its room; none: this one does, or the session has no run, or this node
    /// has it for another one.
    pub(super) async fn coordinator_of(
        &self,
        session: SessionId,
    ) -> Answer<Option<(RunId, (NodeDid, Option<String>))>> {
        let Ok(SessionView { run: Some(run), .. }) = self.session_view(session).await else {
            return Ok(None);
        };
        let (owner, _, room) = self.read(move |reader| reader.term(run)).await?;
        let node = self.read(move |reader| reader.node_of(session)).await?;
        let is_own = |did: &NodeDid| self.identity.is_or_was(did);
        Ok((!is_own(&owner) && !node.as_ref().is_some_and(is_own)).then_some((run, (owner, room))))
    }

    /// Refuses what only the node can do that coordinates a run, where that is another one.
    pub(crate) async fn coordinates(&self, run: Option<RunId>) -> Answer<()> {
        let Some(run) = run else { return Ok(()) };
        let (owner, ..) = self.read(move |reader| reader.term(run)).await?;
        if self.identity.is_or_was(&owner) {
            return Ok(());
        }
        Err(coordinated_elsewhere(run, &owner)
            .hint("what it waits for is answered there, or in the room that follows it"))
    }

    /// Returns the path at which this node listens. The lock names it, because it changes when the runtime directory
    /// is gone for good.
    pub(super) fn socket(&self) -> PathBuf {
        match cis_local::look(&self.home.node_lock()) {
            Ok(Lock::Held(Some(holder))) => holder.socket,
            _ => self.home.node_socket(),
        }
    }

    /// Reads the store on a thread that may wait.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let readers = self.readers.clone();
        let found = blocking(move || readers.get().and_then(|reader| look(&reader))).await?;
        found.map_err(|error| store_problem(&error))
    }

    /// What the configuration says otherwise since this node started.
    pub(super) async fn config_changes(&self) -> Vec<String> {
        let (config, home) = (Arc::clone(&self.config), self.home.clone());
        let looked = tokio::task::spawn_blocking(move || config.changed_since(&home)).await;
        // A thread that failed is no news about the configuration.
        looked.unwrap_or_default()
    }

    /// Has something done to a run, by this node or the one that coordinates it.
    pub(crate) async fn run_verb(&self, asked: AskedOfRun) -> Answer<RunView> {
        let run = asked.run();
        let (owner, _, room) = self.read(move |reader| reader.term(run)).await?;
        if self.identity.is_or_was(&owner) {
            self.run_verb_here(asked).await
        } else {
            self.ask_coordinator(asked, (owner, room)).await
        }
    }

    /// Does something to a run that this node coordinates.
    pub(crate) async fn run_verb_here(&self, asked: AskedOfRun) -> Answer<RunView> {
        let run = asked.run();
        self.driver.ask(|reply| Command::Run { asked, reply }).await?;
        self.run_view(run).await
    }

    /// Tasks of a run that are still to start and need something of this node, where it was submitted.
    pub(super) async fn bound_tasks(&self, run: RunId) -> Answer<Vec<BoundTaskView>> {
        let Some(tasks) = self.driver.ask(|reply| Command::BoundTasks { run, reply }).await? else {
            return Ok(Vec::new());
        };
        let tasks = Arc::new(tasks);
        let looked = {
            let tasks = Arc::clone(&tasks);
            blocking(move || tasks.by_files())
        };
        // The directory may be on a disk that does not answer. The mode has changed already.
        match tokio::time::timeout(FILES_TIME_MAX, looked).await {
            Ok(bound) => bound,
            Err(_) => Ok(tasks.by_keys()),
        }
    }

    pub(super) async fn run_detail(&self, run: RunId) -> Answer<RunDetail> {
        let mut detail = self.read(move |reader| reader.run_detail(run)).await?;
        let (readers, blobs) = (self.readers.clone(), Arc::clone(&self.blobs));
        let names = Arc::clone(&self.agents);
        let agents = blocking(move || names.of(&readers, &blobs, run)).await?;
        if !agents.is_empty() {
            for task in &mut detail.tasks {
                // An item is made like the task that it is of.
                let name = task.id.as_str();
                let of = name.rsplit_once('.').map_or(name, |(of, _)| of);
                task.agent = agents.get(name).or_else(|| agents.get(of)).cloned();
            }
        }
        if detail.run.mode == ExecutionMode::Matrix {
            let nodes = self.read(move |reader| reader.nodes_of(run)).await?;
            let room = detail.run.room.clone().unwrap_or_default();
            let known: BTreeSet<&NodeDid> = nodes.values().collect();
            let announced = self.shared.announced().remove(&room).unwrap_or_default();
            let known = known.into_iter().map(|did| (did, self.node_name(&room, did, announced.get(did))));
            let names: BTreeMap<&NodeDid, String> = known.collect();
            for task in &mut detail.tasks {
                let named = nodes.get(&task.id).and_then(|did| Some((did, names.get(did)?)));
                task.node = named.map(|(did, name)| TaskNodeView { did: did.clone(), name: name.clone() });
            }
        }
        for task in &mut detail.tasks {
            if let Some(approval) = &mut task.approval {
                let task = task.id.clone();
                approval.allowed = self.driver.ask(|reply| Command::Allowed { run, task, reply }).await?;
            }
        }
        Ok(detail)
    }

    /// The name of a node in a room; empty: it has none.
    pub(crate) fn node_name(&self, room: &str, did: &NodeDid, announced: Option<&Announced>) -> String {
        let by_owner = self.members.name_of(room, did);
        let own = || self.identity.is_or_was(did).then(|| name_in(&self.config.settings.federation));
        by_owner.or_else(own).or_else(|| announced.map(|node| node.name.clone())).unwrap_or_default()
    }

    pub(crate) async fn session_view(&self, session: SessionId) -> Answer<SessionView> {
        self.read(move |reader| reader.session(session)).await
    }

    pub(super) async fn run_view(&self, run: RunId) -> Answer<RunView> {
        self.read(move |reader| reader.run(run)).await
    }

    /// A problem that says so, where the log of a session was removed.
    pub(super) async fn not_cleaned(&self, run: Option<RunId>, session: SessionId) -> Answer<()> {
        let alone = run.is_none().then_some(session);
        match self.read(move |reader| reader.cleaned(run, alone)).await? {
            Some(cleaned) => Err(restore::removed(&format!("the log of session {session}"), &cleaned)),
            None => Ok(()),
        }
    }

    /// A run as its events say it is.
    pub(super) async fn folded(&self, run: RunId) -> Answer<Run> {
        self.load(run).await?.map_err(|error| error.problem())
    }

    /// Does the same, with the cause if the run cannot be folded.
    pub(super) async fn load(&self, run: RunId) -> Answer<Result<Run, RestoreError>> {
        let (readers, blobs) = (self.readers.clone(), Arc::clone(&self.blobs));
        let config = Arc::clone(&self.config);
        blocking(move || restore::load_run(&readers, &blobs, &config.settings.agents, run)).await
    }

    /// Explains a task of a run that a rebuild of the store ended: only its row says something about it.
    pub(super) async fn why_incomplete(&self, run: RunId, task: TaskId, anew: String) -> Answer<WhyView> {
        let detail = self.read(move |reader| reader.run_detail(run)).await?;
        let Some(row) = detail.tasks.iter().find(|row| row.id == task) else {
            let known = detail.tasks.iter().map(|row| row.id.as_str());
            return Err(no_task(&run_name(run, &detail.run.dag), &task, known));
        };
        let state = row.state;
        let lost = "The run has ended, because some of its events were lost when the database was damaged.";
        let last = format!("By the events that are left, the task is {}.", state.as_str());
        Ok(WhyView {
            run,
            task,
            state,
            because: vec![lost.to_owned(), last],
            try_this: vec![format!("cis dag show {}", run.short()), anew],
        })
    }

    /// The log of a session that this node has or had, of an attempt or alone.
    pub(crate) async fn own_log(
        &self,
        session: SessionId,
        attempt: Option<(RunId, TaskId, u32)>,
        is_live: bool,
        query: &ReadLog,
    ) -> Answer<BoxStream<'static, LogPiece>> {
        let run = attempt.as_ref().map(|(run, ..)| *run);
        let path = match &attempt {
            Some((run, task, number)) => self.home.attempt_log(*run, task, *number),
            None => self.home.session_log(session),
        };
        if !is_live && std::fs::symlink_metadata(&path).is_err() {
            self.not_cleaned(run, session).await?;
        }
        if is_live
            && query.follow
            && let Some(pieces) = self.followed(session, query).await?
        {
            return Ok(pieces);
        }
        let is_own = match run {
            Some(run) => {
                let owner = self.read(move |reader| Ok(reader.term(run).ok())).await?;
                owner.is_some_and(|(owner, ..)| self.identity.is_or_was(&owner))
            }
            None => true,
        };
        // The log of another node's task may have been written again without its secrets.
        let total = match is_own {
            true => self.read(move |reader| reader.session_output(session)).await?,
            false => None,
        };
        let run = run.map(|run| Declared::of(&self.readers, &self.blobs, run));
        Ok(logs::stored(path, query, total, run))
    }

    /// Follows the log of a session. None: it ended in this moment, or its output is withheld, so its file is read.
    pub(super) async fn followed(
        &self,
        session: SessionId,
        query: &ReadLog,
    ) -> Answer<Option<BoxStream<'static, LogPiece>>> {
        if !self.is_exposed(session).await? {
            return Ok(None);
        }
        match logs::followed(&self.hub, session, query).await {
            Ok(pieces) => Ok(Some(pieces)),
            // Between two looks it ended, or the node began to stop. The file alone is not the whole log of a session that goes on:
            // who reads it with marks comes again.
            Err(HubError::NoSuchSession { .. }) if self.is_exposed(session).await? && query.marks => {
                Ok(Some(stream::empty().boxed()))
            }
            Err(HubError::NoSuchSession { .. }) => Ok(None),
            Err(error) => Err(hub_problem(&error)),
        }
    }

    /// Whether the hub was told of a session. It was not if the session ended, or if its output is withheld. If the session is about
    /// to start, waits for that.
    async fn is_exposed(&self, session: SessionId) -> Answer<bool> {
        // Subscribe before asking the driver, so that no event is missed.
        let (mut events, mut ended) = (self.events.subscribe(), self.shared.ended.subscribe());
        loop {
            match self.expose(session).await {
                Ok(()) => return Ok(true),
                Err(problem) if problem == unconnected(session) || is_stopping(&problem) => {
                    return Err(problem);
                }
                Err(problem) if problem == starting(session) => {}
                Err(_) => return Ok(false),
            }
            tokio::select! {
                _ = events.recv() => {}
                // Sessions of other nodes' runs make no events here.
                () = tokio::time::sleep(STARTING_LOOK_EVERY) => {}
                _ = ended.wait_for(|ended| *ended) => return Err(stopping()),
            }
        }
    }

    /// Waits until the session host has started a session that is recorded already. Only the wait ends if the session host
    /// does not answer: it reads the request when it can.
    pub(super) async fn started(&self, start: impl Future<Output = Answer<SessionId>>) -> Answer<SessionId> {
        let mut start = std::pin::pin!(start);
        loop {
            let look = async {
                tokio::time::sleep(HOST_LOOK_EVERY).await;
                self.unresponsive_host().await
            };
            tokio::select! {
                // A session that has started meanwhile counts more than what a look found.
                biased;
                answer = &mut start => return answer,
                found = look => {
                    if let Some(host) = found {
                        let detail = format!(
                            "cannot start the session yet: {}. It starts when the session host answers",
                            host.why
                        );
                        return Err(Problem::new(ProblemKind::Unavailable, detail).hint(host.remedy));
                    }
                }
            }
        }
    }

    /// Makes sure that the hub knows a session that is live.
    pub(crate) async fn expose(&self, session: SessionId) -> Answer<()> {
        self.driver.ask(|reply| Command::Expose { session, reply }).await
    }
}

/// That a session can be made of it.
pub(super) fn check_session(request: &CreateSession) -> Answer<()> {
    let sound = !request.argv.is_empty()
        && request.argv.len() <= ARGV_MAX
        && request.argv.iter().all(|argument| !argument.contains('\0'));
    if !sound {
        return Err(Problem::new(
            ProblemKind::BadInput,
            "a session needs a program and arguments without NUL bytes",
        ));
    }
    if request.name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return Err(Problem::new(ProblemKind::BadInput, "the name of the session is empty")
            .hint("leave it out: the session gets one"));
    }
    let limits = [request.idle_ms, request.lifetime_ms];
    if limits.into_iter().flatten().any(|limit| !(1..=LIMIT_MS_MAX).contains(&limit)) {
        let detail = "a limit of a session is longer than nothing and at most ten years";
        return Err(Problem::new(ProblemKind::BadInput, detail));
    }
    Ok(())
}
