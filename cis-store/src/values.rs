//! Single values of rows: ids, states, JSON; and an event of its row.

use rusqlite::Row;
use rusqlite::types::FromSqlError;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use ulid::Ulid;

use crate::error::RowError;
use crate::sum::Columns;
use cis_core::api::Priority;
use cis_core::event::{Actor, Event};
use cis_core::ids::{InputId, RunId, TaskId};

/// A ULID.
pub(crate) fn ulid(row: &Row<'_>, column: usize) -> Result<Ulid, RowError> {
    Ok(Ulid::from_bytes(row.get(column)?))
}

/// A ULID, where there is one.
pub(crate) fn maybe_ulid(row: &Row<'_>, column: usize) -> Result<Option<Ulid>, RowError> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Ulid::from_bytes))
}

/// A named value, such as a state.
pub(crate) fn named<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, RowError> {
    let text = text(row, column)?;
    parse(text).ok_or_else(|| RowError::Shape(format!("unknown name `{text}`")))
}

/// A task's name.
pub(crate) fn task(row: &Row<'_>, column: usize) -> Result<TaskId, RowError> {
    TaskId::new(text(row, column)?).map_err(|e| RowError::Shape(e.to_string()))
}

/// A JSON value; the default where there is none.
pub(crate) fn json<T: DeserializeOwned + Default>(row: &Row<'_>, column: usize) -> Result<T, RowError> {
    match row.get_ref(column)?.as_str_or_null() {
        Ok(Some(text)) => Ok(serde_json::from_str(text)?),
        Ok(None) => Ok(T::default()),
        Err(error) => Err(RowError::Shape(error.to_string())),
    }
}

/// Text, not copied.
pub(crate) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, RowError> {
    row.get_ref(column)?.as_str().map_err(|e| RowError::Shape(e.to_string()))
}

/// The most urgent first.
pub(crate) fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::Human => 1,
        Priority::Terminal => 2,
        Priority::Progress => 3,
    }
}

/// The other way round.
pub(crate) fn priority(rank: i64) -> Priority {
    match rank {
        1 => Priority::Human,
        2 => Priority::Terminal,
        _ => Priority::Progress,
    }
}

/// The columns that [`event`] reads.
pub(crate) const EVENT_COLUMNS: &str = "offset, id, run, v, type, at_ms, actor, cause, body, sum";

/// Place of the checksum among [`EVENT_COLUMNS`].
pub(crate) const SUM: usize = 9;

/// The event of a row. An event whose checksum is not that of its columns is an error.
pub(crate) fn event(row: &Row<'_>) -> Result<Event, RowError> {
    let shape = |error: FromSqlError| RowError::Shape(error.to_string());
    let columns = Columns {
        offset: row.get(0)?,
        id: row.get_ref(1)?.as_blob().map_err(shape)?,
        run: row.get_ref(2)?.as_blob_or_null().map_err(shape)?,
        v: row.get(3)?,
        kind: row.get_ref(4)?.as_bytes().map_err(shape)?,
        at_ms: row.get(5)?,
        actor: row.get_ref(6)?.as_bytes_or_null().map_err(shape)?,
        cause: row.get_ref(7)?.as_blob_or_null().map_err(shape)?,
        body: row.get_ref(8)?.as_bytes().map_err(shape)?,
    };
    if !columns.matches(row.get(SUM)?) {
        return Err(RowError::Shape(format!(
            "event {} is damaged: its checksum does not match",
            columns.offset
        )));
    }
    let actor: Option<Actor> = match row.get_ref(6)?.as_str_or_null() {
        Ok(Some(text)) => Some(serde_json::from_str(text)?),
        Ok(None) => None,
        Err(error) => return Err(RowError::Shape(error.to_string())),
    };
    Ok(Event {
        offset: row.get(0)?,
        id: ulid(row, 1)?,
        run: maybe_ulid(row, 2)?.map(RunId),
        v: row.get(3)?,
        type_name: text(row, 4)?.to_owned(),
        at_ms: row.get(5)?,
        actor,
        cause: maybe_ulid(row, 7)?.map(InputId),
        body: RawValue::from_string(text(row, 8)?.to_owned())?,
    })
}
