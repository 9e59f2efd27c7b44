//! Directories in which tasks of other nodes run.
//!
//! Owns empty ones that wait to be used again: to make and remove one for each task takes longer than all else that a node does about
//! a short one. What a task left in its directory is removed; which directory is whose is not decided here.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::super::ending::run_in_thread;

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
}

impl Directories {
    /// Removes what an earlier life of the node left empty below `root`.
    pub(super) fn tidy(&mut self, root: &Path) {
        let in_dir = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
        let spare = spare_of(root);
        // Those of tasks that are not empty stay.
        for entry in in_dir(&spare).chain(in_dir(root)) {
            if fs::remove_dir(entry.path()).is_err() && entry.file_name().as_encoded_bytes().starts_with(GONE)
            {
                remove_soon(entry.path());
            }
        }
        self.spare.clear();
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
            Err(_) => Self::empty(root, dir),
        }
    }

    /// The task may come back, and finds no directory then.
    fn empty(root: &Path, dir: &Path) {
        // What an earlier life could not remove may have any number.
        let name = format!("{}{}", String::from_utf8_lossy(GONE), ulid::Ulid::new());
        let gone = spare_of(root).join(name);
        match make_all(&spare_of(root)).and_then(|()| fs::rename(dir, &gone)) {
            Ok(()) => remove_soon(gone),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "the directory of a task cannot be removed");
            }
        }
    }
}

/// A task may have left a million files.
fn remove_soon(dir: PathBuf) {
    run_in_thread(move || {
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::debug!(dir = %dir.display(), %error, "the directory of a task was not removed");
        }
    });
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
        directories.tidy(&root);
        assert!(first.exists() && !root.join("q").exists() && !spare_of(&root).join("0").exists());
    }
}
