//! Copies the write-ahead log into the database, away from the thread that writes.
//!
//! A passive checkpoint never waits for the writer and never makes it wait. Its price is that, while
//! the writer goes on, it never reaches the end, so the log would not start over; when it has grown
//! long, [`Pulse`] asks the writer to copy the small rest in a moment of its choice.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::error::StoreError;
use super::pulse::{Pace, Pulse};
use super::schema;
use super::writer::Writer;

/// 64 MB of log are long.
const PACE: Pace = Pace { events: 4000, pages_long: 16_384, idle: Duration::from_secs(2) };

/// The thread that checkpoints. Dropping it ends it, with a last checkpoint that cuts the log.
#[derive(Debug)]
pub struct Checkpointer {
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts it for the store of `writer`.
    ///
    /// # Errors
    /// No connection or thread can be had.
    pub fn start(writer: &Writer) -> Result<Self, StoreError> {
        Self::start_at(writer, PACE)
    }

    pub(super) fn start_at(writer: &Writer, pace: Pace) -> Result<Self, StoreError> {
        let path = writer.path().to_owned();
        let conn = schema::open_checkpointer(&path)?;
        let pulse = writer.pulse();
        pulse.every.store(pace.events, Ordering::Relaxed);
        let of_thread = Arc::clone(&pulse);
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || work(&conn, &of_thread, pace))
            .map_err(|e| StoreError::io(&path, &e))?;
        Ok(Self { pulse, thread: Some(thread) })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        *self.pulse.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.pulse.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(conn: &Connection, pulse: &Pulse, pace: Pace) {
    // What an earlier process left is cut, too, once nobody writes.
    let mut is_cut = false;
    while let Some(idle) = pulse.next(pace, is_cut) {
        pulse.events.store(0, Ordering::SeqCst);
        is_cut = false;
        match checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)") {
            // All is copied: cutting the log takes microseconds.
            Ok((pages, copied)) if idle && copied >= pages => is_cut = cut(conn),
            Ok((pages, _)) => {
                if pages >= pace.pages_long {
                    pulse.ask();
                }
            }
            Err(error) => tracing::warn!(%error, "cannot checkpoint the store; it is tried again"),
        }
        pulse.passes.fetch_add(1, Ordering::SeqCst);
    }
    cut(conn);
}

/// Cuts the log if nobody uses it just now. Says whether it did.
fn cut(conn: &Connection) -> bool {
    let busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    conn.busy_timeout(Duration::ZERO)
        .and_then(|()| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), busy))
        .is_ok_and(|busy| busy == 0)
}

/// Pages in the log, and how many of them are copied.
fn checkpoint(conn: &Connection, sql: &str) -> rusqlite::Result<(i64, i64)> {
    conn.query_row(sql, (), |row| Ok((row.get(1)?, row.get(2)?)))
}
