//! Programs as they were kept with their run, put in place for one call and removed after it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use cis_core::ids::BlobId;
use cis_store::Blobs;

/// Nothing is started while a program is written: what is started has the open file until it has called exec, and no
/// program is run that is open for writing (ETXTBSY, execve(2)).
pub(super) static WRITES: RwLock<()> = RwLock::new(());

/// See the module. Dropped, nothing is left of it.
pub(super) struct Placed(PathBuf);

impl Placed {
    /// Puts each file at its path below `dir`, which must not be there yet. Its content is what was kept, or nothing is
    /// run: a blob that was changed is not.
    pub(super) fn put(dir: &Path, files: &[(PathBuf, BlobId)], blobs: &Blobs) -> Result<Self, String> {
        let placed = Self(dir.to_owned());
        for (path, blob) in files {
            let name = path.display();
            let bytes = blobs.get(blob).map_err(|error| format!("{name} cannot be put in place: {error}"))?;
            let bytes = bytes
                .ok_or_else(|| format!("{name} cannot be put in place: its content {} is gone", blob.0))?;
            write(path, &bytes).map_err(|error| format!("{name} cannot be put in place: {error}"))?;
        }
        Ok(placed)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        // What stays is removed by a cleaning of the store.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let _nothing_starts = WRITES.read().unwrap_or_else(PoisonError::into_inner);
    OpenOptions::new().write(true).create_new(true).mode(0o500).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use cis_store::Safety;

    #[test]
    fn what_was_kept_is_there_as_long_as_it_is_needed_and_nothing_else_is_run() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(home.path());
        let blob = blobs.put(b"#!/bin/sh\n", Safety::Processes).unwrap();
        let dir = home.path().join("one");
        let files = [(dir.join("0/tell.sh"), blob.clone())];
        let placed = Placed::put(&dir, &files, &blobs).unwrap();
        assert_eq!(fs::read(&files[0].0).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::metadata(&files[0].0).unwrap().permissions().mode() & 0o777, 0o500);
        drop(placed);
        assert!(!dir.exists());
        let kept = home.path().join("blobs").join(&blob.0[..2]).join(&blob.0);
        fs::write(&kept, "#!/bin/sh\ncis answer …\n").unwrap();
        assert!(Placed::put(&dir, &files, &blobs).is_err());
        fs::remove_file(&kept).unwrap();
        assert!(Placed::put(&dir, &files, &blobs).err().unwrap().contains("is gone"));
        assert!(!dir.exists());
    }
}
