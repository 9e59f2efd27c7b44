//! Tests of encrypted rooms: keys that come late, and devices whose words count.

use cis_core::event::{RunState, TaskState};
use cis_matrix::{MatrixError, Trust};

use super::heard::{GATE, Place, WAITS, hears, state_of};
use super::{ANN, ASKS, BOB};
use crate::harness::on_a_runtime;
use crate::homeserver::{reaction, words};

#[test]
fn a_command_whose_key_comes_late_is_obeyed_then() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let talk = place.server.writes_sealed(&place.room, ANN, "hello");
        let sealed = place.server.writes_sealed(&place.room, BOB, "!cis cancel waits");
        let never = place.server.writes_sealed(&place.room, BOB, "!cis retry waits");
        place.all_is_heard().await;
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.server.unseal(&talk);
        place.server.unseal(&sealed);
        assert!(place.answer_to(&sealed).await.contains("waits is being cancelled"));
        node.reaches(&run, RunState::Cancelled).await;
        place.all_is_heard().await;
        assert_eq!(place.answers_to(&sealed).len(), 1);
        assert!(place.answers_to(&never).is_empty() && place.answers_to(&talk).is_empty());
        node.stop().await;
    });
}

#[test]
fn a_command_whose_key_comes_after_a_restart_is_obeyed_then_and_once() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let other = place.run(&node, ASKS).await;
        let meanwhile = place.server.writes_sealed(&place.room, BOB, &format!("!cis cancel {other}"));
        let after = place.server.writes_sealed(&place.room, BOB, "!cis cancel waits");
        let never = place.server.writes_sealed(&place.room, BOB, "!cis retry waits");
        // What is taken after them moves the place from which the room is read on.
        place.all_is_heard().await;
        node.leave().await;
        place.server.unseal(&meanwhile);
        let node = place.node(&[]).await;
        node.reaches(&other, RunState::Cancelled).await;
        hears(&node, &place.room).await;
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.server.unseal(&after);
        assert!(place.answer_to(&after).await.contains("waits is being cancelled"));
        node.reaches(&run, RunState::Cancelled).await;
        place.all_is_heard().await;
        node.leave().await;
        let node = place.node(&[]).await;
        hears(&node, &place.room).await;
        place.all_is_heard().await;
        for event in [&meanwhile, &after] {
            assert_eq!(place.answers_to(event).len(), 1);
        }
        assert!(place.answers_to(&never).is_empty());
        node.stop().await;
    });
}

#[test]
fn in_an_encrypted_room_only_a_command_decides_where_nothing_else_is_configured() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, GATE).await;
        let (question, item) = place.asked(&run).await;
        place.server.says(&place.room, BOB, reaction(&question.id, "✅"));
        let said = place.answer_to(&question.id).await;
        assert!(said.contains("a reaction cannot decide this"), "{said}");
        assert!(said.contains(&format!("!cis answer {item} approve")), "{said}");
        let event = place.replies(BOB, &question.id, "approve");
        let said = place.answer_to(&event).await;
        assert!(said.contains("a reply cannot decide this"), "{said}");
        assert_eq!(node.client.task(&run, "g").await.unwrap().state, TaskState::Queued);
        place.writes(BOB, &format!("!cis answer {item} approve"));
        node.reaches(&run, RunState::Succeeded).await;
        node.leave().await;
        let node = place.node(&["matrix.reactions_decide=true"]).await;
        let run = place.run(&node, GATE).await;
        let (question, _) = place.asked(&run).await;
        place.server.says(&place.room, BOB, reaction(&question.id, "✅"));
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}

#[test]
fn in_an_encrypted_room_words_count_from_devices_that_their_owner_has_signed() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let cancels = |trust| place.server.says_from(&place.room, BOB, words("!cis cancel waits"), trust);
        for trust in [Trust::Unknown, Trust::Unsigned] {
            let said = place.answer_to(&cancels(Some(trust))).await;
            assert!(said.contains("from a device that you have not verified"), "{trust:?}: {said}");
        }
        let said = place.answer_to(&cancels(Some(Trust::IdentityChanged))).await;
        assert!(said.contains("not those that this node knew of you"), "{said}");
        let said = place.answer_to(&cancels(None)).await;
        assert!(said.contains("this came unencrypted into an encrypted room"), "{said}");
        // The homeserver has nothing under that name any more.
        place.server.fail("seal", MatrixError::NotFound { what: "the event".to_owned() });
        let gone = cancels(Some(Trust::Signed));
        place.all_is_heard().await;
        assert!(!place.server.has_failures() && place.answers_to(&gone).is_empty());
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        node.leave().await;
        let node = place.node(&["matrix.unsigned_devices=true"]).await;
        hears(&node, &place.room).await;
        let said = place.answer_to(&cancels(None)).await;
        assert!(said.contains("this came unencrypted"), "{said}");
        place.answer_to(&cancels(Some(Trust::Unsigned))).await;
        node.reaches(&run, RunState::Cancelled).await;
        node.stop().await;
    });
}

#[test]
fn in_an_encrypted_room_nobody_gives_orders_with_another_identity_than_before() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, GATE).await;
        let (_, item) = place.asked(&run).await;
        // The device is signed, by keys that the homeserver made.
        place.server.change_identity(BOB);
        for order in [format!("!cis approve {item}"), "!cis cancel gate".to_owned()] {
            let said = place.told(BOB, &order).await;
            assert!(said.contains("not those that this node knew of you"), "{order}: {said}");
        }
        assert_eq!(node.client.task(&run, "g").await.unwrap().state, TaskState::Queued);
        place.writes(ANN, &format!("!cis approve {item}"));
        node.reaches(&run, RunState::Succeeded).await;
        node.stop().await;
    });
}
