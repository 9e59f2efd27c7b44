//! The home directory of a node and the places in it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::{DirectoryError, Lock, Place, check_parent, check_private, open_regular, read_regular};
use cis_core::ids::{RunId, SessionId, TaskId};

/// Length of `sun_path` less the final NUL (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// SQLite opens files whose path has at most 512 bytes, with the suffix of an auxiliary file.
const HOME_BYTES_MAX: usize = 490;

/// Name of the file that says where the sockets are.
const RUNTIME_PIN: &str = "runtime-dir";

/// Lock files that the home's node and its session host hold.
const NODE_LOCK: &str = "node.lock";
const HOST_LOCK: &str = "host.lock";

/// Names of their sockets in the runtime directory.
const NODE_SOCKET: &str = "node.sock";
const HOST_SOCKET: &str = "host.sock";

/// Why there is no usable home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither `CIS_HOME` nor `HOME` says where it is.
    #[error("cannot tell where to keep state: set CIS_HOME or HOME")]
    Nowhere,
    /// A directory could not be made.
    #[error("cannot make the directory {}: {source}; set CIS_HOME to a place that you can write", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The home, or a directory above it, is a symbolic link whose target does not exist.
    #[error(
        "cannot make the directory {}: {} is a symbolic link to {}, which does not exist; mount its disk, or set CIS_HOME to \
         another directory",
        path.display(), link.display(), target.display()
    )]
    DanglingLink {
        /// The directory.
        path: PathBuf,
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// The path of the home cannot stand in JSON, or in the variables of a session that are text.
    #[error("cannot use the home {}: its path is not UTF-8; use another one with --home DIR or CIS_HOME", .0.display())]
    NotUtf8(PathBuf),
    /// The path of the home is longer than paths of databases can be.
    #[error("cannot use the home {}: its path is longer than {HOME_BYTES_MAX} bytes; set CIS_HOME to a shorter one", .0.display())]
    TooLong(PathBuf),
    /// A directory for sockets belongs to somebody else, or others can enter it.
    #[error("cannot use a socket: {0}; set XDG_RUNTIME_DIR to a directory of your own (mode 0700)")]
    Runtime(#[source] DirectoryError),
    /// The home is a file.
    #[error("cannot use the home {}: it is not a directory; use another one with --home DIR or CIS_HOME", .0.display())]
    NoDirectory(PathBuf),
    /// The home belongs to another user.
    #[error(
        "cannot use the home {}: it belongs to uid {owner}, not to uid {me}; run this as its owner, or use a home of your \
         own with --home DIR or CIS_HOME",
        path.display()
    )]
    Foreign {
        /// The home.
        path: PathBuf,
        /// Uid of its owner.
        owner: u32,
        /// Uid of this process.
        me: u32,
    },
    /// Other users can change the content of the home.
    #[error(
        "cannot use the home {0}: others can write to it (mode {mode:o}); check that nobody changed anything in it, then run: \
         chmod go-rwx {quoted}",
        path.display(),
        quoted = shell_word(path)
    )]
    Writable {
        /// The home.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A socket's path would be longer than a Unix socket's address can be.
    #[error("the socket path {} is longer than {SOCKET_PATH_BYTES_MAX} bytes: set XDG_RUNTIME_DIR to a shorter one", path.display())]
    SocketPathTooLong {
        /// Which.
        path: PathBuf,
    },
}

/// Returns the path as one word of a shell command.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%:,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Where a node keeps its state (`CIS_HOME`, else `~/.cis`) and its sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// State, absolute.
    pub dir: PathBuf,
    /// Sockets, absolute; differs for every home.
    pub runtime: PathBuf,
}

impl Home {
    /// Finds it from the values of `CIS_HOME`, `HOME` and `XDG_RUNTIME_DIR`. Makes nothing.
    ///
    /// # Errors
    /// [`HomeError::Nowhere`], [`HomeError::NotUtf8`], or a path that is too long for sockets.
    pub fn locate(
        cis_home: Option<OsString>,
        home: Option<OsString>,
        xdg_runtime: Option<OsString>,
    ) -> Result<Self, HomeError> {
        let set = |value: Option<OsString>| value.filter(|v| !v.is_empty()).map(PathBuf::from);
        let dir = match (set(cis_home), set(home)) {
            (Some(dir), _) => dir,
            (None, Some(home)) => home.join(".cis"),
            (None, None) => return Err(HomeError::Nowhere),
        };
        let dir = std::path::absolute(&dir).map_err(|source| HomeError::Make { path: dir, source })?;
        // Two homes must never share a socket, and a path given in two ways is one home.
        let real = canonical(&dir);
        if real.to_str().is_none() {
            return Err(HomeError::NotUtf8(real));
        }
        if let Some(runtime) = pinned_runtime(&real) {
            return Ok(Self { dir: real, runtime });
        }
        let base = set(xdg_runtime).filter(|path| path.is_absolute() && path.is_dir());
        let runtime =
            base.map_or_else(|| fallback_runtime(&real), |base| base.join("cis").join(digest(&real)));
        let home = Self { dir: real, runtime };
        let longest = home.host_socket();
        if longest.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(HomeError::SocketPathTooLong { path: longest });
        }
        Ok(home)
    }

    /// Makes the directories (0700) and checks that those for sockets are ours alone.
    ///
    /// # Errors
    /// A directory cannot be made, or is not safe.
    pub fn make(&self) -> Result<(), HomeError> {
        if self.dir.as_os_str().len() > HOME_BYTES_MAX {
            return Err(HomeError::TooLong(self.dir.clone()));
        }
        self.check()?;
        make_private(&self.dir)?;
        // If it was missing, another user may have made it since the first check.
        self.check()?;
        for dir in [self.logs(), self.outputs(), self.blobs()] {
            make_private(&dir)?;
        }
        if let Some(parent) = self.runtime.parent() {
            make_private(parent)?;
            check_private(parent).map_err(HomeError::Runtime)?;
            if let Some(above) = parent.parent() {
                check_parent(above).map_err(HomeError::Runtime)?;
            }
        }
        make_private(&self.runtime)?;
        check_private(&self.runtime).map_err(HomeError::Runtime)
    }

    /// Checks that only this user can change the contents of the home. A home that does not exist yet passes.
    ///
    /// # Errors
    /// [`HomeError::Foreign`], [`HomeError::Writable`], or the home cannot be inspected.
    pub fn check(&self) -> Result<(), HomeError> {
        let path = || self.dir.clone();
        let meta = match fs::metadata(&self.dir) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(HomeError::Make { path: path(), source }),
        };
        if !meta.is_dir() {
            return Err(HomeError::NoDirectory(path()));
        }
        let (owner, me) = (meta.uid(), rustix::process::geteuid().as_raw());
        if owner != me {
            return Err(HomeError::Foreign { path: path(), owner, me });
        }
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o022 != 0 { Err(HomeError::Writable { path: path(), mode }) } else { Ok(()) }
    }

    /// Returns a warning if other users can read the home.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let mode = fs::metadata(&self.dir).ok()?.permissions().mode() & 0o777;
        let shown = self.dir.display();
        (mode & 0o077 != 0).then(|| {
            format!(
                "others can read the home {shown} (mode {mode:o}): run chmod 700 {}",
                shell_word(&self.dir)
            )
        })
    }

    /// The node of this home.
    #[must_use]
    pub fn node_place(&self) -> Place {
        Place::of_holder(self.node_socket(), self.node_lock())
    }

    /// The session host of this home.
    #[must_use]
    pub fn host_place(&self) -> Place {
        Place::of_holder(self.host_socket(), self.host_lock())
    }

    /// Says in the home where the sockets are, so that a caller whose `XDG_RUNTIME_DIR` differs (cron,
    /// ssh, su) finds the same node.
    ///
    /// # Errors
    /// The home cannot be written.
    pub fn pin_runtime(&self) -> Result<(), HomeError> {
        let path = self.dir.join(RUNTIME_PIN);
        let text = self.runtime.as_os_str().as_encoded_bytes();
        if read_regular(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let mut options = fs::File::options();
        let opened = open_regular(options.write(true).create(true).truncate(true), &path);
        let written = opened.and_then(|mut file| file.write_all(text));
        written.map_err(|source| HomeError::Make { path, source })
    }

    /// The API's socket.
    #[must_use]
    pub fn node_socket(&self) -> PathBuf {
        self.runtime.join(NODE_SOCKET)
    }

    /// Whether this is a path at which a node of this home listens, or listened before the runtime directory
    /// changed: sessions keep the path of their start.
    #[must_use]
    pub fn is_node_socket(&self, path: &Path) -> bool {
        let directory = path.parent().and_then(Path::file_name);
        let by_digest = || path.ends_with(NODE_SOCKET) && directory == Some(digest(&self.dir).as_ref());
        path == self.node_socket() || by_digest()
    }

    /// Where the node listens if the directory of its socket is gone for good: `XDG_RUNTIME_DIR` can be removed
    /// after the last logout.
    #[must_use]
    pub fn fallback_node_socket(&self) -> Option<PathBuf> {
        Some(fallback_runtime(&self.dir).join(NODE_SOCKET)).filter(|path| *path != self.node_socket())
    }

    /// Where the session host listens in that case.
    #[must_use]
    pub fn fallback_host_socket(&self) -> Option<PathBuf> {
        Some(fallback_runtime(&self.dir).join(HOST_SOCKET)).filter(|path| *path != self.host_socket())
    }

    /// The session host's socket.
    #[must_use]
    pub fn host_socket(&self) -> PathBuf {
        self.runtime.join(HOST_SOCKET)
    }

    /// Held by the running node.
    #[must_use]
    pub fn node_lock(&self) -> PathBuf {
        self.dir.join(NODE_LOCK)
    }

    /// Held by the running session host.
    #[must_use]
    pub fn host_lock(&self) -> PathBuf {
        self.dir.join(HOST_LOCK)
    }

    /// Seed of the node's key.
    #[must_use]
    pub fn identity_key(&self) -> PathBuf {
        self.dir.join("identity.key")
    }

    /// Whom the node trusts.
    #[must_use]
    pub fn trust_file(&self) -> PathBuf {
        self.dir.join("trust.toml")
    }

    /// Tokens of the API over TCP, by their hashes.
    #[must_use]
    pub fn tokens_file(&self) -> PathBuf {
        self.dir.join("api-tokens.json")
    }

    /// The certificate that the node made for itself.
    #[must_use]
    pub fn own_certificate(&self) -> PathBuf {
        self.dir.join("api-cert.pem")
    }

    /// The key of that certificate.
    #[must_use]
    pub fn own_certificate_key(&self) -> PathBuf {
        self.dir.join("api-key.pem")
    }

    /// What a detached node has to say.
    #[must_use]
    pub fn node_log(&self) -> PathBuf {
        self.dir.join("node.log")
    }

    /// What its session host has to say.
    #[must_use]
    pub fn host_log(&self) -> PathBuf {
        self.dir.join("host.log")
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.dir.join("cis.db")
    }

    /// Which room this node made for hybrid runs without one.
    #[must_use]
    pub fn own_room(&self) -> PathBuf {
        self.dir.join("own-room.json")
    }

    /// What the node learned of its Matrix account's allowance of messages.
    #[must_use]
    pub fn allowance(&self) -> PathBuf {
        self.dir.join("allowance.json")
    }

    /// The Matrix account: its login and the stores of it.
    #[must_use]
    pub fn matrix(&self) -> PathBuf {
        self.dir.join("matrix")
    }

    /// What is configured; it need not be there.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Content-addressed files.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    /// The rooms whose owners this node knows.
    #[must_use]
    pub fn rooms_file(&self) -> PathBuf {
        self.dir.join("rooms.json")
    }

    /// What the owners of those rooms said.
    #[must_use]
    pub fn room_statements(&self) -> PathBuf {
        self.dir.join("room-statements.json")
    }

    /// Directories of tasks that are executed for other nodes.
    #[must_use]
    pub fn remote(&self) -> PathBuf {
        self.dir.join("remote")
    }

    /// Logs of sessions.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Logs of a run's sessions.
    #[must_use]
    pub fn run_logs(&self, run: RunId) -> PathBuf {
        self.logs().join(run.to_string())
    }

    /// Log of an attempt.
    #[must_use]
    pub fn attempt_log(&self, run: RunId, task: &TaskId, attempt: u32) -> PathBuf {
        self.run_logs(run).join(format!("{task}.{attempt}.log"))
    }

    /// Log of a session without a run.
    #[must_use]
    pub fn session_log(&self, session: SessionId) -> PathBuf {
        self.logs().join(format!("{session}.log"))
    }

    /// `CIS_OUTPUT` files of live sessions.
    #[must_use]
    pub fn outputs(&self) -> PathBuf {
        self.dir.join("outputs")
    }

    /// `CIS_OUTPUT` of a session.
    #[must_use]
    pub fn output_file(&self, session: SessionId) -> PathBuf {
        self.outputs().join(session.to_string())
    }
}

/// The real path of a directory that may not be there yet.
fn canonical(dir: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut at = dir;
    loop {
        if let Ok(real) = fs::canonicalize(at) {
            return missing.iter().rev().fold(real, |path, name| path.join(name));
        }
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else { return dir.to_owned() };
        missing.push(name);
        at = parent;
    }
}

/// Directory of the sockets without `XDG_RUNTIME_DIR`.
fn fallback_runtime(home: &Path) -> PathBuf {
    PathBuf::from(format!("/tmp/cis-{}", rustix::process::getuid().as_raw())).join(digest(home))
}

/// Name of the directory with this home's sockets, made from the path of the home.
fn digest(home: &Path) -> String {
    hex::encode(&Sha256::digest(home.as_os_str().as_encoded_bytes())[..6])
}

/// Where the newest node of this home put its sockets. The home may have been moved or copied since: then that is the place
/// of another home. A directory that another user can change is not used. A removed directory is still used while a node or a host runs that listened there, because sessions know that path.
fn pinned_runtime(home: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    let path = PathBuf::from(OsString::from_vec(read_regular(&home.join(RUNTIME_PIN)).ok()?));
    if !path.is_absolute() || path.file_name() != Some(digest(home).as_ref()) {
        return None;
    }
    match check_private(&path) {
        Ok(()) => check_parent(path.parent()?).is_ok().then_some(path),
        Err(error) if error.is_absent() => {
            let lives = |lock: &str| matches!(crate::look(&home.join(lock)), Ok(Lock::Held(_)));
            let above = path.ancestors().find(|above| above.exists())?;
            let can_be_made =
                above.is_dir() && rustix::fs::access(above, rustix::fs::Access::WRITE_OK).is_ok();
            (can_be_made && (lives(NODE_LOCK) || lives(HOST_LOCK))).then_some(path)
        }
        Err(_) => None,
    }
}

fn make_private(path: &Path) -> Result<(), HomeError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| not_made(path, source))
}

fn not_made(path: &Path, source: io::Error) -> HomeError {
    let target = |link: &Path| fs::read_link(link).ok().filter(|_| !link.exists());
    match path.ancestors().find_map(|link| Some((link.to_owned(), target(link)?))) {
        Some((link, target)) => HomeError::DanglingLink { path: path.to_owned(), link, target },
        None => HomeError::Make { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_home_has_sockets_of_its_own_below_a_private_directory() {
        let tmp = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            Home::locate(Some(tmp.path().join(name).into()), None, Some(tmp.path().as_os_str().to_owned()))
                .unwrap()
        };
        let (a, b) = (at("a"), at("b"));
        assert_ne!(a.node_socket(), b.node_socket());
        a.make().unwrap();
        assert_eq!(fs::metadata(&a.runtime).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(at("a"), a, "the same before and after it is made");
    }

    #[test]
    fn a_home_that_cannot_be_made_says_why() {
        let tmp = tempfile::tempdir().unwrap();
        let link = tmp.path().join("link");
        std::os::unix::fs::symlink("/no/such/disk", &link).unwrap();
        let home = |dir: PathBuf| Home { dir, runtime: tmp.path().join("run") };
        for dir in [link.clone(), link.join("cis")] {
            let said = home(dir).make().unwrap_err().to_string();
            assert!(said.contains("is a symbolic link to /no/such/disk"), "{said}");
        }
        let long = home(tmp.path().join("x".repeat(200)).join("y".repeat(200)).join("z".repeat(200)));
        assert!(matches!(long.make(), Err(HomeError::TooLong(_))));
    }

    #[test]
    fn a_home_whose_path_is_not_utf_8_is_refused_at_once() {
        use std::os::unix::ffi::OsStringExt as _;
        let named = || Some(OsString::from_vec(b"/nowhere/h\xff".to_vec()));
        for (cis_home, home) in [(named(), None), (None, named())] {
            assert!(matches!(Home::locate(cis_home, home, None), Err(HomeError::NotUtf8(_))));
        }
    }

    #[test]
    fn a_runtime_directory_that_others_can_write_to_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let base = tmp.path().join("run");
        for (mode, refused) in [(0o700, false), (0o755, false), (0o1777, false), (0o777, true), (0o770, true)]
        {
            fs::create_dir(&base).unwrap();
            fs::set_permissions(&base, fs::Permissions::from_mode(mode)).unwrap();
            let home =
                Home::locate(Some(tmp.path().join("h").into()), None, Some(base.clone().into())).unwrap();
            assert_eq!(matches!(home.make(), Err(HomeError::Runtime(_))), refused, "{mode:o}");
            fs::remove_dir_all(&base).unwrap();
        }
    }

    #[test]
    fn a_caller_with_another_runtime_directory_finds_the_same_sockets() {
        let tmp = tempfile::tempdir().unwrap();
        let home: OsString = tmp.path().join("h").into();
        let first = Home::locate(Some(home.clone()), None, Some(tmp.path().as_os_str().to_owned())).unwrap();
        first.make().unwrap();
        first.pin_runtime().unwrap();
        assert_eq!(Home::locate(Some(home), None, None).unwrap(), first);
    }

    #[test]
    fn a_home_that_was_moved_or_copied_has_sockets_of_its_own() {
        let tmp = tempfile::tempdir().unwrap();
        let runtime = Some(tmp.path().as_os_str().to_owned());
        let at =
            |name: &str| Home::locate(Some(tmp.path().join(name).into()), None, runtime.clone()).unwrap();
        let first = at("h");
        first.make().unwrap();
        first.pin_runtime().unwrap();
        fs::rename(tmp.path().join("h"), tmp.path().join("old")).unwrap();
        let moved = at("old");
        assert!(moved.runtime != first.runtime && at("h").runtime == first.runtime);
        moved.make().unwrap();
        moved.pin_runtime().unwrap();
        assert_eq!(at("old"), moved);
    }

    #[test]
    fn a_pipe_in_place_of_the_path_of_the_sockets_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let (home, runtime) = (tmp.path().join("h"), tmp.path().as_os_str().to_owned());
        fs::create_dir(&home).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, home.join(RUNTIME_PIN), fifo, 0o600.into(), 0).unwrap();
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let home = Home::locate(Some(home.into()), None, Some(runtime)).unwrap();
            done.send(home.pin_runtime().unwrap_err().to_string())
        });
        let error = result.recv_timeout(std::time::Duration::from_secs(10)).expect("it hangs");
        assert!(error.contains("runtime-dir") && error.contains("it is not a regular file"), "{error}");
    }

    #[test]
    fn a_home_that_others_can_write_to_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("h");
        let home =
            Home::locate(Some(dir.clone().into()), None, Some(tmp.path().as_os_str().to_owned())).unwrap();
        assert!(home.check().is_ok() && home.warning().is_none(), "it is not there yet");
        home.make().unwrap();
        for (mode, usable, warned) in
            [(0o700, true, false), (0o755, true, true), (0o770, false, true), (0o702, false, true)]
        {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!((home.check().is_ok(), home.warning().is_some()), (usable, warned), "{mode:o}");
            assert_eq!(home.make().is_ok(), usable, "{mode:o}");
        }
    }

    #[test]
    fn a_home_that_another_user_makes_between_the_checks_is_refused() {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
        let tmp = tempfile::tempdir().unwrap();
        let (dir, other) = (tmp.path().join("h"), tmp.path().join("other"));
        let runtime = Some(tmp.path().as_os_str().to_owned());
        let home = Home::locate(Some(dir.clone().into()), None, runtime).unwrap();
        let over = AtomicBool::new(false);
        let used = std::thread::scope(|scope| {
            // The other user: it puts an open directory there whenever the home is missing.
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    if !other.exists() {
                        fs::create_dir(&other).unwrap();
                        fs::set_permissions(&other, fs::Permissions::from_mode(0o777)).unwrap();
                    }
                    let flags = rustix::fs::RenameFlags::NOREPLACE;
                    let _ = rustix::fs::renameat_with(rustix::fs::CWD, &other, rustix::fs::CWD, &dir, flags);
                }
            });
            let used = (0..1000).filter(|_| {
                let _ = fs::remove_dir_all(&dir);
                home.make().is_ok() && home.check().is_err()
            });
            let used = used.count();
            over.store(true, Relaxed);
            used
        });
        assert_eq!(used, 0, "times a home that others can write to was used");
    }

    #[test]
    fn a_node_socket_of_the_home_is_recognized_in_every_runtime_directory() {
        let tmp = tempfile::tempdir().unwrap();
        let at = |name: &str, runtime: &str| {
            let runtime = Some(tmp.path().join(runtime).into_os_string());
            Home::locate(Some(tmp.path().join(name).into()), None, runtime).unwrap()
        };
        ["r", "s"].iter().for_each(|name| fs::create_dir(tmp.path().join(name)).unwrap());
        let (before, now, other) = (at("a", "r"), at("a", "s"), at("b", "s"));
        assert_ne!(before.node_socket(), now.node_socket());
        for socket in [before.node_socket(), now.node_socket(), before.fallback_node_socket().unwrap()] {
            assert!(now.is_node_socket(&socket) && !other.is_node_socket(&socket), "{}", socket.display());
        }
        assert!(!now.is_node_socket(&now.host_socket()));
    }

    #[test]
    fn a_pin_that_others_could_redirect_is_not_followed() {
        let tmp = tempfile::tempdir().unwrap();
        let home: OsString = tmp.path().join("h").into();
        let first = Home::locate(Some(home.clone()), None, Some(tmp.path().as_os_str().to_owned())).unwrap();
        first.make().unwrap();
        first.pin_runtime().unwrap();
        fs::set_permissions(first.runtime.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_ne!(Home::locate(Some(home), None, None).unwrap(), first);
    }

    #[test]
    fn a_runtime_directory_that_others_can_enter_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let home =
            Home::locate(Some(tmp.path().join("h").into()), None, Some(tmp.path().as_os_str().to_owned()))
                .unwrap();
        let parent = home.runtime.parent().unwrap();
        fs::create_dir(parent).unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(home.make(), Err(HomeError::Runtime(_))));
    }
}
