//! What living entries refer to, and removing the old ones.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::entry::{Entry, EntryError, read_file};
use crate::files::is_short_of_descriptors;
use cis_core::ids::BlobId;

/// A file without an entry's name that is older was left by a node that died while it wrote.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// What [`sweep`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries.
    pub entries: u64,
    /// Bytes of those and of their artifacts; what other entries or runs share is counted too.
    pub bytes: u64,
}

/// What the entries of a home refer to.
#[derive(Debug, Default)]
pub struct Living {
    /// Artifacts, and real values of outputs.
    pub blobs: BTreeSet<BlobId>,
    /// Entries and directories that cannot be read, and why.
    pub unreadable: Vec<String>,
}

/// Returns what the entries of a home refer to. An entry that is damaged or cannot be read refers to nothing: its result is never used.
///
/// # Errors
/// The process or the machine is short of something, so that an entry cannot be read now: then nothing may be removed.
pub fn living_blobs(home: &Path) -> io::Result<Living> {
    living_in(files(home)?, read_file)
}

fn living_in(files: Files, read: impl Fn(&Path) -> Result<Option<Entry>, EntryError>) -> io::Result<Living> {
    let Files { found, unreadable } = files;
    let mut living = Living { blobs: BTreeSet::new(), unreadable };
    for (path, _) in found {
        match read(&path) {
            Ok(Some(entry)) => {
                living.blobs.extend(entry.outputs.into_values().filter_map(|record| record.blob));
                living.blobs.extend(entry.artifacts.into_iter().map(|record| record.blob));
            }
            Ok(None) | Err(EntryError::Damaged(_)) => {}
            Err(EntryError::Unreadable(error)) => living.unreadable.push(unreadable_text(&path, &error)?),
        }
    }
    Ok(living)
}

/// Returns what is said of something in the cache that cannot be read.
///
/// # Errors
/// The process or the machine is short of descriptors or memory: it can be read later.
fn unreadable_text(path: &Path, error: &io::Error) -> io::Result<String> {
    let text = format!("cannot read {}: {error}", path.display());
    let is_short = error.kind() == io::ErrorKind::OutOfMemory || is_short_of_descriptors(error);
    if is_short { Err(io::Error::new(error.kind(), text)) } else { Ok(text) }
}

/// Removes damaged entries, those that were not used for `max_age_ms`, and then those that were used
/// longest ago until the rest, artifacts included, has at most `max_bytes`. Entries that cannot be read now
/// stay until they are too old. Blobs stay: the caller removes those that nothing refers to any more.
/// `dry_run` removes nothing.
///
/// # Errors
/// As [`living_blobs`]. What cannot be removed is left out of the count.
pub fn sweep(
    home: &Path,
    now: SystemTime,
    max_age_ms: Option<u64>,
    max_bytes: Option<u64>,
    dry_run: bool,
) -> io::Result<Swept> {
    Ok(sweep_files(files(home)?, now, max_age_ms, max_bytes, dry_run))
}

fn sweep_files(
    files: Files,
    now: SystemTime,
    max_age_ms: Option<u64>,
    max_bytes: Option<u64>,
    dry_run: bool,
) -> Swept {
    let mut swept = Swept::default();
    let mut remove = |path: &Path, bytes: u64| {
        if dry_run || fs::remove_file(path).is_ok() {
            swept.entries += 1;
            swept.bytes += bytes;
        }
    };
    let mut living = Vec::new();
    for (path, metadata) in files.found {
        let used = metadata.modified().unwrap_or(now);
        let age = now.duration_since(used).unwrap_or_default();
        let is_entry = path.extension().is_some_and(|is| is == "json");
        let too_old = max_age_ms.is_some_and(|max| age > Duration::from_millis(max));
        let read = if is_entry { read_file(&path) } else { Ok(None) };
        let entry = match read {
            Err(EntryError::Unreadable(_)) if !too_old => continue,
            read => read.ok().flatten(),
        };
        let bytes = metadata.len() + entry.as_ref().map_or(0, size_of_files);
        match entry {
            Some(_) if !too_old => living.push((used, bytes, path)),
            None if !is_entry && age < LEFT_OVER => {}
            _ => remove(&path, bytes),
        }
    }
    living.sort();
    let mut total: u64 = living.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, path) in living {
        if max_bytes.is_none_or(|max| total <= max) {
            break;
        }
        total -= bytes;
        remove(&path, bytes);
    }
    swept
}

fn size_of_files(entry: &Entry) -> u64 {
    entry.artifacts.iter().map(|record| record.size).sum()
}

/// The files of a home's cache.
#[derive(Debug, Default)]
struct Files {
    found: Vec<(PathBuf, fs::Metadata)>,
    /// Directories and files that cannot be looked at, and why.
    unreadable: Vec<String>,
}

impl Files {
    /// What is in a directory; nothing if it is missing or cannot be read.
    fn list(&mut self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let listed: io::Result<Vec<PathBuf>> = fs::read_dir(dir)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => {
                self.unreadable.push(unreadable_text(dir, &error)?);
                Ok(Vec::new())
            }
            listed => listed,
        }
    }
}

/// Lists the files of a home's cache; none where there is no cache.
fn files(home: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    for dir in files.list(&super::directory(home))? {
        // Of another name it is not ours: the `lost+found` of a mount, perhaps, which cannot be read.
        if dir.file_name().is_some_and(|name| name.len() == 2) && dir.is_dir() {
            for path in files.list(&dir)? {
                match fs::symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_file() => files.found.push((path, metadata)),
                    Ok(_) => {}
                    // A node removed it just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => files.unreadable.push(unreadable_text(&path, &error)?),
                }
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rustix::io::Errno;

    use super::*;
    use crate::cache::Cache;
    use crate::cache::tests::without_descriptors;
    use cis_core::event::{ArtifactRecord, FileReaders, OutputRecord};

    fn entry(n: u8, size: u64) -> Entry {
        let blob = |kind: &str| BlobId(format!("{kind}{n}"));
        let output =
            OutputRecord { value: 1.into(), hash: String::new(), blob: Some(blob("secret")), hidden: true };
        Entry {
            key: hex::encode([n; 32]),
            from: "x".to_owned(),
            made_ms: 0,
            outputs: BTreeMap::from([("o".to_owned(), output)]),
            artifacts: vec![ArtifactRecord {
                path: "a".to_owned(),
                blob: blob("file"),
                size,
                executable: false,
                readers: FileReaders::default(),
            }],
            vouched: None,
        }
    }

    fn age(home: &Path, n: u8, seconds: u64) -> PathBuf {
        let key = hex::encode([n; 32]);
        let path = home.join("cache").join(&key[..2]).join(format!("{key}.json"));
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        path
    }

    #[test]
    fn old_and_surplus_entries_go_and_the_rest_keeps_its_blobs() {
        let home = tempfile::tempdir().unwrap();
        let (now, cache) = (SystemTime::now(), Cache::new(home.path()));
        assert_eq!(sweep(home.path(), now, Some(1), Some(1), false).unwrap(), Swept::default());
        for n in 1..=4 {
            cache.keep(&entry(n, 1000)).unwrap();
            age(home.path(), n, u64::from(n) * 100);
        }
        let names =
            |kind: &str, all: &[u8]| all.iter().map(|n| BlobId(format!("{kind}{n}"))).collect::<Vec<_>>();
        let living = living_blobs(home.path()).unwrap().blobs;
        assert_eq!(
            living.into_iter().collect::<Vec<_>>(),
            [names("file", &[1, 2, 3, 4]), names("secret", &[1, 2, 3, 4])].concat()
        );
        let dry = sweep(home.path(), now, Some(350_000), Some(2000), true).unwrap();
        let real = sweep(home.path(), now, Some(350_000), Some(2000), false).unwrap();
        assert_eq!(dry, real);
        assert_eq!(real.entries, 3, "4 is too old, and of the rest only one fits into 2000 bytes");
        let living = living_blobs(home.path()).unwrap().blobs;
        assert_eq!(
            living.into_iter().collect::<Vec<_>>(),
            [names("file", &[1]), names("secret", &[1])].concat()
        );
    }

    #[test]
    fn what_is_damaged_or_was_left_half_written_goes() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::new(home.path());
        cache.keep(&entry(1, 5)).unwrap();
        cache.keep(&entry(2, 5)).unwrap();
        let damaged = age(home.path(), 1, 0);
        let text = fs::read_to_string(&damaged).unwrap();
        fs::write(&damaged, text.replace("\"from\":\"x\"", "\"from\":\"y\"")).unwrap();
        assert!(cache.read(&entry(1, 5).key).unwrap_err().to_string().contains("checksum"));
        fs::write(damaged.with_file_name(".young"), "half").unwrap();
        let old = damaged.with_file_name(".old");
        fs::write(&old, "half").unwrap();
        let file = fs::File::options().write(true).open(&old).unwrap();
        file.set_modified(SystemTime::now() - 2 * LEFT_OVER).unwrap();
        assert_eq!(sweep(home.path(), SystemTime::now(), None, None, false).unwrap().entries, 2);
        assert!(!damaged.exists() && !old.exists() && damaged.with_file_name(".young").exists());
        assert_eq!(cache.read(&entry(2, 5).key).unwrap(), Some(entry(2, 5)));
    }

    #[test]
    fn what_cannot_be_read_now_stays_with_its_blobs_until_it_is_too_old() {
        let home = tempfile::tempdir().unwrap();
        Cache::new(home.path()).keep(&entry(1, 5)).unwrap();
        let path = age(home.path(), 1, 100);
        let swept = |max_age_ms: u64| {
            let found = files(home.path()).unwrap();
            without_descriptors(|| sweep_files(found, SystemTime::now(), Some(max_age_ms), Some(0), false))
        };
        assert_eq!(swept(200_000), Swept::default());
        let found = files(home.path()).unwrap();
        let refused = without_descriptors(|| living_in(found, read_file)).unwrap_err().to_string();
        assert!(refused.contains(&path.display().to_string()), "{refused}");
        assert_eq!(living_blobs(home.path()).unwrap().blobs.len(), 2);
        assert_eq!(swept(50_000).entries, 1);
    }

    #[test]
    fn what_can_never_be_read_refers_to_nothing_and_is_named() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::new(home.path());
        (1..=2).for_each(|n| cache.keep(&entry(n, 5)).unwrap());
        let path = age(home.path(), 1, 100);
        let living = |error: Errno| {
            living_in(files(home.path()).unwrap(), |one| {
                if one == path { Err(EntryError::Unreadable(error.into())) } else { read_file(one) }
            })
        };
        for error in [Errno::ACCESS, Errno::IO] {
            let Living { blobs, unreadable } = living(error).unwrap();
            let others = ["file2", "secret2"].map(|blob| BlobId(blob.to_owned()));
            assert_eq!(blobs, BTreeSet::from(others), "{error}");
            assert!(
                unreadable.len() == 1 && unreadable[0].contains(&*path.to_string_lossy()),
                "{unreadable:?}"
            );
        }
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(living(error).is_err(), "{error}");
        }
    }
}
