//! Files of whoever looks: folders, DAG files, and what a new run gets of the process's surroundings.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use cis_client::Client;
use cis_core::api::{CreateRun, Problem, ProblemKind, RunView, submitted_env};
use cis_core::dag::MAX_FILE_BYTES;
use cis_core::event::ExecutionMode;
use cis_core::ids::InputId;
use sha2::{Digest as _, Sha256};

use super::problem;
use crate::draft::{Draft, Folder, NewRun};

/// Of a folder so many names are shown.
const NAMES_MAX: usize = 1_000;

/// What is in a folder. An empty path is the current one.
pub(crate) fn browse(path: &Path) -> Result<Folder, Problem> {
    let path = std::path::absolute(if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .and_then(|path| path.canonicalize())
        .map_err(|error| unreadable(path, &error))?;
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(&path).map_err(|error| unreadable(&path, &error))? {
        // A name that is not UTF-8 cannot be sent, nor shown.
        let Some((entry, name)) =
            entry.ok().and_then(|entry| Some((entry.path(), entry.file_name().into_string().ok()?)))
        else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        // Through links: what can be opened counts.
        if entry.is_dir() {
            folders.push(name);
        } else if name.ends_with(".toml") {
            files.push(name);
        }
    }
    let more = folders.len().max(files.len()) > NAMES_MAX;
    for names in [&mut folders, &mut files] {
        names.sort_unstable();
        names.truncate(NAMES_MAX);
    }
    Ok(Folder { path, folders, files, more })
}

/// What a DAG file says; the mistakes of one that cannot be run are in the problem.
pub(crate) fn read(path: &Path) -> Result<Draft, Problem> {
    let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    let text = bytes(&path)?;
    let dag = cis_core::dag::parse(&text, &name(&path)).map_err(|found| {
        let mut problem = Problem::new(ProblemKind::BadInput, found.summary(&name(&path)));
        problem.diagnostics = found.findings;
        problem
    })?;
    Ok(Draft { path, dag: Arc::new(dag) })
}

/// Makes a run of a file.
pub(super) async fn submit(client: &Client, new: NewRun) -> Result<RunView, Problem> {
    let NewRun { path, workdir, params, room, start, no_cache, input } = new;
    let source = path.display().to_string();
    let text = tokio::task::spawn_blocking(move || bytes(&path)).await.map_err(|error| {
        Problem::new(ProblemKind::Internal, format!("reading {source} came to no end: {error}"))
    })??;
    let mode = if room.is_some() { ExecutionMode::Hybrid } else { ExecutionMode::Local };
    let input = input_of(input, &text);
    let request = CreateRun {
        text,
        source,
        workdir,
        params,
        env: Some(submitted_env(std::env::vars_os())),
        umask: umask(),
        mode,
        room: room.filter(|room| !room.is_empty()),
        use_agent: None,
        start,
        no_cache,
        validate_only: false,
        input,
    };
    client.create_run(&request).await.map_err(problem)
}

/// Returns the id that the node gets for a request with this text. A file that was edited after a lost answer is another run.
fn input_of(input: InputId, text: &[u8]) -> InputId {
    InputId::hashed(&format!("{input} {}", hex::encode(Sha256::digest(text))))
}

/// A file, whole. What is no file (a pipe, a device) is not waited for.
fn bytes(path: &Path) -> Result<Vec<u8>, Problem> {
    let failed = |error: io::Error| unreadable(path, &error);
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(unreadable(path, &io::Error::other("it is no file")));
    }
    let mut text = Vec::new();
    let most = MAX_FILE_BYTES as u64 + 1;
    std::fs::File::open(path).map_err(failed)?.take(most).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(ProblemKind::BadInput, format!("cannot read {}: {error}", path.display()))
}

/// This process's file mode creation mask, where the kernel tells it (proc(5)).
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_that_may_be_dags_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", "notes.md", ".hidden.toml"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("dags")).unwrap();
        let folder = browse(dir.path()).unwrap();
        assert_eq!(folder.files, ["a.toml", "b.toml"]);
        assert_eq!(folder.folders, ["dags"]);
        assert!(!folder.more);
        let gone = browse(&dir.path().join("gone")).unwrap_err();
        assert!(gone.detail.contains("gone"), "{gone}");
    }

    #[test]
    fn a_file_that_does_not_parse_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        std::fs::write(&path, "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncomand = [\"true\"]\n")
            .unwrap();
        let problem = read(&path).unwrap_err();
        assert!(problem.diagnostics.iter().any(|finding| finding.line == 6), "{problem:?}");
        // What is no file is not waited for.
        assert!(read(dir.path()).unwrap_err().detail.contains("no file"));
    }

    #[test]
    fn a_form_makes_another_run_of_a_file_that_was_edited() {
        let (one, other) = (InputId::hashed("one"), InputId::hashed("other"));
        assert_eq!(input_of(one, b"a"), input_of(one, b"a"));
        assert_ne!(input_of(one, b"a"), input_of(one, b"b"));
        assert_ne!(input_of(one, b"a"), input_of(other, b"a"));
    }

    #[test]
    fn the_mask_is_read() {
        assert!(umask().is_some_and(|mask| mask <= 0o777));
    }
}
