//! What `cis dag why` says.

use super::bench::*;
use crate::dag::{Dag, Task, Trigger};
use crate::event::PromptKind;
use crate::ids::InboxId;
use crate::scheduler::{InputKind, Rejected};

fn why(bench: &Bench, task: &str) -> Vec<String> {
    let view = bench.machine.why(&run_id(1), &id(task), bench.now).unwrap();
    let (run, short) = (run_id(1).to_string(), format!("--run {}", run_id(1).short()));
    let tries = view
        .try_this
        .into_iter()
        .map(|line| format!("$ {}", line.replace(&run, "RUN").replace(&short, "--run SHORT")));
    view.because.into_iter().chain(tries).collect()
}

#[test]
fn of_a_task_that_waits_for_its_needs() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a"), task("b"), task("c: a b"), when(Trigger::OneFailed, "d: a b")]), 1);
    assert_eq!(why(&bench, "c"), ["2 of its 2 needs have not ended: `a` (running), `b` (queued)."]);
    bench.now += 12_000;
    assert_eq!(why(&bench, "b"), ["All slots of max_parallel = 1 are taken: `a` (for 12s)."]);
    bench.blocks("a", 1);
    let item = InboxId::of_prompt(session(1), 1);
    bench.now += 3000;
    assert_eq!(
        why(&bench, "d"),
        [
            "2 of its 2 needs have not ended: `a` (running and waits for a human for 3.0s (question)), `b` (running).",
            "It runs only when one of its needs fails.",
            &format!("$ cis answer {item} --text TEXT"),
            &format!("$ cis dag attach {}", session(1))
        ]
    );
    assert_eq!(
        why(&bench, "a"),
        [
            &format!(
                "Its session waits for a human for 3.0s (question; item {item}; it holds no slot meanwhile)."
            ),
            "Attempt 1 was granted 15s ago; its process is being started.",
            &format!("$ cis answer {item} --text TEXT"),
            &format!("$ cis dag attach {}", session(1)),
            "$ cis dag logs -f a --run SHORT"
        ]
    );
}

#[test]
fn of_a_condition_that_uses_an_output_of_a_skipped_task() {
    let only_if = |condition: &str, text: &str| Task { condition: Some(condition.into()), ..task(text) };
    let tasks = vec![
        only_if("1 > 2", "fix"),
        only_if("tasks.fix.outputs.left > 0 and tasks.fix.outputs.all > 0", "tell: fix"),
        task("other"),
    ];
    let bench = Bench::started(tasks);
    assert_eq!(
        why(&bench, "tell"),
        [
            "It failed without an attempt: if: tasks.fix.outputs.left > 0 and tasks.fix.outputs.all > 0: \
             task `fix` left no output `left`; add `| default(…)` if that can be.",
            "`fix` left no outputs, as it was skipped: `if` is false: 1 > 2.",
            "The run goes on; it can be retried once that has ended."
        ]
    );
}

#[test]
fn of_a_task_at_a_pager_which_takes_keys_alone() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![task("a")]), 1);
    bench.blocks_as("a", 1, PromptKind::Pager);
    let item = InboxId::of_prompt(session(1), 1);
    let said = why(&bench, "a");
    assert!(said.contains(&format!("$ cis answer {item} --keys q")), "{said:?}");
}

#[test]
fn of_a_task_that_waits_for_a_human_for_items_or_for_its_group() {
    use crate::dag::{Approval, Foreach, Group, Handlers};
    let gate = Task {
        approval: Some(Approval { prompt: "Go?".into(), timeout_ms: Some(5000), allowed: None }),
        ..task("gate")
    };
    let each = Task {
        foreach: Some(Foreach::Items(vec![1.into(), 2.into()])),
        group: Some("lock".into()),
        ..task("each")
    };
    let chosen = Task { condition: Some("1 == 1".into()), ..task("chosen: gate") };
    let lock = ("lock".to_owned(), Group { limit: 1, frees_when_blocked: false });
    let on = Handlers { always: Some(id("last")), ..Handlers::default() };
    let tasks = vec![gate, each, chosen, task("last")];
    let mut bench = Bench::new(100);
    bench.submit(1, Dag { groups: [lock].into(), on, ..dag(tasks) }, 10);
    bench.now += 2000;
    assert_eq!(
        why(&bench, "gate"),
        [
            "It waits for a human's approval for 2.0s: Go?",
            "It fails when nobody has decided in 3.0s.",
            "$ cis dag approve RUN gate",
            "$ cis dag reject RUN gate --reason TEXT"
        ]
    );
    assert_eq!(
        why(&bench, "each"),
        [
            "2 of its 2 items have not ended: `each.1` (running), `each.2` (queued).",
            "$ cis dag why each.1 --run RUN"
        ]
    );
    assert_eq!(
        why(&bench, "each.2"),
        [
            "All places of group `lock` are taken (1 of 1); in this run: `each.1` (for 2.0s).",
            "$ cis group list"
        ]
    );
    assert_eq!(
        why(&bench, "chosen"),
        [
            "When its needs have ended, `if` decides whether it runs: 1 == 1",
            "1 of its 1 needs has not ended: `gate` (waits for approval).",
            "$ cis dag approve RUN gate"
        ]
    );
    assert!(why(&bench, "last")[0].ends_with("and after the other handlers. 5 have not."));
}

#[test]
fn of_a_task_that_waits_for_its_turn() {
    let mut bench = Bench::new(2);
    bench.does(InputKind::ForeignSessions { count: 1 });
    bench.submit(1, dag(vec![task("a"), task("b"), task("c"), task("d"), task("e"), task("f")]), 9);
    assert_eq!(
        why(&bench, "f"),
        [
            "This node has all the 2 sessions that it may have: 1 in this run, 0 in other runs, 1 outside of runs.",
            "It starts after those that come before it in the file: `b`, `c`, `d`, 1 more.",
            "$ cis dag sessions"
        ]
    );
    bench.does(InputKind::Pause { run: run_id(1) });
    assert_eq!(why(&bench, "f"), ["The run is paused: nothing new starts in it.", "$ cis dag resume RUN"]);
    bench.does(InputKind::Resume { run: run_id(1) });
    bench.machine.set_host(None);
    assert!(why(&bench, "b")[0].starts_with("No session host"));
}

#[test]
fn of_a_task_that_waits_for_its_next_try() {
    let mut bench = Bench::started(vec![retried(1, "a"), task("b")]);
    bench.ends("a", exit(3));
    assert_eq!(
        why(&bench, "a"),
        ["Attempt 1 ended with: exit code 3. Attempt 2 starts in 1.0s.", "$ cis dag logs a --run SHORT"]
    );
    bench.short_of_ptys("b");
    bench.now += 500;
    assert_eq!(why(&bench, "b")[0], "The machine was short: no PTY is left. It is tried again in 0.5s.");
}

#[test]
fn of_a_run_that_was_not_started() {
    let mut bench = Bench::new(1);
    let dag: Dag = dag(vec![task("a")]);
    let facts = Box::new(facts(&dag, 1));
    bench.tries(InputKind::Submit { run: run_id(1), facts, dag: dag.into(), start: false }).unwrap();
    assert_eq!(why(&bench, "a"), ["The run was not started yet.", "$ cis dag execute --run-id RUN"]);
}

#[test]
fn of_tasks_that_ended() {
    let mut bench = Bench::started(vec![task("a"), task("b: a"), task("c: b"), task("d")]);
    bench.comes_up("d", 42);
    bench.ends("a", exit(9));
    assert_eq!(
        why(&bench, "c"),
        [
            "It was not started: needs `b`, which did not succeed.",
            "`a` is failed: exit code 9.",
            "The run goes on; it can be retried once that has ended.",
            "$ cis dag logs a --run SHORT"
        ]
    );
    assert_eq!(why(&bench, "d")[0], "Attempt 1 has been running for 0.0s, as process 42.");
    bench.ends("d", exit(0));
    assert_eq!(why(&bench, "d"), ["It succeeded with attempt 1."]);
    assert_eq!(
        why(&bench, "a"),
        [
            "It failed with attempt 1: exit code 9.",
            "$ cis dag logs a --run SHORT",
            "$ cis dag retry RUN --failed"
        ]
    );
    let nowhere = bench.machine.why(&run_id(1), &id("nowhere"), 0).unwrap_err();
    assert!(matches!(nowhere, Rejected::NoTask { .. }));
}
