//! Keeping runs that came out of a room.

use super::Driver;
use super::turn::Beside;
use crate::commands::{Reply, RunToKeep, TakenJournal};
use crate::problems::store_problem;
use cis_core::api::RoomWrite;
use cis_core::event::EventDraft;
use cis_store::StoreError;

impl Driver {
    /// Keeps what happened to a run, in one transaction. One that is open goes on with the next start of the node, as
    /// after any other end of it: its sessions are gone.
    ///
    /// `replaces`: what the store has of it is void, as another node took it over.
    pub(super) fn recover(&mut self, kept: RunToKeep, replaces: bool, reply: Reply<bool>) {
        let RunToKeep { run, drafts, tasks, journal } = kept;
        let known = self.parts.readers.get().and_then(|reader| match reader.run(run) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        });
        match known {
            Ok(true) if !replaces => drop(reply.send(Ok(false))),
            Ok(_) => {
                if replaces {
                    self.void(run);
                }
                let mut tasks = Some(tasks);
                for draft in drafts {
                    let beside = match (&journal, tasks.take()) {
                        (None, tasks) => Beside::Told(tasks),
                        (Some(_), Some(tasks)) => Beside::Tasks(tasks),
                        (Some(_), None) => Beside::Nothing,
                    };
                    self.turn.draft_with(draft, beside);
                }
                self.turn.keep(journal.map(|journal| RoomWrite::Whole { run, journal }));
                self.turn.confirm(reply, Ok(true));
            }
            Err(error) => drop(reply.send(Err(store_problem(&error)))),
        }
    }

    /// Keeps what happened to a run of another node since.
    pub(super) fn observe(
        &mut self,
        drafts: Vec<EventDraft>,
        journal: Option<TakenJournal>,
        reply: Reply<()>,
    ) {
        drafts.into_iter().for_each(|draft| self.turn.draft_with(draft, Beside::Told(None)));
        if let Some(TakenJournal { run, room, at }) = journal
            && let Ok(journal) = serde_json::to_string(&at)
        {
            let follows = RoomWrite::Follow { run, room, from: self.parts.writer.last_offset() };
            self.turn.keep([follows, RoomWrite::Whole { run, journal }]);
        }
        self.turn.confirm(reply, Ok(()));
    }
}
