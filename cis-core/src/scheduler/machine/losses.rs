//! What is gone: an attempt, a session host, a node, or the right to decide on a run.

use super::{Machine, Turn, attempt_id};
use crate::api::Report;
use crate::event::{AttemptOutcome, EventBody, LostBy};
use crate::ids::{AttemptId, Epoch, HostInstance, NodeDid, RunId, SessionId, TimestampMs};
use crate::scheduler::Run;
use crate::scheduler::input::Rejected;
use crate::scheduler::live::Live;
use crate::scheduler::outcome::{Verdict, judge, superseded};

impl Machine {
    pub(super) fn attempt_lost(
        &mut self,
        attempt: &AttemptId,
        detail: String,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let index = self.live_index(attempt, None)?;
        self.lose(attempt.run, index, detail, judge, turn)?;
        self.finish(attempt.run, self.affected(attempt.run, index), turn)
    }

    pub(super) fn node_lost(
        &mut self,
        node: &NodeDid,
        host: Option<HostInstance>,
        by: LostBy,
        ended: &[SessionId],
        turn: &Turn,
    ) -> Result<(), Rejected> {
        self.push(None, EventBody::NodeLost { did: node.clone(), by, host }, turn);
        let detail = match by {
            LostBy::Host => "its session host ended",
            LostBy::Heartbeat => "its node stopped answering",
        };
        let touched: Vec<RunId> =
            self.runs.values().filter(|s| s.run.live_count() > 0).map(|s| s.run.id()).collect();
        for id in touched {
            let run = self.known(id)?;
            let gone: Vec<u32> = run
                .live()
                .filter(|index| {
                    let known_as = |did: &NodeDid| did == node || (self.is_self(node) && self.is_self(did));
                    let of = |live: &Live| {
                        known_as(&live.node)
                            && (host.is_none() || live.host == host)
                            && !ended.contains(&live.session)
                    };
                    run.entry(*index).live.as_deref().is_some_and(of)
                })
                .collect();
            let mut seeds = Vec::new();
            for index in gone {
                self.lose(id, index, detail.to_owned(), judge, turn)?;
                seeds.extend(self.affected(id, index));
            }
            self.finish(id, seeds, turn)?;
        }
        Ok(())
    }

    pub(super) fn taken_over(
        &mut self,
        id: RunId,
        owner: NodeDid,
        epoch: Epoch,
        cut: u64,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let known = self.known(id)?.facts().epoch;
        if epoch <= known {
            return Err(Rejected::Stale(format!("run {id} is in epoch {known}, not before {epoch}")));
        }
        self.emit(
            id,
            EventBody::RunTakenOver { owner, epoch, cut, forced: false, voted: false, lost: false },
            turn,
        )?;
        self.touch(id);
        Ok(())
    }

    /// Records that the attempt under way is gone, as the coordinator of an earlier term knew when it granted a newer one: the task is
    /// queued for that one, also if it is not to run again when it is lost.
    pub(super) fn supersede(&mut self, id: RunId, index: u32, turn: &Turn) -> Result<(), Rejected> {
        let detail = "the coordinator before this one started a newer attempt".to_owned();
        self.lose(id, index, detail, superseded, turn)
    }

    /// Records that the attempt under way is gone. The caller draws the consequences.
    fn lose(
        &mut self,
        id: RunId,
        index: u32,
        detail: String,
        judge: impl FnOnce(&Run, u32, &Report, TimestampMs) -> Verdict,
        turn: &Turn,
    ) -> Result<(), Rejected> {
        let run = self.known(id)?;
        let started_ms = run.entry(index).live.as_ref().and_then(|live| live.started_ms);
        let report = Report::bare(AttemptOutcome::Lost { detail }, started_ms, turn.now);
        let verdict = judge(run, index, &report, turn.now);
        let live = run.entry(index).live.as_ref();
        let attempt = live.map(|live| (attempt_id(run, index, live.attempt), live.node.clone()));
        self.held_until = None;
        self.record(id, index, report, verdict, turn)?;
        attempt.map_or(Ok(()), |(attempt, node)| self.account_ends(&attempt, Some(&node), false, turn))
    }
}
