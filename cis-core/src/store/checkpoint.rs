//! Copies the write-ahead log into the database, away from the thread that writes.
//!
//! A passive checkpoint never waits for the writer and never makes it wait. Its price is that, while
//! the writer goes on, it never reaches the end, so the log would not start over; when it has grown
//! long, [`Pulse`] asks the writer to copy the small rest in a moment of its choice.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::error::StoreError;
use super::schema;
use super::writer::Writer;

/// When the log is copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// After so many appended events. Each costs about 3 pages of the log.
    pub(super) events: usize,
    /// From so many pages on the writer is asked to help the log start over.
    pub(super) pages_long: i64,
    /// After so long without a commit everything is copied and the log cut to nothing.
    pub(super) idle: Duration,
}

/// 64 MB of log are long.
const PACE: Pace = Pace { events: 4000, pages_long: 16_384, idle: Duration::from_secs(2) };

/// What writer and checkpointer tell each other.
#[derive(Debug)]
pub(super) struct Pulse {
    /// [`Pace::events`].
    every: AtomicUsize,
    /// Events since the last copy.
    events: AtomicUsize,
    /// The checkpointer sleeps until the next commit.
    asleep: AtomicBool,
    /// The writer is asked to copy the rest.
    request: AtomicBool,
    /// Counts the copies.
    passes: AtomicUsize,
    stop: Mutex<bool>,
    wake: Condvar,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            every: AtomicUsize::new(usize::MAX),
            events: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            request: AtomicBool::new(false),
            passes: AtomicUsize::new(0),
            stop: Mutex::new(false),
            wake: Condvar::new(),
        }
    }
}

impl Pulse {
    /// The writer committed that many events. Cheap: it wakes the other only when there is work.
    pub(super) fn beat(&self, events: usize) {
        let before = self.events.fetch_add(events.max(1), Ordering::SeqCst);
        let every = self.every.load(Ordering::Relaxed);
        let due = before < every && before + events.max(1) >= every;
        if due || self.asleep.load(Ordering::SeqCst) {
            // Taking the lock keeps the wake from falling between the other's look and its sleep.
            drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner));
            self.asleep.store(false, Ordering::SeqCst);
            self.wake.notify_one();
        }
    }

    /// Whether the writer was asked to copy the rest; it is asked once.
    pub(super) fn take_request(&self) -> bool {
        self.request.load(Ordering::Relaxed) && self.request.swap(false, Ordering::Relaxed)
    }

    /// Asks the writer.
    pub(super) fn ask(&self) {
        self.request.store(true, Ordering::Relaxed);
    }

    /// How often the log was copied.
    #[cfg(test)]
    pub(super) fn passes(&self) -> usize {
        self.passes.load(Ordering::SeqCst)
    }

    /// Sleeps until there is something to copy. None: it is to end. Some(true): nobody writes now.
    /// `cut`: the log is empty, so without a commit there is nothing to do, ever.
    fn next(&self, pace: Pace, cut: bool) -> Option<bool> {
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *stop {
                return None;
            }
            // Said before the look: either the writer sees it, or the look sees the writer's events.
            self.asleep.store(true, Ordering::SeqCst);
            let events = self.events.load(Ordering::SeqCst);
            if events == 0 && cut {
                stop = self.wake.wait(stop).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            self.asleep.store(false, Ordering::SeqCst);
            if events >= pace.events {
                return Some(false);
            }
            let (guard, timeout) =
                self.wake.wait_timeout(stop, pace.idle).unwrap_or_else(PoisonError::into_inner);
            stop = guard;
            if timeout.timed_out() && self.events.load(Ordering::SeqCst) == events && !*stop {
                return Some(true);
            }
        }
    }
}

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

/// For maintenance: everything into the database file, the log cut.
pub(super) fn flush(path: &Path, conn: &Connection) -> Result<bool, StoreError> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0))
        .map(|busy| busy == 0)
        .map_err(|e| StoreError::sql(path, "checkpoint", &e))
}
