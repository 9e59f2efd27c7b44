//! A host inside the test, with sessions of its own and peers on socket pairs. (Each test is a process.)
//!
//! Signals of the process go to its first thread, which is not the test's: children are waited for in every turn.

mod renewal;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::frames::{Decoder, Frame, put_bytes, put_json};
use crate::host::connection::Connection;
use crate::protocol::{
    AtDeadline, Exit, FromHost, Io, Known, Lease, Line, Role, Start, StartFailure, ToHost, VERSION, frame,
};
use cis_core::api::TermSize;
use cis_core::event::{ExitStatus, SessionLimit};
use cis_core::ids::{InputId, RunId, SessionId};

/// Nothing takes longer, on a busy machine either.
const PATIENCE: Duration = Duration::from_secs(60);
/// A turn takes at most so long though nothing happens, ms.
const TURN_MS: u64 = 5;

struct Bench {
    server: Server,
    folder: Rc<TempDir>,
}

/// What a peer has got.
#[derive(Default)]
struct Got {
    messages: Vec<FromHost>,
    output: BTreeMap<SessionId, Vec<u8>>,
}

struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    got: Got,
}

fn config(folder: &TempDir) -> HostConfig {
    let at = |name: &str| folder.path().join(name);
    HostConfig {
        socket: at("socket"),
        fallback: None,
        lock: at("lock"),
        home: folder.path().to_owned(),
        umask: None,
        linger: Duration::from_millis(20),
    }
}

fn id(n: u128) -> SessionId {
    SessionId::from_parts(u64::from(std::process::id()), n)
}

fn input(n: u128) -> InputId {
    InputId::from_parts(1, n)
}

impl Bench {
    fn new() -> Self {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let folder = Rc::new(tempfile::Builder::new().permissions(mode).tempdir().unwrap());
        Self { server: Server::new(config(&folder)).unwrap(), folder }
    }

    /// The next host of the same home. The one before has ended.
    fn again(self) -> Self {
        let folder = Rc::clone(&self.folder);
        drop(self);
        Self { server: Server::new(config(&folder)).unwrap(), folder }
    }

    fn turn(&mut self) {
        let host = &mut self.server.host;
        host.reap();
        host.timers.wish(os::boot_ms() + TURN_MS, Wake::Host);
        host.timers.arm(os::boot_ms());
        self.server.turn(&mut Vec::with_capacity(64)).unwrap();
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut is: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            self.turn();
        }
    }

    /// Takes in a peer as if it was admitted.
    fn connect(&mut self) -> Peer {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let host = &mut self.server.host;
        let at = host.peers.insert(Connection::new(OwnedFd::from(ours)));
        host.poll.add(host.peers.get(at).unwrap(), Source::Connection(at), EventFlags::IN).unwrap();
        Peer { stream: theirs, decoder: Decoder::default(), got: Got::default() }
    }

    #[track_caller]
    fn greet(&mut self, role: Role) -> (Peer, Vec<Known>) {
        let mut peer = self.connect();
        peer.say(&ToHost::Hello { version: VERSION, role });
        let known = self.hear(&mut peer, |message| match message {
            FromHost::Welcome { sessions, .. } => Some(sessions.clone()),
            _ => None,
        });
        (peer, known)
    }

    fn control(&mut self) -> Peer {
        self.greet(Role::Control).0
    }

    /// Waits for a message, and takes it out of what came.
    #[track_caller]
    fn hear<T>(&mut self, peer: &mut Peer, wanted: impl Fn(&FromHost) -> Option<T>) -> T {
        let mut heard = None;
        self.until("a message", |_| {
            peer.read();
            let at = peer.got.messages.iter().position(|message| wanted(message).is_some());
            heard = at.and_then(|at| wanted(&peer.got.messages.remove(at)));
            heard.is_some()
        });
        heard.unwrap()
    }

    #[track_caller]
    fn exit(&mut self, peer: &mut Peer, id: SessionId) -> Exit {
        self.hear(peer, |message| match message {
            FromHost::Exited { session, exit } if *session == id => Some(exit.clone()),
            _ => None,
        })
    }

    #[track_caller]
    fn failure(&mut self, peer: &mut Peer, id: SessionId) -> StartFailure {
        self.hear(peer, |message| match message {
            FromHost::StartFailed { session, why } if *session == id => Some(why.clone()),
            _ => None,
        })
    }

    #[track_caller]
    fn until_output(&mut self, peer: &mut Peer, id: SessionId, text: &str) {
        self.until(text, |_| {
            peer.read();
            let output = peer.got.output.get(&id);
            output.is_some_and(|output| String::from_utf8_lossy(output).contains(text))
        });
    }

    #[track_caller]
    fn until_file(&mut self, name: &str) {
        self.until(name, |bench| bench.folder.path().join(name).exists());
    }

    fn start(&self, n: u128, io: Io, script: &str) -> Start {
        let path = std::env::var("PATH").unwrap();
        Start {
            session: id(n),
            label: id(n).to_string(),
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            cwd: self.folder.path().display().to_string(),
            env_base: None,
            env: [("PATH".to_owned(), path)].into(),
            umask: None,
            line: None,
            io,
            log: self.folder.path().join(format!("{n}.log")).display().to_string(),
            log_limit_bytes: 1 << 20,
            timeout_ms: None,
            idle_ms: None,
            warn_ms: None,
            grace_ms: 60_000,
            files: BTreeMap::new(),
            stdin: None,
            lease: None,
        }
    }

    fn piped(&self, n: u128, script: &str) -> Start {
        self.start(n, Io::Pipes { stdin: false }, script)
    }

    fn on_terminal(&self, n: u128, script: &str) -> Start {
        self.start(n, Io::Pty(TermSize { cols: 80, rows: 24 }), script)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Nothing of a test that failed stays behind.
        for (_, session) in self.server.host.sessions.living() {
            if let Some(leader) = session.leader() {
                let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
            }
        }
    }
}

impl Peer {
    fn say(&mut self, message: &ToHost) {
        let mut bytes = Vec::new();
        put_json(&mut bytes, message).unwrap();
        self.send(&bytes);
    }

    fn type_bytes(&mut self, id: SessionId, data: &[u8]) {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, frame::INPUT, id, 0, data);
        self.send(&bytes);
    }

    fn send(&mut self, bytes: &[u8]) {
        use std::io::Write as _;
        self.stream.write_all(bytes).unwrap();
    }

    fn start(&mut self, start: Start) {
        self.say(&ToHost::Start(Box::new(start)));
    }

    fn watch(&mut self, id: SessionId) {
        self.say(&ToHost::Watch { session: id, from: 0 });
    }

    /// Takes what has come. False once the host has hung up.
    fn read(&mut self) -> bool {
        use std::io::Read as _;
        let mut buffer = [0; 64 << 10];
        let open = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break false,
                Ok(read) => self.decoder.feed(&buffer[..read]),
                Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
            }
        };
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            match frame {
                Frame::Json(text) => self.got.messages.push(serde_json::from_slice(text).unwrap()),
                Frame::Bytes { session, data, .. } => {
                    self.got.output.entry(session).or_default().extend(data);
                }
                Frame::Unknown { kind } => panic!("a frame of kind {kind}"),
            }
        }
        open
    }
}

#[test]
fn a_session_is_watched_to_its_end_and_forgotten_when_that_is_recorded() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let (mut viewer, _) = bench.greet(Role::Stream);
    control.start(bench.piped(1, "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 3"));
    bench.hear(&mut control, |message| matches!(message, FromHost::Started { .. }).then_some(()));
    viewer.watch(id(1));
    bench.until_output(&mut viewer, id(1), "one\n");
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    let exit = bench.exit(&mut viewer, id(1));
    assert_eq!((exit.status, exit.output_bytes, exit.killed), (ExitStatus::Code(3), 8, false));
    assert_eq!(viewer.got.output[&id(1)], b"one\ntwo\n");
    assert_eq!(bench.exit(&mut control, id(1)), exit);
    control.start(bench.piped(1, "echo never"));
    assert_eq!(bench.exit(&mut control, id(1)), exit, "a second start of the same changes nothing");
    let (mut late, _) = bench.greet(Role::Stream);
    late.watch(id(1));
    assert_eq!(bench.exit(&mut late, id(1)), exit);
    assert_eq!(late.got.output[&id(1)], b"one\ntwo\n", "from its log");
    control.say(&ToHost::AckExit { session: id(1) });
    bench.until("it is forgotten", |bench| bench.server.host.sessions.len() == 0);
    control.say(&ToHost::Watch { session: id(1), from: 0 });
    bench.hear(&mut control, |message| matches!(message, FromHost::NoSuchSession { .. }).then_some(()));
}

#[test]
fn the_end_of_a_leader_is_noted_when_it_is_waited_for() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    for (n, script) in [(1, "exit 3"), (2, "kill -9 $$")] {
        let gate = bench.folder.path().join(format!("go{n}"));
        control.start(bench.piped(n, &format!("until [ -e go{n} ]; do sleep 0.05; done; {script}")));
        let pid = bench.hear(&mut control, |message| match message {
            FromHost::Started { pid, .. } => Some(*pid),
            _ => None,
        });
        std::fs::write(gate, "").unwrap();
        let host = &mut bench.server.host;
        while host.sessions.is_leader(pid) {
            host.reap();
        }
        let notes = std::fs::read_to_string(bench.folder.path().join("host.exits")).unwrap();
        assert!(notes.contains(&id(n).to_string()), "{notes}");
    }
    let ends = [bench.exit(&mut control, id(1)), bench.exit(&mut control, id(2))].map(|exit| exit.status);
    assert_eq!(ends, [ExitStatus::Code(3), ExitStatus::Signal(9)]);
}

#[test]
fn what_is_typed_with_a_name_is_typed_once_and_only_at_what_was_judged() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let read = "stty -echo; printf ready; read a; printf \"<$a>\"; read b; printf \"<$b>\"; sleep 100";
    control.start(bench.on_terminal(1, read));
    control.watch(id(1));
    bench.until_output(&mut control, id(1), "ready");
    for _ in 0..2 {
        control.say(&ToHost::Input { session: id(1), input: input(1) });
        control.type_bytes(id(1), b"once\n");
        let at = bench.hear(&mut control, |message| match message {
            FromHost::Written { output_bytes, .. } => Some(*output_bytes),
            _ => None,
        });
        assert_eq!(at, 5);
    }
    bench.until_output(&mut control, id(1), "<once>");
    let answer = |output_bytes, input_bytes| ToHost::InputAt {
        session: id(1),
        input: input(2),
        output_bytes,
        input_bytes,
    };
    for (output_bytes, input_bytes) in [(5, None), (11, Some(0))] {
        control.say(&answer(output_bytes, input_bytes));
        control.type_bytes(id(1), b"stale\n");
        let at = bench.hear(&mut control, |message| match message {
            FromHost::InputMoved { output_bytes, .. } => Some(*output_bytes),
            _ => None,
        });
        assert_eq!(at, 11);
    }
    control.say(&answer(11, None));
    control.type_bytes(id(1), b"answer\n");
    bench.until_output(&mut control, id(1), "<answer>");
    control.type_bytes(id(9), b"x");
    bench.hear(&mut control, |message| {
        matches!(message, FromHost::NoSuchSession { session } if *session == id(9)).then_some(())
    });
    control.say(&ToHost::Kill { session: id(1), grace_ms: None });
    assert!(bench.exit(&mut control, id(1)).killed);
}

#[test]
fn a_terminal_has_a_reader_a_size_and_signals() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let script =
        "trap 'stty size; exit 4' WINCH; trap 'printf int' INT; printf ready; while :; do read a; done";
    control.start(bench.on_terminal(1, script));
    control.watch(id(1));
    bench.until_output(&mut control, id(1), "ready");
    control.say(&ToHost::Probe { session: id(1) });
    let evidence = bench.hear(&mut control, |message| match message {
        FromHost::Probed { evidence, input_bytes: Some(0), .. } => Some(evidence.clone()),
        _ => None,
    });
    assert_eq!(evidence.output_bytes, 5);
    assert!(evidence.modes.is_some());
    control.say(&ToHost::Signal { session: id(1), signal: 2 });
    bench.until_output(&mut control, id(1), "int");
    control.say(&ToHost::Resize { session: id(1), size: TermSize { cols: 30, rows: 20 } });
    bench.until_output(&mut control, id(1), "20 30");
    assert_eq!(bench.exit(&mut control, id(1)).status, ExitStatus::Code(4));
}

#[test]
fn stdin_of_pipes_ends_when_it_is_closed_and_what_nobody_reads_waits() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(bench.start(1, Io::Pipes { stdin: true }, "while [ ! -e go ]; do sleep 0.05; done; wc -c"));
    control.watch(id(1));
    for _ in 0..20 {
        control.type_bytes(id(1), &[b'x'; 10_000]);
        bench.turn();
    }
    control.say(&ToHost::CloseStdin { session: id(1) });
    bench.until("it waits", |bench| {
        bench.server.host.sessions.get(0).is_some_and(|session| session.inputs.close && session.inputs.polled)
    });
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    bench.until_output(&mut control, id(1), "200000\n");
    assert_eq!(bench.exit(&mut control, id(1)).status, ExitStatus::Code(0));
}

#[test]
fn whole_trees_end_with_their_grace_or_at_its_end() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(bench.piped(1, "trap 'exit 5' TERM; touch polite; while :; do sleep 0.05; done"));
    control
        .start(bench.piped(2, "trap '' TERM; setsid sleep 1000 & touch deaf; while :; do sleep 0.05; done"));
    control.start(bench.piped(3, "sleep 1000 & touch left"));
    for name in ["polite", "deaf", "left"] {
        bench.until_file(name);
    }
    control.say(&ToHost::Kill { session: id(1), grace_ms: None });
    let polite = bench.exit(&mut control, id(1));
    assert_eq!((polite.status, polite.killed), (ExitStatus::Code(5), true));
    control.say(&ToHost::Kill { session: id(2), grace_ms: Some(50) });
    assert_eq!(bench.exit(&mut control, id(2)).status, ExitStatus::Signal(9));
    let left = bench.exit(&mut control, id(3));
    assert_eq!(
        (left.status, left.killed),
        (ExitStatus::Code(0), false),
        "its leftover process is not its end"
    );
    let forest = bench.server.host.processes.forest(&bench.server.host.sessions, [None; 2]);
    assert!(!forest.all.iter().any(|one| one.parent == std::process::id() && !one.zombie));
}

#[test]
fn limits_end_sessions_and_say_so() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(Start { timeout_ms: Some(100), ..bench.piped(1, "sleep 1000") });
    let idle = Start { idle_ms: Some(900), warn_ms: Some(300), ..bench.piped(2, "sleep 1000") };
    control.start(idle);
    control.start(bench.piped(3, "sleep 1000"));
    let deadline = AtDeadline::Kill { grace_ms: 0 };
    control.say(&ToHost::Deadline {
        session: id(3),
        after_ms: Some(50),
        action: deadline,
        keep_ms: None,
        until_ms: None,
    });
    let timed_out = bench.exit(&mut control, id(1));
    assert!(timed_out.timed_out && !timed_out.killed && timed_out.limit_ms.is_some());
    assert!(bench.exit(&mut control, id(3)).timed_out);
    let warned = bench.hear(&mut control, |message| match message {
        FromHost::Expiring { session, limit, .. } => Some((*session, *limit)),
        _ => None,
    });
    assert_eq!(warned, (id(2), SessionLimit::Idle));
    assert!(bench.exit(&mut control, id(2)).idle);
}

#[test]
fn a_session_that_waits_for_a_human_is_not_idle() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(Start { idle_ms: Some(200), ..bench.piped(1, "sleep 1000") });
    control.start(Start { timeout_ms: Some(800), ..bench.piped(2, "sleep 1000") });
    control.say(&ToHost::Waits { session: id(1), waits: true });
    bench.exit(&mut control, id(2));
    assert!(bench.server.host.sessions.get(0).unwrap().life.leader_lives(), "four times its limit went by");
    control.say(&ToHost::Waits { session: id(1), waits: false });
    assert!(bench.exit(&mut control, id(1)).idle);
}

#[test]
fn a_frozen_tree_stands_still_until_it_is_thawed_and_can_be_ended() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control
        .start(bench.piped(1, "touch ready; sleep 0.01; (while [ ! -e go ]; do sleep 0.05; done); exit 6"));
    bench.until_file("ready");
    let is_stopped = |bench: &Bench| {
        let forest = bench.server.host.processes.forest(&bench.server.host.sessions, [None; 2]);
        let tree = forest.tree(0).unwrap();
        // A shell that has called vfork(2) stops when its child goes on.
        let waits_for_it =
            |pid: u32| forest.all.iter().any(|process| process.parent == pid && process.stopped);
        tree.live
            .iter()
            .map(|at| &forest.all[*at])
            .all(|process| process.stopped || waits_for_it(process.pid))
    };
    control.say(&ToHost::Freeze { session: id(1) });
    bench.until("all are stopped", |bench| is_stopped(bench));
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    control.say(&ToHost::Thaw { session: id(1) });
    assert_eq!(bench.exit(&mut control, id(1)).status, ExitStatus::Code(6));
    control.start(bench.piped(2, "sleep 1000"));
    control.say(&ToHost::Deadline {
        session: id(2),
        after_ms: Some(1),
        action: AtDeadline::Freeze,
        keep_ms: None,
        until_ms: None,
    });
    bench.until("it is frozen", |bench| {
        let sessions = &bench.server.host.sessions;
        sessions.slot_of(id(2)).and_then(|slot| sessions.get(slot)).is_some_and(|one| one.life.is_frozen())
    });
    control.say(&ToHost::Kill { session: id(2), grace_ms: None });
    assert_eq!(bench.exit(&mut control, id(2)).status, ExitStatus::Signal(9), "it has no grace");
}

/// Nobody tells the host anything: the node of these sessions is dead.
#[test]
fn what_has_a_lease_is_frozen_and_killed_without_a_node() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let leased = |n, after| Start {
        lease: Some(Lease { until_ms: os::boot_ms() + after, keep_ms: Some(1) }),
        ..bench.piped(n, "touch began; sleep 1000")
    };
    let (short, over) = (leased(1, 300), leased(2, 0));
    control.start(short);
    let exit = bench.exit(&mut control, id(1));
    assert!(exit.status == ExitStatus::Signal(9) && exit.shut_down && !exit.timed_out, "{exit:?}");
    control.say(&ToHost::Start(Box::new(over)));
    let why = bench.failure(&mut control, id(2));
    assert!(format!("{why:?}").contains("lease"), "{why:?}");
}

#[test]
fn what_waits_for_its_turn_starts_only_within_its_lease() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let line = Some(Line { of: RunId::from_parts(1, 1), at_once: 1, lazy_above: 0 });
    let queued = |n, script| {
        let lease = Some(Lease { until_ms: os::boot_ms() + 1, keep_ms: Some(1) });
        Start { line, lease, ..bench.piped(n, script) }
    };
    let first = Start { lease: None, ..queued(1, "until [ -e go ]; do sleep 0.05; done") };
    let (renewed, over) = (queued(2, "exit 3"), queued(3, "touch wrong"));
    for start in [first, renewed, over] {
        control.say(&ToHost::Start(Box::new(start)));
    }
    control.say(&ToHost::Deadline {
        session: id(2),
        after_ms: Some(60_000),
        action: AtDeadline::Freeze,
        keep_ms: None,
        until_ms: None,
    });
    // The host has heard all of it.
    control.say(&ToHost::Probe { session: id(1) });
    bench.hear(&mut control, |message| match message {
        FromHost::Probed { session, .. } if *session == id(1) => Some(()),
        _ => None,
    });
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    let why = bench.failure(&mut control, id(3));
    assert!(format!("{why:?}").contains("lease"), "{why:?}");
    assert_eq!(bench.exit(&mut control, id(2)).status, ExitStatus::Code(3));
    assert!(!bench.folder.path().join("wrong").exists());
}

#[test]
fn what_cannot_start_says_why_and_costs_nothing() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    std::fs::write(bench.folder.path().join("script"), "no program").unwrap();
    let pipe = bench.folder.path().join("pipe").display().to_string();
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.as_str(), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let base = bench.piped(1, "true");
    let program = |argv: &[&str]| argv.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let cases = [
        (Start { argv: Vec::new(), ..base.clone() }, "its command is empty"),
        (Start { argv: program(&["no-such-program"]), ..base.clone() }, "in none of the directories of PATH"),
        (Start { argv: program(&["./script"]), ..base.clone() }, "chmod +x"),
        (Start { argv: program(&["/no/program"]), ..base.clone() }, "does not exist"),
        (Start { argv: program(&["sh", "a\0b"]), ..base.clone() }, "null byte"),
        (
            Start { cwd: "/no/directory".to_owned(), ..base.clone() },
            "the directory /no/directory does not exist",
        ),
        (Start { cwd: "here".to_owned(), ..base.clone() }, "not an absolute path"),
        (Start { env_base: Some("none".to_owned()), ..base.clone() }, "was not sent"),
        (Start { stdin: Some("/no/file".to_owned()), ..base.clone() }, "cannot be opened"),
        (Start { stdin: Some(pipe.clone()), ..base.clone() }, "not a regular file"),
        (Start { files: [(pipe, String::new())].into(), ..base.clone() }, "not a regular file"),
        (Start { files: [("/proc/no".to_owned(), String::new())].into(), ..base }, "cannot be made"),
    ];
    for (start, why) in cases {
        control.start(start);
        let StartFailure::Program { detail } = bench.failure(&mut control, id(1)) else { panic!("{why}") };
        assert!(detail.contains(why), "{detail}");
    }
    assert_eq!(bench.server.host.sessions.len(), 0);
    let vars = [("GREETING".to_owned(), "hello".to_owned())].into();
    control.say(&ToHost::Env { name: "base".to_owned(), vars });
    let path = bench.folder.path().join("sub/given").display().to_string();
    control.start(Start {
        env_base: Some("base".to_owned()),
        files: [(path.clone(), "a file".to_owned())].into(),
        stdin: Some(path),
        ..bench.on_terminal(2, "printf \"$GREETING $CIS_ATTEMPT \"; cat; tty")
    });
    control.watch(id(2));
    bench.until_output(&mut control, id(2), &format!("hello {} a file", id(2)));
    control.say(&ToHost::DropEnv { name: "base".to_owned() });
    control.start(Start { session: id(3), env_base: Some("base".to_owned()), ..bench.piped(3, "true") });
    bench.failure(&mut control, id(3));
}

#[test]
fn the_environments_of_a_node_end_with_its_connection_to_the_next_one() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.say(&ToHost::Env { name: "base".to_owned(), vars: BTreeMap::new() });
    bench.until("it is there", |bench| !bench.server.host.launcher.bases.is_empty());
    let _reader = bench.greet(Role::Stream);
    assert!(!bench.server.host.launcher.bases.is_empty(), "only a node replaces a node");
    let _next = bench.control();
    assert!(bench.server.host.launcher.bases.is_empty());
}

#[test]
fn sessions_of_a_queue_take_turns_and_what_waits_can_be_taken_back() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    let queue = Line { of: RunId::from_parts(1, 1), at_once: 1, lazy_above: 1 };
    let script = |n| format!("while [ ! -e go{n} ]; do sleep 0.05; done; exit {n}");
    for n in 1..=4 {
        control.start(Start { line: Some(queue), ..bench.piped(n, &script(n)) });
    }
    bench.hear(&mut control, |message| {
        matches!(message, FromHost::Started { session, .. } if *session == id(1)).then_some(())
    });
    control.say(&ToHost::Withdraw { session: id(2) });
    assert_eq!(bench.failure(&mut control, id(2)), StartFailure::Withdrawn {});
    control.say(&ToHost::Kill { session: id(3), grace_ms: None });
    assert_eq!(bench.failure(&mut control, id(3)), StartFailure::Withdrawn {}, "it has not begun");
    assert_eq!(bench.server.host.sessions.len(), 1);
    for n in [1, 4] {
        std::fs::write(bench.folder.path().join(format!("go{n}")), "").unwrap();
        let exit = bench.exit(&mut control, id(n));
        assert_eq!(exit.status, ExitStatus::Code(i32::try_from(n).unwrap()));
    }
    control.start(Start { line: Some(queue), ..bench.piped(5, "sleep 1000") });
    control.start(Start { line: Some(queue), ..bench.piped(6, "sleep 1000") });
    let (mut next, known) = bench.greet(Role::Control);
    let known: Vec<SessionId> = known.into_iter().map(|known| known.session).collect();
    assert_eq!(known, [id(1), id(4), id(5)], "what waits is not known to the next node");
    next.say(&ToHost::Kill { session: id(5), grace_ms: None });
    bench.exit(&mut next, id(5));
    next.say(&ToHost::Withdraw { session: id(6) });
    next.say(&ToHost::Kill { session: id(6), grace_ms: None });
    bench.hear(&mut next, |message| matches!(message, FromHost::NoSuchSession { .. }).then_some(()));
}

#[test]
fn peers_that_do_not_keep_to_the_protocol_are_refused() {
    let mut bench = Bench::new();
    let hello = |role| ToHost::Hello { version: VERSION, role };
    let cases: [(Vec<ToHost>, &str); 4] = [
        (vec![ToHost::Shutdown {}], "the first message must be a hello"),
        (vec![hello(Role::Stream), hello(Role::Control)], "a second hello came"),
        (vec![hello(Role::Stream), ToHost::Shutdown {}], "for the control connection"),
        (
            vec![
                hello(Role::Control),
                ToHost::Env { name: "e".to_owned(), vars: [(String::new(), String::new())].into() },
            ],
            "cannot be the name of an environment variable",
        ),
    ];
    for (messages, why) in cases {
        let mut peer = bench.connect();
        messages.iter().for_each(|message| peer.say(message));
        let detail = bench.hear(&mut peer, |message| match message {
            FromHost::Refused { detail } => Some(detail.clone()),
            _ => None,
        });
        assert!(detail.contains(why), "{detail}");
        bench.until("it hangs up", |_| !peer.read());
    }
    let mut untimely = bench.connect();
    untimely.type_bytes(id(1), b"x");
    bench.until("it hangs up", |_| !untimely.read());
    let mut broken = bench.connect();
    broken.send(&[0xff; 8]);
    bench.until("it hangs up", |_| !broken.read());
    let mut other = bench.connect();
    other.say(&ToHost::Hello { version: VERSION + 1, role: Role::Control });
    bench.until("it hangs up", |_| !other.read());
    assert!(matches!(other.got.messages[..], [FromHost::Welcome { version: VERSION, .. }]));
    bench.until("all are gone", |bench| bench.server.host.peers.len() == 0);
    assert!(!bench.server.host.shutting_down && bench.server.host.peers.control.is_none());
}

#[test]
fn ends_that_nobody_recorded_are_known_to_the_next_host() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(bench.piped(1, "exit 3"));
    let exit = bench.exit(&mut control, id(1));
    drop(control);
    bench.server.host.notes.leave(&bench.server.host.sessions);
    let mut bench = bench.again();
    let (mut control, known) = bench.greet(Role::Control);
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].session, known[0].exit.as_ref()), (id(1), Some(&exit)));
    control.start(bench.piped(1, "exit 4"));
    assert_eq!(bench.exit(&mut control, id(1)), exit, "it is not started twice");
    control.say(&ToHost::AckExit { session: id(1) });
    control.start(bench.piped(1, "exit 4"));
    assert_eq!(bench.exit(&mut control, id(1)).status, ExitStatus::Code(4));
}

#[test]
fn a_host_that_is_told_to_end_ends_its_sessions_first() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(bench.piped(1, "sleep 1000"));
    let queue = Line { of: RunId::from_parts(1, 1), at_once: 1, lazy_above: 0 };
    for n in [2, 3] {
        control.start(Start {
            line: Some(queue),
            ..bench.piped(n, "trap 'exit 0' TERM; touch ready; while :; do sleep 0.05; done")
        });
    }
    bench.until_file("ready");
    assert!(!bench.server.is_over());
    control.say(&ToHost::Shutdown {});
    for n in [1, 2] {
        let exit = bench.exit(&mut control, id(n));
        assert!(exit.shut_down && exit.killed, "{exit:?}");
    }
    assert_eq!(bench.failure(&mut control, id(3)), StartFailure::Withdrawn {});
    control.start(bench.piped(4, "true"));
    assert!(matches!(bench.failure(&mut control, id(4)), StartFailure::Resources { .. }));
    bench.until("it is over", |bench| bench.server.is_over());
    let mut bench = bench.again();
    assert_eq!(bench.greet(Role::Control).1, [], "sessions that a shutdown ends are lost, and not noted");
}

#[test]
fn a_node_that_goes_away_without_a_word_is_started_again_and_one_that_stops_is_not() {
    let mut bench = Bench::new();
    let script = format!("touch {}", bench.folder.path().join("node").display());
    let restart = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let supervise = |restart| ToHost::Supervise { restart, receives_environment: false };
    let mut control = bench.control();
    control.say(&supervise(Some(restart)));
    bench.until("it is supervised", |bench| bench.server.host.supervise.wants_node());
    drop(control);
    bench.until_file("node");
    bench.until("it has ended", |bench| bench.server.host.supervise.node.is_none());
    assert!(!bench.server.is_over(), "a host with a node to restart stays");
    let mut control = bench.control();
    control.say(&supervise(None));
    drop(control);
    bench.until("nobody is expected", |bench| bench.server.is_over());
}

#[test]
fn a_warning_that_no_node_was_there_for_is_told_to_the_next_one() {
    let mut bench = Bench::new();
    let mut control = bench.control();
    control.start(Start { timeout_ms: Some(60_300), warn_ms: Some(30_000), ..bench.piped(1, "sleep 1000") });
    bench.hear(&mut control, |message| matches!(message, FromHost::Started { .. }).then_some(()));
    drop(control);
    bench.until("nobody is there", |bench| bench.server.host.peers.control.is_none());
    let session = bench.server.host.sessions.get_mut(0).unwrap();
    session.timeout_at = Some(os::boot_ms() + 29_000);
    bench.server.host.session_due(0);
    let mut next = bench.control();
    let warned = bench.hear(&mut next, |message| match message {
        FromHost::Expiring { limit, .. } => Some(*limit),
        _ => None,
    });
    assert_eq!(warned, SessionLimit::Lifetime);
    next.say(&ToHost::Kill { session: id(1), grace_ms: Some(0) });
    bench.exit(&mut next, id(1));
    assert!(!next.got.messages.iter().any(|message| matches!(message, FromHost::Expiring { .. })), "once");
}

#[test]
fn the_socket_comes_back_after_its_file_was_removed_and_goes_with_the_host() {
    let mut bench = Bench::new();
    let socket = bench.folder.path().join("socket");
    assert!(socket.exists());
    std::fs::remove_file(&socket).unwrap();
    bench.until("it is back", |_| socket.exists());
    let mut stranger = UnixStream::connect(&socket).unwrap();
    stranger.set_nonblocking(true).unwrap();
    // It is in the line of the host itself, as sessions are.
    bench.until("it hangs up", |_| {
        use std::io::Read as _;
        matches!(stranger.read(&mut [0; 8]), Ok(0))
    });
    assert_eq!(bench.server.host.peers.len(), 0);
    bench.until("nobody came", |bench| bench.server.is_over());
}
