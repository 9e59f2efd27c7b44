//! The outbox: what waits to leave the machine, in the tables of its causes.
//!
//! Owns the rows. Knows nothing of rooms or of who sends.

use rusqlite::params;

use super::error::StoreError;
use super::writer::Writer;
use crate::api::{Outbox, OutboxEntry, Priority};
use crate::ids::TimestampMs;

/// The most urgent first.
pub(super) fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::Human => 1,
        Priority::Terminal => 2,
        Priority::Progress => 3,
    }
}

fn priority(rank: i64) -> Priority {
    match rank {
        1 => Priority::Human,
        2 => Priority::Terminal,
        _ => Priority::Progress,
    }
}

/// Settling and postponing are part of the present transaction: durable with [`Writer::commit`].
impl Outbox for Writer {
    type Error = StoreError;

    fn due(&mut self, now_ms: TimestampMs, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query("read the outbox", |conn| {
            conn.prepare_cached(
                "SELECT id, target, priority, payload, due_ms, tries FROM outbox
                 WHERE due_ms <= ?1 ORDER BY priority, due_ms, id LIMIT ?2",
            )?
            .query_map([now_ms, limit], |row| {
                Ok(OutboxEntry {
                    id: row.get(0)?,
                    target: row.get(1)?,
                    priority: priority(row.get(2)?),
                    payload: row.get(3)?,
                    due_ms: row.get(4)?,
                    tries: row.get(5)?,
                })
            })?
            .collect()
        })
    }

    fn settle(&mut self, id: i64) -> Result<(), StoreError> {
        self.change("settle an entry", |conn| {
            conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id]).map(|_| ())
        })
    }

    fn postpone(&mut self, id: i64, due_ms: TimestampMs) -> Result<(), StoreError> {
        self.change("postpone an entry", |conn| {
            conn.prepare_cached("UPDATE outbox SET due_ms = ?2, tries = tries + 1 WHERE id = ?1")?
                .execute(params![id, due_ms])
                .map(|_| ())
        })
    }
}
