//! What waits for a human, how it was answered, and what was said about it.

use rusqlite::{Connection, Row, ToSql};
use ulid::Ulid;

use super::{PAGE_MAX, Reader, behind, page_of};
use crate::error::{RowError, StoreError};
use crate::values::{json, maybe_ulid, named, task};
use cis_core::api::{AskAnswer, AskView, ClosedItem, InboxItem, Listing, Page, ThreadMessage};
use cis_core::event::{AnswerRecord, AskType, Layer, PromptKind, Urgency};
use cis_core::ids::{InboxId, InputId, RunId, SessionId};

/// What an item is read from.
const COLUMNS: &str = "id, run, task, session, kind, question, options, since_ms, confidence, layer, episode,
    hash, screen, ask_type, urgency, thread, until_ms, answer, closed_ms, closed, detail, ask, waits, input, answered_ms, waited";

/// Messages of a thread that are given, the newest.
const MESSAGES_MAX: u32 = 1000;

/// Which items are asked for; both: those that both are true of.
#[derive(Debug, Clone, Copy, Default)]
pub struct InboxFilter {
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only of this session.
    pub session: Option<SessionId>,
}

/// Open, and of that run and session.
const OPEN: &str = "closed_ms IS NULL AND (?1 IS NULL OR run = ?1) AND (?2 IS NULL OR session = ?2)";

impl InboxFilter {
    fn bytes(self) -> (Option<[u8; 16]>, Option<[u8; 16]>) {
        (self.run.map(|run| run.0.to_bytes()), self.session.map(|session| session.0.to_bytes()))
    }
}

/// An item with what only the node needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownItem {
    /// As people get it.
    pub item: InboxItem,
    /// The input that made it, where the session asked.
    pub ask: Option<InputId>,
    /// Its session does nothing until it is answered.
    pub waits: bool,
    /// The same of an ask that it had made without waiting, and waits for by now.
    pub waited: bool,
    /// The answer that it has, with its input.
    pub answer: Option<(AnswerRecord, InputId)>,
}

impl Reader {
    /// What waits, oldest first: so many of it, from the one on that stands behind `after`.
    ///
    /// # Errors
    /// The store cannot be read; or `after` is not one that a listing gave.
    pub fn inbox(
        &self,
        filter: InboxFilter,
        limit: Option<u32>,
        after: Option<&str>,
    ) -> Result<Listing<InboxItem>, StoreError> {
        let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let after = behind(after, i64::MIN)?;
        let (run, session) = filter.bytes();
        self.view("read the inbox", |conn| {
            let mut read = conn.prepare_cached(&format!(
                "SELECT {COLUMNS}, key FROM inbox WHERE {OPEN} AND key > ?3 ORDER BY key LIMIT ?4"
            ))?;
            let rows = read.query(rusqlite::params![run, session, after, i64::from(limit) + 1])?;
            page_of(rows, limit, |row| Ok(known_item(row)?.item))
        })
    }

    /// All of them, with what the node needs: of none may be forgotten who answered it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open_items(&self, filter: InboxFilter) -> Result<Vec<KnownItem>, StoreError> {
        let (run, session) = filter.bytes();
        self.view("read the inbox", |conn| select(conn, &format!("{OPEN} ORDER BY key"), &[&run, &session]))
    }

    /// Something that this session asked.
    ///
    /// # Errors
    /// It asked no such thing; or the store cannot be read.
    pub fn ask(&self, session: SessionId, item: &InboxId) -> Result<AskView, StoreError> {
        let bytes = session.0.to_bytes();
        let mut found = self.view("read an ask", |conn| {
            select(
                conn,
                "session = ?1 AND id = ?2 AND ask IS NOT NULL ORDER BY key DESC LIMIT 1",
                &[&bytes, &item.0],
            )
        })?;
        found.truncate(1);
        found
            .pop()
            .map(ask_view)
            .ok_or_else(|| StoreError::NotFound { what: "ask of this session", name: item.0.clone() })
    }

    /// Messages of a thread of this session, oldest first: so many, from the one on that stands behind `page.after`.
    ///
    /// # Errors
    /// The store cannot be read; or `page.after` is not one that a listing gave.
    pub fn thread_page(
        &self,
        session: SessionId,
        thread: &InboxId,
        page: &Page,
    ) -> Result<Listing<ThreadMessage>, StoreError> {
        let limit = page.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let after = behind(page.after.as_deref(), i64::MIN)?;
        self.view("read a thread", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT at_ms, by, what, text, item, key FROM thread_messages
                 WHERE session = ?1 AND thread = ?2 AND key > ?3 ORDER BY key LIMIT ?4",
            )?;
            let rows =
                read.query(rusqlite::params![session.to_string(), thread.0, after, i64::from(limit) + 1])?;
            page_of(rows, limit, |row| Ok(message(row)?))
        })
    }

    /// The newest messages of a thread of this session, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn thread(&self, session: SessionId, thread: &InboxId) -> Result<Vec<ThreadMessage>, StoreError> {
        self.view("read a thread", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT at_ms, by, what, text, item FROM
                    (SELECT * FROM thread_messages WHERE session = ?1 AND thread = ?2 ORDER BY key DESC LIMIT ?3)
                 ORDER BY key",
            )?;
            let rows = read.query_map((session.to_string(), &thread.0, MESSAGES_MAX), message)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<ThreadMessage> {
    Ok(ThreadMessage {
        at_ms: row.get(0)?,
        by: row.get(1)?,
        what: row.get(2)?,
        text: row.get(3)?,
        item: row.get::<_, Option<String>>(4)?.map(InboxId),
    })
}

pub(super) fn select(
    conn: &Connection,
    which: &str,
    params: &[&dyn ToSql],
) -> Result<Vec<KnownItem>, RowError> {
    let mut read = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM inbox WHERE {which}"))?;
    let mut rows = read.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(known_item(row)?);
    }
    Ok(items)
}

fn known_item(row: &Row<'_>) -> Result<KnownItem, RowError> {
    let has_task = row.get_ref(2)? != rusqlite::types::ValueRef::Null;
    let answer: Option<AnswerRecord> = json(row, 17)?;
    let closed = match row.get::<_, Option<i64>>(18)? {
        None => None,
        Some(at_ms) => Some(ClosedItem {
            at_ms,
            how: row.get::<_, Option<String>>(19)?.unwrap_or_default(),
            by: answer.as_ref().map(|answer| answer.by.clone()),
            text: match &answer {
                Some(answer) => Some(answer.text.clone()),
                None => row.get(20)?,
            },
        }),
    };
    let optional = |column: usize| -> Result<Option<String>, RowError> { Ok(row.get(column)?) };
    let (waits, waited): (bool, bool) = (row.get(22)?, row.get(25)?);
    let item = InboxItem {
        id: InboxId(row.get(0)?),
        run: maybe_ulid(row, 1)?.map(RunId),
        task: has_task.then(|| task(row, 2)).transpose()?,
        session: maybe_ulid(row, 3)?.map(SessionId),
        kind: named(row, 4, PromptKind::parse)?,
        question: row.get(5)?,
        options: json(row, 6)?,
        since: row.get(7)?,
        confidence: row.get(8)?,
        layer: optional(9)?.as_deref().and_then(Layer::parse),
        // One that an ask had while somebody waited for it says nothing afterwards.
        episode: row.get::<_, Option<u32>>(10)?.filter(|_| waits || waited),
        hash: row.get(11)?,
        screen: row.get(12)?,
        ask_type: optional(13)?.as_deref().and_then(AskType::parse),
        urgency: named(row, 14, Urgency::parse)?,
        thread: optional(15)?.map(InboxId),
        answered_by: answer.as_ref().filter(|_| closed.is_none()).map(|answer| answer.by.clone()),
        answered_ms: row.get::<_, Option<i64>>(24)?.filter(|_| closed.is_none()),
        until_ms: row.get(16)?,
        closed,
    };
    let id = |column| -> Result<Option<Ulid>, RowError> { maybe_ulid(row, column) };
    Ok(KnownItem { item, ask: id(21)?.map(InputId), waits, waited, answer: answer.zip(id(23)?.map(InputId)) })
}

fn ask_view(known: KnownItem) -> AskView {
    let KnownItem { item, answer, .. } = known;
    let withdrawn = item.closed.as_ref().filter(|_| answer.is_none()).map(|closed| match &closed.text {
        Some(text) => text.clone(),
        None => "its session has ended".to_owned(),
    });
    AskView {
        thread: item.thread.unwrap_or_else(|| item.id.clone()),
        id: item.id,
        text: item.question,
        answer: answer.zip(item.closed).map(|((answer, _), closed)| AskAnswer {
            option: answer.option,
            text: answer.text,
            reason: answer.reason,
            by: answer.by,
            at_ms: closed.at_ms,
        }),
        withdrawn,
    }
}
