//! Files of tasks between nodes: inputs of the submitter, artifacts of tasks, and those who read them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sha2::Digest as _;

use crate::federation::{did, execute, knows_end, member};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::room::Room;
use crate::harness::synapse::{Synapse, User};
use crate::harness::{Cis, eventually, eventually_within, kill_9};
use crate::matrix::{logged_in, login_at};
use crate::rooms::{SLOW, room_of};

/// Inputs go to `builder`, what it makes of them to `tester` and back to the submitter's directory.
const TEXT: &str = r#"
version = 1
[dag]
id = "moved"
[[tasks]]
id = "build"
nodes = ["builder"]
inputs = ["src/**"]
artifacts = ["out/**"]
tty = false
script = '''
test "$(find . -type f | sort | tr '\n' ' ')" = './src/a.txt ./src/big ./src/empty ./src/tool ' || { find . -type f; exit 3; }
mkdir -p out/deep
./src/tool > out/deep/made
cp src/big out/big
cp src/tool out/tool
'''
[[tasks]]
id = "test"
nodes = ["tester"]
needs = ["build"]
tty = false
artifacts = ["report"]
script = '''
test ! -e src
cmp -s out/big out/big && test -x out/tool && cat out/deep/made > report
'''
[[tasks]]
id = "here"
needs = ["test", "build"]
tty = false
cwd = "."
script = 'cmp out/big src/big && test "$(cat report out/deep/made | tr "\\n" .)" = "from a.from a."'
"#;

#[test]
fn files_go_with_tasks_from_node_to_node_and_come_back() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let room = room_of(&cis, &ann);
    let builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let tester = member(&synapse, &room, &ann, &cis, ("tester", "worker", "execute"));
    let guest = member(&synapse, &room, &ann, &cis, ("guest", "observer", "submit"));
    let src = cis.work().join("src");
    fs::create_dir(&src).unwrap();
    fs::write(src.join("a.txt"), "from a\n").unwrap();
    let big: Vec<u8> = (0..9_000_001_u64).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    fs::write(src.join("big"), &big).unwrap();
    fs::write(src.join("empty"), "").unwrap();
    fs::write(src.join("tool"), "#!/bin/sh\ncat src/a.txt\n").unwrap();
    fs::set_permissions(src.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();

    let run = execute(&cis, &room, TEXT);
    cis.ok(["dag", "execute", "--run-id", &run]);

    // They are read at the coordinator, from a node that has nothing to do with them, and after their nodes have gone.
    builder.ok(["node", "stop"]);
    tester.ok(["node", "stop"]);
    knows_end(&guest, &run);
    for node in [&cis, &guest] {
        let to = node.work().join("to");
        node.ok(["dag", "artifacts", "build", "--run", &run, "--to", to.to_str().unwrap()]);
        assert_eq!(fs::read(to.join("out/big")).unwrap(), big);
        assert_eq!(fs::read_to_string(to.join("out/deep/made")).unwrap(), "from a\n");
        let is_tool = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o100 != 0;
        assert!(is_tool("out/tool") && !is_tool("out/big"));
    }
}

/// A file of the submitter goes to a worker and what is made of it to another one.
const SHORT: &str = r#"
version = 1
[dag]
id = "short"
[dag.defaults]
tty = false
[[tasks]]
id = "build"
nodes = ["builder"]
inputs = ["secret.txt"]
artifacts = ["made.txt"]
script = "echo nobody reads this log 8; tr a-z A-Z < secret.txt > made.txt"
[[tasks]]
id = "test"
nodes = ["tester"]
needs = ["build"]
script = "grep -q 'NOBODY ELSE READS THIS 7' made.txt"
"#;

#[test]
fn a_homeserver_reads_no_file_of_an_encrypted_room_and_files_that_it_removed_are_missed_in_words() {
    let synapse = Synapse::own();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let made = cis.json(&["matrix", "create-room", "vault", "--encrypted", "--invite", &ann.id]);
    let room = Room::joined(&ann, made["room_id"].as_str().unwrap());
    let builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let _tester = member(&synapse, &room, &ann, &cis, ("tester", "worker", "execute"));
    let guest = member(&synapse, &room, &ann, &cis, ("guest", "observer", "submit"));
    fs::write(cis.work().join("secret.txt"), "nobody else reads this 7\n").unwrap();
    let run = execute(&cis, &room, SHORT);
    cis.wait_run(&run, "succeeded");
    let written = synapse.written();
    let log = ["dag", "logs", "build", "--run", &run];
    assert!(cis.ok(log).contains("nobody reads this log 8"));
    for text in
        ["nobody else reads this 7", "NOBODY ELSE READS THIS 7", "this log 8", "secret.txt", "made.txt"]
    {
        let is_there = written.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!is_there, "the homeserver has {text:?}");
    }
    builder.ok(["node", "stop"]);
    knows_end(&guest, &run);
    synapse.remove_media();
    let to = guest.work().join("to");
    let missed = guest.run(["dag", "artifacts", "build", "--run", &run, "--to", to.to_str().unwrap()]);
    assert_ne!(missed.code, Some(0));
    assert!(missed.stderr.contains("the homeserver no longer has the files"), "{}", missed.stderr);
    assert!(!to.join("made.txt").exists());
}

/// A node whose homeserver can be made to go wrong, and its room.
fn behind_proxy<'a>(synapse: &'a Synapse, ann: &'a User) -> (Proxy, Cis, Room<'a>) {
    let (proxy, cis, user) = (Proxy::before(synapse.url()), Cis::new(), synapse.register("cis"));
    login_at(&cis, proxy.url(), &user, "--token-stdin", &user.token).expect(0);
    let room = room_of(&cis, ann);
    (proxy, cis, room)
}

#[test]
fn a_run_whose_files_wait_at_the_homeserver_is_cancelled_at_once_and_the_next_one_gets_them() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (proxy, cis, room) = behind_proxy(&synapse, &ann);
    let _builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let _tester = member(&synapse, &room, &ann, &cis, ("tester", "worker", "execute"));
    fs::write(cis.work().join("secret.txt"), "nobody else reads this 7\n").unwrap();
    let held = proxy.fault(&["POST", "/media/"], Fault::Held, usize::MAX);
    let run = execute(&cis, &room, SHORT);
    proxy.wait(&["POST", "/media/"], 1);
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    drop(held);
    let run = execute(&cis, &room, SHORT);
    cis.wait_run(&run, "succeeded");
}

#[test]
fn a_run_whose_files_go_up_slowly_is_not_taken_over_meanwhile() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (proxy, cis, room) = behind_proxy(&synapse, &ann);
    let _builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let _tester = member(&synapse, &room, &ann, &cis, ("tester", "worker", "execute"));
    let second = member(&synapse, &room, &ann, &cis, ("second", "coordinator", "coordinate"));
    fs::write(cis.work().join("secret.txt"), "nobody else reads this 7\n").unwrap();
    let held = proxy.fault(&["POST", "/media/"], Fault::Held, usize::MAX);
    let run = execute(&cis, &room, SHORT);
    proxy.wait(&["POST", "/media/"], 1);
    eventually_within(SLOW, "the other coordinator reads of it", || {
        (second.run(["dag", "show", &run]).code == Some(0)).then_some(())
    });
    // One each second: it is there for longer than others wait for a sign of life.
    let said = proxy.seen(&["PUT", "/sendToDevice/"]).len();
    proxy.wait(&["PUT", "/sendToDevice/"], said + 9);
    drop(held);
    for node in [&cis, &second] {
        node.wait_run(&run, "succeeded");
        assert_eq!(node.show(&run)["run"]["node"], did(&cis));
        assert_eq!(node.task(&run, "build")["attempts"], 1);
    }
}

#[test]
fn a_task_that_waits_for_files_when_the_session_host_dies_runs_once() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (proxy, cis, room) = behind_proxy(&synapse, &ann);
    let _builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let text = r#"
version = 1
[dag]
id = "placed"
[dag.defaults]
tty = false
[[tasks]]
id = "build"
nodes = ["builder"]
artifacts = ["made.txt"]
script = "echo made > made.txt"
[[tasks]]
id = "here"
needs = ["build"]
cwd = "."
script = "cat made.txt >> ran"
"#;
    let held = proxy.fault(&["GET", "/media/download/"], Fault::Held, usize::MAX);
    let run = execute(&cis, &room, text);
    proxy.wait(&["GET", "/media/download/"], 1);
    cis.wait_task(&run, "here", "running");
    let host = cis.host_pid().unwrap();
    kill_9(host);
    eventually("another session host is there", || cis.host_pid().filter(|pid| *pid != host).map(drop));
    drop(held);
    cis.wait_run(&run, "succeeded");
    assert_eq!(fs::read_to_string(cis.work().join("ran")).unwrap(), "made\n");
}

/// What they say, and what is left of it.
const SPOKEN: &str = r#"
version = 1
[dag]
id = "spoken"
[dag.defaults]
nodes = ["builder"]
[[tasks]]
id = "short"
script = "printf 'in \\033[1mbold\\033[0m\\n'"
[[tasks]]
id = "silent"
tty = false
script = "true"
[[tasks]]
id = "kept"
logs = "keep"
script = "echo stays"
[[tasks]]
id = "failed"
tty = false
allow_failure = true
script = "echo why; exit 3"
[[tasks]]
id = "long"
tty = false
script = "seq 1000000 1900000"
"#;

#[test]
fn logs_are_read_after_their_node_has_gone_unless_they_are_to_stay_there() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let room = room_of(&cis, &ann);
    let builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let guest = member(&synapse, &room, &ann, &cis, ("guest", "observer", "submit"));
    let run = execute(&cis, &room, SPOKEN);
    cis.wait_run(&run, "succeeded");
    knows_end(&guest, &run);
    let there = guest.ok(["dag", "logs", "kept", "--run", &run]);
    assert!(there.contains("stays"), "{there}");
    builder.ok(["node", "stop"]);
    // The node that has gone is asked for these, and waited for: by all of them at the same time.
    let asked = [&cis, &guest]
        .map(|node| ["long", "kept"].map(|task| node.spawn(["dag", "logs", task, "--run", &run])));
    for (node, [long, kept]) in [&cis, &guest].into_iter().zip(asked) {
        let log = |task: &str| node.run(["dag", "logs", task, "--run", &run]);
        assert_eq!(log("short").expect(0).stdout, "in \x1b[1mbold\x1b[0m\r\n");
        assert_eq!(node.ok(["dag", "logs", "short", "--run", &run, "--plain"]), "in bold\n");
        assert_eq!(log("failed").expect(0).stdout, "why\n");
        let long = long.wait().expect(0).stdout;
        assert!(long.starts_with("1000000\n1000001\n") && long.ends_with("1899999\n1900000\n"));
        assert!(long.contains("only the node that ran the task has them"));
        let kept = kept.wait();
        assert!(kept.code != Some(0) && kept.stderr.contains("no answer from builder"), "{kept:?}");
    }
    let file = cis.work().join("run.jsonl").display().to_string();
    cis.ok(["dag", "export", &run, "--output", &file]);
    let verdict = cis.json(&["dag", "verify", &file, "--owner", &did(&cis)]);
    let tasks = verdict["tasks"].as_array().unwrap();
    let log_of = |id: &str| tasks.iter().find(|task| task["task"] == id).unwrap()["log"].as_str();
    let short = hex::encode(sha2::Sha256::digest(b"in \x1b[1mbold\x1b[0m\r\n"));
    assert_eq!(log_of("short"), Some(&*short));
    assert!(log_of("long").is_some() && log_of("failed").is_some());
    assert_eq!((log_of("kept"), log_of("silent")), (None, None));
}

/// Texts of `hear` (on another node) and `home` (on the submitting node) refer to the output of `say`.
const HEARD: &str = r#"
version = 1
[dag]
id = "heard"
[dag.defaults]
tty = false
[[tasks]]
id = "say"
nodes = ["builder"]
script = "printf 'first\\nthe \\033[1manswer\\033[0m is 42\\n'"
[[tasks]]
id = "hear"
nodes = ["tester"]
needs = ["say"]
env = { HEARD = "{{ tasks.say.output }}" }
script = '''
test "$(printf %s "$HEARD")" = "$(printf 'first\nthe answer is 42')"
'''
[[tasks]]
id = "home"
needs = ["say"]
cwd = "."
env = { HEARD = "{{ tasks.say.output }}" }
script = 'case "$HEARD" in *"answer is 42"*) ;; *) exit 5 ;; esac'
[[tasks]]
id = "kept"
nodes = ["builder"]
logs = "keep"
script = "echo stays"
[[tasks]]
id = "deaf"
nodes = ["tester"]
needs = ["kept"]
allow_failure = true
env = { HEARD = "{{ tasks.kept.output }}" }
script = "true"
"#;

#[test]
fn texts_refer_to_the_output_of_tasks_on_other_nodes() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (cis, _) = logged_in(&synapse);
    let room = room_of(&cis, &ann);
    let _builder = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute"));
    let _tester = member(&synapse, &room, &ann, &cis, ("tester", "worker", "execute"));
    let run = execute(&cis, &room, HEARD);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.task(&run, "deaf")["state"], "completed");
    let shown = cis.ok(["dag", "show", &run]);
    assert!(shown.contains("the output of task `kept` is on another node"), "{shown}");
}

/// It says something and ends, on the node where it was submitted.
const SAID: &str = r#"
version = 1
[dag]
id = "said"
[dag.defaults]
tty = false
[[tasks]]
id = "said"
script = "echo said"
[[tasks]]
id = "then"
needs = ["said"]
script = "true"
"#;

#[test]
fn a_homeserver_that_takes_no_uploads_holds_up_no_result() {
    let synapse = Synapse::shared();
    let ann = synapse.register("ann");
    let (proxy, cis, room) = behind_proxy(&synapse, &ann);
    cis.ok(["node", "invite", "--room", &room.id]);
    cis.ok(["node", "stop"]);
    cis.ok(["node", "start", "--detach", "--room", &room.id, "--role", "both"]);
    for fault in [Fault::error("502 Bad Gateway", "M_UNKNOWN", ""), Fault::Held, Fault::Refused] {
        let _rule = proxy.fault(&["POST", "/media/"], fault, usize::MAX);
        let run = execute(&cis, &room, SAID);
        cis.wait_run(&run, "succeeded");
        assert!(cis.ok(["dag", "logs", "said", "--run", &run]).contains("said"));
    }
    let _rule = proxy.fault(&["POST", "/media/"], Fault::Held, usize::MAX);
    let before = proxy.seen(&["POST", "/media/"]).len();
    let run = execute(&cis, &room, SAID);
    proxy.wait(&["POST", "/media/"], before + 1);
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}
