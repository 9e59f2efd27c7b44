//! Copies what can be read of a store, damaged or not.

use rusqlite::{Connection, Row, params, params_from_iter, types::Value};

use crate::ids::Offset;
use crate::store::append::insert_stored;
use crate::store::error::RowError;
use crate::store::reader::{EVENT_COLUMNS, event};

/// So far beyond the last event that was found others are looked for one by one, when the end of the
/// table cannot be read.
const BLIND_MAX: i64 = 200_000;

/// Which events were saved.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) events: u64,
    /// Offsets that cannot be read, as ranges.
    pub(super) lost: Vec<(Offset, Offset)>,
    /// The end of the table cannot be read: nobody knows how many came after.
    pub(super) end_lost: bool,
}

/// Copies events in the order of their offsets; where a page stops that, from the other end; and
/// what lies between, one by one.
pub(super) fn events(from: &Connection, to: &Connection) -> Result<Saved, RowError> {
    let mut saved = Saved::default();
    let (low, whole) = sweep(from, to, "ORDER BY offset", 0, &mut saved)?;
    if whole {
        return Ok(saved);
    }
    let (high, _) = sweep(from, to, "ORDER BY offset DESC", low, &mut saved)?;
    saved.end_lost = high == 0;
    let end = if high == 0 { low.saturating_add(BLIND_MAX) } else { high };
    let mut read = match from.prepare(&format!("SELECT {EVENT_COLUMNS} FROM events WHERE offset = ?1")) {
        Ok(read) => read,
        Err(_) => return Ok(saved),
    };
    for offset in low + 1..end {
        let found = read.query([offset]).and_then(|mut rows| match rows.next()? {
            Some(row) => Ok(Some(keep(row, to))),
            None => Ok(None),
        });
        match found {
            Ok(Some(kept)) => saved.count(offset, kept?),
            Ok(None) => {}
            // Beyond the last event that was found, nobody knows whether there were any.
            Err(_) if high == 0 => {}
            Err(_) => saved.lose(offset),
        }
    }
    Ok(saved)
}

/// Copies until the end or the first page that cannot be read. Gives the last offset copied (0: none) and
/// whether it was the end. The descending sweep ends at `until`.
fn sweep(
    from: &Connection,
    to: &Connection,
    order: &str,
    until: i64,
    saved: &mut Saved,
) -> Result<(i64, bool), RowError> {
    let mut last = 0;
    let Ok(mut read) = from.prepare(&format!("SELECT {EVENT_COLUMNS} FROM events WHERE offset > ?1 {order}"))
    else {
        return Ok((last, false));
    };
    let Ok(mut rows) = read.query([until]) else { return Ok((last, false)) };
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                last = row.get(0)?;
                let kept = keep(row, to)?;
                saved.count(last, kept);
            }
            Ok(None) => return Ok((last, true)),
            Err(_) => return Ok((last, false)),
        }
    }
}

/// Copies one event. Says whether it was whole.
fn keep(row: &Row<'_>, to: &Connection) -> Result<bool, RowError> {
    let Ok(event) = event(row) else { return Ok(false) };
    insert_stored(to, &event)?;
    Ok(true)
}

impl Saved {
    fn count(&mut self, offset: i64, whole: bool) {
        if whole {
            self.events += 1;
        } else {
            self.lose(offset);
        }
    }

    fn lose(&mut self, offset: i64) {
        let offset = Offset::try_from(offset).unwrap_or(0);
        match self.lost.last_mut() {
            Some((_, end)) if *end + 1 == offset => *end = offset,
            _ => self.lost.push((offset, offset)),
        }
    }
}

/// Tables that no event can make anew, with their columns.
const KEPT: &[(&str, &[&str])] = &[
    ("meta", &["key", "value"]),
    ("inputs", &["id", "what"]),
    ("outbox", &["id", "room", "priority", "what", "run", "item", "payload", "due_ms", "tries"]),
    ("room_runs", &["run", "room", "told", "published", "journal"]),
    ("room_messages", &["event", "room", "what", "run", "item", "at_ms"]),
    ("rooms", &["room", "incarnation", "seq", "token"]),
];

/// Copies the tables that no event can make anew, and what is known of sessions beside their events. Gives
/// the names of those that are not whole.
pub(super) fn rest(from: &Connection, to: &Connection) -> Result<Vec<String>, RowError> {
    let mut torn = Vec::new();
    for (table, columns) in KEPT {
        let names = columns.join(", ");
        let marks = vec!["?"; columns.len()].join(", ");
        let insert = format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})");
        if !copy(from, to, &format!("SELECT {names} FROM {table}"), columns.len(), &insert)? {
            torn.push((*table).to_owned());
        }
    }
    let select = "SELECT tty, cols, rows, command, log, id FROM sessions";
    let update = "UPDATE sessions SET tty = ?1, cols = ?2, rows = ?3, command = ?4, log = ?5 WHERE id = ?6";
    if !copy(from, to, select, 6, update)? {
        torn.push("sessions".to_owned());
    }
    // Ids of the outbox are never used twice: they are known elsewhere.
    let next = from
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'", (), |row| row.get::<_, i64>(0));
    if let Ok(next) = next {
        to.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'", ())?;
        to.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?1)", params![next])?;
    }
    Ok(torn)
}

/// Copies rows until the end or the first one that cannot be read. Says whether it was the end.
fn copy(
    from: &Connection,
    to: &Connection,
    select: &str,
    columns: usize,
    into: &str,
) -> Result<bool, RowError> {
    let Ok(mut read) = from.prepare(select) else { return Ok(false) };
    let Ok(mut rows) = read.query(()) else { return Ok(false) };
    let mut write = to.prepare(into)?;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let values = (0..columns).map(|n| row.get::<_, Value>(n)).collect::<Result<Vec<_>, _>>()?;
                write.execute(params_from_iter(values))?;
            }
            Ok(None) => return Ok(true),
            Err(_) => return Ok(false),
        }
    }
}
