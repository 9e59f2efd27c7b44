//! From what a person in a room types to the one thing that is meant: of the room's own runs, and of nothing else.
//!
//! Names are those of everywhere ([`super::find`], [`super::find_item`]), but what belongs to another room, or to none,
//! does not exist here: it neither hides what is meant nor is it told.

use super::Reader;
use super::find::fits;
use super::inbox::{KnownItem, select};
use crate::error::StoreError;
use crate::values::{maybe_ulid, ulid};
use cis_core::ids::{InboxId, RunId, SessionId, TaskId};
use rusqlite::params;

/// So many of a room's newest runs, and of what waits in them, are looked at.
const LOOKED_AT: u32 = 1000;

/// A part of an id has at least so many characters.
const ID_CHARS_MIN: usize = 4;

/// So many candidates are named.
const CANDIDATES: usize = 8;

/// What a name means in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InRoom<T> {
    /// This.
    One(T),
    /// Nothing of this room.
    Nothing,
    /// One of these, by names that tell them apart.
    Several(Vec<String>),
}

impl<T> InRoom<T> {
    fn of(mut found: Vec<T>, name: impl Fn(&T) -> String) -> Self {
        if found.len() > 1 {
            return Self::Several(found.iter().take(CANDIDATES).map(name).collect());
        }
        found.pop().map_or(Self::Nothing, Self::One)
    }
}

/// A run of a room, as far as it is needed to be found.
struct Known {
    run: RunId,
    dag: String,
    open: bool,
}

/// The newest try of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestTry {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Its number; 0: there was none.
    pub number: u32,
    /// Its session.
    pub session: Option<SessionId>,
}

impl Reader {
    /// The run of a room that a person means: by the name of its DAG, of which an open one is meant, or else
    /// the newest; or by its id, the beginning or the last characters of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn run_in_room(&self, room: &str, name: &str) -> Result<InRoom<RunId>, StoreError> {
        let runs = self.known_in_room(room)?;
        let of_dag = || runs.iter().filter(|known| known.dag == name);
        let mut found: Vec<&Known> = of_dag().filter(|known| known.open).collect();
        if found.is_empty() {
            found = of_dag().take(1).collect();
        }
        // Shorter ones are names rather than parts of ids.
        if found.is_empty() && name.len() >= ID_CHARS_MIN {
            found = runs.iter().filter(|known| fits(known.run.0, name)).collect();
        }
        let found = found.into_iter().map(|known| known.run).collect();
        Ok(InRoom::of(found, |run: &RunId| run.short()))
    }

    fn known_in_room(&self, room: &str) -> Result<Vec<Known>, StoreError> {
        self.view("look runs of a room up", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT id, dag, ended_ms IS NULL FROM runs
                 WHERE id IN (SELECT run FROM room_runs WHERE room = ?1) ORDER BY key DESC LIMIT ?2",
            )?;
            let mut rows = read.query(params![room, LOOKED_AT])?;
            let mut known = Vec::new();
            while let Some(row) = rows.next()? {
                known.push(Known { run: RunId(ulid(row, 0)?), dag: row.get(1)?, open: row.get(2)? });
            }
            Ok(known)
        })
    }

    /// What waits for a human in the runs of a room, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open_in_room(&self, room: &str) -> Result<Vec<KnownItem>, StoreError> {
        let which = format!(
            "closed_ms IS NULL AND run IN (SELECT run FROM room_runs WHERE room = ?1) ORDER BY key LIMIT {LOOKED_AT}"
        );
        self.view("read what waits in a room", |conn| select(conn, &which, &[&room]))
    }

    /// The item of a room's run that a person means: its letters or the first of them, its task, `RUN:TASK`, or its
    /// session. Of those that are over only one by all its letters.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn item_in_room(&self, room: &str, name: &str) -> Result<InRoom<KnownItem>, StoreError> {
        let open = self.open_in_room(room)?;
        let letters = name.to_ascii_lowercase();
        let ways: [&dyn Fn(&KnownItem) -> bool; 4] = [
            &|known| known.item.id.0 == letters,
            &|known| is_of(known, name),
            &|known| known.item.id.0.starts_with(&letters),
            &|known| {
                let session = known.item.session.filter(|_| name.len() >= ID_CHARS_MIN);
                session.is_some_and(|session| fits(session.0, name))
            },
        ];
        for way in ways {
            let found: Vec<KnownItem> = open.iter().filter(|known| way(known)).cloned().collect();
            if !found.is_empty() {
                return Ok(InRoom::of(found, |known| known.item.id.0.clone()));
            }
        }
        if letters.len() != InboxId::LETTERS {
            return Ok(InRoom::Nothing);
        }
        let which =
            "id = ?1 AND run IN (SELECT run FROM room_runs WHERE room = ?2) ORDER BY key DESC LIMIT 1";
        let over = self.view("look an item up", |conn| select(conn, which, &[&letters, &room]))?;
        Ok(InRoom::of(over, |known| known.item.id.0.clone()))
    }

    /// The session of a room's run that a person means, live or not: by its id, the beginning or the last characters.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn session_in_room(&self, room: &str, name: &str) -> Result<InRoom<SessionId>, StoreError> {
        let sessions = self.view("look a session of a room up", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT s.id FROM room_runs m JOIN runs r ON r.id = m.run JOIN tasks t ON t.run = r.key
                 JOIN sessions s ON s.id = t.session WHERE m.room = ?1 ORDER BY s.id DESC LIMIT ?2",
            )?;
            let mut rows = read.query(params![room, LOOKED_AT])?;
            let mut sessions = Vec::new();
            while let Some(row) = rows.next()? {
                sessions.push(SessionId(ulid(row, 0)?));
            }
            Ok(sessions)
        })?;
        let fits = |session: &SessionId| name.len() >= ID_CHARS_MIN && fits(session.0, name);
        Ok(InRoom::of(sessions.into_iter().filter(fits).collect(), |session| session.short()))
    }

    /// The newest try of a task in a room: of this run, or of the newest that has such a task.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn try_in_room(
        &self,
        room: &str,
        run: Option<RunId>,
        task: &str,
    ) -> Result<Option<NewestTry>, StoreError> {
        self.view("look a task of a room up", |conn| {
            let mut read = conn.prepare_cached(
                "SELECT r.id, t.id, t.attempts, t.session FROM room_runs m
                 JOIN runs r ON r.id = m.run JOIN tasks t ON t.run = r.key
                 WHERE m.room = ?1 AND t.id = ?2 AND (?3 IS NULL OR r.id = ?3) ORDER BY r.key DESC LIMIT 1",
            )?;
            let mut rows = read.query(params![room, task, run.map(|run| run.0.to_bytes())])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let task: String = row.get(1)?;
            let Ok(task) = TaskId::new(&task) else { return Ok(None) };
            Ok(Some(NewestTry {
                run: RunId(ulid(row, 0)?),
                task,
                number: row.get(2)?,
                session: maybe_ulid(row, 3)?.map(SessionId),
            }))
        })
    }
}

/// Whether an item is of the task that is named, by its own name or as `RUN:TASK`.
fn is_of(known: &KnownItem, name: &str) -> bool {
    let (run, task) = name.split_once(':').map_or((None, name), |(run, task)| (Some(run), task));
    let is_run = |part: &str| known.item.run.is_some_and(|run: RunId| fits(run.0, part));
    known.item.task.as_ref().is_some_and(|id| id.as_str() == task) && run.is_none_or(is_run)
}
