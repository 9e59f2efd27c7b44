//! Tests of what is heard after an outage: of the node, of its homeserver, of its account in a room.

use cis_core::event::RunState;
use cis_local::now_ms;
use cis_matrix::MatrixError;
use serde_json::Value;

use super::heard::{EVE, MINUTE_MS, Place, WAITS, hears, state_of};
use super::told::all_is_told;
use super::{ANN, ASKS, BOB, CIS, followed, is_well, warns};
use crate::harness::{eventually, on_a_runtime};
use crate::homeserver::words;

#[test]
fn what_was_said_while_the_node_was_away_is_done_after_its_start() {
    on_a_runtime(async {
        let place = Place::new();
        place.server.set_since(&place.room, CIS, now_ms() - 120 * MINUTE_MS);
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        let other = place.run(&node, WAITS).await;
        let (question, _) = place.asked(&run).await;
        node.leave().await;
        // More than is read at a time.
        for n in 0..230 {
            place.writes(EVE, &format!("talk {n}"));
        }
        let hour_ago = now_ms() - 60 * MINUTE_MS;
        let old = place.server.says_at(&place.room, ANN, words("!cis cancel asks"), hour_ago);
        // Who has left by now says nothing.
        place.writes(BOB, "!cis cancel asks");
        place.server.leave(&place.room, BOB);
        let first = place.replies(ANN, &question.id, "yes");
        place.replies(ANN, &question.id, "no");
        place.writes(ANN, "!cis cancel waits");
        let node = place.node(&[]).await;
        node.reaches(&run, RunState::Succeeded).await;
        assert!(node.log_of(&run, "t").await.contains("got y"), "the first answer counts");
        node.reaches(&other, RunState::Cancelled).await;
        assert!(place.answer_to(&old).await.contains("1h 00m ago"));
        place.is_read(&first).await;
        node.stop().await;
    });
}

#[test]
fn a_room_is_heard_again_once_the_account_is_back_in_it() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let other = place.server.room("elsewhere", ANN, &[CIS]);
        let run = place.run(&node, WAITS).await;
        let elsewhere = node.submit_as(followed(WAITS, &other)).await;
        hears(&node, &other).await;
        place.server.leave(&place.room, CIS);
        warns(&node, &[&format!("nothing that is said in room {} is heard", place.room)]).await;
        let meanwhile = place.writes(BOB, &format!("!cis cancel {run}"));
        // The other room is heard all the time.
        place.server.writes(&other, ANN, "!cis cancel waits");
        node.reaches(&elsewhere, RunState::Cancelled).await;
        place.server.join(&place.room, CIS);
        hears(&node, &place.room).await;
        place.all_is_heard().await;
        assert!(place.answers_to(&meanwhile).is_empty(), "it was not there");
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.told(BOB, &format!("!cis cancel {run}")).await;
        node.reaches(&run, RunState::Cancelled).await;
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn what_is_said_while_a_homeserver_is_away_or_fails_is_done_once() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        let (question, _) = place.asked(&run).await;
        place.server.set_away(true);
        warns(&node, &["the node cannot read its rooms"]).await;
        assert!(node.client.node().await.unwrap().rooms.is_empty());
        let status = place.writes(BOB, "!cis status");
        place.replies(BOB, &question.id, "yes");
        place.server.set_away(false);
        node.reaches(&run, RunState::Succeeded).await;
        place.answer_to(&status).await;
        is_well(&node).await;
        let has_ended = |content: &Value| content["m.new_content"]["cis.dag.card"]["state"] == "succeeded";
        place.server.event(&place.room, "m.room.message", has_ended).await;
        all_is_told(&node).await;
        // The homeserver does not say who that is.
        let detail = || "the test says so".to_owned();
        place.server.fail("member", MatrixError::Offline { detail: detail(), reached: true });
        let status = place.writes(BOB, "!cis status");
        place.answer_to(&status).await;
        assert!(!place.server.has_failures());
        hears(&node, &place.room).await;
        place.server.fail("member", MatrixError::Forbidden { detail: detail() });
        let before = place.writes(BOB, "!cis runs");
        warns(&node, &["is heard: the homeserver refuses it: the test says so"]).await;
        // With the next news it is tried anew.
        place.writes(EVE, "hm");
        place.answer_to(&before).await;
        place.all_is_heard().await;
        is_well(&node).await;
        for event in [&status, &before] {
            assert_eq!(place.answers_to(event).len(), 1);
        }
        node.stop().await;
    });
}

#[test]
fn a_room_is_read_from_now_on_where_its_homeserver_does_not_know_the_place_any_more() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        place.all_is_heard().await;
        node.leave().await;
        let lost = place.writes(BOB, "!cis cancel waits");
        place.server.fail("forward", MatrixError::BadInput { detail: "no such place".to_owned() });
        let node = place.node(&[]).await;
        hears(&node, &place.room).await;
        place.all_is_heard().await;
        assert!(!place.server.has_failures());
        assert!(place.answers_to(&lost).is_empty());
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.told(BOB, "!cis cancel waits").await;
        node.reaches(&run, RunState::Cancelled).await;
        node.stop().await;
    });
}

#[test]
fn a_room_whose_runs_ended_long_ago_is_not_heard_until_it_follows_another_one() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&["matrix.ended_age=1s"]).await;
        let run = place.run(&node, WAITS).await;
        place.told(BOB, "!cis cancel waits").await;
        node.reaches(&run, RunState::Cancelled).await;
        eventually("nothing is heard", async || {
            node.client.node().await.unwrap().rooms.is_empty().then_some(())
        })
        .await;
        let run = place.run(&node, WAITS).await;
        place.told(BOB, "!cis cancel waits").await;
        node.reaches(&run, RunState::Cancelled).await;
        node.stop().await;
    });
}

#[test]
fn what_was_answered_before_a_failure_is_not_answered_again() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        place.run(&node, WAITS).await;
        place.all_is_heard().await;
        node.leave().await;
        // It takes no request to refuse that, so the failure hits the second one.
        let first = place.server.says_from(&place.room, BOB, words("!cis status"), None);
        let failed = place.writes(BOB, "!cis runs");
        place.server.fail("seal", MatrixError::Forbidden { detail: "the test says so".to_owned() });
        let node = place.node(&[]).await;
        place.answer_to(&first).await;
        // With these news the room is read anew from where reading it ended before.
        place.all_is_heard().await;
        assert!(!place.server.has_failures());
        for event in [&first, &failed] {
            assert_eq!(place.answers_to(event).len(), 1);
        }
        is_well(&node).await;
        node.stop().await;
    });
}

#[test]
fn who_was_away_for_too_long_hears_what_is_said_from_now_on() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        place.all_is_heard().await;
        node.leave().await;
        for n in 0..20_000 {
            place.writes(EVE, &format!("talk {n}"));
        }
        let lost = place.writes(BOB, "!cis cancel waits");
        let node = place.node(&[]).await;
        hears(&node, &place.room).await;
        place.all_is_heard().await;
        assert!(place.answers_to(&lost).is_empty());
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.told(BOB, "!cis cancel waits").await;
        node.reaches(&run, RunState::Cancelled).await;
        node.stop().await;
    });
}

#[test]
fn a_login_that_its_homeserver_has_ended_is_said_with_what_helps() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        place.server.fail("next", MatrixError::Unauthorized { detail: "logged out elsewhere".to_owned() });
        // It wakes the request that is under way.
        place.writes(EVE, "hm");
        warns(&node, &["`cis matrix logout --forget` and `cis matrix login` make another one"]).await;
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        node.stop().await;
    });
}
