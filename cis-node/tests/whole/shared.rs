//! Runs that the nodes of a room share.

use std::path::Path;

use cis_client::AttachFrame;
use cis_core::api::{
    Answer, AnswerWith, Attach, AttachNotice, BoundEffect, CancelRun, CreateRun, KillSession, ListInbox,
    ProblemKind, RetryRun, RoomNodeState, RunDetail, SendInput, SetMode,
};
use cis_core::event::{ExecutionMode, NodeRule, RetryScope, RuleEffect, RunState, TaskState};
use cis_core::identity::Right;
use cis_core::ids::{InputId, NodeDid};

use crate::harness::{
    Node, ROOM, Room, SLOTS, eventually, lines, on_a_runtime, problem_of, request, shared, task,
};

/// A file with these tasks. They have no terminal.
pub(crate) fn dag(tasks: &str) -> String {
    format!("version = 1\n[dag]\nid = \"shared\"\nmax_parallel = 8\n[dag.defaults]\ntty = false\n{tasks}")
}

/// A task that ends once there is the file `go`, and leaves a line in the file `pids` each time that it runs.
pub(crate) fn waiting_task(id: &str, scratch: &Path) -> String {
    let dir = scratch.display();
    format!(
        "[[tasks]]\nid = \"{id}\"\nscript = 'echo $$ >> {dir}/pids; until [ -e {dir}/go ]; do sleep 0.05; done'\n"
    )
}

/// The node that a task was given to.
pub(crate) fn node_of(run: &RunDetail, id: &str) -> Option<NodeDid> {
    task(run, id).node.as_ref().map(|node| node.did.clone())
}

/// Waits until the node says this of why a task is where it is.
pub(crate) async fn says_why(node: &Node, run: &str, id: &str, words: &str) {
    eventually(&format!("`why` of {id} says {words:?}"), async || {
        let why = node.client.why(run, id).await.unwrap();
        why.because.iter().any(|because| because.contains(words)).then_some(())
    })
    .await;
}

/// Waits until nothing runs on a node.
pub(crate) async fn is_idle(node: &Node) {
    eventually("the node has no sessions", async || {
        (node.client.node().await.unwrap().live_sessions == 0).then_some(())
    })
    .await;
}

/// An answer in words.
pub(crate) fn text(words: &str) -> Answer {
    let with = AnswerWith::Text { text: words.to_owned() };
    Answer { with, reason: None, hash: None, again: None, input: InputId::default() }
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn workers_execute_the_tasks_of_a_coordinator() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let text = r#"
            version = 1
            [dag]
            id = "shared"
            [[tasks]]
            id = "a"
            command = ["true"]
            [[tasks]]
            id = "b"
            needs = ["a"]
            command = ["true"]
        "#;
        let run = room.coordinator.submit_as(shared(text)).await;
        let run = room.coordinator.reaches(&run, RunState::Succeeded).await;
        let by = node_of(&run, "a");
        assert!(room.workers.iter().any(|worker| Some(&worker.did) == by.as_ref()), "{by:?}");
        room.stop().await;
    });
}

#[test]
fn tasks_run_on_all_workers_at_a_time_and_on_none_more_than_it_has_slots() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let log = scratch.path().join("log");
        // Each of the first ones ends only when as many run as both workers have slots.
        let tasks: String = (0..12)
            .map(|n| {
                let log = log.display();
                format!(
                    "[[tasks]]\nid = \"t{n}\"\nscript = '''\necho \"+ $(pwd)\" >> {log}\n\
                     until [ $(grep -c + {log}) -ge 4 ]; do sleep 0.02; done\n\
                     echo \"- $(pwd)\" >> {log}\n'''\n"
                )
            })
            .collect();
        let run = room.coordinator.submit_as(shared(&dag(&tasks))).await;
        let run = room.coordinator.reaches(&run, RunState::Succeeded).await;
        for n in 0..2 {
            let home = format!("/w{n}/");
            let (mut now, mut begun) = (0, 0);
            for line in lines(&log).iter().filter(|line| line.contains(&home)) {
                now = if line.starts_with('+') { now + 1 } else { now - 1 };
                begun += u32::from(line.starts_with('+'));
                assert!(now <= SLOTS, "more than it has slots: {:?}", lines(&log));
            }
            let given = run
                .tasks
                .iter()
                .filter(|task| task.node.as_ref().is_some_and(|node| node.did == room.workers[n].did));
            assert_eq!(given.count(), begun as usize, "the run says where its tasks ran");
            assert!(begun >= SLOTS, "{:?}", lines(&log));
        }
        assert_eq!(lines(&log).len(), 24, "each of them ran once");
        for worker in &room.workers {
            is_idle(worker).await;
        }
        room.stop().await;
    });
}

#[test]
fn tasks_go_to_the_nodes_that_they_name_and_those_with_a_directory_stay_where_they_were_submitted() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let (first, second) = (&room.workers[0].did, &room.workers[1].did);
        let tasks = format!(
            r#"
            [[tasks]]
            id = "first"
            nodes = ["{first}"]
            script = "true"
            [[tasks]]
            id = "second"
            nodes = ["{second}"]
            script = "true"
            [[tasks]]
            id = "here"
            cwd = "."
            script = "pwd > here"
            [[tasks]]
            id = "both"
            cwd = "."
            nodes = ["{first}"]
            allow_failure = true
            script = "true"
            [[tasks]]
            id = "away"
            tags = ["gpu"]
            script = "true"
            "#
        );
        let workdir = scratch.path().to_str().unwrap().to_owned();
        let run = room.coordinator.submit_as(CreateRun { workdir, ..shared(&dag(&tasks)) }).await;
        for id in ["first", "second", "here"] {
            room.coordinator.task_is(&run, id, TaskState::Succeeded).await;
        }
        room.coordinator.task_is(&run, "both", TaskState::Completed).await;
        let detail = room.coordinator.client.run(&run).await.unwrap();
        assert_eq!(node_of(&detail, "first").as_ref(), Some(first));
        assert_eq!(node_of(&detail, "second").as_ref(), Some(second));
        assert_eq!(lines(&scratch.path().join("here")), [scratch.path().to_str().unwrap()]);
        let both = task(&detail, "both").reason.clone().unwrap();
        assert!(both.contains("cwd"), "{both}");
        assert_eq!(task(&detail, "away").state, TaskState::Queued);
        says_why(&room.coordinator, &run, "away", "gpu").await;
        room.coordinator.client.cancel_run(&run, CancelRun::default()).await.unwrap();
        room.coordinator.reaches(&run, RunState::Cancelled).await;
        room.stop().await;
    });
}

#[test]
fn a_question_of_a_worker_is_answered_once_at_the_coordinator() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let tasks = r#"
            [[tasks]]
            id = "asks"
            tty = true
            outputs = { first = { type = "string" }, second = { type = "string" } }
            script = '''
            printf 'Deploy to production? [y/N] '; read first; echo "first=$first" >> "$CIS_OUTPUT"
            printf 'Which region? '; read second; echo "second=$second" >> "$CIS_OUTPUT"
            '''
        "#;
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(shared(&dag(tasks))).await;
        let deploy = coordinator.question(&run).await;
        assert_eq!(deploy.question.trim(), "Deploy to production? [y/N]");
        assert_eq!(deploy.task.as_ref().map(ToString::to_string).as_deref(), Some("asks"));
        let waits = coordinator.client.task(&run, "asks").await.unwrap().waits.unwrap();
        assert_eq!(waits.question, deploy.question);
        // An answer that was meant for something else is not typed.
        let other = Answer { hash: Some("0123456789abcdef".to_owned()), ..text("n") };
        let stale = problem_of(coordinator.client.answer(&deploy.name(), &other).await);
        assert_eq!(stale.kind, ProblemKind::Conflict, "{stale:?}");
        let receipt = coordinator.client.answer(&deploy.name(), &text("y")).await.unwrap();
        assert!(receipt.by.starts_with("uid:"), "{receipt:?}");
        let late = problem_of(coordinator.client.answer(&deploy.name(), &text("n")).await);
        assert_eq!(late.kind, ProblemKind::Conflict, "{late:?}");
        let region = eventually("the next question", async || {
            let items = coordinator.client.inbox(&ListInbox::default()).await.unwrap().items;
            items.into_iter().find(|item| item.question.contains("region"))
        })
        .await;
        coordinator.client.answer(&region.name(), &text("eu west")).await.unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "asks").outputs["first"], "y");
        assert_eq!(task(&detail, "asks").outputs["second"], "eu west");
        assert!(coordinator.client.inbox(&ListInbox::default()).await.unwrap().items.is_empty());
        let closed = coordinator.client.inbox_item(&deploy.name()).await.unwrap().closed.unwrap();
        assert_eq!(closed.how, "answered");
        room.stop().await;
    });
}

#[test]
fn a_shared_run_that_is_cancelled_ends_its_sessions_on_the_workers() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let dir = scratch.path().display();
        let tasks = [
            waiting_task("a", scratch.path()),
            waiting_task("b", scratch.path()),
            waiting_task("c", scratch.path()),
            format!("[[tasks]]\nid = \"after\"\nneeds = [\"a\"]\nscript = 'touch {dir}/after'\n"),
            format!("[[tasks]]\nid = \"cleanup\"\nscript = 'touch {dir}/cleanup'\n"),
            "[dag.on]\ncancel = \"cleanup\"\n".to_owned(),
        ];
        let run = room.coordinator.submit_as(shared(&dag(&tasks.concat()))).await;
        let pids = scratch.path().join("pids");
        eventually("three sessions work", async || (lines(&pids).len() == 3).then_some(())).await;
        let asked = room.coordinator.client.cancel_run(&run, CancelRun::default()).await.unwrap();
        assert!(asked.cancelling || asked.state == RunState::Cancelled, "{asked:?}");
        let detail = room.coordinator.reaches(&run, RunState::Cancelled).await;
        for id in ["a", "b", "c", "after"] {
            assert_eq!(task(&detail, id).state, TaskState::Cancelled, "{id}");
        }
        assert!(scratch.path().join("cleanup").exists(), "its handler ran");
        assert!(!scratch.path().join("after").exists());
        for worker in &room.workers {
            is_idle(worker).await;
        }
        for pid in lines(&pids) {
            assert!(!is_alive(&pid), "{pid} goes on");
        }
        room.stop().await;
    });
}

#[test]
fn a_shared_run_that_is_paused_starts_nothing_until_it_is_resumed() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let tasks =
            waiting_task("a", scratch.path()) + "[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = \"true\"\n";
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(shared(&dag(&tasks))).await;
        coordinator.task_is(&run, "a", TaskState::Running).await;
        coordinator.client.pause_run(&run).await.unwrap();
        std::fs::write(scratch.path().join("go"), "").unwrap();
        // What ran goes on, and its result counts.
        coordinator.task_is(&run, "a", TaskState::Succeeded).await;
        says_why(coordinator, &run, "b", "paused").await;
        assert_eq!(coordinator.client.run(&run).await.unwrap().run.state, RunState::Paused);
        assert_eq!(coordinator.client.task(&run, "b").await.unwrap().attempts, 0);
        is_idle(&room.workers[0]).await;
        coordinator.client.resume_run(&run).await.unwrap();
        coordinator.reaches(&run, RunState::Succeeded).await;
        room.stop().await;
    });
}

#[test]
fn attempts_that_fail_or_last_too_long_on_workers_are_made_again_as_the_file_says() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let tries = scratch.path().join("tries");
        let tasks = format!(
            r#"
            [[tasks]]
            id = "third"
            retries = {{ count = 5, delay = "10ms", on = ["exit:75"] }}
            script = "echo try >> {0}; test $(wc -l < {0}) -ge 3 || exit 75"
            [[tasks]]
            id = "slow"
            timeout = "300ms"
            allow_failure = true
            retries = {{ count = 1, delay = "10ms", on = ["timeout"] }}
            command = ["sleep", "60"]
            [[tasks]]
            id = "missing"
            allow_failure = true
            command = ["/no/such/program"]
            [[tasks]]
            id = "fails"
            needs = ["third"]
            retries = {{ count = 5, delay = "10ms", on = ["exit:75"] }}
            script = "exit 4"
            [[tasks]]
            id = "skipped"
            needs = ["fails"]
            script = "true"
            "#,
            tries.display()
        );
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(shared(&dag(&tasks))).await;
        let detail = coordinator.reaches(&run, RunState::Failed).await;
        let of = |id: &str| task(&detail, id);
        assert_eq!((of("third").state, of("third").attempts), (TaskState::Succeeded, 3));
        assert_eq!((of("slow").state, of("slow").attempts), (TaskState::Completed, 2));
        assert!(of("slow").reason.as_ref().unwrap().contains("timed out after 0.3s"), "{:?}", of("slow"));
        assert!(of("missing").reason.as_ref().unwrap().contains("/no/such/program"), "{:?}", of("missing"));
        assert_eq!((of("fails").state, of("fails").attempts), (TaskState::Failed, 1));
        assert_eq!(of("fails").exit_code, Some(4));
        assert_eq!(of("skipped").attempts, 0);
        // What succeeded does not run again with the rest.
        coordinator.client.retry_run(&run, &RetryRun { scope: RetryScope::Failed }).await.unwrap();
        let detail = eventually("it failed again", async || {
            let detail = coordinator.client.run(&run).await.unwrap();
            (detail.run.state == RunState::Failed && task(&detail, "fails").attempts == 2).then_some(detail)
        })
        .await;
        assert_eq!(task(&detail, "third").attempts, 3);
        assert_eq!(lines(&tries).len(), 3);
        room.stop().await;
    });
}

#[test]
fn a_run_that_has_started_here_is_shared_from_then_on() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        std::fs::write(scratch.path().join("lint.sh"), "true").unwrap();
        let dir = scratch.path().display();
        let tasks = waiting_task("a", scratch.path())
            + format!(
                r#"
                [[tasks]]
                id = "b"
                needs = ["a"]
                script = "until [ -e {dir}/on ]; do sleep 0.05; done"
                [[tasks]]
                id = "c"
                needs = ["b"]
                script = "true"
                [[tasks]]
                id = "stays"
                needs = ["a"]
                cwd = "."
                script = "true"
                [[tasks]]
                id = "lacks"
                needs = ["c"]
                allow_failure = true
                script = "sh ./lint.sh"
                "#
            )
            .as_str();
        let workdir = scratch.path().to_str().unwrap().to_owned();
        let coordinator = &room.coordinator;
        let local = CreateRun { workdir, ..request(&dag(&tasks)) };
        let run = coordinator.submit_as(local).await;
        coordinator.task_is(&run, "a", TaskState::Running).await;
        let matrix = SetMode { mode: ExecutionMode::Matrix, room: Some(ROOM.to_owned()) };
        let said = coordinator.client.set_mode(&run, &matrix).await.unwrap();
        assert_eq!((said.run.mode, said.run.room.as_deref()), (ExecutionMode::Matrix, Some(ROOM)));
        let bound = |id: &str| said.bound.iter().find(|bound| bound.task.to_string() == id).unwrap();
        assert_eq!(
            (bound("stays").effect, bound("stays").keys.join(" ")),
            (BoundEffect::Stays, "cwd".into())
        );
        assert_eq!(bound("lacks").effect, BoundEffect::LacksFiles);
        assert_eq!(bound("lacks").files, ["lint.sh"]);
        assert_eq!(said.bound.len(), 2, "{:?}", said.bound);
        std::fs::write(scratch.path().join("go"), "").unwrap();
        coordinator.task_is(&run, "b", TaskState::Running).await;
        let detail = coordinator.client.run(&run).await.unwrap();
        assert_eq!(task(&detail, "a").state, TaskState::Succeeded, "what ran here ended here");
        assert_eq!(node_of(&detail, "b").as_ref(), Some(&room.workers[0].did));
        let back = SetMode { mode: ExecutionMode::Local, room: None };
        let refused = problem_of(coordinator.client.set_mode(&run, &back).await);
        assert_eq!(refused.kind, ProblemKind::Conflict, "{refused:?}");
        std::fs::write(scratch.path().join("on"), "").unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node_of(&detail, "c").as_ref(), Some(&room.workers[0].did));
        assert_eq!(detail.run.mode, ExecutionMode::Matrix);
        room.stop().await;
    });
}

#[test]
fn a_task_that_a_worker_denies_runs_on_another_one_or_waits_until_the_rule_goes() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let [first, second] = &room.workers[..] else { panic!() };
        let rule = NodeRule { command: Some("rm *".to_owned()), ..NodeRule::new(RuleEffect::Deny) };
        let added = first.client.add_policy_rule(&rule).await.unwrap();
        let tasks = format!(
            r#"
            [[tasks]]
            id = "stuck"
            nodes = ["{}"]
            script = "true; rm -rf nothing"
            [[tasks]]
            id = "moves"
            command = ["rm", "-rf", "nothing"]
            [[tasks]]
            id = "free"
            nodes = ["{}"]
            script = "true"
            "#,
            first.did, first.did
        );
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(shared(&dag(&tasks))).await;
        coordinator.task_is(&run, "moves", TaskState::Succeeded).await;
        coordinator.task_is(&run, "free", TaskState::Succeeded).await;
        says_why(coordinator, &run, "stuck", "rule 1 of the node's policy denies it").await;
        let detail = coordinator.client.run(&run).await.unwrap();
        assert_eq!(node_of(&detail, "moves").as_ref(), Some(&second.did));
        assert_eq!(task(&detail, "stuck").state, TaskState::Queued);
        first.client.remove_policy_rule(added.number).await.unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node_of(&detail, "stuck").as_ref(), Some(&first.did));
        room.stop().await;
    });
}

#[test]
fn a_group_of_a_file_holds_over_all_workers() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let dir = scratch.path().display();
        // Only one of them at a time can make the directory.
        let tasks: String = (0..6)
            .map(|n| {
                format!(
                    "[[tasks]]\nid = \"t{n}\"\nconcurrency = {{ group = \"press\" }}\n\
                     script = 'mkdir {dir}/lock && echo {n} >> {dir}/order && sleep 0.05 && rmdir {dir}/lock'\n"
                )
            })
            .collect();
        let text = dag(&tasks) + "[dag.groups.press]\nlimit = 1\n";
        let run = room.coordinator.submit_as(shared(&text)).await;
        room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(lines(&scratch.path().join("order")).len(), 6);
        // A group that does not exist is an error before anything runs.
        let unknown = problem_of(room.coordinator.client.create_run(&shared(&dag(&tasks))).await);
        assert_eq!(unknown.kind, ProblemKind::BadInput);
        assert!(unknown.detail.contains("press"), "{unknown:?}");
        room.stop().await;
    });
}

#[test]
fn a_session_of_a_worker_is_killed_from_its_coordinator() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let coordinator = &room.coordinator;
        let run = coordinator.submit_as(shared(&dag(&waiting_task("a", scratch.path())))).await;
        let pids = scratch.path().join("pids");
        eventually("its session works", async || (lines(&pids).len() == 1).then_some(())).await;
        let session = coordinator.client.task(&run, "a").await.unwrap().session.unwrap().to_string();
        coordinator.client.kill_session(&session, &KillSession { grace_ms: Some(100) }).await.unwrap();
        let detail = coordinator.reaches(&run, RunState::Cancelled).await;
        assert_eq!((task(&detail, "a").state, task(&detail, "a").attempts), (TaskState::Cancelled, 1));
        is_idle(&room.workers[0]).await;
        assert!(!is_alive(&lines(&pids)[0]));
        room.stop().await;
    });
}

#[test]
fn a_shared_run_that_has_not_started_is_made_local() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let coordinator = &room.coordinator;
        let text = dag("[[tasks]]\nid = \"a\"\nscript = \"true\"\n");
        let later = CreateRun { start: false, ..shared(&text) };
        let run = coordinator.submit_as(later).await;
        let local = SetMode { mode: ExecutionMode::Local, room: None };
        let said = coordinator.client.set_mode(&run, &local).await.unwrap();
        assert_eq!((said.run.mode, said.run.state), (ExecutionMode::Local, RunState::Created));
        coordinator.client.start_run(&run).await.unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(node_of(&detail, "a"), None);
        room.stop().await;
    });
}

#[test]
fn a_session_of_a_worker_is_seen_and_typed_into_from_its_coordinator() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let tasks = r#"
            [[tasks]]
            id = "asks"
            tty = true
            outputs = { turn = { type = "string" }, region = { type = "string" } }
            script = '''
            printf 'Whose turn? '; read turn; echo "turn=$turn" >> "$CIS_OUTPUT"
            printf 'Which region? '; read region; echo "region=$region" >> "$CIS_OUTPUT"
            '''
        "#;
        let client = &room.coordinator.client;
        let run = room.coordinator.submit_as(shared(&dag(tasks))).await;
        room.coordinator.question(&run).await;
        let session = client.task(&run, "asks").await.unwrap().session.unwrap().to_string();
        assert!(client.screen(&session).await.unwrap().contains("Whose turn?"));
        let explained = serde_json::to_string(&client.explain(&session).await.unwrap()).unwrap();
        assert!(explained.contains("Whose turn?"), "{explained}");
        let line = SendInput { data: b"mine\n".to_vec(), input: InputId::default() };
        assert!(client.send_input(&session, &line).await.unwrap().output_offset > 0);
        let how = Attach { cols: Some(100), rows: Some(30), ..Attach::default() };
        let mut attached = client.attach(&session, &how).await.unwrap();
        let (mut shown, mut has_typed, mut size) = (Vec::new(), false, None);
        let end = loop {
            match attached.next().await.unwrap() {
                AttachFrame::Bytes(bytes) => shown.extend_from_slice(&bytes),
                AttachFrame::Notice(AttachNotice::Attached { size: has, .. }) => size = Some(has),
                AttachFrame::Notice(AttachNotice::Ended { exit_code, .. }) => break exit_code,
                AttachFrame::Notice(AttachNotice::Resized(to)) => size = Some(to),
                AttachFrame::Closed => panic!("{}", String::from_utf8_lossy(&shown)),
            }
            if !has_typed && String::from_utf8_lossy(&shown).contains("region?") {
                attached.type_bytes(b"eu west\r");
                has_typed = true;
            }
        };
        assert_eq!(end, Some(0));
        assert_eq!(size.map(|size| (size.cols, size.rows)), Some((100, 30)));
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "asks").outputs["turn"], "mine");
        assert_eq!(task(&detail, "asks").outputs["region"], "eu west");
        room.stop().await;
    });
}

#[test]
fn a_worker_that_is_stopped_says_that_it_takes_nothing_more() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let mut room = Room::of(scratch.path(), 1).await;
        let worker = room.workers.pop().unwrap();
        let did = worker.did.clone();
        worker.leave().await;
        eventually("the coordinator knows", async || {
            let nodes = room.coordinator.client.nodes(None).await.unwrap().items;
            let worker = nodes.iter().find(|node| node.did == did).unwrap();
            assert_ne!(worker.state, RoomNodeState::Silent, "it was only found out");
            (worker.state == RoomNodeState::Draining).then_some(())
        })
        .await;
        room.stop().await;
    });
}

#[test]
fn a_question_of_a_worker_that_nobody_answers_ends_as_the_file_says() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 2).await;
        let tasks: String = [
            ("types", r#"{ deadline = "500ms", default = "n" }"#),
            ("late", r#"{ deadline = "500ms" }"#),
            ("skips", r#""skip""#),
            ("fails", r#""fail""#),
        ]
        .map(|(id, what)| {
            format!(
                "[[tasks]]\nid = \"{id}\"\ntty = true\nallow_failure = true\non_blocked = {what}\n\
                 script = '''printf 'Deploy to production? [y/N] '; read a; test \"$a\" = n'''\n"
            )
        })
        .concat();
        let run = room.coordinator.submit_as(shared(&dag(&tasks))).await;
        let detail = room.coordinator.reaches(&run, RunState::Succeeded).await;
        let state =
            |id: &str| (task(&detail, id).state, task(&detail, id).reason.clone().unwrap_or_default());
        assert_eq!(state("types").0, TaskState::Succeeded, "{:?}", state("types"));
        assert!(state("late").1.contains("nobody answered within"), "{:?}", state("late"));
        assert_eq!(state("skips").0, TaskState::Completed, "{:?}", state("skips"));
        assert!(state("fails").1.starts_with("failure allowed"), "{:?}", state("fails"));
        assert!(room.coordinator.client.inbox(&ListInbox::default()).await.unwrap().items.is_empty());
        room.stop().await;
    });
}

#[test]
fn a_worker_works_only_for_coordinators_that_it_trusts() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::of(scratch.path(), 1).await;
        let (coordinator, worker) = (&room.coordinator, &room.workers[0]);
        // The coordinator decides who executes its tasks.
        let run_here = |name: &str| {
            let file = scratch.path().join(name);
            (dag(&format!("[[tasks]]\nid = \"a\"\nscript = 'touch {}'\n", file.display())), file)
        };
        let (text, first) = run_here("first");
        worker.client.drain_node(true).await.unwrap();
        eventually("the coordinator knows", async || {
            let nodes = coordinator.client.nodes(None).await.unwrap().items;
            nodes.iter().any(|node| node.state == RoomNodeState::Draining).then_some(())
        })
        .await;
        let run = coordinator.submit_as(shared(&text)).await;
        says_why(coordinator, &run, "a", "takes no new tasks (draining)").await;
        coordinator.client.untrust(&worker.did.0).await.unwrap();
        says_why(coordinator, &run, "a", "No node of the room offers to execute tasks").await;
        let why = coordinator.client.why(&run, "a").await.unwrap();
        assert!(why.try_this.contains(&"cis node list".to_owned()), "{why:?}");
        worker.client.drain_node(false).await.unwrap();
        assert!(!first.exists());
        coordinator.client.trust(&worker.did.0, None, Some(vec![Right::Execute])).await.unwrap();
        coordinator.reaches(&run, RunState::Succeeded).await;
        assert!(first.exists());
        // And the worker decides for whom it works, whatever it is sent.
        worker.client.trust(&coordinator.did.0, None, Some(vec![Right::Submit])).await.unwrap();
        let (text, second) = run_here("second");
        let run = coordinator.submit_as(shared(&text)).await;
        says_why(coordinator, &run, "a", "its process is being started").await;
        assert!(!second.exists());
        worker.client.trust(&coordinator.did.0, None, Some(vec![Right::Coordinate])).await.unwrap();
        coordinator.reaches(&run, RunState::Succeeded).await;
        assert!(second.exists());
        room.stop().await;
    });
}
