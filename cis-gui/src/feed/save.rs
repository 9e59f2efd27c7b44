//! Files that tasks left, saved among those of whoever looks. Nothing that is there is written over.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cis_core::api::{Problem, ProblemKind};
use cis_core::client::Client;
use cis_core::event::ArtifactRecord;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::problem;

/// Names that are tried where one is taken.
const TRIES: u32 = 1_000;

/// Saves one; gives its path.
pub(super) async fn save(
    client: &Client,
    run: &str,
    task: &str,
    file: &ArtifactRecord,
) -> Result<PathBuf, Problem> {
    let folder = folder(|name| std::env::var_os(name));
    let failed = |error: &std::io::Error| {
        let text = format!("cannot save {} in {}: {error}", name(&file.path), folder.display());
        Problem::new(ProblemKind::Unavailable, text)
    };
    let mut stream = client.artifact(run, task, &file.blob.0).await.map_err(problem)?;
    // It has its name once it is whole.
    let mut part = NamedTempFile::new_in(&folder).map_err(|error| failed(&error))?;
    let mut hash = Sha256::new();
    while let Some(bytes) = stream.next().await.map_err(problem)? {
        hash.update(&bytes);
        part.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    if hex::encode(hash.finalize()) != file.blob.0 {
        let text = format!("{} is damaged in the store", name(&file.path));
        return Err(Problem::new(ProblemKind::Unavailable, text).hint("a retry of the task makes it again"));
    }
    place(part, &folder, &name(&file.path)).map_err(|error| failed(&error))
}

/// Where downloads go: the folder of that name, else the home, else the current one.
fn folder(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> PathBuf {
    let Some(home) = variable("HOME").filter(|home| !home.is_empty()) else { return PathBuf::from(".") };
    let downloads = Path::new(&home).join("Downloads");
    if downloads.is_dir() { downloads } else { home.into() }
}

/// The last part of a path that somebody else chose, as a name of a file here.
fn name(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).take(100).collect();
    // A name that begins with a dot is not seen, and may mean something.
    let plain = plain.trim_start_matches('.').trim().to_owned();
    if plain.is_empty() { "file".to_owned() } else { plain }
}

/// Gives it its name, or one beside it where that is taken.
fn place(mut part: NamedTempFile, folder: &Path, name: &str) -> std::io::Result<PathBuf> {
    let (stem, end) =
        name.rsplit_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    for n in 0..TRIES {
        let other = if n == 0 { name.to_owned() } else { format!("{stem} ({n}){end}") };
        let path = folder.join(other);
        match part.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => part = error.file,
            Err(error) => return Err(error.error),
        }
    }
    Err(std::io::Error::other("too many files have that name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_stay_names() {
        for (path, kept) in [
            ("out/report.html", "report.html"),
            ("../../.bashrc", "bashrc"),
            ("..", "file"),
            ("", "file"),
            ("a\u{1b}[31m\n.txt", "a[31m.txt"),
        ] {
            assert_eq!(name(path), kept, "{path:?}");
        }
        assert_eq!(name(&"x".repeat(9_000)).len(), 100);
    }

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let part = || NamedTempFile::new_in(dir.path()).unwrap();
        let first = place(part(), dir.path(), "a.txt").unwrap();
        let second = place(part(), dir.path(), "a.txt").unwrap();
        assert_eq!((first, second), (dir.path().join("a.txt"), dir.path().join("a (1).txt")));
        let at = folder(|_| Some(dir.path().into()));
        assert_eq!(at, dir.path(), "without a folder for downloads it is the home");
        std::fs::create_dir(dir.path().join("Downloads")).unwrap();
        assert_eq!(folder(|_| Some(dir.path().into())), dir.path().join("Downloads"));
    }
}
