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
use cis_core::text;
use cis_local::now_ms;

use crate::node::Node;
use crate::problems::{blocking, hub_problem};

/// No more recordings are kept.
const REPORTS_MAX: usize = 200;

/// Of one: the largest screens with a color of its own in each cell have more.
const REPORT_BYTES_MAX: usize = 1 << 20;

/// Why a report is not kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("the node keeps {REPORTS_MAX} reports already")]
    Full(PathBuf),
    #[error("the screen has too many colors for a report: it would have {}", text::bytes(*.0))]
    TooLarge(u64),
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
            KeepError::Full(ref directory) => Problem::new(ProblemKind::Conflict, error.to_string())
                .hint(format!("remove some of the files in {}, and report it again", directory.display())),
            KeepError::TooLarge(_) => Problem::new(ProblemKind::Conflict, error.to_string()),
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
    let text = still.recording(programs.unwrap_or_default(), truth, now).to_text();
    if text.len() > REPORT_BYTES_MAX {
        return Err(KeepError::TooLarge(text.len() as u64));
    }
    match write(directory, &path, &text) {
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
