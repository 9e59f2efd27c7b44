//! The key of a task that runs, and its input files as they were when the key was made: kept in a file, which outlives the node.
//!
//! Owns that file, and whether the input files are still the same. A result that was made while one of them changed belongs to no key: the
//! change may be taken back, and nobody would know what the result was made from.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::inputs::{Input, bytes_of, read_inputs};
use crate::files::{FilesError, Stop, stamp_of};
use crate::small_file::{self, Links};

/// The file has a line for each input file. A longer one is not read, bytes: some two million files.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Before the reason why there is no key.
const NONE: &str = "none: ";

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
        let (name, stamp) = stamped(name, full, input)?;
        self.0.insert(name, stamp);
        Ok(())
    }
}

/// The hash of its name, and its stamp.
fn stamped(name: &Path, full: &Path, input: &Input<'_>) -> Result<(Short, Short), FilesError> {
    // A link, and the file that it leads to, have the same name.
    let (kind, meta) = match input {
        Input::File(file) => ("file", file.metadata()),
        Input::Link(_) => ("link", fs::symlink_metadata(full)),
    };
    let meta = meta.map_err(|source| FilesError::Read { path: full.to_owned(), source })?;
    Ok((short(&[kind.as_bytes(), bytes_of(name)]), stamp(&meta)))
}

/// What happened to an input file while the task was running.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Its name below the directory of the task. Also a change of rights or links counts.
    Written(PathBuf),
    /// The names of those that are gone are not kept.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(name) => write!(f, "its input {} changed while it was running", name.display()),
            Self::Removed => f.write_str("one of its input files was removed while it was running"),
        }
    }
}

impl NotedKey {
    pub(super) fn new(key: String, files: Stamps) -> Self {
        Self { key, files }
    }

    /// Writes it to a file, or why there is none, in words.
    pub(crate) fn write(noted: Result<&Self, &String>, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let text = match noted {
            Ok(Self { key, files: Stamps(files) }) => {
                let mut text = format!("{key} {}\n", files.len());
                files.iter().for_each(|(name, stamp)| text.push_str(&format!("{name} {stamp}\n")));
                text
            }
            Err(why) => format!("{NONE}{why}"),
        };
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    }

    /// Reads it, or why there is none.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = small_file::read(path, FILE_BYTES_MAX, Links::Refuse).unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        match text.strip_prefix(NONE) {
            Some(why) => Err(why.to_owned()),
            None => {
                Self::parse(&text).ok_or_else(|| "its key could not be stored when it started".to_owned())
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
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

    /// Which of its input files or links was written to, replaced or removed since.
    ///
    /// # Errors
    /// They cannot be looked at.
    pub(crate) fn change(
        &self,
        cwd: &Path,
        inputs: &[String],
        stop: &Stop,
    ) -> Result<Option<Change>, FilesError> {
        if self.files.0.is_empty() {
            return Ok(None);
        }
        let begin = |_: usize| (self.files.0.clone(), None::<Change>);
        let (left, written) = read_inputs(cwd, inputs, stop, begin, |(left, written), name, full, input| {
            let (short, stamp) = stamped(name, full, &input)?;
            if left.remove(&short).is_some_and(|before| before != stamp) {
                written.get_or_insert_with(|| Change::Written(name.to_owned()));
            }
            Ok(())
        })?;
        Ok(written.or_else(|| (!left.is_empty()).then_some(Change::Removed)))
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
    use std::time::{Duration, SystemTime};

    fn noted(cwd: &Path, artifacts: &[&str]) -> NotedKey {
        let globs: Vec<String> = artifacts.iter().map(|&glob| glob.to_owned()).collect();
        let (globs, inputs) = (Globs::new(&globs).unwrap(), ["src/**".to_owned()]);
        recipe(&spec(&["x"]), &auto(), None).finish(cwd, &inputs, &globs, &Stop::default()).unwrap()
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
            let changed = || noted.change(dir.path(), &["src/**".to_owned()], &Stop::default()).unwrap();
            assert_eq!(changed(), None);
            fs::write(src.join("new"), "the task makes it").unwrap();
            assert_eq!(changed(), None);
            // The clock of the file system has ticks of some milliseconds.
            std::thread::sleep(Duration::from_millis(20));
            change(&src);
            let expected = if at == 1 { Change::Removed } else { Change::Written("src/one".into()) };
            assert_eq!(changed(), Some(expected), "{at}");
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
        let change = noted.change(dir.path(), &["src/**".to_owned()], &Stop::default()).unwrap();
        assert_eq!(change, Some(Change::Written("src/link".into())));
    }

    #[test]
    fn what_the_task_makes_is_no_input_that_changes() {
        let (dir, src) = place();
        let noted = noted(dir.path(), &["src/one"]);
        fs::write(src.join("one"), "formatted").unwrap();
        assert_eq!(noted.change(dir.path(), &["src/**".to_owned()], &Stop::default()).unwrap(), None);
    }

    #[test]
    fn the_file_gives_the_same_back_or_nothing() {
        let (dir, _) = place();
        let (noted, path) = (noted(dir.path(), &[]), dir.path().join("note"));
        NotedKey::write(Ok(&noted), &path).unwrap();
        assert_eq!(NotedKey::read(&path), Ok(noted));
        let text = fs::read_to_string(&path).unwrap();
        let line = text.trim_end().rfind('\n').unwrap();
        for damaged in [&text[..text.len() - 1], &text[..=line], &text[..30], &text.replace(' ', "-"), ""] {
            fs::write(&path, damaged).unwrap();
            assert!(NotedKey::read(&path).unwrap_err().contains("could not be stored"), "{damaged:?}");
        }
        NotedKey::write(Err(&"no directory".to_owned()), &path).unwrap();
        assert_eq!(NotedKey::read(&path), Err("no directory".to_owned()));
    }
}
