//! What a node tells of runs: listings, tasks and their attempts, reasons, times, histories, events, and what it keeps.

use std::collections::BTreeSet;

use cis_client::{Client, Followed};
use cis_core::api::{
    AttemptView, CancelRun, CreateRun, CreatedOrder, Decide, ListRuns, ListTasks, Listing, ProblemKind,
    ReadLog, ReadTime, RetryRun, RunView, SetMode,
};
use cis_core::event::{ExecutionMode, RetryScope, RunState, TaskState};
use cis_core::ids::TaskId;

use crate::harness::{Node, eventually, on_a_runtime, request, task};
use crate::wire::{get_json, kind};

fn one_task(dag: &str, command: &str) -> String {
    format!("version = 1\n[dag]\nid = {dag:?}\n[[tasks]]\nid = \"t\"\ntty = false\nscript = {command:?}\n")
}

#[test]
fn runs_are_listed_by_pages_filtered_sorted_and_found_by_short_ids() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let mut ids = Vec::new();
        for (dag, command, state) in [
            ("one", "true", RunState::Succeeded),
            ("two", "false", RunState::Failed),
            ("one", "true", RunState::Succeeded),
        ] {
            let run = node.submit(&one_task(dag, command)).await;
            node.reaches(&run, state).await;
            ids.push(run);
        }
        let waits = CreateRun { start: false, ..request(&one_task("three", "true")) };
        ids.push(node.submit_as(waits).await);
        let pages = async |which: ListRuns| {
            let (mut all, mut which) = (Vec::new(), ListRuns { limit: Some(1), ..which });
            loop {
                let Listing { items, next } = node.client.runs(&which).await.unwrap();
                assert!(items.len() <= 1);
                all.extend(items.iter().map(|run: &RunView| run.id.to_string()));
                match next {
                    Some(next) => which.after = Some(next),
                    None => return all,
                }
            }
        };
        let newest: Vec<_> = ids.iter().rev().cloned().collect();
        assert_eq!(pages(ListRuns::default()).await, newest);
        let oldest = ListRuns { sort: Some(CreatedOrder::OldestFirst), ..ListRuns::default() };
        assert_eq!(pages(oldest).await, ids);
        let of = |dag: &str| ListRuns { dag: Some(dag.to_owned()), ..ListRuns::default() };
        assert_eq!(pages(of("one")).await, [ids[2].clone(), ids[0].clone()]);
        let failed = |which| ListRuns { state: Some(RunState::Failed), ..which };
        assert_eq!(pages(failed(ListRuns::default())).await, [ids[1].clone()]);
        assert!(pages(failed(of("one"))).await.is_empty());
        assert_eq!(pages(ListRuns { open: true, ..ListRuns::default() }).await, [ids[3].clone()]);
        let wrong = ListRuns { after: Some("nowhere".to_owned()), ..ListRuns::default() };
        assert_eq!(kind(node.client.runs(&wrong).await), ProblemKind::BadInput);

        let short = ids[1][ids[1].len() - 8..].to_lowercase();
        assert_eq!(node.client.run(&short).await.unwrap().run.id.to_string(), ids[1]);
        // The id of a DAG means its run, where there is one.
        assert_eq!(node.client.run("two").await.unwrap().run.id.to_string(), ids[1]);
        assert_eq!(kind(node.client.run("one").await), ProblemKind::Ambiguous);
        assert_eq!(kind(node.client.run("zzzz").await), ProblemKind::NotFound);
        node.client.cancel_run(&ids[3], CancelRun::default()).await.unwrap();
        assert!(pages(ListRuns { open: true, ..ListRuns::default() }).await.is_empty());
        node.stop().await;
    });
}

/// `t` fails once, then leaves an output; `u` needs it; `v` is never reached.
const RETRIED: &str = r#"
version = 1
[dag]
id = "retried"
[dag.defaults]
tty = false
[[tasks]]
id = "t"
retries = 1
script = "echo try ${CIS_ATTEMPT#*#}; echo size=7 >> $CIS_OUTPUT; test ${CIS_ATTEMPT#*#} = 2"
outputs = { size = { type = "integer" } }
[[tasks]]
id = "u"
needs = ["t"]
script = "echo got $CIS_NEED_T_SIZE; exit 3"
[[tasks]]
id = "v"
needs = ["u"]
script = "true"
"#;

#[test]
fn each_attempt_of_a_task_has_its_outcome_and_its_log_also_after_a_retry_and_a_restart() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut node = Node::local(scratch.path(), &[]).await;
        let run = node.submit(RETRIED).await;
        let detail = node.reaches(&run, RunState::Failed).await;
        let states: Vec<_> = detail.tasks.iter().map(|task| (task.id.as_str(), task.state)).collect();
        assert_eq!(states[..2], [("t", TaskState::Succeeded), ("u", TaskState::Failed)]);
        assert_eq!((task(&detail, "t").attempts, task(&detail, "u").exit_code), (2, Some(3)));
        assert_eq!(task(&detail, "t").outputs["size"], 7);

        let attempts = async |node: &Node, task: &str| {
            let listed = get_json(node, &format!("/v1/runs/{run}/tasks/{task}/attempts")).await;
            serde_json::from_value::<Listing<AttemptView>>(listed).unwrap().items
        };
        let of_t = attempts(&node, "t").await;
        let outcomes: Vec<_> =
            of_t.iter().map(|one| (one.number, one.outcome.as_deref().unwrap(), one.exit_code)).collect();
        assert_eq!(outcomes, [(2, "succeeded", Some(0)), (1, "failed", Some(1))]);
        assert!(of_t[1].ended_ms <= of_t[0].started_ms && of_t[0].log_bytes > Some(0), "{of_t:?}");
        assert_eq!(node.log_of(&run, "t").await, "try 2\n");
        assert_eq!(
            node.log_as(&run, "t", &ReadLog { attempt: Some(1), plain: true, ..ReadLog::default() }).await,
            "try 1\n"
        );
        let third = ReadLog { attempt: Some(3), ..ReadLog::default() };
        assert_eq!(kind(node.client.task_log(&run, "t", &third).await.map(drop)), ProblemKind::NotFound);
        assert_eq!(
            kind(node.client.task_log(&run, "v", &ReadLog::default()).await.map(drop)),
            ProblemKind::NotFound
        );
        assert_eq!(node.log_of(&run, "u").await, "got 7\n");

        // Why, and what it would get now.
        let why = node.client.why(&run, "v").await.unwrap();
        assert!(
            why.because.iter().any(|because| because.contains("`u`") || because.contains(" u ")),
            "{why:?}"
        );
        assert_eq!(kind(node.client.why(&run, "none").await), ProblemKind::NotFound);
        let context = node.client.task_context(&run, "u").await.unwrap();
        let need = &context.needs[&TaskId::new("t").unwrap()];
        assert_eq!((need.outputs["size"].as_i64(), need.state), (Some(7), TaskState::Succeeded));
        assert_eq!(kind(node.client.task_context(&run, "none").await), ProblemKind::NotFound);

        // Again from there on.
        let scope = RetryScope::From { task: TaskId::new("none").unwrap(), also: vec![] };
        let nowhere = node.client.retry_run(&run, &RetryRun { scope }).await;
        assert_eq!(kind(nowhere), ProblemKind::NotFound);
        node.client.retry_run(&run, &RetryRun { scope: RetryScope::Failed }).await.unwrap();
        let again = eventually("it failed again", async || {
            let detail = node.client.run(&run).await.unwrap();
            let tries = task(&detail, "u").attempts;
            (detail.run.state == RunState::Failed && tries == 2).then_some(detail)
        })
        .await;
        assert_eq!(task(&again, "t").attempts, 2, "what succeeded is not run again");
        node.leave().await;
        node = Node::local(scratch.path(), &[]).await;
        assert_eq!(attempts(&node, "u").await.len(), 2);
        assert_eq!(
            node.log_as(&run, "u", &ReadLog { attempt: Some(1), plain: true, ..ReadLog::default() }).await,
            "got 7\n"
        );
        let after = node.client.run(&run).await.unwrap();
        assert_eq!(after.tasks, again.tasks, "a restart changes nothing");
        assert_eq!(
            kind(node.client.retry_run("zzzz", &RetryRun { scope: RetryScope::All }).await),
            ProblemKind::NotFound
        );
        node.stop().await;
    });
}

const GATED: &str = r#"
version = 1
[dag]
id = "gated"
[dag.defaults]
tty = false
[[tasks]]
id = "a"
command = ["true"]
[[tasks]]
id = "deploy"
needs = ["a"]
approval = { prompt = "Deploy?" }
command = ["true"]
"#;

#[test]
fn a_run_goes_through_its_states_and_the_history_tells_who_did_what() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let client = &node.client;
        let run = node.submit_as(CreateRun { start: false, ..request(GATED) }).await;
        assert_eq!(client.run(&run).await.unwrap().run.state, RunState::Created);
        assert_eq!(
            kind(client.retry_run(&run, &RetryRun { scope: RetryScope::All }).await),
            ProblemKind::Conflict
        );
        let decide = |approve| Decide { approve, reason: Some("it is late".to_owned()) };
        assert_eq!(kind(client.decide(&run, "deploy", &decide(true)).await), ProblemKind::Conflict);
        assert_eq!(client.start_run(&run).await.unwrap().state, RunState::Running);
        assert_eq!(kind(client.start_run(&run).await), ProblemKind::Conflict, "it was started already");
        node.question(&run).await;
        let why = client.why(&run, "deploy").await.unwrap();
        assert!(why.because.concat().contains("approv"), "{why:?}");
        assert!(!why.try_this.is_empty());
        assert_eq!(client.pause_run(&run).await.unwrap().state, RunState::Paused);
        assert_eq!(kind(client.decide(&run, "a", &decide(true)).await), ProblemKind::Conflict);
        assert_eq!(kind(client.decide(&run, "none", &decide(true)).await), ProblemKind::NotFound);
        let long = Decide { approve: true, reason: Some("x".repeat((16 << 10) + 1)) };
        assert_eq!(kind(client.decide(&run, "deploy", &long).await), ProblemKind::BadInput);
        assert_eq!(client.resume_run(&run).await.unwrap().state, RunState::Running);
        assert_eq!(client.run(&run).await.unwrap().run.approvals, [TaskId::new("deploy").unwrap()]);
        client.decide(&run, "deploy", &decide(false)).await.unwrap();
        let ended = node.reaches(&run, RunState::Failed).await;
        assert!(task(&ended, "deploy").reason.as_ref().unwrap().contains("it is late"), "{ended:?}");
        for outcome in [client.pause_run(&run).await, client.resume_run(&run).await] {
            assert_eq!(kind(outcome), ProblemKind::Conflict);
        }
        assert_eq!(kind(client.decide(&run, "deploy", &decide(true)).await), ProblemKind::Conflict);
        let mode = SetMode { mode: ExecutionMode::Local, room: None };
        assert_eq!(kind(client.set_mode(&run, &mode).await), ProblemKind::Conflict);

        let me = client.me().await.unwrap().name;
        let history = client.run_history(&run, None).await.unwrap();
        let actions: Vec<_> = history.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["created", "started", "paused", "resumed", "rejected"], "{history:?}");
        assert!(history.iter().all(|entry| entry.actor.as_ref().is_some_and(|actor| actor.name == me)));
        assert!(history.is_sorted_by_key(|entry| entry.offset));
        let rejected = &client.run_history(&run, Some("deploy")).await.unwrap()[0];
        assert_eq!(
            rejected.comment.as_deref().or(rejected.text.as_deref()),
            Some("it is late"),
            "{rejected:?}"
        );
        assert!(client.run_history(&run, Some("a")).await.unwrap().is_empty());
        let first = get_json(&node, &format!("/v1/runs/{run}/history?limit=2")).await;
        let next = first["next"].as_str().unwrap();
        let second = get_json(&node, &format!("/v1/runs/{run}/history?limit=2&after={next}")).await;
        assert_eq!(
            (&first["items"][1]["action"], &second["items"][0]["action"]),
            (&"started".into(), &"paused".into())
        );

        let time = client.run_time(&run, &ReadTime::default()).await.unwrap();
        let split = time.critical;
        assert_eq!(split.queue_ms + split.machine_ms + split.human_ms, time.wall_ms, "{time:?}");
        assert!(split.human_ms > 0, "it waited for somebody: {time:?}");
        let on_path: BTreeSet<_> = time.path.iter().filter_map(|step| step.task.clone()).collect();
        assert_eq!(on_path.len(), 2);
        let totals = client.run_time(&run, &ReadTime { totals: true }).await.unwrap();
        assert!(totals.tasks.is_empty() && totals.critical == split, "{totals:?}");
        // Its proof is in its room, and it has none.
        assert_eq!(kind(client.run_export(&run).await), ProblemKind::Conflict);
        assert_eq!(kind(client.run_export("zzzz").await), ProblemKind::NotFound);
        node.stop().await;
    });
}

#[test]
fn tasks_are_listed_in_the_order_of_the_file_by_pages_and_states() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let mut text = "version = 1\n[dag]\nid = \"wide\"\n".to_owned();
        for id in ["c", "a", "b", "d"] {
            let command = if id == "b" { "false" } else { "true" };
            text.push_str(&format!("[[tasks]]\nid = \"{id}\"\ntty = false\ncommand = [\"{command}\"]\n"));
        }
        let run = node.submit(&text).await;
        node.reaches(&run, RunState::Failed).await;
        let ids = |listing: &Listing<cis_core::api::TaskView>| {
            listing.items.iter().map(|task| task.id.to_string()).collect::<Vec<_>>().join(" ")
        };
        let tasks = async |which: ListTasks| node.client.tasks(&run, &which).await.unwrap();
        assert_eq!(ids(&tasks(ListTasks::default()).await), "c a b d");
        let first = tasks(ListTasks { limit: Some(3), ..ListTasks::default() }).await;
        assert_eq!((ids(&first).as_str(), first.next.as_deref()), ("c a b", Some("b")));
        let rest = tasks(ListTasks { limit: Some(3), after: first.next, ..ListTasks::default() }).await;
        assert_eq!((ids(&rest).as_str(), rest.next), ("d", None));
        let of = |state| ListTasks { state: Some(state), ..ListTasks::default() };
        assert_eq!(ids(&tasks(of(TaskState::Failed)).await), "b");
        assert_eq!(ids(&tasks(of(TaskState::Succeeded)).await), "c a d");
        let wrong = ListTasks { after: Some("none".to_owned()), ..ListTasks::default() };
        assert_eq!(kind(node.client.tasks(&run, &wrong).await), ProblemKind::BadInput);
        assert_eq!(node.client.task(&run, "d").await.unwrap().state, TaskState::Succeeded);
        assert_eq!(kind(node.client.task(&run, "e").await), ProblemKind::NotFound);
        node.stop().await;
    });
}

#[test]
fn events_are_told_once_in_order_from_any_offset_on_and_by_run() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::local(scratch.path(), &[]).await;
        let first = node.submit(&one_task("first", "true")).await;
        node.reaches(&first, RunState::Succeeded).await;
        let mut live = node.client.events(None, None).await.unwrap();
        let second = node.submit(&one_task("second", "true")).await;
        node.reaches(&second, RunState::Succeeded).await;

        let until_the_end = async |follower: &mut cis_client::EventFollower<'_>| {
            let mut all = Vec::new();
            loop {
                let Followed::Frame(frame) = follower.next().await.unwrap() else { panic!("lost") };
                all.extend(frame.events().unwrap());
                let over = |event: &&cis_core::event::Event| event.type_name == "cis.dag.run.completed";
                let of = |run: &str| {
                    all.iter().filter(over).any(|event| event.run.is_some_and(|of| of.to_string() == run))
                };
                if of(&second) {
                    return all;
                }
            }
        };
        let seen = until_the_end(&mut live).await;
        let mut all = node.client.events(None, Some(0)).await.unwrap();
        let all = until_the_end(&mut all).await;
        assert!(all.is_sorted_by(|one, next| one.offset < next.offset), "once and in order");
        let since: Vec<_> = all.iter().filter(|event| event.offset >= seen[0].offset).collect();
        assert_eq!(since.len(), seen.len(), "those from then on");
        let middle = all[all.len() / 2].offset;
        let mut rest = node.client.events(None, Some(middle)).await.unwrap();
        assert_eq!(until_the_end(&mut rest).await[0].offset, all[all.len() / 2 + 1].offset);
        let mut of_one = node.client.events(Some(&second), Some(0)).await.unwrap();
        let of_one = until_the_end(&mut of_one).await;
        assert_eq!(of_one[0].type_name, "cis.dag.run.created");
        assert!(of_one.iter().all(|event| event.run.is_some_and(|run| run.to_string() == second)));
        let newest = all.last().unwrap().offset;
        let beyond = node.client.events(None, Some(newest + 1_000_000)).await;
        assert_eq!(kind(beyond.map(drop)), ProblemKind::BadInput);
        assert_eq!(kind(node.client.events(Some("zzzz"), None).await.map(drop)), ProblemKind::NotFound);
        node.stop().await;
    });
}

#[test]
fn a_followed_log_goes_on_until_the_task_ends_also_over_a_restart_of_the_node() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut node = Node::local(scratch.path(), &[]).await;
        let go = scratch.path().join("go");
        let script = format!("echo begun; while [ ! -e '{}' ]; do sleep 0.05; done; echo done", go.display());
        let run = node.submit(&one_task("follow", &script)).await;
        let client = Client::new(node.home.node_place(), None);
        let how = ReadLog { follow: true, plain: true, ..ReadLog::default() };
        // Also of a session that has not started yet.
        let mut log = eventually("it has a log", async || client.task_log(&run, "t", &how).await.ok()).await;
        assert_eq!(log.next().await.unwrap().unwrap(), "begun\n");
        node.leave().await;
        node = Node::local(scratch.path(), &[]).await;
        std::fs::write(go, "").unwrap();
        assert_eq!(String::from_utf8(log.read_to_end(1 << 20).await.unwrap()).unwrap(), "done\n");
        let detail = node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "t").attempts, 1, "the next node adopted it");
        node.stop().await;
    });
}

#[test]
fn a_paused_node_starts_nothing_also_after_a_restart_until_it_is_resumed() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let home = scratch.path().join("home");
        let mut node = Node::local(&home, &[]).await;
        let before = node.client.node().await.unwrap();
        assert!(before.running && !before.paused && before.stays && before.warnings.is_empty(), "{before:?}");
        assert_eq!((before.did, before.pid), (Some(node.did.0.clone()), Some(std::process::id())));
        assert!(node.client.pause_node(true).await.unwrap().paused);
        let run = node.submit(&one_task("held", "true")).await;
        for restarted in [false, true] {
            if restarted {
                node.leave().await;
                node = Node::local(&home, &[]).await;
            }
            let why = node.client.why(&run, "t").await.unwrap();
            assert!(why.because.concat().contains("paused"), "{restarted}: {why:?}");
            let view = node.client.node().await.unwrap();
            assert_eq!((view.paused, view.open_runs, view.live_sessions), (true, 1, 0), "{restarted}");
            assert_eq!(task(&node.client.run(&run).await.unwrap(), "t").attempts, 0);
        }
        assert!(!node.client.pause_node(false).await.unwrap().paused);
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node.client.node().await.unwrap().open_runs, 0);
        node.stop().await;
    });
}
