//! Tests of nodes that read the runs of others in a room.

use cis_core::api::{CancelRun, Decide, HereAs, ListInbox, ProblemKind, SetMode};
use cis_core::event::{ExecutionMode, RunState, TaskState};
use cis_matrix::MatrixError;

use super::nodes::{APPROVED, JOURNAL, SHORT, is_told, join, observer, reads, teller, told};
use super::{ASKS, BOB, followed, room_of_ann, warns};
use crate::harness::{eventually, on_a_runtime, problem_of, task};
use crate::shared::text;

#[test]
fn an_observer_reads_the_runs_of_nodes_that_it_trusts_and_steers_none() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let ended = node.submit_as(followed(SHORT, &room)).await;
        node.reaches(&ended, RunState::Succeeded).await;
        let open = node.submit_as(followed(ASKS, &room)).await;
        let asked = node.question(&open).await;
        for run in [&ended, &open] {
            is_told(&node, &room, run).await;
        }
        let reader = observer(&dir.path().join("o"), &server, &room).await;
        warns(&reader, &[&format!("cis identity trust {}", node.did)]).await;
        assert_eq!(problem_of(reader.client.run(&ended).await).kind, ProblemKind::NotFound);
        reader.client.trust(&node.did.0, None, None).await.unwrap();
        reads(&reader, &ended, RunState::Succeeded).await;
        let seen = reader.question(&open).await;
        assert_eq!(seen.question, asked.question);
        let session = reader.client.session(&seen.session.unwrap().to_string()).await.unwrap();
        assert_eq!(session.pid, None, "the room does not tell it");
        assert_eq!(reader.client.node().await.unwrap().observes, std::slice::from_ref(&room));
        let cancelled = problem_of(reader.client.cancel_run(&open, CancelRun::default()).await);
        let answered = problem_of(reader.client.answer(&seen.name(), &text("y")).await);
        for problem in [cancelled, answered] {
            assert!(problem.detail.contains("coordinated by"), "{problem:?}");
        }
        // What happens while it is away is read when it comes back.
        reader.leave().await;
        node.client.answer(&asked.name(), &text("y")).await.unwrap();
        node.reaches(&open, RunState::Succeeded).await;
        let reader = observer(&dir.path().join("o"), &server, &room).await;
        reads(&reader, &open, RunState::Succeeded).await;
        assert_eq!(reader.client.inbox(&ListInbox::default()).await.unwrap().items, []);
        is_told(&node, &room, &open).await;
        let report = reader.client.audit_matrix_room(&room).await.unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert!(report.runs.len() == 2 && report.runs.iter().all(|run| run.here == Some(HereAs::Same)));
        reader.stop().await;
        node.stop().await;
    });
}

#[test]
fn a_journal_that_cannot_be_decrypted_is_read_when_its_key_comes() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room) = room_of_ann();
        server.join(&room, BOB);
        server.encrypt(&room);
        let node = teller(&dir.path().join("n"), &server).await;
        let run = node.submit_as(followed(SHORT, &room)).await;
        node.reaches(&run, RunState::Succeeded).await;
        is_told(&node, &room, &run).await;
        let (journal, _) = server.event(&room, JOURNAL, |_| true).await;
        server.seal(&journal.id);
        let reader = observer(&dir.path().join("o"), &server, &room).await;
        reader.client.trust(&node.did.0, None, None).await.unwrap();
        warns(&reader, &[&format!("1 events of room {room} cannot be decrypted")]).await;
        let report = reader.client.audit_matrix_room(&room).await.unwrap();
        assert_eq!((report.unreadable, report.runs.len()), (1, 0));
        server.unseal(&journal.id);
        reads(&reader, &run, RunState::Succeeded).await;
        eventually("the warning goes", async || {
            let warnings = reader.client.node().await.unwrap().warnings;
            (!warnings.iter().any(|warning| warning.contains("decrypted"))).then_some(())
        })
        .await;
        reader.stop().await;
        node.stop().await;
    });
}

#[test]
fn a_part_of_a_journal_that_a_homeserver_missed_is_fetched_by_reading_backwards() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let run = node.submit_as(followed(ASKS, &room)).await;
        let asked = node.question(&run).await;
        is_told(&node, &room, &run).await;
        let (first, _) = server.event(&room, JOURNAL, |_| true).await;
        node.client.answer(&asked.name(), &text("y")).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        is_told(&node, &room, &run).await;
        server.miss(&first.id);
        let reader = observer(&dir.path().join("o"), &server, &room).await;
        reader.client.trust(&node.did.0, None, None).await.unwrap();
        reads(&reader, &run, RunState::Succeeded).await;
        assert!(reader.client.audit_matrix_room(&room).await.unwrap().is_whole());
        reader.stop().await;
        node.stop().await;
    });
}

#[test]
fn a_room_that_an_observer_cannot_read_is_named_and_read_once_it_can_be() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let broken = MatrixError::Other { status: Some(500), detail: "broken".to_owned() };
        server.fail("beginning", broken);
        let reader = observer(&dir.path().join("o"), &server, &room).await;
        reader.client.trust(&node.did.0, None, None).await.unwrap();
        let observes = |expected: Vec<String>| {
            let client = &reader.client;
            async move {
                eventually("it reads these rooms", async || {
                    (client.node().await.unwrap().observes == expected).then_some(())
                })
                .await
            }
        };
        observes(vec![room.clone()]).await;
        assert!(!server.has_failures());
        // The homeserver is away for a while.
        server.set_away(true);
        warns(&reader, &["no room is read"]).await;
        observes(Vec::new()).await;
        server.set_away(false);
        observes(vec![room.clone()]).await;
        // Somebody removes the account, and lets it in again.
        server.leave(&room, BOB);
        warns(&reader, &["the account is no longer in it"]).await;
        let run = node.submit_as(followed(SHORT, &room)).await;
        node.reaches(&run, RunState::Succeeded).await;
        server.invite(&room, BOB);
        reader.client.join_matrix_room(&join(&room)).await.unwrap();
        reads(&reader, &run, RunState::Succeeded).await;
        observes(vec![room.clone()]).await;
        reader.stop().await;
        node.stop().await;
    });
}

#[test]
fn a_room_that_begins_to_follow_a_run_later_tells_all_of_it() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let (server, room, node) = told(dir.path()).await;
        let reader = observer(&dir.path().join("o"), &server, &room).await;
        reader.client.trust(&node.did.0, None, None).await.unwrap();
        let run = node.submit(APPROVED).await;
        node.question(&run).await;
        let mode = SetMode { mode: ExecutionMode::Hybrid, room: Some(room.clone()) };
        node.client.set_mode(&run, &mode).await.unwrap();
        server.event(&room, "cis.dag.run.snapshot", |_| true).await;
        let seen = reader.question(&run).await;
        assert!(seen.question.contains("Deploy?"), "{seen:?}");
        let view = reader.client.run(&run).await.unwrap();
        assert_eq!((&view.run.node, task(&view, "a").state), (&node.did, TaskState::Succeeded));
        let decide = Decide { approve: false, reason: Some("not today".to_owned()) };
        node.client.decide(&run, &seen.task.unwrap().to_string(), &decide).await.unwrap();
        let own = eventually("the run ends", async || {
            let detail = node.client.run(&run).await.unwrap();
            detail.run.state.is_terminal().then_some(detail)
        })
        .await;
        assert_ne!(own.run.state, RunState::Succeeded);
        reads(&reader, &run, own.run.state).await;
        is_told(&node, &room, &run).await;
        let audit = reader.client.audit_matrix_room(&room).await.unwrap();
        assert!(audit.is_whole() && audit.runs[0].here == Some(HereAs::Same), "{audit:?}");
        reader.stop().await;
        node.stop().await;
    });
}
