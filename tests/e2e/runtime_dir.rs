//! Removal of the directory of the sockets while node, host and sessions run: clients find them again.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use super::harness::{Cis, Running, eventually, is_alive, kill_9, signal};

const WAITS: &str = "version = 1\n[dag]\nid = \"waits\"\n[[tasks]]\nid = \"a\"\nscript = 'read -r x'\n";

/// Returns the directory of the sockets, as the file `runtime-dir` of the home names it.
fn runtime_dir(cis: &Cis) -> PathBuf {
    PathBuf::from(fs::read_to_string(cis.home().join("runtime-dir")).unwrap())
}

#[test]
fn a_node_whose_sockets_are_removed_is_found_again() {
    let cis = Cis::new();
    let run = cis.start(WAITS);
    cis.session_of("a");
    let node = cis.node_pid().unwrap();
    let directory = runtime_dir(&cis);
    for what in ["directory", "parent", "sockets"] {
        match what {
            "directory" => fs::remove_dir_all(&directory).unwrap(),
            "parent" => fs::remove_dir_all(directory.parent().unwrap()).unwrap(),
            _ => ["node.sock", "host.sock"]
                .iter()
                .for_each(|name| fs::remove_file(directory.join(name)).unwrap()),
        }
        assert_eq!(cis.node_pid(), Some(node), "{what}");
        assert!(cis.run(["doctor"]).stdout.contains(&format!("running, pid {node}")), "{what}");
        eventually("the host listens again", || directory.join("host.sock").exists().then_some(()));
    }
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    fs::remove_dir_all(&directory).unwrap();
    cis.stop();
    assert!(!is_alive(node));
}

#[test]
fn the_next_node_reaches_the_host_after_both_sockets_were_removed() {
    let cis = Cis::new();
    let run = cis.start(WAITS);
    cis.session_of("a");
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    fs::remove_dir_all(runtime_dir(&cis)).unwrap();
    kill_9(node);
    let next = eventually("another node has the host", || {
        let next = cis.node_pid().filter(|next| *next != node)?;
        (cis.host_pid() == Some(host)).then_some(next)
    });
    assert_eq!(cis.task(&run, "a")["attempts"], 1, "the session was lost");
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    assert!(is_alive(next));
}

#[test]
fn a_caller_with_another_runtime_directory_finds_node_and_host_after_theirs_is_gone() {
    let cis = Cis::new();
    let run = cis.start(WAITS);
    cis.session_of("a");
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    let hash = runtime_dir(&cis).file_name().unwrap().to_owned();
    // As after a logout: the directory is removed with its parent, and cannot be made again.
    let gone = cis.work().join("gone");
    fs::rename(cis.runtime(), &gone).unwrap();
    fs::write(cis.runtime(), "").unwrap();
    kill_9(node);
    let other = Cis::new();
    let elsewhere = |arguments: &[&str]| {
        let mut command = cis.command(arguments);
        command.env("XDG_RUNTIME_DIR", other.runtime());
        Running::start(command).wait()
    };
    elsewhere(&["dag", "list"]).expect(0);
    let view = eventually("another node has the host", || {
        let view = elsewhere(&["node", "status", "--json"]).expect(0).json();
        (view["host_pid"].as_u64() == Some(u64::from(host))).then_some(view)
    });
    assert_ne!(view["pid"].as_u64(), Some(u64::from(node)));
    elsewhere(&["dag", "cancel", &run]).expect(0);
    eventually("the run is cancelled", || {
        let shown = elsewhere(&["dag", "show", &run, "--json"]).expect(0).json();
        (shown["run"]["state"] == "cancelled").then_some(())
    });
    elsewhere(&["node", "stop", "--kill-sessions"]).expect(0);
    fs::remove_file(cis.runtime()).unwrap();
    fs::rename(&gone, cis.runtime()).unwrap();
    // The new place of the host.
    let uid = rustix::process::getuid().as_raw();
    fs::remove_dir_all(PathBuf::from(format!("/tmp/cis-{uid}")).join(hash)).unwrap();
}

#[test]
fn a_node_that_does_not_listen_is_reported_and_can_be_stopped() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let node = cis.node_pid().unwrap();
    // A stopped node cannot listen again.
    signal(node, Signal::STOP);
    fs::remove_dir_all(runtime_dir(&cis)).unwrap();
    let pid = format!("pid {node}");
    let status = cis.run(["node", "status"]).expect(3).stderr;
    assert!(status.contains(&pid) && status.contains("cis node stop"), "{status}");
    let doctor = cis.run(["doctor"]).expect(3).stdout;
    assert!(doctor.contains(&pid), "{doctor}");
    let refused = cis.run(["dag", "list"]).expect(3).stderr;
    assert!(refused.contains(&pid), "{refused}");
    cis.ok(["node", "stop"]);
    assert!(!is_alive(node));
    cis.ok(["dag", "list"]);
}
