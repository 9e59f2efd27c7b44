//! Tests of nodes that share tasks and files through a homeserver.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cis_core::api::RetryRun;
use cis_core::event::{RetryScope, RunState, TaskState};
use cis_matrix::MatrixError;
use cis_node::upkeep;

use super::heard::{answer_in, hears};
use super::nodes::{CARL, is_told, listed, member, observes, offline, reads, shared_in};
use super::{ANN, BOB, CIS, warns};
use crate::asking::API;
use crate::harness::{Node, SLOTS, eventually, let_work, lines, on_a_runtime, task};
use crate::homeserver::Server;
use crate::shared::says_why;

/// A coordinator (`CIS`) and a worker (`BOB`) in a room, once it knows what the worker offers.
async fn pair(scratch: &Path, server: &Server, room: &str) -> (Node, Node) {
    let coordinator = member(&scratch.join("c"), (server, room), CIS, "coordinator").await;
    let worker = member(&scratch.join("w"), (server, room), BOB, "worker").await;
    let_work(&worker, &coordinator).await;
    listed(&coordinator, &worker.did, |node| node.slots == SLOTS).await;
    (coordinator, worker)
}

/// The same in a room of their own.
async fn shared_room(scratch: &Path) -> (Server, String, Node, Node) {
    let server = Server::default();
    let room = server.room("shared", ANN, &[CIS, BOB]);
    let (coordinator, worker) = pair(scratch, &server, &room).await;
    (server, room, coordinator, worker)
}

#[test]
fn nodes_with_accounts_share_a_run_and_its_files_also_in_an_encrypted_room() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        for is_encrypted in [false, true] {
            let scratch = scratch.path().join(is_encrypted.to_string());
            let server = Server::default();
            let room = server.room("shared", ANN, &[CIS, BOB]);
            if is_encrypted {
                server.encrypt(&room);
            }
            let (coordinator, worker) = pair(&scratch, &server, &room).await;
            let work = scratch.join("work");
            fs::create_dir(&work).unwrap();
            let bytes: Vec<u8> =
                (0..300_001_u64).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
            fs::write(work.join("in"), &bytes).unwrap();
            let tasks = "[[tasks]]\nid = \"a\"\ninputs = [\"in\"]\nartifacts = [\"out\"]\nscript = 'cat in in > out; echo copied'\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = 'test $(wc -c < out) = 600002'\n";
            let run = coordinator.submit_as(shared_in(&room, &work, tasks)).await;
            let detail = coordinator.reaches(&run, RunState::Succeeded).await;
            for id in ["a", "b"] {
                let node = task(&detail, id).node.as_ref().map(|node| &node.did);
                assert_eq!(node, Some(&worker.did), "{id}");
            }
            let twice = [&bytes[..], &bytes[..]].concat();
            assert_eq!(coordinator.artifact_of(&run, "a", "out").await, twice);
            assert!(coordinator.log_of(&run, "a").await.contains("copied"));
            assert!(server.files() > 0, "they went by the homeserver");
            worker.stop().await;
            coordinator.stop().await;
        }
    });
}

#[test]
fn the_room_sees_the_log_of_a_task_on_another_node_or_which_node_has_it() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        let tasks = "[[tasks]]\nid = \"a\"\nscript = 'echo from afar'\n[[tasks]]\nid = \"b\"\nlogs = \"keep\"\nscript = 'echo kept'\n[[tasks]]\nid = \"c\"\nscript = 'true'\n";
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), tasks)).await;
        coordinator.reaches(&run, RunState::Succeeded).await;
        hears(&coordinator, &room).await;
        for (id, words) in [("a", "from afar"), ("b", "is on node"), ("c", "nothing was printed")] {
            let asked = server.writes(&room, ANN, &format!("!cis logs {id}"));
            let said = answer_in(&server, &room, &asked).await;
            assert!(said.contains(words), "{said}");
        }
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_file_that_the_homeserver_takes_and_gives_only_later_gets_there() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        fs::write(scratch.path().join("in"), vec![7; 100_000]).unwrap();
        server.fail("upload", offline());
        server.fail("download", MatrixError::RateLimited { retry_after: Duration::from_millis(10) });
        server.lose_answer("upload");
        let tasks = "[[tasks]]\nid = \"a\"\ninputs = [\"in\"]\nartifacts = [\"out\"]\nscript = 'cp in out'\n";
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), tasks)).await;
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1);
        assert_eq!(coordinator.artifact_of(&run, "a", "out").await, vec![7; 100_000]);
        assert!(!server.has_failures());
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_message_to_a_node_that_is_lost_is_repeated() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        for _ in 0..2 {
            server.fail("send_to_device", offline());
        }
        let log = scratch.path().join("log");
        let tasks = format!("[[tasks]]\nid = \"a\"\nscript = 'echo ran >> {}'\n", log.display());
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert!(!server.has_failures());
        assert_eq!((task(&detail, "a").attempts, lines(&log).len()), (1, 1));
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn nodes_that_may_set_no_state_in_a_room_tell_it_in_its_timeline_who_they_are() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        let infos = |is_state: bool| {
            let events = server.events(&room);
            let senders = events
                .iter()
                .filter(|event| event.kind == "cis.dag.node.info" && event.state_key.is_some() == is_state);
            senders.map(|event| event.sender.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(infos(false), [CIS.to_owned(), BOB.to_owned()].into());
        assert!(infos(true).is_empty());
        let run = coordinator
            .submit_as(shared_in(&room, scratch.path(), "[[tasks]]\nid = \"a\"\nscript = 'true'\n"))
            .await;
        coordinator.reaches(&run, RunState::Succeeded).await;
        worker.stop().await;
        // From then on it may, and a node that comes later finds it there.
        server.set_level(&room, BOB, 50);
        let worker = member(&scratch.path().join("w"), (&server, &room), BOB, "worker").await;
        server.event(&room, "cis.dag.node.info", |_| true).await;
        eventually("it is set as state", async || (infos(true) == [BOB.to_owned()].into()).then_some(()))
            .await;
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_shared_run_goes_on_while_and_after_the_homeserver_is_away() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        let dir = scratch.path().display();
        let tasks = format!(
            "[[tasks]]\nid = \"a\"\nscript = 'echo $$ >> {dir}/pids; until [ -e {dir}/go ]; do sleep 0.05; done; echo $$ >> {dir}/ended'\n[[tasks]]\nid = \"b\"\nneeds = [\"a\"]\nscript = 'true'\n"
        );
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        coordinator.task_is(&run, "a", TaskState::Running).await;
        server.set_away(true);
        warns(&coordinator, &["no room is read"]).await;
        fs::write(scratch.path().join("go"), "").unwrap();
        let ended = scratch.path().join("ended");
        eventually("the task ends meanwhile", async || (lines(&ended).len() == 1).then_some(())).await;
        server.set_away(false);
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!((task(&detail, "a").attempts, task(&detail, "b").attempts), (1, 1));
        assert_eq!(lines(&scratch.path().join("pids")).len(), 1, "nothing ran twice");
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn files_that_a_homeserver_does_not_take_or_has_lost_are_named_by_their_task() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", ANN, &[CIS, BOB, CARL]);
        let (coordinator, worker) = pair(scratch.path(), &server, &room).await;
        let other = member(&scratch.path().join("o"), (&server, &room), CARL, "worker").await;
        let_work(&other, &coordinator).await;
        listed(&coordinator, &other.did, |node| node.slots == SLOTS).await;
        fs::write(scratch.path().join("in"), vec![7; 200_000]).unwrap();
        let (dir, one, two) = (scratch.path().display(), &worker.did, &other.did);
        let tasks = format!(
            r#"
[[tasks]]
id = "a"
nodes = ["{one}"]
inputs = ["in"]
artifacts = ["out"]
script = 'cp in out'
[[tasks]]
id = "waits"
nodes = ["{one}"]
needs = ["a"]
script = 'until [ -e {dir}/go ]; do sleep 0.05; done'
[[tasks]]
id = "b"
nodes = ["{two}"]
needs = ["a", "waits"]
script = 'cmp out out'
"#
        );
        let ended = async |run: &str| {
            eventually("the run ends", async || {
                let detail = coordinator.client.run(run).await.unwrap();
                detail.run.state.is_terminal().then_some(detail)
            })
            .await
        };
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        coordinator.task_is(&run, "waits", TaskState::Running).await;
        server.forget_files();
        fs::write(scratch.path().join("go"), "").unwrap();
        let detail = ended(&run).await;
        assert_eq!(task(&detail, "b").state, TaskState::Error);
        let reason = task(&detail, "b").reason.clone().unwrap();
        assert!(reason.contains("the homeserver no longer has the files"), "{reason}");
        // The task that made them is run again, as it says: they are in the room then.
        coordinator
            .client
            .retry_run(
                &run,
                &RetryRun { scope: RetryScope::From { task: "a".parse().unwrap(), also: vec![] } },
            )
            .await
            .unwrap();
        coordinator.reaches(&run, RunState::Succeeded).await;
        server.set_file_bytes_max(10);
        fs::write(scratch.path().join("in"), vec![8; 200_000]).unwrap();
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        let detail = ended(&run).await;
        let reason = task(&detail, "a").reason.clone().unwrap();
        assert!(reason.contains("takes files of at most 10 B"), "{reason}");
        for node in [worker, other, coordinator] {
            node.stop().await;
        }
    });
}

#[test]
fn a_node_that_has_just_lost_its_rights_gets_no_task_although_the_homeserver_is_slow() {
    on_a_runtime(async {
        for is_revoked in [false, true] {
            let scratch = tempfile::tempdir().unwrap();
            let server = Server::default();
            let room = server.room("shared", ANN, &[CIS, BOB, CARL]);
            let (coordinator, worker) = pair(scratch.path(), &server, &room).await;
            let other = member(&scratch.path().join("o"), (&server, &room), CARL, "worker").await;
            let_work(&other, &coordinator).await;
            listed(&coordinator, &other.did, |node| node.slots == SLOTS).await;
            fs::write(scratch.path().join("in"), "in").unwrap();
            let tasks: String = (0..4)
                .map(|n| {
                    let inputs = if n < 2 { "inputs = [\"in\"]\n" } else { "" };
                    format!("[[tasks]]\nid = \"t{n}\"\n{inputs}script = 'true'\n")
                })
                .collect();
            // The scheduler hears of changed rights only when the state of the room was read.
            server.fail("state", offline());
            if is_revoked {
                coordinator.client.revoke(&worker.did.0).await.unwrap();
            } else {
                coordinator.client.untrust(&worker.did.0).await.unwrap();
            }
            let run = coordinator.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
            let detail = coordinator.reaches(&run, RunState::Succeeded).await;
            for id in ["t0", "t1", "t2", "t3"] {
                let (of, attempts) = (task(&detail, id).node.as_ref(), task(&detail, id).attempts);
                assert_eq!((of.map(|node| &node.did), attempts), (Some(&other.did), 1), "{id}");
            }
            for node in [worker, other, coordinator] {
                node.stop().await;
            }
        }
    });
}

#[test]
fn logs_and_files_that_other_nodes_have_are_not_missing_in_a_deep_check_or_a_backup() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::default();
        let room = server.room("shared", ANN, &[CIS, BOB, CARL]);
        let (coordinator, worker) = pair(scratch.path(), &server, &room).await;
        let reader = observes(&scratch.path().join("o"), &server, (&room, CARL)).await;
        reader.client.trust(&coordinator.did.0, None, None).await.unwrap();
        let tasks = "[[tasks]]\nid = \"a\"\nartifacts = [\"out\"]\nscript = 'echo made > out; echo said'\n";
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), tasks)).await;
        coordinator.reaches(&run, RunState::Succeeded).await;
        is_told(&coordinator, &room, &run).await;
        reads(&reader, &run, RunState::Succeeded).await;
        for node in [&coordinator, &reader, &worker] {
            let deep = upkeep::deep_check(&node.home, &mut |_| {}).unwrap();
            assert_eq!((deep.findings, deep.logs_left_out), (Vec::<String>::new(), 0));
            let backup = upkeep::backup(&node.home, scratch.path(), Vec::new(), true, &mut |_| {});
            assert_eq!(backup.unwrap().0.missing, []);
        }
        // What came from there, and is lost, can be had again.
        assert_eq!(coordinator.artifact_of(&run, "a", "out").await, b"made\n");
        assert!(coordinator.log_of(&run, "a").await.contains("said"));
        let deep = upkeep::deep_check(&coordinator.home, &mut |_| {}).unwrap();
        assert_eq!(deep.findings, Vec::<String>::new());
        for node in [worker, reader, coordinator] {
            node.stop().await;
        }
    });
}

#[test]
fn what_a_task_handed_in_arrives_although_the_node_of_its_worker_was_restarted_meanwhile() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        let api = scratch.path().join("api.py");
        fs::write(&api, API).unwrap();
        let tasks = format!(
            r#"
[[tasks]]
id = "a"
tty = false
artifacts = ["out"]
script = '''
head -c 100000 /dev/urandom > out
python3 {} POST /v1/sessions/self/hand-in '{{"text": "done"}}'
sleep 600
'''
[[tasks]]
id = "b"
needs = ["a"]
script = 'test $(wc -c < out) = 100000'
"#,
            api.display()
        );
        server.hold("upload");
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        server.holds("upload").await;
        worker.leave().await;
        server.release("upload");
        let worker = member(&scratch.path().join("w"), (&server, &room), BOB, "worker").await;
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "a").attempts, 1);
        assert_eq!(coordinator.artifact_of(&run, "a", "out").await.len(), 100_000);
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_task_whose_files_were_on_their_way_when_its_worker_was_restarted_runs_there() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        fs::write(scratch.path().join("in"), vec![7; 100_000]).unwrap();
        let tasks = "[[tasks]]\nid = \"a\"\nretry_lost = false\ninputs = [\"in\"]\nscript = 'test $(wc -c < in) = 100000'\n";
        server.hold("download");
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), tasks)).await;
        server.holds("download").await;
        worker.leave().await;
        server.release("download");
        let worker = member(&scratch.path().join("w"), (&server, &room), BOB, "worker").await;
        coordinator.reaches(&run, RunState::Succeeded).await;
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_task_whose_files_are_on_their_way_when_its_worker_is_paused_starts_after_the_pause() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        fs::write(scratch.path().join("in"), vec![7; 100_000]).unwrap();
        let ran = scratch.path().join("ran");
        let tasks =
            format!("[[tasks]]\nid = \"a\"\ninputs = [\"in\"]\nscript = 'wc -c < in >> {}'\n", ran.display());
        server.hold("download");
        let run = coordinator.submit_as(shared_in(&room, scratch.path(), &tasks)).await;
        server.holds("download").await;
        worker.client.pause_node(true).await.unwrap();
        server.release("download");
        coordinator.task_is(&run, "a", TaskState::Queued).await;
        says_why(&coordinator, &run, "a", "paused").await;
        assert!(lines(&ran).is_empty());
        worker.client.pause_node(false).await.unwrap();
        coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(lines(&ran), ["100000"]);
        worker.stop().await;
        coordinator.stop().await;
    });
}

#[test]
fn a_task_of_an_own_run_whose_files_are_on_their_way_when_its_node_is_paused_starts_after_the_pause() {
    on_a_runtime(async {
        let scratch = tempfile::tempdir().unwrap();
        let (server, room, coordinator, worker) = shared_room(scratch.path()).await;
        let work = scratch.path().join("work");
        fs::create_dir(&work).unwrap();
        let tasks = r#"
[[tasks]]
id = "build"
artifacts = ["made"]
script = 'echo made > made'
[[tasks]]
id = "here"
needs = ["build"]
cwd = "."
script = 'cat made >> ran'
"#;
        server.hold("download");
        let run = coordinator.submit_as(shared_in(&room, &work, tasks)).await;
        server.holds("download").await;
        coordinator.task_is(&run, "here", TaskState::Running).await;
        coordinator.client.pause_node(true).await.unwrap();
        server.release("download");
        coordinator.task_is(&run, "here", TaskState::Queued).await;
        says_why(&coordinator, &run, "here", "This node is paused").await;
        assert!(lines(&work.join("ran")).is_empty());
        coordinator.client.pause_node(false).await.unwrap();
        let detail = coordinator.reaches(&run, RunState::Succeeded).await;
        assert_eq!(task(&detail, "here").attempts, 1);
        assert_eq!(lines(&work.join("ran")), ["made"]);
        worker.stop().await;
        coordinator.stop().await;
    });
}
