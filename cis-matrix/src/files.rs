//! The folder of a login's store: the SDK makes its files readable for everybody.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use crate::MatrixError;

/// Makes the folder ours alone, before anything is in it.
pub(crate) fn make_private(folder: &Path) -> Result<(), MatrixError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| failed(folder, &e))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|e| failed(folder, &e))
}

/// Makes the files in it ours alone: the folder may be copied.
pub(crate) fn tighten(folder: &Path) -> Result<(), MatrixError> {
    for entry in fs::read_dir(folder).map_err(|e| failed(folder, &e))? {
        let path = entry.map_err(|e| failed(folder, &e))?.path();
        match fs::set_permissions(&path, fs::Permissions::from_mode(0o600)) {
            // SQLite removes its own while we look.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|e| failed(&path, &e))?,
        }
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> MatrixError {
    MatrixError::Store { detail: format!("{}: {error}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_and_files_are_ours_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let folder = tmp.path().join("a/b");
        make_private(&folder).unwrap();
        let file = folder.join("x.sqlite3");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        tighten(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    }
}
