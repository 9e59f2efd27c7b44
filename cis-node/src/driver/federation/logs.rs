//! Logs of attempts that ended here for a coordinator: they go up before the result is told, several in one file.
//!
//! Owns which of them wait. While one file of a run is on its way, the logs of what ends meanwhile gather for the next. A result never
//! waits for long: without its log it counts as well.

use std::collections::BTreeMap;

use super::super::Driver;
use crate::file_jobs::Job;
use cis_core::api::Report;
use cis_core::event::UploadedLog;
use cis_core::federation::protocol::message::Granted;
use cis_core::federation::protocol::worker::WorkerHalf;
use cis_core::ids::{AttemptId, Fence, RunId, SessionId, TimestampMs};

/// Logs in one file.
const LOGS_MAX: usize = 100;

/// Logs that are being uploaded, and those that wait for that. By room and run: who is given the key of a file may read all of it.
#[derive(Default)]
pub(super) struct LogUploads(BTreeMap<(String, RunId), Queue>);

#[derive(Default)]
struct Queue {
    is_underway: bool,
    waiting: Vec<Ended>,
}

/// An attempt that has ended, and whose log is to be uploaded.
pub(super) struct Ended {
    granted: Granted,
    session: SessionId,
    bytes: u64,
}

impl Ended {
    pub(super) fn new(granted: Granted, session: SessionId, bytes: u64) -> Self {
        Self { granted, session, bytes }
    }
}

impl Queue {
    /// Logs for one file.
    fn next(&mut self) -> Vec<(Granted, SessionId)> {
        let (mut bytes, mut count) = (0_u64, 0);
        for ended in &self.waiting {
            bytes = bytes.saturating_add(ended.bytes);
            if count > 0 && (bytes > UploadedLog::FILE_BYTES_MAX || count >= LOGS_MAX) {
                break;
            }
            count += 1;
        }
        self.waiting.drain(..count).map(|ended| (ended.granted, ended.session)).collect()
    }
}

impl Driver {
    /// The log of an attempt for a coordinator of a room, if it is to be uploaded.
    pub(super) fn log_to_share(
        &mut self,
        attempt: &AttemptId,
        fence: Fence,
        report: &Report,
    ) -> Option<Ended> {
        let stays = report.log_bytes == 0 || report.log.is_some() || report.cached.is_some();
        let held = self.federation.held.get(attempt);
        let held = held.filter(|held| !stays && held.granted.fence == fence && !held.spec.spec.keeps_log)?;
        let (room, granted, session) = (held.room.clone(), held.granted.clone(), held.session);
        let known = self.federation.room(&room);
        let is_void = known.worker.as_ref().is_none_or(|worker: &WorkerHalf<_>| worker.is_void(&granted));
        let is_wanted = !is_void && !known.terms.is_deaf();
        is_wanted.then(|| Ended::new(granted, session, report.log_bytes))
    }

    /// Uploads a log. [`Self::log_shared`] follows.
    pub(super) fn share_log(&mut self, room: &str, ended: Ended, now: TimestampMs) {
        let run = ended.granted.attempt.run;
        self.federation.logs.0.entry((room.to_owned(), run)).or_default().waiting.push(ended);
        self.upload_logs(room, run, now);
    }

    fn upload_logs(&mut self, room: &str, run: RunId, now: TimestampMs) {
        let key = (room.to_owned(), run);
        let Some(queue) = self.federation.logs.0.get_mut(&key).filter(|queue| !queue.is_underway) else {
            return;
        };
        let ended = queue.next();
        if ended.is_empty() {
            self.federation.logs.0.remove(&key);
            return;
        }
        queue.is_underway = true;
        let job = Job::Logs { room: room.to_owned(), run, ended: ended.clone() };
        if !self.parts.link.carry(job) {
            let none = ended.into_iter().map(|(granted, _)| (granted, None)).collect();
            self.logged(room, run, none, now);
        }
    }

    /// The logs of a job are uploaded, or will not be: the results follow.
    pub(super) fn logged(
        &mut self,
        room: &str,
        run: RunId,
        logs: Vec<(Granted, Option<UploadedLog>)>,
        now: TimestampMs,
    ) {
        for (granted, log) in logs {
            self.log_shared(&granted, log, now);
        }
        if let Some(queue) = self.federation.logs.0.get_mut(&(room.to_owned(), run)) {
            queue.is_underway = false;
        }
        self.upload_logs(room, run, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::ids::TaskId;

    #[test]
    fn a_file_has_as_many_logs_as_there_is_room_for_and_at_least_one() {
        let ended = |n: u32, bytes| {
            let (run, task) = (RunId(ulid::Ulid::from(1_u128)), TaskId::new("a").unwrap());
            let granted = Granted { attempt: AttemptId { run, task, number: n }, fence: 1 };
            Ended { granted, session: SessionId(ulid::Ulid::from(u128::from(n))), bytes }
        };
        let sizes = [3 << 20, 5 << 20, 1, 64 << 20, 7];
        let waiting = sizes.iter().zip(1..).map(|(bytes, n)| ended(n, *bytes)).collect();
        let mut queue = Queue { waiting, is_underway: false };
        let counts: Vec<usize> = std::iter::from_fn(|| Some(queue.next().len()).filter(|n| *n > 0)).collect();
        assert_eq!(counts, [2, 1, 1, 1]);
        queue.waiting = (0..250).map(|n| ended(n, 1)).collect();
        let counts: Vec<usize> = std::iter::from_fn(|| Some(queue.next().len()).filter(|n| *n > 0)).collect();
        assert_eq!(counts, [100, 100, 50]);
    }
}
