//! A disk without a free byte, and no running node: existing data is still shown, cleaning makes room, and work
//! continues by itself.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::harness::{Cis, LONG, eventually, eventually_or, is_alive, kill_9, ulid_in};
use super::storage::{Mounted, fill};

/// Leaves 4 MB of log.
const LOUD: &str = "version = 1\n[dag]\nid = \"loud\"\n[[tasks]]\nid = \"a\"\ntty = false\nscript = 'yes | head -c 4000000'\n";
const TRUE: &str = "version = 1\n[dag]\nid = \"true\"\n[[tasks]]\nid = \"a\"\ncommand = [\"true\"]\n";

fn free_bytes(home: &Path) -> u64 {
    let disk = rustix::fs::statvfs(home).unwrap();
    disk.f_bavail * disk.f_frsize
}

/// Makes a home on a disk of its own with one ended run. Returns the run.
fn full(cis: &Cis) -> Option<(Mounted, String)> {
    let mounted = Mounted::at(&cis.home(), "24m")?;
    cis.dag(LOUD, &[]).expect(0);
    let run = cis.json(&["dag", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    cis.stop();
    Some((mounted, run))
}

fn fill_up(cis: &Cis) {
    // SQLite removes this file with the last connection and makes it with the next one; a process that ends without
    // closing leaves it behind.
    let _ = fs::remove_file(cis.home().join("cis.db-shm"));
    fill(&cis.home().join("ballast"));
    assert_eq!(free_bytes(&cis.home()), 0);
}

#[test]
fn a_full_disk_without_a_node_is_cleaned() {
    let cis = Cis::new();
    let Some((_mounted, run)) = full(&cis) else { return };
    assert!(cis.home().join("disk-reserve").exists());
    fill_up(&cis);
    assert_eq!(cis.json(&["store", "gc", "--older-than", "1ms", "--dry-run"])["runs"], 1);
    assert_eq!(free_bytes(&cis.home()), 0, "only looking takes nothing");
    let report = cis.json(&["store", "gc", "--older-than", "1ms"]);
    assert!(report["log_bytes"].as_u64().unwrap() >= 4_000_000, "{report}");
    assert!(report["failed"].as_array().is_none_or(Vec::is_empty), "{report}");
    assert!(cis.home().join("disk-reserve").exists(), "what was released is taken back");
    cis.ok(["store", "check"]);
    cis.dag(TRUE, &[]).expect(0);
    let said = cis.run(["dag", "logs", "--run", &run, "a"]);
    let said = format!("{}{}", said.stdout, said.stderr);
    assert!(said.contains("was removed"), "{said}");
    cis.stop();
}

#[test]
fn a_full_disk_without_a_reserve_is_cleaned() {
    let cis = Cis::new();
    let Some((_mounted, _)) = full(&cis) else { return };
    fs::remove_file(cis.home().join("disk-reserve")).unwrap();
    fill_up(&cis);
    let report = cis.json(&["store", "gc", "--older-than", "1ms"]);
    assert!(report["log_bytes"].as_u64().unwrap() >= 4_000_000, "{report}");
    cis.ok(["store", "check"]);
    cis.dag(TRUE, &[]).expect(0);
    cis.stop();
    fs::remove_file(cis.home().join("ballast")).unwrap();
    cis.ok(["dag", "list"]);
    assert!(cis.home().join("disk-reserve").exists(), "it is made again where there is room");
    cis.stop();
}

/// Checks what a node on a full disk must answer and what it must refuse.
fn reads_and_says_so(cis: &Cis, run: &str) {
    assert!(cis.ok(["dag", "list"]).contains("loud"));
    assert!(cis.ok(["dag", "show", run]).contains("succeeded"));
    cis.ok(["dag", "why", "--run", run, "a"]);
    assert!(cis.ok(["dag", "logs", "--run", run, "a"]).contains('y'));
    for command in [["node", "status"], ["status", "--json"]] {
        let said = cis.ok(command);
        assert!(said.contains("no space left") && said.contains("cis store gc"), "{command:?}: {said}");
    }
    let doctor = cis.run(["doctor"]);
    assert!(doctor.stdout.contains("no space left"), "{}", doctor.stdout);
    let refused = cis.dag(TRUE, &[]).expect(3);
    assert!(
        refused.stderr.contains("no space left") && refused.stderr.contains("cis store gc"),
        "{}",
        refused.stderr
    );
}

/// Checks that a node that was read-only is an ordinary one again: it writes, and other processes can read
/// its database.
fn is_ordinary(cis: &Cis, pid: u32) {
    let look = || {
        // While it restarts it does not answer.
        let out = cis.run(["node", "status", "--json"]);
        let status = if out.code == Some(0) { out.json() } else { return None };
        let ordinary = status["warnings"].as_array().is_none_or(Vec::is_empty)
            && cis.run(["store", "check"]).code == Some(0);
        (ordinary && status["pid"].as_u64() == Some(u64::from(pid))).then_some(())
    };
    eventually_or(LONG, look, || {
        let (status, store) = (cis.run(["node", "status", "--json"]), cis.run(["store", "check"]));
        format!("node {pid} is as any other: {status:?}, {store:?}")
    });
    cis.dag(TRUE, &[]).expect(0);
}

#[test]
fn a_node_on_a_full_disk_reads_and_becomes_ordinary_when_there_is_room() {
    let cis = Cis::new();
    let Some((_mounted, run)) = full(&cis) else { return };
    fill_up(&cis);
    cis.ok(["node", "start", "--detach"]);
    reads_and_says_so(&cis, &run);
    assert_eq!(free_bytes(&cis.home()), 0);
    let pid = cis.node_pid().unwrap();
    fs::remove_file(cis.home().join("ballast")).unwrap();
    is_ordinary(&cis, pid);
    cis.stop();
    // Space that comes and goes restarts it once a minute at most.
    fill_up(&cis);
    cis.ok(["node", "start", "--detach"]);
    fs::remove_file(cis.home().join("ballast")).unwrap();
    stays_alone(&cis);
    cis.stop();
}

/// The node keeps other processes from its database, although there is space.
fn stays_alone(cis: &Cis) {
    let pid = cis.node_pid().unwrap();
    // It looks every 2 s.
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        let said = cis.run(["store", "check"]);
        assert!(said.stderr.contains("in use"), "{said:?}");
    }
    assert_eq!(cis.node_pid(), Some(pid));
    cis.dag(TRUE, &[]).expect(0);
}

#[test]
fn a_node_does_not_restart_where_space_is_of_no_use_to_it() {
    let cis = Cis::new();
    let Some((_mounted, _)) = full(&cis) else { return };
    fill_up(&cis);
    cis.ok(["node", "start", "--detach"]);
    // No other process could open a database here.
    fs::create_dir(cis.home().join("room.db")).unwrap();
    fs::remove_file(cis.home().join("ballast")).unwrap();
    stays_alone(&cis);
    cis.stop();
}

#[test]
fn a_node_that_was_killed_starts_on_a_full_disk_and_is_cleaned_through_it() {
    let cis = Cis::new();
    let Some((_mounted, _)) = full(&cis) else { return };
    let open = cis.start_task("a", "script = 'while [ ! -e \"$E2E_WORK/open\" ]; do sleep 0.05; done'");
    cis.session_of("a");
    // The host is killed first, because it would start a new node at once. The content of the write-ahead log
    // stays there.
    let (node, host) = (cis.node_pid().unwrap(), cis.host_pid().unwrap());
    kill_9(host);
    kill_9(node);
    eventually("both are gone", || (!is_alive(node) && !is_alive(host)).then_some(()));
    fill_up(&cis);
    cis.ok(["node", "start", "--detach"]);
    assert_eq!(cis.show(&open)["run"]["state"], "running");
    let pid = cis.node_pid().unwrap();
    let report = cis.json(&["store", "gc", "--older-than", "1ms"]);
    assert!(report["log_bytes"].as_u64().unwrap() >= 4_000_000, "{report}");
    cis.write("open", "");
    cis.wait_run(&open, "succeeded");
    assert!(cis.home().join("ballast").exists(), "only the cleaning made room");
    fs::remove_file(cis.home().join("ballast")).unwrap();
    is_ordinary(&cis, pid);
    cis.stop();
}

/// Fills the disk with what it prints and writes, until it is ended, or for some minutes where a test is broken off.
const FILLS: &str = r#"
version = 1
[dag]
id = "fills"
[dag.defaults]
tty = false
[[tasks]]
id = "fills"
script = '''
while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done
for n in $(seq 100000); do head -c 65536 /dev/zero >> "$CIS_HOME/ballast"; head -c 1 /dev/zero >> "$CIS_HOME/ballast"; done
'''
[[tasks]]
id = "ends"
script = 'while [ ! -e "$E2E_WORK/end" ]; do sleep 0.05; done'
[[tasks]]
id = "after"
needs = ["fills"]
script = 'touch "$E2E_WORK/after"'
"#;

const TWO: &str = r#"
version = 1
[dag]
id = "two"
max_parallel = 1
[[tasks]]
id = "first"
script = "sleep 300"
[[tasks]]
id = "second"
script = 'touch "$E2E_WORK/second"'
"#;

#[test]
fn a_task_that_fills_the_disk_can_be_ended() {
    for cancels in [false, true] {
        let cis = Cis::new();
        let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
        let run = cis.start(FILLS);
        cis.session_of("fills");
        cis.session_of("ends");
        assert!(cis.home().join("disk-reserve").exists());
        cis.write("open", "");
        eventually("the disk is full", || (free_bytes(&cis.home()) == 0).then_some(()));
        cis.write("end", "");
        eventually("nothing can be recorded", || {
            cis.ok(["node", "status"]).contains("nothing starts").then_some(())
        });
        let command: &[&str] = if cancels { &["dag", "cancel", &run] } else { &["dag", "kill", "fills"] };
        cis.ok(command);
        cis.wait_task(&run, "fills", "cancelled");
        assert_eq!(cis.task(&run, "ends")["state"], "succeeded", "it ended before");
        assert!(!cis.work().join("after").exists());
        fs::remove_file(cis.home().join("ballast")).unwrap();
        cis.run(["dag", "cancel", &run]);
        cis.wait_run(&run, "cancelled");
        cis.stop();
    }
}

/// The sessions are ended at once; that the run is cancelled is not forgotten with the node.
#[test]
fn a_cancel_that_could_not_be_recorded_outlives_the_node() {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let run = cis.start(TWO);
    let pid = u32::try_from(cis.session_of("first")["pid"].as_u64().unwrap()).unwrap();
    fs::remove_file(cis.home().join("disk-reserve")).unwrap();
    fill(&cis.home().join("ballast"));
    let cancel = cis.spawn(["dag", "cancel", &run]);
    eventually("its session is ended", || (!is_alive(pid)).then_some(()));
    kill_9(cis.node_pid().unwrap());
    cancel.wait();
    fs::remove_file(cis.home().join("ballast")).unwrap();
    cis.wait_run(&run, "cancelled");
    assert!(!cis.work().join("second").exists(), "nothing starts in a cancelled run");
    let history = cis.ok(["dag", "history", &run]);
    assert!(history.contains("cancel") && history.contains("uid:"), "{history}");
}

#[test]
fn a_standalone_session_that_fills_the_disk_can_be_ended() {
    let cis = Cis::new();
    let Some(_mounted) = Mounted::at(&cis.home(), "24m") else { return };
    let script = r#"
echo $$ > "$E2E_WORK/new"; mv "$E2E_WORK/new" "$E2E_WORK/alone"
while [ ! -e "$E2E_WORK/open" ]; do sleep 0.05; done
for n in $(seq 100000); do head -c 65536 /dev/zero >> "$CIS_HOME/ballast"; head -c 1 /dev/zero >> "$CIS_HOME/ballast"; done
"#;
    let alone = ulid_in(&cis.ok(["session", "create", "--", "sh", "-c", script]));
    let pid = eventually("it runs", || cis.read("alone").trim().parse().ok());
    let ends = "script = 'while [ ! -e \"$E2E_WORK/end\" ]; do sleep 0.05; done'";
    let run = cis.start(&format!("version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"ends\"\n{ends}\n"));
    cis.session_of("ends");
    let follows = cis.spawn(["dag", "execute", "--run-id", &run]);
    cis.write("open", "");
    eventually("the disk is full", || (free_bytes(&cis.home()) == 0).then_some(()));
    cis.write("end", "");
    eventually("nothing can be recorded", || {
        cis.ok(["node", "status"]).contains("nothing starts").then_some(())
    });
    follows.wait_for_note("Warning of the node: ");
    cis.ok(["session", "terminate", &alone]);
    eventually("the session has ended", || (!is_alive(pid)).then_some(()));
    cis.wait_task(&run, "ends", "succeeded");
    follows.wait().expect(0);
    fs::remove_file(cis.home().join("ballast")).unwrap();
    cis.stop();
}

#[test]
fn a_backup_to_another_disk_needs_no_space_in_the_home_of_a_node() {
    let cis = Cis::new();
    let Some((_mounted, run)) = full(&cis) else { return };
    cis.ok(["node", "start", "--detach"]);
    fill(&cis.home().join("ballast"));
    let file = cis.work().join("home.tar");
    cis.ok(["store", "backup", file.to_str().unwrap()]);
    let other = Cis::new();
    other.run(["store", "restore", file.to_str().unwrap()]).expect(0);
    assert_eq!(other.show(&run)["run"]["state"], "succeeded");
    other.stop();
    let left: Vec<_> = fs::read_dir(cis.work()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
    cis.stop();
}

/// The home is the node's: a task cannot fail by it, and `allow_failure` has nothing to allow.
#[test]
fn a_home_without_a_place_for_logs_lets_tasks_wait() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let logs = cis.home().join("logs");
    let _ = fs::remove_dir_all(&logs);
    fs::write(&logs, "").unwrap();
    let task = "script = 'echo ran > \"$E2E_WORK/ran\"'\nallow_failure = true\nretries = 1\n";
    let run = cis.start(&format!("version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"a\"\n{task}"));
    eventually("it says what it waits for", || {
        let why = cis.ok(["dag", "why", "a", "--run", &run]);
        why.contains("cannot make the log directory").then_some(())
    });
    assert_eq!(cis.task(&run, "a")["state"], "queued");
    fs::remove_file(&logs).unwrap();
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("ran").trim(), "ran");
    cis.stop();
}
