//! Tests of roles in a room: who may do what, and who gives a role.

use cis_core::api::{CancelRun, RevokeNode, RoomNodeState};
use cis_core::event::RunState;
use cis_matrix::Trust;
use serde_json::Value;

use super::heard::{EVE, Place, WAITS, hears, in_thread, state_of};
use super::nodes::listed;
use super::{ANN, ASKS, BOB, CIS};
use crate::harness::{Node, on_a_runtime};
use crate::homeserver::words;

#[test]
fn help_names_what_the_role_of_its_reader_allows_and_who_has_none_is_told_once() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        let admin = place.told(ANN, "!cis help").await;
        assert!(admin.contains("!cis trust DID") && admin.contains("by a reaction"), "{admin}");
        let operator = place.told(BOB, "!cis").await;
        assert!(operator.contains("!cis cancel RUN") && !operator.contains("!cis trust"), "{operator}");
        // In a thread it is answered there.
        let root = place.card(&run).await;
        place.server.says(&place.room, BOB, in_thread(&root, "!cis help"));
        let in_it = |content: &Value| {
            content["m.relates_to"]["rel_type"] == "m.thread"
                && content["m.relates_to"]["event_id"] == root.as_str()
                && content["body"].as_str().is_some_and(|body| body.contains("What you can say here"))
        };
        place.server.event(&place.room, "m.room.message", in_it).await;
        let nobody = place.told(EVE, "!cis nonsense").await;
        assert!(nobody.contains("!cis help") && !nobody.contains("!cis status"), "{nobody}");
        let again = [place.writes(EVE, "!cis help"), place.writes(EVE, &format!("!cis cancel {run}"))];
        place.all_is_heard().await;
        assert!(again.iter().all(|event| place.answers_to(event).is_empty()), "she was told");
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        node.stop().await;
    });
}

#[test]
fn who_may_only_look_is_shown_things_and_changes_nothing() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&["matrix.roles.viewer=[\"@eve:tests\"]"]).await;
        let run = place.run(&node, ASKS).await;
        let (question, item) = place.asked(&run).await;
        let status = place.told(EVE, "!cis status").await;
        assert!(status.contains("1 open run,") && status.contains("1 waiting for you"), "{status}");
        let listed = place.told(EVE, "!cis runs").await;
        assert!(listed.contains("asks") && listed.contains("running"), "{listed}");
        assert!(place.told(EVE, "!cis logs t").await.contains("Deploy?"));
        assert!(place.told(EVE, "!cis screen t").await.contains("Deploy?"));
        let refused = place.told(EVE, &format!("!cis cancel {run}")).await;
        assert!(refused.contains("`cancel` is for operators here; you are a viewer"), "{refused}");
        let refused = place.told(EVE, &format!("!cis answer {item} y")).await;
        assert!(refused.contains("`answer` is for operators"), "{refused}");
        let event = place.replies(EVE, &question.id, "yes");
        assert!(place.answer_to(&event).await.contains("operators"));
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.replies(BOB, &question.id, "yes");
        node.reaches(&run, RunState::Succeeded).await;
        assert!(node.log_of(&run, "t").await.contains("got y"));
        node.stop().await;
    });
}

#[test]
fn an_admin_lets_a_node_in_from_an_encrypted_room_where_that_is_configured() {
    on_a_runtime(async {
        let place = Place::encrypted();
        place.server.set_level(&place.room, CIS, 100);
        let room = format!("federation.room={}", place.room);
        let flags = [room.as_str(), "federation.role=coordinator"];
        let owner = place.node(&flags).await;
        let run = place.run(&owner, WAITS).await;
        let worker = place.applicant(&owner).await;
        let is_now = async |owner: &Node, state: RoomNodeState| {
            listed(owner, &worker.did, |node| node.state == state).await
        };
        let trust = format!("!cis trust {}", worker.did.0);
        let refused = place.told(ANN, &trust).await;
        assert!(refused.contains("`!cis trust` is off here"), "{refused}");
        owner.client.cancel_run(&run, CancelRun::default()).await.unwrap();
        owner.reaches(&run, RunState::Cancelled).await;
        owner.stop().await;
        let owner =
            place.node(&[flags[0], flags[1], "matrix.trust_in_rooms=true", "matrix.ended_age=1s"]).await;
        // It is heard although it follows no run.
        hears(&owner, &place.room).await;
        is_now(&owner, RoomNodeState::Pending).await;
        let nodes = place.told(ANN, "!cis nodes").await;
        assert!(nodes.contains("is pending") && nodes.contains(&worker.did.0), "{nodes}");
        let refused = place.told(BOB, &trust).await;
        assert!(refused.contains("`trust` is for admins here"), "{refused}");
        let event = place.server.says_from(&place.room, ANN, words(&trust), Some(Trust::Unsigned));
        assert!(place.answer_to(&event).await.contains("not verified"));
        let nobody = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
        let refused = place.told(ANN, &format!("!cis trust {nobody}")).await;
        assert!(refused.contains("No such node is in this room."), "{refused}");
        is_now(&owner, RoomNodeState::Pending).await;
        let done = place.told(ANN, &format!("{trust} execute submit")).await;
        assert!(done.contains("may submit, execute here from now on"), "{done}");
        let view = listed(&owner, &worker.did, |node| node.may.len() == 2).await;
        assert_ne!(view.state, RoomNodeState::Pending);
        let said = place.told(ANN, &trust).await;
        assert!(said.contains("It may submit, execute already."), "{said}");
        // Nobody undoes that from a room.
        let revoke = RevokeNode { room: place.room.clone(), did: worker.did.clone() };
        owner.client.revoke_node(&revoke).await.unwrap();
        let refused = place.told(ANN, &format!("{trust} execute")).await;
        assert!(refused.contains("was revoked: it needs another key"), "{refused}");
        is_now(&owner, RoomNodeState::Revoked).await;
        worker.stop().await;
        owner.stop().await;
    });
}

#[test]
fn a_role_is_what_the_room_gives_when_a_command_is_heard() {
    on_a_runtime(async {
        let place = Place::new();
        let node = place.node(&[]).await;
        let run = place.run(&node, WAITS).await;
        place.server.set_level(&place.room, BOB, 49);
        let refused = place.told(BOB, "!cis cancel waits").await;
        assert!(refused.contains("`cancel` is for operators here; you have no role"), "{refused}");
        assert_eq!(state_of(&node, &run).await, RunState::Running);
        place.server.set_level(&place.room, EVE, 50);
        place.told(EVE, "!cis cancel waits").await;
        node.reaches(&run, RunState::Cancelled).await;
        node.stop().await;
    });
}
