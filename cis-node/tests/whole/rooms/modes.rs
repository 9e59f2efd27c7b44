//! Tests of runs that begin to follow a room, leave it, or come back to it.

use cis_core::api::{CreateRun, RetryRun};
use cis_core::event::{ExecutionMode, RetryScope, RunState, TaskState};
use cis_matrix::{MatrixError, RoomEvent};
use serde_json::json;

use super::told::{
    APPROVED, FAILS, FAST, LOCAL, Place, all_is_told, asked_in, card_in, chain, dag, gated, give, hybrid,
    said_in, whole_in,
};
use super::{ANN, CIS};
use crate::harness::{eventually, on_a_runtime};

#[test]
fn a_run_that_becomes_hybrid_begins_in_its_room_with_a_snapshot() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let local = CreateRun { mode: ExecutionMode::Local, room: None, ..place.run(&chain(3)) };
        let run = node.submit_as(local).await;
        place.open("t0");
        node.task_is(&run, "t0", TaskState::Succeeded).await;
        node.client.set_mode(&run, &hybrid(&place.room)).await.unwrap();
        place.card(&run, "running").await;
        ["t1", "t2"].into_iter().for_each(|gate| place.open(gate));
        node.reaches(&run, RunState::Succeeded).await;
        place.card(&run, "succeeded").await;
        let audited = place.whole(&node, &run).await;
        assert_eq!(audited.state, Some(RunState::Succeeded));
        let kinds: Vec<String> =
            place.server.events(&place.room).into_iter().map(|event| event.kind).collect();
        let of = |name: &str| kinds.iter().position(|kind| kind == name);
        assert!(of("cis.dag.run.snapshot").unwrap() < of("cis.dag.run.journal").unwrap(), "{kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| *kind == "cis.dag.run.created").count(), 1);
        node.stop().await;
    });
}

#[test]
fn the_journal_of_a_run_that_comes_back_to_its_room_is_whole() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let other = place.server.room("other", ANN, &[CIS]);
        let run = node.submit_as(place.run(&chain(3))).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        node.client.set_mode(&run, &LOCAL).await.unwrap();
        place.open("t0");
        node.task_is(&run, "t0", TaskState::Succeeded).await;
        node.client.set_mode(&run, &hybrid(&place.room)).await.unwrap();
        node.client.set_mode(&run, &hybrid(&other)).await.unwrap();
        place.server.event(&other, "cis.dag.run.snapshot", |_| true).await;
        place.open("t1");
        node.task_is(&run, "t1", TaskState::Succeeded).await;
        node.client.set_mode(&run, &hybrid(&place.room)).await.unwrap();
        place.open("t2");
        node.reaches(&run, RunState::Succeeded).await;
        let audited = place.whole(&node, &run).await;
        assert_eq!(audited.state, Some(RunState::Succeeded), "{audited:?}");
        let snapshots = |room: &str| {
            let events = place.server.events(room);
            events.iter().filter(|event| event.kind == "cis.dag.run.snapshot").count()
        };
        assert_eq!((snapshots(&place.room), snapshots(&other)), (0, 1));
        node.stop().await;
    });
}

#[test]
fn a_room_that_a_run_leaves_is_told_so_and_asked_anew_when_it_comes_back() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&dag(&format!("{APPROVED}{}", gated("t0", ""))))).await;
        let first = place.asked(&run, "Deploy now?").await;
        all_is_told(&node).await;
        let detail = "the test says so".to_owned();
        place.server.fail("send", MatrixError::Other { status: Some(500), detail });
        node.client.set_mode(&run, &LOCAL).await.unwrap();
        place.says(&first, "no longer asked here").await;
        all_is_told(&node).await;
        let (_, card) = place.said("cis.dag.card", &run).pop().unwrap();
        assert_eq!(card["cis.dag.card"]["left"], true);
        assert!(card["body"].as_str().unwrap().contains("No longer followed here"), "{card}");
        let before = place.server.events(&place.room).len();
        place.open("t0");
        node.task_is(&run, "t0", TaskState::Succeeded).await;
        assert_eq!(place.server.events(&place.room).len(), before);
        node.client.set_mode(&run, &hybrid(&place.room)).await.unwrap();
        let again = place
            .server
            .until(&place.room, "it is asked anew", |_| {
                place.said("cis.dag.question", &run).into_iter().map(|(event, _)| event).nth(1)
            })
            .await;
        place
            .server
            .until(&place.room, "the card is followed again", |_| {
                place.said("cis.dag.card", &run)[0].1["cis.dag.card"]["left"].is_null().then_some(())
            })
            .await;
        let other = place.server.room("other", ANN, &[CIS]);
        node.client.set_mode(&run, &hybrid(&other)).await.unwrap();
        asked_in(&place.server, &other, &run, "Deploy now?").await;
        place.says(&again, "no longer asked here").await;
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        node.reaches(&run, RunState::Succeeded).await;
        card_in(&place.server, &other, &run, "succeeded").await;
        whole_in(&node, &place.server, &other, &run).await;
        let there = said_in(&place.server, &other, "cis.dag.question", &run);
        assert!(there[0].1["body"].as_str().unwrap().contains("answered by"), "{there:?}");
        let (_, card) = place.said("cis.dag.card", &run).pop().unwrap();
        assert_eq!(
            (&card["cis.dag.card"]["left"], &card["cis.dag.card"]["state"]),
            (&json!(true), &json!("running"))
        );
        assert_eq!(place.said("cis.dag.question", &run).len(), 2);
        node.stop().await;
    });
}

#[test]
fn a_run_that_ended_long_ago_is_followed_again_when_it_is_tried_again() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST, "matrix.ended_age=300ms"]).await;
        place.open("lint");
        let run = node.submit_as(place.run(&dag(FAILS))).await;
        let (card, _) = place.card(&run, "failed").await;
        let heard = async || node.client.node().await.unwrap().rooms;
        eventually("nobody listens any more", async || heard().await.is_empty().then_some(())).await;
        place.open("fixed");
        node.client.retry_run(&run, &RetryRun { scope: RetryScope::Failed }).await.unwrap();
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(place.card(&run, "succeeded").await.0, card);
        place.whole(&node, &run).await;
        assert_eq!(place.said("cis.dag.summary", &run).len(), 2);
        node.stop().await;
    });
}

#[test]
fn a_room_that_was_told_nothing_of_a_run_hears_nothing_of_its_leaving() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let first = node.submit_as(place.run(&chain(1))).await;
        place.card(&first, "running").await;
        all_is_told(&node).await;
        place.server.set_away(true);
        let local = CreateRun { mode: ExecutionMode::Local, room: None, ..place.run(&dag(APPROVED)) };
        let run = node.submit_as(local).await;
        let item = node.question(&run).await;
        node.client.set_mode(&run, &hybrid(&place.room)).await.unwrap();
        eventually("it is to be told", async || (node.client.node().await.unwrap().outbox > 0).then_some(()))
            .await;
        node.client.set_mode(&run, &LOCAL).await.unwrap();
        place.server.set_away(false);
        place.open("t0");
        node.reaches(&first, RunState::Succeeded).await;
        place.card(&first, "succeeded").await;
        place.whole(&node, &first).await;
        give(&node, &item, "approve").await;
        node.reaches(&run, RunState::Succeeded).await;
        let all = place.server.events(&place.room);
        let about: Vec<&RoomEvent> = all.iter().filter(|event| event.content.get().contains(&run)).collect();
        assert!(about.is_empty(), "{about:?}");
        node.stop().await;
    });
}
