//! A host to test, a peer to talk to it, and a look at what is left.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cis_core::api::TermSize;
use cis_core::ids::{InputId, SessionId};
use cis_host::control::{HostClient, HostClientError, Received, spawn_host};
use cis_host::protocol::{Exit, FromHost, Io, Known, Role, Start, StartFailure, ToHost};
use tempfile::TempDir;

use crate::testing::private_directory;

/// Nothing in these tests takes longer, on a busy machine either.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A new id; the label of its session is the same text.
pub fn new_id() -> SessionId {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let unique = u128::from(std::process::id()) << 64 | u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    SessionId::from_parts(u64::try_from(now.as_millis()).unwrap(), unique)
}

pub fn input_id(n: u128) -> InputId {
    InputId::from_parts(1, n)
}

/// A host that ends with the test, and all its processes with it.
pub struct Host {
    /// The file system that is mounted at `folder`; unmounted before `folder` is removed.
    _disk: Option<Disk>,
    pub folder: TempDir,
    child: Child,
    /// Whose it is, where that is another user.
    user: Option<u32>,
}

/// A file system of limited size, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// Returns `None` if this process cannot mount.
    fn at(folder: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &options, "cis-host"]).arg(folder).output().unwrap();
        if !mount.status.success() {
            return None;
        }
        Some(Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Host {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// `before`: a command that runs the host (`prlimit …`).
    pub fn start_with(before: &[&str]) -> Self {
        let folder = private_directory();
        let child = spawn_host(&command(folder.path(), before, "30000"), PATIENCE).unwrap();
        Self { folder, child, user: None, _disk: None }
    }

    /// Starts it in a file system of this size. Returns `None` if this process cannot mount.
    pub fn start_on_disk(size: &str) -> Option<Self> {
        let folder = private_directory();
        let disk = Disk::at(folder.path(), size)?;
        let child = spawn_host(&command(folder.path(), &[], "30000"), PATIENCE).unwrap();
        Some(Self { folder, child, user: None, _disk: Some(disk) })
    }

    /// With these after its other arguments: linger in ms, umask.
    pub fn start_with_settings(settings: &[&str]) -> Self {
        let folder = private_directory();
        let mut argv = command(folder.path(), &[], "");
        argv.pop();
        argv.extend(settings.iter().map(OsString::from));
        let child = spawn_host(&argv, PATIENCE).unwrap();
        Self { folder, child, user: None, _disk: None }
    }

    /// As another user, of a host that root starts.
    pub fn start_as(uid: u32) -> Self {
        let folder = private_directory();
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(uid)).unwrap();
        // Where the tests are built, that user may have no way in.
        let program = folder.path().join("host");
        fs::copy(env!("CARGO_BIN_EXE_session-host-alone"), &program).unwrap();
        let user = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()];
        let mut argv: Vec<OsString> =
            [OsString::from("setpriv")].into_iter().chain(user.map(OsString::from)).collect();
        argv.push(program.into_os_string());
        argv.extend(["socket", "lock", "."].map(|name| folder.path().join(name).into_os_string()));
        let child = spawn_host(&argv, PATIENCE).unwrap();
        Self { folder, child, user: Some(uid), _disk: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As the user whose host it is.
    pub fn connect(&self, role: Role) -> Peer {
        let connect = || {
            if let Some(user) = self.user {
                // Of this thread alone; the kernel notes it down as the peer's.
                let user = rustix::process::Uid::from_raw(user);
                rustix::thread::set_thread_res_uid(None, user, None).unwrap();
            }
            Peer::connect(&self.path("socket"), role)
        };
        std::thread::scope(|scope| scope.spawn(connect).join().unwrap())
    }

    pub fn control(&self) -> Peer {
        self.connect(Role::Control)
    }

    /// A start of this command, on pipes, with the log `ID.log`.
    pub fn command(&self, argv: &[&str]) -> Start {
        let session = new_id();
        Start {
            session,
            label: session.to_string(),
            argv: argv.iter().map(|one| (*one).to_owned()).collect(),
            cwd: self.folder.path().to_str().unwrap().to_owned(),
            env_base: None,
            env: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
            umask: None,
            line: None,
            io: Io::Pipes { stdin: false },
            log: self.log_path(session).to_str().unwrap().to_owned(),
            log_limit_bytes: 1 << 20,
            timeout_ms: None,
            idle_ms: None,
            warn_ms: None,
            grace_ms: 500,
            files: BTreeMap::new(),
            stdin: None,
            lease: None,
        }
    }

    pub fn shell(&self, script: &str) -> Start {
        self.command(&["sh", "-c", script])
    }

    pub fn shell_on_pty(&self, script: &str) -> Start {
        Start { io: Io::Pty(TermSize::default()), ..self.shell(script) }
    }

    pub fn log_path(&self, session: SessionId) -> PathBuf {
        self.path(&format!("{session}.log"))
    }

    pub fn log(&self, session: SessionId) -> String {
        String::from_utf8(fs::read(self.log_path(session)).unwrap()).unwrap()
    }

    pub fn wait_for_end(&mut self) {
        until("the host ends", || self.child.try_wait().unwrap().is_some());
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// CPU time so far, ms.
    pub fn cpu_ms(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // Fields 14 and 15 (proc(5)), where the state is field 3.
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        ticks * 1000 / rustix::param::clock_ticks_per_second()
    }

    /// Read calls so far; none: it is gone.
    pub fn reads(&self) -> Option<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid())).ok()?;
        io.lines().find_map(|line| line.strip_prefix("syscr: "))?.parse().ok()
    }

    /// Memory in use, KB.
    pub fn memory_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        if self.child.try_wait().unwrap().is_none() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let deadline = Instant::now() + PATIENCE;
            while self.child.try_wait().unwrap().is_none() {
                if Instant::now() > deadline {
                    let _ = self.child.kill();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if !std::thread::panicking() {
            assert_eq!(
                processes_with(self.folder.path().to_str().unwrap()),
                [0; 0],
                "processes were left behind"
            );
        }
    }
}

pub fn command(folder: &Path, before: &[&str], linger_ms: &str) -> Vec<OsString> {
    let mut argv: Vec<OsString> = before.iter().map(OsString::from).collect();
    argv.push(env!("CARGO_BIN_EXE_session-host-alone").into());
    argv.extend(["socket", "lock", "."].map(|name| folder.join(name).into_os_string()));
    argv.push(linger_ms.into());
    argv
}

/// Live processes whose environment, arguments or working directory has this text in it.
pub fn processes_with(text: &str) -> Vec<u32> {
    let has = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        let contains = |file: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text)
        };
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(text));
        !zombie && (contains("environ") || contains("cmdline") || cwd)
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && has(*pid)).collect()
}

/// A connection, and what came over it.
pub struct Peer {
    pub client: HostClient,
    pub messages: Vec<FromHost>,
    pub outputs: BTreeMap<SessionId, Vec<(u64, Vec<u8>)>>,
}

impl Peer {
    pub fn connect(socket: &Path, role: Role) -> Self {
        let client = HostClient::connect(socket, role).unwrap();
        Self { client, messages: Vec::new(), outputs: BTreeMap::new() }
    }

    pub fn send(&mut self, message: &ToHost) {
        self.client.send(message).unwrap();
        self.client.flush().unwrap();
    }

    /// Takes what comes next; an error where the host closed.
    pub fn receive(&mut self) -> Result<(), HostClientError> {
        self.client.wait(Duration::from_millis(100))?;
        self.client.flush()?;
        let (messages, outputs) = (&mut self.messages, &mut self.outputs);
        self.client.receive(|received| match received {
            Received::Message(message) => messages.push(message),
            Received::Output { session, offset, data } => {
                outputs.entry(session).or_default().push((offset, data.to_vec()));
            }
        })
    }

    /// The first message of which this makes something, taken out.
    #[track_caller]
    pub fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&FromHost) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.messages.iter().position(|message| pick(message).is_some()) {
                return pick(&self.messages.remove(at)).unwrap();
            }
            assert!(Instant::now() < deadline, "not in time: {what}; there is {:?}", self.messages);
            self.receive().unwrap();
        }
    }

    #[track_caller]
    pub fn welcome(&mut self) -> Vec<Known> {
        self.expect("a welcome", |message| match message {
            FromHost::Welcome { sessions, .. } => Some(sessions.clone()),
            _ => None,
        })
    }

    /// Starts it; its pid.
    #[track_caller]
    pub fn start(&mut self, start: &Start) -> u32 {
        self.send(&ToHost::Start(Box::new(start.clone())));
        self.expect("a start", |message| match message {
            FromHost::Started { session, pid, .. } if *session == start.session => Some(*pid),
            FromHost::StartFailed { session, why } if *session == start.session => panic!("{why:?}"),
            _ => None,
        })
    }

    #[track_caller]
    pub fn start_fails(&mut self, start: &Start) -> StartFailure {
        self.send(&ToHost::Start(Box::new(start.clone())));
        self.expect("a failure", |message| match message {
            FromHost::StartFailed { session, why } if *session == start.session => Some(why.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub fn exit(&mut self, session: SessionId) -> Exit {
        self.expect("an exit", |message| match message {
            FromHost::Exited { session: of, exit } if *of == session => Some(exit.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub fn run(&mut self, start: &Start) -> Exit {
        self.start(start);
        self.exit(start.session)
    }

    /// What was streamed, which must have no hole that no `Gap` explains.
    #[track_caller]
    pub fn output(&self, session: SessionId) -> Vec<u8> {
        let mut all = Vec::new();
        let Some(pieces) = self.outputs.get(&session) else { return all };
        let mut next = pieces[0].0;
        for (offset, data) in pieces {
            assert_eq!(*offset, next, "a hole in the stream");
            all.extend_from_slice(data);
            next += data.len() as u64;
        }
        all
    }

    #[track_caller]
    pub fn wait_for_output(&mut self, session: SessionId, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !String::from_utf8_lossy(&self.output(session)).contains(text) {
            assert!(Instant::now() < deadline, "{text:?} did not come: {:?}", self.output(session));
            self.receive().unwrap();
        }
    }
}
