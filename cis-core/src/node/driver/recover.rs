//! Keeping runs that came out of a room.

use super::{Beside, Driver, confirmation};
use crate::api::RoomWrite;
use crate::event::EventDraft;
use crate::node::api::store_problem;
use crate::node::commands::{Reply, RunToKeep};
use crate::store::StoreError;

impl Driver {
    /// Keeps what happened to a run, in one transaction. One that is open goes on with the next start of the node, as
    /// after any other end of it: its sessions are gone.
    pub(super) fn recover(&mut self, kept: RunToKeep, reply: Reply<bool>) {
        let RunToKeep { run, drafts, tasks, journal } = kept;
        let known = self.parts.readers.get().and_then(|reader| match reader.run(run) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        });
        match known {
            Ok(true) => drop(reply.send(Ok(false))),
            Ok(false) => {
                let mut beside = Some(Beside::Tasks(tasks));
                let drafts = drafts.into_iter();
                self.drafts.extend(drafts.map(|draft| (draft, beside.take().unwrap_or(Beside::Nothing))));
                self.room_writes.push(match journal {
                    Some(journal) => RoomWrite::Whole { run, journal },
                    None => RoomWrite::Unfollow { run },
                });
                self.confirmations.push(confirmation(reply, Ok(true)));
            }
            Err(error) => drop(reply.send(Err(store_problem(&error)))),
        }
    }

    /// Keeps what happened to a run of another node since.
    pub(super) fn observe(&mut self, drafts: Vec<EventDraft>, reply: Reply<()>) {
        self.drafts.extend(drafts.into_iter().map(|draft| (draft, Beside::Nothing)));
        self.confirmations.push(confirmation(reply, Ok(())));
    }
}
