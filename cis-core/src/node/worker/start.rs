//! Grants into sessions of the host, and sessions that an earlier life of the node started.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Live, LocalWorker, Variables};
use crate::api::{Program, TaskSpec, TermSize};
use crate::event::{AttemptOutcome, FailureCause};
use crate::ids::{AttemptId, Fence, SessionId};
use crate::node::environment;
use crate::node::exposure::command_line;
use crate::policy::redact::Redactor;
use crate::session::protocol::{Io, Known, Start, ToHost};

/// A longer script goes through a file: one argument has at most 128 KiB (execve(2)).
const SCRIPT_ARGUMENT_BYTES_MAX: usize = 100_000;

impl LocalWorker {
    fn enter(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        spec: &TaskSpec,
    ) -> Result<(Variables, Arc<Variables>, String), String> {
        if !self.log_dirs.contains(&attempt.run) {
            let dir = self.home.run_logs(attempt.run);
            fs::create_dir_all(&dir)
                .map_err(|e| format!("cannot make the log directory {}: {e}", dir.display()))?;
            self.log_dirs.insert(attempt.run);
        }
        let log = self.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        let base = self.base_environment(spec.base_env.as_ref())?;
        let secrets = self.secrets_of(spec, &log, &base)?;
        let redactor = Redactor::new(secrets.values()).map_err(|e| e.to_string())?;
        let path = log.display().to_string();
        self.insert(attempt, session, fence, spec, log, redactor);
        Ok((secrets.named, base, path))
    }

    fn insert(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        spec: &TaskSpec,
        log: PathBuf,
        redactor: Redactor,
    ) {
        let live = Live {
            attempt: attempt.clone(),
            fence,
            declared: spec.outputs.clone(),
            timeout_ms: spec.timeout_ms,
            tty: spec.tty,
            command: redactor.redact(&command_line(&spec.program)),
            log,
            script: None,
            pid: None,
            adopted: false,
            exposed: false,
            unwatched: false,
            wrote_output: true,
            reported: false,
            redactor: Arc::new(redactor),
            withheld: None,
        };
        self.by_attempt.insert(attempt.clone(), session);
        if self.live.insert(session, live).is_none() {
            self.pace_enters(attempt.run);
        }
    }

    pub(super) fn grant(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        slots: u32,
        spec: TaskSpec,
    ) {
        let (secrets, base, log) = match self.enter(attempt, session, fence, &spec) {
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
        let line = Some(self.line(attempt.run, slots));
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
            log_limit_bytes: spec.log_limit_bytes,
            timeout_ms: spec.timeout_ms,
            grace_ms: spec.grace_ms,
            files,
        })));
    }

    /// Takes over an attempt that an earlier life of this node granted. One that the host does not
    /// know never reached it: it is started now.
    pub(in crate::node) fn adopt(
        &mut self,
        attempt: &AttemptId,
        session: SessionId,
        fence: Fence,
        slots: u32,
        spec: TaskSpec,
        known: Option<&Known>,
    ) {
        let Some(known) = known else {
            self.grant(attempt, session, fence, slots, spec);
            // It may wait at the host, or have begun there just now.
            if let Some(live) = self.live.get_mut(&session) {
                live.unwatched = true;
            }
            return;
        };
        // Its secrets are looked for at once; where they cannot be read it lives on, and is not shown.
        let log = self.home.attempt_log(attempt.run, &attempt.task, attempt.number);
        self.insert(attempt, session, fence, &spec, log, Redactor::default());
        if let Some(live) = self.live.get_mut(&session) {
            live.unwatched = true;
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
}
