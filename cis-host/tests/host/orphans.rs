//! Orphans: whose they are, when they hide it.

use std::fs;
use std::process::Command;

use cis_host::control::spawn_host;
use cis_host::protocol::{Start, ToHost};

use crate::support::{Host, PATIENCE, Peer, command, processes_with, until};

/// Starts a daemon that ignores signals, run by `how`; notes its pid in the file `daemon`.
fn daemon(how: &str) -> String {
    format!("({how} sh -c 'trap \"\" TERM HUP; echo $$ > daemon; while :; do sleep 1; done' &)")
}

/// The pid of the daemon, once it runs and is the host's child.
#[track_caller]
fn orphan(host: &Host) -> u32 {
    let pid = || fs::read_to_string(host.path("daemon")).ok()?.strip_suffix('\n')?.parse().ok();
    until("the daemon runs", || pid().is_some());
    let pid: u32 = pid().unwrap();
    until("it is an orphan", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        parent == Some(&host.pid().to_string())
    });
    pid
}

/// Its hard limit, which is the stamp of its session.
fn realtime_limit(pid: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max realtime timeout")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// A session that lives on, to be left alone.
fn neighbour(host: &Host, control: &mut Peer) -> Start {
    let start = host.shell("while :; do sleep 0.05; done");
    control.start(&start);
    start
}

/// A session runs the daemon and ends, between neighbours; the daemon must end with it.
#[track_caller]
fn ends_with_its_session(how: &str) {
    let host = Host::start();
    let mut control = host.control();
    let older = neighbour(&host, &mut control);
    let start = host.shell(&format!("{}; while [ ! -e go ]; do sleep 0.05; done", daemon(how)));
    control.start(&start);
    let younger = neighbour(&host, &mut control);
    let pid = orphan(&host);
    fs::write(host.path("go"), "").unwrap();
    assert!(control.exit(start.session).status.is_success());
    let folder = host.folder.path().to_str().unwrap();
    assert!(!processes_with(folder).contains(&pid), "{how}: it outlived its session");
    for neighbour in [older, younger] {
        assert!(!processes_with(&neighbour.label).is_empty(), "{how}: a neighbour was ended");
        control.send(&ToHost::Kill { session: neighbour.session, grace_ms: Some(60_000) });
        let exit = control.exit(neighbour.session);
        assert_eq!(exit.status, cis_core::event::ExitStatus::Signal(15), "{how}");
    }
}

#[test]
fn one_without_an_environment_ends_with_its_session_and_not_with_a_neighbour() {
    ends_with_its_session("setsid env -i");
}

#[test]
fn one_with_the_label_of_nobody_ends_with_its_session() {
    ends_with_its_session("CIS_ATTEMPT=nobody setsid");
}

#[test]
fn a_timeout_ends_one_without_an_environment() {
    let host = Host::start();
    let mut control = host.control();
    let older = neighbour(&host, &mut control);
    let script = format!("{}; while :; do sleep 1; done", daemon("setsid env -i"));
    let start = Start { timeout_ms: Some(1500), grace_ms: 100, ..host.shell(&script) };
    control.start(&start);
    let pid = orphan(&host);
    assert!(control.exit(start.session).timed_out);
    assert!(!processes_with(host.folder.path().to_str().unwrap()).contains(&pid));
    assert!(!processes_with(&older.label).is_empty());
}

#[test]
fn one_that_nobody_can_be_told_of_costs_no_session_its_grace_and_does_not_stay() {
    let host = Host::start();
    let mut control = host.control();
    let script = format!("{}; while :; do sleep 0.05; done", daemon("setsid prlimit --rttime=7 env -i"));
    let start = Start { grace_ms: 600_000, ..host.shell(&script) };
    control.start(&start);
    let pid = orphan(&host);
    // The grace is for those that are the session's.
    control.send(&ToHost::Kill { session: start.session, grace_ms: None });
    control.exit(start.session);
    assert!(!processes_with(host.folder.path().to_str().unwrap()).contains(&pid));
}

#[test]
fn one_of_a_host_that_was_killed_cannot_speak_to_the_next() {
    // The line of its parents ends at the first process, as a person's does: the stamp tells.
    let host = Host::start();
    let mut control = host.control();
    let pid = control.start(&host.shell("while :; do sleep 0.05; done"));
    let stamp = format!("--rttime={}", realtime_limit(pid));
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.settimeout(1)\ntry: print(s.recv(9))\nexcept TimeoutError: print('served')";
    let socket = host.path("socket");
    let ask = |limit: &str| {
        let mut prlimit = Command::new("prlimit");
        let arguments = [limit, "env", "-i", "python3", "-c", script, socket.to_str().unwrap()];
        String::from_utf8(prlimit.args(arguments).output().unwrap().stdout).unwrap()
    };
    assert_eq!(ask(&stamp), "b''\n");
    assert_eq!(ask("--core=0"), "served\n");
}

#[test]
fn the_next_host_ends_what_a_killed_one_left_without_an_environment() {
    let mut host = Host::start();
    let mut control = host.control();
    let start = host.shell(&format!("{}; while :; do sleep 0.05; done", daemon("setsid env -i")));
    control.start(&start);
    let pid = orphan(&host);
    host.kill();
    let folder = host.folder.path().to_str().unwrap().to_owned();
    assert!(processes_with(&folder).contains(&pid), "it outlives the host");
    let mut second = spawn_host(&command(host.folder.path(), &[], "1"), PATIENCE).unwrap();
    assert!(!processes_with(&folder).contains(&pid), "it was left");
    until("it ends by itself, with nothing to do", || second.try_wait().unwrap().is_some());
}

#[test]
fn the_next_host_starts_although_it_may_not_end_a_process_and_names_it() {
    // Only root can start a process that the user of the host may not end.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut host = Host::start_as(65534);
    let mut control = host.control();
    let leader = control.start(&host.shell("while :; do sleep 0.05; done"));
    let stamp = realtime_limit(leader);
    let mut privileged = Command::new("prlimit");
    let mut privileged = privileged.args([&format!("--rttime={stamp}"), "sleep", "600"]).spawn().unwrap();
    let pid = privileged.id();
    until("it is stamped", || realtime_limit(pid) == stamp);
    host.kill();
    let mut next = Command::new("setpriv");
    next.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(host.path("host"));
    // It has nothing to do and ends.
    let said = next.args(["socket", "lock", "."].map(|name| host.path(name))).arg("1").output().unwrap();
    let lives = privileged.try_wait().unwrap().is_none();
    privileged.kill().unwrap();
    privileged.wait().unwrap();
    assert!(said.status.success() && lives, "{said:?}");
    assert_eq!(said.stdout, b"ready\n");
    let warning = String::from_utf8(said.stderr).unwrap();
    assert!(warning.contains(&format!("pid {pid};")), "{warning}");
}
