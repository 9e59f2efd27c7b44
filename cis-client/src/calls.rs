//! Every call of the API, typed. Names of runs, tasks and sessions go as they were typed: the node
//! resolves short ones.

use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Method;
use hyper::body::Bytes;
use serde::de::DeserializeOwned;

use super::http::decode;
use super::query::ToQuery as _;
use super::{Client, ClientError, LogStream};
use cis_core::api::{
    Answer, AnswerReceipt, Ask, AskView, AuditReport, CallerView, CancelRun, CleanReport, CleanStore,
    CreateMatrixRoom, CreateRun, CreateSession, Decide, ExplainView, GroupPlace, GroupView, HandIn,
    HistoryAction, HistoryEntry, InboxItem, InputReceipt, InviteToMatrixRoom, JoinMatrixRoom, KillSession,
    ListInbox, ListRuns, ListSessions, ListTasks, Listing, LoginMatrix, LogoutMatrix, MatrixAccountView,
    MatrixRoomEvents, MatrixRoomView, ModeView, NodeView, Page, PauseNode, Problem, ProblemKind, ReadAsk,
    ReadHistory, ReadLog, ReadMatrixRoom, ReadTime, RecoverReport, RecoverRuns, ReportSession, Reported,
    RetryRun, RunDetail, RunView, Say, SendInput, SessionView, SetMode, StopNode, TaskContext, TaskView,
    ThreadMessage, TimeView, WhyView, paths,
};
use cis_core::dag::Group;
use cis_core::event::{ArtifactRecord, RunState};
use cis_core::ids::TaskId;

/// By this name the session whose token is shown calls itself.
const SELF: &str = "self";

/// All of them fail alike: [`ClientError::Problem`] is the node's answer, the others say that there was none.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// The node itself.
    pub async fn node(&self) -> Result<NodeView, ClientError> {
        self.get(paths::NODE).await
    }

    /// Stops starting tasks on the node, or starts them again.
    pub async fn pause_node(&self, paused: bool) -> Result<NodeView, ClientError> {
        self.put(paths::NODE_PAUSE, &PauseNode { paused }).await
    }

    /// Ends the node. It answers before it goes.
    pub async fn stop_node(&self, how: &StopNode) -> Result<(), ClientError> {
        self.post_raw(paths::NODE_STOP, how).await.map(drop)
    }

    /// Removes what ended runs left. May take minutes.
    pub async fn clean_store(&self, what: &CleanStore) -> Result<CleanReport, ClientError> {
        self.post_long(paths::STORE_CLEAN, what).await
    }

    /// Runs, newest first.
    pub async fn runs(&self, which: &ListRuns) -> Result<Listing<RunView>, ClientError> {
        self.get(&which.on(paths::RUNS.to_owned())).await
    }

    /// Makes a run. Sent twice with the same input id, it is made once. A request with `validate_only` makes none, and is refused before
    /// it is sent: that is [`Self::validate_run`].
    pub async fn create_run(&self, run: &CreateRun) -> Result<RunView, ClientError> {
        if run.validate_only {
            let detail = "a request with `validate_only` creates no run: nothing was sent";
            let problem = Problem::new(ProblemKind::BadInput, detail).hint("call `validate_run`");
            return Err(ClientError::Problem(Box::new(problem)));
        }
        self.post_once(paths::RUNS, run).await
    }

    /// Checks a run without making one, whatever its `validate_only` says.
    pub async fn validate_run(&self, run: &CreateRun) -> Result<(), ClientError> {
        let run = CreateRun { validate_only: true, ..run.clone() };
        self.post_raw(paths::RUNS, &run).await.map(drop)
    }

    /// The caller as the node sees it, and the operations that it may use.
    pub async fn me(&self) -> Result<CallerView, ClientError> {
        self.get(paths::ME).await
    }

    /// Tasks of a run, in the order of its file, a page of them.
    pub async fn tasks(&self, run: &str, which: &ListTasks) -> Result<Listing<TaskView>, ClientError> {
        self.get(&which.on(paths::fill(paths::RUN_TASKS, &[run]))).await
    }

    /// A task of a run.
    pub async fn task(&self, run: &str, task: &str) -> Result<TaskView, ClientError> {
        self.get(&paths::fill(paths::TASK, &[run, task])).await
    }

    /// A run with its tasks.
    pub async fn run(&self, run: &str) -> Result<RunDetail, ClientError> {
        self.get(&paths::fill(paths::RUN, &[run])).await
    }

    /// Starts a created run. One that was started before is a problem that says so.
    pub async fn start_run(&self, run: &str) -> Result<RunView, ClientError> {
        let is_so = |view: &RunView| view.state != RunState::Created;
        self.steer(run, HistoryAction::Started, &paths::fill(paths::RUN_START, &[run]), is_so).await
    }

    /// Ends a run: live sessions are stopped, the rest is not started.
    pub async fn cancel_run(&self, run: &str, how: CancelRun) -> Result<RunView, ClientError> {
        let path = how.on(paths::fill(paths::RUN_CANCEL, &[run]));
        let is_so = if how.now { |view: &RunView| view.state.is_terminal() } else { is_ending };
        self.steer(run, HistoryAction::Cancelled, &path, is_so).await
    }

    /// Starts nothing new in it.
    pub async fn pause_run(&self, run: &str) -> Result<RunView, ClientError> {
        let is_so = |view: &RunView| view.state == RunState::Paused;
        self.steer(run, HistoryAction::Paused, &paths::fill(paths::RUN_PAUSE, &[run]), is_so).await
    }

    /// Goes on with it.
    pub async fn resume_run(&self, run: &str) -> Result<RunView, ClientError> {
        let is_so = |view: &RunView| view.state != RunState::Paused;
        self.steer(run, HistoryAction::Resumed, &paths::fill(paths::RUN_RESUME, &[run]), is_so).await
    }

    /// Has the node coordinate it, instead of another one.
    pub async fn take_over_run(&self, run: &str) -> Result<RunView, ClientError> {
        self.act(paths::RUN_TAKEOVER, run).await
    }

    /// Runs tasks of an ended run again. If the node dies meanwhile, they run again once.
    pub async fn retry_run(&self, run: &str, how: &RetryRun) -> Result<RunView, ClientError> {
        let path = &paths::fill(paths::RUN_RETRY, &[run]);
        self.act_once(run, None, HistoryAction::Retried, || self.post(path, how)).await
    }

    /// Switches how an open run is executed.
    pub async fn set_mode(&self, run: &str, how: &SetMode) -> Result<ModeView, ClientError> {
        // A run that is in this mode already stays as it is.
        self.post_once(&paths::fill(paths::RUN_MODE, &[run]), how).await
    }

    /// Why a task is where it is.
    pub async fn why(&self, run: &str, task: &str) -> Result<WhyView, ClientError> {
        self.get(&paths::fill(paths::WHY, &[run, task])).await
    }

    /// Approves or rejects a task that waits for it. The first decision counts. If the node dies meanwhile, only a decision of the same
    /// user counts as this one.
    pub async fn decide(&self, run: &str, task: &str, what: &Decide) -> Result<RunView, ClientError> {
        let action = if what.approve { HistoryAction::Approved } else { HistoryAction::Rejected };
        let path = &paths::fill(paths::TASK_APPROVAL, &[run, task]);
        self.act_once(run, Some(task), action, || self.post(path, what)).await
    }

    /// Where the time of a run went.
    pub async fn run_time(&self, run: &str, how: &ReadTime) -> Result<TimeView, ClientError> {
        self.get(&how.on(paths::fill(paths::RUN_TIME, &[run]))).await
    }

    /// Returns the history of a run or of one of its tasks, oldest first. Reads all pages.
    pub async fn run_history(&self, run: &str, task: Option<&str>) -> Result<Vec<HistoryEntry>, ClientError> {
        let path = paths::fill(paths::RUN_HISTORY, &[run]);
        let mut query = ReadHistory { task: task.map(str::to_owned), ..ReadHistory::default() };
        let mut all = Vec::new();
        loop {
            let page: Listing<HistoryEntry> = self.get_long(&query.on(path.clone())).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// The lines that prove what happened to a run, out of its room.
    pub async fn run_export(&self, run: &str) -> Result<String, ClientError> {
        let bytes = self.get_long_bytes(&paths::fill(paths::RUN_EXPORT, &[run])).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Concurrency groups: the node's, those of rooms, and those of the files of open runs. All pages.
    pub async fn groups(&self) -> Result<Listing<GroupView>, ClientError> {
        self.pages(paths::GROUPS).await
    }

    /// All pages of a listing as one.
    async fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Listing<T>, ClientError> {
        let (mut page, mut items) = (Page::default(), Vec::new());
        loop {
            let listing: Listing<T> = self.get_long(&page.on(path.to_owned())).await?;
            items.extend(listing.items);
            match listing.next {
                Some(next) => page.after = Some(next),
                None => return Ok(Listing { items, next: None }),
            }
        }
    }

    /// Makes or changes a group of the node, or of a room. A room is read back, which can take a while.
    pub async fn set_group(&self, name: &str, group: &Group, place: &GroupPlace) -> Result<(), ClientError> {
        let body = serde_json::to_vec(group).map_err(ClientError::protocol)?;
        self.call_group(Method::PUT, name, body.into(), place).await
    }

    /// Removes a group that [`Self::set_group`] made.
    pub async fn remove_group(&self, name: &str, place: &GroupPlace) -> Result<(), ClientError> {
        self.call_group(Method::DELETE, name, Bytes::new(), place).await
    }

    async fn call_group(
        &self,
        method: Method,
        name: &str,
        body: Bytes,
        place: &GroupPlace,
    ) -> Result<(), ClientError> {
        let path = place.on(paths::fill(paths::GROUP, &[name]));
        let answer = match place.room {
            Some(_) => self.call_long(method, &path, body).await,
            None => self.send(method, &path, body).await,
        };
        answer.map(drop)
    }

    /// What a task would get now of those that it needs, secrets replaced.
    pub async fn task_context(&self, run: &str, task: &str) -> Result<TaskContext, ClientError> {
        self.get(&paths::fill(paths::TASK_CONTEXT, &[run, task])).await
    }

    /// Files of the last success of a task, sorted by path, a page of them.
    pub async fn artifacts(
        &self,
        run: &str,
        task: &str,
        page: &Page,
    ) -> Result<Listing<ArtifactRecord>, ClientError> {
        self.get(&page.on(paths::fill(paths::TASK_ARTIFACTS, &[run, task]))).await
    }

    /// The same, all pages.
    pub async fn all_artifacts(&self, run: &str, task: &str) -> Result<Vec<ArtifactRecord>, ClientError> {
        let (mut page, mut all) = (Page::default(), Vec::new());
        loop {
            let listing = self.artifacts(run, task, &page).await?;
            all.extend(listing.items);
            match listing.next {
                Some(next) => page.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// The bytes of a file that a task left, by its blob or its path. The caller compares their hash with it.
    pub async fn artifact(&self, run: &str, task: &str, blob: &str) -> Result<LogStream<'_>, ClientError> {
        self.log(paths::fill(paths::TASK_ARTIFACT, &[run, task, blob]), &ReadLog::default()).await
    }

    /// The log of a task's newest attempt, or of the one asked for.
    pub async fn task_log(&self, run: &str, task: &str, how: &ReadLog) -> Result<LogStream<'_>, ClientError> {
        self.log(paths::fill(paths::TASK_LOG, &[run, task]), how).await
    }

    /// Sessions, newest first.
    pub async fn sessions(&self, which: &ListSessions) -> Result<Listing<SessionView>, ClientError> {
        self.get(&which.on(paths::SESSIONS.to_owned())).await
    }

    /// The same, all pages.
    pub async fn all_sessions(&self, which: &ListSessions) -> Result<Listing<SessionView>, ClientError> {
        let (mut page, mut items) = (which.clone(), Vec::new());
        loop {
            let listing = self.sessions(&page).await?;
            items.extend(listing.items);
            match listing.next {
                Some(next) => page.after = Some(next),
                None => return Ok(Listing { items, next: None }),
            }
        }
    }

    /// Makes a session without a run.
    pub async fn create_session(&self, session: &CreateSession) -> Result<SessionView, ClientError> {
        self.post_once(paths::SESSIONS, session).await
    }

    /// A session.
    pub async fn session(&self, session: &str) -> Result<SessionView, ClientError> {
        self.get(&paths::fill(paths::SESSION, &[session])).await
    }

    /// Types into it. Sent twice with the same input id, it is typed once.
    pub async fn send_input(&self, session: &str, input: &SendInput) -> Result<InputReceipt, ClientError> {
        self.post_once(&paths::fill(paths::SESSION_INPUT, &[session]), input).await
    }

    /// Ends its whole tree. If the node dies meanwhile, a session that has ended by then counts as killed.
    pub async fn kill_session(&self, session: &str, how: &KillSession) -> Result<(), ClientError> {
        let path = &paths::fill(paths::SESSION_KILL, &[session]);
        // Its processes get SIGTERM once, however often this is sent.
        let kill = || async move { self.post_raw(path, how).await.map(drop) };
        let has_ended = || async move { Ok(self.session(session).await?.ended_ms.map(drop)) };
        self.unless_done(has_ended, kill).await
    }

    /// What it wrote.
    pub async fn session_log(&self, session: &str, how: &ReadLog) -> Result<LogStream<'_>, ClientError> {
        self.log(paths::fill(paths::SESSION_LOG, &[session]), how).await
    }

    /// The text of its screen.
    pub async fn screen(&self, session: &str) -> Result<String, ClientError> {
        let path = paths::fill(paths::SESSION_SCREEN, &[session]);
        let bytes = self.call(Method::GET, &path, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What waits for a human, oldest first, a page of it.
    pub async fn inbox(&self, which: &ListInbox) -> Result<Listing<InboxItem>, ClientError> {
        self.get(&which.on(paths::INBOX.to_owned())).await
    }

    /// All of it, from there on.
    pub async fn whole_inbox(&self, mut which: ListInbox) -> Result<Vec<InboxItem>, ClientError> {
        let mut all = Vec::new();
        loop {
            let mut page = self.inbox(&which).await?;
            all.append(&mut page.items);
            let Some(next) = page.next else { return Ok(all) };
            which.after = Some(next);
        }
    }

    /// An item of the inbox.
    pub async fn inbox_item(&self, item: &str) -> Result<InboxItem, ClientError> {
        self.get(&paths::fill(paths::INBOX_ITEM, &[item])).await
    }

    /// Answers it. The first answer counts; sent twice with the same input id, it is given once.
    pub async fn answer(&self, item: &str, answer: &Answer) -> Result<AnswerReceipt, ClientError> {
        self.post_once(&paths::fill(paths::INBOX_ANSWER, &[item]), answer).await
    }

    /// What was said in the thread of an item. All pages.
    pub async fn thread(&self, item: &str) -> Result<Listing<ThreadMessage>, ClientError> {
        self.pages(&paths::fill(paths::THREAD, &[item])).await
    }

    /// Asks people something, as the session whose token this client shows.
    pub async fn ask(&self, ask: &Ask) -> Result<AskView, ClientError> {
        self.post_once(&paths::fill(paths::SESSION_ASKS, &[SELF]), ask).await
    }

    /// How that stands; with a wait, once it is over, or after that.
    pub async fn read_ask(&self, item: &str, how: &ReadAsk) -> Result<AskView, ClientError> {
        self.get(&how.on(paths::fill(paths::SESSION_ASK, &[SELF, item]))).await
    }

    /// Takes it back. Where it was answered meanwhile, it says so.
    pub async fn withdraw_ask(&self, item: &str) -> Result<AskView, ClientError> {
        let path = paths::fill(paths::SESSION_ASK, &[SELF, item]);
        let bytes = self.send(Method::DELETE, &path, Bytes::new()).await?;
        serde_json::from_slice(&bytes).map_err(ClientError::protocol)
    }

    /// Tells people something, as that session.
    pub async fn say(&self, say: &Say) -> Result<(), ClientError> {
        self.post_once_raw(&paths::fill(paths::SESSION_SAY, &[SELF]), say).await.map(drop)
    }

    /// Hands in the result of its task: that session is ended.
    pub async fn hand_in(&self, result: &HandIn) -> Result<(), ClientError> {
        self.post_once_raw(&paths::fill(paths::SESSION_HAND_IN, &[SELF]), result).await.map(drop)
    }

    /// Why it is thought to wait for a human, or not.
    pub async fn explain(&self, session: &str) -> Result<ExplainView, ClientError> {
        self.get(&paths::fill(paths::SESSION_EXPLAIN, &[session])).await
    }

    /// Keeps a recording of what it shows, with what is true of it.
    pub async fn report_session(
        &self,
        session: &str,
        report: &ReportSession,
    ) -> Result<Reported, ClientError> {
        self.post(&paths::fill(paths::SESSION_REPORTS, &[session]), report).await
    }

    /// Logs the node's Matrix account in. Waits as long as the homeserver does.
    pub async fn login_matrix(&self, login: &LoginMatrix) -> Result<MatrixAccountView, ClientError> {
        self.post_long(paths::MATRIX_ACCOUNT, login).await
    }

    /// Logs it out.
    pub async fn logout_matrix(&self, how: &LogoutMatrix) -> Result<(), ClientError> {
        let path = how.on(paths::MATRIX_ACCOUNT.to_owned());
        self.send(Method::DELETE, &path, Bytes::new()).await.map(drop)
    }

    /// Who it is.
    pub async fn matrix_account(&self) -> Result<MatrixAccountView, ClientError> {
        self.get_long(paths::MATRIX_ACCOUNT).await
    }

    /// Its rooms. All pages.
    pub async fn matrix_rooms(&self) -> Result<Listing<MatrixRoomView>, ClientError> {
        self.pages(paths::MATRIX_ROOMS).await
    }

    /// Makes a room.
    pub async fn create_matrix_room(&self, room: &CreateMatrixRoom) -> Result<MatrixRoomView, ClientError> {
        self.post_long(paths::MATRIX_ROOMS, room).await
    }

    /// Joins a room.
    pub async fn join_matrix_room(&self, room: &JoinMatrixRoom) -> Result<MatrixRoomView, ClientError> {
        self.post_long(paths::MATRIX_JOIN, room).await
    }

    /// Invites people into a room.
    pub async fn invite_to_matrix_room(
        &self,
        room: &str,
        who: &InviteToMatrixRoom,
    ) -> Result<(), ClientError> {
        self.post_raw(&paths::fill(paths::MATRIX_INVITE, &[room]), who).await.map(drop)
    }

    /// Takes the runs that a room tells of into the store.
    pub async fn recover_runs(&self, room: &str, how: &RecoverRuns) -> Result<RecoverReport, ClientError> {
        self.post_long(&paths::fill(paths::MATRIX_RECOVER, &[room]), how).await
    }

    /// Checks all that a room has of nodes and runs.
    pub async fn audit_matrix_room(&self, room: &str) -> Result<AuditReport, ClientError> {
        self.get_long(&paths::fill(paths::MATRIX_AUDIT, &[room])).await
    }

    /// What is said in a room, from a place on.
    pub async fn read_matrix_room(
        &self,
        room: &str,
        how: &ReadMatrixRoom,
    ) -> Result<MatrixRoomEvents, ClientError> {
        self.get_long(&how.on(paths::fill(paths::MATRIX_EVENTS, &[room]))).await
    }

    /// Starts, pauses, resumes or cancels a run. A patient client may send this again after minutes, so the same holds for it as for
    /// [`Self::act_once`]. Any other client sends it again to the node that was just restarted, unless the run is in this state by then,
    /// and need not read a large run first.
    async fn steer(
        &self,
        run: &str,
        action: HistoryAction,
        path: &str,
        is_so: fn(&RunView) -> bool,
    ) -> Result<RunView, ClientError> {
        let act = || async move { decode(&self.send(Method::POST, path, Bytes::new()).await?) };
        if self.is_patient() {
            return self.act_once(run, None, action, act).await;
        }
        let done = || async move { Ok(Some(self.run(run).await?.run).filter(is_so)) };
        self.unless_done(done, act).await
    }

    /// Sends a request that must not count twice. If the node dies meanwhile, the run's history says whether the same user did it since
    /// then. If not, it is sent again, but only if nobody has decided anything else about the run or the task since then: the request
    /// was made without knowing that.
    async fn act_once<S>(
        &self,
        run: &str,
        task: Option<&str>,
        action: HistoryAction,
        act: impl Fn() -> S,
    ) -> Result<RunView, ClientError>
    where
        S: Future<Output = Result<RunView, ClientError>>,
    {
        let before = match self.run(run).await {
            Ok(detail) => detail.run.last_offset,
            // The caller may not see the run, or the run is too large: the node answers the request itself, which is not repeated then.
            Err(ClientError::Problem(_) | ClientError::TooLarge { .. }) => return act().await,
            Err(error) => return Err(error),
        };
        let task = task.and_then(|task| TaskId::new(task).ok());
        let task = task.as_ref();
        let done = || async move {
            let mut newer = self.run_history(run, None).await?;
            newer.retain(|entry| entry.offset > before && is_decision(entry, task));
            let Some(newest) = newer.last() else { return Ok(None) };
            let same = newer.iter().filter(|entry| entry.action == action);
            let actors: Vec<&str> =
                same.filter_map(|entry| entry.actor.as_ref()).map(|actor| actor.name.as_str()).collect();
            if self.is_among(&actors).await? {
                return Ok(Some(self.run(run).await?.run));
            }
            Err(ClientError::NotConfirmed { meanwhile: in_words(newest) })
        };
        self.unless_done(done, act).await
    }

    /// Whether one of these actors is the caller. A node that coordinates a run for the node of this client adds the name of that node.
    async fn is_among(&self, actors: &[&str]) -> Result<bool, ClientError> {
        let me = self.me().await?.name;
        if actors.contains(&me.as_str()) {
            return Ok(true);
        }
        let elsewhere = format!("{me} at ");
        if !actors.iter().any(|name| name.starts_with(&elsewhere)) {
            return Ok(false);
        }
        // People of other nodes have the same names.
        let node = self.identity().await?;
        let did = node.running.unwrap_or(node.did);
        Ok(actors.contains(&format!("{me} at {did}").as_str()))
    }

    /// Sends a request. If the node dies meanwhile, `done` asks the next one whether it was carried out; if not, it is sent again.
    async fn unless_done<T, D, S>(&self, done: impl Fn() -> D, send: impl Fn() -> S) -> Result<T, ClientError>
    where
        D: Future<Output = Result<Option<T>, ClientError>>,
        S: Future<Output = Result<T, ClientError>>,
    {
        let was_sent = AtomicBool::new(false);
        let (was_sent, done, send) = (&was_sent, &done, &send);
        self.repeat_command(|| async move {
            if was_sent.swap(true, Ordering::Relaxed)
                && let Some(result) = done().await?
            {
                return Ok(result);
            }
            send().await
        })
        .await
    }

    async fn act(&self, path: &str, run: &str) -> Result<RunView, ClientError> {
        decode(&self.send(Method::POST, &paths::fill(path, &[run]), Bytes::new()).await?)
    }
}

/// Whether a run is being cancelled, or has ended.
fn is_ending(view: &RunView) -> bool {
    view.cancelling || view.state.is_terminal()
}

/// Whether an entry decides what becomes of a run, or of this task of it.
fn is_decision(entry: &HistoryEntry, task: Option<&TaskId>) -> bool {
    match entry.action {
        HistoryAction::Started
        | HistoryAction::Paused
        | HistoryAction::Resumed
        | HistoryAction::Cancelled
        | HistoryAction::Retried => true,
        HistoryAction::Approved | HistoryAction::Rejected | HistoryAction::Expired => {
            task.is_some() && entry.task.as_ref() == task
        }
        _ => false,
    }
}

/// Returns an entry as a clause: who did what.
fn in_words(entry: &HistoryEntry) -> String {
    let what = entry.task.as_ref().map_or_else(|| "the run".to_owned(), |task| format!("task `{task}`"));
    if entry.action == HistoryAction::Expired {
        return format!("the approval of {what} expired");
    }
    let who = entry.actor.as_ref().map_or("the node", |actor| actor.name.as_str());
    format!("{who} {} {what}", entry.action.as_str())
}
