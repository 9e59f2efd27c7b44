//! Cleanings and restores that are killed at any moment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::harness::{Cis, kill_9, pause};
use super::storage::{entries_below, files_below};
use super::upkeep::{age, many};

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
        text.push_str(&format!(
            "[[tasks]]\nid = \"t{n}\"\nartifacts = [\"w{n}\"]\nscript = 'echo round {round}; seq {n} 2000 > w{n}; echo {round} >> w{n}'\n"
        ));
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
