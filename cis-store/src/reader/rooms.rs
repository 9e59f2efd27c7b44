//! What is known of rooms: what waits to be sent, who follows what, and our messages there.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, Row, Rows, params};

use super::Reader;
use crate::error::{RowError, StoreError};
use crate::values::priority;
use crate::values::{maybe_ulid, ulid};
use cis_core::api::{FollowedRun, OutboxEntry, Outgoing, RoomMessage, RoomState, SealedEvent};
use cis_core::ids::{RunId, TimestampMs};

/// Of a row of `room_runs AS followed`: something happened that is not in the journal yet.
const UNWRITTEN: &str = "published < (SELECT max(offset) FROM events WHERE events.run = followed.run)";

impl Reader {
    /// Entries that are due at `now_ms`, most urgent first; journals and cards before others that are as urgent, and replies after
    /// them. At most `limit` of each of these, so that none hides the others.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_due(&self, now_ms: TimestampMs, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.view("read the outbox", |conn| {
            let mut read = conn.prepare_cached(
                "WITH due AS (
                    SELECT id AS entry, priority AS urgency, due_ms AS since, CASE
                        WHEN what IN ('journal', 'rotated', 'card') THEN 0 WHEN what = 'reply' THEN 2 ELSE 1 END AS kind
                    FROM outbox WHERE due_ms <= ?1),
                 placed AS (
                    SELECT entry, kind, row_number() OVER (PARTITION BY urgency, kind ORDER BY since, entry) AS place
                    FROM due)
                 SELECT id, room, priority, what, run, item, payload, due_ms, tries
                 FROM placed JOIN outbox ON id = entry
                 WHERE place <= ?2 ORDER BY priority, kind, due_ms, id",
            )?;
            entries(read.query(params![now_ms, limit])?)
        })
    }

    /// When the next entry is due of those that are not due at `now_ms`; none: none is left for later.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_after(&self, now_ms: TimestampMs) -> Result<Option<TimestampMs>, StoreError> {
        self.view("read the outbox", |conn| {
            let mut read = conn.prepare_cached("SELECT min(due_ms) FROM outbox WHERE due_ms > ?1")?;
            Ok(read.query_row([now_ms], |row| row.get(0))?)
        })
    }

    /// Messages for a room that people reply to: questions and cards that wait to be sent. Some may be in the room already, if the
    /// homeserver's answer that says so has not come yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_replyable(&self, room: &str) -> Result<Vec<OutboxEntry>, StoreError> {
        self.view("read the outbox", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT id, room, priority, what, run, item, payload, due_ms, tries
                 FROM outbox WHERE room = ?1 AND what IN ('question', 'escalated', 'card') ORDER BY id",
            )?;
            entries(read.query([room])?)
        })
    }

    /// The newest entry that waits; 0: none does.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_newest(&self) -> Result<i64, StoreError> {
        self.view("read the outbox", |conn| {
            let newest = "SELECT coalesce(max(id), 0) FROM outbox";
            Ok(conn.prepare_cached(newest)?.query_row((), |row| row.get(0))?)
        })
    }

    /// The runs of which entries of this kind wait to be sent, and to which rooms.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_runs(&self, what: &str) -> Result<BTreeSet<(RunId, String)>, StoreError> {
        self.view("read the outbox", |conn| {
            let sql = "SELECT DISTINCT run, room FROM outbox WHERE what = ?1 AND run IS NOT NULL";
            let mut read = conn.prepare_cached(sql)?;
            let mut rows = read.query([what])?;
            let mut runs = BTreeSet::new();
            while let Some(row) = rows.next()? {
                runs.insert((RunId(ulid(row, 0)?), row.get(1)?));
            }
            Ok(runs)
        })
    }

    /// Entries that wait in the outbox, and runs of which something is not written into it yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_len(&self) -> Result<u64, StoreError> {
        self.view("count the outbox", |conn| {
            let unwritten = format!("SELECT count(*) FROM room_runs AS followed WHERE {UNWRITTEN}");
            let sql = format!("SELECT (SELECT count(*) FROM outbox) + ({unwritten})");
            Ok(conn.prepare_cached(&sql)?.query_row((), |row| row.get(0))?)
        })
    }

    /// The runs that rooms follow: those that are open, ended after `since_ms`, or are not told in full.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn followed_runs(&self, since_ms: TimestampMs) -> Result<Vec<FollowedRun>, StoreError> {
        self.view("read which runs rooms follow", |conn| {
            let mut read = conn.prepare_cached(&format!(
                "SELECT run, room, told, published, journal FROM room_runs AS followed
                 WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = followed.run AND ended_ms <= ?1)
                     OR {UNWRITTEN}
                     OR EXISTS (SELECT 1 FROM outbox WHERE outbox.run = followed.run)
                 ORDER BY run"
            ))?;
            let mut rows = read.query([since_ms])?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push(FollowedRun {
                    run: RunId(ulid(row, 0)?),
                    room: row.get(1)?,
                    told: row.get(2)?,
                    published: row.get(3)?,
                    journal: row.get(4)?,
                });
            }
            Ok(runs)
        })
    }

    /// Whether the room that follows a run has all of its journal; also where none follows it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn is_journal_told(&self, run: RunId) -> Result<bool, StoreError> {
        self.view("read what a room has of a run", |conn| {
            let sql = format!(
                "SELECT {UNWRITTEN} OR EXISTS (
                     SELECT 1 FROM outbox WHERE outbox.run = followed.run AND outbox.room = followed.room AND what = 'journal')
                 FROM room_runs AS followed WHERE run = ?1"
            );
            let lacks = conn.prepare_cached(&sql)?.query_row([run.0.to_bytes()], |row| row.get(0)).optional()?;
            Ok(!lacks.unwrap_or(false))
        })
    }

    /// The room that follows a run.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn room_of_run(&self, run: RunId) -> Result<Option<String>, StoreError> {
        self.view("read which room follows a run", |conn| {
            let mut read = conn.prepare_cached("SELECT room FROM room_runs WHERE run = ?1")?;
            let mut rows = read.query([run.0.to_bytes()])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        })
    }

    /// Rooms that follow runs which are open, or ended after `since_ms`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn rooms_of_runs(&self, since_ms: TimestampMs) -> Result<BTreeSet<String>, StoreError> {
        self.view("read which rooms follow runs", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT DISTINCT room_runs.room FROM room_runs JOIN runs ON runs.id = room_runs.run
                 WHERE runs.ended_ms IS NULL OR runs.ended_ms > ?1",
            )?;
            let rooms = read.query_map([since_ms], |row| row.get(0))?;
            Ok(rooms.collect::<Result<_, _>>()?)
        })
    }

    /// Our message with this event id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn room_message(&self, event: &str) -> Result<Option<RoomMessage>, StoreError> {
        self.view("look a message of a room up", |conn| {
            let mut read = conn.prepare_cached(&format!("{MESSAGE} WHERE event = ?1"))?;
            let mut rows = read.query([event])?;
            rows.next()?.map(message).transpose()
        })
    }

    /// Our messages of a run that are of this kind, about this item; the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn room_messages(
        &self,
        run: Option<RunId>,
        what: &str,
        item: Option<&str>,
    ) -> Result<Vec<RoomMessage>, StoreError> {
        self.view("look messages of a run up", |conn| {
            let mut read = conn.prepare_cached(&format!(
                "{MESSAGE} WHERE run IS ?1 AND what = ?2 AND item IS ?3 ORDER BY at_ms DESC, event"
            ))?;
            let mut rows = read.query(params![run.map(|run| run.0.to_bytes()), what, item])?;
            let mut messages = Vec::new();
            while let Some(row) = rows.next()? {
                messages.push(message(row)?);
            }
            Ok(messages)
        })
    }

    /// The items of a run about which there are more messages in a room of the kind `what` than of the kind `but`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn room_items(
        &self,
        run: RunId,
        room: &str,
        what: &str,
        but: &str,
    ) -> Result<BTreeSet<String>, StoreError> {
        self.view("look messages of a run up", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT item FROM room_messages
                 WHERE run = ?1 AND what IN (?2, ?3) AND room = ?4 AND item IS NOT NULL
                 GROUP BY item HAVING sum(iif(what = ?2, 1, -1)) > 0",
            )?;
            let items = read.query_map(params![run.0.to_bytes(), what, but, room], |row| row.get(0))?;
            Ok(items.collect::<Result<_, _>>()?)
        })
    }

    /// Our first message of this kind in a room that we still have: its event id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn first_message(&self, room: &str, what: &str) -> Result<Option<String>, StoreError> {
        self.view("look a message of a room up", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT event FROM room_messages WHERE room = ?1 AND what = ?2 ORDER BY at_ms LIMIT 1",
            )?;
            let mut rows = read.query([room, what])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        })
    }

    /// Events of a room that this node could not decrypt yet, in their order, without those that were sent before `since_ms`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn sealed_events(&self, room: &str, since_ms: TimestampMs) -> Result<Vec<SealedEvent>, StoreError> {
        self.view("read what could not be decrypted", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT event, sender, session, sent_ms FROM room_sealed WHERE room = ?1 AND sent_ms >= ?2 ORDER BY rowid",
            )?;
            let events = read.query_map(params![room, since_ms], |row| {
                let (event, sender) = (row.get(0)?, row.get(1)?);
                Ok(SealedEvent { event, sender, session: row.get(2)?, sent_ms: row.get(3)? })
            })?;
            Ok(events.collect::<Result<_, _>>()?)
        })
    }

    /// What we count and remember for a room.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn room_state(&self, room: &str) -> Result<RoomState, StoreError> {
        self.view("read what is known of a room", |conn| {
            let mut read =
                conn.prepare_cached("SELECT incarnation, seq, token FROM rooms WHERE room = ?1")?;
            let mut rows = read.query([room])?;
            let Some(row) = rows.next()? else { return Ok(RoomState::default()) };
            let number = |n: i64| u64::try_from(n).unwrap_or(0);
            Ok(RoomState { incarnation: number(row.get(0)?), seq: number(row.get(1)?), token: row.get(2)? })
        })
    }
}

const MESSAGE: &str = "SELECT event, room, what, run, item, at_ms FROM room_messages";

fn message(row: &Row<'_>) -> Result<RoomMessage, RowError> {
    Ok(RoomMessage {
        event: row.get(0)?,
        room: row.get(1)?,
        what: row.get(2)?,
        run: maybe_ulid(row, 3)?.map(RunId),
        item: row.get(4)?,
        at_ms: row.get(5)?,
    })
}

fn entries(mut rows: Rows<'_>) -> Result<Vec<OutboxEntry>, RowError> {
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> Result<OutboxEntry, RowError> {
    Ok(OutboxEntry {
        id: row.get(0)?,
        message: Outgoing {
            room: row.get(1)?,
            priority: priority(row.get(2)?),
            what: row.get(3)?,
            run: maybe_ulid(row, 4)?.map(RunId),
            item: row.get(5)?,
            payload: row.get(6)?,
            due_ms: row.get(7)?,
        },
        tries: row.get(8)?,
    })
}
