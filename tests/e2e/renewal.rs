//! A node of another program starts: its session host becomes that program too, and no session notices it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Cis, Running, Terminal, eventually, is_alive, is_root, kill_9, skip};

/// Programs that count while the program of their host changes, one that asks, one with a limit, and one that ends in between.
const RUN: &str = r#"
version = 1
[dag]
id = "renewal"
max_parallel = 9
[[tasks]]
id = "asks"
script = '''
printf '\033[?1049h\033[?2004h\033]2;a title\007\033[3;5Hdrawn before\033[5;1HContinue? [y/N] '
read -r answer; test "$answer" = y
'''
[[tasks]]
id = "pipes"
tty = false
script = 'n=0; until [ -e "$E2E_WORK/go" ]; do echo $n; n=$((n+1)); sleep 0.002; done; echo "end $n"'
[[tasks]]
id = "terminal"
script = 'n=0; until [ -e "$E2E_WORK/go" ]; do echo $n; n=$((n+1)); sleep 0.002; done; echo "end $n"'
[[tasks]]
id = "limited"
command = ["sleep", "300"]
timeout = "12s"
[[tasks]]
id = "ends"
tty = false
script = 'until [ -e "$E2E_WORK/end" ]; do sleep 0.05; done; sleep 0.3; echo done; exit 7'
"#;
const TASKS: [&str; 5] = ["asks", "pipes", "terminal", "limited", "ends"];

/// A program that does the same from another file.
fn other_program(cis: &Cis, name: &str) -> PathBuf {
    let path = cis.work().join(name);
    // Without its symbols: the whole file has some hundred megabytes.
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&path).arg(cis.binary());
    assert!(strip.status().unwrap().success());
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(name.as_bytes()).unwrap();
    path
}

/// Starts a node of this program, in the place of one that has stopped.
#[track_caller]
fn start_node(cis: &Cis, program: &Path) {
    let mut command = cis.program(program);
    command.args(["node", "start", "--detach"]);
    Running::start(command).wait().expect(0);
}

fn replace_node(cis: &Cis, program: &Path) {
    cis.ok(["node", "stop"]);
    start_node(cis, program);
}

/// Whether a process runs this file.
fn runs(pid: u32, program: &Path) -> bool {
    let of = |path: PathBuf| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    of(format!("/proc/{pid}/exe").into()).is_some_and(|file| Some(file) == of(program.to_owned()))
}

#[track_caller]
fn wait_until_it_runs(pid: u32, program: &Path) {
    eventually(&format!("{pid} runs {}", program.display()), || runs(pid, program).then_some(()));
}

fn node_log(cis: &Cis) -> String {
    fs::read_to_string(cis.home().join("node.log")).unwrap_or_default()
}

/// What a node of each of these programs logs of its session host.
const RENEWED: &str = "the session host runs the program of this node now";
const GOES_ON: &str = "the session host goes on with its program";

#[track_caller]
fn is_log_quiet(cis: &Cis) {
    let log = node_log(cis);
    for bad in ["WARN", "ERROR"] {
        assert!(!log.lines().any(|line| line.contains(bad) && line.contains("session host")), "{log}");
    }
}

/// The numbered lines of a task are complete.
#[track_caller]
fn is_counted(cis: &Cis, task: &str) {
    let log = cis.ok(["dag", "logs", "--plain", task]);
    let lines: Vec<&str> = log.lines().collect();
    let (last, counted) = lines.split_last().unwrap();
    assert_eq!(*last, format!("end {}", counted.len()), "lines of {task} are missing or doubled");
    assert!(counted.iter().enumerate().all(|(n, line)| *line == n.to_string()), "{log}");
}

#[test]
fn sessions_go_on_while_a_new_program_takes_over_twice() {
    let cis = Cis::new();
    let [first, second] = ["first", "second"].map(|name| other_program(&cis, name));
    start_node(&cis, cis.binary());
    let run = cis.start(RUN);
    let pids = TASKS.map(|task| cis.session_of(task)["pid"].as_u64().unwrap());
    let host = cis.host_pid().unwrap();
    assert!(runs(host, cis.binary()));
    let asked = |cis: &Cis| {
        eventually("the question is listed", || {
            let items = cis.json(&["inbox"]);
            items["items"][0]["id"].as_str().map(str::to_owned)
        })
    };
    asked(&cis);
    replace_node(&cis, &first);
    wait_until_it_runs(host, &first);
    assert_eq!(cis.host_pid(), Some(host));
    cis.write("end", "");
    replace_node(&cis, &second);
    wait_until_it_runs(host, &second);
    assert_eq!(cis.host_pid(), Some(host));
    assert_eq!(node_log(&cis).matches(RENEWED).count(), 2);
    cis.wait_task(&run, "ends", "failed");
    assert_eq!(cis.task(&run, "ends")["exit_code"], 7);
    for (task, pid) in TASKS.iter().zip(pids).filter(|(task, _)| **task != "ends") {
        assert_eq!(cis.session_of(task)["pid"].as_u64(), Some(pid), "{task}");
    }
    // The screen is as it was, and so are its modes.
    let mut looks = cis.terminal(&["dag", "attach", "asks"]);
    looks.wait_for("drawn before");
    looks.wait_for("Continue? [y/N]");
    end_attach(&mut looks);
    cis.ok(["answer", &asked(&cis), "y"]);
    cis.wait_task(&run, "asks", "succeeded");
    cis.write("go", "");
    for task in ["pipes", "terminal"] {
        cis.wait_task(&run, task, "succeeded");
        is_counted(&cis, task);
    }
    let limited = cis.wait_task(&run, "limited", "failed");
    let took = limited["ended_ms"].as_i64().unwrap() - limited["started_ms"].as_i64().unwrap();
    assert!((11_900..25_000).contains(&took), "{limited}");
    for task in TASKS {
        assert_eq!(cis.task(&run, task)["attempts"], 1, "{task}");
    }
    is_log_quiet(&cis);
    cis.ok(["store", "check"]);
}

fn end_attach(terminal: &mut Terminal) {
    terminal.type_keys("\x1cd");
    assert_eq!(terminal.wait_exit(), 0);
}

/// A run with one task that waits for a file.
const WAITS: &str = "version = 1\n[dag]\nid = \"waits\"\n[[tasks]]\nid = \"waits\"\n\
    script = 'until [ -e \"$E2E_WORK/go\" ]; do echo tick; sleep 0.05; done; exit 0'\n";

#[test]
fn an_update_in_place_reaches_the_host_when_its_node_is_killed() {
    let cis = Cis::new();
    let (program, next) = (other_program(&cis, "cis"), other_program(&cis, "cis.new"));
    start_node(&cis, &program);
    let run = cis.start(WAITS);
    let pid = cis.session_of("waits")["pid"].clone();
    let (host, node) = (cis.host_pid().unwrap(), cis.node_pid().unwrap());
    fs::rename(&next, &program).unwrap();
    assert!(!runs(host, &program));
    // The host starts the node again, whose program is the new one.
    kill_9(node);
    wait_until_it_runs(host, &program);
    eventually("the node is back", || (cis.host_pid() == Some(host)).then_some(()));
    assert_eq!(cis.session_of("waits")["pid"], pid);
    // The renewed host does it as well.
    kill_9(cis.node_pid().unwrap());
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "waits")["attempts"], 1);
    is_log_quiet(&cis);
}

#[test]
fn a_renewed_host_that_is_killed_loses_its_sessions_as_any_host_does() {
    let cis = Cis::new();
    start_node(&cis, cis.binary());
    let run = cis.start(WAITS);
    let before = cis.session_of("waits")["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap();
    let host = cis.host_pid().unwrap();
    let other = other_program(&cis, "other");
    replace_node(&cis, &other);
    wait_until_it_runs(host, &other);
    kill_9(host);
    eventually("the task runs again", || (cis.task(&run, "waits")["attempts"] == 2).then_some(()));
    eventually("the leftover process has ended", || (!is_alive(before)).then_some(()));
    assert_ne!(cis.session_of("waits")["pid"].as_u64(), Some(u64::from(before)));
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_host_that_cannot_become_the_program_of_its_node_goes_on() {
    let cis = Cis::new();
    start_node(&cis, cis.binary());
    let run = cis.start(WAITS);
    let pid = cis.session_of("waits")["pid"].clone();
    let host = cis.host_pid().unwrap();
    cis.ok(["node", "stop"]);
    // A node finds its own program by its path, which leads to another one by then.
    let other = other_program(&cis, "other");
    let starts = cis.write_program(
        "starts",
        "#!/bin/sh\nexec 9< \"$E2E_WORK/other\"; mv \"$E2E_WORK/refuses\" \"$E2E_WORK/other\"\n\
         exec /proc/self/fd/9 \"$@\"\n",
    );
    cis.write_program("refuses", "#!/bin/sh\nexit 1\n");
    let mut command = cis.program(&starts);
    command.args(["node", "serve", "--stays"]);
    let node = Running::start(command);
    eventually("the node is there", || cis.node_pid());
    eventually("it lists the session", || (cis.status()["live_sessions"] == 1).then_some(()));
    assert_eq!(cis.host_pid(), Some(host));
    assert!(runs(host, cis.binary()) && !runs(host, &other));
    assert_eq!(cis.session_of("waits")["pid"], pid);
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "waits")["attempts"], 1);
    cis.ok(["node", "stop"]);
    let said = node.wait().stderr;
    assert!(said.contains(GOES_ON) && !said.contains(RENEWED), "{said}");
}

#[test]
fn a_renewed_host_is_as_closed_to_its_user_as_before() {
    if !is_root() {
        return skip("another user needs root");
    }
    let cis = Cis::as_nobody();
    start_node(&cis, cis.binary());
    let run = cis.start(WAITS);
    let (host, pid) = (cis.host_pid().unwrap(), cis.session_of("waits")["pid"].clone());
    let other = other_program(&cis, "other");
    replace_node(&cis, &other);
    wait_until_it_runs(host, &other);
    assert_eq!(cis.host_pid(), Some(host));
    for file in ["environ", "fd", "mem"] {
        let path = format!("/proc/{host}/{file}");
        assert_eq!(fs::metadata(&path).unwrap().uid(), 0, "{path} would belong to the user");
        let mut look = cis.program("ls");
        look.arg("-l").arg(format!("/proc/{host}/fd"));
        assert_ne!(Running::start(look).wait().code, Some(0));
    }
    assert_eq!(fs::read(format!("/proc/{host}/environ")).unwrap(), b"CIS_ENVIRONMENT=stdin\0");
    assert_eq!(cis.session_of("waits")["pid"], pid);
    cis.write("go", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn alone_a_hundred_sessions_of_a_run_go_on_in_the_next_program() {
    const COUNT: usize = 100;
    let cis = Cis::new();
    start_node(&cis, cis.binary());
    let mut text = "version = 1\n[dag]\nid = \"many\"\nmax_parallel = 100\n".to_owned();
    for n in 0..COUNT {
        let tty = n % 2 == 0;
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\ntty = {tty}\nscript = 'n=0; until [ -e \"$E2E_WORK/go\" ]; do echo $n; n=$((n+1)); \
             sleep 0.1; done; echo \"end $n\"'\n"
        ));
    }
    let run = cis.start(&text);
    eventually("all have begun", || (cis.status()["live_sessions"] == COUNT).then_some(()));
    let host = cis.host_pid().unwrap();
    for name in ["first", "second"] {
        let other = other_program(&cis, name);
        replace_node(&cis, &other);
        wait_until_it_runs(host, &other);
        eventually("all are there", || (cis.status()["live_sessions"] == COUNT).then_some(()));
    }
    assert_eq!(cis.host_pid(), Some(host));
    cis.write("go", "");
    let shown = cis.wait_run(&run, "succeeded");
    for task in shown["tasks"].as_array().unwrap() {
        assert_eq!(task["attempts"], 1, "{task}");
        is_counted(&cis, task["id"].as_str().unwrap());
    }
    is_log_quiet(&cis);
}
