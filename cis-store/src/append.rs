//! Rows of the table of events: the one place where they are written.

use rusqlite::{Connection, params};
use serde_json::value::RawValue;
use ulid::Ulid;

use super::error::RowError;
use super::sum::Columns;
use cis_core::event::{Event, EventDraft, SCHEMA_VERSION};
use cis_core::ids::Offset;

/// Offset of the newest event.
pub(super) fn newest(conn: &Connection) -> rusqlite::Result<Offset> {
    conn.query_row("SELECT coalesce(max(offset), 0) FROM events", (), |row| row.get(0))
}

/// Appends an event.
pub(super) fn insert_event(
    conn: &Connection,
    offset: Offset,
    draft: &EventDraft,
    id: Ulid,
) -> Result<Event, RowError> {
    let event = Event {
        offset,
        id,
        run: draft.run,
        v: SCHEMA_VERSION,
        type_name: draft.body.type_name().to_owned(),
        at_ms: draft.at_ms,
        actor: draft.actor.clone(),
        cause: draft.cause,
        body: RawValue::from_string(draft.body.body_json()?)?,
    };
    insert_stored(conn, &event)?;
    Ok(event)
}

/// Puts an event where it says it is.
pub(super) fn insert_stored(conn: &Connection, event: &Event) -> Result<(), RowError> {
    let actor = event.actor.as_ref().map(serde_json::to_string).transpose()?;
    let run = event.run.map(|run| run.0.to_bytes());
    let cause = event.cause.map(|cause| cause.0.to_bytes());
    let sum = Columns {
        offset: i64::try_from(event.offset).map_err(|e| RowError::Shape(e.to_string()))?,
        id: &event.id.to_bytes(),
        run: run.as_ref().map(<[u8; 16]>::as_slice),
        v: i64::from(event.v),
        kind: event.type_name.as_bytes(),
        at_ms: event.at_ms,
        actor: actor.as_ref().map(String::as_bytes),
        cause: cause.as_ref().map(<[u8; 16]>::as_slice),
        body: event.body.get().as_bytes(),
    }
    .sum();
    conn.prepare_cached(
        "INSERT INTO events (offset, id, run, v, type, at_ms, actor, cause, body, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        event.offset,
        event.id.to_bytes(),
        run,
        event.v,
        event.type_name,
        event.at_ms,
        actor,
        cause,
        event.body.get(),
        sum,
    ])?;
    Ok(())
}
