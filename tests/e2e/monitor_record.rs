//! `cis monitor record` and `cis monitor test` with real programs: a person at a terminal, and a scenario.

use rustix::process::Signal;
use serde_json::Value;

use super::asking::item;
use super::harness::{Cis, Output, eventually, signal};

const SCENARIOS: &str = r#"
program = "asks"
[[scenario]]
name = "answered"
setup = "sleep 300 >/dev/null 2>&1 & echo ready > state"
files = { "ask.sh" = "cat state; printf 'Delete it? [y/N] '; read -r a; echo \"working on $a\"; sleep 300" }
argv = ["sh", "ask.sh"]
env = { E2E_MARK = "@" }
steps = [
  { expect = "[y/N]", waiting = "permission", hold = 3, send = "y\r" },
  { expect = "working on y", working = true, hold = 1 },
]
[[scenario]]
name = "silent"
argv = ["sh", "-c", "stty -echo; printf 'Pass phrase: '; read -r a; stty echo; echo; echo thanks"]
steps = [{ expect = "Pass phrase:", waiting = "password", hold = 0.5, send = "open sesame\r" }, { expect = "thanks" }]
[[scenario]]
name = "never"
argv = ["sh", "-c", "echo something else; sleep 300"]
env = { E2E_MARK = "@" }
steps = [{ expect = "Continue?", within = 0.3, waiting = "question" }]
"#;

fn record(cis: &Cis, scenario: &str) -> Output {
    let mark = cis.mark().replace("E2E_MARK=", "");
    let file = cis.write("asks.toml", SCENARIOS.replace('@', &mark));
    let file = file.to_str().expect("a path in UTF-8");
    let output = format!("{scenario}.cast");
    cis.run(["monitor", "record", "--scenarios", file, "--scenario", scenario, "-o", &output])
}

/// Neither of the command nor of what was started for it.
fn nothing_left(cis: &Cis) {
    eventually("no process is left", || cis.processes().is_empty().then_some(()));
}

#[test]
fn a_scenario_is_recorded_with_its_labels_and_the_prompt_is_found_in_it() {
    let cis = Cis::new();
    record(&cis, "answered").expect(0);
    let text = cis.read("answered.cast");
    assert!(text.lines().any(|line| line.contains("\"k\"") && line.contains("readers")), "{text}");
    let report = cis.json(&["monitor", "test", "answered.cast"]);
    let item = &report["items"][0];
    assert_eq!(item["program"], "asks");
    let prompt = &item["episodes"][0];
    assert_eq!(
        (&prompt["waiting"], &prompt["kind"]),
        (&"permission".into(), &"permission".into()),
        "{report:#}"
    );
    assert_eq!(prompt["right"], true, "{report:#}");
    assert_eq!(item["episodes"][1]["waiting"], Value::Null);
    // What was started beside it ended with it.
    nothing_left(&cis);
}

#[test]
fn what_the_terminal_does_not_show_is_not_in_the_recording() {
    let cis = Cis::new();
    record(&cis, "silent").expect(0);
    let text = cis.read("silent.cast");
    assert!(text.contains("thanks") && !text.contains("sesame"), "{text}");
}

#[test]
fn a_scenario_that_does_not_come_true_leaves_no_recording_and_says_what_is_there() {
    let cis = Cis::new();
    let output = record(&cis, "never").expect(2);
    assert!(
        output.stderr.contains("something else") && output.stderr.contains("Continue?"),
        "{}",
        output.stderr
    );
    assert!(!cis.work().join("never.cast").exists());
    nothing_left(&cis);
}

#[test]
fn a_person_is_recorded_at_a_terminal_which_is_as_before_afterwards() {
    let cis = Cis::new();
    let script =
        "printf 'Name: '; read -r a; stty -echo; printf 'PIN: '; read -r b; stty echo; echo; echo \"bye $a\"";
    let mut terminal = cis.terminal(&["monitor", "record", "-o", "person.cast", "--", "sh", "-c", script]);
    terminal.wait_for("Name:");
    terminal.type_keys("pat\r");
    terminal.wait_for("PIN:");
    terminal.type_keys("8317\r");
    assert_eq!(terminal.wait_exit(), 0);
    assert_eq!(terminal.settings(), terminal.settings_before());
    let text = cis.read("person.cast");
    assert!(text.contains("bye pat") && text.contains("\"i\", \"pat") && !text.contains("8317"), "{text}");
    cis.ok(["monitor", "test", "person.cast"]);
}

#[test]
fn a_signal_ends_a_recording_which_is_kept_and_the_caller_sees_the_signal() {
    let cis = Cis::new();
    let words = ["monitor", "record", "-o", "person.cast", "--", "sh", "-c", "printf 'Name: '; read -r a"];
    let mut terminal = cis.terminal(&words);
    terminal.wait_for("Name:");
    signal(terminal.pid(), Signal::TERM);
    assert_eq!(terminal.wait_signal(), Some(Signal::TERM));
    assert_eq!(terminal.settings(), terminal.settings_before());
    assert!(cis.read("person.cast").contains("Name:"));
    cis.ok(["monitor", "test", "person.cast"]);
    nothing_left(&cis);
}

#[test]
fn what_cannot_be_recorded_or_read_is_said() {
    let cis = Cis::new();
    let no_terminal = cis.run(["monitor", "record", "--", "true"]).expect(2);
    assert!(no_terminal.stderr.contains("--scenarios"), "{}", no_terminal.stderr);
    cis.write("old.cast", "{\"version\": 2, \"width\": 80, \"height\": 24}\n");
    let old = cis.run(["monitor", "test", "old.cast"]).expect(2);
    assert!(old.stderr.contains("old.cast") && old.stderr.contains("version 3"), "{}", old.stderr);
    record(&cis, "unheard-of").expect(2);
}

/// What somebody says of a session is kept with what it showed, and the monitor can be tried on that.
#[test]
fn a_report_of_a_wrong_verdict_can_be_replayed() {
    let cis = Cis::new();
    cis.write("key", "opensesame");
    cis.start(
        r#"version = 1
[dag]
id = "wrong"
[[tasks]]
id = "asks"
secrets = { KEY = { file = "key" } }
script = "printf 'Delete %s? [y/N] ' \"$KEY\"; read x"
[[tasks]]
id = "works"
script = "printf 'Go on? [y/N] '; sleep 300"
"#,
    );
    item(&cis);
    let report = |session: &str, says: &[&str]| {
        let reported = cis.json(&[&["monitor", "report", session], says].concat());
        let path = reported["path"].as_str().unwrap().to_owned();
        let tested = cis.run(["monitor", "test", &path, "--json"]).json();
        (std::fs::read_to_string(&path).unwrap(), tested["items"][0]["episodes"][0].clone())
    };
    let (text, work) = report("asks", &["--not-a-prompt"]);
    assert!(text.contains("Delete ") && !text.contains("opensesame"), "{text}");
    assert_eq!((&work["waiting"], &work["right"]), (&Value::Null, &false.into()), "it was in the inbox");
    let (_, prompt) = report("asks", &["--prompt", "permission"]);
    assert_eq!((&prompt["waiting"], &prompt["right"]), (&"permission".into(), &true.into()));
    let (_, prompt) = report("works", &["--prompt"]);
    assert_eq!((&prompt["waiting"], &prompt["right"]), (&"question".into(), &false.into()), "nobody reads");
    let none = cis.run(["monitor", "report", "nobody", "--prompt"]).expect(2).stderr;
    assert!(none.contains("nobody"), "{none}");
}
