//! Contents of files that were read before and did not change since.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use cis_core::ids::BlobId;
use cis_local::now_ms;

/// Files that are remembered; more: all are forgotten, and read again.
const REMEMBERED_MAX: usize = 100_000;

/// A file that changed lately may change again without another time, ms.
const SETTLED_MS: i64 = 2_000;

/// What another write changes: size, and the times of the content and of the inode (inode(7)).
pub(crate) type Stamp = (u64, i64, i64, i64, i64);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct KnownFiles(Mutex<HashMap<(u64, u64), (Stamp, BlobId)>>);

impl KnownFiles {
    /// The content of a file, where it was read before.
    pub(crate) fn get(&self, file: &Metadata) -> Option<BlobId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (stamp, blob) = known.get(&(file.dev(), file.ino()))?;
        (*stamp == stamp_of(file)).then(|| blob.clone())
    }

    /// Notes the content of a file. `before` and `after`: as it was around the reading.
    pub(crate) fn note(&self, before: &Metadata, after: &Metadata, blob: &BlobId) {
        let settled = after.ctime().saturating_mul(1000).saturating_add(SETTLED_MS) < now_ms();
        if !settled || stamp_of(before) != stamp_of(after) {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert((after.dev(), after.ino()), (stamp_of(after), blob.clone()));
    }
}

pub(crate) fn stamp_of(file: &Metadata) -> Stamp {
    (file.size(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_file_is_known_until_it_changes_and_one_that_changed_lately_is_not() {
        let folder = crate::testing::private_directory();
        let (path, blob) = (folder.path().join("a"), BlobId("0".repeat(64)));
        fs::write(&path, "one").unwrap();
        let known = KnownFiles::default();
        let meta = || fs::metadata(&path).unwrap();
        known.note(&meta(), &meta(), &blob);
        assert_eq!(known.get(&meta()), None, "its times may not tell the next write");
        // Nobody can set the time of an inode: that of one which is settled is some other file's.
        let settled = ["/etc/passwd", "/bin/sh", "/proc/self/exe"]
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .find(|meta| meta.ctime() * 1000 + SETTLED_MS < now_ms())
            .unwrap();
        known.note(&settled, &settled, &blob);
        assert_eq!(known.get(&settled), Some(blob.clone()));
        known.note(&settled, &meta(), &blob);
        assert_eq!(known.get(&meta()), None);
        File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(99))
            .unwrap();
        assert_eq!(known.get(&meta()), None);
    }
}
