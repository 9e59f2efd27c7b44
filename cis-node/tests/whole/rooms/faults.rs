//! Tests of what a room is told after faults: outages, refusals, lost answers, rooms that the account has left.

use std::fs;
use std::time::{Duration, Instant};

use cis_core::api::CreateRun;
use cis_core::event::{ExecutionMode, RunState, TaskState};
use cis_local::now_ms;
use cis_matrix::MatrixError;
use serde_json::{Value, json};

use super::told::{APPROVED, FAST, LOCAL, Place, all_is_told, card_in, chain, dag, gated, give, long_text};
use super::{ANN, BOB, CIS, is_well, warns};
use crate::harness::{eventually, on_a_runtime};

#[test]
fn what_happens_without_a_homeserver_and_before_a_restart_is_told_after_both() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&chain(2))).await;
        let (card, _) = place.card(&run, "running").await;
        place.server.set_away(true);
        place.open("t0");
        node.task_is(&run, "t0", TaskState::Succeeded).await;
        place.open("t1");
        node.reaches(&run, RunState::Succeeded).await;
        warns(&node, &["does not answer"]).await;
        node.leave().await;
        let node = place.node(&[FAST]).await;
        assert_ne!(node.client.node().await.unwrap().outbox, 0);
        place.server.set_away(false);
        place.card(&run, "succeeded").await;
        place.whole(&node, &run).await;
        assert_eq!(place.in_thread(&card, "✓ ship succeeded").await.len(), 1);
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn a_refusal_that_says_when_is_waited_for_and_remembered() {
    on_a_runtime(async {
        let place = Place::usual();
        let allowance = place.home().join("allowance.json");
        let kept = || -> Value { serde_json::from_str(&fs::read_to_string(&allowance).unwrap()).unwrap() };
        let earlier = json!({ "user": CIS, "per_1000_s": 1_900, "try_again_ms": 0 });
        fs::write(&allowance, earlier.to_string()).unwrap();
        let node = place.node(&[FAST]).await;
        place.server.fail("send", MatrixError::RateLimited { retry_after: Duration::from_millis(1_500) });
        let before = now_ms();
        let run = node.submit_as(place.run(&dag(APPROVED))).await;
        let (first, said) = place.server.event(&place.room, "m.room.message", |_| true).await;
        assert_eq!(said["cis.dag.question"]["run"], run.as_str(), "what people wait for comes first: {said}");
        let waited = first.sent_ms - before;
        assert!(waited >= 1_500, "{waited} ms");
        // One in 1.5 s, no more.
        let learned = kept();
        let rate = learned["per_1000_s"].as_u64().unwrap();
        assert!((600..=667).contains(&rate), "{learned}");
        node.leave().await;
        let node = place.node(&[FAST]).await;
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        place.says(&first, "answered by").await;
        assert_eq!(kept(), learned, "another life of the node knows it");
        node.stop().await;
    });
}

#[test]
fn answers_that_are_lost_send_nothing_twice() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        for _ in 0..3 {
            place.server.lose_answer("send");
        }
        let run = node.submit_as(place.run(&dag(&format!("{APPROVED}{}", gated("t0", ""))))).await;
        let question = place.asked(&run, "Deploy now?").await;
        eventually("all of them were lost", async || (!place.server.has_failures()).then_some(())).await;
        all_is_told(&node).await;
        place.server.lose_answer("send");
        place.server.fail("send", MatrixError::Other { status: Some(502), detail: "bad gateway".to_owned() });
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        place.open("t0");
        node.reaches(&run, RunState::Succeeded).await;
        // What one room answered by mistake is tried again when something happens there.
        eventually("it was refused", async || (!place.server.has_failures()).then_some(())).await;
        warns(&node, &["bad gateway"]).await;
        place.server.says_levels(&place.room, ANN);
        let (card, _) = place.card(&run, "succeeded").await;
        place.says(&question, "answered by").await;
        place.whole(&node, &run).await;
        assert_eq!(place.said("cis.dag.question", &run).len(), 1);
        assert_eq!(place.in_thread(&card, "✓ ship succeeded").await.len(), 1);
        let transactions = place.server.events(&place.room).into_iter().filter_map(|event| event.transaction);
        let mut transactions: Vec<String> = transactions.collect();
        let all = transactions.len();
        transactions.sort();
        transactions.dedup();
        assert_eq!(transactions.len(), all);
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn a_message_that_is_too_large_holds_up_nothing_else() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        place.server.fail("send", MatrixError::TooLarge { detail: "of the test".to_owned() });
        place.open("t0");
        let run = node.submit_as(place.run(&chain(1))).await;
        node.reaches(&run, RunState::Succeeded).await;
        // Its card was refused: what belongs to it is told without it.
        place
            .server
            .event(&place.room, "cis.dag.run.completed", |content| content["run"] == run.as_str())
            .await;
        assert_eq!(place.said("cis.dag.card", &run).len(), 0);
        warns(&node, &[&place.room, "does not accept a message", "of the test"]).await;
        place.server.says_levels(&place.room, ANN);
        place.card(&run, "succeeded").await;
        place.whole(&node, &run).await;
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn a_room_that_lets_the_node_say_nothing_is_told_all_when_it_may_again() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&dag(APPROVED))).await;
        let question = place.asked(&run, "Deploy now?").await;
        all_is_told(&node).await;
        place.server.needs_level(&place.room, "m.room.message", 50);
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        node.reaches(&run, RunState::Succeeded).await;
        warns(&node, &[&place.room, "accepts no messages", "may not send m.room.message"]).await;
        // What is wrong with one room is that room's.
        let other = place.server.room("other", ANN, &[CIS]);
        place.open("t0");
        let there = node.submit_as(CreateRun { room: Some(other.clone()), ..place.run(&chain(1)) }).await;
        card_in(&place.server, &other, &there, "succeeded").await;
        assert_ne!(node.client.node().await.unwrap().outbox, 0);
        place.server.set_level(&place.room, CIS, 50);
        place.server.says_levels(&place.room, ANN);
        let (card, _) = place.card(&run, "succeeded").await;
        place.says(&question, "answered by").await;
        place.whole(&node, &run).await;
        assert_eq!(place.in_thread(&card, "✓ ship succeeded").await.len(), 1);
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn a_room_that_refused_messages_is_heard_again_after_another_run_begins_there() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&chain(1))).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.needs_level(&place.room, "m.room.message", 50);
        place.open("t0");
        node.reaches(&run, RunState::Succeeded).await;
        warns(&node, &[&place.room, "accepts no messages"]).await;
        // Nothing of it can be sent.
        let next = node.submit_as(place.run(&chain(1))).await;
        node.reaches(&next, RunState::Succeeded).await;
        // By itself it is tried again after 5 s, and later each time: for the last of these it would take minutes.
        for _ in 0..6 {
            place.server.fail("send", MatrixError::Forbidden { detail: "of the test".to_owned() });
            place.server.says_levels(&place.room, ANN);
            eventually("it is heard that the levels changed", async || {
                (!place.server.has_failures()).then_some(())
            })
            .await;
        }
        place.server.set_level(&place.room, CIS, 50);
        place.server.says_levels(&place.room, ANN);
        for run in [&run, &next] {
            place.card(run, "succeeded").await;
        }
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn a_room_that_was_left_is_told_all_after_the_node_is_back_in_it() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&chain(2))).await;
        let (card, _) = place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.leave(&place.room, CIS);
        place.open("t0");
        node.task_is(&run, "t0", TaskState::Succeeded).await;
        warns(&node, &[&place.room, "must be invited"]).await;
        place.open("t1");
        node.reaches(&run, RunState::Succeeded).await;
        assert_eq!(place.said("cis.dag.card", &run)[0].1["cis.dag.card"]["state"], "running");
        place.server.join(&place.room, CIS);
        assert_eq!(place.card(&run, "succeeded").await.0, card);
        place.whole(&node, &run).await;
        assert_eq!(place.in_thread(&card, "✓ ship succeeded").await.len(), 1);
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn a_room_that_refuses_all_and_follows_nothing_any_more_is_no_trouble() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&chain(2))).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.needs_level(&place.room, "m.room.message", 50);
        place.server.needs_level(&place.room, "cis.dag.run.journal", 50);
        place.open("t0");
        warns(&node, &[&place.room, "accepts no messages"]).await;
        let view = node.client.set_mode(&run, &LOCAL).await.unwrap();
        assert_eq!((view.run.mode, &view.run.room), (ExecutionMode::Local, &None));
        is_well(&node).await;
        let left = Instant::now();
        all_is_told(&node).await;
        let given_up_after = left.elapsed();
        place.open("t1");
        node.reaches(&run, RunState::Succeeded).await;
        // Also where it takes all again.
        place.server.set_level(&place.room, CIS, 50);
        place.server.says_levels(&place.room, ANN);
        let begun = Instant::now();
        let next = node.submit_as(place.run(&dag(APPROVED))).await;
        place.asked(&next, "Deploy now?").await;
        // What was put off for 5 s was given up at once, whatever the speed of this machine is.
        let at_once = Duration::from_secs(3).max(10 * begun.elapsed());
        assert!(given_up_after < at_once, "{given_up_after:?}, and at once is {at_once:?}");
        let (_, card) = place.said("cis.dag.card", &run).pop().unwrap();
        assert_eq!(card["cis.dag.card"]["state"], "running", "nobody waits for what was given up");
        assert!(place.said("cis.dag.summary", &run).is_empty());
        node.stop().await;
    });
}

#[test]
fn a_login_that_was_refused_stops_no_run_and_is_tried_when_another_run_is_followed() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&chain(1))).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.fail("send", MatrixError::Unauthorized { detail: "of the test".to_owned() });
        ["t0", "t1"].into_iter().for_each(|gate| place.open(gate));
        node.reaches(&run, RunState::Succeeded).await;
        eventually("it was refused", async || (!place.server.has_failures()).then_some(())).await;
        assert_ne!(node.client.node().await.unwrap().outbox, 0);
        let second = node.submit_as(place.run(&chain(2))).await;
        for run in [run, second] {
            node.reaches(&run, RunState::Succeeded).await;
            place.card(&run, "succeeded").await;
            place.whole(&node, &run).await;
        }
        node.stop().await;
    });
}

#[test]
fn what_another_account_may_send_and_a_damaged_file_count_for_nothing() {
    on_a_runtime(async {
        let others = json!({ "user": BOB, "per_1000_s": 1, "try_again_ms": 0 }).to_string();
        for kept in [others.as_str(), "{"] {
            let place = Place::usual();
            let allowance = place.home().join("allowance.json");
            fs::write(&allowance, kept).unwrap();
            let node = place.node(&[FAST]).await;
            place.server.fail("send", MatrixError::RateLimited { retry_after: Duration::from_millis(50) });
            let run = node.submit_as(place.run(&dag(APPROVED))).await;
            place.asked(&run, "Deploy now?").await;
            let learned: Value = serde_json::from_str(&fs::read_to_string(&allowance).unwrap()).unwrap();
            // As homeservers come: one in five seconds.
            assert_eq!((&learned["user"], &learned["per_1000_s"]), (&json!(CIS), &json!(200)));
            node.stop().await;
        }
    });
}

#[test]
fn what_cannot_be_looked_up_or_uploaded_for_a_room_is_tried_again() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let broken = |detail: &str| MatrixError::Other { status: Some(500), detail: detail.to_owned() };
        let approved = APPROVED.replace("command", "needs = [\"t0\"]\ncommand");
        let text = dag(&format!("{}{approved}", gated("t0", "")));
        let run = node.submit_as(place.run(&text)).await;
        place.card(&run, "running").await;
        all_is_told(&node).await;
        // For a question it is looked up who may answer.
        place.server.fail("members", broken("members"));
        place.open("t0");
        warns(&node, &[&place.room, "answered otherwise than expected", "members"]).await;
        place.server.says_levels(&place.room, ANN);
        let question = place.asked(&run, "Deploy now?").await;
        is_well(&node).await;
        place.server.fail("upload", broken("upload"));
        place.open("t1");
        let long = node.submit_as(place.run(&long_text())).await;
        warns(&node, &[&place.room, "answered otherwise than expected", "upload"]).await;
        let item = node.question(&run).await;
        give(&node, &item, "approve").await;
        place.server.says_levels(&place.room, ANN);
        place.says(&question, "answered by").await;
        for run in [run, long] {
            node.reaches(&run, RunState::Succeeded).await;
            place.card(&run, "succeeded").await;
            place.whole(&node, &run).await;
        }
        is_well(&node).await;
        node.stop().await;
    });
}
