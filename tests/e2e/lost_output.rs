//! Lost output and lost outputs on a full disk: both are reported, and are not counted as failures of the task.

use std::process::Command;

use super::harness::{Cis, Running, eventually, is_alive, ulid_in};
use super::storage::{Mounted, fill};

/// Whether the first process of a task, which noted its pid, is gone.
fn is_gone(cis: &Cis, file: &str) -> Option<()> {
    let pid = cis.read(file).trim().parse().ok()?;
    (!is_alive(pid)).then_some(())
}

/// Checks that `show`, `why` and the log say that output is missing.
#[track_caller]
fn is_marked(cis: &Cis, run: &str, task: &str, cause: &str) {
    let reason = cis.task(run, task)["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("of its output are lost") && reason.contains(cause), "{reason}");
    assert!(cis.ok(["dag", "show", run]).contains("of its output are lost"));
    let why = cis.ok(["dag", "why", task, "--run", run]);
    assert!(why.contains("Its log is incomplete") && why.contains(cause), "{why}");
    let log = cis.ok(["dag", "logs", "--plain", "--run", run, task]);
    assert!(log.contains("of output were cut here"), "{log}");
}

#[test]
fn outputs_lost_on_a_full_disk_are_an_error_and_not_a_failure() {
    are_lost(0);
}

/// The shell exits with 1 if it cannot write.
#[test]
fn a_program_that_fails_as_it_cannot_write_its_outputs_ends_in_error() {
    are_lost(1);
}

fn are_lost(exit: u8) {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let text = &r#"
version = 1
[dag]
id = "full"
[dag.defaults]
tty = false
[[tasks]]
id = "writes"
outputs = { said = { type = "string" } }
script = '''
echo before
touch "$E2E_WORK/runs"
while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done
head -c 20000 /dev/zero | tr '\0' x
echo "said=$(head -c 9000 /dev/zero | tr '\0' y)" > "$CIS_OUTPUT"
echo $$ > "$E2E_WORK/pid"
[ -e "$E2E_WORK/again" ] || exit EXIT
'''
[[tasks]]
id = "after"
needs = ["writes"]
script = 'touch "$E2E_WORK/after"'
"#
    .replace("EXIT", &exit.to_string());
    let run = cis.start(text);
    eventually("it runs", || cis.work().join("runs").exists().then_some(()));
    cis.session_of("writes");
    fill(&cis.home().join("ballast"));
    cis.write("open", "");
    eventually("it ended", || is_gone(&cis, "pid"));
    eventually("nothing can be recorded", || {
        cis.ok(["node", "status"]).contains("nothing starts").then_some(())
    });
    // Questions are still answered.
    let why = cis.ok(["dag", "why", "after"]);
    assert!(why.contains("cannot record it") && why.contains("cis node status"), "{why}");
    assert!(cis.ok(["dag", "show", &run]).contains("writes"));
    std::fs::remove_file(cis.home().join("ballast")).unwrap();
    cis.wait_run(&run, "error");
    let task = cis.task(&run, "writes");
    assert_eq!(task["state"], "error", "{task}");
    assert!(task["reason"].as_str().unwrap().contains("make room"), "{task}");
    assert!(!cis.work().join("after").exists());
    is_marked(&cis, &run, "writes", "No space left on device");
    cis.write("again", "");
    cis.ok(["dag", "retry", &run, "--failed"]);
    cis.wait_run(&run, "succeeded");
    assert!(cis.work().join("after").exists());
    cis.stop();
}

#[test]
fn output_beyond_the_maximum_size_of_a_file_is_marked_and_ends_no_host() {
    const MAX: &str = "--fsize=3000000";
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"large\"\n[[tasks]]\nid = \"prints\"\ntty = false\nscript = 'head -c 4000000 /dev/urandom | base64'\n";
    let (file, node) = (cis.write("large.toml", text), cis.command(["node", "start", "--detach"]));
    let mut limited = Command::new("prlimit");
    limited.arg(MAX).arg(node.get_program()).args(node.get_args());
    limited.current_dir(cis.work()).env_clear().envs(cis.environment());
    Running::start(limited).wait().expect(0);
    let host = cis.status()["host_pid"].clone();
    let run = ulid_in(&cis.ok(["dag", "run", "--detach", file.to_str().unwrap()]));
    cis.wait_run(&run, "succeeded");
    is_marked(&cis, &run, "prints", "File too large");
    assert_eq!(cis.status()["host_pid"], host, "the same host");
}

#[test]
fn output_to_a_log_directory_that_is_removed_is_marked() {
    let cis = Cis::new();
    let text = r#"
version = 1
[dag]
id = "removed"
[dag.defaults]
tty = false
[[tasks]]
id = "quiet"
script = 'echo lost; touch "$E2E_WORK/quiet"; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done'
[[tasks]]
id = "talks"
script = '''
echo lost; touch "$E2E_WORK/talks"
while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done
while [ ! -e "$E2E_WORK/../user/.cis/logs/$CIS_RUN_ID/talks.1.log.tail0" ]; do echo more; sleep 0.1; done
echo kept
'''
[[tasks]]
id = "later"
needs = ["quiet"]
script = 'echo whole'
"#;
    let run = cis.start(text);
    for name in ["quiet", "talks"] {
        eventually(&format!("{name} runs"), || cis.work().join(name).exists().then_some(()));
        eventually("its output is in its log", || {
            cis.ok(["dag", "logs", "--plain", name]).contains("lost").then_some(())
        });
    }
    std::fs::remove_dir_all(cis.home().join("logs").join(&run)).unwrap();
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    for name in ["quiet", "talks"] {
        is_marked(&cis, &run, name, "the files of the log were removed");
    }
    assert!(cis.ok(["dag", "logs", "--plain", "talks"]).ends_with("kept\n"));
    assert_eq!(cis.ok(["dag", "logs", "--plain", "later"]), "whole\n");
    assert_eq!(cis.task(&run, "later")["reason"], serde_json::Value::Null);
}

#[test]
fn with_few_descriptors_no_output_is_lost_without_a_mark() {
    const TASKS: usize = 60;
    let cis = Cis::new();
    let mut text =
        format!("version = 1\n[dag]\nid = \"few\"\nmax_parallel = {TASKS}\n[dag.defaults]\ntty = false\n");
    for n in 0..TASKS {
        // In more than one burst, so that a log has a second file.
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\nscript = 'echo one; sleep 0.2; echo two; sleep 0.2'\n"
        ));
    }
    let file = cis.write("few.toml", text);
    let line = format!("ulimit -n 64; exec {} dag run --detach {}", cis.binary().display(), file.display());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(cis.work()).env_clear().envs(cis.environment());
    let run = ulid_in(&Running::start(command).wait().expect(0).stdout);
    let detail = cis.wait_run(&run, "succeeded");
    for task in detail["tasks"].as_array().unwrap() {
        let id = task["id"].as_str().unwrap();
        let log = cis.ok(["dag", "logs", "--plain", "--run", &run, id]);
        let marked =
            log.contains("were cut here") && task["reason"].as_str().is_some_and(|r| r.contains("lost"));
        assert!(log == "one\ntwo\n" || marked, "{task}: {log:?}");
    }
}
