//! Backups made while a node works, restores in other homes, and cleaning beside live runs.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use super::harness::{Cis, eventually, is_alive, is_root, kill_9_at_once, signal};
use super::storage::{Mounted, files_below, fill};

/// A task that waits, and says something before.
const GATE: &str = r#"
[[tasks]]
id = "gate"
script = 'echo gate is live; while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done'
"#;

pub fn many(count: usize) -> String {
    let mut text = "version = 1\n[dag]\nid = \"many\"\nmax_parallel = 4\n".to_owned() + GATE;
    for n in 0..count {
        text.push_str(&format!("[[tasks]]\nid = \"t{n}\"\nscript = 'echo {n}'\n"));
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
    fs::write(cis.home().join("api-cert.pem"), "of this machine").unwrap();
    let said = restore(&file).expect(0).stdout;
    let kept = said.split_once("The previous files are in ").expect(&said).1.lines().next().unwrap();
    assert!(PathBuf::from(kept).join("cis.db").exists(), "{said}");
    assert!(said.contains("the certificate of the API") && said.contains("cis node status"), "{said}");
    assert!(!said.contains("Matrix"), "it has no account: {said}");
    cis.wait_run(&run, "succeeded");
    cis.stop();
}

#[test]
fn a_home_without_a_store_is_not_checked_and_said_to_have_none() {
    let cis = Cis::new();
    for home_exists in [false, true] {
        if home_exists {
            fs::create_dir_all(cis.home()).unwrap();
        }
        for more in [&[][..], &["--quick"], &["--deep"]] {
            let out = cis.run(["store", "check"].iter().chain(more)).expect(3);
            assert!(out.stderr.contains("there is no store at"), "{}", out.stderr);
        }
        let out = cis.run(["store", "backup", "x.tar"]).expect(3);
        assert!(out.stderr.contains("there is no store at"), "{}", out.stderr);
        assert!(!cis.work().join("x.tar").exists());
        assert_eq!(cis.home().exists(), home_exists);
    }
}

#[test]
fn a_backup_is_private_replaces_nothing_unasked_and_goes_through_a_pipe() {
    let cis = Cis::new();
    cis.dag(&ended("x"), &[]).expect(0);
    let file = backup(&cis, "x.tar");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = cis.run(["store", "backup", file.to_str().unwrap()]).expect(2);
    assert!(again.stderr.contains("already exists"), "{}", again.stderr);
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
pub fn age(cis: &Cis) {
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
id = "other"
secrets = { TOKEN = { env = "MY_TOKEN" } }
outputs = { key = { type = "string" } }
script = 'echo "key=$TOKEN" >> "$CIS_OUTPUT"'
[[tasks]]
id = "build"
needs = ["login", "other"]
command = ["true"]
[[tasks]]
id = "deploy"
needs = ["build"]
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
    assert_eq!((&report["runs"], &report["blobs"]), (&1.into(), &2.into()), "{report}");
    cis.write("ready", "");
    cis.write("open", "");
    let said = cis.run(["dag", "retry", &cleaned, "--failed"]).expect(3).stderr;
    assert!(said.contains("the secret output `token` of task `login` was removed at"), "{said}");
    assert!(said.contains(&format!("`cis dag retry {cleaned} --from login` runs `login` again")), "{said}");
    assert!(!said.contains("other"), "nothing that runs again reads its output: {said}");
    assert_eq!(cis.show(&cleaned)["run"]["state"], "failed");
    let said = cis.run(["dag", "retry", &cleaned, "--from", "build"]).expect(3).stderr;
    assert!(said.contains("`token` of task `login`") && said.contains("`key` of task `other`"), "{said}");
    assert!(said.contains(&format!("`cis dag retry {cleaned} --from login --from other` runs")), "{said}");
    cis.run(["dag", "retry", &cleaned, "--from", "login", "--from", "other"]).expect(0);
    cis.wait_run(&cleaned, "succeeded");
    assert_eq!(cis.task(&cleaned, "gate")["attempts"], 1, "nothing that runs again needs it");
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

/// A backup without `--logs` leaves out the logs of ended runs. A check of the restored home says so, and still finds
/// what is lost later.
#[test]
fn a_check_of_a_restored_home_knows_which_logs_were_not_in_the_backup() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"x\"\n[[tasks]]\nid = \"a\"\ncommand = [\"echo\", \"hello\"]\n";
    cis.dag(text, &[]).expect(0);
    let file = cis.work().join("cis.tar");
    cis.ok(["store", "backup", file.to_str().unwrap()]);
    cis.ok(["node", "stop", "--kill-sessions"]);
    cis.ok(["store", "restore", "--force", file.to_str().unwrap()]);
    let check = cis.ok(["store", "check", "--deep"]);
    assert!(check.contains("the store is sound") && check.contains("1 log is not here"), "{check}");
    assert_eq!(cis.json(&["store", "check", "--deep"])["logs_left_out"], 1);

    let run = cis.start(text);
    cis.wait_run(&run, "succeeded");
    cis.ok(["store", "check", "--deep"]);
    fs::remove_dir_all(cis.home().join("logs").join(&run)).unwrap();
    let check = cis.run(["store", "check", "--deep"]).expect(3).stdout;
    assert!(check.contains(&format!("the log of {run}:a#1 is missing")), "{check}");
    assert!(check.contains("1 log is not here"), "{check}");

    // A backup of a home that lacks logs lacks them, too.
    cis.ok(["store", "backup", "--logs", cis.work().join("all.tar").to_str().unwrap()]);
    cis.ok(["node", "stop", "--kill-sessions"]);
    cis.ok(["store", "restore", "--force", cis.work().join("all.tar").to_str().unwrap()]);
    let check = cis.run(["store", "check", "--deep"]).expect(3).stdout;
    assert!(check.contains("1 log is not here"), "{check}");
}

#[test]
fn gc_does_not_wait_for_a_node_that_hangs() {
    let cis = Cis::new();
    cis.start(&many(1));
    cis.session_of("gate");
    let node = cis.node_pid().unwrap();
    signal(node, Signal::STOP);
    let out = cis.spawn(["store", "gc", "--dry-run"]).wait();
    signal(node, Signal::CONT);
    assert!(out.expect(3).stderr.contains(&format!("the node (pid {node}) does not answer")));
    cis.ok(["store", "gc", "--dry-run"]);
    cis.stop();
}

#[test]
fn a_backup_replaces_neither_files_of_the_home_nor_what_is_no_file() {
    let cis = Cis::new();
    cis.ok(["dag", "list"]);
    cis.stop();
    let database = cis.home().join("cis.db");
    let before = fs::read(&database).unwrap();
    let said = cis.run(["store", "backup", "--force", database.to_str().unwrap()]).expect(2);
    assert!(said.stderr.contains("it is in the home"), "{said:?}");
    assert_eq!(fs::read(&database).unwrap(), before);
    fs::create_dir(cis.work().join("folder")).unwrap();
    let said = cis.run(["store", "backup", "--force", "folder"]).expect(2);
    assert!(said.stderr.contains("is not a regular file"), "{said:?}");
    cis.ok(["store", "backup", "x.tar"]);
    cis.ok(["store", "backup", "--force", "x.tar"]);
}

#[test]
fn a_home_without_its_key_is_refused_until_it_is_back() {
    let cis = Cis::new();
    cis.ok(["dag", "list"]);
    cis.stop();
    let (key, aside) = (cis.home().join("identity.key"), cis.work().join("key"));
    fs::rename(&key, &aside).unwrap();
    let said = cis.run(["dag", "list"]).expect(3);
    assert!(said.stderr.contains("identity.key is missing") && !key.exists(), "{said:?}");
    fs::rename(&aside, &key).unwrap();
    cis.ok(["dag", "list"]);
}

#[test]
fn a_cleaning_that_a_wrong_clock_may_have_called_is_put_off_once() {
    let cis = Cis::new();
    let text = "version = 1\n[dag]\nid = \"tiny\"\n[[tasks]]\nid = \"a\"\ncommand = [\"echo\", \"kept\"]\n";
    let run = cis.start(text);
    cis.wait_run(&run, "succeeded");
    cis.stop();
    let lock = cis.home().join("upkeep.lock");
    fs::write(&lock, "cleaned\n").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    File::options().write(true).open(&lock).unwrap().set_modified(long_ago).unwrap();
    let is_noted = || fs::read_to_string(&lock).is_ok_and(|said| said.starts_with("put off")).then_some(());
    let start = ["-c", "retention.max_age=1ms", "node", "start", "--detach"];
    cis.ok(start);
    eventually("it is put off", is_noted);
    cis.stop();
    assert!(cis.ok(["dag", "logs", "a"]).contains("kept"));
    cis.stop();
    // A day later it is done.
    File::options().write(true).open(&lock).unwrap().set_modified(long_ago).unwrap();
    cis.ok(start);
    let is_cleaned = || fs::read_to_string(&lock).is_ok_and(|said| said == "cleaned\n").then_some(());
    eventually("it is cleaned", is_cleaned);
    assert!(!cis.run(["dag", "logs", "a"]).stdout.contains("kept"));
}

#[test]
fn runs_that_the_store_has_lost_are_named() {
    let cis = Cis::new();
    let run = cis.start(&ended("kept"));
    cis.wait_run(&run, "succeeded");
    cis.stop();
    let run = cis
        .start("version = 1\n[dag]\nid = \"lost\"\n[[tasks]]\nid = \"a\"\ncommand = [\"sleep\", \"3000\"]\n");
    cis.session_of("a");
    let log = cis.home().join("logs").join(&run);
    eventually("it has a log", || log.exists().then_some(()));
    let both = [cis.node_pid().unwrap(), cis.host_pid().unwrap()];
    kill_9_at_once(both);
    // While a node lives, files that are younger than a minute are not looked at.
    eventually("they are gone", || both.iter().all(|pid| !is_alive(*pid)).then_some(()));
    for name in ["cis.db-wal", "cis.db-shm"] {
        fs::remove_file(cis.home().join(name)).unwrap();
    }
    let said = cis.run(["store", "check"]).expect(3).stdout;
    assert!(said.contains(&run) && said.contains("has lost its newest events"), "{said}");
    assert!(said.contains("store restore"), "{said}");
    cis.ok(["dag", "list"]);
    // The warning stays.
    cis.ok(["node", "stop"]);
    cis.ok(["node", "start", "--detach"]);
    let warnings = eventually("it is found out", || {
        let warnings = cis.status()["warnings"].to_string();
        warnings.contains(&run).then_some(warnings)
    });
    assert!(!warnings.contains("store check"), "{warnings}");
    cis.ok(["node", "stop", "--kill-sessions"]);
    let said = cis.ok(["store", "rebuild"]);
    assert!(said.contains(&run) && !said.contains("Nothing is lost"), "{said}");
    cis.ok(["store", "check"]);
}

#[test]
fn a_command_says_that_it_waits_for_a_backup_or_a_cleaning() {
    let cis = Cis::new();
    cis.ok(["dag", "list"]);
    cis.stop();
    cis.ok(["store", "gc"]);
    let lock = File::open(cis.home().join("upkeep.lock")).unwrap();
    lock.lock_shared().unwrap();
    cis.ok(["store", "gc", "--dry-run"]);
    let cleaning = cis.spawn(["store", "gc"]);
    cleaning.wait_for_note("waiting until it has ended");
    lock.unlock().unwrap();
    cleaning.wait().expect(0);
    lock.lock().unwrap();
    let saving = cis.spawn(["store", "backup", "x.tar"]);
    saving.wait_for_note("waiting until it has ended");
    lock.unlock().unwrap();
    saving.wait().expect(0);
}

#[test]
fn a_home_on_a_read_only_disk_can_be_saved() {
    let cis = Cis::new();
    let Some(mounted) = Mounted::at(&cis.home(), "64m") else { return };
    let run = cis.start(&many(3));
    cis.session_of("gate");
    kill_9_at_once([cis.node_pid().unwrap(), cis.host_pid().unwrap()]);
    eventually("both are gone", || cis.node_pid().is_none().then_some(()));
    mounted.read_only(true);
    let said = cis.run(["node", "start", "--detach"]).expect(3).stderr;
    assert!(said.contains("cis store backup FILE") && said.contains(cis.home().to_str().unwrap()), "{said}");
    let said = cis.run(["node", "start"]).expect(3).stderr;
    assert!(said.contains("is read-only") && said.contains(cis.home().to_str().unwrap()), "{said}");
    for name in ["one.tar", "two.tar"] {
        backup(&cis, name);
        mounted.read_only(false);
        let _ = fs::remove_file(cis.home().join("upkeep.lock"));
        mounted.read_only(true);
    }
    let other = Cis::new();
    for name in ["one.tar", "two.tar"] {
        other.ok(["store", "restore", "--force", cis.work().join(name).to_str().unwrap()]);
        other.run(["store", "check", "--deep"]).expect(0);
    }
    cis.write("open", "");
    other.write("open", "");
    other.wait_run(&run, "succeeded");
}

#[test]
fn a_refused_or_interrupted_restore_says_so_and_leaves_nothing_new() {
    let cis = Cis::new();
    cis.write("no.tar", "password = hunter2\n".repeat(200));
    let new = cis.work().join("new");
    let said = cis.run(["--home", new.to_str().unwrap(), "store", "restore", "no.tar"]).expect(2);
    assert!(said.stderr.contains("not a tar archive") && !said.stderr.contains("hunter2"), "{said:?}");
    assert!(!new.exists());
    fs::create_dir_all(cis.home().join(".restoring-01JD0V3Z8K6T9W2B5N7Q4R1XEC/logs")).unwrap();
    for words in [&["store", "check"][..], &["node", "start", "--detach"]] {
        let said = cis.run(words).expect(3);
        assert!(said.stderr.contains("a restore was interrupted"), "{said:?}");
    }
    assert!(!cis.home().join("cis.db").exists());
}

#[test]
fn a_backup_that_has_no_place_says_where() {
    let cis = Cis::new();
    cis.ok(["dag", "list"]);
    cis.stop();
    let mut closed = cis.program("sh");
    closed.args(["-c", "exec \"$0\" store backup - >&-"]).arg(cis.binary());
    let said = closed.output().unwrap();
    let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(2) && stderr.contains("standard output is closed"), "{stderr}");
    let small = cis.work().join("small");
    let Some(_mounted) = Mounted::at(&small, "64k") else { return };
    let said = cis.run(["store", "backup", "small/x.tar"]).expect(3);
    assert!(said.stderr.contains("small") && !said.stderr.contains("store gc"), "{said:?}");
}

#[test]
fn a_check_counts_what_a_rebuild_saves_and_names_a_missing_dag_file() {
    let cis = Cis::new();
    let run = cis.start(&ended("kept"));
    cis.wait_run(&run, "succeeded");
    cis.stop();
    for file in files_below(&cis.home().join("blobs")) {
        fs::remove_file(file).unwrap();
    }
    let said = cis.run(["store", "check", "--deep"]).expect(3).stdout;
    assert!(said.contains("its DAG file") && !said.contains("secrets of the run is missing"), "{said}");
    let database = File::options().write(true).open(cis.home().join("cis.db")).unwrap();
    let length = database.metadata().unwrap().len();
    database.set_len(length / 4096 * 9 / 10 * 4096).unwrap();
    let checked = cis.run(["store", "check", "--json"]).expect(3).json();
    let rebuilt = cis.json(&["store", "rebuild"]);
    assert!(checked["events"].as_u64().unwrap() > 0, "{checked}");
    assert_eq!(checked["events"], rebuilt["events"], "{checked} {rebuilt}");
}
