//! Reports of people that the monitor is wrong about a session.
//!
//! Owns the directory `reports` of the node's home: a recording for each report. Sends nothing to anybody.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cis_core::api::{Problem, ProblemKind, ReportSession, Reported};
use cis_core::ids::{SessionId, TimestampMs};
use cis_core::monitor::recording::{Label, Still};
use cis_local::now_ms;

use crate::node::Node;
use crate::problems::{blocking, hub_problem};

/// No more recordings are kept: each has a screen of up to some hundred KB.
const REPORTS_MAX: usize = 200;

/// Why a report is not kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("{} has {REPORTS_MAX} reports already", .0.display())]
    Full(PathBuf),
    #[error("the report cannot be written to {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Node {
    /// Keeps what the session shows, with what is true of it.
    pub(crate) async fn keep_report(
        &self,
        session: SessionId,
        request: ReportSession,
    ) -> Result<Reported, Problem> {
        if self.elsewhere(session).await?.is_some() {
            let detail = format!("session {session} runs on another node");
            return Err(Problem::new(ProblemKind::Conflict, detail).hint("report it on that machine"));
        }
        self.expose(session).await?;
        let still = self.hub.still(session).await.map_err(|error| hub_problem(&error))?;
        let (directory, now) = (self.home.dir.join("reports"), now_ms());
        let kept = blocking(move || keep(&directory, session, still, &request, now)).await?;
        let path = kept.map_err(|error| match error {
            KeepError::Full(_) => Problem::new(ProblemKind::Conflict, error.to_string())
                .hint("remove those that were looked at, and report it again"),
            KeepError::Write { .. } => Problem::new(ProblemKind::Unavailable, error.to_string()),
        })?;
        Ok(Reported { path: path.display().to_string() })
    }
}

fn keep(
    directory: &Path,
    session: SessionId,
    still: Still,
    request: &ReportSession,
    now: TimestampMs,
) -> Result<PathBuf, KeepError> {
    let truth = request.waits_for.map_or(Label::Working, Label::Waiting);
    let says = request.waits_for.map_or("no-prompt", |kind| kind.as_str());
    let path = directory.join(format!("{session}-{now}-{says}.cast"));
    // Not the command: its arguments can have secrets.
    let programs = still.evidence.as_ref().map(|evidence| evidence.foreground.join(" "));
    let recording = still.recording(programs.unwrap_or_default(), truth, now);
    match write(directory, &path, &recording.to_text()) {
        Ok(true) => Ok(path),
        Ok(false) => Err(KeepError::Full(directory.to_owned())),
        Err(source) => Err(KeepError::Write { path, source }),
    }
}

/// False: there are too many.
fn write(directory: &Path, path: &Path, text: &str) -> io::Result<bool> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if fs::read_dir(directory)?.count() >= REPORTS_MAX {
        return Ok(false);
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(true)
}
