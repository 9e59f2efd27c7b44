//! Shows in a room what a task printed and what a session shows.

use super::act::{Done, not, nothing, several};
use super::who::Speaker;
use super::{Listener, Stop};
use crate::declared::Declared;
use crate::logs;
use crate::server::NodeApi as _;
use crate::views::TailElsewhere;
use cis_core::ids::SessionId;
use cis_core::policy::{Permit, act};
use cis_core::room::command::Target;
use cis_core::room::reply;
use cis_store::{InRoom, NewestTry};

/// So much of the end of a log is shown, bytes.
const LOG_BYTES: usize = 4_000;

impl Listener {
    /// The newest try of a task of this room: in the run that is named, or the newest that has it.
    async fn newest_try(&self, speaker: &Speaker, target: &Target) -> Result<Option<NewestTry>, Stop> {
        let (run, task) = target.parts();
        let run = match run {
            Some(run) => match self.named_run(speaker, run).await? {
                Ok(run) => Some(run),
                Err(_) => return Ok(None),
            },
            None => None,
        };
        let (room, task) = (speaker.room.as_str().to_owned(), task.to_owned());
        Ok(self.node.read(move |reader| reader.try_in_room(&room, run, &task)).await?)
    }

    pub(super) async fn log(
        &self,
        speaker: &Speaker,
        _: &Permit<act::ReadSessions>,
        target: &Target,
    ) -> Result<Done, Stop> {
        let Some(newest) = self.newest_try(speaker, target).await? else {
            return Ok(nothing("task", target.as_str()));
        };
        let NewestTry { run, task, number, session } = newest;
        let elsewhere = match session {
            Some(session) => self.node.tail_elsewhere(session, LOG_BYTES).await?,
            None => None,
        };
        let tail = match elsewhere {
            Some(TailElsewhere::Copy(tail)) => tail,
            Some(TailElsewhere::OnNode(node)) => {
                return Ok(Done::Says(reply::log_on_node(task.as_str(), &node)));
            }
            None => {
                let of = Declared::of(&self.node.readers, &self.node.blobs, run);
                logs::of_try(&self.node.home, of, run, &task, number, LOG_BYTES).await
            }
        };
        Ok(Done::Says(reply::log(task.as_str(), &tail)))
    }

    /// The session of the newest try of a task of this room, or the session of that name.
    pub(super) async fn named_session(
        &self,
        speaker: &Speaker,
        target: &Target,
    ) -> Result<Result<SessionId, Done>, Stop> {
        if let Some(session) = self.newest_try(speaker, target).await?.and_then(|newest| newest.session) {
            return Ok(Ok(session));
        }
        let (room, name) = (speaker.room.as_str().to_owned(), target.as_str().to_owned());
        Ok(match self.node.read(move |reader| reader.session_in_room(&room, &name)).await? {
            InRoom::One(session) => Ok(session),
            InRoom::Several(names) => Err(several("session", &names)),
            InRoom::Nothing => Err(nothing("session", target.as_str())),
        })
    }

    pub(super) async fn screen(
        &self,
        permit: Permit<act::ReadSession>,
        target: &Target,
    ) -> Result<Done, Stop> {
        if let Some(ended) = self.ended(permit.target()).await? {
            return Ok(ended);
        }
        match self.node.screen(permit).await {
            Ok(rows) => Ok(Done::Says(reply::screen(target.as_str(), &rows))),
            Err(problem) => Ok(not(&problem)),
        }
    }

    /// What is said of a session that shows nothing any more; none: it is live.
    async fn ended(&self, session: SessionId) -> Result<Option<Done>, Stop> {
        let view = match self.node.read(move |reader| Ok(reader.session(session).ok())).await? {
            Some(view) if view.state.is_live() => return Ok(None),
            view => view,
        };
        let of = view.and_then(|view| Some((view.run?, view.task?)));
        let usage = of.map(|(run, task)| format!("!cis logs {}:{task}", run.short()));
        let says = "That session has ended, so it shows no screen any more. The end of its log:";
        Ok(Some(Done::Not(match usage {
            Some(usage) => reply::words(says, Some(&usage)),
            None => reply::words("That session has ended, so it shows no screen any more.", None),
        })))
    }
}
