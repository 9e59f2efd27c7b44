//! Every way to end a session, with every reaction of a program: the resulting state of its task and of dependent
//! tasks.

use super::harness::{Cis, eventually, is_alive};

/// Reactions of a program to SIGTERM: name and shell text. All of them then wait without using the processor.
const REACTIONS: [(&str, &str); 5] = [
    ("exit-0", "trap 'exit 0' TERM"),
    ("exit-7", "trap 'exit 7' TERM"),
    ("signal", ":"),
    ("ignores", "trap '' TERM HUP"),
    ("forks", "trap 'setsid sleep 301 & exit 0' TERM"),
];

/// A task for each reaction, each with a task that needs it. `{}` in `waits` is the name of the task.
fn dag(of_dag: &str, keys: &str, waits: &str) -> String {
    let mut text = format!(
        "version = 1\n[dag]\nid = \"ended\"\nmax_parallel = 20\n{of_dag}\n[dag.defaults]\ntty = false\ngrace = \"300ms\"\n"
    );
    for (name, reaction) in REACTIONS {
        let waits = waits.replace("{}", name);
        text.push_str(&format!(
            "[[tasks]]\nid = \"{name}\"\n{keys}\nscript = '''\n{reaction}\necho x >> \"$E2E_WORK/ran-{name}\"\n{waits}\n'''\n"
        ));
        text.push_str(&format!(
            "[[tasks]]\nid = \"after-{name}\"\nneeds = [\"{name}\"]\nscript = 'touch \"$E2E_WORK/after-{name}\"'\n"
        ));
    }
    text
}

const SLEEPS: &str = "while :; do sleep 300 & wait $!; done";

fn started(cis: &Cis, text: &str) -> String {
    let run = cis.start(text);
    for (name, _) in REACTIONS {
        eventually(&format!("{name} runs"), || (!cis.read(&format!("ran-{name}")).is_empty()).then_some(()));
    }
    run
}

/// Checks that all five tasks are in this state for this reason, and whether the tasks that need them ran.
#[track_caller]
fn all_are(cis: &Cis, run: &str, state: &str, reason: &str, after_ran: bool) {
    for (name, _) in REACTIONS {
        let task = cis.task(run, name);
        assert_eq!(task["state"], state, "{name}: {task}");
        let said = task["reason"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{name}: {said:?} instead of {reason:?}");
        let after = cis.task(run, &format!("after-{name}"));
        assert_eq!(cis.work().join(format!("after-{name}")).exists(), after_ran, "{name}: {after}");
        assert_eq!(after["state"], if after_ran { "succeeded" } else { "cancelled" }, "{name}: {after}");
    }
    let left: Vec<_> =
        cis.processes().into_iter().filter(|process| process.command.contains("sleep 30")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn times_run(cis: &Cis) -> [usize; 5] {
    REACTIONS.map(|(name, _)| cis.read(&format!("ran-{name}")).lines().count())
}

#[test]
fn killed_tasks_are_cancelled() {
    let cis = Cis::new();
    let run = started(&cis, &dag("", "", SLEEPS));
    let kills: Vec<_> = REACTIONS.iter().map(|(name, _)| cis.spawn(["dag", "kill", *name])).collect();
    kills.into_iter().for_each(|kill| drop(kill.wait().expect(0)));
    cis.wait_run(&run, "cancelled");
    all_are(&cis, &run, "cancelled", "killed", false);
}

#[test]
fn tasks_of_a_cancelled_run_are_cancelled_and_run_again_with_retry() {
    let cis = Cis::new();
    let run = started(&cis, &dag("", "", SLEEPS));
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
    all_are(&cis, &run, "cancelled", "cancelled", false);
    cis.ok(["dag", "retry", &run, "--failed"]);
    eventually("all run again", || (times_run(&cis) == [2; 5]).then_some(()));
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

#[test]
fn tasks_that_take_too_long_fail() {
    let cis = Cis::new();
    let run = started(&cis, &dag("", "timeout = \"3s\"", SLEEPS));
    cis.wait_run(&run, "failed");
    all_are(&cis, &run, "failed", "timed out after 3.0s", false);
}

#[test]
fn idle_tasks_fail() {
    let cis = Cis::new();
    let run = started(&cis, &dag("", "idle = \"2s\"", SLEEPS));
    cis.wait_run(&run, "failed");
    all_are(&cis, &run, "failed", "was idle for 2.0s", false);
}

#[test]
fn a_result_that_is_handed_in_after_a_limit_does_not_count() {
    let cis = Cis::new();
    let mut text = "version = 1\n[dag]\nid = \"late\"\nmax_parallel = 8\n".to_owned();
    let limits = [("timeout", "timed out after 2.0s"), ("idle", "was idle for 2.0s")];
    let tasks: Vec<_> = limits.into_iter().flat_map(|limit| [(limit, true), (limit, false)]).collect();
    for ((limit, _), tty) in &tasks {
        text.push_str(&format!(
            "[[tasks]]\nid = \"{limit}-{tty}\"\ntty = {tty}\n{limit} = \"2s\"\ngrace = \"60s\"\nscript = '''\n\
             trap '\"$E2E_CIS\" task complete --text done > \"$E2E_WORK/{limit}-{tty}\"; exit 0' TERM\n{SLEEPS}\n'''\n\
             [[tasks]]\nid = \"after-{limit}-{tty}\"\nneeds = [\"{limit}-{tty}\"]\ncommand = [\"true\"]\n"
        ));
    }
    let run = cis.start(&text);
    cis.wait_run(&run, "failed");
    for ((limit, reason), tty) in tasks {
        let name = format!("{limit}-{tty}");
        assert!(cis.work().join(&name).exists(), "it handed in its result");
        let task = cis.task(&run, &name);
        assert_eq!(task["state"], "failed", "{task}");
        assert!(task["reason"].as_str().unwrap_or_default().contains(reason), "{task}");
        assert_eq!(cis.task(&run, &format!("after-{name}"))["state"], "cancelled");
    }
}

#[test]
fn tasks_of_a_run_that_takes_too_long_are_cancelled() {
    let cis = Cis::new();
    let run = started(&cis, &dag("timeout = \"4s\"", "", SLEEPS));
    cis.wait_run(&run, "failed");
    all_are(&cis, &run, "cancelled", "took longer than its timeout", false);
}

/// Waits for an answer, and handles signals meanwhile.
const ASKS: &str = "\"$E2E_CIS\" task ask 'Go on with {}?' --option yes & wait $!";

#[test]
fn tasks_that_are_skipped_when_they_wait_are_skipped() {
    let cis = Cis::new();
    let run = started(&cis, &dag("", "on_blocked = { action = \"skip\" }", ASKS));
    cis.wait_run(&run, "succeeded");
    all_are(&cis, &run, "completed", "skipped", true);
}

#[test]
fn tasks_that_fail_when_they_wait_fail() {
    let cis = Cis::new();
    let run = started(&cis, &dag("", "on_blocked = { action = \"fail\" }", ASKS));
    cis.wait_run(&run, "failed");
    all_are(&cis, &run, "failed", "Go on with", false);
}

#[test]
fn tasks_that_end_with_their_host_run_again() {
    let cis = Cis::new();
    let run = started(&cis, &dag("", "", SLEEPS));
    cis.stop();
    eventually("nothing is left", || cis.processes().is_empty().then_some(()));
    assert_eq!(cis.show(&run)["run"]["state"], "running");
    eventually("all run again", || (times_run(&cis) == [2; 5]).then_some(()));
    for (name, _) in REACTIONS {
        assert_eq!(cis.task(&run, name)["attempts"], 2, "{name}");
    }
    cis.ok(["dag", "cancel", &run]);
    cis.wait_run(&run, "cancelled");
}

#[test]
fn tasks_that_ended_before_the_kill_keep_their_result() {
    let cis = Cis::new();
    // Their leftover processes have a long time to end, and the tasks are told to end meanwhile.
    let mut text =
        "version = 1\n[dag]\nid = \"late\"\n[dag.defaults]\ntty = false\ngrace = \"1m\"\nretries = 3\n"
            .to_owned();
    for (name, code) in [("good", 0), ("bad", 7)] {
        text.push_str(&format!(
            "[[tasks]]\nid = \"{name}\"\nscript = '''\nsetsid sh -c 'trap \"\" TERM HUP; echo x > \"$E2E_WORK/left-{name}\"; while :; do sleep 0.05; done' &\nwhile [ ! -e \"$E2E_WORK/left-{name}\" ]; do sleep 0.05; done\necho $$ > \"$E2E_WORK/ended-{name}\"\nexit {code}\n'''\n"
        ));
    }
    text.push_str("[[tasks]]\nid = \"after\"\nneeds = [\"good\"]\nscript = 'touch \"$E2E_WORK/after\"'\n");
    let run = cis.start(&text);
    for name in ["good", "bad"] {
        eventually(&format!("{name} has ended"), || {
            let pid = cis.read(&format!("ended-{name}")).trim().parse().ok()?;
            (!is_alive(pid)).then_some(())
        });
        cis.ok(["dag", "kill", name, "--grace", "100ms"]);
    }
    cis.wait_run(&run, "cancelled");
    assert_eq!(cis.task(&run, "good")["state"], "succeeded");
    let bad = cis.task(&run, "bad");
    assert_eq!((&bad["state"], &bad["attempts"]), (&"cancelled".into(), &1.into()), "{bad}");
    assert_eq!(bad["exit_code"], 7, "{bad}");
    assert!(cis.work().join("after").exists());
}
