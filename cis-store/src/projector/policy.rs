//! Rows of the rules of the node's own policy.

use rusqlite::{Connection, params};

use crate::error::RowError;
use cis_core::event::NodeRule;
use cis_core::ids::TimestampMs;

/// A rule was added, or (none) removed. Its row stays, so that its number is not given again.
pub(super) fn changed(
    conn: &Connection,
    at_ms: TimestampMs,
    number: u32,
    rule: Option<&NodeRule>,
    by: &str,
) -> Result<(), RowError> {
    let rule = rule.map(serde_json::to_string).transpose()?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO policy_rules (number, rule, by, since_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![number, rule, by, at_ms])?;
    Ok(())
}
