//! Directories in which tasks of other nodes run.
//!
//! Owns empty ones that wait to be used again: to make and remove one for each task takes longer than all else that a node does about
//! a short one. What a task left in its directory is removed; which directory is whose is not decided here.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, DirEntry};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::super::ending::run_in_thread;
use cis_core::ids::RunId;

/// As many as may wait.
const SPARE_MAX: usize = 64;

/// The names of those that are being emptied begin so.
const GONE: &[u8] = b"gone-";

/// Only this user enters.
const MODE: u32 = 0o700;

/// See the module.
#[derive(Default)]
pub(super) struct Directories {
    spare: Vec<PathBuf>,
    /// How many were named.
    named: u64,
    /// See [`Self::keep_all`].
    keeps_all: bool,
}

impl Directories {
    /// Which tasks this node has is not known: [`Self::tidy`] removes only what is empty.
    pub(super) fn keep_all(&mut self) {
        self.keeps_all = true;
    }

    /// Removes what an earlier life of the node left below `root`: all but the directories of `kept` tasks. A download may have filled one
    /// while its task was taken back.
    pub(super) fn tidy(&mut self, root: &Path, kept: &BTreeSet<PathBuf>) {
        let in_dir = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
        let spare = spare_of(root);
        for entry in in_dir(&spare).chain(in_dir(root)) {
            if fs::remove_dir(entry.path()).is_err() && entry.file_name().as_encoded_bytes().starts_with(GONE)
            {
                remove_soon(vec![entry.path()]);
            }
        }
        self.spare.clear();
        if self.keeps_all {
            return;
        }
        let mut gone = Vec::new();
        for run in in_dir(root).filter(is_of_run) {
            let left = in_dir(&run.path()).map(|entry| entry.path()).filter(|dir| !kept.contains(dir));
            gone.extend(left.filter_map(|dir| take_away(root, &dir)));
            remove_if_empty(&run.path());
        }
        if !gone.is_empty() {
            remove_soon(gone);
        }
    }

    /// Makes a directory and those above it. One that exists stays as it is.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make(&mut self, dir: &Path) -> io::Result<()> {
        let parent = dir.parent().unwrap_or(dir);
        if let Some(spare) = self.spare.pop() {
            let moved = fs::rename(&spare, dir).or_else(|_| {
                make_all(parent)?;
                fs::rename(&spare, dir)
            });
            if moved.is_ok() {
                return Ok(());
            }
            self.spare.push(spare);
        }
        make_all(dir)
    }

    /// Takes the directory of a task whose processes have ended. `root`: below which all of them are.
    pub(super) fn give_back(&mut self, root: &Path, dir: &Path) {
        if self.spare.len() < SPARE_MAX && is_as_made(dir) {
            let spare = spare_of(root).join(self.named.to_string());
            self.named += 1;
            let moved = fs::rename(dir, &spare).or_else(|_| {
                make_all(&spare_of(root))?;
                fs::rename(dir, &spare)
            });
            if moved.is_ok() {
                return self.spare.push(spare);
            }
        }
        match fs::remove_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => {
                if let Some(gone) = take_away(root, dir) {
                    remove_soon(vec![gone]);
                }
            }
        }
    }
}

/// Removes the directory of a run, unless there is something of a task in it.
pub(super) fn remove_if_empty(dir: &Path) {
    // It may be gone. If files of a task are still coming, it stays until the node starts again.
    let _ = fs::remove_dir(dir);
}

/// Moves a directory away: its task may come back, and finds none then. Returns where it is now.
fn take_away(root: &Path, dir: &Path) -> Option<PathBuf> {
    // What an earlier life could not remove may have any number.
    let name = format!("{}{}", String::from_utf8_lossy(GONE), ulid::Ulid::new());
    let gone = spare_of(root).join(name);
    match make_all(&spare_of(root)).and_then(|()| fs::rename(dir, &gone)) {
        Ok(()) => Some(gone),
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "the directory of a task cannot be removed");
            None
        }
    }
}

/// A task may have left a million files.
fn remove_soon(dirs: Vec<PathBuf>) {
    run_in_thread(move || {
        for dir in dirs {
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::debug!(dir = %dir.display(), %error, "the directory of a task was not removed");
            }
        }
    });
}

/// Whether the tasks of a run have their directories in it.
fn is_of_run(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let run = name.to_str().and_then(|name| name.parse::<RunId>().ok());
    run.is_some_and(|run| name == *run.to_string()) && entry.file_type().is_ok_and(|kind| kind.is_dir())
}

fn spare_of(root: &Path) -> PathBuf {
    root.join("spare")
}

fn make_all(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(dir)
}

/// Whether nothing shows that a task was there.
fn is_as_made(dir: &Path) -> bool {
    let meta = fs::symlink_metadata(dir);
    let is_own = meta.is_ok_and(|meta| {
        meta.is_dir() && meta.mode() & 0o7777 == MODE && meta.uid() == rustix::process::geteuid().as_raw()
    });
    let is_empty = || fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    // Such as an ACL for what is made in it.
    let has_attributes = || rustix::fs::listxattr(dir, &mut [0_u8; 0]).is_ok_and(|bytes| bytes > 0);
    is_own && is_empty() && !has_attributes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn inode(dir: &Path) -> u64 {
        fs::metadata(dir).unwrap().ino()
    }

    #[test]
    fn only_a_directory_that_is_as_it_was_made_is_used_again() {
        let folder = crate::testing::private_directory();
        let root = folder.path().join("remote");
        let mut directories = Directories::default();
        let [first, second, third] = ["r/a-1", "r/b-1", "q/c-1"].map(|name| root.join(name));
        directories.make(&first).unwrap();
        let made = inode(&first);
        directories.give_back(&root, &first);
        assert!(!first.exists());
        directories.make(&third).unwrap();
        assert_eq!(inode(&third), made);
        // What a task did to it goes with it.
        fs::set_permissions(&third, fs::Permissions::from_mode(0o777)).unwrap();
        directories.give_back(&root, &third);
        directories.make(&second).unwrap();
        assert!(!third.exists() && fs::metadata(&second).unwrap().mode() & 0o777 == MODE);
        fs::write(second.join("left"), "").unwrap();
        directories.give_back(&root, &second);
        directories.make(&first).unwrap();
        assert!(fs::read_dir(&first).unwrap().next().is_none());
        // A directory that is there is kept with what is in it.
        fs::write(first.join("kept"), "").unwrap();
        directories.make(&second).unwrap();
        directories.give_back(&root, &second);
        directories.make(&first).unwrap();
        assert!(first.join("kept").exists());
        directories.tidy(&root, &BTreeSet::new());
        assert!(first.exists() && !root.join("q").exists() && !spare_of(&root).join("0").exists());
    }

    #[test]
    fn what_an_earlier_life_left_goes_unless_a_task_has_it() {
        let folder = crate::testing::private_directory();
        let root = folder.path().join("remote");
        let [run, other] = [1, 2].map(|n| RunId::from_parts(1, n).to_string());
        let [held, left, empty] = ["a-1", "b-1", "c-1"].map(|name| root.join(&run).join(name));
        let (last, foreign) = (root.join(&other).join("a-2"), root.join("notes").join("a-1"));
        for dir in [&held, &left, &empty, &last, &foreign] {
            fs::create_dir_all(dir).unwrap();
        }
        for dir in [&held, &left, &last, &foreign] {
            fs::write(dir.join("file"), "").unwrap();
        }
        let kept = BTreeSet::from([held.clone()]);
        // A row of a later version may be about any of them.
        let mut unsure = Directories::default();
        unsure.keep_all();
        unsure.tidy(&root, &kept);
        assert!(left.join("file").exists() && last.join("file").exists());
        Directories::default().tidy(&root, &kept);
        assert!(held.join("file").exists() && foreign.join("file").exists());
        assert!(!left.exists() && !empty.exists() && !root.join(&other).exists());
    }
}
