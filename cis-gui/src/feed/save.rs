//! Files that tasks left, saved among those of whoever looks. Nothing that is there is written over.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cis_client::Client;
use cis_core::api::{Problem, ProblemKind};
use cis_core::event::ArtifactRecord;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::problem;

/// Names that are tried where one is taken.
const TRIES: u32 = 1_000;

/// Of a name, bytes: what stands behind it where it is taken fits too.
const NAME_BYTES: usize = 200;

/// A file that is being written. Disks may be slow: all that is asked of one is asked elsewhere than on the
/// feed's only thread.
struct Part {
    file: NamedTempFile,
    hash: Sha256,
    /// What is still to come, bytes.
    left: u64,
}

impl Part {
    fn new(folder: &Path, size: u64) -> std::io::Result<Self> {
        Ok(Self { file: NamedTempFile::new_in(folder)?, hash: Sha256::new(), left: size })
    }

    /// Writes more of it; none where there is more than it was said to have.
    fn write(mut self, bytes: &[u8]) -> std::io::Result<Option<Self>> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else { return Ok(None) };
        self.left = left;
        self.hash.update(bytes);
        self.file.write_all(bytes)?;
        Ok(Some(self))
    }

    /// Gives it its name once it is whole; none where it is not what it should be.
    fn place(self, folder: &Path, file: &ArtifactRecord) -> std::io::Result<Option<PathBuf>> {
        if self.left > 0 || hex::encode(self.hash.finalize()) != file.blob.0 {
            return Ok(None);
        }
        place(self.file, folder, &name(&file.path)).map(Some)
    }
}

/// Does what may be slow elsewhere.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

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
    let damaged = || {
        let text = format!("{} is damaged in the store", name(&file.path));
        Problem::new(ProblemKind::Unavailable, text).hint("a retry of the task makes it again")
    };
    let mut stream = client.artifact(run, task, &file.blob.0).await.map_err(problem)?;
    let (at, size) = (folder.clone(), file.size);
    let mut part = elsewhere(move || Part::new(&at, size)).await.map_err(|error| failed(&error))?;
    while let Some(bytes) = stream.next().await.map_err(problem)? {
        let more = elsewhere(move || part.write(&bytes)).await.map_err(|error| failed(&error))?;
        part = more.ok_or_else(damaged)?;
    }
    let (at, what) = (folder.clone(), file.clone());
    let placed = elsewhere(move || part.place(&at, &what)).await.map_err(|error| failed(&error))?;
    placed.ok_or_else(damaged)
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
    // What turns the direction of text would show another name than it is.
    let turns = |c: char| matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let plain: String = last.chars().filter(|c| !c.is_control() && !turns(*c)).collect();
    // A name that begins with a dot is not seen, and may mean something.
    let plain = plain.trim().trim_start_matches('.').trim();
    // File systems count bytes.
    let plain = plain[..plain.floor_char_boundary(NAME_BYTES)].trim_end().to_owned();
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
        assert_eq!(name(&"x".repeat(9_000)).len(), 200);
        assert_eq!(name(&"\u{1F600}".repeat(100)).len(), 200, "bytes count, not letters");
        assert_eq!(name(&format!("x{}", "\u{1F600}".repeat(100))).len(), 197, "no letter is cut");
        assert_eq!(name("invoice\u{202E}fdp.exe"), "invoicefdp.exe");
        assert_eq!(name(" .bashrc"), "bashrc");
    }

    #[test]
    fn of_a_file_not_more_is_taken_than_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let file: ArtifactRecord = serde_json::from_value(serde_json::json!({
            "path": "out/a.txt", "blob": hex::encode(Sha256::digest(b"abcd")), "size": 4,
        }))
        .unwrap();
        let part = || Part::new(dir.path(), 4).unwrap();
        assert!(part().write(b"abcde").unwrap().is_none());
        let twice = part().write(b"abcd").unwrap().unwrap().write(b"e").unwrap();
        assert!(twice.is_none());
        assert!(part().write(b"abc").unwrap().unwrap().place(dir.path(), &file).unwrap().is_none());
        let wrong = part().write(b"abce").unwrap().unwrap();
        assert!(wrong.place(dir.path(), &file).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of them");
        let whole = part().write(b"ab").unwrap().unwrap().write(b"cd").unwrap().unwrap();
        assert_eq!(whole.place(dir.path(), &file).unwrap(), Some(dir.path().join("a.txt")));
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
