//! Runs in Matrix mode: which node gets which task.

use super::bench::*;
use crate::api::{FromWorker, Refusal};
use crate::dag::{Action, Approval, Commit, Foreach, Placement, Prompt, Task, Trigger};
use crate::event::{AttemptOutcome, EventBody, EventDraft, ExecutionMode, GrantRecord, RetryScope, RunState};
use crate::fence;
use crate::ids::NodeDid;
use crate::scheduler::InputKind;
use crate::scheduler::placement::{Ahead, NodeOffer, Strategy};

fn did(name: &str) -> NodeDid {
    NodeDid(format!("did:key:{name}"))
}

fn offer(name: &str, slots: u32) -> NodeOffer {
    NodeOffer { name: name.to_owned(), slots, ..NodeOffer::default() }
}

fn offers(bench: &mut Bench, offer: NodeOffer) -> Vec<String> {
    bench.does(InputKind::NodeOffer { room: "!r:s".to_owned(), node: did(&offer.name), offer: Some(offer) })
}

/// Run 1 in Matrix mode, started.
fn in_room(tasks: Vec<Task>) -> Bench {
    let mut bench = Bench::new(100);
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(1, dag(tasks)) else { panic!() };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    let said = bench.does(InputKind::Submit { run, facts, dag, start });
    assert!(!said.iter().any(|line| line.starts_with("assigned")), "no node offers anything: {said:?}");
    bench
}

/// Task and node of each grant so far.
fn grants(bench: &Bench) -> Vec<(String, String)> {
    let grants = bench.stored.iter().filter_map(|event| match &event.body {
        EventBody::TaskAssigned(grant) => {
            Some((grant.task.to_string(), grant.node.0.replace("did:key:", "")))
        }
        _ => None,
    });
    grants.collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(task, node)| ((*task).to_owned(), (*node).to_owned())).collect()
}

fn tagged(text: &str, tag: &str) -> Task {
    let placement = Placement { tags: vec![tag.to_owned()], nodes: Vec::new() };
    Task { placement: Some(Box::new(placement)), ..task(text) }
}

#[test]
fn tasks_go_to_nodes_with_free_slots() {
    let mut bench = in_room(vec![task("a"), task("b"), task("c"), task("d")]);
    offers(&mut bench, offer("x", 1));
    assert_eq!(grants(&bench), pairs(&[("a", "x")]));
    offers(&mut bench, offer("y", 2));
    assert_eq!(grants(&bench)[1..], pairs(&[("b", "y"), ("c", "y")]));
    bench.ends("a", exit(0));
    assert_eq!(grants(&bench)[3..], pairs(&[("d", "x")]));
}

#[test]
fn packed_tasks_go_to_the_node_that_has_some_already() {
    for (strategy, chosen) in [(Strategy::Spread, "x"), (Strategy::Pack, "y")] {
        let mut bench = in_room(vec![tagged("a", "gpu"), tagged("b", "gpu"), task("c: a")]);
        bench.machine.set_placement(strategy);
        offers(&mut bench, NodeOffer { tags: ["gpu".to_owned()].into(), ..offer("y", 2) });
        offers(&mut bench, offer("x", 2));
        bench.ends("a", exit(0));
        assert_eq!(grants(&bench)[2..], pairs(&[("c", chosen)]), "{strategy:?}");
    }
}

#[test]
fn a_task_without_a_node_holds_up_nobody() {
    let mut bench = in_room(vec![tagged("a", "gpu"), tagged("b", "gpu"), task("c"), task("d")]);
    offers(&mut bench, offer("x", 1));
    assert_eq!(grants(&bench), pairs(&[("c", "x")]));
    offers(&mut bench, NodeOffer { tags: ["gpu".to_owned()].into(), ..offer("y", 1) });
    assert_eq!(grants(&bench)[1..], pairs(&[("a", "y")]));
}

#[test]
fn a_draining_node_gets_nothing_and_keeps_what_it_has() {
    let mut bench = in_room(vec![task("a"), task("b")]);
    offers(&mut bench, offer("x", 1));
    offers(&mut bench, NodeOffer { draining: true, ..offer("x", 2) });
    assert_eq!(grants(&bench), pairs(&[("a", "x")]));
    bench.ends("a", exit(0));
    offers(&mut bench, offer("x", 2));
    assert_eq!(grants(&bench)[1..], pairs(&[("b", "x")]));
}

/// Refusals are per node: none of them ends the attempt, or holds others up.
#[test]
fn a_refused_task_goes_to_another_node_under_the_same_number() {
    let mut bench = in_room(vec![task("a"), task("b")]);
    offers(&mut bench, offer("x", 1));
    bench.refuses("a", Refusal::Policy { detail: "no rule allows it".to_owned() });
    assert_eq!(grants(&bench), pairs(&[("a", "x"), ("b", "x")]), "x is not asked for it again");
    offers(&mut bench, offer("y", 1));
    assert_eq!(grants(&bench)[2..], pairs(&[("a", "y")]));
    let last = bench.stored.iter().rev().find_map(|event| match &event.body {
        EventBody::TaskAssigned(grant) => Some((grant.attempt, grant.fence)),
        _ => None,
    });
    assert_eq!(last, Some((1, 2)));
}

/// A refusal by policy holds as long as the policy: then the task is granted again, and meanwhile `why` says what can be done.
#[test]
fn a_task_that_the_policy_of_all_nodes_forbids_says_so_and_waits_for_a_change() {
    let mut bench = in_room(vec![task("a")]);
    offers(&mut bench, NodeOffer { policy: 3, ..offer("x", 1) });
    bench.refuses("a", Refusal::Policy { detail: "rule 3 of the node's policy denies it".to_owned() });
    let why = |bench: &Bench| {
        let run = bench.stored[0].run.unwrap();
        bench.machine.why(&run, &task("a").id, 0).unwrap().because.join("\n")
    };
    let said = why(&bench);
    assert!(said.contains("Node x refused it: rule 3 of the node's policy denies it."), "{said}");
    assert!(said.contains("The policy of each node that could run it forbids it"), "{said}");
    offers(&mut bench, NodeOffer { policy: 3, load_permille: 1, ..offer("x", 1) });
    assert_eq!(grants(&bench).len(), 1, "nothing changed");
    offers(&mut bench, NodeOffer { slots: 0, policy: 0, ..offer("y", 0) });
    assert!(!why(&bench).contains("The policy of each node"), "y may run it later");
    offers(&mut bench, NodeOffer { policy: 4, ..offer("x", 1) });
    assert_eq!(grants(&bench), pairs(&[("a", "x"), ("a", "x")]));
}

#[test]
fn a_node_that_is_short_of_something_waits_until_its_offer_changes() {
    let mut bench = in_room(vec![task("a")]);
    offers(&mut bench, offer("x", 2));
    bench.refuses("a", Refusal::Resources { detail: "no PTY left".to_owned() });
    offers(&mut bench, offer("x", 2));
    assert_eq!(grants(&bench).len(), 1);
    let said = why(&bench, "a");
    assert!(said.contains("Node x was short of resources a moment ago: no PTY left."), "{said}");
    offers(&mut bench, NodeOffer { load_permille: 1, ..offer("x", 2) });
    assert_eq!(grants(&bench).len(), 2);
}

#[test]
fn a_node_that_may_have_again_what_it_was_short_of_gets_the_task() {
    let mut bench = in_room(vec![task("a")]);
    let recovered = |recovered| NodeOffer { recovered, ..offer("x", 2) };
    offers(&mut bench, recovered(1));
    bench.refuses("a", Refusal::Resources { detail: "no space left".to_owned() });
    offers(&mut bench, recovered(1));
    assert_eq!(grants(&bench).len(), 1);
    offers(&mut bench, recovered(2));
    assert_eq!(grants(&bench), pairs(&[("a", "x"), ("a", "x")]));
}

/// Whatever one task asks for, nodes are not asked for it again and again.
#[test]
fn a_task_that_all_nodes_refuse_waits_longer_each_time() {
    let mut bench = in_room(vec![task("a"), task("b")]);
    let mut load = 0;
    let mut offered = |bench: &mut Bench| {
        load += 1;
        for name in ["x", "y"] {
            offers(bench, NodeOffer { load_permille: load, ..offer(name, 1) });
        }
    };
    offered(&mut bench);
    assert_eq!(grants(&bench), pairs(&[("a", "x"), ("b", "y")]));
    bench.ends("b", exit(0));
    let short = || Refusal::Resources { detail: "no PTY left".to_owned() };
    bench.refuses("a", short());
    bench.ticks_after(0);
    assert_eq!(grants(&bench)[2..], pairs(&[("a", "y")]), "another node may have it");
    for wait in [1000, 2000, 4000] {
        let granted = grants(&bench).len();
        bench.refuses("a", short());
        offered(&mut bench);
        bench.ticks_after(wait - 1);
        assert_eq!(grants(&bench).len(), granted);
        bench.ticks_after(1);
        assert_eq!(grants(&bench).len(), granted + 1);
    }
}

#[test]
fn what_its_coordinator_cannot_give_waits_and_its_node_is_not_short() {
    let mut bench = in_room(vec![task("a")]);
    offers(&mut bench, offer("x", 1));
    for wait in [1000, 2000] {
        let attempt = bench.attempt("a");
        let fence = bench.fence(&attempt);
        let detail = "the disk is full".to_owned();
        let at = bench.now - START_MS + wait;
        let said = bench.does(InputKind::Worker(FromWorker::NotGiven { attempt, fence, detail }));
        assert_eq!(said, [format!("status a=queued(short, again at +{at})")]);
        assert!(bench.ticks_after(wait - 1).is_empty());
        assert_eq!(bench.ticks_after(1).len(), 2, "to the same node");
    }
    bench.does(InputKind::Cancel { run: run_id(1), now: false });
    let attempt = bench.attempt("a");
    let fence = bench.fence(&attempt);
    let said = bench.does(InputKind::Worker(FromWorker::NotGiven { attempt, fence, detail: String::new() }));
    assert_eq!(said[0], "status a=cancelled(the run was cancelled)");
}

#[test]
fn nothing_is_granted_while_it_is_not_known_what_workers_have() {
    let mut bench = in_room(vec![task("a"), task("b")]);
    bench.does(InputKind::HoldGrants { run: run_id(1), held: true });
    taken_over(&mut bench);
    offers(&mut bench, offer("x", 1));
    assert!(grants(&bench).is_empty());
    let grant = GrantRecord {
        task: id("b"),
        attempt: 3,
        fence: fence::next(5, 2),
        session: session(77),
        node: did("x"),
        host: None,
        lease_ms: None,
        ahead: false,
    };
    let adopted = InputKind::Adopt { run: run_id(1), grant: Box::new(grant), member: Box::default() };
    bench.does(adopted.clone());
    let again = adopted;
    assert!(bench.tries(again).is_err(), "a task has one attempt at a time");
    bench.does(InputKind::HoldGrants { run: run_id(1), held: false });
    assert_eq!(grants(&bench), pairs(&[("b", "x")]), "its slot is taken");
    bench.ends("b", exit(0));
    assert_eq!(grants(&bench)[1..], pairs(&[("a", "x")]));
}

fn found(task: &str, (attempt, fence): (u32, u64)) -> InputKind {
    let grant = GrantRecord {
        task: id(task),
        attempt,
        fence,
        session: session(77),
        node: did("y"),
        host: None,
        lease_ms: None,
        ahead: false,
    };
    InputKind::Adopt { run: run_id(1), grant: Box::new(grant), member: Box::default() }
}

/// This node coordinates run 1 in term 3 from now on.
fn taken_over(bench: &mut Bench) {
    bench.does(InputKind::TakenOver { run: run_id(1), owner: node(), epoch: 3, cut: 0 });
}

/// It only has to say so: nobody else knows what the coordinator before this one granted.
#[test]
fn a_worker_cannot_claim_what_no_coordinator_can_have_given_it() {
    let approval = Approval { prompt: "Go on?".into(), timeout_ms: None, allowed: None };
    let named = Placement { tags: Vec::new(), nodes: vec!["did:key:x".to_owned()] };
    let tasks = vec![
        task("open"),
        Task { approval: Some(approval), ..task("gated") },
        Task { placement: Some(Box::new(named)), ..task("named") },
        Task { commit: Commit::Room, ..task("bound") },
        Task { foreach: Some(Foreach::Items(vec![1.into()])), ..task("list") },
        Task { cwd: Some("sub".to_owned()), ..task("home") },
        task("later: open"),
    ];
    let mut bench = Bench::new(100);
    let InputKind::Submit { run, mut facts, dag, .. } = bench.submission(1, dag(tasks)) else { panic!() };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    bench.does(InputKind::Submit { run, facts, dag, start: false });
    bench.does(InputKind::HoldGrants { run, held: true });
    bench.does(InputKind::Start { run });
    let earlier = fence::next(0, 2);
    let is_refused = |bench: &mut Bench, kind| bench.tries(kind).is_err();
    assert!(is_refused(&mut bench, found("open", (1, fence::next(0, 0)))), "of its own term it knows all");
    taken_over(&mut bench);
    for task in ["gated", "named", "bound", "list", "home", "later"] {
        assert!(is_refused(&mut bench, found(task, (1, earlier))), "{task}");
    }
    for grant in [(1, fence::next(0, 3)), (1, fence::next(0, 7)), (1, u64::MAX), (u32::MAX, earlier)] {
        assert!(is_refused(&mut bench, found("open", grant)), "{grant:?}");
    }
    let InputKind::Adopt { run, grant, mut member } = found("open", (1, earlier)) else { panic!() };
    member.only = ["gpu".to_owned()].into();
    let limited = InputKind::Adopt { run, grant, member };
    assert!(is_refused(&mut bench, limited), "the owners of the room give it other tasks only");
    let draining = NodeOffer { draining: true, only: ["gpu".to_owned()].into(), ..offer("y", 1) };
    offers(&mut bench, draining.clone());
    assert!(is_refused(&mut bench, found("open", (1, earlier))));
    offers(&mut bench, NodeOffer { only: [].into(), ..draining });
    assert!(grants(&bench).is_empty());
    bench.does(found("open", (2, earlier)));
    assert_eq!(grants(&bench), pairs(&[("open", "y")]), "it drains, and has this from before");
}

/// A store of an earlier version may have such a number, which a worker made up.
#[test]
fn a_task_whose_attempts_have_no_numbers_left_ends_and_holds_up_no_other_run() {
    let mut bench = in_room(vec![task("a")]);
    let InputKind::Adopt { grant, .. } = found("a", (u32::MAX, 1)) else { panic!() };
    let (run, body) = (Some(run_id(1)), EventBody::TaskAssigned(*grant));
    bench.stored.push(EventDraft { run, at_ms: bench.now, actor: None, cause: None, body });
    bench.restart();
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(2, dag(vec![task("z")])) else {
        panic!()
    };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    bench.does(InputKind::Submit { run, facts, dag, start });
    let (attempt, detail) = (bench.attempt("a"), "it has nothing of it".to_owned());
    bench.does(InputKind::AttemptLost { attempt, detail });
    offers(&mut bench, offer("x", 2));
    assert_eq!(bench.run().state(), RunState::Error);
    assert_eq!(grants(&bench)[1..], pairs(&[("z", "x")]));
}

/// Its session is at work, whatever people do meanwhile: it would be started once more when they resume the run.
#[test]
fn what_a_worker_has_is_adopted_in_a_paused_run() {
    let mut bench = in_room(vec![task("a"), task("b")]);
    bench.does(InputKind::HoldGrants { run: run_id(1), held: true });
    bench.does(InputKind::Pause { run: run_id(1) });
    taken_over(&mut bench);
    let said = bench.does(found("a", (2, fence::next(0, 2))));
    assert_eq!(said[0], "run resumed");
    assert!(said[1].starts_with("assigned a#2") && said[2] == "run paused", "{said:?}");
    let refused = bench.tries(found("a", (2, fence::next(0, 2))));
    assert!(refused.is_err(), "nothing is resumed for it");
    bench.does(InputKind::HoldGrants { run: run_id(1), held: false });
    offers(&mut bench, offer("x", 4));
    assert_eq!(grants(&bench), pairs(&[("a", "y")]), "it is paused");
    bench.does(InputKind::Resume { run: run_id(1) });
    assert_eq!(grants(&bench)[1..], pairs(&[("b", "x")]));
}

/// The journal tells of the first attempt only. How it ended is not known, but that it did: so nothing of it was lost.
#[test]
fn a_newer_attempt_takes_the_place_of_one_that_is_not_retried_when_lost() {
    let mut bench = in_room(vec![Task { retry_lost: false, ..task("a") }]);
    offers(&mut bench, offer("x", 1));
    assert_eq!(grants(&bench), pairs(&[("a", "x")]));
    bench.does(InputKind::HoldGrants { run: run_id(1), held: true });
    taken_over(&mut bench);
    let older = bench.tries(found("a", (2, 1)));
    assert!(older.is_err() && grants(&bench).len() == 1, "its fence is not newer: {older:?}");
    bench.does(found("a", (2, fence::next(1, 2))));
    assert_eq!(grants(&bench)[1..], pairs(&[("a", "y")]));
    bench.does(InputKind::HoldGrants { run: run_id(1), held: false });
    bench.ends("a", exit(0));
    assert_eq!(bench.run().state(), RunState::Succeeded);
}

/// A grant of a later term has a fence above all that an earlier one may have issued.
#[test]
fn fences_carry_the_term() {
    let mut bench = in_room(vec![task("a")]);
    let (owner, run) = (node(), run_id(1));
    bench.does(InputKind::TakenOver { run, owner, epoch: 3, cut: 0 });
    offers(&mut bench, offer("x", 1));
    let fences: Vec<u64> = bench
        .stored
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::TaskAssigned(grant) => Some(grant.fence),
            _ => None,
        })
        .collect();
    assert_eq!(fences, [fence::next(0, 3)]);
}

#[test]
fn what_needs_the_submitters_machine_stays_there() {
    let at_home = Task { cwd: Some("sub".to_owned()), ..task("a") };
    let left = Task { artifacts: vec!["out".to_owned()], ..task("c") };
    let reads = Task { needs: vec![left.id.clone()], ..task("d") };
    let named = Task { cwd: Some("sub".to_owned()), ..tagged("e", "gpu") };
    let mut bench = Bench::new(100);
    let InputKind::Submit { run, mut facts, dag, start } =
        bench.submission(1, dag(vec![at_home, task("b"), left, reads, named]))
    else {
        panic!()
    };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    let own = facts.owner.0.replace("did:key:", "");
    bench.does(InputKind::Submit { run, facts, dag, start });
    assert_eq!(grants(&bench), pairs(&[("a", &own)]), "no other node is there");
    offers(&mut bench, NodeOffer { files: false, ..offer("x", 4) });
    assert_eq!(grants(&bench)[1..], pairs(&[("b", "x")]), "it moves no files");
    offers(&mut bench, NodeOffer { files: true, ..offer("x", 4) });
    bench.ends("c", exit(0));
    assert_eq!(grants(&bench)[2..], pairs(&[("c", "x"), ("d", "x")]));
}

fn agent_task(text: &str) -> Task {
    let prompt = Prompt::Text("work".to_owned());
    let action = Action::Agent { agent: "claude".to_owned(), prompt };
    Task { action, account: Some("acme".to_owned()), ..task(text) }
}

fn with_agent(name: &str) -> NodeOffer {
    NodeOffer { agents: ["claude".to_owned()].into(), ..offer(name, 1) }
}

fn logged_out(bench: &Bench, task: &str, retryable: bool) -> InputKind {
    let (account, detail) = ("acme".to_owned(), "log in".to_owned());
    InputKind::LoggedOut { attempt: bench.attempt(task), account, retryable, detail }
}

#[test]
fn a_login_that_is_missing_on_a_node_says_nothing_about_others() {
    let mut bench = in_room(vec![agent_task("a")]);
    offers(&mut bench, offer("bare", 1));
    offers(&mut bench, with_agent("x"));
    assert_eq!(grants(&bench), pairs(&[("a", "x")]));
    bench.does(logged_out(&bench, "a", true));
    bench.ends("a", AttemptOutcome::Cancelled);
    bench.ticks_after(1000);
    assert_eq!(grants(&bench).len(), 1, "x does not offer it any more");
    assert!(!bench.machine.is_logged_out("acme", bench.now), "the account of this node is another one");
    offers(&mut bench, with_agent("x"));
    assert_eq!(grants(&bench)[1..], pairs(&[("a", "x")]), "it does again");
    // After a final login failure that node does not get the task any more, and the task does not end.
    bench.does(logged_out(&bench, "a", false));
    bench.ends("a", AttemptOutcome::Cancelled);
    bench.ticks_after(2000);
    offers(&mut bench, with_agent("x"));
    assert_eq!(grants(&bench).len(), 2);
    offers(&mut bench, with_agent("y"));
    assert_eq!(grants(&bench)[2..], pairs(&[("a", "y")]));
}

#[test]
fn a_node_cannot_close_accounts_of_this_one() {
    let mut bench = in_room(vec![task("a")]);
    offers(&mut bench, offer("x", 1));
    for _ in 0..3 {
        assert!(bench.tries(logged_out(&bench, "a", true)).is_err(), "a script has no login");
    }
    assert!(!bench.machine.is_logged_out("acme", bench.now));
}

#[test]
fn a_paused_node_starts_nothing_until_it_goes_on() {
    let mut bench = Bench::new(1);
    bench.submit(1, dag(vec![task("a"), task("b")]), 10);
    assert_eq!(grants(&bench).len(), 1);
    bench.machine.set_paused(true);
    bench.ends("a", exit(0));
    assert_eq!(grants(&bench).len(), 1);
    bench.machine.set_paused(false);
    bench.ticks_after(0);
    assert_eq!(grants(&bench).len(), 2);
}

/// It lets so many sessions of run 1 wait.
fn with_queue(name: &str, slots: u32, count: u32) -> NodeOffer {
    NodeOffer { ahead: Some(Ahead { run: run_id(1), count }), ..offer(name, slots) }
}

/// Tasks of all grants so far that wait for their turn.
fn ahead(bench: &Bench) -> Vec<String> {
    let grants = bench.stored.iter().filter_map(|event| match &event.body {
        EventBody::TaskAssigned(grant) if grant.ahead => Some(grant.task.to_string()),
        _ => None,
    });
    grants.collect()
}

fn many(tasks: u32) -> Vec<Task> {
    (1..=tasks).map(|n| task(&format!("t{n:02}"))).collect()
}

#[test]
fn sessions_wait_at_a_node_that_says_so_once_all_slots_are_taken() {
    let mut bench = in_room(many(12));
    offers(&mut bench, offer("y", 2));
    offers(&mut bench, with_queue("x", 1, 3));
    assert_eq!(grants(&bench).len(), 6);
    assert_eq!(ahead(&bench), ["t04", "t05", "t06"]);
    assert_eq!(grants(&bench)[2..].iter().filter(|(_, node)| node == "x").count(), 4);
    bench.ends("t03", exit(0));
    assert_eq!(ahead(&bench).len(), 4, "one ends, one more waits");
    bench.ends("t01", exit(0));
    assert_eq!(ahead(&bench).len(), 4, "a free slot is no line");
    offers(&mut bench, offer("x", 1));
    bench.ends("t04", exit(0));
    assert_eq!(grants(&bench).len(), 8, "what waits takes the slots first");
    bench.does(InputKind::Pause { run: run_id(1) });
    bench.does(InputKind::Resume { run: run_id(1) });
    assert_eq!(grants(&bench).len(), 8);
    bench.does(InputKind::Worker(FromWorker::Ahead { run: run_id(1), count: 9 }));
    assert_eq!(grants(&bench).len(), 8, "the own host has no say in it");
}

#[test]
fn nothing_waits_at_nodes_whose_slots_exceed_what_may_run_at_a_time() {
    let mut bench = Bench::new(100);
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(1, dag(many(9))) else {
        panic!()
    };
    facts.mode = ExecutionMode::Matrix;
    (facts.room, facts.max_parallel) = (Some("!r:s".to_owned()), 3);
    bench.does(InputKind::Submit { run, facts, dag, start });
    offers(&mut bench, with_queue("x", 2, 9));
    assert_eq!(grants(&bench).len(), 9, "2 begin, 7 wait");
    let mut bench = in_room(many(9));
    offers(&mut bench, with_queue("x", 2, 2));
    assert_eq!(ahead(&bench).len(), 2);
    offers(&mut bench, offer("y", 99));
    bench.ends("t01", exit(0));
    assert_eq!(ahead(&bench).len(), 2);
}

#[test]
fn nothing_waits_at_a_node_while_another_run_wants_one() {
    let mut bench = in_room(many(4));
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(2, dag(many(4))) else {
        panic!()
    };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    bench.does(InputKind::Submit { run, facts, dag, start });
    offers(&mut bench, with_queue("x", 2, 4));
    assert_eq!(grants(&bench).len(), 2);
    assert!(ahead(&bench).is_empty());
}

#[test]
fn a_node_gets_no_more_than_a_queue_whatever_it_offers() {
    let mut bench = in_room(many(90));
    offers(&mut bench, with_queue("x", 0, u32::MAX));
    assert!(grants(&bench).is_empty());
    offers(&mut bench, with_queue("x", 2, u32::MAX));
    assert_eq!(grants(&bench).len(), 66);
}

#[test]
fn nothing_waits_at_nodes_where_tasks_of_the_run_stay_on_this_one() {
    let at_home = Task { cwd: Some("sub".to_owned()), ..task("z") };
    let mut bench = Bench::new(100);
    let tasks = many(12).into_iter().chain([at_home]).collect();
    let InputKind::Submit { run, mut facts, dag, start } = bench.submission(1, dag(tasks)) else { panic!() };
    facts.mode = ExecutionMode::Matrix;
    facts.room = Some("!r:s".to_owned());
    bench.does(InputKind::Submit { run, facts, dag, start });
    offers(&mut bench, with_queue("x", 2, 9));
    assert!(ahead(&bench).is_empty());
    assert_eq!(grants(&bench).len(), 3, "two slots, and the one that stays here");
}

/// Its next offer may be late.
#[test]
fn what_a_node_gives_back_does_not_go_there_again_to_wait() {
    let mut bench = in_room(many(6));
    offers(&mut bench, with_queue("x", 1, 2));
    assert_eq!(ahead(&bench), ["t02", "t03"]);
    bench.refuses("t03", Refusal::Withdrawn { full: false });
    bench.refuses("t02", Refusal::Withdrawn { full: false });
    assert_eq!(grants(&bench).len(), 3);
    bench.ends("t01", exit(0));
    assert_eq!(grants(&bench)[3..], pairs(&[("t02", "x")]), "a free slot is no queue");
    offers(&mut bench, with_queue("x", 1, 2));
    assert_eq!(ahead(&bench).len(), 4);
}

/// What other coordinators gave it since its last offer is not known.
#[test]
fn a_node_that_refuses_for_lack_of_a_slot_gets_nothing_until_its_next_offer() {
    let mut bench = in_room(many(3));
    offers(&mut bench, offer("x", 2));
    bench.refuses("t02", Refusal::Withdrawn { full: true });
    assert_eq!(grants(&bench).len(), 2);
    assert!(why(&bench, "t02").contains("has no free slot"), "{}", why(&bench, "t02"));
    bench.ends("t01", exit(0));
    assert_eq!(grants(&bench).len(), 2, "its slot may be kept for another coordinator");
    offers(&mut bench, offer("y", 1));
    assert_eq!(grants(&bench)[2..], pairs(&[("t02", "y")]));
    offers(&mut bench, offer("x", 2));
    assert_eq!(grants(&bench)[3..], pairs(&[("t03", "x")]));
}

fn in_order(text: &str) -> Task {
    Task { commit: Commit::Room, ..task(text) }
}

fn why(bench: &Bench, task: &str) -> String {
    bench.machine.why(&run_id(1), &id(task), bench.now).unwrap().because.join(" ")
}

#[test]
fn a_task_with_commit_room_is_granted_when_the_room_has_what_was_before_it() {
    let mut bench = in_room(vec![task("a"), in_order("b: a"), task("c: a"), in_order("d: b")]);
    offers(&mut bench, NodeOffer { commits: true, ..offer("x", 3) });
    bench.ends("a", exit(0));
    assert_eq!(grants(&bench), pairs(&[("a", "x"), ("c", "x")]), "b waits, and holds up nobody");
    assert!(why(&bench, "b").contains("until the room has the results of `a`"), "{}", why(&bench, "b"));
    let has = |number| InputKind::RoomHas { run: run_id(1), number };
    bench.does(has(0));
    assert_eq!(grants(&bench).len(), 2, "an answer to no question");
    bench.does(has(1));
    assert_eq!(grants(&bench)[2..], pairs(&[("b", "x")]));
    assert!(why(&bench, "b").contains("has read the grant of the task in the room"));
    bench.refuses("b", Refusal::Withdrawn { full: false });
    assert_eq!(grants(&bench)[3..], pairs(&[("b", "x")]), "it builds on the same results");
    let said = bench.ends("b", exit(0));
    assert!(said.contains(&"> await room 2".to_owned()), "{said:?}");
    assert_eq!(grants(&bench).len(), 4);
    bench.does(has(2));
    assert_eq!(grants(&bench)[4..], pairs(&[("d", "x")]));
    // After a retry there are other results.
    for task in ["c", "d"] {
        bench.ends(task, exit(0));
    }
    bench.does(InputKind::Retry { run: run_id(1), scope: RetryScope::All });
    bench.ends("a", exit(0));
    let before = grants(&bench).len();
    assert!(!grants(&bench)[5..].contains(&("b".to_owned(), "x".to_owned())), "{:?}", grants(&bench));
    bench.does(has(3));
    assert_eq!(grants(&bench)[before..], pairs(&[("b", "x")]));
}

#[test]
fn why_names_only_needs_that_have_ended() {
    let waits = Task { trigger: Trigger::OneFailed, ..in_order("c: a b") };
    let mut bench = in_room(vec![task("a"), task("b"), waits]);
    offers(&mut bench, NodeOffer { commits: true, ..offer("x", 3) });
    bench.ends("a", exit(1));
    assert!(why(&bench, "c").contains("until the room has the results of `a`."), "{}", why(&bench, "c"));
}

#[test]
fn a_node_that_does_not_know_commit_room_gets_no_such_task() {
    let mut bench = in_room(vec![in_order("a"), task("b")]);
    offers(&mut bench, offer("old", 3));
    bench.does(InputKind::RoomHas { run: run_id(1), number: 1 });
    assert_eq!(grants(&bench), pairs(&[("b", "old")]));
    assert!(why(&bench, "a").contains("does not support `commit"), "{}", why(&bench, "a"));
}
