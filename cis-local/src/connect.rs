//! Connections to Unix sockets of this user only.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::directory::{DirectoryError, check_own, check_parent};
use super::lock::{Lock, is_missing, look};
use super::peer::PeerProcess;
use super::peer::credentials;
use super::process::realtime_limit_of;

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens there, and no process holds the lock.
    #[error("nothing listens at {}", socket.display())]
    Absent {
        /// The socket's path.
        socket: PathBuf,
    },
    /// The process that holds the lock cannot be reached: it starts or ends, or its socket was removed.
    #[error("{} is held{}, but nothing listens at {}", lock.display(), by(*pid), socket.display())]
    NotListening {
        /// Pid of the holder, if it is known.
        pid: Option<u32>,
        /// The lock file.
        lock: PathBuf,
        /// The socket's path.
        socket: PathBuf,
    },
    /// Nothing listens there, and the lock file cannot be read, so a process may hold the lock.
    #[error("cannot read {}, which says whether a process runs: {source}", lock.display())]
    Lock {
        /// The lock file.
        lock: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another user could have put the socket there.
    #[error("{error}, so the socket {} in it is not used", socket.display())]
    Unsafe {
        /// The socket's path.
        socket: PathBuf,
        /// What is wrong.
        error: DirectoryError,
    },
    /// The listener runs as another user.
    #[error("the socket {} is served by uid {uid}, not by uid {me}", socket.display())]
    Foreign {
        /// The socket's path.
        socket: PathBuf,
        /// Uid of the listener.
        uid: u32,
        /// Uid of this process.
        me: u32,
    },
    /// The listener has a lower limit than [`Place::with_limit`] says, as processes of sessions have.
    #[error(
        "cannot use the socket {}: its listener (pid {pid}) has a hard limit of realtime CPU time (RLIMIT_RTTIME), like \
         processes of sessions",
        socket.display()
    )]
    Limited {
        /// The socket's path.
        socket: PathBuf,
        /// Pid of the listener; 0: it is in a pid namespace that is not visible from here.
        pid: u32,
    },
    /// The system refuses the connection.
    #[error("cannot connect to {}: {source}", socket.display())]
    Io {
        /// The socket's path.
        socket: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by pid {pid}")).unwrap_or_default()
}

impl ConnectError {
    /// Whether a process may listen there later: nothing is wrong with the place.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::NotListening { .. })
    }
}

/// A place where a process of this user listens. All connections to a node or a session host go through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    socket: PathBuf,
    /// The lock file, whose holder may name another socket.
    lock: Option<PathBuf>,
    /// Minimum hard limit of realtime CPU time of the process, µs.
    limit: u64,
}

impl Place {
    /// The process that listens at this path.
    #[must_use]
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), lock: None, limit: 0 }
    }

    /// The process that holds this lock, and listens at this path unless the lock file names another one.
    #[must_use]
    pub fn of_holder(socket: impl Into<PathBuf>, lock: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), lock: Some(lock.into()), limit: 0 }
    }

    /// The same without processes that have a lower hard limit of realtime CPU time, µs, as processes of sessions have.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// The path at which it should listen.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Connects, and checks that the listener runs as this user and has the limit of this place. Waits while the listener's
    /// backlog is full.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing was sent.
    pub fn connect(&self) -> Result<UnixStream, ConnectError> {
        let mut absent = None;
        for socket in self.sockets()? {
            match self.open(&socket) {
                Err(error @ ConnectError::Absent { .. }) => absent = absent.or(Some(error)),
                other => return other,
            }
        }
        Err(self.explained(absent))
    }

    /// [`Self::connect`] for asynchronous code.
    ///
    /// # Errors
    /// The same as [`Self::connect`].
    pub async fn connect_async(&self) -> Result<tokio::net::UnixStream, ConnectError> {
        let mut absent = None;
        for socket in self.sockets()? {
            match self.open_async(&socket).await {
                Err(error @ ConnectError::Absent { .. }) => absent = absent.or(Some(error)),
                other => return other,
            }
        }
        Err(self.explained(absent))
    }

    fn open(&self, socket: &Path) -> Result<UnixStream, ConnectError> {
        check_directory(socket)?;
        let stream = UnixStream::connect(socket).map_err(|source| not_connected(socket, source))?;
        self.check_listener(socket, &stream)?;
        Ok(stream)
    }

    async fn open_async(&self, socket: &Path) -> Result<tokio::net::UnixStream, ConnectError> {
        check_directory(socket)?;
        let stream = tokio::net::UnixStream::connect(socket).await;
        let stream = stream.map_err(|source| not_connected(socket, source))?;
        self.check_listener(socket, &stream)?;
        Ok(stream)
    }

    /// Checks the uid of the listener, which the kernel records at listen(2) (SO_PEERCRED, unix(7)), and its limit.
    fn check_listener(&self, socket: &Path, stream: impl AsFd) -> Result<(), ConnectError> {
        let failed = |source: Errno| ConnectError::Io { socket: socket.to_owned(), source: source.into() };
        let (_, uid) = credentials(stream.as_fd()).map_err(failed)?;
        let me = rustix::process::geteuid().as_raw();
        if uid != me {
            return Err(ConnectError::Foreign { socket: socket.to_owned(), uid, me });
        }
        if self.limit == 0 {
            return Ok(());
        }
        {
            let listener = PeerProcess::of(stream.as_fd()).map_err(failed)?;
            let pid = listener.pid.unwrap_or(0);
            let limit = realtime_limit_of(pid).unwrap_or(0);
            // The limit may be that of another process, which has got the pid since.
            if !listener.is_same() {
                return Err(failed(Errno::CONNRESET));
            }
            if limit < self.limit {
                return Err(ConnectError::Limited { socket: socket.to_owned(), pid });
            }
        }
        Ok(())
    }

    /// Where it may listen, the likeliest first. Nowhere if nobody holds the lock: who listens at the path then is of another home,
    /// which was there before it was moved.
    fn sockets(&self) -> Result<Vec<PathBuf>, ConnectError> {
        let own = self.socket.clone();
        match self.lock.as_deref().map(look) {
            None | Some(Ok(Lock::Held(None))) => Ok(vec![own]),
            Some(Ok(Lock::Held(Some(holder)))) if holder.socket == own => Ok(vec![own]),
            Some(Ok(Lock::Held(Some(holder)))) => Ok(vec![holder.socket, own]),
            Some(Err(error)) if !is_missing(&error) => Ok(vec![own]),
            Some(Ok(Lock::Free) | Err(_)) => {
                // A listener of another user is an error all the same.
                self.open(&own)?;
                Err(ConnectError::Absent { socket: own })
            }
        }
    }

    /// Says who should listen where nobody does.
    fn explained(&self, absent: Option<ConnectError>) -> ConnectError {
        let socket = match absent {
            Some(ConnectError::Absent { socket }) => socket,
            _ => self.socket.clone(),
        };
        let Some(lock) = &self.lock else { return ConnectError::Absent { socket } };
        match look(lock) {
            Ok(Lock::Held(holder)) => ConnectError::NotListening {
                pid: holder.map(|holder| holder.pid),
                lock: lock.clone(),
                socket,
            },
            Err(source) if !is_missing(&source) => ConnectError::Lock { lock: lock.clone(), source },
            Ok(Lock::Free) | Err(_) => ConnectError::Absent { socket },
        }
    }
}

impl From<PathBuf> for Place {
    fn from(socket: PathBuf) -> Self {
        Self::at(socket)
    }
}

impl From<&PathBuf> for Place {
    fn from(socket: &PathBuf) -> Self {
        Self::at(socket)
    }
}

impl From<&Path> for Place {
    fn from(socket: &Path) -> Self {
        Self::at(socket)
    }
}

/// Checks the directory of a socket: a user who can write to that directory, or replace it, decides which
/// process listens.
fn check_directory(socket: &Path) -> Result<(), ConnectError> {
    let directory = socket.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let checked = check_own(directory).and_then(|()| {
        // If the path goes through symbolic links, the real parent is not the one in the path.
        let real = directory.canonicalize();
        let real = real.map_err(|source| DirectoryError::Io { path: directory.to_owned(), source })?;
        check_parent(real.parent().unwrap_or(&real))
    });
    checked.map_err(|error| match error {
        error if error.is_absent() => ConnectError::Absent { socket: socket.to_owned() },
        error => ConnectError::Unsafe { socket: socket.to_owned(), error },
    })
}

fn not_connected(socket: &Path, source: io::Error) -> ConnectError {
    let socket = socket.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectError::Absent { socket },
        _ => ConnectError::Io { socket, source },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::net::UnixListener;

    use rustix::process::Uid;

    use super::super::lock::{Holder, LockFile, is_held};
    use super::*;

    /// Runs `act` as another user, on a thread of its own.
    fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
        let act = || {
            let uid = Uid::from_raw(uid);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            act()
        };
        std::thread::scope(|scope| scope.spawn(act).join().unwrap())
    }

    #[test]
    fn a_listener_with_a_lower_limit_is_not_admitted() {
        use std::process::{Command, Stdio};
        const LISTENS: &str = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n\
            print('x', flush=True)\nsys.stdin.read()";
        for is_lower in [false, true] {
            let folder = crate::testing::private_directory();
            let socket = folder.path().join("s");
            // These tests may themselves run in a session.
            let own = super::super::realtime_limit();
            let mut command = Command::new("prlimit");
            if is_lower {
                command.arg("--rttime=7:7");
            } else {
                command.arg("--core=0:");
            }
            command
                .args(["python3", "-c", LISTENS])
                .arg(&socket)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            // It may write its line in two parts: so somebody reads until its end.
            let mut said = child.stdout.take().unwrap();
            said.read_exact(&mut [0]).unwrap();
            let stream = Place::at(&socket).connect().unwrap();
            let place = Place::at(&socket).with_limit(own);
            assert_eq!(place.check_listener(&socket, &stream).is_ok(), !is_lower);
            assert_eq!(matches!(place.connect(), Err(ConnectError::Limited { .. })), is_lower);
            assert!(Place::at(&socket).check_listener(&socket, &stream).is_ok(), "nothing is asked of it");
            drop(child.stdin.take());
            child.wait().unwrap();
            assert!(place.check_listener(&socket, &stream).is_err(), "it has ended");
        }
    }

    #[test]
    fn a_connection_needs_a_listener() {
        let folder = crate::testing::private_directory();
        let socket = folder.path().join("s");
        assert!(matches!(Place::at(&socket).connect(), Err(ConnectError::Absent { .. })));
        let gone = Place::at(folder.path().join("gone/s"));
        assert!(matches!(gone.connect(), Err(ConnectError::Absent { .. })));
        let listener = UnixListener::bind(&socket).unwrap();
        assert!(Place::at(&socket).connect().is_ok());
        drop(listener);
        assert!(matches!(Place::at(&socket).connect(), Err(ConnectError::Absent { .. })));
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_connected_to() {
        let folder = crate::testing::private_directory();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let socket = inner.join("s");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (outer_mode, inner_mode) in [(0o700, 0o775), (0o700, 0o777), (0o777, 0o700)] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(outer_mode)).unwrap();
            fs::set_permissions(&inner, fs::Permissions::from_mode(inner_mode)).unwrap();
            let refused = Place::at(&socket).connect();
            assert!(matches!(refused, Err(ConnectError::Unsafe { .. })), "{outer_mode:o} {inner_mode:o}");
        }
    }

    #[test]
    fn a_listener_of_another_user_gets_no_byte() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: becoming other users needs root");
            return;
        }
        let (victim, impostor) = (61_001, 61_002);
        let folder = crate::testing::private_directory();
        let socket = folder.path().join("s");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let listener = as_user(impostor, || UnixListener::bind(&socket).unwrap());
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        // The directory looks as if it had always been the victim's: only the uid of the listener differs.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        chown(folder.path(), Some(victim), None).unwrap();
        let refused = as_user(victim, || Place::at(&socket).connect());
        assert!(matches!(refused, Err(ConnectError::Foreign { uid: 61_002, me: 61_001, .. })), "{refused:?}");
        let mut got = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut got).unwrap();
        assert!(got.is_empty(), "{got:?}");
        let refused = Place::at(&socket).connect();
        assert!(matches!(refused, Err(ConnectError::Unsafe { .. })), "root is another user as well");
    }

    #[test]
    fn a_lock_file_that_cannot_be_read_does_not_count_as_free() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: becoming another user needs root");
            return;
        }
        let folder = crate::testing::private_directory();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("home")).unwrap();
        fs::create_dir(at("run")).unwrap();
        let lock = at("home").join("lock");
        for directory in [folder.path().to_owned(), at("home"), at("run")] {
            chown(directory, Some(61_001), None).unwrap();
        }
        let place = Place::of_holder(at("run").join("s"), &lock);
        let absent = || as_user(61_001, || matches!(place.connect(), Err(ConnectError::Absent { .. })));
        assert!(absent(), "no lock file");
        as_user(61_001, || drop(LockFile::take(&lock).unwrap()));
        assert!(absent(), "a free lock");
        fs::set_permissions(at("home"), fs::Permissions::from_mode(0o000)).unwrap();
        let said = as_user(61_001, || place.connect()).unwrap_err().to_string();
        assert!(said.contains(lock.to_str().unwrap()) && said.contains("Permission denied"), "{said}");
        assert!(as_user(61_001, || is_held(&lock)).is_err());
    }

    #[test]
    fn a_holder_is_found_at_the_socket_that_it_names() {
        let folder = crate::testing::private_directory();
        let at = |name: &str| folder.path().join(name);
        let place = Place::of_holder(at("s"), at("lock"));
        assert!(matches!(place.connect(), Err(ConnectError::Absent { .. })), "no lock file");
        let mut lock = LockFile::take(&at("lock")).unwrap().unwrap();
        assert!(matches!(place.connect(), Err(ConnectError::NotListening { pid: None, .. })));
        lock.name(&Holder { pid: 7, socket: at("other") }).unwrap();
        assert!(matches!(place.connect(), Err(ConnectError::NotListening { pid: Some(7), .. })));
        let elsewhere = UnixListener::bind(at("s")).unwrap();
        assert!(place.connect().is_ok(), "the lock file may be of before, on a full disk");
        let listener = UnixListener::bind(at("other")).unwrap();
        assert!(place.connect().is_ok());
        drop((listener, lock));
        let absent = || matches!(place.connect(), Err(ConnectError::Absent { .. }));
        assert!(absent(), "a lock that is free says nothing");
        fs::remove_file(at("lock")).unwrap();
        assert!(absent(), "who listens there is of another home");
        drop(elsewhere);
    }
}
