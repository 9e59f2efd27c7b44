//! What tests of several modules share, also those of other crates.

use tempfile::TempDir;

/// Makes a directory that only its user can enter, as directories of sockets have to be.
pub(crate) fn private_directory() -> TempDir {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().unwrap()
}
