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

use crate::files::{FilesError, Found, Globs, Kind, Limits, Stop, Tree, find, search_until_stable, split};

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

/// Gets the name below the directory, and the full path.
type Take<'a> = dyn FnMut(&Path, &Path, Input<'_>) -> Result<(), FilesError> + 'a;

/// Reads the files and links below `cwd` that the globs match. `begin` gets how many there are; a link counts once, whatever it leads to. What it
/// returns is given to `take` with each of them. If one vanishes meanwhile, both begin anew ([`search_until_stable`]).
pub(super) fn read_inputs<T>(
    cwd: &Path,
    globs: &[String],
    stop: &Stop,
    begin: impl Fn(usize) -> T,
    mut take: impl FnMut(&mut T, &Path, &Path, Input<'_>) -> Result<(), FilesError>,
) -> Result<T, FilesError> {
    let globs = Globs::new(globs)?;
    search_until_stable(cwd, |tree| {
        let found = find(&tree, &globs, true, LIMITS, stop)?;
        let mut made = begin(found.len());
        let mut take = |name: &Path, full: &Path, input: Input<'_>| take(&mut made, name, full, input);
        Visit { seen: HashSet::new(), depth: 0, stop, take: &mut take }.all(tree, &found, Path::new(""))?;
        Ok(made)
    })
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
        let visited = found.and_then(|found| self.all(tree, &found, name)).map_err(behind_link);
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// How many inputs there are below a directory, and what is read, if `meanwhile` happens after each of them.
    fn read(
        dir: &Path,
        glob: &str,
        mut meanwhile: impl FnMut(&Path),
    ) -> Result<(usize, Vec<PathBuf>), FilesError> {
        let begin = |count: usize| (count, Vec::new());
        read_inputs(dir, &[glob.to_owned()], &Stop::default(), begin, |(_, names), name, _, _| {
            names.push(name.to_owned());
            meanwhile(name);
            Ok(())
        })
    }

    fn place(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        names.iter().for_each(|name| fs::write(dir.path().join(name), "1").unwrap());
        dir
    }

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn what_is_renamed_while_inputs_are_read_is_read_under_its_new_name() {
        let (dir, outside) = (place(&["in/a", "in/z.part"]), place(&["in/a", "in/z.part"]));
        let finish = |place: &Path, after: &Path| {
            if after.ends_with("a") {
                let _ = fs::rename(place.join("in/z.part"), place.join("in/b"));
            }
        };
        let seen = read(dir.path(), "in/**", |name| finish(dir.path(), name)).unwrap();
        assert_eq!(seen, (2, paths(&["in/a", "in/b"])));
        symlink(outside.path().join("in"), dir.path().join("in/link")).unwrap();
        let seen = read(dir.path(), "in/link", |name| finish(outside.path(), name)).unwrap();
        assert_eq!(seen, (1, paths(&["in/link", "in/link/a", "in/link/b"])), "behind a link");
    }

    #[test]
    fn what_is_removed_while_inputs_are_read_is_none() {
        let dir = place(&["in/a", "in/b", "in/c"]);
        fs::create_dir(dir.path().join("in/dir")).unwrap();
        fs::write(dir.path().join("in/dir/d"), "1").unwrap();
        symlink("nowhere", dir.path().join("in/link")).unwrap();
        let seen = read(dir.path(), "in/**", |_| {
            let _ = fs::remove_file(dir.path().join("in/b"));
            let _ = fs::remove_file(dir.path().join("in/link"));
            let _ = fs::remove_dir_all(dir.path().join("in/dir"));
        });
        assert_eq!(seen.unwrap(), (2, paths(&["in/a", "in/c"])));
        let refused = read(dir.path(), "in/*", |_| {
            let _ = fs::remove_dir_all(dir.path().join("in"));
        });
        assert!(matches!(refused, Err(FilesError::Nothing { .. })), "{refused:?}");
    }

    #[test]
    fn inputs_that_keep_changing_are_an_error() {
        let dir = place(&["in/a", "in/b0"]);
        let mut renames = 0;
        let refused = read(dir.path(), "in/**", |_| {
            let [from, to] = [renames, renames + 1].map(|n| dir.path().join(format!("in/b{n}")));
            fs::rename(from, to).unwrap();
            renames += 1;
        });
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("keep changing"), "{refused}");
        assert!(matches!(&refused, FilesError::Changing { path } if path.ends_with("in/b2")), "{refused}");
        assert_eq!(renames, 3);
    }
}
