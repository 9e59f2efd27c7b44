//! Programs that are not logged in, and the breaker of their account.

use super::bench::*;
use crate::dag::{RetryOn, RetryPolicy, Task};
use crate::event::AttemptOutcome;
use crate::scheduler::{Breaker, InputKind};

fn agent(text: &str) -> Task {
    Task { account: Some("acme".into()), ..task(text) }
}

fn logged_out(bench: &Bench, task: &str, retryable: bool) -> InputKind {
    let detail = "the screen says: log in".into();
    InputKind::LoggedOut { attempt: bench.attempt(task), account: "acme".into(), retryable, detail }
}

/// It is logged out, and ends as it is told to.
fn fails(bench: &mut Bench, task: &str) -> String {
    bench.does(logged_out(bench, task, true));
    bench.ends(task, AttemptOutcome::Cancelled)[0].clone()
}

fn patient(tasks: Vec<Task>) -> Bench {
    let mut bench = Bench::new(100);
    bench.machine.configure_breaker(Breaker { failures: 99, open_ms: 60_000 });
    bench.submit(1, dag(tasks), 10);
    bench
}

#[test]
fn three_tries_then_it_has_failed() {
    let mut bench = patient(vec![agent("a")]);
    assert_eq!(
        bench.does(logged_out(&bench, "a", true)),
        ["status a=running(not logged in to `acme`: the screen says: log in)", "> cancel a#1 f1 5000"]
    );
    bench.restart();
    bench.machine.configure_breaker(Breaker { failures: 99, open_ms: 60_000 });
    assert_eq!(bench.ends("a", exit(0))[0], "result a#1 failed: queued(again at +1000)", "a good exit too");
    bench.ticks_after(1000);
    assert_eq!(fails(&mut bench, "a"), "result a#2 failed: queued(again at +3000)");
    bench.ticks_after(2000);
    assert_eq!(
        fails(&mut bench, "a"),
        "result a#3 failed: failed(MAX_ATTEMPTS_EXCEEDED: not logged in to `acme` in 3 tries: the screen says: log in) counted"
    );
    let scope = crate::event::RetryScope::All;
    bench.does(InputKind::Retry { run: run_id(1), scope });
    assert!(fails(&mut bench, "a").contains("queued"), "a retry counts anew");
}

#[test]
fn what_does_not_get_better_fails_at_once() {
    let mut bench = patient(vec![retried(3, "a")]);
    bench.does(logged_out(&bench, "a", false));
    assert_eq!(
        bench.ends("a", AttemptOutcome::Cancelled)[0],
        "result a#1 failed: failed(not logged in to `acme`: the screen says: log in) counted",
        "and `retries` does not speak of it"
    );
}

#[test]
fn retries_may_name_it() {
    let retries = RetryPolicy { count: 1, jitter: false, on: vec![RetryOn::Login], ..RetryPolicy::default() };
    let mut bench = patient(vec![Task { retries, ..agent("a") }]);
    bench.does(logged_out(&bench, "a", false));
    let said = bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(said[0], "result a#1 failed: queued(again at +1000) counted");
    bench.ticks_after(1000);
    assert!(fails(&mut bench, "a").contains("queued"), "with tries of its own");
}

#[test]
fn an_account_that_fails_again_and_again_is_left_alone_for_a_while() {
    let mut bench = Bench::new(100);
    bench.submit(1, dag(vec![agent("a"), agent("b"), agent("c"), agent("d"), task("e")]), 3);
    for name in ["a", "b"] {
        bench.does(logged_out(&bench, name, true));
    }
    assert_eq!(bench.ends("a", exit(1))[1..3], ["assigned d#1 f1", "> ack a#1 f1"]);
    bench.does(logged_out(&bench, "c", true));
    let said = bench.ends("b", exit(1));
    assert!(said.contains(&"assigned e#1 f1".to_owned()), "other tasks go on: {said:?}");
    bench.ends("c", exit(1));
    assert_eq!(
        bench.ticks_after(1000),
        [
            "status a=queued(account acme until +60000) b=queued(account acme until +60000) c=queued(account acme until +60000)"
        ]
    );
    let view = bench.machine.why(&run_id(1), &id("a"), bench.now).unwrap();
    assert!(view.because[0].starts_with("Sessions of account `acme` were logged out"), "{view:?}");
    bench.ends("d", exit(1));
    bench.ends("e", exit(0));
    assert_eq!(
        bench.ticks_after(59_000)[..2],
        [
            "assigned a#2 f2",
            "status b=queued(account acme until +120000) c=queued(account acme until +120000)"
        ],
        "one tries"
    );
    let said = bench.does(InputKind::LoginWorked { account: "acme".into() });
    assert_eq!(said[..3], ["status b=queued c=queued", "assigned b#2 f2", "assigned c#2 f2"]);
}

#[test]
fn one_that_tries_and_ends_without_a_word_lets_the_next_one_try() {
    for (outcome, next) in
        [(exit(1), "status d=queued(account acme until +1000)"), (exit(0), "assigned d#1 f1")]
    {
        let mut bench = Bench::new(100);
        bench.machine.configure_breaker(Breaker { failures: 1, open_ms: 500 });
        bench.submit(1, dag(vec![agent("a"), agent("b"), agent("c"), agent("d")]), 1);
        fails(&mut bench, "a");
        bench.ticks_after(500);
        assert!(bench.ends("b", outcome).contains(&"assigned c#1 f1".to_owned()));
        assert_eq!(bench.blocks("c", 1)[1], next, "a success is as good as a word");
    }
}
