//! What is kept about rooms: the outbox, the runs that they follow, our messages there, where reading goes on.
//!
//! Owns the rows, and how changes of them become durable with the events that caused them. Knows nothing of
//! who sends, or what a message says.

use rusqlite::{Connection, params};

use super::error::StoreError;
use super::values::rank;
use super::writer::Writer;
use cis_core::api::{Outgoing, Priority, RoomWrite, SealedEvent};
use cis_core::ids::RunId;

impl Writer {
    /// Changes what is kept about rooms, durable with this transaction.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn room(&mut self, write: &RoomWrite) -> Result<(), StoreError> {
        self.change("keep what a room was told", |conn| apply(conn, write))
    }

    /// Whether anything waits to be sent.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outbox_waits(&self) -> Result<bool, StoreError> {
        self.query("read the outbox", |conn| {
            conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox)")?.query_row((), |row| row.get(0))
        })
    }
}

fn apply(conn: &Connection, write: &RoomWrite) -> rusqlite::Result<()> {
    match write {
        RoomWrite::Follow { run, room, from } => {
            leave(conn, *run, Some(room))?;
            // In a room that followed it at any time, its journal goes on. Another one has nothing of it.
            conn.prepare_cached(
                "INSERT INTO room_runs (run, room, told, published, journal)
                     SELECT ?1, ?2, ?3, coalesce(max(published), ?3), coalesce(max(journal), '')
                     FROM left_journals WHERE run = ?1 AND room = ?2
                 ON CONFLICT (run) DO UPDATE SET
                     told = iif(room = ?2, told, max(told, ?3)),
                     published = iif(room = ?2, published, excluded.published),
                     journal = iif(room = ?2, journal, excluded.journal),
                     room = ?2",
            )?
            .execute(params![run.0.to_bytes(), room, from])?;
            conn.prepare_cached("DELETE FROM left_journals WHERE run = ?1 AND room = ?2")?
                .execute(params![run.0.to_bytes(), room])?;
        }
        RoomWrite::Unfollow { run } => {
            leave(conn, *run, None)?;
            conn.prepare_cached("DELETE FROM room_runs WHERE run = ?1")?.execute([run.0.to_bytes()])?;
        }
        RoomWrite::Void { run } => {
            apply(conn, &RoomWrite::Unfollow { run: *run })?;
            conn.prepare_cached("DELETE FROM left_journals WHERE run = ?1")?.execute([run.0.to_bytes()])?;
        }
        RoomWrite::Queue(message) => queue(conn, message)?,
        // If another room follows the run by now, this says nothing about that room.
        RoomWrite::Told { run, room, offset } => {
            conn.prepare_cached("UPDATE room_runs SET told = max(told, ?2) WHERE run = ?1 AND room = ?3")?
                .execute(params![run.0.to_bytes(), offset, room])?;
        }
        RoomWrite::Published { run, room, offset, journal } => {
            // A room that the run has left meanwhile gets the last part of its journal still.
            for table in ["room_runs", "left_journals"] {
                conn.prepare_cached(&format!(
                    "UPDATE {table} SET published = ?2, journal = ?3 WHERE run = ?1 AND room = ?4"
                ))?
                .execute(params![run.0.to_bytes(), offset, journal, room])?;
            }
        }
        RoomWrite::Whole { run, journal } => {
            conn.prepare_cached(
                "UPDATE room_runs SET journal = ?2,
                     told = (SELECT max(offset) FROM events WHERE run = ?1), published = (SELECT max(offset) FROM events WHERE run = ?1)
                 WHERE run = ?1",
            )?
            .execute(params![run.0.to_bytes(), journal])?;
        }
        RoomWrite::Broken { run, room } => {
            conn.prepare_cached("DELETE FROM left_journals WHERE run = ?1 AND room = ?2")?
                .execute(params![run.0.to_bytes(), room])?;
            conn.prepare_cached("UPDATE room_runs SET journal = '' WHERE run = ?1 AND room = ?2")?
                .execute(params![run.0.to_bytes(), room])?;
        }
        RoomWrite::Numbered { room, incarnation, seq } => {
            conn.prepare_cached(
                "INSERT INTO rooms (room, incarnation, seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT (room) DO UPDATE SET incarnation = ?2, seq = ?3",
            )?
            .execute(params![room, number(*incarnation), number(*seq)])?;
        }
        RoomWrite::Settle { id, message } => {
            conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])?;
            if let Some(message) = message {
                conn.prepare_cached(
                    "INSERT INTO room_messages (event, room, what, run, item, at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (event) DO NOTHING",
                )?
                .execute(params![
                    message.event,
                    message.room,
                    message.what,
                    message.run.map(|run| run.0.to_bytes()),
                    message.item,
                    message.at_ms
                ])?;
            }
        }
        RoomWrite::Postpone { id, due_ms } => {
            conn.prepare_cached("UPDATE outbox SET due_ms = ?2, tries = tries + 1 WHERE id = ?1")?
                .execute(params![id, due_ms])?;
        }
        RoomWrite::Hasten { room, due_ms } => {
            conn.prepare_cached("UPDATE outbox SET due_ms = ?2 WHERE room = ?1 AND due_ms > ?2")?
                .execute(params![room, due_ms])?;
        }
        RoomWrite::Read { room, token } => {
            conn.prepare_cached(
                "INSERT INTO rooms (room, incarnation, seq, token) VALUES (?1, 0, 0, ?2)
                 ON CONFLICT (room) DO UPDATE SET token = ?2",
            )?
            .execute(params![room, token])?;
        }
        RoomWrite::Sealed { room, events, since_ms } => {
            conn.prepare_cached("DELETE FROM room_sealed WHERE room = ?1 OR sent_ms < ?2")?
                .execute(params![room, since_ms])?;
            let mut insert = conn.prepare_cached(
                "INSERT OR IGNORE INTO room_sealed (room, event, sender, session, sent_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for SealedEvent { event, sender, session, sent_ms } in events {
                insert.execute(params![room, event, sender, session, sent_ms])?;
            }
        }
    }
    Ok(())
}

fn queue(conn: &Connection, message: &Outgoing) -> rusqlite::Result<()> {
    let run = message.run.map(|run| run.0.to_bytes());
    if message.payload.is_empty() {
        let same = "SELECT 1 FROM outbox WHERE run IS ?1 AND what = ?2 AND item IS ?3 AND room = ?4";
        if conn.prepare_cached(same)?.exists(params![run, message.what, message.item, message.room])? {
            return Ok(());
        }
    } else if message.item.is_some() {
        // What is ready is said about a thing once, be it sent by now.
        let same = "SELECT 1 FROM outbox WHERE run IS ?1 AND what = ?2 AND item IS ?3 AND room = ?4
                    UNION ALL
                    SELECT 1 FROM room_messages WHERE run IS ?1 AND what = ?2 AND item IS ?3 AND room = ?4";
        if conn.prepare_cached(same)?.exists(params![run, message.what, message.item, message.room])? {
            return Ok(());
        }
    }
    conn.prepare_cached(
        "INSERT INTO outbox (room, priority, what, run, item, payload, due_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        message.room,
        rank(message.priority),
        message.what,
        run,
        message.item,
        message.payload,
        message.due_ms
    ])?;
    Ok(())
}

/// The room that followed a run, if that is another one than `now`, is to be told that it does no more: once, and with
/// what caused it. Where its journal stands there is remembered.
fn leave(conn: &Connection, run: RunId, now: Option<&str>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO outbox (room, priority, what, run, item, payload, due_ms)
         SELECT room, ?3, 'left', run, NULL, '', 0 FROM room_runs WHERE run = ?1 AND room IS NOT ?2",
    )?
    .execute(params![run.0.to_bytes(), now, rank(Priority::Terminal)])?;
    // What the room that it leaves has not been told is tried again some times, however often it was put off before.
    conn.prepare_cached(
        "UPDATE outbox SET tries = 0
         WHERE run = ?1 AND room IN (SELECT room FROM room_runs WHERE run = ?1 AND room IS NOT ?2)",
    )?
    .execute(params![run.0.to_bytes(), now])?;
    conn.prepare_cached(
        "INSERT INTO left_journals (run, room, published, journal)
         SELECT run, room, published, journal FROM room_runs WHERE run = ?1 AND room IS NOT ?2
         ON CONFLICT (run, room) DO UPDATE SET published = excluded.published, journal = excluded.journal",
    )?
    .execute(params![run.0.to_bytes(), now])?;
    Ok(())
}

/// SQLite's integers have a sign.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
