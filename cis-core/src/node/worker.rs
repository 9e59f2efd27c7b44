//! The node's own worker: turns grants into sessions of the session host, and exits into results.
//!
//! Owns what is known of live attempts here. Talks to the host only through [`LocalWorker::to_host`],
//! which the driver sends after the events of the turn are durable. Decides nothing about runs.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment::{self, SecretError};
use super::exposure::{Exposure, command_line};
use super::secret_file::{self, Secrets};
use super::small_file::{self, Links, ReadError};
use crate::api::{FromWorker, Program, Refusal, Report, TaskSpec, TermSize, ToWorker, Worker};
use crate::config::{Home, Keys};
use crate::dag::{ValueType, outputs};
use crate::event::{AttemptOutcome, FailureCause, OutputRecord, SessionState};
use crate::ids::{AttemptId, BlobId, Fence, SessionId, TimestampMs};
use crate::policy::redact::Redactor;
use crate::session::protocol::{Exit, Io, Known, Start, StartFailure, ToHost};
use crate::store::{Blobs, Safety};

/// A session that lives shorter than this is never shown as live: most tasks of a fast run do.
pub(super) const YOUNG_MS: i64 = 20;

/// A longer script goes through a file: one argument has at most 128 KiB (execve(2)).
const SCRIPT_ARGUMENT_BYTES_MAX: usize = 100_000;

/// A `CIS_OUTPUT` file is read no further.
const OUTPUT_FILE_BYTES_MAX: u64 = 1 << 20;

/// Name of the node's own environment at the host.
const NODE_ENVIRONMENT: &str = "node";

/// Environment variables by name.
type Variables = BTreeMap<String, String>;

/// An attempt whose session may be alive.
struct Live {
    attempt: AttemptId,
    fence: Fence,
    declared: BTreeMap<String, ValueType>,
    redactor: Arc<Redactor>,
    /// Why its secrets are not known, and what is needed to find them: until then nothing of it is shown.
    withheld: Option<(String, Box<TaskSpec>)>,
    timeout_ms: Option<u64>,
    tty: bool,
    command: String,
    log: PathBuf,
    script: Option<PathBuf>,
    pid: Option<u32>,
    /// An earlier life of this node started it.
    adopted: bool,
    exposed: bool,
    /// It wrote to `CIS_OUTPUT`, or may have.
    wrote_output: bool,
    /// A result was given; the acknowledgement is awaited.
    reported: bool,
}

/// See the module.
pub(super) struct LocalWorker {
    home: Home,
    keys: Arc<Keys>,
    blobs: Arc<Blobs>,
    own_environment: Variables,
    environments: HashMap<BlobId, Arc<Variables>>,
    /// Names of environments that the present host has.
    placed: HashSet<String>,
    log_dirs: HashSet<PathBuf>,
    live: HashMap<SessionId, Live>,
    by_attempt: HashMap<AttemptId, SessionId>,
    young: VecDeque<(TimestampMs, SessionId)>,
    /// For the host, in order.
    pub(super) to_host: Vec<ToHost>,
    /// For the scheduler, in order.
    pub(super) said: Vec<FromWorker>,
    /// Sessions that have lived long enough to be shown.
    pub(super) exposed: Vec<Exposure>,
    now_ms: TimestampMs,
}

impl LocalWorker {
    pub(super) fn new(home: Home, keys: Arc<Keys>, blobs: Arc<Blobs>, own: Variables) -> Self {
        Self {
            home,
            keys,
            blobs,
            own_environment: environment::inherited(own),
            environments: HashMap::new(),
            placed: HashSet::new(),
            log_dirs: HashSet::new(),
            live: HashMap::new(),
            by_attempt: HashMap::new(),
            young: VecDeque::new(),
            to_host: Vec::new(),
            said: Vec::new(),
            exposed: Vec::new(),
            now_ms: 0,
        }
    }

    /// The time of the turn.
    pub(super) fn set_now(&mut self, now_ms: TimestampMs) {
        self.now_ms = now_ms;
    }

    /// The connection is new: the host may not have our environments.
    pub(super) fn host_connected(&mut self) {
        self.placed.clear();
    }

    /// Every session of the host is gone; the scheduler is told by somebody else.
    pub(super) fn host_lost(&mut self) {
        self.live.clear();
        self.by_attempt.clear();
        self.young.clear();
        self.to_host.clear();
        self.host_connected();
    }

    pub(super) fn live_count(&self) -> usize {
        self.live.len()
    }

    pub(super) fn attempt_of(&self, session: SessionId) -> Option<&AttemptId> {
        self.live.get(&session).map(|live| &live.attempt)
    }

    /// Whether it was shown to the rest of the node.
    pub(super) fn is_exposed(&self, session: SessionId) -> bool {
        self.live.get(&session).is_some_and(|live| live.exposed)
    }

    /// The environment that sessions without a submitter's get.
    pub(super) fn place_own_environment(&mut self) -> String {
        self.place(NODE_ENVIRONMENT.to_owned(), None)
    }

    /// An environment given as it is, for one session; the host is told to forget it by its name.
    pub(super) fn place_given_environment(&mut self, name: String, vars: Variables) -> String {
        self.to_host.push(ToHost::Env { name: name.clone(), vars: environment::inherited(vars) });
        name
    }

    fn place(&mut self, name: String, vars: Option<&Variables>) -> String {
        if self.placed.insert(name.clone()) {
            let vars = vars.unwrap_or(&self.own_environment).clone();
            self.to_host.push(ToHost::Env { name: name.clone(), vars });
        }
        name
    }

    /// A run ended: its environment is needed no more.
    pub(super) fn drop_environment(&mut self, base: &BlobId) {
        self.environments.remove(base);
        if self.placed.remove(&base.0) {
            self.to_host.push(ToHost::DropEnv { name: base.0.clone() });
        }
    }

    fn base_environment(&mut self, base: Option<&BlobId>) -> Result<Arc<Variables>, String> {
        let Some(base) = base else { return Ok(Arc::new(self.own_environment.clone())) };
        if let Some(known) = self.environments.get(base) {
            return Ok(Arc::clone(known));
        }
        let bytes = self
            .blobs
            .get(base)
            .map_err(|e| format!("the run's environment cannot be read: {e}"))?
            .ok_or_else(|| "the run's environment is gone from the blobs".to_owned())?;
        let vars: Variables =
            serde_json::from_slice(&bytes).map_err(|e| format!("the run's environment is damaged: {e}"))?;
        let vars = Arc::new(vars);
        self.environments.insert(base.clone(), Arc::clone(&vars));
        Ok(vars)
    }

    /// Values of secrets: those kept from the first grant, or found now.
    fn secrets_of(&self, spec: &TaskSpec, log: &Path, base: &Variables) -> Result<Secrets, String> {
        if spec.secrets.is_empty() && spec.sensitive.is_empty() {
            return Ok(Secrets::default());
        }
        if let Some(kept) = kept(log)? {
            return Ok(kept);
        }
        let named = environment::secrets(spec, base).map_err(|e: SecretError| e.to_string())?;
        let secrets = Secrets { named, sensitive: spec.sensitive.clone() };
        secret_file::keep(log, &secrets)
            .map_err(|e| format!("the secrets cannot be kept beside the log: {e}"))?;
        Ok(secrets)
    }

    fn enter(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        spec: &TaskSpec,
    ) -> Result<(Variables, Arc<Variables>), String> {
        let dir = self.home.run_logs(attempt.run);
        if !self.log_dirs.contains(&dir) {
            fs::create_dir_all(&dir)
                .map_err(|e| format!("cannot make the log directory {}: {e}", dir.display()))?;
            self.log_dirs.insert(dir);
        }
        let log = self.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        let base = self.base_environment(spec.base_env.as_ref())?;
        let secrets = self.secrets_of(spec, &log, &base)?;
        let redactor = Redactor::new(secrets.values()).map_err(|e| e.to_string())?;
        self.insert(attempt, session, fence, spec, redactor);
        Ok((secrets.named, base))
    }

    fn insert(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        spec: &TaskSpec,
        redactor: Redactor,
    ) {
        let live = Live {
            attempt: attempt.clone(),
            fence,
            declared: spec.outputs.clone(),
            timeout_ms: spec.timeout_ms,
            tty: spec.tty,
            command: redactor.redact(&command_line(&spec.program)),
            log: self.home.attempt_log(attempt.run, &attempt.task, attempt.number),
            script: None,
            pid: None,
            adopted: false,
            exposed: false,
            wrote_output: true,
            reported: false,
            redactor: Arc::new(redactor),
            withheld: None,
        };
        self.by_attempt.insert(attempt.clone(), session);
        self.live.insert(session, live);
    }

    /// What must not be seen of a session that was started in an earlier life of this node.
    fn redactor_again(&mut self, spec: &TaskSpec, log: &Path) -> Result<Redactor, String> {
        // The file is there where it was granted with secrets, whatever they were.
        let secrets = match kept(log)? {
            Some(kept) => kept,
            None if spec.secrets.is_empty() => {
                Secrets { sensitive: spec.sensitive.clone(), ..Secrets::default() }
            }
            None => {
                let base = self.base_environment(spec.base_env.as_ref())?;
                self.secrets_of(spec, log, &base)?
            }
        };
        Redactor::new(secrets.values()).map_err(|e| e.to_string())
    }

    /// Tries again to find the secrets of a session that is withheld.
    fn reveal(&mut self, session: SessionId) {
        let Some((spec, log)) = self.live.get_mut(&session).and_then(|live| {
            let (_, spec) = live.withheld.take()?;
            Some((spec, live.log.clone()))
        }) else {
            return;
        };
        let found = self.redactor_again(&spec, &log);
        let Some(live) = self.live.get_mut(&session) else { return };
        match found {
            Ok(redactor) => {
                live.command = redactor.redact(&command_line(&spec.program));
                live.redactor = Arc::new(redactor);
            }
            Err(why) => live.withheld = Some((why, spec)),
        }
    }

    /// Why nothing of a session may be shown.
    pub(super) fn withheld(&self, session: SessionId) -> Option<&str> {
        self.live.get(&session)?.withheld.as_ref().map(|(why, _)| why.as_str())
    }

    fn grant(&mut self, attempt: &AttemptId, session: SessionId, fence: Fence, spec: TaskSpec) {
        let (secrets, base) = match self.enter(attempt, session, fence, &spec) {
            Ok(entered) => entered,
            Err(detail) => {
                let outcome = AttemptOutcome::Failed { cause: FailureCause::Input { detail } };
                self.say_result(attempt.clone(), fence, outcome, None, BTreeMap::new());
                return;
            }
        };
        let env_base = match &spec.base_env {
            Some(id) => self.place(id.0.clone(), Some(&base)),
            None => self.place_own_environment(),
        };
        let mut env = spec.env;
        env.extend(secrets);
        environment::task_variables(&mut env, &self.home, attempt, session);
        let label = attempt.to_string();
        environment::session_variables(&mut env, &self.home, &self.keys, session, &label, spec.tty);
        let mut files = BTreeMap::new();
        let argv = match spec.program {
            Program::Argv(argv) => argv,
            Program::Script { shell, text } if text.len() > SCRIPT_ARGUMENT_BYTES_MAX => {
                let path = self.home.outputs().join(format!("{session}.script"));
                files.insert(path.display().to_string(), text);
                let argv = vec![shell, path.display().to_string()];
                if let Some(live) = self.live.get_mut(&session) {
                    live.script = Some(path);
                }
                argv
            }
            Program::Script { shell, text } => vec![shell, "-c".to_owned(), text],
        };
        let io = if spec.tty { Io::Pty(TermSize::default()) } else { Io::Pipes { stdin: false } };
        let log = self.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        self.to_host.push(ToHost::Start(Box::new(Start {
            session,
            label,
            argv,
            cwd: spec.cwd,
            env_base: Some(env_base),
            env,
            umask: spec.umask,
            io,
            log: log.display().to_string(),
            log_limit_bytes: spec.log_limit_bytes,
            timeout_ms: spec.timeout_ms,
            grace_ms: spec.grace_ms,
            files,
        })));
    }

    /// Takes over an attempt that an earlier life of this node granted. One that the host does not
    /// know never reached it: it is started now.
    pub(super) fn adopt(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        spec: TaskSpec,
        known: Option<&Known>,
    ) {
        let Some(known) = known else {
            self.grant(attempt, session, fence, spec);
            return;
        };
        // Its secrets are looked for at once; where they cannot be read it lives on, and is not shown.
        self.insert(attempt, session, fence, &spec, Redactor::default());
        if let Some(live) = self.live.get_mut(&session) {
            live.adopted = true;
            live.command = "(not known: its secrets cannot be read)".to_owned();
            live.withheld = Some((String::new(), Box::new(spec)));
        }
        self.reveal(session);
        if let Some(why) = self.withheld(session) {
            tracing::warn!(%attempt, why, "a live session was taken over, but cannot be shown");
        }
        if known.exit.is_none() {
            self.started(session, known.pid);
        }
    }

    /// The session's first process is there.
    pub(super) fn started(&mut self, session: SessionId, pid: u32) {
        if let Some(live) = self.live.get_mut(&session) {
            live.pid = Some(pid);
            self.young.push_back((self.now_ms + YOUNG_MS, session));
        }
    }

    /// When the next young session comes of age.
    pub(super) fn poll_timeout(&mut self) -> Option<TimestampMs> {
        while let Some((due, session)) = self.young.front() {
            if self.live.get(session).is_some_and(|live| !live.exposed && !live.reported) {
                return Some(*due);
            }
            self.young.pop_front();
        }
        None
    }

    /// Shows the sessions that have lived long enough.
    pub(super) fn come_of_age(&mut self) {
        while let Some((due, session)) = self.young.front().copied() {
            if due > self.now_ms {
                return;
            }
            self.young.pop_front();
            self.expose(session);
        }
    }

    /// Shows a session now. Answers whether it is (or was) one of ours that can be shown.
    pub(super) fn expose(&mut self, session: SessionId) -> bool {
        self.reveal(session);
        let Some(live) = self.live.get_mut(&session) else { return false };
        let (Some(pid), false) = (live.pid, live.reported) else { return live.exposed };
        if !live.exposed && live.withheld.is_none() {
            live.exposed = true;
            self.said.push(FromWorker::Session {
                attempt: live.attempt.clone(),
                fence: live.fence,
                state: SessionState::Working,
                pid: Some(pid),
            });
            self.exposed.push(Exposure {
                session,
                tty: live.tty,
                adopted: live.adopted,
                size: live.tty.then(TermSize::default),
                log: live.log.clone(),
                command: live.command.clone(),
                redactor: Arc::clone(&live.redactor),
            });
        }
        true
    }

    /// It could not be started.
    pub(super) fn start_failed(&mut self, session: SessionId, why: StartFailure) {
        let Some(live) = self.live.get(&session) else { return };
        let (attempt, fence) = (live.attempt.clone(), live.fence);
        match why {
            StartFailure::Resources { detail } => {
                self.forget(session);
                self.said.push(FromWorker::Refused { attempt, fence, reason: Refusal::Resources { detail } });
            }
            StartFailure::Program { detail } => {
                self.say_result(attempt, fence, AttemptOutcome::SpawnError { detail }, None, BTreeMap::new());
            }
        }
    }

    /// It ended. Answers whether it is one of ours: if so it was shown to the hub before or not.
    pub(super) fn exited(&mut self, session: SessionId, exit: &Exit) -> bool {
        let Some(live) = self.live.get(&session) else { return false };
        if live.reported {
            return true;
        }
        let (attempt, fence) = (live.attempt.clone(), live.fence);
        let mut values = BTreeMap::new();
        let outcome = if exit.timed_out {
            let limit_ms = live.timeout_ms.unwrap_or_default();
            AttemptOutcome::Failed { cause: FailureCause::Timeout { limit_ms } }
        } else if exit.killed && !exit.status.is_success() {
            AttemptOutcome::Cancelled
        } else {
            match self.collect(session) {
                Ok(outputs) => {
                    values = outputs;
                    if exit.status.is_success() {
                        AttemptOutcome::Succeeded
                    } else {
                        AttemptOutcome::Failed { cause: FailureCause::Exit { status: exit.status } }
                    }
                }
                // A task that failed need not have written its outputs.
                Err(_) if !exit.status.is_success() => {
                    AttemptOutcome::Failed { cause: FailureCause::Exit { status: exit.status } }
                }
                Err(detail) => AttemptOutcome::Failed { cause: FailureCause::Outputs { detail } },
            }
        };
        self.say_result(attempt, fence, outcome, Some(exit), values);
        true
    }

    fn collect(&mut self, session: SessionId) -> Result<BTreeMap<String, OutputRecord>, String> {
        let bytes = read_output(&self.home.output_file(session))?;
        self.reveal(session);
        let Some(live) = self.live.get_mut(&session) else { return Ok(BTreeMap::new()) };
        live.wrote_output = bytes.is_some();
        let bytes = bytes.unwrap_or_default();
        if bytes.is_empty() && live.declared.is_empty() {
            return Ok(BTreeMap::new());
        }
        if let Some((why, _)) = &live.withheld {
            return Err(format!("they may hold secrets that are not known: {why}"));
        }
        let values = outputs::parse(&bytes, &live.declared)?;
        let mut records = BTreeMap::new();
        for (name, real) in values {
            let mut value = real.clone();
            live.redactor.redact_json(&mut value);
            let blob = if value == real {
                None
            } else {
                let bytes = serde_json::to_vec(&real).map_err(|e| e.to_string())?;
                let kept = self.blobs.put_secret(&bytes, Safety::Processes);
                Some(kept.map_err(|e| format!("output `{name}` cannot be kept: {e}"))?)
            };
            let hash = hash_of(&value);
            records.insert(name, OutputRecord { value, hash, blob });
        }
        Ok(records)
    }

    fn say_result(
        &mut self,
        attempt: AttemptId,
        fence: Fence,
        outcome: AttemptOutcome,
        exit: Option<&Exit>,
        outputs: BTreeMap<String, OutputRecord>,
    ) {
        if let Some(live) = self.by_attempt.get(&attempt).and_then(|session| self.live.get_mut(session)) {
            live.reported = true;
        }
        let report = Report {
            outcome,
            exit: exit.map(|exit| exit.status),
            started_ms: exit.map(|exit| exit.started_ms),
            ended_ms: exit.map_or(self.now_ms, |exit| exit.ended_ms),
            outputs,
            artifacts: Vec::new(),
            cached: None,
            log_bytes: exit.map_or(0, |exit| exit.output_bytes),
            log_hash: None,
        };
        self.said.push(FromWorker::Result { attempt, fence, report: Box::new(report) });
    }

    fn forget(&mut self, session: SessionId) {
        let Some(live) = self.live.remove(&session) else { return };
        self.by_attempt.remove(&live.attempt);
        if live.wrote_output {
            remove(&self.home.output_file(session));
        }
        if let Some(script) = live.script {
            remove(&script);
        }
    }
}

impl Worker for LocalWorker {
    fn tell(&mut self, message: ToWorker) {
        match message {
            ToWorker::Grant { attempt, session, fence, spec, .. } => {
                self.grant(&attempt, session, fence, *spec)
            }
            // The own worker's grants end with the node, not with a lease.
            ToWorker::Renew { .. } => {}
            ToWorker::Cancel { attempt, fence: _, grace_ms } => {
                if let Some(session) = self.by_attempt.get(&attempt) {
                    self.to_host.push(ToHost::Kill { session: *session, grace_ms: Some(grace_ms) });
                }
            }
            ToWorker::Ack { attempt, fence: _ } => {
                if let Some(session) = self.by_attempt.get(&attempt).copied() {
                    self.to_host.push(ToHost::AckExit { session });
                    self.forget(session);
                }
            }
        }
    }
}

fn kept(log: &Path) -> Result<Option<Secrets>, String> {
    secret_file::try_load(log).map_err(|e| format!("the secrets kept beside its log cannot be read: {e}"))
}

/// What a task wrote; none: it made no file.
fn read_output(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match small_file::read(path, OUTPUT_FILE_BYTES_MAX, Links::Refuse) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(ReadError::NotRegular) => {
            Err("CIS_OUTPUT is no longer a regular file: write to it, do not replace it".to_owned())
        }
        Err(ReadError::Io(e)) => Err(format!("CIS_OUTPUT cannot be read: {e}")),
    }
}

fn hash_of(value: &serde_json::Value) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(value.to_string().as_bytes()))
}

fn remove(path: &Path) {
    if let Err(e) = fs::remove_file(path)
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), error = %e, "a session's file could not be removed");
    }
}
