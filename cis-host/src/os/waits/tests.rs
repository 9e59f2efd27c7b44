//! Threads of the test's own process wait, and are seen from another one. (Each test is a process.)

use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::*;
use crate::os::pty::Pty;
use crate::os::{Processes, open_pty};

/// A terminal and a thread that waits for it until it is dropped.
struct Waiter {
    master: OwnedFd,
    terminal: Terminal,
    descriptor: u32,
    thread: Option<JoinHandle<()>>,
}

impl Waiter {
    fn new(wait: impl FnOnce(&OwnedFd) + Send + 'static) -> Self {
        let pty = open_pty(80, 24).unwrap();
        let (terminal, slave) = (Terminal::of(&pty.slave).unwrap(), pty.slave);
        let descriptor = slave.as_raw_fd().unsigned_abs();
        let thread = std::thread::spawn(move || wait(&slave));
        Self { master: pty.master, terminal, descriptor, thread: Some(thread) }
    }

    fn expects(&self, how: ReaderHow) -> TerminalWait {
        TerminalWait { terminal: self.terminal, how, descriptor: self.descriptor, sleeps: false }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        rustix::io::write(&self.master, b"\n").unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn own(processes: &ProcFs) -> Process {
    processes.one(std::process::id()).unwrap()
}

/// Looks until this is seen.
#[track_caller]
fn sees(expected: TerminalWait) {
    let processes = ProcFs::open().unwrap();
    let mut seen = Vec::new();
    for _ in 0..5000 {
        seen = processes.waits(&own(&processes), &mut Budget::new(1000, u64::MAX)).terminals;
        if seen.contains(&expected) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("{expected:?} is not in {seen:?}");
}

fn read_one(from: &OwnedFd) {
    rustix::io::read(from, &mut [0u8; 1]).unwrap();
}

#[test]
fn a_thread_that_reads_is_seen_with_the_modes_of_its_terminal() {
    let waiter = Waiter::new(read_one);
    sees(waiter.expects(ReaderHow::Read));
    let mut modes = tcgetattr(&waiter.master).unwrap();
    modes.local_modes -= LocalModes::ECHO;
    tcsetattr(&waiter.master, OptionalActions::Now, &modes).unwrap();
    let processes = ProcFs::open().unwrap();
    let secret = Some(Modes { canonical: true, echo: false });
    let process = own(&processes);
    let modes = |descriptor| processes.terminal_modes(&process, descriptor, &mut Budget::new(9, u64::MAX));
    assert_eq!((modes(waiter.descriptor), modes(1_000_000)), (secret, None));
    let (descriptor, mut mounts) = (waiter.descriptor, Mounts::default());
    let reopened = processes.modes_of_reopened(&process, descriptor, waiter.terminal, &mut mounts);
    assert_eq!(reopened, secret, "where copies are forbidden");
}

/// As getpass(3) reads: from `/dev/tty`, which is another terminal for us than for the one who opened it.
#[test]
fn modes_are_those_of_the_terminal_of_the_one_who_opened_dev_tty() {
    let pty = open_pty(80, 24).unwrap();
    let end = || std::process::Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = std::process::Command::new("setsid");
    command.args(["--ctty", "sh", "-c", "stty -echo; exec cat /dev/tty"]);
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    let processes = ProcFs::open().unwrap();
    let seen = (0..5000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        let process = processes.one(child.id())?;
        let waits = processes.waits(&process, &mut Budget::new(1000, u64::MAX));
        let wait = waits.terminals.into_iter().find(|wait| wait.descriptor > 2)?;
        let copied = processes.terminal_modes(&process, wait.descriptor, &mut Budget::new(9, u64::MAX));
        let mut mounts = Mounts::default();
        let reopened = processes.modes_of_reopened(&process, wait.descriptor, wait.terminal, &mut mounts);
        let deaf = Process { terminal: None, ..process };
        let unknown = processes.terminal_modes(&deaf, wait.descriptor, &mut Budget::new(9, u64::MAX));
        Some((wait.how, copied, reopened, unknown))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let secret = Some(Modes { canonical: true, echo: false });
    assert_eq!(seen, Some((ReaderHow::Read, secret, secret, None)));
}

#[test]
fn a_thread_that_polls_for_input_is_seen() {
    let waiter = Waiter::new(|terminal| {
        let mut all = [PollFd::new(terminal, PollFlags::IN | PollFlags::PRI)];
        poll(&mut all, None).unwrap();
    });
    sees(waiter.expects(ReaderHow::Poll));
}

#[test]
fn one_that_waits_for_another_end_of_a_terminal_or_another_event_is_not() {
    let other = Waiter::new(read_one);
    let full = Waiter::new(|terminal| {
        let mut all = [PollFd::new(terminal, PollFlags::PRI)];
        poll(&mut all, Some(&rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
    });
    let copy = full.master.try_clone().unwrap();
    let reader_of_ours = std::thread::spawn(move || {
        // Our end is written to by what echoes.
        let mut all = [PollFd::new(&copy, PollFlags::IN)];
        poll(&mut all, None).unwrap();
    });
    sees(other.expects(ReaderHow::Read));
    let processes = ProcFs::open().unwrap();
    let seen = processes.waits(&own(&processes), &mut Budget::new(1000, u64::MAX)).terminals;
    assert!(seen.iter().all(|wait| wait.terminal == other.terminal), "{seen:?}");
    drop(full);
    reader_of_ours.join().unwrap();
}

#[test]
fn epoll_is_seen_also_within_another_one_and_not_without_input() {
    let inner = Waiter::new(|terminal| {
        let (one, outer) =
            (epoll::create(epoll::CreateFlags::CLOEXEC), epoll::create(epoll::CreateFlags::CLOEXEC));
        let (one, outer) = (one.unwrap(), outer.unwrap());
        epoll::add(&one, terminal, epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
        epoll::add(&outer, &one, epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
        let mut events = Vec::with_capacity(1);
        epoll::wait(&outer, rustix::buffer::spare_capacity(&mut events), None).unwrap();
    });
    let deaf = Waiter::new(|terminal| {
        let one = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(&one, terminal, epoll::EventData::new_u64(1), epoll::EventFlags::PRI).unwrap();
        let mut events = Vec::with_capacity(1);
        let soon = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
        epoll::wait(&one, rustix::buffer::spare_capacity(&mut events), Some(&soon)).unwrap();
    });
    sees(inner.expects(ReaderHow::Poll));
    let processes = ProcFs::open().unwrap();
    let seen = processes.waits(&own(&processes), &mut Budget::new(1000, u64::MAX)).terminals;
    assert!(!seen.iter().any(|wait| wait.terminal == deaf.terminal), "{seen:?}");
}

#[test]
fn a_budget_that_is_used_up_shows_nothing_more() {
    let waiter = Waiter::new(read_one);
    sees(waiter.expects(ReaderHow::Read));
    let processes = ProcFs::open().unwrap();
    let mut budget = Budget::new(2, u64::MAX);
    assert!(processes.waits(&own(&processes), &mut budget).terminals.is_empty());
    assert!(!budget.spend(1));
}

#[test]
fn one_that_may_not_be_looked_into_is_seen_by_its_open_files_and_where_it_sleeps() {
    let pty = open_pty(80, 24).unwrap();
    let terminal = Terminal::of(&pty.slave).unwrap();
    let mut child = std::process::Command::new("cat")
        .stdin(pty.slave.try_clone().unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let processes = ProcFs::open().unwrap();
    let expected = TerminalWait { terminal, how: ReaderHow::Poll, descriptor: 0, sleeps: false };
    let seen = (0..5000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        let mut waits = Waits::default();
        let process = processes.one(child.id()).unwrap();
        processes.add_from_outside(&process, &mut Budget::new(1000, u64::MAX), &mut waits);
        waits.terminals == [expected]
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen);
}

/// A terminal on standard input of a child, which sleeps again and again for so long.
fn sleeper(program: &str, raw: bool) -> (std::process::Child, TerminalWait, Pty) {
    let pty = open_pty(80, 24).unwrap();
    if raw {
        let mut modes = tcgetattr(&pty.slave).unwrap();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&pty.slave, OptionalActions::Now, &modes).unwrap();
    }
    let terminal = Terminal::of(&pty.slave).unwrap();
    let mut child = std::process::Command::new("python3");
    child.args(["-c", program]).stdin(pty.slave.try_clone().unwrap()).stdout(std::process::Stdio::null());
    let expected = TerminalWait { terminal, how: ReaderHow::Poll, descriptor: 0, sleeps: true };
    (child.spawn().unwrap(), expected, pty)
}

#[test]
fn who_sleeps_a_little_at_a_terminal_that_gives_each_key_looks_for_one() {
    let processes = ProcFs::open().unwrap();
    for (program, raw, is_seen) in [
        ("import time\nwhile True: time.sleep(0.2)", true, true),
        ("import select\nwhile True: select.select([], [], [], 0.2)", true, true),
        ("import select\nwhile True: select.poll().poll(200)", true, true),
        ("import time\nwhile True: time.sleep(0.2)", false, false),
        ("import time\nwhile True: time.sleep(60)", true, false),
    ] {
        let (mut child, expected, _pty) = sleeper(program, raw);
        let look = || {
            let process = processes.one(child.id()).unwrap();
            processes.waits(&process, &mut Budget::new(1000, u64::MAX)).terminals
        };
        let asleep = || {
            let name = std::fs::read_to_string(format!("/proc/{}/wchan", child.id())).unwrap_or_default();
            name.contains("nanosleep") || name.contains("select") || name.contains("poll")
        };
        // Python needs a moment to come to its first sleep; where nothing is to be seen, it has to be in one.
        let found = (0..2500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            let seen = look();
            (seen.contains(&expected) || (!is_seen && asleep())).then_some(seen)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, Some(if is_seen { vec![expected] } else { Vec::new() }), "{program}, raw: {raw}");
    }
}
