//! Where things are: the repository's root, cargo's target directory, the files of a folder.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::process::{cargo, stdout_of};

/// The repository's root, the folder above this package.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map(Path::to_path_buf).unwrap_or(here)
}

/// Where cargo builds to, whatever environment and configuration say.
pub(crate) fn target_dir() -> Outcome<PathBuf> {
    let metadata = stdout_of(cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    let (_, rest) = metadata
        .split_once("\"target_directory\":\"")
        .ok_or("`cargo metadata` names no target directory; is this cargo newer than xtask knows?")?;
    let (path, _) = rest.split_once('"').ok_or("`cargo metadata` ended in the middle of a path")?;
    Ok(PathBuf::from(path.replace("\\\\", "\\")))
}

/// All files below `folder` whose name ends with `ending`, sorted. Build output and hidden folders are left out.
pub(crate) fn files_below(folder: &Path, ending: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries =
            std::fs::read_dir(&folder).map_err(|e| format!("cannot list {}: {e}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|e| format!("cannot list {}: {e}", folder.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
