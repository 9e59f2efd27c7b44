//! The node as its API sees it: reads from the store, changes through the driver, streams from the hub.

mod idempotency;
mod pages;
mod shared;
mod tasks;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::broadcast::error::RecvError;

pub(super) use self::pages::page_of;
use self::pages::{RESULTS_BYTES_MAX, bound_results, history_page};
use self::shared::check_session;
use super::commands::{AskedOfRun, Command, NewSession, RunVerb, TAKEOVER_TIME_MAX};
use super::explain::explained;
use super::node::Node;
use super::own_commands;
use super::principal::This;
use super::problems::{blocking, hub_problem, no_task, not_in, run_name};
use super::restore::RestoreError;
use super::streams::{self, Viewer};
use super::submit::prepare;
use super::{agents, context, restore};
use crate::server::{AttachPermit, AttachStreams, Client, EventBatch, NodeApi, Peer};
use cis_core::api::{
    Attach, CancelRun, CleanReport, CleanStore, CreateRun, CreateSession, Decide, ExplainView, FollowEvents,
    GroupPlace, GroupView, HistoryEntry, InputReceipt, KillSession, ListRuns, ListSessions, Listing,
    ModeView, NodeView, Page, PauseNode, Problem, ProblemKind, ReadHistory, ReadLog, ReadTime, ReportSession,
    Reported, RetryRun, RunDetail, RunView, SendInput, SessionView, SetMode, StopNode, TaskContext, TimeView,
    WhyView,
};
use cis_core::dag::Group;
use cis_core::event::ExecutionMode;
use cis_core::federation::view::What;
use cis_core::ids::{RunId, SessionId, TaskId};
use cis_core::live::History;
use cis_core::policy::act::{Act, Targeted};
use cis_core::policy::{self, Permit, Principal, act, authorize_room_change};
use cis_core::scheduler::Machine;
use cis_host::hub::Reach;
use cis_local::{now_ms, realtime_limit_of};
use cis_store::Reader;

/// A decision's reason stands in an event for ever.
const REASON_BYTES_MAX: usize = 16 * 1024;

type Answer<T> = Result<T, Problem>;

impl NodeApi for Node {
    async fn session_started(&self, token: &str) {
        if let Some(session) = self.keys.session_of(token) {
            self.shared.leaders.wait_for(session).await;
        }
    }

    fn principal(&self, peer: Peer, token: Option<&str>) -> Principal {
        let host = self.shared.host_pid.load(Ordering::Relaxed);
        let this = This {
            pid: std::process::id(),
            host: (host != 0).then_some(host),
            home: &self.home,
            keys: &self.keys,
            commands: &self.own_commands,
            tokens: &self.tokens,
            leaders: &self.shared.leaders,
            limit_outside: self.limit_outside,
        };
        this.principal(&peer, token)
    }

    fn session_of(&self, peer: &Peer) -> Option<SessionId> {
        let mut tokens = peer.descent.as_ref().ok()?.tokens_for(|socket| self.home.is_node_socket(socket));
        tokens.find_map(|token| self.keys.session_of(token))
    }

    fn client(&self, pid: u32) -> Client {
        let outside = self.limit_outside;
        match realtime_limit_of(pid) {
            Some(limit) if limit == outside || limit == u64::MAX => Client::Process(pid),
            Some(limit) if limit >= own_commands::limit_below(outside) => Client::Command,
            Some(_) => self.shared.leaders.session_of(pid).map_or(Client::Unknown, Client::Session),
            None => Client::Unknown,
        }
    }

    fn admit<A: Act>(&self, principal: &Principal, act: A) -> Answer<Permit<A>> {
        let action = act.action();
        policy::admit(principal, act).map_err(|denied| self.denied(principal, action, denied))
    }

    async fn admit_to_run<A: Targeted<Target = RunId>>(
        &self,
        principal: &Principal,
        name: String,
    ) -> Answer<Permit<A>> {
        self.authorize(principal, A::action_on(None))?;
        self.admit(principal, A::on(self.find_run(name).await?))
    }

    async fn admit_to_session<A: Targeted<Target = SessionId>>(
        &self,
        principal: &Principal,
        name: String,
        ended: bool,
    ) -> Answer<Permit<A>> {
        self.authorize(principal, A::action_on(name.parse().ok()))?;
        self.admit(principal, A::on(self.find_session(name, ended).await?))
    }

    async fn node(&self, _: Permit<act::SeeNode>) -> Answer<NodeView> {
        let mut status = self.driver.ask(|reply| Command::Status { reply }).await?;
        let host = self.unresponsive_host().await;
        status.warnings.extend(host.map(|host| format!("{}; {}", host.why, host.remedy)));
        status.warnings.extend(self.config_changes().await);
        // A node with a damaged store can still be looked at and stopped.
        // A card is counted until its edit is in the outbox.
        let cards = || self.shared.cards_to_edit.load(Ordering::SeqCst) as u64;
        let before = cards();
        let outbox = self.read(Reader::outbox_len).await.map(|waiting| waiting + before.max(cards()));
        let hears = self.shared.hears.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.warnings.extend(hears.trouble);
        let observes = self.shared.observes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.warnings.extend(observes.trouble);
        status
            .warnings
            .extend(self.shared.tells.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        status.warnings.extend(self.home.warning());
        let damage = self.readers.damage();
        status
            .warnings
            .extend(damage.or_else(|| outbox.as_ref().err().map(|problem| problem.detail.clone())));
        status.warnings.extend(self.tokens.problem().map(|problem| problem.to_string()));
        Ok(NodeView {
            running: true,
            pid: Some(std::process::id()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: self.socket().display().to_string(),
            home: self.home.dir.display().to_string(),
            did: Some(self.did.0.clone()),
            host_pid: status.host_pid,
            stays: self.stays,
            paused: status.paused,
            started_ms: Some(self.started_ms),
            open_runs: status.open_runs,
            live_sessions: status.live_sessions,
            max_sessions: self.max_sessions,
            outbox: outbox.unwrap_or_default(),
            rooms: hears.rooms,
            observes: observes.rooms,
            warnings: status.warnings,
            remote: self.remote.clone(),
        })
    }

    async fn pause(&self, _: Permit<act::StopNode>, request: PauseNode) -> Answer<()> {
        self.driver.ask(|reply| Command::Pause { paused: request.paused, reply }).await
    }

    async fn stop(&self, permit: Permit<act::StopNode>, request: StopNode) -> Answer<()> {
        let reason = format!("asked by {}", permit.actor().name);
        let kill_sessions = request.kill_sessions;
        self.driver.ask(|reply| Command::Stop { kill_sessions, reason, reply: Some(reply) }).await
    }

    async fn clean_store(&self, permit: Permit<act::CleanStore>, request: CleanStore) -> Answer<CleanReport> {
        self.upkeep.clone().clean(request, permit.actor()).await
    }

    async fn create_run(
        &self,
        permit: Permit<act::CreateRun>,
        request: CreateRun,
    ) -> Answer<Option<RunView>> {
        let (blobs, did) = (Arc::clone(&self.blobs), self.did.clone());
        let (environments, config) = (Arc::clone(&self.environments), Arc::clone(&self.config));
        let named = request.room.clone();
        let prepared =
            blocking(move || prepare(request, &blobs, &environments, &config.settings.agents, did));
        let prepared = prepared.await??;
        let Some(mut new) = prepared else { return Ok(None) };
        new.facts.room = self.room_of(new.facts.mode, named).await?;
        let in_room = new.facts.room.as_deref().filter(|_| new.facts.mode == ExecutionMode::Matrix);
        if let Some(room) = in_room.filter(|_| new.dag.tasks.iter().any(|task| task.group.is_some())) {
            self.groups_known(room).await;
        }
        new.facts.submitter = permit.principal().submitter();
        let run = self.driver.ask(|reply| Command::Create { new: Box::new(new), permit, reply }).await?;
        self.run_view(run).await.map(Some)
    }

    async fn list_runs(&self, _: Permit<act::See>, query: ListRuns) -> Answer<Listing<RunView>> {
        self.read(move |reader| reader.list_runs(&query)).await
    }

    async fn run(&self, permit: Permit<act::SeeRun>) -> Answer<RunDetail> {
        let mut detail = self.run_detail(permit.target()).await?;
        bound_results(&mut detail.tasks, RESULTS_BYTES_MAX);
        Ok(detail)
    }

    async fn start_run(&self, permit: Permit<act::ControlRun>) -> Answer<RunView> {
        self.run_verb(AskedOfRun::new(&permit, RunVerb::Start, None)).await
    }

    async fn cancel_run(&self, permit: Permit<act::ControlRun>, query: CancelRun) -> Answer<RunView> {
        self.run_verb(AskedOfRun::new(&permit, RunVerb::Cancel { now: query.now }, None)).await
    }

    async fn pause_run(&self, permit: Permit<act::ControlRun>) -> Answer<RunView> {
        self.run_verb(AskedOfRun::new(&permit, RunVerb::Pause, None)).await
    }

    async fn resume_run(&self, permit: Permit<act::ControlRun>) -> Answer<RunView> {
        self.run_verb(AskedOfRun::new(&permit, RunVerb::Resume, None)).await
    }

    async fn take_over_run(&self, permit: Permit<act::ControlRun>) -> Answer<RunView> {
        let run = permit.target();
        let mut events = self.events.subscribe();
        if self.coordinates(Some(run)).await.is_ok() {
            return self.run_view(run).await;
        }
        let view = self.run_view(run).await?;
        let is_shared = view.mode == ExecutionMode::Matrix && !view.state.is_terminal();
        let room = view.room.filter(|_| is_shared);
        self.driver.ask(|reply| Command::TakeOver { permit, room, reply }).await?;
        let until = tokio::time::Instant::now() + TAKEOVER_TIME_MAX;
        // It does once it has read back from the room what it wrote there.
        while let Ok(Ok(_) | Err(RecvError::Lagged(_))) = tokio::time::timeout_at(until, events.recv()).await
        {
            if self.coordinates(Some(run)).await.is_ok() {
                return self.run_view(run).await;
            }
        }
        let detail =
            format!("run {run} is not this node's yet: its room did not take that, or somebody was faster");
        // Not `not_ready`: the command asks again then, and would take the run from the one that was faster.
        Err(Problem::new(ProblemKind::Conflict, detail)
            .hint("see what the room says: `cis dag show`, `cis node status`"))
    }

    async fn retry_run(&self, permit: Permit<act::ControlRun>, request: RetryRun) -> Answer<RunView> {
        self.run_verb(AskedOfRun::new(&permit, RunVerb::Retry(request.scope), None)).await
    }

    async fn set_mode(&self, permit: Permit<act::ControlRun>, request: SetMode) -> Answer<ModeView> {
        let run = permit.target();
        let named = match request.room {
            // Where it has one already, that goes on.
            None if request.mode == ExecutionMode::Hybrid => self.run_view(run).await?.room,
            named => named,
        };
        if request.mode != ExecutionMode::Local && named != self.run_view(run).await?.room {
            // Checked before the account joins a room for this run. The driver checks again when the room is
            // known.
            let held = self.driver.ask(|reply| Command::HeldByRoom { run, reply }).await?;
            if let Err(denied) = authorize_room_change(permit.principal(), run, held.as_ref()) {
                self.audit_denied(
                    permit.principal(),
                    format!("move {run} to another room"),
                    denied.reason.clone(),
                );
                return Err(Problem::new(ProblemKind::Denied, denied.reason));
            }
        }
        let room = self.room_of(request.mode, named).await?;
        let view = self.run_verb(AskedOfRun::new(&permit, RunVerb::Mode(request.mode, room), None)).await?;
        let bound = match request.mode {
            // The mode has changed: that is not to look like a failure.
            ExecutionMode::Matrix => self.bound_tasks(run).await.unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(ModeView { run: view, bound })
    }

    async fn why(&self, permit: Permit<act::SeeRun>, task: String) -> Answer<WhyView> {
        let run = permit.target();
        let id = TaskId::new(&task).map_err(|e| Problem::new(ProblemKind::BadInput, e.to_string()))?;
        let open = {
            let task = id.clone();
            self.driver.ask(|reply| Command::Why { run, task, reply }).await?
        };
        if let Some(mut view) = open {
            if !view.state.is_terminal()
                && let Some(host) = self.unresponsive_host().await
            {
                view.because.insert(0, host.why);
                view.try_this.insert(0, host.remedy);
            }
            return Ok(view);
        }
        let folded = match self.load(run).await? {
            Err(RestoreError::Incomplete { anew, .. }) => return self.why_incomplete(run, id, anew).await,
            loaded => loaded.map_err(|error| error.problem())?,
        };
        if folded.find(&id).is_none() {
            return Err(not_in(&folded, &id));
        }
        let mut machine = Machine::new(self.did.clone(), self.max_sessions);
        machine.restore(folded);
        machine.why(&run, &id, now_ms()).map_err(|e| Problem::new(ProblemKind::NotFound, e.to_string()))
    }

    async fn decide(
        &self,
        permit: Permit<act::ControlRun>,
        task: String,
        request: Decide,
    ) -> Answer<RunView> {
        let task = TaskId::new(&task).map_err(|e| Problem::new(ProblemKind::BadInput, e.to_string()))?;
        if request.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
            let said = format!("the reason is longer than {REASON_BYTES_MAX} bytes");
            return Err(
                Problem::new(ProblemKind::BadInput, said).hint("say it shorter, or where it can be read")
            );
        }
        self.run_verb(AskedOfRun::new(&permit, RunVerb::Decide(task, request), None)).await
    }

    async fn times(&self, permit: Permit<act::SeeRun>, query: ReadTime) -> Answer<TimeView> {
        let (run, totals) = (permit.target(), query.totals);
        let known = self.driver.ask(|reply| Command::Times { run, totals, reply }).await?;
        match known {
            Some(view) => Ok(view),
            None => Ok(self.folded(run).await?.times(now_ms(), totals)),
        }
    }

    async fn history(
        &self,
        permit: Permit<act::SeeRun>,
        query: ReadHistory,
    ) -> Answer<Listing<HistoryEntry>> {
        let run = permit.target();
        let task = query.task.as_deref().map(TaskId::new).transpose();
        let task = task.map_err(|e| Problem::new(ProblemKind::BadInput, e.to_string()))?;
        let events = self.read(move |reader| reader.history_events(run)).await?;
        let mut history = History::default();
        events.iter().for_each(|event| history.apply(event));
        let mut entries = history.into_entries();
        if let Some(task) = task {
            entries.retain(|entry| entry.task.as_ref().is_some_and(|of| of.is_or_is_item_of(&task)));
        }
        history_page(entries, &query)
    }

    async fn groups(&self, _: Permit<act::See>, query: Page) -> Answer<Listing<GroupView>> {
        let items = self.driver.ask(|reply| Command::Groups { reply }).await?;
        // A name may be a group of the node, of rooms, and of several runs.
        page_of(items, &query, |group| match (&group.run, &group.room) {
            (Some(run), _) => format!("{}@{run}", group.name),
            (None, Some(room)) => format!("{}@{room}", group.name),
            (None, None) => group.name.clone(),
        })
    }

    async fn set_group(
        &self,
        permit: Permit<act::ControlGroups>,
        name: String,
        group: Option<Group>,
        place: GroupPlace,
    ) -> Answer<()> {
        match place.room {
            Some(room) => self.declare_group(&room, name, group).await,
            None => self.driver.ask(|reply| Command::SetGroup { name, group, permit, reply }).await,
        }
    }

    async fn task_context(&self, permit: Permit<act::ReadRun>, task: String) -> Answer<TaskContext> {
        let run = permit.target();
        let id = TaskId::new(&task).map_err(|e| Problem::new(ProblemKind::BadInput, e.to_string()))?;
        let (readers, blobs, home) = (self.readers.clone(), Arc::clone(&self.blobs), self.home.clone());
        let (config, identity) = (Arc::clone(&self.config), Arc::clone(&self.identity));
        let found = blocking(move || {
            // As the events of the store have it: an open run is read as well as one that ended.
            let run = restore::load_run(&readers, &blobs, &config.settings.agents, run)
                .map_err(|error| error.problem())?;
            let Some((task, _)) = run.task(&id) else {
                let known = run.tasks().map(|(task, _)| task.id.as_str());
                return Err(no_task(&run_name(run.id(), &run.facts().dag), &id, known));
            };
            let is_own = identity.is_or_was(&run.facts().owner);
            Ok(context::shown(&run, task, (&home, &blobs), is_own))
        });
        found.await?
    }

    async fn list_sessions(&self, _: Permit<act::See>, query: ListSessions) -> Answer<Listing<SessionView>> {
        let run = match &query.run {
            Some(name) => Some(self.find_run(name.clone()).await?),
            None => None,
        };
        self.read(move |reader| reader.list_sessions(&query, run)).await
    }

    async fn session(&self, permit: Permit<act::SeeSession>) -> Answer<SessionView> {
        self.session_view(permit.target()).await
    }

    async fn create_session(
        &self,
        permit: Permit<act::CreateSession>,
        request: CreateSession,
    ) -> Answer<SessionView> {
        let (mut request, config) = (request, Arc::clone(&self.config));
        let launched = blocking(move || {
            let launch = agents::launch(&mut request, &config.settings.agents)?;
            Ok::<_, Problem>((request, launch))
        });
        let (request, launch) = launched.await??;
        check_session(&request)?;
        let session = SessionId(ulid::Ulid::new());
        let new = Box::new(NewSession { request, launch });
        let start = self.driver.ask(|reply| Command::CreateSession { session, new, permit, reply });
        let session = self.started(start).await?;
        self.session_view(session).await
    }

    async fn send_input(
        &self,
        permit: Permit<act::ControlSession>,
        request: SendInput,
    ) -> Answer<InputReceipt> {
        let session = permit.target();
        if let Some(place) = self.elsewhere(session).await? {
            return self.ask_elsewhere(place, What::Input { request }, permit.actor()).await;
        }
        self.expose(session).await?;
        // Tasks read from /dev/null then; a session made alone has a pipe.
        let view = self.session_view(session).await;
        if let Ok(SessionView { task: Some(task), tty: false, .. }) = view {
            let detail = format!("session {session} of task `{task}` takes no input (tty = false)");
            return Err(Problem::new(ProblemKind::Conflict, detail));
        }
        let bytes = u32::try_from(request.data.len()).unwrap_or(u32::MAX);
        let input = request.input;
        self.asks_no_password(session, input).await?;
        self.driver.ask(|reply| Command::Typing { permit, input, bytes, reply }).await?;
        self.hub.input(session, input, request.data).await.map_err(|e| hub_problem(&e))
    }

    async fn kill_session(&self, permit: Permit<act::ControlSession>, request: KillSession) -> Answer<()> {
        let session = permit.target();
        if let Some((run, to)) = self.coordinator_of(session).await? {
            return self.kill_elsewhere(run, to, session, request, permit.actor()).await;
        }
        if let Some(host) = self.unresponsive_host().await {
            let detail = format!("cannot end session {}: {}", permit.target(), host.why);
            return Err(Problem::new(ProblemKind::Unavailable, detail).hint(host.remedy));
        }
        let grace_ms = request.grace_ms;
        self.driver.ask(|reply| Command::Kill { permit, grace_ms, reply }).await
    }

    async fn screen(&self, permit: Permit<act::ReadSession>) -> Answer<String> {
        let session = permit.target();
        if let Some(place) = self.elsewhere(session).await? {
            return self.ask_elsewhere(place, What::Screen {}, permit.actor()).await;
        }
        self.expose(session).await?;
        self.hub.screen_text(session).await.map_err(|e| hub_problem(&e))
    }

    async fn explain(&self, permit: Permit<act::ReadSession>) -> Answer<ExplainView> {
        let session = permit.target();
        if let Some(place) = self.elsewhere(session).await? {
            return self.ask_elsewhere(place, What::Explain {}, permit.actor()).await;
        }
        self.expose(session).await?;
        let explanation = self.hub.explain(session).await.map_err(|e| hub_problem(&e))?;
        let waiting = self.driver.ask(|reply| Command::Waiting { session, reply }).await?;
        Ok(explained(session, explanation, &waiting, now_ms()))
    }

    async fn report_session(
        &self,
        permit: Permit<act::ControlSession>,
        request: ReportSession,
    ) -> Answer<Reported> {
        self.keep_report(permit.target(), request).await
    }

    async fn events(
        &self,
        _: Permit<act::See>,
        query: FollowEvents,
    ) -> Answer<impl Stream<Item = Arc<EventBatch>> + Send + 'static> {
        let run = match query.run {
            Some(name) => Some(self.find_run(name).await?),
            None => None,
        };
        let viewer = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        let live = self.events.subscribe();
        // What is streamed is durable, so a client that resumes is not beyond the newest event.
        let newest = self.read(Reader::last_offset).await?;
        let after = query.after.unwrap_or(newest);
        if after > newest {
            let detail = format!("`after` is {after}, and the newest event is {newest}");
            return Err(Problem::new(ProblemKind::BadInput, detail)
                .hint("offsets are those of this node's store; after a restore of it begin again"));
        }
        Ok(streams::events(self.readers.clone(), live, run, after, viewer))
    }

    async fn log(
        &self,
        permit: Permit<act::ReadSession>,
        query: ReadLog,
    ) -> Answer<impl Stream<Item = Bytes> + Send + 'static> {
        let session = permit.target();
        let copy = self.log_copy(session).await?;
        let pieces = if let Some(copy) = copy {
            self.log_or_copy(session, copy, &query, permit.actor()).await?
        } else if let Some(place) = self.elsewhere(session).await? {
            self.log_elsewhere(place, query.clone(), permit.actor()).await?
        } else {
            let view = self.session_view(session).await?;
            let attempt = view.run.zip(view.task).zip(view.attempt);
            let attempt = attempt.map(|((run, task), number)| (run, task, number));
            self.own_log(session, attempt, view.state.is_live(), &query).await?
        };
        let viewer = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        let marks = query.marks;
        Ok(pieces.map(move |piece| {
            let _while_read = &viewer;
            if marks { piece.encode().into() } else { piece.bytes.into() }
        }))
    }

    async fn attach(&self, permit: AttachPermit, mut query: Attach) -> Answer<AttachStreams> {
        let (session, by) = match permit {
            AttachPermit::Read(permit) => {
                query.read_only = true;
                (permit.target(), permit.actor())
            }
            AttachPermit::Control(permit) => (permit.target(), permit.actor()),
        };
        if let Some(place) = self.elsewhere(session).await? {
            return self.attach_elsewhere(place, query, by).await;
        }
        self.expose(session).await?;
        let attached = self.hub.attach(session, query, Reach::Near).await.map_err(|e| hub_problem(&e))?;
        let viewer = Viewer::new(Arc::clone(&self.shared), self.driver.clone());
        Ok(streams::attach(attached, viewer))
    }
}
