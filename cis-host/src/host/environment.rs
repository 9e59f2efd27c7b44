//! Environments of sessions: bases that many share, what a session puts on top, and programs found
//! in their `PATH`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FileType};

/// What `PATH` is where an environment has none (as execvp(3) has it, without the current directory).
const PATH_DEFAULT: &str = "/bin:/usr/bin";
/// A program that was found is looked for again after this time, ms: somebody may install another.
const FOUND_MS: u64 = 1000;
/// So many programs are remembered.
const FOUND_MAX: usize = 256;

/// A base, ready to be handed to execve.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// Name and `NAME=value`, by name.
    vars: BTreeMap<String, CString>,
}

impl Base {
    /// # Errors
    /// What is wrong with a variable.
    pub(super) fn new(vars: BTreeMap<String, String>) -> Result<Self, String> {
        let mut ready = BTreeMap::new();
        for (name, value) in vars {
            let entry = entry(&name, &value)?;
            ready.insert(name, entry);
        }
        Ok(Self { vars: ready })
    }

    /// The variables, as [`Self::new`] takes them.
    pub(super) fn vars(&self) -> BTreeMap<String, String> {
        let names = self.vars.keys();
        names.filter_map(|name| Some((name.clone(), self.value(name)?.to_owned()))).collect()
    }

    fn value(&self, name: &str) -> Option<&str> {
        let entry = self.vars.get(name)?.to_str().ok()?;
        entry.split_once('=').map(|(_, value)| value)
    }
}

/// Environment of one session: a base and what stands above it.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    base: Option<&'a Base>,
    own: &'a BTreeMap<String, String>,
    own_entries: Vec<CString>,
}

impl<'a> Environment<'a> {
    /// `label` becomes `CIS_ATTEMPT`, whatever else is said.
    ///
    /// # Errors
    /// What is wrong with a variable.
    pub(super) fn new(
        base: Option<&'a Base>,
        own: &'a BTreeMap<String, String>,
        label: &str,
    ) -> Result<Self, String> {
        let mut own_entries = vec![entry(LABEL, label)?];
        for (name, value) in own.iter().filter(|(name, _)| *name != LABEL) {
            own_entries.push(entry(name, value)?);
        }
        Ok(Self { base, own, own_entries })
    }

    /// `NAME=value` of each.
    pub(super) fn entries(&self) -> Vec<&CStr> {
        let base = self.base.map(|base| &base.vars);
        let shadowed = |name: &String| name == LABEL || self.own.contains_key(name);
        let kept = base.into_iter().flatten().filter(|(name, _)| !shadowed(name)).map(|(_, entry)| entry);
        kept.chain(&self.own_entries).map(CString::as_c_str).collect()
    }

    pub(super) fn path(&self) -> &str {
        let base = || self.base.and_then(|base| base.value("PATH"));
        self.own.get("PATH").map(String::as_str).or_else(base).unwrap_or(PATH_DEFAULT)
    }
}

/// The variable by which a session's processes are known.
pub(super) const LABEL: &str = "CIS_ATTEMPT";

fn entry(name: &str, value: &str) -> Result<CString, String> {
    if name.is_empty() || name.contains('=') {
        return Err(format!("`{name}` cannot be the name of an environment variable"));
    }
    CString::new(format!("{name}={value}"))
        .map_err(|_| format!("the environment variable `{name}` has a null byte in it"))
}

/// Programs that were found lately.
#[derive(Debug, Default)]
pub(super) struct Programs {
    found: HashMap<String, Found>,
}

#[derive(Debug)]
struct Found {
    path: String,
    /// The directory that relative entries of the `PATH` start from; none: there are none.
    directory: Option<String>,
    program: CString,
    until_ms: u64,
}

/// Why no program was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    /// In no directory of the `PATH`.
    Nowhere,
    /// Here, and it may not be executed.
    NotExecutable(PathBuf),
    /// The name has a null byte or is empty.
    Name,
}

impl Programs {
    /// The file of a program: as execvp(3) finds it in `path`. A name with a slash is the file itself.
    pub(super) fn find(
        &mut self,
        name: &str,
        path: &str,
        directory: &str,
        now_ms: u64,
    ) -> Result<CString, NotFound> {
        let plain = |file: &Path| CString::new(file.as_os_str().as_bytes()).map_err(|_| NotFound::Name);
        if name.is_empty() {
            return Err(NotFound::Name);
        }
        if name.contains('/') {
            return plain(Path::new(name));
        }
        let is_relative = path.split(':').any(|folder| !folder.starts_with('/'));
        let from = is_relative.then_some(directory);
        let holds = |found: &&Found| {
            found.path == path && found.directory.as_deref() == from && now_ms < found.until_ms
        };
        if let Some(found) = self.found.get(name).filter(holds) {
            return Ok(found.program.clone());
        }
        let program = plain(&search(name, path, directory)?)?;
        if self.found.len() >= FOUND_MAX {
            self.found.clear();
        }
        let found = Found {
            path: path.to_owned(),
            directory: from.map(str::to_owned),
            program: program.clone(),
            until_ms: now_ms + FOUND_MS,
        };
        self.found.insert(name.to_owned(), found);
        Ok(program)
    }

    /// What was found is not there any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.found.remove(name);
    }
}

fn search(name: &str, path: &str, directory: &str) -> Result<PathBuf, NotFound> {
    let mut refused = None;
    for folder in path.split(':') {
        // An empty entry is the current directory; a relative one starts from it.
        let file = Path::new(directory).join(folder).join(name);
        if rustix::fs::access(&file, Access::EXEC_OK).is_ok() {
            if is_file(&file) {
                return Ok(file);
            }
        } else if refused.is_none() && is_file(&file) {
            refused = Some(file);
        }
    }
    Err(refused.map_or(NotFound::Nowhere, NotFound::NotExecutable))
}

fn is_file(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn own_variables_shadow_the_base_and_the_label_shadows_all() {
        let base = Base::new(map(&[("A", "1"), ("B", "2"), ("CIS_ATTEMPT", "x"), ("PATH", "/p")])).unwrap();
        let own = map(&[("B", "3"), ("CIS_ATTEMPT", "y")]);
        let environment = Environment::new(Some(&base), &own, "label").unwrap();
        let mut entries = environment.entries();
        entries.sort_unstable();
        assert_eq!(entries, [c"A=1", c"B=3", c"CIS_ATTEMPT=label", c"PATH=/p"]);
        assert_eq!(environment.path(), "/p");
    }

    #[test]
    fn names_that_would_become_something_else_are_refused() {
        for name in ["", "A=B"] {
            assert!(Base::new(map(&[(name, "1")])).is_err(), "{name:?}");
        }
        assert!(Base::new(map(&[("A", "a\0b")])).is_err());
    }

    #[test]
    fn programs_are_found_in_order_and_directories_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (file, mode) in [("a/tool", 0o644), ("b/tool", 0o755), ("c/tool", 0o755), ("a/plain", 0o644)] {
            fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            fs::write(at(file), "").unwrap();
            fs::set_permissions(at(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(at("a/folder")).unwrap();
        let path = format!("{}:b:{}", at("a").display(), at("c").display());
        let directory = folder.path().to_str().unwrap();
        let mut programs = Programs::default();
        let found = programs.find("tool", &path, directory, 0).unwrap();
        assert_eq!(found.to_str().unwrap(), at("b/tool").to_str().unwrap());
        assert_eq!(programs.find("folder", &path, directory, 0), Err(NotFound::Nowhere));
        assert_eq!(programs.find("plain", &path, directory, 0), Err(NotFound::NotExecutable(at("a/plain"))));
        fs::remove_file(at("b/tool")).unwrap();
        assert_eq!(programs.find("tool", &path, directory, FOUND_MS - 1).unwrap(), found);
        let later = programs.find("tool", &path, directory, FOUND_MS).unwrap();
        assert_eq!(later.to_str().unwrap(), at("c/tool").to_str().unwrap());
        assert_eq!(programs.find("./x", &path, directory, 0).unwrap().as_c_str(), c"./x");
    }

    #[test]
    fn a_relative_entry_of_the_path_starts_from_the_directory_of_each_session() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for file in ["one/tool", "two/tool"] {
            fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            fs::write(at(file), "").unwrap();
            fs::set_permissions(at(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut programs = Programs::default();
        for path in [".:/bin", ":/bin", "/bin:"] {
            for directory in ["one", "two", "one"].map(at) {
                let found = programs.find("tool", path, directory.to_str().unwrap(), 0).unwrap();
                let found = fs::canonicalize(found.to_str().unwrap()).unwrap();
                assert_eq!(found, fs::canonicalize(directory.join("tool")).unwrap(), "{path}");
            }
        }
    }
}
