//! Single rows: an item as it begins, what changes of it, messages of threads.

use rusqlite::{Connection, params};

use super::{Open, Place};
use crate::error::RowError;
use crate::values::{maybe_ulid, task};
use cis_core::event::{AnswerRecord, AskRecord, PromptKind, PromptOption, SaidRecord, Urgency};
use cis_core::ids::{InboxId, InputId, RunId, SessionId, TaskId};

/// An item as it begins.
pub(super) struct Row<'a> {
    pub(super) id: &'a InboxId,
    pub(super) task: Option<&'a TaskId>,
    pub(super) session: Option<SessionId>,
    pub(super) kind: PromptKind,
    pub(super) question: &'a str,
    pub(super) options: &'a [PromptOption],
    pub(super) confidence: u8,
    pub(super) layer: Option<&'a str>,
    pub(super) episode: Option<u32>,
    pub(super) hash: &'a str,
    pub(super) screen: &'a str,
    pub(super) ask: Option<&'a AskRecord>,
    pub(super) until_ms: Option<i64>,
}

impl Row<'_> {
    pub(super) fn insert(&self, conn: &Connection, at: Place) -> Result<(), RowError> {
        conn.prepare_cached(
            "INSERT INTO inbox (key, id, run, task, session, kind, question, options, since_ms, confidence,
                layer, episode, hash, screen, ask, ask_type, urgency, thread, waits, until_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?
        .execute(params![
            // Several approvals may be asked for by one event.
            key(conn, at)?,
            self.id.0,
            at.run.map(|run| run.0.to_bytes()),
            self.task.map(TaskId::as_str),
            self.session.map(|session| session.0.to_bytes()),
            self.kind.as_str(),
            self.question,
            serde_json::to_string(self.options)?,
            at.at_ms,
            self.confidence,
            self.layer,
            self.episode,
            self.hash,
            self.screen,
            self.ask.map(|ask| ask.ask.0.to_bytes()),
            self.ask.map(|ask| ask.ask_type.as_str()),
            self.ask.map_or(Urgency::default(), |ask| ask.urgency).as_str(),
            self.ask.map(|ask| &ask.thread.0),
            self.ask.is_none_or(|ask| ask.waits),
            self.until_ms,
        ])?;
        Ok(())
    }
}

/// The next key: in the order of events, and of those in one event in theirs.
fn key(conn: &Connection, at: Place) -> Result<i64, RowError> {
    let first = i64::try_from(at.offset).unwrap_or(i64::MAX >> KEY_BITS) << KEY_BITS;
    let newest: Option<i64> =
        conn.prepare_cached("SELECT max(key) FROM inbox")?.query_row((), |row| row.get(0))?;
    Ok(newest.map_or(first, |newest| first.max(newest + 1)))
}

/// Items of one event have keys of their own below its offset.
const KEY_BITS: u32 = 20;

pub(super) fn load(conn: &Connection) -> Result<Open, RowError> {
    let mut open = Open::default();
    let mut read = conn.prepare_cached("SELECT session, run, task FROM inbox WHERE closed_ms IS NULL")?;
    let mut rows = read.query(())?;
    while let Some(row) = rows.next()? {
        match (maybe_ulid(row, 0)?, maybe_ulid(row, 1)?) {
            (Some(session), _) => drop(open.sessions.insert(SessionId(session))),
            (None, Some(run)) => drop(open.approvals.insert((RunId(run), task(row, 2)?))),
            (None, None) => {}
        }
    }
    Ok(open)
}

/// What a session waited at is over, however that came. An ask stays open until it is answered or withdrawn.
pub(super) fn recovered(
    conn: &Connection,
    at: Place,
    session: SessionId,
    episode: u32,
) -> Result<(), RowError> {
    conn.prepare_cached(
        "UPDATE inbox SET closed_ms = ?3, closed = iif(answer IS NULL, 'recovered', 'answered')
         WHERE session = ?1 AND episode = ?2 AND ask IS NULL AND closed_ms IS NULL",
    )?
    .execute(params![session.0.to_bytes(), episode, at.at_ms])?;
    conn.prepare_cached(
        "UPDATE inbox SET waited = 0
         WHERE session = ?1 AND episode = ?2 AND ask IS NOT NULL AND closed_ms IS NULL",
    )?
    .execute(params![session.0.to_bytes(), episode])?;
    Ok(())
}

/// An answer that did not arrive is none: the one before it counts, where there was one.
pub(super) fn void(
    conn: &Connection,
    session: SessionId,
    item: &InboxId,
    input: InputId,
) -> Result<(), RowError> {
    conn.prepare_cached(
        "UPDATE inbox SET answered_ms = answer ->> '$.before.at_ms', answer = answer -> '$.before.answer',
            input = unhex(answer ->> '$.before.input')
         WHERE session = ?1 AND id = ?2 AND input = ?3",
    )?
    .execute(params![session.0.to_bytes(), item.0, input.0.to_bytes()])?;
    Ok(())
}

pub(super) fn told(
    conn: &Connection,
    at: Place,
    session: SessionId,
    said: &SaidRecord,
) -> Result<(), RowError> {
    conn.prepare_cached(
        "INSERT INTO session_said (session, kind, text, percent, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET kind = excluded.kind, text = excluded.text, at_ms = excluded.at_ms,
            percent = coalesce(excluded.percent, percent)",
    )?
    .execute(params![session.0.to_bytes(), said.kind.as_str(), said.text, said.percent, at.at_ms])?;
    match &said.thread {
        Some(id) => {
            let (thread, by) = (Thread { session, id }, session.to_string());
            message(conn, at, thread, &by, said.kind.as_str(), &said.text, None)
        }
        None => Ok(()),
    }
}

/// What belongs together of what one session says: its first ask names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thread<'a> {
    pub(super) session: SessionId,
    pub(super) id: &'a InboxId,
}

pub(super) fn message(
    conn: &Connection,
    at: Place,
    thread: Thread<'_>,
    by: &str,
    what: &str,
    text: &str,
    item: Option<&InboxId>,
) -> Result<(), RowError> {
    conn.prepare_cached(
        "INSERT INTO thread_messages (key, session, thread, at_ms, by, what, text, item)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        i64::try_from(at.offset).unwrap_or(i64::MAX),
        thread.session.to_string(),
        thread.id.0,
        at.at_ms,
        by,
        what,
        text,
        item.map(|item| &item.0)
    ])?;
    Ok(())
}

pub(super) fn decision(option: &str, by: &str, reason: Option<String>) -> AnswerRecord {
    AnswerRecord {
        option: Some(option.to_owned()),
        text: option.to_owned(),
        reason,
        by: by.to_owned(),
        bytes: 0,
    }
}
