//! `cis dag logs`: what a task printed, now and as it comes.

use super::harness::{Cis, eventually};

const SLOW: &str = r#"
version = 1
[dag]
id = "slow"
[[tasks]]
id = "say"
script = 'printf "\033[31mred\033[0m one\n"; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done; echo two'
"#;

#[test]
fn plain_leaves_escapes_out_and_raw_keeps_them() {
    let cis = Cis::new();
    cis.write("open", "");
    cis.dag(SLOW, &[]).expect(0);
    assert_eq!(cis.ok(["dag", "logs", "--plain", "say"]), "red one\ntwo\n");
    assert!(cis.ok(["dag", "logs", "say"]).contains("\x1b[31mred"));
    cis.run(["dag", "logs", "no-such-task"]).expect(2);
}

#[test]
fn follow_shows_what_comes_and_ends_with_the_session() {
    let cis = Cis::new();
    cis.start(SLOW);
    cis.session_of("say");
    let follower = cis.spawn(["dag", "logs", "-f", "--plain", "say"]);
    follower.wait_for("red one");
    assert!(!follower.stdout().contains("two"));
    cis.write("open", "");
    let out = follower.wait().expect(0);
    assert_eq!(out.stdout, "red one\ntwo\n");
}

#[test]
fn following_survives_the_node() {
    let cis = Cis::new();
    let run = cis.start(SLOW);
    cis.session_of("say");
    let follower = cis.spawn(["dag", "logs", "-f", "--plain", "say"]);
    follower.wait_for("red one");
    super::harness::kill_9(cis.node_pid().unwrap());
    eventually("there is a node again", || cis.node_pid());
    cis.ok(["node", "stop"]);
    assert_eq!(cis.status()["running"], false);
    cis.write("open", "");
    // Nobody starts a node for it: whoever stopped it does, or calls the next command.
    cis.wait_run(&run, "succeeded");
    assert_eq!(follower.wait().expect(0).stdout, "red one\ntwo\n");
    assert_eq!(cis.ok(["dag", "logs", "--plain", "say"]), "red one\ntwo\n");
}

#[test]
fn following_survives_a_node_that_reaches_the_session_host_late() {
    let cis = Cis::new();
    let run = cis.start(SLOW);
    cis.session_of("say");
    let followers = [false, true].map(|plain| {
        let form: &[&str] = if plain { &["--plain"] } else { &[] };
        let follower = cis.spawn([&["dag", "logs", "-f", "say"], form].concat());
        follower.wait_for("one");
        follower
    });
    cis.ok(["node", "stop"]);
    // Until the host listens again, the next node has no connection to it.
    std::fs::remove_dir_all(std::fs::read_to_string(cis.home().join("runtime-dir")).unwrap()).unwrap();
    cis.ok(["node", "start", "--detach"]);
    let late = cis.spawn(["dag", "logs", "-f", "--plain", "say"]);
    late.wait_for("one");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    for follower in followers.into_iter().chain([late]) {
        let shown = follower.wait().expect(0).stdout;
        assert!(shown.trim_end().ends_with("two"), "{shown:?}");
        assert_eq!(shown.matches("one").count(), 1, "{shown:?}");
    }
}

#[test]
fn a_session_without_output_has_no_file() {
    let cis = Cis::new();
    cis.dag("version = 1\n[dag]\nid = \"quiet\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n", &[])
        .expect(0);
    assert_eq!(cis.ok(["dag", "logs", "a"]), "");
    let logs = || super::storage::files_below(&cis.home().join("logs"));
    assert_eq!(logs(), Vec::<std::path::PathBuf>::new());
    // The same place does hold the log of a task that says something.
    cis.write("open", "");
    cis.dag(SLOW, &[]).expect(0);
    assert_eq!(logs().len(), 1, "{:?}", logs());
}

#[test]
fn a_task_that_is_not_there_is_told_from_one_that_has_not_run() {
    let cis = Cis::new();
    let run =
        cis.start(&format!("{SLOW}[[tasks]]\nid = \"later\"\nneeds = [\"say\"]\ncommand = [\"true\"]\n"));
    cis.session_of("say");
    let out = cis.run(["dag", "logs", "latr"]).expect(2);
    assert!(out.stderr.contains("no task `latr`") && out.stderr.contains("did you mean `later`"), "{out:?}");
    let out = cis.run(["dag", "logs", "later"]).expect(2);
    assert!(out.stderr.contains("no attempt yet"), "{out:?}");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
}

#[test]
fn an_empty_log_is_said_to_be_empty() {
    let cis = Cis::new();
    let text = SLOW.replace("id = \"say\"", "id = \"say\"\ncwd = \"missing\"");
    let failed = cis.dag(&text, &[]).expect(3).stderr;
    assert!(failed.contains("cis dag why say --run") && !failed.contains("cis dag logs"), "{failed}");
    let out = cis.run(["dag", "logs", "say"]).expect(0);
    assert_eq!((out.stdout.as_str(), out.stderr.contains("cis dag why say")), ("", true), "{out:?}");
    cis.stop();
}
