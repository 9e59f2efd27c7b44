//! Grants into sessions of the host, and sessions that an earlier life of the node started.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::agents::Given;
use super::disk::Trouble;
use super::life::{Held, Life};
use super::off_thread::OffThreadJob;
use super::results::context_file;
use super::run_secrets::Hidden;
use super::{Live, LocalWorker, Variables};
use crate::exposure::command_line;
use crate::secret_file::Secrets;
use crate::{context, environment};
use cis_core::api::{FromWorker, Program, Refusal, TaskContext, TaskSpec, TermSize};
use cis_core::event::{AttemptOutcome, FailureCause};
use cis_core::ids::{AttemptId, Fence, RunId, SessionId, TimestampMs};
use cis_host::protocol::{Io, Known, Lease, Start, ToHost};
use cis_local::Home;

/// A longer script goes through a file: one argument has at most 128 KiB (execve(2)).
const SCRIPT_ARGUMENT_BYTES_MAX: usize = 100_000;

impl LocalWorker {
    /// Forgets what is known of an ended run: its logs, and the secrets next to them, may be cleaned before
    /// it is retried.
    pub(crate) fn forget_logs(&mut self, run: RunId) {
        self.log_dirs.remove(&run);
        self.run_secrets.remove(&run);
    }

    fn enter(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        spec: &TaskSpec,
        given: Option<Secrets>,
    ) -> Result<(Variables, Arc<Variables>, String), Trouble> {
        if !self.log_dirs.contains(&attempt.run) {
            let dir = self.home.run_logs(attempt.run);
            // The home is the node's: whatever is wrong there is no failure of a task.
            fs::create_dir_all(&dir).map_err(|e| {
                Trouble::OfDisk(format!("cannot make the log directory {}: {e}", dir.display()))
            })?;
            self.log_dirs.insert(attempt.run);
        }
        let log = self.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        let base = self.base_environment(spec.base_env.as_ref()).map_err(Trouble::OfTask)?;
        let secrets = match given {
            Some(given) => {
                self.keep_given(attempt.run, &log, &given)?;
                given
            }
            None => self.secrets_of(spec, &log, &base)?,
        };
        let hidden = self.redactor_for(attempt.run, spec, &secrets, Ok(&base))?;
        let path = log.display().to_string();
        let keeps_secrets = !secrets.is_empty();
        self.insert(attempt, session, fence, spec, log, hidden);
        if let Some(live) = self.live.get_mut(&session) {
            live.keeps_secrets = keeps_secrets;
        }
        Ok((secrets.named, base, path))
    }

    fn insert(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        spec: &TaskSpec,
        log: PathBuf,
        hidden: Hidden,
    ) {
        let live = Live {
            attempt: attempt.clone(),
            fence,
            declared: spec.outputs.clone(),
            timeout_ms: spec.timeout_ms,
            idle_ms: spec.idle_ms,
            tty: spec.tty,
            command: command_line(&spec.program, &hidden.all),
            log,
            given: Vec::new(),
            life: Life::Granted,
            adopted: false,
            wrote_output: true,
            handed_in_ms: None,
            typed: None,
            profile: spec.profile.clone(),
            job: OffThreadJob::of(spec),
            redactor: hidden.all,
            own_secrets: hidden.own,
            // There may be a file of an earlier life.
            keeps_secrets: true,
            withheld: None,
        };
        self.by_attempt.insert(attempt.clone(), session);
        if self.live.insert(session, live).is_none() {
            self.pace_enters(attempt.run);
        }
    }

    /// Starts an attempt for a coordinator of a room, with the secrets that came with it.
    pub(crate) fn grant_for_room(
        &mut self,
        (attempt, fence): (&AttemptId, Fence),
        session: SessionId,
        slots: u32,
        spec: TaskSpec,
        secrets: BTreeMap<String, String>,
        lease: Lease,
    ) {
        let secrets = Secrets { named: secrets, sensitive: spec.sensitive.clone() };
        self.grant((attempt, fence), session, slots, spec, Some((secrets, lease)));
        self.pace_of_room(attempt.run);
    }

    /// `for_room`: the secrets that came with a task of a room, and its lease. Otherwise its secrets are found here.
    pub(super) fn grant(
        &mut self,
        (attempt, fence): (&AttemptId, Fence),
        session: SessionId,
        slots: u32,
        mut spec: TaskSpec,
        for_room: Option<(Secrets, Lease)>,
    ) {
        let (secrets, lease) = for_room.unzip();
        let entered = self.resolve_agent(&mut spec).map_err(Trouble::OfTask).and_then(|given| {
            let entered = self.enter(attempt, session, fence, &spec, secrets)?;
            Ok((given, entered))
        });
        let (given, (secrets, base, log)) = match entered {
            Ok(entered) => entered,
            Err(Trouble::OfTask(detail)) => {
                let outcome = AttemptOutcome::Failed { cause: FailureCause::Input { detail } };
                self.say_result(attempt.clone(), fence, outcome, None, BTreeMap::new());
                return;
            }
            Err(Trouble::OfDisk(detail)) => {
                let (attempt, reason) = (attempt.clone(), Refusal::Resources { detail });
                self.said.push(FromWorker::Refused { attempt, fence, reason });
                return;
            }
        };
        self.pace_slots(attempt.run, slots);
        if let Some(live) = self.live.get_mut(&session) {
            live.typed = given.typed;
        }
        if let Some(held) =
            self.look_up(session, Held { spec, secrets, base, log, stdin: given.stdin, lease })
        {
            self.start(attempt, session, held);
        }
    }

    /// Asks the host for its session.
    pub(super) fn start(&mut self, attempt: &AttemptId, session: SessionId, held: Held) {
        let Held { spec, mut secrets, base, log, stdin, lease } = held;
        environment::add_sources(&spec, &mut secrets);
        self.written.make_folder_again(&self.home.outputs(), |other| self.live.contains_key(&other));
        let env_base = self.place_base(&spec, &base);
        let mut env = spec.env;
        if let Some(context) = &spec.context
            && !self.give_context(attempt, session, context, &mut env)
        {
            return;
        }
        env.extend(secrets);
        environment::task_variables(&mut env, &self.home, attempt, session);
        let label = attempt.to_string();
        environment::session_variables(&mut env, &self.home, &self.keys, session, &label, spec.tty);
        let mut files = BTreeMap::new();
        let argv = match spec.program {
            Program::Argv(argv) => argv,
            Program::Script { shell, text } if text.len() > SCRIPT_ARGUMENT_BYTES_MAX => {
                let path = script_file(&self.home, session);
                files.insert(path.display().to_string(), text);
                let argv = vec![shell, path.display().to_string()];
                if let Some(live) = self.live.get_mut(&session) {
                    live.given.push(path);
                }
                argv
            }
            Program::Script { shell, text } => vec![shell, "-c".to_owned(), text],
            // Its profile was put in its place when it was granted.
            Program::Agent { agent, .. } => vec![agent],
        };
        let stdin = stdin.map(|content| {
            let path = prompt_file(&self.home, session);
            files.insert(path.display().to_string(), content);
            path
        });
        if let Some(live) = self.live.get_mut(&session) {
            live.life.ask();
            live.given.extend(stdin.clone());
        }
        let io = if spec.tty { Io::Pty(TermSize::default()) } else { Io::Pipes { stdin: false } };
        let line = Some(self.queue(attempt.run));
        self.to_host.push(ToHost::Start(Box::new(Start {
            session,
            label,
            argv,
            cwd: spec.cwd,
            env_base: Some(env_base),
            env,
            umask: spec.umask,
            line,
            io,
            log,
            log_limit_bytes: spec.log_limit_bytes.min(self.settings.node.log_limit_bytes),
            timeout_ms: spec.timeout_ms,
            idle_ms: spec.idle_ms,
            warn_ms: self.settings.timeouts.warning(spec.timeout_ms, spec.idle_ms),
            grace_ms: spec.grace_ms,
            files,
            stdin: stdin.map(|path| path.display().to_string()),
            lease,
        })));
    }

    /// Gives it what it gets of those that it needs. Answers false where that cannot be; then it was said.
    fn give_context(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        context: &TaskContext,
        env: &mut Variables,
    ) -> bool {
        env.extend(context.variables());
        if !context.says_something() {
            return true;
        }
        let path = context_file(&self.home, session);
        let written = context::write_file(&path, context);
        env.insert("CIS_CONTEXT".to_owned(), path.display().to_string());
        let Some(live) = self.live.get_mut(&session) else { return false };
        live.given.push(path.clone());
        let Err(error) = written else { return true };
        let detail = format!("what it gets of its needs cannot be written to {}: {error}", path.display());
        let (attempt, fence) = (attempt.clone(), live.fence);
        self.forget(session);
        self.said.push(FromWorker::Refused { attempt, fence, reason: Refusal::Resources { detail } });
        false
    }

    /// Takes over an attempt that an earlier life of this node granted, and whose session the host has.
    pub(crate) fn adopt(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        slots: u32,
        mut spec: TaskSpec,
        known: &Known,
    ) {
        let given = self.resolve_agent(&mut spec).unwrap_or_else(|why| {
            // It runs: what its profile says of a start does not matter any more.
            tracing::warn!(%attempt, why, "the profile of a live agent is gone");
            Given::default()
        });
        // Its secrets are looked for at once; where they cannot be read it lives on, and is not shown.
        let log = self.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        let (all, own) = (Arc::clone(&self.no_secrets), Arc::clone(&self.no_secrets));
        self.insert(attempt, session, fence, &spec, log, Hidden { all, own });
        self.pace_slots(attempt.run, slots);
        let home = &self.home;
        let files = vec![script_file(home, session), prompt_file(home, session), context_file(home, session)];
        if let Some(live) = self.live.get_mut(&session) {
            live.adopted = true;
            live.life.ask();
            // Which files it was given is not known any more.
            live.given = files;
            // Whether it was typed before, events know.
            live.typed = given.typed;
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

    /// The result of an adopted session was handed in at this time, to an earlier node: a limit that ended the session
    /// after it, perhaps while there was no node, does not decide.
    pub(crate) fn was_handed_in(&mut self, session: SessionId, at_ms: TimestampMs) {
        if let Some(live) = self.live.get_mut(&session) {
            live.handed_in_ms = Some(at_ms);
        }
    }
}

/// The file that the standard input of an agent is.
pub(crate) fn prompt_file(home: &Home, session: SessionId) -> PathBuf {
    home.output_file(session).with_extension("prompt")
}

/// A script that is too long for an argument.
fn script_file(home: &Home, session: SessionId) -> PathBuf {
    home.output_file(session).with_extension("script")
}
