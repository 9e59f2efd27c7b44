//! Writing files below a directory that somebody named, and nowhere else: no link below it is followed, and
//! what is there stays unless it may be written over.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, linkat, mkdirat, open, openat, renameat, renameat_with,
    statat, unlinkat,
};
use rustix::io::Errno;

/// Why a file is not written.
#[derive(Debug)]
pub(crate) enum PlaceError {
    /// Something is there.
    There { path: PathBuf },
    /// It would lie outside of the directory.
    Outside { path: PathBuf },
    /// The system says no.
    Io { path: PathBuf, source: io::Error },
}

impl std::fmt::Display for PlaceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::There { path } => {
                write!(f, "{} already exists and was not overwritten", path.display())
            }
            Self::Outside { path } => {
                write!(
                    f,
                    "cannot write {}: its path leaves the directory through a link or `..`",
                    path.display()
                )
            }
            Self::Io { path, source } => write!(f, "cannot write {}: {source}", path.display()),
        }
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory to write below.
pub(crate) struct Folder {
    root: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// The directory at `path`, which is made where it is missing. Links in `path` itself are the caller's.
    pub(crate) fn make(path: &Path) -> Result<Self, PlaceError> {
        let refuse = |source| PlaceError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(refuse)?;
        let root = open(path, DIRECTORY, Mode::empty()).map_err(|error| refuse(error.into()))?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// Whether a file can be put at `rel`. Makes nothing.
    pub(crate) fn check(&self, rel: &Path, force: bool) -> Result<(), PlaceError> {
        let full = self.path.join(rel);
        if rel.as_os_str().is_empty() || !rel.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(PlaceError::Outside { path: full });
        }
        let mut at: Option<OwnedFd> = None;
        for name in rel.parent().into_iter().flatten() {
            let parent = at.as_ref().map_or(self.root.as_fd(), |fd| fd.as_fd());
            match openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(dir) => at = Some(dir),
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(refused(full, error)),
            }
        }
        let parent = at.as_ref().map_or(self.root.as_fd(), |fd| fd.as_fd());
        match statat(parent, name_of(rel), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Ok(stat) if force && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(()),
            Ok(_) => Err(PlaceError::There { path: full }),
            Err(error) => Err(refused(full, error)),
        }
    }

    /// Begins a file of this mode, from which the caller's umask takes rights, and which will lie at `rel`.
    pub(crate) fn create(&mut self, rel: &Path, mode: u32) -> Result<NewFile, PlaceError> {
        let full = self.path.join(rel);
        let refuse = |error: Errno| refused(full.clone(), error);
        let mut at: Option<OwnedFd> = None;
        for name in rel.parent().into_iter().flatten() {
            let parent = at.as_ref().map_or(self.root.as_fd(), |fd| fd.as_fd());
            match mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(refuse(error)),
            }
            at = Some(openat(parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(refuse)?);
        }
        let dir = match at {
            Some(dir) => dir,
            None => openat(&self.root, c".", DIRECTORY, Mode::empty()).map_err(refuse)?,
        };
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| PlaceError::Io {
            path: full.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        let temporary = format!(".cis-{}", hex::encode(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&dir, &*temporary, flags, Mode::from_raw_mode(mode)).map_err(refuse)?;
        Ok(NewFile { dir, file: File::from(file), temporary, name: name_of(rel).to_owned(), full })
    }
}

/// A file that is not in its place yet. Dropped, it goes away.
pub(crate) struct NewFile {
    dir: OwnedFd,
    file: File,
    temporary: String,
    name: std::ffi::OsString,
    full: PathBuf,
}

impl NewFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), PlaceError> {
        self.file.write_all(bytes).map_err(|source| PlaceError::Io { path: self.full.clone(), source })
    }

    /// Puts it in its place; over a file that is there where that is wanted.
    pub(crate) fn place(self, force: bool) -> Result<(), PlaceError> {
        let placed = if force {
            renameat(&self.dir, &*self.temporary, &self.dir, &self.name)
        } else {
            // Unlike a rename, a link is never put over something.
            match linkat(&self.dir, &*self.temporary, &self.dir, &self.name, AtFlags::empty()) {
                Err(error) if has_no_links(error) => self.rename_to_free_name(),
                linked => linked,
            }
        };
        placed.map_err(|error| refused(self.full.clone(), error))
    }

    /// Renames it without putting it over something, for file systems without hard links.
    fn rename_to_free_name(&self) -> Result<(), Errno> {
        let flags = RenameFlags::NOREPLACE;
        match renameat_with(&self.dir, &*self.temporary, &self.dir, &self.name, flags) {
            // Not every file system can do that (renameat2(2)).
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.rename_to_claimed_name(),
            renamed => renamed,
        }
    }

    /// The same without help of the kernel: an empty file claims the name, and only that one is replaced.
    fn rename_to_claimed_name(&self) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        drop(openat(&self.dir, &self.name, flags, Mode::RUSR | Mode::WUSR)?);
        let renamed = renameat(&self.dir, &*self.temporary, &self.dir, &self.name);
        if renamed.is_err() {
            let _ = unlinkat(&self.dir, &self.name, AtFlags::empty());
        }
        renamed
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = unlinkat(&self.dir, &*self.temporary, AtFlags::empty());
    }
}

/// Whether a link failed because of the file system (FAT, many network file systems and those in user space), or because of
/// its limits, and not because of the name (link(2)).
fn has_no_links(error: Errno) -> bool {
    matches!(error, Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV | Errno::MLINK)
}

fn name_of(rel: &Path) -> &OsStr {
    rel.file_name().unwrap_or_default()
}

fn refused(path: PathBuf, error: Errno) -> PlaceError {
    match error {
        Errno::LOOP | Errno::NOTDIR => PlaceError::Outside { path },
        Errno::EXIST => PlaceError::There { path },
        error => PlaceError::Io { path, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_a_free_name_and_no_other_one_also_without_hard_links() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::make(dir.path()).unwrap();
        for name in ["renamed", "claimed"] {
            let put = |file: &NewFile| match name {
                "renamed" => file.rename_to_free_name(),
                _ => file.rename_to_claimed_name(),
            };
            let mut create = |text: &[u8]| {
                let mut file = folder.create(Path::new(name), 0o600).unwrap();
                file.write(text).unwrap();
                file
            };
            put(&create(b"first")).unwrap();
            assert_eq!(put(&create(b"second")), Err(Errno::EXIST), "{name}");
            assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), b"first", "{name}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn only_what_the_file_system_cannot_do_is_done_otherwise() {
        assert!([Errno::PERM, Errno::OPNOTSUPP, Errno::XDEV, Errno::MLINK].into_iter().all(has_no_links));
        assert!(![Errno::EXIST, Errno::ACCESS, Errno::NOSPC, Errno::ROFS].into_iter().any(has_no_links));
    }
}
