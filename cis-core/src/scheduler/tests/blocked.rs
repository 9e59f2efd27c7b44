//! What a file says of sessions that wait for a human.

use super::bench::*;
use crate::dag::{Action, BlockedAction, Dag, Group, OnBlocked, RetryOn, RetryPolicy, Task, Trigger};
use crate::event::{AttemptOutcome, EventBody, PromptKind};
use crate::ids::InboxId;
use crate::scheduler::{InputKind, Rejected, WakeReason};

fn on(action: BlockedAction) -> OnBlocked {
    OnBlocked { action, ..OnBlocked::default() }
}

fn asks(rule: OnBlocked) -> Task {
    Task { on_blocked: Some(Box::new(rule)), ..task("a") }
}

fn with_default(deadline_ms: u64) -> OnBlocked {
    OnBlocked { deadline_ms: Some(deadline_ms), default: Some("yes".into()), ..OnBlocked::default() }
}

#[test]
fn skip_ends_it_without_a_failure() {
    let mut bench = Bench::started(vec![asks(on(BlockedAction::Skip)), task("b: a")]);
    let said = bench.blocks_as("a", 1, PromptKind::Permission);
    let why = "skipped: it waited for a human (permission: “Run it?”), and on_blocked = \"skip\"";
    assert_eq!(
        said,
        ["blocked a 1".to_owned(), format!("status a=running({why})"), "> cancel a#1 f1 5000".to_owned()]
    );
    bench.restart();
    let said = bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(said[..2], [format!("result a#1 cancelled: completed({why})"), "status b=queued".to_owned()]);
}

#[test]
fn fail_fails_the_attempt_and_retries_apply() {
    let retries =
        RetryPolicy { count: 1, jitter: false, on: vec![RetryOn::Blocked], ..RetryPolicy::default() };
    let mut bench = Bench::started(vec![Task { retries, ..asks(on(BlockedAction::Fail)) }]);
    bench.blocks_as("a", 1, PromptKind::Permission);
    assert_eq!(
        bench.ends("a", exit(0))[0],
        "result a#1 failed: queued(again at +1000) counted",
        "some programs end well when they are told to end"
    );
    bench.ticks_after(1000);
    bench.blocks("a", 1);
    assert_eq!(
        bench.ends("a", AttemptOutcome::Cancelled)[0],
        "result a#2 failed: failed(waited for a human (question), and on_blocked = \"fail\") counted"
    );
}

#[test]
fn a_rate_limit_is_retried_by_its_name() {
    let retries =
        RetryPolicy { count: 9, jitter: false, on: vec![RetryOn::RateLimit], ..RetryPolicy::default() };
    let kinds = vec![PromptKind::RateLimit, PromptKind::Question];
    let rule = OnBlocked { kinds, ..on(BlockedAction::Fail) };
    let mut bench = Bench::started(vec![Task { retries, ..asks(rule) }]);
    bench.blocks_as("a", 1, PromptKind::RateLimit);
    assert!(bench.ends("a", AttemptOutcome::Cancelled)[0].contains("queued(again"));
    bench.ticks_after(1000);
    bench.blocks_as("a", 1, PromptKind::Question);
    assert!(bench.ends("a", AttemptOutcome::Cancelled)[0].contains("failed(waited"));
}

#[test]
fn people_come_before_the_file() {
    let mut bench = Bench::started(vec![asks(on(BlockedAction::Fail))]);
    bench.blocks("a", 1);
    let attempt = bench.attempt("a");
    assert_eq!(bench.does(InputKind::KillTask { attempt, grace_ms: None })[0], "status a=running(killed)");
    assert_eq!(bench.ends("a", AttemptOutcome::Cancelled)[0], "result a#1 cancelled: cancelled(killed)");

    let mut bench = Bench::started(vec![retried(3, "b"), asks(on(BlockedAction::Skip))]);
    bench.blocks("a", 1);
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    let said = bench.ends("a", AttemptOutcome::Cancelled);
    assert_eq!(said[0], "result a#1 cancelled: cancelled(the run was cancelled)");
}

#[test]
fn run_runs_once_for_each_prompt() {
    let command = Action::Command(vec!["tell".into()]);
    let mut bench = Bench::started(vec![asks(on(BlockedAction::Run(command)))]);
    assert_eq!(bench.blocks("a", 1), ["blocked a 1", "> run for a 1"]);
    assert!(bench.ticks_after(1000).is_empty());
    bench.restart();
    assert!(bench.ticks_after(1000).is_empty());
    assert_eq!(bench.unblocks("a", 1), ["recovered a 1"]);
    assert_eq!(bench.blocks("a", 2)[1], "> run for a 2");
}

#[test]
fn an_ask_that_it_waits_for_again_is_the_same_one() {
    let command = Action::Command(vec!["tell".into()]);
    let rule = OnBlocked {
        deadline_ms: Some(60_000),
        escalate_after_ms: Some(5000),
        notify: vec!["@ann".into()],
        ..on(BlockedAction::Run(command))
    };
    let mut bench = Bench::started(vec![asks(rule)]);
    assert_eq!(bench.waits_for("a", 1, 7), ["blocked a 1", "> run for a 1"]);
    assert_eq!(bench.ticks_after(4000), Vec::<String>::new());
    assert_eq!(bench.unblocks("a", 1), ["recovered a 1"]);
    // While it does not wait, nothing counts.
    assert!(bench.ticks_after(100_000).is_empty());
    assert_eq!(bench.waits_for("a", 2, 7), ["blocked a 2"], "its command has run");
    assert_eq!(bench.ticks_after(1001), ["escalated a after 5001", "> escalate a to [@ann]"]);
    assert_eq!(bench.unblocks("a", 2), ["recovered a 2"]);
    bench.restart();
    assert_eq!(bench.waits_for("a", 3, 7), ["blocked a 3"]);
    assert!(bench.ticks_after(50_000).is_empty(), "people were told");
    assert!(bench.ticks_after(4999)[0].starts_with("status a=running(nobody answered"), "60 s in all");

    let mut bench = Bench::started(vec![asks(on(BlockedAction::Run(Action::Command(vec!["tell".into()]))))]);
    bench.waits_for("a", 1, 7);
    bench.unblocks("a", 1);
    assert_eq!(bench.waits_for("a", 2, 8), ["blocked a 2", "> run for a 2"], "another one");
}

#[test]
fn people_are_told_once_after_a_while() {
    let rule = OnBlocked {
        notify: vec!["@ann:{{ dag.id }}".into(), "{{ tasks.b.outputs.gone }}".into()],
        escalate_after_ms: Some(5000),
        ..OnBlocked::default()
    };
    let mut bench = Bench::started(vec![asks(rule.clone())]);
    assert_eq!(bench.blocks("a", 1), ["blocked a 1"]);
    assert_eq!(bench.machine.poll_timeout(), Some((START_MS + 5000, WakeReason::Prompt)));
    assert_eq!(bench.ticks_after(5001), ["escalated a after 5001", "> escalate a to [@ann:test]"]);
    assert_eq!(bench.machine.poll_timeout(), None);
    bench.restart();
    assert!(bench.ticks_after(9000).is_empty(), "the event says that it was done");
    bench.blocks("a", 2);
    bench.unblocks("a", 2);
    assert_eq!(bench.machine.poll_timeout(), None, "it was answered");

    let rule = OnBlocked { escalate_after_ms: None, ..rule };
    let mut bench = Bench::started(vec![asks(rule)]);
    assert_eq!(bench.blocks("a", 1)[1], "escalated a after 0", "who is named is told at once");
}

#[test]
fn a_deadline_without_a_default_fails_it() {
    let rule = OnBlocked { deadline_ms: Some(60_000), ..OnBlocked::default() };
    let mut bench = Bench::started(vec![asks(rule)]);
    bench.blocks_as("a", 1, PromptKind::Trust);
    bench.restart();
    assert!(bench.does(InputKind::Tick).is_empty());
    assert!(bench.ticks_after(59_999).is_empty());
    assert_eq!(
        bench.ticks_after(1),
        ["status a=running(nobody answered within 1m 00s (trust: “Run it?”))", "> cancel a#1 f1 5000"]
    );
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(
        bench.ends("a", exit(0))[0],
        "result a#1 failed: failed(nobody answered within 1m 00s (trust: “Run it?”)) counted"
    );
}

/// A prompt that is told anew as the screen around it changed is the same one.
#[test]
fn a_deadline_goes_on_if_the_prompt_is_told_anew() {
    let rule = OnBlocked { deadline_ms: Some(60_000), ..OnBlocked::default() };
    let mut bench = Bench::started(vec![asks(rule)]);
    bench.blocks("a", 1);
    assert!(bench.ticks_after(40_000).is_empty());
    bench.blocks_again("a", 2, 40_000);
    assert!(bench.ticks_after(19_999).is_empty());
    assert_eq!(bench.ticks_after(1)[0], "status a=running(nobody answered within 1m 00s (question))");
}

#[test]
fn a_default_is_given_once_and_then_it_fails() {
    let mut bench = Bench::started(vec![asks(with_default(2000))]);
    bench.blocks("a", 1);
    assert_eq!(bench.ticks_after(2000), ["> answer a: yes"]);
    assert!(bench.ticks_after(29_999).is_empty());
    assert_eq!(
        bench.ticks_after(1)[0],
        "status a=running(nobody answered within 2.0s, and the default did not help: it still waits after 32s (question))"
    );

    let mut bench = Bench::started(vec![asks(with_default(2000))]);
    bench.blocks("a", 1);
    bench.ticks_after(2000);
    bench.unblocks("a", 1);
    assert_eq!(bench.machine.poll_timeout(), None, "it helped");
    bench.blocks("a", 2);
    assert_eq!(bench.ticks_after(2000), ["> answer a: yes"], "another prompt");
}

#[test]
fn a_default_outlives_the_node_and_waits_until_screens_are_known() {
    let mut bench = Bench::started(vec![asks(with_default(2000))]);
    bench.blocks("a", 1);
    bench.now += 90_000;
    bench.restart();
    assert!(bench.does(InputKind::Tick).is_empty(), "the prompt may have gone meanwhile");
    assert_eq!(bench.ticks_after(5000), ["> answer a: yes"], "late, but not a failure");
    bench.restart();
    bench.does(InputKind::Tick);
    assert_eq!(bench.ticks_after(5000), ["> answer a: yes"], "whether it was given, the answers know");
}

#[test]
fn a_default_that_is_refused_fails_it_at_once() {
    let mut bench = Bench::started(vec![asks(with_default(2000))]);
    bench.blocks("a", 1);
    let refusal = |bench: &Bench, episode| InputKind::DefaultRefused {
        attempt: bench.attempt("a"),
        item: InboxId::of_prompt(bench.session("a"), episode),
        detail: "it has no option `yes`".into(),
    };
    assert!(matches!(bench.refused(refusal(&bench, 1)).0, Rejected::Stale(_)), "nothing was given yet");
    bench.ticks_after(2000);
    assert!(matches!(bench.refused(refusal(&bench, 7)).0, Rejected::Stale(_)), "another prompt");
    assert_eq!(
        bench.does(refusal(&bench, 1))[0],
        "status a=running(nobody answered it in time, and its default was refused: it has no option `yes`)"
    );
}

#[test]
fn no_default_types_a_password() {
    let mut bench = Bench::started(vec![asks(with_default(2000))]);
    bench.blocks_as("a", 1, PromptKind::Password);
    assert_eq!(
        bench.ticks_after(2000)[0],
        "status a=running(nobody typed its password within 2.0s: no default does that)"
    );
}

#[test]
fn a_default_has_its_values_in_place() {
    let rule = OnBlocked { default: Some("{{ tasks.b.outputs.n }}!".into()), ..with_default(1000) };
    let mut bench = Bench::started(vec![task("b"), Task { needs: vec![id("b")], ..asks(rule) }]);
    bench.ends_with_value("b", "n", 7.into());
    bench.blocks("a", 1);
    assert_eq!(bench.ticks_after(1000), ["> answer a: 7!"]);
}

#[test]
fn a_default_with_a_secret_is_not_given_and_waits_for_a_person() {
    let rule = OnBlocked {
        default: Some("{{ tasks.b.outputs.n | lower }}!".into()),
        notify: vec!["@ann:test".into()],
        escalate_after_ms: Some(5000),
        ..with_default(1000)
    };
    let mut bench = Bench::started(vec![task("b"), Task { needs: vec![id("b")], ..asks(rule) }]);
    bench.ends_with_secret("b", "n");
    bench.blocks("a", 1);
    let blocked = bench.stored.last().map(|event| event.body.clone());
    assert!(matches!(blocked, Some(EventBody::SessionBlocked { prompt, .. }) if prompt.until_ms.is_none()));
    assert_eq!(bench.ticks_after(1000), ["escalated a after 1000", "> escalate a to [@ann:test]"]);
    let why = "its default uses a value that holds a secret ({{ tasks.b.outputs.n | lower }})";
    let told = bench.stored.last().map(|event| event.body.clone());
    let Some(EventBody::SessionEscalated { withheld, .. }) = &told else { panic!("{told:?}") };
    assert_eq!(withheld.as_deref(), Some(why));
    bench.restart();
    assert_eq!(bench.ticks_after(90_000), Vec::<String>::new(), "neither typed nor failed");
    let said = bench.machine.why(&run_id(1), &id("a"), bench.now).unwrap().because.join("\n");
    assert!(said.contains("waits until a person answers") && said.contains(why), "{said}");
    assert_eq!(bench.unblocks("a", 1), ["recovered a 1"]);
}

/// Its value comes from a task that still ran when the session began to wait.
#[test]
fn a_default_that_gets_a_secret_after_people_were_told_waits_for_a_person() {
    for is_given in [false, true] {
        let rule = OnBlocked {
            default: Some("{{ tasks.c.outputs.n | default(\"no\") }}".into()),
            notify: vec!["@ann:test".into()],
            escalate_after_ms: Some(1000),
            ..with_default(60_000)
        };
        let (trigger, needs) = (Trigger::OneFailed, vec![id("b"), id("c")]);
        let tasks = vec![task("b"), task("c"), Task { trigger, needs, ..asks(rule) }];
        let mut bench = Bench::started(tasks);
        bench.ends("b", exit(1));
        bench.blocks("a", 1);
        assert_eq!(bench.ticks_after(1000), ["escalated a after 1000", "> escalate a to [@ann:test]"]);
        if is_given {
            assert_eq!(bench.ticks_after(59_000), ["> answer a: no"]);
        }
        assert_eq!(bench.ends_with_secret("c", "n")[0], "result c#1 succeeded: succeeded");
        assert_eq!(bench.machine.poll_timeout(), None);
        assert_eq!(bench.ticks_after(90_000), Vec::<String>::new(), "neither typed nor failed");
        assert_eq!(bench.unblocks("a", 1), ["recovered a 1"]);
    }
}

#[test]
fn a_spinner_keeps_its_slot_and_its_time_is_the_machines() {
    let lock = ("lock".to_owned(), Group { limit: 1, frees_when_blocked: true });
    let grouped = |name: &str| Task { group: Some("lock".into()), ..task(name) };
    let mut bench = Bench::new(100);
    let tasks = vec![grouped("a"), grouped("b")];
    bench.submit(1, Dag { groups: [lock].into(), ..dag(tasks) }, 10);
    assert_eq!(bench.blocks_as("a", 1, PromptKind::Stalled), ["blocked a 1"]);
    assert_eq!(bench.run().blocked_count(), 0);
    bench.now += 1000;
    assert_eq!(bench.blocks_as("a", 2, PromptKind::Question)[1], "assigned b#1 f1");
    bench.now += 500;
    assert_eq!(bench.blocks_as("a", 3, PromptKind::RateLimit), ["blocked a 3"]);
    bench.now += 250;
    let spent = bench.run().times(bench.now, false).tasks[0].split;
    assert_eq!((spent.machine_ms, spent.human_ms), (1250, 500));
    bench.unblocks("a", 3);
    bench.ends("a", exit(0));
    let spent = bench.run().times(bench.now, false).tasks[0].split;
    assert_eq!((spent.machine_ms, spent.human_ms), (1250, 500));
}

#[test]
fn kinds_say_of_which_prompts_it_speaks() {
    let mut bench = Bench::started(vec![asks(on(BlockedAction::Fail))]);
    assert_eq!(bench.blocks_as("a", 1, PromptKind::Stalled), ["blocked a 1"], "not unless it is named");
    let rule = OnBlocked { kinds: vec![PromptKind::Stalled], ..on(BlockedAction::Fail) };
    let mut bench = Bench::started(vec![asks(rule)]);
    assert_eq!(bench.blocks_as("a", 1, PromptKind::Question), ["blocked a 1"]);
    assert!(bench.blocks_as("a", 2, PromptKind::Stalled)[1].contains("stalled"));
}
