//! The line to the session host: found, started, lost, found again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use super::retry::RetryAt;
use cis_core::ids::{HostInstance, TimestampMs};
use cis_host::build;
use cis_host::control::{HostClient, HostClientError, Renewed, renew, spawn_host};
use cis_host::host::can_renew;
use cis_host::protocol::{FromHost, Known, Role, ToHost};
use cis_local::Home;
use cis_local::{ConnectError, Lock, Place, is_stopped, look, reap};

/// Between tries to start a host that does not come up, ms: it doubles from the first to the last. One
/// that was just killed may hold its lock for some ms yet.
const RETRY_FIRST_MS: i64 = 20;
const RETRY_LAST_MS: i64 = 5_000;
/// A host whose socket was removed binds it again within 2 s, and is then found at one of the next tries.
const BACK_MS: i64 = 5_000;

/// A host that is there answers within this time, however busy.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Memory is kept for so many messages of a host.
const MESSAGES_KEPT: usize = 64;

/// What a new connection brings.
pub(super) struct Greeting {
    pub(super) instance: HostInstance,
    pub(super) sessions: Vec<Known>,
}

/// A message that does not fit into a frame of 16 MiB. No kernel would take such an environment or
/// command line either (execve(2)).
#[derive(Debug, thiserror::Error)]
#[error(
    "its environment and script are larger than the 16 MiB that a session can be started with: give it less"
)]
pub(super) struct TooLong;

/// See the module.
pub(super) struct HostLink {
    home: Home,
    command: Vec<OsString>,
    /// Where it listens, without processes of sessions.
    place: Place,
    client: Option<HostClient>,
    instance: Option<HostInstance>,
    pid: Option<u32>,
    retry_at: Option<RetryAt>,
    retry_ms: i64,
    /// Since when there is none.
    absent_since: Option<TimestampMs>,
    /// Environments that the present host could not be given.
    too_long: BTreeSet<String>,
    /// What came right behind the welcome, and otherwise the memory for what comes next.
    behind: Vec<FromHost>,
    /// Whether the host was already connected to. It is renewed only by a node that starts.
    was_greeted: bool,
    /// Why there is no host, for people.
    pub(super) trouble: Option<String>,
}

impl HostLink {
    pub(super) fn new(home: Home, place: Place, command: Vec<OsString>) -> Self {
        Self {
            home,
            place,
            command,
            client: None,
            instance: None,
            pid: None,
            retry_at: None,
            retry_ms: RETRY_FIRST_MS,
            absent_since: None,
            too_long: BTreeSet::new(),
            behind: Vec::new(),
            was_greeted: false,
            trouble: None,
        }
    }

    pub(super) fn instance(&self) -> Option<HostInstance> {
        self.instance
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// When the next try is due, if the clock shows `now`.
    pub(super) fn retry_at(&self, now: TimestampMs) -> Option<TimestampMs> {
        self.retry_at.map(|at| at.on_wall(now))
    }

    pub(super) fn is_retry_due(&self) -> bool {
        self.retry_at.is_some_and(RetryAt::is_due)
    }

    /// Whether there is no host only since a moment ago. The next tries end that, or this time.
    pub(super) fn may_come_back(&self, now: TimestampMs) -> bool {
        self.retry_at.is_some()
            && self.absent_since.is_some_and(|since| (0..BACK_MS).contains(&(now - since)))
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.client.as_ref().map(HostClient::as_fd)
    }

    /// Whether there is something to be received that the socket does not show.
    pub(super) fn has_more(&self) -> bool {
        !self.behind.is_empty()
    }

    pub(super) fn wants_write(&self) -> bool {
        self.client.as_ref().is_some_and(HostClient::wants_write)
    }

    /// Connects to the host that is there, or starts one.
    ///
    /// The driver waits meanwhile, at worst for a start and a greeting ([`ANSWER_TIME_MAX`] each): without
    /// a host nothing starts and nothing can end, so that only questions and changes wait with it.
    pub(super) fn connect(&mut self, now: TimestampMs) -> Option<Greeting> {
        self.client = None;
        self.too_long.clear();
        self.behind.clear();
        match self.try_connect() {
            Ok(greeting) => {
                self.retry_at = None;
                self.retry_ms = RETRY_FIRST_MS;
                self.absent_since = None;
                self.trouble = None;
                Some(greeting)
            }
            Err(error) => {
                tracing::error!(%error, "no session host");
                self.trouble = Some(format!("no session host: {error}"));
                self.pid = None;
                self.absent_since.get_or_insert(now);
                self.retry_at = Some(RetryAt::after(self.retry_ms));
                self.retry_ms = (self.retry_ms * 2).min(RETRY_LAST_MS);
                None
            }
        }
    }

    fn try_connect(&mut self) -> Result<Greeting, HostClientError> {
        let place = self.place.clone();
        // A stopped host would let the driver wait for its greeting.
        if let Ok(Lock::Held(Some(holder))) = look(&self.home.host_lock())
            && is_stopped(holder.pid)
        {
            return Err(HostClientError::Stopped { pid: holder.pid });
        }
        // One that is there but cannot be spoken to is not replaced: it has sessions.
        let (mut client, is_ours) = match HostClient::connect(place.clone(), Role::Control) {
            Err(HostClientError::Connect(ConnectError::Absent { .. })) => {
                // The sockets of a process close some time before it can be waited for: the next host may be started in between.
                if let Err(error) = reap(spawn_host(&self.command, ANSWER_TIME_MAX)?) {
                    tracing::warn!(%error, "the session host will stay as a zombie when it ends");
                }
                (HostClient::connect(place, Role::Control)?, true)
            }
            connected => (connected?, false),
        };
        let (mut greeting, is_another) = self.greeted(&mut client)?;
        // Once, whatever comes of it: of two programs that take each other for another one, neither would ever be left alone.
        if !std::mem::replace(&mut self.was_greeted, true) && is_another && !is_ours {
            (client, greeting) = self.renewed(client, greeting)?;
        }
        self.client = Some(client);
        Ok(greeting)
    }

    /// Lets the host become the program of this node. Sessions go on, whatever comes of it.
    fn renewed(
        &mut self,
        mut client: HostClient,
        greeting: Greeting,
    ) -> Result<(HostClient, Greeting), HostClientError> {
        let words = self.command.iter().map(|word| word.to_str().map(str::to_owned));
        let Some(command) = words.collect::<Option<Vec<_>>>() else {
            tracing::info!("the session host goes on with its program: the path of the home is not UTF-8");
            return Ok((client, greeting));
        };
        match renew(&mut client, command, &mut self.behind, ANSWER_TIME_MAX)? {
            Renewed::No { why } => {
                tracing::info!(why, "the session host goes on with its program");
                Ok((client, greeting))
            }
            Renewed::Yes => {
                let told = std::mem::take(&mut self.behind);
                let mut client = HostClient::connect(self.place.clone(), Role::Control)?;
                let (greeting, _) = self.greeted(&mut client)?;
                tracing::info!(pid = self.pid, "the session host runs the program of this node now");
                // Said once. All else is in the new welcome.
                let is_said_once = |message: &FromHost| {
                    matches!(message, FromHost::Expiring { .. } | FromHost::LogTrouble { .. })
                };
                self.behind.splice(0..0, told.into_iter().filter(is_said_once));
                Ok((client, greeting))
            }
        }
    }

    /// Waits for the welcome, which is the first message. True as well where the host runs another program that this one can replace.
    fn greeted(&mut self, client: &mut HostClient) -> Result<(Greeting, bool), HostClientError> {
        let until = Instant::now() + ANSWER_TIME_MAX;
        loop {
            let mut messages = client.receive_messages()?.into_iter();
            while let Some(message) = messages.next() {
                match message {
                    FromHost::Welcome { instance, pid, sessions, build, renewal, .. } => {
                        self.instance = Some(instance);
                        self.pid = Some(pid);
                        // A session may end at this very moment, and its end is told once.
                        self.behind = messages.collect();
                        let is_another =
                            build.is_some_and(|theirs| build::own().is_some_and(|own| own != theirs));
                        let is_replaceable = is_another && renewal.is_some_and(can_renew);
                        return Ok((Greeting { instance, sessions }, is_replaceable));
                    }
                    other => tracing::warn!(?other, "the session host spoke before it was greeted"),
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HostClientError::NotReady { detail: "it does not answer".to_owned() });
            }
            client.wait(left)?;
        }
    }

    /// What the host has said since; `None`: it is gone.
    pub(super) fn receive(&mut self) -> Option<Vec<FromHost>> {
        let Some(client) = &mut self.client else { return Some(Vec::new()) };
        let mut messages = std::mem::take(&mut self.behind);
        if !messages.is_empty() {
            return Some(messages);
        }
        match client.receive_into(&mut messages) {
            Ok(()) => Some(messages),
            Err(error) => {
                tracing::error!(%error, "the session host is gone");
                self.client = None;
                self.pid = None;
                None
            }
        }
    }

    /// Takes the memory of handled messages back, for the next ones: such a list is large, and was allocated anew for each
    /// command that ended.
    pub(super) fn take_back(&mut self, mut handled: Vec<FromHost>) {
        handled.clear();
        handled.shrink_to(MESSAGES_KEPT);
        if self.behind.is_empty() {
            self.behind = handled;
        }
    }

    /// Puts a message behind what is to be sent. Without a host it is nobody's: a new connection
    /// settles everything anew.
    ///
    /// # Errors
    /// It is too long for a frame, or a start that needs an environment that was.
    pub(super) fn send(&mut self, message: &ToHost) -> Result<(), TooLong> {
        let Some(client) = &mut self.client else { return Ok(()) };
        if let ToHost::Start(start) = message
            && start.env_base.as_ref().is_some_and(|name| self.too_long.contains(name))
        {
            return Err(TooLong);
        }
        let sent = client.send(message).map_err(|error| {
            tracing::error!(%error, "a message to the session host was not sent");
            TooLong
        });
        match message {
            ToHost::Env { name, .. } if sent.is_err() => {
                self.too_long.insert(name.clone());
            }
            ToHost::Env { name, .. } | ToHost::DropEnv { name } => {
                self.too_long.remove(name);
            }
            _ => {}
        }
        sent
    }

    /// Writes what is buffered, as far as the socket takes it.
    pub(super) fn flush(&mut self) {
        // A broken connection shows at the next receive, which also tells the scheduler.
        if let Some(client) = &mut self.client
            && let Err(error) = client.flush()
        {
            tracing::debug!(%error, "the session host takes nothing");
        }
    }

    /// The node ends: its sessions go on, or end with it.
    pub(super) fn leave(&mut self, kill_sessions: bool) {
        // Both fit into any frame.
        let _ = self.send(&ToHost::Supervise { restart: None, receives_environment: true });
        if kill_sessions {
            let _ = self.send(&ToHost::Shutdown {});
        }
        if let Some(mut client) = self.client.take()
            && let Err(error) = flush_all(&mut client)
        {
            tracing::error!(%error, "the session host could not be told that this node ends");
        }
    }
}

fn flush_all(client: &mut HostClient) -> Result<(), HostClientError> {
    let until = Instant::now() + ANSWER_TIME_MAX;
    client.flush()?;
    while client.wants_write() && Instant::now() < until {
        client.wait(until.saturating_duration_since(Instant::now()))?;
        client.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;

    use rustix::process::{Pid, Signal, kill_process, test_kill_process};

    use super::*;
    use cis_core::ids::SessionId;
    use cis_host::protocol::{Exit, VERSION, frame};
    use cis_local::LockFile;

    /// As it stands on the wire.
    fn put(out: &mut Vec<u8>, message: &FromHost) {
        let json = serde_json::to_vec(message).unwrap();
        out.extend(u32::try_from(json.len() + 1).unwrap().to_le_bytes());
        out.push(frame::JSON);
        out.extend(json);
    }

    #[test]
    fn a_host_of_another_build_is_asked_once_to_become_ours() {
        let dir = crate::testing::private_directory();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().to_owned() };
        let _lock = LockFile::take(&home.host_lock()).unwrap().unwrap();
        let listener = UnixListener::bind(home.host_socket()).unwrap();
        let instance = HostInstance(ulid::Ulid::nil());
        let welcome = move || {
            let (build, renewal) = (Some("another".to_owned()), Some(cis_host::host::FORMAT));
            FromHost::Welcome { version: VERSION, instance, pid: 1, sessions: Vec::new(), build, renewal }
        };
        let session = SessionId::from_parts(1, 2);
        let expiring = FromHost::Expiring { session, limit: cis_core::event::SessionLimit::Idle, at_ms: 5 };
        let (exited, expires) = (FromHost::Exited { session, exit: Exit::with_code(0) }, expiring.clone());
        let host = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut said = Vec::new();
            [welcome(), exited, expires].iter().for_each(|message| put(&mut said, message));
            stream.write_all(&said).unwrap();
            let asked = read_until(&mut stream, "renew");
            drop(stream);
            // It answers as the other build still: nobody asks again.
            let (mut stream, _) = listener.accept().unwrap();
            let mut said = Vec::new();
            put(&mut said, &welcome());
            stream.write_all(&said).unwrap();
            (asked, stream)
        });
        let mut link =
            HostLink::new(home.clone(), home.host_place(), vec!["/cis".into(), "session-host".into()]);
        assert!(link.connect(0).is_some());
        let (asked, _open) = host.join().unwrap();
        assert!(asked.contains(r#"{"type":"renew","command":["/cis","session-host"]}"#), "{asked}");
        // What the new welcome tells is not told twice.
        assert_eq!(link.receive().unwrap(), [expiring]);
    }

    #[test]
    fn the_next_try_does_not_wait_for_a_clock_that_was_set_back() {
        let dir = crate::testing::private_directory();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().to_owned() };
        let mut link = HostLink::new(home.clone(), home.host_place(), vec!["/no/such/program".into()]);
        let noon = 1_700_000_000_000;
        assert!(link.connect(noon).is_none());
        for now in [noon, noon - 3_600_000] {
            let wait_ms = link.retry_at(now).unwrap() - now;
            assert!((0..=RETRY_FIRST_MS).contains(&wait_ms), "{wait_ms}");
        }
    }

    #[test]
    fn a_host_that_ends_after_the_next_one_was_started_is_no_zombie() {
        let dir = crate::testing::private_directory();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().to_owned() };
        let pids = dir.path().join("pids");
        // It says that it listens, and does not.
        let script = format!("echo $$ >> {}; echo ready; exec sleep 600", pids.display());
        let command = ["sh", "-c", &script].map(OsString::from).to_vec();
        let mut link = HostLink::new(home.clone(), home.host_place(), command);
        for _ in 0..2 {
            link.try_connect().map(drop).unwrap_err();
        }
        let pids = std::fs::read_to_string(pids).unwrap();
        let pids = pids.lines().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect::<Vec<_>>();
        for pid in &pids {
            kill_process(*pid, Signal::KILL).unwrap();
        }
        assert_eq!(pids.len(), 2);
        while pids.iter().any(|pid| test_kill_process(*pid).is_ok()) {
            std::thread::yield_now();
        }
    }

    /// Reads until this text came, which is in the last message.
    fn read_until(stream: &mut std::os::unix::net::UnixStream, text: &str) -> String {
        use std::io::Read as _;
        let mut all = String::new();
        while !all.contains(text) || !all.ends_with('}') {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "{all}");
            all.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        all
    }

    #[test]
    fn what_comes_right_behind_the_welcome_is_not_lost() {
        let dir = crate::testing::private_directory();
        let home = Home { dir: dir.path().to_owned(), runtime: dir.path().to_owned() };
        let _lock = LockFile::take(&home.host_lock()).unwrap().unwrap();
        let listener = UnixListener::bind(home.host_socket()).unwrap();
        let exit = Exit::with_code(0);
        let mut said = Vec::new();
        let instance = HostInstance(ulid::Ulid::nil());
        put(
            &mut said,
            &FromHost::Welcome {
                version: VERSION,
                instance,
                pid: 1,
                sessions: Vec::new(),
                build: None,
                renewal: None,
            },
        );
        put(&mut said, &FromHost::Exited { session: SessionId::from_parts(1, 2), exit });
        let host = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&said).unwrap();
            stream
        });
        let mut link = HostLink::new(home.clone(), home.host_place(), Vec::new());
        assert!(link.connect(0).is_some());
        let _open = host.join().unwrap();
        // Nothing is on the socket any more that could wake anybody.
        let mut heard = Vec::new();
        while heard.is_empty() {
            heard = link.receive().unwrap();
        }
        assert!(matches!(heard[..], [FromHost::Exited { .. }]), "{heard:?}");
        assert!(!link.has_more());
    }
}
