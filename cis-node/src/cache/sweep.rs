//! What living entries refer to, and removing the old ones.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::entry::{Entry, EntryError, read_file};
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

/// Blobs that the entries of a home refer to: artifacts, and real values of outputs. An entry that is
/// damaged refers to nothing.
///
/// # Errors
/// The directory or an entry cannot be read: then nothing may be removed.
pub fn living_blobs(home: &Path) -> io::Result<BTreeSet<BlobId>> {
    blobs_of(files(home)?)
}

fn blobs_of(files: Files) -> io::Result<BTreeSet<BlobId>> {
    let mut blobs = BTreeSet::new();
    for (path, _) in files {
        match read_file(&path) {
            Ok(Some(entry)) => {
                blobs.extend(entry.outputs.into_values().filter_map(|record| record.blob));
                blobs.extend(entry.artifacts.into_iter().map(|record| record.blob));
            }
            Ok(None) | Err(EntryError::Damaged(_)) => {}
            Err(EntryError::Unreadable(error)) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        }
    }
    Ok(blobs)
}

/// Removes damaged entries, those that were not used for `max_age_ms`, and then those that were used
/// longest ago until the rest, artifacts included, has at most `max_bytes`. Entries that cannot be read now
/// stay until they are too old. Blobs stay: whoever calls this removes those that nobody refers to any more.
/// `dry_run` removes nothing.
///
/// # Errors
/// The directory cannot be read. What cannot be removed is left out of the count.
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
    for (path, metadata) in files {
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

type Files = Vec<(PathBuf, fs::Metadata)>;

/// The files of a home's cache; none where there is no cache.
fn files(home: &Path) -> io::Result<Files> {
    let mut found = Vec::new();
    for dir in list(&super::directory(home))? {
        // Of another name it is not ours: the `lost+found` of a mount, perhaps, which cannot be read.
        if dir.file_name().is_some_and(|name| name.len() == 2) && dir.is_dir() {
            for path in list(&dir)? {
                match fs::symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_file() => found.push((path, metadata)),
                    Ok(_) => {}
                    // A node removed it just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(found)
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        let living = living_blobs(home.path()).unwrap();
        assert_eq!(
            living.into_iter().collect::<Vec<_>>(),
            [names("file", &[1, 2, 3, 4]), names("secret", &[1, 2, 3, 4])].concat()
        );
        let dry = sweep(home.path(), now, Some(350_000), Some(2000), true).unwrap();
        let real = sweep(home.path(), now, Some(350_000), Some(2000), false).unwrap();
        assert_eq!(dry, real);
        assert_eq!(real.entries, 3, "4 is too old, and of the rest only one fits into 2000 bytes");
        let living = living_blobs(home.path()).unwrap();
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
        let refused = without_descriptors(|| blobs_of(found)).unwrap_err().to_string();
        assert!(refused.contains(&path.display().to_string()), "{refused}");
        assert_eq!(living_blobs(home.path()).unwrap().len(), 2);
        assert_eq!(swept(50_000).entries, 1);
    }
}
