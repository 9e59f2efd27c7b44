//! Many short tasks go ahead of their turn; nobody may see that but by its speed.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::{Cis, eventually, kill_9, ulid_in};

/// Short ones first, so that the run is a fast one when the others come; each notes how many run with it.
fn file(short: u32, long: u32) -> String {
    let mut text =
        "version = 1\n[dag]\nid = \"ahead\"\nmax_parallel = 2\n[dag.defaults]\ntty = false\n".to_owned();
    for n in 0..short {
        text.push_str(&format!("[[tasks]]\nid = \"s{n}\"\nscript = \"{COUNT}\"\n"));
    }
    for n in 0..long {
        text.push_str(&format!(
            "[[tasks]]\nid = \"l{n}\"\nscript = \"{COUNT}; echo $CIS_ATTEMPT >> $E2E_WORK/begun; while [ ! -e $E2E_WORK/open ]; do sleep 0.05; done\"\n"
        ));
    }
    text
}

/// Directories are made and removed in one step, so a count of them is never too high.
const COUNT: &str = "mkdir $E2E_WORK/now/$CIS_TASK_ID; ls $E2E_WORK/now | wc -l >> $E2E_WORK/most; rmdir $E2E_WORK/now/$CIS_TASK_ID";

fn start(cis: &Cis, text: &str) -> String {
    std::fs::create_dir(cis.work().join("now")).unwrap();
    let file = cis.write("ahead.toml", text);
    ulid_in(&cis.ok(["dag", "run", "--detach", file.to_str().unwrap()]))
}

fn states(cis: &Cis, run: &str, wanted: &str) -> usize {
    let detail = cis.show(run);
    let tasks = detail["tasks"].as_array().unwrap();
    tasks.iter().filter(|task| task["state"] == wanted).count()
}

#[test]
fn tasks_that_turn_out_long_are_seen_where_they_wait_and_each_starts_once() {
    let cis = Cis::new();
    let run = start(&cis, &file(60, 12));
    eventually("two long ones have begun", || (cis.read("begun").lines().count() == 2).then_some(()));
    // What was sent ahead comes back within the moment for which nobody sees it.
    eventually("two run and ten wait", || {
        (states(&cis, &run, "running") == 2 && states(&cis, &run, "queued") == 10).then_some(())
    });
    let detail = cis.show(&run);
    let waiting = detail["tasks"].as_array().unwrap().iter().filter(|task| task["state"] == "queued");
    assert!(waiting.clone().all(|task| task["attempts"] == 0), "{:?}", waiting.collect::<Vec<_>>());
    assert_eq!(cis.read("begun").lines().count(), 2, "no more than max_parallel");
    cis.write("open", "");
    cis.wait_run(&run, "succeeded");
    let most: Vec<u32> = cis.read("most").lines().map(|n| n.trim().parse().unwrap()).collect();
    assert_eq!(most.len(), 72, "each of them once");
    assert!(most.iter().all(|n| *n <= 2), "{most:?}");
    let begun = cis.read("begun");
    assert!(begun.lines().all(|attempt| attempt.ends_with("#1")), "{begun}");
}

#[test]
fn a_pause_in_a_fast_run_holds_and_nothing_is_lost() {
    let cis = Cis::new();
    let run = start(&cis, &file(400, 0));
    eventually("it is under way", || (cis.read("most").lines().count() > 100).then_some(()));
    cis.ok(["dag", "pause", &run]);
    eventually("what had begun has ended, and all the others wait", || {
        (cis.read("most").lines().count() + states(&cis, &run, "queued") == 400).then_some(())
    });
    let after = cis.read("most").lines().count();
    assert!(after < 400, "it was over before the pause");
    assert_eq!((cis.show(&run)["run"]["state"].as_str(), states(&cis, &run, "running")), (Some("paused"), 0));
    cis.run(["dag", "resume", &run]).expect(0);
    cis.wait_run(&run, "succeeded");
    assert_eq!(cis.read("most").lines().count(), 400, "each of them once");
}

#[test]
fn a_fast_run_can_be_cancelled() {
    let cis = Cis::new();
    let run = start(&cis, &file(1000, 0));
    eventually("it is under way", || (cis.read("most").lines().count() > 100).then_some(()));
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    let ran = cis.read("most").lines().count();
    assert_eq!(states(&cis, &run, "succeeded") + states(&cis, &run, "cancelled"), 1000);
    assert!(ran < 1000 && ran >= states(&cis, &run, "succeeded"), "{ran} ran");
}

#[test]
fn the_end_of_a_run_takes_nothing_from_another_of_the_same_environment() {
    let cis = Cis::new();
    let run = start(&cis, &file(600, 0));
    eventually("it is under way", || (cis.read("most").lines().count() > 60).then_some(()));
    let short =
        "version = 1\n[dag]\nid = \"short\"\n[[tasks]]\nid = \"a\"\ntty = false\ncommand = [\"true\"]\n";
    let mut beside = 0;
    while cis.read("most").lines().count() < 500 {
        cis.dag(short, &[]).expect(0);
        beside += 1;
    }
    cis.wait_run(&run, "succeeded");
    assert!(beside > 0);
}

/// Notes when a try begins and ends, and at which host.
const NOTED: &str =
    "echo b $CIS_ATTEMPT $PPID >> $E2E_WORK/notes; echo e $CIS_ATTEMPT $PPID >> $E2E_WORK/notes";

fn noted(tasks: u32) -> String {
    file(tasks, 0).replace(COUNT, NOTED)
}

/// How often each task ended, after it was seen that each try began once, and never more at once than may.
fn ends(notes: &str) -> BTreeMap<String, usize> {
    let (mut begun, mut ends) = (BTreeSet::new(), BTreeMap::new());
    let host_of = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_owned();
    let last = notes.lines().last().map(host_of);
    let mut alive: BTreeMap<bool, i32> = BTreeMap::new();
    for line in notes.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        // The sessions of a host that is gone are gone before the next one begins any. One of them may
        // have looked for its parent when that was gone already.
        let now = alive.entry(last.as_deref() == Some(words[2])).or_default();
        if words[0] == "b" {
            *now += 1;
            assert!(begun.insert(words[1]), "{} began twice", words[1]);
            assert!(*now <= 2, "more than max_parallel at {line}");
        } else {
            *now -= 1;
            let task = words[1].rsplit_once('#').unwrap().0.rsplit_once(':').unwrap().1;
            *ends.entry(task.to_owned()).or_default() += 1;
        }
    }
    ends
}

fn noted_more_than(cis: &Cis, lines: usize) {
    eventually("it is under way", || (cis.read("notes").lines().count() > lines).then_some(()));
}

#[test]
fn a_node_that_is_killed_again_and_again_loses_nothing_that_waits_and_runs_nothing_twice() {
    let cis = Cis::new();
    let run = start(&cis, &noted(1200));
    for lines in [150, 700, 1200] {
        noted_more_than(&cis, lines);
        let node = cis.node_pid().unwrap();
        kill_9(node);
        eventually("the host has started another node", || cis.node_pid().filter(|pid| *pid != node));
    }
    cis.wait_run(&run, "succeeded");
    let notes = cis.read("notes");
    let ends = ends(&notes);
    assert_eq!((ends.len(), notes.lines().count()), (1200, 2400), "each of them once");
    assert!(notes.lines().all(|line| line.contains("#1 ")), "what was taken back is the same try");
}

#[test]
fn a_host_that_is_killed_takes_what_waits_with_it_and_nothing_that_had_ended_runs_again() {
    let cis = Cis::new();
    let run = start(&cis, &noted(600));
    noted_more_than(&cis, 300);
    let before = cis.show(&run);
    let host = cis.host_pid().unwrap();
    kill_9(host);
    let after = cis.wait_run(&run, "succeeded");
    let notes = cis.read("notes");
    let (from_old, from_new) = (format!(" {host}"), format!(" {}", cis.host_pid().unwrap()));
    let told_by = |host: &str| notes.lines().any(|line| line.ends_with(host));
    assert!(
        told_by(&from_old) && told_by(&from_new) && from_old != from_new,
        "the run went on at another host"
    );
    let ends = ends(&notes);
    assert_eq!(ends.len(), 600, "nothing is lost");
    let of = |detail: &serde_json::Value, ended: bool| -> BTreeMap<String, u64> {
        let tasks = detail["tasks"].as_array().unwrap().iter();
        let tasks = tasks.filter(|task| !ended || task["state"] == "succeeded");
        tasks
            .map(|task| (task["id"].as_str().unwrap().to_owned(), task["attempts"].as_u64().unwrap()))
            .collect()
    };
    let tries = of(&after, false);
    for (task, count) in &ends {
        assert!(*count as u64 <= tries[task], "{task} ended {count} times in {} tries", tries[task]);
    }
    for task in of(&before, true).keys() {
        assert_eq!((ends[task], tries[task]), (1, 1), "{task} had ended");
    }
}
