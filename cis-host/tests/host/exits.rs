//! The end of a session, and who ended it, stay known after the death of its host.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Child;

use cis_core::event::ExitStatus;
use cis_host::control::spawn_host;
use cis_host::protocol::{AtDeadline, Exit, FromHost, Known, Role, Start, StartFailure, ToHost};

use crate::support::{Host, PATIENCE, Peer, command, new_id, processes_with, until};

/// Leaves a process behind that ignores SIGTERM during the session's long grace, and notes that it got it.
const STAYS: &str = "(setsid sh -c 'trap \"touch asked\" TERM; trap \"\" HUP; touch stays; while :; do sleep 0.05; done' >/dev/null 2>&1 &); while [ ! -e stays ]; do sleep 0.05; done";

fn long(host: &Host, end: &str) -> Start {
    Start { grace_ms: 600_000, ..host.shell(&format!("{STAYS}; {end}")) }
}

/// The next host, which ends with the test.
struct Next {
    child: Child,
    control: Peer,
    known: Vec<Known>,
}

impl Next {
    fn after(host: &mut Host) -> Self {
        host.kill();
        Self::of(host)
    }

    fn of(host: &Host) -> Self {
        let child = spawn_host(&command(host.folder.path(), &[], "60000"), PATIENCE).unwrap();
        let mut control = Peer::connect(&host.path("socket"), Role::Control);
        let known = control.welcome();
        Self { child, control, known }
    }

    fn exit(&self, start: &Start) -> Option<Exit> {
        self.known.iter().find(|known| known.session == start.session)?.exit.clone()
    }

    /// Ends the host normally.
    fn end(mut self, host: &Host) {
        let mut control = Peer::connect(&host.path("socket"), Role::Control);
        control.send(&ToHost::Shutdown {});
        until("it ends", || self.child.try_wait().unwrap().is_some());
    }
}

#[test]
fn an_end_is_known_while_leftover_processes_are_ended() {
    let mut host = Host::start();
    let mut control = host.control();
    let start = long(&host, "echo done; exit 3");
    let pid = control.start(&start);
    let lives = host.shell("while :; do sleep 0.05; done");
    control.start(&lives);
    until("what was left is being ended", || host.path("asked").exists());
    let mut next = Next::after(&mut host);
    assert_eq!(processes_with(host.folder.path().to_str().unwrap()).len(), 1, "it is ended first");
    let exit = next.exit(&start).expect("it was forgotten");
    assert_eq!((exit.status, exit.killed, exit.output_bytes), (ExitStatus::Code(3), false, 5));
    assert_eq!(exit.lost_output, None);
    assert_eq!(next.exit(&lives), None, "it had not ended");
    // A repeated start starts nothing.
    assert_eq!(next.control.start(&start), pid);
    assert_eq!(next.control.exit(start.session), exit);
    next.control.send(&ToHost::AckExit { session: start.session });
    // The next host after a normal end does not know the session any more.
    let welcomed = Peer::connect(&host.path("socket"), Role::Control).welcome();
    assert_eq!(welcomed, []);
    next.end(&host);
    let third = Next::of(&host);
    assert_eq!(third.known, []);
    third.end(&host);
}

#[test]
fn an_unrecorded_end_survives_every_host() {
    let mut host = Host::start();
    let mut control = host.control();
    let start = host.command(&["sh", "-c", "exit 7"]);
    control.run(&start);
    let next = Next::after(&mut host);
    assert_eq!(next.exit(&start).unwrap().status, ExitStatus::Code(7));
    next.end(&host);
    let third = Next::of(&host);
    assert_eq!(third.exit(&start).unwrap().status, ExitStatus::Code(7));
    third.end(&host);
}

#[test]
fn the_next_host_knows_who_ended_a_session() {
    for why in ["kill", "timeout", "deadline"] {
        let mut host = Host::start();
        let mut control = host.control();
        let timeout_ms = (why == "timeout").then_some(1000);
        // The leader ends on SIGTERM; its child does not.
        let script = format!("trap 'exit 0' TERM; {STAYS}; touch ready; while :; do sleep 0.05; done");
        let start = Start { timeout_ms, grace_ms: 600_000, ..host.shell(&script) };
        let pid = control.start(&start);
        until("it runs", || host.path("ready").exists());
        let session = start.session;
        match why {
            "kill" => control.send(&ToHost::Kill { session, grace_ms: None }),
            "deadline" => {
                let action = AtDeadline::Kill { grace_ms: 600_000 };
                control.send(&ToHost::Deadline {
                    session,
                    after_ms: Some(10),
                    action,
                    keep_ms: None,
                    until_ms: None,
                });
            }
            _ => {}
        }
        let gone = format!("/proc/{pid}");
        until("its leader ended and was waited for", || !fs::exists(&gone).unwrap());
        // The note is written in the same turn in which the leader is reaped.
        let noted = || fs::read_to_string(host.path("host.exits")).unwrap_or_default();
        until("it is noted", || noted().contains(&session.to_string()));
        let next = Next::after(&mut host);
        let exit = next.exit(&start).unwrap();
        assert_eq!((exit.killed, exit.timed_out), (why == "kill", why != "kill"), "{why}");
        assert_eq!(exit.status, ExitStatus::Code(0));
        next.end(&host);
    }
}

#[test]
fn ends_by_a_host_shutdown_are_not_noted_but_earlier_ends_are() {
    let mut host = Host::start();
    let mut control = host.control();
    let before = long(&host, "exit 4");
    control.start(&before);
    until("what was left is being ended", || host.path("asked").exists());
    let lives = host.shell("trap 'exit 0' TERM; touch ready; while :; do sleep 0.05; done");
    control.start(&lives);
    until("it runs", || host.path("ready").exists());
    control.send(&ToHost::Shutdown {});
    // The grace of the leftover process is not over.
    let exit = control.exit(lives.session);
    assert!(exit.shut_down && exit.killed, "{exit:?}");
    drop(control);
    let next = Next::after(&mut host);
    assert_eq!(next.exit(&before).unwrap().status, ExitStatus::Code(4));
    assert_eq!(next.exit(&lives), None);
    next.end(&host);
}

#[test]
fn a_leader_that_ended_by_itself_is_not_killed_afterwards() {
    let host = Host::start();
    let mut control = host.control();
    let start = long(&host, "exit 5");
    control.start(&start);
    until("what was left is being ended", || host.path("asked").exists());
    control.send(&ToHost::Kill { session: start.session, grace_ms: Some(0) });
    let exit = control.exit(start.session);
    assert_eq!((exit.status, exit.killed, exit.timed_out), (ExitStatus::Code(5), false, false));
}

/// Fills the file system with a file of this path.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for block in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![b'x'; block]).is_ok() {}
    }
}

#[test]
fn alone_more_ends_than_one_step_of_space_are_noted_on_a_full_disk() {
    const SESSIONS: usize = 300;
    let Some(mut host) = Host::start_on_disk("4m") else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    let mut control = host.control();
    let waits = "while [ ! -e go ]; do sleep 0.2; done; exit 6";
    let starts: Vec<_> = (0..SESSIONS).map(|_| host.shell(waits)).collect();
    for start in &starts {
        control.start(start);
    }
    fs::write(host.path("go.new"), "").unwrap();
    fill(&host.path("ballast"));
    let one_more = host.shell("exit 0");
    fs::rename(host.path("go.new"), host.path("go")).unwrap();
    // This node records no end.
    for start in &starts {
        control.exit(start.session);
    }
    // The notes are full of ends that are needed: nothing starts without space for its own.
    let mut refused = None;
    for _ in 0..SESSIONS * 10 {
        control.send(&ToHost::Start(Box::new(Start { session: new_id(), ..one_more.clone() })));
        refused = control.expect("an answer", |message| match message {
            FromHost::Exited { .. } => Some(None),
            FromHost::StartFailed { why, .. } => Some(Some(why.clone())),
            _ => None,
        });
        if refused.is_some() {
            break;
        }
    }
    let Some(StartFailure::Resources { detail }) = refused else { panic!("{refused:?}") };
    assert!(detail.contains("host.exits: No space left"), "{detail}");
    let next = Next::after(&mut host);
    for start in &starts {
        assert_eq!(next.exit(start).map(|exit| exit.status), Some(ExitStatus::Code(6)));
    }
    fs::remove_file(host.path("ballast")).unwrap();
    next.end(&host);
}
