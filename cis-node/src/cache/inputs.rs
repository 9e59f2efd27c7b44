//! The files that a key covers: those below a directory that globs match, and what links among them lead to.
//!
//! Owns which files these are, and their order. What is read of them is the caller's matter.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, readlinkat};

use crate::files::{FilesError, Found, Globs, Kind, Limits, Stop, Tree, find, split};

const LIMITS: Limits = Limits { found_max: 500_000, seen_max: 2_000_000 };

/// Matches each file below a directory.
const ALL: &str = "**";

/// One of them.
pub(super) enum Input<'a> {
    /// A regular file.
    File(&'a File),
    /// A link, and where it points to. What is there comes next, if it is a file or a directory that can be read: its names begin with that
    /// of the link.
    Link(&'a [u8]),
}

/// Called with the name and the full path of each.
type Take<'a> = dyn FnMut(&Path, &Path, Input<'_>) -> Result<(), FilesError> + 'a;

/// How many files and links the globs match, and then each of them.
pub(super) struct Inputs {
    tree: Tree,
    found: Vec<Found>,
}

impl Inputs {
    pub(super) fn find(cwd: &Path, globs: &[String], stop: &Stop) -> Result<Self, FilesError> {
        let tree = Tree::open(cwd).map_err(|source| FilesError::Read { path: cwd.to_owned(), source })?;
        let found = find(&tree, &Globs::new(globs)?, true, LIMITS, stop)?;
        Ok(Self { tree, found })
    }

    /// Links that the globs match count once, whatever they lead to.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn visit(self, stop: &Stop, take: &mut Take<'_>) -> Result<(), FilesError> {
        let Self { tree, found } = self;
        Visit { seen: HashSet::new(), stop, take }.all(tree, &found, Path::new(""))
    }
}

struct Visit<'a, 'b> {
    /// Directories that links led to: links may lead in a circle.
    seen: HashSet<(u64, u64)>,
    stop: &'a Stop,
    take: &'a mut Take<'b>,
}

impl Visit<'_, '_> {
    /// What was found below a directory that has this name.
    fn all(&mut self, mut tree: Tree, found: &[Found], name: &Path) -> Result<(), FilesError> {
        for Found { path, kind } in found {
            self.stop.check()?;
            let (full, name) = (tree.path().join(path), name.join(path));
            match kind {
                Kind::File => (self.take)(&name, &full, Input::File(&tree.file(path)?))?,
                Kind::Link => {
                    let (parent, last) = split(path);
                    let target = tree.dir(parent).and_then(|dir| Ok(readlinkat(dir, last, Vec::new())?));
                    let target = target.map_err(|source| FilesError::Read { path: full.clone(), source })?;
                    (self.take)(&name, &full, Input::Link(target.to_bytes()))?;
                    self.follow(&name, &full)?;
                }
            }
        }
        Ok(())
    }

    /// What a link leads to. The task runs as the same user: what cannot be read here, it cannot read either.
    fn follow(&mut self, name: &Path, link: &Path) -> Result<(), FilesError> {
        let Ok(meta) = fs::metadata(link) else { return Ok(()) };
        if meta.is_file() {
            // Some files of `/proc` wait for what is written next.
            let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
            let Ok(file) = File::options().read(true).custom_flags(flags).open(link) else { return Ok(()) };
            return (self.take)(name, link, Input::File(&file));
        }
        if !meta.is_dir() || !self.seen.insert((meta.dev(), meta.ino())) {
            return Ok(());
        }
        let Ok(tree) = Tree::open(link) else { return Ok(()) };
        match find(&tree, &Globs::new(&[ALL.to_owned()])?, true, LIMITS, self.stop) {
            Ok(found) => self.all(tree, &found, name),
            Err(FilesError::Nothing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The bytes of a name.
pub(super) fn bytes_of(name: &Path) -> &[u8] {
    name.as_os_str().as_bytes()
}
