//! What the events refer to: which blobs are needed, and by whom; which runs have ended, and when.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, absolute};

use rusqlite::{Connection, OptionalExtension as _};
use ulid::Ulid;

use super::refuse;
use crate::error::{RowError, StoreError};
use crate::schema;
use crate::values::{maybe_ulid, task, ulid};
use cis_core::event::EventBody;
use cis_core::ids::{BlobId, Offset, RunId, SessionId, TaskId, TimestampMs};

/// A blob's name as bytes.
type Name = [u8; 32];

/// Characters of a blob's name.
const NAME_CHARS: usize = 64;

/// Logs that were not in the backup that the home was restored from: those of all runs and sessions that had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Newest event in the backup.
    pub offset: Offset,
    /// When the backup was made, Unix ms.
    pub made_ms: TimestampMs,
}

impl LeftOut {
    /// Key of the note in the table `meta`.
    pub(crate) const KEY: &str = "logs_left_out";

    fn read(conn: &Connection) -> Result<Option<Self>, RowError> {
        let mut read = conn.prepare("SELECT value FROM meta WHERE key = ?1")?;
        let note = read.query_row([Self::KEY], |row| row.get::<_, String>(0)).optional()?;
        let parse = |note: String| {
            let (offset, made_ms) = note.split_once(' ')?;
            Some(Self { offset: offset.parse().ok()?, made_ms: made_ms.parse().ok()? })
        };
        Ok(note.and_then(parse))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.offset, self.made_ms)
    }
}

/// What a run needs.
#[derive(Debug, Clone, Default)]
pub struct RunUse {
    /// When it ended, Unix ms; none: it has not.
    pub ended_ms: Option<TimestampMs>,
    /// What it left was removed, and it was not run again since.
    pub cleaned: bool,
    /// What it left was removed at some time.
    pub was_cleaned: bool,
    /// It had ended when the backup was made that the home was restored from.
    had_ended: bool,
    names: BTreeMap<Name, Named>,
}

/// When a run named a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// At its beginning: it cannot run without.
    First,
    /// Since its last cleaning.
    Since,
    /// Before that, or in a list of files that nodes of a room share: it may be gone or elsewhere, and the run need not miss it.
    Optional,
}

/// What is needed, and by whom.
#[derive(Debug, Clone, Default)]
pub struct Census {
    /// Every run.
    pub runs: BTreeMap<RunId, RunUse>,
    /// Sessions without a run, and when they ended.
    pub sessions: BTreeMap<SessionId, Option<TimestampMs>>,
    /// Those whose logs were removed.
    pub cleaned_sessions: BTreeSet<SessionId>,
    left_out: Option<LeftOut>,
    /// Named outside of runs.
    others: HashSet<Name>,
    /// Named where only a blob can stand.
    sure: HashSet<Name>,
}

/// A log that there should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Run, task and number of the attempt; none: a session without a run.
    pub attempt: Option<(RunId, TaskId, u32)>,
    /// Its session.
    pub session: SessionId,
    /// Bytes of output, those cut from the log included.
    pub bytes: u64,
    /// When the session ended, Unix ms.
    pub ended_ms: Option<TimestampMs>,
    /// Another node ran it, and has the log. A copy may be here.
    pub is_elsewhere: bool,
}

impl RunUse {
    fn name(&mut self, name: Name, when: Named) {
        let named = self.names.entry(name).or_insert(when);
        if *named == Named::Optional {
            *named = when;
        }
    }
}

impl Census {
    /// Takes it from the store at `path`, at one moment, also while a node writes. Reads every event once.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let path = absolute(path).map_err(|e| StoreError::io(path, &e))?;
        refuse::refuse_damaged_unless_in_use(&path)?;
        let conn = schema::open_reader(&path)?;
        schema::version(&path, &conn)?;
        let read = || {
            let moment = conn.unchecked_transaction()?;
            let mut census = Self::default();
            census.read_runs(&moment)?;
            census.read_events(&moment)?;
            census.read_outbox(&moment)?;
            Ok(census)
        };
        read().map_err(|e: RowError| e.at(&path, "find what its events refer to"))
    }

    /// How often each blob is needed: once for each run that is not cleaned, and once by all others together.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for run in self.runs.values().filter(|run| !run.cleaned) {
            for name in run.names.keys() {
                *needs.count.entry(*name).or_default() += 1;
            }
        }
        for name in &self.others {
            *needs.count.entry(*name).or_default() += 1;
        }
        needs.known = self.runs.values().flat_map(|run| run.names.keys()).copied().collect();
        needs
    }

    /// The blobs that this run names.
    pub fn of_run(&self, run: RunId) -> impl Iterator<Item = BlobId> + '_ {
        self.runs.get(&run).into_iter().flat_map(|run| run.names.keys()).map(|name| BlobId(hex::encode(name)))
    }

    /// Whether it should be there: events name it as a blob, and not only before a cleaning. Of what else looks like one (a hash among a task's outputs) nobody
    /// can say that it should be there.
    #[must_use]
    pub fn is_blob(&self, id: &BlobId) -> bool {
        let should = |name: &Name| {
            let by = |run: &RunUse| run.names.get(name).is_some_and(|named| *named != Named::Optional);
            self.others.contains(name) || self.runs.values().any(|run| !run.cleaned && by(run))
        };
        name_of(&id.0).is_some_and(|name| self.sure.contains(&name) && should(&name))
    }

    /// Ids of runs, and of sessions without a run, that have not ended.
    pub fn open(&self) -> impl Iterator<Item = String> + '_ {
        let runs = self.runs.iter().filter(|(_, run)| run.ended_ms.is_none()).map(|(id, _)| id.to_string());
        let sessions = self.sessions.iter().filter(|(_, ended)| ended.is_none());
        runs.chain(sessions.map(|(id, _)| id.to_string()))
    }

    /// Whether a log was not in the backup that the home was restored from.
    #[must_use]
    pub fn was_left_out(&self, record: &LogRecord) -> bool {
        let had_ended = match &record.attempt {
            // A run that had ended may have been run again since.
            Some((run, _, _)) => self.runs.get(run).is_some_and(|run| run.had_ended),
            None => true,
        };
        self.left_out.is_some_and(|out| had_ended && record.ended_ms.is_some_and(|at| at <= out.made_ms))
    }

    fn read_runs(&mut self, conn: &Connection) -> Result<(), RowError> {
        let mut read = conn.prepare("SELECT id, ended_ms FROM runs")?;
        let mut rows = read.query(())?;
        while let Some(row) = rows.next()? {
            let run = RunUse { ended_ms: row.get(1)?, ..RunUse::default() };
            self.runs.insert(RunId(ulid(row, 0)?), run);
        }
        let mut read = conn.prepare("SELECT id, ended_ms FROM sessions WHERE run IS NULL")?;
        let mut rows = read.query(())?;
        while let Some(row) = rows.next()? {
            self.sessions.insert(SessionId(ulid(row, 0)?), row.get(1)?);
        }
        Ok(())
    }

    fn read_events(&mut self, conn: &Connection) -> Result<(), RowError> {
        self.left_out = LeftOut::read(conn)?;
        let in_backup = self.left_out.map_or(0, |left_out| left_out.offset);
        let mut read = conn.prepare("SELECT run, type, body, offset FROM events ORDER BY offset")?;
        let mut rows = read.query(())?;
        while let Some(row) = rows.next()? {
            let body = row.get_ref(2)?.as_str().map_err(|e| RowError::Shape(e.to_string()))?;
            let kind = row.get_ref(1)?.as_str().map_err(|e| RowError::Shape(e.to_string()))?;
            let run = maybe_ulid(row, 0)?.map(RunId);
            if kind == "cis.dag.node.cleaned" {
                self.cleaned(kind, body);
                continue;
            }
            let mut run = run.and_then(|run| self.runs.get_mut(&run));
            if let ("cis.dag.run.retried", Some(run)) = (kind, &mut run) {
                run.cleaned = false;
            }
            if let Some(run) = &mut run
                && row.get::<_, Offset>(3)? <= in_backup
            {
                match kind {
                    "cis.dag.run.created" | "cis.dag.run.retried" => run.had_ended = false,
                    "cis.dag.run.completed"
                    | "cis.dag.run.failed"
                    | "cis.dag.run.error"
                    | "cis.dag.run.cancelled" => run.had_ended = true,
                    _ => {}
                }
            }
            let when = if kind == "cis.dag.run.created" { Named::First } else { Named::Since };
            let shared =
                if kind == "cis.dag.task.result" { shared_files(kind, body) } else { HashSet::new() };
            for (name, sure) in names_in(body) {
                let when = if shared.contains(&name) { Named::Optional } else { when };
                match &mut run {
                    Some(run) => run.name(name, when),
                    None => drop(self.others.insert(name)),
                }
                if sure {
                    self.sure.insert(name);
                }
            }
        }
        Ok(())
    }

    fn cleaned(&mut self, kind: &str, body: &str) {
        let Ok(EventBody::NodeCleaned { runs, sessions, .. }) = EventBody::from_parts(kind, body) else {
            return;
        };
        for run in runs {
            if let Some(run) = self.runs.get_mut(&run) {
                (run.cleaned, run.was_cleaned) = (true, true);
                let since = run.names.values_mut().filter(|named| **named == Named::Since);
                since.for_each(|named| *named = Named::Optional);
            }
        }
        self.cleaned_sessions.extend(sessions);
    }

    fn read_outbox(&mut self, conn: &Connection) -> Result<(), RowError> {
        let mut read = conn.prepare("SELECT payload FROM outbox")?;
        let mut rows = read.query(())?;
        while let Some(row) = rows.next()? {
            let payload = row.get_ref(0)?.as_str().unwrap_or_default();
            self.others.extend(names_in(payload).map(|(name, _)| name));
        }
        Ok(())
    }
}

/// Blobs and how often they are needed.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    count: BTreeMap<Name, u32>,
    known: HashSet<Name>,
}

impl Needs {
    /// Somebody else needs it.
    pub fn add(&mut self, id: &BlobId) {
        if let Some(name) = name_of(&id.0) {
            *self.count.entry(name).or_default() += 1;
        }
    }

    /// One of those who needed it needs it no more. Says whether it was the last.
    pub fn remove(&mut self, id: &BlobId) -> bool {
        let Some(name) = name_of(&id.0) else { return false };
        let Some(count) = self.count.get_mut(&name) else { return false };
        *count -= 1;
        if *count == 0 {
            self.count.remove(&name);
            return true;
        }
        false
    }

    /// Whether somebody needs it.
    #[must_use]
    pub fn has(&self, id: &BlobId) -> bool {
        name_of(&id.0).is_some_and(|name| self.count.contains_key(&name))
    }

    /// Whether a run names it, be it cleaned or not.
    #[must_use]
    pub fn was_known(&self, id: &BlobId) -> bool {
        name_of(&id.0).is_some_and(|name| self.known.contains(&name))
    }

    /// All that are needed, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.count.keys().map(|name| BlobId(hex::encode(name)))
    }
}

/// The logs that there should be by the store at `path`, of sessions that have ended.
///
/// # Errors
/// The store cannot be read.
pub fn logs(path: &Path) -> Result<Vec<LogRecord>, StoreError> {
    refuse::refuse_damaged_unless_in_use(path)?;
    let conn = schema::open_reader(path)?;
    let read = || {
        let mut read = conn.prepare(
            "SELECT s.id, r.id, t.id, s.attempt, s.log_bytes, s.ended_ms, s.run IS NOT NULL AND p.host IS NULL FROM sessions s
                LEFT JOIN runs r ON r.key = s.run LEFT JOIN tasks t ON t.run = s.run AND t.idx = s.task
                LEFT JOIN places p ON p.key = s.place
             WHERE s.log_bytes > 0 ORDER BY s.id",
        )?;
        let mut rows = read.query(())?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let run = maybe_ulid(row, 1)?.map(RunId);
            let attempt = match (run, row.get::<_, Option<u32>>(3)?) {
                (Some(run), Some(number)) => Some((run, task(row, 2)?, number)),
                _ => None,
            };
            let session = SessionId(ulid(row, 0)?);
            found.push(LogRecord {
                attempt,
                session,
                bytes: row.get(4)?,
                ended_ms: row.get(5)?,
                is_elsewhere: row.get(6)?,
            });
        }
        Ok(found)
    };
    read().map_err(|e: RowError| e.at(path, "list the logs that there should be"))
}

/// Whether a session is there and has not ended.
///
/// # Errors
/// The store cannot be read.
pub fn live_sessions(path: &Path, of: &[SessionId]) -> Result<BTreeSet<SessionId>, StoreError> {
    refuse::refuse_damaged_unless_in_use(path)?;
    let conn = schema::open_reader(path)?;
    let read = || {
        let mut read = conn.prepare("SELECT 1 FROM sessions WHERE id = ?1 AND ended_ms IS NULL")?;
        let mut live = BTreeSet::new();
        for session in of {
            if read.exists([session.0.to_bytes()])? {
                live.insert(*session);
            }
        }
        Ok(live)
    };
    read().map_err(|e: RowError| e.at(path, "look sessions up"))
}

/// Key of the note in the table `meta` of when a person learned which runs and sessions the store has lost, Unix ms.
pub const LOST_BEFORE: &str = "lost_before_ms";

/// Returns those of `runs` and `sessions` of which the store has no row and no event. `only_news`: without those that are older than
/// the note [`LOST_BEFORE`]. None of a store that has another version: its tables may have another shape.
///
/// # Errors
/// The store cannot be read.
pub fn unknown(
    path: &Path,
    runs: &BTreeSet<RunId>,
    sessions: &BTreeSet<SessionId>,
    only_news: bool,
) -> Result<(Vec<RunId>, Vec<SessionId>), StoreError> {
    if runs.is_empty() && sessions.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    refuse::refuse_damaged_unless_in_use(path)?;
    let conn = schema::open_reader(path)?;
    if schema::version(path, &conn)? != schema::newest() {
        return Ok((Vec::new(), Vec::new()));
    }
    let read = || {
        // The key of a task that this node has for another one begins with the run and a slash, and `0` follows the slash.
        let mut of_run = conn.prepare(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM runs WHERE id = ?1) OR EXISTS (SELECT 1 FROM events WHERE run = ?1)
             OR EXISTS (SELECT 1 FROM held WHERE task > ?2 || '/' AND task < ?2 || '0')",
        )?;
        let mut of_session = conn.prepare("SELECT 1 FROM sessions WHERE id = ?1")?;
        let known = conn.query_row("SELECT value FROM meta WHERE key = ?1", [LOST_BEFORE], |row| row.get(0));
        let known: Option<String> = known.optional()?.filter(|_| only_news);
        let known_ms = known.and_then(|value| value.parse().ok()).unwrap_or(0);
        let counts = |id: &Ulid| id.timestamp_ms() > known_ms;
        let mut unknown = (Vec::new(), Vec::new());
        for run in runs.iter().filter(|run| counts(&run.0)) {
            if !of_run.exists((run.0.to_bytes(), run.to_string()))? {
                unknown.0.push(*run);
            }
        }
        for session in sessions.iter().filter(|session| counts(&session.0)) {
            if !of_session.exists([session.0.to_bytes()])? {
                unknown.1.push(*session);
            }
        }
        Ok(unknown)
    };
    read().map_err(|e: RowError| e.at(path, "look runs and sessions up"))
}

/// The contents that a result names and the nodes of a room share: those of another node are here only once somebody has read them.
fn shared_files(kind: &str, body: &str) -> HashSet<Name> {
    if !body.contains("\"files\":") {
        return HashSet::new();
    }
    match EventBody::from_parts(kind, body) {
        Ok(EventBody::TaskResult(result)) if result.files.is_some() => {
            result.artifacts.iter().filter_map(|file| name_of(&file.blob.0)).collect()
        }
        _ => HashSet::new(),
    }
}

/// Keys whose values are blobs.
const BLOB_KEYS: [&str; 3] = ["\"spec\":", "\"base_env\":", "\"blob\":"];

/// Every JSON string of `text` that has the shape of a blob's name, and whether it is sure that it is one.
/// What only looks like one keeps nothing but a file of that name.
fn names_in(text: &str) -> impl Iterator<Item = (Name, bool)> + '_ {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'"', bytes).filter_map(|quote| {
        let end = quote + 1 + NAME_CHARS;
        let name =
            (bytes.get(end) == Some(&b'"')).then(|| text.get(quote + 1..end).and_then(name_of)).flatten()?;
        Some((name, BLOB_KEYS.iter().any(|key| text[..quote].ends_with(key))))
    })
}

fn name_of(text: &str) -> Option<Name> {
    let lower = text.len() == NAME_CHARS && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut name = [0; 32];
    (lower && hex::decode_to_slice(text, &mut name).is_ok()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let (a, b) = ("a".repeat(64), "0123456789abcdef".repeat(4));
        let text = format!(
            r#"{{"spec":"{a}","x":["{b}","{}","{a}0"],"{}":1,"y":"é{}"}}"#,
            "g".repeat(64),
            "A".repeat(64),
            "a".repeat(62)
        );
        let found: Vec<(String, bool)> =
            names_in(&text).map(|(name, sure)| (hex::encode(name), sure)).collect();
        assert_eq!(found, [(a, true), (b, false)]);
        assert_eq!(names_in("\"").count(), 0);
    }

    #[test]
    fn a_blob_is_needed_as_long_as_one_needs_it() {
        let mut needs = Needs::default();
        let id = BlobId("ab".repeat(32));
        needs.add(&id);
        needs.add(&id);
        assert!(!needs.remove(&id) && needs.has(&id));
        assert!(needs.remove(&id) && !needs.has(&id));
        assert!(!needs.remove(&id));
    }
}
