//! The DAG files that may be run from rooms: those below `[matrix] run_dirs`, and nothing that a link in there
//! leads out to.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use cis_core::room::command::DagName;

/// A larger file is none that somebody runs from a room, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// So many names are told to whom names another one.
const NAMES_MAX: usize = 12;

/// So many entries of folders are looked at for them.
const LOOKS_MAX: usize = 1000;

/// So many folders a name leads through, the last part counted.
const DEPTH_MAX: u32 = 4;

/// A file that may be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: Vec<u8>,
    pub(super) path: PathBuf,
    /// Where its relative paths begin.
    pub(super) folder: PathBuf,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoFile {
    /// Nothing may be run from a room.
    #[error("No DAG can be started from a room here: `run_dirs` of `[matrix]` names no folder.")]
    NoFolders,
    /// None has that name.
    #[error("There is no DAG “{name}” here.{}", known(names))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Some that there are.
        names: Vec<String>,
    },
    /// It is there and cannot be read.
    #[error("The DAG “{name}” cannot be read: {why}.")]
    Unreadable {
        /// Which.
        name: String,
        /// What the system says.
        why: String,
    },
}

fn known(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" There are: {}.", names.join(", ")) }
}

/// The file of this name in the first folder that has it.
pub(super) fn find(folders: &[PathBuf], name: &DagName) -> Result<Found, NoFile> {
    if folders.is_empty() {
        return Err(NoFile::NoFolders);
    }
    let within = format!("{name}.toml");
    for folder in folders {
        match read(folder, &within) {
            Ok(text) => {
                let path = folder.join(&within);
                let folder = path.parent().unwrap_or(folder).to_owned();
                return Ok(Found { text, path, folder });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(folder = %folder.display(), name = %within, %error, "a DAG asked for in a room is not read");
                // Where a link leads is nobody's business in a room. For one that leads out of the folder, openat2(2) gives `EXDEV`.
                let why = match error.kind() {
                    io::ErrorKind::CrossesDevices => "it is a link that leads out of its folder".to_owned(),
                    kind => kind.to_string(),
                };
                return Err(NoFile::Unreadable { name: name.to_string(), why });
            }
        }
    }
    Err(NoFile::Unknown { name: name.to_string(), names: names(folders) })
}

/// Reads a regular file below `folder`. Links that lead out of it are not followed (openat2(2), `RESOLVE_BENEATH`).
fn read(folder: &Path, within: &str) -> io::Result<Vec<u8>> {
    let below = fs::File::open(folder)?;
    // open(2) of a pipe would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = fs::File::from(rustix::fs::openat2(below.as_fd(), within, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Some names that can be run, also of folders below.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut looks = LOOKS_MAX;
    for folder in folders {
        add_names(folder, "", DEPTH_MAX, &mut looks, &mut names);
    }
    names.into_iter().take(NAMES_MAX).collect()
}

/// Adds the names below `folder`, whose own name is `within`. Links to folders are not followed: they may lead in circles.
fn add_names(folder: &Path, within: &str, depth: u32, looks: &mut usize, names: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if *looks == 0 {
            return;
        }
        *looks -= 1;
        let Some(name) = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let name = if within.is_empty() { name } else { format!("{within}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => {
                add_names(&entry.path(), &name, depth - 1, looks, names);
            }
            Ok(kind) if !kind.is_dir() => {
                let known = name.strip_suffix(".toml").and_then(|name| DagName::new(name).ok());
                names.extend(known.map(|known| known.to_string()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn name(text: &str) -> DagName {
        DagName::new(text).unwrap()
    }

    #[test]
    fn a_file_is_found_below_its_folders_and_no_link_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let (dags, more) = (dir.path().join("dags"), dir.path().join("more"));
        fs::create_dir_all(dags.join("deploy")).unwrap();
        fs::create_dir_all(&more).unwrap();
        fs::write(dags.join("ship.toml"), "a").unwrap();
        fs::write(dags.join("deploy/prod.toml"), "b").unwrap();
        fs::write(more.join("late.toml"), "c").unwrap();
        fs::write(dir.path().join("secret.toml"), "s").unwrap();
        symlink("../secret.toml", dags.join("out.toml")).unwrap();
        symlink(dir.path(), dags.join("up")).unwrap();
        symlink("ship.toml", dags.join("same.toml")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dags.join("pipe.toml"), Mode::RUSR | Mode::WUSR).unwrap();
        let folders = [dags.clone(), more];

        let found = find(&folders, &name("deploy/prod")).unwrap();
        assert_eq!((found.text.as_slice(), found.folder), (&b"b"[..], dags.join("deploy")));
        assert_eq!(find(&folders, &name("same")).unwrap().text, b"a");
        assert_eq!(find(&folders, &name("late.toml")).unwrap().text, b"c");
        for refused in ["out", "up/secret", "pipe"] {
            let error = find(&folders, &name(refused)).unwrap_err();
            assert!(matches!(error, NoFile::Unreadable { .. }), "{refused}: {error}");
            assert!(!error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
        }
        let error = find(&folders, &name("out")).unwrap_err().to_string();
        assert!(error.contains("it is a link that leads out of its folder"), "{error}");
        let error = find(&folders, &name("shop")).unwrap_err().to_string();
        assert!(error.contains("deploy/prod, late, out, pipe, same, ship"), "{error}");
        assert_eq!(find(&[], &name("ship")), Err(NoFile::NoFolders));
    }
}
