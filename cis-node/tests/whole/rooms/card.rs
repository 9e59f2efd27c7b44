//! Tests of what people see of a run in its room: the card, its thread, and the message about its end.

use std::fs;

use cis_core::api::{CancelRun, CreateRun, RetryRun};
use cis_core::event::{RetryScope, RunState, TaskState};
use cis_matrix::RoomEvent;
use cis_store::Readers;
use serde_json::{Value, json};

use super::heard::hears;
use super::nodes::JOURNAL;
use super::told::{FAILS, FAST, Place, SLOW, all_is_told, chain, dag, gated};
use super::{ANN, content, is_well, warns};
use crate::harness::{eventually, on_a_runtime};

#[test]
fn a_card_is_one_quiet_message_that_is_edited_up_to_each_end() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let text = dag(&(gated("t0", "") + FAILS));
        for end in [RunState::Succeeded, RunState::Failed, RunState::Cancelled] {
            let run = node.submit_as(place.run(&text)).await;
            let (card, now) = place.card(&run, "running").await;
            assert_eq!((&now["msgtype"], &now["m.mentions"]), (&json!("m.notice"), &json!({})));
            match end {
                RunState::Cancelled => {
                    node.client.cancel_run(&run, CancelRun::default()).await.unwrap();
                }
                RunState::Succeeded => ["fixed", "lint", "t0"].into_iter().for_each(|gate| place.open(gate)),
                _ => ["lint", "t0"].into_iter().for_each(|gate| place.open(gate)),
            }
            node.reaches(&run, end).await;
            let (same, now) = place.card(&run, end.as_str()).await;
            assert_eq!(same, card);
            let body = now["body"].as_str().unwrap();
            assert!(body.contains("2/2 done"), "{body}");
            assert_eq!(body.contains("lint: exit code 1"), end == RunState::Failed, "{body}");
            place.whole(&node, &run).await;
            for gate in ["fixed", "lint", "t0"] {
                let _ = fs::remove_file(place.scratch.path().join(gate));
            }
        }
        node.stop().await;
    });
}

#[test]
fn a_failure_stands_in_the_thread_with_the_end_of_its_log_and_the_end_of_the_run_rings_once() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        place.open("lint");
        let run = node.submit_as(place.run(&dag(FAILS))).await;
        let (card, _) = place.card(&run, "failed").await;
        all_is_told(&node).await;
        let failures = place.in_thread(&card, "✗ lint failed: exit code 1").await;
        assert_eq!(failures.len(), 1, "{failures:?}");
        let body = failures[0]["body"].as_str().unwrap();
        assert!(body.contains("3 lint errors") && !body.contains("!cis logs"), "that is all of it: {body}");
        assert_eq!(failures[0]["msgtype"], "m.notice");
        let rings = place
            .server
            .until(&place.room, "it rings", |_| {
                let rings = place.said("cis.dag.summary", &run);
                (!rings.is_empty()).then_some(rings)
            })
            .await;
        let (_, rang) = rings.first().unwrap();
        assert_eq!((rings.len(), &rang["m.mentions"]["user_ids"]), (1, &json!([ANN])), "{rings:?}");
        assert_eq!((&rang["msgtype"], &rang["m.relates_to"]), (&json!("m.text"), &Value::Null));
        let body = rang["body"].as_str().unwrap();
        assert!(body.starts_with("✗ ship failed") && body.contains("!cis retry"), "{body}");
        // It is tried again: the same card goes on, and a good end rings for nobody.
        place.open("fixed");
        node.client.retry_run(&run, &RetryRun { scope: RetryScope::Failed }).await.unwrap();
        assert_eq!(place.card(&run, "succeeded").await.0, card);
        all_is_told(&node).await;
        let quiet = place.in_thread(&card, "✓ ship succeeded").await;
        assert_eq!((quiet.len(), &quiet[0]["m.mentions"]), (1, &json!({})));
        place
            .server
            .until(&place.room, "the end is told", |_| {
                (place.said("cis.dag.summary", &run).len() == 2).then_some(())
            })
            .await;
        place.whole(&node, &run).await;
        node.stop().await;
    });
}

#[test]
fn a_run_that_failed_rings_for_nobody_where_nobody_is_to_be_called() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST, "dag.matrix.failure_mentions=[]"]).await;
        place.open("lint");
        let run = node.submit_as(place.run(&dag(FAILS))).await;
        let (card, _) = place.card(&run, "failed").await;
        all_is_told(&node).await;
        assert_eq!(place.in_thread(&card, "✗ ship failed").await.len(), 1);
        let calls = |event: &RoomEvent| content(event)["m.mentions"]["user_ids"].is_array();
        assert!(!place.server.events(&place.room).iter().any(calls));
        node.stop().await;
    });
}

#[test]
fn failures_during_an_outage_are_one_message_without_the_one_that_is_fixed_meanwhile() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let broken = |n: usize| {
            format!(
                "[[tasks]]\nid = \"b{n}\"\nscript = 'until [ -e go ]; do sleep 0.05; done; echo broken {n}; exit 4'\n"
            )
        };
        let text = dag(&format!("{FAILS}{}", (0..5).map(broken).collect::<String>()));
        let run = node.submit_as(place.run(&text)).await;
        let (card, _) = place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.set_away(true);
        ["go", "lint"].into_iter().for_each(|gate| place.open(gate));
        node.reaches(&run, RunState::Failed).await;
        warns(&node, &["does not answer"]).await;
        assert_ne!(node.client.node().await.unwrap().outbox, 0);
        place.open("fixed");
        node.client.retry_run(&run, &RetryRun { scope: RetryScope::Failed }).await.unwrap();
        node.task_is(&run, "lint", TaskState::Succeeded).await;
        node.reaches(&run, RunState::Failed).await;
        place.server.set_away(false);
        place.card(&run, "failed").await;
        all_is_told(&node).await;
        let failures = place.in_thread(&card, "✗").await;
        let body = failures[0]["body"].as_str().unwrap();
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(body.starts_with("✗ 5 tasks did not end well") && body.contains("(try 2)"), "{body}");
        assert!(!body.contains("lint"), "{body}");
        assert_eq!(body.matches("broken").count(), 3, "of some there is the end of the log: {body}");
        assert_eq!(place.said("cis.dag.summary", &run).len(), 1);
        place.whole(&node, &run).await;
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn many_tasks_in_a_moment_cost_a_room_few_messages() {
    on_a_runtime(async {
        let place = Place::usual();
        let node = place.node(&[SLOW]).await;
        let tasks: String =
            (0..24).map(|n| format!("[[tasks]]\nid = \"t{n}\"\ncommand = [\"true\"]\n")).collect();
        let run = node.submit_as(place.run(&dag(&tasks))).await;
        node.reaches(&run, RunState::Succeeded).await;
        let (_, card) = place.card(&run, "succeeded").await;
        assert!(card["body"].as_str().unwrap().contains("24/24 done"), "{card}");
        // Within what an account may send at once.
        let audited = place.whole(&node, &run).await;
        assert!(audited.entries > 24, "{audited:?}");
        let sent = place.server.events(&place.room).into_iter().filter(|event| event.transaction.is_some());
        let sent: Vec<String> = sent.map(|event| event.kind).collect();
        assert!(sent.len() <= 8, "{sent:?}");
        node.stop().await;
    });
}

#[test]
fn a_card_says_that_a_run_waits_for_its_start_or_is_paused() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(CreateRun { start: false, ..place.run(&chain(2)) }).await;
        let (card, _) = place.card(&run, "created").await;
        node.client.start_run(&run).await.unwrap();
        let (_, now) = place.card(&run, "running").await;
        assert!(now["body"].as_str().unwrap().contains("Running:\n• t0"), "{now}");
        node.client.pause_run(&run).await.unwrap();
        place.open("t0");
        place.card(&run, "paused").await;
        node.client.resume_run(&run).await.unwrap();
        place.open("t1");
        assert_eq!(place.card(&run, "succeeded").await.0, card);
        place.whole(&node, &run).await;
        node.stop().await;
    });
}

#[test]
fn an_end_that_the_card_says_already_is_not_said_again() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[]).await;
        let run = node.submit_as(place.run(&chain(3))).await;
        let (card, _) = place.card(&run, "running").await;
        all_is_told(&node).await;
        // While the journal is on its way and an edit is due, the run ends: the edit is made of what is true then.
        place.server.hold(JOURNAL);
        ["t0", "t1"].into_iter().for_each(|gate| place.open(gate));
        place.server.holds(JOURNAL).await;
        node.task_is(&run, "t1", TaskState::Succeeded).await;
        place.open("t2");
        node.reaches(&run, RunState::Succeeded).await;
        place.server.release(JOURNAL);
        place.card(&run, "succeeded").await;
        place.whole(&node, &run).await;
        let edits = || -> Vec<Value> {
            let all = place.server.events(&place.room);
            let edits =
                all.iter().map(content).filter(|said| said["m.relates_to"]["event_id"] == card.as_str());
            edits.filter(|edit| edit["m.new_content"]["cis.dag.card"]["state"] == "succeeded").collect()
        };
        assert_eq!(edits().len(), 1, "{:?}", edits());
        node.leave().await;
        let node = place.node(&[]).await;
        hears(&node, &place.room).await;
        all_is_told(&node).await;
        assert_eq!(edits().len(), 1, "after a restart: {:?}", edits());
        node.stop().await;
    });
}

#[test]
fn what_people_are_told_waits_to_be_sent_before_the_journal_says_it() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[FAST]).await;
        let run = node.submit_as(place.run(&dag(&(gated("t0", "") + FAILS)))).await;
        let (card, _) = place.card(&run, "running").await;
        // No edit of its card is due any more.
        let works = |now: &Value| {
            let body = now["body"].as_str().unwrap();
            body.contains("• t0") && body.contains("• lint")
        };
        let look =
            |_: &[RoomEvent]| place.said("cis.dag.card", &run).iter().find(|(_, now)| works(now)).map(drop);
        place.server.until(&place.room, "both work", look).await;
        all_is_told(&node).await;
        // While a message is on its way, a task fails; the journal that follows says so.
        place.server.hold("m.room.message");
        place.open("t0");
        place.server.holds("m.room.message").await;
        place.open("lint");
        node.reaches(&run, RunState::Failed).await;
        place.server.hold(JOURNAL);
        place.server.release("m.room.message");
        place.server.holds(JOURNAL).await;
        let readers = Readers::open(&node.home.database()).unwrap();
        let waits = readers.get().unwrap().outbox_runs("failure").unwrap();
        let is_said = || !place.thread_now(&card, "✗ lint failed").is_empty();
        assert!(!waits.is_empty() || is_said(), "the journal comes first, and nothing else waits");
        place.server.release(JOURNAL);
        all_is_told(&node).await;
        assert!(is_said());
        node.stop().await;
    });
}

#[test]
fn an_edit_of_a_card_that_is_due_later_is_counted_as_waiting() {
    on_a_runtime(async {
        // An account that may send little: its journal waits for 5 s, and the next edit of its card for 10 s.
        let place = Place::usual();
        let node = place.node(&[]).await;
        let run = node.submit_as(place.run(&chain(2))).await;
        place.card(&run, "running").await;
        place.open("t0");
        node.task_is(&run, "t0", TaskState::Succeeded).await;
        let readers = Readers::open(&node.home.database()).unwrap();
        eventually("the journal is sent, and nothing else is queued", async || {
            (readers.get().unwrap().outbox_len().unwrap() == 0).then_some(())
        })
        .await;
        assert_eq!(node.client.node().await.unwrap().outbox, 1);
        node.stop().await;
    });
}

#[test]
fn a_failure_that_arrived_unknown_to_the_node_before_a_restart_hides_no_later_one() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[SLOW]).await;
        let second = FAILS.replace("lint", "unit");
        let run = node.submit_as(place.run(&dag(&(gated("t0", "") + FAILS + second.as_str())))).await;
        let (card, _) = place.card(&run, "running").await;
        all_is_told(&node).await;
        place.server.lose_answer("send");
        place.open("lint");
        place.in_thread(&card, "✗ lint failed").await;
        assert!(!place.server.has_failures(), "that answer is lost");
        place.server.set_away(true);
        node.leave().await;
        place.open("unit");
        let node = place.node(&[SLOW]).await;
        node.task_is(&run, "unit", TaskState::Failed).await;
        place.open("t0");
        node.reaches(&run, RunState::Failed).await;
        place.server.set_away(false);
        all_is_told(&node).await;
        let thread = place.thread_now(&card, "✗");
        assert!(thread.iter().any(|said| said["body"].as_str().unwrap().contains("unit")), "{thread:?}");
        place.card(&run, "failed").await;
        place.whole(&node, &run).await;
        node.stop().await;
    });
}

#[test]
fn a_card_whose_edit_arrived_unknown_to_the_node_before_a_restart_says_how_its_run_ended() {
    on_a_runtime(async {
        let place = Place::generous();
        let node = place.node(&[SLOW]).await;
        let run = node.submit_as(place.run(&dag(&(gated("t0", "") + FAILS)))).await;
        place.card(&run, "running").await;
        place.open("lint");
        node.task_is(&run, "lint", TaskState::Failed).await;
        all_is_told(&node).await;
        place.open("t0");
        node.reaches(&run, RunState::Failed).await;
        all_is_told(&node).await;
        // The edit that says that it goes on arrives, and the node does not hear of that.
        let fails = |said: &Value| said["cis.dag.card"]["state"] == "running";
        place.server.hold("m.room.message");
        let again = RetryRun { scope: RetryScope::Failed };
        fs::remove_file(place.scratch.path().join("lint")).unwrap();
        node.client.retry_run(&run, &again).await.unwrap();
        place.server.holds("m.room.message").await;
        place.server.lose_answer("send");
        place.server.release("m.room.message");
        let look =
            |_: &[RoomEvent]| place.said("cis.dag.card", &run).iter().find(|(_, now)| fails(now)).map(drop);
        place.server.until(&place.room, "it goes on", look).await;
        place.server.set_away(true);
        node.leave().await;
        place.open("fixed");
        place.open("lint");
        let node = place.node(&[SLOW]).await;
        node.reaches(&run, RunState::Succeeded).await;
        place.server.set_away(false);
        place.card(&run, "succeeded").await;
        place.whole(&node, &run).await;
        node.stop().await;
    });
}
