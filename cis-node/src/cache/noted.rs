//! The key of a task that runs, and its input files as they were when the key was made: kept in a file, which outlives the node.
//!
//! Owns that file, and whether the input files are still the same. A result that was made while one of them changed belongs to no key: the
//! change may be taken back, and nobody would know what the result was made from.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::inputs::{Input, Inputs, bytes_of};
use crate::files::{FilesError, Stop, stamp_of};
use crate::small_file::{self, Links};

/// The file has a line for each input file. A longer one is not read, bytes: some two million files.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The first bytes of a hash, as hexadecimal digits.
type Short = String;

/// A key with the stamps of its input files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotedKey {
    pub(crate) key: String,
    files: Stamps,
}

/// The stamp of each input file and link, by the hash of its name: what it points to, or has in it, does not change without another stamp.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<Short, Short>);

impl Stamps {
    pub(super) fn add(&mut self, name: &Path, full: &Path, input: &Input<'_>) -> Result<(), FilesError> {
        // A link, and the file that it leads to, have the same name.
        let (kind, meta) = match input {
            Input::File(file) => ("file", file.metadata()),
            Input::Link(_) => ("link", fs::symlink_metadata(full)),
        };
        let meta = meta.map_err(|source| FilesError::Read { path: full.to_owned(), source })?;
        self.0.insert(short(&[kind.as_bytes(), bytes_of(name)]), stamp(&meta));
        Ok(())
    }
}

impl NotedKey {
    pub(super) fn new(key: String, files: Stamps) -> Self {
        Self { key, files }
    }

    /// Writes it to a file.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut text = format!("{} {}\n", self.key, self.files.0.len());
        for (name, stamp) in &self.files.0 {
            text.push_str(&format!("{name} {stamp}\n"));
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    }

    /// Reads it; none: it was not written whole.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = String::from_utf8(small_file::read(path, FILE_BYTES_MAX, Links::Refuse).ok()?).ok()?;
        let mut lines = text.strip_suffix('\n')?.lines();
        let (key, count) = lines.next()?.split_once(' ')?;
        if key.len() != 64 || !is_hex(key) {
            return None;
        }
        let file = |line: &str| {
            let (name, stamp) = line.split_once(' ')?;
            let is_whole = [name, stamp].iter().all(|part| part.len() == 16 && is_hex(part));
            is_whole.then(|| (name.to_owned(), stamp.to_owned()))
        };
        let files: BTreeMap<_, _> = lines.map(file).collect::<Option<_>>()?;
        (count == files.len().to_string()).then(|| Self { key: key.to_owned(), files: Stamps(files) })
    }

    /// Whether one of its input files or links was written to, replaced or removed since.
    ///
    /// # Errors
    /// They cannot be looked at.
    pub(crate) fn has_changed(&self, cwd: &Path, inputs: &[String], stop: &Stop) -> Result<bool, FilesError> {
        if self.files.0.is_empty() {
            return Ok(false);
        }
        let mut now = Stamps::default();
        Inputs::find(cwd, inputs, stop)?.visit(stop, &mut |name, full, input| now.add(name, full, &input))?;
        Ok(self.files.0.iter().any(|(name, stamp)| now.0.get(name) != Some(stamp)))
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn short(parts: &[&[u8]]) -> Short {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hex::encode(&hash.finalize()[..8])
}

fn stamp(file: &fs::Metadata) -> Short {
    let (size, written, written_ns, changed, changed_ns) = stamp_of(file);
    let [size, inode] = [size, file.ino()].map(u64::to_le_bytes);
    let times = [written, written_ns, changed, changed_ns].map(i64::to_le_bytes).concat();
    short(&[&size, &inode, &times])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::tests::{auto, spec};
    use crate::cache::recipe;
    use crate::files::Globs;
    use std::fs::File;
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    fn noted(cwd: &Path, artifacts: &[&str]) -> NotedKey {
        let globs: Vec<String> = artifacts.iter().map(|&glob| glob.to_owned()).collect();
        let (globs, inputs) = (Globs::new(&globs).unwrap(), ["src/**".to_owned()]);
        recipe(&spec(&["x"]), &auto()).finish(cwd, &inputs, &globs, &Stop::default()).unwrap()
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = crate::testing::private_directory();
        let src = dir.path().join("src");
        fs::create_dir(&src).unwrap();
        fs::write(src.join("one"), "1").unwrap();
        fs::write(src.join("two"), "2").unwrap();
        (dir, src)
    }

    #[test]
    fn a_change_of_an_input_is_seen_also_if_it_was_taken_back() {
        let change: [fn(&Path); 4] = [
            |src| fs::write(src.join("one"), "3").unwrap(),
            |src| fs::remove_file(src.join("two")).unwrap(),
            |src| {
                fs::copy(src.join("one"), src.join("copy")).unwrap();
                fs::rename(src.join("copy"), src.join("one")).unwrap();
            },
            |src| {
                let before = fs::metadata(src.join("one")).unwrap().modified().unwrap();
                fs::write(src.join("one"), "3").unwrap();
                let file = File::options().write(true).open(src.join("one")).unwrap();
                file.set_modified(before - Duration::from_secs(1)).unwrap();
                fs::write(src.join("one"), "1").unwrap();
                file.set_modified(before).unwrap();
            },
        ];
        for (at, change) in change.into_iter().enumerate() {
            let (dir, src) = place();
            let old = SystemTime::now() - Duration::from_secs(60);
            File::options().write(true).open(src.join("one")).unwrap().set_modified(old).unwrap();
            let noted = noted(dir.path(), &[]);
            let changed = || noted.has_changed(dir.path(), &["src/**".to_owned()], &Stop::default()).unwrap();
            assert!(!changed());
            fs::write(src.join("new"), "the task makes it").unwrap();
            assert!(!changed());
            // The clock of the file system has ticks of some milliseconds.
            std::thread::sleep(Duration::from_millis(20));
            change(&src);
            assert!(changed(), "{at}");
        }
    }

    #[test]
    fn a_link_that_pointed_elsewhere_meanwhile_is_a_change() {
        let (dir, src) = place();
        let link = src.join("link");
        std::os::unix::fs::symlink("one", &link).unwrap();
        let noted = noted(dir.path(), &[]);
        std::thread::sleep(Duration::from_millis(20));
        for target in ["two", "one"] {
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(target, &link).unwrap();
        }
        assert!(noted.has_changed(dir.path(), &["src/**".to_owned()], &Stop::default()).unwrap());
    }

    #[test]
    fn what_the_task_makes_is_no_input_that_changes() {
        let (dir, src) = place();
        let noted = noted(dir.path(), &["src/one"]);
        fs::write(src.join("one"), "formatted").unwrap();
        assert!(!noted.has_changed(dir.path(), &["src/**".to_owned()], &Stop::default()).unwrap());
    }

    #[test]
    fn the_file_gives_the_same_back_or_nothing() {
        let (dir, _) = place();
        let (noted, path) = (noted(dir.path(), &[]), dir.path().join("note"));
        noted.write(&path).unwrap();
        assert_eq!(NotedKey::read(&path), Some(noted));
        let text = fs::read_to_string(&path).unwrap();
        let line = text.trim_end().rfind('\n').unwrap();
        for damaged in [&text[..text.len() - 1], &text[..=line], &text[..30], &text.replace(' ', "-"), ""] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(NotedKey::read(&path), None, "{damaged:?}");
        }
    }
}
