//! Tests of words that a homeserver gives again as another event.

use std::fs;

use super::heard::{Place, WAITS};
use super::nodes::listed;
use super::{ANN, ASKS, BOB, CIS};
use crate::harness::on_a_runtime;

#[test]
fn a_replayed_trust_gives_no_right_back() {
    on_a_runtime(async {
        let place = Place::encrypted();
        place.server.set_level(&place.room, CIS, 100);
        let room = format!("federation.room={}", place.room);
        let flags = [room.as_str(), "federation.role=coordinator", "matrix.trust_in_rooms=true"];
        let owner = place.node(&flags).await;
        place.run(&owner, WAITS).await;
        let worker = place.applicant(&owner).await;
        let rights = async || listed(&owner, &worker.did, |_| true).await.may.len();
        let first = place.writes(ANN, &format!("!cis trust {} execute submit", worker.did.0));
        place.answer_to(&first).await;
        place.told(ANN, &format!("!cis trust {} execute", worker.did.0)).await;
        assert_eq!(rights().await, 1);
        place.server.replay(&first);
        place.all_is_heard().await;
        assert_eq!(rights().await, 1, "the old words gave the right back");
        worker.stop().await;
        owner.stop().await;
    });
}

#[test]
fn who_trusted_a_node_while_this_one_stopped_is_told_that_it_may_not_be_done() {
    on_a_runtime(async {
        let place = Place::encrypted();
        place.server.set_level(&place.room, CIS, 100);
        let room = format!("federation.room={}", place.room);
        let flags = [room.as_str(), "federation.role=coordinator", "matrix.trust_in_rooms=true"];
        let owner = place.node(&flags).await;
        place.run(&owner, WAITS).await;
        let worker = place.applicant(&owner).await;
        // Nothing else is being written.
        place.all_is_heard().await;
        place.server.hold("send_state");
        let event = place.writes(ANN, &format!("!cis trust {} execute", worker.did.0));
        place.server.holds("send_state").await;
        // It stops in the middle of it.
        owner.leave().await;
        place.server.release("send_state");
        let owner = place.node(&flags).await;
        let said = place.answer_to(&event).await;
        assert!(said.contains("it is not known whether it is done. If it is not, say it again"), "{said}");
        place.told(ANN, &format!("!cis trust {} execute", worker.did.0)).await;
        assert_eq!(listed(&owner, &worker.did, |_| true).await.may.len(), 1);
        // However often it is read, the same is said once.
        owner.leave().await;
        place.server.repeat(&event);
        let owner = place.node(&flags).await;
        place.all_is_heard().await;
        assert_eq!(place.answers_to(&event).len(), 1);
        worker.stop().await;
        owner.stop().await;
    });
}

#[test]
fn a_report_that_comes_twice_is_kept_once() {
    on_a_runtime(async {
        let place = Place::encrypted();
        let node = place.node(&[]).await;
        let run = place.run(&node, ASKS).await;
        place.asked(&run).await;
        let event = place.writes(BOB, "!cis report t none");
        place.answer_to(&event).await;
        place.server.replay(&event);
        place.all_is_heard().await;
        assert_eq!(fs::read_dir(place.home().join("reports")).unwrap().count(), 1);
        node.stop().await;
    });
}
