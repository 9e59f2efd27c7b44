//! What follows for the own worker: the worker's half, and sessions that run for other nodes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::super::{Driver, facts};
use super::Held;
use crate::account::boot_ms;
use cis_core::api::{FromWorker, Refusal, Report, ToWorker, Worker as _};
use cis_core::event::{AttemptOutcome, SessionState};
use cis_core::federation::direct::{Progress, RemoteSpec, TaskPayload};
use cis_core::federation::protocol::BootMs;
use cis_core::federation::protocol::message::{Grant, Granted};
use cis_core::federation::protocol::worker::Effect;
use cis_core::ids::{AttemptId, SessionId, TimestampMs};
use cis_host::protocol::{AtDeadline, ToHost};

impl Driver {
    /// What follows for the own worker.
    pub(super) fn work(&mut self, room: &str, effects: Vec<Effect<TaskPayload>>, now: TimestampMs) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(room, to, message, now),
                Effect::Start { grant, lease_end } => self.start_for(room, grant, lease_end),
                Effect::Freeze(granted) => {
                    if let Some(session) = self.session_held(&granted) {
                        self.parts.worker.to_host.push(ToHost::Freeze { session });
                    }
                }
                Effect::Extend { granted, lease_end } => {
                    if let Some(session) = self.session_held(&granted) {
                        self.parts.worker.to_host.push(freeze_at(session, lease_end));
                        self.parts.worker.to_host.push(ToHost::Thaw { session });
                    }
                }
                Effect::Cancel { granted: Granted { attempt, fence }, grace_ms, keep } => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms, keep });
                }
                Effect::Kill(Granted { attempt, fence }) => {
                    self.parts.worker.tell(ToWorker::Cancel { attempt, fence, grace_ms: 0, keep: false });
                }
                Effect::Drop(Granted { attempt, fence }) => {
                    self.federation.held.remove(&attempt);
                    let dir = self.directory_of(&attempt);
                    self.parts.worker.tell(ToWorker::Ack { attempt, fence });
                    if let Err(error) = fs::remove_dir_all(&dir) {
                        tracing::debug!(dir = %dir.display(), %error, "the directory of a task was not removed");
                    }
                }
            }
        }
    }

    /// Starts a task of another coordinator in an empty directory.
    fn start_for(&mut self, room: &str, grant: Grant<RemoteSpec>, lease_end: BootMs) {
        let Grant { granted, session, spec: RemoteSpec { slots, mut spec } } = grant;
        let Granted { attempt, fence } = granted.clone();
        let dir = self.directory_of(&attempt);
        let made = fs::create_dir_all(&dir);
        let held = Held { room: room.to_owned(), granted, session };
        self.federation.held.insert(attempt.clone(), held);
        if let Err(error) = made {
            let detail = format!("cannot make the directory {}: {error}", dir.display());
            let reason = Refusal::Resources { detail };
            self.parts.worker.said.push(FromWorker::Refused { attempt, fence, reason });
            return;
        }
        // Whatever a coordinator says: a task gets nothing of this node's files, environments and secrets.
        (spec.base_env, spec.umask, spec.cache) = (None, None, None);
        (spec.secrets, spec.run_secrets) = (BTreeMap::new(), Vec::new());
        (spec.artifacts, spec.inputs) = (Vec::new(), BTreeMap::new());
        spec.cwd = dir.display().to_string();
        self.parts.worker.tell(ToWorker::Grant { attempt, session, fence, lease_ms: None, slots, spec });
        self.parts.worker.to_host.push(freeze_at(session, lease_end));
    }

    fn session_held(&self, granted: &Granted) -> Option<SessionId> {
        let held = self.federation.held.get(&granted.attempt)?;
        (held.granted == *granted).then_some(held.session)
    }

    fn directory_of(&self, attempt: &AttemptId) -> PathBuf {
        let AttemptId { run, task, number } = attempt;
        self.parts.home.remote().join(run.to_string()).join(format!("{task}-{number}"))
    }

    /// Tells the coordinator of another's attempt what the own worker says of it. Gives back what is about the own runs.
    pub(in crate::driver) fn tell_coordinator(&mut self, message: FromWorker, now: TimestampMs) -> Option<FromWorker> {
        let attempt = match &message {
            FromWorker::Claimed { attempt, .. }
            | FromWorker::Refused { attempt, .. }
            | FromWorker::Session { attempt, .. }
            | FromWorker::Child { attempt, .. }
            | FromWorker::Result { attempt, .. } => attempt,
            FromWorker::Ahead { .. } => return Some(message),
        };
        let Some(Held { room, granted, .. }) = self.federation.held.get(attempt) else {
            return Some(message);
        };
        let (room, granted, boot) = (room.clone(), granted.clone(), boot_ms());
        let mut out = Vec::new();
        let worker = self.federation.worker(&room)?;
        match message {
            FromWorker::Session { state: SessionState::Exited, .. } => {
                worker.progress(&granted, Progress::Collecting {}, boot, &mut out);
            }
            FromWorker::Session { .. } => {
                worker.progress(&granted, Progress::Started { at_ms: now }, boot, &mut out);
            }
            FromWorker::Result { report, .. } => worker.ended(&granted, *report, boot, &mut out),
            FromWorker::Refused { reason, .. } => {
                worker.refused(&granted, reason, boot, &mut out);
                self.federation.held.remove(&granted.attempt);
            }
            FromWorker::Claimed { .. } | FromWorker::Child { .. } | FromWorker::Ahead { .. } => {}
        }
        self.work(&room, out, now);
        None
    }

    /// The session host is gone with all sessions that this node had for others.
    pub(in crate::driver) fn federated_lost(&mut self, now: TimestampMs) {
        let held: Vec<(String, Granted)> =
            self.federation.held.values().map(|held| (held.room.clone(), held.granted.clone())).collect();
        for (room, granted) in held {
            let detail = facts::HOST_ENDED.to_owned();
            let report = Report::bare(AttemptOutcome::Lost { detail }, None, now);
            let mut out = Vec::new();
            if let Some(worker) = self.federation.worker(&room) {
                worker.ended(&granted, report, boot_ms(), &mut out);
            }
            self.work(&room, out, now);
        }
    }
}

/// The session host freezes a session whose lease is over by itself: this node may be dead then.
fn freeze_at(session: SessionId, lease_end: BootMs) -> ToHost {
    let after_ms = u64::try_from(lease_end.saturating_sub(boot_ms())).unwrap_or(0);
    ToHost::Deadline { session, after_ms: Some(after_ms), action: AtDeadline::Freeze }
}
