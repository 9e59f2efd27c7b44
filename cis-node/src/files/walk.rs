//! Finding the files that globs match.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::{FilesError, Globs, STAGING, Stop, Tree};

/// Directories below each other at most.
const DEPTH_MAX: usize = 128;

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Files and links that match.
    pub(crate) found_max: usize,
    /// Entries of directories that are looked at.
    pub(crate) seen_max: usize,
}

/// What matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A symbolic link, wherever it leads.
    Link,
}

/// A match.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// Below the directory.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

/// What a glob matched, in numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    files: usize,
    links: usize,
    dirs: usize,
}

/// Files and links below `tree` that a glob matches, each once, sorted by path.
///
/// # Errors
/// A glob that matches no file (links count where `links` is set); limits; a directory that cannot be read. With `links`, which keys
/// need, also a directory that vanishes before it is searched, because it may have another name now. Without, it counts as empty.
pub(crate) fn find(
    tree: &Tree,
    globs: &Globs,
    links: bool,
    limits: Limits,
    stop: &Stop,
) -> Result<Vec<Found>, FilesError> {
    let tallies = vec![Tally::default(); globs.all.len()];
    let mut walk = Walk { tree, globs, links, limits, stop, seen: 0, found: Vec::new(), tallies };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(tree.root(), c".", flags, Mode::empty())
        .map_err(|error| FilesError::Read { path: tree.path().to_owned(), source: error.into() })?;
    walk.enter(root, Path::new(""), 0)?;
    for (one, tally) in globs.all.iter().zip(&walk.tallies) {
        if tally.files + if links { tally.links } else { 0 } == 0 {
            return Err(nothing(&one.text, *tally, tree.path()));
        }
    }
    walk.found.sort();
    Ok(walk.found)
}

fn nothing(glob: &str, tally: Tally, dir: &Path) -> FilesError {
    let hint = if tally.dirs > 0 {
        format!(" (it matches a directory: `{}/**` is what is in it)", glob.trim_end_matches('/'))
    } else if tally.links > 0 {
        " (it matches a symbolic link: links are not followed)".to_owned()
    } else {
        String::new()
    };
    FilesError::Nothing { glob: glob.to_owned(), dir: dir.to_owned(), hint }
}

struct Walk<'a> {
    tree: &'a Tree,
    globs: &'a Globs,
    links: bool,
    limits: Limits,
    stop: &'a Stop,
    seen: usize,
    found: Vec<Found>,
    tallies: Vec<Tally>,
}

impl Walk<'_> {
    fn enter(&mut self, fd: OwnedFd, rel: &Path, depth: usize) -> Result<(), FilesError> {
        self.stop.check()?;
        let full = || self.tree.path().join(rel);
        if depth > DEPTH_MAX {
            return Err(FilesError::TooDeep { path: full(), max: DEPTH_MAX });
        }
        let unreadable = |error: Errno| FilesError::Read { path: full(), source: error.into() };
        let mut dir = Dir::new(fd).map_err(unreadable)?;
        while let Some(entry) = dir.read() {
            let entry = entry.map_err(unreadable)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." || name.as_bytes().starts_with(STAGING.as_bytes()) {
                continue;
            }
            self.seen += 1;
            if self.seen > self.limits.seen_max {
                let dir = self.tree.path().to_owned();
                return Err(FilesError::TooWide { max: self.limits.seen_max, dir });
            }
            let fd = dir.fd().map_err(unreadable)?;
            // Some file systems do not tell here (readdir(3)).
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                },
                kind => kind,
            };
            let path = rel.join(name);
            match kind {
                FileType::RegularFile => self.matched(path, Kind::File)?,
                FileType::Symlink => self.matched(path, Kind::Link)?,
                FileType::Directory => self.below(fd, name, &path, depth)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn below(
        &mut self,
        parent: impl AsFd,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), FilesError> {
        for index in self.globs.matching(path) {
            self.tallies[index].dirs += 1;
        }
        if !self.globs.reach_below(path) {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(parent, name, flags, Mode::empty()) {
            Ok(fd) => self.enter(fd, path, depth + 1),
            // It went away, or something else stands there now.
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) if !self.links => Ok(()),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {
                Err(FilesError::Read { path: self.tree.path().join(path), source: Errno::NOENT.into() })
            }
            Err(error) => Err(FilesError::Read { path: self.tree.path().join(path), source: error.into() }),
        }
    }

    fn matched(&mut self, path: PathBuf, kind: Kind) -> Result<(), FilesError> {
        let matching = self.globs.matching(&path);
        if matching.is_empty() {
            return Ok(());
        }
        for index in matching {
            let tally = &mut self.tallies[index];
            match kind {
                Kind::File => tally.files += 1,
                Kind::Link => tally.links += 1,
            }
        }
        if kind == Kind::Link && !self.links {
            return Ok(());
        }
        if self.found.len() >= self.limits.found_max {
            return Err(FilesError::TooMany { max: self.limits.found_max });
        }
        self.found.push(Found { path, kind });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const LIMITS: Limits = Limits { found_max: 10, seen_max: 100 };

    fn found(dir: &Path, globs: &[&str], links: bool, limits: Limits) -> Result<Vec<String>, FilesError> {
        let globs = Globs::new(&globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>()).unwrap();
        let tree = Tree::open(dir).unwrap();
        let found = find(&tree, &globs, links, limits, &Stop::default())?;
        Ok(found.into_iter().map(|found| found.path.display().to_string()).collect())
    }

    #[test]
    fn no_link_is_followed_and_each_file_is_found_once() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("out/b")).unwrap();
        for name in ["out/z", "out/b/y", "other"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        symlink(outside.path(), dir.path().join("out/dirlink")).unwrap();
        symlink(outside.path().join("secret"), dir.path().join("out/link")).unwrap();
        let got = found(dir.path(), &["out/**", "out/*"], false, LIMITS).unwrap();
        assert_eq!(got, ["out/b/y", "out/z"]);
        let got = found(dir.path(), &["out/**"], true, LIMITS).unwrap();
        assert_eq!(got, ["out/b/y", "out/dirlink", "out/link", "out/z"]);
        let refused = found(dir.path(), &["out/dirlink/*"], false, LIMITS).unwrap_err();
        assert!(matches!(refused, FilesError::Nothing { .. }), "{refused}");
    }

    #[test]
    fn what_matches_nothing_says_why() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        symlink("/etc/passwd", dir.path().join("link")).unwrap();
        let said = |glob: &str| found(dir.path(), &[glob], false, LIMITS).unwrap_err().to_string();
        assert!(
            said("out").ends_with("(it matches a directory: `out/**` is what is in it)"),
            "{}",
            said("out")
        );
        assert!(said("link").ends_with("(it matches a symbolic link: links are not followed)"));
        assert_eq!(said("out/**"), format!("`out/**` matches no file in {}", dir.path().display()));
    }

    #[test]
    fn searches_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..20 {
            fs::write(dir.path().join(n.to_string()), "x").unwrap();
        }
        let many = found(dir.path(), &["*"], false, LIMITS).unwrap_err();
        assert!(matches!(many, FilesError::TooMany { max: 10 }));
        let wide = found(dir.path(), &["1"], false, Limits { found_max: 10, seen_max: 5 }).unwrap_err();
        assert!(matches!(wide, FilesError::TooWide { max: 5, .. }));
        let stop = Stop::default();
        stop.set();
        let tree = Tree::open(dir.path()).unwrap();
        let globs = Globs::new(&["*".to_owned()]).unwrap();
        assert!(matches!(find(&tree, &globs, false, LIMITS, &stop), Err(FilesError::Stopped)));
    }
}
