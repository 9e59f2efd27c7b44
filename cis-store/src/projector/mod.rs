//! From events to the tables that people ask for: one event in, its rows changed.
//!
//! The same code runs when an event is appended and when everything is projected anew, and its
//! result depends on nothing but the events (and what stands beside them, [`Beside`]). It never
//! refuses an event: one about a run or session that is not there changes nothing.

mod gates;
mod inbox;
mod policy;
mod runs;
mod seeds;
mod sessions;
mod tasks;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

pub(super) use self::inbox::fill as fill_inbox;
use super::error::RowError;
use super::facts::{SessionFacts, TaskSeed};
use cis_core::event::EventBody;
use cis_core::ids::{Offset, RunId, TaskId, TimestampMs};

/// Where an event stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: Offset,
    pub(super) run: Option<RunId>,
    pub(super) at_ms: TimestampMs,
}

/// What is known beside an event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beside<'a> {
    Nothing,
    Tasks(&'a [TaskSeed]),
    Session(&'a SessionFacts),
}

/// A run that was looked at lately.
#[derive(Debug)]
struct Run {
    key: i64,
    tasks: HashMap<TaskId, i64>,
    /// Those that wait for approval.
    asked: HashSet<i64>,
}

/// Turns events into rows. Keeps the names of what is being worked on; [`Self::forget`] makes it read them anew.
#[derive(Debug, Default)]
pub(super) struct Projector {
    runs: HashMap<RunId, Run>,
    places: Option<sessions::Places>,
    inbox: inbox::Inbox,
}

impl Projector {
    /// Drops what it remembers, after a rollback.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Applies one event.
    pub(super) fn apply(
        &mut self,
        conn: &Connection,
        at: Place,
        body: &EventBody,
        beside: Beside<'_>,
    ) -> Result<(), RowError> {
        self.inbox.apply(conn, at, body)?;
        if let EventBody::RunCreated(facts) = body {
            return self.create_run(conn, at, facts, beside);
        }
        if let (EventBody::RunVoided {}, Some(id)) = (body, at.run) {
            runs::void(conn, id)?;
            self.forget();
            return Ok(());
        }
        if let EventBody::NodeGroup { name, group } = body {
            return gates::group(conn, name, *group);
        }
        if let EventBody::NodePolicy { number, rule, by } = body {
            return policy::changed(conn, at.at_ms, *number, rule.as_deref(), by);
        }
        if self.apply_to_session(conn, at, body, beside)?
            && !matches!(body, EventBody::SessionStarted { task: Some(_), .. })
        {
            return Ok(());
        }
        let Some(id) = at.run else { return Ok(()) };
        let Self { runs, places, .. } = self;
        let Some(run) = known(runs, conn, id)? else { return Ok(()) };
        match body {
            EventBody::TaskAssigned(grant) => tasks::assigned(conn, at, run, places, grant, beside),
            EventBody::SessionStarted { task: Some(task), .. } => tasks::began(conn, run, task),
            EventBody::TaskResult(result) => tasks::ended(conn, run, at, result),
            EventBody::TaskStatus { changes } => tasks::changed(conn, run, at, changes),
            EventBody::TasksAdded { tasks, .. } => tasks::added(conn, run, tasks),
            EventBody::TaskApproved { task, .. } => gates::approved(conn, run, task),
            EventBody::TaskExpanded { task, items } => gates::expanded(conn, run, task, items.len()),
            _ => {
                let over = runs::changed(conn, run, at, body)?;
                if over {
                    runs.remove(&id);
                }
                Ok(())
            }
        }
    }
}

/// The run of that id, read from its rows where it is not remembered.
fn known<'a>(
    runs: &'a mut HashMap<RunId, Run>,
    conn: &Connection,
    id: RunId,
) -> Result<Option<&'a mut Run>, RowError> {
    match runs.entry(id) {
        Entry::Occupied(run) => Ok(Some(run.into_mut())),
        Entry::Vacant(slot) => Ok(runs::load(conn, id)?.map(|run| slot.insert(run))),
    }
}
