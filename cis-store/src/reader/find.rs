//! From what a person types to the one run or session that is meant.
//!
//! A run: its id, the beginning of it (any case), its last six characters or more, or the name of its
//! DAG. A session: the same, or the name it was given, or a task of an open run that it works on, or
//! `RUN/TASK`. Open runs and live sessions come before ended ones of the same name, never before an id.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use ulid::Ulid;

use super::sessions::LIVE;
use super::{Reader, runs};
use crate::error::{RowError, StoreError};
use crate::values::ulid;
use cis_core::api::{RunView, SessionView};
use cis_core::ids::{RunId, SessionId};

/// Characters of a ULID.
const ULID_CHARS: usize = 26;

/// The beginning of an id counts from so many characters on, so that `1` can be a name.
const HEAD_CHARS: usize = 4;

/// The end of an id counts from so many characters on: what [`RunId::short`] gives.
const TAIL_CHARS: usize = 6;

/// So many candidates are named, and one more is looked for.
const CANDIDATES: usize = 8;

/// Things that fit, by id, with how to tell them apart.
type Found = BTreeMap<Ulid, String>;

impl Reader {
    /// The run that a person means.
    ///
    /// # Errors
    /// None or several fit; or the store cannot be read.
    pub fn find_run(&self, name: &str) -> Result<RunView, StoreError> {
        let found = self.view("look a run up", |conn| find_run(conn, name))?;
        self.run(RunId(only("run", name, found)?))
    }

    /// The session that a person means.
    ///
    /// # Errors
    /// None or several fit; or the store cannot be read.
    pub fn find_session(&self, name: &str) -> Result<SessionView, StoreError> {
        if let Some((run, task)) = name.split_once('/') {
            return self.newest_session_of(self.find_run(run)?.id, task, name);
        }
        let found = self.view("look a session up", |conn| find_session(conn, name))?;
        self.session(SessionId(only("session", name, found)?))
    }

    /// Session of the newest attempt of a task, live or not.
    fn newest_session_of(&self, run: RunId, task: &str, asked: &str) -> Result<SessionView, StoreError> {
        let found = self.view("look a session up", |conn| {
            let sql = "SELECT t.session, t.id, t.state FROM tasks t JOIN runs r ON r.key = t.run
                       WHERE r.id = ?1 AND t.id = ?2 AND t.session IS NOT NULL";
            collect(conn, sql, params![run.0.to_bytes(), task])
        })?;
        self.session(SessionId(only("session", asked, found)?))
    }
}

fn find_run(conn: &Connection, name: &str) -> Result<Found, RowError> {
    let mut found = Found::new();
    if let Some((low, high)) = range(name) {
        let sql = "SELECT id, dag, state FROM runs WHERE id BETWEEN ?1 AND ?2 LIMIT 9";
        found.append(&mut collect(conn, sql, params![low.to_bytes(), high.to_bytes()])?);
    }
    if let Some(tails) = tails(name) {
        let sql = "SELECT id, dag, state FROM runs WHERE substr(id, 13) IN (?1, ?2, ?3, ?4) LIMIT 100";
        found.append(&mut collect(conn, sql, params![tails[0], tails[1], tails[2], tails[3]])?);
        found.retain(|id, _| fits(*id, name));
    }
    if found.is_empty() || name.len() < ULID_CHARS {
        let open = "SELECT id, dag, state FROM runs WHERE dag = ?1 AND ended_ms IS NULL LIMIT 9";
        let any = "SELECT id, dag, state FROM runs WHERE dag = ?1 ORDER BY key DESC LIMIT 9";
        found.append(&mut first_of(conn, [open, any], name)?);
    }
    Ok(found)
}

fn find_session(conn: &Connection, name: &str) -> Result<Found, RowError> {
    let mut found = Found::new();
    if let Some((low, high)) = range(name) {
        let sql = "SELECT id, coalesce(name, ''), state FROM sessions WHERE id BETWEEN ?1 AND ?2 LIMIT 9";
        found.append(&mut collect(conn, sql, params![low.to_bytes(), high.to_bytes()])?);
    }
    if let Some(tails) = tails(name) {
        // An index for this would cost every attempt a page; the newest are looked at first.
        for newest in [100_000, i64::MAX] {
            let sql = "SELECT id, coalesce(name, ''), state FROM
                           (SELECT id, name, state FROM sessions ORDER BY id DESC LIMIT ?5)
                       WHERE substr(id, 13) IN (?1, ?2, ?3, ?4) LIMIT 100";
            found.append(&mut collect(conn, sql, params![tails[0], tails[1], tails[2], tails[3], newest])?);
            found.retain(|id, _| fits(*id, name));
            if !found.is_empty() {
                break;
            }
        }
    }
    if found.is_empty() || name.len() < ULID_CHARS {
        let live = format!(
            "SELECT s.id, coalesce(s.name, t.id), s.state FROM sessions s
                LEFT JOIN tasks t ON t.run = s.run AND t.idx = s.task
             WHERE s.id IN ({LIVE}) AND s.ended_ms IS NULL AND (s.name = ?1 OR t.id = ?1) LIMIT 9"
        );
        let any = "SELECT id, name, state FROM sessions WHERE name = ?1 ORDER BY id DESC LIMIT 9";
        found.append(&mut first_of(conn, [&live, any], name)?);
    }
    Ok(found)
}

/// What the first of the queries finds that finds anything.
fn first_of(conn: &Connection, queries: [&str; 2], name: &str) -> Result<Found, RowError> {
    let found = collect(conn, queries[0], params![name])?;
    if found.is_empty() { collect(conn, queries[1], params![name]) } else { Ok(found) }
}

fn collect(conn: &Connection, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Found, RowError> {
    let mut read = conn.prepare_cached(sql)?;
    let mut rows = read.query(params)?;
    let mut found = Found::new();
    while let Some(row) = rows.next()? {
        found.insert(ulid(row, 0)?, runs::describe(row)?);
    }
    Ok(found)
}

fn only(what: &'static str, name: &str, found: Found) -> Result<Ulid, StoreError> {
    let name = || name.chars().take(100).collect::<String>();
    let mut ids = found.keys();
    match (ids.next(), ids.next()) {
        (None, _) => Err(StoreError::NotFound { what, name: name() }),
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => {
            let mut candidates: Vec<String> = found.into_values().rev().collect();
            if candidates.len() > CANDIDATES {
                candidates.truncate(CANDIDATES);
                candidates.push("…".to_owned());
            }
            Err(StoreError::Ambiguous { what, name: name(), candidates })
        }
    }
}

/// Value of a character of Crockford's base 32, in either case.
fn digit(byte: u8) -> Option<u128> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    ALPHABET.iter().position(|b| *b == byte.to_ascii_uppercase()).map(|at| at as u128)
}

/// `text` as a number in base 32; none where it is no part of a ULID.
fn number(text: &str) -> Option<u128> {
    if text.is_empty() || text.len() > ULID_CHARS {
        return None;
    }
    text.bytes().try_fold(0_u128, |sum, byte| {
        // 26 digits are 130 bits: the first one of a whole id is below 8.
        sum.checked_mul(32)?.checked_add(digit(byte)?)
    })
}

/// The ids that begin with `text`.
fn range(text: &str) -> Option<(Ulid, Ulid)> {
    let start = number(text).filter(|_| text.len() >= HEAD_CHARS)?;
    let free = 5 * (ULID_CHARS - text.len()) as u32;
    let low = start.checked_mul(1 << free)?;
    Some((Ulid(low), Ulid(low | ((1 << free) - 1))))
}

/// The four last bytes that an id ending in the last characters of `text` can have: six characters are 30 bits.
fn tails(text: &str) -> Option<[[u8; 4]; 4]> {
    if text.len() < TAIL_CHARS || text.len() >= ULID_CHARS || !text.is_ascii() {
        return None;
    }
    let low = u32::try_from(number(&text[text.len() - TAIL_CHARS..])?).ok()?;
    number(text)?;
    Some([0, 1, 2, 3].map(|top: u32| (low | (top << 30)).to_be_bytes()))
}

/// Whether an id begins or ends with `text`.
pub(super) fn fits(id: Ulid, text: &str) -> bool {
    let (id, text) = (id.to_string(), text.to_ascii_uppercase());
    id.starts_with(&text) || id.ends_with(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_and_ends_of_ids_are_numbers() {
        let id: Ulid = "01JD0V3Z8K6T9W2B5N7Q4R1XEC".parse().unwrap();
        assert_eq!(range("01J"), None);
        for length in 4..=26 {
            let (low, high) = range(&id.to_string()[..length]).unwrap();
            assert!(low <= id && id <= high, "{length}");
        }
        assert_eq!(range(&id.to_string()), Some((id, id)));
        let (low, high) = range("01jd0v3z8l").unwrap_or((id, id));
        assert_eq!((low, high), (id, id), "`l` is no digit");
        let end: [u8; 4] = id.to_bytes()[12..].try_into().unwrap();
        assert!(tails("4r1xec").unwrap().contains(&end));
        assert!(tails("q4r1xec").unwrap().contains(&end) && fits(id, "q4r1xec"));
        for bad in ["", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "ä", "hello world", "01JD0V3Z8K6T9W2B5N7Q4R1XECX"] {
            assert_eq!((range(bad), tails(bad)), (None, None), "{bad:?}");
        }
    }
}
