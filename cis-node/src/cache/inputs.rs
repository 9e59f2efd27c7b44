//! The files that a key covers: those below a directory that globs match, and what links among them lead to.
//!
//! Owns which files these are, and their order. What is read of them is the caller's matter.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, readlinkat};
use rustix::io::Errno;

use crate::files::{FilesError, Found, Globs, Kind, Limits, Stop, Tree, check_still_matched, find, split};

const LIMITS: Limits = Limits { found_max: 500_000, seen_max: 2_000_000 };

/// Links to directories are followed through so many others.
const DEPTH_MAX: usize = 16;

/// Matches each file below a directory.
const ALL: &str = "**";

/// A file or a link that belongs to the key.
pub(super) enum Input<'a> {
    /// A regular file.
    File(&'a File),
    /// A link, and where it points to. What is there comes next, if it is a file or a directory that can be read: its names begin with that
    /// of the link.
    Link(&'a [u8]),
}

/// Gets the name below the directory, and the full path. If a link vanished meanwhile, it must fail before it has taken anything.
type Take<'a> = dyn FnMut(&Path, &Path, Input<'_>) -> Result<(), FilesError> + 'a;

/// The files and links that the globs match.
pub(super) struct Inputs {
    tree: Tree,
    globs: Globs,
    found: Vec<Found>,
}

impl Inputs {
    pub(super) fn find(cwd: &Path, globs: &[String], stop: &Stop) -> Result<Self, FilesError> {
        let tree = Tree::open(cwd).map_err(|source| FilesError::Read { path: cwd.to_owned(), source })?;
        let globs = Globs::new(globs)?;
        let found = find(&tree, &globs, true, LIMITS, stop)?;
        Ok(Self { tree, globs, found })
    }

    /// Gives each of them to `take`, and returns how many the globs match. A link counts once, whatever it leads to. What vanished since the
    /// search is not among them, as if the search had come later.
    pub(super) fn visit(self, stop: &Stop, take: &mut Take<'_>) -> Result<usize, FilesError> {
        let Self { tree, globs, found } = self;
        let dir = tree.path().to_owned();
        let gone = Visit { seen: HashSet::new(), depth: 0, stop, take }.all(tree, &found, Path::new(""))?;
        if !gone.is_empty() {
            // Both are in the order of their paths.
            let left = found.iter().filter(|one| gone.binary_search(one).is_err());
            check_still_matched(&globs, left.map(|one| one.path.as_path()), &dir)?;
        }
        Ok(found.len() - gone.len())
    }
}

struct Visit<'a, 'b> {
    /// Directories that links led to: links may form a cycle.
    seen: HashSet<(u64, u64)>,
    /// So many links led here.
    depth: usize,
    stop: &'a Stop,
    take: &'a mut Take<'b>,
}

impl Visit<'_, '_> {
    /// What was found below a directory that has this name. Returns which of it vanished meanwhile.
    fn all<'f>(
        &mut self,
        mut tree: Tree,
        found: &'f [Found],
        name: &Path,
    ) -> Result<Vec<&'f Found>, FilesError> {
        let mut gone = Vec::new();
        for one in found {
            let Found { path, kind } = one;
            self.stop.check()?;
            let (full, name) = (tree.path().join(path), name.join(path));
            match kind {
                Kind::File => match tree.file(path) {
                    Ok(file) => (self.take)(&name, &full, Input::File(&file))?,
                    Err(error) if error.is_gone() => gone.push(one),
                    Err(error) => return Err(error),
                },
                Kind::Link => {
                    let (parent, last) = split(path);
                    let target = tree.dir(parent).and_then(|dir| Ok(readlinkat(dir, last, Vec::new())?));
                    let taken = target
                        .map_err(|source| FilesError::Read { path: full.clone(), source })
                        .and_then(|target| (self.take)(&name, &full, Input::Link(target.to_bytes())));
                    match taken {
                        Ok(()) => self.follow(&name, &full)?,
                        Err(error) if error.is_gone() => gone.push(one),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(gone)
    }

    /// What a link leads to. The task runs as the same user: what cannot be read here, it cannot read either.
    fn follow(&mut self, name: &Path, link: &Path) -> Result<(), FilesError> {
        let Some(meta) = there(link, fs::metadata(link))? else { return Ok(()) };
        if meta.is_file() {
            // Some files of `/proc` wait for what is written next.
            let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
            let file = File::options().read(true).custom_flags(flags).open(link);
            let Some(file) = there(link, file)? else { return Ok(()) };
            return (self.take)(name, link, Input::File(&file)).map_err(behind_link);
        }
        if !meta.is_dir() || leads_up(link) || !self.seen.insert((meta.dev(), meta.ino())) {
            return Ok(());
        }
        if self.depth == DEPTH_MAX {
            let source = io::Error::other(format!("links lead through more than {DEPTH_MAX} others"));
            return Err(FilesError::BehindLink { path: link.to_owned(), source });
        }
        let Some(tree) = there(link, Tree::open(link))? else { return Ok(()) };
        let found = match find(&tree, &Globs::new(&[ALL.to_owned()])?, true, LIMITS, self.stop) {
            Err(FilesError::Nothing { .. }) => return Ok(()),
            found => found,
        };
        self.depth += 1;
        let visited = found.and_then(|found| self.all(tree, &found, name).map(drop)).map_err(behind_link);
        self.depth -= 1;
        visited
    }
}

/// What a link leads to. None: nothing is there, or nothing that may be read.
fn there<T>(link: &Path, found: io::Result<T>) -> Result<Option<T>, FilesError> {
    let source = match found {
        Ok(found) => return Ok(Some(found)),
        Err(error) => error,
    };
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::NXIO) => {
            Ok(None)
        }
        _ => Err(FilesError::Read { path: link.to_owned(), source }),
    }
}

/// Whether a link leads to a directory above it: all of that would be an input.
fn leads_up(link: &Path) -> bool {
    let above = link.parent().and_then(|dir| fs::canonicalize(dir).ok());
    let target = fs::canonicalize(link).ok();
    above.zip(target).is_some_and(|(above, target)| above.starts_with(target))
}

/// An error behind a link does not fail the task: who wrote the globs may not know what the link leads to.
fn behind_link(error: FilesError) -> FilesError {
    match error {
        FilesError::Read { path, source }
            if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::WouldBlock) =>
        {
            FilesError::BehindLink { path, source }
        }
        FilesError::TooWide { dir: path, max } | FilesError::TooDeep { path, max } => {
            FilesError::BehindLink { path, source: io::Error::other(format!("more than {max} are too many")) }
        }
        other => other,
    }
}

/// The bytes of a name.
pub(super) fn bytes_of(name: &Path) -> &[u8] {
    name.as_os_str().as_bytes()
}
