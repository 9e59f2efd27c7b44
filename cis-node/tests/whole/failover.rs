//! Nodes of a room that go away, come back, take nothing new, or lose their rights while tasks run.

use std::path::Path;

use cis_core::api::{CreateRun, ListInbox, ProblemKind, ReadLog, RoomNodeState};
use cis_core::event::{RunState, TaskState};

use crate::harness::{
    Node, Room, eventually, let_work, lines, on_a_runtime, problem_of, shared, start, task,
};
use crate::shared::{dag, is_idle, node_of, says_why, text, waiting_task};

/// A run of a task that waits for the file `go` and one after it, once that works.
async fn waiting_run(room: &Room, scratch: &Path) -> String {
    let after = "[[tasks]]\nid = \"after\"\nneeds = [\"a\"]\nscript = \"true\"\n";
    let tasks = waiting_task("a", scratch) + after;
    let run = room.coordinator.submit_as(shared(&dag(&tasks))).await;
    let pids = scratch.join("pids");
    eventually("its session works", async || (lines(&pids).len() == 1).then_some(())).await;
    room.coordinator.task_is(&run, "a", TaskState::Running).await;
    run
}

#[test]
fn a_session_goes_on_while_the_node_of_its_worker_is_away() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let run = waiting_run(&room, scratch.path()).await;
        room.workers.remove(0).leave().await;
        let worker = start(&scratch.path().join("w0"), "worker", &[], &room.rooms).await;
        assert_eq!(worker.client.node().await.unwrap().live_sessions, 1);
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1);
        assert_eq!(node_of(&detail, "after").as_ref(), Some(&worker.did), "it gets tasks as before");
        assert_eq!(lines(&scratch.path().join("pids")).len(), 1, "nothing ran twice");
        is_idle(&worker).await;
        room.workers.push(worker);
        room.stop().await;
    });
}

/// Those who look at its sessions do not wait for it as for a node that is only slow.
#[test]
fn a_worker_that_is_stopped_counts_as_such_until_it_is_back() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let Room { coordinator, mut workers, rooms } = Room::of(scratch.path(), 1).await;
        let worker = workers.remove(0);
        let did = worker.did.clone();
        let is_known = async |stopped: bool| {
            eventually(&format!("the coordinator knows whether it has stopped: {stopped}"), async || {
                let nodes = coordinator.client.nodes(None).await.unwrap().items;
                let worker = nodes.iter().find(|node| node.did == did).unwrap();
                assert_ne!(worker.state, RoomNodeState::Silent, "it was only found out");
                (worker.stopped == stopped).then_some(())
            })
            .await;
        };
        is_known(false).await;
        worker.leave().await;
        is_known(true).await;
        let worker = start(&scratch.path().join("w0"), "worker", &[], &rooms).await;
        is_known(false).await;
        Room { coordinator, workers: vec![worker], rooms }.stop().await;
    });
}

#[test]
fn files_that_came_for_a_task_which_was_taken_back_go_when_the_node_starts_again() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let run = waiting_run(&room, scratch.path()).await;
        let worker = room.workers.remove(0);
        let of_run = worker.home.remote().join(&run);
        worker.leave().await;
        // It was killed while they came.
        let taken_back = of_run.join("gone-1");
        std::fs::create_dir(&taken_back).unwrap();
        std::fs::write(taken_back.join("part"), "of a file").unwrap();
        let worker = start(&scratch.path().join("w0"), "worker", &[], &room.rooms).await;
        eventually("they are removed", async || (!taken_back.exists()).then_some(())).await;
        assert!(of_run.join("a-1").is_dir(), "a session is at work there");
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1);
        room.workers.push(worker);
        room.stop().await;
    });
}

#[test]
fn a_result_counts_that_came_while_worker_and_coordinator_were_away() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let run = waiting_run(&room, scratch.path()).await;
        room.workers.remove(0).leave().await;
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let pid = lines(&scratch.path().join("pids")).remove(0);
        eventually("the session ends meanwhile", async || {
            (!Path::new("/proc").join(&pid).exists()).then_some(())
        })
        .await;
        let Room { coordinator, rooms, .. } = room;
        coordinator.leave().await;
        let coordinator = start(&scratch.path().join("c"), "coordinator", &[], &rooms).await;
        let worker = start(&scratch.path().join("w0"), "worker", &[], &rooms).await;
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!((task(&detail, "a").attempts, task(&detail, "after").attempts), (1, 1));
        assert_eq!(lines(&scratch.path().join("pids")).len(), 1, "nothing ran twice");
        is_idle(&worker).await;
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_coordinator_that_comes_back_goes_on_with_its_runs_and_their_questions() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 2).await;
        let dir = scratch.path().display();
        let tasks = format!(
            r#"
[[tasks]]
id = "asks"
tty = true
outputs = {{ turn = {{ type = "string" }} }}
script = '''
echo $$ >> {dir}/asks
printf 'Whose turn? '; read turn; echo "turn=$turn" >> "$CIS_OUTPUT"
'''
[[tasks]]
id = "short"
script = "until [ -e {dir}/go ]; do sleep 0.05; done; echo done"
[[tasks]]
id = "last"
needs = ["asks", "short"]
approval = {{ prompt = "Go on?" }}
script = "true"
"#
        );
        let run = room.coordinator.submit_as(shared(&dag(&tasks))).await;
        let item = room.coordinator.question(&run).await;
        room.coordinator.task_is(&run, "short", TaskState::Running).await;
        let Room { coordinator, workers, rooms } = room;
        coordinator.leave().await;
        // This ends while nobody hears of it.
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let coordinator = start(&scratch.path().join("c"), "coordinator", &[], &rooms).await;
        room = Room { coordinator, workers, rooms };
        let coordinator = &room.coordinator;
        coordinator.task_is(&run, "short", TaskState::Succeeded).await;
        let again = coordinator.question(&run).await;
        assert_eq!((again.name(), &again.question), (item.name(), &item.question));
        eventually("the answer is taken", async || {
            coordinator.client.answer(&again.name(), &text("mine")).await.ok()
        })
        .await;
        let approval = eventually("the approval", async || {
            let items = coordinator.client.inbox(&ListInbox::default()).await.unwrap().items;
            items.into_iter().find(|item| item.question.contains("Go on?"))
        })
        .await;
        assert_eq!(approval.task.map(|task| task.to_string()).as_deref(), Some("last"));
        let decide = cis_core::api::Decide { approve: true, reason: Some("fine".to_owned()) };
        coordinator.client.decide(&run, "last", &decide).await.unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "asks").outputs["turn"], "mine");
        assert_eq!(task(&detail, "asks").attempts, 1);
        assert_eq!(lines(&scratch.path().join("asks")).len(), 1, "it asked once");
        room.stop().await;
    });
}

#[test]
fn a_task_whose_session_ended_with_its_node_runs_again_when_that_is_back() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let run = waiting_run(&room, scratch.path()).await;
        room.workers.remove(0).stop().await;
        let pids = scratch.path().join("pids");
        let process = Path::new("/proc").join(&lines(&pids)[0]);
        eventually("its session is over", async || (!process.exists()).then_some(())).await;
        let worker = start(&scratch.path().join("w0"), "worker", &[], &room.rooms).await;
        eventually("it runs again", async || (lines(&pids).len() == 2).then_some(())).await;
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 2);
        room.workers.push(worker);
        room.stop().await;
    });
}

#[test]
fn a_worker_that_is_drained_ends_what_it_has_and_gets_nothing_new() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let run = waiting_run(&room, scratch.path()).await;
        room.workers[0].client.drain_node(true).await.unwrap();
        std::fs::write(scratch.path().join("go"), "").unwrap();
        room.coordinator.task_is(&run, "a", TaskState::Succeeded).await;
        says_why(&room.coordinator, &run, "after", "takes no new tasks (draining)").await;
        // Also after a restart.
        room.workers.remove(0).leave().await;
        let worker = start(&scratch.path().join("w0"), "worker", &[], &room.rooms).await;
        says_why(&room.coordinator, &run, "after", "takes no new tasks (draining)").await;
        worker.client.pause_node(true).await.unwrap();
        worker.client.drain_node(false).await.unwrap();
        says_why(&room.coordinator, &run, "after", "starts no tasks (paused)").await;
        assert_eq!(room.coordinator.client.task(&run, "after").await.unwrap().attempts, 0);
        worker.client.pause_node(false).await.unwrap();
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node_of(&detail, "after").as_ref(), Some(&worker.did));
        room.workers.push(worker);
        room.stop().await;
    });
}

#[test]
fn a_worker_that_starts_again_for_another_room_ends_what_it_has_and_gets_nothing_new() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let run = waiting_run(&room, scratch.path()).await;
        room.workers.remove(0).leave().await;
        let dir = scratch.path().join("w0");
        let flags = ["federation.room=!other:memory", "federation.role=worker", "federation.slots=2"];
        let worker = Node::start(&dir, &flags, Some(&room.rooms)).await;
        std::fs::write(scratch.path().join("go"), "").unwrap();
        let ended = room.coordinator.task_is(&run, "a", TaskState::Succeeded).await;
        assert_eq!(ended.attempts, 1);
        assert_eq!(lines(&scratch.path().join("pids")).len(), 1, "nothing ran twice");
        says_why(&room.coordinator, &run, "after", "takes no new tasks (draining)").await;
        worker.leave().await;
        let worker = start(&dir, "worker", &[], &room.rooms).await;
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node_of(&detail, "after").as_ref(), Some(&worker.did));
        room.workers.push(worker);
        room.stop().await;
    });
}

#[test]
fn requests_to_a_worker_that_is_away_end_with_a_problem_and_change_nothing() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let tasks = "[[tasks]]\nid = \"a\"\ntty = true\n\
                     script = '''printf 'Whose turn? '; read turn; test $turn = mine'''\n";
        let run = room.coordinator.submit_as(shared(&dag(tasks))).await;
        let item = room.coordinator.question(&run).await;
        let did = room.workers[0].did.clone();
        room.workers.remove(0).leave().await;
        let client = &room.coordinator.client;
        let session = item.session.unwrap().to_string();
        let (answer, log, words) = (text("mine"), ReadLog::default(), item.name());
        let (answer, log, explain) = tokio::join!(
            client.answer(&words, &answer),
            client.task_log(&run, "a", &log),
            client.explain(&session),
        );
        for problem in [problem_of(answer), problem_of(log.map(drop)), problem_of(explain)] {
            assert_eq!(problem.kind, ProblemKind::Conflict, "{problem:?}");
            assert!(problem.detail.starts_with(&format!("no answer from {did}")), "{problem:?}");
        }
        // What it was asked for, it may still do.
        let worker = start(&scratch.path().join("w0"), "worker", &[], &room.rooms).await;
        let again = room.coordinator.question(&run).await;
        assert_eq!(again.name(), item.name());
        eventually("the answer is taken", async || {
            room.coordinator.client.answer(&item.name(), &text("mine")).await.ok()
        })
        .await;
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1);
        room.workers.push(worker);
        room.stop().await;
    });
}

#[test]
fn text_for_a_session_of_a_worker_that_is_away_may_still_be_typed_and_the_problem_says_so() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let run = waiting_run(&room, scratch.path()).await;
        let did = room.workers[0].did.clone();
        room.workers.remove(0).leave().await;
        let client = &room.coordinator.client;
        let session = client.task(&run, "a").await.unwrap().session.unwrap();
        let problem = problem_of(client.send_input(&session.to_string(), &crate::sessions::input("x")).await);
        assert!(problem.detail.starts_with(&format!("no answer from {did}")), "{problem:?}");
        assert!(problem.detail.contains("may still be typed"), "{problem:?}");
        let look = format!("cis dag attach {}", session.short());
        assert!(problem.hint.as_ref().unwrap().contains(&look), "{problem:?}");
        std::fs::write(scratch.path().join("go"), "").unwrap();
        room.stop().await;
    });
}

#[test]
fn a_node_whose_key_is_revoked_gets_nothing_and_stays_revoked() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let [first, second] = &room.workers[..] else { panic!() };
        let coordinator = &room.coordinator;
        // The driver hears of a revocation a moment later, and this node gets no task in that moment.
        first.client.drain_node(true).await.unwrap();
        eventually("the coordinator knows", async || {
            let nodes = coordinator.client.nodes(None).await.unwrap().items;
            nodes.iter().any(|node| node.state == RoomNodeState::Draining).then_some(())
        })
        .await;
        coordinator.client.revoke(&first.did.0).await.unwrap();
        let refused = problem_of(coordinator.client.trust(&first.did.0, None, None).await);
        assert_eq!(refused.kind, ProblemKind::Conflict, "{refused:?}");
        let nodes = coordinator.client.nodes(None).await.unwrap().items;
        let state = |of: &Node| nodes.iter().find(|node| node.did == of.did).map(|node| node.state);
        assert_eq!(
            (state(first), state(second)),
            (Some(RoomNodeState::Pending), Some(RoomNodeState::Online))
        );
        let tasks: String =
            (0..8).map(|n| format!("[[tasks]]\nid = \"t{n}\"\nscript = \"sleep 0.1\"\n")).collect();
        // The second run finds it ready for work again.
        for _ in 0..2 {
            let run = coordinator.submit_as(shared(&dag(&tasks))).await;
            let detail = coordinator.reaches(&run, RunState::Succeeded).await;
            for task in &detail.tasks {
                assert_eq!(node_of(&detail, &task.id.to_string()).as_ref(), Some(&second.did));
            }
            first.client.drain_node(false).await.unwrap();
        }
        room.stop().await;
    });
}

#[test]
fn a_run_that_waits_for_its_only_worker_goes_on_when_another_one_comes() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 0).await;
        let text = dag("[[tasks]]\nid = \"a\"\ninputs = [\"in\"]\nscript = \"cat in\"\n");
        std::fs::write(scratch.path().join("in"), "read\n").unwrap();
        let workdir = scratch.path().to_str().unwrap().to_owned();
        let run = room.coordinator.submit_as(CreateRun { workdir, ..shared(&text) }).await;
        says_why(&room.coordinator, &run, "a", "No node of the room offers to execute tasks").await;
        let with_name = ["federation.name=late"];
        let late = start(&scratch.path().join("late"), "worker", &with_name, &room.rooms).await;
        let_work(&late, &room.coordinator).await;
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").node.as_ref().map(|node| node.label()), Some("late"));
        room.workers.push(late);
        room.stop().await;
    });
}
