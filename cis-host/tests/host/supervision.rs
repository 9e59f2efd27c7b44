//! Who restarts the node, and when the host ends by itself.

use std::fs;

use cis_host::protocol::ToHost;

use crate::support::{Host, processes_with, until};

/// What stands for a node: it notes that it was started.
fn note(host: &Host, then: &str) -> Vec<String> {
    let file = host.path("starts");
    let script = format!("echo started >> {}; {then}", file.display());
    ["sh", "-c", &script].map(str::to_owned).into()
}

fn starts(host: &Host) -> usize {
    fs::read_to_string(host.path("starts")).unwrap_or_default().lines().count()
}

#[test]
fn a_node_that_goes_away_without_a_word_is_started_again_until_one_stays() {
    let host = Host::start();
    let mut control = host.control();
    control.welcome();
    control.send(&ToHost::Supervise { restart: Some(note(&host, "exit 1")), receives_environment: false });
    drop(control);
    until("it is started again and again", || starts(&host) == 2);
    let mut control = host.control();
    control.welcome();
    control.send(&ToHost::Supervise { restart: None, receives_environment: false });
    control.send(&ToHost::Probe { session: crate::support::new_id() });
    control.expect("it is heard", |_| Some(()));
    let before = starts(&host);
    drop(control);
    let mut control = host.control();
    control.welcome();
    assert_eq!(starts(&host), before, "a node that says good-bye is not restarted");
}

#[test]
fn a_node_that_receives_its_environment_shows_none_in_proc() {
    let host = Host::start();
    let mut control = host.control();
    control.welcome();
    let script = "import os, socket, sys\n\
        own = open('/proc/self/environ', 'rb').read()\n\
        _, files, _, _ = socket.recv_fds(socket.socket(fileno=0), 1, 1)\n\
        given = open(files[0], 'rb').read()\n\
        open(sys.argv[1] + '.new', 'wb').write(own + b'\\n' + given)\n\
        os.rename(sys.argv[1] + '.new', sys.argv[1])";
    let file = host.path("environment");
    let restart = ["/usr/bin/env", "python3", "-c", script, file.to_str().unwrap()].map(str::to_owned);
    let supervise = |restart| ToHost::Supervise { restart, receives_environment: true };
    control.send(&supervise(Some(restart.into())));
    drop(control);
    until("it is started", || file.exists());
    let mut control = host.control();
    control.send(&supervise(None));
    control.welcome();
    let environment = fs::read(&file).unwrap();
    let (own, given) = environment.split_at(environment.iter().position(|byte| *byte == b'\n').unwrap());
    assert_eq!(own, b"CIS_ENVIRONMENT=stdin\0");
    let path = format!("PATH={}\0", std::env::var("PATH").unwrap());
    assert!(given.windows(path.len()).any(|part| part == path.as_bytes()), "what the host itself was handed");
    // On a busy machine the host may have started another one before the connection.
    let folder = host.path("");
    let is_host = |pid: &u32| *pid == host.pid();
    until("nothing but the host runs", || processes_with(folder.to_str().unwrap()).iter().all(is_host));
}

#[test]
fn a_node_that_was_started_and_has_not_connected_yet_is_left_alone() {
    let host = Host::start();
    let mut control = host.control();
    control.welcome();
    let script = "while [ ! -e done ]; do sleep 0.05; done";
    control.send(&ToHost::Supervise { restart: Some(note(&host, script)), receives_environment: false });
    drop(control);
    until("it is started", || starts(&host) == 1);
    // The next attempt would come two seconds later.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(starts(&host), 1);
    fs::write(host.path("done"), "").unwrap();
    until("it ended, and the next one is started", || starts(&host) == 2);
    let mut control = host.control();
    control.send(&ToHost::Supervise { restart: None, receives_environment: false });
    control.welcome();
}

#[test]
fn a_host_without_anything_to_do_ends_and_with_an_exit_to_tell_does_not() {
    let mut host = Host::start_with_settings(&["100"]);
    let mut control = host.control();
    let start = host.shell("exit 1");
    control.run(&start);
    drop(control);
    std::thread::sleep(std::time::Duration::from_millis(400));
    let mut control = host.control();
    assert_eq!(control.welcome().len(), 1, "the exit is still known");
    control.send(&ToHost::AckExit { session: start.session });
    drop(control);
    host.wait_for_end();
    assert!(!host.path("socket").exists());
}

#[test]
fn signals_of_a_terminal_do_not_end_the_host_and_sigterm_does() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut host = Host::start();
    let mut control = host.control();
    let pid = Pid::from_raw(host.pid().cast_signed()).unwrap();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::PIPE, Signal::USR1] {
        kill_process(pid, signal).unwrap();
    }
    let start = host.shell("sleep 1000");
    control.start(&start);
    kill_process(pid, Signal::TERM).unwrap();
    assert!(control.exit(start.session).killed);
    host.wait_for_end();
}
