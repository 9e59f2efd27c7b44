//! Removal of the directory of the sockets while node, host and sessions run: clients find them again.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use cis_local::{Lock, look};
use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Cis, Output, Running, eventually, is_alive, is_root, kill_9, signal};

const WAITS: &str = "version = 1\n[dag]\nid = \"waits\"\n[[tasks]]\nid = \"a\"\nscript = 'read -r x'\n";

/// A task whose process only the stamp identifies: it has no variable of its session, and no terminal.
const HIDES: &str = r#"
version = 1
[dag]
id = "hides"
[[tasks]]
id = "a"
tty = false
script = '''
echo $$ >> "$E2E_WORK/pids"
exec env -i E2E_MARK="$E2E_MARK" sleep 600
'''
"#;

/// A task that calls its node each time the test allows it.
const SPEAKS: &str = r#"
version = 1
[dag]
id = "speaks"
[[tasks]]
id = "a"
tty = false
script = '''
for n in 1 2; do
  while [ ! -e "$E2E_WORK/go$n" ]; do sleep 0.05; done
  "$E2E_CIS" task notify "hello $n" > "$E2E_WORK/said$n" 2>&1
  echo $? >> "$E2E_WORK/said$n"
  mv "$E2E_WORK/said$n" "$E2E_WORK/spoke$n"
done
sleep 600
'''
"#;

/// Returns the directory of the sockets, as the file `runtime-dir` of the home names it.
fn runtime_dir(cis: &Cis) -> PathBuf {
    PathBuf::from(fs::read_to_string(cis.home().join("runtime-dir")).unwrap())
}

/// Returns the pids of the attempts of [`HIDES`], in order.
fn pids(cis: &Cis) -> Vec<u32> {
    cis.read("pids").lines().map(|pid| pid.parse().unwrap()).collect()
}

/// A state as after a logout: the runtime directory is removed with its parent, and cannot be made again.
struct Gone<'a> {
    cis: &'a Cis,
    kept: PathBuf,
    /// Where node and host listen in this state.
    fallback: PathBuf,
}

impl<'a> Gone<'a> {
    fn new(cis: &'a Cis) -> Self {
        let uid = rustix::process::getuid().as_raw();
        let fallback = PathBuf::from(format!("/tmp/cis-{uid}")).join(runtime_dir(cis).file_name().unwrap());
        let kept = cis.work().join("gone");
        fs::rename(cis.runtime(), &kept).unwrap();
        fs::write(cis.runtime(), "").unwrap();
        Self { cis, kept, fallback }
    }
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        fs::remove_file(self.cis.runtime()).unwrap();
        fs::rename(&self.kept, self.cis.runtime()).unwrap();
        // It does not exist if the test failed early.
        let _ = fs::remove_dir_all(&self.fallback);
    }
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
fn a_kill_waits_for_a_host_whose_socket_was_removed() {
    let cis = Cis::new();
    let run = cis.start(WAITS);
    cis.session_of("a");
    fs::remove_dir_all(runtime_dir(&cis)).unwrap();
    kill_9(cis.node_pid().unwrap());
    cis.ok(["dag", "kill", "a"]);
    cis.wait_run(&run, "cancelled");
}

#[test]
fn the_next_host_in_another_directory_ends_what_a_killed_one_left() {
    let cis = Cis::new();
    let run = cis.start(HIDES);
    let first = eventually("it runs", || pids(&cis).first().copied());
    let host = cis.host_pid().unwrap();
    let gone = Gone::new(&cis);
    kill_9(host);
    eventually("it runs again", || (pids(&cis).len() == 2).then_some(()));
    assert!(!is_alive(first), "two attempts of one task live at once");
    assert!(gone.fallback.join("host.sock").exists());
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    cis.stop();
}

#[test]
fn a_node_whose_directory_is_gone_for_good_and_the_next_one_are_found_by_commands_and_sessions() {
    let cis = Cis::new();
    let run = cis.start(SPEAKS);
    cis.session_of("a");
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    let speaks = |n: u32| {
        cis.write(&format!("go{n}"), "");
        let spoke = eventually("the session has spoken", || {
            Some(cis.read(&format!("spoke{n}"))).filter(|spoke| !spoke.is_empty())
        });
        assert!(spoke.ends_with("0\n"), "{spoke}");
    };
    let gone = Gone::new(&cis);
    assert_eq!(cis.node_pid(), Some(node));
    assert_eq!(cis.status()["socket"], gone.fallback.join("node.sock").to_str().unwrap());
    speaks(1);
    kill_9(node);
    eventually("the host starts another node", || {
        cis.node_pid().filter(|next| *next != node && cis.host_pid() == Some(host))
    });
    speaks(2);
    assert_eq!(cis.task(&run, "a")["attempts"], 1, "the session was lost");
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    cis.stop();
}

#[test]
fn a_caller_with_another_runtime_directory_finds_node_and_host_after_theirs_is_gone() {
    let cis = Cis::new();
    let run = cis.start(HIDES);
    eventually("it runs", || pids(&cis).first().copied());
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    let _gone = Gone::new(&cis);
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
    // The next host listens in another directory.
    kill_9(host);
    eventually("it runs again", || (pids(&cis).len() == 2).then_some(()));
    assert!(!is_alive(pids(&cis)[0]), "two attempts of one task live at once");
    elsewhere(&["dag", "cancel", &run]).expect(0);
    eventually("the run is cancelled", || {
        let shown = elsewhere(&["dag", "show", &run, "--json"]).expect(0).json();
        (shown["run"]["state"] == "cancelled").then_some(())
    });
    elsewhere(&["node", "stop", "--kill-sessions"]).expect(0);
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
    // All wait for it at the same time.
    let asked = [&["node", "status"][..], &["doctor"], &["dag", "list"]].map(|verb| cis.spawn(verb));
    let [status, doctor, refused] = asked.map(|verb| verb.wait().expect(3));
    let (status, doctor, refused) = (status.stderr, doctor.stdout, refused.stderr);
    assert!(status.contains(&pid) && status.contains("cis node stop"), "{status}");
    assert!(doctor.contains(&pid), "{doctor}");
    assert!(refused.contains(&pid), "{refused}");
    cis.ok(["node", "stop"]);
    assert!(!is_alive(node));
    cis.ok(["dag", "list"]);
}

fn unprivileged() -> Cis {
    if is_root() { Cis::as_nobody() } else { Cis::new() }
}

/// Makes the user of the installation the owner of a file or directory.
fn give(cis: &Cis, path: &Path) {
    let owner = fs::metadata(cis.home()).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[test]
fn a_node_in_an_unsafe_directory_is_named_and_stopped_by_its_lock() {
    for (breaks, repair) in [("mode", "chmod 700"), ("file", "remove")] {
        let cis = unprivileged();
        cis.start(WAITS);
        let session = u32::try_from(cis.session_of("a")["pid"].as_u64().unwrap()).unwrap();
        let (node, host, directory) = (cis.node_pid().unwrap(), cis.host_pid().unwrap(), runtime_dir(&cis));
        if breaks == "mode" {
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        } else {
            fs::remove_dir_all(&directory).unwrap();
            fs::write(&directory, "").unwrap();
            give(&cis, &directory);
        }
        let repair = format!("{repair} {}", directory.display());
        for command in [&["node", "status"][..], &["dag", "list"]] {
            let said = cis.run(command).expect(3).stderr;
            assert!(said.contains(&format!("pid {node}")) && said.contains(&repair), "{said}");
            assert!(said.contains("cis node stop"), "{said}");
        }
        cis.ok(["node", "stop"]);
        assert!(!is_alive(node) && is_alive(host) && is_alive(session), "{breaks}: only the node ends");
        cis.ok(["node", "stop", "--kill-sessions"]);
        assert!(!is_alive(host) && !is_alive(session), "{breaks}: all ends");
    }
}

#[test]
fn a_node_below_a_dangling_link_is_named_and_stopped_by_its_lock() {
    let cis = unprivileged();
    cis.start(WAITS);
    let session = u32::try_from(cis.session_of("a")["pid"].as_u64().unwrap()).unwrap();
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    let above = runtime_dir(&cis).parent().unwrap().to_owned();
    let link = cis.work().join("link");
    std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
    // The node makes the directory again if it looks between the two calls.
    eventually("the link is in place", || {
        fs::remove_dir_all(&above).and_then(|()| fs::rename(&link, &above)).ok()
    });
    let why = format!("{} is not safe: it is a symbolic link of uid 0", above.display());
    for command in [&["node", "status"][..], &["dag", "list"], &["dag", "kill", "a"]] {
        let said = cis.run(command).expect(3).stderr;
        assert!(said.contains(&format!("pid {node}")), "{said}");
        assert!(!is_root() || said.contains(&why), "{said}");
        assert!(said.contains("cis node stop"), "{said}");
    }
    cis.ok(["node", "stop", "--kill-sessions"]);
    assert!(!is_alive(node) && !is_alive(host) && !is_alive(session));
}

#[test]
fn a_lock_that_cannot_be_read_is_not_taken_for_no_node() {
    let cis = unprivileged();
    cis.start(WAITS);
    let session = u32::try_from(cis.session_of("a")["pid"].as_u64().unwrap()).unwrap();
    let host = cis.host_pid().unwrap();
    cis.ok(["node", "stop"]);
    let with_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (home, lock) = (cis.home(), cis.home().join("host.lock"));
    for (closed, named, remedy, mode) in [
        (&home, home.join("node.lock"), format!("`chmod 700 {}`", home.display()), 0o700),
        (&lock, lock.clone(), format!("`chmod 600 {}`", lock.display()), 0o600),
    ] {
        with_mode(closed, 0o000);
        let said = cis.run(["node", "stop", "--kill-sessions"]).expect(3).stderr;
        assert!(said.contains(&format!("cannot read {}", named.display())), "{said}");
        assert!(said.contains("Permission denied") && said.contains(&remedy), "{said}");
        assert!(is_alive(host) && is_alive(session));
        with_mode(closed, mode);
    }
    cis.ok(["node", "stop", "--kill-sessions"]);
    assert!(!is_alive(host) && !is_alive(session));
}

#[test]
fn a_session_whose_host_cannot_be_reached_is_not_called_ended() {
    let cis = unprivileged();
    cis.start(WAITS);
    let session = u32::try_from(cis.session_of("a")["pid"].as_u64().unwrap()).unwrap();
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    fs::set_permissions(runtime_dir(&cis), fs::Permissions::from_mode(0o777)).unwrap();
    kill_9(node);
    // Its last thread releases the lock, after the process counts as ended.
    let lock = cis.home().join("node.lock");
    eventually("the lock is free", || matches!(look(&lock), Ok(Lock::Free)).then_some(()));
    let other = cis.work().join("other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).unwrap();
    give(&cis, &other);
    let elsewhere = |arguments: &[&str]| {
        let mut command = cis.command(arguments);
        command.env("XDG_RUNTIME_DIR", &other);
        Running::start(command).wait()
    };
    let refused = elsewhere(&["dag", "kill", "a"]).expect(3).stderr;
    assert!(refused.contains("cannot end session") && !refused.contains("has ended"), "{refused}");
    assert!(is_alive(session) && is_alive(host));
    elsewhere(&["node", "stop", "--kill-sessions"]).expect(0);
    assert!(!is_alive(session) && !is_alive(host));
}

#[test]
fn a_stopped_session_host_is_reported_with_what_helps() {
    let cis = unprivileged();
    cis.start(WAITS);
    cis.session_of("a");
    let host = cis.host_pid().unwrap();
    signal(host, Signal::STOP);
    let (pid, remedy) = (format!("pid {host}"), format!("kill -CONT {host}"));
    for command in [&["node", "status"][..], &["doctor"], &["dag", "why", "a"]] {
        let said = cis.run(command).stdout;
        assert!(said.contains(&pid) && said.contains(&remedy), "{command:?}: {said}");
    }
    let refusing = [
        &["dag", "kill", "a"][..],
        &["session", "create", "--", "true"],
        &["node", "stop", "--kill-sessions"],
    ];
    for command in refusing {
        let refused = cis.run(command).expect(3).stderr;
        assert!(refused.contains(&pid) && refused.contains(&remedy), "{command:?}: {refused}");
        assert!(is_alive(host));
    }
    // A node that starts meanwhile answers as well.
    let status = cis.run(["node", "start", "--detach"]).stdout;
    assert!(status.contains(&remedy), "{status}");
    signal(host, Signal::CONT);
    cis.ok(["node", "stop", "--kill-sessions"]);
    assert!(!is_alive(host));
}

/// `cis --home PLACE ARGUMENTS`.
fn at_home(cis: &Cis, home: &Path, arguments: &[&str]) -> Output {
    cis.run(["--home", home.to_str().unwrap()].iter().chain(arguments))
}

#[test]
fn a_home_that_was_moved_or_copied_has_a_node_of_its_own() {
    let cis = Cis::new();
    let (home, moved, copied) = (cis.home(), cis.work().join("moved"), cis.work().join("copied"));
    cis.dag(&WAITS.replace("read -r x", "true").replace("waits", "before"), &[]).expect(0);
    cis.stop();
    fs::rename(&home, &moved).unwrap();
    let copy = cis.program("cp").arg("-a").args([&moved, &copied]).status().unwrap();
    assert!(copy.success());
    cis.start(WAITS);
    let session = cis.session_of("a");
    for other in [&moved, &copied] {
        let listed = at_home(&cis, other, &["dag", "list"]).expect(0).stdout;
        assert!(listed.contains("before") && !listed.contains("waits"), "{listed}");
        at_home(&cis, other, &["node", "stop", "--kill-sessions"]).expect(0);
    }
    let listed = cis.ok(["dag", "list"]);
    assert!(listed.contains("waits") && !listed.contains("before"), "{listed}");
    // It waits by now, perhaps.
    let same = |now: &Value| now["id"] == session["id"] && now["pid"] == session["pid"];
    assert!(same(&cis.session_of("a")), "{session}");

    // Moved while its node runs: the node follows it, and no other home gets the sockets of its host.
    fs::remove_dir_all(&moved).unwrap();
    fs::rename(&home, &moved).unwrap();
    let at_moved = |arguments: &[&str]| at_home(&cis, &moved, arguments).expect(0);
    eventually("the node restarts", || {
        let log = fs::read_to_string(moved.join("node.log")).unwrap();
        log.contains("the home was moved from").then_some(())
    });
    let listed = at_moved(&["dag", "list"]).stdout;
    assert!(listed.contains("waits"), "{listed}");
    let refused = cis.run(["dag", "list"]).expect(3).stderr;
    let pid = at_moved(&["node", "status", "--json"]).json()["host_pid"].as_u64().unwrap();
    let other = format!("another process, pid {pid}, listens");
    assert!(refused.contains(&other) && refused.contains("node stop"), "{refused}");
    at_moved(&["node", "stop", "--kill-sessions"]);
    assert!(!cis.ok(["dag", "list"]).contains("waits"));
    cis.stop();
}

/// Tasks that end after their home was moved: one writes an output, one fills a log, one starts later.
const MOVES: &str = r#"
version = 1
[dag]
id = "moves"
[[tasks]]
id = "a"
outputs = { x = { type = "string" } }
script = 'echo "x=1" >> "$CIS_OUTPUT"; while [ ! -e "$E2E_WORK/go" ]; do sleep 0.05; done; echo "said later"'
[[tasks]]
id = "b"
needs = ["a"]
outputs = { y = { type = "string" } }
env = { X = "{{ tasks.a.outputs.x }}" }
script = 'echo "y=$X" >> "$CIS_OUTPUT"'
"#;

fn goes_on_after_a_move(is_killed: bool) {
    let cis = Cis::new();
    let (home, moved) = (cis.home(), cis.work().join("moved"));
    let run = cis.start(MOVES);
    cis.wait_task(&run, "a", "running");
    eventually("the output", || fs::read_dir(home.join("outputs")).unwrap().next()).unwrap();
    let node = cis.node_pid().unwrap();
    fs::rename(&home, &moved).unwrap();
    if is_killed {
        kill_9(node);
    }
    cis.write("go", "");
    let show = || at_home(&cis, &moved, &["dag", "show", &run, "--json"]).json();
    eventually("the run", || (show()["run"]["state"] == "succeeded").then_some(()));
    assert_eq!(show()["tasks"][1]["outputs"]["y"], "1");
    let log = at_home(&cis, &moved, &["dag", "logs", "a"]).expect(0).stdout;
    assert!(log.contains("said later"), "{log}");
    assert!(!home.exists(), "{:?}", fs::read_dir(&home).map(Iterator::count));
    at_home(&cis, &moved, &["node", "stop"]).expect(0);
    at_home(&cis, &moved, &["store", "check", "--deep"]).expect(0);
}

#[test]
fn a_run_goes_on_after_its_home_was_moved_and_nothing_is_written_at_the_old_path() {
    goes_on_after_a_move(false);
}

#[test]
fn a_node_that_is_killed_after_its_home_was_moved_restarts_at_the_new_path() {
    goes_on_after_a_move(true);
}

#[test]
fn a_task_that_writes_its_outputs_at_the_old_path_of_its_home_has_not_failed() {
    let cis = Cis::new();
    let (home, moved) = (cis.home(), cis.work().join("moved"));
    let late = MOVES.replace("script = 'echo \"x=1\" >> \"$CIS_OUTPUT\"; while", "script = 'while");
    let late = late.replace("echo \"said later\"", "echo \"x=1\" >> \"$CIS_OUTPUT\"; echo over");
    let run = cis.start(&late);
    cis.wait_task(&run, "a", "running");
    let node = cis.node_pid().unwrap();
    fs::rename(&home, &moved).unwrap();
    kill_9(node);
    cis.write("go", "");
    let show = || at_home(&cis, &moved, &["dag", "show", &run, "--json"]).json();
    let task =
        eventually("the task", || Some(show()["tasks"][0].clone()).filter(|task| task["state"] == "error"));
    assert!(task["reason"].to_string().contains("the home was moved"), "{task}");
    at_home(&cis, &moved, &["dag", "retry", &run, "--failed", "--follow"]).expect(0);
    at_home(&cis, &moved, &["node", "stop"]).expect(0);
}

#[test]
fn a_copy_of_a_living_home_ends_none_of_its_sessions() {
    let cis = Cis::new();
    let copied = cis.work().join("copied");
    let run = cis.start(HIDES);
    cis.wait_task(&run, "a", "running");
    let pid = eventually("the session", || pids(&cis).first().copied());
    assert!(cis.program("cp").arg("-a").args([cis.home(), copied.clone()]).status().unwrap().success());
    at_home(&cis, &copied, &["dag", "list"]).expect(0);
    at_home(&cis, &copied, &["dag", "run", "--detach", cis.write("w.toml", WAITS).to_str().unwrap()])
        .expect(0);
    assert!(is_alive(pid), "a session of the home that was copied was ended");
    at_home(&cis, &copied, &["node", "stop", "--kill-sessions"]).expect(0);
    assert!(is_alive(pid));
    cis.stop();
}
