//! What is done to runs from outside: create, start, look, cancel, pause, resume, retry, why.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Cis, eventually, kill_9, pause, signal, ulid_in, wait_until_handled};

const GATE: &str = r#"
version = 1
[dag]
id = "gate"
max_parallel = 1
[[tasks]]
id = "first"
tty = false
script = 'echo x >> "$E2E_WORK/first"; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done'
[[tasks]]
id = "second"
needs = ["first"]
tty = false
script = 'echo x >> "$E2E_WORK/second"; test -e "$E2E_WORK/good"'
[[tasks]]
id = "third"
needs = ["second"]
tty = false
script = 'echo x >> "$E2E_WORK/third"'
"#;

fn open(cis: &Cis) {
    cis.write("open", "");
}

#[test]
fn a_created_run_waits_until_it_is_executed() {
    let cis = Cis::new();
    let file = cis.write("gate.toml", GATE);
    let printed = cis.ok(["dag", "run", "--create-only", file.to_str().unwrap()]);
    let run = printed.trim();
    assert_eq!(run, ulid_in(run), "the id alone is printed: {printed:?}");
    assert_eq!(cis.show(run)["run"]["state"], "created");
    assert!(cis.read("first").is_empty());
    open(&cis);
    cis.write("good", "");
    cis.run(["dag", "execute", "--run-id", run]).expect(0);
    assert_eq!(cis.show(run)["run"]["state"], "succeeded");
    // A finished run: its outcome again, and nothing runs.
    cis.run(["dag", "execute", "--run-id", run]).expect(0);
    assert_eq!(cis.read("third").lines().count(), 1);
}

#[test]
fn execute_takes_a_file_and_detach_returns_at_once() {
    let cis = Cis::new();
    let file = cis.write("gate.toml", GATE);
    let run = ulid_in(&cis.ok(["dag", "execute", "--local", "--detach", file.to_str().unwrap()]));
    cis.wait_task(&run, "first", "running");
    open(&cis);
    cis.write("good", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn executing_an_open_run_follows_it_and_short_ids_are_taken() {
    let cis = Cis::new();
    let run = cis.start(GATE);
    cis.wait_task(&run, "first", "running");
    let follower = cis.spawn(["dag", "execute", "--run-id", &run[..run.len() - 2]]);
    open(&cis);
    follower.wait().expect(1);
    assert_eq!(cis.read("first").lines().count(), 1, "following started it again");
}

#[test]
fn runs_are_listed_and_shown() {
    let cis = Cis::new();
    let run = cis.start(GATE);
    cis.wait_task(&run, "first", "running");
    let listing = cis.json(&["dag", "list"]);
    assert_eq!(listing["items"][0]["id"], run.as_str());
    assert_eq!(listing["items"][0]["dag"], "gate");
    assert_eq!(listing["items"][0]["state"], "running");
    let table = cis.ok(["dag", "list"]);
    assert!(table.contains("gate") && table.contains("running"), "{table}");
    let shown = cis.ok(["dag", "show", &run]);
    assert!(["first", "second", "third"].iter().all(|task| shown.contains(task)), "{shown}");
    cis.run(["dag", "show", "01JD0V3Z8K6T9W2B5N7Q4R1XEC"]).expect(2);
}

#[test]
fn cancel_ends_the_sessions_and_the_run() {
    let cis = Cis::new();
    let run = cis.start(GATE);
    let pid = cis.session_of("first")["pid"].as_u64().unwrap();
    cis.ok(["dag", "cancel", &run]);
    let detail = cis.wait_run(&run, "cancelled");
    assert!(detail["tasks"].as_array().unwrap().iter().all(|task| task["state"] == "cancelled"), "{detail}");
    assert!(!super::harness::is_alive(u32::try_from(pid).unwrap()));
    cis.run(["dag", "execute", "--run-id", &run]).expect(4);
}

#[test]
fn ctrl_c_cancels_that_run_and_nothing_else() {
    let cis = Cis::new();
    let other = cis.start(GATE);
    cis.wait_task(&other, "first", "running");
    let file = cis.write("mine.toml", LONG);
    let mut terminal = cis.terminal(&["dag", "run", file.to_str().unwrap()]);
    terminal.wait_for("long");
    cis.session_of("long");
    terminal.type_keys("\x03");
    assert_eq!(terminal.wait_exit(), 4);
    let listing = cis.json(&["dag", "list"]);
    let state = |dag: &str| {
        listing["items"].as_array().unwrap().iter().find(|run| run["dag"] == dag).unwrap()["state"].clone()
    };
    assert_eq!((state("mine"), state("gate")), ("cancelled".into(), "running".into()));
}

#[test]
fn sigint_without_a_terminal_cancels_too() {
    let cis = Cis::new();
    let running = cis.spawn_dag(LONG, &[]);
    cis.session_of("long");
    signal(running.pid(), Signal::INT);
    running.wait().expect(4);
}

const LONG: &str =
    "version = 1\n[dag]\nid = \"mine\"\n[[tasks]]\nid = \"long\"\ncommand = [\"sleep\", \"300\"]\n";

/// A wrapper passes the terminal's signal on to a command that had it already.
#[test]
fn one_ctrl_c_that_comes_twice_cancels() {
    let cis = Cis::new();
    let running = cis.spawn_dag(LONG, &[]);
    cis.session_of("long");
    signal(running.pid(), Signal::INT);
    signal(running.pid(), Signal::INT);
    running.wait().expect(4);
    assert_eq!(cis.json(&["dag", "list"])["items"][0]["state"], "cancelled");
}

/// The terminal closes while the cancel is on its way.
#[test]
fn a_cancel_is_not_lost_when_the_terminal_closes() {
    let cis = Cis::new();
    for number in [Signal::HUP, Signal::TERM] {
        let running = cis.spawn_dag(LONG, &[]);
        cis.session_of("long");
        signal(running.pid(), Signal::INT);
        signal(running.pid(), number);
        let left = running.wait().expect(128 + number.as_raw()).stderr;
        assert!(left.contains("is still being cancelled"), "{left}");
        let run = cis.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
        cis.wait_run(&run, "cancelled");
    }
}

/// The terminal sends Ctrl+C to both sides of a pipe, and the reader may end first.
#[test]
fn ctrl_c_cancels_a_run_whose_json_nobody_reads_any_more() {
    let cis = Cis::new();
    let file = cis.write("mine.toml", LONG);
    let mut command = cis.command(["dag", "run", "--json", file.to_str().unwrap()]);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    cis.session_of("long");
    drop(running.stdout.take());
    signal(running.id(), Signal::INT);
    let status = eventually("the command ends", || running.try_wait().unwrap());
    assert_eq!(status.code(), Some(4));
    assert_eq!(cis.json(&["dag", "list"])["items"][0]["state"], "cancelled");
    // Without Ctrl+C it ends with its reader, and the run continues.
    let mut command = cis.command(["dag", "run", "--json", file.to_str().unwrap()]);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(running.stdout.take());
    let status = eventually("the command ends", || running.try_wait().unwrap());
    assert_eq!(status.code(), Some(141));
    let run = cis.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    cis.wait_run(&run, "running");
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

/// Who leaves is not told that the run is cancelled where the node did not take that.
#[test]
fn a_cancel_that_the_node_did_not_take_is_not_said_to_be_one() {
    let cis = Cis::new();
    let running = cis.spawn_dag(LONG, &[]);
    cis.session_of("long");
    let node = cis.node_pid().unwrap();
    signal(node, Signal::STOP);
    signal(running.pid(), Signal::INT);
    running.wait_for_note("Ctrl+C again leaves");
    // What comes sooner is the same one.
    pause(Duration::from_millis(300));
    signal(running.pid(), Signal::INT);
    let left = running.wait().expect(3).stderr;
    assert!(left.contains("not known whether") && left.contains("cis dag cancel"), "{left}");
    signal(node, Signal::CONT);
    let run = cis.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

/// Ctrl+C before the node has answered to the request that makes the run.
#[test]
fn a_run_that_is_being_made_is_cancelled() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let node = cis.node_pid().unwrap();
    signal(node, Signal::STOP);
    let running = cis.spawn_dag(LONG, &[]);
    wait_until_handled(running.pid(), Signal::INT);
    signal(running.pid(), Signal::INT);
    running.wait_for_note("when the node has taken it");
    signal(node, Signal::CONT);
    running.wait().expect(4);
    assert_eq!(cis.json(&["dag", "list"])["items"][0]["state"], "cancelled");
}

#[test]
fn a_closed_terminal_detaches_from_the_run() {
    let cis = Cis::new();
    let file = cis.write("gate.toml", GATE);
    // script(1) owns the terminal; with its end by SIGKILL the kernel hangs up.
    let line = format!("exec {} dag run {}", cis.binary().display(), file.display());
    let mut command = std::process::Command::new("script");
    command
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .current_dir(cis.work())
        .env_clear()
        .envs(cis.environment());
    let window = super::harness::Running::start(command);
    cis.session_of("first");
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    kill_9(window.pid());
    eventually("the client of a closed terminal ends", || {
        (!cis.processes().iter().any(|process| process.command.contains("dag run"))).then_some(())
    });
    assert_eq!(cis.show(&run)["run"]["state"], "running");
    open(&cis);
    cis.write("good", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_paused_run_starts_nothing_and_stops_nothing() {
    let cis = Cis::new();
    let run = cis.start(GATE);
    let pid = cis.session_of("first")["pid"].clone();
    cis.ok(["dag", "pause", &run]);
    assert_eq!(cis.show(&run)["run"]["state"], "paused");
    assert_eq!(cis.session_of("first")["pid"], pid);
    open(&cis);
    cis.write("good", "");
    cis.wait_task(&run, "first", "succeeded");
    let why = cis.ok(["dag", "why", "second"]);
    assert!(why.contains("paused"), "{why}");
    assert!(cis.read("second").is_empty(), "a paused run started a task");
    cis.ok(["dag", "resume", &run]);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn retry_runs_what_failed_or_from_a_task_or_all() {
    let cis = Cis::new();
    open(&cis);
    let run = cis.start(GATE);
    cis.wait_run(&run, "failed");
    let counts = || ["first", "second", "third"].map(|name| cis.read(name).lines().count());
    assert_eq!(counts(), [1, 1, 0]);
    cis.write("good", "");
    cis.ok(["dag", "retry", &run, "--failed"]);
    cis.wait_run(&run, "succeeded");
    assert_eq!(counts(), [1, 2, 1]);
    cis.ok(["dag", "retry", &run, "--from", "second"]);
    eventually("third ran again", || (counts() == [1, 3, 2]).then_some(()));
    cis.wait_run(&run, "succeeded");
    cis.ok(["dag", "retry", &run]);
    eventually("all ran again", || (counts() == [2, 4, 3]).then_some(()));
    cis.wait_run(&run, "succeeded");
    cis.run(["dag", "retry", &run, "--from", "no-such-task"]).expect(2);
}

#[test]
fn why_says_what_a_task_waits_for() {
    let cis = Cis::new();
    let run = cis.start(&GATE.replace("needs = [\"second\"]\n", ""));
    cis.wait_task(&run, "first", "running");
    let why = cis.ok(["dag", "why", "second"]);
    assert!(why.contains("first"), "it needs `first`: {why}");
    let why = cis.ok(["dag", "why", "third"]);
    assert!(why.contains("max_parallel") || why.contains("slot"), "the only slot is taken: {why}");
    cis.run(["dag", "why", "no-such-task"]).expect(2);
}

#[test]
fn what_is_asked_of_an_ended_run_is_told_so() {
    let cis = Cis::new();
    cis.dag("version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n", &[]).expect(0);
    let run = ulid_in(&cis.ok(["dag", "list", "--json"]));
    for verb in ["cancel", "pause", "resume"] {
        let out = cis.run(["dag", verb, &run]).expect(3);
        assert!(out.stderr.contains("has ended (succeeded)"), "{verb}: {out:?}");
    }
    cis.run(["dag", "execute", "--run-id", &run]).expect(0);
    cis.stop();
    assert!(cis.run(["dag", "cancel", &run]).expect(3).stderr.contains("has ended (succeeded)"));
}

#[test]
fn what_is_typed_into_a_task_without_stdin_is_told_why_not() {
    let cis = Cis::new();
    let run = cis.start("version = 1\n[dag]\nid = \"one\"\n[[tasks]]\nid = \"pipe\"\ntty = false\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n");
    cis.session_of("pipe");
    let out = cis.run(["dag", "unblock", "pipe", "--text", "x"]).expect(3);
    assert!(out.stderr.contains("takes no input (tty = false)"), "{out:?}");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_paused_node_starts_no_task_and_ends_none() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"two\"\nmax_parallel = 2\n[[tasks]]\nid = \"runs\"\nscript = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'\n[[tasks]]\nid = \"next\"\nneeds = [\"runs\"]\nscript = 'true'\n";
    let run = cis.start(text);
    cis.wait_task(&run, "runs", "running");
    let said = cis.ok(["node", "pause"]);
    assert!(said.contains("no task starts: cis node resume"), "{said}");
    cis.write("open", "");
    cis.wait_task(&run, "runs", "succeeded");
    kill_9(cis.node_pid().unwrap());
    cis.ok(["node", "start", "--detach"]);
    assert_eq!(cis.status()["paused"], true);
    let why = cis.ok(["dag", "why", "next", "--run", &run]);
    assert!(why.contains("This node is paused") && why.contains("cis node resume"), "{why}");
    // What people start themselves is none.
    cis.ok(["session", "create", "--", "cat"]);
    assert_eq!(cis.task(&run, "next")["attempts"], 0);
    let status: serde_json::Value = serde_json::from_str(&cis.ok(["node", "resume", "--json"])).unwrap();
    assert!(status["paused"].is_null(), "{status}");
    cis.wait_run(&run, "succeeded");
}
