//! The node's life: started by whoever needs it, ended by itself, stopped, started for good.

use std::time::Duration;

use rustix::process::Signal;

use super::harness::{
    Cis, Running, eventually, eventually_within, is_alive, is_root, kill_9, pause, signal, skip,
};

#[test]
fn a_node_started_on_demand_ends_when_it_is_idle() {
    let cis = Cis::new();
    cis.ok(["dag", "list"]);
    let pid = cis.node_pid().expect("a command that needs a node starts one");
    cis.ok(["dag", "list"]);
    assert_eq!(cis.node_pid(), Some(pid), "the next command finds it");
    eventually_within(Duration::from_secs(30), "the idle node ends", || (!is_alive(pid)).then_some(()));
    assert!(cis.processes().is_empty(), "{:?}", cis.processes());
    // Asking for its state starts none.
    assert_eq!(cis.status()["running"], false);
    assert!(cis.processes().is_empty(), "{:?}", cis.processes());
}

#[test]
fn a_node_started_on_purpose_stays_and_stops() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let status = cis.status();
    assert_eq!(status["running"], true);
    assert_eq!(status["stays"], true);
    let pid = cis.node_pid().unwrap();
    cis.ok(["node", "start", "--detach"]);
    assert_eq!(cis.node_pid(), Some(pid), "a second one was started");
    cis.ok(["node", "stop"]);
    eventually("it ends", || (!is_alive(pid)).then_some(()));
}

#[test]
fn a_node_in_the_foreground_ends_on_sigterm() {
    let cis = Cis::new();
    let node = cis.spawn(["node", "start"]);
    eventually("it answers", || (cis.status()["running"] == true).then_some(()));
    assert_eq!(cis.node_pid(), Some(node.pid()));
    signal(node.pid(), Signal::TERM);
    node.wait().expect(0);
}

#[test]
fn sessions_go_on_when_the_node_is_stopped_and_started() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n";
    let run = cis.start(text);
    let before = cis.session_of("a");
    cis.ok(["node", "stop"]);
    assert!(is_alive(u32::try_from(before["pid"].as_u64().unwrap()).unwrap()));
    cis.ok(["node", "start", "--detach"]);
    assert_eq!(cis.session_of("a")["pid"], before["pid"]);
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "a")["attempts"], 1);
}

#[test]
fn the_host_starts_a_node_that_died_with_an_open_run() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"two\"\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = 'touch \"$E2E_WORK/done\"'\n";
    cis.start(text);
    cis.session_of("a");
    kill_9(cis.node_pid().unwrap());
    cis.write("open", "");
    // Nobody types anything from here on.
    eventually("the run goes on", || cis.work().join("done").exists().then_some(()));
}

#[test]
fn a_node_that_came_back_and_was_stopped_stays_stopped() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = 'echo waits; while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n";
    let follower = follow(&cis, &["dag", "run", cis.write("long.toml", text).to_str().unwrap()]);
    cis.session_of("a");
    kill_9(cis.node_pid().unwrap());
    follower.wait_for("The node is back.");
    let mut attached = cis.terminal(&["dag", "attach", "a"]);
    attached.wait_for("waits");
    let watching = cis.terminal(&["dag", "watch"]);
    watching.wait_for("waits");
    cis.ok(["node", "stop"]);
    follower.wait_for("The node was stopped");
    attached.wait_for("the node was stopped");
    // Longer than a follower waits for the host; nothing tells that no node is started.
    pause(Duration::from_secs(2));
    assert_eq!(cis.node_pid(), None);
    cis.ok(["node", "start", "--detach"]);
    eventually("the terminal is back", || (!attached.screen().contains("was stopped")).then_some(()));
    cis.write("open", "");
    follower.wait().expect(0);
    assert_eq!(attached.wait_exit(), 0);
}

/// Starts a command whose output and messages come together.
fn follow(cis: &Cis, arguments: &[&str]) -> Running {
    let mut command = cis.program("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(cis.binary()).args(arguments);
    Running::start(command)
}

#[test]
fn ctrl_c_in_a_follower_of_a_stopped_node_leaves_and_says_that_the_run_is_not_cancelled() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n";
    let run = cis.start(text);
    let before = cis.session_of("a");
    let follower = follow(&cis, &["dag", "execute", "--run-id", &run]);
    let watch = follow(&cis, &["dag", "events", "--follow", &run]);
    watch.wait_for("session");
    follower.wait_for("running");
    cis.ok(["node", "stop"]);
    follower.wait_for("The node was stopped");
    watch.wait_for("The node was stopped");
    signal(follower.pid(), Signal::INT);
    let out = follower.wait().expect(3);
    assert!(out.stdout.contains("cannot cancel the run: the node was stopped"), "{}", out.stdout);
    assert!(out.stdout.contains("`cis node start --detach`"), "{}", out.stdout);
    assert!(out.stdout.contains(&format!("cis dag cancel {run}")), "{}", out.stdout);
    assert_eq!(cis.node_pid(), None);
    cis.ok(["node", "start", "--detach"]);
    assert_eq!(cis.session_of("a")["pid"], before["pid"]);
    cis.write("open", "");
    watch.wait().expect(0);
}

#[test]
fn what_follows_events_of_a_stopped_node_does_not_start_it() {
    let cis = Cis::new();
    let tasks = |n| format!("[[tasks]]\nid = \"t{n}\"\nscript = 'sleep 0.05'\n");
    let text = format!("version = 1\n[dag]\nid = \"many\"\n{}", (0..400).map(tasks).collect::<String>());
    let run = cis.start(&text);
    let inbox = follow(&cis, &["inbox", "--watch"]);
    let events = follow(&cis, &["dag", "events", "--follow", &run]);
    // Then the run is in the middle, and the inbox is read again and again.
    events.wait_for("t20");
    cis.ok(["node", "stop"]);
    inbox.wait_for("The node was stopped");
    // Longer than the inbox waits before it is read again; nothing tells that no node is started.
    pause(Duration::from_secs(2));
    assert_eq!(cis.node_pid(), None);
    signal(inbox.pid(), Signal::INT);
    inbox.wait().expect(130);
    cis.ok(["node", "start", "--detach"]);
    cis.wait_run(&run, "succeeded");
    events.wait().expect(0);
}

#[test]
fn a_kill_that_waits_says_that_the_node_was_stopped_and_goes_on_with_the_next_one() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = 'trap \"touch $E2E_WORK/told\" TERM; while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n";
    cis.start(text);
    cis.session_of("a");
    let kill = follow(&cis, &["dag", "kill", "a", "--grace", "60s"]);
    eventually("the session is told", || cis.work().join("told").exists().then_some(()));
    cis.ok(["node", "stop"]);
    kill.wait_for("The node was stopped");
    cis.ok(["node", "start", "--detach"]);
    cis.write("open", "");
    assert!(kill.wait().expect(0).stdout.contains("has ended"));
}

#[test]
fn a_node_that_is_stopped_before_the_host_starts_it_again_stays_stopped() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n";
    let run = cis.start(text);
    cis.session_of("a");
    kill_9(cis.node_pid().unwrap());
    cis.ok(["node", "stop"]);
    // Longer than the host waits; nothing tells that no node is started.
    pause(Duration::from_secs(3));
    assert_eq!(cis.node_pid(), None);
    cis.ok(["node", "start", "--detach"]);
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "a")["attempts"], 1);
}

#[test]
fn many_commands_at_once_start_one_node() {
    let cis = Cis::new();
    let started: Vec<_> = (0..12).map(|_| cis.spawn(["dag", "list", "--json"])).collect();
    for command in started {
        let out = command.wait().expect(0);
        assert!(!out.stderr.contains("locked"), "{}", out.stderr);
    }
    let nodes = cis.processes().iter().filter(|p| p.command.contains(" node ")).count();
    assert!(nodes <= 1, "{:?}", cis.processes());
}

#[test]
fn init_doctor_and_status_work_on_an_empty_home() {
    let cis = Cis::new();
    let did = cis.json(&["init"])["did"].as_str().expect("init makes the key").to_owned();
    assert!(did.starts_with("did:key:z6Mk"), "{did}");
    assert_eq!(cis.json(&["init"])["did"], did.as_str(), "a second one keeps it");
    let said = cis.ok(["doctor"]);
    assert!(!said.is_empty());
    cis.ok(["status"]);
    cis.ok(["node", "start", "--detach"]);
    assert_eq!(cis.status()["did"], did.as_str(), "the node has that key");
}

#[test]
fn a_node_keeps_its_identity() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let first = cis.status()["did"].clone();
    assert!(first.as_str().unwrap().starts_with("did:key:z6Mk"), "{first}");
    cis.stop();
    cis.ok(["node", "start", "--detach"]);
    assert_eq!(cis.status()["did"], first);
}

#[test]
fn a_node_that_does_not_answer_is_said_and_stopped_and_its_sessions_go_on() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n";
    let run = cis.start(text);
    let before = cis.session_of("a");
    let node = cis.node_pid().unwrap();
    // Whoever connects is queued by the kernel; nobody answers.
    signal(node, Signal::STOP);
    // Both wait for it at the same time.
    let asked = [&["node", "status"][..], &["status"]].map(|verb| cis.spawn(verb));
    for out in asked.map(|verb| verb.wait().expect(3)) {
        assert!(out.stderr.contains("does not answer within 5 s"), "{}", out.stderr);
        assert!(out.stderr.contains("cis node stop"), "{}", out.stderr);
    }
    let out = cis.run(["node", "stop"]).expect(0);
    assert!(out.stderr.contains("sessions continue"), "{}", out.stderr);
    assert!(!is_alive(node));
    // Longer than the host takes to start a node that died.
    pause(Duration::from_secs(3));
    let nodes = || cis.processes().iter().filter(|p| p.command.contains("node serve")).count();
    assert_eq!(nodes(), 0, "the host started it again");
    assert!(is_alive(u32::try_from(before["pid"].as_u64().unwrap()).unwrap()));
    assert_eq!(cis.task(&run, "a")["attempts"], 1);
    assert_eq!(cis.session_of("a")["pid"], before["pid"]);
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
}

/// Stops the driver's thread for as long as it lives (ptrace(2): PTRACE_SEIZE, PTRACE_INTERRUPT).
const STOPPER: &str = r#"
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
tasks = f"/proc/{sys.argv[1]}/task"
driver = next(t for t in os.listdir(tasks) if open(f"{tasks}/{t}/comm").read().strip() == "cis-driver")
for request in (0x4206, 0x4207):
    if libc.ptrace(request, int(driver), None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
time.sleep(600)
"#;

#[test]
fn sigterm_ends_a_node_whose_driver_hangs() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let node = cis.node_pid().unwrap();
    if !is_root() {
        return skip("only root stops one thread of a node");
    }
    let stopper = cis.write("stopper.py", STOPPER);
    let mut python = cis.program("python3");
    let mut stopper = python.arg(stopper).arg(node.to_string()).spawn().unwrap();
    eventually("it hangs", || (cis.run(["node", "status"]).code == Some(3)).then_some(()));
    signal(node, Signal::TERM);
    eventually_within(Duration::from_secs(15), "it ends", || (!is_alive(node)).then_some(()));
    stopper.kill().unwrap();
    stopper.wait().unwrap();
}

#[test]
fn a_node_keeps_no_open_file_of_the_command_that_starts_it() {
    let cis = Cis::new();
    let lock = cis.write("lock", "").canonicalize().unwrap();
    let mut start = cis.program("sh");
    start.args(["-c", "exec 9>lock; exec \"$0\" node start --detach"]).arg(cis.binary());
    assert!(start.status().unwrap().success());
    let pid = cis.node_pid().unwrap();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<_> = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok()).collect();
    assert!(!open.is_empty() && !open.contains(&lock), "{open:?}");
    cis.ok(["node", "stop"]);
}

#[test]
fn a_node_whose_lock_file_was_deleted_keeps_its_sessions() {
    let cis = Cis::new();
    let script = "until [ -e \"$E2E_WORK/open\" ]; do sleep 0.05; done; echo ran >> \"$E2E_WORK/ran\"";
    let run = cis
        .start(&format!("version = 1\n[dag]\nid = \"long\"\n[[tasks]]\nid = \"a\"\nscript = '{script}'\n"));
    let (node, session) = (cis.node_pid().unwrap(), cis.session_of("a"));
    std::fs::remove_file(cis.home().join("node.lock")).unwrap();
    for more in [&[][..], &["--kill-sessions"]] {
        let said = cis.run([&["node", "stop"], more].concat()).expect(3);
        assert!(said.stderr.contains(&node.to_string()), "{said:?}");
    }
    assert!(is_alive(node) && is_alive(u32::try_from(session["pid"].as_u64().unwrap()).unwrap()));
    signal(node, Signal::TERM);
    eventually("it ends", || (!is_alive(node)).then_some(()));
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!((cis.read("ran").as_str(), cis.task(&run, "a")["attempts"].as_u64()), ("ran\n", Some(1)));
}

#[test]
fn a_session_host_whose_lock_file_was_deleted_is_ended_with_its_sessions() {
    let cis = Cis::new();
    cis.ok(["session", "create", "--", "sleep", "3000"]);
    cis.ok(["store", "backup", "backup.tar"]);
    let lock = cis.home().join("host.lock");
    let pid =
        |process: &str| cis.processes().into_iter().find(|p| p.command.contains(process)).map(|p| p.pid);
    let (host, sleep) = (pid("session-host").unwrap(), pid("sleep 3000").unwrap());
    cis.ok(["node", "stop"]);
    std::fs::remove_file(&lock).unwrap();
    let said = cis.run(["node", "stop"]).expect(3);
    assert!(said.stderr.contains(&host.to_string()) && said.stderr.contains("--kill-sessions"), "{said:?}");
    let said = cis.run(["store", "restore", "--force", "backup.tar"]).expect(3);
    assert!(said.stderr.contains(&host.to_string()) && said.stderr.contains("--kill-sessions"), "{said:?}");
    assert!(is_alive(host) && is_alive(sleep));
    // A restore that was refused may have made the file again; a home that was removed has none.
    for home_is_gone in [false, true] {
        if home_is_gone {
            cis.ok(["session", "create", "--", "sleep", "3000"]);
            cis.ok(["node", "stop"]);
            std::fs::remove_dir_all(cis.home()).unwrap();
        }
        let host = pid("session-host").unwrap();
        let said = cis.run(["node", "stop", "--kill-sessions"]).expect(0);
        assert!(said.stdout.contains("session host has stopped"), "{said:?}");
        assert!(!is_alive(host) && cis.processes().is_empty(), "{:?}", cis.processes());
    }
}
