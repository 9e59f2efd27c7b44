//! Recordings on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cis_core::monitor::Profile;
use cis_core::monitor::recording::Recording;

use crate::error::CliError;

/// Reads a recording.
pub(super) fn read(path: &Path) -> Result<Recording, CliError> {
    let wrong = |why: String| CliError::bad_input(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Recording::parse(&text).map_err(|error| wrong(error.to_string()))
}

/// The profile that reads this recording: what was asked for, what it says, the plain one.
pub(super) fn profile(recording: &Recording, asked: Option<&str>) -> Result<Arc<Profile>, CliError> {
    let Some(name) = asked.or(recording.header.profile.as_deref()) else { return Ok(Profile::plain()) };
    Profile::builtin(name).ok_or_else(|| CliError::bad_input(format!("unknown profile `{name}`")))
}

/// Every `.cast` below a directory, in the order of their paths.
pub(super) fn below(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    let mut rest = vec![directory.to_owned()];
    while let Some(directory) = rest.pop() {
        let entries = fs::read_dir(&directory)
            .map_err(|error| CliError::bad_input(format!("{}: {error}", directory.display())))?;
        for entry in entries.flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            match kind {
                Ok(kind) if kind.is_dir() => rest.push(path),
                Ok(kind) if kind.is_file() && path.extension().is_some_and(|end| end == "cast") => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}
