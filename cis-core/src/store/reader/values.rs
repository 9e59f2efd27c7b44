//! Single values of rows: ids, states, JSON.

use rusqlite::Row;
use serde::de::DeserializeOwned;
use ulid::Ulid;

use crate::ids::TaskId;
use crate::store::error::RowError;

/// A ULID.
pub(in crate::store) fn ulid(row: &Row<'_>, column: usize) -> Result<Ulid, RowError> {
    Ok(Ulid::from_bytes(row.get(column)?))
}

/// A ULID, where there is one.
pub(in crate::store) fn maybe_ulid(row: &Row<'_>, column: usize) -> Result<Option<Ulid>, RowError> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Ulid::from_bytes))
}

/// A named value, such as a state.
pub(super) fn named<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, RowError> {
    let text = text(row, column)?;
    parse(text).ok_or_else(|| RowError::Shape(format!("unknown name `{text}`")))
}

/// A task's name.
pub(in crate::store) fn task(row: &Row<'_>, column: usize) -> Result<TaskId, RowError> {
    TaskId::new(text(row, column)?).map_err(|e| RowError::Shape(e.to_string()))
}

/// A JSON value; the default where there is none.
pub(in crate::store) fn json<T: DeserializeOwned + Default>(
    row: &Row<'_>,
    column: usize,
) -> Result<T, RowError> {
    match row.get_ref(column)?.as_str_or_null() {
        Ok(Some(text)) => Ok(serde_json::from_str(text)?),
        Ok(None) => Ok(T::default()),
        Err(error) => Err(RowError::Shape(error.to_string())),
    }
}

/// Text, not copied.
pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, RowError> {
    row.get_ref(column)?.as_str().map_err(|e| RowError::Shape(e.to_string()))
}
