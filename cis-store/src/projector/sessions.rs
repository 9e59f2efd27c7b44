//! Rows of sessions, and of the places where they run.

use rusqlite::{Connection, params};

use super::{Beside, Place, Projector};
use crate::error::RowError;
use crate::facts::one_line;
use cis_core::event::{EventBody, ExitStatus, GrantRecord, PromptKind, SessionState};
use cis_core::ids::{HostInstance, SessionId, TimestampMs};

/// (node, session host, key), in the order of their keys: one per life of a host.
pub(super) type Places = Vec<(String, Option<[u8; 16]>, i64)>;

/// A session that is asked for.
pub(super) struct Fresh<'a> {
    pub(super) id: SessionId,
    /// Run, index of the task, grant.
    pub(super) attempt: Option<(i64, i64, &'a GrantRecord)>,
    pub(super) place: i64,
    pub(super) name: Option<&'a str>,
    /// What it runs, where an event says it.
    pub(super) argv: &'a [String],
    pub(super) at_ms: TimestampMs,
}

impl Projector {
    /// Events of sessions. Says whether it was one.
    pub(super) fn apply_to_session(
        &mut self,
        conn: &Connection,
        at: Place,
        body: &EventBody,
        beside: Beside<'_>,
    ) -> Result<bool, RowError> {
        match body {
            EventBody::SessionCreated { session, argv, name, host } => {
                let place = place(&mut self.places, conn, "", Some(*host))?;
                let name = name.as_deref();
                let at_ms = at.at_ms;
                insert(conn, &Fresh { id: *session, attempt: None, place, name, argv, at_ms }, beside)?;
            }
            EventBody::SessionStarted { session, task, pid } => {
                let state = if task.is_some() { SessionState::Working } else { SessionState::Ready };
                conn.prepare_cached(
                    "UPDATE sessions SET state = ?2, pid = ?3, started_ms = ?4
                     WHERE id = ?1 AND ended_ms IS NULL",
                )?
                .execute(params![session.0.to_bytes(), state.as_str(), pid, at.at_ms])?;
            }
            EventBody::SessionBlocked { session, prompt, .. } => {
                let stalled = prompt.kind == PromptKind::Stalled;
                let state = if stalled { SessionState::Stalled } else { SessionState::Blocked };
                set_state(conn, *session, state)?;
            }
            EventBody::SessionRecovered { session, .. } => set_state(conn, *session, SessionState::Working)?,
            EventBody::SessionEnded { session, exit, detail, ended_ms, log_bytes } => {
                let by_itself = exit.is_some() && detail.is_none();
                let state = if by_itself { SessionState::Exited } else { SessionState::Terminated };
                let detail = detail.clone().or_else(|| exit.map(|status| status.to_string()));
                conn.prepare_cached(
                    "UPDATE sessions SET state = ?2, pid = NULL, ended_ms = ?3, exit_code = ?4, detail = ?5,
                        log_bytes = ?6
                     WHERE id = ?1",
                )?
                .execute(params![
                    session.0.to_bytes(),
                    state.as_str(),
                    ended_ms,
                    exit.and_then(ExitStatus::code),
                    detail,
                    count(*log_bytes)
                ])?;
            }
            EventBody::SessionInput { .. }
            | EventBody::SessionEscalated { .. }
            | EventBody::SessionAsked { .. }
            | EventBody::AskWithdrawn { .. }
            | EventBody::SessionSaid { .. }
            | EventBody::SessionAnswered { .. }
            | EventBody::AnswerVoid { .. } => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn set_state(conn: &Connection, id: SessionId, state: SessionState) -> Result<(), RowError> {
    conn.prepare_cached("UPDATE sessions SET state = ?2 WHERE id = ?1 AND ended_ms IS NULL")?
        .execute(params![id.0.to_bytes(), state.as_str()])?;
    Ok(())
}

/// A row for a session; one that is there stays as it is.
pub(super) fn insert(conn: &Connection, fresh: &Fresh<'_>, beside: Beside<'_>) -> Result<(), RowError> {
    let facts = if let Beside::Session(facts) = beside { Some(facts) } else { None };
    let size = facts.and_then(|facts| facts.size);
    let command = match facts {
        Some(facts) => Some(one_line(&facts.command)),
        None => (!fresh.argv.is_empty()).then(|| one_line(&fresh.argv.join(" "))),
    };
    let grant = fresh.attempt.map(|(.., grant)| grant);
    conn.prepare_cached(
        "INSERT INTO sessions (id, run, task, attempt, fence, prev, place, name, state, created_ms,
            tty, cols, rows, command, log)
         VALUES (?1, ?2, ?3, ?4, ?5, (SELECT session FROM tasks WHERE run = ?2 AND idx = ?3),
            ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT DO UPDATE SET run = ?2, task = ?3, attempt = ?4, fence = ?5, prev = excluded.prev, place = ?6
             WHERE ?2 IS NOT NULL AND sessions.run NOT IN (SELECT key FROM runs)",
    )?
    .execute(params![
        fresh.id.0.to_bytes(),
        fresh.attempt.map(|(run, ..)| run),
        fresh.attempt.map(|(_, idx, _)| idx),
        grant.map(|grant| grant.attempt),
        grant.map(|grant| count(grant.fence)),
        fresh.place,
        fresh.name,
        SessionState::Starting.as_str(),
        fresh.at_ms,
        facts.is_none_or(|facts| facts.tty),
        size.map(|size| size.cols),
        size.map(|size| size.rows),
        command,
        facts.and_then(|facts| facts.log.as_deref()),
    ])?;
    Ok(())
}

/// Key of a place, with a row for it where it is new.
pub(super) fn place(
    places: &mut Option<Places>,
    conn: &Connection,
    node: &str,
    host: Option<HostInstance>,
) -> Result<i64, RowError> {
    let host = host.map(|host| host.0.to_bytes());
    let places = match places {
        Some(places) => places,
        None => places.insert(load_places(conn)?),
    };
    // The present one is the newest.
    if let Some((.., key)) = places.iter().rev().find(|(n, h, _)| *h == host && n == node) {
        return Ok(*key);
    }
    conn.prepare_cached("INSERT INTO places (node, host) VALUES (?1, ?2)")?.execute(params![node, host])?;
    let key = conn.last_insert_rowid();
    places.push((node.to_owned(), host, key));
    Ok(key)
}

fn load_places(conn: &Connection) -> Result<Places, RowError> {
    let mut read = conn.prepare_cached("SELECT node, host, key FROM places ORDER BY key")?;
    let rows = read.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// SQLite's integers have a sign; counts beyond its range are as good as its end.
pub(super) fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
