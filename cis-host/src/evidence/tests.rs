//! The rules, on processes that are made up.

use std::collections::BTreeMap;

use rustix::process::Signal;

use super::*;
use crate::os::{ProcessKey, Waits, open_pty};

/// A machine: what each process waits for.
#[derive(Default)]
struct Machine {
    all: Vec<Process>,
    waits: BTreeMap<u32, Vec<TerminalWait>>,
    hidden: Vec<u32>,
    peer: Vec<u32>,
}

impl Processes for Machine {
    fn all(&self) -> Vec<Process> {
        self.all.clone()
    }
    fn one(&self, pid: u32) -> Option<Process> {
        self.all.iter().find(|process| process.pid == pid).cloned()
    }
    fn newest_pid(&self) -> Option<u32> {
        None
    }
    fn variable(&self, _: u32, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn stamp(&self, _: u32) -> Option<u64> {
        None
    }
    fn ignores(&self, _: u32, _: Signal) -> bool {
        false
    }
    fn children(&self, of: &Process) -> Option<Vec<u32>> {
        Some(self.all.iter().filter(|one| one.parent == of.pid).map(|one| one.pid).collect())
    }
    fn waits(&self, process: &Process, _: &mut Budget) -> Waits {
        Waits {
            terminals: self.waits.get(&process.pid).cloned().unwrap_or_default(),
            peer: self.peer.contains(&process.pid),
            hidden: self.hidden.contains(&process.pid),
        }
    }
    fn terminal_modes(&self, _: &Process, _: u32, _: &mut Budget) -> Option<Modes> {
        Some(Modes { canonical: true, echo: false })
    }
    fn ticks_per_second(&self) -> u64 {
        100
    }
}

fn process(pid: u32, group: u32, terminal: Option<Terminal>, front: u32) -> Process {
    Process {
        pid,
        parent: 1,
        group,
        session: group,
        terminal,
        terminal_group: terminal.map(|_| front),
        threads: 1,
        started: 0,
        cpu: 0,
        zombie: false,
        stopped: false,
        name: format!("p{pid}"),
    }
}

fn terminals() -> (Terminal, Terminal) {
    let [own, inner] = different_terminals();
    (own, inner)
}

/// All are open at the same time.
fn different_terminals<const N: usize>() -> [Terminal; N] {
    let ptys = [(); N].map(|()| open_pty(80, 24).unwrap());
    ptys.each_ref().map(|pty| Terminal::of(&pty.slave).unwrap())
}

fn read(terminal: Terminal) -> Vec<TerminalWait> {
    vec![TerminalWait { terminal, how: ReaderHow::Read, descriptor: 0, sleeps: false }]
}

fn poll(terminal: Terminal) -> Vec<TerminalWait> {
    vec![TerminalWait { how: ReaderHow::Poll, ..read(terminal)[0] }]
}

fn look(machine: &Machine, own: Terminal, group: u32, anothers: Option<Terminal>) -> Found {
    let is_anothers = |terminal: Terminal| anothers.is_some_and(|other| other.is(terminal));
    let modes = Some(Modes { canonical: true, echo: true });
    let live = &machine.all;
    Scene { terminal: Some(own), group: Some(group), modes, live, is_anothers: &is_anothers }.look(machine)
}

fn pids(found: &Found) -> Vec<u32> {
    found.readers.iter().map(|reader| reader.pid).collect()
}

#[test]
fn who_is_in_the_background_or_stopped_does_not_read() {
    let (own, inner) = terminals();
    let mut stopped = process(13, 10, Some(own), 10);
    stopped.stopped = true;
    let machine = Machine {
        all: vec![
            process(10, 10, Some(own), 10),
            process(11, 11, Some(own), 10),
            process(12, 12, None, 0),
            stopped,
            process(14, 14, Some(inner), 15),
        ],
        waits: (10..15).map(|pid| (pid, read(if pid == 14 { inner } else { own }))).collect(),
        ..Machine::default()
    };
    let found = look(&machine, own, 10, None);
    assert_eq!(pids(&found), [10, 12], "12 is controlled by no terminal: nothing stops it");
    assert_eq!(found.foreground, ["p10", "p13"]);
    assert!(!found.opaque);
}

#[test]
fn nearest_and_most_exact_come_first_and_modes_are_those_of_the_terminal_that_is_read() {
    let (own, inner) = terminals();
    let machine = Machine {
        all: vec![
            process(20, 20, Some(inner), 20),
            process(10, 10, Some(own), 10),
            process(11, 10, Some(own), 10),
        ],
        waits: BTreeMap::from([(20, read(inner)), (10, poll(own)), (11, read(own))]),
        ..Machine::default()
    };
    let found = look(&machine, own, 10, None);
    assert_eq!(pids(&found), [11, 10, 20]);
    let echo: Vec<bool> = found.readers.iter().map(|reader| reader.modes.unwrap().echo).collect();
    assert_eq!(echo, [true, true, false]);
    assert_eq!(found.readers.iter().filter(|reader| reader.nested).count(), 1);
}

#[test]
fn the_terminal_of_another_session_is_not_nested_in_this_one() {
    let (own, other) = terminals();
    let machine = Machine {
        all: vec![process(10, 10, None, 0)],
        waits: BTreeMap::from([(10, read(other))]),
        ..Machine::default()
    };
    assert!(pids(&look(&machine, own, 10, Some(other))).is_empty());
    assert_eq!(pids(&look(&machine, own, 10, None)), [10]);
}

#[test]
fn what_cannot_be_looked_into_is_said_of_the_foreground_alone() {
    let (own, _) = terminals();
    let mut machine = Machine {
        all: vec![process(10, 10, Some(own), 10), process(11, 11, None, 0)],
        hidden: vec![11],
        ..Machine::default()
    };
    assert!(!look(&machine, own, 10, None).opaque);
    machine.hidden = vec![10];
    assert!(look(&machine, own, 10, None).opaque);
    machine.hidden.clear();
    assert!(look(&machine, own, 77, None).opaque, "nobody of the foreground can be seen");
}

#[test]
fn terminals_inside_are_those_that_have_processes_of_the_session_in_front() {
    let [own, first, second, other] = different_terminals();
    let mut machine = Machine {
        all: vec![
            process(10, 10, Some(own), 10),
            process(20, 20, Some(first), 20),
            process(21, 20, Some(first), 20),
            process(30, 30, Some(second), 31),
            process(40, 40, Some(other), 40),
            process(50, 50, None, 0),
        ],
        hidden: vec![30, 40, 50],
        ..Machine::default()
    };
    let found = look(&machine, own, 10, Some(other));
    let why = "the others are in the background, of another session, or of no terminal";
    assert_eq!((found.beside(), found.inside_opaque), (1, false), "{why}");
    machine.all[3] = process(30, 30, Some(second), 30);
    let found = look(&machine, own, 10, Some(other));
    assert_eq!((found.beside(), found.inside_opaque), (2, true));
}

/// `script` in `script` shows one terminal; two that one program opened are beside each other.
#[test]
fn a_terminal_inside_another_one_is_not_beside_it() {
    let [own, first, second] = different_terminals();
    let child = |of: u32, process: Process| Process { parent: of, ..process };
    let mut machine = Machine {
        all: vec![
            process(10, 10, Some(own), 10),
            child(10, process(20, 20, Some(first), 21)),
            child(20, process(21, 21, Some(first), 21)),
            child(21, process(30, 30, Some(second), 30)),
        ],
        ..Machine::default()
    };
    assert_eq!(look(&machine, own, 10, None).beside(), 1);
    machine.waits = [(20, read(first)), (21, poll(first)), (30, poll(second))].into_iter().collect();
    machine.all[1].group = 21;
    let readers = look(&machine, own, 10, None).readers;
    let outer: Vec<_> = readers.iter().map(|reader| (reader.pid, reader.outer)).collect();
    assert_eq!(outer, [(20, false), (21, true), (30, false)], "a shell in the same terminal asks");
    machine.all[1].group = 20;
    for parent in [10, 1] {
        machine.all[3].parent = parent;
        assert_eq!(look(&machine, own, 10, None).beside(), 2, "from {parent}, as the server of tmux");
    }
}

#[test]
fn strangers_are_searched_for_where_a_peer_is_waited_for_and_known_ones_are_looked_at_again() {
    let (own, _) = terminals();
    let mut machine = Machine {
        all: vec![process(10, 10, Some(own), 10), process(900, 900, None, 0)],
        waits: BTreeMap::from([(900, read(own))]),
        peer: vec![10],
        ..Machine::default()
    };
    let live = vec![machine.all[0].clone()];
    let nobodys = |_| false;
    let scene =
        Scene { terminal: Some(own), group: Some(10), modes: None, live: &live, is_anothers: &nobodys };
    let (mut strangers, mut impatience) = (Strangers::default(), Impatience::default());
    let mut at = |machine: &Machine, now: u64| {
        let mut found = scene.look(machine);
        assert!(found.suggests_strangers());
        let at = Moment { now, output_bytes: 0, quiet_ms: 5000 };
        strangers.look(machine, &scene, &mut impatience, at, &mut found);
        found.readers.iter().map(|reader| (reader.pid, reader.foreign, reader.nested)).collect::<Vec<_>>()
    };
    assert_eq!(at(&machine, 1000), [(900, true, false)]);
    machine.waits.clear();
    assert_eq!(at(&machine, 1100), []);
    machine.waits.insert(900, poll(own));
    assert_eq!(at(&machine, 1101), [(900, true, false)], "known from the first search");
    let key = ProcessKey { pid: 900, started: 5 };
    machine.all[1].started = key.started;
    assert_eq!(at(&machine, 1102), [], "another process of the same pid, and it is too soon for a search");
    assert_eq!(at(&machine, 2000), [(900, true, false)]);
    machine.waits.insert(10, read(own));
    assert!(!scene.look(&machine).suggests_strangers(), "one of its own reads");
}

#[test]
fn a_name_is_shown_without_control_characters() {
    let (own, _) = terminals();
    let mut hostile = process(10, 10, Some(own), 10);
    hostile.name = "a\u{1b}[2Jb\n".to_owned();
    let machine = Machine { all: vec![hostile], ..Machine::default() };
    assert_eq!(look(&machine, own, 10, None).foreground, ["a\u{fffd}[2Jb\u{fffd}"]);
}

#[test]
fn no_more_is_told_than_can_be_used() {
    let (own, _) = terminals();
    let machine = Machine {
        all: (10..200).map(|pid| process(pid, 10, Some(own), 10)).collect(),
        waits: (10..200).map(|pid| (pid, read(own))).collect(),
        ..Machine::default()
    };
    let found = look(&machine, own, 10, None);
    assert_eq!((found.readers.len(), found.foreground.len()), (READERS_MAX, FOREGROUND_MAX));
    assert_eq!(pids(&found), (10..26).collect::<Vec<_>>());
}

#[test]
fn what_this_process_starts_itself_is_watched_without_a_host() {
    use std::process::{Command, Stdio};

    let pty = open_pty(80, 24).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let line = "echo ready; (setsid cat <&0 >/dev/null &) ; read -r -s line";
    let mut command = Command::new("setsid");
    command.args(["--ctty", "bash", "-c", line]).stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().unwrap();
    let mut watched = Watched::new(&pty.master, child.id()).unwrap();
    drop((command, pty.slave));
    let (mut output, mut evidence) = (Vec::new(), None);
    for _ in 0..1000 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let now = watched.look(&pty.master, || {
            let mut part = [0; 512];
            while let Ok(read) = rustix::io::read(&pty.master, &mut part) {
                output.extend_from_slice(&part[..read]);
            }
            Drained { at_ms: 7, output_bytes: output.len() as u64, quiet_ms: 3 }
        });
        let done = now.readers.iter().any(|reader| reader.name == "bash");
        evidence = Some(now);
        if done {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Also for the one that made itself a session: its terminal is gone with us.
    drop(pty.master);
    let evidence = evidence.unwrap();
    assert_eq!(output, b"ready\r\n");
    assert_eq!((evidence.at_ms, evidence.output_bytes, evidence.quiet_ms), (7, 7, 3));
    assert_eq!((&evidence.foreground[..], evidence.opaque), (&["bash".to_owned()][..], false));
    let reader = &evidence.readers[0];
    let secret = Some(Modes { canonical: true, echo: false });
    assert_eq!((reader.pid, reader.how, reader.nested), (child.id(), ReaderHow::Read, false));
    assert_eq!((reader.modes, evidence.modes), (secret, secret));
}

#[test]
fn who_reads_may_pass_on_to_a_far_end_that_it_or_another_process_waits_for() {
    let [own, inner, line] = different_terminals();
    let peers = |waits: &[(u32, Vec<TerminalWait>)], peer: &[u32]| {
        let machine = Machine {
            all: vec![
                process(60, 60, Some(own), 60),
                process(61, 60, Some(own), 60),
                process(62, 62, Some(inner), 62),
            ],
            waits: waits.iter().cloned().collect(),
            peer: peer.to_vec(),
            ..Machine::default()
        };
        let found = look(&machine, own, 60, None);
        let own = found.readers.iter().filter(|reader| !reader.nested);
        own.map(|reader| (reader.pid, reader.peer)).collect::<Vec<_>>()
    };
    assert_eq!(peers(&[(60, poll(own))], &[]), [(60, false)]);
    assert_eq!(peers(&[(60, poll(own))], &[60]), [(60, true)], "a socket");
    assert_eq!(peers(&[(60, poll(own))], &[61]), [(60, true)], "of another process in front");
    assert_eq!(peers(&[(60, poll(own))], &[62]), [(60, false)], "of one inside");
    assert_eq!(peers(&[(60, read(own))], &[60]), [(60, true)], "of another of its threads");
    assert_eq!(
        peers(&[(60, read(own))], &[61]),
        [(60, false)],
        "a server that the shell started, and its question"
    );
    let both = |other| [poll(own), poll(other)].concat();
    assert_eq!(peers(&[(60, both(line))], &[]), [(60, true)], "a line of which nobody here is the other end");
    assert_eq!(peers(&[(60, both(inner))], &[]), [(60, false)], "a terminal inside");
}
