//! Events as they were stored, in chunks; bodies are not parsed.

use rusqlite::OptionalExtension;
use rusqlite::types::ToSql;

use super::Reader;
use crate::error::StoreError;
use crate::values::{EVENT_COLUMNS, event};
use cis_core::event::{Event, EventBody, RunCreated};
use cis_core::ids::{InputId, Offset, RunId, SessionId};

impl Reader {
    /// At most `limit` events after an offset, of one run or of all, in order. Fewer than `limit`: these
    /// were the last. What is void of a run is left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn events(&self, after: Offset, run: Option<RunId>, limit: usize) -> Result<Vec<Event>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        match run {
            Some(run) => {
                let id = run.0.to_bytes();
                self.rows(
                    "WHERE run = ?1 AND offset > ?2 AND offset >= (SELECT key FROM runs WHERE id = ?1)
                     ORDER BY offset LIMIT ?3",
                    &[&id, &after, &limit],
                )
            }
            None => self.rows("WHERE offset > ?1 ORDER BY offset LIMIT ?2", &[&after, &limit]),
        }
    }

    /// Returns how a run began when the store first heard of it, also if that is void since.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn first_created(&self, run: RunId) -> Result<Option<RunCreated>, StoreError> {
        let first = self.rows(
            "WHERE run = ?1 AND type = 'cis.dag.run.created' ORDER BY offset LIMIT 1",
            &[&run.0.to_bytes()],
        )?;
        Ok(first.first().and_then(|event| match event.decode() {
            Ok(EventBody::RunCreated(created)) => Some(*created),
            _ => None,
        }))
    }

    /// Returns the results of a run's attempts that the store ever heard of, and that it was paused, cancelled, ended or taken over, also
    /// what is void since, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn outcomes_ever(&self, run: RunId) -> Result<Vec<Event>, StoreError> {
        self.rows(
            "WHERE run = ?1 AND type IN ('cis.dag.task.result', 'cis.dag.run.paused', 'cis.dag.run.cancelling', 'cis.dag.run.completed',
                'cis.dag.run.failed', 'cis.dag.run.error', 'cis.dag.run.cancelled', 'cis.dag.run.taken_over')
             ORDER BY offset",
            &[&run.0.to_bytes()],
        )
    }

    /// Returns the events that a run's history is folded from, in order: actions of people and sessions, and the
    /// events that they refer to. This includes refused requests of the run's sessions, and those that name the
    /// run.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn history_events(&self, run: RunId) -> Result<Vec<Event>, StoreError> {
        let id = run.0.to_bytes();
        let mut events = self.rows(
            "WHERE run = ?1 AND offset >= (SELECT key FROM runs WHERE id = ?1)
                AND type <> 'cis.dag.session.said' AND (actor IS NOT NULL
                OR type IN ('cis.dag.session.blocked', 'cis.dag.session.ask_withdrawn', 'cis.dag.session.answer_void',
                    'cis.dag.run.cancelling', 'cis.dag.run.completed', 'cis.dag.run.failed', 'cis.dag.run.error',
                    'cis.dag.run.cancelled')
                OR type = 'cis.dag.task.status' AND instr(body, '\"kind\":\"approval'))
             ORDER BY offset",
            &[&id],
        )?;
        let refused = self.rows(
            "INDEXED BY events_audit WHERE actor IS NOT NULL AND type = 'cis.dag.node.denied'
                AND at_ms BETWEEN (SELECT created_ms FROM runs WHERE id = ?1)
                    AND (SELECT coalesce(ended_ms, 9223372036854775807) FROM runs WHERE id = ?1)
             ORDER BY offset",
            &[&id],
        )?;
        let name = run.to_string();
        for event in refused {
            let session = event.actor.as_ref().and_then(|actor| actor.name.parse().ok());
            let is_ours = match session {
                Some(session) => self.is_session_of(session, run)?,
                None => false,
            };
            if is_ours || event.body.get().contains(&name) {
                events.push(event);
            }
        }
        events.sort_by_key(|event| event.offset);
        Ok(events)
    }

    fn is_session_of(&self, session: SessionId, run: RunId) -> Result<bool, StoreError> {
        self.view("look a session up", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT 1 FROM sessions s JOIN runs r ON r.key = s.run WHERE s.id = ?1 AND r.id = ?2",
            )?;
            Ok(read.exists((session.0.to_bytes(), run.0.to_bytes()))?)
        })
    }

    /// How many events a run has.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn event_count(&self, run: RunId) -> Result<usize, StoreError> {
        self.view("count what happened to a run", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT count(*) FROM events WHERE run = ?1 AND offset >= (SELECT key FROM runs WHERE id = ?1)",
            )?;
            let count: i64 = read.query_row([run.0.to_bytes()], |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or(0))
        })
    }

    /// What somebody asked for or was refused, newest first: at most `limit` before an offset (none: from
    /// the newest on).
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn audit(&self, before: Option<Offset>, limit: usize) -> Result<Vec<Event>, StoreError> {
        let before = before.and_then(|offset| i64::try_from(offset).ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.rows(
            "WHERE actor IS NOT NULL AND offset < ?1 ORDER BY at_ms DESC, offset DESC LIMIT ?2",
            &[&before, &limit],
        )
    }

    /// Offset of the newest event of a run; 0: it has none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest_of(&self, run: RunId) -> Result<Offset, StoreError> {
        self.view("find the newest event of a run", |conn| {
            let mut read =
                conn.prepare_cached("SELECT coalesce(max(offset), 0) FROM events WHERE run = ?1")?;
            Ok(read.query_row([run.0.to_bytes()], |row| row.get(0))?)
        })
    }

    /// Offset of the newest event; 0: there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn last_offset(&self) -> Result<Offset, StoreError> {
        self.view("find the newest event", |conn| Ok(crate::append::newest(conn)?))
    }

    /// What an input made, where it was taken.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find_input(&self, input: InputId) -> Result<Option<String>, StoreError> {
        self.view("look an input up", |conn| {
            Ok(conn
                .prepare_cached("SELECT what FROM inputs WHERE id = ?1")?
                .query_row([input.0.to_bytes()], |row| row.get(0))
                .optional()?)
        })
    }

    fn rows(&self, which: &str, params: &[&dyn ToSql]) -> Result<Vec<Event>, StoreError> {
        self.view("read events", |conn| {
            let mut read = conn.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM events {which}"))?;
            let mut rows = read.query(params)?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(event(row)?);
            }
            Ok(events)
        })
    }
}
