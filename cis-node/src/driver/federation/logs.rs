//! Logs of attempts that ended here for a coordinator: they go up before the result is told, several in one file.
//!
//! Owns which of them wait. While one file of a room is on its way, the logs of what ends meanwhile gather for the next.

use std::collections::BTreeMap;

use super::super::Driver;
use super::files::Bringing;
use crate::file_jobs::Job;
use cis_core::api::FromWorker;
use cis_core::event::UploadedLog;
use cis_core::federation::protocol::message::Granted;
use cis_core::ids::{SessionId, TimestampMs};

/// Logs of one job.
const AT_ONCE: usize = 100;

/// See the module. By room.
#[derive(Default)]
pub(super) struct Lanes(BTreeMap<String, Lane>);

#[derive(Default)]
struct Lane {
    is_underway: bool,
    waiting: Vec<(Granted, SessionId)>,
}

impl Driver {
    /// Uploads the log of an attempt for a coordinator of a room. Gives back a message that need not wait for that.
    pub(super) fn share_log(&mut self, message: FromWorker, now: TimestampMs) -> Option<FromWorker> {
        let FromWorker::Result { attempt, fence, report } = message else { return Some(message) };
        let stays = report.log_bytes == 0 || report.log.is_some() || report.cached.is_some();
        let held = self.federation.held.get_mut(&attempt);
        let held = held.filter(|held| !stays && held.granted.fence == fence && !held.spec.spec.keeps_log);
        let Some(held) = held else { return Some(FromWorker::Result { attempt, fence, report }) };
        let (room, ended) = (held.room.clone(), (held.granted.clone(), held.session));
        held.bringing = Some(Bringing::Log(report));
        self.federation.logs.0.entry(room.clone()).or_default().waiting.push(ended);
        self.carry_logs(&room, now);
        None
    }

    fn carry_logs(&mut self, room: &str, now: TimestampMs) {
        let Some(lane) = self.federation.logs.0.get_mut(room) else { return };
        if lane.is_underway || lane.waiting.is_empty() {
            return;
        }
        let ended: Vec<_> = lane.waiting.drain(..lane.waiting.len().min(AT_ONCE)).collect();
        lane.is_underway = self.parts.link.carry(Job::Logs { room: room.to_owned(), ended: ended.clone() });
        if !lane.is_underway {
            let none = ended.into_iter().map(|(granted, _)| (granted, None)).collect();
            self.logged(room, none, now);
        }
    }

    /// They are there, or will never be. The results follow.
    pub(super) fn logged(&mut self, room: &str, logs: Vec<(Granted, Option<UploadedLog>)>, now: TimestampMs) {
        if let Some(lane) = self.federation.logs.0.get_mut(room) {
            lane.is_underway = false;
        }
        for (granted, log) in logs {
            let held = self.federation.held.get_mut(&granted.attempt);
            let Some(held) = held.filter(|held| held.granted == granted) else { continue };
            match held.bringing.take() {
                Some(Bringing::Log(mut report)) => {
                    report.log = log;
                    let Granted { attempt, fence } = granted;
                    self.tell_held(FromWorker::Result { attempt, fence, report }, now);
                }
                other => held.bringing = other,
            }
        }
        self.carry_logs(room, now);
    }
}
