//! Runs and sessions that left files in the home, but are unknown to the store. They are recorded before they start, so the
//! store has lost its newest events: its write-ahead log was removed, for example, or an older copy of the store was put in place.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use super::error::UpkeepError;
use super::stock::session_of;
use crate::secret_file;
use cis_core::ids::{RunId, SessionId, TimestampMs};
use cis_host::exits;
use cis_host::protocol::Exit;
use cis_local::{Home, is_held};
use cis_store::{StoreError, Writer, maintenance};

/// While a node runs, files that are younger than this are left out: it may be about to record what they are of.
const YOUNG: Duration = Duration::from_secs(60);
/// Number of runs, and of sessions, that are named.
const NAMED_MAX: usize = 20;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownOwners {
    /// Runs with logs.
    pub runs: Vec<RunId>,
    /// Sessions with a log but without a run, and those whose end the session host noted.
    pub sessions: Vec<SessionId>,
}

impl UnknownOwners {
    /// Finds them by the names in the directory of logs, and by the notes of the session host. Without those that the last rebuild
    /// of the store named.
    ///
    /// # Errors
    /// The directory or the store cannot be read.
    pub fn find(home: &Home) -> Result<Self, UpkeepError> {
        Self::find_all(home, true)
    }

    /// Finds those that a rebuild which has just ended did not save. They are not found again.
    ///
    /// # Errors
    /// Those of [`Self::find`].
    pub fn after_rebuild(home: &Home) -> Result<Self, UpkeepError> {
        let found = Self::find_all(home, false)?;
        if !found.is_empty()
            && let Err(error) = note_known(home)
        {
            tracing::warn!(%error, "cannot note which runs the rebuild has named: they are named again");
        }
        Ok(found)
    }

    fn find_all(home: &Home, only_news: bool) -> Result<Self, UpkeepError> {
        let has_node = is_held(&home.node_lock()).unwrap_or(true);
        let since = if has_node { SystemTime::now().checked_sub(YOUNG) } else { None };
        // Files first: whatever they are of was recorded before they were made.
        let (runs, mut sessions) = owners(home, since).map_err(UpkeepError::file("read", &home.logs()))?;
        let since_ms = since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since_ms = since_ms.and_then(|since| TimestampMs::try_from(since.as_millis()).ok());
        let is_old = |exit: &Exit| since_ms.is_none_or(|since| exit.ended_ms < since);
        let ends = exits::read(&home.dir.join(exits::FILE)).into_iter();
        // What a task of another node's run did is recorded there.
        let is_elsewhere = |label: &str| {
            let run = label.split_once(':').and_then(|(run, _)| run.parse().ok());
            run.is_some_and(|run| is_of_another_node(home, run))
        };
        let counts = ends
            .filter(|known| known.exit.as_ref().is_some_and(is_old) && !is_elsewhere(&known.label))
            .map(|known| known.session);
        sessions.extend(counts);
        let (runs, sessions) = maintenance::unknown(&home.database(), &runs, &sessions, only_news)?;
        Ok(Self { runs, sessions })
    }

    /// Finds those with logs, for a node that starts: nothing of it is young.
    ///
    /// # Errors
    /// Those of [`Self::find`].
    pub(crate) fn at_start(home: &Home) -> Result<Self, UpkeepError> {
        let (runs, sessions) = owners(home, None).map_err(UpkeepError::file("read", &home.logs()))?;
        let (runs, sessions) = maintenance::unknown(&home.database(), &runs, &sessions, true)?;
        Ok(Self { runs, sessions })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.sessions.is_empty()
    }

    /// One line for each, and one for those above a limit.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let run = |run: &RunId| format!("the run {run} has logs, but the store has no event of it");
        let session =
            |session: &SessionId| format!("the session {session} ran, but the store has no event of it");
        let mut found = named(&self.runs, run, "runs");
        found.extend(named(&self.sessions, session, "sessions"));
        found
    }
}

fn named<T>(all: &[T], line: impl Fn(&T) -> String, kind: &str) -> Vec<String> {
    let mut lines: Vec<String> = all.iter().take(NAMED_MAX).map(line).collect();
    if let Some(more) = all.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        lines.push(format!("and {more} more such {kind}"));
    }
    lines
}

fn note_known(home: &Home) -> Result<(), StoreError> {
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut writer = Writer::open(&home.database())?;
    writer.set_meta(maintenance::LOST_BEFORE, &now_ms.to_string())?;
    writer.commit()?;
    writer.sync()
}

/// Whether only tasks of the run were executed here, for another node: the store need not know it.
fn is_of_another_node(home: &Home, run: RunId) -> bool {
    secret_file::has_no_value(&home.run_logs(run))
}

/// The runs and sessions that have logs. `since`: those changed since then are left out.
fn owners(home: &Home, since: Option<SystemTime>) -> io::Result<(BTreeSet<RunId>, BTreeSet<SessionId>)> {
    let mut found = (BTreeSet::new(), BTreeSet::new());
    let entries = match fs::read_dir(home.logs()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_young = |since| entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at >= since);
        let Ok(name) = entry.file_name().into_string() else { continue };
        if since.is_some_and(is_young) {
            continue;
        }
        if let Ok(run) = name.parse() {
            if !is_of_another_node(home, run) {
                found.0.insert(run);
            }
        } else if let Some(session) = session_of(&name) {
            found.1.insert(session);
        }
    }
    Ok(found)
}
