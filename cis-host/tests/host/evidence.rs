//! What the host finds out about programs that wait for a human, and about those that do not.

use std::path::Path;
use std::process::{Command, Stdio};

use cis_core::api::TermSize;
use cis_core::ids::SessionId;
use cis_core::monitor::{KernelEvidence, Modes, Reader, ReaderHow};
use cis_host::protocol::{FromHost, Io, Role, Start, ToHost};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Host, PATIENCE, Peer, until};

const COOKED: Option<Modes> = Some(Modes { canonical: true, echo: true });
const SECRET: Option<Modes> = Some(Modes { canonical: true, echo: false });
const RAW: Option<Modes> = Some(Modes { canonical: false, echo: false });
/// Not a version manager's, which runs it in some other process's name.
const PYTHON: &str = "/usr/bin/python3";

fn on_pty(host: &Host, argv: &[&str]) -> Start {
    Start { io: Io::Pty(TermSize::default()), ..host.command(argv) }
}

fn probe(peer: &mut Peer, session: SessionId) -> KernelEvidence {
    peer.send(&ToHost::Probe { session });
    peer.expect("evidence", |message| match message {
        FromHost::Probed { session: of, evidence, .. } if *of == session => Some(evidence.clone()),
        FromHost::Exited { session: of, exit } if *of == session => panic!("it ended: {exit:?}"),
        _ => None,
    })
}

/// Probes until it is so.
#[track_caller]
fn seen(
    peer: &mut Peer,
    session: SessionId,
    what: &str,
    mut is: impl FnMut(&KernelEvidence) -> bool,
) -> KernelEvidence {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let evidence = probe(peer, session);
        if is(&evidence) {
            return evidence;
        }
        assert!(std::time::Instant::now() < deadline, "{what}: {evidence:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn is_reader(reader: &Reader, name: &str, how: ReaderHow, nested: bool) -> bool {
    (reader.name.as_str(), reader.how, reader.nested, reader.foreign) == (name, how, nested, false)
}

fn end(peer: &mut Peer, sessions: &[SessionId]) {
    for session in sessions {
        peer.send(&ToHost::Kill { session: *session, grace_ms: Some(0) });
    }
    for session in sessions {
        peer.exit(*session);
    }
}

/// Programs that wait for their terminal: how, who, in which modes. Those that are not installed are left out.
fn waiting(script: &str) -> Vec<(Vec<String>, &'static str, ReaderHow, Option<Modes>)> {
    use ReaderHow::{Poll, Read};
    let python = |code: &str| vec![PYTHON.to_owned(), "-c".to_owned(), code.to_owned()];
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let bash = |line: &str| vec!["bash".to_owned(), "-c".to_owned(), line.to_owned()];
    let polls = "import select,sys\np = select.poll()\np.register(0, select.POLLIN)\np.poll()";
    let selectors =
        "import selectors\ns = selectors.DefaultSelector()\ns.register(0, selectors.EVENT_READ)\ns.select()";
    let controlling = "f = open('/dev/tty', 'rb', 0)\nf.read(1)";
    let threads =
        "import sys, threading, time\nthreading.Thread(target=sys.stdin.readline).start()\ntime.sleep(1000)";
    let all = vec![
        (bash("read -r -p 'Proceed? [y/N] ' line; echo $line"), "bash", Read, COOKED),
        (bash("read -r -s -p Password: line; echo"), "bash", Read, SECRET),
        (bash("read -r -t 1000 line; echo $line"), "bash", Poll, COOKED),
        (words("bash --norc --noprofile -i"), "bash", Poll, RAW),
        (bash("cat; true"), "cat", Read, COOKED),
        (bash("cat | sort; true"), "cat", Read, COOKED),
        (words("sh -c cat"), "cat", Read, COOKED),
        (python("input('Name: ')"), "python3", Read, COOKED),
        (python("import getpass; getpass.getpass()"), "python3", Read, SECRET),
        (python("import select,sys; select.select([sys.stdin], [], [])"), "python3", Poll, COOKED),
        (python(polls), "python3", Poll, COOKED),
        (python(selectors), "python3", Poll, COOKED),
        (python(controlling), "python3", Read, COOKED),
        (python(threads), "python3", Read, COOKED),
        (words(&format!("less {script}")), "less", Read, RAW),
        (words(&format!("more {script}")), "more", Poll, RAW),
        (words("node -i"), "node", Poll, RAW),
        (words(&format!("vim -u NONE {script}")), "vim", Poll, RAW),
        (words(&format!("nano {script}")), "nano", Read, RAW),
    ];
    let is_there = |(argv, ..): &(Vec<String>, &str, ReaderHow, Option<Modes>)| {
        let path = std::env::var("PATH").unwrap();
        argv[0].starts_with('/') && Path::new(&argv[0]).exists()
            || path.split(':').any(|folder| Path::new(folder).join(&argv[0]).exists())
    };
    all.into_iter().filter(is_there).collect()
}

/// Every one of them is seen waiting, for the right terminal, with nobody else.
fn expect_waiting(host: &Host) {
    let file = host.path("file");
    std::fs::write(&file, "line\n".repeat(200)).unwrap();
    let mut control = host.control();
    let mut sessions = Vec::new();
    let programs = waiting(file.to_str().unwrap());
    assert!(programs.len() >= 10, "of the programs that are to be tested too few are installed");
    for (argv, name, how, modes) in programs {
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let mut start = on_pty(host, &argv);
        let term = [("TERM", "xterm"), ("HOME", "/nonexistent")];
        start.env.extend(term.map(|(name, value)| (name.to_owned(), value.to_owned())));
        control.start(&start);
        let is = |one: &Reader| is_reader(one, name, how, false) && one.modes == modes;
        let evidence =
            seen(&mut control, start.session, &format!("{argv:?}: {how:?} {modes:?}"), |evidence| {
                evidence.readers.iter().any(is) && evidence.modes == modes
            });
        assert_eq!(evidence.readers.len(), 1, "{argv:?} {evidence:?}");
        assert!(evidence.foreground.contains(&name.to_owned()), "{argv:?} {evidence:?}");
        assert!(!evidence.opaque, "{argv:?} {evidence:?}");
        sessions.push(start.session);
    }
    end(&mut control, &sessions);
}

#[test]
fn programs_that_wait_for_their_terminal_are_seen() {
    expect_waiting(&Host::start());
}

#[test]
fn and_by_a_host_without_privileges() {
    if rustix::process::geteuid().is_root() {
        expect_waiting(&Host::start_as(65534));
    }
}

#[test]
fn programs_that_wait_for_something_else_are_no_readers() {
    let host = Host::start();
    let mut control = host.control();
    let python = |code: &str| vec![PYTHON.to_owned(), "-c".to_owned(), code.to_owned()];
    let bash = |line: &str| vec!["bash".to_owned(), "-c".to_owned(), line.to_owned()];
    let socket = "import socket\na, b = socket.socketpair()\nprint('ready', flush=True)\na.recv(1)";
    let select = "import select, socket\na, b = socket.socketpair()\nprint('ready', flush=True)\nselect.select([a], [], [])";
    let asks_ours = "import os, pty\nm, s = pty.openpty()\nprint('ready', flush=True)\nos.read(m, 1)";
    let writes = "import os, select\nprint('ready', flush=True)\np = select.poll()\np.register(0, select.POLLPRI)\np.poll()";
    let busy = "print('ready', flush=True)\nwhile True: pass";
    let all = [
        bash("echo 'Waiting for deploy? '; echo ready; sleep 1000; true"),
        bash("set -m; cat & echo ready; sleep 1000; true"),
        bash("echo ready; sleep 1000 | cat; true"),
        bash("echo ready; while :; do :; done"),
        bash("(read -r line < /dev/null; exec cat <(sleep 1000)) & echo ready; wait"),
        python(socket),
        python(select),
        python(asks_ours),
        python(writes),
        python(busy),
    ];
    let mut sessions = Vec::new();
    for argv in all {
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let start = on_pty(&host, &argv);
        control.start(&start);
        control.send(&ToHost::Watch { session: start.session, from: 0 });
        control.wait_for_output(start.session, "ready");
        // Long enough for a job in the background to be stopped, and for a reader to begin to read.
        for _ in 0..10 {
            let evidence = probe(&mut control, start.session);
            assert!(evidence.readers.is_empty() && !evidence.opaque, "{argv:?} {evidence:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        sessions.push(start.session);
    }
    end(&mut control, &sessions);
}

#[test]
fn who_is_stopped_does_not_wait_and_does_again_when_it_goes_on() {
    let host = Host::start();
    let mut control = host.control();
    let polls = "import select\np = select.poll()\np.register(0, select.POLLIN)\np.poll()";
    for argv in [&["cat"][..], &[PYTHON, "-c", polls]] {
        let start = on_pty(&host, argv);
        control.start(&start);
        let waits = |evidence: &KernelEvidence| evidence.readers.len() == 1;
        let before = seen(&mut control, start.session, "it waits", waits);
        control.send(&ToHost::Freeze { session: start.session });
        seen(&mut control, start.session, "it is stopped", |evidence| evidence.readers.is_empty());
        control.send(&ToHost::Thaw { session: start.session });
        // A poll that was stopped goes on as another system call.
        let after = seen(&mut control, start.session, "it waits again", waits);
        assert_eq!(before.readers, after.readers);
        end(&mut control, &[start.session]);
    }
}

#[test]
fn a_shell_gives_the_terminal_to_its_jobs_and_takes_it_back() {
    let host = Host::start();
    let mut control = host.control();
    let start = on_pty(&host, &["bash", "--norc", "--noprofile", "-i"]);
    control.start(&start);
    let reads = |name: &'static str| {
        move |evidence: &KernelEvidence| evidence.readers.len() == 1 && evidence.readers[0].name == name
    };
    seen(&mut control, start.session, "the shell asks", reads("bash"));
    let mut input = |bytes: &[u8]| {
        control.client.send_input(start.session, None, bytes).unwrap();
        control.client.flush().unwrap();
    };
    input(b"cat\n");
    let mut control = host.control();
    let evidence = seen(&mut control, start.session, "its job reads", reads("cat"));
    assert_eq!((evidence.foreground, evidence.modes), (vec!["cat".to_owned()], COOKED));
    control.client.send_input(start.session, None, b"\x1a").unwrap();
    control.client.flush().unwrap();
    seen(&mut control, start.session, "the shell asks, its job is stopped", reads("bash"));
    end(&mut control, &[start.session]);
}

#[test]
fn a_nested_terminal_is_looked_into_with_modes_of_its_own() {
    let unprivileged = rustix::process::geteuid().is_root().then(|| Host::start_as(65534));
    let hosts = [Some(Host::start()), unprivileged];
    let reads = ("bash", "bash -c 'read -r -s -p Password: line'".to_owned());
    // It reads by a descriptor of `/dev/tty`, and not its stdin.
    let opens = ("python3", format!("{PYTHON} -c 'import getpass; getpass.getpass()'"));
    let all = [Some(reads), Path::new(PYTHON).exists().then_some(opens)];
    for (host, (name, line)) in
        hosts.iter().flatten().flat_map(|host| all.iter().flatten().map(move |one| (host, one)))
    {
        let mut control = host.control();
        let start = on_pty(host, &["script", "-qc", line, "/dev/null"]);
        control.start(&start);
        let inner = |one: &Reader| is_reader(one, name, ReaderHow::Read, true) && one.modes == SECRET;
        // It passes on what is typed.
        let outer = |one: &Reader| is_reader(one, "script", ReaderHow::Poll, false) && one.modes == RAW;
        let evidence = seen(
            &mut control,
            start.session,
            "it asks inside",
            |evidence| matches!(&evidence.readers[..], [near, far] if outer(near) && inner(far)),
        );
        assert_eq!((evidence.modes, &evidence.foreground), (RAW, &vec!["script".to_owned()]));
        end(&mut control, &[start.session]);
    }
}

#[test]
fn what_runs_as_somebody_else_is_said_to_be_opaque() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let host = Host::start_as(65534);
    let mut control = host.control();
    let start = on_pty(&host, &["su", "-c", "true", "root"]);
    control.start(&start);
    let evidence = seen(&mut control, start.session, "su asks for a password", |evidence| {
        evidence.modes == SECRET && evidence.foreground == ["su"]
    });
    assert!(evidence.opaque && evidence.readers.is_empty(), "{evidence:?}");
    let shell = on_pty(&host, &["sh", "-c", "cat; true"]);
    control.start(&shell);
    let evidence =
        seen(&mut control, shell.session, "one of its own", |evidence| evidence.readers.len() == 1);
    assert!(!evidence.opaque, "{evidence:?}");
    control.client.send_input(start.session, None, b"wrong\n").unwrap();
    end(&mut control, &[shell.session]);
    control.exit(start.session);
    // Where the host may look into everything, nothing is opaque.
    let host = Host::start();
    let mut control = host.control();
    let user = on_pty(&host, &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat"]);
    control.start(&user);
    let evidence = seen(&mut control, user.session, "another user's program", |evidence| {
        evidence.readers.iter().any(|one| is_reader(one, "cat", ReaderHow::Read, false))
    });
    assert!(!evidence.opaque);
    end(&mut control, &[user.session]);
}

/// A process of nobody's session that reads a terminal by its name, as a pinentry does.
fn stranger(terminal: &str) -> std::process::Child {
    let code = format!("import os\nos.read(os.open({terminal:?}, os.O_RDWR | os.O_NOCTTY), 1)");
    let mut command = Command::new("setsid");
    command.args([PYTHON, "-c", &code]).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// A session whose program waits for a daemon; the name of its terminal.
fn waits_for_a_daemon(host: &Host, control: &mut Peer) -> (Start, String) {
    let code = "import os, socket\na, b = socket.socketpair()\nprint('at ' + os.ttyname(0) + ' .', flush=True)\na.recv(1)";
    let start = on_pty(host, &[PYTHON, "-c", code]);
    control.start(&start);
    control.send(&ToHost::Watch { session: start.session, from: 0 });
    control.wait_for_output(start.session, " .");
    let output = String::from_utf8(control.output(start.session)).unwrap();
    let name = output.split_whitespace().nth(1).unwrap().to_owned();
    (start, name)
}

#[test]
fn a_stranger_that_reads_the_terminal_is_found() {
    let host = Host::start();
    let mut control = host.control();
    let (start, terminal) = waits_for_a_daemon(&host, &mut control);
    assert!(probe(&mut control, start.session).readers.is_empty());
    let mut stranger = stranger(&terminal);
    let found = |evidence: &KernelEvidence| evidence.readers.iter().any(|reader| reader.foreign);
    let evidence = seen(&mut control, start.session, "it is found", found);
    let [reader] = &evidence.readers[..] else { panic!("{evidence:?}") };
    assert_eq!((reader.pid, reader.how, reader.nested), (stranger.id(), ReaderHow::Read, false));
    assert_eq!(reader.modes, COOKED);
    kill_process(Pid::from_raw(stranger.id().cast_signed()).unwrap(), Signal::KILL).unwrap();
    stranger.wait().unwrap();
    assert!(probe(&mut control, start.session).readers.is_empty());
    end(&mut control, &[start.session]);
}

#[test]
fn a_stranger_may_be_of_another_session_which_does_not_wait_itself() {
    let host = Host::start();
    let mut control = host.control();
    let (asked, terminal) = waits_for_a_daemon(&host, &mut control);
    let code = format!("import os\nos.read(os.open({terminal:?}, os.O_RDWR | os.O_NOCTTY), 1)");
    let daemon = on_pty(&host, &["setsid", "-w", PYTHON, "-c", &code]);
    control.start(&daemon);
    let found = |evidence: &KernelEvidence| evidence.readers.iter().any(|reader| reader.foreign);
    seen(&mut control, asked.session, "the daemon's process asks here", found);
    let evidence = probe(&mut control, daemon.session);
    assert!(evidence.readers.is_empty(), "{evidence:?}");
    end(&mut control, &[asked.session, daemon.session]);
}

/// An agent daemon of the user's, started outside of every session; ends with the test.
struct Agent<'a>(&'a str);

impl Agent<'_> {
    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).env("GNUPGHOME", self.0).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.run("gpgconf", &["--kill", "gpg-agent"]);
    }
}

#[test]
fn a_pinentry_of_an_agent_daemon_is_a_stranger_that_asks_for_a_passphrase() {
    const PINENTRY: &str = "/usr/bin/pinentry-curses";
    let host = Host::start();
    // A socket's path is short.
    let home = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let home = home.path().to_str().unwrap();
    let agent = Agent(home);
    assert!(
        agent.run("gpg-agent", &["--daemon", "--pinentry-program", PINENTRY]),
        "cannot start gpg-agent: `cargo xtask test` installs it"
    );
    let mut control = host.control();
    let mut start =
        on_pty(&host, &["sh", "-c", "GPG_TTY=$(tty) gpg --symmetric --output /dev/null /etc/passwd"]);
    let more = [("GNUPGHOME", home), ("TERM", "xterm"), ("HOME", home)];
    start.env.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    control.start(&start);
    let is = |one: &Reader| one.foreign && one.name.starts_with("pinentry");
    let evidence = seen(&mut control, start.session, "it asks", |evidence| evidence.readers.iter().any(is));
    assert!(!evidence.readers[0].nested && evidence.readers[0].modes == evidence.modes, "{evidence:?}");
    // It belongs to no session, and would compute without end at a terminal that is gone.
    let pinentry = evidence.readers.iter().find(|one| is(one)).unwrap().pid;
    kill_process(Pid::from_raw(i32::try_from(pinentry).unwrap()).unwrap(), Signal::KILL).unwrap();
    end(&mut control, &[start.session]);
}

#[test]
fn what_was_written_before_it_waits_is_in_the_count() {
    let host = Host::start();
    let mut control = host.control();
    for n in 0..20 {
        let text = "x".repeat(1000 * n + 1);
        let start = on_pty(&host, &["bash", "-c", &format!("echo -n {text}; read -r line")]);
        control.start(&start);
        let evidence = seen(&mut control, start.session, "it reads", |evidence| evidence.readers.len() == 1);
        assert_eq!(evidence.output_bytes, text.len() as u64, "all of it, and nothing else can come");
        end(&mut control, &[start.session]);
    }
}

#[test]
fn orphans_of_a_session_are_of_its_evidence() {
    let host = Host::start();
    let mut control = host.control();
    let start = on_pty(&host, &["bash", "-c", "(setsid sleep 1000 & echo $! >pid); cat"]);
    control.start(&start);
    until("the orphan is there", || {
        std::fs::read_to_string(host.path("pid")).is_ok_and(|pid| !pid.is_empty())
    });
    seen(&mut control, start.session, "cat, and what sleeps", |evidence| {
        evidence.processes == 2 && evidence.readers.len() == 1
    });
    end(&mut control, &[start.session]);
}

#[test]
fn a_process_that_loses_its_parent_between_two_looks_stays_in_the_picture() {
    let host = Host::start();
    let mut control = host.control();
    // Without anything that would tell whose it is, but that it was seen.
    let line = "mkfifo fifo; (setsid env -i /bin/sleep 1000 & read -r line <fifo) & read -r line";
    let start = on_pty(&host, &["bash", "-c", line]);
    control.start(&start);
    let sleeps = |evidence: &KernelEvidence| evidence.processes == 3;
    seen(&mut control, start.session, "a shell, its job, and what sleeps", sleeps);
    std::fs::write(host.path("fifo"), "go\n").unwrap();
    for _ in 0..20 {
        let evidence = probe(&mut control, start.session);
        assert!(evidence.processes >= 2, "{evidence:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    end(&mut control, &[start.session]);
}

#[test]
fn many_sessions_are_probed_at_once_by_any_connection() {
    let host = Host::start();
    let mut control = host.control();
    let starts: Vec<Start> = (0..40).map(|_| on_pty(&host, &["cat"])).collect();
    for start in &starts {
        control.start(start);
    }
    let mut stream = host.connect(Role::Stream);
    until("all of them wait", || {
        for start in &starts {
            stream.client.send(&ToHost::Probe { session: start.session }).unwrap();
        }
        stream.client.flush().unwrap();
        let waits = |start: &Start| {
            stream.expect("evidence", |message| match message {
                FromHost::Probed { session, evidence, .. } if *session == start.session => {
                    Some(evidence.readers.len() == 1)
                }
                _ => None,
            })
        };
        starts.iter().map(waits).filter(|waits| *waits).count() == starts.len()
    });
    end(&mut control, &starts.iter().map(|start| start.session).collect::<Vec<_>>());
}
