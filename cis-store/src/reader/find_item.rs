//! From what a person types to the one item of the inbox that is meant.
//!
//! Its six letters, or the first of them where no other open item begins so; one that is closed only by all of
//! them. Letters with `@` and a whole id behind them: the one of that session, or of that run where it is an
//! approval; so programs name it, as two items may have the same letters. Where there is no such item: what a session
//! waits at, by any name of it, or what a task waits at, by `RUN:TASK`; if it waits at nothing, what it waited at last.

use rusqlite::ToSql;
use ulid::Ulid;

use super::Reader;
use super::inbox::{KnownItem, select};
use crate::error::StoreError;
use cis_core::api::InboxItem;
use cis_core::ids::InboxId;

/// So many candidates are named.
const CANDIDATES: usize = 8;

/// What is looked for.
const WHAT: &str = "item of the inbox";

impl Reader {
    /// The item that a person means.
    ///
    /// # Errors
    /// None or several fit; or the store cannot be read.
    pub fn item(&self, name: &str) -> Result<KnownItem, StoreError> {
        if let Some((letters, of)) = name.split_once('@')
            && let Ok(of) = of.parse::<Ulid>()
        {
            return self.item_of(letters, of, name);
        }
        let letters = name.to_ascii_lowercase();
        let found = self.by_letters(&letters)?;
        let exact: Vec<&KnownItem> = found.iter().filter(|known| known.item.id.0 == letters).collect();
        match (exact.as_slice(), found.as_slice()) {
            ([only], _) => Ok((*only).clone()),
            ([], [only]) => Ok(only.clone()),
            ([], []) => self.by_owner(name),
            _ => Err(several(name, &found)),
        }
    }

    /// Open items that begin so, or the newest closed one of these letters.
    fn by_letters(&self, letters: &str) -> Result<Vec<KnownItem>, StoreError> {
        let may_be = (1..=InboxId::LETTERS).contains(&letters.len());
        if !may_be || !letters.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Ok(Vec::new());
        }
        self.view("look an item up", |conn| {
            let end = format!("{letters}{{");
            let open = select(conn, "closed_ms IS NULL AND id >= ?1 AND id < ?2", &[&letters, &end])?;
            if !open.is_empty() {
                return Ok(open);
            }
            let mut closed = select(conn, "id = ?1 ORDER BY key DESC", &[&letters])?;
            closed.truncate(1);
            Ok(closed)
        })
    }

    /// The newest item of these letters and this session, or of the approvals of this run.
    fn item_of(&self, letters: &str, of: Ulid, asked: &str) -> Result<KnownItem, StoreError> {
        let (letters, of) = (letters.to_ascii_lowercase(), of.to_bytes());
        let which = "id = ?1 AND (session = ?2 OR (session IS NULL AND run = ?2)) ORDER BY closed_ms IS NULL DESC, key DESC";
        let found = self.view("look an item up", |conn| select(conn, which, &[&letters, &of]))?;
        found.into_iter().next().ok_or_else(|| missing(asked))
    }

    /// What a session or a task waits at, or waited at last: that says why there is nothing to answer.
    fn by_owner(&self, name: &str) -> Result<KnownItem, StoreError> {
        let look = |which: &str, of: &[&dyn ToSql]| {
            let open = format!("closed_ms IS NULL AND {which} ORDER BY since_ms, key");
            let last = format!("closed_ms IS NOT NULL AND {which} ORDER BY closed_ms DESC, key DESC LIMIT 1");
            self.view("look an item up", |conn| {
                let found = select(conn, &open, of)?;
                if found.is_empty() { select(conn, &last, of) } else { Ok(found) }
            })
        };
        let found = if let Some((run, task)) = name.split_once(':') {
            let run = self.find_run(run)?.id.0.to_bytes();
            look("run = ?1 AND task = ?2", &[&run, &task])?
        } else {
            match self.find_session(name) {
                Ok(session) => look("session = ?1", &[&session.id.0.to_bytes()])?,
                Err(StoreError::NotFound { .. }) => Vec::new(),
                Err(other) => return Err(other),
            }
        };
        // What it does not go on without comes first.
        let at: Vec<&KnownItem> = found.iter().filter(|known| known.item.episode.is_some()).collect();
        match (at.as_slice(), found.as_slice()) {
            ([only], _) => Ok((*only).clone()),
            ([], [only]) => Ok(only.clone()),
            ([], []) => Err(missing(name)),
            _ => Err(several(name, &found)),
        }
    }
}

fn missing(name: &str) -> StoreError {
    StoreError::NotFound { what: WHAT, name: name.chars().take(100).collect() }
}

fn several(name: &str, found: &[KnownItem]) -> StoreError {
    let name = name.chars().take(100).collect();
    let candidates = found.iter().take(CANDIDATES).map(|known| describe(&known.item)).collect();
    StoreError::Ambiguous { what: WHAT, name, candidates }
}

/// An item as a candidate, with what else it can be called.
fn describe(item: &InboxItem) -> String {
    let of = match (&item.run, &item.task, &item.session) {
        (Some(run), Some(task), _) => format!("{}:{task}", run.short()),
        (_, _, Some(session)) => session.short(),
        _ => "no session".to_owned(),
    };
    format!("{} ({} of {of})", item.id, item.kind)
}
