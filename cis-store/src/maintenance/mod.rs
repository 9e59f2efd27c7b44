//! Looking after a store: is it sound, and if not, what of it can be saved; what it needs, and a copy of it.
//!
//! Checking and saving stand on the same ground: the events are the truth, so projecting them anew must give the
//! tables that are there.

mod bytes;
mod census;
mod check;
mod copy;
mod gaps;
mod pages;
mod rebuild;
mod refuse;
mod salvage;
mod wal;

use rusqlite::Connection;
use rusqlite::types::Type;

use super::error::RowError;
use super::facts::TaskSeed;
use super::projector::{Beside, Place, Projector};
use super::values::{self, EVENT_COLUMNS, SUM, event};
use cis_core::event::{Event, EventBody, RunCreated};
use cis_core::ids::Offset;

pub use census::{Census, LOST_BEFORE, LeftOut, LogRecord, Needs, RunUse, live_sessions, logs, unknown};
#[cfg(test)]
pub(super) use check::PROJECTED;
pub use check::{CheckReport, Losses, Verdict, check};
pub use copy::copy;
pub use rebuild::{INCOMPLETE, RebuildReport, rebuild};
pub(super) use refuse::refuse_damaged;
pub use refuse::refuse_missing;
pub use salvage::{LostEvents, LostOf, NamedRun, lost_with};

/// What went by while events were projected anew.
#[derive(Debug, Default)]
struct Folded {
    events: u64,
    /// Types of a newer version: kept, of no effect here.
    unknown: u64,
    /// Events whose body is not of its type's shape.
    bad: Vec<(Offset, String)>,
}

/// Projects every event of `schema` ("main", or an attached database) into the tables of `main`.
/// `tasks` says which tasks a run began with, by the key of its row.
fn fold(
    conn: &Connection,
    schema: &str,
    mut tasks: impl FnMut(i64, &RunCreated) -> Option<Vec<TaskSeed>>,
) -> Result<Folded, RowError> {
    let mut projector = Projector::default();
    let mut folded = Folded::default();
    let mut read = conn.prepare(&format!("SELECT {EVENT_COLUMNS} FROM {schema}.events ORDER BY offset"))?;
    let mut rows = read.query(())?;
    while let Some(row) = rows.next()? {
        folded.events += 1;
        let offset: Offset = row.get(0)?;
        let event = match event(row) {
            Ok(event) => event,
            Err(RowError::Sql(error)) if !salvage::is_of_row(&error) => return Err(error.into()),
            Err(error) => {
                folded.bad.push((offset, error.to_string()));
                continue;
            }
        };
        let is_proven = row.get_ref(SUM)?.data_type() != Type::Null;
        let body = match event.decode() {
            Ok(body) => body,
            Err(error) if salvage::is_of_newer(&event, &error, is_proven) && is_unknown(&event, &error) => {
                folded.unknown += 1;
                continue;
            }
            Err(error) => {
                folded.bad.push((offset, format!("{}: {error}", event.type_name)));
                continue;
            }
        };
        let seeds = match &body {
            EventBody::RunCreated(facts) => i64::try_from(offset).ok().and_then(|key| tasks(key, facts)),
            _ => None,
        };
        let beside = seeds.as_deref().map_or(Beside::Nothing, Beside::Tasks);
        let at = Place { offset, run: event.run, at_ms: event.at_ms };
        match projector.apply(conn, at, &body, beside) {
            Ok(()) => {}
            Err(RowError::Sql(error)) if !salvage::is_of_row(&error) => return Err(error.into()),
            Err(error) => {
                projector.forget();
                folded.bad.push((offset, format!("{}: {error}", event.type_name)));
            }
        }
    }
    Ok(folded)
}

/// Whether an event cannot be decoded because this version does not know its type.
fn is_unknown(event: &Event, error: &serde_json::Error) -> bool {
    error.to_string().starts_with(&format!("unknown variant `{}`", event.type_name))
}

/// The tasks that a run began with, from the tables of `schema`.
fn tasks_of_rows(conn: &Connection, schema: &str, run: i64) -> Result<Vec<TaskSeed>, RowError> {
    let mut read = conn.prepare(&format!(
        "SELECT t.id, n.needs FROM {schema}.run_facts f
            JOIN {schema}.tasks t ON t.run = f.run AND t.idx < f.seeded
            LEFT JOIN {schema}.task_needs n ON n.run = t.run AND n.idx = t.idx
         WHERE f.run = ?1 ORDER BY t.idx"
    ))?;
    let mut rows = read.query([run])?;
    let mut names = Vec::new();
    let mut needs: Vec<Vec<usize>> = Vec::new();
    while let Some(row) = rows.next()? {
        names.push(values::task(row, 0)?);
        needs.push(values::json(row, 1)?);
    }
    Ok(needs
        .into_iter()
        .enumerate()
        .map(|(n, needs)| TaskSeed {
            id: names[n].clone(),
            needs: needs.into_iter().filter_map(|need| names.get(need)).cloned().collect(),
        })
        .collect())
}
