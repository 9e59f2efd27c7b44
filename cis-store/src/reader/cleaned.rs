//! Whether what a run or session left was removed, when, and by which rule.

use rusqlite::params;

use super::Reader;
use crate::error::StoreError;
use crate::values::text;
use cis_core::event::EventBody;
use cis_core::ids::{RunId, SessionId, TimestampMs};

/// What is known of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// When, Unix ms.
    pub at_ms: TimestampMs,
    /// By which rule, in words.
    pub rule: String,
}

impl Reader {
    /// The newest removal of what a run, or a session without one, had left; none: there was none. It looks
    /// at everything that somebody asked for: for the rare case that something is not there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn cleaned(
        &self,
        run: Option<RunId>,
        session: Option<SessionId>,
    ) -> Result<Option<Cleaned>, StoreError> {
        let name = run.map(|run| run.to_string()).or(session.map(|session| session.to_string()));
        let kind = "cis.dag.node.cleaned";
        self.view("look for what was removed", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT at_ms, body FROM events
                 WHERE actor IS NOT NULL AND type = ?1 AND instr(body, ?2) ORDER BY at_ms DESC",
            )?;
            let mut rows = read.query(params![kind, name.unwrap_or_default()])?;
            while let Some(row) = rows.next()? {
                let body = EventBody::from_parts(kind, text(row, 1)?)?;
                let EventBody::NodeCleaned { rule, runs, sessions } = body else { continue };
                let it = run.is_some_and(|run| runs.contains(&run))
                    || session.is_some_and(|session| sessions.contains(&session));
                if it {
                    return Ok(Some(Cleaned { at_ms: row.get(0)?, rule }));
                }
            }
            Ok(None)
        })
    }
}
