//! Backups made while a node works, restores in other homes, and cleaning beside live runs.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::harness::{Cis, eventually, is_root, kill_9, pause};
use super::storage::{Mounted, entries_below, files_below, fill};

/// A task that waits, and says something before.
const GATE: &str = r#"
[[tasks]]
id = "gate"
script = 'echo gate is live; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.02; done'
"#;

fn many(count: usize) -> String {
    let mut text = "version = 1\n[dag]\nid = \"many\"\nmax_parallel = 4\n".to_owned() + GATE;
    for n in 0..count {
        text += &format!("[[tasks]]\nid = \"t{n}\"\nscript = 'echo {n}'\n");
    }
    text
}

fn ended(id: &str) -> String {
    format!("version = 1\n[dag]\nid = \"{id}\"\n[[tasks]]\nid = \"a\"\nscript = 'echo said by {id}'\n")
}

fn backup(cis: &Cis, name: &str) -> PathBuf {
    let file = cis.work().join(name);
    cis.ok(["store", "backup", file.to_str().unwrap()]);
    file
}

#[test]
fn a_backup_made_at_work_is_a_home_in_which_the_run_goes_on() {
    let cis = Cis::new();
    let run = cis.start(&many(200));
    cis.session_of("gate");
    // Some of it is done and some is not, whenever this is looked at.
    let files: Vec<PathBuf> = (0..3).map(|n| backup(&cis, &format!("{n}.tar"))).collect();
    let leaves = files_below(&cis.work());
    assert!(!leaves.iter().any(|path| path.to_string_lossy().contains("partial")), "{leaves:?}");

    let other = Cis::new();
    for (n, file) in files.iter().enumerate() {
        let force: &[&str] = if n == 0 { &[] } else { &["--force"] };
        let words = ["store", "restore", file.to_str().unwrap()];
        other.run(words.iter().chain(force)).expect(0);
        other.run(["store", "check", "--deep"]).expect(0);
    }
    assert_eq!(other.run(["dag", "logs", "gate", "--attempt", "1"]).stdout.trim(), "gate is live");
    eventually("what lived at the backup is lost, and runs again", || {
        let task = other.task(&run, "gate");
        (task["attempts"] == 2 && task["state"] == "running").then_some(())
    });
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    let detail = other.wait_run(&run, "succeeded");
    assert_eq!(detail["run"]["counts"]["succeeded"], 201);
    let did = |cis: &Cis| cis.status()["did"].clone();
    assert_eq!(did(&cis), did(&other), "it is the same node");
    other.stop();
    cis.stop();
}

#[test]
fn a_restore_needs_a_quiet_home_and_a_sound_backup() {
    let cis = Cis::new();
    let run = cis.start(&many(1));
    cis.session_of("gate");
    let file = backup(&cis, "whole.tar");
    let restore = |file: &PathBuf| cis.run(["store", "restore", "--force", file.to_str().unwrap()]);
    assert!(restore(&file).expect(3).stderr.contains("a node uses"));
    cis.ok(["node", "stop"]);
    assert!(restore(&file).expect(3).stderr.contains("a session host uses"), "its sessions live on");
    cis.ok(["node", "stop", "--kill-sessions"]);

    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(12).position(|window| window == b"gate is live").expect("the log of an open run");
    bytes[at] ^= 1;
    let damaged = cis.write("damaged.tar", &bytes);
    assert!(restore(&damaged).expect(2).stderr.contains("is not what was written"));
    let cut = cis.write("cut.tar", &bytes[..bytes.len() / 2]);
    restore(&cut).expect(2);
    cis.run(["store", "check"]).expect(0);

    cis.write("open", "");
    let said = restore(&file).expect(0).stdout;
    let kept = said.split_once("What was there before is ").expect(&said).1.lines().next().unwrap();
    assert!(PathBuf::from(kept).join("cis.db").exists(), "{said}");
    cis.wait_run(&run, "succeeded");
    cis.stop();
}

#[test]
fn a_backup_is_private_replaces_nothing_unasked_and_goes_through_a_pipe() {
    let cis = Cis::new();
    cis.dag(&ended("x"), &[]).expect(0);
    let file = backup(&cis, "x.tar");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = cis.run(["store", "backup", file.to_str().unwrap()]).expect(2);
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    cis.stop();
    let line = "$E2E_CIS store backup --logs - | $E2E_CIS --home \"$E2E_WORK/other\" store restore - --json";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", line]).current_dir(cis.work()).env_clear().envs(cis.environment());
    let report = super::harness::Running::start(command).wait().expect(0).json();
    assert_eq!(report["kept"], serde_json::Value::Null);
    let logs = cis.work().join("other/logs");
    assert_eq!(files_below(&logs).len(), 1, "with --logs those of ended runs are in it");
}

/// Makes every file that may be in use look as if it were put long ago.
fn age(cis: &Cis) {
    for folder in ["blobs", "secrets"] {
        for path in files_below(&cis.home().join(folder)) {
            let file = File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        }
    }
}

#[test]
fn cleaning_takes_what_ended_runs_left_and_nothing_of_an_open_one() {
    let cis = Cis::new();
    // An environment of its own: nothing of it is shared with the open run.
    let gone = {
        let file = cis.write("gone.toml", ended("gone"));
        let mut command = cis.command(["dag", "run", file.to_str().unwrap()]);
        command.env("OTHER", "1");
        super::harness::Running::start(command).wait().expect(0);
        cis.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned()
    };
    let open = cis.start(&many(2));
    cis.session_of("gate");
    cis.wait_task(&open, "t1", "succeeded");
    age(&cis);
    let log_of_open = || cis.ok(["dag", "logs", "t1", "--run", &open]);
    let dry = cis.json(&["store", "gc", "--older-than", "1ms", "--dry-run"]);
    assert_eq!((&dry["runs"], &dry["dry_run"]), (&1.into(), &true.into()), "{dry}");
    assert_eq!(cis.ok(["dag", "logs", "a", "--run", &gone]).trim(), "said by gone");
    let report = cis.json(&["store", "gc", "--older-than", "1ms"]);
    assert_eq!((&report["runs"], &report["blobs"]), (&1.into(), &2.into()), "{report}");
    assert_eq!(report["log_bytes"], dry["log_bytes"]);
    let said = cis.run(["dag", "logs", "a", "--run", &gone]).expect(3).stderr;
    assert!(said.contains("was removed at 2") && said.contains("more than 1ms ago"), "{said}");
    let said = cis.run(["dag", "retry", &gone]).expect(3).stderr;
    assert!(said.contains("was removed at"), "{said}");
    assert_eq!(cis.show(&gone)["tasks"][0]["state"], "succeeded", "what is known of it stays");
    assert_eq!(log_of_open().trim(), "1");

    let report = cis.json(&["store", "gc", "--max-size", "0"]);
    assert_eq!(report["runs"], 0, "an open run is not cleaned, however little may be kept");
    assert_eq!(log_of_open().trim(), "1");
    cis.write("open", "");
    cis.wait_run(&open, "succeeded");
    cis.run(["store", "check", "--deep"]).expect(0);
    cis.stop();

    age(&cis);
    let report = cis.json(&["store", "gc", "--max-size", "0"]);
    assert_eq!((&report["runs"], &report["kept_bytes"]), (&1.into(), &0.into()), "without a node: {report}");
    cis.run(["store", "check", "--deep"]).expect(0);
    cis.run(["store", "rebuild"]).expect(0);
    let said = cis.run(["dag", "logs", "t1", "--run", &open]).expect(3).stderr;
    assert!(said.contains("at most 0 B are kept"), "{said}");
    cis.stop();
}

#[test]
fn a_run_that_was_cleaned_can_be_run_again_while_its_file_is_there() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    cis.dag(&ended("twice"), &[]).expect(0);
    assert_eq!(cis.json(&["store", "gc", "--older-than", "1ms"])["runs"], 1);
    let run = cis.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    cis.run(["dag", "retry", &run]).expect(0);
    eventually("it ran again", || (cis.task(&run, "a")["attempts"] == 2).then_some(()));
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.ok(["dag", "logs", "a", "--run", &run]).trim(), "said by twice");
    assert!(
        cis.run(["dag", "logs", "a", "--run", &run, "--attempt", "1"]).expect(3).stderr.contains("removed")
    );
    assert_eq!(cis.json(&["store", "gc", "--older-than", "1ms"])["runs"], 1, "and can be cleaned again");
    cis.stop();
}

#[test]
fn a_full_disk_is_cleaned_without_space() {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let loud = "version = 1\n[dag]\nid = \"loud\"\n[[tasks]]\nid = \"a\"\ntty = false\nscript = 'yes | head -c 4000000'\n";
    cis.dag(loud, &[]).expect(0);
    let open = cis.start(&many(1));
    cis.session_of("gate");
    fill(&cis.home().join("ballast"));
    cis.write("open", "");
    eventually("nothing can be recorded", || {
        cis.ok(["node", "status"]).contains("nothing starts").then_some(())
    });
    let report = cis.json(&["store", "gc", "--older-than", "1ms"]);
    assert!(report["log_bytes"].as_u64().unwrap() >= 4_000_000, "{report}");
    cis.wait_run(&open, "succeeded");
    assert!(cis.home().join("ballast").exists(), "nobody else made room");
    cis.stop();
}

#[test]
fn a_retry_that_needs_a_secret_of_a_cleaned_run_is_refused_and_one_that_makes_it_anew_is_not() {
    let cis = Cis::new().env("MY_TOKEN", "hunter2-correct-horse");
    let text = "version = 1\n[dag]\nid = \"login\"\n".to_owned()
        + GATE
        + r#"
[[tasks]]
id = "login"
secrets = { TOKEN = { env = "MY_TOKEN" } }
outputs = { token = { type = "string" } }
script = 'echo "token=$TOKEN" >> "$CIS_OUTPUT"'
[[tasks]]
id = "deploy"
needs = ["login"]
script = 'test -n "{{ tasks.login.outputs.token }}" && test -e "$E2E_WORK/ready"'
"#;
    let cleaned = cis.start(&text);
    cis.write("open", "");
    cis.wait_run(&cleaned, "failed");
    fs::remove_file(cis.work().join("open")).unwrap();
    // It has the same file and the same environment, so these stay.
    let open = cis.start(&text);
    cis.session_of("gate");
    cis.wait_task(&open, "deploy", "failed");
    age(&cis);
    let report = cis.json(&["store", "gc", "--older-than", "1ms"]);
    assert_eq!((&report["runs"], &report["blobs"]), (&1.into(), &1.into()), "{report}");
    cis.write("ready", "");
    cis.write("open", "");
    let said = cis.run(["dag", "retry", &cleaned, "--failed"]).expect(3).stderr;
    assert!(said.contains("the secret output `token` of task `login` was removed at"), "{said}");
    assert!(said.contains(&format!("`cis dag retry {cleaned}` runs `login` again")), "{said}");
    assert_eq!(cis.show(&cleaned)["run"]["state"], "failed");
    cis.run(["dag", "retry", &cleaned]).expect(0);
    cis.wait_run(&cleaned, "succeeded");
    cis.wait_run(&open, "failed");
    cis.run(["dag", "retry", &open, "--failed"]).expect(0);
    cis.wait_run(&open, "succeeded");
    cis.run(["store", "check", "--deep"]).expect(0);
    cis.stop();
}

#[test]
fn a_directory_that_cannot_be_read_stops_no_cleaning() {
    // Root reads everything.
    let cis = if is_root() { Cis::as_nobody() } else { Cis::new() };
    cis.dag(&ended("x"), &[]).expect(0);
    cis.ok(["node", "stop"]);
    let closed = ["lost+found", "logs/lost+found", "blobs/lost+found"].map(|name| cis.home().join(name));
    for dir in &closed {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o000)).unwrap();
    }
    assert_eq!(cis.json(&["store", "gc", "--older-than", "1ms"])["runs"], 1);
    cis.run(["store", "backup", "x.tar"]).expect(0);
    cis.run(["store", "check", "--deep"]).expect(0);
    for dir in &closed {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// Makes everything below a folder look old.
fn age_below(folder: &Path) {
    for path in entries_below(folder) {
        let file = File::open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    }
}

/// Ended runs with logs and artifacts of their own.
fn wastes(cis: &Cis, round: usize) -> String {
    let mut text = format!("version = 1\n[dag]\nid = \"waste{round}\"\nmax_parallel = 8\n");
    for n in 0..25 {
        text += &format!(
            "[[tasks]]\nid = \"t{n}\"\nartifacts = [\"w{n}\"]\nscript = 'echo round {round}; seq {n} 2000 > w{n}; echo {round} >> w{n}'\n"
        );
    }
    let run = cis.start(&text);
    cis.wait_run(&run, "succeeded");
    age(cis);
    run
}

#[test]
fn a_cleaning_that_is_killed_at_any_moment_takes_nothing_that_is_needed_and_is_finished_by_the_next() {
    let cis = Cis::new();
    let open = cis.start(&many(2));
    cis.session_of("gate");
    cis.wait_task(&open, "t1", "succeeded");
    age(&cis);
    let mut cleaned = Vec::new();
    for (round, moment) in [0, 1, 3, 6, 12, 25, 50, 100].into_iter().enumerate() {
        cleaned.push(wastes(&cis, round));
        let cleaning = cis.spawn(["store", "gc", "--older-than", "1ms"]);
        // Its client is of no matter: the node cleans. Twice it is left in peace for a moment.
        pause(Duration::from_millis(moment));
        kill_9(cis.node_pid().unwrap());
        cleaning.wait();
        cis.run(["store", "check", "--deep"]).expect(0);
        assert_eq!(cis.ok(["dag", "logs", "t1", "--run", &open]).trim(), "1", "round {round}");
    }
    finished(&cis, &cleaned);
    assert_eq!(cis.task(&open, "gate")["attempts"], 1, "its session lived through all of it");
    cis.write("open", "");
    cis.wait_run(&open, "succeeded");
    cis.stop();
}

/// The next cleaning ends what others began, and of what was cleaned everything else is known.
fn finished(cis: &Cis, cleaned: &[String]) {
    age(cis);
    age_below(&cis.home().join("logs"));
    cis.run(["store", "gc", "--older-than", "1ms"]).expect(0);
    cis.run(["store", "check", "--deep"]).expect(0);
    let logs = files_below(&cis.home().join("logs"));
    for run in cleaned {
        assert_eq!(cis.show(run)["run"]["state"], "succeeded");
        assert!(!logs.iter().any(|path| path.to_string_lossy().contains(run)), "{run}: {logs:?}");
    }
    let again = cis.json(&["store", "gc", "--older-than", "1ms", "--dry-run"]);
    assert_eq!((&again["runs"], &again["leftovers"]), (&0.into(), &0.into()), "{again}");
}

#[test]
fn a_cleaning_without_a_node_that_is_killed_is_finished_by_the_next() {
    let cis = Cis::new();
    let mut cleaned = Vec::new();
    for (round, moment) in [1, 4, 8, 15, 30, 60].into_iter().enumerate() {
        cleaned.push(wastes(&cis, round));
        cis.ok(["node", "stop"]);
        let cleaning = cis.spawn(["store", "gc", "--older-than", "1ms"]);
        pause(Duration::from_millis(moment));
        kill_9(cleaning.pid());
        cleaning.wait();
        cis.run(["store", "check", "--deep"]).expect(0);
    }
    finished(&cis, &cleaned);
}

#[test]
fn a_restore_that_is_killed_at_any_moment_leaves_the_old_home_or_the_new_one() {
    let cis = Cis::new();
    let run = wastes(&cis, 0);
    cis.ok(["node", "stop"]);
    let file = cis.work().join("whole.tar");
    cis.ok(["store", "backup", "--logs", file.to_str().unwrap()]);
    let after = wastes(&cis, 1);
    cis.ok(["node", "stop"]);
    for moment in [0, 2, 5, 10, 20, 40, 80, 160, 320] {
        let restoring = cis.spawn(["store", "restore", "--force", file.to_str().unwrap()]);
        pause(Duration::from_millis(moment));
        kill_9(restoring.pid());
        restoring.wait();
        // Before the two change places it is what it was, after that what the backup is: never something between.
        cis.run(["store", "check", "--deep"]).expect(0);
        let runs = cis.json(&["dag", "list"])["items"].as_array().unwrap().len();
        assert!((1..=2).contains(&runs), "{runs} runs after {moment} ms");
        assert_eq!(cis.show(&run)["run"]["state"], "succeeded");
        cis.ok(["node", "stop"]);
        if runs == 1 {
            // What was there is still there, beside it.
            let beside = fs::read_dir(cis.home().parent().unwrap()).unwrap();
            let has = |path: PathBuf| {
                path != cis.home() && path.join("cis.db").exists() && knows(&cis, &path, &after)
            };
            assert!(
                beside.map(|entry| entry.unwrap().path()).any(has),
                "after {moment} ms the old home is gone"
            );
        }
    }
    cis.run(["store", "restore", "--force", file.to_str().unwrap()]).expect(0);
    cis.run(["store", "check", "--deep"]).expect(0);
    assert_eq!(cis.json(&["dag", "list"])["items"].as_array().unwrap().len(), 1);
}

/// Whether the store of a home has this run.
fn knows(cis: &Cis, home: &Path, run: &str) -> bool {
    let mut command = cis.command(["dag", "show", run]);
    command.env("CIS_HOME", home);
    let shown = super::harness::Running::start(command).wait();
    let mut command = cis.command(["node", "stop"]);
    command.env("CIS_HOME", home);
    super::harness::Running::start(command).wait();
    shown.code == Some(0)
}

#[test]
fn a_restore_into_an_empty_home_that_is_killed_can_be_done_again() {
    let cis = Cis::new();
    let run = wastes(&cis, 0);
    let file = cis.work().join("whole.tar");
    cis.ok(["store", "backup", "--logs", file.to_str().unwrap()]);
    cis.stop();
    for moment in [0, 2, 5, 10, 20, 40, 80, 160] {
        let other = Cis::new();
        let restore = |more: &[&str]| {
            let words = ["store", "restore", file.to_str().unwrap()];
            words.iter().chain(more).map(|word| (*word).to_owned()).collect::<Vec<_>>()
        };
        let restoring = other.spawn(restore(&[]));
        pause(Duration::from_millis(moment));
        kill_9(restoring.pid());
        restoring.wait();
        if !other.home().join("cis.db").exists() {
            // Where it was about to move into place, it says what helps.
            let again = other.run(restore(&[]));
            assert!(again.code == Some(0) || again.stderr.contains("--force"), "{moment} ms: {again:?}");
            if again.code != Some(0) {
                other.run(restore(&["--force"])).expect(0);
            }
        }
        other.run(["store", "check", "--deep"]).expect(0);
        assert_eq!(other.show(&run)["run"]["state"], "succeeded", "{moment} ms");
        other.stop();
    }
}
