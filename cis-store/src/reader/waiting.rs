//! What live sessions waited at, for a node that takes them over.

use std::collections::BTreeMap;

use super::Reader;
use super::inbox::{InboxFilter, KnownItem};
use crate::error::StoreError;
use crate::values::ulid;
use cis_core::ids::SessionId;

/// What a live session waited at when somebody wrote last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waited {
    /// Number of its newest prompt.
    pub newest: u32,
    /// What is open of it, oldest first.
    pub open: Vec<KnownItem>,
}

impl Reader {
    /// Of every session that has not ended and had a prompt or asked something: what is known of that.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn waited(&self) -> Result<BTreeMap<SessionId, Waited>, StoreError> {
        let mut all: BTreeMap<SessionId, Waited> = BTreeMap::new();
        for known in self.open_items(InboxFilter::default())? {
            if let Some(session) = known.item.session {
                all.entry(session).or_default().open.push(known);
            }
        }
        let newest = self.view("read the prompts of live sessions", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT i.session, max(i.episode) FROM inbox i JOIN sessions s ON s.id = i.session
                 WHERE s.ended_ms IS NULL AND i.episode IS NOT NULL GROUP BY i.session",
            )?;
            let mut rows = read.query(())?;
            let mut newest = Vec::new();
            while let Some(row) = rows.next()? {
                newest.push((SessionId(ulid(row, 0)?), row.get(1)?));
            }
            Ok(newest)
        })?;
        for (session, episode) in newest {
            all.entry(session).or_default().newest = episode;
        }
        Ok(all)
    }
}
